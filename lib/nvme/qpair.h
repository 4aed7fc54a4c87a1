// SPDX-License-Identifier: BSD-2-Clause
/*
 * qpair.h - requests on one queue pair, as the controller's state machine sees it.
 *
 * A tracker stands for one command that is out: its number is in the command identifier, and its
 * list of pages was set aside at the start. The identifier also has a count of the tracker's uses,
 * so that a completion that comes twice, or late, meets nobody.
 *
 * Age is counted in ticks, of which the controller's turn makes QPAIR_TICKS in one timeout: the
 * datapath reads no clock, and a command is called overdue at most an eighth of a timeout late.
 */
#ifndef NVME_QPAIR_H
#define NVME_QPAIR_H

#include "nvme/nvme.h"
#include "prp.h"
#include "ring.h"

#define QPAIR_TICKS     8
#define QPAIR_CID_SHIFT 10 /* below: the tracker, above: its use */
_Static_assert(NVME_DEPTH_MAX < 1 << QPAIR_CID_SHIFT, "a tracker's number fits");

enum tracker_state {
    TRACKER_FREE,
    TRACKER_OUT,      /* the controller has it */
    TRACKER_OVERDUE,  /* ... and an Abort is to be sent */
    TRACKER_ABORTING, /* ... and has been sent */
    TRACKER_AGAIN,    /* a reset took it back; it is to be posted again */
};

struct tracker {
    struct iohdesc *io;
    uint32_t first; /* block of the request that it begins with */
    uint32_t count;
    uint32_t tick; /* when it was posted */
    uint16_t cid;
    uint8_t state;
    uint8_t tries;
};

struct qpair_namespaces {
    struct nvme_namespace list[NVME_NAMESPACES_MAX];
    uint32_t count;
};

struct nvme_qpair {
    struct ring ring;
    struct tracker *trackers;
    uint16_t *free; /* a stack of numbers */
    uint32_t free_count;
    uint32_t depth;
    uint32_t transfer_bytes; /* longest command */
    uint32_t list_entries;
    uint32_t tick;
    bool live;   /* the controller takes commands */
    bool lost;   /* and never will again */
    bool inside; /* consuming: callbacks must not consume */
    uint32_t outstanding;
    uint64_t *lists; /* list_entries for every tracker */
    uint64_t lists_bus;
    struct list waiting; /* requests of which not all is posted, in the order of their coming */
    const struct qpair_namespaces *namespaces;
    struct nvme_qpair_stats stats;
    /* --- cold --- */
    uint32_t number;
    bool taken;
};

/* Takes the queues and trackers from the arena, which is mapped. -ENOMEM. */
must_check int qpair_init(struct nvme_qpair *qp, struct nvme_access *access,
                          struct mem_arena *arena, uint32_t number, uint32_t depth,
                          uint32_t transfer_bytes);
/* The controller may want less than was foreseen. */
void qpair_limit(struct nvme_qpair *qp, uint32_t depth, uint32_t transfer_bytes);
/* The queues exist on the controller: what was taken back is posted again, then what waits. */
void qpair_go(struct nvme_qpair *qp);
/* Nothing more is posted. */
void qpair_freeze(struct nvme_qpair *qp);
/* The controller has stopped and forgotten the queues: reads that are out are for qpair_go, the
 * others end. */
void qpair_take_back(struct nvme_qpair *qp);
/* The same, and all requests end with `error`; new ones are refused. */
void qpair_lose(struct nvme_qpair *qp, int error);
/* True: an aborted command did not come back in time, only a reset helps. */
must_check bool qpair_tick(struct nvme_qpair *qp);
/* A command that is overdue, or false. It counts as being aborted from now on. */
bool qpair_next_overdue(struct nvme_qpair *qp, uint16_t *cid);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * qpair.h - requests on one queue pair, between the thread that owns it and the controller's turn.
 *
 * A tracker stands for one command that is out: its number is in the command identifier, and its
 * list of pages was set aside at the start. The identifier also has a count of the tracker's uses,
 * so that a completion that comes twice, or late, meets nobody.
 *
 * Age is counted in ticks, of which the controller's turn makes QPAIR_TICKS in one timeout: the
 * datapath reads no clock, and a command is called overdue at most an eighth of a timeout late.
 *
 * Two threads have to do with a queue pair: its owner, and whoever turns the controller. Neither
 * waits for the other and nothing is locked. They share one word, `phase`, and each of its values
 * says whose move is next; the turn touches nothing of the queue pair before QPAIR_WANTED has given
 * it the queues' addresses. So a reset goes like this: the turn says QPAIR_FROZEN and stops the
 * controller; when that has stopped, QPAIR_BROKEN; the owner sees it, takes back what was out,
 * empties the queues and says QPAIR_WANTED; the turn creates them and says QPAIR_LIVE; the owner
 * posts again. An owner that looks away for long holds up nobody but itself.
 *
 *     qpair.c       the datapath
 *     qpair_life.c  the owner's moves
 *     queues.c      the turn's moves
 */
#ifndef NVME_QPAIR_H
#define NVME_QPAIR_H

#include "nvme/nvme.h"
#include "prp.h"
#include "ring.h"

#define QPAIR_TICKS     8
#define QPAIR_CID_SHIFT 10 /* below: the tracker, above: its use */
_Static_assert(NVME_DEPTH_MAX < 1 << QPAIR_CID_SHIFT, "a tracker's number fits");

enum qpair_phase {
    QPAIR_NONE,    /* the controller knows no such queues; nvme_open may take it */
    QPAIR_WANTED,  /* said by the owner: they are empty and to be created */
    QPAIR_LIVE,    /* by the turn: they exist */
    QPAIR_FROZEN,  /* by the turn: nothing is rung any more; buffers are still the controller's */
    QPAIR_BROKEN,  /* by the turn: the controller has forgotten queues and commands */
    QPAIR_LEAVING, /* by the owner: nothing is out, they are to be deleted */
    QPAIR_LOST,    /* by the turn: the same as QPAIR_BROKEN, and they will not come again */
};

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

/* What turns and owners tell each other without a word to one queue pair. */
struct qpair_board {
    uint32_t tick;   /* by the turn */
    uint32_t wishes; /* by the owners: counted up when one has something for the turn */
    struct qpair_namespaces namespaces;
};

/* From the owner, for the turn: an Abort of `QPAIR_MAIL_CID`, or that aborting did not help. */
#define QPAIR_MAIL_ABORT     0x10000u
#define QPAIR_MAIL_STUCK     0x20000u
#define QPAIR_MAIL_CID(mail) ((mail)&0xffffu)

struct nvme_qpair {
    struct ring ring;
    struct tracker *trackers;
    uint16_t *free; /* a stack of numbers */
    uint32_t free_count;
    uint32_t depth;
    uint32_t transfer_bytes; /* longest command */
    uint32_t list_entries;
    uint32_t seen; /* the phase as the owner knows it */
    uint32_t tick; /* ... and the tick */
    bool inside;   /* consuming: callbacks must not consume */
    bool sgls;     /* one descriptor instead of a list of pages */
    uint32_t outstanding;
    uint32_t ended_count;
    uint64_t *lists; /* list_entries for every tracker */
    uint64_t lists_bus;
    struct list waiting; /* requests of which not all is posted, in the order of their coming */
    struct list ended;   /* requests whose callback is due */
    struct nvme_region region; /* the one that buffers are likely to lie in */
    struct qpair_board *board;
    struct nvme_qpair_stats stats;
    /* --- cold --- */
    uint32_t number;
    struct mem_arena *arena; /* the one that the queues and trackers were taken from */
    /* --- shared with the turn --- */
    _Alignas(CACHE_LINE) uint32_t phase;
    uint32_t mail;
    uint32_t taken;
    int lost_error; /* set before QPAIR_LOST is said */
    bool created;   /* the turn's: the controller has both queues */
};

struct qpair_limits {
    uint32_t depth;
    uint32_t transfer_bytes;
    bool sgls;
};

/* --- the owner's ------------------------------------------------------------------------------ */

/* Takes queues and trackers from the arena, unless the last ones were from there, and wants the
 * queues. -ENOMEM; what mapping the arena said. */
must_check int qpair_open(struct nvme_qpair *qp, struct mem_arena *arena,
                          const struct qpair_limits *limits);
/* The phase is not the one that was seen. */
void qpair_attend(struct nvme_qpair *qp);
/* The tick is not the one that was seen, and all completions that there are were consumed. */
void qpair_tick(struct nvme_qpair *qp);

static inline bool qpair_live(const struct nvme_qpair *qp)
{
    return qp->seen == QPAIR_LIVE;
}

/* For qpair_life.c, of qpair.c: what is posted, and how a command ends. */
void qpair_post(struct nvme_qpair *qp, struct tracker *tr);
void qpair_post_waiting(struct nvme_qpair *qp);
void qpair_end(struct nvme_qpair *qp, struct tracker *tr, int error);
void qpair_end_waiting(struct nvme_qpair *qp, int error);
bool qpair_may_retry(const struct tracker *tr);

#endif

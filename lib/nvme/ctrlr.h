// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctrlr.h - the state of a controller, shared by its state machine (ctrlr.c), the scan of
 * namespaces (scan.c), and the creation and deletion of I/O queues (queues.c).
 *
 * One thread at a time turns it: whoever has set `turning`. What others may read meanwhile is
 * published at the end of a turn, or stands on the board.
 */
#ifndef NVME_CTRLR_H
#define NVME_CTRLR_H

#include "admin.h"
#include "qpair.h"

#include <pthread.h>

enum step {
    STEP_SETTLE,   /* whoever had it before left it half-way between enabled and disabled */
    STEP_DISABLE,  /* CC.EN was cleared: until CSTS.RDY is 0 it may still reach memory */
    STEP_ENABLE,   /* CC.EN was set: until CSTS.RDY is 1 */
    STEP_IDENTIFY, /* Identify Controller is out */
    STEP_QUEUES,   /* Set Features, Number of Queues is out */
    STEP_SHADOW,   /* Doorbell Buffer Config is out */
    STEP_SCAN,     /* namespaces are listed and identified */
    STEP_READY,    /* commands are carried out; queue pairs come and go */
    STEP_SHUTDOWN, /* CC.SHN was set: until CSTS.SHST says complete; then STEP_DISABLE */
    STEP_CLOSED,   /* disabled, nothing is out */
    STEP_DEAD,     /* cut off from memory, nothing is out */
};

struct scan {
    uint32_t ids[NVME_NAMESPACES_MAX];
    uint32_t count;
    uint32_t at; /* the one whose Identify is out */
    bool running;
    bool again; /* something changed while one was running */
};

struct nvme_ctrlr {
    uint32_t turning;
    uint32_t state;     /* published: enum nvme_state */
    uint64_t next_ns;   /* published */
    uint32_t looked;    /* published: the wishes that were seen */
    uint32_t stop_said; /* by any thread */
    /* --- of the turn --- */
    enum step step;
    uint64_t now_ns;
    uint64_t deadline_ns; /* of the step; UINT64_MAX: it may take any time */
    uint64_t tick_ns;     /* when the next tick is due */
    struct nvme_access *access;
    struct nvme_qpair *qpairs;
    struct nvme_ctrlr_stats stats;
    bool wanted;            /* some queue pair may want to be created or deleted */
    struct nvme_qpair *job; /* the one that it is being done for */
    uint16_t job_status;    /* why it is being undone */
    /* --- cold --- */
    struct nvme_config config;
    struct admin admin;
    void *data, *log; /* a page each: what Identify answers, what Get Log Page answers */
    uint64_t data_bus, log_bus;
    uint64_t cap;
    struct qpair_limits limits;
    uint32_t *shadows, *indices; /* doorbells in memory: a page each; or NULL */
    bool shadow;                 /* the controller knows them */
    uint32_t attempts;
    uint32_t events;  /* asked for */
    uint32_t changes; /* an agent's count of them */
    uint32_t event;   /* DW0 of the last asynchronous event; 0: none yet */
    uint32_t log_id;  /* of the log page that was asked for last */
    struct nvme_health health;
    bool has_health;
    bool was_ready;
    bool stopping;
    struct nvme_info info;
    struct scan scan;
    pthread_mutex_t mapping; /* one arena at a time */
    char why[192];
    /* --- of everybody --- */
    _Alignas(CACHE_LINE) struct qpair_board board;
};

/* The step cannot be taken: resets the controller, or gives it up when that will not help. */
void ctrlr_fault(struct nvme_ctrlr *ctrlr, const char *fmt, ...) printf_like(2, 3);
/* Sends a command that the step (or the scan) waits for, and sets the deadline anew. */
void ctrlr_command(struct nvme_ctrlr *ctrlr, const struct nvme_sqe *sqe, admin_done *done);
/* True: the command succeeded. Otherwise a fault, in which it is called `name`. */
bool ctrlr_succeeded(struct nvme_ctrlr *ctrlr, const struct nvme_cqe *cqe, const char *name);
/* The scan is over, the table of namespaces is new. */
void ctrlr_scanned(struct nvme_ctrlr *ctrlr);

/* Where the ring's doorbells are, and (`always`: besides) which words of memory replace them. */
void ctrlr_doorbells(const struct nvme_ctrlr *ctrlr, struct ring *ring, uint32_t qid);
void ctrlr_ring_share(struct nvme_ctrlr *ctrlr, struct ring *ring, bool always);

/* Lists and identifies the namespaces; ends with ctrlr_scanned or a fault. */
void scan_start(struct nvme_ctrlr *ctrlr);

/* What is known of a namespace from now on; those that are not in scan.ids have no blocks. */
void scan_record(struct nvme_ctrlr *ctrlr, const struct nvme_namespace *ns);
void scan_forget_unlisted(struct nvme_ctrlr *ctrlr);

/* The turn, where access->agent administers. */
void agent_turn(struct nvme_ctrlr *ctrlr, uint32_t wishes);

/* An owner has something for us, or a queue pair is to be looked at again (`wanted`). */
void queues_serve(struct nvme_ctrlr *ctrlr);
/* The controller is about to be stopped. */
void queues_freeze(struct nvme_ctrlr *ctrlr);
/* The controller has forgotten this one, as its agent says. */
void queues_break(struct nvme_qpair *qp);
/* It has stopped, and will start again. */
void queues_forgotten(struct nvme_ctrlr *ctrlr);
/* It has stopped, or reaches no memory any more, and that is the end. */
void queues_lose(struct nvme_ctrlr *ctrlr, int error);

#endif

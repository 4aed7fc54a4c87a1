// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctrlr.h - the state of a controller, shared by its state machine and by the scan of namespaces.
 */
#ifndef NVME_CTRLR_H
#define NVME_CTRLR_H

#include "admin.h"
#include "qpair.h"

enum step {
    STEP_SETTLE,   /* whoever had it before left it half-way between enabled and disabled */
    STEP_DISABLE,  /* CC.EN was cleared: until CSTS.RDY is 0 it may still reach memory */
    STEP_ENABLE,   /* CC.EN was set: until CSTS.RDY is 1 */
    STEP_IDENTIFY, /* Identify Controller is out */
    STEP_QUEUES,   /* Set Features, Number of Queues is out */
    STEP_SCAN,     /* namespaces are listed and identified */
    STEP_CREATE,   /* completion and submission queues are created, one command at a time */
    STEP_READY,    /* commands are carried out */
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
    enum step step;
    uint64_t now_ns;
    uint64_t deadline_ns; /* of the step; UINT64_MAX: it may take any time */
    uint64_t tick_ns;     /* when the next tick is due */
    struct nvme_access *access;
    struct nvme_qpair *qpairs;
    struct nvme_ctrlr_stats stats;
    /* --- cold --- */
    struct nvme_config config;
    struct admin admin;
    void *data, *log; /* a page each: what Identify answers, what Get Log Page answers */
    uint64_t data_bus, log_bus;
    uint64_t cap;
    uint32_t depth;
    uint32_t created; /* queues in STEP_CREATE */
    uint32_t attempts;
    uint32_t events; /* asked for */
    uint32_t event;  /* DW0 of the last asynchronous event; 0: none yet */
    uint32_t log_id; /* of the log page that was asked for last */
    struct nvme_health health;
    bool has_health;
    bool was_ready;
    bool stopping;
    struct nvme_info info;
    struct qpair_namespaces namespaces;
    struct scan scan;
    char why[192];
};

/* The step cannot be taken: resets the controller, or gives it up when that will not help. */
void ctrlr_fault(struct nvme_ctrlr *ctrlr, const char *fmt, ...) printf_like(2, 3);
/* Sends a command that the step (or the scan) waits for, and sets the deadline anew. */
void ctrlr_command(struct nvme_ctrlr *ctrlr, const struct nvme_sqe *sqe, admin_done *done);
/* True: the command succeeded. Otherwise a fault, in which it is called `name`. */
bool ctrlr_succeeded(struct nvme_ctrlr *ctrlr, const struct nvme_cqe *cqe, const char *name);
/* The scan is over, the table of namespaces is new. */
void ctrlr_scanned(struct nvme_ctrlr *ctrlr);

/* Lists and identifies the namespaces; ends with ctrlr_scanned or a fault. */
void scan_start(struct nvme_ctrlr *ctrlr);

#endif

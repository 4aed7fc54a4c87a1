// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim.h - a controller in software: registers in front, queues and media behind.
 *
 * It sees the host as a device does: register accesses, and memory by its bus address. Bus
 * addresses are not pointers, so a driver that confuses the two is found out; so is one that names
 * memory it has not mapped, rings a doorbell out of range, or uses an identifier twice. What it
 * finds it remembers in `complaint`, and answers as the specification says.
 *
 * It takes every liberty that the specification gives a device. In particular it writes rubbish
 * into the buffers of reads that it drops, at the last moment at which it may: whoever gave such a
 * buffer back too early finds the rubbish in it.
 *
 *     sim.c        the way in: registers, time, memory, threads
 *     sim_queue.c  fetching, delaying, completing; doorbells in memory
 *     sim_admin.c  admin commands
 *     sim_io.c     I/O commands, and walking PRPs
 */
#ifndef NVME_SIM_H
#define NVME_SIM_H

#include "access.h"
#include "base/rand.h"
#include "nvme/nvme.h"
#include "spec.h"

#include <pthread.h>

/* Fetched and not completed, over all queues; what exceeds it stays in the host's queues. */
#define SIM_COMMANDS_MAX 4096
#define SIM_QUEUES       (NVME_QPAIRS_MAX + 1)
#define SIM_SCRIBBLE     0xee
#define SIM_NEVER        UINT64_MAX

struct sim_sq {
    uint64_t bus;
    uint32_t size; /* 0: there is none */
    uint32_t head, tail;
    uint32_t cqid;
    bool asleep; /* it looks at the shadow doorbell only when the register is rung */
};

struct sim_cq {
    uint64_t bus;
    uint32_t size;
    uint32_t head, tail;
    uint16_t phase;
    bool interrupt;
    uint16_t vector;
};

struct sim_cmd {
    struct nvme_sqe sqe;
    uint64_t due_ns; /* SIM_NEVER: stuck */
    uint64_t order;
    uint16_t qid;
    uint16_t status; /* drawn; NVME_OK: what carrying it out says */
};

struct sim {
    struct nvme_access access;
    struct nvme_sim_config config;
    struct rand rand;
    bool immediate; /* commands are done within the doorbell */
    bool removed;
    bool cut; /* bus mastering is off */
    uint64_t now_ns;
    uint64_t next_ns;   /* of the commands: the earliest that is due */
    uint64_t change_ns; /* when CSTS.RDY follows CC.EN; SIM_NEVER: it has, or will not */
    uint64_t order;
    uint32_t cc, csts, aqa;
    uint64_t asq, acq;
    uint64_t shadows, events; /* doorbells in memory, on the bus; 0: not configured */
    struct sim_sq sqs[SIM_QUEUES];
    struct sim_cq cqs[SIM_QUEUES];
    uint32_t cmd_count;
    struct sim_cmd *cmds; /* in no order */
    bool event_asked, event_due;
    uint16_t event_cid;
    char complaint[160];
    pthread_mutex_t lock;
    int fds[SIM_QUEUES]; /* -1: not made yet */
};

void sim_complain(struct sim *sim, const char *fmt, ...) printf_like(2, 3);
/* The host's memory; NULL, and a complaint, when it is not all mapped. */
void *sim_dma(struct sim *sim, uint64_t bus, size_t bytes);
struct nvme_sim_namespace *sim_namespace(struct sim *sim, uint32_t ns_id);
/* How many completions of the submission queue's there is room for. */
uint32_t sim_cq_room(struct sim *sim, uint32_t qid);
void sim_complete(struct sim *sim, uint32_t qid, uint16_t cid, uint16_t status, uint32_t dw0);

/* The controller is enabled, and works. */
bool sim_running(const struct sim *sim);
void sim_doorbell(struct sim *sim, uint32_t off, uint32_t value);
/* Fetches what there is, and carries out what is due. */
void sim_queues_poll(struct sim *sim);
/* Something waits to be fetched. */
bool sim_queues_pending(struct sim *sim);
/* Commands and queues are forgotten. Until this moment their buffers were in the device's hands. */
void sim_queues_drop(struct sim *sim);
/* A queue was created, of which the host has told nothing yet. */
void sim_sq_init(struct sim *sim, uint32_t qid, const struct sim_sq *sq);

/* False: it has no completion (yet). */
bool sim_admin(struct sim *sim, const struct nvme_sqe *sqe, uint16_t *status, uint32_t *dw0);
void sim_event(struct sim *sim);
uint16_t sim_io(struct sim *sim, const struct nvme_sqe *sqe);
/* It fails or is dropped: what a device may leave behind. */
void sim_io_scribble(struct sim *sim, const struct nvme_sqe *sqe);
uint16_t sim_io_draw_error(struct sim *sim);

#endif

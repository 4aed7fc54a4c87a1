// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin.h - the admin queue: a few commands out at a time, each with a function for its end.
 *
 * There is no retry and no clock here: the controller's state machine has one deadline for whatever
 * it waits for, and when that passes it resets the controller, which empties the queue.
 */
#ifndef NVME_ADMIN_H
#define NVME_ADMIN_H

#include "mem/mem.h"
#include "ring.h"

/* One step of the bring-up or of a scan, one event request, one log page, and Aborts. */
#define ADMIN_DEPTH 15

typedef void admin_done(void *arg, const struct nvme_cqe *cqe);

struct admin {
    struct ring ring;
    void *arg;
    admin_done *done[ADMIN_DEPTH]; /* NULL: not out */
    uint16_t cids[ADMIN_DEPTH];
    uint16_t uses;
    bool enabled;
};

/* `arg` is given to every function. -ENOMEM. */
must_check int admin_init(struct admin *admin, struct nvme_access *access, struct mem_arena *arena,
                          void *arg);
/* The controller is told to stop: what is out is forgotten, nothing more is consumed or rung. */
void admin_disable(struct admin *admin);
/* The controller has stopped, and will find an empty queue when it starts. */
void admin_enable(struct admin *admin);
/* Sends it (`cid` is filled in); -EAGAIN: too many are out, or it is disabled. */
must_check int admin_send(struct admin *admin, const struct nvme_sqe *sqe, admin_done *done);
/* Returns how many completions were of commands that are not out. A function may send commands. */
uint32_t admin_reap(struct admin *admin);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * ring.h - a submission queue and its completion queue, as memory, and their two doorbells.
 *
 * Posting and ringing are two acts: entries are written as they come, and the controller hears of
 * all of them at once. A completion is new when its phase bit is the one that this round through
 * the ring expects; the bit turns over with every round, so nothing has to be erased.
 *
 * There is no check for a full ring: whoever posts has at most `size` - 1 commands out at a time
 * (one slot stays empty, so that full is not empty), and both queues have the same size.
 */
#ifndef NVME_RING_H
#define NVME_RING_H

#include "access.h"
#include "spec.h"

struct ring {
    struct nvme_sqe *sq;
    struct nvme_cqe *cq;
    struct nvme_access *access;
    uint32_t size;
    uint32_t sq_tail, sq_rung; /* sq_rung: what the controller knows */
    uint32_t cq_head, cq_rung;
    uint16_t phase; /* of a completion that is new */
    /* --- cold --- */
    uint32_t sq_doorbell, cq_doorbell;
    uint64_t sq_bus, cq_bus;
};

/* Empties both queues; the controller must not know them (any more). */
static inline void ring_reset(struct ring *r)
{
    memset(r->cq, 0, r->size * sizeof(*r->cq));
    r->sq_tail = r->sq_rung = r->cq_head = r->cq_rung = 0;
    r->phase = NVME_CQE_PHASE;
}

/* The entry to be filled in; its place is taken when this returns. */
static inline struct nvme_sqe *ring_post(struct ring *r)
{
    struct nvme_sqe *sqe = &r->sq[r->sq_tail];

    if (++r->sq_tail == r->size)
        r->sq_tail = 0;
    return sqe;
}

/* False: there was nothing to tell. */
static inline bool ring_sq(struct ring *r)
{
    if (r->sq_rung == r->sq_tail)
        return false;
    // The entries, which are ordinary memory, before the doorbell: the controller fetches when it
    // hears it.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    access_write32(r->access, r->sq_doorbell, r->sq_tail);
    r->sq_rung = r->sq_tail;
    return true;
}

/* The next completion, or NULL. */
static inline const struct nvme_cqe *ring_peek(const struct ring *r)
{
    const struct nvme_cqe *cqe = &r->cq[r->cq_head];

    // The phase before the rest of the entry, and before the data that it announces.
    if ((__atomic_load_n(&cqe->sf, __ATOMIC_ACQUIRE) & NVME_CQE_PHASE) != r->phase)
        return NULL;
    return cqe;
}

static inline void ring_advance(struct ring *r)
{
    if (++r->cq_head == r->size) {
        r->cq_head = 0;
        r->phase ^= NVME_CQE_PHASE;
    }
}

static inline bool ring_cq(struct ring *r)
{
    if (r->cq_rung == r->cq_head)
        return false;
    // What was read of the entries before the doorbell that allows to overwrite them.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    access_write32(r->access, r->cq_doorbell, r->cq_head);
    r->cq_rung = r->cq_head;
    return true;
}

#endif

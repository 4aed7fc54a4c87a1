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
 *
 * Where the controller takes doorbells in memory (section 7.13 of NVMe 1.4), the index is stored
 * there, and the register is written only if the controller has asked for that: it looks at the
 * shadows by itself while it is busy, and says beside them, in an event index, beyond which entry
 * it wants to be told.
 */
#ifndef NVME_RING_H
#define NVME_RING_H

#include "access.h"
#include "spec.h"

struct doorbell {
    uint32_t off;
    uint32_t rung;         /* what the controller knows */
    uint32_t *shadow;      /* NULL: there is only the register */
    const uint32_t *event; /* the controller's; NULL: it wants to be told always */
};

struct ring {
    struct nvme_sqe *sq;
    struct nvme_cqe *cq;
    struct nvme_access *access;
    uint32_t size;
    uint32_t sq_tail, cq_head;
    uint16_t phase; /* of a completion that is new */
    struct doorbell sq_doorbell, cq_doorbell;
    /* --- cold --- */
    uint64_t sq_bus, cq_bus;
};

enum ring_told {
    RING_NOTHING, /* the controller knows it all */
    RING_SHADOW,  /* memory was enough */
    RING_REGISTER,
};

static inline void doorbell_reset(struct doorbell *d)
{
    d->rung = 0;
    if (d->shadow)
        __atomic_store_n(d->shadow, 0, __ATOMIC_RELAXED);
    // It is the controller's, which does not know the queue now: nothing is asked for yet.
    if (d->event)
        __atomic_store_n((uint32_t *)(uintptr_t)d->event, 0, __ATOMIC_RELAXED);
}

/* Empties both queues; the controller must not know them (any more). */
static inline void ring_reset(struct ring *r)
{
    memset(r->cq, 0, r->size * sizeof(*r->cq));
    r->sq_tail = r->cq_head = 0;
    r->phase = NVME_CQE_PHASE;
    doorbell_reset(&r->sq_doorbell);
    doorbell_reset(&r->cq_doorbell);
}

/* Is the entry beyond which the controller wants to be told among those from `old` to before `new`?
 * All in 16 bits, around which indices of any ring may be said to go. */
static inline bool doorbell_wanted(uint32_t event, uint32_t old, uint32_t new)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static inline enum ring_told doorbell_tell(struct nvme_access *access, struct doorbell *d,
                                           uint32_t index)
{
    uint32_t old = d->rung;

    if (old == index)
        return RING_NOTHING;
    d->rung = index;
    if (d->shadow) {
        // The entries before the shadow, and the shadow before the look at the event index: the
        // controller writes that first, and then looks at the shadow once more.
        __atomic_store_n(d->shadow, index, __ATOMIC_SEQ_CST);
        if (d->event && !doorbell_wanted(__atomic_load_n(d->event, __ATOMIC_SEQ_CST), old, index))
            return RING_SHADOW;
    }
    access_doorbell(access, d->off, index);
    return RING_REGISTER;
}

/* The entry to be filled in; its place is taken when this returns. */
static inline struct nvme_sqe *ring_post(struct ring *r)
{
    struct nvme_sqe *sqe = &r->sq[r->sq_tail];

    if (++r->sq_tail == r->size)
        r->sq_tail = 0;
    return sqe;
}

static inline enum ring_told ring_sq(struct ring *r)
{
    return doorbell_tell(r->access, &r->sq_doorbell, r->sq_tail);
}

/* The phase before the rest of the entry, and before the data that it announces. */
static inline bool cqe_is_new(const struct nvme_cqe *cqe, uint16_t phase)
{
    return (__atomic_load_n(&cqe->sf, __ATOMIC_ACQUIRE) & NVME_CQE_PHASE) == phase;
}

/* The next completion, or NULL. */
static inline const struct nvme_cqe *ring_peek(const struct ring *r)
{
    const struct nvme_cqe *cqe = &r->cq[r->cq_head];

    return cqe_is_new(cqe, r->phase) ? cqe : NULL;
}

/* How many there are. All of a ring may look new only if the controller wrote more than we asked
 * for. */
static inline uint32_t ring_count(const struct ring *r)
{
    uint32_t count = 0, head = r->cq_head;
    uint16_t phase = r->phase;

    while (count < r->size && cqe_is_new(&r->cq[head], phase)) {
        count++;
        if (++head == r->size) {
            head = 0;
            phase ^= NVME_CQE_PHASE;
        }
    }
    return count;
}

static inline void ring_advance(struct ring *r)
{
    if (++r->cq_head == r->size) {
        r->cq_head = 0;
        r->phase ^= NVME_CQE_PHASE;
    }
}

static inline enum ring_told ring_cq(struct ring *r)
{
    return doorbell_tell(r->access, &r->cq_doorbell, r->cq_head);
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
#include "admin.h"

#include <errno.h>

#define ADMIN_SLOT_MASK 15u /* of an identifier; the rest counts uses */
_Static_assert(ADMIN_DEPTH <= ADMIN_SLOT_MASK + 1, "a slot's number fits");

int admin_init(struct admin *admin, struct nvme_access *access, struct mem_arena *arena, void *arg)
{
    struct ring *r = &admin->ring;

    *admin = (struct admin){.arg = arg};
    r->access = access;
    r->size = ADMIN_DEPTH + 1;
    r->sq = mem_arena_alloc(arena, r->size * sizeof(*r->sq), PAGE_BYTES);
    r->cq = mem_arena_alloc(arena, r->size * sizeof(*r->cq), PAGE_BYTES);
    if (!r->sq || !r->cq)
        return -ENOMEM;
    r->sq_bus = access_bus(access, r->sq, r->size * sizeof(*r->sq));
    r->cq_bus = access_bus(access, r->cq, r->size * sizeof(*r->cq));
    return 0;
}

void admin_disable(struct admin *admin)
{
    memset(admin->done, 0, sizeof(admin->done));
    admin->enabled = false;
}

void admin_enable(struct admin *admin)
{
    ring_reset(&admin->ring);
    admin->enabled = true;
}

int admin_send(struct admin *admin, const struct nvme_sqe *sqe, admin_done *done)
{
    for (uint32_t slot = 0; slot < ADMIN_DEPTH && admin->enabled; slot++) {
        struct nvme_sqe *at;

        if (admin->done[slot])
            continue;
        admin->done[slot] = done;
        admin->cids[slot] = (uint16_t)(++admin->uses * (ADMIN_SLOT_MASK + 1) | slot);
        at = ring_post(&admin->ring);
        *at = *sqe;
        at->cid = admin->cids[slot];
        ring_sq(&admin->ring);
        return 0;
    }
    return -EAGAIN;
}

uint32_t admin_reap(struct admin *admin)
{
    uint32_t strays = 0;

    // Once around is enough for a turn: a controller that always has another event must not keep
    // us here.
    for (uint32_t n = 0; n < admin->ring.size && admin->enabled; n++) {
        const struct nvme_cqe *entry = ring_peek(&admin->ring);
        struct nvme_cqe cqe;
        uint32_t slot;
        admin_done *done;

        if (!entry)
            break;
        cqe = *entry;
        slot = cqe.cid & ADMIN_SLOT_MASK;
        done = slot < ADMIN_DEPTH ? admin->done[slot] : NULL;
        ring_advance(&admin->ring);
        ring_cq(&admin->ring);
        if (!done || admin->cids[slot] != cqe.cid) {
            strays++;
            continue;
        }
        admin->done[slot] = NULL;
        done(admin->arg, &cqe);
    }
    return strays;
}

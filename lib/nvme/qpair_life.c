// SPDX-License-Identifier: BSD-2-Clause
/*
 * qpair_life.c - the owner's moves: a queue pair is opened, goes through resets, is lost or closed.
 *
 * In phases that are the turn's to leave, an owner that has a move of its own (to close) may find
 * that the turn was quicker; hence compare and exchange, and another look.
 */
#include "qpair.h"

#include <errno.h>

/* Everything that was done before is the turn's to see. False: the turn has said something else. */
static bool say(struct nvme_qpair *qp, enum qpair_phase phase)
{
    uint32_t seen = qp->seen;

    if (!__atomic_compare_exchange_n(&qp->phase, &seen, phase, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        return false;
    qp->seen = phase;
    return true;
}

static void wish(struct nvme_qpair *qp)
{
    __atomic_fetch_add(&qp->board->wishes, 1, __ATOMIC_RELEASE);
}

static const struct nvme_agent_ops *agent_of(const struct nvme_qpair *qp)
{
    return qp->ring.access->agent;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int queues_take(struct nvme_qpair *qp, struct mem_arena *arena,
                       const struct qpair_limits *limits)
{
    struct ring *r = &qp->ring;
    size_t lists;

    r->size = limits->depth + 1;
    qp->list_entries = prp_list_entries(limits->transfer_bytes);
    lists = (size_t)limits->depth * qp->list_entries * sizeof(uint64_t);
    r->sq = mem_arena_alloc(arena, r->size * sizeof(*r->sq), PAGE_BYTES);
    r->cq = mem_arena_alloc(arena, r->size * sizeof(*r->cq), PAGE_BYTES);
    qp->lists = mem_arena_alloc(arena, lists, PAGE_BYTES);
    if (!r->sq || !r->cq || !qp->lists)
        return -ENOMEM;
    r->sq_bus = access_bus(r->access, r->sq, r->size * sizeof(*r->sq));
    r->cq_bus = access_bus(r->access, r->cq, r->size * sizeof(*r->cq));
    qp->lists_bus = access_bus(r->access, qp->lists, lists);
    return 0;
}

static int queues_attach(struct nvme_qpair *qp, const struct qpair_limits *limits)
{
    struct ring *r = &qp->ring;
    struct agent_queues q;
    int error = agent_of(qp)->attach(r->access, qp->number, &q);

    if (error)
        return error;
    if (q.entries <= limits->depth || !q.list_entries) {
        agent_of(qp)->detach(r->access, qp->number);
        return -EPROTO;
    }
    r->sq = q.sq;
    r->cq = q.cq;
    r->sq_bus = q.sq_bus;
    r->cq_bus = q.cq_bus;
    r->size = q.entries;
    qp->lists = q.lists;
    qp->lists_bus = q.lists_bus;
    qp->list_entries = q.list_entries;
    return 0;
}

/* What was taken from an arena stays with the number, for the next who comes with that arena. */
static int memory_take(struct nvme_qpair *qp, struct mem_arena *arena,
                       const struct qpair_limits *limits)
{
    int error;

    if (arena == qp->arena)
        return 0;
    qp->arena = NULL;
    qp->trackers = mem_arena_alloc(arena, limits->depth * sizeof(*qp->trackers), CACHE_LINE);
    qp->free = mem_arena_alloc(arena, limits->depth * sizeof(*qp->free), CACHE_LINE);
    error = agent_of(qp) ? 0 : queues_take(qp, arena, limits);
    if (error || !qp->trackers || !qp->free)
        return -ENOMEM;
    qp->arena = arena;
    return 0;
}

static void reset(struct nvme_qpair *qp, const struct qpair_limits *limits)
{
    const struct mem_arena *arena = qp->arena;

    qp->region = *access_region(qp->ring.access, mem_arena_base(arena), mem_arena_bytes(arena));
    qp->depth = qp->free_count = limits->depth;
    qp->transfer_bytes =
        (uint32_t)min_u64(limits->transfer_bytes, (uint64_t)qp->list_entries * PAGE_BYTES);
    qp->sgls = limits->sgls;
    for (uint32_t i = 0; i < qp->depth; i++)
        qp->free[i] = (uint16_t)(qp->depth - 1 - i);
    list_init(&qp->waiting);
    list_init(&qp->ended);
    ring_reset(&qp->ring);
    qp->tick = __atomic_load_n(&qp->board->tick, __ATOMIC_RELAXED);
    qp->seen = QPAIR_NONE;
}

int qpair_open(struct nvme_qpair *qp, struct mem_arena *arena, const struct qpair_limits *limits)
{
    int error = memory_take(qp, arena, limits);

    if (!error && agent_of(qp))
        error = queues_attach(qp, limits);
    if (error)
        return error;
    reset(qp, limits);
    // From nothing nobody else moves on, or else it is lost already, and will be attended to.
    (void)say(qp, agent_of(qp) ? QPAIR_LIVE : QPAIR_WANTED);
    wish(qp);
    return 0;
}

/* --- resets and loss -------------------------------------------------------------------------- */

static void go(struct nvme_qpair *qp)
{
    for (uint32_t i = 0; i < qp->depth; i++)
        if (qp->trackers[i].state == TRACKER_AGAIN) {
            stat_inc(&qp->stats.reissues);
            qpair_post(qp, &qp->trackers[i]);
        }
    qpair_post_waiting(qp);
    nvme_sqsync(qp);
}

/* Reads that are out are for go(), the others end. */
static void take_back(struct nvme_qpair *qp)
{
    for (uint32_t i = 0; i < qp->depth; i++) {
        struct tracker *tr = &qp->trackers[i];

        if (tr->state == TRACKER_FREE || tr->state == TRACKER_AGAIN)
            continue;
        if (qpair_may_retry(tr)) {
            tr->tries++;
            tr->state = TRACKER_AGAIN;
        } else {
            qpair_end(qp, tr, -ETIMEDOUT);
        }
    }
    ring_reset(&qp->ring);
}

static void lose(struct nvme_qpair *qp, int error)
{
    for (uint32_t i = 0; i < qp->depth; i++)
        if (qp->trackers[i].state != TRACKER_FREE)
            qpair_end(qp, &qp->trackers[i], error);
    qpair_end_waiting(qp, error);
}

/* The queues are made anew, by ourselves or, where there is no agent, by the turn. False: not yet;
 * it is to be tried again when it is attended to next. */
static bool mend(struct nvme_qpair *qp)
{
    int error = agent_of(qp) ? agent_of(qp)->restart(qp->ring.access, qp->number) : 0;

    if (error == -EAGAIN) {
        // Not what the phase is, and not live.
        qp->seen = QPAIR_FROZEN;
        return false;
    }
    if (error) {
        (void)say(qp, QPAIR_LOST);
        lose(qp, -ENODEV);
        return true;
    }
    take_back(qp);
    if (!say(qp, agent_of(qp) ? QPAIR_LIVE : QPAIR_WANTED))
        return true;
    if (agent_of(qp))
        go(qp);
    else
        wish(qp);
    return true;
}

void qpair_attend(struct nvme_qpair *qp)
{
    uint32_t phase;

    while ((phase = __atomic_load_n(&qp->phase, __ATOMIC_ACQUIRE)) != qp->seen) {
        qp->seen = phase;
        // Nobody else has seen to it that what is out reaches no memory any more.
        if (phase == QPAIR_LOST && agent_of(qp))
            (void)agent_of(qp)->restart(qp->ring.access, qp->number);
        if (phase == QPAIR_LOST)
            lose(qp, qp->lost_error);
        if (phase == QPAIR_LIVE)
            go(qp);
        if (phase == QPAIR_BROKEN && !mend(qp))
            return;
    }
}

/* --- time ------------------------------------------------------------------------------------- */

/* One Abort a tick and queue pair: a controller takes few at once (ACL), and who has many commands
 * overdue needs the reset that follows. */
static uint32_t abort_pick(struct nvme_qpair *qp)
{
    for (uint32_t i = 0; i < qp->depth; i++)
        if (qp->trackers[i].state == TRACKER_OVERDUE) {
            qp->trackers[i].state = TRACKER_ABORTING;
            return QPAIR_MAIL_ABORT | qp->trackers[i].cid;
        }
    return 0;
}

/* What is to be done about commands that are overdue, as the turn reads it; 0: nothing. */
static uint32_t overdue(struct nvme_qpair *qp)
{
    uint32_t mail = 0;

    for (uint32_t i = 0; i < qp->depth; i++) {
        struct tracker *tr = &qp->trackers[i];
        uint32_t age = qp->tick - tr->tick;

        // The tick under way when it was posted was already partly over.
        if (tr->state == TRACKER_OUT && age > QPAIR_TICKS) {
            tr->state = TRACKER_OVERDUE;
            stat_inc(&qp->stats.timeouts);
        }
        if (tr->state > TRACKER_OUT && age > 2 * QPAIR_TICKS)
            mail = QPAIR_MAIL_STUCK;
    }
    // A letter that was not fetched yet comes first.
    return mail || __atomic_load_n(&qp->mail, __ATOMIC_RELAXED) ? mail : abort_pick(qp);
}

void qpair_tick(struct nvme_qpair *qp)
{
    uint32_t mail;

    qp->tick = __atomic_load_n(&qp->board->tick, __ATOMIC_RELAXED);
    if (agent_of(qp))
        agent_of(qp)->look(qp->ring.access, qp->number);
    if (qp->free_count == qp->depth)
        return;
    mail = overdue(qp);
    if (!mail)
        return;
    // An agent aborts nothing by itself, but restarts.
    if (agent_of(qp)) {
        if (say(qp, QPAIR_BROKEN))
            (void)mend(qp);
        return;
    }
    __atomic_store_n(&qp->mail, mail, __ATOMIC_RELAXED);
    wish(qp);
}

/* --- closing ---------------------------------------------------------------------------------- */

static int closed(struct nvme_qpair *qp)
{
    __atomic_store_n(&qp->taken, 0, __ATOMIC_RELEASE);
    return 0;
}

int nvme_close(struct nvme_qpair *qp)
{
    if (qp->outstanding)
        return -EBUSY;
    if (agent_of(qp)) {
        agent_of(qp)->detach(qp->ring.access, qp->number);
        __atomic_store_n(&qp->phase, QPAIR_NONE, __ATOMIC_RELEASE);
        return closed(qp);
    }
    for (;;) {
        qp->seen = __atomic_load_n(&qp->phase, __ATOMIC_ACQUIRE);
        switch (qp->seen) {
        case QPAIR_NONE:
            return closed(qp);
        case QPAIR_LEAVING:
            return -EINPROGRESS;
        case QPAIR_BROKEN:
        case QPAIR_LOST:
            // The controller knows nothing of it already.
            if (say(qp, QPAIR_NONE))
                return closed(qp);
            break;
        default:
            if (say(qp, QPAIR_LEAVING)) {
                wish(qp);
                return -EINPROGRESS;
            }
        }
    }
}

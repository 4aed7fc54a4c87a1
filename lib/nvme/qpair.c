// SPDX-License-Identifier: BSD-2-Clause
/*
 * qpair.c - from requests to commands and back.
 *
 * A request is cut into parts, each a command with a tracker. It has ended when nothing of it is
 * out and nothing is left to be posted; the first error takes away what is left.
 */
#include "qpair.h"

#include <errno.h>

const struct stat_desc nvme_qpair_stat_descs[] = {
    NVME_QPAIR_STATS(STAT_DESC, struct nvme_qpair_stats){0}};

int qpair_init(struct nvme_qpair *qp, struct nvme_access *access, struct mem_arena *arena,
               uint32_t number, uint32_t depth, uint32_t transfer_bytes)
{
    struct ring *r = &qp->ring;
    size_t lists;

    *qp = (struct nvme_qpair){.number = number};
    list_init(&qp->waiting);
    r->access = access;
    r->size = depth + 1;
    qp->list_entries = prp_list_entries(transfer_bytes);
    lists = (size_t)depth * qp->list_entries * sizeof(uint64_t);
    r->sq = mem_arena_alloc(arena, r->size * sizeof(*r->sq), PAGE_BYTES);
    r->cq = mem_arena_alloc(arena, r->size * sizeof(*r->cq), PAGE_BYTES);
    qp->lists = mem_arena_alloc(arena, lists, PAGE_BYTES);
    qp->trackers = mem_arena_alloc(arena, depth * sizeof(*qp->trackers), CACHE_LINE);
    qp->free = mem_arena_alloc(arena, depth * sizeof(*qp->free), CACHE_LINE);
    if (!r->sq || !r->cq || !qp->lists || !qp->trackers || !qp->free)
        return -ENOMEM;
    r->sq_bus = access_bus(access, r->sq, r->size * sizeof(*r->sq));
    r->cq_bus = access_bus(access, r->cq, r->size * sizeof(*r->cq));
    qp->lists_bus = access_bus(access, qp->lists, lists);
    qpair_limit(qp, depth, transfer_bytes);
    return 0;
}

void qpair_limit(struct nvme_qpair *qp, uint32_t depth, uint32_t transfer_bytes)
{
    assert(depth < qp->ring.size || qp->depth == 0);
    assert(qp->free_count == qp->depth && transfer_bytes <= qp->list_entries * PAGE_BYTES);
    qp->depth = qp->free_count = depth;
    qp->ring.size = depth + 1;
    qp->transfer_bytes = transfer_bytes;
    for (uint32_t i = 0; i < depth; i++)
        qp->free[i] = (uint16_t)(depth - 1 - i);
}

/* --- posting ---------------------------------------------------------------------------------- */

static void tracker_post(struct nvme_qpair *qp, struct tracker *tr)
{
    uint32_t index = (uint32_t)(tr - qp->trackers);
    const struct iohdesc *io = tr->io;
    uint64_t lba = io->lba + tr->first;
    size_t off = (size_t)tr->first << io->block_shift;
    size_t list = (size_t)index * qp->list_entries;
    struct nvme_sqe *sqe = ring_post(&qp->ring);

    // The use before this one is over, whatever is still to come of it.
    tr->cid = (uint16_t)(((tr->cid >> QPAIR_CID_SHIFT) + 1) << QPAIR_CID_SHIFT | index);
    tr->state = TRACKER_OUT;
    tr->tick = qp->tick;
    *sqe = (struct nvme_sqe){.opc = io->opc, .cid = tr->cid, .nsid = io->ns_id};
    stat_inc(&qp->stats.commands);
    if (io->opc == NVME_IO_FLUSH)
        return;
    sqe->cdw10 = (uint32_t)lba;
    sqe->cdw11 = (uint32_t)(lba >> 32);
    sqe->cdw12 = tr->count - 1;
    prp_build(sqe, io->bus + off, tr->count << io->block_shift, qp->lists + list,
              qp->lists_bus + list * sizeof(uint64_t));
}

/* As much of the request as there is room for; true: all of it. */
static bool io_post(struct nvme_qpair *qp, struct iohdesc *io)
{
    uint32_t blocks_max = qp->transfer_bytes >> io->block_shift;

    while (io->left && qp->free_count && qp->live) {
        struct tracker *tr = &qp->trackers[qp->free[--qp->free_count]];

        tr->io = io;
        tr->first = io->total - io->left;
        tr->count = min_u32(io->left, blocks_max);
        tr->tries = 1;
        io->left -= tr->count;
        io->parts++;
        tracker_post(qp, tr);
    }
    return io->left == 0;
}

static void waiting_post(struct nvme_qpair *qp)
{
    struct iohdesc *io;

    while (qp->free_count && qp->live &&
           (io = list_first(&qp->waiting, struct iohdesc, waiting)) != NULL) {
        if (!io_post(qp, io))
            break;
        list_remove(&io->waiting);
    }
}

static const struct nvme_namespace *namespace_find(const struct nvme_qpair *qp, uint32_t ns_id)
{
    const struct qpair_namespaces *all = qp->namespaces;

    // On nearly every disk they are numbered 1, 2, ...
    if (ns_id - 1 < all->count && all->list[ns_id - 1].ns_id == ns_id)
        return &all->list[ns_id - 1];
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].ns_id == ns_id)
            return &all->list[i];
    return NULL;
}

static void io_start(struct iohdesc *io, enum nvme_io_opc opc, uint32_t total)
{
    struct nvme_qpair *qp = io->ioqp;

    io->opc = (uint8_t)opc;
    io->error = 0;
    io->status = NVME_OK;
    io->total = io->left = total;
    io->parts = 0;
    list_init(&io->waiting);
    qp->outstanding++;
    // Nobody overtakes those who wait.
    if (list_empty(&qp->waiting) && io_post(qp, io))
        return;
    list_push_tail(&qp->waiting, &io->waiting);
    stat_inc(&qp->stats.waits);
}

static int io_check(struct iohdesc *io)
{
    const struct nvme_namespace *ns = namespace_find(io->ioqp, io->ns_id);

    if (unlikely(io->ioqp->lost))
        return -ENODEV;
    if (unlikely(!ns || !ns->blocks))
        return -ENXIO;
    if (unlikely(!io->lba_count))
        return -EINVAL;
    if (unlikely(io->lba >= ns->blocks || io->lba_count > ns->blocks - io->lba))
        return -ERANGE;
    io->bus = access_bus(io->ioqp->ring.access, io->buf, (size_t)io->lba_count * ns->block_bytes);
    if (unlikely((uintptr_t)io->buf & 3 || io->bus == NVME_BUS_NONE))
        return -EFAULT;
    io->block_shift = (uint8_t)__builtin_ctz(ns->block_bytes);
    return 0;
}

int nvme_read(struct iohdesc *io)
{
    int error = io_check(io);

    if (error)
        return error;
    stat_inc(&io->ioqp->stats.reads);
    io_start(io, NVME_IO_READ, io->lba_count);
    return 0;
}

int nvme_write(struct iohdesc *io)
{
    int error = io_check(io);

    if (error)
        return error;
    stat_inc(&io->ioqp->stats.writes);
    io_start(io, NVME_IO_WRITE, io->lba_count);
    return 0;
}

int nvme_flush(struct iohdesc *io)
{
    const struct nvme_namespace *ns = namespace_find(io->ioqp, io->ns_id);

    if (io->ioqp->lost)
        return -ENODEV;
    if (!ns || !ns->blocks)
        return -ENXIO;
    io->block_shift = 0;
    stat_inc(&io->ioqp->stats.flushes);
    io_start(io, NVME_IO_FLUSH, 1);
    return 0;
}

/* --- ending ----------------------------------------------------------------------------------- */

static int status_error(uint16_t status)
{
    switch (NVME_STATUS_CODE(status)) {
    case NVME_OK:
        return 0;
    case NVME_ABORT_REQUESTED: // by us, because it was overdue
        return -ETIMEDOUT;
    case NVME_INVALID_NAMESPACE:
        return -ENXIO;
    case NVME_LBA_OUT_OF_RANGE:
        return -ERANGE;
    case NVME_CAPACITY_EXCEEDED:
        return -ENOSPC;
    case NVME_WRITE_PROTECTED:
        return -EROFS;
    default:
        return -EIO;
    }
}

/* Errors that another try may not meet. What the medium says is not among them: the disk has tried
 * for as long as it thinks right. */
static bool status_passes(uint16_t status)
{
    if (status & NVME_STATUS_DNR)
        return false;
    switch (NVME_STATUS_CODE(status)) {
    case NVME_DATA_TRANSFER_ERROR:
    case NVME_INTERNAL_ERROR:
    case NVME_ABORT_REQUESTED:
    case NVME_NAMESPACE_NOT_READY:
        return true;
    default:
        return NVME_STATUS_SCT(status) == NVME_SCT_PATH;
    }
}

static void io_end(struct nvme_qpair *qp, struct iohdesc *io)
{
    qp->outstanding--;
    if (io->error)
        stat_inc(&qp->stats.errors);
    io->op_complete(io, io->error);
}

static void io_fail(struct iohdesc *io, int error, uint16_t status)
{
    if (!io->error) {
        io->error = error;
        io->status = NVME_STATUS_CODE(status);
    }
    io->left = 0;
    list_remove(&io->waiting);
}

static void tracker_end(struct nvme_qpair *qp, struct tracker *tr, int error, uint16_t status)
{
    struct iohdesc *io = tr->io;

    tr->state = TRACKER_FREE;
    tr->io = NULL;
    qp->free[qp->free_count++] = (uint16_t)(tr - qp->trackers);
    if (unlikely(error))
        io_fail(io, error, status);
    if (--io->parts == 0 && io->left == 0)
        io_end(qp, io);
}

static bool tracker_may_retry(const struct tracker *tr)
{
    // A request that has failed gains nothing from the rest of it.
    return tr->io->opc == NVME_IO_READ && tr->tries < NVME_TRIES_MAX && !tr->io->error;
}

static void complete(struct nvme_qpair *qp, uint16_t cid, uint16_t status)
{
    uint32_t index = cid & ((1u << QPAIR_CID_SHIFT) - 1);
    struct tracker *tr = &qp->trackers[index];

    if (unlikely(index >= qp->depth || tr->cid != cid || tr->state == TRACKER_FREE)) {
        stat_inc(&qp->stats.drop_stray);
        return;
    }
    if (unlikely(status && status_passes(status) && tracker_may_retry(tr))) {
        tr->tries++;
        stat_inc(&qp->stats.reissues);
        tracker_post(qp, tr);
        return;
    }
    tracker_end(qp, tr, status_error(status), status);
}

uint32_t nvme_peek_completions(struct nvme_qpair *qp)
{
    struct ring r = qp->ring;
    uint32_t count = 0;

    // Phases of a whole ring may all look new only if the controller wrote more than we asked for.
    while (count < r.size && ring_peek(&r)) {
        ring_advance(&r);
        count++;
    }
    return count;
}

uint32_t nvme_consume_completions(struct nvme_qpair *qp, uint32_t max)
{
    const struct nvme_cqe *cqe;
    uint32_t count = 0;

    assert(!qp->inside);
    if (!qp->live)
        return 0;
    qp->inside = true;
    while (count < max && (cqe = ring_peek(&qp->ring)) != NULL) {
        uint16_t cid = cqe->cid, status = cqe->sf >> 1;

        ring_advance(&qp->ring);
        complete(qp, cid, status);
        count++;
    }
    waiting_post(qp);
    qp->inside = false;
    return count;
}

bool nvme_sqsync(struct nvme_qpair *qp)
{
    if (!qp->live || !ring_sq(&qp->ring))
        return false;
    stat_inc(&qp->stats.sq_rings);
    return true;
}

bool nvme_cqsync(struct nvme_qpair *qp)
{
    if (!qp->live || !ring_cq(&qp->ring))
        return false;
    stat_inc(&qp->stats.cq_rings);
    return true;
}

uint32_t nvme_outstanding(const struct nvme_qpair *qp)
{
    return qp->outstanding;
}

int nvme_fd(const struct nvme_qpair *qp)
{
    return qp->ring.access->ops->fd(qp->ring.access, qp->number);
}

const struct nvme_qpair_stats *nvme_qpair_stats(const struct nvme_qpair *qp)
{
    return &qp->stats;
}

int nvme_close(struct nvme_qpair *qp)
{
    if (qp->outstanding)
        return -EBUSY;
    qp->taken = false;
    return 0;
}

/* --- what the controller's state machine does ------------------------------------------------- */

void qpair_freeze(struct nvme_qpair *qp)
{
    qp->live = false;
}

void qpair_go(struct nvme_qpair *qp)
{
    qp->live = true;
    for (uint32_t i = 0; i < qp->depth; i++)
        if (qp->trackers[i].state == TRACKER_AGAIN) {
            stat_inc(&qp->stats.reissues);
            tracker_post(qp, &qp->trackers[i]);
        }
    waiting_post(qp);
    nvme_sqsync(qp);
}

void qpair_take_back(struct nvme_qpair *qp)
{
    qp->live = false;
    for (uint32_t i = 0; i < qp->depth; i++) {
        struct tracker *tr = &qp->trackers[i];

        if (tr->state == TRACKER_FREE || tr->state == TRACKER_AGAIN)
            continue;
        if (tracker_may_retry(tr)) {
            tr->tries++;
            tr->state = TRACKER_AGAIN;
        } else {
            tracker_end(qp, tr, -ETIMEDOUT, NVME_OK);
        }
    }
}

void qpair_lose(struct nvme_qpair *qp, int error)
{
    struct iohdesc *io;

    qp->live = false;
    qp->lost = true;
    for (uint32_t i = 0; i < qp->depth; i++)
        if (qp->trackers[i].state != TRACKER_FREE)
            tracker_end(qp, &qp->trackers[i], error, NVME_OK);
    // Those who wait have nothing out any more: io_fail has taken away the others.
    while ((io = list_first(&qp->waiting, struct iohdesc, waiting)) != NULL) {
        io_fail(io, error, NVME_OK);
        io_end(qp, io);
    }
}

bool qpair_tick(struct nvme_qpair *qp)
{
    bool stuck = false;

    qp->tick++;
    if (qp->free_count == qp->depth || !qp->live)
        return false;
    for (uint32_t i = 0; i < qp->depth; i++) {
        struct tracker *tr = &qp->trackers[i];
        uint32_t age = qp->tick - tr->tick;

        // The tick under way when it was posted was already partly over.
        if (tr->state == TRACKER_OUT && age > QPAIR_TICKS) {
            tr->state = TRACKER_OVERDUE;
            stat_inc(&qp->stats.timeouts);
        }
        if (tr->state > TRACKER_OUT && age > 2 * QPAIR_TICKS)
            stuck = true;
    }
    return stuck;
}

bool qpair_next_overdue(struct nvme_qpair *qp, uint16_t *cid)
{
    for (uint32_t i = 0; i < qp->depth; i++)
        if (qp->trackers[i].state == TRACKER_OVERDUE) {
            qp->trackers[i].state = TRACKER_ABORTING;
            *cid = qp->trackers[i].cid;
            return true;
        }
    return false;
}

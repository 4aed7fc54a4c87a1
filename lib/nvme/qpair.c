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

/* --- posting ---------------------------------------------------------------------------------- */

static void data_describe(struct nvme_qpair *qp, struct nvme_sqe *sqe, uint32_t index, uint64_t bus,
                          uint32_t bytes)
{
    size_t list = (size_t)index * qp->list_entries;

    // Two pages need no list, and every controller reads PRPs.
    if (qp->sgls && prp_needs_list(bus, bytes)) {
        sqe->flags = NVME_SQE_SGL;
        sqe->prp1 = bus;
        sqe->prp2 = bytes;
        return;
    }
    prp_build(sqe, bus, bytes, qp->lists + list, qp->lists_bus + list * sizeof(uint64_t));
}

void qpair_post(struct nvme_qpair *qp, struct tracker *tr)
{
    uint32_t index = (uint32_t)(tr - qp->trackers);
    const struct iohdesc *io = tr->io;
    uint64_t lba = io->lba + tr->first;
    size_t off = (size_t)tr->first << io->block_shift;
    struct nvme_sqe *sqe = ring_post(&qp->ring);

    // The use before this one is over, whatever is still to come of it.
    tr->cid = (uint16_t)(((tr->cid >> QPAIR_CID_SHIFT) + 1) << QPAIR_CID_SHIFT | index);
    tr->state = TRACKER_OUT;
    tr->tick = __atomic_load_n(&qp->board->tick, __ATOMIC_RELAXED);
    *sqe = (struct nvme_sqe){.opc = io->opc, .cid = tr->cid, .nsid = io->ns_id};
    stat_inc(&qp->stats.commands);
    if (io->opc == NVME_IO_FLUSH)
        return;
    sqe->cdw10 = (uint32_t)lba;
    sqe->cdw11 = (uint32_t)(lba >> 32);
    sqe->cdw12 = tr->count - 1;
    data_describe(qp, sqe, index, io->bus + off, tr->count << io->block_shift);
}

/* As much of the request as there is room for; true: all of it. */
static bool io_post(struct nvme_qpair *qp, struct iohdesc *io)
{
    uint32_t blocks_max = qp->transfer_bytes >> io->block_shift;

    while (io->left && qp->free_count && qpair_live(qp)) {
        struct tracker *tr = &qp->trackers[qp->free[--qp->free_count]];

        tr->io = io;
        tr->first = io->total - io->left;
        tr->count = min_u32(io->left, blocks_max);
        tr->tries = 1;
        io->left -= tr->count;
        io->parts++;
        qpair_post(qp, tr);
    }
    return io->left == 0;
}

void qpair_post_waiting(struct nvme_qpair *qp)
{
    struct iohdesc *io;

    while (qp->free_count && qpair_live(qp) &&
           (io = list_first(&qp->waiting, struct iohdesc, waiting)) != NULL) {
        if (!io_post(qp, io))
            break;
        list_remove(&io->waiting);
    }
}

/* Blocks of the namespace: 0, there is none (any more). */
static uint64_t namespace_find(const struct nvme_qpair *qp, uint32_t ns_id, uint32_t *block_bytes)
{
    const struct qpair_namespaces *all = &qp->board->namespaces;
    uint32_t count = __atomic_load_n(&all->count, __ATOMIC_ACQUIRE);
    const struct nvme_namespace *ns = all->list;
    uint64_t blocks;

    // On nearly every disk they are numbered 1, 2, ...
    if (likely(ns_id - 1 < count && ns[ns_id - 1].ns_id == ns_id)) {
        ns += ns_id - 1;
    } else {
        while (ns < all->list + count && ns->ns_id != ns_id)
            ns++;
        if (ns == all->list + count)
            return 0;
    }
    // Where there are blocks, their size is known, and stays.
    blocks = __atomic_load_n(&ns->blocks, __ATOMIC_ACQUIRE);
    *block_bytes = blocks ? ns->block_bytes : 0;
    return blocks;
}

/* NVME_BUS_NONE: no. Buffers of other arenas than the queue pair's own take longer to find. */
static uint64_t buffer_find(const struct nvme_qpair *qp, const void *buf, size_t bytes)
{
    uint64_t bus = region_bus(&qp->region, buf, bytes);

    return likely(bus != NVME_BUS_NONE) ? bus : access_bus(qp->ring.access, buf, bytes);
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
    const struct nvme_qpair *qp = io->ioqp;
    uint32_t block_bytes;
    uint64_t blocks = namespace_find(qp, io->ns_id, &block_bytes);

    if (unlikely(qp->seen == QPAIR_LOST))
        return -ENODEV;
    if (unlikely(!blocks))
        return -ENXIO;
    if (unlikely(!io->lba_count))
        return -EINVAL;
    if (unlikely(io->lba >= blocks || io->lba_count > blocks - io->lba))
        return -ERANGE;
    io->bus = buffer_find(qp, io->buf, (size_t)io->lba_count * block_bytes);
    if (unlikely((uintptr_t)io->buf & 3 || io->bus == NVME_BUS_NONE))
        return -EFAULT;
    io->block_shift = (uint8_t)__builtin_ctz(block_bytes);
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
    uint32_t block_bytes;

    if (io->ioqp->seen == QPAIR_LOST)
        return -ENODEV;
    if (!namespace_find(io->ioqp, io->ns_id, &block_bytes))
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

static void io_call(struct nvme_qpair *qp, struct iohdesc *io)
{
    qp->outstanding--;
    if (unlikely(io->error))
        stat_inc(&qp->stats.errors);
    io->op_complete(io, io->error);
}

/* What ends otherwise than by its completion is called back by the next who consumes. */
static void io_end(struct nvme_qpair *qp, struct iohdesc *io)
{
    if (likely(qp->inside)) {
        io_call(qp, io);
        return;
    }
    list_push_tail(&qp->ended, &io->waiting);
    qp->ended_count++;
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

void qpair_end(struct nvme_qpair *qp, struct tracker *tr, int error)
{
    tracker_end(qp, tr, error, NVME_OK);
}

/* Those who wait have nothing out any more. */
void qpair_end_waiting(struct nvme_qpair *qp, int error)
{
    struct iohdesc *io;

    while ((io = list_first(&qp->waiting, struct iohdesc, waiting)) != NULL) {
        io_fail(io, error, NVME_OK);
        io_end(qp, io);
    }
}

bool qpair_may_retry(const struct tracker *tr)
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
    if (unlikely(status && status_passes(status) && qpair_may_retry(tr))) {
        tr->tries++;
        stat_inc(&qp->stats.reissues);
        qpair_post(qp, tr);
        return;
    }
    tracker_end(qp, tr, status_error(status), status);
}

/* --- the owner's turn ------------------------------------------------------------------------- */

static void attend(struct nvme_qpair *qp)
{
    if (unlikely(__atomic_load_n(&qp->phase, __ATOMIC_ACQUIRE) != qp->seen))
        qpair_attend(qp);
}

/* Only when nothing is left to consume: who was away for long is not to take a command for overdue
 * whose completion is there. */
static void tick_look(struct nvme_qpair *qp)
{
    if (unlikely(__atomic_load_n(&qp->board->tick, __ATOMIC_RELAXED) != qp->tick) &&
        qpair_live(qp) && !ring_peek(&qp->ring))
        qpair_tick(qp);
}

uint32_t nvme_peek_completions(struct nvme_qpair *qp)
{
    attend(qp);
    tick_look(qp);
    return qp->ended_count + (qpair_live(qp) ? ring_count(&qp->ring) : 0);
}

static uint32_t ended_deliver(struct nvme_qpair *qp, uint32_t max)
{
    struct iohdesc *io;
    uint32_t count = 0;

    while (count < max && (io = list_first(&qp->ended, struct iohdesc, waiting)) != NULL) {
        list_remove(&io->waiting);
        qp->ended_count--;
        io_call(qp, io);
        count++;
    }
    return count;
}

uint32_t nvme_consume_completions(struct nvme_qpair *qp, uint32_t max)
{
    const struct nvme_cqe *cqe;
    uint32_t count = 0;

    assert(!qp->inside);
    attend(qp);
    qp->inside = true;
    if (unlikely(qp->ended_count))
        count = ended_deliver(qp, max);
    while (count < max && qpair_live(qp) && (cqe = ring_peek(&qp->ring)) != NULL) {
        uint16_t cid = cqe->cid, status = cqe->sf >> 1;

        ring_advance(&qp->ring);
        complete(qp, cid, status);
        count++;
    }
    qpair_post_waiting(qp);
    qp->inside = false;
    tick_look(qp);
    return count;
}

static bool told(struct nvme_qpair *qp, enum ring_told how, uint64_t *rings)
{
    if (how == RING_REGISTER)
        stat_inc(rings);
    else if (how == RING_SHADOW)
        stat_inc(&qp->stats.shadow_rings);
    return how != RING_NOTHING;
}

bool nvme_sqsync(struct nvme_qpair *qp)
{
    attend(qp);
    return qpair_live(qp) && told(qp, ring_sq(&qp->ring), &qp->stats.sq_rings);
}

bool nvme_cqsync(struct nvme_qpair *qp)
{
    attend(qp);
    return qpair_live(qp) && told(qp, ring_cq(&qp->ring), &qp->stats.cq_rings);
}

uint32_t nvme_outstanding(const struct nvme_qpair *qp)
{
    return qp->outstanding;
}

int nvme_fd(const struct nvme_qpair *qp)
{
    if (unlikely(qp->seen == QPAIR_LOST))
        return -1;
    return qp->ring.access->ops->fd(qp->ring.access, qp->number);
}

const struct nvme_qpair_stats *nvme_qpair_stats(const struct nvme_qpair *qp)
{
    return &qp->stats;
}

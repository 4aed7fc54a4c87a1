// SPDX-License-Identifier: BSD-2-Clause
/*
 * queues.c - the turn's moves with queue pairs: created when their owners want them, deleted when
 * they leave, frozen, broken and lost with the controller.
 *
 * One queue is created or deleted at a time. Whatever goes wrong with a deletion is mended by a
 * reset, which deletes everything; a creation that is refused costs only that queue pair.
 */
#include "ctrlr.h"

#include <errno.h>
#include <stdio.h>

static bool move(struct nvme_qpair *qp, uint32_t from, enum qpair_phase to)
{
    return __atomic_compare_exchange_n(&qp->phase, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static uint32_t phase_of(const struct nvme_qpair *qp)
{
    return __atomic_load_n(&qp->phase, __ATOMIC_ACQUIRE);
}

/* --- creating --------------------------------------------------------------------------------- */

static void job_end(struct nvme_ctrlr *ctrlr)
{
    ctrlr->job = NULL;
    ctrlr->deadline_ns = UINT64_MAX;
}

static void lose(struct nvme_qpair *qp, int error)
{
    qp->lost_error = error;
    __atomic_store_n(&qp->phase, QPAIR_LOST, __ATOMIC_RELEASE);
}

static void refused(struct nvme_ctrlr *ctrlr, uint16_t status)
{
    struct nvme_qpair *qp = ctrlr->job;

    stat_inc(&ctrlr->stats.admin_errors);
    snprintf(ctrlr->why, sizeof(ctrlr->why),
             "the controller refuses to create queue pair %u with status 0x%03x", qp->number,
             (unsigned)NVME_STATUS_CODE(status));
    // Unless it is being closed.
    if (phase_of(qp) == QPAIR_WANTED)
        lose(qp, -ENODEV);
    job_end(ctrlr);
}

static void cq_undone(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;

    if (ctrlr_succeeded(ctrlr, cqe, "Delete I/O Completion Queue"))
        refused(ctrlr, ctrlr->job_status);
}

static void sq_created(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_DELETE_CQ, .cdw10 = ctrlr->job->number};

    if (NVME_STATUS_CODE(cqe->sf >> 1) != NVME_OK) {
        ctrlr->job_status = cqe->sf >> 1;
        ctrlr_command(ctrlr, &sqe, cq_undone);
        return;
    }
    ctrlr->job->created = true;
    // What it said of the commands before a reset is not meant for those that come.
    __atomic_store_n(&ctrlr->job->mail, 0, __ATOMIC_RELAXED);
    // Otherwise it is being closed, and gets its turn as such.
    (void)move(ctrlr->job, QPAIR_WANTED, QPAIR_LIVE);
    job_end(ctrlr);
}

static struct nvme_sqe create(const struct nvme_qpair *qp, enum nvme_admin_opc opc, uint64_t bus)
{
    return (struct nvme_sqe){.opc = (uint8_t)opc,
                             .prp1 = bus,
                             .cdw10 = (qp->ring.size - 1) << 16 | qp->number,
                             .cdw11 = NVME_QUEUE_PC};
}

static void cq_created(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    struct nvme_sqe sqe = create(ctrlr->job, NVME_ADMIN_CREATE_SQ, ctrlr->job->ring.sq_bus);

    if (NVME_STATUS_CODE(cqe->sf >> 1) != NVME_OK) {
        refused(ctrlr, cqe->sf >> 1);
        return;
    }
    sqe.cdw11 |= ctrlr->job->number << 16;
    ctrlr_command(ctrlr, &sqe, sq_created);
}

static void create_start(struct nvme_ctrlr *ctrlr, struct nvme_qpair *qp)
{
    struct nvme_sqe sqe = create(qp, NVME_ADMIN_CREATE_CQ, qp->ring.cq_bus);

    if (qp->ring.access->ops->fd(qp->ring.access, qp->number) >= 0)
        sqe.cdw11 |= NVME_CQ_IEN | qp->number << 16;
    ctrlr->job = qp;
    ctrlr_command(ctrlr, &sqe, cq_created);
}

/* --- deleting --------------------------------------------------------------------------------- */

static void cq_deleted(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;

    if (!ctrlr_succeeded(ctrlr, cqe, "Delete I/O Completion Queue"))
        return;
    ctrlr->job->created = false;
    (void)move(ctrlr->job, QPAIR_LEAVING, QPAIR_NONE);
    job_end(ctrlr);
}

static void sq_deleted(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_DELETE_CQ, .cdw10 = ctrlr->job->number};

    if (ctrlr_succeeded(ctrlr, cqe, "Delete I/O Submission Queue"))
        ctrlr_command(ctrlr, &sqe, cq_deleted);
}

static void delete_start(struct nvme_ctrlr *ctrlr, struct nvme_qpair *qp)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_DELETE_SQ, .cdw10 = qp->number};

    ctrlr->job = qp;
    ctrlr_command(ctrlr, &sqe, sq_deleted);
}

/* --- serving ---------------------------------------------------------------------------------- */

static void aborted(void *arg, const struct nvme_cqe *cqe)
{
    // What became of the command is said by its own completion, or by its never coming.
    if (cqe->sf >> 1)
        stat_inc(&((struct nvme_ctrlr *)arg)->stats.admin_errors);
}

static void mail_read(struct nvme_ctrlr *ctrlr, struct nvme_qpair *qp)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_ABORT};
    uint32_t mail;

    // Of a queue pair that a reset has caught, it is about commands that are no longer out.
    if (!__atomic_load_n(&qp->mail, __ATOMIC_RELAXED) || phase_of(qp) != QPAIR_LIVE)
        return;
    mail = __atomic_exchange_n(&qp->mail, 0, __ATOMIC_RELAXED);
    if (mail & QPAIR_MAIL_STUCK) {
        ctrlr_fault(ctrlr, "a command did not end in time, nor when aborted: the controller was "
                           "reset");
        return;
    }
    sqe.cdw10 = QPAIR_MAIL_CID(mail) << 16 | qp->number;
    if (mail & QPAIR_MAIL_ABORT && admin_send(&ctrlr->admin, &sqe, aborted) == 0)
        stat_inc(&ctrlr->stats.aborts);
}

/* False: there is nothing to be done. */
static bool job_start(struct nvme_ctrlr *ctrlr)
{
    for (uint32_t i = 0; i < ctrlr->info.qpairs; i++) {
        struct nvme_qpair *qp = &ctrlr->qpairs[i];
        uint32_t phase = phase_of(qp);

        if (phase == QPAIR_WANTED) {
            create_start(ctrlr, qp);
            return true;
        }
        if (phase == QPAIR_LEAVING && qp->created) {
            delete_start(ctrlr, qp);
            return true;
        }
        if (phase == QPAIR_LEAVING)
            (void)move(qp, QPAIR_LEAVING, QPAIR_NONE);
    }
    return false;
}

void queues_serve(struct nvme_ctrlr *ctrlr)
{
    for (uint32_t i = 0; i < ctrlr->info.qpairs && ctrlr->step == STEP_READY; i++)
        mail_read(ctrlr, &ctrlr->qpairs[i]);
    if (ctrlr->step == STEP_READY && !ctrlr->job && !ctrlr->scan.running)
        ctrlr->wanted = job_start(ctrlr);
}

/* --- with the controller ---------------------------------------------------------------------- */

void queues_freeze(struct nvme_ctrlr *ctrlr)
{
    ctrlr->job = NULL;
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
        (void)move(&ctrlr->qpairs[i], QPAIR_LIVE, QPAIR_FROZEN);
}

void queues_break(struct nvme_qpair *qp)
{
    (void)move(qp, QPAIR_LIVE, QPAIR_BROKEN);
}

void queues_forgotten(struct nvme_ctrlr *ctrlr)
{
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++) {
        struct nvme_qpair *qp = &ctrlr->qpairs[i];

        qp->created = false;
        if (!move(qp, QPAIR_LEAVING, QPAIR_NONE))
            (void)move(qp, QPAIR_FROZEN, QPAIR_BROKEN);
    }
}

void queues_lose(struct nvme_ctrlr *ctrlr, int error)
{
    ctrlr->job = NULL;
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++) {
        struct nvme_qpair *qp = &ctrlr->qpairs[i];

        qp->created = false;
        if (!move(qp, QPAIR_LEAVING, QPAIR_NONE) && phase_of(qp) != QPAIR_NONE &&
            phase_of(qp) != QPAIR_LOST)
            lose(qp, error);
    }
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctrlr.c - the life of a controller: brought up, watched, reset, given up, shut down.
 *
 * One enum, one setter, one table. Every step has a deadline; nothing waits in here. Whatever goes
 * wrong comes to ctrlr_fault, and whatever has to be given back is given back in two places only:
 * when CSTS.RDY is 0, and when the controller has been cut off from memory.
 */
#include "ctrlr.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define VERSION_1_1 0x00010100u
/* How often a register is looked at while a step waits for it. */
#define POLL_NS NS_PER_MS
/* Bring-ups in a row that may fail after the first one has succeeded. */
#define ATTEMPTS_MAX      3
#define EVENT_TYPE_NOTICE 2u
#define EVENT_NAMESPACES  0u
#define LOG_BYTES         512u /* reading any of a log page is what makes its event come again */

const struct stat_desc nvme_ctrlr_stat_descs[] = {
    NVME_CTRLR_STATS(STAT_DESC, struct nvme_ctrlr_stats){0}};

struct step_desc {
    enum nvme_state state;
    void (*enter)(struct nvme_ctrlr *ctrlr);
    void (*turn)(struct nvme_ctrlr *ctrlr, uint32_t csts); /* NULL: it waits for a command */
    const char *overdue;
};

static const struct step_desc steps[];

static void step_set(struct nvme_ctrlr *ctrlr, enum step step)
{
    // The specification's limit is for CSTS.RDY; a controller that says 0 gets what a command gets.
    uint64_t ready_ns = (uint64_t)NVME_CAP_TO(ctrlr->cap) * NVME_CAP_TO_UNIT_MS * NS_PER_MS;

    ctrlr->step = step;
    ctrlr->deadline_ns = ctrlr->now_ns + max_u64(ready_ns, ctrlr->config.timeout_ns);
    if (steps[step].enter)
        steps[step].enter(ctrlr);
}

/* --- giving back and giving up ---------------------------------------------------------------- */

static void qpairs_lose(struct nvme_ctrlr *ctrlr, int error)
{
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
        qpair_lose(&ctrlr->qpairs[i], error);
}

static void give_up(struct nvme_ctrlr *ctrlr)
{
    admin_disable(&ctrlr->admin);
    // First cut off, then given back: see nvme.h.
    ctrlr->access->ops->stop(ctrlr->access);
    step_set(ctrlr, STEP_DEAD);
    qpairs_lose(ctrlr, ctrlr->stopping ? -ECANCELED : -ENODEV);
}

void ctrlr_fault(struct nvme_ctrlr *ctrlr, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(ctrlr->why, sizeof(ctrlr->why), fmt, args);
    va_end(args);
    // Who does not stop when told to is not helped by being told again.
    if (ctrlr->step <= STEP_DISABLE || ctrlr->step == STEP_SHUTDOWN || ctrlr->stopping ||
        !ctrlr->was_ready || ctrlr->attempts == ATTEMPTS_MAX) {
        give_up(ctrlr);
        return;
    }
    ctrlr->attempts++;
    stat_inc(&ctrlr->stats.resets);
    step_set(ctrlr, STEP_DISABLE);
}

static void removed(struct nvme_ctrlr *ctrlr)
{
    snprintf(ctrlr->why, sizeof(ctrlr->why),
             "no device answers (its registers read as all ones): see whether it was pulled out, "
             "lost power or is in a sleep state");
    give_up(ctrlr);
}

/* --- commands --------------------------------------------------------------------------------- */

void ctrlr_command(struct nvme_ctrlr *ctrlr, const struct nvme_sqe *sqe, admin_done *done)
{
    ctrlr->deadline_ns = ctrlr->now_ns + ctrlr->config.timeout_ns;
    if (admin_send(&ctrlr->admin, sqe, done))
        ctrlr_fault(ctrlr, "the controller answers none of %d admin commands: power-cycle it",
                    ADMIN_DEPTH);
}

bool ctrlr_succeeded(struct nvme_ctrlr *ctrlr, const struct nvme_cqe *cqe, const char *name)
{
    uint16_t status = cqe->sf >> 1;

    if (NVME_STATUS_CODE(status) == NVME_OK)
        return true;
    stat_inc(&ctrlr->stats.admin_errors);
    ctrlr_fault(ctrlr,
                "%s failed with status 0x%03x: see the controller's error log, or update its "
                "firmware",
                name, (unsigned)NVME_STATUS_CODE(status));
    return false;
}

/* --- disabled and enabled --------------------------------------------------------------------- */

static void settle_turn(struct nvme_ctrlr *ctrlr, uint32_t csts)
{
    bool enabled = access_read32(ctrlr->access, NVME_REG_CC) & NVME_CC_EN;

    // 3.1.5: EN is changed only when RDY has followed the change before it; a fatal status waives
    // that.
    if (enabled == !!(csts & NVME_CSTS_RDY) || csts & NVME_CSTS_CFS)
        step_set(ctrlr, STEP_DISABLE);
}

static void disable_enter(struct nvme_ctrlr *ctrlr)
{
    uint32_t cc = access_read32(ctrlr->access, NVME_REG_CC);

    admin_disable(&ctrlr->admin);
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
        qpair_freeze(&ctrlr->qpairs[i]);
    if (cc & NVME_CC_EN)
        access_write32(ctrlr->access, NVME_REG_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
}

static void disable_turn(struct nvme_ctrlr *ctrlr, uint32_t csts)
{
    if (csts & NVME_CSTS_RDY)
        return;
    if (ctrlr->stopping) {
        step_set(ctrlr, STEP_CLOSED);
        qpairs_lose(ctrlr, -ECANCELED);
        return;
    }
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
        qpair_take_back(&ctrlr->qpairs[i]);
    step_set(ctrlr, STEP_ENABLE);
}

static void enable_enter(struct nvme_ctrlr *ctrlr)
{
    struct nvme_access *access = ctrlr->access;
    uint32_t last = ctrlr->admin.ring.size - 1;

    admin_enable(&ctrlr->admin);
    access_write32(access, NVME_REG_AQA, last << 16 | last);
    access_write64(access, NVME_REG_ASQ, ctrlr->admin.ring.sq_bus);
    access_write64(access, NVME_REG_ACQ, ctrlr->admin.ring.cq_bus);
    // MPS 0 is pages of 4 KiB, AMS 0 round robin, CSS 0 the NVM command set.
    access_write32(access, NVME_REG_CC,
                   NVME_SQE_SHIFT << NVME_CC_IOSQES_SHIFT | NVME_CQE_SHIFT << NVME_CC_IOCQES_SHIFT |
                       NVME_CC_EN);
}

static void enable_turn(struct nvme_ctrlr *ctrlr, uint32_t csts)
{
    if (csts & NVME_CSTS_CFS)
        ctrlr_fault(ctrlr,
                    "the controller reports a fatal status when it is enabled: power-cycle it");
    else if (csts & NVME_CSTS_RDY)
        step_set(ctrlr, STEP_IDENTIFY);
}

/* --- identify --------------------------------------------------------------------------------- */

/* Text from the controller is fit to be printed afterwards. */
static void text_copy(char *to, const char *from, size_t bytes)
{
    while (bytes && (from[bytes - 1] == ' ' || !from[bytes - 1]))
        bytes--;
    for (size_t i = 0; i < bytes; i++)
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    to[bytes] = '\0';
}

static uint32_t transfer_limit(const struct nvme_ctrlr *ctrlr, uint8_t mdts)
{
    uint32_t limit = ctrlr->config.transfer_bytes;

    // 2^MDTS pages; from 2^20 on it is beyond what a command can ask for anyway.
    return mdts && mdts < 20 ? (uint32_t)min_u64(limit, (uint64_t)PAGE_BYTES << mdts) : limit;
}

static void identified(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    const struct nvme_identify_controller *id = ctrlr->data;
    struct nvme_info *info = &ctrlr->info;
    uint32_t depth = min_u32(ctrlr->config.depth, NVME_CAP_MQES(ctrlr->cap));
    uint32_t transfer = transfer_limit(ctrlr, id->mdts);

    if (!ctrlr_succeeded(ctrlr, cqe, "Identify (controller)"))
        return;
    if ((id->sqes & 15) > NVME_SQE_SHIFT || (id->cqes & 15) > NVME_CQE_SHIFT) {
        ctrlr_fault(ctrlr, "the controller wants larger queue entries than 64 and 16 bytes");
        return;
    }
    if (ctrlr->was_ready && (depth != ctrlr->depth || transfer != info->transfer_bytes)) {
        ctrlr->attempts = ATTEMPTS_MAX;
        ctrlr_fault(ctrlr, "the controller came back from a reset with other limits: open it anew");
        return;
    }
    text_copy(info->model, id->mn, sizeof(id->mn));
    text_copy(info->serial, id->sn, sizeof(id->sn));
    text_copy(info->firmware, id->fr, sizeof(id->fr));
    info->write_cache = id->vwc & 1;
    ctrlr->events = NVME_EVENTS_SMART | (id->oaes & NVME_EVENTS_NAMESPACE);
    if (!ctrlr->was_ready) {
        ctrlr->depth = depth;
        info->transfer_bytes = transfer;
        for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
            qpair_limit(&ctrlr->qpairs[i], depth, transfer);
    }
    step_set(ctrlr, STEP_QUEUES);
}

static void identify_enter(struct nvme_ctrlr *ctrlr)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_IDENTIFY, .cdw10 = NVME_CNS_CONTROLLER};

    sqe.prp1 = ctrlr->data_bus;
    ctrlr_command(ctrlr, &sqe, identified);
}

/* --- queues ----------------------------------------------------------------------------------- */

static void granted(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    uint32_t count = min_u32(cqe->dw0 & 0xffff, cqe->dw0 >> 16) + 1;

    if (!ctrlr_succeeded(ctrlr, cqe, "Set Features (number of queues)"))
        return;
    count = min_u32(count, ctrlr->config.qpairs);
    if (ctrlr->was_ready && count < ctrlr->info.qpairs) {
        ctrlr->attempts = ATTEMPTS_MAX;
        ctrlr_fault(ctrlr, "the controller came back from a reset with fewer queues: open it anew");
        return;
    }
    if (!ctrlr->was_ready)
        ctrlr->info.qpairs = count;
    step_set(ctrlr, STEP_SCAN);
}

static void queues_enter(struct nvme_ctrlr *ctrlr)
{
    uint32_t last = ctrlr->config.qpairs - 1;
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_SET_FEATURES,
                           .cdw10 = NVME_FID_NUMBER_OF_QUEUES,
                           .cdw11 = last << 16 | last};

    ctrlr_command(ctrlr, &sqe, granted);
}

static void create_next(struct nvme_ctrlr *ctrlr);

static void created(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;

    if (!ctrlr_succeeded(ctrlr, cqe, "Create I/O Queue"))
        return;
    ctrlr->created++;
    create_next(ctrlr);
}

static void create_next(struct nvme_ctrlr *ctrlr)
{
    bool sq = ctrlr->created & 1; // it is told of its completion queue, which therefore comes first
    struct nvme_qpair *qp = &ctrlr->qpairs[ctrlr->created / 2];
    struct nvme_sqe sqe = {.opc = sq ? NVME_ADMIN_CREATE_SQ : NVME_ADMIN_CREATE_CQ};

    if (ctrlr->created == 2 * ctrlr->info.qpairs) {
        step_set(ctrlr, STEP_READY);
        return;
    }
    if (!sq)
        ring_reset(&qp->ring);
    sqe.prp1 = sq ? qp->ring.sq_bus : qp->ring.cq_bus;
    sqe.cdw10 = (qp->ring.size - 1) << 16 | qp->number;
    sqe.cdw11 = NVME_QUEUE_PC;
    if (sq)
        sqe.cdw11 |= qp->number << 16;
    else if (nvme_fd(qp) >= 0)
        sqe.cdw11 |= NVME_CQ_IEN | qp->number << 16;
    ctrlr_command(ctrlr, &sqe, created);
}

static void create_enter(struct nvme_ctrlr *ctrlr)
{
    ctrlr->created = 0;
    create_next(ctrlr);
}

void ctrlr_scanned(struct nvme_ctrlr *ctrlr)
{
    if (ctrlr->step == STEP_SCAN)
        step_set(ctrlr, STEP_CREATE);
    else
        ctrlr->deadline_ns = UINT64_MAX;
}

/* --- ready ------------------------------------------------------------------------------------ */

static void events_await(struct nvme_ctrlr *ctrlr);

static void features_set(void *arg, const struct nvme_cqe *cqe)
{
    // Events are a courtesy: a controller without them is noticed by its errors.
    if (cqe->sf >> 1)
        stat_inc(&((struct nvme_ctrlr *)arg)->stats.admin_errors);
}

static void health_read(struct nvme_ctrlr *ctrlr)
{
    nvme_health_parse(&ctrlr->health, ctrlr->log);
    ctrlr->has_health = true;
}

static void log_read(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    bool notice = (ctrlr->event & 7) == EVENT_TYPE_NOTICE;

    if (cqe->sf >> 1)
        stat_inc(&ctrlr->stats.admin_errors);
    else if (ctrlr->log_id == NVME_LOG_HEALTH)
        health_read(ctrlr);
    if (notice && (ctrlr->event >> 8 & 0xff) == EVENT_NAMESPACES)
        ctrlr->scan.again = true;
    events_await(ctrlr);
}

/* Events are awaited again when it has been read, so one log page is enough. */
static void log_ask(struct nvme_ctrlr *ctrlr, uint32_t id)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_GET_LOG_PAGE, .nsid = UINT32_MAX};

    ctrlr->log_id = id;
    sqe.prp1 = ctrlr->log_bus;
    sqe.cdw10 = id | (LOG_BYTES / 4 - 1) << 16;
    if (admin_send(&ctrlr->admin, &sqe, log_read))
        stat_inc(&ctrlr->stats.admin_errors);
}

static void event_came(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;

    if (cqe->sf >> 1) {
        stat_inc(&ctrlr->stats.admin_errors);
        return;
    }
    stat_inc(&ctrlr->stats.async_events);
    ctrlr->event = cqe->dw0;
    log_ask(ctrlr, cqe->dw0 >> 16 & 0xff);
}

static void events_await(struct nvme_ctrlr *ctrlr)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_ASYNC_EVENT};

    if (admin_send(&ctrlr->admin, &sqe, event_came))
        stat_inc(&ctrlr->stats.admin_errors);
}

static void ready_enter(struct nvme_ctrlr *ctrlr)
{
    struct nvme_sqe sqe = {
        .opc = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FID_ASYNC_EVENTS, .cdw11 = ctrlr->events};

    ctrlr->deadline_ns = UINT64_MAX;
    ctrlr->was_ready = true;
    ctrlr->attempts = 0;
    ctrlr->tick_ns = ctrlr->now_ns + ctrlr->config.timeout_ns / QPAIR_TICKS;
    if (admin_send(&ctrlr->admin, &sqe, features_set))
        stat_inc(&ctrlr->stats.admin_errors);
    // Events are awaited when this is answered.
    ctrlr->event = 0;
    log_ask(ctrlr, NVME_LOG_HEALTH);
    for (uint32_t i = 0; i < ctrlr->info.qpairs; i++)
        qpair_go(&ctrlr->qpairs[i]);
    // Those that were not granted are not there.
    for (uint32_t i = ctrlr->info.qpairs; i < ctrlr->config.qpairs; i++)
        qpair_lose(&ctrlr->qpairs[i], -ENODEV);
}

static void aborted(void *arg, const struct nvme_cqe *cqe)
{
    // What became of the command is said by its own completion, or by its never coming.
    if (cqe->sf >> 1)
        stat_inc(&((struct nvme_ctrlr *)arg)->stats.admin_errors);
}

/* One a tick and queue pair: a controller takes few at once (ACL), and who has many commands
 * overdue needs the reset that follows. */
static void abort_send(struct nvme_ctrlr *ctrlr, struct nvme_qpair *qp)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_ABORT};
    uint16_t cid;

    if (!qpair_next_overdue(qp, &cid))
        return;
    sqe.cdw10 = (uint32_t)cid << 16 | qp->number;
    if (admin_send(&ctrlr->admin, &sqe, aborted) == 0)
        stat_inc(&ctrlr->stats.aborts);
}

static void tick(struct nvme_ctrlr *ctrlr)
{
    uint32_t csts = access_read32(ctrlr->access, NVME_REG_CSTS);
    bool stuck = false;

    ctrlr->tick_ns = ctrlr->now_ns + ctrlr->config.timeout_ns / QPAIR_TICKS;
    if (csts == NVME_CSTS_REMOVED) {
        removed(ctrlr);
        return;
    }
    if (csts & NVME_CSTS_CFS || !(csts & NVME_CSTS_RDY)) {
        ctrlr_fault(ctrlr, "the controller reported a fatal status and was reset");
        return;
    }
    for (uint32_t i = 0; i < ctrlr->info.qpairs; i++) {
        stuck |= qpair_tick(&ctrlr->qpairs[i]);
        abort_send(ctrlr, &ctrlr->qpairs[i]);
    }
    if (stuck)
        ctrlr_fault(ctrlr, "a command did not end in time, nor when aborted: the controller was "
                           "reset");
}

static void ready_turn(struct nvme_ctrlr *ctrlr)
{
    if (ctrlr->scan.again && !ctrlr->scan.running)
        scan_start(ctrlr);
    if (ctrlr->step == STEP_READY && ctrlr->now_ns >= ctrlr->tick_ns)
        tick(ctrlr);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void shutdown_enter(struct nvme_ctrlr *ctrlr)
{
    uint32_t cc = access_read32(ctrlr->access, NVME_REG_CC);

    // What a command out there would have led to is not wanted any more.
    admin_disable(&ctrlr->admin);
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
        qpair_freeze(&ctrlr->qpairs[i]);
    access_write32(ctrlr->access, NVME_REG_CC, (cc & ~NVME_CC_SHN_MASK) | NVME_CC_SHN_NORMAL);
}

static void shutdown_turn(struct nvme_ctrlr *ctrlr, uint32_t csts)
{
    // A controller that is shut down still has its queues; only a disabled one has forgotten them.
    if (NVME_CSTS_SHST(csts) == NVME_SHST_COMPLETE)
        step_set(ctrlr, STEP_DISABLE);
}

static void at_rest(struct nvme_ctrlr *ctrlr)
{
    ctrlr->deadline_ns = UINT64_MAX;
}

static const struct step_desc steps[] = {
    [STEP_SETTLE] = {NVME_STARTING, NULL, settle_turn,
                     "the controller stayed between enabled and disabled: power-cycle it"},
    [STEP_DISABLE] = {NVME_RESETTING, disable_enter, disable_turn,
                      "the controller does not stop (CSTS.RDY stays 1): power-cycle it"},
    [STEP_ENABLE] = {NVME_RESETTING, enable_enter, enable_turn,
                     "the controller never became ready (CSTS.RDY stays 0): power-cycle it"},
    [STEP_IDENTIFY] = {NVME_RESETTING, identify_enter, NULL,
                       "the controller does not answer Identify: power-cycle it"},
    [STEP_QUEUES] = {NVME_RESETTING, queues_enter, NULL,
                     "the controller does not answer Set Features: power-cycle it"},
    [STEP_SCAN] = {NVME_RESETTING, scan_start, NULL,
                   "the controller does not say which namespaces it has: power-cycle it"},
    [STEP_CREATE] = {NVME_RESETTING, create_enter, NULL,
                     "the controller does not create queues: power-cycle it"},
    [STEP_READY] = {NVME_READY, ready_enter, NULL,
                    "the controller does not say which namespaces it has, and was reset"},
    [STEP_SHUTDOWN] = {NVME_STOPPING, shutdown_enter, shutdown_turn,
                       "the controller did not shut down in time, and was cut off"},
    [STEP_CLOSED] = {NVME_CLOSED, at_rest, NULL, NULL},
    [STEP_DEAD] = {NVME_DEAD, at_rest, NULL, NULL},
};

/* --- from outside ----------------------------------------------------------------------------- */

static enum nvme_state state_of(const struct nvme_ctrlr *ctrlr)
{
    enum nvme_state state = steps[ctrlr->step].state;

    if (ctrlr->stopping && ctrlr->step < STEP_CLOSED)
        return NVME_STOPPING;
    return state == NVME_RESETTING && !ctrlr->was_ready ? NVME_STARTING : state;
}

/* Where the step waits for a register. */
static void register_turn(struct nvme_ctrlr *ctrlr)
{
    uint32_t csts = access_read32(ctrlr->access, NVME_REG_CSTS);

    if (csts == NVME_CSTS_REMOVED)
        removed(ctrlr);
    else
        steps[ctrlr->step].turn(ctrlr, csts);
}

/* What is read before anything is written, once. */
static void first_turn(struct nvme_ctrlr *ctrlr)
{
    ctrlr->info.version = access_read32(ctrlr->access, NVME_REG_VS);
    ctrlr->cap = access_read64(ctrlr->access, NVME_REG_CAP);
    if (ctrlr->info.version == UINT32_MAX) {
        removed(ctrlr);
        return;
    }
    step_set(ctrlr, STEP_SETTLE);
    for (uint32_t i = 0; i <= ctrlr->config.qpairs; i++) {
        struct ring *r = i ? &ctrlr->qpairs[i - 1].ring : &ctrlr->admin.ring;

        r->sq_doorbell = nvme_sq_doorbell(i, NVME_CAP_DSTRD(ctrlr->cap));
        r->cq_doorbell = nvme_cq_doorbell(i, NVME_CAP_DSTRD(ctrlr->cap));
    }
    if (!(NVME_CAP_CSS(ctrlr->cap) & NVME_CAP_CSS_NVM))
        ctrlr_fault(ctrlr, "the controller has no NVM command set: it is not a disk");
    else if (NVME_CAP_MPSMIN(ctrlr->cap))
        ctrlr_fault(ctrlr, "the controller's smallest page is %llu bytes; we use 4096",
                    (unsigned long long)PAGE_BYTES << NVME_CAP_MPSMIN(ctrlr->cap));
    else if (ctrlr->info.version < VERSION_1_1)
        ctrlr_fault(ctrlr, "the controller speaks NVMe 1.0; 1.1 is the oldest that can list its "
                           "namespaces: update its firmware");
    else if (!NVME_CAP_MQES(ctrlr->cap))
        ctrlr_fault(ctrlr, "the controller claims queues of one entry (CAP.MQES is 0)");
}

enum nvme_state nvme_ctrlr_turn(struct nvme_ctrlr *ctrlr, uint64_t now_ns)
{
    if (ctrlr->access->ops->poll)
        ctrlr->access->ops->poll(ctrlr->access, now_ns);
    ctrlr->now_ns = now_ns;
    if (unlikely(ctrlr->step >= STEP_CLOSED))
        return state_of(ctrlr);
    if (unlikely(!ctrlr->cap))
        first_turn(ctrlr);
    if (unlikely(ctrlr->stopping && ctrlr->step >= STEP_IDENTIFY && ctrlr->step <= STEP_READY))
        step_set(ctrlr, STEP_SHUTDOWN);
    stat_add(&ctrlr->stats.drop_stray_admin, admin_reap(&ctrlr->admin));
    if (likely(ctrlr->step == STEP_READY))
        ready_turn(ctrlr);
    else if (steps[ctrlr->step].turn)
        register_turn(ctrlr);
    if (unlikely(now_ns >= ctrlr->deadline_ns))
        ctrlr_fault(ctrlr, "%s", steps[ctrlr->step].overdue);
    return state_of(ctrlr);
}

uint64_t nvme_ctrlr_next_ns(const struct nvme_ctrlr *ctrlr)
{
    uint64_t next_ns = UINT64_MAX;

    if (ctrlr->step == STEP_READY)
        next_ns = min_u64(ctrlr->tick_ns, ctrlr->deadline_ns);
    else if (ctrlr->step < STEP_CLOSED)
        next_ns = min_u64(ctrlr->now_ns + POLL_NS, ctrlr->deadline_ns);
    if (ctrlr->access->ops->next_ns && ctrlr->step < STEP_CLOSED)
        next_ns = min_u64(next_ns, ctrlr->access->ops->next_ns(ctrlr->access));
    return next_ns;
}

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

static int lost_error(const struct nvme_ctrlr *ctrlr)
{
    return ctrlr->stopping ? -ECANCELED : -ENODEV;
}

static void give_up(struct nvme_ctrlr *ctrlr)
{
    admin_disable(&ctrlr->admin);
    // First cut off, then given back: see nvme.h.
    ctrlr->access->ops->stop(ctrlr->access);
    step_set(ctrlr, STEP_DEAD);
    queues_lose(ctrlr, lost_error(ctrlr));
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
    queues_freeze(ctrlr);
    if (cc & NVME_CC_EN)
        access_write32(ctrlr->access, NVME_REG_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
}

static void disable_turn(struct nvme_ctrlr *ctrlr, uint32_t csts)
{
    if (csts & NVME_CSTS_RDY)
        return;
    if (ctrlr->stopping) {
        step_set(ctrlr, STEP_CLOSED);
        queues_lose(ctrlr, lost_error(ctrlr));
        return;
    }
    queues_forgotten(ctrlr);
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

/* What does not change any more once queue pairs are open. */
static void info_fill(struct nvme_ctrlr *ctrlr, const struct nvme_identify_controller *id,
                      struct qpair_limits limits)
{
    struct nvme_info *info = &ctrlr->info;
    uint32_t doorbells = nvme_sq_doorbell(ctrlr->config.qpairs + 1, NVME_CAP_DSTRD(ctrlr->cap));

    text_copy(info->model, id->mn, sizeof(id->mn));
    text_copy(info->serial, id->sn, sizeof(id->sn));
    text_copy(info->firmware, id->fr, sizeof(id->fr));
    info->write_cache = id->vwc & 1;
    info->transfer_bytes = limits.transfer_bytes;
    limits.sgls = !ctrlr->config.no_sgls &&
                  (NVME_SGLS_SUPPORT(id->sgls) == 1 || NVME_SGLS_SUPPORT(id->sgls) == 2);
    ctrlr->limits = limits;
    // All doorbells lie in one page, or have to be rung.
    ctrlr->shadow = !ctrlr->config.no_shadow && id->oacs & NVME_OACS_DOORBELL_BUFFER &&
                    doorbells - NVME_REG_DOORBELLS <= PAGE_BYTES;
}

static void identified(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    const struct nvme_identify_controller *id = ctrlr->data;
    struct qpair_limits limits = {
        .depth = min_u32(ctrlr->config.depth, NVME_CAP_MQES(ctrlr->cap)),
        .transfer_bytes = transfer_limit(ctrlr, id->mdts),
    };

    if (!ctrlr_succeeded(ctrlr, cqe, "Identify (controller)"))
        return;
    if ((id->sqes & 15) > NVME_SQE_SHIFT || (id->cqes & 15) > NVME_CQE_SHIFT) {
        ctrlr_fault(ctrlr, "the controller wants larger queue entries than 64 and 16 bytes");
        return;
    }
    if (ctrlr->was_ready && (limits.depth != ctrlr->limits.depth ||
                             limits.transfer_bytes != ctrlr->limits.transfer_bytes)) {
        ctrlr->attempts = ATTEMPTS_MAX;
        ctrlr_fault(ctrlr, "the controller came back from a reset with other limits: open it anew");
        return;
    }
    ctrlr->events = NVME_EVENTS_SMART | (id->oaes & NVME_EVENTS_NAMESPACE);
    if (!ctrlr->was_ready)
        info_fill(ctrlr, id, limits);
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
    step_set(ctrlr, ctrlr->shadow ? STEP_SHADOW : STEP_SCAN);
}

static void queues_enter(struct nvme_ctrlr *ctrlr)
{
    uint32_t last = ctrlr->config.qpairs - 1;
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_SET_FEATURES,
                           .cdw10 = NVME_FID_NUMBER_OF_QUEUES,
                           .cdw11 = last << 16 | last};

    ctrlr_command(ctrlr, &sqe, granted);
}

void ctrlr_doorbells(const struct nvme_ctrlr *ctrlr, struct ring *ring, uint32_t qid)
{
    ring->sq_doorbell.off = nvme_sq_doorbell(qid, NVME_CAP_DSTRD(ctrlr->cap));
    ring->cq_doorbell.off = nvme_cq_doorbell(qid, NVME_CAP_DSTRD(ctrlr->cap));
}

static void doorbell_share(struct nvme_ctrlr *ctrlr, struct doorbell *d, bool always)
{
    uint32_t index = (d->off - NVME_REG_DOORBELLS) / sizeof(uint32_t);

    d->shadow = ctrlr->shadow ? &ctrlr->shadows[index] : NULL;
    d->event = ctrlr->shadow && !always ? &ctrlr->indices[index] : NULL;
    if (d->shadow)
        __atomic_store_n(d->shadow, d->rung, __ATOMIC_RELAXED);
}

void ctrlr_ring_share(struct nvme_ctrlr *ctrlr, struct ring *ring, bool always)
{
    doorbell_share(ctrlr, &ring->sq_doorbell, always);
    doorbell_share(ctrlr, &ring->cq_doorbell, always);
}

static void shared(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;

    if (NVME_STATUS_CODE(cqe->sf >> 1) == NVME_OK || ctrlr->was_ready) {
        if (ctrlr_succeeded(ctrlr, cqe, "Doorbell Buffer Config"))
            step_set(ctrlr, STEP_SCAN);
        return;
    }
    // It was offered; but registers do as well.
    stat_inc(&ctrlr->stats.admin_errors);
    ctrlr->shadow = false;
    ctrlr_ring_share(ctrlr, &ctrlr->admin.ring, true);
    step_set(ctrlr, STEP_SCAN);
}

static void shadow_enter(struct nvme_ctrlr *ctrlr)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_DOORBELL_BUFFER};

    sqe.prp1 = access_bus(ctrlr->access, ctrlr->shadows, PAGE_BYTES);
    sqe.prp2 = access_bus(ctrlr->access, ctrlr->indices, PAGE_BYTES);
    // The admin queue's doorbells are kept in memory, too, from the first command on that the
    // controller looks for there, but are always rung.
    ctrlr_ring_share(ctrlr, &ctrlr->admin.ring, true);
    ctrlr_command(ctrlr, &sqe, shared);
}

void ctrlr_scanned(struct nvme_ctrlr *ctrlr)
{
    if (ctrlr->step == STEP_SCAN)
        step_set(ctrlr, STEP_READY);
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
    ctrlr->wanted = true;
}

static void tick(struct nvme_ctrlr *ctrlr)
{
    uint32_t csts = access_read32(ctrlr->access, NVME_REG_CSTS);

    ctrlr->tick_ns = ctrlr->now_ns + ctrlr->config.timeout_ns / QPAIR_TICKS;
    if (csts == NVME_CSTS_REMOVED) {
        removed(ctrlr);
        return;
    }
    if (csts & NVME_CSTS_CFS || !(csts & NVME_CSTS_RDY)) {
        ctrlr_fault(ctrlr, "the controller reported a fatal status and was reset");
        return;
    }
    // Owners look for commands that are overdue, when they see it.
    __atomic_store_n(&ctrlr->board.tick, ctrlr->board.tick + 1, __ATOMIC_RELAXED);
}

static void ready_turn(struct nvme_ctrlr *ctrlr, uint32_t wishes)
{
    if (ctrlr->scan.again && !ctrlr->scan.running && !ctrlr->job)
        scan_start(ctrlr);
    if (ctrlr->step == STEP_READY && ctrlr->now_ns >= ctrlr->tick_ns)
        tick(ctrlr);
    ctrlr->wanted |= wishes != ctrlr->looked;
    if (unlikely(ctrlr->wanted))
        queues_serve(ctrlr);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void shutdown_enter(struct nvme_ctrlr *ctrlr)
{
    uint32_t cc = access_read32(ctrlr->access, NVME_REG_CC);

    // What a command out there would have led to is not wanted any more.
    admin_disable(&ctrlr->admin);
    queues_freeze(ctrlr);
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
    [STEP_SHADOW] = {NVME_RESETTING, shadow_enter, NULL,
                     "the controller does not answer Doorbell Buffer Config: power-cycle it"},
    [STEP_SCAN] = {NVME_RESETTING, scan_start, NULL,
                   "the controller does not say which namespaces it has: power-cycle it"},
    [STEP_READY] = {NVME_READY, ready_enter, NULL,
                    "the controller did not answer an admin command in time, and was reset"},
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
    ctrlr_doorbells(ctrlr, &ctrlr->admin.ring, 0);
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

static uint64_t next_of(const struct nvme_ctrlr *ctrlr)
{
    uint64_t poll_ns = min_u64(ctrlr->now_ns + POLL_NS, ctrlr->deadline_ns);

    if (ctrlr->step >= STEP_CLOSED)
        return UINT64_MAX;
    if (ctrlr->step != STEP_READY)
        return poll_ns;
    // Completions that something depends on are polled for, unless the device has no time of its
    // own, and says when to come.
    if ((ctrlr->job || ctrlr->scan.running) && !ctrlr->access->ops->next_ns)
        return min_u64(ctrlr->tick_ns, poll_ns);
    return min_u64(ctrlr->tick_ns, ctrlr->deadline_ns);
}

static void turn(struct nvme_ctrlr *ctrlr, uint32_t wishes)
{
    if (unlikely(ctrlr->step >= STEP_CLOSED)) {
        // One may have been opened when it was too late.
        if (wishes != ctrlr->looked)
            queues_lose(ctrlr, lost_error(ctrlr));
        return;
    }
    if (unlikely(!ctrlr->cap))
        first_turn(ctrlr);
    if (unlikely(ctrlr->stopping && ctrlr->step >= STEP_IDENTIFY && ctrlr->step <= STEP_READY))
        step_set(ctrlr, STEP_SHUTDOWN);
    stat_add(&ctrlr->stats.drop_stray_admin, admin_reap(&ctrlr->admin));
    if (likely(ctrlr->step == STEP_READY))
        ready_turn(ctrlr, wishes);
    else if (steps[ctrlr->step].turn)
        register_turn(ctrlr);
    if (unlikely(ctrlr->now_ns >= ctrlr->deadline_ns))
        ctrlr_fault(ctrlr, "%s", steps[ctrlr->step].overdue);
}

enum nvme_state nvme_ctrlr_turn(struct nvme_ctrlr *ctrlr, uint64_t now_ns)
{
    uint32_t wishes;

    if (__atomic_exchange_n(&ctrlr->turning, 1, __ATOMIC_ACQUIRE))
        return __atomic_load_n(&ctrlr->state, __ATOMIC_ACQUIRE);
    // Threads read their clocks before they come here, and may overtake each other.
    ctrlr->now_ns = max_u64(ctrlr->now_ns, now_ns);
    ctrlr->stopping |= __atomic_load_n(&ctrlr->stop_said, __ATOMIC_RELAXED);
    if (ctrlr->access->ops->poll)
        ctrlr->access->ops->poll(ctrlr->access, ctrlr->now_ns);
    wishes = __atomic_load_n(&ctrlr->board.wishes, __ATOMIC_ACQUIRE);
    if (unlikely(ctrlr->access->agent != NULL))
        agent_turn(ctrlr, wishes);
    else
        turn(ctrlr, wishes);
    __atomic_store_n(&ctrlr->next_ns, next_of(ctrlr), __ATOMIC_RELEASE);
    // Last: who finds the wish looked at also finds what became of it, and when to come again.
    __atomic_store_n(&ctrlr->looked, wishes, __ATOMIC_RELEASE);
    __atomic_store_n(&ctrlr->state, state_of(ctrlr), __ATOMIC_RELEASE);
    __atomic_store_n(&ctrlr->turning, 0, __ATOMIC_RELEASE);
    return __atomic_load_n(&ctrlr->state, __ATOMIC_RELAXED);
}

uint64_t nvme_ctrlr_next_ns(const struct nvme_ctrlr *ctrlr)
{
    const struct nvme_access *access = ctrlr->access;
    uint32_t looked = __atomic_load_n(&ctrlr->looked, __ATOMIC_ACQUIRE);
    uint64_t next_ns = __atomic_load_n(&ctrlr->next_ns, __ATOMIC_ACQUIRE);

    if (__atomic_load_n(&ctrlr->board.wishes, __ATOMIC_RELAXED) != looked)
        return 0;
    if (access->ops->next_ns && __atomic_load_n(&ctrlr->state, __ATOMIC_RELAXED) < NVME_CLOSED)
        next_ns = min_u64(next_ns, access->ops->next_ns(access));
    return next_ns;
}

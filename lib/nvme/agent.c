// SPDX-License-Identifier: BSD-2-Clause
/*
 * agent.c - turns of a controller that somebody else administers: nothing is brought up, reset or
 * shut down, it is asked how it is.
 *
 * Aborts and resets are the agent's. What remains for a queue pair whose commands are overdue, or
 * whose doorbell is refused, is to be restarted, which its own thread does (qpair_life.c).
 */
#include <errno.h>
#include <stdio.h>

#include "ctrlr.h"

static void end(struct nvme_ctrlr *ctrlr, enum step step)
{
    ctrlr->step = step;
    queues_lose(ctrlr, ctrlr->stopping ? -ECANCELED : -ENODEV);
}

static void failed(struct nvme_ctrlr *ctrlr, int error)
{
    if (error == -ENODEV)
        snprintf(ctrlr->why, sizeof(ctrlr->why),
                 "the disk is gone: see whether it was pulled out or unbound from its driver");
    else
        snprintf(ctrlr->why, sizeof(ctrlr->why), "the driver in the kernel says: %s: see its log",
                 strerror(-error));
    end(ctrlr, STEP_DEAD);
}

static int namespaces_read(struct nvme_ctrlr *ctrlr, const struct agent_info *agent)
{
    struct nvme_access *access = ctrlr->access;
    uint32_t count = min_u32(agent->namespaces, NVME_NAMESPACES_MAX);
    struct nvme_namespace ns;

    ctrlr->scan = (struct scan){.count = 0};
    for (uint32_t i = 0; i < count; i++) {
        int error = access->agent->namespace_get(access, i, &ns);

        // It is not there any more, which the next look will tell.
        if (error == -EINVAL)
            break;
        if (error)
            return error;
        if (ns.block_bytes < 512 || ns.block_bytes > PAGE_BYTES || !is_pow2(ns.block_bytes))
            ns.blocks = ns.block_bytes = 0;
        ctrlr->scan.ids[ctrlr->scan.count++] = ns.ns_id;
        scan_record(ctrlr, &ns);
    }
    scan_forget_unlisted(ctrlr);
    ctrlr->changes = agent->changes;
    return 0;
}

static int start(struct nvme_ctrlr *ctrlr)
{
    const struct nvme_config *config = &ctrlr->config;
    struct agent_info agent;
    int error = ctrlr->access->agent->info(ctrlr->access, &agent);

    if (!error &&
        (agent.entries < 2 || !agent.info.qpairs || agent.info.transfer_bytes < PAGE_BYTES))
        error = -EPROTO;
    if (!error)
        error = namespaces_read(ctrlr, &agent);
    if (error)
        return error;
    ctrlr->info = agent.info;
    ctrlr->info.qpairs = min_u32(agent.info.qpairs, config->qpairs);
    ctrlr->info.transfer_bytes = min_u32(agent.info.transfer_bytes, config->transfer_bytes);
    ctrlr->info.transfer_bytes = (uint32_t)align_down(ctrlr->info.transfer_bytes, PAGE_BYTES);
    ctrlr->limits = (struct qpair_limits){.depth = min_u32(config->depth, agent.entries - 1),
                                          .transfer_bytes = ctrlr->info.transfer_bytes};
    ctrlr->was_ready = true;
    ctrlr->step = STEP_READY;
    ctrlr->deadline_ns = UINT64_MAX;
    ctrlr->tick_ns = ctrlr->now_ns + config->timeout_ns / QPAIR_TICKS;
    return 0;
}

static int tick(struct nvme_ctrlr *ctrlr)
{
    struct agent_info agent;
    int error = ctrlr->access->agent->info(ctrlr->access, &agent);

    ctrlr->tick_ns = ctrlr->now_ns + ctrlr->config.timeout_ns / QPAIR_TICKS;
    // Commands do not age while it stands still: what is to become of them is said when it goes on.
    if (error == -EAGAIN)
        return 0;
    __atomic_store_n(&ctrlr->board.tick, ctrlr->board.tick + 1, __ATOMIC_RELAXED);
    if (!error && agent.changes != ctrlr->changes)
        error = namespaces_read(ctrlr, &agent);
    return error == -EAGAIN ? 0 : error;
}

/* A queue pair that went with a reset of the controller is told so. */
static int look(struct nvme_ctrlr *ctrlr)
{
    for (uint32_t i = 0; i < ctrlr->info.qpairs; i++) {
        struct nvme_qpair *qp = &ctrlr->qpairs[i];
        int error = __atomic_load_n(&qp->taken, __ATOMIC_ACQUIRE)
                        ? ctrlr->access->agent->state(ctrlr->access, i + 1)
                        : 0;

        if (error == -ENODEV)
            return error;
        if (error)
            queues_break(qp);
    }
    return 0;
}

void agent_turn(struct nvme_ctrlr *ctrlr, uint32_t wishes)
{
    int error = 0;

    if (ctrlr->step >= STEP_CLOSED) {
        // One may have been opened when it was too late.
        if (wishes != ctrlr->looked)
            end(ctrlr, ctrlr->step);
        return;
    }
    if (ctrlr->stopping) {
        end(ctrlr, STEP_CLOSED);
        return;
    }
    if (ctrlr->step != STEP_READY)
        error = start(ctrlr);
    // Stopped for a moment; turns ask again.
    if (error == -EAGAIN)
        return;
    if (!error)
        error = look(ctrlr);
    if (!error && ctrlr->now_ns >= ctrlr->tick_ns)
        error = tick(ctrlr);
    if (error)
        failed(ctrlr, error);
}

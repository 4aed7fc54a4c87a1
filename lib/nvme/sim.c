// SPDX-License-Identifier: BSD-2-Clause
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SIM_VERSION 0x00010400u
#define SIM_TO      2u /* CAP.TO: a second to become ready */
/* Distances on the bus between regions: nobody's pointer, and no two are neighbours. */
#define SIM_BUS_STRIDE_SHIFT 40

static struct sim *sim_of(struct nvme_access *access)
{
    return container_of(access, struct sim, access);
}

void sim_complain(struct sim *sim, const char *fmt, ...)
{
    va_list args;

    if (sim->complaint[0])
        return;
    va_start(args, fmt);
    vsnprintf(sim->complaint, sizeof(sim->complaint), fmt, args);
    va_end(args);
}

void *sim_dma(struct sim *sim, uint64_t bus, size_t bytes)
{
    for (uint32_t i = 0; i < sim->access.region_count; i++) {
        const struct nvme_region *r = &sim->access.regions[i];
        uint64_t off = bus - r->bus;

        if (off < r->bytes && bytes <= r->bytes - off)
            return r->base + off;
    }
    sim_complain(sim, "%zu bytes at bus address 0x%llx are not mapped", bytes,
                 (unsigned long long)bus);
    return NULL;
}

struct nvme_sim_namespace *sim_namespace(struct sim *sim, uint32_t ns_id)
{
    if (ns_id - 1 >= NVME_SIM_NAMESPACES_MAX || !sim->config.namespaces[ns_id - 1].blocks)
        return NULL;
    return &sim->config.namespaces[ns_id - 1];
}

/* --- completing ------------------------------------------------------------------------------- */

static uint32_t cq_room(const struct sim *sim, uint32_t qid)
{
    const struct sim_cq *cq = &sim->cqs[sim->sqs[qid].cqid];

    return cq->size - 1 - (cq->tail + cq->size - cq->head) % cq->size;
}

bool sim_cq_has_room(const struct sim *sim, uint32_t qid)
{
    return cq_room(sim, qid) > 0;
}

void sim_complete(struct sim *sim, uint32_t qid, uint16_t cid, uint16_t status, uint32_t dw0)
{
    const struct sim_sq *sq = &sim->sqs[qid];
    struct sim_cq *cq = &sim->cqs[sq->cqid];
    struct nvme_cqe *cqe = sim_dma(sim, cq->bus + cq->tail * sizeof(*cqe), sizeof(*cqe));

    if (!cqe)
        return;
    cqe->dw0 = dw0;
    cqe->sqhd = (uint16_t)sq->head;
    cqe->sqid = (uint16_t)qid;
    cqe->cid = cid;
    // The phase after all that it announces.
    __atomic_store_n(&cqe->sf, (uint16_t)(status << 1 | cq->phase), __ATOMIC_RELEASE);
    if (++cq->tail == cq->size) {
        cq->tail = 0;
        cq->phase ^= NVME_CQE_PHASE;
    }
}

/* --- carrying out ----------------------------------------------------------------------------- */

static bool running(const struct sim *sim)
{
    return sim->csts & NVME_CSTS_RDY && !(sim->csts & NVME_CSTS_CFS) && !sim->removed && !sim->cut;
}

static void cmd_run(struct sim *sim, const struct sim_cmd *cmd)
{
    uint16_t status = cmd->status;
    uint32_t dw0 = 0;

    if (cmd->qid == 0) {
        if (sim_admin(sim, &cmd->sqe, &status, &dw0))
            sim_complete(sim, 0, cmd->sqe.cid, status, dw0);
        return;
    }
    if (status == NVME_OK)
        status = sim_io(sim, &cmd->sqe);
    else
        sim_io_scribble(sim, &cmd->sqe);
    if (unlikely(sim->config.stray > 0 && cq_room(sim, cmd->qid) > 1 &&
                 rand_chance(&sim->rand, sim->config.stray)))
        sim_complete(sim, cmd->qid, cmd->sqe.cid ^ 0x8000, NVME_OK, 0);
    sim_complete(sim, cmd->qid, cmd->sqe.cid, status, 0);
}

/* All draws in every case, so that one probability leaves the other's dice alone. */
static void cmd_draw(struct sim *sim, struct sim_cmd *cmd)
{
    const struct nvme_sim_config *config = &sim->config;
    uint64_t delay = config->delay_min_ns +
                     rand_below(&sim->rand, config->delay_max_ns - config->delay_min_ns + 1);
    bool error = rand_chance(&sim->rand, config->error);
    uint16_t status = sim_io_draw_error(sim);
    bool stuck = rand_chance(&sim->rand, config->stuck);
    bool fatal = rand_chance(&sim->rand, config->fatal);

    cmd->due_ns = sim->now_ns + delay;
    if (cmd->qid == 0)
        return;
    if (error)
        cmd->status = status;
    if (stuck)
        cmd->due_ns = SIM_NEVER;
    if (fatal)
        sim->csts |= NVME_CSTS_CFS;
}

static void cmd_check(struct sim *sim, const struct sim_cmd *cmd)
{
    for (uint32_t i = 0; i < sim->cmd_count; i++)
        if (sim->cmds[i].qid == cmd->qid && sim->cmds[i].sqe.cid == cmd->sqe.cid)
            sim_complain(sim, "identifier 0x%04x of queue %u is used twice", cmd->sqe.cid,
                         cmd->qid);
    if (cmd->sqe.flags)
        sim_complain(sim, "a command is fused, or has no PRPs");
}

static void fetch(struct sim *sim, uint32_t qid)
{
    struct sim_sq *sq = &sim->sqs[qid];

    while (sq->head != sq->tail && sim->cmd_count < SIM_COMMANDS_MAX && running(sim)) {
        struct nvme_sqe *sqe = sim_dma(sim, sq->bus + sq->head * sizeof(*sqe), sizeof(*sqe));
        struct sim_cmd *cmd = &sim->cmds[sim->cmd_count];

        if (!sqe || (sim->immediate && !sim_cq_has_room(sim, qid)))
            return;
        if (++sq->head == sq->size)
            sq->head = 0;
        *cmd = (struct sim_cmd){.sqe = *sqe, .qid = (uint16_t)qid};
        if (sim->immediate) {
            cmd_run(sim, cmd);
            continue;
        }
        cmd_check(sim, cmd);
        cmd->order = sim->order++;
        cmd_draw(sim, cmd);
        sim->next_ns = min_u64(sim->next_ns, cmd->due_ns);
        sim->cmd_count++;
    }
}

/* The command that is due first, of those that can be completed. */
static struct sim_cmd *cmd_first(struct sim *sim)
{
    struct sim_cmd *first = NULL;

    for (uint32_t i = 0; i < sim->cmd_count; i++) {
        struct sim_cmd *cmd = &sim->cmds[i];

        // A full queue is looked at again when the host has said that it made room.
        if (cmd->due_ns == SIM_NEVER || !sim_cq_has_room(sim, cmd->qid))
            continue;
        if (!first || cmd->due_ns < first->due_ns ||
            (cmd->due_ns == first->due_ns && cmd->order < first->order))
            first = cmd;
    }
    return first;
}

static void run_due(struct sim *sim)
{
    struct sim_cmd *first;

    while (running(sim) && sim->next_ns <= sim->now_ns) {
        first = cmd_first(sim);
        sim->next_ns = first ? first->due_ns : SIM_NEVER;
        if (first && first->due_ns <= sim->now_ns) {
            struct sim_cmd cmd = *first;

            *first = sim->cmds[--sim->cmd_count];
            cmd_run(sim, &cmd);
        }
    }
}

/* Commands are forgotten. Until this moment their buffers were in the device's hands. */
static void drop_all(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->cmd_count; i++)
        if (sim->cmds[i].qid && !sim->cut && !sim->removed)
            sim_io_scribble(sim, &sim->cmds[i].sqe);
    sim->cmd_count = 0;
    sim->next_ns = SIM_NEVER;
    memset(sim->sqs, 0, sizeof(sim->sqs));
    memset(sim->cqs, 0, sizeof(sim->cqs));
    sim->event_asked = false;
}

/* --- registers -------------------------------------------------------------------------------- */

static void ready_follow(struct sim *sim)
{
    uint32_t asqs = (sim->aqa & 0xfff) + 1, acqs = (sim->aqa >> 16 & 0xfff) + 1;

    sim->change_ns = SIM_NEVER;
    if (!(sim->cc & NVME_CC_EN)) {
        drop_all(sim);
        sim->csts = 0;
        return;
    }
    sim->sqs[0] = (struct sim_sq){.bus = sim->asq, .size = asqs};
    sim->cqs[0] = (struct sim_cq){.bus = sim->acq, .size = acqs, .phase = NVME_CQE_PHASE};
    sim->csts = NVME_CSTS_RDY;
}

static void cc_write(struct sim *sim, uint32_t value)
{
    bool was = sim->cc & NVME_CC_EN, is = value & NVME_CC_EN;

    if (was != is && sim->change_ns != SIM_NEVER)
        sim_complain(sim, "CC.EN changed before CSTS.RDY had followed");
    sim->cc = value;
    if ((value & NVME_CC_SHN_MASK) && is)
        sim->csts |= NVME_SHST_COMPLETE << 2;
    if (was == is || sim->config.ready_ns == SIM_NEVER)
        return;
    if (was && rand_chance(&sim->rand, sim->config.wont_stop))
        return;
    sim->change_ns = sim->now_ns + sim->config.ready_ns;
    if (!sim->config.ready_ns)
        ready_follow(sim);
}

static void doorbell(struct sim *sim, uint32_t off, uint32_t value)
{
    uint32_t index = (off - NVME_REG_DOORBELLS) / (4u << sim->config.dstrd);
    uint32_t qid = index / 2;
    struct sim_sq *sq = &sim->sqs[qid < SIM_QUEUES ? qid : 0];
    struct sim_cq *cq = &sim->cqs[qid < SIM_QUEUES ? qid : 0];

    if (qid >= SIM_QUEUES || value >= (index & 1 ? cq->size : sq->size)) {
        sim_complain(sim, "doorbell at 0x%x: %u is out of range", off, value);
        return;
    }
    if (index & 1) {
        // Only what was completed can have been consumed.
        if ((value + cq->size - cq->head) % cq->size > (cq->tail + cq->size - cq->head) % cq->size)
            sim_complain(sim, "completion queue %u: the head passed the tail", qid);
        cq->head = value;
        sim->next_ns = sim->cmd_count ? sim->now_ns : SIM_NEVER;
    } else {
        sq->tail = value;
    }
    if (sim->immediate)
        fetch(sim, qid);
}

static void write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    struct sim *sim = sim_of(access);

    if (unlikely(sim->removed))
        return;
    if (likely(off >= NVME_REG_DOORBELLS)) {
        doorbell(sim, off, value);
        return;
    }
    switch (off) {
    case NVME_REG_CC:
        cc_write(sim, value);
        break;
    case NVME_REG_AQA:
        sim->aqa = value;
        break;
    case NVME_REG_ASQ:
        sim->asq = (sim->asq >> 32 << 32) | value;
        break;
    case NVME_REG_ASQ + 4:
        sim->asq = (uint32_t)sim->asq | (uint64_t)value << 32;
        break;
    case NVME_REG_ACQ:
        sim->acq = (sim->acq >> 32 << 32) | value;
        break;
    case NVME_REG_ACQ + 4:
        sim->acq = (uint32_t)sim->acq | (uint64_t)value << 32;
        break;
    default:
        sim_complain(sim, "register 0x%x is not for writing", off);
    }
}

static uint32_t read32(struct nvme_access *access, uint32_t off)
{
    struct sim *sim = sim_of(access);
    uint32_t mqes = (sim->config.queue_size ? sim->config.queue_size : 0x10000) - 1;

    if (sim->removed)
        return UINT32_MAX;
    switch (off) {
    case NVME_REG_CAP:
        return SIM_TO << 24 | 1u << 16 | mqes; // CQR: queues are contiguous
    case NVME_REG_CAP + 4:
        return NVME_CAP_CSS_NVM << (37 - 32) | sim->config.dstrd;
    case NVME_REG_VS:
        return SIM_VERSION;
    case NVME_REG_CC:
        return sim->cc;
    case NVME_REG_CSTS:
        return sim->csts;
    default:
        sim_complain(sim, "register 0x%x is read", off);
        return 0;
    }
}

/* --- the way in ------------------------------------------------------------------------------- */

static int map(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus)
{
    struct sim *sim = sim_of(access);

    *bus = ((uint64_t)access->region_count + 1) << SIM_BUS_STRIDE_SHIFT |
           rand_below(&sim->rand, 1 << 20) * PAGE_BYTES;
    return 0;
}

static void stop(struct nvme_access *access)
{
    struct sim *sim = sim_of(access);

    drop_all(sim);
    sim->cut = true;
}

static int fd(struct nvme_access *access, uint32_t vector)
{
    return -1;
}

static void poll(struct nvme_access *access, uint64_t now_ns)
{
    struct sim *sim = sim_of(access);

    sim->now_ns = now_ns;
    if (unlikely(sim->config.remove_ns && now_ns >= sim->config.remove_ns))
        sim->removed = true;
    if (unlikely(now_ns >= sim->change_ns))
        ready_follow(sim);
    if (sim->immediate || !running(sim))
        return;
    for (uint32_t qid = 0; qid < SIM_QUEUES; qid++)
        if (sim->sqs[qid].head != sim->sqs[qid].tail)
            fetch(sim, qid);
    run_due(sim);
    sim_event(sim);
}

static uint64_t next_ns(const struct nvme_access *access)
{
    const struct sim *sim = container_of(access, const struct sim, access);
    uint64_t remove_ns = sim->config.remove_ns;
    uint64_t next = min_u64(sim->change_ns, running(sim) ? sim->next_ns : SIM_NEVER);

    if (remove_ns && !sim->removed)
        next = min_u64(next, remove_ns);
    if (!sim->immediate && running(sim))
        for (uint32_t qid = 0; qid < SIM_QUEUES; qid++)
            if (sim->sqs[qid].head != sim->sqs[qid].tail)
                return sim->now_ns;
    return next;
}

static void sim_close(struct nvme_access *access)
{
    struct sim *sim = sim_of(access);

    // Whoever has not stopped it first has a device that goes on writing.
    drop_all(sim);
    free(sim->cmds);
    free(sim);
}

static const struct nvme_access_ops ops = {
    .read32 = read32,
    .write32 = write32,
    .map = map,
    .stop = stop,
    .fd = fd,
    .poll = poll,
    .next_ns = next_ns,
    .close = sim_close,
};

static bool config_good(const struct nvme_sim_config *config)
{
    for (uint32_t i = 0; i < NVME_SIM_NAMESPACES_MAX; i++) {
        const struct nvme_sim_namespace *ns = &config->namespaces[i];

        if (ns->blocks && (ns->block_log < 9 || ns->block_log > 12))
            return false;
    }
    return config->delay_min_ns <= config->delay_max_ns && config->queue_size <= 0x10000 &&
           config->queue_size != 1 && config->queue_pairs <= NVME_QPAIRS_MAX && config->dstrd < 8;
}

int nvme_sim_open(struct nvme_access **out, const struct nvme_sim_config *config)
{
    struct sim *sim;

    if (!config_good(config))
        return -EINVAL;
    sim = calloc(1, sizeof(*sim));
    if (!sim)
        return -ENOMEM;
    sim->cmds = calloc(SIM_COMMANDS_MAX, sizeof(*sim->cmds));
    if (!sim->cmds) {
        free(sim);
        return -ENOMEM;
    }
    sim->access.ops = &ops;
    sim->config = *config;
    sim->immediate =
        !config->delay_max_ns && config->error <= 0 && config->stuck <= 0 && config->fatal <= 0;
    sim->next_ns = sim->change_ns = SIM_NEVER;
    rand_seed(&sim->rand, config->seed);
    *out = &sim->access;
    return 0;
}

const char *nvme_sim_complaint(const struct nvme_access *access)
{
    const struct sim *sim = container_of(access, const struct sim, access);

    return sim->complaint[0] ? sim->complaint : NULL;
}

void nvme_sim_detach(struct nvme_access *access, uint32_t ns_id)
{
    struct sim *sim = sim_of(access);

    if (!sim_namespace(sim, ns_id))
        return;
    sim_namespace(sim, ns_id)->blocks = 0;
    sim->event_due = true;
    sim_event(sim);
}

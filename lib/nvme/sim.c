// SPDX-License-Identifier: BSD-2-Clause
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SIM_VERSION 0x00010400u
#define SIM_TO      2u /* CAP.TO: a second to become ready */
/* Distances on the bus between regions: nobody's pointer, and no two are neighbours. */
#define SIM_BUS_STRIDE_SHIFT 40

static struct sim *sim_of(struct nvme_access *access)
{
    return container_of(access, struct sim, access);
}

/* One thread has no need of it, and the null completer is measured. */
static void sim_lock(struct sim *sim)
{
    if (unlikely(sim->config.threads))
        pthread_mutex_lock(&sim->lock);
}

static void sim_unlock(struct sim *sim)
{
    if (unlikely(sim->config.threads))
        pthread_mutex_unlock(&sim->lock);
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
    uint32_t count = __atomic_load_n(&sim->access.region_count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < count; i++) {
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

/* --- registers -------------------------------------------------------------------------------- */

static void ready_follow(struct sim *sim)
{
    uint32_t asqs = (sim->aqa & 0xfff) + 1, acqs = (sim->aqa >> 16 & 0xfff) + 1;

    sim->change_ns = SIM_NEVER;
    if (!(sim->cc & NVME_CC_EN)) {
        sim_queues_drop(sim);
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

static void register_write(struct sim *sim, uint32_t off, uint32_t value)
{
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

static void write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    struct sim *sim = sim_of(access);

    sim_lock(sim);
    if (likely(off >= NVME_REG_DOORBELLS && !sim->removed))
        sim_doorbell(sim, off, value);
    else if (!sim->removed)
        register_write(sim, off, value);
    sim_unlock(sim);
}

static uint32_t register_read(struct sim *sim, uint32_t off)
{
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

static uint32_t read32(struct nvme_access *access, uint32_t off)
{
    struct sim *sim = sim_of(access);
    uint32_t value;

    sim_lock(sim);
    value = register_read(sim, off);
    sim_unlock(sim);
    return value;
}

/* --- the way in ------------------------------------------------------------------------------- */

static int map(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus)
{
    struct sim *sim = sim_of(access);

    sim_lock(sim);
    *bus = ((uint64_t)access->region_count + 1) << SIM_BUS_STRIDE_SHIFT |
           rand_below(&sim->rand, 1 << 20) * PAGE_BYTES;
    sim_unlock(sim);
    return 0;
}

static void stop(struct nvme_access *access)
{
    struct sim *sim = sim_of(access);

    sim_lock(sim);
    sim_queues_drop(sim);
    sim->cut = true;
    sim_unlock(sim);
}

static int fd(struct nvme_access *access, uint32_t vector)
{
    struct sim *sim = sim_of(access);
    int made = -1;

    if (!sim->config.interrupts || vector >= SIM_QUEUES)
        return -1;
    sim_lock(sim);
    if (sim->fds[vector] < 0)
        sim->fds[vector] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    made = sim->fds[vector];
    sim_unlock(sim);
    return made;
}

static void poll(struct nvme_access *access, uint64_t now_ns)
{
    struct sim *sim = sim_of(access);

    sim_lock(sim);
    sim->now_ns = now_ns;
    if (unlikely(sim->config.remove_ns && now_ns >= sim->config.remove_ns))
        sim->removed = true;
    if (unlikely(now_ns >= sim->change_ns))
        ready_follow(sim);
    if (!sim->immediate && sim_running(sim)) {
        sim_queues_poll(sim);
        sim_event(sim);
    }
    sim_unlock(sim);
}

static uint64_t next_find(struct sim *sim)
{
    uint64_t remove_ns = sim->config.remove_ns;
    uint64_t next = min_u64(sim->change_ns, sim_running(sim) ? sim->next_ns : SIM_NEVER);

    if (remove_ns && !sim->removed)
        next = min_u64(next, remove_ns);
    if (!sim->immediate && sim_running(sim) && sim_queues_pending(sim))
        next = sim->now_ns;
    return next;
}

static uint64_t next_ns(const struct nvme_access *access)
{
    struct sim *sim = sim_of((struct nvme_access *)(uintptr_t)access);
    uint64_t next;

    sim_lock(sim);
    next = next_find(sim);
    sim_unlock(sim);
    return next;
}

static void sim_close(struct nvme_access *access)
{
    struct sim *sim = sim_of(access);

    // Whoever has not stopped it first has a device that goes on writing.
    sim_queues_drop(sim);
    for (uint32_t i = 0; i < SIM_QUEUES; i++)
        if (sim->fds[i] >= 0)
            close(sim->fds[i]);
    pthread_mutex_destroy(&sim->lock);
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
    for (uint32_t i = 0; i < SIM_QUEUES; i++)
        sim->fds[i] = -1;
    pthread_mutex_init(&sim->lock, NULL);
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

    sim_lock(sim);
    if (sim_namespace(sim, ns_id)) {
        sim_namespace(sim, ns_id)->blocks = 0;
        sim->event_due = true;
        sim_event(sim);
    }
    sim_unlock(sim);
}

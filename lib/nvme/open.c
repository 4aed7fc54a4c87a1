// SPDX-License-Identifier: BSD-2-Clause
/*
 * open.c - memory for a controller, and the questions that can be asked of it. Its life is in
 * ctrlr.c.
 */
#include <errno.h>
#include <stdio.h>

#include "ctrlr.h"

#define TIMEOUT_NS_DEFAULT     (5 * NS_PER_S)
#define TRANSFER_BYTES_DEFAULT (128u << 10)

static const char *config_fault(const struct nvme_config *config)
{
    if (!config->qpairs || config->qpairs > NVME_QPAIRS_MAX)
        return "a controller is used with 1 to 64 queue pairs";
    if (!config->depth || config->depth > NVME_DEPTH_MAX)
        return "a queue pair has a depth of 1 to 1023";
    if (config->transfer_bytes < PAGE_BYTES || config->transfer_bytes > PRP_TRANSFER_MAX ||
        config->transfer_bytes % PAGE_BYTES)
        return "the longest command is a multiple of 4 KiB, up to 2 MiB";
    return NULL;
}

static int memory_take(struct nvme_ctrlr *ctrlr)
{
    struct mem_arena *arena = ctrlr->config.arena;
    struct nvme_access *access = ctrlr->access;
    uint32_t qpairs = ctrlr->config.qpairs;
    int error = admin_init(&ctrlr->admin, access, arena, ctrlr);

    ctrlr->data = mem_arena_alloc(arena, PAGE_BYTES, PAGE_BYTES);
    ctrlr->log = mem_arena_alloc(arena, PAGE_BYTES, PAGE_BYTES);
    ctrlr->qpairs = mem_arena_alloc(arena, qpairs * sizeof(*ctrlr->qpairs), CACHE_LINE);
    ctrlr->shadows = mem_arena_alloc(arena, PAGE_BYTES, PAGE_BYTES);
    ctrlr->indices = mem_arena_alloc(arena, PAGE_BYTES, PAGE_BYTES);
    if (error || !ctrlr->data || !ctrlr->log || !ctrlr->qpairs || !ctrlr->shadows ||
        !ctrlr->indices)
        return -ENOMEM;
    ctrlr->data_bus = access_bus(access, ctrlr->data, PAGE_BYTES);
    ctrlr->log_bus = access_bus(access, ctrlr->log, PAGE_BYTES);
    for (uint32_t i = 0; i < qpairs; i++) {
        ctrlr->qpairs[i].ring.access = access;
        ctrlr->qpairs[i].number = i + 1;
        ctrlr->qpairs[i].board = &ctrlr->board;
    }
    return 0;
}

int nvme_ctrlr_open(struct nvme_ctrlr **out, const struct nvme_config *config, char *why,
                    size_t why_bytes)
{
    struct nvme_ctrlr *ctrlr = mem_arena_alloc(config->arena, sizeof(*ctrlr), CACHE_LINE);
    const char *fault;
    int error;

    if (!ctrlr) {
        snprintf(why, why_bytes, "the arena is too small for a disk's queues: enlarge it");
        return -ENOMEM;
    }
    *ctrlr = (struct nvme_ctrlr){.config = *config, .access = config->access, .step = STEP_SETTLE};
    if (!config->timeout_ns)
        ctrlr->config.timeout_ns = TIMEOUT_NS_DEFAULT;
    if (!config->transfer_bytes)
        ctrlr->config.transfer_bytes = TRANSFER_BYTES_DEFAULT;
    ctrlr->deadline_ns = UINT64_MAX; // until the first turn says what time it is
    fault = config_fault(&ctrlr->config);
    if (fault) {
        snprintf(why, why_bytes, "%s", fault);
        return -EINVAL;
    }
    error =
        access_map(ctrlr->access, mem_arena_base(config->arena), mem_arena_bytes(config->arena));
    if (error) {
        snprintf(why, why_bytes, "the disk cannot be given access to memory: %s%s",
                 strerror(-error),
                 error == -ENOMEM ? "; raise the limit of locked memory (ulimit -l)" : "");
        return error;
    }
    error = memory_take(ctrlr);
    if (error) {
        snprintf(why, why_bytes, "the arena is too small for a disk's queues: enlarge it");
        return error;
    }
    if (config->access->ops->want_interrupts)
        config->access->ops->want_interrupts(config->access, config->qpairs + 1);
    pthread_mutex_init(&ctrlr->mapping, NULL);
    *out = ctrlr;
    return 0;
}

void nvme_ctrlr_stop(struct nvme_ctrlr *ctrlr)
{
    __atomic_store_n(&ctrlr->stop_said, 1, __ATOMIC_RELAXED);
}

void nvme_ctrlr_close(struct nvme_ctrlr *ctrlr)
{
    struct nvme_access *access = ctrlr->access;

    if (ctrlr->step < STEP_CLOSED) {
        access->ops->stop(access);
        ctrlr->step = STEP_DEAD;
    }
    // Also those that were opened since it was lost.
    queues_lose(ctrlr, -ECANCELED);
    for (uint32_t i = 0; i < ctrlr->config.qpairs; i++)
        if (ctrlr->qpairs[i].taken)
            nvme_consume_completions(&ctrlr->qpairs[i], UINT32_MAX);
    pthread_mutex_destroy(&ctrlr->mapping);
    // The last thing: the controller may lie in memory that the access brought along.
    access->ops->close(access);
}

const char *nvme_ctrlr_why(const struct nvme_ctrlr *ctrlr)
{
    return ctrlr->why;
}

const struct nvme_info *nvme_ctrlr_info(const struct nvme_ctrlr *ctrlr)
{
    return &ctrlr->info;
}

uint32_t nvme_ctrlr_namespace_count(const struct nvme_ctrlr *ctrlr)
{
    return __atomic_load_n(&ctrlr->board.namespaces.count, __ATOMIC_ACQUIRE);
}

const struct nvme_namespace *nvme_ctrlr_namespace(const struct nvme_ctrlr *ctrlr, uint32_t index)
{
    return index < nvme_ctrlr_namespace_count(ctrlr) ? &ctrlr->board.namespaces.list[index] : NULL;
}

const struct nvme_health *nvme_ctrlr_health(const struct nvme_ctrlr *ctrlr)
{
    return ctrlr->has_health ? &ctrlr->health : NULL;
}

const struct nvme_ctrlr_stats *nvme_ctrlr_stats(const struct nvme_ctrlr *ctrlr)
{
    return &ctrlr->stats;
}

static int arena_map(struct nvme_ctrlr *ctrlr, struct mem_arena *arena)
{
    int error;

    pthread_mutex_lock(&ctrlr->mapping);
    error = access_map(ctrlr->access, mem_arena_base(arena), mem_arena_bytes(arena));
    pthread_mutex_unlock(&ctrlr->mapping);
    return error;
}

int nvme_open(struct nvme_qpair **ioqp, struct nvme_ctrlr *ctrlr, uint32_t number,
              struct mem_arena *arena)
{
    uint32_t state = __atomic_load_n(&ctrlr->state, __ATOMIC_ACQUIRE);
    struct nvme_qpair *qp;
    int error;

    // In these states the limits are known, and stay.
    if ((state != NVME_READY && state != NVME_RESETTING) || !number || number > ctrlr->info.qpairs)
        return -ENODEV;
    qp = &ctrlr->qpairs[number - 1];
    if (__atomic_exchange_n(&qp->taken, 1, __ATOMIC_ACQUIRE))
        return -EBUSY;
    error = arena_map(ctrlr, arena);
    if (!error) {
        ctrlr_doorbells(ctrlr, &qp->ring, number);
        ctrlr_ring_share(ctrlr, &qp->ring, false);
        error = qpair_open(qp, arena, &ctrlr->limits);
    }
    if (error) {
        __atomic_store_n(&qp->taken, 0, __ATOMIC_RELEASE);
        return error;
    }
    *ioqp = qp;
    return 0;
}

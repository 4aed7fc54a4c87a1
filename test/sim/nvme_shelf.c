// SPDX-License-Identifier: BSD-2-Clause
#include "nvme_shelf.h"

#include <errno.h>
#include <stdio.h>

#define DELAY_MAX_US  30000
#define DEPTH_MAX     64
#define OPEN_ATTEMPTS 64

void nvme_shelf_draw(struct nvme_shelf_plan *plan, struct rand *rand)
{
    *plan = (struct nvme_shelf_plan){.on = true, .seed = rand_u64(rand)};
    plan->block_bytes = 512u << rand_below(rand, 4);
    plan->mdts = (uint32_t)rand_below(rand, 6);
    plan->depth = (uint32_t)world_range_log(rand, 1, DEPTH_MAX);
    if (rand_chance(rand, 0.8)) {
        plan->delay_max_us = world_range_log(rand, 1, DELAY_MAX_US);
        plan->delay_min_us = rand_below(rand, plan->delay_max_us);
    }
    if (rand_chance(rand, 0.2))
        plan->error = (double)world_range_log(rand, 1, 64) / 1024;
    if (rand_chance(rand, 0.1))
        plan->stuck = (double)world_range_log(rand, 1, 16) / 1024;
}

static uint64_t now_ns(void *arg)
{
    struct nvme_shelf *nvme = arg;

    nvme->clock_ns = max_u64(nvme->clock_ns, nvme->world->now_ns);
    return nvme->clock_ns;
}

static bool wait(void *arg, int fd, uint64_t until_ns)
{
    struct nvme_shelf *nvme = arg;

    if (until_ns != UINT64_MAX)
        nvme->clock_ns = max_u64(now_ns(nvme) + 1, until_ns);
    return true;
}

static int open_set(struct nvme_shelf *nvme, const struct nvme_shelf_plan *plan,
                    const struct shelf *shelf, uint32_t attempt, char *why, size_t why_bytes)
{
    char spec[256];
    const char *specs[] = {spec};

    snprintf(spec, sizeof(spec),
             "sim:/proc/self/fd/%d,seed=%llu,delay=%lluus-%lluus,error=%.6f,stuck=%.6f,block=%u,"
             "mdts=%u",
             shelf->file, (unsigned long long)(plan->seed ^ attempt),
             (unsigned long long)plan->delay_min_us, (unsigned long long)plan->delay_max_us,
             plan->error, plan->stuck, plan->block_bytes, plan->mdts);
    return diskmap_set_open_volumes(&nvme->set, nvme->disks, specs, 1, why, why_bytes);
}

int nvme_shelf_open(struct nvme_shelf *nvme, const struct nvme_shelf_plan *plan,
                    const struct shelf *shelf, struct world *world, char *why, size_t why_bytes)
{
    struct diskmap_disks_config config = {
        .now_ns = now_ns, .wait = wait, .arg = nvme, .depth = plan->depth};
    int rc;

    nvme->world = world;
    rc = diskmap_disks_open(&nvme->disks, &config);
    if (rc)
        return rc;
    // A server whose disk fails before it has begun does not begin: what is looked for comes later.
    rc = -EIO;
    for (uint32_t attempt = 0; rc && attempt < OPEN_ATTEMPTS; attempt++)
        rc = open_set(nvme, plan, shelf, attempt, why, why_bytes);
    if (rc)
        nvme->set = NULL;
    world->start_ns = world->now_ns = now_ns(nvme);
    return rc;
}

void nvme_shelf_close(struct nvme_shelf *nvme)
{
    if (nvme->set)
        diskmap_set_close(nvme->set);
    if (nvme->disks)
        diskmap_disks_close(nvme->disks);
    if (nvme->arena)
        mem_arena_close(nvme->arena);
}

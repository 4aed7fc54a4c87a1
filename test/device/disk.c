// SPDX-License-Identifier: BSD-2-Clause
#include "disk.h"

#include "image.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIM_BYTES   (32u << 20)
#define SIM_LOG     9
#define PATIENCE_NS (20 * NS_PER_S)
#define TIMEOUT_NS  (2 * NS_PER_S)
/* Longer requests are split, which is to be seen. */
#define TRANSFER_BYTES (256u << 10)

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int sim_open(struct disk *disk, uint32_t number)
{
    struct nvme_sim_config config = {.seed = number, .delay_max_ns = 100 * NS_PER_US, .mdts = 5};

    disk->media = malloc(SIM_BYTES);
    if (!disk->media)
        return -1;
    for (uint32_t i = 0; i < SIM_BYTES / SECTOR_BYTES; i++)
        sector_fill((char *)disk->media + (size_t)i * SECTOR_BYTES, number, i, 0);
    config.namespaces[0] = (struct nvme_sim_namespace){
        .media = disk->media, .blocks = SIM_BYTES / SECTOR_BYTES, .block_log = SIM_LOG};
    disk->number = number;
    return nvme_sim_open(&disk->access, &config);
}

static const char *kmod_name(const char *spec)
{
    return strncmp(spec, "diskmap:", 8) == 0 ? spec + 8 : NULL;
}

bool disk_memory_open(struct disk_memory *memory, const char *spec, size_t bytes, char *why,
                      size_t why_bytes)
{
    struct nvme_kmod_config config = {.name = kmod_name(spec), .memory_bytes = bytes};
    int error;
    void *base;

    *memory = (struct disk_memory){0};
    if (!config.name) {
        error = mem_arena_open(&memory->arena, bytes, MEM_ARENA_HUGE);
    } else {
        if (nvme_kmod_open(&memory->lender, &config, why, why_bytes))
            return false;
        error = nvme_access_memory(memory->lender, &base, &bytes)
                    ? mem_arena_open_in(&memory->arena, base, bytes)
                    : -EINVAL;
    }
    if (error)
        snprintf(why, why_bytes, "an arena of %zu bytes: %s", bytes, strerror(-error));
    return !error;
}

void disk_memory_close(struct disk_memory *memory)
{
    mem_arena_close(memory->arena);
    if (memory->lender)
        nvme_access_close(memory->lender);
}

static int access_open(struct disk *disk, struct nvme_access *lender)
{
    struct nvme_kmod_config config = {.name = kmod_name(disk->spec), .sharing = lender};

    if (config.name)
        return nvme_kmod_open(&disk->access, &config, disk->why, sizeof(disk->why));
    if (strncmp(disk->spec, "vfio:", 5) == 0)
        return nvme_vfio_open(&disk->access, disk->spec + 5, disk->why, sizeof(disk->why));
    if (strncmp(disk->spec, "sim:", 4) == 0)
        return sim_open(disk, (uint32_t)strtoul(disk->spec + 4, NULL, 10));
    snprintf(disk->why, sizeof(disk->why), "a disk is vfio:ADDRESS, diskmap:NAME or sim:NUMBER");
    return -1;
}

/* The number at the end of the serial number. */
static uint32_t serial_number(const char *serial)
{
    size_t end = strlen(serial);

    while (end && isdigit((unsigned char)serial[end - 1]))
        end--;
    return (uint32_t)strtoul(serial + end, NULL, 10);
}

static bool await(struct disk *disk, enum nvme_state wanted)
{
    uint64_t deadline = now_ns() + PATIENCE_NS;
    enum nvme_state state;

    do
        state = disk_turn(disk);
    while (state != wanted && state != NVME_DEAD && now_ns() < deadline);
    return state == wanted;
}

bool disk_open(struct disk *disk, const char *spec, const struct disk_memory *memory,
               uint32_t qpairs, uint32_t depth)
{
    struct nvme_config config = {.arena = memory->arena,
                                 .qpairs = qpairs,
                                 .depth = depth,
                                 .transfer_bytes = TRANSFER_BYTES,
                                 .timeout_ns = TIMEOUT_NS};

    *disk = (struct disk){.spec = spec};
    if (access_open(disk, memory->lender)) {
        free(disk->media);
        return false;
    }
    config.access = disk->access;
    if (nvme_ctrlr_open(&disk->ctrlr, &config, disk->why, sizeof(disk->why))) {
        disk->access->ops->close(disk->access);
        free(disk->media);
        return false;
    }
    if (!await(disk, NVME_READY) || !nvme_ctrlr_namespace_count(disk->ctrlr) ||
        nvme_open(&disk->qp, disk->ctrlr, 1, memory->arena)) {
        snprintf(disk->why, sizeof(disk->why), "not ready: %s", nvme_ctrlr_why(disk->ctrlr));
        disk_drop(disk);
        return false;
    }
    disk->ns = nvme_ctrlr_namespace(disk->ctrlr, 0);
    disk->sectors = (uint32_t)(disk->ns->blocks * (disk->ns->block_bytes / SECTOR_BYTES));
    if (!disk->media)
        disk->number = serial_number(nvme_ctrlr_info(disk->ctrlr)->serial);
    return true;
}

enum nvme_state disk_turn(struct disk *disk)
{
    return nvme_ctrlr_turn(disk->ctrlr, now_ns());
}

bool disk_reattach(struct disk *disk, struct mem_arena *arena)
{
    uint64_t deadline = now_ns() + PATIENCE_NS;
    int error;

    do
        error = nvme_close(disk->qp);
    while (error == -EINPROGRESS && disk_turn(disk) == NVME_READY && now_ns() < deadline);
    return !error && nvme_open(&disk->qp, disk->ctrlr, 1, arena) == 0;
}

bool disk_close(struct disk *disk)
{
    bool good;

    nvme_ctrlr_stop(disk->ctrlr);
    good = await(disk, NVME_CLOSED);
    // The one in software also sees what no real one complains of.
    if (disk->media && nvme_sim_complaint(disk->access)) {
        printf("# sim: %s\n", nvme_sim_complaint(disk->access));
        good = false;
    }
    disk_drop(disk);
    return good;
}

void disk_drop(struct disk *disk)
{
    nvme_ctrlr_close(disk->ctrlr);
    free(disk->media);
    disk->media = NULL;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * nvme_shelf.h - the shelf's volume on an NVMe disk, for one run: the driver that is shipped, and a
 * controller in software that is slow, overtakes itself, fails and hangs, as the run's dice say.
 */
#ifndef SIM_NVME_SHELF_H
#define SIM_NVME_SHELF_H

#include "base/rand.h"
#include "shelf.h"
#include "world.h"

struct nvme_shelf_plan {
    bool on;
    uint64_t seed;
    uint64_t delay_min_us, delay_max_us;
    double error; /* commands that fail */
    double stuck; /* commands that never end by themselves */
    uint32_t block_bytes;
    uint32_t mdts;
    uint32_t depth;
};

struct nvme_shelf {
    struct world *world;
    uint64_t clock_ns; /* the driver's, while nobody but it waits */
    struct diskmap_disks *disks;
    struct diskmap_set *set;
    struct mem_arena *arena; /* the worker's, for what the disk writes to */
};

void nvme_shelf_draw(struct nvme_shelf_plan *plan, struct rand *rand);
/* Bringing a disk up takes time: the world begins when that is over. */
must_check int nvme_shelf_open(struct nvme_shelf *nvme, const struct nvme_shelf_plan *plan,
                               const struct shelf *shelf, struct world *world, char *why,
                               size_t why_bytes);
void nvme_shelf_close(struct nvme_shelf *nvme);

#endif

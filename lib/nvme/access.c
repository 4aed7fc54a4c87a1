// SPDX-License-Identifier: BSD-2-Clause
#include "access.h"

#include <errno.h>

const struct nvme_region *access_region(const struct nvme_access *access, const void *p,
                                        size_t bytes)
{
    // What is counted is filled in.
    uint32_t count = __atomic_load_n(&access->region_count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < count; i++)
        if (region_bus(&access->regions[i], p, bytes) != NVME_BUS_NONE)
            return &access->regions[i];
    return NULL;
}

int access_map(struct nvme_access *access, void *base, size_t bytes)
{
    struct nvme_region r = {.base = base, .bytes = bytes};
    int error;

    if (access_region(access, base, bytes))
        return 0;
    if (access->region_count == NVME_ARENAS_MAX)
        return -ENOSPC;
    error = access->ops->map(access, base, bytes, &r.bus);
    if (error)
        return error;
    // Where a page of the region begins, a page begins on the bus: PRPs count on it.
    if ((r.bus ^ (uintptr_t)base) & (PAGE_BYTES - 1))
        return -EINVAL;
    access->regions[access->region_count] = r;
    __atomic_store_n(&access->region_count, access->region_count + 1, __ATOMIC_RELEASE);
    return 0;
}

bool nvme_access_memory(const struct nvme_access *access, void **base, size_t *bytes)
{
    *base = access->memory;
    *bytes = access->memory_bytes;
    return access->memory != NULL;
}

void nvme_access_close(struct nvme_access *access)
{
    access->ops->close(access);
}

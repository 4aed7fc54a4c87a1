// SPDX-License-Identifier: BSD-2-Clause
#include "access.h"

#include <errno.h>

int access_map(struct nvme_access *access, void *base, size_t bytes)
{
    struct nvme_region *r = &access->regions[access->region_count];
    int error;

    if (access->region_count == NVME_REGIONS_MAX)
        return -ENOSPC;
    *r = (struct nvme_region){.base = base, .bytes = bytes};
    error = access->ops->map(access, base, bytes, &r->bus);
    if (error)
        return error;
    // Where a page of the region begins, a page begins on the bus: PRPs count on it.
    if ((r->bus ^ (uintptr_t)base) & (PAGE_BYTES - 1))
        return -EINVAL;
    access->region_count++;
    return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "prp.h"

uint32_t prp_list_entries(uint32_t transfer_bytes)
{
    uint32_t entries = 1;

    assert(transfer_bytes <= PRP_TRANSFER_MAX);
    while ((uint64_t)entries * PAGE_BYTES < transfer_bytes)
        entries *= 2;
    return entries;
}

void prp_build(struct nvme_sqe *sqe, uint64_t bus, uint32_t bytes, uint64_t *list,
               uint64_t list_bus)
{
    uint32_t first = (uint32_t)(PAGE_BYTES - (bus & (PAGE_BYTES - 1)));
    uint64_t page = bus + first;
    uint32_t count;

    sqe->prp1 = bus;
    if (bytes <= first)
        return;
    count = (bytes - first + PAGE_BYTES - 1) / PAGE_BYTES;
    if (count == 1) {
        sqe->prp2 = page;
        return;
    }
    assert(count <= PRP_LIST_MAX);
    for (uint32_t i = 0; i < count; i++)
        list[i] = page + (uint64_t)i * PAGE_BYTES;
    sqe->prp2 = list_bus;
}

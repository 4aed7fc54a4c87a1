// SPDX-License-Identifier: BSD-2-Clause
#include "vfio_dma.h"

#define SPACE_FIRST (4ull << 30)
#define LARGE_PAGE  (2ull << 20)

void vfio_space_init(struct vfio_space *space)
{
    *space = (struct vfio_space){.next = SPACE_FIRST};
}

void vfio_space_add(struct vfio_space *space, uint64_t first, uint64_t last)
{
    uint32_t at = space->count;

    first = max_u64(first, SPACE_FIRST);
    if (first >= last || at == VFIO_WINDOWS_MAX)
        return;
    for (; at > 0 && space->windows[at - 1].first > first; at--)
        space->windows[at] = space->windows[at - 1];
    space->windows[at] = (struct vfio_window){first, last};
    space->count++;
}

uint64_t vfio_space_take(struct vfio_space *space, uintptr_t base, size_t bytes)
{
    for (uint32_t i = 0; i < space->count; i++) {
        const struct vfio_window *w = &space->windows[i];
        uint64_t from = max_u64(w->first, space->next);
        uint64_t bus = align_up(from, LARGE_PAGE) + base % LARGE_PAGE;

        // Near the end of the address space the sums above wrap.
        if (bus < from || bus > w->last || bytes - 1 > w->last - bus)
            continue;
        space->next = bus + bytes;
        return bus;
    }
    return NVME_BUS_NONE;
}

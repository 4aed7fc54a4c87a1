// SPDX-License-Identifier: BSD-2-Clause
/*
 * extent.h - runs of blocks: a growing array of them, and the free space between them.
 */
#ifndef DISKMAP_EXTENT_H
#define DISKMAP_EXTENT_H

#include "base/base.h"

struct extent {
    uint64_t first, count;
};

struct extents {
    struct extent *v;
    size_t count, capacity;
};

void extents_free(struct extents *list);
must_check int extents_push(struct extents *list, uint64_t first, uint64_t count);
/* Sorts by first block; false when two of them share a block. */
bool extents_sort(struct extents *list);

/* Free runs within [first, end), in ascending order; what lies at and behind `end` is free too. */
struct space {
    struct extents runs;
    size_t next; /* next fit: where the last search ended */
    uint64_t
        hopeless_count; /* no run has this many blocks: within a transaction runs only shrink */
    uint64_t end;
};

/* `used` lists are sorted and may overlap one another; those runs stay untouched. -ENOMEM. */
must_check int space_init(struct space *space, uint64_t first, uint64_t end,
                          const struct extents *const *used, size_t lists);
void space_free(struct space *space);
/* The first of `count` consecutive free blocks; may move space->end. */
uint64_t space_take(struct space *space, uint64_t count);

#endif

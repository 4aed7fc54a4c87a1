// SPDX-License-Identifier: BSD-2-Clause
/*
 * shelf.h - objects in memory for a worker to serve: a volume in a file without a name.
 */
#ifndef BENCH_SHELF_H
#define BENCH_SHELF_H

#include "diskmap/diskmap.h"

struct shelf_object {
    const char *path;
    uint64_t bytes;
};

/* 0, or what diskmap says, in words in `why`. The set is the caller's to close. */
int shelf_open(struct diskmap_set **set, const struct shelf_object *objects, size_t count,
               char *why, size_t why_bytes);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * shelf.h - what the simulated server serves: a volume in memory, the same in every run.
 *
 * The objects have the sizes at which things break: none, one, around a block, around a chunk,
 * some hundred kilobytes, some megabytes. Their bytes are patterns, so that a client can tell any
 * byte of any object without having it.
 */
#ifndef SIM_SHELF_H
#define SIM_SHELF_H

#include "diskmap/diskmap.h"
#include "pattern.h"

#define SHELF_OBJECTS    24
#define SHELF_PATH_BYTES 32

struct shelf_object {
    char path[SHELF_PATH_BYTES];
    const char *asked; /* how clients ask for it: the path, or its directory */
    uint64_t bytes;
    uint64_t key; /* of its pattern */
};

struct shelf {
    struct mem_arena *arena;
    struct pattern pattern;
    struct diskmap_set *set;
    int file; /* where the volume was made; no name leads to it */
    struct shelf_object objects[SHELF_OBJECTS];
};

must_check int shelf_open(struct shelf *shelf, char *why, size_t why_bytes);
void shelf_close(struct shelf *shelf);

#endif

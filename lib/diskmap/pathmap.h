// SPDX-License-Identifier: BSD-2-Clause
/*
 * pathmap.h - from a path to its number, in O(1), and a store for the paths themselves.
 *
 * The map holds a number and half of the hash for each path (8 bytes, at most three quarters full);
 * the caller has the table of paths and compares. The hash is keyed, because whoever fills a volume
 * may choose the names.
 */
#ifndef DISKMAP_PATHMAP_H
#define DISKMAP_PATHMAP_H

#include "base/base.h"

#define PATHMAP_NONE UINT32_MAX
#define PATHMAP_MAX  (UINT32_MAX - 1) /* numbers are below this */

struct pathmap_slot {
    uint32_t tag;
    uint32_t number_1; /* number + 1; 0: empty */
};

struct pathmap {
    struct pathmap_slot *slots;
    uint64_t key[2];
    uint64_t mask;
    uint64_t count;
};

struct pathmap_probe {
    uint64_t at;
    uint32_t tag;
};

must_check int pathmap_init(struct pathmap *map); /* -ENOMEM, or no randomness */
void pathmap_free(struct pathmap *map);
uint64_t pathmap_hash(const struct pathmap *map, const char *path, size_t len);
/* Room for `count` in all without growing; never shrinks. */
must_check int pathmap_reserve(struct pathmap *map, uint64_t count);
/* The caller knows that the path is not in the map yet. */
must_check int pathmap_add(struct pathmap *map, uint64_t hash, uint32_t number);
void pathmap_clear(struct pathmap *map);
size_t pathmap_bytes(const struct pathmap *map);

static inline struct pathmap_probe pathmap_start(uint64_t hash)
{
    return (struct pathmap_probe){.at = (uint32_t)hash, .tag = (uint32_t)hash};
}

/* The next number whose path has (very probably) this hash, or PATHMAP_NONE. */
static inline uint32_t pathmap_next(const struct pathmap *map, struct pathmap_probe *probe)
{
    for (;;) {
        const struct pathmap_slot *slot = &map->slots[probe->at++ & map->mask];

        if (!slot->number_1)
            return PATHMAP_NONE;
        if (slot->tag == probe->tag)
            return slot->number_1 - 1;
    }
}

/* --- the paths' bytes, at addresses that do not change --------------------------------------- */

struct paths_slab;

struct paths {
    struct paths_slab *slabs;
    size_t left_bytes; /* of the newest slab */
    size_t total_bytes;
};

/* A copy with a NUL behind it, or NULL. */
const char *paths_keep(struct paths *paths, const char *path, size_t len);
void paths_free(struct paths *paths);

#endif

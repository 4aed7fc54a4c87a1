// SPDX-License-Identifier: BSD-2-Clause
#include "pathmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/siphash.h"

#define PATHMAP_SLOTS_MIN 64
#define PATHS_SLAB_BYTES  (64u << 10)

int pathmap_init(struct pathmap *map)
{
    *map = (struct pathmap){.mask = PATHMAP_SLOTS_MIN - 1};
    if (getrandom(map->key, sizeof(map->key), 0) != sizeof(map->key))
        return -EIO;
    map->slots = calloc(PATHMAP_SLOTS_MIN, sizeof(*map->slots));
    return map->slots ? 0 : -ENOMEM;
}

void pathmap_free(struct pathmap *map)
{
    free(map->slots);
    map->slots = NULL;
}

uint64_t pathmap_hash(const struct pathmap *map, const char *path, size_t len)
{
    return siphash13(map->key, path, len);
}

/* A slot's place follows from its tag alone, so that the map can grow without the paths. */
static void pathmap_put(struct pathmap *map, struct pathmap_slot slot)
{
    uint64_t at = slot.tag;

    while (map->slots[at & map->mask].number_1)
        at++;
    map->slots[at & map->mask] = slot;
}

int pathmap_reserve(struct pathmap *map, uint64_t count)
{
    struct pathmap old = *map;
    uint64_t slots = map->mask + 1;

    // At most three quarters full: a miss looks at 8.5 slots on average then (Knuth 6.4, linear
    // probing).
    while (count > slots / 4 * 3)
        slots *= 2;
    if (slots == map->mask + 1)
        return 0;
    if (count > PATHMAP_MAX)
        return -ENOMEM;
    map->slots = calloc(slots, sizeof(*map->slots));
    if (!map->slots) {
        map->slots = old.slots;
        return -ENOMEM;
    }
    map->mask = slots - 1;
    for (uint64_t i = 0; i <= old.mask; i++) {
        if (old.slots[i].number_1)
            pathmap_put(map, old.slots[i]);
    }
    free(old.slots);
    return 0;
}

int pathmap_add(struct pathmap *map, uint64_t hash, uint32_t number)
{
    int rc = pathmap_reserve(map, map->count + 1);

    if (rc)
        return rc;
    pathmap_put(map, (struct pathmap_slot){.tag = (uint32_t)hash, .number_1 = number + 1});
    map->count++;
    return 0;
}

void pathmap_clear(struct pathmap *map)
{
    memset(map->slots, 0, (map->mask + 1) * sizeof(*map->slots));
    map->count = 0;
}

size_t pathmap_bytes(const struct pathmap *map)
{
    return (map->mask + 1) * sizeof(*map->slots);
}

struct paths_slab {
    struct paths_slab *older;
    char bytes[];
};

const char *paths_keep(struct paths *paths, const char *path, size_t len)
{
    char *copy;

    assert(len < PATHS_SLAB_BYTES);
    if (paths->left_bytes < len + 1) {
        struct paths_slab *slab = malloc(sizeof(*slab) + PATHS_SLAB_BYTES);

        if (!slab)
            return NULL;
        slab->older = paths->slabs;
        paths->slabs = slab;
        paths->left_bytes = PATHS_SLAB_BYTES;
        paths->total_bytes += sizeof(*slab) + PATHS_SLAB_BYTES;
    }
    copy = paths->slabs->bytes + PATHS_SLAB_BYTES - paths->left_bytes;
    memcpy(copy, path, len);
    copy[len] = 0;
    paths->left_bytes -= len + 1;
    return copy;
}

void paths_free(struct paths *paths)
{
    while (paths->slabs) {
        struct paths_slab *slab = paths->slabs;

        paths->slabs = slab->older;
        free(slab);
    }
    *paths = (struct paths){0};
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem.h - the memory of one worker: an arena, and LIFO pools cut from it.
 *
 * A worker takes all its memory at the start, as one region, so that a port (UMEM, DPDK) and a disk
 * (io_uring fixed buffers, IOMMU) can be told of it once. The arena lies in hugepages where there
 * are some and in ordinary pages where there are none; pages that nobody touches cost nothing.
 *
 * Pools are stacks: what was given back last is taken first, still warm in the cache. The highest
 * number of items ever out is the working set that the server reports.
 *
 * A chunk is what data travels in from the disk to the wire:
 *
 *     | headroom, one page | data: page-aligned, `data_bytes` | tailroom |
 *
 * Headers grow downwards from the data, a record's tag sits behind it. A chunk is taken with one
 * reference; every frame slice that points into it holds one more, and the last mem_chunk_put
 * returns it to the top of its pool. A port drops a frame's references when the wire is done with
 * it.
 *
 * One thread owns an arena and all that is cut from it. Nothing here locks.
 */
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include "base/stats.h"

struct mem_arena;

enum mem_arena_flags {
    MEM_ARENA_HUGE = 1, /* try explicit hugepages first, then transparent ones */
};

/* `bytes` is rounded up to whole hugepages. 0, or -errno (-ENOMEM). */
must_check int mem_arena_open(struct mem_arena **out, size_t bytes, unsigned flags);
/* In page-aligned memory that is there already, is all zeros, and outlives the arena: a device's.
 */
must_check int mem_arena_open_in(struct mem_arena **out, void *base, size_t bytes);
void mem_arena_close(struct mem_arena *arena);
/* Zeroed memory that lives as long as the arena; NULL when it is exhausted. `align`: a power of 2.
 */
void *mem_arena_alloc(struct mem_arena *arena, size_t bytes, size_t align);
void *mem_arena_base(const struct mem_arena *arena);
size_t mem_arena_bytes(const struct mem_arena *arena);
size_t mem_arena_used(const struct mem_arena *arena);
bool mem_arena_is_huge(const struct mem_arena *arena);

/* --- pools of equal items ------------------------------------------------------------------- */

struct mem_pool {
    void **stack; /* private: */
    char *items;
    uint32_t free_count;
    uint32_t fresh; /* items never taken yet: their pages are untouched */
    uint32_t capacity;
    uint32_t item_bytes; /* rounded up to 16 */
    uint64_t in_use;     /* public, read with stat_get: */
    uint64_t high_water;
    uint64_t failures; /* times that none was left */
};

/* -ENOMEM when the arena is too small. Items are 16-byte aligned, 64 if item_bytes is a multiple
 * of 64. */
must_check int mem_pool_init(struct mem_pool *pool, struct mem_arena *arena, size_t item_bytes,
                             uint32_t capacity);
/* An item with undefined content, or NULL (counted). */
void *mem_pool_get(struct mem_pool *pool);
void mem_pool_put(struct mem_pool *pool, void *item);
/* Items have stable numbers, 0 to capacity - 1. */
uint32_t mem_pool_index(const struct mem_pool *pool, const void *item);
static inline void *mem_pool_at(const struct mem_pool *pool, uint32_t index)
{
    assert(index < pool->capacity);
    return pool->items + (size_t)index * pool->item_bytes;
}

/* --- chunks --------------------------------------------------------------------------------- */

#define MEM_CHUNK_HEADROOM PAGE_BYTES
#define MEM_CHUNK_TAILROOM 64 /* a GCM or Poly1305 tag, and room to spare */

struct mem_chunk {
    uint8_t *data; /* page-aligned; data[-MEM_CHUNK_HEADROOM] to data[data_bytes + TAILROOM - 1] */
    uint32_t index;
    uint32_t refs;
    struct mem_chunks *home;
};

struct mem_chunks {
    struct mem_chunk *chunks; /* private: */
    uint32_t *stack;
    uint32_t free_count;
    uint32_t capacity; /* public: */
    uint32_t data_bytes;
    uint64_t in_use; /* read with stat_get: */
    uint64_t high_water;
    uint64_t failures;
};

/* `data_bytes` is a multiple of a page. -ENOMEM when the arena is too small. */
must_check int mem_chunks_init(struct mem_chunks *chunks, struct mem_arena *arena,
                               uint32_t data_bytes, uint32_t capacity);
/* One reference, or NULL when none is left (counted). */
struct mem_chunk *mem_chunk_get(struct mem_chunks *chunks);
/* The memory in which all of them lie, to be registered with a device. */
void mem_chunks_region(const struct mem_chunks *chunks, void **base, size_t *bytes);
void mem_chunk_give(struct mem_chunk *chunk); /* private: the last reference is gone */

static inline void mem_chunk_hold(struct mem_chunk *chunk)
{
    assert(chunk->refs > 0);
    chunk->refs++;
}

static inline void mem_chunk_put(struct mem_chunk *chunk)
{
    assert(chunk->refs > 0);
    if (--chunk->refs == 0)
        mem_chunk_give(chunk);
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "mem/mem.h"
#include "mem/poison.h"

/*
 * From one chunk's data to the next one's. A way of today's second-level caches holds 64 KiB (1,024
 * sets of 64 bytes): with a stride of 64 KiB the data, and the headers in front of it, of all
 * chunks would fight for the same few sets. An odd number of pages is coprime to the 16 pages of
 * a way, so sixteen chunks in a row begin at sixteen different places.
 */
static size_t chunk_stride(uint32_t data_bytes)
{
    size_t bytes = MEM_CHUNK_HEADROOM + (size_t)data_bytes + MEM_CHUNK_TAILROOM;

    return (align_up(bytes, PAGE_BYTES) / PAGE_BYTES | 1) * PAGE_BYTES;
}

static uint8_t *chunk_start(const struct mem_chunk *chunk)
{
    return chunk->data - MEM_CHUNK_HEADROOM;
}

static size_t chunk_bytes(const struct mem_chunks *chunks)
{
    return MEM_CHUNK_HEADROOM + (size_t)chunks->data_bytes + MEM_CHUNK_TAILROOM;
}

int mem_chunks_init(struct mem_chunks *chunks, struct mem_arena *arena, uint32_t data_bytes,
                    uint32_t capacity)
{
    size_t stride = chunk_stride(data_bytes);
    uint8_t *memory;

    assert(data_bytes > 0 && data_bytes % PAGE_BYTES == 0);
    memset(chunks, 0, sizeof(*chunks));
    chunks->chunks = mem_arena_alloc(arena, (size_t)capacity * sizeof(*chunks->chunks), CACHE_LINE);
    chunks->stack = mem_arena_alloc(arena, (size_t)capacity * sizeof(*chunks->stack), CACHE_LINE);
    memory = mem_arena_alloc(arena, capacity * stride, PAGE_BYTES);
    if (!chunks->chunks || !chunks->stack || !memory)
        return -ENOMEM;
    for (uint32_t i = 0; i < capacity; i++) {
        chunks->chunks[i] = (struct mem_chunk){
            .data = memory + i * stride + MEM_CHUNK_HEADROOM,
            .index = i,
            .home = chunks,
        };
        /* The first chunk on top: those never taken yet are taken in order. */
        chunks->stack[i] = capacity - 1 - i;
    }
    chunks->free_count = capacity;
    chunks->capacity = capacity;
    chunks->data_bytes = data_bytes;
    mem_poison(memory, capacity * stride);
    return 0;
}

void mem_chunks_region(const struct mem_chunks *chunks, void **base, size_t *bytes)
{
    *base = chunk_start(&chunks->chunks[0]);
    *bytes = chunks->capacity * chunk_stride(chunks->data_bytes);
}

struct mem_chunk *mem_chunk_get(struct mem_chunks *chunks)
{
    struct mem_chunk *chunk;

    if (unlikely(!chunks->free_count)) {
        stat_inc(&chunks->failures);
        return NULL;
    }
    chunk = &chunks->chunks[chunks->stack[--chunks->free_count]];
    assert(chunk->refs == 0);
    chunk->refs = 1;
    mem_unpoison(chunk_start(chunk), chunk_bytes(chunks));
    stat_inc(&chunks->in_use);
    if (chunks->in_use > chunks->high_water)
        stat_set(&chunks->high_water, chunks->in_use);
    return chunk;
}

void mem_chunk_give(struct mem_chunk *chunk)
{
    struct mem_chunks *chunks = chunk->home;

    assert(chunk->refs == 0 && chunks->free_count < chunks->capacity);
    chunks->stack[chunks->free_count++] = chunk->index;
    stat_set(&chunks->in_use, chunks->in_use - 1);
    mem_poison(chunk_start(chunk), chunk_bytes(chunks));
}

// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "mem/mem.h"
#include "mem/poison.h"

int mem_pool_init(struct mem_pool *pool, struct mem_arena *arena, size_t item_bytes,
                  uint32_t capacity)
{
    size_t rounded = align_up(item_bytes, 16);

    assert(item_bytes > 0);
    memset(pool, 0, sizeof(*pool));
    if (rounded > UINT32_MAX)
        return -ENOMEM;
    pool->stack = mem_arena_alloc(arena, (size_t)capacity * sizeof(*pool->stack), CACHE_LINE);
    pool->items = mem_arena_alloc(arena, (size_t)capacity * rounded, CACHE_LINE);
    if (!pool->stack || !pool->items)
        return -ENOMEM;
    pool->item_bytes = (uint32_t)rounded;
    pool->capacity = capacity;
    pool->fresh = capacity;
    mem_poison(pool->items, (size_t)capacity * rounded);
    return 0;
}

void *mem_pool_get(struct mem_pool *pool)
{
    void *item;

    if (likely(pool->free_count))
        item = pool->stack[--pool->free_count];
    else if (pool->fresh)
        item = pool->items + (size_t)(pool->capacity - pool->fresh--) * pool->item_bytes;
    else {
        stat_inc(&pool->failures);
        return NULL;
    }
    mem_unpoison(item, pool->item_bytes);
    stat_inc(&pool->in_use);
    if (pool->in_use > pool->high_water)
        stat_set(&pool->high_water, pool->in_use);
    return item;
}

void mem_pool_put(struct mem_pool *pool, void *item)
{
    assert((const char *)item >= pool->items &&
           (const char *)item < pool->items + (size_t)pool->capacity * pool->item_bytes);
    assert(!mem_is_poisoned(item)); /* it would be given back twice */
    assert(pool->in_use > 0);
    pool->stack[pool->free_count++] = item;
    stat_set(&pool->in_use, pool->in_use - 1);
    mem_poison(item, pool->item_bytes);
}

uint32_t mem_pool_index(const struct mem_pool *pool, const void *item)
{
    return (uint32_t)((size_t)((const char *)item - pool->items) / pool->item_bytes);
}

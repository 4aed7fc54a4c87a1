// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mem/mem.h"
#include "mem/poison.h"

#define HUGE_PAGE_BYTES (2ull << 20)

struct mem_arena {
    char *base;
    size_t bytes;
    size_t used;
    bool is_huge;
    bool borrowed; /* the memory is somebody else's */
};

static char *map(size_t bytes, int flags)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* Ordinary pages, but beginning where a hugepage could: one more is mapped than is needed, and
 * what sticks out on both sides is given back. */
static char *map_aligned(size_t bytes)
{
    char *p = map(bytes + HUGE_PAGE_BYTES, MAP_NORESERVE);
    size_t before;

    if (!p)
        return NULL;
    before = align_up((uintptr_t)p, HUGE_PAGE_BYTES) - (uintptr_t)p;
    if (before)
        munmap(p, before);
    munmap(p + before + bytes, HUGE_PAGE_BYTES - before);
    return p + before;
}

static int arena_map(struct mem_arena *arena, unsigned flags)
{
    if (flags & MEM_ARENA_HUGE) {
        /* Not MAP_NORESERVE: with a reservation a shortage shows here, not as SIGBUS later. */
        arena->base = map(arena->bytes, MAP_HUGETLB);
        arena->is_huge = arena->base != NULL;
    }
    if (!arena->base)
        arena->base = map_aligned(arena->bytes);
    if (!arena->base)
        return -ENOMEM;
    /* Advice that a kernel without transparent hugepages refuses changes nothing else. */
    if (flags & MEM_ARENA_HUGE && !arena->is_huge)
        (void)madvise(arena->base, arena->bytes, MADV_HUGEPAGE);
    return 0;
}

int mem_arena_open(struct mem_arena **out, size_t bytes, unsigned flags)
{
    struct mem_arena *arena;
    int err;

    if (!bytes || bytes > SIZE_MAX / 2)
        return -ENOMEM;
    arena = calloc(1, sizeof(*arena));
    if (!arena)
        return -ENOMEM;
    arena->bytes = align_up(bytes, HUGE_PAGE_BYTES);
    err = arena_map(arena, flags);
    if (err) {
        free(arena);
        return err;
    }
    *out = arena;
    return 0;
}

int mem_arena_open_in(struct mem_arena **out, void *base, size_t bytes)
{
    struct mem_arena *arena = calloc(1, sizeof(*arena));

    assert(((uintptr_t)base & (PAGE_BYTES - 1)) == 0);
    if (!arena)
        return -ENOMEM;
    *arena = (struct mem_arena){.base = base, .bytes = bytes, .borrowed = true};
    *out = arena;
    return 0;
}

void mem_arena_close(struct mem_arena *arena)
{
    if (!arena)
        return;
    mem_unpoison(arena->base, arena->bytes);
    if (!arena->borrowed)
        munmap(arena->base, arena->bytes);
    free(arena);
}

void *mem_arena_alloc(struct mem_arena *arena, size_t bytes, size_t align)
{
    uintptr_t base = (uintptr_t)arena->base;
    size_t start;

    assert(is_pow2(align) && align <= HUGE_PAGE_BYTES);
    // Borrowed memory may begin at any page.
    start = align_up(base + arena->used, align) - base;
    if (start > arena->bytes || bytes > arena->bytes - start)
        return NULL;
    arena->used = start + bytes;
    return arena->base + start;
}

void *mem_arena_base(const struct mem_arena *arena)
{
    return arena->base;
}

size_t mem_arena_bytes(const struct mem_arena *arena)
{
    return arena->bytes;
}

size_t mem_arena_used(const struct mem_arena *arena)
{
    return arena->used;
}

bool mem_arena_is_huge(const struct mem_arena *arena)
{
    return arena->is_huge;
}

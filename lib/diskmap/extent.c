// SPDX-License-Identifier: BSD-2-Clause
#include "extent.h"

#include <errno.h>
#include <stdlib.h>

#define EXTENTS_MIN 64

void extents_free(struct extents *list)
{
    free(list->v);
    *list = (struct extents){0};
}

int extents_push(struct extents *list, uint64_t first, uint64_t count)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : EXTENTS_MIN;
        struct extent *v = realloc(list->v, capacity * sizeof(*v));

        if (!v)
            return -ENOMEM;
        list->v = v;
        list->capacity = capacity;
    }
    list->v[list->count++] = (struct extent){first, count};
    return 0;
}

static int extent_compare(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

static bool extents_ascending(const struct extents *list)
{
    for (size_t i = 1; i < list->count; i++) {
        if (list->v[i].first < list->v[i - 1].first)
            return false;
    }
    return true;
}

bool extents_sort(struct extents *list)
{
    // A volume that was packed in one go lies in the order of its paths: nothing to sort.
    if (!extents_ascending(list))
        qsort(list->v, list->count, sizeof(*list->v), extent_compare);
    for (size_t i = 1; i < list->count; i++) {
        if (list->v[i].first < list->v[i - 1].first + list->v[i - 1].count)
            return false;
    }
    return true;
}

/* The list whose next extent lies lowest, or `lists` when all are used up. */
static size_t space_lowest(const struct extents *const *used, const size_t *at, size_t lists)
{
    size_t lowest = lists;

    for (size_t i = 0; i < lists; i++) {
        if (at[i] == used[i]->count)
            continue;
        if (lowest == lists || used[i]->v[at[i]].first < used[lowest]->v[at[lowest]].first)
            lowest = i;
    }
    return lowest;
}

#define SPACE_LISTS_MAX 4

int space_init(struct space *space, uint64_t first, uint64_t end, const struct extents *const *used,
               size_t lists)
{
    size_t at[SPACE_LISTS_MAX] = {0}, i;
    int rc = 0;

    assert(lists <= SPACE_LISTS_MAX);
    *space = (struct space){.hopeless_count = UINT64_MAX, .end = end};
    while (!rc && (i = space_lowest(used, at, lists)) < lists) {
        const struct extent *e = &used[i]->v[at[i]++];

        if (e->first > first)
            rc = extents_push(&space->runs, first, min_u64(e->first, end) - first);
        first = max_u64(first, e->first + e->count);
        if (first >= end)
            break;
    }
    if (!rc && first < end)
        rc = extents_push(&space->runs, first, end - first);
    if (rc)
        space_free(space);
    return rc;
}

void space_free(struct space *space)
{
    extents_free(&space->runs);
}

/* The last run reaches up to `end`: taking it and some blocks behind it leaves no hole. */
static uint64_t space_extend(struct space *space, uint64_t count)
{
    struct extents *runs = &space->runs;
    uint64_t first = space->end;

    if (runs->count) {
        struct extent *last = &runs->v[runs->count - 1];

        if (last->count && last->first + last->count == space->end) {
            first = last->first;
            last->count = 0;
        }
    }
    space->end = first + count;
    return first;
}

uint64_t space_take(struct space *space, uint64_t count)
{
    struct extents *runs = &space->runs;

    if (count < space->hopeless_count) {
        for (size_t i = 0; i < runs->count; i++) {
            size_t at = (space->next + i) % runs->count;
            struct extent *run = &runs->v[at];

            if (run->count >= count) {
                uint64_t first = run->first;

                run->first += count;
                run->count -= count;
                space->next = at;
                return first;
            }
        }
        space->hopeless_count = count;
    }
    return space_extend(space, count);
}

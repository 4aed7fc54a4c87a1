// SPDX-License-Identifier: BSD-2-Clause
#include "pattern.h"

#include "base/rand.h"

#include <errno.h>

/* The table is the same in every run: what differs between streams is where they start in it. */
#define TABLE_SEED 0x61746c6173ull

int pattern_open(struct pattern *pattern, struct mem_arena *arena)
{
    size_t bytes = align_up(PATTERN_PERIOD + PATTERN_RUN, sizeof(uint64_t));
    struct rand rand;

    pattern->bytes = mem_arena_alloc(arena, bytes, CACHE_LINE);
    if (!pattern->bytes)
        return -ENOMEM;
    rand_seed(&rand, TABLE_SEED);
    for (size_t i = 0; i < PATTERN_PERIOD; i += sizeof(uint64_t)) {
        uint64_t r = rand_u64(&rand);

        memcpy(pattern->bytes + i, &r, sizeof(r));
    }
    memcpy(pattern->bytes + PATTERN_PERIOD, pattern->bytes, PATTERN_RUN);
    return 0;
}

const uint8_t *pattern_at(const struct pattern *pattern, uint64_t key, uint64_t offset)
{
    struct rand rand;
    uint64_t start;

    rand_seed(&rand, key);
    start = rand_below(&rand, PATTERN_PERIOD);
    return pattern->bytes + (start + offset) % PATTERN_PERIOD;
}

void pattern_write(const struct pattern *pattern, uint64_t key, uint64_t offset, uint8_t *data,
                   size_t len)
{
    while (len) {
        size_t part = min_u64(len, PATTERN_RUN);

        memcpy(data, pattern_at(pattern, key, offset), part);
        data += part;
        offset += part;
        len -= part;
    }
}

size_t pattern_match(const struct pattern *pattern, uint64_t key, uint64_t offset,
                     const uint8_t *data, size_t len)
{
    size_t good = 0;

    while (good < len) {
        size_t part = min_u64(len - good, PATTERN_RUN);
        const uint8_t *want = pattern_at(pattern, key, offset + good);

        if (memcmp(data + good, want, part)) {
            while (data[good] == *want++)
                good++;
            return good;
        }
        good += part;
    }
    return good;
}

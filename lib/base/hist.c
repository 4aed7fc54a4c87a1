// SPDX-License-Identifier: BSD-2-Clause
#include "base/hist.h"

#define SUB (1u << HIST_SUB_BITS)

/* Values below SUB have a bucket each; above, the exponent and the SUB_BITS bits behind the
 * leading one name the bucket. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned exponent, index;

    if (ns < SUB)
        return (unsigned)ns;
    exponent = 63 - (unsigned)__builtin_clzll(ns);
    index = ((exponent - HIST_SUB_BITS + 1) << HIST_SUB_BITS) +
            ((unsigned)(ns >> (exponent - HIST_SUB_BITS)) & (SUB - 1));
    return min_u32(index, HIST_BUCKETS - 1);
}

/* The highest value that falls into the bucket. The last one takes all that is higher. */
static uint64_t bucket_highest(unsigned index)
{
    unsigned shift;

    if (index >= HIST_BUCKETS - 1)
        return UINT64_MAX;
    if (index < SUB)
        return index;
    shift = (index >> HIST_SUB_BITS) - 1;
    return ((uint64_t)(SUB + (index & (SUB - 1)) + 1) << shift) - 1;
}

void hist_record(struct hist *h, uint64_t ns)
{
    stat_inc(&h->bucket[bucket_of(ns)]);
    stat_add(&h->sum_ns, ns);
    stat_inc(&h->count);
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t total = 0, seen = 0, rank, value = 0;

    /* h->count may run ahead of or behind the buckets while the owner writes: only the buckets
     * are summed, and a sum that falls short ends at the last record seen. */
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        total += stat_get(&h->bucket[i]);
    if (!total)
        return 0;
    q = q < 0 ? 0 : q > 1 ? 1 : q;
    rank = (uint64_t)(q * (double)total);
    rank += (double)rank < q * (double)total;
    rank = max_u64(min_u64(rank, total), 1);
    for (unsigned i = 0; i < HIST_BUCKETS && seen < rank; i++) {
        uint64_t n = stat_get(&h->bucket[i]);

        seen += n;
        value = n ? bucket_highest(i) : value;
    }
    return value;
}

uint64_t hist_count_below(const struct hist *h, uint64_t ns)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HIST_BUCKETS && bucket_highest(i) <= ns; i++)
        n += stat_get(&h->bucket[i]);
    return n;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        stat_add(&into->bucket[i], stat_get(&from->bucket[i]));
    stat_add(&into->sum_ns, stat_get(&from->sum_ns));
    stat_add(&into->count, stat_get(&from->count));
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * hist.h - a histogram of latencies with logarithmic buckets, each cut into 8 linear parts.
 *
 * It covers 1 ns to 2^40 ns (18 minutes) with an error of at most 12.5 % in 2.5 KiB, and is written
 * by one thread and may be read by another at any time (relaxed counters, see stats.h).
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include "base/stats.h"

#define HIST_SUB_BITS 3
#define HIST_BUCKETS  (40 << HIST_SUB_BITS)

struct hist {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t bucket[HIST_BUCKETS];
};

void hist_record(struct hist *h, uint64_t ns);
/* The value below which the fraction q (0 to 1) of the records lie; 0 when there are none. */
uint64_t hist_quantile(const struct hist *h, double q);
/* Records at most `ns` high: what a Prometheus bucket with le=ns counts. */
uint64_t hist_count_below(const struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);

#endif

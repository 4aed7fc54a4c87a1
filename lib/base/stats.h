// SPDX-License-Identifier: BSD-2-Clause
/*
 * stats.h - counters that one worker writes and the admin thread reads.
 *
 * A library lists its counters once, in a macro of X(name, "help") lines, and makes from it both
 * the struct and the table of descriptions:
 *
 *     #define ETH_STATS(X, t) X(t, rx_frames, "frames received") X(t, drop_short, "...")
 *     struct eth_stats { ETH_STATS(STAT_FIELD, ) };
 *     const struct stat_desc eth_stat_descs[] = { ETH_STATS(STAT_DESC, struct eth_stats) {0} };
 *
 * A counter has one writer. The relaxed store costs what ++ costs and makes the other thread's
 * load defined. Names beginning with "drop_" are drops by cause and are exported as such.
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include "base/base.h"

struct stat_desc {
    const char *name;
    const char *help;
    size_t offset;
};

#define STAT_FIELD(type, name, help) uint64_t name;
#define STAT_DESC(type, name, help)  {#name, help, offsetof(type, name)},

static inline void stat_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void stat_inc(uint64_t *counter)
{
    stat_add(counter, 1);
}

static inline void stat_set(uint64_t *gauge, uint64_t v)
{
    __atomic_store_n(gauge, v, __ATOMIC_RELAXED);
}

static inline uint64_t stat_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * base.h - the words that every file of the project shares.
 *
 * Nothing here has state. Time is always passed in as now_ns, a monotonic count of nanoseconds;
 * the simulator passes virtual time, the servers pass the clock that they read once a turn.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define must_check                      __attribute__((warn_unused_result))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define printf_like(fmt, args)          __attribute__((format(printf, fmt, args)))

#define array_len(a)                    (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define CACHE_LINE                      64
#define PAGE_BYTES                      4096

#define NS_PER_US                       1000ull
#define NS_PER_MS                       1000000ull
#define NS_PER_S                        1000000000ull

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* `to` is a power of two. */
static inline uint64_t align_up(uint64_t x, uint64_t to)
{
    return (x + to - 1) & ~(to - 1);
}

static inline uint64_t align_down(uint64_t x, uint64_t to)
{
    return x & ~(to - 1);
}

static inline bool is_pow2(uint64_t x)
{
    return x && !(x & (x - 1));
}

#endif

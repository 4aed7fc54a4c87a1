// SPDX-License-Identifier: BSD-2-Clause
/*
 * rand.h - seeded, replayable pseudo-random numbers for faults, simulations and tests.
 *
 * Not for anything that an adversary must not guess: initial sequence numbers and hash keys come
 * from a secret that the program draws with getrandom(2) and from siphash.h.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdbool.h>
#include <stdint.h>

struct rand {
    uint64_t state;
};

static inline void rand_seed(struct rand *r, uint64_t seed)
{
    r->state = seed;
}

/* SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one. */
static inline uint64_t rand_u64(struct rand *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* 0 to n - 1; n > 0. */
static inline uint64_t rand_below(struct rand *r, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)rand_u64(r) * n) >> 64);
}

/* True with probability p. */
static inline bool rand_chance(struct rand *r, double p)
{
    return (double)(rand_u64(r) >> 11) * 0x1.0p-53 < p;
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * pattern.h - bytes that know where they belong.
 *
 * The byte at offset o of stream (or file) `key` is a function of both, so that a byte lost,
 * repeated, shifted or taken from another stream is seen by whoever receives it. The function is a
 * walk through a table of random bytes whose length is a prime: no power of two, no MSS and no
 * chunk size is a period of it.
 */
#ifndef SIM_PATTERN_H
#define SIM_PATTERN_H

#include "mem/mem.h"

#define PATTERN_PERIOD 262139      /* a prime */
#define PATTERN_RUN    (64 * 1024) /* so many bytes lie in one piece behind any offset */

struct pattern {
    uint8_t *bytes;
};

must_check int pattern_open(struct pattern *pattern, struct mem_arena *arena);
/* The bytes from `offset` on, PATTERN_RUN of them. */
const uint8_t *pattern_at(const struct pattern *pattern, uint64_t key, uint64_t offset);
void pattern_write(const struct pattern *pattern, uint64_t key, uint64_t offset, uint8_t *data,
                   size_t len);
/* How many bytes from the start are right: len when all are. */
size_t pattern_match(const struct pattern *pattern, uint64_t key, uint64_t offset,
                     const uint8_t *data, size_t len);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * test.h - what the tests of this folder share: an engine, bytes from hexadecimal, random bytes.
 */
#ifndef TLSREC_TEST_H
#define TLSREC_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "priv.h"

#define TEST_ARENA_BYTES (4u << 20)

static struct mem_arena *test_arena;
static struct tlsrec_engine *test_engine;

static inline int engine_setup(void **state)
{
    int rc = mem_arena_open(&test_arena, TEST_ARENA_BYTES, 0);

    return rc ? rc : tlsrec_engine_open(&test_engine, test_arena);
}

static inline int engine_teardown(void **state)
{
    tlsrec_engine_close(test_engine);
    mem_arena_close(test_arena);
    return 0;
}

/* Two digits a byte; spaces between them are skipped. Returns the number of bytes. */
static inline uint32_t from_hex(const char *hex, uint8_t *out, uint32_t room)
{
    uint32_t n = 0;

    for (; *hex; hex++) {
        unsigned byte = 0;

        if (*hex == ' ')
            continue;
        assert_true(n < room && sscanf(hex, "%2x", &byte) == 1);
        out[n++] = (uint8_t)byte;
        hex++;
    }
    return n;
}

static inline void fill_random(struct rand *rand, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)rand_u64(rand);
}

#endif

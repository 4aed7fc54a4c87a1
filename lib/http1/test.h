// SPDX-License-Identifier: BSD-2-Clause
/*
 * test.h - what the tests of this folder share: heap copies of exactly the right size, so that the
 * address sanitizer sees the first byte too many, and a small generator of repeatable numbers.
 */
#ifndef HTTP1_TEST_H
#define HTTP1_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "priv.h"

#define LIT(s) s, sizeof(s) - 1

static inline void *exact_copy(const void *s, size_t len)
{
    void *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, s, len);
    return copy;
}

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline void assert_slice(const struct http1_request *req, struct http1_slice s,
                                const char *want)
{
    if (!want) {
        assert_int_equal(s.off, 0);
        return;
    }
    assert_int_not_equal(s.off, 0);
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(req->head + s.off, want, s.len);
}

#endif

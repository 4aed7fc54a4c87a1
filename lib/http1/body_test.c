// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#define LIMIT 1000

/* The result: < 0 an error, >= 0 how many bytes; -1 when the body did not end. */
static int64_t run(bool chunked, uint64_t length, const char *in, size_t len, size_t step)
{
    struct http1_request req = {
        .chunked = chunked, .content_length = length, .has_body = chunked || length};
    struct http1_body body;
    size_t used = 0;
    int rc = http1_body_init(&body, &req, LIMIT);
    if (rc)
        return rc;
    while (!body.done && used < len) {
        size_t n = min_u64(step, len - used);
        char *copy = exact_copy(in + used, n);
        int64_t taken = http1_body_feed(&body, copy, n);
        free(copy);
        if (taken < 0)
            return taken;
        assert_true(body.done || (size_t)taken == n);
        used += (size_t)taken;
    }
    return body.done ? (int64_t)used : -1;
}

static int64_t verdict(bool chunked, uint64_t length, const char *in, size_t len)
{
    int64_t rc = run(chunked, length, in, len, len ? len : 1);
    for (size_t step = 1; step < 8; step++)
        assert_int_equal(run(chunked, length, in, len, step), rc);
    return rc;
}

#define REST "GET"

static const struct {
    const char *in;
    size_t len;
    int want; /* 0: all but REST is taken */
} bodies[] = {
    {LIT("0\r\n\r\n" REST), 0},
    {LIT("00000\r\n\r\n" REST), 0},
    {LIT("5\r\nabcde\r\n0\r\n\r\n" REST), 0},
    {LIT("5\r\n\r\n0\r\n\r\n0\r\n\r\n" REST), 0},
    {LIT("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n" REST), 0},
    {LIT("005;a\r\nabcde\r\n0;b=c\r\n\r\n" REST), 0},
    {LIT("5;a=\"b;c\"\r\nabcde\r\n0\r\n\r\n" REST), 0},
    {LIT("5 ;a\r\nabcde\r\n0\t; b\r\n\r\n" REST), 0},
    {LIT("0\r\nA: b\r\n\r\n" REST), 0},
    {LIT("0\r\nA: b\r\nC:\r\n\r\n" REST), 0},
    {LIT(""), -1},
    {LIT("5\r\nabc"), -1},
    {LIT("0\r\n"), -1},
    {LIT("0\r\n\r"), -1},
    /* Sizes: RFC 9112 7.1. */
    {LIT("\r\n\r\n"), -400},
    {LIT(" 5\r\nabcde"), -400},
    {LIT("+5\r\nabcde"), -400},
    {LIT("-5\r\nabcde"), -400},
    {LIT("0x5\r\nabcde"), -400},
    {LIT("g\r\n"), -400},
    {LIT("5 \r\nabcde"), -400},
    {LIT("5 5\r\nabcde"), -400},
    {LIT(";a\r\n"), -400},
    {LIT("5\nabcde\r\n"), -400},
    {LIT("5\r\rabcde"), -400},
    {LIT("5\rabcde"), -400},
    {LIT("5;a\nabcde"), -400},
    {LIT("5;a\rabcde"), -400},
    {LIT("5;a\0\r\n"), -400},
    {LIT("5\0\r\n"), -400},
    {LIT("5\r\nabcdef\r\n"), -400},
    {LIT("5\r\nabcde\n0\r\n\r\n"), -400},
    {LIT("5\r\nabcde0\r\n\r\n"), -400},
    {LIT("5\r\nabcd\r\n0\r\n\r\n"), -400},
    {LIT("0000000000000000\r\n\r\n"), -400},
    {LIT("0\r\n\n"), -400},
    {LIT("0\n\r\n"), -400},
    {LIT("0\r\n\rX"), -400},
    /* Trailers. */
    {LIT("0\r\n A: b\r\n\r\n"), -400},
    {LIT("0\r\nA : b\r\n\r\n"), -400},
    {LIT("0\r\nA\r\n\r\n"), -400},
    {LIT("0\r\n: b\r\n\r\n"), -400},
    {LIT("0\r\nA: b\n\r\n"), -400},
    {LIT("0\r\nA: b\rc\r\n\r\n"), -400},
    {LIT("0\r\nA: b\0c\r\n\r\n"), -400},
    {LIT("0\r\nA: b\r\n folded\r\n\r\n"), -400},
    {LIT("0\r\nGET / HTTP/1.1\r\n\r\n"), -400},
    /* Limits. */
    {LIT("3e9\r\n"), -413},
    {LIT("ffffffff\r\n"), -413},
    {LIT("fffffffffffffff\r\n"), -413},
    {LIT("ffffffffffffffff\r\n"), -413},
    {LIT("10000000000000000\r\n"), -413},
};

static void test_chunked(void **state)
{
    for (size_t i = 0; i < array_len(bodies); i++) {
        int64_t want = bodies[i].want ? bodies[i].want : (int64_t)(bodies[i].len - strlen(REST));
        int64_t rc = verdict(true, 0, bodies[i].in, bodies[i].len);
        if (rc != want)
            fail_msg("%.*s: %d", (int)bodies[i].len, bodies[i].in, (int)rc);
    }
}

static void test_length(void **state)
{
    assert_int_equal(verdict(false, 0, LIT("GET")), 0);
    assert_int_equal(verdict(false, 3, LIT("abcGET")), 3);
    assert_int_equal(verdict(false, 3, LIT("abc")), 3);
    assert_int_equal(verdict(false, 3, LIT("ab")), -1);
    assert_int_equal(verdict(false, LIMIT, LIT("ab")), -1);
    assert_int_equal(verdict(false, LIMIT + 1, LIT("ab")), -413);
    assert_int_equal(verdict(false, UINT64_MAX, LIT("ab")), -413);
}

/* `head`, then `n` times `unit`, then `tail`. */
static int64_t repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    size_t unit_len = strlen(unit), len = strlen(head) + n * unit_len + strlen(tail), at;
    char *in = malloc(len);
    memcpy(in, head, at = strlen(head));
    for (; n; n--, at += unit_len)
        memcpy(in + at, unit, unit_len);
    memcpy(in + at, tail, strlen(tail));
    int64_t rc = verdict(true, 0, in, len);
    free(in);
    return rc == (int64_t)len ? 0 : rc;
}

static void test_bounds(void **state)
{
    /* The limit counts content over all chunks. */
    assert_int_equal(repeated("", "1\r\na\r\n", LIMIT, "0\r\n\r\n"), 0);
    assert_int_equal(repeated("", "1\r\na\r\n", LIMIT + 1, "0\r\n\r\n"), -413);
    /* Extensions, in one chunk and over many. */
    assert_int_equal(repeated("0;", "a", HTTP1_CHUNK_EXT_BYTES_MAX - 1, "\r\n\r\n"), 0);
    assert_int_equal(repeated("0;", "a", HTTP1_CHUNK_EXT_BYTES_MAX, "\r\n\r\n"), -400);
    assert_int_equal(repeated("", "1;abcdefgh\r\na\r\n", 114, "0\r\n\r\n"), -400);
    assert_int_equal(repeated("", "1;abcdefgh\r\na\r\n", 113, "0\r\n\r\n"), 0);
    /* Trailers: the last CR and LF count. */
    assert_int_equal(repeated("0\r\n", "A:\r\n", HTTP1_TRAILER_BYTES_MAX / 4, "\r\n"), -431);
    assert_int_equal(repeated("0\r\n", "A:\r\n", HTTP1_TRAILER_BYTES_MAX / 4 - 1, "\r\n"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "response.h"

#define BODY_MAX 256

struct outcome {
    int64_t error; /* 0: none */
    size_t used;
    struct response r;
    char body[BODY_MAX];
};

/* Feeds `step` bytes at a time, in copies of exactly that size. */
static struct outcome feed_len(const char *bytes, size_t len, size_t step, bool head_method)
{
    struct outcome o = {0};

    response_init(&o.r, head_method);
    while (o.used < len && !o.r.done) {
        size_t part = min_u64(step, len - o.used), at = 0;
        uint8_t *copy = malloc(part);

        memcpy(copy, bytes + o.used, part);
        while (at < part && !o.r.done) {
            bool body;
            uint64_t before = o.r.body_bytes;
            int64_t n = response_feed(&o.r, copy + at, part - at, &body);

            if (n < 0) {
                free(copy);
                o.error = n;
                return o;
            }
            assert_true(n > 0);
            if (body && before + (uint64_t)n < BODY_MAX)
                memcpy(o.body + before, copy + at, (size_t)n);
            assert_int_equal(o.r.body_bytes - before, body ? n : 0);
            at += (size_t)n;
        }
        free(copy);
        o.used += at;
    }
    return o;
}

/* The verdict must not depend on how the bytes are cut. */
static struct outcome feed(const char *bytes, bool head_method)
{
    struct outcome whole = feed_len(bytes, strlen(bytes), SIZE_MAX, head_method);

    for (size_t step = 1; step < 8; step++) {
        struct outcome o = feed_len(bytes, strlen(bytes), step, head_method);

        assert_int_equal(o.error, whole.error);
        assert_int_equal(o.r.done, whole.r.done);
        assert_int_equal(o.r.status, whole.r.status);
        if (o.error == 0) {
            assert_int_equal(o.used, whole.used);
            assert_string_equal(o.body, whole.body);
        }
    }
    return whole;
}

struct good {
    const char *bytes;
    uint16_t status;
    const char *body;
    bool keep_alive;
    const char *rest; /* what follows the response */
};

static void test_complete(void **state)
{
    static const struct good cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", 200, "hello", true, "HTTP"},
        {"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, "", true, ""},
        {"HTTP/1.1 200 OK\nContent-Length: 2\n\nab", 200, "ab", true, ""},
        {"HTTP/1.1 404 Not Found\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\nx", 404, "x",
         false, ""},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, ""},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", true,
         ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc", 200, "abc",
         true, ""},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nrest", 204, "", true, "rest"},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true, ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
         200, "x", true, ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n"
         "0123456789\r\n0\r\nTrailer: 1\r\n\r\nnext",
         200, "hello0123456789", true, "next"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"
         "1 \r\nx\r\n000\r\n\r\n",
         200, "x", true, ""},
        {"HTTP/1.1 200 OK\r\nX: a\r\n  folded\r\nContent-Length: 1\r\n\r\nx", 200, "x", true, ""},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        struct outcome o = feed(cases[i].bytes, false);

        assert_int_equal(o.error, 0);
        assert_true(o.r.done);
        assert_int_equal(o.r.status, cases[i].status);
        assert_int_equal(o.r.keep_alive, cases[i].keep_alive);
        assert_string_equal(o.body, cases[i].body);
        assert_int_equal(o.r.body_bytes, strlen(cases[i].body));
        assert_string_equal(cases[i].bytes + o.used, cases[i].rest);
    }
}

static void test_malformed(void **state)
{
    static const char *const cases[] = {
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 600 High\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 2\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
    };

    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(feed(cases[i], false).error, RESPONSE_MALFORMED);
}

static void test_head_method(void **state)
{
    struct outcome o = feed("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", true);

    assert_true(o.r.done && o.r.keep_alive);
}

static void test_connection_ends(void **state)
{
    struct outcome o = feed("HTTP/1.1 200 OK\r\n\r\nto the end", false);

    assert_false(o.r.done);
    assert_true(response_end(&o.r));
    assert_false(o.r.keep_alive);
    assert_string_equal(o.body, "to the end");

    o = feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false);
    assert_false(response_end(&o.r));
    o = feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n", false);
    assert_false(response_end(&o.r));
    o = feed("HTTP/1.1 200 OK\r\nX: y", false);
    assert_false(response_end(&o.r));
    o = feed("", false);
    assert_false(response_end(&o.r));
}

static void test_skip(void **state)
{
    struct outcome o = feed("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nab", false);

    assert_int_equal(response_skippable(&o.r), 299998);
    response_skip(&o.r, 299990);
    assert_false(o.r.done);
    response_skip(&o.r, 8);
    assert_true(o.r.done && o.r.body_bytes == 300000);
    assert_int_equal(response_skippable(&o.r), 0);

    o = feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n", false);
    assert_int_equal(response_skippable(&o.r), 16);
    response_skip(&o.r, 16);
    assert_int_equal(response_skippable(&o.r), 0);
}

/* A head with one line of `bytes` bytes: "NAME: " and filling, then a body of one byte. */
static char *long_line(const char *name, char filling, size_t bytes)
{
    char *text = malloc(bytes + 128);
    size_t n = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\n%s: ", name);

    memset(text + n, filling, bytes);
    strcpy(text + n + bytes, "\r\nContent-Length: 1\r\n\r\nx");
    return text;
}

static void test_long_lines(void **state)
{
    static const struct {
        const char *name;
        size_t bytes;
        int error;
    } cases[] = {
        {"Set-Cookie", RESPONSE_LINE_BYTES - 20, 0},
        {"Set-Cookie", RESPONSE_LINE_BYTES - 12, 0}, /* it ends around where it is cut */
        {"Set-Cookie", RESPONSE_LINE_BYTES - 13, 0},
        {"Set-Cookie", 5000, 0},
        {"Set-Cookie", RESPONSE_HEAD_BYTES, RESPONSE_TOO_BIG},
        {"Connection", 5000, RESPONSE_TOO_BIG},
        {"Transfer-Encoding", 600, RESPONSE_TOO_BIG},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        char *text = long_line(cases[i].name, 'a', cases[i].bytes);

        assert_int_equal(feed(text, false).error, cases[i].error);
        free(text);
    }
}

static void test_interim_without_end(void **state)
{
    enum { COUNT = 4000 };
    char *text = malloc(COUNT * 32);
    size_t n = 0;

    for (int i = 0; i < COUNT; i++)
        n += (size_t)sprintf(text + n, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(feed(text, false).error, RESPONSE_TOO_BIG);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_head_method),
        cmocka_unit_test(test_connection_ends),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_interim_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

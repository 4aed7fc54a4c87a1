// SPDX-License-Identifier: BSD-2-Clause
#include "reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* What the reader told, in words: "200 [0-4/5]hello. " */
struct heard {
    bool head_method;
    char text[1024];
};

static void heard_add(struct heard *heard, const char *fmt, ...) printf_like(2, 3);
static void heard_add(struct heard *heard, const char *fmt, ...)
{
    size_t used = strlen(heard->text);
    va_list args;

    va_start(args, fmt);
    vsnprintf(heard->text + used, sizeof(heard->text) - used, fmt, args);
    va_end(args);
}

static bool on_head(void *arg, const struct reader_head *head)
{
    struct heard *heard = arg;

    heard_add(heard, "%u%s ", head->status, head->close ? " close" : "");
    return !heard->head_method;
}

static void on_part(void *arg, uint64_t first, uint64_t last, uint64_t total)
{
    heard_add(arg, "[%llu-%llu/%llu]", (unsigned long long)first, (unsigned long long)last,
              (unsigned long long)total);
}

static void on_bytes(void *arg, uint64_t offset, const uint8_t *data, size_t len)
{
    heard_add(arg, "%.*s", (int)len, (const char *)data);
}

static void on_end(void *arg)
{
    heard_add(arg, ". ");
}

static const struct reader_ops ops = {on_head, on_part, on_bytes, on_end};

/* In one piece, and byte by byte: the same is heard. */
static void expect(const char *sent, bool head_method, const char *want, const char *error)
{
    for (size_t piece = strlen(sent); piece; piece = piece > 1 ? 1 : 0) {
        struct heard heard = {.head_method = head_method};
        struct reader reader;
        bool good = true;

        reader_init(&reader, &ops, &heard);
        for (size_t at = 0; at < strlen(sent) && good; at += piece)
            good = reader_feed(&reader, (const uint8_t *)sent + at, piece);
        assert_string_equal(heard.text, want);
        assert_int_equal(good, error == NULL);
        if (error)
            assert_string_equal(reader.error, error);
        else
            assert_true(reader_between(&reader));
    }
}

static void whole_responses_follow_each_other(void **state)
{
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
           "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!",
           false, "200 [0-4/5]hello. 404 close . ", NULL);
}

static void what_has_no_body_has_none(void **state)
{
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
           true, "200 . 200 . ", NULL);
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"
           "HTTP/1.1 204 No Content\r\n\r\n",
           false, "100 304 . 204 . ", NULL);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "200 . ", NULL);
}

static void one_range(void **state)
{
    expect("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\n"
           "Content-Length: 3\r\n\r\nabc",
           false, "206 [2-4/10]abc. ", NULL);
    expect("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\n"
           "Content-Length: 0\r\n\r\n",
           false, "416 . ", NULL);
}

#define MULTIPART(length)                                                                          \
    "HTTP/1.1 206 Partial Content\r\nContent-Length: " length "\r\n"                               \
    "Content-Type: multipart/byteranges; boundary=XyZ\r\n\r\n"
#define PARTS                                                                                      \
    "\r\n--XyZ\r\nContent-Range: bytes 0-1/10\r\n\r\nab"                                           \
    "\r\n--XyZ\r\nContent-Type: a/b\r\nContent-Range: bytes 5-7/10\r\n\r\nfgh"

static void many_ranges(void **state)
{
    assert_int_equal(strlen(PARTS "\r\n--XyZ--\r\n"), 115);
    expect(MULTIPART("115") PARTS "\r\n--XyZ--\r\n", false, "206 [0-1/10]ab[5-7/10]fgh. ", NULL);
}

static void damaged_multipart(void **state)
{
    expect(MULTIPART("115") PARTS "\r\n--XyZ!!\r\n", false, "206 [0-1/10]ab[5-7/10]fgh",
           "a multipart body does not end with the last boundary");
    expect(MULTIPART("11") "\r\n--XyZ--\r\n", false, "206 ",
           "a multipart body does not end with the last boundary");
    expect(MULTIPART("0"), false, "206 ", "a multipart body without parts");
    expect(MULTIPART("60") "\r\n--Xyz\r\nContent-Range: bytes 0-1/10\r\n\r\nab", false, "206 ",
           "a part does not begin with the boundary");
    expect(MULTIPART("60") "\r\n--XyZ\r\nContent-Range: bytes 0-99/100\r\n\r\nab", false, "206 ",
           "a part longer than the body");
}

static void damaged_heads(void **state)
{
    static const char field[] = "a field that is malformed, repeated or impossible";

    expect("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, "", "not a status line");
    expect("HTTP/1.1 200 OK\r\n\r\n", false, "200 ", "a body without Content-Length");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", false, "", field);
    expect("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false, "", field);
    expect("HTTP/1.1 200 OK\r\nContent Length: 1\r\n\r\n", false, "", field);
    expect("HTTP/1.1 206 P\r\nContent-Range: bytes 4-2/10\r\nContent-Length: 3\r\n\r\n", false, "",
           field);
    expect("HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\n", false, "", "206 without Content-Range");
    expect("HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 4\r\n\r\n", false,
           "206 ", "Content-Length and Content-Range disagree");
    expect("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, "",
           "Content-Length where RFC 9110 8.6 forbids it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_responses_follow_each_other),
        cmocka_unit_test(what_has_no_body_has_none),
        cmocka_unit_test(one_range),
        cmocka_unit_test(many_ranges),
        cmocka_unit_test(damaged_multipart),
        cmocka_unit_test(damaged_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

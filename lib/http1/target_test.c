// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

static const struct {
    const char *in;
    const char *out; /* NULL: 400 */
} paths[] = {
    {"", "/"},
    {"/", "/"},
    {"//", "/"},
    {"///a", "/a"},
    {"/a", "/a"},
    {"/a/", "/a/"},
    {"/a//", "/a/"},
    {"/a//b", "/a/b"},
    {"/.", "/"},
    {"/./", "/"},
    {"/a/.", "/a/"},
    {"/a/./b", "/a/b"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/../b", "/b"},
    {"/a/b/..", "/a/"},
    {"/a/b/../c", "/a/c"},
    {"/a/b/../../c", "/c"},
    {"/a/b/c/../../d/./e/../f", "/a/d/f"},
    {"/aa/bbb/../cccc/..//../d", "/d"},
    {"/...", "/..."},
    {"/.../a", "/.../a"},
    {"/.a", "/.a"},
    {"/..a/b", "/..a/b"},
    {"/a../b", "/a../b"},
    {"/a.", "/a."},
    {"/%61", "/a"},
    {"/%41%42", "/AB"},
    {"/%c3%A4", "/\xc3\xa4"},
    {"/%25", "/%"},
    {"/%2541", "/%41"}, /* once */
    {"/%252e%252e/", "/%2e%2e/"},
    {"/a%2fb", "/a/b"},
    {"/a%2F%2fb", "/a/b"},
    {"/a%2f", "/a/"},
    {"/%2e", "/"},
    {"/%2e/a", "/a"},
    {"/a/%2e%2e/b", "/b"},
    {"/a/.%2e/b", "/b"},
    {"/a%2f..%2fb", "/b"},
    {"/%2f", "/"},
    {"/%3f%23", "/?#"},
    {"/%20", "/ "},
    {"/%0a%7f", "/\n\x7f"},
    {"/a;b=c/..;d", "/a;b=c/..;d"},
    {"/+", "/+"},
    {"/\\..\\a", "/\\..\\a"},
    {"/..", NULL},
    {"/../", NULL},
    {"/../a", NULL},
    {"/a/../..", NULL},
    {"/a/../../b", NULL},
    {"//..", NULL},
    {"/./..", NULL},
    {"/%2e%2e", NULL},
    {"/%2e./a", NULL},
    {"/..%2f", NULL},
    {"/a/%2e%2e%2f%2e%2e", NULL},
    {"/%00", NULL},
    {"/a%00.mp4", NULL},
    {"/%", NULL},
    {"/%2", NULL},
    {"/%g0", NULL},
    {"/%0g", NULL},
    {"/%%30%30", NULL},
    {"/% 1", NULL},
    {"/%+1", NULL},
    {"/%\xff\xff", NULL},
    {"a", NULL},
    {"%2fa", NULL},
};

static void test_paths(void **state)
{
    for (size_t i = 0; i < array_len(paths); i++) {
        size_t len = strlen(paths[i].in), cap = len + 2;
        char *in = exact_copy(paths[i].in, len), *out = malloc(cap);
        int rc = http1_path_normalise(in, len, out, cap);
        if (!paths[i].out) {
            assert_int_equal(rc, -400);
        } else {
            assert_string_equal(out, paths[i].out);
            assert_int_equal(rc, strlen(out));
            /* In place, and again: a path that is normal stays as it is, but for its escapes. */
            char *place = malloc(cap);
            memcpy(place, in, len);
            assert_int_equal(http1_path_normalise(place, len, place, cap), rc);
            assert_string_equal(place, out);
            if (!strchr(out, '%')) {
                assert_int_equal(http1_path_normalise(place, (size_t)rc, place, cap), rc);
                assert_string_equal(place, out);
            }
            free(place);
        }
        free(out);
        free(in);
    }
}

/* Too small is a 414. What is cut off later must fit as well, and one byte more. */
static void test_capacity(void **state)
{
    static const char in[] = "/ab/cd/../ef";
    for (size_t cap = 0; cap < 14; cap++) {
        char *out = malloc(cap ? cap : 1);
        int rc = http1_path_normalise(LIT(in), out, cap);
        assert_int_equal(rc, cap < 11 ? -414 : 6);
        free(out);
    }
}

/* Whatever comes out begins with '/', and has no empty, "." or ".." segment, and no NUL. */
static void test_random(void **state)
{
    static const char *const words[] = {"/", ".", "..", "a", "%2e", "%2f", "%2F", "%25", "//", "b"};
    uint64_t seed = 7;
    for (int round = 0; round < 50000; round++) {
        char in[128] = "/", out[128];
        for (uint64_t n = next_random(&seed) % 20; n; n--)
            strcat(in, words[next_random(&seed) % array_len(words)]);
        int len = http1_path_normalise(in, strlen(in), out, strlen(in) + 2);
        if (len < 0) {
            assert_int_equal(len, -400);
            continue;
        }
        assert_int_equal(strlen(out), len);
        assert_true(out[0] == '/');
        assert_null(strstr(out, "//"));
        assert_null(strstr(out, "/./"));
        assert_null(strstr(out, "/../"));
        assert_true(len < 2 || strcmp(out + len - 2, "/.") != 0);
        assert_true(len < 3 || strcmp(out + len - 3, "/..") != 0);
    }
}

static void test_index(void **state)
{
    char path[16] = "/a/";
    assert_int_equal(http1_path_index(path, 3, sizeof(path), "index.html"), 13);
    assert_string_equal(path, "/a/index.html");
    assert_int_equal(http1_path_index(path, 13, sizeof(path), "index.html"), 13);
    memcpy(path, "/abcd/", 7);
    assert_int_equal(http1_path_index(path, 6, sizeof(path), "index.html"), -414);
    assert_int_equal(http1_path_index(path, 6, 17, "x"), 7);
    assert_int_equal(http1_path_index(path, 0, sizeof(path), "x"), 0);
}

static const struct {
    const char *head; /* to the end of the Host field */
    const char *url;  /* NULL: 400 */
    uint16_t port;
} moved[] = {
    {"GET / HTTP/1.1\r\nHost: a.example", "https://a.example/", 443},
    {"GET / HTTP/1.1\r\nHost: a.example", "https://a.example:8443/", 8443},
    {"GET / HTTP/1.1\r\nHost: a.example", "https://a.example:1/", 1},
    {"GET / HTTP/1.1\r\nHost: a.example:80", "https://a.example/", 443},
    {"GET / HTTP/1.1\r\nHost: a.example:", "https://a.example:444/", 444},
    {"GET / HTTP/1.1\r\nHost: 192.0.2.1:8080", "https://192.0.2.1:8443/", 8443},
    {"GET / HTTP/1.1\r\nHost: [2001:db8::1]", "https://[2001:db8::1]/", 443},
    {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80", "https://[2001:db8::1]:65535/", 65535},
    {"GET / HTTP/1.1\r\nHost: A_b-9.Example.", "https://A_b-9.Example./", 443},
    {"GET / HTTP/1.0\r\nHost: a", "https://a/", 443},
    /* The path stays as it is: who moves need not decide what it means. */
    {"GET /a/../b//%41%2f HTTP/1.1\r\nHost: a", "https://a/a/../b//%41%2f", 443},
    {"GET //evil.example/ HTTP/1.1\r\nHost: a", "https://a//evil.example/", 443},
    {"GET /@evil.example HTTP/1.1\r\nHost: a", "https://a/@evil.example", 443},
    {"GET /\\evil.example HTTP/1.1\r\nHost: a", "https://a/%5Cevil.example", 443},
    {"GET /a?b=%zz&c[]=/?&d=http://e HTTP/1.1\r\nHost: a", "https://a/a?b=%zz&c[]=/?&d=http://e",
     443},
    {"GET /\xc3\xa4?\xff HTTP/1.1\r\nHost: a", "https://a/%C3%A4?%FF", 443},
    {"GET /\"<>^`{|} HTTP/1.1\r\nHost: a", "https://a/%22%3C%3E%5E%60%7B%7C%7D", 443},
    /* The target's authority goes before the field's (RFC 9112 3.2.2). */
    {"GET http://b.example:80/c?d HTTP/1.1\r\nHost: a", "https://b.example/c?d", 443},
    {"GET HTTP://b.example HTTP/1.1\r\nHost: a", "https://b.example/", 443},
    {"GET https://b.example?d HTTP/1.1\r\nHost: a", "https://b.example/?d", 443},
    {"OPTIONS * HTTP/1.1\r\nHost: a", "https://a", 443},
    {"OPTIONS http://b HTTP/1.1\r\nHost: a", "https://b:8443", 8443},
    {"OPTIONS http://b/ HTTP/1.1\r\nHost: a", "https://b/", 443},
    /* No host, or one that is legal in a URI and nowhere else. */
    {"GET / HTTP/1.0\r\nX: a", NULL, 443},
    {"GET / HTTP/1.1\r\nHost: a%41", NULL, 443},
    {"GET / HTTP/1.1\r\nHost: a'b", NULL, 443},
    {"GET / HTTP/1.1\r\nHost: a,b", NULL, 443},
    {"GET / HTTP/1.1\r\nHost: a;b:80", NULL, 443},
    {"GET http://a&b/ HTTP/1.1\r\nHost: a", NULL, 443},
};

/* As long as it is, and no byte shorter, is the room that a URL needs. */
static void test_location(void **state)
{
    for (size_t i = 0; i < array_len(moved); i++) {
        struct http1_request req;
        char head[256], path[128];
        int len = snprintf(head, sizeof(head), "%s\r\n\r\n", moved[i].head);
        size_t cap = moved[i].url ? strlen(moved[i].url) + 1 : 100;
        char *url = malloc(cap);
        http1_request_init(&req, path, sizeof(path));
        assert_int_equal(http1_parse(head, (size_t)len, &http1_limits_default, &req), len);
        if (moved[i].url) {
            assert_int_equal(http1_location(&req, moved[i].port, url, cap - 1), -414);
            assert_int_equal(http1_location(&req, moved[i].port, url, cap), 0);
            assert_string_equal(url, moved[i].url);
        } else {
            assert_int_equal(http1_location(&req, moved[i].port, url, cap), -400);
        }
        free(url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),    cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_random),   cmocka_unit_test(test_index),
        cmocka_unit_test(test_location),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

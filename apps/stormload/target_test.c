// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "manifest.h"

#define WHY_BYTES 256
#define AA        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B7        "B7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7"

static const struct target_form form = {
    .authority = "h:81", .authority_len = 4, .user_agent = "test"};

/* A file with this content; its name has to be freed. */
static char *file_with(const char *content)
{
    char *name = strdup("/tmp/target_test.XXXXXX");
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    return name;
}

static void test_urls(void **state)
{
    static const struct {
        const char *text, *host, *authority, *path;
        uint16_t port;
    } good[] = {
        {"http://a", "a", "a", "", 80},
        {"HTTP://a.example:8080/x?y#z", "a.example", "a.example:8080", "/x?y", 8080},
        {"http://192.0.2.1?q", "192.0.2.1", "192.0.2.1", "?q", 80},
        {"http://[2001:db8::1]/", "2001:db8::1", "[2001:db8::1]", "/", 80},
        {"http://[::1]:65535", "::1", "[::1]:65535", "", 65535},
    };
    static const char *const bad[] = {
        "",
        "a",
        "https://a/",
        "http://",
        "http:///x",
        "http://:1",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:123456",
        "http://[1",
        "http://[]/",
        "http://u@a/",
        "http://a b/",
        "http://a:8x",
        "http://[1]x",
    };
    struct url url;
    const char *why;

    for (size_t i = 0; i < array_len(good); i++) {
        assert_true(url_parse(&url, good[i].text, &why));
        assert_string_equal(url.host, good[i].host);
        assert_int_equal(url.port, good[i].port);
        assert_int_equal(url.authority_len, strlen(good[i].authority));
        assert_memory_equal(url.authority, good[i].authority, url.authority_len);
        assert_int_equal(url.path_len, strlen(good[i].path));
        assert_memory_equal(url.path, good[i].path, url.path_len);
    }
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(url_parse(&url, bad[i], &why));
}

static void test_requests(void **state)
{
    static const char *const headers[] = {"X: y", "host: other"};
    struct target_form more = form;
    struct targets targets = {0};

    assert_int_equal(targets_add(&targets, &form, "/a?b", 4), 0);
    assert_string_equal(
        targets.list[0].request,
        "GET /a?b HTTP/1.1\r\nHost: h:81\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n");
    assert_int_equal(targets.list[0].request_len, strlen(targets.list[0].request));
    more.headers = headers;
    more.header_count = 2;
    more.close = true;
    assert_int_equal(targets_add(&targets, &more, "", 0), 0);
    assert_string_equal(targets.list[1].request,
                        "GET / HTTP/1.1\r\nUser-Agent: test\r\nAccept: */*\r\nX: y\r\n"
                        "host: other\r\nConnection: close\r\n\r\n");
    assert_int_equal(targets_add(&targets, &form, "/a b", 4), -EINVAL);
    assert_int_equal(targets_add(&targets, &form, "/a\r\nX: y", 8), -EINVAL);
    targets_free(&targets);
}

static void test_headers(void **state)
{
    assert_true(target_header_ok("X-Y: z"));
    assert_true(target_header_ok("X:"));
    assert_false(target_header_ok(""));
    assert_false(target_header_ok(": x"));
    assert_false(target_header_ok("X y: z"));
    assert_false(target_header_ok("X"));
    assert_false(target_header_ok("X: y\r\nZ: a"));
}

static void test_files(void **state)
{
    struct targets targets = {0};
    char why[WHY_BYTES];
    char *name = file_with("# paths\n/a\n\nhttp://H:81/b%20c?d\r\n/last");

    assert_int_equal(targets_read(&targets, &form, name, why, sizeof(why)), 0);
    assert_int_equal(targets.count, 3);
    assert_string_equal(targets.list[0].path, "a");
    assert_string_equal(targets.list[1].path, "b c");
    assert_string_equal(targets.list[2].path, "last");
    unlink(name);
    free(name);
    targets_free(&targets);
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *content, *says;
    } cases[] = {{"/a\nb\n", "line 2"},
                 {"http://other/\n", "another server"},
                 {"/a b\n", "%XX"},
                 {"# none\n", "no URL"}};
    char why[WHY_BYTES];

    for (size_t i = 0; i < array_len(cases); i++) {
        struct targets targets = {0};
        char *name = file_with(cases[i].content);

        assert_int_equal(targets_read(&targets, &form, name, why, sizeof(why)), -EINVAL);
        assert_non_null(strstr(why, cases[i].says));
        unlink(name);
        free(name);
        targets_free(&targets);
    }
}

static int apply(const char *content, struct targets *targets, char *why)
{
    char *name = file_with(content);
    int rc = manifest_apply(targets, name, why, WHY_BYTES);

    unlink(name);
    free(name);
    return rc;
}

static void test_manifest(void **state)
{
    static const char *const paths[] = {"/b", "/a/x%0ay", "/c?1", "/b?2"};
    struct targets targets = {0};
    char why[WHY_BYTES];

    for (size_t i = 0; i < array_len(paths); i++)
        assert_int_equal(targets_add(&targets, &form, paths[i], strlen(paths[i])), 0);
    assert_int_equal(
        apply(AA "  ./b\n\\" B7 " *a/x\\ny\n" B7 "  other\n\n" B7 "  /c\n", &targets, why), 0);
    assert_int_equal(targets.list[0].digest[31], 0xaa);
    assert_int_equal(targets.list[1].digest[0], 0xb7);
    assert_int_equal(targets.list[2].digest[31], 0xb7);
    assert_int_equal(targets.list[3].digest[0], 0xaa);
    targets_free(&targets);
}

static void test_bad_manifests(void **state)
{
    static const char *const bad[] = {"abc  b\n", AA " b\n", AA "\n", AA "  \n", "  \n"};
    struct targets targets = {0};
    char why[WHY_BYTES];

    assert_int_equal(targets_add(&targets, &form, "/b", 2), 0);
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_int_equal(apply(bad[i], &targets, why), -EINVAL);
        assert_non_null(strstr(why, "line 1"));
    }
    assert_int_equal(apply(AA "  other\n", &targets, why), -ENOENT);
    assert_non_null(strstr(why, "'b'"));
    targets_free(&targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),         cmocka_unit_test(test_requests),
        cmocka_unit_test(test_headers),      cmocka_unit_test(test_files),
        cmocka_unit_test(test_bad_files),    cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_bad_manifests)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

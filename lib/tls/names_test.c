// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#include "priv.h"

static const struct name list[] = {
    {"www.example.com", 0},
    {"example.com", 0},
    {"*.example.com", 1},
    {"api.example.com", 2},
    {"example.com", 3},
    {"*.a.example.com", 4},
    {"x", 5},
};

static struct names sorted(void)
{
    static struct name copy[array_len(list)];
    struct names names = {copy, array_len(list)};

    memcpy(copy, list, sizeof(copy));
    tls_names_sort(&names);
    return names;
}

static int find(const char *name)
{
    struct names names = sorted();

    return tls_names_find(&names, (const uint8_t *)name, strlen(name));
}

static void test_exact(void **state)
{
    assert_int_equal(find("www.example.com"), 0);
    assert_int_equal(find("WWW.Example.COM"), 0);
    assert_int_equal(find("www.example.com."), 0);
    assert_int_equal(find("x"), 5);
    assert_int_equal(find("example.org"), -1);
    assert_int_equal(find("ww.example.com.org"), -1);
}

/* Of two hosts with the same name the first is meant. */
static void test_twice(void **state)
{
    assert_int_equal(find("example.com"), 0);
    assert_int_equal(sorted().count, array_len(list) - 1);
}

/* RFC 6125 6.4.3: for a whole label, and for one. */
static void test_wildcard(void **state)
{
    assert_int_equal(find("other.example.com"), 1);
    assert_int_equal(find("o.example.com"), 1);
    assert_int_equal(find("api.example.com"), 2);
    assert_int_equal(find("deep.other.example.com"), -1);
    assert_int_equal(find("b.a.example.com"), 4);
    assert_int_equal(find("a.example.com"), 1);
    assert_int_equal(find(".example.com"), -1);
    assert_int_equal(find("*.example.com"), -1);
}

static void test_nonsense(void **state)
{
    char longest[TLS_NAME_MAX + 3];
    struct names names = sorted();

    memset(longest, 'a', sizeof(longest));
    assert_int_equal(find(""), -1);
    assert_int_equal(find("."), -1);
    assert_int_equal(find("*"), -1);
    assert_int_equal(find("www example.com"), -1);
    assert_int_equal(find("w\xff.example.com"), -1);
    assert_int_equal(tls_names_find(&names, (const uint8_t *)"x\0y", 3), -1);
    assert_int_equal(tls_names_find(&names, (const uint8_t *)longest, sizeof(longest)), -1);
    assert_int_equal(tls_names_find(&names, (const uint8_t *)longest, TLS_NAME_MAX), -1);
    names.count = 0;
    tls_names_sort(&names);
    assert_int_equal(tls_names_find(&names, (const uint8_t *)"x", 1), -1);
}

static void test_normalize(void **state)
{
    char out[TLS_NAME_MAX + 1];

    assert_true(tls_name_normalize((const uint8_t *)"*.Example.com", 13, out));
    assert_string_equal(out, "*.example.com");
    assert_false(tls_name_normalize((const uint8_t *)"w*.example.com", 14, out));
    assert_false(tls_name_normalize((const uint8_t *)"*", 1, out));
    assert_false(tls_name_normalize((const uint8_t *)"*.", 2, out));
    assert_false(tls_name_normalize((const uint8_t *)"*.*.example.com", 15, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),     cmocka_unit_test(test_twice),
        cmocka_unit_test(test_wildcard),  cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_normalize),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

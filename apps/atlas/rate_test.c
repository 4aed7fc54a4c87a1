// SPDX-License-Identifier: BSD-2-Clause
#include "rate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t find(const struct rate_rules *rules, const char *path)
{
    return rate_rules_find(rules, path, (uint32_t)strlen(path));
}

static void no_rules(void **state)
{
    struct rate_rules rules = {0};

    assert_int_equal(find(&rules, "/a"), 0);
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        int rc;
        uint64_t bytes_per_s;
    } cases[] = {
        {"8000", 0, 1000},
        {"8k", 0, 1000},
        {"25M", 0, 3125000},
        {"1000G", 0, 125000000000},
        {"8007", 0, 1000},
        {"*=8k", 0, 1000},
        {"7999", -ERANGE, 0},
        {"0", -ERANGE, 0},
        {"1001G", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"18446744073709551615G", -ERANGE, 0},
        {"", -ERANGE, 0},
        {"k", -ERANGE, 0},
        {"-8k", -ERANGE, 0},
        {"+8k", -ERANGE, 0},
        {" 8k", -ERANGE, 0},
        {"8kk", -ERANGE, 0},
        {"8K", -ERANGE, 0},
        {"2.5M", -ERANGE, 0},
        {"/a=", -ERANGE, 0},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        struct rate_rules rules = {0};

        assert_int_equal(rate_rules_add(&rules, cases[i].text), cases[i].rc);
        assert_int_equal(rules.count, cases[i].rc == 0);
        assert_int_equal(find(&rules, "/a"), cases[i].bytes_per_s);
    }
}

static void patterns(void **state)
{
    static const struct {
        const char *rule, *path;
        bool matches;
    } cases[] = {
        {"/a.mp4=8k", "/a.mp4", true},
        {"/a.mp4=8k", "/a.mp4x", false},
        {"/a.mp4=8k", "/a.mp", false},
        {"/a.mp4=8k", "/b.mp4", false},
        {"*.mp4=8k", "/films/a.mp4", true},
        {"*.mp4=8k", "/films/a.mp3", false},
        {"*.mp4=8k", ".mp4", true},
        {"*.mp4=8k", "mp4", false},
        {"/live/*=8k", "/live/", true},
        {"/live/*=8k", "/live/1/2.ts", true},
        {"/live/*=8k", "/live", false},
        {"/films/*.mp4=8k", "/films/x/y.mp4", true},
        {"/films/*.mp4=8k", "/films/.mp4", true},
        {"/ab*ba=8k", "/aba", false}, /* the two ends must not overlap */
        {"/ab*ba=8k", "/abba", true},
        {"/a=b*=8k", "/a=bc", true},
        {"*=8k", "/", true},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        struct rate_rules rules = {0};

        assert_int_equal(rate_rules_add(&rules, cases[i].rule), 0);
        assert_int_equal(find(&rules, cases[i].path), cases[i].matches ? 1000 : 0);
    }
}

static void impossible_patterns(void **state)
{
    struct rate_rules rules = {0};

    assert_int_equal(rate_rules_add(&rules, "=8k"), -EINVAL);
    assert_int_equal(rate_rules_add(&rules, "a.mp4=8k"), -EINVAL);
    assert_int_equal(rate_rules_add(&rules, "/a*b*=8k"), -EINVAL);
    assert_int_equal(rate_rules_add(&rules, "**=8k"), -EINVAL);
    assert_int_equal(rules.count, 0);
}

static void the_first_that_matches(void **state)
{
    struct rate_rules rules = {0};

    assert_int_equal(rate_rules_add(&rules, "/vip/*=80k"), 0);
    assert_int_equal(rate_rules_add(&rules, "*.mp4=8k"), 0);
    assert_int_equal(rate_rules_add(&rules, "16k"), 0);
    assert_int_equal(rate_rules_add(&rules, "/late=8M"), 0);
    assert_int_equal(find(&rules, "/vip/a.mp4"), 10000);
    assert_int_equal(find(&rules, "/a.mp4"), 1000);
    assert_int_equal(find(&rules, "/late"), 2000);
}

static void as_many_as_there_is_room(void **state)
{
    struct rate_rules rules = {0};

    for (int i = 0; i < RATE_RULES_MAX; i++)
        assert_int_equal(rate_rules_add(&rules, "8k"), 0);
    assert_int_equal(rate_rules_add(&rules, "8k"), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_rules),
        cmocka_unit_test(numbers),
        cmocka_unit_test(patterns),
        cmocka_unit_test(impossible_patterns),
        cmocka_unit_test(the_first_that_matches),
        cmocka_unit_test(as_many_as_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

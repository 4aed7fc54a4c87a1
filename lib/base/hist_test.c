// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hist.h"
#include "base/rand.h"

static void test_empty(void **state)
{
    struct hist h = {0};

    assert_int_equal(hist_quantile(&h, 0.5), 0);
    assert_int_equal(hist_count_below(&h, UINT64_MAX), 0);
}

static void test_small_values_are_exact(void **state)
{
    struct hist h = {0};

    for (uint64_t ns = 1; ns <= 10; ns++)
        hist_record(&h, ns);
    assert_int_equal(h.count, 10);
    assert_int_equal(h.sum_ns, 55);
    assert_int_equal(hist_quantile(&h, 0), 1);
    assert_int_equal(hist_quantile(&h, 0.5), 5);
    assert_int_equal(hist_quantile(&h, 1), 10);
    assert_int_equal(hist_count_below(&h, 7), 7);
}

/* One record: its quantile is not below it and at most 12.5 % above it, at every magnitude. */
static void test_error_bound(void **state)
{
    struct rand r;

    rand_seed(&r, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t ns = rand_u64(&r) >> (24 + i % 40);
        struct hist h = {0};
        uint64_t got;

        hist_record(&h, ns);
        got = hist_quantile(&h, 0.99);
        assert_true(got >= ns);
        assert_true(got - ns <= ns / 8);
        assert_int_equal(hist_count_below(&h, got), 1);
        assert_int_equal(hist_count_below(&h, ns ? ns - 1 : 0), ns == 0);
    }
}

static void test_beyond_the_last_bucket(void **state)
{
    struct hist h = {0};

    hist_record(&h, UINT64_MAX);
    assert_int_equal(hist_count_below(&h, NS_PER_S), 0);
    assert_int_equal(hist_count_below(&h, UINT64_MAX), 1);
    assert_true(hist_quantile(&h, 0.5) > NS_PER_S);
}

static void test_quantiles_and_merge(void **state)
{
    struct hist a = {0}, b = {0};

    for (uint64_t us = 1; us <= 1000; us++)
        hist_record(us % 2 ? &a : &b, us * NS_PER_US);
    hist_merge(&a, &b);
    assert_int_equal(a.count, 1000);
    assert_int_equal(a.sum_ns, 500500 * NS_PER_US);
    assert_in_range(hist_quantile(&a, 0.5), 500 * NS_PER_US, 563 * NS_PER_US);
    assert_in_range(hist_quantile(&a, 0.99), 990 * NS_PER_US, 1114 * NS_PER_US);
    assert_in_range(hist_count_below(&a, 500 * NS_PER_US), 437, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_error_bound),
        cmocka_unit_test(test_beyond_the_last_bucket),
        cmocka_unit_test(test_quantiles_and_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

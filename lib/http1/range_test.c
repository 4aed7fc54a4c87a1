// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#define W   RANGE_WHOLE
#define U   RANGE_UNSATISFIABLE
#define M   RANGE_MULTI
#define O   RANGE_ONE
#define BIG 9223372036854775807ull

static const struct {
    const char *value;
    uint64_t size;
    enum range_verdict verdict;
    struct http1_range want[4];
} cases[] = {
    {"bytes=0-0", 1000, O, {{0, 1}}},
    {"bytes=0-499", 1000, O, {{0, 500}}},
    {"bytes=500-999", 1000, O, {{500, 500}}},
    {"bytes=500-", 1000, O, {{500, 500}}},
    {"bytes=0-", 1000, O, {{0, 1000}}},
    {"bytes=999-", 1000, O, {{999, 1}}},
    {"bytes=-500", 1000, O, {{500, 500}}},
    {"bytes=-1", 1000, O, {{999, 1}}},
    {"bytes=-1000", 1000, O, {{0, 1000}}},
    {"bytes=-1001", 1000, O, {{0, 1000}}},
    {"bytes=900-5000", 1000, O, {{900, 100}}},
    {"bytes=0-99999999999999999999999999", 1000, O, {{0, 1000}}},
    {"bytes=-99999999999999999999999999", 1000, O, {{0, 1000}}},
    {"BYTES=0-1", 1000, O, {{0, 2}}},
    {"Bytes=0-1", 1000, O, {{0, 2}}},
    {"bytes= 0-1 ", 1000, O, {{0, 2}}},
    {"bytes=,0-1,,", 1000, O, {{0, 2}}},
    {"bytes=00-01", 1000, O, {{0, 2}}},
    {"bytes=5-5,2000-", 1000, O, {{5, 1}}},
    {"bytes=0-18446744073709551615", BIG, O, {{0, BIG}}},
    {"bytes=9223372036854775805-", BIG, O, {{BIG - 2, 2}}},
    {"bytes=9223372036854775806-", BIG, O, {{BIG - 1, 1}}},
    /* Nothing to serve. */
    {"bytes=1000-", 1000, U},
    {"bytes=1000-1000", 1000, U},
    {"bytes=-0", 1000, U},
    {"bytes=2000-3000,-0,5000-", 1000, U},
    {"bytes=99999999999999999999999999-", 1000, U},
    {"bytes=9223372036854775807-", BIG, U},
    {"bytes=18446744073709551615-", BIG, U},
    {"bytes=18446744073709551616-", BIG, U},
    {"bytes=1-", 0, U},
    {"bytes=-0", 0, U},
    /* Empty entities. */
    {"bytes=0-", 0, W},
    {"bytes=0-0", 0, W},
    {"bytes=-1", 0, W},
    /* Not understood. */
    {"", 1000, W},
    {"bytes", 1000, W},
    {"bytes=", 1000, W},
    {"bytes=,", 1000, W},
    {"bytes=-", 1000, W},
    {"bytes=a", 1000, W},
    {"bytes=1", 1000, W},
    {"bytes=1-a", 1000, W},
    {"bytes=a-1", 1000, W},
    {"bytes=--1", 1000, W},
    {"bytes=1--", 1000, W},
    {"bytes=1-2-3", 1000, W},
    {"bytes=1 -2", 1000, W},
    {"bytes=1- 2", 1000, W},
    {"bytes=+1-2", 1000, W},
    {"bytes=2-1", 1000, W},
    {"bytes=2000-1999", 1000, W},
    {"bytes=0-1,b", 1000, W},
    {"bytes=0-1;2-3", 1000, W},
    {"bytes:0-1", 1000, W},
    {"bytes =0-1", 1000, W},
    {"byte=0-1", 1000, W},
    {"lines=0-1", 1000, W},
    {"none", 1000, W},
    {"0-1", 1000, W},
    /* Several. */
    {"bytes=0-1,5-6", 1000, M, {{0, 2}, {5, 2}}},
    {"bytes=0-1 , 5-6", 1000, M, {{0, 2}, {5, 2}}},
    {"bytes=5-6,0-1", 1000, M, {{5, 2}, {0, 2}}},
    {"bytes=0-0,-1", 1000, M, {{0, 1}, {999, 1}}},
    {"bytes=0-0,2000-,5-5", 1000, M, {{0, 1}, {5, 1}}},
    {"bytes=500-700,601-999", 1000, O, {{500, 500}}}, /* RFC 9110 14.1.2 */
    {"bytes=500-600,601-999", 1000, O, {{500, 500}}},
    {"bytes=601-999,500-600", 1000, O, {{500, 500}}},
    {"bytes=0-1,2-3,4-5", 1000, O, {{0, 6}}},
    {"bytes=0-1,4-5,2-3", 1000, O, {{0, 6}}},
    {"bytes=10-11,0-1,12-13,5-5", 1000, M, {{10, 4}, {0, 2}, {5, 1}}},
    {"bytes=20-21,0-1,10-11,2-9", 1000, M, {{20, 2}, {0, 12}}},
    {"bytes=0-9,5-5", 1000, O, {{0, 10}}},
    {"bytes=5-5,0-9", 1000, O, {{0, 10}}},
    {"bytes=0-9,10-10,8-8", 1000, O, {{0, 11}}},
    /* Not worth it. */
    {"bytes=0-9,0-9,0-9", 1000, W},
    {"bytes=0-9,5-14,8-20", 1000, W},
    {"bytes=0-,0-", 1000, W},
    {"bytes=0-999,0-0", 1000, W},
    {"bytes=0-599,500-999", 1000, W},
    {"bytes=0-499,500-999", 1000, O, {{0, 1000}}},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < array_len(cases); i++) {
        struct http1_ranges ranges;
        size_t len = strlen(cases[i].value), n = 0;
        char *copy = exact_copy(cases[i].value, len);
        enum range_verdict v = http1_ranges_parse((struct str){copy, len}, cases[i].size, &ranges);
        free(copy);
        if (v != cases[i].verdict)
            fail_msg("%s of %llu: %d", cases[i].value, (unsigned long long)cases[i].size, v);
        if (v != O && v != M)
            continue;
        while (n < 4 && cases[i].want[n].bytes)
            n++;
        assert_int_equal(ranges.count, n);
        assert_memory_equal(ranges.range, cases[i].want, n * sizeof(ranges.range[0]));
    }
}

static void test_many(void **state)
{
    for (unsigned n = 1; n < 80; n++) {
        struct http1_ranges ranges;
        char value[2048] = "bytes=";
        for (unsigned i = 0; i < n; i++)
            snprintf(value + strlen(value), 20, "%u-%u,", i * 10, i * 10);
        enum range_verdict v =
            http1_ranges_parse((struct str){value, strlen(value)}, 1000000, &ranges);
        assert_int_equal(v, n == 1 ? O : n <= HTTP1_RANGES_MAX ? M : W);
        if (v == M)
            assert_int_equal(ranges.count, n);
    }
}

/* The parts cover what was asked for and nothing else, and do not touch one another. */
static void test_random(void **state)
{
    uint64_t seed = 11;
    int served = 0;
    for (int round = 0; round < 20000; round++) {
        struct http1_ranges ranges;
        char value[512] = "bytes=";
        bool want[64] = {false}, got[64] = {false};
        for (uint64_t n = 1 + next_random(&seed) % 8; n; n--) {
            unsigned first = next_random(&seed) % 64, last = first + next_random(&seed) % 6;
            snprintf(value + strlen(value), 20, "%u-%u,", first, last);
            for (unsigned i = first; i <= last && i < 64; i++)
                want[i] = true;
        }
        enum range_verdict v = http1_ranges_parse((struct str){value, strlen(value)}, 64, &ranges);
        if (v == W)
            continue;
        served++;
        for (uint32_t i = 0; i < ranges.count; i++) {
            struct http1_range r = ranges.range[i];
            assert_true(r.off == 0 || !got[r.off - 1]);
            assert_true(r.off + r.bytes == 64 || !got[r.off + r.bytes]);
            for (uint64_t b = r.off; b < r.off + r.bytes; b++) {
                assert_false(got[b]);
                got[b] = true;
            }
        }
        assert_memory_equal(want, got, sizeof(want));
    }
    assert_true(served > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

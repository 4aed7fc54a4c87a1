// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#include <time.h>

#define NOW 1700000000 /* November 2023 */

static int64_t parse(const char *s, int64_t now_s)
{
    int64_t t = 12345;
    char *copy = exact_copy(s, strlen(s));
    int rc = http1_date_parse(copy, strlen(s), now_s, &t);
    free(copy);
    return rc ? HTTP1_TIME_NONE : t;
}

static void test_rfc_examples(void **state)
{
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT", NOW), 784111777);
    assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT", NOW), 784111777);
    assert_int_equal(parse("Sun Nov  6 08:49:37 1994", NOW), 784111777);
    assert_int_equal(parse("Sun Nov 16 08:49:37 1994", NOW), 784111777 + 10 * 86400);
}

static void test_edges(void **state)
{
    assert_int_equal(parse("Thu, 01 Jan 1970 00:00:00 GMT", NOW), 0);
    assert_int_equal(parse("Wed, 31 Dec 1969 23:59:59 GMT", NOW), -1);
    assert_int_equal(parse("Tue, 29 Feb 2000 00:00:00 GMT", NOW), 951782400);
    assert_int_equal(parse("Thu, 29 Feb 2024 23:59:60 GMT", NOW), 1709251200);
    assert_int_equal(parse("Sat, 01 Jan 0000 00:00:00 GMT", NOW), -62167219200);
    assert_int_equal(parse("Fri, 31 Dec 9999 23:59:59 GMT", NOW), 253402300799);
}

/* RFC 9110 5.6.7: more than 50 years ahead is the century before. */
static void test_century(void **state)
{
    assert_int_equal(parse("Monday, 06-Nov-73 00:00:00 GMT", NOW), 3277152000);
    assert_int_equal(parse("Tuesday, 06-Nov-74 00:00:00 GMT", NOW), 152928000);
    assert_int_equal(parse("Monday, 06-Nov-23 00:00:00 GMT", NOW), 1699228800);
    assert_int_equal(parse("Friday, 01-Jan-99 00:00:00 GMT", NOW), 915148800);
    /* On the eve of a century, "00" is the next day. */
    assert_int_equal(parse("Friday, 01-Jan-00 00:00:00 GMT", 4102444799), 4102444800);
}

static void test_invalid(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Okt 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 32 Dec 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 30 Feb 2024 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMTx",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sunsday, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 CET",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov 06 08:49:37 1994 ",
        "Sun Nov x6 08:49:37 1994",
        "Sun Nov   08:49:37 1994x",
        "784111777",
    };
    for (size_t i = 0; i < array_len(bad); i++)
        if (parse(bad[i], NOW) != HTTP1_TIME_NONE)
            fail_msg("accepted: %s", bad[i]);
}

/* Against the C library, and back, from 1970 to 2200. */
static void test_round_trip(void **state)
{
    uint64_t seed = 3;
    for (int i = 0; i < 100000; i++) {
        time_t t = (time_t)(next_random(&seed) % 7258118400);
        struct tm tm;
        char want[64], got[HTTP1_DATE_BYTES + 1] = "";
        gmtime_r(&t, &tm);
        strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        http1_date_format(got, t);
        assert_string_equal(got, want);
        assert_int_equal(parse(got, NOW), t);
        strftime(want, sizeof(want), "%a %b %e %H:%M:%S %Y", &tm);
        assert_int_equal(parse(want, NOW), t);
        strftime(want, sizeof(want), "%A, %d-%b-%y %H:%M:%S GMT", &tm);
        assert_int_equal(parse(want, t), t);
    }
}

static void test_clipped(void **state)
{
    char got[HTTP1_DATE_BYTES + 1] = "";
    http1_date_format(got, INT64_MAX);
    assert_string_equal(got, "Fri, 31 Dec 9999 23:59:59 GMT");
    http1_date_format(got, INT64_MIN);
    assert_string_equal(got, "Sat, 01 Jan 0000 00:00:00 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_examples), cmocka_unit_test(test_edges),
        cmocka_unit_test(test_century),      cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_clipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

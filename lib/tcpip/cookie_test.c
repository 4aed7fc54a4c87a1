// SPDX-License-Identifier: BSD-2-Clause
#include "cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define T0 (1000 * COOKIE_PERIOD_NS) /* a period begins */

static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static const uint16_t mss_told[] = {88, 536, 1220, 1360, 1400, 1440, 1460, 8940};

static struct tcp_tuple tuple(void)
{
    return (struct tcp_tuple){
        .local = {{[15] = 1}}, .remote = {{[15] = 2}}, .local_port = 80, .remote_port = 40000};
}

/* The largest of the eight that the peer can take. */
static void mss_survives(void **state)
{
    struct tcp_tuple who = tuple();

    for (uint32_t i = 0; i < array_len(mss_told); i++) {
        uint16_t next = i + 1 < array_len(mss_told) ? mss_told[i + 1] : UINT16_MAX;
        uint32_t exact = cookie_make(key, &who, 7, mss_told[i], T0);
        uint32_t above = cookie_make(key, &who, 7, next - 1, T0);

        assert_int_equal(cookie_check(key, &who, 7, exact, T0), mss_told[i]);
        assert_int_equal(above, exact);
    }
    /* Who takes less gets what TCP_MSS_MIN makes of it anyway. */
    assert_int_equal(cookie_check(key, &who, 7, cookie_make(key, &who, 7, 1, T0), T0), 88);
}

/* It holds for the rest of its period and the one after, whichever bit shows it. */
static void grows_old(void **state)
{
    struct tcp_tuple who = tuple();

    for (uint64_t now = T0; now < T0 + 2 * COOKIE_PERIOD_NS; now += COOKIE_PERIOD_NS / 2) {
        uint32_t cookie = cookie_make(key, &who, 7, 1460, now);
        uint64_t end = (now / COOKIE_PERIOD_NS + 2) * COOKIE_PERIOD_NS;

        assert_int_equal(cookie_check(key, &who, 7, cookie, now), 1460);
        assert_int_equal(cookie_check(key, &who, 7, cookie, end - 1), 1460);
        assert_int_equal(cookie_check(key, &who, 7, cookie, end), 0);
        assert_int_equal(cookie_check(key, &who, 7, cookie, end + COOKIE_PERIOD_NS), 0);
        assert_int_equal(cookie_check(key, &who, 7, cookie, end + 2 * COOKIE_PERIOD_NS), 0);
    }
}

/* Every bit of it counts, and everything that it was made of. */
static void nobody_elses(void **state)
{
    struct tcp_tuple who = tuple(), other;
    uint32_t cookie = cookie_make(key, &who, 7, 1460, T0);
    uint64_t other_key[2] = {key[0], key[1] + 1};

    for (uint32_t bit = 0; bit < 32; bit++) {
        assert_int_equal(cookie_check(key, &who, 7, cookie ^ 1u << bit, T0), 0);
        assert_int_equal(cookie_check(key, &who, 7 ^ 1u << bit, cookie, T0), 0);
    }
    for (uint32_t i = 0; i < sizeof(other); i++) {
        other = who;
        ((uint8_t *)&other)[i] ^= 1;
        assert_int_equal(cookie_check(key, &other, 7, cookie, T0), 0);
    }
    assert_int_equal(cookie_check(other_key, &who, 7, cookie, T0), 0);
}

static void options_survive(void **state)
{
    static const uint32_t clocks[] = {0, 1, 63, 64, 1000000, 0x7fffffff, 0x80000000, 0xffffffff};

    for (uint32_t i = 0; i < array_len(clocks) * 16 * 4; i++) {
        uint32_t clock = clocks[i / 64];
        bool has_wscale = (i & 15) != 15;
        struct cookie_options want = {.has_wscale = has_wscale,
                                      .wscale = has_wscale ? i & 15 : 0,
                                      .sack = i & 16,
                                      .ecn = i & 32};
        uint32_t ts = cookie_timestamp(clock, &want);
        struct cookie_options got = cookie_options_of(ts);

        /* Never ahead of the clock, and not far behind. */
        assert_in_range(clock - ts, 0, 126);
        assert_int_equal(got.has_wscale, want.has_wscale);
        assert_int_equal(got.wscale, want.wscale);
        assert_int_equal(got.sack, want.sack);
        assert_int_equal(got.ecn, want.ecn);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mss_survives),
        cmocka_unit_test(grows_old),
        cmocka_unit_test(nobody_elses),
        cmocka_unit_test(options_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

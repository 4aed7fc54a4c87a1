// SPDX-License-Identifier: BSD-2-Clause
/*
 * The expected windows are RFC 9438's equations in segments and seconds, worked out by hand; a
 * segment has 1000 bytes. What a tick of a millisecond leaves open is the tolerance: where the
 * curve is steepest here it climbs by 30 bytes in one.
 */
#include "test.h"

#define T0     (1000 * NS_PER_S)
#define SLOP   60
#define SECOND NS_PER_S

/*
 * A whole window acknowledged in one ACK brings cwnd to W_cubic(t), if that is no more than half as
 * much again and the estimate of Reno's window is below; srtt 0 takes the look ahead out of it.
 */
static void window_acked(struct cc *cc, uint64_t now_ns)
{
    feed(cc, cc->cwnd, 0, now_ns);
}

/* In congestion avoidance since T0, after a loss at `cwnd`. */
static void reduced_from(struct cc *cc, uint32_t cwnd)
{
    cc_open(cc, &cc_cubic, MSS, T0);
    cc->cwnd = cwnd;
    cc->algorithm->on_loss(cc, cwnd, T0);
    cc->algorithm->on_recovered(cc, T0);
    feed(cc, 1, 0, T0);
}

/* K = cbrt(30 / 0.4) = 4.217 s. */
static void the_window_follows_the_curve(void **state)
{
    static const struct {
        double t, w;
    } CASES[] = {
        {1.0, 86.681},  /* 100 - 0.4 * 3.217163^3 */
        {2.0, 95.640},  /* 100 - 0.4 * 2.217163^3 */
        {4.217, 100.0}, /* the plateau */
        {6.0, 102.267}, /* 100 + 0.4 * 1.782837^3 */
        {8.434, 130.0}, /* as far above as it began below */
    };
    struct cc cc;

    reduced_from(&cc, 100000);
    assert_int_equal(cc.ssthresh, 70000); /* beta = 0.7 */
    assert_near(cc.cwnd, 70000, 1);
    for (size_t i = 0; i < array_len(CASES); i++) {
        window_acked(&cc, T0 + (uint64_t)(CASES[i].t * 1e9));
        assert_near(cc.cwnd, CASES[i].w * 1000, SLOP);
    }
}

/*
 * 4.4: an ACK's share is (target - cwnd) / cwnd of it, with the target a round trip ahead: W_cubic
 * (1.1 s) = 100 - 0.4 * 3.117163^3 = 87.885.
 */
static void growth_is_spread_over_the_window(void **state)
{
    struct cc cc;

    reduced_from(&cc, 100000);
    feed(&cc, 7000, 1000000, T0 + SECOND / 10); /* a tenth of the window */
    assert_near(cc.cwnd, 70000 + 1788, SLOP / 10 + 1);
    reduced_from(&cc, 100000);
    for (int i = 0; i < 700; i++) /* a byte or less at a time: nothing is lost by rounding */
        feed(&cc, 10, 1000000, T0 + SECOND / 10);
    assert_near(cc.cwnd, 70000 + 1683, 10); /* 7000 * (87885 - c) / c halfway, at c = 70840 */
}

/* 4.2: at most half as much again, however long it has been. */
static void growth_is_bounded(void **state)
{
    struct cc cc;

    reduced_from(&cc, 100000);
    window_acked(&cc, T0 + 100 * SECOND);
    assert_near(cc.cwnd, 105000, 2);
    window_acked(&cc, T0 + UINT64_MAX / 2);
    assert_near(cc.cwnd, 157500, 2);
    /* Where W_cubic is far beyond any window, and its bytes beyond 32 bits. */
    for (uint64_t s = 150; s < 2500; s += 50) {
        reduced_from(&cc, 100000);
        window_acked(&cc, T0 + s * SECOND);
        assert_near(cc.cwnd, 105000, 2);
    }
}

/*
 * 4.3 at 10 ms and 10 segments, where W_cubic climbs by 0.05 in a round trip. W_est climbs by 9/17
 * until it is where the loss was, and by 1 from there: windows of 7, 7, 8, 8, 9, 9, 10, 11 ...
 */
static void small_windows_grow_like_renos(void **state)
{
    static const uint32_t WANT[] = {7, 8, 8, 9, 9, 10, 11, 12, 13};
    struct cc cc;

    reduced_from(&cc, 10000);
    assert_int_equal(cc.cwnd, 7000);
    for (size_t i = 0; i < array_len(WANT); i++) {
        feed(&cc, cc.cwnd, 10000, T0 + (i + 1) * 10 * NS_PER_MS);
        assert_int_equal((cc.cwnd + 100) / 1000, WANT[i]);
    }
    /* W_cubic(10 s) = 10 + 0.4 * 8.04^3 = 218: the curve has taken over. */
    window_acked(&cc, T0 + 10 * SECOND);
    assert_near(cc.cwnd, 19500, 100);
}

/* 4.7: W_max = 80 * (1 + 0.7) / 2 = 68, cwnd = 56, K = cbrt(12 / 0.4) = 3.107 s. */
static void convergence_is_fast(void **state)
{
    struct cc cc;

    reduced_from(&cc, 100000);
    cc.cwnd = 80000;
    cc_cubic.on_loss(&cc, 80000, T0);
    cc_cubic.on_recovered(&cc, T0);
    assert_int_equal(cc.cwnd, 56000);
    feed(&cc, 1, 0, T0);
    window_acked(&cc, T0 + 3107 * NS_PER_MS);
    assert_near(cc.cwnd, 68000, 1);
    window_acked(&cc, T0 + 6214 * NS_PER_MS);
    assert_near(cc.cwnd, 80000, SLOP);
    /* Back where it was: no reason to give way. K = cbrt(24 / 0.4) = 3.915 s. */
    cc_cubic.on_loss(&cc, 80000, T0 + 7 * SECOND);
    cc_cubic.on_recovered(&cc, T0 + 7 * SECOND);
    feed(&cc, 1, 0, T0 + 7 * SECOND);
    window_acked(&cc, T0 + 7 * SECOND + 3915 * NS_PER_MS);
    assert_near(cc.cwnd, 80000, SLOP);
}

/* 4.8: slow start to 0.7 of the flight, and from there W_max + 0.4 * t^3. */
static void a_timeout_forgets_the_plateau(void **state)
{
    struct cc cc;
    struct cc_ack ack;

    cc_open(&cc, &cc_cubic, MSS, T0);
    cc.cwnd = 100000;
    cc_cubic.on_rto(&cc, 100000, true, T0);
    cc_cubic.on_rto(&cc, MSS, false, T0);
    assert_int_equal(cc.cwnd, MSS);
    assert_int_equal(cc.ssthresh, 70000);
    ack = full_ack(&cc, 69000, T0);
    ack.in_recovery = true;
    cc_cubic.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 70000);
    cc_cubic.on_recovered(&cc, T0);
    assert_int_equal(cc.cwnd, 70000);
    feed(&cc, 1, 0, T0);
    window_acked(&cc, T0 + 3 * SECOND);
    assert_near(cc.cwnd, 80800, SLOP);
}

/* 4.9: as if it had not happened; the time that it took is not part of the epoch. */
static void a_mistake_is_undone(void **state)
{
    struct cc cc;
    uint32_t before;

    for (int timeout = 0; timeout < 2; timeout++) {
        reduced_from(&cc, 100000);
        window_acked(&cc, T0 + SECOND);
        before = cc.cwnd;
        if (timeout)
            cc_cubic.on_rto(&cc, cc.cwnd, true, T0 + SECOND);
        else
            cc_cubic.on_loss(&cc, cc.cwnd, T0 + SECOND);
        cc.cwnd = 30000;
        cc_cubic.on_undo(&cc, T0 + 6 * SECOND);
        assert_int_equal(cc.cwnd, before);
        assert_int_equal(cc.ssthresh, 70000);
        window_acked(&cc, T0 + 7 * SECOND);
        assert_near(cc.cwnd, 95640, SLOP); /* W_cubic(2 s) */
    }
}

/* RFC 8511: cwnd = 85, W_max = 100, K = cbrt(15 / 0.4) = 3.347 s. */
static void a_mark_reduces_less(void **state)
{
    struct cc cc;

    cc_open(&cc, &cc_cubic, MSS, T0);
    cc.cwnd = 100000;
    cc_cubic.on_ecn(&cc, 100000, T0);
    assert_int_equal(cc.cwnd, 85000);
    assert_int_equal(cc.ssthresh, 85000);
    feed(&cc, 1, 0, T0);
    window_acked(&cc, T0 + 3347 * NS_PER_MS);
    assert_near(cc.cwnd, 100000, 1);
}

/* 4.2: time without a full window does not count. */
static void unused_time_stands_still(void **state)
{
    struct cc cc;
    struct cc_ack ack;

    reduced_from(&cc, 100000);
    ack = full_ack(&cc, 10000, T0 + 10 * SECOND);
    ack.window_limited = false;
    cc_cubic.on_ack(&cc, &ack);
    assert_near(cc.cwnd, 70000, 1);
    window_acked(&cc, T0 + 11 * SECOND);
    assert_near(cc.cwnd, 86681, SLOP); /* W_cubic(1 s) */
}

/* Each RTO of silence halves the window, down to the initial one; ssthresh keeps 3/4 of it. */
static void silence_decays_the_window(void **state)
{
    struct cc cc;

    cc_open(&cc, &cc_cubic, MSS, T0);
    cc.cwnd = 80000;
    cc.ssthresh = 50000;
    cc_cubic.on_idle(&cc, 450000, 200000, T0);
    assert_int_equal(cc.cwnd, 20000);
    assert_int_equal(cc.ssthresh, 60000);
    cc_cubic.on_idle(&cc, 450000, 200000, T0);
    assert_int_equal(cc.cwnd, 10000);
    assert_int_equal(cc.ssthresh, 60000);
    cc_cubic.on_idle(&cc, UINT64_MAX, 0, T0);
    assert_int_equal(cc.cwnd, 10000);
}

/*
 * A path on which the round trip is 40 ms, and 50 ms from the third round on, which for HyStart++
 * begins with byte 28000: what had been sent when byte 10000 was acknowledged. The window doubles
 * for two rounds, grows by a quarter in five, and slow start is over without a loss.
 */
static void the_first_slow_start_is_careful(void **state)
{
    struct cc cc;
    uint64_t una = 0, nxt;
    uint32_t at_round[12];

    cc_open(&cc, &cc_cubic, MSS, T0);
    nxt = cc.cwnd;
    for (int round = 0; round < 12; round++) {
        uint64_t end = nxt;

        at_round[round] = cc.cwnd;
        while (una < end) {
            struct cc_ack ack = full_ack(&cc, MSS, T0);

            una += MSS;
            ack.snd_una = una;
            ack.snd_nxt = nxt;
            ack.rtt_us = ack.srtt_us = una <= 28000 ? 40000 : 50000;
            ack.min_rtt_us = 40000;
            cc_cubic.on_ack(&cc, &ack);
            nxt = una + cc.cwnd / MSS * MSS;
        }
    }
    assert_int_equal(at_round[1], 20000);
    assert_int_equal(at_round[2], 40000);
    assert_in_range(at_round[3], 40000 * 5 / 4, 40000 * 5 / 4 + 8000); /* eight samples to see it */
    for (int round = 4; round < 7; round++)
        assert_near(at_round[round], at_round[round - 1] * 1.25, 1000);
    assert_in_range(cc.ssthresh, at_round[6] + 1000, at_round[6] * 5 / 4);
    assert_in_range(at_round[8] - at_round[7], 0, 1000);
    /* 4.10: W_max is where it ended, K = 0. */
    window_acked(&cc, T0 + 3 * SECOND);
    assert_near(cc.cwnd, cc.ssthresh + 10800, 2000);
}

/* HyStart++ is for the first: a later one ends at ssthresh, whatever the round trip does. */
static void later_slow_starts_know_where_to_end(void **state)
{
    struct cc cc;
    uint64_t una = 0;

    cc_open(&cc, &cc_cubic, MSS, T0);
    cc.ssthresh = 95000;
    for (uint32_t i = 0; i < 85; i++) {
        struct cc_ack ack = full_ack(&cc, MSS, T0);

        una += MSS;
        ack.snd_una = una;
        ack.snd_nxt = una + (i ? 10 : 9) * MSS;
        ack.rtt_us = 40000 + i / 10 * 40000;
        cc_cubic.on_ack(&cc, &ack);
    }
    assert_int_equal(cc.cwnd, 95000);
    feed(&cc, MSS, 0, T0);
    assert_int_equal(cc.cwnd, 95000);
}

static void it_survives_anything(void **state)
{
    survive_anything(&cc_cubic, 2, 200, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_follows_the_curve),
        cmocka_unit_test(growth_is_spread_over_the_window),
        cmocka_unit_test(growth_is_bounded),
        cmocka_unit_test(small_windows_grow_like_renos),
        cmocka_unit_test(convergence_is_fast),
        cmocka_unit_test(a_timeout_forgets_the_plateau),
        cmocka_unit_test(a_mistake_is_undone),
        cmocka_unit_test(a_mark_reduces_less),
        cmocka_unit_test(unused_time_stands_still),
        cmocka_unit_test(silence_decays_the_window),
        cmocka_unit_test(the_first_slow_start_is_careful),
        cmocka_unit_test(later_slow_starts_know_where_to_end),
        cmocka_unit_test(it_survives_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

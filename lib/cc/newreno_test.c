// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

static void open_at(struct cc *cc, uint32_t cwnd, uint32_t ssthresh)
{
    cc_open(cc, &cc_newreno, MSS, 0);
    cc->cwnd = cwnd;
    cc->ssthresh = ssthresh;
}

/* RFC 5681 3.1: a window each round trip, whether one ACK tells of it or ten. */
static void slow_start_doubles(void **state)
{
    struct cc cc;

    cc_open(&cc, &cc_newreno, MSS, 0);
    for (int i = 0; i < 10; i++)
        feed(&cc, MSS, 10000, 0);
    assert_int_equal(cc.cwnd, 20000);
    feed(&cc, 20000, 10000, 0);
    assert_int_equal(cc.cwnd, 40000);
}

/* Equation (2): a segment each round trip, counted in bytes. */
static void congestion_avoidance_adds_a_segment(void **state)
{
    struct cc cc;

    open_at(&cc, 20000, 20000);
    for (int i = 0; i < 19; i++)
        feed(&cc, MSS, 10000, 0);
    assert_int_equal(cc.cwnd, 20000);
    feed(&cc, MSS, 10000, 0);
    assert_int_equal(cc.cwnd, 21000);
    feed(&cc, 21000, 10000, 0);
    assert_int_equal(cc.cwnd, 22000);
}

static void slow_start_ends_at_ssthresh(void **state)
{
    struct cc cc;

    open_at(&cc, 10000, 15000);
    feed(&cc, 10000, 10000, 0);
    assert_int_equal(cc.cwnd, 15000);
    feed(&cc, 10000, 10000, 0); /* with the 5000 that were left: a window, and nothing more */
    assert_int_equal(cc.cwnd, 16000);
    feed(&cc, 15999, 10000, 0);
    assert_int_equal(cc.cwnd, 16000);
}

/* RFC 7661: what was not used does not grow; half is use enough in slow start. */
static void an_unused_window_stays(void **state)
{
    struct cc cc;
    struct cc_ack ack;

    open_at(&cc, 20000, 20000);
    ack = full_ack(&cc, 20000, 0);
    ack.window_limited = false;
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 20000);

    open_at(&cc, 20000, CC_WINDOW_MAX);
    ack.acked = 5000;
    ack.flight_before = 9999;
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 20000);
    ack.flight_before = 10000;
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 25000);
}

/* RFC 5681 equation (4); the owner has the window until recovery is over. */
static void a_loss_halves_the_flight(void **state)
{
    struct cc cc;
    struct cc_ack ack;

    open_at(&cc, 30000, CC_WINDOW_MAX);
    cc_newreno.on_loss(&cc, 24000, 0);
    assert_int_equal(cc.ssthresh, 12000);
    assert_int_equal(cc.cwnd, 30000);
    cc.cwnd = 17000;
    ack = full_ack(&cc, 10000, 0);
    ack.in_recovery = true;
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 17000);
    cc_newreno.on_recovered(&cc, 0);
    assert_int_equal(cc.cwnd, 12000);

    open_at(&cc, 3000, 2000);
    cc_newreno.on_loss(&cc, 3000, 0);
    assert_int_equal(cc.ssthresh, 2000); /* 2 * SMSS */
}

/* RFC 5681 3.1 and 5: one segment, slow start to half, and once for an episode. */
static void a_timeout_begins_again(void **state)
{
    struct cc cc;
    struct cc_ack ack;

    open_at(&cc, 40000, 40000);
    cc_newreno.on_rto(&cc, 40000, true, 0);
    assert_int_equal(cc.ssthresh, 20000);
    assert_int_equal(cc.cwnd, MSS);
    cc_newreno.on_rto(&cc, MSS, false, 0);
    assert_int_equal(cc.ssthresh, 20000);
    ack = full_ack(&cc, MSS, 0);
    ack.in_recovery = true;
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 2 * MSS);
    cc_newreno.on_recovered(&cc, 0);
    assert_int_equal(cc.cwnd, 2 * MSS);
}

/* RFC 8511: 0.8 of the flight, at once. */
static void a_mark_reduces_less(void **state)
{
    struct cc cc;

    open_at(&cc, 40000, CC_WINDOW_MAX);
    cc_newreno.on_ecn(&cc, 40000, 0);
    assert_int_equal(cc.ssthresh, 32000);
    assert_int_equal(cc.cwnd, 32000);
}

static void a_mistake_is_undone(void **state)
{
    struct cc cc;

    open_at(&cc, 40000, 35000);
    cc_newreno.on_loss(&cc, 40000, 0);
    cc.cwnd = 21000;
    cc_newreno.on_undo(&cc, 0);
    assert_int_equal(cc.cwnd, 40000);
    assert_int_equal(cc.ssthresh, 35000);

    cc_newreno.on_rto(&cc, 40000, true, 0);
    cc_newreno.on_rto(&cc, MSS, false, 0);
    cc_newreno.on_undo(&cc, 0);
    assert_int_equal(cc.cwnd, 40000);
    assert_int_equal(cc.ssthresh, 35000);
}

/* RFC 5681 4.1: RW = min(IW, cwnd) */
static void silence_begins_again(void **state)
{
    struct cc cc;

    open_at(&cc, 40000, 20000);
    cc_newreno.on_idle(&cc, 300000, 200000, 0);
    assert_int_equal(cc.cwnd, 10000);
    assert_int_equal(cc.ssthresh, 20000);
    cc.cwnd = 4000;
    cc_newreno.on_idle(&cc, 300000, 200000, 0);
    assert_int_equal(cc.cwnd, 4000);
}

/* Of a window of four segments and a half four are in use: their ACKs make a round trip. */
static void only_whole_segments_are_in_use(void **state)
{
    struct cc cc;
    struct cc_ack ack;

    open_at(&cc, 4 * MSS + MSS / 2, MSS);
    ack = full_ack(&cc, 4 * MSS - 1, 0);
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 4 * MSS + MSS / 2);
    ack = full_ack(&cc, 1, 0);
    cc_newreno.on_ack(&cc, &ack);
    assert_int_equal(cc.cwnd, 5 * MSS + MSS / 2);
}

/* What was acknowledged towards the next segment counts after a loss, but not after a timeout. */
static void a_loss_keeps_what_was_counted(void **state)
{
    for (int timeout = 0; timeout < 2; timeout++) {
        struct cc cc;
        struct cc_ack ack;

        open_at(&cc, 10 * MSS, MSS);
        ack = full_ack(&cc, 5 * MSS, 0);
        cc_newreno.on_ack(&cc, &ack);
        if (timeout)
            cc_newreno.on_rto(&cc, 10 * MSS, true, 0);
        else
            cc_newreno.on_loss(&cc, 10 * MSS, 0);
        cc_newreno.on_recovered(&cc, 0);
        cc.cwnd = cc.ssthresh = 5 * MSS;
        ack = full_ack(&cc, MSS, 0);
        cc_newreno.on_ack(&cc, &ack);
        assert_int_equal(cc.cwnd, timeout ? 5 * MSS : 6 * MSS);
    }
}

/* In recovery the rate is that of the window which recovery aims at, not of the way down to it. */
static void recovery_is_paced_at_its_aim(void **state)
{
    struct cc cc;

    open_at(&cc, 40000, 40000);
    cc_newreno.on_loss(&cc, 40000, 0);
    cc.cwnd = 5000;
    assert_int_equal(cc_pacing_bps(&cc, 10000, true), 2400000);  /* 1.2 * 20 kB / 10 ms */
    assert_int_equal(cc_pacing_bps(&cc, 10000, false), 1000000); /* a timeout's slow start */
}

static void it_survives_anything(void **state)
{
    survive_anything(&cc_newreno, 1, 200, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_start_doubles),
        cmocka_unit_test(congestion_avoidance_adds_a_segment),
        cmocka_unit_test(slow_start_ends_at_ssthresh),
        cmocka_unit_test(an_unused_window_stays),
        cmocka_unit_test(a_loss_halves_the_flight),
        cmocka_unit_test(a_timeout_begins_again),
        cmocka_unit_test(a_mark_reduces_less),
        cmocka_unit_test(a_mistake_is_undone),
        cmocka_unit_test(silence_begins_again),
        cmocka_unit_test(only_whole_segments_are_in_use),
        cmocka_unit_test(a_loss_keeps_what_was_counted),
        cmocka_unit_test(recovery_is_paced_at_its_aim),
        cmocka_unit_test(it_survives_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

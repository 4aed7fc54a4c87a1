// SPDX-License-Identifier: BSD-2-Clause
/*
 * The test cases that the draft ends with, on a path in virtual time, and its equations by hand.
 */
#include "bbr.h"
#include "bottleneck.h"
#include "test.h"

#define MBPS   125000ull /* bytes per second */
#define RATE   (20 * MBPS)
#define RTT_US 40000
#define BDP    100000u /* bytes: 20 Mbit/s for 40 ms */

static void one_flow(struct bottleneck *b, uint32_t buffer)
{
    bottleneck_open(b, RATE, buffer, 5);
    bottleneck_add(b, &cc_bbr, RTT_US, 0);
    bottleneck_run(b, b->now_ns);
}

static struct bbr *model(struct bottleneck *b)
{
    return bbr(&b->flows[0].cc);
}

static void run_ms(struct bottleneck *b, uint64_t ms)
{
    bottleneck_run(b, b->now_ns + ms * NS_PER_MS);
}

/* Milliseconds until it is in that state. */
static unsigned run_to(struct bottleneck *b, enum bbr_state state, unsigned limit_ms)
{
    for (unsigned ms = 0; ms < limit_ms; ms++) {
        if (model(b)->state == state)
            return ms;
        run_ms(b, 1);
    }
    fail_msg("after %u ms in state %d and not in %d", limit_ms, model(b)->state, state);
    return 0;
}

/* A state may last for one ACK only. */
static unsigned run_past(struct bottleneck *b, enum bbr_state state, unsigned limit_ms)
{
    for (unsigned ms = 0; ms < limit_ms; ms++) {
        if (model(b)->state != state)
            return ms;
        run_ms(b, 1);
    }
    fail_msg("after %u ms still in state %d", limit_ms, state);
    return 0;
}

static uint64_t max_bw(struct bottleneck *b)
{
    return max_u64(model(b)->max_bw[0], model(b)->max_bw[1]);
}

/* Exiting Startup on bandwidth plateau: the rate is known within 2 %, three rounds did not add. */
static void startup_ends_where_bandwidth_does(void **state)
{
    struct bottleneck b;

    one_flow(&b, 10 * BDP);
    run_to(&b, DRAIN, 2000);
    assert_near((double)max_bw(&b), RATE, RATE * 0.02);
    assert_true(model(&b)->full_bw_reached);
    assert_true(model(&b)->full_bw_now);
    assert_int_equal(model(&b)->full_bw_count, 3);
    assert_int_equal(b.flows[0].lost, 0);
    /* Startup's window is two BDP, so its queue was one. */
    assert_true(b.queue_max < BDP * 5 / 4);
    /* Drain: at half the rate, until what is in flight is the BDP. */
    assert_near((double)b.flows[0].cc.pacing_bps, (double)model(&b)->bw * 0.5 * 0.99, 2);
    assert_true(run_past(&b, DRAIN, 1000) <= 3 * RTT_US / 1000);
    assert_in_range(b.flows[0].flight, BDP * 8 / 10, BDP * 11 / 10);
    bottleneck_close(&b);
}

/* The rate doubles in each round trip: 277 % of the initial window's rate, and on from there. */
static void startup_doubles(void **state)
{
    struct bottleneck b;
    uint64_t before;

    bottleneck_open(&b, 1000 * MBPS, 100 << 20, 5);
    bottleneck_add(&b, &cc_bbr, RTT_US, 0);
    run_ms(&b, 42);
    assert_near((double)b.flows[0].cc.pacing_bps, 2.77 * 14480 / 0.040, 2000);
    for (int round = 0; round < 4; round++) {
        before = b.flows[0].delivered;
        run_ms(&b, 41);
        assert_in_range(b.flows[0].cc.cwnd, (14480u << round) * 15 / 10, (14480u << round) * 5);
        assert_true(b.flows[0].delivered > before);
    }
    assert_int_equal(model(&b)->state, STARTUP);
    bottleneck_close(&b);
}

/* A whole cycle, and what each phase of it does to rate and window. */
static void bandwidth_is_probed_in_turn(void **state)
{
    struct bottleneck b;
    const struct cc *cc;
    unsigned cruise;

    one_flow(&b, 10 * BDP);
    cc = &b.flows[0].cc;
    run_to(&b, PROBE_BW_CRUISE, 3000);
    assert_near((double)cc->pacing_bps, (double)model(&b)->bw * 0.99, 2);
    cruise = run_to(&b, PROBE_BW_REFILL, 3100);
    assert_true(cruise > 1000);
    assert_near((double)cc->pacing_bps, (double)model(&b)->bw * 0.99, 2);
    assert_in_range(run_to(&b, PROBE_BW_UP, 100), RTT_US / 1000 - 5, RTT_US / 1000 + 10);
    assert_near((double)cc->pacing_bps, (double)model(&b)->bw * 1.25 * 0.99, 2);
    run_to(&b, PROBE_BW_DOWN, 1000);
    assert_near((double)cc->pacing_bps, (double)model(&b)->bw * 0.90 * 0.99, 2);
    run_to(&b, PROBE_BW_CRUISE, 1000);
    assert_true(b.flows[0].flight <= BDP * 11 / 10);
    bottleneck_close(&b);
}

/* Entering and exiting ProbeRTT: five seconds without a new minimum, 200 ms at half a BDP. */
static void the_round_trip_is_probed(void **state)
{
    struct bottleneck b;
    uint64_t entered, left;

    one_flow(&b, 10 * BDP);
    run_to(&b, PROBE_BW_CRUISE, 3000);
    run_to(&b, PROBE_RTT, 12000);
    entered = b.now_ns;
    assert_true(b.flows[0].cc.cwnd <= BDP * 55 / 100);
    while (model(&b)->state == PROBE_RTT)
        run_ms(&b, 1);
    left = b.now_ns;
    assert_in_range((left - entered) / NS_PER_MS, 200, 200 + 3 * RTT_US / 1000);
    assert_int_equal(model(&b)->state, PROBE_BW_CRUISE);
    assert_true(b.flows[0].cc.cwnd > BDP * 15 / 10);
    assert_near((double)max_bw(&b), RATE, RATE * 0.03); /* the low rate was not believed */
    assert_near(model(&b)->min_rtt_us, RTT_US, 1000);
    run_to(&b, PROBE_RTT, 6000);
    assert_in_range((b.now_ns - left) / NS_PER_MS, 4000, 5500);
    bottleneck_close(&b);
}

/* Skipping it when there was silence: that the queue drained then is taken for granted. */
static void silence_is_probe_enough(void **state)
{
    struct bottleneck b;

    one_flow(&b, 10 * BDP);
    run_to(&b, PROBE_BW_CRUISE, 3000);
    b.flows[0].pause_ns = b.now_ns;
    b.flows[0].resume_ns = b.now_ns + 7 * NS_PER_S;
    run_ms(&b, 6999);
    assert_int_equal(b.flows[0].flight, 0);
    for (int ms = 0; ms < 1000; ms++) {
        run_ms(&b, 1);
        assert_int_not_equal(model(&b)->state, PROBE_RTT);
        /* Restarting is at the rate of the path. */
        if (ms > 1 && ms < RTT_US / 1000)
            assert_near((double)b.flows[0].cc.pacing_bps, (double)model(&b)->bw * 0.99, 2);
    }
    assert_true(b.flows[0].cc.cwnd > BDP);
    bottleneck_close(&b);
}

/* Whatever the phase, it restarts at the rate of the path, and not a quarter above. */
static void silence_in_a_probe_calms_it(void **state)
{
    struct bottleneck b;

    one_flow(&b, 10 * BDP);
    run_to(&b, PROBE_BW_UP, 6000);
    b.flows[0].pause_ns = b.now_ns;
    b.flows[0].resume_ns = b.now_ns + 150 * NS_PER_MS;
    run_ms(&b, 149);
    assert_int_equal(b.flows[0].flight, 0);
    assert_int_not_equal(model(&b)->state, PROBE_BW_CRUISE);
    assert_true(b.flows[0].cc.pacing_bps != model(&b)->bw * 99 / 100);
    run_ms(&b, 5);
    assert_near((double)b.flows[0].cc.pacing_bps, (double)model(&b)->bw * 0.99, 2);
    bottleneck_close(&b);
}

/* Never exiting Startup when application-limited with no loss. */
static void a_slow_application_proves_nothing(void **state)
{
    struct bottleneck b;

    bottleneck_open(&b, RATE, BDP, 5);
    bottleneck_add(&b, &cc_bbr, RTT_US, 0)->app_bps = RATE / 4;
    for (int ms = 0; ms < 4900; ms++) {
        run_ms(&b, 1);
        assert_int_equal(model(&b)->state, STARTUP);
    }
    /* ProbeRTT during Startup leads back to it. */
    run_to(&b, PROBE_RTT, 2000);
    run_to(&b, STARTUP, 1000);
    assert_int_equal(b.flows[0].lost, 0);
    bottleneck_close(&b);
}

/* Exiting Startup on loss, with samples that are application-limited. */
static void loss_ends_startup(void **state)
{
    struct bottleneck b;

    bottleneck_open(&b, RATE, BDP, 5);
    bottleneck_add(&b, &cc_bbr, RTT_US, 0)->app_bps = RATE / 2;
    run_ms(&b, 500);
    assert_int_equal(model(&b)->state, STARTUP);
    b.loss_ppm = 200000;
    run_past(&b, STARTUP, 500);
    assert_true(model(&b)->full_bw_reached);
    assert_int_equal(model(&b)->undo_state, STARTUP);
    assert_true(model(&b)->inflight_longterm != NONE);
    /* Which was a mistake, says the transport. */
    cc_bbr.on_undo(&b.flows[0].cc, b.now_ns);
    assert_int_equal(model(&b)->state, STARTUP);
    assert_false(model(&b)->full_bw_reached);
    assert_int_equal(model(&b)->inflight_longterm, NONE);
    bottleneck_close(&b);
}

/* Loss during ProbeBW_UP: the bound is set, the probe ends, and ends early the next time. */
static void loss_ends_a_probe(void **state)
{
    struct bottleneck b;
    uint32_t longterm;

    one_flow(&b, BDP / 10);
    run_to(&b, PROBE_BW_CRUISE, 3000);
    model(&b)->inflight_longterm = NONE;
    run_to(&b, PROBE_BW_UP, 5000);
    b.buffer_bytes = 4 * BOTTLENECK_MSS;
    run_to(&b, PROBE_BW_DOWN, 1000);
    longterm = model(&b)->inflight_longterm;
    assert_true(model(&b)->prev_probe_too_high);
    assert_int_equal(model(&b)->undo_state, PROBE_BW_UP);
    assert_in_range(longterm, BDP * 7 / 10, BDP * 13 / 10);
    /* CRUISE leaves 15 % of it free. */
    run_to(&b, PROBE_BW_CRUISE, 1000);
    run_ms(&b, 5);
    assert_true(b.flows[0].cc.cwnd <= model(&b)->inflight_longterm * 86 / 100);
    cc_bbr.on_undo(&b.flows[0].cc, b.now_ns);
    assert_int_equal(model(&b)->state, PROBE_BW_REFILL);
    assert_int_equal(model(&b)->inflight_longterm, NONE);
    bottleneck_close(&b);
}

/* Loss while cruising: by Beta at most, to what was delivered at least, and forgotten at REFILL. */
static void loss_lowers_the_short_term(void **state)
{
    struct bottleneck b;
    uint64_t bw;

    one_flow(&b, 10 * BDP);
    run_to(&b, PROBE_BW_CRUISE, 3000);
    bw = model(&b)->bw;
    assert_true(model(&b)->bw_shortterm == NO_RATE);
    b.loss_ppm = 100000;
    run_ms(&b, 150);
    assert_int_equal(model(&b)->state, PROBE_BW_CRUISE);
    assert_true(model(&b)->bw_shortterm <= bw);
    assert_true(model(&b)->bw_shortterm >= bw * 5 / 10);
    assert_true(model(&b)->inflight_shortterm != NONE);
    assert_true(b.flows[0].cc.cwnd <= model(&b)->inflight_shortterm);
    b.loss_ppm = 0;
    run_to(&b, PROBE_BW_REFILL, 4000);
    assert_true(model(&b)->bw_shortterm == NO_RATE);
    assert_int_equal(model(&b)->inflight_shortterm, NONE);
    bottleneck_close(&b);
}

/* Ten times the bandwidth is found in a few probes; a tenth of it forgotten in two cycles. */
static void bandwidth_comes_and_goes(void **state)
{
    struct bottleneck b;
    uint64_t before;

    one_flow(&b, 10 * BDP);
    run_to(&b, PROBE_BW_CRUISE, 3000);
    b.rate_bps = 10 * RATE;
    run_ms(&b, 20000);
    before = b.flows[0].delivered;
    run_ms(&b, 2000);
    assert_true((double)(b.flows[0].delivered - before) > 0.8 * 2 * 10 * RATE);

    b.rate_bps = RATE;
    run_ms(&b, 12000);
    assert_near((double)max_bw(&b), RATE, RATE * 0.05);
    bottleneck_close(&b);
}

/*
 * Correctly managing sub-packet BDPs: the rate of the path, and never less than four segments. With
 * those the queue is never empty, so four become the BDP: 2.25 of it, two more in ProbeBW_UP, and
 * what ACKs bring at once.
 */
static void tiny_paths_have_four_segments(void **state)
{
    struct bottleneck b;
    uint64_t before;

    bottleneck_open(&b, 8000, 20 * BOTTLENECK_MSS, 5);
    bottleneck_add(&b, &cc_bbr, 10000, 0);
    run_ms(&b, 30000);
    before = b.flows[0].delivered;
    for (int s = 0; s < 60; s++) {
        run_ms(&b, 1000);
        assert_true(b.flows[0].cc.cwnd >= 4 * BOTTLENECK_MSS);
        assert_true(b.flows[0].cc.cwnd <= 13 * BOTTLENECK_MSS);
    }
    assert_in_range(b.flows[0].delivered - before, 60 * 8000 * 9 / 10, 60 * 8000 + BOTTLENECK_MSS);
    bottleneck_close(&b);
}

/* Achieving expected bandwidth with aggregation: ACKs sixty milliseconds apart. */
static void bundled_acks_do_not_stall_it(void **state)
{
    struct bottleneck b;
    uint64_t before;

    bottleneck_open(&b, RATE, 10 * BDP, 5);
    b.aggregate_us = 60000;
    bottleneck_add(&b, &cc_bbr, 10000, 0);
    run_ms(&b, 5000);
    before = b.flows[0].delivered;
    run_ms(&b, 4000);
    assert_true((double)(b.flows[0].delivered - before) > 0.85 * 4 * RATE);
    assert_true(max_u32(model(&b)->extra_acked[0], model(&b)->extra_acked[1]) > BDP / 4);
    bottleneck_close(&b);
}

/* An ECN mark ends Startup, ends a probe, and is a loss otherwise. */
static void marks_are_answered(void **state)
{
    struct bottleneck b;
    uint32_t shortterm;

    one_flow(&b, 10 * BDP);
    run_ms(&b, 150);
    assert_int_equal(model(&b)->state, STARTUP);
    cc_bbr.on_ecn(&b.flows[0].cc, b.flows[0].flight, b.now_ns);
    assert_int_equal(model(&b)->state, DRAIN);
    assert_true(model(&b)->inflight_longterm != NONE);
    run_to(&b, PROBE_BW_UP, 5000);
    cc_bbr.on_ecn(&b.flows[0].cc, BDP, b.now_ns);
    assert_int_equal(model(&b)->state, PROBE_BW_DOWN);
    assert_int_equal(model(&b)->inflight_longterm, BDP);
    run_to(&b, PROBE_BW_CRUISE, 1000);
    run_ms(&b, 100);
    shortterm = model(&b)->inflight_shortterm;
    assert_int_equal(shortterm, NONE);
    cc_bbr.on_ecn(&b.flows[0].cc, BDP, b.now_ns);
    run_ms(&b, 100);
    assert_true(model(&b)->inflight_shortterm <= BDP);
    bottleneck_close(&b);
}

/* After a timeout one segment, then four, then by what is delivered; recovered, as before. */
static void a_timeout_is_an_interruption(void **state)
{
    struct bottleneck b;
    struct cc *cc;
    uint32_t before;

    one_flow(&b, 10 * BDP);
    run_to(&b, PROBE_BW_CRUISE, 3000);
    cc = &b.flows[0].cc;
    before = cc->cwnd;
    cc_bbr.on_rto(cc, BDP, true, b.now_ns);
    assert_int_equal(cc->cwnd, cc->mss);
    cc_bbr.on_rto(cc, cc->mss, false, b.now_ns);
    assert_int_equal(cc->cwnd, cc->mss);
    cc_bbr.on_recovered(cc, b.now_ns);
    assert_int_equal(cc->cwnd, before);
    cc_bbr.on_rto(cc, BDP, true, b.now_ns);
    cc_bbr.on_undo(cc, b.now_ns);
    assert_int_equal(cc->cwnd, before);
    bottleneck_close(&b);
}

/*
 * 98 in flight before these two; 0 of them lost: (0.02 * 98 - 0) / 0.98 = 2 more could have been.
 * In segments of 1000 bytes.
 */
static void the_prefix_of_a_loss(void **state)
{
    static const struct {
        uint32_t in_flight, bytes, lost, want;
    } CASES[] = {
        {100000, 2000, 2000, 0},       /* 2 % is not above 2 % */
        {100000, 2001, 2001, 99998},   /* (0.02 * 97999 - 0) / 0.98 = 1999 more */
        {100000, 1000, 3000, 99000},   /* crossed before this range */
        {100000, 10000, 10000, 91836}, /* 90000 + 1800 / 0.98 */
    };

    for (size_t i = 0; i < array_len(CASES); i++) {
        struct cc cc;
        struct cc_lost lost = {.tx_in_flight = CASES[i].in_flight,
                               .bytes = CASES[i].bytes,
                               .lost_since_sent = CASES[i].lost};

        cc_open(&cc, &cc_bbr, MSS, NS_PER_S);
        bbr(&cc)->is_bw_probe_sample = true;
        cc_bbr.on_lost(&cc, &lost);
        if (CASES[i].want)
            assert_near(bbr(&cc)->inflight_longterm, CASES[i].want, 1);
        else
            assert_int_equal(bbr(&cc)->inflight_longterm, NONE);
    }
}

/* Without SACK one loss is all that can be seen of many. */
static void without_sack_any_loss_counts(void **state)
{
    struct cc_lost lost = {.tx_in_flight = 100000, .bytes = MSS, .lost_since_sent = MSS};
    struct cc cc;

    cc_open(&cc, &cc_bbr, MSS, NS_PER_S);
    bbr(&cc)->is_bw_probe_sample = true;
    cc_bbr.on_lost(&cc, &lost);
    assert_int_equal(bbr(&cc)->inflight_longterm, NONE);
    cc.no_sack = true;
    cc_bbr.on_lost(&cc, &lost);
    assert_true(bbr(&cc)->inflight_longterm != NONE);
}

static void it_survives_anything(void **state)
{
    survive_anything(&cc_bbr, 3, 400, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(startup_ends_where_bandwidth_does),
        cmocka_unit_test(startup_doubles),
        cmocka_unit_test(bandwidth_is_probed_in_turn),
        cmocka_unit_test(the_round_trip_is_probed),
        cmocka_unit_test(silence_is_probe_enough),
        cmocka_unit_test(silence_in_a_probe_calms_it),
        cmocka_unit_test(a_slow_application_proves_nothing),
        cmocka_unit_test(loss_ends_startup),
        cmocka_unit_test(loss_ends_a_probe),
        cmocka_unit_test(loss_lowers_the_short_term),
        cmocka_unit_test(bandwidth_comes_and_goes),
        cmocka_unit_test(tiny_paths_have_four_segments),
        cmocka_unit_test(bundled_acks_do_not_stall_it),
        cmocka_unit_test(marks_are_answered),
        cmocka_unit_test(a_timeout_is_an_interruption),
        cmocka_unit_test(the_prefix_of_a_loss),
        cmocka_unit_test(without_sack_any_loss_counts),
        cmocka_unit_test(it_survives_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * What acknowledgments mean: round-trip times, losses, windows (RFC 5681, 6298, 6582, 3042).
 */
#include "trace.h"

#define MSS 1460

static struct tcp_info info(struct trace *t)
{
    struct tcp_info i;

    tcp_conn_info(t->app->conn, &i);
    return i;
}

/* Ten segments are out; the application answers at once. */
static struct trace_app *ten_out(struct trace *t)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 10000000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    return app;
}

/* The same of a stream that has no more: after a timeout there is nothing new to try with. */
static struct trace_app *all_ten_out(struct trace *t)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 10 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 10);
    return app;
}

static void dup_ack(struct trace *t, uint32_t ack)
{
    SEND(t, .flags = ACK, .seq = 1, .ack = ack);
}

/* --- what an algorithm is told (cc.h) ------------------------------------------------------- */

/* newreno, and what it was told. */
static struct {
    struct cc_algorithm algorithm;
    struct cc_ack ack;
    uint32_t flight, sent;
} spy;

static void spy_on_ack(struct cc *cc, const struct cc_ack *ack)
{
    spy.ack = *ack;
    cc_newreno.on_ack(cc, ack);
}

static void spy_on_sent(struct cc *cc, uint32_t bytes, uint32_t flight, bool app_limited,
                        uint64_t now_ns)
{
    if (spy.sent == 0)
        spy.flight = flight;
    spy.sent += bytes;
}

static void spy_on(struct trace *t)
{
    spy.sent = spy.flight = 0;
    spy.algorithm = cc_newreno;
    spy.algorithm.on_ack = spy_on_ack;
    spy.algorithm.on_sent = spy_on_sent;
    t->tcp->cc = &spy.algorithm;
}

TRACE_TEST(cc_knows_of_sack)
{
    t->sack = true;
    assert_false(trace_cc(trace_establish(t, 0))->no_sack);
    t->sack = false;
    assert_true(trace_cc(trace_establish(t, 1))->no_sack);
}

/* What is in flight before bytes are sent is not these bytes. */
TRACE_TEST(cc_on_sent_from_idle)
{
    spy_on(t);
    all_ten_out(t);
    assert_int_equal(spy.sent, 10 * MSS);
    assert_int_equal(spy.flight, 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
}

/* The slow start after a timeout is recovery, too. */
TRACE_TEST(cc_in_recovery_after_timeout)
{
    spy_on(t);
    all_ten_out(t);
    ADVANCE(t, 500);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    assert_true(spy.ack.in_recovery);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_false(spy.ack.in_recovery);
}

/* Bytes that duplicate ACKs stood for are not delivered a second time. */
TRACE_TEST(cc_delivered_once)
{
    spy_on(t);
    all_ten_out(t);
    for (int i = 0; i < 9; i++)
        dup_ack(t, 1);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(info(t).delivered, 10 * MSS);
}

/* --- F-RTO (RFC 5682 2.1) --------------------------------------------------------------------- */

/* Step 3: the two new segments are not heard of either: the lost ones go, after another timeout. */
TRACE_TEST(frto_new_bytes_are_lost)
{
    ten_out(t);
    ADVANCE(t, 300);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 10 * MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 11 * MSS, .ack = 1, .len = MSS);
    ADVANCE(t, 700);
    EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->rto_fired, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 12 * MSS);
    trace_take_all(t, NULL);
}

/* RFC 6582 4: nor do duplicate ACKs of what was sent before the second timeout tell of a loss. */
TRACE_TEST(duplicates_after_a_second_timeout)
{
    ten_out(t);
    ADVANCE(t, 300);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    ADVANCE(t, 700);
    assert_int_equal(STATS(t)->rto_fired, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 11 * MSS);
    for (int i = 0; i < 5; i++)
        dup_ack(t, 1 + 11 * MSS);
    assert_int_equal(STATS(t)->fast_recoveries, 0);
    trace_take_all(t, NULL);
}

/* Step 2: the peer's window admits no new segment: the lost ones go at once. */
TRACE_TEST(frto_window_is_full)
{
    t->win = 10 * MSS + 100;
    ten_out(t);
    ADVANCE(t, 300);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS, .win = 9 * MSS + 100);
    EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    trace_take_all(t, NULL);
    assert_int_equal(STATS(t)->rto_fired, 1);
}

/* --- round-trip time (RFC 6298 2) ------------------------------------------------------------- */

TRACE_TEST(rtt_of_handshake)
{
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(info(t).srtt_us, 100000);
    assert_int_equal(info(t).rttvar_us, 50000);
    assert_int_equal(info(t).rto_us, 300000);
}

/* However steady a path is, its round trip may be late by a delayed ACK before anything is lost. */
TRACE_TEST(rto_of_a_steady_path)
{
    struct trace_app *app = trace_establish(t, 0);

    for (int i = 0; i < 100; i++) {
        trace_write(t, app, 100);
        trace_take_all(t, NULL);
        ADVANCE(t, 150);
        SEND(t, .flags = ACK, .seq = 1, .ack = 1 + (uint32_t)info(t).sent);
    }
    assert_in_range(info(t).srtt_us, 149000, 151000);
    assert_in_range(info(t).rto_us, 349000, 360000);
}

/* 2.3: SRTT = 7/8 SRTT + 1/8 R, RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|. */
TRACE_TEST(rtt_of_a_timed_segment)
{
    struct trace_app *app;

    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    app = t->app;
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 180);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101);
    assert_int_equal(info(t).srtt_us, 110000);
    assert_int_equal(info(t).rttvar_us, 57500);
    assert_int_equal(info(t).rto_us, 340000);
}

/* What was sent once and waited behind that for its ACK is not timed either. */
TRACE_TEST(rtt_behind_a_hole)
{
    struct tcp_info before;

    all_ten_out(t);
    before = info(t);
    ADVANCE(t, 210);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    ADVANCE(t, 50);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(info(t).srtt_us, before.srtt_us);
}

/* RFC 6298 3, Karn: a segment that was sent twice gives no sample. */
TRACE_TEST(rtt_karn)
{
    struct trace_app *app = trace_establish(t, 0);
    struct tcp_info before = info(t);

    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 210);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 50);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101);
    assert_int_equal(info(t).srtt_us, before.srtt_us);
}

/* What was sent once beside it is not measured either: it waited for the timer, and a timer that
 * learns from itself doubles until it is a minute. */
TRACE_TEST(rtt_beside_a_retransmission)
{
    struct trace_app *app = trace_establish(t, 0);
    struct tcp_info before = info(t);

    trace_write(t, app, 2 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 2);
    ADVANCE(t, 210);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    ADVANCE(t, 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    assert_int_equal(info(t).srtt_us, before.srtt_us);
}

/* But its echoed timestamp does. */
TRACE_TEST(rtt_of_a_timestamp)
{
    struct trace_app *app;
    struct trace_seg again;

    t->ts = true;
    t->ts_base = 9;
    app = trace_establish(t, 0);
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 210);
    again = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 80 - (t->now_ns - again.at_ns) / NS_PER_MS);
    app->conn->srtt_us = 0; /* as if there had been no sample */
    SEND(t, .flags = ACK, .seq = 1, .ack = 101, .has_ts = true, .tsval = 10, .tsecr = again.tsval);
    assert_int_equal(info(t).srtt_us, 80000);
}

/* An echo that we never sent is no time. */
TRACE_TEST(rtt_of_a_forged_timestamp)
{
    struct trace_app *app;

    t->ts = true;
    t->ts_base = 9;
    app = trace_establish(t, 0);
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 210);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101, .has_ts = true, .tsval = 10,
         .tsecr = tcp_now_ts(app->conn, t->now_ns) + 5000);
    assert_true(info(t).srtt_us < 1000);
    assert_int_equal(info(t).acked, 100);
}

/* --- fast retransmit and fast recovery (RFC 5681 3.2, RFC 6582 3.2) --------------------------- */

TRACE_TEST(fast_retransmit)
{
    ten_out(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 4 * MSS); /* cwnd 14, flight 6: 8 more go */
    assert_int_equal(trace_take_all(t, NULL), 8);
    dup_ack(t, 1 + 4 * MSS);
    dup_ack(t, 1 + 4 * MSS);
    trace_take_all(t, NULL); /* limited transmit */
    assert_int_equal(STATS(t)->fast_recoveries, 0);
    dup_ack(t, 1 + 4 * MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 4 * MSS, .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    assert_int_equal(info(t).ssthresh, 7 * MSS);
    dup_ack(t, 1 + 4 * MSS); /* no second one */
    EXPECT_NOTHING(t);
    assert_int_equal(info(t).cwnd, info(t).in_flight); /* two ACKs for each segment (RFC 6937) */
}

/* RFC 3042: the first two duplicates send a new segment each, the window stays. */
TRACE_TEST(limited_transmit)
{
    struct trace_app *app = ten_out(t);
    uint32_t cwnd = info(t).cwnd;

    dup_ack(t, 1);
    EXPECT(t, .flags = ACK, .seq = 1 + 10 * MSS, .ack = 1, .len = MSS);
    dup_ack(t, 1);
    EXPECT(t, .flags = ACK, .seq = 1 + 11 * MSS, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    assert_int_equal(info(t).cwnd, cwnd);
    assert_int_equal(app->conn->sender->dup_acks, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 12 * MSS); /* only reordered */
    assert_int_equal(app->conn->sender->dup_acks, 0);
    assert_int_equal(STATS(t)->retrans_segs, 0);
    trace_take_all(t, NULL);
}

/* RFC 5681 2: what is no duplicate ACK. */
TRACE_TEST(not_duplicates)
{
    ten_out(t);
    dup_ack(t, 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 60000);            /* a window update */
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .win = 60000); /* data */
    SEND(t, .flags = ACK, .seq = 11, .ack = 0, .win = 60000);           /* an old ACK */
    assert_int_equal(STATS(t)->dup_acks_in, 1);
    trace_take_all(t, NULL);
    ADVANCE(t, 50);
    trace_take_all(t, NULL);
}

TRACE_TEST(no_duplicates_of_nothing)
{
    trace_establish(t, 0);
    for (int i = 0; i < 5; i++)
        dup_ack(t, 1);
    assert_int_equal(STATS(t)->dup_acks_in, 0);
    EXPECT_NOTHING(t);
}

/* RFC 6582 3.2 step 3: a partial ACK shows the next hole; a full one ends the recovery. */
TRACE_TEST(partial_and_full_ack)
{
    ten_out(t);
    for (int i = 0; i < 3; i++)
        dup_ack(t, 1);
    EXPECT(t, .flags = ACK, .seq = 1 + 10 * MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 11 * MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 5 * MSS); /* 6 is lost, too */
    EXPECT(t, .flags = ACK, .seq = 1 + 5 * MSS, .ack = 1, .len = MSS);
    assert_int_equal(t->app->conn->sender->recovery, RECOVERY_FAST);
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 12 * MSS);
    assert_int_equal(t->app->conn->sender->recovery, RECOVERY_NONE);
    assert_true(info(t).cwnd <= info(t).ssthresh);
    trace_take_all(t, NULL);
}

/* RFC 6582 3.2 step 1: duplicates of what was out during the last recovery start no other. */
TRACE_TEST(no_second_fast_retransmit)
{
    ten_out(t);
    for (int i = 0; i < 3; i++)
        dup_ack(t, 1);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 12 * MSS); /* full: snd_una == recover */
    trace_take_all(t, NULL);
    for (int i = 0; i < 6; i++)
        dup_ack(t, 1 + 12 * MSS);
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    trace_take_all(t, NULL);
}

/* --- after a timeout (RFC 6298 5.4, RFC 5681 3.1) --------------------------------------------- */

/* Everything that was sent is sent again, in slow start, by asking for it again. */
TRACE_TEST(go_back_n)
{
    struct trace_app *app = all_ten_out(t);

    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    assert_int_equal(info(t).cwnd, MSS);
    assert_int_equal(info(t).ssthresh, 5 * MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 2 * MSS, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    assert_int_equal(app->conn->sender->recovery, RECOVERY_RTO);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(app->conn->sender->recovery, RECOVERY_NONE);
    trace_take_all(t, NULL);
}

/* RFC 6298 5.5, 5.6: doubled each time; ssthresh is set by the first only. */
static void no_mtu_probing(struct trace *t, struct tcp_config *config)
{
    config->mtu_probing = TCP_MTU_PROBING_OFF;
}

TRACE_TEST_WITH(timeouts_in_a_row, .configure = no_mtu_probing)
{
    static const uint32_t ms[] = {200, 400, 800, 1600, 3200, 6400, 12800, 25600};

    ten_out(t);
    for (size_t i = 0; i < array_len(ms); i++) {
        ADVANCE(t, ms[i] - 1);
        EXPECT_NOTHING(t);
        ADVANCE(t, 2); /* of a round trip of 1 us, the next tick */
        EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
        assert_int_equal(info(t).ssthresh, 5 * MSS);
        assert_int_equal(info(t).cwnd, MSS);
    }
    assert_int_equal(STATS(t)->rto_fired, 8);
}

/* The disk has not answered yet: that is no loss. */
TRACE_TEST(timeout_waits_for_the_disk)
{
    struct trace_app *app = ten_out(t);

    app->fill = FILL_LATER;
    ADVANCE(t, 5000);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->rto_fired, 1);
    assert_true(STATS(t)->rto_waiting > 0);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
}

/* --- congestion window ------------------------------------------------------------------------ */

TRACE_TEST(slow_start)
{
    ten_out(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    assert_int_equal(info(t).cwnd, 12 * MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 6 * MSS);
    assert_int_equal(info(t).cwnd, 16 * MSS);
    trace_take_all(t, NULL);
}

/* RFC 5681 3.1: one segment for each window that was acknowledged. */
TRACE_TEST(congestion_avoidance)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_cc(app)->ssthresh = 10 * MSS;
    trace_write(t, app, 1000000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 5 * MSS);
    assert_int_equal(info(t).cwnd, 10 * MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(info(t).cwnd, 11 * MSS);
    trace_take_all(t, NULL);
}

/* RFC 7661's concern: a window that is not used is not known to fit. */
TRACE_TEST(no_growth_when_the_application_limits)
{
    struct trace_app *app = trace_establish(t, 0);
    uint32_t end = 0;

    for (int i = 0; i < 20; i++) {
        trace_write(t, app, 1000);
        end += 1000;
        trace_take_all(t, NULL);
        SEND(t, .flags = ACK, .seq = 1, .ack = 1 + end);
    }
    assert_int_equal(info(t).cwnd, 10 * MSS);
}

/* RFC 5681 4.1: after an idle time, no more than the initial window. */
TRACE_TEST(idle_restart)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_cc(app)->cwnd = 40 * MSS;
    trace_write(t, app, 1000);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1001);
    ADVANCE(t, 150); /* less than the RTO */
    trace_write(t, app, 1000);
    assert_int_equal(info(t).cwnd, 40 * MSS);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2001);
    ADVANCE(t, 250);
    trace_write(t, app, 100000);
    assert_int_equal(info(t).cwnd, 10 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 10);
}

/* --- the peer's window ------------------------------------------------------------------------ */

/* 3.10.7.4, fifth: only a newer segment may change the window. */
TRACE_TEST(window_of_an_older_segment)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .win = 3000);
    assert_int_equal(info(t).snd_wnd, 3000);
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 11, .len = 100);
    SEND(t, .flags = ACK, .seq = 11, .ack = 101, .win = 4000);
    assert_int_equal(info(t).snd_wnd, 4000);
    SEND(t, .flags = ACK, .seq = 11, .ack = 1, .win = 9000); /* an older ACK, come late */
    assert_int_equal(info(t).snd_wnd, 4000);
    SEND(t, .flags = ACK, .seq = 11, .ack = 101, .win = 5000);
    assert_int_equal(info(t).snd_wnd, 5000);
}

TRACE_TEST(window_is_not_exceeded)
{
    struct trace_app *app;
    uint64_t bytes;

    t->win = 5000;
    app = trace_establish(t, 0);
    trace_write(t, app, 100000);
    trace_take_all(t, &bytes);
    assert_int_equal(bytes, 5000);
    SEND(t, .flags = ACK, .seq = 1, .ack = 5001, .win = 2000);
    trace_take_all(t, &bytes);
    assert_int_equal(bytes, 2000);
}

/* RFC 5681 3.1 and RFC 3465 2.3: the first ACK after a timeout covers what had arrived before it.
 * That says nothing about the network: slow start goes by one segment for each ACK, and stops at
 * ssthresh. */
TRACE_TEST(slow_start_after_timeout)
{
    all_ten_out(t);
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 9 * MSS);
    assert_int_equal(info(t).cwnd, 2 * MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(info(t).cwnd, 3 * MSS);
    trace_take_all(t, NULL);
}

/* What an ACK covers beyond ssthresh counts for congestion avoidance. */
TRACE_TEST(slow_start_ends_at_ssthresh)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_cc(app)->ssthresh = 12 * MSS;
    trace_write(t, app, 1000000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(info(t).cwnd, 12 * MSS);
    trace_take_all(t, NULL);
}

/* RFC 6298 5, last paragraph, and 3 (Karn): an ACK of a segment that was sent twice does not end
 * the backoff, a sample does. On a path slower than the RTO there would never be one otherwise. */
TRACE_TEST(backoff_stays_without_a_sample)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101); /* the round trip takes 300 ms */
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 101, .ack = 1, .len = 100);
    ADVANCE(t, 300);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 201);
    assert_true(info(t).srtt_us > 30000);
    assert_int_equal(app->conn->backoff, 0);
    assert_int_equal(STATS(t)->rto_fired, 1);
}

/* RFC 5681 3.2 step 2: what limited transmit has sent is not part of the flight that is halved. */
TRACE_TEST(ssthresh_without_limited_transmit)
{
    ten_out(t);
    for (int i = 0; i < 3; i++)
        dup_ack(t, 1);
    assert_int_equal(info(t).ssthresh, 5 * MSS);
    trace_take_all(t, NULL);
}

/* RFC 5681 equation (4): the flight is what was sent, not what the disk has yet to bring. */
TRACE_TEST(ssthresh_without_what_was_only_asked_for)
{
    struct trace_app *app = trace_establish(t, 0);

    app->fill = FILL_LATER;
    app->promise_max = 4 * MSS;
    trace_write(t, app, 1000000);
    trace_answer(t, app);
    assert_int_equal(trace_take_all(t, NULL), 4);
    ADVANCE(t, 201);
    assert_int_equal(info(t).ssthresh, 2 * MSS);
}

/* RFC 6928 2: a SYN-ACK that was sent again once leaves the initial window as it is, */
TRACE_TEST(initial_window_after_one_syn_loss)
{
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 1000);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    trace_write(t, t->app, 100000);
    assert_int_equal(trace_take_all(t, NULL), 10);
}

/* and after more than one it is one segment (RFC 5681 3.1). */
TRACE_TEST(initial_window_after_syn_loss)
{
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 1000);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 2000);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    trace_write(t, t->app, 100000);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
}

/* What the counters say they count: segments, and payload bytes. */
TRACE_TEST(counters_of_segments)
{
    struct trace_app *app = all_ten_out(t);

    ADVANCE(t, 201);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    assert_int_equal(trace_take_all(t, NULL), 3);
    assert_int_equal(STATS(t)->retrans_segs, 3);
    assert_int_equal(STATS(t)->retrans_bytes, 3 * MSS);
    tcp_abort(app->conn, t->now_ns);
    trace_turn(t);
    trace_take_all(t, NULL);
}

TRACE_TEST(counters_of_bytes)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_write(app->conn, 100);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 102);
    assert_int_equal(STATS(t)->bytes_acked, 100); /* a FIN is no payload */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cc_knows_of_sack),
        cmocka_unit_test(cc_on_sent_from_idle),
        cmocka_unit_test(cc_in_recovery_after_timeout),
        cmocka_unit_test(cc_delivered_once),
        cmocka_unit_test(frto_new_bytes_are_lost),
        cmocka_unit_test(duplicates_after_a_second_timeout),
        cmocka_unit_test(frto_window_is_full),
        cmocka_unit_test(rtt_of_handshake),
        cmocka_unit_test(rto_of_a_steady_path),
        cmocka_unit_test(rtt_of_a_timed_segment),
        cmocka_unit_test(rtt_behind_a_hole),
        cmocka_unit_test(rtt_karn),
        cmocka_unit_test(rtt_beside_a_retransmission),
        cmocka_unit_test(rtt_of_a_timestamp),
        cmocka_unit_test(rtt_of_a_forged_timestamp),
        cmocka_unit_test(fast_retransmit),
        cmocka_unit_test(limited_transmit),
        cmocka_unit_test(not_duplicates),
        cmocka_unit_test(no_duplicates_of_nothing),
        cmocka_unit_test(partial_and_full_ack),
        cmocka_unit_test(no_second_fast_retransmit),
        cmocka_unit_test(go_back_n),
        cmocka_unit_test(timeouts_in_a_row),
        cmocka_unit_test(timeout_waits_for_the_disk),
        cmocka_unit_test(slow_start),
        cmocka_unit_test(congestion_avoidance),
        cmocka_unit_test(no_growth_when_the_application_limits),
        cmocka_unit_test(idle_restart),
        cmocka_unit_test(window_of_an_older_segment),
        cmocka_unit_test(window_is_not_exceeded),
        cmocka_unit_test(slow_start_after_timeout),
        cmocka_unit_test(slow_start_ends_at_ssthresh),
        cmocka_unit_test(backoff_stays_without_a_sample),
        cmocka_unit_test(ssthresh_without_limited_transmit),
        cmocka_unit_test(ssthresh_without_what_was_only_asked_for),
        cmocka_unit_test(initial_window_after_one_syn_loss),
        cmocka_unit_test(initial_window_after_syn_loss),
        cmocka_unit_test(counters_of_segments),
        cmocka_unit_test(counters_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

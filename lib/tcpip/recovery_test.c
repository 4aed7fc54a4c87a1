// SPDX-License-Identifier: BSD-2-Clause
/* Loss recovery with a peer that sends SACKs: what goes again, when, and what the window does. */
#include "trace.h"

#define MSS  1448 /* 1460 less the timestamps */
#define RTT  20   /* ms */
#define S(n) (1u + (n)*MSS)

static struct tcp_info info(struct trace *t)
{
    struct tcp_info i;

    tcp_conn_info(t->app->conn, &i);
    return i;
}

/* A connection with SACK, a round trip of 20 ms, and `n` segments out. */
static struct trace_app *out_as(struct trace *t, bool timestamps, uint32_t n, uint64_t bytes)
{
    struct trace_app *app;

    t->sack = true;
    t->ts = timestamps;
    app = trace_establish(t, 0);
    app->conn->mss = MSS;
    app->conn->srtt_us = RTT * 1000;
    trace_cc(app)->cwnd = n * MSS;
    tcp_min_rtt_sample(app->conn->sender, RTT * 1000, t->now_ns);
    trace_write(t, app, bytes);
    assert_int_equal(trace_take_all(t, NULL), n);
    ADVANCE(t, RTT);
    return app;
}

static struct trace_app *out(struct trace *t, uint32_t n, uint64_t bytes)
{
    return out_as(t, true, n, bytes);
}

/* An ACK that echoes the time of what was sent a round trip ago. */
#define SACK(t, ack_, ...)                                                                         \
    SEND(t, .flags = ACK, .seq = 1, .ack = ack_, .has_ts = true, .tsval = ++(t)->ts_base,          \
         .tsecr = tcp_now_ts((t)->app->conn, (t)->now_ns) - RTT, __VA_ARGS__)
#define ECHO(t, ack_)                                                                              \
    SEND(t, .flags = ACK | ECE, .seq = 1, .ack = ack_, .has_ts = true, .tsval = ++(t)->ts_base,    \
         .tsecr = tcp_now_ts((t)->app->conn, (t)->now_ns) - RTT)
#define BLOCKS(...)                                                                                \
    .sacks = {__VA_ARGS__},                                                                        \
    .sack_count = sizeof((struct tcp_sack[]){__VA_ARGS__}) / sizeof(struct tcp_sack)

/* RFC 8985 6.2: three segments are SACKed and no reordering was ever seen: the first is lost. */
TRACE_TEST(three_sacked_segments)
{
    out(t, 10, 10 * MSS);
    SACK(t, 1, BLOCKS({S(1), S(2)}));
    SACK(t, 1, BLOCKS({S(1), S(3)}));
    EXPECT_NOTHING(t);
    SACK(t, 1, BLOCKS({S(1), S(4)}));
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    assert_int_equal(info(t).sacked, 3 * MSS);
    ADVANCE(t, RTT);
    SACK(t, S(10));
    assert_string_equal(info(t).recovery, "none");
    assert_int_equal(info(t).cwnd, info(t).ssthresh);
    assert_int_equal(STATS(t)->retrans_segs, 1);
}

/* RFC 6675 5: several holes are mended in one round trip, and nothing that has arrived goes again.
 */
TRACE_TEST(several_holes)
{
    out(t, 12, 12 * MSS);
    SACK(t, 1, BLOCKS({S(1), S(2)}, {S(3), S(4)}, {S(5), S(12)}));
    EXPECT(t, .flags = ACK, .seq = S(0), .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = S(2), .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = S(4), .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    ADVANCE(t, RTT);
    SACK(t, S(12));
    assert_int_equal(STATS(t)->retrans_bytes, 3 * MSS);
    assert_int_equal(STATS(t)->rto_fired, 0);
}

/* RFC 8985 6.2 step 5: fewer than three, and a quarter of a round trip to wait: then it is lost. */
TRACE_TEST(reordering_window)
{
    out(t, 10, 10 * MSS);
    SACK(t, 1, BLOCKS({S(1), S(2)}));
    ADVANCE(t, RTT / 4 - 1);
    EXPECT_NOTHING(t);
    ADVANCE(t, 3);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->reorder_timeouts, 1);
    SACK(t, S(10));
}

/* What was only late is not sent again, and from then on more patience is shown. */
TRACE_TEST(reordering)
{
    struct trace_app *app = out(t, 10, 10 * MSS);

    SACK(t, 1, BLOCKS({S(1), S(3)}));
    SACK(t, S(3));
    assert_true(app->conn->sender->reordering_seen);
    SACK(t, S(3), BLOCKS({S(4), S(8)})); /* more than three: but reordering is known of */
    EXPECT_NOTHING(t);
    SACK(t, S(10));
    assert_int_equal(STATS(t)->retrans_segs, 0);
}

/* An ACK was lost, the next one tells of two blocks at once, the newer first: no reordering. */
TRACE_TEST(blocks_newest_first)
{
    out(t, 12, 12 * MSS);
    SACK(t, 1, BLOCKS({S(8), S(10)}, {S(4), S(6)}));
    assert_false(info(t).reordering);
    trace_take_all(t, NULL);
    SACK(t, S(12));
}

/* A retransmission that is lost, too, is found by time, without a timeout (RFC 8985 3.1). */
TRACE_TEST(lost_retransmission)
{
    out(t, 10, 100 * MSS);
    SACK(t, 1, BLOCKS({S(1), S(5)}));
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    trace_take_all(t, NULL);
    SACK(t, 1, BLOCKS({S(1), S(10)}));
    ADVANCE(t, RTT);
    assert_true(trace_take_all(t, NULL) > 0); /* new ones, sent after the retransmission */
    ADVANCE(t, RTT);
    SACK(t, 1, BLOCKS({S(1), S(12)}));
    ADVANCE(t, RTT);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->rto_fired, 0);
    trace_take_all(t, NULL);
}

/* RFC 8985 7.3: the last segment was lost; two round trips later it goes again, and RFC 6937's
 * reduction follows when that is acknowledged (7.4). */
TRACE_TEST(tail_loss_probe)
{
    struct trace_app *app = out(t, 10, 10 * MSS);
    uint32_t cwnd;

    SACK(t, S(8));
    cwnd = info(t).cwnd;
    ADVANCE(t, 2 * RTT + 2);
    EXPECT(t, .flags = ACK, .seq = S(9), .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->tlp_probes, 1);
    ADVANCE(t, RTT);
    SACK(t, S(10));
    assert_int_equal(STATS(t)->tlp_recoveries, 0); /* a D-SACK might follow */
    trace_write(t, app, MSS);
    EXPECT(t, .flags = ACK, .seq = S(10), .ack = 1, .len = MSS);
    SACK(t, S(11));
    assert_int_equal(STATS(t)->tlp_recoveries, 1);
    assert_true(info(t).cwnd < cwnd);
    assert_int_equal(STATS(t)->rto_fired, 0);
}

/* RFC 3522 again: the original was only late, the probe not needed, and nothing lost. */
TRACE_TEST(probe_of_what_was_late)
{
    uint32_t cwnd;

    out(t, 10, 10 * MSS);
    SACK(t, S(8));
    cwnd = info(t).cwnd;
    ADVANCE(t, 2 * RTT + 2);
    EXPECT(t, .flags = ACK, .seq = S(9), .ack = 1, .len = MSS);
    SACK(t, S(10));
    assert_int_equal(STATS(t)->tlp_recoveries, 0);
    assert_true(info(t).cwnd >= cwnd);
}

/* Nor if that is known before the disk has read the probe, which is then not sent at all; what is
 * sent and acknowledged meanwhile is no answer to it. */
TRACE_TEST(probe_that_was_still_read)
{
    struct trace_app *app = out_as(t, false, 10, 10 * MSS);
    uint32_t cwnd;

    SEND(t, .flags = ACK, .seq = 1, .ack = S(8));
    cwnd = info(t).cwnd;
    app->fill = FILL_LATER;
    ADVANCE(t, 2 * RTT + 2);
    assert_int_equal(STATS(t)->tlp_probes, 1);
    assert_int_equal(app->promise_count, 1);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = S(10));
    trace_answer(t, app);
    EXPECT_NOTHING(t);
    trace_write(t, app, MSS);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = S(10), .ack = 1, .len = MSS);
    ADVANCE(t, RTT);
    SEND(t, .flags = ACK, .seq = 1, .ack = S(11));
    assert_int_equal(STATS(t)->tlp_recoveries, 0);
    assert_true(info(t).cwnd >= cwnd);
}

/* The segment before it waits for its delayed ACK when the probe comes: that is the one whose time
 * is echoed (RFC 7323 4.3), and says nothing about the last one, which was lost. */
TRACE_TEST(probe_behind_a_delayed_ack)
{
    struct trace_app *app = out(t, 10, 10 * MSS);
    uint32_t cwnd;

    SACK(t, S(8));
    cwnd = info(t).cwnd;
    ADVANCE(t, 2 * RTT + 2);
    EXPECT(t, .flags = ACK, .seq = S(9), .ack = 1, .len = MSS);
    SACK(t, S(10)); /* with the time of S(8) */
    trace_write(t, app, MSS);
    EXPECT(t, .flags = ACK, .seq = S(10), .ack = 1, .len = MSS);
    ADVANCE(t, RTT);
    SACK(t, S(11));
    assert_int_equal(STATS(t)->tlp_recoveries, 1);
    assert_true(info(t).cwnd < cwnd);
}

/* New bytes that the disk is reading are the probe: the last segment is not read again for it. */
TRACE_TEST(probe_with_bytes_that_are_read)
{
    struct trace_app *app = out(t, 10, 12 * MSS);

    app->fill = FILL_LATER;
    SACK(t, S(7));
    trace_turn(t);
    assert_int_equal(app->promise_count, 1);
    ADVANCE(t, 2 * RTT + 2);
    assert_int_equal(STATS(t)->tlp_probes, 1);
    assert_int_equal(app->promise_count, 1);
    trace_answer(t, app);
    assert_int_equal(trace_take_all(t, NULL), 2);
    assert_int_equal(STATS(t)->retrans_segs, 0);
}

/* 7.3 again: where there are new bytes, they are the probe, whatever the window says. */
TRACE_TEST(probe_with_new_bytes)
{
    out(t, 10, 100 * MSS);
    ADVANCE(t, RTT + 3);
    EXPECT(t, .flags = ACK, .seq = S(10), .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->tlp_probes, 1);
    assert_int_equal(STATS(t)->retrans_segs, 0);
}

/* 7.2: where two round trips are longer than the timeout, the probe takes its place. */
TRACE_TEST(probe_instead_of_timeout)
{
    struct trace_app *app = out(t, 1, MSS);

    SACK(t, S(1));
    app->conn->srtt_us = 1000 * 1000;
    app->conn->rto_us = 1200 * 1000;
    trace_write(t, app, 2 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 2);
    ADVANCE(t, 1199);
    EXPECT_NOTHING(t);
    ADVANCE(t, 2);
    EXPECT(t, .flags = ACK, .seq = S(2), .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->rto_fired, 0);
    SACK(t, S(3));
}

/* RFC 3522: the ACK of the original, late, undoes the reduction and stops further retransmissions.
 */
TRACE_TEST(spurious_timeout)
{
    uint32_t cwnd;

    out(t, 10, 10 * MSS);
    cwnd = info(t).cwnd;
    ADVANCE(t, 1000);
    assert_true(STATS(t)->rto_fired > 0);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = S(5), .has_ts = true, .tsval = ++t->ts_base,
         .tsecr = tcp_now_ts(t->app->conn, t->now_ns) - 1000 - RTT);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->spurious_rtos, 1);
    assert_true(info(t).cwnd >= cwnd);
    assert_string_equal(info(t).recovery, "none");
}

/* RFC 3708: every segment sent again came twice. */
TRACE_TEST(undone_by_dsack)
{
    uint32_t cwnd;

    out(t, 10, 10 * MSS);
    cwnd = info(t).cwnd;
    SACK(t, 1, BLOCKS({S(1), S(4)}));
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SACK(t, S(4), BLOCKS({S(0), S(1)}));
    assert_int_equal(STATS(t)->dsacks_in, 1);
    assert_int_equal(STATS(t)->spurious_recoveries, 1);
    assert_true(info(t).cwnd >= cwnd);
}

/* RFC 2018 8: what was SACKed and is missing after all goes again. */
TRACE_TEST(reneging)
{
    out(t, 10, 10 * MSS);
    SACK(t, 1, BLOCKS({S(1), S(10)}));
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SACK(t, S(1)); /* and nothing else any more */
    ADVANCE(t, 2000);
    assert_true(trace_take_all(t, NULL) > 0);
    for (uint32_t n = 2; n <= 10; n++) {
        SACK(t, S(n));
        trace_take_all(t, NULL);
    }
    assert_int_equal(info(t).in_flight, 0);
    assert_int_equal(info(t).acked, 10 * MSS);
}

/* Blocks that cannot be: beyond what is out, backwards, far below. */
TRACE_TEST(impossible_blocks)
{
    out(t, 10, 10 * MSS);
    SACK(t, 1, BLOCKS({S(20), S(30)}, {S(5), S(4)}, {S(3), S(3)}));
    assert_int_equal(STATS(t)->sack_ignored, 3);
    assert_int_equal(info(t).sacked, 0);
    EXPECT_NOTHING(t);
}

/* Every other byte: no more ranges than may be, and still all is acknowledged in the end. */
TRACE_TEST(a_thousand_splinters)
{
    struct trace_app *app = out(t, 10, 10 * MSS);

    for (uint32_t n = 1; n < 10 * MSS - 4; n += 2)
        SACK(t, 1, BLOCKS({1 + n, 2 + n}));
    assert_true(app->conn->sender->range_count <= TCP_RANGES_MAX);
    assert_true(STATS(t)->sack_ignored > 0);
    trace_take_all(t, NULL);
    SACK(t, S(10));
    assert_int_equal(info(t).in_flight, 0);
    assert_int_equal(app->conn->sender->range_count, 0);
}

static void few_ranges(struct trace *t, struct tcp_config *config)
{
    config->ranges_max = 64;
}

/* And they are not all of the ranges that there are: who comes later is believed as well. */
TRACE_TEST_WITH(splinters_leave_some_for_others, .configure = few_ranges)
{
    struct trace_app *app = out(t, 10, 10 * MSS), *other;

    for (uint32_t n = 1; n < 1000; n += 2)
        SACK(t, 1, BLOCKS({1 + n, 2 + n}));
    assert_true(STATS(t)->sack_ignored > 0);
    trace_take_all(t, NULL);
    other = trace_establish(t, 1);
    trace_write(t, other, 10 * MSS);
    assert_true(trace_take_all(t, NULL) > 0);
    for (uint32_t n = 1; n < 9; n += 2)
        SEND(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1, .has_ts = true, .tsval = ++t->ts_base,
             .tsecr = tcp_now_ts(other->conn, t->now_ns), BLOCKS({S(n), S(n + 1)}));
    assert_int_equal(other->conn->sender->sacked_bytes, 4 * MSS);
    trace_take_all(t, NULL);
    SACK(t, S(10));
    tcp_abort(app->conn, t->now_ns);
    tcp_abort(other->conn, t->now_ns);
    trace_turn(t);
    trace_take_all(t, NULL);
}

/* RFC 6937: over the round trip, one segment goes for every 1 / beta that arrive. */
TRACE_TEST(proportional_rate_reduction)
{
    uint32_t sent = 0;

    out(t, 20, 1000 * MSS);
    for (uint32_t n = 2; n <= 20; n++) {
        SACK(t, 1, BLOCKS({S(1), S(n)}));
        sent += trace_take_all(t, NULL);
    }
    assert_int_equal(info(t).ssthresh, 10 * MSS);
    assert_in_range(sent, 9, 11); /* limited transmit's two, the retransmission, and half of them */
    assert_in_range(info(t).in_flight, 9 * MSS, 11 * MSS);
    ADVANCE(t, RTT);
    trace_take_all(t, NULL);
}

/* RFC 6675 5: what was sent in recovery, and lost, is another loss: the window is reduced again,
 * when the first one is mended. */
TRACE_TEST(loss_in_recovery)
{
    uint32_t end;

    out(t, 20, 1000 * MSS);
    SACK(t, 1, BLOCKS({S(1), S(20)}));
    assert_true(trace_take_all(t, NULL) >= 4); /* the first again, and new ones */
    end = 1 + (uint32_t)info(t).sent;
    ADVANCE(t, RTT);
    SACK(t, 1, BLOCKS({S(21), end}, {S(1), S(20)}));
    assert_true(trace_take_all(t, NULL) >= 2); /* both again */
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    assert_int_equal(info(t).ssthresh, 10 * MSS);
    ADVANCE(t, RTT);
    SACK(t, end);
    assert_int_equal(STATS(t)->fast_recoveries, 2);
    assert_true(info(t).ssthresh < 10 * MSS);
    trace_take_all(t, NULL);
}

/* A delay of everything is no reordering: three SACKs stay enough afterwards. */
TRACE_TEST(spurious_timeout_is_no_reordering)
{
    out(t, 10, 10 * MSS);
    ADVANCE(t, 1000);
    trace_take_all(t, NULL);
    SEND(t, .flags = ACK, .seq = 1, .ack = S(5), .has_ts = true, .tsval = ++t->ts_base,
         .tsecr = tcp_now_ts(t->app->conn, t->now_ns) - 1000 - RTT);
    assert_int_equal(STATS(t)->spurious_rtos, 1);
    assert_false(info(t).reordering);
    SACK(t, S(10));
}

/* RFC 3168 6.1.2: a loss is told with CWR, too, and the echo until then asks for no more. */
TRACE_TEST(echo_after_loss)
{
    struct trace_app *app = out(t, 20, 1000 * MSS);
    struct trace_seg again, new;

    app->conn->flags |= CONN_ECN;
    SACK(t, 1, BLOCKS({S(1), S(12)}));
    again = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    new = EXPECT(t, .flags = ACK | CWR, .seq = S(20), .ack = 1, .len = MSS);
    assert_true(again.len == new.len);
    trace_take_all(t, NULL);
    ADVANCE(t, RTT);
    ECHO(t, S(20));
    trace_take_all(t, NULL);
    assert_int_equal(STATS(t)->ecn_reductions, 0);
    assert_int_equal(info(t).ssthresh, 10 * MSS);
}

/* And an echo before the loss has had its answer. */
TRACE_TEST(loss_after_echo)
{
    struct trace_app *app = out(t, 20, 20 * MSS);
    uint32_t ssthresh;

    app->conn->flags |= CONN_ECN;
    ECHO(t, S(1));
    assert_int_equal(STATS(t)->ecn_reductions, 1);
    ssthresh = info(t).ssthresh;
    assert_int_equal(ssthresh, 16 * MSS);
    SACK(t, S(1), BLOCKS({S(2), S(12)}));
    EXPECT(t, .flags = ACK, .seq = S(1), .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    assert_int_equal(info(t).ssthresh, ssthresh);
    SACK(t, S(20));
}

/* ACKs that arrive together: of a full window all make it grow, however late in the turn they come.
 */
TRACE_TEST(acks_in_one_turn)
{
    struct trace_app *app = out(t, 40, 1000 * MSS);

    t->hold = true;
    for (uint32_t n = 1; n <= 40; n++)
        SACK(t, S(n));
    t->hold = false;
    trace_turn(t);
    assert_int_equal(trace_cc(app)->cwnd, 80 * MSS);
    trace_take_all(t, NULL);
}

/* And a loss that the last of them tells of halves what was in flight before they came. */
TRACE_TEST(loss_after_acks_in_one_turn)
{
    out(t, 40, 40 * MSS);
    t->hold = true;
    for (uint32_t n = 1; n <= 30; n++)
        SACK(t, S(n));
    SACK(t, S(30), BLOCKS({S(31), S(40)}));
    t->hold = false;
    trace_turn(t);
    trace_take_all(t, NULL);
    assert_int_equal(STATS(t)->fast_recoveries, 1);
    assert_in_range(info(t).ssthresh, 19 * MSS, 21 * MSS);
    SACK(t, S(40));
}

/* With pacing, a window of 40 segments, of which 9 are out, does not leave in one burst. */
TRACE_TEST_WITH(paced, .pacing = true)
{
    struct trace_app *app = out(t, 10, 10000 * MSS);
    uint32_t first, rest = 0;

    trace_cc(app)->cwnd = 40 * MSS;
    SACK(t, S(1));
    first = trace_take_all(t, NULL);
    assert_in_range(first, 2, 15);
    for (int ms = 0; ms < RTT; ms++) {
        ADVANCE(t, 1);
        rest += trace_take_all(t, NULL);
    }
    assert_in_range(first + rest, 28, 33);
    assert_true(STATS(t)->paced > 1);
}

/* What goes at once with a window of so many segments, over a path of a tenth of a second. */
static uint32_t burst_of(struct trace *t, uint32_t segments)
{
    struct trace_app *app;

    t->wscale = true;
    app = out(t, 10, 10000 * MSS);
    app->conn->srtt_us = 100000;
    trace_cc(app)->cwnd = trace_cc(app)->ssthresh = segments * MSS;
    SACK(t, S(1));
    return trace_take_all(t, NULL);
}

/* The larger the window, the larger the frames: a tenth of what is on its way in a round trip. */
TRACE_TEST_WITH(paced_by_frames, .pacing = true)
{
    assert_in_range(burst_of(t, 300), 34, 38);
}

/* But no more than a frame holds. */
TRACE_TEST_WITH(paced_by_full_frames, .pacing = true)
{
    assert_in_range(burst_of(t, 700), 44, 46);
}

/* tcp_set_rate: 1 MB/s over a tenth of a second. */
TRACE_TEST(rate_cap)
{
    struct trace_app *app = out(t, 10, 10000 * MSS);
    uint64_t bytes = 0;

    tcp_set_rate(app->conn, 1000000);
    trace_cc(app)->cwnd = 1000 * MSS;
    for (int ms = 0; ms < 100; ms++) {
        uint64_t more;

        ADVANCE(t, 1);
        SACK(t, 1 + (uint32_t)info(t).sent);
        trace_take_all(t, &more);
        bytes += more;
    }
    assert_in_range(bytes, 90000, 125000);
}

/* A sender that is paced slowly finds out in time that nobody listens any more. */
TRACE_TEST(probe_of_a_slow_sender)
{
    struct trace_app *app;

    t->wscale = true; /* a window for more than a second of it */
    app = out(t, 10, 10000 * MSS);
    tcp_set_rate(app->conn, 1000000);
    trace_cc(app)->cwnd = 1000 * MSS;
    SACK(t, S(10));
    ADVANCE(t, 1000);
    assert_int_equal(STATS(t)->tlp_probes, 1);
    assert_true(STATS(t)->rto_fired > 0);
    trace_take_all(t, NULL);
}

/* While the first goes again, the reordering window of another runs out. */
TRACE_TEST(reordering_window_and_resending)
{
    struct trace_app *app = out(t, 10, 10 * MSS);

    app->conn->sender->reordering_seen = true;
    trace_cc(app)->cwnd = 40 * MSS;
    trace_write(t, app, 10 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 10);
    ADVANCE(t, 15);
    SACK(t, 1, BLOCKS({S(1), S(10)}, {S(11), S(20)}));
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    ADVANCE(t, 10);
    EXPECT(t, .flags = ACK, .seq = S(10), .ack = 1, .len = MSS);
    SACK(t, S(20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_sacked_segments),
        cmocka_unit_test(several_holes),
        cmocka_unit_test(reordering_window),
        cmocka_unit_test(reordering),
        cmocka_unit_test(blocks_newest_first),
        cmocka_unit_test(lost_retransmission),
        cmocka_unit_test(tail_loss_probe),
        cmocka_unit_test(probe_of_what_was_late),
        cmocka_unit_test(probe_that_was_still_read),
        cmocka_unit_test(probe_behind_a_delayed_ack),
        cmocka_unit_test(probe_with_bytes_that_are_read),
        cmocka_unit_test(probe_with_new_bytes),
        cmocka_unit_test(probe_instead_of_timeout),
        cmocka_unit_test(spurious_timeout),
        cmocka_unit_test(undone_by_dsack),
        cmocka_unit_test(reneging),
        cmocka_unit_test(impossible_blocks),
        cmocka_unit_test(a_thousand_splinters),
        cmocka_unit_test(splinters_leave_some_for_others),
        cmocka_unit_test(proportional_rate_reduction),
        cmocka_unit_test(loss_in_recovery),
        cmocka_unit_test(spurious_timeout_is_no_reordering),
        cmocka_unit_test(echo_after_loss),
        cmocka_unit_test(loss_after_echo),
        cmocka_unit_test(acks_in_one_turn),
        cmocka_unit_test(loss_after_acks_in_one_turn),
        cmocka_unit_test(paced),
        cmocka_unit_test(paced_by_frames),
        cmocka_unit_test(paced_by_full_frames),
        cmocka_unit_test(rate_cap),
        cmocka_unit_test(probe_of_a_slow_sender),
        cmocka_unit_test(reordering_window_and_resending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

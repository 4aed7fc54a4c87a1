// SPDX-License-Identifier: BSD-2-Clause
/*
 * What happens when nothing arrives (RFC 6298, RFC 9293 3.8.3 to 3.8.6).
 */
#include "trace.h"

#define MSS 1460

/* --- SYNs ------------------------------------------------------------------------------------- */

/* RFC 6298 2.1, 5.5: 1 s, doubled; a stranger gets a minute. */
TRACE_TEST(syn_ack_lost)
{
    static const uint32_t s[] = {1, 2, 4, 8, 16};

    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    for (size_t i = 0; i < array_len(s); i++) {
        ADVANCE(t, s[i] * 1000 - 1);
        EXPECT_NOTHING(t);
        ADVANCE(t, 1);
        EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 1);
    }
    ADVANCE(t, 32000);
    EXPECT_NOTHING(t);
    assert_null(tcp_conn_next(t->tcp, NULL));
    assert_int_equal(STATS(t)->timeouts, 1);
    assert_int_equal(STATS(t)->syn_retrans, 5);
}

/* RFC 9293 3.8.3: three minutes for a connection of ours. */
TRACE_TEST(syn_lost)
{
    trace_connect(t);
    ADVANCE(t, 182000);
    assert_int_equal(trace_take_all(t, NULL), 1 + TCP_SYN_RETRIES);
    EXPECT_STATE(t->app, TCP_SYN_SENT);
    ADVANCE(t, 2000);
    assert_int_equal(t->app->why, TCP_END_TIMEOUT);
    EXPECT_NOTHING(t);
}

/* RFC 6298 5.7: after a lost SYN the RTO begins at 3 s. */
TRACE_TEST(rto_after_syn_loss)
{
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 1000);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    trace_write(t, t->app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 2999);
    EXPECT_NOTHING(t);
    ADVANCE(t, 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
}

/* --- retransmission --------------------------------------------------------------------------- */

/* RFC 6298 2.4: a minimum, here of 200 ms; 2.5: at most 60 s. */
TRACE_TEST(rto_bounds)
{
    struct trace_app *app = trace_establish(t, 0);
    struct trace_seg last = {0}, got;

    assert_int_equal(app->conn->rto_us, 1 + TCP_RTO_MARGIN_US);
    t->tcp->config.user_timeout_ns = 1000 * NS_PER_S;
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 199);
    EXPECT_NOTHING(t);
    ADVANCE(t, 400 * 1000);
    while (t->queue_count) {
        got = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
        assert_true(!last.at_ns || got.at_ns - last.at_ns <= 60 * NS_PER_S);
        assert_true(t->queue_count || got.at_ns - last.at_ns == 60 * NS_PER_S);
        last = got;
    }
}

/* RFC 6298 5.3: each ACK of new data starts the timer anew; 5.2: the last one stops it. */
TRACE_TEST(rto_restarts)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 3 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 3);
    ADVANCE(t, 150);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    ADVANCE(t, 150);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    ADVANCE(t, 150);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 3 * MSS);
    assert_int_equal(tcp_next_ns(t->tcp) == t->now_ns, false);
    ADVANCE(t, 100000);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->rto_fired, 0);
}

/* RFC 9293 3.8.3, R2: 100 s without an acknowledgment of anything. */
TRACE_TEST(user_timeout)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 100);
    ADVANCE(t, 99000);
    assert_int_equal(app->closed, 0);
    ADVANCE(t, 60000);
    assert_int_equal(app->why, TCP_END_TIMEOUT);
    trace_take_all(t, NULL);
}

TRACE_TEST(user_timeout_of_fin)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    tcp_close(app->conn);
    trace_turn(t);
    ADVANCE(t, 170000);
    assert_int_equal(app->why, TCP_END_TIMEOUT);
    trace_take_all(t, NULL);
}

/* --- windows ---------------------------------------------------------------------------------- */

/* RFC 9293 3.8.6.1: one byte, again and again, with growing distances, as long as it is answered.
 */
TRACE_TEST(zero_window_probe)
{
    struct trace_app *app = trace_establish(t, 0);
    struct trace_seg probe;
    uint64_t last = t->now_ns, gap = 0;

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .zero_win = true);
    trace_write(t, app, 5000);
    EXPECT_NOTHING(t);
    for (int i = 0; i < 12; i++) {
        while (t->queue_count == 0)
            ADVANCE(t, 10);
        probe = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1);
        assert_true(probe.at_ns - last >= gap);
        gap = min_u64(probe.at_ns - last, 60 * NS_PER_S - 10 * NS_PER_MS);
        last = probe.at_ns;
        SEND(t, .flags = ACK, .seq = 1, .ack = 1, .zero_win = true);
    }
    assert_true(gap > 30 * NS_PER_S);
    assert_int_equal(app->closed, 0); /* MUST-37 */
    assert_int_equal(STATS(t)->zero_window_probes, 12);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1); /* it opens: at once, from the probe's byte on */
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 1, .len = MSS);
    assert_int_equal(trace_take_all(t, NULL), 3);
}

/* A peer that takes the probe's byte although it said no. */
TRACE_TEST(zero_window_probe_taken)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .zero_win = true);
    trace_write(t, app, 5000);
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2, .zero_win = true);
    ADVANCE(t, 1000);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 1, .len = 1);
    trace_take_all(t, NULL);
}

TRACE_TEST(zero_window_probe_unanswered)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .zero_win = true);
    trace_write(t, app, 5000);
    ADVANCE(t, 200000);
    assert_int_equal(app->why, TCP_END_TIMEOUT);
    trace_take_all(t, NULL);
}

/* A FIN is its own probe, and goes through when the window opens. */
TRACE_TEST(fin_with_zero_window)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .zero_win = true);
    tcp_close(app->conn);
    trace_turn(t);
    ADVANCE(t, 1000);
    assert_true(trace_take_all(t, NULL) > 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
}

/* 3.8.6.2.1: less than half of the largest window and less than a segment waits, but not for ever.
 */
TRACE_TEST(silly_window_override)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 500);
    trace_write(t, app, 5000);
    ADVANCE(t, 199);
    EXPECT_NOTHING(t);
    ADVANCE(t, 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 500);
}

/* A small buffer's whole window is not silly. */
TRACE_TEST(half_of_a_small_window)
{
    struct trace_app *app;

    t->win = 800;
    app = trace_establish(t, 0);
    trace_write(t, app, 5000);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 800);
    SEND(t, .flags = ACK, .seq = 1, .ack = 801, .win = 400);
    EXPECT(t, .flags = ACK, .seq = 801, .ack = 1, .len = 400);
}

/* --- idle connections ------------------------------------------------------------------------- */

/* 3.8.4: an old sequence number, no data; nine of them. */
TRACE_TEST_WITH(keepalive, .keepalive_ns = 100 * NS_PER_S)
{
    struct trace_app *app = trace_establish(t, 0);

    ADVANCE(t, 99999);
    EXPECT_NOTHING(t);
    ADVANCE(t, 1);
    EXPECT(t, .flags = ACK, .seq = 0, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1); /* the answer */
    ADVANCE(t, 99999);
    EXPECT_NOTHING(t);
    ADVANCE(t, 1);
    EXPECT(t, .flags = ACK, .seq = 0, .ack = 1);
    for (int i = 1; i < TCP_KEEPALIVE_PROBES; i++) {
        ADVANCE(t, 75000);
        EXPECT(t, .flags = ACK, .seq = 0, .ack = 1);
    }
    ADVANCE(t, 75000);
    EXPECT_NOTHING(t);
    assert_int_equal(app->why, TCP_END_TIMEOUT);
    assert_int_equal(STATS(t)->keepalive_probes, 1 + TCP_KEEPALIVE_PROBES);
}

TRACE_TEST(no_keepalive)
{
    trace_establish(t, 0);
    ADVANCE(t, 86400u * 1000);
    EXPECT_NOTHING(t);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
}

/* The peer's own keepalive is answered, and says that it is there. */
TRACE_TEST(keepalive_of_the_peer)
{
    trace_establish(t, 0);
    SEND(t, .flags = ACK, .seq = 0, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 0, .ack = 1, .len = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
}

/* A peer that never closes; what it sends puts the end off. */
TRACE_TEST(fin_wait_2)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    ADVANCE(t, 50000);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2, .len = 10);
    ADVANCE(t, 59000);
    assert_int_equal(app->closed, 0);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 11);
    ADVANCE(t, 1500);
    assert_int_equal(app->why, TCP_END_TIMEOUT);
    SEND(t, .flags = ACK, .seq = 11, .ack = 2);
    EXPECT(t, .flags = RST, .seq = 2);
}

/* The user timeout counts from when there was something to say, not from the last ACK. */
TRACE_TEST(zero_window_after_idleness)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .zero_win = true);
    ADVANCE(t, 300000);
    trace_write(t, app, 5000);
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1);
    assert_int_equal(app->closed, 0);
}

TRACE_TEST(silly_window_after_idleness)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 500);
    ADVANCE(t, 300000);
    trace_write(t, app, 5000);
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syn_ack_lost),
        cmocka_unit_test(syn_lost),
        cmocka_unit_test(rto_after_syn_loss),
        cmocka_unit_test(rto_bounds),
        cmocka_unit_test(rto_restarts),
        cmocka_unit_test(user_timeout),
        cmocka_unit_test(user_timeout_of_fin),
        cmocka_unit_test(zero_window_probe),
        cmocka_unit_test(zero_window_probe_taken),
        cmocka_unit_test(zero_window_probe_unanswered),
        cmocka_unit_test(fin_with_zero_window),
        cmocka_unit_test(silly_window_override),
        cmocka_unit_test(half_of_a_small_window),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(no_keepalive),
        cmocka_unit_test(keepalive_of_the_peer),
        cmocka_unit_test(fin_wait_2),
        cmocka_unit_test(zero_window_after_idleness),
        cmocka_unit_test(silly_window_after_idleness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

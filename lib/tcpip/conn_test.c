// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a connection: every state of RFC 9293 figure 5 is reached and left.
 */
#include "trace.h"

#define TIME_WAIT_MS 60000

/* --- opening ---------------------------------------------------------------------------------- */

/* 3.5, figure 6. */
TRACE_TEST(passive_open)
{
    SEND(t, .flags = SYN, .mss = 1460);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_SYN_RECEIVED], 1);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 1, .win = 32768, .mss = 1460);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->accepted, 1);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
    assert_int_equal(STATS(t)->passive_opens, 1);
    EXPECT_NOTHING(t);
}

/* 3.5, figure 6, from the other side. */
TRACE_TEST(active_open)
{
    struct trace_seg syn;

    trace_connect(t);
    EXPECT_STATE(t->app, TCP_SYN_SENT);
    syn = EXPECT(t, .flags = SYN, .mss = 1460);
    assert_true(syn.has_ts && syn.has_wscale);
    SEND(t, .flags = SYN | ACK, .ack = 1, .mss = 1460);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->connected, 1);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
    assert_int_equal(STATS(t)->active_opens, 1);
}

/* 3.5, figure 7: SYNs cross. */
TRACE_TEST(simultaneous_open)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 1);
    EXPECT_STATE(t->app, TCP_SYN_RECEIVED);
    SEND(t, .flags = SYN | ACK, .seq = 0, .ack = 1, .mss = 1460);
    assert_int_equal(t->app->connected, 1);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
    trace_take_all(t, NULL); /* an ACK is allowed here */
}

/* The same when the peer's SYN-ACK was lost and a plain ACK is the first that comes. */
TRACE_TEST(simultaneous_open_ack)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
    EXPECT_NOTHING(t);
}

/* 3.10.7.4 eighth: data and FIN may come with the ACK of our SYN. */
TRACE_TEST(data_and_fin_with_the_handshakes_ack)
{
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 10);
    assert_int_equal(t->app->received, 10);
    assert_int_equal(t->app->recv_ends, 1);
    EXPECT_STATE(t->app, TCP_CLOSE_WAIT);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 12);
}

/* The peer's SYN again: our SYN-ACK was lost. */
TRACE_TEST(syn_again_in_syn_received)
{
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 100);
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 1);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_SYN_RECEIVED], 1);
}

/* An application that does not want the connection. */
TRACE_TEST(accept_refuses)
{
    t->app->refuse = true;
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->closed, 0); /* it never had it */
    assert_null(tcp_conn_next(t->tcp, NULL));
}

TRACE_TEST(accept_aborts)
{
    t->app->abort_when = IN_ACCEPT;
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 5);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

TRACE_TEST(connected_aborts)
{
    t->app->abort_when = IN_CONNECTED;
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = SYN | ACK, .ack = 1);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->why, TCP_END_ABORTED);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* RFC 9293 3.10.4 and figure 5: CLOSE before anything was sent, FIN right after the handshake. */
TRACE_TEST(close_in_accept)
{
    t->app->close_when = IN_ACCEPT;
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT_STATE(t->app, TCP_FIN_WAIT_1);
    trace_ack_all(t);
    EXPECT_STATE(t->app, TCP_FIN_WAIT_2);
}

TRACE_TEST_WITH(no_connection_left, .conns_max = 1)
{
    trace_establish(t, 0);
    SEND(t, .flags = SYN, .port = 1);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->drop_conns_full, 1);
}

/* --- closing ---------------------------------------------------------------------------------- */

/* 3.6, figure 12, we first. */
TRACE_TEST(we_close_first)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT_STATE(app, TCP_FIN_WAIT_1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    assert_int_equal(app->recv_ends, 1);
    assert_int_equal(app->closed, 1);
    assert_int_equal(app->why, TCP_END_DONE);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    ADVANCE(t, TIME_WAIT_MS - 1);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    ADVANCE(t, 2);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 0);
}

/* Figure 12, the peer first: CLOSE-WAIT, LAST-ACK. */
TRACE_TEST(peer_closes_first)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2);
    EXPECT_STATE(app, TCP_CLOSE_WAIT);
    assert_int_equal(app->recv_ends, 1);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    EXPECT_STATE(app, TCP_LAST_ACK);
    SEND(t, .flags = ACK, .seq = 2, .ack = 2);
    assert_int_equal(app->why, TCP_END_DONE);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* Figure 13: FINs cross. */
TRACE_TEST(simultaneous_close)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    EXPECT_STATE(app, TCP_CLOSING);
    SEND(t, .flags = ACK, .seq = 2, .ack = 2);
    assert_int_equal(app->why, TCP_END_DONE);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
}

/* FIN-WAIT-1 to TIME-WAIT in one step: the peer's FIN acknowledges ours. */
TRACE_TEST(fin_and_ack_of_fin_together)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    assert_int_equal(app->why, TCP_END_DONE);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
}

/* 3.6 case 1: after our FIN the peer may go on sending. */
TRACE_TEST(half_close_ours)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100); /* FIN-WAIT-1 */
    assert_int_equal(app->received, 100);
    SEND(t, .flags = ACK, .seq = 101, .ack = 2, .len = 100); /* FIN-WAIT-2 */
    assert_int_equal(app->received, 200);
    ADVANCE(t, 50);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 201);
}

/* 3.6 case 2: after the peer's FIN we may go on sending. */
TRACE_TEST(half_close_peers)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2);
    trace_write(t, app, 3000);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2, .len = 1460);
    EXPECT(t, .flags = ACK, .seq = 1461, .ack = 2, .len = 1460);
    EXPECT(t, .flags = ACK, .seq = 2921, .ack = 2, .len = 80);
    SEND(t, .flags = ACK, .seq = 2, .ack = 3001);
    assert_int_equal(app->acked, 3000);
    SEND(t, .flags = ACK, .seq = 2, .ack = 3001, .len = 10); /* nothing can follow its FIN */
    assert_int_equal(app->received, 0);
    EXPECT_STATE(app, TCP_CLOSE_WAIT);
    trace_take_all(t, NULL);
}

/* 3.10.7.4, first: a FIN again is outside the window and is acknowledged, in every state. */
TRACE_TEST(fin_again)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2);
    assert_int_equal(app->recv_ends, 1);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    EXPECT_STATE(app, TCP_LAST_ACK);
    assert_int_equal(app->recv_ends, 1);
}

TRACE_TEST(close_twice_is_once)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT_NOTHING(t);
}

/* --- TIME-WAIT -------------------------------------------------------------------------------- */

static void reach_time_wait(struct trace *t, uint16_t port)
{
    struct trace_app *app = trace_establish(t, port);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1, .port = port);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2, .port = port, .has_ts = t->ts,
         .tsval = t->ts_base);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2, .port = port);
    assert_int_equal(app->why, TCP_END_DONE);
}

/* 3.10.7.4, eighth, TIME-WAIT: the FIN again is acknowledged and 2 MSL begin anew. */
TRACE_TEST(time_wait_fin_again)
{
    reach_time_wait(t, 0);
    ADVANCE(t, TIME_WAIT_MS - 1000);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    ADVANCE(t, TIME_WAIT_MS - 1000);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    ADVANCE(t, 1001);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* The order of the list: one that began anew outlives those behind it. */
TRACE_TEST(time_wait_restart_keeps_order)
{
    reach_time_wait(t, 0);
    ADVANCE(t, 10000);
    reach_time_wait(t, 1);
    ADVANCE(t, 10000);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    ADVANCE(t, 51000);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    ADVANCE(t, 10000);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* MAY-2: a SYN that is clearly newer opens the connection anew. */
TRACE_TEST(time_wait_reopened_by_sequence)
{
    reach_time_wait(t, 0);
    SEND(t, .flags = SYN, .seq = 5000);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 5001);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 0);
    SEND(t, .flags = ACK, .seq = 5001, .ack = 1);
    assert_int_equal(t->apps[1].accepted, 1);
}

/* An old duplicate does not. */
TRACE_TEST(time_wait_old_syn)
{
    reach_time_wait(t, 0);
    SEND(t, .flags = SYN, .seq = (uint32_t)-500);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
}

/* RFC 6191 2: with timestamps, the newer timestamp decides, whatever the sequence number. */
TRACE_TEST(time_wait_reopened_by_timestamp)
{
    t->ts = true;
    t->ts_base = 5000;
    reach_time_wait(t, 0);
    SEND(t, .flags = SYN, .seq = (uint32_t)-500, .has_ts = true, .tsval = 4999);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2, .has_ts = true, .tsecr = 5000);
    SEND(t, .flags = SYN, .seq = (uint32_t)-500, .has_ts = true, .tsval = 5001);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = (uint32_t)-499, .has_ts = true, .tsecr = 5001);
}

/* 3.10.7.4, second: an exact RST ends it (RFC 1337's hazard is met by exactness). */
TRACE_TEST(time_wait_reset)
{
    reach_time_wait(t, 0);
    SEND(t, .flags = RST, .seq = 3);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    trace_take_all(t, NULL);
    SEND(t, .flags = RST, .seq = 2);
    EXPECT_NOTHING(t);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* With a limit of its own: the oldest, however many blocks are free. */
TRACE_TEST_WITH(time_wait_limited, .time_wait_max = 2)
{
    for (uint16_t port = 0; port < 3; port++) {
        reach_time_wait(t, port);
        ADVANCE(t, 1000);
    }
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 2);
    assert_int_equal(STATS(t)->time_wait_recycled, 1);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2); /* nobody knows it any more */
    EXPECT(t, .flags = RST, .seq = 2);
    for (uint16_t port = 1; port < 3; port++) {
        SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2, .port = port);
        EXPECT(t, .flags = ACK, .seq = 2, .ack = 2, .port = port);
    }
    ADVANCE(t, TIME_WAIT_MS);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 0);
}

TRACE_TEST_WITH(time_wait_recycled, .conns_max = 2)
{
    reach_time_wait(t, 0);
    reach_time_wait(t, 1);
    SEND(t, .flags = SYN, .port = 2);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 2);
    assert_int_equal(STATS(t)->time_wait_recycled, 1);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    /* It was the oldest. */
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2, .port = 1);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2, .port = 1);
}

/* --- initial sequence numbers ----------------------------------------------------------------- */

static uint32_t isn_of(struct trace *t, uint16_t port)
{
    uint32_t isn;

    SEND(t, .flags = SYN, .port = port);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port);
    isn = t->iss[port];
    SEND(t, .flags = RST, .seq = 1, .port = port);
    return isn;
}

/* RFC 6528 3: a clock of 4 us, and an offset that differs from tuple to tuple. */
TRACE_TEST(isn)
{
    uint32_t a = isn_of(t, 0), b = isn_of(t, 1), c = isn_of(t, 2);

    assert_int_not_equal(a, b);
    assert_int_not_equal(b - a, c - b);
    ADVANCE(t, 4);
    assert_int_equal(isn_of(t, 0), a + 1000);
}

/* MAY-2 (1): the new incarnation's numbers begin beyond the old one's, however much that has sent:
 * the clock of ISNs makes 250 KB/s, we more. */
TRACE_TEST(time_wait_reopened_with_a_larger_isn)
{
    struct trace_app *app = trace_establish(t, 0);
    uint32_t last;

    tcp_write(app->conn, 14600);
    tcp_close(app->conn);
    trace_turn(t);
    assert_int_equal(trace_take_all(t, NULL), 10);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 14602);
    EXPECT(t, .flags = ACK, .seq = 14602, .ack = 2);
    last = t->iss[0] + 14602;
    SEND(t, .flags = SYN, .seq = 5000);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 5001);
    assert_true((int32_t)(t->iss[0] - last) > 0);
    SEND(t, .flags = ACK, .seq = 5001, .ack = 1);
    trace_write(t, &t->apps[1], 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 5001, .len = 100);
}

/* RFC 6191 2: equal timestamps, and the sequence number decides. */
TRACE_TEST(time_wait_reopened_with_the_same_timestamp)
{
    t->ts = true;
    t->ts_base = 5000;
    reach_time_wait(t, 0);
    SEND(t, .flags = SYN, .seq = (uint32_t)-500, .has_ts = true, .tsval = 5000);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    SEND(t, .flags = SYN, .seq = 5000, .has_ts = true, .tsval = 5000);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 5001);
}

/* Figure 7 with everything in one turn: the peer's SYN-ACK comes before ours has left. Its window
 * is not scaled (RFC 7323 2.2), and it is acknowledged, or the peer would wait for its timer. */
TRACE_TEST(simultaneous_open_in_one_turn)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    t->hold = true;
    SEND(t, .flags = SYN, .mss = 1460, .has_wscale = true, .wscale = 7);
    SEND(t, .flags = SYN | ACK, .ack = 1, .mss = 1460, .win = 1000, .has_wscale = true,
         .wscale = 7);
    t->hold = false;
    trace_turn(t);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
    assert_int_equal(t->app->conn->snd_wnd, 1000);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
}

/* RFC 6298 3: a SYN-ACK that was sent twice gives no sample. */
TRACE_TEST(syn_ack_sent_twice_is_not_timed)
{
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 500);
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    ADVANCE(t, 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->conn->srtt_us, 0);
    assert_int_equal(t->app->conn->rto_us, TCP_RTO_INITIAL_US);
}

/* Those that ended in this turn make room for those that begin in it. */
TRACE_TEST_WITH(room_of_the_dead, .conns_max = 1)
{
    trace_establish(t, 0);
    t->hold = true;
    SEND(t, .flags = RST, .seq = 1);
    SEND(t, .flags = SYN, .port = 1);
    t->hold = false;
    trace_turn(t);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 1);
}

TRACE_TEST_WITH(time_wait_reopened_in_a_full_table, .conns_max = 1)
{
    reach_time_wait(t, 0);
    SEND(t, .flags = SYN, .seq = 5000);
    EXPECT(t, .flags = SYN | ACK, .seq = 0, .ack = 5001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passive_open),
        cmocka_unit_test(active_open),
        cmocka_unit_test(simultaneous_open),
        cmocka_unit_test(simultaneous_open_ack),
        cmocka_unit_test(data_and_fin_with_the_handshakes_ack),
        cmocka_unit_test(syn_again_in_syn_received),
        cmocka_unit_test(accept_refuses),
        cmocka_unit_test(accept_aborts),
        cmocka_unit_test(connected_aborts),
        cmocka_unit_test(close_in_accept),
        cmocka_unit_test(no_connection_left),
        cmocka_unit_test(we_close_first),
        cmocka_unit_test(peer_closes_first),
        cmocka_unit_test(simultaneous_close),
        cmocka_unit_test(fin_and_ack_of_fin_together),
        cmocka_unit_test(half_close_ours),
        cmocka_unit_test(half_close_peers),
        cmocka_unit_test(fin_again),
        cmocka_unit_test(close_twice_is_once),
        cmocka_unit_test(time_wait_fin_again),
        cmocka_unit_test(time_wait_restart_keeps_order),
        cmocka_unit_test(time_wait_reopened_by_sequence),
        cmocka_unit_test(time_wait_old_syn),
        cmocka_unit_test(time_wait_reopened_by_timestamp),
        cmocka_unit_test(time_wait_reset),
        cmocka_unit_test(time_wait_limited),
        cmocka_unit_test(time_wait_recycled),
        cmocka_unit_test(isn),
        cmocka_unit_test(time_wait_reopened_with_a_larger_isn),
        cmocka_unit_test(time_wait_reopened_with_the_same_timestamp),
        cmocka_unit_test(simultaneous_open_in_one_turn),
        cmocka_unit_test(syn_ack_sent_twice_is_not_timed),
        cmocka_unit_test(room_of_the_dead),
        cmocka_unit_test(time_wait_reopened_in_a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * Segments for listeners: SYN cookies (RFC 4987), and what one remote address may have.
 */
#include "trace.h"

#define MORE_THAN_PER_TURN 1000 /* SYNs of a flood */

/* Half-open connections take all the room there is; the next SYN is answered by a cookie. */
static void fill(struct trace *t)
{
    for (uint16_t port = 6; port < 8; port++) {
        SEND(t, .flags = SYN, .port = port);
        EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port);
    }
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_SYN_RECEIVED], 2);
    assert_int_equal(STATS(t)->syncookies_sent, 0);
}

static struct tcp_info info_of(const struct trace_app *app)
{
    struct tcp_info info;

    assert_non_null(app->conn);
    tcp_conn_info(app->conn, &info);
    return info;
}

/* --- cookies ---------------------------------------------------------------------------------- */

TRACE_TEST_WITH(cookie, .half_open_max = 2)
{
    fill(t);
    SEND(t, .flags = SYN, .mss = 1300);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .mss = 1460, .win = 32768);
    assert_int_equal(STATS(t)->syncookies_sent, 1);
    assert_int_equal(t->tcp->conns.in_use, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    assert_int_equal(STATS(t)->syncookies_recv, 1);
    assert_int_equal(STATS(t)->passive_opens, 1);
    assert_int_equal(t->app->received, 100);
    EXPECT_STATE(t->app, TCP_ESTABLISHED);
    assert_int_equal(info_of(t->app).mss, 1220); /* the next smaller one */
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 101);
    trace_write(t, t->app, 1000);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 101, .len = 1000);
    trace_ack_all(t);
}

/* The peer's timestamp brings back what the cookie has no room for. */
TRACE_TEST_WITH(cookie_with_options, .half_open_max = 2, .rcv_wnd_bytes = 1 << 20)
{
    struct trace_seg synack, data;
    struct tcp_info info;

    fill(t);
    SEND(t, .flags = SYN | TCP_ECE | TCP_CWR, .mss = 1460, .has_wscale = true, .wscale = 9,
         .sack_permitted = true, .has_ts = true, .tsval = 77);
    synack = EXPECT(t, .flags = SYN | ACK | TCP_ECE, .ack = 1, .has_ts = true, .tsecr = 77);
    assert_true(synack.has_wscale && synack.wscale == 5 && synack.sack_permitted);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 100, .has_ts = true, .tsval = 78,
         .tsecr = synack.tsval);
    info = info_of(t->app);
    assert_true(info.wscale && info.sack && info.timestamps && info.ecn);
    assert_int_equal(info.snd_wnd, 100 << 9);
    assert_int_equal(info.mss, 1448);
    trace_write(t, t->app, 100);
    data = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100, .has_ts = true, .tsecr = 78);
    assert_true((int32_t)(data.tsval - synack.tsval) >= 0); /* our clock never goes back */
    SEND(t, .flags = ACK, .seq = 1, .ack = 101, .has_ts = true, .tsval = 79, .tsecr = data.tsval);
}

/* Without timestamps nothing would bring them back: they are not offered. */
TRACE_TEST_WITH(cookie_without_timestamps, .half_open_max = 2)
{
    struct trace_seg synack;
    struct tcp_info info;

    fill(t);
    SEND(t, .flags = SYN | TCP_ECE | TCP_CWR, .has_wscale = true, .wscale = 9,
         .sack_permitted = true);
    synack = EXPECT(t, .flags = SYN | ACK, .ack = 1);
    assert_false(synack.has_wscale || synack.sack_permitted || synack.has_ts);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 100);
    info = info_of(t->app);
    assert_false(info.wscale || info.sack || info.timestamps || info.ecn);
    assert_int_equal(info.snd_wnd, 100);
    assert_int_equal(info.mss, 536);
}

/* However many come: no connection, no place, and those that were there go on. */
TRACE_TEST_WITH(flood, .half_open_max = 2, .conns_max = 4)
{
    fill(t);
    for (uint32_t i = 0; i < MORE_THAN_PER_TURN; i++) {
        t->hold = (i + 1) % TCP_STRAYS_OWED > 0;
        SEND(t, .flags = SYN, .port = (uint16_t)(100 + i));
        if (!t->hold)
            trace_take_all(t, NULL);
    }
    t->hold = false;
    trace_turn(t);
    trace_take_all(t, NULL);
    assert_int_equal(STATS(t)->syncookies_sent, MORE_THAN_PER_TURN);
    assert_int_equal(STATS(t)->drop_stray_queue, 0);
    assert_int_equal(t->tcp->conns.in_use, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 6);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 7);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_ESTABLISHED], 2);
    SEND(t, .flags = SYN); /* there is room again */
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    assert_int_equal(t->tcp->conns.in_use, 3);
    assert_int_equal(STATS(t)->syncookies_recv, 0);
}

/* Guesses are reset, and cost a hash only for as long as a cookie may come back. */
TRACE_TEST_WITH(forged, .half_open_max = 2)
{
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = RST, .seq = 1);
    assert_int_equal(STATS(t)->syncookies_failed, 0);
    fill(t);
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = RST, .seq = 2);
    SEND(t, .flags = ACK, .seq = 2, .ack = 1);
    EXPECT(t, .flags = RST, .seq = 1);
    SEND(t, .flags = SYN | ACK, .seq = 0, .ack = 1);
    EXPECT(t, .flags = RST, .seq = 1);
    assert_int_equal(STATS(t)->syncookies_failed, 2);
    SEND(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    EXPECT_NOTHING(t);
    for (uint32_t i = 0; i < 128; i++) {
        ADVANCE(t, 1000);
        trace_take_all(t, NULL); /* the SYN-ACKs of the half-open ones */
    }
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = RST, .seq = 1);
    assert_int_equal(STATS(t)->syncookies_failed, 2);
    assert_int_equal(STATS(t)->syncookies_recv, 0);
}

/* Nobody is invited where there is no room. Of two that were, the ACK of one may find none left: it
 * is lost, and what that peer sends next finds some. */
TRACE_TEST_WITH(cookie_and_no_connection_left, .half_open_max = 1, .conns_max = 2)
{
    SEND(t, .flags = SYN, .port = 6);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 6);
    for (uint16_t port = 0; port < 2; port++) {
        SEND(t, .flags = SYN, .port = port);
        EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port);
    }
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 0);
    assert_int_equal(t->app->accepted, 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 1);
    assert_int_equal(STATS(t)->drop_conns_full, 1);
    SEND(t, .flags = SYN, .port = 2);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->drop_conns_full, 2);
    assert_int_equal(STATS(t)->syncookies_sent, 2);
    SEND(t, .flags = RST, .seq = 1, .port = 6);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .port = 1);
    assert_int_equal(t->apps[1].received, 10);
    trace_take_all(t, NULL);
}

/* The same segment may also say that no more will come. */
TRACE_TEST_WITH(cookie_with_fin, .half_open_max = 2)
{
    fill(t);
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 10);
    assert_int_equal(t->app->received, 10);
    assert_int_equal(t->app->recv_ends, 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 12);
    EXPECT_STATE(t->app, TCP_CLOSE_WAIT);
}

TRACE_TEST_WITH(cookie_refused, .half_open_max = 2)
{
    fill(t);
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    t->apps[0].refuse = true;
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->tcp->half_open_count, 2);
}

/* --- one remote address ----------------------------------------------------------------------- */

TRACE_TEST_WITH(peer_has_enough, .peer_conns_max = 2)
{
    /* Half-open connections do not count, or others could use up a peer's share in its name. */
    for (uint16_t port = 0; port < 3; port++) {
        SEND(t, .flags = SYN, .port = port);
        EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port);
    }
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 1);
    EXPECT_NOTHING(t);
    SEND(t, .flags = SYN, .port = 3);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->drop_peer_full, 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 2);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1, .port = 2);
    assert_int_equal(STATS(t)->drop_peer_full, 2);
    assert_int_equal(STATS(t)->passive_opens, 2);
}

/* The place is free when the connection ends, and in TIME-WAIT already. */
TRACE_TEST_WITH(peer_comes_again, .peer_conns_max = 1)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = SYN, .port = 1);
    EXPECT_NOTHING(t);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 2);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    SEND(t, .flags = SYN, .port = 1);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 1);
    assert_int_equal(STATS(t)->passive_opens, 2);
    SEND(t, .flags = RST, .seq = 1, .port = 1);
    SEND(t, .flags = SYN, .port = 2);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 2);
    assert_int_equal(t->tcp->peers.pool.in_use, 0);
}

/* Connections that we open are our own affair. */
TRACE_TEST_WITH(active_opens_do_not_count, .peer_conns_max = 1)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = SYN | ACK, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = SYN, .port = 1);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 1);
}

/* --- places of listeners ---------------------------------------------------------------------- */

/* A place is free again when the last half-open connection that needs it is gone. */
TRACE_TEST(place_is_used_again)
{
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    tcp_listen_stop(t->tcp);
    assert_int_equal(tcp_listen(t->tcp, NULL, 81, &trace_ops, t), 0);
    assert_int_equal(t->tcp->listener_count, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1); /* goes on as before */
    assert_int_equal(t->app->accepted, 1);
    assert_int_equal(tcp_listen(t->tcp, NULL, TRACE_PORT, &trace_ops, t), 0);
    assert_int_equal(t->tcp->listener_count, 2);
    for (uint32_t i = 0; i < 10 * TCP_LISTENERS_MAX; i++) {
        tcp_listen_stop(t->tcp);
        assert_int_equal(tcp_listen(t->tcp, NULL, TRACE_PORT, &trace_ops, t), 0);
    }
    assert_int_equal(t->tcp->listener_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cookie),
        cmocka_unit_test(cookie_with_options),
        cmocka_unit_test(cookie_without_timestamps),
        cmocka_unit_test(flood),
        cmocka_unit_test(forged),
        cmocka_unit_test(cookie_and_no_connection_left),
        cmocka_unit_test(cookie_with_fin),
        cmocka_unit_test(cookie_refused),
        cmocka_unit_test(peer_has_enough),
        cmocka_unit_test(peer_comes_again),
        cmocka_unit_test(active_opens_do_not_count),
        cmocka_unit_test(place_is_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * Arriving segments, check by check in the order of RFC 9293 3.10.7.
 */
#include "trace.h"

/* Brings port 0's connection into a state. Returns the peer's next sequence number. */
static uint32_t reach(struct trace *t, enum tcp_state state)
{
    uint32_t nxt = 1;

    if (state == TCP_SYN_RECEIVED) {
        SEND(t, .flags = SYN);
        EXPECT(t, .flags = SYN | ACK, .ack = 1);
        return nxt;
    }
    trace_establish(t, 0);
    if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK) {
        SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
        EXPECT(t, .flags = ACK, .seq = 1, .ack = ++nxt);
    }
    if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT) {
        tcp_close(t->app->conn);
        trace_turn(t);
        EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = nxt);
    }
    if (state == TCP_FIN_WAIT_2)
        SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    if (state == TCP_CLOSING) {
        SEND(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
        EXPECT(t, .flags = ACK, .seq = 2, .ack = ++nxt);
    }
    EXPECT_STATE(t->app, state);
    return nxt;
}

static const enum tcp_state synchronized_states[] = {
    TCP_SYN_RECEIVED, TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,   TCP_CLOSING,     TCP_LAST_ACK};

static void in_every_state(void (*body)(struct trace *t, enum tcp_state state, uint32_t nxt))
{
    for (size_t i = 0; i < array_len(synchronized_states); i++) {
        struct trace *t = calloc(1, sizeof(*t));

        trace_open(t, &(struct trace_setup){0});
        body(t, synchronized_states[i], reach(t, synchronized_states[i]));
        trace_close(t);
        free(t);
    }
}

/* --- 3.10.7.1 and 3.10.7.2: CLOSED and LISTEN ------------------------------------------------- */

TRACE_TEST(closed_port)
{
    SEND(t, .flags = SYN, .seq = 5, .our_port = 81);
    EXPECT(t, .flags = RST | ACK, .seq = 0, .ack = 6, .our_port = 81);
    SEND(t, .flags = SYN, .seq = 5, .len = 10, .our_port = 81);
    EXPECT(t, .flags = RST | ACK, .seq = 0, .ack = 16, .our_port = 81);
    SEND(t, .flags = FIN, .seq = 5, .len = 10, .our_port = 81);
    EXPECT(t, .flags = RST | ACK, .seq = 0, .ack = 16, .our_port = 81);
    SEND(t, .flags = ACK, .seq = 5, .ack = 777, .our_port = 81);
    EXPECT(t, .flags = RST, .seq = 777, .our_port = 81);
    SEND(t, .flags = SYN | ACK, .seq = 5, .ack = 778, .our_port = 81);
    EXPECT(t, .flags = RST, .seq = 778, .our_port = 81);
    assert_int_equal(STATS(t)->resets_out, 5);
}

/* No RST for an RST. */
TRACE_TEST(closed_port_rst)
{
    SEND(t, .flags = RST, .seq = 5, .our_port = 81);
    SEND(t, .flags = RST | ACK, .seq = 5, .ack = 9, .our_port = 81);
    EXPECT_NOTHING(t);
}

/* More RSTs are owed in one turn than there are places for. */
TRACE_TEST(reset_queue_is_bounded)
{
    t->hold = true;
    for (uint32_t i = 0; i < TCP_STRAYS_OWED + 10; i++)
        SEND(t, .flags = ACK, .seq = 5, .ack = i, .our_port = 81);
    t->hold = false;
    trace_turn(t);
    assert_int_equal(trace_take_all(t, NULL), TCP_STRAYS_OWED);
    assert_int_equal(STATS(t)->drop_stray_queue, 10);
}

TRACE_TEST(listen_state)
{
    SEND(t, .flags = RST, .seq = 5);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 5, .ack = 777);
    EXPECT(t, .flags = RST, .seq = 777);
    SEND(t, .flags = SYN | ACK, .seq = 5, .ack = 778);
    EXPECT(t, .flags = RST, .seq = 778);
    SEND(t, .flags = SYN | FIN, .seq = 5);
    SEND(t, .flags = FIN, .seq = 5);
    SEND(t, .flags = 0, .seq = 5, .len = 4);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->drop_bad_flags, 5);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* --- 3.10.7.3: SYN-SENT ----------------------------------------------------------------------- */

TRACE_TEST(syn_sent_unacceptable_ack)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = ACK, .seq = 9, .ack = 0);
    EXPECT(t, .flags = RST, .seq = 0);
    SEND(t, .flags = SYN | ACK, .seq = 9, .ack = 2);
    EXPECT(t, .flags = RST, .seq = 2);
    SEND(t, .flags = RST | ACK, .seq = 9, .ack = 2);
    EXPECT_NOTHING(t);
    EXPECT_STATE(t->app, TCP_SYN_SENT);
    assert_int_equal(STATS(t)->drop_ack, 3);
}

TRACE_TEST(syn_sent_rst)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = RST, .seq = 9); /* acknowledges nothing: anybody could send it */
    EXPECT_STATE(t->app, TCP_SYN_SENT);
    SEND(t, .flags = ACK, .seq = 9, .ack = 1); /* neither SYN nor RST */
    EXPECT_STATE(t->app, TCP_SYN_SENT);
    EXPECT_NOTHING(t);
    SEND(t, .flags = RST | ACK, .seq = 9, .ack = 1);
    assert_int_equal(t->app->why, TCP_END_REFUSED);
    EXPECT_NOTHING(t);
}

/* --- 3.10.7.4, first: the four cases of acceptability ----------------------------------------- */

TRACE_TEST(data_in_order)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK | PSH, .seq = 101, .ack = 1, .len = 100);
    assert_int_equal(app->received, 200);
    assert_int_equal(STATS(t)->bytes_in, 200);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 201);
}

TRACE_TEST(data_old)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 101);
    assert_int_equal(app->received, 100);
    assert_int_equal(STATS(t)->drop_out_of_window, 1);
}

/* What was taken before is cut off the front. */
TRACE_TEST(data_trimmed_in_front)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 51, .ack = 1, .len = 100);
    assert_int_equal(app->received, 150);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 151);
}

/* What does not fit is cut off the tail, and a FIN with it. */
TRACE_TEST_WITH(data_trimmed_behind, .rcv_wnd_bytes = 1000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 1200);
    assert_int_equal(app->received, 1000);
    assert_int_equal(app->recv_ends, 0);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1001, .zero_win = true);
}

/* Both at once: a segment that begins before the window and ends behind it. */
TRACE_TEST_WITH(data_trimmed_both_ways, .rcv_wnd_bytes = 100)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 50);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 200);
    assert_int_equal(app->received, 100);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 101, .zero_win = true);
}

TRACE_TEST(data_beyond_the_window)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1 + 32768, .ack = 1, .len = 10);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1 + 32768, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1 + 32767, .ack = 1); /* the last place inside */
    EXPECT_NOTHING(t);
    assert_int_equal(app->received, 0);
    assert_int_equal(STATS(t)->drop_out_of_window, 2);
}

/* 3.10.7.4, first, third case, and MUST-66: nothing but an ACK or RST is taken by a shut window. */
TRACE_TEST_WITH(window_shut, .rcv_wnd_bytes = 1000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    trace_write(t, app, 500);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 500);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1000);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 501, .ack = 1001, .zero_win = true);
    SEND(t, .flags = ACK, .seq = 1001, .ack = 201, .len = 1); /* a probe with news in it */
    EXPECT(t, .flags = ACK, .seq = 501, .ack = 1001, .zero_win = true);
    assert_int_equal(app->received, 1000);
    assert_int_equal(app->acked, 200);
    SEND(t, .flags = ACK, .seq = 1001, .ack = 501);
    assert_int_equal(app->acked, 500);
    EXPECT_NOTHING(t);
    SEND(t, .flags = RST, .seq = 1001);
    assert_int_equal(app->why, TCP_END_RESET);
}

/* --- second: RST (RFC 5961 3.2) --------------------------------------------------------------- */

static void rst_exact(struct trace *t, enum tcp_state state, uint32_t nxt)
{
    SEND(t, .flags = RST, .seq = nxt);
    EXPECT_NOTHING(t);
    assert_null(tcp_conn_next(t->tcp, NULL));
    assert_int_equal(STATS(t)->resets_in, 1);
    assert_int_equal(t->app->closed, state != TCP_SYN_RECEIVED);
    assert_int_equal(STATS(t)->estab_resets, state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT);
}

static void rst_in_window(struct trace *t, enum tcp_state state, uint32_t nxt)
{
    SEND(t, .flags = RST, .seq = nxt + 1);
    assert_int_equal(trace_take_all(t, NULL), 1);
    SEND(t, .flags = RST | ACK, .seq = nxt + 1000, .ack = 1);
    EXPECT_NOTHING(t); /* so soon after the first */
    assert_int_equal(STATS(t)->acks_limited, 1);
    ADVANCE(t, TCP_LIMITED_ACK_MS);
    trace_take_all(t, NULL); /* retransmissions of some states */
    SEND(t, .flags = RST | ACK, .seq = nxt + 1000, .ack = 1);
    assert_int_equal(trace_take_all(t, NULL), 1);
    assert_int_equal(STATS(t)->challenge_acks, 2);
    assert_int_equal(tcp_state_counts(t->tcp)[state], 1);
}

static void rst_outside(struct trace *t, enum tcp_state state, uint32_t nxt)
{
    SEND(t, .flags = RST, .seq = nxt - 1);
    SEND(t, .flags = RST, .seq = nxt + 40000);
    EXPECT_NOTHING(t);
    assert_int_equal(tcp_state_counts(t->tcp)[state], 1);
}

static void test_rst_exact(void **state)
{
    in_every_state(rst_exact);
}

static void test_rst_in_window(void **state)
{
    in_every_state(rst_in_window);
}

static void test_rst_outside(void **state)
{
    in_every_state(rst_outside);
}

/* --- fourth: SYN (RFC 5961 4.2) --------------------------------------------------------------- */

static void syn_in_window(struct trace *t, enum tcp_state state, uint32_t nxt)
{
    SEND(t, .flags = SYN, .seq = nxt + 10);
    EXPECT(t, .flags = ACK, .seq = 1 + (t->app->conn && t->app->conn->flags & CONN_FIN_SENT),
           .ack = nxt);
    assert_int_equal(tcp_state_counts(t->tcp)[state], 1);
}

static void test_syn_in_window(void **state)
{
    in_every_state(syn_in_window);
}

/* A peer that has restarted: the challenge ACK brings its RST, which is exact. */
TRACE_TEST(half_open_peer)
{
    struct trace_app *app = trace_establish(t, 0);
    struct trace_seg challenge;

    SEND(t, .flags = SYN, .seq = 1234567);
    challenge = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = RST, .seq = challenge.ack);
    assert_int_equal(app->why, TCP_END_RESET);
}

/* --- fifth: ACK ------------------------------------------------------------------------------- */

static void no_ack(struct trace *t, enum tcp_state state, uint32_t nxt)
{
    SEND(t, .flags = FIN, .seq = nxt, .len = 10);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->drop_bad_flags, 1);
    assert_int_equal(tcp_state_counts(t->tcp)[state], 1);
    assert_int_equal(t->app->received, 0);
}

static void test_no_ack(void **state)
{
    in_every_state(no_ack);
}

TRACE_TEST(syn_received_unacceptable_ack)
{
    reach(t, TCP_SYN_RECEIVED);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    EXPECT(t, .flags = RST, .seq = 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 0);
    EXPECT(t, .flags = RST, .seq = 0);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_SYN_RECEIVED], 1);
    assert_int_equal(t->app->accepted, 0);
}

/* An ACK of what was never sent: an ACK in answer, and nothing of the segment is believed. */
TRACE_TEST(ack_of_unsent)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = 2, .len = 10);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(app->received, 0);
    assert_int_equal(STATS(t)->drop_ack, 1);
}

/* RFC 5961 5.2: an ACK older than any window of ours. */
TRACE_TEST(ack_too_old)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK, .seq = 1, .ack = (uint32_t)-70000, .len = 10);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(app->received, 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 0, .len = 10); /* old but plausible */
    assert_int_equal(app->received, 10);
}

/* --- seventh: windows and acknowledgments of ours --------------------------------------------- */

/* RFC 9293 3.8.6.3 and RFC 5681 4.2: every second full segment at once, the rest after 40 ms. */
TRACE_TEST(delayed_ack)
{
    trace_establish(t, 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1460);
    ADVANCE(t, 39);
    EXPECT_NOTHING(t);
    ADVANCE(t, 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1461);
    SEND(t, .flags = ACK, .seq = 1461, .ack = 1, .len = 1460);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 2921, .ack = 1, .len = 1460);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 4381);
    ADVANCE(t, 1000);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->delayed_acks, 1);
}

/* The ACK rides on data when there is some. */
TRACE_TEST(ack_rides_on_data)
{
    struct trace_app *app = trace_establish(t, 0);

    app->write_when = IN_RECV;
    app->write_bytes = 300;
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 101, .len = 300);
    SEND(t, .flags = ACK, .seq = 101, .ack = 301);
    ADVANCE(t, 1000);
    EXPECT_NOTHING(t);
}

/* SHLD-14: the right edge never moves left, and opens only with tcp_recved. */
TRACE_TEST_WITH(receive_window, .rcv_wnd_bytes = 10000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1460);
    SEND(t, .flags = ACK, .seq = 1461, .ack = 1, .len = 1460);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2921, .win = 10000 - 2920);
    tcp_recved(app->conn, 2920);
    SEND(t, .flags = ACK, .seq = 2921, .ack = 1, .len = 1460);
    SEND(t, .flags = ACK, .seq = 4381, .ack = 1, .len = 1460);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 5841, .win = 10000 - 2920);
}

/* RFC 9293 3.8.6.2.2: a shut window reopens with a segment of its own, in a step worth telling. */
TRACE_TEST_WITH(window_update, .rcv_wnd_bytes = 8000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    for (uint32_t at = 0; at < 8000; at += 1000)
        SEND(t, .flags = ACK, .seq = 1 + at, .ack = 1, .len = 1000);
    ADVANCE(t, 100);
    trace_take_all(t, NULL);
    tcp_recved(app->conn, 1459);
    trace_turn(t);
    EXPECT_NOTHING(t);
    tcp_recved(app->conn, 1);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 8001, .win = 1460);
}

TRACE_TEST(recv_aborts)
{
    struct trace_app *app = trace_establish(t, 0);

    app->abort_when = IN_RECV;
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 10);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 11);
    assert_int_equal(app->why, TCP_END_ABORTED);
    assert_int_equal(app->recv_ends, 0);
}

TRACE_TEST(recv_end_aborts)
{
    struct trace_app *app = trace_establish(t, 0);

    app->abort_when = IN_RECV_END;
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 10);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 12);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

/* Sixth: urgent data is ordinary data (RFC 6093). */
TRACE_TEST(urgent)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK | URG, .seq = 1, .ack = 1, .len = 10);
    assert_int_equal(app->received, 10);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 11);
}

/* --- RFC 7323 --------------------------------------------------------------------------------- */

/* 5.3 R1: an older timestamp is dropped and acknowledged; an equal one is taken. */
TRACE_TEST(paws)
{
    struct trace_app *app;

    t->ts = true;
    t->ts_base = 5;
    app = trace_establish(t, 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .has_ts = true, .tsval = (uint32_t)-1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .has_ts = true, .tsecr = 5);
    assert_int_equal(app->received, 0);
    assert_int_equal(STATS(t)->drop_paws, 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .has_ts = true, .tsval = 5);
    assert_int_equal(app->received, 10);
    SEND(t, .flags = RST, .seq = 11, .has_ts = true, .tsval = 1); /* not applied to RSTs */
    assert_int_equal(app->why, TCP_END_RESET);
}

/* 4.3: the timestamp to echo is that of the segment that Last.ACK.sent lies in. */
TRACE_TEST(ts_recent)
{
    t->ts = true;
    t->ts_base = 100;
    trace_establish(t, 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .has_ts = true, .tsval = 101);
    SEND(t, .flags = ACK, .seq = 11, .ack = 1, .len = 10, .has_ts = true, .tsval = 102);
    ADVANCE(t, 40); /* one delayed ACK for both: the earlier one's */
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 21, .has_ts = true, .tsecr = 101);
    SEND(t, .flags = ACK, .seq = 31, .ack = 1, .len = 10, .has_ts = true, .tsval = 103);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 21, .has_ts = true, .tsecr = 101); /* a gap */
    SEND(t, .flags = ACK, .seq = 21, .ack = 1, .len = 10, .has_ts = true, .tsval = 104);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 41, .has_ts = true, .tsecr = 104); /* it closes */
}

/* Sequence numbers of both sides pass 2^32 in the middle of a stream (RFC 9293 3.4). */
TRACE_TEST(sequence_numbers_wrap)
{
    struct trace_app *app;
    uint32_t ahead;

    t->peer_iss = (uint32_t)-3000;
    SEND(t, .flags = SYN);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = RST, .seq = 1);
    ahead = (uint32_t)-4000 - t->iss[0]; /* the clock of ISNs runs until ours is close to 2^32 */
    trace_advance_ns(t, ahead * 4000ull);
    app = trace_establish(t, 0);
    assert_int_equal(t->iss[0], (uint32_t)-4000);
    trace_write(t, app, 14600);
    for (uint32_t at = 1; at < 14600; at += 1460)
        EXPECT(t, .flags = ACK, .seq = at, .ack = 1, .len = 1460);
    for (uint32_t at = 1; at < 14600; at += 1460)
        SEND(t, .flags = ACK, .seq = at, .ack = at + 1460, .len = 1460);
    assert_int_equal(app->received, 14600);
    assert_int_equal(app->acked, 14600);
    trace_take_all(t, NULL);
    SEND(t, .flags = FIN | ACK, .seq = 14601, .ack = 14601);
    EXPECT(t, .flags = ACK, .seq = 14601, .ack = 14602);
}

/* --- RFC 9293 3.9.2.2 and RFC 5927: ICMP errors are hints ------------------------------------- */

TRACE_TEST(icmp_is_soft)
{
    struct trace_app *app = trace_establish(t, 0);
    uint8_t quote[8];
    struct ip_error error = {
        .payload = quote, .len = 8, .proto = IP_PROTO_TCP, .kind = IP_ERROR_UNREACHABLE};

    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    error.src = app->conn->flow.local;
    error.dst = app->conn->flow.remote;
    put_be16(quote, TRACE_PORT);
    put_be16(quote + 2, TRACE_PEER_PORT);
    put_be32(quote + 4, t->iss[0] + 1);
    tcp_error(t->tcp, &error, t->now_ns);
    assert_int_equal(STATS(t)->icmp_errors, 1);
    put_be32(quote + 4, t->iss[0] + 500); /* nothing that is in flight */
    tcp_error(t->tcp, &error, t->now_ns);
    put_be16(quote, 81);
    tcp_error(t->tcp, &error, t->now_ns);
    assert_int_equal(STATS(t)->icmp_errors, 1);
    EXPECT_STATE(app, TCP_ESTABLISHED);
}

/* 5.5: after 24 days of silence the timestamp is void, and the new one takes its place. */
TRACE_TEST(paws_after_24_days)
{
    struct trace_app *app;

    t->ts = true;
    t->ts_base = 0x90000000u;
    app = trace_establish(t, 0);
    ADVANCE(t, 25ull * 86400 * 1000);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10, .has_ts = true, .tsval = 0x80000000u);
    assert_int_equal(app->received, 10);
    SEND(t, .flags = ACK, .seq = 11, .ack = 1, .len = 10, .has_ts = true, .tsval = 0x80000001u);
    assert_int_equal(app->received, 20);
    ADVANCE(t, 40);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 21, .has_ts = true, .tsecr = 0x80000000u);
}

/* MUST-39, 3.8.6.2.2: room that opens byte by byte is not told, not even to a probe. */
TRACE_TEST_WITH(no_silly_window, .rcv_wnd_bytes = 8000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    for (uint32_t at = 0; at < 8000; at += 1000)
        SEND(t, .flags = ACK, .seq = 1 + at, .ack = 1, .len = 1000);
    ADVANCE(t, 100);
    trace_take_all(t, NULL);
    tcp_recved(app->conn, 10);
    SEND(t, .flags = ACK, .seq = 8001, .ack = 1, .len = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 8001, .zero_win = true);
    tcp_recved(app->conn, 1450);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 8001, .win = 1460);
}

/* MUST-66 again: the ACK on a FIN that a shut window cannot take counts, the FIN does not. */
TRACE_TEST_WITH(window_shut_fin, .rcv_wnd_bytes = 1000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    trace_write(t, app, 500);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 500);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1000);
    SEND(t, .flags = ACK | FIN, .seq = 1001, .ack = 501);
    assert_int_equal(app->acked, 500);
    assert_int_equal(app->recv_ends, 0);
    EXPECT(t, .flags = ACK, .seq = 501, .ack = 1001, .zero_win = true);
    EXPECT_STATE(app, TCP_ESTABLISHED);
}

#define CHALLENGED (TCP_CHALLENGE_PER_S * 3 / 2 + NMIO_BATCH)

/* One segment to each of so many connections. */
static void to_all(struct trace *t, uint8_t flags, uint32_t seq)
{
    for (uint16_t port = 0; port < CHALLENGED; port++) {
        t->hold = (port + 1) % NMIO_BATCH > 0 && port + 1 < CHALLENGED;
        SEND(t, .flags = flags, .seq = seq, .port = port);
        if (t->hold)
            continue;
        trace_take_all(t, NULL);
        ADVANCE(t, 1);
    }
}

static uint64_t challenges_of_a_second(struct trace *t)
{
    uint64_t before = STATS(t)->challenge_acks;

    to_all(t, RST, 2);
    for (int i = 0; i < 1001; i++) {
        ADVANCE(t, 1);
        trace_take_all(t, NULL);
    }
    return STATS(t)->challenge_acks - before;
}

/* RFC 5961 10: they are limited for all connections together; how many there are in a second must
 * not be known, or others could count how many of them their guesses have cost (Cao et al. 2016).
 */
TRACE_TEST_WITH(challenge_acks_are_limited, .conns_max = CHALLENGED, .half_open_max = CHALLENGED)
{
    uint64_t a, b, c;

    to_all(t, SYN, 0);
    a = challenges_of_a_second(t);
    b = challenges_of_a_second(t);
    c = challenges_of_a_second(t);
    assert_in_range(a, TCP_CHALLENGE_PER_S / 2, TCP_CHALLENGE_PER_S * 3 / 2);
    assert_in_range(b, TCP_CHALLENGE_PER_S / 2, TCP_CHALLENGE_PER_S * 3 / 2);
    assert_true(a != b || b != c);
    assert_int_equal(STATS(t)->challenges_limited, 3 * CHALLENGED - a - b - c);
}

/* And for each connection by itself, so that two ends that disagree do not answer each other. */
TRACE_TEST(answers_are_limited)
{
    trace_establish(t, 0);
    SEND(t, .flags = ACK, .seq = 40000, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 40000, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 5);
    SEND(t, .flags = SYN, .seq = 10);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->acks_limited, 3);
    SEND(t, .flags = ACK, .seq = 40000, .ack = 1, .len = 1); /* data always */
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    ADVANCE(t, TCP_LIMITED_ACK_MS);
    SEND(t, .flags = SYN, .seq = 10);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
}

/* Says that a datagram with the stream's number `seq` was too big for a link of `mtu`. */
static void too_big(struct trace *t, uint32_t seq, uint16_t mtu)
{
    uint8_t quote[8];
    struct ip_error error = {.src = t->app->conn->flow.local,
                             .dst = t->app->conn->flow.remote,
                             .payload = quote,
                             .len = sizeof(quote),
                             .proto = IP_PROTO_TCP,
                             .kind = IP_ERROR_TOO_BIG,
                             .mtu = mtu};

    put_be16(quote, TRACE_PORT);
    put_be16(quote + 2, TRACE_PEER_PORT);
    put_be32(quote + 4, t->iss[0] + seq);
    tcp_error(t->tcp, &error, t->now_ns);
    trace_turn(t);
}

/* RFC 9293 3.7.2, RFC 1191 6.4: what was too big goes again at once in segments that fit, and the
 * congestion window stays. */
TRACE_TEST(path_mtu)
{
    struct trace_app *app = trace_establish(t, 0);
    uint32_t cwnd = trace_cc(app)->cwnd;

    trace_write(t, app, 2920);
    assert_int_equal(trace_take_all(t, NULL), 2);
    too_big(t, 5000, 1400); /* nothing that is in flight (RFC 5927 4.1) */
    too_big(t, 1, 1500);    /* no smaller than what we have */
    EXPECT_NOTHING(t);
    too_big(t, 1, 1400);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1360);
    EXPECT(t, .flags = ACK, .seq = 1361, .ack = 1, .len = 1360);
    EXPECT(t, .flags = ACK, .seq = 2721, .ack = 1, .len = 200);
    assert_int_equal(trace_cc(app)->cwnd, cwnd);
    too_big(t, 1461, 1400); /* the second one's error comes, too */
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2921);
    EXPECT_STATE(app, TCP_ESTABLISHED);
}

/* RFC 5927 7: nobody may have us send crumbs. Old routers name no MTU (RFC 1191 5). */
TRACE_TEST(path_mtu_has_a_bound)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 1460);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1460);
    too_big(t, 1, 68);
    assert_int_equal(app->conn->mss, 552 - 40);
    assert_int_equal(trace_take_all(t, NULL), 3);
    too_big(t, 1, 0);
    EXPECT_NOTHING(t);
}

/* RFC 5961 4.2: a SYN is challenged whatever its number; data behind it does not make it old. */
TRACE_TEST(syn_with_data_that_reaches_the_window)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = SYN | ACK, .seq = (uint32_t)-100, .ack = 1, .len = 200);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(app->received, 0);
    assert_int_equal(STATS(t)->challenge_acks, 1);
}

/* The peer's SYN again, with data this time (RFC 9293 3.10.7.2): our SYN-ACK was lost. */
TRACE_TEST(syn_again_with_data)
{
    SEND(t, .flags = SYN, .len = 50);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = SYN, .len = 50);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 50);
    assert_int_equal(t->app->received, 50);
    ADVANCE(t, 50);
    trace_take_all(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_port),
        cmocka_unit_test(closed_port_rst),
        cmocka_unit_test(reset_queue_is_bounded),
        cmocka_unit_test(listen_state),
        cmocka_unit_test(syn_sent_unacceptable_ack),
        cmocka_unit_test(syn_sent_rst),
        cmocka_unit_test(data_in_order),
        cmocka_unit_test(data_old),
        cmocka_unit_test(data_trimmed_in_front),
        cmocka_unit_test(data_trimmed_behind),
        cmocka_unit_test(data_trimmed_both_ways),
        cmocka_unit_test(data_beyond_the_window),
        cmocka_unit_test(window_shut),
        cmocka_unit_test(test_rst_exact),
        cmocka_unit_test(test_rst_in_window),
        cmocka_unit_test(test_rst_outside),
        cmocka_unit_test(test_syn_in_window),
        cmocka_unit_test(half_open_peer),
        cmocka_unit_test(test_no_ack),
        cmocka_unit_test(syn_received_unacceptable_ack),
        cmocka_unit_test(ack_of_unsent),
        cmocka_unit_test(ack_too_old),
        cmocka_unit_test(delayed_ack),
        cmocka_unit_test(ack_rides_on_data),
        cmocka_unit_test(receive_window),
        cmocka_unit_test(window_update),
        cmocka_unit_test(recv_aborts),
        cmocka_unit_test(recv_end_aborts),
        cmocka_unit_test(urgent),
        cmocka_unit_test(paws),
        cmocka_unit_test(ts_recent),
        cmocka_unit_test(sequence_numbers_wrap),
        cmocka_unit_test(icmp_is_soft),
        cmocka_unit_test(paws_after_24_days),
        cmocka_unit_test(no_silly_window),
        cmocka_unit_test(window_shut_fin),
        cmocka_unit_test(challenge_acks_are_limited),
        cmocka_unit_test(answers_are_limited),
        cmocka_unit_test(path_mtu),
        cmocka_unit_test(path_mtu_has_a_bound),
        cmocka_unit_test(syn_with_data_that_reaches_the_window),
        cmocka_unit_test(syn_again_with_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * When bytes are asked for, and what becomes of the answers.
 */
#include "trace.h"

#define MSS 1460

/* --- asking ----------------------------------------------------------------------------------- */

/* RFC 6928: ten segments at first, asked for in one portion. */
TRACE_TEST(initial_window)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 100000);
    assert_int_equal(app->fills, 1);
    for (uint32_t i = 0; i < 10; i++)
        EXPECT(t, .flags = ACK, .seq = 1 + i * MSS, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
}

/* Dissertation 4.3.2: the next portion waits until the window admits so many segments. */
TRACE_TEST_WITH(watermark, .watermark_mss = 4)
{
    struct trace_app *app;
    uint32_t acked = 0, out = 10;

    t->win = 65535;
    t->wscale = true;
    app = trace_establish(t, 0);
    trace_write(t, app, 1000000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    while (out < 80) { /* slow start */
        acked += out;
        SEND(t, .flags = ACK, .seq = 1, .ack = 1 + acked * MSS);
        out *= 2;
        assert_int_equal(trace_take_all(t, NULL), out);
    }
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + (acked + 1) * MSS);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + (acked + 2) * MSS);
    assert_int_equal(trace_take_all(t, NULL), 4); /* two have left, and slow start adds two */
}

/* A window that is small does not wait for ten: a sixteenth of 32 segments is two. */
TRACE_TEST(watermark_of_a_small_window)
{
    struct trace_app *app;

    t->win = 32 * MSS;
    app = trace_establish(t, 0);
    trace_write(t, app, 1000000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 10 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 20);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 30 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 32);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 31 * MSS);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 32 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 2);
}

/* What cwnd leaves over is not worth a segment of its own. */
TRACE_TEST(whole_segments)
{
    struct trace_app *app = trace_establish(t, 0);
    uint64_t bytes;

    trace_write(t, app, 1000000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    app->conn->sender->cc.ssthresh = 1; /* no slow start */
    app->conn->sender->cc.cwnd = 11 * MSS + 700;
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    assert_int_equal(trace_take_all(t, &bytes), 3);
    assert_int_equal(bytes, 3 * MSS);
}

/* What the asked-for bytes are limited to leaves no piece of a segment either. */
TRACE_TEST_WITH(whole_segments_asked, .asked_max_bytes = 2 * MSS + 300)
{
    struct trace_app *app = trace_establish(t, 0);

    app->fill = FILL_LATER;
    tcp_write(app->conn, 1000000);
    trace_turn(t);
    assert_int_equal(app->conn->snd_asked - app->conn->snd_nxt, 2 * MSS);
}

/* The rest of the stream is not held back, however little it is. */
TRACE_TEST(watermark_rest_fits)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 14600 + 100);
    assert_int_equal(trace_take_all(t, NULL), 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    EXPECT(t, .flags = ACK | PSH, .seq = 14601, .ack = 1, .len = 100);
}

/* Nothing is in flight: no ACK would come to open the window further. */
TRACE_TEST(watermark_nothing_in_flight)
{
    struct trace_app *app;

    t->win = 2 * MSS;
    app = trace_establish(t, 0);
    trace_write(t, app, 100000);
    assert_int_equal(trace_take_all(t, NULL), 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS, .win = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 2 * MSS, .ack = 1, .len = MSS);
}

TRACE_TEST_WITH(asked_max, .asked_max_bytes = 4000)
{
    struct trace_app *app = trace_establish(t, 0);
    uint64_t promised = 0;

    app->fill = FILL_LATER;
    app->promise_max = 1500;
    trace_write(t, app, 100000);
    for (uint32_t i = 0; i < app->promise_count; i++)
        promised += app->promises[i].len;
    assert_in_range(promised, 4000 - MSS + 1, 4000); /* no piece of a segment */
    trace_answer(t, app);
    assert_int_equal(trace_take_all(t, NULL), 2);
    trace_turn(t);
    promised = 0;
    for (uint32_t i = 0; i < app->promise_count; i++)
        promised += app->promises[i].len;
    assert_in_range(promised, 4000 - MSS + 1, 4000);
    app->fill = FILL_REFUSE;
    while (app->promise_count)
        trace_answer(t, app);
    trace_take_all(t, NULL);
}

/* Promises are kept late, and in order. */
TRACE_TEST(answers_later)
{
    struct trace_app *app = trace_establish(t, 0);

    app->fill = FILL_LATER;
    app->promise_max = 2 * MSS;
    trace_write(t, app, 4 * MSS);
    EXPECT_NOTHING(t);
    assert_int_equal(app->promise_count, 2);
    assert_int_equal(app->promises[1].offset, 2 * MSS);
    ADVANCE(t, 5000); /* a slow disk is no loss: no timer runs */
    EXPECT_NOTHING(t);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1 + 2 * MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK | PSH, .seq = 1 + 3 * MSS, .ack = 1, .len = MSS);
    assert_int_equal(STATS(t)->rto_fired, 0);
}

/* The ACK was only late: it comes while the disk reads the lost bytes again. */
TRACE_TEST(stale_answer)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, MSS);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    app->fill = FILL_LATER;
    ADVANCE(t, 201);
    assert_int_equal(app->promise_count, 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    trace_answer(t, app);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->stale_answers, 1);
}

/* An ACK overtook the front of an answer: the rest of it goes out. */
TRACE_TEST(answer_overtaken_in_part)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 4 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 4);
    app->fill = FILL_LATER;
    ADVANCE(t, 201); /* window of one: the first is asked for */
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 700);
    while (app->promise_count)
        trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 701, .ack = 1, .len = MSS - 700);
    trace_take_all(t, NULL);
}

/* A connection without a buffer keeps its place in the line; those behind it wait for it. */
TRACE_TEST(waiting_in_order)
{
    for (uint16_t i = 0; i < 3; i++) {
        trace_establish(t, i)->fill = FILL_REFUSE;
    }
    for (uint16_t i = 0; i < 3; i++)
        tcp_write(t->apps[i].conn, 100);
    trace_turn(t);
    assert_true(tcp_starved(t->tcp));
    assert_int_equal(STATS(t)->fill_waits, 1);
    assert_int_equal(t->apps[0].fills, 1);
    assert_int_equal(t->apps[1].fills, 0);
    assert_true(tcp_next_ns(t->tcp) > t->now_ns); /* no reason to spin */
    trace_turn(t);
    assert_int_equal(t->apps[0].fills, 2);
    for (uint16_t i = 0; i < 3; i++)
        t->apps[i].fill = FILL_NOW;
    trace_turn(t);
    for (uint16_t i = 0; i < 3; i++)
        EXPECT(t, .flags = ACK | PSH, .seq = 1, .ack = 1, .len = 100, .port = i);
    assert_false(tcp_starved(t->tcp));
}

/* ACKs and FINs need no buffers: they are not held up by those who wait for one. */
TRACE_TEST(waiting_does_not_hold_up_acks)
{
    struct trace_app *a = trace_establish(t, 0), *b = trace_establish(t, 1);

    a->fill = FILL_REFUSE;
    trace_write(t, a, 100);
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .port = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2, .port = 1);
    tcp_close(b->conn);
    SEND(t, .flags = ACK, .seq = 101, .ack = 1, .len = 10); /* a gap on the waiting one */
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 2, .port = 1);
}

TRACE_TEST(abort_in_fill)
{
    struct trace_app *app = trace_establish(t, 0);

    app->abort_when = IN_FILL;
    trace_write(t, app, 100);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    assert_null(tcp_conn_next(t->tcp, NULL));
}

TRACE_TEST(abort_in_sent)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    app->abort_when = IN_SENT;
    SEND(t, .flags = ACK, .seq = 1, .ack = 101, .len = 10);
    EXPECT(t, .flags = RST | ACK, .seq = 101, .ack = 1);
    assert_int_equal(app->received, 0);
}

/* --- FIN -------------------------------------------------------------------------------------- */

TRACE_TEST(fin_rides_on_data)
{
    struct trace_app *app = trace_establish(t, 0);

    app->fill = FILL_LATER;
    tcp_write(app->conn, 2000);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT_NOTHING(t);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK | FIN | PSH, .seq = 1 + MSS, .ack = 1, .len = 2000 - MSS);
    EXPECT_STATE(app, TCP_FIN_WAIT_1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2001);
    EXPECT_STATE(app, TCP_FIN_WAIT_1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2002);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
    assert_int_equal(app->acked, 2000);
}

TRACE_TEST(fin_lost)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    ADVANCE(t, 201);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    ADVANCE(t, 401);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
}

TRACE_TEST(fin_lost_with_its_data)
{
    struct trace_app *app = trace_establish(t, 0);

    app->fill = FILL_LATER;
    tcp_write(app->conn, 100);
    tcp_close(app->conn);
    trace_turn(t);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 201);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 102);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
}

/* What was written before tcp_close is sent before the FIN, window by window. */
TRACE_TEST(fin_waits_for_data)
{
    struct trace_app *app;

    t->win = MSS;
    app = trace_establish(t, 0);
    app->fill = FILL_LATER;
    tcp_write(app->conn, MSS + 10);
    tcp_close(app->conn);
    trace_turn(t);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT_STATE(app, TCP_ESTABLISHED);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK | FIN, .seq = 1 + MSS, .ack = 1, .len = 10);
}

/* --- frames ----------------------------------------------------------------------------------- */

TRACE_TEST_WITH(gso, .gso_bytes = 65535, .tx_csum = true)
{
    struct trace_app *app = trace_establish(t, 0);
    struct trace_seg got;

    trace_write(t, app, 100000);
    got = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10 * MSS);
    assert_int_equal(got.gso_size, MSS);
    assert_int_equal(STATS(t)->segs_out, 2); /* and the SYN-ACK */
}

TRACE_TEST_WITH(gso_one_segment, .gso_bytes = 65535, .tx_csum = true)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, MSS);
    assert_int_equal(EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS).gso_size, 0);
}

/* The harness compares every checksum with a naive one. */
static void slices(struct trace *t)
{
    static const uint32_t lens[] = {1, 7, 101, 333, 1459, 1461};
    struct trace_app *app = trace_establish(t, 0);
    uint32_t end = 0;
    uint64_t bytes;

    for (size_t i = 0; i < array_len(lens); i++) {
        app->slice_len = lens[i];
        trace_write(t, app, 5001);
        trace_take_all(t, &bytes);
        assert_int_equal(bytes, 5001);
        end += 5001;
        SEND(t, .flags = ACK, .seq = 1, .ack = 1 + end);
    }
}

TRACE_TEST(odd_slices)
{
    slices(t);
}

TRACE_TEST_WITH(odd_slices_one_each, .slices_max = 1)
{
    slices(t);
}

TRACE_TEST_WITH(odd_slices_gso, .gso_bytes = 65535, .tx_csum = true)
{
    slices(t);
}

/* PSH ends what the application has written, and only that (RFC 9293 3.9.1.2 SHLD-27). */
TRACE_TEST(psh)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 2000);
    assert_false(EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS).flags & PSH);
    assert_true(EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = 540).flags & PSH);
}

/* An answer from within fill makes its connection ready again before a later fill finds no buffer:
 * it is then on both lines. */
TRACE_TEST(waiting_after_an_answer)
{
    struct trace_app *a = trace_establish(t, 0), *b = trace_establish(t, 1);

    a->promise_max = MSS;
    a->refuse_after = 2;
    tcp_write(a->conn, 20 * MSS);
    tcp_write(b->conn, 100);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    assert_true(tcp_starved(t->tcp));
    a->fill = FILL_NOW;
    trace_turn(t);
    for (uint32_t i = 2; i < 10; i++)
        EXPECT(t, .flags = ACK, .seq = 1 + i * MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100, .port = 1);
    assert_false(tcp_starved(t->tcp));
}

/* An answer from within fill may end the stream, and move snd_nxt past what fill was asked for. */
TRACE_TEST(fin_with_an_answer_at_once)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_write(app->conn, 5 * MSS);
    tcp_close(app->conn);
    trace_turn(t);
    assert_int_equal(trace_take_all(t, NULL), 5);
    assert_int_equal(app->conn->snd_asked, app->conn->snd_nxt);
    for (int i = 0; i < 3; i++)
        SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS); /* fast retransmit */
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 4 * MSS);
    EXPECT(t, .flags = ACK | FIN, .seq = 1 + 4 * MSS, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2 + 5 * MSS);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
}

/* What is asked for of the lost range counts, too. */
TRACE_TEST_WITH(asked_max_of_the_lost, .asked_max_bytes = 2 * MSS)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, 10 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 10);
    app->fill = FILL_LATER;
    tcp_recovery_timeout(app->conn, t->now_ns);
    trace_cc(app)->cwnd = 100 * MSS; /* in the middle of recovery, with a wide window */
    tcp_conn_ready(app->conn);
    trace_turn(t);
    assert_int_equal(app->promise_count, 1);
    assert_int_equal(app->promises[0].len, 2 * MSS);
}

/* RFC 1071: the sums of header and payload add up to more than 64 bits hold. The numbers are chosen
 * so that the header's sum is all but all ones. */
TRACE_TEST(checksum_carry)
{
    struct trace_app *app = trace_establish(t, 0);
    struct tcp_conn *conn = app->conn;
    uint32_t low = 0;

    /* As the bytes lie: ports and seq, ack and offset, flags, window. */
    uint8_t hdr[20] = {0};
    uint64_t pseudo = ip_sum_pseudo(&conn->flow.local, &conn->flow.remote, IP_PROTO_TCP, 20 + 100);
    uint64_t a, b, want;

    put_be16(hdr, TRACE_PORT);
    put_be16(hdr + 2, TRACE_PEER_PORT);
    hdr[12] = 5 << 4;
    hdr[13] = ACK | PSH;
    put_be16(hdr + 14, 32768);
    /* The lower halves of the two words and the pseudo-header make 2^32 - 1 with the right ack; the
     * upper halves with the right seq. */
    a = get_le32(hdr);
    low = (uint32_t)(UINT32_MAX - a - pseudo);
    b = (a + low + pseudo) >> 32;
    want = UINT32_MAX - b - get_le32(hdr + 12);
    memcpy(hdr + 4, &(uint32_t){(uint32_t)want}, 4);
    memcpy(hdr + 8, &low, 4);
    conn->iss = get_be32(hdr + 4) - 1;
    t->iss[0] = conn->iss;
    tcp_conn_start_at(conn, conn->iss);
    conn->snd_una = conn->snd_nxt = conn->snd_asked = conn->snd_end = tcp_iss64(conn) + 1;
    t->peer_iss = get_be32(hdr + 8) - 1;
    conn->rcv_adv += (1ull << 32) + get_be32(hdr + 8) - conn->rcv_nxt;
    conn->rcv_nxt = (1ull << 32) + get_be32(hdr + 8);
    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100, .win = 32768);
}

/* 3.8.6.2.1: a frame that the port cuts into segments holds whole ones, but for the last. */
TRACE_TEST_WITH(gso_whole_segments, .gso_bytes = 20000, .tx_csum = true)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_cc(app)->cwnd = 100 * MSS;
    trace_write(t, app, 30 * MSS);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 13 * MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 13 * MSS, .ack = 1, .len = 13 * MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 26 * MSS, .ack = 1, .len = 4 * MSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_window),
        cmocka_unit_test(watermark),
        cmocka_unit_test(watermark_of_a_small_window),
        cmocka_unit_test(whole_segments),
        cmocka_unit_test(whole_segments_asked),
        cmocka_unit_test(watermark_rest_fits),
        cmocka_unit_test(watermark_nothing_in_flight),
        cmocka_unit_test(asked_max),
        cmocka_unit_test(answers_later),
        cmocka_unit_test(stale_answer),
        cmocka_unit_test(answer_overtaken_in_part),
        cmocka_unit_test(waiting_in_order),
        cmocka_unit_test(waiting_does_not_hold_up_acks),
        cmocka_unit_test(abort_in_fill),
        cmocka_unit_test(abort_in_sent),
        cmocka_unit_test(fin_rides_on_data),
        cmocka_unit_test(fin_lost),
        cmocka_unit_test(fin_lost_with_its_data),
        cmocka_unit_test(fin_waits_for_data),
        cmocka_unit_test(gso),
        cmocka_unit_test(gso_one_segment),
        cmocka_unit_test(odd_slices),
        cmocka_unit_test(odd_slices_one_each),
        cmocka_unit_test(odd_slices_gso),
        cmocka_unit_test(psh),
        cmocka_unit_test(waiting_after_an_answer),
        cmocka_unit_test(fin_with_an_answer_at_once),
        cmocka_unit_test(asked_max_of_the_lost),
        cmocka_unit_test(checksum_carry),
        cmocka_unit_test(gso_whole_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

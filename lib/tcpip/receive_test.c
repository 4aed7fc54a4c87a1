// SPDX-License-Identifier: BSD-2-Clause
/*
 * The peer's stream with gaps in it: what is kept, what is told about it, what happens when the gap
 * closes (RFC 5681 4.2, RFC 2018, RFC 2883).
 */
#include "trace.h"

#define BLOCK(...) ((struct tcp_sack){__VA_ARGS__})

/* The next segment is a bare ACK with exactly these blocks. */
static void expect_sacks(struct trace *t, int line, uint32_t ack, uint32_t count,
                         const struct tcp_sack *sacks)
{
    struct trace_seg got =
        trace_expect(t, __FILE__, line, &(struct trace_seg){.flags = ACK, .seq = 1, .ack = ack});

    _assert_int_equal(got.sack_count, count, __FILE__, line);
    for (uint32_t i = 0; i < count; i++) {
        _assert_int_equal(got.sacks[i].start, sacks[i].start, __FILE__, line);
        _assert_int_equal(got.sacks[i].end, sacks[i].end, __FILE__, line);
    }
}
#define EXPECT_SACKS(t, ack, ...)                                                                  \
    expect_sacks(t, __LINE__, ack,                                                                 \
                 sizeof((struct tcp_sack[]){__VA_ARGS__}) / sizeof(struct tcp_sack),               \
                 (struct tcp_sack[]){__VA_ARGS__})
#define DATA(t, from, to) SEND(t, .flags = ACK, .seq = from, .ack = 1, .len = (to) - (from))

static struct trace_app *establish_sack(struct trace *t)
{
    t->sack = true;
    return trace_establish(t, 0);
}

TRACE_TEST(gap_closes)
{
    struct trace_app *app = trace_establish(t, 0);

    DATA(t, 101, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    DATA(t, 301, 401);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(app->received, 0);
    DATA(t, 1, 101); /* closes the first one; told at once */
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 201);
    assert_int_equal(app->received, 200);
    DATA(t, 201, 301);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 401);
    assert_int_equal(app->received, 400);
    assert_int_equal(STATS(t)->out_of_order, 2);
    assert_int_equal(STATS(t)->bytes_in, 400);
    assert_int_equal(t->tcp->reasm.in_use, 0);
}

/* One segment over a gap, what lies behind it, and beyond. */
TRACE_TEST(gap_covered_by_one_segment)
{
    struct trace_app *app = establish_sack(t);

    DATA(t, 101, 201);
    EXPECT_SACKS(t, 1, BLOCK(101, 201));
    DATA(t, 301, 401);
    EXPECT_SACKS(t, 1, BLOCK(301, 401), BLOCK(101, 201));
    DATA(t, 1, 351);
    EXPECT_SACKS(t, 401, BLOCK(101, 201)); /* twice; the rest of it is another report's */
    assert_int_equal(app->received, 400);
}

TRACE_TEST(fin_behind_a_gap)
{
    struct trace_app *app = establish_sack(t);

    SEND(t, .flags = ACK | FIN, .seq = 101, .ack = 1, .len = 100);
    EXPECT_SACKS(t, 1, BLOCK(101, 202)); /* a FIN has a number of its own */
    assert_int_equal(app->recv_ends, 0);
    DATA(t, 1, 101);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 202);
    assert_int_equal(app->received, 200);
    assert_int_equal(app->recv_ends, 1);
    EXPECT_STATE(app, TCP_CLOSE_WAIT);
}

TRACE_TEST(bare_fin_behind_a_gap)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = ACK | FIN, .seq = 101, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = ACK | FIN, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 2, .len = 100);
    EXPECT(t, .flags = ACK, .seq = 2, .ack = 102);
    assert_int_equal(app->recv_ends, 1);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_TIME_WAIT], 1);
    assert_int_equal(t->tcp->reasm.in_use, 0);
}

/* What follows the FIN is nonsense, and so is a FIN before what has arrived. */
TRACE_TEST(fin_contradicted)
{
    struct trace_app *app = trace_establish(t, 0);

    DATA(t, 101, 201);
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1, .len = 100);
    assert_int_equal(trace_take_all(t, NULL), 2);
    assert_int_equal(app->received, 200);
    assert_int_equal(app->recv_ends, 0);
    EXPECT_STATE(app, TCP_ESTABLISHED);
    SEND(t, .flags = ACK | FIN, .seq = 301, .ack = 1, .len = 1);
    DATA(t, 303, 310);
    DATA(t, 201, 301);
    assert_int_equal(trace_take_all(t, NULL), 3);
    assert_int_equal(app->received, 301);
    assert_int_equal(app->recv_ends, 1);
}

/* The application may end the connection in the middle of what is delivered. */
TRACE_TEST(abort_while_a_gap_closes)
{
    struct trace_app *app = trace_establish(t, 0);

    DATA(t, 1001, 2001);
    DATA(t, 2001, 3001);
    DATA(t, 5001, 5101);
    trace_take_all(t, NULL);
    app->abort_when = IN_RECV;
    DATA(t, 1, 1001);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1001);
    assert_int_equal(app->received, 1000);
    assert_int_equal(t->tcp->reasm.in_use, 0);
}

TRACE_TEST(abort_in_what_was_kept)
{
    struct trace_app *app = trace_establish(t, 0);

    DATA(t, 101, 1201);
    DATA(t, 1201, 2401); /* in two buffers */
    trace_take_all(t, NULL);
    t->raw = true;
    app->keep = true;
    DATA(t, 1, 51);
    app->abort_when = IN_RECV;
    SEND(t, .flags = ACK, .seq = 51, .ack = 1, .len = 50);
    assert_int_equal(app->closed, 1);
    trace_take_all(t, NULL);
    assert_int_equal(t->tcp->reasm.in_use, 0);
}

/* The window is what the application has room for, and what is kept is within it. */
TRACE_TEST_WITH(gap_and_window, .rcv_wnd_bytes = 1000)
{
    struct trace_app *app = trace_establish(t, 0);

    app->keep = true;
    SEND(t, .flags = ACK, .seq = 501, .ack = 1, .len = 700); /* cut to 500 */
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .win = 1000);
    DATA(t, 1, 501);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1001, .zero_win = true);
    assert_int_equal(app->received, 1000);
    tcp_recved(app->conn, 1000);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1001, .win = 1000);
}

/* --- duplicate ACKs --------------------------------------------------------------------------- */

/* RFC 5681 4.2: without SACK a sender counts them, so there is one for each segment. */
TRACE_TEST(duplicate_acks_are_counted)
{
    trace_establish(t, 0);
    t->hold = true;
    for (uint32_t i = 1; i <= 5; i++)
        DATA(t, 1 + 100 * i, 101 + 100 * i);
    t->hold = false;
    trace_turn(t);
    for (uint32_t i = 1; i <= 5; i++)
        EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT_NOTHING(t);
}

/* Those that are owed when the gap closes in the same turn would mean another gap. */
TRACE_TEST(duplicate_acks_end_with_the_gap)
{
    struct trace_app *app = trace_establish(t, 0);

    t->hold = true;
    DATA(t, 101, 201);
    DATA(t, 201, 301);
    DATA(t, 301, 401);
    DATA(t, 1, 101);
    t->hold = false;
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 401);
    EXPECT_NOTHING(t);
    assert_int_equal(app->received, 400);
}

/* With SACK one ACK says it all. */
TRACE_TEST(one_ack_with_sack)
{
    establish_sack(t);
    t->hold = true;
    DATA(t, 101, 201);
    DATA(t, 301, 401);
    DATA(t, 501, 601);
    t->hold = false;
    trace_turn(t);
    EXPECT_SACKS(t, 1, BLOCK(501, 601), BLOCK(301, 401), BLOCK(101, 201));
    EXPECT_NOTHING(t);
}

/* An ACK on data is no duplicate, and has no room for blocks: it goes alone. */
TRACE_TEST(duplicate_ack_beside_data)
{
    struct trace_app *app = establish_sack(t);

    t->hold = true;
    DATA(t, 101, 201);
    t->hold = false;
    tcp_write(app->conn, 500);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 500);
    EXPECT(t, .flags = ACK, .seq = 501, .ack = 1);
}

/* --- SACK ------------------------------------------------------------------------------------- */

TRACE_TEST(no_sack_unless_negotiated)
{
    trace_establish(t, 0);
    DATA(t, 101, 201);
    assert_int_equal(EXPECT(t, .flags = ACK, .seq = 1, .ack = 1).sack_count, 0);
    DATA(t, 101, 201);
    assert_int_equal(EXPECT(t, .flags = ACK, .seq = 1, .ack = 1).sack_count, 0);
}

/* RFC 2018 4: the newest first, then those that were told before it; as many as fit. */
TRACE_TEST(sack_newest_first)
{
    establish_sack(t);
    DATA(t, 101, 201);
    EXPECT_SACKS(t, 1, BLOCK(101, 201));
    DATA(t, 301, 401);
    EXPECT_SACKS(t, 1, BLOCK(301, 401), BLOCK(101, 201));
    DATA(t, 501, 601);
    EXPECT_SACKS(t, 1, BLOCK(501, 601), BLOCK(301, 401), BLOCK(101, 201));
    DATA(t, 201, 251);
    EXPECT_SACKS(t, 1, BLOCK(101, 251), BLOCK(501, 601), BLOCK(301, 401));
    DATA(t, 701, 801);
    EXPECT_SACKS(t, 1, BLOCK(701, 801), BLOCK(101, 251), BLOCK(501, 601), BLOCK(301, 401));
    DATA(t, 901, 951);
    EXPECT_SACKS(t, 1, BLOCK(901, 951), BLOCK(701, 801), BLOCK(101, 251), BLOCK(501, 601));
    DATA(t, 1, 101);
    EXPECT_SACKS(t, 251, BLOCK(901, 951), BLOCK(701, 801), BLOCK(501, 601), BLOCK(301, 401));
}

TRACE_TEST(sack_with_timestamps)
{
    struct trace_seg got;

    t->ts = true;
    establish_sack(t);
    for (uint32_t i = 1; i <= 4; i++) {
        SEND(t, .flags = ACK, .seq = 1 + 200 * i, .ack = 1, .len = 100, .has_ts = true);
        got = EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .has_ts = true);
    }
    assert_int_equal(got.sack_count, 3);
    assert_int_equal(got.sacks[0].start, 801);
    assert_int_equal(got.sacks[2].end, 501);
    assert_int_equal(got.opts_len, 40);
}

/* Only what is really kept is told. */
TRACE_TEST_WITH(sack_of_what_is_kept, .reasm_max = 1)
{
    struct trace_app *app = establish_sack(t);

    DATA(t, 101, 1101);
    EXPECT_SACKS(t, 1, BLOCK(101, 1101));
    DATA(t, 2001, 3001); /* no buffer */
    EXPECT_SACKS(t, 1, BLOCK(101, 1101));
    DATA(t, 1101, 2501); /* half a one */
    EXPECT_SACKS(t, 1, BLOCK(101, 2106));
    assert_int_equal(STATS(t)->drop_reasm_pool, 2);
    DATA(t, 1, 101);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2106);
    assert_int_equal(app->received, 2105);
}

/* So many holes and no more, and so many buffers: backwards, each byte takes one. */
TRACE_TEST_WITH(one_connection_has_its_share, .rcv_wnd_bytes = 2048)
{
    uint32_t share;

    establish_sack(t);
    share = tcp_reasm_share(t->app->conn);
    for (uint32_t i = 0; i < tcp_config_default().reasm_ranges_max; i++)
        DATA(t, 1001 + 2 * i, 1002 + 2 * i);
    trace_take_all(t, NULL);
    DATA(t, 901, 902);
    assert_int_equal(EXPECT(t, .flags = ACK, .seq = 1, .ack = 1).sacks[0].start,
                     1001 + 2 * (tcp_config_default().reasm_ranges_max - 1));
    assert_int_equal(STATS(t)->drop_reasm_holes, 1);
    for (uint32_t i = 0; i <= share - tcp_config_default().reasm_ranges_max; i++)
        DATA(t, 1000 - i, 1001 - i);
    trace_take_all(t, NULL);
    assert_int_equal(t->tcp->reasm.in_use, share);
    assert_int_equal(STATS(t)->drop_reasm_conn, 1);
}

/* --- D-SACK: RFC 2883 4.1 to 4.3 ----------------------------------------------------------------
 */

/* 4.1.1: a segment comes again; the report is made once. */
TRACE_TEST(dsack_of_old_data)
{
    establish_sack(t);
    DATA(t, 1, 501);
    ADVANCE(t, 40);
    EXPECT_SACKS(t, 501);
    DATA(t, 1, 501);
    EXPECT_SACKS(t, 501, BLOCK(1, 501));
    DATA(t, 701, 801);
    EXPECT_SACKS(t, 501, BLOCK(701, 801));
    assert_int_equal(STATS(t)->duplicates, 1);
}

/* 4.1.2: old data while there is a gap: D-SACK first, then what is kept. */
TRACE_TEST(dsack_and_gap)
{
    establish_sack(t);
    DATA(t, 1, 501);
    DATA(t, 1001, 1501);
    EXPECT_SACKS(t, 501, BLOCK(1001, 1501));
    DATA(t, 1, 501);
    EXPECT_SACKS(t, 501, BLOCK(1, 501), BLOCK(1001, 1501));
}

/* 4.1.3 and 4.2.1: what is kept comes again, within a larger block. */
TRACE_TEST(dsack_of_kept_data)
{
    establish_sack(t);
    DATA(t, 501, 1001);
    DATA(t, 1001, 1501);
    DATA(t, 2001, 2501);
    trace_take_all(t, NULL);
    DATA(t, 1001, 1501);
    EXPECT_SACKS(t, 1, BLOCK(1001, 1501), BLOCK(501, 1501), BLOCK(2001, 2501));
}

/* 4.2: part of a segment is old. */
TRACE_TEST(dsack_of_a_part)
{
    struct trace_app *app = establish_sack(t);

    DATA(t, 1, 501);
    DATA(t, 251, 751);
    EXPECT_SACKS(t, 751, BLOCK(251, 501));
    assert_int_equal(app->received, 750);
}

/* A keepalive with a byte of rubbish in it is reported as what it is; one without is not. */
TRACE_TEST(dsack_of_a_keepalive)
{
    establish_sack(t);
    DATA(t, 1, 501);
    ADVANCE(t, 40);
    EXPECT_SACKS(t, 501);
    SEND(t, .flags = ACK, .seq = 500, .ack = 1);
    EXPECT_SACKS(t, 501);
    SEND(t, .flags = ACK, .seq = 500, .ack = 1, .len = 1);
    EXPECT_SACKS(t, 501, BLOCK(500, 501));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gap_closes),
        cmocka_unit_test(gap_covered_by_one_segment),
        cmocka_unit_test(fin_behind_a_gap),
        cmocka_unit_test(bare_fin_behind_a_gap),
        cmocka_unit_test(fin_contradicted),
        cmocka_unit_test(abort_while_a_gap_closes),
        cmocka_unit_test(abort_in_what_was_kept),
        cmocka_unit_test(gap_and_window),
        cmocka_unit_test(duplicate_acks_are_counted),
        cmocka_unit_test(duplicate_acks_end_with_the_gap),
        cmocka_unit_test(one_ack_with_sack),
        cmocka_unit_test(duplicate_ack_beside_data),
        cmocka_unit_test(no_sack_unless_negotiated),
        cmocka_unit_test(sack_newest_first),
        cmocka_unit_test(sack_with_timestamps),
        cmocka_unit_test(sack_of_what_is_kept),
        cmocka_unit_test(one_connection_has_its_share),
        cmocka_unit_test(dsack_of_old_data),
        cmocka_unit_test(dsack_and_gap),
        cmocka_unit_test(dsack_of_kept_data),
        cmocka_unit_test(dsack_of_a_part),
        cmocka_unit_test(dsack_of_a_keepalive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

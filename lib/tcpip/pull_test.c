// SPDX-License-Identifier: BSD-2-Clause
/*
 * Streams with joints: where questions end, and when one is asked that does not end at a joint.
 * Questions in general are in output_test.c.
 */
#include "trace.h"

#define MSS 1460

static struct trace_app *with_records(struct trace *t, uint32_t record)
{
    struct trace_app *app = trace_establish(t, 0);

    app->record = record;
    return app;
}

/* How far it has been asked for, in the stream. */
static uint64_t asked(const struct trace_app *app)
{
    return tcp_offset(app->conn, app->conn->snd_asked);
}

/* Everything is acknowledged at once, again and again, and no time passes. */
static void to_the_end(struct trace *t, struct trace_app *app, uint64_t bytes)
{
    while (app->acked < bytes) {
        assert_true(trace_take_all(t, NULL) > 0);
        trace_ack_all(t);
    }
    assert_int_equal(STATS(t)->rto_fired + STATS(t)->tlp_probes, 0);
}

/* Of ten segments that the first window admits, nine and a bit are three records. */
TRACE_TEST_WITH(first_window, .joints = true)
{
    struct trace_app *app = with_records(t, 4321);
    uint64_t bytes;

    trace_write(t, app, 100000);
    assert_int_equal(app->fills, 1);
    assert_int_equal(trace_take_all(t, &bytes), 9);
    assert_int_equal(bytes, 3 * 4321);
    to_the_end(t, app, 0);
}

/* One segment after the other is acknowledged; no question ends within a record. */
TRACE_TEST_WITH(whole_records, .joints = true)
{
    struct trace_app *app = with_records(t, 5003);
    uint32_t acked = 0;

    trace_write(t, app, 300000);
    while (acked < 300000) {
        assert_true(asked(app) % 5003 == 0 || asked(app) == 300000);
        assert_true(asked(app) > acked);
        acked = min_u32(acked + MSS, (uint32_t)asked(app));
        SEND(t, .flags = ACK, .seq = 1, .ack = 1 + acked);
        trace_take_all(t, NULL);
    }
}

/* The peer's window never holds a record: it is filled as it would be without any. */
TRACE_TEST_WITH(window_smaller_than_a_record, .joints = true)
{
    struct trace_app *app;

    t->win = 8 * MSS;
    app = with_records(t, 40001);
    trace_write(t, app, 200000);
    assert_int_equal(trace_take_all(t, NULL), 8);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 2);
    trace_ack_all(t);
    to_the_end(t, app, 200000);
}

/* The window reaches the joint only with the piece of a segment that cwnd leaves over, and no ACK
 * is to come. */
TRACE_TEST_WITH(nothing_in_flight, .joints = true)
{
    struct trace_app *app = with_records(t, 10 * MSS + 300);

    trace_cc(app)->cwnd = 10 * MSS + 700;
    trace_write(t, app, 200000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    trace_ack_all(t);
    to_the_end(t, app, 200000);
}

/* Less than a record is left of the window, and more will be when the ACKs are here. */
TRACE_TEST_WITH(waits_for_acks, .joints = true)
{
    struct trace_app *app = with_records(t, 7 * MSS);

    app->conn->max_snd_wnd = 65535;
    trace_cc(app)->ssthresh = 1; /* no slow start */
    trace_write(t, app, 200000);
    assert_int_equal(trace_take_all(t, NULL), 7);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 3 * MSS);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 4 * MSS);
    assert_int_equal(trace_take_all(t, NULL), 7);
    trace_ack_all(t);
    trace_take_all(t, NULL);
}

/* RFC 8985 7: nothing was heard for long; one segment of a record, though a whole one waits. */
TRACE_TEST_WITH(loss_probe, .joints = true)
{
    struct trace_app *app;

    t->sack = true;
    app = with_records(t, 7 * MSS);
    trace_write(t, app, 200000);
    assert_int_equal(trace_take_all(t, NULL), 7);
    ADVANCE(t, 1100);
    assert_true(STATS(t)->tlp_probes > 0);
    EXPECT(t, .flags = ACK, .seq = 1 + 7 * MSS, .ack = 1, .len = MSS);
    trace_take_all(t, NULL);
}

/* RFC 3042: what duplicate ACKs stand for lets a new segment go, though it is a part of a record.
 */
TRACE_TEST_WITH(limited_transmit, .joints = true)
{
    struct trace_app *app = with_records(t, 10 * MSS);

    trace_write(t, app, 200000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1 + 10 * MSS, .ack = 1, .len = MSS);
    trace_take_all(t, NULL);
}

/* RFC 5682 2.1, 2: two new segments tell whether the timeout was one. */
TRACE_TEST_WITH(frto, .joints = true)
{
    struct trace_app *app = with_records(t, 10 * MSS);

    trace_write(t, app, 200000);
    assert_int_equal(trace_take_all(t, NULL), 10);
    ADVANCE(t, 300);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 10 * MSS, .ack = 1, .len = MSS);
    EXPECT(t, .flags = ACK, .seq = 1 + 11 * MSS, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
}

/* A shut window is probed with one byte, which is no record. */
TRACE_TEST_WITH(window_probe, .joints = true)
{
    struct trace_app *app = with_records(t, 5000);

    trace_write(t, app, 5000);
    assert_int_equal(trace_take_all(t, NULL), 4);
    SEND(t, .flags = ACK, .seq = 1, .ack = 5001, .zero_win = true);
    trace_write(t, app, 20000);
    EXPECT_NOTHING(t);
    ADVANCE(t, 300);
    EXPECT(t, .flags = ACK, .seq = 5001, .ack = 1, .len = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 5001, .zero_win = true);
    SEND(t, .flags = ACK, .seq = 1, .ack = 5001);
    trace_take_all(t, NULL);
    trace_ack_all(t);
    to_the_end(t, app, 25000);
}

/* A record is larger than a burst: it goes as a whole, and the rate is what it should be. */
TRACE_TEST_WITH(pace, .joints = true)
{
    struct trace_app *app;
    uint64_t bytes = 0;

    t->wscale = true;
    app = with_records(t, 16001);
    tcp_set_rate(app->conn, 1000000);
    trace_cc(app)->cwnd = 1000 * MSS;
    trace_write(t, app, 10000000);
    for (int ms = 0; ms < 200; ms++) {
        uint64_t more;

        ADVANCE(t, 1);
        trace_take_all(t, &more);
        assert_int_equal(asked(app) % 16001, 0);
        assert_true(more <= 16001);
        bytes += more;
        trace_ack_all(t);
    }
    assert_in_range(bytes, 180000, 240000);
}

/* Where no record fits the window, bursts are parts of one, and none waits for the disk's answer to
 * the one before. */
TRACE_TEST_WITH(pace_without_joints, .joints = true)
{
    struct trace_app *app;

    t->win = 8 * MSS;
    app = with_records(t, 40001);
    tcp_set_rate(app->conn, 1000000);
    app->fill = FILL_LATER;
    trace_write(t, app, 100000);
    ADVANCE(t, 4);
    assert_int_equal(app->promise_count, 3);
    assert_int_equal(app->promises[1].len, 2 * MSS);
    while (app->promise_count)
        trace_answer(t, app);
    trace_take_all(t, NULL);
}

/* What may be asked for before an answer holds two records and a bit: the bit waits. */
TRACE_TEST_WITH(asked_max, .joints = true, .asked_max_bytes = 12000)
{
    struct trace_app *app = with_records(t, 4321);

    app->fill = FILL_LATER;
    trace_write(t, app, 100000);
    assert_int_equal(app->promise_count, 1);
    assert_int_equal(app->promises[0].len, 2 * 4321);
    trace_answer(t, app);
    trace_take_all(t, NULL);
    assert_int_equal(app->promise_count, 1);
    assert_int_equal(app->promises[0].len, 4321);
    trace_answer(t, app);
    trace_take_all(t, NULL);
}

/* It holds no record at all: then parts of one. */
TRACE_TEST_WITH(asked_max_is_less_than_a_record, .joints = true, .asked_max_bytes = 4000)
{
    struct trace_app *app = with_records(t, 9001);

    app->fill = FILL_LATER;
    trace_write(t, app, 50000);
    assert_int_equal(app->promise_count, 1);
    assert_int_equal(app->promises[0].len, 2 * MSS);
    while (app->acked < 50000) {
        while (app->promise_count)
            trace_answer(t, app);
        assert_true(trace_take_all(t, NULL) > 0);
        trace_ack_all(t);
    }
}

/* What is written ends at a joint, whatever its length. */
TRACE_TEST_WITH(rest, .joints = true)
{
    struct trace_app *app = with_records(t, 4000);

    trace_write(t, app, 9000);
    assert_int_equal(app->fills, 1);
    assert_int_equal(trace_take_all(t, NULL), 7);
}

/* --- the stream grows while it is asked for --------------------------------------------------- */

TRACE_TEST(write_in_fill)
{
    struct trace_app *app = trace_establish(t, 0);
    uint64_t bytes;

    app->write_when = IN_FILL;
    app->write_bytes = 5000;
    trace_write(t, app, 1000);
    assert_true(tcp_next_ns(t->tcp) <= t->now_ns); /* it is not forgotten */
    trace_turn(t);
    trace_take_all(t, &bytes);
    assert_int_equal(bytes, 6000);
    assert_true(tcp_next_ns(t->tcp) > t->now_ns);
    trace_ack_all(t);
    assert_int_equal(app->acked, 6000);
}

/* It has written, and has no buffer: one place in the line, and its turn before the others'. */
TRACE_TEST(write_in_fill_and_no_buffer)
{
    struct trace_app *a = trace_establish(t, 0), *b = trace_establish(t, 1);

    a->write_when = IN_FILL;
    a->write_bytes = 200;
    a->fill = FILL_REFUSE;
    tcp_write(a->conn, 100);
    tcp_write(b->conn, 100);
    trace_turn(t);
    EXPECT_NOTHING(t);
    assert_true(tcp_starved(t->tcp));
    a->fill = FILL_NOW;
    trace_turn(t);
    EXPECT(t, .flags = ACK | PSH, .seq = 1, .ack = 1, .len = 300);
    EXPECT(t, .flags = ACK | PSH, .seq = 1, .ack = 1, .len = 100, .port = 1);
    assert_int_equal(a->fills, 2);
}

/* A lost range is asked for: the stream grows, and the window says when that is sent. */
TRACE_TEST(write_in_fill_of_the_lost)
{
    struct trace_app *app = trace_establish(t, 0);

    trace_write(t, app, MSS);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    app->write_when = IN_FILL;
    app->write_bytes = 500;
    ADVANCE(t, 201);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    EXPECT_NOTHING(t);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    EXPECT(t, .flags = ACK | PSH, .seq = 1 + MSS, .ack = 1, .len = 500);
}

/* --- what the application is told --------------------------------------------------------------
 */

TRACE_TEST(window)
{
    struct trace_app *app = trace_establish(t, 0);

    assert_int_equal(tcp_conn_mss(app->conn), MSS);
    assert_int_equal(tcp_conn_window(app->conn), 10 * MSS);
    trace_write(t, app, 100000);
    while (app->acked < 100000) {
        trace_take_all(t, NULL);
        trace_ack_all(t);
    }
    assert_int_equal(tcp_conn_window(app->conn), 65535); /* the peer's */
    trace_turn(t);
    ADVANCE(t, 3000); /* RFC 5681 4.1 */
    assert_int_equal(tcp_conn_window(app->conn), 10 * MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 100001, .win = 3000);
    assert_int_equal(tcp_conn_window(app->conn), 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_window),
        cmocka_unit_test(whole_records),
        cmocka_unit_test(window_smaller_than_a_record),
        cmocka_unit_test(nothing_in_flight),
        cmocka_unit_test(waits_for_acks),
        cmocka_unit_test(loss_probe),
        cmocka_unit_test(limited_transmit),
        cmocka_unit_test(frto),
        cmocka_unit_test(window_probe),
        cmocka_unit_test(pace),
        cmocka_unit_test(pace_without_joints),
        cmocka_unit_test(asked_max),
        cmocka_unit_test(asked_max_is_less_than_a_record),
        cmocka_unit_test(rest),
        cmocka_unit_test(write_in_fill),
        cmocka_unit_test(write_in_fill_and_no_buffer),
        cmocka_unit_test(write_in_fill_of_the_lost),
        cmocka_unit_test(window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

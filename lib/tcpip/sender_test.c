// SPDX-License-Identifier: BSD-2-Clause
/* The sending half of a connection: who has it, for how long, and who gets it next. */
#include "trace.h"

#define MSS 1460

static void one_sender(struct trace *t, struct tcp_config *config)
{
    config->senders_max = 1;
}

/* What the application was asked for will come, though nothing is out and all is asked for. */
TRACE_TEST_WITH(asked_bytes_keep_it, .configure = one_sender)
{
    struct trace_app *app = trace_establish(t, 0), *other = trace_establish(t, 1);

    app->fill = FILL_LATER;
    app->promise_max = MSS;
    trace_write(t, app, 2 * MSS);
    assert_int_equal(app->promise_count, 2);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + MSS);
    trace_write(t, other, 100);
    EXPECT_NOTHING(t);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    EXPECT(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .port = 1, .flags = ACK, .seq = 1, .ack = 101);
}

/* Whoever waits for a sender gets the one that has nothing to do any more, at once. */
TRACE_TEST_WITH(the_next_has_it_at_once, .configure = one_sender)
{
    struct trace_app *app = trace_establish(t, 0), *other = trace_establish(t, 1);

    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    trace_write(t, other, 100);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->sender_waits, 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101);
    EXPECT(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .port = 1, .flags = ACK, .seq = 1, .ack = 101);
}

/* A peer that does not close after our FIN holds a connection, but no sender. */
TRACE_TEST_WITH(fin_wait_2_needs_none, .configure = one_sender)
{
    struct trace_app *app = trace_establish(t, 0), *other = trace_establish(t, 1);

    tcp_write(app->conn, 100);
    tcp_close(app->conn);
    trace_turn(t);
    EXPECT(t, .flags = FIN | ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 102);
    EXPECT_STATE(app, TCP_FIN_WAIT_2);
    trace_write(t, other, 100);
    EXPECT(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .port = 1, .flags = ACK, .seq = 1, .ack = 101);
}

/* Who waits for a sender goes on receiving: what arrives is acknowledged. */
TRACE_TEST_WITH(acks_do_not_wait, .configure = one_sender)
{
    struct trace_app *app = trace_establish(t, 0), *other = trace_establish(t, 1);

    trace_write(t, app, 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    trace_write(t, other, 100);
    assert_int_equal(STATS(t)->sender_waits, 1);
    SEND(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1, .len = MSS);
    SEND(t, .port = 1, .flags = ACK, .seq = 1 + MSS, .ack = 1, .len = MSS);
    EXPECT(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101);
    EXPECT(t, .port = 1, .flags = ACK, .seq = 1, .ack = 1 + 2 * MSS, .len = 100);
    SEND(t, .port = 1, .flags = ACK, .seq = 1 + 2 * MSS, .ack = 101);
}

static void one_range(struct trace *t, struct tcp_config *config)
{
    config->ranges_max = 1;
}

/* A FIN is not sent as a part of a range of bytes: lost, it would come again without them. */
TRACE_TEST_WITH(no_range_for_a_fin, .configure = one_range)
{
    struct trace_app *app = trace_establish(t, 0), *other = trace_establish(t, 1);

    tcp_write(app->conn, 100);
    tcp_close(app->conn);
    tcp_close(other->conn);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    ADVANCE(t, 500);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 101);
    EXPECT(t, .flags = FIN | ACK, .seq = 101, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 102);
    ADVANCE(t, 210);
    EXPECT(t, .port = 1, .flags = FIN | ACK, .seq = 1, .ack = 1);
    SEND(t, .port = 1, .flags = ACK, .seq = 1, .ack = 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_bytes_keep_it),   cmocka_unit_test(the_next_has_it_at_once),
        cmocka_unit_test(fin_wait_2_needs_none), cmocka_unit_test(acks_do_not_wait),
        cmocka_unit_test(no_range_for_a_fin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

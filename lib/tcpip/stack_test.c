// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control path, and what the stack tells about itself.
 */
#include "trace.h"

#include <errno.h>

TRACE_TEST(listen_twice)
{
    struct ip_addr one = ip_addr_v4("\300\0\2\1"), other = ip_addr_v4("\300\0\2\7");

    assert_int_equal(tcp_listen(t->tcp, NULL, TRACE_PORT, &trace_ops, t), -EADDRINUSE);
    assert_int_equal(tcp_listen(t->tcp, &one, TRACE_PORT, &trace_ops, t), -EADDRINUSE);
    assert_int_equal(tcp_listen(t->tcp, &one, 81, &trace_ops, t), 0);
    assert_int_equal(tcp_listen(t->tcp, &one, 81, &trace_ops, t), -EADDRINUSE);
    assert_int_equal(tcp_listen(t->tcp, &other, 81, &trace_ops, t), 0);
    assert_int_equal(tcp_listen(t->tcp, NULL, 81, &trace_ops, t), -EADDRINUSE);
    for (uint16_t port = 100; port < 100 + TCP_LISTENERS_MAX - 3; port++)
        assert_int_equal(tcp_listen(t->tcp, NULL, port, &trace_ops, t), 0);
    assert_int_equal(tcp_listen(t->tcp, NULL, 99, &trace_ops, t), -ENOSPC);
}

TRACE_TEST(listen_on_one_address)
{
    struct ip_addr one = ip_addr_v4("\300\0\2\1"), other = ip_addr_v4("\300\0\2\7");

    assert_int_equal(tcp_listen(t->tcp, &one, 81, &trace_ops, t), 0);
    assert_int_equal(tcp_listen(t->tcp, &other, 82, &trace_ops, t), 0);
    SEND(t, .flags = SYN, .our_port = 81);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .our_port = 81);
    t->iss[1] = 0;
    SEND(t, .flags = SYN, .our_port = 82, .port = 1);
    EXPECT(t, .flags = RST | ACK, .seq = 0, .ack = 1, .our_port = 82, .port = 1);
}

/* Those that are there go on; half-open ones are still accepted; new ones are refused. */
TRACE_TEST(listen_stop)
{
    struct trace_app *app = trace_establish(t, 0);

    SEND(t, .flags = SYN, .port = 1);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = 1);
    tcp_listen_stop(t->tcp);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = 1);
    assert_int_equal(t->apps[1].accepted, 1);
    SEND(t, .flags = SYN, .port = 2);
    EXPECT(t, .flags = RST | ACK, .seq = 0, .ack = 1, .port = 2);
    trace_write(t, app, 10);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10);
}

TRACE_TEST(connect_errors)
{
    struct ip_addr us = ip_addr_v4("\300\0\2\1"), peer = ip_addr_v4("\300\0\2\2");
    struct ip_addr stranger = ip_addr_v4("\306\63\144\1"), not_us = ip_addr_v4("\300\0\2\7");
    struct tcp_conn *conn;

    trace_connect(t);
    EXPECT(t, .flags = SYN);
    assert_int_equal(tcp_connect(t->tcp, &conn, &us, TRACE_PORT, &peer, TRACE_PEER_PORT, &trace_ops,
                                 t, t->now_ns),
                     -EADDRINUSE);
    assert_int_equal(tcp_connect(t->tcp, &conn, &us, 81, &stranger, 1, &trace_ops, t, t->now_ns),
                     -ENETUNREACH);
    assert_int_equal(tcp_connect(t->tcp, &conn, &not_us, 81, &peer, 1, &trace_ops, t, t->now_ns),
                     -EADDRNOTAVAIL);
    assert_int_equal(tcp_state_counts(t->tcp)[TCP_SYN_SENT], 1);
}

TRACE_TEST_WITH(connect_without_room, .conns_max = 1)
{
    struct ip_addr us = ip_addr_v4("\300\0\2\1"), peer = ip_addr_v4("\300\0\2\2");
    struct tcp_conn *conn;

    trace_establish(t, 0);
    assert_int_equal(tcp_connect(t->tcp, &conn, &us, 81, &peer, 1, &trace_ops, t, t->now_ns),
                     -ENOBUFS);
}

TRACE_TEST(init_errors)
{
    struct tcp_config config = t->tcp->config;
    struct tcp *tcp;

    config.conns_max = 0;
    assert_int_equal(tcpip_init(&tcp, &config, 0), -EINVAL);
    config.conns_max = 8;
    config.cc = "vegas";
    assert_int_equal(tcpip_init(&tcp, &config, 0), -EINVAL);
    config.cc = "newreno";
    config.rcv_wnd_bytes = TCP_CWND_MAX + 1;
    assert_int_equal(tcpip_init(&tcp, &config, 0), -EINVAL);
    config.rcv_wnd_bytes = 1000;
    config.conns_max = 1u << 24;
    assert_int_equal(tcpip_init(&tcp, &config, 0), -ENOMEM);
}

TRACE_TEST(info)
{
    struct trace_app *app = trace_establish(t, 0);
    struct tcp_info info;

    app->fill = FILL_LATER;
    app->promise_max = 1000;
    trace_write(t, app, 5000);
    trace_answer(t, app);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1000);
    SEND(t, .flags = ACK, .seq = 1, .ack = 401, .len = 7);
    tcp_conn_info(app->conn, &info);
    assert_int_equal(info.state, TCP_ESTABLISHED);
    assert_int_equal(info.written, 5000);
    assert_int_equal(info.asked, 5000);
    assert_int_equal(info.sent, 1000);
    assert_int_equal(info.acked, 400);
    assert_int_equal(info.received, 7);
    assert_int_equal(info.remote_port, TRACE_PEER_PORT);
    assert_ptr_equal(tcp_conn_user(app->conn), app);
    while (app->promise_count)
        trace_answer(t, app);
    trace_take_all(t, NULL);
    ADVANCE(t, 50);
    trace_take_all(t, NULL);
}

/* When there is something to do, and that there is nothing. */
TRACE_TEST(next)
{
    struct trace_app *app = trace_establish(t, 0);

    assert_true(tcp_next_ns(t->tcp) > t->now_ns);
    tcp_write(app->conn, 10);
    assert_int_equal(tcp_next_ns(t->tcp), t->now_ns);
    trace_turn(t);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 10);
    assert_in_range(tcp_next_ns(t->tcp), t->now_ns + 1, t->now_ns + 200 * NS_PER_MS);
    t->hold = true;
    SEND(t, .flags = ACK, .ack = 9, .port = 5);
    t->hold = false;
    trace_turn(t);
    EXPECT(t, .flags = RST, .seq = 9, .port = 5);
}

/* A listing meets every connection once, also those in TIME-WAIT. */
TRACE_TEST(listing)
{
    uint32_t n = 0, ports = 0;

    for (uint16_t i = 0; i < 6; i++)
        trace_establish(t, i);
    tcp_abort(t->apps[2].conn, t->now_ns);
    trace_turn(t);
    trace_take_all(t, NULL);
    for (struct tcp_conn *c = tcp_conn_next(t->tcp, NULL); c; c = tcp_conn_next(t->tcp, c)) {
        n++;
        ports |= 1u << (c->remote_port - TRACE_PEER_PORT);
    }
    assert_int_equal(n, 5);
    assert_int_equal(ports, 0x3b);
}

/* The same by places, which may be looked at with turns in between: who stays is met once. */
TRACE_TEST(listing_in_steps)
{
    uint32_t met[6] = {0};

    for (uint16_t i = 0; i < 6; i++)
        trace_establish(t, i);
    for (uint32_t place = 0; place < tcp_conn_places(t->tcp); place++) {
        for (struct tcp_conn *c = tcp_conn_at(t->tcp, place); c; c = tcp_conn_beside(c))
            met[c->remote_port - TRACE_PEER_PORT]++;
        if (place == tcp_conn_places(t->tcp) / 2) {
            tcp_abort(t->apps[2].conn, t->now_ns);
            trace_turn(t);
            trace_take_all(t, NULL);
        }
    }
    for (uint32_t i = 0; i < 6; i++)
        assert_true(met[i] == 1 || (i == 2 && met[i] == 0));
}

TRACE_TEST(abort_by_the_application)
{
    struct trace_app *app = trace_establish(t, 0);

    tcp_abort(app->conn, t->now_ns);
    assert_int_equal(app->why, TCP_END_ABORTED);
    trace_turn(t);
    EXPECT(t, .flags = RST | ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    EXPECT(t, .flags = RST, .seq = 1);
}

/* Nobody to send an RST to: our SYN may not have arrived. */
TRACE_TEST(abort_in_syn_sent)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    tcp_abort(t->app->conn, t->now_ns);
    trace_turn(t);
    EXPECT_NOTHING(t);
    assert_int_equal(t->app->why, TCP_END_ABORTED);
}

/* An idle connection costs at most 512 bytes. */
TRACE_TEST(memory_of_a_connection)
{
    assert_true(tcp_conn_bytes() <= 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listen_twice),
        cmocka_unit_test(listen_on_one_address),
        cmocka_unit_test(listen_stop),
        cmocka_unit_test(connect_errors),
        cmocka_unit_test(connect_without_room),
        cmocka_unit_test(init_errors),
        cmocka_unit_test(info),
        cmocka_unit_test(next),
        cmocka_unit_test(listing),
        cmocka_unit_test(listing_in_steps),
        cmocka_unit_test(abort_by_the_application),
        cmocka_unit_test(abort_in_syn_sent),
        cmocka_unit_test(memory_of_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * A transport that writes down what it is told: O2 opens client 2, A2 sends its request, C2 closes.
 * The test is the network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine.h"

#define LOG_BYTES   256
#define ARENA_BYTES (4u << 20)
#define START_NS    NS_PER_S
#define OK          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
#define SHA256_ABC                                                                                 \
    {                                                                                              \
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22,  \
            0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2,    \
            0x00, 0x15, 0xad                                                                       \
    }

struct world {
    struct mem_arena *arena;
    struct target target[2];
    struct targets targets;
    struct engine *e;
    uint64_t now_ns;
    bool refuse;
    char log[LOG_BYTES];
};

static void note(struct world *w, char what, const struct client *client)
{
    size_t n = strlen(w->log);

    assert_true(n + 8 < LOG_BYTES);
    snprintf(w->log + n, LOG_BYTES - n, "%s%c%u", n ? " " : "", what,
             (unsigned)(client - engine_client(w->e, 0)));
}

static bool note_open(void *arg, struct client *client, enum client_end *why, uint64_t now_ns)
{
    struct world *w = arg;

    note(w, 'O', client);
    *why = CLIENT_UNREACHABLE;
    return !w->refuse;
}

static void note_ask(void *arg, struct client *client, uint64_t now_ns)
{
    note(arg, (char)('A' + client->target), client);
}

static void note_close(void *arg, struct client *client, uint64_t now_ns)
{
    note(arg, 'x', client);
}

static const struct transport notes = {.open = note_open, .ask = note_ask, .close = note_close};

static struct engine_config usual(void)
{
    return (struct engine_config){.clients = 1,
                                  .active = 1,
                                  .requests = UINT64_MAX,
                                  .opening_max = 64,
                                  .timeout_ns = 10 * NS_PER_S};
}

static void begin(struct world *w, struct engine_config config)
{
    *w = (struct world){.now_ns = START_NS,
                        .target = {{.request = "a", .request_len = 1, .digest = SHA256_ABC},
                                   {.request = "b", .request_len = 1}}};
    w->targets = (struct targets){.list = w->target, .count = 2, .capacity = 2};
    assert_int_equal(mem_arena_open(&w->arena, ARENA_BYTES, 0), 0);
    config.arena = w->arena;
    config.targets = &w->targets;
    assert_int_equal(engine_open(&w->e, &config, &notes, w, w->now_ns), 0);
}

static void end(struct world *w)
{
    engine_stop(w->e, w->now_ns);
    assert_int_equal(engine_stats(w->e)->open, 0);
    engine_close(w->e);
    mem_arena_close(w->arena);
}

/* Time passes, and this is what the transport was told since the last time. */
static void expect(struct world *w, uint64_t ms, const char *log)
{
    w->now_ns += ms * NS_PER_MS;
    engine_turn(w->e, w->now_ns);
    assert_string_equal(w->log, log);
    w->log[0] = '\0';
}

static struct client *client(struct world *w, uint32_t i)
{
    return engine_client(w->e, i);
}

static bool receive(struct world *w, uint32_t i, const char *bytes)
{
    return client_received(client(w, i), (const uint8_t *)bytes, strlen(bytes), w->now_ns);
}

static uint64_t failed(struct world *w, enum failure cause)
{
    return engine_stats(w->e)->failed[cause];
}

static void test_closed_loop(void **state)
{
    struct world w;

    begin(&w, usual());
    expect(&w, 0, "O0");
    w.now_ns += NS_PER_MS;
    client_connected(client(&w, 0), w.now_ns);
    expect(&w, 5, "A0");
    assert_true(receive(&w, 0, "HTTP/1.1 200 OK\r\nContent-"));
    w.now_ns += NS_PER_MS;
    assert_true(receive(&w, 0, "Length: 3\r\n\r\nab"));
    assert_int_equal(client_skippable(client(&w, 0)), 1);
    assert_true(receive(&w, 0, "c"));
    expect(&w, 0, "B0");
    assert_true(receive(&w, 0, OK));
    expect(&w, 0, "A0");
    assert_int_equal(engine_stats(w.e)->responses, 2);
    assert_int_equal(engine_stats(w.e)->body_bytes, 6);
    assert_int_equal(engine_stats(w.e)->by_status[200], 2);
    assert_int_equal(engine_stats(w.e)->connect.sum_ns, NS_PER_MS);
    assert_int_equal(engine_stats(w.e)->response.sum_ns, 6 * NS_PER_MS);
    assert_int_equal(engine_stats(w.e)->first_byte.sum_ns, 5 * NS_PER_MS);
    assert_int_equal(engine_stats(w.e)->response_max_ns, 6 * NS_PER_MS);
    assert_int_equal(engine_stats(w.e)->open, 1);
    assert_int_equal(engine_failures(engine_stats(w.e)), 0);
    end(&w);
}

static void test_close(void **state)
{
    struct engine_config config = usual();
    struct world w;

    config.close = true;
    begin(&w, config);
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    receive(&w, 0, OK);
    expect(&w, 0, "A0"); /* it waits for the server to close */
    client_ended(client(&w, 0), CLIENT_EOF, w.now_ns);
    expect(&w, 0, "x0 O0");
    client_connected(client(&w, 0), w.now_ns);
    receive(&w, 0, OK);
    expect(&w, 1999, "B0");
    expect(&w, 1, "x0 O0"); /* which it does not do */
    assert_int_equal(engine_failures(engine_stats(w.e)), 0);
    end(&w);
}

static void test_requests(void **state)
{
    struct engine_config config = usual();
    struct world w;

    config.clients = config.active = 2;
    config.requests = 3;
    begin(&w, config);
    expect(&w, 0, "O0 O1");
    client_connected(client(&w, 0), w.now_ns);
    receive(&w, 0, OK);
    assert_false(receive(&w, 0, OK));
    expect(&w, 0, "A0 A0 x0");
    assert_false(engine_finished(w.e));
    client_ended(client(&w, 1), CLIENT_REFUSED, w.now_ns);
    expect(&w, 0, "x1");
    expect(&w, 200, "");
    assert_true(engine_finished(w.e));
    assert_int_equal(failed(&w, FAILURE_REFUSED), 1);
    end(&w);
}

static void test_failures(void **state)
{
    static const struct {
        const char *bytes;
        int end; /* -1: none */
        enum failure cause;
    } cases[] = {
        {"", CLIENT_EOF, FAILURE_CLOSED},
        {"", CLIENT_RESET, FAILURE_RESET},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", CLIENT_EOF, FAILURE_CLOSED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", CLIENT_RESET, FAILURE_RESET},
        {"HTTP/1.1 200 OK\r\n\r\nab", CLIENT_RESET, FAILURE_RESET},
        {"HTTP/1.1 200 OK\r\n", CLIENT_TIMED_OUT, FAILURE_TIMEOUT},
        {"SSH-2.0\r\n", -1, FAILURE_MALFORMED},
        {OK "HTTP/1.1", -1, FAILURE_MALFORMED},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        struct world w;

        begin(&w, usual());
        expect(&w, 0, "O0");
        client_connected(client(&w, 0), w.now_ns);
        if (*cases[i].bytes)
            assert_int_equal(receive(&w, 0, cases[i].bytes), cases[i].end >= 0);
        if (cases[i].end >= 0)
            client_ended(client(&w, 0), (enum client_end)cases[i].end, w.now_ns);
        expect(&w, 0, "A0 x0");
        assert_int_equal(failed(&w, cases[i].cause), 1);
        assert_int_equal(engine_failures(engine_stats(w.e)), 1);
        expect(&w, 99, "");
        expect(&w, 1, "O0"); /* after a pause */
        end(&w);
    }
}

static void test_body_to_the_end(void **state)
{
    struct world w;

    begin(&w, usual());
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    assert_true(receive(&w, 0, "HTTP/1.1 200 OK\r\n\r\nab"));
    assert_true(client_skipped(client(&w, 0), 1000, w.now_ns));
    client_ended(client(&w, 0), CLIENT_EOF, w.now_ns);
    expect(&w, 0, "A0 x0 O0");
    assert_int_equal(engine_stats(w.e)->responses, 1);
    assert_int_equal(engine_stats(w.e)->body_bytes, 1002);
    assert_int_equal(engine_failures(engine_stats(w.e)), 0);
    end(&w);
}

static void test_retry(void **state)
{
    struct world w;

    begin(&w, usual());
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    receive(&w, 0, OK);
    client_ended(client(&w, 0), CLIENT_RESET, w.now_ns);
    expect(&w, 0, "A0 B0 x0 O0");
    client_connected(client(&w, 0), w.now_ns);
    expect(&w, 0, "B0"); /* the same one again, and only once more */
    client_ended(client(&w, 0), CLIENT_EOF, w.now_ns);
    expect(&w, 0, "x0");
    assert_int_equal(engine_stats(w.e)->retries, 1);
    assert_int_equal(failed(&w, FAILURE_CLOSED), 1);
    end(&w);
}

static void test_timeouts(void **state)
{
    struct world w;

    begin(&w, usual());
    expect(&w, 0, "O0");
    expect(&w, 9999, "");
    expect(&w, 1, "x0");
    assert_int_equal(failed(&w, FAILURE_CONNECT_TIMEOUT), 1);
    expect(&w, 100, "O0");
    client_connected(client(&w, 0), w.now_ns);
    expect(&w, 9000, "B0"); /* the first request failed with its connection */
    assert_true(receive(&w, 0, "HTTP/1.1 2"));
    expect(&w, 9000, ""); /* a sign of life */
    expect(&w, 1000, "x0");
    assert_int_equal(failed(&w, FAILURE_TIMEOUT), 1);
    end(&w);
}

static void test_digests(void **state)
{
    struct engine_config config = usual();
    struct world w;

    config.verify = true;
    begin(&w, config);
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    assert_int_equal(client_skippable(client(&w, 0)), 0);
    assert_true(receive(&w, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"));
    assert_int_equal(client_skippable(client(&w, 0)), 0);
    receive(&w, 0, "2\r\nbc\r\n0\r\n\r\n");
    assert_int_equal(engine_stats(w.e)->verified, 1);
    receive(&w, 0, OK); /* the second target's digest is another one */
    assert_int_equal(failed(&w, FAILURE_DIGEST), 1);
    receive(&w, 0, "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(failed(&w, FAILURE_STATUS), 1);
    assert_int_equal(engine_stats(w.e)->verified, 1);
    end(&w);
}

static void test_status(void **state)
{
    struct world w;

    begin(&w, usual());
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    receive(&w, 0, "HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_int_equal(engine_failures(engine_stats(w.e)), 0);
    receive(&w, 0, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(failed(&w, FAILURE_STATUS), 1);
    assert_int_equal(engine_stats(w.e)->responses, 2);
    end(&w);
}

static void test_hold(void **state)
{
    struct engine_config config = usual();
    struct world w;

    config.clients = 3;
    config.hold = true;
    config.opening_max = 2;
    begin(&w, config);
    expect(&w, 0, "O0 O1");
    client_connected(client(&w, 0), w.now_ns);
    expect(&w, 0, "O2");
    client_connected(client(&w, 1), w.now_ns);
    client_ended(client(&w, 2), CLIENT_REFUSED, w.now_ns);
    expect(&w, 0, "x2");
    assert_int_equal(engine_stats(w.e)->settled, 3);
    expect(&w, 100, "O2");
    client_connected(client(&w, 2), w.now_ns);
    expect(&w, 60000, ""); /* nobody asks, nothing times out */
    engine_go(w.e, w.now_ns);
    expect(&w, 0, "A0");
    client_ended(client(&w, 1), CLIENT_EOF, w.now_ns);
    expect(&w, 0, "x1 O1");
    client_connected(client(&w, 1), w.now_ns);
    assert_int_equal(engine_stats(w.e)->idle_ended, 1);
    assert_false(receive(&w, 2, "HTTP/1.1 408 Request Timeout\r\n"));
    expect(&w, 0, "x2 O2");
    assert_int_equal(engine_stats(w.e)->idle_ended, 2);
    assert_int_equal(engine_stats(w.e)->open, 2);
    end(&w);
}

static void test_rate(void **state)
{
    struct engine_config config = usual();
    struct world w;

    config.clients = config.active = 10;
    config.rate = 1000;
    begin(&w, config);
    expect(&w, 0, "O0");
    assert_int_equal(engine_next_ns(w.e), START_NS + NS_PER_MS);
    expect(&w, 1, "O1");
    expect(&w, 3, "O2 O3 O4"); /* a late turn makes up */
    expect(&w, 1000, "O5 O6 O7 O8 O9");
    end(&w);
}

static void test_think(void **state)
{
    struct engine_config config = usual();
    struct world w;

    config.think_ns = 5 * NS_PER_MS;
    begin(&w, config);
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    receive(&w, 0, OK);
    expect(&w, 4, "A0");
    expect(&w, 1, "B0");
    end(&w);
}

static void test_no_way(void **state)
{
    struct world w;

    begin(&w, usual());
    w.refuse = true;
    expect(&w, 0, "O0 x0");
    assert_int_equal(failed(&w, FAILURE_UNREACHABLE), 1);
    expect(&w, 100, "O0 x0");
    end(&w);
}

static void test_random(void **state)
{
    struct engine_config config = usual();
    uint32_t count[2] = {0};
    struct world w;

    config.random = true;
    config.seed = 7;
    begin(&w, config);
    expect(&w, 0, "O0");
    client_connected(client(&w, 0), w.now_ns);
    for (int i = 0; i < 1000; i++) {
        count[client(&w, 0)->target]++;
        w.log[0] = '\0';
        receive(&w, 0, OK);
    }
    assert_in_range(count[0], 400, 600);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_loop), cmocka_unit_test(test_close),
        cmocka_unit_test(test_requests),    cmocka_unit_test(test_failures),
        cmocka_unit_test(test_retry),       cmocka_unit_test(test_body_to_the_end),
        cmocka_unit_test(test_timeouts),    cmocka_unit_test(test_digests),
        cmocka_unit_test(test_status),      cmocka_unit_test(test_hold),
        cmocka_unit_test(test_rate),        cmocka_unit_test(test_think),
        cmocka_unit_test(test_no_way),      cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

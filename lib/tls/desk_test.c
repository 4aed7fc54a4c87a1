// SPDX-License-Identifier: BSD-2-Clause
/*
 * desk_test.c - handshakes by threads, in turns, and given up in the middle.
 */
#include "link.h"

#include <poll.h>

#define JOBS        40
#define PATIENCE_MS 20000

struct visitor {
    struct tls_job job;
    struct link *link;
    size_t in_len;
    uint32_t steps;
    uint8_t in[4096];
    uint8_t out[TLS_FLIGHT_BYTES];
};

static struct tls_ctx *ctx;
static struct visitor visitors[JOBS];

static int setup(void **state)
{
    if (link_setup(state))
        return -1;
    ctx = open_plain(KEY_P256, NULL);
    return 0;
}

static int teardown(void **state)
{
    tls_ctx_put(ctx);
    return link_teardown(state);
}

/* What the client says next becomes a job. */
static void prepare(struct visitor *v)
{
    int n;

    SSL_do_handshake(v->link->client);
    n = BIO_read(v->link->to_server, v->in, sizeof(v->in));
    assert_true(n > 0);
    v->job =
        (struct tls_job){.conn = v->link->conn, .in = v->in, .in_len = (size_t)n, .out = v->out};
}

static void arrive(struct tls_desk *desk, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        visitors[i].link = link_open(ctx, i % 2 ? &wish_12 : &wish_13);
        visitors[i].steps = 0;
        prepare(&visitors[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        tls_desk_submit(desk, &visitors[i].job);
}

static void leave(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        link_close(visitors[i].link);
}

static bool is_readable(const struct tls_desk *desk, int timeout_ms)
{
    struct pollfd fd = {.fd = tls_desk_fd(desk), .events = POLLIN};

    return poll(&fd, 1, timeout_ms) == 1;
}

/* Returns whether the handshake is over. */
static bool take_back(struct tls_desk *desk, struct tls_job *job)
{
    struct visitor *v = container_of(job, struct visitor, job);

    assert_int_not_equal(job->result, TLS_FAILED);
    v->steps++;
    if (job->out_len > 0)
        BIO_write(v->link->to_client, v->out, (int)job->out_len);
    if (job->result == TLS_MORE) {
        prepare(v);
        tls_desk_submit(desk, &v->job);
        return false;
    }
    SSL_do_handshake(v->link->client);
    assert_true(SSL_is_init_finished(v->link->client));
    assert_int_equal(v->steps, 2);
    return true;
}

static void shake_all(uint32_t threads, uint32_t max)
{
    struct tls_job *jobs[JOBS];
    struct tls_desk *desk;
    uint32_t ready = 0;

    assert_int_equal(tls_desk_open(&desk, threads), 0);
    assert_false(tls_desk_busy(desk));
    assert_int_equal(tls_desk_reap(desk, jobs, JOBS), 0);
    arrive(desk, JOBS);
    while (ready < JOBS) {
        uint32_t n;

        if (threads > 0)
            assert_true(is_readable(desk, PATIENCE_MS));
        assert_true(tls_desk_busy(desk));
        n = tls_desk_reap(desk, jobs, max);
        assert_in_range(n, 1, threads > 0 ? max : TLS_STEPS_PER_REAP);
        for (uint32_t i = 0; i < n; i++)
            ready += take_back(desk, jobs[i]);
    }
    assert_false(tls_desk_busy(desk));
    assert_int_equal(tls_desk_reap(desk, jobs, JOBS), 0);
    if (threads > 0)
        assert_false(is_readable(desk, 0));
    else
        assert_int_equal(tls_desk_fd(desk), -1);
    tls_desk_close(desk);
    leave(JOBS);
}

static void test_inline(void **state)
{
    shake_all(0, JOBS);
}

static void test_one_thread(void **state)
{
    shake_all(1, JOBS);
    shake_all(1, 1);
}

static void test_three_threads(void **state)
{
    shake_all(3, JOBS);
    shake_all(3, 2);
}

/* First come, first served. */
static void test_order(void **state)
{
    for (uint32_t threads = 0; threads < 2; threads++) {
        struct tls_desk *desk;
        uint32_t n = 0;

        assert_int_equal(tls_desk_open(&desk, threads), 0);
        arrive(desk, JOBS);
        while (n < JOBS) {
            struct tls_job *job;

            if (threads > 0)
                assert_true(is_readable(desk, PATIENCE_MS));
            assert_int_equal(tls_desk_reap(desk, &job, 1), 1);
            assert_ptr_equal(job, &visitors[n++].job);
        }
        tls_desk_close(desk);
        leave(JOBS);
    }
}

/* Jobs that nobody began, and jobs that nobody reaped, are the caller's all the same. */
static uint32_t close_early(uint32_t threads)
{
    struct tls_desk *desk;
    uint32_t taken = 0;

    assert_int_equal(tls_desk_open(&desk, threads), 0);
    arrive(desk, JOBS);
    tls_desk_close(desk);
    for (uint32_t i = 0; i < JOBS; i++)
        taken += visitors[i].job.out_len > 0;
    leave(JOBS);
    return taken;
}

/* Closing does not wait for all of them: more than once in ten times the threads are not faster
 * than we are. */
static void test_close_early(void **state)
{
    for (uint32_t threads = 0; threads <= 3; threads++) {
        uint32_t taken = JOBS;

        for (int i = 0; i < 10 && taken == JOBS; i++)
            taken = close_early(threads);
        assert_true(taken < JOBS);
        assert_true(threads > 0 || taken == 0);
    }
    tls_desk_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inline),        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_three_threads), cmocka_unit_test(test_order),
        cmocka_unit_test(test_close_early),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

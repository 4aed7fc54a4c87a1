// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the algorithms are for: filling a pipe, sharing it, and not its queue.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bottleneck.h"

#define MBPS   125000ull /* bytes per second */
#define STARTS 8

struct path {
    uint64_t rate_bps;
    uint32_t rtt_us;
};

static const struct path PATHS[] = {
    {1 * MBPS, 50000}, {10 * MBPS, 20000}, {20 * MBPS, 100000}, {100 * MBPS, 40000}};

static const struct cc_algorithm *const ALGORITHMS[] = {&cc_newreno, &cc_cubic};

static uint32_t bdp(const struct path *p)
{
    return (uint32_t)(p->rate_bps * p->rtt_us / 1000000);
}

static double seconds_at(const struct path *p, uint64_t bytes, uint64_t ns)
{
    return (double)bytes * 1e9 / ((double)p->rate_bps * (double)ns);
}

/* The share of the pipe that one flow used between the two times, in seconds of its life. */
static double utilisation(struct bottleneck *b, const struct path *p, unsigned from_s,
                          unsigned to_s)
{
    uint64_t start = b->now_ns, before;

    bottleneck_run(b, start + from_s * NS_PER_S);
    before = b->flows[0].delivered;
    bottleneck_forget_queue(b);
    bottleneck_run(b, start + to_s * NS_PER_S);
    return seconds_at(p, b->flows[0].delivered - before, (to_s - from_s) * NS_PER_S);
}

static void one_flow_fills_the_pipe(void **state)
{
    for (size_t a = 0; a < array_len(ALGORITHMS); a++)
        for (size_t i = 0; i < array_len(PATHS); i++) {
            struct bottleneck b;
            double used;

            bottleneck_open(&b, PATHS[i].rate_bps, max_u32(bdp(&PATHS[i]), 8 * BOTTLENECK_MSS), 1);
            bottleneck_add(&b, ALGORITHMS[a], PATHS[i].rtt_us, 0);
            used = utilisation(&b, &PATHS[i], 5, 60);
            print_message("%s, path %zu: %.3f used\n", ALGORITHMS[a]->name, i, used);
            assert_true(used >= 0.95);
            assert_int_equal(b.flows[0].timeouts, 0);
            bottleneck_close(&b);
        }
}

/* Marks instead of losses, from a fifth of the buffer on. */
static void marks_fill_it_without_loss(void **state)
{
    const struct path *p = &PATHS[2];

    for (size_t a = 0; a < array_len(ALGORITHMS); a++) {
        struct bottleneck b;
        double used;

        bottleneck_open(&b, p->rate_bps, 2 * bdp(p), 1);
        b.ecn_bytes = bdp(p) / 5;
        bottleneck_add(&b, ALGORITHMS[a], p->rtt_us, 0);
        used = utilisation(&b, p, 10, 120);
        print_message("%s: %.3f used, %.2f of a BDP queued\n", ALGORITHMS[a]->name, used,
                      (double)bottleneck_queue_mean(&b) / bdp(p));
        assert_true(used >= 0.85);
        assert_true(b.queue_max < bdp(p));
        bottleneck_close(&b);
    }
}

/* RFC 5681's answer to 1 % of loss at 50 ms: about 1.2 / sqrt(0.01) segments a round trip. */
static void random_loss_stops_newreno(void **state)
{
    const struct path p = {20 * MBPS, 50000};
    struct bottleneck b;
    double used;

    bottleneck_open(&b, p.rate_bps, bdp(&p), 7);
    b.loss_ppm = 10000;
    bottleneck_add(&b, &cc_newreno, p.rtt_us, 0);
    used = utilisation(&b, &p, 5, 60);
    print_message("newreno: %.3f used\n", used);
    assert_true(used > 0.08 && used < 0.25);
    bottleneck_close(&b);
}

/* What the second flow delivered for each byte of the first, between the two times. */
static double share(struct bottleneck *b, unsigned from_s, unsigned to_s)
{
    uint64_t start = b->now_ns, first, second;

    bottleneck_run(b, start + from_s * NS_PER_S);
    first = b->flows[0].delivered;
    second = b->flows[1].delivered;
    bottleneck_run(b, start + to_s * NS_PER_S);
    return (double)(b->flows[1].delivered - second) / (double)(b->flows[0].delivered - first);
}

/*
 * One comes twenty seconds late, and has its half a minute later. Whom a full queue hits first is
 * chance that a deterministic path repeats, so it is the mean of several starts that must be even.
 */
static void two_cubic_flows_converge(void **state)
{
    static const struct path TWO[] = {{10 * MBPS, 40000}, {50 * MBPS, 40000}};

    for (size_t i = 0; i < array_len(TWO); i++) {
        double sum = 0;

        for (uint64_t start = 0; start < STARTS; start++) {
            struct bottleneck b;
            double ratio;

            bottleneck_open(&b, TWO[i].rate_bps, bdp(&TWO[i]), 3);
            bottleneck_add(&b, &cc_cubic, TWO[i].rtt_us, 0);
            bottleneck_add(&b, &cc_cubic, TWO[i].rtt_us, (20000 + start * 37) * NS_PER_MS);
            ratio = share(&b, 80, 300);
            assert_true(ratio > 0.5 && ratio < 2);
            sum += ratio;
            bottleneck_close(&b);
        }
        print_message("the later has %.2f of the earlier\n", sum / STARTS);
        assert_true(sum / STARTS > 0.8 && sum / STARTS < 1.25);
    }
}

/* RFC 9438 4.3 and 5.1: where windows are small, CUBIC is to be no stronger than Reno. */
static void cubic_is_friendly_to_reno(void **state)
{
    const struct path p = {10 * MBPS, 20000};
    struct bottleneck b;
    double ratio;

    bottleneck_open(&b, p.rate_bps, bdp(&p), 3);
    bottleneck_add(&b, &cc_newreno, p.rtt_us, 0);
    bottleneck_add(&b, &cc_cubic, p.rtt_us, 5 * NS_PER_S);
    ratio = share(&b, 30, 300);
    print_message("cubic has %.2f of newreno's\n", ratio);
    assert_true(ratio > 0.5 && ratio < 2);
    bottleneck_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_flow_fills_the_pipe),   cmocka_unit_test(marks_fill_it_without_loss),
        cmocka_unit_test(random_loss_stops_newreno), cmocka_unit_test(two_cubic_flows_converge),
        cmocka_unit_test(cubic_is_friendly_to_reno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "path_test.h"

#include <math.h>
#include <stdlib.h>

#define PACKETS 200000

/* Four standard deviations: with a fixed seed this holds or it does not, every time. */
static bool near(double count, double n, double p)
{
    return fabs(count - n * p) <= 4 * sqrt(n * p * (1 - p));
}

static uint32_t count_lost(struct path_test *t, bool *lost, uint32_t n)
{
    struct transit transit;
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        bool gone = !path_test_packet(t, &transit, 100, i);

        if (lost)
            lost[i] = gone;
        count += gone;
    }
    return count;
}

static void test_loss_rate(void **state)
{
    static const char *const rates[] = {"0.001", "0.01", "3%", "0.5"};
    static const double p[] = {0.001, 0.01, 0.03, 0.5};

    for (unsigned i = 0; i < array_len(rates); i++) {
        struct path_settings settings = path_test_settings(&stage_loss, "loss", rates[i]);
        struct path_test t;
        uint32_t lost;

        path_test_open(&t, &settings, PATH_TEST_SEED);
        lost = count_lost(&t, NULL, PACKETS);
        assert_true(near(lost, PACKETS, p[i]));
        assert_int_equal(t.path.stats.drop_loss, lost);
        path_test_close(&t);
    }
}

static void test_none_and_all(void **state)
{
    struct path_settings settings = path_test_settings(&stage_loss, "loss", "0");
    struct path_test t;

    path_test_open(&t, &settings, PATH_TEST_SEED);
    assert_int_equal(count_lost(&t, NULL, 1000), 0);
    path_test_close(&t);
    settings.loss = 1;
    path_test_open(&t, &settings, PATH_TEST_SEED);
    assert_int_equal(count_lost(&t, NULL, 1000), 1000);
    path_test_close(&t);
}

/* The same seed loses the same packets of a flow, though another flow's come in between, and though
 * a stage in front is switched on. Another seed loses others. */
static void test_same_seed_same_packets(void **state)
{
    struct path_settings settings = path_test_settings(&stage_loss, "loss", "0.1");
    static bool lost[4][5000];

    for (unsigned run = 0; run < 4; run++) {
        struct path_test t;
        struct transit transit;
        struct flow other = {.key = 3, .fate = 3};

        settings.mtu = run == 2 ? 1500 : 0;
        settings.duplicate = run == 2 ? 0.5 : 0;
        path_test_open(&t, &settings, run == 3 ? PATH_TEST_SEED + 1 : PATH_TEST_SEED);
        for (unsigned i = 0; i < 5000; i++) {
            lost[run][i] = !path_test_packet(&t, &transit, 100, run * 1000 + i);
            if (run != 1 || i % 3)
                continue;
            transit.flow = &other;
            path_apply(&t.path, &transit);
        }
        path_test_close(&t);
    }
    assert_memory_equal(lost[0], lost[1], sizeof(lost[0]));
    assert_memory_equal(lost[0], lost[2], sizeof(lost[0]));
    assert_memory_not_equal(lost[0], lost[3], sizeof(lost[0]));
}

/* --- bursts ----------------------------------------------------------------------------------- */

struct bursts {
    uint32_t lost;
    uint32_t count;
    uint32_t longest;
};

static struct bursts measure(const bool *lost, uint32_t n)
{
    struct bursts b = {0};
    uint32_t length = 0;

    for (uint32_t i = 0; i < n; i++) {
        length = lost[i] ? length + 1 : 0;
        b.lost += lost[i];
        b.count += length == 1;
        b.longest = max_u32(b.longest, length);
    }
    return b;
}

/* With h = 0 and k = 1: p / (p + r) of all packets are lost, in bursts of 1/r on average. */
static void test_bursts(void **state)
{
    static const struct {
        const char *text;
        double p, r;
    } models[] = {{"p=0.005,r=0.3", 0.005, 0.3}, {"p=1%,r=0.1", 0.01, 0.1}};
    bool *lost = calloc(PACKETS, sizeof(*lost));

    for (unsigned i = 0; i < array_len(models); i++) {
        double p = models[i].p, r = models[i].r;
        struct path_settings settings = path_test_settings(&stage_burst, "burst", models[i].text);
        struct path_test t;
        struct bursts b;

        path_test_open(&t, &settings, PATH_TEST_SEED);
        count_lost(&t, lost, PACKETS);
        b = measure(lost, PACKETS);
        assert_true(fabs((double)b.lost / PACKETS / (p / (p + r)) - 1) < 0.1);
        assert_true(fabs((double)b.lost / b.count * r - 1) < 0.1);
        assert_true(b.longest > 2 / r); /* geometric, not constant */
        assert_int_equal(t.path.stats.drop_burst, b.lost);
        path_test_close(&t);
    }
    free(lost);
}

/* h and k: some come through in the bad state, some are lost in the good one. */
static void test_h_and_k(void **state)
{
    double p = 0.02, r = 0.2, h = 0.4, k = 0.99;
    struct path_settings settings =
        path_test_settings(&stage_burst, "burst", "k=0.99,h=0.4,r=0.2,p=0.02");
    double expected = (p * (1 - h) + r * (1 - k)) / (p + r);
    struct path_test t;

    path_test_open(&t, &settings, PATH_TEST_SEED);
    assert_true(fabs(count_lost(&t, NULL, PACKETS) / expected / PACKETS - 1) < 0.05);
    path_test_close(&t);
}

static void test_wrong_values(void **state)
{
    static const char *const losses[] = {"", "-0.1", "1.1", "101%", "0.1x", "nan", "0x1", "1%%"};
    static const char *const bursts[] = {
        "", "p=0.1", "r=0.1", "p=0.1,r", "p=0.1,r=2", "p=0.1,r=0.1,q=1", "p=0.1,r=0.1,", "0.1",
    };

    for (unsigned i = 0; i < array_len(losses); i++)
        assert_true(path_test_refused(&stage_loss, "loss", losses[i]));
    for (unsigned i = 0; i < array_len(bursts); i++)
        assert_true(path_test_refused(&stage_burst, "burst", bursts[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_rate),
        cmocka_unit_test(test_none_and_all),
        cmocka_unit_test(test_same_seed_same_packets),
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_h_and_k),
        cmocka_unit_test(test_wrong_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

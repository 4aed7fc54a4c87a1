// SPDX-License-Identifier: BSD-2-Clause
/*
 * path_test.c - delays, duplicates, damage, late packets, the path's MTU, and the order of stages.
 */
#include "path_test.h"

#include <math.h>

#define MS NS_PER_MS

static struct path_settings delays(const char *delay, const char *bands)
{
    struct path_settings settings = path_test_settings(&stage_delay, "delay", delay);

    if (bands)
        assert_true(path_test_option(&stage_delay, "bands")->parse(&settings, bands));
    return settings;
}

static void test_constant_delay(void **state)
{
    static const char *const texts[] = {"25", "25ms", "25000us", "0.025s", "25.0"};
    struct transit transit;
    struct path_test t;

    for (unsigned i = 0; i < array_len(texts); i++) {
        struct path_settings settings = delays(texts[i], NULL);

        path_test_open(&t, &settings, 1);
        for (uint64_t fate = 1; fate < 50; fate++) {
            t.flow.fate = fate;
            assert_true(path_test_packet(&t, &transit, 100, fate));
            assert_int_equal(transit.due_ns, 25 * MS + fate);
        }
        path_test_close(&t);
    }
}

/* Four bands from 10 to 40 ms; a flow keeps its own, in both directions, and all are used alike. */
static void test_bands(void **state)
{
    struct path_settings settings = delays("10-40", NULL);
    struct path_config config = {.settings = settings, .direction = TO_LEFT, .seed = 5};
    uint32_t count[5] = {0};
    struct path other;
    struct path_test t;

    path_test_open(&t, &settings, 5);
    assert_int_equal(path_init(&other, &config), 0);
    for (uint64_t fate = 0; fate < 10000; fate++) {
        struct transit transit;
        uint64_t delay_ns;

        t.flow.fate = flow_mix(fate, 0);
        delay_ns = path_delay_ns(&t.path, &t.flow);
        assert_true(path_test_packet(&t, &transit, 100, 7));
        assert_int_equal(transit.due_ns, 7 + delay_ns);
        assert_int_equal(path_delay_ns(&other, &t.flow), delay_ns);
        assert_int_equal(delay_ns % (10 * MS), 0);
        assert_in_range(delay_ns, 10 * MS, 40 * MS);
        count[delay_ns / (10 * MS)]++;
    }
    for (unsigned i = 1; i < 5; i++)
        assert_in_range(count[i], 2300, 2700);
    path_test_close(&t);
}

static void test_many_bands(void **state)
{
    struct path_settings settings = delays("0-63", "64");
    struct path_test t;

    path_test_open(&t, &settings, 5);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(t.path.delays_ns[i], i * MS);
    path_test_close(&t);
    settings = delays("10-40", "1");
    path_test_open(&t, &settings, 5);
    assert_int_equal(path_delay_ns(&t.path, &t.flow), 10 * MS);
    path_test_close(&t);
}

/* Packets of a flow leave in the order in which they came, whatever else is switched on. */
static void test_order_is_kept(void **state)
{
    struct path_settings settings = delays("5-80", "16");
    uint64_t last_ns[8] = {0}, now_ns = 0;
    struct flow flows[8];
    struct path_test t;
    struct rand rand;

    settings.rate_bps = 50000000;
    settings.loss = 0.05;
    settings.duplicate = 0.1;
    path_test_open(&t, &settings, 5);
    rand_seed(&rand, 3);
    for (unsigned i = 0; i < 8; i++)
        flows[i] = (struct flow){.key = i + 1, .fate = flow_mix(i, 3)};
    for (unsigned i = 0; i < 20000; i++) {
        unsigned f = (unsigned)rand_below(&rand, 8);
        struct transit transit = {.ip = t.ip,
                                  .len = 60 + (uint32_t)rand_below(&rand, 1440),
                                  .flow = &flows[f],
                                  .now_ns = now_ns += rand_below(&rand, 200000)};

        if (!path_apply(&t.path, &transit))
            continue;
        assert_true(transit.due_ns > last_ns[f]);
        last_ns[f] = transit.due_ns;
    }
    path_test_close(&t);
}

static bool near(double count, double n, double p)
{
    return fabs(count - n * p) <= 4 * sqrt(n * p * (1 - p));
}

static void test_reorder(void **state)
{
    struct path_settings settings = path_test_settings(&stage_reorder, "reorder", "0.02");
    struct path_test t;
    uint32_t late = 0;

    assert_true(path_test_option(&stage_reorder, "reorder-by")->parse(&settings, "3"));
    path_test_open(&t, &settings, 1);
    for (uint32_t i = 0; i < 50000; i++) {
        struct transit transit;

        assert_true(path_test_packet(&t, &transit, 100, i));
        assert_true(transit.due_ns == i || transit.due_ns == i + 3 * MS);
        late += transit.due_ns != i;
    }
    assert_true(near(late, 50000, 0.02));
    assert_int_equal(t.path.stats.reordered, late);
    path_test_close(&t);
}

/* Drawn for each packet; one that would overtake the one before it goes together with that. */
static void test_jitter(void **state)
{
    struct path_settings settings = path_test_settings(&stage_jitter, "jitter", "2");
    uint64_t last_ns = 0, least_ns = UINT64_MAX, most_ns = 0;
    uint32_t together = 0;
    struct path_test t;

    settings.delay_min_ns = settings.delay_max_ns = 10 * MS;
    path_test_open(&t, &settings, 1);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t now_ns = i * MS, late_ns;
        struct transit transit;

        assert_true(path_test_packet(&t, &transit, 100, now_ns));
        late_ns = transit.due_ns - now_ns - 10 * MS;
        assert_in_range(late_ns, 0, 2 * MS);
        assert_true(transit.due_ns >= last_ns);
        together += transit.due_ns == last_ns;
        last_ns = transit.due_ns;
        least_ns = min_u64(least_ns, late_ns);
        most_ns = max_u64(most_ns, late_ns);
    }
    assert_in_range(least_ns, 0, MS / 50);
    assert_in_range(most_ns, 2 * MS - MS / 50, 2 * MS);
    /* The packet before is later than this one with probability 1/8, and then there is the one
     * before that. */
    assert_in_range(together, 1000, 1500);
    path_test_close(&t);
}

/* Directions and flows do not wait for each other. */
static void test_jitter_is_per_flow(void **state)
{
    struct path_settings settings = path_test_settings(&stage_jitter, "jitter", "1000");
    struct transit first, second;
    struct flow other = {.key = 2, .fate = 1};
    struct path_test t;

    path_test_open(&t, &settings, 1);
    t.flow.due_ns[TO_LEFT] = 5000 * MS;
    assert_true(path_test_packet(&t, &first, 100, 0));
    assert_in_range(first.due_ns, 1, 1000 * MS);
    t.flow = other;
    assert_true(path_test_packet(&t, &second, 100, 0));
    assert_int_equal(second.due_ns, first.due_ns); /* the same fate, the same number */
    t.flow = (struct flow){.key = 1, .fate = 1};
    t.flow.due_ns[TO_RIGHT] = 5000 * MS;
    assert_true(path_test_packet(&t, &first, 100, 0));
    assert_int_equal(first.due_ns, 5000 * MS);
    path_test_close(&t);
}

/* The copy leaves when the packet should have; the packet itself may be late or damaged. */
static void test_duplicate(void **state)
{
    struct path_settings settings = path_test_settings(&stage_duplicate, "duplicate", "2%");
    struct path_test t;
    uint32_t twice = 0;

    settings.reorder = 1;
    settings.delay_min_ns = settings.delay_max_ns = MS;
    path_test_open(&t, &settings, 1);
    for (uint32_t i = 0; i < 50000; i++) {
        struct transit transit;

        assert_true(path_test_packet(&t, &transit, 100, i));
        twice += transit.duplicate;
        if (transit.duplicate)
            assert_int_equal(transit.copy_due_ns, i + MS);
        assert_int_equal(transit.due_ns, i + MS + settings.reorder_by_ns);
    }
    assert_true(near(twice, 50000, 0.02));
    assert_int_equal(t.path.stats.duplicated, twice);
    path_test_close(&t);
}

/* One to three bits in one 16-bit word, never in the Ethernet addresses, anywhere else. */
static void test_damage(void **state)
{
    struct path_settings settings = path_test_settings(&stage_corrupt, "corrupt", "0.5");
    bool seen[100] = {false};
    struct path_test t;

    path_test_open(&t, &settings, 1);
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t frame[100] = {0};
        struct transit transit;
        uint32_t first = 100, last = 0, bits = 0;

        assert_true(path_test_packet(&t, &transit, 100, i));
        if (!transit.damage)
            continue;
        path_damage(frame, sizeof(frame), transit.damage);
        for (uint32_t at = 0; at < 100; at++)
            if (frame[at]) {
                first = min_u32(first, at);
                last = at;
                bits += (uint32_t)__builtin_popcount(frame[at]);
                seen[at] = true;
            }
        assert_in_range(bits, 1, 3);
        assert_int_equal(first / 2, last / 2);
    }
    for (uint32_t at = 0; at < 100; at++)
        assert_int_equal(seen[at], at >= 12);
    assert_true(near((double)t.path.stats.corrupted, 4000, 0.5));
    path_test_close(&t);
}

static void test_damage_to_short_frames(void **state)
{
    uint8_t frame[14] = {0};

    path_damage(frame, 12, 77);
    path_damage(frame, 13, 77);
    assert_memory_equal(frame, (uint8_t[14]){0}, 14);
    path_damage(frame, 14, 77);
    assert_memory_not_equal(frame, (uint8_t[14]){0}, 14);
}

static void test_mtu(void **state)
{
    struct path_settings settings = path_test_settings(&stage_mtu, "path-mtu", "1400");
    struct transit transit;
    struct path_test t;

    path_test_open(&t, &settings, 1);
    assert_true(path_test_packet(&t, &transit, 1414, 0));
    assert_false(path_test_packet(&t, &transit, 1415, 0));
    assert_int_equal(t.path.stats.drop_mtu, 1);
    path_test_close(&t);
}

/* What is lost takes no room in the queue; the delay comes behind the queue. */
static void test_order_of_stages(void **state)
{
    struct path_settings settings = path_test_settings(&stage_rate, "rate", "8M");
    struct transit transit;
    struct path_test t;

    settings.delay_min_ns = settings.delay_max_ns = 20 * MS;
    settings.loss = 0.5;
    path_test_open(&t, &settings, 1);
    for (uint64_t passed = 1; passed < 20;)
        if (path_test_packet(&t, &transit, 1000, 0))
            assert_int_equal(transit.due_ns, 20 * MS + passed++ * MS);
    assert_true(t.path.stats.drop_loss > 5);
    path_test_close(&t);
}

static void test_wrong_values(void **state)
{
    static const char *const texts[] = {"", "x", "-1", "9000", "40-10", "10-", "-", "1-2-3", "5m"};
    struct path_settings settings = delays("8000", NULL);

    for (unsigned i = 0; i < array_len(texts); i++)
        assert_true(path_test_refused(&stage_delay, "delay", texts[i]));
    assert_true(path_test_refused(&stage_delay, "bands", "0"));
    assert_true(path_test_refused(&stage_delay, "bands", "65"));
    assert_true(path_test_refused(&stage_mtu, "path-mtu", "67"));
    assert_null(path_settings_check(&settings));
    settings.jitter_ns = NS_PER_S; /* 9 s in all */
    assert_non_null(path_settings_check(&settings));
    settings.jitter_ns = 0;
    settings.reorder = 0.1;
    settings.reorder_by_ns = NS_PER_S; /* 9 s in all */
    assert_non_null(path_settings_check(&settings));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_delay),
        cmocka_unit_test(test_bands),
        cmocka_unit_test(test_many_bands),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_jitter_is_per_flow),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damage_to_short_frames),
        cmocka_unit_test(test_mtu),
        cmocka_unit_test(test_order_of_stages),
        cmocka_unit_test(test_wrong_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "hystart.h"
#include "test.h"

/* Rounds of ten segments: the first ACK finds nine more out, the later ones ten. */
struct sender {
    struct hystart h;
    uint64_t una;
    uint32_t path_rtt_us;
};

static void begin(struct sender *s)
{
    *s = (struct sender){.path_rtt_us = UINT32_MAX};
    hystart_open(&s->h);
}

static enum hystart_phase ack(struct sender *s, uint32_t rtt_us)
{
    unsigned out = s->una ? 10 : 9;

    s->una += MSS;
    if (rtt_us)
        s->path_rtt_us = min_u32(s->path_rtt_us, rtt_us);
    return hystart_on_ack(&s->h, &(struct cc_ack){.snd_una = s->una,
                                                  .snd_nxt = s->una + out * MSS,
                                                  .rtt_us = rtt_us,
                                                  .min_rtt_us = s->path_rtt_us});
}

static enum hystart_phase acks(struct sender *s, unsigned count, uint32_t rtt_us)
{
    enum hystart_phase phase = HYSTART_SLOW_START;

    while (count--)
        phase = ack(s, rtt_us);
    return phase;
}

static void a_steady_path_is_left_alone(void **state)
{
    struct sender s;

    begin(&s);
    assert_int_equal(acks(&s, 1000, 40000), HYSTART_SLOW_START);
}

/* RttThresh = max(4 ms, min(lastRoundMinRTT / 8, 16 ms)), and it takes eight samples. */
static void a_rise_is_seen_at_the_eighth_sample(void **state)
{
    static const struct {
        uint32_t before_us, thresh_us;
    } CASES[] = {{1000, 4000},   {8000, 4000},    {32000, 4000},  {40000, 5000},
                 {80000, 10000}, {128000, 16000}, {400000, 16000}};

    for (size_t i = 0; i < array_len(CASES); i++) {
        uint32_t before = CASES[i].before_us, after = before + CASES[i].thresh_us;
        struct sender s;

        begin(&s);
        acks(&s, 10, before);
        assert_int_equal(acks(&s, 10, after - 1), HYSTART_SLOW_START);
        begin(&s);
        acks(&s, 10, before);
        assert_int_equal(acks(&s, 7, after), HYSTART_SLOW_START);
        assert_int_equal(ack(&s, after), HYSTART_CSS);
    }
}

/* It is the least sample of a round that counts. */
static void one_fast_segment_is_proof(void **state)
{
    struct sender s;

    begin(&s);
    acks(&s, 10, 40000);
    ack(&s, 40001);
    assert_int_equal(acks(&s, 9, 90000), HYSTART_SLOW_START);
    /* Which makes 40001 the mark for the next round. */
    assert_int_equal(acks(&s, 8, 45001), HYSTART_CSS);
}

/* Five rounds, of which the one that it began in is the first. */
static void css_ends_slow_start(void **state)
{
    struct sender s;

    begin(&s);
    acks(&s, 10, 40000);
    assert_int_equal(acks(&s, 10, 50000), HYSTART_CSS);
    assert_int_equal(acks(&s, 39, 50000), HYSTART_CSS);
    assert_int_equal(ack(&s, 50000), HYSTART_DONE);
}

/* Twice the path's round trip, at the eighth sample; on a short path, 16 ms more than it. */
static void css_ends_when_the_round_trip_has_doubled(void **state)
{
    static const struct {
        uint32_t path_us, css_us, done_us;
    } CASES[] = {{1000, 8000, 17000}, {16000, 30000, 32000}, {40000, 50000, 80000}};

    for (size_t i = 0; i < array_len(CASES); i++) {
        struct sender s;

        begin(&s);
        acks(&s, 10, CASES[i].path_us);
        assert_int_equal(acks(&s, 10, CASES[i].css_us), HYSTART_CSS);
        assert_int_equal(acks(&s, 10, CASES[i].done_us - 1), HYSTART_CSS);
        assert_int_equal(acks(&s, 7, CASES[i].done_us), HYSTART_CSS);
        assert_int_equal(ack(&s, CASES[i].done_us), HYSTART_DONE);
    }
}

/* Below the baseline, which is where it was when CSS began, it was jitter. */
static void css_gives_way_to_slow_start(void **state)
{
    struct sender s;

    begin(&s);
    acks(&s, 10, 40000);
    assert_int_equal(acks(&s, 10, 50000), HYSTART_CSS);
    assert_int_equal(acks(&s, 7, 49999), HYSTART_CSS);
    assert_int_equal(ack(&s, 49999), HYSTART_SLOW_START);
    /* And a rise begins CSS again, with all of its rounds. */
    acks(&s, 2, 49999);
    assert_int_equal(acks(&s, 10, 60000), HYSTART_CSS);
    assert_int_equal(acks(&s, 39, 60000), HYSTART_CSS);
    assert_int_equal(ack(&s, 60000), HYSTART_DONE);
}

/* A round in which too few segments were timed proves nothing, but it is a round. */
static void few_samples_prove_nothing(void **state)
{
    struct sender s;

    begin(&s);
    acks(&s, 10, 40000);
    acks(&s, 3, 0);
    assert_int_equal(acks(&s, 7, 90000), HYSTART_SLOW_START);
    assert_int_equal(acks(&s, 10, 0), HYSTART_SLOW_START);
    /* The round before had no sample: nothing to compare with. */
    assert_int_equal(acks(&s, 10, 200000), HYSTART_SLOW_START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_path_is_left_alone),
        cmocka_unit_test(a_rise_is_seen_at_the_eighth_sample),
        cmocka_unit_test(one_fast_segment_is_proof),
        cmocka_unit_test(css_ends_slow_start),
        cmocka_unit_test(css_ends_when_the_round_trip_has_doubled),
        cmocka_unit_test(css_gives_way_to_slow_start),
        cmocka_unit_test(few_samples_prove_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "path_test.h"

#include "base/bytes.h"

#define FRAME 1000u /* at 8 Mbit/s: 1 ms */

static struct path_settings bottleneck(const char *rate, const char *queue, const char *mark)
{
    struct path_settings settings = path_test_settings(&stage_rate, "rate", rate);

    if (queue)
        assert_true(path_test_option(&stage_rate, "queue")->parse(&settings, queue));
    if (mark)
        assert_true(path_test_option(&stage_rate, "ecn-mark")->parse(&settings, mark));
    return settings;
}

static void test_departures(void **state)
{
    struct path_settings settings = bottleneck("8M", "1M", NULL);
    struct transit transit;
    struct path_test t;

    path_test_open(&t, &settings, 1);
    for (unsigned i = 1; i <= 10; i++) {
        assert_true(path_test_packet(&t, &transit, FRAME, 0));
        assert_int_equal(transit.due_ns, i * NS_PER_MS);
    }
    /* The link was idle since: no credit is saved up. */
    assert_true(path_test_packet(&t, &transit, FRAME, 50 * NS_PER_MS));
    assert_int_equal(transit.due_ns, 51 * NS_PER_MS);
    assert_int_equal(t.path.stats.queue_peak_ns, 9 * NS_PER_MS);
    path_test_close(&t);
}

/* A rate of which no packet takes whole nanoseconds is exact all the same. */
static void test_no_drift(void **state)
{
    struct path_settings settings = bottleneck("7.777777777G", "100ms", NULL);
    struct transit transit;
    struct path_test t;
    uint64_t expected;

    path_test_open(&t, &settings, 1);
    for (unsigned i = 0; i < 1000000; i++)
        assert_true(path_test_packet(&t, &transit, 61, i * 62));
    /* 62.7 ns each: the link was never idle. */
    expected = (uint64_t)(1000000 * 61 * 8 / 7.777777777);
    assert_true(transit.due_ns >= expected && transit.due_ns <= expected + 1);
    path_test_close(&t);
}

static uint32_t burst(struct path_test *t, uint32_t n, uint64_t now_ns)
{
    struct transit transit;
    uint32_t accepted = 0;

    for (uint32_t i = 0; i < n; i++)
        accepted += path_test_packet(t, &transit, FRAME, now_ns);
    return accepted;
}

/* Bytes, packets and time: all three hold ten frames, the one being sent included. */
static void test_queue_bound(void **state)
{
    static const char *const queues[] = {"10000", "10k", "10p", "10ms"};

    for (unsigned i = 0; i < array_len(queues); i++) {
        struct path_settings settings = bottleneck("8M", queues[i], NULL);
        struct path_test t;

        path_test_open(&t, &settings, 1);
        assert_int_equal(burst(&t, 30, 0), 10);
        assert_int_equal(t.path.stats.drop_queue, 20);
        assert_int_equal(burst(&t, 30, 3 * NS_PER_MS), 3); /* as many as have left */
        assert_int_equal(burst(&t, 30, NS_PER_S), 10);
        path_test_close(&t);
    }
}

/* A queue smaller than a packet lets one through when the link is idle. */
static void test_tiny_queue(void **state)
{
    struct path_settings settings = bottleneck("8M", "10", NULL);
    struct path_test t;

    path_test_open(&t, &settings, 1);
    assert_int_equal(burst(&t, 5, 0), 1);
    assert_int_equal(burst(&t, 5, NS_PER_MS), 1);
    path_test_close(&t);
}

/* --- ECN -------------------------------------------------------------------------------------- */

/* A plain sum over the header, which is right if it comes to 0xffff. */
static uint32_t sum_header(const uint8_t *ip)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 20; i += 2)
        sum += get_be16(ip + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void put_header(uint8_t *ip, uint8_t tos, uint16_t id)
{
    memset(ip, 0, 40);
    ip[0] = 0x45;
    ip[1] = tos;
    put_be16(ip + 4, id);
    put_be32(ip + 12, 0xc0000201);
    put_be32(ip + 16, 0xc0000202);
    put_be16(ip + 10, (uint16_t)~sum_header(ip));
}

static void test_marks(void **state)
{
    static const char *const thresholds[] = {"4k", "4p", "4ms"};

    for (unsigned i = 0; i < array_len(thresholds); i++) {
        struct path_settings settings = bottleneck("8M", "10p", thresholds[i]);
        struct transit transit;
        struct path_test t;

        path_test_open(&t, &settings, 1);
        for (unsigned n = 0; n < 8; n++) {
            put_header(t.ip, 0xb8 | 1, (uint16_t)(n * 9999)); /* EF, ECT(1) */
            assert_true(path_test_packet(&t, &transit, FRAME, 0));
            assert_int_equal(t.ip[1], n < 4 ? 0xb9 : 0xbb);
            assert_int_equal(sum_header(t.ip), 0xffff);
        }
        assert_int_equal(t.path.stats.ecn_marked, 4);
        put_header(t.ip, 0, 1); /* not ECT: waits unmarked */
        assert_true(path_test_packet(&t, &transit, FRAME, 0));
        assert_int_equal(t.ip[1], 0);
        put_header(t.ip, 3, 1); /* CE already */
        assert_true(path_test_packet(&t, &transit, FRAME, 0));
        assert_int_equal(t.path.stats.ecn_marked, 4);
        put_header(t.ip, 2, 1); /* a full queue drops ECT packets too: RFC 3168, 7 */
        assert_false(path_test_packet(&t, &transit, FRAME, 0));
        path_test_close(&t);
    }
}

/* Every TOS and many checksums: the updated one is right. */
static void test_checksum_update(void **state)
{
    struct path_settings settings = bottleneck("8M", "60k", "0");
    struct transit transit;
    struct path_test t;
    uint64_t now_ns = 0;

    path_test_open(&t, &settings, 1);
    for (unsigned tos = 0; tos < 256; tos++)
        for (unsigned id = 0; id < 65536; id += 251) {
            put_header(t.ip, (uint8_t)tos, (uint16_t)id);
            assert_true(path_test_packet(&t, &transit, 34, now_ns));
            now_ns = transit.due_ns; /* the link is idle again, and the threshold is 0 */
            assert_int_equal(sum_header(t.ip), 0xffff);
            assert_int_equal(t.ip[1], tos & 3 ? tos | 3 : tos);
        }
    path_test_close(&t);
}

static void test_marks_ip6(void **state)
{
    struct path_settings settings = bottleneck("8M", "10p", "0");
    struct transit transit;
    struct path_test t;

    path_test_open(&t, &settings, 1);
    memset(t.ip, 0, sizeof(t.ip));
    put_be32(t.ip, 0x6b8abcdeu & ~0x00300000u); /* traffic class 0xb8, a flow label */
    assert_true(path_test_packet(&t, &transit, FRAME, 0));
    assert_int_equal(get_be32(t.ip), 0x6b8abcdeu & ~0x00300000u);
    t.ip[1] |= 0x20; /* ECT(0) */
    assert_true(path_test_packet(&t, &transit, FRAME, 0));
    assert_int_equal(get_be32(t.ip), 0x6b8abcdeu | 0x00300000u);
    assert_int_equal(t.path.stats.ecn_marked, 1);
    path_test_close(&t);
}

static void test_wrong_values(void **state)
{
    static const char *const rates[] = {"", "0", "7", "101G", "1T", "-5M", "M", "1e999"};
    static const char *const amounts[] = {"", "0p", "65537p", "9s", "5G", "-1", "10ps", "99999M"};
    struct path_settings settings;

    for (unsigned i = 0; i < array_len(rates); i++)
        assert_true(path_test_refused(&stage_rate, "rate", rates[i]));
    for (unsigned i = 0; i < array_len(amounts); i++)
        assert_true(path_test_refused(&stage_rate, "queue", amounts[i]));
    path_settings_default(&settings);
    settings.queue = (struct amount){AMOUNT_BYTES, 1000};
    assert_non_null(path_settings_check(&settings)); /* a queue without a rate */
    settings.rate_bps = 1000;
    settings.queue.value = 2000; /* 16 s */
    assert_non_null(path_settings_check(&settings));
    settings.rate_bps = 1000000;
    assert_null(path_settings_check(&settings));
    settings.ecn_mark = (struct amount){AMOUNT_PACKETS, 3};
    assert_non_null(path_settings_check(&settings));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_departures),  cmocka_unit_test(test_no_drift),
        cmocka_unit_test(test_queue_bound), cmocka_unit_test(test_tiny_queue),
        cmocka_unit_test(test_marks),       cmocka_unit_test(test_checksum_update),
        cmocka_unit_test(test_marks_ip6),   cmocka_unit_test(test_wrong_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

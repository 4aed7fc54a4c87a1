// SPDX-License-Identifier: BSD-2-Clause
/*
 * The header and its options: what is malformed, what is unknown, what is offered (RFC 9293 3.1,
 * 3.2, RFC 7323 2 and 3).
 */
#include "trace.h"

/* --- options ---------------------------------------------------------------------------------- */

#define SEND_OPTS(t, ...)                                                                          \
    SEND(t, .flags = SYN, .opts = (const uint8_t[]){__VA_ARGS__},                                  \
         .opts_len = sizeof((const uint8_t[]){__VA_ARGS__}))

/* The SYN's other options are lost with the malformed one, the SYN is not (MUST-7). */
static void malformed(struct trace *t)
{
    struct trace_seg synack = EXPECT(t, .flags = SYN | ACK, .ack = 1, .mss = 1460);

    assert_false(synack.has_ts);
    assert_false(synack.has_wscale);
    assert_int_equal(STATS(t)->drop_options, 1);
}

TRACE_TEST(option_length_0)
{
    SEND_OPTS(t, 30, 0, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0);
    malformed(t);
}

TRACE_TEST(option_length_1)
{
    SEND_OPTS(t, 30, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0);
    malformed(t);
}

TRACE_TEST(option_beyond_the_header)
{
    SEND_OPTS(t, 1, 1, 8, 10, 0, 0, 0, 1);
    malformed(t);
}

TRACE_TEST(option_without_length)
{
    SEND_OPTS(t, 1, 1, 1, 8);
    malformed(t);
}

/* MUST-6: unknown ones are skipped, and so are known ones of a wrong size. */
TRACE_TEST(option_unknown)
{
    struct trace_seg synack;

    SEND_OPTS(t, 30, 4, 9, 9, 2, 3, 9, 3, 4, 7, 7, 1, 3, 3, 7, 1);
    synack = EXPECT(t, .flags = SYN | ACK, .ack = 1);
    assert_true(synack.has_wscale);
    assert_false(synack.has_ts);
    assert_int_equal(STATS(t)->drop_options, 0);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->conn->mss, 536);
}

/* Nothing behind an end-of-list counts. */
TRACE_TEST(option_end)
{
    struct trace_seg synack;

    SEND_OPTS(t, 0, 3, 3, 7);
    synack = EXPECT(t, .flags = SYN | ACK, .ack = 1);
    assert_false(synack.has_wscale);
}

/* RFC 9293 3.7.1: none means 536; none of ours is larger than the MTU allows; a tiny one is an
 * attack. */
TRACE_TEST(mss)
{
    static const struct {
        uint16_t told, used;
    } cases[] = {{0, 536},     {1, 88},      {88, 88},     {536, 536},
                 {1460, 1460}, {1461, 1460}, {65535, 1460}};

    for (size_t i = 0; i < array_len(cases); i++) {
        uint16_t port = (uint16_t)i;

        SEND(t, .flags = SYN, .mss = cases[i].told, .port = port);
        EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port);
        SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = port);
        trace_write(t, &t->apps[i], 2000);
        EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = cases[i].used, .port = port);
        trace_take_all(t, NULL);
    }
    SEND_OPTS(t, 2, 4, 0, 0);
    EXPECT(t, .flags = ACK, .seq = 2001, .ack = 1); /* port 0 is in use: a challenge */
}

TRACE_TEST(mss_option_of_zero)
{
    SEND_OPTS(t, 2, 4, 0, 0);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_true(t->app->conn->mss >= 88);
}

TRACE_TEST_WITH(mss_of_ours_is_configured, .mss_max = 1000)
{
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .mss = 1000);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->conn->mss, 1000);
}

/* RFC 6691: timestamps are deducted from what a segment carries. */
TRACE_TEST(mss_and_timestamps)
{
    t->ts = true;
    t->ts_base = 7;
    trace_write(t, trace_establish(t, 0), 1448);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1, .len = 1448, .has_ts = true, .tsecr = 7);
}

/* A SYN-ACK offers only what the SYN offered (RFC 7323 2.2, 3.2; RFC 2018 2). */
TRACE_TEST(offers)
{
    for (unsigned i = 0; i < TRACE_APPS; i++) {
        bool ts = i & 1, wscale = i & 2, sack = i & 4;
        uint16_t port = (uint16_t)i;
        struct trace_seg synack;

        SEND(t, .flags = SYN, .has_ts = ts, .tsval = 9, .has_wscale = wscale,
             .sack_permitted = sack, .port = port);
        synack = EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port);
        assert_int_equal(synack.has_ts, ts);
        assert_int_equal(synack.has_wscale, wscale);
        assert_int_equal(synack.sack_permitted, sack);
        assert_true(!ts || synack.tsecr == 9);
    }
}

/* Our own SYN offers everything; what the peer leaves out is not used. */
TRACE_TEST(our_syn_offers_everything)
{
    struct trace_seg syn;

    trace_connect(t);
    syn = EXPECT(t, .flags = SYN, .mss = 1460);
    assert_true(syn.has_ts && syn.has_wscale && syn.sack_permitted);
    SEND(t, .flags = SYN | ACK, .ack = 1, .sack_permitted = true);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->conn->flags & (CONN_TS | CONN_WSCALE | CONN_SACK), CONN_SACK);
}

/* --- selective acknowledgments, as tcp_seg_parse hands them on -------------------------------- */

/* Parses a segment with these options, which are padded with end-of-list to whole words. */
static struct tcp_seg parse(const uint8_t *opts, uint32_t len, bool *bad_options)
{
    uint8_t bytes[TCP_HEADER_MAX] = {0};
    struct ip_dgram dgram = {.payload = bytes,
                             .len = 20 + (uint32_t)align_up(len, 4),
                             .tos = 0xb8 | IP_ECN_CE,
                             .csum_ok = true};
    struct tcp_seg seg;

    memcpy(bytes + 20, opts, len);
    bytes[12] = (uint8_t)(dgram.len / 4 << 4);
    bytes[13] = TCP_ACK | TCP_ECE | TCP_CWR;
    assert_int_equal(tcp_seg_parse(&dgram, &seg, bad_options), TCP_PARSE_OK);
    return seg;
}

#define BLOCK(n) 0, 0, 0, (n), 0, 0, 1, (n)
#define PARSE(bad, ...)                                                                            \
    parse((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), bad)

static void sack_blocks(void **state)
{
    bool bad;
    struct tcp_seg seg = PARSE(&bad, 1, 1, 5, 26, BLOCK(1), BLOCK(2), BLOCK(3));

    assert_false(bad);
    assert_int_equal(seg.sack_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(seg.sacks[i].start, 1 + i);
        assert_int_equal(seg.sacks[i].end, 257 + i);
    }
    seg = PARSE(&bad, 5, 34, BLOCK(1), BLOCK(2), BLOCK(3), BLOCK(4), 4, 2);
    assert_false(bad);
    assert_int_equal(seg.sack_count, 4);
    assert_int_equal(seg.sacks[3].end, 260);
    assert_true(seg.sack_permitted);
}

/* Sizes that are no number of blocks are skipped; what lies beyond the header is malformed; a
 * second option adds no more than there is room for. */
static void sack_nonsense(void **state)
{
    bool bad;
    struct tcp_seg seg = PARSE(&bad, 5, 2, 5, 9, 0, 0, 0, 0, 0, 0, 0, 4, 3, 0);

    assert_false(bad);
    assert_int_equal(seg.sack_count, 0);
    assert_false(seg.sack_permitted);
    seg = PARSE(&bad, 5, 18, BLOCK(1));
    assert_true(bad);
    assert_int_equal(seg.sack_count, 0);
    seg = PARSE(&bad, 5, 26, BLOCK(1), BLOCK(2), BLOCK(3), 5, 10, BLOCK(9));
    assert_false(bad);
    assert_int_equal(seg.sack_count, 4);
    assert_int_equal(seg.sacks[3].start, 9);
}

static void ecn_bits(void **state)
{
    bool bad;
    struct tcp_seg seg = PARSE(&bad, 1);

    assert_int_equal(seg.ecn, IP_ECN_CE);
    assert_int_equal(seg.flags, TCP_ACK | TCP_ECE | TCP_CWR);
}

/* RFC 7323 2.3: a shift above 14 counts as 14; the window of a SYN is not scaled. */
TRACE_TEST(wscale_15)
{
    SEND(t, .flags = SYN, .has_wscale = true, .wscale = 15, .win = 100);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 3);
    assert_int_equal(t->app->conn->snd_wnd, 3 << 14);
}

TRACE_TEST(wscale_in_syn_ack_is_not_applied_to_it)
{
    trace_connect(t);
    EXPECT(t, .flags = SYN);
    SEND(t, .flags = SYN | ACK, .ack = 1, .has_wscale = true, .wscale = 4, .win = 100);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 1);
    assert_int_equal(t->app->conn->snd_wnd, 100);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .win = 100);
    assert_int_equal(t->app->conn->snd_wnd, 1600);
}

/* Our own window is scaled once both have offered it, and never told as more than there is. */
TRACE_TEST_WITH(our_wscale, .rcv_wnd_bytes = 200001)
{
    struct trace_seg synack;

    SEND(t, .flags = SYN, .has_wscale = true, .wscale = 7, .mss = 1460);
    synack = EXPECT(t, .flags = SYN | ACK, .ack = 1, .win = 65535);
    assert_int_equal(synack.wscale, 2);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2, .win = 200001 / 4);
}

TRACE_TEST_WITH(our_wscale_refused, .rcv_wnd_bytes = 200000)
{
    SEND(t, .flags = SYN, .mss = 1460);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .win = 65535);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1);
    SEND(t, .flags = ACK | FIN, .seq = 1, .ack = 1);
    EXPECT(t, .flags = ACK, .seq = 1, .ack = 2, .win = 65535);
}

/* --- damage ----------------------------------------------------------------------------------- */

TRACE_TEST(checksum)
{
    SEND(t, .flags = SYN, .bad_sum = true);
    EXPECT_NOTHING(t);
    assert_int_equal(STATS(t)->drop_checksum, 1);
}

/* A data offset below five words, or beyond the segment. */
TRACE_TEST(data_offset)
{
    for (unsigned words = 0; words < 16; words++) {
        uint8_t frame[256];
        uint16_t port = words % TRACE_APPS;
        uint32_t len =
            trace_frame(t, &(struct trace_seg){.flags = SYN, .len = 8, .port = port}, frame);
        uint8_t *tcp = frame + TRACE_IP_HEADER;
        uint32_t was = get_be16(tcp + 12), is = words << 12 | SYN, sum;

        put_be16(tcp + 12, (uint16_t)is);
        sum = (uint16_t)~get_be16(tcp + 16) + (uint16_t)~was + is; /* RFC 1624 */
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        put_be16(tcp + 16, (uint16_t)~sum);
        trace_send_frame(t, frame, len);
        assert_int_equal(STATS(t)->drop_checksum, 0);
        assert_int_equal(trace_take_all(t, NULL), words >= 5 && words <= 7);
    }
    assert_int_equal(STATS(t)->drop_short, 13);
}

/* What a damaged copy of the next segment may do to an established connection. */
static void damaged(struct trace *t, uint32_t bit, bool sum_fits)
{
    const struct trace_seg seg = {
        .flags = ACK | PSH, .seq = 101, .ack = 1, .len = 100, .has_ts = true, .tsval = 60};
    struct trace_app *app = trace_establish(t, 0);
    uint8_t frame[256], *tcp = frame + TRACE_IP_HEADER;
    uint32_t len;

    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .len = 100, .has_ts = true, .tsval = 55);
    len = trace_frame(t, &seg, frame);
    if (sum_fits) { /* as from an attacker who can compute checksums */
        uint32_t at = bit / 16 * 2, was = get_be16(tcp + at), sum;

        tcp[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (at != 16) {
            sum = (uint16_t)~get_be16(tcp + 16) + (uint16_t)~was + get_be16(tcp + at);
            sum = (sum & 0xffff) + (sum >> 16);
            sum = (sum & 0xffff) + (sum >> 16);
            put_be16(tcp + 16, (uint16_t)~sum);
        }
    } else {
        tcp[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    trace_send_frame(t, frame, len);
    if (!sum_fits)
        assert_int_equal(STATS(t)->drop_checksum + STATS(t)->drop_short, 1);
    if (!sum_fits || bit / 8 != 13) {
        /* Ports, numbers, lengths, windows, options: the state stands. app_recv has compared every
         * byte that came through, so nothing shifted or foreign did. */
        EXPECT_STATE(app, TCP_ESTABLISHED);
    } else if (bit % 8 == 0) { /* FIN */
        EXPECT_STATE(app, TCP_CLOSE_WAIT);
    } else if (bit % 8 == 2) { /* RST: its number is exact */
        assert_int_equal(app->why, TCP_END_RESET);
    } else {
        EXPECT_STATE(app, TCP_ESTABLISHED);
    }
    assert_true(app->received == 100 || app->received == 200 || (t->raw && app->received < 200));
    trace_take_all(t, NULL);
    ADVANCE(t, 100);
    trace_take_all(t, NULL);
}

static void each_bit(bool sum_fits)
{
    for (uint32_t bit = 0; bit < 32 * 8; bit++) {
        struct trace *t = calloc(1, sizeof(*t));

        /* A data offset that is off by bits makes options of data or data of options: those bytes
         * are another stream's to the test. With a checksum that fits nobody could tell. */
        if (sum_fits && bit / 8 == 12 && bit % 8 >= 4) {
            free(t);
            continue;
        }
        trace_open(t, &(struct trace_setup){0});
        t->ts = true;
        t->ts_base = 50;
        t->raw =
            sum_fits && bit >= 32 && bit < 64; /* the sequence number says which bytes these are */
        damaged(t, bit, sum_fits);
        trace_close(t);
        free(t);
    }
}

static void test_each_bit_damaged(void **state)
{
    each_bit(false);
}

static void test_each_bit_forged(void **state)
{
    each_bit(true);
}

/* Every length a segment can be cut to. */
TRACE_TEST(truncated)
{
    struct trace_app *app;

    t->ts = true;
    t->ts_base = 50;
    app = trace_establish(t, 0);
    for (uint32_t keep = 0; keep < 32 + 50; keep++) {
        uint8_t frame[256], *ip = frame + ETH_HEADER_BYTES;
        uint32_t sum = 0;

        trace_frame(t,
                    &(struct trace_seg){
                        .flags = ACK, .seq = 1, .ack = 1, .len = 50, .has_ts = true, .tsval = 60},
                    frame);
        put_be16(ip + 2, (uint16_t)(IP4_HEADER_BYTES + keep));
        put_be16(ip + 10, 0);
        for (uint32_t i = 0; i < IP4_HEADER_BYTES; i += 2)
            sum += get_be16(ip + i);
        sum = (sum & 0xffff) + (sum >> 16);
        put_be16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
        trace_send_frame(t, frame, TRACE_IP_HEADER + keep);
    }
    assert_int_equal(app->received, 0);
    assert_int_equal(STATS(t)->drop_short + STATS(t)->drop_checksum, 82);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option_length_0),
        cmocka_unit_test(option_length_1),
        cmocka_unit_test(option_beyond_the_header),
        cmocka_unit_test(option_without_length),
        cmocka_unit_test(option_unknown),
        cmocka_unit_test(option_end),
        cmocka_unit_test(mss),
        cmocka_unit_test(mss_option_of_zero),
        cmocka_unit_test(mss_of_ours_is_configured),
        cmocka_unit_test(mss_and_timestamps),
        cmocka_unit_test(offers),
        cmocka_unit_test(our_syn_offers_everything),
        cmocka_unit_test(sack_blocks),
        cmocka_unit_test(sack_nonsense),
        cmocka_unit_test(ecn_bits),
        cmocka_unit_test(wscale_15),
        cmocka_unit_test(wscale_in_syn_ack_is_not_applied_to_it),
        cmocka_unit_test(our_wscale),
        cmocka_unit_test(our_wscale_refused),
        cmocka_unit_test(checksum),
        cmocka_unit_test(data_offset),
        cmocka_unit_test(test_each_bit_damaged),
        cmocka_unit_test(test_each_bit_forged),
        cmocka_unit_test(truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

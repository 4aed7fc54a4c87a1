// SPDX-License-Identifier: BSD-2-Clause
/* ICMPv6: echoes, errors in both directions, and what goes down to the link. */
#include "ip/link6_test.h"

/* --- echo ------------------------------------------------------------------------------------- */

static void test_answers_echoes_of_every_size(void **state)
{
    uint8_t bytes[MTU];
    struct world w;

    world_open(&w);
    for (uint32_t data_len = 0; data_len <= MTU - 48; data_len += data_len < 100 ? 1 : 97) {
        const uint8_t *icmp;
        uint32_t len;

        w.now_ns += NS_PER_S;
        make_echo6(bytes, data_len);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        icmp = expect_dgram6(&w, peer_mac, IP_PROTO_ICMP6, &peer6, &len);
        assert_int_equal(get_be16(w.got.data + 14) >> 4 & 0xff, 0x28); /* class without ECN */
        assert_int_equal(len, 8 + data_len);
        assert_int_equal(icmp[0], ICMP6_ECHO_REPLY);
        assert_int_equal(checksum6(w.got.data + 14, icmp, len, IP_PROTO_ICMP6), 0);
        assert_memory_equal(icmp + 4, bytes + 44, len - 4);
        while (link_hears(&w)) /* the neighbour entry ages */
            ;
    }
    world_close(&w);
}

static void test_echoes_that_are_not_answered(void **state)
{
    static const struct {
        uint32_t data_len;
        size_t at, bytes;
        const char *value;
        size_t counter;
    } cases[] = {
        {MTU + 1 - 48, 0, 0, "", COUNTER(drop_icmp_big)},
        {8, 24, 16, "ff02::1", COUNTER(icmp_ignored)},
        {8, 24, 16, "ff02::1:ff00:1", COUNTER(icmp_ignored)},
        {8, 8, 16, "::", COUNTER(drop_source)},
        {8, 8, 16, "2001:db8::1", COUNTER(drop_source)},
        {8, 41, 1, "\1", COUNTER(drop_icmp_malformed)},
        {8, 40, 1, "\x81", COUNTER(icmp_ignored)}, /* a reply */
        {8, 40, 1, "\x85", COUNTER(icmp_ignored)}, /* a router solicitation */
        {8, 40, 1, "\x89", COUNTER(icmp_ignored)}, /* a redirect */
        {8, 40, 1, "\x83", COUNTER(icmp_ignored)}, /* an MLD report */
        {8, 40, 1, "\x7f", COUNTER(icmp_ignored)}, /* an error of the future */
        {8, 40, 1, "\xff", COUNTER(icmp_ignored)},
    };
    uint8_t bytes[MTU + 1];

    for (size_t i = 0; i < array_len(cases); i++) {
        const uint64_t *counter;
        uint32_t len;
        struct world w;

        world_open(&w);
        counter = counter_at(&w, cases[i].counter);
        len = make_echo6(bytes, cases[i].data_len);
        change(bytes, cases[i].at, cases[i].bytes, cases[i].value);
        seal_icmp6(bytes);
        assert_int_equal(arrives(&w, bytes, len), IP_DONE);
        assert_int_equal(*counter, 1);
        expect_silence(&w);
        world_close(&w);
    }
}

/* Behind an extension header, whose bytes the checksum does not cover. */
static void test_echo_behind_options(void **state)
{
    uint8_t echo[64], payload[32], bytes[72];
    struct world w;
    uint32_t len;

    world_open(&w);
    make_echo6(echo, 16);
    memcpy(payload, "\x3a\0\1\4\0\0\0\0", 8);
    memcpy(payload + 8, echo + 40, 24);
    make6(bytes, 60, payload, sizeof(payload));
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    expect_dgram6(&w, peer_mac, IP_PROTO_ICMP6, &peer6, &len);
    assert_int_equal(len, 24);
    world_close(&w);
}

/* Damage is seen by the checksum or by a check before it; no echo is answered. */
static void test_echo_with_any_bit_flipped(void **state)
{
    uint8_t bytes[84];
    struct world w;

    world_open(&w);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        uint64_t before = accounted_for(&w);
        bool unseen = (bit >= 4 && bit < 32 && bit / 8 != 0) || bit / 8 == 7 || bit < 4;

        w.now_ns += NS_PER_S;
        make_echo6(bytes, 36);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(accounted_for(&w), before + 1);
        if (!unseen) /* class, label and hop limit are not covered (RFC 8200 8.1) */
            assert_int_equal(ip_stats(w.ip)->icmp_echo_out, ip_stats(w.ip)->icmp_echo_in);
        while (link_hears(&w))
            ;
    }
    assert_int_equal(ip_stats(w.ip)->icmp_echo_in, 4 + 24 + 8);
    world_close(&w);
}

/* --- errors in -------------------------------------------------------------------------------- */

/* An error about a TCP segment from us to the stranger, `quote` bytes of it. */
static uint32_t make_error(uint8_t *bytes, uint8_t type, uint8_t code, uint32_t rest,
                           uint32_t quote)
{
    uint8_t icmp[8 + 60] = {type, code}, sent[60];
    uint32_t len;

    put_be32(icmp + 4, rest);
    make6(sent, IP_PROTO_TCP, "\0\120\1\2seq.and then.20", 20);
    memcpy(sent + 8, us6.b, 16);
    memcpy(sent + 24, stranger6.b, 16);
    put_be16(sent + 4, 1460); /* what was sent was longer */
    memcpy(icmp + 8, sent, quote);
    len = make6(bytes, IP_PROTO_ICMP6, icmp, 8 + quote);
    seal_icmp6(bytes);
    return len;
}

static void test_errors_are_handed_on(void **state)
{
    static const struct {
        uint8_t type, code;
        uint32_t rest, mtu;
        enum ip_error_kind kind;
    } cases[] = {
        {1, 0, 1400, 0, IP_ERROR_UNREACHABLE},
        {1, 4, 0, 0, IP_ERROR_UNREACHABLE},
        {2, 0, 1400, 1400, IP_ERROR_TOO_BIG},
        {2, 9, 1280, 1280, IP_ERROR_TOO_BIG},
        {2, 0, 1u << 31, 1u << 31, IP_ERROR_TOO_BIG},
        {3, 0, 7, 0, IP_ERROR_TIME_EXCEEDED},
        {4, 2, 0, 0, IP_ERROR_PARAMETER},
    };
    uint8_t bytes[120];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint32_t len = make_error(bytes, cases[i].type, cases[i].code, cases[i].rest, 60);

        assert_int_equal(arrives(&w, bytes, len), IP_ERROR);
        assert_int_equal(w.error.kind, cases[i].kind);
        assert_int_equal(w.error.mtu, cases[i].mtu);
        assert_int_equal(w.error.proto, IP_PROTO_TCP);
        assert_true(ip_addr_equal(&w.error.src, &us6));
        assert_true(ip_addr_equal(&w.error.dst, &stranger6));
        assert_int_equal(w.error.len, 20);
        assert_memory_equal(w.error.payload, "\0\120\1\2seq.", 8);
    }
    expect_silence(&w);
    world_close(&w);
}

static void test_errors_that_make_no_sense(void **state)
{
    static const struct {
        size_t at, bytes;
        const char *value;
        size_t counter;
    } cases[] = {
        {44, 4, "\0\0\4\xff", COUNTER(drop_icmp_malformed)}, /* no link takes less than 1,280 */
        {44, 4, "\0\0\0\0", COUNTER(drop_icmp_malformed)},
        {48, 1, "\x45", COUNTER(drop_icmp_malformed)},
        {52, 2, "\0\7", COUNTER(drop_icmp_malformed)}, /* shorter than what is quoted */
        {54, 1, "\x3a", COUNTER(drop_icmp_stray)},     /* we do not ping */
        {54, 1, "\x2c", COUNTER(drop_icmp_stray)},     /* we do not fragment */
        {56, 16, "2001:db8::2", COUNTER(drop_icmp_stray)},
        {72, 16, "2001:db8::1", COUNTER(drop_icmp_stray)},
        {72, 16, "ff02::1", COUNTER(drop_icmp_stray)},
        {72, 16, "::ffff:192.0.2.2", COUNTER(drop_icmp_stray)},
        {24, 16, "ff02::1", COUNTER(drop_icmp_stray)}, /* not to us alone */
        {44, 4, "\0\0\5\0", COUNTER(icmp_errors_in)},  /* none of these */
    };
    uint8_t bytes[120];

    for (size_t i = 0; i < array_len(cases); i++) {
        const uint64_t *counter;
        uint32_t len;
        struct world w;

        world_open(&w);
        counter = counter_at(&w, cases[i].counter);
        len = make_error(bytes, 2, 0, 1400, 48);
        change(bytes, cases[i].at, cases[i].bytes, cases[i].value);
        seal_icmp6(bytes);
        arrives(&w, bytes, len);
        assert_int_equal(*counter, 1);
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_messages_of_every_length(void **state)
{
    uint8_t bytes[120];
    uint32_t full = make_error(bytes, 2, 0, 1400, 48);
    struct world w;

    world_open(&w);
    for (uint32_t len = 40; len < full; len++) {
        uint8_t *exact = malloc(len); /* so that a sanitizer sees a step too far */

        make_error(bytes, 2, 0, 1400, 48);
        put_be16(bytes + 4, (uint16_t)(len - 40));
        if (len >= 44)
            seal_icmp6(bytes);
        memcpy(exact, bytes, len);
        assert_int_equal(arrives(&w, exact, len), IP_DONE);
        free(exact);
    }
    assert_int_equal(ip_stats(w.ip)->drop_icmp_malformed, full - 40);
    world_close(&w);
}

/* --- errors out ------------------------------------------------------------------------------- */

static void test_unreachable_quotes_what_fits(void **state)
{
    static const uint32_t sizes[] = {8, 9, 100, 1232 - 40, 1233 - 40, MTU - 40};
    uint8_t bytes[MTU], payload[MTU];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(sizes); i++) {
        uint32_t len;

        w.now_ns += NS_PER_S;
        memset(payload, 'x', sizeof(payload));
        len = make6(bytes, IP_PROTO_UDP, payload, sizes[i]);
        assert_int_equal(arrives(&w, bytes, len), IP_UDP);
        ip_unreachable(w.ip, &w.dgram, IP_UNREACHABLE_PORT, w.now_ns);
        expect_error6(&w, ICMP6_UNREACHABLE, ICMP6_CODE_PORT, 0, bytes, len);
    }
    world_close(&w);
}

static void test_errors_are_limited(void **state)
{
    uint8_t bytes[100];
    uint32_t sent = 0;
    struct world w;

    world_open(&w);
    for (int i = 0; i < 1000; i++) {
        uint32_t len = make6(bytes, 132, "sctp", 4);

        assert_int_equal(arrives(&w, bytes, len), IP_DONE);
        sent += link_hears(&w) != NULL;
    }
    assert_in_range(sent, ICMP_BURST / ICMP_ERROR_PRICE_MAX, ICMP_BURST - 1);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_out, sent);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_limited, 1000 - sent);
    world_close(&w);
}

/* --- the link's ------------------------------------------------------------------------------- */

static uint32_t make_solicit(uint8_t *bytes)
{
    uint8_t message[24] = {ICMP6_NEIGHBOR_SOLICIT};
    uint32_t len;

    memcpy(message + 8, us6.b, 16);
    len = make6(bytes, IP_PROTO_ICMP6, message, sizeof(message));
    bytes[7] = 255;
    return len;
}

static void test_discovery_goes_down(void **state)
{
    uint8_t bytes[72];
    uint64_t before;
    struct world w;

    world_open(&w);
    before = ip_stats(w.ip)->icmp_link_in;
    make_solicit(bytes);
    memset(bytes + 8, 0, 16); /* somebody probes for our address */
    memcpy(bytes + 24, our_group6.b, 16);
    seal_icmp6(bytes);
    assert_int_equal(arrives(&w, bytes, 64), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->icmp_link_in, before + 1);
    assert_int_equal(eth_stats(w.eth)->ndp_conflicts, 1);
    bytes[42] ^= 1;
    assert_int_equal(arrives(&w, bytes, 64), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_icmp_checksum, 0); /* it is no longer our group */
    assert_int_equal(ip_stats(w.ip)->drop_not_ours, 1);
    world_close(&w);
}

/* Somebody has an address of ours, and says so from it. */
static void test_claims_of_our_address_go_down(void **state)
{
    static const uint8_t types[] = {ICMP6_NEIGHBOR_SOLICIT, ICMP6_NEIGHBOR_ADVERT};
    uint8_t bytes[64];

    for (size_t i = 0; i < array_len(types); i++) {
        struct world w;

        world_open(&w);
        make_solicit(bytes);
        bytes[40] = types[i];
        memcpy(bytes + 8, us6.b, 16);
        memcpy(bytes + 24, all_nodes6.b, 16);
        seal_icmp6(bytes);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(eth_stats(w.eth)->ndp_conflicts, 1);
        assert_int_equal(eth_stats(w.eth)->ndp_duplicates, 1);
        assert_false(ip_addr_is_ours(w.ip, &us6));
        world_close(&w);
    }
}

/* RFC 6980: not even in a fragment that is all of the message. */
static void test_discovery_in_a_fragment(void **state)
{
    uint8_t whole[72], payload[32] = {IP_PROTO_ICMP6}, bytes[72];
    struct world w;

    world_open(&w);
    make_solicit(whole);
    seal_icmp6(whole);
    memcpy(payload + 8, whole + 40, 24);
    make6(bytes, 44, payload, sizeof(payload));
    bytes[7] = 255;
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_icmp_malformed, 1);
    expect_silence(&w);
    assert_int_equal(arrives(&w, whole, 64), IP_DONE);
    assert_non_null(link_hears(&w));
    world_close(&w);
}

/* RFC 3810 6.2: the alert of MLD stands in a hop-by-hop header. */
static void test_query_needs_its_alert(void **state)
{
    static const struct {
        uint8_t next;
        char options[7];
        bool taken;
    } cases[] = {{0, "\5\2\0\0\1\0", true},  {0, "\1\0\5\2\0\0", true},  {0, "\5\2\0\1\1\0", false},
                 {0, "\1\4\5\2\0\0", false}, {0, "\5\4\0\0\0\0", false}, {0, "\1\1\0\5\1\0", false},
                 {60, "\5\2\0\0\1\0", false}};

    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t payload[8 + 28] = {IP_PROTO_ICMP6}, bytes[40 + sizeof(payload)];
        uint16_t sum;
        struct world w;

        world_open(&w);
        memcpy(payload + 2, cases[i].options, 6);
        payload[8] = ICMP6_MLD_QUERY;
        make6(bytes, cases[i].next, payload, sizeof(payload));
        bytes[7] = 1;
        memcpy(bytes + 8, router6.b, 16);
        memcpy(bytes + 24, all_nodes6.b, 16);
        sum = checksum6(bytes, bytes + 48, 28, IP_PROTO_ICMP6);
        memcpy(bytes + 50, &sum, 2);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(eth_stats(w.eth)->mld_queries_in, cases[i].taken);
        assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, !cases[i].taken);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_echoes_of_every_size),
        cmocka_unit_test(test_echoes_that_are_not_answered),
        cmocka_unit_test(test_echo_behind_options),
        cmocka_unit_test(test_echo_with_any_bit_flipped),
        cmocka_unit_test(test_errors_are_handed_on),
        cmocka_unit_test(test_errors_that_make_no_sense),
        cmocka_unit_test(test_messages_of_every_length),
        cmocka_unit_test(test_unreachable_quotes_what_fits),
        cmocka_unit_test(test_errors_are_limited),
        cmocka_unit_test(test_discovery_goes_down),
        cmocka_unit_test(test_claims_of_our_address_go_down),
        cmocka_unit_test(test_discovery_in_a_fragment),
        cmocka_unit_test(test_query_needs_its_alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

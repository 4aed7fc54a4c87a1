// SPDX-License-Identifier: BSD-2-Clause
/* Echoes, and errors in both directions. */
#include "ip/link_test.h"

/* --- echo ------------------------------------------------------------------------------------- */

static uint32_t make_echo(uint8_t *bytes, uint32_t data_len)
{
    uint8_t *icmp = malloc(8 + data_len);
    uint32_t len;

    memcpy(icmp, "\x08\0\0\0\x12\x34\0\1", 8);
    for (uint32_t i = 0; i < data_len; i++)
        icmp[8 + i] = (uint8_t)(i * 7 + 1);
    len = make(bytes, IP_PROTO_ICMP, icmp, 8 + data_len);
    seal_icmp(bytes);
    free(icmp);
    return len;
}

static void test_answers_echoes_of_every_size(void **state)
{
    uint8_t bytes[MTU];
    struct world w;

    world_open(&w);
    for (uint32_t data_len = 0; data_len <= MTU - 28; data_len += data_len < 100 ? 1 : 97) {
        const uint8_t *icmp;
        uint32_t len;

        w.now_ns += NS_PER_S;
        make_echo(bytes, data_len);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
        assert_int_equal(w.got.data[15], 0x28); /* type of service without ECN */
        assert_int_equal(len, 8 + data_len);
        assert_int_equal(icmp[0], ICMP_ECHO_REPLY);
        assert_int_equal(checksum(icmp, len), 0);
        assert_memory_equal(icmp + 4, bytes + 24, len - 4);
        expect_silence(&w);
    }
    world_close(&w);
}

/* The reply is all zeros: its checksum must not be, since zeros add up to no valid sum. */
static void test_echo_of_nothing(void **state)
{
    uint8_t bytes[20 + 8 + 16] = {0};
    const uint8_t *icmp;
    uint32_t len;
    struct world w;

    world_open(&w);
    make(bytes, IP_PROTO_ICMP, (const uint8_t[24]){ICMP_ECHO}, 24);
    seal_icmp(bytes);
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
    assert_int_equal(icmp[0], ICMP_ECHO_REPLY);
    assert_int_equal(ip_sum_fold(ip_sum(0, icmp, len)), 0xffff);
    world_close(&w);
}

static void test_echo_too_big(void **state)
{
    uint8_t bytes[MTU + 1];
    struct world w;

    world_open(&w);
    make_echo(bytes, MTU + 1 - 28);
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_icmp_big, 1);
    expect_silence(&w);
    world_close(&w);
}

static void test_echo_through_the_gateway(void **state)
{
    uint8_t bytes[64];
    uint32_t len;
    struct world w;

    world_open(&w);
    make_echo(bytes, 36);
    memcpy(bytes + 12, stranger, 4);
    seal(bytes);
    arrives(&w, bytes, sizeof(bytes));
    expect_dgram(&w, gateway_mac, IP_PROTO_ICMP, us, stranger, &len);
    world_close(&w);
}

static void test_echo_rate_is_limited(void **state)
{
    uint8_t bytes[64];
    uint32_t answered = 0;
    struct world w;

    world_open(&w);
    for (int i = 0; i < 200; i++) {
        make_echo(bytes, 36);
        arrives(&w, bytes, sizeof(bytes));
        answered += link_hears(&w) != NULL;
    }
    assert_int_equal(answered, ICMP_BURST);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_limited, 200 - ICMP_BURST);
    w.now_ns += 10 * NS_PER_MS; /* earns ten */
    for (int i = 0; i < 200; i++) {
        make_echo(bytes, 36);
        arrives(&w, bytes, sizeof(bytes));
        answered += link_hears(&w) != NULL;
    }
    assert_int_equal(answered, ICMP_BURST + 10);
    world_close(&w);
}

/* Damage is seen by a checksum or by a check before it; nothing is answered. */
static void test_echo_with_any_bit_flipped(void **state)
{
    uint8_t bytes[64];
    struct world w;

    world_open(&w);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        make_echo(bytes, 36);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(accounted_for(&w), bit + 1);
        expect_silence(&w);
    }
    assert_int_equal(ip_stats(w.ip)->icmp_echo_in, 0);
    world_close(&w);
}

/* The same with checksums that hold: whatever is answered is answered to a possible sender. */
static void test_echo_with_any_bit_changed(void **state)
{
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        uint8_t bytes[64];
        struct ip4_header *h = (struct ip4_header *)bytes;
        size_t byte = bit / 8;
        const struct nmio_pkt *pkt;
        struct world w;

        world_open(&w);
        make_echo(bytes, 36);
        bytes[byte] ^= (uint8_t)(1 << bit % 8);
        if (byte < 20 && byte != 0)
            seal(bytes);
        else if (byte >= 20)
            seal_icmp(bytes);
        arrives(&w, bytes, sizeof(bytes));
        assert_int_equal(accounted_for(&w), 1);
        pkt = link_hears(&w);
        if (pkt && get_be16(pkt->data + 12) == ETH_TYPE_IP4) {
            assert_memory_equal(pkt->data + 30, h->src, 4);
            assert_memory_equal(pkt->data + 26, us, 4);
            expect_silence(&w);
        }
        world_close(&w);
    }
}

/* --- errors in -------------------------------------------------------------------------------- */

/* An error about a TCP segment from us to the stranger, 8 bytes of it quoted. */
static uint32_t make_error(uint8_t *bytes, uint8_t type, uint8_t code, uint16_t mtu)
{
    uint8_t icmp[8 + 20 + 8] = {type, code};
    uint8_t sent[28];
    uint32_t len;

    put_be16(icmp + 6, mtu);
    make(sent, IP_PROTO_TCP, "\0\120\1\2seq.", 8);
    memcpy(sent + 12, us, 4);
    memcpy(sent + 16, stranger, 4);
    put_be16(sent + 2, 1500); /* what was sent was longer */
    memcpy(icmp + 8, sent, sizeof(sent));
    len = make(bytes, IP_PROTO_ICMP, icmp, sizeof(icmp));
    seal_icmp(bytes);
    return len;
}

static void test_errors_are_handed_on(void **state)
{
    static const struct {
        uint8_t type, code;
        uint16_t mtu_in, mtu_out;
        enum ip_error_kind kind;
    } cases[] = {{3, 1, 1400, 0, IP_ERROR_UNREACHABLE}, {3, 3, 0, 0, IP_ERROR_UNREACHABLE},
                 {3, 4, 1400, 1400, IP_ERROR_TOO_BIG},  {3, 4, 0, 0, IP_ERROR_TOO_BIG},
                 {11, 0, 7, 0, IP_ERROR_TIME_EXCEEDED}, {11, 4, 7, 0, IP_ERROR_TIME_EXCEEDED},
                 {12, 0, 0, 0, IP_ERROR_PARAMETER},     {12, 4, 0, 0, IP_ERROR_PARAMETER}};
    struct ip_addr src = ip_addr_v4(us), dst = ip_addr_v4(stranger);
    uint8_t bytes[100];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint32_t len = make_error(bytes, cases[i].type, cases[i].code, cases[i].mtu_in);

        assert_int_equal(arrives(&w, bytes, len), IP_ERROR);
        assert_int_equal(w.error.kind, cases[i].kind);
        assert_int_equal(w.error.mtu, cases[i].mtu_out);
        assert_int_equal(w.error.proto, IP_PROTO_TCP);
        assert_true(ip_addr_equal(&w.error.src, &src));
        assert_true(ip_addr_equal(&w.error.dst, &dst));
        assert_int_equal(w.error.len, 8);
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
        {28, 1, "\x65", COUNTER(drop_icmp_malformed)},
        {28, 1, "\x44", COUNTER(drop_icmp_malformed)},
        {28, 1, "\x46", COUNTER(drop_icmp_malformed)},   /* less than 8 bytes are left */
        {30, 2, "\0\x1b", COUNTER(drop_icmp_malformed)}, /* shorter than what is quoted */
        {40, 4, peer, COUNTER(drop_icmp_stray)},         /* not from us */
        {40, 4, us_too, COUNTER(drop_icmp_stray)},       /* the error came to another address */
        {44, 4, us, COUNTER(drop_icmp_stray)},           /* to ourselves */
        {44, 4, "\340\0\0\1", COUNTER(drop_icmp_stray)}, /* to a group */
        {34, 2, "\0\1", COUNTER(drop_icmp_stray)},       /* not its first fragment */
        {37, 1, "\1", COUNTER(drop_icmp_stray)},         /* we do not ping */
        {20, 1, "\5", COUNTER(icmp_ignored)},            /* redirect */
        {20, 1, "\4", COUNTER(icmp_ignored)},            /* source quench */
        {20, 1, "\15", COUNTER(icmp_ignored)},           /* timestamp */
        {20, 1, "\0", COUNTER(icmp_ignored)},            /* echo reply */
        {20, 2, "\x08\1", COUNTER(drop_icmp_malformed)}, /* echo with a code */
        {26, 2, "\0\1", COUNTER(icmp_errors_in)},        /* unused field: none of these */
    };
    uint8_t bytes[100];

    for (size_t i = 0; i < array_len(cases); i++) {
        const uint64_t *counter;
        uint32_t len;
        struct world w;

        world_open(&w);
        counter = counter_at(&w, cases[i].counter);
        len = make_error(bytes, 3, 3, 0);
        memcpy(bytes + cases[i].at, cases[i].value, cases[i].bytes);
        seal_icmp(bytes);
        arrives(&w, bytes, len);
        assert_int_equal(*counter, 1);
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_messages_of_every_length(void **state)
{
    uint8_t bytes[100];
    uint32_t full = make_error(bytes, 3, 3, 0);
    struct world w;

    world_open(&w);
    for (uint32_t len = 1; len < full; len++) {
        uint8_t *exact = malloc(len); /* so that a sanitizer sees a step too far */

        make_error(bytes, 3, 3, 0);
        if (len >= 20) {
            put_be16(bytes + 2, (uint16_t)len);
            seal(bytes);
        }
        if (len >= 28)
            seal_icmp(bytes);
        memcpy(exact, bytes, len);
        assert_int_equal(arrives(&w, exact, len), IP_DONE);
        assert_int_equal(accounted_for(&w), len);
        free(exact);
    }
    assert_int_equal(ip_stats(w.ip)->drop_icmp_malformed, full - 20);
    world_close(&w);
}

/* --- errors out ------------------------------------------------------------------------------- */

static void test_unreachable_quotes_the_datagram(void **state)
{
    uint8_t bytes[100];
    const uint8_t *icmp;
    uint32_t len;
    struct world w;

    world_open(&w);
    make(bytes, IP_PROTO_UDP, "sourdestlen.rest", 16);
    assert_int_equal(arrives(&w, bytes, 36), IP_UDP);
    ip_unreachable(w.ip, &w.dgram, 3, w.now_ns);
    icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
    assert_int_equal(len, 8 + 20 + 8);
    assert_memory_equal(icmp, "\3\3", 2);
    assert_memory_equal(icmp + 4, "\0\0\0\0", 4);
    assert_memory_equal(icmp + 8, bytes, 28);
    assert_int_equal(checksum(icmp, len), 0);

    make(bytes, 132, "sctp", 4); /* by itself, with what there is of it */
    assert_int_equal(arrives(&w, bytes, 24), IP_DONE);
    icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
    assert_int_equal(len, 8 + 20 + 4);
    assert_memory_equal(icmp, "\3\2", 2);
    assert_memory_equal(icmp + 8, bytes, 24);
    world_close(&w);
}

static void test_errors_are_limited(void **state)
{
    uint8_t bytes[100];
    uint32_t sent = 0;
    struct world w;

    world_open(&w);
    for (int i = 0; i < 1000; i++) {
        make(bytes, IP_PROTO_UDP, "sourdestlen.rest", 16);
        assert_int_equal(arrives(&w, bytes, 36), IP_UDP);
        ip_unreachable(w.ip, &w.dgram, 3, w.now_ns);
        sent += link_hears(&w) != NULL;
    }
    assert_in_range(sent, ICMP_BURST / ICMP_ERROR_PRICE_MAX, ICMP_BURST - 1);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_out, sent);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_limited, 1000 - sent);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_echoes_of_every_size),
        cmocka_unit_test(test_echo_of_nothing),
        cmocka_unit_test(test_echo_too_big),
        cmocka_unit_test(test_echo_through_the_gateway),
        cmocka_unit_test(test_echo_rate_is_limited),
        cmocka_unit_test(test_echo_with_any_bit_flipped),
        cmocka_unit_test(test_echo_with_any_bit_changed),
        cmocka_unit_test(test_errors_are_handed_on),
        cmocka_unit_test(test_errors_that_make_no_sense),
        cmocka_unit_test(test_messages_of_every_length),
        cmocka_unit_test(test_unreachable_quotes_the_datagram),
        cmocka_unit_test(test_errors_are_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

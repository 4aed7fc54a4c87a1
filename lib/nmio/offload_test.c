// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/rand.h"
#include "nmio/offload.h"
#include "nmio/test_packet.h"

static uint8_t frame[FRAME_BYTES_MAX];
static uint8_t out[FRAME_BYTES_MAX];

static uint32_t build(const struct test_packet *packet)
{
    uint16_t csum_start;
    uint32_t header = test_headers(frame, packet, &csum_start);

    for (uint32_t i = 0; i < packet->payload_bytes; i++)
        frame[header + i] = (uint8_t)(i * 31 + (i >> 8));
    return header + packet->payload_bytes;
}

static void check_segments(const struct test_packet *packet, uint16_t gso_size)
{
    uint32_t len = build(packet), header = len - packet->payload_bytes;
    uint32_t transport = header - TCP_HEADER_BYTES - packet->tcp_option_bytes;
    uint32_t taken = 0, n, index = 0;
    struct nmio_cut cut;

    nmio_cut_start(&cut, frame, len, gso_size, false);
    while ((n = nmio_cut_next(&cut, out))) {
        uint32_t bytes = n - header;
        bool last = taken + bytes == packet->payload_bytes;
        uint8_t flags = packet->flags;

        if (!last)
            flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (index)
            flags &= (uint8_t)~TCP_CWR;
        assert_true(n <= cut.largest);
        assert_true(test_packet_valid(out, n));
        assert_true(last || bytes == gso_size);
        assert_memory_equal(out, frame, 12);
        assert_memory_equal(out + header, frame + header + taken, bytes);
        assert_int_equal(get_be32(out + transport + 4), packet->seq + taken);
        assert_int_equal(out[transport + TCP_FLAGS_AT], flags);
        assert_memory_equal(out + transport + 20, frame + transport + 20, packet->tcp_option_bytes);
        if (!packet->ip6)
            assert_int_equal(get_be16(out + transport - 16), (uint16_t)(packet->id + index));
        taken += bytes;
        index++;
    }
    assert_int_equal(taken, packet->payload_bytes);
    assert_int_equal(nmio_cut_left(&cut), 0);
    assert_int_equal(nmio_cut_next(&cut, out), 0);
}

static void test_segments(void **state)
{
    static const uint32_t sizes[] = {1, 999, 1000, 1001, 2000, 60001, 65000};

    for (unsigned variant = 0; variant < 8; variant++)
        for (size_t i = 0; i < array_len(sizes); i++) {
            struct test_packet packet = {
                .ip6 = variant & 1,
                .vlan = variant & 2,
                .tcp_option_bytes = variant & 4 ? 12 : 0,
                .protocol = IP_PROTO_TCP,
                .flags = 0x19 | TCP_CWR,
                .id = 65534,
                .seq = 0xfffffff0,
                .payload_bytes = sizes[i],
                .source = {192, 0, 2, 1, 9, 8, 7},
                .target = {192, 0, 2, 77, 1, 2, 3},
            };

            check_segments(&packet, 1000);
        }
}

static void test_complete(void **state)
{
    for (unsigned variant = 0; variant < 4; variant++) {
        struct test_packet packet = {
            .ip6 = variant & 1,
            .protocol = variant & 2 ? IP_PROTO_TCP : IP_PROTO_UDP,
            .payload_bytes = 777,
            .source = {10, 1},
            .target = {10, 2},
        };
        uint32_t len = build(&packet);
        struct nmio_cut cut;

        assert_false(test_packet_valid(frame, len));
        nmio_cut_start(&cut, frame, len, 0, true);
        assert_int_equal(nmio_cut_left(&cut), 1);
        assert_int_equal(nmio_cut_next(&cut, out), len);
        assert_true(test_packet_valid(out, len));
        /* Once more changes nothing. */
        memcpy(frame, out, len);
        nmio_cut_start(&cut, frame, len, 0, true);
        assert_int_equal(nmio_cut_next(&cut, out), len);
        assert_memory_equal(frame, out, len);
        assert_int_equal(nmio_cut_next(&cut, out), 0);
    }
}

/* The same from csum_start, for any protocol. */
static void test_complete_in_place(void **state)
{
    struct test_packet packet = {.protocol = IP_PROTO_UDP, .payload_bytes = 333};
    uint32_t len = build(&packet);

    nmio_csum_complete(frame, len, 34, UDP_CSUM_AT);
    assert_true(test_packet_valid(frame, len));
}

/* A UDP checksum that comes out as zero is sent as ones: zero would say that there is none. */
static void test_udp_zero(void **state)
{
    struct test_packet packet = {.protocol = IP_PROTO_UDP, .payload_bytes = 2};
    uint32_t len = build(&packet);
    uint16_t sum;

    memset(frame + 42, 0, 2);
    put_be16(frame + 40, 0);
    sum = (uint16_t)test_sum(test_pseudo_sum(frame + 14, false, IP_PROTO_UDP, 10), frame + 34, 10);
    put_be16(frame + 42, (uint16_t)~sum);
    put_be16(frame + 40, (uint16_t)test_pseudo_sum(frame + 14, false, IP_PROTO_UDP, 10));
    nmio_csum_complete(frame, len, 34, UDP_CSUM_AT);
    assert_int_equal(get_be16(frame + 40), 0xffff);
}

/* TCP's is zero: RFC 1624 3. The header without ports is all that is summed. */
static void test_tcp_zero(void **state)
{
    struct test_packet packet = {.protocol = IP_PROTO_TCP, .payload_bytes = 2};
    uint32_t len = build(&packet), bytes = len - 34;
    uint64_t pseudo = test_pseudo_sum(frame + 14, false, IP_PROTO_TCP, bytes);
    uint8_t *field = frame + 34 + TCP_CSUM_AT, *payload = frame + len - 2;

    memset(payload, 0, 2);
    put_be16(field, 0);
    put_be16(payload, (uint16_t)~test_sum(pseudo, frame + 34, bytes));
    put_be16(field, (uint16_t)pseudo);
    nmio_csum_complete(frame, len, 34, TCP_CSUM_AT);
    assert_int_equal(get_be16(field), 0);
}

/* Padding behind a short packet stays, and is not summed. */
static void test_padding(void **state)
{
    struct test_packet packet = {.protocol = IP_PROTO_TCP, .flags = 0x10};
    uint32_t len = build(&packet);
    struct nmio_cut cut;

    memset(frame + len, 0xee, 60 - len);
    nmio_cut_start(&cut, frame, 60, 0, true);
    assert_int_equal(nmio_cut_next(&cut, out), 60);
    assert_true(test_packet_valid(out, len));
    assert_int_equal(out[59], 0xee);
}

static void expect_unchanged(uint32_t len, uint16_t gso_size)
{
    struct nmio_cut cut;

    nmio_cut_start(&cut, frame, len, gso_size, true);
    assert_int_equal(nmio_cut_next(&cut, out), len);
    assert_memory_equal(out, frame, len);
    assert_int_equal(nmio_cut_next(&cut, out), 0);
}

static void test_not_understood(void **state)
{
    struct test_packet packet = {.protocol = IP_PROTO_TCP, .payload_bytes = 3000};
    uint32_t len = build(&packet);

    put_be16(frame + 14 + IP4_FRAGMENT_AT, 0x2000);
    expect_unchanged(len, 1000);
    build(&packet);
    put_be16(frame + 14 + IP4_LENGTH_AT, (uint16_t)(len + 1));
    expect_unchanged(len, 1000);
    build(&packet);
    put_be16(frame + 14 + IP4_LENGTH_AT, 19);
    expect_unchanged(len, 1000);
    build(&packet);
    frame[14] = 0x44;
    expect_unchanged(len, 1000);
    build(&packet);
    frame[34 + TCP_DATA_OFFSET_AT] = 0x40;
    expect_unchanged(len, 1000);
    build(&packet);
    put_be16(frame + 12, 0x0806);
    expect_unchanged(len, 1000);
    for (uint32_t cut_off = 0; cut_off < 54; cut_off++) {
        build(&packet);
        expect_unchanged(cut_off, 1000);
    }
}

/* Whatever the bytes are, no byte outside the frame is read and what comes out is bounded. */
static void test_hostile(void **state)
{
    struct rand r;

    rand_seed(&r, 5);
    for (int i = 0; i < 20000; i++) {
        struct test_packet packet = {
            .ip6 = rand_chance(&r, 0.5),
            .vlan = rand_chance(&r, 0.2),
            .protocol = rand_chance(&r, 0.8) ? IP_PROTO_TCP : IP_PROTO_UDP,
            .payload_bytes = (uint32_t)rand_below(&r, 3000),
        };
        uint32_t len = build(&packet), n, total = 0;
        uint8_t *exact;
        struct nmio_cut cut;

        for (uint64_t flips = rand_below(&r, 6); flips; flips--)
            frame[12 + rand_below(&r, 60)] = (uint8_t)rand_u64(&r);
        len = (uint32_t)rand_below(&r, len + 1);
        exact = malloc(len + 1);
        memcpy(exact, frame, len);
        nmio_cut_start(&cut, exact, len, (uint32_t)rand_below(&r, 2) * 100, true);
        while ((n = nmio_cut_next(&cut, out))) {
            assert_true(n <= cut.largest && n <= len);
            total++;
        }
        assert_true(total <= 31);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments),          cmocka_unit_test(test_complete),
        cmocka_unit_test(test_complete_in_place), cmocka_unit_test(test_udp_zero),
        cmocka_unit_test(test_tcp_zero),          cmocka_unit_test(test_padding),
        cmocka_unit_test(test_not_understood),    cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

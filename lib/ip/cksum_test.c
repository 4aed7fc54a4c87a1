// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/rand.h"
#include "ip/ip.h"

#define BUFFER_BYTES 4096

/* RFC 1071 1, word by word as it is written there. In host byte order. */
static uint16_t plain_sum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get_be16(p + i);
    if (len & 1)
        sum += (uint32_t)p[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t host_order(uint16_t folded)
{
    return get_be16(&folded);
}

static uint16_t fast_sum(const uint8_t *p, size_t len)
{
    return host_order(ip_sum_fold(ip_sum(0, p, len)));
}

static void test_rfc1071_example(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    assert_int_equal(fast_sum(bytes, sizeof(bytes)), 0xddf2); /* RFC 1071 3 */
    assert_int_equal(fast_sum(bytes, 0), 0);
    assert_int_equal(fast_sum(bytes + 2, 1), 0xf200);
}

static void test_every_length_and_alignment(void **state)
{
    uint8_t *buffer = malloc(BUFFER_BYTES);
    struct rand rand;

    rand_seed(&rand, 1);
    for (size_t i = 0; i < BUFFER_BYTES; i++)
        buffer[i] = (uint8_t)rand_u64(&rand);
    for (size_t at = 0; at < 16; at++)
        for (size_t len = 0; len <= 300; len++)
            assert_int_equal(fast_sum(buffer + at, len), plain_sum(buffer + at, len));
    for (int i = 0; i < 20000; i++) {
        size_t at = rand_below(&rand, 64), len = rand_below(&rand, BUFFER_BYTES - 64);

        assert_int_equal(fast_sum(buffer + at, len), plain_sum(buffer + at, len));
    }
    free(buffer);
}

/* Where carries are: all ones, and words that add up to just below and above a power of two. */
static void test_carries(void **state)
{
    static const uint8_t fills[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    uint8_t buffer[1500];

    for (size_t i = 0; i < array_len(fills); i++) {
        memset(buffer, fills[i], sizeof(buffer));
        for (size_t len = 0; len <= sizeof(buffer); len++)
            assert_int_equal(fast_sum(buffer, len), plain_sum(buffer, len));
    }
    memset(buffer, 0xff, sizeof(buffer));
    for (size_t i = 0; i < 200; i++) { /* a running sum that is about to wrap */
        uint64_t sum = UINT64_MAX - i;
        uint32_t plain = plain_sum((const uint8_t *)&sum, sizeof(sum)) + plain_sum(buffer, i);

        plain = (plain & 0xffff) + (plain >> 16);
        assert_int_equal(host_order(ip_sum_fold(ip_sum(sum, buffer, i))), plain);
    }
}

static void test_parts_of_odd_length(void **state)
{
    uint8_t buffer[2000];
    struct rand rand;

    rand_seed(&rand, 2);
    for (int round = 0; round < 5000; round++) {
        size_t len = rand_below(&rand, sizeof(buffer)), at = 0;
        uint64_t sum = 0;

        for (size_t i = 0; i < len; i++)
            buffer[i] = (uint8_t)(rand_below(&rand, 4) ? 0xff : rand_u64(&rand));
        while (at < len) {
            size_t part = 1 + rand_below(&rand, len - at);

            sum = ip_sum_at(sum, at, buffer + at, part);
            at += part;
        }
        assert_int_equal(host_order(ip_sum_fold(sum)), plain_sum(buffer, len));
    }
}

static void test_pseudo_header_is_its_bytes(void **state)
{
    static const uint8_t v4[12] = {192, 0, 2, 1, 198, 51, 100, 7, 0, 6, 0x05, 0xb4};
    struct ip_addr src = ip_addr_v4(v4), dst = ip_addr_v4(v4 + 4);
    uint8_t v6[40] = {0};

    assert_int_equal(host_order(ip_sum_fold(ip_sum_pseudo(&src, &dst, 6, 0x5b4))),
                     plain_sum(v4, sizeof(v4)));
    for (int i = 0; i < 16; i++) {
        src.b[i] = (uint8_t)(0xf0 + i);
        dst.b[i] = (uint8_t)(0x20 + 7 * i);
    }
    memcpy(v6, src.b, 16); /* RFC 8200 8.1 */
    memcpy(v6 + 16, dst.b, 16);
    put_be32(v6 + 32, 0x12345);
    v6[39] = 17;
    assert_int_equal(host_order(ip_sum_fold(ip_sum_pseudo(&src, &dst, 17, 0x12345))),
                     plain_sum(v6, sizeof(v6)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc1071_example),
        cmocka_unit_test(test_every_length_and_alignment),
        cmocka_unit_test(test_carries),
        cmocka_unit_test(test_parts_of_odd_length),
        cmocka_unit_test(test_pseudo_header_is_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nmio/vnet.h"

static uint8_t data[2000];
static struct nmio_pkt pkt;

static void test_make(void **state)
{
    struct nmio_frame frame = {.header_len = 54};
    struct vnet_header header = vnet_make(&frame);

    assert_memory_equal(&header, "\0\0\x36\0\0\0\0\0\0\0", 10);
    frame.csum_start = 34;
    frame.csum_offset = 16;
    frame.gso_size = 1448;
    header = vnet_make(&frame);
    assert_memory_equal(&header, "\1\1\x36\0\xa8\5\x22\0\x10\0", 10);
    frame.gso_ip6 = 1;
    header = vnet_make(&frame);
    assert_int_equal(header.gso_type, VNET_GSO_TCP6);
}

static void test_parse_plain(void **state)
{
    struct vnet_header header = {0};

    assert_true(vnet_parse(&header, data, 60, &pkt));
    assert_ptr_equal(pkt.data, data);
    assert_int_equal(pkt.len, 60);
    assert_int_equal(pkt.flags, 0);
    assert_int_equal(pkt.gso_size, 0);
    header.gso_size = 5; /* means nothing without a type */
    assert_true(vnet_parse(&header, data, 14, &pkt));
    assert_int_equal(pkt.gso_size, 0);
    header.flags = VNET_DATA_VALID;
    assert_true(vnet_parse(&header, data, 60, &pkt));
    assert_int_equal(pkt.flags, NMIO_PKT_CSUM_OK);
}

static void test_parse_offloads(void **state)
{
    struct vnet_header header = {.flags = VNET_NEEDS_CSUM,
                                 .gso_type = VNET_GSO_TCP4,
                                 .hdr_len = 54,
                                 .gso_size = 1448,
                                 .csum_start = 34,
                                 .csum_offset = 16};

    assert_true(vnet_parse(&header, data, 2000, &pkt));
    assert_int_equal(pkt.flags, NMIO_PKT_CSUM_OK);
    assert_int_equal(pkt.gso_size, 1448);
    header.gso_type = VNET_GSO_TCP6 | VNET_GSO_ECN;
    assert_true(vnet_parse(&header, data, 2000, &pkt));
    assert_int_equal(pkt.gso_size, 1448);
}

static void test_parse_hostile(void **state)
{
    const struct vnet_header good = {.flags = VNET_NEEDS_CSUM,
                                     .gso_type = VNET_GSO_TCP4,
                                     .hdr_len = 54,
                                     .gso_size = 1448,
                                     .csum_start = 34,
                                     .csum_offset = 16};
    struct vnet_header header = good;

    assert_false(vnet_parse(&header, data, 13, &pkt));
    assert_true(vnet_parse(&header, data, 54, &pkt));
    assert_false(vnet_parse(&header, data, 53, &pkt)); /* headers longer than the frame */
    header.hdr_len = 0;
    assert_true(vnet_parse(&header, data, 52, &pkt));
    assert_false(vnet_parse(&header, data, 51, &pkt)); /* the checksum lies outside */
    header.csum_start = header.csum_offset = 0xffff;
    assert_false(vnet_parse(&header, data, 2000, &pkt));
    header = good;
    header.gso_size = 0;
    assert_false(vnet_parse(&header, data, 2000, &pkt));
    for (unsigned type = 0; type < 256; type++) {
        unsigned plain = type & ~0x80u;
        bool known = type == 0 || plain == VNET_GSO_TCP4 || plain == VNET_GSO_TCP6;

        header = good;
        header.gso_type = (uint8_t)type;
        assert_int_equal(vnet_parse(&header, data, 2000, &pkt), known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_parse_plain),
        cmocka_unit_test(test_parse_offloads),
        cmocka_unit_test(test_parse_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

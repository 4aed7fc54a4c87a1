// SPDX-License-Identifier: BSD-2-Clause
#include "prp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LIST_BUS  0x70000000ull
#define UNTOUCHED 0x5555555555555555ull

static uint64_t list[PRP_LIST_MAX];

static struct nvme_sqe build(uint64_t bus, uint32_t bytes)
{
    struct nvme_sqe sqe = {0};

    for (uint32_t i = 0; i < PRP_LIST_MAX; i++)
        list[i] = UNTOUCHED;
    prp_build(&sqe, bus, bytes, list, LIST_BUS);
    assert_int_equal(sqe.prp1, bus);
    return sqe;
}

static void one_page(void **state)
{
    assert_int_equal(build(0x10000, 1).prp2, 0);
    assert_int_equal(build(0x10000, 4096).prp2, 0);
    assert_int_equal(build(0x10e00, 512).prp2, 0);
    assert_int_equal(list[0], UNTOUCHED);
}

static void two_pages(void **state)
{
    assert_int_equal(build(0x10000, 4097).prp2, 0x11000);
    assert_int_equal(build(0x10000, 8192).prp2, 0x11000);
    assert_int_equal(build(0x10e00, 513).prp2, 0x11000);
    assert_int_equal(build(0x10e00, 4096).prp2, 0x11000);
    assert_int_equal(build(0x10ffc, 4 + 4096).prp2, 0x11000);
    assert_int_equal(list[0], UNTOUCHED);
}

static void a_list(void **state)
{
    assert_int_equal(build(0x10000, 8193).prp2, LIST_BUS);
    assert_int_equal(list[0], 0x11000);
    assert_int_equal(list[1], 0x12000);
    assert_int_equal(list[2], UNTOUCHED);
    assert_int_equal(build(0x10ffc, 4 + 4096 + 1).prp2, LIST_BUS);
    assert_int_equal(list[1], 0x12000);
    assert_int_equal(list[2], UNTOUCHED);
}

/* The page before the last byte's decides, at every offset: compared with walking byte by byte. */
static void every_offset(void **state)
{
    for (uint32_t off = 0; off < PAGE_BYTES; off += 4)
        for (uint32_t bytes = 8192 - 8; bytes <= 3 * 8192; bytes += 508) {
            struct nvme_sqe sqe = build(0x40000 + off, bytes);
            uint64_t last = (0x40000ull + off + bytes - 1) / PAGE_BYTES;
            uint64_t pages = last - 0x40, entries = 0;

            while (entries < PRP_LIST_MAX && list[entries] != UNTOUCHED)
                entries++;
            assert_int_equal(entries, pages > 1 ? pages : 0);
            assert_int_equal(sqe.prp2, pages > 1 ? LIST_BUS : last * PAGE_BYTES);
            if (pages > 1)
                assert_int_equal(list[pages - 1], last * PAGE_BYTES);
        }
}

static void the_longest(void **state)
{
    build(0x100ffc, PRP_TRANSFER_MAX);
    assert_int_equal(list[0], 0x101000);
    assert_int_equal(list[PRP_LIST_MAX - 1], 0x100000 + PRP_TRANSFER_MAX);
}

/* Lists of this many entries, side by side from a page's beginning: none crosses into another. */
static void lists_stay_in_a_page(void **state)
{
    for (uint32_t bytes = PAGE_BYTES; bytes <= PRP_TRANSFER_MAX; bytes += PAGE_BYTES) {
        uint32_t entries = prp_list_entries(bytes);

        assert_true(is_pow2(entries));
        assert_true(entries <= PRP_LIST_MAX);
        assert_true((uint64_t)entries * PAGE_BYTES >= bytes);
        build(0x40ffc, bytes);
        if (entries < PRP_LIST_MAX)
            assert_int_equal(list[entries], UNTOUCHED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_page),    cmocka_unit_test(two_pages),
        cmocka_unit_test(a_list),      cmocka_unit_test(every_offset),
        cmocka_unit_test(the_longest), cmocka_unit_test(lists_stay_in_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

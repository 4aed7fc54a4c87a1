// SPDX-License-Identifier: BSD-2-Clause
#include "spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* MQES 4095, TO 20 (10 s), stride 0, NVM command set, pages from 2^12 to 2^17. */
static void capabilities(void **state)
{
    uint64_t cap = 0x0050002014010fffull;

    assert_int_equal(NVME_CAP_MQES(cap), 4095);
    assert_int_equal(NVME_CAP_TO(cap), 0x14);
    assert_int_equal(NVME_CAP_DSTRD(cap), 0);
    assert_int_equal(NVME_CAP_CSS(cap), NVME_CAP_CSS_NVM);
    assert_int_equal(NVME_CAP_MPSMIN(cap), 0);
    assert_int_equal(NVME_CAP_MPSMAX(cap), 5);
}

static void doorbells(void **state)
{
    assert_int_equal(nvme_sq_doorbell(0, 0), 0x1000);
    assert_int_equal(nvme_cq_doorbell(0, 0), 0x1004);
    assert_int_equal(nvme_sq_doorbell(3, 0), 0x1018);
    assert_int_equal(nvme_cq_doorbell(3, 0), 0x101c);
    assert_int_equal(nvme_sq_doorbell(1, 4), 0x1080);
    assert_int_equal(nvme_cq_doorbell(1, 4), 0x10c0);
}

/* A command that is built and looked at as bytes: read 8 blocks at 2^32 + 1 of namespace 1. */
static void a_command(void **state)
{
    static const uint8_t bytes[64] = {
        [0] = 0x02,  [2] = 0x34,  [3] = 0x12,  [4] = 0x01,  [25] = 0x10,
        [33] = 0x20, [40] = 0x01, [44] = 0x01, [48] = 0x07,
    };
    struct nvme_sqe sqe = {.opc = NVME_IO_READ,
                           .cid = 0x1234,
                           .nsid = 1,
                           .prp1 = 0x1000,
                           .prp2 = 0x2000,
                           .cdw10 = 1,
                           .cdw11 = 1,
                           .cdw12 = 7};

    assert_memory_equal(&sqe, bytes, sizeof(bytes));
}

/* Statuses as a controller sends them, phase included. */
static void statuses(void **state)
{
    uint16_t out_of_range = 0x8101, unrecovered = 0x0503;

    assert_int_equal(NVME_STATUS_CODE(out_of_range >> 1), NVME_LBA_OUT_OF_RANGE);
    assert_true(out_of_range >> 1 & NVME_STATUS_DNR);
    assert_int_equal(NVME_STATUS_CODE(unrecovered >> 1), NVME_UNRECOVERED_READ);
    assert_int_equal(NVME_STATUS_SCT(unrecovered >> 1), NVME_SCT_MEDIA);
    assert_false(unrecovered >> 1 & NVME_STATUS_DNR);
    assert_int_equal(NVME_STATUS(NVME_SCT_MEDIA, 0x81), NVME_UNRECOVERED_READ);
}

static void formats(void **state)
{
    assert_int_equal(nvme_flbas_index(0x00), 0);
    assert_int_equal(nvme_flbas_index(0x1f), 15); // bit 4 is about metadata
    assert_int_equal(nvme_flbas_index(0x21), 17);
    assert_int_equal(nvme_flbas_index(0x6f), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities), cmocka_unit_test(doorbells), cmocka_unit_test(a_command),
        cmocka_unit_test(statuses),     cmocka_unit_test(formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

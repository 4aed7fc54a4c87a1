// SPDX-License-Identifier: BSD-2-Clause
#include "base/bytes.h"
#include "nvme/nvme.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LOG_BYTES 512

/* Offsets are those of figure 194 of the specification (1.4), each field with a value of its own.
 */
static void test_fields(void **state)
{
    uint8_t log[LOG_BYTES] = {0};
    struct nvme_health h;

    log[0] = 0x05;
    put_le16(log + 1, 273 + 41);
    log[3] = 98;
    log[4] = 10;
    log[5] = 130; // more than its life is allowed
    put_le64(log + 32, 3);
    put_le64(log + 48, 5);
    for (int i = 0; i < 8; i++)
        put_le64(log + 64 + 16 * i, (uint64_t)(100 + i));
    nvme_health_parse(&h, log);
    assert_int_equal(h.warnings, 5);
    assert_int_equal(h.celsius, 41);
    assert_int_equal(h.spare_percent, 98);
    assert_int_equal(h.spare_least_percent, 10);
    assert_int_equal(h.used_percent, 130);
    assert_int_equal(h.bytes_read, 3 * 512000);
    assert_int_equal(h.bytes_written, 5 * 512000);
    assert_int_equal(h.reads, 100);
    assert_int_equal(h.writes, 101);
    assert_int_equal(h.busy_minutes, 102);
    assert_int_equal(h.power_cycles, 103);
    assert_int_equal(h.power_on_hours, 104);
    assert_int_equal(h.unsafe_shutdowns, 105);
    assert_int_equal(h.media_errors, 106);
    assert_int_equal(h.error_log_entries, 107);
    assert_non_null(nvme_health_warning(&h, 0));
    assert_null(nvme_health_warning(&h, 1));
    assert_non_null(nvme_health_warning(&h, 2));
    assert_null(nvme_health_warning(&h, NVME_HEALTH_WARNINGS));
}

static void test_nonsense_stays_in_bounds(void **state)
{
    uint8_t log[LOG_BYTES];
    struct nvme_health h;

    memset(log, 0xff, sizeof(log));
    nvme_health_parse(&h, log);
    assert_int_equal(h.celsius, 1000);
    assert_true(h.bytes_read == UINT64_MAX && h.reads == UINT64_MAX);
    memset(log, 0, sizeof(log));
    put_le64(log + 32, UINT64_MAX / 512000 + 1);
    nvme_health_parse(&h, log);
    assert_true(h.bytes_read == UINT64_MAX);
    assert_int_equal(h.celsius, -273);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_nonsense_stays_in_bounds),
    };

    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}

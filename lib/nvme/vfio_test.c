// SPDX-License-Identifier: BSD-2-Clause
/* What can be said without a device; the rest is in test/device. */
#include "nvme/nvme.h"
#include "vfio_dma.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define GIB        (1ull << 30)
#define MIB        (1ull << 20)
#define LARGE_PAGE (2 * MIB)

static void expect_refused(const char *address, int error, const char *words)
{
    struct nvme_access *access = NULL;
    char why[256] = "";

    assert_int_equal(nvme_vfio_open(&access, address, why, sizeof(why)), error);
    assert_null(access);
    assert_non_null(strstr(why, words));
}

static void test_address_is_checked(void **state)
{
    static const char *const wrong[] = {
        "",
        "0",
        "nvme0",
        "01:00",
        "0000:01:00",
        "0000:01:00.",
        "0000:01:00.0x",
        "0000-01:00.0",
        "0000:01:00/0",
        "0000:g1:00.0",
        "../../../../1",
        " 000:01:00.0",
        "0000:01:00.00000000000000000000000000000000",
    };

    for (size_t i = 0; i < array_len(wrong); i++)
        expect_refused(wrong[i], -EINVAL, "is no PCI address");
    // A well-formed one that no machine has: the domain of virtual machines ends earlier.
    expect_refused("fffe:ff:1f.7", -ENODEV, "there is no PCI device fffe:ff:1f.7");
    expect_refused("FFFE:FF:1F.7", -ENODEV, "there is no PCI device fffe:ff:1f.7");
}

static void test_space_starts_at_4_gib(void **state)
{
    struct vfio_space space;

    vfio_space_init(&space);
    vfio_space_add(&space, 0, 0xfedfffff);
    assert_int_equal(space.count, 0); // it ends below
    vfio_space_add(&space, 0xfef00000, (1ull << 39) - 1);
    assert_int_equal(vfio_space_take(&space, 64 * MIB, 3 * MIB), 4 * GIB);
    // A large page in memory begins where one begins on the bus.
    assert_int_equal(vfio_space_take(&space, 64 * MIB, MIB), 4 * GIB + 4 * MIB);
    assert_int_equal(vfio_space_take(&space, 64 * MIB + 12288, 4096), 4 * GIB + 6 * MIB + 12288);
}

static void test_space_is_used_up(void **state)
{
    struct vfio_space space;

    vfio_space_init(&space);
    vfio_space_add(&space, 16 * GIB, 16 * GIB + LARGE_PAGE - 1);
    vfio_space_add(&space, 8 * GIB, 8 * GIB + 2 * LARGE_PAGE - 1);
    // Windows that are given out of order are used in order; none is left half used.
    assert_int_equal(vfio_space_take(&space, 0, LARGE_PAGE), 8 * GIB);
    assert_int_equal(vfio_space_take(&space, 0, LARGE_PAGE + 1), NVME_BUS_NONE);
    assert_int_equal(vfio_space_take(&space, 0, LARGE_PAGE), 8 * GIB + LARGE_PAGE);
    assert_int_equal(vfio_space_take(&space, 4096, LARGE_PAGE), NVME_BUS_NONE);
    assert_int_equal(vfio_space_take(&space, 0, LARGE_PAGE), 16 * GIB);
    assert_int_equal(vfio_space_take(&space, 0, 1), NVME_BUS_NONE);
}

static void test_space_does_not_wrap(void **state)
{
    struct vfio_space space;

    vfio_space_init(&space);
    vfio_space_add(&space, UINT64_MAX - LARGE_PAGE / 2, UINT64_MAX);
    assert_int_equal(vfio_space_take(&space, 0, 4096), NVME_BUS_NONE);
    for (int i = 0; i < 2 * VFIO_WINDOWS_MAX; i++)
        vfio_space_add(&space, 5 * GIB, 6 * GIB);
    assert_int_equal(space.count, VFIO_WINDOWS_MAX);
    assert_int_equal(vfio_space_take(&space, 0, SIZE_MAX), NVME_BUS_NONE);
    assert_int_equal(vfio_space_take(&space, 0, GIB), 5 * GIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_is_checked),
        cmocka_unit_test(test_space_starts_at_4_gib),
        cmocka_unit_test(test_space_is_used_up),
        cmocka_unit_test(test_space_does_not_wrap),
    };

    return cmocka_run_group_tests_name("vfio", tests, NULL, NULL);
}

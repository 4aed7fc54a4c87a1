// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "extent.h"

static struct extents list_of(const struct extent *v, size_t count)
{
    struct extents list = {0};

    for (size_t i = 0; i < count; i++)
        assert_int_equal(extents_push(&list, v[i].first, v[i].count), 0);
    return list;
}

static void sorting_finds_overlaps(void **state)
{
    const struct extent apart[] = {{20, 5}, {2, 3}, {5, 15}};
    const struct extent shared[] = {{20, 5}, {2, 3}, {4, 1}};
    struct extents list = list_of(apart, 3);

    assert_true(extents_sort(&list));
    assert_int_equal(list.v[0].first, 2);
    assert_int_equal(list.v[2].first, 20);
    extents_free(&list);
    list = list_of(shared, 3);
    assert_false(extents_sort(&list));
    extents_free(&list);
}

static void space_is_what_no_list_uses(void **state)
{
    const struct extent a[] = {{2, 3}, {10, 2}, {18, 4}}, b[] = {{2, 3}, {11, 3}, {30, 10}};
    struct extents la = list_of(a, 3), lb = list_of(b, 3);
    const struct extents *used[] = {&la, &lb};
    struct space space;

    assert_int_equal(space_init(&space, 2, 36, used, 2), 0);
    // Free: 5-9, 14-17, 22-29.
    assert_int_equal(space.runs.count, 3);
    assert_int_equal(space_take(&space, 5), 5);
    assert_int_equal(space_take(&space, 5), 22);
    assert_int_equal(space_take(&space, 3), 27);
    assert_int_equal(space_take(&space, 5), 36); // nothing fits: at the end
    assert_int_equal(space.end, 41);
    assert_int_equal(space_take(&space, 4), 14);
    assert_int_equal(space_take(&space, 1), 41);
    space_free(&space);
    extents_free(&la);
    extents_free(&lb);
}

static void the_last_run_is_extended(void **state)
{
    const struct extent a[] = {{2, 3}};
    struct extents la = list_of(a, 1);
    const struct extents *used[] = {&la};
    struct space space;

    assert_int_equal(space_init(&space, 2, 10, used, 1), 0);
    assert_int_equal(space_take(&space, 20), 5); // 5-9 and 15 more
    assert_int_equal(space.end, 25);
    assert_int_equal(space_take(&space, 1), 25);
    space_free(&space);
    extents_free(&la);
}

/* Against a bitmap: whatever is taken was free. */
static void taking_never_overlaps(void **state)
{
    enum { BLOCKS = 4096 };
    struct rand rand;

    rand_seed(&rand, 7);
    for (int round = 0; round < 50; round++) {
        uint8_t used[2 * BLOCKS] = {0};
        struct extents lists[2] = {{0}};
        const struct extents *both[] = {&lists[0], &lists[1]};
        struct space space;

        for (int l = 0; l < 2; l++) {
            for (uint64_t at = 2; at < BLOCKS;) {
                uint64_t n = 1 + rand_below(&rand, 20);

                n = min_u64(n, BLOCKS - at);
                if (rand_chance(&rand, 0.4)) {
                    assert_int_equal(extents_push(&lists[l], at, n), 0);
                    memset(used + at, 1, n);
                }
                at += n;
            }
        }
        assert_int_equal(space_init(&space, 2, BLOCKS, both, 2), 0);
        for (int i = 0; i < 200; i++) {
            uint64_t n = 1 + rand_below(&rand, 30), first = space_take(&space, n);

            assert_true(first >= 2 && first + n <= sizeof(used));
            for (uint64_t b = first; b < first + n; b++)
                assert_int_equal(used[b]++, 0);
            if (space.end > BLOCKS + 1000)
                break;
        }
        space_free(&space);
        extents_free(&lists[0]);
        extents_free(&lists[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorting_finds_overlaps),
        cmocka_unit_test(space_is_what_no_list_uses),
        cmocka_unit_test(the_last_run_is_extended),
        cmocka_unit_test(taking_never_overlaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

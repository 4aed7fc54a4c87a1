// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"

/* The first outputs of SplitMix64 with seed 1234567, as published with the Rosetta Code task. */
static void test_vectors(void **state)
{
    static const uint64_t want[] = {6457827717110365317ull, 3203168211198807973ull,
                                    9817491932198370423ull, 4593380528125082431ull,
                                    16408922859458223821ull};
    struct rand r;

    rand_seed(&r, 1234567);
    for (size_t i = 0; i < 5; i++)
        assert_true(rand_u64(&r) == want[i]);
}

static void test_below_and_chance(void **state)
{
    unsigned seen[7] = {0}, hits = 0;
    struct rand r;

    rand_seed(&r, 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t v = rand_below(&r, 7);

        assert_true(v < 7);
        seen[v]++;
        hits += rand_chance(&r, 0.25);
        assert_false(rand_chance(&r, 0));
        assert_true(rand_chance(&r, 1));
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_in_range(hits, 16800, 18200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_below_and_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

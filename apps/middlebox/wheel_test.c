// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/rand.h"
#include "wheel.h"

#define TICK  WHEEL_TICK_NS
#define ITEMS 4000

struct world {
    struct mem_arena *arena;
    struct wheel wheel;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    if (mem_arena_open(&w->arena, wheel_arena_bytes(), 0))
        return -1;
    return wheel_init(&w->wheel, w->arena, 0);
}

static int teardown(void **state)
{
    struct world *w = *state;

    mem_arena_close(w->arena);
    free(w);
    return 0;
}

static void test_order_and_lateness(void **state)
{
    struct wheel *wheel = &((struct world *)*state)->wheel;
    struct wheel_item a, b, c, d;

    assert_true(wheel_next_ns(wheel) == UINT64_MAX);
    assert_null(wheel_take(wheel, 0));
    assert_true(wheel_put(wheel, &a, 5 * TICK, 0));
    assert_true(wheel_put(wheel, &b, 3 * TICK + 1, 0));
    assert_true(wheel_put(wheel, &c, 3 * TICK, 0));
    assert_true(wheel_put(wheel, &d, 3 * TICK - 1, 0));
    assert_int_equal(wheel->count, 4);
    assert_int_equal(wheel_next_ns(wheel), 3 * TICK);
    assert_null(wheel_take(wheel, 3 * TICK - 1));
    assert_ptr_equal(wheel_take(wheel, 3 * TICK), &c);
    assert_ptr_equal(wheel_take(wheel, 3 * TICK), &d);
    assert_null(wheel_take(wheel, 4 * TICK - 1));
    assert_int_equal(wheel_next_ns(wheel), 4 * TICK);
    assert_ptr_equal(wheel_take(wheel, 9 * TICK), &b);
    assert_ptr_equal(wheel_take(wheel, 9 * TICK), &a);
    assert_null(wheel_take(wheel, 9 * TICK));
    assert_int_equal(wheel->count, 0);
}

/* What is due at once is taken by the next wheel_take, though the tick is not over. */
static void test_due_at_once(void **state)
{
    struct wheel *wheel = &((struct world *)*state)->wheel;
    struct wheel_item a, b, later;
    uint64_t now_ns = 7 * TICK + TICK / 2;

    assert_null(wheel_take(wheel, now_ns));
    assert_true(wheel_put(wheel, &later, now_ns + 1, now_ns));
    assert_true(wheel_put(wheel, &a, now_ns, now_ns));
    assert_true(wheel_put(wheel, &b, 0, now_ns));
    assert_true(wheel_next_ns(wheel) <= now_ns);
    assert_ptr_equal(wheel_take(wheel, now_ns), &a);
    assert_ptr_equal(wheel_take(wheel, now_ns), &b);
    assert_null(wheel_take(wheel, now_ns));
    assert_ptr_equal(wheel_take(wheel, 8 * TICK), &later);
}

static void test_horizon(void **state)
{
    struct wheel *wheel = &((struct world *)*state)->wheel;
    uint64_t now_ns = 1000 * WHEEL_HORIZON_NS; /* nothing was put in for hours */
    struct wheel_item a, b;

    assert_true(wheel_put(wheel, &a, now_ns + WHEEL_HORIZON_NS, now_ns));
    assert_false(wheel_put(wheel, &b, now_ns + WHEEL_HORIZON_NS + 2 * TICK, now_ns));
    assert_int_equal(wheel->count, 1);
    assert_null(wheel_take(wheel, now_ns + WHEEL_HORIZON_NS - 1));
    assert_ptr_equal(wheel_take(wheel, now_ns + WHEEL_HORIZON_NS + TICK), &a);
}

/* Beside a list that is searched: the same items, none early, none late, each tick in order. */
static void test_against_a_list(void **state)
{
    static const uint64_t spans[] = {TICK, 70 * TICK, 5000 * TICK, WHEEL_HORIZON_NS - TICK};
    struct wheel *wheel = &((struct world *)*state)->wheel;
    struct wheel_item *items = calloc(ITEMS, sizeof(*items));
    uint64_t *due_ns = calloc(ITEMS, sizeof(*due_ns)); /* 0: not in the wheel */
    uint64_t now_ns = 0;
    struct rand rand;

    rand_seed(&rand, 4);
    for (unsigned turn = 0; turn < 20000; turn++) {
        size_t i = rand_below(&rand, ITEMS);
        struct wheel_item *item;
        uint64_t last_tick = 0, next_ns = UINT64_MAX;

        if (!due_ns[i]) {
            due_ns[i] = now_ns + 1 + rand_below(&rand, spans[rand_below(&rand, 4)]);
            assert_true(wheel_put(wheel, &items[i], due_ns[i], now_ns));
        }
        now_ns += rand_below(&rand, rand_chance(&rand, 0.001) ? 3000 * TICK : 3 * TICK);
        while ((item = wheel_take(wheel, now_ns))) {
            uint64_t tick = (item->due_ns + TICK - 1) / TICK;

            assert_true(tick * TICK <= now_ns && tick >= last_tick);
            last_tick = tick;
            assert_true(due_ns[item - items] == item->due_ns);
            due_ns[item - items] = 0;
        }
        if (turn % 100)
            continue;
        for (i = 0; i < ITEMS; i++)
            if (due_ns[i])
                next_ns = min_u64(next_ns, (due_ns[i] + TICK - 1) / TICK * TICK);
        assert_true(next_ns > now_ns);
        assert_true(wheel_next_ns(wheel) == next_ns);
    }
    free(items);
    free(due_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_and_lateness, setup, teardown),
        cmocka_unit_test_setup_teardown(test_due_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_horizon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_against_a_list, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

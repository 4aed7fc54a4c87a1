// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "mem/mem.h"
#include "mem/poison.h"

static struct mem_arena *arena;

static int setup(void **state)
{
    return mem_arena_open(&arena, 4 << 20, 0);
}

static int teardown(void **state)
{
    mem_arena_close(arena);
    return 0;
}

static void test_fresh_in_order_then_lifo(void **state)
{
    struct mem_pool pool;
    char *a, *b, *c;

    assert_int_equal(mem_pool_init(&pool, arena, 100, 3), 0);
    assert_int_equal(pool.item_bytes, 112);
    a = mem_pool_get(&pool);
    b = mem_pool_get(&pool);
    assert_ptr_equal(b, a + 112);
    mem_pool_put(&pool, a);
    mem_pool_put(&pool, b);
    assert_ptr_equal(mem_pool_get(&pool), b);
    assert_ptr_equal(mem_pool_get(&pool), a);
    c = mem_pool_get(&pool);
    assert_ptr_equal(c, a + 224);
    assert_null(mem_pool_get(&pool));
    assert_int_equal(pool.failures, 1);
    assert_int_equal(pool.in_use, 3);
    mem_pool_put(&pool, a);
    mem_pool_put(&pool, c);
    assert_int_equal(pool.in_use, 1);
    assert_int_equal(pool.high_water, 3);
}

static void test_numbers(void **state)
{
    struct mem_pool pool;

    assert_int_equal(mem_pool_init(&pool, arena, 64, 10), 0);
    for (uint32_t i = 0; i < 10; i++) {
        void *item = mem_pool_get(&pool);

        assert_int_equal((uintptr_t)item % 64, 0);
        assert_int_equal(mem_pool_index(&pool, item), i);
        assert_ptr_equal(mem_pool_at(&pool, i), item);
    }
}

static void test_no_room(void **state)
{
    struct mem_pool pool;

    assert_int_equal(mem_pool_init(&pool, arena, 1 << 20, 100), -ENOMEM);
    assert_int_equal(mem_pool_init(&pool, arena, 1ull << 40, 1), -ENOMEM);
    assert_int_equal(mem_pool_init(&pool, arena, 64, UINT32_MAX), -ENOMEM);
}

/* In a sanitized build an item that was given back must not be touched. */
static void test_poison(void **state)
{
    struct mem_pool pool;
    char probe[8], *item;
    bool sanitized;

    mem_poison(probe, sizeof(probe));
    sanitized = mem_is_poisoned(probe);
    mem_unpoison(probe, sizeof(probe));
    assert_int_equal(mem_pool_init(&pool, arena, 48, 2), 0);
    item = mem_pool_get(&pool);
    assert_false(mem_is_poisoned(item));
    assert_false(mem_is_poisoned(item + 47));
    assert_true(mem_is_poisoned(item + 48) == sanitized);
    mem_pool_put(&pool, item);
    assert_true(mem_is_poisoned(item) == sanitized);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fresh_in_order_then_lifo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poison, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

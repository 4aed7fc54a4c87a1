// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "mem/mem.h"

#define MIB (1u << 20)

static size_t resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &pages, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_alloc(void **state)
{
    struct mem_arena *arena;
    uint8_t *a, *b;

    assert_int_equal(mem_arena_open(&arena, 1, 0), 0);
    assert_int_equal(mem_arena_bytes(arena), 2 * MIB);
    assert_false(mem_arena_is_huge(arena));
    a = mem_arena_alloc(arena, 100, 64);
    b = mem_arena_alloc(arena, 100, 4096);
    assert_ptr_equal(a, mem_arena_base(arena));
    assert_ptr_equal(b, a + 4096);
    assert_int_equal(mem_arena_used(arena), 4196);
    for (int i = 0; i < 100; i++)
        assert_int_equal(b[i], 0);
    assert_null(mem_arena_alloc(arena, 2 * MIB, 16));
    assert_null(mem_arena_alloc(arena, SIZE_MAX - 8, 16));
    assert_int_equal(mem_arena_used(arena), 4196);
    b = mem_arena_alloc(arena, 2 * MIB - 4224, 64);
    assert_non_null(b);
    b[2 * MIB - 4225] = 1;
    assert_null(mem_arena_alloc(arena, 1, 1));
    mem_arena_close(arena);
}

static void test_too_large(void **state)
{
    struct mem_arena *arena;

    assert_int_equal(mem_arena_open(&arena, SIZE_MAX, 0), -ENOMEM);
    assert_int_equal(mem_arena_open(&arena, 1ull << 60, MEM_ARENA_HUGE), -ENOMEM);
    assert_int_equal(mem_arena_open(&arena, 0, 0), -ENOMEM);
    mem_arena_close(NULL);
}

/* Works whether the machine has hugepages or not. */
static void test_huge(void **state)
{
    struct mem_arena *arena;
    char *p;

    assert_int_equal(mem_arena_open(&arena, 3 * MIB, MEM_ARENA_HUGE), 0);
    assert_int_equal(mem_arena_bytes(arena), 4 * MIB);
    assert_int_equal((uintptr_t)mem_arena_base(arena) % (2 * MIB), 0);
    p = mem_arena_alloc(arena, 4 * MIB, 4096);
    assert_non_null(p);
    p[0] = p[4 * MIB - 1] = 1;
    mem_arena_close(arena);
}

/* What is borrowed is used from its first byte to its last, and is not given back. */
static void test_borrowed(void **state)
{
    struct mem_arena *outer, *arena;
    char *base, *p;

    assert_int_equal(mem_arena_open(&outer, 2 * MIB, 0), 0);
    base = mem_arena_alloc(outer, 2 * MIB, 4096);
    assert_int_equal(mem_arena_open_in(&arena, base + 4096, 64 * 1024), 0);
    assert_int_equal(mem_arena_bytes(arena), 64 * 1024);
    assert_ptr_equal(mem_arena_base(arena), base + 4096);
    assert_ptr_equal(mem_arena_alloc(arena, 100, 64), base + 4096);
    p = mem_arena_alloc(arena, 4096, 16384);
    assert_int_equal((uintptr_t)p % 16384, 0);
    // The last byte is at base + 4096 + 64 KiB - 1.
    assert_null(mem_arena_alloc(arena, 64 * 1024 - (size_t)(p - base) + 1, 16));
    assert_non_null(mem_arena_alloc(arena, 64 * 1024 - (size_t)(p - base), 16));
    mem_arena_close(arena);
    base[4096] = 1;
    mem_arena_close(outer);
}

static void test_untouched_costs_nothing(void **state)
{
    size_t before = resident_bytes();
    struct mem_arena *arena;

    assert_int_equal(mem_arena_open(&arena, 512 * MIB, 0), 0);
    assert_non_null(mem_arena_alloc(arena, 512 * MIB, 64));
    assert_true(resident_bytes() < before + 8 * MIB);
    mem_arena_close(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_borrowed),
        cmocka_unit_test(test_untouched_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

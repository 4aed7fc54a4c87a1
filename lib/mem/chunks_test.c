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
    return mem_arena_open(&arena, 8 << 20, 0);
}

static int teardown(void **state)
{
    mem_arena_close(arena);
    return 0;
}

static void test_references(void **state)
{
    struct mem_chunks chunks;
    struct mem_chunk *a, *b;

    assert_int_equal(mem_chunks_init(&chunks, arena, 16384, 2), 0);
    a = mem_chunk_get(&chunks);
    b = mem_chunk_get(&chunks);
    assert_int_equal(a->index, 0);
    assert_int_equal(b->index, 1);
    assert_null(mem_chunk_get(&chunks));
    assert_int_equal(chunks.failures, 1);
    mem_chunk_hold(a);
    mem_chunk_put(a);
    assert_int_equal(chunks.in_use, 2);
    mem_chunk_put(a);
    assert_int_equal(chunks.in_use, 1);
    mem_chunk_put(b);
    assert_ptr_equal(mem_chunk_get(&chunks), b);
    assert_int_equal(chunks.high_water, 2);
}

static void test_room(void **state)
{
    struct mem_chunks chunks;
    uint8_t *end = NULL;

    assert_int_equal(mem_chunks_init(&chunks, arena, 16384, 20), 0);
    for (int i = 0; i < 20; i++) {
        struct mem_chunk *chunk = mem_chunk_get(&chunks);

        assert_int_equal((uintptr_t)chunk->data % PAGE_BYTES, 0);
        assert_true(!end || chunk->data - MEM_CHUNK_HEADROOM >= end);
        end = chunk->data + chunks.data_bytes + MEM_CHUNK_TAILROOM;
        memset(chunk->data - MEM_CHUNK_HEADROOM, 0x55,
               MEM_CHUNK_HEADROOM + chunks.data_bytes + MEM_CHUNK_TAILROOM);
    }
}

/* Sixteen chunks in a row begin at sixteen different places of a 64 KiB cache way. */
static void test_stride(void **state)
{
    for (uint32_t data_bytes = PAGE_BYTES; data_bytes <= 15 * PAGE_BYTES;
         data_bytes += PAGE_BYTES) {
        struct mem_arena *own;
        struct mem_chunks chunks;
        unsigned seen = 0;

        assert_int_equal(mem_arena_open(&own, 4 << 20, 0), 0);
        assert_int_equal(mem_chunks_init(&chunks, own, data_bytes, 16), 0);
        for (int i = 0; i < 16; i++)
            seen |= 1u << ((uintptr_t)mem_chunk_get(&chunks)->data / PAGE_BYTES % 16);
        assert_int_equal(seen, 0xffff);
        mem_arena_close(own);
    }
}

static void test_no_room(void **state)
{
    struct mem_chunks chunks;

    assert_int_equal(mem_chunks_init(&chunks, arena, 16384, 10000), -ENOMEM);
}

static void test_poison(void **state)
{
    struct mem_chunks chunks;
    struct mem_chunk *chunk;
    char probe[8];
    bool sanitized;

    mem_poison(probe, sizeof(probe));
    sanitized = mem_is_poisoned(probe);
    mem_unpoison(probe, sizeof(probe));
    assert_int_equal(mem_chunks_init(&chunks, arena, 4096, 2), 0);
    chunk = mem_chunk_get(&chunks);
    assert_false(mem_is_poisoned(chunk->data - MEM_CHUNK_HEADROOM));
    assert_false(mem_is_poisoned(chunk->data + 4096 + MEM_CHUNK_TAILROOM - 1));
    assert_true(mem_is_poisoned(chunk->data + 4096 + MEM_CHUNK_TAILROOM) == sanitized);
    mem_chunk_put(chunk);
    assert_true(mem_is_poisoned(chunk->data) == sanitized);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stride, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poison, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

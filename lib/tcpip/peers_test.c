// SPDX-License-Identifier: BSD-2-Clause
#include "peers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX 300

static const uint64_t key[2] = {1, 2};

struct world {
    struct mem_arena *arena;
    struct peers peers;
};

static struct world *world_open(void)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_int_equal(mem_arena_open(&w->arena, 1 << 20, 0), 0);
    assert_int_equal(peers_init(&w->peers, w->arena, MAX, key), 0);
    return w;
}

static void world_close(struct world *w)
{
    assert_int_equal(w->peers.pool.in_use, 0);
    mem_arena_close(w->arena);
    free(w);
}

static struct ip_addr parse(const char *text)
{
    struct ip_addr addr;

    assert_int_equal(ip_addr_parse(text, &addr), 0);
    return addr;
}

static void counts(void **state)
{
    struct world *w = world_open();
    struct ip_addr a = parse("192.0.2.1"), b = parse("192.0.2.2");

    assert_int_equal(peers_count(&w->peers, &a), 0);
    peers_enter(&w->peers, &a);
    peers_enter(&w->peers, &a);
    peers_enter(&w->peers, &b);
    assert_int_equal(peers_count(&w->peers, &a), 2);
    assert_int_equal(peers_count(&w->peers, &b), 1);
    peers_leave(&w->peers, &a);
    assert_int_equal(peers_count(&w->peers, &a), 1);
    peers_leave(&w->peers, &a);
    peers_leave(&w->peers, &b);
    assert_int_equal(peers_count(&w->peers, &a), 0);
    world_close(w);
}

/* Of IPv6 the first 64 bits count, of IPv4 all of them. */
static void prefixes(void **state)
{
    struct world *w = world_open();
    struct ip_addr a = parse("2001:db8::1"), same = parse("2001:db8::ffff:0:0:2"),
                   other = parse("2001:db8:0:1::1");

    peers_enter(&w->peers, &a);
    assert_int_equal(peers_count(&w->peers, &same), 1);
    assert_int_equal(peers_count(&w->peers, &other), 0);
    peers_leave(&w->peers, &same);
    world_close(w);
}

/* As many as there can be connections, all different, in any order out, and again. */
static void all_different(void **state)
{
    struct world *w = world_open();

    for (uint32_t round = 0; round < 3; round++) {
        struct ip_addr addr = parse("198.18.0.0");

        for (uint32_t i = 0; i < MAX; i++) {
            put_be32(addr.b + 12, 0xc6120000 + i);
            peers_enter(&w->peers, &addr);
        }
        for (uint32_t i = 0; i < MAX; i++) {
            put_be32(addr.b + 12, 0xc6120000 + i * 7 % MAX);
            assert_int_equal(peers_count(&w->peers, &addr), 1);
            peers_leave(&w->peers, &addr);
            assert_int_equal(peers_count(&w->peers, &addr), 0);
        }
    }
    world_close(w);
}

static void no_memory(void **state)
{
    struct mem_arena *arena;
    struct peers peers;

    assert_int_equal(mem_arena_open(&arena, 1, 0), 0);
    assert_int_equal(peers_init(&peers, arena, 1 << 22, key), -ENOMEM);
    mem_arena_close(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(all_different),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "base/rand.h"
#include "flow.h"

#define SEED 99

struct ends {
    uint8_t source, target; /* last bytes of the addresses */
    uint16_t source_port, target_port;
    uint8_t proto;
};

static const struct ends tcp_ends = {1, 2, 40000, 80, 6};

static struct ends turned(struct ends e)
{
    return (struct ends){e.target, e.source, e.target_port, e.source_port, e.proto};
}

static uint32_t put_ip4(uint8_t *frame, struct ends e, unsigned vlan_tags, uint16_t fragment)
{
    uint8_t *p = frame + 12;

    memset(frame, 0, 100);
    for (; vlan_tags; vlan_tags--, p += 4)
        put_be16(p, vlan_tags == 2 ? 0x88a8 : 0x8100);
    put_be16(p, 0x0800);
    p += 2;
    p[0] = 0x45;
    put_be16(p + 6, fragment);
    p[9] = e.proto;
    put_be32(p + 12, 0x0a000000u | e.source);
    put_be32(p + 16, 0x0a000000u | e.target);
    put_be16(p + 20, e.source_port);
    put_be16(p + 22, e.target_port);
    return (uint32_t)(p + 40 - frame);
}

static uint32_t put_ip6(uint8_t *frame, struct ends e, unsigned extensions)
{
    uint8_t *ip = frame + 14, *p = ip + 40;

    memset(frame, 0, 200);
    put_be16(frame + 12, 0x86dd);
    ip[0] = 0x60;
    ip[6] = extensions ? 60 : e.proto;
    ip[8] = ip[24] = 0xfd;
    ip[23] = e.source;
    ip[39] = e.target;
    for (; extensions; extensions--, p += 8)
        p[0] = extensions > 1 ? 60 : e.proto;
    put_be16(p, e.source_port);
    put_be16(p + 2, e.target_port);
    return (uint32_t)(p + 20 - frame);
}

static uint64_t key_of(const uint8_t *frame, uint32_t len)
{
    struct frame_info info;

    frame_parse(&info, frame, len, SEED);
    assert_true(info.kind != FRAME_LINK);
    assert_true(info.flow_key != 0);
    return info.flow_key;
}

static uint64_t key4(struct ends e, unsigned vlan_tags, uint16_t fragment)
{
    uint8_t frame[100];

    return key_of(frame, put_ip4(frame, e, vlan_tags, fragment));
}

static uint64_t key6(struct ends e, unsigned extensions)
{
    uint8_t frame[200];

    return key_of(frame, put_ip6(frame, e, extensions));
}

static void test_both_directions_are_one_flow(void **state)
{
    struct ends other = tcp_ends;

    assert_true(key4(tcp_ends, 0, 0) == key4(turned(tcp_ends), 0, 0));
    assert_true(key6(tcp_ends, 0) == key6(turned(tcp_ends), 0));
    other.source_port++;
    assert_true(key4(tcp_ends, 0, 0) != key4(other, 0, 0));
    assert_true(key6(tcp_ends, 0) != key6(other, 0));
    /* Ports that change sides make another flow. */
    other = tcp_ends;
    other.source_port = tcp_ends.target_port;
    other.target_port = tcp_ends.source_port;
    assert_true(key4(tcp_ends, 0, 0) != key4(other, 0, 0));
    other = tcp_ends;
    other.proto = 17;
    assert_true(key4(tcp_ends, 0, 0) != key4(other, 0, 0));
}

static void test_tags_and_extensions_do_not_matter(void **state)
{
    assert_true(key4(tcp_ends, 0, 0) == key4(tcp_ends, 1, 0));
    assert_true(key4(tcp_ends, 0, 0) == key4(tcp_ends, 2, 0));
    assert_true(key6(tcp_ends, 0) == key6(tcp_ends, 3));
}

static void test_fragments_go_by_addresses(void **state)
{
    struct ends other = tcp_ends;

    other.source_port++;
    assert_true(key4(tcp_ends, 0, 0x2000) == key4(other, 0, 100));
    assert_true(key4(tcp_ends, 0, 0x4000) == key4(tcp_ends, 0, 0)); /* DF alone */
    other = tcp_ends;
    other.proto = 1;
    assert_true(key4(other, 0, 0) == key4(turned(other), 0, 0));
}

static enum frame_kind kind_of(const uint8_t *frame, uint32_t len)
{
    struct frame_info info;

    frame_parse(&info, frame, len, SEED);
    return info.kind;
}

static void test_what_belongs_to_the_link(void **state)
{
    static const struct ends ndp = {1, 2, 135 << 8, 0, 58}, echo = {1, 2, 128 << 8, 0, 58};
    uint8_t frame[200];
    uint32_t len = put_ip6(frame, ndp, 0);

    assert_int_equal(kind_of(frame, len), FRAME_LINK);
    len = put_ip6(frame, echo, 0);
    assert_int_equal(kind_of(frame, len), FRAME_IP6);
    put_be16(frame + 12, 0x0806);
    assert_int_equal(kind_of(frame, len), FRAME_LINK);
}

/* Every length of every frame, in memory of just that size, for the sanitizers to look at. */
static void test_cut_off(void **state)
{
    uint8_t frame[200];
    uint32_t lens[3];

    for (unsigned kind = 0; kind < 3; kind++)
        for (uint32_t len = 0;; len++) {
            struct frame_info info;
            uint8_t *copy;

            lens[0] = put_ip4(frame, tcp_ends, 2, 0);
            if (kind)
                lens[kind] = put_ip6(frame, tcp_ends, kind == 2 ? 3 : 0);
            if (len > lens[kind])
                break;
            copy = malloc(len ? len : 1);
            memcpy(copy, frame, len);
            frame_parse(&info, copy, len, SEED);
            assert_true(info.kind == FRAME_LINK || info.ip_at + 20 <= len);
            free(copy);
        }
}

/* --- the table -------------------------------------------------------------------------------- */

static void table_open(struct mem_arena **arena, struct flow_table *table, bool by_order)
{
    assert_int_equal(mem_arena_open(arena, flow_table_arena_bytes(), 0), 0);
    assert_int_equal(flow_table_init(table, *arena, by_order), 0);
}

static void test_table_remembers(void **state)
{
    struct mem_arena *arena;
    struct flow_table table;
    struct rand rand;

    table_open(&arena, &table, false);
    for (unsigned round = 0; round < 3; round++) {
        rand_seed(&rand, 5);
        for (unsigned i = 0; i < 20000; i++) {
            uint64_t key = rand_u64(&rand) | 1;
            struct flow *flow = flow_find(&table, key);

            assert_true(flow->key == key && flow->fate == key);
            assert_int_equal(flow->count[TO_LEFT]++, round);
        }
    }
    assert_int_equal(table.seen, 20000);
    assert_int_equal(table.forgotten, 0);
    mem_arena_close(arena);
}

/* Of those that share a place, the one that was quiet for longest goes. */
static void test_table_forgets_the_oldest(void **state)
{
    struct mem_arena *arena;
    struct flow_table table;

    table_open(&arena, &table, false);
    for (unsigned i = 0; i < FLOW_WAYS; i++)
        flow_find(&table, 1 + 2 * i)->count[TO_RIGHT] = 10 + i;
    assert_int_equal(flow_find(&table, 1)->count[TO_RIGHT], 10); /* now 3 is the oldest */
    flow_find(&table, 1 + 2 * FLOW_WAYS);
    assert_int_equal(table.forgotten, 1);
    assert_int_equal(flow_find(&table, 1)->count[TO_RIGHT], 10);
    assert_int_equal(flow_find(&table, 5)->count[TO_RIGHT], 12);
    assert_int_equal(flow_find(&table, 3)->count[TO_RIGHT], 0);
    mem_arena_close(arena);
}

/* The first flow of two runs has the same fate, whatever its addresses; so have the second ones. */
static void test_fates_by_order(void **state)
{
    uint64_t fates[2][2];

    for (unsigned run = 0; run < 2; run++) {
        struct mem_arena *arena;
        struct flow_table table;

        table_open(&arena, &table, true);
        for (unsigned i = 0; i < 2; i++)
            fates[run][i] = flow_find(&table, 1001 + 100 * run + 2 * i)->fate;
        assert_true(flow_find(&table, 1001 + 100 * run)->fate == fates[run][0]);
        mem_arena_close(arena);
    }
    assert_true(fates[0][0] == fates[1][0] && fates[0][1] == fates[1][1]);
    assert_true(fates[0][0] != fates[0][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_directions_are_one_flow),
        cmocka_unit_test(test_tags_and_extensions_do_not_matter),
        cmocka_unit_test(test_fragments_go_by_addresses),
        cmocka_unit_test(test_what_belongs_to_the_link),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_table_remembers),
        cmocka_unit_test(test_table_forgets_the_oldest),
        cmocka_unit_test(test_fates_by_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is kept ahead of a gap: compared with a plain array of bytes, one flag for each.
 */
#include "reasm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"

#define BUFS   64
#define RANGES 32
#define START  (5ull << 32) /* of the stream: the ranges' low 32 bits are offsets in it */
#define STREAM 60000
#define ROOM   ((uint32_t)sizeof(((struct reasm_buf *)0)->data))

static const struct reasm_limits usual = {BUFS, RANGES};
static struct mem_arena *arena;
static struct mem_pool pool;
static uint8_t stream[STREAM + 1];

static int open_pool(void **state)
{
    for (uint32_t i = 0; i < sizeof(stream); i++)
        stream[i] = (uint8_t)(i * 31 + i / 251);
    if (mem_arena_open(&arena, 4u << 20, 0) < 0)
        return -1;
    return mem_pool_init(&pool, arena, sizeof(struct reasm_buf), BUFS);
}

static int close_pool(void **state)
{
    int rc = pool.in_use ? -1 : 0;

    mem_arena_close(arena);
    return rc;
}

static enum reasm_verdict add(struct reasm *r, uint64_t from, uint64_t to)
{
    struct reasm_span twice;

    return reasm_add(&pool, r, &twice, START + from, stream + from, (uint32_t)(to - from), false,
                     &usual);
}

static void add_fin(struct reasm *r, uint64_t from, uint64_t to)
{
    struct reasm_span twice;

    assert_int_equal(reasm_add(&pool, r, &twice, START + from, stream + from, (uint32_t)(to - from),
                               true, &usual),
                     REASM_KEPT);
}

/* Takes all that follows `nxt` without a gap, compares it, and returns where it ends. */
static uint64_t take_all(struct reasm *r, uint64_t nxt, bool *fin)
{
    struct reasm_buf *buf;

    *fin = false;
    while ((buf = reasm_take(&pool, r, START + nxt))) {
        uint64_t skip = START + nxt - buf->seq;

        assert_false(*fin);
        assert_true(skip <= buf->len);
        assert_memory_equal(buf->data + skip, stream + nxt, buf->len - skip);
        nxt += buf->len - skip;
        *fin = buf->fin;
        mem_pool_put(&pool, buf);
        if (*fin)
            nxt++;
    }
    return nxt;
}

/* The ranges, newest first, as "start-end start-end". */
static const char *ranges(const struct reasm *r)
{
    static char text[1024];
    struct tcp_sack sacks[RANGES];
    uint32_t n = reasm_sacks(&pool, r, sacks, array_len(sacks));
    int at = 0;

    text[0] = 0;
    for (uint32_t i = 0; i < n; i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%u-%u", i ? " " : "",
                       sacks[i].start, sacks[i].end);
    return text;
}

/* RFC 2018 4: the range that the last segment went into comes first. */
static void newest_first(void **state)
{
    struct reasm r = {0};

    add(&r, 100, 200);
    add(&r, 300, 400);
    add(&r, 500, 600);
    assert_string_equal(ranges(&r), "500-600 300-400 100-200");
    add(&r, 200, 210);
    assert_string_equal(ranges(&r), "100-210 500-600 300-400");
    add(&r, 390, 395); /* nothing new, but it came */
    assert_string_equal(ranges(&r), "300-400 100-210 500-600");
    reasm_drop(&pool, &r);
    assert_int_equal(r.buf_count, 0);
    assert_int_equal(pool.in_use, 0);
}

static void ranges_grow_and_join(void **state)
{
    struct reasm r = {0};
    bool fin;

    add(&r, 100, 200);
    add(&r, 300, 400);
    add(&r, 50, 100); /* in front */
    assert_string_equal(ranges(&r), "50-200 300-400");
    add(&r, 200, 300); /* the hole, exactly */
    assert_string_equal(ranges(&r), "50-400");
    add(&r, 500, 600);
    add(&r, 700, 800);
    add(&r, 20, 900); /* over everything */
    assert_string_equal(ranges(&r), "20-900");
    assert_int_equal(take_all(&r, 10, &fin), 10);
    assert_int_equal(take_all(&r, 20, &fin), 900);
    assert_false(fin);
}

/* Of bytes that differ the first copy is delivered. */
static void first_copy_wins(void **state)
{
    static uint8_t forged[500];
    struct reasm r = {0};
    struct reasm_span twice;
    bool fin;

    memset(forged, 0xee, sizeof(forged));
    add(&r, 100, 200);
    add(&r, 300, 400);
    assert_int_equal(reasm_add(&pool, &r, &twice, START + 150, forged, 50, false, &usual),
                     REASM_KEPT);
    assert_int_equal(twice.start, START + 150);
    assert_int_equal(twice.end, START + 200);
    memcpy(forged + 100, stream + 200, 100); /* true in the hole only */
    memcpy(forged + 300, stream + 400, 100); /* and behind the second range */
    assert_int_equal(reasm_add(&pool, &r, &twice, START + 100, forged, 400, false, &usual),
                     REASM_KEPT);
    assert_int_equal(twice.start, START + 100);
    assert_int_equal(twice.end, START + 200);
    assert_int_equal(take_all(&r, 100, &fin), 500);
}

static void fin_is_kept(void **state)
{
    struct reasm r = {0};
    bool fin;

    add_fin(&r, 200, 300);
    assert_string_equal(ranges(&r), "200-301");
    add(&r, 300, 400); /* behind a FIN there is nothing */
    add(&r, 301, 400);
    add_fin(&r, 400, 400);
    add_fin(&r, 100, 150); /* nor is there a second one */
    assert_string_equal(ranges(&r), "100-150 200-301");
    add(&r, 150, 200);
    assert_int_equal(take_all(&r, 100, &fin), 301);
    assert_true(fin);
    add_fin(&r, 500, 500); /* a bare one */
    add(&r, 450, 500);
    assert_string_equal(ranges(&r), "450-501");
    assert_int_equal(take_all(&r, 470, &fin), 501);
    assert_true(fin);
    add_fin(&r, 500, 500);
    assert_int_equal(take_all(&r, 500, &fin), 501);
    assert_true(fin);
}

/* What lies before the next byte came by another way. */
static void stale_ranges_go(void **state)
{
    struct reasm r = {0};
    bool fin;

    add(&r, 100, 200);
    add(&r, 300, 300 + 3 * ROOM);
    add(&r, 50000, 50001);
    assert_int_equal(pool.in_use, 5);
    assert_int_equal(take_all(&r, 300 + 2 * ROOM + 7, &fin), 300 + 3 * ROOM);
    assert_string_equal(ranges(&r), "50000-50001");
    assert_null(reasm_take(&pool, &r, START + 60000));
    assert_int_equal(pool.in_use, 0);
}

static void limits(void **state)
{
    struct reasm r = {0}, other = {0};
    struct reasm_span twice;
    bool fin;

    for (uint32_t i = 0; i < RANGES; i++)
        assert_int_equal(add(&r, 100 + 2 * i, 101 + 2 * i), REASM_KEPT);
    assert_int_equal(add(&r, 10, 20), REASM_RANGES);
    assert_int_equal(add(&r, 101, 102), REASM_KEPT); /* joins two */
    assert_int_equal(add(&r, 10, 20), REASM_KEPT);
    reasm_drop(&pool, &r);

    assert_int_equal(reasm_add(&pool, &r, &twice, START + 100, stream + 100, 4 * ROOM, false,
                               &(struct reasm_limits){3, RANGES}),
                     REASM_SHARE);
    assert_int_equal(r.buf_count, 3);
    assert_int_equal(take_all(&r, 100, &fin), 100 + 3 * ROOM); /* what there was room for */

    assert_int_equal(reasm_add(&pool, &r, &twice, START, stream, 25 * ROOM, false, &usual),
                     REASM_KEPT);
    assert_int_equal(reasm_add(&pool, &other, &twice, START, stream, 25 * ROOM, false, &usual),
                     REASM_KEPT);
    for (uint32_t i = 0; pool.in_use < BUFS; i++)
        assert_int_equal(add(&r, 59000 + 2 * i, 59001 + 2 * i), REASM_KEPT);
    assert_int_equal(add(&r, 58000, 58001), REASM_POOL);
    reasm_drop(&pool, &r);
    reasm_drop(&pool, &other);
}

static void holes(void **state)
{
    struct reasm r = {0};
    struct reasm_span span;

    assert_int_equal(reasm_hole(&pool, &r, START), UINT64_MAX);
    add(&r, 300, 400);
    add(&r, 100, 200);
    assert_int_equal(reasm_hole(&pool, &r, START + 40), 60);
    assert_int_equal(reasm_hole(&pool, &r, START + 150), 0);
    assert_int_equal(reasm_hole(&pool, &r, START + 200), 100);
    assert_int_equal(reasm_hole(&pool, &r, START + 400), UINT64_MAX);
    span = reasm_overlap(&pool, &r, START + 150, START + 350);
    assert_int_equal(span.start, START + 150);
    assert_int_equal(span.end, START + 200);
    span = reasm_overlap(&pool, &r, START + 200, START + 300);
    assert_int_equal(span.start, span.end);
    reasm_drop(&pool, &r);
}

/* --- against an array of flags ---------------------------------------------------------------- */

struct model {
    bool has[STREAM + 1];
    uint64_t nxt;
    uint64_t fin_at; /* UINT64_MAX: not seen */
};

static void check_ranges(const struct reasm *r, const struct model *m)
{
    struct tcp_sack sacks[RANGES];
    uint32_t n = reasm_sacks(&pool, r, sacks, array_len(sacks)), covered = 0, flagged = 0;

    for (uint32_t i = 0; i < n; i++) {
        covered += sacks[i].end - sacks[i].start;
        for (uint32_t at = sacks[i].start; at < sacks[i].end; at++)
            assert_true(m->has[at]);
        assert_true(sacks[i].start == m->nxt || !m->has[sacks[i].start - 1]);
        assert_false(m->has[sacks[i].end]);
    }
    for (uint64_t at = m->nxt; at <= STREAM; at++)
        flagged += m->has[at];
    assert_int_equal(covered, flagged);
}

/* Segments of a stream, again and again in any order, with gaps that close now and then. */
static void run_seed(uint64_t seed)
{
    static struct model m;
    struct reasm r = {0};
    struct rand rand;
    bool fin = false;
    uint32_t steps = 0;

    m = (struct model){.fin_at = UINT64_MAX};
    rand_seed(&rand, seed);
    while (!fin) {
        uint64_t from = m.nxt + rand_below(&rand, 20000), to;
        struct reasm_span twice;
        bool last;

        assert_true(steps++ < 100000);
        if (rand_below(&rand, 8) == 0)
            from = m.nxt;
        from = min_u64(from, STREAM - 1);
        to = min_u64(from + 1 + rand_below(&rand, rand_below(&rand, 2) ? 9000 : 100), STREAM - 1);
        last = to == STREAM - 1;
        if (reasm_add(&pool, &r, &twice, START + from, stream + from, (uint32_t)(to - from), last,
                      &usual) == REASM_KEPT)
            memset(m.has + from, true, to - from + last);
        else { /* what was kept of it is not known: begin again */
            reasm_drop(&pool, &r);
            memset(m.has, false, sizeof(m.has));
        }
        if (rand_below(&rand, 4) == 0)
            m.nxt = take_all(&r, m.nxt, &fin);
        check_ranges(&r, &m);
    }
    assert_int_equal(m.nxt, STREAM);
    assert_int_equal(r.buf_count, 0);
    assert_int_equal(pool.in_use, 0);
}

static void random_streams(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        run_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_first),    cmocka_unit_test(ranges_grow_and_join),
        cmocka_unit_test(first_copy_wins), cmocka_unit_test(fin_is_kept),
        cmocka_unit_test(stale_ranges_go), cmocka_unit_test(limits),
        cmocka_unit_test(holes),           cmocka_unit_test(random_streams),
    };

    return cmocka_run_group_tests(tests, open_pool, close_pool);
}

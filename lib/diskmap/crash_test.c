// SPDX-License-Identifier: BSD-2-Clause
/*
 * crash_test.c - cuts the writer's sequence of writes at every point and looks at what is left.
 *
 * A recording medium keeps every write, sync and resize. A crash leaves what was synced, and of the
 * writes since then any part, sector by sector: the first ones up to some point, or an arbitrary
 * selection, because a disk may write them in any order. Whatever it leaves, opening the volume
 * must find exactly the state before the transaction or exactly the one after it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "memory_test.h"
#include "priv.h"

#define NAMES                 12
#define OBJECT_BYTES_TEST_MAX 30000
#define LIMIT_BYTES           (8u << 20)
#define SECTOR_BYTES          512
#define SUPER_PIECE_BYTES     64 /* a disk is not asked to write even one sector at once */
#define OPS_MAX               4096

/* --- what a volume should hold ---------------------------------------------------------------- */

struct model {
    bool valid; /* false: there is no volume yet */
    struct {
        uint64_t seed, bytes; /* seed 0: no such object */
    } names[NAMES];
};

static bool model_matches(const struct model *model, const struct diskmap_set *set)
{
    uint64_t count = 0;

    for (int n = 0; n < NAMES; n++) {
        const struct diskmap_object *o;
        char path[32];
        uint32_t i;

        snprintf(path, sizeof(path), "/name/%d", n);
        i = set_find(set, path, strlen(path));
        if ((i == PATHMAP_NONE) != (model->names[n].seed == 0))
            return false;
        if (i == PATHMAP_NONE)
            continue;
        count++;
        o = &set->objects[i].pub;
        if (o->bytes != model->names[n].bytes || o->mtime_s != (int64_t)model->names[n].seed)
            return false;
        for (uint64_t b = 0; b < o->bytes; b++) {
            if (o->mapped[b] != pattern_at(model->names[n].seed, b))
                return false;
        }
    }
    return count == set->count;
}

/* One transaction, drawn from the dice, done to the model and to the volume. */
static void change(struct diskmap_volume *v, struct model *model, struct rand *rand)
{
    for (uint64_t i = 1 + rand_below(rand, 5); i > 0; i--) {
        uint64_t n = rand_below(rand, NAMES);
        char path[32];

        snprintf(path, sizeof(path), "/name/%d", (int)n);
        if (model->names[n].seed && rand_chance(rand, 0.4)) {
            assert_int_equal(diskmap_volume_remove(v, path), 0);
            model->names[n].seed = 0;
            continue;
        }
        model->names[n].seed = 1 + rand_below(rand, UINT32_MAX);
        model->names[n].bytes = rand_below(rand, OBJECT_BYTES_TEST_MAX);
        assert_int_equal(pattern_add(v, path, model->names[n].seed, model->names[n].bytes), 0);
    }
}

/* --- the recording medium --------------------------------------------------------------------- */

enum op_kind { OP_WRITE, OP_SYNC, OP_RESIZE };

struct op {
    enum op_kind kind;
    uint64_t off, bytes;
    uint8_t *data;
};

struct recorder {
    struct memory_medium now; /* as if nothing ever crashed */
    struct op ops[OPS_MAX];
    size_t count;
};

static struct op *record(struct diskmap_medium *medium, enum op_kind kind, uint64_t off,
                         uint64_t bytes)
{
    struct recorder *r = container_of(medium, struct recorder, now.pub);

    assert_true(r->count < OPS_MAX);
    r->ops[r->count] = (struct op){.kind = kind, .off = off, .bytes = bytes};
    return &r->ops[r->count++];
}

static int record_pwrite(struct diskmap_medium *medium, const void *data, size_t bytes,
                         uint64_t off)
{
    struct op *op = record(medium, OP_WRITE, off, bytes);

    op->data = malloc(bytes);
    memcpy(op->data, data, bytes);
    return memory_pwrite(medium, data, bytes, off);
}

static int record_sync(struct diskmap_medium *medium)
{
    record(medium, OP_SYNC, 0, 0);
    return 0;
}

static int record_resize(struct diskmap_medium *medium, uint64_t bytes)
{
    record(medium, OP_RESIZE, 0, bytes);
    return memory_resize(medium, bytes);
}

static void recorder_init(struct recorder *r, const struct memory_medium *from)
{
    memory_init(&r->now, LIMIT_BYTES);
    if (from) {
        assert_int_equal(memory_resize(&r->now.pub, from->pub.bytes), 0);
        memcpy(r->now.data, from->data, from->pub.bytes);
    }
    r->now.pub.pwrite = record_pwrite;
    r->now.pub.sync = record_sync;
    r->now.pub.resize = record_resize;
    r->count = 0;
}

static void recorder_free(struct recorder *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->ops[i].data);
    free(r->now.data);
}

/* --- what a crash leaves ---------------------------------------------------------------------- */

static void image_copy(struct memory_medium *to, const struct memory_medium *from)
{
    memory_init(to, LIMIT_BYTES);
    if (from->pub.bytes)
        assert_int_equal(memory_resize(&to->pub, from->pub.bytes), 0);
    if (from->pub.bytes)
        memcpy(to->data, from->data, from->pub.bytes);
}

static void image_apply(struct memory_medium *image, const struct op *op)
{
    if (op->kind == OP_WRITE)
        assert_int_equal(memory_pwrite(&image->pub, op->data, op->bytes, op->off), 0);
    if (op->kind == OP_RESIZE)
        assert_int_equal(memory_resize(&image->pub, op->bytes), 0);
}

static uint64_t piece_bytes(const struct op *op)
{
    return op->bytes <= DISKMAP_BLOCK_BYTES ? SUPER_PIECE_BYTES : SECTOR_BYTES;
}

/* Only its first pieces arrived. */
static void image_tear(struct memory_medium *image, const struct op *op, uint64_t pieces)
{
    assert_int_equal(memory_pwrite(&image->pub, op->data, pieces * piece_bytes(op), op->off), 0);
}

/* Of the writes since the last sync, each arrived, or did not, or in some of its sectors. The
 * file's size is the file system's business: it grew when it was told to. */
static void image_scatter(struct memory_medium *image, const struct op *ops, size_t count,
                          struct rand *rand)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t fate = rand_below(rand, 3);

        if (ops[i].kind == OP_RESIZE || (ops[i].kind == OP_WRITE && fate == 0))
            image_apply(image, &ops[i]);
        for (uint64_t at = 0; ops[i].kind == OP_WRITE && fate == 1 && at < ops[i].bytes;
             at += piece_bytes(&ops[i])) {
            if (rand_chance(rand, 0.5))
                assert_int_equal(memory_pwrite(&image->pub, ops[i].data + at, piece_bytes(&ops[i]),
                                               ops[i].off + at),
                                 0);
        }
    }
}

/* Which of the two states the image holds; it must be one of them. */
static const struct model *image_state(struct memory_medium *image, const struct model *before,
                                       const struct model *after)
{
    struct diskmap_set *set;
    const struct model *state = NULL;
    char why[256];
    int rc = set_open_medium(&set, &image->pub, why, sizeof(why));

    if (rc) {
        assert_int_equal(rc, -EBADMSG);
        assert_true(why[0] != 0);
        assert_false(before->valid);
        return before;
    }
    if (before->valid && model_matches(before, set))
        state = before;
    else if (model_matches(after, set))
        state = after;
    diskmap_set_close(set);
    assert_non_null(state);
    return state;
}

/* --- the tests -------------------------------------------------------------------------------- */

#define COMMITS   12
#define TORN_MAX  64 /* points at which one write is cut */
#define SCATTERED 6  /* selections tried at each point */

struct history {
    struct model states[COMMITS + 1];
    size_t ends[COMMITS + 1]; /* state i stands once this many operations are done */
    size_t count;
};

static void live(struct recorder *r, struct history *h, uint64_t seed)
{
    struct model model = {.valid = true};
    struct diskmap_volume *v;
    struct rand rand;
    char why[256];

    rand_seed(&rand, seed);
    recorder_init(r, NULL);
    h->states[0] = (struct model){.valid = false};
    h->ends[0] = 0;
    h->count = 1;
    assert_int_equal(diskmap_volume_create(&v, &r->now.pub, why, sizeof(why)), 0);
    for (int i = 0; i < COMMITS; i++) {
        change(v, &model, &rand);
        assert_int_equal(diskmap_volume_commit(v), 0);
        h->states[h->count] = model;
        h->ends[h->count++] = r->count;
        if (i % 4 == 3) {
            diskmap_volume_close(v);
            assert_int_equal(diskmap_volume_open(&v, &r->now.pub, why, sizeof(why)), 0);
        }
    }
    diskmap_volume_close(v);
}

/* The crash happens after `done` operations; the next one is in progress. */
static void crash_at(const struct recorder *r, const struct history *h, size_t done,
                     const struct memory_medium *synced, size_t since,
                     const struct memory_medium *all, struct rand *rand)
{
    const struct model *before, *after;
    struct memory_medium image;
    size_t state = 0;

    while (state + 1 < h->count && h->ends[state + 1] <= done)
        state++;
    before = &h->states[state];
    after = state + 1 < h->count ? &h->states[state + 1] : before;

    image_copy(&image, all);
    // A commit that has returned is there to stay.
    assert_true(image_state(&image, before, after) == before || done > h->ends[state]);
    free(image.data);
    for (int i = 0; i < SCATTERED; i++) {
        image_copy(&image, synced);
        image_scatter(&image, r->ops + since, done - since, rand);
        image_state(&image, before, after);
        free(image.data);
    }
    if (done < r->count && r->ops[done].kind == OP_WRITE) {
        uint64_t pieces = r->ops[done].bytes / piece_bytes(&r->ops[done]);
        uint64_t step = 1 + pieces / TORN_MAX;

        for (uint64_t s = 1; s < pieces; s += step) {
            image_copy(&image, all);
            image_tear(&image, &r->ops[done], s);
            image_state(&image, before, after);
            free(image.data);
        }
    }
}

static void every_cut_leaves_the_old_or_the_new(void **state)
{
    struct recorder *r = calloc(1, sizeof(*r));

    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct history h;
        struct memory_medium all, synced;
        struct rand rand;
        size_t since = 0;

        print_message("seed %llu\n", (unsigned long long)seed);
        rand_seed(&rand, seed);
        live(r, &h, seed);
        memory_init(&all, LIMIT_BYTES);
        memory_init(&synced, LIMIT_BYTES);
        for (size_t done = 0; done <= r->count; done++) {
            crash_at(r, &h, done, &synced, since, &all, &rand);
            if (done == r->count)
                break;
            image_apply(&all, &r->ops[done]);
            if (r->ops[done].kind == OP_SYNC) {
                free(synced.data);
                image_copy(&synced, &all);
                since = done + 1;
            }
        }
        free(all.data);
        free(synced.data);
        recorder_free(r);
    }
    free(r);
}

/* Crash after crash: each transaction begins on what the last crash left. */
static void life_goes_on_after_each_crash(void **state)
{
    struct recorder *r = calloc(1, sizeof(*r));
    struct memory_medium image;
    struct model model = {.valid = true};
    struct diskmap_volume *v;
    struct rand rand;
    uint64_t kept = 0;
    char why[256];

    rand_seed(&rand, 5);
    memory_init(&image, LIMIT_BYTES);
    assert_int_equal(diskmap_volume_create(&v, &image.pub, why, sizeof(why)), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    for (int i = 0; i < 400; i++) {
        struct model after = model;
        const struct model *left;
        size_t done, since = 0;

        recorder_init(r, &image);
        assert_int_equal(diskmap_volume_open(&v, &r->now.pub, why, sizeof(why)), 0);
        change(v, &after, &rand);
        assert_int_equal(diskmap_volume_commit(v), 0);
        diskmap_volume_close(v);
        done = rand_below(&rand, r->count + 1);
        for (size_t op = 0; op < done; op++)
            since = r->ops[op].kind == OP_SYNC ? op + 1 : since;
        for (size_t op = 0; op < since; op++)
            image_apply(&image, &r->ops[op]);
        image_scatter(&image, r->ops + since, done - since, &rand);
        left = image_state(&image, &model, &after);
        assert_true(done < r->count || left == &after);
        kept += left == &after;
        model = *left;
        recorder_free(r);
    }
    assert_true(kept > 20); // both outcomes were seen
    assert_true(kept < 380);
    free(image.data);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_leaves_the_old_or_the_new),
        cmocka_unit_test(life_goes_on_after_each_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

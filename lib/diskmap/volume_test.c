// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "memory_test.h"

#define LIMIT_BYTES (64u << 20)

static char why[256];

static struct diskmap_volume *create(struct memory_medium *m)
{
    struct diskmap_volume *v;

    memory_init(m, LIMIT_BYTES);
    assert_int_equal(diskmap_volume_create(&v, &m->pub, why, sizeof(why)), 0);
    assert_string_equal(why, "");
    assert_int_equal(diskmap_volume_commit(v), 0);
    return v;
}

static struct diskmap_volume *reopen(struct diskmap_volume *v, struct memory_medium *m)
{
    if (v)
        diskmap_volume_close(v);
    assert_int_equal(diskmap_volume_open(&v, &m->pub, why, sizeof(why)), 0);
    return v;
}

static bool find(struct diskmap_volume *v, const char *path, struct diskmap_entry *e)
{
    for (uint64_t i = 0; diskmap_volume_entry(v, i, e); i++) {
        if (!strcmp(e->path, path))
            return true;
    }
    return false;
}

static void assert_holds(struct diskmap_volume *v, const char *path, uint64_t seed, uint64_t bytes)
{
    struct pattern p = {.seed = seed};
    struct diskmap_entry e;

    assert_true(find(v, path, &e));
    assert_int_equal(e.bytes, bytes);
    assert_int_equal(e.mtime_s, (int64_t)seed);
    assert_int_equal(diskmap_volume_verify(v, &e, pattern_sink, &p), 0);
    assert_int_equal(p.off, bytes);
}

static void an_empty_volume_opens(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = reopen(create(&m), &m);
    struct diskmap_entry e;

    assert_int_equal(diskmap_volume_count(v), 0);
    assert_false(diskmap_volume_entry(v, 0, &e));
    diskmap_volume_close(v);
    free(m.data);
}

static void there_is_no_volume_until_the_first_commit(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v;

    memory_init(&m, LIMIT_BYTES);
    assert_int_equal(diskmap_medium_holds(&m.pub), DISKMAP_HOLDS_NOTHING);
    assert_int_equal(diskmap_volume_create(&v, &m.pub, why, sizeof(why)), 0);
    assert_int_equal(pattern_add(v, "/a", 1, 10), 0);
    diskmap_volume_close(v);
    assert_int_equal(diskmap_volume_open(&v, &m.pub, why, sizeof(why)), -EBADMSG);
    assert_non_null(strstr(why, "never finished"));
    assert_int_equal(diskmap_medium_holds(&m.pub), DISKMAP_HOLDS_VOLUME);
    memset(m.data, 0, 2 * DISKMAP_BLOCK_BYTES);
    m.data[100] = 1;
    assert_int_equal(diskmap_medium_holds(&m.pub), DISKMAP_HOLDS_OTHER);
    free(m.data);
}

/* Nothing can be cut off that nobody misses. */
static void a_volume_ends_with_its_last_block(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);

    assert_int_equal(pattern_add(v, "/a", 1, 100000), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    m.pub.bytes -= DISKMAP_BLOCK_BYTES;
    assert_int_equal(diskmap_volume_open(&v, &m.pub, why, sizeof(why)), 0); // the empty one before
    assert_non_null(strstr(why, "generation 1"));
    assert_int_equal(diskmap_volume_count(v), 0);
    diskmap_volume_close(v);
    free(m.data);
}

static void objects_survive_a_commit_and_only_that(void **state)
{
    static const uint64_t sizes[] = {0,    1,        4095,           4096,     4097,
                                     8192, 1u << 20, (1u << 20) + 1, 3u << 20, 5000001};
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    char path[32];

    for (size_t i = 0; i < array_len(sizes); i++) {
        snprintf(path, sizeof(path), "/dir%zu/file", i);
        assert_int_equal(pattern_add(v, path, i, sizes[i]), 0);
    }
    assert_holds(v, "/dir4/file", 4, 4097); // before it is written out
    assert_int_equal(diskmap_volume_commit(v), 0);
    assert_int_equal(pattern_add(v, "/lost", 9, 100), 0);
    v = reopen(v, &m);
    assert_int_equal(diskmap_volume_count(v), array_len(sizes));
    for (size_t i = 0; i < array_len(sizes); i++) {
        snprintf(path, sizeof(path), "/dir%zu/file", i);
        assert_holds(v, path, i, sizes[i]);
    }
    diskmap_volume_close(v);
    free(m.data);
}

static void entries_come_sorted_whatever_the_order(void **state)
{
    static const char *const order[] = {"/b", "/a/z", "/a-b", "/a", "/c", "/B"};
    static const char *const sorted[] = {"/B", "/a", "/a-b", "/a/z", "/b", "/c"};
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct diskmap_entry e;

    for (size_t i = 0; i < array_len(order); i++)
        assert_int_equal(pattern_add(v, order[i], i, 10), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    v = reopen(v, &m);
    for (size_t i = 0; i < array_len(sorted); i++) {
        assert_true(diskmap_volume_entry(v, i, &e));
        assert_string_equal(e.path, sorted[i]);
    }
    diskmap_volume_close(v);
    free(m.data);
}

static void names_are_replaced_and_removed(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct diskmap_entry e;

    assert_int_equal(pattern_add(v, "/a", 1, 5000), 0);
    assert_int_equal(pattern_add(v, "/b", 2, 6000), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    assert_int_equal(pattern_add(v, "/a", 3, 7000), 0);
    assert_int_equal(diskmap_volume_remove(v, "/b"), 0);
    assert_int_equal(diskmap_volume_remove(v, "/b"), -ENOENT);
    assert_int_equal(diskmap_volume_remove(v, "/c"), -ENOENT);
    assert_int_equal(diskmap_volume_count(v), 1);
    assert_int_equal(diskmap_volume_commit(v), 0);
    v = reopen(v, &m);
    assert_int_equal(diskmap_volume_count(v), 1);
    assert_holds(v, "/a", 3, 7000);
    assert_int_equal(pattern_add(v, "/b", 4, 10), 0);
    assert_int_equal(diskmap_volume_remove(v, "/b"), 0);
    assert_int_equal(pattern_add(v, "/b", 5, 20), 0); // removed and added within one transaction
    assert_true(find(v, "/b", &e));
    assert_int_equal(diskmap_volume_commit(v), 0);
    v = reopen(v, &m);
    assert_holds(v, "/b", 5, 20);
    diskmap_volume_close(v);
    free(m.data);
}

static void space_is_used_again(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    uint64_t bytes_after_ten = 0;

    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(pattern_add(v, "/same", i, 1u << 20), 0);
        assert_int_equal(diskmap_volume_commit(v), 0);
        if (i == 10)
            bytes_after_ten = m.pub.bytes;
    }
    assert_int_equal(m.pub.bytes, bytes_after_ten);
    assert_true(m.pub.bytes <= 5u << 20);
    v = reopen(v, &m);
    assert_holds(v, "/same", 99, 1u << 20);
    diskmap_volume_close(v);
    free(m.data);
}

/* Until its superblock is overwritten, the generation before is something to go back to. */
static void space_is_not_used_again_while_a_superblock_leads_there(void **state)
{
    enum { LARGE = 5 << 20 }; // more than the writer keeps in its buffer
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct diskmap_entry e;

    assert_int_equal(pattern_add(v, "/old", 1, LARGE), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    assert_true(find(v, "/old", &e));
    assert_int_equal(diskmap_volume_remove(v, "/old"), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pattern_add(v, "/new", 2, LARGE), 0);
        for (uint64_t b = 0; b < LARGE; b++)
            assert_int_equal(m.data[e.first_block * DISKMAP_BLOCK_BYTES + b], pattern_at(1, b));
        v = reopen(v, &m); // once as the one that committed, once as one that finds it so
    }
    diskmap_volume_close(v);
    free(m.data);
}

/* A server has generation 2 open: its bytes stay for as long as it has. */
static void space_is_not_used_again_while_a_server_reads(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct diskmap_entry e;

    assert_int_equal(pattern_add(v, "/old", 1, 300000), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    assert_true(find(v, "/old", &e));
    m.used = true;
    assert_int_equal(diskmap_volume_remove(v, "/old"), 0);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(pattern_add(v, "/new", i, 4096 * (i + 1)), 0);
        assert_int_equal(diskmap_volume_commit(v), 0);
    }
    for (uint64_t i = 0; i < 300000; i++)
        assert_int_equal(m.data[e.first_block * DISKMAP_BLOCK_BYTES + i], pattern_at(1, i));
    assert_int_equal(diskmap_volume_create(&v, &m.pub, why, sizeof(why)), -EBUSY);
    diskmap_volume_close(v);
    free(m.data);
}

static void a_full_medium_is_said_and_survived(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v;

    memory_init(&m, 16 * DISKMAP_BLOCK_BYTES);
    assert_int_equal(diskmap_volume_create(&v, &m.pub, why, sizeof(why)), 0);
    assert_int_equal(pattern_add(v, "/fits", 1, 10 * DISKMAP_BLOCK_BYTES), 0);
    assert_int_equal(pattern_add(v, "/not", 2, 5 * DISKMAP_BLOCK_BYTES), -ENOSPC);
    assert_int_equal(pattern_add(v, "/tight", 3, 3 * DISKMAP_BLOCK_BYTES), 0);
    assert_int_equal(diskmap_volume_commit(v), 0); // one block is left for the catalogue
    v = reopen(v, &m);
    assert_int_equal(diskmap_volume_count(v), 2);
    assert_holds(v, "/tight", 3, 3 * DISKMAP_BLOCK_BYTES);
    assert_int_equal(diskmap_volume_remove(v, "/fits"), 0);
    assert_int_equal(diskmap_volume_commit(v), -ENOSPC); // for the second catalogue
    v = reopen(v, &m);
    assert_int_equal(diskmap_volume_count(v), 2);
    diskmap_volume_close(v);
    free(m.data);
}

static void improper_objects_are_refused(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct pattern p = {.seed = 1, .bytes = 100, .most = 7};
    char path[DISKMAP_PATH_MAX + 2];

    assert_int_equal(pattern_add(v, "", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "a", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/a/", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "//a", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/a//b", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/a/./b", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/..", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/a/..", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/../a", 1, 1), -EINVAL);
    assert_int_equal(pattern_add(v, "/...", 1, 1), 0);
    assert_int_equal(pattern_add(v, "/..a/.b", 1, 1), 0);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[DISKMAP_PATH_MAX + 1] = 0;
    assert_int_equal(pattern_add(v, path, 1, 1), -ENAMETOOLONG);
    path[DISKMAP_PATH_MAX] = 0;
    assert_int_equal(pattern_add(v, path, 1, 1), 0);
    assert_int_equal(diskmap_volume_add(v, "/short", 0, 101, pattern_fetch, &p), -ENODATA);
    p.off = 0;
    assert_int_equal(diskmap_volume_add(v, "/slow", 1, 100, pattern_fetch, &p), 0);
    assert_int_equal(diskmap_volume_add(v, "/huge", 0, UINT64_MAX, pattern_fetch, &p), -EFBIG);
    assert_int_equal(diskmap_volume_commit(v), 0);
    v = reopen(v, &m);
    assert_int_equal(diskmap_volume_count(v), 4);
    assert_holds(v, "/slow", 1, 100);
    assert_holds(v, path, 1, 1);
    diskmap_volume_close(v);
    free(m.data);
}

static void wrong_bytes_are_found(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct diskmap_entry e;

    assert_int_equal(pattern_add(v, "/a", 1, 3000000), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    assert_true(find(v, "/a", &e));
    assert_int_equal(diskmap_volume_verify(v, &e, NULL, NULL), 0);
    m.data[e.first_block * DISKMAP_BLOCK_BYTES + 2999999] ^= 1;
    assert_int_equal(diskmap_volume_verify(v, &e, NULL, NULL), -EBADMSG);
    diskmap_volume_close(v);
    free(m.data);
}

static void after_a_failed_sync_nothing_is_believed(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);

    assert_int_equal(pattern_add(v, "/a", 1, 10), 0);
    m.fail_sync = -EIO;
    assert_int_equal(diskmap_volume_commit(v), -EIO);
    assert_int_equal(diskmap_volume_commit(v), -EIO);
    assert_int_equal(pattern_add(v, "/b", 1, 10), -EIO);
    v = reopen(v, &m);
    assert_int_equal(diskmap_volume_count(v), 0);
    diskmap_volume_close(v);
    free(m.data);
}

static void a_thousand_changes_keep_the_books(void **state)
{
    enum { NAMES = 40 };
    uint64_t seed[NAMES] = {0}, bytes[NAMES] = {0};
    struct memory_medium m;
    struct diskmap_volume *v = create(&m);
    struct rand rand;
    char path[32];

    rand_seed(&rand, 11);
    for (uint64_t i = 1; i <= 1000; i++) {
        uint64_t n = rand_below(&rand, NAMES);

        snprintf(path, sizeof(path), "/%02u", (unsigned)n);
        if (rand_chance(&rand, 0.3)) {
            assert_int_equal(diskmap_volume_remove(v, path), seed[n] ? 0 : -ENOENT);
            seed[n] = 0;
        } else {
            seed[n] = i;
            bytes[n] = rand_below(&rand, 40000);
            assert_int_equal(pattern_add(v, path, i, bytes[n]), 0);
        }
        if (rand_chance(&rand, 0.2))
            assert_int_equal(diskmap_volume_commit(v), 0);
        if (!rand_chance(&rand, 0.02))
            continue;
        assert_int_equal(diskmap_volume_commit(v), 0);
        v = reopen(v, &m);
        for (n = 0; n < NAMES; n++) {
            struct diskmap_entry e;

            snprintf(path, sizeof(path), "/%02u", (unsigned)n);
            if (seed[n])
                assert_holds(v, path, seed[n], bytes[n]);
            else
                assert_false(find(v, path, &e));
        }
    }
    assert_true(m.pub.bytes < 8u << 20);
    diskmap_volume_close(v);
    free(m.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_volume_opens),
        cmocka_unit_test(there_is_no_volume_until_the_first_commit),
        cmocka_unit_test(a_volume_ends_with_its_last_block),
        cmocka_unit_test(objects_survive_a_commit_and_only_that),
        cmocka_unit_test(entries_come_sorted_whatever_the_order),
        cmocka_unit_test(names_are_replaced_and_removed),
        cmocka_unit_test(space_is_used_again),
        cmocka_unit_test(space_is_not_used_again_while_a_superblock_leads_there),
        cmocka_unit_test(space_is_not_used_again_while_a_server_reads),
        cmocka_unit_test(a_full_medium_is_said_and_survived),
        cmocka_unit_test(improper_objects_are_refused),
        cmocka_unit_test(wrong_bytes_are_found),
        cmocka_unit_test(after_a_failed_sync_nothing_is_believed),
        cmocka_unit_test(a_thousand_changes_keep_the_books),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

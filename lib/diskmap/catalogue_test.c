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
#include "priv.h"

#define LIMIT_BYTES (8u << 20)

static char why[256];

/* Two generations: /a and /b, then /a replaced and /c added. The newer one stands. */
static void two_generations(struct memory_medium *m)
{
    struct diskmap_volume *v;

    memory_init(m, LIMIT_BYTES);
    assert_int_equal(diskmap_volume_create(&v, &m->pub, why, sizeof(why)), 0);
    assert_int_equal(pattern_add(v, "/a", 1, 5000), 0);
    assert_int_equal(pattern_add(v, "/b", 2, 100), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    assert_int_equal(pattern_add(v, "/a", 3, 9000), 0);
    assert_int_equal(pattern_add(v, "/c", 4, 4096), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
}

static bool holds(const struct diskmap_set *set, const char *path, uint64_t seed, uint64_t bytes)
{
    uint32_t i = set_find(set, path, strlen(path));

    if (i == PATHMAP_NONE || set->objects[i].pub.bytes != bytes)
        return false;
    for (uint64_t b = 0; b < bytes; b++) {
        if (set->objects[i].pub.mapped[b] != pattern_at(seed, b))
            return false;
    }
    return true;
}

/* What stands: the state with 3 objects, the one with 2, or 0 for none; all else is a failure. */
static int standing(struct memory_medium *m)
{
    struct diskmap_set *set;
    int rc = set_open_medium(&set, &m->pub, why, sizeof(why)), generation = 0;

    if (rc) {
        assert_int_equal(rc, -EBADMSG);
        assert_true(why[0] != 0);
        return 0;
    }
    if (set->count == 3 && holds(set, "/a", 3, 9000) && holds(set, "/b", 2, 100) &&
        holds(set, "/c", 4, 4096))
        generation = 3;
    if (set->count == 2 && holds(set, "/a", 1, 5000) && holds(set, "/b", 2, 100))
        generation = 2;
    diskmap_set_close(set);
    assert_int_not_equal(generation, 0);
    return generation;
}

static struct format_super *super_at(struct memory_medium *m, uint32_t slot)
{
    return (struct format_super *)(void *)(m->data + slot * DISKMAP_BLOCK_BYTES);
}

/* The slot of the newest generation, its catalogue's block, and its record i. */
static uint32_t newest(struct memory_medium *m)
{
    return super_at(m, 1)->generation > super_at(m, 0)->generation;
}

static uint8_t *catalogue_at(struct memory_medium *m)
{
    return m->data + super_at(m, newest(m))->catalogue_block * DISKMAP_BLOCK_BYTES;
}

static struct format_record *record_at(struct memory_medium *m, uint32_t i)
{
    uint8_t *p = catalogue_at(m) + sizeof(struct format_catalogue_header);

    while (i--)
        p += format_record_bytes(((struct format_record *)(void *)p)->path_bytes);
    return (struct format_record *)(void *)p;
}

static void a_flipped_bit_never_passes(void **state)
{
    struct memory_medium m;
    uint64_t blocks[4];
    uint32_t slot;
    struct rand rand;

    two_generations(&m);
    slot = newest(&m);
    blocks[0] = slot;
    blocks[1] = super_at(&m, slot)->catalogue_block;
    blocks[2] = slot ^ 1;
    blocks[3] = super_at(&m, slot ^ 1)->catalogue_block;
    assert_int_equal(standing(&m), 3);
    assert_string_equal(why, "");
    rand_seed(&rand, 1);
    for (int b = 0; b < 4; b++) {
        for (uint64_t i = 0; i < DISKMAP_BLOCK_BYTES; i += 1 + rand_below(&rand, 8)) {
            uint8_t *p = m.data + blocks[b] * DISKMAP_BLOCK_BYTES + i, bit = 1 << (i & 7);

            *p ^= bit;
            // Damage to the newest generation leads to the one before it, damage to that to
            // nothing.
            assert_int_equal(standing(&m), b < 2 ? 2 : 3);
            if (b != 3)
                assert_true(why[0] != 0);
            *p ^= bit;
        }
    }
    free(m.data);
}

static void a_truncated_volume_is_an_error_or_the_older(void **state)
{
    struct memory_medium m;
    uint64_t bytes;

    two_generations(&m);
    bytes = m.pub.bytes;
    for (uint64_t blocks = 0; blocks * DISKMAP_BLOCK_BYTES < bytes; blocks++) {
        m.pub.bytes = blocks * DISKMAP_BLOCK_BYTES;
        if (blocks < super_at(&m, newest(&m))->volume_blocks)
            assert_int_not_equal(standing(&m), 3);
        else
            assert_int_equal(standing(&m), 3);
        m.pub.bytes -= blocks ? 1 : 0;
        standing(&m);
    }
    free(m.data);
}

static void a_foreign_file_is_told_from_a_damaged_volume(void **state)
{
    struct memory_medium m;
    struct rand rand;

    two_generations(&m);
    super_at(&m, 0)->crc32c ^= 1;
    super_at(&m, 1)->crc32c ^= 1;
    assert_int_equal(standing(&m), 0);
    assert_non_null(strstr(why, "damaged"));
    memset(m.data, 0, 2 * DISKMAP_BLOCK_BYTES);
    assert_int_equal(standing(&m), 0);
    assert_non_null(strstr(why, "no volume here yet"));
    rand_seed(&rand, 3);
    for (uint64_t i = 0; i < m.pub.bytes; i++)
        m.data[i] = (uint8_t)rand_u64(&rand);
    assert_int_equal(standing(&m), 0);
    assert_non_null(strstr(why, "not an atlas volume"));
    m.pub.bytes = 0;
    assert_int_equal(standing(&m), 0);
    free(m.data);
}

/* --- lies with the right checksums ------------------------------------------------------------ */

static void lie_blocks_outside(struct memory_medium *m)
{
    record_at(m, 1)->first_block = super_at(m, newest(m))->volume_blocks;
}

static void lie_in_superblock(struct memory_medium *m)
{
    record_at(m, 1)->first_block = 1;
}

static void lie_overflow(struct memory_medium *m)
{
    record_at(m, 1)->first_block = UINT64_MAX - 1;
    record_at(m, 1)->bytes = UINT64_MAX;
}

static void lie_long(struct memory_medium *m)
{
    record_at(m, 2)->bytes = UINT64_MAX;
}

static void lie_empty_with_block(struct memory_medium *m)
{
    record_at(m, 1)->bytes = 0;
}

static void lie_shared_block(struct memory_medium *m)
{
    record_at(m, 1)->first_block = record_at(m, 0)->first_block + 1;
}

static void lie_on_catalogue(struct memory_medium *m)
{
    record_at(m, 1)->first_block = super_at(m, newest(m))->catalogue_block;
}

static void lie_same_name(struct memory_medium *m)
{
    memcpy(record_at(m, 1) + 1, "/a", 2);
}

static void lie_unsorted(struct memory_medium *m)
{
    memcpy(record_at(m, 1) + 1, "/x", 2);
}

static void lie_path_shape(struct memory_medium *m)
{
    memcpy(record_at(m, 1) + 1, "bb", 2);
}

static void lie_path_nul(struct memory_medium *m)
{
    memcpy(record_at(m, 0) + 1, "/\0", 2);
}

static void lie_path_dots(struct memory_medium *m)
{
    record_at(m, 2)->path_bytes = 3;
    memcpy(record_at(m, 2) + 1, "/..", 3);
}

static void lie_path_short(struct memory_medium *m)
{
    record_at(m, 0)->path_bytes = 0;
}

static void lie_path_endless(struct memory_medium *m)
{
    record_at(m, 2)->path_bytes = UINT16_MAX;
}

static void lie_more_records(struct memory_medium *m)
{
    catalogue_at(m)[offsetof(struct format_catalogue_header, records)]++;
}

static void lie_fewer_records(struct memory_medium *m)
{
    catalogue_at(m)[offsetof(struct format_catalogue_header, records)]--;
}

static void lie_no_records(struct memory_medium *m)
{
    catalogue_at(m)[offsetof(struct format_catalogue_header, records)] = 0;
}

static void lie_used_bytes(struct memory_medium *m)
{
    catalogue_at(m)[offsetof(struct format_catalogue_header, used_bytes) + 1] = 0xff;
}

static void lie_used_nothing(struct memory_medium *m)
{
    memset(catalogue_at(m) + offsetof(struct format_catalogue_header, used_bytes), 0, 2);
}

static void lie_generation(struct memory_medium *m)
{
    catalogue_at(m)[offsetof(struct format_catalogue_header, generation)]++;
}

static void lie_index(struct memory_medium *m)
{
    catalogue_at(m)[offsetof(struct format_catalogue_header, index)]++;
}

static void lie_objects(struct memory_medium *m)
{
    super_at(m, newest(m))->objects++;
}

static void lie_objects_many(struct memory_medium *m)
{
    super_at(m, newest(m))->objects = UINT64_MAX / 2;
}

static void lie_catalogue_outside(struct memory_medium *m)
{
    super_at(m, newest(m))->catalogue_block = UINT64_MAX;
}

static void lie_catalogue_long(struct memory_medium *m)
{
    super_at(m, newest(m))->catalogue_blocks = UINT64_MAX;
}

static void lie_catalogue_in_super(struct memory_medium *m)
{
    super_at(m, newest(m))->catalogue_block = 1;
}

static void lie_volume_large(struct memory_medium *m)
{
    super_at(m, newest(m))->volume_blocks = UINT64_MAX;
}

static void lie_volume_small(struct memory_medium *m)
{
    super_at(m, newest(m))->volume_blocks = 1;
}

static void lie_version(struct memory_medium *m)
{
    super_at(m, newest(m))->version++;
}

static void lie_block_bytes(struct memory_medium *m)
{
    super_at(m, newest(m))->block_bytes = 512;
}

static void lies_with_right_checksums_are_found(void **state)
{
    static void (*const lies[])(struct memory_medium *) = {
        lie_blocks_outside,
        lie_in_superblock,
        lie_overflow,
        lie_long,
        lie_empty_with_block,
        lie_shared_block,
        lie_on_catalogue,
        lie_same_name,
        lie_unsorted,
        lie_path_shape,
        lie_path_nul,
        lie_path_dots,
        lie_path_short,
        lie_path_endless,
        lie_more_records,
        lie_fewer_records,
        lie_no_records,
        lie_used_bytes,
        lie_used_nothing,
        lie_generation,
        lie_index,
        lie_objects,
        lie_objects_many,
        lie_catalogue_outside,
        lie_catalogue_long,
        lie_volume_large,
        lie_volume_small,
        lie_catalogue_in_super,
        lie_version,
        lie_block_bytes,
    };
    struct memory_medium m;

    two_generations(&m);
    memory_repair(&m, newest(&m));
    assert_int_equal(standing(&m), 3); // the repair itself is right
    free(m.data);
    for (size_t i = 0; i < array_len(lies); i++) {
        two_generations(&m);
        lies[i](&m);
        memory_repair(&m, newest(&m));
        print_message("lie %zu\n", i);
        assert_int_equal(standing(&m), 2);
        free(m.data);
    }
}

static void a_writer_on_the_older_generation_makes_it_whole_again(void **state)
{
    struct memory_medium m;
    struct diskmap_volume *v;
    uint32_t damaged;

    two_generations(&m);
    damaged = newest(&m);
    super_at(&m, damaged)->crc32c ^= 1;
    assert_int_equal(diskmap_volume_open(&v, &m.pub, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "generation 1"));
    m.used = true; // a server may have generation 2 open
    assert_int_equal(pattern_add(v, "/d", 5, 10), -EBUSY);
    m.used = false;
    assert_int_equal(pattern_add(v, "/d", 5, 10), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    assert_int_equal(newest(&m), damaged);
    assert_int_equal(diskmap_volume_open(&v, &m.pub, why, sizeof(why)), 0);
    assert_string_equal(why, "");
    assert_int_equal(diskmap_volume_count(v), 3);
    diskmap_volume_close(v);
    free(m.data);
}

static void many_objects_take_many_blocks(void **state)
{
    enum { OBJECTS = 20000 };
    struct memory_medium m;
    struct diskmap_volume *v;
    struct diskmap_set *set;
    char path[DISKMAP_PATH_MAX + 1];

    memory_init(&m, 1u << 30);
    assert_int_equal(diskmap_volume_create(&v, &m.pub, why, sizeof(why)), 0);
    memset(path, 'p', sizeof(path));
    for (int i = 0; i < OBJECTS; i++) {
        // Paths of all lengths, so that records end anywhere in their block.
        int len = snprintf(path, sizeof(path), "/%05d/", i);

        path[len] = 'p';
        path[len + 1 + i % (DISKMAP_PATH_MAX - len)] = 0;
        assert_int_equal(pattern_add(v, path, (uint64_t)i, i % 3 ? 0 : 1), 0);
        path[len + 1 + i % (DISKMAP_PATH_MAX - len)] = 'p';
    }
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    assert_int_equal(set_open_medium(&set, &m.pub, why, sizeof(why)), 0);
    assert_int_equal(set->count, OBJECTS);
    for (int i = 0; i < OBJECTS; i++) {
        int len = snprintf(path, sizeof(path), "/%05d/", i);

        path[len] = 'p';
        assert_int_not_equal(
            set_find(set, path, (size_t)len + 1 + (size_t)(i % (DISKMAP_PATH_MAX - len))),
            PATHMAP_NONE);
    }
    diskmap_set_close(set);
    free(m.data);
}

static void the_etag_follows_the_bytes(void **state)
{
    struct memory_medium m, copy;
    struct diskmap_volume *v;
    struct diskmap_set *a, *b;
    const struct object *oa, *ob;

    two_generations(&m);
    two_generations(&copy); // another volume, another UUID, the same objects
    assert_int_equal(set_open_medium(&a, &m.pub, why, sizeof(why)), 0);
    assert_int_equal(set_open_medium(&b, &copy.pub, why, sizeof(why)), 0);
    oa = &a->objects[set_find(a, "/a", 2)];
    ob = &b->objects[set_find(b, "/a", 2)];
    assert_memory_equal(oa->pub.etag, ob->pub.etag, sizeof(oa->pub.etag));
    assert_memory_not_equal(oa->pub.etag, a->objects[set_find(a, "/b", 2)].pub.etag, 16);
    diskmap_set_close(b);
    assert_int_equal(diskmap_volume_open(&v, &copy.pub, why, sizeof(why)), 0);
    struct pattern p = {.seed = 99, .bytes = 9000}; // same time, same length, other bytes
    assert_int_equal(diskmap_volume_add(v, "/a", 3, 9000, pattern_fetch, &p), 0);
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    assert_int_equal(set_open_medium(&b, &copy.pub, why, sizeof(why)), 0);
    ob = &b->objects[set_find(b, "/a", 2)];
    assert_int_not_equal(oa->pub.etag[0], ob->pub.etag[0]);
    diskmap_set_close(a);
    diskmap_set_close(b);
    free(m.data);
    free(copy.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_never_passes),
        cmocka_unit_test(a_truncated_volume_is_an_error_or_the_older),
        cmocka_unit_test(a_foreign_file_is_told_from_a_damaged_volume),
        cmocka_unit_test(lies_with_right_checksums_are_found),
        cmocka_unit_test(a_writer_on_the_older_generation_makes_it_whole_again),
        cmocka_unit_test(many_objects_take_many_blocks),
        cmocka_unit_test(the_etag_follows_the_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * A hostile volume, opened as a server opens it and as the tools do, read, changed and opened
 * again.
 *
 * The input is an image. Its first byte is not part of it: with bit 0 the checksums of slot 0's
 * superblock and catalogue are made right first, with bit 1 those of slot 1, so that what lies
 * behind them is reached.
 */
#include <stdio.h>

#include "base/base.h"
#include "diskmap/memory_test.h"
#include "diskmap/priv.h"

#define GROW_BYTES (8u << 20)
#define LOOK_BYTES 65536 /* of each object */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

/* Every byte that is promised can be read, and every object is found by its own name. */
static uint64_t serve(struct diskmap_medium *medium)
{
    struct diskmap_set *set;
    char why[256];
    uint64_t sum = 0;

    if (set_open_medium(&set, medium, why, sizeof(why)))
        return 0;
    for (uint64_t i = 0; i < set->count; i++) {
        const struct object *o = &set->objects[i];
        uint64_t end = o->base + o->pub.bytes;

        if (set_find(set, o->path, o->path_bytes) != i)
            fail("an object is not found by its name");
        if (end < o->base || end > set->volumes[0].ram_bytes)
            fail("an object lies outside");
        for (uint64_t b = 0; b < min_u64(o->pub.bytes, LOOK_BYTES); b++)
            sum += o->pub.mapped[b];
    }
    sum += set->count;
    diskmap_set_close(set);
    return sum + 1;
}

static int change(struct diskmap_volume *v)
{
    struct diskmap_entry entry;
    int rc = pattern_add(v, "/fuzz", 1, 10000);

    for (uint64_t i = 0; diskmap_volume_entry(v, i, &entry) && i < 8; i++)
        (void)!diskmap_volume_verify(v, &entry, NULL, NULL);
    if (!rc && diskmap_volume_entry(v, 0, &entry)) {
        char path[DISKMAP_PATH_MAX + 1];

        snprintf(path, sizeof(path), "%s", entry.path);
        rc = strcmp(path, "/fuzz") ? diskmap_volume_remove(v, path) : 0;
    }
    return rc ? rc : diskmap_volume_commit(v);
}

/* What can be opened can be changed, and what was added is there afterwards. */
static void use(struct memory_medium *m)
{
    struct diskmap_volume *v;
    char why[256];
    uint64_t count;
    int rc;

    if (diskmap_volume_open(&v, &m->pub, why, sizeof(why)))
        return;
    rc = change(v);
    count = diskmap_volume_count(v);
    diskmap_volume_close(v);
    if (rc)
        return;
    if (diskmap_volume_open(&v, &m->pub, why, sizeof(why)))
        fail("what was committed cannot be opened");
    if (diskmap_volume_count(v) != count)
        fail("what was committed is not there");
    diskmap_volume_close(v);
    if (!serve(&m->pub))
        fail("what was committed cannot be served");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory_medium m;
    uint8_t how = size ? data[0] : 0;

    memory_init(&m, GROW_BYTES);
    if (size > 1 && size < GROW_BYTES && !memory_resize(&m.pub, size - 1))
        memcpy(m.data, data + 1, size - 1);
    for (uint32_t slot = 0; slot < FORMAT_SUPERS; slot++) {
        if (how & 1u << slot)
            memory_repair(&m, slot);
    }
    (void)!diskmap_medium_holds(&m.pub);
    (void)!serve(&m.pub);
    use(&m);
    free(m.data);
    return 0;
}

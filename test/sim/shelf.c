// SPDX-License-Identifier: BSD-2-Clause
#include "shelf.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHELF_MTIME_S 1700000000
#define SHELF_KEY     (1ull << 60) /* far from the keys of TCP's streams */

static const uint64_t object_bytes[SHELF_OBJECTS] = {
    0,     1,     2,     511,   512,   1000,  4095,   4096,   4097,   8192,   10000,   16383,
    16385, 40000, 61440, 61441, 65535, 65537, 100000, 131072, 262143, 300001, 1000003, 3000000,
};

static void name_objects(struct shelf *shelf)
{
    static const char *const extensions[] = {"mp4", "m3u8", "ts", "html", "bin"};

    for (uint32_t i = 0; i < SHELF_OBJECTS; i++) {
        struct shelf_object *o = &shelf->objects[i];

        *o =
            (struct shelf_object){.asked = o->path, .bytes = object_bytes[i], .key = SHELF_KEY + i};
        snprintf(o->path, sizeof(o->path), "/%u/%llu.%s", i % 3,
                 (unsigned long long)object_bytes[i], extensions[i % array_len(extensions)]);
    }
    snprintf(shelf->objects[5].path, SHELF_PATH_BYTES, "/directory/index.html");
    shelf->objects[5].asked = "/directory/";
}

struct fetcher {
    const struct shelf *shelf;
    const struct shelf_object *object;
    uint64_t offset;
};

static int64_t fetch(void *arg, void *buf, size_t bytes)
{
    struct fetcher *f = arg;
    size_t n = min_u64(bytes, f->object->bytes - f->offset);

    pattern_write(&f->shelf->pattern, f->object->key, f->offset, buf, n);
    f->offset += n;
    return (int64_t)n;
}

static int fill_volume(struct shelf *shelf, struct diskmap_medium *medium, char *why,
                       size_t why_bytes)
{
    struct diskmap_volume *volume;
    int err = diskmap_volume_create(&volume, medium, why, why_bytes);

    if (err)
        return err;
    for (uint32_t i = 0; i < SHELF_OBJECTS && !err; i++) {
        struct fetcher f = {.shelf = shelf, .object = &shelf->objects[i]};

        err = diskmap_volume_add(volume, f.object->path, SHELF_MTIME_S + i, f.object->bytes, fetch,
                                 &f);
    }
    if (!err)
        err = diskmap_volume_commit(volume);
    diskmap_volume_close(volume);
    return err;
}

static int make_volume(struct shelf *shelf, const char *path, char *why, size_t why_bytes)
{
    struct diskmap_medium *medium;
    int err = diskmap_medium_open(&medium, NULL, path, true, false, why, why_bytes);

    if (err)
        return err;
    err = fill_volume(shelf, medium, why, why_bytes);
    diskmap_medium_close(medium);
    return err;
}

int shelf_open(struct shelf *shelf, char *why, size_t why_bytes)
{
    char spec[64];
    const char *specs[] = {spec};
    int err;

    *shelf = (struct shelf){.file = memfd_create("volume", MFD_CLOEXEC)};
    snprintf(why, why_bytes, "no memory for the volume");
    if (shelf->file < 0)
        return -errno;
    name_objects(shelf);
    snprintf(spec, sizeof(spec), "ram:/proc/self/fd/%d", shelf->file);
    err = mem_arena_open(&shelf->arena, 2 * (PATTERN_PERIOD + PATTERN_RUN), 0);
    if (!err)
        err = pattern_open(&shelf->pattern, shelf->arena);
    if (!err)
        err = make_volume(shelf, spec + strlen("ram:"), why, why_bytes);
    if (!err)
        err = diskmap_set_open_volumes(&shelf->set, NULL, specs, 1, why, why_bytes);
    if (err)
        shelf_close(shelf);
    return err;
}

void shelf_close(struct shelf *shelf)
{
    if (shelf->set)
        diskmap_set_close(shelf->set);
    if (shelf->arena)
        mem_arena_close(shelf->arena);
    close(shelf->file);
}

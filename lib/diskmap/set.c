// SPDX-License-Identifier: BSD-2-Clause
/*
 * set.c - the volumes or the tree that are served: opened once, read by all workers, never changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "catalogue.h"
#include "disks.h"
#include "priv.h"

#define RAM_ALIGN       512 /* copying needs none: the least that is allowed */
#define RAM_PREFIX      "ram:"
#define RAM_HUGE_BYTES  (2u << 20)
#define RAM_PIECE_BYTES (16u << 20)
#define SET_VOLUMES_MAX 256

/* --- objects ---------------------------------------------------------------------------------- */

struct loading {
    struct diskmap_set *set;
    struct set_volume *volume;
    uint64_t before; /* objects of the volumes before this one */
};

static int load_begin(void *arg, const struct super *super)
{
    struct loading *l = arg;
    struct diskmap_set *set = l->set;
    struct object *objects;
    uint64_t count = l->before + super->objects;

    set->count = l->before;
    if (count > PATHMAP_MAX)
        return -ENOMEM;
    objects = realloc(set->objects, max_u64(count, 1) * sizeof(*objects));
    if (!objects)
        return -ENOMEM;
    set->objects = objects;
    return 0;
}

static int load_record(void *arg, const struct record *record)
{
    struct loading *l = arg;
    struct object *o = &l->set->objects[l->set->count];
    const char *path = paths_keep(&l->set->paths, record->path, record->path_bytes);

    if (!path)
        return -ENOMEM;
    *o = (struct object){
        .pub = {.bytes = record->bytes, .mtime_s = record->mtime_s, .align = l->volume->align},
        .base = record->first_block * DISKMAP_BLOCK_BYTES,
        .path = path,
        .path_bytes = (uint16_t)record->path_bytes,
        .slot = (uint32_t)(l->volume - l->set->volumes)};
    object_etag(o->pub.etag, record);
    l->set->count++;
    return 0;
}

uint32_t set_find(const struct diskmap_set *set, const char *path, size_t len)
{
    struct pathmap_probe probe = pathmap_start(pathmap_hash(&set->map, path, len));
    uint32_t i;

    while ((i = pathmap_next(&set->map, &probe)) != PATHMAP_NONE) {
        if (set->objects[i].path_bytes == len && !memcmp(set->objects[i].path, path, len))
            break;
    }
    return i;
}

/* Makes the volume's objects findable. Where two volumes have the same path, the one named first
 * wins, as in a search path. */
static int load_index(struct loading *l)
{
    struct diskmap_set *set = l->set;
    uint64_t end = set->count;
    int rc = pathmap_reserve(&set->map, end);

    set->count = l->before;
    for (uint64_t i = l->before; !rc && i < end; i++) {
        struct object o = set->objects[i];

        if (l->before && set_find(set, o.path, o.path_bytes) != PATHMAP_NONE)
            continue;
        o.pub.align = l->volume->align;
        o.pub.immutable = true;
        if (l->volume->ram)
            o.pub.mapped = l->volume->ram + o.base;
        set->objects[set->count] = o;
        rc = pathmap_add(&set->map, pathmap_hash(&set->map, o.path, o.path_bytes),
                         (uint32_t)set->count++);
    }
    return rc;
}

/* --- volumes ---------------------------------------------------------------------------------- */

static int ram_fill(uint8_t *ram, size_t bytes, struct diskmap_medium *medium)
{
    int rc = 0;

    for (size_t off = 0; !rc && off < bytes; off += RAM_PIECE_BYTES)
        rc = medium->pread(medium, ram + off, min_u64(bytes - off, RAM_PIECE_BYTES), off);
    return rc;
}

static int ram_load(struct set_volume *volume, struct diskmap_medium *medium, uint64_t bytes)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    void *ram;

    // The kernel would promise more than there is and end us when we fill it.
    if (bytes > memory)
        return -ENOMEM;
    ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED)
        return -ENOMEM;
    // Ordinary pages do as well, a little slower: whether this works is not our concern.
    if (bytes >= RAM_HUGE_BYTES)
        (void)madvise(ram, bytes, MADV_HUGEPAGE);
    volume->ram = ram;
    volume->ram_bytes = bytes;
    return ram_fill(ram, bytes, medium);
}

/* From here on it is read by the workers, in whole blocks only. */
static void rest(struct set_volume *volume, struct diskmap_medium *medium)
{
    if (!medium_is_nvme(medium)) {
        volume->align = direct_enable(medium_fd(medium));
        return;
    }
    volume->disk = medium_disk(medium);
    volume->align = 1u << volume->disk->block_shift;
    medium_nvme_rest(medium);
}

static int volume_load(struct diskmap_set *set, struct diskmap_medium *medium, bool ram, char *why,
                       size_t why_bytes)
{
    struct set_volume *volume = &set->volumes[set->volume_count++];
    struct loading loading = {.set = set, .volume = volume, .before = set->count};
    struct catalogue_sink sink = {.begin = load_begin, .record = load_record, .arg = &loading};
    struct catalogue catalogue;
    int rc;

    *volume = (struct set_volume){.align = RAM_ALIGN};
    rc = catalogue_load(medium, &sink, &catalogue, NULL, why, why_bytes);
    if (rc)
        return rc;
    if (ram)
        rc = ram_load(volume, medium, catalogue.super.volume_blocks * DISKMAP_BLOCK_BYTES);
    else
        rest(volume, medium);
    if (!rc)
        rc = load_index(&loading);
    if (rc)
        snprintf(why, why_bytes, "cannot load it: %s",
                 rc == -ENOMEM ? "it does not fit into memory" : strerror(-rc));
    return rc;
}

static int set_alloc(struct diskmap_set **out, size_t volumes)
{
    struct diskmap_set *set = calloc(1, sizeof(*set));
    int rc;

    if (!set)
        return -ENOMEM;
    set->root_fd = -1;
    rc = pathmap_init(&set->map);
    set->volumes = calloc(volumes ? volumes : 1, sizeof(*set->volumes));
    if (!rc && !set->volumes)
        rc = -ENOMEM;
    if (rc)
        diskmap_set_close(set);
    else
        *out = set;
    return rc;
}

void diskmap_set_close(struct diskmap_set *set)
{
    // Backwards: a disk may use the memory of one that was opened before it.
    for (uint32_t i = set->volumes ? set->volume_count : 0; i-- > 0;) {
        if (set->volumes[i].ram)
            munmap(set->volumes[i].ram, set->volumes[i].ram_bytes);
        if (set->volumes[i].medium)
            diskmap_medium_close(set->volumes[i].medium);
    }
    if (set->root_fd >= 0)
        close(set->root_fd);
    pathmap_free(&set->map);
    paths_free(&set->paths);
    free(set->volumes);
    free(set->objects);
    free(set);
}

static int spec_open(struct diskmap_set *set, struct diskmap_disks *disks, const char *spec,
                     char *why, size_t why_bytes)
{
    bool ram = !strncmp(spec, RAM_PREFIX, strlen(RAM_PREFIX));
    const char *path = ram ? spec + strlen(RAM_PREFIX) : spec;
    struct diskmap_medium *medium;
    char what[256];
    int rc = diskmap_medium_open(&medium, disks, path, false, false, why, why_bytes);

    if (rc)
        return rc;
    rc = volume_load(set, medium, ram, what, sizeof(what));
    snprintf(why, why_bytes, "%.160s%s%s", what[0] ? path : "", what[0] ? ": " : "", what);
    // Nothing more is read from the disk, so that a writer may use its space again.
    if (ram)
        diskmap_medium_close(medium);
    else
        set->volumes[set->volume_count - 1].medium = medium;
    return rc;
}

int diskmap_set_open_volumes(struct diskmap_set **out, struct diskmap_disks *disks,
                             const char *const *specs, size_t count, char *why, size_t why_bytes)
{
    struct diskmap_set *set;
    int rc = count && count <= SET_VOLUMES_MAX ? set_alloc(&set, count) : -EINVAL;

    if (rc) {
        snprintf(why, why_bytes, "cannot open %zu volumes: %s", count, strerror(-rc));
        return rc;
    }
    for (size_t i = 0; !rc && i < count; i++)
        rc = spec_open(set, disks, specs[i], why, why_bytes);
    if (rc)
        diskmap_set_close(set);
    else
        *out = set;
    return rc;
}

int set_open_medium(struct diskmap_set **out, struct diskmap_medium *medium, char *why,
                    size_t why_bytes)
{
    struct diskmap_set *set;
    int rc = set_alloc(&set, 1);

    if (rc)
        return rc;
    rc = volume_load(set, medium, true, why, why_bytes);
    if (rc)
        diskmap_set_close(set);
    else
        *out = set;
    return rc;
}

int diskmap_set_open_root(struct diskmap_set **out, const char *dir, char *why, size_t why_bytes)
{
    struct diskmap_set *set;
    int rc = set_alloc(&set, 0);

    if (rc) {
        snprintf(why, why_bytes, "not enough memory");
        return rc;
    }
    set->root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (set->root_fd >= 0) {
        *out = set;
        return 0;
    }
    rc = -errno;
    snprintf(why, why_bytes, "%.160s: %s: name a directory that can be read", dir, strerror(errno));
    diskmap_set_close(set);
    return rc;
}

/* Who has the memory in which a worker's buffers have to lie, if anybody insists. */
static int memory_owner(const struct diskmap_set *set, struct controller **out, char *why,
                        size_t why_bytes)
{
    struct controller *owner = NULL;

    for (uint32_t i = 0; i < set->volume_count; i++) {
        struct controller *c;

        if (!set->volumes[i].disk)
            continue;
        c = set->volumes[i].disk->controller->lender;
        if (owner && owner != c && (owner->memory || c->memory)) {
            snprintf(why, why_bytes,
                     "%.80s and %.80s cannot use the same memory: serve them by two servers",
                     owner->name, c->name);
            return -ENOTSUP;
        }
        owner = c;
    }
    for (uint32_t i = 0; owner && owner->memory && i < set->volume_count; i++)
        if (!set->volumes[i].disk && !set->volumes[i].ram) {
            snprintf(
                why, why_bytes,
                "%.80s has memory of its own, which the kernel does not read files into: serve "
                "the files by another server",
                owner->name);
            return -ENOTSUP;
        }
    *out = owner;
    return 0;
}

int diskmap_set_arena(const struct diskmap_set *set, size_t bytes, struct mem_arena **out,
                      char *why, size_t why_bytes)
{
    struct controller *c;
    int rc = memory_owner(set, &c, why, why_bytes);

    *out = NULL;
    if (rc || !c)
        return rc;
    rc = controller_arena(c, bytes, out);
    if (rc == -ENOSPC)
        snprintf(why, why_bytes,
                 "%.80s: a worker needs %zu MiB of its memory, which has %zu MiB left of %zu: give "
                 "the module more, or the server less (--arena, --workers)",
                 c->name, (bytes >> 20) + 1, (c->memory_bytes - c->memory_used) >> 20,
                 c->memory_bytes >> 20);
    else if (rc)
        snprintf(why, why_bytes, "no memory for a worker's buffers: lower --arena");
    return rc;
}

bool diskmap_set_disk(const struct diskmap_set *set, size_t volume, struct diskmap_disk *out)
{
    const struct disk *disk = volume < set->volume_count ? set->volumes[volume].disk : NULL;
    const struct nvme_info *info;

    if (!disk)
        return false;
    info = nvme_ctrlr_info(disk->controller->ctrlr);
    *out = (struct diskmap_disk){
        .model = info->model,
        .serial = info->serial,
        .ns_id = disk->ns_id,
        .bytes = disk->bytes,
        .resets = stat_get(&nvme_ctrlr_stats(disk->controller->ctrlr)->resets),
        .lost = disk_is_lost(disk),
    };
    return true;
}

uint64_t diskmap_set_objects(const struct diskmap_set *set)
{
    return set->count;
}

size_t set_bytes(const struct diskmap_set *set)
{
    return set->count * sizeof(*set->objects) + pathmap_bytes(&set->map);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * diskmap.c - one worker's way to the disks: which device, how many reads at once, what it cost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "priv.h"

#define DEPTH_MAX 16384 /* half of what a ring can have */

const struct stat_desc diskmap_stat_descs[] = {DISKMAP_STATS(STAT_DESC, struct diskmap_stats){0}};

enum { DEVICE_DISK, DEVICE_RAM, DEVICES };

struct diskmap {
    const struct diskmap_set *set;
    struct device *devices[DEVICES]; /* NULL: none of the volumes needs it */
    const struct object
        *objects;      /* the set's, or a copy whose bytes cannot be had but by reading */
    struct root *root; /* NULL: volumes */
    uint32_t depth;
    uint32_t at_device;
    struct diskmap_read *held_first,
        *held_last; /* what does not fit the device's queue, in order */
    struct diskmap_stats stats;
    struct hist latency;
    // Needed at the end only.
    struct object *objects_copy;
};

/* --- opening ---------------------------------------------------------------------------------- */

static int disk_open(struct diskmap *dm, const struct diskmap_config *config)
{
    const struct diskmap_set *set = dm->set;
    uint32_t slots = set->root_fd >= 0 ? ROOT_OBJECTS_MAX : set->volume_count;
    struct device *disk;
    bool registered;
    int rc = uring_open(&disk, config, slots, &registered);

    if (rc)
        return rc;
    dm->devices[DEVICE_DISK] = disk;
    stat_set(&dm->stats.registered, registered);
    for (uint32_t i = 0; !rc && i < set->volume_count; i++) {
        int fd;

        if (!set->volumes[i].medium)
            continue;
        fd = dup(medium_fd(set->volumes[i].medium));
        rc = fd < 0 ? -errno : disk->ops->slot_set(disk, i, fd);
    }
    return rc;
}

/* Which devices the set's volumes need. */
static void devices_needed(const struct diskmap_set *set, bool needed[DEVICES])
{
    needed[DEVICE_DISK] = set->root_fd >= 0;
    needed[DEVICE_RAM] = false;
    for (uint32_t i = 0; i < set->volume_count; i++)
        needed[set->volumes[i].ram ? DEVICE_RAM : DEVICE_DISK] = true;
}

/* Every device behind its own faults, every object without the short way to its bytes. */
static int faults_open(struct diskmap *dm, const struct diskmap_config *config)
{
    const struct diskmap_set *set = dm->set;
    int rc = 0;

    for (int i = 0; !rc && i < DEVICES; i++) {
        if (dm->devices[i])
            rc = fault_open(&dm->devices[i], dm->devices[i], config);
    }
    if (rc || !set->count)
        return rc;
    dm->objects_copy = malloc(set->count * sizeof(*dm->objects_copy));
    if (!dm->objects_copy)
        return -ENOMEM;
    for (uint64_t i = 0; i < set->count; i++) {
        dm->objects_copy[i] = set->objects[i];
        dm->objects_copy[i].pub.mapped = NULL;
        dm->objects_copy[i].pub.immutable &= !config->fault->change_at_ns;
    }
    dm->objects = dm->objects_copy;
    return 0;
}

static int devices_open(struct diskmap *dm, const struct diskmap_config *config)
{
    bool needed[DEVICES];
    int rc = 0;

    devices_needed(dm->set, needed);
    if (needed[DEVICE_DISK])
        rc = disk_open(dm, config);
    if (!rc && needed[DEVICE_RAM])
        rc = ram_open(&dm->devices[DEVICE_RAM], dm->set, config);
    if (!rc && config->fault)
        rc = faults_open(dm, config);
    if (!rc && dm->set->root_fd >= 0)
        rc = root_open(&dm->root, dm->set, config, dm->devices[DEVICE_DISK]);
    return rc;
}

int diskmap_open(struct diskmap **out, struct diskmap_set *set, const struct diskmap_config *config,
                 char *why, size_t why_bytes)
{
    struct diskmap *dm;
    int rc;

    if (!is_pow2(config->depth) || config->depth > DEPTH_MAX) {
        snprintf(why, why_bytes, "the disk's queue depth must be a power of two up to %d",
                 DEPTH_MAX);
        return -EINVAL;
    }
    dm = mem_arena_alloc(config->arena, sizeof(*dm), CACHE_LINE);
    if (!dm) {
        snprintf(why, why_bytes, "the arena is too small for the disk's tables: make it larger");
        return -ENOMEM;
    }
    dm->set = set;
    dm->objects = set->objects;
    dm->depth = config->depth;
    rc = devices_open(dm, config);
    if (rc) {
        diskmap_close(dm);
        snprintf(why, why_bytes, "cannot open the disk's queue: %s",
                 rc == -ENOMEM ? "not enough memory: enlarge the arena, or raise the limit on "
                                 "locked memory (ulimit -l)"
                 : rc == -EPERM || rc == -ENOSYS
                     ? "io_uring is not allowed here: see /proc/sys/kernel/io_uring_disabled"
                     : strerror(-rc));
        return rc;
    }
    *out = dm;
    return 0;
}

void diskmap_close(struct diskmap *dm)
{
    for (int i = 0; i < DEVICES; i++) {
        if (dm->devices[i])
            dm->devices[i]->ops->close(dm->devices[i]);
    }
    free(dm->objects_copy);
}

/* --- objects ---------------------------------------------------------------------------------- */

int diskmap_find(struct diskmap *dm, const char *path, size_t len,
                 const struct diskmap_object **object)
{
    uint32_t i;

    if (len > DISKMAP_PATH_MAX)
        return -ENAMETOOLONG;
    if (dm->root)
        return root_find(dm->root, path, len, object);
    i = set_find(dm->set, path, len);
    if (i == PATHMAP_NONE)
        return -ENOENT;
    *object = &dm->objects[i].pub;
    return 0;
}

/* A volume's objects live as long as the set, so that a pin on them costs nothing. */
void diskmap_hold(struct diskmap *dm, const struct diskmap_object *object)
{
    if (dm->root)
        root_hold(dm->root, object);
}

void diskmap_drop(struct diskmap *dm, const struct diskmap_object *object)
{
    if (dm->root)
        root_drop(dm->root, object);
}

/* --- reads ------------------------------------------------------------------------------------ */

static void read_start(struct diskmap *dm, struct diskmap_read *read, uint64_t now_ns)
{
    uint32_t slot = object_of(read->object)->slot;
    bool ram = !dm->root && dm->set->volumes[slot].ram;
    struct device *device = dm->devices[ram ? DEVICE_RAM : DEVICE_DISK];

    dm->at_device++;
    device->ops->read(device, read, now_ns);
}

void diskmap_read(struct diskmap *dm, struct diskmap_read *read, uint64_t now_ns)
{
    const struct diskmap_object *object = read->object;
    uint64_t inflight = dm->stats.inflight + 1;

    assert(read->len > 0 && read->off < object->bytes && read->len <= object->bytes - read->off);
    assert(((uintptr_t)read->buf & (object->align - 1)) == 0);
    read->posted_ns = now_ns;
    read->next = NULL;
    read->result = 0;
    stat_inc(&dm->stats.reads);
    stat_add(&dm->stats.read_bytes, diskmap_span(object, read->off, read->len));
    stat_set(&dm->stats.inflight, inflight);
    if (inflight > dm->stats.inflight_high)
        stat_set(&dm->stats.inflight_high, inflight);
    if (dm->at_device < dm->depth && !dm->held_first) {
        read_start(dm, read, now_ns);
        return;
    }
    if (dm->held_first)
        dm->held_last->next = read;
    else
        dm->held_first = read;
    dm->held_last = read;
    stat_inc(&dm->stats.held_back);
}

void diskmap_kick(struct diskmap *dm, uint64_t now_ns)
{
    if (dm->at_device == 0)
        return;
    for (int i = 0; i < DEVICES; i++) {
        struct device *device = dm->devices[i];

        if (device && device->ops->kick(device, now_ns))
            stat_inc(&dm->stats.doorbells);
    }
}

static void held_start(struct diskmap *dm, uint64_t now_ns)
{
    if (!dm->held_first || dm->at_device == dm->depth)
        return;
    while (dm->held_first && dm->at_device < dm->depth) {
        struct diskmap_read *read = dm->held_first;

        dm->held_first = read->next;
        read->next = NULL;
        read_start(dm, read, now_ns);
    }
    diskmap_kick(dm, now_ns);
}

uint32_t diskmap_reap(struct diskmap *dm, struct diskmap_read **done, uint32_t max, uint64_t now_ns)
{
    uint32_t count = 0;

    if (dm->at_device == 0) /* and so none is held back */
        return 0;
    for (int i = 0; i < DEVICES; i++) {
        struct device *device = dm->devices[i];

        if (device)
            count += device->ops->reap(device, done + count, max - count, now_ns);
    }
    for (uint32_t i = 0; i < count; i++) {
        hist_record(&dm->latency, now_ns > done[i]->posted_ns ? now_ns - done[i]->posted_ns : 0);
        if (done[i]->result)
            stat_inc(&dm->stats.read_errors);
    }
    dm->at_device -= count;
    stat_set(&dm->stats.inflight, dm->stats.inflight - count);
    held_start(dm, now_ns);
    return count;
}

int diskmap_fd(struct diskmap *dm)
{
    struct device *disk = dm->devices[DEVICE_DISK];

    return disk ? disk->ops->fd(disk) : -1;
}

uint64_t diskmap_next_ns(const struct diskmap *dm)
{
    uint64_t next = UINT64_MAX;

    for (int i = 0; i < DEVICES; i++) {
        if (dm->devices[i])
            next = min_u64(next, dm->devices[i]->ops->next_ns(dm->devices[i]));
    }
    return next;
}

const struct diskmap_stats *diskmap_stats(const struct diskmap *dm)
{
    return &dm->stats;
}

const struct hist *diskmap_latency(const struct diskmap *dm)
{
    return &dm->latency;
}

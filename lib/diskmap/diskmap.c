// SPDX-License-Identifier: BSD-2-Clause
/*
 * diskmap.c - one worker's way to the disks: which device, how many reads at once, what it cost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "disks.h"
#include "priv.h"

#define DEPTH_MAX 16384 /* half of what a ring can have */

const struct stat_desc diskmap_stat_descs[] = {DISKMAP_STATS(STAT_DESC, struct diskmap_stats){0}};

enum { DEVICE_DISK, DEVICE_RAM, DEVICE_NVME, DEVICES };

struct diskmap {
    const struct diskmap_set *set;
    struct device *devices[DEVICES]; /* NULL: none of the volumes needs it */
    const struct object
        *objects;        /* the set's, or a copy whose bytes cannot be had but by reading */
    struct root *root;   /* NULL: volumes */
    struct device *nvme; /* the NVMe disks, without any faults in front; or NULL */
    uint32_t depth;
    uint32_t at_device;
    struct diskmap_read *held_first,
        *held_last; /* what does not fit the device's queue, in order */
    struct diskmap_stats stats;
    struct hist latency;
    int wait_fd,
        wait_nvme_fd; /* an epoll descriptor over files and NVMe disks, if there are both */
    // Needed at the end only.
    struct object *objects_copy;
};

/* --- opening ---------------------------------------------------------------------------------- */

static int volume_device(const struct diskmap_set *set, uint32_t i)
{
    const struct set_volume *v = &set->volumes[i];

    return v->ram ? DEVICE_RAM : v->disk ? DEVICE_NVME : DEVICE_DISK;
}

static int files_open(struct diskmap *dm, const struct diskmap_config *config)
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

        if (volume_device(set, i) != DEVICE_DISK)
            continue;
        fd = dup(medium_fd(set->volumes[i].medium));
        rc = fd < 0 ? -errno : disk->ops->slot_set(disk, i, fd);
    }
    return rc;
}

/* Which devices the set's volumes need. */
static void devices_needed(const struct diskmap_set *set, bool needed[DEVICES])
{
    memset(needed, 0, DEVICES * sizeof(*needed));
    needed[DEVICE_DISK] = set->root_fd >= 0;
    for (uint32_t i = 0; i < set->volume_count; i++)
        needed[volume_device(set, i)] = true;
}

/* Where both kinds are waited for. */
static int wait_open(struct diskmap *dm)
{
    struct device *disk = dm->devices[DEVICE_DISK];
    int fds[2] = {disk->ops->fd(disk), nvme_device_wait_fd(dm->nvme)};

    dm->wait_nvme_fd = fds[1];
    dm->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (dm->wait_fd < 0)
        return -errno;
    for (size_t i = 0; i < array_len(fds); i++) {
        struct epoll_event event = {.events = EPOLLIN};

        if (fds[i] >= 0 && epoll_ctl(dm->wait_fd, EPOLL_CTL_ADD, fds[i], &event))
            return -errno;
    }
    return 0;
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

static int devices_open(struct diskmap *dm, const struct diskmap_config *config, char *why,
                        size_t why_bytes)
{
    bool needed[DEVICES];
    int rc = 0;

    devices_needed(dm->set, needed);
    if (needed[DEVICE_DISK])
        rc = files_open(dm, config);
    if (!rc && needed[DEVICE_RAM])
        rc = ram_open(&dm->devices[DEVICE_RAM], dm->set, config);
    if (!rc && needed[DEVICE_NVME]) {
        rc = nvme_device_open(&dm->devices[DEVICE_NVME], dm->set, config, why, why_bytes);
        dm->nvme = dm->devices[DEVICE_NVME];
    }
    if (!rc && dm->nvme && dm->devices[DEVICE_DISK])
        rc = wait_open(dm);
    else if (!rc && dm->nvme)
        stat_set(&dm->stats.registered, 1);
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
    dm->wait_fd = -1;
    why[0] = '\0';
    rc = devices_open(dm, config, why, why_bytes);
    if (rc)
        diskmap_close(dm);
    if (rc && !why[0])
        snprintf(why, why_bytes, "cannot open the disk's queue: %s",
                 rc == -ENOMEM ? "not enough memory: enlarge the arena, or raise the limit on "
                                 "locked memory (ulimit -l)"
                 : rc == -EPERM || rc == -ENOSYS
                     ? "io_uring is not allowed here: see /proc/sys/kernel/io_uring_disabled"
                     : strerror(-rc));
    if (!rc)
        *out = dm;
    return rc;
}

size_t diskmap_arena_bytes(const struct diskmap_set *set, uint32_t depth)
{
    // The tables of the other devices are small change beside what a worker has to spare.
    return set ? nvme_device_bytes(set, depth) : 0;
}

void diskmap_close(struct diskmap *dm)
{
    for (int i = 0; i < DEVICES; i++) {
        if (dm->devices[i])
            dm->devices[i]->ops->close(dm->devices[i]);
    }
    if (dm->wait_fd >= 0)
        close(dm->wait_fd);
    free(dm->objects_copy);
}

/* --- objects ---------------------------------------------------------------------------------- */

static bool object_is_lost(const struct diskmap *dm, const struct object *o)
{
    const struct disk *disk = dm->set->volumes[o->slot].disk;

    return disk && disk_is_lost(disk);
}

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
    if (unlikely(dm->nvme) && object_is_lost(dm, &dm->objects[i]))
        return -ENODEV;
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
    struct device *device = dm->devices[dm->root ? DEVICE_DISK : volume_device(dm->set, slot)];

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

    if (dm->at_device == 0 && !dm->nvme) /* and so none is held back */
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
    if (dm->nvme)
        stat_set(&dm->stats.disks_lost, nvme_device_lost(dm->nvme));
    dm->at_device -= count;
    stat_set(&dm->stats.inflight, dm->stats.inflight - count);
    held_start(dm, now_ns);
    return count;
}

int diskmap_fd(struct diskmap *dm)
{
    struct device *disk = dm->devices[DEVICE_DISK], *nvme = dm->devices[DEVICE_NVME];
    int fd = -1, nvme_fd;

    if (disk)
        fd = disk->ops->fd(disk);
    if (!nvme)
        return fd;
    if (!disk)
        return nvme->ops->fd(nvme);
    // Another than its usual one: it has something already.
    nvme_fd = nvme->ops->fd(nvme);
    if (nvme_fd < 0) // what it had is lost
        return fd;
    return nvme_fd == dm->wait_nvme_fd ? dm->wait_fd : nvme_fd;
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

bool diskmap_news(struct diskmap *dm, char *text, size_t bytes)
{
    return dm->nvme && nvme_device_news(dm->nvme, text, bytes);
}

const struct diskmap_stats *diskmap_stats(const struct diskmap *dm)
{
    return &dm->stats;
}

const struct hist *diskmap_latency(const struct diskmap *dm)
{
    return &dm->latency;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * kmod.c - a way in by the kernel module diskmap, which administers the controller.
 *
 * One open file of /dev/diskmapN is one queue pair. The first file also has the memory in which all
 * arenas lie; the other queue pairs' files, and those of other disks that fill the same memory,
 * only refer to it. Memory stays as long as any of them, and mapped until the access is closed.
 *
 * A doorbell is a system call, whose refusal is remembered for whoever turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access.h"
#include "diskmap_ioctl.h"
#include "spec.h"

#define KMOD_PATH_BYTES 64

struct kmod_file {
    int fd; /* -1: closed */
    void *queues;
    struct diskmap_attach attach;
    int error; /* atomic: what ringing met */
};

struct kmod {
    struct nvme_access access;
    char path[KMOD_PATH_BYTES];
    struct kmod *owner;                          /* of the memory; perhaps this one */
    struct kmod_file files[NVME_QPAIRS_MAX + 1]; /* by number, from 1; 1 is never closed */
};

static struct kmod *kmod_of(struct nvme_access *access)
{
    return container_of(access, struct kmod, access);
}

/* --- files ------------------------------------------------------------------------------------ */

static void *area_map(int fd, uint64_t off, uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);

    return p == MAP_FAILED ? NULL : p;
}

static void file_close(struct kmod_file *f)
{
    if (f->queues)
        munmap(f->queues, f->attach.queues_bytes);
    if (f->fd >= 0)
        close(f->fd);
    *f = (struct kmod_file){.fd = -1};
}

/* A queue pair of its own, with `buffers` of its own or with those of `buffers_fd`. */
static int file_open(struct kmod *k, struct kmod_file *f, uint32_t buffers, int buffers_fd)
{
    int error;

    f->attach = (struct diskmap_attach){
        .queue_pair = DISKMAP_ANY, .buffers = buffers, .buffers_fd = buffers_fd};
    f->error = 0;
    f->fd = open(k->path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0)
        return -errno;
    if (ioctl(f->fd, DISKMAP_IOC_ATTACH, &f->attach) < 0) {
        error = -errno;
        file_close(f);
        return error;
    }
    f->queues = area_map(f->fd, f->attach.queues_offset, f->attach.queues_bytes);
    if (!f->queues) {
        error = -errno;
        file_close(f);
        return error;
    }
    return 0;
}

/* --- queue pairs ------------------------------------------------------------------------------ */

static int restart(struct nvme_access *access, uint32_t number)
{
    struct kmod_file *f = &kmod_of(access)->files[number];

    if (ioctl(f->fd, DISKMAP_IOC_RESTART, 0) < 0)
        return -errno;
    __atomic_store_n(&f->error, 0, __ATOMIC_RELAXED);
    return 0;
}

static int attach(struct nvme_access *access, uint32_t number, struct agent_queues *out)
{
    struct kmod *k = kmod_of(access);
    struct kmod_file *f = &k->files[number];
    // The first one is there, and may have been used.
    int error = f->fd >= 0 ? restart(access, number) : file_open(k, f, 0, k->owner->files[1].fd);

    if (error)
        return error;
    *out = (struct agent_queues){
        .sq = (char *)f->queues + f->attach.sq_offset,
        .cq = (char *)f->queues + f->attach.cq_offset,
        .lists = (uint64_t *)(void *)((char *)f->queues + f->attach.lists_offset),
        .sq_bus = f->attach.queues_bus + f->attach.sq_offset,
        .cq_bus = f->attach.queues_bus + f->attach.cq_offset,
        .lists_bus = f->attach.queues_bus + f->attach.lists_offset,
        .entries = f->attach.entries,
        .list_entries = f->attach.list_bytes / sizeof(uint64_t),
    };
    return 0;
}

static void detach(struct nvme_access *access, uint32_t number)
{
    // The first one's memory is everybody's.
    if (number > 1)
        file_close(&kmod_of(access)->files[number]);
}

static int state(struct nvme_access *access, uint32_t number)
{
    return __atomic_load_n(&kmod_of(access)->files[number].error, __ATOMIC_RELAXED);
}

/* Who is idle rings nothing, and would find its file readable for good. */
static void look(struct nvme_access *access, uint32_t number)
{
    struct kmod_file *f = &kmod_of(access)->files[number];
    struct pollfd p = {.fd = f->fd};

    if (poll(&p, 1, 0) <= 0)
        return;
    if (p.revents & POLLHUP)
        __atomic_store_n(&f->error, -ENODEV, __ATOMIC_RELAXED);
    else if (p.revents & POLLERR)
        __atomic_store_n(&f->error, -ESTALE, __ATOMIC_RELAXED);
}

/* --- the controller --------------------------------------------------------------------------- */

static int info(struct nvme_access *access, struct agent_info *out)
{
    struct diskmap_info d;

    if (ioctl(kmod_of(access)->files[1].fd, DISKMAP_IOC_INFO, &d) < 0)
        return -errno;
    *out = (struct agent_info){
        .info = {.version = d.nvme_version,
                 .transfer_bytes = d.transfer_bytes,
                 // The first one is ours, the others are free or somebody else's.
                 .qpairs = d.queue_pairs,
                 .write_cache = d.flags & DISKMAP_WRITE_CACHE},
        .entries = d.entries,
        .namespaces = d.namespaces,
        .changes = d.changes,
    };
    snprintf(out->info.model, sizeof(out->info.model), "%.40s", d.model);
    snprintf(out->info.serial, sizeof(out->info.serial), "%.20s", d.serial);
    snprintf(out->info.firmware, sizeof(out->info.firmware), "%.8s", d.firmware);
    return 0;
}

static int namespace_get(struct nvme_access *access, uint32_t index, struct nvme_namespace *out)
{
    struct diskmap_namespace d = {.index = index};

    if (ioctl(kmod_of(access)->files[1].fd, DISKMAP_IOC_NAMESPACE, &d) < 0)
        return -errno;
    *out =
        (struct nvme_namespace){.ns_id = d.ns_id, .block_bytes = d.block_bytes, .blocks = d.blocks};
    return 0;
}

static const struct nvme_agent_ops agent_ops = {
    .info = info,
    .namespace_get = namespace_get,
    .attach = attach,
    .restart = restart,
    .detach = detach,
    .state = state,
    .look = look,
};

/* --- the way in ------------------------------------------------------------------------------- */

static uint32_t read32(struct nvme_access *access, uint32_t off)
{
    return UINT32_MAX; // registers are the kernel's
}

static void write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    uint32_t index = (off - NVME_REG_DOORBELLS) / sizeof(uint32_t);
    struct kmod_file *f = &kmod_of(access)->files[index / 2];
    unsigned long ring = index & 1 ? DISKMAP_IOC_RING_CQ : DISKMAP_IOC_RING_SQ;

    // Whatever else it says, making the queue pair anew is what may help.
    if (unlikely(ioctl(f->fd, ring, (unsigned long)value) < 0))
        __atomic_store_n(&f->error, errno == ENODEV ? -ENODEV : -ESTALE, __ATOMIC_RELAXED);
}

static int map(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus)
{
    return -EINVAL; // what does not lie in the module's memory is reached by no disk
}

static void stop(struct nvme_access *access)
{
    // Owners restart their queue pairs before they give anything back.
}

static int fd(struct nvme_access *access, uint32_t vector)
{
    return kmod_of(access)->files[vector].fd;
}

static void kmod_close(struct nvme_access *access)
{
    struct kmod *k = kmod_of(access);

    for (uint32_t i = NVME_QPAIRS_MAX; i > 0; i--)
        file_close(&k->files[i]);
    if (k->owner == k && access->memory)
        munmap(access->memory, access->memory_bytes);
    free(k);
}

static const struct nvme_access_ops ops = {
    .read32 = read32,
    .write32 = write32,
    .map = map,
    .stop = stop,
    .fd = fd,
    .close = kmod_close,
};

static int attach_fault(const struct kmod *k, int error, size_t bytes, char *why, size_t why_bytes)
{
    const char *what = "see the kernel's log";

    if (error == -ENOENT)
        what = "there is no such disk: atlas disk list shows them";
    else if (error == -EACCES)
        what = "it is somebody else's: change its owner, or run as root";
    else if (error == -EPERM)
        what = "no IOMMU confines it, so that using it takes CAP_SYS_RAWIO";
    else if (error == -EBUSY)
        what = "all of its queue pairs are taken: end who uses them";
    else if (error == -EAGAIN)
        what = "somebody resets it just now: try again";
    else if (error == -EOPNOTSUPP)
        what = "this machine cannot share memory between these disks: use one of them";
    if (error == -ENOMEM)
        snprintf(why, why_bytes,
                 "%.60s has no %zu MiB of buffers left in one piece: load diskmap with more",
                 k->path, bytes >> 20);
    else
        snprintf(why, why_bytes, "%.60s: %s: %s", k->path, strerror(-error), what);
    return error;
}

/* The first file, and the memory that comes with it or is another's. */
static int memory_open(struct kmod *k, const struct nvme_kmod_config *config, char *why,
                       size_t why_bytes)
{
    struct kmod_file *f = &k->files[1];
    struct diskmap_info d = {0};
    uint32_t buffers = 0;
    int error;

    f->fd = open(k->path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0 || ioctl(f->fd, DISKMAP_IOC_INFO, &d) < 0)
        return attach_fault(k, -errno, 0, why, why_bytes);
    if (d.version != DISKMAP_VERSION || !d.buffer_bytes) {
        snprintf(why, why_bytes,
                 "%.60s: diskmap.ko is of another version: load the one that "
                 "belongs to this program",
                 k->path);
        return -EPROTO;
    }
    if (k->owner == k)
        buffers = (uint32_t)((config->memory_bytes + d.buffer_bytes - 1) / d.buffer_bytes);
    file_close(f);
    error = file_open(k, f, buffers, buffers ? -1 : k->owner->files[1].fd);
    if (error)
        return attach_fault(k, error, config->memory_bytes, why, why_bytes);
    k->access.memory = k->owner->access.memory;
    k->access.memory_bytes = k->owner->access.memory_bytes;
    if (buffers) {
        k->access.memory_bytes = f->attach.buffers_bytes;
        k->access.memory = area_map(f->fd, f->attach.buffers_offset, f->attach.buffers_bytes);
        if (!k->access.memory)
            return attach_fault(k, -errno, config->memory_bytes, why, why_bytes);
    }
    k->access.regions[0] = (struct nvme_region){
        .base = k->access.memory, .bytes = k->access.memory_bytes, .bus = f->attach.buffers_bus};
    k->access.region_count = 1;
    return 0;
}

int nvme_kmod_open(struct nvme_access **out, const struct nvme_kmod_config *config, char *why,
                   size_t why_bytes)
{
    struct kmod *k = calloc(1, sizeof(*k));
    int error;

    if (!k) {
        snprintf(why, why_bytes, "out of memory");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i <= NVME_QPAIRS_MAX; i++)
        k->files[i].fd = -1;
    k->access.ops = &ops;
    k->access.agent = &agent_ops;
    k->owner = config->sharing ? kmod_of(config->sharing)->owner : k;
    error = -EINVAL;
    if ((size_t)snprintf(k->path, sizeof(k->path), "%s%s", strchr(config->name, '/') ? "" : "/dev/",
                         config->name) >= sizeof(k->path))
        snprintf(why, why_bytes, "'%.40s...' is no disk of diskmap's such as diskmap0",
                 config->name);
    else if (!config->sharing && !config->memory_bytes)
        snprintf(why, why_bytes, "a disk of diskmap's is opened with memory for buffers");
    else
        error = memory_open(k, config, why, why_bytes);
    if (error) {
        kmod_close(&k->access);
        return error;
    }
    *out = &k->access;
    return 0;
}

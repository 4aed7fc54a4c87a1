// SPDX-License-Identifier: BSD-2-Clause
/*
 * medium_nvme.c - an NVMe disk as the medium of a volume.
 *
 * The volume's writer has its bytes anywhere in memory and waits for each step, so that they go
 * through one buffer that the controller can reach. A piece of that is still many commands at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "disks.h"
#include "priv.h"

struct nvme_medium {
    struct diskmap_medium pub;
    struct disk disk;
    bool resting;
};

static struct nvme_medium *nvme_of(struct diskmap_medium *medium)
{
    return container_of(medium, struct nvme_medium, pub);
}

struct request {
    struct iohdesc io;
    bool ended;
    int error;
};

static void request_ended(struct iohdesc *io, int error)
{
    struct request *r = container_of(io, struct request, io);

    r->ended = true;
    r->error = error;
}

/* `post` is nvme_read, nvme_write or nvme_flush. */
static int request_run(struct nvme_medium *m, int (*post)(struct iohdesc *io), uint64_t off,
                       size_t bytes)
{
    struct controller *c = m->disk.controller;
    struct request r = {.io = {.ioqp = c->qpair,
                               .ns_id = m->disk.ns_id,
                               .lba = off >> m->disk.block_shift,
                               .lba_count = (uint32_t)(bytes >> m->disk.block_shift),
                               .buf = c->bounce,
                               .op_complete = request_ended}};
    int rc = post(&r.io);

    if (rc)
        return rc;
    while (!r.ended) {
        nvme_sqsync(c->qpair);
        if (!nvme_consume_completions(c->qpair, NVME_DEPTH_MAX))
            controller_wait(c, c->qpair);
        nvme_cqsync(c->qpair);
    }
    return r.error;
}

static bool is_within(const struct diskmap_medium *medium, uint64_t off, size_t bytes)
{
    return off <= medium->bytes && bytes <= medium->bytes - off;
}

static int nvme_pwrite(struct diskmap_medium *medium, const void *data, size_t bytes, uint64_t off)
{
    struct nvme_medium *m = nvme_of(medium);
    int rc = 0;

    // Volumes are written in whole blocks of theirs, which are not smaller than the disk's.
    assert((off | bytes) % DISKMAP_BLOCK_BYTES == 0);
    if (!is_within(medium, off, bytes))
        return -EIO;
    for (size_t done = 0; !rc && done < bytes;) {
        size_t piece = min_u64(bytes - done, DISK_BOUNCE_BYTES);

        memcpy(m->disk.controller->bounce, (const char *)data + done, piece);
        rc = request_run(m, nvme_write, off + done, piece);
        done += piece;
    }
    return rc;
}

static int nvme_pread(struct diskmap_medium *medium, void *data, size_t bytes, uint64_t off)
{
    struct nvme_medium *m = nvme_of(medium);
    int rc = 0;

    if (!is_within(medium, off, bytes))
        return -EIO;
    for (size_t done = 0; !rc && done < bytes;) {
        uint64_t from = align_down(off + done, 1ull << m->disk.block_shift);
        size_t skew = off + done - from;
        size_t piece = min_u64(bytes - done, DISK_BOUNCE_BYTES - skew);

        rc = request_run(m, nvme_read, from, align_up(skew + piece, 1ull << m->disk.block_shift));
        memcpy((char *)data + done, m->disk.controller->bounce + skew, piece);
        done += piece;
    }
    return rc;
}

static int nvme_sync(struct diskmap_medium *medium)
{
    struct nvme_medium *m = nvme_of(medium);

    if (!nvme_ctrlr_info(m->disk.controller->ctrlr)->write_cache)
        return 0;
    return request_run(m, nvme_flush, 0, 0);
}

static int nvme_resize(struct diskmap_medium *medium, uint64_t bytes)
{
    return -ENOSPC;
}

static bool nvme_in_use(struct diskmap_medium *medium)
{
    int fd = nvme_of(medium)->disk.controller->fd;

    return fd >= 0 && medium_file_is_read(fd);
}

int medium_nvme_open(struct diskmap_medium **out, struct diskmap_disks *disks, const char *spec,
                     bool writable, bool create, char *why, size_t why_bytes)
{
    struct nvme_medium *m = calloc(1, sizeof(*m));
    int rc;

    if (!m) {
        snprintf(why, why_bytes, "%.100s: not enough memory", spec);
        return -ENOMEM;
    }
    rc = disk_open(&m->disk, disks, spec, writable, create, why, why_bytes);
    if (rc) {
        free(m);
        return rc;
    }
    rc = controller_qpair_get(m->disk.controller);
    if (rc) {
        snprintf(why, why_bytes, "%.100s: no queue pair: %s", spec, strerror(-rc));
        disk_close(&m->disk);
        free(m);
        return rc;
    }
    m->pub = (struct diskmap_medium){.pwrite = nvme_pwrite,
                                     .pread = nvme_pread,
                                     .sync = nvme_sync,
                                     .resize = nvme_resize,
                                     .in_use = nvme_in_use,
                                     .bytes = align_down(m->disk.bytes, DISKMAP_BLOCK_BYTES)};
    *out = &m->pub;
    return 0;
}

bool medium_is_nvme(const struct diskmap_medium *medium)
{
    return medium->pread == nvme_pread;
}

struct disk *medium_disk(struct diskmap_medium *medium)
{
    return &nvme_of(medium)->disk;
}

void medium_nvme_rest(struct diskmap_medium *medium)
{
    struct nvme_medium *m = nvme_of(medium);

    if (!m->resting)
        controller_qpair_put(m->disk.controller);
    m->resting = true;
}

void medium_nvme_close(struct diskmap_medium *medium)
{
    struct nvme_medium *m = nvme_of(medium);

    medium_nvme_rest(medium);
    disk_close(&m->disk);
    free(m);
}

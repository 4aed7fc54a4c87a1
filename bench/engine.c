// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine.c - what the engines share, and pread, which has little of its own.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES_UNKNOWN 4096 /* satisfies every disk there is */

const struct engine_ops *engine_find(const char *name)
{
    static const struct engine_ops *const all[] = {&engine_pread_ops, &engine_uring_ops,
                                                   &engine_nvme_ops};

    for (size_t i = 0; i < array_len(all); i++)
        if (!strcmp(all[i]->name, name))
            return all[i];
    return NULL;
}

static int check(const struct engine *e, char *why, size_t why_bytes)
{
    for (uint32_t i = 0; i < e->config.disk_count; i++) {
        const struct engine_disk *d = &e->disks[i];

        if (e->config.bytes % d->block_bytes || d->bytes < e->config.bytes) {
            snprintf(why, why_bytes,
                     "%.100s: it has %llu bytes in blocks of %u: read a multiple of these, and no "
                     "more than there is",
                     e->config.disks[i], (unsigned long long)d->bytes, d->block_bytes);
            return -EINVAL;
        }
    }
    return 0;
}

int engine_open(struct engine **out, const struct engine_ops *ops,
                const struct engine_config *config, char *why, size_t why_bytes)
{
    int rc;

    *out = NULL;
    if (!config->disk_count || config->disk_count > ENGINE_DISKS_MAX || !config->window ||
        config->window > min_u32(ops->window_max, ENGINE_WINDOW_MAX)) {
        snprintf(why, why_bytes, "%s reads 1 to %d disks with a window of 1 to %u", ops->name,
                 ENGINE_DISKS_MAX, min_u32(ops->window_max, ENGINE_WINDOW_MAX));
        return -EINVAL;
    }
    if (config->buffers_bytes > ENGINE_BUFFERS_MAX) {
        snprintf(why, why_bytes, "that needs %zu MiB of buffers, and %llu are the most",
                 config->buffers_bytes >> 20, ENGINE_BUFFERS_MAX >> 20);
        return -EINVAL;
    }
    rc = ops->open(out, config, why, why_bytes);
    if (rc)
        return rc;
    rc = check(*out, why, why_bytes);
    if (rc) {
        engine_close(*out);
        *out = NULL;
    }
    return rc;
}

void engine_close(struct engine *e)
{
    e->ops->close(e);
}

/* --- files ------------------------------------------------------------------------------------ */

static uint32_t direct_align(int fd, mode_t mode)
{
    struct statx st;
    int block_bytes;

    if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) && (st.stx_mask & STATX_DIOALIGN) &&
        st.stx_dio_offset_align)
        return max_u32(st.stx_dio_offset_align, st.stx_dio_mem_align);
    if (S_ISBLK(mode) && !ioctl(fd, BLKSSZGET, &block_bytes) && block_bytes > 0)
        return (uint32_t)block_bytes;
    return BLOCK_BYTES_UNKNOWN;
}

int engine_file_open(const char *path, struct engine_disk *out, char *why, size_t why_bytes)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    struct stat st;
    int rc = 0;

    if (fd < 0 || fstat(fd, &st))
        rc = -errno;
    else if (S_ISBLK(st.st_mode))
        rc = ioctl(fd, BLKGETSIZE64, &out->bytes) ? -errno : 0;
    else
        out->bytes = (uint64_t)st.st_size;
    if (rc) {
        snprintf(why, why_bytes, "%.150s: cannot be read around the page cache: %s", path,
                 strerror(-rc));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    out->block_bytes = direct_align(fd, st.st_mode);
    return fd;
}

/* --- pread ------------------------------------------------------------------------------------ */

struct pread_engine {
    struct engine pub;
    int fds[ENGINE_DISKS_MAX];
    struct engine_io *posted;
};

static struct pread_engine *pread_of(struct engine *e)
{
    return container_of(e, struct pread_engine, pub);
}

static void pread_close(struct engine *e)
{
    struct pread_engine *p = pread_of(e);

    for (uint32_t i = 0; i < e->config.disk_count; i++)
        if (p->fds[i] >= 0)
            close(p->fds[i]);
    if (e->arena)
        mem_arena_close(e->arena);
    free(p);
}

static int pread_open(struct engine **out, const struct engine_config *config, char *why,
                      size_t why_bytes)
{
    struct pread_engine *p = calloc(1, sizeof(*p));
    int rc = 0;

    snprintf(why, why_bytes, "not enough memory");
    if (!p)
        return -ENOMEM;
    p->pub = (struct engine){.ops = &engine_pread_ops, .config = *config};
    memset(p->fds, -1, sizeof(p->fds));
    for (uint32_t i = 0; rc >= 0 && i < config->disk_count; i++)
        rc = p->fds[i] = engine_file_open(config->disks[i], &p->pub.disks[i], why, why_bytes);
    if (rc >= 0)
        rc = mem_arena_open(&p->pub.arena, config->buffers_bytes, MEM_ARENA_HUGE);
    if (rc < 0) {
        pread_close(&p->pub);
        return rc;
    }
    *out = &p->pub;
    return 0;
}

static int pread_start(struct engine *e, void *buffers, size_t bytes)
{
    return 0;
}

static void pread_submit(struct engine *e, struct engine_io *io)
{
    assert(!pread_of(e)->posted);
    pread_of(e)->posted = io;
}

static uint32_t pread_reap(struct engine *e, struct engine_io **done, uint64_t now_ns)
{
    struct pread_engine *p = pread_of(e);
    struct engine_io *io = p->posted;
    ssize_t n;

    if (!io)
        return 0;
    do
        n = pread(p->fds[io->disk], io->buf, e->config.bytes, (off_t)io->off);
    while (n < 0 && errno == EINTR);
    io->error = n < 0 ? -errno : (size_t)n == e->config.bytes ? 0 : -EIO;
    p->posted = NULL;
    done[0] = io;
    return 1;
}

const struct engine_ops engine_pread_ops = {
    .name = "pread",
    .window_max = 1,
    .open = pread_open,
    .start = pread_start,
    .submit = pread_submit,
    .reap = pread_reap,
    .close = pread_close,
};

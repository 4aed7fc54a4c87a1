// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine_uring.c - io_uring as it is fastest without a thread of the kernel's own: O_DIRECT,
 * buffers, files and the ring itself registered, completions processed when they are asked for
 * (DEFER_TASKRUN).
 */
#include "engine.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct uring_engine {
    struct engine pub;
    struct io_uring ring;
    int fds[ENGINE_DISKS_MAX];
    uint32_t out; /* posted and not reaped */
    bool ring_open;
};

static struct uring_engine *uring_of(struct engine *e)
{
    return container_of(e, struct uring_engine, pub);
}

static void uring_close(struct engine *e)
{
    struct uring_engine *u = uring_of(e);

    if (u->ring_open)
        io_uring_queue_exit(&u->ring);
    for (uint32_t i = 0; i < e->config.disk_count; i++)
        if (u->fds[i] >= 0)
            close(u->fds[i]);
    if (e->arena)
        mem_arena_close(e->arena);
    free(u);
}

/* Linux 6.1 or later, as a measurement of io_uring at its best needs. */
static int ring_open(struct uring_engine *u, char *why, size_t why_bytes)
{
    unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int rc = io_uring_queue_init(u->pub.config.window, &u->ring, flags);

    u->ring_open = rc == 0;
    if (!rc)
        rc = io_uring_register_files(&u->ring, u->fds, u->pub.config.disk_count);
    if (!rc && io_uring_register_ring_fd(&u->ring) != 1)
        rc = -ENOTSUP;
    if (rc)
        snprintf(why, why_bytes, "io_uring (of Linux 6.1 or later) is not to be had: %s",
                 strerror(-rc));
    return rc;
}

static int uring_open(struct engine **out, const struct engine_config *config, char *why,
                      size_t why_bytes)
{
    struct uring_engine *u = calloc(1, sizeof(*u));
    int rc = 0;

    snprintf(why, why_bytes, "not enough memory");
    if (!u)
        return -ENOMEM;
    u->pub = (struct engine){.ops = &engine_uring_ops, .config = *config};
    memset(u->fds, -1, sizeof(u->fds));
    for (uint32_t i = 0; rc >= 0 && i < config->disk_count; i++)
        rc = u->fds[i] = engine_file_open(config->disks[i], &u->pub.disks[i], why, why_bytes);
    if (rc >= 0)
        rc = mem_arena_open(&u->pub.arena, config->buffers_bytes, MEM_ARENA_HUGE);
    if (rc >= 0)
        rc = ring_open(u, why, why_bytes);
    if (rc < 0) {
        uring_close(&u->pub);
        return rc;
    }
    *out = &u->pub;
    return 0;
}

static int uring_start(struct engine *e, void *buffers, size_t bytes)
{
    struct iovec all = {.iov_base = buffers, .iov_len = bytes};

    return io_uring_register_buffers(&uring_of(e)->ring, &all, 1);
}

static void uring_submit(struct engine *e, struct engine_io *io)
{
    struct uring_engine *u = uring_of(e);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    assert(sqe); // there is one for each read of the window
    io_uring_prep_read_fixed(sqe, (int)io->disk, io->buf, e->config.bytes, io->off, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, io);
    u->out++;
}

static uint32_t uring_reap(struct engine *e, struct engine_io **done, uint64_t now_ns)
{
    struct uring_engine *u = uring_of(e);
    struct io_uring_cqe *cqe;
    uint32_t count = 0;
    unsigned head;

    // -EINTR, -EAGAIN: what was not taken stays in the ring for the next time.
    if (e->config.sleep && u->out)
        (void)io_uring_submit_and_wait(&u->ring, 1);
    else
        (void)io_uring_submit_and_get_events(&u->ring);
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        struct engine_io *io = io_uring_cqe_get_data(cqe);

        io->error = cqe->res < 0 ? cqe->res : (uint32_t)cqe->res == e->config.bytes ? 0 : -EIO;
        done[count++] = io;
    }
    io_uring_cq_advance(&u->ring, count);
    u->out -= count;
    return count;
}

const struct engine_ops engine_uring_ops = {
    .name = "io_uring",
    .window_max = ENGINE_WINDOW_MAX,
    .open = uring_open,
    .start = uring_start,
    .submit = uring_submit,
    .reap = uring_reap,
    .close = uring_close,
};

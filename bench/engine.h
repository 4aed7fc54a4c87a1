// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine.h - one thread's way to read disks, for programs that measure: pread, io_uring or libnvme.
 *
 *     engine_open    opens disks; memory that they can read into is in engine->arena
 *     engine_start   says where in it all buffers lie
 *     engine_submit  posts a read; the engine holds it, and its buffer
 *     engine_reap    rings for all that was posted, and returns reads that are done, in any order
 *
 * All three are used in the way that is good for them and with the same meaning: nothing is cached
 * (O_DIRECT), a read that was posted is out until it is reaped, and at most `window` are out.
 *
 *     pread     one read at a time, and the thread sleeps in it: `window` is 1
 *     io_uring  buffers, files and the ring registered; one system call posts and reaps
 *     libnvme   queue pairs of this process: vfio:BDF, diskmap:NAME, or sim:PATH, a controller in
 *               software within this process, which reads through the page cache
 *
 * Reads are spread over the disks by the caller. engine_reap polls, unless `sleep` says that it may
 * wait for an interrupt; pread always does.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include "base/base.h"
#include "mem/mem.h"

#include <time.h>

#define ENGINE_DISKS_MAX  16
#define ENGINE_WINDOW_MAX 4096
/* The kernel registers no larger buffer. */
#define ENGINE_BUFFERS_MAX (1ull << 30)

struct engine;

struct engine_io {
    uint32_t disk;
    uint32_t slot;         /* 0 to window - 1: of the reads that are out, no two have the same */
    uint64_t off;          /* a multiple of config.bytes */
    uint8_t *buf;          /* config.bytes long, aligned to a page */
    uint64_t posted_ns;    /* the caller's */
    int error;             /* when reaped: 0 or -errno */
    struct engine *engine; /* private: */
};

struct engine_config {
    char *const *disks;
    uint32_t disk_count;
    uint32_t window;
    uint32_t bytes;       /* of every read */
    size_t buffers_bytes; /* what the caller takes from the arena */
    bool sleep;
};

struct engine_disk {
    uint64_t bytes;
    uint32_t block_bytes; /* granularity of reads */
};

struct engine_ops {
    const char *name;
    uint32_t window_max;
    int (*open)(struct engine **out, const struct engine_config *config, char *why,
                size_t why_bytes);
    int (*start)(struct engine *e, void *buffers, size_t bytes);
    void (*submit)(struct engine *e, struct engine_io *io);
    uint32_t (*reap)(struct engine *e, struct engine_io **done, uint64_t now_ns);
    void (*close)(struct engine *e);
};

struct engine {
    const struct engine_ops *ops;
    struct engine_config config;
    struct mem_arena *arena;
    struct engine_disk disks[ENGINE_DISKS_MAX];
};

extern const struct engine_ops engine_pread_ops, engine_uring_ops, engine_nvme_ops;

/* By name; NULL: there is none. */
const struct engine_ops *engine_find(const char *name);
/* 0, or -errno with *out == NULL and `why` in words. */
must_check int engine_open(struct engine **out, const struct engine_ops *ops,
                           const struct engine_config *config, char *why, size_t why_bytes);
/* Nothing may be out. */
void engine_close(struct engine *e);

static inline int engine_start(struct engine *e, void *buffers, size_t bytes)
{
    return e->ops->start(e, buffers, bytes);
}

static inline void engine_submit(struct engine *e, struct engine_io *io)
{
    e->ops->submit(e, io);
}

/* `done` has room for the window. */
static inline uint32_t engine_reap(struct engine *e, struct engine_io **done, uint64_t now_ns)
{
    return e->ops->reap(e, done, now_ns);
}

/* --- for engines ------------------------------------------------------------------------------ */

/* A file or block device that is read around the page cache: the descriptor or -errno, and why. */
int engine_file_open(const char *path, struct engine_disk *out, char *why, size_t why_bytes);

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif

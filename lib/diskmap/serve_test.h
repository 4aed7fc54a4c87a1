// SPDX-License-Identifier: BSD-2-Clause
/*
 * serve_test.h - for tests of serving: a directory for files, volumes in it, a worker with buffers.
 */
#ifndef DISKMAP_SERVE_TEST_H
#define DISKMAP_SERVE_TEST_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory_test.h"
#include "priv.h"

#define TEST_BUFFER_BYTES (128u << 10)
#define TEST_BUFFERS      64
#define TEST_ARENAS       8
#define TEST_ARENA_BYTES  (TEST_BUFFER_BYTES * TEST_BUFFERS + (16u << 20))

struct worker {
    char dir[64];
    struct mem_arena *arena; /* the last one's; all of them live until the disks are closed */
    struct mem_arena *arenas[TEST_ARENAS];
    uint32_t arena_count;
    uint8_t *buffers;
    struct diskmap_disks *disks;
    struct diskmap_set *set;
    struct diskmap *dm;
    /* The disks', which nobody moves but who waits or says what time it is. */
    uint64_t clock_ns;
    uint64_t *clock;   /* this one's own or another worker's */
    uint64_t begun_ns; /* when the diskmap was opened */
    bool told_to_end;
    char why[256];
};

static inline uint64_t worker_now(void *arg)
{
    return __atomic_load_n(((const struct worker *)arg)->clock, __ATOMIC_RELAXED);
}

static inline void worker_move(struct worker *w, uint64_t to_ns)
{
    uint64_t now_ns = worker_now(w);

    while (now_ns < to_ns && !__atomic_compare_exchange_n(w->clock, &now_ns, to_ns, true,
                                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static inline bool worker_wait(void *arg, int fd, uint64_t until_ns)
{
    struct worker *w = arg;

    assert_true(until_ns != UINT64_MAX || fd >= 0);
    if (until_ns != UINT64_MAX)
        worker_move(w, max_u64(worker_now(w) + 1, until_ns));
    return !w->told_to_end;
}

/* `ns` after the diskmap was opened. */
static inline uint64_t worker_at(struct worker *w, uint64_t ns)
{
    worker_move(w, w->begun_ns + ns);
    return worker_now(w);
}

static inline void worker_dir(struct worker *w)
{
    struct diskmap_disks_config disks = {
        .now_ns = worker_now, .wait = worker_wait, .arg = w, .workers = 2};

    *w = (struct worker){.clock_ns = NS_PER_S, .clock = &w->clock_ns};
    snprintf(w->dir, sizeof(w->dir), "diskmap-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(diskmap_disks_open(&w->disks, &disks), 0);
}

/* "/NAME" in the directory; valid until the next four calls. */
static inline const char *worker_path(const struct worker *w, const char *name)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", w->dir, name);
    return path;
}

static inline void worker_file(const struct worker *w, const char *name, uint64_t seed,
                               uint64_t bytes)
{
    FILE *file = fopen(worker_path(w, name), "w");

    assert_non_null(file);
    for (uint64_t i = 0; i < bytes; i++)
        fputc(pattern_at(seed, i), file);
    assert_int_equal(fclose(file), 0);
}

/* Objects /0, /1, ... with their number + 1 as seed. */
static inline void worker_volume(struct worker *w, const char *name, const uint64_t *bytes,
                                 size_t count, uint64_t seed)
{
    struct diskmap_medium *medium;
    struct diskmap_volume *v;
    char path[32];

    assert_int_equal(
        diskmap_medium_open(&medium, NULL, worker_path(w, name), true, true, w->why, 256), 0);
    assert_int_equal(diskmap_volume_create(&v, medium, w->why, 256), 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "/%zu", i);
        assert_int_equal(pattern_add(v, path, seed + i, bytes[i]), 0);
    }
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    diskmap_medium_close(medium);
}

static inline void worker_open(struct worker *w, uint32_t depth,
                               const struct diskmap_fault_config *fault)
{
    struct diskmap_config config = {.depth = depth, .fault = fault};

    w->begun_ns = worker_now(w);
    assert_int_equal(diskmap_set_arena(w->set, TEST_ARENA_BYTES, &w->arena, w->why, 256), 0);
    if (!w->arena)
        assert_int_equal(mem_arena_open(&w->arena, TEST_ARENA_BYTES, 0), 0);
    assert_true(w->arena_count < TEST_ARENAS);
    w->arenas[w->arena_count++] = w->arena;
    config.arena = w->arena;
    config.buffers_bytes = TEST_BUFFER_BYTES * TEST_BUFFERS;
    w->buffers = config.buffers = mem_arena_alloc(w->arena, config.buffers_bytes, PAGE_BYTES);
    assert_non_null(w->buffers);
    if (diskmap_open(&w->dm, w->set, &config, w->why, sizeof(w->why)))
        fail_msg("%s", w->why);
}

static inline void worker_close(struct worker *w)
{
    diskmap_close(w->dm);
    w->dm = NULL;
}

static inline void worker_end(struct worker *w)
{
    char command[128];

    if (w->dm)
        worker_close(w);
    if (w->set)
        diskmap_set_close(w->set);
    diskmap_disks_close(w->disks);
    for (uint32_t i = 0; i < w->arena_count; i++)
        mem_arena_close(w->arenas[i]);
    snprintf(command, sizeof(command), "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

/* Waits for what is in flight: really, for there is a disk, and in the time that the faults and the
 * controllers in software see. */
static inline uint32_t worker_reap(struct worker *w, struct diskmap_read **done, uint32_t want,
                                   uint64_t now_ns)
{
    uint32_t count = 0;

    for (int i = 0; i < 100000 && count < want; i++, now_ns += 1000) {
        count += diskmap_reap(w->dm, done + count, want - count, worker_at(w, now_ns));
        if (count < want && diskmap_next_ns(w->dm) == UINT64_MAX)
            usleep(50);
    }
    return count;
}

/* One read, from posted to back: its result. */
static inline int worker_read(struct worker *w, const struct diskmap_object *o, uint64_t off,
                              uint32_t len, uint8_t **bytes)
{
    struct diskmap_read read = {.object = o, .off = off, .len = len, .buf = w->buffers}, *done;

    diskmap_read(w->dm, &read, worker_at(w, 0));
    diskmap_kick(w->dm, worker_at(w, 0));
    assert_int_equal(worker_reap(w, &done, 1, 1), 1);
    assert_ptr_equal(done, &read);
    if (bytes)
        *bytes = read.buf + diskmap_skew(o, off);
    return read.result;
}

static inline bool bytes_match(const uint8_t *bytes, uint64_t seed, uint64_t off, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        if (bytes[i] != pattern_at(seed, off + i))
            return false;
    }
    return true;
}

#endif

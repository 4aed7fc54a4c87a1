// SPDX-License-Identifier: BSD-2-Clause
/*
 * dev_uring.c - files and block devices through io_uring.
 *
 * The buffers are registered once, so that the kernel need not look up and pin their pages for
 * every read, and so are the files. Completions are made to wait for us (DEFER_TASKRUN): the kernel
 * does its part of a read when we ask for results, not in the middle of something else.
 */
#include <errno.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "priv.h"

/*
 * The kernel takes buffers of at most 1 GiB. A larger region becomes several that overlap, so that
 * every read of at most PART_OVERLAP_BYTES lies wholly in one of them; longer ones go unregistered.
 */
#define PART_BYTES         (1ull << 30)
#define PART_OVERLAP_BYTES (2ull << 20)
#define PART_STEP_BYTES    (PART_BYTES - PART_OVERLAP_BYTES)
#define PARTS_MAX          1024 /* of the kernel's 16384: a terabyte */
#define PART_NONE          UINT32_MAX

#define SLOTS_MIN          64 /* fewer registered files are not worth the bother */

struct tracker {
    struct diskmap_read *read;
    uint32_t got;  /* bytes, when the kernel returned fewer than it was asked for */
    uint32_t next; /* free list */
};

struct uring {
    struct device dev;
    struct io_uring ring;
    struct tracker *trackers;
    uint32_t free_first;
    uint32_t inflight;
    uint32_t posted; /* not taken by the kernel yet */
    bool refused;    /* by the kernel, at the last doorbell: ring again */
    bool running;    /* the ring is enabled, by the thread that uses it */
    bool armed;      /* completions signal event_fd */
    int event_fd;
    bool files_registered;
    uint32_t parts; /* registered buffers; 0: none */
    const uint8_t *buffers;
    size_t buffers_bytes;
    int *fds; /* by slot, when files are not registered */
    // Needed at the end only.
    bool ring_open;
};

#define TRACKER_NONE UINT32_MAX

static struct uring *uring_of(struct device *dev)
{
    return container_of(dev, struct uring, dev);
}

/* --- posting ---------------------------------------------------------------------------------- */

/* The registered part that holds all of [buf, buf + bytes). */
static uint32_t part_of(const struct uring *u, const uint8_t *buf, uint32_t bytes)
{
    uint64_t off = (uint64_t)(buf - u->buffers);
    uint64_t part = off / PART_STEP_BYTES;
    uint64_t start;

    if (!u->parts)
        return PART_NONE;
    part = min_u64(part, u->parts - 1);
    start = part * PART_STEP_BYTES;
    return off + bytes <= min_u64(start + PART_BYTES, u->buffers_bytes) ? (uint32_t)part
                                                                        : PART_NONE;
}

static void uring_post(struct uring *u, uint32_t index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    struct tracker *t = &u->trackers[index];
    struct diskmap_read *read = t->read;
    const struct object *o = object_of(read->object);
    uint32_t bytes = diskmap_span(read->object, read->off, read->len) - t->got;
    uint64_t from = o->base + align_down(read->off, o->pub.align) + t->got;
    uint8_t *buf = read->buf + t->got;
    uint32_t part = part_of(u, buf, bytes);
    int fd = u->files_registered ? (int)o->slot : u->fds[o->slot];

    // The ring has an entry for every tracker, and each tracker has one read posted at most.
    assert(sqe);
    if (part != PART_NONE)
        io_uring_prep_read_fixed(sqe, fd, buf, bytes, from, (int)part);
    else
        io_uring_prep_read(sqe, fd, buf, bytes, from);
    if (u->files_registered)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, index);
    u->posted++;
}

static void uring_read(struct device *dev, struct diskmap_read *read, uint64_t now_ns)
{
    struct uring *u = uring_of(dev);
    uint32_t index = u->free_first;

    assert(index != TRACKER_NONE);
    assert(read->buf >= u->buffers &&
           (size_t)(read->buf - u->buffers) + diskmap_span(read->object, read->off, read->len) <=
               u->buffers_bytes);
    u->free_first = u->trackers[index].next;
    u->trackers[index] = (struct tracker){.read = read};
    u->inflight++;
    uring_post(u, index);
}

/* The ring belongs to the thread that enables it: the one that reads, which may not be the one that
 * opened it. Asked of the kernel directly, since liburing 2.3 forgot to export the call. It fails
 * only for a ring that was enabled from the start. */
static void uring_run(struct uring *u)
{
    if (!u->running)
        (void)syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
                      0);
    u->running = true;
}

static bool uring_kick(struct device *dev, uint64_t now_ns)
{
    struct uring *u = uring_of(dev);
    int n;

    if (!u->posted)
        return false;
    uring_run(u);
    // What the kernel does not take now (-EAGAIN, -EBUSY) stays in the ring for the next time.
    n = io_uring_submit(&u->ring);
    if (n > 0)
        u->posted -= min_u32((uint32_t)n, u->posted);
    u->refused = u->posted > 0;
    return n > 0;
}

/* --- reaping ---------------------------------------------------------------------------------- */

/* What became of a read: true when it is over. */
static bool read_is_over(struct tracker *t, int res)
{
    struct diskmap_read *read = t->read;
    uint32_t align = read->object->align;

    if (res == -EAGAIN || res == -EINTR)
        return false;
    if (res < 0) {
        read->result = res;
        return true;
    }
    t->got += (uint32_t)res;
    if (t->got >= diskmap_skew(read->object, read->off) + read->len)
        return true;
    // Short, though these bytes were in the file when it was opened. The middle of a block is the
    // end of the file; anywhere else the kernel may just have stopped.
    if (res > 0 && (t->got & (align - 1)) == 0)
        return false;
    read->result = -EIO;
    return true;
}

/* The next result, or false. */
static bool uring_result(struct uring *u, uint32_t *index, int *res)
{
    struct io_uring_cqe *cqe;

    if (u->inflight == u->posted || io_uring_peek_cqe(&u->ring, &cqe))
        return false;
    *index = (uint32_t)io_uring_cqe_get_data64(cqe);
    *res = cqe->res;
    io_uring_cqe_seen(&u->ring, cqe);
    return true;
}

/*
 * A ring whose completions wait for their own thread (DEFER_TASKRUN) does not wake that thread when
 * it polls the ring's descriptor; an eventfd does. It is armed just before a sleep, so that a busy
 * worker pays nothing for it. What completed before counts too: the kernel's flags are read after
 * the eventfd was enabled.
 */
static int uring_fd(struct device *dev)
{
    struct uring *u = uring_of(dev);
    uint64_t one = 1;

    if (!u->armed)
        (void)io_uring_cq_eventfd_toggle(&u->ring, true);
    u->armed = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((io_uring_cq_ready(&u->ring) > 0 || (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
                                             (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) &&
        write(u->event_fd, &one, sizeof(one)) < 0)
        return u->event_fd; // the counter is full, which wakes as well
    return u->event_fd;
}

static void uring_disarm(struct uring *u)
{
    uint64_t count;

    u->armed = false;
    (void)io_uring_cq_eventfd_toggle(&u->ring, false);
    if (read(u->event_fd, &count, sizeof(count)) < 0)
        return; // nothing had happened
}

static uint32_t uring_reap(struct device *dev, struct diskmap_read **done, uint32_t max,
                           uint64_t now_ns)
{
    struct uring *u = uring_of(dev);
    uint32_t count = 0, index;
    int res;
    bool again = u->refused;

    if (u->armed)
        uring_disarm(u);
    while (count < max && uring_result(u, &index, &res)) {
        struct tracker *t = &u->trackers[index];

        if (!read_is_over(t, res)) {
            uring_post(u, index);
            again = true;
            continue;
        }
        done[count++] = t->read;
        t->read = NULL;
        t->next = u->free_first;
        u->free_first = index;
        u->inflight--;
    }
    if (again)
        uring_kick(dev, now_ns);
    return count;
}

static uint64_t uring_next_ns(const struct device *dev)
{
    return container_of(dev, const struct uring, dev)->refused ? 0 : UINT64_MAX;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static int uring_slot_set(struct device *dev, uint32_t slot, int fd)
{
    struct uring *u = uring_of(dev);
    int n;

    assert(slot < dev->slots);
    if (!u->files_registered) {
        if (u->fds[slot] >= 0)
            close(u->fds[slot]);
        u->fds[slot] = fd;
        return 0;
    }
    n = io_uring_register_files_update(&u->ring, slot, &fd, 1);
    // The ring has its own reference now.
    if (fd >= 0)
        close(fd);
    return n < 0 ? n : 0;
}

static void uring_close(struct device *dev)
{
    struct uring *u = uring_of(dev);
    struct io_uring_cqe *cqe;

    while (u->ring_open && u->inflight > u->posted) {
        int rc = io_uring_wait_cqe(&u->ring, &cqe);

        if (rc == -EINTR)
            continue;
        if (rc)
            break;
        io_uring_cqe_seen(&u->ring, cqe);
        u->inflight--;
    }
    if (u->ring_open)
        io_uring_queue_exit(&u->ring);
    if (u->event_fd >= 0)
        close(u->event_fd);
    for (uint32_t i = 0; u->fds && i < u->dev.slots; i++) {
        if (u->fds[i] >= 0)
            close(u->fds[i]);
    }
}

static const struct device_ops uring_ops = {
    .read = uring_read,
    .kick = uring_kick,
    .reap = uring_reap,
    .fd = uring_fd,
    .next_ns = uring_next_ns,
    .slot_set = uring_slot_set,
    .close = uring_close,
};

static int event_open(struct uring *u)
{
    int rc;

    u->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (u->event_fd < 0)
        return -errno;
    rc = io_uring_register_eventfd(&u->ring, u->event_fd);
    if (rc == 0)
        rc = io_uring_cq_eventfd_toggle(&u->ring, false);
    return rc;
}

/* The best that this kernel has: 6.1, then 5.19, then any. */
static int ring_open(struct uring *u, uint32_t depth)
{
    static const unsigned wishes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int rc = -EINVAL;

    u->event_fd = -1;
    for (size_t i = 0; i < array_len(wishes) && rc == -EINVAL; i++)
        rc = io_uring_queue_init(depth, &u->ring, wishes[i]);
    u->ring_open = rc == 0;
    if (rc == 0)
        rc = event_open(u);
    return rc;
}

static bool buffers_register(struct uring *u)
{
    struct iovec parts[PARTS_MAX];
    uint64_t count = 1;

    if (u->buffers_bytes > PART_BYTES)
        count += (u->buffers_bytes - PART_BYTES + PART_STEP_BYTES - 1) / PART_STEP_BYTES;
    if (!u->buffers_bytes || count > PARTS_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t start = i * PART_STEP_BYTES;

        parts[i].iov_base = (void *)(uintptr_t)(u->buffers + start);
        parts[i].iov_len = min_u64(PART_BYTES, u->buffers_bytes - start);
    }
    // -ENOMEM where locked memory is limited: everything works without, only slower.
    if (io_uring_register_buffers(&u->ring, parts, (unsigned)count))
        return false;
    u->parts = (uint32_t)count;
    return true;
}

/* The kernel grants as many registered files as the process may have open. */
static int files_register(struct uring *u, struct mem_arena *arena, uint32_t slots)
{
    uint32_t count = slots;
    int rc;

    while ((rc = io_uring_register_files_sparse(&u->ring, count)) == -EMFILE && count > SLOTS_MIN)
        count /= 2;
    if (!rc) {
        u->files_registered = true;
        u->dev.slots = count;
        return 0;
    }
    u->fds = mem_arena_alloc(arena, slots * sizeof(*u->fds), CACHE_LINE);
    if (!u->fds)
        return -ENOMEM;
    for (uint32_t i = 0; i < slots; i++)
        u->fds[i] = -1;
    u->dev.slots = slots;
    return 0;
}

int uring_open(struct device **out, const struct diskmap_config *config, uint32_t slots,
               bool *registered)
{
    struct uring *u = mem_arena_alloc(config->arena, sizeof(*u), CACHE_LINE);
    int rc;

    if (!u)
        return -ENOMEM;
    u->dev.ops = &uring_ops;
    u->buffers = config->buffers;
    u->buffers_bytes = config->buffers_bytes;
    u->trackers = mem_arena_alloc(config->arena, config->depth * sizeof(*u->trackers), CACHE_LINE);
    if (!u->trackers)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->depth; i++)
        u->trackers[i].next = i + 1 < config->depth ? i + 1 : TRACKER_NONE;
    rc = ring_open(u, config->depth);
    if (rc)
        return rc;
    rc = files_register(u, config->arena, slots);
    if (rc) {
        uring_close(&u->dev);
        return rc;
    }
    *registered = buffers_register(u);
    *out = &u->dev;
    return 0;
}

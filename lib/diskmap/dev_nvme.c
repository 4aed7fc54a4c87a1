// SPDX-License-Identifier: BSD-2-Clause
/*
 * dev_nvme.c - volumes on NVMe disks: a worker's queue pair on each of their controllers.
 *
 * A lane is one such queue pair. Reads go to the lane of their volume's disk and come back in the
 * callback, which puts them on a list for the next reap. Several disks are read at once because a
 * doorbell is rung on every lane before anything is waited for.
 *
 * A controller that is lost, or a namespace that disappeared, fails its reads; the other lanes go
 * on. The worker that notices first has something to tell the operator (nvme_device_news).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "disks.h"
#include "priv.h"

#define NEWS_BYTES 512

struct lane {
    struct controller *controller;
    struct nvme_qpair *qpair;
    int fd;      /* readable after an interrupt, or -1 */
    bool polled; /* nothing but looking tells when a read is back */
};

struct slot {
    struct lane *lane;
    struct disk *disk;
};

struct tracker {
    struct iohdesc io;
    struct diskmap_read *read;
    struct tracker *next; /* free */
    struct slot *slot;
};

struct nvme {
    struct device dev;
    struct lane *lanes;
    uint32_t lane_count;
    uint32_t first; /* the lane that is looked at first, by turns */
    struct slot *slots_by_volume;
    struct tracker *free;
    struct diskmap_read *done_first, *done_last;
    uint32_t lost;
    /* --- cold --- */
    int wait_fd;  /* the only lane's, or an epoll descriptor over all of them; -1: none has one */
    int ready_fd; /* always readable: there is something already */
    bool epoll;
    char news[NEWS_BYTES];
};

static struct nvme *nvme_of(struct device *dev)
{
    return container_of(dev, struct nvme, dev);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void done_push(struct nvme *n, struct diskmap_read *read, int result)
{
    read->result = result;
    read->next = NULL;
    if (n->done_first)
        n->done_last->next = read;
    else
        n->done_first = read;
    n->done_last = read;
}

/* Only the first who says so adds to the news. */
static void news_add(struct nvme *n, bool *told, const char *name, const char *what)
{
    size_t used = strlen(n->news);

    if (__atomic_exchange_n(told, true, __ATOMIC_RELAXED))
        return;
    snprintf(n->news + used, sizeof(n->news) - used,
             "%s%.120s: %s: what lies on it is not served "
             "any more",
             used ? "; " : "", name, what);
    n->lost++;
}

static void read_failed(struct nvme *n, const struct tracker *t, int error)
{
    char what[64];

    if (error != -ENXIO)
        return;
    snprintf(what, sizeof(what), "namespace %u disappeared", t->slot->disk->ns_id);
    news_add(n, &t->slot->disk->gone, t->slot->disk->controller->name, what);
}

static void read_ended(struct iohdesc *io, int error)
{
    struct tracker *t = container_of(io, struct tracker, io);
    struct nvme *n = io->arg;

    if (unlikely(error))
        read_failed(n, t, error);
    done_push(n, t->read, error);
    t->next = n->free;
    n->free = t;
}

static void nvme_device_read(struct device *dev, struct diskmap_read *read, uint64_t now_ns)
{
    struct nvme *n = nvme_of(dev);
    const struct object *o = object_of(read->object);
    struct slot *slot = &n->slots_by_volume[o->slot];
    uint64_t from = o->base + align_down(read->off, o->pub.align);
    uint32_t bytes = diskmap_span(read->object, read->off, read->len);
    struct tracker *t = n->free;
    int error;

    assert(t && slot->lane);
    n->free = t->next;
    t->read = read;
    t->slot = slot;
    t->io = (struct iohdesc){.ioqp = slot->lane->qpair,
                             .ns_id = slot->disk->ns_id,
                             .lba = from >> slot->disk->block_shift,
                             .lba_count = bytes >> slot->disk->block_shift,
                             .buf = read->buf,
                             .op_complete = read_ended,
                             .arg = n};
    error = nvme_read(&t->io);
    // Refused at once, because the disk is lost: it comes back like the others.
    if (unlikely(error))
        read_ended(&t->io, error);
}

static bool nvme_device_kick(struct device *dev, uint64_t now_ns)
{
    struct nvme *n = nvme_of(dev);
    bool rang = false;

    for (uint32_t i = 0; i < n->lane_count; i++)
        rang |= nvme_sqsync(n->lanes[i].qpair);
    return rang;
}

static void lane_turn(struct nvme *n, struct lane *lane, uint32_t max, uint64_t now_ns)
{
    struct controller *c = lane->controller;

    if (unlikely(nvme_ctrlr_turn(c->ctrlr, now_ns) == NVME_DEAD) &&
        !__atomic_load_n(&c->lost, __ATOMIC_RELAXED))
        news_add(n, &c->lost, c->name, nvme_ctrlr_why(c->ctrlr));
    if (nvme_consume_completions(lane->qpair, max))
        nvme_cqsync(lane->qpair);
    // What had found the queue full, or not there yet, has been posted.
    nvme_sqsync(lane->qpair);
}

static uint32_t nvme_device_reap(struct device *dev, struct diskmap_read **done, uint32_t max,
                                 uint64_t now_ns)
{
    struct nvme *n = nvme_of(dev);
    uint32_t count = 0;

    for (uint32_t i = 0; i < n->lane_count; i++)
        lane_turn(n, &n->lanes[(n->first + i) % n->lane_count], max, now_ns);
    n->first = (n->first + 1) % n->lane_count;
    while (count < max && n->done_first) {
        done[count++] = n->done_first;
        n->done_first = n->done_first->next;
    }
    return count;
}

/* --- sleeping --------------------------------------------------------------------------------- */

/* The descriptor of a queue pair that is lost may be readable for good. */
static void lane_leave(struct nvme *n, struct lane *lane)
{
    if (n->epoll)
        (void)epoll_ctl(n->wait_fd, EPOLL_CTL_DEL, lane->fd, NULL);
    else
        n->wait_fd = -1;
    lane->fd = -1;
}

/*
 * Interrupts that have been are forgotten first and completions are looked for then: whatever comes
 * after that look makes the descriptor readable again. The look is needed without any, too: another
 * worker's turn may have made the queues, or lost them, and it posts or ends what waited for them.
 */
static int nvme_device_fd(struct device *dev)
{
    struct nvme *n = nvme_of(dev);
    uint64_t count;

    for (uint32_t i = 0; i < n->lane_count; i++) {
        struct lane *lane = &n->lanes[i];

        if (lane->fd >= 0 && read(lane->fd, &count, sizeof(count)) < 0)
            count = 0; // nothing had been
        if (nvme_peek_completions(lane->qpair) || nvme_sqsync(lane->qpair) ||
            nvme_ctrlr_next_ns(lane->controller->ctrlr) == 0)
            return n->ready_fd;
        if (unlikely(lane->fd >= 0 && nvme_fd(lane->qpair) < 0))
            lane_leave(n, lane);
    }
    return n->done_first ? n->ready_fd : n->wait_fd;
}

static uint64_t nvme_device_next_ns(const struct device *dev)
{
    const struct nvme *n = container_of(dev, const struct nvme, dev);
    uint64_t next = UINT64_MAX;

    if (n->done_first)
        return 0;
    for (uint32_t i = 0; i < n->lane_count; i++) {
        const struct lane *lane = &n->lanes[i];
        const struct nvme_ctrlr *ctrlr = lane->controller->ctrlr;

        // What a turn of others does is seen by the time or by the look; and the look may find
        // something for the next turn.
        next = min_u64(next, nvme_ctrlr_next_ns(ctrlr));
        if (nvme_peek_completions(lane->qpair) || (lane->polled && nvme_outstanding(lane->qpair)))
            return 0;
        next = min_u64(next, nvme_ctrlr_next_ns(ctrlr));
    }
    return next;
}

static int wait_open(struct nvme *n)
{
    n->ready_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    if (n->ready_fd < 0)
        return -errno;
    if (n->lane_count == 1) {
        n->wait_fd = n->lanes[0].fd;
        return 0;
    }
    n->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (n->wait_fd < 0)
        return -errno;
    n->epoll = true;
    for (uint32_t i = 0; i < n->lane_count; i++) {
        struct epoll_event event = {.events = EPOLLIN};

        if (n->lanes[i].fd >= 0 && epoll_ctl(n->wait_fd, EPOLL_CTL_ADD, n->lanes[i].fd, &event))
            return -errno;
    }
    return 0;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static int nvme_device_slot_set(struct device *dev, uint32_t slot, int fd)
{
    return -EINVAL;
}

/* Every request ends, if need be because the controller is reset or cut off. */
static void nvme_device_close(struct device *dev)
{
    struct nvme *n = nvme_of(dev);

    for (uint32_t i = 0; i < n->lane_count; i++) {
        struct lane *lane = &n->lanes[i];

        if (!lane->qpair)
            continue;
        while (nvme_outstanding(lane->qpair)) {
            nvme_sqsync(lane->qpair);
            if (!nvme_consume_completions(lane->qpair, NVME_DEPTH_MAX))
                controller_wait(lane->controller, lane->qpair);
            nvme_cqsync(lane->qpair);
        }
        controller_qpair_close(lane->controller, lane->qpair);
    }
    if (n->epoll)
        close(n->wait_fd);
    if (n->ready_fd >= 0)
        close(n->ready_fd);
}

static const struct device_ops nvme_ops = {
    .read = nvme_device_read,
    .kick = nvme_device_kick,
    .reap = nvme_device_reap,
    .fd = nvme_device_fd,
    .next_ns = nvme_device_next_ns,
    .slot_set = nvme_device_slot_set,
    .close = nvme_device_close,
};

static struct lane *lane_get(struct nvme *n, struct controller *c)
{
    struct lane *lane = n->lanes;

    while (lane < n->lanes + n->lane_count && lane->controller != c)
        lane++;
    if (lane == n->lanes + n->lane_count) {
        lane->controller = c;
        n->lane_count++;
    }
    return lane;
}

static int lanes_open(struct nvme *n, const struct diskmap_set *set,
                      const struct diskmap_config *config, char *why, size_t why_bytes)
{
    int rc = 0;

    for (uint32_t i = 0; !rc && i < set->volume_count; i++) {
        struct slot *slot = &n->slots_by_volume[i];
        struct lane *lane;

        if (!set->volumes[i].disk)
            continue;
        slot->disk = set->volumes[i].disk;
        slot->lane = lane = lane_get(n, slot->disk->controller);
        if (lane->qpair)
            continue;
        rc = controller_qpair_open(lane->controller, config->arena, &lane->qpair, why, why_bytes);
        if (rc)
            return rc;
        lane->fd = nvme_fd(lane->qpair);
        lane->polled = lane->fd < 0 && !lane->controller->own_time;
    }
    return rc;
}

int nvme_device_wait_fd(const struct device *dev)
{
    return container_of(dev, const struct nvme, dev)->wait_fd;
}

uint32_t nvme_device_lost(const struct device *dev)
{
    return container_of(dev, const struct nvme, dev)->lost;
}

bool nvme_device_news(struct device *dev, char *text, size_t bytes)
{
    struct nvme *n = nvme_of(dev);

    if (likely(!n->news[0]))
        return false;
    snprintf(text, bytes, "%s", n->news);
    n->news[0] = '\0';
    return true;
}

size_t nvme_device_bytes(const struct diskmap_set *set, uint32_t depth)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < set->volume_count; i++)
        if (set->volumes[i].disk)
            bytes += DISK_QPAIR_BYTES(disks_depth(set->volumes[i].disk->controller->disks));
    if (!bytes)
        return 0;
    return bytes + sizeof(struct nvme) + depth * sizeof(struct tracker) +
           set->volume_count * (sizeof(struct lane) + sizeof(struct slot)) + 4 * CACHE_LINE;
}

int nvme_device_open(struct device **out, const struct diskmap_set *set,
                     const struct diskmap_config *config, char *why, size_t why_bytes)
{
    struct mem_arena *arena = config->arena;
    uint32_t volumes = set->volume_count;
    struct nvme *n = mem_arena_alloc(arena, sizeof(*n), CACHE_LINE);
    struct tracker *trackers;
    int rc;

    if (!n)
        return -ENOMEM;
    n->dev.ops = &nvme_ops;
    n->wait_fd = n->ready_fd = -1;
    n->lanes = mem_arena_alloc(arena, volumes * sizeof(*n->lanes), CACHE_LINE);
    n->slots_by_volume = mem_arena_alloc(arena, volumes * sizeof(struct slot), CACHE_LINE);
    trackers = mem_arena_alloc(arena, config->depth * sizeof(*trackers), CACHE_LINE);
    if (!n->lanes || !n->slots_by_volume || !trackers)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->depth; i++)
        trackers[i].next = i + 1 < config->depth ? &trackers[i + 1] : NULL;
    n->free = trackers;
    rc = lanes_open(n, set, config, why, why_bytes);
    if (!rc)
        rc = wait_open(n);
    if (rc) {
        nvme_device_close(&n->dev);
        return rc;
    }
    *out = &n->dev;
    return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * dev_fault.c - a device that is slow, overtakes itself, fails and changes, as its seed says.
 *
 * What happens to a read is drawn when it is posted, so that it depends on the seed and the order
 * of reads alone. Over a volume in memory a run can be repeated exactly; over a disk, a read comes
 * back when its time has come and the disk is done with it, whichever is later.
 */
#include <errno.h>

#include "base/rand.h"
#include "priv.h"

#define FAULT_SCRIBBLE 0xee /* what a failed read leaves in its buffer */
#define FAULT_BATCH    64

struct pending {
    struct diskmap_read *read;
    uint64_t due_ns;
    uint64_t order;
    bool arrived; /* from the device beneath */
    bool changed;
};

struct fault {
    struct device dev;
    struct device *inner;
    struct diskmap_fault_config config;
    struct rand rand;
    uint64_t order;
    uint32_t count, depth;
    struct pending *pending; /* in no order; the depth of a queue is not many */
};

static struct fault *fault_of(struct device *dev)
{
    return container_of(dev, struct fault, dev);
}

static void fault_read(struct device *dev, struct diskmap_read *read, uint64_t now_ns)
{
    struct fault *f = fault_of(dev);
    struct pending *p = &f->pending[f->count++];
    uint64_t spread = f->config.delay_max_ns - f->config.delay_min_ns;
    uint64_t delay = f->config.delay_min_ns;
    bool error;

    assert(f->count <= f->depth);
    // Both draws in every case, so that changing one probability leaves the other's dice alone.
    delay += spread < UINT64_MAX ? rand_below(&f->rand, spread + 1) : rand_u64(&f->rand);
    error = rand_chance(&f->rand, f->config.error);
    *p = (struct pending){
        .read = read, .due_ns = now_ns + delay, .order = f->order++, .arrived = error};
    p->changed = f->config.change_at_ns && now_ns >= f->config.change_at_ns;
    if (error) {
        memset(read->buf, FAULT_SCRIBBLE, diskmap_span(read->object, read->off, read->len));
        read->result = -EIO;
    } else {
        f->inner->ops->read(f->inner, read, now_ns);
    }
}

static void fault_collect(struct fault *f, uint64_t now_ns)
{
    struct diskmap_read *done[FAULT_BATCH];
    uint32_t count;

    do {
        count = f->inner->ops->reap(f->inner, done, FAULT_BATCH, now_ns);
        for (uint32_t i = 0; i < count; i++) {
            struct pending *p = f->pending;

            while (p->read != done[i])
                p++;
            p->arrived = true;
        }
    } while (count == FAULT_BATCH);
}

/* Looks at once, so that next_ns knows what a device in memory has done already. */
static bool fault_kick(struct device *dev, uint64_t now_ns)
{
    struct fault *f = fault_of(dev);
    bool rang = f->inner->ops->kick(f->inner, now_ns);

    fault_collect(f, now_ns);
    return rang;
}

/* The next to come back of those that have arrived, or NULL. */
static struct pending *fault_next(const struct fault *f)
{
    struct pending *next = NULL;

    for (uint32_t i = 0; i < f->count; i++) {
        struct pending *p = &f->pending[i];

        if (!p->arrived)
            continue;
        if (!next || p->due_ns < next->due_ns ||
            (p->due_ns == next->due_ns && p->order < next->order))
            next = p;
    }
    return next;
}

static void change_bytes(const struct diskmap_read *read)
{
    uint32_t count = diskmap_span(read->object, read->off, read->len);

    for (uint32_t i = 0; i < count; i++)
        read->buf[i] = (uint8_t)~read->buf[i];
}

static uint32_t fault_reap(struct device *dev, struct diskmap_read **done, uint32_t max,
                           uint64_t now_ns)
{
    struct fault *f = fault_of(dev);
    uint32_t count = 0;

    fault_collect(f, now_ns);
    while (count < max) {
        struct pending *p = fault_next(f);

        if (!p || p->due_ns > now_ns)
            break;
        if (p->changed)
            change_bytes(p->read);
        done[count++] = p->read;
        *p = f->pending[--f->count];
    }
    return count;
}

static int fault_fd(struct device *dev)
{
    struct fault *f = container_of(dev, struct fault, dev);

    return f->inner->ops->fd(f->inner);
}

/* What lies ready beneath has not been looked at yet: that is a reason to look now. */
static uint64_t fault_next_ns(const struct device *dev)
{
    const struct fault *f = container_of(dev, const struct fault, dev);
    const struct pending *next = fault_next(f);
    uint64_t inner_ns = f->inner->ops->next_ns(f->inner);

    return next ? min_u64(next->due_ns, inner_ns) : inner_ns;
}

static int fault_slot_set(struct device *dev, uint32_t slot, int fd)
{
    struct fault *f = fault_of(dev);

    return f->inner->ops->slot_set(f->inner, slot, fd);
}

static void fault_close(struct device *dev)
{
    struct fault *f = fault_of(dev);

    f->inner->ops->close(f->inner);
}

static const struct device_ops fault_ops = {
    .read = fault_read,
    .kick = fault_kick,
    .reap = fault_reap,
    .fd = fault_fd,
    .next_ns = fault_next_ns,
    .slot_set = fault_slot_set,
    .close = fault_close,
};

int fault_open(struct device **out, struct device *inner, const struct diskmap_config *config)
{
    const struct diskmap_fault_config *fault = config->fault;
    struct fault *f;

    if (fault->delay_min_ns > fault->delay_max_ns)
        return -EINVAL;
    f = mem_arena_alloc(config->arena, sizeof(*f), CACHE_LINE);
    if (!f)
        return -ENOMEM;
    f->pending = mem_arena_alloc(config->arena, config->depth * sizeof(*f->pending), CACHE_LINE);
    if (!f->pending)
        return -ENOMEM;
    f->dev = (struct device){.ops = &fault_ops, .slots = inner->slots};
    f->inner = inner;
    f->config = *fault;
    f->depth = config->depth;
    rand_seed(&f->rand, fault->seed);
    *out = &f->dev;
    return 0;
}

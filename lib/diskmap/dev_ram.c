// SPDX-License-Identifier: BSD-2-Clause
/*
 * dev_ram.c - volumes in memory: an infinitely fast disk. Reading is copying.
 */
#include <errno.h>

#include "priv.h"

struct ram {
    struct device dev;
    const struct set_volume *volumes;
    struct diskmap_read *first, *last; /* copied, not reaped */
};

static struct ram *ram_of(struct device *dev)
{
    return container_of(dev, struct ram, dev);
}

static void ram_read(struct device *dev, struct diskmap_read *read, uint64_t now_ns)
{
    struct ram *ram = ram_of(dev);
    const struct object *o = object_of(read->object);
    uint64_t from = o->base + align_down(read->off, o->pub.align);
    uint32_t bytes = diskmap_span(read->object, read->off, read->len);

    // An object ends with a whole block: what is read beyond its last byte is there.
    assert(from + bytes <= ram->volumes[o->slot].ram_bytes);
    memcpy(read->buf, ram->volumes[o->slot].ram + from, bytes);
    read->next = NULL;
    if (ram->first)
        ram->last->next = read;
    else
        ram->first = read;
    ram->last = read;
}

static bool ram_kick(struct device *dev, uint64_t now_ns)
{
    return false;
}

static uint32_t ram_reap(struct device *dev, struct diskmap_read **done, uint32_t max,
                         uint64_t now_ns)
{
    struct ram *ram = ram_of(dev);
    uint32_t count = 0;

    while (count < max && ram->first) {
        done[count++] = ram->first;
        ram->first = ram->first->next;
    }
    return count;
}

static int ram_fd(struct device *dev)
{
    return -1;
}

/* There is nothing to sleep on: what was posted is ready at once. */
static uint64_t ram_next_ns(const struct device *dev)
{
    return container_of(dev, const struct ram, dev)->first ? 0 : UINT64_MAX;
}

static int ram_slot_set(struct device *dev, uint32_t slot, int fd)
{
    return -EINVAL;
}

static void ram_close(struct device *dev)
{
}

static const struct device_ops ram_ops = {
    .read = ram_read,
    .kick = ram_kick,
    .reap = ram_reap,
    .fd = ram_fd,
    .next_ns = ram_next_ns,
    .slot_set = ram_slot_set,
    .close = ram_close,
};

int ram_open(struct device **out, const struct diskmap_set *set,
             const struct diskmap_config *config)
{
    struct ram *ram = mem_arena_alloc(config->arena, sizeof(*ram), CACHE_LINE);

    if (!ram)
        return -ENOMEM;
    ram->dev.ops = &ram_ops;
    ram->volumes = set->volumes;
    *out = &ram->dev;
    return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * access.h - a way to a controller: its registers, and memory that it can reach.
 *
 * The driver knows nothing else of where its controller is. Whoever gives a way in embeds struct
 * nvme_access, fills in the table, and hands it out through an open function of its own (nvme.h).
 *
 * Memory is shared in regions: a region is mapped once, when a worker comes with its arena, and its
 * bus addresses run on as its pointers do, so that translation is a subtraction. What lies in no
 * region is not reachable: a request with such a buffer is refused before the controller hears of
 * it. A region stays until the access is closed, so that whoever knows of it may use it.
 *
 * Threads: doorbells are written by any thread, also while another one is in here. For the rest of
 * the table there is one caller at a time for `map`, and one for the others.
 *
 * Registers are read and written in 32 bits. The specification lets a host do so with its 64-bit
 * registers too (3.1: in two accesses), and the doorbells, which matter, have 32 bits.
 */
#ifndef NVME_ACCESS_H
#define NVME_ACCESS_H

#include "nvme/nvme.h"

#define NVME_BUS_NONE UINT64_MAX

struct nvme_access;

struct nvme_access_ops {
    /* A device that is not there reads as all ones. */
    uint32_t (*read32)(struct nvme_access *access, uint32_t off);
    void (*write32)(struct nvme_access *access, uint32_t off, uint32_t value);
    /* Makes page-aligned memory reachable. 0 or -errno. */
    int (*map)(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus);
    /* On return the device reaches no memory any more, whatever state it is in (bus mastering off).
     */
    void (*stop)(struct nvme_access *access);
    /* Before the controller is enabled: interrupts 0 to count - 1 would be welcome. NULL: there are
     * those that there are. */
    void (*want_interrupts)(struct nvme_access *access, uint32_t count);
    /* Polls readable after an interrupt; -1: there are none. */
    int (*fd)(struct nvme_access *access, uint32_t vector);
    /* For devices that have no time of their own; NULL: it has. `next_ns`: when to come again. */
    void (*poll)(struct nvme_access *access, uint64_t now_ns);
    uint64_t (*next_ns)(const struct nvme_access *access);
    void (*close)(struct nvme_access *access);
};

/* The memory of a queue pair that comes with the way in. */
struct agent_queues {
    void *sq, *cq;
    uint64_t *lists;
    uint64_t sq_bus, cq_bus, lists_bus;
    uint32_t entries;      /* of both queues */
    uint32_t list_entries; /* of the list that each command has */
};

struct agent_info {
    struct nvme_info info;
    uint32_t entries;
    uint32_t namespaces;
    uint32_t changes; /* another number: they may be others */
};

/*
 * For a controller that somebody else administers (the kernel): it is there and ready, queue pairs
 * are had from there, and when something goes wrong one queue pair is made anew as a whole. Then
 * only write32 for doorbells, fd and close are used of the other table. `info` and `namespace_get`
 * are called by whoever turns, the others by the queue pair's thread. 0 or -errno;
 * -EAGAIN: it is stopped for a moment, and to be asked again.
 */
struct nvme_agent_ops {
    int (*info)(struct nvme_access *access, struct agent_info *out);
    int (*namespace_get)(struct nvme_access *access, uint32_t index, struct nvme_namespace *out);
    int (*attach)(struct nvme_access *access, uint32_t number, struct agent_queues *out);
    /* On return what was out is forgotten, reaches no memory any more, and the queues are empty. It
     * may take as long as a reset. */
    int (*restart)(struct nvme_access *access, uint32_t number);
    void (*detach)(struct nvme_access *access, uint32_t number);
    /* What ringing or `look` met: 0; -ESTALE: restart it; -ENODEV: the controller is gone. By
     * anybody, at each turn. */
    int (*state)(struct nvme_access *access, uint32_t number);
    /* Asks for what nobody rang to be told; `state` says it from then on. At ticks. */
    void (*look)(struct nvme_access *access, uint32_t number);
};

struct nvme_region {
    char *base;
    size_t bytes;
    uint64_t bus;
};

struct nvme_access {
    const struct nvme_access_ops *ops;
    const struct nvme_agent_ops *agent; /* NULL: we administer it */
    struct nvme_region regions[NVME_ARENAS_MAX];
    uint32_t region_count; /* grows while others look */
    void *memory;          /* in which arenas have to lie; NULL: anywhere */
    size_t memory_bytes;
};

static inline uint32_t access_read32(struct nvme_access *access, uint32_t off)
{
    return access->ops->read32(access, off);
}

static inline void access_write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    access->ops->write32(access, off, value);
}

/* Everything that was stored before is the controller's to see, and what was read before is the
 * controller's to overwrite. */
static inline void access_doorbell(struct nvme_access *access, uint32_t off, uint32_t value)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    access_write32(access, off, value);
}

static inline uint64_t access_read64(struct nvme_access *access, uint32_t off)
{
    uint64_t low = access_read32(access, off);

    return low | (uint64_t)access_read32(access, off + 4) << 32;
}

static inline void access_write64(struct nvme_access *access, uint32_t off, uint64_t value)
{
    access_write32(access, off, (uint32_t)value);
    access_write32(access, off + 4, (uint32_t)(value >> 32));
}

/* NVME_BUS_NONE when not all of the bytes lie in the region. */
static inline uint64_t region_bus(const struct nvme_region *r, const void *p, size_t bytes)
{
    // Below the base, the difference is larger than any region.
    size_t off = (size_t)((uintptr_t)p - (uintptr_t)r->base);

    return likely(off < r->bytes && bytes <= r->bytes - off) ? r->bus + off : NVME_BUS_NONE;
}

/* The region in which all of the bytes lie, or NULL. */
const struct nvme_region *access_region(const struct nvme_access *access, const void *p,
                                        size_t bytes);

static inline uint64_t access_bus(const struct nvme_access *access, const void *p, size_t bytes)
{
    const struct nvme_region *r = access_region(access, p, bytes);

    return r ? region_bus(r, p, bytes) : NVME_BUS_NONE;
}

/* Finds the region in which all of the memory lies, or maps it as a new one. -ENOSPC: there are
 * NVME_ARENAS_MAX; or what mapping said. */
must_check int access_map(struct nvme_access *access, void *base, size_t bytes);

#endif

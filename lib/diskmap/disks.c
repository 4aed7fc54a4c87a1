// SPDX-License-Identifier: BSD-2-Clause
/*
 * disks.c - controllers: opened, brought up, shared, shut down.
 */
#include "disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "priv.h"

#define DEPTH_DEFAULT 128
/* The admin queue and the scan's pages, the media's queue pair with the lists of its trackers, and
 * their buffer. */
#define ARENA_BYTES (DISK_BOUNCE_BYTES + (3u << 20))
/* Memory of the module: disks that may come after the first, and each worker's queue pairs. */
#define KMOD_DISKS        4
#define KMOD_WORKER_BYTES (2u << 20)

struct diskmap_disks {
    struct diskmap_disks_config config;
    struct controller *first;
};

int diskmap_disks_open(struct diskmap_disks **out, const struct diskmap_disks_config *config)
{
    struct diskmap_disks *disks = calloc(1, sizeof(*disks));

    if (!disks)
        return -ENOMEM;
    disks->config = *config;
    if (!config->workers)
        disks->config.workers = 1;
    if (!config->depth)
        disks->config.depth = DEPTH_DEFAULT;
    disks->config.depth = min_u32(disks->config.depth, NVME_DEPTH_MAX);
    *out = disks;
    return 0;
}

void diskmap_disks_close(struct diskmap_disks *disks)
{
    assert(!disks->first);
    free(disks);
}

uint64_t disks_now(const struct diskmap_disks *disks)
{
    return disks->config.now_ns(disks->config.arg);
}

uint32_t disks_depth(const struct diskmap_disks *disks)
{
    return disks->config.depth;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* What the admin queue brings makes no descriptor readable, and what one turn brings may be for the
 * next one to go on with: so nobody waits long. */
#define PAUSE_NS   NS_PER_MS
#define PAUSES_MAX 30000 /* for a reset by somebody else */

/* False: the caller is told to end. */
static bool pause_for(const struct controller *c, int fd)
{
    const struct diskmap_disks *disks = c->disks;
    uint64_t until_ns = min_u64(nvme_ctrlr_next_ns(c->ctrlr), disks_now(disks) + PAUSE_NS);

    return disks->config.wait(disks->config.arg, fd, until_ns);
}

/* Also turns, since most of what there is to wait for is made to happen by that. */
static enum nvme_state turn_and_wait(const struct controller *c)
{
    const struct diskmap_disks *disks = c->disks;
    enum nvme_state state = nvme_ctrlr_turn(c->ctrlr, disks_now(disks));

    if (state != NVME_READY && state != NVME_CLOSED && state != NVME_DEAD)
        (void)pause_for(c, -1);
    return state;
}

void controller_wait(const struct controller *c, struct nvme_qpair *qpair)
{
    const struct diskmap_disks *disks = c->disks;
    int fd = nvme_fd(qpair);
    uint64_t count;

    // What was signalled so far is what is looked at now.
    if (fd >= 0 && read(fd, &count, sizeof(count)) < 0)
        count = 0;
    if (nvme_ctrlr_turn(c->ctrlr, disks_now(disks)) == NVME_DEAD || nvme_peek_completions(qpair))
        return;
    // The queues may have been created by that turn: what waited for them is to be rung for.
    if (nvme_sqsync(qpair))
        return;
    // Without interrupts, and with a device that does not wait to be asked, there is only looking.
    if (fd >= 0 || c->own_time)
        (void)pause_for(c, fd);
}

/* --- bringing up and shutting down ------------------------------------------------------------ */

static int bring_up(struct controller *c, char *why, size_t why_bytes)
{
    enum nvme_state state;

    while ((state = nvme_ctrlr_turn(c->ctrlr, disks_now(c->disks))) == NVME_STARTING)
        if (!pause_for(c, -1)) {
            snprintf(why, why_bytes, "%.100s: interrupted before it was ready", c->name);
            return -EINTR;
        }
    if (state == NVME_READY)
        return 0;
    snprintf(why, why_bytes, "%.100s: %s", c->name, nvme_ctrlr_why(c->ctrlr));
    return -EIO;
}

static void shut_down(struct controller *c)
{
    enum nvme_state state;

    nvme_ctrlr_stop(c->ctrlr);
    do
        state = turn_and_wait(c);
    while (state != NVME_CLOSED && state != NVME_DEAD);
}

static void controller_free(struct controller *c)
{
    if (c->lender != c)
        c->lender->borrowers--;
    if (c->ctrlr)
        nvme_ctrlr_close(c->ctrlr);
    else if (c->access)
        nvme_access_close(c->access);
    if (c->arena)
        mem_arena_close(c->arena);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

int controller_arena(struct controller *c, size_t bytes, struct mem_arena **out)
{
    uint8_t *base;
    int rc;

    c = c->lender;
    if (!c->memory)
        return mem_arena_open(out, bytes, MEM_ARENA_HUGE);
    base = c->memory + c->memory_used;
    bytes = align_up(bytes, PAGE_BYTES);
    if (bytes > c->memory_bytes - c->memory_used)
        return -ENOSPC;
    // Whoever had it before may have left something.
    memset(base, 0, bytes);
    rc = mem_arena_open_in(out, base, bytes);
    if (!rc)
        c->memory_used += bytes;
    return rc;
}

static int start(struct controller *c, char *why, size_t why_bytes)
{
    const struct diskmap_disks_config *config = &c->disks->config;
    struct nvme_config nvme = {.access = c->access,
                               .qpairs = min_u32(config->workers, NVME_QPAIRS_MAX),
                               .depth = config->depth,
                               .timeout_ns = config->timeout_ns};
    char what[192];
    int rc = controller_arena(c, ARENA_BYTES, &c->arena);

    nvme.arena = c->arena;
    if (rc)
        snprintf(what, sizeof(what), "not enough memory");
    else
        rc = nvme_ctrlr_open(&c->ctrlr, &nvme, what, sizeof(what));
    if (rc) {
        c->ctrlr = NULL;
        snprintf(why, why_bytes, "%.100s: %s", c->name, what);
        return rc;
    }
    return bring_up(c, why, why_bytes);
}

/* --- sharing ---------------------------------------------------------------------------------- */

static struct controller *controller_find(const struct diskmap_disks *disks, const char *name)
{
    struct controller *c = disks->first;

    while (c && strcmp(c->name, name))
        c = c->next;
    return c;
}

static int vfio_open(struct controller *c, const struct disk_spec *spec, char *why,
                     size_t why_bytes)
{
    char what[192];
    int rc = nvme_vfio_open(&c->access, spec->where, what, sizeof(what));

    if (rc)
        snprintf(why, why_bytes, "%.60s: %s", spec->name, what);
    return rc;
}

/* The module gives queue pairs to several processes, one of which may change the disk. */
static int kmod_lock(struct controller *c, const struct disk_spec *spec, char *why,
                     size_t why_bytes)
{
    const char *what = "there is no such disk: atlas disk list shows them";
    char path[DISK_NAME_BYTES + 8];

    snprintf(path, sizeof(path), "%s%s", strchr(spec->where, '/') ? "" : "/dev/", spec->where);
    c->fd = medium_node_open(path, c->writable);
    if (c->fd >= 0)
        return 0;
    if (c->fd == -EBUSY)
        what = "another process is changing it; try again when that has ended";
    else if (c->fd == -EACCES || c->fd == -EPERM)
        what = "it is somebody else's: change its owner, or run as root";
    else if (c->fd != -ENOENT && c->fd != -ENXIO)
        what = strerror(-c->fd);
    snprintf(why, why_bytes, "%.60s: %s", spec->name, what);
    return c->fd;
}

/* The module's buffers can be lent from one disk to others: all of them use the first one's. They
 * have to be asked for at once, for all workers and a few more disks. */
static int kmod_open(struct controller *c, const struct disk_spec *spec, char *why,
                     size_t why_bytes)
{
    const struct diskmap_disks_config *config = &c->disks->config;
    struct nvme_kmod_config kmod = {.name = spec->where};
    char what[192];
    int rc = kmod_lock(c, spec, why, why_bytes);

    if (rc)
        return rc;
    for (struct controller *other = c->disks->first; other; other = other->next)
        if (other->memory && other->lender == other)
            c->lender = other;
    if (c->lender != c) {
        c->lender->borrowers++;
        kmod.sharing = c->lender->access;
    } else {
        kmod.memory_bytes =
            KMOD_DISKS * ARENA_BYTES + config->workers * (config->arena_bytes + KMOD_WORKER_BYTES);
    }
    rc = nvme_kmod_open(&c->access, &kmod, what, sizeof(what));
    if (rc)
        snprintf(why, why_bytes, "%.60s: %s", spec->name, what);
    return rc;
}

static int access_open(struct controller *c, const struct disk_spec *spec, bool create, char *why,
                       size_t why_bytes)
{
    switch (spec->kind) {
    case DISK_VFIO:
        return vfio_open(c, spec, why, why_bytes);
    case DISK_SIM:
        return disk_sim_open(c, spec, create, why, why_bytes);
    case DISK_KMOD:
        return kmod_open(c, spec, why, why_bytes);
    }
    return -EINVAL;
}

static int controller_make(struct diskmap_disks *disks, const struct disk_spec *spec, bool writable,
                           bool create, struct controller **out, char *why, size_t why_bytes)
{
    struct controller *c = calloc(1, sizeof(*c));
    void *memory;
    int rc;

    if (!c) {
        snprintf(why, why_bytes, "%.100s: not enough memory", spec->name);
        return -ENOMEM;
    }
    c->disks = disks;
    c->lender = c;
    c->writable = writable;
    c->fd = -1;
    memcpy(c->name, spec->name, sizeof(c->name));
    rc = access_open(c, spec, create, why, why_bytes);
    if (!rc && c->lender == c && nvme_access_memory(c->access, &memory, &c->memory_bytes))
        c->memory = memory;
    if (!rc)
        rc = start(c, why, why_bytes);
    if (rc) {
        controller_free(c);
        return rc;
    }
    c->next = disks->first;
    disks->first = c;
    *out = c;
    return 0;
}

static int controller_get(struct diskmap_disks *disks, const struct disk_spec *spec, bool writable,
                          bool create, struct controller **out, char *why, size_t why_bytes)
{
    *out = controller_find(disks, spec->name);
    if (!*out)
        return controller_make(disks, spec, writable, create, out, why, why_bytes);
    if (!writable || (*out)->writable)
        return 0;
    snprintf(why, why_bytes, "%.100s: this process reads it: end that first", spec->name);
    return -EBUSY;
}

static void controller_put(struct controller *c)
{
    struct controller **at = &c->disks->first, *lender = c->lender;

    // Others may have their memory from it.
    if (c->disks_open || c->borrowers)
        return;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    shut_down(c);
    controller_free(c);
    if (lender != c)
        controller_put(lender);
}

/* --- queue pairs ------------------------------------------------------------------------------ */

static int qpair_find(struct controller *c, uint32_t count, struct mem_arena *arena,
                      struct nvme_qpair **out)
{
    int rc = -EBUSY;

    for (uint32_t i = 1; rc == -EBUSY && i <= count; i++)
        rc = nvme_open(out, c->ctrlr, i, arena);
    return rc;
}

int controller_qpair_open(struct controller *c, struct mem_arena *arena, struct nvme_qpair **out,
                          char *why, size_t why_bytes)
{
    uint32_t count = nvme_ctrlr_info(c->ctrlr)->qpairs;
    int rc = qpair_find(c, count, arena, out);

    // Somebody resets it just now.
    for (uint32_t i = 0; rc == -EAGAIN && i < PAUSES_MAX && pause_for(c, -1); i++) {
        nvme_ctrlr_turn(c->ctrlr, disks_now(c->disks));
        rc = qpair_find(c, count, arena, out);
    }
    if (rc == -EBUSY)
        snprintf(why, why_bytes,
                 "%.100s: it grants %u queue pairs, and each worker needs one: "
                 "use --workers %u at most",
                 c->name, count, count);
    else if (rc == -ENOMEM)
        snprintf(why, why_bytes, "the arena is too small for the queues of %.100s: give it more",
                 c->name);
    else if (rc)
        snprintf(why, why_bytes, "%.100s: no queue pair: %s", c->name,
                 rc == -ENODEV ? nvme_ctrlr_why(c->ctrlr) : strerror(-rc));
    return rc;
}

void controller_qpair_close(struct controller *c, struct nvme_qpair *qpair)
{
    const struct diskmap_disks *disks = c->disks;
    int rc = nvme_close(qpair);

    while (rc == -EINPROGRESS) {
        nvme_ctrlr_turn(c->ctrlr, disks_now(disks));
        rc = nvme_close(qpair);
        if (rc == -EINPROGRESS)
            (void)pause_for(c, -1);
    }
}

int controller_qpair_get(struct controller *c)
{
    char why[192];
    int rc;

    if (!c->bounce)
        c->bounce = mem_arena_alloc(c->arena, DISK_BOUNCE_BYTES, PAGE_BYTES);
    if (!c->bounce)
        return -ENOMEM;
    if (c->qpair_users)
        rc = 0;
    else
        rc = controller_qpair_open(c, c->arena, &c->qpair, why, sizeof(why));
    if (!rc)
        c->qpair_users++;
    return rc;
}

void controller_qpair_put(struct controller *c)
{
    if (--c->qpair_users)
        return;
    controller_qpair_close(c, c->qpair);
    c->qpair = NULL;
}

/* --- disks ------------------------------------------------------------------------------------ */

/* The namespace that is meant, or NULL. */
static const struct nvme_namespace *namespace_of(const struct controller *c, uint32_t ns_id)
{
    const struct nvme_namespace *ns;

    for (uint32_t i = 0; (ns = nvme_ctrlr_namespace(c->ctrlr, i)) != NULL; i++)
        if (stat_get(&ns->blocks) && (!ns_id || ns->ns_id == ns_id))
            return ns;
    return NULL;
}

/* "1, 2 and 5": what there is instead of what was asked for. */
static void namespace_missing(const struct controller *c, uint32_t ns_id, char *why,
                              size_t why_bytes)
{
    const struct nvme_namespace *ns;
    char list[96] = "";
    size_t at = 0;

    for (uint32_t i = 0; (ns = nvme_ctrlr_namespace(c->ctrlr, i)) != NULL; i++)
        if (stat_get(&ns->blocks) && at < sizeof(list))
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%u", at ? ", " : "", ns->ns_id);
    if (ns_id)
        snprintf(why, why_bytes, "%.100s: it has no namespace %u that we can read, but %s", c->name,
                 ns_id, at ? list : "none at all");
    else
        snprintf(why, why_bytes,
                 "%.100s: it has no namespace with blocks of 512 to 4096 bytes and without "
                 "metadata: see nvme-format(1)",
                 c->name);
}

/* A volume is changed by one at a time, also within one process. */
static bool is_taken(const struct controller *c, uint32_t ns_id)
{
    for (const struct disk *d = c->disks_open; d; d = d->next)
        if (d->ns_id == ns_id && c->writable)
            return true;
    return false;
}

static int disk_find(struct disk *disk, uint32_t ns_id, char *why, size_t why_bytes)
{
    struct controller *c = disk->controller;
    const struct nvme_namespace *ns = namespace_of(c, ns_id);

    if (!ns) {
        namespace_missing(c, ns_id, why, why_bytes);
        return -ENXIO;
    }
    if (is_taken(c, ns->ns_id)) {
        snprintf(why, why_bytes, "%.100s: namespace %u is named twice: leave one out", c->name,
                 ns->ns_id);
        return -EBUSY;
    }
    disk->ns_id = ns->ns_id;
    disk->block_shift = (uint32_t)__builtin_ctz(ns->block_bytes);
    disk->bytes = stat_get(&ns->blocks) << disk->block_shift;
    disk->gone = false;
    disk->next = c->disks_open;
    c->disks_open = disk;
    return 0;
}

int disk_open(struct disk *disk, struct diskmap_disks *disks, const char *text, bool writable,
              bool create, char *why, size_t why_bytes)
{
    struct disk_spec spec;
    char what[160];
    int rc;

    if (!disks) {
        snprintf(why, why_bytes, "%.100s: NVMe disks are not to be used here", text);
        return -ENOTSUP;
    }
    rc = disk_spec_parse(&spec, text, what, sizeof(what));
    if (rc) {
        snprintf(why, why_bytes, "%.80s: %s", text, what);
        return rc;
    }
    rc = controller_get(disks, &spec, writable, create, &disk->controller, why, why_bytes);
    if (rc)
        return rc;
    rc = disk_find(disk, spec.ns_id, why, why_bytes);
    if (rc)
        controller_put(disk->controller);
    return rc;
}

void disk_close(struct disk *disk)
{
    struct disk **at = &disk->controller->disks_open;

    while (*at != disk)
        at = &(*at)->next;
    *at = disk->next;
    controller_put(disk->controller);
}

bool disk_is_lost(const struct disk *disk)
{
    return __atomic_load_n(&disk->gone, __ATOMIC_RELAXED) ||
           __atomic_load_n(&disk->controller->lost, __ATOMIC_RELAXED);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim_nvme.c - random requests to the NVMe driver, over a controller in software that is slow,
 * overtakes itself, fails, hangs, and is pulled out.
 *
 * What must hold, whatever the controller does:
 *   - every request that was accepted ends once, and nothing else ends;
 *   - a read that succeeds has the bytes that were written last; blocks of a write that failed are
 *     old or new, and whole;
 *   - nobody touches a buffer, its surroundings or its descriptor after it was given back: they are
 *     filled with a pattern then, which is looked at before they are used again;
 *   - the controller has nothing to complain about;
 *   - queue pairs that are closed and opened again in between go on as if they were new;
 *   - with nothing drawn that goes wrong, nothing goes wrong.
 */
#include "nvme/nvme.h"
#include "runner.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define NAMESPACES     3
#define BLOCKS_MAX     256
#define QPAIRS         3
#define SLOTS          40
#define REQUEST_MAX    (128u << 10)
#define SLOT_BYTES     (REQUEST_MAX + 3 * PAGE_BYTES) /* guards on both sides, any offset */
#define ARENA_BYTES    (32u << 20)
#define WORKER_BYTES   (4u << 20) /* an arena of a queue pair's own */
#define GUARD          0xa5
#define TURNS_MAX      2000000
#define ALL_SEEN_SEEDS 200 /* so many runs see everything that is drawn */

/* What happened in all runs, in memory that the runners' children share. */
struct tally {
    uint64_t resets, aborts, reissues, strays, waits, lost, detached, stopped, cut, errors;
    uint64_t reopened, shadowed, interrupts;
};

/* A block's content is its version, and words that follow from version and place. */
struct block {
    uint64_t version; /* written last with success */
    uint64_t newest;  /* ... or one of those up to here, which failed */
    uint32_t readers;
    bool writer;
};

struct slot {
    struct iohdesc io;
    struct scene *scene;
    uint8_t *memory; /* SLOT_BYTES */
    uint8_t *buf;    /* within, where the request has it */
    uint32_t ns, count, block_bytes;
    uint64_t lba, version;
    enum { FREE, READING, WRITING, FLUSHING } state;
};

struct scene {
    struct world *world;
    struct tally *tally;
    struct nvme_sim_config sim;
    struct nvme_config config;
    struct nvme_ctrlr *ctrlr;
    struct nvme_qpair *qps[QPAIRS]; /* NULL: it is closed just now */
    bool closing[QPAIRS];
    struct mem_arena *arenas[QPAIRS]; /* the world's, or one of its own */
    enum nvme_state state;
    struct block blocks[NAMESPACES][BLOCKS_MAX];
    struct slot slots[SLOTS];
    uint64_t version;
    uint32_t qp_count;
    uint32_t posted, ended, to_post;
    uint32_t detach_at; /* that many requests were posted; 0: never */
    bool close_at_once; /* at the end, instead of a shutdown */
    bool faults;
    double close;    /* of a queue pair without requests, each turn */
    uint32_t errors; /* requests that ended with one */
};

/* --- content ---------------------------------------------------------------------------------- */

static void block_fill(uint64_t *words, uint32_t bytes, uint32_t ns, uint64_t lba, uint64_t version)
{
    uint64_t x = (version * 4 + ns) * 0x9e3779b97f4a7c15ull ^ lba << 32;

    words[0] = version;
    for (uint32_t i = 1; i < bytes / 8; i++)
        words[i] = x += 0xd1342543de82ef95ull;
}

static bool block_check(struct scene *s, const struct slot *slot, uint32_t i)
{
    struct block *block = &s->blocks[slot->ns][slot->lba + i];
    uint64_t have[PAGE_BYTES / 8], want[PAGE_BYTES / 8];

    memcpy(have, slot->buf + (size_t)i * slot->block_bytes, slot->block_bytes);
    block_fill(want, slot->block_bytes, slot->ns, slot->lba + i, have[0]);
    if (memcmp(have, want, slot->block_bytes))
        return world_fail(s->world, "block %llu of namespace %u has bytes that nobody wrote there",
                          (unsigned long long)slot->lba + i, slot->ns + 1);
    if (have[0] < block->version || have[0] > block->newest)
        return world_fail(s->world, "block %llu of namespace %u has version %llu, not %llu to %llu",
                          (unsigned long long)slot->lba + i, slot->ns + 1,
                          (unsigned long long)have[0], (unsigned long long)block->version,
                          (unsigned long long)block->newest);
    block->version = block->newest = have[0];
    return true;
}

static bool guard_check(struct scene *s, const struct slot *slot, const uint8_t *from,
                        const uint8_t *to)
{
    const uint8_t *p = from;

    // Every byte is the one before it, and the first is right: memcmp is quicker than we are.
    if (from == to || (*from == GUARD && !memcmp(from, from + 1, (size_t)(to - from) - 1)))
        return true;
    while (*p == GUARD)
        p++;
    return world_fail(s->world, "slot %td: byte %td is 0x%02x, but was not the disk's",
                      slot - s->slots, p - slot->memory, *p);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool error_allowed(const struct scene *s, int error)
{
    if (!error)
        return true;
    if (error == -ENXIO)
        return s->detach_at != 0;
    return s->faults || (error == -ECANCELED && s->to_post == 0);
}

static void blocks_release(struct scene *s, struct slot *slot, int error)
{
    for (uint32_t i = 0; i < slot->count; i++) {
        struct block *block = &s->blocks[slot->ns][slot->lba + i];

        if (slot->state == READING) {
            block->readers--;
            if (!error)
                block_check(s, slot, i);
            continue;
        }
        block->writer = false;
        block->newest = slot->version;
        if (!error)
            block->version = slot->version;
    }
}

static void request_post(struct scene *s);

static void ended(struct iohdesc *io, int error)
{
    struct slot *slot = container_of(io, struct slot, io);
    struct scene *s = slot->scene;
    size_t bytes = (size_t)slot->count * slot->block_bytes;

    world_trace(s->world, "slot %td ends: %d", slot - s->slots, error);
    if (slot->state == FREE) {
        world_fail(s->world, "slot %td ended without having been posted", slot - s->slots);
        return;
    }
    if (!error_allowed(s, error))
        world_fail(s->world, "error %d came from nowhere (%s)", error, nvme_ctrlr_why(s->ctrlr));
    s->errors += error != 0;
    blocks_release(s, slot, error);
    guard_check(s, slot, slot->memory, slot->buf);
    guard_check(s, slot, slot->buf + bytes, slot->memory + SLOT_BYTES);
    memset(slot->buf, GUARD, bytes);
    memset(io, GUARD, sizeof(*io));
    slot->state = FREE;
    s->ended++;
    if (rand_chance(&s->world->chance, 0.2))
        request_post(s);
}

/* Two requests at a time for one block are for those who do not mind the outcome. */
static bool blocks_take(struct scene *s, struct slot *slot, bool write)
{
    struct block *blocks = &s->blocks[slot->ns][slot->lba];

    for (uint32_t i = 0; i < slot->count; i++)
        if (blocks[i].writer || (write && blocks[i].readers))
            return false;
    for (uint32_t i = 0; i < slot->count; i++) {
        blocks[i].readers += !write;
        blocks[i].writer = write;
        if (write)
            block_fill((uint64_t *)(void *)(slot->buf + (size_t)i * slot->block_bytes),
                       slot->block_bytes, slot->ns, slot->lba + i, slot->version);
    }
    return true;
}

static void blocks_untake(struct scene *s, struct slot *slot)
{
    for (uint32_t i = 0; i < slot->count; i++) {
        struct block *block = &s->blocks[slot->ns][slot->lba + i];

        block->readers -= slot->state == READING;
        block->writer = false;
    }
}

static struct slot *slot_free(struct scene *s)
{
    uint32_t first = (uint32_t)rand_below(&s->world->chance, SLOTS);

    for (uint32_t i = 0; i < SLOTS; i++)
        if (s->slots[(first + i) % SLOTS].state == FREE)
            return &s->slots[(first + i) % SLOTS];
    return NULL;
}

/* Where, how much, and in which part of the slot's memory. */
static void request_draw(struct scene *s, struct slot *slot)
{
    struct rand *r = &s->world->chance;
    const struct nvme_sim_namespace *ns;
    uint64_t most;

    do
        slot->ns = (uint32_t)rand_below(r, NAMESPACES);
    while (!s->sim.namespaces[slot->ns].blocks);
    ns = &s->sim.namespaces[slot->ns];
    slot->block_bytes = 1u << ns->block_log;
    most = min_u64(ns->blocks, REQUEST_MAX >> ns->block_log);
    slot->count = (uint32_t)(rand_chance(r, 0.5) ? 1 : world_range(r, 1, most));
    slot->lba = rand_below(r, ns->blocks - slot->count + 1);
    // Eight bytes, so that blocks are words; a page's middle as often as its beginning.
    slot->buf = slot->memory + PAGE_BYTES;
    if (rand_chance(r, 0.5))
        slot->buf += 8 * rand_below(r, PAGE_BYTES / 8);
}

static void request_post(struct scene *s)
{
    struct rand *r = &s->world->chance;
    struct slot *slot = s->posted < s->to_post ? slot_free(s) : NULL;
    uint32_t kind = (uint32_t)rand_below(r, 20);
    uint32_t qp = s->qp_count ? (uint32_t)rand_below(r, s->qp_count) : 0;
    const uint8_t *io_bytes;
    int error;

    if (!slot || !s->qps[qp] || s->closing[qp])
        return;
    io_bytes = (const uint8_t *)&slot->io;
    for (size_t i = 0; i < sizeof(slot->io); i++)
        if (io_bytes[i] != GUARD)
            world_fail(s->world, "slot %td: its descriptor was changed after it was given back",
                       slot - s->slots);
    guard_check(s, slot, slot->memory, slot->memory + SLOT_BYTES);
    request_draw(s, slot);
    slot->version = ++s->version;
    if (kind == 0)
        slot->count = 0;
    if (kind && !blocks_take(s, slot, kind < 7))
        return;
    slot->io = (struct iohdesc){.ioqp = s->qps[qp],
                                .ns_id = slot->ns + 1,
                                .lba = slot->lba,
                                .lba_count = slot->count,
                                .buf = slot->buf,
                                .op_complete = ended};
    slot->state = kind == 0 ? FLUSHING : kind < 7 ? WRITING : READING;
    world_trace(s->world, "slot %td: %s %u blocks at %llu of namespace %u", slot - s->slots,
                kind == 0  ? "flush"
                : kind < 7 ? "write"
                           : "read",
                slot->count, (unsigned long long)slot->lba, slot->ns + 1);
    error = kind == 0  ? nvme_flush(&slot->io)
            : kind < 7 ? nvme_write(&slot->io)
                       : nvme_read(&slot->io);
    s->posted++;
    if (!error)
        return;
    // Refused: it never was the driver's.
    if (!(error == -ENXIO && s->detach_at) && !(error == -ENODEV && s->faults))
        world_fail(s->world, "a good request is refused: %d", error);
    blocks_untake(s, slot);
    memset(slot->buf, GUARD, (size_t)slot->count * slot->block_bytes);
    memset(&slot->io, GUARD, sizeof(slot->io));
    slot->state = FREE;
    s->ended++;
}

/* --- drawing a run ---------------------------------------------------------------------------- */

static void faults_draw(struct scene *s)
{
    struct world *w = s->world;
    struct rand *r = &w->draw;
    struct nvme_sim_config *sim = &s->sim;
    const double often = rand_chance(r, 0.5) ? 0.01 : 0.1;
    uint64_t kinds = rand_u64(r);

    s->faults = true;
    sim->error = kinds & 1 ? often : 0;
    sim->stuck = kinds & 2 ? often : 0;
    sim->abort_fails = kinds & 4 ? 0.5 : 0;
    sim->fatal = kinds & 8 ? often / 5 : 0;
    sim->wont_stop = kinds >> 10 & 1 ? 0.3 : 0;
    if ((kinds & 0x70) == 0)
        sim->remove_ns = w->start_ns + world_range_log(r, 1000, 20 * NS_PER_S);
    // Late enough for a timeout and its Abort to cross the completion.
    if ((kinds & 0x380) == 0)
        sim->delay_max_ns = s->config.timeout_ns * 3 / 2;
    world_note(w, " error=%g stuck=%g abort_fails=%g fatal=%g wont_stop=%g remove=%d", sim->error,
               sim->stuck, sim->abort_fails, sim->fatal, sim->wont_stop, sim->remove_ns != 0);
}

static void scene_draw(struct scene *s)
{
    struct world *w = s->world;
    struct rand *r = &w->draw;
    struct nvme_sim_config *sim = &s->sim;

    s->config.qpairs = (uint32_t)world_range(r, 1, QPAIRS);
    s->config.depth = (uint32_t)world_range_log(r, 1, 64);
    s->config.transfer_bytes = PAGE_BYTES * (uint32_t)world_range(r, 1, 40);
    s->config.timeout_ns = world_range_log(r, 10 * NS_PER_MS, 5 * NS_PER_S);
    sim->seed = rand_u64(r);
    sim->mdts = (uint8_t)rand_below(r, 8);
    sim->dstrd = (uint8_t)rand_below(r, 4);
    sim->queue_pairs = (uint32_t)rand_below(r, QPAIRS + 1);
    sim->queue_size = rand_chance(r, 0.3) ? (uint32_t)world_range(r, 4, 40) : 0;
    sim->ready_ns = rand_chance(r, 0.5) ? world_range_log(r, 1, 900 * NS_PER_MS) : 0;
    if (rand_chance(r, 0.8))
        sim->delay_max_ns = world_range_log(r, NS_PER_US, s->config.timeout_ns / 2);
    sim->delay_min_ns = rand_below(r, sim->delay_max_ns + 1);
    sim->stray = rand_chance(r, 0.2) ? 0.1 : 0;
    sim->sgls = rand_chance(r, 0.5);
    sim->shadow = rand_chance(r, 0.5);
    sim->interrupts = rand_chance(r, 0.2);
    s->config.no_sgls = rand_chance(r, 0.1);
    s->config.no_shadow = rand_chance(r, 0.1);
    s->close = rand_chance(r, 0.3) ? 0.05 : 0;
    s->to_post = (uint32_t)world_range(r, 1, 400);
    s->detach_at = rand_chance(r, 0.1) ? (uint32_t)world_range(r, 1, s->to_post) : 0;
    s->close_at_once = rand_chance(r, 0.3);
    world_note(w,
               "qpairs=%u/%u depth=%u transfer=%u mdts=%u queue=%u timeout=%.3fs "
               "delay=%.6f-%.6fs stray=%g requests=%u detach=%u sgls=%d shadow=%d close=%g",
               s->config.qpairs, sim->queue_pairs, s->config.depth, s->config.transfer_bytes,
               sim->mdts, sim->queue_size, (double)s->config.timeout_ns / NS_PER_S,
               (double)sim->delay_min_ns / NS_PER_S, (double)sim->delay_max_ns / NS_PER_S,
               sim->stray, s->to_post, s->detach_at, sim->sgls && !s->config.no_sgls,
               sim->shadow && !s->config.no_shadow, s->close);
    if (rand_chance(r, 0.7))
        faults_draw(s);
}

static bool namespaces_make(struct scene *s)
{
    struct rand *r = &s->world->draw;

    for (uint32_t ns = 0; ns < NAMESPACES; ns++) {
        struct nvme_sim_namespace *n = &s->sim.namespaces[ns];

        if (ns && rand_chance(r, 0.5))
            continue;
        n->blocks = world_range(r, 1, BLOCKS_MAX);
        n->block_log = (uint8_t)world_range(r, 9, 12);
        n->media = malloc(n->blocks << n->block_log);
        if (!n->media)
            return world_fail(s->world, "no memory for a namespace");
        for (uint64_t lba = 0; lba < n->blocks; lba++)
            block_fill((uint64_t *)n->media + (lba << n->block_log) / 8, 1u << n->block_log, ns,
                       lba, 0);
        world_note(s->world, " ns%u=%llux%u", ns + 1, (unsigned long long)n->blocks,
                   1u << n->block_log);
    }
    return true;
}

static bool scene_open(struct scene *s)
{
    char why[200] = "";

    scene_draw(s);
    if (!namespaces_make(s))
        return false;
    if (nvme_sim_open(&s->config.access, &s->sim))
        return world_fail(s->world, "the controller's configuration is refused");
    s->config.arena = s->world->arena;
    if (nvme_ctrlr_open(&s->ctrlr, &s->config, why, sizeof(why)))
        return world_fail(s->world, "the controller does not open: %s", why);
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &s->slots[i];

        slot->scene = s;
        slot->memory = mem_arena_alloc(s->world->arena, SLOT_BYTES, PAGE_BYTES);
        if (!slot->memory)
            return world_fail(s->world, "no memory for buffers");
        memset(slot->memory, GUARD, SLOT_BYTES);
        memset(&slot->io, GUARD, sizeof(slot->io));
    }
    return true;
}

/* --- running it ------------------------------------------------------------------------------- */

static bool controller_check(struct scene *s)
{
    const char *complaint = nvme_sim_complaint(s->config.access);

    if (complaint)
        return world_fail(s->world, "the controller complains: %s", complaint);
    if (s->state == NVME_DEAD && !s->faults)
        return world_fail(s->world, "the controller is given up: %s", nvme_ctrlr_why(s->ctrlr));
    return !world_failed(s->world);
}

/* A turn of the controller; time moves when nothing came of it. */
static bool turn(struct scene *s, bool idle)
{
    struct world *w = s->world;
    uint64_t next_ns = max_u64(w->now_ns + 1, nvme_ctrlr_next_ns(s->ctrlr));

    if (idle && next_ns == UINT64_MAX && s->state < NVME_CLOSED)
        return world_fail(w, "nobody knows what is to happen next");
    if (idle && next_ns != UINT64_MAX)
        world_sleep(w, next_ns + rand_below(&w->chance, 1000));
    else
        world_sleep(w, w->now_ns + rand_below(&w->chance, 1000));
    s->state = nvme_ctrlr_turn(s->ctrlr, w->now_ns);
    return controller_check(s);
}

static void queue_pair_open(struct scene *s, uint32_t i)
{
    int error = nvme_open(&s->qps[i], s->ctrlr, i + 1, s->arenas[i]);

    // One that was refused or lost stays away.
    if (error && (error != -ENODEV || !s->faults))
        world_fail(s->world, "queue pair %u does not open: %d", i + 1, error);
    if (error)
        s->qps[i] = NULL;
}

static void queue_pairs_open(struct scene *s)
{
    s->qp_count = nvme_ctrlr_info(s->ctrlr)->qpairs;
    for (uint32_t i = 0; i < s->qp_count; i++) {
        s->arenas[i] = s->world->arena;
        if (rand_chance(&s->world->draw, 0.3) && mem_arena_open(&s->arenas[i], WORKER_BYTES, 0))
            world_fail(s->world, "no memory for a queue pair");
        queue_pair_open(s, i);
    }
}

/* Closed when nothing is out, and opened again. True: turns are needed. */
static bool queue_pair_renew(struct scene *s, uint32_t i)
{
    struct nvme_qpair *qp = s->qps[i];
    int error;

    if (!qp) {
        queue_pair_open(s, i);
        return false;
    }
    if (!s->closing[i] && (nvme_outstanding(qp) || !rand_chance(&s->world->chance, s->close)))
        return false;
    error = nvme_close(qp);
    s->closing[i] = error == -EINPROGRESS;
    if (s->closing[i])
        return true;
    if (error)
        world_fail(s->world, "queue pair %u does not close: %d", i + 1, error);
    s->tally->reopened++;
    queue_pair_open(s, i);
    return true;
}

static bool queue_pair_work(struct scene *s, uint32_t i)
{
    struct rand *r = &s->world->chance;
    struct nvme_qpair *qp = s->qps[i];
    uint32_t max = rand_chance(r, 0.2) ? 1 : nvme_peek_completions(qp);
    bool busy = nvme_consume_completions(qp, max) > 0;
    eventfd_t count;

    if (nvme_fd(qp) >= 0 && eventfd_read(nvme_fd(qp), &count) == 0)
        s->tally->interrupts += count;
    if (!rand_chance(r, 0.8))
        return true; // the doorbells are for later
    busy |= nvme_sqsync(qp);
    busy |= nvme_cqsync(qp);
    return busy;
}

/* Posts, rings and consumes as it happens; false: there was nothing to do. */
static bool work(struct scene *s)
{
    struct rand *r = &s->world->chance;
    bool busy = false;

    if (s->posted < s->to_post && rand_chance(r, 0.5)) {
        for (uint64_t n = rand_below(r, 8) + 1; n; n--)
            request_post(s);
        busy = true;
    }
    for (uint32_t i = 0; i < s->qp_count; i++) {
        if (s->close > 0)
            busy |= queue_pair_renew(s, i) && !s->closing[i];
        if (s->qps[i] && !s->closing[i])
            busy |= queue_pair_work(s, i);
    }
    if (s->detach_at && s->posted >= s->detach_at && s->sim.namespaces[1].blocks) {
        nvme_sim_detach(s->config.access, 2);
        s->sim.namespaces[1].blocks = 0;
        s->tally->detached++;
    }
    return busy;
}

static uint32_t outstanding(const struct scene *s)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->qp_count; i++)
        count += s->qps[i] ? nvme_outstanding(s->qps[i]) : 0;
    return count;
}

static void tally_add(struct scene *s)
{
    const struct nvme_ctrlr_stats *c = nvme_ctrlr_stats(s->ctrlr);
    struct tally *t = s->tally;

    t->resets += c->resets;
    t->aborts += c->aborts;
    t->lost += s->state == NVME_DEAD;
    t->stopped += s->state == NVME_CLOSED;
    t->cut += s->close_at_once;
    t->errors += s->errors;
    for (uint32_t i = 0; i < s->qp_count; i++) {
        const struct nvme_qpair_stats *q = s->qps[i] ? nvme_qpair_stats(s->qps[i]) : NULL;

        if (!q)
            continue;
        t->reissues += q->reissues;
        t->strays += q->drop_stray;
        t->waits += q->waits;
        t->shadowed += q->shadow_rings;
    }
}

static void scene_run(struct scene *s)
{
    uint32_t turns = 0;
    // A third of the runs ends with requests still out.
    bool leave = rand_chance(&s->world->draw, 0.3);
    bool idle = false;

    while (s->state == NVME_STARTING && turns++ < TURNS_MAX)
        if (!turn(s, idle = !idle))
            return;
    if (s->state == NVME_READY || s->state == NVME_RESETTING)
        queue_pairs_open(s);
    while (s->qp_count && (s->posted < s->to_post || (outstanding(s) && !leave)) &&
           turns++ < TURNS_MAX)
        if (!turn(s, !work(s)))
            return;
    if (outstanding(s) && !leave)
        world_fail(s->world, "%u requests are still out: %s", outstanding(s),
                   nvme_ctrlr_why(s->ctrlr));
    s->to_post = 0;
    if (!s->close_at_once)
        nvme_ctrlr_stop(s->ctrlr);
    while (!s->close_at_once && s->state < NVME_CLOSED && turns++ < TURNS_MAX)
        if (!turn(s, true))
            return;
    if (!s->close_at_once && s->state < NVME_CLOSED)
        world_fail(s->world, "the controller does not shut down");
}

static void scene_close(struct scene *s)
{
    tally_add(s);
    nvme_ctrlr_close(s->ctrlr);
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (s->slots[i].state != FREE)
            world_fail(s->world, "slot %u never ended", i);
        guard_check(s, &s->slots[i], s->slots[i].memory, s->slots[i].memory + SLOT_BYTES);
    }
    if (s->ended != s->posted)
        world_fail(s->world, "%u requests were posted and %u ended", s->posted, s->ended);
    if (s->errors && !s->faults && !s->detach_at && s->state != NVME_CLOSED && !s->close_at_once)
        world_fail(s->world, "%u requests ended with an error", s->errors);
}

static void run(struct world *world)
{
    struct scene *s = calloc(1, sizeof(*s));

    if (!s || mem_arena_open(&world->arena, ARENA_BYTES, 0) < 0) {
        world_fail(world, "no memory for the arena");
        free(s);
        return;
    }
    s->world = world;
    s->tally = *(struct tally *const *)world->shared;
    if (scene_open(s)) {
        scene_run(s);
        scene_close(s);
    }
    for (uint32_t i = 0; i < NAMESPACES; i++)
        free(s->sim.namespaces[i].media);
    for (uint32_t i = 0; i < s->qp_count; i++)
        if (s->arenas[i] != world->arena)
            mem_arena_close(s->arenas[i]);
    mem_arena_close(world->arena);
    free(s);
}

/* What is drawn happens: a simulator that no longer resets anything proves nothing about resets. */
static bool conclude(const void *shared, uint64_t seeds)
{
    const struct tally *t = *(struct tally *const *)shared;

    printf("# resets %llu aborts %llu reissues %llu strays %llu waits %llu lost %llu detached %llu "
           "shut down %llu cut off %llu errors %llu reopened %llu shadowed %llu interrupts %llu\n",
           (unsigned long long)t->resets, (unsigned long long)t->aborts,
           (unsigned long long)t->reissues, (unsigned long long)t->strays,
           (unsigned long long)t->waits, (unsigned long long)t->lost,
           (unsigned long long)t->detached, (unsigned long long)t->stopped,
           (unsigned long long)t->cut, (unsigned long long)t->errors,
           (unsigned long long)t->reopened, (unsigned long long)t->shadowed,
           (unsigned long long)t->interrupts);
    return seeds < ALL_SEEN_SEEDS || (t->resets && t->aborts && t->reissues && t->strays &&
                                      t->waits && t->lost && t->detached && t->stopped && t->cut &&
                                      t->errors && t->reopened && t->shadowed && t->interrupts);
}

int main(int argc, char **argv)
{
    const struct runner_end end = {conclude, "everything that is drawn has happened"};
    struct tally *tally =
        mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (tally == MAP_FAILED) {
        fprintf(stderr, "%s: no memory\n", argv[0]);
        return 1;
    }
    return runner_main_ending(argc, argv, run, &tally, &end);
}

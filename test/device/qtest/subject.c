// SPDX-License-Identifier: BSD-2-Clause
#include "subject.h"

#include "nvme/access.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define ARENA_BYTES    (48u << 20)
#define JOINED_BYTES   (8u << 20)
#define JOINED_BUFFERS (4u << 20)
#define PATIENCE_NS    (15 * NS_PER_S)
#define IDLE_SPINS     20 /* idle turns before the processor is left to the device */
#define IDLE_NS        20000
#define NEAR_BYTES     PAGE_BYTES /* of a request's surroundings, on each side */

bool subject_wrong(struct subject *s, const char *fmt, ...)
{
    va_list args;

    if (s->wrong[0])
        return false;
    va_start(args, fmt);
    vsnprintf(s->wrong, sizeof(s->wrong), fmt, args);
    va_end(args);
    return false;
}

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static bool bring_up(struct subject *s, uint32_t qpairs, uint32_t depth)
{
    struct nvme_config config = {.access = s->access,
                                 .arena = s->arena,
                                 .qpairs = qpairs,
                                 .depth = depth,
                                 .transfer_bytes = SUBJECT_TRANSFER,
                                 .timeout_ns = SUBJECT_TIMEOUT,
                                 .no_sgls = s->no_sgls,
                                 .no_shadow = s->no_shadow};
    char why[200] = "";

    if (nvme_ctrlr_open(&s->ctrlr, &config, why, sizeof(why))) {
        s->ctrlr = NULL;
        s->access->ops->close(s->access);
        return subject_wrong(s, "the controller does not open: %s", why);
    }
    return subject_await(s, NVME_READY);
}

static void made(struct iohdesc *io, int error)
{
    *(int *)io->arg = error;
}

/* Queues are made in turns; what comes before that waits. One request each has come through. */
static bool queues_await(struct subject *s)
{
    struct iohdesc ios[SUBJECT_QPAIRS];
    int errors[SUBJECT_QPAIRS] = {0};

    for (uint32_t i = 0; i < s->qp_count; i++) {
        ios[i] = (struct iohdesc){
            .ioqp = s->qps[i], .ns_id = s->media[0].ns_id, .op_complete = made, .arg = &errors[i]};
        errors[i] = -EINPROGRESS;
        if (nvme_flush(&ios[i]))
            return subject_wrong(s, "a good flush is refused");
    }
    if (!subject_drain(s, 0))
        return false;
    for (uint32_t i = 0; i < s->qp_count; i++)
        if (errors[i])
            return subject_wrong(s, "the first flush on queue pair %u: %d", i + 1, errors[i]);
    return true;
}

static bool queue_open(struct subject *s, uint32_t number)
{
    int error = nvme_open(&s->qps[s->qp_count], s->ctrlr, number, s->arena);

    if (error)
        return subject_wrong(s, "queue pair %u does not open: %d", number, error);
    s->qp_count++;
    return true;
}

bool subject_attach(struct subject *s)
{
    while (s->qp_count < nvme_ctrlr_info(s->ctrlr)->qpairs && s->qp_count < SUBJECT_QPAIRS)
        if (!queue_open(s, s->qp_count + 1))
            return false;
    return queues_await(s);
}

bool subject_part(struct subject *s)
{
    uint64_t limit_ns = clock_ns() + PATIENCE_NS;

    while (s->qp_count) {
        int error = nvme_close(s->qps[s->qp_count - 1]);

        if (!error)
            s->qp_count--;
        else if (error != -EINPROGRESS || clock_ns() > limit_ns)
            return subject_wrong(s, "queue pair %u does not close: %d", s->qp_count, error);
        subject_turn(s);
    }
    return true;
}

bool subject_join(struct subject *s, const struct subject *owner, uint32_t number)
{
    s->access = owner->access;
    s->ctrlr = owner->ctrlr;
    s->joined = true;
    if (!s->arena && mem_arena_open(&s->arena, JOINED_BYTES, 0))
        return subject_wrong(s, "no memory");
    if (!s->buffers)
        s->buffers = mem_arena_alloc(s->arena, JOINED_BUFFERS, PAGE_BYTES);
    s->buffers_bytes = JOINED_BUFFERS;
    return queue_open(s, number) && queues_await(s);
}

bool subject_open(struct subject *s, struct nvme_access *access, uint32_t qpairs, uint32_t depth)
{
    s->access = access;
    if (mem_arena_open(&s->arena, ARENA_BYTES, 0)) {
        access->ops->close(access);
        return subject_wrong(s, "no memory");
    }
    s->buffers_bytes = SUBJECT_BUFFERS;
    s->buffers = mem_arena_alloc(s->arena, s->buffers_bytes, PAGE_BYTES);
    return bring_up(s, qpairs, depth) && subject_attach(s);
}

void subject_close(struct subject *s)
{
    if (s->ctrlr && !s->joined)
        nvme_ctrlr_close(s->ctrlr);
    mem_arena_close(s->arena);
    s->ctrlr = NULL;
    s->arena = NULL;
}

void subject_slots(struct subject *s, uint32_t slots, size_t bytes)
{
    // Any offset in a page, and a page on each side.
    s->slot_bytes = align_up(bytes, PAGE_BYTES) + 3 * (size_t)PAGE_BYTES;
    s->slot_count =
        (uint32_t)min_u64(min_u64(slots, SUBJECT_SLOTS), s->buffers_bytes / s->slot_bytes);
    memset(s->buffers, SUBJECT_GUARD, s->slot_count * s->slot_bytes);
    memset(s->slots, 0, sizeof(s->slots));
    for (uint32_t i = 0; i < s->slot_count; i++) {
        s->slots[i].subject = s;
        s->slots[i].memory = s->slots[i].buf = s->buffers + i * s->slot_bytes;
        memset(&s->slots[i].io, SUBJECT_GUARD, sizeof(s->slots[i].io));
    }
}

/* --- guards ----------------------------------------------------------------------------------- */

static bool guard(struct subject *s, const struct slot *slot, const void *from, size_t bytes,
                  const char *what)
{
    const uint8_t *p = from;
    size_t i = 0;

    // Every byte is the one before it, and the first is right: memcmp is quicker than we are.
    if (!bytes || (*p == SUBJECT_GUARD && !memcmp(p, p + 1, bytes - 1)))
        return true;
    while (p[i] == SUBJECT_GUARD)
        i++;
    return subject_wrong(s, "slot %td: byte %zu of %s is 0x%02x, but was nobody's to write",
                         slot - s->slots, i, what, p[i]);
}

static bool guard_near(struct subject *s, const struct slot *slot)
{
    return guard(s, slot, slot->buf - NEAR_BYTES, NEAR_BYTES, "what lies before its buffer") &&
           guard(s, slot, slot->buf + slot->bytes, NEAR_BYTES, "what lies behind its buffer");
}

bool subject_guards(struct subject *s)
{
    for (uint32_t i = 0; i < s->slot_count; i++)
        if (s->slots[i].state == SLOT_FREE &&
            !(guard(s, &s->slots[i], s->slots[i].memory, s->slot_bytes, "its memory") &&
              guard(s, &s->slots[i], &s->slots[i].io, sizeof(s->slots[i].io), "its descriptor")))
            return false;
    return true;
}

/* --- requests --------------------------------------------------------------------------------- */

static void slot_release(struct slot *slot, int error)
{
    if (slot->state != SLOT_FLUSHING)
        medium_give(slot->medium, slot->lba, slot->count, slot->state == SLOT_WRITING,
                    slot->version, error);
    memset(slot->buf, SUBJECT_GUARD, slot->bytes);
    memset(&slot->io, SUBJECT_GUARD, sizeof(slot->io));
    slot->state = SLOT_FREE;
    slot->error = error;
}

static void ended(struct iohdesc *io, int error)
{
    struct slot *slot = container_of(io, struct slot, io);
    struct subject *s = slot->subject;
    const char *what;

    if (slot->state == SLOT_FREE) {
        subject_wrong(s, "slot %td ended without having been posted", slot - s->slots);
        return;
    }
    if (error && (!s->allowed || !s->allowed(slot, error)))
        subject_wrong(s, "%s of %u blocks at %" PRIu64 " of namespace %u: error %d, status 0x%03x",
                      slot->state == SLOT_READING ? "read" : "write or flush", slot->count,
                      slot->lba, slot->medium->ns_id, error, io->status);
    what = slot->state == SLOT_READING && !error
               ? medium_match(slot->medium, slot->buf, slot->lba, slot->count)
               : NULL;
    if (what)
        subject_wrong(s, "%s", what);
    guard_near(s, slot);
    s->failed += error != 0;
    s->ended++;
    slot_release(slot, error);
}

static struct slot *slot_prepare(struct subject *s, const struct request *request)
{
    struct slot *slot = NULL;
    size_t bytes =
        request->kind == FLUSH ? 0 : (size_t)request->count * request->medium->block_bytes;

    assert(bytes + 3 * (size_t)PAGE_BYTES <= s->slot_bytes);
    for (uint32_t i = 0; i < s->slot_count && !slot; i++)
        if (s->slots[i].state == SLOT_FREE)
            slot = &s->slots[i];
    if (!slot || !guard(s, slot, slot->buf, slot->bytes, "the buffer it had before") ||
        !guard(s, slot, &slot->io, sizeof(slot->io), "its descriptor"))
        return NULL;
    if (request->kind != FLUSH &&
        !medium_take(request->medium, request->lba, request->count, request->kind == WRITE))
        return NULL;
    slot->medium = request->medium;
    slot->lba = request->lba;
    slot->count = request->count;
    slot->buf = slot->memory + PAGE_BYTES + request->off;
    slot->bytes = bytes;
    slot->state = request->kind == READ    ? SLOT_READING
                  : request->kind == WRITE ? SLOT_WRITING
                                           : SLOT_FLUSHING;
    if (request->kind == WRITE) {
        slot->version = ++request->medium->versions;
        medium_fill(request->medium, slot->buf, slot->lba, slot->count, slot->version);
    }
    return slot;
}

struct slot *subject_post(struct subject *s, const struct request *request)
{
    struct slot *slot = slot_prepare(s, request);
    int error;

    if (!slot)
        return NULL;
    slot->io = (struct iohdesc){.ioqp = s->qps[request->qp],
                                .ns_id = request->medium->ns_id,
                                .lba = request->lba,
                                .lba_count = request->count,
                                .buf = slot->buf,
                                .op_complete = ended};
    s->posted++;
    error = request->kind == FLUSH   ? nvme_flush(&slot->io)
            : request->kind == WRITE ? nvme_write(&slot->io)
                                     : nvme_read(&slot->io);
    if (!error)
        return slot;
    if (!s->allowed || !s->allowed(slot, error))
        subject_wrong(s, "a good request is refused: %d", error);
    s->posted--;
    slot_release(slot, error);
    return NULL;
}

/* --- turning ---------------------------------------------------------------------------------- */

bool subject_turn(struct subject *s)
{
    bool busy = false;

    s->state = nvme_ctrlr_turn(s->ctrlr, clock_ns() + s->skew_ns);
    for (uint32_t i = 0; i < s->qp_count; i++)
        busy |= nvme_consume_completions(s->qps[i], nvme_peek_completions(s->qps[i])) > 0;
    return busy;
}

void subject_ring(struct subject *s)
{
    for (uint32_t i = 0; i < s->qp_count; i++) {
        nvme_sqsync(s->qps[i]);
        nvme_cqsync(s->qps[i]);
    }
}

uint32_t subject_outstanding(const struct subject *s)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->qp_count; i++)
        count += nvme_outstanding(s->qps[i]);
    return count;
}

/* After a turn in which nothing happened. */
static void rest(uint32_t *idle)
{
    const struct timespec nap = {.tv_nsec = IDLE_NS};

    if (++*idle < IDLE_SPINS)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

static bool done(const struct subject *s, uint32_t left, const enum nvme_state *state)
{
    return state ? s->state == *state : subject_outstanding(s) <= left;
}

static bool turn_until(struct subject *s, uint32_t left, const enum nvme_state *state)
{
    uint64_t limit_ns = clock_ns() + PATIENCE_NS;
    uint32_t idle = 0;

    while (!done(s, left, state)) {
        subject_ring(s);
        if (subject_turn(s))
            idle = 0;
        else
            rest(&idle);
        if (s->wrong[0])
            return false;
        if (s->state == NVME_DEAD && !done(s, left, state))
            return subject_wrong(s, "the controller is lost: %s", nvme_ctrlr_why(s->ctrlr));
        if (clock_ns() > limit_ns)
            return subject_wrong(s, "%u requests are out and the state is %d after %u s: %s",
                                 subject_outstanding(s), s->state,
                                 (unsigned)(PATIENCE_NS / NS_PER_S), nvme_ctrlr_why(s->ctrlr));
    }
    subject_ring(s);
    return !s->wrong[0];
}

bool subject_drain(struct subject *s, uint32_t left)
{
    return turn_until(s, left, NULL) &&
           (left || s->posted == s->ended ||
            subject_wrong(s, "%u requests were accepted, %u ended", s->posted, s->ended));
}

bool subject_await(struct subject *s, enum nvme_state state)
{
    return turn_until(s, 0, &state);
}

/* --- load ------------------------------------------------------------------------------------- */

static struct request draw(struct subject *s, const struct load *load)
{
    struct rand *r = &s->rand;
    struct medium *medium = &s->media[rand_below(r, s->medium_count)];
    uint32_t dice = (uint32_t)rand_below(r, 100);
    struct request request = {.kind = READ, .medium = medium};
    uint32_t most = load->bytes_max / medium->block_bytes;

    if (dice < load->flushes)
        request.kind = FLUSH;
    else if (dice < load->flushes + load->writes)
        request.kind = WRITE;
    request.qp = (uint32_t)rand_below(r, s->qp_count);
    // As many small ones as large ones, whatever `most` is.
    while (most > 1 && rand_chance(r, 0.4))
        most /= 2;
    request.count = 1 + (uint32_t)rand_below(r, most);
    request.lba = rand_below(r, medium->blocks - request.count + 1);
    request.off = rand_chance(r, 0.5) ? 0 : 4 * rand_below(r, PAGE_BYTES / 4);
    return request;
}

static void load_ring(struct subject *s, const struct load *load)
{
    for (uint32_t i = 0; i < s->qp_count; i++) {
        if (!load->lazy || rand_chance(&s->rand, 0.1))
            nvme_sqsync(s->qps[i]);
        if (!load->lazy || rand_chance(&s->rand, 0.02))
            nvme_cqsync(s->qps[i]);
    }
}

bool subject_load(struct subject *s, const struct load *load)
{
    uint32_t target = s->posted + load->requests, idle = 0;
    uint64_t limit_ns = clock_ns() + PATIENCE_NS;

    while (s->posted < target && !s->wrong[0]) {
        uint32_t tries = load->at_once - (uint32_t)min_u64(load->at_once, subject_outstanding(s));

        for (; tries && s->posted < target; tries--) {
            struct request request = draw(s, load);

            (void)subject_post(s, &request);
        }
        load_ring(s, load);
        if (load->between)
            load->between(s);
        if (subject_turn(s))
            idle = 0;
        else
            rest(&idle);
        if (clock_ns() > limit_ns)
            return subject_wrong(s, "the load takes too long: %u of %u requests are posted",
                                 load->requests - (target - s->posted), load->requests);
    }
    return subject_drain(s, 0) && subject_guards(s);
}

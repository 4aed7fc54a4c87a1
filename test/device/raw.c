// SPDX-License-Identifier: BSD-2-Clause
#include "raw.h"

#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* A submission queue entry and a completion queue entry (4.2, 4.6), as far as they are used. */
struct entry {
    uint8_t opcode, flags;
    uint16_t command;
    uint32_t ns_id;
    uint32_t reserved[4];
    uint64_t prp1, prp2;
    uint64_t lba;
    uint32_t blocks; /* less one */
    uint32_t rest[3];
};
_Static_assert(sizeof(struct entry) == 64, "a submission queue entry");

struct answer {
    uint32_t result, reserved;
    uint16_t sq_head, sq_id;
    uint16_t command;
    uint16_t status; /* bit 0: phase */
};
_Static_assert(sizeof(struct answer) == 16, "a completion queue entry");

uint64_t raw_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- attaching ---------------------------------------------------------------------------------
 */

static int map_areas(struct raw *raw)
{
    const struct diskmap_attach *at = &raw->at;

    raw->queues = mmap(NULL, at->queues_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, raw->fd,
                       (off_t)at->queues_offset);
    if (raw->queues == MAP_FAILED)
        return -errno;
    raw->buffers = NULL;
    if (!at->buffers_bytes || at->buffers_fd != -1)
        return 0;
    raw->buffers = mmap(NULL, at->buffers_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, raw->fd,
                        (off_t)at->buffers_offset);
    if (raw->buffers != MAP_FAILED)
        return 0;
    munmap(raw->queues, at->queues_bytes);
    return -errno;
}

int raw_open(struct raw *raw, const char *path, uint32_t buffers, int buffers_fd)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    return fd < 0 ? -errno : raw_attach(raw, fd, buffers, buffers_fd);
}

int raw_attach(struct raw *raw, int fd, uint32_t buffers, int buffers_fd)
{
    int error;

    *raw = (struct raw){.fd = fd, .at = {.buffers = buffers, .buffers_fd = buffers_fd}};
    if (ioctl(raw->fd, DISKMAP_IOC_INFO, &raw->info) ||
        ioctl(raw->fd, DISKMAP_IOC_NAMESPACE, &raw->ns) ||
        ioctl(raw->fd, DISKMAP_IOC_ATTACH, &raw->at)) {
        error = -errno;
        close(raw->fd);
        return error;
    }
    error = map_areas(raw);
    if (error)
        close(raw->fd);
    raw_rewind(raw);
    return error;
}

void raw_close(struct raw *raw)
{
    munmap(raw->queues, raw->at.queues_bytes);
    if (raw->buffers)
        munmap(raw->buffers, raw->at.buffers_bytes);
    close(raw->fd);
}

void raw_rewind(struct raw *raw)
{
    raw->tail = raw->head = 0;
    raw->phase = 1;
}

/* --- commands ----------------------------------------------------------------------------------
 */

void raw_post(struct raw *raw, uint16_t command, uint8_t opcode, uint64_t lba, uint64_t bus,
              uint32_t bytes)
{
    const struct diskmap_attach *at = &raw->at;
    struct entry *sq = (void *)(raw->queues + at->sq_offset);
    size_t list_at = at->lists_offset + (size_t)command * at->list_bytes;
    uint64_t *list = (void *)(raw->queues + list_at);
    uint32_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    struct entry entry = {.opcode = opcode,
                          .command = command,
                          .ns_id = raw->ns.ns_id,
                          .prp1 = bus,
                          .lba = lba,
                          .blocks = bytes / raw->ns.block_bytes - 1};

    for (uint32_t i = 1; i < pages; i++)
        list[i - 1] = bus + (uint64_t)i * PAGE_BYTES;
    if (pages == 2)
        entry.prp2 = list[0];
    else if (pages > 2)
        entry.prp2 = at->queues_bus + list_at;
    sq[raw->tail] = entry;
    raw->tail = (uint16_t)((raw->tail + 1u) % at->entries);
}

int raw_ring_sq(struct raw *raw)
{
    return ioctl(raw->fd, DISKMAP_IOC_RING_SQ, raw->tail) ? -errno : 0;
}

int raw_ring_cq(struct raw *raw)
{
    return ioctl(raw->fd, DISKMAP_IOC_RING_CQ, raw->head) ? -errno : 0;
}

bool raw_take(struct raw *raw, struct raw_completion *completion)
{
    const struct answer *cq = (const void *)(raw->queues + raw->at.cq_offset);
    const struct answer *answer = &cq[raw->head];
    uint16_t status = __atomic_load_n(&answer->status, __ATOMIC_ACQUIRE);

    if ((status & 1) != raw->phase)
        return false;
    *completion = (struct raw_completion){.command = answer->command, .status = status >> 1};
    if (++raw->head == raw->at.entries) {
        raw->head = 0;
        raw->phase ^= 1;
    }
    return true;
}

bool raw_await(struct raw *raw, struct raw_completion *completion, bool asleep)
{
    uint64_t deadline = raw_now_ns() + RAW_TIMEOUT_MS * NS_PER_MS;
    struct pollfd fd = {.fd = raw->fd, .events = POLLIN};

    while (!raw_take(raw, completion)) {
        if (raw_now_ns() > deadline)
            return false;
        // What was taken is not rung yet: else the module would say that it is there.
        if (asleep &&
            (raw_ring_cq(raw) || poll(&fd, 1, RAW_TIMEOUT_MS) != 1 || fd.revents & POLLERR))
            return false;
    }
    return true;
}

/* --- what is on a disk -------------------------------------------------------------------------
 */

#define WORDS (RAW_SECTOR / sizeof(uint64_t))

static uint64_t word(uint32_t disk, uint32_t index, uint32_t generation, size_t i)
{
    uint64_t x = ((uint64_t)disk << 56) ^ ((uint64_t)generation << 32) ^ index;

    x = (x + i * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
    return x ^ x >> 29;
}

void raw_fill(void *sector, uint32_t disk, uint32_t index, uint32_t generation)
{
    uint64_t *words = sector;

    for (size_t i = 0; i < WORDS; i++)
        words[i] = word(disk, index, generation, i);
}

bool raw_is(const void *sector, uint32_t disk, uint32_t index, uint32_t generation)
{
    const uint64_t *words = sector;
    uint64_t wrong = 0;

    for (size_t i = 0; i < WORDS; i++)
        wrong |= words[i] ^ word(disk, index, generation, i);
    return !wrong;
}

int raw_image(const char *path, uint32_t disk, uint32_t mib)
{
    FILE *file = fopen(path, "we");
    uint64_t sector[WORDS];
    int error = 0;

    if (!file)
        return -errno;
    for (uint32_t i = 0; i < mib * ((1u << 20) / RAW_SECTOR); i++) {
        raw_fill(sector, disk, i, 0);
        if (fwrite(sector, RAW_SECTOR, 1, file) != 1)
            error = -EIO;
    }
    return fclose(file) ? -errno : error;
}

/* --- a load ------------------------------------------------------------------------------------
 */

struct request {
    uint32_t first, count; /* sectors, from the load's first on */
    bool write, out;
};

struct run {
    struct raw_load *load;
    struct rand rand;
    uint32_t buffer_sectors; /* each command has as many */
    struct request requests[RAW_COMMANDS];
};

static bool fail(struct raw_load *load, const struct request *r, const char *what)
{
    if (!load->what[0])
        snprintf(load->what, sizeof(load->what), "%s of sectors %u + %u: %s",
                 r->write ? "write" : "read", load->first + r->first, r->count, what);
    return false;
}

/* Anywhere in the command's stripe, of any length that fits. */
static void draw(struct run *run, uint32_t command)
{
    struct raw_load *load = run->load;
    struct request *r = &run->requests[command];
    uint32_t block = load->raw->ns.block_bytes / RAW_SECTOR;
    uint32_t stripe = load->count / load->depth / block; /* in blocks */
    uint32_t most = min_u32(stripe, run->buffer_sectors / block), blocks, at;

    blocks = 1 + (uint32_t)rand_below(&run->rand, most);
    at = (uint32_t)rand_below(&run->rand, stripe - blocks + 1);
    r->first = (command * stripe + at) * block;
    r->count = blocks * block;
    r->write = rand_chance(&run->rand, 0.3);
    r->out = true;
}

static void post(struct run *run, uint32_t command)
{
    struct raw_load *load = run->load;
    struct raw *raw = load->raw;
    struct request *r = &run->requests[command];
    size_t off = (size_t)command * run->buffer_sectors * RAW_SECTOR;
    uint32_t block = raw->ns.block_bytes / RAW_SECTOR;

    draw(run, command);
    for (uint32_t i = 0; i < r->count; i++) {
        char *sector = raw->buffers + off + (size_t)i * RAW_SECTOR;

        if (r->write)
            raw_fill(sector, load->disk, load->first + r->first + i,
                     load->generations[r->first + i] + 1);
        else
            memset(sector, 0xa5, RAW_SECTOR); // what a read leaves alone is not taken for data
    }
    raw_post(raw, (uint16_t)command, r->write ? RAW_WRITE : RAW_READ,
             (load->first + r->first) / block, raw->at.buffers_bus + off, r->count * RAW_SECTOR);
}

static bool judge(struct run *run, const struct raw_completion *completion)
{
    struct raw_load *load = run->load;
    uint32_t command = completion->command;
    struct request *r = &run->requests[command < load->depth ? command : 0];
    char what[64];

    if (command >= load->depth || !r->out)
        return fail(load, r, "a completion of a command that is not out");
    r->out = false;
    if (completion->status) {
        snprintf(what, sizeof(what), "status %#x", completion->status);
        return fail(load, r, what);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const char *sector =
            load->raw->buffers + ((size_t)command * run->buffer_sectors + i) * RAW_SECTOR;
        uint32_t *generation = &load->generations[r->first + i];

        if (r->write)
            ++*generation;
        else if (!raw_is(sector, load->disk, load->first + r->first + i, *generation))
            return fail(load, r, "wrong data");
    }
    return true;
}

bool raw_load(struct raw_load *load)
{
    struct raw *raw = load->raw;
    struct run run = {.load = load};
    uint64_t posted = 0, ended = 0;

    rand_seed(&run.rand, load->seed);
    load->what[0] = '\0';
    run.buffer_sectors =
        (uint32_t)min_u64(raw->at.buffers_bytes / load->depth / PAGE_BYTES * PAGE_BYTES,
                          raw->info.transfer_bytes) /
        RAW_SECTOR;
    while (posted < load->depth && posted < load->requests)
        post(&run, (uint32_t)posted++);
    while (ended < posted) {
        struct raw_completion completion;
        int error = raw_ring_sq(raw);

        if (error || !raw_await(raw, &completion, load->asleep)) {
            snprintf(load->what, sizeof(load->what), "%llu of %llu commands ended: %s",
                     (unsigned long long)ended, (unsigned long long)posted,
                     error ? strerror(-error) : "the rest did not come");
            return false;
        }
        do {
            ended++;
            if (!judge(&run, &completion))
                return false;
            if (posted < load->requests) {
                post(&run, completion.command);
                posted++;
            }
        } while (raw_take(raw, &completion));
        if (raw_ring_cq(raw))
            return fail(load, &run.requests[0], "the completion doorbell was refused");
    }
    return true;
}

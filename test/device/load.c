// SPDX-License-Identifier: BSD-2-Clause
#include "load.h"

#include "base/rand.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DISKS_MAX  8
#define DRAWS      64   /* places that are tried for a request before another is drawn */
#define SLEEP_MS   1000 /* an interrupt comes sooner */
#define STALLED_NS (15 * NS_PER_S)

struct slot {
    struct iohdesc io;
    struct side *side;
    uint32_t first, count; /* sectors */
    bool write, out;
};

/* One disk. */
struct side {
    struct load *load;
    struct disk *disk;
    struct image *image;
    struct slot *slots;
    char *buffers;
    uint64_t posted, ended;
    uint64_t last_ns; /* when something ended */
    struct rand rand;
};

static void complain(struct load *load, const struct slot *slot, const char *what)
{
    if (!load->what[0])
        snprintf(load->what, sizeof(load->what), "%s of sectors %u + %u of disk %u: %s",
                 slot->write ? "write" : "read", slot->first, slot->count, slot->side->disk->number,
                 what);
}

static void ended(struct iohdesc *io, int error)
{
    struct slot *slot = io->arg;
    struct side *side = slot->side;
    struct load *load = side->load;
    char what[128];

    side->ended++;
    side->last_ns = now_ns();
    if (!slot->out) {
        complain(load, slot, "ended twice");
        load->errors++;
        return;
    }
    slot->out = false;
    image_give(side->image, slot->first, slot->count, slot->write);
    load->bytes += (uint64_t)slot->count * SECTOR_BYTES;
    if (error) {
        load->errors++;
        snprintf(what, sizeof(what), "%s, status 0x%03x", strerror(-error), io->status);
        complain(load, slot, what);
    } else if (slot->write) {
        load->writes++;
        image_written(side->image, slot->first, slot->count);
        if (load->on_write)
            load->on_write(load->arg, slot->first, slot->count, true);
    } else {
        load->reads++;
        if (!image_check(side->image, io->buf, slot->first, slot->count, what, sizeof(what))) {
            load->bad++;
            complain(load, slot, what);
        }
    }
}

/* A place for the request that nobody else is in the way of. */
static bool draw(struct side *side, struct slot *slot)
{
    const struct load *load = side->load;
    uint32_t block = side->disk->ns->block_bytes / SECTOR_BYTES;
    uint32_t least = load->min_bytes / SECTOR_BYTES / block;
    uint32_t most = load->max_bytes / SECTOR_BYTES / block;

    slot->write = rand_chance(&side->rand, load->write);
    slot->count = (least + (uint32_t)rand_below(&side->rand, most - least + 1)) * block;
    for (int i = 0; i < DRAWS; i++) {
        slot->first =
            (uint32_t)rand_below(&side->rand, (side->image->sectors - slot->count) / block + 1) *
            block;
        if (image_take(side->image, slot->first, slot->count, slot->write))
            return true;
    }
    return false;
}

static bool post(struct side *side, struct slot *slot)
{
    struct load *load = side->load;
    uint32_t index = (uint32_t)(slot - side->slots);
    uint32_t block = side->disk->ns->block_bytes / SECTOR_BYTES;
    int error;

    if (!draw(side, slot))
        return false;
    slot->out = true;
    slot->io = (struct iohdesc){.ioqp = side->disk->qp,
                                .ns_id = side->disk->ns->ns_id,
                                .lba = slot->first / block,
                                .lba_count = slot->count / block,
                                .buf = side->buffers + (size_t)index * load->max_bytes,
                                .op_complete = ended,
                                .arg = slot};
    if (slot->write) {
        image_fill(side->image, slot->io.buf, slot->first, slot->count);
        if (load->on_write)
            load->on_write(load->arg, slot->first, slot->count, false);
    } else {
        // What a read leaves alone is not taken for what it brought.
        memset(slot->io.buf, 0xa5, (size_t)slot->count * SECTOR_BYTES);
    }
    side->posted++;
    error = slot->write ? nvme_write(&slot->io) : nvme_read(&slot->io);
    if (error)
        ended(&slot->io, error);
    return true;
}

static void side_post(struct side *side)
{
    for (uint32_t i = 0; i < side->load->depth && side->posted < side->load->requests; i++)
        if (!side->slots[i].out && !post(side, &side->slots[i]))
            break;
    nvme_sqsync(side->disk->qp);
}

static void side_sleep(struct side *side)
{
    struct pollfd fd = {.fd = nvme_fd(side->disk->qp), .events = POLLIN};
    uint64_t count;

    if (fd.fd < 0) {
        side->load->missed++;
        return;
    }
    // What an eventfd has counted is taken; others have nothing to be read.
    if (poll(&fd, 1, SLEEP_MS) == 1 && (read(fd.fd, &count, sizeof(count)) > 0 || errno == EINVAL))
        side->load->wakes++;
    else if (nvme_peek_completions(side->disk->qp))
        side->load->missed++;
}

static bool side_reap(struct side *side)
{
    struct nvme_qpair *qp = side->disk->qp;
    uint32_t count;

    if (side->load->sleeps && side->posted > side->ended && !nvme_peek_completions(qp))
        side_sleep(side);
    count = nvme_peek_completions(qp);
    nvme_consume_completions(qp, count);
    nvme_cqsync(qp);
    if (disk_turn(side->disk) == NVME_DEAD) {
        snprintf(side->load->what, sizeof(side->load->what), "disk %u: %s", side->disk->number,
                 nvme_ctrlr_why(side->disk->ctrlr));
        return false;
    }
    if (side->posted > side->ended && now_ns() > side->last_ns + STALLED_NS) {
        snprintf(side->load->what, sizeof(side->load->what),
                 "disk %u: nothing has ended for %llu s, %llu of %llu requests are out",
                 side->disk->number, STALLED_NS / NS_PER_S,
                 (unsigned long long)(side->posted - side->ended),
                 (unsigned long long)side->load->requests);
        return false;
    }
    return true;
}

static bool side_init(struct side *side, struct load *load, uint32_t index)
{
    *side = (struct side){.load = load,
                          .disk = &load->disks[index],
                          .image = &load->images[index],
                          .last_ns = now_ns()};
    side->slots = calloc(load->depth, sizeof(*side->slots));
    side->buffers = load->buffers + (size_t)index * load->depth * load->max_bytes;
    rand_seed(&side->rand, load->seed + index);
    for (uint32_t i = 0; side->slots && i < load->depth; i++)
        side->slots[i].side = side;
    return side->slots;
}

bool load_run(struct load *load)
{
    static struct side sides[DISKS_MAX];
    uint32_t ready = 0, busy;
    bool good = load->disk_count <= DISKS_MAX;

    memset(sides, 0, sizeof(sides));
    while (good && ready < load->disk_count)
        good = side_init(&sides[ready], load, ready) && ++ready;
    if (!good)
        snprintf(load->what, sizeof(load->what), "out of memory, or too many disks");
    do {
        busy = 0;
        for (uint32_t i = 0; i < load->disk_count && good; i++) {
            side_post(&sides[i]);
            good = side_reap(&sides[i]);
            busy += sides[i].ended < load->requests;
        }
    } while (good && busy);
    // Requests that are still out are ended when the disk is closed, by a callback.
    for (uint32_t i = 0; i < DISKS_MAX; i++)
        if (sides[i].posted == sides[i].ended)
            free(sides[i].slots);
    return good && !load->errors && !load->bad && !load->missed;
}

/* --- all of it -------------------------------------------------------------------------------- */

#define SCAN_PARTS 8u

static void scanned(struct iohdesc *io, int error)
{
    int *left = io->arg;

    // An error ends the scan: no count comes to this by itself.
    *left = error ? INT32_MIN / 2 : *left - 1;
}

/* Reads the parts of one buffer that lie on the disk. Returns how many sectors, 0 on an error. */
static uint32_t scan_read(struct disk *disk, uint32_t first, char *buffers)
{
    uint32_t part = LOAD_SCAN_BYTES / SCAN_PARTS / SECTOR_BYTES;
    uint32_t block = disk->ns->block_bytes / SECTOR_BYTES;
    uint32_t sectors = min_u32(SCAN_PARTS * part, disk->sectors - first);
    uint64_t begin = now_ns();
    struct iohdesc ios[SCAN_PARTS];
    int left = 0;

    for (uint32_t at = 0; at < sectors; at += part) {
        struct iohdesc *io = &ios[at / part];

        *io = (struct iohdesc){.ioqp = disk->qp,
                               .ns_id = disk->ns->ns_id,
                               .lba = (first + at) / block,
                               .lba_count = min_u32(part, sectors - at) / block,
                               .buf = buffers + (size_t)at * SECTOR_BYTES,
                               .op_complete = scanned,
                               .arg = &left};
        left++;
        if (nvme_read(io))
            return 0;
    }
    while (left > 0 && now_ns() < begin + STALLED_NS && disk_turn(disk) != NVME_DEAD) {
        nvme_sqsync(disk->qp);
        nvme_consume_completions(disk->qp, SCAN_PARTS);
        nvme_cqsync(disk->qp);
    }
    return left ? 0 : sectors;
}

bool load_scan(struct disk *disk, struct image *image, char *buffers, char *what, size_t what_bytes)
{
    uint32_t count;

    for (uint32_t first = 0; first < disk->sectors; first += count) {
        count = scan_read(disk, first, buffers);
        if (!count) {
            snprintf(what, what_bytes, "sectors from %u on cannot be read", first);
            return false;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (image_adopt(image, buffers + (size_t)i * SECTOR_BYTES, first + i))
                continue;
            snprintf(what, what_bytes, "sector %u of disk %u is of no generation", first + i,
                     disk->number);
            return false;
        }
    }
    return true;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * nvme_read.c - random reads from a disk that belongs to this process.
 *
 *     nvme_read sim:              a controller in software, in this process
 *     nvme_read 0000:01:00.0      a controller that is bound to vfio-pci
 *     nvme_read diskmap0          a controller that the kernel module diskmap has
 *     nvme_read DISK READS        so many of them, instead of 100,000
 *
 * It is the smallest program that uses lib/nvme as a server does: requests are posted, one doorbell
 * is rung for all of them, completions are consumed, and each callback posts the next request.
 * Nothing blocks; a program that has nothing else to do may sleep where this one goes around.
 */
#include "base/rand.h"
#include "nvme/nvme.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WINDOW         32 /* requests that are out */
#define READ_BYTES     16384
#define ARENA_BYTES    (8u << 20)
#define SIM_BLOCKS     (64u << 20 >> 9)
#define READS          100000
#define NAME_BYTES_MAX 64

struct reader {
    struct nvme_access *access;
    struct nvme_ctrlr *ctrlr;
    struct mem_arena *arena;
    struct nvme_qpair *ioqp;
    const struct nvme_namespace *ns;
    struct iohdesc ios[WINDOW];
    struct rand rand;
    uint64_t to_post, to_end, failed;
    void *media;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void read_post(struct reader *r, struct iohdesc *io)
{
    if (!r->to_post)
        return;
    r->to_post--;
    io->lba = rand_below(&r->rand, r->ns->blocks - io->lba_count + 1);
    // Refused, it never was the driver's: there will be no callback.
    if (nvme_read(io)) {
        r->failed++;
        r->to_end--;
    }
}

/* io->buf has the data. */
static void read_done(struct iohdesc *io, int error)
{
    struct reader *r = io->arg;

    r->failed += error != 0;
    r->to_end--;
    read_post(r, io);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int access_open(struct reader *r, const char *disk, char *why, size_t why_bytes)
{
    struct nvme_sim_config sim = {.interrupts = true};
    struct nvme_kmod_config kmod = {.name = disk, .memory_bytes = ARENA_BYTES};

    if (strncmp(disk, "diskmap", 7) == 0)
        return nvme_kmod_open(&r->access, &kmod, why, why_bytes);
    if (strcmp(disk, "sim:") != 0)
        return nvme_vfio_open(&r->access, disk, why, why_bytes);
    r->media = calloc(SIM_BLOCKS, 512);
    sim.namespaces[0] = (struct nvme_sim_namespace){r->media, SIM_BLOCKS, .block_log = 9};
    return r->media ? nvme_sim_open(&r->access, &sim) : -1;
}

/* A module's memory is the only one that its disk can reach; otherwise any will do. */
static int arena_open(struct reader *r)
{
    size_t bytes;
    void *base;

    if (nvme_access_memory(r->access, &base, &bytes))
        return mem_arena_open_in(&r->arena, base, bytes);
    return mem_arena_open(&r->arena, ARENA_BYTES, MEM_ARENA_HUGE);
}

static bool reader_open(struct reader *r, const char *disk, char *why, size_t why_bytes)
{
    struct nvme_config config = {.qpairs = 1, .depth = WINDOW};

    if (access_open(r, disk, why, why_bytes) || arena_open(r))
        return false;
    config.access = r->access;
    config.arena = r->arena;
    if (nvme_ctrlr_open(&r->ctrlr, &config, why, why_bytes))
        return false;
    while (nvme_ctrlr_turn(r->ctrlr, now_ns()) == NVME_STARTING)
        ;
    r->ns = nvme_ctrlr_namespace(r->ctrlr, 0);
    if (!r->ns || r->ns->blocks * r->ns->block_bytes < READ_BYTES) {
        snprintf(why, why_bytes, "%s", nvme_ctrlr_why(r->ctrlr));
        return false;
    }
    return nvme_open(&r->ioqp, r->ctrlr, 1, r->arena) == 0;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void reads_run(struct reader *r)
{
    for (uint32_t i = 0; i < WINDOW; i++) {
        r->ios[i] = (struct iohdesc){.ioqp = r->ioqp,
                                     .ns_id = r->ns->ns_id,
                                     .lba_count = READ_BYTES / r->ns->block_bytes,
                                     .buf = mem_arena_alloc(r->arena, READ_BYTES, PAGE_BYTES),
                                     .op_complete = read_done,
                                     .arg = r};
        read_post(r, &r->ios[i]);
    }
    while (r->to_end) {
        nvme_sqsync(r->ioqp);
        nvme_ctrlr_turn(r->ctrlr, now_ns());
        nvme_consume_completions(r->ioqp, nvme_peek_completions(r->ioqp));
        nvme_cqsync(r->ioqp);
    }
}

static void reader_close(struct reader *r)
{
    enum nvme_state state = NVME_DEAD;

    if (r->ioqp)
        while (nvme_close(r->ioqp) != 0)
            nvme_ctrlr_turn(r->ctrlr, now_ns());
    if (r->ctrlr)
        nvme_ctrlr_stop(r->ctrlr);
    while (r->ctrlr && (state = nvme_ctrlr_turn(r->ctrlr, now_ns())) != NVME_CLOSED &&
           state != NVME_DEAD)
        ;
    if (r->ctrlr)
        nvme_ctrlr_close(r->ctrlr);
    else if (r->access)
        nvme_access_close(r->access);
    mem_arena_close(r->arena);
    free(r->media);
}

int main(int argc, char **argv)
{
    static struct reader r;
    uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : READS, from_ns;
    char why[200] = "no memory";
    bool open;

    if (argc < 2 || argc > 3 || !count) {
        fprintf(stderr, "usage: nvme_read sim:|PCI-ADDRESS|diskmapN [READS]\n");
        return 2;
    }
    r.to_post = r.to_end = count;
    rand_seed(&r.rand, 1);
    open = reader_open(&r, argv[1], why, sizeof(why));
    from_ns = now_ns();
    if (open)
        reads_run(&r);
    if (open)
        printf("%llu reads of %u bytes from %s (%s), %llu failed: %.0f a second\n",
               (unsigned long long)count, READ_BYTES, argv[1], nvme_ctrlr_info(r.ctrlr)->model,
               (unsigned long long)r.failed,
               (double)count * NS_PER_S / (double)(now_ns() - from_ns + 1));
    else
        fprintf(stderr, "nvme_read: %s: %s\n", argv[1], why);
    reader_close(&r);
    return !open || r.failed;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * nvme_null.c - what the NVMe driver costs: 4 KiB reads on one core, from a disk that takes no
 * time.
 *
 *     nvme_null [--ios N] [--batch N] [--bytes N]
 *     valgrind --tool=callgrind --collect-atstart=no --toggle-collect=nvme_null_measured nvme_null
 *
 * Every read is posted, rung for, completed by the controller in software within the doorbell,
 * consumed and called back; no data moves. The figure is that of driver and controller together, by
 * the CPU time of the thread; what callgrind counts in the files sim*.c is the controller's. Prints
 * JSON, and fails if a read did not come back. `--bytes` makes longer reads, of which each has a
 * list of pages to be built.
 */
#include "base/rand.h"
#include "nvme/nvme.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEPTH       128
#define BLOCK_LOG   12
#define BLOCKS      (1ull << 28) /* a terabyte */
#define BYTES_MAX   (128u << 10)
#define ARENA_BYTES (64u << 20)
#define WARM_ROUNDS 100
#define LBAS        4096 /* drawn beforehand, a power of two */

struct bench {
    struct mem_arena *arena;
    struct nvme_ctrlr *ctrlr;
    struct nvme_qpair *qp;
    struct iohdesc ios[DEPTH];
    uint64_t lbas[LBAS];
    uint64_t posted, done, failed;
    uint32_t batch, blocks;
};

static void read_done(struct iohdesc *io, int error)
{
    struct bench *b = io->arg;

    b->done++;
    b->failed += error != 0;
}

/* Seen by name; called once to warm up and once to be measured. */
void nvme_null_measured(struct bench *b, uint64_t rounds);

__attribute__((noinline)) void nvme_null_measured(struct bench *b, uint64_t rounds)
{
    while (rounds--) {
        for (uint32_t i = 0; i < b->batch; i++) {
            struct iohdesc *io = &b->ios[i];

            io->lba = b->lbas[b->posted++ % LBAS];
            b->failed += nvme_read(io) != 0;
        }
        nvme_sqsync(b->qp);
        nvme_consume_completions(b->qp, nvme_peek_completions(b->qp));
        nvme_cqsync(b->qp);
    }
}

/* The queues are there when the first request has come back. */
static bool bench_settle(struct bench *b, uint64_t now_ns)
{
    b->ios[0].lba = 0;
    if (nvme_read(&b->ios[0]))
        return false;
    b->posted++;
    while (!b->done && nvme_ctrlr_turn(b->ctrlr, now_ns++) == NVME_READY)
        nvme_consume_completions(b->qp, nvme_peek_completions(b->qp));
    nvme_cqsync(b->qp);
    return b->done == 1;
}

static bool bench_open(struct bench *b)
{
    struct nvme_sim_config sim = {.namespaces = {{.blocks = BLOCKS, .block_log = BLOCK_LOG}}};
    struct nvme_config config = {.qpairs = 1, .depth = DEPTH, .transfer_bytes = BYTES_MAX};
    struct rand rand;
    uint64_t now_ns = 1;
    char why[200];

    if (mem_arena_open(&b->arena, ARENA_BYTES, MEM_ARENA_HUGE) ||
        nvme_sim_open(&config.access, &sim))
        return false;
    config.arena = b->arena;
    if (nvme_ctrlr_open(&b->ctrlr, &config, why, sizeof(why)))
        return false;
    while (nvme_ctrlr_turn(b->ctrlr, now_ns) == NVME_STARTING)
        now_ns = nvme_ctrlr_next_ns(b->ctrlr);
    if (nvme_open(&b->qp, b->ctrlr, 1, b->arena))
        return false;
    rand_seed(&rand, 1);
    for (uint32_t i = 0; i < LBAS; i++)
        b->lbas[i] = rand_below(&rand, BLOCKS - b->blocks);
    for (uint32_t i = 0; i < DEPTH; i++) {
        b->ios[i] = (struct iohdesc){
            .ioqp = b->qp, .ns_id = 1, .lba_count = b->blocks, .op_complete = read_done, .arg = b};
        b->ios[i].buf = mem_arena_alloc(b->arena, (size_t)b->blocks << BLOCK_LOG, PAGE_BYTES);
        if (!b->ios[i].buf)
            return false;
    }
    return bench_settle(b, now_ns);
}

static double cpu_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / NS_PER_S;
}

static int usage(void)
{
    fprintf(stderr, "usage: nvme_null [--ios N] [--batch 1-%d] [--bytes N: pages, up to %u]\n",
            DEPTH, BYTES_MAX);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"ios", required_argument, NULL, 'n'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"bytes", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    static struct bench b;
    uint64_t ios = 10000000, bytes = PAGE_BYTES, rounds;
    double seconds;
    int c;

    b.batch = 32;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

        if (c == 'n')
            ios = value;
        else if (c == 'b')
            b.batch = (uint32_t)value;
        else if (c == 's')
            bytes = value;
        else
            return usage();
    }
    if (!ios || !b.batch || b.batch > DEPTH || !bytes || bytes > BYTES_MAX || bytes % PAGE_BYTES)
        return usage();
    b.blocks = (uint32_t)(bytes >> BLOCK_LOG);
    if (!bench_open(&b)) {
        fprintf(stderr, "nvme_null: the controller in software did not start\n");
        return 1;
    }
    nvme_null_measured(&b, WARM_ROUNDS);
    rounds = (ios + b.batch - 1) / b.batch;
    seconds = cpu_s();
    nvme_null_measured(&b, rounds);
    seconds = cpu_s() - seconds;
    printf("{\"reads\": %llu, \"warm_reads\": %u, \"bytes\": %llu, \"per_doorbell\": %u, "
           "\"reads_per_s\": %.0f}\n",
           (unsigned long long)(rounds * b.batch), WARM_ROUNDS * b.batch, (unsigned long long)bytes,
           b.batch, (double)(rounds * b.batch) / seconds);
    if (b.failed || b.done != b.posted)
        fprintf(stderr, "nvme_null: %llu of %llu reads failed\n", (unsigned long long)b.failed,
                (unsigned long long)b.posted);
    nvme_ctrlr_close(b.ctrlr);
    return b.failed || b.done != b.posted;
}

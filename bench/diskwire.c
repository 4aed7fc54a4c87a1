// SPDX-License-Identifier: BSD-2-Clause
/*
 * diskwire.c - from disk to wire with few or many buffers, at once or late: how much memory is in
 * use on the way, and what that costs.
 *
 *     diskwire --engine pread|io_uring|libnvme [options] DISK...
 *
 * Reads of one size go at random places of the disks into `--buffers` buffers, and from there as
 * payload of frames to a port: `pipe`, whose other end throws them away, or `tap:NAME`. A buffer
 * goes round:
 *
 *     free -> out to the disk -> queued -> in a frame -> held -> free
 *
 * --window  reads that are out to the disk
 * --queue   reads that are done and wait until as many others are: the consumer is late
 * --hold    microseconds until a buffer is given back after the port is done with it: the port is
 *           late to say so
 * --order   stack: the buffer that was given back last is used next, as the server's pools do;
 *           ring: the one that was given back first, as a ring of descriptors does
 * --cold    the buffers are driven out of the caches before the beginning; otherwise they have just
 *           been touched
 *
 * "in_use_bytes" is the most that was not free at any time, "touched_bytes" what was used at all
 * while it counted: what has to fit a cache if the bytes are to be there when they are sent.
 */
#include "base/rand.h"
#include "engine.h"
#include "nmio/nmio.h"

#include <errno.h>
#include <getopt.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUFFERS_MAX   65536
#define BYTES_MAX     65536
#define FRAME_PAYLOAD 8192 /* of a read: one frame for the usual size, no port needs to cut it */
#define MTU           (FRAME_PAYLOAD + 808) /* 9,000 */
#define ETHERTYPE     0x88b5 /* IEEE 802: for local experiments, which every host ignores */
#define PIPE_DEPTH    16
#define PORT_BYTES    (8u << 20)   /* of the arena: a TAP's receive buffers, or a pipe's */
#define COLD_BYTES    (256u << 20) /* more than any cache */
#define WHY_BYTES     320
/* Of the arena, at most: pages of headroom and behind the data, one that makes the number of pages
 * odd, and the tables (mem.h). */
#define CHUNK_BYTES(bytes) (align_up(bytes, PAGE_BYTES) + 3 * PAGE_BYTES + CACHE_LINE)

struct options {
    const struct engine_ops *ops;
    struct engine_config engine;
    const char *port;
    uint32_t buffers, queue;
    uint64_t hold_ns, seed;
    double seconds, warm_seconds;
    bool ring, cold;
};

struct buffer {
    struct engine_io io;
    struct mem_chunk *chunk;
    uint64_t free_ns; /* held until then */
    uint32_t round;   /* in which it was used last */
};

/* Buffers in the order in which they came; as large as there are buffers. */
struct fifo {
    struct buffer **items;
    uint32_t mask, head, tail;
};

struct bench {
    const struct options *o;
    struct engine *engine;
    struct nmio_port *port, *far; /* far: the pipe's other end */
    struct mem_chunks chunks;
    struct buffer *buffers;
    struct fifo free, queued, held;
    struct engine_io **done;
    uint32_t *slots; /* of the engine, that are not in use */
    uint32_t slot_count, in_use, in_use_high, touched, round;
    struct rand rand;
    uint64_t places, reads, starved;
    int error;
    char why[WHY_BYTES];
};

static uint32_t fifo_count(const struct fifo *f)
{
    return f->tail - f->head;
}

static void fifo_put(struct fifo *f, struct buffer *b)
{
    f->items[f->tail++ & f->mask] = b;
}

static struct buffer *fifo_first(const struct fifo *f)
{
    return f->items[f->head & f->mask];
}

static struct buffer *fifo_take(struct fifo *f)
{
    return f->items[f->head++ & f->mask];
}

static struct buffer *fifo_take_last(struct fifo *f)
{
    return f->items[--f->tail & f->mask];
}

/* --- the round -------------------------------------------------------------------------------- */

static void post(struct bench *b)
{
    while (b->slot_count && fifo_count(&b->free)) {
        struct buffer *buffer = b->o->ring ? fifo_take(&b->free) : fifo_take_last(&b->free);
        struct engine_io *io = &buffer->io;

        io->slot = b->slots[--b->slot_count];
        io->disk = (uint32_t)(b->reads + io->slot) % b->o->engine.disk_count;
        io->off = rand_below(&b->rand, b->places) * b->o->engine.bytes;
        if (buffer->round != b->round) {
            buffer->round = b->round;
            b->touched++;
        }
        b->in_use_high = max_u32(b->in_use_high, ++b->in_use);
        engine_submit(b->engine, io);
    }
    b->starved += b->slot_count > 0;
}

static void collect(struct bench *b, uint64_t now_ns)
{
    uint32_t n = engine_reap(b->engine, b->done, now_ns);

    for (uint32_t i = 0; i < n; i++) {
        struct engine_io *io = b->done[i];

        if (io->error && !b->error) {
            b->error = io->error;
            snprintf(b->why, sizeof(b->why), "%.100s: the read at %llu: %s",
                     b->o->engine.disks[io->disk], (unsigned long long)io->off,
                     strerror(-io->error));
        }
        b->slots[b->slot_count++] = io->slot;
        fifo_put(&b->queued, container_of(io, struct buffer, io));
    }
    b->reads += n;
}

/* What the pipe brought is thrown away at once, so that it needs one buffer, not many. */
static void swallow(struct bench *b, uint64_t now_ns)
{
    struct nmio_pkt pkts[NMIO_BATCH];

    if (b->far && nmio_rx(b->far, pkts, NMIO_BATCH, now_ns))
        nmio_rx_done(b->far);
}

static void send(struct bench *b, struct buffer *buffer, uint64_t now_ns)
{
    static const uint8_t header[14] = {[0] = 2, [6] = 2, [11] = 1, ETHERTYPE >> 8, ETHERTYPE & 255};

    for (uint32_t at = 0; at < b->o->engine.bytes; at += FRAME_PAYLOAD) {
        struct nmio_frame *frame = nmio_frame(b->port);

        if (!frame)
            continue; // the port counts it
        memcpy(frame->header, header, sizeof(header));
        frame->header_len = sizeof(header);
        frame->slice_count = 1;
        frame->slices[0] = (struct nmio_slice){
            buffer->io.buf + at, min_u32(FRAME_PAYLOAD, b->o->engine.bytes - at), buffer->chunk};
        mem_chunk_hold(buffer->chunk);
        nmio_tx(b->port, frame, now_ns);
        swallow(b, now_ns);
    }
    buffer->free_ns = now_ns + b->o->hold_ns;
    fifo_put(&b->held, buffer);
}

/* Gives back what the wire is done with and was held long enough. */
static void give_back(struct bench *b, uint64_t now_ns)
{
    while (fifo_count(&b->held) && fifo_first(&b->held)->chunk->refs == 1 &&
           fifo_first(&b->held)->free_ns <= now_ns) {
        fifo_put(&b->free, fifo_take(&b->held));
        b->in_use--;
    }
}

static void turn(struct bench *b, uint32_t queue, uint64_t now_ns)
{
    collect(b, now_ns);
    while (fifo_count(&b->queued) > queue)
        send(b, fifo_take(&b->queued), now_ns);
    nmio_flush(b->port, now_ns);
    nmio_reap(b->port);
    give_back(b, now_ns);
}

static void run_until(struct bench *b, double seconds)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), end_ns = now_ns + (uint64_t)(seconds * NS_PER_S);

    for (; now_ns < end_ns && !b->error; now_ns = clock_ns(CLOCK_MONOTONIC)) {
        post(b);
        turn(b, b->o->queue, now_ns);
    }
}

static void drain(struct bench *b)
{
    while (b->in_use) {
        turn(b, 0, clock_ns(CLOCK_MONOTONIC));
        give_back(b, UINT64_MAX);
    }
}

/* --- what the processor says ------------------------------------------------------------------ */

/* Misses of the last cache, by this thread, in the kernel too; -1: it does not say, as in most
 * virtual machines. */
static int misses_open(void)
{
    struct perf_event_attr attr = {
        .size = sizeof(attr), .type = PERF_TYPE_HARDWARE, .config = PERF_COUNT_HW_CACHE_MISSES};

    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t misses(int fd)
{
    uint64_t count;

    return fd >= 0 && read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* --- measuring -------------------------------------------------------------------------------- */

static void caches(struct bench *b)
{
    uint8_t *other;

    for (uint32_t i = 0; i < b->o->buffers; i++)
        memset(b->buffers[i].io.buf, 1, b->o->engine.bytes);
    if (!b->o->cold)
        return;
    other = malloc(COLD_BYTES);
    for (size_t i = 0; other && i < COLD_BYTES; i += CACHE_LINE)
        ((volatile uint8_t *)other)[i] = (uint8_t)i;
    free(other);
}

static int measure(struct bench *b)
{
    const struct options *o = b->o;
    int perf = misses_open();
    uint64_t start_ns, cpu_ns, before, sent;
    double seconds, cpu_s, gb;

    caches(b);
    run_until(b, o->warm_seconds);
    b->reads = b->starved = b->touched = 0;
    b->in_use_high = b->in_use;
    b->round++;
    sent = nmio_stats(b->port)->tx_bytes;
    before = misses(perf);
    cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    start_ns = clock_ns(CLOCK_MONOTONIC);
    run_until(b, o->seconds);
    seconds = (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / NS_PER_S;
    cpu_s = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns) / NS_PER_S;
    before = misses(perf) - before;
    sent = nmio_stats(b->port)->tx_bytes - sent;
    drain(b);
    if (perf >= 0)
        close(perf);
    if (b->error)
        return b->error;
    gb = (double)max_u64(sent, 1) / 1e9;
    printf("{\"engine\": \"%s\", \"bytes\": %u, \"window\": %u, \"buffers\": %u, \"queue\": %u, "
           "\"hold_us\": %llu, \"order\": \"%s\", \"cache\": \"%s\", ",
           o->ops->name, o->engine.bytes, o->engine.window, o->buffers, o->queue,
           (unsigned long long)(o->hold_ns / NS_PER_US), o->ring ? "ring" : "stack",
           o->cold ? "cold" : "warm");
    printf("\"reads\": %llu, \"seconds\": %.6f, \"sent_bytes\": %llu, \"bytes_per_s\": %.0f, "
           "\"cpu_s_per_gb\": %.4f, \"dropped\": %llu, \"starved\": %llu, ",
           (unsigned long long)b->reads, seconds, (unsigned long long)sent, (double)sent / seconds,
           cpu_s / gb,
           (unsigned long long)(nmio_stats(b->port)->drop_tx_error +
                                nmio_stats(b->port)->drop_tx_full),
           (unsigned long long)b->starved);
    printf("\"in_use_bytes\": %llu, \"touched_bytes\": %llu, \"cache_misses_per_kb\": ",
           (unsigned long long)b->in_use_high * o->engine.bytes,
           (unsigned long long)b->touched * o->engine.bytes);
    printf(perf < 0 ? "null}\n" : "%.3f}\n", (double)before / (gb * 1e6));
    return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int port_open(struct bench *b)
{
    struct nmio_config config = {.arena = b->engine->arena, .mtu = MTU, .queue_count = 1};
    struct nmio_pipe_config pipe = {.caps = {.mtu = MTU, .slices_max = NMIO_SLICES_MAX},
                                    .depth = PIPE_DEPTH};
    struct nmio_port *ends[2];
    const char *why;
    int rc;

    if (!strcmp(b->o->port, "pipe")) {
        rc = nmio_pipe_open(ends, b->engine->arena, &pipe);
        if (rc)
            return rc;
        b->port = ends[0];
        b->far = ends[1];
        return 0;
    }
    config.host_addr = "192.0.2.1/24"; // brings it up
    rc = nmio_open(&b->port, b->o->port, &config, &why);
    if (rc)
        snprintf(b->why, sizeof(b->why), "%.100s: %.200s", b->o->port, why);
    return rc;
}

static bool fifo_init(struct fifo *f, uint32_t count)
{
    uint32_t size = 1;

    while (size < count)
        size *= 2;
    f->mask = size - 1;
    f->items = calloc(size, sizeof(struct buffer *));
    return f->items != NULL;
}

static int tables_open(struct bench *b)
{
    const struct options *o = b->o;

    b->buffers = calloc(o->buffers, sizeof(*b->buffers));
    b->done = calloc(o->engine.window, sizeof(struct engine_io *));
    b->slots = calloc(o->engine.window, sizeof(*b->slots));
    if (!b->buffers || !b->done || !b->slots || !fifo_init(&b->free, o->buffers) ||
        !fifo_init(&b->queued, o->buffers) || !fifo_init(&b->held, o->buffers))
        return -ENOMEM;
    for (uint32_t i = 0; i < o->engine.window; i++)
        b->slots[b->slot_count++] = i;
    for (uint32_t i = 0; i < o->buffers; i++) {
        b->buffers[i].chunk = mem_chunk_get(&b->chunks);
        b->buffers[i].io.buf = b->buffers[i].chunk->data;
        fifo_put(&b->free, &b->buffers[i]);
    }
    return 0;
}

static int bench_open(struct bench *b)
{
    const struct options *o = b->o;
    uint32_t data_bytes = (uint32_t)align_up(o->engine.bytes, PAGE_BYTES);
    void *base;
    size_t bytes;
    int rc = engine_open(&b->engine, o->ops, &o->engine, b->why, sizeof(b->why));

    if (rc)
        return rc;
    snprintf(b->why, sizeof(b->why), "not enough memory for so many buffers");
    rc = mem_chunks_init(&b->chunks, b->engine->arena, data_bytes, o->buffers);
    if (!rc)
        rc = tables_open(b);
    if (rc)
        return rc;
    snprintf(b->why, sizeof(b->why), "the buffers cannot be registered (ulimit -l)");
    mem_chunks_region(&b->chunks, &base, &bytes);
    rc = engine_start(b->engine, base, bytes);
    if (!rc)
        rc = port_open(b);
    b->places = UINT64_MAX;
    for (uint32_t i = 0; i < o->engine.disk_count; i++)
        b->places = min_u64(b->places, b->engine->disks[i].bytes / o->engine.bytes);
    rand_seed(&b->rand, o->seed);
    return rc;
}

static void bench_close(struct bench *b)
{
    if (b->far)
        nmio_close(b->far);
    if (b->port)
        nmio_close(b->port);
    if (b->engine)
        engine_close(b->engine);
    free(b->buffers);
    free(b->done);
    free(b->slots);
    free(b->free.items);
    free(b->queued.items);
    free(b->held.items);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: diskwire --engine pread|io_uring|libnvme [--port pipe|tap:NAME] [--sleep]\n"
            "                [--bytes N: to %d] [--window N] [--buffers N: to %d, at least window\n"
            "                and queue together] [--queue N] [--hold US] [--order stack|ring]\n"
            "                [--cold] [--seconds S] [--warm S] [--seed N] DISK...\n",
            BYTES_MAX, BUFFERS_MAX);
    return 2;
}

static const struct option longs[] = {
    {"engine", required_argument, NULL, 'e'},  {"port", required_argument, NULL, 'p'},
    {"bytes", required_argument, NULL, 'b'},   {"window", required_argument, NULL, 'w'},
    {"buffers", required_argument, NULL, 'B'}, {"queue", required_argument, NULL, 'q'},
    {"hold", required_argument, NULL, 'h'},    {"order", required_argument, NULL, 'o'},
    {"seconds", required_argument, NULL, 's'}, {"warm", required_argument, NULL, 'W'},
    {"seed", required_argument, NULL, 'r'},    {"sleep", no_argument, NULL, 'z'},
    {"cold", no_argument, NULL, 'c'},          {NULL, 0, NULL, 0}};

static bool option_take(struct options *o, int c)
{
    uint32_t value = optarg ? (uint32_t)min_u64(strtoull(optarg, NULL, 10), UINT32_MAX) : 0;

    switch (c) {
    case 'e':
        o->ops = engine_find(optarg);
        break;
    case 'p':
        o->port = optarg;
        break;
    case 'b':
        o->engine.bytes = value;
        break;
    case 'w':
        o->engine.window = value;
        break;
    case 'B':
        o->buffers = value;
        break;
    case 'q':
        o->queue = value;
        break;
    case 'h':
        o->hold_ns = value * NS_PER_US;
        break;
    case 'o':
        o->ring = !strcmp(optarg, "ring");
        return o->ring || !strcmp(optarg, "stack");
    case 's':
        o->seconds = strtod(optarg, NULL);
        break;
    case 'W':
        o->warm_seconds = strtod(optarg, NULL);
        break;
    case 'r':
        o->seed = value;
        break;
    case 'z':
        o->engine.sleep = true;
        break;
    case 'c':
        o->cold = true;
        break;
    default:
        return false;
    }
    return true;
}

static bool options_fit(const struct options *o)
{
    return o->ops && o->engine.disk_count && o->engine.bytes && o->engine.bytes <= BYTES_MAX &&
           o->engine.window && o->buffers <= BUFFERS_MAX &&
           o->buffers >= (uint64_t)o->engine.window + o->queue && o->seconds > 0 &&
           o->seconds <= 3600 && o->warm_seconds >= 0 && o->warm_seconds <= 3600;
}

int main(int argc, char **argv)
{
    struct options o = {.port = "pipe",
                        .buffers = 1024,
                        .seed = 1,
                        .seconds = 1,
                        .warm_seconds = 0.1,
                        .engine = {.bytes = 8192, .window = 128}};
    static struct bench b;
    int c, rc;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
        if (!option_take(&o, c))
            return usage();
    o.engine.disks = argv + optind;
    o.engine.disk_count = (uint32_t)(argc - optind);
    if (!options_fit(&o))
        return usage();
    o.engine.buffers_bytes = o.buffers * CHUNK_BYTES(o.engine.bytes) + PORT_BYTES;
    b.o = &o;
    rc = bench_open(&b);
    if (!rc)
        rc = measure(&b);
    if (rc)
        fprintf(stderr, "diskwire: %s\n", b.why);
    bench_close(&b);
    return rc ? 1 : 0;
}

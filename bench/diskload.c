// SPDX-License-Identifier: BSD-2-Clause
/*
 * diskload.c - reads disks at random with a fixed number of reads out, and says how many it got and
 * how long each took.
 *
 *     diskload --engine pread|io_uring|libnvme [options] DISK...
 *     diskload --make BYTES FILE        a file in which every sector begins with its own place
 *
 * As soon as a read is back, another one is posted in its place, at an offset that is drawn from
 * the seed: the same sequence whichever engine reads. Reads go to the disks in turns and are
 * aligned to their own size. pread with a window of N is N threads with one read each, on whatever
 * cores the process may use.
 *
 * The time of a read runs from just before the engine is given it until after the engine returned
 * it. The clock is read twice in a turn, for all reads of that turn. What was reaped before --warm
 * is over, or after the end, does not count.
 */
#include "base/hist.h"
#include "base/rand.h"
#include "engine.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SECTOR_BYTES 512
#define LANES_MAX    1024
#define WHY_BYTES    320

struct options {
    const struct engine_ops *ops;
    struct engine_config engine;
    uint32_t window; /* of all lanes */
    uint64_t seed, range_bytes, reads;
    double seconds, warm_seconds;
    bool check, about;
};

/* A thread, an engine, and its share of the window. */
struct lane {
    const struct options *options;
    struct engine *engine;
    struct engine_io *ios, **done;
    struct rand rand;
    uint64_t places[ENGINE_DISKS_MAX]; /* of each disk: offsets to choose from */
    uint64_t reads, turns, errors, cpu_ns, elapsed_ns;
    struct hist latency;
    pthread_barrier_t *barrier;
    int error;
    char why[WHY_BYTES];
};

/* --- one lane --------------------------------------------------------------------------------- */

static void post(struct lane *l, struct engine_io *io, uint64_t now_ns)
{
    io->off = rand_below(&l->rand, l->places[io->disk]) * l->engine->config.bytes;
    io->posted_ns = now_ns;
    engine_submit(l->engine, io);
}

/* Whether a sector of a file from --make is where it belongs. */
static bool is_right(const struct engine_io *io, uint32_t bytes)
{
    uint64_t place;

    for (uint32_t at = 0; at < bytes; at += SECTOR_BYTES) {
        memcpy(&place, io->buf + at, sizeof(place));
        if (place != io->off + at)
            return false;
    }
    return true;
}

static void lane_fail(struct lane *l, const struct engine_io *io)
{
    l->errors++;
    if (l->error)
        return;
    l->error = io->error ? io->error : -EBADMSG;
    snprintf(l->why, sizeof(l->why), "%.100s: the read at %llu: %s",
             l->engine->config.disks[io->disk], (unsigned long long)io->off,
             io->error ? strerror(-io->error) : "other bytes than --make wrote");
}

static void take(struct lane *l, struct engine_io *io, uint64_t now_ns, bool counts)
{
    uint32_t bytes = l->engine->config.bytes;

    if (io->error || (l->options->check && !is_right(io, bytes)))
        lane_fail(l, io);
    else if (counts) {
        hist_record(&l->latency, now_ns - io->posted_ns);
        l->reads++;
    }
}

/* Until the time has come, or as many were reaped, or one failed. */
static void run_until(struct lane *l, uint64_t end_ns, uint64_t reads, bool counts)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), reaped = 0;

    while (now_ns < end_ns && reaped < reads && !l->error) {
        uint32_t n = engine_reap(l->engine, l->done, now_ns);

        now_ns = clock_ns(CLOCK_MONOTONIC);
        l->turns += counts && n;
        reaped += n;
        for (uint32_t i = 0; i < n; i++) {
            take(l, l->done[i], now_ns, counts);
            post(l, l->done[i], now_ns);
        }
    }
}

static void drain(struct lane *l)
{
    for (uint32_t out = l->engine->config.window; out > 0;)
        out -= engine_reap(l->engine, l->done, clock_ns(CLOCK_MONOTONIC));
}

static uint64_t after(uint64_t now_ns, double seconds)
{
    return now_ns + (uint64_t)(seconds * NS_PER_S);
}

static void measure(struct lane *l)
{
    const struct options *o = l->options;
    uint64_t start_ns, cpu_ns;

    start_ns = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < l->engine->config.window; i++)
        post(l, &l->ios[i], start_ns);
    run_until(l, after(start_ns, o->warm_seconds), UINT64_MAX, false);
    start_ns = clock_ns(CLOCK_MONOTONIC);
    cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    run_until(l, after(start_ns, o->seconds), o->reads, true);
    l->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    l->elapsed_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
    drain(l);
}

static bool lane_open(struct lane *l)
{
    const struct engine_config *config = &l->options->engine;
    size_t each = align_up(config->bytes, PAGE_BYTES);
    uint8_t *buffers;

    l->error = engine_open(&l->engine, l->options->ops, config, l->why, sizeof(l->why));
    if (l->error)
        return false;
    l->error = -ENOMEM;
    snprintf(l->why, sizeof(l->why), "not enough memory for the buffers");
    buffers = mem_arena_alloc(l->engine->arena, config->window * each, PAGE_BYTES);
    l->ios = calloc(config->window, sizeof(*l->ios));
    l->done = calloc(config->window, sizeof(struct engine_io *));
    if (!buffers || !l->ios || !l->done)
        return false;
    l->error = engine_start(l->engine, buffers, config->window * each);
    if (l->error) {
        snprintf(l->why, sizeof(l->why), "the buffers cannot be registered (ulimit -l): %s",
                 strerror(-l->error));
        return false;
    }
    for (uint32_t i = 0; i < config->window; i++)
        l->ios[i] = (struct engine_io){
            .slot = i, .disk = i % config->disk_count, .buf = buffers + i * each};
    for (uint32_t i = 0; i < config->disk_count; i++)
        l->places[i] = min_u64(l->engine->disks[i].bytes, l->options->range_bytes) / config->bytes;
    memset(buffers, 0, config->window * each); // no page fault is measured
    return true;
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    bool good = lane_open(l);

    pthread_barrier_wait(l->barrier);
    if (good)
        measure(l);
    if (l->engine)
        engine_close(l->engine);
    free(l->ios);
    free(l->done);
    return NULL;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int lanes_run(struct lane *lanes, uint32_t count, const struct options *o)
{
    pthread_t *threads = calloc(count, sizeof(*threads));
    pthread_barrier_t barrier;

    if (!threads || pthread_barrier_init(&barrier, NULL, count))
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        lanes[i].options = o;
        lanes[i].barrier = &barrier;
        rand_seed(&lanes[i].rand, o->seed + i);
        // The others would wait at the barrier for ever.
        if (pthread_create(&threads[i], NULL, lane_main, &lanes[i])) {
            fprintf(stderr, "diskload: no more than %u threads: lower --window\n", i);
            exit(1);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    free(threads);
    return 0;
}

static double us(uint64_t ns)
{
    return (double)ns / NS_PER_US;
}

/* How many reads took no longer: six places in every power of ten, from 1 us to 0.7 s. */
static void print_distribution(const struct hist *h)
{
    static const double steps[] = {1, 1.5, 2, 3, 5, 7};

    const char *comma = "";

    printf("\"distribution\": [");
    for (double decade = 1; decade <= 1e5; decade *= 10)
        for (size_t i = 0; i < array_len(steps); i++, comma = ", ")
            printf("%s[%g, %.6f]", comma, decade * steps[i],
                   (double)hist_count_below(h, (uint64_t)(decade * steps[i] * NS_PER_US)) /
                       (double)max_u64(h->count, 1));
    printf("]");
}

static bool is_empty(const struct lane *lanes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (lanes[i].reads)
            return false;
    return true;
}

static void print_all(const struct options *o, const struct lane *lanes, uint32_t count)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}};
    uint64_t reads = 0, turns = 0, cpu_ns = 0, elapsed_ns = 1;
    struct hist all = {0};
    double seconds;

    for (uint32_t i = 0; i < count; i++) {
        hist_merge(&all, &lanes[i].latency);
        reads += lanes[i].reads;
        turns += lanes[i].turns;
        cpu_ns += lanes[i].cpu_ns;
        elapsed_ns = max_u64(elapsed_ns, lanes[i].elapsed_ns);
    }
    seconds = (double)elapsed_ns / NS_PER_S;
    printf("{\"engine\": \"%s\", \"disks\": %u, \"bytes\": %u, \"window\": %u, \"threads\": %u, ",
           o->ops->name, o->engine.disk_count, o->engine.bytes, o->window, count);
    printf("\"reads\": %llu, \"seconds\": %.6f, \"reads_per_s\": %.1f, \"bytes_per_s\": %.0f, ",
           (unsigned long long)reads, seconds, (double)reads / seconds,
           (double)reads * o->engine.bytes / seconds);
    printf("\"cpu_busy\": %.4f, \"cpu_us_per_read\": %.4f, \"reads_per_turn\": %.2f, ",
           (double)cpu_ns / (double)elapsed_ns, us(cpu_ns) / (double)max_u64(reads, 1),
           (double)reads / (double)max_u64(turns, 1));
    printf("\"mean_us\": %.3f, ", us(all.sum_ns) / (double)max_u64(all.count, 1));
    for (size_t i = 0; i < array_len(quantiles); i++)
        printf("\"%s\": %.3f, ", quantiles[i].name, us(hist_quantile(&all, quantiles[i].q)));
    print_distribution(&all);
    printf("}\n");
}

static int load(struct options *o)
{
    uint32_t count = o->ops->window_max == 1 ? o->window : 1;
    struct lane *lanes;
    int rc;

    if (!count || count > LANES_MAX) {
        fprintf(stderr, "diskload: --window is 1 to %u for %s\n",
                count > LANES_MAX ? LANES_MAX : ENGINE_WINDOW_MAX, o->ops->name);
        return 2;
    }
    lanes = calloc(count, sizeof(*lanes));
    o->engine.window = o->window / count;
    o->engine.buffers_bytes = o->engine.window * align_up(o->engine.bytes, PAGE_BYTES) + PAGE_BYTES;
    rc = lanes ? lanes_run(lanes, count, o) : -ENOMEM;
    for (uint32_t i = 0; !rc && i < count; i++) {
        rc = lanes[i].error;
        if (rc)
            fprintf(stderr, "diskload: %s\n", lanes[i].why);
    }
    if (!rc && is_empty(lanes, count)) {
        fprintf(stderr, "diskload: no read came back in %g s: measure for longer\n", o->seconds);
        rc = -ETIMEDOUT;
    }
    if (!rc)
        print_all(o, lanes, count);
    free(lanes);
    return rc ? 1 : 0;
}

/* --- what else it does ------------------------------------------------------------------------ */

/* What a plan of measurements has to know of the disks. */
static int about(struct options *o)
{
    struct engine *e;
    char why[WHY_BYTES];
    uint64_t bytes = UINT64_MAX;
    uint32_t block = 0;

    o->engine.window = 1;
    o->engine.buffers_bytes = PAGE_BYTES;
    if (engine_open(&e, o->ops, &o->engine, why, sizeof(why))) {
        fprintf(stderr, "diskload: %s\n", why);
        return 1;
    }
    for (uint32_t i = 0; i < o->engine.disk_count; i++) {
        bytes = min_u64(bytes, e->disks[i].bytes);
        block = max_u32(block, e->disks[i].block_bytes);
    }
    printf("{\"disks\": %u, \"least_bytes\": %llu, \"block_bytes\": %u}\n", o->engine.disk_count,
           (unsigned long long)bytes, block);
    engine_close(e);
    return 0;
}

static int make(const char *path, uint64_t bytes)
{
    FILE *f = fopen(path, "wbx");
    uint8_t sector[SECTOR_BYTES] = {0};
    bool good = f != NULL;

    for (uint64_t at = 0; good && at < bytes; at += SECTOR_BYTES) {
        memcpy(sector, &at, sizeof(at));
        good = fwrite(sector, 1, sizeof(sector), f) == sizeof(sector);
    }
    if (f && fclose(f))
        good = false;
    if (!good)
        fprintf(stderr, "diskload: cannot make %s: %s\n", path, strerror(errno));
    return good ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: diskload --engine pread|io_uring|libnvme [--bytes N] [--window N] [--sleep]\n"
            "                [--seconds S | --reads N] [--warm S] [--seed N] [--range BYTES]\n"
            "                [--check | --about] DISK...\n"
            "       diskload --make BYTES FILE\n");
    return 2;
}

static const struct option longs[] = {{"engine", required_argument, NULL, 'e'},
                                      {"bytes", required_argument, NULL, 'b'},
                                      {"window", required_argument, NULL, 'w'},
                                      {"seconds", required_argument, NULL, 's'},
                                      {"reads", required_argument, NULL, 'n'},
                                      {"warm", required_argument, NULL, 'W'},
                                      {"seed", required_argument, NULL, 'r'},
                                      {"range", required_argument, NULL, 'R'},
                                      {"make", required_argument, NULL, 'm'},
                                      {"sleep", no_argument, NULL, 'z'},
                                      {"check", no_argument, NULL, 'c'},
                                      {"about", no_argument, NULL, 'a'},
                                      {NULL, 0, NULL, 0}};

static bool option_take(struct options *o, int c)
{
    uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

    switch (c) {
    case 'e':
        o->ops = engine_find(optarg);
        return o->ops != NULL;
    case 'b':
        o->engine.bytes = (uint32_t)value;
        return value >= SECTOR_BYTES && value <= ENGINE_BUFFERS_MAX && value % SECTOR_BYTES == 0;
    case 'w':
        o->window = (uint32_t)min_u64(value, UINT32_MAX);
        return value > 0;
    case 's':
        o->seconds = strtod(optarg, NULL);
        return o->seconds > 0 && o->seconds <= 3600;
    case 'n':
        o->reads = value;
        o->seconds = 3600;
        return value > 0;
    case 'W':
        o->warm_seconds = strtod(optarg, NULL);
        return o->warm_seconds >= 0 && o->warm_seconds <= 3600;
    case 'r':
        o->seed = value;
        return true;
    case 'R':
        o->range_bytes = value;
        return true;
    case 'z':
        o->engine.sleep = true;
        return true;
    case 'c':
        o->check = true;
        return true;
    case 'a':
        o->about = true;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    struct options o = {.window = 1,
                        .seed = 1,
                        .range_bytes = UINT64_MAX,
                        .reads = UINT64_MAX,
                        .seconds = 1,
                        .warm_seconds = 0.1,
                        .engine = {.bytes = 4096}};
    uint64_t make_bytes = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'm')
            make_bytes = strtoull(optarg, NULL, 10);
        else if (!option_take(&o, c))
            return usage();
    }
    if (make_bytes)
        return optind + 1 == argc ? make(argv[optind], make_bytes) : usage();
    if (!o.ops || optind == argc || o.range_bytes < o.engine.bytes)
        return usage();
    o.engine.disks = argv + optind;
    o.engine.disk_count = (uint32_t)(argc - optind);
    return o.about ? about(&o) : load(&o);
}

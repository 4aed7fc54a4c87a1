// SPDX-License-Identifier: BSD-2-Clause
/*
 * million.c - what an idle connection costs a worker: its memory, and the time of the active ones.
 *
 *     million [--connections N] [--active M] [--seconds S] [--check]
 *
 * A whole worker of Atlas on one end of a pipe, the clients of stormload on the other, each with
 * memory of its own, so that what the server needs is told apart. Clients open their connections,
 * ask nothing, and then M of them ask for a kilobyte each, over and over. Measured twice: with M
 * connections in all, and with N, of which N - M are idle. Both ends take turns in one thread, so a
 * latency is the work for all M requests, and any work that idle connections cause shows in it.
 * Time is that of the thread's CPU: what other programs take of the machine does not count.
 *
 * Prints JSON. With --check, fails if the server needs more than 1 GiB for a million connections,
 * or if its active connections are more than 20 % slower than without the idle ones.
 */
#include "shelf.h"
#include "stack.h"
#include "worker.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define OBJECT_BYTES     1024
#define CONNS_SPARE      4096 /* beyond the connections: what has ended and is not forgotten yet */
#define PIPE_DEPTH       4096 /* a turn's frames, either way */
#define PIPE_MTU         1500
#define PIPE_ARENA_BYTES (64u << 20)
#define WARM_S           0.3
#define FOREVER_NS       (86400 * NS_PER_S)
#define ROUNDS           5
#define BYTES_MAX        (1ull << 30)
#define BYTES_MAX_FOR    1000000
#define SLOWER_MAX       1.20
#define WHY_BYTES        512

struct bench {
    uint32_t connections, active;
    struct mem_arena *server_arena, *client_arena, *pipe_arena;
    struct nmio_port *ends[2];
    struct diskmap_set *set;
    struct worker *worker;
    struct stack *stack;
    struct engine *engine;
    struct targets targets;
};

struct result {
    double mean_us, requests_per_s, p99_us, open_s;
    size_t server_bytes, server_bytes_empty;
};

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- both ends -------------------------------------------------------------------------------- */

static int open_pipe(struct bench *b)
{
    struct nmio_pipe_config config = {.caps = {.mtu = PIPE_MTU,
                                               .gso_bytes = 0,
                                               .tx_csum = true,
                                               .slices_max = NMIO_SLICES_MAX,
                                               .mac = {2, 0, 0, 0, 0, 2}},
                                      .depth = PIPE_DEPTH};
    int rc = mem_arena_open(&b->pipe_arena, PIPE_ARENA_BYTES, MEM_ARENA_HUGE);

    return rc < 0 ? rc : nmio_pipe_open(b->ends, b->pipe_arena, &config);
}

static int open_server(struct bench *b, char *why)
{
    struct worker_config config = {.disk_depth = 64,
                                   .addr_count = 1,
                                   .listen_port = 80,
                                   .read_bytes = 60 * 1024,
                                   .chunk_count = CHUNKS_DEFAULT,
                                   .limits = worker_limits_default(),
                                   .http = {.server = "atlas"},
                                   .cc = "newreno",
                                   .secret = {1, 2, 3, 4},
                                   .port = b->ends[0],
                                   .set = b->set};
    int rc = ip_prefix_parse("10.0.0.1/8", &config.addrs[0]);

    config.limits.conns = b->connections + CONNS_SPARE;
    for (int i = 0; i < SESSION_PHASES; i++)
        config.limits.phase_ns[i] = FOREVER_NS;
    if (rc == 0)
        rc = mem_arena_open(&b->server_arena, worker_arena_bytes(&config), MEM_ARENA_HUGE);
    config.arena = b->server_arena;
    return rc < 0 ? rc : worker_open(&b->worker, &config, clock_ns(), why, WHY_BYTES);
}

static int open_clients(struct bench *b, char *why)
{
    static const struct target_form form = {
        .authority = "bench", .authority_len = 5, .user_agent = "million"};
    struct stack_config stack = {.port = b->ends[1],
                                 .sources = {.range_count = 1},
                                 .server_port = 80,
                                 .conns = b->connections,
                                 .window_bytes = 64 * 1024,
                                 .timeout_ns = 100 * NS_PER_S};
    struct engine_config engine = {.targets = &b->targets,
                                   .clients = b->connections,
                                   .active = b->active,
                                   .hold = true,
                                   .requests = UINT64_MAX,
                                   .opening_max = OPENING_DEFAULT,
                                   .timeout_ns = 100 * NS_PER_S};
    int rc = ip_addr_parse("10.0.0.1", &stack.server);

    if (rc == 0 && !source_range_parse("10.1.0.1-10.1.0.250/8", &stack.sources.ranges[0]))
        rc = -EINVAL;
    if (rc == 0)
        rc = targets_add(&b->targets, &form, "/small.bin", strlen("/small.bin"));
    if (rc == 0)
        rc =
            mem_arena_open(&b->client_arena,
                           stack_arena_bytes(&stack) + engine_arena_bytes(&engine), MEM_ARENA_HUGE);
    stack.arena = engine.arena = b->client_arena;
    if (rc == 0)
        rc = stack_open(&b->stack, &stack, clock_ns());
    if (rc == 0)
        rc = engine_open(&b->engine, &engine, &stack_transport, b->stack, clock_ns());
    if (rc < 0)
        snprintf(why, WHY_BYTES, "the clients: %s", strerror(-rc));
    return rc;
}

static void turn(struct bench *b)
{
    stack_turn(b->stack, b->engine, clock_ns());
    worker_turn(b->worker, clock_ns());
}

/* --- measuring -------------------------------------------------------------------------------- */

/* What of the server's memory has ever been touched, and so is resident. */
static size_t resident_bytes(const struct mem_arena *arena)
{
    size_t pages = mem_arena_bytes(arena) / PAGE_BYTES, count = 0;
    unsigned char *map = malloc(pages);

    if (!map || mincore(mem_arena_base(arena), pages * PAGE_BYTES, map) < 0) {
        perror("million: mincore");
        exit(1);
    }
    for (size_t i = 0; i < pages; i++)
        count += map[i] & 1;
    free(map);
    return count * PAGE_BYTES;
}

static void run_for(struct bench *b, double seconds)
{
    uint64_t until_ns = clock_ns() + (uint64_t)(seconds * (double)NS_PER_S);

    while (clock_ns() < until_ns)
        turn(b);
}

/* The counters of the engine only grow: what happened meanwhile is their difference. */
static void difference(const struct engine_stats *before, const struct engine_stats *after,
                       double seconds, struct result *best)
{
    struct hist h = after->response;
    double mean_us;

    h.count -= before->response.count;
    h.sum_ns -= before->response.sum_ns;
    for (size_t i = 0; i < HIST_BUCKETS; i++)
        h.bucket[i] -= before->response.bucket[i];
    if (h.count == 0)
        return;
    mean_us = (double)h.sum_ns / (double)h.count / 1e3;
    if (best->mean_us > 0 && mean_us >= best->mean_us)
        return;
    best->mean_us = mean_us;
    best->p99_us = (double)hist_quantile(&h, 0.99) / 1e3;
    best->requests_per_s = (double)h.count / seconds;
}

static bool open_all(struct bench *b, struct result *r)
{
    uint64_t began_ns = clock_ns();
    const struct engine_stats *stats = engine_stats(b->engine);

    r->server_bytes_empty = resident_bytes(b->server_arena);
    while (stats->settled < b->connections)
        turn(b);
    r->open_s = (double)(clock_ns() - began_ns) / (double)NS_PER_S;
    return stats->open == b->connections && engine_failures(stats) == 0;
}

/* Opens all, and lets the active ones begin. */
static bool begin(struct bench *b, struct result *r)
{
    if (!open_all(b, r)) {
        fprintf(stderr, "million: %llu of %u connections are open\n",
                (unsigned long long)engine_stats(b->engine)->open, b->connections);
        return false;
    }
    engine_go(b->engine, clock_ns());
    return true;
}

/* One round. The best of all counts: this machine has other things to do, too. */
static void measure(struct bench *b, double seconds, struct result *best)
{
    const struct engine_stats *stats = engine_stats(b->engine);
    struct engine_stats before;
    uint64_t began_ns;

    run_for(b, WARM_S);
    before = *stats;
    began_ns = clock_ns();
    run_for(b, seconds);
    difference(&before, stats, (double)(clock_ns() - began_ns) / (double)NS_PER_S, best);
    best->server_bytes = resident_bytes(b->server_arena);
}

static bool all_well(const struct bench *b, const struct result *r)
{
    const struct engine_stats *stats = engine_stats(b->engine);

    if (r->mean_us > 0 && engine_failures(stats) == 0 && stats->open == b->connections &&
        b->worker->stats.sessions == b->connections)
        return true;
    fprintf(stderr, "million: %llu failures, %llu connections open, the server knows %llu\n",
            (unsigned long long)engine_failures(stats), (unsigned long long)stats->open,
            (unsigned long long)b->worker->stats.sessions);
    return false;
}

static void open_bench(struct bench *b)
{
    char why[WHY_BYTES] = "";
    static const struct shelf_object object = {"/small.bin", OBJECT_BYTES};
    int rc = shelf_open(&b->set, &object, 1, why, sizeof(why));

    if (rc == 0)
        rc = open_pipe(b);
    if (rc == 0)
        rc = open_server(b, why);
    if (rc == 0)
        rc = open_clients(b, why);
    if (rc < 0) {
        fprintf(stderr, "million: %s\n", why[0] ? why : strerror(-rc));
        exit(1);
    }
}

static void close_bench(struct bench *b)
{
    engine_close(b->engine);
    stack_close(b->stack);
    worker_close(b->worker);
    diskmap_set_close(b->set);
    targets_free(&b->targets);
    mem_arena_close(b->client_arena);
    mem_arena_close(b->server_arena);
    mem_arena_close(b->pipe_arena);
}

/* Rounds in turn, so that what else the machine does meets both alike. */
static bool run(struct bench *few, struct bench *all, double seconds, struct result *few_result,
                struct result *all_result)
{
    open_bench(few);
    open_bench(all);
    if (!begin(few, few_result) || !begin(all, all_result))
        return false;
    for (int i = 0; i < ROUNDS; i++) {
        measure(few, seconds, few_result);
        measure(all, seconds, all_result);
    }
    return all_well(few, few_result) && all_well(all, all_result);
}

static void print(const char *name, uint32_t connections, const struct result *r, const char *end)
{
    size_t bytes = r->server_bytes - r->server_bytes_empty;

    printf("  \"%s\": {\"connections\": %u, \"mean_us\": %.1f, \"p99_us\": %.1f, "
           "\"requests_per_s\": %.0f, \"opened_per_s\": %.0f, \"server_bytes\": %zu, "
           "\"bytes_per_connection\": %.1f}%s\n",
           name, connections, r->mean_us, r->p99_us, r->requests_per_s,
           (double)connections / r->open_s, r->server_bytes, (double)bytes / connections, end);
}

static bool within_limits(uint32_t connections, const struct result *few, const struct result *all)
{
    double bytes_max = (double)BYTES_MAX * max_u32(connections, BYTES_MAX_FOR) / BYTES_MAX_FOR;
    bool good = true;

    if ((double)all->server_bytes > bytes_max) {
        fprintf(stderr, "million: the server takes %zu bytes\n", all->server_bytes);
        good = false;
    }
    if (all->mean_us > few->mean_us * SLOWER_MAX) {
        fprintf(stderr, "million: %.1f us instead of %.1f\n", all->mean_us, few->mean_us);
        good = false;
    }
    return good;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"connections", required_argument, NULL, 'n'},
                                            {"active", required_argument, NULL, 'm'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"check", no_argument, NULL, 'c'},
                                            {0}};
    uint32_t connections = 1000000, active = 1000;
    struct result few_result = {0}, all_result = {0};
    struct bench few = {0}, all = {0};
    double seconds = 0.5;
    bool check = false, good;
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'n')
            connections = (uint32_t)strtoul(optarg, NULL, 10);
        else if (id == 'm')
            active = (uint32_t)strtoul(optarg, NULL, 10);
        else if (id == 's')
            seconds = strtod(optarg, NULL);
        else if (id == 'c')
            check = true;
        else
            return 2;
    }
    if (active == 0 || connections < active || seconds <= 0) {
        fprintf(stderr, "usage: million [--connections N] [--active M] [--seconds S] [--check]\n");
        return 2;
    }
    few.connections = few.active = all.active = active;
    all.connections = connections;
    good = run(&few, &all, seconds, &few_result, &all_result);
    close_bench(&few);
    close_bench(&all);
    if (!good)
        return 1;
    printf("{\n");
    print("active_only", active, &few_result, ",");
    print("with_idle", connections, &all_result, ",");
    printf("  \"slower\": %.3f\n}\n", all_result.mean_us / few_result.mean_us);
    return !check || within_limits(connections, &few_result, &all_result) ? 0 : 1;
}

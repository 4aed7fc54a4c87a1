// SPDX-License-Identifier: BSD-2-Clause
#include "run.h"

#include "base/log.h"
#include "sockets.h"
#include "stack.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_MAX_NS (10 * NS_PER_MS) /* then a worker looks whether it is to end */
#define WATCH_NS     (5 * NS_PER_MS)  /* how often the main thread looks at the workers */
#define PROGRESS_NS  (1 * NS_PER_S)
#define FILES_SPARE  64

struct load;

struct worker {
    struct load *load;
    struct mem_arena *arena;
    struct engine *engine;
    struct sockets *sockets; /* one of the two */
    struct stack *stack;
    pthread_t thread;
    bool started;
    bool ended; /* atomic: `end_ns` and `stats` are final */
    uint64_t end_ns;
    struct engine_stats stats;
};

struct load {
    const struct options *options;
    struct worker *workers;
    uint32_t count;
    bool go;   /* atomic: with --idle, every connection was tried */
    bool stop; /* atomic */
};

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- a worker's thread ------------------------------------------------------------------------ */

static void stack_sleep(const struct stack *stack, uint64_t until_ns, uint64_t now_ns)
{
    struct pollfd fd = {.fd = stack_fd(stack), .events = POLLIN};
    struct timespec ts = {.tv_nsec = (long)(until_ns - now_ns)};

    ppoll(&fd, 1, &ts, NULL);
}

static void worker_turn(struct worker *w, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + SLEEP_MAX_NS;

    if (w->sockets) {
        engine_turn(w->engine, now_ns);
        sockets_turn(w->sockets, min_u64(engine_next_ns(w->engine), until_ns));
        return;
    }
    if (stack_turn(w->stack, w->engine, now_ns))
        return;
    until_ns = min_u64(until_ns, engine_next_ns(w->engine));
    until_ns = min_u64(until_ns, stack_next_ns(w->stack));
    if (until_ns > now_ns)
        stack_sleep(w->stack, until_ns, now_ns);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    uint64_t now_ns = clock_ns();
    bool went = false;

    while (!__atomic_load_n(&w->load->stop, __ATOMIC_RELAXED) && !engine_finished(w->engine)) {
        if (!went && __atomic_load_n(&w->load->go, __ATOMIC_RELAXED)) {
            engine_go(w->engine, now_ns);
            went = true;
        }
        worker_turn(w, now_ns);
        now_ns = clock_ns();
    }
    w->stats = *engine_stats(w->engine);
    w->end_ns = now_ns;
    engine_stop(w->engine, now_ns);
    if (w->stack)
        stack_turn(w->stack, NULL, now_ns);
    __atomic_store_n(&w->ended, true, __ATOMIC_RELEASE);
    return NULL;
}

/* --- putting a worker together ---------------------------------------------------------------- */

/* Of `total`, what worker `index` has: all have the same, the first ones one more. */
static uint64_t share(uint64_t total, uint32_t index, uint32_t count)
{
    if (total == UINT64_MAX)
        return total;
    return total / count + (index < total % count);
}

static void engine_config(const struct load *load, uint32_t index, struct engine_config *config)
{
    const struct options *o = load->options;
    uint32_t n = load->count;

    *config = (struct engine_config){
        .arena = load->workers[index].arena,
        .targets = &o->targets,
        .clients = (uint32_t)share(o->connections, index, n),
        .active = (uint32_t)share(o->active, index, n),
        .hold = o->idle,
        .close = o->close,
        .verify = o->manifest != NULL,
        .random = o->has_seed,
        .seed = o->seed + index,
        .requests = share(o->requests, index, n),
        .rate = o->rate ? max_u64(share(o->rate, index, n), 1) : 0,
        .opening_max = max_u32((uint32_t)share(o->opening, index, n), 1),
        .think_ns = o->think_ns,
        .timeout_ns = o->timeout_ns,
    };
}

static void server_addr(const struct options *o, struct ip_addr *addr)
{
    const struct sockaddr_in *v4 = (const void *)&o->server;
    const struct sockaddr_in6 *v6 = (const void *)&o->server;

    if (o->server.ss_family == AF_INET)
        *addr = ip_addr_v4(&v4->sin_addr);
    else
        memcpy(addr->b, &v6->sin6_addr, sizeof(addr->b));
}

static int open_port(const struct options *o, struct worker *w, uint32_t index,
                     struct nmio_port **port)
{
    struct nmio_config config = {
        .arena = w->arena, .queue_count = 1, .mtu = o->mtu, .host_addr = o->host_addr};
    const char *why = "";
    int rc = nmio_open(port, o->ports[index], &config, &why);

    if (rc < 0)
        log_error("--port %s: %s", o->ports[index], why);
    return rc;
}

static void stack_config(const struct load *load, uint32_t index, struct stack_config *config)
{
    const struct options *o = load->options;

    *config = (struct stack_config){
        .sources = o->sources,
        .gateway = o->has_gateway ? &o->gateway : NULL,
        .server_port = o->url.port,
        .conns = (uint32_t)share(o->connections, index, load->count),
        .window_bytes = o->window_kib * 1024,
        .timeout_ns = o->timeout_ns,
    };
    server_addr(o, &config->server);
    if (load->count > 1) { /* each port has the range of its own */
        config->sources.ranges[0] = o->sources.ranges[index];
        config->sources.range_count = 1;
    }
}

static int open_stack(struct load *load, uint32_t index, struct stack_config *config)
{
    struct worker *w = &load->workers[index];
    int rc;

    config->arena = w->arena;
    rc = open_port(load->options, w, index, &config->port);
    if (rc < 0)
        return rc;
    rc = stack_open(&w->stack, config, clock_ns());
    if (rc < 0) {
        nmio_close(config->port);
        log_error("cannot start TCP: %s",
                  rc == -EINVAL         ? "no host of the link can have --addr or --gateway"
                  : rc == -EAFNOSUPPORT ? "it does not know this kind of address"
                                        : strerror(-rc));
    }
    return rc;
}

static int open_sockets(struct load *load, uint32_t index)
{
    const struct options *o = load->options;
    struct worker *w = &load->workers[index];
    struct sockets_config config = {.arena = w->arena,
                                    .server = o->server,
                                    .server_len = o->server_len,
                                    .sources = o->sources.range_count ? &o->sources : NULL,
                                    .index = index,
                                    .step = load->count,
                                    .clock_ns = clock_ns};
    int rc = sockets_open(&w->sockets, &config);

    if (rc < 0)
        log_error("cannot start: %s", strerror(-rc));
    return rc;
}

static int open_worker(struct load *load, uint32_t index)
{
    struct worker *w = &load->workers[index];
    bool own = load->options->port_count > 0;
    struct stack_config stack;
    struct engine_config engine;
    size_t bytes;
    int rc;

    w->load = load;
    engine_config(load, index, &engine);
    stack_config(load, index, &stack);
    bytes = engine_arena_bytes(&engine) + (own ? stack_arena_bytes(&stack) : 1u << 20);
    rc = mem_arena_open(&w->arena, bytes, MEM_ARENA_HUGE);
    if (rc < 0) {
        log_error("no memory for %u connections", engine.clients);
        return rc;
    }
    engine.arena = w->arena;
    rc = own ? open_stack(load, index, &stack) : open_sockets(load, index);
    if (rc < 0)
        return rc;
    rc = engine_open(&w->engine, &engine, own ? &stack_transport : &sockets_transport,
                     own ? (void *)w->stack : (void *)w->sockets, clock_ns());
    if (rc < 0)
        log_error("no memory for %u clients, or libcrypto has no SHA-256", engine.clients);
    return rc;
}

static void close_worker(struct worker *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    if (w->engine)
        engine_close(w->engine);
    if (w->sockets)
        sockets_close(w->sockets);
    if (w->stack)
        stack_close(w->stack);
    if (w->arena)
        mem_arena_close(w->arena);
}

/* --- the main thread -------------------------------------------------------------------------- */

static bool raise_file_limit(const struct options *o)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)o->connections + FILES_SPARE;

    if (o->port_count > 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need)
        return true;
    limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    log_error("%u connections need as many open files: raise the limit (ulimit -n) or use --port",
              o->connections);
    return false;
}

static void sum_stats(const struct load *load, struct engine_stats *sum)
{
    *sum = (struct engine_stats){0};
    for (uint32_t i = 0; i < load->count; i++) {
        const struct worker *w = &load->workers[i];

        engine_stats_merge(sum, __atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)
                                    ? &w->stats
                                    : engine_stats(w->engine));
    }
}

static bool all_ended(const struct load *load)
{
    for (uint32_t i = 0; i < load->count; i++)
        if (!__atomic_load_n(&load->workers[i].ended, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

static void show_progress(const struct engine_stats *now, const struct engine_stats *before,
                          double seconds)
{
    fprintf(stderr, "\r%9.0f responses/s %8.3f GB/s %9llu open %9llu failed ",
            (double)(now->responses - before->responses) / seconds,
            (double)(now->body_bytes - before->body_bytes) / seconds / 1e9,
            (unsigned long long)now->open, (unsigned long long)engine_failures(now));
    fflush(stderr);
}

/* Waits until `until_ns`, a signal (false), or until `done` says so. Shows how it goes. */
static bool watch(const struct load *load, const sigset_t *signals, uint64_t until_ns,
                  bool (*done)(const struct load *load, const struct engine_stats *stats))
{
    struct engine_stats stats, before = {0};
    uint64_t now_ns, shown_ns = clock_ns();
    bool terminal = isatty(STDERR_FILENO), going_on = true;

    do {
        struct timespec ts = {0};

        now_ns = clock_ns();
        ts.tv_nsec = (long)min_u64(WATCH_NS, until_ns - min_u64(now_ns, until_ns));
        if (sigtimedwait(signals, NULL, &ts) > 0)
            return false;
        sum_stats(load, &stats);
        if (terminal && now_ns - shown_ns >= PROGRESS_NS) {
            show_progress(&stats, &before, (double)(now_ns - shown_ns) / (double)NS_PER_S);
            before = stats;
            shown_ns = now_ns;
        }
        going_on = now_ns < until_ns && !done(load, &stats);
    } while (going_on);
    if (terminal)
        fputs("\r\033[K", stderr);
    return true;
}

static bool opened_done(const struct load *load, const struct engine_stats *stats)
{
    return stats->settled == load->options->connections;
}

static bool requests_done(const struct load *load, const struct engine_stats *stats)
{
    return all_ended(load);
}

static void measure(struct load *load, const sigset_t *signals, struct report *report)
{
    const struct options *o = load->options;
    uint64_t began_ns = clock_ns(), go_ns = began_ns, end_ns = 0;
    bool more = true;

    if (o->idle) {
        more = watch(load, signals, UINT64_MAX, opened_done);
        go_ns = clock_ns();
        sum_stats(load, &report->stats);
        report->open_connects = report->stats.connects;
        report->open_seconds = (double)(go_ns - began_ns) / (double)NS_PER_S;
        __atomic_store_n(&load->go, true, __ATOMIC_RELAXED);
    }
    if (more)
        watch(load, signals, o->duration_ns ? go_ns + o->duration_ns : UINT64_MAX, requests_done);
    __atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < load->count; i++) {
        pthread_join(load->workers[i].thread, NULL);
        load->workers[i].started = false;
        end_ns = max_u64(end_ns, load->workers[i].end_ns);
    }
    sum_stats(load, &report->stats);
    report->seconds = (double)(end_ns - go_ns) / (double)NS_PER_S;
    if (!o->idle) {
        report->open_connects = report->stats.connects;
        report->open_seconds = report->seconds;
    }
}

static int start_threads(struct load *load)
{
    for (uint32_t i = 0; i < load->count; i++) {
        struct worker *w = &load->workers[i];
        int rc = pthread_create(&w->thread, NULL, worker_main, w);

        if (rc != 0) {
            log_error("cannot start a thread: %s", strerror(rc));
            return -rc;
        }
        w->started = true;
    }
    return 0;
}

int run(const struct options *o, struct report *report)
{
    struct load load = {.options = o, .count = o->port_count ? o->port_count : o->workers};
    sigset_t signals;
    int rc = 0;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    load.workers = calloc(load.count, sizeof(*load.workers));
    if (!load.workers || !raise_file_limit(o))
        goto free_workers;
    *report = (struct report){.url = o->url_text,
                              .transport = o->port_count ? o->ports[0] : "kernel",
                              .connections = o->connections,
                              .active = o->active,
                              .workers = load.count};
    for (uint32_t i = 0; i < load.count && rc == 0; i++)
        rc = open_worker(&load, i);
    if (rc == 0)
        rc = start_threads(&load);
    if (rc == 0)
        measure(&load, &signals, report);
    __atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < load.count; i++)
        close_worker(&load.workers[i]);
    free(load.workers);
    return rc < 0;

free_workers:
    free(load.workers);
    return 1;
}

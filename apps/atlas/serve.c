// SPDX-License-Identifier: BSD-2-Clause
/*
 * serve.c - starts the workers, lets them run, ends them.
 */
#include "serve.h"

#include "base/log.h"
#include "disks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define WHY_BYTES    512
#define SLEEP_MAX_NS (NS_PER_S) /* a worker looks around once a second, whatever happens */
#define DISK_DEPTH   256
/* The main thread looks after the keys of session tickets, which live for hours. */
#define LOOK_MS 60000

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t server_now(const struct server *server)
{
    return clock_ns(CLOCK_MONOTONIC) - server->start_ns;
}

static void wake(int fd)
{
    uint64_t one = 1;

    /* It can only fail when the counter is full, and then the sleeper is awake already. */
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

/* --- the link's packets between workers ------------------------------------------------------- */

/* eth_config.on_arp: this worker has received it, the others have not. Only the first frame in an
 * inbox wakes its owner: a flood on the link costs the others a turn, not a system call each. */
static void relay_frame(void *arg, const uint8_t *frame, uint32_t len)
{
    struct thread *from = arg;
    struct server *server = from->server;

    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *to = &server->threads[i];
        struct inbox *in = &to->inbox;
        bool first;

        if (to == from)
            continue;
        pthread_mutex_lock(&in->lock);
        first = in->count == 0;
        if (in->count < INBOX_FRAMES) {
            memcpy(in->frame[in->count], frame, len);
            in->len[in->count] = len;
            __atomic_store_n(&in->count, in->count + 1, __ATOMIC_RELEASE);
        } else {
            in->dropped++;
        }
        pthread_mutex_unlock(&in->lock);
        if (first)
            wake(to->wake_fd);
    }
}

static void inbox_empty(struct thread *t, uint64_t now_ns)
{
    struct inbox *in = &t->inbox;

    if (likely(__atomic_load_n(&in->count, __ATOMIC_ACQUIRE) == 0))
        return;
    pthread_mutex_lock(&in->lock);
    for (uint32_t i = 0; i < in->count; i++)
        eth_input_relayed(t->worker->eth, in->frame[i], in->len[i], now_ns);
    __atomic_store_n(&in->count, 0, __ATOMIC_RELEASE);
    stat_add(&t->worker->stats.drop_relay_full, in->dropped);
    in->dropped = 0;
    pthread_mutex_unlock(&in->lock);
}

/* --- certificates, and the keys of tickets ---------------------------------------------------- */

static int load_tls(const struct server *server, struct tls_ctx **ctx, char *why)
{
    const struct serve_options *o = &server->options;
    struct tls_policy policy = {.identities = o->identities,
                                .identity_count = o->identity_count,
                                .min_version = o->tls_min,
                                .suites = o->tls_suites,
                                .tickets = server->tickets};
    int rc;

    why[0] = '\0';
    rc = tls_ctx_open(ctx, &policy, why, WHY_BYTES);
    if (rc < 0 && !why[0])
        snprintf(why, WHY_BYTES, "TLS: %s", strerror(-rc));
    return rc;
}

static int open_tls(struct server *server)
{
    char why[WHY_BYTES];
    int rc;

    if (!server->options.tls_port)
        return 0;
    rc = tls_tickets_open(&server->tickets, TLS_TICKET_ROTATE_S);
    if (rc < 0) {
        log_error("cannot make keys for session tickets: %s", strerror(-rc));
        return rc;
    }
    rc = load_tls(server, &server->tls, why);
    if (rc < 0)
        log_error("%s", why);
    return rc;
}

/* After the workers: what they hold uses the tickets. */
static void close_tls(struct server *server)
{
    if (server->tls)
        tls_ctx_put(server->tls);
    if (server->tickets)
        tls_tickets_close(server->tickets);
}

/* The worker takes it when it looks next; what it has not looked at yet is out of date. */
static void offer_tls(struct thread *t, struct tls_ctx *ctx)
{
    /* Release: the context is complete. Acquire: the one that comes back is put. */
    struct tls_ctx *missed =
        __atomic_exchange_n(&t->fresh_tls, ctx ? tls_ctx_hold(ctx) : NULL, __ATOMIC_ACQ_REL);

    if (missed)
        tls_ctx_put(missed);
}

static void take_tls(struct thread *t)
{
    struct tls_ctx *ctx;

    if (likely(!__atomic_load_n(&t->fresh_tls, __ATOMIC_RELAXED)))
        return;
    ctx = __atomic_exchange_n(&t->fresh_tls, NULL, __ATOMIC_ACQUIRE);
    worker_set_tls(t->worker, ctx);
    tls_ctx_put(ctx);
}

/* SIGHUP: the files have changed. Connections that there are keep what they began with. */
static void reload_tls(struct server *server)
{
    struct tls_ctx *ctx;
    char why[WHY_BYTES];

    if (!server->tls) {
        log_info("nothing to load again: there is no --tls-listen");
        return;
    }
    if (load_tls(server, &ctx, why) < 0) {
        log_error("the certificates from before stay in use: %s", why);
        return;
    }
    for (uint32_t i = 0; i < server->thread_count; i++) {
        offer_tls(&server->threads[i], ctx);
        wake(server->threads[i].wake_fd);
    }
    tls_ctx_put(server->tls);
    server->tls = ctx;
    log_info("new connections use the certificates as they are now");
}

/* --- a worker's thread ------------------------------------------------------------------------ */

/* Until a packet, a read, a handshake, a word from the main thread, or the time has come. */
static void sleep_until(struct thread *t, uint64_t until_ns, uint64_t now_ns)
{
    struct pollfd fds[4] = {{.fd = t->wake_fd, .events = POLLIN},
                            {.fd = nmio_fd(t->worker->port), .events = POLLIN},
                            {.fd = diskmap_fd(t->worker->dm), .events = POLLIN},
                            {.fd = worker_tls_fd(t->worker), .events = POLLIN}};
    uint64_t ns = min_u64(until_ns - now_ns, SLEEP_MAX_NS);
    struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    stat_inc(&t->worker->stats.sleeps);
    if (ppoll(fds, array_len(fds), &ts, NULL) > 0 && (fds[0].revents & POLLIN)) {
        uint64_t count;

        if (read(t->wake_fd, &count, sizeof(count)) < 0)
            return; /* somebody was quicker: nothing to do */
    }
}

/* False: the worker has nothing left to do, or no time to do it. */
static bool still_needed(struct thread *t, uint64_t now_ns)
{
    struct worker *w = t->worker;

    if (likely(!__atomic_load_n(&t->server->draining, __ATOMIC_RELAXED)))
        return true;
    if (!w->draining)
        worker_drain(w, now_ns);
    return !worker_drained(w) && !__atomic_load_n(&t->server->cut_off, __ATOMIC_RELAXED);
}

/* Only the operator can do something about it. */
static void report_duplicates(struct thread *t)
{
    uint64_t duplicates = stat_get(&eth_stats(t->worker->eth)->ndp_duplicates);

    if (likely(duplicates == t->duplicates))
        return;
    t->duplicates = duplicates;
    log_error("another machine on the link has an IPv6 address of --addr (or our Ethernet "
              "address): it is not served. Change one of the two, and start again");
}

static void report_disks(struct thread *t)
{
    char text[WHY_BYTES];

    if (unlikely(diskmap_news(t->worker->dm, text, sizeof(text))))
        log_error("%s", text);
}

static void *worker_main(void *arg)
{
    struct thread *t = arg;
    struct server *server = t->server;
    bool busy = server->options.busy_poll;
    uint64_t now_ns = server_now(server);

    while (still_needed(t, now_ns)) {
        bool more;

        inbox_empty(t, now_ns);
        take_tls(t);
        more = worker_turn(t->worker, now_ns);
        more |= conns_desk_serve(&t->desk, t->worker, now_ns);
        report_duplicates(t);
        report_disks(t);
        if (!more && !busy) {
            uint64_t next_ns = worker_next_ns(t->worker);

            if (next_ns > now_ns)
                sleep_until(t, next_ns, now_ns);
        }
        now_ns = server_now(server);
    }
    conns_desk_close(&t->desk);
    worker_stop(t->worker);
    __atomic_sub_fetch(&server->running, 1, __ATOMIC_RELEASE);
    wake(server->done_fd);
    return NULL;
}

/* --- starting --------------------------------------------------------------------------------- */

/* A signature that is made sooner than a thread is woken is best made in the worker's turn. */
static uint32_t tls_threads(const struct server *server)
{
    if (server->options.tls_threads != TLS_THREADS_AUTO)
        return server->options.tls_threads;
    return server->tls && tls_ctx_signs_slowly(server->tls) ? 1 : 0;
}

static void worker_config(const struct server *server, struct thread *t,
                          struct worker_config *config)
{
    const struct serve_options *o = &server->options;

    *config = (struct worker_config){
        .set = server->set,
        .disk_depth = DISK_DEPTH,
        .addr_count = o->addr_count,
        .gateway = o->has_gateway ? &o->gateway : NULL,
        .gateway6 = o->has_gateway6 ? &o->gateway6 : NULL,
        .vlan = o->vlan,
        .listen_port = o->listen_port,
        .tls_port = o->tls_port,
        .tls = server->tls,
        .tls_threads = tls_threads(server),
        .redirect_https = o->redirect_https,
        .rates = o->rates.count ? &o->rates : NULL,
        .mss_max = (uint16_t)o->mss,
        .mtu_probing = o->mtu_probing,
        .ecn = o->ecn,
        .read_bytes = o->read_kib * 1024,
        .chunk_count = CHUNKS_DEFAULT,
        .limits = o->limits,
        .http = {.server = "atlas", .cache_control = o->cache_control, .cors = o->cors},
        .cc = o->cc,
        .epoch_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S) -
                   (int64_t)(server_now(server) / NS_PER_S),
        .on_arp = server->thread_count > 1 ? relay_frame : NULL,
        .on_arp_arg = t,
    };
    memcpy(config->addrs, o->addrs, sizeof(o->addrs));
    config->limits.conns = max_u32(o->limits.conns / server->thread_count, 1);
    if (o->arena_mib)
        config->chunk_count = max_u32(
            (uint32_t)((uint64_t)o->arena_mib * 1024 / o->read_kib / server->thread_count), 16);
}

/* The wall clock is read once: pcap files and Date fields count from here. */
static int open_port(struct server *server, struct thread *t, struct nmio_port **port)
{
    const struct serve_options *o = &server->options;
    uint32_t index = (uint32_t)(t - server->threads);
    struct nmio_config config = {.arena = t->arena,
                                 .queue = index,
                                 .queue_count = server->thread_count,
                                 .mtu = o->mtu,
                                 .host_addr = index == 0 && o->host_addr[0] ? o->host_addr : NULL};
    const char *why = "";
    struct nmio_port *captured;
    char path[4096];
    int rc;

    rc = nmio_open(port, o->port, &config, &why);
    if (rc < 0) {
        log_error("--port %s: %s", o->port, why);
        return rc;
    }
    if (!o->pcap)
        return 0;
    if (server->thread_count > 1)
        snprintf(path, sizeof(path), "%s.%u", o->pcap, index);
    else
        snprintf(path, sizeof(path), "%s", o->pcap);
    rc = nmio_pcap_open(&captured, *port, path, clock_ns(CLOCK_REALTIME) - server_now(server));
    if (rc < 0) {
        log_error("--pcap %s: %s", path, strerror(-rc));
        nmio_close(*port);
        return rc;
    }
    *port = captured;
    return 0;
}

static int open_worker(struct server *server, struct thread *t)
{
    struct worker_config config;
    char why[WHY_BYTES] = "";
    int rc;

    worker_config(server, t, &config);
    rc = diskmap_set_arena(server->set, worker_disk_arena_bytes(&config), &t->disk_arena, why,
                           sizeof(why));
    if (rc < 0) {
        log_error("%s", why);
        return rc;
    }
    config.disk_arena = t->disk_arena;
    rc = mem_arena_open(&t->arena, worker_arena_bytes(&config), MEM_ARENA_HUGE);
    if (rc < 0) {
        log_error("no memory for a worker with %u connections: lower --conns or --arena",
                  config.limits.conns);
        return rc;
    }
    config.arena = t->arena;
    if (getrandom(config.secret, sizeof(config.secret), 0) != sizeof(config.secret) ||
        getrandom(config.http.boundary_key, sizeof(config.http.boundary_key), 0) !=
            sizeof(config.http.boundary_key)) {
        log_error("the kernel has no random numbers: %s", strerror(errno));
        return -EIO;
    }
    config.https = config.http;
    config.https.hsts = server->options.hsts;
    config.https.hsts_s = server->options.hsts_s;
    rc = open_port(server, t, &config.port);
    if (rc < 0)
        return rc;
    rc = worker_open(&t->worker, &config, server_now(server), why, sizeof(why));
    if (rc < 0) {
        log_error("%s", why[0] ? why : strerror(-rc));
        nmio_close(config.port);
    }
    return rc;
}

static int start_workers(struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *t = &server->threads[i];
        int rc;

        t->server = server;
        pthread_mutex_init(&t->inbox.lock, NULL);
        rc = conns_desk_init(&t->desk);
        if (rc < 0)
            return rc;
        t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (t->wake_fd < 0)
            return -errno;
        rc = open_worker(server, t);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *t = &server->threads[i];
        int rc = pthread_create(&t->id, NULL, worker_main, t);

        if (rc != 0) {
            log_error("cannot start a thread: %s", strerror(rc));
            return -rc;
        }
        t->started = true;
        __atomic_add_fetch(&server->running, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

/* --- running and ending ----------------------------------------------------------------------- */

static void wake_all(struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (server->threads[i].started)
            wake(server->threads[i].wake_fd);
}

static void drain(struct server *server)
{
    __atomic_store_n(&server->draining, true, __ATOMIC_RELAXED);
    wake_all(server);
}

static void cut_off(struct server *server)
{
    __atomic_store_n(&server->cut_off, true, __ATOMIC_RELAXED);
    drain(server);
}

/* At most until it is time to look after the tickets; 0 when the deadline has passed. */
static int time_left_ms(uint64_t deadline_ns, uint64_t now_ns)
{
    if (deadline_ns <= now_ns)
        return 0;
    return (int)min_u64((deadline_ns - now_ns) / NS_PER_MS + 1, LOOK_MS);
}

/* Returns when all workers have ended: after a signal and the drain, or a second signal. */
static void run(struct server *server, int signal_fd)
{
    struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN},
                            {.fd = server->done_fd, .events = POLLIN}};
    uint64_t deadline_ns = UINT64_MAX;

    while (__atomic_load_n(&server->running, __ATOMIC_ACQUIRE) > 0) {
        uint64_t now_ns = server_now(server);
        int wait_ms = time_left_ms(deadline_ns, now_ns);
        struct signalfd_siginfo info;
        uint64_t count;

        if (server->tickets)
            tls_tickets_turn(server->tickets, (int64_t)(now_ns / NS_PER_S));
        if (wait_ms == 0)
            cut_off(server);
        if (poll(fds, array_len(fds), wait_ms == 0 ? 100 : wait_ms) <= 0)
            continue;
        if ((fds[1].revents & POLLIN) && read(server->done_fd, &count, sizeof(count)) < 0)
            continue;
        if (!(fds[0].revents & POLLIN) || read(signal_fd, &info, sizeof(info)) < 0)
            continue;
        if (info.ssi_signo == SIGHUP) {
            reload_tls(server);
        } else if (server->draining) {
            log_info("a second signal: ending at once");
            cut_off(server);
        } else {
            log_info("draining: responses under way have %llu s to end",
                     (unsigned long long)(server->options.drain_ns / NS_PER_S));
            deadline_ns = now_ns + server->options.drain_ns;
            drain(server);
        }
    }
}

static void close_workers(struct server *server)
{
    cut_off(server);
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *t = &server->threads[i];

        if (t->started)
            pthread_join(t->id, NULL);
        if (t->worker)
            worker_close(t->worker);
        offer_tls(t, NULL);
        if (t->wake_fd > 0)
            close(t->wake_fd);
    }
}

/* After the disks, which may know the workers' memory to the end. */
static void close_arenas(struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++) {
        mem_arena_close(server->threads[i].arena);
        mem_arena_close(server->threads[i].disk_arena);
    }
}

/* As far as it can be said before the disks are known. */
static size_t disk_arena_bytes(const struct server *server)
{
    struct worker_config config;

    worker_config(server, NULL, &config);
    return worker_disk_arena_bytes(&config);
}

static int open_set(struct server *server)
{
    const struct serve_options *o = &server->options;
    char why[WHY_BYTES] = "";
    int rc;

    if (o->root) {
        rc = diskmap_set_open_root(&server->set, o->root, why, sizeof(why));
    } else {
        rc = disks_open(&server->disks, &server->start_ns, server->thread_count, DISK_DEPTH,
                        disk_arena_bytes(server));
        if (rc == 0)
            rc = diskmap_set_open_volumes(&server->set, server->disks, o->volumes, o->volume_count,
                                          why, sizeof(why));
    }
    if (rc < 0)
        log_error("%s", why[0] ? why : strerror(-rc));
    return rc;
}

static void close_set(struct server *server)
{
    if (server->set)
        diskmap_set_close(server->set);
    if (server->disks)
        diskmap_disks_close(server->disks);
}

/* Signals come as bytes to read; no thread is ever interrupted. */
static int block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void say_url(const char *scheme, const struct ip_addr *addr, uint16_t port,
                    uint16_t scheme_port)
{
    bool v4 = ip_addr_is_v4(addr);
    char text[IP_ADDR_TEXT];

    ip_addr_format(addr, text);
    printf("ready %s://%s%s%s", scheme, v4 ? "" : "[", text, v4 ? "" : "]");
    if (port == scheme_port)
        printf("/\n");
    else
        printf(":%u/\n", port);
}

static void say_ready(const struct serve_options *o)
{
    if (o->listen_port)
        say_url("http", &o->addrs[0].addr, o->listen_port, 80);
    if (o->tls_port)
        say_url("https", &o->addrs[0].addr, o->tls_port, 443);
    fflush(stdout);
}

int serve(int argc, char **argv)
{
    struct server *server = calloc(1, sizeof(*server));
    struct admin *admin = NULL;
    int signal_fd = block_signals();
    int status = 1, rc;

    if (!server || signal_fd < 0) {
        log_error("cannot start: %s", strerror(errno));
        free(server);
        return 1;
    }
    rc = serve_options_parse(&server->options, argc, argv);
    if (rc >= 0) {
        status = rc;
        goto free_server;
    }
    server->thread_count = server->options.workers;
    server->start_ns = clock_ns(CLOCK_MONOTONIC) - NS_PER_S; /* time 0 is nobody's deadline */
    server->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->done_fd < 0 || open_set(server) < 0) {
        close_set(server);
        goto free_server;
    }
    rc = open_tls(server);
    if (rc < 0 || start_workers(server) < 0) {
        status = rc == -ENOTSUP ? 2 : 1; /* --tls-suites: no file is to blame */
        goto stop_workers;
    }
    if (server->options.admin_port &&
        admin_open(&admin, server, server->options.admin_addr, server->options.admin_port) < 0)
        goto stop_workers;
    say_ready(&server->options);
    run(server, signal_fd);
    status = 0;

    if (admin)
        admin_close(admin);
stop_workers:
    close_workers(server);
    close_tls(server);
    close_set(server);
    close_arenas(server);
free_server:
    if (server->done_fd > 0)
        close(server->done_fd);
    close(signal_fd);
    free(server);
    return status;
}

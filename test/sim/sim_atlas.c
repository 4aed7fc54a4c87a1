// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim_atlas.c - clients on a TCP of ours, with and without TLS, a network that harms, and the
 * server that is shipped, on a disk that is slow, overtakes itself and fails.
 *
 * The server is a struct worker, the very code that `atlas serve` runs on a thread; only its port,
 * its disk and its clock are the simulation's.
 */
#include "client.h"
#include "nvme_shelf.h"
#include "runner.h"
#include "secure.h"
#include "witness.h"

#include "base/bytes.h"

#define ARENA_BYTES       (1ull << 30) /* address space: what is not touched costs nothing */
#define CLIENTS_MAX       40
#define CLIENT_PORT_FIRST 1024
#define EPOCH_S           1750000000

#define RUN_LIMIT_NS      (86400 * NS_PER_S)
/* Exchanges fail so rarely that no connection may end for it. */
#define GENTLE_HARM_MAX 0.06
/* Where more goes wrong, megabytes would take days. */
#define MEGABYTES_TOIL_MAX 0.2
#define MEGABYTES          4000000
#define WIDE_WINDOW_BYTES  (1 << 20)
#define WIDE_DEPTH         1024 /* packets, of the pipe */
/* With one key, where keys wear out in mid-response. */
#define KEY_RECORDS_MIN 8
#define KEY_RECORDS_MAX 2000
/* Every client may have as many responses under way as a connection can. */
#define CONNS_PER_CLIENT 16

/* What all runs have in common. */
struct fixtures {
    struct shelf shelf;
    struct crypto crypto;
};

/* How the server of a run does TLS. */
struct security {
    bool on;
    bool wide; /* windows and objects for many full records, parts of which are sealed again */
    struct tls_identity identities[CRYPTO_KEYS];
    uint32_t identity_count;
    enum tlsrec_version min_version;
    bool resumes;
    struct tls_tickets *tickets; /* or NULL */
    struct tls_ctx *ctx;
};

struct scenario {
    struct world *world;
    const struct shelf *shelf;
    const struct crypto *crypto;
    struct security security;
    struct nmio_port *witness; /* on top of the server's port, which closes it */
    struct net_params net;
    struct net_link link;
    struct tcp_config client_tcp;
    struct diskmap_fault_config disk; /* in front of the volume in memory, or of the next one */
    struct nvme_shelf_plan nvme_plan;
    struct nvme_shelf nvme;
    struct worker_config config;
    struct worker *worker;
    struct client_host clients_host;
    struct client clients[CLIENTS_MAX];
    uint32_t client_count;
    struct world_event drain;
    uint64_t drain_after_ns;
    uint64_t lateness_ns;
    uint64_t server_packets; /* received so far */
};

/* --- drawing ---------------------------------------------------------------------------------- */

/* A read may end with an error. */
static bool disk_fails(const struct scenario *s)
{
    return s->disk.error > 0 || s->nvme_plan.error > 0 || s->nvme_plan.stuck > 0;
}

static void draw_disk(struct scenario *s, struct rand *rand)
{
    static const uint32_t read_bytes[] = {4096, 16384, 61440};

    s->config.read_bytes = read_bytes[rand_below(rand, array_len(read_bytes))];
    s->config.chunk_count = (uint32_t)world_range_log(rand, 1, 128);
    s->config.disk_depth = 1u << rand_below(rand, 8);
    if (rand_chance(rand, 0.3))
        nvme_shelf_draw(&s->nvme_plan, rand);
    if (rand_chance(rand, s->nvme_plan.on ? 0.7 : 0.2))
        return; /* the objects lie in memory, or behind nothing but the driver */
    s->disk.seed = rand_u64(rand);
    if (rand_chance(rand, 0.2))
        s->disk.error = (double)world_range_log(rand, 1, 256) / 1024;
    if (rand_chance(rand, 0.8)) {
        s->disk.delay_max_ns = world_range_log(rand, NS_PER_US, 300 * NS_PER_MS);
        s->disk.delay_min_ns = rand_below(rand, s->disk.delay_max_ns);
    }
    s->config.disk_fault = &s->disk;
}

static void draw_server(struct scenario *s, struct rand *rand)
{
    s->config.set = s->shelf->set;
    s->config.addrs[0] = net_prefix(1);
    s->config.addr_count = 1;
    s->config.listen_port = SERVER_PORT;
    s->config.limits = worker_limits_default();
    s->config.limits.conns = CONNS_PER_CLIENT * s->client_count;
    if (rand_chance(rand, 0.1))
        s->config.limits.conns = (uint32_t)world_range(rand, 1, s->client_count);
    s->config.http = (struct http1_options){.server = "atlas",
                                            .boundary_key = {rand_u64(rand), rand_u64(rand)},
                                            .cors = rand_chance(rand, 0.5)};
    s->config.cc = tcp_config_default().cc;
    s->config.mtu_probing = tcp_config_default().mtu_probing;
    s->config.ecn = tcp_config_default().ecn;
    for (size_t i = 0; i < array_len(s->config.secret); i++)
        s->config.secret[i] = rand_u64(rand);
    s->config.epoch_s = EPOCH_S;
    draw_disk(s, rand);
}

static void draw_client_tcp(struct scenario *s, struct rand *rand)
{
    s->client_tcp = tcp_config_default();
    s->client_tcp.conns_max = s->client_count + 1;
    s->client_tcp.rcv_wnd_bytes = (uint32_t)world_range_log(rand, 512, 1 << 20);
    if (rand_chance(rand, 0.3))
        s->client_tcp.mss_max = (uint16_t)world_range(rand, 88, 1460);
    s->client_tcp.keepalive_ns = world_range(rand, 5, 75) * NS_PER_S;
    s->client_tcp.user_timeout_ns = world_range(rand, 120, 600) * NS_PER_S;
    s->client_tcp.fin_wait_2_ns = world_range(rand, 300, 600) * NS_PER_S;
}

static void draw_client(struct scenario *s, struct rand *rand, struct client *client,
                        double disturbed, double stop)
{
    client->port = (uint16_t)(CLIENT_PORT_FIRST + client->number);
    client->ahead = rand_chance(rand, 0.5) ? 1 : (uint32_t)world_range(rand, 2, 24);
    client->think_ns = rand_chance(rand, 0.5) ? 0 : world_range_log(rand, 1, 2 * NS_PER_S);
    client->close = (enum client_close)rand_below(rand, CLOSE_SECOND + 1);
    client->start_after_ns = rand_chance(rand, 0.5) ? 0 : rand_below(rand, 5 * NS_PER_S);
    client->abort_after_ns = client->vanish_after_ns = WORLD_NEVER;
    if (rand_chance(rand, stop)) {
        client->stop_at = world_range_log(rand, 1, 1 << 20);
        client->stop_ns = world_range_log(rand, NS_PER_MS, 10 * NS_PER_S);
    }
    if (rand_chance(rand, disturbed)) {
        uint64_t after_ns = world_range_log(rand, 1, 10 * NS_PER_S);

        if (rand_chance(rand, 0.6))
            client->abort_after_ns = after_ns;
        else
            client->vanish_after_ns = after_ns;
    }
}

static void draw_clients_host(struct scenario *s, struct rand *rand)
{
    struct client_host *host = &s->clients_host;

    host->world = s->world;
    host->shelf = s->shelf;
    host->refuse = rand_chance(rand, 0.2) ? 0.3 : 0;
    host->keep = rand_chance(rand, 0.5) ? 0.5 : 0;
    host->keep_ns = world_range_log(rand, NS_PER_US, 100 * NS_PER_MS);
    host->rcv_wnd_bytes = s->client_tcp.rcv_wnd_bytes;
    host->draining = s->drain_after_ns != WORLD_NEVER;
    host->gentle = s->net.harm <= GENTLE_HARM_MAX && !s->net.slow && !disk_fails(s) &&
                   s->net.pipe.depth >= 4 * s->client_count &&
                   s->config.limits.conns >= CONNS_PER_CLIENT * s->client_count;
}

/* --- drawing TLS ------------------------------------------------------------------------------ */

static void draw_tls_client(struct scenario *s, struct rand *rand, struct client *client)
{
    struct tls_peer_plan *plan = &client->tls_plan;

    client->secure = rand_chance(rand, 0.9);
    plan->version = rand_chance(rand, 0.7) ? TLSREC_TLS13 : s->security.min_version;
    plan->suite = (enum tlsrec_suite)rand_below(rand, TLSREC_CHACHA20_POLY1305 + 1);
    plan->resumes = rand_chance(rand, 0.6);
    plan->alpn = rand_chance(rand, 0.5);
    plan->notifies = rand_chance(rand, 0.6);
    plan->fragment = rand_chance(rand, 0.15) ? (uint8_t)world_range(rand, 1, 4) : 0;
    plan->updates = rand_chance(rand, 0.4) ? 0.5 : 0;
}

/* Instead of the network that was drawn one in which windows grow large, and a few of many segments
 * have to be sent again. */
static void draw_wide(struct scenario *s, struct rand *rand)
{
    double loss = 1.0 / (double)world_range_log(rand, 64, 4096);
    struct net_faults faults = {.on = true,
                                .config = {.seed = rand_u64(rand), .loss = loss, .rx_only = true}};

    s->net =
        (struct net_params){.pipe = s->net.pipe, .faults = {faults}, .harm = loss, .toil = loss};
    s->net.pipe.depth = max_u32(s->net.pipe.depth, WIDE_DEPTH);
    world_note(s->world, " and instead of that: depth=%u loss=%.4f", s->net.pipe.depth, loss);
}

/* The server listens with TLS and without. */
static void draw_security(struct scenario *s, struct rand *rand)
{
    static const uint32_t read_bytes[] = {TLS_READ_BYTES_MIN, 61440, 131072};
    struct security *security = &s->security;
    uint32_t kinds = 1 + (uint32_t)rand_below(rand, (1u << CRYPTO_KEYS) - 1);

    for (uint32_t i = 0; i < CRYPTO_KEYS; i++)
        if (kinds & 1u << i)
            security->identities[security->identity_count++] = s->crypto->identities[i].identity;
    security->min_version = rand_chance(rand, 0.1) ? TLSREC_TLS13 : TLSREC_TLS12;
    security->resumes = rand_chance(rand, 0.7);
    s->config.tls_port = SERVER_TLS_PORT;
    s->config.read_bytes = read_bytes[rand_below(rand, array_len(read_bytes))];
    s->config.chunk_count = max_u32(s->config.chunk_count, TLS_CHUNKS_MIN);
    s->clients_host.worn = rand_chance(rand, 0.3);
    if (s->clients_host.worn)
        s->config.tls_records_max = world_range_log(rand, KEY_RECORDS_MIN, KEY_RECORDS_MAX);
    if (security->wide)
        s->client_tcp.rcv_wnd_bytes = s->clients_host.rcv_wnd_bytes = WIDE_WINDOW_BYTES;
    if (s->config.disk_fault && rand_chance(rand, security->wide ? 0.6 : 0.3)) {
        s->disk.change_at_ns =
            s->world->start_ns +
            world_range_log(rand, NS_PER_MS, (security->wide ? 1 : 10) * NS_PER_S);
        s->clients_host.changing = true;
        s->clients_host.gentle = false;
    }
    for (uint32_t i = 0; i < s->client_count; i++)
        draw_tls_client(s, rand, &s->clients[i]);
}

static void note_security(struct scenario *s)
{
    uint32_t secure = 0;

    for (uint32_t i = 0; i < s->client_count; i++)
        secure += s->clients[i].secure;
    world_note(s->world, " tls{clients=%u identities=%u %s%s}", secure, s->security.identity_count,
               s->security.min_version == TLSREC_TLS13 ? "1.3" : "1.2",
               s->security.resumes ? " tickets" : "");
    if (s->config.tls_records_max)
        world_note(s->world, " key=%llu records", (unsigned long long)s->config.tls_records_max);
    if (s->clients_host.changing)
        world_note(s->world, " change=%.3fs",
                   (double)(s->disk.change_at_ns - s->world->start_ns) / NS_PER_S);
}

static void note(struct scenario *s, uint64_t bytes_max)
{
    struct world *world = s->world;

    world_note(world,
               " clients=%u bytes<=%llu wnd=%u mss=%u chunks=%ux%u depth=%u disk{%s error=%.4f"
               " delay=%.3f-%.3fms} conns=%u drain=%.3fs late=%lluus%s",
               s->client_count, (unsigned long long)bytes_max, s->client_tcp.rcv_wnd_bytes,
               s->client_tcp.mss_max, s->config.chunk_count, s->config.read_bytes,
               s->config.disk_depth, s->config.disk_fault ? "faulty" : "in memory", s->disk.error,
               (double)s->disk.delay_min_ns / NS_PER_MS, (double)s->disk.delay_max_ns / NS_PER_MS,
               s->config.limits.conns,
               s->drain_after_ns == WORLD_NEVER ? -1 : (double)s->drain_after_ns / NS_PER_S,
               (unsigned long long)(s->lateness_ns / NS_PER_US),
               s->clients_host.gentle ? " gentle" : "");
    if (s->nvme_plan.on)
        world_note(
            world, " nvme{depth=%u mdts=%u block=%u error=%.4f stuck=%.4f delay=%llu-%lluus}",
            s->nvme_plan.depth, s->nvme_plan.mdts, s->nvme_plan.block_bytes, s->nvme_plan.error,
            s->nvme_plan.stuck, (unsigned long long)s->nvme_plan.delay_min_us,
            (unsigned long long)s->nvme_plan.delay_max_us);
}

static int scenario_draw(struct scenario *s)
{
    static const uint64_t bytes_max[] = {5000, 20000, 70000, 70000, 320000, MEGABYTES};
    struct rand *rand = &s->world->draw;
    uint64_t bytes = bytes_max[rand_below(rand, array_len(bytes_max))];
    double disturbed = rand_chance(rand, 0.3) ? 0.4 : 0, stop = rand_chance(rand, 0.2) ? 0.5 : 0;
    struct rand dice; /* for TLS, so that whatever else a seed means does not depend on it */
    int err = 0;

    rand_seed(&dice, ~s->world->seed);
    s->security.on = rand_chance(&dice, 0.6);
    s->security.wide = s->security.on && rand_chance(&dice, 0.25);
    if (s->security.wide)
        bytes = MEGABYTES;
    net_draw(&s->net, s->world);
    if (s->security.wide)
        draw_wide(s, &dice);
    if (s->net.toil > MEGABYTES_TOIL_MAX)
        bytes = min_u64(bytes, 70000);
    s->client_count = (uint32_t)world_range(rand, 1, 4);
    if (rand_chance(rand, 0.2))
        s->client_count = (uint32_t)world_range(rand, 5, bytes > 320000 ? 10 : CLIENTS_MAX);
    s->lateness_ns = rand_chance(rand, 0.3) ? world_range_log(rand, 1, 2 * NS_PER_MS) : 0;
    s->drain_after_ns = rand_chance(rand, 0.1) ? rand_below(rand, 10 * NS_PER_S) : WORLD_NEVER;
    draw_server(s, rand);
    draw_client_tcp(s, rand);
    draw_clients_host(s, rand);
    for (uint32_t i = 0; i < s->client_count && !err; i++) {
        err = client_draw(&s->clients[i], &s->clients_host, i, bytes);
        draw_client(s, rand, &s->clients[i], disturbed, stop);
    }
    crypto_seed(rand_u64(&dice));
    if (s->security.on)
        draw_security(s, &dice);
    note(s, bytes);
    if (s->security.on)
        note_security(s);
    return err;
}

/* --- invariants ------------------------------------------------------------------------------- */

static uint64_t conns_left(const struct tcp *tcp)
{
    uint64_t left = 0;

    for (enum tcp_state state = 0; state < TCP_STATES; state++)
        left += stat_get(&tcp_state_counts(tcp)[state]);
    return left;
}

static uint64_t sessions_left(const struct worker *w)
{
    return stat_get(&w->sessions.in_use) + stat_get(&w->secures.in_use);
}

static bool finished(void *arg)
{
    const struct scenario *s = arg;

    for (uint32_t i = 0; i < s->client_count; i++)
        if (!s->clients[i].started || s->clients[i].conn)
            return false;
    return conns_left(s->clients_host.net.tcp) == 0 && conns_left(s->worker->tcp) == 0 &&
           sessions_left(s->worker) == 0 && diskmap_stats(s->worker->dm)->inflight == 0;
}

static void inspect(void *arg)
{
    struct scenario *s = arg;
    const struct worker *w = s->worker;
    uint64_t reads = 0;

    if (stat_get(&w->stats.sessions) + stat_get(&w->stats.sessions_draining) != sessions_left(w))
        world_fail(s->world, "the server counts %llu sessions and %llu draining, and has %llu",
                   (unsigned long long)w->stats.sessions,
                   (unsigned long long)w->stats.sessions_draining,
                   (unsigned long long)sessions_left(w));
    for (struct tcp_conn *conn = tcp_conn_next(w->tcp, NULL); conn;
         conn = tcp_conn_next(w->tcp, conn)) {
        enum tcp_state state = tcp_conn_state(conn);
        struct session *session = tcp_conn_user(conn);

        if (state == TCP_SYN_RECEIVED || state == TCP_TIME_WAIT)
            continue;
        if (!session || session->conn != conn)
            world_fail(s->world, "the server has a connection in %s without a session",
                       tcp_state_name(state));
        else
            reads += session->reads -
                     ((session->flags & SESSION_LAYERED) && secure_of(session)->job_out);
    }
    if (reads > w->chunks.in_use)
        world_fail(s->world, "%llu reads are under way with %llu chunks", (unsigned long long)reads,
                   (unsigned long long)w->chunks.in_use);
}

static void describe(void *arg, char *text, size_t bytes)
{
    const struct scenario *s = arg;

    for (uint32_t i = 0; i < s->client_count; i++)
        if (s->clients[i].conn)
            client_describe(&s->clients[i], text + strlen(text), bytes - strlen(text));
    snprintf(text + strlen(text), bytes - strlen(text),
             "server: %llu connections, %llu sessions, %llu chunks, %llu reads",
             (unsigned long long)conns_left(s->worker->tcp),
             (unsigned long long)sessions_left(s->worker),
             (unsigned long long)s->worker->chunks.in_use,
             (unsigned long long)diskmap_stats(s->worker->dm)->inflight);
}

static void check_pool(struct scenario *s, const char *name, const uint64_t *in_use)
{
    if (stat_get(in_use))
        world_fail(s->world, "the server has lost %llu %s", (unsigned long long)stat_get(in_use),
                   name);
}

/* Clients do as the RFC says. */
static void check_security(struct scenario *s)
{
    const struct secure_stats *stats = &s->worker->secure_stats;

    if (stat_get(&stats->differs) && !s->clients_host.changing)
        world_fail(s->world, "the server has seen %llu objects change",
                   (unsigned long long)stat_get(&stats->differs));
    if (stat_get(&stats->failed) || stat_get(&stats->alerts_out))
        world_fail(s->world, "the server does not understand its clients: %llu, %llu",
                   (unsigned long long)stat_get(&stats->failed),
                   (unsigned long long)stat_get(&stats->alerts_out));
    if (stat_get(&stats->handshakes_active))
        world_fail(s->world, "the server counts %llu handshakes",
                   (unsigned long long)stat_get(&stats->handshakes_active));
    if (stat_get(&stats->resumed) < s->clients_host.resumed)
        world_fail(s->world, "the server has resumed %llu sessions, its clients %llu",
                   (unsigned long long)stat_get(&stats->resumed),
                   (unsigned long long)s->clients_host.resumed);
    if (!s->security.resumes && stat_get(&stats->resumed))
        world_fail(s->world, "a session was resumed without tickets");
    if (stat_get(&stats->key_updates) < s->clients_host.updates)
        world_fail(s->world, "the server has sent %llu KeyUpdates, its clients have seen %llu",
                   (unsigned long long)stat_get(&stats->key_updates),
                   (unsigned long long)s->clients_host.updates);
}

static void check_timeouts(struct scenario *s)
{
    struct nmio_port *ports[] = {s->clients_host.net.port, s->link.ports[1]};

    if (!net_is_perfect(&s->net) || s->world->pcap_path)
        return;
    for (uint32_t i = 0; i < s->client_count; i++)
        if (s->clients[i].abort_after_ns != WORLD_NEVER ||
            s->clients[i].vanish_after_ns != WORLD_NEVER)
            return;
    net_check_timeouts(s->world, ports, s->worker->tcp, "server");
    /* Whose SYN cookie comes back when all connections are in use has to come again. */
    if (!stat_get(&tcp_stats(s->worker->tcp)->drop_conns_full))
        net_check_timeouts(s->world, ports, s->clients_host.net.tcp, "client");
}

static void check_end(struct scenario *s)
{
    const struct worker *w = s->worker;
    uint64_t in_use;

    for (uint32_t i = 0; i < s->client_count; i++)
        client_check(&s->clients[i]);
    check_pool(s, "sessions", &w->sessions.in_use);
    check_pool(s, "sessions over TLS", &w->secures.in_use);
    check_pool(s, "runs", &w->runs.in_use);
    check_pool(s, "shared runs", &w->runs_shared);
    check_pool(s, "expanded keys", &w->keys.in_use);
    check_security(s);
    check_pool(s, "requests", &w->requests.in_use);
    check_pool(s, "responses", &w->responses.in_use);
    check_pool(s, "sets of ranges", &w->multis.in_use);
    in_use = stat_get(&w->chunks.in_use) - (w->spare != NULL);
    check_pool(s, "chunks", &in_use);
    check_pool(s, "timers", &w->wheel.count);
    if (s->clients_host.draining && !worker_drained(w))
        world_fail(s->world, "the server does not know that it is drained");
    check_timeouts(s);
    if (!disk_fails(s) && stat_get(&w->stats.disk_errors))
        world_fail(s->world, "the server counts disk errors that nobody made");
}

/* --- a run ------------------------------------------------------------------------------------ */

static bool datagram_admit(void *arg, const struct ip_dgram *dgram)
{
    const struct scenario *s = arg;
    uint32_t number;

    if (dgram->len < 4)
        return true;
    number = (uint32_t)(get_be16(dgram->payload + 2) - CLIENT_PORT_FIRST);
    return number >= s->client_count || !s->clients[number].vanished;
}

static enum world_verdict clients_turn(void *arg)
{
    struct scenario *s = arg;
    struct net_host *host = &s->clients_host.net;
    uint32_t received = net_host_turn(host);

    return received ? WORLD_BUSY : tcp_starved(host->tcp) ? WORLD_STARVED : WORLD_IDLE;
}

static uint64_t clients_next_ns(void *arg)
{
    struct scenario *s = arg;

    return net_host_next_ns(&s->clients_host.net);
}

static enum world_verdict server_turn(void *arg)
{
    struct scenario *s = arg;
    bool more = worker_turn(s->worker, s->world->now_ns);
    uint64_t packets = stat_get(&nmio_stats(s->worker->port)->rx_packets);

    if (more || packets != s->server_packets) {
        s->server_packets = packets;
        return WORLD_BUSY;
    }
    return WORLD_IDLE;
}

static uint64_t server_next_ns(void *arg)
{
    struct scenario *s = arg;

    return worker_next_ns(s->worker);
}

static void drain(struct world_event *event)
{
    struct scenario *s = container_of(event, struct scenario, drain);

    world_trace(s->world, "  the server drains");
    worker_drain(s->worker, s->world->now_ns);
}

static int security_open(struct scenario *s, char *why, size_t why_bytes)
{
    struct security *security = &s->security;
    struct tls_policy policy = {.identities = security->identities,
                                .identity_count = security->identity_count,
                                .min_version = security->min_version};
    int err = 0;

    if (!security->on)
        return 0;
    if (security->resumes)
        err = tls_tickets_open(&security->tickets, TLS_TICKET_ROTATE_S);
    policy.tickets = security->tickets;
    if (!err)
        err = tls_ctx_open(&security->ctx, &policy, why, why_bytes);
    if (!err)
        err = tls_peer_host_open(&s->clients_host.tls, s->crypto);
    s->config.tls = security->ctx;
    return err;
}

static void security_close(struct scenario *s)
{
    for (uint32_t i = 0; i < s->client_count; i++)
        client_fini(&s->clients[i]);
    tls_peer_host_close(&s->clients_host.tls);
    if (s->security.ctx)
        tls_ctx_put(s->security.ctx);
    if (s->security.tickets)
        tls_tickets_close(s->security.tickets);
}

static int disk_open(struct scenario *s, char *why, size_t why_bytes)
{
    uint64_t before_ns = s->world->now_ns;
    int err;

    if (!s->nvme_plan.on)
        return 0;
    err = nvme_shelf_open(&s->nvme, &s->nvme_plan, s->shelf, s->world, why, why_bytes);
    if (err)
        return err;
    if (s->disk.change_at_ns)
        s->disk.change_at_ns += s->world->now_ns - before_ns;
    s->config.set = s->nvme.set;
    err = diskmap_set_arena(s->nvme.set, worker_disk_arena_bytes(&s->config), &s->nvme.arena, why,
                            why_bytes);
    s->config.disk_arena = s->nvme.arena;
    return err;
}

static int server_open(struct scenario *s, char *why, size_t why_bytes)
{
    int err = security_open(s, why, why_bytes);

    if (!err)
        err = witness_open(&s->witness, s->link.ports[1], s->world);
    if (err)
        return err;
    s->config.arena = s->world->arena;
    s->config.port = s->witness;
    err = worker_open(&s->worker, &s->config, s->world->now_ns, why, why_bytes);
    if (!err)
        /* Without TLS what has changed is sent as it is. */
        witness_watch(s->witness, s->worker->tcp, s->clients_host.changing ? SERVER_TLS_PORT : 0);
    return err;
}

static void scenario_open(struct scenario *s)
{
    char why[256] = "no memory";
    int err = disk_open(s, why, sizeof(why));

    if (err) {
        world_fail(s->world, "no disk: %s", why);
        return;
    }
    err = net_link_open(&s->link, &s->net, s->world);
    if (err) {
        world_fail(s->world, "no network: %d", err);
        return;
    }
    err = server_open(s, why, sizeof(why));
    if (err) {
        nmio_close(s->link.ports[0]);
        nmio_close(s->witness ? s->witness : s->link.ports[1]);
        world_fail(s->world, "no server: %s", why);
        return;
    }
    err = net_host_open(&s->clients_host.net, &s->link, 0, &s->client_tcp);
    if (err) {
        world_fail(s->world, "no client: %d", err);
        return;
    }
    s->clients_host.net.admit = datagram_admit;
    s->clients_host.net.arg = s;
    for (uint32_t i = 0; i < s->client_count; i++) {
        client_init(&s->clients[i]);
        world_at(s->world, &s->clients[i].start, s->world->now_ns + s->clients[i].start_after_ns);
    }
    world_event_init(&s->drain, drain);
    if (s->drain_after_ns != WORLD_NEVER)
        world_at(s->world, &s->drain, s->world->now_ns + s->drain_after_ns);
}

static void scenario_play(struct scenario *s)
{
    struct world_actor actors[NET_HOSTS + 1] = {{"client", clients_turn, clients_next_ns, s},
                                                {"server", server_turn, server_next_ns, s}};
    bool boxed = net_link_actor(&s->link, &actors[NET_HOSTS]);
    struct world_plan plan = {.actors = actors,
                              .actor_count = NET_HOSTS + boxed,
                              .finished = finished,
                              .inspect = inspect,
                              .describe = describe,
                              .arg = s,
                              .lateness_ns = s->lateness_ns,
                              .limit_ns = RUN_LIMIT_NS};
    bool good = world_run(s->world, &plan);

    net_link_trace(&s->link);
    net_host_trace(&s->clients_host.net);
    net_trace_stats(s->world, "server tcp", tcp_stat_descs, tcp_stats(s->worker->tcp));
    net_trace_stats(s->world, "server eth", eth_stat_descs, eth_stats(s->worker->eth));
    net_trace_stats(s->world, "server disk", diskmap_stat_descs, diskmap_stats(s->worker->dm));
    net_trace_stats(s->world, "server", worker_stat_descs, &s->worker->stats);
    net_trace_stats(s->world, "server tls", secure_stat_descs, &s->worker->secure_stats);
    net_trace_stats(s->world, "witness", witness_stat_descs, witness_stats(s->witness));
    if (good)
        check_end(s);
}

static void run(struct world *world)
{
    struct scenario *s;

    if (mem_arena_open(&world->arena, ARENA_BYTES, 0) < 0) {
        world_fail(world, "no memory for the arena");
        return;
    }
    s = mem_arena_alloc(world->arena, sizeof(*s), CACHE_LINE);
    s->world = world;
    s->shelf = &((const struct fixtures *)world->shared)->shelf;
    s->crypto = &((const struct fixtures *)world->shared)->crypto;
    if (scenario_draw(s) < 0)
        world_fail(world, "the requests do not fit into the arena");
    else
        scenario_open(s);
    if (!world_failed(world))
        scenario_play(s);
    if (s->clients_host.net.port)
        net_host_close(&s->clients_host.net);
    if (s->worker)
        worker_close(s->worker);
    security_close(s);
    net_link_close(&s->link);
    nvme_shelf_close(&s->nvme);
    mem_arena_close(world->arena);
}

int main(int argc, char **argv)
{
    struct fixtures fixtures;
    char why[256];
    int rc;

    if (shelf_open(&fixtures.shelf, why, sizeof(why)) < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], why);
        return 1;
    }
    rc = crypto_open(&fixtures.crypto);
    if (rc < 0) {
        fprintf(stderr, "%s: no certificates: %s\n", argv[0], strerror(-rc));
        shelf_close(&fixtures.shelf);
        return 1;
    }
    rc = runner_main(argc, argv, run, &fixtures);
    crypto_close(&fixtures.crypto);
    shelf_close(&fixtures.shelf);
    return rc;
}

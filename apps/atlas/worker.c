// SPDX-License-Identifier: BSD-2-Clause
/*
 * worker.c - the turn, and how a worker is put together.
 */
#include "secure.h"

#include <errno.h>
#include <stdio.h>

#define REQUESTS_MAX     8192 /* partly received at a time: beyond that somebody plays with us */
#define RESPONSES_FACTOR 2    /* per connection on average; pipelining is rare */
#define MULTIS_MAX       4096
#define LOCATIONS_MAX    4096 /* redirects not acknowledged yet */

const struct stat_desc worker_stat_descs[] = {WORKER_STATS(STAT_DESC, struct worker_stats){0}};

struct worker_limits worker_limits_default(void)
{
    return (struct worker_limits){
        .conns = 16384,
        .phase_ns = {[PHASE_IDLE] = 75 * NS_PER_S, /* nginx: keepalive_timeout */
                     [PHASE_HEAD] = 60 * NS_PER_S, /* client_header_timeout */
                     [PHASE_SEND] = 60 * NS_PER_S, /* send_timeout */
                     [PHASE_LINGER] = 30 * NS_PER_S /* lingering_time */},
        .user_timeout_ns = 100 * NS_PER_S,
        .time_wait_ns = tcp_config_default().time_wait_ns,
    };
}

/* --- the turn --------------------------------------------------------------------------------- */

static void input(struct worker *w, struct nmio_pkt *pkt, uint64_t now_ns)
{
    struct ip_dgram dgram;
    struct ip_error error;

    if (eth_input(w->eth, pkt, now_ns) == ETH_DONE)
        return;
    switch (ip_input(w->ip, pkt, &dgram, &error, now_ns)) {
    case IP_TCP:
        tcp_input(w->tcp, &dgram, now_ns);
        break;
    case IP_UDP:
        ip_unreachable(w->ip, &dgram, IP_UNREACHABLE_PORT, now_ns);
        break;
    case IP_ERROR:
        tcp_error(w->tcp, &error, now_ns);
        break;
    case IP_DONE:
        break;
    }
}

bool worker_turn(struct worker *w, uint64_t now_ns)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    struct diskmap_read *done[NMIO_BATCH];
    uint32_t received, finished;

    w->now_ns = now_ns;
    stat_inc(&w->stats.turns);
    received = nmio_rx(w->port, pkts, NMIO_BATCH, now_ns);
    for (uint32_t i = 0; i < received; i++)
        input(w, &pkts[i], now_ns);
    nmio_rx_done(w->port);

    eth_timers(w->eth, now_ns);
    tcp_timers(w->tcp, now_ns);
    session_timers(w, now_ns);
    if (w->desk)
        secure_turn(w, now_ns);

    tcp_pull(w->tcp, now_ns);

    diskmap_kick(w->dm, now_ns);
    finished = diskmap_reap(w->dm, done, NMIO_BATCH, now_ns);
    for (uint32_t i = 0; i < finished; i++)
        stream_chunk_ready(container_of(done[i], struct stream_read, io), now_ns);

    nmio_flush(w->port, now_ns);
    nmio_reap(w->port);
    return received == NMIO_BATCH || finished == NMIO_BATCH;
}

uint64_t worker_next_ns(const struct worker *w)
{
    uint64_t next = tcp_next_ns(w->tcp);

    if (tcp_starved(w->tcp) && w->chunks.in_use < w->chunks.capacity)
        return w->now_ns; /* buffers have come back for those who wait for them */
    if (w->desk && tls_desk_busy(w->desk))
        return w->now_ns;
    next = min_u64(next, timer_next_ns(&w->wheel));
    next = min_u64(next, eth_next_ns(w->eth));
    next = min_u64(next, nmio_next_ns(w->port));
    return min_u64(next, diskmap_next_ns(w->dm));
}

void worker_drain(struct worker *w, uint64_t now_ns)
{
    w->draining = true;
    w->now_ns = now_ns;
    tcp_listen_stop(w->tcp);
    session_drain(w, now_ns);
}

/* TIME-WAIT is nobody's business any more: a new process refuses old segments by itself. */
bool worker_drained(const struct worker *w)
{
    const uint64_t *counts = tcp_state_counts(w->tcp);

    for (int state = 0; state < TCP_STATES; state++)
        if (state != TCP_TIME_WAIT && counts[state] > 0)
            return false;
    return w->sessions.in_use == 0 && w->secures.in_use == 0;
}

/* --- putting it together ---------------------------------------------------------------------- */

static uint32_t responses_max(const struct worker_config *config)
{
    return config->limits.conns * RESPONSES_FACTOR;
}

size_t worker_disk_arena_bytes(const struct worker_config *config)
{
    uint64_t chunk = config->read_bytes + MEM_CHUNK_HEADROOM + 2 * PAGE_BYTES;

    return 1024 * 1024 /* the tables of queues */
           + diskmap_arena_bytes(config->set, config->disk_depth) +
           config->chunk_count * (chunk + sizeof(struct mem_chunk) + 64);
}

size_t worker_arena_bytes(const struct worker_config *config)
{
    uint64_t conns = config->limits.conns;

    return 32ull * 1024 * 1024 /* the port's buffers, neighbours, rings */
           + tcp_reasm_bytes(tcp_config_default().reasm_max) +
           (config->limits.peer_conns ? tcp_peers_bytes(config->limits.conns) : 0) +
           conns * (tcp_conn_bytes() + sizeof(struct session) + 2 * sizeof(void *) + 128) +
           min_u64(conns, REQUESTS_MAX) * (sizeof(struct request) + 64) +
           responses_max(config) * (sizeof(struct response) + 64) +
           MULTIS_MAX * (sizeof(struct http1_ranges) + 64) +
           (config->redirect_https ? LOCATIONS_MAX * (LOCATION_BYTES_MAX + 64) : 0) +
           secure_arena_bytes(config) + config->chunk_count * sizeof(struct stream_read) +
           CACHE_LINE + (config->disk_arena ? 0 : worker_disk_arena_bytes(config));
}

static int open_pools(struct worker *w)
{
    const struct worker_config *c = &w->config;
    int rc;

    rc = mem_chunks_init(&w->chunks, c->disk_arena, c->read_bytes, c->chunk_count);
    if (rc < 0)
        return rc;
    w->reads = mem_arena_alloc(c->arena, c->chunk_count * sizeof(*w->reads), CACHE_LINE);
    if (!w->reads)
        return -ENOMEM;
    rc = mem_pool_init(&w->sessions, c->arena, sizeof(struct session), c->limits.conns);
    if (rc == 0)
        rc = mem_pool_init(&w->requests, c->arena, sizeof(struct request),
                           min_u32(c->limits.conns, REQUESTS_MAX));
    if (rc == 0)
        rc = mem_pool_init(&w->responses, c->arena, sizeof(struct response), responses_max(c));
    if (rc == 0)
        rc = mem_pool_init(&w->multis, c->arena, sizeof(struct http1_ranges), MULTIS_MAX);
    if (rc == 0 && c->redirect_https)
        rc = mem_pool_init(&w->locations, c->arena, LOCATION_BYTES_MAX, LOCATIONS_MAX);
    return rc;
}

static int open_link(struct worker *w, uint64_t now_ns)
{
    const struct worker_config *c = &w->config;
    struct ip_addr addrs[WORKER_ADDRS_MAX];
    uint8_t bits[WORKER_ADDRS_MAX];
    struct eth_config eth = {.arena = c->arena,
                             .port = c->port,
                             .addrs = addrs,
                             .prefix_bits = bits,
                             .addr_count = c->addr_count,
                             .vlan = c->vlan,
                             .take_routers = !c->gateway6,
                             .hash_key = {c->secret[0], c->secret[1]},
                             .on_arp = c->on_arp,
                             .on_arp_arg = c->on_arp_arg};
    struct ip_config ip = {.arena = c->arena,
                           .prefixes = c->addrs,
                           .prefix_count = c->addr_count,
                           .gateway = c->gateway,
                           .gateway6 = c->gateway6,
                           .secret = {c->secret[2], c->secret[3]}};
    int rc;

    for (uint32_t i = 0; i < c->addr_count; i++) {
        addrs[i] = c->addrs[i].addr;
        bits[i] = c->addrs[i].bits;
    }
    rc = eth_open(&w->eth, &eth, now_ns);
    if (rc < 0)
        return rc;
    ip.eth = w->eth;
    rc = ip_open(&w->ip, &ip, now_ns);
    if (rc < 0)
        eth_close(w->eth);
    return rc;
}

static int open_tcp(struct worker *w, uint64_t now_ns)
{
    const struct worker_config *c = &w->config;
    struct tcp_config tcp = tcp_config_default();
    int rc;

    tcp.arena = c->arena;
    tcp.ip = w->ip;
    tcp.conns_max = c->limits.conns;
    tcp.half_open_max = min_u32(max_u32(c->limits.conns / 4, 1), tcp.half_open_max);
    tcp.peer_conns_max = c->limits.peer_conns;
    tcp.rcv_wnd_bytes = REQUEST_BYTES;
    tcp.asked_max_bytes = 4 * c->read_bytes;
    tcp.user_timeout_ns = c->limits.user_timeout_ns;
    tcp.keepalive_ns = c->limits.keepalive_ns;
    tcp.time_wait_ns = c->limits.time_wait_ns;
    tcp.mss_max = c->mss_max;
    tcp.mtu_probing = c->mtu_probing;
    tcp.ecn = c->ecn;
    tcp.cc = c->cc;
    memcpy(tcp.secret, c->secret, sizeof(tcp.secret));
    rc = tcpip_init(&w->tcp, &tcp, now_ns);
    if (rc < 0)
        return rc;
    if (c->listen_port)
        rc = tcp_listen(w->tcp, NULL, c->listen_port, &session_ops, w);
    if (rc == 0 && c->tls_port)
        rc = tcp_listen(w->tcp, NULL, c->tls_port, &secure_ops, w);
    return rc;
}

static int open_disk(struct worker *w, char *why, size_t why_bytes)
{
    const struct worker_config *c = &w->config;
    struct diskmap_config disk = {
        .arena = c->disk_arena, .depth = c->disk_depth, .fault = c->disk_fault};

    mem_chunks_region(&w->chunks, &disk.buffers, &disk.buffers_bytes);
    return diskmap_open(&w->dm, c->set, &disk, why, why_bytes);
}

int worker_open(struct worker **out, const struct worker_config *config, uint64_t now_ns, char *why,
                size_t why_bytes)
{
    struct worker *w = mem_arena_alloc(config->arena, sizeof(*w), CACHE_LINE);
    int rc = -ENOMEM;

    if (!w)
        goto no_memory;
    w->config = *config;
    if (!config->disk_arena)
        w->config.disk_arena = config->arena;
    w->port = config->port;
    w->epoch_s = config->epoch_s;
    w->now_ns = now_ns;
    w->head_limits = http1_limits_default;
    w->head_limits.target_bytes = TARGET_BYTES_MAX;
    w->head_limits.head_bytes = HEAD_BYTES_MAX;
    timer_wheel_init(&w->wheel, now_ns);
    rc = open_pools(w);
    if (rc < 0)
        goto no_memory;
    rc = secure_open(w);
    if (rc < 0 && rc != -ENOMEM)
        snprintf(why, why_bytes, "TLS needs a processor with AES, and threads: %s", strerror(-rc));
    if (rc < 0)
        goto no_memory;
    rc = open_disk(w, why, why_bytes);
    if (rc < 0)
        goto close_secure;
    rc = open_link(w, now_ns);
    if (rc == -EINVAL)
        snprintf(why, why_bytes,
                 "no host can have one of the addresses, or the gateway is not on "
                 "their networks, or the port's MTU is below IPv6's 1280");
    if (rc < 0)
        goto close_disk;
    rc = open_tcp(w, now_ns);
    if (rc < 0)
        goto close_link;
    *out = w;
    return 0;

close_link:
    ip_close(w->ip);
    eth_close(w->eth);
close_disk:
    diskmap_close(w->dm);
close_secure:
    secure_close(w);
no_memory:
    if (rc == -ENOMEM)
        snprintf(why, why_bytes,
                 "the arena is too small for %u connections: give it more (--arena)",
                 config->limits.conns);
    return rc;
}

void worker_stop(struct worker *w)
{
    if (w->stopped)
        return;
    w->stopped = true;
    tcpip_close(w->tcp);
    secure_close(w);
    diskmap_close(w->dm);
}

void worker_close(struct worker *w)
{
    worker_stop(w);
    ip_close(w->ip);
    eth_close(w->eth);
    nmio_close(w->port);
}

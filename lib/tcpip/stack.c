// SPDX-License-Identifier: BSD-2-Clause
/*
 * stack.c - the control path: the stack is made and ended, ports are listened on, connections
 * opened.
 */
#include "priv.h"

#include <errno.h>

#define TCP_CONNS_LIMIT (1u << 24)

const struct stat_desc tcp_stat_descs[] = {TCP_STATS(STAT_DESC, struct tcp_stats){0}};

struct tcp_config tcp_config_default(void)
{
    return (struct tcp_config){
        .conns_max = 65536,
        .half_open_max = 2048,
        .rcv_wnd_bytes = 32 * 1024,
        .ecn = TCP_ECN_ANSWER,
        .reasm_max = 4096, /* 8 MiB: a hundred downloads at once with a hole in each */
        .reasm_ranges_max = 32,
        .watermark_mss = 10, /* dissertation 4.3.2 */
        .asked_max_bytes = 256 * 1024,
        .cc = "cubic",
        .pacing = true,
        .mtu_probing = TCP_MTU_PROBING_BLACK_HOLE,
        .user_timeout_ns = 100 * NS_PER_S, /* RFC 9293 3.8.3: R2 of at least 100 s */
        .time_wait_ns = 60 * NS_PER_S,     /* 2 MSL with the MSL of 30 s that everybody uses */
        .fin_wait_2_ns = 60 * NS_PER_S,
    };
}

/* A connection at work has a range for what is in flight and one for what the disk is reading, and
 * more where there are holes; not all connections have those at once. */
#define SENDERS_DEFAULT   65536
#define RANGES_PER_SENDER 4
#define RANGES_MIN        4096

static int open_senders(struct tcp *tcp)
{
    const struct tcp_config *c = &tcp->config;
    uint32_t senders = c->senders_max ? c->senders_max : min_u32(c->conns_max, SENDERS_DEFAULT);
    uint32_t ranges =
        c->ranges_max ? c->ranges_max : max_u32(senders * RANGES_PER_SENDER, RANGES_MIN);
    int rc = mem_pool_init(&tcp->senders, c->arena, sizeof(struct tcp_sender), senders);

    if (rc == 0)
        rc = mem_pool_init(&tcp->ranges, c->arena, sizeof(struct tcp_sent), ranges);
    return rc;
}

int tcpip_init(struct tcp **out, const struct tcp_config *config, uint64_t now_ns)
{
    struct tcp *tcp;
    uint32_t buckets = 64;
    int rc;

    if (config->conns_max == 0 || config->half_open_max == 0 ||
        config->conns_max > TCP_CONNS_LIMIT || config->rcv_wnd_bytes > TCP_CWND_MAX ||
        !cc_find(config->cc))
        return -EINVAL;
    tcp = mem_arena_alloc(config->arena, sizeof(*tcp), CACHE_LINE);
    if (!tcp)
        return -ENOMEM;
    while (buckets < TCP_BUCKETS_PER_CONN * config->conns_max)
        buckets *= 2;
    tcp->buckets = mem_arena_alloc(config->arena, buckets * sizeof(uint32_t), CACHE_LINE);
    if (!tcp->buckets ||
        mem_pool_init(&tcp->conns, config->arena, sizeof(struct tcp_conn), config->conns_max) < 0 ||
        mem_pool_init(&tcp->reasm, config->arena, sizeof(struct reasm_buf), config->reasm_max) < 0)
        return -ENOMEM;
    tcp->bucket_mask = buckets - 1;
    tcp->config = *config;
    rc = open_senders(tcp);
    if (rc == 0)
        rc = tcp_mtu_init(tcp);
    if (rc == 0 && config->peer_conns_max)
        rc = peers_init(&tcp->peers, config->arena, config->conns_max, tcp->config.secret);
    if (rc < 0)
        return rc;
    tcp->ip = config->ip;
    tcp->caps = ip_caps(config->ip);
    tcp->cc = cc_find(config->cc);
    tcp->now_ns = now_ns;
    list_init(&tcp->ready);
    list_init(&tcp->waiting);
    list_init(&tcp->dead);
    list_init(&tcp->time_wait);
    list_init(&tcp->senderless);
    list_init(&tcp->idle_senders);
    timer_wheel_init(&tcp->wheel, now_ns);
    *out = tcp;
    return 0;
}

void tcpip_close(struct tcp *tcp)
{
    /* Bucket by bucket: to begin anew for each of a million connections would take minutes. */
    for (uint32_t at = 0; at <= tcp->bucket_mask; at++)
        while (tcp->buckets[at]) {
            struct tcp_conn *conn = mem_pool_at(&tcp->conns, tcp->buckets[at] - 1);

            conn->ops = NULL;
            tcp_conn_end(conn, TCP_END_ABORTED, tcp->now_ns);
        }
    tcp_bury(tcp);
}

int tcp_listen(struct tcp *tcp, const struct ip_addr *addr, uint16_t port,
               const struct tcp_ops *ops, void *app)
{
    struct tcp_listener *l, *place = NULL;

    for (uint32_t i = 0; i < tcp->listener_count; i++) {
        l = &tcp->listeners[i];
        if (!l->stopped && l->port == port && (l->any || !addr || ip_addr_equal(&l->addr, addr)))
            return -EADDRINUSE;
        if (l->stopped && l->half_open == 0)
            place = l;
    }
    if (!place && tcp->listener_count == TCP_LISTENERS_MAX)
        return -ENOSPC;
    l = place ? place : &tcp->listeners[tcp->listener_count++];
    *l = (struct tcp_listener){.any = !addr, .port = port, .ops = ops, .app = app};
    if (addr)
        l->addr = *addr;
    return 0;
}

/* The listeners stay where they are: half-open connections point at them. */
void tcp_listen_stop(struct tcp *tcp)
{
    for (uint32_t i = 0; i < tcp->listener_count; i++)
        tcp->listeners[i].stopped = true;
}

int tcp_connect(struct tcp *tcp, struct tcp_conn **out, const struct ip_addr *local,
                uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port,
                const struct tcp_ops *ops, void *user, uint64_t now_ns)
{
    struct tcp_conn *conn;
    int rc;

    tcp->now_ns = now_ns;
    if (tcp_conn_find(tcp, local, local_port, remote, remote_port))
        return -EADDRINUSE;
    rc = tcp_conn_new(tcp, &conn, local, local_port, remote, remote_port, now_ns);
    if (rc < 0)
        return rc;
    conn->ops = ops;
    conn->user = user;
    conn->flags |= CONN_SYN_OWED;
    tcp_conn_set_state(conn, TCP_SYN_SENT);
    stat_inc(&tcp->stats.active_opens);
    tcp_conn_ready(conn);
    *out = conn;
    return 0;
}

/* --- a connection ----------------------------------------------------------------------------- */

/* RFC 5681 4.1: after an idle time the old window is no longer known to fit. */
static bool was_idle(const struct tcp_conn *conn)
{
    return conn->snd_una == conn->snd_end && conn->state >= TCP_ESTABLISHED && conn->sender &&
           conn->tcp->now_ns - conn->progress_ns > conn->rto_us * NS_PER_US;
}

void tcp_write(struct tcp_conn *conn, uint64_t bytes)
{
    struct tcp *tcp = conn->tcp;

    assert(!(conn->flags & CONN_CLOSING));
    if (was_idle(conn))
        tcp->cc->on_idle(&conn->sender->cc, (tcp->now_ns - conn->progress_ns) / NS_PER_US,
                         conn->rto_us, tcp->now_ns);
    conn->snd_end += bytes;
    tcp_conn_ready(conn);
}

void tcp_recved(struct tcp_conn *conn, uint32_t bytes)
{
    uint32_t max = conn->tcp->config.rcv_wnd_bytes;
    uint64_t edge;

    conn->rcv_wnd = min_u32(conn->rcv_wnd + bytes, max);
    edge = conn->rcv_nxt + conn->rcv_wnd;
    /* RFC 9293 3.8.6.2.2: the window is reopened in steps worth telling. */
    if (conn->state >= TCP_ESTABLISHED && edge > conn->rcv_adv &&
        conn->rcv_adv - conn->rcv_nxt < tcp_window_step(conn) &&
        edge - conn->rcv_adv >= tcp_window_step(conn)) {
        conn->flags |= CONN_ACK_NOW;
        tcp_conn_ready(conn);
    }
}

void tcp_set_rate(struct tcp_conn *conn, uint64_t bytes_per_s)
{
    conn->rate_bps = bytes_per_s;
}

void tcp_close(struct tcp_conn *conn)
{
    if (conn->state == TCP_SYN_SENT) { /* RFC 9293 3.10.4: the TCB is deleted */
        tcp_conn_end(conn, TCP_END_ABORTED, conn->tcp->now_ns);
        return;
    }
    conn->flags |= CONN_CLOSING;
    tcp_conn_ready(conn);
}

void tcp_abort(struct tcp_conn *conn, uint64_t now_ns)
{
    tcp_send_reset(conn, now_ns);
    tcp_conn_end(conn, TCP_END_ABORTED, now_ns);
}

/* What a connection begins with that has no sender. */
static uint32_t first_window(const struct tcp_conn *conn)
{
    return conn->flags & CONN_SYN_LOST ? conn->mss : cc_initial_window(conn->mss);
}

uint64_t tcp_conn_window(const struct tcp_conn *conn)
{
    uint32_t cwnd = conn->sender ? conn->sender->cc.cwnd : first_window(conn);

    if (was_idle(conn))
        cwnd = min_u32(cwnd, cc_initial_window(conn->mss));
    return min_u32(cwnd, conn->snd_wnd);
}

uint16_t tcp_conn_mss(const struct tcp_conn *conn)
{
    return conn->mss;
}

void *tcp_conn_user(const struct tcp_conn *conn)
{
    return conn->ops ? conn->user : NULL;
}

enum tcp_state tcp_conn_state(const struct tcp_conn *conn)
{
    return conn->state;
}

static void sender_info(const struct tcp_sender *s, struct tcp_info *info)
{
    static const char *const recovery[] = {
        [RECOVERY_NONE] = "none", [RECOVERY_FAST] = "fast", [RECOVERY_RTO] = "timeout"};

    info->cwnd = s->cc.cwnd;
    info->ssthresh = s->cc.ssthresh;
    info->min_rtt_us = tcp_min_rtt_us(s);
    info->in_flight = (uint32_t)tcp_in_flight(s->conn);
    info->sacked = (uint32_t)s->sacked_bytes;
    info->lost = (uint32_t)s->lost_bytes;
    info->delivered = s->delivered;
    info->pacing_bps = tcp_pace_bps(s->conn);
    info->recovery = recovery[s->recovery];
    info->reordering = s->reordering_seen;
}

void tcp_conn_info(const struct tcp_conn *conn, struct tcp_info *info)
{
    uint64_t start = tcp_iss64(conn) + 1;
    uint64_t end = conn->snd_end;

    *info = (struct tcp_info){
        .local = conn->flow.local,
        .remote = conn->flow.remote,
        .local_port = conn->local_port,
        .remote_port = conn->remote_port,
        .state = conn->state,
        .mss = conn->mss,
        .path_mtu = tcp_mtu(conn),
        /* What it would begin with now: */
        .cwnd = first_window(conn),
        .ssthresh = conn->ssthresh ? conn->ssthresh : TCP_CWND_MAX,
        .snd_wnd = conn->snd_wnd,
        .rcv_wnd = conn->rcv_wnd,
        .srtt_us = conn->srtt_us,
        .rttvar_us = conn->rttvar_us,
        .rto_us = conn->rto_us,
        .written = end - start,
        .asked = min_u64(max_u64(conn->snd_asked, start), end) - start,
        .sent = min_u64(max_u64(conn->snd_nxt, start), end) - start,
        .acked = min_u64(max_u64(conn->snd_una, start), end) - start,
        .received = conn->rcv_nxt ? conn->rcv_nxt - (1ull << 32) - conn->irs - 1 : 0,
        .rate_bps = conn->rate_bps,
        .cc = conn->tcp->cc->name,
        .recovery = "none",
        .sack = conn->flags & CONN_SACK,
        .timestamps = conn->flags & CONN_TS,
        .wscale = conn->flags & CONN_WSCALE,
        .ecn = conn->flags & CONN_ECN,
    };
    if (conn->sender)
        sender_info(conn->sender, info);
}

const struct tcp_stats *tcp_stats(const struct tcp *tcp)
{
    return &tcp->stats;
}

const uint64_t *tcp_state_counts(const struct tcp *tcp)
{
    return tcp->state_counts;
}

bool tcp_starved(const struct tcp *tcp)
{
    return tcp->starved;
}

size_t tcp_reasm_bytes(uint32_t reasm_max)
{
    return reasm_max * (sizeof(struct reasm_buf) + sizeof(void *));
}

size_t tcp_peers_bytes(uint32_t conns_max)
{
    return peers_bytes(conns_max);
}

size_t tcp_conn_bytes(void)
{
    return sizeof(struct tcp_conn) + sizeof(void *) + 2 * TCP_BUCKETS_PER_CONN * sizeof(uint32_t);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "stack.h"

#include <errno.h>

/* Connections that have ended but not yet for TCP: the last ACK is under way, or TIME-WAIT, of
 * which the oldest makes room when all are taken. */
#define CONNS_SPARE     1024
#define NEIGHBOURS      256 /* servers and gateways: one, as a rule */
#define PAIR_TRIES      65536
#define PORT_BYTES      (48u << 20) /* the port's buffers */
#define SENDERS_MAX     65536       /* TCP's own limit of connections that send at a time */
#define SENDER_BYTES    2048        /* what one needs for that, with room to spare */
#define HALF_OPEN       16          /* nobody connects to us */
#define TIME_WAIT_NS    (10 * NS_PER_S)
#define FIN_WAIT_2_NS   (5 * NS_PER_S)
#define WATERMARK_MSS   1 /* requests are short */
#define ASKED_MAX_BYTES (64 * 1024)

/* Not a secret. Sequence numbers and timestamps are made of this, the addresses and the clock, and
 * so go on where the last run left off: by that a server that still remembers a pair from then, in
 * TIME-WAIT, knows a new SYN (RFC 6191). Somebody who can guess them can disturb a measurement. */
static const uint64_t secret[4] = {0x73746f726d6c6f61, 0x64, 0x73746f726d6c6f61, 0x65};

struct stack {
    struct stack_config config;
    struct eth *eth;
    struct ip *ip;
    struct tcp *tcp;
};

/* --- the transport ---------------------------------------------------------------------------- */

static const struct tcp_ops client_ops;

static bool stack_connect(void *arg, struct client *client, enum client_end *why, uint64_t now_ns)
{
    struct stack *s = arg;
    int rc = -EADDRINUSE;

    client->stream_start = 0;
    for (int i = 0; i < PAIR_TRIES && rc == -EADDRINUSE; i++) {
        struct ip_addr addr;
        uint16_t port;

        sources_next_pair(&s->config.sources, &addr, &port);
        rc = tcp_connect(s->tcp, &client->conn, &addr, port, &s->config.server,
                         s->config.server_port, &client_ops, client, now_ns);
    }
    if (rc == 0)
        return true;
    client->conn = NULL;
    *why = rc == -ENETUNREACH ? CLIENT_UNREACHABLE : CLIENT_LOCAL;
    return false;
}

static void stack_ask(void *arg, struct client *client, uint64_t now_ns)
{
    client->acked = false;
    tcp_write(client->conn, client_request(client)->request_len);
}

/* A connection whose server has closed is closed in order; any other one is of no use any more. */
static void stack_hang_up(void *arg, struct client *client, uint64_t now_ns)
{
    struct tcp_conn *conn = client->conn;

    client->conn = NULL;
    if (!conn)
        return;
    if (tcp_conn_state(conn) == TCP_CLOSE_WAIT)
        tcp_close(conn);
    else
        tcp_abort(conn, now_ns);
}

const struct transport stack_transport = {
    .open = stack_connect,
    .ask = stack_ask,
    .close = stack_hang_up,
};

/* --- what TCP reports ------------------------------------------------------------------------- */

/* A client may have a new connection while TCP still ends the one before. */
static struct client *owner(void *user, const struct tcp_conn *conn)
{
    struct client *client = user;

    return client->conn == conn ? client : NULL;
}

static void on_connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    if (owner(user, conn))
        client_connected(user, now_ns);
}

static void on_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                    uint64_t now_ns)
{
    struct client *client = owner(user, conn);
    uint64_t skip;

    tcp_recved(conn, len);
    if (!client)
        return;
    if (client->state == CLIENT_ASKING && !client->acked) {
        /* An answer to a question that the server has not acknowledged yet: were the next one
         * asked now, the stream would have two meanings. */
        client_ended(client, CLIENT_RESET, now_ns);
        return;
    }
    skip = min_u64(client_skippable(client), len);
    if (skip == len)
        client_skipped(client, skip, now_ns);
    else
        client_received(client, data, len, now_ns);
}

static void on_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    if (owner(user, conn))
        client_ended(user, CLIENT_EOF, now_ns);
}

/* The stream is requests one after the other. One that is answered is acknowledged, so that only
 * the present one's bytes can be asked for. */
static uint32_t on_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                        uint64_t now_ns)
{
    struct client *client = owner(user, conn);
    const struct target *target;
    struct nmio_slice slice;
    uint64_t at;

    if (!client || client->state != CLIENT_ASKING || offset < client->stream_start)
        return 0;
    target = client_request(client);
    at = offset - client->stream_start;
    if (at >= target->request_len)
        return 0;
    slice = (struct nmio_slice){(const uint8_t *)target->request + at,
                                (uint32_t)min_u64(len, target->request_len - at), NULL};
    tcp_send(conn, offset, &slice, 1, now_ns);
    return slice.len;
}

/* A segment's ACK counts before its data: the response to a request finds it acknowledged. */
static void on_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct client *client = owner(user, conn);

    if (!client || client->state != CLIENT_ASKING || client->acked ||
        offset < client->stream_start + client_request(client)->request_len)
        return;
    client->stream_start = offset;
    client->acked = true;
}

static void on_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    static const enum client_end ends[] = {
        [TCP_END_DONE] = CLIENT_EOF,        [TCP_END_RESET] = CLIENT_RESET,
        [TCP_END_REFUSED] = CLIENT_REFUSED, [TCP_END_TIMEOUT] = CLIENT_TIMED_OUT,
        [TCP_END_ABORTED] = CLIENT_RESET,
    };
    struct client *client = owner(user, conn);

    if (!client)
        return;
    client->conn = NULL;
    client_ended(client, ends[why], now_ns);
}

static void *on_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    return NULL; /* nothing listens */
}

static const struct tcp_ops client_ops = {
    .accept = on_accept,
    .connected = on_connected,
    .recv = on_recv,
    .recv_end = on_recv_end,
    .fill = on_fill,
    .sent = on_sent,
    .closed = on_closed,
};

/* --- the turn --------------------------------------------------------------------------------- */

static void input(struct stack *s, struct nmio_pkt *pkt, uint64_t now_ns)
{
    struct ip_dgram dgram;
    struct ip_error error;
    enum eth_verdict verdict = eth_input(s->eth, pkt, now_ns);

    if (verdict == ETH_DONE)
        return;
    switch (ip_input(s->ip, pkt, &dgram, &error, now_ns)) {
    case IP_TCP:
        tcp_input(s->tcp, &dgram, now_ns);
        break;
    case IP_ERROR:
        tcp_error(s->tcp, &error, now_ns);
        break;
    case IP_UDP:
    case IP_DONE:
        break;
    }
}

bool stack_turn(struct stack *s, struct engine *engine, uint64_t now_ns)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t received = nmio_rx(s->config.port, pkts, NMIO_BATCH, now_ns);

    for (uint32_t i = 0; i < received; i++)
        input(s, &pkts[i], now_ns);
    nmio_rx_done(s->config.port);
    eth_timers(s->eth, now_ns);
    tcp_timers(s->tcp, now_ns);
    if (engine)
        engine_turn(engine, now_ns);
    tcp_pull(s->tcp, now_ns);
    nmio_flush(s->config.port, now_ns);
    nmio_reap(s->config.port);
    return received == NMIO_BATCH;
}

uint64_t stack_next_ns(const struct stack *s)
{
    uint64_t next = min_u64(tcp_next_ns(s->tcp), eth_next_ns(s->eth));

    return min_u64(next, nmio_next_ns(s->config.port));
}

int stack_fd(const struct stack *s)
{
    return nmio_fd(s->config.port);
}

const struct tcp_stats *stack_tcp_stats(const struct stack *s)
{
    return tcp_stats(s->tcp);
}

/* --- putting it together ---------------------------------------------------------------------- */

size_t stack_arena_bytes(const struct stack_config *config)
{
    size_t conns = (size_t)config->conns + CONNS_SPARE;

    /* The table of connections is up to twice as large as their number. What is not used costs
     * nothing. */
    return PORT_BYTES + conns * (tcp_conn_bytes() + 16) +
           min_u64(conns, SENDERS_MAX) * SENDER_BYTES;
}

static int open_link(struct stack *s, uint64_t now_ns)
{
    const struct stack_config *c = &s->config;
    struct ip_prefix prefixes[SOURCE_RANGES_MAX];
    struct ip_addr addrs[SOURCE_RANGES_MAX];
    uint32_t counts[SOURCE_RANGES_MAX];
    uint8_t bits[SOURCE_RANGES_MAX];
    bool ip6 = c->gateway && !ip_addr_is_v4(c->gateway);
    struct eth_config eth = {.arena = c->arena,
                             .port = c->port,
                             .addrs = addrs,
                             .addr_counts = counts,
                             .prefix_bits = bits,
                             .addr_count = c->sources.range_count,
                             .neigh_max = NEIGHBOURS,
                             .hash_key = {secret[0], secret[1]}};
    struct ip_config ip = {.arena = c->arena,
                           .prefixes = prefixes,
                           .prefix_count = c->sources.range_count,
                           .counts = counts,
                           .gateway = ip6 ? NULL : c->gateway,
                           .gateway6 = ip6 ? c->gateway : NULL,
                           .secret = {secret[2], secret[3]}};
    int rc;

    for (uint32_t i = 0; i < c->sources.range_count; i++) {
        const struct source_range *r = &c->sources.ranges[i];

        prefixes[i] = (struct ip_prefix){.addr = r->first, .bits = r->bits};
        addrs[i] = r->first;
        counts[i] = r->count;
        bits[i] = r->bits;
    }
    rc = eth_open(&s->eth, &eth, now_ns);
    if (rc < 0)
        return rc;
    ip.eth = s->eth;
    rc = ip_open(&s->ip, &ip, now_ns);
    if (rc < 0)
        eth_close(s->eth);
    return rc;
}

int stack_open(struct stack **out, const struct stack_config *config, uint64_t now_ns)
{
    struct stack *s = mem_arena_alloc(config->arena, sizeof(*s), CACHE_LINE);
    struct tcp_config tcp = tcp_config_default();
    int rc;

    if (!s)
        return -ENOMEM;
    s->config = *config;
    rc = open_link(s, now_ns);
    if (rc < 0)
        return rc;
    tcp.arena = config->arena;
    tcp.ip = s->ip;
    tcp.conns_max = config->conns + CONNS_SPARE;
    tcp.half_open_max = HALF_OPEN;
    tcp.rcv_wnd_bytes = config->window_bytes;
    tcp.watermark_mss = WATERMARK_MSS;
    tcp.asked_max_bytes = ASKED_MAX_BYTES;
    tcp.time_wait_ns = TIME_WAIT_NS;
    tcp.fin_wait_2_ns = FIN_WAIT_2_NS;
    tcp.user_timeout_ns = config->timeout_ns;
    memcpy(tcp.secret, secret, sizeof(secret));
    rc = tcpip_init(&s->tcp, &tcp, now_ns);
    if (rc < 0) {
        ip_close(s->ip);
        eth_close(s->eth);
        return rc;
    }
    *out = s;
    return 0;
}

void stack_close(struct stack *s)
{
    tcpip_close(s->tcp);
    ip_close(s->ip);
    eth_close(s->eth);
    nmio_close(s->config.port);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "agent.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TEXT_BYTES      (60 * 1024)  /* what one GSO frame takes */
#define TCP_ARENA_BYTES (8ull << 20) /* blocks and tables of AGENT_CONNS_MAX connections */
#define WRITE_MAX       (1ll << 30)  /* by one W */
#define RCV_WND_BYTES   65535u       /* the largest that needs no scaling */

/* --- what the stack tells --------------------------------------------------------------------- */

static void *on_accept(void *arg, struct tcp_conn *conn, uint64_t now_ns)
{
    struct agent *a = arg;
    struct list *node = list_pop_head(&a->free);
    struct agent_conn *c;

    if (!node)
        return NULL; /* reset: the backlog is full */
    c = list_entry(node, struct agent_conn, link);
    *c = (struct agent_conn){.agent = a, .conn = conn};
    list_push_tail(&a->waiting, &c->link);
    return c;
}

static void on_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                    uint64_t now_ns)
{
    struct agent_conn *c = user;

    if (c->closed)
        tcp_abort(conn, now_ns); /* RFC 9293 SHLD-3: the peer shall know that these are lost */
    else
        c->unread += len;
}

static void on_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct agent_conn *c = user;

    c->peer_done = true;
}

/* The stream is the same letter everywhere, so that one chunk serves every offset. */
static uint32_t on_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                        uint64_t now_ns)
{
    struct agent_conn *c = user;
    struct mem_chunk *text = c->agent->text;
    struct nmio_slice slice = {text->data, min_u32(len, TEXT_BYTES), text};

    mem_chunk_hold(text);
    tcp_send(conn, offset, &slice, 1, now_ns);
    return slice.len;
}

static void on_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
}

static void on_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct agent_conn *c = user;

    c->conn = NULL;
    c->why = why;
    if (c->closed)
        list_push_tail(&c->agent->free, &c->link);
}

static const struct tcp_ops ops = {
    .accept = on_accept,
    .recv = on_recv,
    .recv_end = on_recv_end,
    .fill = on_fill,
    .sent = on_sent,
    .closed = on_closed,
};

/* --- commands --------------------------------------------------------------------------------- */

/* Why a connection can do nothing more; 0: it can, or both sides have ended it in peace. */
static int error_of(const struct agent_conn *c)
{
    if (c->conn || c->why == TCP_END_DONE)
        return 0;
    return c->why == TCP_END_TIMEOUT ? -ETIMEDOUT : -ECONNRESET;
}

static int64_t take_accept(struct agent *a, bool last)
{
    struct list *node = list_pop_head(&a->waiting);

    if (!node)
        return last ? -EAGAIN : AGENT_WAITS;
    a->current = list_entry(node, struct agent_conn, link);
    return 0;
}

/* recv(2). What had arrived before a reset is still there to be received. */
static int64_t take_receive(struct agent_conn *c, int64_t bytes, int64_t flags, bool last)
{
    const int64_t known = MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_TRUNC | MSG_NOSIGNAL;
    bool at_end = c->peer_done || c->shut_rd || !c->conn;
    uint64_t n = min_u64((uint64_t)bytes, c->unread);

    if (flags & ~known)
        return -EOPNOTSUPP;
    if (bytes == 0)
        return 0;
    if (!at_end && !last && !(flags & MSG_DONTWAIT) &&
        (n == 0 || ((flags & MSG_WAITALL) && n < (uint64_t)bytes)))
        return AGENT_WAITS;
    if (n == 0)
        return at_end ? error_of(c) : -EAGAIN;
    if (!(flags & MSG_PEEK)) {
        c->unread -= n;
        if (c->conn)
            tcp_recved(c->conn, (uint32_t)n);
    }
    return (int64_t)n;
}

static int64_t take_write(struct agent_conn *c, int64_t bytes)
{
    if (error_of(c))
        return error_of(c);
    if (c->shut_wr || !c->conn)
        return -EPIPE;
    bytes = bytes < WRITE_MAX ? bytes : WRITE_MAX;
    if (bytes > 0)
        tcp_write(c->conn, (uint64_t)bytes);
    return bytes;
}

static int64_t take_shutdown(struct agent_conn *c, int64_t how)
{
    if (how > SHUT_RDWR)
        return -EINVAL;
    if (error_of(c))
        return error_of(c);
    if (!c->conn)
        return -ENOTCONN;
    c->shut_rd |= how != SHUT_WR;
    if (how != SHUT_RD && !c->shut_wr) {
        c->shut_wr = true;
        tcp_close(c->conn);
    }
    return 0;
}

/* close(2): whoever leaves bytes unread resets the connection (RFC 9293 SHLD-3). */
static int64_t take_close(struct agent_conn *c, uint64_t now_ns)
{
    struct agent *a = c->agent;

    a->current = NULL;
    c->closed = true;
    if (!c->conn)
        list_push_tail(&a->free, &c->link);
    else if (c->unread > 0)
        tcp_abort(c->conn, now_ns);
    else if (!c->shut_wr)
        tcp_close(c->conn);
    return 0;
}

static void forget_conns(struct agent *a)
{
    list_init(&a->free);
    list_init(&a->waiting);
    a->current = NULL;
    for (uint32_t i = 0; i < AGENT_CONNS_MAX; i++) {
        list_init(&a->conns[i].link);
        list_push_tail(&a->free, &a->conns[i].link);
    }
}

static int open_tcp(struct agent *a, uint64_t now_ns)
{
    struct tcp_config config = tcp_config_default();
    int rc = mem_arena_open(&a->tcp_arena, TCP_ARENA_BYTES + tcp_reasm_bytes(config.reasm_max), 0);

    if (rc < 0)
        return rc;
    config.arena = a->tcp_arena;
    config.ip = a->ip;
    config.conns_max = AGENT_CONNS_MAX;
    config.half_open_max = AGENT_CONNS_MAX / 4;
    config.rcv_wnd_bytes = RCV_WND_BYTES;
    memcpy(config.secret, a->config.secret, sizeof(config.secret));
    rc = tcpip_init(&a->tcp, &config, now_ns);
    if (rc == 0)
        rc = tcp_listen(a->tcp, NULL, a->config.listen_port, &ops, a);
    if (rc < 0)
        mem_arena_close(a->tcp_arena);
    return rc;
}

/* A new stack in the place of the old one, as after a reboot that nobody on the link has noticed.
 */
static int64_t take_forget(struct agent *a, uint64_t now_ns)
{
    tcpip_close(a->tcp);
    mem_arena_close(a->tcp_arena);
    forget_conns(a);
    return open_tcp(a, now_ns);
}

/* --- one line --------------------------------------------------------------------------------- */

#define ARGS_MAX 2

/* The numbers behind the command's letter; -1: that is not what is there. */
static int parse_args(const char *at, int64_t args[ARGS_MAX])
{
    for (int n = 0;; n++) {
        char *end;

        at += strspn(at, " \r\n");
        if (*at == '\0')
            return n;
        if (n == ARGS_MAX || *at < '0' || *at > '9')
            return -1;
        errno = 0;
        args[n] = strtoll(at, &end, 0);
        if (errno || (*end && !strchr(" \r\n", *end)))
            return -1;
        at = end;
    }
}

int64_t agent_command(struct agent *a, const char *line, bool last, uint64_t now_ns)
{
    static const char *const verbs = "ARWSCZ";
    static const int arg_counts[] = {0, 2, 1, 1, 0, 0};
    const char *verb = line[0] ? strchr(verbs, line[0]) : NULL;
    int64_t args[ARGS_MAX];

    a->now_ns = now_ns;
    if (!verb || parse_args(line + 1, args) != arg_counts[verb - verbs] ||
        (line[1] && !strchr(" \r\n", line[1])))
        return -EINVAL;
    if (*verb == 'A')
        return take_accept(a, last);
    if (*verb == 'Z')
        return take_forget(a, now_ns);
    if (!a->current)
        return -ENOTCONN;
    switch (*verb) {
    case 'R':
        return take_receive(a->current, args[0], args[1], last);
    case 'W':
        return take_write(a->current, args[0]);
    case 'S':
        return take_shutdown(a->current, args[0]);
    default: /* C */
        return take_close(a->current, now_ns);
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

static void input(struct agent *a, struct nmio_pkt *pkt, uint64_t now_ns)
{
    struct ip_dgram dgram;
    struct ip_error error;

    if (eth_input(a->eth, pkt, now_ns) != ETH_IP4)
        return;
    switch (ip_input(a->ip, pkt, &dgram, &error, now_ns)) {
    case IP_TCP:
        tcp_input(a->tcp, &dgram, now_ns);
        break;
    case IP_UDP:
        ip_unreachable(a->ip, &dgram, IP_UNREACHABLE_PORT, now_ns);
        break;
    case IP_ERROR:
        tcp_error(a->tcp, &error, now_ns);
        break;
    case IP_DONE:
        break;
    }
}

bool agent_turn(struct agent *a, uint64_t now_ns)
{
    struct nmio_port *port = a->config.port;
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t received = nmio_rx(port, pkts, NMIO_BATCH, now_ns);

    a->now_ns = now_ns;
    for (uint32_t i = 0; i < received; i++)
        input(a, &pkts[i], now_ns);
    nmio_rx_done(port);

    eth_timers(a->eth, now_ns);
    tcp_timers(a->tcp, now_ns);
    tcp_pull(a->tcp, now_ns);

    nmio_flush(port, now_ns);
    nmio_reap(port);
    return received > 0;
}

uint64_t agent_next_ns(const struct agent *a)
{
    uint64_t next = min_u64(tcp_next_ns(a->tcp), eth_next_ns(a->eth));

    if (tcp_starved(a->tcp))
        return a->now_ns; /* a fill that found no room is tried again at once */
    return min_u64(next, nmio_next_ns(a->config.port));
}

/* --- putting it together ---------------------------------------------------------------------- */

static int open_link(struct agent *a, uint64_t now_ns)
{
    const struct agent_config *c = &a->config;
    bool ip6 = c->gateway && !ip_addr_is_v4(c->gateway);
    struct eth_config eth = {.arena = c->arena,
                             .port = c->port,
                             .addrs = &c->addr.addr,
                             .prefix_bits = &c->addr.bits,
                             .addr_count = 1,
                             .hash_key = {c->secret[0], c->secret[1]}};
    struct ip_config ip = {.arena = c->arena,
                           .prefixes = &c->addr,
                           .prefix_count = 1,
                           .gateway = ip6 ? NULL : c->gateway,
                           .gateway6 = ip6 ? c->gateway : NULL,
                           .secret = {c->secret[4], c->secret[5]}};
    int rc = eth_open(&a->eth, &eth, now_ns);

    if (rc < 0)
        return rc;
    ip.eth = a->eth;
    rc = ip_open(&a->ip, &ip, now_ns);
    if (rc < 0)
        eth_close(a->eth);
    return rc;
}

int agent_open(struct agent *a, const struct agent_config *config, uint64_t now_ns)
{
    int rc;

    a->config = *config;
    forget_conns(a);
    rc = mem_chunks_init(&a->chunks, config->arena, TEXT_BYTES, 1);
    if (rc < 0)
        return rc;
    a->text = mem_chunk_get(&a->chunks);
    memset(a->text->data, 'x', TEXT_BYTES);
    rc = open_link(a, now_ns);
    if (rc < 0)
        return rc;
    rc = open_tcp(a, now_ns);
    if (rc < 0) {
        ip_close(a->ip);
        eth_close(a->eth);
    }
    return rc;
}

void agent_close(struct agent *a)
{
    tcpip_close(a->tcp);
    mem_arena_close(a->tcp_arena);
    ip_close(a->ip);
    eth_close(a->eth);
    nmio_close(a->config.port);
}

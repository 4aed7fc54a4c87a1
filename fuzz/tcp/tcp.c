// SPDX-License-Identifier: BSD-2-Clause
/*
 * One TCP stack between hostile peers and a fickle application, in virtual time.
 *
 * The input is one byte of configuration and a list of steps. A step is one byte that says what
 * happens, and its arguments; those about a connection begin with a byte that says which (the
 * peer's port). Peers speak in numbers relative to what the stack has told them last, so that small
 * scripts reach deep states:
 *
 *     segment  port (and ECN bits), flags, 2 of sequence number, 2 of acknowledgment, 2 of window,
 * 2 of length, 1 of options' length, options wait     2 bytes of milliseconds, the upper two bits
 * say how many times eight connect  port write    port, 2 bytes of length      close  port abort
 * port recved   port                         answer port manner   port, 1 byte: how fill answers,
 * what callbacks do error    port, 1 byte: an ICMP error quotes a number so far from the last
 *
 * Then everybody falls silent, and every connection must come to its end by itself.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "tcpip/tcpip.h"
#include "tcpip/wire.h"

#define WORLD_BYTES   (10u << 20)
#define CHUNK_BYTES   16384
#define PEERS         4
#define PEER_PORT     4000
#define OUR_PORT      80
#define CLOSED_PORT   81
#define PROMISES      16
#define SLICES        4
#define SEGMENT_BYTES 2048
/* A connection that nobody answers needs some 20 timeouts; this is far beyond. */
#define END_TURNS 20000

enum step {
    STEP_SEGMENT,
    STEP_WAIT,
    STEP_CONNECT,
    STEP_WRITE,
    STEP_CLOSE,
    STEP_ABORT,
    STEP_RECVED,
    STEP_ANSWER,
    STEP_MANNER,
    STEP_ERROR,
    STEP_COUNT,
};

enum configuration {
    CONFIG_GSO = 1,
    CONFIG_FEW = 2, /* connections */
    CONFIG_NARROW = 4,
    CONFIG_NO_CSUM = 8,
    CONFIG_COOKIES = 16, /* for all but one half-open connection */
    CONFIG_LIMITS = 32,  /* of one address, and in TIME-WAIT */
    CONFIG_ECN = 64,     /* is asked for */
};

enum manner {
    MANNER_LATER = 1,
    MANNER_REFUSE = 2,
    MANNER_SMALL = 4, /* promises */
    MANNER_KEEP = 8,  /* received bytes */
    MANNER_CLOSE_IN_RECV = 16,
    MANNER_ABORT_IN_RECV = 32,
    MANNER_ABORT_IN_FILL = 64,
    MANNER_WRITE_IN_SENT = 128,
};

struct promise {
    uint64_t offset;
    uint32_t len;
};

struct peer {
    struct tcp_conn *conn; /* NULL: the application has none with this peer */
    struct world *world;
    uint8_t manner;
    bool closing;
    uint32_t iss;      /* the stack's */
    uint32_t seq, ack; /* what the stack would like to hear next */
    uint32_t first;    /* the number of the peer's first byte */
    uint64_t received, kept, written, sent;
    struct promise promises[PROMISES];
    uint32_t promise_count;
};

struct world {
    struct mem_arena *arena;
    struct nmio_port *ends[2];
    struct eth *eth;
    struct ip *ip;
    struct tcp *tcp;
    struct mem_chunks chunks;
    struct ip_addr us, them;
    uint64_t now_ns;
    uint8_t seg_flags;
    uint32_t seg_seq; /* of the segment that arrives just now */
    bool silent;      /* the end has begun */
    struct peer peers[PEERS];
};

struct input {
    const uint8_t *data;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;

    for (; bytes > 0 && in->left > 0; bytes--, in->left--)
        value = value << 8 | *in->data++;
    return value;
}

static uint8_t pattern(uint64_t n)
{
    return (uint8_t)(n * 31 + n / 251 + n / 65521);
}

/* --- the application ------------------------------------------------------------------------- */

static void attach(struct peer *p, struct tcp_conn *conn)
{
    p->conn = conn;
    p->closing = false;
    p->received = p->kept = p->written = p->sent = 0;
    p->promise_count = 0;
}

static struct peer *peer_of(struct world *w, const struct tcp_conn *conn)
{
    struct tcp_info info;

    tcp_conn_info(conn, &info);
    return &w->peers[(uint16_t)(info.remote_port - PEER_PORT) % PEERS];
}

static void *app_accept(void *arg, struct tcp_conn *conn, uint64_t now_ns)
{
    struct world *w = arg;
    struct peer *p = peer_of(w, conn);

    demand(!p->conn);
    attach(p, conn);
    return p;
}

static void app_connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct peer *p = user;

    demand(p->conn == conn);
    if (p->world->seg_flags & TCP_SYN) /* else our SYN-ACK has told it */
        p->first = p->world->seg_seq + 1;
}

static void app_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                     uint64_t now_ns)
{
    struct peer *p = user;

    demand(p->conn == conn && len > 0);
    for (uint32_t i = 0; i < len; i++)
        demand(data[i] == pattern(p->first + (uint32_t)p->received + i));
    p->received += len;
    if (p->manner & MANNER_KEEP && !p->world->silent)
        p->kept += len;
    else
        tcp_recved(conn, len);
    if (p->manner & MANNER_ABORT_IN_RECV) {
        tcp_abort(conn, now_ns);
    } else if (p->manner & MANNER_CLOSE_IN_RECV) {
        p->closing = true;
        tcp_close(conn);
    }
}

static void app_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct peer *p = user;

    demand(p->conn == conn);
}

static void answer(struct peer *p, uint64_t offset, uint32_t len)
{
    struct mem_chunk *chunk = mem_chunk_get(&p->world->chunks);
    struct nmio_slice slices[SLICES];
    uint32_t count = 0;

    demand(chunk && len > 0 && len <= CHUNK_BYTES);
    for (uint32_t i = 0; i < len; i++)
        chunk->data[i] = pattern(offset + i);
    for (uint32_t at = 0; at < len; count++) {
        uint32_t part = count + 1 == SLICES ? len - at : min_u32(len / SLICES + 1, len - at);

        if (count > 0)
            mem_chunk_hold(chunk);
        slices[count] = (struct nmio_slice){chunk->data + at, part, chunk};
        at += part;
    }
    tcp_send(p->conn, offset, slices, count, p->world->now_ns);
}

static uint32_t app_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                         uint64_t now_ns)
{
    struct peer *p = user;
    uint8_t manner = p->world->silent ? 0 : p->manner;

    demand(p->conn == conn && len > 0 && offset + len <= p->written);
    len = min_u32(len, manner & MANNER_SMALL ? 700 : CHUNK_BYTES);
    if (manner & MANNER_ABORT_IN_FILL) {
        tcp_abort(conn, now_ns);
        return 0;
    }
    if (manner & MANNER_REFUSE)
        return 0;
    if (!(manner & MANNER_LATER)) {
        answer(p, offset, len);
        return len;
    }
    if (p->promise_count == PROMISES)
        return 0;
    p->promises[p->promise_count++] = (struct promise){offset, len};
    return len;
}

static void app_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct peer *p = user;

    demand(p->conn == conn && offset >= p->sent && offset <= p->written);
    p->sent = offset;
    if ((p->manner & MANNER_WRITE_IN_SENT) && !p->closing && !p->world->silent) {
        p->written += 100;
        tcp_write(conn, 100);
    }
}

static void app_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct peer *p = user;

    demand(p->conn == conn);
    p->conn = NULL;
    p->promise_count = 0;
}

static const struct tcp_ops ops = {
    .accept = app_accept,
    .connected = app_connected,
    .recv = app_recv,
    .recv_end = app_recv_end,
    .fill = app_fill,
    .sent = app_sent,
    .closed = app_closed,
};

/* --- the world ------------------------------------------------------------------------------- */

static void world_open(struct world *w, uint8_t configuration)
{
    bool gso = configuration & CONFIG_GSO;
    struct nmio_pipe_config pipe = {.caps = {.mtu = 1500,
                                             .gso_bytes = gso ? 20000 : 0,
                                             .tx_csum = gso || !(configuration & CONFIG_NO_CSUM),
                                             .slices_max = 3,
                                             .mac = {2, 0, 0, 0, 0, 0x10}},
                                    .depth = 64};
    struct ip_prefix prefix = {.addr = ip_addr_v4("\300\0\2\1"), .bits = 24};
    struct eth_config eth = {.addrs = &prefix.addr, .addr_count = 1, .neigh_max = 4};
    struct ip_config ip = {.prefixes = &prefix, .prefix_count = 1};
    struct tcp_config tcp = tcp_config_default();

    *w = (struct world){.now_ns = NS_PER_S, .us = prefix.addr, .them = ip_addr_v4("\300\0\2\2")};
    demand(mem_arena_open(&w->arena, WORLD_BYTES, 0) == 0);
    demand(mem_chunks_init(&w->chunks, w->arena, CHUNK_BYTES, 2) == 0);
    demand(nmio_pipe_open(w->ends, w->arena, &pipe) == 0);
    eth.arena = ip.arena = tcp.arena = w->arena;
    eth.port = w->ends[0];
    demand(eth_open(&w->eth, &eth, w->now_ns) == 0);
    ip.eth = w->eth;
    demand(ip_open(&w->ip, &ip, w->now_ns) == 0);
    tcp.ip = w->ip;
    tcp.conns_max = configuration & CONFIG_FEW ? 2 : 8;
    tcp.half_open_max = configuration & CONFIG_COOKIES ? 1 : 3;
    tcp.peer_conns_max = configuration & CONFIG_LIMITS ? 2 : 0;
    tcp.time_wait_max = configuration & CONFIG_LIMITS ? 1 : 0;
    tcp.ecn = configuration & CONFIG_ECN ? TCP_ECN_ASK : TCP_ECN_ANSWER;
    tcp.reasm_max = 8;
    tcp.rcv_wnd_bytes = configuration & CONFIG_NARROW ? 1000 : 100000;
    tcp.asked_max_bytes = 20000;
    tcp.keepalive_ns = 100 * NS_PER_S;
    demand(tcpip_init(&w->tcp, &tcp, w->now_ns) == 0);
    demand(tcp_listen(w->tcp, NULL, OUR_PORT, &ops, w) == 0);
    for (uint32_t i = 0; i < PEERS; i++)
        w->peers[i] = (struct peer){.world = w, .seq = (uint32_t)-300 * i};
}

/* ARP is answered by hand, since no eth_input stands at the other end. */
static void arp_answer(struct world *w, const uint8_t *question)
{
    uint8_t arp[42];
    struct nmio_pkt pkt = {.data = arp, .len = sizeof(arp)};

    memcpy(arp, question + 6, 6);
    memcpy(arp + 6, "\2\0\0\0\0\21", 6);
    memcpy(arp + 12, question + 12, 8);
    put_be16(arp + 20, 2);
    memcpy(arp + 22, "\2\0\0\0\0\21", 6);
    memcpy(arp + 28, question + 38, 4);
    memcpy(arp + 32, question + 22, 10);
    demand(eth_input(w->eth, &pkt, w->now_ns) == ETH_DONE);
}

/* What the stack sends is well-formed, and its payload is what the application has written. */
static void hear(struct world *w, const struct nmio_pkt *pkt)
{
    struct ip_dgram d = {.src = w->us, .dst = w->them};
    struct tcp_seg seg;
    struct peer *p;
    bool bad_options;

    if (get_be16(pkt->data + 12) != ETH_TYPE_IP4) {
        arp_answer(w, pkt->data);
        return;
    }
    d.payload = pkt->data + ETH_HEADER_BYTES + IP4_HEADER_BYTES;
    d.len = pkt->len - ETH_HEADER_BYTES - IP4_HEADER_BYTES;
    d.csum_ok = pkt->flags & NMIO_PKT_CSUM_OK;
    demand(tcp_seg_parse(&d, &seg, &bad_options) == TCP_PARSE_OK && !bad_options);
    p = &w->peers[(uint16_t)(seg.dst_port - PEER_PORT) % PEERS];
    if (seg.flags & TCP_SYN) {
        p->iss = seg.seq;
        if (seg.flags & TCP_ACK)
            p->first = seg.ack;
    }
    for (uint32_t i = 0; i < seg.len; i++)
        demand(seg.data[i] == pattern(seg.seq - p->iss - 1 + i));
    p->ack = seg.seq + tcp_seg_len(&seg);
    if (seg.flags & TCP_ACK)
        p->seq = seg.ack;
}

static void check(struct world *w)
{
    uint64_t counted = 0, listed = 0;

    for (uint32_t i = 0; i < TCP_STATES; i++)
        counted += tcp_state_counts(w->tcp)[i];
    for (struct tcp_conn *c = tcp_conn_next(w->tcp, NULL); c; c = tcp_conn_next(w->tcp, c)) {
        struct tcp_info info;

        tcp_conn_info(c, &info);
        demand(info.acked <= info.sent && info.sent <= info.asked && info.asked <= info.written);
        demand(info.cwnd > 0 || info.state == TCP_SYN_SENT);
        demand(tcp_conn_state(c) != TCP_CLOSED);
        listed++;
    }
    demand(counted == listed);
    demand(w->chunks.in_use == 0);
}

static void turn(struct world *w)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n;

    tcp_timers(w->tcp, w->now_ns);
    tcp_pull(w->tcp, w->now_ns);
    while ((n = nmio_rx(w->ends[1], pkts, NMIO_BATCH, w->now_ns))) {
        for (uint32_t i = 0; i < n; i++)
            hear(w, &pkts[i]);
        nmio_rx_done(w->ends[1]);
    }
    check(w);
}

/* --- steps ----------------------------------------------------------------------------------- */

static void segment(struct world *w, struct input *in)
{
    uint8_t which = (uint8_t)take(in, 1), bytes[SEGMENT_BYTES];
    struct peer *p = &w->peers[which % PEERS];
    struct ip_dgram d = {.src = w->them, .dst = w->us, .payload = bytes, .header_len = 20};
    struct tcp_header *hdr = (void *)bytes;
    uint32_t options, len, seq;
    uint8_t *data;

    d.proto = IP_PROTO_TCP;
    d.tos = which >> 4 & IP_ECN_MASK;
    d.csum_ok = true;
    put_be16(hdr->src_port, (uint16_t)(PEER_PORT + which % PEERS));
    put_be16(hdr->dst_port, which & 0x80 ? CLOSED_PORT : OUR_PORT);
    hdr->flags = (uint8_t)take(in, 1);
    seq = p->seq + (uint32_t)(int16_t)take(in, 2);
    put_be32(hdr->seq, seq);
    put_be32(hdr->ack, p->ack + (uint32_t)(int16_t)take(in, 2));
    put_be16(hdr->window, (uint16_t)take(in, 2));
    memset(hdr->checksum, 0, 4);
    len = take(in, 2) % 1461;
    options = take(in, 1) & 0x3c;
    options = min_u32(options, 40);
    hdr->data_off = (uint8_t)((5 + options / 4) << 4);
    data = bytes + sizeof(*hdr);
    for (uint32_t i = 0; i < options; i++)
        *data++ = (uint8_t)take(in, 1);
    for (uint32_t i = 0; i < len; i++)
        data[i] = pattern(seq + !!(hdr->flags & TCP_SYN) + i);
    d.len = (uint32_t)(data - bytes) + len;
    w->seg_seq = seq;
    w->seg_flags = hdr->flags;
    tcp_input(w->tcp, &d, w->now_ns);
}

static void wait(struct world *w, uint32_t arg)
{
    uint64_t until = w->now_ns + ((uint64_t)(arg & 0x3fff) << 3 * (arg >> 14)) * NS_PER_MS;

    for (unsigned turns = 0; turns < 200; turns++) {
        uint64_t next = tcp_next_ns(w->tcp);

        if (next > until)
            break;
        w->now_ns = max_u64(w->now_ns, next);
        turn(w);
    }
    w->now_ns = until;
}

static void error(struct world *w, const struct peer *p, uint32_t port, uint32_t off)
{
    uint8_t quote[8];
    struct ip_error e = {.src = w->us, .dst = w->them, .payload = quote, .len = sizeof(quote)};

    e.proto = IP_PROTO_TCP;
    e.kind = off % 16 == 4 ? IP_ERROR_TOO_BIG : IP_ERROR_UNREACHABLE;
    e.mtu = (uint16_t)(off * 8);
    put_be16(quote, OUR_PORT);
    put_be16(quote + 2, (uint16_t)(PEER_PORT + port));
    put_be32(quote + 4, p->ack - off);
    tcp_error(w->tcp, &e, w->now_ns);
}

static void answer_one(struct peer *p)
{
    struct promise first = p->promises[0];

    if (!p->conn || p->promise_count == 0)
        return;
    p->promise_count--;
    memmove(p->promises, p->promises + 1, p->promise_count * sizeof(first));
    answer(p, first.offset, first.len);
}

static void connect(struct world *w, struct peer *p, uint32_t port)
{
    struct tcp_conn *conn;

    if (!p->conn && tcp_connect(w->tcp, &conn, &w->us, OUR_PORT, &w->them,
                                (uint16_t)(PEER_PORT + port), &ops, p, w->now_ns) == 0)
        attach(p, conn);
}

static void app_step(struct world *w, uint8_t what, struct input *in)
{
    uint32_t port = take(in, 1) % PEERS;
    struct peer *p = &w->peers[port];

    if (what == STEP_CONNECT)
        connect(w, p, port);
    else if (what == STEP_MANNER)
        p->manner = (uint8_t)take(in, 1);
    else if (what == STEP_ERROR)
        error(w, p, port, take(in, 1));
    else if (what == STEP_ANSWER)
        answer_one(p);
    if (!p->conn)
        return;
    if (what == STEP_WRITE && !p->closing) {
        uint32_t bytes = take(in, 2);

        p->written += bytes;
        tcp_write(p->conn, bytes);
    } else if (what == STEP_CLOSE) {
        p->closing = true;
        tcp_close(p->conn);
    } else if (what == STEP_ABORT) {
        tcp_abort(p->conn, w->now_ns);
    } else if (what == STEP_RECVED) {
        tcp_recved(p->conn, (uint32_t)p->kept);
        p->kept = 0;
    }
}

/* Nobody says anything any more: what is left must end by its timers. */
static void the_end(struct world *w)
{
    uint64_t left;
    unsigned turns = 0;

    w->silent = true;
    for (uint32_t i = 0; i < PEERS; i++)
        while (w->peers[i].conn && w->peers[i].promise_count)
            answer_one(&w->peers[i]);
    turn(w);
    do {
        uint64_t next = tcp_next_ns(w->tcp);

        if (next != UINT64_MAX)
            w->now_ns = max_u64(w->now_ns, next);
        turn(w);
        left = 0;
        for (uint32_t i = 0; i < TCP_STATES; i++)
            left += tcp_state_counts(w->tcp)[i];
        demand(turns++ < END_TURNS);
    } while (left > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world w;

    world_open(&w, (uint8_t)take(&in, 1));
    while (in.left > 0) {
        uint8_t op = (uint8_t)take(&in, 1), what = (op & 0x7f) % STEP_COUNT;

        if (what == STEP_SEGMENT)
            segment(&w, &in);
        else if (what == STEP_WAIT)
            wait(&w, take(&in, 2));
        else
            app_step(&w, what, &in);
        if (!(op & 0x80)) /* else the next step belongs to the same turn */
            turn(&w);
    }
    the_end(&w);
    tcpip_close(w.tcp);
    demand(w.chunks.in_use == 0);
    ip_close(w.ip);
    eth_close(w.eth);
    nmio_close(w.ends[0]);
    nmio_close(w.ends[1]);
    mem_arena_close(w.arena);
    return 0;
}

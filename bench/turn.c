// SPDX-License-Identifier: BSD-2-Clause
/*
 * turn.c - the turn of a worker, on a fixed trace, for callgrind to count.
 *
 *     valgrind --tool=callgrind --collect-atstart=no --toggle-collect=turn_measured turn TRACE
 *
 * A whole worker (port, Ethernet, IP, TCP, session, volume in memory) on one end of a pipe; a peer
 * made of a few lines on the other. The peer takes everything at once and acknowledges it with one
 * segment, so that each turn is: an ACK arrives, the window opens, bytes are asked for, frames
 * leave. Nothing depends on a clock, a seed or the machine. Prints how many turns were measured.
 *
 *     ack-60k    an ACK opens 60 KB: one frame leaves, its payload lies in memory
 *     ack-14k    an ACK opens ten segments, the least for which a disk is asked
 *     chunk-60k  as ack-60k, but the bytes come through a chunk, as those from a disk do
 *     request    all turns of a request for 300 KB, counted as one
 */
#include "shelf.h"
#include "worker.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define OBJECT_BIG   (32u << 20)
#define OBJECT_SMALL 300000u
#define WINDOW_SHIFT 5
#define WARM_TURNS   100 /* slow start is over and every pool has been used */
#define TURNS        300
#define REQUESTS     50
#define STEP_NS      (100 * NS_PER_US)
#define CONNS        64
#define PIPE_DEPTH   64
#define WHY_BYTES    512
#define SYN_MSS      1460

#define TCP_AT       (ETH_HEADER_BYTES + IP4_HEADER_BYTES)
#define FLAG_SYN     0x02
#define FLAG_PSH     0x08
#define FLAG_ACK     0x10
#define TCP_CSUM_AT  16
#define IP_CSUM_AT   10
#define OPT_NOP      1
#define OPT_TS       8

static const uint8_t server_ip[4] = {192, 0, 2, 2}, peer_ip[4] = {192, 0, 2, 1};

struct trace {
    const char *name;
    uint32_t window_bytes;
    bool chunks;   /* the object is not mapped: its bytes are read into a chunk */
    bool requests; /* count by request, not by turn */
};

static const struct trace traces[] = {
    {.name = "ack-60k", .window_bytes = 61440},
    {.name = "ack-14k", .window_bytes = 14496},
    {.name = "chunk-60k", .window_bytes = 61440, .chunks = true},
    {.name = "request", .window_bytes = 61440, .requests = true},
};

static const struct shelf_object objects[] = {{"/big.bin", OBJECT_BIG},
                                              {"/small.bin", OBJECT_SMALL}};

struct peer {
    struct nmio_port *port;
    uint8_t mac[6], server_mac[6];
    uint32_t seq, ack;  /* our next byte; the next one that we expect */
    uint32_t ts_recent; /* to be echoed */
    uint32_t now_ms;
    uint32_t window_bytes;
    uint64_t bytes; /* payload that arrived */
};

struct bench {
    struct mem_arena *arena, *pipe_arena;
    struct diskmap_set *set;
    struct worker *worker;
    struct peer peer;
    uint64_t now_ns;
};

/* --- the peer --------------------------------------------------------------------------------- */

static void peer_arp(struct peer *p)
{
    struct nmio_frame *frame = nmio_frame(p->port);
    uint8_t *b = frame->header;
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};

    memset(b, 0xff, 6);
    memcpy(b + 6, p->mac, 6);
    put_be16(b + 12, 0x0806);
    memcpy(b + 14, request, 8);
    memcpy(b + 22, p->mac, 6);
    memcpy(b + 28, peer_ip, 4);
    memset(b + 32, 0, 6);
    memcpy(b + 38, server_ip, 4);
    frame->header_len = 42;
    nmio_tx(p->port, frame, 0);
}

static uint32_t put_options(struct peer *p, uint8_t *opt, bool syn)
{
    uint32_t len = 0;

    if (syn) {
        static const uint8_t mss_and_scale[8] = {2, 4, SYN_MSS >> 8, SYN_MSS & 0xff, OPT_NOP,
                                                 3, 3, WINDOW_SHIFT};

        memcpy(opt, mss_and_scale, 8);
        len = 8;
    }
    opt[len] = opt[len + 1] = OPT_NOP;
    opt[len + 2] = OPT_TS;
    opt[len + 3] = 10;
    put_be32(opt + len + 4, p->now_ms);
    put_be32(opt + len + 8, p->ts_recent);
    return len + 12;
}

static void put_ip(uint8_t *ip, uint32_t len)
{
    static const uint8_t start[12] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, IP_PROTO_TCP, 0, 0};
    uint16_t sum;

    memcpy(ip, start, 12);
    put_be16(ip + 2, (uint16_t)len);
    memcpy(ip + 12, peer_ip, 4);
    memcpy(ip + 16, server_ip, 4);
    sum = (uint16_t)~ip_sum_fold(ip_sum(0, ip, IP4_HEADER_BYTES));
    memcpy(ip + IP_CSUM_AT, &sum, 2);
}

/* The checksum is left out, as a local sender does; the pipe vouches for it. */
static void peer_send(struct peer *p, uint8_t flags, const char *text)
{
    struct nmio_frame *frame = nmio_frame(p->port);
    uint8_t *tcp = frame->header + TCP_AT;
    bool syn = flags & FLAG_SYN;
    uint32_t text_len = text ? (uint32_t)strlen(text) : 0;
    uint32_t header = 20 + put_options(p, tcp + 20, syn);

    memcpy(frame->header, p->server_mac, 6);
    memcpy(frame->header + 6, p->mac, 6);
    put_be16(frame->header + 12, ETH_TYPE_IP4);
    put_ip(frame->header + ETH_HEADER_BYTES, IP4_HEADER_BYTES + header + text_len);
    put_be16(tcp, 40000);
    put_be16(tcp + 2, 80);
    put_be32(tcp + 4, p->seq);
    put_be32(tcp + 8, p->ack);
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = flags;
    put_be16(tcp + 14, (uint16_t)(syn ? 65535 : p->window_bytes >> WINDOW_SHIFT));
    memset(tcp + TCP_CSUM_AT, 0, 4);
    frame->header_len = (uint16_t)(TCP_AT + header);
    frame->csum_start = TCP_AT;
    frame->csum_offset = TCP_CSUM_AT;
    if (text) {
        frame->slices[0] = (struct nmio_slice){(const uint8_t *)text, text_len, NULL};
        frame->slice_count = 1;
    }
    p->seq += text_len + syn;
    nmio_tx(p->port, frame, 0);
}

static void peer_take_options(struct peer *p, const uint8_t *opt, const uint8_t *end)
{
    while (opt < end && *opt) {
        if (*opt == OPT_TS)
            p->ts_recent = get_be32(opt + 2);
        opt += *opt == OPT_NOP ? 1 : opt[1];
    }
}

static void peer_take(struct peer *p, const struct nmio_pkt *pkt)
{
    const uint8_t *ip = pkt->data + ETH_HEADER_BYTES, *tcp = ip + IP4_HEADER_BYTES;
    uint32_t header, len;

    if (get_be16(pkt->data + 12) != ETH_TYPE_IP4) { /* the answer to our ARP request */
        memcpy(p->server_mac, pkt->data + 6, 6);
        return;
    }
    header = (uint32_t)(tcp[12] >> 4) * 4;
    len = get_be16(ip + 2) - IP4_HEADER_BYTES - header;
    peer_take_options(p, tcp + 20, tcp + header);
    p->ack = get_be32(tcp + 4) + len + !!(tcp[13] & FLAG_SYN);
    p->bytes += len;
}

static void peer_receive(struct peer *p, uint64_t now_ns)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n;

    do {
        n = nmio_rx(p->port, pkts, NMIO_BATCH, now_ns);
        for (uint32_t i = 0; i < n; i++)
            peer_take(p, &pkts[i]);
        nmio_rx_done(p->port);
    } while (n > 0);
}

/* --- turns ------------------------------------------------------------------------------------ */

/* What callgrind looks for: the turns before the measured ones go another way. */
__attribute__((noinline)) static void turn_measured(struct worker *worker, uint64_t now_ns)
{
    worker_turn(worker, now_ns);
    __asm__ volatile("" ::: "memory"); /* a call, not a jump: callgrind sees it return */
}

static void turn(struct bench *b, bool measured)
{
    b->now_ns += STEP_NS;
    b->peer.now_ms = (uint32_t)(b->now_ns / NS_PER_MS);
    if (measured)
        turn_measured(b->worker, b->now_ns);
    else
        worker_turn(b->worker, b->now_ns);
    peer_receive(&b->peer, b->now_ns);
}

static void connect_peer(struct bench *b)
{
    peer_arp(&b->peer);
    turn(b, false);
    peer_send(&b->peer, FLAG_SYN, NULL);
    turn(b, false);
    peer_send(&b->peer, FLAG_ACK, NULL);
    turn(b, false);
}

static void ask(struct bench *b, const char *text)
{
    peer_send(&b->peer, FLAG_ACK | FLAG_PSH, text);
}

/* One request for all; as many turns as asked for, an ACK in each. Returns the turns measured. */
static uint64_t run_acks(struct bench *b, uint64_t *bytes)
{
    uint64_t before;

    ask(b, "GET /big.bin HTTP/1.1\r\nHost: bench\r\n\r\n");
    for (int i = 0; i < WARM_TURNS; i++) {
        turn(b, false);
        peer_send(&b->peer, FLAG_ACK, NULL);
    }
    before = b->peer.bytes;
    for (int i = 0; i < TURNS; i++) {
        turn(b, true);
        peer_send(&b->peer, FLAG_ACK, NULL);
    }
    *bytes = b->peer.bytes - before;
    return TURNS;
}

/* The last ACK of a response and the next request come together, as they do from a busy client. */
static void run_request(struct bench *b, bool measured)
{
    uint64_t end = b->peer.bytes + OBJECT_SMALL;

    ask(b, "GET /small.bin HTTP/1.1\r\nHost: bench\r\nUser-Agent: turn\r\nAccept: */*\r\n\r\n");
    for (int i = 0; i < WARM_TURNS; i++) {
        turn(b, measured);
        if (b->peer.bytes >= end)
            return;
        peer_send(&b->peer, FLAG_ACK, NULL);
    }
}

static uint64_t run_requests(struct bench *b, uint64_t *bytes)
{
    uint64_t before;

    for (int i = 0; i < WARM_TURNS; i++)
        run_request(b, false);
    before = b->peer.bytes;
    for (int i = 0; i < REQUESTS; i++)
        run_request(b, true);
    *bytes = b->peer.bytes - before;
    return REQUESTS;
}

/* --- putting it together ---------------------------------------------------------------------- */

static int open_pipe(struct bench *b, struct nmio_port **port)
{
    struct nmio_pipe_config config = {.caps = {.mtu = 1500,
                                               .gso_bytes = 65535,
                                               .tx_csum = true,
                                               .slices_max = NMIO_SLICES_MAX,
                                               .mac = {2, 0, 0, 0, 0, 2}},
                                      .depth = PIPE_DEPTH};
    struct nmio_port *ends[2];
    int rc = mem_arena_open(&b->pipe_arena, 64u << 20, 0);

    if (rc == 0)
        rc = nmio_pipe_open(ends, b->pipe_arena, &config);
    if (rc < 0)
        return rc;
    *port = ends[0];
    b->peer.port = ends[1];
    memcpy(b->peer.mac, nmio_caps(ends[1])->mac, 6);
    return 0;
}

static int open_all(struct bench *b, const struct trace *trace, char *why)
{
    static const struct diskmap_fault_config no_faults = {.seed = 1};
    struct worker_config config = {.disk_depth = 64,
                                   .addr_count = 1,
                                   .listen_port = 80,
                                   .read_bytes = 60 * 1024,
                                   .chunk_count = CHUNKS_DEFAULT,
                                   .limits = worker_limits_default(),
                                   .http = {.server = "atlas"},
                                   .cc = "newreno",
                                   .secret = {1, 2, 3, 4}};
    int rc = ip_prefix_parse("192.0.2.2/24", &config.addrs[0]);

    b->now_ns = NS_PER_S;
    b->peer.seq = 1000;
    b->peer.window_bytes = trace->window_bytes;
    config.limits.conns = CONNS;
    /* A device with faults, none of which happens, is one whose bytes have to be read. */
    config.disk_fault = trace->chunks ? &no_faults : NULL;
    if (rc == 0)
        rc = shelf_open(&b->set, objects, array_len(objects), why, WHY_BYTES);
    config.set = b->set;
    if (rc == 0)
        rc = mem_arena_open(&b->arena, worker_arena_bytes(&config), 0);
    if (rc == 0)
        rc = open_pipe(b, &config.port);
    config.arena = b->arena;
    if (rc == 0)
        rc = worker_open(&b->worker, &config, b->now_ns, why, WHY_BYTES);
    return rc;
}

static void close_all(struct bench *b)
{
    worker_close(b->worker);
    nmio_close(b->peer.port);
    diskmap_set_close(b->set);
    mem_arena_close(b->pipe_arena);
    mem_arena_close(b->arena);
}

static const struct trace *trace_named(const char *name)
{
    for (size_t i = 0; i < array_len(traces); i++)
        if (strcmp(traces[i].name, name) == 0)
            return &traces[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const struct trace *trace = argc == 2 ? trace_named(argv[1]) : NULL;
    struct bench b = {0};
    char why[WHY_BYTES] = "";
    uint64_t turns, bytes, expected;
    int rc;

    if (!trace) {
        fprintf(stderr, "usage: turn ack-60k|ack-14k|chunk-60k|request\n");
        return 2;
    }
    rc = open_all(&b, trace, why);
    if (rc < 0) {
        fprintf(stderr, "turn: %s\n", why[0] ? why : strerror(-rc));
        return 1;
    }
    connect_peer(&b);
    turns = trace->requests ? run_requests(&b, &bytes) : run_acks(&b, &bytes);
    printf("{\"turns\": %llu, \"bytes\": %llu}\n", (unsigned long long)turns,
           (unsigned long long)bytes);
    /* A trace that stalls would count turns in which nothing happened. */
    expected = trace->requests ? OBJECT_SMALL : trace->window_bytes * 9ull / 10;
    close_all(&b);
    return bytes >= turns * expected ? 0 : 1;
}

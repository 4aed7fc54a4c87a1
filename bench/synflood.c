// SPDX-License-Identifier: BSD-2-Clause
/*
 * synflood.c - how many SYNs a second the stack answers, on one core.
 *
 *     synflood [--seconds S] [--least N]
 *
 * The stack (Ethernet, IP, TCP, a listener) on one end of a pipe; on the other, SYNs as Linux sends
 * them (MSS, SACK, timestamps, window scale), each from another address and port, by way of a
 * gateway, with checksums that the stack has to verify. Its half-open connections are all in use
 * from the beginning, so that every further SYN is answered with a cookie. Of every SAMPLE SYN-ACKs
 * one is acknowledged, and the connection must come to be: a figure for answers that nobody could
 * use would be worth nothing.
 *
 * Counted is the CPU time of the stack's turns alone, not that of making and checking packets.
 * Prints JSON. Fails if a SYN was not answered, if a cookie did not open a connection, or with
 * fewer than N SYNs a second.
 */
#include "base/rand.h"
#include "tcpip/tcpip.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH       NMIO_BATCH
#define PIPE_DEPTH  (2 * BATCH)
#define ARENA_BYTES (64u << 20)
#define CONNS       8192
#define HALF_OPEN   1024
#define SAMPLE      4096
#define WARM_TURNS  1000
#define PORT        80
#define SYN_BYTES   40 /* header and options */
#define ACK_BYTES   32
#define TCP_AT      (ETH_HEADER_BYTES + IP4_HEADER_BYTES)
#define FLAG_SYN    0x02
#define FLAG_ACK    0x10

static const uint8_t our_ip[4] = {192, 0, 2, 2}, gateway_ip[4] = {192, 0, 2, 1};

struct flood {
    struct mem_arena *arena;
    struct nmio_port *ends[2];
    struct eth *eth;
    struct ip *ip;
    struct tcp *tcp;
    uint8_t our_mac[6], gateway_mac[6];
    struct rand rand;
    uint64_t now_ns;   /* the stack's clock: a batch each 50 us */
    uint64_t spent_ns; /* CPU time in its turns */
    uint64_t syns, answers, sampled, accepted;
    bool measuring;
};

static uint64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- the application: takes connections and resets them ----------------------------------------
 */

static void *on_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    struct flood *f = app;

    f->accepted++;
    return NULL;
}

static void on_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                    uint64_t now_ns)
{
}

static void on_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
}

static uint32_t on_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                        uint64_t now_ns)
{
    return 0;
}

static void on_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
}

static void on_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
}

static const struct tcp_ops ops = {.accept = on_accept,
                                   .recv = on_recv,
                                   .recv_end = on_end,
                                   .fill = on_fill,
                                   .sent = on_sent,
                                   .closed = on_closed};

/* --- packets ------------------------------------------------------------------------------------
 */

static void put_headers(struct flood *f, uint8_t *b, const uint8_t *src, uint32_t tcp_bytes)
{
    static const uint8_t start[12] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 60, IP_PROTO_TCP, 0, 0};
    uint8_t *ip = b + ETH_HEADER_BYTES;
    uint16_t sum;

    memcpy(b, f->our_mac, 6);
    memcpy(b + 6, f->gateway_mac, 6);
    put_be16(b + 12, ETH_TYPE_IP4);
    memcpy(ip, start, 12);
    put_be16(ip + 2, (uint16_t)(IP4_HEADER_BYTES + tcp_bytes));
    memcpy(ip + 12, src, 4);
    memcpy(ip + 16, our_ip, 4);
    sum = (uint16_t)~ip_sum_fold(ip_sum(0, ip, IP4_HEADER_BYTES));
    memcpy(ip + 10, &sum, 2);
}

static void send_segment(struct flood *f, struct nmio_frame *frame, const uint8_t *src,
                         uint32_t tcp_bytes)
{
    uint8_t *tcp = frame->header + TCP_AT;
    struct ip_addr from = ip_addr_v4(src), to = ip_addr_v4(our_ip);
    uint16_t sum;

    put_headers(f, frame->header, src, tcp_bytes);
    sum = (uint16_t)~ip_sum_fold(
        ip_sum(ip_sum_pseudo(&from, &to, IP_PROTO_TCP, tcp_bytes), tcp, tcp_bytes));
    memcpy(tcp + 16, &sum, 2);
    frame->header_len = (uint16_t)(TCP_AT + tcp_bytes);
    nmio_tx(f->ends[1], frame, f->now_ns);
}

/* MSS 1460, SACK permitted, timestamps, window scale 7: the layout of Linux. */
static void send_syn(struct flood *f)
{
    static const uint8_t options[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
                                        0, 1, 0, 0,    0, 0, 1, 3,  3, 7};
    struct nmio_frame *frame = nmio_frame(f->ends[1]);
    uint64_t chance = rand_u64(&f->rand);
    uint8_t src[4] = {(uint8_t)(11 + chance % 89), (uint8_t)(chance >> 8), (uint8_t)(chance >> 16),
                      (uint8_t)(1 + (chance >> 24) % 250)};
    uint8_t *tcp = frame->header + TCP_AT;

    memset(tcp, 0, SYN_BYTES);
    put_be16(tcp, (uint16_t)(1024 + (chance >> 32) % 60000));
    put_be16(tcp + 2, PORT);
    put_be32(tcp + 4, (uint32_t)(chance >> 16));
    tcp[12] = SYN_BYTES / 4 << 4;
    tcp[13] = FLAG_SYN;
    put_be16(tcp + 14, 64240);
    memcpy(tcp + 20, options, sizeof(options));
    send_segment(f, frame, src, SYN_BYTES);
    f->syns++;
}

/* The third segment of the handshake that `answer`, a SYN-ACK, belongs to. */
static void acknowledge(struct flood *f, const uint8_t *answer)
{
    const uint8_t *ip = answer + ETH_HEADER_BYTES, *in = ip + IP4_HEADER_BYTES;
    const uint8_t *opt = in + 20, *end = in + (in[12] >> 4) * 4;
    struct nmio_frame *frame = nmio_frame(f->ends[1]);
    uint8_t *tcp = frame->header + TCP_AT;

    memset(tcp, 0, ACK_BYTES);
    memcpy(tcp, in + 2, 2);
    memcpy(tcp + 2, in, 2);
    memcpy(tcp + 4, in + 8, 4);
    put_be32(tcp + 8, get_be32(in + 4) + 1);
    tcp[12] = ACK_BYTES / 4 << 4;
    tcp[13] = FLAG_ACK;
    put_be16(tcp + 14, 502);
    tcp[20] = tcp[21] = 1;
    tcp[22] = 8;
    tcp[23] = 10;
    put_be32(tcp + 24, 2);
    while (opt < end && *opt) {
        if (*opt == 8)
            memcpy(tcp + 28, opt + 2, 4);
        opt += *opt == 1 ? 1 : opt[1];
    }
    send_segment(f, frame, ip + 16, ACK_BYTES);
    f->sampled++;
}

/* Introduces the gateway, as its answer to an ARP request would. */
static void send_arp(struct flood *f)
{
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    struct nmio_frame *frame = nmio_frame(f->ends[1]);
    uint8_t *b = frame->header;

    memset(b, 0xff, 6);
    memcpy(b + 6, f->gateway_mac, 6);
    put_be16(b + 12, 0x0806);
    memcpy(b + 14, request, 8);
    memcpy(b + 22, f->gateway_mac, 6);
    memcpy(b + 28, gateway_ip, 4);
    memset(b + 32, 0, 6);
    memcpy(b + 38, our_ip, 4);
    frame->header_len = 42;
    nmio_tx(f->ends[1], frame, f->now_ns);
}

/* --- turns --------------------------------------------------------------------------------------
 */

static void stack_turn(struct flood *f)
{
    struct nmio_pkt pkts[BATCH];
    uint32_t n = nmio_rx(f->ends[0], pkts, BATCH, f->now_ns);

    for (uint32_t i = 0; i < n; i++) {
        struct ip_dgram dgram;
        struct ip_error error;

        if (eth_input(f->eth, &pkts[i], f->now_ns) == ETH_DONE)
            continue;
        if (ip_input(f->ip, &pkts[i], &dgram, &error, f->now_ns) == IP_TCP)
            tcp_input(f->tcp, &dgram, f->now_ns);
    }
    nmio_rx_done(f->ends[0]);
    eth_timers(f->eth, f->now_ns);
    tcp_timers(f->tcp, f->now_ns);
    tcp_pull(f->tcp, f->now_ns);
    nmio_flush(f->ends[0], f->now_ns);
    nmio_reap(f->ends[0]);
}

/* Each SYN-ACK is counted, and one of SAMPLE answered. */
static void take_answers(struct flood *f)
{
    struct nmio_pkt pkts[BATCH];
    uint32_t n;

    do {
        n = nmio_rx(f->ends[1], pkts, BATCH, f->now_ns);
        for (uint32_t i = 0; i < n; i++) {
            const uint8_t *p = pkts[i].data;

            if (get_be16(p + 12) != ETH_TYPE_IP4) {
                memcpy(f->our_mac, p + 6, 6);
            } else if (p[TCP_AT + 13] == (FLAG_SYN | FLAG_ACK)) {
                f->answers++;
                if (f->measuring && f->answers % SAMPLE == 0)
                    acknowledge(f, p);
            }
        }
        nmio_rx_done(f->ends[1]);
    } while (n > 0);
}

static void turn(struct flood *f)
{
    uint64_t began_ns;

    f->now_ns += 50 * NS_PER_US;
    began_ns = cpu_ns();
    stack_turn(f);
    f->spent_ns += cpu_ns() - began_ns;
    take_answers(f);
}

static void batch(struct flood *f)
{
    for (uint32_t i = 0; i < BATCH - 1; i++) /* room for the third segment of a handshake */
        send_syn(f);
    turn(f);
}

/* --- putting it together ------------------------------------------------------------------------
 */

static int open_stack(struct flood *f)
{
    struct nmio_pipe_config pipe = {.caps = {.mtu = 1500,
                                             .slices_max = NMIO_SLICES_MAX,
                                             .tx_csum = true,
                                             .mac = {2, 0, 0, 0, 0, 2}},
                                    .depth = PIPE_DEPTH};
    struct ip_prefix prefix = {.addr = ip_addr_v4(our_ip), .bits = 24};
    struct ip_addr gateway = ip_addr_v4(gateway_ip);
    struct tcp_config tcp = tcp_config_default();
    struct eth_config eth = {.addrs = &prefix.addr, .addr_count = 1};
    struct ip_config ip = {
        .prefixes = &prefix, .prefix_count = 1, .gateway = &gateway, .secret = {1, 2}};
    int rc = mem_arena_open(&f->arena, ARENA_BYTES, MEM_ARENA_HUGE);

    if (rc == 0)
        rc = nmio_pipe_open(f->ends, f->arena, &pipe);
    eth.arena = ip.arena = tcp.arena = f->arena;
    eth.port = f->ends[0];
    if (rc == 0)
        rc = eth_open(&f->eth, &eth, f->now_ns);
    ip.eth = f->eth;
    if (rc == 0)
        rc = ip_open(&f->ip, &ip, f->now_ns);
    tcp.ip = f->ip;
    tcp.conns_max = CONNS;
    tcp.half_open_max = HALF_OPEN;
    tcp.reasm_max = 64;
    memcpy(tcp.secret, (uint64_t[4]){1, 2, 3, 4}, sizeof(tcp.secret));
    if (rc == 0)
        rc = tcpip_init(&f->tcp, &tcp, f->now_ns);
    return rc < 0 ? rc : tcp_listen(f->tcp, NULL, PORT, &ops, f);
}

/* The gateway is known and the half-open connections are in use. */
static void warm_up(struct flood *f)
{
    memset(f->our_mac, 0xff, 6);
    memcpy(f->gateway_mac, nmio_caps(f->ends[1])->mac, 6);
    send_arp(f);
    turn(f);
    for (int i = 0; i < WARM_TURNS; i++)
        batch(f);
    f->syns = f->answers = f->spent_ns = 0;
    f->measuring = true;
}

static bool all_well(const struct flood *f, double per_s, double least)
{
    bool good = true;

    if (f->answers < f->syns) {
        fprintf(stderr, "synflood: %llu of %llu SYNs were answered\n",
                (unsigned long long)f->answers, (unsigned long long)f->syns);
        good = false;
    }
    if (f->sampled == 0 || f->accepted < f->sampled) {
        fprintf(stderr, "synflood: %llu of %llu handshakes came to an end\n",
                (unsigned long long)f->accepted, (unsigned long long)f->sampled);
        good = false;
    }
    if (per_s < least) {
        fprintf(stderr, "synflood: %.0f SYNs a second, at least %.0f were asked for\n", per_s,
                least);
        good = false;
    }
    return good;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"least", required_argument, NULL, 'l'}, {0}};
    struct flood f = {.now_ns = NS_PER_S};
    double seconds = 2, least = 0, per_s;
    int id, rc;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 's')
            seconds = strtod(optarg, NULL);
        else if (id == 'l')
            least = strtod(optarg, NULL);
        else
            return 2;
    }
    rand_seed(&f.rand, 1);
    rc = open_stack(&f);
    if (rc < 0) {
        fprintf(stderr, "synflood: %s\n", strerror(-rc));
        return 1;
    }
    warm_up(&f);
    while ((double)f.spent_ns < seconds * (double)NS_PER_S || f.sampled == 0)
        batch(&f);
    turn(&f); /* the last third segments */
    per_s = (double)f.syns / (double)f.spent_ns * (double)NS_PER_S;
    printf("{\"syns\": %llu, \"syns_per_s\": %.0f, \"handshakes\": %llu}\n",
           (unsigned long long)f.syns, per_s, (unsigned long long)f.accepted);
    tcpip_close(f.tcp);
    ip_close(f.ip);
    eth_close(f.eth);
    nmio_close(f.ends[0]);
    nmio_close(f.ends[1]);
    mem_arena_close(f.arena);
    return !all_well(&f, per_s, least);
}

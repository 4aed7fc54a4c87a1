// SPDX-License-Identifier: BSD-2-Clause
/*
 * mbox.c - how many packets a second one core takes through the middlebox, between two pipes.
 *
 *     mbox [PACKETS [BYTES [FLOWS]]]
 *
 * Packets of BYTES (60) of FLOWS (1,000) flows come at a million in a virtual second, so that with
 * a delay of 10 to 40 ms some 25,000 are under way. Real time is taken of the box's two calls
 * alone, which include the pipe's copy of each packet on both sides: a port's share, not the
 * sender's and the receiver's. It fails if a packet is missing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"
#include "box.h"

#define MTU          1500
#define BATCH        16
#define GAP_NS       1000 /* a million packets in a second */
#define PIPE_DEPTH   2048
#define UNDER_WAY    65536
#define ARENA_BYTES  (512ull << 20)
#define HEADER_BYTES 54
#define SETTLE_NS    NS_PER_S
#define LOSS         0.01

struct bench {
    struct mem_arena *arena;
    struct nmio_port *sender, *receiver;
    struct box *box;
    uint32_t bytes, flows;
    uint64_t now_ns;
    uint64_t spent_ns;
    uint64_t sent, received;
};

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void send_packet(struct bench *b)
{
    static const uint8_t payload[MTU];
    struct nmio_frame *frame = nmio_frame(b->sender);
    uint8_t *p = frame->header;

    memset(p, 0, HEADER_BYTES);
    put_be16(p + 12, 0x0800);
    p[14] = 0x45;
    put_be16(p + 16, (uint16_t)(b->bytes - 14));
    p[23] = 6;
    put_be32(p + 26, 0x0a000000u + (uint32_t)(b->sent % b->flows));
    put_be32(p + 30, 0x0b000001);
    put_be16(p + 36, 80);
    frame->header_len = HEADER_BYTES;
    frame->slices[0] = (struct nmio_slice){payload, b->bytes - HEADER_BYTES, NULL};
    frame->slice_count = 1;
    nmio_tx(b->sender, frame, b->now_ns);
    b->sent++;
}

static void receive(struct bench *b)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n;

    while ((n = nmio_rx(b->receiver, pkts, NMIO_BATCH, b->now_ns))) {
        b->received += n;
        nmio_rx_done(b->receiver);
    }
}

static void turn(struct bench *b)
{
    uint64_t start_ns = clock_ns();

    box_receive(b->box, b->now_ns);
    box_send(b->box, b->now_ns);
    b->spent_ns += clock_ns() - start_ns;
    receive(b);
}

static int open_bench(struct bench *b)
{
    static const struct nmio_pipe_config pipe = {.caps = {.mtu = MTU, .slices_max = 1, .mac = {2}},
                                                 .depth = PIPE_DEPTH};
    struct nmio_port *left[2], *right[2];
    struct box_config config = {.seed = 1, .packets = UNDER_WAY, .mtu = MTU};
    struct path_settings *to_right = &config.settings[TO_RIGHT];

    if (mem_arena_open(&b->arena, ARENA_BYTES, MEM_ARENA_HUGE) ||
        nmio_pipe_open(left, b->arena, &pipe) || nmio_pipe_open(right, b->arena, &pipe))
        return -1;
    path_settings_default(to_right);
    path_settings_default(&config.settings[TO_LEFT]);
    to_right->delay_min_ns = 10 * NS_PER_MS;
    to_right->delay_max_ns = 40 * NS_PER_MS;
    to_right->loss = LOSS;
    b->sender = left[0];
    b->receiver = right[0];
    config.arena = b->arena;
    config.left = left[1];
    config.right = right[1];
    return box_open(&b->box, &config, b->now_ns);
}

static uint64_t argument(int argc, char **argv, int n, uint64_t otherwise)
{
    return argc > n ? strtoull(argv[n], NULL, 10) : otherwise;
}

/* Sends all and waits until the last one is through. */
static void run(struct bench *b, uint64_t packets)
{
    uint64_t end_ns;

    while (b->sent < packets) {
        for (unsigned i = 0; i < BATCH; i++)
            send_packet(b);
        b->now_ns += BATCH * GAP_NS;
        turn(b);
    }
    for (end_ns = b->now_ns + SETTLE_NS; b->now_ns < end_ns; b->now_ns += WHEEL_TICK_NS)
        turn(b);
}

int main(int argc, char **argv)
{
    struct bench b = {.now_ns = NS_PER_S};
    uint64_t packets = argument(argc, argv, 1, 2000000);
    uint64_t lost;

    b.bytes = (uint32_t)argument(argc, argv, 2, 60);
    b.flows = (uint32_t)argument(argc, argv, 3, 1000);
    if (!packets || !b.flows || b.bytes < HEADER_BYTES || b.bytes > MTU + 14) {
        fputs("usage: mbox [PACKETS [BYTES [FLOWS]]], with 54 to 1514 bytes\n", stderr);
        return 2;
    }
    if (open_bench(&b)) {
        fputs("mbox: no memory\n", stderr);
        return 1;
    }
    run(&b, packets);
    printf("{\"packets_per_s\": %.0f, \"packet_bytes\": %u, \"flows\": %llu, "
           "\"under_way_at_most\": %llu}\n",
           (double)b.sent * (double)NS_PER_S / (double)b.spent_ns, b.bytes,
           (unsigned long long)box_flows(b.box)->seen,
           (unsigned long long)box_pool(b.box)->high_water);
    lost = box_path(b.box, TO_RIGHT)->stats.drop_loss;
    box_close(b.box);
    nmio_close(b.sender);
    nmio_close(b.receiver);
    mem_arena_close(b.arena);
    return lost > 0 && b.received + lost == b.sent ? 0 : 1;
}

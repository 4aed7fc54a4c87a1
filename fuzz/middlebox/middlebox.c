// SPDX-License-Identifier: BSD-2-Clause
/*
 * Frames of any content through a box that does everything to them but damage. Whatever they are:
 * all of them are accounted for, none comes out larger than the link admits, and all memory is back
 * in the end.
 *
 * The input is records of four bytes and a frame: its length (two bytes), flags (direction,
 * CSUM_OK), and the GSO size in units of 16 bytes.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "box.h"

#define CHECK(x)     ((x) ? (void)0 : abort())
#define ARENA_BYTES  (64ull << 20)
#define MTU          1500
#define FRAME_MAX    4000
#define PIPE_DEPTH   64
#define RECORD_BYTES 4
#define TURN_NS      (3 * NS_PER_MS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct path_settings settings = {
    .mtu = 1400,
    .loss = 0.1,
    .burst = {.on = true, .p = 0.1, .r = 0.5, .h = 0.1, .k = 1},
    .rate_bps = 1000000,
    .queue = {AMOUNT_PACKETS, 20},
    .ecn_mark = {AMOUNT_PACKETS, 2},
    .delay_max_ns = 20 * NS_PER_MS,
    .bands = 4,
    .jitter_ns = NS_PER_MS,
    .duplicate = 0.1,
    .reorder = 0.1,
    .reorder_by_ns = NS_PER_MS,
};

static uint64_t drops(const struct path_stats *s)
{
    return s->drop_mtu + s->drop_loss + s->drop_burst + s->drop_queue + s->drop_memory +
           s->drop_too_big + s->drop_horizon;
}

static uint64_t drain(struct nmio_port *port, uint64_t now_ns)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint64_t count = 0;
    uint32_t n;

    do {
        n = nmio_rx(port, pkts, NMIO_BATCH, now_ns);
        for (uint32_t i = 0; i < n; i++)
            CHECK(pkts[i].len <= MTU + 22 && !pkts[i].gso_size);
        count += n;
        nmio_rx_done(port);
    } while (n);
    return count;
}

static void turn(struct box *box, struct nmio_port *hosts[2], uint64_t *came_out, uint64_t now_ns)
{
    box_receive(box, now_ns);
    box_send(box, now_ns);
    for (unsigned d = 0; d < DIRECTIONS; d++)
        came_out[d] += drain(hosts[d], now_ns);
}

static void send_frame(struct nmio_port *port, const uint8_t *bytes, uint32_t len, bool csum_ok,
                       uint16_t gso_size)
{
    struct nmio_frame *frame = nmio_frame(port);

    frame->header_len = (uint16_t)min_u32(len, NMIO_HEADER_MAX);
    memcpy(frame->header, bytes, frame->header_len);
    if (len > frame->header_len) {
        frame->slices[0] =
            (struct nmio_slice){bytes + frame->header_len, len - frame->header_len, NULL};
        frame->slice_count = 1;
    }
    frame->csum_start = csum_ok || gso_size;
    frame->gso_size = gso_size;
    nmio_tx(port, frame, 0);
}

static void check(const struct box *box, const uint64_t *came_out)
{
    uint64_t in = 0, out = box_waiting(box);

    for (unsigned d = 0; d < DIRECTIONS; d++) {
        const struct path_stats *s = &box_path(box, d)->stats;

        in += s->packets + s->duplicated;
        out += s->sent + drops(s);
        CHECK(came_out[d] == s->sent);
    }
    CHECK(in == out && box_pool(box)->in_use == box_waiting(box));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct nmio_pipe_config pipe = {
        .caps = {.mtu = FRAME_MAX, .gso_bytes = FRAME_MAX, .tx_csum = true, .slices_max = 1},
        .depth = PIPE_DEPTH,
    };
    struct box_config config = {
        .settings = {settings, settings}, .seed = 1, .packets = 100, .mtu = MTU};
    struct nmio_port *ends[DIRECTIONS][2], *hosts[2];
    uint64_t came_out[DIRECTIONS] = {0}, now_ns = 0;
    struct box *box;

    CHECK(mem_arena_open(&config.arena, ARENA_BYTES, 0) == 0);
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        CHECK(nmio_pipe_open(ends[d], config.arena, &pipe) == 0);
        hosts[d] = ends[d][0];
    }
    config.left = ends[TO_LEFT][1];
    config.right = ends[TO_RIGHT][1];
    CHECK(box_open(&box, &config, now_ns) == 0);
    while (len > RECORD_BYTES) {
        uint32_t bytes = min_u32(get_be16(data), (uint32_t)min_u64(len - RECORD_BYTES, FRAME_MAX));

        if (bytes)
            send_frame(hosts[data[2] & 1], data + RECORD_BYTES, bytes, data[2] & 2, data[3] * 16);
        turn(box, hosts, came_out, now_ns);
        check(box, came_out);
        data += RECORD_BYTES + bytes;
        len -= RECORD_BYTES + bytes;
        now_ns += TURN_NS;
    }
    for (unsigned i = 0; i < 1000 && box_waiting(box); i++)
        turn(box, hosts, came_out, now_ns += TURN_NS);
    check(box, came_out);
    CHECK(box_waiting(box) == 0);
    box_close(box);
    nmio_close(hosts[0]);
    nmio_close(hosts[1]);
    mem_arena_close(config.arena);
    return 0;
}

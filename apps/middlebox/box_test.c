// SPDX-License-Identifier: BSD-2-Clause
/*
 * box_test.c - the whole box between two pipes, in virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "box.h"

#define MS          NS_PER_MS
#define ARENA_BYTES (256ull << 20)
#define PIPE_DEPTH  256
#define GSO_BYTES   16000
#define TAKEN_MAX   4096
#define MTU         1500
#define STEP_NS     (100 * NS_PER_US)

enum { LEFT, RIGHT };

struct world {
    struct mem_arena *arena;
    struct nmio_port *hosts[2]; /* our ends of the two pipes */
    struct box *box;
    struct path_settings settings[DIRECTIONS];
    uint32_t packets;
    uint64_t now_ns;
    uint32_t taken[2];
    uint8_t last[2][2048];
    uint32_t last_len[2];
    uint32_t numbers[2][TAKEN_MAX]; /* what the packets say, in order of arrival */
    uint64_t arrived_ns[2][TAKEN_MAX];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    w->now_ns = NS_PER_S;
    w->packets = 4096;
    for (unsigned d = 0; d < DIRECTIONS; d++)
        path_settings_default(&w->settings[d]);
    return mem_arena_open(&w->arena, ARENA_BYTES, 0);
}

static int teardown(void **state)
{
    struct world *w = *state;

    box_close(w->box);
    nmio_close(w->hosts[LEFT]);
    nmio_close(w->hosts[RIGHT]);
    mem_arena_close(w->arena);
    free(w);
    return 0;
}

static void start(struct world *w)
{
    static const struct nmio_pipe_config pipe = {
        .caps = {.mtu = MTU, .gso_bytes = GSO_BYTES, .tx_csum = true, .slices_max = 1, .mac = {2}},
        .depth = PIPE_DEPTH,
    };
    struct nmio_port *left[2], *right[2];
    struct box_config config = {.arena = w->arena, .seed = 3, .packets = w->packets, .mtu = MTU};

    assert_int_equal(nmio_pipe_open(left, w->arena, &pipe), 0);
    assert_int_equal(nmio_pipe_open(right, w->arena, &pipe), 0);
    w->hosts[LEFT] = left[0];
    w->hosts[RIGHT] = right[0];
    config.left = left[1];
    config.right = right[1];
    memcpy(config.settings, w->settings, sizeof(w->settings));
    assert_int_equal(box_open(&w->box, &config, w->now_ns), 0);
}

/* A TCP packet of 10.0.0.1:port to 10.0.0.2:80, or back, whose sequence number is `number`. */
static struct nmio_frame *make(struct world *w, int from, uint16_t port, uint32_t number)
{
    struct nmio_frame *frame = nmio_frame(w->hosts[from]);
    uint8_t *ip = frame->header + 14, *tcp = ip + 20;

    memset(frame->header, 0, 54);
    frame->header[0] = frame->header[6] = 2;
    put_be16(frame->header + 12, 0x0800);
    ip[0] = 0x45;
    put_be16(ip + 2, 40);
    ip[8] = 64;
    ip[9] = 6;
    put_be32(ip + 12, from == LEFT ? 0x0a000001 : 0x0a000002);
    put_be32(ip + 16, from == LEFT ? 0x0a000002 : 0x0a000001);
    put_be16(tcp, from == LEFT ? port : 80);
    put_be16(tcp + 2, from == LEFT ? 80 : port);
    put_be32(tcp + 4, number);
    tcp[12] = 0x50;
    tcp[13] = 0x10;
    frame->header_len = 54;
    return frame;
}

static void send_packet(struct world *w, int from, uint16_t port, uint32_t number)
{
    nmio_tx(w->hosts[from], make(w, from, port, number), w->now_ns);
}

static void take(struct world *w, int at)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n;

    do {
        n = nmio_rx(w->hosts[at], pkts, NMIO_BATCH, w->now_ns);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t index = w->taken[at]++;

            assert_true(index < TAKEN_MAX && pkts[i].len <= sizeof(w->last[at]));
            assert_int_equal(pkts[i].gso_size, 0);
            w->numbers[at][index] = get_be32(pkts[i].data + 38);
            w->arrived_ns[at][index] = w->now_ns;
            memcpy(w->last[at], pkts[i].data, pkts[i].len);
            w->last_len[at] = pkts[i].len;
        }
        nmio_rx_done(w->hosts[at]);
    } while (n);
}

static void turn(struct world *w)
{
    while (box_receive(w->box, w->now_ns))
        box_send(w->box, w->now_ns);
    box_send(w->box, w->now_ns);
    take(w, LEFT);
    take(w, RIGHT);
}

static void run_for(struct world *w, uint64_t ns)
{
    for (uint64_t end_ns = w->now_ns + ns; w->now_ns < end_ns; w->now_ns += STEP_NS)
        turn(w);
}

static uint64_t drops(const struct path_stats *s)
{
    return s->drop_mtu + s->drop_loss + s->drop_burst + s->drop_queue + s->drop_memory +
           s->drop_too_big + s->drop_horizon;
}

static void assert_adds_up(struct world *w)
{
    uint64_t came_in = 0, went_out = 0;

    for (unsigned d = 0; d < DIRECTIONS; d++) {
        const struct path_stats *s = &box_path(w->box, d)->stats;

        came_in += s->packets + s->duplicated;
        went_out += s->sent + drops(s);
    }
    assert_int_equal(came_in, went_out + box_waiting(w->box));
    assert_int_equal(box_pool(w->box)->in_use, box_waiting(w->box));
}

static void test_unchanged(void **state)
{
    struct world *w = *state;
    uint8_t sent[54];

    start(w);
    memcpy(sent, make(w, LEFT, 5, 99)->header, 54);
    send_packet(w, LEFT, 5, 99);
    turn(w); /* nothing delays it, not even a tick */
    assert_int_equal(w->taken[RIGHT], 1);
    assert_int_equal(w->last_len[RIGHT], 54);
    assert_memory_equal(w->last[RIGHT], sent, 54);
    assert_adds_up(w);
}

/* Each direction is delayed by its own setting, to the tick. */
static void test_delays(void **state)
{
    struct world *w = *state;

    w->settings[TO_RIGHT].delay_min_ns = w->settings[TO_RIGHT].delay_max_ns = 25 * MS;
    w->settings[TO_LEFT].delay_min_ns = w->settings[TO_LEFT].delay_max_ns = 3 * MS;
    start(w);
    turn(w);
    send_packet(w, LEFT, 5, 1);
    send_packet(w, RIGHT, 5, 2);
    turn(w);
    assert_int_equal(box_waiting(w->box), 2);
    assert_in_range(box_next_ns(w->box), w->now_ns + 3 * MS, w->now_ns + 3 * MS + WHEEL_TICK_NS);
    run_for(w, 50 * MS);
    assert_in_range(w->arrived_ns[LEFT][0], NS_PER_S + 3 * MS, NS_PER_S + 3 * MS + STEP_NS);
    assert_in_range(w->arrived_ns[RIGHT][0], NS_PER_S + 25 * MS, NS_PER_S + 25 * MS + STEP_NS);
    assert_int_equal(w->numbers[RIGHT][0], 1);
    assert_adds_up(w);
}

/* ARP crosses a path that loses everything. */
static void test_link_frames(void **state)
{
    struct world *w = *state;
    struct nmio_frame *frame;

    w->settings[TO_RIGHT].loss = 1;
    start(w);
    frame = make(w, LEFT, 1, 1);
    put_be16(frame->header + 12, 0x0806);
    nmio_tx(w->hosts[LEFT], frame, w->now_ns);
    send_packet(w, LEFT, 1, 1);
    turn(w);
    assert_int_equal(w->taken[RIGHT], 1);
    assert_int_equal(box_path(w->box, TO_RIGHT)->stats.link, 1);
    assert_int_equal(box_path(w->box, TO_RIGHT)->stats.drop_loss, 1);
    assert_adds_up(w);
}

/* A GSO frame counts, waits and is lost as the packets that it stands for. */
static void test_gso(void **state)
{
    static const uint8_t payload[14000];
    struct world *w = *state;
    struct nmio_frame *frame;

    w->settings[TO_RIGHT].rate_bps = 10000000; /* 1,054 bytes: 0.84 ms */
    w->settings[TO_RIGHT].queue = (struct amount){AMOUNT_PACKETS, 10};
    start(w);
    frame = make(w, LEFT, 5, 1000);
    put_be16(frame->header + 16, 40 + sizeof(payload));
    frame->gso_size = 1000;
    frame->csum_start = 34;
    frame->csum_offset = 16;
    frame->slices[0] = (struct nmio_slice){payload, sizeof(payload), NULL};
    frame->slice_count = 1;
    nmio_tx(w->hosts[LEFT], frame, w->now_ns);
    run_for(w, 50 * MS);
    assert_int_equal(box_path(w->box, TO_RIGHT)->stats.packets, 14);
    assert_int_equal(box_path(w->box, TO_RIGHT)->stats.bytes, 14 * 1054);
    assert_int_equal(box_path(w->box, TO_RIGHT)->stats.drop_queue, 4);
    assert_int_equal(w->taken[RIGHT], 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(w->numbers[RIGHT][i], 1000 + i * 1000);
        assert_in_range(w->arrived_ns[RIGHT][i], NS_PER_S + (i + 1) * 843200,
                        NS_PER_S + (i + 1) * 843200 + STEP_NS + WHEEL_TICK_NS);
    }
    assert_int_equal(w->last_len[RIGHT], 1054);
    assert_adds_up(w);
}

/* Flows with their own delays overtake each other; within a flow nothing does. */
static void test_order_within_flows(void **state)
{
    struct world *w = *state;
    uint32_t last[8] = {0};
    bool crossed = false;

    w->settings[TO_RIGHT].delay_min_ns = 1 * MS;
    w->settings[TO_RIGHT].delay_max_ns = 30 * MS;
    w->settings[TO_RIGHT].bands = 8;
    start(w);
    for (uint32_t i = 1; i <= 2000; i++) {
        send_packet(w, LEFT, (uint16_t)(1000 + i % 8), i << 3 | i % 8);
        if (i % 7 == 0) {
            w->now_ns += 37 * NS_PER_US;
            turn(w);
        }
    }
    run_for(w, 100 * MS);
    assert_int_equal(w->taken[RIGHT], 2000);
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t *seen = &last[w->numbers[RIGHT][i] & 7];

        assert_true(w->numbers[RIGHT][i] > *seen);
        *seen = w->numbers[RIGHT][i];
        crossed |= i && w->numbers[RIGHT][i] < w->numbers[RIGHT][i - 1];
    }
    assert_true(crossed);
}

static void test_everything_adds_up(void **state)
{
    struct world *w = *state;
    const struct path_stats *s;

    w->settings[TO_RIGHT] = (struct path_settings){
        .mtu = 1400,
        .loss = 0.02,
        .burst = {.on = true, .p = 0.01, .r = 0.3, .h = 0, .k = 1},
        .rate_bps = 1500000,
        .queue = {AMOUNT_BYTES, 6000},
        .delay_min_ns = MS,
        .delay_max_ns = 9 * MS,
        .bands = 3,
        .duplicate = 0.05,
        .corrupt = 0.02,
        .reorder = 0.05,
        .reorder_by_ns = 2 * MS,
    };
    w->settings[TO_LEFT].duplicate = 0.3;
    start(w);
    for (uint32_t i = 0; i < 2000; i++) {
        send_packet(w, LEFT, (uint16_t)(i % 50), i);
        send_packet(w, RIGHT, (uint16_t)(i % 50), i);
        w->now_ns += 200 * NS_PER_US;
        turn(w);
        assert_adds_up(w);
    }
    run_for(w, 100 * MS);
    assert_int_equal(box_waiting(w->box), 0);
    assert_adds_up(w);
    s = &box_path(w->box, TO_RIGHT)->stats;
    assert_true(s->drop_loss && s->drop_burst && s->drop_queue && s->duplicated && s->corrupted &&
                s->reordered);
    assert_int_equal(w->taken[RIGHT], s->sent);
    assert_int_equal(w->taken[LEFT], 2000 + box_path(w->box, TO_LEFT)->stats.duplicated);
    assert_int_equal(box_flows(w->box)->seen, 50);
}

/* No memory left: counted, and all of it comes back. */
static void test_memory_runs_out(void **state)
{
    struct world *w = *state;

    w->packets = 20;
    w->settings[TO_RIGHT].delay_min_ns = w->settings[TO_RIGHT].delay_max_ns = 5 * MS;
    w->settings[TO_RIGHT].duplicate = 1;
    start(w);
    for (unsigned round = 1; round <= 3; round++) {
        for (uint32_t i = 0; i < 30; i++)
            send_packet(w, LEFT, 1, i);
        turn(w);
        assert_int_equal(box_waiting(w->box), 20);
        assert_adds_up(w);
        run_for(w, 10 * MS);
        assert_int_equal(w->taken[RIGHT], 20 * round);
        assert_int_equal(box_path(w->box, TO_RIGHT)->stats.drop_memory, 20 * round);
    }
}

/* A frame that no MTU allows is counted, not cut off and not written beyond its place. */
static void test_too_big(void **state)
{
    static const uint8_t payload[MTU];
    struct world *w = *state;
    struct nmio_frame *frame;

    start(w);
    frame = make(w, LEFT, 1, 1);
    frame->slices[0] = (struct nmio_slice){payload, sizeof(payload), NULL};
    frame->slice_count = 1;
    nmio_tx(w->hosts[LEFT], frame, w->now_ns);
    turn(w);
    assert_int_equal(w->taken[RIGHT], 0);
    assert_int_equal(box_path(w->box, TO_RIGHT)->stats.drop_too_big, 1);
    assert_adds_up(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gso, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_within_flows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everything_adds_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_big, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

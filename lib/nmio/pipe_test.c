// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "nmio/nmio.h"

static struct mem_arena *arena;
static struct nmio_port *ends[2];

static const struct nmio_pipe_config defaults = {
    .caps = {.mtu = 1500, .slices_max = NMIO_SLICES_MAX, .mac = {2, 0, 0, 0, 0, 4}},
    .depth = 100,
};

static int setup(void **state)
{
    return mem_arena_open(&arena, 32 << 20, 0);
}

static int teardown(void **state)
{
    nmio_close(ends[0]);
    nmio_close(ends[1]);
    ends[0] = ends[1] = NULL;
    mem_arena_close(arena);
    return 0;
}

static void send_text(struct nmio_port *port, const char *text)
{
    struct nmio_frame *frame = nmio_frame(port);

    frame->header_len = (uint16_t)strlen(text);
    memcpy(frame->header, text, frame->header_len);
    nmio_tx(port, frame, 0);
}

static void test_in_order_both_ways(void **state)
{
    struct nmio_pkt pkts[NMIO_BATCH];

    assert_int_equal(nmio_pipe_open(ends, arena, &defaults), 0);
    assert_int_equal(nmio_fd(ends[0]), -1);
    assert_int_equal(nmio_caps(ends[0])->mac[5], 4);
    assert_int_equal(nmio_caps(ends[1])->mac[5], 5);
    assert_int_equal(nmio_rx(ends[1], pkts, 10, 0), 0);
    assert_true(nmio_next_ns(ends[1]) == UINT64_MAX);
    send_text(ends[0], "first");
    send_text(ends[0], "second");
    send_text(ends[1], "back");
    assert_int_equal(nmio_next_ns(ends[1]), 0);
    assert_int_equal(nmio_rx(ends[1], pkts, 1, 0), 1);
    assert_memory_equal(pkts[0].data, "first", 5);
    assert_int_equal(pkts[0].flags, 0);
    nmio_rx_done(ends[1]);
    assert_int_equal(nmio_rx(ends[1], pkts, 10, 0), 1);
    assert_int_equal(pkts[0].len, 6);
    assert_memory_equal(pkts[0].data, "second", 6);
    nmio_rx_done(ends[1]);
    assert_int_equal(nmio_rx(ends[0], pkts, 10, 0), 1);
    assert_memory_equal(pkts[0].data, "back", 4);
    nmio_rx_done(ends[0]);
    assert_int_equal(nmio_stats(ends[0])->tx_packets, 2);
    assert_int_equal(nmio_stats(ends[0])->tx_bytes, 11);
    assert_int_equal(nmio_stats(ends[1])->rx_bytes, 11);
}

/* Slices are put together, and their chunks come back when the frame has left. */
static void test_slices_and_owners(void **state)
{
    struct mem_chunks chunks;
    struct nmio_frame *frame;
    struct nmio_pkt pkts[1];

    assert_int_equal(nmio_pipe_open(ends, arena, &defaults), 0);
    assert_int_equal(mem_chunks_init(&chunks, arena, 4096, 2), 0);
    frame = nmio_frame(ends[0]);
    assert_int_equal(frame->slice_count, 0);
    frame->header_len = 2;
    memcpy(frame->header, "ab", 2);
    for (int i = 0; i < 2; i++) {
        struct mem_chunk *chunk = mem_chunk_get(&chunks);

        memset(chunk->data, 'x' + i, 300);
        frame->slices[i] = (struct nmio_slice){chunk->data, 300, chunk};
    }
    frame->slices[2] = (struct nmio_slice){(const uint8_t *)"end", 3, NULL};
    frame->slice_count = 3;
    nmio_tx(ends[0], frame, 0);
    assert_int_equal(chunks.in_use, 0);
    assert_int_equal(nmio_rx(ends[1], pkts, 1, 0), 1);
    assert_int_equal(pkts[0].len, 605);
    assert_memory_equal(pkts[0].data, "abxx", 4);
    assert_memory_equal(pkts[0].data + 300, "xxyy", 4);
    assert_memory_equal(pkts[0].data + 600, "yyend", 5);
    nmio_rx_done(ends[1]);
}

static void test_depth(void **state)
{
    struct nmio_pipe_config config = defaults;
    struct mem_chunks chunks;
    struct nmio_frame *frame;
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t received = 0, n;

    assert_int_equal(mem_chunks_init(&chunks, arena, 4096, 1), 0);
    assert_int_equal(nmio_pipe_open(ends, arena, &config), 0);
    for (int i = 0; i < 100; i++)
        send_text(ends[0], "x");
    assert_int_equal(nmio_stats(ends[0])->drop_tx_full, 0);
    frame = nmio_frame(ends[0]);
    frame->slices[0].owner = mem_chunk_get(&chunks);
    frame->slices[0].data = frame->slices[0].owner->data;
    frame->slices[0].len = 100;
    frame->slice_count = 1;
    nmio_tx(ends[0], frame, 0);
    assert_int_equal(nmio_stats(ends[0])->drop_tx_full, 1);
    assert_int_equal(nmio_stats(ends[0])->tx_packets, 100);
    assert_int_equal(chunks.in_use, 0);
    /* What was received but not given back does not count as under way. */
    n = nmio_rx(ends[1], pkts, 1000, 0);
    assert_int_equal(n, NMIO_BATCH);
    for (int i = 0; i < NMIO_BATCH; i++)
        send_text(ends[0], "y");
    assert_int_equal(nmio_stats(ends[0])->drop_tx_full, 1);
    do {
        received += n;
        nmio_rx_done(ends[1]);
    } while ((n = nmio_rx(ends[1], pkts, 1000, 0)));
    assert_int_equal(received, 100 + NMIO_BATCH);
}

static void test_offloads_cross(void **state)
{
    static uint8_t payload[60000];
    struct nmio_pipe_config config = defaults;
    struct nmio_frame *frame;
    struct nmio_pkt pkts[2];

    config.caps.gso_bytes = 65535;
    config.caps.tx_csum = true;
    assert_int_equal(nmio_pipe_open(ends, arena, &config), 0);
    frame = nmio_frame(ends[0]);
    frame->header_len = 54;
    frame->csum_start = 34;
    frame->csum_offset = 16;
    frame->gso_size = 1448;
    frame->slices[0] = (struct nmio_slice){payload, sizeof(payload), NULL};
    frame->slice_count = 1;
    nmio_tx(ends[0], frame, 0);
    send_text(ends[0], "plain");
    assert_int_equal(nmio_rx(ends[1], pkts, 2, 0), 2);
    assert_int_equal(pkts[0].len, 60054);
    assert_int_equal(pkts[0].gso_size, 1448);
    assert_int_equal(pkts[0].flags, NMIO_PKT_CSUM_OK);
    assert_int_equal(pkts[1].gso_size, 0);
    assert_int_equal(pkts[1].flags, 0);
    nmio_rx_done(ends[1]);
}

static void test_too_large_and_closed(void **state)
{
    static const uint8_t payload[2000];
    struct nmio_frame *frame;

    assert_int_equal(nmio_pipe_open(ends, arena, &defaults), 0);
    frame = nmio_frame(ends[0]);
    frame->slices[0] = (struct nmio_slice){payload, sizeof(payload), NULL};
    frame->slice_count = 1;
    nmio_tx(ends[0], frame, 0);
    assert_int_equal(nmio_stats(ends[0])->drop_tx_error, 1);
    nmio_close(ends[1]);
    ends[1] = NULL;
    send_text(ends[0], "nobody");
    assert_int_equal(nmio_stats(ends[0])->drop_tx_error, 2);
    assert_int_equal(nmio_stats(ends[0])->tx_packets, 0);
}

static void test_refused(void **state)
{
    struct nmio_pipe_config config = defaults;

    config.depth = 1 << 20;
    assert_int_equal(nmio_pipe_open(ends, arena, &config), -ENOMEM);
    config.depth = 0;
    assert_int_equal(nmio_pipe_open(ends, arena, &config), -EINVAL);
    config = defaults;
    config.caps.slices_max = NMIO_SLICES_MAX + 1;
    assert_int_equal(nmio_pipe_open(ends, arena, &config), -EINVAL);
    config = defaults;
    config.caps.mtu = 1 << 20;
    assert_int_equal(nmio_pipe_open(ends, arena, &config), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slices_and_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_offloads_cross, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large_and_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "nmio/test_packet.h"

#define DELAY (10 * NS_PER_MS)

static struct mem_arena *arena;
static struct nmio_port *near_end, *far_end; /* the fault port, and a pipe's end without faults */
static uint8_t payload[60000];

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 13 + (i >> 8));
    return mem_arena_open(&arena, 96 << 20, 0);
}

static int teardown(void **state)
{
    nmio_close(near_end);
    nmio_close(far_end);
    near_end = far_end = NULL;
    mem_arena_close(arena);
    return 0;
}

static void open_faults(const struct nmio_fault_config *faults, uint32_t gso_bytes)
{
    struct nmio_pipe_config config = {
        .caps = {.mtu = 1500, .slices_max = 2, .gso_bytes = gso_bytes, .tx_csum = gso_bytes > 0},
        .depth = 256,
    };
    struct nmio_port *ends[2];

    assert_int_equal(nmio_pipe_open(ends, arena, &config), 0);
    assert_int_equal(nmio_fault_open(&near_end, ends[0], arena, faults), 0);
    far_end = ends[1];
    assert_int_equal(nmio_caps(near_end)->gso_bytes, 0);
    assert_false(nmio_caps(near_end)->tx_csum);
}

/* A frame of 114 bytes that carries a number. */
static void send_number(struct nmio_port *port, uint32_t number, uint64_t now_ns)
{
    struct nmio_frame *frame = nmio_frame(port);
    static uint8_t rest[100];

    put_be32(rest + 90, number);
    frame->header_len = 14;
    memset(frame->header, 2, 14);
    frame->slices[0] = (struct nmio_slice){rest, 100, NULL};
    frame->slice_count = 1;
    nmio_tx(port, frame, now_ns);
    nmio_flush(port, now_ns);
    nmio_reap(port);
}

/* Receives all there is; the numbers go to `numbers`. */
static uint32_t receive(struct nmio_port *port, uint32_t *numbers, uint32_t max, uint64_t now_ns)
{
    struct nmio_pkt pkts[7];
    uint32_t n, count = 0;

    while ((n = nmio_rx(port, pkts, 7, now_ns))) {
        for (uint32_t i = 0; i < n; i++) {
            assert_true(count < max);
            assert_int_equal(pkts[i].len, 114);
            assert_int_equal(pkts[i].flags, 0);
            numbers[count++] = get_be32(pkts[i].data + 104);
        }
        nmio_rx_done(port);
    }
    return count;
}

static void test_no_faults(void **state)
{
    const struct nmio_fault_config faults = {0};
    uint32_t numbers[100];

    open_faults(&faults, 0);
    for (uint32_t i = 0; i < 50; i++) {
        send_number(near_end, i, 0);
        send_number(far_end, 100 + i, 0);
    }
    assert_int_equal(nmio_next_ns(near_end), 0);
    assert_int_equal(receive(far_end, numbers, 100, 0), 50);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(numbers[i], i);
    assert_int_equal(receive(near_end, numbers, 100, 0), 50);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(numbers[i], 100 + i);
    assert_true(nmio_next_ns(near_end) == UINT64_MAX);
    assert_int_equal(nmio_stats(near_end)->tx_packets, 50);
    assert_int_equal(nmio_stats(near_end)->tx_bytes, 50 * 114);
    assert_int_equal(nmio_stats(near_end)->rx_packets, 50);
}

static void test_loss(void **state)
{
    const struct nmio_fault_config faults = {.seed = 3, .loss = 0.3};
    uint32_t numbers[4], sent = 0, received = 0;

    open_faults(&faults, 0);
    for (uint32_t i = 0; i < 3000; i++) {
        send_number(near_end, i, i);
        sent += receive(far_end, numbers, 4, i);
        send_number(far_end, i, i);
        received += receive(near_end, numbers, 4, i);
    }
    assert_in_range(sent, 2000, 2200);
    assert_in_range(received, 2000, 2200);
    assert_int_equal(nmio_fault_stats(near_end)->lost, 6000 - sent - received);
}

static void test_duplicate(void **state)
{
    const struct nmio_fault_config faults = {.duplicate = 1};
    uint32_t numbers[4];

    open_faults(&faults, 0);
    send_number(near_end, 5, 0);
    assert_int_equal(receive(far_end, numbers, 4, 0), 2);
    assert_int_equal(numbers[0], 5);
    assert_int_equal(numbers[1], 5);
    assert_int_equal(nmio_fault_stats(near_end)->duplicated, 1);
}

static void test_delay(void **state)
{
    const struct nmio_fault_config faults = {.delay_ns = DELAY};
    uint32_t numbers[4];

    open_faults(&faults, 0);
    send_number(near_end, 1, 5);
    assert_int_equal(receive(far_end, numbers, 4, 5), 0);
    assert_int_equal(nmio_next_ns(near_end), DELAY + 5);
    nmio_flush(near_end, DELAY + 4);
    assert_int_equal(receive(far_end, numbers, 4, DELAY + 4), 0);
    nmio_flush(near_end, DELAY + 5);
    assert_int_equal(receive(far_end, numbers, 4, DELAY + 5), 1);
    assert_true(nmio_next_ns(near_end) == UINT64_MAX);

    send_number(far_end, 2, 7);
    assert_int_equal(receive(near_end, numbers, 4, 7), 0);
    assert_int_equal(nmio_next_ns(near_end), DELAY + 7);
    assert_int_equal(receive(near_end, numbers, 4, DELAY + 6), 0);
    assert_int_equal(receive(near_end, numbers, 4, DELAY + 7), 1);
    assert_int_equal(numbers[0], 2);
}

static void test_reorder(void **state)
{
    const struct nmio_fault_config faults = {
        .seed = 1, .reorder = 0.2, .reorder_ns = 5, .delay_ns = 10};
    uint32_t numbers[200], inversions = 0, seen[200] = {0};

    open_faults(&faults, 0);
    for (uint32_t i = 0; i < 200; i++)
        send_number(far_end, i, i);
    for (uint32_t now_ns = 0; now_ns < 200; now_ns++) {
        /* Each call takes the packets that were sent by now. */
        struct nmio_pkt pkt;

        numbers[now_ns] = UINT32_MAX;
        if (nmio_rx(near_end, &pkt, 1, now_ns))
            numbers[now_ns] = get_be32(pkt.data + 104);
        nmio_rx_done(near_end);
    }
    for (uint32_t i = 0; i < 200; i++) {
        if (numbers[i] == UINT32_MAX)
            continue;
        seen[numbers[i]]++;
        inversions += i && numbers[i - 1] != UINT32_MAX && numbers[i] < numbers[i - 1];
    }
    for (uint32_t i = 0; i < 150; i++)
        assert_int_equal(seen[i], 1);
    assert_true(inversions > 10);
    assert_in_range(nmio_fault_stats(near_end)->reordered, 20, 60);
}

/* Every damaged packet differs from the one sent, behind the addresses only, and no checksum
 * overlooks it where the damage is under one. */
static void test_corrupt(void **state)
{
    const struct nmio_fault_config faults = {.seed = 9, .corrupt = 1};
    const struct test_packet packet = {
        .ip6 = true, .protocol = IP_PROTO_TCP, .payload_bytes = 100, .flags = 0x10};
    uint8_t sent[400];
    uint16_t csum_start;
    uint32_t header = test_headers(sent, &packet, &csum_start);
    uint32_t len = header + 100;

    open_faults(&faults, 0);
    memcpy(sent + header, payload, 100);
    put_be16(sent + csum_start + 16, 0);
    put_be16(sent + csum_start + 16,
             (uint16_t)~test_sum(test_pseudo_sum(sent + 14, true, IP_PROTO_TCP, len - 54),
                                 sent + 54, len - 54));
    assert_true(test_packet_valid(sent, len));
    for (int i = 0; i < 5000; i++) {
        struct nmio_frame *frame = nmio_frame(near_end);
        struct nmio_pkt pkt;
        unsigned flipped = 0;

        frame->header_len = 54;
        memcpy(frame->header, sent, 54);
        frame->slices[0] = (struct nmio_slice){sent + 54, len - 54, NULL};
        frame->slice_count = 1;
        nmio_tx(near_end, frame, 0);
        nmio_flush(near_end, 0);
        assert_int_equal(nmio_rx(far_end, &pkt, 1, 0), 1);
        assert_int_equal(pkt.len, len);
        assert_memory_equal(pkt.data, sent, 12);
        for (uint32_t b = 0; b < len; b++)
            flipped += (unsigned)__builtin_popcount(pkt.data[b] ^ sent[b]);
        assert_in_range(flipped, 1, 3);
        if (!memcmp(pkt.data, sent, 22)) /* IPv6 has no checksum over what comes before */
            assert_false(test_packet_valid(pkt.data, len));
        nmio_rx_done(far_end);
    }
    assert_int_equal(nmio_fault_stats(near_end)->corrupted, 5000);
}

/* What arrives, in order, and when, as one number. */
static uint64_t trace(uint64_t seed)
{
    const struct nmio_fault_config faults = {.seed = seed,
                                             .loss = 0.1,
                                             .duplicate = 0.1,
                                             .reorder = 0.1,
                                             .corrupt = 0.1,
                                             .delay_ns = 10,
                                             .reorder_ns = 25};
    uint64_t hash = 14695981039346656037ull;

    open_faults(&faults, 0);
    for (uint32_t now_ns = 0; now_ns < 500; now_ns++) {
        struct nmio_pkt pkts[8];

        if (now_ns < 400) {
            send_number(near_end, now_ns, now_ns);
            send_number(far_end, now_ns, now_ns);
        }
        nmio_flush(near_end, now_ns);
        for (int side = 0; side < 2; side++) {
            struct nmio_port *port = side ? near_end : far_end;
            uint32_t n = nmio_rx(port, pkts, 8, now_ns);

            for (uint32_t i = 0; i < n; i++)
                for (uint32_t b = 0; b < pkts[i].len; b++)
                    hash = (hash ^ pkts[i].data[b] ^ now_ns) * 1099511628211ull;
            nmio_rx_done(port);
        }
    }
    assert_int_equal(nmio_fault_stats(near_end)->overrun, 0);
    nmio_close(near_end);
    nmio_close(far_end);
    near_end = far_end = NULL;
    return hash;
}

static void test_seed_decides(void **state)
{
    uint64_t first = trace(42);

    assert_true(trace(42) == first);
    assert_true(trace(43) != first);
}

static void test_overrun(void **state)
{
    const struct nmio_fault_config faults = {.delay_ns = DELAY};
    uint32_t numbers[7], received = 0;

    open_faults(&faults, 0);
    for (uint32_t i = 0; i < 2100; i++)
        send_number(near_end, i, 0);
    assert_int_equal(nmio_fault_stats(near_end)->overrun, 2100 - 2048);
    /* The pipe takes 256 at a time; nothing leaks however it ends. */
    nmio_flush(near_end, DELAY);
    for (int i = 0; i < 256; i++) {
        struct nmio_pkt pkt;

        received += nmio_rx(far_end, &pkt, 1, DELAY);
        nmio_rx_done(far_end);
    }
    assert_int_equal(received, 256);
    send_number(near_end, 1, DELAY);
    nmio_flush(near_end, 2 * DELAY);
    assert_int_equal(receive(far_end, numbers, 7, 2 * DELAY), 1);
}

/* A GSO frame is received as the packets that a wire would have carried. */
static void test_offloads_are_undone(void **state)
{
    const struct nmio_fault_config faults = {0};
    struct test_packet packet = {
        .protocol = IP_PROTO_TCP, .payload_bytes = 60000, .seq = 1, .flags = 0x18};
    uint32_t at = 0, n;
    struct nmio_pkt pkts[NMIO_BATCH];
    struct nmio_frame *frame;

    open_faults(&faults, 65535);
    frame = nmio_frame(far_end);
    test_frame(frame, &packet, payload, 1448);
    nmio_tx(far_end, frame, 0);
    packet.protocol = IP_PROTO_UDP;
    packet.payload_bytes = 1000;
    frame = nmio_frame(far_end);
    test_frame(frame, &packet, payload, 0);
    nmio_tx(far_end, frame, 0);
    while ((n = nmio_rx(near_end, pkts, 10, 0))) {
        for (uint32_t i = 0; i < n; i++) {
            bool tcp = at < 60000;
            uint32_t header = tcp ? 54 : 42;

            assert_int_equal(pkts[i].flags, 0);
            assert_int_equal(pkts[i].gso_size, 0);
            assert_true(pkts[i].len <= 1514);
            assert_true(test_packet_valid(pkts[i].data, pkts[i].len));
            assert_memory_equal(pkts[i].data + header, payload + (tcp ? at : 0),
                                pkts[i].len - header);
            at += pkts[i].len - header;
        }
        nmio_rx_done(near_end);
    }
    assert_int_equal(at, 61000);
}

/* Chunks come back when the frame has been copied, lost or not. */
static void test_owners(void **state)
{
    const struct nmio_fault_config faults = {.seed = 2, .loss = 0.5, .delay_ns = 5};
    struct mem_chunks chunks;

    open_faults(&faults, 0);
    assert_int_equal(mem_chunks_init(&chunks, arena, 4096, 1), 0);
    for (int i = 0; i < 20; i++) {
        struct nmio_frame *frame = nmio_frame(near_end);

        frame->slices[0].owner = mem_chunk_get(&chunks);
        frame->slices[0].data = frame->slices[0].owner->data;
        frame->slices[0].len = i < 19 ? 1000 : 2000; /* the last one is larger than the MTU */
        frame->slice_count = 1;
        nmio_tx(near_end, frame, 0);
        assert_int_equal(chunks.in_use, 0);
    }
    assert_int_equal(nmio_stats(near_end)->drop_tx_error, 1);
}

static void test_rx_only(void **state)
{
    const struct nmio_fault_config faults = {.loss = 1, .rx_only = true};
    uint32_t numbers[4];

    open_faults(&faults, 0);
    send_number(near_end, 1, 0);
    send_number(far_end, 2, 0);
    assert_int_equal(receive(far_end, numbers, 4, 0), 1);
    assert_int_equal(receive(near_end, numbers, 4, 0), 0);
    assert_int_equal(nmio_fault_stats(near_end)->lost, 1);
}

static void test_refused(void **state)
{
    const struct nmio_fault_config good = {0};
    struct nmio_fault_config faults = {.loss = 1.5};
    struct mem_arena *small;
    struct nmio_port *port;

    open_faults(&good, 0);
    assert_int_equal(nmio_fault_open(&port, far_end, arena, &faults), -EINVAL);
    faults.loss = __builtin_nan("");
    assert_int_equal(nmio_fault_open(&port, far_end, arena, &faults), -EINVAL);
    assert_int_equal(mem_arena_open(&small, 1, 0), 0);
    assert_int_equal(nmio_fault_open(&port, far_end, small, &good), -ENOMEM);
    mem_arena_close(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_duplicate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reorder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_corrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seed_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overrun, setup, teardown),
        cmocka_unit_test_setup_teardown(test_offloads_are_undone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rx_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

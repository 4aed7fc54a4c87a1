// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nmio/test_packet.h"

#define EPOCH_NS (1700000000 * NS_PER_S)
#define FILE_MAX (1u << 20)

static struct mem_arena *arena;
static struct nmio_port *near_end, *far_end; /* the capturing port, and the pipe's other end */
static uint8_t payload[60000];
static uint8_t file[FILE_MAX];
static char path[64];

static int setup(void **state)
{
    const struct nmio_pipe_config config = {
        .caps = {.mtu = 1500, .slices_max = 2, .gso_bytes = 65535, .tx_csum = true},
        .depth = 64,
    };
    struct nmio_port *ends[2];
    int fd;

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 13 + (i >> 8));
    snprintf(path, sizeof(path), "/tmp/nmio_pcap_test.XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mem_arena_open(&arena, 96 << 20, 0), 0);
    assert_int_equal(nmio_pipe_open(ends, arena, &config), 0);
    assert_int_equal(nmio_pcap_open(&near_end, ends[0], path, EPOCH_NS), 0);
    far_end = ends[1];
    return 0;
}

static int teardown(void **state)
{
    nmio_close(near_end);
    nmio_close(far_end);
    near_end = far_end = NULL;
    mem_arena_close(arena);
    unlink(path);
    return 0;
}

static size_t read_file(void)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(f);
    n = fread(file, 1, FILE_MAX, f);
    fclose(f);
    return n;
}

struct captured {
    const uint8_t *data;
    uint32_t len;
    uint32_t direction;
    uint64_t time_ns;
};

/* Walks the blocks of the file; checks all that the format demands. */
static size_t parse_file(struct captured *packets, size_t max)
{
    size_t bytes = read_file(), at = 0, count = 0;

    while (at < bytes) {
        const uint8_t *b = file + at;
        uint32_t type = get_le32(b), block = get_le32(b + 4);

        assert_true(block % 4 == 0 && block >= 12 && block <= bytes - at);
        assert_int_equal(get_le32(b + block - 4), block);
        if (at == 0) {
            assert_int_equal(type, 0x0a0d0d0a);
            assert_int_equal(get_le32(b + 8), 0x1a2b3c4d);
            assert_int_equal(get_le32(b + 12), 1);
        } else if (at == 28) {
            assert_int_equal(type, 1);
            assert_int_equal(get_le32(b + 8), 1);
            assert_memory_equal(b + 16, "\x09\0\1\0\x09\0\0\0\0\0\0\0", 12);
        } else {
            struct captured *p = &packets[count++];
            uint32_t padded;

            assert_true(count <= max);
            assert_int_equal(type, 6);
            p->time_ns = (uint64_t)get_le32(b + 12) << 32 | get_le32(b + 16);
            p->len = get_le32(b + 20);
            p->data = b + 28;
            padded = (p->len + 3) & ~3u;
            assert_int_equal(get_le32(b + 24), p->len);
            assert_int_equal(block, 44 + padded);
            assert_memory_equal(p->data + padded, "\2\0\4\0", 4);
            p->direction = get_le32(p->data + padded + 4);
        }
        at += block;
    }
    return count;
}

/* A GSO frame and a datagram, either way. */
static void exchange(bool ip6, uint64_t now_ns)
{
    struct nmio_port *ends[2] = {near_end, far_end};
    struct nmio_pkt pkts[4];

    for (int i = 0; i < 2; i++) {
        struct test_packet packet = {
            .ip6 = ip6,
            .protocol = IP_PROTO_TCP,
            .payload_bytes = 5000,
            .seq = 100,
            .flags = 0x19,
            .source_port = 1000,
            .target_port = 2000,
            .source = {10, 0, 0, 1},
            .target = {10, 0, 0, 2},
        };
        struct nmio_frame *frame = nmio_frame(ends[i]);

        test_frame(frame, &packet, payload, 1448);
        nmio_tx(ends[i], frame, now_ns);
        packet.protocol = IP_PROTO_UDP;
        packet.payload_bytes = 333;
        frame = nmio_frame(ends[i]);
        test_frame(frame, &packet, payload, 0);
        nmio_tx(ends[i], frame, now_ns);
        nmio_flush(ends[i], now_ns);
        nmio_reap(ends[i]);
        assert_int_equal(nmio_rx(ends[!i], pkts, 4, now_ns + 1), 2);
        assert_int_equal(pkts[0].gso_size, 1448);
        assert_int_equal(pkts[0].flags, NMIO_PKT_CSUM_OK);
        nmio_rx_done(ends[!i]);
    }
}

/* Asks an independent reader, where there is one, whether it finds every checksum good. */
static void check_with_tshark(size_t packet_count)
{
    char command[512], line[64];
    size_t good = 0, lines = 0;
    FILE *f;

    if (access("/usr/bin/tshark", X_OK) != 0)
        return;
    snprintf(command, sizeof(command),
             "/usr/bin/tshark -n -r %s -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE "
             "-o ip.check_checksum:TRUE -T fields -E separator=/s -e tcp.checksum.status "
             "-e udp.checksum.status 2>/dev/null",
             path);
    f = popen(command, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        lines++;
        good += atoi(line) == 1; /* 1: good */
    }
    assert_int_equal(pclose(f), 0);
    assert_int_equal(lines, packet_count);
    assert_int_equal(good, packet_count);
}

static void test_capture(void **state)
{
    struct captured packets[40];
    size_t count;

    exchange(false, 12345);
    exchange(true, NS_PER_S / 2);
    nmio_close(near_end);
    near_end = NULL;
    count = parse_file(packets, 40);
    assert_int_equal(count, 2 * 2 * (4 + 1));
    for (size_t i = 0; i < count; i++) {
        bool inbound = i % 10 >= 5;
        bool tcp = i % 5 < 4;
        uint32_t ip_bytes = i < 10 ? 20 : 40;

        assert_true(test_packet_valid(packets[i].data, packets[i].len));
        assert_int_equal(packets[i].direction, inbound ? 1 : 2);
        assert_true(packets[i].time_ns == EPOCH_NS + (i < 10 ? 12345 : NS_PER_S / 2) + inbound);
        if (tcp) {
            uint32_t transport = 14 + ip_bytes;

            assert_int_equal(get_be32(packets[i].data + transport + 4), 100 + i % 5 * 1448);
            assert_int_equal(packets[i].data[transport + 13], i % 5 == 3 ? 0x19 : 0x10);
        }
    }
    check_with_tshark(count);
}

static void test_written_once_a_second(void **state)
{
    struct captured packets[40];

    exchange(false, 0);
    assert_int_equal(parse_file(packets, 40), 0);
    assert_int_equal(nmio_next_ns(near_end), NS_PER_S);
    nmio_flush(near_end, NS_PER_S - 1);
    assert_int_equal(parse_file(packets, 40), 0);
    nmio_flush(near_end, NS_PER_S);
    assert_int_equal(parse_file(packets, 40), 10);
    assert_true(nmio_next_ns(near_end) == UINT64_MAX);
}

static void test_full_buffer(void **state)
{
    static struct captured packets[1000];

    for (int i = 0; i < 50; i++)
        exchange(i % 2, 0);
    nmio_close(near_end);
    near_end = NULL;
    assert_int_equal(parse_file(packets, 1000), 500);
    for (int i = 0; i < 500; i++)
        assert_true(test_packet_valid(packets[i].data, packets[i].len));
}

static void test_cannot_open(void **state)
{
    struct nmio_port *port;

    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(nmio_pcap_open(&port, near_end, "/dev/full", 0), -ENOSPC);
    assert_int_equal(nmio_pcap_open(&port, near_end, "/nowhere/at/all", 0), -ENOENT);
}

/* When the disk is full, what is missing is counted and packets go on. */
static void test_disk_full(void **state)
{
    const struct rlimit limit = {.rlim_cur = 5000, .rlim_max = RLIM_INFINITY};
    const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    exchange(false, 0);
    nmio_flush(near_end, NS_PER_S);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(nmio_stats(near_end)->drop_capture, 10);
    exchange(false, 2 * NS_PER_S);
    assert_int_equal(nmio_stats(near_end)->drop_capture, 20);
    assert_int_equal(read_file(), 5000);
}

static void test_private_file(void **state)
{
    struct nmio_port *port;
    struct stat st;

    unlink(path);
    assert_int_equal(nmio_pcap_open(&port, far_end, path, 0), 0);
    far_end = port;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(nmio_caps(port)->gso_bytes, 65535);
    assert_int_equal(nmio_fd(port), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_capture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_written_once_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_buffer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cannot_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_private_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

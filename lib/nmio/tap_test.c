// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nmio/test_packet.h"

#define EXIT_SKIPPED 77
#define HOST_ADDR    "10.9.8.1"
#define OUR_ADDR     "10.9.8.2"
#define OUR_PORT     4321
#define WAIT_MS      2000

static struct mem_arena *arena;
static const char *why;

static int setup(void **state)
{
    return mem_arena_open(&arena, 32 << 20, 0);
}

static int teardown(void **state)
{
    mem_arena_close(arena);
    return 0;
}

static struct nmio_port *open_tap(const char *spec, const struct nmio_config *config)
{
    struct nmio_port *port = NULL;
    int err = nmio_open(&port, spec, config, &why);

    if (err)
        fail_msg("%s: %s", spec, why);
    return port;
}

/* The host knows our Ethernet address without asking. */
static void add_neighbour(const char *device, const char *address, const uint8_t mac[6])
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct arpreq request = {.arp_flags = ATF_PERM | ATF_COM};
    struct sockaddr_in to = {.sin_family = AF_INET};

    inet_pton(AF_INET, address, &to.sin_addr);
    memcpy(&request.arp_pa, &to, sizeof(to));
    request.arp_ha.sa_family = ARPHRD_ETHER;
    memcpy(request.arp_ha.sa_data, mac, 6);
    strncpy(request.arp_dev, device, sizeof(request.arp_dev) - 1);
    assert_int_equal(ioctl(fd, SIOCSARP, &request), 0);
    close(fd);
}

static void host_mac(const char *device, uint8_t mac[6])
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {0};

    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    close(fd);
}

static int host_value(const char *device, unsigned long what)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {0};

    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    assert_int_equal(ioctl(fd, what, &request), 0);
    close(fd);
    return what == SIOCGIFFLAGS ? request.ifr_flags : request.ifr_ifru.ifru_ivalue;
}

/* The next packet of a protocol to our IPv4 address; valid until nmio_rx_done. */
static bool receive(struct nmio_port *port, uint8_t protocol, struct nmio_pkt *pkt)
{
    struct pollfd poll_fd = {.fd = nmio_fd(port), .events = POLLIN};

    for (;;) {
        if (!nmio_rx(port, pkt, 1, 0)) {
            if (poll(&poll_fd, 1, WAIT_MS) <= 0)
                return false;
            continue;
        }
        if (pkt->len > 34 && get_be16(pkt->data + 12) == ETH_TYPE_IP4 &&
            pkt->data[14 + IP4_PROTO_AT] == protocol)
            return true;
        nmio_rx_done(port);
    }
}

/* --- the host's side ------------------------------------------------------------------------ */

static bool host_has(const char *device, const char *text, unsigned prefix_len)
{
    struct ifaddrs *all, *a;
    bool found = false;

    assert_int_equal(getifaddrs(&all), 0);
    for (a = all; a; a = a->ifa_next) {
        bool ip6 = strchr(text, ':');
        uint8_t want[16], bits[16];
        size_t len = ip6 ? 16 : 4, at = ip6 ? 8 : 4;
        unsigned ones = 0;

        if (!a->ifa_addr || a->ifa_addr->sa_family != (ip6 ? AF_INET6 : AF_INET) ||
            strcmp(a->ifa_name, device))
            continue;
        inet_pton(a->ifa_addr->sa_family, text, want);
        memcpy(bits, (uint8_t *)a->ifa_netmask + at, len);
        for (size_t i = 0; i < len; i++)
            ones += (unsigned)__builtin_popcount(bits[i]);
        found |= !memcmp((uint8_t *)a->ifa_addr + at, want, len) && ones == prefix_len;
    }
    freeifaddrs(all);
    return found;
}

static void test_host_side(void **state)
{
    const struct nmio_config config = {
        .arena = arena, .mtu = 4000, .host_addr = HOST_ADDR "/24,2001:db8::1/64"};
    struct nmio_port *port = open_tap("tap:t0", &config);
    const struct nmio_caps *caps = nmio_caps(port);
    uint8_t host[6];

    assert_int_equal(host_value("t0", SIOCGIFMTU), 4000);
    assert_int_equal(host_value("t0", SIOCGIFTXQLEN), 10000);
    assert_true(host_value("t0", SIOCGIFFLAGS) & IFF_UP);
    assert_true(host_has("t0", HOST_ADDR, 24));
    assert_true(host_has("t0", "2001:db8::1", 64));
    host_mac("t0", host);
    assert_memory_not_equal(caps->mac, host, 6);
    assert_int_equal(caps->mac[0] & 3, 2);
    assert_int_equal(caps->mtu, 4000);
    assert_int_equal(caps->gso_bytes, 65535);
    assert_int_equal(caps->slices_max, NMIO_SLICES_MAX);
    assert_true(caps->tx_csum);
    assert_true(nmio_next_ns(port) == UINT64_MAX);
    nmio_close(port);
    assert_int_equal(if_nametoindex("t0"), 0);
}

static void test_host_left_alone(void **state)
{
    const struct nmio_config config = {.arena = arena, .mac = {2, 1, 2, 3, 4, 5}};
    struct nmio_port *port = open_tap("tap:t1", &config);

    assert_false(host_value("t1", SIOCGIFFLAGS) & IFF_UP);
    assert_int_equal(nmio_caps(port)->mtu, 1500);
    assert_memory_equal(nmio_caps(port)->mac, config.mac, 6);
    nmio_close(port);
}

/* A frame sent while the device is down is lost, counted and its chunks come back. */
static void test_device_down(void **state)
{
    const struct nmio_config config = {.arena = arena};
    struct nmio_port *port = open_tap("tap:t1", &config);
    struct mem_chunks chunks;
    struct nmio_frame *frame;

    assert_int_equal(mem_chunks_init(&chunks, arena, 4096, 1), 0);
    frame = nmio_frame(port);
    frame->header_len = 60;
    frame->slices[0].owner = mem_chunk_get(&chunks);
    frame->slices[0].data = frame->slices[0].owner->data;
    frame->slices[0].len = 40;
    frame->slice_count = 1;
    nmio_tx(port, frame, 0);
    nmio_flush(port, 0);
    assert_int_equal(chunks.in_use, 0);
    assert_int_equal(nmio_stats(port)->drop_tx_error, 1);
    assert_int_equal(nmio_stats(port)->tx_packets, 0);
    nmio_close(port);
}

static void send_datagram(struct nmio_port *port, const uint8_t mac[6], struct mem_chunk *chunk)
{
    struct test_packet packet = {
        .protocol = IP_PROTO_UDP, .payload_bytes = 4, .source_port = OUR_PORT, .target_port = 99};
    struct nmio_frame *frame = nmio_frame(port);

    inet_pton(AF_INET, OUR_ADDR, packet.source);
    inet_pton(AF_INET, HOST_ADDR, packet.target);
    test_frame(frame, &packet, chunk->data, 0);
    frame->slices[0].owner = chunk;
    memcpy(frame->header, mac, 6);
    nmio_tx(port, frame, 0);
}

static int listen_to_datagrams(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(99)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    return fd;
}

/* Frames are written together, in order: when there are some, and with flush. What is never flushed
 * is never written, and its memory comes back. */
static void test_frames_are_kept(void **state)
{
    const struct nmio_config config = {.arena = arena, .host_addr = HOST_ADDR "/24"};
    struct nmio_port *port = open_tap("tap:t0", &config);
    struct mem_chunks chunks;
    uint32_t sent, got = 0;
    uint8_t mac[6];
    int fd = listen_to_datagrams();

    assert_int_equal(mem_chunks_init(&chunks, arena, 4096, 64), 0);
    host_mac("t0", mac);
    for (sent = 0; sent < 64 && nmio_stats(port)->tx_packets == 0; sent++) {
        struct mem_chunk *chunk = mem_chunk_get(&chunks);

        put_be32(chunk->data, sent);
        send_datagram(port, mac, chunk);
    }
    assert_in_range(sent, 2, 63);
    assert_int_equal(nmio_stats(port)->tx_packets, sent);
    assert_int_equal(chunks.in_use, 0);
    for (uint32_t i = 0; i < 3; i++, sent++) {
        struct mem_chunk *chunk = mem_chunk_get(&chunks);

        put_be32(chunk->data, sent);
        send_datagram(port, mac, chunk);
    }
    assert_int_equal(chunks.in_use, 3);
    nmio_flush(port, 0);
    nmio_flush(port, 0);
    assert_int_equal(nmio_stats(port)->tx_packets, sent);
    assert_int_equal(chunks.in_use, 0);
    for (uint8_t text[4]; recv(fd, text, 4, MSG_DONTWAIT) == 4; got++)
        assert_int_equal(get_be32(text), got);
    assert_int_equal(got, sent);
    send_datagram(port, mac, mem_chunk_get(&chunks));
    nmio_close(port);
    assert_int_equal(chunks.in_use, 0);
    close(fd);
}

/* --- a kernel TCP connection, our side of it by hand ---------------------------------------- */

struct peer {
    struct nmio_port *port;
    uint8_t host_mac[6];
    uint16_t host_port;
    uint32_t snd_nxt;
    uint32_t rcv_nxt;
};

static void send_segment(struct peer *peer, uint8_t flags, const uint8_t *data, uint32_t bytes,
                         uint16_t gso_size)
{
    struct test_packet packet = {
        .protocol = IP_PROTO_TCP,
        .flags = flags,
        .seq = peer->snd_nxt,
        .payload_bytes = bytes,
        .source_port = OUR_PORT,
        .target_port = peer->host_port,
    };
    struct nmio_frame *frame = nmio_frame(peer->port);

    inet_pton(AF_INET, OUR_ADDR, packet.source);
    inet_pton(AF_INET, HOST_ADDR, packet.target);
    test_frame(frame, &packet, data, gso_size);
    memcpy(frame->header, peer->host_mac, 6);
    memcpy(frame->header + 6, nmio_caps(peer->port)->mac, 6);
    put_be32(frame->header + 34 + 8, peer->rcv_nxt);
    nmio_tx(peer->port, frame, 0);
    nmio_flush(peer->port, 0);
    nmio_reap(peer->port);
    peer->snd_nxt += bytes + !!(flags & 0x03);
}

/* The kernel connects, we answer: the SYN-ACK's partial checksum is the first thing under test. */
static int connect_to_us(struct peer *peer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(OUR_PORT)};
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    struct nmio_pkt pkt;
    int err;
    socklen_t len = sizeof(err);

    inet_pton(AF_INET, OUR_ADDR, &to.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
    assert_int_equal(errno, EINPROGRESS);
    assert_true(receive(peer->port, IP_PROTO_TCP, &pkt));
    assert_true(pkt.flags & NMIO_PKT_CSUM_OK);
    peer->host_port = get_be16(pkt.data + 34);
    peer->rcv_nxt = get_be32(pkt.data + 38) + 1;
    nmio_rx_done(peer->port);
    send_segment(peer, 0x12, NULL, 0, 0);
    assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    assert_int_equal(err, 0);
    return fd;
}

static void expect_from_host(struct peer *peer, const uint8_t *data, uint32_t bytes)
{
    const uint32_t start = peer->rcv_nxt;
    bool saw_gso = false;

    while (peer->rcv_nxt - start < bytes) {
        struct nmio_pkt pkt;
        uint32_t header, at;

        assert_true(receive(peer->port, IP_PROTO_TCP, &pkt));
        header = 34 + (pkt.data[34 + TCP_DATA_OFFSET_AT] >> 4) * 4u;
        at = get_be32(pkt.data + 38) - start;
        assert_true(pkt.flags & NMIO_PKT_CSUM_OK);
        assert_true(pkt.len <= 1514 || pkt.gso_size > 0);
        assert_true(pkt.gso_size <= 1460);
        saw_gso |= pkt.len > 1514;
        if (at == peer->rcv_nxt - start) {
            assert_true(at + pkt.len - header <= bytes);
            assert_memory_equal(pkt.data + header, data + at, pkt.len - header);
            peer->rcv_nxt += pkt.len - header;
        }
        nmio_rx_done(peer->port);
        send_segment(peer, 0x10, NULL, 0, 0);
    }
    assert_true(saw_gso);
}

static void expect_at_host(int fd, const uint8_t *data, uint32_t bytes)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint32_t got = 0;

    while (got < bytes) {
        uint8_t buffer[4096];
        ssize_t n;

        assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
        n = recv(fd, buffer, sizeof(buffer), 0);
        assert_true(n > 0 && got + (uint32_t)n <= bytes);
        assert_memory_equal(buffer, data + got, n);
        got += (uint32_t)n;
    }
}

static void test_tcp_both_ways(void **state)
{
    static uint8_t data[65535 - 40];
    const struct nmio_config config = {.arena = arena, .host_addr = HOST_ADDR "/24"};
    struct peer peer = {.port = open_tap("tap:t0", &config), .snd_nxt = 0xfffff000};
    int fd;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 29 + (i >> 8));
    host_mac("t0", peer.host_mac);
    add_neighbour("t0", OUR_ADDR, nmio_caps(peer.port)->mac);
    fd = connect_to_us(&peer);
    assert_int_equal(send(fd, data, 40000, 0), 40000);
    expect_from_host(&peer, data, 40000);
    /* The window of a new connection is 64 KB: two halves. */
    send_segment(&peer, 0x18, data, 30000, 1460);
    expect_at_host(fd, data, 30000);
    send_segment(&peer, 0x18, data, 1000, 0);
    expect_at_host(fd, data, 1000);
    assert_int_equal(nmio_stats(peer.port)->drop_tx_error, 0);
    assert_int_equal(nmio_stats(peer.port)->drop_rx_malformed, 0);
    /* The largest frame that the caps promise is taken. */
    send_segment(&peer, 0x10, data, sizeof(data), 1460);
    assert_int_equal(nmio_stats(peer.port)->drop_tx_error, 0);
    close(fd);
    nmio_close(peer.port);
}

/* A checksum that is complete is checked by the kernel: a wrong one is lost, a right one is not. */
static void test_udp_checksum(void **state)
{
    const struct nmio_config config = {.arena = arena, .host_addr = HOST_ADDR "/24"};
    struct nmio_port *port = open_tap("tap:t0", &config);
    struct test_packet packet = {
        .protocol = IP_PROTO_UDP, .payload_bytes = 4, .source_port = 5, .target_port = 99};
    int fd = listen_to_datagrams();
    static const char *const texts[] = {"bad!", "full", "part"};
    uint8_t mac[6];

    host_mac("t0", mac);
    add_neighbour("t0", OUR_ADDR, nmio_caps(port)->mac);
    inet_pton(AF_INET, OUR_ADDR, packet.source);
    inet_pton(AF_INET, HOST_ADDR, packet.target);
    for (int i = 0; i < 3; i++) {
        struct nmio_frame *frame = nmio_frame(port);
        uint8_t *udp = frame->header + 34;

        test_frame(frame, &packet, (const uint8_t *)texts[i], 0);
        memcpy(frame->header, mac, 6);
        memcpy(udp + 8, texts[i], 4);
        frame->header_len += 4;
        frame->slice_count = 0;
        if (i < 2) {
            put_be16(udp + UDP_CSUM_AT, (uint16_t)(~test_sum(0, udp, 12) ^ (i == 0)));
            frame->csum_start = 0;
        }
        nmio_tx(port, frame, 0);
    }
    nmio_flush(port, 0);
    expect_at_host(fd, (const uint8_t *)"full", 4);
    expect_at_host(fd, (const uint8_t *)"part", 4);
    close(fd);
    nmio_close(port);
}

/* A fault port on the TAP makes of the kernel's GSO frame packets with whole checksums. */
static void test_fault_on_tap(void **state)
{
    static uint8_t data[5000]; /* what the initial window lets out in one GSO frame */
    const struct nmio_config config = {.arena = arena, .host_addr = HOST_ADDR "/24"};
    struct peer peer = {.port = open_tap("tap:t0", &config)};
    struct nmio_fault_config no_faults = {0};
    struct nmio_port *faulty;
    uint32_t received = 0;
    int fd;

    host_mac("t0", peer.host_mac);
    add_neighbour("t0", OUR_ADDR, nmio_caps(peer.port)->mac);
    fd = connect_to_us(&peer);
    assert_int_equal(nmio_fault_open(&faulty, peer.port, arena, &no_faults), 0);
    assert_int_equal(nmio_fd(faulty), nmio_fd(peer.port));
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    while (received < sizeof(data)) {
        struct nmio_pkt pkt;

        assert_true(receive(faulty, IP_PROTO_TCP, &pkt));
        assert_true(pkt.len <= 1514);
        assert_int_equal(pkt.gso_size, 0);
        assert_true(test_packet_valid(pkt.data, pkt.len));
        received += pkt.len - 34 - (pkt.data[34 + TCP_DATA_OFFSET_AT] >> 4) * 4u;
        nmio_rx_done(faulty);
    }
    assert_true(nmio_stats(faulty)->rx_packets > nmio_stats(peer.port)->rx_packets);
    close(fd);
    nmio_close(faulty);
}

static void let_host_forward(void)
{
    int fd = open("/proc/sys/net/ipv4/ip_forward", O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "1", 1), 1);
    close(fd);
}

/* Forwarded to a device that neither segments nor sums, our frames must have become what a wire
 * carries: here the kernel does the work that on other ways it leaves out. */
static void test_offloads_on_the_wire(void **state)
{
    static uint8_t data[30000];
    const struct nmio_config config = {.arena = arena, .host_addr = HOST_ADDR "/24"};
    const struct nmio_config beyond = {.arena = arena, .host_addr = "10.9.7.1/24"};
    struct nmio_port *port = open_tap("tap:t0", &config), *wire = open_tap("tap:t2", &beyond);
    struct test_packet packet = {
        .protocol = IP_PROTO_TCP, .flags = 0x18, .seq = 77, .payload_bytes = sizeof(data)};
    struct nmio_pkt pkt;
    uint8_t mac[6];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 29 + (i >> 8));
    let_host_forward();
    host_mac("t0", mac);
    add_neighbour("t2", "10.9.7.2", nmio_caps(wire)->mac);
    assert_int_equal(ioctl(nmio_fd(wire), TUNSETOFFLOAD, 0ul), 0);
    inet_pton(AF_INET, OUR_ADDR, packet.source);
    inet_pton(AF_INET, "10.9.7.2", packet.target);
    for (int i = 0; i < 2; i++) {
        struct nmio_frame *frame = nmio_frame(port);

        test_frame(frame, &packet, data, i ? 0 : 1400);
        memcpy(frame->header, mac, 6);
        nmio_tx(port, frame, 0);
        packet.protocol = IP_PROTO_UDP;
        packet.payload_bytes = 1000;
    }
    nmio_flush(port, 0);
    for (uint32_t at = 0; at < sizeof(data); nmio_rx_done(wire)) {
        assert_true(receive(wire, IP_PROTO_TCP, &pkt));
        assert_int_equal(pkt.flags, 0);
        assert_true(pkt.len <= 54 + 1400);
        assert_true(test_packet_valid(pkt.data, pkt.len));
        assert_int_equal(get_be32(pkt.data + 38), 77 + at);
        assert_memory_equal(pkt.data + 54, data + at, pkt.len - 54);
        at += pkt.len - 54;
    }
    assert_true(receive(wire, IP_PROTO_UDP, &pkt));
    assert_int_equal(pkt.len, 1042);
    assert_true(test_packet_valid(pkt.data, pkt.len));
    nmio_close(port);
    nmio_close(wire);
}

/* --- queues and errors ---------------------------------------------------------------------- */

static void test_queues(void **state)
{
    const struct nmio_config first = {
        .arena = arena, .queue = 0, .queue_count = 2, .host_addr = HOST_ADDR "/24"};
    const struct nmio_config second = {
        .arena = arena, .queue = 1, .queue_count = 2, .host_addr = HOST_ADDR "/24"};
    struct nmio_port *a = open_tap("tap:t0", &first), *b = open_tap("tap:t0", &second);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t in_a = 0, in_b = 0, n;

    assert_memory_equal(nmio_caps(a)->mac, nmio_caps(b)->mac, 6);
    add_neighbour("t0", OUR_ADDR, nmio_caps(a)->mac);
    inet_pton(AF_INET, OUR_ADDR, &to.sin_addr);
    for (int i = 0; i < 64; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
        close(fd);
    }
    while ((n = nmio_rx(a, pkts, NMIO_BATCH, 0)))
        in_a += n;
    while ((n = nmio_rx(b, pkts, NMIO_BATCH, 0)))
        in_b += n;
    assert_true(in_a > 0 && in_b > 0);
    assert_true(in_a + in_b >= 64);
    nmio_close(a);
    nmio_close(b);
}

static int try_open(const char *spec, const struct nmio_config *config)
{
    struct nmio_port *port;
    int err = nmio_open(&port, spec, config, &why);

    if (!err)
        nmio_close(port);
    return err;
}

static void test_busy(void **state)
{
    const struct nmio_config one = {.arena = arena};
    const struct nmio_config two = {.arena = arena, .queue_count = 2};
    struct nmio_port *port = open_tap("tap:t0", &one);

    assert_int_equal(try_open("tap:t0", &one), -EBUSY);
    assert_non_null(strstr(why, "t0 is in use"));
    assert_int_equal(try_open("tap:t0", &two), -EINVAL);
    assert_non_null(strstr(why, "multi_queue"));
    nmio_close(port);
    assert_int_equal(try_open("tap:lo", &one), -EINVAL);
    assert_non_null(strstr(why, "lo exists"));
}

static void test_bad_configurations(void **state)
{
    struct nmio_config config = {.arena = arena, .host_addr = "10.9.8.1"};

    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    assert_non_null(strstr(why, "10.9.8.1 is not an address"));
    config.host_addr = "10.9.8.1/33";
    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    config.host_addr = "10.9.8.1/24,";
    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    config.host_addr = "2001:db8::1/129";
    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    config.host_addr = NULL;
    config.mtu = 67;
    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    config.mtu = 70000;
    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    config.mtu = 0;
    config.mac[0] = 3;
    assert_int_equal(try_open("tap:t0", &config), -EINVAL);
    assert_non_null(strstr(why, "multicast"));
    config.mac[0] = 0;
    assert_int_equal(mem_arena_open(&config.arena, 1, 0), 0);
    assert_int_equal(try_open("tap:t0", &config), -ENOMEM);
    assert_non_null(strstr(why, "arena"));
    mem_arena_close(config.arena);
}

/* What an operator made, several queues and all, is used as it is and outlives us. */
static void test_existing_device(void **state)
{
    const struct nmio_config config = {.arena = arena};
    int fd = open("/dev/net/tun", O_RDWR);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE};
    uint8_t mac[6];

    strcpy(request.ifr_name, "t9");
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
    close(fd);
    for (int i = 0; i < 2; i++) {
        struct nmio_port *port = open_tap("tap:t9", &config);

        /* The same address at every start. */
        if (i)
            assert_memory_equal(nmio_caps(port)->mac, mac, 6);
        memcpy(mac, nmio_caps(port)->mac, 6);
        nmio_close(port);
    }
    assert_int_not_equal(if_nametoindex("t9"), 0);
    fd = open("/dev/net/tun", O_RDWR);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
    close(fd);
}

/* Someone without rights is told what to do. */
static void test_not_root(void **state)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        const struct nmio_config config = {.arena = arena};
        struct nmio_port *port;

        if (setgid(65534) || setuid(65534))
            _exit(1);
        if (nmio_open(&port, "tap:t0", &config, &why) >= 0)
            _exit(2);
        _exit(strstr(why, "root") ? 0 : 3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* The tests' traffic stays in a network namespace of their own. */
static const char *enter_namespace(void)
{
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
        return "needs /dev/net/tun";
    if (unshare(CLONE_NEWNET) != 0)
        return "needs root for a network namespace of its own";
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_host_side, setup, teardown),
        cmocka_unit_test_setup_teardown(test_host_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frames_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tcp_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_udp_checksum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fault_on_tap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_offloads_on_the_wire, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_configurations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_existing_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_root, setup, teardown),
    };
    const char *missing = enter_namespace();

    if (missing) {
        printf("skipped: %s\n", missing);
        return EXIT_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

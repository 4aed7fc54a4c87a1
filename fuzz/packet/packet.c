// SPDX-License-Identifier: BSD-2-Clause
/*
 * Frames from a hostile link into eth and ip, in a small fixed world with virtual time.
 *
 * The input is a list of steps. A step is one byte that says what happens, and its arguments:
 *
 *     frame    2 bytes of length, and the frame; with SEAL its IP and ICMP checksums are made right
 *     relayed  the same, from another worker
 *     wait     1 byte: quarters of a second
 *     send     1 byte: the host part of an address on the link, or of a stranger's; both families
 *
 * If the first byte is WORLD_MARK, the second says how the world is set up: bit 0 a VLAN, bit 1
 * routers are taken from their advertisements, bit 2 there is room for many neighbours.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "ip/ip.h"

#define WORLD_BYTES (8u << 20)
#define FRAME_BYTES 2048
#define MTU         1500

enum step { STEP_FRAME, STEP_RELAYED, STEP_WAIT, STEP_SEND, STEP_COUNT };
#define SEAL 0x80

struct world {
    struct mem_arena *arena;
    struct nmio_port *ends[2];
    struct eth *eth;
    struct ip *ip;
    uint64_t now_ns;
    uint64_t handed_on; /* frames to ip, */
    uint64_t delivered; /* and datagrams to transports */
};

/* 2001:db8::1 */
static const struct ip_addr us6 = {{0x20, 1, 0x0d, 0xb8, [15] = 1}};

struct input {
    const uint8_t *data;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VLAN          7
#define WORLD_TAGGED  1
#define WORLD_ROUTERS 2
#define WORLD_ROOMY   4
#define WORLD_MARK    0x7c

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

/* What is passed on is what other workers can take. */
static void relayed(void *arg, const uint8_t *frame, uint32_t len)
{
    demand(len >= ETH_HEADER_BYTES && len <= ETH_RELAY_MAX);
    demand(get_be16(frame + 12) == 0x0806 || get_be16(frame + 12) == ETH_TYPE_IP6);
}

static void world_open(struct world *w, uint8_t setup)
{
    static const struct nmio_pipe_config pipe = {
        .caps = {.mtu = MTU, .slices_max = 1, .mac = {2, 0, 0, 0, 0, 0x10}}, .depth = 16};
    const struct ip_addr gateway = ip_addr_v4("\300\0\2\376");
    const struct ip_addr addrs[] = {ip_addr_v4("\300\0\2\1"), us6};
    const struct ip_prefix prefixes[] = {{addrs[0], 24}, {us6, 64}};
    const uint8_t bits[] = {24, 64};
    struct eth_config eth = {.addrs = addrs,
                             .addr_count = 2,
                             .prefix_bits = bits,
                             .neigh_max = setup & WORLD_ROOMY ? 64 : 4,
                             .vlan = setup & WORLD_TAGGED ? VLAN : 0,
                             .take_routers = setup & WORLD_ROUTERS,
                             .on_arp = relayed,
                             .on_arp_arg = w};
    struct ip_config ip = {.prefixes = prefixes, .prefix_count = 2, .gateway = &gateway};

    *w = (struct world){.now_ns = NS_PER_S};
    demand(mem_arena_open(&w->arena, WORLD_BYTES, 0) == 0);
    demand(nmio_pipe_open(w->ends, w->arena, &pipe) == 0);
    eth.arena = ip.arena = w->arena;
    eth.port = w->ends[0];
    demand(eth_open(&w->eth, &eth, w->now_ns) == 0);
    ip.eth = w->eth;
    demand(ip_open(&w->ip, &ip, w->now_ns) == 0);
}

static void seal4(uint8_t *ip, uint32_t len)
{
    uint32_t header_len, total;
    uint16_t sum;

    if (len < IP4_HEADER_BYTES)
        return;
    header_len = (ip[0] & 15) * 4u;
    total = get_be16(ip + 2);
    if (header_len < IP4_HEADER_BYTES || header_len > total || total > len)
        return;
    memset(ip + 10, 0, 2);
    sum = (uint16_t)~ip_sum_fold(ip_sum(0, ip, header_len));
    memcpy(ip + 10, &sum, 2);
    if (ip[9] != IP_PROTO_ICMP || total < header_len + 4)
        return;
    memset(ip + header_len + 2, 0, 2);
    sum = (uint16_t)~ip_sum_fold(ip_sum(0, ip + header_len, total - header_len));
    memcpy(ip + header_len + 2, &sum, 2);
}

/* Over extension headers that are like options, as far as they go. */
static void seal6(uint8_t *ip, uint32_t len)
{
    uint32_t at = IP6_HEADER_BYTES, end;
    struct ip_addr src, dst;
    uint8_t next;
    uint16_t sum;

    if (len < IP6_HEADER_BYTES)
        return;
    next = ip[6];
    end = min_u32(len, IP6_HEADER_BYTES + get_be16(ip + 4));
    while (next != IP_PROTO_ICMP6 && (next == 0 || next == 60) && at + 8 <= end) {
        next = ip[at];
        at += (ip[at + 1] + 1u) * 8;
    }
    if (next != IP_PROTO_ICMP6 || at + 4 > end)
        return;
    memcpy(src.b, ip + 8, 16);
    memcpy(dst.b, ip + 24, 16);
    memset(ip + at + 2, 0, 2);
    sum = (uint16_t)~ip_sum_fold(
        ip_sum(ip_sum_pseudo(&src, &dst, IP_PROTO_ICMP6, end - at), ip + at, end - at));
    memcpy(ip + at + 2, &sum, 2);
}

static void seal(uint8_t *frame, uint32_t len)
{
    uint32_t header = len > 18 && get_be16(frame + 12) == 0x8100 ? 18 : ETH_HEADER_BYTES;

    if (len < header + 1)
        return;
    if (frame[header] >> 4 == 6)
        seal6(frame + header, len - header);
    else
        seal4(frame + header, len - header);
}

static void arrives(struct world *w, uint8_t *frame, uint32_t len)
{
    struct nmio_pkt pkt = {.data = frame, .len = len};
    struct ip_dgram dgram;
    struct ip_error error;

    if (eth_input(w->eth, &pkt, w->now_ns) == ETH_DONE)
        return;
    w->handed_on++;
    switch (ip_input(w->ip, &pkt, &dgram, &error, w->now_ns)) {
    case IP_TCP:
    case IP_UDP:
        w->delivered++;
        demand(dgram.payload + dgram.len <= frame + len);
        ip_unreachable(w->ip, &dgram, 3, w->now_ns);
        break;
    case IP_ERROR:
        demand(error.len >= 8 && error.payload + error.len <= frame + len);
        break;
    case IP_DONE:
        break;
    }
}

static void step_frame(struct world *w, struct input *in, uint8_t step)
{
    uint32_t len = take(in, 2) % (FRAME_BYTES + 1);
    uint8_t *frame;

    len = (uint32_t)min_u64(len, in->left);
    frame = malloc(len + !len); /* its exact size, so that a step too far is seen */
    demand(frame);
    memcpy(frame, in->data, len);
    in->data += len;
    in->left -= len;
    if (step & SEAL)
        seal(frame, len);
    if ((step & ~SEAL) % STEP_COUNT == STEP_RELAYED)
        eth_input_relayed(w->eth, frame, len, w->now_ns);
    else
        arrives(w, frame, len);
    free(frame);
}

static void step_wait(struct world *w, struct input *in)
{
    uint64_t until_ns = w->now_ns + take(in, 1) * (NS_PER_S / 4);

    while (eth_next_ns(w->eth) <= until_ns) {
        w->now_ns = max_u64(w->now_ns, eth_next_ns(w->eth));
        eth_timers(w->eth, w->now_ns);
    }
    w->now_ns = until_ns;
}

static void send_one(struct world *w, struct ip_flow *flow, bool confirm)
{
    struct nmio_frame *frame;

    if (ip_flow_open(w->ip, flow, w->now_ns) != 0)
        return;
    frame = ip_frame(w->ip, flow, IP_PROTO_UDP, 0);
    demand(frame);
    frame->slices[0] = (struct nmio_slice){.data = (const uint8_t *)"datagram", .len = 8};
    frame->slice_count = 1;
    ip_send(w->ip, flow, frame, w->now_ns);
    if (confirm)
        ip_flow_confirm(flow, w->now_ns);
    ip_flow_close(w->ip, flow);
}

static void step_send(struct world *w, struct input *in)
{
    uint8_t host = (uint8_t)take(in, 1);
    uint8_t remote[4] = {host & 1 ? 198 : 192, 0, 2, host};
    struct ip_flow flow = {.local = ip_addr_v4("\300\0\2\1"), .remote = ip_addr_v4(remote)};
    struct ip_flow flow6 = {.local = us6, .remote = us6};

    flow6.remote.b[4] = host & 1 ? 0xff : 0;
    flow6.remote.b[15] = host;
    send_one(w, &flow, host & 2);
    send_one(w, &flow6, host & 2);
}

static bool is_group6(const uint8_t *mac)
{
    return mac[0] == 0x33 && mac[1] == 0x33;
}

/* Whatever we were told, only questions and announcements go to everybody; of IPv6, only what
 * belongs to the link goes to a group, and every length is right. `p`: where an untagged header
 * would begin. */
static void check_frame(const uint8_t *dst, const uint8_t *p, uint32_t len)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (get_be16(p + 12) == ETH_TYPE_IP4) {
        demand(!(dst[0] & 1) && p[30] < 224 && get_be16(p + 16) == len - 14);
    } else if (get_be16(p + 12) == ETH_TYPE_IP6) {
        demand(len >= 54 && get_be16(p + 18) == len - 54 && p[14] >> 4 == 6);
        demand(!(dst[0] & 1) ? p[38] != 0xff : is_group6(dst) && p[38] == 0xff && p[39] == 2);
        demand(!(dst[0] & 1) || p[21] == 255 || (p[21] == 1 && p[20] == 0)); /* NDP, MLD */
    } else {
        demand(!(dst[0] & 1) || (memcmp(dst, broadcast, 6) == 0 && p[21] == 1));
    }
}

static void check_sent(struct world *w)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t count = nmio_rx(w->ends[1], pkts, NMIO_BATCH, w->now_ns);

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *p = pkts[i].data;
        uint32_t len = pkts[i].len;

        demand(len >= ETH_HEADER_BYTES + IP4_HEADER_BYTES && len <= MTU + eth_header_bytes(w->eth));
        if (eth_header_bytes(w->eth) > ETH_HEADER_BYTES) {
            demand(get_be16(p + 12) == 0x8100 && get_be16(p + 14) == VLAN);
            p += 4; /* the addresses are looked at where they lie */
            len -= 4;
        }
        check_frame(pkts[i].data, p, len);
    }
    nmio_rx_done(w->ends[1]);
}

/* Everything that came in is accounted for exactly once. */
static void check_counters(const struct world *w)
{
    const struct eth_stats *e = eth_stats(w->eth);
    const struct ip_stats *s = ip_stats(w->ip);

    demand(e->rx_frames == w->handed_on + e->arp_requests_in + e->arp_replies_in +
                               e->arp_conflicts + e->arp_others_in + e->drop_short +
                               e->drop_not_ours + e->drop_source + e->drop_type + e->drop_vlan +
                               e->drop_arp_malformed + e->drop_arp_unasked);
    demand(s->rx_packets ==
           w->delivered + s->icmp_echo_in + s->icmp_errors_in + s->icmp_ignored + s->icmp_link_in +
               s->drop_short + s->drop_version + s->drop_checksum + s->drop_fragment +
               s->drop_not_ours + s->drop_source + s->drop_options + s->drop_extension +
               s->drop_jumbo + s->drop_udp_no_checksum + s->drop_proto + s->drop_icmp_checksum +
               s->drop_icmp_malformed + s->drop_icmp_stray + s->drop_icmp_big);
    demand(s->icmp_link_in == e->ndp_solicits_in + e->ndp_adverts_in + e->ndp_conflicts +
                                  e->ndp_others_in + e->ndp_routers_in + e->ndp_routers_ignored +
                                  e->mld_queries_in + e->drop_ndp_malformed + e->drop_ndp_unasked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t setup = 0;
    struct world w;

    if (size >= 2 && data[0] == WORLD_MARK) {
        setup = data[1];
        in = (struct input){data + 2, size - 2};
    }
    world_open(&w, setup);
    while (in.left > 0) {
        uint8_t step = (uint8_t)take(&in, 1);

        switch ((step & ~SEAL) % STEP_COUNT) {
        case STEP_FRAME:
        case STEP_RELAYED:
            step_frame(&w, &in, step);
            break;
        case STEP_WAIT:
            step_wait(&w, &in);
            break;
        case STEP_SEND:
            step_send(&w, &in);
            break;
        }
        check_sent(&w);
    }
    check_counters(&w);
    ip_close(w.ip);
    eth_close(w.eth);
    nmio_close(w.ends[0]);
    nmio_close(w.ends[1]);
    mem_arena_close(w.arena);
    return 0;
}

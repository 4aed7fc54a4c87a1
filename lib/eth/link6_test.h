// SPDX-License-Identifier: BSD-2-Clause
/*
 * link6_test.h - the world of link_test.h with IPv6: messages are handed to us as ip does, and what
 * we send is checked to the last byte.
 */
#ifndef ETH_LINK6_TEST_H
#define ETH_LINK6_TEST_H

#include "eth/link_test.h"

static const uint8_t router_mac[6] = {2, 0, 0, 0, 0, 0xbb};
static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 0xcc};
/* 2001:db8::1/64, the link-local address of our_mac, and who else there is */
static const struct ip_addr us6 = {{0x20, 1, 0x0d, 0xb8, [15] = 1}};
static const struct ip_addr us_local = {{0xfe, 0x80, [11] = 0xff, 0xfe, 0, 0, 0x10}};
static const struct ip_addr peer6 = {{0x20, 1, 0x0d, 0xb8, [15] = 2}};
static const struct ip_addr other6 = {{0x20, 1, 0x0d, 0xb8, [15] = 3}};
static const struct ip_addr stranger6 = {{0x20, 1, 0x0d, 0xb8, 0xff, 0xff, [15] = 1}};
static const struct ip_addr router_local = {{0xfe, 0x80, [15] = 0xbb}};
static const struct ip_addr other_local = {{0xfe, 0x80, [15] = 0xcc}};
static const struct ip_addr us6_group = {{0xff, 2, [11] = 1, 0xff, 0, 0, 1}};
static const struct ip_addr peer6_group = {{0xff, 2, [11] = 1, 0xff, 0, 0, 2}};
static const struct ip_addr local_group = {{0xff, 2, [11] = 1, 0xff, 0, 0, 0x10}};
static const struct ip_addr all_mld2 = {{0xff, 2, [15] = 0x16}};

/* With IPv4 addresses, too, and as it is at time 0: nothing has been sent yet. */
static inline void world6_start(struct world *w, bool take_routers)
{
    struct nmio_pipe_config pipe = {
        .caps = {.mtu = MTU, .tx_csum = true, .slices_max = NMIO_SLICES_MAX},
        .depth = NMIO_BATCH,
    };
    struct ip_addr addrs[] = {ip_addr_v4(us), us6};
    uint8_t bits[] = {24, 64};
    struct eth_config config = {.addrs = addrs,
                                .addr_count = 2,
                                .prefix_bits = bits,
                                .take_routers = take_routers,
                                .neigh_max = 16,
                                .hash_key = {1, 2},
                                .on_arp = shown,
                                .on_arp_arg = w};

    *w = (struct world){.now_ns = 1000 * S};
    memcpy(pipe.caps.mac, our_mac, 6);
    assert_int_equal(mem_arena_open(&w->arena, 8u << 20, 0), 0);
    assert_int_equal(nmio_pipe_open(w->ends, w->arena, &pipe), 0);
    config.arena = w->arena;
    config.port = w->ends[0];
    assert_int_equal(eth_open(&w->eth, &config, w->now_ns), 0);
}

/* The start is over: addresses are ours, everything has been announced. */
static inline void world6_open(struct world *w, bool take_routers)
{
    world6_start(w, take_routers);
    wait_for(w, 20 * S);
    while (link_hears(w))
        ;
}

/* --- what the link does --------------------------------------------------------------------- */

static inline void hand(struct world *w, const struct ip_addr *src, const struct ip_addr *dst,
                        const void *message, uint32_t len, uint8_t hop_limit)
{
    uint8_t *exact = malloc(len + !len); /* so that a sanitizer sees a step too far */
    struct eth_icmp6 in = {.src = *src,
                           .dst = *dst,
                           .message = exact,
                           .len = len,
                           .hop_limit = hop_limit,
                           .router_alert = true};

    memcpy(exact, message, len);
    eth_icmp6_input(w->eth, &in, w->now_ns);
    free(exact);
}

#define NEIGHBOR_BYTES 32

static inline uint32_t make_neighbor(uint8_t *message, uint8_t type, uint8_t flags,
                                     const struct ip_addr *target, const uint8_t *mac)
{
    memset(message, 0, NEIGHBOR_BYTES);
    message[0] = type;
    message[4] = flags;
    memcpy(message + 8, target->b, 16);
    if (!mac)
        return 24;
    message[24] = type == ICMP6_NEIGHBOR_SOLICIT ? 1 : 2;
    message[25] = 1;
    memcpy(message + 26, mac, 6);
    return 32;
}

static inline void link_solicits(struct world *w, const uint8_t *mac, const struct ip_addr *src,
                                 const struct ip_addr *target)
{
    struct ip_addr group = icmp6_solicited_group(target);
    uint8_t message[NEIGHBOR_BYTES];
    uint32_t len = make_neighbor(message, ICMP6_NEIGHBOR_SOLICIT, 0, target, mac);

    hand(w, src, &group, message, len, 255);
}

static inline void link_advertises(struct world *w, const uint8_t *mac,
                                   const struct ip_addr *target, const struct ip_addr *dst,
                                   uint8_t flags)
{
    uint8_t message[NEIGHBOR_BYTES];
    uint32_t len = make_neighbor(message, ICMP6_NEIGHBOR_ADVERT, flags, target, mac);

    hand(w, target, dst, message, len, 255);
}

/* As an answer is. */
static inline void link_answers6(struct world *w, const uint8_t *mac, const struct ip_addr *target)
{
    link_advertises(w, mac, target, &us6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
}

/* To everybody, from a station that has just come up. */
static inline void link_announces(struct world *w, const uint8_t *mac, const struct ip_addr *target)
{
    link_advertises(w, mac, target, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
}

/* --- what we must do ------------------------------------------------------------------------ */

/* The Internet checksum, one word after the other. */
static inline bool icmp6_holds(const uint8_t *ip, uint32_t at, uint32_t end)
{
    uint32_t sum = IP6_NEXT_ICMP + end - at;

    for (uint32_t i = 8; i < 40; i += 2)
        sum += get_be16(ip + i);
    for (uint32_t i = at; i < end; i += 2)
        sum += get_be16(ip + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

/* The IPv6 packet of the next frame, whose ICMPv6 message begins at `at` and is returned. */
static inline const uint8_t *expect_icmp6(struct world *w, const uint8_t *mac,
                                          const struct ip_addr *src, const struct ip_addr *dst,
                                          uint32_t at, uint32_t len, uint8_t hop_limit)
{
    const struct nmio_pkt *pkt = link_hears(w);
    const uint8_t *ip;
    uint8_t group[6];

    assert_non_null(pkt);
    icmp6_group_mac(group, dst);
    ip = pkt->data + 14;
    assert_memory_equal(pkt->data, mac ? mac : group, 6);
    assert_memory_equal(pkt->data + 6, our_mac, 6);
    assert_int_equal(get_be16(pkt->data + 12), ETH_TYPE_IP6);
    assert_int_equal(get_be32(ip), 0x60000000);
    assert_int_equal(pkt->len, 14 + at + len);
    assert_int_equal(get_be16(ip + 4), at + len - 40);
    assert_int_equal(ip[7], hop_limit);
    assert_memory_equal(ip + 8, src->b, 16);
    assert_memory_equal(ip + 24, dst->b, 16);
    assert_true(icmp6_holds(ip, at, at + len));
    return ip + at;
}

/* The answer to a solicitation, or an announcement: always with our Ethernet address. */
static inline void expect_advert(struct world *w, const uint8_t *mac, const struct ip_addr *src,
                                 const struct ip_addr *dst, uint8_t flags)
{
    uint8_t message[NEIGHBOR_BYTES];
    const uint8_t *got = expect_icmp6(w, mac, src, dst, 40, sizeof(message), 255);

    make_neighbor(message, ICMP6_NEIGHBOR_ADVERT, flags, src, our_mac);
    memcpy(message + 2, got + 2, 2);
    assert_memory_equal(got, message, sizeof(message));
}

/* `mac`: who is asked, NULL for everybody. `with_mac`: it says our Ethernet address. */
static inline void expect_solicit(struct world *w, const uint8_t *mac, const struct ip_addr *src,
                                  const struct ip_addr *target, bool with_mac)
{
    struct ip_addr group = icmp6_solicited_group(target);
    uint8_t message[NEIGHBOR_BYTES];
    uint32_t len =
        make_neighbor(message, ICMP6_NEIGHBOR_SOLICIT, 0, target, with_mac ? our_mac : NULL);
    const uint8_t *got = expect_icmp6(w, mac, src, mac ? target : &group, 40, len, 255);

    memcpy(message + 2, got + 2, 2);
    assert_memory_equal(got, message, len);
}

static inline void expect_question6(struct world *w, const uint8_t *mac,
                                    const struct ip_addr *target)
{
    expect_solicit(w, mac, ip_addr_is_link_local(target) ? &us_local : &us6, target, true);
}

static inline void we_send6(struct world *w, struct eth_neigh *neigh)
{
    struct nmio_frame *frame = eth_frame(w->eth);

    memcpy(frame->header + frame->header_len, "head", 4);
    frame->header_len += 4;
    eth_send(w->eth, neigh, ETH_TYPE_IP6, frame, w->now_ns);
}

static inline void expect_frame6(struct world *w, const uint8_t *dst)
{
    const struct nmio_pkt *pkt = link_hears(w);

    assert_non_null(pkt);
    assert_int_equal(pkt->len, 18);
    assert_memory_equal(pkt->data, dst, 6);
    assert_memory_equal(pkt->data + 12, "\x86\xddhead", 6);
}

static inline struct eth_neigh *reachable6(struct world *w, const struct ip_addr *addr)
{
    struct eth_neigh *neigh = eth_neigh_get(w->eth, addr, w->now_ns);

    expect_question6(w, NULL, addr);
    link_answers6(w, peer_mac, addr);
    expect_silence(w);
    assert_int_equal(neigh->state, NEIGH_REACHABLE);
    return neigh;
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * link_test.h - the world of this folder's tests: we have one end of a pipe, and the test, at its
 * other end, is a peer, a gateway, and strangers behind it. make_* writes a datagram of the peer's,
 * arrives hands it to us, expect_* says what the link must then hear.
 */
#ifndef IP_LINK_TEST_H
#define IP_LINK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ip/priv.h"

#define MTU       1500
#define GSO_BYTES 65535

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 0x10};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0xaa};
static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 0xbb};
static const char us[] = "\300\0\2\1";          /* 192.0.2.1/24 */
static const char us_too[] = "\12\0\0\1";       /* 10.0.0.1/31: has no broadcast address */
static const char peer[] = "\300\0\2\2";        /* 192.0.2.2 */
static const char gateway[] = "\300\0\2\376";   /* 192.0.2.254 */
static const char stranger[] = "\306\63\144\1"; /* 198.51.100.1 */
/* 2001:db8::1/64, ::2, ::fe; 2001:db8:ffff::1; and a router that says so */
static const struct ip_addr us6 = {{0x20, 1, 0x0d, 0xb8, [15] = 1}};
static const struct ip_addr peer6 = {{0x20, 1, 0x0d, 0xb8, [15] = 2}};
static const struct ip_addr gateway6 = {{0x20, 1, 0x0d, 0xb8, [15] = 0xfe}};

struct world {
    struct mem_arena *arena;
    struct nmio_port *ends[2]; /* ours, the link's */
    struct eth *eth;
    struct ip *ip;
    uint64_t now_ns;
    struct nmio_pkt got; /* what we sent last */
    bool lent;
    struct ip_dgram dgram;
    struct ip_error error;
    uint64_t handed_on;
    uint64_t introductions; /* packets by which we got to know our neighbours */
};

static inline const struct nmio_pkt *link_hears(struct world *w)
{
    if (w->lent)
        nmio_rx_done(w->ends[1]);
    w->lent = nmio_rx(w->ends[1], &w->got, 1, w->now_ns) == 1;
    return w->lent ? &w->got : NULL;
}

/* The neighbour asks for us, so that we know it. */
static inline void introduce(struct world *w, const uint8_t *mac, const char *ip4)
{
    uint8_t frame[42] = "\377\377\377\377\377\377......\x08\x06\0\1\x08\0\6\4\0\1";
    struct nmio_pkt pkt = {.data = frame, .len = sizeof(frame)};

    memcpy(frame + 6, mac, 6);
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, ip4, 4);
    memset(frame + 32, 0, 6);
    memcpy(frame + 38, us, 4);
    assert_int_equal(eth_input(w->eth, &pkt, w->now_ns), ETH_DONE);
    assert_non_null(link_hears(w));
}

static inline uint32_t make6(uint8_t *bytes, uint8_t next, const void *payload, uint32_t len);
static inline void seal_icmp6(uint8_t *bytes);
static inline enum ip_verdict arrives(struct world *w, uint8_t *bytes, uint32_t len);

/* The same over IPv6. */
static inline void introduce6(struct world *w, const uint8_t *mac, const struct ip_addr *who)
{
    uint8_t message[32] = {ICMP6_NEIGHBOR_SOLICIT}, bytes[72];
    uint32_t len;

    memcpy(message + 8, us6.b, 16);
    message[24] = message[25] = 1;
    memcpy(message + 26, mac, 6);
    len = make6(bytes, IP_PROTO_ICMP6, message, sizeof(message));
    bytes[7] = 255;
    memcpy(bytes + 8, who->b, 16);
    seal_icmp6(bytes);
    assert_int_equal(arrives(w, bytes, len), IP_DONE);
    assert_non_null(link_hears(w));
}

static inline void world_open_with(struct world *w, bool take_routers, uint16_t vlan)
{
    struct nmio_pipe_config pipe = {.caps = {.mtu = MTU,
                                             .gso_bytes = GSO_BYTES,
                                             .tx_csum = true,
                                             .slices_max = NMIO_SLICES_MAX},
                                    .depth = 64};
    struct ip_addr addrs[] = {ip_addr_v4(us), ip_addr_v4(us_too), us6};
    struct ip_prefix prefixes[] = {{addrs[0], 24}, {addrs[1], 31}, {us6, 64}};
    struct ip_addr via = ip_addr_v4(gateway);
    struct eth_config eth = {.addrs = addrs,
                             .addr_count = 3,
                             .neigh_max = 16,
                             .vlan = vlan,
                             .take_routers = take_routers};
    struct ip_config ip = {.prefixes = prefixes,
                           .prefix_count = 3,
                           .gateway = &via,
                           .gateway6 = take_routers ? NULL : &gateway6,
                           .secret = {1, 2}};

    *w = (struct world){.now_ns = 1000 * NS_PER_S};
    memcpy(pipe.caps.mac, our_mac, 6);
    assert_int_equal(mem_arena_open(&w->arena, 64u << 20, 0), 0);
    assert_int_equal(nmio_pipe_open(w->ends, w->arena, &pipe), 0);
    eth.arena = ip.arena = w->arena;
    eth.port = w->ends[0];
    assert_int_equal(eth_open(&w->eth, &eth, w->now_ns), 0);
    ip.eth = w->eth;
    assert_int_equal(ip_open(&w->ip, &ip, w->now_ns), 0);
    while (link_hears(w)) /* who the gateways are */
        ;
    if (vlan) /* neighbours are introduced untagged */
        return;
    introduce(w, peer_mac, peer);
    introduce(w, gateway_mac, gateway);
    introduce6(w, peer_mac, &peer6);
    introduce6(w, gateway_mac, &gateway6);
    w->introductions = ip_stats(w->ip)->rx_packets;
}

static inline void world_open(struct world *w)
{
    world_open_with(w, false, 0);
}

static inline uint64_t accounted_for(const struct world *w)
{
    const struct ip_stats *s = ip_stats(w->ip);

    return w->handed_on + s->icmp_echo_in + s->icmp_errors_in + s->icmp_ignored + s->icmp_link_in -
           w->introductions + s->drop_extension + s->drop_jumbo + s->drop_udp_no_checksum +
           s->drop_short + s->drop_version + s->drop_checksum + s->drop_fragment +
           s->drop_not_ours + s->drop_source + s->drop_options + s->drop_proto +
           s->drop_icmp_checksum + s->drop_icmp_malformed + s->drop_icmp_stray + s->drop_icmp_big;
}

static inline void world_close(struct world *w)
{
    assert_int_equal(accounted_for(w), ip_stats(w->ip)->rx_packets - w->introductions);
    assert_int_equal(stat_get(&w->ip->echo_chunks.in_use), 0);
    if (w->lent)
        nmio_rx_done(w->ends[1]);
    ip_close(w->ip);
    eth_close(w->eth);
    nmio_close(w->ends[0]);
    nmio_close(w->ends[1]);
    mem_arena_close(w->arena);
}

/* --- datagrams made by hand ------------------------------------------------------------------- */

static inline uint16_t checksum(const void *data, size_t len)
{
    return (uint16_t)~ip_sum_fold(ip_sum(0, data, len));
}

static inline void seal(uint8_t *bytes)
{
    struct ip4_header *h = (struct ip4_header *)bytes;
    size_t len = (h->version_ihl & 15) * 4u;
    uint16_t sum;

    memset(h->checksum, 0, 2);
    sum = checksum(h, max_u64(len, sizeof(*h)));
    memcpy(h->checksum, &sum, 2);
}

static inline void seal_icmp(uint8_t *bytes)
{
    const struct ip4_header *h = (const struct ip4_header *)bytes;
    uint32_t header_len = (h->version_ihl & 15) * 4u;
    struct icmp_header *icmp = (struct icmp_header *)(bytes + header_len);
    uint16_t sum;

    memset(icmp->checksum, 0, 2);
    sum = checksum(icmp, get_be16(h->total_len) - header_len);
    memcpy(icmp->checksum, &sum, 2);
}

/* From the peer to us. */
static inline uint32_t make(uint8_t *bytes, uint8_t proto, const void *payload, uint32_t len)
{
    struct ip4_header *h = (struct ip4_header *)bytes;

    *h = (struct ip4_header){.version_ihl = 0x45, .tos = 0x2a, .ttl = 57, .proto = proto};
    put_be16(h->total_len, (uint16_t)(sizeof(*h) + len));
    put_be16(h->id, 0x1234);
    put_be16(h->frag, IP4_FRAG_DF);
    memcpy(h->src, peer, 4);
    memcpy(h->dst, us, 4);
    memcpy(h + 1, payload, len);
    seal(bytes);
    return (uint32_t)sizeof(*h) + len;
}

/* IPv6, from the peer to us; traffic class 0x2a, a flow label, 57 hops left. */
static inline uint32_t make6(uint8_t *bytes, uint8_t next, const void *payload, uint32_t len)
{
    struct ip6_header *h = (struct ip6_header *)bytes;

    *h = (struct ip6_header){
        .version_class_label = {0x62, 0xa1, 0x23, 0x45}, .next = next, .hop_limit = 57};
    put_be16(h->payload_len, (uint16_t)len);
    memcpy(h->src, peer6.b, 16);
    memcpy(h->dst, us6.b, 16);
    memcpy(h + 1, payload, len);
    return (uint32_t)sizeof(*h) + len;
}

static inline uint16_t checksum6(const uint8_t *bytes, const uint8_t *payload, uint32_t len,
                                 uint8_t proto)
{
    struct ip_addr src, dst;

    memcpy(src.b, bytes + 8, 16);
    memcpy(dst.b, bytes + 24, 16);
    return (uint16_t)~ip_sum_fold(ip_sum(ip_sum_pseudo(&src, &dst, proto, len), payload, len));
}

/* Of a packet without extension headers. */
static inline void seal_icmp6(uint8_t *bytes)
{
    uint16_t sum;

    memset(bytes + 42, 0, 2);
    sum = checksum6(bytes, bytes + 40, get_be16(bytes + 4), IP_PROTO_ICMP6);
    memcpy(bytes + 42, &sum, 2);
}

static inline enum ip_verdict arrives(struct world *w, uint8_t *bytes, uint32_t len)
{
    struct nmio_pkt pkt = {.data = bytes, .len = len};
    enum ip_verdict verdict = ip_input(w->ip, &pkt, &w->dgram, &w->error, w->now_ns);

    if (verdict == IP_TCP || verdict == IP_UDP)
        w->handed_on++;
    return verdict;
}

/* A datagram of ours that is in order: Ethernet and IP header checked. Returns its payload. */
static inline const uint8_t *expect_dgram(struct world *w, const uint8_t *mac, uint8_t proto,
                                          const char *src, const char *dst, uint32_t *len)
{
    const struct nmio_pkt *pkt = link_hears(w);
    const struct ip4_header *h;

    assert_non_null(pkt);
    assert_memory_equal(pkt->data, mac, 6);
    assert_memory_equal(pkt->data + 6, our_mac, 6);
    assert_int_equal(get_be16(pkt->data + 12), ETH_TYPE_IP4);
    h = (const struct ip4_header *)(pkt->data + 14);
    assert_int_equal(h->version_ihl, 0x45);
    assert_int_equal(get_be16(h->total_len), pkt->len - 14);
    assert_int_equal(get_be16(h->id), 0);
    assert_int_equal(get_be16(h->frag), IP4_FRAG_DF);
    assert_int_equal(h->ttl, 64);
    assert_int_equal(h->proto, proto);
    assert_int_equal(checksum(h, sizeof(*h)), 0);
    assert_memory_equal(h->src, src, 4);
    assert_memory_equal(h->dst, dst, 4);
    *len = pkt->len - 14 - (uint32_t)sizeof(*h);
    return (const uint8_t *)(h + 1);
}

static inline void expect_silence(struct world *w)
{
    assert_null(link_hears(w));
}

#define COUNTER(name) offsetof(struct ip_stats, name)

static inline const uint64_t *counter_at(const struct world *w, size_t offset)
{
    return (const uint64_t *)ip_stats(w->ip) + offset / sizeof(uint64_t);
}

#endif

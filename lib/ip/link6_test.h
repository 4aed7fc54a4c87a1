// SPDX-License-Identifier: BSD-2-Clause
/*
 * link6_test.h - what the tests of IPv6 need beyond link_test.h, whose world has both families.
 */
#ifndef IP_LINK6_TEST_H
#define IP_LINK6_TEST_H

#include "ip/link_test.h"

static const struct ip_addr stranger6 = {{0x20, 1, 0x0d, 0xb8, 0xff, 0xff, [15] = 1}};
static const struct ip_addr router6 = {{0xfe, 0x80, [15] = 0xaa}};
static const struct ip_addr all_nodes6 = {{0xff, 2, [15] = 1}};
static const struct ip_addr our_group6 = {{0xff, 2, [11] = 1, [12] = 0xff, [15] = 1}};

/* The router advertises itself for that long; 0: no more. */
static inline void advertise(struct world *w, const struct ip_addr *router, const uint8_t *mac,
                             uint16_t lifetime_s)
{
    uint8_t message[24] = {ICMP6_ROUTER_ADVERT}, bytes[64];
    uint32_t len;

    put_be16(message + 6, lifetime_s);
    message[16] = message[17] = 1;
    memcpy(message + 18, mac, 6);
    len = make6(bytes, IP_PROTO_ICMP6, message, sizeof(message));
    bytes[7] = 255;
    memcpy(bytes + 8, router->b, 16);
    memcpy(bytes + 24, all_nodes6.b, 16);
    seal_icmp6(bytes);
    assert_int_equal(arrives(w, bytes, len), IP_DONE);
}

static inline uint32_t make_echo6(uint8_t *bytes, uint32_t data_len)
{
    uint8_t *icmp = malloc(8 + data_len);
    uint32_t len;

    memcpy(icmp, "\x80\0\0\0\x12\x34\0\1", 8);
    for (uint32_t i = 0; i < data_len; i++)
        icmp[8 + i] = (uint8_t)(i * 7 + 1);
    len = make6(bytes, IP_PROTO_ICMP6, icmp, 8 + data_len);
    seal_icmp6(bytes);
    free(icmp);
    return len;
}

static inline const uint8_t *expect_dgram6(struct world *w, const uint8_t *mac, uint8_t proto,
                                           const struct ip_addr *dst, uint32_t *len)
{
    const struct nmio_pkt *pkt = link_hears(w);
    const struct ip6_header *h;

    assert_non_null(pkt);
    assert_memory_equal(pkt->data, mac, 6);
    assert_memory_equal(pkt->data + 6, our_mac, 6);
    assert_int_equal(get_be16(pkt->data + 12), ETH_TYPE_IP6);
    h = (const struct ip6_header *)(pkt->data + 14);
    assert_int_equal(h->version_class_label[0] >> 4, 6);
    assert_int_not_equal(get_be32(h->version_class_label) & IP6_LABEL_MAX, 0);
    assert_int_equal(get_be16(h->payload_len), pkt->len - 54);
    assert_int_equal(h->next, proto);
    assert_int_equal(h->hop_limit, 64);
    assert_memory_equal(h->src, us6.b, 16);
    assert_memory_equal(h->dst, dst->b, 16);
    *len = pkt->len - 54;
    return (const uint8_t *)(h + 1);
}

/* An ICMPv6 error to the peer about `bytes`. */
static inline void expect_error6(struct world *w, uint8_t type, uint8_t code, uint32_t rest,
                                 const uint8_t *bytes, uint32_t bytes_len)
{
    uint32_t len;
    const uint8_t *icmp = expect_dgram6(w, peer_mac, IP_PROTO_ICMP6, &peer6, &len);

    assert_int_equal(icmp[0], type);
    assert_int_equal(icmp[1], code);
    assert_int_equal(get_be32(icmp + 4), rest);
    assert_int_equal(checksum6(w->got.data + 14, icmp, len, IP_PROTO_ICMP6), 0);
    assert_int_equal(len, 8 + min_u32(bytes_len, 1280 - 48));
    assert_memory_equal(icmp + 8, bytes, len - 8);
}

/* 16 bytes are an IPv6 address, and the value its text. */
static inline void change(uint8_t *bytes, size_t at, size_t len, const char *value)
{
    struct ip_addr addr;

    if (len != sizeof(addr)) {
        memcpy(bytes + at, value, len);
        return;
    }
    assert_int_equal(ip_addr_parse(value, &addr), 0);
    memcpy(bytes + at, &addr, sizeof(addr));
}

#endif

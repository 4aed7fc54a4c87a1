// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_packet.h - TCP and UDP packets for the tests of this folder, and a plain check of their
 * checksums: a 16-bit loop that shares nothing with offload.c.
 */
#ifndef NMIO_TEST_PACKET_H
#define NMIO_TEST_PACKET_H

#include "base/bytes.h"
#include "nmio/nmio.h"
#include "nmio/wire.h"

struct test_packet {
    bool ip6;
    bool vlan;
    uint8_t protocol;
    uint8_t flags;
    uint8_t tcp_option_bytes;
    uint16_t id;
    uint32_t seq;
    uint32_t payload_bytes;
    uint16_t source_port, target_port;
    uint8_t source[16], target[16]; /* the first four for IPv4 */
};

static inline uint32_t test_sum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static inline uint32_t test_pseudo_sum(const uint8_t *ip, bool ip6, uint8_t protocol,
                                       uint32_t bytes)
{
    return test_sum(protocol + (bytes >> 16) + (bytes & 0xffff),
                    ip + (ip6 ? IP6_SOURCE_AT : IP4_SOURCE_AT), ip6 ? 32 : 8);
}

/* Writes Ethernet, IP and transport headers with a partial transport checksum, as a frame to send
 * with csum_start has it. Returns their length. */
static inline uint32_t test_headers(uint8_t *p, const struct test_packet *packet,
                                    uint16_t *csum_start)
{
    uint32_t eth = packet->vlan ? 18 : 14;
    uint8_t *ip = p + eth, *transport;
    bool tcp = packet->protocol == IP_PROTO_TCP;
    uint32_t transport_bytes =
        packet->payload_bytes +
        (tcp ? TCP_HEADER_BYTES + packet->tcp_option_bytes : UDP_HEADER_BYTES);

    memset(p, 0, eth + IP6_HEADER_BYTES + 60);
    memset(p, 0x02, 12);
    if (packet->vlan) {
        put_be16(p + 12, ETH_TYPE_VLAN);
        put_be16(p + 14, 7);
    }
    put_be16(ip - 2, packet->ip6 ? ETH_TYPE_IP6 : ETH_TYPE_IP4);
    if (packet->ip6) {
        ip[0] = 0x60;
        put_be16(ip + IP6_LENGTH_AT, (uint16_t)transport_bytes);
        ip[IP6_NEXT_AT] = packet->protocol;
        ip[7] = 64;
        memcpy(ip + 8, packet->source, 16);
        memcpy(ip + 24, packet->target, 16);
        transport = ip + IP6_HEADER_BYTES;
    } else {
        ip[0] = 0x45;
        put_be16(ip + IP4_LENGTH_AT, (uint16_t)(IP4_HEADER_BYTES + transport_bytes));
        put_be16(ip + IP4_ID_AT, packet->id);
        ip[8] = 64;
        ip[IP4_PROTO_AT] = packet->protocol;
        memcpy(ip + 12, packet->source, 4);
        memcpy(ip + 16, packet->target, 4);
        put_be16(ip + IP4_CSUM_AT, (uint16_t)~test_sum(0, ip, IP4_HEADER_BYTES));
        transport = ip + IP4_HEADER_BYTES;
    }
    put_be16(transport, packet->source_port);
    put_be16(transport + 2, packet->target_port);
    if (tcp) {
        put_be32(transport + TCP_SEQ_AT, packet->seq);
        transport[TCP_DATA_OFFSET_AT] =
            (uint8_t)((TCP_HEADER_BYTES + packet->tcp_option_bytes) / 4 << 4);
        transport[TCP_FLAGS_AT] = packet->flags;
        put_be16(transport + 14, 65535);
        memset(transport + TCP_HEADER_BYTES, 1, packet->tcp_option_bytes);
    } else
        put_be16(transport + 4, (uint16_t)transport_bytes);
    put_be16(transport + (tcp ? TCP_CSUM_AT : UDP_CSUM_AT),
             (uint16_t)test_pseudo_sum(ip, packet->ip6, packet->protocol, transport_bytes));
    *csum_start = (uint16_t)(transport - p);
    return (uint32_t)(transport - p) + transport_bytes - packet->payload_bytes;
}

/* Whether every checksum and length of an IP packet in an Ethernet frame is right. */
static inline bool test_packet_valid(const uint8_t *p, uint32_t len)
{
    uint32_t eth = get_be16(p + 12) == ETH_TYPE_VLAN ? 18 : 14;
    bool ip6 = get_be16(p + eth - 2) == ETH_TYPE_IP6;
    const uint8_t *ip = p + eth;
    uint32_t header = ip6 ? IP6_HEADER_BYTES : (ip[0] & 15u) * 4;
    uint8_t protocol = ip6 ? ip[IP6_NEXT_AT] : ip[IP4_PROTO_AT];
    uint32_t bytes;

    if (!ip6 && get_be16(ip - 2) != ETH_TYPE_IP4)
        return false;
    bytes = ip6 ? get_be16(ip + IP6_LENGTH_AT) : get_be16(ip + IP4_LENGTH_AT) - header;
    if (ip[0] >> 4 != (ip6 ? 6 : 4) || eth + header + bytes != len)
        return false;
    if (!ip6 && test_sum(0, ip, header) != 0xffff)
        return false;
    return test_sum(test_pseudo_sum(ip, ip6, protocol, bytes), ip + header, bytes) == 0xffff;
}

/* Fills a frame with such a packet; its payload is `payload`. */
static inline void test_frame(struct nmio_frame *frame, const struct test_packet *packet,
                              const uint8_t *payload, uint16_t gso_size)
{
    uint16_t csum_start;

    frame->header_len = (uint16_t)test_headers(frame->header, packet, &csum_start);
    frame->csum_start = csum_start;
    frame->csum_offset = packet->protocol == IP_PROTO_TCP ? TCP_CSUM_AT : UDP_CSUM_AT;
    frame->gso_size = gso_size;
    frame->gso_ip6 = packet->ip6;
    frame->slices[0] = (struct nmio_slice){payload, packet->payload_bytes, NULL};
    frame->slice_count = packet->payload_bytes > 0;
}

#endif

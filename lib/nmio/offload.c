// SPDX-License-Identifier: BSD-2-Clause
#include "nmio/offload.h"

#include "base/bytes.h"
#include "nmio/wire.h"

/* --- checksums (RFC 1071) ------------------------------------------------------------------- */

/* The sum of 16-bit words in memory order: it comes out right in either byte order (RFC 1071,
 * section 2 (B)), if it is stored as it was loaded. 64 bits do not overflow on a frame. */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *p, size_t len)
{
    uint8_t last[4] = {0};

    for (; len >= 4; len -= 4, p += 4)
        sum += get_le32(p);
    memcpy(last, p, len);
    return sum + get_le32(last);
}

static uint16_t sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* UDP sends zero as 0xffff, since zero means that there is no checksum (RFC 768). For the others
 * both are the same number, but RFC 1624 has zero, and analysers call 0xffff wrong. */
static void store_csum(uint8_t *at, uint64_t sum, bool is_udp)
{
    uint16_t csum = (uint16_t)~sum_fold(sum);

    put_le16(at, csum == 0 && is_udp ? 0xffff : csum);
}

void nmio_csum_complete(uint8_t *frame, uint32_t len, uint32_t csum_start, uint32_t csum_offset)
{
    assert(csum_start + csum_offset + 2 <= len);
    store_csum(frame + csum_start + csum_offset, sum_bytes(0, frame + csum_start, len - csum_start),
               csum_offset == UDP_CSUM_AT);
}

/* --- understanding the frame ---------------------------------------------------------------- */

static bool parse_ip4(struct nmio_cut *cut)
{
    const uint8_t *ip = cut->frame + cut->ip_at;
    uint32_t header_bytes, total;

    if (cut->len < cut->ip_at + IP4_HEADER_BYTES || ip[0] >> 4 != 4)
        return false;
    header_bytes = (ip[0] & 15u) * 4;
    total = get_be16(ip + IP4_LENGTH_AT);
    if (header_bytes < IP4_HEADER_BYTES || total < header_bytes || total > cut->len - cut->ip_at)
        return false;
    if (get_be16(ip + IP4_FRAGMENT_AT) & IP4_FRAGMENT_MASK)
        return false;
    cut->transport_at = cut->ip_at + header_bytes;
    cut->end = cut->ip_at + total;
    cut->protocol = ip[IP4_PROTO_AT];
    return true;
}

static bool parse_ip6(struct nmio_cut *cut)
{
    const uint8_t *ip = cut->frame + cut->ip_at;

    if (cut->len < cut->ip_at + IP6_HEADER_BYTES || ip[0] >> 4 != 6)
        return false;
    cut->transport_at = cut->ip_at + IP6_HEADER_BYTES;
    cut->end = cut->transport_at + get_be16(ip + IP6_LENGTH_AT);
    cut->protocol = ip[IP6_NEXT_AT];
    cut->ip6 = true;
    return cut->end <= cut->len;
}

static bool parse_ip(struct nmio_cut *cut)
{
    uint32_t at = ETH_TYPE_AT;

    if (cut->len < ETH_HEADER_BYTES + VLAN_TAG_BYTES)
        return false;
    if (get_be16(cut->frame + at) == ETH_TYPE_VLAN)
        at += VLAN_TAG_BYTES;
    cut->ip_at = at + 2;
    switch (get_be16(cut->frame + at)) {
    case ETH_TYPE_IP4:
        return parse_ip4(cut);
    case ETH_TYPE_IP6:
        return parse_ip6(cut);
    default:
        return false;
    }
}

static bool parse_tcp(struct nmio_cut *cut)
{
    uint32_t header_bytes;

    if (cut->end - cut->transport_at < TCP_HEADER_BYTES)
        return false;
    header_bytes = (cut->frame[cut->transport_at + TCP_DATA_OFFSET_AT] >> 4) * 4u;
    cut->payload_at = cut->transport_at + header_bytes;
    return header_bytes >= TCP_HEADER_BYTES && cut->payload_at <= cut->end;
}

static bool parse_udp(struct nmio_cut *cut)
{
    cut->payload_at = cut->transport_at + UDP_HEADER_BYTES;
    return cut->payload_at <= cut->end;
}

static bool parse(struct nmio_cut *cut)
{
    if (!parse_ip(cut))
        return false;
    if (cut->protocol == IP_PROTO_TCP)
        return parse_tcp(cut);
    return cut->protocol == IP_PROTO_UDP && parse_udp(cut);
}

/* --- making packets ------------------------------------------------------------------------- */

/* The sum of the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1). */
static uint64_t pseudo_sum(const struct nmio_cut *cut, const uint8_t *packet, uint32_t bytes)
{
    uint64_t sum = __builtin_bswap16(cut->protocol) + (uint64_t)__builtin_bswap32(bytes);

    if (cut->ip6)
        return sum_bytes(sum, packet + cut->ip_at + IP6_SOURCE_AT, 32);
    return sum_bytes(sum, packet + cut->ip_at + IP4_SOURCE_AT, 8);
}

static void complete_transport(const struct nmio_cut *cut, uint8_t *packet, uint32_t end)
{
    uint32_t bytes = end - cut->transport_at;
    uint8_t *field =
        packet + cut->transport_at + (cut->protocol == IP_PROTO_TCP ? TCP_CSUM_AT : UDP_CSUM_AT);

    put_le16(field, 0);
    store_csum(field, sum_bytes(pseudo_sum(cut, packet, bytes), packet + cut->transport_at, bytes),
               cut->protocol == IP_PROTO_UDP);
}

static void fix_ip(const struct nmio_cut *cut, uint8_t *packet, uint32_t end)
{
    uint8_t *ip = packet + cut->ip_at;

    if (cut->ip6) {
        put_be16(ip + IP6_LENGTH_AT, (uint16_t)(end - cut->transport_at));
        return;
    }
    put_be16(ip + IP4_LENGTH_AT, (uint16_t)(end - cut->ip_at));
    put_be16(ip + IP4_ID_AT, (uint16_t)(get_be16(ip + IP4_ID_AT) + cut->index));
    put_le16(ip + IP4_CSUM_AT, 0);
    put_le16(ip + IP4_CSUM_AT,
             (uint16_t)~sum_fold(sum_bytes(0, ip, cut->transport_at - cut->ip_at)));
}

/* FIN and PSH belong to the last byte; CWR answers once (RFC 3168, 6.1.2). */
static void fix_tcp(const struct nmio_cut *cut, uint8_t *packet, bool last)
{
    uint8_t *tcp = packet + cut->transport_at;

    put_be32(tcp + TCP_SEQ_AT, get_be32(tcp + TCP_SEQ_AT) + cut->taken);
    if (!last)
        tcp[TCP_FLAGS_AT] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (cut->index > 0)
        tcp[TCP_FLAGS_AT] &= (uint8_t)~TCP_CWR;
}

static uint32_t next_segment(struct nmio_cut *cut, uint8_t *out)
{
    uint32_t left = cut->end - cut->payload_at - cut->taken;
    uint32_t bytes = min_u32(left, cut->segment_bytes);
    uint32_t end = cut->payload_at + bytes;

    memcpy(out, cut->frame, cut->payload_at);
    memcpy(out + cut->payload_at, cut->frame + cut->payload_at + cut->taken, bytes);
    fix_ip(cut, out, end);
    fix_tcp(cut, out, bytes == left);
    complete_transport(cut, out, end);
    cut->taken += bytes;
    cut->index++;
    cut->done = bytes == left;
    return end;
}

void nmio_cut_start(struct nmio_cut *cut, const uint8_t *frame, uint32_t len, uint32_t gso_size,
                    bool complete)
{
    *cut = (struct nmio_cut){.frame = frame, .len = len, .complete = complete, .largest = len};
    if (!gso_size && !complete)
        return;
    if (!parse(cut)) {
        cut->protocol = 0;
        return;
    }
    if (gso_size && cut->protocol == IP_PROTO_TCP && cut->end - cut->payload_at > gso_size) {
        cut->segment_bytes = gso_size;
        cut->largest = cut->payload_at + gso_size;
    }
    cut->complete |= gso_size > 0;
}

uint32_t nmio_cut_left(const struct nmio_cut *cut)
{
    uint32_t left = cut->end - cut->payload_at - cut->taken;

    if (cut->done)
        return 0;
    return cut->segment_bytes ? (left + cut->segment_bytes - 1) / cut->segment_bytes : 1;
}

uint32_t nmio_cut_next(struct nmio_cut *cut, uint8_t *out)
{
    if (cut->done)
        return 0;
    if (cut->segment_bytes)
        return next_segment(cut, out);
    memcpy(out, cut->frame, cut->len);
    if (cut->complete && cut->protocol)
        complete_transport(cut, out, cut->end);
    cut->done = true;
    return cut->len;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "wire.h"

static void parse_sacks(const uint8_t *block, uint32_t len, struct tcp_seg *seg)
{
    for (; len >= 8 && seg->sack_count < TCP_SACKS_MAX; block += 8, len -= 8)
        seg->sacks[seg->sack_count++] = (struct tcp_sack){get_be32(block), get_be32(block + 4)};
}

/* RFC 7323 appendix A: nearly every segment has these 12 bytes and no other option. */
#define ALIGNED_TIMESTAMPS                                                                         \
    (TCP_OPT_NOP << 24 | TCP_OPT_NOP << 16 | TCP_OPT_TIMESTAMPS << 8 | TCP_OPT_TIMESTAMPS_BYTES)

static bool aligned_timestamps(const uint8_t *opt, uint32_t len, struct tcp_seg *seg)
{
    if (len != TCP_OPT_TIMESTAMPS_SPACE || get_be32(opt) != ALIGNED_TIMESTAMPS)
        return false;
    seg->has_ts = true;
    seg->tsval = get_be32(opt + 4);
    seg->tsecr = get_be32(opt + 8);
    return true;
}

/* RFC 9293 3.2. Returns false at the first option whose length cannot be (MUST-7). */
static bool parse_options(const uint8_t *opt, uint32_t len, struct tcp_seg *seg)
{
    while (len > 0) {
        uint8_t kind = opt[0], size;

        if (kind == TCP_OPT_END)
            return true;
        if (kind == TCP_OPT_NOP) {
            opt++;
            len--;
            continue;
        }
        if (len < 2 || opt[1] < 2 || opt[1] > len)
            return false;
        size = opt[1];
        if (kind == TCP_OPT_MSS && size == 4) {
            seg->mss = get_be16(opt + 2);
        } else if (kind == TCP_OPT_WSCALE && size == 3) {
            seg->has_wscale = true;
            seg->wscale = opt[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : opt[2];
        } else if (kind == TCP_OPT_TIMESTAMPS && size == TCP_OPT_TIMESTAMPS_BYTES) {
            seg->has_ts = true;
            seg->tsval = get_be32(opt + 2);
            seg->tsecr = get_be32(opt + 6);
        } else if (kind == TCP_OPT_SACK && size >= 10 && size % 8 == 2) {
            parse_sacks(opt + 2, size - 2u, seg);
        } else if (kind == TCP_OPT_SACK_PERMITTED && size == 2) {
            seg->sack_permitted = true;
        } /* Others, and known ones of a wrong size, are skipped (MUST-6). */
        opt += size;
        len -= size;
    }
    return true;
}

enum tcp_parse tcp_seg_parse(const struct ip_dgram *dgram, struct tcp_seg *seg, bool *bad_options)
{
    struct tcp_header hdr;
    uint32_t header_len;

    *bad_options = false;
    if (dgram->len < sizeof(hdr))
        return TCP_PARSE_SHORT;
    memcpy(&hdr, dgram->payload, sizeof(hdr));
    header_len = (hdr.data_off >> 4) * 4;
    if (header_len < sizeof(hdr) || header_len > dgram->len)
        return TCP_PARSE_SHORT;
    if (!dgram->csum_ok) {
        uint64_t sum = ip_sum_pseudo(&dgram->src, &dgram->dst, IP_PROTO_TCP, dgram->len);

        if (ip_sum_fold(ip_sum(sum, dgram->payload, dgram->len)) != 0xffff)
            return TCP_PARSE_CHECKSUM;
    }
    *seg = (struct tcp_seg){
        .src_port = get_be16(hdr.src_port),
        .dst_port = get_be16(hdr.dst_port),
        .seq = get_be32(hdr.seq),
        .ack = get_be32(hdr.ack),
        .window = get_be16(hdr.window),
        .flags = hdr.flags,
        .ecn = dgram->tos & IP_ECN_MASK,
        .data = dgram->payload + header_len,
        .len = dgram->len - header_len,
    };
    header_len -= sizeof(hdr);
    if (header_len && !aligned_timestamps(dgram->payload + sizeof(hdr), header_len, seg))
        *bad_options = !parse_options(dgram->payload + sizeof(hdr), header_len, seg);
    return TCP_PARSE_OK;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "ip/priv.h"

bool ip4_is_ours(const struct ip *ip, uint32_t addr)
{
    for (uint32_t i = 0; i < ip->prefix_count; i++)
        if (addr - ip->prefixes[i].addr < ip->prefixes[i].count)
            return true;
    return false;
}

bool ip4_is_peer(const struct ip *ip, uint32_t addr)
{
    uint8_t first = (uint8_t)(addr >> 24);

    if (first == 0 || first == 127 || first >= 224)
        return false;
    for (uint32_t i = 0; i < ip->prefix_count; i++) {
        const struct ip4_prefix *p = &ip->prefixes[i];

        if (addr == p->broadcast || addr - p->addr < p->count)
            return false;
    }
    return true;
}

/* --- in ------------------------------------------------------------------------------------- */

/* RFC 1122 3.2.1.8: options that are not understood are ignored; a source route is an invitation to
 * answer by way of a stranger, and refused (RFC 7126 4.3, 4.4). */
static bool options_ok(const uint8_t *opt, uint32_t len)
{
    uint32_t i = 0;

    while (i < len) {
        if (opt[i] == IP4_OPT_END)
            return true;
        if (opt[i] == IP4_OPT_NOP) {
            i++;
            continue;
        }
        if (opt[i] == IP4_OPT_LSRR || opt[i] == IP4_OPT_SSRR)
            return false;
        if (i + 1 >= len || opt[i + 1] < 2 || opt[i + 1] > len - i)
            return false;
        i += opt[i + 1];
    }
    return true;
}

static bool checksum_ok(const struct ip4_header *h, uint32_t header_len)
{
    const uint8_t *p = (const uint8_t *)h;
    uint64_t words;

    if (unlikely(header_len != sizeof(*h)))
        return ip_sum_fold(ip_sum(0, h, header_len)) == 0xffff;
    words = (uint64_t)get_le32(p) + get_le32(p + 4) + get_le32(p + 8) + get_le32(p + 12) +
            get_le32(p + 16);
    return ip_sum_fold(words) == 0xffff;
}

/* The checks of RFC 1122 3.2.1 in its order. NULL, or the counter of what is wrong. */
static uint64_t *header_check(struct ip *ip, const struct ip4_header *h, uint32_t pkt_len)
{
    uint32_t header_len = (h->version_ihl & 15u) * 4;
    uint32_t total = get_be16(h->total_len);
    uint32_t dst = get_be32(h->dst);

    if (unlikely(header_len < sizeof(*h)))
        return &ip->stats.drop_version;
    if (unlikely(total < header_len || total > pkt_len))
        return &ip->stats.drop_short;
    if (unlikely(!checksum_ok(h, header_len)))
        return &ip->stats.drop_checksum;
    if (unlikely(!ip4_is_ours(ip, dst)))
        return &ip->stats.drop_not_ours;
    if (unlikely(!ip4_is_peer(ip, get_be32(h->src))))
        return &ip->stats.drop_source;
    if (unlikely(get_be16(h->frag) & (IP4_FRAG_MF | IP4_FRAG_OFFSET)))
        return &ip->stats.drop_fragment;
    if (unlikely(header_len > sizeof(*h)) &&
        !options_ok((const uint8_t *)(h + 1), header_len - sizeof(*h)))
        return &ip->stats.drop_options;
    return NULL;
}

enum ip_verdict ip4_input(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram,
                          struct ip_error *error, uint64_t now_ns)
{
    const struct ip4_header *h = (const struct ip4_header *)pkt->data;
    uint64_t *wrong = header_check(ip, h, pkt->len);

    if (unlikely(wrong)) {
        stat_inc(wrong);
        return IP_DONE;
    }
    dgram->src = ip_addr_v4(h->src);
    dgram->dst = ip_addr_v4(h->dst);
    dgram->header_len = (uint16_t)((h->version_ihl & 15) * 4);
    dgram->payload = pkt->data + dgram->header_len;
    dgram->len = get_be16(h->total_len) - dgram->header_len;
    dgram->gso_size = pkt->gso_size;
    dgram->proto = h->proto;
    dgram->ttl = h->ttl;
    dgram->tos = h->tos;
    dgram->csum_ok = pkt->flags & NMIO_PKT_CSUM_OK;
    switch (h->proto) {
    case IP_PROTO_TCP:
        return IP_TCP;
    case IP_PROTO_UDP:
        return IP_UDP;
    case IP_PROTO_ICMP:
        return icmp_input(ip, dgram, error, now_ns);
    default:
        stat_inc(&ip->stats.drop_proto);
        ip_unreachable(ip, dgram, IP_UNREACHABLE_PROTOCOL, now_ns); /* RFC 1122 3.2.2.1 */
        return IP_DONE;
    }
}

/* --- out ------------------------------------------------------------------------------------ */

void ip4_flow_header(struct ip_flow *flow)
{
    struct ip4_header *h = (struct ip4_header *)flow->header;

    memset(h, 0, sizeof(*h));
    h->version_ihl = IP4_VERSION_IHL;
    put_be16(h->frag, IP4_FRAG_DF);
    h->ttl = IP_TTL;
    memcpy(h->src, flow->local.b + 12, sizeof(h->src));
    memcpy(h->dst, flow->remote.b + 12, sizeof(h->dst));
    flow->header_sum = ip_sum_fold(ip_sum(0, h, sizeof(*h)));
}

struct nmio_frame *ip_frame(struct ip *ip, struct ip_flow *flow, uint8_t proto, uint8_t tos)
{
    struct nmio_frame *frame;
    struct ip4_header *h;

    if (ip_flow_is_ip6(flow))
        return ip6_frame(ip, flow, proto, tos);
    frame = eth_frame(ip->eth);
    if (unlikely(!frame))
        return NULL;
    h = (struct ip4_header *)(frame->header + frame->header_len);
    memcpy(h, flow->header, sizeof(*h));
    h->tos = tos;
    h->proto = proto;
    frame->header_len += sizeof(*h);
    return frame;
}

void ip_send(struct ip *ip, const struct ip_flow *flow, struct nmio_frame *frame, uint64_t now_ns)
{
    struct ip4_header *h = (struct ip4_header *)(frame->header + ip->link_header);
    uint32_t total = frame->header_len - ip->link_header;
    uint32_t sum;
    uint16_t checksum;

    if (ip_flow_is_ip6(flow)) {
        ip6_send(ip, flow, frame, now_ns);
        return;
    }
    for (unsigned i = 0; i < frame->slice_count; i++)
        total += frame->slices[i].len;
    assert(total <= IP4_TOTAL_MAX);
    put_be16(h->total_len, (uint16_t)total);
    /* The flow's sum is in the order in which the bytes lie, so these are added as they lie: tos
     * and proto are second bytes of their words. Four numbers below 2^16 fold in two steps. */
    sum = flow->header_sum + __builtin_bswap16((uint16_t)total) + ((uint32_t)h->tos << 8) +
          ((uint32_t)h->proto << 8);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    checksum = (uint16_t)~sum;
    memcpy(h->checksum, &checksum, sizeof(checksum));
    stat_inc(&ip->stats.tx_packets);
    eth_send(ip->eth, flow->via, ETH_TYPE_IP4, frame, now_ns);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "ip/priv.h"

/* --- in ------------------------------------------------------------------------------------- */

static enum ip_error_kind error_kind(uint8_t type)
{
    switch (type) {
    case ICMP6_TOO_BIG:
        return IP_ERROR_TOO_BIG;
    case ICMP6_TIME_EXCEEDED:
        return IP_ERROR_TIME_EXCEEDED;
    case ICMP6_PARAMETER_PROBLEM:
        return IP_ERROR_PARAMETER;
    default:
        return IP_ERROR_UNREACHABLE;
    }
}

/*
 * RFC 4443 3: an error carries as much of the packet that it is about as fits. That packet must be
 * one that we can have sent: from the address that the error came to, of a transport, without
 * extension headers, since we send none. The transport checks the rest against its connections
 * (RFC 5927 4). Nobody's link takes less than 1,280 bytes, and who says so is to be disregarded
 * (RFC 8201 4).
 */
static enum ip_verdict error_input(struct ip *ip, const struct ip_dgram *dgram,
                                   struct ip_error *error)
{
    const struct icmp_header *icmp = (const struct icmp_header *)dgram->payload;
    const struct ip6_header *sent = (const struct ip6_header *)(icmp + 1);
    uint32_t sent_len = dgram->len - (uint32_t)sizeof(*icmp);

    if (sent_len < sizeof(*sent) + 8 || sent->version_class_label[0] >> 4 != 6 ||
        get_be16(sent->payload_len) < 8 ||
        (icmp->type == ICMP6_TOO_BIG && get_be32(icmp->rest) < IP6_MTU_MIN)) {
        stat_inc(&ip->stats.drop_icmp_malformed);
        return IP_DONE;
    }
    memcpy(error->src.b, sent->src, sizeof(error->src.b));
    memcpy(error->dst.b, sent->dst, sizeof(error->dst.b));
    if (!ip_addr_equal(&error->src, &dgram->dst) || !ip6_is_peer(ip, &error->dst) ||
        (sent->next != IP_PROTO_TCP && sent->next != IP_PROTO_UDP)) {
        stat_inc(&ip->stats.drop_icmp_stray);
        return IP_DONE;
    }
    error->payload = (const uint8_t *)(sent + 1);
    error->len = sent_len - (uint32_t)sizeof(*sent);
    error->proto = sent->next;
    error->kind = error_kind(icmp->type);
    error->mtu = icmp->type == ICMP6_TOO_BIG ? get_be32(icmp->rest) : 0;
    stat_inc(&ip->stats.icmp_errors_in);
    return IP_ERROR;
}

/* What is Ethernet's business. In a fragment of any kind it is not to be believed (RFC 6980 5). */
static void link_input(struct ip *ip, const struct ip_dgram *dgram, struct icmp6_way way,
                       uint64_t now_ns)
{
    struct eth_icmp6 in = {.src = dgram->src,
                           .dst = dgram->dst,
                           .message = dgram->payload,
                           .len = dgram->len,
                           .hop_limit = dgram->ttl,
                           .router_alert = way.router_alert};

    if (way.fragment) {
        stat_inc(&ip->stats.drop_icmp_malformed);
        return;
    }
    stat_inc(&ip->stats.icmp_link_in);
    eth_icmp6_input(ip->eth, &in, now_ns);
}

/* NULL, or the counter of what is wrong with every message alike. */
static uint64_t *message_check(struct ip *ip, const struct ip_dgram *dgram)
{
    const struct icmp_header *h = (const struct icmp_header *)dgram->payload;
    uint64_t sum;

    if (dgram->len < sizeof(*h))
        return &ip->stats.drop_icmp_malformed;
    sum = ip_sum_pseudo(&dgram->src, &dgram->dst, IP_PROTO_ICMP6, dgram->len);
    if (ip_sum_fold(ip_sum(sum, dgram->payload, dgram->len)) != 0xffff)
        return &ip->stats.drop_icmp_checksum;
    if (h->type != ICMP6_NEIGHBOR_SOLICIT && h->type != ICMP6_NEIGHBOR_ADVERT &&
        !ip6_is_peer(ip, &dgram->src))
        return &ip->stats.drop_source; /* unspecified, or ours */
    return NULL;
}

/*
 * Ignored on purpose: redirects (RFC 4861 8: whoever is on the link could steer our traffic),
 * router solicitations and MLD reports, which are for routers, and echo requests to a group, whose
 * answers somebody else may have to take (RFC 4443 4.2 leaves them to us).
 */
enum ip_verdict icmp6_input(struct ip *ip, const struct ip_dgram *dgram, struct icmp6_way way,
                            struct ip_error *error, uint64_t now_ns)
{
    const struct icmp_header *h = (const struct icmp_header *)dgram->payload;
    uint64_t *wrong = message_check(ip, dgram);

    if (wrong) {
        stat_inc(wrong);
        return IP_DONE;
    }
    switch (h->type) {
    case ICMP6_MLD_QUERY:
    case ICMP6_ROUTER_ADVERT:
    case ICMP6_NEIGHBOR_SOLICIT:
    case ICMP6_NEIGHBOR_ADVERT:
        link_input(ip, dgram, way, now_ns);
        return IP_DONE;
    case ICMP6_ECHO:
        if (h->code != 0)
            stat_inc(&ip->stats.drop_icmp_malformed);
        else if (ip_addr_is_multicast(&dgram->dst))
            stat_inc(&ip->stats.icmp_ignored);
        else
            icmp_echo(ip, dgram, now_ns);
        return IP_DONE;
    case ICMP6_UNREACHABLE:
    case ICMP6_TOO_BIG:
    case ICMP6_TIME_EXCEEDED:
    case ICMP6_PARAMETER_PROBLEM:
        return error_input(ip, dgram, error);
    default:
        stat_inc(&ip->stats.icmp_ignored);
        return IP_DONE;
    }
}

/* --- out ------------------------------------------------------------------------------------ */

/* An ICMPv6 error or a redirect, even behind extension headers that are in error themselves: only
 * their lengths are looked at. */
static bool is_error(const uint8_t *packet, uint32_t len)
{
    uint8_t next = ((const struct ip6_header *)packet)->next;
    uint32_t at = sizeof(struct ip6_header);

    while (at + sizeof(struct ip6_extension) <= len &&
           (next == IP6_NEXT_HOP_BY_HOP || next == IP6_NEXT_ROUTING || next == IP6_NEXT_FRAGMENT ||
            next == IP6_NEXT_DESTINATION)) {
        uint32_t units = next == IP6_NEXT_FRAGMENT ? 1 : packet[at + 1] + 1u;

        next = packet[at];
        at += units * 8;
    }
    return next == IP_PROTO_ICMP6 &&
           (at >= len || packet[at] < ICMP6_INFORMATIONAL || packet[at] == ICMP6_REDIRECT);
}

/* RFC 4443 2.4 (e): not about an error or a redirect, not to a group or to nobody. */
static bool may_be_told(const struct ip *ip, const struct ip_dgram *dgram)
{
    return !ip_addr_is_multicast(&dgram->dst) && ip6_is_peer(ip, &dgram->src) &&
           !is_error(dgram->payload - dgram->header_len, dgram->header_len + dgram->len);
}

static void error_fill(struct nmio_frame *frame, const struct ip_flow *flow, uint8_t type,
                       uint8_t code, uint32_t rest, struct mem_chunk *quote, uint32_t quote_len)
{
    struct icmp_header *h = (struct icmp_header *)(frame->header + frame->header_len);
    uint64_t sum;
    uint16_t checksum;

    *h = (struct icmp_header){.type = type, .code = code};
    put_be32(h->rest, rest);
    frame->header_len += sizeof(*h);
    frame->slices[0] = (struct nmio_slice){.data = quote->data, .len = quote_len, .owner = quote};
    frame->slice_count = 1;
    sum = ip_sum_pseudo(&flow->local, &flow->remote, IP_PROTO_ICMP6,
                        (uint32_t)sizeof(*h) + quote_len);
    sum = ip_sum(ip_sum(sum, h, sizeof(*h)), quote->data, quote_len);
    checksum = (uint16_t)~ip_sum_fold(sum);
    memcpy(h->checksum, &checksum, sizeof(checksum));
}

/* With as much of the packet as the smallest link takes (RFC 4443 2.4 (c)). */
void icmp6_error(struct ip *ip, const struct ip_dgram *dgram, uint8_t type, uint8_t code,
                 uint32_t rest, uint64_t now_ns)
{
    struct ip_flow flow = {.local = dgram->dst, .remote = dgram->src};
    uint32_t quote_len =
        min_u32(dgram->header_len + dgram->len,
                IP6_MTU_MIN - IP6_HEADER_BYTES - (uint32_t)sizeof(struct icmp_header));
    struct nmio_frame *frame;
    struct mem_chunk *quote;

    if (!may_be_told(ip, dgram) || !icmp_error_admitted(ip, now_ns))
        return;
    if (ip_flow_open(ip, &flow, now_ns) != 0) {
        stat_inc(&ip->stats.drop_no_route);
        return;
    }
    quote = mem_chunk_get(&ip->echo_chunks);
    frame = quote ? ip_frame(ip, &flow, IP_PROTO_ICMP6, 0) : NULL;
    if (frame) {
        memcpy(quote->data, dgram->payload - dgram->header_len, quote_len);
        error_fill(frame, &flow, type, code, rest, quote, quote_len);
        stat_inc(&ip->stats.icmp_errors_out);
        ip_send(ip, &flow, frame, now_ns);
    } else if (quote) {
        mem_chunk_put(quote); /* the port has counted it */
    } else {
        stat_inc(&ip->stats.icmp_errors_limited);
    }
    ip_flow_close(ip, &flow);
}

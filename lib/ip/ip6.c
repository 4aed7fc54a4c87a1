// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "base/siphash.h"
#include "ip/priv.h"

/* Extension headers that we walk over before we lose patience: each kind may occur once, options
 * twice (RFC 8200 4.1), and nobody sends that. */
#define EXTENSIONS_MAX 8

/* What struct ip_flow.header holds for IPv6: how each header begins, and the way it goes. */
struct flow6 {
    uint8_t start[8];
    uint8_t by_router; /* the next hop is the router that eth has chosen, */
    uint8_t pad[3];
    uint32_t epoch; /* as of then */
};
static_assert(sizeof(struct flow6) <= sizeof(((struct ip_flow *)0)->header), "it fits");

/* IPv4 addresses are among eth's, too. */
static bool ip6_is_ours(const struct ip *ip, const struct ip_addr *addr)
{
    return !ip_addr_is_v4(addr) && eth_is_ours(ip->eth, addr);
}

bool ip6_is_peer(const struct ip *ip, const struct ip_addr *addr)
{
    return addr->b[0] != 0xff && get_be64(addr->b) != 0 && !eth_is_ours(ip->eth, addr);
}

bool ip6_on_link(const struct ip *ip, const struct ip_addr *addr)
{
    if (ip_addr_is_link_local(addr))
        return true;
    for (uint32_t i = 0; i < ip->prefix6_count; i++)
        if (ip_addr_common_bits(&ip->prefixes6[i].addr, addr) >= ip->prefixes6[i].bits)
            return true;
    return eth_advertised_on_link(ip->eth, addr);
}

/* --- in ------------------------------------------------------------------------------------- */

/* A packet on its way through its extension headers. */
struct walk {
    struct ip_dgram *dgram;
    uint8_t *packet;
    uint32_t len;
    uint32_t at;
    uint32_t next_at; /* where it says what lies at `at` */
    uint8_t next;
    struct icmp6_way way;
};

static void problem(struct ip *ip, const struct walk *walk, uint8_t code, uint32_t at,
                    uint64_t now_ns)
{
    icmp6_error(ip, walk->dgram, ICMP6_PARAMETER_PROBLEM, code, at, now_ns);
}

/* RFC 8200 4.2: an option that is not understood says itself what is to be done. */
static uint64_t *options_check(struct ip *ip, struct walk *walk, uint32_t end, uint64_t now_ns)
{
    static const uint8_t mld_alert[4] = {IP6_OPT_ROUTER_ALERT, 2, 0, 0};
    const uint8_t *p = walk->packet;
    uint32_t i = walk->at + 2;

    while (i < end) {
        if (p[i] == IP6_OPT_PAD1) {
            i++;
            continue;
        }
        if (i + 1 >= end || p[i + 1] + 2u > end - i)
            return &ip->stats.drop_options;
        if (walk->next == IP6_NEXT_HOP_BY_HOP && end - i >= sizeof(mld_alert) &&
            memcmp(p + i, mld_alert, sizeof(mld_alert)) == 0)
            walk->way.router_alert = true;
        if (p[i] != IP6_OPT_PADN && p[i] != IP6_OPT_ROUTER_ALERT &&
            IP6_OPT_ACTION(p[i]) != IP6_OPT_SKIP) {
            if (IP6_OPT_ACTION(p[i]) != IP6_OPT_DISCARD)
                problem(ip, walk, ICMP6_CODE_OPTION, i, now_ns);
            return &ip->stats.drop_options;
        }
        i += p[i + 1] + 2u;
    }
    return NULL;
}

/* RFC 8200 4.4: we are on nobody's route, so that a routing header is passed over only when all of
 * its segments are behind it; type 0 is no exception (RFC 5095 3). */
static uint64_t *routing_check(struct ip *ip, const struct walk *walk, uint64_t now_ns)
{
    const struct ip6_extension *ext = (const struct ip6_extension *)(walk->packet + walk->at);

    if (ext->segments_left == 0)
        return NULL;
    problem(ip, walk, ICMP6_CODE_FIELD,
            walk->at + (uint32_t)offsetof(struct ip6_extension, routing_type), now_ns);
    return &ip->stats.drop_extension;
}

/* One extension header. NULL, or the counter of what is wrong. */
static uint64_t *extension_check(struct ip *ip, struct walk *walk, uint64_t now_ns)
{
    const struct ip6_extension *ext = (const struct ip6_extension *)(walk->packet + walk->at);
    uint64_t *wrong = NULL;
    uint32_t bytes;

    if (walk->len - walk->at < sizeof(*ext))
        return &ip->stats.drop_short;
    bytes = walk->next == IP6_NEXT_FRAGMENT ? (uint32_t)sizeof(struct ip6_fragment)
                                            : (ext->units_more + 1u) * 8;
    if (bytes > walk->len - walk->at)
        return &ip->stats.drop_short;
    if (walk->next == IP6_NEXT_HOP_BY_HOP && walk->at > sizeof(struct ip6_header)) {
        problem(ip, walk, ICMP6_CODE_NEXT_HEADER, walk->next_at, now_ns);
        return &ip->stats.drop_extension; /* it may only be the first one (4.3) */
    }
    if (walk->next == IP6_NEXT_ROUTING)
        wrong = routing_check(ip, walk, now_ns);
    else if (walk->next != IP6_NEXT_FRAGMENT)
        wrong = options_check(ip, walk, walk->at + bytes, now_ns);
    else if (get_be16(((const struct ip6_fragment *)ext)->offset) & IP6_FRAGMENT_MASK)
        wrong = &ip->stats.drop_fragment;
    else
        walk->way.fragment = true; /* RFC 6946: all of it is here */
    walk->next_at = walk->at;
    walk->next = ext->next;
    walk->at += bytes;
    return wrong;
}

static uint64_t *extensions_check(struct ip *ip, struct walk *walk, uint64_t now_ns)
{
    for (uint32_t count = 0; walk->next == IP6_NEXT_HOP_BY_HOP || walk->next == IP6_NEXT_ROUTING ||
                             walk->next == IP6_NEXT_FRAGMENT || walk->next == IP6_NEXT_DESTINATION;
         count++) {
        uint64_t *wrong;

        if (count == EXTENSIONS_MAX)
            return &ip->stats.drop_extension;
        wrong = extension_check(ip, walk, now_ns);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* NULL, or the counter of what is wrong. A source may be unspecified when it probes for its address
 * (RFC 4862 5.4.2), and ours when somebody else claims it (5.4.4), which is ICMPv6's to see. */
static uint64_t *header_check(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram)
{
    const struct ip6_header *h = (const struct ip6_header *)pkt->data;
    static const struct ip_addr unspecified;
    uint32_t payload_len;

    if (unlikely(pkt->len < sizeof(*h)))
        return &ip->stats.drop_short;
    payload_len = get_be16(h->payload_len);
    if (unlikely(payload_len == 0 && h->next == IP6_NEXT_HOP_BY_HOP))
        return &ip->stats.drop_jumbo; /* RFC 2675 3 */
    if (unlikely(payload_len > pkt->len - sizeof(*h)))
        return &ip->stats.drop_short;
    memcpy(dgram->src.b, h->src, sizeof(dgram->src.b));
    memcpy(dgram->dst.b, h->dst, sizeof(dgram->dst.b));
    if (unlikely(pkt->flags & ETH_PKT_GROUP) && !ip_addr_is_multicast(&dgram->dst))
        return &ip->stats.drop_not_ours; /* as RFC 1122 3.3.6 */
    if (unlikely(!ip6_is_ours(ip, &dgram->dst) && !eth_is_our_group(ip->eth, &dgram->dst)))
        return &ip->stats.drop_not_ours;
    if (likely(ip6_is_peer(ip, &dgram->src)) ||
        (h->next == IP_PROTO_ICMP6 &&
         (ip_addr_equal(&dgram->src, &unspecified) || ip6_is_ours(ip, &dgram->src))))
        return NULL;
    return &ip->stats.drop_source;
}

static enum ip_verdict deliver(struct ip *ip, const struct walk *walk, struct ip_error *error,
                               uint64_t now_ns)
{
    static const uint8_t no_checksum[2];
    const struct ip_dgram *dgram = walk->dgram;

    if (walk->next == IP_PROTO_ICMP6)
        return icmp6_input(ip, dgram, walk->way, error, now_ns);
    if (unlikely(ip_addr_is_multicast(&dgram->dst))) {
        stat_inc(&ip->stats.drop_not_ours);
        return IP_DONE;
    }
    switch (walk->next) {
    case IP_PROTO_TCP:
        return IP_TCP;
    case IP_PROTO_UDP: /* RFC 8200 8.1 */
        if (dgram->len >= 8 && memcmp(dgram->payload + 6, no_checksum, 2) == 0) {
            stat_inc(&ip->stats.drop_udp_no_checksum);
            return IP_DONE;
        }
        return IP_UDP;
    case IP6_NEXT_NONE: /* 4.7: it is complete, and says nothing */
        stat_inc(&ip->stats.drop_proto);
        return IP_DONE;
    default:
        stat_inc(&ip->stats.drop_proto);
        problem(ip, walk, ICMP6_CODE_NEXT_HEADER, walk->next_at, now_ns);
        return IP_DONE;
    }
}

enum ip_verdict ip6_input(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram,
                          struct ip_error *error, uint64_t now_ns)
{
    const struct ip6_header *h = (const struct ip6_header *)pkt->data;
    uint64_t *wrong = header_check(ip, pkt, dgram);
    struct walk walk;

    if (unlikely(wrong)) {
        stat_inc(wrong);
        return IP_DONE;
    }
    walk = (struct walk){.dgram = dgram,
                         .packet = pkt->data,
                         .len = (uint32_t)sizeof(*h) + get_be16(h->payload_len),
                         .at = sizeof(*h),
                         .next_at = offsetof(struct ip6_header, next),
                         .next = h->next};
    /* The whole packet, as errors about its extension headers see it. */
    dgram->payload = pkt->data + sizeof(*h);
    dgram->len = walk.len - (uint32_t)sizeof(*h);
    dgram->header_len = sizeof(*h);
    dgram->gso_size = pkt->gso_size;
    dgram->proto = h->next;
    dgram->ttl = h->hop_limit;
    dgram->tos = (uint8_t)(get_be16(h->version_class_label) >> 4);
    dgram->csum_ok = pkt->flags & NMIO_PKT_CSUM_OK;
    if (unlikely(walk.next != IP_PROTO_TCP)) {
        wrong = extensions_check(ip, &walk, now_ns);
        if (wrong) {
            stat_inc(wrong);
            return IP_DONE;
        }
        dgram->payload = pkt->data + walk.at;
        dgram->len = walk.len - walk.at;
        dgram->header_len = (uint16_t)walk.at;
        dgram->proto = walk.next;
    }
    return deliver(ip, &walk, error, now_ns);
}

/* --- flows ---------------------------------------------------------------------------------- */

static struct flow6 *flow6_of(struct ip_flow *flow)
{
    return (struct flow6 *)(void *)flow->header;
}

/* RFC 6437 3: stable, from all that makes the flow, and not to be guessed. */
static void set_label(const struct ip *ip, struct ip_flow *flow, uint32_t ports)
{
    uint8_t key[2 * sizeof(flow->local.b) + sizeof(ports)];
    uint32_t label;

    memcpy(key, flow->local.b, sizeof(flow->local.b));
    memcpy(key + sizeof(flow->local.b), flow->remote.b, sizeof(flow->remote.b));
    put_be32(key + 2 * sizeof(flow->local.b), ports);
    label = (uint32_t)siphash13(ip->label_key, key, sizeof(key)) & IP6_LABEL_MAX;
    put_be32(flow->header, (uint32_t)IP6_VERSION << 24 | (label ? label : 1)); /* 0: no label */
}

void ip_flow_ports(const struct ip *ip, struct ip_flow *flow, uint16_t local, uint16_t remote)
{
    if (ip_flow_is_ip6(flow))
        set_label(ip, flow, (uint32_t)local << 16 | remote);
}

/* RFC 4861 5.2 */
int ip6_flow_open(struct ip *ip, struct ip_flow *flow, uint64_t now_ns)
{
    const struct ip_addr *hop = &flow->remote;
    struct flow6 *flow6 = flow6_of(flow);
    bool by_router = false;

    if (!ip6_is_peer(ip, &flow->remote))
        return -ENETUNREACH;
    if (!ip6_on_link(ip, &flow->remote)) {
        by_router = !ip->has_gateway6;
        hop = by_router ? eth_router(ip->eth) : &ip->gateway6;
        if (!hop)
            return -ENETUNREACH;
    }
    flow->via = eth_neigh_get(ip->eth, hop, now_ns);
    if (!flow->via)
        return -ENOBUFS;
    *flow6 = (struct flow6){.by_router = by_router, .epoch = eth_route_epoch(ip->eth)};
    flow6->start[7] = IP_TTL;
    flow->header_sum = 0;
    set_label(ip, flow, 0);
    return 0;
}

/*
 * Another router has been chosen. Its neighbour entry is held by eth, so that nobody has to be
 * asked for it now, and the time does not matter. If there is none left we stay with what we have:
 * a router that is no longer the default one still forwards, as a rule, and nobody gains by a
 * connection's end.
 */
static void follow_router(struct ip *ip, struct ip_flow *flow)
{
    const struct ip_addr *router = eth_router(ip->eth);
    struct eth_neigh *via;

    flow6_of(flow)->epoch = eth_route_epoch(ip->eth);
    if (!flow6_of(flow)->by_router || !router)
        return;
    via = eth_neigh_get(ip->eth, router, 0);
    eth_neigh_put(ip->eth, flow->via);
    flow->via = via;
}

/* --- out ------------------------------------------------------------------------------------ */

struct nmio_frame *ip6_frame(struct ip *ip, struct ip_flow *flow, uint8_t proto, uint8_t tos)
{
    struct nmio_frame *frame;
    struct ip6_header *h;

    static_assert(offsetof(struct ip_flow, remote) == sizeof(flow->local), "copied in one go");
    if (unlikely(flow6_of(flow)->epoch != eth_route_epoch(ip->eth)))
        follow_router(ip, flow);
    frame = eth_frame(ip->eth);
    if (unlikely(!frame))
        return NULL;
    h = (struct ip6_header *)(frame->header + frame->header_len);
    memcpy(h, flow6_of(flow)->start, sizeof(flow6_of(flow)->start));
    h->version_class_label[0] |= tos >> 4;
    h->version_class_label[1] |= (uint8_t)(tos << 4);
    h->next = proto;
    memcpy(h->src, flow->local.b, sizeof(h->src) + sizeof(h->dst));
    frame->gso_ip6 = 1;
    frame->header_len += sizeof(*h);
    return frame;
}

void ip6_send(struct ip *ip, const struct ip_flow *flow, struct nmio_frame *frame, uint64_t now_ns)
{
    struct ip6_header *h = (struct ip6_header *)(frame->header + ip->link_header);
    uint32_t len = frame->header_len - ip->link_header - (uint32_t)sizeof(*h);

    for (unsigned i = 0; i < frame->slice_count; i++)
        len += frame->slices[i].len;
    assert(len <= IP6_PAYLOAD_MAX);
    put_be16(h->payload_len, (uint16_t)len);
    stat_inc(&ip->stats.tx_packets);
    eth_send(ip->eth, flow->via, ETH_TYPE_IP6, frame, now_ns);
}

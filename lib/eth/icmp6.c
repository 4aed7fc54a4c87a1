// SPDX-License-Identifier: BSD-2-Clause
/* The messages of ICMPv6 that belong to the link: what they have in common, in and out. */
#include "eth/priv.h"

const struct ip_addr icmp6_all_nodes = {{0xff, 2, [15] = 1}};
const struct ip_addr icmp6_all_routers = {{0xff, 2, [15] = 2}};
const struct ip_addr icmp6_unspecified;

/* --- in ------------------------------------------------------------------------------------- */

static void dispatch(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin,
                     uint64_t now_ns)
{
    const struct icmp6_header *h = (const struct icmp6_header *)in->message;

    if (in->len < sizeof(*h) || in->len > NDP_MESSAGE_MAX || ip_addr_is_v4(&in->src)) {
        if (origin == FROM_PORT)
            stat_inc(&eth->stats.drop_ndp_malformed);
        return;
    }
    if (h->type == ICMP6_ROUTER_ADVERT)
        router_input(eth, in, origin, now_ns);
    else if (h->type == ICMP6_MLD_QUERY)
        mld_input(eth, in, origin, now_ns);
    else
        ndp_input(eth, in, origin, now_ns);
}

/* As a frame, though extension headers may have stood between: that is what the program passes on
 * of ARP, too. MLD queries are answered by the worker that gets one. */
static void relay(struct eth *eth, const struct eth_icmp6 *in)
{
    uint8_t frame[ETH_RELAY_MAX] = {0};
    struct eth_header *h = (struct eth_header *)frame;
    struct ip6_header *ip6 = (struct ip6_header *)(h + 1);

    static_assert(sizeof(*h) + sizeof(*ip6) + NDP_MESSAGE_MAX == ETH_RELAY_MAX, "a whole message");
    put_be16(h->type, ETH_TYPE_IP6);
    ip6->version_class_label[0] = IP6_VERSION;
    put_be16(ip6->payload_len, (uint16_t)in->len);
    ip6->next = IP6_NEXT_ICMP;
    ip6->hop_limit = in->hop_limit;
    memcpy(ip6->src, in->src.b, sizeof(ip6->src));
    memcpy(ip6->dst, in->dst.b, sizeof(ip6->dst));
    memcpy(ip6 + 1, in->message, in->len);
    eth->on_arp(eth->on_arp_arg, frame, (uint32_t)(sizeof(*h) + sizeof(*ip6)) + in->len);
}

void eth_icmp6_input(struct eth *eth, const struct eth_icmp6 *in, uint64_t now_ns)
{
    if (eth->on_arp && in->len > 0 && in->len <= NDP_MESSAGE_MAX &&
        in->hop_limit == NDP_HOP_LIMIT && in->message[0] != ICMP6_MLD_QUERY)
        relay(eth, in);
    dispatch(eth, in, FROM_PORT, now_ns);
}

void icmp6_relayed(struct eth *eth, const uint8_t *frame, uint32_t len, uint64_t now_ns)
{
    const struct ip6_header *ip6 = (const struct ip6_header *)(frame + sizeof(struct eth_header));
    const uint32_t headers = sizeof(struct eth_header) + sizeof(*ip6);
    struct eth_icmp6 in;

    if (len < headers || ip6->next != IP6_NEXT_ICMP)
        return;
    in = (struct eth_icmp6){
        .message = frame + headers, .len = len - headers, .hop_limit = ip6->hop_limit};
    memcpy(in.src.b, ip6->src, sizeof(in.src.b));
    memcpy(in.dst.b, ip6->dst, sizeof(in.dst.b));
    dispatch(eth, &in, RELAYED, now_ns);
}

/* --- options -------------------------------------------------------------------------------- */

bool icmp6_options_ok(const uint8_t *options, uint32_t len)
{
    while (len > 0) {
        uint32_t bytes;

        if (len < NDP_OPTION_UNIT || options[1] == 0)
            return false;
        bytes = options[1] * NDP_OPTION_UNIT;
        if (bytes > len)
            return false;
        options += bytes;
        len -= bytes;
    }
    return true;
}

const uint8_t *icmp6_option(const uint8_t *options, uint32_t len, uint8_t type, const uint8_t *at)
{
    const uint8_t *end = options + len;

    for (at = at ? at : options; at < end; at += at[1] * NDP_OPTION_UNIT)
        if (at[0] == type)
            return at;
    return NULL;
}

const uint8_t *icmp6_mac_option(const struct eth *eth, const uint8_t *options, uint32_t len,
                                uint8_t type, bool *bad)
{
    const struct ndp_mac_option *option =
        (const struct ndp_mac_option *)icmp6_option(options, len, type, NULL);

    if (!option)
        return NULL;
    *bad = option->units != 1 || !eth_mac_is_station(option->mac) ||
           eth_mac_equal(option->mac, eth->caps->mac);
    return option->mac;
}

/* --- groups --------------------------------------------------------------------------------- */

void icmp6_group_mac(uint8_t *mac, const struct ip_addr *group)
{
    mac[0] = mac[1] = 0x33;
    memcpy(mac + 2, group->b + 12, 4);
}

struct ip_addr icmp6_solicited_group(const struct ip_addr *addr)
{
    struct ip_addr group = {{0xff, 2, [11] = 1, [12] = 0xff}};

    memcpy(group.b + 13, addr->b + 13, 3);
    return group;
}

/* --- out ------------------------------------------------------------------------------------ */

struct nmio_frame *icmp6_frame(struct eth *eth, const struct ip_addr *src,
                               const struct ip_addr *dst)
{
    struct nmio_frame *frame = eth_frame(eth);
    struct ip6_header *h;

    if (!frame)
        return NULL;
    h = (struct ip6_header *)(frame->header + frame->header_len);
    memset(h, 0, sizeof(*h));
    h->version_class_label[0] = IP6_VERSION;
    h->next = IP6_NEXT_ICMP;
    h->hop_limit = NDP_HOP_LIMIT;
    memcpy(h->src, src->b, sizeof(h->src));
    memcpy(h->dst, dst->b, sizeof(h->dst));
    frame->header_len += sizeof(*h);
    return frame;
}

void icmp6_put_mac(const struct eth *eth, struct nmio_frame *frame, uint8_t type)
{
    struct ndp_mac_option *option = (struct ndp_mac_option *)(frame->header + frame->header_len);

    option->type = type;
    option->units = sizeof(*option) / NDP_OPTION_UNIT;
    memcpy(option->mac, eth->caps->mac, ETH_MAC_BYTES);
    frame->header_len += sizeof(*option);
}

/* RFC 1071; all parts have an even length. */
static uint32_t sum_words(uint32_t sum, const uint8_t *p, uint32_t len)
{
    for (; len > 0; p += 2, len -= 2)
        sum += get_be16(p);
    return sum;
}

void icmp6_seal(const struct eth *eth, struct nmio_frame *frame, uint32_t message_at)
{
    struct ip6_header *h = (struct ip6_header *)(frame->header + eth->header_len);
    struct icmp6_header *icmp = (struct icmp6_header *)(frame->header + message_at);
    uint32_t header = frame->header_len - message_at, len = header, sum;

    for (unsigned i = 0; i < frame->slice_count; i++)
        len += frame->slices[i].len;
    put_be16(h->payload_len, (uint16_t)(len + message_at - eth->header_len - (uint32_t)sizeof(*h)));
    memset(icmp->checksum, 0, sizeof(icmp->checksum));
    sum = sum_words(len + IP6_NEXT_ICMP, h->src, sizeof(h->src) + sizeof(h->dst));
    sum = sum_words(sum, frame->header + message_at, header);
    for (unsigned i = 0; i < frame->slice_count; i++)
        sum = sum_words(sum, frame->slices[i].data, frame->slices[i].len);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(icmp->checksum, (uint16_t)~sum);
}

void icmp6_send(struct eth *eth, struct nmio_frame *frame, const uint8_t *mac, uint32_t message_at,
                uint64_t now_ns)
{
    icmp6_seal(eth, frame, message_at);
    eth_put_header(eth, frame, mac, ETH_TYPE_IP6);
    nmio_tx(eth->port, frame, now_ns);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "ip/ip.h"

#include <errno.h>

#include "ip/priv.h"

const struct stat_desc ip_stat_descs[] = {IP_STATS(STAT_DESC, struct ip_stats){0}};

static int prefix4_copy(struct ip *ip, const struct ip_prefix *from, uint32_t count)
{
    struct ip4_prefix *to = &ip->prefixes[ip->prefix_count];

    if (from->bits > 32)
        return -EINVAL;
    to->addr = ip4_of(&from->addr);
    to->count = count;
    to->mask = from->bits ? UINT32_MAX << (32 - from->bits) : 0;
    to->broadcast = from->bits < 31 ? to->addr | ~to->mask : 0;
    ip->prefix_count++;
    return 0;
}

/* No link for IPv6 takes less than 1,280 bytes (RFC 8200 5). */
static int prefix6_copy(struct ip *ip, const struct ip_prefix *from)
{
    if (from->bits > 128 || ip->caps->mtu < IP6_MTU_MIN || !eth_is_ours(ip->eth, &from->addr))
        return -EINVAL;
    ip->prefixes6[ip->prefix6_count++] = *from;
    return 0;
}

static int prefixes_copy(struct ip *ip, const struct ip_config *config)
{
    uint32_t count = config->prefix_count;

    ip->prefixes = mem_arena_alloc(config->arena, count * sizeof(*ip->prefixes), CACHE_LINE);
    ip->prefixes6 = mem_arena_alloc(config->arena, count * sizeof(*ip->prefixes6), CACHE_LINE);
    if (!ip->prefixes || !ip->prefixes6)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct ip_prefix *from = &config->prefixes[i];
        uint32_t many = config->counts ? max_u32(config->counts[i], 1) : 1;
        int rc = ip_addr_is_v4(&from->addr) ? prefix4_copy(ip, from, many) : prefix6_copy(ip, from);

        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0; i < ip->prefix_count; i++) {
        struct ip4_prefix ours = ip->prefixes[i];

        ip->prefixes[i].count = 0; /* so that they are judged like somebody else's */
        if (!ip4_is_peer(ip, ours.addr) || !ip4_is_peer(ip, ours.addr + ours.count - 1))
            return -EINVAL;
        ip->prefixes[i] = ours;
    }
    return 0;
}

static bool on_link(const struct ip *ip, uint32_t addr)
{
    for (uint32_t i = 0; i < ip->prefix_count; i++)
        if (((addr ^ ip->prefixes[i].addr) & ip->prefixes[i].mask) == 0)
            return true;
    return false;
}

static int gateways_copy(struct ip *ip, const struct ip_config *config)
{
    if (config->gateway) {
        uint32_t gateway = ip4_of(config->gateway);

        if (!ip_addr_is_v4(config->gateway) || !ip4_is_peer(ip, gateway) || !on_link(ip, gateway))
            return -EINVAL;
        ip->gateway = *config->gateway;
        ip->has_gateway = true;
    }
    if (config->gateway6) {
        if (!ip6_is_peer(ip, config->gateway6) || !ip6_on_link(ip, config->gateway6))
            return -EINVAL;
        ip->gateway6 = *config->gateway6;
        ip->has_gateway6 = true;
    }
    return 0;
}

static int gateways_hold(struct ip *ip, uint64_t now_ns)
{
    if (ip->has_gateway) {
        ip->gateways[0] = eth_neigh_get(ip->eth, &ip->gateway, now_ns);
        if (!ip->gateways[0])
            return -ENOBUFS;
    }
    if (ip->has_gateway6) {
        ip->gateways[1] = eth_neigh_get(ip->eth, &ip->gateway6, now_ns);
        if (!ip->gateways[1])
            return -ENOBUFS;
    }
    return 0;
}

static void gateways_release(struct ip *ip)
{
    for (size_t i = 0; i < array_len(ip->gateways); i++)
        if (ip->gateways[i])
            eth_neigh_put(ip->eth, ip->gateways[i]);
}

int ip_open(struct ip **out, const struct ip_config *config, uint64_t now_ns)
{
    struct ip *ip;
    int rc;

    if (config->prefix_count == 0)
        return -EINVAL;
    ip = mem_arena_alloc(config->arena, sizeof(*ip), CACHE_LINE);
    if (!ip)
        return -ENOMEM;
    ip->eth = config->eth;
    ip->caps = eth_caps(config->eth);
    ip->link_header = eth_header_bytes(config->eth);
    memcpy(ip->label_key, config->secret, sizeof(ip->label_key));
    rc = prefixes_copy(ip, config);
    if (rc != 0)
        return rc; /* what was taken from the arena stays the arena's */
    rc = gateways_copy(ip, config);
    if (rc != 0)
        return rc;
    rc = icmp_open(ip, config, now_ns);
    if (rc != 0)
        return rc;
    rc = gateways_hold(ip, now_ns);
    if (rc != 0) {
        gateways_release(ip);
        return rc;
    }
    *out = ip;
    return 0;
}

/* The rest lies in the arena and in the port. */
void ip_close(struct ip *ip)
{
    gateways_release(ip);
}

enum ip_verdict ip_input(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram,
                         struct ip_error *error, uint64_t now_ns)
{
    stat_inc(&ip->stats.rx_packets);
    if (unlikely(pkt->len < IP4_HEADER_BYTES)) {
        stat_inc(&ip->stats.drop_short);
        return IP_DONE;
    }
    switch (pkt->data[0] >> 4) {
    case 4:
        return ip4_input(ip, pkt, dgram, error, now_ns);
    case 6:
        return ip6_input(ip, pkt, dgram, error, now_ns);
    default:
        stat_inc(&ip->stats.drop_version);
        return IP_DONE;
    }
}

int ip_flow_open(struct ip *ip, struct ip_flow *flow, uint64_t now_ns)
{
    const struct ip_addr *hop = &flow->remote;

    if (!ip_addr_is_ours(ip, &flow->local))
        return -EADDRNOTAVAIL;
    if (!ip_addr_is_v4(&flow->local))
        return ip6_flow_open(ip, flow, now_ns);
    if (!ip_addr_is_v4(&flow->remote) || !ip4_is_peer(ip, ip4_of(&flow->remote)))
        return -ENETUNREACH;
    if (!on_link(ip, ip4_of(&flow->remote))) {
        if (!ip->has_gateway)
            return -ENETUNREACH;
        hop = &ip->gateway;
    }
    flow->via = eth_neigh_get(ip->eth, hop, now_ns);
    if (!flow->via)
        return -ENOBUFS;
    ip4_flow_header(flow);
    return 0;
}

void ip_flow_close(struct ip *ip, struct ip_flow *flow)
{
    eth_neigh_put(ip->eth, flow->via);
    flow->via = NULL;
}

void ip_flow_confirm(struct ip_flow *flow, uint64_t now_ns)
{
    eth_neigh_confirm(flow->via, now_ns);
}

uint32_t ip_payload_max(const struct ip *ip, const struct ip_flow *flow)
{
    if (ip_flow_is_ip6(flow))
        return eth_ip6_mtu(ip->eth) - IP6_HEADER_BYTES;
    return ip->caps->mtu - IP4_HEADER_BYTES;
}

uint32_t ip_gso_payload_max(const struct ip *ip, const struct ip_flow *flow)
{
    uint32_t header = ip_flow_is_ip6(flow) ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;

    if (ip->caps->gso_bytes == 0)
        return 0;
    return min_u32(ip->caps->gso_bytes, IP4_TOTAL_MAX) - header;
}

uint32_t ip_header_bytes(const struct ip_flow *flow)
{
    return ip_flow_is_ip6(flow) ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;
}

const struct nmio_caps *ip_caps(const struct ip *ip)
{
    return ip->caps;
}

bool ip_addr_is_ours(const struct ip *ip, const struct ip_addr *addr)
{
    return ip_addr_is_v4(addr) ? ip4_is_ours(ip, ip4_of(addr)) : eth_is_ours(ip->eth, addr);
}

const struct ip_stats *ip_stats(const struct ip *ip)
{
    return &ip->stats;
}

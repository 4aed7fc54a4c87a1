// SPDX-License-Identifier: BSD-2-Clause
#include "ip/ip.h"

#include <errno.h>

#include "ip/priv.h"

const struct stat_desc ip_stat_descs[] = {IP_STATS(STAT_DESC, struct ip_stats){0}};

static int prefixes_copy(struct ip *ip, const struct ip_config *config)
{
    ip->prefixes =
        mem_arena_alloc(config->arena, config->prefix_count * sizeof(*ip->prefixes), CACHE_LINE);
    if (!ip->prefixes)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->prefix_count; i++) {
        const struct ip_prefix *from = &config->prefixes[i];
        struct ip4_prefix *to = &ip->prefixes[i];

        if (!ip_addr_is_v4(&from->addr))
            return -EAFNOSUPPORT;
        if (from->bits > 32)
            return -EINVAL;
        to->addr = ip4_of(&from->addr);
        to->count = config->counts ? max_u32(config->counts[i], 1) : 1;
        to->mask = from->bits ? UINT32_MAX << (32 - from->bits) : 0;
        to->broadcast = from->bits < 31 ? to->addr | ~to->mask : 0;
        ip->prefix_count++;
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
    rc = prefixes_copy(ip, config);
    if (rc != 0)
        return rc; /* what was taken from the arena stays the arena's */
    if (config->gateway) {
        uint32_t gateway = ip4_of(config->gateway);

        if (!ip_addr_is_v4(config->gateway))
            return -EAFNOSUPPORT;
        if (!ip4_is_peer(ip, gateway) || !on_link(ip, gateway))
            return -EINVAL;
        ip->gateway = *config->gateway;
        ip->has_gateway = true;
    }
    rc = icmp_open(ip, config, now_ns);
    if (rc != 0)
        return rc;
    *out = ip;
    return 0;
}

/* All of it lies in the arena and in the port; there is nothing to undo. */
void ip_close(struct ip *ip)
{
    (void)ip;
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
        stat_inc(&ip->stats.drop_ip6);
        return IP_DONE;
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
    return ip->caps->mtu - IP4_HEADER_BYTES;
}

uint32_t ip_gso_payload_max(const struct ip *ip, const struct ip_flow *flow)
{
    if (ip->caps->gso_bytes == 0)
        return 0;
    return min_u32(ip->caps->gso_bytes, IP4_TOTAL_MAX) - IP4_HEADER_BYTES;
}

const struct nmio_caps *ip_caps(const struct ip *ip)
{
    return ip->caps;
}

bool ip_addr_is_ours(const struct ip *ip, const struct ip_addr *addr)
{
    return ip_addr_is_v4(addr) && ip4_is_ours(ip, ip4_of(addr));
}

const struct ip_stats *ip_stats(const struct ip *ip)
{
    return &ip->stats;
}

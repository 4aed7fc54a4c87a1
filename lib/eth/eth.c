// SPDX-License-Identifier: BSD-2-Clause
#include "eth/eth.h"

#include <errno.h>

#include "eth/priv.h"

const struct stat_desc eth_stat_descs[] = {ETH_STATS(STAT_DESC, struct eth_stats){0}};
const uint8_t eth_broadcast[ETH_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static int addrs_copy(struct eth *eth, const struct eth_config *config)
{
    size_t bytes = config->addr_count * sizeof(*eth->addrs);

    eth->addrs = mem_arena_alloc(config->arena, bytes, CACHE_LINE);
    if (!eth->addrs)
        return -ENOMEM;
    memcpy(eth->addrs, config->addrs, bytes);
    eth->addr_count = config->addr_count;
    eth->addr_counts = mem_arena_alloc(config->arena, config->addr_count * sizeof(uint32_t), 4);
    if (!eth->addr_counts)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->addr_count; i++)
        eth->addr_counts[i] = config->addr_counts ? max_u32(config->addr_counts[i], 1) : 1;
    if (!config->prefix_bits)
        return 0;
    eth->prefix_bits = mem_arena_alloc(config->arena, config->addr_count, 1);
    if (!eth->prefix_bits)
        return -ENOMEM;
    memcpy(eth->prefix_bits, config->prefix_bits, config->addr_count);
    return 0;
}

int eth_open(struct eth **out, const struct eth_config *config, uint64_t now_ns)
{
    const struct nmio_caps *caps = nmio_caps(config->port);
    struct eth *eth;
    int rc;

    if (config->addr_count == 0 || config->neigh_max > NEIGH_LIMIT ||
        !eth_mac_is_station(caps->mac))
        return -EINVAL;
    eth = mem_arena_alloc(config->arena, sizeof(*eth), CACHE_LINE);
    if (!eth)
        return -ENOMEM;
    eth->port = config->port;
    eth->caps = caps;
    eth->on_arp = config->on_arp;
    eth->on_arp_arg = config->on_arp_arg;
    rc = addrs_copy(eth, config);
    if (rc == 0)
        rc = neigh_open(eth, config);
    if (rc != 0)
        return rc; /* what was taken from the arena stays the arena's */
    timer_wheel_init(&eth->timers, now_ns);
    timer_init(&eth->announce);
    eth->announce_left = ARP_ANNOUNCE_COUNT;
    timer_arm(&eth->timers, &eth->announce, now_ns);
    *out = eth;
    return 0;
}

void eth_close(struct eth *eth)
{
    neigh_close(eth);
}

bool eth_is_ours(const struct eth *eth, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < eth->addr_count; i++)
        if (get_be32(addr->b + 12) - get_be32(eth->addrs[i].b + 12) < eth->addr_counts[i] &&
            memcmp(eth->addrs[i].b, addr->b, 12) == 0)
            return true;
    return false;
}

bool eth_on_link(const struct eth *eth, const struct ip_addr *addr)
{
    if (!eth->prefix_bits)
        return true;
    for (uint32_t i = 0; i < eth->addr_count; i++) {
        unsigned bits = eth->prefix_bits[i] + (ip_addr_is_v4(&eth->addrs[i]) ? 96u : 0u);

        if (ip_addr_common_bits(&eth->addrs[i], addr) >= bits)
            return true;
    }
    return false;
}

/* Only ARP is taken from broadcasts: a datagram that the link broadcasts to a unicast address is to
 * be discarded (RFC 1122 3.3.6). */
enum eth_verdict eth_input(struct eth *eth, struct nmio_pkt *pkt, uint64_t now_ns)
{
    const struct eth_header *h = (const struct eth_header *)pkt->data;
    bool to_us;
    uint16_t type;

    stat_inc(&eth->stats.rx_frames);
    if (unlikely(pkt->len < sizeof(*h))) {
        stat_inc(&eth->stats.drop_short);
        return ETH_DONE;
    }
    type = get_be16(h->type);
    to_us = eth_mac_equal(h->dst, eth->caps->mac);
    if (unlikely(!to_us && !(type == ETH_TYPE_ARP && eth_mac_equal(h->dst, eth_broadcast)))) {
        stat_inc(&eth->stats.drop_not_ours);
        return ETH_DONE;
    }
    if (unlikely(!eth_mac_is_station(h->src) || eth_mac_equal(h->src, eth->caps->mac))) {
        stat_inc(&eth->stats.drop_source);
        return ETH_DONE;
    }
    if (unlikely(type != ETH_TYPE_IP4 && type != ETH_TYPE_IP6)) {
        if (type == ETH_TYPE_ARP)
            arp_input(eth, pkt->data, pkt->len, ARP_FROM_PORT, now_ns);
        else
            stat_inc(&eth->stats.drop_type);
        return ETH_DONE;
    }
    pkt->data += sizeof(*h);
    pkt->len -= sizeof(*h);
    return type == ETH_TYPE_IP4 ? ETH_IP4 : ETH_IP6;
}

void eth_input_relayed(struct eth *eth, const uint8_t *frame, uint32_t len, uint64_t now_ns)
{
    stat_inc(&eth->stats.arp_relayed_in);
    arp_input(eth, frame, len, ARP_RELAYED, now_ns);
}

void eth_timers(struct eth *eth, uint64_t now_ns)
{
    struct timer *timer;

    while ((timer = timer_pop(&eth->timers, now_ns))) {
        if (timer == &eth->announce)
            arp_announce_timer(eth, now_ns);
        else
            neigh_timer(eth, container_of(timer, struct eth_neigh, timer), now_ns);
    }
}

uint64_t eth_next_ns(const struct eth *eth)
{
    return timer_next_ns(&eth->timers);
}

struct nmio_frame *eth_frame(struct eth *eth)
{
    struct nmio_frame *frame = nmio_frame(eth->port);

    if (likely(frame))
        frame->header_len = ETH_HEADER_BYTES;
    return frame;
}

void eth_transmit(struct eth *eth, const struct eth_neigh *neigh, uint16_t ethertype,
                  struct nmio_frame *frame, uint64_t now_ns)
{
    memcpy(frame->header, neigh->macs, sizeof(neigh->macs));
    put_be16(frame->header + sizeof(neigh->macs), ethertype);
    nmio_tx(eth->port, frame, now_ns);
}

void eth_send(struct eth *eth, struct eth_neigh *neigh, uint16_t ethertype,
              struct nmio_frame *frame, uint64_t now_ns)
{
    if (likely(neigh->state == NEIGH_REACHABLE && now_ns < neigh->fresh_until_ns))
        eth_transmit(eth, neigh, ethertype, frame, now_ns);
    else
        neigh_send_slow(eth, neigh, ethertype, frame, now_ns);
}

const struct eth_stats *eth_stats(const struct eth *eth)
{
    return &eth->stats;
}

const struct nmio_caps *eth_caps(const struct eth *eth)
{
    return eth->caps;
}

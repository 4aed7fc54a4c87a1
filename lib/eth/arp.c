// SPDX-License-Identifier: BSD-2-Clause
#include "eth/priv.h"

struct arp {
    uint16_t op;
    bool to_us; /* the frame was sent to our Ethernet address and names it as its target */
    const uint8_t *sha;
    struct ip_addr spa, tpa;
    bool spa_zero; /* a probe: the sender has no address yet (RFC 5227 1.1) */
};

/* RFC 1122 3.2.1.3: loopback, multicast, reserved and broadcast addresses are no host's. */
static bool ip4_is_host(const uint8_t *ip4)
{
    return ip4[0] != 0 && ip4[0] != 127 && ip4[0] < 224;
}

/* NULL, or the counter of what is wrong. */
static uint64_t *arp_parse(struct eth *eth, const uint8_t *frame, uint32_t len, struct arp *arp)
{
    static const uint8_t zero[4];
    const struct eth_header *h = (const struct eth_header *)frame;
    const struct arp_packet *p = (const struct arp_packet *)(frame + sizeof(*h));

    if (len < sizeof(*h) + sizeof(*p))
        return &eth->stats.drop_short;
    arp->op = get_be16(p->op);
    arp->sha = p->sha;
    arp->spa = ip_addr_v4(p->spa);
    arp->tpa = ip_addr_v4(p->tpa);
    arp->spa_zero = memcmp(p->spa, zero, sizeof(zero)) == 0;
    arp->to_us = eth_mac_equal(h->dst, eth->caps->mac) && eth_mac_equal(p->tha, eth->caps->mac);
    if (get_be16(p->htype) != ARP_HTYPE_ETHERNET || get_be16(p->ptype) != ETH_TYPE_IP4 ||
        p->hlen != ETH_MAC_BYTES || p->plen != sizeof(p->spa))
        return &eth->stats.drop_arp_malformed;
    if (arp->op != ARP_OP_REQUEST && arp->op != ARP_OP_REPLY)
        return &eth->stats.drop_arp_malformed;
    if (!eth_mac_is_station(p->sha) || eth_mac_equal(p->sha, eth->caps->mac))
        return &eth->stats.drop_arp_malformed;
    if (!ip4_is_host(p->spa) && !(arp->spa_zero && arp->op == ARP_OP_REQUEST))
        return &eth->stats.drop_arp_malformed;
    return NULL;
}

static bool arp_send(struct eth *eth, uint16_t op, const uint8_t *dst, const struct ip_addr *spa,
                     const uint8_t *tha, const struct ip_addr *tpa, uint64_t now_ns)
{
    struct nmio_frame *frame = eth_frame(eth);
    struct arp_packet *p;

    if (!frame)
        return false; /* the port has counted it; a request is repeated, an answer asked for again
                       */
    eth_put_header(eth, frame, dst, ETH_TYPE_ARP);
    p = (struct arp_packet *)(frame->header + frame->header_len);
    put_be16(p->htype, ARP_HTYPE_ETHERNET);
    put_be16(p->ptype, ETH_TYPE_IP4);
    p->hlen = ETH_MAC_BYTES;
    p->plen = sizeof(p->spa);
    put_be16(p->op, op);
    memcpy(p->sha, eth->caps->mac, ETH_MAC_BYTES);
    memcpy(p->spa, spa->b + 12, sizeof(p->spa));
    memcpy(p->tha, tha, ETH_MAC_BYTES);
    memcpy(p->tpa, tpa->b + 12, sizeof(p->tpa));
    frame->header_len += sizeof(*p);
    nmio_tx(eth->port, frame, now_ns);
    return true;
}

/* A request that asks for our own address: everybody hears whose it is (RFC 5227 3). */
static void announce(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns)
{
    static const uint8_t unknown[ETH_MAC_BYTES];

    if (ip_addr_is_v4(addr) &&
        arp_send(eth, ARP_OP_REQUEST, eth_broadcast, addr, unknown, addr, now_ns))
        stat_inc(&eth->stats.arp_announced);
}

void arp_announce_timer(struct eth *eth, uint64_t now_ns)
{
    for (uint32_t i = 0; i < eth->addr_count; i++)
        announce(eth, &eth->addrs[i], now_ns);
    if (--eth->announce_left > 0)
        timer_arm(&eth->timers, &eth->announce, now_ns + ARP_ANNOUNCE_NS);
}

void arp_ask(struct eth *eth, const struct ip_addr *target, const uint8_t *mac, uint64_t now_ns)
{
    static const uint8_t unknown[ETH_MAC_BYTES];
    const struct ip_addr *from = eth_nearest_addr(eth, target);

    if (from &&
        arp_send(eth, ARP_OP_REQUEST, mac ? mac : eth_broadcast, from, unknown, target, now_ns))
        stat_inc(&eth->stats.arp_requests_out);
}

/*
 * RFC 5227 2.4: a server has connections to lose, so it keeps its address (case b) and says so
 * once; if the other one insists there is nothing to gain from shouting, only somebody to tell.
 */
static void conflict(struct eth *eth, const struct arp *arp, enum eth_origin origin,
                     uint64_t now_ns)
{
    if (origin == RELAYED)
        return;
    stat_inc(&eth->stats.arp_conflicts);
    if (now_ns < eth->defend_ns)
        return;
    eth->defend_ns = now_ns + ARP_DEFEND_NS;
    announce(eth, &arp->spa, now_ns);
}

/* A reply may be an announcement, too: to nobody, about itself (RFC 5227 3 knows of both). */
static void reply_input(struct eth *eth, const struct arp *arp, enum eth_origin origin,
                        uint64_t now_ns)
{
    struct eth_neigh *neigh = neigh_find(eth, &arp->spa);
    bool asked = neigh && arp->to_us && eth_is_ours(eth, &arp->tpa) &&
                 neigh_answered(eth, neigh, arp->sha, now_ns);
    bool announced = ip_addr_equal(&arp->spa, &arp->tpa);

    if (neigh && !asked)
        neigh_claimed(eth, neigh, arp->sha, announced ? CLAIM_ANNOUNCED : CLAIM_WORTHLESS, now_ns);
    if (origin == FROM_PORT)
        stat_inc(asked       ? &eth->stats.arp_replies_in
                 : announced ? &eth->stats.arp_others_in
                             : &eth->stats.drop_arp_unasked);
}

static void request_input(struct eth *eth, const struct arp *arp, enum eth_origin origin,
                          uint64_t now_ns)
{
    bool for_us = eth_is_ours(eth, &arp->tpa);
    struct eth_neigh *neigh = NULL;

    if (!arp->spa_zero)
        neigh = neigh_find(eth, &arp->spa);
    if (for_us && !neigh && !arp->spa_zero && eth_on_link(eth, &arp->spa))
        neigh = neigh_create(eth, &arp->spa); /* without a place it is simply not remembered */
    if (neigh && for_us)
        neigh_claimed(eth, neigh, arp->sha, CLAIM_TO_US, now_ns);
    else if (neigh && ip_addr_equal(&arp->spa, &arp->tpa))
        neigh_claimed(eth, neigh, arp->sha, CLAIM_ANNOUNCED, now_ns);
    if (origin == RELAYED)
        return;
    stat_inc(for_us ? &eth->stats.arp_requests_in : &eth->stats.arp_others_in);
    if (for_us && arp_send(eth, ARP_OP_REPLY, arp->sha, &arp->tpa, arp->sha, &arp->spa, now_ns))
        stat_inc(&eth->stats.arp_replies_out);
}

void arp_input(struct eth *eth, const uint8_t *frame, uint32_t len, enum eth_origin origin,
               uint64_t now_ns)
{
    struct arp arp;
    uint64_t *wrong = arp_parse(eth, frame, len, &arp);

    if (wrong) {
        if (origin == FROM_PORT)
            stat_inc(wrong);
        return;
    }
    if (origin == FROM_PORT && eth->on_arp)
        eth->on_arp(eth->on_arp_arg, frame, min_u32(len, ETH_RELAY_MAX)); /* the rest is padding */
    if (eth_is_ours(eth, &arp.spa))
        conflict(eth, &arp, origin, now_ns);
    else if (arp.op == ARP_OP_REPLY)
        reply_input(eth, &arp, origin, now_ns);
    else
        request_input(eth, &arp, origin, now_ns);
}

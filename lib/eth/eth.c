// SPDX-License-Identifier: BSD-2-Clause
#include "eth/eth.h"

#include <errno.h>

#include "base/siphash.h"
#include "eth/priv.h"

const struct stat_desc eth_stat_descs[] = {ETH_STATS(STAT_DESC, struct eth_stats){0}};
const uint8_t eth_broadcast[ETH_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* RFC 4291 2.5.1 and appendix A: the universal bit is turned over, and ff:fe lies in the middle. */
static struct ip_addr link_local_addr(const uint8_t *mac)
{
    struct ip_addr addr = {{0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe}};

    memcpy(addr.b + 13, mac + 3, 3);
    return addr;
}

/* IPv6 needs a link-local address (RFC 4291 2.8); one is made unless the program brings its own. */
static bool link_local_is_missing(const struct eth_config *config)
{
    bool missing = false;

    for (uint32_t i = 0; i < config->addr_count; i++) {
        if (ip_addr_is_link_local(&config->addrs[i]))
            return false;
        missing |= !ip_addr_is_v4(&config->addrs[i]);
    }
    return missing;
}

static int addrs_copy(struct eth *eth, const struct eth_config *config)
{
    uint32_t count = config->addr_count + link_local_is_missing(config);

    eth->addrs = mem_arena_alloc(config->arena, count * sizeof(*eth->addrs), CACHE_LINE);
    eth->addr_states = mem_arena_alloc(config->arena, count, 1);
    if (!eth->addrs || !eth->addr_states)
        return -ENOMEM;
    eth->addr_counts = mem_arena_alloc(config->arena, count * sizeof(uint32_t), 4);
    if (!eth->addr_counts)
        return -ENOMEM;
    memcpy(eth->addrs, config->addrs, config->addr_count * sizeof(*eth->addrs));
    if (count > config->addr_count)
        eth->addrs[count - 1] = link_local_addr(eth->caps->mac);
    for (uint32_t i = 0; i < count; i++) {
        bool v4 = ip_addr_is_v4(&eth->addrs[i]);
        bool many = config->addr_counts && i < config->addr_count;

        eth->addr_counts[i] = many ? max_u32(config->addr_counts[i], 1) : 1;
        if (!v4 && (!ip6_is_host(&eth->addrs[i]) || eth->addr_counts[i] > 1))
            return -EINVAL;
        eth->addr_states[i] = v4 ? ADDR_PREFERRED : ADDR_OPTIMISTIC;
    }
    eth->addr_count = count;
    if (!config->prefix_bits)
        return 0;
    eth->prefix_bits = mem_arena_alloc(config->arena, count, 1);
    if (!eth->prefix_bits)
        return -ENOMEM;
    memset(eth->prefix_bits, 64, count);
    memcpy(eth->prefix_bits, config->prefix_bits, config->addr_count);
    return 0;
}

static bool has_ip6(const struct eth *eth)
{
    for (uint32_t i = 0; i < eth->addr_count; i++)
        if (!ip_addr_is_v4(&eth->addrs[i]))
            return true;
    return false;
}

int eth_open(struct eth **out, const struct eth_config *config, uint64_t now_ns)
{
    const struct nmio_caps *caps = nmio_caps(config->port);
    struct eth *eth;
    int rc;

    if (config->addr_count == 0 || config->neigh_max > NEIGH_LIMIT || config->vlan > ETH_VLAN_MAX ||
        !eth_mac_is_station(caps->mac))
        return -EINVAL;
    eth = mem_arena_alloc(config->arena, sizeof(*eth), CACHE_LINE);
    if (!eth)
        return -ENOMEM;
    eth->port = config->port;
    eth->caps = caps;
    eth->vlan = config->vlan;
    eth->header_len = ETH_HEADER_BYTES + (eth->vlan ? sizeof(struct eth_vlan_tag) : 0);
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
    /* The link sees the delays, and must not learn anything of the key from them. */
    rand_seed(&eth->mld_delay, siphash13(config->hash_key, "mld", 3));
    router_open(eth, config->take_routers && has_ip6(eth), now_ns);
    ndp_open(eth, now_ns);
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
            return eth->addr_states[i] != ADDR_DUPLICATE;
    return false;
}

const struct ip_addr *eth_nearest_addr(const struct eth *eth, const struct ip_addr *target)
{
    const struct ip_addr *best = NULL;

    for (uint32_t i = 0; i < eth->addr_count; i++) {
        const struct ip_addr *addr = &eth->addrs[i];

        if (ip_addr_is_v4(addr) == ip_addr_is_v4(target) && eth->addr_states[i] != ADDR_DUPLICATE &&
            (!best || ip_addr_common_bits(addr, target) > ip_addr_common_bits(best, target)))
            best = addr;
    }
    return best;
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
    return !ip_addr_is_v4(addr) && eth_advertised_on_link(eth, addr);
}

/* The frame is of our VLAN, or of none if we have none (the tag of VLAN 0 gives only a priority,
 * IEEE 802.1Q 9.6); its addresses then take the tag's place. Else it is dropped and counted. */
static bool vlan_untag(struct eth *eth, struct nmio_pkt *pkt, bool tagged)
{
    const struct eth_vlan_tag *tag =
        (const struct eth_vlan_tag *)(pkt->data + offsetof(struct eth_header, type));
    uint16_t vlan = 0;

    if (tagged && pkt->len < sizeof(struct eth_header) + sizeof(*tag)) {
        stat_inc(&eth->stats.drop_short);
        return false;
    }
    if (tagged)
        vlan = get_be16(tag->tci) & VLAN_TCI_VID;
    if (vlan != eth->vlan) {
        stat_inc(&eth->stats.drop_vlan);
        return false;
    }
    if (tagged) {
        memmove(pkt->data + sizeof(*tag), pkt->data, offsetof(struct eth_header, type));
        pkt->data += sizeof(*tag);
        pkt->len -= sizeof(*tag);
    }
    return true;
}

/* Only ARP is taken from broadcasts, and only IPv6 from groups: a datagram that the link broadcasts
 * to a unicast address is to be discarded (RFC 1122 3.3.6). ip goes by the packet's version, so
 * that it counts here, too. */
static bool is_for_us_too(const struct eth *eth, const struct nmio_pkt *pkt, uint16_t type)
{
    const struct eth_header *h = (const struct eth_header *)pkt->data;

    if (type == ETH_TYPE_ARP)
        return eth_mac_equal(h->dst, eth_broadcast);
    return type == ETH_TYPE_IP6 && pkt->len > sizeof(*h) && pkt->data[sizeof(*h)] >> 4 == 6 &&
           ndp_is_our_group_mac(eth, h->dst);
}

static bool is_source(const struct eth *eth, const uint8_t *mac)
{
    return eth_mac_is_station(mac) && !eth_mac_equal(mac, eth->caps->mac);
}

/* Whatever is not a plain IP packet to us: checked from the start. */
static __attribute__((noinline)) enum eth_verdict input_slow(struct eth *eth, struct nmio_pkt *pkt,
                                                             uint64_t now_ns)
{
    const struct eth_header *h = (const struct eth_header *)pkt->data;
    uint16_t type;

    if (pkt->len < sizeof(*h)) {
        stat_inc(&eth->stats.drop_short);
        return ETH_DONE;
    }
    if (!vlan_untag(eth, pkt, get_be16(h->type) == ETH_TYPE_VLAN))
        return ETH_DONE;
    h = (const struct eth_header *)pkt->data;
    type = get_be16(h->type);
    if (!eth_mac_equal(h->dst, eth->caps->mac)) {
        if (!is_for_us_too(eth, pkt, type)) {
            stat_inc(&eth->stats.drop_not_ours);
            return ETH_DONE;
        }
        pkt->flags |= ETH_PKT_GROUP;
    }
    if (!is_source(eth, h->src)) {
        stat_inc(&eth->stats.drop_source);
        return ETH_DONE;
    }
    if (type != ETH_TYPE_IP4 && type != ETH_TYPE_IP6) {
        if (type == ETH_TYPE_ARP)
            arp_input(eth, pkt->data, pkt->len, FROM_PORT, now_ns);
        else
            stat_inc(&eth->stats.drop_type);
        return ETH_DONE;
    }
    pkt->data += sizeof(*h);
    pkt->len -= sizeof(*h);
    return type == ETH_TYPE_IP4 ? ETH_IP4 : ETH_IP6;
}

enum eth_verdict eth_input(struct eth *eth, struct nmio_pkt *pkt, uint64_t now_ns)
{
    const struct eth_header *h = (const struct eth_header *)pkt->data;
    uint16_t type;

    stat_inc(&eth->stats.rx_frames);
    if (unlikely(pkt->len < sizeof(*h)))
        return input_slow(eth, pkt, now_ns);
    type = get_be16(h->type);
    if (unlikely((type != ETH_TYPE_IP4 && type != ETH_TYPE_IP6) || eth->vlan ||
                 !eth_mac_equal(h->dst, eth->caps->mac) || !is_source(eth, h->src)))
        return input_slow(eth, pkt, now_ns);
    pkt->data += sizeof(*h);
    pkt->len -= sizeof(*h);
    return type == ETH_TYPE_IP4 ? ETH_IP4 : ETH_IP6;
}

void eth_input_relayed(struct eth *eth, const uint8_t *frame, uint32_t len, uint64_t now_ns)
{
    const struct eth_header *h = (const struct eth_header *)frame;

    stat_inc(&eth->stats.relayed_in);
    if (len < sizeof(*h))
        return;
    if (get_be16(h->type) == ETH_TYPE_ARP)
        arp_input(eth, frame, len, RELAYED, now_ns);
    else if (get_be16(h->type) == ETH_TYPE_IP6)
        icmp6_relayed(eth, frame, len, now_ns);
}

void eth_timers(struct eth *eth, uint64_t now_ns)
{
    struct timer *timer;

    while ((timer = timer_pop(&eth->timers, now_ns))) {
        if (timer == &eth->announce)
            arp_announce_timer(eth, now_ns);
        else if (timer == &eth->ndp_timer)
            ndp_timer(eth, now_ns);
        else if (timer == &eth->mld_timer)
            mld_timer(eth, now_ns);
        else if (timer == &eth->routers.timer)
            router_timer(eth, now_ns);
        else
            neigh_timer(eth, container_of(timer, struct eth_neigh, timer), now_ns);
    }
}

uint64_t eth_next_ns(const struct eth *eth)
{
    return timer_next_ns(&eth->timers);
}

uint32_t eth_header_bytes(const struct eth *eth)
{
    return eth->header_len;
}

struct nmio_frame *eth_frame(struct eth *eth)
{
    struct nmio_frame *frame = nmio_frame(eth->port);

    if (likely(frame))
        frame->header_len = eth->header_len;
    return frame;
}

/* The type lies behind the addresses, or behind the tag. */
static inline void put_type(const struct eth *eth, struct nmio_frame *frame, uint16_t ethertype)
{
    uint8_t *at = frame->header + offsetof(struct eth_header, type);

    if (unlikely(eth->vlan)) {
        put_be16(at, ETH_TYPE_VLAN);
        put_be16(at + offsetof(struct eth_vlan_tag, tci), eth->vlan);
        at += sizeof(struct eth_vlan_tag);
    }
    put_be16(at, ethertype);
}

void eth_put_header(const struct eth *eth, struct nmio_frame *frame, const uint8_t *dst,
                    uint16_t ethertype)
{
    memcpy(frame->header, dst, ETH_MAC_BYTES);
    memcpy(frame->header + ETH_MAC_BYTES, eth->caps->mac, ETH_MAC_BYTES);
    put_type(eth, frame, ethertype);
}

void eth_transmit(struct eth *eth, const struct eth_neigh *neigh, uint16_t ethertype,
                  struct nmio_frame *frame, uint64_t now_ns)
{
    memcpy(frame->header, neigh->macs, sizeof(neigh->macs));
    put_type(eth, frame, ethertype);
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

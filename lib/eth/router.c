// SPDX-License-Identifier: BSD-2-Clause
/*
 * router.c - Router Discovery (RFC 4861 6): the link's routers, its prefixes and its MTU.
 *
 * Taken from advertisements: default routers with lifetime and preference (RFC 4191 2.1), prefixes
 * that are on the link, the MTU. Left alone: addresses (ours are configured), the hop limit (one
 * forged packet could have everything that we send die on the way), and the times of neighbour
 * discovery (ours serve IPv4 as well).
 *
 * The chosen router stays chosen while its neighbour entry knows where it is; when that entry's
 * questions go unanswered the next one takes over, and a flow that went by the old one moves with
 * its next datagram (the epoch tells ip).
 */
#include "eth/priv.h"

static bool is_found(const struct router *router)
{
    return router->neigh->state >= NEIGH_REACHABLE && router->neigh->state <= NEIGH_PROBE;
}

static void set_chosen(struct eth *eth, uint32_t chosen, const struct ip_addr *before)
{
    struct routers *r = &eth->routers;
    const struct ip_addr *after = chosen < r->count ? &r->list[chosen].addr : NULL;

    r->chosen = chosen;
    if (before == after || (before && after && ip_addr_equal(before, after)))
        return;
    r->epoch++;
    stat_inc(&eth->stats.ndp_router_changes);
}

/* RFC 4861 6.3.6: one that can be found before one that cannot, then by preference; the present one
 * stays as long as no other is better. If none can be found, each gets its turn. */
static uint32_t best_router(const struct routers *r)
{
    uint32_t best = r->count;

    for (uint32_t step = 0; step < r->count; step++) {
        uint32_t i = (r->chosen + step) % r->count;

        if (is_found(&r->list[i]) &&
            (best == r->count || r->list[i].preference > r->list[best].preference))
            best = i;
    }
    if (best < r->count || r->count == 0)
        return best;
    return r->chosen < r->count && r->list[r->chosen].neigh->state == NEIGH_INCOMPLETE
               ? r->chosen
               : (r->chosen + 1) % r->count;
}

void router_choose(struct eth *eth)
{
    struct routers *r = &eth->routers;
    struct ip_addr before = {{0}};
    bool had = r->chosen < r->count;

    if (had)
        before = r->list[r->chosen].addr;
    set_chosen(eth, best_router(r), had ? &before : NULL);
}

const struct ip_addr *eth_router(const struct eth *eth)
{
    const struct routers *r = &eth->routers;

    return r->chosen < r->count ? &r->list[r->chosen].addr : NULL;
}

uint32_t eth_route_epoch(const struct eth *eth)
{
    return eth->routers.epoch;
}

uint32_t eth_ip6_mtu(const struct eth *eth)
{
    return eth->routers.mtu;
}

/* --- the lists ------------------------------------------------------------------------------ */

static void remove_router(struct eth *eth, uint32_t i)
{
    struct routers *r = &eth->routers;
    struct ip_addr before = {{0}};
    bool had = r->chosen < r->count;

    if (had)
        before = r->list[r->chosen].addr;
    r->list[i].neigh->router = false;
    eth_neigh_put(eth, r->list[i].neigh);
    r->count--;
    memmove(&r->list[i], &r->list[i + 1], (r->count - i) * sizeof(r->list[0]));
    if (r->chosen > i)
        r->chosen--;
    set_chosen(eth, best_router(r), had ? &before : NULL);
}

static uint32_t find_router(const struct routers *r, const struct ip_addr *addr)
{
    uint32_t i = 0;

    while (i < r->count && !ip_addr_equal(&r->list[i].addr, addr))
        i++;
    return i;
}

/* The next of: a solicitation, an end of a router's or a prefix' time. */
static void arm_timer(struct eth *eth)
{
    struct routers *r = &eth->routers;
    uint64_t next_ns = r->solicits_left > 0 ? r->solicit_ns : UINT64_MAX;

    for (uint32_t i = 0; i < r->count; i++)
        next_ns = min_u64(next_ns, r->list[i].until_ns);
    for (uint32_t i = 0; i < r->prefix_count; i++)
        next_ns = min_u64(next_ns, r->prefixes[i].until_ns);
    if (next_ns == UINT64_MAX)
        timer_disarm(&eth->timers, &r->timer);
    else
        timer_arm(&eth->timers, &r->timer, next_ns);
}

void router_gone(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns)
{
    uint32_t i = find_router(&eth->routers, &neigh->addr);

    if (i < eth->routers.count)
        remove_router(eth, i);
    arm_timer(eth);
}

static void add_router(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns)
{
    struct routers *r = &eth->routers;
    struct eth_neigh *neigh;

    if (r->count == ROUTERS_MAX) {
        stat_inc(&eth->stats.drop_router_full);
        return;
    }
    neigh = eth_neigh_get(eth, addr, now_ns);
    if (!neigh)
        return; /* counted */
    neigh->router = true;
    if (r->chosen == r->count)
        r->chosen++; /* still none */
    r->list[r->count++] = (struct router){.addr = *addr, .neigh = neigh};
}

static void set_router(struct eth *eth, const struct eth_icmp6 *in, uint64_t now_ns)
{
    const struct ndp_router *wire = (const struct ndp_router *)in->message;
    /* RFC 4191 2.1: two bits with a sign; 10 is reserved, and taken as 00. */
    static const int preferences[4] = {0, 1, 0, -1};
    struct routers *r = &eth->routers;
    uint32_t lifetime_s = get_be16(wire->lifetime_s);
    uint32_t i = find_router(r, &in->src);

    if (lifetime_s == 0) {
        if (i < r->count)
            remove_router(eth, i);
        return;
    }
    if (i == r->count)
        add_router(eth, &in->src, now_ns);
    if (i == r->count)
        return;
    r->list[i].until_ns = now_ns + lifetime_s * NS_PER_S;
    r->list[i].preference = preferences[(wire->flags & NDP_ROUTER_PREFERENCE) >> 3];
    r->solicits_left = 0; /* 6.3.7 */
    router_choose(eth);
}

bool eth_advertised_on_link(const struct eth *eth, const struct ip_addr *addr)
{
    const struct routers *r = &eth->routers;

    for (uint32_t i = 0; i < r->prefix_count; i++)
        if (ip_addr_common_bits(&r->prefixes[i].addr, addr) >= r->prefixes[i].bits)
            return true;
    return false;
}

/* 6.3.4 */
static void set_prefix(struct eth *eth, const struct ndp_prefix_option *wire, uint64_t now_ns)
{
    struct routers *r = &eth->routers;
    uint32_t valid_s, i = 0;
    struct router_prefix prefix = {.until_ns = UINT64_MAX};

    if (wire->units * NDP_OPTION_UNIT != sizeof(*wire) || !(wire->flags & NDP_PREFIX_ON_LINK) ||
        wire->bits < ROUTER_PREFIX_MIN || wire->bits > 128)
        return;
    prefix.bits = wire->bits;
    memcpy(prefix.addr.b, wire->prefix, sizeof(prefix.addr.b));
    if (!ip6_is_host(&prefix.addr) || ip_addr_is_link_local(&prefix.addr))
        return;
    valid_s = get_be32(wire->valid_s);
    if (valid_s != UINT32_MAX)
        prefix.until_ns = now_ns + valid_s * NS_PER_S;
    while (i < r->prefix_count &&
           (r->prefixes[i].bits != prefix.bits ||
            ip_addr_common_bits(&r->prefixes[i].addr, &prefix.addr) < prefix.bits))
        i++;
    if (i < r->prefix_count && valid_s > 0)
        r->prefixes[i] = prefix;
    else if (i < r->prefix_count)
        r->prefixes[i] = r->prefixes[--r->prefix_count];
    else if (valid_s > 0 && r->prefix_count == ROUTER_PREFIXES_MAX)
        stat_inc(&eth->stats.drop_router_full);
    else if (valid_s > 0)
        r->prefixes[r->prefix_count++] = prefix;
}

/* --- in ------------------------------------------------------------------------------------- */

/* 6.1.2 */
static bool is_valid(const struct eth_icmp6 *in)
{
    const struct ndp_router *wire = (const struct ndp_router *)in->message;

    return in->hop_limit == NDP_HOP_LIMIT && in->len >= sizeof(*wire) && wire->icmp.code == 0 &&
           ip_addr_is_link_local(&in->src) &&
           icmp6_options_ok((const uint8_t *)(wire + 1), in->len - (uint32_t)sizeof(*wire));
}

void router_input(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin,
                  uint64_t now_ns)
{
    const uint8_t *options = in->message + sizeof(struct ndp_router), *at = NULL;
    uint32_t options_len = in->len - (uint32_t)sizeof(struct ndp_router);
    bool valid = is_valid(in), bad = false;
    struct eth_neigh *neigh;
    const uint8_t *mac;

    if (valid)
        mac = icmp6_mac_option(eth, options, options_len, NDP_OPTION_SOURCE_MAC, &bad);
    if (!valid || bad || !eth->routers.taken || eth_is_ours(eth, &in->src)) {
        if (origin == FROM_PORT)
            stat_inc(!valid || bad ? &eth->stats.drop_ndp_malformed
                                   : &eth->stats.ndp_routers_ignored);
        return;
    }
    if (origin == FROM_PORT)
        stat_inc(&eth->stats.ndp_routers_in);
    neigh = neigh_find(eth, &in->src);
    if (mac && !neigh)
        neigh = neigh_create(eth, &in->src);
    if (mac && neigh)
        neigh_claimed(eth, neigh, mac, CLAIM_TO_US, now_ns);
    set_router(eth, in, now_ns);
    while ((at = icmp6_option(options, options_len, NDP_OPTION_PREFIX, at))) {
        set_prefix(eth, (const struct ndp_prefix_option *)at, now_ns);
        at += at[1] * NDP_OPTION_UNIT;
    }
    at = icmp6_option(options, options_len, NDP_OPTION_MTU, NULL);
    if (at && at[1] * NDP_OPTION_UNIT == sizeof(struct ndp_mtu_option)) {
        uint32_t mtu = get_be32(((const struct ndp_mtu_option *)at)->mtu);

        if (mtu >= IP6_MTU_MIN && mtu <= eth->caps->mtu)
            eth->routers.mtu = mtu;
    }
    arm_timer(eth);
}

/* --- out, and time -------------------------------------------------------------------------- */

static void solicit(struct eth *eth, uint64_t now_ns)
{
    const struct ip_addr *src = ndp_link_local(eth);
    struct nmio_frame *frame = icmp6_frame(eth, src, &icmp6_all_routers);
    uint8_t mac[ETH_MAC_BYTES];
    uint32_t message_at;

    if (!frame)
        return;
    icmp6_group_mac(mac, &icmp6_all_routers);
    message_at = frame->header_len;
    memset(frame->header + message_at, 0, 8); /* RFC 4861 4.1: all but the type is reserved */
    frame->header[message_at] = ICMP6_ROUTER_SOLICIT;
    frame->header_len += 8;
    if (!ip6_is_unspecified(src))
        icmp6_put_mac(eth, frame, NDP_OPTION_SOURCE_MAC);
    icmp6_send(eth, frame, mac, message_at, now_ns);
    stat_inc(&eth->stats.ndp_router_solicits_out);
}

void router_timer(struct eth *eth, uint64_t now_ns)
{
    struct routers *r = &eth->routers;

    if (r->solicits_left > 0 && now_ns >= r->solicit_ns) {
        solicit(eth, now_ns);
        r->solicits_left--;
        r->solicit_ns = now_ns + ROUTER_SOLICIT_NS;
    }
    for (uint32_t i = r->count; i-- > 0;)
        if (r->list[i].until_ns <= now_ns)
            remove_router(eth, i);
    for (uint32_t i = r->prefix_count; i-- > 0;)
        if (r->prefixes[i].until_ns <= now_ns)
            r->prefixes[i] = r->prefixes[--r->prefix_count];
    arm_timer(eth);
}

void router_open(struct eth *eth, bool taken, uint64_t now_ns)
{
    struct routers *r = &eth->routers;

    timer_init(&r->timer);
    r->taken = taken;
    r->mtu = eth->caps->mtu;
    r->solicits_left = taken ? ROUTER_SOLICIT_COUNT : 0;
    r->solicit_ns = now_ns;
    arm_timer(eth);
}

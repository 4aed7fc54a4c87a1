// SPDX-License-Identifier: BSD-2-Clause
/*
 * ndp.c - Neighbor Discovery (RFC 4861 7) and duplicate address detection (RFC 4862 5.4).
 *
 * Redirects are not followed, as with IPv4: they let anybody on the link steer our traffic.
 * Nor is what ND has beyond ARP taken on trust: an Override flag makes an announcement count as a
 * gratuitous ARP does, no more (eth.h has the table), and only an answer that we had asked for may
 * say that its sender is no router any more.
 */
#include "eth/priv.h"

struct neighbor {
    const struct ndp_neighbor *wire;
    struct ip_addr target;
    const uint8_t *mac; /* NULL: the message did not say */
    bool src_unspecified;
};

/* --- who we are ----------------------------------------------------------------------------- */

static bool is_in_use(const struct eth *eth, uint32_t i)
{
    return !ip_addr_is_v4(&eth->addrs[i]) && eth->addr_states[i] != ADDR_DUPLICATE;
}

bool eth_is_our_group(const struct eth *eth, const struct ip_addr *addr)
{
    bool all_nodes = ip_addr_equal(addr, &icmp6_all_nodes);

    for (uint32_t i = 0; i < eth->addr_count; i++) {
        struct ip_addr group = icmp6_solicited_group(&eth->addrs[i]);

        if (is_in_use(eth, i) && (all_nodes || ip_addr_equal(&group, addr)))
            return true;
    }
    return false;
}

bool ndp_is_our_group_mac(const struct eth *eth, const uint8_t *mac)
{
    struct ip_addr group = {{0xff, 2}};

    if (mac[0] != 0x33 || mac[1] != 0x33)
        return false;
    memcpy(group.b + 12, mac + 2, 4);
    group.b[11] = mac[2] == 0xff; /* of the groups that we are in, only those are solicited-node */
    return eth_is_our_group(eth, &group);
}

const struct ip_addr *ndp_link_local(const struct eth *eth)
{
    for (uint32_t i = 0; i < eth->addr_count; i++)
        if (ip_addr_is_link_local(&eth->addrs[i]) && eth->addr_states[i] == ADDR_PREFERRED)
            return &eth->addrs[i];
    return &icmp6_unspecified;
}

static uint8_t *state_of(struct eth *eth, const struct ip_addr *addr)
{
    uint32_t i = 0;

    while (!ip_addr_equal(&eth->addrs[i], addr)) /* it is one of ours */
        i++;
    return &eth->addr_states[i];
}

/* --- out ------------------------------------------------------------------------------------ */

static struct ndp_neighbor *put_neighbor(struct nmio_frame *frame, uint8_t type, uint8_t flags,
                                         const struct ip_addr *target)
{
    struct ndp_neighbor *n = (struct ndp_neighbor *)(frame->header + frame->header_len);

    memset(n, 0, sizeof(*n));
    n->icmp.type = type;
    n->flags = flags;
    memcpy(n->target, target->b, sizeof(n->target));
    frame->header_len += sizeof(*n);
    return n;
}

/* Our Ethernet address is left out while the source may turn out to be somebody else's (RFC 4429
 * 3.2): who answers then asks for it. */
void ndp_ask(struct eth *eth, const struct ip_addr *target, const uint8_t *mac, uint64_t now_ns)
{
    const struct ip_addr *src = eth_nearest_addr(eth, target);
    struct ip_addr group = icmp6_solicited_group(target);
    uint8_t group_mac[ETH_MAC_BYTES];
    struct nmio_frame *frame;
    uint32_t message_at;

    if (!src)
        return;
    icmp6_group_mac(group_mac, &group);
    frame = icmp6_frame(eth, src, mac ? target : &group);
    if (!frame)
        return;
    message_at = frame->header_len;
    put_neighbor(frame, ICMP6_NEIGHBOR_SOLICIT, 0, target);
    if (*state_of(eth, src) == ADDR_PREFERRED)
        icmp6_put_mac(eth, frame, NDP_OPTION_SOURCE_MAC);
    icmp6_send(eth, frame, mac ? mac : group_mac, message_at, now_ns);
    stat_inc(&eth->stats.ndp_solicits_out);
}

static void probe(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns)
{
    struct ip_addr group = icmp6_solicited_group(addr);
    struct nmio_frame *frame = icmp6_frame(eth, &icmp6_unspecified, &group);
    uint8_t mac[ETH_MAC_BYTES];
    uint32_t message_at;

    if (!frame)
        return;
    icmp6_group_mac(mac, &group);
    message_at = frame->header_len;
    put_neighbor(frame, ICMP6_NEIGHBOR_SOLICIT, 0, addr);
    icmp6_send(eth, frame, mac, message_at, now_ns);
    stat_inc(&eth->stats.ndp_probes_out);
}

/* To everybody: this address is ours (RFC 4861 7.2.6). */
static bool advertise(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns)
{
    struct nmio_frame *frame = icmp6_frame(eth, addr, &icmp6_all_nodes);
    uint8_t mac[ETH_MAC_BYTES];
    uint32_t message_at;

    if (!frame)
        return false;
    icmp6_group_mac(mac, &icmp6_all_nodes);
    message_at = frame->header_len;
    put_neighbor(frame, ICMP6_NEIGHBOR_ADVERT, NDP_FLAG_OVERRIDE, addr);
    icmp6_put_mac(eth, frame, NDP_OPTION_TARGET_MAC);
    icmp6_send(eth, frame, mac, message_at, now_ns);
    return true;
}

static void announce(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns)
{
    if (advertise(eth, addr, now_ns))
        stat_inc(&eth->stats.ndp_announced);
}

/* --- the start ------------------------------------------------------------------------------ */

void ndp_open(struct eth *eth, uint64_t now_ns)
{
    timer_init(&eth->ndp_timer);
    timer_init(&eth->mld_timer);
    for (uint32_t i = 0; i < eth->addr_count; i++)
        if (!ip_addr_is_v4(&eth->addrs[i])) {
            timer_arm(&eth->timers, &eth->ndp_timer, now_ns);
            return;
        }
}

/*
 * First every address is probed; the random delay that RFC 4862 5.4.2 asks for, lest a whole
 * network that was switched on speaks at once, is not for a server that was just told to serve.
 * Whatever nobody has claimed a second later is ours, and is announced as a gratuitous ARP would.
 * The groups are told before the probes, since the answers come through them, and once more when
 * there is an address to tell it from (RFC 3590 4).
 */
void ndp_timer(struct eth *eth, uint64_t now_ns)
{
    if (eth->ndp_step == 0)
        mld_report(eth, MLD2_CHANGE_TO_EXCLUDE, now_ns);
    for (uint32_t i = 0; i < eth->addr_count; i++) {
        if (!is_in_use(eth, i))
            continue;
        if (eth->ndp_step == 0) {
            probe(eth, &eth->addrs[i], now_ns);
        } else {
            eth->addr_states[i] = ADDR_PREFERRED;
            announce(eth, &eth->addrs[i], now_ns);
        }
    }
    if (eth->ndp_step == 1)
        mld_report(eth, MLD2_CHANGE_TO_EXCLUDE, now_ns);
    if (eth->ndp_step++ < NDP_ANNOUNCE_COUNT)
        timer_arm(&eth->timers, &eth->ndp_timer,
                  now_ns + (eth->ndp_step == 1 ? NDP_PROBE_NS : NDP_ANNOUNCE_NS));
}

/*
 * Somebody else has an address of ours. In the first second it is given up (RFC 4862 5.4.5):
 * there are no connections yet, and two stations with one address serve nobody. Later we keep it,
 * as with ARP, and say so, but not in a shouting match.
 */
static void conflict(struct eth *eth, const struct ip_addr *addr, enum eth_origin origin,
                     uint64_t now_ns)
{
    uint8_t *state = state_of(eth, addr);

    if (*state == ADDR_OPTIMISTIC) {
        *state = ADDR_DUPLICATE;
        stat_inc(&eth->stats.ndp_duplicates);
    }
    if (origin == RELAYED)
        return;
    stat_inc(&eth->stats.ndp_conflicts);
    if (*state == ADDR_DUPLICATE || now_ns < eth->defend_ns)
        return;
    eth->defend_ns = now_ns + ARP_DEFEND_NS;
    announce(eth, addr, now_ns);
}

/* --- in ------------------------------------------------------------------------------------- */

/* The checks of RFC 4861 7.1.1 and 7.1.2; length and checksum were ICMPv6's to check. False: one
 * of them fails. */
static bool parse(const struct eth *eth, const struct eth_icmp6 *in, struct neighbor *n)
{
    const struct ndp_neighbor *wire = (const struct ndp_neighbor *)in->message;
    const uint8_t *options = (const uint8_t *)(wire + 1);
    bool solicit = in->message[0] == ICMP6_NEIGHBOR_SOLICIT, bad = false;
    uint32_t options_len = in->len - (uint32_t)sizeof(*wire);
    struct ip_addr group;

    if (in->hop_limit != NDP_HOP_LIMIT || in->len < sizeof(*wire) || wire->icmp.code != 0 ||
        !icmp6_options_ok(options, options_len))
        return false;
    *n = (struct neighbor){.wire = wire, .src_unspecified = ip6_is_unspecified(&in->src)};
    memcpy(n->target.b, wire->target, sizeof(n->target.b));
    n->mac = icmp6_mac_option(eth, options, options_len,
                              solicit ? NDP_OPTION_SOURCE_MAC : NDP_OPTION_TARGET_MAC, &bad);
    if (bad || !ip6_is_host(&n->target))
        return false;
    group = icmp6_solicited_group(&n->target);
    if (n->src_unspecified)
        return solicit && !n->mac && ip_addr_equal(&in->dst, &group);
    return ip6_is_host(&in->src) &&
           (solicit || !ip_addr_is_multicast(&in->dst) || !(wire->flags & NDP_FLAG_SOLICITED));
}

/* RFC 4861 7.2.4. Who asks from the unspecified address is answered before everybody. The answer
 * does not override what the asker may know while it may not be ours to give (RFC 4429 3.3). */
static void answer(struct eth *eth, const struct eth_icmp6 *in, const struct neighbor *n,
                   uint64_t now_ns)
{
    bool preferred = *state_of(eth, &n->target) == ADDR_PREFERRED;
    struct eth_neigh *via = NULL;
    struct nmio_frame *frame;
    uint32_t message_at;

    if (n->src_unspecified) {
        if (advertise(eth, &n->target, now_ns))
            stat_inc(&eth->stats.ndp_adverts_out);
        return;
    }
    if (!n->mac && eth_on_link(eth, &in->src))
        via = eth_neigh_get(eth, &in->src, now_ns);
    if (!n->mac && !via)
        return;
    frame = icmp6_frame(eth, &n->target, &in->src);
    if (frame) {
        message_at = frame->header_len;
        put_neighbor(frame, ICMP6_NEIGHBOR_ADVERT,
                     NDP_FLAG_SOLICITED | (preferred ? NDP_FLAG_OVERRIDE : 0), &n->target);
        icmp6_put_mac(eth, frame, NDP_OPTION_TARGET_MAC);
        if (via) {
            icmp6_seal(eth, frame, message_at);
            eth_send(eth, via, ETH_TYPE_IP6, frame, now_ns);
        } else {
            icmp6_send(eth, frame, n->mac, message_at, now_ns);
        }
        stat_inc(&eth->stats.ndp_adverts_out);
    }
    if (via)
        eth_neigh_put(eth, via);
}

static void solicit_input(struct eth *eth, const struct eth_icmp6 *in, const struct neighbor *n,
                          enum eth_origin origin, uint64_t now_ns)
{
    bool for_us = eth_is_ours(eth, &n->target);
    struct eth_neigh *neigh = NULL;

    /* A probe for an address that we are probing ourselves: neither may have it (RFC 4862 5.4.3).
     * Our own do not come back: eth_input drops frames from our Ethernet address. */
    if (for_us && n->src_unspecified && *state_of(eth, &n->target) == ADDR_OPTIMISTIC) {
        conflict(eth, &n->target, origin, now_ns);
        return;
    }
    if (n->mac) {
        neigh = neigh_find(eth, &in->src);
        if (for_us && !neigh && eth_on_link(eth, &in->src))
            neigh = neigh_create(eth, &in->src); /* without a place it is simply not remembered */
        if (neigh && for_us)
            neigh_claimed(eth, neigh, n->mac, CLAIM_TO_US, now_ns);
    }
    if (origin == RELAYED)
        return;
    stat_inc(for_us ? &eth->stats.ndp_solicits_in : &eth->stats.ndp_others_in);
    if (for_us)
        answer(eth, in, n, now_ns);
}

/* RFC 4861 7.2.5, with the distrust of ARP. */
static void advert_input(struct eth *eth, const struct eth_icmp6 *in, const struct neighbor *n,
                         enum eth_origin origin, uint64_t now_ns)
{
    struct eth_neigh *neigh = neigh_find(eth, &n->target);
    bool solicited = n->wire->flags & NDP_FLAG_SOLICITED;
    bool override = n->wire->flags & NDP_FLAG_OVERRIDE;
    const uint8_t *mac = n->mac;
    bool asked = false;

    if (neigh && !mac && neigh->state == NEIGH_PROBE)
        mac = neigh->macs; /* whom we asked need not repeat it (4.4) */
    if (neigh && mac && solicited && eth_is_ours(eth, &in->dst))
        asked = neigh_answered(eth, neigh, mac, now_ns);
    if (asked && neigh->router && !(n->wire->flags & NDP_FLAG_ROUTER))
        router_gone(eth, neigh, now_ns);
    if (neigh && mac && !asked)
        neigh_claimed(eth, neigh, mac, override && !solicited ? CLAIM_ANNOUNCED : CLAIM_WORTHLESS,
                      now_ns);
    if (origin == RELAYED)
        return;
    if (asked)
        stat_inc(&eth->stats.ndp_adverts_in);
    else
        stat_inc(solicited ? &eth->stats.drop_ndp_unasked : &eth->stats.ndp_others_in);
}

void ndp_input(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin, uint64_t now_ns)
{
    uint8_t type = in->message[0];
    struct neighbor n;

    if ((type != ICMP6_NEIGHBOR_SOLICIT && type != ICMP6_NEIGHBOR_ADVERT) || !parse(eth, in, &n)) {
        if (origin == FROM_PORT)
            stat_inc(&eth->stats.drop_ndp_malformed);
        return;
    }
    if (!n.src_unspecified && eth_is_ours(eth, &in->src))
        conflict(eth, &in->src, origin, now_ns);
    else if (type == ICMP6_NEIGHBOR_SOLICIT)
        solicit_input(eth, in, &n, origin, now_ns);
    else if (eth_is_ours(eth, &n.target))
        conflict(eth, &n.target, origin, now_ns);
    else
        advert_input(eth, in, &n, origin, now_ns);
}

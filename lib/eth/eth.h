// SPDX-License-Identifier: BSD-2-Clause
/*
 * eth.h - Ethernet, one VLAN of it (IEEE 802.1Q), and who answers for an IP address on the link:
 * ARP (RFC 826) for IPv4, Neighbor Discovery (RFC 4861) for IPv6.
 *
 * eth_input looks at a received frame, answers or learns from ARP itself, and hands IP packets on
 * by trimming the Ethernet header off. eth_send puts the header in front of a frame and hands it to
 * the port; while the neighbour's address is not known, small frames wait in a bounded queue.
 *
 * Neighbor Discovery travels in ICMPv6, which is ip's to check; ip then hands the message down
 * (eth_icmp6_input). What is learnt about the link's routers is asked for by ip (eth_router).
 *
 * A neighbour is an entry of a fixed table, in one of the states of RFC 4861 7.3.2. Holding one
 * (eth_neigh_get / eth_neigh_put) keeps it in place for as long as, say, a connection needs it;
 * what it knows may change meanwhile. An entry is made for an address that we ask for, or by a
 * request that is addressed to us (the asker is about to talk to us, RFC 826). Nobody takes over a
 * live neighbour's traffic by talking loudest:
 *
 *     an answer that we asked for     sets the address
 *     a request addressed to us       sets it where none is known or it has gone stale
 *       (and a router's advertisement, which is addressed to everybody)
 *     a gratuitous announcement       sets it where it has gone stale
 *     an answer that nobody asked for sets nothing
 *
 * and whatever disagrees with an address in use only makes us ask again, its holder first.
 *
 * Workers that share a link have a struct eth each, but an ARP or Neighbor Discovery packet reaches
 * only one of them: the program passes it on (on_arp, eth_input_relayed).
 *
 * IPv4 addresses are held as IPv4-mapped IPv6 addresses (RFC 4291 2.5.5.2) everywhere.
 *
 * With an IPv6 address comes a link-local one, made from the Ethernet address (RFC 4291 appendix
 * A): every worker and every start comes to the same one without anything being stored, and it
 * says nothing that the link does not know. Addresses are probed at the start and used meanwhile
 * (RFC 4429: a server that is ready answers); one that turns out to be somebody else's is given
 * up, and counted.
 */
#ifndef ETH_ETH_H
#define ETH_ETH_H

#include "base/bytes.h"
#include "base/stats.h"
#include "nmio/nmio.h"

#define ETH_HEADER_BYTES 14 /* without a VLAN's tag */
#define ETH_TYPE_IP4     0x0800
#define ETH_TYPE_IP6     0x86dd

struct ip_addr {
    uint8_t b[16];
};

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* `v4` in network byte order, as it lies in a header. */
static inline struct ip_addr ip_addr_v4(const void *v4)
{
    struct ip_addr a = {{[10] = 0xff, [11] = 0xff}};

    memcpy(a.b + 12, v4, 4);
    return a;
}

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(a->b, prefix, sizeof(prefix)) == 0;
}

/* How many leading bits the two have in common: 0 to 128. */
static inline unsigned ip_addr_common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
    uint64_t high = get_be64(a->b) ^ get_be64(b->b), low = get_be64(a->b + 8) ^ get_be64(b->b + 8);

    if (high)
        return (unsigned)__builtin_clzll(high);
    return low ? 64 + (unsigned)__builtin_clzll(low) : 128;
}

/* fe80::/10 (RFC 4291 2.5.6) */
static inline bool ip_addr_is_link_local(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* ff00::/8, and 224.0.0.0/4 */
static inline bool ip_addr_is_multicast(const struct ip_addr *a)
{
    return a->b[0] == 0xff || (ip_addr_is_v4(a) && (a->b[12] & 0xf0) == 0xe0);
}

#define ETH_STATS(X, t)                                                                            \
    X(t, rx_frames, "frames received")                                                             \
    X(t, arp_requests_in, "ARP requests for an address of ours")                                   \
    X(t, arp_replies_in, "ARP replies that we had asked for")                                      \
    X(t, arp_requests_out, "ARP requests sent")                                                    \
    X(t, arp_replies_out, "ARP replies sent")                                                      \
    X(t, arp_announced, "gratuitous ARP announcements sent")                                       \
    X(t, arp_conflicts, "ARP packets that claim an address of ours for somebody else")             \
    X(t, arp_others_in, "ARP requests and announcements that concern others")                      \
    X(t, ndp_solicits_in, "neighbor solicitations for an address of ours")                         \
    X(t, ndp_adverts_in, "neighbor advertisements that we had asked for")                          \
    X(t, ndp_solicits_out, "neighbor solicitations sent")                                          \
    X(t, ndp_adverts_out, "neighbor advertisements sent as an answer")                             \
    X(t, ndp_announced, "unsolicited neighbor advertisements sent")                                \
    X(t, ndp_probes_out, "probes for somebody else who has an address of ours")                    \
    X(t, ndp_conflicts, "messages that claim an address of ours for somebody else")                \
    X(t, ndp_duplicates, "addresses of ours given up, since another station has them")             \
    X(t, ndp_others_in, "neighbor solicitations and announcements that concern others")            \
    X(t, ndp_routers_in, "router advertisements taken notice of")                                  \
    X(t, ndp_routers_ignored, "router advertisements that are of no use to us")                    \
    X(t, ndp_router_solicits_out, "router solicitations sent")                                     \
    X(t, ndp_router_changes, "times that another router was chosen, or none was left")             \
    X(t, mld_queries_in, "MLD queries for groups of ours")                                         \
    X(t, mld_reports_out, "MLD reports sent")                                                      \
    X(t, questions_limited, "new neighbours not asked for at once because of the rate limit")      \
    X(t, relayed_in, "ARP and NDP packets that another worker received and passed on")             \
    X(t, drop_short, "frames too short for what they claim to be")                                 \
    X(t, drop_not_ours, "frames for another Ethernet address")                                     \
    X(t, drop_source, "frames from an impossible Ethernet address")                                \
    X(t, drop_type, "frames of a type that nobody takes")                                          \
    X(t, drop_arp_malformed, "ARP packets with impossible fields")                                 \
    X(t, drop_arp_unasked, "ARP replies that this worker had not asked for")                       \
    X(t, drop_vlan, "frames of another VLAN")                                                      \
    X(t, drop_ndp_malformed, "NDP and MLD messages with impossible fields")                        \
    X(t, drop_ndp_unasked, "neighbor advertisements that this worker had not asked for")           \
    X(t, drop_router_full, "routers and prefixes that found no place in their lists")              \
    X(t, drop_neigh_full, "neighbours that found no place in the table")                           \
    X(t, neigh_given_up, "neighbours no longer waited for, since too many were being asked")       \
    X(t, drop_queue_full, "frames dropped because too many wait for a neighbour")                  \
    X(t, drop_queue_big, "frames dropped because they are too big to wait for a neighbour")        \
    X(t, drop_unresolved, "frames dropped because their neighbour never answered")
struct eth_stats {
    ETH_STATS(STAT_FIELD, )
};
extern const struct stat_desc eth_stat_descs[];

struct eth;
struct eth_neigh;

struct eth_config {
    struct mem_arena *arena;
    struct nmio_port *port;
    const struct ip_addr *addrs; /* ours: the addresses that ARP and NDP answer for */
    uint32_t addr_count;
    const uint32_t *addr_counts; /* one for each address: that many from it on are ours. NULL:
                                    itself alone. Announced is the first. More than one of IPv4
                                    only: each of IPv6 has its own groups, and is probed for */
    const uint8_t *prefix_bits;  /* one for each address, the length of its link's prefix (24 for an
                                    IPv4 /24): only senders on the link are learnt. NULL: all are */
    uint16_t vlan;               /* the VLAN that frames are tagged with, 1 to 4094; 0: untagged */
    bool take_routers;           /* from Router Advertisements; false: they are ignored */
    uint32_t neigh_max;          /* 0: ETH_NEIGH_DEFAULT */
    uint64_t hash_key[2];        /* random: the table must not be steered from outside */
    /* Called with every valid ARP or NDP packet that the port delivers, with an untagged Ethernet
     * header, ETH_RELAY_MAX bytes at most, so that the program can pass a copy to the other workers
     * of the link. May be NULL. */
    void (*on_arp)(void *arg, const uint8_t *frame, uint32_t len);
    void *on_arp_arg;
};
#define ETH_NEIGH_DEFAULT 4096
#define ETH_VLAN_MAX      4094
#define ETH_RELAY_MAX     1334 /* Ethernet, IPv6, and an ICMPv6 message of 1,280 bytes */

/* 0, -EINVAL, or -ENOMEM when the arena is too small. All configuration is copied. */
must_check int eth_open(struct eth **out, const struct eth_config *config, uint64_t now_ns);
void eth_close(struct eth *eth);

enum eth_verdict {
    ETH_DONE, /* taken care of, or dropped and counted */
    ETH_IP4,  /* pkt now starts with the IP header; padding may follow the IP packet */
    ETH_IP6,  /* the same; ETH_PKT_GROUP in its flags: the frame was sent to a group */
};
#define ETH_PKT_GROUP 0x8000
enum eth_verdict eth_input(struct eth *eth, struct nmio_pkt *pkt, uint64_t now_ns);
/* What another worker's on_arp has shown: learnt from, never answered. */
void eth_input_relayed(struct eth *eth, const uint8_t *frame, uint32_t len, uint64_t now_ns);
/* A message of ICMPv6 that is for the link, its checksum found right by ip. */
struct eth_icmp6 {
    struct ip_addr src, dst; /* src may be unspecified */
    const uint8_t *message;  /* from its type on */
    uint32_t len;
    uint8_t hop_limit;
    bool router_alert; /* of MLD (RFC 2711 2.1), in a hop-by-hop header in front */
};
void eth_icmp6_input(struct eth *eth, const struct eth_icmp6 *in, uint64_t now_ns);
/* Request retries, entries gone stale, announcements at start. Call when eth_next_ns has come. */
void eth_timers(struct eth *eth, uint64_t now_ns);
uint64_t eth_next_ns(const struct eth *eth);

/* The neighbour with this address, held; asked for when nothing is known yet, so not between
 * eth_frame and eth_send. NULL: the table is full of entries that are held (counted). */
struct eth_neigh *eth_neigh_get(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns);
void eth_neigh_put(struct eth *eth, struct eth_neigh *neigh);
/* The neighbour has just shown that it hears us (an ACK of new data): no need to ask again soon. */
void eth_neigh_confirm(struct eth_neigh *neigh, uint64_t now_ns);

/* Addresses and groups that packets are taken for. Not one of ours that turned out to be
 * somebody else's; the groups are all nodes and those that NDP asks us through. */
bool eth_is_ours(const struct eth *eth, const struct ip_addr *addr);
bool eth_is_our_group(const struct eth *eth, const struct ip_addr *addr);

/* What the link's routers advertise. The chosen router, or NULL: there is none. The epoch changes
 * whenever the way to some address may have changed. */
const struct ip_addr *eth_router(const struct eth *eth);
bool eth_advertised_on_link(const struct eth *eth, const struct ip_addr *addr);
uint32_t eth_route_epoch(const struct eth *eth);
uint32_t eth_ip6_mtu(const struct eth *eth); /* largest IPv6 packet */

uint32_t eth_header_bytes(const struct eth *eth); /* of every frame: 14, with a VLAN 18 */
/* A blank frame whose header begins with room for the Ethernet header (header_len is set to it). */
struct nmio_frame *eth_frame(struct eth *eth);
/* Writes the Ethernet header and hands the frame to the port; or, while the neighbour's address is
 * not known, queues a copy of it (GSO frames are dropped). Takes the slices' references over. */
void eth_send(struct eth *eth, struct eth_neigh *neigh, uint16_t ethertype,
              struct nmio_frame *frame, uint64_t now_ns);

const struct eth_stats *eth_stats(const struct eth *eth);
const struct nmio_caps *eth_caps(const struct eth *eth); /* the port's */

#endif

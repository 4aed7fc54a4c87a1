// SPDX-License-Identifier: BSD-2-Clause
/*
 * eth.h - Ethernet, and who answers for an IP address on the link (ARP, RFC 826).
 *
 * eth_input looks at a received frame, answers or learns from ARP itself, and hands IP packets on by
 * trimming the Ethernet header off. eth_send puts the header in front of a frame and hands it to the
 * port; while the neighbour's address is not known, small frames wait in a bounded queue.
 *
 * A neighbour is an entry of a fixed table. Holding one (eth_neigh_get / eth_neigh_put) keeps it in
 * place for as long as, say, a connection needs it; what it knows may change meanwhile. An entry
 * is learnt only from an answer to a request of ours, or from a request that is addressed to us
 * (the asker is about to talk to us, RFC 826); an answer that nobody asked for and a gratuitous
 * announcement refresh nothing but an entry that exists already and has gone stale, so that
 * nobody takes over a live neighbour's traffic by talking loudest.
 *
 * IPv4 addresses are held as IPv4-mapped IPv6 addresses (RFC 4291 2.5.5.2) everywhere.
 */
#ifndef ETH_ETH_H
#define ETH_ETH_H

#include "base/stats.h"
#include "nmio/nmio.h"

#define ETH_HEADER_BYTES 14

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

#define ETH_STATS(X, t)                                                                            \
    X(t, rx_frames, "frames received")                                                             \
    X(t, arp_requests_in, "ARP requests for an address of ours")                                   \
    X(t, arp_replies_in, "ARP replies that we had asked for")                                      \
    X(t, arp_requests_out, "ARP requests sent")                                                    \
    X(t, arp_replies_out, "ARP replies sent")                                                      \
    X(t, arp_announced, "gratuitous ARP announcements sent")                                       \
    X(t, arp_conflicts, "ARP packets that claim an address of ours for somebody else")             \
    X(t, drop_short, "frames too short for what they claim to be")                                 \
    X(t, drop_not_ours, "frames for another Ethernet address")                                     \
    X(t, drop_type, "frames of a type that nobody takes")                                          \
    X(t, drop_arp_malformed, "ARP packets with impossible fields")                                 \
    X(t, drop_arp_unasked, "ARP replies that nobody asked for")                                    \
    X(t, drop_neigh_full, "neighbours that found no place in the table")                           \
    X(t, drop_queue_full, "frames dropped because too many wait for a neighbour")                  \
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
    const struct ip_addr *addrs; /* ours: the addresses that ARP answers for */
    uint32_t addr_count;
    uint32_t neigh_max; /* 0: ETH_NEIGH_DEFAULT */
    uint64_t hash_key[2]; /* random: the table must not be steered from outside */
};
#define ETH_NEIGH_DEFAULT 4096

must_check int eth_open(struct eth **out, const struct eth_config *config, uint64_t now_ns);
void eth_close(struct eth *eth);

enum eth_verdict {
    ETH_DONE, /* taken care of, or dropped and counted */
    ETH_IP4,  /* pkt now starts with the IP header; padding may follow the IP packet */
    ETH_IP6,
};
enum eth_verdict eth_input(struct eth *eth, struct nmio_pkt *pkt, uint64_t now_ns);
/* Request retries, entries gone stale, announcements at start. Call when eth_next_ns has come. */
void eth_timers(struct eth *eth, uint64_t now_ns);
uint64_t eth_next_ns(const struct eth *eth);

/* The neighbour with this address, held; asked for when nothing is known yet. NULL: the table is
 * full of entries that are held (counted). */
struct eth_neigh *eth_neigh_get(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns);
void eth_neigh_put(struct eth *eth, struct eth_neigh *neigh);
/* The neighbour has just shown that it hears us (an ACK of new data): no need to ask again soon. */
void eth_neigh_confirm(struct eth_neigh *neigh, uint64_t now_ns);

/* A blank frame whose header begins with room for the Ethernet header (header_len is set to it). */
struct nmio_frame *eth_frame(struct eth *eth);
/* Writes the Ethernet header and hands the frame to the port, or queues a copy of it, or drops it. */
void eth_send(struct eth *eth, struct eth_neigh *neigh, uint16_t ethertype,
              struct nmio_frame *frame, uint64_t now_ns);

const struct eth_stats *eth_stats(const struct eth *eth);
const struct nmio_caps *eth_caps(const struct eth *eth); /* the port's */

#endif

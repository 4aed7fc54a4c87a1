// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - the neighbour table and what the files of this folder know of each other.
 *
 * eth.c has the frames, neigh.c the table, its states and the frames that wait, arp.c the protocol
 * that fills it for IPv4. A protocol hands what it hears to neigh_answered and neigh_claimed.
 */
#ifndef ETH_PRIV_H
#define ETH_PRIV_H

#include "base/list.h"
#include "base/timer.h"
#include "eth/eth.h"
#include "eth/wire.h"

/* RFC 4861 10, which RFC 1122 2.3.2.1's one request a second agrees with. */
#define NEIGH_REACHABLE_NS  (30 * NS_PER_S)
#define NEIGH_DELAY_NS      (5 * NS_PER_S)
#define NEIGH_RETRANS_NS    (1 * NS_PER_S)
#define NEIGH_MULTICAST_MAX 3
#define NEIGH_UNICAST_MAX   3

#define NEIGH_LIMIT         (1u << 20) /* of eth_config.neigh_max */

/* Frames that wait for neighbours. One neighbour is as a rule the gateway, behind which everybody
 * is: it may take half of all places. Answers to SYNs are headers only; the few frames that have
 * payload when a neighbour is unknown are first answers after a pause and datagrams. */
#define WAITING_MAX       128
#define WAITING_PER_NEIGH 64
#define WAITING_CHUNKS    64

/* RFC 5227 1.1 */
#define ARP_ANNOUNCE_COUNT 2
#define ARP_ANNOUNCE_NS    (2 * NS_PER_S)
#define ARP_DEFEND_NS      (10 * NS_PER_S)

/* RFC 4861 7.3.2, and UNREACHABLE from RFC 7048, for neighbours that are held without an answer. */
enum neigh_state {
    NEIGH_FREE,        /* the entry is not in use */
    NEIGH_INCOMPLETE,  /* no address is known; everybody is being asked; frames wait */
    NEIGH_REACHABLE,   /* the address was shown to work and is fresh until fresh_until_ns */
    NEIGH_STALE,       /* the address may be wrong; nobody has sent to it since */
    NEIGH_DELAY,       /* it is in use again, and the transport has a moment to confirm it */
    NEIGH_PROBE,       /* the holder of the address is being asked whether it still is */
    NEIGH_UNREACHABLE, /* nobody answered; the next frame asks again */
};

struct eth_neigh {
    uint64_t fresh_until_ns; /* all that a frame touches on its way out: */
    uint8_t state;
    uint8_t tries;                   /* requests sent in INCOMPLETE or PROBE */
    uint8_t macs[2 * ETH_MAC_BYTES]; /* the neighbour's and ours: how its frames begin */

    uint32_t refs; /* cold from here on */
    uint32_t hash_next;
    uint32_t bucket;
    uint32_t waiting_count;
    struct ip_addr addr;
    uint64_t asked_ns; /* when a request was last sent */
    struct timer timer;
    struct list idle; /* in eth->idle while nobody holds it */
    struct list waiting;
};

/* A copy of a frame that waits: headers here, payload in a chunk of ours. */
struct eth_waiting {
    struct list node;
    struct mem_chunk *payload; /* NULL: there is none */
    uint32_t payload_len;
    uint16_t ethertype;
    uint16_t header_len;
    uint16_t csum_start, csum_offset;
    uint8_t header[NMIO_HEADER_MAX];
};

struct eth {
    struct nmio_port *port;
    const struct nmio_caps *caps;
    struct eth_stats stats;
    struct ip_addr *addrs;
    uint32_t *addr_counts;
    uint8_t *prefix_bits; /* NULL: every sender counts as on the link */
    uint32_t addr_count;
    void (*on_arp)(void *arg, const uint8_t *frame, uint32_t len);
    void *on_arp_arg;

    uint64_t hash_key[2];
    uint32_t *buckets; /* index of the first entry, or NEIGH_NONE */
    uint32_t bucket_mask;
    struct eth_neigh *neighs;
    uint32_t neigh_max;
    struct list idle; /* not held, the longest unused one first; free ones before all */
    struct mem_pool waiting;
    struct mem_chunks payloads;

    struct timer_wheel timers;
    struct timer announce;
    uint32_t announce_left;
    uint64_t defend_ns; /* the earliest time of the next defence of an address of ours */
};
#define NEIGH_NONE UINT32_MAX

extern const uint8_t eth_broadcast[ETH_MAC_BYTES];

static inline bool eth_mac_equal(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, ETH_MAC_BYTES) == 0;
}

/* Addresses that no single station has: groups (IEEE 802 8.2.2), and zero. */
static inline bool eth_mac_is_station(const uint8_t *mac)
{
    static const uint8_t zero[ETH_MAC_BYTES];

    return !(mac[0] & 1) && !eth_mac_equal(mac, zero);
}

bool eth_is_ours(const struct eth *eth, const struct ip_addr *addr);
bool eth_on_link(const struct eth *eth, const struct ip_addr *addr);

must_check int neigh_open(struct eth *eth, const struct eth_config *config);
void neigh_close(struct eth *eth);
struct eth_neigh *neigh_find(const struct eth *eth, const struct ip_addr *addr);
/* A new entry that nobody holds, in the place of the longest unused one; NULL: all are held. */
struct eth_neigh *neigh_create(struct eth *eth, const struct ip_addr *addr);
/* A frame for a neighbour that is not known to be reachable. */
void neigh_send_slow(struct eth *eth, struct eth_neigh *neigh, uint16_t ethertype,
                     struct nmio_frame *frame, uint64_t now_ns);
void neigh_timer(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns);
/* An answer to the address that we asked. False: we had not asked. */
bool neigh_answered(struct eth *eth, struct eth_neigh *neigh, const uint8_t *mac, uint64_t now_ns);

/* What a packet that we did not ask for is worth. */
enum neigh_claim {
    CLAIM_WORTHLESS, /* an answer to nobody: it sets nothing */
    CLAIM_ANNOUNCED, /* sets what has gone stale */
    CLAIM_TO_US,     /* sets what is unknown or has gone stale */
};
void neigh_claimed(struct eth *eth, struct eth_neigh *neigh, const uint8_t *mac,
                   enum neigh_claim claim, uint64_t now_ns);

void eth_transmit(struct eth *eth, const struct eth_neigh *neigh, uint16_t ethertype,
                  struct nmio_frame *frame, uint64_t now_ns);

enum arp_origin {
    ARP_FROM_PORT,
    ARP_RELAYED,
};
void arp_input(struct eth *eth, const uint8_t *frame, uint32_t len, enum arp_origin origin,
               uint64_t now_ns);
/* Asks who has `target`; `mac`: whom to ask, eth_broadcast for everybody. */
void arp_ask(struct eth *eth, const struct ip_addr *target, const uint8_t *mac, uint64_t now_ns);
void arp_announce_timer(struct eth *eth, uint64_t now_ns);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - the neighbour table and what the files of this folder know of each other.
 *
 * eth.c has the frames, neigh.c the table, its states and the frames that wait. arp.c and ndp.c are
 * the protocols that fill it, for IPv4 and IPv6; they hand what they hear to neigh_answered and
 * neigh_claimed. router.c knows what routers advertise, mld.c tells switches which groups we are
 * in, and icmp6.c has what those three have in common.
 */
#ifndef ETH_PRIV_H
#define ETH_PRIV_H

#include "base/list.h"
#include "base/rand.h"
#include "base/timer.h"
#include "eth/eth.h"
#include "eth/limits.h"
#include "eth/wire.h"

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
    bool router; /* one of eth->routers */
    struct ip_addr addr;
    uint64_t asked_ns; /* when a request was last sent */
    struct timer timer;
    struct list idle; /* in eth->idle or eth->asked while nobody holds it */
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

/* RFC 4862 2, RFC 4429. IPv4 addresses are ADDR_PREFERRED from the start. */
enum addr_state {
    ADDR_OPTIMISTIC, /* in use, while others are being asked whether they have it */
    ADDR_PREFERRED,  /* nobody has claimed it in time; it is defended */
    ADDR_DUPLICATE,  /* somebody else's: not used */
};

struct router {
    struct ip_addr addr;
    struct eth_neigh *neigh; /* held */
    uint64_t until_ns;
    int preference; /* RFC 4191: -1, 0, 1 */
};

struct router_prefix {
    struct ip_addr addr;
    uint8_t bits;
    uint64_t until_ns;
};

struct routers {
    bool taken; /* else advertisements are ignored */
    uint8_t solicits_left;
    uint64_t solicit_ns;
    uint32_t count;
    uint32_t chosen; /* its index; count: there is none */
    uint32_t prefix_count;
    uint32_t epoch;
    uint32_t mtu;
    struct timer timer;
    struct router list[ROUTERS_MAX];
    struct router_prefix prefixes[ROUTER_PREFIXES_MAX];
};

struct eth {
    struct nmio_port *port;
    const struct nmio_caps *caps;
    uint16_t vlan; /* 0: frames bear no tag */
    uint16_t header_len;
    struct eth_stats stats;
    struct ip_addr *addrs;
    uint32_t *addr_counts;
    uint8_t *addr_states;
    uint8_t *prefix_bits; /* NULL: every sender counts as on the link */
    uint32_t addr_count;
    void (*on_arp)(void *arg, const uint8_t *frame, uint32_t len);
    void *on_arp_arg;

    uint64_t hash_key[2];
    uint32_t *buckets; /* index of the first entry, or NEIGH_NONE */
    uint32_t bucket_mask;
    struct eth_neigh *neighs;
    uint32_t neigh_max;
    uint64_t questions_paid_ns; /* up to when; each pays the time in which it is earned */
    struct list idle;           /* not held, the longest unused one first; free ones before all */
    struct list asked;          /* not held and not known: frames wait for each of them */
    struct mem_pool waiting;
    struct mem_chunks payloads;

    struct timer_wheel timers;
    struct timer announce;
    uint32_t announce_left;
    uint64_t defend_ns; /* the earliest time of the next defence of an address of ours */

    /* IPv6 */
    struct timer ndp_timer;
    uint8_t ndp_step; /* of the start: 0 probes, the others announce */
    struct timer mld_timer;
    uint64_t mld_old_until_ns; /* a querier of version 1 is on the link */
    struct rand mld_delay;
    struct routers routers;
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

/* An IPv6 address that a single host can have. What begins with 64 zero bits (RFC 4291 2.5) is
 * unspecified, loopback or a kind of IPv4 address; the mapped ones must never come from a wire,
 * since they stand for IPv4 here. */
static inline bool ip6_is_host(const struct ip_addr *addr)
{
    return addr->b[0] != 0xff && get_be64(addr->b) != 0;
}

static inline bool ip6_is_unspecified(const struct ip_addr *addr)
{
    return (get_be64(addr->b) | get_be64(addr->b + 8)) == 0;
}

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

/* The address of ours, of the target's family, that is nearest to it; NULL: there is none. */
const struct ip_addr *eth_nearest_addr(const struct eth *eth, const struct ip_addr *target);
/* Writes the header at the frame's start. */
void eth_put_header(const struct eth *eth, struct nmio_frame *frame, const uint8_t *dst,
                    uint16_t ethertype);
void eth_transmit(struct eth *eth, const struct eth_neigh *neigh, uint16_t ethertype,
                  struct nmio_frame *frame, uint64_t now_ns);

enum eth_origin {
    FROM_PORT,
    RELAYED, /* by another worker, which answers and counts */
};
void arp_input(struct eth *eth, const uint8_t *frame, uint32_t len, enum eth_origin origin,
               uint64_t now_ns);
/* Asks who has `target`; `mac`: whom to ask, NULL for everybody. */
void arp_ask(struct eth *eth, const struct ip_addr *target, const uint8_t *mac, uint64_t now_ns);
void arp_announce_timer(struct eth *eth, uint64_t now_ns);

/* --- icmp6.c: messages in and out ------------------------------------------------------------- */

void icmp6_relayed(struct eth *eth, const uint8_t *frame, uint32_t len, uint64_t now_ns);
/* Every option lies within the message, and none is empty (RFC 4861 4.6). */
bool icmp6_options_ok(const uint8_t *options, uint32_t len);
/* The next option of this type at or behind `at`, which is NULL for the first; NULL: none. */
const uint8_t *icmp6_option(const uint8_t *options, uint32_t len, uint8_t type, const uint8_t *at);
/* The Ethernet address in an option; NULL: there is none. *bad: it cannot be a neighbour's. */
const uint8_t *icmp6_mac_option(const struct eth *eth, const uint8_t *options, uint32_t len,
                                uint8_t type, bool *bad);
/* Where a group's frames are sent (RFC 2464 7), and an address' solicited-node group (RFC 4291
 * 2.7.1). */
void icmp6_group_mac(uint8_t *mac, const struct ip_addr *group);
struct ip_addr icmp6_solicited_group(const struct ip_addr *addr);
extern const struct ip_addr icmp6_all_nodes, icmp6_all_routers, icmp6_unspecified;

/* A frame with an IPv6 header; NULL: the port is full and has counted it. The message is to follow
 * at header + header_len. */
struct nmio_frame *icmp6_frame(struct eth *eth, const struct ip_addr *src,
                               const struct ip_addr *dst);
/* The option that says our Ethernet address, appended. */
void icmp6_put_mac(const struct eth *eth, struct nmio_frame *frame, uint8_t type);
/* Length and checksum of a frame whose message begins at `message_at`. */
void icmp6_seal(const struct eth *eth, struct nmio_frame *frame, uint32_t message_at);
void icmp6_send(struct eth *eth, struct nmio_frame *frame, const uint8_t *mac, uint32_t message_at,
                uint64_t now_ns);

/* --- ndp.c ------------------------------------------------------------------------------------ */

void ndp_open(struct eth *eth, uint64_t now_ns);
void ndp_timer(struct eth *eth, uint64_t now_ns);
/* Asks who has `target`; `mac`: whom to ask, NULL for everybody. */
void ndp_ask(struct eth *eth, const struct ip_addr *target, const uint8_t *mac, uint64_t now_ns);
void ndp_input(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin,
               uint64_t now_ns);
bool ndp_is_our_group_mac(const struct eth *eth, const uint8_t *mac);
/* Our link-local address, once it is known that nobody else has it; else the unspecified one. */
const struct ip_addr *ndp_link_local(const struct eth *eth);

/* --- router.c --------------------------------------------------------------------------------- */

void router_open(struct eth *eth, bool taken, uint64_t now_ns);
void router_input(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin,
                  uint64_t now_ns);
void router_timer(struct eth *eth, uint64_t now_ns);
/* What is known of a router's Ethernet address has changed. */
void router_choose(struct eth *eth);
/* It says itself that it is no router any more. */
void router_gone(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns);

/* --- mld.c ------------------------------------------------------------------------------------ */

void mld_input(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin,
               uint64_t now_ns);
/* Tells the link which groups we are in; `record`: MLD2_CHANGE_TO_EXCLUDE for news. */
void mld_report(struct eth *eth, uint8_t record, uint64_t now_ns);
void mld_timer(struct eth *eth, uint64_t now_ns);

#endif

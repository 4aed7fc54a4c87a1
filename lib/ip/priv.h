// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the files of this folder know of each other.
 *
 * ip.c has what does not depend on the version, ip4.c and ip6.c headers in and out, icmp.c and
 * icmp6.c the messages.
 */
#ifndef IP_PRIV_H
#define IP_PRIV_H

#include "base/bytes.h"
#include "base/rand.h"
#include "ip/ip.h"
#include "ip/wire.h"

#define IP_TTL 64 /* RFC 1700's recommendation */

/* ICMP is for people who diagnose; a thousand a second is more than they read, and little work. */
#define ICMP_ECHO_PER_S   1000
#define ICMP_ERRORS_PER_S 1000
#define ICMP_BURST        50
/* An error costs 1 to this many tokens, at random: with a fixed price, strangers could count the
 * bucket and so learn which ports answer somebody else (CVE-2020-25705). */
#define ICMP_ERROR_PRICE_MAX 3

/* Echo replies whose payload the port still reads. With ICMP_BURST at once and reaping every turn
 * they never run out before the tokens do. */
#define ICMP_ECHO_CHUNKS 64

struct ip4_prefix {
    uint32_t addr;  /* host byte order, as all the numbers here */
    uint32_t count; /* that many from addr on are ours */
    uint32_t mask;
    uint32_t broadcast; /* 0: the prefix has none (RFC 3021) */
};

struct icmp_bucket {
    uint64_t last_ns;
    uint64_t credit_ns; /* a token is worth the time that it takes to earn it */
    uint64_t token_ns;
};

struct ip {
    struct eth *eth;
    uint32_t link_header; /* bytes in front of the IP header in every frame */
    const struct nmio_caps *caps;
    struct ip_stats stats;
    struct ip4_prefix *prefixes;
    uint32_t prefix_count;
    bool has_gateway;
    bool has_gateway6;
    struct ip_addr gateway;
    struct ip_addr gateway6;
    struct eth_neigh *gateways[2]; /* held, so that no flood of neighbours takes their places */
    struct ip_prefix *prefixes6;
    uint32_t prefix6_count;
    uint64_t label_key[2];

    struct icmp_bucket echo, errors;
    struct rand price;
    struct mem_chunks echo_chunks;
};

static inline uint32_t ip4_of(const struct ip_addr *addr)
{
    return get_be32(addr->b + 12);
}

bool ip4_is_ours(const struct ip *ip, uint32_t addr);
/* An address that a single host on the Internet can have (RFC 1122 3.2.1.3), other than we. */
bool ip4_is_peer(const struct ip *ip, uint32_t addr);
enum ip_verdict ip4_input(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram,
                          struct ip_error *error, uint64_t now_ns);
void ip4_flow_header(struct ip_flow *flow);

/* An IPv6 address that a single host other than we can have. What begins with 64 zero bits
 * (RFC 4291 2.5) is unspecified, loopback, or IPv4 in disguise. */
bool ip6_is_peer(const struct ip *ip, const struct ip_addr *addr);
bool ip6_on_link(const struct ip *ip, const struct ip_addr *addr);
enum ip_verdict ip6_input(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram,
                          struct ip_error *error, uint64_t now_ns);
int ip6_flow_open(struct ip *ip, struct ip_flow *flow, uint64_t now_ns);
struct nmio_frame *ip6_frame(struct ip *ip, struct ip_flow *flow, uint8_t proto, uint8_t tos);
void ip6_send(struct ip *ip, const struct ip_flow *flow, struct nmio_frame *frame, uint64_t now_ns);

/* The first byte of the flow's header tells the families apart. */
static inline bool ip_flow_is_ip6(const struct ip_flow *flow)
{
    return flow->header[0] == IP6_VERSION;
}

bool icmp_bucket_take(struct icmp_bucket *bucket, uint64_t tokens, uint64_t now_ns);
/* An error may be sent now: a random price is paid (see ICMP_ERROR_PRICE_MAX). Or it is counted. */
bool icmp_error_admitted(struct ip *ip, uint64_t now_ns);
/* Answers an echo request of either family. */
void icmp_echo(struct ip *ip, const struct ip_dgram *request, uint64_t now_ns);

/* What the headers in front of a message say about it. */
struct icmp6_way {
    bool fragment;     /* there was a fragment header, though the message is whole */
    bool router_alert; /* of MLD (RFC 2711 2.1) */
};
enum ip_verdict icmp6_input(struct ip *ip, const struct ip_dgram *dgram, struct icmp6_way way,
                            struct ip_error *error, uint64_t now_ns);
/* Tells the sender what is wrong with its packet, which begins at dgram->payload - header_len.
 * `rest`: the word behind the checksum. */
void icmp6_error(struct ip *ip, const struct ip_dgram *dgram, uint8_t type, uint8_t code,
                 uint32_t rest, uint64_t now_ns);

must_check int icmp_open(struct ip *ip, const struct ip_config *config, uint64_t now_ns);
enum ip_verdict icmp_input(struct ip *ip, const struct ip_dgram *dgram, struct ip_error *error,
                           uint64_t now_ns);

#endif

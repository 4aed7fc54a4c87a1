// SPDX-License-Identifier: BSD-2-Clause
/*
 * ip.h - IPv4 (RFC 791, 1122) and ICMP (RFC 792): datagrams in, datagrams out, and where they go.
 *
 * ip_input turns a packet into a struct ip_dgram that cannot be nonsense: lengths agree, the header
 * checksum holds, the destination is ours, the source is a possible one, it is not a fragment.
 * Echo requests are answered here, errors about our own packets are handed on. Fragments are
 * refused and counted: a server whose clients use TCP never needs them, and reassembly is a door
 * for attackers (RFC 8900).
 *
 * Datagrams are sent with DF set, so that nobody fragments them, and with an identification of 0:
 * such a datagram is atomic and its identification means nothing (RFC 6864 4.1). A counter
 * would tell strangers how much we send.
 *
 * A flow is where datagrams of one connection go: two addresses, and the neighbour that is the
 * next hop, held. ip_frame gives a frame with the headers of the flow in front; the transport
 * appends its own; ip_send fills in what depends on the length.
 *
 * ICMP errors that we send are limited in rate (RFC 1812 4.3.2.8) and never answer errors,
 * broadcasts or multicasts (RFC 1122 3.2.2).
 */
#ifndef IP_IP_H
#define IP_IP_H

#include "eth/eth.h"

#define IP4_HEADER_BYTES 20
#define IP_PROTO_ICMP    1
#define IP_PROTO_TCP     6
#define IP_PROTO_UDP     17

#define IP_STATS(X, t)                                                                             \
    X(t, rx_packets, "datagrams received")                                                         \
    X(t, tx_packets, "datagrams sent")                                                             \
    X(t, icmp_echo_in, "echo requests received")                                                   \
    X(t, icmp_echo_out, "echo replies sent")                                                       \
    X(t, icmp_errors_in, "ICMP errors about packets of ours")                                      \
    X(t, icmp_errors_out, "ICMP errors sent")                                                      \
    X(t, icmp_errors_limited, "ICMP errors and echo replies not sent because of the rate limit")   \
    X(t, icmp_ignored, "ICMP messages of a type that is ignored")                                  \
    X(t, drop_ip6, "IPv6 packets, which nobody takes")                                             \
    X(t, drop_short, "packets shorter than their headers say")                                     \
    X(t, drop_version, "packets with a wrong version or header length")                            \
    X(t, drop_checksum, "packets whose header checksum is wrong")                                  \
    X(t, drop_fragment, "fragments, which are refused")                                            \
    X(t, drop_not_ours, "packets for another address")                                             \
    X(t, drop_source, "packets from an impossible source address")                                 \
    X(t, drop_options, "packets with source-route or malformed options")                           \
    X(t, drop_proto, "packets of a protocol that nobody takes")                                    \
    X(t, drop_icmp_checksum, "ICMP messages whose checksum is wrong")                              \
    X(t, drop_icmp_malformed, "ICMP messages that make no sense")                                  \
    X(t, drop_icmp_stray, "ICMP errors about packets that we cannot have sent")                    \
    X(t, drop_icmp_big, "echo requests that are too big to be answered")                           \
    X(t, drop_no_route, "datagrams for which there is no next hop")
struct ip_stats {
    IP_STATS(STAT_FIELD, )
};
extern const struct stat_desc ip_stat_descs[];

struct ip;

struct ip_prefix {
    struct ip_addr addr; /* ours */
    uint8_t bits;        /* of the link's prefix: 24 for an IPv4 /24 */
};

struct ip_config {
    struct mem_arena *arena;
    struct eth *eth;
    const struct ip_prefix *prefixes;
    uint32_t prefix_count;
    const uint32_t *counts; /* one for each prefix: that many addresses from its own on are ours.
                               NULL: its own alone */
    const struct ip_addr *gateway; /* NULL: only what is on the link can be reached */
    uint64_t secret[2];            /* random: what others must not predict */
};
/* 0, -EINVAL, -EAFNOSUPPORT (an IPv6 address), or -ENOMEM. All configuration is copied. */
must_check int ip_open(struct ip **out, const struct ip_config *config, uint64_t now_ns);
void ip_close(struct ip *ip);

struct ip_dgram {
    struct ip_addr src, dst;
    uint8_t *payload; /* the transport's header; the IP header lies right before it */
    uint32_t len;
    uint16_t header_len; /* of the IP header */
    uint16_t gso_size;
    uint8_t proto;
    uint8_t ttl;
    uint8_t tos;  /* DSCP and ECN */
    bool csum_ok; /* the port vouches for the transport checksum */
};

/* An ICMP error about a datagram of ours: what it said, and the first bytes of what we sent. */
struct ip_error {
    struct ip_addr src, dst; /* of the datagram that we sent */
    const uint8_t *payload;  /* at least 8 bytes of its transport header */
    uint32_t len;
    uint8_t proto;
    uint8_t type, code; /* ICMPv4 */
    uint16_t mtu; /* of the next hop: type 3 code 4, as claimed (0 from old routers); else 0 */
};

enum ip_verdict {
    IP_DONE, /* taken care of, or dropped and counted */
    IP_TCP,
    IP_UDP,
    IP_ERROR,
};
/* `pkt` as eth_input left it. Fills `dgram` for IP_TCP and IP_UDP, `error` for IP_ERROR. */
enum ip_verdict ip_input(struct ip *ip, const struct nmio_pkt *pkt, struct ip_dgram *dgram,
                         struct ip_error *error, uint64_t now_ns);

enum ip_unreachable_code { /* RFC 792, type 3 */
                           IP_UNREACHABLE_PROTOCOL = 2,
                           IP_UNREACHABLE_PORT = 3,
};
/* Tells the sender of `dgram` that it cannot be delivered. */
void ip_unreachable(struct ip *ip, const struct ip_dgram *dgram, uint8_t code, uint64_t now_ns);

struct ip_flow {
    struct ip_addr local, remote;
    struct eth_neigh *via;
    uint8_t header[IP4_HEADER_BYTES]; /* private: what is the same in every datagram, */
    uint32_t header_sum;              /* and its checksum so far */
};
/* Fills the rest of the flow from local and remote. 0, -ENETUNREACH, -EADDRNOTAVAIL (local is not
 * ours), or -ENOBUFS (no place for the neighbour). */
must_check int ip_flow_open(struct ip *ip, struct ip_flow *flow, uint64_t now_ns);
void ip_flow_close(struct ip *ip, struct ip_flow *flow);
void ip_flow_confirm(struct ip_flow *flow, uint64_t now_ns); /* see eth_neigh_confirm */

/* A blank frame with the Ethernet and IP headers of the flow; the transport header goes to
 * header + header_len. NULL when the port has no room (counted there). */
struct nmio_frame *ip_frame(struct ip *ip, const struct ip_flow *flow, uint8_t proto, uint8_t tos);
/* Length and header checksum, then eth_send. */
void ip_send(struct ip *ip, const struct ip_flow *flow, struct nmio_frame *frame, uint64_t now_ns);

/* Largest transport payload (header included) of one packet, and of one GSO frame (0: no GSO). */
uint32_t ip_payload_max(const struct ip *ip, const struct ip_flow *flow);
uint32_t ip_gso_payload_max(const struct ip *ip, const struct ip_flow *flow);
const struct nmio_caps *ip_caps(const struct ip *ip);
bool ip_addr_is_ours(const struct ip *ip, const struct ip_addr *addr);

/* "192.0.2.1" or "192.0.2.0/24". 0 or -EINVAL. ip_addr_format needs IP_ADDR_TEXT bytes. */
#define IP_ADDR_TEXT 48
must_check int ip_addr_parse(const char *text, struct ip_addr *addr);
must_check int ip_prefix_parse(const char *text, struct ip_prefix *prefix);
const char *ip_addr_format(const struct ip_addr *addr, char *out);

/* --- the Internet checksum (RFC 1071) --------------------------------------------------------- */

/* Running sum over bytes. A part of odd length may only be the last one; see ip_sum_at. */
uint64_t ip_sum(uint64_t sum, const void *data, size_t len);
/* The same for parts of any length: `at` is how many bytes of the summed range lie before this
 * part. Only its parity counts: a part that begins in the middle of a 16-bit word. */
uint64_t ip_sum_at(uint64_t sum, size_t at, const void *data, size_t len);
/* The pseudo-header's part: RFC 9293 3.1. */
uint64_t ip_sum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                       uint32_t len);
/* Folded to 16 bits, not inverted, in the byte order in which it is stored with memcpy. */
uint16_t ip_sum_fold(uint64_t sum);

const struct ip_stats *ip_stats(const struct ip *ip);

#endif

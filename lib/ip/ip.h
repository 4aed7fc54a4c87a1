// SPDX-License-Identifier: BSD-2-Clause
/*
 * ip.h - IPv4 (RFC 791, 1122) and IPv6 (RFC 8200), with ICMP (RFC 792, 4443): datagrams in,
 * datagrams out, and where they go.
 *
 * ip_input turns a packet into a struct ip_dgram that cannot be nonsense: lengths agree, the header
 * checksum holds, the destination is ours, the source is a possible one, it is not a fragment, and
 * extension headers have been walked. Echo requests are answered here, errors about our own packets
 * are handed on, Neighbor Discovery is handed down to eth. Fragments are refused and counted: a
 * server whose clients use TCP never needs them, and reassembly is a door for attackers (RFC 8900).
 *
 * IPv4 datagrams are sent with DF set, so that nobody fragments them, and with an identification of
 * 0: such a datagram is atomic and its identification means nothing (RFC 6864 4.1). A counter
 * would tell strangers how much we send.
 *
 * A flow is where datagrams of one connection go: two addresses of one family, and the neighbour
 * that is the next hop, held. ip_frame gives a frame with the headers of the flow in front; the
 * transport appends its own; ip_send fills in what depends on the length. When the router of an
 * IPv6 flow changes, the flow follows with its next frame.
 *
 * ICMP errors that we send are limited in rate (RFC 1812 4.3.2.8, RFC 4443 2.4) and never answer
 * errors, broadcasts or multicasts (RFC 1122 3.2.2, RFC 4443 2.4).
 */
#ifndef IP_IP_H
#define IP_IP_H

#include "base/bytes.h"
#include "eth/eth.h"

#define IP4_HEADER_BYTES 20
#define IP6_HEADER_BYTES 40
#define IP_PROTO_ICMP    1
#define IP_PROTO_TCP     6
#define IP_PROTO_UDP     17
#define IP_PROTO_ICMP6   58

#define IP_STATS(X, t)                                                                             \
    X(t, rx_packets, "datagrams received")                                                         \
    X(t, tx_packets, "datagrams sent")                                                             \
    X(t, icmp_echo_in, "echo requests received")                                                   \
    X(t, icmp_echo_out, "echo replies sent")                                                       \
    X(t, icmp_errors_in, "ICMP errors about packets of ours")                                      \
    X(t, icmp_errors_out, "ICMP errors sent")                                                      \
    X(t, icmp_errors_limited, "ICMP errors and echo replies not sent because of the rate limit")   \
    X(t, icmp_ignored, "ICMP messages of a type that is ignored")                                  \
    X(t, icmp_link_in, "ICMPv6 messages of Neighbor Discovery and MLD, which eth takes")           \
    X(t, drop_short, "packets shorter than their headers say")                                     \
    X(t, drop_version, "packets with a wrong version or header length")                            \
    X(t, drop_checksum, "packets whose header checksum is wrong")                                  \
    X(t, drop_fragment, "fragments, which are refused")                                            \
    X(t, drop_not_ours, "packets for another address")                                             \
    X(t, drop_source, "packets from an impossible source address")                                 \
    X(t, drop_options, "packets with source-route, malformed or forbidden options")                \
    X(t, drop_extension, "IPv6 extension headers that are malformed, misplaced or too many")       \
    X(t, drop_jumbo, "IPv6 jumbograms")                                                            \
    X(t, drop_udp_no_checksum, "UDP datagrams that have no checksum, which IPv6 demands")          \
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
    const struct ip_addr *gateway;  /* NULL: only what is on the link can be reached */
    const struct ip_addr *gateway6; /* NULL: the router that eth has chosen, if there is one */
    uint64_t secret[2];             /* random: what others must not predict */
};
/* 0, -EINVAL, -ENOMEM, or -ENOBUFS (no places for the gateways among eth's neighbours; they are
 * asked for at once). All configuration is copied. */
must_check int ip_open(struct ip **out, const struct ip_config *config, uint64_t now_ns);
void ip_close(struct ip *ip);

struct ip_dgram {
    struct ip_addr src, dst;
    uint8_t *payload; /* the transport's header; the IP header lies right before it */
    uint32_t len;
    uint16_t header_len; /* of the IP header with its options or extension headers */
    uint16_t gso_size;
    uint8_t proto;
    uint8_t ttl;
    uint8_t tos;  /* DSCP and ECN */
    bool csum_ok; /* the port vouches for the transport checksum */
};

enum ip_error_kind {
    IP_ERROR_TOO_BIG,       /* a link on the path takes no more than `mtu` */
    IP_ERROR_UNREACHABLE,   /* no way to the host, or nobody there who wants the datagram */
    IP_ERROR_TIME_EXCEEDED, /* the path is too long, or a loop */
    IP_ERROR_PARAMETER,     /* somebody does not understand the header */
};

/* An ICMP error about a datagram of ours: what it said, and the first bytes of what we sent. */
struct ip_error {
    struct ip_addr src, dst; /* of the datagram that we sent */
    const uint8_t *payload;  /* at least 8 bytes of its transport header */
    uint32_t len;
    enum ip_error_kind kind;
    uint32_t mtu; /* IP_ERROR_TOO_BIG: as claimed (IPv4: 0 from old routers; IPv6: at least 1280) */
    uint8_t proto;
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

enum ip_unreachable_code { /* RFC 792, type 3; IPv6 has its own words for them */
                           IP_UNREACHABLE_PROTOCOL = 2,
                           IP_UNREACHABLE_PORT = 3,
};
/* Tells the sender of `dgram` that it cannot be delivered. */
void ip_unreachable(struct ip *ip, const struct ip_dgram *dgram, uint8_t code, uint64_t now_ns);

struct ip_flow {
    struct ip_addr local, remote;
    struct eth_neigh *via;
    uint8_t header[IP4_HEADER_BYTES]; /* private: what is the same in every datagram, */
    uint32_t header_sum;              /* and, for IPv4, its checksum so far */
};
static_assert(sizeof(struct ip_flow) == CACHE_LINE, "it lies in every connection's block");
/* Fills the rest of the flow from local and remote. 0, -ENETUNREACH, -EADDRNOTAVAIL (local is not
 * ours), or -ENOBUFS (no place for the neighbour). */
must_check int ip_flow_open(struct ip *ip, struct ip_flow *flow, uint64_t now_ns);
/* Makes the flow label one of these ports' own (RFC 6437 3); before, it is that of the two hosts.
 * IPv4 has none. */
void ip_flow_ports(const struct ip *ip, struct ip_flow *flow, uint16_t local, uint16_t remote);
void ip_flow_close(struct ip *ip, struct ip_flow *flow);
void ip_flow_confirm(struct ip_flow *flow, uint64_t now_ns); /* see eth_neigh_confirm */

/* A blank frame with the Ethernet and IP headers of the flow; the transport header goes to
 * header + header_len. NULL when the port has no room (counted there). */
struct nmio_frame *ip_frame(struct ip *ip, struct ip_flow *flow, uint8_t proto, uint8_t tos);
/* Length and header checksum, then eth_send. */
void ip_send(struct ip *ip, const struct ip_flow *flow, struct nmio_frame *frame, uint64_t now_ns);

/* Largest transport payload (header included) of one packet, and of one GSO frame (0: no GSO). */
uint32_t ip_payload_max(const struct ip *ip, const struct ip_flow *flow);
uint32_t ip_gso_payload_max(const struct ip *ip, const struct ip_flow *flow);
uint32_t ip_header_bytes(const struct ip_flow *flow);
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
uint64_t ip_sum_pseudo6(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                        uint32_t len);
static inline uint64_t ip_sum_pseudo(const struct ip_addr *src, const struct ip_addr *dst,
                                     uint8_t proto, uint32_t len)
{
    if (!ip_addr_is_v4(src))
        return ip_sum_pseudo6(src, dst, proto, len);
    return ((uint64_t)proto << 8) + __builtin_bswap32(len) + get_le32(src->b + 12) +
           get_le32(dst->b + 12);
}
/* Folded to 16 bits, not inverted, in the byte order in which it is stored with memcpy. */
static inline uint16_t ip_sum_fold(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

const struct ip_stats *ip_stats(const struct ip *ip);

#endif

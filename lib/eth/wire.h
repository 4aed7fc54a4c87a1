// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire.h - Ethernet II headers (IEEE 802.3 3.1.1), VLAN tags (IEEE 802.1Q 9.6), ARP packets for
 * IPv4 on Ethernet (RFC 826), and as much of ICMPv6 as belongs to the link: Neighbor Discovery (RFC
 * 4861 4) and Multicast Listener Discovery (RFC 3810 5).
 *
 * All fields are bytes, so that the structs may lie at any address.
 */
#ifndef ETH_WIRE_H
#define ETH_WIRE_H

#include "base/base.h"

#define ETH_MAC_BYTES 6

struct eth_header {
    uint8_t dst[ETH_MAC_BYTES];
    uint8_t src[ETH_MAC_BYTES];
    uint8_t type[2];
};
static_assert(sizeof(struct eth_header) == 14, "IEEE 802.3");

#define ETH_TYPE_ARP  0x0806
#define ETH_TYPE_VLAN 0x8100

struct eth_vlan_tag {
    uint8_t type[2]; /* ETH_TYPE_VLAN, where an untagged frame has its type */
    uint8_t tci[2];  /* priority, drop eligibility, VLAN */
};
static_assert(sizeof(struct eth_vlan_tag) == 4, "IEEE 802.1Q 9.6");
#define VLAN_TCI_VID 0x0fff

struct arp_packet {
    uint8_t htype[2];
    uint8_t ptype[2];
    uint8_t hlen;
    uint8_t plen;
    uint8_t op[2];
    uint8_t sha[ETH_MAC_BYTES];
    uint8_t spa[4];
    uint8_t tha[ETH_MAC_BYTES];
    uint8_t tpa[4];
};
static_assert(sizeof(struct arp_packet) == 28, "RFC 826");
static_assert(offsetof(struct arp_packet, tpa) == 24, "RFC 826");

#define ARP_HTYPE_ETHERNET 1
#define ARP_OP_REQUEST     1
#define ARP_OP_REPLY       2

/* RFC 8200 3 */
struct ip6_header {
    uint8_t version_class_label[4];
    uint8_t payload_len[2];
    uint8_t next;
    uint8_t hop_limit;
    uint8_t src[16];
    uint8_t dst[16];
};
static_assert(sizeof(struct ip6_header) == 40, "RFC 8200 3");

#define IP6_VERSION         0x60
#define IP6_NEXT_HOP_BY_HOP 0
#define IP6_NEXT_ICMP       58
#define IP6_MTU_MIN         1280 /* RFC 8200 5 */

/* RFC 4443 2.1 */
struct icmp6_header {
    uint8_t type;
    uint8_t code;
    uint8_t checksum[2];
};
static_assert(sizeof(struct icmp6_header) == 4, "RFC 4443 2.1");

#define ICMP6_MLD_QUERY        130
#define ICMP6_ROUTER_SOLICIT   133
#define ICMP6_ROUTER_ADVERT    134
#define ICMP6_NEIGHBOR_SOLICIT 135
#define ICMP6_NEIGHBOR_ADVERT  136
#define ICMP6_MLD2_REPORT      143

#define NDP_HOP_LIMIT          255 /* nobody beyond the link can send it (RFC 5082) */

/* RFC 4861 4.3, 4.4 */
struct ndp_neighbor {
    struct icmp6_header icmp;
    uint8_t flags; /* of advertisements */
    uint8_t reserved[3];
    uint8_t target[16];
};
static_assert(sizeof(struct ndp_neighbor) == 24, "RFC 4861 4.3");
#define NDP_FLAG_ROUTER    0x80
#define NDP_FLAG_SOLICITED 0x40
#define NDP_FLAG_OVERRIDE  0x20

/* RFC 4861 4.2; the preference is RFC 4191's */
struct ndp_router {
    struct icmp6_header icmp;
    uint8_t hop_limit;
    uint8_t flags;
    uint8_t lifetime_s[2];
    uint8_t reachable_ms[4];
    uint8_t retrans_ms[4];
};
static_assert(sizeof(struct ndp_router) == 16, "RFC 4861 4.2");
#define NDP_ROUTER_PREFERENCE 0x18

/* RFC 4861 4.6: a type, and a length in units of 8 bytes. */
#define NDP_OPTION_UNIT       8
#define NDP_OPTION_SOURCE_MAC 1
#define NDP_OPTION_TARGET_MAC 2
#define NDP_OPTION_PREFIX     3
#define NDP_OPTION_MTU        5

struct ndp_mac_option {
    uint8_t type;
    uint8_t units;
    uint8_t mac[ETH_MAC_BYTES];
};
static_assert(sizeof(struct ndp_mac_option) == 8, "RFC 4861 4.6.1");

struct ndp_prefix_option {
    uint8_t type;
    uint8_t units;
    uint8_t bits;
    uint8_t flags;
    uint8_t valid_s[4];
    uint8_t preferred_s[4];
    uint8_t reserved[4];
    uint8_t prefix[16];
};
static_assert(sizeof(struct ndp_prefix_option) == 32, "RFC 4861 4.6.2");
#define NDP_PREFIX_ON_LINK 0x80

struct ndp_mtu_option {
    uint8_t type;
    uint8_t units;
    uint8_t reserved[2];
    uint8_t mtu[4];
};
static_assert(sizeof(struct ndp_mtu_option) == 8, "RFC 4861 4.6.4");

/* RFC 2710 3, with which a query of RFC 3810 5.1 begins */
struct mld_message {
    struct icmp6_header icmp;
    uint8_t max_delay[2];
    uint8_t reserved[2];
    uint8_t group[16];
};
static_assert(sizeof(struct mld_message) == 24, "RFC 2710 3");

#define MLD2_QUERY_BYTES 28 /* RFC 3810 8.1: at least; 24 are of version 1, between is nothing */

/* RFC 3810 5.2 */
struct mld2_report {
    struct icmp6_header icmp;
    uint8_t reserved[2];
    uint8_t record_count[2];
};
static_assert(sizeof(struct mld2_report) == 8, "RFC 3810 5.2");

struct mld2_record {
    uint8_t type;
    uint8_t aux_units;
    uint8_t source_count[2];
    uint8_t group[16];
};
static_assert(sizeof(struct mld2_record) == 20, "RFC 3810 5.2.4");
#define MLD2_MODE_IS_EXCLUDE   2
#define MLD2_CHANGE_TO_EXCLUDE 4

/* RFC 2711, as RFC 3810 5 demands it: a hop-by-hop header with the router alert, and padding. */
struct mld_hop_by_hop {
    uint8_t next;
    uint8_t units_more;
    uint8_t alert[4];
    uint8_t pad[2];
};
static_assert(sizeof(struct mld_hop_by_hop) == 8, "RFC 8200 4.3");

#endif

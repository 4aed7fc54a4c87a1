// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire.h - Ethernet II headers (IEEE 802.3 3.1.1) and ARP packets for IPv4 on Ethernet (RFC 826).
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

#define ETH_TYPE_ARP 0x0806

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

#endif

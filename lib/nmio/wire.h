// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire.h - the formats that ports meet: the virtio-net header, and as much of Ethernet, IP and
 * transport headers as software offloads must understand. Read with bytes.h, never by cast.
 */
#ifndef NMIO_WIRE_H
#define NMIO_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Virtio 1.2, 5.1.6, without the last field: a TAP's default. With these ten bytes in front the IP
 * header of a packet read into an aligned buffer lies at offset 24, a multiple of 8. */
struct vnet_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};
_Static_assert(sizeof(struct vnet_header) == 10, "as on the wire");
_Static_assert(offsetof(struct vnet_header, csum_offset) == 8, "as on the wire");

enum {
    VNET_NEEDS_CSUM = 1,
    VNET_DATA_VALID = 2,
};

enum {
    VNET_GSO_NONE = 0,
    VNET_GSO_TCP4 = 1,
    VNET_GSO_TCP6 = 4,
    VNET_GSO_ECN = 0x80,
};

#define ETH_HEADER_BYTES 14
#define ETH_TYPE_AT      12
#define ETH_TYPE_IP4     0x0800
#define ETH_TYPE_IP6     0x86dd
#define ETH_TYPE_VLAN    0x8100
#define VLAN_TAG_BYTES   4

#define IP_PROTO_TCP     6
#define IP_PROTO_UDP     17

/* RFC 791, 3.1 */
#define IP4_HEADER_BYTES  20
#define IP4_LENGTH_AT     2
#define IP4_ID_AT         4
#define IP4_FRAGMENT_AT   6
#define IP4_FRAGMENT_MASK 0x3fff /* more fragments, offset */
#define IP4_PROTO_AT      9
#define IP4_CSUM_AT       10
#define IP4_SOURCE_AT     12

/* RFC 8200, 3 */
#define IP6_HEADER_BYTES 40
#define IP6_LENGTH_AT    4
#define IP6_NEXT_AT      6
#define IP6_SOURCE_AT    8

/* RFC 9293, 3.1 */
#define TCP_HEADER_BYTES   20
#define TCP_SEQ_AT         4
#define TCP_DATA_OFFSET_AT 12
#define TCP_FLAGS_AT       13
#define TCP_CSUM_AT        16
#define TCP_FIN            0x01
#define TCP_PSH            0x08
#define TCP_CWR            0x80

/* RFC 768 */
#define UDP_HEADER_BYTES 8
#define UDP_CSUM_AT      6

#endif

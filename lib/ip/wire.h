// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire.h - IPv4 headers and options (RFC 791 3.1), IPv6 headers and extension headers (RFC 8200 3,
 * 4) and the messages of both ICMPs (RFC 792, RFC 4443).
 *
 * All fields are bytes, so that the structs may lie at any address.
 */
#ifndef IP_WIRE_H
#define IP_WIRE_H

#include "base/base.h"

struct ip4_header {
    uint8_t version_ihl;
    uint8_t tos;
    uint8_t total_len[2];
    uint8_t id[2];
    uint8_t frag[2];
    uint8_t ttl;
    uint8_t proto;
    uint8_t checksum[2];
    uint8_t src[4];
    uint8_t dst[4];
};
static_assert(sizeof(struct ip4_header) == 20, "RFC 791 3.1");
static_assert(offsetof(struct ip4_header, src) == 12, "RFC 791 3.1");

#define IP4_VERSION_IHL 0x45
#define IP4_FRAG_DF     0x4000
#define IP4_FRAG_MF     0x2000
#define IP4_FRAG_OFFSET 0x1fff
#define IP4_HEADER_MAX  60
#define IP4_TOTAL_MAX   65535

#define IP4_OPT_END     0
#define IP4_OPT_NOP     1
#define IP4_OPT_LSRR    131
#define IP4_OPT_SSRR    137

struct ip6_header {
    uint8_t version_class_label[4];
    uint8_t payload_len[2];
    uint8_t next;
    uint8_t hop_limit;
    uint8_t src[16];
    uint8_t dst[16];
};
static_assert(sizeof(struct ip6_header) == 40, "RFC 8200 3");
static_assert(offsetof(struct ip6_header, src) == 8, "RFC 8200 3");

#define IP6_VERSION          0x60
#define IP6_LABEL_MAX        0xfffff
#define IP6_PAYLOAD_MAX      65535
#define IP6_MTU_MIN          1280 /* RFC 8200 5 */

#define IP6_NEXT_HOP_BY_HOP  0
#define IP6_NEXT_ROUTING     43
#define IP6_NEXT_FRAGMENT    44
#define IP6_NEXT_NONE        59
#define IP6_NEXT_DESTINATION 60

/* How options and routing headers begin; the length is in units of 8 bytes beyond the first. */
struct ip6_extension {
    uint8_t next;
    uint8_t units_more;
    uint8_t routing_type;
    uint8_t segments_left;
    uint8_t rest[4];
};
static_assert(sizeof(struct ip6_extension) == 8, "RFC 8200 4.4");

struct ip6_fragment {
    uint8_t next;
    uint8_t reserved;
    uint8_t offset[2];
    uint8_t id[4];
};
static_assert(sizeof(struct ip6_fragment) == 8, "RFC 8200 4.5");
#define IP6_FRAGMENT_MASK    0xfff9 /* offset, more fragments */

#define IP6_OPT_PAD1         0
#define IP6_OPT_PADN         1
#define IP6_OPT_ROUTER_ALERT 5 /* RFC 2711 */
#define IP6_OPT_ACTION(type) ((type) >> 6)
enum ip6_opt_action { /* RFC 8200 4.2 */
                      IP6_OPT_SKIP,
                      IP6_OPT_DISCARD,
                      IP6_OPT_TELL,
                      IP6_OPT_TELL_ONE, /* unless the packet was for many */
};

struct icmp_header {
    uint8_t type;
    uint8_t code;
    uint8_t checksum[2];
    uint8_t rest[4]; /* echo: identifier and sequence; fragmentation needed: 0 and the MTU */
};
static_assert(sizeof(struct icmp_header) == 8, "RFC 792, RFC 4443 2.1");

#define ICMP_ECHO_REPLY         0
#define ICMP_UNREACHABLE        3
#define ICMP_ECHO               8
#define ICMP_TIME_EXCEEDED      11
#define ICMP_PARAMETER_PROBLEM  12

#define ICMP_CODE_FRAG_NEEDED   4

#define ICMP6_UNREACHABLE       1
#define ICMP6_TOO_BIG           2
#define ICMP6_TIME_EXCEEDED     3
#define ICMP6_PARAMETER_PROBLEM 4
#define ICMP6_INFORMATIONAL     128 /* errors are below */
#define ICMP6_ECHO              128
#define ICMP6_ECHO_REPLY        129
#define ICMP6_MLD_QUERY         130
#define ICMP6_ROUTER_ADVERT     134
#define ICMP6_NEIGHBOR_SOLICIT  135
#define ICMP6_NEIGHBOR_ADVERT   136
#define ICMP6_REDIRECT          137

#define ICMP6_CODE_PORT         4 /* of unreachable */
#define ICMP6_CODE_FIELD        0 /* of parameter problem */
#define ICMP6_CODE_NEXT_HEADER  1
#define ICMP6_CODE_OPTION       2

#endif

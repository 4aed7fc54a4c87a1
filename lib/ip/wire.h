// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire.h - IPv4 headers and options (RFC 791 3.1) and ICMP messages (RFC 792).
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

struct icmp_header {
    uint8_t type;
    uint8_t code;
    uint8_t checksum[2];
    uint8_t rest[4]; /* echo: identifier and sequence; fragmentation needed: 0 and the MTU */
};
static_assert(sizeof(struct icmp_header) == 8, "RFC 792");

#define ICMP_ECHO_REPLY        0
#define ICMP_UNREACHABLE       3
#define ICMP_ECHO              8
#define ICMP_TIME_EXCEEDED     11
#define ICMP_PARAMETER_PROBLEM 12

#define ICMP_CODE_FRAG_NEEDED  4

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire.h - the TCP header and its options as they lie in a packet, and a segment as the stack sees
 * it.
 *
 * Bytes are looked at once, here; everything behind tcp_seg_parse works on struct tcp_seg, whose
 * fields cannot contradict each other.
 */
#ifndef TCPIP_WIRE_H
#define TCPIP_WIRE_H

#include "base/bytes.h"
#include "ip/ip.h"

/* RFC 9293 3.1 */
struct tcp_header {
    uint8_t src_port[2];
    uint8_t dst_port[2];
    uint8_t seq[4];
    uint8_t ack[4];
    uint8_t data_off; /* high four bits: header length in 32-bit words */
    uint8_t flags;
    uint8_t window[2];
    uint8_t checksum[2];
    uint8_t urgent[2];
};
static_assert(sizeof(struct tcp_header) == 20, "RFC 9293 figure 1");
static_assert(offsetof(struct tcp_header, checksum) == 16, "RFC 9293 figure 1");

#define TCP_HEADER_MAX 60

enum tcp_flags {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40, /* RFC 3168 6.1 */
    TCP_CWR = 0x80,
};

enum ip_ecn { /* RFC 3168 5, the low bits of dgram->tos */
              IP_ECN_NOT_ECT = 0,
              IP_ECN_ECT_1 = 1,
              IP_ECN_ECT_0 = 2,
              IP_ECN_CE = 3,
              IP_ECN_MASK = 3,
};

enum tcp_option {
    TCP_OPT_END = 0,
    TCP_OPT_NOP = 1,
    TCP_OPT_MSS = 2,            /* RFC 9293 3.7.1, length 4 */
    TCP_OPT_WSCALE = 3,         /* RFC 7323 2.2, length 3 */
    TCP_OPT_SACK_PERMITTED = 4, /* RFC 2018 2, length 2 */
    TCP_OPT_SACK = 5,           /* RFC 2018 3, length 2 + 8 for each block */
    TCP_OPT_TIMESTAMPS = 8,     /* RFC 7323 3.2, length 10 */
};
/* With the two NOPs in front that RFC 7323 appendix A shows. */
#define TCP_OPT_TIMESTAMPS_BYTES 10
#define TCP_OPT_TIMESTAMPS_SPACE 12
#define TCP_WSCALE_MAX           14 /* RFC 7323 2.3 */
#define TCP_SACKS_MAX            4  /* RFC 2018 3: there is no room for more */

/* Bytes that arrived ahead of a gap, or twice (RFC 2883): from start up to end, as on the wire. */
struct tcp_sack {
    uint32_t start, end;
};

struct tcp_seg {
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint64_t seq64, ack64; /* unrolled by the connection's own counters, see priv.h */
    uint32_t window;       /* scaled by tcp_input; that of a SYN is not (RFC 7323 2.2) */
    uint32_t len;          /* payload bytes */
    const uint8_t *data;
    uint8_t flags;
    uint8_t ecn; /* enum ip_ecn */
    bool has_ts;
    bool has_wscale;
    bool sack_permitted;
    uint8_t sack_count;
    uint8_t wscale;
    uint16_t mss; /* 0: no option */
    uint32_t tsval, tsecr;
    struct tcp_sack sacks[TCP_SACKS_MAX]; /* the peer's claims, in its order, not checked */
};

enum tcp_parse {
    TCP_PARSE_OK,
    TCP_PARSE_SHORT,
    TCP_PARSE_CHECKSUM,
};
/* *bad_options: an option's length was impossible; it and those behind it are ignored. */
enum tcp_parse tcp_seg_parse(const struct ip_dgram *dgram, struct tcp_seg *seg, bool *bad_options);

/* The bytes that the segment takes in sequence space: SYN and FIN count (RFC 9293 3.4). */
static inline uint32_t tcp_seg_len(const struct tcp_seg *seg)
{
    return seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * packet.h - a TCP packet as a script writes it, and as it lies on the wire.
 *
 *     FLAGS SEQ[:END] [ack N] [win N] [urg N] [<options>] [more]
 *
 * It goes four ways: text to packet (parse), packet to text (format), bytes to packet (decode),
 * packet to bytes (encode); and a packet that was sent is held against one that was expected
 * (match). Sequence numbers are relative to the sender's SYN, timestamps of the stack to the first
 * one that it sent; struct packet_base says what they are relative to. Expected numbers are spans,
 * so that a script can leave open what the RFC leaves open.
 */
#ifndef SCRIPT_PACKET_H
#define SCRIPT_PACKET_H

#include "scan.h"
#include "tcpip/trace.h"

#define PACKET_OPTIONS_MAX 16
#define PACKET_BLOCKS_MAX  4
#define PACKET_FRAME_MAX   2048
#define PACKET_TEXT_MAX    1024
#define PACKET_IPOPT_MAX   40

enum packet_flags {
    PACKET_ECE = 0x40, /* RFC 3168 */
    PACKET_CWR = 0x80,
};

enum packet_ecn { /* RFC 3168 5 */
                  ECN_NOT_ECT,
                  ECN_ECT1,
                  ECN_ECT0,
                  ECN_CE,
};

#define OPTION_RAW       0x100 /* bytes as they are, kind and length included */
#define OPTION_SACK_OK   4     /* RFC 2018 2 */
#define OPTION_SACK      5     /* RFC 2018 3 */
#define OPTION_BYTES_MAX 40

struct packet_option {
    uint16_t kind;
    struct span value[2]; /* MSS; shift; TSval and TSecr */
    struct span blocks[PACKET_BLOCKS_MAX][2];
    uint32_t block_count;
    uint8_t bytes[OPTION_BYTES_MAX];
    uint32_t len;
};

struct packet {
    uint8_t flags;
    struct span seq, ack, win, urg;
    uint32_t len;
    struct packet_option options[PACKET_OPTIONS_MAX];
    uint32_t option_count;
    bool more_options; /* "...": others may be there as well */
    uint8_t ecn;
    uint16_t port;     /* the peer's, counted from TRACE_PEER_PORT */
    uint16_t our_port; /* 0: TRACE_PORT */
    /* Sent by a script only. */
    uint32_t times; /* one after the other, each in a turn of its own */
    bool bad_sum;
    uint8_t data_off;      /* 0: as it should be; in words */
    uint16_t cut;          /* 0: the whole TCP segment, otherwise so many bytes of it */
    bool has_src, has_dst; /* others than the usual ones: */
    uint8_t src[4], dst[4];
    uint8_t ip_options[PACKET_IPOPT_MAX];
    uint32_t ip_options_len;
    /* Received by a script only. */
    const char *wrong; /* what no sender may ever do */
};

/* What relative numbers of one connection count from. */
struct packet_base {
    uint32_t iss; /* the stack's */
    uint32_t peer_iss;
    uint32_t ts; /* the stack's first TSval */
    bool has_ts;
};

void packet_parse(struct scan *s, struct packet *p);
/* PACKET_TEXT_MAX bytes. */
const char *packet_format(const struct packet *p, char *out);
/* NULL: `got` is what was expected; else the name of the first field that differs. */
const char *packet_match(const struct packet *want, const struct packet *got);

/* `base` learns from the stack's SYN. The payload must be the stream's. */
void packet_decode(struct packet *p, struct packet_base *base, const uint8_t *ip, uint32_t ip_len);
/* Returns the length of the frame. */
uint32_t packet_encode(const struct packet *p, const struct packet_base *base, struct trace *t,
                       uint8_t frame[PACKET_FRAME_MAX]);

/* An ICMP error that quotes a packet of the stack's. */
struct packet_icmp {
    uint8_t type, code;
    uint16_t mtu;
    int64_t seq; /* of the quoted packet */
    uint16_t port;
    bool bad_sum;
    uint8_t quoted_dst[4]; /* all zero: the peer */
};
void packet_icmp_parse(struct scan *s, struct packet_icmp *icmp);
uint32_t packet_icmp_encode(const struct packet_icmp *icmp, const struct packet_base *base,
                            struct trace *t, uint8_t frame[PACKET_FRAME_MAX]);

#endif

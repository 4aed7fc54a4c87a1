// SPDX-License-Identifier: BSD-2-Clause
/*
 * cookie.h - an initial sequence number that remembers a SYN, so that nobody else has to (RFC 4987
 * 3.6).
 *
 *     bit  31                                    4    3    2   0
 *         | 28 bits of SipHash-2-4 (key; 4-tuple,  | time | MSS  |
 *         | the peer's number, time, MSS)          |      |      |
 *
 * Time is counted in periods of 64 s, of which the cookie shows the last bit; it holds for the rest
 * of its period and the one after. A forger hits with one ACK in 2^28. The number is no clock: RFC
 * 6528's promise, that it lies beyond those of an earlier connection with the same addresses, is
 * what a cookie costs.
 *
 * The other options travel in the low bits of our timestamp, which the peer echoes. They are not
 * authenticated: who changes them harms himself. A peer without timestamps gets none of them.
 *
 * Nothing here has state.
 */
#ifndef TCPIP_COOKIE_H
#define TCPIP_COOKIE_H

#include "ip/ip.h"

/* Whose connection it is; hashed whole. */
struct tcp_tuple {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
};
static_assert(sizeof(struct tcp_tuple) == 36, "no padding");

#define COOKIE_PERIOD_NS (64 * NS_PER_S)

/* `mss`: the segment that may be sent to the peer; the cookie remembers one of eight, no larger. */
uint32_t cookie_make(const uint64_t key[2], const struct tcp_tuple *tuple, uint32_t irs,
                     uint16_t mss, uint64_t now_ns);
/* The MSS, or 0: it is none of ours, or too old. */
uint16_t cookie_check(const uint64_t key[2], const struct tcp_tuple *tuple, uint32_t irs,
                      uint32_t cookie, uint64_t now_ns);

struct cookie_options {
    bool has_wscale;
    uint8_t wscale; /* the peer's */
    bool sack;
    bool ecn;
};
/* The timestamp to send: not later than `clock`, which shows our timestamp clock. */
uint32_t cookie_timestamp(uint32_t clock, const struct cookie_options *options);
struct cookie_options cookie_options_of(uint32_t timestamp);

#endif

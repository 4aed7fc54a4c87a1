// SPDX-License-Identifier: BSD-2-Clause
/*
 * limits.h - every bound and every time of the stack that is not an option, and where it is from.
 */
#ifndef TCPIP_LIMITS_H
#define TCPIP_LIMITS_H

#include "base/base.h"
#include "nmio/nmio.h"

#define TCP_CWND_MAX (1u << 30) /* RFC 7323 2.3: no window is larger */
/* Among a million idle connections each that is passed on the way to the one wanted is a miss of
 * the cache: with one bucket for each, active ones were a third slower than without the idle. */
#define TCP_BUCKETS_PER_CONN 4u
#define TCP_MSS_DEFAULT      536 /* RFC 9293 3.7.1, MUST-15: a peer that names none */
#define TCP_MSS_DEFAULT_IP6  1220
#define TCP_MSS_MIN          88       /* a smaller one is an attack: headers for nothing */
#define TCP_RTO_INITIAL_US   1000000u /* RFC 6298 2.1 */
#define TCP_RTO_AFTER_SYN_US 3000000u /* RFC 6298 5.7: the SYN was lost and there is no sample */
/* RFC 6298 2.4 wants at least 1 s; Linux and FreeBSD use 200 ms or so, and nobody is the worse for
 * it. Delayed ACKs (at most 200 ms in common stacks) bound it from below, and add to the round trip
 * however long that is: every ACK is a sample, so that of a steady path RTTVAR is nothing. */
#define TCP_RTO_MARGIN_US         200000u
#define TCP_RTO_MAX_US            60000000u /* RFC 6298 2.5 */
#define TCP_RTT_GRANULARITY_US    1000u     /* G of RFC 6298: the timer wheel's tick */
#define TCP_SYN_RETRIES           7 /* 1+2+4+8+16+32+60+60 s: R2 of RFC 9293 3.8.3 for a SYN */
#define TCP_SYNACK_RETRIES        5 /* 1+2+4+8+16+32 s: a minute for a stranger */
#define TCP_DELACK_NS             (40 * NS_PER_MS)  /* RFC 9293 MUST-59: below 0.5 s */
#define TCP_SWS_OVERRIDE_NS       (200 * NS_PER_MS) /* RFC 9293 3.8.6.2.1: 0.1 to 1 s */
#define TCP_KEEPALIVE_PROBES      9
#define TCP_KEEPALIVE_INTERVAL_NS (75 * NS_PER_S)
#define TCP_DUP_ACKS_OWED_MAX     NMIO_BATCH /* one for each segment of a turn */
#define TCP_STRAYS_OWED           256 /* RSTs, SYN cookies per turn; more are dropped and counted */
#define TCP_TS_IDLE_NS            (24ull * 86400 * NS_PER_S) /* RFC 7323 5.5: ts_recent is void */
#define TCP_LIMITED_ACK_MS        500  /* between answers of a connection to what carries nothing */
#define TCP_CHALLENGE_PER_S       1000 /* RFC 5961 10; half of it more or less */
/* Ranges of one connection's scoreboard. A window of 64 MiB in frames of 60 KB has 1,100; more are
 * holes, and beyond so many of them a timeout mends as quickly as a SACK. */
#define TCP_RANGES_MAX 4096

#endif

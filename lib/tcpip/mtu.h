// SPDX-License-Identifier: BSD-2-Clause
/*
 * mtu.h - how large a packet the path takes (RFC 1191, 8201, 4821, 8899).
 *
 * A connection begins with segments as large as both ends take, conn->mss_max. That a link between
 * them takes less is learned in three ways:
 *
 *     a router says so             tcp_mtu_claimed   an ICMP error, which anybody may have forged
 *     one segment times out        tcp_mtu_timeout   a black hole: the packets that are too big
 *     again and again                                vanish, and nobody says a word
 *     a probe arrives or is lost   tcp_mtu_probe_*   one new segment that is larger than the others
 *
 * After a black hole segments fit a size that nearly every path takes, the base. From there the
 * size is searched upwards with probes: first the old size, since the timeouts may have had another
 * cause; then the middle between what arrives and what does not. A probe is a segment of the stream
 * like any other. That it arrived is seen when the next answer of the application is sent, that it
 * was lost where ranges are lost: a connection whose segments are as large as can be pays one
 * comparison for each answer, and nothing for an ACK.
 *
 * What is known belongs to the path and is kept by the peer's address, in a table of TCP_PATHS
 * places, so that the next connection does not find it out once more (RFC 4821 5.2). Only paths
 * that were feared to take less than both ends are in it.
 *
 *     mtu <= high     packets of `mtu` bytes arrive, those above `high` do not
 *     high - mtu      too little to be worth a probe: the search is complete; after ten minutes
 *                     (RFC 1191 6.3, PMTU_RAISE_TIMER of RFC 8899 5.1.1) larger ones are tried
 * again
 *
 * Sizes of packets are those of the IP datagram, headers included; `mss` is payload.
 */
#ifndef TCPIP_MTU_H
#define TCPIP_MTU_H

#include "ip/ip.h"

/* 128 KiB. A path that finds no place takes that of the one of its set that was known longest. */
#define TCP_PATHS     4096
#define TCP_PATH_WAYS 4

struct tcp;
struct tcp_ack;
struct tcp_conn;
struct tcp_sender;
struct tcp_sent;

struct tcp_path {
    struct ip_addr remote;
    uint64_t since_ns; /* the last thing was learned; 0: an empty place */
    uint16_t mtu, high;
    uint16_t probe; /* size of the probe that was lost last, `lost` times in a row */
    uint8_t lost;
    bool told; /* a router says that `high` arrives */
};
static_assert(sizeof(struct tcp_path) == 32, "two in a cache line");

struct tcp_paths {
    struct tcp_path *places; /* TCP_PATHS of them */
    bool any;                /* one of them is not empty */
};

/* What a connection that sends knows by itself. */
struct tcp_mtu {
    uint64_t probe_at_ns; /* no sooner does a probe go; UINT64_MAX: never */
    uint64_t probe_end;   /* the probe that is out ends here; 0: none is */
    uint64_t stuck_at;    /* snd_una when the timer fired last, */
    uint64_t claim_seq;   /* and the segment that a router said was too big */
    uint16_t claim;       /* for packets of this size; 0: none said so */
    uint16_t probe;       /* size of the packet that the probe that is out is in */
    uint8_t timeouts;     /* in a row, with snd_una at stuck_at */
};

must_check int tcp_mtu_init(struct tcp *tcp);
/* The size of the largest packets of the connection. */
uint32_t tcp_mtu(const struct tcp_conn *conn);

/* A connection begins to send, with `s`. Its segments become what is known to arrive. */
void tcp_mtu_start(struct tcp_conn *conn, struct tcp_sender *s, uint64_t now_ns);
/* The retransmission timer has fired, and what it means for the window has been done. */
void tcp_mtu_timeout(struct tcp_conn *conn, uint64_t now_ns);
/* Somebody says that the packet with `seq` was too big for a link that takes `mtu` (0: old routers
 * do not say how much). */
void tcp_mtu_claimed(struct tcp_conn *conn, uint64_t seq, uint32_t mtu, uint64_t now_ns);

/* probe_at_ns has come, and `bytes` new ones are there to be sent. How many of them shall go as one
 * segment; 0: none, segments are as conn->mss says. */
uint32_t tcp_mtu_probe_due(struct tcp_conn *conn, uint64_t bytes, uint64_t now_ns);
void tcp_mtu_probe_sent(struct tcp_conn *conn, uint64_t end, uint32_t len);
/* A range with SENT_MTU_PROBE was lost. False: it is a loss like any other. */
bool tcp_mtu_probe_lost(struct tcp_conn *conn, struct tcp_sent *range, const struct tcp_ack *a);

#endif

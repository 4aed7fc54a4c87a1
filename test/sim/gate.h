// SPDX-License-Identifier: BSD-2-Clause
/*
 * gate.h - what the boxes on a path do to TCP, as a port in front of a host's port.
 *
 * nmio_fault and the middlebox treat all packets alike. A gate looks into those that its host is to
 * receive (IPv4 with TCP in it), and does what routers, firewalls, modems and other people's
 * receivers do:
 *
 * - acknowledgments are lost apart from data; or only every n-th passes at once, and the last one
 *   late; or they are kept back, and of several in a row the last one alone is delivered, late;
 * - options of SYNs are overwritten, so that the peer seems not to know them;
 * - packets above a size that begins in the middle of everything are dropped, with or without a
 *   word to their sender;
 * - the host's Ethernet address changes, announced or not, as when a router fails over.
 *
 * Data behind a gate is never damaged, and nothing is lost that a gate was not asked to lose.
 */
#ifndef SIM_GATE_H
#define SIM_GATE_H

#include "ip/ip.h"
#include "nmio/nmio.h"

enum gate_strip {
    GATE_STRIP_SACK = 1,
    GATE_STRIP_TIMESTAMPS = 2,
    GATE_STRIP_WSCALE = 4,
};

struct gate_config {
    uint64_t seed;
    double ack_loss;
    uint32_t thin;       /* one ACK of so many passes at once; 0: all */
    uint32_t stretch;    /* so many ACKs become one; 0: each is its own */
    uint64_t stretch_ns; /* no ACK is kept for longer */
    unsigned strip;      /* enum gate_strip */
    uint32_t mtu;        /* 0: any size passes */
    uint64_t mtu_from_ns, mtu_until_ns;
    bool mtu_silent;      /* a black hole; else ICMP tells the sender */
    bool mtu_unsaid;      /* ICMP does not say which size would pass (routers before RFC 1191) */
    uint64_t moves_at_ns; /* when the Ethernet address changes; UINT64_MAX: never */
    bool move_announced;
    struct ip_addr addr; /* the host's, for the announcement */
};

#define GATE_STATS(X, t)                                                                           \
    X(t, acks_lost, "ACKs dropped by chance")                                                      \
    X(t, acks_thinned, "ACKs that had to wait because not every one passes")                       \
    X(t, acks_merged, "ACKs of which only the next one was delivered")                             \
    X(t, stripped, "SYNs that lost an option")                                                     \
    X(t, too_big, "packets above the MTU")                                                         \
    X(t, icmp_sent, "of these, those whose sender was told")                                       \
    X(t, old_address, "frames for an Ethernet address that is no longer the host's")
struct gate_stats {
    GATE_STATS(STAT_FIELD, )
};
extern const struct stat_desc gate_stat_descs[];

/* Takes `under` over; closing the gate closes it. Times are those of nmio_rx. 0 or -ENOMEM. */
must_check int gate_open(struct nmio_port **out, struct nmio_port *under,
                         const struct gate_config *config);
const struct gate_stats *gate_stats(const struct nmio_port *port);

#endif

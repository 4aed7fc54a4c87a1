// SPDX-License-Identifier: BSD-2-Clause
/*
 * cc.h - congestion control as a value: how much may be in the network, and how fast it may go in.
 *
 * A struct cc belongs to one connection. Its owner (a transport) finds out what happened to the
 * packets; the algorithm decides what follows from it. It performs no I/O, reads no clock and knows
 * no sequence numbers other than the 64-bit ones that it is told, so a test is a loop over events.
 *
 *     cc_open      at the first byte, and again after the connection forgot its path
 *     cc_on_sent   before bytes go to the network
 *     cc_on_lost   for each range that was found lost
 *     cc_on_ack    once for each ACK, after all that it acknowledges and all that it shows to be
 *                  lost has been counted
 *     cc_on_*      the events in between
 *
 * The owner reads `cwnd` (bytes in flight allowed) and `ssthresh`, and asks cc_pacing_bps how fast
 * and cc_burst how much at once. During fast recovery a loss-based algorithm leaves the window to
 * the owner's proportional rate reduction (RFC 6937), which writes cwnd itself; one that says
 * own_recovery keeps it. A mark of ECN is answered at once, in cwnd as well as ssthresh, and the
 * slow start after a timeout is the algorithm's, too.
 *
 * The `flight` of on_loss, on_ecn and on_rto is RFC 5681's FlightSize, all that was sent and not
 * acknowledged when it happened, lost or not: what is left after half a window was dropped would
 * have one loss answered twice.
 *
 * Delivery rates are those of draft-cheng-iccrg-delivery-rate-estimation, as in BBR's draft 4.1.
 * All sizes are bytes, all rates bytes per second.
 */
#ifndef CC_CC_H
#define CC_CC_H

#include "base/base.h"

#define CC_WINDOW_MAX  (1u << 30) /* RFC 7323 2.3: no window is larger */
#define CC_STATE_WORDS 32

/* What one ACK said. */
struct cc_ack {
    uint64_t now_ns;
    uint64_t snd_una, snd_nxt; /* after it: HyStart++ and BBR count rounds by them */
    uint32_t acked;            /* newly acknowledged in order */
    uint32_t delivered;        /* newly acknowledged or selectively acknowledged */
    uint32_t lost;             /* newly found lost */
    uint32_t flight_before;    /* in flight before it */
    uint32_t flight;           /* and after */
    uint32_t rtt_us;           /* its newest round-trip sample; 0: none */
    uint32_t min_rtt_us;       /* the path's least, over the last minutes */
    uint32_t srtt_us;
    bool in_recovery;    /* fast recovery, or the slow start after a timeout */
    bool window_limited; /* the window was what kept more from being sent (RFC 7661) */
    /* The rate sample; rate_interval_ns 0: no rate. The rest holds if `delivered` is not 0. */
    uint64_t rate_delivered; /* bytes delivered during the interval */
    uint64_t rate_interval_ns;
    uint64_t delivered_total; /* by the connection, after this ACK */
    uint64_t prior_delivered; /* delivered_total when the newest packet acknowledged was sent */
    uint32_t tx_in_flight;    /* in flight just after that packet was sent */
    uint64_t lost_since_sent; /* bytes found lost between its sending and now */
    bool app_limited;         /* the sample, not the moment */
};

/* A range found lost. */
struct cc_lost {
    uint64_t now_ns;
    uint64_t snd_nxt;
    uint32_t bytes;
    uint32_t tx_in_flight;    /* in flight just after it was sent */
    uint64_t lost_since_sent; /* itself included */
    bool app_limited;         /* when it was sent */
};

struct cc_algorithm;

struct cc {
    const struct cc_algorithm *algorithm;
    uint32_t cwnd;
    uint32_t ssthresh;
    uint64_t pacing_bps; /* of an algorithm that has_pace */
    uint16_t mss;
    bool no_sack; /* the peer acknowledges in order only; set after cc_open */
    uint8_t reserved;
    uint64_t state[CC_STATE_WORDS]; /* private to the algorithm */
};

struct cc_algorithm {
    const char *name;
    bool own_recovery;                            /* cwnd is its own affair in recovery, too */
    bool has_pace;                                /* a rate is what it decides on */
    bool wants_rate;                              /* rate samples are looked at */
    void (*open)(struct cc *cc, uint64_t now_ns); /* cwnd, ssthresh and all of state */
    void (*on_ack)(struct cc *cc, const struct cc_ack *ack);
    /* Fast recovery begins with `flight` bytes out; ssthresh is set. */
    void (*on_loss)(struct cc *cc, uint32_t flight, uint64_t now_ns);
    /* Fast recovery, or the slow start after a timeout, is over. */
    void (*on_recovered)(struct cc *cc, uint64_t now_ns);
    /* An ECN echo, at most once a round trip (RFC 3168 6.1.2), outside of recovery. */
    void (*on_ecn)(struct cc *cc, uint32_t flight, uint64_t now_ns);
    /* The retransmission timer fired; `first` of its episode. cwnd becomes the loss window. */
    void (*on_rto)(struct cc *cc, uint32_t flight, bool first, uint64_t now_ns);
    /* The last on_loss or on_rto was a mistake (RFC 4015): as it was before. */
    void (*on_undo)(struct cc *cc, uint64_t now_ns);
    /* Nothing was out for `idle_us`, longer than an RTO, and there is something to send again. */
    void (*on_idle)(struct cc *cc, uint64_t idle_us, uint32_t rto_us, uint64_t now_ns);
    /* May be NULL: */
    void (*on_sent)(struct cc *cc, uint32_t bytes, uint32_t flight, bool app_limited,
                    uint64_t now_ns);
    void (*on_lost)(struct cc *cc, const struct cc_lost *lost);
};

extern const struct cc_algorithm cc_newreno; /* RFC 5681, 6582, with byte counting (3465) */
extern const struct cc_algorithm cc_cubic;   /* RFC 9438, HyStart++ (RFC 9406) */
extern const struct cc_algorithm cc_bbr;     /* BBRv3, draft-ietf-ccwg-bbr */
/* By name ("newreno", "cubic", "bbr"); NULL: there is none such. */
const struct cc_algorithm *cc_find(const char *name);

/* RFC 6928 2: min(10*MSS, max(2*MSS, 14600)) */
uint32_t cc_initial_window(uint16_t mss);

/* A connection's first byte, or its first after a long silence. */
void cc_open(struct cc *cc, const struct cc_algorithm *algorithm, uint16_t mss, uint64_t now_ns);
/*
 * How fast to send; 0: as the window admits. An algorithm that decides on a window is paced
 * somewhat faster than that; `reducing`: in fast recovery, which moves the window towards ssthresh.
 */
uint64_t cc_pacing_bps(const struct cc *cc, uint32_t srtt_us, bool reducing);
/* The most to send at once at that rate: a millisecond's worth, as far as one frame carries it. */
uint32_t cc_burst(const struct cc *cc, uint64_t bps);
/* The path takes smaller, or larger, segments from now on. */
void cc_set_mss(struct cc *cc, uint16_t mss);

#endif

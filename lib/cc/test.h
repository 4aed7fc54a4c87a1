// SPDX-License-Identifier: BSD-2-Clause
/*
 * test.h - what the tests of this folder share: one connection's ACKs, spelled out briefly.
 */
#ifndef CC_TEST_H
#define CC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "priv.h"

#define MSS 1000

/* A window that is full, and an ACK for `acked` of it. */
static inline struct cc_ack full_ack(const struct cc *cc, uint32_t acked, uint64_t now_ns)
{
    return (struct cc_ack){
        .now_ns = now_ns,
        .acked = acked,
        .delivered = acked,
        .flight_before = cc->cwnd,
        .flight = cc->cwnd > acked ? cc->cwnd - acked : 0,
        .window_limited = true,
    };
}

static inline void feed(struct cc *cc, uint32_t acked, uint32_t srtt_us, uint64_t now_ns)
{
    struct cc_ack ack = full_ack(cc, acked, now_ns);

    ack.rtt_us = ack.srtt_us = ack.min_rtt_us = srtt_us;
    cc->algorithm->on_ack(cc, &ack);
}

static inline void assert_near(double got, double want, double tolerance)
{
    if (got < want - tolerance || got > want + tolerance)
        fail_msg("%g is not %g +- %g", got, want, tolerance);
}

/*
 * Whatever is reported, the window is one, and the rate no accident: random events with every
 * member at its extremes as often as not.
 */
static inline uint64_t wild(struct rand *r, uint64_t max)
{
    switch (rand_below(r, 6)) {
    case 0:
        return 0;
    case 1:
        return max;
    case 2:
        return 1;
    default:
        return rand_u64(r) >> (rand_below(r, 64)) & max;
    }
}

static inline struct cc_ack wild_ack(struct rand *r)
{
    return (struct cc_ack){
        .now_ns = wild(r, UINT64_MAX),
        .snd_una = wild(r, UINT64_MAX),
        .snd_nxt = wild(r, UINT64_MAX),
        .acked = (uint32_t)wild(r, UINT32_MAX),
        .delivered = (uint32_t)wild(r, UINT32_MAX),
        .lost = (uint32_t)wild(r, UINT32_MAX),
        .flight_before = (uint32_t)wild(r, UINT32_MAX),
        .flight = (uint32_t)wild(r, UINT32_MAX),
        .rtt_us = (uint32_t)wild(r, UINT32_MAX),
        .min_rtt_us = (uint32_t)wild(r, UINT32_MAX),
        .srtt_us = (uint32_t)wild(r, UINT32_MAX),
        .in_recovery = wild(r, 1),
        .window_limited = wild(r, 1),
        .rate_delivered = wild(r, UINT64_MAX),
        .rate_interval_ns = wild(r, UINT64_MAX),
        .delivered_total = wild(r, UINT64_MAX),
        .prior_delivered = wild(r, UINT64_MAX),
        .tx_in_flight = (uint32_t)wild(r, UINT32_MAX),
        .lost_since_sent = wild(r, UINT64_MAX),
        .app_limited = wild(r, 1),
    };
}

static inline void wild_event(struct cc *cc, struct rand *r)
{
    const struct cc_algorithm *a = cc->algorithm;
    struct cc_ack ack = wild_ack(r);
    struct cc_lost lost = {ack.now_ns,       ack.snd_nxt,         ack.lost,
                           ack.tx_in_flight, ack.lost_since_sent, ack.app_limited};

    switch (rand_below(r, 16)) {
    case 0:
        a->on_loss(cc, ack.flight, ack.now_ns);
        break;
    case 1:
        a->on_recovered(cc, ack.now_ns);
        break;
    case 2:
        a->on_ecn(cc, ack.flight, ack.now_ns);
        break;
    case 3:
        a->on_rto(cc, ack.flight, wild(r, 1), ack.now_ns);
        break;
    case 4:
        a->on_undo(cc, ack.now_ns);
        break;
    case 5:
        a->on_idle(cc, ack.rate_delivered, ack.srtt_us, ack.now_ns);
        break;
    case 6:
        cc_set_mss(cc, (uint16_t)wild(r, UINT16_MAX));
        break;
    case 7:
        if (a->on_sent)
            a->on_sent(cc, ack.acked, ack.flight, ack.app_limited, ack.now_ns);
        break;
    case 8:
        if (a->on_lost)
            a->on_lost(cc, &lost);
        break;
    default:
        a->on_ack(cc, &ack);
    }
}

static inline void survive_anything(const struct cc_algorithm *algorithm, uint64_t seed,
                                    unsigned runs, unsigned events)
{
    struct rand r;
    struct cc cc;

    rand_seed(&r, seed);
    for (unsigned run = 0; run < runs; run++) {
        cc_open(&cc, algorithm, (uint16_t)wild(&r, UINT16_MAX), wild(&r, UINT64_MAX));
        for (unsigned i = 0; i < events; i++) {
            wild_event(&cc, &r);
            if (cc.cwnd < cc.mss || cc.cwnd > CC_WINDOW_MAX || cc.ssthresh > CC_WINDOW_MAX ||
                cc_burst(&cc, cc.pacing_bps) < 2u * cc.mss)
                fail_msg("seed %llu run %u event %u: cwnd %u ssthresh %u mss %u",
                         (unsigned long long)seed, run, i, cc.cwnd, cc.ssthresh, cc.mss);
        }
    }
}

#endif

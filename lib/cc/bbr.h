// SPDX-License-Identifier: BSD-2-Clause
/*
 * bbr.h - the variables of BBR, by the draft's names, for bbr.c, bbr_model.c and their
 * tests.
 *
 * "Infinity" is NONE for a volume and NO_RATE for a rate. Volumes are bytes, rates bytes per
 * second, stamps nanoseconds.
 */
#ifndef CC_BBR_H
#define CC_BBR_H

#include "base/rand.h"
#include "priv.h"

#define NONE             UINT32_MAX
#define NO_RATE          UINT64_MAX

#define BBR_BETA_PERCENT 70
/* Bounds that keep products in 64 bits: 2^37 B/s is 1.1 Tbit/s, 2^26 us is 67 s. */
#define BBR_RATE_MAX    (1ull << 37)
#define BBR_TIME_MAX_US (1u << 26)

enum bbr_state {
    STARTUP,         /* doubles its rate until bandwidth no longer grows, or too much is lost */
    DRAIN,           /* takes out the queue that this made */
    PROBE_BW_DOWN,   /* a little slower than the path, until there is headroom */
    PROBE_BW_CRUISE, /* as fast as the path */
    PROBE_BW_REFILL, /* for a round without the short-term bounds: the pipe full, no queue yet */
    PROBE_BW_UP,     /* faster, to see whether there is more */
    PROBE_RTT,       /* nearly empty for a moment, to see the path without queue */
};

enum ack_phase {
    ACKS_INIT,           /* not probing, no feedback */
    ACKS_REFILLING,      /* filling the pipe */
    ACKS_PROBE_STARTING, /* probing, feedback is not yet about it */
    ACKS_PROBE_FEEDBACK, /* feedback about the probe */
    ACKS_PROBE_STOPPING, /* no longer probing, feedback still about it */
};

struct bbr {
    struct rand rand;
    uint64_t delivered; /* the connection's, as of the last ACK */
    uint64_t next_round_delivered, loss_round_delivered;
    uint64_t limited_until; /* samples sent by then are app-limited */
    uint64_t max_bw[2];     /* of the cycle before, and of this one */
    uint64_t bw, bw_shortterm, undo_bw_shortterm;
    uint64_t bw_latest, full_bw;
    uint64_t min_rtt_stamp, probe_rtt_min_stamp; /* ns, as all stamps */
    uint64_t probe_rtt_done_stamp;               /* 0: not yet low */
    uint64_t cycle_stamp, extra_acked_interval_start;
    uint32_t inflight_latest, inflight_longterm, inflight_shortterm;
    uint32_t undo_inflight_longterm, undo_inflight_shortterm, prior_cwnd;
    uint32_t min_rtt_us, probe_rtt_min_delay_us; /* NONE: no sample */
    uint32_t extra_acked[2], extra_acked_delivered;
    uint32_t bw_probe_up_acked, probe_up_acked_per_inc, bw_probe_wait_ms;
    uint32_t round_count, drain_start_round, rounds_since_probe_up;
    uint8_t state, ack_phase, undo_state; /* undo_state PROBE_RTT: nothing to go back to */
    uint8_t full_bw_count, bw_probe_up_rounds, extra_acked_rounds, loss_events;
    bool full_bw_reached, full_bw_now;
    bool round_start, loss_round_start, is_loss_in_round;
    bool is_bw_probe_sample, prev_probe_too_high, prev_probe_precautionary;
    bool idle_restart, probe_rtt_round_done, probe_rtt_expired;
    bool in_episode; /* of loss: undo_* and prior_cwnd are from before it */
};
CC_STATE_FITS(struct bbr);

#define NO_UNDO PROBE_RTT

static inline struct bbr *bbr(struct cc *cc)
{
    return (struct bbr *)cc->state;
}

/* RS: what one ACK says of the path. */
struct bbr_sample {
    const struct cc_ack *ack;
    uint64_t rate;      /* delivery_rate; 0: none */
    uint32_t delivered; /* while the newest packet acknowledged was under way */
    bool app_limited;
};

static inline uint64_t bbr_since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static inline uint64_t bbr_max_bw(const struct bbr *s)
{
    return max_u64(s->max_bw[0], s->max_bw[1]);
}

static inline void bbr_start_round(struct bbr *s)
{
    s->next_round_delivered = s->delivered;
}

static inline void bbr_reset_full_bw(struct bbr *s, uint64_t baseline)
{
    s->full_bw = baseline;
    s->full_bw_count = 0;
    s->full_bw_now = false;
}

/* What the path is like, from what the ACK says of it: all but the round trip. */
void bbr_update_model(struct cc *cc, const struct bbr_sample *rs);
void bbr_update_min_rtt(struct bbr *s, const struct cc_ack *ack);
/* At the end of an ACK, when the state has been decided on. */
void bbr_finish_model(struct bbr *s, const struct bbr_sample *rs);
/* A cycle of ProbeBW is over: the max filter spans the next one and this. */
void bbr_advance_max_bw_filter(struct bbr *s);

struct bbr_sample bbr_make_sample(const struct bbr *s, const struct cc_ack *ack);

#endif

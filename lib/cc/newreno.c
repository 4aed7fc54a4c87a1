// SPDX-License-Identifier: BSD-2-Clause
/*
 * newreno.c - RFC 5681 with byte counting, started with RFC 6928's window of ten segments.
 *
 * The yardstick that the others are held against: what the RFCs ask for and nothing beyond, so slow
 * start ends at ssthresh or with a loss, and an idle connection starts again from the beginning.
 */
#include "priv.h"

#define NEWRENO_BETA_PERCENT     50 /* RFC 5681 equation (4) */
#define NEWRENO_BETA_ECN_PERCENT 80 /* RFC 8511 3: an AQM's mark tells of a shorter queue */

struct newreno {
    /* Acknowledged since the window last grew, in congestion avoidance. A reduction keeps it: what
     * was earned by the greater window is worth no less in the smaller one. */
    uint64_t counted;
    uint32_t prior_cwnd, prior_ssthresh;
    bool after_rto; /* in_recovery means the slow start after a timeout */
};
CC_STATE_FITS(struct newreno);

static struct newreno *newreno(struct cc *cc)
{
    return (struct newreno *)cc->state;
}

static void newreno_open(struct cc *cc, uint64_t now_ns)
{
    *newreno(cc) = (struct newreno){0};
    cc->cwnd = cc_initial_window(cc->mss);
    cc->ssthresh = CC_WINDOW_MAX;
}

/*
 * RFC 5681 3.1. In slow start the window grows by all that was acknowledged, not by at most one
 * SMSS per ACK: receivers that coalesce segments (GRO) send one ACK for 64 KB, and counting it as
 * one would make them slower than those that do not (RFC 3465 with L unbounded). It ends at
 * ssthresh, however much one ACK covers.
 */
static void newreno_grow(struct cc *cc, uint32_t acked)
{
    struct newreno *s = newreno(cc);

    if (cc->cwnd < cc->ssthresh) {
        uint32_t grow = min_u32(acked, cc->ssthresh - cc->cwnd);

        cc->cwnd = cc_window(cc, cc->cwnd + grow);
        acked -= grow;
    }
    s->counted += acked;
    if (s->counted >= cc_used(cc)) {
        s->counted = min_u64(s->counted - cc_used(cc), cc->cwnd);
        cc->cwnd = cc_window(cc, cc->cwnd + cc->mss);
    }
}

static void newreno_on_ack(struct cc *cc, const struct cc_ack *ack)
{
    struct newreno *s = newreno(cc);

    if (ack->in_recovery && !s->after_rto)
        return;
    if (cc_may_grow(cc, ack))
        newreno_grow(cc, min_u32(ack->acked, CC_WINDOW_MAX));
}

static void newreno_reduce(struct cc *cc, uint32_t flight, uint32_t beta_percent)
{
    struct newreno *s = newreno(cc);

    s->prior_cwnd = cc->cwnd;
    s->prior_ssthresh = cc->ssthresh;
    cc->ssthresh = cc_threshold(cc, (uint64_t)flight * beta_percent / 100);
}

static void newreno_on_loss(struct cc *cc, uint32_t flight, uint64_t now_ns)
{
    newreno_reduce(cc, flight, NEWRENO_BETA_PERCENT);
    newreno(cc)->after_rto = false;
}

/* RFC 6582 3.2 step 3: fast recovery leaves the window at ssthresh; a timeout's slow start grew it.
 */
static void newreno_on_recovered(struct cc *cc, uint64_t now_ns)
{
    struct newreno *s = newreno(cc);

    if (!s->after_rto)
        cc->cwnd = cc_window(cc, cc->ssthresh);
    s->after_rto = false;
}

static void newreno_on_ecn(struct cc *cc, uint32_t flight, uint64_t now_ns)
{
    newreno_reduce(cc, flight, NEWRENO_BETA_ECN_PERCENT);
    cc->cwnd = min_u32(cc->cwnd, cc->ssthresh);
}

/* RFC 5681 3.1: the loss window is one segment; ssthresh is set by the first timeout only. */
static void newreno_on_rto(struct cc *cc, uint32_t flight, bool first, uint64_t now_ns)
{
    struct newreno *s = newreno(cc);

    if (first)
        newreno_reduce(cc, flight, NEWRENO_BETA_PERCENT);
    s->after_rto = true;
    s->counted = 0;
    cc->cwnd = cc->mss;
}

static void newreno_on_undo(struct cc *cc, uint64_t now_ns)
{
    struct newreno *s = newreno(cc);

    cc->cwnd = cc_window(cc, max_u32(cc->cwnd, s->prior_cwnd));
    cc->ssthresh = max_u32(cc->ssthresh, s->prior_ssthresh);
    s->after_rto = false;
}

/* RFC 5681 4.1 */
static void newreno_on_idle(struct cc *cc, uint64_t idle_us, uint32_t rto_us, uint64_t now_ns)
{
    cc->cwnd = min_u32(cc->cwnd, cc_initial_window(cc->mss));
}

const struct cc_algorithm cc_newreno = {
    .name = "newreno",
    .open = newreno_open,
    .on_ack = newreno_on_ack,
    .on_loss = newreno_on_loss,
    .on_recovered = newreno_on_recovered,
    .on_ecn = newreno_on_ecn,
    .on_rto = newreno_on_rto,
    .on_undo = newreno_on_undo,
    .on_idle = newreno_on_idle,
};

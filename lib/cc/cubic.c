// SPDX-License-Identifier: BSD-2-Clause
/*
 * cubic.c - CUBIC (RFC 9438): the window is a cubic function of the time since the last reduction,
 * with HyStart++ for the first slow start, in bytes and integers.
 *
 *     W_cubic(t) = C * (t - K)^3 + W_max,   K = cbrt((W_max - cwnd_epoch) / C)      C = 0.4
 *
 * The RFC counts segments and seconds. Here a tick is 2^20 ns, which turns a time into ticks by a
 * shift, and C is folded with the segment size and the length of a tick into `curve`, the bytes
 * that one cubic tick is worth, when an epoch begins. So an ACK costs two multiplications for each
 * of the two points of the curve it looks at, and a division only to spread growth over the window;
 * the root is taken once an epoch. No floating point: all machines compute the same window.
 *
 * An epoch is one stretch of congestion avoidance. Time in which the window was not the limit is
 * taken out of it (4.2), and so is the time of a reduction that turned out to be a mistake (4.9).
 */
#include "hystart.h"
#include "priv.h"

#define TICK_SHIFT             20 /* 1.048576 ms: W_cubic moves far less than a segment in it */
#define TICKS_MAX              ((1u << 21) - 1) /* 37 min; its cube fits, W_cubic is full by then */

#define LOOK_TICKS             4

#define CUBIC_BETA_PERCENT     70 /* RFC 9438 4.6 */
#define CUBIC_BETA_ECN_PERCENT 85 /* RFC 8511 3.1 */
/* RFC 9438 4.3: alpha = 3 * (1 - beta) / (1 + beta) = 9/17 */
#define ALPHA_NUMERATOR   9
#define ALPHA_DENOMINATOR 17

/* C * tick^3 = 0.4 * 0.001048576^3 segments, times 2^62; and its inverse. */
#define CURVE_SHIFT         62
#define CURVE_PER_MSS       2126764793ull
#define CUBIC_TICKS_PER_MSS 2168404345ull /* 1 / (C * tick^3) */

struct epoch {
    uint64_t start_ns;
    uint64_t curve; /* bytes per cubic tick, times 2^CURVE_SHIFT */
    uint32_t k;     /* ticks */
    uint32_t w_max, w_est, cwnd_prior;
    bool running;
};

struct cubic {
    struct epoch epoch;
    uint64_t last_ack_ns;
    uint64_t next_look;      /* the tick of the epoch at which to look at the curve again */
    uint32_t w_now, w_ahead; /* W_cubic(t), and a round trip later, when last looked at */
    uint64_t credit;         /* growth earned, times cwnd; less than a byte */
    uint64_t est_acked;      /* acknowledged bytes that w_est has not grown for, times 9 or 17 */
    struct hystart hystart;
    struct epoch prior; /* what on_undo brings back */
    uint64_t prior_ns;
    uint32_t prior_cwnd, prior_ssthresh;
    uint32_t srtt_us;
    bool after_rto; /* in_recovery means the slow start after a timeout */
};
CC_STATE_FITS(struct cubic);

static struct cubic *cubic(struct cc *cc)
{
    return (struct cubic *)cc->state;
}

static void cubic_open(struct cc *cc, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);

    *s = (struct cubic){.last_ack_ns = now_ns};
    hystart_open(&s->hystart);
    cc->cwnd = cc_initial_window(cc->mss);
    cc->ssthresh = CC_WINDOW_MAX;
}

/* The nearest integer, found bit by bit; below 2^21 because its cube is a uint64_t. */
static uint32_t cube_root(uint64_t cube)
{
    uint64_t root = 0;

    for (uint64_t bit = 1ull << 20; bit; bit >>= 1)
        if ((root + bit) * (root + bit) * (root + bit) <= cube)
            root += bit;
    /* (root + 1/2)^3 = root^3 + 3/2 root^2 + 3/4 root + 1/8 */
    if ((cube - root * root * root) * 4 > 6 * root * root + 3 * root)
        root++;
    return (uint32_t)root;
}

static uint64_t ticks_since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? (now_ns - then_ns) >> TICK_SHIFT : 0;
}

/* RFC 9438 equation (1) */
static uint32_t w_cubic(const struct epoch *e, uint64_t t)
{
    uint64_t distance = min_u64(t > e->k ? t - e->k : e->k - t, TICKS_MAX);
    uint64_t bytes =
        (uint64_t)((unsigned __int128)(distance * distance * distance) * e->curve >> CURVE_SHIFT);

    if (t > e->k)
        return (uint32_t)min_u64(e->w_max + bytes, CC_WINDOW_MAX);
    return e->w_max > bytes ? (uint32_t)(e->w_max - bytes) : 0;
}

/*
 * RFC 9438 4.2, equation (2). Where the window has already reached W_max there is no plateau to
 * come back to: after the first slow start (4.10) and after a timeout (4.8, which cleared w_max).
 */
static void start_epoch(struct cc *cc, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);
    struct epoch *e = &s->epoch;

    e->running = true;
    e->start_ns = now_ns;
    e->curve = cc->mss * CURVE_PER_MSS;
    e->w_est = cc->cwnd;
    e->k = 0;
    if (cc->cwnd < e->w_max)
        e->k = cube_root((e->w_max - cc->cwnd) * CUBIC_TICKS_PER_MSS / cc->mss);
    else
        e->w_max = cc->cwnd;
    s->next_look = 0;
    s->credit = 0;
    s->est_acked = 0;
}

/* RFC 9438 equation (4): what Reno would have, at CUBIC's reduction */
static void grow_estimate(struct cc *cc, uint32_t acked)
{
    struct cubic *s = cubic(cc);
    struct epoch *e = &s->epoch;
    uint64_t per_segment = ALPHA_DENOMINATOR * (uint64_t)cc_used(cc);

    s->est_acked +=
        (uint64_t)acked * (e->w_est < e->cwnd_prior ? ALPHA_NUMERATOR : ALPHA_DENOMINATOR);
    if (s->est_acked >= per_segment) {
        uint64_t segments = s->est_acked / per_segment;

        s->est_acked -= segments * per_segment;
        e->w_est = (uint32_t)min_u64(e->w_est + segments * cc->mss, CC_WINDOW_MAX);
    }
}

static void look_at_curve(struct cc *cc, uint64_t t)
{
    struct cubic *s = cubic(cc);

    s->next_look = t + LOOK_TICKS;
    s->w_now = w_cubic(&s->epoch, t);
    s->w_ahead = w_cubic(&s->epoch, t + (s->srtt_us * NS_PER_US >> TICK_SHIFT));
}

/* RFC 9438 4.3 to 4.5 */
static void avoid_congestion(struct cc *cc, uint32_t acked, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);
    struct epoch *e = &s->epoch;
    uint32_t target;
    uint64_t t;

    if (unlikely(!e->running))
        start_epoch(cc, now_ns);
    grow_estimate(cc, acked);
    t = ticks_since(e->start_ns, now_ns);
    if (t >= s->next_look)
        look_at_curve(cc, t);
    if (s->w_now < e->w_est) {
        cc->cwnd = cc_window(cc, max_u32(cc->cwnd, e->w_est));
        return;
    }
    /* 4.2: at most half as much again in a round trip */
    target = min_u32(s->w_ahead, cc->cwnd + cc->cwnd / 2);
    if (target <= cc->cwnd)
        return;
    s->credit += (uint64_t)(target - cc->cwnd) * acked;
    if (s->credit >= cc_used(cc)) {
        uint64_t grow = s->credit / cc_used(cc);

        s->credit -= grow * cc_used(cc);
        cc->cwnd = cc_window(cc, min_u64(cc->cwnd + grow, target));
    }
}

/* Returns what is left of `acked` when slow start ends with it. */
static uint32_t slow_start(struct cc *cc, const struct cc_ack *ack, uint32_t acked)
{
    struct cubic *s = cubic(cc);
    uint32_t grow = acked;

    if (cc->ssthresh == CC_WINDOW_MAX) {
        enum hystart_phase phase = hystart_on_ack(&s->hystart, ack);

        if (phase == HYSTART_DONE) {
            cc->ssthresh = cc_threshold(cc, cc->cwnd);
            s->epoch.cwnd_prior = cc->cwnd;
            return acked;
        }
        if (phase == HYSTART_CSS)
            grow = acked / HYSTART_CSS_GROWTH_DIVISOR;
    }
    grow = min_u32(grow, cc->ssthresh - cc->cwnd);
    cc->cwnd = cc_window(cc, cc->cwnd + grow);
    return cc->cwnd < cc->ssthresh ? 0 : acked - grow;
}

static void cubic_on_ack(struct cc *cc, const struct cc_ack *ack)
{
    struct cubic *s = cubic(cc);
    uint32_t acked = min_u32(ack->acked, CC_WINDOW_MAX);
    uint64_t last_ns = s->last_ack_ns;

    s->srtt_us = ack->srtt_us;
    s->last_ack_ns = max_u64(last_ns, ack->now_ns);
    if (ack->in_recovery && !s->after_rto)
        return;
    if (!cc_may_grow(cc, ack)) {
        s->epoch.start_ns += s->last_ack_ns - last_ns;
        return;
    }
    if (cc->cwnd < cc->ssthresh)
        acked = slow_start(cc, ack, acked);
    if (acked && cc->cwnd >= cc->ssthresh)
        avoid_congestion(cc, acked, s->last_ack_ns);
}

/* RFC 9438 4.6 and 4.7 */
static void cubic_reduce(struct cc *cc, uint32_t flight, uint32_t beta_percent, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);
    struct epoch *e = &s->epoch;

    s->prior = *e;
    s->prior_ns = now_ns;
    s->prior_cwnd = cc->cwnd;
    s->prior_ssthresh = cc->ssthresh;
    /* Fast convergence: who did not get back to W_max makes room for somebody new. */
    if (cc->cwnd < e->w_max)
        e->w_max = (uint32_t)((uint64_t)cc->cwnd * (100 + beta_percent) / 200);
    else
        e->w_max = cc->cwnd;
    e->cwnd_prior = cc->cwnd;
    e->running = false;
    cc->ssthresh = cc_threshold(cc, (uint64_t)flight * beta_percent / 100);
}

static void cubic_on_loss(struct cc *cc, uint32_t flight, uint64_t now_ns)
{
    cubic_reduce(cc, flight, CUBIC_BETA_PERCENT, now_ns);
    cubic(cc)->after_rto = false;
}

static void cubic_on_recovered(struct cc *cc, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);

    if (!s->after_rto)
        cc->cwnd = cc_window(cc, cc->ssthresh);
    s->after_rto = false;
}

static void cubic_on_ecn(struct cc *cc, uint32_t flight, uint64_t now_ns)
{
    cubic_reduce(cc, flight, CUBIC_BETA_ECN_PERCENT, now_ns);
    cc->cwnd = min_u32(cc->cwnd, cc->ssthresh);
}

/* RFC 9438 4.8 */
static void cubic_on_rto(struct cc *cc, uint32_t flight, bool first, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);

    if (first)
        cubic_reduce(cc, flight, CUBIC_BETA_PERCENT, now_ns);
    s->epoch.w_max = 0;
    s->after_rto = true;
    cc->cwnd = cc->mss;
}

/* RFC 9438 4.9 */
static void cubic_on_undo(struct cc *cc, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);

    s->epoch = s->prior;
    s->next_look = 0;
    if (now_ns > s->prior_ns)
        s->epoch.start_ns += now_ns - s->prior_ns;
    cc->cwnd = cc_window(cc, max_u32(cc->cwnd, s->prior_cwnd));
    cc->ssthresh = max_u32(cc->ssthresh, s->prior_ssthresh);
    s->after_rto = false;
}

/*
 * RFC 7661 4.4.3 in the steps of RFC 2861: what was known of the path is half as sure after each
 * RTO of silence. ssthresh remembers three quarters of it, so that a window that was used before
 * comes back in slow start. A new epoch begins there.
 */
static void cubic_on_idle(struct cc *cc, uint64_t idle_us, uint32_t rto_us, uint64_t now_ns)
{
    struct cubic *s = cubic(cc);
    uint32_t restart = min_u32(cc->cwnd, cc_initial_window(cc->mss));
    uint64_t halvings = rto_us ? idle_us / rto_us : idle_us;

    cc->ssthresh = max_u32(cc->ssthresh, cc_threshold(cc, cc->cwnd - cc->cwnd / 4));
    cc->cwnd = max_u32(restart, halvings < 32 ? cc->cwnd >> halvings : 0);
    s->epoch.running = false;
    hystart_open(&s->hystart);
}

const struct cc_algorithm cc_cubic = {
    .name = "cubic",
    .open = cubic_open,
    .on_ack = cubic_on_ack,
    .on_loss = cubic_on_loss,
    .on_recovered = cubic_on_recovered,
    .on_ecn = cubic_on_ecn,
    .on_rto = cubic_on_rto,
    .on_undo = cubic_on_undo,
    .on_idle = cubic_on_idle,
};

// SPDX-License-Identifier: BSD-2-Clause
/*
 * bbr_model.c - what BBR believes of the path: the bandwidth that it has seen in two cycles, the
 * least round trip in ten seconds, how ACKs are bundled, and, where losses say so, less than that
 * for the time being.
 */
#include "bbr.h"

#define FULL_BW_GROWTH_PERCENT 125
#define FULL_BW_ROUNDS         3
#define EXTRA_ACKED_ROUNDS     5 /* half of ExtraAckedFilterLen */
#define MIN_RTT_FILTER_NS      (10 * NS_PER_S)
#define PROBE_RTT_INTERVAL_NS  (5 * NS_PER_S)

struct bbr_sample bbr_make_sample(const struct bbr *s, const struct cc_ack *ack)
{
    struct bbr_sample rs = {.ack = ack};

    /* 2^33 bytes in flight are more than any window, and in nanoseconds still 64 bits. */
    if (ack->delivered && ack->rate_interval_ns) {
        rs.rate = min_u64(ack->rate_delivered, 1ull << 33) * NS_PER_S / ack->rate_interval_ns;
        rs.rate = min_u64(rs.rate, BBR_RATE_MAX);
    }
    if (ack->delivered)
        rs.delivered = (uint32_t)min_u64(ack->rate_delivered, CC_WINDOW_MAX);
    rs.app_limited = ack->app_limited || (s->limited_until && ack->delivered &&
                                          ack->prior_delivered <= s->limited_until);
    return rs;
}

static bool is_probing_bw(const struct bbr *s)
{
    return s->state == STARTUP || s->state == PROBE_BW_REFILL || s->state == PROBE_BW_UP;
}

/* Once a round with loss while bandwidth is not probed: down to what was delivered, or by Beta. */
static void adapt_lower_bounds(struct cc *cc)
{
    struct bbr *s = bbr(cc);

    if (is_probing_bw(s) || !s->is_loss_in_round)
        return;
    if (s->bw_shortterm == NO_RATE)
        s->bw_shortterm = bbr_max_bw(s);
    if (s->inflight_shortterm == NONE)
        s->inflight_shortterm = cc->cwnd;
    s->bw_shortterm = max_u64(s->bw_latest, s->bw_shortterm * BBR_BETA_PERCENT / 100);
    s->inflight_shortterm = max_u32(
        s->inflight_latest, (uint32_t)((uint64_t)s->inflight_shortterm * BBR_BETA_PERCENT / 100));
}

static void update_latest_delivery_signals(struct bbr *s, const struct bbr_sample *rs)
{
    s->loss_round_start = false;
    s->bw_latest = max_u64(s->bw_latest, rs->rate);
    s->inflight_latest = max_u32(s->inflight_latest, rs->delivered);
    if (rs->ack->delivered && rs->ack->prior_delivered >= s->loss_round_delivered) {
        s->loss_round_delivered = s->delivered;
        s->loss_round_start = true;
    }
}

static void update_round(struct bbr *s, const struct bbr_sample *rs)
{
    s->round_start = rs->ack->delivered && rs->ack->prior_delivered >= s->next_round_delivered;
    if (s->round_start) {
        bbr_start_round(s);
        s->round_count++;
        s->rounds_since_probe_up++;
    }
}

static void update_congestion_signals(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);

    update_round(s, rs);
    if (rs->rate && (rs->rate >= bbr_max_bw(s) || !rs->app_limited))
        s->max_bw[1] = max_u64(s->max_bw[1], rs->rate);
    if (s->loss_round_start) {
        adapt_lower_bounds(cc);
        s->is_loss_in_round = false;
    }
}

static void advance_extra_acked_filter(struct bbr *s)
{
    if (++s->extra_acked_rounds < (s->full_bw_reached ? EXTRA_ACKED_ROUNDS : 1))
        return;
    s->extra_acked_rounds = 0;
    s->extra_acked[0] = s->extra_acked[1];
    s->extra_acked[1] = 0;
}

static void update_ack_aggregation(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);
    uint64_t now_ns = rs->ack->now_ns, acked = min_u32(rs->ack->delivered, CC_WINDOW_MAX);
    uint64_t us =
        min_u64(bbr_since(s->extra_acked_interval_start, now_ns) / NS_PER_US, BBR_TIME_MAX_US);
    uint64_t expected = s->bw * us / (NS_PER_S / NS_PER_US);
    uint64_t extra;

    if (s->round_start)
        advance_extra_acked_filter(s);
    /* ACKs came no faster than expected: whatever was bundled is over. */
    if (s->extra_acked_delivered <= expected) {
        s->extra_acked_delivered = 0;
        s->extra_acked_interval_start = now_ns;
        expected = 0;
    }
    s->extra_acked_delivered = (uint32_t)min_u64(s->extra_acked_delivered + acked, UINT32_MAX);
    extra = s->extra_acked_delivered > expected ? s->extra_acked_delivered - expected : 0;
    extra = min_u64(extra, cc->cwnd);
    s->extra_acked[1] = max_u32(s->extra_acked[1], (uint32_t)extra);
}

static void check_full_bw_reached(struct bbr *s, const struct bbr_sample *rs)
{
    if (s->full_bw_now || !s->round_start || rs->app_limited || !rs->rate)
        return;
    if (rs->rate >= s->full_bw * FULL_BW_GROWTH_PERCENT / 100) {
        bbr_reset_full_bw(s, rs->rate);
        return;
    }
    s->full_bw_count++;
    s->full_bw_now = s->full_bw_count >= FULL_BW_ROUNDS;
    if (s->full_bw_now)
        s->full_bw_reached = true;
}

void bbr_update_model(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);

    update_latest_delivery_signals(s, rs);
    update_congestion_signals(cc, rs);
    update_ack_aggregation(cc, rs);
    check_full_bw_reached(s, rs);
}

void bbr_update_min_rtt(struct bbr *s, const struct cc_ack *ack)
{
    s->probe_rtt_expired = bbr_since(s->probe_rtt_min_stamp, ack->now_ns) > PROBE_RTT_INTERVAL_NS;
    if (ack->rtt_us && (ack->rtt_us < s->probe_rtt_min_delay_us || s->probe_rtt_expired)) {
        s->probe_rtt_min_delay_us = ack->rtt_us;
        s->probe_rtt_min_stamp = ack->now_ns;
    }
    if (s->probe_rtt_min_delay_us < s->min_rtt_us ||
        bbr_since(s->min_rtt_stamp, ack->now_ns) > MIN_RTT_FILTER_NS) {
        s->min_rtt_us = s->probe_rtt_min_delay_us;
        s->min_rtt_stamp = s->probe_rtt_min_stamp;
    }
}

void bbr_finish_model(struct bbr *s, const struct bbr_sample *rs)
{
    if (s->loss_round_start) {
        s->bw_latest = rs->rate;
        s->inflight_latest = rs->delivered;
    }
    s->bw = min_u64(bbr_max_bw(s), s->bw_shortterm);
}

void bbr_advance_max_bw_filter(struct bbr *s)
{
    if (s->max_bw[1] == 0)
        return; /* a cycle without a sample forgets nothing */
    s->max_bw[0] = s->max_bw[1];
    s->max_bw[1] = 0;
}

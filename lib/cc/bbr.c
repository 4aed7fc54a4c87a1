// SPDX-License-Identifier: BSD-2-Clause
/*
 * bbr.c - BBRv3, as the text of draft-ietf-ccwg-bbr of August 2026 has it: a model of the path
 * (its bandwidth, its round trip, what may be in flight) steers rate and window; loss is a bound on
 * the model and not a command.
 *
 * Names are the draft's; section numbers are left out because they still move. What differs, or is
 * left open there:
 *
 *  - Gains belong to states, so a table holds them and no variable.
 *  - The max filter of extra_acked has two halves of five rounds (one round in Startup) instead of
 *    a window of ten: it remembers five to ten.
 *  - BBRStartupFullLossCnt counts ACKs that found something lost, not ranges of the stream, which
 *    are not known here.
 *  - State is saved for an undo once an episode, when its first loss is noted; saved again when
 *    recovery begins it would be that from after the reaction.
 *  - A mark of ECN (the draft wants some answer and names none) is answered like losses above the
 *    threshold while bandwidth is probed, and like any loss otherwise.
 *  - Rates in ProbeRTT are app-limited, which the owner is not told; `limited_until` does it here.
 */
#include "bbr.h"

#define LOSS_THRESH_PERCENT     2
#define HEADROOM_PERCENT        15
#define PACING_MARGIN_PERCENT   1
#define MIN_PIPE_CWND_SEGMENTS  4
#define STARTUP_FULL_LOSS_COUNT 6
#define DRAIN_ROUNDS            3
#define PROBE_UP_ROUNDS_MAX     30
#define PROBE_WAIT_BASE_MS      2000
#define PROBE_WAIT_SPREAD_MS    1000
#define RENO_ROUNDS_MAX         63
#define PROBE_RTT_DURATION_NS   (200 * NS_PER_MS)
#define OFFLOAD_QUANTA          3

static const struct {
    uint16_t pacing_percent, cwnd_percent;
} GAINS[] = {
    [STARTUP] = {277, 200},         [DRAIN] = {50, 200},
    [PROBE_BW_DOWN] = {90, 200},    [PROBE_BW_CRUISE] = {100, 200},
    [PROBE_BW_REFILL] = {100, 200}, [PROBE_BW_UP] = {125, 225},
    [PROBE_RTT] = {100, 50},
};

static bool in_probe_bw(const struct bbr *s)
{
    return s->state >= PROBE_BW_DOWN && s->state <= PROBE_BW_UP;
}

/* --- Volumes ------------------------------------------------------------------------------ */

static uint32_t min_pipe_cwnd(const struct cc *cc)
{
    return MIN_PIPE_CWND_SEGMENTS * cc->mss;
}

static uint32_t bdp(const struct bbr *s, uint64_t bw)
{
    uint64_t rtt_us = min_u32(s->min_rtt_us, BBR_TIME_MAX_US);

    return (uint32_t)min_u64(bw * rtt_us / (NS_PER_S / NS_PER_US), CC_WINDOW_MAX);
}

static uint64_t bdp_multiple(struct cc *cc, uint64_t bw, uint32_t percent)
{
    const struct bbr *s = bbr(cc);

    if (s->min_rtt_us == NONE)
        return cc_initial_window(cc->mss);
    return (uint64_t)bdp(s, bw) * percent / 100;
}

static uint32_t quantization_budget(struct cc *cc, uint64_t inflight)
{
    inflight = max_u64(inflight, (uint64_t)OFFLOAD_QUANTA * cc_burst(cc, cc->pacing_bps));
    inflight = max_u64(inflight, min_pipe_cwnd(cc));
    if (bbr(cc)->state == PROBE_BW_UP)
        inflight += 2 * cc->mss;
    return cc_window(cc, inflight);
}

static uint32_t inflight_with_headroom(struct cc *cc)
{
    uint32_t longterm = bbr(cc)->inflight_longterm, headroom;

    if (longterm == NONE)
        return NONE;
    headroom = (uint32_t)((uint64_t)longterm * HEADROOM_PERCENT / 100);
    headroom = max_u32(headroom, cc->mss);
    return max_u32(longterm > headroom ? longterm - headroom : 0, min_pipe_cwnd(cc));
}

static uint32_t target_inflight(struct cc *cc)
{
    return min_u32(bdp(bbr(cc), bbr(cc)->bw), cc->cwnd);
}

/* --- Entering states ---------------------------------------------------------------------- */

static void reset_congestion_signals(struct bbr *s)
{
    s->is_loss_in_round = false;
    s->bw_latest = 0;
    s->inflight_latest = 0;
}

static void reset_shortterm_model(struct bbr *s)
{
    s->bw_shortterm = NO_RATE;
    s->inflight_shortterm = NONE;
}

static void enter_drain(struct bbr *s)
{
    s->state = DRAIN;
    s->drain_start_round = s->round_count;
}

static void start_probe_bw_down(struct bbr *s, uint64_t now_ns)
{
    reset_congestion_signals(s);
    s->probe_up_acked_per_inc = NONE;
    s->rounds_since_probe_up = (uint32_t)rand_below(&s->rand, 2);
    s->bw_probe_wait_ms =
        PROBE_WAIT_BASE_MS + (uint32_t)rand_below(&s->rand, PROBE_WAIT_SPREAD_MS + 1);
    s->cycle_stamp = now_ns;
    s->ack_phase = ACKS_PROBE_STOPPING;
    bbr_start_round(s);
    s->state = PROBE_BW_DOWN;
}

static void start_probe_bw_refill(struct bbr *s)
{
    reset_shortterm_model(s);
    s->bw_probe_up_rounds = 0;
    s->bw_probe_up_acked = 0;
    s->prev_probe_precautionary = false;
    s->ack_phase = ACKS_REFILLING;
    bbr_start_round(s);
    s->state = PROBE_BW_REFILL;
}

/* inflight_longterm grows by 1, 2, 4 ... segments in successive rounds of probing. */
static void raise_inflight_longterm_slope(struct cc *cc)
{
    struct bbr *s = bbr(cc);

    s->probe_up_acked_per_inc = max_u32(cc->cwnd >> s->bw_probe_up_rounds, cc->mss);
    if (s->bw_probe_up_rounds < PROBE_UP_ROUNDS_MAX)
        s->bw_probe_up_rounds++;
}

static void start_probe_bw_up(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);

    s->is_bw_probe_sample = true;
    s->ack_phase = ACKS_PROBE_STARTING;
    bbr_start_round(s);
    bbr_reset_full_bw(s, rs->rate);
    s->state = PROBE_BW_UP;
    raise_inflight_longterm_slope(cc);
}

/* --- Loss --------------------------------------------------------------------------------- */

static void save_cwnd(struct cc *cc)
{
    struct bbr *s = bbr(cc);

    if (!s->in_episode && s->state != PROBE_RTT)
        s->prior_cwnd = cc->cwnd;
    else
        s->prior_cwnd = max_u32(s->prior_cwnd, cc->cwnd);
}

static void save_state_upon_loss(struct cc *cc)
{
    struct bbr *s = bbr(cc);

    save_cwnd(cc);
    if (s->in_episode)
        return;
    s->in_episode = true;
    s->undo_state = NO_UNDO;
    s->undo_bw_shortterm = s->bw_shortterm;
    s->undo_inflight_shortterm = s->inflight_shortterm;
    s->undo_inflight_longterm = s->inflight_longterm;
}

static void note_loss(struct cc *cc)
{
    struct bbr *s = bbr(cc);

    if (!s->is_loss_in_round) {
        s->loss_round_delivered = s->delivered;
        save_state_upon_loss(cc);
    }
    s->is_loss_in_round = true;
}

/* A connection without SACK sees one loss a round, however many there were. */
static bool is_inflight_too_high(const struct cc *cc, uint64_t lost, uint32_t tx_in_flight)
{
    if (cc->no_sack)
        return lost > 0;
    return lost > (uint64_t)tx_in_flight * LOSS_THRESH_PERCENT / 100;
}

static void handle_inflight_too_high(struct cc *cc, uint32_t tx_in_flight, bool app_limited,
                                     uint64_t now_ns)
{
    struct bbr *s = bbr(cc);
    uint64_t target = (uint64_t)target_inflight(cc) * BBR_BETA_PERCENT / 100;

    s->prev_probe_too_high = true;
    s->is_bw_probe_sample = false; /* one answer to one probe */
    if (!app_limited)
        s->inflight_longterm = cc_window(cc, max_u64(tx_in_flight, target));
    if (s->state == PROBE_BW_UP) {
        s->undo_state = PROBE_BW_UP;
        start_probe_bw_down(s, now_ns);
    }
}

/*
 * How much was in flight when losses crossed the threshold, somewhere within this range:
 * lost_prefix = (thresh * inflight_prev - lost_prev) / (1 - thresh). Where they had crossed it
 * before the range, that is what was in flight before.
 */
static uint32_t inflight_at_loss(const struct cc_lost *lost)
{
    uint64_t prev = lost->tx_in_flight > lost->bytes ? lost->tx_in_flight - lost->bytes : 0;
    uint64_t lost_prev =
        lost->lost_since_sent > lost->bytes ? lost->lost_since_sent - lost->bytes : 0;
    uint64_t budget = prev * LOSS_THRESH_PERCENT / 100;

    if (lost_prev < budget)
        prev += (budget - lost_prev) * 100 / (100 - LOSS_THRESH_PERCENT);
    return (uint32_t)min_u64(prev, CC_WINDOW_MAX);
}

static void bbr_on_lost(struct cc *cc, const struct cc_lost *lost)
{
    note_loss(cc);
    if (bbr(cc)->is_bw_probe_sample &&
        is_inflight_too_high(cc, lost->lost_since_sent, lost->tx_in_flight))
        handle_inflight_too_high(cc, inflight_at_loss(lost), lost->app_limited, lost->now_ns);
}

/* --- The state machine -------------------------------------------------------------------- */

static void leave_startup_for_congestion(struct cc *cc)
{
    struct bbr *s = bbr(cc);

    s->undo_state = STARTUP;
    s->full_bw_reached = true;
    s->inflight_longterm = cc_window(cc, max_u32(bdp(s, s->bw), s->inflight_latest));
    enter_drain(s);
}

static void check_startup_done(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);
    const struct cc_ack *ack = rs->ack;

    if (ack->lost && s->loss_events < STARTUP_FULL_LOSS_COUNT)
        s->loss_events++;
    if (s->state == STARTUP && s->loss_round_start && ack->in_recovery &&
        s->loss_events >= (cc->no_sack ? 1 : STARTUP_FULL_LOSS_COUNT) &&
        is_inflight_too_high(cc, ack->lost_since_sent, ack->tx_in_flight))
        leave_startup_for_congestion(cc);
    if (s->loss_round_start)
        s->loss_events = 0;
    if (s->state == STARTUP && s->full_bw_reached)
        enter_drain(s);
}

static void check_drain_done(struct cc *cc, const struct cc_ack *ack)
{
    struct bbr *s = bbr(cc);

    if (s->state != DRAIN)
        return;
    if (ack->flight <= quantization_budget(cc, bdp_multiple(cc, s->bw, 100)) ||
        s->round_count - s->drain_start_round > DRAIN_ROUNDS)
        start_probe_bw_down(s, ack->now_ns);
}

static void probe_inflight_longterm_upward(struct cc *cc, const struct cc_ack *ack)
{
    struct bbr *s = bbr(cc);
    uint64_t acked = s->bw_probe_up_acked + (uint64_t)min_u32(ack->delivered, CC_WINDOW_MAX);
    uint64_t steps = acked / s->probe_up_acked_per_inc;

    if (!ack->window_limited || cc->cwnd < s->inflight_longterm)
        return;
    s->bw_probe_up_acked = (uint32_t)(acked % s->probe_up_acked_per_inc);
    s->inflight_longterm = cc_window(cc, s->inflight_longterm + steps * cc->mss);
    if (s->round_start)
        raise_inflight_longterm_slope(cc);
}

/* Whether it decided on the next state. */
static bool adapt_longterm_model(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);

    if (s->ack_phase == ACKS_PROBE_STARTING && s->round_start)
        s->ack_phase = ACKS_PROBE_FEEDBACK;
    if (s->ack_phase == ACKS_PROBE_STOPPING && s->round_start) {
        s->is_bw_probe_sample = false;
        s->ack_phase = ACKS_INIT;
        if (in_probe_bw(s) && !rs->app_limited)
            bbr_advance_max_bw_filter(s);
        /* The precautionary probe did no harm: probe again, and longer. */
        if (in_probe_bw(s) && s->prev_probe_precautionary && !s->prev_probe_too_high) {
            start_probe_bw_refill(s);
            return true;
        }
    }
    if (is_inflight_too_high(cc, rs->ack->lost_since_sent, rs->ack->tx_in_flight) ||
        s->inflight_longterm == NONE)
        return false;
    if (rs->ack->tx_in_flight > s->inflight_longterm)
        s->inflight_longterm = cc_window(cc, rs->ack->tx_in_flight);
    if (s->state == PROBE_BW_UP)
        probe_inflight_longterm_upward(cc, rs->ack);
    return false;
}

static bool is_time_to_probe_bw(struct cc *cc, uint64_t now_ns)
{
    const struct bbr *s = bbr(cc);

    return bbr_since(s->cycle_stamp, now_ns) > s->bw_probe_wait_ms * NS_PER_MS ||
           s->rounds_since_probe_up >= min_u32(target_inflight(cc) / cc->mss, RENO_ROUNDS_MAX);
}

static bool is_time_to_cruise(struct cc *cc, const struct cc_ack *ack)
{
    uint64_t full = bdp_multiple(cc, bbr_max_bw(bbr(cc)), 100);

    return ack->flight <= inflight_with_headroom(cc) &&
           ack->flight <= quantization_budget(cc, full);
}

static bool is_time_to_go_down(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);

    if (s->prev_probe_too_high && rs->ack->flight >= s->inflight_longterm) {
        s->prev_probe_precautionary = true;
        return true;
    }
    if (rs->ack->window_limited && cc->cwnd >= s->inflight_longterm) {
        bbr_reset_full_bw(s,
                          rs->rate); /* it is inflight_longterm that keeps bandwidth from growing */
        return false;
    }
    return s->full_bw_now;
}

static void update_probe_bw_cycle_phase(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);
    uint64_t now_ns = rs->ack->now_ns;

    if (!s->full_bw_reached || adapt_longterm_model(cc, rs))
        return;
    switch (s->state) {
    case PROBE_BW_DOWN:
        if (is_time_to_probe_bw(cc, now_ns))
            start_probe_bw_refill(s);
        else if (is_time_to_cruise(cc, rs->ack))
            s->state = PROBE_BW_CRUISE;
        break;
    case PROBE_BW_CRUISE:
        if (is_time_to_probe_bw(cc, now_ns))
            start_probe_bw_refill(s);
        break;
    case PROBE_BW_REFILL:
        if (s->round_start)
            start_probe_bw_up(cc, rs);
        break;
    case PROBE_BW_UP:
        if (is_time_to_go_down(cc, rs)) {
            s->prev_probe_too_high = false;
            start_probe_bw_down(s, now_ns);
        }
        break;
    default:
        break;
    }
}

/* --- ProbeRTT ----------------------------------------------------------------------------- */

static uint32_t probe_rtt_cwnd(struct cc *cc)
{
    uint64_t half = bdp_multiple(cc, bbr(cc)->bw, GAINS[PROBE_RTT].cwnd_percent);

    return cc_window(cc, max_u64(half, min_pipe_cwnd(cc)));
}

static void check_probe_rtt_done(struct cc *cc, uint64_t now_ns)
{
    struct bbr *s = bbr(cc);

    if (s->probe_rtt_done_stamp == 0 || now_ns <= s->probe_rtt_done_stamp)
        return;
    s->probe_rtt_min_stamp = now_ns; /* the next one is an interval from here */
    cc->cwnd = max_u32(cc->cwnd, s->prior_cwnd);
    reset_shortterm_model(s);
    if (s->full_bw_reached) {
        start_probe_bw_down(s, now_ns);
        s->state = PROBE_BW_CRUISE;
    } else {
        s->state = STARTUP;
    }
}

static void handle_probe_rtt(struct cc *cc, const struct cc_ack *ack)
{
    struct bbr *s = bbr(cc);

    s->limited_until = s->delivered + ack->flight;
    if (s->probe_rtt_done_stamp == 0) {
        if (ack->flight <= probe_rtt_cwnd(cc)) {
            s->probe_rtt_done_stamp = ack->now_ns + PROBE_RTT_DURATION_NS;
            s->probe_rtt_round_done = false;
            bbr_start_round(s);
        }
        return;
    }
    s->probe_rtt_round_done |= s->round_start;
    if (s->probe_rtt_round_done)
        check_probe_rtt_done(cc, ack->now_ns);
}

static void check_probe_rtt(struct cc *cc, const struct bbr_sample *rs)
{
    struct bbr *s = bbr(cc);

    if (s->state != PROBE_RTT && s->probe_rtt_expired && !s->idle_restart) {
        save_cwnd(cc);
        s->state = PROBE_RTT;
        s->probe_rtt_done_stamp = 0;
        s->ack_phase = ACKS_PROBE_STOPPING;
        bbr_start_round(s);
    }
    if (s->state == PROBE_RTT)
        handle_probe_rtt(cc, rs->ack);
    if (rs->delivered)
        s->idle_restart = false;
}

/* --- Rate and window ---------------------------------------------------------------------- */

static void set_pacing_rate(struct cc *cc, uint32_t gain_percent)
{
    const struct bbr *s = bbr(cc);
    uint64_t rate = s->bw * gain_percent * (100 - PACING_MARGIN_PERCENT) / (100 * 100);

    /* No sample, and so no rate, is not a rate of nothing. */
    if (rate && (s->full_bw_reached || rate > cc->pacing_bps))
        cc->pacing_bps = rate;
}

static void bound_cwnd_for_model(struct cc *cc)
{
    const struct bbr *s = bbr(cc);
    uint32_t cap = NONE;

    if (s->state == PROBE_RTT || s->state == PROBE_BW_CRUISE)
        cap = inflight_with_headroom(cc);
    else if (in_probe_bw(s))
        cap = s->inflight_longterm;
    cap = min_u32(cap, s->inflight_shortterm);
    cap = max_u32(cap, min_pipe_cwnd(cc));
    cc->cwnd = cc_window(cc, min_u32(cc->cwnd, cap));
}

static void set_cwnd(struct cc *cc, const struct cc_ack *ack)
{
    const struct bbr *s = bbr(cc);
    uint32_t acked = min_u32(ack->delivered, CC_WINDOW_MAX), max_inflight;

    max_inflight = quantization_budget(cc, bdp_multiple(cc, s->bw, GAINS[s->state].cwnd_percent) +
                                               max_u32(s->extra_acked[0], s->extra_acked[1]));
    if (s->full_bw_reached)
        cc->cwnd = min_u32(cc->cwnd + acked, max_inflight);
    else if (cc->cwnd < max_inflight || s->delivered < cc_initial_window(cc->mss))
        cc->cwnd = cc_window(cc, cc->cwnd + acked);
    cc->cwnd = cc_window(cc, max_u32(cc->cwnd, min_pipe_cwnd(cc)));
    if (s->state == PROBE_RTT)
        cc->cwnd = min_u32(cc->cwnd, probe_rtt_cwnd(cc));
    bound_cwnd_for_model(cc);
}

/* --- Events ------------------------------------------------------------------------------- */

static void bbr_open(struct cc *cc, uint64_t now_ns)
{
    struct bbr *s = bbr(cc);

    *s = (struct bbr){
        .min_rtt_us = NONE,
        .probe_rtt_min_delay_us = NONE,
        .min_rtt_stamp = now_ns,
        .probe_rtt_min_stamp = now_ns,
        .extra_acked_interval_start = now_ns,
        .inflight_longterm = NONE,
        .probe_up_acked_per_inc = NONE,
        .undo_state = NO_UNDO,
        .state = STARTUP,
        .ack_phase = ACKS_INIT,
    };
    rand_seed(&s->rand, now_ns);
    reset_shortterm_model(s);
    cc->cwnd = cc_initial_window(cc->mss);
    cc->ssthresh = CC_WINDOW_MAX;
}

static void bbr_on_ack(struct cc *cc, const struct cc_ack *ack)
{
    struct bbr *s = bbr(cc);
    struct bbr_sample rs = bbr_make_sample(s, ack);

    s->delivered = ack->delivered_total;
    if (s->limited_until && s->delivered > s->limited_until && !rs.app_limited)
        s->limited_until = 0;
    if (!ack->in_recovery)
        s->in_episode = false;
    if (cc->pacing_bps == 0 && ack->srtt_us)
        cc->pacing_bps = (uint64_t)cc_initial_window(cc->mss) * (NS_PER_S / NS_PER_US) /
                         ack->srtt_us * GAINS[STARTUP].pacing_percent / 100;

    bbr_update_model(cc, &rs);
    check_startup_done(cc, &rs);
    check_drain_done(cc, ack);
    update_probe_bw_cycle_phase(cc, &rs);
    bbr_update_min_rtt(s, ack);
    check_probe_rtt(cc, &rs);
    bbr_finish_model(s, &rs);

    set_pacing_rate(cc, GAINS[s->state].pacing_percent);
    set_cwnd(cc, ack);
}

static void bbr_on_loss(struct cc *cc, uint32_t flight, uint64_t now_ns)
{
    save_state_upon_loss(cc);
}

static void bbr_on_recovered(struct cc *cc, uint64_t now_ns)
{
    struct bbr *s = bbr(cc);

    s->in_episode = false;
    cc->cwnd = max_u32(cc->cwnd, s->prior_cwnd);
    bound_cwnd_for_model(cc);
}

static void bbr_on_ecn(struct cc *cc, uint32_t flight, uint64_t now_ns)
{
    struct bbr *s = bbr(cc);

    note_loss(cc);
    if (s->state == STARTUP)
        leave_startup_for_congestion(cc);
    else if (s->is_bw_probe_sample)
        handle_inflight_too_high(cc, flight, false, now_ns);
}

static void bbr_on_rto(struct cc *cc, uint32_t flight, bool first, uint64_t now_ns)
{
    save_state_upon_loss(cc);
    cc->cwnd = cc->mss;
}

static void bbr_on_undo(struct cc *cc, uint64_t now_ns)
{
    struct bbr *s = bbr(cc);
    uint8_t undo_state = s->undo_state;

    cc->cwnd = max_u32(cc->cwnd, s->prior_cwnd);
    s->in_episode = false;
    s->is_loss_in_round = false;
    s->undo_state = NO_UNDO;
    bbr_reset_full_bw(s, 0);
    s->bw_shortterm = max_u64(s->bw_shortterm, s->undo_bw_shortterm);
    s->inflight_shortterm = max_u32(s->inflight_shortterm, s->undo_inflight_shortterm);
    s->inflight_longterm = max_u32(s->inflight_longterm, s->undo_inflight_longterm);
    if (undo_state == STARTUP && s->state != STARTUP) {
        s->full_bw_reached = false;
        if (s->state != PROBE_RTT)
            s->state = STARTUP;
    } else if (undo_state == PROBE_BW_UP && s->state != PROBE_BW_UP) {
        if (s->state != PROBE_RTT)
            start_probe_bw_refill(s);
    }
}

/* The model stays: what it knows is paced out, see bbr_on_sent. */
static void bbr_on_idle(struct cc *cc, uint64_t idle_us, uint32_t rto_us, uint64_t now_ns)
{
}

static void bbr_on_sent(struct cc *cc, uint32_t bytes, uint32_t flight, bool app_limited,
                        uint64_t now_ns)
{
    struct bbr *s = bbr(cc);

    if (flight || !app_limited)
        return;
    s->idle_restart = true;
    s->extra_acked_interval_start = now_ns;
    if (in_probe_bw(s))
        set_pacing_rate(cc, 100);
    else if (s->state == PROBE_RTT)
        check_probe_rtt_done(cc, now_ns);
}

const struct cc_algorithm cc_bbr = {
    .name = "bbr",
    .own_recovery = true,
    .has_pace = true,
    .wants_rate = true,
    .open = bbr_open,
    .on_ack = bbr_on_ack,
    .on_loss = bbr_on_loss,
    .on_recovered = bbr_on_recovered,
    .on_ecn = bbr_on_ecn,
    .on_rto = bbr_on_rto,
    .on_undo = bbr_on_undo,
    .on_idle = bbr_on_idle,
    .on_sent = bbr_on_sent,
    .on_lost = bbr_on_lost,
};

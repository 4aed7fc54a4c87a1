// SPDX-License-Identifier: BSD-2-Clause
/*
 * recovery.c - bytes were lost, or seem to be: how the window follows, and how it comes back when
 * they were not.
 *
 *     NONE -- loss found ------> FAST  proportional rate reduction (RFC 6937) until `recover`
 *     any  -- timer fired -----> RTO   slow start over what was lost (RFC 6298, 5681 3.1)
 *     FAST, RTO -- all acknowledged, or shown to be a mistake (RFC 3522, 4015, 3708, 5682) --> NONE
 *
 * Peers without SACK tell of one hole at a time (RFC 6582): each duplicate ACK stands for a segment
 * that has arrived, and a partial ACK shows the next hole.
 */
#include "priv.h"

#define NEWRENO_DUP_THRESHOLD 3 /* RFC 5681 3.2 */

static bool has_sack(const struct tcp_conn *conn)
{
    return conn->flags & CONN_SACK;
}

/* --- in and out of recovery ------------------------------------------------------------------- */

static void may_be_undone(struct tcp_sender *s)
{
    s->undo = true;
    s->undo_ts_known = false;
    s->undo_bytes = 0;
}

/* Before an ACK counts: was the window what kept more from being sent? The watermark leaves up to
 * half of it for the next read. */
static void note_limit(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    if (a->flight_before * 2ull < s->cc.cwnd)
        return;
    if (conn->snd_una > s->limited_until)
        s->limited_flight = 0;
    if (a->flight_before > s->limited_flight) { /* of which some may only have been asked for */
        uint64_t sent = conn->snd_nxt - conn->snd_una + a->acked;

        s->limited_flight = max_u32(s->limited_flight, (uint32_t)min_u64(sent, a->flight_before));
    }
    s->limited_until = conn->snd_nxt;
}

/* In this round. ACKs that arrive together find ever less in flight, because nothing is sent in
 * between, and are no less ACKs of a window that was full. */
static bool window_limited(const struct tcp_conn *conn)
{
    return conn->snd_una <= conn->sender->limited_until;
}

/* FlightSize of RFC 5681. Beyond cwnd lies only what limited transmit has sent, which does not
 * count (3.2). */
static uint32_t flight_size(const struct tcp_conn *conn, const struct tcp_ack *a)
{
    const struct tcp_sender *s = conn->sender;
    uint64_t flight = conn->snd_nxt - conn->snd_una + a->acked;

    if (window_limited(conn))
        flight = max_u64(flight, s->limited_flight);
    return (uint32_t)max_u64(min_u64(flight, s->cc.cwnd), conn->mss);
}

/* RFC 3168 6.1.2: the peer stops its echo when it is told that the window was reduced, for whatever
 * reason; until a round trip later the echo asks for nothing more. */
static void answered_congestion(struct tcp_conn *conn)
{
    if (!(conn->flags & CONN_ECN))
        return;
    conn->sender->ecn_recover = conn->snd_nxt;
    conn->sender->cwr_owed = true;
}

static void enter_fast(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    bool answered = conn->snd_una < s->ecn_recover && !s->cc.algorithm->own_recovery;

    stat_inc(&conn->tcp->stats.fast_recoveries);
    s->prr_flight = flight_size(conn, a);
    if (answered) { /* an ECN echo, in this round (RFC 3168 6.1.2) */
        s->undo = false;
    } else {
        s->cc.algorithm->on_loss(&s->cc, s->prr_flight, a->now_ns);
        may_be_undone(s);
        answered_congestion(conn);
    }
    s->recovery = RECOVERY_FAST;
    s->recover = conn->snd_nxt;
    s->prr_delivered = s->prr_out = 0;
    s->tlp_out = s->lost_anew = false;
}

static void leave(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    if (s->recovery == RECOVERY_FAST && !s->cc.algorithm->own_recovery)
        s->cc.cwnd = max_u32(s->cc.ssthresh, conn->mss);
    s->recovery = RECOVERY_NONE;
    s->frto = FRTO_OFF;
    s->dup_acks = 0;
    if (!has_sack(conn))
        s->sacked_bytes = 0;
    if (s->reo_wnd_persist > 0 && --s->reo_wnd_persist == 0)
        s->reo_wnd_mult = 1;
    s->cc.algorithm->on_recovered(&s->cc, a->now_ns);
}

/* RFC 4015 3: it was no loss. */
static void undo(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    stat_inc(s->recovery == RECOVERY_RTO ? &conn->tcp->stats.spurious_rtos
                                         : &conn->tcp->stats.spurious_recoveries);
    tcp_sent_all_in_air(conn);
    s->cc.algorithm->on_undo(&s->cc, a->now_ns);
    s->undo = false;
    s->reordering_seen |= s->recovery == RECOVERY_FAST; /* what came so late was overtaken */
    s->recovery = RECOVERY_NONE;
    s->frto = FRTO_OFF;
    s->dup_acks = 0;
    if (!has_sack(conn))
        s->sacked_bytes = 0;
    conn->backoff = 0;
}

/* RFC 3522 3.2: the ACK echoes a time before anything was sent again, so it is the original that
 * has arrived. RFC 3708: the peer had all of it already. */
static bool was_mistaken(const struct tcp_sender *s, const struct tcp_ack *a)
{
    if (!s->undo)
        return false;
    if (s->undo_ts_known && a->acked && a->has_tsecr && (int32_t)(a->tsecr - s->undo_ts) < 0)
        return true;
    return a->dsack && s->undo_ts_known && s->undo_bytes == 0 && s->asked_bytes == 0 &&
           s->lost_bytes == 0;
}

/* --- F-RTO (RFC 5682 2.1), for peers without timestamps ----------------------------------------
 */

/* True: the timeout was spurious. */
static bool frto_ack(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    switch (s->frto) {
    case FRTO_FIRST_ACK:
        if (a->acked && conn->snd_una < s->recover && conn->snd_asked < conn->snd_end &&
            conn->snd_una + conn->snd_wnd > conn->snd_asked) {
            s->frto = FRTO_NEW_SENT; /* step 2b: two new segments instead of lost ones */
            s->cc.cwnd = max_u32(s->cc.cwnd, (uint32_t)tcp_in_flight(conn) + 2u * conn->mss);
        } else {
            s->frto = FRTO_OFF;
        }
        return false;
    case FRTO_NEW_SENT:
        s->frto = FRTO_OFF;
        return a->acked > 0; /* step 3b; a duplicate ACK is step 3a */
    default:
        return false;
    }
}

/* --- PRR (RFC 6937 3.1) ----------------------------------------------------------------------- */

static void rate_reduction(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t pipe = tcp_in_flight(conn), send;

    s->prr_delivered += a->delivered;
    if (pipe > s->cc.ssthresh) {
        uint64_t target =
            ((uint64_t)s->prr_delivered * s->cc.ssthresh + s->prr_flight - 1) / s->prr_flight;

        send = target > s->prr_out ? target - s->prr_out : 0;
    } else {
        uint64_t limit = a->delivered;

        if (s->prr_delivered > s->prr_out)
            limit = max_u64(limit, s->prr_delivered - s->prr_out);
        if (a->acked && !a->lost) /* slow start reduction bound: the path delivers */
            limit += conn->mss;
        send = min_u64(s->cc.ssthresh - pipe, limit);
    }
    if (s->prr_out == 0) /* the fast retransmission itself */
        send = max_u64(send, conn->mss);
    s->cc.cwnd = (uint32_t)min_u64(pipe + send, TCP_CWND_MAX);
}

/* --- what was lost ---------------------------------------------------------------------------- */

/* The segment at snd_una, if it is not being taken care of. */
void tcp_first_segment_lost(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sent *range = tcp_sent_first(conn->sender);

    if (!range || range->state != SENT_IN_AIR)
        return;
    if (range->end - range->seq > conn->mss)
        (void)tcp_sent_split(conn, range, range->seq + conn->mss); /* else all of it goes again */
    tcp_sent_lost(conn, range, a);
}

/* Something was found lost. */
void tcp_recovery_lost(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    if (a->lost && s->recovery == RECOVERY_NONE)
        enter_fast(conn, a);
    if (a->lost)
        tcp_conn_ready(conn);
}

/* RFC 8985 7.4.2: the probe was answered. If it had been sent before and no D-SACK says that it
 * came twice, the original was lost and the probe has mended it: a loss like any other. Unless it
 * never left, because the application still reads it. */
static void probe_answered(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    bool mended;

    if (!s->tlp_out || conn->snd_una < s->tlp_end)
        return;
    mended = s->tlp_again && s->tlp_sent && !a->dsack && s->recovery == RECOVERY_NONE;
    if (mended && conn->snd_una == s->tlp_end)
        return; /* a D-SACK may follow, or else the ACK of later data decides */
    s->tlp_out = false;
    if (!mended)
        return;
    if (a->has_tsecr && (int32_t)(a->tsecr - s->tlp_ts) < 0)
        return; /* it is the original, only late, that is acknowledged */
    stat_inc(&conn->tcp->stats.tlp_recoveries);
    s->cc.algorithm->on_loss(&s->cc, s->tlp_flight, a->now_ns);
    if (!s->cc.algorithm->own_recovery)
        s->cc.cwnd = max_u32(s->cc.ssthresh, conn->mss);
    s->cc.algorithm->on_recovered(&s->cc, a->now_ns);
}

/* New holes: by RACK where the peer tells what it has, by partial ACKs (RFC 6582 3.2) elsewhere. */
static uint64_t find_losses(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    if (has_sack(conn))
        return tcp_rack_detect(conn, a);
    if (s->recovery == RECOVERY_FAST && a->acked && conn->snd_una < s->recover)
        tcp_first_segment_lost(conn, a);
    return 0;
}

/* Bytes that duplicate ACKs stood for are among those that are acknowledged now. */
static void newreno_acked(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t first = min_u64(a->acked, conn->mss);
    uint64_t known = min_u64(s->sacked_bytes, a->acked - first);

    if (s->recovery == RECOVERY_NONE)
        known = s->sacked_bytes;
    s->sacked_bytes -= known;
    known = min_u64(known, a->delivered);
    a->delivered -= (uint32_t)known;
    s->delivered -= known;
    if (s->recovery != RECOVERY_FAST)
        s->dup_acks = 0;
}

/* draft-cheng-iccrg-delivery-rate-estimation 3.3: the slower of the rates at which the bytes were
 * sent and at which they were acknowledged. */
static void sample_rate(const struct tcp_sender *s, const struct tcp_ack *a, struct cc_ack *ack)
{
    uint64_t send_ns = a->newest_any_ns - a->newest.first_sent_ns;
    uint64_t ack_ns = a->now_ns - a->newest.delivered_ns;

    ack->rate_delivered = s->delivered - a->newest.delivered;
    ack->rate_interval_ns = max_u64(send_ns, ack_ns);
    ack->prior_delivered = a->newest.delivered;
    ack->tx_in_flight = a->newest.flight;
    ack->lost_since_sent = s->lost_total - a->newest.lost_total;
    ack->app_limited = a->app_limited;
}

static void tell_cc(struct tcp_conn *conn, struct tcp_ack *a, enum tcp_recovery before)
{
    struct tcp_sender *s = conn->sender;
    const struct cc_algorithm *cc = s->cc.algorithm;
    struct cc_ack ack = {.now_ns = a->now_ns,
                         .snd_una = conn->snd_una,
                         .snd_nxt = conn->snd_nxt,
                         .acked = a->acked,
                         .delivered = a->delivered,
                         .lost = a->lost,
                         .flight_before = a->flight_before,
                         .flight = (uint32_t)tcp_in_flight(conn),
                         .rtt_us = a->rtt_us,
                         .min_rtt_us = tcp_min_rtt_us(s),
                         .srtt_us = conn->srtt_us,
                         .in_recovery = s->recovery != RECOVERY_NONE,
                         .window_limited = window_limited(conn)};

    /* After a timeout an ACK also covers what had arrived before it: where no SACK has told of
     * that, it counts as one segment (RFC 3465 2.3). */
    if (before == RECOVERY_RTO)
        ack.acked = has_sack(conn) ? min_u32(a->delivered, a->acked) : min_u32(a->acked, conn->mss);
    if (a->newest_any_ns && cc->wants_rate)
        sample_rate(s, a, &ack);
    ack.delivered_total = s->delivered;
    if (a->acked || a->delivered)
        cc->on_ack(&s->cc, &ack);
}

/* The marks that rate samples are taken between. */
static void mark_delivery(struct tcp_sender *s, const struct tcp_ack *a)
{
    if (a->newest_any_ns) {
        s->first_sent_ns = a->newest_any_ns;
        s->delivered_ns = a->now_ns;
    }
    if (s->app_limited_until && s->delivered > s->app_limited_until)
        s->app_limited_until = 0;
}

static void reorder_timer(struct tcp_conn *conn, uint64_t wait_ns, uint64_t now_ns)
{
    conn->sender->loss_timer = LOSS_TIMER_REORDER;
    conn->rto_at_ns = now_ns + max_u64(wait_ns, TIMER_TICK_NS);
    tcp_timer_arm(conn);
}

/* --- events ----------------------------------------------------------------------------------- */

/* An ACK that acknowledges something, in order or out of it; snd_una and the scoreboard have been
 * brought up to date. */
void tcp_recovery_ack(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t reorder_ns;
    enum tcp_recovery before;
    bool reducing;

    note_limit(conn, a);
    if (!has_sack(conn) && a->acked)
        newreno_acked(conn, a);
    if (a->dsack) {
        s->undo_bytes -= min_u64(s->undo_bytes, a->dsack_bytes);
        tcp_rack_dsack(conn);
    }
    if (s->recovery != RECOVERY_NONE && (was_mistaken(s, a) || frto_ack(conn, a)))
        undo(conn, a);
    probe_answered(conn, a);
    /* The ACK that ends a reduction does not also make the window grow. */
    before = s->recovery;
    reducing = before == RECOVERY_FAST && !s->cc.algorithm->own_recovery;
    if (s->recovery != RECOVERY_NONE && conn->snd_una >= s->recover)
        leave(conn, a);
    if (before == RECOVERY_FAST && s->recovery == RECOVERY_NONE && s->lost_anew)
        enter_fast(conn, a);
    reorder_ns = find_losses(conn, a);
    tcp_recovery_lost(conn, a);
    if (s->recovery == RECOVERY_FAST && !s->cc.algorithm->own_recovery)
        rate_reduction(conn, a);
    else if (!reducing && s->frto != FRTO_NEW_SENT) /* whose two segments are all that may go */
        tell_cc(conn, a, before);
    if (s->cc.algorithm->wants_rate)
        mark_delivery(s, a);
    if (conn->snd_una == conn->snd_nxt) {
        conn->rto_at_ns = 0;
        s->tlp_out &= s->tlp_again;
    } else if (reorder_ns) {
        reorder_timer(conn, reorder_ns, a->now_ns);
    } else if (a->acked || s->loss_timer == LOSS_TIMER_REORDER || a->sack_news) {
        tcp_loss_timer_arm(conn, a->now_ns, a->now_ns); /* RFC 6298 5.3 */
    }
}

/* RFC 5681 2, from a peer that does not say what it has. */
void tcp_recovery_dup_ack(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t out = conn->snd_nxt - conn->snd_una;
    /* Of what is out, the first segment is missing, and some may be known to be lost. */
    uint64_t known = min_u64(conn->mss, out) + s->lost_bytes + s->sacked_bytes;
    uint64_t arrived = min_u64(conn->mss, out - min_u64(known, out));

    note_limit(conn, a);
    if (s->frto != FRTO_OFF && frto_ack(conn, a))
        undo(conn, a);
    s->dup_acks++;
    if (s->recovery != RECOVERY_RTO) {
        s->sacked_bytes += arrived;
        s->delivered += arrived;
        a->delivered += (uint32_t)arrived;
    }
    if (s->recovery == RECOVERY_NONE && s->dup_acks == NEWRENO_DUP_THRESHOLD &&
        conn->snd_una > s->recover)
        tcp_first_segment_lost(conn, a);
    tcp_recovery_lost(conn, a);
    if (s->recovery == RECOVERY_FAST && !s->cc.algorithm->own_recovery)
        rate_reduction(conn, a);
}

/* RFC 8985 6.2: the reordering window of what was late has run out. */
void tcp_recovery_reorder(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_ack a = {.now_ns = now_ns, .flight_before = (uint32_t)tcp_in_flight(conn)};
    uint64_t reorder_ns = tcp_rack_detect(conn, &a);

    tcp_recovery_lost(conn, &a);
    if (a.lost && conn->sender->recovery == RECOVERY_FAST &&
        !conn->sender->cc.algorithm->own_recovery)
        rate_reduction(conn, &a);
    tcp_loss_timer_arm(conn, now_ns, now_ns);
    if (reorder_ns)
        reorder_timer(conn, reorder_ns, now_ns);
}

/* RFC 6298 5.4 to 5.6, RFC 5681 3.1, RFC 8985 6.3. */
void tcp_recovery_timeout(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *first = tcp_sent_first(s);
    struct tcp_ack a = {.now_ns = now_ns, .flight_before = (uint32_t)tcp_in_flight(conn)};
    bool again = s->recovery == RECOVERY_RTO;

    if (first && first->state == SENT_SACKED)
        tcp_sent_reneged(conn);
    conn->snd_asked = conn->snd_nxt; /* new bytes wait until the lost ones are through */
    if (!has_sack(conn))
        s->sacked_bytes = 0;
    s->cc.algorithm->on_rto(&s->cc, (uint32_t)min_u64(conn->snd_nxt - conn->snd_una, TCP_CWND_MAX),
                            !again, now_ns);
    if (!again)
        may_be_undone(s);
    answered_congestion(conn);
    s->recover = conn->snd_nxt; /* RFC 6582 4: duplicate ACKs of all that are no news */
    s->recovery = RECOVERY_RTO;
    s->frto = !again && !(conn->flags & CONN_TS) ? FRTO_FIRST_ACK : FRTO_OFF;
    s->dup_acks = 0;
    s->tlp_out = false;
    tcp_rack_timeout(conn, &a);
}

/* RFC 3168 6.1.2: as if a segment had been lost, once a round trip. */
void tcp_recovery_ecn(struct tcp_conn *conn, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    if (s->recovery != RECOVERY_NONE || conn->snd_una <= s->ecn_recover)
        return;
    stat_inc(&conn->tcp->stats.ecn_reductions);
    s->cc.algorithm->on_ecn(&s->cc, flight_size(conn, a), a->now_ns);
    answered_congestion(conn);
}

/* The last segment again. False: there is no memory to tell it from those before it. */
static bool probe_again(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *last = list_entry(s->sent.prev, struct tcp_sent, node);
    struct tcp_ack unused = {.now_ns = now_ns};

    if (last->end - last->seq > conn->mss) {
        if (!tcp_sent_split(conn, last, last->end - conn->mss))
            return false;
        last = tcp_sent_next(s, last);
    }
    s->tlp_sent = false;
    s->tlp_end = last->end;
    s->tlp_flight = (uint32_t)min_u64(conn->snd_nxt - conn->snd_una, s->cc.cwnd);
    tcp_sent_lost(conn, last, &unused); /* asked for like one, though no window follows from it */
    return true;
}

/*
 * RFC 8985 7.3: nothing was heard for two round trips. New bytes go if there are some, or are on
 * their way from the application already; else the last segment again, so that the peer says what
 * it has. Returns false if there is nothing to probe with.
 */
bool tcp_tlp_due(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    bool read = conn->snd_asked > conn->snd_nxt;
    bool fits = conn->snd_asked < conn->snd_end &&
                conn->snd_una + conn->snd_wnd >= conn->snd_asked + conn->mss;

    if (list_empty(&s->sent) ||
        list_entry(s->sent.prev, struct tcp_sent, node)->state != SENT_IN_AIR)
        return false;
    s->tlp_again = !read && !fits;
    if (!s->tlp_again)
        s->tlp_end = conn->snd_nxt + 1;
    else if (!probe_again(conn, now_ns))
        return false;
    stat_inc(&conn->tcp->stats.tlp_probes);
    s->tlp_out = true;
    if (!read)
        conn->flags |= CONN_TLP;
    return true;
}

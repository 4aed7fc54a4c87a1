// SPDX-License-Identifier: BSD-2-Clause
/*
 * arrives.c - SEGMENT ARRIVES, RFC 9293 3.10.7, with the amendments of RFC 5961 and RFC 7323.
 */
#include "model.h"

enum verdict {
    GOES_ON,
    DROPPED,
};

static uint32_t window(const struct model *m)
{
    return seq_before(m->rcv_nxt, m->rcv_edge) ? m->rcv_edge - m->rcv_nxt : 0;
}

/* --- 3.10.7.1 and 3.10.7.2 -------------------------------------------------------------------- */

/* <SEQ=SEG.ACK><CTL=RST>, or <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. */
static void reset_for(struct model *m, const struct segment *seg)
{
    struct model_reset reset = {.exact = true, .must = true};

    if (seg->flags & ACK) {
        reset.seq = seg->ack;
    } else {
        reset.ack = seg->seq + segment_len(seg);
        reset.has_ack = true;
    }
    model_owe_reset(m, &reset);
}

static void keep_text(struct model *m, uint32_t from, uint32_t to)
{
    uint32_t *last = m->kept[MODEL_KEPT_MAX - 1];

    for (uint32_t i = 0; i < m->kept_count; i++)
        if (!seq_before(from, m->kept[i][0]) && !seq_before(m->kept[i][1], to))
            return; /* all of it again */
    if (from == to)
        return;
    if (m->kept_count < MODEL_KEPT_MAX) {
        m->kept[m->kept_count][0] = from;
        m->kept[m->kept_count++][1] = to;
        return;
    }
    /* Too many to remember: the last one covers all that came later, gaps and all. */
    last[0] = seq_before(from, last[0]) ? from : last[0];
    last[1] = seq_before(last[1], to) ? to : last[1];
}

static void keep_fin(struct model *m, uint32_t at)
{
    if (m->fin_count < MODEL_KEPT_MAX)
        m->fins[m->fin_count++] = at;
}

/* The options of the peer's SYN count as far as our own SYN has offered them, or may yet. */
static void take_syn(struct model *m, const struct segment *seg, bool passive, uint64_t now_ns)
{
    uint32_t mss = seg->has_mss && seg->mss ? seg->mss : MODEL_MSS_DEFAULT;

    m->irs = seg->seq;
    m->rcv_nxt = m->rcv_edge = m->last_ack_sent = seg->seq + 1;
    m->snd_mss = max_u32(min_u32(mss, m->config.mss), MODEL_MSS_MIN);
    m->ts = seg->has_ts && (passive || m->offered_ts);
    m->ts_recent = seg->has_ts ? seg->tsval : 0;
    m->scaled = seg->has_scale && (passive || m->offered_scale);
    m->snd_scale = m->scaled ? seg->scale : 0;
    m->rcv_scale = m->scaled && !passive ? m->our_scale : 0;
    m->sack = seg->sack_permitted && (passive || m->offered_sack);
    m->snd_wnd = m->max_snd_wnd = seg->wnd;
    m->heard_ns = now_ns;
    /* "Any other incoming control or data (combined with SYN) will be processed" later, or comes
     * again. */
    keep_text(m, seg->seq + 1, seg->seq + 1 + seg->len);
    if (seg->flags & FIN)
        keep_fin(m, seg->seq + 1 + seg->len);
}

static void listen_state(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (seg->flags & RST)
        return;
    if (seg->flags & ACK) {
        reset_for(m, seg);
        return;
    }
    if (!(seg->flags & SYN))
        return;
    if ((seg->flags & FIN) && model_choose(m, MODEL_DROPS_SYN_FIN))
        return;
    m->state = TCP_SYN_RECEIVED;
    m->passive = true;
    m->syn_owed = true;
    m->opened_ns = m->paid_ns = m->progress_ns = now_ns;
    take_syn(m, seg, true, now_ns);
}

/* --- 3.10.7.3 --------------------------------------------------------------------------------- */

void model_established(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    m->state = TCP_ESTABLISHED;
    m->snd_wnd = seg->wnd;
    if (m->snd_wnd > m->max_snd_wnd)
        m->max_snd_wnd = m->snd_wnd;
    m->snd_wl1 = seg->seq;
    m->snd_wl2 = seg->ack;
    m->progress_ns = m->paid_ns = now_ns;
    if (!m->passive) {
        m->want.connected++;
        return;
    }
    m->want.accepted++;
    if (m->config.refuses) {
        model_abort(m);
        m->want.closed = 0; /* it said so itself */
    }
}

static void syn_sent_state(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    bool acked = (seg->flags & ACK) && seg->ack == m->iss + 1 && m->iss_known;

    if ((seg->flags & ACK) && !acked) {
        if (!(seg->flags & RST))
            reset_for(m, seg);
        return;
    }
    if (seg->flags & RST) {
        if (acked)
            model_end(m, TCP_END_REFUSED);
        return;
    }
    if (!(seg->flags & SYN))
        return;
    take_syn(m, seg, false, now_ns);
    if (!acked) {
        m->state = TCP_SYN_RECEIVED;
        m->syn_owed = true;
        return;
    }
    m->snd_una = seg->ack;
    model_established(m, seg, now_ns);
    model_need_ack(m, MODEL_NOW, now_ns);
}

/* --- 3.10.7.4, before the first check: timestamps --------------------------------------------- */

/* What is unacceptable is answered. Text and FIN may have come because an ACK was lost; other than
 * that the answer may be limited. */
static void answer(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if ((seg->len || (seg->flags & FIN)) && !(seg->flags & SYN))
        model_need_ack(m, MODEL_NOW, now_ns);
    else
        model_need_challenge(m, now_ns);
}

/* RFC 7323 5.3 R1. */
static enum verdict check_stamp(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (!m->ts || (seg->flags & RST))
        return GOES_ON;
    if (!seg->has_ts)
        return model_choose(m, MODEL_TAKES_UNSTAMPED) ? GOES_ON : DROPPED;
    if (!seq_before(seg->tsval, m->ts_recent))
        return GOES_ON;
    m->ts_void = now_ns - m->heard_ns > MODEL_STAMP_NS && model_choose(m, MODEL_FORGETS_STAMP);
    if (m->ts_void)
        return GOES_ON;
    answer(m, seg, now_ns);
    return DROPPED;
}

/* The stamp is none from the past, and no later one can have been echoed (RFC 7323 4.3). */
static bool stamp_counts(const struct model *m, const struct segment *seg)
{
    return m->ts && seg->has_ts && (m->ts_void || !seq_before(seg->tsval, m->ts_recent)) &&
           !seq_before(m->last_ack_sent, seg->seq);
}

/* --- 3.10.7.4, first: the sequence number ----------------------------------------------------- */

static bool acceptable(struct model *m, const struct segment *seg)
{
    uint32_t len = segment_len(seg), wnd = window(m);

    if (len == 0 && wnd == 0)
        return seg->seq == m->rcv_nxt;
    if (len == 0)
        return seq_within(seg->seq, m->rcv_nxt, wnd);
    if (wnd == 0)
        return false;
    if (seq_within(seg->seq, m->rcv_nxt, wnd) || seq_within(seg->seq + len - 1, m->rcv_nxt, wnd))
        return true;
    return m->rcv_nxt - seg->seq < len && model_choose(m, MODEL_TAKES_SPANNING);
}

/* "Tailored" to the window: what was taken before is cut off, what lies beyond, too. RST and SYN
 * are judged by the number that they bear (RFC 5961 3.2, 4.2). */
static void trim(const struct model *m, struct segment *seg)
{
    uint32_t wnd = window(m), old = m->rcv_nxt - seg->seq, room;

    if (seg->flags & (SYN | RST))
        return;
    if (old < 0x80000000u) {
        old = min_u32(old, seg->len);
        seg->seq += old;
        seg->len -= old;
    }
    room = wnd - min_u32(wnd, seg->seq - m->rcv_nxt);
    if (segment_len(seg) <= room)
        return;
    seg->flags &= (uint8_t)~FIN;
    seg->len = min_u32(seg->len, room);
}

/* In TIME-WAIT the peer's FIN again starts the wait anew. What else does is not said clearly: "the
 * only thing that can arrive in this state is a retransmission of the remote FIN". */
static void restart_time_wait(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    uint32_t end = seg->seq + segment_len(seg);
    bool same_fin = (seg->flags & (FIN | ACK | SYN)) == (FIN | ACK) && end == m->rcv_nxt;

    m->time_wait_max_ns = now_ns + m->config.time_wait_ns;
    if (same_fin)
        m->time_wait_min_ns = m->time_wait_max_ns;
}

/* SYN-RECEIVED and the peer's SYN again, at the number that it had. */
static enum verdict repeated_syn(struct model *m, struct segment *seg, uint64_t now_ns)
{
    if (stamp_counts(m, seg) && model_choose(m, MODEL_STAMPS_OUTSIDE))
        m->ts_recent = seg->tsval;
    model_need_ack(m, MODEL_NOW, now_ns);
    if (!(seg->flags & ACK) || !model_choose(m, MODEL_TAKES_REPEATED_SYN))
        return DROPPED;
    seg->flags &= (uint8_t)~SYN;
    seg->seq++;
    return GOES_ON;
}

static enum verdict unacceptable(struct model *m, struct segment *seg, uint64_t now_ns)
{
    /* "If the RCV.WND is zero [...] special allowance should be made to accept valid ACKs, URGs,
     * and RSTs" (MUST-66). */
    if (window(m) == 0 && seg->seq == m->rcv_nxt && !(seg->flags & SYN)) {
        seg->len = 0;
        seg->flags &= (uint8_t)~FIN;
        if (!(seg->flags & RST))
            model_need_ack(m, MODEL_NOW, now_ns);
        return GOES_ON;
    }
    if (stamp_counts(m, seg) && model_choose(m, MODEL_STAMPS_OUTSIDE))
        m->ts_recent = seg->tsval;
    if (seg->flags & RST)
        return DROPPED;
    if (m->state == TCP_TIME_WAIT && (seg->flags & FIN))
        restart_time_wait(m, seg, now_ns);
    answer(m, seg, now_ns);
    return DROPPED;
}

static enum verdict check_seq(struct model *m, struct segment *seg, uint64_t now_ns)
{
    struct segment whole = *seg;

    if (m->state == TCP_SYN_RECEIVED && (seg->flags & (SYN | RST)) == SYN && seg->seq == m->irs &&
        repeated_syn(m, seg, now_ns) == DROPPED)
        return DROPPED;
    if (acceptable(m, seg)) {
        trim(m, seg);
        if (seg->seq != whole.seq) /* text that came twice may be reported: RFC 2883 */
            model_need_ack(m, MODEL_MAY, now_ns);
    } else if (unacceptable(m, seg, now_ns) == DROPPED) {
        return DROPPED;
    }
    if (stamp_counts(m, &whole)) /* RFC 7323 5.3 R3 */
        m->ts_recent = whole.tsval;
    m->heard_ns = now_ns;
    return GOES_ON;
}

/* --- second to fourth: RST, SYN --------------------------------------------------------------- */

static enum verdict check_rst(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (!(seg->flags & RST))
        return GOES_ON;
    if (seg->seq != m->rcv_nxt) { /* RFC 5961 3.2 */
        model_need_challenge(m, now_ns);
        return DROPPED;
    }
    if (m->state == TCP_SYN_RECEIVED)
        model_end(m, TCP_END_REFUSED);
    else if ((m->state == TCP_CLOSING || m->state == TCP_LAST_ACK) &&
             !seq_before(m->snd_una, model_fin_seq(m)))
        model_end(m, TCP_END_DONE); /* only the ACK of the FIN was missing */
    else
        model_end(m, TCP_END_RESET);
    return DROPPED;
}

static enum verdict check_syn(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (!(seg->flags & SYN))
        return GOES_ON;
    if (m->state == TCP_SYN_RECEIVED && m->passive && model_choose(m, MODEL_SYN_ENDS_HALF_OPEN))
        model_end(m, TCP_END_RESET);
    else
        model_need_challenge(m, now_ns); /* RFC 5961 4.2 */
    return DROPPED;
}

/* --- fifth: the ACK field --------------------------------------------------------------------- */

static enum verdict ack_syn_received(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (!m->iss_known || seg->ack != m->iss + 1) {
        if (model_choose(m, MODEL_CHALLENGES_OPENING))
            model_need_challenge(m, now_ns);
        else
            reset_for(m, seg);
        return DROPPED;
    }
    m->snd_una = seg->ack;
    model_established(m, seg, now_ns);
    return m->state == TCP_CLOSED ? DROPPED : GOES_ON;
}

static void ack_advances(struct model *m, uint32_t ack, uint64_t now_ns)
{
    uint32_t offset;

    m->snd_una = ack;
    m->progress_ns = m->paid_ns = now_ns;
    offset = ack - m->iss - 1;
    m->want.told_acked = true;
    m->want.acked = min_u64(offset, m->written);
}

/* "If SND.UNA =< SEG.ACK =< SND.NXT, the send window should be updated", by newer segments. */
static void update_window(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (m->snd_wnd == 0)
        m->progress_ns = now_ns; /* MUST-37: as long as the peer answers probes */
    if (!seq_before(m->snd_wl1, seg->seq) &&
        (m->snd_wl1 != seg->seq || seq_before(seg->ack, m->snd_wl2)))
        return;
    m->snd_wnd = seg->wnd;
    if (m->snd_wnd > m->max_snd_wnd)
        m->max_snd_wnd = m->snd_wnd;
    m->snd_wl1 = seg->seq;
    m->snd_wl2 = seg->ack;
}

/* The states in which our FIN may be what was acknowledged. */
static enum verdict fin_acked(struct model *m, uint64_t now_ns)
{
    if (!m->fin_sent || m->snd_una != m->snd_nxt)
        return GOES_ON;
    if (m->state == TCP_FIN_WAIT_1) {
        m->state = TCP_FIN_WAIT_2;
        m->fin_wait_2_ns = now_ns;
    } else if (m->state == TCP_CLOSING) {
        model_time_wait(m, now_ns);
        return DROPPED;
    } else if (m->state == TCP_LAST_ACK) {
        model_end(m, TCP_END_DONE);
        return DROPPED;
    }
    return GOES_ON;
}

static enum verdict check_ack(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (!(seg->flags & ACK))
        return DROPPED;
    if (m->state == TCP_SYN_RECEIVED && ack_syn_received(m, seg, now_ns) == DROPPED)
        return DROPPED;
    if (m->state == TCP_TIME_WAIT) {
        model_need_ack(m, seg->flags & FIN ? MODEL_NOW : MODEL_MAY, now_ns);
        restart_time_wait(m, seg, now_ns);
        return DROPPED;
    }
    /* RFC 5961 5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT */
    if (seg->ack - (m->snd_una - m->max_snd_wnd) > m->snd_nxt - m->snd_una + m->max_snd_wnd) {
        model_need_challenge(m, now_ns);
        return DROPPED;
    }
    if (seq_before(seg->ack, m->snd_una))
        return GOES_ON;
    if (seg->ack != m->snd_una)
        ack_advances(m, seg->ack, now_ns);
    update_window(m, seg, now_ns);
    return fin_acked(m, now_ns);
}

/* --- seventh and eighth: text and FIN --------------------------------------------------------- */

/* What the application is handed of it, model_took is told. */
static void offer(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    bool fin = seg->flags & FIN;

    if (!seg->len && !fin)
        return;
    if (m->state != TCP_ESTABLISHED && m->state != TCP_FIN_WAIT_1 && m->state != TCP_FIN_WAIT_2) {
        model_need_ack(m, MODEL_MAY, now_ns); /* "This should not occur" */
        return;
    }
    if (seg->seq != m->rcv_nxt) {
        model_need_ack(m, MODEL_NOW, now_ns); /* RFC 5681 4.2 */
        keep_text(m, seg->seq, seg->seq + seg->len);
        if (fin)
            keep_fin(m, seg->seq + seg->len);
        return;
    }
    if (m->kept_count) /* it may fill a gap: RFC 5681 4.2 */
        model_need_ack(m, MODEL_MAY, now_ns);
    m->take_min = seg->len;
    keep_text(m, seg->seq, seg->seq + seg->len);
    m->must_fin = fin;
    m->must_fin_at = seg->seq + seg->len;
}

/* --- 6191 ------------------------------------------------------------------------------------- */

/* May a SYN in TIME-WAIT begin a new connection (RFC 9293 3.10.7.4, fourth; RFC 6191 2)? */
static bool reopens(struct model *m, const struct segment *seg)
{
    bool newer = seq_before(m->rcv_nxt, seg->seq);

    if (m->state != TCP_TIME_WAIT || !m->listening || (seg->flags & (SYN | ACK | RST)) != SYN)
        return false;
    if (m->ts && seg->has_ts && seg->tsval != m->ts_recent)
        newer = seq_before(m->ts_recent, seg->tsval);
    else if (!m->ts && seg->has_ts)
        newer = true;
    return newer && model_choose(m, MODEL_REOPENS);
}

static void reopen(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    uint32_t beyond = m->snd_nxt;

    model_end(m, TCP_END_DONE);
    m->reopened = true;
    m->reopened_nxt = beyond;
    listen_state(m, seg, now_ns);
}

static void other_states(struct model *m, struct segment *seg, uint64_t now_ns)
{
    if (check_stamp(m, seg, now_ns) == DROPPED || check_seq(m, seg, now_ns) == DROPPED ||
        check_rst(m, seg, now_ns) == DROPPED || check_syn(m, seg, now_ns) == DROPPED ||
        check_ack(m, seg, now_ns) == DROPPED)
        return;
    offer(m, seg, now_ns);
}

void model_segment(struct model *m, const struct segment *arrived, uint64_t now_ns)
{
    struct segment seg = *arrived;

    m->ts_void = false;
    if (!(seg.flags & SYN)) /* RFC 7323 2.2 */
        seg.wnd <<= m->snd_scale;
    switch (model_state(m)) {
    case TCP_CLOSED:
        if (!(seg.flags & RST))
            reset_for(m, &seg);
        break;
    case TCP_LISTEN:
        listen_state(m, &seg, now_ns);
        break;
    case TCP_SYN_SENT:
        syn_sent_state(m, &seg, now_ns);
        break;
    default:
        if (reopens(m, &seg))
            reopen(m, &seg, now_ns);
        else
            other_states(m, &seg, now_ns);
    }
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * sent.c - may the endpoint send this, and what has it not sent that it had to?
 */
#include "model.h"

/* Bits that any segment may bear or not. */
#define INDIFFERENT (PSH | ECE | CWR)

/* --- RST -------------------------------------------------------------------------------------- */

static const char *sent_reset(struct model *m, const struct segment *seg)
{
    for (uint32_t i = 0; i < m->reset_count; i++) {
        const struct model_reset *r = &m->resets[i];
        bool has_ack = seg->flags & ACK;

        if (seg->seq != r->seq || (r->exact && has_ack != r->has_ack) ||
            (has_ack && seg->ack != r->ack))
            continue;
        m->resets[i] = m->resets[--m->reset_count];
        memset(&m->resets[m->reset_count], 0, sizeof(m->resets[0]));
        return seg->len || (seg->flags & (SYN | FIN)) ? "an RST with more than an RST" : NULL;
    }
    return m->reset_count ? "an RST with wrong numbers" : "an RST that nobody asked for";
}

/* --- options ---------------------------------------------------------------------------------- */

/* What was offered and what the peer offered, too (RFC 7323 2.2, 3.2; RFC 2018 2). */
static const char *syn_options(struct model *m, const struct segment *seg)
{
    bool reply = seg->flags & ACK;

    if (!seg->has_mss || seg->mss != m->config.mss)
        return "a SYN with another MSS than our own";
    if (reply && ((seg->has_ts && !m->ts) || (seg->has_scale && !m->scaled) ||
                  (seg->sack_permitted && !m->sack)))
        return "a SYN-ACK with an option that the peer's SYN does not have";
    if (m->offered_ts && reply && m->ts && !seg->has_ts)
        return "a SYN-ACK without the timestamps that our own SYN has offered";
    m->our_scale = seg->scale;
    if (!reply) {
        m->offered_ts = seg->has_ts;
        m->offered_scale = seg->has_scale;
        m->offered_sack = seg->sack_permitted;
        return NULL;
    }
    m->ts = seg->has_ts;
    m->scaled = seg->has_scale;
    if (!m->scaled)
        m->snd_scale = 0;
    m->rcv_scale = m->scaled ? seg->scale : 0;
    m->sack = seg->sack_permitted;
    return NULL;
}

static const char *check_stamps(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    if (seg->flags & SYN && !(seg->flags & ACK))
        return NULL; /* TSecr means nothing yet */
    if (seg->has_ts != m->ts)
        return m->ts ? "a segment without the timestamps that were negotiated (RFC 7323 3.2)"
                     : "timestamps that were not negotiated";
    if (!seg->has_ts)
        return NULL;
    if (seg->tsecr != m->ts_recent)
        return "TSecr is not TS.Recent";
    if (m->ts_sent_ns && now_ns - m->ts_sent_ns < MODEL_STAMP_NS &&
        seq_before(seg->tsval, m->last_tsval))
        return "TSval went backwards";
    m->ts_sent_ns = now_ns;
    m->last_tsval = seg->tsval;
    return NULL;
}

/* Did all of it come, ahead of a gap? A FIN takes a number, too. */
static bool came(const struct model *m, uint32_t from, uint32_t to)
{
    bool grown = true;

    while (grown && seq_before(from, to)) {
        grown = false;
        for (uint32_t i = 0; i < m->kept_count; i++)
            if (!seq_before(from, m->kept[i][0]) && seq_before(from, m->kept[i][1])) {
                from = m->kept[i][1];
                grown = true;
            }
        for (uint32_t i = 0; i < m->fin_count; i++)
            if (from == m->fins[i]) {
                from++;
                grown = true;
            }
    }
    return !seq_before(from, to);
}

/* RFC 2018 4: blocks are text that came; RFC 2883: or that came twice. */
static const char *check_sacks(const struct model *m, const struct segment *seg)
{
    if (seg->sack_count && !m->sack)
        return "SACK blocks though SACK was not negotiated";
    for (uint32_t i = 0; i < seg->sack_count; i++) {
        uint32_t from = seg->sacks[i][0], to = seg->sacks[i][1];

        if (!seq_before(from, to))
            return "an empty SACK block";
        if (i == 0 && !seq_within(from, m->rcv_nxt, m->rcv_edge - m->rcv_nxt))
            continue; /* RFC 2883: it says what came twice, or what its receiver takes for that */
        if (seq_before(from, m->rcv_nxt))
            return "a SACK block of what is acknowledged";
        /* What lies beyond the peer's own FIN, nobody need remember or forget. */
        if (!m->fin_taken && !came(m, from, to))
            return "a SACK block of what never came";
    }
    return NULL;
}

/* --- the window that we tell ------------------------------------------------------------------ */

static const char *check_window(struct model *m, const struct segment *seg, bool *opened)
{
    uint8_t scale = seg->flags & SYN ? 0 : m->rcv_scale;
    uint32_t edge = seg->ack + (seg->wnd << scale), old = m->rcv_edge;
    uint32_t step = min_u32(m->config.rcv_buffer / 2, m->snd_mss);
    uint32_t told = seg->wnd << scale, before = old - m->rcv_nxt;

    *opened = false;
    if (seg->ack != m->rcv_nxt)
        return "the ACK field is not RCV.NXT";
    /* A SYN sent again cannot tell the edge that a scaled window has told since. */
    if (m->edge_known && !(seg->flags & SYN) && seq_before(edge + (1u << scale) - 1, old))
        return "the window's edge moved left (SHLD-14)";
    if (seq_before(old, m->rcv_nxt))
        before = 0; /* the FIN lay beyond the edge */
    if (told > max_u32(before, m->config.rcv_buffer - m->held))
        return "a window larger than the buffer's room";
    if (!seq_before(old, edge))
        return NULL;
    /* A window that the header cannot tell larger is never silly. The options of our own segments
     * may have made the step smaller. */
    if (m->edge_known && seg->wnd != UINT16_MAX &&
        edge - old + SEGMENT_OPTIONS_MAX + (1u << scale) < step && !seq_before(old, m->rcv_nxt))
        return "a silly window: the edge moved right by less than a segment (MUST-39)";
    *opened = true;
    m->edge_known = true;
    m->rcv_edge = edge;
    return NULL;
}

/* --- SYN, text, FIN, ACK ---------------------------------------------------------------------- */

static const char *sent_syn(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    bool reply = m->state == TCP_SYN_RECEIVED, opened;
    const char *wrong;

    if ((seg->flags & ~INDIFFERENT) != (reply ? SYN | ACK : SYN) || seg->len)
        return "a SYN with wrong flags or with text";
    if (m->iss_known && seg->seq != m->iss)
        return "a SYN sent again with another sequence number";
    if (!m->iss_known && m->reopened && !seq_before(m->reopened_nxt, seg->seq))
        return "a SYN after TIME-WAIT that begins where old numbers are (MAY-2)";
    if (!m->iss_known) {
        m->iss = m->snd_una = seg->seq;
        m->snd_nxt = seg->seq + 1;
        m->iss_known = true;
    }
    wrong = syn_options(m, seg);
    if (!wrong)
        wrong = check_stamps(m, seg, now_ns);
    if (!wrong && reply)
        wrong = check_window(m, seg, &opened);
    m->syn_owed = false;
    m->paid_ns = now_ns;
    return wrong;
}

/* New text, and the FIN, stay within the window, but for a probe. */
static const char *check_new(const struct model *m, uint32_t seq, uint32_t end)
{
    bool alone = m->snd_una == m->snd_nxt && seq == m->snd_nxt && end == seq + 1;

    if (!seq_before(m->snd_nxt, end))
        return NULL; /* again */
    if (seq_before(m->snd_nxt, seq))
        return "a gap in what is sent";
    if (end - m->snd_una <= m->snd_wnd || alone)
        return NULL;
    return "text or FIN beyond the peer's window";
}

/* With the FIN's number: it lies behind all that was written. */
static const char *sent_text(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    bool fin = seg->flags & FIN;
    uint32_t end = seg->seq + seg->len + fin, last = model_fin_seq(m);
    const char *wrong;

    if (m->state == TCP_SYN_RECEIVED)
        return "text or FIN before the connection is established";
    if (m->state == TCP_FIN_WAIT_2 || m->state == TCP_TIME_WAIT)
        return "text or FIN though all of it is acknowledged";
    if (seq_before(seg->seq, m->snd_una))
        return "text or FIN that is acknowledged already";
    if (seq_before(last + fin, end))
        return "text that was never written";
    if (fin && (!m->closing || end != last + 1))
        return "a FIN before its time or in the wrong place";
    if (seg->len + seg->option_bytes > m->snd_mss)
        return "a segment larger than the peer's MSS (MUST-16)";
    wrong = check_new(m, seg->seq, end);
    if (wrong)
        return wrong;
    if (seq_before(m->snd_nxt, end))
        m->snd_nxt = end;
    m->paid_ns = now_ns;
    if (fin && !m->fin_sent) {
        m->fin_sent = true;
        m->state = m->state == TCP_ESTABLISHED ? TCP_FIN_WAIT_1 : TCP_LAST_ACK;
    }
    return NULL;
}

static const char *sent_ack(const struct model *m, const struct segment *seg, bool opened)
{
    uint32_t edge = m->snd_una + m->snd_wnd;
    uint32_t seq = m->state == TCP_SYN_RECEIVED ? m->iss + 1 : m->snd_nxt;

    if (seg->seq != seq && !(seg->seq == edge && seq_before(edge, seq)))
        return "an ACK whose sequence number is not SND.NXT";
    if (m->need == MODEL_NOTHING && !opened && !m->alone)
        return "an ACK that nobody asked for";
    return NULL;
}

const char *model_sent(struct model *m, const struct segment *seg, uint64_t now_ns)
{
    uint8_t flags = seg->flags & (uint8_t)~INDIFFERENT;
    const char *wrong;
    bool opened = false;

    if (flags & RST)
        return sent_reset(m, seg);
    if (m->state == TCP_CLOSED)
        return "a segment of no connection";
    if (flags & SYN) {
        if (m->state != TCP_SYN_SENT && m->state != TCP_SYN_RECEIVED)
            return "a SYN in a synchronized state";
        wrong = sent_syn(m, seg, now_ns);
    } else if (m->state == TCP_SYN_SENT || (flags & ~FIN) != ACK) {
        wrong = "a segment without an ACK, or with flags that nobody sends";
    } else {
        wrong = check_window(m, seg, &opened);
        if (!wrong)
            wrong = check_stamps(m, seg, now_ns);
        if (!wrong)
            wrong = check_sacks(m, seg);
        if (!wrong)
            wrong = segment_len(seg) ? sent_text(m, seg, now_ns) : sent_ack(m, seg, opened);
    }
    if (wrong || !(flags & ACK))
        return wrong;
    m->last_ack_sent = m->rcv_nxt;
    m->unacked = 0;
    m->need = MODEL_NOTHING;
    if (m->limited)
        m->limited_ns = now_ns;
    m->limited = false;
    if (!segment_len(seg) && m->alone)
        m->alone--;
    return NULL;
}

const char *model_settled(struct model *m, uint64_t now_ns)
{
    for (uint32_t i = 0; i < m->reset_count; i++)
        if (m->resets[i].must)
            return "no RST where one is due";
    m->reset_count = 0;
    memset(m->resets, 0, sizeof(m->resets));
    if (m->syn_owed)
        return "no SYN where one is due";
    if (m->need == MODEL_NOW)
        return "no ACK where one is due at once";
    if (m->need == MODEL_SOON && now_ns > m->ack_due_ns + MODEL_TIMER_NS)
        return "an ACK was delayed for more than half a second (MUST-58)";
    if (m->need == MODEL_MAY)
        m->need = MODEL_NOTHING;
    m->limited = false;
    m->alone = 0;
    if (model_owes(m) && now_ns - m->paid_ns > MODEL_SILENCE_NS)
        return "nothing was sent for minutes though something is owed";
    return NULL;
}

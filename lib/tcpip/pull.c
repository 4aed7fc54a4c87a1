// SPDX-License-Identifier: BSD-2-Clause
/*
 * pull.c - what is owed is paid.
 *
 * tcp_pull walks the connections that may send something. For each it asks the application first
 * for what was lost, then for what is new, as far as the windows and the pace admit. The answers
 * come back through tcp_send (output.c), at once or many turns later.
 */
#include "priv.h"

#define WATERMARK_DIVISOR 16 /* of the window */
/* Of what may be asked for: a stream with joints has bytes around them that no buffer holds, and
 * the last whole portion would not fit for their sake. */
#define ASKED_AROUND_DIVISOR 64

enum asked {
    ASKED_ENOUGH,    /* nothing more may be asked for now */
    ASKED_DRY,       /* the application has no buffer: stay in line */
    ASKED_GONE,      /* the connection ended in a callback */
    ASKED_NO_SENDER, /* as many send as may: wait for one that has finished */
};

static uint64_t asked_unanswered(const struct tcp_conn *conn)
{
    return (conn->snd_asked - conn->snd_nxt) + conn->sender->asked_bytes;
}

/* How much more may be asked for before an answer, which puts the connection on the ready list. */
static uint64_t asked_room(const struct tcp_conn *conn)
{
    uint64_t unanswered = asked_unanswered(conn), max = conn->tcp->config.asked_max_bytes, room;

    if (conn->ops->round)
        max += max / ASKED_AROUND_DIVISOR;
    room = max > unanswered ? max - unanswered : 0;

    return unanswered && room < conn->mss ? 0 : room;
}

/* What is asked for counts as sent from now on: against the pace, and in rate reduction. All that
 * the question was for, `want`, counts as in flight by now. */
static void asked_for(struct tcp_conn *conn, uint64_t bytes, uint64_t want, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;

    tcp_pace_spend(conn, bytes, now_ns);
    if (s->recovery == RECOVERY_FAST)
        s->prr_out += (uint32_t)bytes;
    if (s->cc.algorithm->on_sent) {
        uint64_t flight = tcp_in_flight(conn);

        s->cc.algorithm->on_sent(&s->cc, (uint32_t)bytes,
                                 (uint32_t)(flight - min_u64(flight, want)),
                                 s->app_limited_until != 0, now_ns);
    }
}

/* One question to the application, for `want` bytes from `from` on, which count as in flight. */
static enum asked ask(struct tcp_conn *conn, uint64_t from, uint64_t want, uint32_t *promised,
                      uint64_t now_ns)
{
    stat_inc(&conn->tcp->stats.fills);
    *promised = conn->ops->fill(conn->user, conn, tcp_offset(conn, from), (uint32_t)want, now_ns);
    if (conn->state == TCP_CLOSED)
        return ASKED_GONE;
    assert(*promised <= want);
    if (*promised > 0) {
        asked_for(conn, *promised, want, now_ns);
        return ASKED_ENOUGH;
    }
    stat_inc(&conn->tcp->stats.fill_waits);
    return ASKED_DRY;
}

/* Asks for new bytes. A synchronous answer arrives within fill and finds the whole portion asked
 * for; it moves snd_nxt, over a FIN that rode on it too. */
static enum asked ask_new(struct tcp_conn *conn, uint64_t want, uint64_t now_ns)
{
    uint64_t from = conn->snd_asked;
    uint32_t promised;
    enum asked rc;

    conn->snd_asked = from + want;
    rc = ask(conn, from, want, &promised, now_ns);
    if (rc != ASKED_GONE)
        conn->snd_asked = max_u64(from + promised, conn->snd_nxt);
    return rc;
}

/* Asks for the first `want` bytes of a lost range. What is not promised is lost as before. */
static enum asked ask_lost(struct tcp_conn *conn, struct tcp_sent *range, uint64_t want,
                           uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    uint64_t from = range->seq, end = from + want;
    uint32_t promised;
    enum asked rc;

    if (end < range->end && !tcp_sent_split(conn, range, end))
        return ASKED_ENOUGH;
    tcp_sent_asked(conn, range);
    rc = ask(conn, from, want, &promised, now_ns);
    if (rc == ASKED_GONE)
        return rc;
    for (; range && range->seq < end; range = tcp_sent_next(s, range)) {
        if (range->state != SENT_ASKED || range->end <= from + promised)
            continue;
        if (range->seq < from + promised) {
            if (tcp_sent_split(conn, range, from + promised))
                continue; /* the second part is next */
        }
        tcp_sent_unasked(conn, range);
    }
    return rc;
}

/* How much of a lost range may go now. The segment at snd_una may always: without it no ACK will
 * come to make room. */
static uint64_t lost_room(const struct tcp_conn *conn, const struct tcp_sent *range)
{
    const struct tcp_sender *s = conn->sender;
    uint64_t flight = tcp_in_flight(conn), bytes = range->end - range->seq;
    uint64_t room = s->cc.cwnd > flight ? s->cc.cwnd - flight : 0;

    if (range->seq == conn->snd_una || (conn->flags & CONN_TLP))
        room = max_u64(room, conn->mss);
    else if (range->seq >= conn->snd_una + conn->snd_wnd)
        return 0; /* the peer has shrunk its window */
    if (room >= bytes)
        return bytes;
    return room - room % conn->mss;
}

/* A FIN that has no lost bytes in front of it to ride on. */
static void resend_fin(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns)
{
    stat_inc(&conn->tcp->stats.retrans_segs);
    tcp_emit_bare(conn, conn->snd_end, TCP_ACK | TCP_FIN, now_ns);
    tcp_range_sent(conn, range, now_ns);
}

/* The bytes in front of the FIN are being read. */
static bool fin_can_ride(const struct tcp_conn *conn, const struct tcp_sent *fin)
{
    const struct list *prev = fin->node.prev;

    return prev != &conn->sender->sent &&
           list_entry(prev, struct tcp_sent, node)->state == SENT_ASKED;
}

/* Waits for its pace: the timer puts it on the ready list. */
static enum asked wait_for_pace(struct tcp_conn *conn)
{
    if (!(conn->flags & CONN_PACED))
        stat_inc(&conn->tcp->stats.paced);
    conn->flags |= CONN_PACED;
    tcp_timer_arm(conn);
    return ASKED_ENOUGH;
}

/* Of `want` bytes as many as `limit` admits, which is our own and not the peer's: what it would cut
 * off in the middle of a segment makes one that costs as much as a whole one and is lost as easily.
 */
static uint64_t at_most(const struct tcp_conn *conn, uint64_t want, uint64_t limit)
{
    if (limit >= want)
        return want;
    return limit > conn->mss ? limit - limit % conn->mss : limit;
}

/*
 * Bytes are asked for in portions worth a disk read: dissertation 4.3.2 waits until the window
 * admits 10 segments. Exceptions: nothing is in flight, so that no ACK would come to open it
 * further; the rest of the stream fits; and windows below 160 segments, of which a sixteenth is the
 * portion. What waits for its portion is window that is not used, half a portion on average, and
 * others take it: with an eighth, connections of Linux had three fifths of a link that they share
 * evenly with a sixteenth. Where losses keep the window small it is felt twice, since the window
 * also grows by what is acknowledged.
 */
static uint64_t watermark(const struct tcp_conn *conn)
{
    uint32_t part = min_u32(conn->sender->cc.cwnd, conn->snd_wnd) / WATERMARK_DIVISOR;

    return min_u64((uint64_t)conn->tcp->config.watermark_mss * conn->mss,
                   max_u32(part - part % conn->mss, conn->mss));
}

/* New bytes that the two windows admit. What SACKs or duplicate ACKs say has arrived leaves room
 * for as much: limited transmit (RFC 3042) is no case of its own. */
static uint64_t window_room(const struct tcp_conn *conn)
{
    uint64_t cwnd = conn->sender->cc.cwnd, flight = tcp_in_flight(conn);
    uint64_t edge = min_u64(conn->snd_una + conn->snd_wnd, conn->snd_end);
    uint64_t room = cwnd > flight ? cwnd - flight : 0;

    if (conn->flags & CONN_TLP)
        room = max_u64(room, conn->mss);
    return at_most(conn, edge > conn->snd_asked ? edge - conn->snd_asked : 0, room);
}

/* Of the next `bytes` those before the last joint; 0: there is none among them. What is written
 * ends at one. For streams that have joints. */
static uint64_t to_joint(const struct tcp_conn *conn, uint64_t bytes)
{
    if (bytes == conn->snd_end - conn->snd_asked)
        return bytes;
    return conn->ops->round(conn->user, (struct tcp_conn *)conn, tcp_offset(conn, conn->snd_asked),
                            bytes);
}

/* Less than a portion is sent, too, where a timer or a probe wants it, or to find out what was lost
 * (RFC 3042, 5682, 8985 7). */
static bool send_anyway(const struct tcp_conn *conn, uint64_t room)
{
    return (room && conn->flags & (CONN_PROBE | CONN_OVERRIDE)) ||
           (room >= conn->mss &&
            (conn->sender->sacked_bytes > 0 || (conn->flags & CONN_TLP) || conn->sender->frto));
}

/*
 * `want` bytes may go: as far as a joint is better. Where there is none among them, ACKs will make
 * room for more, and 0 is returned; unless no ACK will come, nothing being in flight (`quiet`), or
 * the whole of the window does not reach the joint. Then it is crossed in parts.
 */
static uint64_t whole_portion(const struct tcp_conn *conn, uint64_t want, bool quiet)
{
    uint64_t avail = conn->snd_end - conn->snd_asked, whole = to_joint(conn, want);

    if (whole)
        return whole;
    if (quiet || send_anyway(conn, want))
        return want;
    return to_joint(conn, min_u64(tcp_conn_window(conn), avail)) ? 0 : want;
}

/* How much new data to ask for now; 0: wait for an ACK, or for the timer that is armed here. */
static uint64_t new_portion(struct tcp_conn *conn, uint64_t now_ns)
{
    uint64_t avail = conn->snd_end - conn->snd_asked;
    uint64_t room = window_room(conn);
    bool quiet = conn->snd_una == conn->snd_asked;
    uint64_t least =
        quiet ? min_u32(conn->mss, max_u32(conn->max_snd_wnd / 2, 1)) : watermark(conn);

    if (conn->flags & CONN_PROBE)
        room = max_u64(room, 1);
    if (room >= avail || room >= least || send_anyway(conn, room)) {
        room = min_u64(room, avail);
        return conn->ops->round ? whole_portion(conn, room, quiet) : room;
    }
    /* Nothing out, nothing coming: only a timer can go on. RFC 9293 3.8.6.1 and 3.8.6.2.1. */
    if (quiet && !conn->rto_at_ns) {
        conn->progress_ns = now_ns; /* the user timeout begins here */
        if (room == 0) {
            tcp_rto_arm(conn, now_ns);
        } else {
            conn->rto_at_ns = now_ns + TCP_SWS_OVERRIDE_NS;
            tcp_timer_arm(conn);
        }
    }
    return 0;
}

/*
 * Of a portion our own limits, the pace and `room` before an answer, admit the first `want` bytes:
 * as far as a joint is better. A record may be larger than a burst: the pace is stretched to the
 * first joint, and waits the longer afterwards. 0: an answer will make room for one.
 */
static uint64_t whole_part(const struct tcp_conn *conn, uint64_t portion, uint64_t want,
                           uint64_t room)
{
    uint64_t most = min_u64(portion, room), whole;

    for (uint64_t bytes = want; !(whole = to_joint(conn, bytes)) && bytes < most;)
        bytes = min_u64(2 * bytes, most);
    if (whole)
        return whole;
    return most == portion || asked_unanswered(conn) == 0 ? want : 0;
}

static bool new_segment_may_go(const struct tcp_conn *conn)
{
    uint64_t avail = conn->snd_end - conn->snd_asked;

    return avail && window_room(conn) >= min_u64(avail, conn->mss);
}

static enum asked pull_lost(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *range;

    if (s->frto == FRTO_NEW_SENT) {
        if (conn->snd_asked > s->recover || new_segment_may_go(conn))
            return ASKED_ENOUGH;
        s->frto = FRTO_OFF; /* RFC 5682 2.1, 2 */
    }
    while ((range = list_first(&s->lost, struct tcp_sent, link))) {
        uint64_t room = asked_room(conn);
        uint64_t want = lost_room(conn, range), pace = tcp_pace_room(conn, now_ns);
        enum asked rc;

        if (want == 0 || room == 0)
            return ASKED_ENOUGH;
        if (pace == 0)
            return wait_for_pace(conn);
        if (range->flags & SENT_FIN) {
            if (fin_can_ride(conn, range))
                return ASKED_ENOUGH;
            resend_fin(conn, range, now_ns);
            continue;
        }
        want = at_most(conn, want, min_u64(pace, room));
        rc = ask_lost(conn, range, want, now_ns);
        if (rc != ASKED_ENOUGH)
            return rc;
    }
    return ASKED_ENOUGH;
}

static enum asked pull_new(struct tcp_conn *conn, uint64_t now_ns)
{
    while (conn->snd_asked < conn->snd_end) {
        uint64_t room = asked_room(conn), from = conn->snd_asked, portion, pace, want;
        enum asked rc;

        if (room == 0)
            return ASKED_ENOUGH;
        portion = new_portion(conn, now_ns);
        if (portion == 0)
            return ASKED_ENOUGH;
        pace = tcp_pace_room(conn, now_ns);
        if (pace == 0)
            return wait_for_pace(conn);
        want = at_most(conn, portion, min_u64(pace, room));
        if (want < portion && conn->ops->round) {
            want = whole_part(conn, portion, want, room);
            if (want == 0)
                return ASKED_ENOUGH;
        }
        rc = ask_new(conn, want, now_ns);
        if (rc != ASKED_ENOUGH)
            return rc;
        conn->flags &= ~(CONN_PROBE | CONN_OVERRIDE | CONN_TLP);
        if (conn->snd_asked >= from + portion)
            return ASKED_ENOUGH; /* all that the windows admit */
    }
    return ASKED_ENOUGH;
}

/* What the application has to say, and not the windows, limits the rate from here on
 * (draft-cheng-iccrg-delivery-rate-estimation 3.4). */
static void note_app_limited(struct tcp_conn *conn)
{
    struct tcp_sender *s = conn->sender;
    uint64_t flight = tcp_in_flight(conn);

    if (conn->snd_asked == conn->snd_end && !s->lost_bytes && flight < s->cc.cwnd)
        s->app_limited_until = max_u64(s->delivered + flight, 1);
}

/* A FIN that finds no data to ride on. */
static void pull_fin(struct tcp_conn *conn, uint64_t now_ns)
{
    if (!tcp_fin_due(conn) || conn->snd_nxt != conn->snd_end ||
        (!tcp_fin_fits(conn) && conn->snd_una != conn->snd_nxt)) /* alone, it probes the window */
        return;
    if (!tcp_sent_new(conn, conn->snd_nxt, conn->snd_nxt + 1, SENT_FIN, now_ns)) {
        if (!conn->rto_at_ns) /* no range is free: it is tried again */
            tcp_rto_arm(conn, now_ns);
        return;
    }
    tcp_emit_bare(conn, conn->snd_nxt, TCP_ACK | TCP_FIN, now_ns);
    tcp_fin_is_out(conn);
    tcp_sent_something(conn, conn->snd_una == conn->snd_end, now_ns);
}

static void pull_syn(struct tcp_conn *conn, uint64_t now_ns)
{
    bool first = conn->snd_nxt == tcp_iss64(conn);

    conn->flags &= ~CONN_SYN_OWED;
    tcp_emit_bare(conn, tcp_iss64(conn),
                  conn->state == TCP_SYN_RECEIVED ? TCP_SYN | TCP_ACK : TCP_SYN, now_ns);
    conn->snd_nxt = conn->snd_asked = tcp_iss64(conn) + 1;
    if (first) {
        conn->flags |= CONN_RTT_TIMED;
        conn->syn_ns = now_ns;
    } else {
        conn->flags &= ~CONN_RTT_TIMED; /* which one is acknowledged, nobody knows */
    }
    if (!conn->rto_at_ns)
        tcp_rto_arm(conn, now_ns);
}

/*
 * The sequence number of a segment that carries nothing. It would be SND.NXT, but a window probe
 * moves that beyond a window that the peer keeps shut, where it takes nothing, not even the ACK of
 * its own data (RFC 9293 3.10.7.4, first).
 */
static uint64_t acceptable_seq(const struct tcp_conn *conn)
{
    return min_u64(conn->snd_nxt, conn->snd_una + conn->snd_wnd);
}

/* Data, lost and new, and the FIN. `dry`: nobody has buffers, ask for none. */
static enum asked pull_stream(struct tcp_conn *conn, bool dry, uint64_t now_ns)
{
    bool wants = conn->snd_asked < conn->snd_end || tcp_something_lost(conn);
    enum asked rc;

    if (!wants && !tcp_fin_due(conn))
        return ASKED_ENOUGH;
    if (dry && wants) { /* many may wait, in every turn: their senders are not looked at */
        pull_fin(conn, now_ns);
        return ASKED_DRY;
    }
    if (!tcp_has_sender(conn) && !tcp_sender_want(conn, now_ns))
        return ASKED_NO_SENDER;
    rc = pull_lost(conn, now_ns);
    if (rc == ASKED_ENOUGH && (!conn->sender->lost_bytes || conn->sender->frto))
        rc = pull_new(conn, now_ns);
    if (rc == ASKED_GONE)
        return rc;
    conn->flags &= ~CONN_TLP;
    pull_fin(conn, now_ns);
    if (conn->sender->cc.algorithm->wants_rate)
        note_app_limited(conn);
    return rc;
}

static void pull_acks(struct tcp_conn *conn, uint64_t now_ns)
{
    uint32_t count = 1u + conn->dup_acks_owed;

    conn->dup_acks_owed = 0;
    stat_add(&conn->tcp->stats.acks_out, count);
    while (count--)
        tcp_emit_bare(conn, acceptable_seq(conn), TCP_ACK, now_ns);
}

/* Everything that the connection owes. */
static enum asked pull_conn(struct tcp_conn *conn, bool dry, uint64_t now_ns)
{
    enum asked rc = ASKED_ENOUGH;

    if (conn->flags & CONN_SYN_OWED) {
        pull_syn(conn, now_ns);
    } else if (conn->ops && conn->state >= TCP_ESTABLISHED) {
        rc = pull_stream(conn, dry, now_ns);
        if (rc == ASKED_GONE)
            return rc;
    }
    if (conn->flags & CONN_KEEPALIVE) { /* RFC 9293 3.8.4: an old sequence number, no data */
        conn->flags &= ~CONN_KEEPALIVE;
        tcp_emit_bare(conn, conn->snd_nxt - 1, TCP_ACK, now_ns);
    }
    if ((conn->flags & CONN_ACK_NOW) && conn->state > TCP_SYN_SENT)
        pull_acks(conn, now_ns);
    return rc;
}

/* --- the turn --------------------------------------------------------------------------------- */

void tcp_pull(struct tcp *tcp, uint64_t now_ns)
{
    struct list turn;
    struct list *node;
    bool dry = false;

    tcp->now_ns = now_ns;
    for (uint32_t i = 0; i < tcp->stray_count; i++)
        tcp_pay_stray(tcp, &tcp->strays[i], now_ns);
    tcp->stray_count = 0;

    /* Those made ready from here on have their turn in the next round: a fixed amount of work. */
    list_init(&turn);
    list_splice_tail(&turn, &tcp->ready);
    tcp->pull_owed = false;
    tcp->starved = false;
    while ((node = list_pop_head(&turn))) {
        struct tcp_conn *conn = list_entry(node, struct tcp_conn, ready);

        switch (pull_conn(conn, dry, now_ns)) {
        case ASKED_DRY:
            dry = true;
            /* In order, and before those that became ready meanwhile, of which this one may be: an
             * answer or a tcp_write from within fill puts it there. */
            list_remove(&conn->ready);
            list_push_tail(&tcp->waiting, &conn->ready);
            break;
        case ASKED_NO_SENDER:
            list_remove(&conn->ready);
            list_push_tail(&tcp->senderless, &conn->ready);
            conn->flags |= CONN_SENDERLESS;
            break;
        default:
            break;
        }
    }
    if (!list_empty(&tcp->waiting)) {
        tcp->starved = true;
        list_splice_head(&tcp->ready, &tcp->waiting);
    }
    tcp_bury(tcp);
}

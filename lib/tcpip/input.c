// SPDX-License-Identifier: BSD-2-Clause
/*
 * input.c - a segment arrives. Nothing is sent here: what is owed is noted, tcp_pull pays.
 *
 * The checks stand in the order of RFC 9293 3.10.7, one function each. Segments of a connection
 * that flows take the short way (input_fast) past all but the checks that such a segment can fail.
 */
#include "priv.h"

#include "base/siphash.h"

enum verdict {
    CONTINUE, /* to the next check */
    DROP,     /* done with this segment */
};

/*
 * Two ends that disagree about where they are would answer each other's bare ACKs for ever, at the
 * speed of the path. So a connection answers what is unacceptable and carries nothing no more often
 * than TCP_LIMITED_ACK_MS, as Linux does; data (a lost ACK, a probe) is always answered.
 */
static bool answer_limited(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    uint32_t now_ms = max_u32((uint32_t)(now_ns / NS_PER_MS), 1);

    if (tcp_seg_len(seg) > 0 && !(seg->flags & TCP_SYN))
        return false;
    if (conn->limited_ack_ms && now_ms - conn->limited_ack_ms < TCP_LIMITED_ACK_MS) {
        stat_inc(&conn->tcp->stats.acks_limited);
        return true;
    }
    conn->limited_ack_ms = now_ms;
    return false;
}

/* RFC 5961 10: challenge ACKs are limited for all connections together, since an attacker chooses
 * which. How many a second has is a secret: who knows it can tell, by counting those that are left,
 * whether a guess about somebody else's connection was right (Cao et al. 2016). */
static void owe_challenge_ack(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;

    if (answer_limited(conn, seg, now_ns))
        return;
    if (now_ns >= tcp->challenge_until_ns) {
        tcp->challenge_until_ns = now_ns + NS_PER_S;
        tcp->challenges_left =
            TCP_CHALLENGE_PER_S / 2 +
            (uint32_t)(siphash13(tcp->config.secret + 2, &now_ns, sizeof(now_ns)) %
                       TCP_CHALLENGE_PER_S);
    }
    if (tcp->challenges_left == 0) {
        stat_inc(&tcp->stats.challenges_limited);
        return;
    }
    tcp->challenges_left--;
    stat_inc(&tcp->stats.challenge_acks);
    tcp_owe_ack(conn);
}

/* --- 3.10.7.3: SYN-SENT ----------------------------------------------------------------------- */

static void refuse(struct tcp_conn *conn, uint64_t now_ns)
{
    tcp_send_reset(conn, now_ns);
    tcp_conn_end(conn, TCP_END_ABORTED, now_ns);
}

/* The application takes the connection over from the listener, or refuses it. */
static void accept(struct tcp_conn *conn, uint64_t now_ns)
{
    const struct tcp_listener *listener = conn->user;
    const struct tcp_ops *ops = listener->ops; /* the place may have another listener afterwards */
    struct tcp *tcp = conn->tcp;

    if (tcp_peer_full(tcp, &conn->flow.remote)) {
        refuse(conn, now_ns);
        return;
    }
    if (tcp->config.peer_conns_max) {
        peers_enter(&tcp->peers, &conn->flow.remote);
        conn->flags |= CONN_COUNTED;
    }
    stat_inc(&tcp->stats.passive_opens);
    conn->user = ops->accept(listener->app, conn, now_ns);
    if (conn->state == TCP_CLOSED)
        return;
    if (!conn->user)
        refuse(conn, now_ns);
    else
        conn->ops = ops;
}

static void established(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    tcp_conn_set_state(conn, TCP_ESTABLISHED);
    conn->snd_wnd = seg->window;
    conn->max_snd_wnd = max_u32(conn->max_snd_wnd, conn->snd_wnd);
    conn->snd_wl1 = seg->seq64;
    conn->snd_wl2 = seg->ack64;
    if (conn->tcp->config.keepalive_ns)
        conn->idle_at_ns = now_ns + conn->tcp->config.keepalive_ns;
    tcp_timer_arm(conn);
    if (conn->flags & CONN_PASSIVE) {
        accept(conn, now_ns);
    } else {
        conn->ops->connected(conn->user, conn, now_ns);
    }
    if (conn->state != TCP_CLOSED)
        tcp_conn_ready(conn);
}

/* Our SYN is acknowledged: the first round-trip sample; or, when it was sent again, a slower
 * beginning (RFC 6298 5.7). One segment is the beginning only when that was not once, as RFC 6928 2
 * recommends: a single SYN is lost, or late, without the path being congested. */
static void syn_acked(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    conn->snd_una = tcp_iss64(conn) + 1;
    conn->rto_at_ns = 0;
    if (conn->backoff > 0) {
        conn->rto_us = TCP_RTO_AFTER_SYN_US;
        if (conn->backoff > 1)
            conn->flags |= CONN_SYN_LOST;
    } else if (conn->flags & CONN_RTT_TIMED) {
        tcp_rtt_sample(conn, (now_ns - conn->syn_ns) / NS_PER_US);
    }
    conn->backoff = 0;
    conn->flags &= ~(CONN_RTT_TIMED | CONN_SYN_OWED);
    conn->progress_ns = now_ns;
}

/* RFC 3168 6.1.1: a SYN-ACK says it with ECE alone (with CWR it is a reflection of what our SYN
 * had); a SYN that crossed ours, with both. */
static bool agrees_to_ecn(const struct tcp_seg *seg)
{
    uint8_t flags = seg->flags & (TCP_ECE | TCP_CWR);

    return flags == (seg->flags & TCP_ACK ? TCP_ECE : TCP_ECE | TCP_CWR);
}

static void input_syn_sent(struct tcp_conn *conn, struct tcp_seg *seg, const struct ip_dgram *dgram,
                           uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    bool acked = false;

    if (seg->flags & TCP_ACK) {
        acked = seg->ack64 == tcp_iss64(conn) + 1 && conn->snd_nxt > tcp_iss64(conn);
        if (!acked) {
            stat_inc(&tcp->stats.drop_ack);
            if (!(seg->flags & TCP_RST))
                tcp_owe_reset(tcp, dgram, seg);
            return;
        }
    }
    if (seg->flags & TCP_RST) {
        if (acked) {
            stat_inc(&tcp->stats.resets_in);
            tcp_conn_end(conn, TCP_END_REFUSED, now_ns);
        }
        return;
    }
    if (!(seg->flags & TCP_SYN)) {
        stat_inc(&tcp->stats.drop_bad_flags);
        return;
    }
    conn->irs = seg->seq;
    conn->rcv_nxt = conn->rcv_adv = (1ull << 32) + seg->seq + 1;
    conn->last_ack_sent = conn->rcv_nxt;
    seg->seq64 = conn->rcv_nxt - 1;
    tcp_conn_options(conn, seg, now_ns);
    if (tcp_syn_asks_for_ecn(conn) && agrees_to_ecn(seg))
        conn->flags |= CONN_ECN;
    if (acked) {
        syn_acked(conn, seg, now_ns);
        established(conn, seg, now_ns);
        tcp_owe_ack(conn);
    } else { /* simultaneous open, figure 7 */
        conn->snd_wnd = conn->max_snd_wnd = seg->window;
        tcp_conn_set_state(conn, TCP_SYN_RECEIVED);
        conn->flags |= CONN_SYN_OWED;
        tcp_conn_ready(conn);
    }
    /* Data or FIN with the SYN is not acknowledged; the peer sends it again (RFC 7413 is not
     * wanted). */
}

/* --- 3.10.7.4: the other states --------------------------------------------------------------- */

/* RFC 7323 5.5: what the peer's clock showed so long ago says nothing about what it shows now. */
static bool ts_recent_void(const struct tcp_conn *conn, uint64_t now_ns)
{
    return now_ns - conn->heard_ns > TCP_TS_IDLE_NS;
}

/* RFC 7323 5.3 R1. */
static enum verdict check_paws(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    /* RFC 7323 3.2 would have segments without the option dropped once it is negotiated. They are
     * taken, as by Linux: middleboxes that strip options from keepalives exist. */
    if (!(conn->flags & CONN_TS) || !seg->has_ts || (seg->flags & TCP_RST))
        return CONTINUE;
    if ((int32_t)(seg->tsval - conn->ts_recent) >= 0)
        return CONTINUE;
    if (ts_recent_void(conn, now_ns))
        return CONTINUE;
    stat_inc(&conn->tcp->stats.drop_paws);
    if (!answer_limited(conn, seg, now_ns))
        tcp_owe_ack(conn);
    return DROP;
}

/* RFC 7323 4.3: the timestamp to echo is that of the segment that makes the ACK due. */
static void remember_ts(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t first,
                        uint64_t now_ns)
{
    if ((conn->flags & CONN_TS) && seg->has_ts && first <= conn->last_ack_sent &&
        ((int32_t)(seg->tsval - conn->ts_recent) >= 0 || ts_recent_void(conn, now_ns)))
        conn->ts_recent = seg->tsval;
}

/* First: is any of it in the window? The four cases of the table in 3.10.7.4. */
static bool acceptable(const struct tcp_conn *conn, const struct tcp_seg *seg)
{
    uint64_t wnd = conn->rcv_adv - conn->rcv_nxt;
    uint64_t first = seg->seq64, len = tcp_seg_len(seg);

    if (len == 0 && wnd == 0)
        return first == conn->rcv_nxt;
    if (len == 0)
        return first >= conn->rcv_nxt && first < conn->rcv_adv;
    if (wnd == 0)
        return false;
    return (first >= conn->rcv_nxt && first < conn->rcv_adv) ||
           (first + len > conn->rcv_nxt && first + len <= conn->rcv_adv) ||
           (first < conn->rcv_nxt && first + len > conn->rcv_adv);
}

/* Cuts what lies outside the window, so that what is left begins at rcv_nxt or behind it. */
static void trim(struct tcp_conn *conn, struct tcp_seg *seg)
{
    uint64_t end;

    if (seg->flags & (TCP_SYN | TCP_RST))
        return; /* judged by the number that they bear, wherever it lies (RFC 5961 3.2, 4.2) */
    if (seg->seq64 < conn->rcv_nxt) {
        uint64_t old = min_u64(conn->rcv_nxt - seg->seq64, seg->len);

        if (old > 0)
            tcp_arrived_twice(conn, seg->seq64, seg->seq64 + old);
        seg->data += old;
        seg->len -= (uint32_t)old;
        seg->seq64 = conn->rcv_nxt;
    }
    end = seg->seq64 + tcp_seg_len(seg);
    if (end > conn->rcv_adv) {
        if (seg->flags & TCP_FIN) {
            seg->flags &= (uint8_t)~TCP_FIN;
            end--;
        }
        seg->len -= (uint32_t)min_u64(end - conn->rcv_adv, seg->len);
    }
}

/* The peer's FIN came again: our ACK of it was lost (RFC 9293 3.10.7.4, eighth). */
static void time_wait_restart(struct tcp_conn *conn, uint64_t now_ns)
{
    conn->idle_at_ns = now_ns + conn->tcp->config.time_wait_ns;
    list_remove(&conn->timer.node);
    list_push_tail(&conn->tcp->time_wait, &conn->timer.node);
}

/* In SYN-RECEIVED: the peer's SYN again, whatever else the segment bears. */
static enum verdict syn_again(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    if (!(seg->flags & TCP_ACK)) { /* our SYN-ACK was lost */
        remember_ts(conn, seg, seg->seq64, now_ns);
        conn->flags |= CONN_SYN_OWED;
        tcp_conn_ready(conn);
        return DROP;
    }
    /* In a simultaneous open this is the peer's SYN-ACK, and its ACK is news (figure 7). The peer's
     * SYN is acknowledged once more, since our SYN-ACK may not have left yet. */
    tcp_owe_ack(conn);
    seg->flags &= (uint8_t)~TCP_SYN;
    seg->seq64++;
    return CONTINUE;
}

static enum verdict check_seq(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    if (conn->state == TCP_SYN_RECEIVED && (seg->flags & (TCP_SYN | TCP_RST)) == TCP_SYN &&
        seg->seq64 == conn->rcv_nxt - 1 && syn_again(conn, seg, now_ns) == DROP)
        return DROP;
    if (acceptable(conn, seg)) {
        trim(conn, seg);
        return CONTINUE;
    }
    /* With the window closed, ACKs, resets and urgent pointers still count (MUST-66), data and FIN
     * do not. */
    if (conn->rcv_adv == conn->rcv_nxt && seg->seq64 == conn->rcv_nxt && !(seg->flags & TCP_SYN)) {
        seg->len = 0;
        seg->flags &= (uint8_t)~TCP_FIN;
        tcp_owe_ack(conn);
        return CONTINUE;
    }
    /* It came again because our ACK was lost. RFC 7323 4.3 would have the next ACK echo the first
     * copy's timestamp, and the sender would take its own timeout for a round trip, and the next
     * timeout would be longer for it. */
    if (seg->seq64 + tcp_seg_len(seg) >= conn->last_ack_sent)
        remember_ts(conn, seg, seg->seq64, now_ns);
    stat_inc(&conn->tcp->stats.drop_out_of_window);
    if (seg->flags & TCP_RST)
        return DROP;
    if (seg->len > 0 && seg->seq64 + seg->len <= conn->rcv_nxt)
        tcp_arrived_twice(conn, seg->seq64, seg->seq64 + seg->len);
    if (conn->state == TCP_TIME_WAIT && (seg->flags & TCP_FIN))
        time_wait_restart(conn, now_ns);
    if (!answer_limited(conn, seg, now_ns))
        tcp_owe_ack(conn);
    return DROP;
}

/* Second. RFC 9293 3.10.7.4 with RFC 5961 3.2: only the exact sequence number resets. */
static enum verdict check_rst(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    if (!(seg->flags & TCP_RST))
        return CONTINUE;
    if (seg->seq64 != conn->rcv_nxt) {
        owe_challenge_ack(conn, seg, now_ns);
        return DROP;
    }
    stat_inc(&conn->tcp->stats.resets_in);
    if (conn->state == TCP_ESTABLISHED || conn->state == TCP_CLOSE_WAIT)
        stat_inc(&conn->tcp->stats.estab_resets);
    if (conn->state == TCP_SYN_RECEIVED)
        tcp_conn_end(conn, TCP_END_REFUSED, now_ns);
    else if ((conn->state == TCP_CLOSING || conn->state == TCP_LAST_ACK) &&
             conn->snd_una >= conn->snd_end) /* all data has arrived, only the FIN was in doubt */
        tcp_conn_end(conn, TCP_END_DONE, now_ns);
    else
        tcp_conn_end(conn, TCP_END_RESET, now_ns);
    return DROP;
}

/* Third, security, is obsolete (appendix A.1). Fourth: a SYN in the window (RFC 5961 4.2). */
static enum verdict check_syn(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    if (!(seg->flags & TCP_SYN))
        return CONTINUE;
    owe_challenge_ack(conn, seg, now_ns);
    return DROP;
}

/* Fifth, in SYN-RECEIVED. */
static enum verdict check_ack_syn_received(struct tcp_conn *conn, struct tcp_seg *seg,
                                           const struct ip_dgram *dgram, uint64_t now_ns)
{
    if (seg->ack64 != tcp_iss64(conn) + 1 || conn->snd_nxt == tcp_iss64(conn)) {
        stat_inc(&conn->tcp->stats.drop_ack);
        tcp_owe_reset(conn->tcp, dgram, seg);
        return DROP;
    }
    syn_acked(conn, seg, now_ns);
    established(conn, seg, now_ns);
    return conn->state == TCP_CLOSED ? DROP : CONTINUE;
}

/* What an acknowledgment of our FIN changes. */
static enum verdict fin_acked(struct tcp_conn *conn, uint64_t now_ns)
{
    if (!(conn->flags & CONN_FIN_SENT) || conn->snd_una <= conn->snd_end)
        return CONTINUE;
    switch (conn->state) {
    case TCP_FIN_WAIT_1:
        tcp_conn_set_state(conn, TCP_FIN_WAIT_2);
        conn->idle_at_ns = now_ns + conn->tcp->config.fin_wait_2_ns;
        tcp_timer_arm(conn);
        return CONTINUE;
    case TCP_CLOSING:
        tcp_conn_time_wait(conn, now_ns);
        return DROP;
    case TCP_LAST_ACK:
        tcp_conn_end(conn, TCP_END_DONE, now_ns);
        return DROP;
    default:
        return CONTINUE;
    }
}

static enum verdict check_ack(struct tcp_conn *conn, struct tcp_seg *seg,
                              const struct ip_dgram *dgram, uint64_t now_ns)
{
    if (!(seg->flags & TCP_ACK)) {
        stat_inc(&conn->tcp->stats.drop_bad_flags);
        return DROP;
    }
    if (conn->state == TCP_SYN_RECEIVED && check_ack_syn_received(conn, seg, dgram, now_ns) == DROP)
        return DROP;
    if (conn->state == TCP_TIME_WAIT) {
        if (seg->flags & TCP_FIN) {
            tcp_owe_ack(conn);
            time_wait_restart(conn, now_ns);
        }
        return DROP;
    }
    /* RFC 5961 5.2: data is believed only with an ACK from a plausible range. */
    if (seg->ack64 > conn->snd_nxt || seg->ack64 + conn->max_snd_wnd < conn->snd_una) {
        stat_inc(&conn->tcp->stats.drop_ack);
        owe_challenge_ack(conn, seg, now_ns);
        return DROP;
    }
    tcp_ack_advance(conn, seg, now_ns);
    if (conn->state == TCP_CLOSED)
        return DROP;
    return fin_acked(conn, now_ns);
}

/* Sixth, the urgent pointer: urgent data is ordinary data here, in its place in the stream. */

/*
 * RFC 3168 6.1.3: a mark is echoed on every ACK until the peer says that it has reacted. The first
 * is told at once: the sooner it slows down, the fewer marks there have to be.
 */
static void note_ecn(struct tcp_conn *conn, const struct tcp_seg *seg)
{
    if (seg->flags & TCP_CWR)
        conn->flags &= ~CONN_ECE;
    if (seg->ecn != IP_ECN_CE)
        return;
    stat_inc(&conn->tcp->stats.ecn_marks_in);
    if (!(conn->flags & CONN_ECE))
        tcp_owe_ack(conn);
    conn->flags |= CONN_ECE;
}

/* The whole of 3.10.7.4 for a segment that can fail none of the other checks. */
static bool input_fast(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    if (conn->state != TCP_ESTABLISHED || (seg->flags & ~(TCP_PSH | TCP_ECE | TCP_CWR)) != TCP_ACK)
        return false;
    if (seg->seq64 != conn->rcv_nxt || seg->len > conn->rcv_adv - conn->rcv_nxt)
        return false;
    if (seg->ack64 < conn->snd_una || seg->ack64 > conn->snd_nxt)
        return false;
    if ((conn->flags & CONN_TS) && (!seg->has_ts || (int32_t)(seg->tsval - conn->ts_recent) < 0))
        return false;
    stat_inc(&conn->tcp->stats.fast_path);
    conn->heard_ns = now_ns;
    conn->probes = 0;
    remember_ts(conn, seg, seg->seq64, now_ns);
    if (unlikely(conn->flags & CONN_ECN))
        note_ecn(conn, seg);
    tcp_ack_advance(conn, seg, now_ns);
    if (conn->state != TCP_CLOSED && seg->len > 0)
        tcp_take_text(conn, seg, now_ns);
    return true;
}

static void input_slow(struct tcp_conn *conn, struct tcp_seg *seg, const struct ip_dgram *dgram,
                       uint64_t now_ns)
{
    uint64_t first = seg->seq64; /* before trimming */

    if (check_paws(conn, seg, now_ns) == DROP)
        return;
    if (check_seq(conn, seg, now_ns) == DROP)
        return;
    remember_ts(conn, seg, first, now_ns);
    conn->heard_ns = now_ns;
    conn->probes = 0;
    if (conn->flags & CONN_ECN)
        note_ecn(conn, seg);
    if (check_rst(conn, seg, now_ns) == DROP || check_syn(conn, seg, now_ns) == DROP ||
        check_ack(conn, seg, dgram, now_ns) == DROP)
        return;
    tcp_take_text(conn, seg, now_ns);
}

/* RFC 9293 3.10.7.4, fourth, TIME-WAIT, and RFC 6191: a SYN that is clearly newer opens anew. Where
 * nobody listens it must not: it would only end the wait before its time. */
static bool reopens(const struct tcp_conn *conn, const struct tcp_seg *seg)
{
    if (conn->state != TCP_TIME_WAIT ||
        (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN ||
        !tcp_listener_find(conn->tcp, &conn->flow.local, conn->local_port))
        return false;
    if ((conn->flags & CONN_TS) && seg->has_ts && seg->tsval != conn->ts_recent)
        return (int32_t)(seg->tsval - conn->ts_recent) > 0;
    return seg->seq64 > conn->rcv_nxt;
}

#define REOPEN_ISN_GAP 0x20000 /* beyond the largest unscaled window, with room to spare */

/* Our new sequence numbers must begin beyond the old ones, too (MAY-2); the clock that they are
 * taken from makes 250 KB/s, and we more. */
static void reopen(struct tcp *tcp, struct tcp_conn *old, const struct ip_dgram *dgram,
                   const struct tcp_seg *seg, uint64_t now_ns)
{
    uint32_t beyond = (uint32_t)old->snd_nxt + REOPEN_ISN_GAP;
    struct tcp_conn *conn;

    tcp_conn_end(old, TCP_END_DONE, now_ns);
    tcp_listen_input(tcp, dgram, seg, now_ns);
    conn = tcp_conn_find(tcp, &dgram->dst, seg->dst_port, &dgram->src, seg->src_port);
    if (conn && (int32_t)(conn->iss - beyond) < 0)
        tcp_conn_start_at(conn, beyond);
}

/* From what is on the wire to what the connection counts with. */
static void unroll(const struct tcp_conn *conn, struct tcp_seg *seg)
{
    seg->seq64 = tcp_unroll(conn->rcv_nxt, seg->seq);
    seg->ack64 = tcp_unroll(conn->snd_una, seg->ack);
    if (!(seg->flags & TCP_SYN)) /* RFC 7323 2.2 */
        seg->window <<= conn->snd_wscale;
}

static void input_no_conn(struct tcp *tcp, const struct ip_dgram *dgram, struct tcp_seg *seg,
                          uint64_t now_ns)
{
    struct tcp_conn *conn = tcp_listen_input(tcp, dgram, seg, now_ns);

    if (!conn)
        return;
    unroll(conn, seg);
    input_slow(conn, seg, dgram, now_ns);
    /* Something else was wrong with it. Nobody waits for a SYN-ACK that a cookie has been. */
    if (conn->state == TCP_SYN_RECEIVED)
        tcp_conn_end(conn, TCP_END_REFUSED, now_ns);
}

void tcp_input(struct tcp *tcp, const struct ip_dgram *dgram, uint64_t now_ns)
{
    struct tcp_seg seg;
    struct tcp_conn *conn;
    bool bad_options;
    enum tcp_parse parsed = tcp_seg_parse(dgram, &seg, &bad_options);

    tcp->now_ns = now_ns;
    stat_inc(&tcp->stats.segs_in);
    if (parsed != TCP_PARSE_OK) {
        stat_inc(parsed == TCP_PARSE_SHORT ? &tcp->stats.drop_short : &tcp->stats.drop_checksum);
        return;
    }
    if (bad_options)
        stat_inc(&tcp->stats.drop_options);
    conn = tcp_conn_find(tcp, &dgram->dst, seg.dst_port, &dgram->src, seg.src_port);
    if (!conn) {
        input_no_conn(tcp, dgram, &seg, now_ns);
        return;
    }
    unroll(conn, &seg);
    if (reopens(conn, &seg))
        reopen(tcp, conn, dgram, &seg, now_ns);
    else if (conn->state == TCP_SYN_SENT)
        input_syn_sent(conn, &seg, dgram, now_ns);
    else if (!input_fast(conn, &seg, now_ns))
        input_slow(conn, &seg, dgram, now_ns);
}

/*
 * RFC 9293 3.9.2.2: unreachable and time-exceeded errors are hints, no reason to give up (MUST-56);
 * the timers decide. That a datagram was too big is more than a hint (3.7.2): all of ours bear DF.
 * Errors are believed to concern us only if they quote a sequence number in flight (RFC 5927 4.1).
 */
void tcp_error(struct tcp *tcp, const struct ip_error *error, uint64_t now_ns)
{
    struct tcp_conn *conn;
    uint64_t seq;

    if (error->proto != IP_PROTO_TCP || error->len < 8)
        return;
    conn = tcp_conn_find(tcp, &error->src, get_be16(error->payload), &error->dst,
                         get_be16(error->payload + 2));
    if (!conn)
        return;
    seq = tcp_unroll(conn->snd_una, get_be32(error->payload + 4));
    if (seq < conn->snd_una || seq > conn->snd_nxt)
        return;
    stat_inc(&tcp->stats.icmp_errors);
    if (error->kind == IP_ERROR_TOO_BIG)
        tcp_mtu_claimed(conn, seq, error->mtu, now_ns);
}

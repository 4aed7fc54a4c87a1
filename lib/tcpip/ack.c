// SPDX-License-Identifier: BSD-2-Clause
/*
 * ack.c - what an acknowledgment means: bytes that arrived, bytes that were lost, a new window.
 *
 * This is the clock of the whole server. An ACK moves snd_una, may declare a range lost, lets the
 * congestion window grow and puts the connection on the ready list; tcp_pull then asks for exactly
 * the bytes that may go. Loss recovery is NewReno's (RFC 6582): without SACK the sender knows of
 * one hole at a time, the one at snd_una.
 */
#include "priv.h"

/* RFC 6298 2.2, 2.3, in whole microseconds. */
void tcp_rtt_sample(struct tcp_conn *conn, uint64_t rtt_us)
{
    uint32_t r = (uint32_t)min_u64(max_u64(rtt_us, 1), TCP_RTO_MAX_US);
    uint64_t rto;

    if (conn->srtt_us == 0) {
        conn->srtt_us = r;
        conn->rttvar_us = r / 2;
    } else {
        uint32_t delta = r > conn->srtt_us ? r - conn->srtt_us : conn->srtt_us - r;

        conn->rttvar_us = conn->rttvar_us - conn->rttvar_us / 4 + delta / 4;
        conn->srtt_us = max_u32(conn->srtt_us - conn->srtt_us / 8 + r / 8, 1);
    }
    rto = conn->srtt_us + max_u64(TCP_RTT_GRANULARITY_US, 4ull * conn->rttvar_us);
    conn->rto_us = (uint32_t)min_u64(max_u64(rto, TCP_RTO_MIN_US), TCP_RTO_MAX_US);
    conn->backoff = 0; /* only a sample ends it: Karn's other half */
}

/*
 * A segment that was sent once and timed gives the exact time; the echoed timestamp, in whole
 * milliseconds, serves where nothing was timed because it was sent again (Karn's algorithm, RFC
 * 6298 3).
 */
static void sample_rtt(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    if ((conn->flags & CONN_RTT_TIMED) && seg->ack64 >= conn->rtt_seq) {
        conn->flags &= ~CONN_RTT_TIMED;
        tcp_rtt_sample(conn, (now_ns - conn->rtt_ns) / NS_PER_US);
    } else if (!(conn->flags & CONN_RTT_TIMED) && (conn->flags & CONN_TS) && seg->has_ts &&
               seg->tsecr) {
        int32_t ms = (int32_t)(tcp_now_ts(conn, now_ns) - seg->tsecr);

        if (ms >= 0)
            tcp_rtt_sample(conn, max_u64((uint64_t)ms * 1000, TCP_RTT_GRANULARITY_US));
    }
}

/* The lost range is [from, to); what was asked for of an earlier one is asked for again. */
static void mark_lost(struct tcp_conn *conn, uint64_t from, uint64_t to)
{
    conn->rtx_sent = conn->rtx_nxt = from;
    conn->rtx_end = to;
    conn->flags &= ~CONN_RTT_TIMED;
}

static void mark_first_lost(struct tcp_conn *conn)
{
    mark_lost(conn, conn->snd_una, min_u64(conn->snd_una + conn->mss, conn->snd_nxt));
}

/*
 * A link on the path takes no more than `mtu` (RFC 1191; 0: it did not say). What is in flight was
 * too big and goes again, in segments that fit. It is not lost to congestion: cwnd stays. During a
 * fast recovery the partial ACKs bring the rest.
 */
void tcp_path_mtu(struct tcp_conn *conn, uint32_t mtu)
{
    const struct ip *ip = conn->tcp->ip;
    uint32_t headers = ip_caps(ip)->mtu - ip_payload_max(ip, &conn->flow) +
                       (uint32_t)sizeof(struct tcp_header) +
                       (conn->flags & CONN_TS ? TCP_OPT_TIMESTAMPS_SPACE : 0);
    uint32_t mss = max_u32(mtu, TCP_PATH_MTU_MIN) - headers;

    if (conn->state < TCP_ESTABLISHED || conn->state == TCP_TIME_WAIT || mss >= conn->mss)
        return;
    conn->mss = (uint16_t)mss;
    if (conn->snd_una == conn->snd_nxt)
        return;
    if (conn->recovery == RECOVERY_FAST)
        mark_first_lost(conn);
    else
        mark_lost(conn, conn->snd_una, conn->snd_nxt);
    tcp_conn_ready(conn);
}

/* Everything left of snd_una is history. */
static void clamp_lost(struct tcp_conn *conn)
{
    conn->rtx_sent = max_u64(conn->rtx_sent, conn->snd_una);
    conn->rtx_nxt = max_u64(conn->rtx_nxt, conn->snd_una);
    conn->rtx_end = max_u64(conn->rtx_end, conn->snd_una);
}

/* RFC 6582 3.2 step 2. */
static void enter_fast_recovery(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    /* Beyond cwnd lies only what limited transmit has sent, which does not count (RFC 5681 3.2). */
    uint32_t flight = (uint32_t)min_u64(conn->snd_nxt - conn->snd_una, conn->cwnd);

    stat_inc(&tcp->stats.fast_retransmits);
    tcp->cc->on_loss(conn, flight, now_ns);
    conn->recovery = RECOVERY_FAST;
    conn->recover = conn->snd_nxt;
    mark_first_lost(conn);
    conn->cwnd = conn->ssthresh + TCP_DUPACK_THRESHOLD * conn->mss;
}

/* RFC 6582 3.2 step 3. */
static void ack_in_fast_recovery(struct tcp_conn *conn, uint64_t acked)
{
    uint64_t flight = conn->snd_nxt - conn->snd_una;

    if (conn->snd_una >= conn->recover) {
        conn->cwnd =
            min_u32(conn->ssthresh,
                    (uint32_t)min_u64(max_u64(flight, conn->mss) + conn->mss, TCP_CWND_MAX));
        conn->recovery = RECOVERY_NONE;
        conn->dup_acks = 0;
        return;
    }
    /* A partial ACK: the next hole begins here. The window deflates by what left the network. */
    mark_first_lost(conn);
    conn->cwnd -= (uint32_t)min_u64(acked, conn->cwnd - min_u32(conn->cwnd, conn->mss));
    if (acked >= conn->mss)
        conn->cwnd += conn->mss;
}

static void ack_new(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    uint64_t acked = seg->ack64 - conn->snd_una;
    uint64_t flight = tcp_in_flight(conn);
    /* After a timeout an ACK also covers what had arrived before it: RFC 3465 2.3 has it count as
     * one segment. */
    uint64_t counted =
        conn->recovery == RECOVERY_RTO ? min_u64(acked, conn->mss) : min_u64(acked, TCP_CWND_MAX);

    sample_rtt(conn, seg, now_ns);
    conn->snd_una = seg->ack64;
    clamp_lost(conn);
    conn->progress_ns = now_ns;
    ip_flow_confirm(&conn->flow, now_ns); /* RFC 4861 7.3.1: forward progress is proof enough */
    stat_add(&tcp->stats.bytes_acked, acked - (conn->snd_una > conn->snd_end)); /* less the FIN */
    if (conn->recovery == RECOVERY_FAST) {
        ack_in_fast_recovery(conn, acked);
    } else {
        conn->dup_acks = 0;
        if (conn->recovery == RECOVERY_RTO && conn->snd_una >= conn->recover)
            conn->recovery = RECOVERY_NONE;
        /* The window grows only while it is what limits (RFC 7661's concern): half of it
         * must have been in use, since the watermark leaves up to the other half for the next read.
         */
        if (flight * 2 >= conn->cwnd)
            tcp->cc->on_ack(conn, (uint32_t)counted, now_ns);
    }
    if (conn->snd_una == conn->snd_nxt)
        conn->rto_at_ns = 0;
    else
        tcp_rto_arm(conn, now_ns); /* RFC 6298 5.3 */
    if (conn->ops)
        conn->ops->sent(conn->user, conn,
                        min_u64(tcp_offset(conn, conn->snd_una), tcp_offset(conn, conn->snd_end)),
                        now_ns);
}

/* RFC 5681 2: the five conditions of a duplicate ACK. */
static bool is_duplicate(const struct tcp_conn *conn, const struct tcp_seg *seg)
{
    return seg->ack64 == conn->snd_una && conn->snd_una < conn->snd_nxt && seg->len == 0 &&
           !(seg->flags & (TCP_SYN | TCP_FIN)) && conn->snd_wnd > 0 && seg->window == conn->snd_wnd;
}

static void ack_duplicate(struct tcp_conn *conn, uint64_t now_ns)
{
    stat_inc(&conn->tcp->stats.dup_acks_in);
    conn->dup_acks++;
    if (conn->recovery ==
        RECOVERY_FAST) /* a segment has left the network: step 3 of RFC 5681 3.2 */
        conn->cwnd = min_u32(conn->cwnd + conn->mss, TCP_CWND_MAX);
    else if (conn->dup_acks == TCP_DUPACK_THRESHOLD && conn->snd_una > conn->recover)
        enter_fast_recovery(conn, now_ns);
    /* The first two admit a new segment each: RFC 3042, see tcp_pull. */
}

/* RFC 9293 3.10.7.4, fifth: only a newer segment may change the window. */
static void update_window(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    uint32_t window = seg->window;

    if (seg->seq64 < conn->snd_wl1 || (seg->seq64 == conn->snd_wl1 && seg->ack64 < conn->snd_wl2))
        return;
    if (conn->snd_wnd == 0 && window > 0) {
        /* The window opens. Probes that went beyond it were not taken: they go again at once. */
        if (conn->snd_una < conn->snd_nxt && conn->recovery == RECOVERY_NONE)
            mark_lost(conn, conn->snd_una, conn->snd_nxt);
        conn->backoff = 0;
        if (conn->rto_at_ns)
            tcp_rto_arm(conn, now_ns);
    }
    conn->snd_wnd = window;
    conn->max_snd_wnd = max_u32(conn->max_snd_wnd, window);
    conn->snd_wl1 = seg->seq64;
    conn->snd_wl2 = seg->ack64;
}

void tcp_ack_advance(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    if (seg->ack64 < conn->snd_una)
        return; /* old */
    if (seg->ack64 > conn->snd_una)
        ack_new(conn, seg, now_ns);
    else if (is_duplicate(conn, seg))
        ack_duplicate(conn, now_ns);
    if (conn->state == TCP_CLOSED)
        return;
    if (conn->snd_wnd == 0)
        conn->progress_ns = now_ns; /* RFC 9293 MUST-37: a peer that answers may keep it shut */
    update_window(conn, seg, now_ns);
    if (conn->snd_asked < conn->snd_end || conn->rtx_nxt < conn->rtx_end ||
        (conn->flags & CONN_CLOSING))
        tcp_conn_ready(conn);
}

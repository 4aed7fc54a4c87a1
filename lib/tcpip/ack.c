// SPDX-License-Identifier: BSD-2-Clause
/*
 * ack.c - what an acknowledgment means: bytes that arrived, bytes that were lost, a new window.
 *
 * This is the clock of the whole server. An ACK moves snd_una, tells the scoreboard what has
 * arrived, may show that something was lost, lets the congestion window grow and puts the
 * connection on the ready list; tcp_pull then asks for exactly the bytes that may go.
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
    rto = conn->srtt_us + max_u64(TCP_RTO_MARGIN_US, 4ull * conn->rttvar_us);
    conn->rto_us = (uint32_t)min_u64(rto, TCP_RTO_MAX_US);
    conn->backoff = 0; /* only a sample ends it: Karn's other half */
}

/*
 * What was sent once gives the exact time; the echoed timestamp, in whole milliseconds, serves
 * where some of what is acknowledged was sent again (Karn's algorithm, RFC 6298 3): the rest may
 * have waited for that at the peer. The least round trip is that of the range sent last, which has
 * waited least for its ACK.
 */
static void sample_rtt(struct tcp_conn *conn, struct tcp_ack *a)
{
    if (a->oldest_sent_ns && !a->again_acked) {
        tcp_rtt_sample(conn, (a->now_ns - a->oldest_sent_ns) / NS_PER_US);
        a->rtt_us = (uint32_t)min_u64((a->now_ns - a->newest_sent_ns) / NS_PER_US, UINT32_MAX);
        tcp_min_rtt_sample(conn->sender, a->rtt_us, a->now_ns);
    } else if (a->acked && a->has_tsecr) {
        int32_t ms = (int32_t)(tcp_now_ts(conn, a->now_ns) - a->tsecr);

        if (ms >= 0)
            tcp_rtt_sample(conn, max_u64((uint64_t)ms * 1000, TCP_RTT_GRANULARITY_US));
    }
}

/* None of what is in flight has arrived, for a reason that is no congestion. */
static void all_lost(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_ack a = {.now_ns = now_ns};

    for (struct tcp_sent *range = tcp_sent_first(s), *next; range; range = next) {
        next = tcp_sent_next(s, range);
        if (range->state == SENT_IN_AIR)
            tcp_sent_lost(conn, range, &a);
    }
    tcp_conn_ready(conn);
}

/* RFC 2018 3, RFC 2883 4: a first block below the acknowledgment, or inside the second, tells of
 * bytes that came twice. */
static bool is_dsack(const struct tcp_seg *seg, uint64_t start, uint64_t end, uint32_t index,
                     uint64_t next_start, uint64_t next_end)
{
    if (index != 0)
        return false;
    return start < seg->ack64 || (seg->sack_count > 1 && next_start <= start && end <= next_end);
}

/* In the order of sequence numbers: the newest block is the first of the segment, and what is older
 * and below it would seem to have come out of order. */
static void sort_blocks(uint64_t *start, uint64_t *end, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint64_t s = start[i], e = end[i];
        uint32_t at = i;

        for (; at > 0 && start[at - 1] > s; at--) {
            start[at] = start[at - 1];
            end[at] = end[at - 1];
        }
        start[at] = s;
        end[at] = e;
    }
}

/* Blocks are believed as far as they lie in what is out. */
static void take_sacks(struct tcp_conn *conn, const struct tcp_seg *seg, struct tcp_ack *a)
{
    struct tcp_stats *stats = &conn->tcp->stats;
    uint64_t start[TCP_SACKS_MAX] = {0}, end[TCP_SACKS_MAX] = {0};
    uint32_t count = 0;

    stat_inc(&stats->sacks_in);
    for (uint32_t i = 0; i < seg->sack_count; i++) {
        start[i] = tcp_unroll(conn->snd_una, seg->sacks[i].start);
        end[i] = tcp_unroll(conn->snd_una, seg->sacks[i].end);
    }
    for (uint32_t i = 0; i < seg->sack_count; i++) {
        if (start[i] >= end[i] || end[i] > conn->snd_nxt ||
            start[i] + conn->max_snd_wnd < conn->snd_una) {
            stat_inc(&stats->sack_ignored);
        } else if (is_dsack(seg, start[i], end[i], i, start[1], end[1])) {
            stat_inc(&stats->dsacks_in);
            a->dsack = true;
            a->dsack_bytes = end[i] - start[i];
        } else if (end[i] > conn->snd_una) {
            start[count] = max_u64(start[i], conn->snd_una);
            end[count++] = end[i];
        }
    }
    sort_blocks(start, end, count);
    for (uint32_t i = 0; i < count; i++)
        tcp_sent_sacked(conn, start[i], end[i], a);
}

/* snd_una moves. */
static void ack_new(struct tcp_conn *conn, const struct tcp_seg *seg, struct tcp_ack *a)
{
    struct tcp *tcp = conn->tcp;

    a->acked = (uint32_t)(seg->ack64 - conn->snd_una);
    conn->snd_una = seg->ack64;
    conn->progress_ns = a->now_ns;
    ip_flow_confirm(&conn->flow, a->now_ns); /* RFC 4861 7.3.1: forward progress is proof enough */
    stat_add(&tcp->stats.bytes_acked,
             a->acked - (conn->snd_una > conn->snd_end)); /* less the FIN */
    tcp_sent_acked(conn, seg->ack64, a);
}

/* RFC 5681 2: the five conditions of a duplicate ACK. */
static bool is_duplicate(const struct tcp_conn *conn, const struct tcp_seg *seg)
{
    return seg->ack64 == conn->snd_una && conn->snd_una < conn->snd_nxt && seg->len == 0 &&
           !(seg->flags & (TCP_SYN | TCP_FIN)) && conn->snd_wnd > 0 && seg->window == conn->snd_wnd;
}

/* The scoreboard is brought up to date, and recovery.c draws its conclusions. */
static void acknowledge(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    struct tcp_ack a = {.now_ns = now_ns,
                        .flight_before = (uint32_t)tcp_in_flight(conn),
                        .has_tsecr = (conn->flags & CONN_TS) && seg->has_ts && seg->tsecr,
                        .tsecr = seg->tsecr};
    bool sacks = seg->sack_count && (conn->flags & CONN_SACK);
    bool duplicate = is_duplicate(conn, seg);

    if (seg->ack64 > conn->snd_una)
        ack_new(conn, seg, &a);
    if (sacks)
        take_sacks(conn, seg, &a);
    if (duplicate)
        stat_inc(&conn->tcp->stats.dup_acks_in);
    if (a.acked || a.sack_news || a.dsack || (duplicate && (conn->flags & CONN_SACK))) {
        sample_rtt(conn, &a);
        tcp_recovery_ack(conn, &a);
    } else if (duplicate) {
        tcp_recovery_dup_ack(conn, &a);
    }
    if ((seg->flags & TCP_ECE) && (conn->flags & CONN_ECN))
        tcp_recovery_ecn(conn, &a);
    if (a.acked && conn->ops)
        conn->ops->sent(conn->user, conn,
                        min_u64(tcp_offset(conn, conn->snd_una), tcp_offset(conn, conn->snd_end)),
                        now_ns);
}

/* RFC 9293 3.10.7.4, fifth: only a newer segment may change the window. */
static void update_window(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    uint32_t window = seg->window;

    if (seg->seq64 < conn->snd_wl1 || (seg->seq64 == conn->snd_wl1 && seg->ack64 < conn->snd_wl2))
        return;
    if (conn->snd_wnd == 0 && window > 0) {
        /* The window opens. Probes that went beyond it were not taken: they go again at once. */
        if (conn->sender && conn->sender->recovery == RECOVERY_NONE)
            all_lost(conn, now_ns);
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
        return; /* old; what it tells was told by newer ones as well */
    if (conn->sender &&
        (conn->snd_una < conn->snd_nxt || (conn->sender->tlp_out && seg->sack_count)))
        acknowledge(conn, seg, now_ns);
    if (conn->state == TCP_CLOSED)
        return;
    if (conn->snd_wnd == 0) {
        conn->progress_ns = now_ns;
        conn->flags &= ~CONN_PROBED;
    }
    update_window(conn, seg, now_ns);
    if (conn->snd_asked < conn->snd_end || tcp_something_lost(conn) || tcp_fin_due(conn))
        tcp_conn_ready(conn);
    else if (conn->sender && conn->snd_una == conn->snd_asked)
        tcp_sender_idle(conn);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * sender.c - the sending half of a connection is taken, kept warm for a while, and given back; and
 * the clock by which it paces.
 */
#include "priv.h"

/* RFC 5681 4.1 would have the window forgotten after an RTO, and cc_algorithm.on_idle does; what
 * the algorithm knows of the path is worth keeping a little longer, since a player asks for a
 * segment every few seconds. */
#define SENDER_KEEP_NS (10 * NS_PER_S)

/* A burst that comes late by a tick of the timer wheel has not lost its right to go. */
#define PACE_SLACK_NS (2 * TIMER_TICK_NS)
/* Round trips shorter than a few ticks cannot be paced by them, and need not be: the queues of such
 * a path hold more than its window. */
#define PACE_RTT_MIN_US 4000
/* A window goes in no fewer bursts than this, as far as frames are large enough: a burst on its way
 * through a queue stands in it for a tenth of the round trip at most. */
#define PACE_BURSTS_A_ROUND 10
#define PACE_BURST_MAX      65536 /* a frame's worth: nothing is gained beyond */

static void sender_init(struct tcp_conn *conn, struct tcp_sender *s, uint64_t now_ns)
{
    memset(s, 0, offsetof(struct tcp_sender, cc));
    s->conn = conn;
    list_init(&s->idle);
    list_init(&s->sent);
    list_init(&s->in_air);
    list_init(&s->lost);
    list_init(&s->asked);
    s->high_acked = s->recover = s->ecn_recover = s->limited_until = conn->snd_una - 1;
    s->reo_wnd_mult = 1;
    s->min_rtt_us[0] = s->min_rtt_us[1] = UINT32_MAX;
    s->delivered_ns = s->first_sent_ns = now_ns;
    tcp_mtu_start(conn, s, now_ns);
    cc_open(&s->cc, conn->tcp->cc, conn->mss, now_ns);
    s->cc.no_sack = !(conn->flags & CONN_SACK);
    if (conn->flags & CONN_SYN_LOST) { /* RFC 5681 3.1, RFC 6928 2: a slow beginning, once */
        s->cc.cwnd = conn->mss;
        conn->flags &= ~CONN_SYN_LOST;
    }
    if (conn->ssthresh)
        s->cc.ssthresh = conn->ssthresh;
}

/* True: the connection has its sending half. False: there is none to be had; the connection waits
 * in tcp->senderless for one to come back. */
bool tcp_sender_want(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    struct tcp_sender *s = conn->sender;

    if (s) {
        if (list_linked(&s->idle))
            list_remove(&s->idle);
        return true;
    }
    if (tcp->senders.in_use == tcp->senders.capacity && !list_empty(&tcp->idle_senders))
        tcp_sender_release(list_entry(tcp->idle_senders.next, struct tcp_sender, idle)->conn);
    s = mem_pool_get(&tcp->senders);
    if (!s) {
        stat_inc(&tcp->stats.sender_waits);
        return false;
    }
    sender_init(conn, s, now_ns);
    conn->sender = s;
    return true;
}

/* What is out is forgotten. Whoever waits longest for a sender is next. */
void tcp_sender_release(struct tcp_conn *conn)
{
    struct tcp *tcp = conn->tcp;
    struct tcp_sender *s = conn->sender;

    if (!s)
        return;
    tcp_sent_clear(conn);
    list_remove(&s->idle);
    conn->ssthresh = s->cc.ssthresh < CC_WINDOW_MAX ? s->cc.ssthresh : 0;
    conn->sender = NULL;
    conn->flags &= ~CONN_PACED;
    mem_pool_put(&tcp->senders, s);
    if (!list_empty(&tcp->senderless))
        tcp_conn_ready(list_entry(tcp->senderless.next, struct tcp_conn, ready));
}

/* Nothing is out, nothing is to be sent, and no answer is awaited. What the sender knows is kept
 * unless somebody needs the place now. */
void tcp_sender_idle(struct tcp_conn *conn)
{
    struct tcp *tcp = conn->tcp;
    struct tcp_sender *s = conn->sender;

    if (!list_empty(&tcp->senderless))
        tcp_sender_release(conn);
    else if (!list_linked(&s->idle))
        list_push_tail(&tcp->idle_senders, &s->idle);
}

void tcp_senders_expire(struct tcp *tcp, uint64_t now_ns)
{
    while (!list_empty(&tcp->idle_senders)) {
        struct tcp_sender *s = list_entry(tcp->idle_senders.next, struct tcp_sender, idle);

        if (s->conn->progress_ns + SENDER_KEEP_NS > now_ns)
            return;
        tcp_sender_release(s->conn);
    }
}

/* --- pacing ----------------------------------------------------------------------------------- */

static bool window_is_paced(const struct tcp_conn *conn)
{
    return conn->tcp->config.pacing && conn->srtt_us >= PACE_RTT_MIN_US;
}

/* Bytes per second, or 0: as the windows admit. */
uint64_t tcp_pace_bps(const struct tcp_conn *conn)
{
    const struct tcp_sender *s = conn->sender;
    uint64_t rate = conn->rate_bps;

    /* The initial window goes at once: small objects are to arrive in one round trip. */
    if (window_is_paced(conn) && s->delivered) {
        uint64_t cc = cc_pacing_bps(&s->cc, conn->srtt_us, s->recovery == RECOVERY_FAST);

        if (cc && (!rate || cc < rate))
            rate = cc;
    }
    return rate;
}

/* What `rate` carries in a part of the round trip. */
static uint64_t round_part(uint64_t rate, uint32_t srtt_us)
{
    uint64_t part_ns = (uint64_t)srtt_us * NS_PER_US / PACE_BURSTS_A_ROUND;

    if (part_ns == 0 || rate > UINT64_MAX / part_ns)
        return 0;
    return min_u64(rate * part_ns / NS_PER_S, PACE_BURST_MAX);
}

/* How much may go now; 0: not before pace_at_ns. */
uint64_t tcp_pace_room(const struct tcp_conn *conn, uint64_t now_ns)
{
    const struct tcp_sender *s = conn->sender;
    uint64_t rate, burst;

    if (!window_is_paced(conn) && !conn->rate_bps)
        return UINT64_MAX;
    rate = tcp_pace_bps(conn);
    if (!rate)
        return UINT64_MAX;
    if (now_ns < s->pace_at_ns)
        return 0;
    /* A burst is what two ticks carry; as much of a round trip as makes a frame, since a sender's
     * time goes into frames more than into bytes; and a portion that is worth a read of the disk as
     * far as that is a small part of the window. */
    burst = rate / (NS_PER_S / PACE_SLACK_NS);
    if (!s->cc.algorithm->has_pace) /* else what bursts lose would be held against the path */
        burst = max_u64(burst, round_part(rate, conn->srtt_us));
    burst = max_u64(burst,
                    min_u64((uint64_t)conn->tcp->config.watermark_mss * conn->mss, s->cc.cwnd / 4));
    return max_u64(burst, 2u * conn->mss);
}

void tcp_pace_spend(struct tcp_conn *conn, uint64_t bytes, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    uint64_t rate;

    if (!window_is_paced(conn) && !conn->rate_bps)
        return;
    rate = tcp_pace_bps(conn);
    if (!rate)
        return;
    s->pace_at_ns =
        max_u64(s->pace_at_ns, now_ns - min_u64(PACE_SLACK_NS, now_ns)) + bytes * NS_PER_S / rate;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * rack.c - RACK-TLP (RFC 8985): what is lost is told by time. A range is lost when one that was
 * sent after it has arrived and a little more than a round trip has passed since it was sent; and
 * when nothing arrives any more, a probe asks for an answer before the retransmission timer fires.
 */
#include "priv.h"

#define RACK_DUP_THRESHOLD    3      /* RFC 8985 6.2 step 4: without reordering, segments */
#define RACK_REO_WND_MULT_MAX 16     /* so the window never exceeds four round trips */
#define RACK_REO_PERSIST      16     /* recoveries after which a widened window is forgotten */
#define TLP_MAX_ACK_DELAY_US  200000 /* WCDelAckT of 7.2: a single segment may be ACKed late */
#define MIN_RTT_SPAN_NS       (150 * NS_PER_S)

/* --- the least round trip --------------------------------------------------------------------- */

/* Over the last 150 to 300 s: paths change. */
void tcp_min_rtt_sample(struct tcp_sender *s, uint32_t rtt_us, uint64_t now_ns)
{
    if (now_ns >= s->min_rtt_until_ns) {
        s->min_rtt_us[1] = s->min_rtt_us[0];
        s->min_rtt_us[0] = UINT32_MAX;
        s->min_rtt_until_ns = now_ns + MIN_RTT_SPAN_NS;
    }
    s->min_rtt_us[0] = min_u32(s->min_rtt_us[0], max_u32(rtt_us, 1));
}

/* 0: not known. */
uint32_t tcp_min_rtt_us(const struct tcp_sender *s)
{
    uint32_t least = min_u32(s->min_rtt_us[0], s->min_rtt_us[1]);

    return least == UINT32_MAX ? 0 : least;
}

/* --- RACK: 6.2 -------------------------------------------------------------------------------- */

static bool sent_after(uint64_t ns_a, uint64_t end_a, uint64_t ns_b, uint64_t end_b)
{
    return ns_a > ns_b || (ns_a == ns_b && end_a > end_b);
}

/* Steps 2 and 3: the range delivered that was sent last, and whether anything came out of order. */
void tcp_rack_delivered(struct tcp_conn *conn, const struct tcp_sent *range, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t rtt_ns = a->now_ns - range->sent_ns;

    if (range->flags & SENT_AGAIN) {
        /* Whether the first copy or the second is acknowledged, the timestamp tells, or that no
         * second copy can have been so quick. */
        if (a->has_tsecr && (int32_t)(a->tsecr - tcp_now_ts(conn, range->sent_ns)) < 0)
            return;
        if (rtt_ns < (uint64_t)tcp_min_rtt_us(s) * NS_PER_US)
            return;
    } else if (range->end < s->high_acked) {
        s->reordering_seen = true;
    }
    s->rack_rtt_ns = rtt_ns;
    if (sent_after(range->sent_ns, range->end, s->rack_sent_ns, s->rack_end)) {
        s->rack_sent_ns = range->sent_ns;
        s->rack_end = range->end;
    }
}

/* Step 4, first half: a D-SACK says that the window was too narrow. Once a round trip. */
void tcp_rack_dsack(struct tcp_conn *conn)
{
    struct tcp_sender *s = conn->sender;

    if (conn->snd_una < s->dsack_round)
        return;
    s->dsack_round = conn->snd_nxt;
    s->reo_wnd_mult = (uint8_t)min_u32(s->reo_wnd_mult + 1u, RACK_REO_WND_MULT_MAX);
    s->reo_wnd_persist = RACK_REO_PERSIST;
}

static uint64_t reo_wnd_ns(const struct tcp_conn *conn)
{
    const struct tcp_sender *s = conn->sender;
    uint64_t wnd_us;

    if (!s->reordering_seen &&
        (s->recovery != RECOVERY_NONE || s->sacked_bytes >= RACK_DUP_THRESHOLD * conn->mss))
        return 0;
    wnd_us = (uint64_t)s->reo_wnd_mult * tcp_min_rtt_us(s) / 4;
    return min_u64(wnd_us, conn->srtt_us) * NS_PER_US;
}

/* Step 5. Returns in how many nanoseconds the next range counts as lost; 0: none will. */
uint64_t tcp_rack_detect(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t allowed_ns = s->rack_rtt_ns + reo_wnd_ns(conn);
    uint64_t wait_ns = 0;
    struct list *at = s->in_air.next;

    if (s->rack_sent_ns == 0)
        return 0;
    while (at != &s->in_air) {
        struct tcp_sent *range = list_entry(at, struct tcp_sent, link);
        uint64_t due_ns = range->sent_ns + allowed_ns;

        if (!sent_after(s->rack_sent_ns, s->rack_end, range->sent_ns, range->end))
            break;
        at = at->next;
        if (due_ns <= a->now_ns)
            tcp_sent_lost(conn, range, a);
        else
            wait_ns = max_u64(wait_ns, due_ns - a->now_ns);
    }
    return wait_ns;
}

/* 6.3: the retransmission timer has fired. The first range is lost, and all that should have
 * been heard of by now; what went later is still believed to be under way. */
void tcp_rack_timeout(struct tcp_conn *conn, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t allowed_ns = s->rack_rtt_ns + reo_wnd_ns(conn);
    struct tcp_sent *range = tcp_sent_first(s);

    while (range) {
        struct tcp_sent *next = tcp_sent_next(s, range);

        if (range->state == SENT_IN_AIR &&
            (range->seq == conn->snd_una || range->sent_ns + allowed_ns <= a->now_ns ||
             !(conn->flags & CONN_SACK)))
            tcp_sent_lost(conn, range, a);
        range = next;
    }
}

/* --- the timer: 7.2, 8 ------------------------------------------------------------------------ */

static uint64_t rto_us(const struct tcp_conn *conn)
{
    return min_u64((uint64_t)conn->rto_us << min_u32(conn->backoff, 16), TCP_RTO_MAX_US);
}

static bool probe_allowed(const struct tcp_conn *conn)
{
    const struct tcp_sender *s = conn->sender;

    return (conn->flags & CONN_SACK) && conn->state >= TCP_ESTABLISHED && conn->srtt_us &&
           s->recovery == RECOVERY_NONE && s->sacked_bytes == 0 && s->lost_bytes == 0 &&
           s->asked_bytes == 0 && !s->tlp_out && conn->snd_wnd > 0;
}

/*
 * Something is out: when is nothing having been heard a reason to act? New data puts the probe off,
 * though not beyond the timeout that has run since `since_ns` (RFC 8985 7.2): who sends a little
 * now and then, paced, would never probe. Where the timeout comes first anyway the probe takes its
 * place: it costs no window.
 */
void tcp_loss_timer_arm(struct tcp_conn *conn, uint64_t since_ns, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    uint64_t rto_ns = rto_us(conn) * NS_PER_US;

    s->loss_timer = LOSS_TIMER_RTO;
    conn->rto_at_ns = now_ns + rto_ns;
    if (probe_allowed(conn)) {
        uint64_t pto_us = 2ull * conn->srtt_us;

        if (conn->snd_nxt - conn->snd_una <= conn->mss)
            pto_us += TLP_MAX_ACK_DELAY_US;
        pto_us = max_u64(pto_us, 2 * TCP_RTT_GRANULARITY_US);
        s->loss_timer = LOSS_TIMER_PROBE;
        conn->rto_at_ns = min_u64(now_ns + pto_us * NS_PER_US, since_ns + rto_ns);
    }
    tcp_timer_arm(conn);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * timers.c - what happens when nothing happens.
 *
 * A connection has three deadlines and one timer. Moving a deadline to a later time, which every
 * ACK does, touches no list: the timer fires at the old time, finds nothing due, and is armed for
 * the new one. TIME-WAIT has a list of its own, since all its members wait equally long.
 */
#include "priv.h"

void tcp_timer_arm(struct tcp_conn *conn)
{
    uint64_t due = UINT64_MAX;

    if (conn->state == TCP_TIME_WAIT || conn->state == TCP_CLOSED)
        return;
    if (conn->rto_at_ns)
        due = conn->rto_at_ns;
    if (conn->ack_at_ns)
        due = min_u64(due, conn->ack_at_ns);
    if (conn->flags & CONN_PACED)
        due = min_u64(due, conn->sender->pace_at_ns);
    if (conn->idle_at_ns)
        due = min_u64(due, conn->idle_at_ns);
    if (due != UINT64_MAX && (!timer_armed(&conn->timer) || due < conn->timer.due_ns))
        timer_arm(&conn->tcp->wheel, &conn->timer, due);
}

/* RFC 6298 5.1, 5.3 and 5.5: RTO from now, doubled for every time it fired in a row. */
void tcp_rto_arm(struct tcp_conn *conn, uint64_t now_ns)
{
    uint64_t us = min_u64((uint64_t)conn->rto_us << min_u32(conn->backoff, 16), TCP_RTO_MAX_US);

    conn->rto_at_ns = now_ns + us * NS_PER_US;
    if (conn->sender)
        conn->sender->loss_timer = LOSS_TIMER_RTO;
    tcp_timer_arm(conn);
}

static void give_up(struct tcp_conn *conn, uint64_t now_ns)
{
    stat_inc(&conn->tcp->stats.timeouts);
    tcp_conn_end(conn, TCP_END_TIMEOUT, now_ns);
}

/* RFC 9293 3.8.3: R2 for a SYN is 3 minutes for those who open; strangers get a minute of us. */
static void syn_timeout(struct tcp_conn *conn, uint64_t now_ns)
{
    uint8_t retries = conn->flags & CONN_PASSIVE ? TCP_SYNACK_RETRIES : TCP_SYN_RETRIES;

    if (conn->backoff >= retries) {
        give_up(conn, now_ns);
        return;
    }
    conn->backoff++;
    conn->flags |= CONN_SYN_OWED;
    stat_inc(&conn->tcp->stats.syn_retrans);
    tcp_rto_arm(conn, now_ns);
    tcp_conn_ready(conn);
}

/*
 * The peer's window is shut, or too small to be worth a segment. RFC 9293 3.8.6.1: one byte beyond
 * it, again and again, for as long as the peer answers.
 */
static void window_timeout(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_ack a = {.now_ns = now_ns};

    if (conn->snd_wnd == 0)
        stat_inc(&conn->tcp->stats.zero_window_probes);
    conn->backoff += conn->backoff < UINT8_MAX;
    if (conn->snd_una < conn->snd_nxt)
        tcp_first_segment_lost(conn, &a);
    else
        conn->flags |= conn->snd_wnd == 0 ? CONN_PROBE : CONN_OVERRIDE;
    tcp_rto_arm(conn, now_ns);
    tcp_conn_ready(conn);
}

static void retransmission_timeout(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    struct tcp_sender *s = conn->sender;
    const struct tcp_sent *first = tcp_sent_first(s);
    bool tried_new = s->frto == FRTO_NEW_SENT && conn->snd_nxt > s->recover;

    if (!tried_new && first && (first->state == SENT_LOST || first->state == SENT_ASKED)) {
        /* What was lost has not been sent again yet, whoever found out that it was: the disk or
         * the pool is behind, not the network. */
        stat_inc(&tcp->stats.rto_waiting);
        s->frto = FRTO_OFF;
        tcp_rto_arm(conn, now_ns);
        tcp_conn_ready(conn);
        return;
    }
    stat_inc(&tcp->stats.rto_fired);
    tcp_recovery_timeout(conn, now_ns);
    tcp_mtu_timeout(conn, now_ns);
    conn->backoff += conn->backoff < UINT8_MAX;
    tcp_rto_arm(conn, now_ns);
    tcp_conn_ready(conn);
}

/* The timers of RFC 8985, which come before the retransmission timer. True: it was one of them. */
static bool early_timeout(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;

    if (!s || conn->snd_una == conn->snd_nxt || conn->snd_wnd == 0)
        return false;
    if (s->loss_timer == LOSS_TIMER_REORDER) {
        stat_inc(&conn->tcp->stats.reorder_timeouts);
        tcp_recovery_reorder(conn, now_ns);
        return true;
    }
    if (s->loss_timer == LOSS_TIMER_PROBE) {
        s->loss_timer = LOSS_TIMER_RTO;
        if (tcp_tlp_due(conn, now_ns))
            tcp_conn_ready(conn);
        tcp_rto_arm(conn, now_ns);
        return true;
    }
    return false;
}

/* RFC 9293 MUST-37: a peer that answers its probes may keep the window shut for ever. So the wait
 * begins with the first probe that nothing has answered. */
static bool gave_no_answer(struct tcp_conn *conn, uint64_t now_ns)
{
    if (conn->snd_wnd == 0 && !(conn->flags & CONN_PROBED)) {
        conn->flags |= CONN_PROBED;
        conn->progress_ns = now_ns;
    }
    return now_ns - conn->progress_ns >= conn->tcp->config.user_timeout_ns;
}

static void rto_due(struct tcp_conn *conn, uint64_t now_ns)
{
    conn->rto_at_ns = 0;
    if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED) {
        syn_timeout(conn, now_ns);
    } else if (gave_no_answer(conn, now_ns)) {
        give_up(conn, now_ns);
    } else if (early_timeout(conn, now_ns)) {
        return;
    } else if (conn->snd_una == conn->snd_nxt || conn->snd_wnd == 0) {
        if (conn->snd_una < conn->snd_nxt || conn->snd_asked < conn->snd_end)
            window_timeout(conn, now_ns);
        else if (tcp_fin_due(conn))
            tcp_conn_ready(conn);
    } else {
        retransmission_timeout(conn, now_ns);
    }
}

static void keepalive_due(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    uint64_t quiet_until = conn->heard_ns + tcp->config.keepalive_ns;

    if (conn->probes == 0 && now_ns < quiet_until) {
        conn->idle_at_ns = quiet_until;
        return;
    }
    if (conn->probes >= TCP_KEEPALIVE_PROBES) {
        give_up(conn, now_ns);
        return;
    }
    conn->probes++;
    conn->idle_at_ns = now_ns + TCP_KEEPALIVE_INTERVAL_NS;
    if (conn->snd_una < conn->snd_nxt)
        return; /* retransmissions find out by themselves */
    stat_inc(&tcp->stats.keepalive_probes);
    conn->flags |= CONN_KEEPALIVE;
    tcp_conn_ready(conn);
}

static void idle_due(struct tcp_conn *conn, uint64_t now_ns)
{
    conn->idle_at_ns = 0;
    if (conn->state == TCP_FIN_WAIT_2)
        give_up(conn, now_ns);
    else if (conn->tcp->config.keepalive_ns)
        keepalive_due(conn, now_ns);
}

static void conn_timer(struct tcp_conn *conn, uint64_t now_ns)
{
    if (conn->ack_at_ns && conn->ack_at_ns <= now_ns) {
        conn->ack_at_ns = 0;
        conn->flags |= CONN_ACK_NOW;
        stat_inc(&conn->tcp->stats.delayed_acks);
        tcp_conn_ready(conn);
    }
    if ((conn->flags & CONN_PACED) && conn->sender->pace_at_ns <= now_ns) {
        conn->flags &= ~CONN_PACED;
        tcp_conn_ready(conn);
    }
    if (conn->rto_at_ns && conn->rto_at_ns <= now_ns)
        rto_due(conn, now_ns);
    if (conn->state != TCP_CLOSED && conn->idle_at_ns && conn->idle_at_ns <= now_ns)
        idle_due(conn, now_ns);
    tcp_timer_arm(conn);
}

void tcp_timers(struct tcp *tcp, uint64_t now_ns)
{
    struct timer *timer;

    tcp->now_ns = now_ns;
    while ((timer = timer_pop(&tcp->wheel, now_ns)))
        conn_timer(container_of(timer, struct tcp_conn, timer), now_ns);
    if (!list_empty(&tcp->idle_senders))
        tcp_senders_expire(tcp, now_ns);
    while (!list_empty(&tcp->time_wait)) {
        struct tcp_conn *conn = list_entry(tcp->time_wait.next, struct tcp_conn, timer.node);

        if (conn->idle_at_ns > now_ns)
            break;
        tcp_conn_end(conn, TCP_END_DONE, now_ns);
    }
}

uint64_t tcp_next_ns(const struct tcp *tcp)
{
    uint64_t next = timer_next_ns(&tcp->wheel);

    if (tcp->pull_owed || tcp->stray_count)
        return tcp->now_ns;
    if (!list_empty(&tcp->time_wait))
        next =
            min_u64(next, list_entry(tcp->time_wait.next, struct tcp_conn, timer.node)->idle_at_ns);
    return next;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * scoreboard.c - which bytes are out, when they went, and what became of them (RFC 6675 3 and 4).
 *
 * Every change of a range's state goes through here, so that the sums of struct tcp_sender are
 * right by construction. Ranges come from one pool for all connections. What a peer's SACKs cut
 * into pieces may take at most three quarters of it, and of one connection at most what is left for
 * the others, and TCP_RANGES_MAX: beyond, a SACK that would cut is not believed. New bytes for
 * which there is no range are joined to the last one, as if that had been sent together with them.
 */
#include "priv.h"

#define SENT_SINGULAR (SENT_FIN | SENT_MTU_PROBE) /* what is never part of another range */

static uint64_t range_bytes(const struct tcp_sent *range)
{
    return range->end - range->seq;
}

/* On no list yet. */
static struct tcp_sent *range_alloc(struct tcp_conn *conn)
{
    struct tcp_sent *range = mem_pool_get(&conn->tcp->ranges);

    if (!range)
        return NULL;
    conn->sender->range_count++;
    return range;
}

static void range_free(struct tcp_conn *conn, struct tcp_sent *range)
{
    struct tcp_sender *s = conn->sender;

    if (s->hint == range)
        s->hint = NULL;
    list_unlink(&range->node);
    list_unlink(&range->link);
    s->range_count--;
    mem_pool_put(&conn->tcp->ranges, range);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* What a rate sample needs to know of the moment of sending. A connection of which nothing was out
 * begins to be measured now. */
static void mark_rate(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;

    if (list_empty(&s->in_air))
        s->first_sent_ns = s->delivered_ns = now_ns;
    range->rate = (struct tcp_rate_mark){
        .delivered = s->delivered,
        .delivered_ns = s->delivered_ns,
        .first_sent_ns = s->first_sent_ns,
        .lost_total = s->lost_total,
        .flight = (uint32_t)min_u64(tcp_in_flight(conn), UINT32_MAX),
    };
    if (s->app_limited_until)
        range->flags |= SENT_APP_LIMITED;
    else
        range->flags &= (uint8_t)~SENT_APP_LIMITED;
}

static void stamp(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;

    if (s->cc.algorithm->wants_rate)
        mark_rate(conn, range, now_ns);
    range->sent_ns = now_ns;
    range->state = SENT_IN_AIR;
    list_push_tail(&s->in_air, &range->link);
}

/* [seq, end) goes out for the first time. False: there is no range for it, and none to join. */
bool tcp_sent_new(struct tcp_conn *conn, uint64_t seq, uint64_t end, uint8_t flags, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *last =
        list_empty(&s->sent) ? NULL : list_entry(s->sent.prev, struct tcp_sent, node);
    struct tcp_sent *range;

    /* Frames that leave in one turn were sent at one time. */
    if (last && last->sent_ns == now_ns && last->state == SENT_IN_AIR && last->flags == flags &&
        last->end == seq && !flags) {
        last->end = end;
        return true;
    }
    range = range_alloc(conn);
    if (!range) {
        if (!last || last->state != SENT_IN_AIR || ((last->flags | flags) & SENT_SINGULAR))
            return false;
        last->end = end;
        return true;
    }
    range->seq = seq;
    range->end = end;
    range->flags = flags;
    list_push_tail(&s->sent, &range->node);
    stamp(conn, range, now_ns);
    return true;
}

static void uncount(struct tcp_sender *s, const struct tcp_sent *range)
{
    switch (range->state) {
    case SENT_SACKED:
        s->sacked_bytes -= range_bytes(range);
        break;
    case SENT_LOST:
        s->lost_bytes -= range_bytes(range);
        break;
    case SENT_ASKED:
        s->asked_bytes -= range_bytes(range);
        break;
    default:
        break;
    }
}

static void leave_state(struct tcp_sender *s, struct tcp_sent *range)
{
    uncount(s, range);
    list_remove(&range->link);
}

/* A lost range goes out once more. */
void tcp_sent_again(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;

    leave_state(s, range);
    range->flags |= SENT_AGAIN;
    s->undo_bytes += range_bytes(range);
    if (s->undo && !s->undo_ts_known) {
        s->undo_ts_known = true;
        s->undo_ts = tcp_now_ts(conn, now_ns);
    }
    if (s->tlp_out && range->end == s->tlp_end) {
        s->tlp_sent = true;
        s->tlp_ts = tcp_now_ts(conn, now_ns);
    }
    stamp(conn, range, now_ns);
}

/* [seq, end) becomes [seq, at) and [at, end); `range` is the first of them. */
bool tcp_sent_split(struct tcp_conn *conn, struct tcp_sent *range, uint64_t at)
{
    struct tcp_sent *rest = range_alloc(conn);

    assert(range->seq < at && at < range->end);
    if (!rest)
        return false;
    *rest = *range;
    list_init(&rest->node);
    list_init(&rest->link);
    rest->seq = range->end = at;
    list_insert_before(range->node.next, &rest->node);
    if (list_linked(&range->link))
        list_insert_before(range->link.next, &rest->link);
    return true;
}

/* --- arriving --------------------------------------------------------------------------------- */

/* `bytes` of the range have arrived, of which nothing was known yet. */
static void delivered(struct tcp_conn *conn, const struct tcp_sent *range, uint64_t bytes,
                      struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;

    a->delivered += (uint32_t)bytes;
    s->delivered += bytes;
    if (!(range->flags & SENT_AGAIN)) {
        if (a->oldest_sent_ns == 0 || range->sent_ns < a->oldest_sent_ns)
            a->oldest_sent_ns = range->sent_ns;
        a->newest_sent_ns = max_u64(a->newest_sent_ns, range->sent_ns);
    }
    if (range->sent_ns >= a->newest_any_ns) {
        a->newest_any_ns = range->sent_ns;
        if (s->cc.algorithm->wants_rate) {
            a->newest = range->rate;
            a->app_limited = range->flags & SENT_APP_LIMITED;
        }
    }
    if (conn->flags & CONN_SACK)
        tcp_rack_delivered(conn, range, a);
}

/* Everything below `ack` has arrived in order. */
void tcp_sent_acked(struct tcp_conn *conn, uint64_t ack, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *range;

    while ((range = tcp_sent_first(s)) && range->seq < ack) {
        uint64_t bytes = min_u64(ack, range->end) - range->seq;

        a->again_acked |= range->flags & SENT_AGAIN;
        if (range->state != SENT_SACKED)
            delivered(conn, range, bytes, a);
        if (ack < range->end) {
            uint8_t state = range->state;

            s->sacked_bytes -= state == SENT_SACKED ? bytes : 0;
            s->lost_bytes -= state == SENT_LOST ? bytes : 0;
            s->asked_bytes -= state == SENT_ASKED ? bytes : 0;
            range->seq = ack;
            break;
        }
        uncount(s, range);
        range_free(conn, range);
    }
    s->high_acked = max_u64(s->high_acked, ack);
}

/* Two neighbours of which nothing but their length matters any more become one. */
static bool join(struct tcp_conn *conn, struct tcp_sent *first, struct tcp_sent *second)
{
    if (first->state != second->state || first->end != second->seq ||
        ((first->flags | second->flags) & SENT_SINGULAR))
        return false;
    first->end = second->end;
    first->flags |= second->flags & SENT_AGAIN;
    range_free(conn, second);
    return true;
}

static struct tcp_sent *range_prev(const struct tcp_sender *s, const struct tcp_sent *range)
{
    return range->node.prev == &s->sent ? NULL
                                        : list_entry(range->node.prev, struct tcp_sent, node);
}

/* The range that contains `seq`, which is out. SACKs name neighbours of what the last one named, or
 * of what has just been mended, or the newest: the search begins at the nearest of these. */
static struct tcp_sent *range_find(struct tcp_sender *s, uint64_t seq)
{
    struct tcp_sent *first = tcp_sent_first(s), *range = first;
    struct tcp_sent *last = list_entry(s->sent.prev, struct tcp_sent, node);
    uint64_t away = seq - first->seq;

    if (s->hint) {
        uint64_t from_hint = seq > s->hint->seq ? seq - s->hint->seq : s->hint->seq - seq;

        if (from_hint < away) {
            range = s->hint;
            away = from_hint;
        }
    }
    if (last->seq < seq + away)
        range = last;

    while (range && range->seq > seq)
        range = range_prev(s, range);
    while (range && range->end <= seq)
        range = tcp_sent_next(s, range);
    return range;
}

/* As long as more are left than the connection has: however many peers cut all they can, each gets
 * an equal share, and so does one that comes later and means well. */
static bool may_cut(const struct tcp_conn *conn)
{
    const struct mem_pool *pool = &conn->tcp->ranges;
    uint32_t most = pool->capacity - pool->capacity / 4;

    return conn->sender->range_count < TCP_RANGES_MAX &&
           pool->in_use + conn->sender->range_count < most;
}

/* One range, of which nothing was known, is in the peer's hands. Returns the range it is part of
 * now. */
static struct tcp_sent *sack_range(struct tcp_conn *conn, struct tcp_sent *range, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *prev = range_prev(s, range), *next;

    delivered(conn, range, range_bytes(range), a);
    leave_state(s, range);
    range->state = SENT_SACKED;
    s->sacked_bytes += range_bytes(range);
    s->high_acked = max_u64(s->high_acked, range->end);
    a->sack_news = true;
    if (prev && join(conn, prev, range))
        range = prev;
    next = tcp_sent_next(s, range);
    if (next)
        join(conn, range, next);
    return range;
}

/* The peer says that it has [start, end), which lies in [snd_una, snd_nxt). */
void tcp_sent_sacked(struct tcp_conn *conn, uint64_t start, uint64_t end, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_sent *range = range_find(s, start);

    while (range && range->seq < end) {
        if (range->state != SENT_SACKED) {
            bool cut_front = range->seq < start, cut_back = end < range->end;

            if ((cut_front || cut_back) && !may_cut(conn)) {
                stat_inc(&conn->tcp->stats.sack_ignored);
                return;
            }
            if (cut_front) {
                if (!tcp_sent_split(conn, range, start))
                    return;
                range = tcp_sent_next(s, range);
            }
            if (cut_back && !tcp_sent_split(conn, range, end))
                return;
            range = sack_range(conn, range, a);
        }
        s->hint = range;
        range = tcp_sent_next(s, range);
    }
}

/* --- lost ------------------------------------------------------------------------------------- */

/* In the order of sequence numbers: the peer waits for the first. It belongs at the end nearly
 * always. */
static void lost_insert(struct tcp_sender *s, struct tcp_sent *range)
{
    struct list *at = &s->lost;

    while (at->prev != &s->lost && list_entry(at->prev, struct tcp_sent, link)->seq > range->seq)
        at = at->prev;
    list_insert_before(at, &range->link);
}

/* To congestion, for all that is known. */
static void count_lost(struct tcp_conn *conn, const struct tcp_sent *range, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t bytes = range_bytes(range);

    s->lost_total += bytes;
    s->lost_anew |= s->recovery == RECOVERY_FAST && range->seq >= s->recover;
    a->lost += (uint32_t)bytes;
    if (s->cc.algorithm->on_lost)
        s->cc.algorithm->on_lost(
            &s->cc, &(struct cc_lost){.now_ns = a->now_ns,
                                      .snd_nxt = conn->snd_nxt,
                                      .bytes = (uint32_t)bytes,
                                      .tx_in_flight = range->rate.flight,
                                      .lost_since_sent = s->lost_total - range->rate.lost_total,
                                      .app_limited = range->flags & SENT_APP_LIMITED});
}

void tcp_sent_lost(struct tcp_conn *conn, struct tcp_sent *range, struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    uint64_t bytes = range_bytes(range);
    struct tcp_sent *prev = range_prev(s, range);

    assert(range->state == SENT_IN_AIR);
    list_remove(&range->link);
    if (!(range->flags & SENT_MTU_PROBE) || !tcp_mtu_probe_lost(conn, range, a))
        count_lost(conn, range, a);
    range->state = SENT_LOST;
    s->lost_bytes += bytes;
    if (prev && join(conn, prev, range)) /* one read of the disk for both */
        return;
    lost_insert(s, range);
}

/* The application is asked for it. */
void tcp_sent_asked(struct tcp_conn *conn, struct tcp_sent *range)
{
    struct tcp_sender *s = conn->sender;

    assert(range->state == SENT_LOST);
    leave_state(s, range);
    range->state = SENT_ASKED;
    s->asked_bytes += range_bytes(range);
    list_push_tail(&s->asked, &range->link);
}

/* It promised nothing, or less. */
void tcp_sent_unasked(struct tcp_conn *conn, struct tcp_sent *range)
{
    struct tcp_sender *s = conn->sender;

    assert(range->state == SENT_ASKED);
    leave_state(s, range);
    range->state = SENT_LOST;
    s->lost_bytes += range_bytes(range);
    lost_insert(s, range);
}

/* The loss was a mistake: what was not sent again meanwhile is still under way. */
void tcp_sent_all_in_air(struct tcp_conn *conn)
{
    struct tcp_sender *s = conn->sender;

    while (!list_empty(&s->lost)) { /* from the last: the oldest ends up first in the air */
        struct tcp_sent *range = list_entry(s->lost.prev, struct tcp_sent, link);

        leave_state(s, range);
        range->state = SENT_IN_AIR;
        list_push_head(&s->in_air, &range->link);
    }
}

/* The peer has thrown away what it had said to have (RFC 2018 8): nothing of it counts. */
void tcp_sent_reneged(struct tcp_conn *conn)
{
    struct tcp_sender *s = conn->sender;

    for (struct tcp_sent *range = tcp_sent_first(s); range; range = tcp_sent_next(s, range)) {
        if (range->state != SENT_SACKED)
            continue;
        leave_state(s, range);
        range->state = SENT_IN_AIR;
        list_push_head(&s->in_air, &range->link);
    }
}

void tcp_sent_clear(struct tcp_conn *conn)
{
    struct tcp_sent *range;

    while ((range = tcp_sent_first(conn->sender)))
        range_free(conn, range);
}

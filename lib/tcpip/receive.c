// SPDX-License-Identifier: BSD-2-Clause
/*
 * receive.c - the peer's stream: what is next is handed up, what is ahead of a gap is kept, what
 * came before is reported.
 *
 * Steps seven and eight of RFC 9293 3.10.7.4. What arrives here lies within the window and does not
 * begin before rcv_nxt; input.c has seen to that.
 */
#include "priv.h"

enum verdict {
    CONTINUE, /* the FIN, if the segment has one, is next */
    DROP,     /* done with this segment */
};

void tcp_owe_ack(struct tcp_conn *conn)
{
    conn->flags |= CONN_ACK_NOW;
    tcp_conn_ready(conn);
}

/*
 * RFC 5681 4.2: a segment ahead of a gap is answered by a duplicate ACK. Its sender counts them,
 * the third tells it of the loss and each after that of a segment that has left the network: so
 * there are as many as there were segments, even if they came in one turn. With SACK the blocks of
 * one ACK say all that; the rest would be noise on the way back.
 */
static void owe_dup_ack(struct tcp_conn *conn)
{
    if ((conn->flags & CONN_ACK_ALONE) && !(conn->flags & CONN_SACK) &&
        conn->dup_acks_owed < TCP_DUP_ACKS_OWED_MAX)
        conn->dup_acks_owed++;
    conn->flags |= CONN_ACK_ALONE;
    tcp_owe_ack(conn);
}

/* RFC 2883 4: told with the next ACK. Of two that adjoin one is made; else the later one counts. */
void tcp_arrived_twice(struct tcp_conn *conn, uint64_t start, uint64_t end)
{
    struct tcp_sack *twice = &conn->twice;

    stat_inc(&conn->tcp->stats.duplicates);
    if (!(conn->flags & CONN_SACK))
        return;
    if (twice->start != twice->end && twice->end == (uint32_t)start)
        twice->end = (uint32_t)end;
    else
        *twice = (struct tcp_sack){(uint32_t)start, (uint32_t)end};
    conn->flags |= CONN_ACK_ALONE;
    tcp_owe_ack(conn);
}

/* Two full segments, or anything that is not the next byte, are acknowledged at once
 * (RFC 5681 4.2); the rest may wait for a segment of ours to ride on. */
static void ack_for_data(struct tcp_conn *conn, uint32_t len, uint64_t now_ns)
{
    if (conn->rcv_nxt + len - conn->last_ack_sent >= 2ull * conn->mss) {
        tcp_owe_ack(conn);
    } else if (!conn->ack_at_ns) {
        conn->ack_at_ns = now_ns + TCP_DELACK_NS;
        tcp_timer_arm(conn);
    }
}

/* Only until its FIN can anything of the peer's follow. */
static bool receives(const struct tcp_conn *conn)
{
    return conn->state == TCP_ESTABLISHED || conn->state == TCP_FIN_WAIT_1 ||
           conn->state == TCP_FIN_WAIT_2;
}

/* How many buffers a connection may have for what is ahead of a gap: twice what its window holds,
 * since short segments and holes leave buffers half empty. */
uint32_t tcp_reasm_share(const struct tcp_conn *conn)
{
    return 2 * conn->tcp->config.rcv_wnd_bytes / REASM_BUF_BYTES +
           conn->tcp->config.reasm_ranges_max;
}

/* What is ahead of a gap is kept, and its sender told at once (RFC 5681 4.2). */
static enum verdict keep(struct tcp_conn *conn, const struct tcp_seg *seg)
{
    struct tcp *tcp = conn->tcp;
    struct reasm_limits limits = {tcp_reasm_share(conn), tcp->config.reasm_ranges_max};
    struct reasm_span twice;

    stat_inc(&tcp->stats.out_of_order);
    owe_dup_ack(conn);
    if (!receives(conn))
        return DROP;
    switch (reasm_add(&tcp->reasm, &conn->reasm, &twice, seg->seq64, seg->data, seg->len,
                      seg->flags & TCP_FIN, &limits)) {
    case REASM_KEPT:
        break;
    case REASM_POOL:
        stat_inc(&tcp->stats.drop_reasm_pool);
        break;
    case REASM_SHARE:
        stat_inc(&tcp->stats.drop_reasm_conn);
        break;
    case REASM_RANGES:
        stat_inc(&tcp->stats.drop_reasm_holes);
        break;
    }
    if (twice.start < twice.end)
        tcp_arrived_twice(conn, twice.start, twice.end);
    return DROP;
}

/* The next bytes of the stream. Returns false if the application ended the connection. */
static bool deliver(struct tcp_conn *conn, const uint8_t *data, uint64_t len, uint64_t now_ns)
{
    uint32_t bytes = (uint32_t)len;

    conn->rcv_nxt += bytes;
    conn->dup_acks_owed = 0; /* they would be duplicates of another ACK now */
    conn->rcv_wnd -= min_u32(conn->rcv_wnd, bytes);
    stat_add(&conn->tcp->stats.bytes_in, bytes);
    conn->ops->recv(conn->user, conn, data, bytes, now_ns);
    return conn->state != TCP_CLOSED;
}

/* What was kept and is next now. *fin: so is the peer's FIN. */
static bool deliver_kept(struct tcp_conn *conn, bool *fin, uint64_t now_ns)
{
    struct mem_pool *pool = &conn->tcp->reasm;
    struct reasm_buf *buf;

    while (!*fin && (buf = reasm_take(pool, &conn->reasm, conn->rcv_nxt))) {
        uint64_t skip = conn->rcv_nxt - buf->seq;
        bool alive = true;

        *fin = buf->fin;
        if (skip < buf->len)
            alive = deliver(conn, buf->data + skip, buf->len - skip, now_ns);
        mem_pool_put(pool, buf);
        if (!alive)
            return false;
    }
    return true;
}

/* The segment closes a gap, or part of one, and may reach into what was kept behind it. */
static enum verdict fill_gap(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    const struct mem_pool *pool = &conn->tcp->reasm;
    uint64_t end = seg->seq64 + seg->len;
    struct reasm_span twice = reasm_overlap(pool, &conn->reasm, seg->seq64, end);
    bool fin = false;

    tcp_owe_ack(conn); /* RFC 5681 4.2 */
    if (twice.start < twice.end)
        tcp_arrived_twice(conn, twice.start, twice.end);
    while (conn->rcv_nxt < end && !fin) {
        uint64_t hole = reasm_hole(pool, &conn->reasm, conn->rcv_nxt);
        uint64_t new = min_u64(end - conn->rcv_nxt, hole);

        if (new > 0 && !deliver(conn, seg->data + (conn->rcv_nxt - seg->seq64), new, now_ns))
            return DROP;
        if (!deliver_kept(conn, &fin, now_ns))
            return DROP;
    }
    if (conn->rcv_nxt > end) /* a FIN with the segment contradicts what was kept behind it */
        seg->flags &= (uint8_t)~TCP_FIN;
    if (fin)
        seg->flags |= TCP_FIN;
    return CONTINUE;
}

/* Seventh: the text. */
static enum verdict take_data(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    if (seg->len == 0 && !(seg->flags & TCP_FIN))
        return DROP;
    if (seg->seq64 != conn->rcv_nxt)
        return keep(conn, seg);
    if (seg->len == 0)
        return CONTINUE;
    if (!receives(conn))
        return DROP;
    if (conn->state == TCP_FIN_WAIT_2)
        conn->idle_at_ns = now_ns + conn->tcp->config.fin_wait_2_ns;
    if (unlikely(conn->reasm.newest))
        return fill_gap(conn, seg, now_ns);
    ack_for_data(conn, seg->len, now_ns);
    return deliver(conn, seg->data, seg->len, now_ns) ? CONTINUE : DROP;
}

/* Eighth: the FIN, which take_data has found to be next. */
static void take_fin(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns)
{
    if (!(seg->flags & TCP_FIN))
        return;
    switch (conn->state) {
    case TCP_ESTABLISHED:
    case TCP_FIN_WAIT_1:
    case TCP_FIN_WAIT_2:
        break;
    default:
        return; /* it was taken before */
    }
    reasm_drop(&conn->tcp->reasm, &conn->reasm);
    conn->rcv_nxt++;
    conn->dup_acks_owed = 0;
    conn->rcv_adv = max_u64(conn->rcv_adv, conn->rcv_nxt);
    tcp_owe_ack(conn);
    if (conn->state == TCP_ESTABLISHED)
        tcp_conn_set_state(conn, TCP_CLOSE_WAIT);
    else if (conn->state == TCP_FIN_WAIT_1)
        tcp_conn_set_state(conn, TCP_CLOSING);
    conn->ops->recv_end(conn->user, conn, now_ns);
    if (conn->state == TCP_FIN_WAIT_2)
        tcp_conn_time_wait(conn, now_ns);
}

/* Sequence numbers and window were checked; a callback may end the connection. */
void tcp_take_text(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    if (take_data(conn, seg, now_ns) == CONTINUE)
        take_fin(conn, seg, now_ns);
}

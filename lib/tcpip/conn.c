// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn.c - the life of a connection block: found, made, moved from state to state, ended.
 */
#include "priv.h"

#include "base/siphash.h"

#include <errno.h>

const char *tcp_state_name(enum tcp_state state)
{
    static const char *const names[TCP_STATES] = {
        [TCP_CLOSED] = "closed",           [TCP_LISTEN] = "listen",
        [TCP_SYN_SENT] = "syn-sent",       [TCP_SYN_RECEIVED] = "syn-received",
        [TCP_ESTABLISHED] = "established", [TCP_FIN_WAIT_1] = "fin-wait-1",
        [TCP_FIN_WAIT_2] = "fin-wait-2",   [TCP_CLOSE_WAIT] = "close-wait",
        [TCP_CLOSING] = "closing",         [TCP_LAST_ACK] = "last-ack",
        [TCP_TIME_WAIT] = "time-wait",
    };

    return names[state];
}

/* RFC 9293 figure 5: where each state may lead. Every state may also lead to CLOSED (reset, abort,
 * timeout). */
static const uint16_t state_may_become[TCP_STATES] = {
    [TCP_CLOSED] = 1 << TCP_SYN_SENT | 1 << TCP_SYN_RECEIVED,
    [TCP_SYN_SENT] = 1 << TCP_ESTABLISHED | 1 << TCP_SYN_RECEIVED,
    [TCP_SYN_RECEIVED] = 1 << TCP_ESTABLISHED,
    [TCP_ESTABLISHED] = 1 << TCP_FIN_WAIT_1 | 1 << TCP_CLOSE_WAIT,
    [TCP_FIN_WAIT_1] = 1 << TCP_FIN_WAIT_2 | 1 << TCP_CLOSING | 1 << TCP_TIME_WAIT,
    [TCP_FIN_WAIT_2] = 1 << TCP_TIME_WAIT,
    [TCP_CLOSE_WAIT] = 1 << TCP_LAST_ACK,
    [TCP_CLOSING] = 1 << TCP_TIME_WAIT,
    [TCP_LAST_ACK] = 0,
    [TCP_TIME_WAIT] = 0,
};

void tcp_conn_set_state(struct tcp_conn *conn, enum tcp_state state)
{
    struct tcp *tcp = conn->tcp;
    uint64_t *counts = tcp->state_counts;

    assert(state == TCP_CLOSED || (state_may_become[conn->state] & (1 << state)));
    if (conn->state != TCP_CLOSED)
        stat_add(&counts[conn->state], (uint64_t)-1);
    if (conn->flags & CONN_PASSIVE) {
        int step = (state == TCP_SYN_RECEIVED) - (conn->state == TCP_SYN_RECEIVED);

        tcp->half_open_count += (uint32_t)step;
        if (step)
            ((struct tcp_listener *)conn->user)->half_open += (uint32_t)step;
    }
    if (state != TCP_CLOSED)
        stat_inc(&counts[state]);
    conn->state = (uint8_t)state;
}

static struct tcp_tuple tuple_of(const struct tcp_conn *conn)
{
    return (struct tcp_tuple){conn->flow.local, conn->flow.remote, conn->local_port,
                              conn->remote_port};
}

/* Of IPv4 addresses only what differs is hashed: this is done for every segment. */
static uint32_t *bucket(struct tcp *tcp, const struct tcp_tuple *key)
{
    uint64_t hash;

    if (ip_addr_is_v4(&key->remote)) {
        uint32_t words[3] = {get_be32(key->local.b + 12), get_be32(key->remote.b + 12),
                             (uint32_t)key->local_port << 16 | key->remote_port};

        hash = siphash13(tcp->config.secret, words, sizeof(words));
    } else {
        hash = siphash13(tcp->config.secret, key, sizeof(*key));
    }
    return &tcp->buckets[hash & tcp->bucket_mask];
}

struct tcp_conn *tcp_conn_find(struct tcp *tcp, const struct ip_addr *local, uint16_t local_port,
                               const struct ip_addr *remote, uint16_t remote_port)
{
    struct tcp_tuple key = {*local, *remote, local_port, remote_port};

    for (uint32_t i = *bucket(tcp, &key); i != 0;) {
        struct tcp_conn *conn = mem_pool_at(&tcp->conns, i - 1);

        if (conn->remote_port == remote_port && conn->local_port == local_port &&
            ip_addr_equal(&conn->flow.remote, remote) && ip_addr_equal(&conn->flow.local, local))
            return conn;
        i = conn->hash_next;
    }
    return NULL;
}

static void table_insert(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_tuple *key)
{
    uint32_t *head = bucket(tcp, key);

    conn->hash_next = *head;
    *head = mem_pool_index(&tcp->conns, conn) + 1;
}

static void table_remove(struct tcp *tcp, struct tcp_conn *conn)
{
    struct tcp_tuple key = tuple_of(conn);
    uint32_t self = mem_pool_index(&tcp->conns, conn) + 1;
    uint32_t *link = bucket(tcp, &key);

    while (*link != self)
        link = &((struct tcp_conn *)mem_pool_at(&tcp->conns, *link - 1))->hash_next;
    *link = conn->hash_next;
}

/* Before anything was sent: the stream's sequence numbers begin at `iss`. */
void tcp_conn_start_at(struct tcp_conn *conn, uint32_t iss)
{
    conn->iss = iss;
    conn->snd_una = conn->snd_nxt = conn->snd_asked = tcp_iss64(conn);
    conn->snd_end = conn->snd_una + 1;
}

static uint64_t isn_hash(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
    return siphash24(tcp->config.secret + 2, tuple, sizeof(*tuple));
}

/* Every connection has a timestamp clock of its own, so that it tells nobody how long the machine
 * has been up (RFC 7323 7.1). */
uint32_t tcp_ts_offset(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
    return (uint32_t)(isn_hash(tcp, tuple) >> 32);
}

/* RFC 6528: ISN = M + F(4-tuple, secret), M a clock of 4 us. The other half of F is the timestamp
 * offset. */
static void choose_isn(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_tuple *tuple,
                       uint64_t now_ns)
{
    uint64_t f = isn_hash(tcp, tuple);

    conn->ts_offset = (uint32_t)(f >> 32);
    tcp_conn_start_at(conn, (uint32_t)f + (uint32_t)(now_ns / 4000));
}

/* The connection that has waited longest ends before its time. */
static struct tcp_conn *time_wait_recycle(struct tcp *tcp)
{
    struct tcp_conn *oldest = list_entry(tcp->time_wait.next, struct tcp_conn, timer.node);

    stat_inc(&tcp->stats.time_wait_recycled);
    tcp_conn_end(oldest, TCP_END_DONE, tcp->now_ns);
    return oldest;
}

/* When every block is in use, those that ended this turn make room (new connections are made only
 * by tcp_input and tcp_connect, which hold none of them), then the oldest that only waits for old
 * segments. */
static struct tcp_conn *conn_alloc(struct tcp *tcp)
{
    if (tcp->conns.in_use == tcp->conns.capacity)
        tcp_bury(tcp);
    if (tcp->conns.in_use == tcp->conns.capacity && !list_empty(&tcp->time_wait)) {
        struct tcp_conn *oldest = time_wait_recycle(tcp);

        list_remove(&oldest->ready);
        mem_pool_put(&tcp->conns, oldest);
    }
    return mem_pool_get(&tcp->conns);
}

/* Would conn_alloc find a block? */
bool tcp_conns_left(const struct tcp *tcp)
{
    return tcp->conns.in_use < tcp->conns.capacity || !list_empty(&tcp->dead) ||
           !list_empty(&tcp->time_wait);
}

/* RFC 9293 3.7.1, MUST-15: of a peer that names none. */
uint16_t tcp_mss_default(const struct ip_addr *addr)
{
    return ip_addr_is_v4(addr) ? TCP_MSS_DEFAULT : TCP_MSS_DEFAULT_IP6;
}

/* What both opens have in common. The state stays CLOSED; the caller sets it. */
int tcp_conn_new(struct tcp *tcp, struct tcp_conn **out, const struct ip_addr *local,
                 uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port,
                 uint64_t now_ns)
{
    struct tcp_tuple key = {*local, *remote, local_port, remote_port};
    struct tcp_conn *conn = conn_alloc(tcp);
    int rc;

    if (!conn)
        return -ENOBUFS;
    memset(conn, 0, sizeof(*conn));
    conn->tcp = tcp;
    conn->flow.local = *local;
    conn->flow.remote = *remote;
    conn->local_port = local_port;
    conn->remote_port = remote_port;
    list_init(&conn->ready);
    timer_init(&conn->timer);
    rc = ip_flow_open(tcp->ip, &conn->flow, now_ns);
    if (rc < 0) {
        mem_pool_put(&tcp->conns, conn);
        return rc;
    }
    choose_isn(tcp, conn, &key, now_ns);
    conn->rcv_wnd = tcp->config.rcv_wnd_bytes;
    conn->rto_us = TCP_RTO_INITIAL_US;
    ip_flow_ports(tcp->ip, &conn->flow, local_port, remote_port);
    conn->mss = conn->mss_max = tcp_mss_default(remote);
    conn->heard_ns = conn->progress_ns = now_ns;
    table_insert(tcp, conn, &key);
    *out = conn;
    return 0;
}

/* The smallest shift with which the whole window can be told (RFC 7323 2.2). */
uint8_t tcp_our_window_shift(const struct tcp_conn *conn)
{
    uint8_t shift = 0;

    while ((conn->tcp->config.rcv_wnd_bytes >> shift) > 0xffff && shift < TCP_WSCALE_MAX)
        shift++;
    return shift;
}

/* The largest segment that we can take, options not deducted (RFC 9293 3.7.1). */
uint32_t tcp_our_mss(const struct tcp_conn *conn)
{
    const struct tcp *tcp = conn->tcp;
    uint32_t mss = ip_payload_max(tcp->ip, &conn->flow) - (uint32_t)sizeof(struct tcp_header);

    return tcp->config.mss_max ? min_u32(mss, tcp->config.mss_max) : mss;
}

/* Takes in the options of the peer's SYN. */
void tcp_conn_options(struct tcp_conn *conn, const struct tcp_seg *syn, uint64_t now_ns)
{
    uint32_t mss = syn->mss ? syn->mss : tcp_mss_default(&conn->flow.remote);

    mss = max_u32(min_u32(mss, tcp_our_mss(conn)), TCP_MSS_MIN);
    if (syn->has_ts) {
        conn->flags |= CONN_TS;
        conn->ts_recent = syn->tsval;
        mss -= TCP_OPT_TIMESTAMPS_SPACE;
    }
    conn->mss = conn->mss_max = (uint16_t)mss;
    /* The scale counts only if both sides offer it; an active open has offered it already. */
    if (syn->has_wscale) {
        conn->flags |= CONN_WSCALE;
        conn->snd_wscale = syn->wscale;
        conn->rcv_wscale = tcp_our_window_shift(conn);
    }
    if (syn->sack_permitted)
        conn->flags |= CONN_SACK;
}

void tcp_conn_ready(struct tcp_conn *conn)
{
    conn->tcp->pull_owed = true;
    if (conn->flags & CONN_SENDERLESS) { /* there is more to do than to send data */
        conn->flags &= ~CONN_SENDERLESS;
        list_remove(&conn->ready);
    }
    if (!list_linked(&conn->ready))
        list_push_tail(&conn->tcp->ready, &conn->ready);
}

/* It counts no more against its address's limit (see tcp_peer_full). */
static void peer_leave(struct tcp_conn *conn)
{
    if (conn->flags & CONN_COUNTED)
        peers_leave(&conn->tcp->peers, &conn->flow.remote);
    conn->flags &= ~CONN_COUNTED;
}

/* The application is told once; afterwards the stack alone knows the connection. */
static void detach(struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    const struct tcp_ops *ops = conn->ops;

    conn->ops = NULL;
    if (ops)
        ops->closed(conn->user, conn, why, now_ns);
}

/*
 * The block leaves the table at once, so that the next segment does not find it, but its memory
 * stays as it is until the end of the turn: callers up the stack still hold the pointer and look at
 * its state.
 */
void tcp_conn_end(struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;

    if (conn->state == TCP_TIME_WAIT)
        list_remove(&conn->timer.node);
    else
        timer_disarm(&tcp->wheel, &conn->timer);
    list_remove(&conn->ready);
    conn->flags &= ~CONN_SENDERLESS;
    list_push_tail(&tcp->dead, &conn->ready);
    tcp_sender_release(conn);
    table_remove(tcp, conn);
    reasm_drop(&tcp->reasm, &conn->reasm);
    ip_flow_close(tcp->ip, &conn->flow);
    tcp_conn_set_state(conn, TCP_CLOSED);
    peer_leave(conn);
    detach(conn, why, now_ns);
}

void tcp_conn_time_wait(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;

    tcp_conn_set_state(conn, TCP_TIME_WAIT);
    timer_disarm(&tcp->wheel, &conn->timer);
    tcp_sender_release(conn);
    conn->rto_at_ns = conn->ack_at_ns = 0;
    conn->idle_at_ns = now_ns + tcp->config.time_wait_ns;
    list_push_tail(&tcp->time_wait, &conn->timer.node);
    if (tcp->config.time_wait_max && tcp->state_counts[TCP_TIME_WAIT] > tcp->config.time_wait_max)
        time_wait_recycle(tcp);
    peer_leave(conn);
    detach(conn, TCP_END_DONE, now_ns);
}

struct tcp_conn *tcp_conn_next(struct tcp *tcp, struct tcp_conn *prev)
{
    uint32_t at = 0, next = 0;

    if (prev) {
        struct tcp_tuple key = tuple_of(prev);

        next = prev->hash_next;
        at = (uint32_t)(bucket(tcp, &key) - tcp->buckets) + 1;
    }
    while (!next && at <= tcp->bucket_mask)
        next = tcp->buckets[at++];
    return next ? mem_pool_at(&tcp->conns, next - 1) : NULL;
}

uint32_t tcp_conn_places(const struct tcp *tcp)
{
    return tcp->bucket_mask + 1;
}

struct tcp_conn *tcp_conn_at(struct tcp *tcp, uint32_t place)
{
    uint32_t first = tcp->buckets[place & tcp->bucket_mask];

    return first ? mem_pool_at(&tcp->conns, first - 1) : NULL;
}

struct tcp_conn *tcp_conn_beside(const struct tcp_conn *conn)
{
    return conn->hash_next ? mem_pool_at(&conn->tcp->conns, conn->hash_next - 1) : NULL;
}

void tcp_bury(struct tcp *tcp)
{
    struct list *node;

    while ((node = list_pop_head(&tcp->dead)))
        mem_pool_put(&tcp->conns, list_entry(node, struct tcp_conn, ready));
}

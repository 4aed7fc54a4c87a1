// SPDX-License-Identifier: BSD-2-Clause
/*
 * listen.c - segments that belong to no connection: steps 3.10.7.1 and 3.10.7.2 of RFC 9293.
 *
 * A SYN for a listener becomes a half-open connection, which costs memory for a minute although
 * nobody may ever answer. When half_open_max of them are there, as in a flood of SYNs from made-up
 * addresses, nothing more is remembered: the SYN-ACK bears a cookie (cookie.h), and the connection
 * is made when its ACK comes back. Those that are half open by then keep their places and options.
 */
#include "priv.h"

#define COOKIES_HOLD_NS (2 * COOKIE_PERIOD_NS) /* no cookie lives longer */

struct tcp_listener *tcp_listener_find(struct tcp *tcp, const struct ip_addr *local, uint16_t port)
{
    for (uint32_t i = 0; i < tcp->listener_count; i++) {
        struct tcp_listener *l = &tcp->listeners[i];

        if (l->port == port && !l->stopped && (l->any || ip_addr_equal(&l->addr, local)))
            return l;
    }
    return NULL;
}

/* RFC 3168 6.1.1: a SYN that asks for ECN has both flags. */
static bool asks_for_ecn(const struct tcp *tcp, const struct tcp_seg *syn)
{
    return tcp->config.ecn != TCP_ECN_NEVER &&
           (syn->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
}

/*
 * The limit is met with silence at first, as Linux meets that of its backlog: a client behind an
 * address that many share tries again, and a flood in somebody's name brings him nothing. What
 * completes a handshake in spite of it (several can be under way) is reset, since its sender takes
 * the connection for open. Only completed ones count, or who sends SYNs in another's name could use
 * up that other's share.
 */
bool tcp_peer_full(struct tcp *tcp, const struct ip_addr *remote)
{
    uint32_t max = tcp->config.peer_conns_max;

    if (max == 0 || peers_count(&tcp->peers, remote) < max)
        return false;
    stat_inc(&tcp->stats.drop_peer_full);
    return true;
}

/* A connection in SYN-RECEIVED, of this SYN; NULL: there is no room. */
static struct tcp_conn *half_open(struct tcp *tcp, struct tcp_listener *listener,
                                  const struct ip_dgram *dgram, const struct tcp_seg *syn,
                                  uint64_t now_ns)
{
    struct tcp_conn *conn;

    if (tcp_conn_new(tcp, &conn, &dgram->dst, syn->dst_port, &dgram->src, syn->src_port, now_ns) <
        0) {
        stat_inc(&tcp->stats.drop_conns_full);
        return NULL;
    }
    /* Until the handshake is done, `user` is the listener. */
    conn->ops = NULL;
    conn->user = listener;
    conn->flags |= CONN_PASSIVE;
    conn->irs = syn->seq;
    conn->rcv_nxt = conn->rcv_adv = conn->last_ack_sent = (1ull << 32) + syn->seq + 1;
    conn->snd_wnd = conn->max_snd_wnd = syn->window;
    conn->snd_wl1 = conn->rcv_nxt - 1;
    if (asks_for_ecn(tcp, syn))
        conn->flags |= CONN_ECN;
    tcp_conn_set_state(conn, TCP_SYN_RECEIVED);
    tcp_conn_options(conn, syn, now_ns);
    return conn;
}

/* --- SYN cookies ------------------------------------------------------------------------------ */

static struct tcp_tuple tuple_of(const struct ip_dgram *dgram, const struct tcp_seg *seg)
{
    return (struct tcp_tuple){dgram->dst, dgram->src, seg->dst_port, seg->src_port};
}

static const uint64_t *cookie_key(const struct tcp *tcp)
{
    return tcp->config.secret + 2;
}

/* The options that the peer will give back with its timestamp are offered, and no others. */
static void stray_options(struct tcp *tcp, struct tcp_stray *stray, const struct tcp_tuple *tuple,
                          const struct tcp_seg *syn, uint64_t now_ns)
{
    struct cookie_options options = {.has_wscale = syn->has_wscale,
                                     .wscale = syn->wscale,
                                     .sack = syn->sack_permitted,
                                     .ecn = asks_for_ecn(tcp, syn)};
    uint32_t clock = (uint32_t)(now_ns / NS_PER_MS) + tcp_ts_offset(tcp, tuple);

    stray->conn_flags = CONN_TS | (options.has_wscale ? CONN_WSCALE : 0) |
                        (options.sack ? CONN_SACK : 0) | (options.ecn ? CONN_ECN : 0);
    stray->tsval = cookie_timestamp(clock, &options);
    stray->tsecr = syn->tsval;
}

static void owe_cookie(struct tcp *tcp, const struct ip_dgram *dgram, const struct tcp_seg *syn,
                       uint64_t now_ns)
{
    struct tcp_tuple tuple = tuple_of(dgram, syn);
    struct tcp_stray *stray = tcp_owe_stray(tcp, dgram, syn);

    if (!stray)
        return;
    stray->flags = TCP_SYN | TCP_ACK;
    stray->ack = syn->seq + 1;
    stray->seq = cookie_make(cookie_key(tcp), &tuple, syn->seq,
                             syn->mss ? syn->mss : tcp_mss_default(&dgram->src), now_ns);
    if (syn->has_ts)
        stray_options(tcp, stray, &tuple, syn, now_ns);
    tcp->cookies_until_ns = now_ns + COOKIES_HOLD_NS;
    stat_inc(&tcp->stats.syncookies_sent);
}

/*
 * An ACK for a listener. If it answers a cookie, the connection is made as it would have been of
 * the SYN, and the ACK is taken as any in SYN-RECEIVED; *conn stays NULL if there is no room. After
 * a flood the check costs a hash for each stray ACK; before the first one, nothing.
 */
static bool cookie_comes_back(struct tcp *tcp, struct tcp_listener *listener,
                              const struct ip_dgram *dgram, const struct tcp_seg *ack,
                              struct tcp_conn **conn, uint64_t now_ns)
{
    struct tcp_tuple tuple = tuple_of(dgram, ack);
    struct tcp_seg syn = {.src_port = ack->src_port,
                          .dst_port = ack->dst_port,
                          .seq = ack->seq - 1,
                          .window = ack->window,
                          .has_ts = ack->has_ts,
                          .tsval = ack->tsval};

    if ((ack->flags & TCP_SYN) || now_ns >= tcp->cookies_until_ns)
        return false;
    syn.mss = cookie_check(cookie_key(tcp), &tuple, syn.seq, ack->ack - 1, now_ns);
    if (!syn.mss) {
        stat_inc(&tcp->stats.syncookies_failed);
        return false;
    }
    stat_inc(&tcp->stats.syncookies_recv);
    if (ack->has_ts) {
        struct cookie_options options = cookie_options_of(ack->tsecr);

        syn.has_wscale = options.has_wscale;
        syn.wscale = options.wscale;
        syn.sack_permitted = options.sack;
        syn.flags = options.ecn ? TCP_ECE | TCP_CWR : 0;
    }
    *conn = half_open(tcp, listener, dgram, &syn, now_ns);
    if (*conn) {
        tcp_conn_start_at(*conn, ack->ack - 1);
        (*conn)->snd_nxt = (*conn)->snd_asked = (*conn)->snd_end;
        (*conn)->rcv_adv += min_u32((*conn)->rcv_wnd, UINT16_MAX); /* as the SYN-ACK said */
    }
    return true;
}

/* --- the segment ------------------------------------------------------------------------------ */

static void listen_syn(struct tcp *tcp, struct tcp_listener *listener, const struct ip_dgram *dgram,
                       const struct tcp_seg *syn, uint64_t now_ns)
{
    struct tcp_conn *conn;

    if (tcp_peer_full(tcp, &dgram->src))
        return;
    /* A cookie is an invitation: only if there is room for who follows it. */
    if (tcp->half_open_count >= tcp->config.half_open_max && tcp_conns_left(tcp)) {
        owe_cookie(tcp, dgram, syn, now_ns);
        return;
    }
    conn = half_open(tcp, listener, dgram, syn, now_ns);
    if (!conn)
        return;
    conn->flags |= CONN_SYN_OWED;
    tcp_conn_ready(conn);
}

struct tcp_conn *tcp_listen_input(struct tcp *tcp, const struct ip_dgram *dgram,
                                  const struct tcp_seg *seg, uint64_t now_ns)
{
    struct tcp_listener *listener = tcp_listener_find(tcp, &dgram->dst, seg->dst_port);
    struct tcp_conn *conn = NULL;

    if (seg->flags & TCP_RST) {
        if (!listener)
            stat_inc(&tcp->stats.drop_no_conn);
    } else if (!listener) {
        stat_inc(&tcp->stats.drop_no_conn);
        tcp_owe_reset(tcp, dgram, seg);
    } else if (seg->flags & TCP_ACK) {
        if (!cookie_comes_back(tcp, listener, dgram, seg, &conn, now_ns)) {
            stat_inc(&tcp->stats.drop_bad_flags);
            tcp_owe_reset(tcp, dgram, seg);
        }
    } else if ((seg->flags & (TCP_SYN | TCP_FIN)) != TCP_SYN) {
        stat_inc(&tcp->stats.drop_bad_flags);
    } else {
        listen_syn(tcp, listener, dgram, seg, now_ns);
    }
    return conn;
}

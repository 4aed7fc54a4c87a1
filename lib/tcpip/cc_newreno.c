// SPDX-License-Identifier: BSD-2-Clause
/*
 * cc_newreno.c - RFC 5681 with byte counting, started with RFC 6928's window of ten segments.
 */
#include "priv.h"

#define NEWRENO_IW_SEGMENTS 10 /* RFC 6928 2 */

/* RFC 6928 2: min(10*MSS, max(2*MSS, 14600)) */
static uint32_t initial_window(const struct tcp_conn *conn)
{
    return min_u32(NEWRENO_IW_SEGMENTS * conn->mss, max_u32(2u * conn->mss, 14600));
}

static void newreno_init(struct tcp_conn *conn)
{
    conn->cwnd = initial_window(conn);
    conn->ssthresh = TCP_CWND_MAX;
    conn->cc_state[0] = 0;
}

/*
 * RFC 5681 3.1. In slow start the window grows by all that was acknowledged, not by at most one
 * SMSS per ACK: receivers that coalesce segments (GRO) send one ACK for 64 KB, and counting it as
 * one would make them slower than those that do not (RFC 3465 with L unbounded). It ends at
 * ssthresh, however much one ACK covers.
 */
static void newreno_on_ack(struct tcp_conn *conn, uint32_t acked, uint64_t now_ns)
{
    uint32_t *counted = &conn->cc_state[0];

    if (conn->cwnd < conn->ssthresh) {
        uint32_t grow = min_u32(acked, conn->ssthresh - conn->cwnd);

        conn->cwnd = min_u32(conn->cwnd + grow, TCP_CWND_MAX);
        acked -= grow;
    }
    *counted += acked;
    if (*counted >= conn->cwnd) {
        *counted -= conn->cwnd;
        conn->cwnd = min_u32(conn->cwnd + conn->mss, TCP_CWND_MAX);
    }
}

/* RFC 5681 equation (4) */
static void newreno_on_loss(struct tcp_conn *conn, uint32_t flight, uint64_t now_ns)
{
    conn->ssthresh = max_u32(flight / 2, 2u * conn->mss);
    conn->cc_state[0] = 0;
}

/* RFC 5681 3.1: the loss window is one segment; ssthresh is set by the first timeout only. */
static void newreno_on_rto(struct tcp_conn *conn, uint32_t flight, bool first, uint64_t now_ns)
{
    if (first)
        newreno_on_loss(conn, flight, now_ns);
    conn->cwnd = conn->mss;
}

static void newreno_on_idle(struct tcp_conn *conn)
{
    conn->cwnd = min_u32(conn->cwnd, initial_window(conn));
}

const struct tcp_cc tcp_cc_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .on_ack = newreno_on_ack,
    .on_loss = newreno_on_loss,
    .on_rto = newreno_on_rto,
    .on_idle = newreno_on_idle,
};

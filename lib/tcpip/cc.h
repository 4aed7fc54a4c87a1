// SPDX-License-Identifier: BSD-2-Clause
/*
 * cc.h - congestion control as a table of events.
 *
 * Loss detection and recovery (ack.c, timers.c) are the same for all; an algorithm says how large
 * the window is. It reads and writes cwnd and ssthresh of the connection, in bytes, and keeps what
 * else it needs in cc_state.
 */
#ifndef TCPIP_CC_H
#define TCPIP_CC_H

#include <stdint.h>

struct tcp_conn;

struct tcp_cc {
    const char *name;
    void (*init)(struct tcp_conn *conn);
    /* `acked` new bytes were acknowledged outside recovery while the window was in use. */
    void (*on_ack)(struct tcp_conn *conn, uint32_t acked, uint64_t now_ns);
    /* Loss was detected with `flight` bytes outstanding: sets ssthresh. */
    void (*on_loss)(struct tcp_conn *conn, uint32_t flight, uint64_t now_ns);
    /* The retransmission timer fired: sets ssthresh (once per episode) and cwnd. */
    void (*on_rto)(struct tcp_conn *conn, uint32_t flight, bool first, uint64_t now_ns);
    /* The connection was idle for longer than an RTO (RFC 5681 4.1). */
    void (*on_idle)(struct tcp_conn *conn);
};

extern const struct tcp_cc tcp_cc_newreno;

#endif

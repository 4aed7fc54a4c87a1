// SPDX-License-Identifier: BSD-2-Clause
/*
 * tcpip.h - TCP (RFC 9293) whose send buffer is a function.
 *
 * The stack keeps no payload. The application says how long its stream is (tcp_write: "so many more
 * bytes exist"); when the window admits bytes, or when bytes were lost, the stack asks for them:
 *
 *     fill(conn, offset, len)      the application promises the first n <= len of them, and later,
 *     tcp_send(conn, offset, ...)  or from within fill, hands them over; they go out at once.
 *
 * The first transmission and every retransmission are this same path. Promises are kept in the
 * order in which they were made, each by one tcp_send of exactly the promised range; an answer that
 * nobody waits for any more (an ACK overtook it) is dropped and its chunks are released. fill
 * returns 0 when there is no buffer to be had: the connection keeps its place in the line and is
 * asked again next turn.
 *
 * A turn of the worker: tcp_input for each datagram, tcp_timers, tcp_pull. Input sends nothing, it
 * records what is owed; tcp_pull pays. Callbacks run inside these three (and fill's inside tcp_pull
 * only); a callback may call tcp_write, tcp_close, tcp_abort and tcp_recved. After `closed` the
 * connection's pointer means nothing any more.
 *
 * Received bytes are handed up in order, in place, and must be taken: the application keeps what it
 * cannot use yet, at most rcv_wnd bytes, and says with tcp_recved when it has room again. That is
 * the receive window.
 *
 * Names of state are those of RFC 9293 (SND.UNA is snd_una); API names follow table 3.1 of the
 * dissertation this stack comes from (I. Marinos, 2018). One thread uses a stack.
 */
#ifndef TCPIP_TCPIP_H
#define TCPIP_TCPIP_H

#include "base/stats.h"
#include "ip/ip.h"

struct tcp;
struct tcp_conn;

/* RFC 9293 3.3.2, in the order of its figure 5. */
enum tcp_state {
    TCP_CLOSED,       /* no connection; its memory waits to be used again */
    TCP_LISTEN,       /* a listener; no tcp_conn is ever in it */
    TCP_SYN_SENT,     /* active open: our SYN is out */
    TCP_SYN_RECEIVED, /* both SYNs are out, ours is not acknowledged */
    TCP_ESTABLISHED,  /* data flows both ways */
    TCP_FIN_WAIT_1,   /* we have closed; our FIN is out */
    TCP_FIN_WAIT_2,   /* our FIN is acknowledged; the peer may still send */
    TCP_CLOSE_WAIT,   /* the peer has closed; we may still send */
    TCP_CLOSING,      /* both have closed at once; our FIN is not acknowledged */
    TCP_LAST_ACK,     /* the peer closed first, then we; our FIN is not acknowledged */
    TCP_TIME_WAIT,    /* done; waits until no old segment can be about */
    TCP_STATES,
};
const char *tcp_state_name(enum tcp_state state);

/* Why a connection ended. */
enum tcp_end {
    TCP_END_DONE,    /* both sides closed, everything was acknowledged */
    TCP_END_RESET,   /* the peer reset it */
    TCP_END_REFUSED, /* the peer reset our SYN */
    TCP_END_TIMEOUT, /* the peer stopped answering */
    TCP_END_ABORTED, /* tcp_abort, or tcp_close before the peer has answered our SYN */
};

struct tcp_ops {
    /* Passive open completed. Returns the `user` of the following calls; NULL: reset it. */
    void *(*accept)(void *app, struct tcp_conn *conn, uint64_t now_ns);
    /* Active open completed. */
    void (*connected)(void *user, struct tcp_conn *conn, uint64_t now_ns);
    void (*recv)(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                 uint64_t now_ns);
    /* The peer will send no more (FIN). */
    void (*recv_end)(void *user, struct tcp_conn *conn, uint64_t now_ns);
    uint32_t (*fill)(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                     uint64_t now_ns);
    /* NULL, or where the stream has joints, the ends of records, which are made whole: how many of
     * `len` new bytes from `offset` on lie before the last one, or 0. So many are asked for, and
     * none before ACKs make room for one; unless nothing is in flight, the window never reaches
     * one, or a timer, a probe or SACKs want something sent. The pace stretches to the first. */
    uint64_t (*round)(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t len);
    /* Bytes of the stream below `offset` have been acknowledged. */
    void (*sent)(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns);
    void (*closed)(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns);
};

#define TCP_STATS(X, t)                                                                            \
    X(t, segs_in, "segments received")                                                             \
    X(t, segs_out, "segments sent, a GSO frame counted once")                                      \
    X(t, bytes_in, "payload bytes accepted")                                                       \
    X(t, bytes_out, "payload bytes sent, retransmissions included")                                \
    X(t, bytes_acked, "payload bytes acknowledged")                                                \
    X(t, out_of_order, "segments ahead of a gap")                                                  \
    X(t, duplicates, "segments received of which some or all had arrived before")                  \
    X(t, fast_path, "segments that took the short way")                                            \
    X(t, passive_opens, "connections accepted")                                                    \
    X(t, active_opens, "connections opened by us")                                                 \
    X(t, estab_resets, "established connections that were reset")                                  \
    X(t, retrans_segs, "segments sent again")                                                      \
    X(t, retrans_bytes, "payload bytes sent again")                                                \
    X(t, fast_recoveries, "fast recoveries entered (RFC 6675, 6582)")                              \
    X(t, spurious_recoveries, "fast recoveries undone: nothing had been lost (RFC 3522, 3708)")    \
    X(t, spurious_rtos, "timeouts undone: nothing had been lost (RFC 3522, 5682)")                 \
    X(t, tlp_probes, "loss probes sent (RFC 8985 7)")                                              \
    X(t, tlp_recoveries, "losses that a loss probe mended")                                        \
    X(t, reorder_timeouts, "times that the reordering window ran out (RFC 8985 6)")                \
    X(t, sacks_in, "segments with SACK blocks (RFC 2018)")                                         \
    X(t, dsacks_in, "D-SACKs: the peer had those bytes already (RFC 2883)")                        \
    X(t, sack_ignored, "SACK blocks that are impossible, or one too many")                         \
    X(t, ecn_reductions, "windows reduced because of an ECN echo (RFC 3168)")                      \
    X(t, mtu_claims, "ICMP errors that made segments smaller (RFC 1191, 8201)")                    \
    X(t, mtu_claims_ignored, "ICMP errors that claimed what cannot be, or is no news")             \
    X(t, black_holes, "times that a path swallowed full-sized segments without a word (RFC 4821)") \
    X(t, mtu_probes, "segments sent that are larger than is known to arrive (RFC 8899)")           \
    X(t, mtu_probe_failures, "of those, lost")                                                     \
    X(t, mtu_raised, "times that segments became larger")                                          \
    X(t, paced, "times that a connection waited for its pace")                                     \
    X(t, sender_waits, "times that no room was left for a connection's sending state")             \
    X(t, rto_fired, "retransmission timeouts")                                                     \
    X(t, rto_waiting, "retransmission timeouts put off because the disk had not answered yet")     \
    X(t, syn_retrans, "SYNs sent again")                                                           \
    X(t, dup_acks_in, "duplicate ACKs received")                                                   \
    X(t, acks_out, "segments that carried nothing but an ACK")                                     \
    X(t, delayed_acks, "ACKs sent by the delayed-ACK timer")                                       \
    X(t, zero_window_probes, "window probes sent")                                                 \
    X(t, keepalive_probes, "keepalive probes sent")                                                \
    X(t, challenge_acks, "challenge ACKs sent (RFC 5961)")                                         \
    X(t, challenges_limited, "challenge ACKs not sent because a second has only so many")          \
    X(t, acks_limited, "unacceptable segments not answered so soon after another")                 \
    X(t, syncookies_sent, "SYNs answered with a cookie, since too many connections are half open") \
    X(t, syncookies_recv, "connections made of a cookie that came back")                           \
    X(t, syncookies_failed, "ACKs for a listener that bear no valid cookie")                       \
    X(t, ecn_marks_in, "segments that a router has marked (RFC 3168)")                             \
    X(t, resets_in, "acceptable RSTs received")                                                    \
    X(t, resets_out, "RSTs sent")                                                                  \
    X(t, timeouts, "connections given up because the peer stopped answering")                      \
    X(t, fills, "times that the application was asked for bytes")                                  \
    X(t, fill_waits, "times that the application had no buffer for them")                          \
    X(t, stale_answers, "answers that nobody waited for any more")                                 \
    X(t, time_wait_recycled, "TIME-WAIT connections ended early to make room")                     \
    X(t, icmp_errors, "ICMP errors about a connection")                                            \
    X(t, drop_short, "segments shorter than their header says")                                    \
    X(t, drop_checksum, "segments with a wrong checksum")                                          \
    X(t, drop_options, "segments whose options are malformed; the rest of them is ignored")        \
    X(t, drop_out_of_window, "segments outside the receive window")                                \
    X(t, drop_reasm_pool, "segments ahead of a gap, not kept: reasm_max buffers are in use")       \
    X(t, drop_reasm_conn, "segments ahead of a gap, not kept: the connection keeps its share")     \
    X(t, drop_reasm_holes, "segments ahead of a gap, not kept: there are too many gaps")           \
    X(t, drop_paws, "segments older than the timestamps allow (RFC 7323)")                         \
    X(t, drop_ack, "segments with an impossible acknowledgment")                                   \
    X(t, drop_bad_flags, "segments with flags that their state does not admit")                    \
    X(t, drop_no_conn, "segments for no connection and no listener")                               \
    X(t, drop_conns_full, "SYNs refused because every connection is in use")                       \
    X(t, drop_peer_full, "SYNs and handshakes refused because the address has enough connections") \
    X(t, drop_stray_queue, "RSTs and SYN cookies not sent because too many were owed")             \
    X(t, drop_no_frame, "segments not sent because the port had no room")
struct tcp_stats {
    TCP_STATS(STAT_FIELD, )
};
extern const struct stat_desc tcp_stat_descs[];

/* When the size of the packets that a path takes is searched with probes (RFC 4821, 8899). As Linux
 * numbers them. Routers that say what is too big (RFC 1191, 8201) are heard in any case. */
enum tcp_mtu_probing {
    TCP_MTU_PROBING_OFF,
    TCP_MTU_PROBING_BLACK_HOLE, /* after timeouts of one large segment */
    TCP_MTU_PROBING_ALWAYS,     /* from the first segment on, which is small */
};

enum tcp_ecn {
    TCP_ECN_NEVER,
    TCP_ECN_ANSWER, /* with peers that ask for it */
    TCP_ECN_ASK,    /* our own SYNs ask for it, too */
};

struct tcp_config {
    struct mem_arena *arena;
    struct ip *ip;
    uint32_t conns_max;
    uint32_t half_open_max;  /* in SYN-RECEIVED: beyond, SYNs are answered with cookies (RFC 4987).
                                Each may hold a neighbour: fewer than eth_config.neigh_max */
    uint32_t peer_conns_max; /* open connections that one remote address (an IPv6 /64) may have with
                                our listeners; more SYNs are not answered. 0: no limit. See
                                tcp_peers_bytes */
    uint32_t time_wait_max;  /* beyond so many in TIME-WAIT the oldest is ended; 0: beyond conns_max
                                of all states */
    enum tcp_ecn ecn;
    uint32_t rcv_wnd_bytes;    /* receive window of each connection, at most 1 GiB */
    uint32_t reasm_max;        /* buffers of 2 KiB for what arrives ahead of a gap; 0: none of it is
                                  kept */
    uint32_t reasm_ranges_max; /* pieces with gaps between them that a connection keeps: each
                                  segment is compared with all of them */
    uint32_t watermark_mss;    /* new data is asked for when the window admits so many MSS */
    uint32_t asked_max_bytes;  /* asked for and not yet answered, per connection */
    uint16_t mss_max;          /* 0: what the MTU allows */
    const char *cc;            /* "cubic", "newreno" or "bbr" */
    bool pacing;               /* bursts are spread over the round trip */
    uint32_t senders_max;  /* connections that send at the same time; 0: conns_max, at most 64 Ki */
    uint32_t ranges_max;   /* ranges of all their scoreboards; 0: two for each of them, and more */
    uint64_t secret[4];    /* random: initial sequence numbers, timestamps, table keys */
    uint64_t keepalive_ns; /* idle time before a probe; 0: none */
    uint64_t user_timeout_ns; /* data unacknowledged so long ends the connection */
    uint64_t time_wait_ns;    /* 2 MSL */
    uint64_t fin_wait_2_ns;   /* a peer that never closes is given up after so long without data */
    enum tcp_mtu_probing mtu_probing;
};
/* The values that a server wants; the caller sets arena, ip, secret and what it knows better. */
struct tcp_config tcp_config_default(void);

must_check int tcpip_init(struct tcp **out, const struct tcp_config *config, uint64_t now_ns);
/* Forgets every connection without a word to anybody (no callbacks). */
void tcpip_close(struct tcp *tcp);

/* `addr` NULL: any of ours. 0, -EADDRINUSE, -ENOSPC (TCP_LISTENERS_MAX). */
#define TCP_LISTENERS_MAX 16
must_check int tcp_listen(struct tcp *tcp, const struct ip_addr *addr, uint16_t port,
                          const struct tcp_ops *ops, void *app);
/* No new connections on any port; those that are there, half-open ones too, go on. tcp_listen may
 * be called again; a place is free when no half-open connection needs it. */
void tcp_listen_stop(struct tcp *tcp);
/* 0, -EADDRINUSE, -ENOBUFS, or what ip_flow_open says. `connected` or `closed` follows. */
must_check int tcp_connect(struct tcp *tcp, struct tcp_conn **out, const struct ip_addr *local,
                           uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port,
                           const struct tcp_ops *ops, void *user, uint64_t now_ns);

/* --- the turn ------------------------------------------------------------------------------- */

void tcp_input(struct tcp *tcp, const struct ip_dgram *dgram, uint64_t now_ns);
void tcp_error(struct tcp *tcp, const struct ip_error *error, uint64_t now_ns);
void tcp_timers(struct tcp *tcp, uint64_t now_ns);
void tcp_pull(struct tcp *tcp, uint64_t now_ns);
/* When tcp_timers has something to do; the time of the last turn when tcp_pull has; UINT64_MAX:
 * neither. Connections that wait for buffers do not count: */
uint64_t tcp_next_ns(const struct tcp *tcp);
/* The last tcp_pull left connections without buffers: call it again as soon as one is back. */
bool tcp_starved(const struct tcp *tcp);

/* --- a connection --------------------------------------------------------------------------- */

/* The stream grows by `bytes`, from within fill, too: what the windows admit of them is asked for
 * in the next tcp_pull at the latest. It has a joint where it ended. Not after tcp_close. */
void tcp_write(struct tcp_conn *conn, uint64_t bytes);
/* Keeps a promise. The slices' references pass to the stack. */
void tcp_send(struct tcp_conn *conn, uint64_t offset, const struct nmio_slice *slices,
              uint32_t slice_count, uint64_t now_ns);
/* `bytes` of what recv handed up are no longer kept: the window opens again. */
void tcp_recved(struct tcp_conn *conn, uint32_t bytes);
/* Our direction ends when everything written is sent (FIN). The peer may go on sending. Before the
 * peer has answered our SYN there is nothing to end: `closed` is called with TCP_END_ABORTED before
 * it returns. */
void tcp_close(struct tcp_conn *conn);
/* Resets the connection. `closed` is called with TCP_END_ABORTED before it returns. */
void tcp_abort(struct tcp_conn *conn, uint64_t now_ns);

/* No faster than so many bytes a second, averaged over a few milliseconds; 0: no cap. */
void tcp_set_rate(struct tcp_conn *conn, uint64_t bytes_per_s);

uint64_t tcp_conn_window(const struct tcp_conn *conn); /* what may be in flight */
uint16_t tcp_conn_mss(const struct tcp_conn *conn);    /* payload of a full segment */
void *tcp_conn_user(const struct tcp_conn *conn);      /* NULL before `accept` and after the end */
enum tcp_state tcp_conn_state(const struct tcp_conn *conn);

struct tcp_info {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    enum tcp_state state;
    uint16_t mss;
    uint32_t path_mtu; /* size of the IP packets that full segments make */
    uint32_t cwnd, ssthresh, snd_wnd, rcv_wnd;
    uint32_t srtt_us, rttvar_us, rto_us;
    uint64_t written, asked, sent, acked; /* offsets in the stream */
    uint64_t received;
    /* As Linux' TCP_INFO has them; all 0 while the connection has not sent for a while. */
    uint32_t min_rtt_us;
    uint32_t in_flight, sacked, lost; /* bytes */
    uint64_t delivered;               /* bytes, since it last began to send */
    uint64_t pacing_bps;              /* bytes per second; 0: not paced */
    uint64_t rate_bps;                /* tcp_set_rate */
    const char *cc;
    const char *recovery; /* "none", "fast", "timeout" */
    bool sack, timestamps, wscale, ecn;
    bool reordering; /* was seen */
};
void tcp_conn_info(const struct tcp_conn *conn, struct tcp_info *info);
/* The next connection after `prev` (NULL: the first), in no useful order, or NULL. For the stack's
 * own thread. */
struct tcp_conn *tcp_conn_next(struct tcp *tcp, struct tcp_conn *prev);
/* The same in steps, with turns in between: the places of the table, from 0 on, of which each has a
 * few connections or none. A connection never moves. */
uint32_t tcp_conn_places(const struct tcp *tcp);
struct tcp_conn *tcp_conn_at(struct tcp *tcp, uint32_t place);
struct tcp_conn *tcp_conn_beside(const struct tcp_conn *conn); /* in the same place, or NULL */

const struct tcp_stats *tcp_stats(const struct tcp *tcp);
/* Connections by state, read with stat_get from any thread. */
const uint64_t *tcp_state_counts(const struct tcp *tcp);
/* Their shares of the arena: buffers, the limit by address, a connection and its table's part. */
size_t tcp_reasm_bytes(uint32_t reasm_max);
size_t tcp_peers_bytes(uint32_t conns_max);
size_t tcp_conn_bytes(void);

#endif

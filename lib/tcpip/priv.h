// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - the connection block and the stack, shared by the files of this folder.
 *
 * Sequence numbers are kept as 64-bit counters that never wrap: they start at 2^32 plus the
 * initial number, and their low 32 bits are what is on the wire. A received number is unrolled
 * to the 64-bit one that is nearest to a counter of the connection (tcp_unroll), and from there on
 * "earlier" is "<". The stream's byte at `offset` has sequence number iss + 1 + offset.
 *
 * The sending side's sequence space, from left to right:
 *
 *     snd_una <= snd_nxt <= snd_asked <= snd_end (+ 1 for FIN)
 *
 *     [snd_una, snd_nxt)    sent and not acknowledged: the scoreboard (sender.h) knows what became
 *                           of each range of it, and which of them are asked for again
 *     [snd_nxt, snd_asked)  new, asked for, not answered yet
 *     [snd_asked, snd_end)  written by the application, not asked for yet
 *
 * Files, in the order in which an ACK meets them: wire.c, conn.c (find; else listen.c with cookie.c
 * and peers.c), input.c, ack.c, scoreboard.c, rack.c, recovery.c, receive.c (with reasm.c), pull.c,
 * output.c; timers.c, sender.c and mtu.c beside them; stack.c is the control path.
 */
#ifndef TCPIP_PRIV_H
#define TCPIP_PRIV_H

#include "base/list.h"
#include "base/timer.h"
#include "cookie.h"
#include "limits.h"
#include "mtu.h"
#include "peers.h"
#include "reasm.h"
#include "sender.h"
#include "tcpip.h"
#include "wire.h"

enum tcp_conn_flags {
    CONN_TS = 1 << 0,        /* timestamps negotiated */
    CONN_PASSIVE = 1 << 1,   /* came from a listener */
    CONN_ACK_NOW = 1 << 2,   /* an ACK is owed, at the next pull */
    CONN_SYN_OWED = 1 << 3,  /* SYN or SYN-ACK is to be sent at the next pull */
    CONN_CLOSING = 1 << 4,   /* tcp_close was called: FIN after snd_end */
    CONN_FIN_SENT = 1 << 5,  /* snd_nxt has passed snd_end */
    CONN_PROBE = 1 << 6,     /* one byte may go beyond the peer's window */
    CONN_OVERRIDE = 1 << 7,  /* the silly-window override timer fired: send what fits */
    CONN_KEEPALIVE = 1 << 8, /* a keepalive probe is owed */
    CONN_RTT_TIMED = 1 << 9, /* the SYN was sent once, at syn_ns */
    CONN_WSCALE = 1 << 10,   /* window scaling negotiated */
    CONN_SACK = 1 << 11,     /* selective acknowledgments negotiated (RFC 2018) */
    CONN_SYN_LOST = 1 << 12, /* our SYN had to be sent twice more: begin with one segment */
    CONN_TLP = 1 << 13,      /* a loss probe may go beyond cwnd */
    CONN_PACED = 1 << 14,    /* waits for sender->pace_at_ns */
    CONN_ECN = 1 << 15,      /* explicit congestion notification negotiated (RFC 3168) */
    /* The ACK owed is a duplicate or bears SACK blocks: no data with it. */
    CONN_ACK_ALONE = 1 << 16,
    CONN_SENDERLESS = 1 << 17, /* on tcp->senderless, by its `ready` */
    CONN_ECE = 1 << 18,        /* a mark was seen: every ACK says so until the peer's CWR */
    CONN_COUNTED = 1 << 19,    /* in tcp->peers */
    CONN_PROBED = 1 << 20,     /* a shut window was probed, and nothing has come since */
};

struct tcp_conn {
    /* Every ACK and every segment. */
    struct list ready; /* on tcp->ready: something may be sent; on tcp->dead: ended */
    uint64_t snd_una;
    uint64_t snd_nxt;
    uint64_t snd_asked;
    uint64_t snd_end;
    struct tcp_sender *sender; /* NULL: nothing is out, and was not for a while */
    uint64_t rcv_nxt;
    uint64_t rcv_adv;       /* right edge of the widest window ever advertised */
    uint64_t last_ack_sent; /* Last.ACK.sent of RFC 7323 */
    uint32_t rcv_wnd;       /* what the application has room for */
    uint32_t snd_wnd;
    uint32_t max_snd_wnd;
    uint32_t ssthresh; /* of the last sender; 0: none yet */
    uint32_t ts_recent;
    uint32_t flags; /* enum tcp_conn_flags */
    uint16_t mss;   /* payload bytes of a full segment, options deducted */
    uint8_t state;  /* enum tcp_state */
    uint8_t snd_wscale, rcv_wscale;
    uint8_t dup_acks_owed; /* beyond the one that CONN_ACK_NOW stands for */
    uint16_t mss_max;      /* what both ends take; mss is less where the path takes less */
    uint64_t snd_wl1;      /* seq and ack of the segment that last set snd_wnd */
    uint64_t snd_wl2;
    uint64_t rto_at_ns;  /* 0: off. Retransmission, window probe or SYN */
    uint64_t ack_at_ns;  /* 0: off. Delayed ACK */
    uint64_t idle_at_ns; /* 0: off. Keepalive, FIN-WAIT-2, TIME-WAIT */
    struct timer timer;  /* fires at the earliest of these; in TIME-WAIT on tcp->time_wait */
    struct tcp *tcp;
    const struct tcp_ops *ops; /* NULL: the application is done with it */
    void *user;
    uint64_t syn_ns;      /* when our SYN went out */
    uint64_t rate_bps;    /* tcp_set_rate: bytes per second, 0 for no cap */
    uint64_t heard_ns;    /* last segment received */
    uint64_t progress_ns; /* snd_una moved, or the first byte after idleness went out */
    uint32_t srtt_us, rttvar_us, rto_us;
    struct reasm reasm;    /* what arrived ahead of a gap */
    struct tcp_sack twice; /* what arrived twice, told with the next ACK (RFC 2883); or empty */
    /* Cold: opening, lookup. */
    struct ip_flow flow;
    uint16_t local_port, remote_port;
    uint32_t hash_next; /* index + 1 of the next connection in the bucket */
    uint32_t iss, irs;
    uint32_t limited_ack_ms; /* when an ACK that TCP_LIMITED_ACK_MS limits was owed; 0: never */
    uint32_t ts_offset;
    uint8_t backoff;
    uint8_t probes; /* keepalive probes unanswered */
};
static_assert(sizeof(struct tcp_conn) <= 384, "an idle connection costs at most 512 bytes in all");

struct tcp_listener {
    struct ip_addr addr;
    bool any;
    bool stopped; /* the place is free once half_open is 0 */
    uint16_t port;
    uint32_t half_open; /* connections in SYN-RECEIVED that point here */
    const struct tcp_ops *ops;
    void *app;
};

/* An answer for which there is no connection, an RST or a SYN cookie: all that it needs. */
struct tcp_stray {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    uint32_t seq, ack;
    uint32_t conn_flags;   /* of a SYN-ACK: the options to offer, */
    uint32_t tsval, tsecr; /* and the timestamps in them */
    uint8_t flags;
};

struct tcp {
    struct ip *ip;
    const struct nmio_caps *caps; /* the port's */
    struct list ready;
    struct list waiting;      /* within tcp_pull: found no buffer, first in line next time */
    struct list dead;         /* ended this turn; their memory is reused from the next on */
    struct list time_wait;    /* oldest first: all wait equally long */
    struct list senderless;   /* have something to send and found no sender, by their `ready` */
    struct list idle_senders; /* the longest idle first */
    struct timer_wheel wheel;
    struct mem_pool conns, senders, ranges;
    struct mem_pool reasm; /* struct reasm_buf */
    struct tcp_paths paths;
    uint32_t *buckets; /* index + 1 of the first connection */
    uint32_t bucket_mask;
    uint32_t half_open_count;  /* in SYN-RECEIVED after a passive open */
    uint64_t cookies_until_ns; /* ACKs of SYN cookies may come until then */
    struct peers peers;        /* with peer_conns_max */
    const struct cc_algorithm *cc;
    uint64_t now_ns; /* of the current turn */
    bool pull_owed;  /* something became ready since the last tcp_pull */
    bool starved;    /* the last tcp_pull left connections waiting for buffers */
    struct tcp_config config;
    struct tcp_stats stats;
    uint64_t state_counts[TCP_STATES];
    struct tcp_listener listeners[TCP_LISTENERS_MAX];
    uint32_t listener_count, stray_count;
    uint64_t challenge_until_ns; /* end of the second that challenges_left is for */
    uint32_t challenges_left;
    struct tcp_stray strays[TCP_STRAYS_OWED];
};

static inline uint64_t tcp_unroll(uint64_t near, uint32_t wire)
{
    return near + (uint64_t)(int64_t)(int32_t)(wire - (uint32_t)near);
}

static inline uint64_t tcp_iss64(const struct tcp_conn *conn)
{
    return (1ull << 32) + conn->iss;
}

static inline uint64_t tcp_offset(const struct tcp_conn *conn, uint64_t seq)
{
    return seq - tcp_iss64(conn) - 1;
}

/* What the network is believed to hold or the disk is about to hand us: "pipe" of RFC 6675. */
static inline uint64_t tcp_in_flight(const struct tcp_conn *conn)
{
    const struct tcp_sender *s = conn->sender;
    uint64_t out = conn->snd_asked - conn->snd_una;

    return s ? out - min_u64(out, s->sacked_bytes + s->lost_bytes) : out;
}

static inline uint32_t tcp_now_ts(const struct tcp_conn *conn, uint64_t now_ns)
{
    return (uint32_t)(now_ns / NS_PER_MS) + conn->ts_offset;
}

/* RFC 9293 3.8.6.2.2: the step in which the receive window opens. What the path to the peer takes
 * says nothing of the path from it. */
static inline uint32_t tcp_window_step(const struct tcp_conn *conn)
{
    return min_u32(conn->tcp->config.rcv_wnd_bytes / 2, conn->mss_max);
}

/* What our own SYN said last. */
static inline bool tcp_syn_asks_for_ecn(const struct tcp_conn *conn)
{
    return conn->tcp->config.ecn == TCP_ECN_ASK && conn->backoff == 0;
}

static inline bool tcp_fin_due(const struct tcp_conn *conn)
{
    return (conn->flags & (CONN_CLOSING | CONN_FIN_SENT)) == CONN_CLOSING;
}

/* A FIN takes a place in the window. One byte beyond, the peer throws it away, and only a timeout
 * would bring it back. */
static inline bool tcp_fin_fits(const struct tcp_conn *conn)
{
    return conn->snd_end < conn->snd_una + conn->snd_wnd;
}

static inline bool tcp_something_lost(const struct tcp_conn *conn)
{
    return conn->sender && conn->sender->lost_bytes > 0;
}

/* Has what it needs to send, and nobody else may take it meanwhile. */
static inline bool tcp_has_sender(const struct tcp_conn *conn)
{
    return conn->sender && !list_linked(&conn->sender->idle);
}

/* conn.c */
struct tcp_conn *tcp_conn_find(struct tcp *tcp, const struct ip_addr *local, uint16_t local_port,
                               const struct ip_addr *remote, uint16_t remote_port);
int tcp_conn_new(struct tcp *tcp, struct tcp_conn **out, const struct ip_addr *local,
                 uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port,
                 uint64_t now_ns);
void tcp_conn_start_at(struct tcp_conn *conn, uint32_t iss);
void tcp_conn_set_state(struct tcp_conn *conn, enum tcp_state state);
void tcp_conn_options(struct tcp_conn *conn, const struct tcp_seg *syn, uint64_t now_ns);
uint32_t tcp_ts_offset(const struct tcp *tcp, const struct tcp_tuple *tuple);
void tcp_conn_ready(struct tcp_conn *conn);
void tcp_conn_end(struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns);
void tcp_conn_time_wait(struct tcp_conn *conn, uint64_t now_ns);
void tcp_bury(struct tcp *tcp);
bool tcp_conns_left(const struct tcp *tcp);
uint16_t tcp_mss_default(const struct ip_addr *addr);
uint32_t tcp_our_mss(const struct tcp_conn *conn);
uint8_t tcp_our_window_shift(const struct tcp_conn *conn);

/* listen.c */
struct tcp_listener *tcp_listener_find(struct tcp *tcp, const struct ip_addr *local, uint16_t port);
bool tcp_peer_full(struct tcp *tcp, const struct ip_addr *remote);
/* A segment that belongs to no connection. Usually NULL; or the connection whose SYN cookie this
 * ACK gives back, which has yet to be taken as one in SYN-RECEIVED. */
struct tcp_conn *tcp_listen_input(struct tcp *tcp, const struct ip_dgram *dgram,
                                  const struct tcp_seg *seg, uint64_t now_ns);

/* receive.c */
uint32_t tcp_reasm_share(const struct tcp_conn *conn);
void tcp_owe_ack(struct tcp_conn *conn);
void tcp_arrived_twice(struct tcp_conn *conn, uint64_t start, uint64_t end);
void tcp_take_text(struct tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns);

/* ack.c */
void tcp_ack_advance(struct tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns);
void tcp_rtt_sample(struct tcp_conn *conn, uint64_t rtt_us);

/* output.c */
void tcp_emit_bare(struct tcp_conn *conn, uint64_t seq, uint8_t flags, uint64_t now_ns);
void tcp_sent_something(struct tcp_conn *conn, bool first, uint64_t now_ns);
void tcp_range_sent(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns);
void tcp_fin_is_out(struct tcp_conn *conn);
struct tcp_stray *tcp_owe_stray(struct tcp *tcp, const struct ip_dgram *dgram,
                                const struct tcp_seg *seg);
void tcp_pay_stray(struct tcp *tcp, const struct tcp_stray *s, uint64_t now_ns);
void tcp_owe_reset(struct tcp *tcp, const struct ip_dgram *dgram, const struct tcp_seg *seg);
void tcp_send_reset(struct tcp_conn *conn, uint64_t now_ns);

/* timers.c */
void tcp_timer_arm(struct tcp_conn *conn);
void tcp_rto_arm(struct tcp_conn *conn, uint64_t now_ns);

#endif

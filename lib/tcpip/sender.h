// SPDX-License-Identifier: BSD-2-Clause
/*
 * sender.h - what a connection knows about the bytes that it has out, while it has some.
 *
 * A connection that has nothing to send needs none of this: the struct tcp_sender is taken from a
 * stack of them with the first byte to send and given back some time after the last one was
 * acknowledged, so that a million idle connections cost what their connection blocks cost.
 *
 * The scoreboard (RFC 6675 3) is a list of ranges, struct tcp_sent, that together cover
 * [snd_una, snd_nxt) without gap or overlap, each in one state:
 *
 *     IN_AIR   in the network, as far as anybody knows
 *     SACKED   the peer has it, but bytes before it are missing
 *     LOST     to be asked for again
 *     ASKED    asked for again; the application has not answered yet
 *
 * A range is what was sent at one moment: up to a whole GSO frame or several of them. Ranges are
 * cut where an acknowledgment ends in their middle and joined where the difference no longer
 * matters, so that there are about as many as there are frames in flight and holes.
 *
 *              arrives            lost                asked              answered
 *     (new) -> IN_AIR -> SACKED   IN_AIR -> LOST      LOST -> ASKED      ASKED -> IN_AIR
 *
 * The file scoreboard.c keeps it; rack.c decides from times what is lost; recovery.c what follows;
 * sender.c takes and gives back, and has the clock of pacing.
 */
#ifndef TCPIP_SENDER_H
#define TCPIP_SENDER_H

#include "base/list.h"
#include "cc/cc.h"
#include "mtu.h"

struct tcp;
struct tcp_conn;
struct tcp_seg;

enum tcp_sent_state {
    SENT_IN_AIR, /* on sender->in_air, in the order of sending */
    SENT_SACKED,
    SENT_LOST,  /* on sender->lost */
    SENT_ASKED, /* on sender->asked, in the order of asking */
};

enum tcp_sent_flags {
    SENT_FIN = 1,         /* the FIN, alone: one number, no byte */
    SENT_AGAIN = 2,       /* sent more than once */
    SENT_APP_LIMITED = 4, /* when it was sent there was nothing else to send */
    SENT_MTU_PROBE = 8,   /* one segment, larger than is known to arrive */
};

/* As things were when a range was sent, for the delivery rate. */
struct tcp_rate_mark {
    uint64_t delivered, delivered_ns;
    uint64_t first_sent_ns;
    uint64_t lost_total;
    uint32_t flight; /* the range included */
};

struct tcp_sent {
    struct list node; /* on sender->sent, by sequence number */
    struct list link; /* on the list of its state */
    uint64_t seq, end;
    uint64_t sent_ns;
    struct tcp_rate_mark rate;
    uint8_t state; /* enum tcp_sent_state */
    uint8_t flags; /* enum tcp_sent_flags */
};

enum tcp_recovery {
    RECOVERY_NONE,
    RECOVERY_FAST, /* RFC 6675, 6937: until snd_una reaches recover */
    RECOVERY_RTO,  /* RFC 6298 5.4: slow start over what was lost */
};

/* What rto_at_ns stands for while something is out (RFC 8985 8: one timer for all). */
enum tcp_loss_timer {
    LOSS_TIMER_RTO,
    LOSS_TIMER_PROBE,   /* TLP: nothing was heard for two round trips */
    LOSS_TIMER_REORDER, /* RACK: what is only late would have arrived by now */
};

enum tcp_frto { /* RFC 5682 2.1 */
                FRTO_OFF,
                FRTO_FIRST_ACK, /* step 2: the first ACK after the timeout is awaited */
                FRTO_NEW_SENT,  /* step 3: new bytes went out instead of lost ones; what does the
                                   peer say? */
};

struct tcp_sender {
    struct list idle; /* on tcp->idle_senders while nothing is out and nothing to be sent */
    struct tcp_conn *conn;
    struct list sent, in_air, lost, asked;
    uint64_t sacked_bytes; /* SACKED; without SACK, what duplicate ACKs stand for */
    uint64_t lost_bytes;   /* LOST */
    uint64_t asked_bytes;  /* ASKED */
    uint64_t high_acked;   /* the highest sequence number known to have arrived: RACK.fack */
    struct tcp_sent *hint; /* a range near the last SACK, or NULL */
    uint32_t range_count;
    uint32_t dup_acks;
    /* RACK (RFC 8985 5): the range delivered that was sent last. */
    uint64_t rack_sent_ns, rack_end;
    uint64_t rack_rtt_ns;
    uint64_t dsack_round; /* the window was widened for D-SACKs; not again before snd_una is here */
    uint32_t min_rtt_us[2]; /* of this span of time and the one before; UINT32_MAX: none */
    uint64_t min_rtt_until_ns;
    uint8_t reo_wnd_mult, reo_wnd_persist;
    bool reordering_seen;
    /* Recovery. */
    uint8_t recovery;   /* enum tcp_recovery */
    uint8_t loss_timer; /* enum tcp_loss_timer */
    uint8_t frto;       /* enum tcp_frto */
    bool undo;          /* the last reduction may still turn out to be a mistake */
    bool undo_ts_known; /* undo_ts is the timestamp of the first segment sent again since */
    bool tlp_again;     /* the probe out was sent before; else it is new */
    bool tlp_out;       /* a loss probe is due or out, of which tlp_end is the end */
    bool tlp_sent;      /* it has left, if tlp_again */
    bool lost_anew;     /* what was first sent in this recovery: lost at its lower rate */
    bool cwr_owed;      /* the next new segment bears CWR (RFC 3168 6.1.2) */
    uint32_t undo_ts;
    uint32_t tlp_ts;     /* the timestamp of the probe, if tlp_sent */
    uint64_t undo_bytes; /* sent again since, less those that a D-SACK says came twice */
    uint64_t recover;    /* RFC 6582 */
    uint64_t tlp_end;
    uint32_t tlp_flight;  /* what was out when the probe went */
    uint64_t ecn_recover; /* no second reaction to ECN before snd_una is here */
    uint32_t prr_delivered, prr_out, prr_flight; /* RFC 6937; the last is RecoverFS */
    /* The window was in use, with so much in flight, when SND.NXT was here. */
    uint32_t limited_flight;
    uint64_t limited_until;
    /* Delivery rate (draft-cheng-iccrg-delivery-rate-estimation 3.1). */
    uint64_t delivered, delivered_ns, first_sent_ns, lost_total;
    uint64_t app_limited_until; /* `delivered` then; 0: not limited */
    uint64_t pace_at_ns;        /* no sooner does the next burst go */
    struct tcp_mtu mtu;
    struct cc cc;
};

/* What one ACK said, put together on the way through scoreboard.c and used in recovery.c. */
struct tcp_ack {
    uint64_t now_ns;
    uint32_t acked, delivered, lost;
    uint32_t flight_before;
    uint32_t rtt_us; /* of the range sent last, if it was sent once; 0: none */
    uint64_t oldest_sent_ns, newest_sent_ns; /* of ranges sent once; 0: none */
    struct tcp_rate_mark newest; /* of the range delivered that was sent last, if wanted */
    uint64_t newest_any_ns;      /* when that was sent; 0: nothing was delivered */
    bool dsack;
    uint64_t dsack_bytes;
    bool app_limited; /* the newest range was sent when there was nothing else to send */
    bool again_acked; /* some of what is acknowledged in order was sent more than once */
    bool sack_news;   /* a SACK told something new */
    bool has_tsecr;
    uint32_t tsecr;
};

/* sender.c */
bool tcp_sender_want(struct tcp_conn *conn, uint64_t now_ns);
void tcp_sender_release(struct tcp_conn *conn);
void tcp_sender_idle(struct tcp_conn *conn);
void tcp_senders_expire(struct tcp *tcp, uint64_t now_ns);
uint64_t tcp_pace_bps(const struct tcp_conn *conn);
uint64_t tcp_pace_room(const struct tcp_conn *conn, uint64_t now_ns);
void tcp_pace_spend(struct tcp_conn *conn, uint64_t bytes, uint64_t now_ns);

/* scoreboard.c */
bool tcp_sent_new(struct tcp_conn *conn, uint64_t seq, uint64_t end, uint8_t flags,
                  uint64_t now_ns);
void tcp_sent_again(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns);
bool tcp_sent_split(struct tcp_conn *conn, struct tcp_sent *range, uint64_t at);
void tcp_sent_acked(struct tcp_conn *conn, uint64_t ack, struct tcp_ack *a);
void tcp_sent_sacked(struct tcp_conn *conn, uint64_t start, uint64_t end, struct tcp_ack *a);
void tcp_sent_lost(struct tcp_conn *conn, struct tcp_sent *range, struct tcp_ack *a);
void tcp_sent_asked(struct tcp_conn *conn, struct tcp_sent *range);
void tcp_sent_unasked(struct tcp_conn *conn, struct tcp_sent *range);
void tcp_sent_all_in_air(struct tcp_conn *conn);
void tcp_sent_reneged(struct tcp_conn *conn);
void tcp_sent_clear(struct tcp_conn *conn);

/* rack.c */
void tcp_rack_delivered(struct tcp_conn *conn, const struct tcp_sent *range, struct tcp_ack *a);
void tcp_rack_dsack(struct tcp_conn *conn);
uint64_t tcp_rack_detect(struct tcp_conn *conn, struct tcp_ack *a);
void tcp_rack_timeout(struct tcp_conn *conn, struct tcp_ack *a);
uint32_t tcp_min_rtt_us(const struct tcp_sender *s);
void tcp_min_rtt_sample(struct tcp_sender *s, uint32_t rtt_us, uint64_t now_ns);
void tcp_loss_timer_arm(struct tcp_conn *conn, uint64_t since_ns, uint64_t now_ns);

/* recovery.c */
void tcp_recovery_ack(struct tcp_conn *conn, struct tcp_ack *a);
void tcp_recovery_dup_ack(struct tcp_conn *conn, struct tcp_ack *a);
void tcp_recovery_lost(struct tcp_conn *conn, struct tcp_ack *a);
void tcp_recovery_reorder(struct tcp_conn *conn, uint64_t now_ns);
void tcp_first_segment_lost(struct tcp_conn *conn, struct tcp_ack *a);
void tcp_recovery_timeout(struct tcp_conn *conn, uint64_t now_ns);
void tcp_recovery_ecn(struct tcp_conn *conn, const struct tcp_ack *a);
bool tcp_tlp_due(struct tcp_conn *conn, uint64_t now_ns);

static inline struct tcp_sent *tcp_sent_first(const struct tcp_sender *s)
{
    return list_first(&s->sent, struct tcp_sent, node);
}

static inline struct tcp_sent *tcp_sent_next(const struct tcp_sender *s,
                                             const struct tcp_sent *range)
{
    return range->node.next == &s->sent ? NULL
                                        : list_entry(range->node.next, struct tcp_sent, node);
}

#endif

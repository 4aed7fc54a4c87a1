// SPDX-License-Identifier: BSD-2-Clause
/*
 * model.h - one TCP endpoint, written down from RFC 9293 3.10, section by section.
 *
 * It is slow, keeps nothing between two segments that the RFC does not name, and counts sequence
 * numbers in 32 bits that wrap, as the RFC does. It sends nothing: events go in (a call, a segment,
 * the time), and afterwards the model judges what somebody else's endpoint did about them:
 *
 *     model_segment(m, seg)    what 3.10.7 makes of it, up to the text
 *     model_took(m, seen)      ... what the application was then handed and told
 *     model_time(m)            what 3.10.8 may end now
 *     model_sent(m, seg)       a segment that was sent: may it be, with these numbers?
 *     model_settled(m)         all that had to be sent was sent
 *
 * Each of the last four returns NULL or a sentence that names the contradiction.
 *
 * The RFCs leave freedom. Where it shows in what is sent or delivered, the model takes over what
 * the endpoint did, within limits:
 *
 *     numbers      any initial sequence number; after TIME-WAIT one beyond the last (MAY-2)
 *     data         anything written that the peer's window admits, once or again, in any portions
 *                  up to the peer's MSS, at any time: neither congestion windows nor the timing
 *                  of loss recovery are modelled. With something owed, though, no more than
 *                  MODEL_SILENCE_NS pass
 *     probes       one byte, or the FIN, beyond a full window when all before it is acknowledged
 *     delayed ACK  at once or within 0.5 s (MUST-58); two full segments cannot wait (SHLD-19)
 *     ACK numbers  one for several segments of a turn, and one more where it would ride on text,
 *                  since only one without counts as a duplicate (RFC 5681 2); sequence number
 * SND.NXT, or the edge of the peer's window where that lies before it limited ACK  challenge ACKs
 * (RFC 5961) and ACKs for unacceptable segments without text may be left out for MODEL_LIMIT_NS
 * after one was sent repeated     text that came twice may be acknowledged at once, whatever else
 * is wrong with its segment (RFC 2883) reassembly   what arrived in the window behind a gap may be
 * kept and handed up later, or not (SHLD-31), text and FIN; also that of a SYN. It must be
 * acknowledged windows      any size the buffer has room for; the edge never moves left by more
 * than scaling rounds off (SHLD-14), and right in steps that are no silly window options
 * timestamps, scale and SACK may be declined; SACK blocks name what came ECN, PSH     these bits
 * may be set or not patience     how long a stranger's SYN is remembered, when a peer that does not
 * answer is given up: not before its time, not much later. In TIME-WAIT the peer's own FIN again
 * starts the 2 MSL anew, other segments may close        FIN-WAIT-1 and LAST-ACK begin when the FIN
 * is sent; a CLOSE in SYN-RECEIVED waits for it. An abort after both FINs may be silent
 *
 * Where the choice shows only later, the model follows both ways: see enum model_choice and
 * worlds.h.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "segment.h"
#include "tcpip/tcpip.h"

/* Decisions that the RFCs leave to the endpoint and that it does not announce. */
enum model_choice {
    /* Always the same way: an endpoint is consistent. */
    MODEL_TAKES_UNSTAMPED,    /* segments without the negotiated timestamps (RFC 7323 3.2: SHOULD
                                 drop; middleboxes strip them from keepalives) */
    MODEL_TAKES_SPANNING,     /* text that begins before the window and ends behind it, which the
                                 table of 3.10.7.4 refuses and its prose would trim */
    MODEL_TAKES_REPEATED_SYN, /* the ACK of a SYN that came again to SYN-RECEIVED, as figure 8
                                 wants and the order of the checks forbids */
    MODEL_SYN_ENDS_HALF_OPEN, /* a SYN in the window returns SYN-RECEIVED to LISTEN (3.10.7.4,
                                 fourth), or is challenged like everywhere else (RFC 5961 4) */
    MODEL_CHALLENGES_OPENING, /* a wrong ACK in SYN-RECEIVED is challenged (RFC 5961 5), or reset
                                 (3.10.7.4, fifth) */
    MODEL_DROPS_SYN_FIN,      /* SYN and FIN together at LISTEN */
    MODEL_HABITS,
    /* Each time anew. */
    MODEL_STAMPS_OUTSIDE, /* an unacceptable segment's timestamp is echoed (RFC 7323 5.3 R3
                             would not; the sender's round-trip times profit) */
    MODEL_REOPENS,        /* a SYN that RFC 6191 takes for a new connection's is one (MAY-2) */
    MODEL_FORGETS_STAMP,  /* TS.Recent is void after 24 days (RFC 7323 5.5) */
    MODEL_GIVES_UP,       /* it is long enough */
    MODEL_CHOICES,
};

#define MODEL_DELAYED_ACK_NS (500 * NS_PER_MS) /* RFC 9293 3.8.6.3 */
#define MODEL_LIMIT_NS       NS_PER_S          /* RFC 5961 10 wants some limit, and names none */
#define MODEL_SILENCE_NS     (130 * NS_PER_S)  /* RFC 6298 2.5: at least 60 s, and some reserve */
#define MODEL_SYN_NS         (180 * NS_PER_S)  /* RFC 9293 3.8.3 (MUST-23) */
#define MODEL_STRANGER_NS    (60 * NS_PER_S)   /* a SYN's half-open connection stays so long */
#define MODEL_LATE_NS        (300 * NS_PER_S)  /* who has not given up so much later never will */
#define MODEL_TIMER_NS       (10 * NS_PER_MS)  /* a timer's tick */
#define MODEL_STAMP_NS       (24ull * 86400 * NS_PER_S)
#define MODEL_MSS_DEFAULT    536 /* MUST-15 */
#define MODEL_MSS_MIN        88  /* a peer that wants smaller segments gets these */
#define MODEL_KEPT_MAX       32
#define MODEL_RESETS_MAX     8

enum model_need {
    MODEL_NOTHING,
    MODEL_MAY,  /* an ACK has a reason */
    MODEL_SOON, /* by ack_due_ns */
    MODEL_NOW,  /* in this turn */
};

/* Of the endpoint under test. */
struct model_config {
    uint32_t rcv_buffer;
    uint16_t mss; /* that it announces */
    bool refuses; /* its application accepts nobody */
    uint64_t user_timeout_ns, time_wait_ns, fin_wait_2_ns;
};

/* What the application was told during one event. */
struct model_seen {
    uint64_t bytes; /* handed up */
    uint32_t accepted, connected, ended, closed;
    enum tcp_end why;
    bool told_acked;
    uint64_t acked; /* offset in the stream */
};

struct model_reset {
    uint32_t seq, ack;
    bool has_ack, exact; /* exact: with the ACK field or without it, as said */
    bool must;
};

struct model {
    struct model_config config;
    bool listening;
    enum tcp_state state; /* CLOSED also while listening: see model_state */
    bool passive;

    /* RFC 9293 3.3.1. */
    uint32_t iss, irs;
    uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2;
    uint32_t rcv_nxt, rcv_edge; /* RCV.NXT + RCV.WND as announced; it stays where RCV.NXT moves */
    bool iss_known, edge_known;
    uint32_t max_snd_wnd;  /* RFC 5961 5.2 */
    bool reopened;         /* the ISS must lie beyond */
    uint32_t reopened_nxt; /* ... this one's SND.NXT */

    /* Options, RFC 7323. */
    uint32_t snd_mss;
    bool ts, scaled, sack;
    bool offered_ts, offered_scale, offered_sack; /* in our SYN */
    uint8_t snd_scale, rcv_scale, our_scale;
    uint32_t ts_recent, last_ack_sent, last_tsval;
    bool ts_void;
    uint64_t ts_sent_ns;

    /* The application's side. */
    uint64_t written, told_acked;
    uint32_t held; /* bytes that it was handed and keeps */
    bool closing, fin_sent, fin_taken;

    /* What of the segment's text and FIN, or of what was kept, may be handed up now. */
    uint32_t take_min;                /* bytes that must be */
    uint32_t kept[MODEL_KEPT_MAX][2]; /* bytes that may have been kept: [from, to) */
    uint32_t kept_count;
    uint32_t fins[MODEL_KEPT_MAX]; /* FINs likewise */
    uint32_t fin_count;
    uint32_t must_fin_at; /* the FIN of this segment */
    bool must_fin;
    struct model_seen want; /* accepted, connected, closed, why */

    /* What is owed. */
    enum model_need need;
    bool limited;   /* what is needed may be limited */
    uint32_t alone; /* ACKs without text that have a reason in this turn */
    bool syn_owed;
    uint64_t ack_due_ns, limited_ns;
    uint32_t unacked; /* text taken since the last ACK */
    struct model_reset resets[MODEL_RESETS_MAX];
    uint32_t reset_count;

    /* Timeouts. */
    uint64_t opened_ns, heard_ns, progress_ns, paid_ns, fin_wait_2_ns;
    uint64_t time_wait_min_ns, time_wait_max_ns;

    /* The way that this model goes through the choices. */
    uint8_t habits[MODEL_HABITS]; /* 0: not asked yet, 1: no, 2: yes */
    uint32_t answers;             /* bit i: the answer to the i-th question of the current event */
    uint32_t answer_count, asked;
};

void model_init(struct model *m, const struct model_config *config, bool listening);
/* CLOSED, LISTEN, or the connection's. */
enum tcp_state model_state(const struct model *m);

/* 3.10.1 to 3.10.5. */
void model_connect(struct model *m, uint64_t now_ns);
void model_write(struct model *m, uint64_t bytes, uint64_t now_ns);
void model_recved(struct model *m, uint32_t bytes);
void model_close(struct model *m, uint64_t now_ns);
void model_abort(struct model *m);

void model_segment(struct model *m, const struct segment *seg, uint64_t now_ns);
const char *model_took(struct model *m, const struct model_seen *seen, uint64_t now_ns);
void model_time(struct model *m, uint64_t now_ns);
const char *model_sent(struct model *m, const struct segment *seg, uint64_t now_ns);
const char *model_settled(struct model *m, uint64_t now_ns);

/* Sequence number of the FIN: one behind everything written. */
uint32_t model_fin_seq(const struct model *m);
/* Text or FIN or SYN that the peer has not acknowledged, or has not been sent yet. */
bool model_owes(const struct model *m);

/* --- between the files of the model ----------------------------------------------------------- */

bool model_choose(struct model *m, enum model_choice choice);
void model_need_ack(struct model *m, enum model_need need, uint64_t now_ns);
/* An ACK that may be limited. */
void model_need_challenge(struct model *m, uint64_t now_ns);
void model_owe_reset(struct model *m, const struct model_reset *reset);
/* The TCB is deleted; the application is told unless it never knew of it. */
void model_end(struct model *m, enum tcp_end why);
void model_time_wait(struct model *m, uint64_t now_ns);
void model_established(struct model *m, const struct segment *seg, uint64_t now_ns);

#endif

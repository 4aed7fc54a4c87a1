// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace.h - packet traces for tests: one real stack on one end of a pipe, the test on the other.
 *
 *     SEND(t, .flags = SYN, .mss = 1460);
 *     EXPECT(t, .flags = SYN | ACK, .ack = 1);
 *
 * Sequence numbers are relative: 0 is the SYN of whoever sends, 1 the first byte. Each SEND is
 * followed by a turn of the worker (unless t->hold); what the stack sends lands in a queue from
 * which EXPECT takes the first. Every segment's checksum, and every payload byte, is compared with
 * what it must be as it arrives; a segment that nobody expected fails the test at the end.
 *
 * The application is scripted: struct trace_app says how it answers and remembers what it saw.
 */
#ifndef TCPIP_TRACE_H
#define TCPIP_TRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "priv.h"

enum {
    FIN = TCP_FIN,
    SYN = TCP_SYN,
    RST = TCP_RST,
    PSH = TCP_PSH,
    ACK = TCP_ACK,
    URG = TCP_URG,
    ECE = TCP_ECE,
    CWR = TCP_CWR,
};

#define TRACE_APPS      8
#define TRACE_QUEUE     2048
#define TRACE_PROMISES  64
#define TRACE_PORT      80    /* ours */
#define TRACE_PEER_PORT 40000 /* the peer's ports are counted from here */
#define TRACE_CHUNK     65536
#define TRACE_CHUNKS    64
#define TRACE_IP_HEADER (ETH_HEADER_BYTES + IP4_HEADER_BYTES)
#define TRACE_OPTS_MAX  40

struct trace_seg {
    uint8_t flags; /* PSH is not compared */
    uint32_t seq, ack;
    uint32_t len;
    uint32_t win;  /* as in the header; sent as 65535 unless said otherwise */
    bool zero_win; /* a window of 0 is meant */
    uint16_t mss;  /* 0: no option */
    bool has_wscale;
    uint8_t wscale;
    bool sack_permitted;
    uint8_t sack_count;
    struct tcp_sack sacks[TCP_SACKS_MAX]; /* relative, like seq and ack */
    uint8_t ecn;
    bool has_ts;
    uint32_t tsval, tsecr;
    uint16_t port;       /* the peer's, less TRACE_PEER_PORT */
    uint16_t our_port;   /* 0: TRACE_PORT */
    const uint8_t *opts; /* these bytes instead of the options above */
    uint32_t opts_len;
    bool bad_sum;
    uint16_t gso_size;
    uint64_t at_ns;
};

enum trace_fill {
    FILL_NOW,   /* from within fill */
    FILL_LATER, /* when the test says so */
    FILL_REFUSE,
};

/* In which callback the application does what it is told to do. */
enum trace_when {
    NEVER,
    IN_ACCEPT,
    IN_CONNECTED,
    IN_RECV,
    IN_RECV_END,
    IN_FILL,
    IN_SENT,
};

struct trace_promise {
    uint64_t offset;
    uint32_t len;
};

struct trace_app {
    /* What it does. */
    bool refuse; /* accept returns NULL */
    bool keep;   /* received bytes are kept: the test calls tcp_recved */
    enum trace_fill fill;
    uint32_t promise_max;  /* 0: as much as a chunk holds */
    uint32_t refuse_after; /* so many answers, then FILL_REFUSE */
    uint32_t slice_len;    /* answers come in slices of so many bytes; 0: in one */
    enum trace_when close_when, abort_when, write_when;
    uint64_t write_bytes;
    uint32_t record; /* with setup.joints: there is one behind every so many bytes */
    /* What it saw. */
    struct tcp_conn *conn; /* NULL after closed */
    uint32_t accepted, connected, recv_ends, closed, fills, refused, rounds;
    enum tcp_end why;
    uint64_t received, acked;
    struct trace_promise promises[TRACE_PROMISES];
    uint32_t promise_count;
    struct trace *trace;
};

struct trace {
    struct mem_arena *arena;
    struct nmio_port *ends[2];
    struct eth *eth;
    struct ip *ip;
    struct tcp *tcp;
    struct mem_chunks chunks;
    struct nmio_caps caps;
    uint64_t now_ns;
    uint32_t peer_iss;
    uint32_t iss[TRACE_APPS]; /* by the peer's port */
    uint16_t win;             /* what the peer tells unless said otherwise */
    bool hold;                /* no turn after SEND: several segments arrive in one turn */
    bool raw;                 /* payload is not compared (a stream that is not the app's) */
    uint32_t ts_base;         /* the peer's clock in segments sent with t->ts */
    bool ts, wscale, sack;    /* options that the peer's SYN offers in trace_establish */
    struct trace_app apps[TRACE_APPS];
    struct trace_app *app; /* the first connection's */
    uint32_t app_count;
    struct trace_seg queue[TRACE_QUEUE];
    uint32_t queue_head, queue_count;
    /* Takes the TCP packets, checksums verified, in the place of the queue; or NULL. */
    void (*on_packet)(struct trace *t, const uint8_t *ip, uint32_t ip_len);
};

extern const struct tcp_ops trace_ops;

struct trace_setup {
    uint32_t gso_bytes;
    bool tx_csum;
    uint8_t slices_max;
    uint32_t rcv_wnd_bytes;
    uint32_t conns_max, half_open_max, reasm_max, peer_conns_max, time_wait_max;
    uint32_t asked_max_bytes;
    uint32_t watermark_mss;
    uint16_t mss_max;
    uint64_t keepalive_ns;
    const char *cc; /* NULL: "newreno", whose windows can be told by counting */
    bool pacing;
    bool joints; /* the stream has some: tcp_ops.round */
    uint32_t mtu;
    /* Has the last word on the stack's configuration; or NULL. */
    void (*configure)(struct trace *t, struct tcp_config *config);
};

/* A stack that listens on TRACE_PORT. */
void trace_open(struct trace *t, const struct trace_setup *setup);
/* Fails the test if anything is left: segments, chunks, connections not accounted for. */
void trace_close(struct trace *t);

void trace_turn(struct trace *t);
void trace_advance_ns(struct trace *t, uint64_t ns);
void trace_send(struct trace *t, const struct trace_seg *seg);
/* The frame that SEND would send, for tests that damage it. Returns its length. */
uint32_t trace_frame(struct trace *t, const struct trace_seg *seg, uint8_t *frame);
/* Writes both checksums of a frame whose other bytes are as they shall be. */
void trace_seal_frame(uint8_t *frame);
void trace_send_frame(struct trace *t, const uint8_t *frame, uint32_t len);
struct trace_seg trace_expect(struct trace *t, const char *file, int line,
                              const struct trace_seg *want);
void trace_expect_nothing(struct trace *t, const char *file, int line);
/* Takes all that was sent; returns how many segments, and their payload bytes. */
uint32_t trace_take_all(struct trace *t, uint64_t *bytes);
/* The three-way handshake with the options of t->ts and t->wscale; the window is t->win. */
struct trace_app *trace_establish(struct trace *t, uint16_t port);
void trace_connect(struct trace *t);
void trace_write(struct trace *t, struct trace_app *app, uint64_t bytes);
/* Keeps the oldest promise. */
void trace_answer(struct trace *t, struct trace_app *app);
/* The window of the connection, made now if it has nothing out. */
struct cc *trace_cc(struct trace_app *app);
void trace_ack_all(struct trace *t); /* plain ACK of all that was sent on port 0 */
uint8_t trace_byte(uint64_t offset);

#define SEND(t, ...)      trace_send(t, &(struct trace_seg){__VA_ARGS__})
#define EXPECT(t, ...)    trace_expect(t, __FILE__, __LINE__, &(struct trace_seg){__VA_ARGS__})
#define EXPECT_NOTHING(t) trace_expect_nothing(t, __FILE__, __LINE__)
#define ADVANCE(t, ms)    trace_advance_ns(t, (ms)*NS_PER_MS)
#define STATS(t)          tcp_stats((t)->tcp)
#define EXPECT_STATE(app, s)                                                                       \
    assert_string_equal(tcp_state_name(tcp_conn_state((app)->conn)), tcp_state_name(s))

/* A test that begins with an open trace `t` and ends by closing it. */
#define TRACE_TEST(name)                                                                           \
    static void name##_body(struct trace *t);                                                      \
    static void name(void **state)                                                                 \
    {                                                                                              \
        struct trace *t = calloc(1, sizeof(*t));                                                   \
                                                                                                   \
        trace_open(t, &(struct trace_setup){0});                                                   \
        name##_body(t);                                                                            \
        trace_close(t);                                                                            \
        free(t);                                                                                   \
    }                                                                                              \
    static void name##_body(struct trace *t)
/* The same with a setup of its own. */
#define TRACE_TEST_WITH(name, ...)                                                                 \
    static void name##_body(struct trace *t);                                                      \
    static void name(void **state)                                                                 \
    {                                                                                              \
        struct trace *t = calloc(1, sizeof(*t));                                                   \
                                                                                                   \
        trace_open(t, &(struct trace_setup){__VA_ARGS__});                                         \
        name##_body(t);                                                                            \
        trace_close(t);                                                                            \
        free(t);                                                                                   \
    }                                                                                              \
    static void name##_body(struct trace *t)

#endif

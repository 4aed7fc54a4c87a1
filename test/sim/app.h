// SPDX-License-Identifier: BSD-2-Clause
/*
 * app.h - the application of sim_tcp: what it does to a stack, and what it expects of it.
 *
 * A flow is one connection and has two sides, one on each host. Each side writes `total` bytes of
 * its own pattern in steps, closes, and checks what it receives against the other side's pattern.
 * All that it does in between follows from its habits: answers that come at once, late or from
 * memory without an owner, promises shorter than asked for, refusals, receivers that stop reading.
 *
 * Chunks are watched. The application keeps a reference of its own on every chunk that it handed to
 * the stack; after each turn those on which it has the last one go back. A reference that the stack
 * drops twice is seen as a count of nought, one that it forgets as a chunk that never comes back.
 */
#ifndef SIM_APP_H
#define SIM_APP_H

#include "net.h"
#include "pattern.h"

#define APP_FLOWS_MAX    64
#define APP_PROMISES_MAX 64 /* of one side, unanswered */

struct app_habits {
    uint32_t chunk_count;
    uint32_t chunk_bytes;
    double refuse;   /* fill finds no buffer although there is one */
    double shorten;  /* fill promises less than it was asked for */
    double unowned;  /* the answer is memory without an owner */
    double grow;     /* fill writes more, if there is more to write */
    uint32_t record; /* the stream has joints, so many bytes apart; 0: none */
    double later;    /* the answer takes time */
    uint64_t later_ns;
    double keep; /* received bytes are kept for a while before tcp_recved */
    uint64_t keep_ns;
};

enum app_watch {
    APP_CHUNK_FREE,
    APP_CHUNK_PROMISED, /* taken by fill */
    APP_CHUNK_SENT,     /* handed to the stack, and held */
};

struct app_host {
    struct world *world;
    struct pattern *pattern;
    struct net_host net;
    struct app_habits habits;
    struct mem_chunks chunks;
    enum app_watch *watch;
    struct mem_chunk **sent; /* chunks in APP_CHUNK_SENT */
    uint32_t sent_count;
    uint32_t rcv_wnd_bytes;
    uint32_t watermark_mss;
    struct app_flow *flows;
    uint32_t flow_count;
    uint64_t started_count;
};

struct app_promise {
    uint64_t offset;
    uint32_t len;
    uint32_t slice_count;
    uint64_t due_ns;
    struct nmio_slice slices[NMIO_SLICES_MAX];
};

struct app_side {
    struct app_host *host;
    struct app_flow *flow;
    struct app_side *peer;
    struct tcp_conn *conn; /* NULL before it opens and after it ended */
    uint64_t key;          /* of the pattern that it sends */
    /* The plan. */
    uint64_t total;
    uint64_t step;           /* written at once, at most */
    uint64_t pause_ns;       /* between two writes, at most */
    bool close_last;         /* closes only when the peer has */
    uint64_t close_after_ns; /* hesitates before closing */
    uint64_t stop_at;        /* stops reading when so much was received: the window closes */
    uint64_t stop_ns;        /* for so long */
    uint64_t rate_bps;       /* tcp_set_rate; 0: no cap */
    /* How far it has come. */
    bool opened, closing, closed_out, peer_closed, ended, aborting;
    enum tcp_end end;
    uint64_t written, acked, received, promised;
    uint64_t opened_ns;
    uint64_t kept; /* of what was received, not given back yet */
    bool stopped;
    struct world_event write, give, answer, close;
    struct app_promise promises[APP_PROMISES_MAX];
    uint32_t promise_head, promise_count;
};

enum app_kind {
    FLOW_ORDINARY,
    FLOW_SIMULTANEOUS, /* both sides connect */
    FLOW_REFUSED,      /* nobody listens there */
    FLOW_REJECTED,     /* accept returns NULL */
    FLOW_KINDS,
};

struct app_flow {
    struct world *world;
    uint32_t number;
    enum app_kind kind;
    uint16_t ports[NET_HOSTS];
    struct app_side sides[NET_HOSTS];
    struct world_event start, abort, vanish;
    uint64_t start_after_ns;
    uint64_t abort_after_ns, vanish_after_ns; /* since the start; WORLD_NEVER */
    uint32_t abort_side;
    bool started;
    uint64_t started_order; /* among all flows */
    bool vanished;          /* nothing of it arrives anywhere any more */
    bool barred;            /* its ports are in use: it never began */
    bool disturbed;         /* will be aborted or vanish: any end is a good one */
};

/* As the host's habits are. */
const struct tcp_ops *app_ops(const struct app_host *host);

must_check int app_host_open(struct app_host *host, struct world *world, struct pattern *pattern,
                             const struct app_habits *habits);
void app_flow_init(struct app_flow *flow, struct world *world, struct app_host hosts[NET_HOSTS],
                   uint32_t number);
/* Opens the flow's connection from this host. */
void app_connect(struct app_side *side);
void app_abort(struct app_side *side);
/* Chunks on which nobody else has a reference any more go back to their pool. */
void app_host_sweep(struct app_host *host);
/* No chunk and no promise is left. */
bool app_host_check_empty(struct app_host *host);
const char *app_end_name(enum tcp_end end);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * worker.h - one core's server: a port queue, a TCP stack, a way to the disks, and the sessions.
 *
 * A worker shares nothing with its like but what is served (diskmap_set, which nobody changes). It
 * reads no clock: worker_turn is told the time, by the thread that runs it (serve.c) or by a
 * simulator.
 *
 * What it owns, and for how long:
 *
 *     session        as long as its TCP connection, and until the last read made for it is back
 *     request        while a request head has arrived in part, a body is being skipped, or
 *                    pipelined requests wait
 *     response       until its last byte is acknowledged and no read for it is under way
 *     chunk + read   from the promise made in stream_fill until the wire has read the bytes
 *
 * An idle connection has a session and nothing else.
 */
#ifndef ATLAS_WORKER_H
#define ATLAS_WORKER_H

#include "base/hist.h"
#include "base/list.h"
#include "base/timer.h"
#include "diskmap/diskmap.h"
#include "eth/eth.h"
#include "http1/http1.h"
#include "ip/ip.h"
#include "mem/mem.h"
#include "nmio/nmio.h"
#include "rate.h"
#include "tcpip/tcpip.h"
#include "tls/tls.h"

#define WORKER_ADDRS_MAX 16
#define HEAD_BYTES_MAX   (16 * 1024) /* nginx has 4 x 8 KiB */
/* The receive window. A head in parts fits in it, behind that a record of TLS that is not all
 * there, and still more is free than a segment: else it could stay shut (RFC 9293 3.8.6.2.2). */
#define REQUEST_BYTES    (HEAD_BYTES_MAX + 32 * 1024)
#define TARGET_BYTES_MAX (8 * 1024) /* nginx: one of its 8 KiB buffers */
/* Bodies are of no use here and are skipped, up to nginx's default. */
#define REQUEST_BODY_MAX (1u << 20)
/* Of an https URL that a request is sent to: the target, a name in DNS, and what is around them. */
#define LOCATION_BYTES_MAX (TARGET_BYTES_MAX + 512)
#define RESPONSES_MAX      16 /* pipelined requests answered at a time, per connection */
#define SESSION_PHASES     4

/* What a session waits for, and is ended if it waits too long. */
enum session_phase {
    PHASE_IDLE,   /* between requests: keep-alive */
    PHASE_HEAD,   /* a request has begun to arrive */
    PHASE_SEND,   /* responses are on their way: counts from the last progress */
    PHASE_LINGER, /* we have closed; the peer has not */
};

struct worker_limits {
    uint32_t conns;
    uint32_t peer_conns; /* of one address, or IPv6 /64; 0: no limit */
    uint64_t phase_ns[SESSION_PHASES];
    uint64_t user_timeout_ns;
    uint64_t keepalive_ns; /* without a word from the client, before it is asked; 0: never */
    uint64_t time_wait_ns;
};

struct worker_config {
    struct mem_arena *arena;
    struct mem_arena *disk_arena; /* for what disks write to (diskmap_set_arena); NULL: the arena */
    struct nmio_port *port;       /* the worker closes it */
    struct diskmap_set *set;
    const struct diskmap_fault_config *disk_fault; /* or NULL */
    uint32_t disk_depth;
    struct ip_prefix addrs[WORKER_ADDRS_MAX];
    uint32_t addr_count;
    const struct ip_addr *gateway;  /* or NULL */
    const struct ip_addr *gateway6; /* or NULL: routers that advertise themselves */
    uint16_t vlan;                  /* 0: none */
    uint16_t listen_port;           /* 0: TLS only */
    uint16_t tls_port;              /* 0: no TLS */
    bool redirect_https;            /* requests that come without TLS are sent to tls_port */
    struct tls_ctx *tls;            /* what new connections use; the worker holds it */
    uint32_t tls_threads;           /* that compute the worker's handshakes; 0: its turns do */
    uint64_t tls_records_max;       /* with one key of TLS 1.3; 0: what is safe (RFC 8446 5.5) */
    const struct rate_rules *rates; /* or NULL: no object has a limit */
    uint16_t mss_max;               /* 0: what the MTU allows */
    enum tcp_mtu_probing mtu_probing;
    enum tcp_ecn ecn;
    uint32_t read_bytes; /* of one chunk: a multiple of a page */
    uint32_t chunk_count;
    struct worker_limits limits;
    struct http1_options http;  /* of responses without TLS */
    struct http1_options https; /* and with it: these alone may have hsts */
    const char *cc;
    uint64_t secret[4];
    int64_t epoch_s; /* the wall clock at now_ns = 0 */
    void (*on_arp)(void *arg, const uint8_t *frame, uint32_t len);
    void *on_arp_arg;
};
/* Over TLS a chunk holds a record, of which the first block may begin anywhere; a second one is for
 * what it is made into. */
#define TLS_READ_BYTES_MIN (TLSREC_PLAIN_MAX + DISKMAP_BLOCK_BYTES)
#define TLS_CHUNKS_MIN     2
#define CHUNKS_DEFAULT     256 /* with 60 KiB each, half of a 32 MiB last-level cache */
struct worker_limits worker_limits_default(void);

#define WORKER_STATS(X, t)                                                                         \
    X(t, requests, "requests answered")                                                            \
    X(t, responses_active, "responses not yet acknowledged to the last byte")                      \
    X(t, sessions, "connections that the server knows")                                            \
    X(t, sessions_draining, "ended connections that still wait for a read to come back")           \
    X(t, disk_errors, "connections reset because the disk could not deliver")                      \
    X(t, bytes_asked, "bytes of responses that the windows asked for")                             \
    X(t, bytes_thrown_away, "bytes read that nobody wanted any more")                              \
    X(t, timeouts_idle, "connections closed after the keep-alive time")                            \
    X(t, timeouts_head, "connections closed because a request did not arrive in time (408)")       \
    X(t, timeouts_send, "connections reset because the client took nothing for too long")          \
    X(t, timeouts_linger, "connections reset because the client did not close")                    \
    X(t, drop_requests_full, "connections reset because no request buffer was left")               \
    X(t, drop_responses_full, "connections reset because no response was left")                    \
    X(t, drop_locations_full, "redirects that became 503 because no place for a URL was left")     \
    X(t, drop_sessions_full, "connections refused because no session was left")                    \
    X(t, drop_relay_full, "other workers' ARP and NDP packets that found no place in the inbox")   \
    X(t, turns, "turns of the loop")                                                               \
    X(t, sleeps, "times that the worker slept")
struct worker_stats {
    WORKER_STATS(STAT_FIELD, )
    uint64_t by_status[600];
};
extern const struct stat_desc worker_stat_descs[];

/* What a worker does over TLS. */
#define SECURE_STATS(X, t)                                                                         \
    X(t, handshakes, "handshakes that came to their end")                                          \
    X(t, resumed, "of these, with a session ticket")                                               \
    X(t, failed, "handshakes that failed: an alert says why where there is one")                   \
    X(t, plaintext, "of these, because the client spoke HTTP to the TLS port")                     \
    X(t, handshakes_active, "handshakes begun and not ended")                                      \
    X(t, alerts_out, "fatal alerts sent after the handshake")                                      \
    X(t, key_updates, "KeyUpdates sent")                                                           \
    X(t, records_sealed, "records sealed for the first time")                                      \
    X(t, records_again, "records, or parts of them, sealed again")                                 \
    X(t, differs, "connections reset because an object changed while it was sent")                 \
    X(t, run_waits, "times that a connection had to wait for a run of its own to come back")       \
    X(t, key_waits, "times that a connection had to wait for memory for expanded keys")            \
    X(t, drop_runs_full, "handshakes ended because no run was left for their next flight")         \
    X(t, drop_keys_used_up, "connections of TLS 1.2 ended because their keys may seal no more")    \
    X(t, drop_memory, "TLS connections that were refused or ended because there was no memory")
struct secure_stats {
    SECURE_STATS(STAT_FIELD, )
};
extern const struct stat_desc secure_stat_descs[];

struct session;
struct run;

/* A response under way. The stream of a connection is its responses one after the other. */
struct response {
    struct response *next;               /* of this connection, in stream order */
    uint64_t start;                      /* stream offset of its first byte */
    uint32_t refs;                       /* one of the session, one of each read */
    const struct diskmap_object *object; /* pinned, or NULL */
    uint64_t bytes_per_s;                /* at most; 0: as fast as it goes */
    struct http1_ranges *multi;
    char *location; /* of a redirect, or NULL */
    struct http1_entity entity;
    struct http1_response http;
};

/* A chunk's promise, one for each chunk, found by the chunk's index. */
struct stream_read {
    struct diskmap_read io;
    struct mem_chunk *chunk;
    struct session *session;
    struct response *response;
    struct stream_read *next; /* promised after this one, same session */
    uint64_t offset;          /* in the stream */
    uint32_t text_bytes;      /* of the response's text, in front of the body */
    uint32_t body_bytes;
    const uint8_t *mapped; /* the body's bytes where they need not be read; else NULL */
    bool done;
    /* Over TLS (records.c), where `offset` and what is promised are of the wire: */
    struct run *run;     /* NULL: plain */
    uint64_t plain;      /* where the text begins in the run */
    uint32_t wire_bytes; /* promised */
};

/* Bytes of requests that cannot be used yet. */
struct request {
    struct http1_request http;
    struct http1_body body;
    bool in_body;
    bool parsing; /* http has seen the first `len` bytes in part */
    uint32_t len;
    char buf[REQUEST_BYTES];
};

enum session_flags {
    SESSION_CLOSING = 1,   /* no more requests are read; the FIN follows the last response */
    SESSION_PEER_DONE = 2, /* the client has sent its FIN */
    SESSION_LAYERED = 4,   /* worker.layer lies between it and TCP */
};

struct session {
    struct worker *worker;
    struct tcp_conn *conn;   /* NULL: ended */
    struct timer timer;      /* fires when the phase may have lasted too long, or earlier */
    uint64_t since_ns;       /* when the phase began, or last progressed */
    struct request *request; /* or NULL */
    struct response *first, *last;
    struct stream_read *promised, *promised_last; /* in the order of the promises */
    uint64_t stream_bytes;                        /* where the next response begins */
    uint16_t reads;                               /* under way */
    uint8_t phase;
    uint8_t flags;
    uint8_t response_count;
};
static_assert(sizeof(struct session) <= 112, "an idle connection costs at most 512 bytes in all");

struct worker {
    struct nmio_port *port;
    struct eth *eth;
    struct ip *ip;
    struct tcp *tcp;
    struct diskmap *dm;
    uint64_t now_ns;
    int64_t epoch_s;
    bool draining;
    bool stopped;
    struct timer_wheel wheel; /* of the sessions */
    struct mem_pool sessions, requests, responses, multis, locations;
    struct mem_chunks chunks;
    struct stream_read *reads; /* by chunk index */
    struct worker_config config;
    struct http1_limits head_limits;
    struct worker_stats stats;
    char path[TARGET_BYTES_MAX + 2]; /* of the request being handled */
    /* TLS, if there is any: */
    const struct session_layer *layer;
    struct tls_ctx *tls;
    struct tls_desk *desk;
    struct tlsrec_engine *engine;
    struct mem_pool secures, runs, keys;
    uint64_t runs_shared; /* that are neither the first of their connection nor its last word */
    struct list secures_open;
    struct mem_chunk *spare; /* into which the next records are made that are not sealed in place */
    struct secure_stats secure_stats;
};

must_check int worker_open(struct worker **out, const struct worker_config *config, uint64_t now_ns,
                           char *why, size_t why_bytes);
/* Forgets its connections, without a word to anybody, and waits for the disk. By the thread that
 * has run the turns, since the disk's queue is that thread's. Counters can still be read. */
void worker_stop(struct worker *worker);
/* Stops it, if that has not been done, and gives everything back. */
void worker_close(struct worker *worker);

/* One turn. True if there was more to take than a turn takes: do not look for sleep first. */
bool worker_turn(struct worker *worker, uint64_t now_ns);
/* Until when nothing will happen by itself. <= the turn's now_ns: do not sleep. */
uint64_t worker_next_ns(const struct worker *worker);
/* No new connections; idle ones are closed, the others after their responses. */
void worker_drain(struct worker *worker, uint64_t now_ns);
bool worker_drained(const struct worker *worker);
/* Connections that are accepted from now on use this one, which the worker holds. By the worker's
 * thread. */
void worker_set_tls(struct worker *worker, struct tls_ctx *ctx);
/* Readable when a handshake's step is done; -1: there is none, or no thread does them. */
int worker_tls_fd(const struct worker *worker);
/* The most memory that a worker with this configuration takes from its arena. */
size_t worker_arena_bytes(const struct worker_config *config);
/* And from its disk_arena. */
size_t worker_disk_arena_bytes(const struct worker_config *config);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine.h - a closed loop: so many clients, each with one connection and one request at a time.
 *
 * A client opens its connection, asks, waits for the whole response, perhaps thinks, and asks
 * again; whatever goes wrong is counted by cause, and after a pause the client begins anew. With
 * `hold`, only the first `active` clients ask, and not before engine_go; the others keep their
 * connections open and do nothing.
 *
 * How bytes travel is the business of a transport (sockets.h: the kernel's TCP, stack.h: our own).
 * The engine calls it to open, ask and close; it calls client_connected, client_received and
 * client_ended. None of these three is called from within open, ask or close, and after close
 * nothing more is heard of that connection. Both live in one thread, which shares nothing with its
 * like but the targets, and is told the time.
 *
 * An attempt is a request that begins, and what --requests counts: it ends as a response or as a
 * failure. One exception: a connection that was used before and ends without a byte of the response
 * may have been closed by a server that had not seen the request; the same attempt then goes on
 * over a new connection (RFC 9112 9.3.1) and counts as a retry.
 *
 * What a client costs: this struct, and while it waits for a response a struct response.
 */
#ifndef STORMLOAD_ENGINE_H
#define STORMLOAD_ENGINE_H

#include "base/hist.h"
#include "base/list.h"
#include "base/rand.h"
#include "base/timer.h"
#include "mem/mem.h"
#include "response.h"
#include "target.h"

#define OPENING_DEFAULT 64 /* as many SYNs as may wait for one neighbour's address */

/* Why an attempt failed. */
#define FAILURES(X)                                                                                \
    X(REFUSED, "refused", "the server refused the connection")                                     \
    X(UNREACHABLE, "unreachable", "there is no way to the server")                                 \
    X(CONNECT_TIMEOUT, "connect_timeout", "the connection did not open in time")                   \
    X(RESET, "reset", "the connection was reset before the response was whole")                    \
    X(CLOSED, "closed", "the connection ended before the response was whole")                      \
    X(TIMEOUT, "timeout", "nothing arrived for too long")                                          \
    X(MALFORMED, "malformed", "what arrived is not an HTTP response")                              \
    X(STATUS, "status", "the status is an error, or not 200 although digests are checked")         \
    X(DIGEST, "digest", "the body is not the one that it should be")                               \
    X(LOCAL, "local", "this machine could not open the connection")
#define FAILURE_NAME(id, name, help) FAILURE_##id,
enum failure { FAILURES(FAILURE_NAME) FAILURE_COUNT };
const char *failure_name(enum failure failure);
const char *failure_help(enum failure failure);

#define ENGINE_STATS(X, t)                                                                         \
    X(t, connects, "connections opened")                                                           \
    X(t, responses, "whole responses")                                                             \
    X(t, body_bytes, "bytes of bodies")                                                            \
    X(t, verified, "bodies whose digest was right")                                                \
    X(t, retries, "requests asked again since their kept-alive connection was closed")             \
    X(t, idle_ended, "connections that the server ended while nothing was asked")                  \
    X(t, open, "connections open now")                                                             \
    X(t, settled, "clients whose connection has opened, or failed to, once")                       \
    X(t, finished, "clients for which no request was left")
struct engine_stats {
    ENGINE_STATS(STAT_FIELD, )
    uint64_t failed[FAILURE_COUNT];
    uint64_t by_status[600];
    struct hist connect;    /* SYN to open */
    struct hist first_byte; /* request to the first byte of the response */
    struct hist response;   /* request to the last byte */
    uint64_t response_max_ns;
};
extern const struct stat_desc engine_stat_descs[];
void engine_stats_merge(struct engine_stats *into, const struct engine_stats *from);
uint64_t engine_failures(const struct engine_stats *stats);

struct client;
struct tcp_conn;

enum client_end {
    CLIENT_EOF,
    CLIENT_RESET,
    CLIENT_REFUSED,
    CLIENT_UNREACHABLE,
    CLIENT_TIMED_OUT,
    CLIENT_LOCAL,
};

struct transport {
    /* Begins to open a connection: 0, or why it cannot begin. */
    bool (*open)(void *arg, struct client *client, enum client_end *why, uint64_t now_ns);
    /* Sends the client's request (client_request). */
    void (*ask)(void *arg, struct client *client, uint64_t now_ns);
    void (*close)(void *arg, struct client *client, uint64_t now_ns);
};

struct engine_config {
    struct mem_arena *arena;
    const struct targets *targets;
    uint32_t clients;
    uint32_t active; /* of them, those that ask; the others only hold a connection */
    bool hold;       /* active ones wait for engine_go */
    bool close;      /* a connection for each request: requests say Connection: close */
    bool verify;
    bool random;       /* draw targets by `seed`; otherwise they are taken in their order */
    uint64_t seed;     /* also where in their order this engine begins */
    uint64_t requests; /* attempts; UINT64_MAX: no limit */
    uint64_t rate;     /* new connections a second; 0: as `opening_max` admits */
    uint32_t opening_max;
    uint64_t think_ns;
    uint64_t timeout_ns; /* to open, and without a byte of an awaited response */
};

enum client_state {
    CLIENT_CLOSED,     /* no connection; in the queue, or waiting to try again */
    CLIENT_CONNECTING, /* the connection is being opened */
    CLIENT_HOLDING,    /* open, nothing is asked: by a client that never asks, or not yet */
    CLIENT_ASKING,     /* a response is awaited */
    CLIENT_THINKING,   /* a pause between response and request */
    CLIENT_DRAINING,   /* the response was the last one; the server is about to close */
    CLIENT_FINISHED,   /* no request is left */
};

struct client {
    struct engine *engine;
    union { /* the transport's: */
        struct tcp_conn *conn;
        struct {
            int fd;
            uint32_t sent; /* bytes of the request */
        };
    };
    uint64_t stream_start;  /* the transport's: where the request begins in what was ever sent */
    struct client *next;    /* in the engine's queue */
    struct response *reply; /* while one is awaited */
    uint64_t began_ns;      /* opening, or asking */
    uint64_t heard_ns;      /* last sign of life while a response is awaited */
    struct timer timer;
    uint32_t target;
    uint32_t served; /* responses on this connection */
    uint8_t state;
    bool attempt; /* a request is this client's to make */
    bool settled;
    bool acked; /* the transport's: the server has the whole request */
    bool heard; /* a byte of the awaited response has arrived */
};
static_assert(sizeof(struct client) <= 128, "a million idle clients are to fit beside their TCP");

struct engine;

/* 0 or -ENOMEM. */
must_check int engine_open(struct engine **out, const struct engine_config *config,
                           const struct transport *transport, void *arg, uint64_t now_ns);
/* Closes every connection. */
void engine_stop(struct engine *engine, uint64_t now_ns);
void engine_close(struct engine *engine);
size_t engine_arena_bytes(const struct engine_config *config);

/* What is due: connections to be opened, timeouts, pauses that are over. */
void engine_turn(struct engine *engine, uint64_t now_ns);
uint64_t engine_next_ns(const struct engine *engine);
/* Those that were held may ask. */
void engine_go(struct engine *engine, uint64_t now_ns);
/* All attempts have ended. */
bool engine_finished(const struct engine *engine);
/* May be read by another thread. */
const struct engine_stats *engine_stats(const struct engine *engine);

/* --- for transports --------------------------------------------------------------------------- */

void client_connected(struct client *client, uint64_t now_ns);
/* False: the connection was closed, or is not to be read any more for now. */
bool client_received(struct client *client, const uint8_t *data, size_t len, uint64_t now_ns);
/* `bytes` of the body arrived and were dropped unseen; at most client_skippable. */
bool client_skipped(struct client *client, uint64_t bytes, uint64_t now_ns);
uint64_t client_skippable(const struct client *client);
void client_ended(struct client *client, enum client_end why, uint64_t now_ns);
const struct target *client_request(const struct client *client);
/* Numbers of the clients: 0 to clients - 1. */
struct client *engine_client(struct engine *engine, uint32_t index);

#endif

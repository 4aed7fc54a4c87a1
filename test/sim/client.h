// SPDX-License-Identifier: BSD-2-Clause
/*
 * client.h - an HTTP client of the simulation: what it asks for, and what it accepts as an answer.
 *
 * A client is one connection. Its requests are drawn and written down before it starts, each with
 * what RFC 9110 allows as its answer; their text is its stream, or what its stream carries
 * encrypted (tls_peer.h). Answers are read by reader.h and compared byte for byte with the shelf.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "net.h"
#include "reader.h"
#include "shelf.h"
#include "tls_peer.h"

#define SERVER_PORT         80
#define SERVER_TLS_PORT     443

#define CLIENT_REQUESTS_MAX 24
#define CLIENT_RANGES_MAX   6
#define CLIENT_TEXT_BYTES   (64 * 1024)
#define CLIENT_WIRE_BYTES   (2 * CLIENT_TEXT_BYTES) /* encrypted, and the handshake */

enum client_kind {
    ASK_WHOLE,
    ASK_HEAD,
    ASK_RANGE,
    ASK_RANGES,
    ASK_MISSING,      /* 404 */
    ASK_UNMODIFIED,   /* 304 */
    ASK_PRECONDITION, /* 412 */
    ASK_IF_RANGE,     /* a range of an object that has changed: the whole */
    ASK_POST,         /* 405, its body is skipped */
    ASK_POST_CHUNKED,
    ASK_EXPECT,  /* 100, then 405 */
    ASK_OPTIONS, /* 204 */
    ASK_LAST,    /* the whole, with Connection: close */
    ASK_OLD,     /* the whole, by HTTP/1.0 */
    ASK_GARBAGE, /* any error */
    ASK_PARTIAL, /* a head that never ends: 408, or nothing */
    ASK_KINDS,
};
#define ASK_PERSISTENT ASK_LAST /* the kinds before it leave the connection open */

enum client_close {
    CLOSE_AFTER_WRITING, /* half: the answers are still to come */
    CLOSE_AFTER_READING,
    CLOSE_SECOND, /* when the server has */
};

struct client_range {
    uint64_t first, last;
};

struct client_want {
    enum client_kind kind;
    const struct shelf_object *object;             /* or NULL */
    struct client_range ranges[CLIENT_RANGES_MAX]; /* satisfiable ones, joined, in order */
    uint32_t range_count;
    uint32_t asked_count; /* as many ranges were asked for */
    uint32_t text_end;
};

struct client_host {
    struct world *world;
    const struct shelf *shelf;
    struct net_host net;
    bool gentle;   /* nothing but the client itself ends its connection */
    bool draining; /* the server has said, or will say, that it takes no new requests */
    bool changing; /* objects may change under way: each byte is the old one or the new one */
    struct tls_peer_host tls;
    bool worn;                 /* the server changes its keys unasked, after so many records */
    uint64_t resumed, updates; /* of all clients: sessions resumed, KeyUpdates of the server */
    double keep, refuse;
    uint64_t keep_ns;
    uint64_t responses; /* complete ones, of all clients */
    uint64_t bytes;     /* of entities */
    uint32_t rcv_wnd_bytes;
    char etags[SHELF_OBJECTS][READER_FIELD_BYTES];
};

struct client {
    struct client_host *host;
    struct tcp_conn *conn;
    uint32_t number;
    uint16_t port;
    /* The plan. */
    struct client_want wants[CLIENT_REQUESTS_MAX];
    uint32_t want_count;
    char *text;
    uint32_t text_len;
    bool secure;
    struct tls_peer_plan tls_plan;
    uint32_t ahead; /* requests unanswered at a time */
    uint64_t think_ns;
    enum client_close close;
    uint64_t start_after_ns, abort_after_ns, vanish_after_ns; /* WORLD_NEVER: not at all */
    uint64_t stop_at, stop_ns;
    /* How far it has come. */
    bool started, opened, closed_out, peer_closed, ended, aborting, vanished;
    bool cut;             /* the server has said that it closes */
    bool trusted;         /* the server has shown that it, too, has finished the handshake */
    bool truncated;       /* but not by TLS, before its FIN */
    uint32_t updates_due; /* KeyUpdates that the server has to have sent when all is answered */
    const uint8_t *wire;  /* what it sends: the text, or what TLS makes of it */
    uint8_t *sealed;      /* CLIENT_WIRE_BYTES, with TLS */
    uint32_t wire_len;
    struct tls_peer tls;
    enum tcp_end end;
    uint32_t asked, answered;
    uint64_t acked, received, kept;
    struct world_event start, write, give, abort, vanish;
    /* The answer under way. */
    struct reader reader;
    uint32_t status;
    struct client_range parts[CLIENT_RANGES_MAX];
    uint32_t part_count;
    uint64_t part_bytes, entity_bytes;
};

/* Draws the client's requests, none larger than `bytes_max`. */
must_check int client_draw(struct client *client, struct client_host *host, uint32_t number,
                           uint64_t bytes_max);
void client_init(struct client *client);
void client_fini(struct client *client);
void client_describe(const struct client *client, char *text, size_t bytes);
/* After the end: has it got what it came for? */
void client_check(struct client *client);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * tls_peer.h - the client's end of TLS: OpenSSL, with what it sends and receives in memory.
 *
 * It stands between a client's HTTP and its TCP: tls_peer_write and tls_peer_feed take what one of
 * them has to say, ops hand it to the other. OpenSSL takes nothing on trust: a record whose number,
 * key, length or bytes are not what they must be is an error, and so is whatever comes behind a
 * close_notify. The server's certificate is verified.
 */
#ifndef SIM_TLS_PEER_H
#define SIM_TLS_PEER_H

#include "crypto.h"

#include <openssl/ssl.h>

/* What the clients of a run share: a session to resume is there for any of them. */
struct tls_peer_host {
    SSL_CTX *ctx;
    /* By version and suite: the last that came with a ticket; or NULL. */
    SSL_SESSION *sessions[TLSREC_TLS13 + 1][TLSREC_CHACHA20_POLY1305 + 1];
};

must_check int tls_peer_host_open(struct tls_peer_host *host, const struct crypto *crypto);
void tls_peer_host_close(struct tls_peer_host *host);

struct tls_peer_plan {
    enum tlsrec_version version;
    enum tlsrec_suite suite;
    bool resumes;     /* if there is a session */
    bool alpn;        /* offers http/1.1; else nothing */
    bool notifies;    /* says close_notify before its FIN */
    uint8_t fragment; /* RFC 6066 4: 1 to 4, or 0 */
    double updates;   /* how often a KeyUpdate comes before a request */
};

struct tls_peer_ops {
    void (*send)(void *arg, const uint8_t *data, size_t len);
    void (*ready)(void *arg); /* the handshake is over: requests may be written */
    void (*plain)(void *arg, const uint8_t *data, size_t len);
};

struct tls_peer {
    const struct tls_peer_ops *ops;
    void *arg;
    struct tls_peer_host *host;
    struct tls_peer_plan plan;
    SSL *ssl;
    BIO *in, *out;
    bool ready;
    bool closed;             /* the server has said close_notify */
    uint32_t updates_wanted; /* KeyUpdates that ask for one of the server's */
    uint32_t updates_seen;
    char error[128]; /* empty as long as all is well */
};

must_check int tls_peer_open(struct tls_peer *peer, struct tls_peer_host *host,
                             const struct tls_peer_plan *plan, const struct tls_peer_ops *ops,
                             void *arg);
void tls_peer_close(struct tls_peer *peer);
/* All of these: false, and peer->error says why. */
bool tls_peer_start(struct tls_peer *peer);
bool tls_peer_feed(struct tls_peer *peer, const uint8_t *data, size_t len);
bool tls_peer_write(struct tls_peer *peer, const void *data, size_t len);
bool tls_peer_update(struct tls_peer *peer, bool wanted);
bool tls_peer_notify(struct tls_peer *peer);

#endif

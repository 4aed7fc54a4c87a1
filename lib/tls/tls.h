// SPDX-License-Identifier: BSD-2-Clause
/*
 * tls.h - the control half of TLS 1.2 and 1.3: handshakes.
 *
 * OpenSSL does it, through memory; the other half, all bytes both ways once the handshake is over,
 * is tlsrec's, whose keys come from here:
 *
 *     client's bytes --> tls_step: OpenSSL --> our flight          until TLS_READY
 *                                         --> struct tls_handover --> tlsrec, its inbox
 *
 * After that the connection is of no more use, and what it takes (OpenSSL's part is 14 KB) can be
 * given back.
 *
 * Owners. A context is what the operator configured, at one time: certificates, policy. It is
 * immutable and counted, so that a new one can take its place while connections of the old go on;
 * any thread. Tickets are apart from it because they outlive it: their keys are shared by all
 * workers. A connection belongs to one thread at a time: a worker, or the desk while it has a job.
 *
 * The desk is who computes handshakes, so that a signature of a millisecond does not hold up a
 * turn: threads of its own, each of which takes one step of one connection at a time. With no
 * thread, steps are taken within tls_desk_reap, a few at a time (the simulator has it so).
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "tlsrec/tlsrec.h"

/* --- what the operator says ------------------------------------------------------------------- */

struct tls_identity {
    const char *cert_path; /* PEM: the server's certificate first, then its chain */
    const char *key_path;  /* PEM: its key, EC P-256/P-384, Ed25519 or RSA of 2048 bits or more */
    const char *ocsp_path; /* DER of an OCSP response to staple; or NULL */
};

#define TLS_IDENTITIES_MAX 64
/* The longest flight of ours: hello, chain, staple, signature. Longer chains are refused. */
#define TLS_FLIGHT_BYTES 16384

struct tls_tickets;

struct tls_policy {
    /* Chosen by SNI, the first where none fits. Several for the same names, with keys of different
     * kinds, are one: what the client can verify chooses between them. */
    const struct tls_identity *identities;
    uint32_t identity_count;
    enum tlsrec_version min_version;
    /* OpenSSL's names with ':' between, or NULL: all that there are. In order of preference, where
     * a client's wish for ChaCha20 comes first. A version that none is named for is not spoken. */
    const char *suites;
    struct tls_tickets *tickets; /* or NULL: no resumption */
};

/* Keys that seal session tickets (RFC 5077, 8446 4.6.1): made at random, a new one every
 * `rotate_s`; the one before is still good for opening, and its sessions get a new ticket. */
#define TLS_TICKET_ROTATE_S (12 * 3600)
must_check int tls_tickets_open(struct tls_tickets **out, uint32_t rotate_s);
void tls_tickets_turn(struct tls_tickets *tickets, int64_t now_s); /* any thread, now and then */
void tls_tickets_close(struct tls_tickets *tickets);

struct tls_ctx;
/* -EINVAL (a file), -ENOTSUP (the suites), both with a sentence in `why` that says which and what
 * to do; or -ENOMEM. */
must_check int tls_ctx_open(struct tls_ctx **out, const struct tls_policy *policy, char *why,
                            size_t why_bytes);
/* One of its keys is RSA, or on P-384: such a signature takes half a millisecond or more, and with
 * P-256 or Ed25519 a twentieth of that. */
bool tls_ctx_signs_slowly(const struct tls_ctx *ctx);
struct tls_ctx *tls_ctx_hold(struct tls_ctx *ctx); /* any thread */
void tls_ctx_put(struct tls_ctx *ctx);             /* any thread; the last reference frees it */

/* --- a connection ----------------------------------------------------------------------------- */

struct tls_conn;
must_check int tls_conn_open(struct tls_conn **out, struct tls_ctx *ctx); /* holds ctx; -ENOMEM */
void tls_conn_close(struct tls_conn *conn);                               /* wipes */

enum tls_step {
    TLS_MORE,   /* the client must say more */
    TLS_READY,  /* the handshake is over: the handover is valid */
    TLS_FAILED, /* what is in `out` (an alert, where the RFC asks for one) is the last word */
};

/* What the keys are made from, and where they stand. */
struct tls_handover {
    enum tlsrec_version version;
    enum tlsrec_suite suite;
    /* Records that OpenSSL sealed and opened with these keys: the former are in the flight. */
    uint64_t sealed, opened;
    /* TLS 1.3: server_ and client_application_traffic_secret_0 */
    uint8_t our_secret[TLSREC_SECRET_MAX], their_secret[TLSREC_SECRET_MAX];
    struct tlsrec_master master; /* TLS 1.2 */
    /* Bytes that arrived behind the client's Finished; the connection's. */
    const uint8_t *behind;
    size_t behind_len;
    uint32_t full_bytes; /* what the client's max_fragment_length allows, or 0 */
    bool resumed;
};

/*
 * Takes `len` bytes from the client, all of them, and writes our answer, at most `room` bytes
 * (TLS_FLIGHT_BYTES are always enough; a step that would need more fails).
 */
must_check enum tls_step tls_step(struct tls_conn *conn, const uint8_t *in, size_t len,
                                  uint8_t *out, size_t room, size_t *out_len);
/* After TLS_FAILED: the client sent a plain HTTP request; it would understand a plain answer. */
bool tls_spoke_http(const struct tls_conn *conn);
/* Once, after TLS_READY. The caller wipes it. */
void tls_handover(struct tls_conn *conn, struct tls_handover *handover);

/* --- the desk --------------------------------------------------------------------------------- */

/* A step to take. The caller owns it and keeps it, and all that it points to, untouched until it is
 * reaped. */
struct tls_job {
    struct tls_conn *conn;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out; /* TLS_FLIGHT_BYTES */
    size_t out_len;
    bool cancelled; /* atomic; set by the owner when nobody needs the result: a step that has not
                       begun then fails without an answer */
    enum tls_step result;
    struct tls_job *next; /* private: */
};

struct tls_desk;
#define TLS_STEPS_PER_REAP 1 /* without threads */
/* Threads of nice value 5 or so: packets come first. -ENOMEM, -EAGAIN (no thread). */
must_check int tls_desk_open(struct tls_desk **out, uint32_t threads);
/* First come, first served; never blocks, never fails. */
void tls_desk_submit(struct tls_desk *desk, struct tls_job *job);
/* Jobs that are done, at most `max`. One relaxed load when there are none. */
uint32_t tls_desk_reap(struct tls_desk *desk, struct tls_job **jobs, uint32_t max);
/* Readable when jobs are done; -1 without threads. Reaping all of them makes it quiet. */
int tls_desk_fd(const struct tls_desk *desk);
/* Whether reap has something to do now without any thread's help. */
bool tls_desk_busy(const struct tls_desk *desk);
/* Waits for the steps that are being taken; jobs not begun are not taken. */
void tls_desk_close(struct tls_desk *desk);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * secure.h - a session over TLS: secure.c has the handshake, and what the client sends; records.c
 * what we send.
 *
 * A secure session is a session with TLS around it. HTTP knows nothing of it: it says how many
 * bytes of plaintext its stream has grown by (records_carry), and is told which of them have
 * arrived.
 *
 *     plaintext   |response           |response                      |
 *     runs        |flight|run |run    |run    |run     |run    |note |
 *     wire        0                                            ^ asked   ^ written
 *
 * What TCP's stream consists of are runs, one after the other:
 *
 *     a flight   bytes that OpenSSL wrote during the handshake; kept until they are acknowledged
 *     a run      the next RUN_RECORDS records of a response: arithmetic (tlsrec.h), and their tags
 *     a note     one record of TLS's own: KeyUpdate, alert, close_notify
 *
 * A response is given runs a little ahead of what TCP asks for, and not all at once. So each run
 * has records of the size that suits the window at that time: as long as a segment while it is
 * small, so that every segment can be used as it comes and no window waits for a record to fit;
 * then a block of the disk; then 16 KiB.
 */
#ifndef ATLAS_SECURE_H
#define ATLAS_SECURE_H

#include "session.h"

#define RUN_RECORDS 48
/* Of one connection: 25 MB in flight, if they are full; and no more than that for one who asks for
 * many small parts and acknowledges none. */
#define RUNS_MAX 32
/* Written ahead of what TCP has asked for. */
#define RUN_AHEAD_BYTES (32 * 1024)

enum run_kind {
    RUN_FLIGHT,
    RUN_RESPONSE,
    RUN_NOTE,
};

struct run {
    struct run *next;
    uint32_t refs; /* one of the session, one of each read */
    uint8_t kind;
    bool last_word;
    uint64_t wire, wire_bytes;
    struct response *response; /* of RUN_RESPONSE */
    uint64_t plain;            /* where it begins in the response */
    struct tlsrec_run records; /* not of RUN_FLIGHT */
    uint8_t *flight;           /* malloc */
    uint8_t note[TLSREC_NOTE_MAX];
    struct tlsrec_tag tags[RUN_RECORDS]; /* by number in the run, of those sealed */
};

enum secure_stage {
    SECURE_HANDSHAKE,
    SECURE_OPEN,
    SECURE_FAILED, /* our last word is written; what the client says is not listened to */
};

struct secure {
    struct session session; /* first: it is what TCP and the others know */
    struct list link;       /* of the worker's */
    struct tls_conn *tls;   /* until the handshake is over */
    struct tls_job job;     /* in whose hands `tls` is while job_out */
    struct tlsrec records;
    struct tlsrec_inbox inbox;
    struct run *first, *last; /* not acknowledged to the last byte */
    uint32_t run_count;
    uint64_t wire;            /* bytes of TCP's stream so far: the next run begins here */
    uint64_t asked;           /* of these, how far TCP has asked */
    uint64_t arrived;         /* and how far they are acknowledged */
    struct response *opening; /* the response whose next run comes next, or NULL */
    uint64_t opened;          /* bytes of it that have runs */
    uint32_t unrecved;        /* bytes from the client that TCP's window still counts */
    uint32_t full_bytes;      /* the most that the client takes in a record */
    uint8_t stage;
    bool job_out;
    bool update_owed; /* the client asked for a KeyUpdate */
    bool finishing;   /* close_notify and FIN follow the last run */
    bool finished;
};

static inline struct secure *secure_of(struct session *session)
{
    return container_of(session, struct secure, session);
}

/* --- secure.c --------------------------------------------------------------------------------- */

extern const struct tcp_ops secure_ops;
/* The worker's part of TLS; 0, -ENOMEM, -ENOTSUP, -EAGAIN. */
must_check int secure_open(struct worker *worker);
void secure_close(struct worker *worker);
size_t secure_arena_bytes(const struct worker_config *config);
/* Runs at a time that are neither the first of their connection nor its last. */
uint64_t secure_runs_shared(const struct worker_config *config);
/* Handshakes that have come back from the desk. */
void secure_turn(struct worker *worker, uint64_t now_ns);

/* --- records.c -------------------------------------------------------------------------------- */

/* Of session_layer. A response that is carried will get its runs; a read's text is sealed, and when
 * it is not the text that was sealed before the connection must end. */
void records_carry(struct session *session, struct response *response);
bool records_wanted(struct session *session, const struct stream_read *read);
must_check bool records_seal(struct session *session, struct stream_read *read,
                             struct nmio_slice *slice);
void records_forget(struct stream_read *read);
/* Nothing is in flight, nor being read: memory that is for senders is given back. */
void records_rest(struct session *session);

/* Bytes that are not for tlsrec, before the handover. They become the run's own. */
must_check int records_flight(struct secure *secure, uint8_t *bytes, uint32_t count);
/* Queues what TLS itself has to say, and runs, as far as it is time for them. */
void records_ahead(struct secure *secure);
/* Instead of what has no runs yet. */
void records_alert(struct secure *secure, enum tlsrec_alert alert);
/* The stream is acknowledged up to `wire`; returns up to where the plaintext is. */
uint64_t records_arrived(struct secure *secure, uint64_t wire);
void records_drop(struct secure *secure); /* the connection has ended */
uint32_t records_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                      uint64_t now_ns);
uint64_t records_round(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t len);

#endif

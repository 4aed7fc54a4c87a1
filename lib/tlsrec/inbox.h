// SPDX-License-Identifier: BSD-2-Clause
/*
 * inbox.h - the record layer of TLS 1.2 and 1.3, receiving direction: what the peer, a client, says
 * once the handshake is over.
 *
 *     bytes of TCP's stream --> tlsrec_read --> plaintext, a record at a time
 *                                           --> tlsrec_events: the end, a wish, a reason to end
 *
 * Records are opened from where their bytes lie. Only an unfinished one is copied, to memory that
 * it has until it is complete: an inbox that waits for nothing is this struct. Keys are expanded on
 * the stack for as long as a call takes; a request does not pay for more than one expansion.
 *
 * Nothing is believed: not the length, nor the order of things, nor that it ends. Where the RFC
 * names an alert for what is wrong, the event has it. One thread owns an inbox and its engine.
 */
#ifndef TLSREC_INBOX_H
#define TLSREC_INBOX_H

#include "tlsrec/tlsrec.h"

#define TLSREC_INBOX_ROOM (TLSREC_PLAIN_MAX + 1) /* a record's text and, in TLS 1.3, its type */
/* Records in a row that bear no data, however long they take: alerts that warn, changes of keys,
 * empty ones. */
#define TLSREC_IDLE_MAX 32

struct tlsrec_inbox { /* private: */
    struct tlsrec_engine *engine;
    uint8_t *kept; /* malloc: the beginning of a record, or NULL */
    uint32_t kept_bytes, kept_room;
    uint64_t seq; /* of the next record */
    uint8_t version, suite;
    bool over; /* the end has been told */
    uint8_t idle;
    uint8_t message_bytes; /* of a message of the handshake protocol that is not complete */
    uint8_t message[TLSREC_NOTE_MAX];
    uint8_t iv[12];
    uint8_t key[32];
    uint8_t secret[TLSREC_SECRET_MAX]; /* TLS 1.3 */
};

/* `secret`: the client's application_traffic_secret_0, as in tlsrec_init13. */
void tlsrec_inbox_init13(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine,
                         enum tlsrec_suite suite, const uint8_t *secret);
/* `seq`: records that were opened with these keys already: Finished. */
void tlsrec_inbox_init12(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine,
                         enum tlsrec_suite suite, const struct tlsrec_master *master, uint64_t seq);
void tlsrec_inbox_close(struct tlsrec_inbox *inbox); /* wipes */

/* What was seen besides data. */
struct tlsrec_events {
    bool closed;       /* close_notify: the client will send nothing more */
    bool update_asked; /* a KeyUpdate that asks for one of ours */
    bool failed;       /* the connection must end ... */
    bool alert_wanted; /* ... and this alert should be sent first */
    enum tlsrec_alert alert;
};

/*
 * Takes bytes from the front of *in and writes what they decrypt to, until there is a record with
 * data or nothing more to take; returns how many bytes of data: at most TLSREC_PLAIN_MAX, of
 * TLSREC_INBOX_ROOM at `plain`. Call again while it returns more than 0. `closed` and `failed` are
 * told once, by a call that returns 0; whatever the client says after that is thrown away.
 */
must_check size_t tlsrec_read(struct tlsrec_inbox *inbox, const uint8_t **in, size_t *len,
                              uint8_t *plain, struct tlsrec_events *events);
/* Bytes taken of a record that is not complete. */
static inline size_t tlsrec_held(const struct tlsrec_inbox *inbox)
{
    return inbox->kept_bytes;
}

#endif

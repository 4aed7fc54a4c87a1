// SPDX-License-Identifier: BSD-2-Clause
/*
 * inbox.c - from bytes to records, from records to what they say.
 *
 * An inbox that waits for nothing is its struct: keys are expanded on the stack for as long as a
 * call takes. Nothing is believed: not a length, nor the order of things, nor that they end. Where
 * the RFC names an alert for what is wrong, the event has it.
 */
#include "priv.h"

#include "base/bytes.h"

#include <stdlib.h>

#define BODY_MAX           (TLSREC_PLAIN_MAX + 256) /* RFC 8446 5.2; more than 1.2's ciphers need */
#define EXPLICIT_BYTES     8 /* TLS 1.2 with AES-GCM: the nonce's second part (RFC 5288 3) */
#define KEPT_MIN           512
#define CHANGE_CIPHER_SPEC 20
/* Of the handshake protocol (RFC 8446 4) */
#define CLIENT_HELLO     1
#define KEY_UPDATE       24
#define MESSAGE_HEAD     4
#define KEY_UPDATE_BYTES (MESSAGE_HEAD + 1)
#define UPDATE_REQUESTED 1
#define ALERT_BYTES      2
#define ALERT_WARNING    1

static_assert(KEY_UPDATE_BYTES == TLSREC_NOTE_MAX, "the only message that is put together");

/* Keys for as long as a call takes. */
struct opener {
    _Alignas(CACHE_LINE) uint8_t expanded[TLSREC_EXPANDED_BYTES];
    bool is_expanded;
};

/* A record, opened. */
struct opened {
    uint8_t type;
    uint32_t bytes;
};

/* --- opening and closing ---------------------------------------------------------------------- */

static void init(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine, enum tlsrec_version v,
                 enum tlsrec_suite suite)
{
    *inbox =
        (struct tlsrec_inbox){.engine = engine, .version = (uint8_t)v, .suite = (uint8_t)suite};
}

void tlsrec_inbox_init13(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine,
                         enum tlsrec_suite suite, const uint8_t *secret)
{
    init(inbox, engine, TLSREC_TLS13, suite);
    memcpy(inbox->secret, secret, hash_bytes(suite));
    keys_derive13(engine, suite, secret, inbox->key, inbox->iv);
}

void tlsrec_inbox_init12(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine,
                         enum tlsrec_suite suite, const struct tlsrec_master *master, uint64_t seq)
{
    init(inbox, engine, TLSREC_TLS12, suite);
    inbox->seq = seq;
    keys_derive12(engine, suite, master, false, inbox->key, inbox->iv);
}

static void drop_kept(struct tlsrec_inbox *inbox)
{
    free(inbox->kept);
    inbox->kept = NULL;
    inbox->kept_bytes = inbox->kept_room = 0;
}

void tlsrec_inbox_close(struct tlsrec_inbox *inbox)
{
    drop_kept(inbox);
    explicit_bzero(inbox, sizeof(*inbox));
}

size_t tlsrec_held(const struct tlsrec_inbox *inbox)
{
    return inbox->kept_bytes;
}

/* --- ends ------------------------------------------------------------------------------------- */

static void fail(struct tlsrec_events *events, enum tlsrec_alert alert)
{
    events->failed = events->alert_wanted = true;
    events->alert = alert;
}

static bool has_ended(const struct tlsrec_events *events)
{
    return events->closed || events->failed;
}

/* --- bytes to records ------------------------------------------------------------------------- */

static bool is_tls13(const struct tlsrec_inbox *inbox)
{
    return inbox->version == TLSREC_TLS13;
}

/* In TLS 1.3 every type is within, and the version means nothing (RFC 8446 5.1, 5.2). */
static bool head_is_good(const struct tlsrec_inbox *inbox, const uint8_t *head,
                         struct tlsrec_events *events)
{
    if (!is_tls13(inbox) && get_be16(head + 1) != TLS12_VERSION)
        fail(events, TLSREC_PROTOCOL_VERSION);
    else if (is_tls13(inbox) ? head[0] != TLSREC_DATA
                             : head[0] <= CHANGE_CIPHER_SPEC || head[0] > TLSREC_DATA)
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
    else if (get_be16(head + 3) > BODY_MAX)
        fail(events, TLSREC_RECORD_OVERFLOW);
    return !events->failed;
}

/* As much as a record still lacks, or its header. */
static bool keep(struct tlsrec_inbox *inbox, const uint8_t *bytes, uint32_t count)
{
    uint32_t needed = inbox->kept_bytes + count;

    if (needed > inbox->kept_room) {
        uint32_t room = max_u32(max_u32(2 * inbox->kept_room, needed), KEPT_MIN);
        uint8_t *larger;

        room = min_u32(room, HEADER_BYTES + BODY_MAX); /* no record needs more */
        larger = realloc(inbox->kept, room);
        if (!larger)
            return false;
        inbox->kept = larger;
        inbox->kept_room = room;
    }
    memcpy(inbox->kept + inbox->kept_bytes, bytes, count);
    inbox->kept_bytes = needed;
    return true;
}

/* What a record needs that begins like this. 0: it is none. */
static uint32_t record_bytes(const struct tlsrec_inbox *inbox, const uint8_t *from, uint64_t count,
                             struct tlsrec_events *events)
{
    if (count < HEADER_BYTES)
        return HEADER_BYTES;
    return head_is_good(inbox, from, events) ? HEADER_BYTES + get_be16(from + 3) : 0;
}

/* Adds to what is kept until it is a record. NULL: it is none yet, or never will be. */
static const uint8_t *complete(struct tlsrec_inbox *inbox, const uint8_t **in, size_t *len,
                               struct tlsrec_events *events)
{
    for (;;) {
        uint32_t needed = record_bytes(inbox, inbox->kept, inbox->kept_bytes, events), count;

        if (needed == 0)
            return NULL;
        if (inbox->kept_bytes == needed)
            return inbox->kept;
        count = (uint32_t)min_u64(needed - inbox->kept_bytes, *len);
        if (count == 0)
            return NULL;
        if (!keep(inbox, *in, count)) {
            fail(events, TLSREC_INTERNAL_ERROR);
            return NULL;
        }
        *in += count;
        *len -= count;
    }
}

/* The next record, where it lies. NULL: there is none. */
static const uint8_t *next_record(struct tlsrec_inbox *inbox, const uint8_t **in, size_t *len,
                                  struct tlsrec_events *events)
{
    const uint8_t *record = *in;
    uint32_t bytes;

    if (inbox->kept_bytes > 0 || *len < HEADER_BYTES)
        return complete(inbox, in, len, events);
    bytes = record_bytes(inbox, record, *len, events);
    if (bytes == 0)
        return NULL;
    if (bytes > *len)
        return complete(inbox, in, len, events);
    *in += bytes;
    *len -= bytes;
    return record;
}

/* --- records to plaintext --------------------------------------------------------------------- */

/* RFC 8446 5.4: the type is the last byte that is not zero. */
static bool find_type(struct opened *opened, const uint8_t *plain)
{
    while (opened->bytes > 0 && plain[opened->bytes - 1] == 0)
        opened->bytes--;
    if (opened->bytes == 0)
        return false;
    opened->type = plain[--opened->bytes];
    return true;
}

static uint32_t explicit_bytes(const struct tlsrec_inbox *inbox)
{
    return is_tls13(inbox) || inbox->suite == TLSREC_CHACHA20_POLY1305 ? 0 : EXPLICIT_BYTES;
}

/* What is encrypted is as long as what it decrypts to. */
static bool measure(const struct tlsrec_inbox *inbox, const uint8_t *record, struct opened *opened,
                    struct tlsrec_events *events)
{
    uint32_t body = get_be16(record + 3), around = explicit_bytes(inbox) + TLSREC_TAG_BYTES;

    if (body < around)
        fail(events, TLSREC_BAD_RECORD_MAC);
    else if (body - around > TLSREC_PLAIN_MAX + (is_tls13(inbox) ? 1u : 0u))
        fail(events, TLSREC_RECORD_OVERFLOW);
    *opened = (struct opened){.type = record[0], .bytes = body - around};
    return !events->failed;
}

static bool decrypt(const struct tlsrec_inbox *inbox, struct opener *opener, const uint8_t *record,
                    const struct opened *opened, uint8_t *plain)
{
    bool is_explicit = explicit_bytes(inbox) > 0;
    const uint8_t *text = record + HEADER_BYTES + explicit_bytes(inbox);
    uint8_t nonce[NONCE_BYTES], aad[AAD_MAX];
    struct aead_message message = {
        .nonce = nonce, .aad = aad, .text = text, .text_bytes = opened->bytes, .out = plain};

    record_nonce(inbox->iv, is_explicit ? get_be64(record + HEADER_BYTES) : inbox->seq, is_explicit,
                 nonce);
    message.aad_bytes = is_tls13(inbox)
                            ? record_aad13(record, aad)
                            : record_aad12(inbox->seq, record[0], (uint16_t)opened->bytes, aad);
    if (!opener->is_expanded)
        aead_expand(inbox->engine, inbox->suite, inbox->key, opener->expanded);
    opener->is_expanded = true;
    return aead_open(inbox->engine, inbox->suite, opener->expanded, &message, text + opened->bytes);
}

static bool open_record(struct tlsrec_inbox *inbox, struct opener *opener, const uint8_t *record,
                        uint8_t *plain, struct opened *opened, struct tlsrec_events *events)
{
    if (!measure(inbox, record, opened, events))
        return false;
    if (!decrypt(inbox, opener, record, opened, plain))
        fail(events, TLSREC_BAD_RECORD_MAC);
    else if (is_tls13(inbox) && !find_type(opened, plain))
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
    inbox->seq++;
    return !events->failed;
}

/* --- what they say ---------------------------------------------------------------------------- */

/* RFC 8446 6, RFC 5246 7.2: in TLS 1.3 the level means nothing, and two alerts do not end. */
static void take_alert(const struct tlsrec_inbox *inbox, const uint8_t *alert, uint32_t bytes,
                       struct tlsrec_events *events)
{
    if (bytes == 0 && is_tls13(inbox)) /* RFC 8446 5.4 */
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
    else if (bytes != ALERT_BYTES)
        fail(events, TLSREC_DECODE_ERROR);
    else if (alert[1] == TLSREC_CLOSE_NOTIFY)
        events->closed = true;
    else if (is_tls13(inbox) ? alert[1] != TLSREC_USER_CANCELED : alert[0] != ALERT_WARNING)
        events->failed = true; /* the client's own: there is nothing to say to that */
}

/* RFC 8446 4.6.3 */
static void take_update(struct tlsrec_inbox *inbox, struct opener *opener,
                        struct tlsrec_events *events)
{
    if (inbox->message[MESSAGE_HEAD] > UPDATE_REQUESTED) {
        fail(events, TLSREC_ILLEGAL_PARAMETER);
        return;
    }
    events->update_asked |= inbox->message[MESSAGE_HEAD] == UPDATE_REQUESTED;
    keys_next_secret(inbox->engine, inbox->suite, inbox->secret);
    keys_derive13(inbox->engine, inbox->suite, inbox->secret, inbox->key, inbox->iv);
    inbox->seq = 0;
    inbox->message_bytes = 0;
    explicit_bzero(opener->expanded, sizeof(opener->expanded));
    opener->is_expanded = false;
}

/* All that a client may say in TLS 1.3 is KeyUpdate, with nothing behind it in its record; it may
 * come in pieces (RFC 8446 5.1). In TLS 1.2 it may ask for another handshake, which we refuse. */
static void take_handshake(struct tlsrec_inbox *inbox, struct opener *opener, const uint8_t *bytes,
                           uint32_t count, struct tlsrec_events *events)
{
    static const uint8_t head[MESSAGE_HEAD] = {KEY_UPDATE, 0, 0, 1};
    uint32_t known;

    if (!is_tls13(inbox)) {
        bool is_hello = count > 0 && bytes[0] == CLIENT_HELLO;

        fail(events, is_hello ? TLSREC_NO_RENEGOTIATION : TLSREC_UNEXPECTED_MESSAGE);
        return;
    }
    if (count == 0 || inbox->message_bytes + count > KEY_UPDATE_BYTES) {
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
        return;
    }
    memcpy(inbox->message + inbox->message_bytes, bytes, count);
    inbox->message_bytes += (uint8_t)count;
    known = min_u32(inbox->message_bytes, MESSAGE_HEAD);
    if (inbox->message[0] != KEY_UPDATE)
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
    else if (memcmp(inbox->message, head, known) != 0)
        fail(events, TLSREC_DECODE_ERROR);
    else if (inbox->message_bytes == KEY_UPDATE_BYTES)
        take_update(inbox, opener, events);
}

/* Nothing may come between the pieces of a message. */
static void take_idle(struct tlsrec_inbox *inbox, struct opener *opener,
                      const struct opened *opened, const uint8_t *plain,
                      struct tlsrec_events *events)
{
    if (opened->type == TLSREC_HANDSHAKE)
        take_handshake(inbox, opener, plain, opened->bytes, events);
    else if (inbox->message_bytes > 0)
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
    else if (opened->type == TLSREC_ALERT)
        take_alert(inbox, plain, opened->bytes, events);
    else if (opened->type != TLSREC_DATA)
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
    if (++inbox->idle > TLSREC_IDLE_MAX && !has_ended(events))
        fail(events, TLSREC_UNEXPECTED_MESSAGE);
}

/* Returns how much of it is data. */
static uint32_t take(struct tlsrec_inbox *inbox, struct opener *opener, const struct opened *opened,
                     const uint8_t *plain, struct tlsrec_events *events)
{
    if (opened->type == TLSREC_DATA && opened->bytes > 0 && inbox->message_bytes == 0) {
        inbox->idle = 0;
        return opened->bytes;
    }
    take_idle(inbox, opener, opened, plain, events);
    return 0;
}

/* The end is told once. */
static void end_input(struct tlsrec_inbox *inbox, const uint8_t **in, size_t *len)
{
    inbox->over = true;
    drop_kept(inbox);
    *in += *len;
    *len = 0;
}

size_t tlsrec_read(struct tlsrec_inbox *inbox, const uint8_t **in, size_t *len, uint8_t *plain,
                   struct tlsrec_events *events)
{
    struct opener opener;
    const uint8_t *record;
    uint32_t got = 0;

    memset(events, 0, sizeof(*events));
    opener.is_expanded = false;
    while (!inbox->over && !has_ended(events) && got == 0 &&
           (record = next_record(inbox, in, len, events))) {
        struct opened opened;

        if (open_record(inbox, &opener, record, plain, &opened, events))
            got = take(inbox, &opener, &opened, plain, events);
        if (record == inbox->kept)
            drop_kept(inbox);
    }
    if (opener.is_expanded)
        explicit_bzero(opener.expanded, sizeof(opener.expanded));
    if (inbox->over || has_ended(events))
        end_input(inbox, in, len);
    return got;
}

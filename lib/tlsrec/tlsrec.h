// SPDX-License-Identifier: BSD-2-Clause
/*
 * tlsrec.h - the record layer of TLS 1.2 and 1.3 (RFC 5246, 5288, 7905, 8446). Receiving is at the
 * end of this file. Sending is pure: whoever did the handshake hands over secrets and a sequence
 * number; from then on every byte on the wire is a function of its offset, because the nonce is:
 *
 *     plaintext of a run   |head|           body of the response, `plain` 0 to plain_bytes       |
 *                          |s|s|s|s|..|s|          full          |          full          |rest |
 *     record number        seq  +1  +2 ..          +n                       +n+1           +n+2
 *     record               [5 or 13: header, nonce][text][1: type, 1.3 only][16: tag]
 *     wire                 ^ run.wire, an offset of TCP's stream; records lie end to end
 *
 * A run is what the stream grows by at once: one response, or one message of TLS itself (a note).
 * Its length is known when it is opened, so that its records, their numbers and their places on the
 * wire are arithmetic on 48 bytes, whatever its length. First come small records, each of which
 * fits a segment and can be read as soon as that has arrived; from `bulk_at` on they are full.
 * bulk_at lies on a block boundary of the disk: a full record is whole blocks, sealed where they
 * were read to.
 *
 * A range of the wire is answered piece by piece, a piece being what lies in one record:
 *
 *     tlsrec_piece_at           wire range -> record, and from where to where in it
 *     tlsrec_piece_text         the plaintext that is needed for that: what to read
 *     tlsrec_seal               the whole record, or
 *     tlsrec_seal_range         just the piece: both ciphers are counters, neither needs the rest
 *
 * The first time a record must be sealed as a whole and in its turn; its tag is given to the
 * caller, who keeps it until the record is acknowledged. Sealed as a whole again the tag must be
 * the same: other plaintext under the same nonce gives both away, so it is wiped instead of
 * returned. A range cannot be checked like that. It is for sources that cannot change; any other
 * source seals whole records again.
 *
 * Order of calls: tlsrec_engine_open once a worker; per connection tlsrec_init12 or _init13,
 * tlsrec_attach before sealing and tlsrec_detach when nothing is in flight (idle connections need
 * no expanded keys), tlsrec_run_open for each response, tlsrec_acked as TCP reports it, and
 * tlsrec_close, which wipes. One thread owns an engine and its connections.
 */
#ifndef TLSREC_TLSREC_H
#define TLSREC_TLSREC_H

#include "mem/mem.h"

enum tlsrec_version { TLSREC_TLS12, TLSREC_TLS13 };
enum tlsrec_suite { TLSREC_AES_128_GCM, TLSREC_AES_256_GCM, TLSREC_CHACHA20_POLY1305 };

/* RFC 8446 5.1 */
enum tlsrec_type {
    TLSREC_ALERT = 21,
    TLSREC_HANDSHAKE = 22,
    TLSREC_DATA = 23,
};

#define TLSREC_PLAIN_MAX    16384 /* RFC 8446 5.1 */
#define TLSREC_TAG_BYTES    16
#define TLSREC_HEAD_MAX     13 /* 5, and 8 of TLS 1.2's explicit nonce */
#define TLSREC_TAIL_MAX     17 /* TLS 1.3's inner type, and the tag */
#define TLSREC_SECRET_MAX   48 /* SHA-384 */
#define TLSREC_MASTER_BYTES 48
#define TLSREC_RANDOM_BYTES 32

/* RFC 8446 5.5: 2^24.5 full records with one AES-GCM key. TLS 1.2 names no limit, but has the same
 * cipher. ChaCha20-Poly1305's numbers would wrap first; that is what its limit keeps away from. */
#define TLSREC_GCM_RECORDS    23726566ull
#define TLSREC_CHACHA_RECORDS (1ull << 62)
/* Of which no run takes these: a KeyUpdate, an alert, close_notify, and one to spare. */
#define TLSREC_NOTE_RECORDS 4

/* --- the worker's engine, and a connection's keys -------------------------------------------- */

struct tlsrec_engine;

/* -ENOMEM, or -ENOTSUP where the processor lacks AES or the cipher library fails its self-test. */
must_check int tlsrec_engine_open(struct tlsrec_engine **out, struct mem_arena *arena);
void tlsrec_engine_close(struct tlsrec_engine *engine);

#define TLSREC_EXPANDED_BYTES 1024 /* round keys, and powers of the hash key */

/* Expanded keys of two generations, 2 KiB: from a pool, while a connection has bytes to send. */
struct tlsrec_keys {
    _Alignas(CACHE_LINE) uint8_t expanded[2][TLSREC_EXPANDED_BYTES]; /* private: */
};

struct tlsrec_generation { /* private: */
    uint64_t sealed;       /* records below this number were sealed before */
    bool live;
    uint8_t iv[12];
    uint8_t key[32];
};

struct tlsrec { /* private: */
    struct tlsrec_engine *engine;
    struct tlsrec_keys *keys; /* NULL when detached */
    uint64_t wire;            /* where the next run begins */
    uint64_t began;           /* where this generation began */
    uint64_t reserved;        /* records of this generation below this number belong to runs */
    uint64_t records_max;
    uint32_t number; /* of the generation; 0 after the handshake */
    uint8_t version, suite;
    struct tlsrec_generation generations[2]; /* this one, and the last while it is needed */
    uint8_t secret[TLSREC_SECRET_MAX];       /* TLS 1.3 */
};

/* What the handshake left behind in the direction that is taken over. */
struct tlsrec_start {
    uint64_t seq;         /* records sealed with these keys already (tickets; 1.2's Finished) */
    uint64_t wire;        /* offset in TCP's stream of our first byte */
    uint64_t records_max; /* fewer than the cipher's limit but more than notes take; 0: its limit */
};

struct tlsrec_master { /* TLS 1.2 */
    uint8_t secret[TLSREC_MASTER_BYTES];
    uint8_t client_random[TLSREC_RANDOM_BYTES];
    uint8_t server_random[TLSREC_RANDOM_BYTES];
};

/* `secret`: application_traffic_secret_0 of the sender, 48 bytes for AES-256-GCM and 32 else. */
void tlsrec_init13(struct tlsrec *tls, struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const uint8_t *secret, const struct tlsrec_start *start);
void tlsrec_init12(struct tlsrec *tls, struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const struct tlsrec_master *master, bool is_server,
                   const struct tlsrec_start *start);
void tlsrec_attach(struct tlsrec *tls, struct tlsrec_keys *keys);
struct tlsrec_keys *tlsrec_detach(struct tlsrec *tls); /* wiped; NULL if there were none */
/* Bytes below this offset are acknowledged: keys that nobody needs again are wiped. */
void tlsrec_acked(struct tlsrec *tls, uint64_t wire);
void tlsrec_close(struct tlsrec *tls); /* detached before */

/* --- runs ----------------------------------------------------------------------------------- */

struct tlsrec_rule {
    uint32_t small_count; /* records to begin with that fit a segment: 0 when the window is open */
    uint32_t small_wire;  /* their size on the wire */
    uint32_t full_bytes;  /* 0: TLSREC_PLAIN_MAX. Less if the peer negotiated less */
    uint32_t block_bytes; /* of the disk: a power of two, or 0 if records need not be aligned */
    /* What is read at once: a record ends where it ends, so that records are never read in part
     * nor buffers filled in part. The last one of each group may thus be shorter. 0: no groups. */
    uint32_t group_bytes;
};

struct tlsrec_run {
    uint64_t wire;
    uint64_t plain_bytes;
    uint64_t seq;     /* of the first record */
    uint64_t bulk_at; /* private: plaintext offset of the first full record */
    uint32_t generation;
    uint32_t group_bytes; /* from bulk_at on; full_bytes if there are no groups */
    uint32_t group_records;
    uint16_t small_bytes; /* plaintext of each record before bulk_at; the last may have less */
    uint16_t full_bytes;
    uint8_t head, tail, type;
};

/*
 * The run that follows on those opened before. block_at: the first offset in the plaintext that is
 * at a block boundary of the disk (the length of a response's head, if the body begins at one);
 * with groups, where the first of them begins.
 * Returns how much of the plaintext it covers: less than asked for where the keys may seal no more
 * records. Then a KeyUpdate is due (TLS 1.2: the end of the connection), and a run for the rest.
 */
must_check uint64_t tlsrec_run_open(struct tlsrec *tls, const struct tlsrec_rule *rule,
                                    uint64_t plain_bytes, uint64_t block_at,
                                    struct tlsrec_run *run);
uint64_t tlsrec_run_records(const struct tlsrec_run *run);
uint64_t tlsrec_run_wire_bytes(const struct tlsrec_run *run);
/* Where on the wire a byte of the plaintext is. */
uint64_t tlsrec_run_wire_at(const struct tlsrec_run *run, uint64_t plain);

struct tlsrec_record {
    uint64_t wire;  /* of its header */
    uint64_t plain; /* of its first byte, in the run */
    uint64_t seq;
    uint32_t generation;
    uint16_t plain_bytes;
    uint8_t head, tail, type;
};

static inline uint32_t tlsrec_record_bytes(const struct tlsrec_record *record)
{
    return (uint32_t)record->head + record->plain_bytes + record->tail;
}

/* Bytes [from, to) of a record. */
struct tlsrec_piece {
    struct tlsrec_record record;
    uint32_t from, to;
};

void tlsrec_record_nth(const struct tlsrec_run *run, uint64_t n, struct tlsrec_record *record);
/* `plain` and `wire` lie in the run. */
void tlsrec_record_at(const struct tlsrec_run *run, uint64_t plain, struct tlsrec_record *record);
/* As much of the len > 0 bytes from `wire` on as is in the same record. */
void tlsrec_piece_at(const struct tlsrec_run *run, uint64_t wire, uint64_t len,
                     struct tlsrec_piece *piece);
/* Length of the plaintext that a piece is made of, and where it begins in the run. */
uint32_t tlsrec_piece_text(const struct tlsrec_piece *piece, uint64_t *plain);

/* --- notes: what TLS itself has to say ------------------------------------------------------- */

#define TLSREC_NOTE_MAX 5

/* A run of one record, with its text. It is queued, sealed and acknowledged as any other. */
struct tlsrec_note {
    struct tlsrec_run run;
    uint8_t text[TLSREC_NOTE_MAX];
};

/* RFC 8446 6; others as they are needed */
enum tlsrec_alert {
    TLSREC_CLOSE_NOTIFY = 0,
    TLSREC_UNEXPECTED_MESSAGE = 10,
    TLSREC_BAD_RECORD_MAC = 20,
    TLSREC_RECORD_OVERFLOW = 22,
    TLSREC_ILLEGAL_PARAMETER = 47,
    TLSREC_DECODE_ERROR = 50,
    TLSREC_PROTOCOL_VERSION = 70,
    TLSREC_INTERNAL_ERROR = 80,
    TLSREC_USER_CANCELED = 90,
    TLSREC_NO_RENEGOTIATION = 100,
};

/* -EOVERFLOW when the keys are used up. */
must_check int tlsrec_alert(struct tlsrec *tls, enum tlsrec_alert description,
                            struct tlsrec_note *note);
/* Whether a KeyUpdate should be sent at the next chance: half of the records are used. */
bool tlsrec_update_due(const struct tlsrec *tls);
/* The KeyUpdate message, last of its generation; runs opened later belong to the next. Asked-for
 * updates are answered with request_peer false (RFC 8446 4.6.3). -EBUSY while bytes of the
 * generation before are unacknowledged, -ENOTSUP with TLS 1.2. */
must_check int tlsrec_key_update(struct tlsrec *tls, bool request_peer, struct tlsrec_note *note);

/* --- sealing --------------------------------------------------------------------------------- */

struct tlsrec_tag {
    uint8_t bytes[TLSREC_TAG_BYTES];
};

enum tlsrec_verdict {
    TLSREC_SEALED,  /* for the first time; the tag was stored */
    TLSREC_SAME,    /* again, with the tag that it had */
    TLSREC_DIFFERS, /* again, and not with that: `out` is wiped, the connection must end */
};

/* Whether the record was sealed before, so that there is a tag of it. */
bool tlsrec_was_sealed(const struct tlsrec *tls, const struct tlsrec_record *record);
/*
 * Writes tlsrec_record_bytes at `out`. `text`: plain_bytes, at out + head (in a chunk: header in
 * the headroom, type and tag in the tailroom) or apart from all of it. A record that was not sealed
 * before must be the next one of its generation.
 */
must_check enum tlsrec_verdict tlsrec_seal(struct tlsrec *tls, const struct tlsrec_record *record,
                                           uint8_t *out, const uint8_t *text,
                                           struct tlsrec_tag *tag);
/* Writes to - from bytes at `out`, of a record that was sealed before and had this tag. `text`:
 * what tlsrec_piece_text says, where the ciphertext of it will lie or apart from it. */
void tlsrec_seal_range(const struct tlsrec *tls, const struct tlsrec_piece *piece, uint8_t *out,
                       const uint8_t *text, const struct tlsrec_tag *tag);

/* --- receiving: what a client says once the handshake is over ----------------------------------
 */

#define TLSREC_INBOX_ROOM (TLSREC_PLAIN_MAX + 1) /* a record's text and, in TLS 1.3, its type */
#define TLSREC_IDLE_MAX   32 /* records in a row without data, however long they take */

/* Records are opened from where their bytes lie; only of an unfinished one there is a copy. */
struct tlsrec_inbox { /* private: */
    struct tlsrec_engine *engine;
    uint8_t *kept; /* malloc: the beginning of a record, or NULL */
    uint32_t kept_bytes, kept_room;
    uint64_t seq; /* of the next record */
    bool over;    /* the end has been told */
    uint8_t version, suite, idle, message_bytes;
    uint8_t message[TLSREC_NOTE_MAX]; /* of the handshake protocol, not complete */
    uint8_t iv[12], key[32], secret[TLSREC_SECRET_MAX];
};

/* `secret`: the client's; `seq`: records that were opened with these keys already (Finished). */
void tlsrec_inbox_init13(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine,
                         enum tlsrec_suite suite, const uint8_t *secret);
void tlsrec_inbox_init12(struct tlsrec_inbox *inbox, struct tlsrec_engine *engine,
                         enum tlsrec_suite suite, const struct tlsrec_master *master, uint64_t seq);
void tlsrec_inbox_close(struct tlsrec_inbox *inbox); /* wipes */

struct tlsrec_events { /* what was seen besides data */
    bool closed;       /* close_notify: the client will send nothing more */
    bool update_asked; /* a KeyUpdate that asks for one of ours */
    bool failed;       /* the connection must end ... */
    bool alert_wanted; /* ... and this alert should be sent first */
    enum tlsrec_alert alert;
};

/* Takes bytes from the front of *in, until there is a record with data or nothing more to take;
 * returns how many bytes of data are at `plain`, which has TLSREC_INBOX_ROOM. Call again while it
 * returns more than 0. `closed` and `failed` are told once, by a call that returns 0; whatever the
 * client says after that is thrown away. */
must_check size_t tlsrec_read(struct tlsrec_inbox *inbox, const uint8_t **in, size_t *len,
                              uint8_t *plain, struct tlsrec_events *events);
size_t tlsrec_held(const struct tlsrec_inbox *inbox); /* bytes of a record that is not complete */

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * run.c - the arithmetic of runs: plaintext offset <-> record number <-> wire offset.
 *
 * Record n of a run begins at plaintext offset
 *
 *     n * small_bytes                           of the records before bulk_at, `count` of them
 *     bulk_at + g * group_bytes + k * full_bytes
 *                                               from there on, if it is the k-th of group g
 *
 * and on the wire n times (head + tail) bytes farther. The last record before bulk_at has what is
 * left, and so has the last of each group, and of the run.
 */
#include "priv.h"

#include <errno.h>

#define EXPLICIT_NONCE_BYTES 8
/* A segment too small for this carries part of a record: that is slow, not wrong. */
#define SMALL_MIN 64

static uint32_t around(const struct tlsrec_run *run)
{
    return (uint32_t)run->head + run->tail;
}

/* Records before bulk_at. */
static uint64_t small_records(const struct tlsrec_run *run)
{
    return (run->bulk_at + run->small_bytes - 1) / run->small_bytes;
}

/* Where record n begins, were the run endless. */
static uint64_t plain_begin(const struct tlsrec_run *run, uint64_t n)
{
    uint64_t small = small_records(run);

    if (n < small)
        return n * run->small_bytes;
    n -= small;
    return run->bulk_at + n / run->group_records * run->group_bytes +
           n % run->group_records * run->full_bytes;
}

static uint64_t record_of_plain(const struct tlsrec_run *run, uint64_t plain)
{
    if (plain < run->bulk_at)
        return plain / run->small_bytes;
    plain -= run->bulk_at;
    return small_records(run) + plain / run->group_bytes * run->group_records +
           plain % run->group_bytes / run->full_bytes;
}

/* `wire` counts from the beginning of the run. */
static uint64_t record_of_wire(const struct tlsrec_run *run, uint64_t wire)
{
    uint64_t small = small_records(run), bulk_wire = run->bulk_at + small * around(run);
    uint64_t group_wire = run->group_bytes + run->group_records * around(run);

    if (wire < bulk_wire)
        return wire / (run->small_bytes + around(run));
    wire -= bulk_wire;
    return small + wire / group_wire * run->group_records +
           wire % group_wire / (run->full_bytes + around(run));
}

/* --- opening -----------------------------------------------------------------------------------
 */

static void shape(const struct tlsrec *tls, uint8_t type, struct tlsrec_run *run)
{
    bool is_13 = tls->version == TLSREC_TLS13;
    bool has_nonce = !is_13 && tls->suite != TLSREC_CHACHA20_POLY1305;

    *run = (struct tlsrec_run){.wire = tls->wire,
                               .seq = tls->reserved,
                               .generation = tls->number,
                               .small_bytes = TLSREC_PLAIN_MAX,
                               .full_bytes = TLSREC_PLAIN_MAX,
                               .group_bytes = TLSREC_PLAIN_MAX,
                               .group_records = 1,
                               .head = HEADER_BYTES + (has_nonce ? EXPLICIT_NONCE_BYTES : 0),
                               .tail = (is_13 ? 1 : 0) + TLSREC_TAG_BYTES,
                               .type = type};
}

/*
 * Full records begin at a block boundary. With small ones in front it is the first that leaves room
 * for as many as were asked for. Without, it is the last that one record reaches: the head of a
 * response and the first blocks of its body are in one record, and nothing is read twice. Groups
 * begin where they are told to.
 */
static void place_bulk(struct tlsrec_run *run, const struct tlsrec_rule *rule, uint64_t block_at)
{
    uint64_t block = max_u64(rule->block_bytes, 1), small_total;

    if (rule->full_bytes > 0)
        run->full_bytes = (uint16_t)min_u32(rule->full_bytes, TLSREC_PLAIN_MAX);
    run->small_bytes = run->full_bytes;
    run->group_bytes = rule->group_bytes ? rule->group_bytes : run->full_bytes;
    run->group_records = (run->group_bytes - 1) / run->full_bytes + 1;
    if (rule->small_count == 0 && rule->group_bytes) {
        run->bulk_at = block_at;
        return;
    }
    if (rule->small_count == 0) {
        run->bulk_at = block_at < run->full_bytes
                           ? block_at + align_down(run->full_bytes - block_at, block)
                           : block_at;
        return;
    }
    run->small_bytes = (uint16_t)min_u32(
        max_u32(rule->small_wire, SMALL_MIN + around(run)) - around(run), run->full_bytes);
    small_total = (uint64_t)rule->small_count * run->small_bytes;
    run->bulk_at =
        small_total > block_at ? block_at + align_up(small_total - block_at, block) : block_at;
}

uint64_t tlsrec_run_open(struct tlsrec *tls, const struct tlsrec_rule *rule, uint64_t plain_bytes,
                         uint64_t block_at, struct tlsrec_run *run)
{
    uint64_t usable = tls->records_max - min_u64(tls->records_max, TLSREC_NOTE_RECORDS);
    uint64_t left = usable - min_u64(usable, tls->reserved);

    assert(rule->block_bytes == 0 || is_pow2(rule->block_bytes));
    shape(tls, TLSREC_DATA, run);
    place_bulk(run, rule, min_u64(block_at, plain_bytes));
    run->plain_bytes = plain_bytes;
    if (tlsrec_run_records(run) > left)
        run->plain_bytes = plain_begin(run, left);
    tls->reserved += tlsrec_run_records(run);
    tls->wire += tlsrec_run_wire_bytes(run);
    return run->plain_bytes;
}

uint64_t tlsrec_run_records(const struct tlsrec_run *run)
{
    return run->plain_bytes == 0 ? 0 : record_of_plain(run, run->plain_bytes - 1) + 1;
}

uint64_t tlsrec_run_wire_bytes(const struct tlsrec_run *run)
{
    return run->plain_bytes + tlsrec_run_records(run) * around(run);
}

uint64_t tlsrec_run_wire_at(const struct tlsrec_run *run, uint64_t plain)
{
    assert(plain < run->plain_bytes);
    return run->wire + plain + record_of_plain(run, plain) * around(run) + run->head;
}

/* --- records and pieces ------------------------------------------------------------------------
 */

void tlsrec_record_nth(const struct tlsrec_run *run, uint64_t n, struct tlsrec_record *record)
{
    uint64_t plain = plain_begin(run, n);
    uint64_t end = min_u64(plain_begin(run, n + 1), run->plain_bytes);

    assert(plain < end);
    *record = (struct tlsrec_record){.wire = run->wire + plain + n * around(run),
                                     .plain = plain,
                                     .seq = run->seq + n,
                                     .generation = run->generation,
                                     .plain_bytes = (uint16_t)(end - plain),
                                     .head = run->head,
                                     .tail = run->tail,
                                     .type = run->type};
}

void tlsrec_record_at(const struct tlsrec_run *run, uint64_t plain, struct tlsrec_record *record)
{
    assert(plain < run->plain_bytes);
    tlsrec_record_nth(run, record_of_plain(run, plain), record);
}

void tlsrec_piece_at(const struct tlsrec_run *run, uint64_t wire, uint64_t len,
                     struct tlsrec_piece *piece)
{
    assert(wire >= run->wire && wire - run->wire < tlsrec_run_wire_bytes(run) && len > 0);
    tlsrec_record_nth(run, record_of_wire(run, wire - run->wire), &piece->record);
    piece->from = (uint32_t)(wire - piece->record.wire);
    piece->to =
        piece->from + (uint32_t)min_u64(len, tlsrec_record_bytes(&piece->record) - piece->from);
}

uint32_t tlsrec_piece_text(const struct tlsrec_piece *piece, uint64_t *plain)
{
    const struct tlsrec_record *r = &piece->record;
    uint32_t text_end = (uint32_t)r->head + r->plain_bytes;
    uint32_t from = min_u32(max_u32(piece->from, r->head), text_end);
    uint32_t to = min_u32(max_u32(piece->to, r->head), text_end);

    *plain = r->plain + from - r->head;
    return to - from;
}

/* --- notes -------------------------------------------------------------------------------------
 */

static int note_open(struct tlsrec *tls, uint8_t type, const uint8_t *text, uint32_t bytes,
                     struct tlsrec_note *note)
{
    if (tls->reserved >= tls->records_max)
        return -EOVERFLOW;
    shape(tls, type, &note->run);
    note->run.plain_bytes = bytes;
    memcpy(note->text, text, bytes);
    tls->reserved++;
    tls->wire += tlsrec_run_wire_bytes(&note->run);
    return 0;
}

/* RFC 8446 6: all are fatal but those that only end things. */
int tlsrec_alert(struct tlsrec *tls, enum tlsrec_alert description, struct tlsrec_note *note)
{
    bool is_warning = description == TLSREC_CLOSE_NOTIFY || description == TLSREC_USER_CANCELED ||
                      description == TLSREC_NO_RENEGOTIATION;
    const uint8_t text[] = {is_warning ? 1 : 2, (uint8_t)description};

    return note_open(tls, TLSREC_ALERT, text, sizeof(text), note);
}

bool tlsrec_update_due(const struct tlsrec *tls)
{
    return tls->version == TLSREC_TLS13 && tls->reserved >= tls->records_max / 2;
}

/* RFC 8446 4.6.3 */
int tlsrec_key_update(struct tlsrec *tls, bool request_peer, struct tlsrec_note *note)
{
    const uint8_t text[] = {24, 0, 0, 1, request_peer ? 1 : 0};
    int rc;

    if (tls->version != TLSREC_TLS13)
        return -ENOTSUP;
    if (generation_of(tls, tls->number + 1)->live)
        return -EBUSY;
    rc = note_open(tls, TLSREC_HANDSHAKE, text, sizeof(text), note);
    if (rc == 0)
        keys_next_generation(tls);
    return rc;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * records.c - the send buffer that is a function, over TLS: runs are opened ahead of what TCP asks
 * for; records_fill turns an offset on the wire into records, and those into a read of their
 * plaintext; records_seal seals what came back, and stream.c hands it to TCP.
 *
 * A record that is asked for alone is sealed where the disk has put it: header in front, tag
 * behind. Several are one read, and are made from it into the worker's spare chunk, each as it is
 * sealed; the chunk that was read into is the spare from then on. A disk answers one question of
 * 60 KiB with less ado than four, and the answer is one frame. Of a
 * full record that was sealed before, just the part that was lost is read and sealed again, if its
 * object cannot have changed; everything else is sealed as a whole, and tlsrec compares the tag.
 */
#include "secure.h"

#include <errno.h>
#include <stdlib.h>

/* A record is at most an eighth of the window: what waits for its record to fit is not used. */
#define BLOCK_WINDOW_BYTES (8 * DISKMAP_BLOCK_BYTES)
#define FULL_WINDOW_BYTES  (8 * TLSREC_PLAIN_MAX)
/* Records that are made apart begin here: room for a frame's headers is left in front. */
#define SEALED_HEADROOM (MEM_CHUNK_HEADROOM - 128)
/* Between text in front of a body and the chunk's beginning there is room for a record's header;
 * and sealed they fit in a chunk, too. */
#define TEXT_BYTES_MAX (SEALED_HEADROOM - 128)
#define MSS_MIN        128 /* of which records are made as long; smaller segments carry parts */

/* --- runs ------------------------------------------------------------------------------------- */

static void run_put(struct worker *w, struct run *run)
{
    if (--run->refs > 0)
        return;
    free(run->flight);
    mem_pool_put(&w->runs, run);
}

/* Each connection is sure of its first run and of its last, whatever the others have: of the rest
 * each takes what is there. NULL: it has at least one of its own, whose ACK will let it go on. */
static struct run *run_new(struct secure *s, enum run_kind kind, bool last_word)
{
    struct worker *w = s->session.worker;
    struct run *run;

    if (s->first && !last_word && w->runs_shared >= secure_runs_shared(&w->config))
        return NULL;
    run = mem_pool_get(&w->runs);
    assert(run); /* secure.c : runs_max counts them */
    memset(run, 0, offsetof(struct run, tags));
    run->refs = 1;
    run->kind = (uint8_t)kind;
    run->last_word = last_word;
    return run;
}

/* Of one that is not its connection's first. */
static bool is_shared(const struct run *run)
{
    return !run->last_word;
}

/* Takes its place at the end of the wire. From here on TCP may ask for it. */
static void run_append(struct secure *s, struct run *run, uint64_t wire_bytes)
{
    run->wire = s->wire;
    run->wire_bytes = wire_bytes;
    s->wire += wire_bytes;
    if (s->first) {
        s->last->next = run;
        s->session.worker->runs_shared += is_shared(run);
    } else {
        s->first = run;
    }
    s->last = run;
    s->run_count++;
    tcp_write(s->session.conn, wire_bytes);
}

/* The first one has arrived, or is not wanted any more. */
static void run_pop(struct secure *s)
{
    struct worker *w = s->session.worker;
    struct run *run = s->first;

    s->first = run->next;
    s->run_count--;
    if (s->first)
        w->runs_shared -= is_shared(s->first); /* it is the first now */
    else
        s->last = NULL;
    run_put(w, run);
}

static struct run *run_at(const struct secure *s, uint64_t wire)
{
    struct run *run = s->last;

    if (run && wire >= run->wire) {
        assert(wire < run->wire + run->wire_bytes);
        return run;
    }
    for (run = s->first; run && wire >= run->wire + run->wire_bytes;)
        run = run->next;
    assert(run && wire >= run->wire); /* TCP asks only for what is written and not acknowledged */
    return run;
}

int records_flight(struct secure *s, uint8_t *bytes, uint32_t count)
{
    struct run *run = run_new(s, RUN_FLIGHT, false);

    if (!run) {
        stat_inc(&s->session.worker->secure_stats.drop_runs_full);
        return -ENOMEM;
    }
    run->flight = bytes;
    run_append(s, run, count);
    return 0;
}

static void note_append(struct secure *s, struct run *run, const struct tlsrec_note *note)
{
    run->records = note->run;
    memcpy(run->note, note->text, sizeof(run->note));
    run_append(s, run, tlsrec_run_wire_bytes(&note->run));
}

/* --- ahead of TCP ----------------------------------------------------------------------------- */

/* What the next run of a response is to cover: text of it, then bytes of its body. */
struct stretch {
    uint64_t text_bytes;
    uint64_t bytes; /* text and body */
    uint64_t skew;  /* of the body's first byte, in its block */
    bool mapped;
};

static struct stretch stretch_of(const struct response *r, uint64_t off)
{
    struct http1_piece piece = http1_response_piece(&r->http, off);
    struct stretch st = {0};

    if (piece.kind == HTTP1_TEXT) {
        st.text_bytes = min_u64(piece.len, TEXT_BYTES_MAX);
        st.bytes = st.text_bytes;
        if (st.text_bytes < piece.len)
            return st;
        piece = http1_response_piece(&r->http, off + st.text_bytes);
        if (piece.len == 0 || piece.kind != HTTP1_BODY)
            return st;
    }
    st.bytes += piece.len;
    st.skew = piece.off % DISKMAP_BLOCK_BYTES;
    st.mapped = r->object->mapped;
    return st;
}

/* Where the first block of the body begins in it that is not the stretch's first. */
static uint64_t block_at(const struct stretch *st)
{
    return st->text_bytes + (DISKMAP_BLOCK_BYTES - st->skew) % DISKMAP_BLOCK_BYTES;
}

/* As long as a segment: every one of them can be used as it comes. */
static struct tlsrec_rule small_rule(const struct secure *s, struct stretch *st, uint64_t *bulk_at)
{
    uint32_t mss = max_u32(tcp_conn_mss(s->session.conn), MSS_MIN);
    uint64_t plain = min_u64(mss - TLSREC_HEAD_MAX - TLSREC_TAIL_MAX, s->full_bytes);
    uint64_t most = RUN_RECORDS * plain;

    *bulk_at = block_at(st);
    if (most > *bulk_at)
        most = *bulk_at + align_down(most - *bulk_at, DISKMAP_BLOCK_BYTES);
    st->bytes = min_u64(st->bytes, most);
    return (struct tlsrec_rule){.small_count = RUN_RECORDS,
                                .small_wire = mss,
                                .full_bytes = s->full_bytes,
                                .block_bytes = DISKMAP_BLOCK_BYTES};
}

/* All of one size, which need not be a block's. */
static struct tlsrec_rule even_rule(uint32_t record_bytes, struct stretch *st, uint64_t *bulk_at)
{
    uint64_t most;

    *bulk_at = block_at(st);
    /* What comes before the block boundary may need records of its own. */
    most = (RUN_RECORDS - 2 - *bulk_at / record_bytes) * (uint64_t)record_bytes;
    if (most > *bulk_at)
        most = *bulk_at + align_down(most - *bulk_at, record_bytes);
    st->bytes = min_u64(st->bytes, most);
    return (struct tlsrec_rule){.full_bytes = record_bytes, .block_bytes = DISKMAP_BLOCK_BYTES};
}

/* Full ones, as many as fill a chunk, and the last one of them with what is left. The first chunk
 * has the text, too, in its headroom; a record of its own if the body need not be read, and would
 * have to be copied behind it. */
static struct tlsrec_rule full_rule(uint32_t chunk_bytes, struct stretch *st, uint64_t *bulk_at)
{
    uint64_t group = align_down(chunk_bytes, DISKMAP_BLOCK_BYTES);
    uint64_t per_group = (group - 1) / TLSREC_PLAIN_MAX + 1;
    uint64_t first = st->mapped                      ? st->text_bytes
                     : st->text_bytes + st->skew > 0 ? st->text_bytes + group - st->skew
                                                     : 0;
    uint64_t in_first = (first + TLSREC_PLAIN_MAX - 1) / TLSREC_PLAIN_MAX;

    *bulk_at = first;
    st->bytes = min_u64(st->bytes, first + (RUN_RECORDS - in_first) / per_group * group);
    return (struct tlsrec_rule){.block_bytes = DISKMAP_BLOCK_BYTES, .group_bytes = (uint32_t)group};
}

/* The size of the records, with it how much RUN_RECORDS of them hold, and where they may begin to
 * be as large as that. */
static struct tlsrec_rule rule_for(const struct secure *s, struct stretch *st, uint64_t *bulk_at)
{
    uint64_t window = tcp_conn_window(s->session.conn);

    if (window < BLOCK_WINDOW_BYTES)
        return small_rule(s, st, bulk_at);
    if (window < FULL_WINDOW_BYTES || s->full_bytes < TLSREC_PLAIN_MAX)
        return even_rule(min_u32(DISKMAP_BLOCK_BYTES, s->full_bytes), st, bulk_at);
    return full_rule(s->session.worker->chunks.data_bytes, st, bulk_at);
}

enum opened {
    OPENED,
    OPENED_NOT,  /* not now: an ACK will make it possible */
    OPENED_GONE, /* never: the keys are used up */
};

static enum opened no_run(struct secure *s)
{
    stat_inc(&s->session.worker->secure_stats.run_waits);
    return OPENED_NOT;
}

static enum opened open_update(struct secure *s)
{
    struct worker *w = s->session.worker;
    struct run *run = run_new(s, RUN_NOTE, false);
    struct tlsrec_note note;
    int rc;

    if (!run)
        return no_run(s);
    rc = tlsrec_key_update(&s->records, false, &note);
    if (rc < 0) {
        run_put(w, run);
        return rc == -EBUSY ? OPENED_NOT : OPENED_GONE;
    }
    note_append(s, run, &note);
    stat_inc(&w->secure_stats.key_updates);
    s->update_owed = false;
    return OPENED;
}

static enum opened open_run(struct secure *s)
{
    struct response *r = s->opening;
    struct stretch st = stretch_of(r, s->opened);
    uint64_t bulk_at, covered;
    struct tlsrec_rule rule = rule_for(s, &st, &bulk_at);
    struct run *run;

    if (s->run_count >= RUNS_MAX)
        return OPENED_NOT;
    run = run_new(s, RUN_RESPONSE, false);
    if (!run)
        return no_run(s);
    covered = tlsrec_run_open(&s->records, &rule, st.bytes, bulk_at, &run->records);
    if (covered == 0) {
        run_put(s->session.worker, run);
        return s->records.version == TLSREC_TLS13 ? open_update(s) : OPENED_GONE;
    }
    assert(tlsrec_run_records(&run->records) <= RUN_RECORDS);
    run->response = r;
    run->plain = s->opened;
    run_append(s, run, tlsrec_run_wire_bytes(&run->records));
    s->opened += covered;
    if (s->opened == http1_response_bytes(&r->http)) {
        s->opening = r->next;
        s->opened = 0;
    }
    return OPENED;
}

/* Behind what has runs. */
static void last_word(struct secure *s, enum tlsrec_alert alert)
{
    struct tlsrec_note note;
    int rc = tlsrec_alert(&s->records, alert, &note);

    assert(rc == 0); /* TLSREC_NOTE_RECORDS are kept for such */
    note_append(s, run_new(s, RUN_NOTE, true), &note);
}

/* close_notify (RFC 8446 6.1), and nothing more. */
static void finish(struct secure *s)
{
    s->finishing = s->finished = true;
    s->session.flags |= SESSION_CLOSING;
    last_word(s, TLSREC_CLOSE_NOTIFY);
    tcp_close(s->session.conn);
}

void records_ahead(struct secure *s)
{
    enum opened rc = OPENED;

    if (s->stage != SECURE_OPEN || s->finished)
        return;
    if (s->update_owed) /* RFC 8446 4.6.3: before the next bytes of data */
        rc = open_update(s);
    else if (tlsrec_update_due(&s->records) && open_update(s) == OPENED_GONE)
        rc = OPENED_GONE;
    while (rc == OPENED && s->opening && s->wire < s->asked + RUN_AHEAD_BYTES)
        rc = open_run(s);
    if (rc == OPENED_GONE) { /* the response ends before its Content-Length: the client sees it */
        stat_inc(&s->session.worker->secure_stats.drop_keys_used_up);
        s->opening = NULL;
    }
    if (rc == OPENED_GONE || (s->finishing && !s->opening))
        finish(s);
}

void records_carry(struct session *session, struct response *r)
{
    struct secure *s = secure_of(session);

    if (s->finished)
        return;
    if (!s->opening) {
        s->opening = r;
        s->opened = 0;
    }
    records_ahead(s);
}

void records_alert(struct secure *s, enum tlsrec_alert alert)
{
    s->opening = NULL;
    last_word(s, alert);
}

/* --- behind TCP ------------------------------------------------------------------------------- */

static void release_keys(struct secure *s)
{
    struct tlsrec_keys *keys = tlsrec_detach(&s->records);

    if (keys)
        mem_pool_put(&s->session.worker->keys, keys);
}

/* Idle connections have no expanded keys. */
static void rest(struct secure *s)
{
    if (s->stage == SECURE_OPEN && !s->first && s->session.reads == 0)
        release_keys(s);
}

/* Up to where the plaintext is that was carried by runs which arrived whole. */
static uint64_t plain_arrived(const struct secure *s)
{
    const struct run *run = s->first;

    while (run && run->kind != RUN_RESPONSE)
        run = run->next;
    if (run)
        return run->response->start + run->plain;
    return s->opening ? s->opening->start + s->opened : s->session.stream_bytes;
}

uint64_t records_arrived(struct secure *s, uint64_t wire)
{
    s->arrived = wire;
    while (s->first && wire >= s->first->wire + s->first->wire_bytes)
        run_pop(s);
    if (s->stage == SECURE_OPEN) {
        tlsrec_acked(&s->records, wire);
        records_ahead(s);
        rest(s);
    }
    return plain_arrived(s);
}

void records_rest(struct session *session)
{
    rest(secure_of(session));
}

void records_drop(struct secure *s)
{
    while (s->first)
        run_pop(s);
    s->opening = NULL;
    if (s->stage == SECURE_OPEN)
        release_keys(s);
}

/* --- TCP asks --------------------------------------------------------------------------------- */

/* Up to the last end of a record. */
uint64_t records_round(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t len)
{
    const struct secure *s = secure_of(user);
    const struct run *run = run_at(s, offset + len - 1);
    uint64_t joint = offset + len;
    struct tlsrec_piece piece;

    if (run->kind != RUN_FLIGHT) {
        tlsrec_piece_at(&run->records, offset + len - 1, 1, &piece);
        if (piece.to < tlsrec_record_bytes(&piece.record))
            joint = piece.record.wire;
    }
    return joint > offset ? joint - offset : 0;
}

/* What a portion of the wire is made of. */
struct portion {
    struct tlsrec_piece piece; /* the first record, and what is wanted of it */
    uint64_t plain, text_at;   /* the plaintext that is needed: in the run, in the response */
    uint32_t plain_bytes;
    uint32_t wire_bytes; /* that are answered */
};

/* Sealed before, and its object cannot change: the part that is wanted is enough, where it is less
 * to read. */
static bool part_is_enough(const struct secure *s, const struct run *run,
                           const struct tlsrec_record *record)
{
    const struct diskmap_object *object = run->response ? run->response->object : NULL;

    return object && object->immutable && record->plain_bytes > DISKMAP_BLOCK_BYTES &&
           tlsrec_was_sealed(&s->records, record);
}

/* As much of the plaintext from `plain` on as a chunk holds: text in its headroom, then blocks. */
static uint64_t chunk_holds(const struct run *run, uint64_t plain, uint32_t chunk_bytes)
{
    const struct response *r = run->response;
    struct http1_piece piece = http1_response_piece(&r->http, run->plain + plain);
    uint64_t text_bytes = 0;

    if (piece.kind == HTTP1_TEXT) {
        text_bytes = piece.len;
        piece = http1_response_piece(&r->http, run->plain + plain + text_bytes);
    }
    if (piece.len == 0 || piece.kind != HTTP1_BODY)
        return text_bytes;
    return text_bytes + chunk_bytes - diskmap_skew(r->object, piece.off);
}

/* More whole records that lie within `len` bytes, if a chunk holds their plaintext and another one
 * the records: the first one whole, whatever part of it is wanted. */
static void extend(const struct run *run, struct portion *p, uint32_t len, uint32_t chunk_bytes)
{
    uint64_t end = p->piece.record.plain + p->piece.record.plain_bytes;
    uint64_t most =
        min_u64(p->plain + chunk_holds(run, p->plain, chunk_bytes), run->records.plain_bytes);
    uint32_t made = tlsrec_record_bytes(&p->piece.record);

    while (end < most) {
        struct tlsrec_record next;
        uint32_t bytes;

        tlsrec_record_at(&run->records, end, &next);
        bytes = tlsrec_record_bytes(&next);
        end += next.plain_bytes;
        if (end > most || p->wire_bytes + bytes > len ||
            made + bytes > SEALED_HEADROOM + chunk_bytes)
            return;
        p->wire_bytes += bytes;
        made += bytes;
        p->plain_bytes = (uint32_t)(end - p->plain);
    }
}

static struct portion plan(const struct secure *s, const struct run *run, uint64_t wire,
                           uint32_t len, uint32_t chunk_bytes)
{
    struct portion p = {0};

    tlsrec_piece_at(&run->records, wire, len, &p.piece);
    p.wire_bytes = p.piece.to - p.piece.from;
    if (part_is_enough(s, run, &p.piece.record)) {
        p.plain_bytes = tlsrec_piece_text(&p.piece, &p.plain);
    } else {
        p.plain = p.piece.record.plain;
        p.plain_bytes = p.piece.record.plain_bytes;
        if (run->response && p.piece.to == tlsrec_record_bytes(&p.piece.record))
            extend(run, &p, len, chunk_bytes);
    }
    p.text_at = run->plain + p.plain;
    return p;
}

/* Where the plaintext comes from: text that is made, then a read. */
static void plan_read(struct stream_read *read, const struct portion *p)
{
    struct response *r = read->response;
    struct http1_piece piece = http1_response_piece(&r->http, p->text_at);
    uint32_t left = p->plain_bytes;

    if (left > 0 && piece.kind == HTTP1_TEXT) {
        read->text_bytes = (uint32_t)min_u64(piece.len, left);
        left -= read->text_bytes;
        piece = http1_response_piece(&r->http, p->text_at + read->text_bytes);
    }
    read->body_bytes = left;
    if (left > 0)
        read->io = (struct diskmap_read){
            .object = r->object, .off = piece.off, .len = left, .buf = read->chunk->data};
}

/* As a connection has a sender while TCP asks it, it has keys. */
static bool have_keys(struct secure *s)
{
    struct worker *w = s->session.worker;
    struct tlsrec_keys *keys;

    if (s->records.keys)
        return true;
    keys = mem_pool_get(&w->keys);
    if (!keys) {
        stat_inc(&w->secure_stats.key_waits);
        return false;
    }
    tlsrec_attach(&s->records, keys);
    return true;
}

/* tcp_ops.fill */
uint32_t records_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                      uint64_t now_ns)
{
    struct secure *s = secure_of(user);
    struct worker *w = s->session.worker;
    struct run *run = run_at(s, offset);
    uint32_t in_run = (uint32_t)min_u64(len, run->wire + run->wire_bytes - offset);
    struct mem_chunk *chunk;
    struct stream_read *read;
    struct portion p = {0};

    if (run->kind != RUN_FLIGHT && !have_keys(s))
        return 0;
    s->asked = max_u64(s->asked, offset + len);
    records_ahead(s);
    if (run->kind == RUN_FLIGHT)
        p.wire_bytes = min_u32(in_run, w->chunks.data_bytes);
    else
        p = plan(s, run, offset, in_run, w->chunks.data_bytes);
    chunk = mem_chunk_get(&w->chunks);
    if (!chunk)
        return 0;
    read = &w->reads[chunk->index];
    *read = (struct stream_read){.chunk = chunk,
                                 .session = &s->session,
                                 .response = run->response,
                                 .run = run,
                                 .offset = offset,
                                 .plain = p.plain,
                                 .wire_bytes = p.wire_bytes};
    run->refs++;
    if (run->kind == RUN_RESPONSE)
        plan_read(read, &p);
    stat_add(&w->stats.bytes_asked, p.wire_bytes);
    stream_promise(&s->session, read, now_ns);
    return p.wire_bytes;
}

/* --- the text is there ------------------------------------------------------------------------ */

static struct tlsrec_tag *tag_of(struct run *run, const struct tlsrec_record *record)
{
    return &run->tags[record->seq - run->records.seq];
}

/* False: the object is not what it was when this record was sealed first. */
static bool seal(struct secure *s, struct run *run, const struct tlsrec_record *record,
                 uint8_t *out, const uint8_t *text)
{
    struct secure_stats *stats = &s->session.worker->secure_stats;

    switch (tlsrec_seal(&s->records, record, out, text, tag_of(run, record))) {
    case TLSREC_SEALED:
        stat_inc(&stats->records_sealed);
        return true;
    case TLSREC_SAME:
        stat_inc(&stats->records_again);
        return true;
    case TLSREC_DIFFERS:
        break;
    }
    stat_inc(&stats->differs);
    return false;
}

/* An ACK has overtaken the read: the keys that these bytes were sealed with may be gone. */
static bool has_arrived(const struct secure *s, uint64_t wire, uint32_t bytes)
{
    return wire + bytes <= s->arrived;
}

/* `bytes` of the plaintext from `from` on, in one piece. A body that is mapped lies elsewhere than
 * the response's text in front of it: there it is copied. */
static const uint8_t *plain_at(const struct stream_read *read, uint8_t *text, uint64_t from,
                               uint32_t bytes)
{
    if (!read->mapped)
        return text + from;
    if (from >= read->text_bytes)
        return read->mapped + (from - read->text_bytes);
    if (from + bytes > read->text_bytes)
        memcpy(text + read->text_bytes, read->mapped, from + bytes - read->text_bytes);
    return text + from;
}

/* The spare chunk is the read's from now on, and the read's, with all that is in it, the spare. */
static uint8_t *into_spare(struct worker *w, struct stream_read *read)
{
    struct mem_chunk *spare = w->spare;

    w->spare = read->chunk;
    read->chunk = spare;
    return spare->data;
}

/* Whole records, one after the other. Returns where what was asked for begins: within the first. */
static uint8_t *seal_apart(struct secure *s, struct stream_read *read, uint8_t *text)
{
    uint64_t plain = read->plain, end = read->plain + read->text_bytes + read->body_bytes;
    uint8_t *out = into_spare(s->session.worker, read) - SEALED_HEADROOM, *asked = out;

    while (plain < end) {
        struct tlsrec_record record;
        uint32_t bytes;

        tlsrec_record_at(&read->run->records, plain, &record);
        bytes = tlsrec_record_bytes(&record);
        if (plain == read->plain)
            asked += read->offset - record.wire;
        assert(out + bytes <= read->chunk->data + s->session.worker->chunks.data_bytes);
        if (has_arrived(s, record.wire, bytes))
            memset(out, 0, bytes);
        else if (!seal(s, read->run, &record, out,
                       plain_at(read, text, plain - read->plain, record.plain_bytes)))
            return NULL;
        out += bytes;
        plain += record.plain_bytes;
    }
    return asked;
}

/* One full record, or a part of it, around the text. Returns where what was asked for begins. */
static uint8_t *seal_here(struct secure *s, struct stream_read *read, uint8_t *out,
                          const uint8_t *text)
{
    uint32_t text_bytes = read->text_bytes + read->body_bytes;
    struct run *run = read->run;
    struct tlsrec_piece piece;

    tlsrec_piece_at(&run->records, read->offset, read->wire_bytes, &piece);
    if (text_bytes == piece.record.plain_bytes) {
        out -= piece.record.head;
        return seal(s, run, &piece.record, out, text) ? out + piece.from : NULL;
    }
    if (piece.from < piece.record.head)
        out -= piece.record.head - piece.from;
    tlsrec_seal_range(&s->records, &piece, out, text, tag_of(run, &piece.record));
    stat_inc(&s->session.worker->secure_stats.records_again);
    return out;
}

static uint8_t *seal_read(struct secure *s, struct stream_read *read)
{
    uint8_t *text = stream_text(read, read->run->plain + read->plain);
    struct tlsrec_piece piece;

    tlsrec_piece_at(&read->run->records, read->offset, read->wire_bytes, &piece);
    if (piece.to - piece.from < read->wire_bytes)
        return seal_apart(s, read, text);
    if (!read->mapped)
        return seal_here(s, read, text, text);
    return seal_here(s, read, into_spare(s->session.worker, read),
                     plain_at(read, text, 0, read->text_bytes + read->body_bytes));
}

static uint8_t *seal_note(struct secure *s, struct stream_read *read)
{
    struct run *run = read->run;
    struct tlsrec_record record;

    tlsrec_record_nth(&run->records, 0, &record);
    if (!seal(s, run, &record, read->chunk->data, run->note))
        return NULL;
    return read->chunk->data + (read->offset - record.wire);
}

static uint8_t *wire_of(struct secure *s, struct stream_read *read)
{
    struct run *run = read->run;

    switch ((enum run_kind)run->kind) {
    case RUN_FLIGHT:
        memcpy(read->chunk->data, run->flight + (read->offset - run->wire), read->wire_bytes);
        return read->chunk->data;
    case RUN_NOTE:
        return seal_note(s, read);
    case RUN_RESPONSE:
        return seal_read(s, read);
    }
    return NULL;
}

void records_forget(struct stream_read *read)
{
    run_put(read->session->worker, read->run);
}

bool records_wanted(struct session *session, const struct stream_read *read)
{
    return !has_arrived(secure_of(session), read->offset, read->wire_bytes);
}

bool records_seal(struct session *session, struct stream_read *read, struct nmio_slice *slice)
{
    uint8_t *bytes = wire_of(secure_of(session), read);

    if (!bytes) {
        records_forget(read);
        mem_chunk_put(read->chunk);
        return false;
    }
    *slice = (struct nmio_slice){bytes, read->wire_bytes, read->chunk};
    run_put(session->worker, read->run);
    return true;
}

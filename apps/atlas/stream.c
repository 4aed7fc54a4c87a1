// SPDX-License-Identifier: BSD-2-Clause
/*
 * stream.c - the send buffer that is a function, both halves of it.
 *
 * stream_fill is asked by TCP for bytes of a connection's stream and turns the offset into a read;
 * stream_chunk_ready receives the read's data, puts the response's text in front of it and hands
 * both to TCP. Between the two lies the disk. A retransmission walks the same path.
 */
#include "session.h"

/* A portion that ends at a block's end lets the next one begin there; smaller ones than this are
 * not cut, since a segment that is not full costs more than a block read twice. */
#define ALIGN_FROM_BYTES (4 * DISKMAP_BLOCK_BYTES)
#define GATHER_MAX       4 /* records of reads of their own: a frame carries no more */

static struct response *response_at(const struct session *session, uint64_t offset)
{
    struct response *r = session->first;

    while (r && offset >= r->start + http1_response_bytes(&r->http))
        r = r->next;
    assert(r && offset >= r->start); /* TCP asks only for what is written and not acknowledged */
    return r;
}

/* What a portion consists of: some text of the response, then some bytes of the object. */
struct portion {
    uint64_t text_off; /* in the response */
    uint32_t text_bytes;
    uint64_t body_off; /* in the object */
    uint32_t body_bytes;
};

/* How much of `len` bytes of the object from `off` on goes into one chunk. */
static uint32_t body_portion(const struct diskmap_object *object, uint64_t off, uint64_t len,
                             bool last, uint32_t chunk_bytes)
{
    uint32_t room = chunk_bytes - diskmap_skew(object, off);
    uint32_t n = (uint32_t)min_u64(len, room);

    if (!(last && n == len) && n >= ALIGN_FROM_BYTES)
        n -= diskmap_skew(object, off + n);
    return n;
}

static struct portion plan(const struct response *r, uint64_t offset, uint32_t len,
                           uint32_t chunk_bytes)
{
    uint64_t off = offset - r->start;
    struct http1_piece piece = http1_response_piece(&r->http, off);
    struct portion p = {0};
    uint32_t left = len;

    if (piece.kind == HTTP1_TEXT) {
        p.text_off = off;
        p.text_bytes = (uint32_t)min_u64(min_u64(piece.len, left), MEM_CHUNK_HEADROOM);
        left -= p.text_bytes;
        if (p.text_bytes < piece.len || left == 0)
            return p;
        piece = http1_response_piece(&r->http, off + p.text_bytes);
        if (piece.len == 0 || piece.kind != HTTP1_BODY)
            return p;
    }
    p.body_off = piece.off;
    if (r->object->mapped)
        p.body_bytes = (uint32_t)min_u64(left, piece.len);
    else
        p.body_bytes = body_portion(r->object, piece.off, min_u64(left, piece.len),
                                    left >= piece.len, chunk_bytes);
    return p;
}

/* The bytes are in memory and no promise is older: no chunk is needed. */
static bool fill_mapped(struct session *session, struct response *r, const struct portion *p,
                        uint64_t offset, uint64_t now_ns)
{
    struct nmio_slice slice;

    if (p->text_bytes || !r->object->mapped || session->promised)
        return false;
    slice = (struct nmio_slice){r->object->mapped + p->body_off, p->body_bytes, NULL};
    tcp_send(session->conn, offset, &slice, 1, now_ns);
    return true;
}

static void keep_promises(struct session *session, uint64_t now_ns);

static inline void promise(struct session *session, struct stream_read *read, uint64_t now_ns)
{
    const struct diskmap_object *object = read->io.object;

    read->next = NULL;
    if (session->promised)
        session->promised_last->next = read;
    else
        session->promised = read;
    session->promised_last = read;
    session->reads++;
    if (read->response)
        read->response->refs++;
    if (read->body_bytes && !object->mapped) {
        diskmap_read(session->worker->dm, &read->io, now_ns);
        return;
    }
    if (read->body_bytes)
        read->mapped = object->mapped + read->io.off;
    read->done = true;
    keep_promises(session, now_ns);
}

/* For others: what is not static is not inlined here, and stream_fill is in every turn. */
void stream_promise(struct session *session, struct stream_read *read, uint64_t now_ns)
{
    promise(session, read, now_ns);
}

/* tcp_ops.fill: TCP wants [offset, offset + len) of the stream. Promises the first part of it. */
uint32_t stream_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                     uint64_t now_ns)
{
    struct session *session = user;
    struct worker *w = session->worker;
    struct response *r = response_at(session, offset);
    struct portion p = plan(r, offset, len, w->chunks.data_bytes);
    struct mem_chunk *chunk;
    struct stream_read *read;

    stat_add(&w->stats.bytes_asked, p.text_bytes + p.body_bytes);
    if (fill_mapped(session, r, &p, offset, now_ns))
        return p.body_bytes;
    chunk = mem_chunk_get(&w->chunks);
    if (!chunk)
        return 0;
    read = &w->reads[chunk->index];
    *read = (struct stream_read){
        .chunk = chunk,
        .session = session,
        .response = r,
        .offset = offset,
        .text_bytes = p.text_bytes,
        .body_bytes = p.body_bytes,
        .io = {.object = r->object, .off = p.body_off, .len = p.body_bytes, .buf = chunk->data}};
    promise(session, read, now_ns);
    return p.text_bytes + p.body_bytes;
}

/* --- the disk has answered ------------------------------------------------------------------- */

static inline uint8_t *text_of(struct stream_read *read, uint64_t text_off)
{
    uint8_t *body = read->chunk->data;

    if (read->body_bytes && !read->mapped)
        body += diskmap_skew(read->io.object, read->io.off);
    if (read->text_bytes) {
        size_t n = http1_response_text(&read->response->http, text_off, read->text_bytes,
                                       (char *)body - read->text_bytes);

        assert(n == read->text_bytes);
        (void)n;
    }
    return body - read->text_bytes;
}

uint8_t *stream_text(struct stream_read *read, uint64_t text_off)
{
    return text_of(read, text_off);
}

/* Hands one answer to TCP: the text is made again from the response's value, right in front of the
 * data, so that the two are one piece of memory. */
static void answer_plain(struct session *session, struct stream_read *read, uint64_t now_ns)
{
    uint8_t *text = text_of(read, read->offset - read->response->start);
    struct nmio_slice slices[2];
    uint32_t count = 0;

    slices[count++] = (struct nmio_slice){
        text, read->text_bytes + (read->mapped ? 0 : read->body_bytes), read->chunk};
    if (read->mapped)
        slices[count++] = (struct nmio_slice){read->mapped, read->body_bytes, NULL};
    tcp_send(session->conn, read->offset, slices, count, now_ns);
}

/* The connection has ended, or the bytes have arrived without us: nobody wants them. */
static void throw_away(struct session *session, struct stream_read *read)
{
    stat_add(&session->worker->stats.bytes_thrown_away, read->body_bytes);
    if (read->run)
        session->worker->layer->forget(read);
    mem_chunk_put(read->chunk);
}

/* Records that lie end to end and are ready together. TCP makes frames of all that it gets at a
 * time, and one record alone would be a small one. */
struct gathered {
    uint64_t offset, end;
    uint32_t count;
    struct nmio_slice slices[GATHER_MAX];
};

static void send_gathered(struct session *session, struct gathered *g, uint64_t now_ns)
{
    if (g->count > 0 && session->conn)
        tcp_send(session->conn, g->offset, g->slices, g->count, now_ns);
    for (uint32_t i = 0; i < g->count && !session->conn; i++)
        mem_chunk_put(g->slices[i].owner);
    g->count = 0;
}

static void answer_layered(struct session *session, struct stream_read *read, struct gathered *g,
                           uint64_t now_ns)
{
    uint64_t offset = read->offset;
    struct nmio_slice slice;

    if (g->count == GATHER_MAX || (g->count && g->end != offset))
        send_gathered(session, g, now_ns);
    if (!session->worker->layer->seal(session, read, &slice)) {
        session_abort(session, now_ns);
        return;
    }
    if (g->count == 0)
        g->offset = offset;
    g->end = offset + slice.len;
    g->slices[g->count++] = slice;
}

static void keep_promise(struct session *session, struct stream_read *read, struct gathered *g,
                         uint64_t now_ns)
{
    struct worker *w = session->worker;
    struct response *response = read->response;

    if (!session->conn || (read->run && !w->layer->wanted(session, read)))
        throw_away(session, read);
    else if (read->run)
        answer_layered(session, read, g, now_ns);
    else
        answer_plain(session, read, now_ns);
    if (response)
        response_put(w, response);
}

/* Answers go to TCP in the order in which they were promised, whatever the disk made of it. */
static void keep_promises(struct session *session, uint64_t now_ns)
{
    struct stream_read *read;
    struct gathered g;

    g.count = 0; /* its slices, which are many words, need no value */
    while ((read = session->promised) && read->done) {
        session->promised = read->next;
        keep_promise(session, read, &g, now_ns); /* may end the connection, not the session */
        session->reads--;
    }
    if (!(session->flags & SESSION_LAYERED))
        return;
    send_gathered(session, &g, now_ns);
    if (session->conn)
        session->worker->layer->rest(session);
}

/* A read has come back, for a connection that may have ended meanwhile. */
void stream_chunk_ready(struct stream_read *read, uint64_t now_ns)
{
    struct session *session = read->session;

    read->done = true;
    if (read->io.result < 0 && session->conn) {
        stat_inc(&session->worker->stats.disk_errors);
        session_abort(session, now_ns);
    }
    keep_promises(session, now_ns);
    if (!session->conn)
        session_release(session);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * secure.c - TLS around a session: the handshake, and what the client sends.
 *
 * During the handshake the client's bytes are kept in the session's request buffer, as requests
 * are, and the desk takes one step at a time with what is there. Its flights become runs of the
 * stream. With the last step the keys of both directions go to tlsrec, and OpenSSL's part is given
 * back; from then on every packet's bytes go through the inbox to HTTP.
 *
 * The client's window shrinks by all that we still keep: ciphertext of an unfinished record and
 * requests that wait. Neither can therefore be more than the receive window.
 */
#include "secure.h"

#include <errno.h>
#include <stdlib.h>

#define STEPS_PER_TURN 16 /* that are taken back from the desk */
/* Senders at a time, as TCP counts them: each has expanded keys, and so has who waits for a read
 * that nobody wants any more. */
#define KEYS_MAX (64 * 1024)
/* Of a connection, on average, besides its first and its last: in flight, and the one ahead. */
#define RUNS_SHARED 2

const struct stat_desc secure_stat_descs[] = {SECURE_STATS(STAT_DESC, struct secure_stats){0}};

/* --- the ends of things ----------------------------------------------------------------------- */

static void secure_free(struct secure *s)
{
    struct worker *w = s->session.worker;

    tls_conn_close(s->tls);
    if (s->stage == SECURE_OPEN) {
        tlsrec_close(&s->records);
        tlsrec_inbox_close(&s->inbox);
    }
    free(s->job.out);
    list_remove(&s->link);
    mem_pool_put(&w->secures, s);
}

static void layer_free(struct session *session)
{
    secure_free(secure_of(session));
}

static void handshake_over(struct secure *s, enum secure_stage stage)
{
    if (s->stage == SECURE_HANDSHAKE)
        stat_add(&s->session.worker->secure_stats.handshakes_active, (uint64_t)-1);
    s->stage = (uint8_t)stage;
}

/* tcp_ops.closed */
static void secure_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct secure *s = secure_of(user);

    if (s->job_out)
        __atomic_store_n(&s->job.cancelled, true, __ATOMIC_RELAXED);
    records_drop(s);
    if (s->stage == SECURE_HANDSHAKE)
        handshake_over(s, SECURE_FAILED);
    session_end(&s->session);
}

/* Before the handshake is over there is nobody to say good-bye to, and after an alert nothing. */
static void layer_finish(struct session *session)
{
    struct secure *s = secure_of(session);

    s->finishing = true;
    if (s->stage == SECURE_OPEN && !s->finished)
        records_ahead(s);
    else
        tcp_close(s->session.conn);
}

/* What is written is our last word; what the client says from now on is thrown away. */
static void close_now(struct secure *s, uint64_t now_ns)
{
    s->finished = true;
    if (s->session.flags & SESSION_CLOSING)
        tcp_close(s->session.conn); /* responses were still to be carried */
    else
        session_finish(&s->session);
    session_settle(&s->session, now_ns);
}

static bool layer_can_answer(struct session *session)
{
    return secure_of(session)->stage == SECURE_OPEN;
}

/* The desk reads in it: see stepped(). */
static bool layer_has_request(struct session *session)
{
    return secure_of(session)->job_out;
}

static const struct session_layer layer = {
    .carry = records_carry,
    .finish = layer_finish,
    .can_answer = layer_can_answer,
    .has_request = layer_has_request,
    .wanted = records_wanted,
    .seal = records_seal,
    .forget = records_forget,
    .rest = records_rest,
    .free = layer_free,
};

/* --- what is kept, and what TCP's window has room for ----------------------------------------- */

static void credit(struct secure *s)
{
    const struct request *q = s->session.request;
    uint32_t kept = 0;

    if (!s->session.conn || tcp_conn_state(s->session.conn) == TCP_CLOSED)
        return;
    if (!(s->session.flags & SESSION_CLOSING)) {
        kept = q ? q->len : 0;
        if (s->stage == SECURE_OPEN)
            kept += (uint32_t)tlsrec_held(&s->inbox);
    }
    if (s->unrecved > kept) {
        tcp_recved(s->session.conn, s->unrecved - kept);
        s->unrecved = kept;
    }
}

/* --- after the handshake ---------------------------------------------------------------------- */

static void fail(struct secure *s, const struct tlsrec_events *ev, uint64_t now_ns)
{
    if (!ev->alert_wanted) { /* RFC 8446 6.2: the client has ended it, and all of it */
        session_abort(&s->session, now_ns);
        return;
    }
    if (ev->alert == TLSREC_INTERNAL_ERROR)
        stat_inc(&s->session.worker->secure_stats.drop_memory);
    records_alert(s, ev->alert);
    stat_inc(&s->session.worker->secure_stats.alerts_out);
    close_now(s, now_ns);
}

/* Requests, and what TLS has to say between them. */
static void take_records(struct secure *s, const uint8_t *data, size_t len, uint64_t now_ns)
{
    struct tcp_conn *conn = s->session.conn;
    uint8_t plain[TLSREC_INBOX_ROOM];
    struct tlsrec_events ev;
    size_t n;

    do {
        n = tlsrec_read(&s->inbox, &data, &len, plain, &ev);
        s->update_owed |= ev.update_asked;
        if (n > 0)
            session_take(&s->session, plain, (uint32_t)n, now_ns);
        if (tcp_conn_state(conn) == TCP_CLOSED || s->finished)
            return; /* and the session may be gone */
    } while (n > 0);
    if (ev.failed) {
        fail(s, &ev, now_ns);
        return;
    }
    if (s->update_owed)
        records_ahead(s);
    if (ev.closed)
        session_end_input(&s->session, now_ns);
}

/* --- the handshake ---------------------------------------------------------------------------- */

static void step_failed(struct secure *s, uint64_t now_ns)
{
    static const char http_to_tls[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 55\r\n"
        "Connection: close\r\n\r\nThis port speaks HTTPS: the address begins with https.\n";
    struct secure_stats *stats = &s->session.worker->secure_stats;
    uint8_t *answer;

    handshake_over(s, SECURE_FAILED);
    stat_inc(&stats->failed);
    if (tls_spoke_http(s->tls)) {
        stat_inc(&stats->plaintext);
        answer = malloc(sizeof(http_to_tls) - 1);
        if (answer) {
            memcpy(answer, http_to_tls, sizeof(http_to_tls) - 1);
            if (records_flight(s, answer, sizeof(http_to_tls) - 1) < 0)
                free(answer);
        }
    }
    close_now(s, now_ns);
}

static void take_keys(struct secure *s, const struct tls_handover *h)
{
    struct worker *w = s->session.worker;
    struct tlsrec_engine *engine = w->engine;
    struct tlsrec_start start = {.wire = s->wire, .seq = h->sealed};

    if (h->version == TLSREC_TLS13) {
        start.records_max = w->config.tls_records_max;
        tlsrec_init13(&s->records, engine, h->suite, h->our_secret, &start);
        tlsrec_inbox_init13(&s->inbox, engine, h->suite, h->their_secret);
    } else {
        tlsrec_init12(&s->records, engine, h->suite, &h->master, true, &start);
        tlsrec_inbox_init12(&s->inbox, engine, h->suite, &h->master, h->opened);
    }
}

/* Requests may have come with the client's Finished, or while the desk had it. */
static void hand_over(struct secure *s, uint64_t now_ns)
{
    struct tcp_conn *conn = s->session.conn;
    struct worker *w = s->session.worker;
    struct tls_conn *tls = s->tls;
    struct tls_handover h;
    struct request *kept;

    tls_handover(tls, &h);
    s->tls = NULL;
    take_keys(s, &h);
    s->full_bytes = h.full_bytes ? h.full_bytes : TLSREC_PLAIN_MAX;
    stat_inc(&w->secure_stats.handshakes);
    if (h.resumed)
        stat_inc(&w->secure_stats.resumed);
    handshake_over(s, SECURE_OPEN);
    kept = session_take_back(&s->session);
    take_records(s, h.behind, h.behind_len, now_ns);
    if (tcp_conn_state(conn) != TCP_CLOSED && !s->finished)
        take_records(s, (const uint8_t *)kept->buf, kept->len, now_ns);
    mem_pool_put(&w->requests, kept);
    explicit_bzero(&h, sizeof(h));
    tls_conn_close(tls);
}

/* What the client has sent meanwhile belongs to the next step. */
static void take_step(struct secure *s)
{
    struct request *q = s->session.request;
    uint8_t *out;

    if (s->job_out || !q || q->len == 0)
        return;
    out = malloc(TLS_FLIGHT_BYTES);
    if (!out) {
        stat_inc(&s->session.worker->secure_stats.drop_memory);
        session_abort(&s->session, s->session.worker->now_ns);
        return;
    }
    s->job = (struct tls_job){
        .conn = s->tls, .in = (const uint8_t *)q->buf, .in_len = q->len, .out = out};
    s->job_out = true;
    s->session.reads++; /* the session stays until the job is back */
    tls_desk_submit(s->session.worker->desk, &s->job);
}

/* Our flight goes out; the bytes that the step has used go. */
static bool step_done(struct secure *s)
{
    struct request *q = s->session.request;
    uint8_t *out = s->job.out, *fitting;

    s->job.out = NULL;
    memmove(q->buf, q->buf + s->job.in_len, q->len - s->job.in_len);
    q->len -= (uint32_t)s->job.in_len;
    if (s->job.out_len == 0) {
        free(out);
        return true;
    }
    fitting = realloc(out, s->job.out_len); /* it stays until it is acknowledged */
    out = fitting ? fitting : out;
    if (records_flight(s, out, (uint32_t)s->job.out_len) == 0)
        return true;
    free(out);
    return false;
}

/* What became of the connection meanwhile left the bytes in place that the step was made of. */
static void stepped_in_vain(struct secure *s)
{
    mem_pool_put(&s->session.worker->requests, session_take_back(&s->session));
    if (!s->session.conn)
        session_release(&s->session);
}

static void stepped(struct secure *s, uint64_t now_ns)
{
    struct session *session = &s->session;
    struct tcp_conn *conn = session->conn;

    s->job_out = false;
    session->reads--;
    if (!conn || session->flags & SESSION_CLOSING) {
        stepped_in_vain(s);
        return;
    }
    if (!step_done(s)) {
        session_abort(session, now_ns);
        return;
    }
    switch (s->job.result) {
    case TLS_MORE:
        if (session->request->len > 0)
            take_step(s);
        else /* the client may take its time: others need buffers, too */
            mem_pool_put(&session->worker->requests, session_take_back(session));
        break;
    case TLS_READY:
        hand_over(s, now_ns);
        break;
    case TLS_FAILED:
        step_failed(s, now_ns);
        break;
    }
    if (tcp_conn_state(conn) == TCP_CLOSED)
        return;
    if (session->flags & SESSION_PEER_DONE && !s->job_out)
        session_end_input(session, now_ns);
    credit(s);
}

void secure_turn(struct worker *w, uint64_t now_ns)
{
    struct tls_job *jobs[STEPS_PER_TURN];
    uint32_t n;

    n = tls_desk_reap(w->desk, jobs, STEPS_PER_TURN);
    for (uint32_t i = 0; i < n; i++)
        stepped(container_of(jobs[i], struct secure, job), now_ns);
}

/* --- TCP's words ------------------------------------------------------------------------------ */

static void *secure_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    struct worker *w = app;
    struct secure *s = mem_pool_get(&w->secures);

    if (!s) {
        stat_inc(&w->stats.drop_sessions_full);
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    if (tls_conn_open(&s->tls, w->tls) < 0) {
        stat_inc(&w->secure_stats.drop_memory);
        mem_pool_put(&w->secures, s);
        return NULL;
    }
    list_push_tail(&w->secures_open, &s->link);
    session_begin(&s->session, w, conn, now_ns);
    s->session.flags = SESSION_LAYERED;
    stat_inc(&w->secure_stats.handshakes_active);
    return &s->session;
}

static void secure_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                        uint64_t now_ns)
{
    struct secure *s = secure_of(user);

    s->unrecved += len;
    s->session.worker->now_ns = now_ns;
    /* While the last responses are on their way, for KeyUpdates and alerts. */
    if (s->stage == SECURE_OPEN && !s->finished)
        take_records(s, data, len, now_ns);
    else if (s->stage == SECURE_HANDSHAKE && !(s->session.flags & SESSION_CLOSING) &&
             session_keep(&s->session, data, len))
        take_step(s);
    if (tcp_conn_state(conn) != TCP_CLOSED)
        credit(s);
}

/* A step that is being taken may end in an answer, or an alert. */
static void secure_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct secure *s = secure_of(user);

    if (s->job_out)
        s->session.flags |= SESSION_PEER_DONE;
    else
        session_end_input(&s->session, now_ns);
}

static void secure_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct secure *s = secure_of(user);

    session_arrived(&s->session, records_arrived(s, offset), now_ns);
    if (tcp_conn_state(conn) != TCP_CLOSED)
        credit(s);
}

const struct tcp_ops secure_ops = {
    .accept = secure_accept,
    .recv = secure_recv,
    .recv_end = secure_recv_end,
    .fill = records_fill,
    .round = records_round,
    .sent = secure_sent,
    .closed = secure_closed,
};

/* --- the worker's part ------------------------------------------------------------------------ */

uint64_t secure_runs_shared(const struct worker_config *config)
{
    return (uint64_t)RUNS_SHARED * config->limits.conns;
}

/* A first and a last one of each connection, what they share, and those that have arrived before a
 * read for them came back. */
static uint64_t runs_max(const struct worker_config *config)
{
    return 2 * (uint64_t)config->limits.conns + secure_runs_shared(config) + config->chunk_count;
}

static uint32_t keys_max(const struct worker_config *config)
{
    return min_u32(config->limits.conns, KEYS_MAX + config->chunk_count);
}

size_t secure_arena_bytes(const struct worker_config *config)
{
    uint64_t conns = config->limits.conns;

    if (!config->tls_port)
        return 0;
    return conns * (sizeof(struct secure) + 64) + runs_max(config) * (sizeof(struct run) + 64) +
           keys_max(config) * (sizeof(struct tlsrec_keys) + 64) + 1024 * 1024;
}

int secure_open(struct worker *w)
{
    const struct worker_config *c = &w->config;
    int rc;

    list_init(&w->secures_open);
    if (!c->tls_port)
        return 0;
    assert(c->read_bytes >= TLS_READ_BYTES_MIN && c->chunk_count >= TLS_CHUNKS_MIN);
    rc = mem_pool_init(&w->secures, c->arena, sizeof(struct secure), c->limits.conns);
    if (rc == 0)
        rc = mem_pool_init(&w->runs, c->arena, sizeof(struct run), runs_max(c));
    if (rc == 0)
        rc = mem_pool_init(&w->keys, c->arena, sizeof(struct tlsrec_keys), keys_max(c));
    if (rc == 0)
        rc = tlsrec_engine_open(&w->engine, c->arena);
    if (rc < 0)
        return rc;
    rc = tls_desk_open(&w->desk, c->tls_threads);
    if (rc < 0) {
        tlsrec_engine_close(w->engine);
        return rc;
    }
    w->spare = mem_chunk_get(&w->chunks); /* there are TLS_CHUNKS_MIN */
    w->tls = tls_ctx_hold(c->tls);
    w->layer = &layer;
    return 0;
}

void worker_set_tls(struct worker *w, struct tls_ctx *ctx)
{
    tls_ctx_put(w->tls);
    w->tls = tls_ctx_hold(ctx);
}

int worker_tls_fd(const struct worker *w)
{
    return w->desk ? tls_desk_fd(w->desk) : -1;
}

/* TCP has forgotten its connections without a word: what is not the arena's is given back here. */
void secure_close(struct worker *w)
{
    struct secure *s;

    if (!w->desk)
        return;
    tls_desk_close(w->desk);
    while ((s = list_first(&w->secures_open, struct secure, link))) {
        records_drop(s);
        secure_free(s);
    }
    mem_chunk_put(w->spare);
    tlsrec_engine_close(w->engine);
    tls_ctx_put(w->tls);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * session.c - one client's connection as HTTP sees it: requests in, responses onto the stream.
 *
 * A request that arrives whole, as nearly all do, is parsed where it lies in the packet. Only what
 * cannot be used yet (a head in parts, pipelined requests beyond RESPONSES_MAX, a body) is kept, in
 * a buffer as large as the receive window, so that it always fits.
 */
#include "session.h"

#include <errno.h>

/* --- phases: what the session waits for ------------------------------------------------------- */

static uint64_t phase_due_ns(const struct session *s)
{
    return s->since_ns + s->worker->config.limits.phase_ns[s->phase];
}

/* A timer that fires too early finds nothing due and is armed again: requests and ACKs that put the
 * time off do not touch the wheel. */
static void phase_enter(struct session *s, enum session_phase phase, uint64_t now_ns)
{
    s->phase = (uint8_t)phase;
    s->since_ns = now_ns;
    if (!timer_armed(&s->timer) || phase_due_ns(s) < s->timer.due_ns)
        timer_arm(&s->worker->wheel, &s->timer, phase_due_ns(s));
}

static void request_free(struct session *s)
{
    if (!s->request || (s->flags & SESSION_LAYERED && s->worker->layer->has_request(s)))
        return;
    mem_pool_put(&s->worker->requests, s->request);
    s->request = NULL;
}

void session_settle(struct session *s, uint64_t now_ns)
{
    enum session_phase phase;

    if (s->flags & SESSION_CLOSING)
        request_free(s);
    if (s->first)
        phase = PHASE_SEND;
    else if (s->flags & SESSION_CLOSING)
        phase = PHASE_LINGER;
    else if (s->request && (s->request->len || s->request->in_body))
        phase = PHASE_HEAD;
    else
        phase = PHASE_IDLE;
    if (phase != s->phase)
        phase_enter(s, phase, now_ns);
}

/* --- the ends of things ----------------------------------------------------------------------- */

void response_put(struct worker *w, struct response *r)
{
    if (--r->refs > 0)
        return;
    if (r->object)
        diskmap_drop(w->dm, r->object);
    if (r->multi)
        mem_pool_put(&w->multis, r->multi);
    if (r->location)
        mem_pool_put(&w->locations, r->location);
    mem_pool_put(&w->responses, r);
    stat_set(&w->stats.responses_active, w->responses.in_use);
}

void session_release(struct session *s)
{
    struct worker *w = s->worker;

    if (s->reads > 0)
        return;
    stat_add(&w->stats.sessions_draining, (uint64_t)-1);
    if (s->flags & SESSION_LAYERED)
        w->layer->free(s);
    else
        mem_pool_put(&w->sessions, s);
}

void session_end(struct session *s)
{
    struct worker *w = s->worker;

    s->conn = NULL;
    timer_disarm(&w->wheel, &s->timer);
    request_free(s);
    while (s->first) {
        struct response *r = s->first;

        s->first = r->next;
        response_put(w, r);
    }
    stat_add(&w->stats.sessions, (uint64_t)-1);
    stat_inc(&w->stats.sessions_draining);
    session_release(s);
}

void session_abort(struct session *s, uint64_t now_ns)
{
    tcp_abort(s->conn, now_ns);
}

/* Our side ends after what is written. The client's further words are not listened to. */
void session_finish(struct session *s)
{
    if (s->flags & SESSION_CLOSING)
        return;
    s->flags |= SESSION_CLOSING;
    if (s->flags & SESSION_LAYERED)
        s->worker->layer->finish(s);
    else
        tcp_close(s->conn);
}

/* So many bytes are no longer kept. Of a layer's bytes TCP knows nothing. */
static void used(struct session *s, size_t bytes)
{
    if (!(s->flags & SESSION_LAYERED))
        tcp_recved(s->conn, (uint32_t)bytes);
}

/* --- requests become responses ---------------------------------------------------------------- */

static int64_t date_now(const struct worker *w)
{
    return w->epoch_s + (int64_t)(w->now_ns / NS_PER_S);
}

static const struct http1_options *http_options(const struct session *s)
{
    const struct worker_config *config = &s->worker->config;

    return s->flags & SESSION_LAYERED ? &config->https : &config->http;
}

static struct response *response_new(struct session *s)
{
    struct response *r = mem_pool_get(&s->worker->responses);

    if (!r) {
        stat_inc(&s->worker->stats.drop_responses_full);
        return NULL;
    }
    memset(r, 0, offsetof(struct response, entity));
    r->refs = 1;
    return r;
}

/* The limit is the object's, and TCP knows one for the connection: that of the response which the
 * client is being sent. Pipelined ones behind it begin when it has arrived. */
static void pace(struct session *s)
{
    if (s->worker->config.rates)
        tcp_set_rate(s->conn, s->first ? s->first->bytes_per_s : 0);
}

/* The response takes its place at the end of the stream. From here on TCP may ask for it. */
static void response_queue(struct session *s, struct response *r)
{
    struct worker *w = s->worker;

    r->start = s->stream_bytes;
    s->stream_bytes += http1_response_bytes(&r->http);
    if (s->first)
        s->last->next = r;
    else
        s->first = r;
    s->last = r;
    if (s->first == r)
        pace(s);
    s->response_count++;
    stat_inc(&w->stats.requests);
    stat_set(&w->stats.responses_active, w->responses.in_use);
    if (r->http.status < array_len(w->stats.by_status))
        stat_inc(&w->stats.by_status[r->http.status]);
    if (s->flags & SESSION_LAYERED)
        w->layer->carry(s, r);
    else
        tcp_write(s->conn, http1_response_bytes(&r->http));
    if (!r->http.keep_alive)
        session_finish(s);
}

/* False: the connection is gone. */
static bool respond_fail(struct session *s, uint16_t status, const struct http1_request *req)
{
    struct worker *w = s->worker;
    struct response *r = response_new(s);

    if (!r) {
        session_abort(s, w->now_ns);
        return false;
    }
    http1_fail(status, req, http_options(s), date_now(w), &r->http);
    response_queue(s, r);
    return true;
}

static int find_object(struct worker *w, const struct http1_request *req,
                       const struct diskmap_object **object)
{
    int len = req->path_len;

    *object = NULL;
    if (len == 0)
        return -ENOENT;
    if (w->path[len - 1] == '/') {
        len = http1_path_index(w->path, (size_t)len, sizeof(w->path), "index.html");
        if (len < 0)
            return -ENAMETOOLONG;
    }
    return diskmap_find(w->dm, w->path, (size_t)len, object);
}

static uint16_t find_status(int rc)
{
    switch (rc) {
    case -ENOENT:
    case -EISDIR:
    case -ENAMETOOLONG:
    case -ENOTDIR:
    case -ELOOP:
        return 404;
    case -EACCES:
        return 403;
    case -EMFILE:
    case -ENOMEM:
    case -ENODEV: /* its disk is lost */
        return 503;
    default:
        return 500;
    }
}

static void entity_of(struct worker *w, const struct diskmap_object *object,
                      struct http1_entity *entity)
{
    http1_entity_init(entity, object->bytes, object->mtime_s, object->etag[0] ^ object->etag[1],
                      http1_media_type(w->path, strlen(w->path)));
}

/* A request for several ranges needs room for them; the others do not pay for it. */
static void decide(struct session *s, struct response *r, const struct http1_request *req)
{
    struct worker *w = s->worker;
    const struct http1_entity *entity = r->object ? &r->entity : NULL;
    struct http1_ranges *multi = req->range.off ? mem_pool_get(&w->multis) : NULL;

    http1_decide(req, entity, http_options(s), date_now(w), multi, &r->http);
    if (multi && !r->http.multi)
        mem_pool_put(&w->multis, multi);
    else
        r->multi = multi;
}

/* Without TLS, all that there is to say is where to ask with it. False: the connection is gone. */
static bool respond_redirect(struct session *s, const struct http1_request *req)
{
    struct worker *w = s->worker;
    char *location = mem_pool_get(&w->locations);
    struct response *r;

    if (!location) {
        stat_inc(&w->stats.drop_locations_full);
        return respond_fail(s, 503, req);
    }
    r = response_new(s);
    if (!r) {
        mem_pool_put(&w->locations, location);
        session_abort(s, w->now_ns);
        return false;
    }
    http1_redirect(req, w->config.tls_port, http_options(s), date_now(w), location,
                   LOCATION_BYTES_MAX, &r->http);
    if (r->http.location)
        r->location = location;
    else
        mem_pool_put(&w->locations, location);
    response_queue(s, r);
    return true;
}

/* False: the connection is gone. */
static bool respond(struct session *s, struct http1_request *req)
{
    struct worker *w = s->worker;
    const struct diskmap_object *object = NULL;
    struct response *r;
    int rc = 0;

    if (w->draining)
        req->keep_alive = false;
    if (w->config.redirect_https && !(s->flags & SESSION_LAYERED))
        return respond_redirect(s, req);
    if (req->method == HTTP1_GET || req->method == HTTP1_HEAD)
        rc = find_object(w, req, &object);
    if (rc < 0 && find_status(rc) != 404)
        return respond_fail(s, find_status(rc), req);
    r = response_new(s);
    if (!r) {
        if (object)
            diskmap_drop(w->dm, object);
        session_abort(s, w->now_ns);
        return false;
    }
    r->object = object;
    if (object)
        entity_of(w, object, &r->entity);
    if (object && w->config.rates)
        r->bytes_per_s = rate_rules_find(w->config.rates, w->path, (uint32_t)strlen(w->path));
    decide(s, r, req);
    response_queue(s, r);
    return true;
}

/* The client waits for our word before it sends a body that nobody needs: it may. */
static bool respond_continue(struct session *s)
{
    struct response *r = response_new(s);

    if (!r) {
        session_abort(s, s->worker->now_ns);
        return false;
    }
    http1_continue(&r->http);
    response_queue(s, r);
    return true;
}

/* --- bytes become requests -------------------------------------------------------------------- */

static struct request *request_get(struct session *s)
{
    struct worker *w = s->worker;

    if (!s->request) {
        s->request = mem_pool_get(&w->requests);
        if (!s->request) {
            stat_inc(&w->stats.drop_requests_full);
            session_abort(s, w->now_ns);
            return NULL;
        }
        s->request->in_body = s->request->parsing = false;
        s->request->len = 0;
    }
    return s->request;
}

enum taken {
    TAKEN_MORE, /* the rest may hold another request */
    TAKEN_WAIT, /* more bytes are needed, or responses must leave first */
    TAKEN_GONE, /* the connection ended */
};

/* A complete head: answer it; a body that follows is skipped before the next. */
static enum taken take_head(struct session *s, struct http1_request *req)
{
    struct http1_body body;
    int rc = 0;

    if (req->has_body) {
        rc = http1_body_init(&body, req, REQUEST_BODY_MAX);
        if (rc < 0) {
            req->keep_alive = false;
            return respond_fail(s, (uint16_t)-rc, req) ? TAKEN_MORE : TAKEN_GONE;
        }
        if (req->expect_continue && !respond_continue(s))
            return TAKEN_GONE;
    }
    if (!respond(s, req))
        return TAKEN_GONE;
    if (req->has_body && !(s->flags & SESSION_CLOSING)) {
        if (!request_get(s))
            return TAKEN_GONE;
        s->request->body = body;
        s->request->in_body = true;
    }
    return TAKEN_MORE;
}

static enum taken take_body(struct session *s, const char *buf, size_t len, size_t *used)
{
    struct http1_body *body = &s->request->body;
    int64_t n = http1_body_feed(body, buf, len);

    if (n < 0) { /* the request has been answered already; what comes next cannot be told from it */
        *used = len;
        session_finish(s);
        return TAKEN_MORE;
    }
    *used = (size_t)n;
    if (body->done)
        s->request->in_body = false;
    return TAKEN_MORE;
}

/* One step: part of a body, or a head. *used: how many bytes it took. `req` keeps what an
 * incomplete head has taught so far. */
static enum taken take_step(struct session *s, struct http1_request *req, bool *parsing,
                            const char *buf, size_t len, size_t *used)
{
    struct worker *w = s->worker;
    int n;

    *used = 0;
    if (s->request && s->request->in_body)
        return take_body(s, buf, len, used);
    if (s->response_count >= RESPONSES_MAX)
        return TAKEN_WAIT;
    if (!*parsing)
        http1_request_init(req, w->path, sizeof(w->path));
    req->path = w->path;
    n = http1_parse(buf, len, &w->head_limits, req);
    *parsing = n == 0;
    if (n == 0)
        return TAKEN_WAIT;
    if (n < 0) {
        *used = len;
        return respond_fail(s, (uint16_t)-n, req) ? TAKEN_MORE : TAKEN_GONE;
    }
    *used = (size_t)n;
    return take_head(s, req);
}

/* Uses what it can of `len` bytes; *used says how much. */
static enum taken take_bytes(struct session *s, struct http1_request *req, bool *parsing,
                             const char *buf, size_t len, size_t *used)
{
    enum taken rc = TAKEN_MORE;

    *used = 0;
    while (rc == TAKEN_MORE && *used < len) {
        size_t n;

        if (s->flags & SESSION_CLOSING) {
            *used = len;
            return TAKEN_WAIT;
        }
        rc = take_step(s, req, parsing, buf + *used, len - *used, &n);
        *used += n;
    }
    return rc;
}

/* Bytes wait in the buffer: new ones go behind them, and as many as possible are used. */
static void take_buffered(struct session *s)
{
    struct request *q = s->request;
    size_t n;

    if (!q || q->len == 0)
        return;
    if (take_bytes(s, &q->http, &q->parsing, q->buf, q->len, &n) == TAKEN_GONE)
        return;
    if (n)
        used(s, n);
    memmove(q->buf, q->buf + n, q->len - n);
    q->len -= (uint32_t)n;
    if (q->len == 0 && !q->in_body)
        request_free(s);
}

static void keep(struct session *s, const uint8_t *data, uint32_t len)
{
    struct request *q = s->request;

    assert(len <= REQUEST_BYTES - q->len); /* the receive window is as large as the buffer */
    memcpy(q->buf + q->len, data, len);
    q->len += len;
}

bool session_keep(struct session *s, const uint8_t *data, uint32_t len)
{
    if (!request_get(s))
        return false;
    keep(s, data, len);
    return true;
}

struct request *session_take_back(struct session *s)
{
    struct request *q = s->request;

    s->request = NULL;
    return q;
}

/* Parsed in the packet; what is left over is kept. */
static void take_direct(struct session *s, const uint8_t *data, uint32_t len)
{
    struct http1_request req;
    bool parsing = false;
    size_t n;

    if (take_bytes(s, &req, &parsing, (const char *)data, len, &n) == TAKEN_GONE)
        return;
    used(s, n);
    if (n == len || !request_get(s))
        return;
    s->request->parsing = parsing;
    if (parsing)
        s->request->http = req;
    keep(s, data + n, len - (uint32_t)n);
}

/* The connection may be gone when it returns, and the session with it. */
void session_take(struct session *s, const uint8_t *data, uint32_t len, uint64_t now_ns)
{
    struct tcp_conn *conn = s->conn;

    s->worker->now_ns = now_ns;
    if (s->flags & SESSION_CLOSING) {
        used(s, len);
        return;
    }
    if (s->request && s->request->len) {
        keep(s, data, len);
        take_buffered(s);
    } else {
        take_direct(s, data, len);
    }
    if (tcp_conn_state(conn) != TCP_CLOSED)
        session_settle(s, now_ns);
}

/* What was asked for is still delivered; then we close too. */
void session_end_input(struct session *s, uint64_t now_ns)
{
    s->flags |= SESSION_PEER_DONE;
    if (s->response_count < RESPONSES_MAX)
        session_finish(s);
    session_settle(s, now_ns);
}

/* Responses that arrived whole are forgotten; requests that waited for them go on. */
void session_arrived(struct session *s, uint64_t offset, uint64_t now_ns)
{
    struct tcp_conn *conn = s->conn;
    struct worker *w = s->worker;
    bool freed = false;

    if (s->phase == PHASE_SEND)
        s->since_ns = now_ns;
    while (s->first && offset >= s->first->start + http1_response_bytes(&s->first->http)) {
        struct response *r = s->first;

        s->first = r->next;
        s->response_count--;
        response_put(w, r);
        freed = true;
    }
    if (!freed)
        return;
    pace(s);
    w->now_ns = now_ns;
    if (!(s->flags & SESSION_CLOSING)) {
        take_buffered(s);
        if (tcp_conn_state(conn) == TCP_CLOSED)
            return;
        if (s->response_count < RESPONSES_MAX &&
            (s->flags & SESSION_PEER_DONE || (w->draining && !s->first)))
            session_finish(s);
    }
    session_settle(s, now_ns);
}

/* --- the beginning, and waits that were too long ---------------------------------------------- */

void session_begin(struct session *s, struct worker *w, struct tcp_conn *conn, uint64_t now_ns)
{
    *s = (struct session){.worker = w, .conn = conn};
    timer_init(&s->timer);
    phase_enter(s, PHASE_HEAD, now_ns);
    stat_inc(&w->stats.sessions);
}

/* --- without TLS, TCP's words are the session's ----------------------------------------------- */

static void *plain_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    struct worker *w = app;
    struct session *s = mem_pool_get(&w->sessions);

    if (!s) {
        stat_inc(&w->stats.drop_sessions_full);
        return NULL;
    }
    session_begin(s, w, conn, now_ns);
    return s;
}

static void plain_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                       uint64_t now_ns)
{
    session_take(user, data, len, now_ns);
}

static void plain_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    session_end_input(user, now_ns);
}

static void plain_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    session_arrived(user, offset, now_ns);
}

static void plain_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    session_end(user);
}

const struct tcp_ops session_ops = {
    .accept = plain_accept,
    .recv = plain_recv,
    .recv_end = plain_recv_end,
    .fill = stream_fill,
    .sent = plain_sent,
    .closed = plain_closed,
};

static bool can_answer(struct session *s)
{
    return !(s->flags & SESSION_LAYERED) || s->worker->layer->can_answer(s);
}

static void phase_timeout(struct session *s, uint64_t now_ns)
{
    struct worker *w = s->worker;

    switch ((enum session_phase)s->phase) {
    case PHASE_IDLE:
        stat_inc(&w->stats.timeouts_idle);
        session_finish(s);
        session_settle(s, now_ns);
        break;
    case PHASE_HEAD:
        stat_inc(&w->stats.timeouts_head);
        w->now_ns = now_ns;
        /* It never said anything, or nothing in HTTP, or has its answer already. */
        if (!s->request || s->request->in_body || !can_answer(s))
            session_finish(s);
        else if (!respond_fail(s, 408, NULL))
            return;
        session_settle(s, now_ns);
        break;
    case PHASE_SEND:
        stat_inc(&w->stats.timeouts_send);
        session_abort(s, now_ns);
        break;
    case PHASE_LINGER:
        stat_inc(&w->stats.timeouts_linger);
        session_abort(s, now_ns);
        break;
    }
}

void session_timers(struct worker *w, uint64_t now_ns)
{
    struct timer *timer;

    while ((timer = timer_pop(&w->wheel, now_ns))) {
        struct session *s = container_of(timer, struct session, timer);

        if (phase_due_ns(s) <= now_ns)
            phase_timeout(s, now_ns);
        else
            timer_arm(&w->wheel, timer, phase_due_ns(s));
    }
}

/* Idle connections are closed; what was asked for is delivered. */
void session_drain(struct worker *w, uint64_t now_ns)
{
    for (struct tcp_conn *conn = NULL; (conn = tcp_conn_next(w->tcp, conn));) {
        struct session *s = tcp_conn_user(conn);

        if (s && !s->first) {
            session_finish(s);
            session_settle(s, now_ns);
        }
    }
}

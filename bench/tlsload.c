// SPDX-License-Identifier: BSD-2-Clause
/*
 * tlsload.c - a client that keeps a server busy over TLS 1.3, or without TLS, from one thread.
 *
 *     tlsload drain|full|resumed|probe [--plain] [--connections N] [--objects N] [--per-dir N]
 *             [--interval US] [--seed N] [--plain-port PORT] ADDR PORT
 *
 *     drain     kept-alive connections, each asks for one object after the other
 *     full      connections of one small request each, one after the other, N at a time
 *     resumed   the same, each with the newest ticket of the one before
 *     probe     kept-alive connections, each asks for little every US microseconds
 *
 * A client that decrypts has as much to do as the server that encrypts, and with one core for each
 * it would be the client that is measured. So `drain` asks for all heads beforehand, at the plain
 * port of the same server, and knows from then on how long each response is. It decrypts the first
 * one of a connection, with the tickets in front of it; of those that follow it reads the headers
 * of the records alone, and counts. A response that does not end where it must, at the end of a
 * record, is an error. Certificates are not checked: that is the client's affair, and the signature
 * of the handshake is verified all the same.
 *
 * A connection of `full` and `resumed` counts when its response is there: then the server has seen
 * the client's Finished. It ends with close_notify and FIN in both directions.
 *
 * `probe` counts a latency from when the request was due, not from when it could be sent: a server
 * that stalls is charged for all the requests that it keeps from being asked.
 *
 * It says `ready` when every connection has had a response (of `resumed`: one that was resumed).
 * From then on it answers each line of its input with a line of JSON, about all that has happened
 * since the line before, and ends with its input.
 */
#include "ask.h"
#include "base/base.h"
#include "base/bytes.h"
#include "base/rand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX    256
#define BUFFER_BYTES  (128 * 1024) /* stays in the second-level cache */
#define HEAD_BYTES    4096
#define SAMPLES_MAX   (4u << 20) /* latencies between two lines: 400,000 a second for 10 s */
#define RETRY_NS      (10 * NS_PER_MS)
#define HEADER_BYTES  5
#define SEALING_BYTES (1 + 16) /* of a record of TLS 1.3: its type and its tag */
#define DATA_RECORD   23

struct mode {
    const char *name;
    bool keeps;   /* a connection has many requests, not one */
    bool resumes; /* it begins with the newest ticket of the one before */
    bool sizes;   /* after the first response of a connection, bytes are counted only */
    bool small;   /* a little of an object is asked for, not all of it */
    bool paced;   /* requests are due at intervals */
};
static const struct mode modes[] = {
    {.name = "drain", .keeps = true, .sizes = true},
    {.name = "full", .small = true},
    {.name = "resumed", .small = true, .resumes = true},
    {.name = "probe", .keeps = true, .small = true, .paced = true},
};

enum state {
    PAUSED,     /* until due_ns: then a connection is opened, or a request sent if there is one */
    CONNECTING, /* the SYN is out */
    GREETING,   /* the handshake is under way */
    ASKING,     /* a response is waited for, or arrives */
    CLOSING,    /* we have said that we are done, and the server has not */
};

enum error {
    ERROR_CONNECT,
    ERROR_HANDSHAKE,
    ERROR_CLOSED,   /* by the server, in the midst of something */
    ERROR_RESPONSE, /* is not what was asked for */
    ERROR_SESSION,  /* the server did not resume it */
    ERRORS,
};
static const char *const error_names[ERRORS] = {"connect", "handshake", "closed", "response",
                                                "session"};

struct conn {
    int fd; /* -1: none */
    enum state state;
    SSL *ssl;
    SSL_SESSION *session; /* for the next handshake, or NULL */
    uint64_t begin_ns;    /* what the latency is counted from */
    uint64_t due_ns;
    uint64_t answers;
    uint64_t left; /* bytes still to come: of the body, or if `sized` of the response */
    uint64_t response_bytes;
    bool sized; /* bytes are counted and not looked at */
    bool in_body;
    uint32_t head_len;
    uint32_t record_left; /* bytes of the record that is arriving */
    uint32_t header_len;
    uint8_t header[HEADER_BYTES];
    char head[HEAD_BYTES + 1];
};

/* What happened since the last line. */
struct counts {
    uint64_t bytes, requests, full, resumed;
    uint64_t errors[ERRORS];
    uint32_t samples;
};

struct load {
    const struct mode *mode;
    bool plain;
    bool is_ready;
    bool is_over;
    uint32_t count; /* of connections */
    uint32_t warm;  /* of these have had what `ready` promises */
    uint32_t paused;
    struct ask_set set;
    uint64_t interval_ns;
    uint64_t next_due_ns;
    struct sockaddr_in server, plain_server;
    uint64_t *sizes; /* of responses, by object: head and body */
    SSL_CTX *ctx;
    int epoll_fd;
    struct rand rand;
    struct conn *conns;
    struct counts counts;
    uint32_t *samples_us;
    uint8_t buf[BUFFER_BYTES];
};

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- connections come and go ------------------------------------------------------------------ */

static void pause_until(struct load *l, struct conn *c, uint64_t due_ns)
{
    c->state = PAUSED;
    c->due_ns = due_ns;
    l->next_due_ns = l->paused == 0 ? due_ns : min_u64(due_ns, l->next_due_ns);
    l->paused++;
}

static void drop(struct load *l, struct conn *c)
{
    if (c->fd < 0)
        return;
    if (c->state == PAUSED)
        l->paused--;
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
}

static void fail(struct load *l, struct conn *c, enum error error)
{
    l->counts.errors[error]++;
    drop(l, c);
    pause_until(l, c, clock_ns() + RETRY_NS);
}

static void watch(struct load *l, struct conn *c, int op, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    epoll_ctl(l->epoll_fd, op, c->fd, &event);
}

static void begin(struct load *l, struct conn *c)
{
    int one = 1;

    c->begin_ns = clock_ns();
    c->sized = l->plain && l->mode->sizes;
    c->record_left = c->header_len = 0;
    c->state = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        l->counts.errors[ERROR_CONNECT]++;
        pause_until(l, c, c->begin_ns + RETRY_NS);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
    if (connect(c->fd, (struct sockaddr *)&l->server, sizeof(l->server)) < 0 &&
        errno != EINPROGRESS)
        fail(l, c, ERROR_CONNECT);
}

static void say_goodbye(struct load *l, struct conn *c)
{
    if (c->ssl)
        SSL_shutdown(c->ssl);
    shutdown(c->fd, SHUT_WR);
    c->state = CLOSING;
}

/* --- requests --------------------------------------------------------------------------------- */

/* A request is short, and nothing else waits to be sent: the socket takes all of it or is broken.
 */
static void ask(struct load *l, struct conn *c)
{
    char request[ASK_BYTES];
    uint32_t n = (uint32_t)rand_below(&l->rand, l->set.objects);
    int len = ask_put(&l->set, "GET", n, l->mode->small, request);

    if (l->mode->paced && c->answers > 0)
        c->begin_ns = c->due_ns;
    else if (l->mode->keeps)
        c->begin_ns = clock_ns();
    c->state = ASKING;
    c->head_len = 0;
    c->in_body = false;
    if (l->mode->sizes)
        c->left = c->response_bytes = l->sizes[n];
    if ((c->ssl ? SSL_write(c->ssl, request, len) : (int)write(c->fd, request, (size_t)len)) != len)
        fail(l, c, ERROR_CLOSED);
}

static void sample(struct load *l, uint64_t spent_ns)
{
    if (l->counts.samples < SAMPLES_MAX)
        l->samples_us[l->counts.samples++] = (uint32_t)min_u64(spent_ns / NS_PER_US, UINT32_MAX);
}

/* The response is complete. */
static void answered(struct load *l, struct conn *c)
{
    uint64_t now_ns = clock_ns();

    sample(l, now_ns - c->begin_ns);
    l->counts.requests++;
    c->answers++;
    if (c->answers == (l->mode->resumes ? 2 : 1))
        l->warm++;
    if (l->mode->sizes && !c->sized) {
        if (c->ssl && SSL_has_pending(c->ssl)) {
            fail(l, c, ERROR_RESPONSE);
            return;
        }
        c->sized = true;
    }
    if (l->mode->paced)
        pause_until(l, c,
                    c->answers == 1 ? now_ns + rand_below(&l->rand, l->interval_ns + 1)
                                    : c->due_ns + l->interval_ns);
    else if (l->mode->keeps)
        ask(l, c);
    else
        say_goodbye(l, c);
}

/* --- responses that are looked at --------------------------------------------------------------
 */

enum verdict { MORE, COMPLETE, BROKEN };

static enum verdict feed(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
    if (!c->in_body) {
        size_t part = min_u64(len, HEAD_BYTES - c->head_len), before = c->head_len, bytes;
        const char *end;

        memcpy(c->head + before, data, part);
        c->head_len += (uint32_t)part;
        c->head[c->head_len] = '\0';
        end = strstr(c->head, "\r\n\r\n");
        if (!end)
            return c->head_len < HEAD_BYTES ? MORE : BROKEN;
        bytes = (size_t)(end - c->head) + 4;
        if (!ask_head(c->head, l->mode->small, &c->left) ||
            (l->mode->sizes && bytes + c->left != c->response_bytes))
            return BROKEN;
        c->in_body = true;
        len -= bytes - before;
    }
    if (len > c->left)
        return BROKEN;
    c->left -= len;
    return c->left > 0 ? MORE : COMPLETE;
}

/* Bytes of the stream, -1 if there are none yet; otherwise the connection is over. */
static ssize_t take(struct load *l, struct conn *c)
{
    ssize_t n = c->ssl ? SSL_read(c->ssl, l->buf, BUFFER_BYTES) : read(c->fd, l->buf, BUFFER_BYTES);

    if (n > 0)
        return n;
    if (c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN)
        return -1;
    return 0;
}

/* All that has arrived: records that OpenSSL holds are not reported by epoll. */
static void read_response(struct load *l, struct conn *c)
{
    enum verdict verdict = MORE;
    ssize_t n;

    while (verdict == MORE) {
        n = take(l, c);
        if (n < 0)
            return;
        if (n == 0) {
            fail(l, c, ERROR_CLOSED);
            return;
        }
        l->counts.bytes += (uint64_t)n;
        verdict = feed(l, c, l->buf, (size_t)n);
    }
    if (verdict == COMPLETE)
        answered(l, c);
    else
        fail(l, c, ERROR_RESPONSE);
}

/* Nothing was asked for: a ticket may arrive, but no data. */
static void read_unasked(struct load *l, struct conn *c)
{
    ssize_t n = take(l, c);

    if (n >= 0)
        fail(l, c, n > 0 ? ERROR_RESPONSE : ERROR_CLOSED);
}

/* --- responses that are counted --------------------------------------------------------------- */

static bool count_plain(struct conn *c, const uint8_t *data, size_t len)
{
    static const char begins[] = "HTTP/1.1 200";

    if (c->left == c->response_bytes && memcmp(data, begins, min_u64(len, sizeof(begins) - 1)) != 0)
        return false;
    if (len > c->left)
        return false;
    c->left -= len;
    return true;
}

/* The header of a record is complete: its text is a part of the response. */
static bool begin_record(struct conn *c)
{
    uint32_t text_bytes;

    c->header_len = 0;
    c->record_left = get_be16(c->header + 3);
    if (c->header[0] != DATA_RECORD || c->record_left < SEALING_BYTES)
        return false;
    text_bytes = c->record_left - SEALING_BYTES;
    if (text_bytes > c->left)
        return false;
    c->left -= text_bytes;
    return true;
}

static bool count_records(struct conn *c, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t part;

        if (c->record_left > 0) {
            part = min_u64(len, c->record_left);
            c->record_left -= (uint32_t)part;
        } else {
            part = min_u64(len, HEADER_BYTES - c->header_len);
            memcpy(c->header + c->header_len, data, part);
            c->header_len += (uint32_t)part;
            if (c->header_len == HEADER_BYTES && !begin_record(c))
                return false;
        }
        data += part;
        len -= part;
    }
    return true;
}

/* By read(2), as OpenSSL and wrk do it: the kernel counts the bytes of that alone. */
static void count_response(struct load *l, struct conn *c)
{
    ssize_t n = read(c->fd, l->buf, BUFFER_BYTES);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        fail(l, c, ERROR_CLOSED);
        return;
    }
    l->counts.bytes += (uint64_t)n;
    if (!(c->ssl ? count_records : count_plain)(c, l->buf, (size_t)n))
        fail(l, c, ERROR_RESPONSE);
    else if (c->left == 0 && c->record_left == 0 && c->header_len == 0)
        answered(l, c);
}

/* --- handshakes --------------------------------------------------------------------------------
 */

static void greet(struct load *l, struct conn *c)
{
    int rc = SSL_do_handshake(c->ssl);

    if (rc != 1) {
        if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ)
            fail(l, c, ERROR_HANDSHAKE);
        return;
    }
    if (SSL_session_reused(c->ssl))
        l->counts.resumed++;
    else
        l->counts.full++;
    if (c->session && !SSL_session_reused(c->ssl))
        l->counts.errors[ERROR_SESSION]++;
    ask(l, c);
}

static void connected(struct load *l, struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        fail(l, c, ERROR_CONNECT);
        return;
    }
    watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
    if (l->plain) {
        ask(l, c);
        return;
    }
    c->ssl = SSL_new(l->ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_set_app_data(c->ssl, c) != 1 ||
        (c->session && SSL_set_session(c->ssl, c->session) != 1)) {
        fail(l, c, ERROR_HANDSHAKE);
        return;
    }
    SSL_set_connect_state(c->ssl);
    c->state = GREETING;
    greet(l, c);
}

/* The server's part of the end: close_notify, then FIN. */
static void hear_goodbye(struct load *l, struct conn *c)
{
    ssize_t n = read(c->fd, l->buf, BUFFER_BYTES);

    if (n > 0 || (n < 0 && errno == EAGAIN))
        return;
    if (n < 0)
        l->counts.errors[ERROR_CLOSED]++;
    drop(l, c);
    begin(l, c);
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static void step(struct load *l, struct conn *c)
{
    ERR_clear_error();
    switch (c->state) {
    case CONNECTING:
        connected(l, c);
        break;
    case GREETING:
        greet(l, c);
        break;
    case ASKING:
        (c->sized ? count_response : read_response)(l, c);
        break;
    case CLOSING:
        hear_goodbye(l, c);
        break;
    case PAUSED:
        read_unasked(l, c);
        break;
    }
}

/* Those whose pause is over. */
static void wake(struct load *l, uint64_t now_ns)
{
    if (l->paused == 0 || l->next_due_ns > now_ns)
        return;
    l->next_due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < l->count; i++) {
        struct conn *c = &l->conns[i];

        if (c->state != PAUSED)
            continue;
        if (c->due_ns > now_ns) {
            l->next_due_ns = min_u64(l->next_due_ns, c->due_ns);
            continue;
        }
        l->paused--;
        (c->fd >= 0 ? ask : begin)(l, c);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double quantile_ms(const struct load *l, double q)
{
    uint32_t n = l->counts.samples;

    return n ? l->samples_us[(uint32_t)((double)(n - 1) * q)] / 1e3 : 0;
}

static void report(struct load *l)
{
    const struct counts *n = &l->counts;

    qsort(l->samples_us, n->samples, sizeof(l->samples_us[0]), by_size);
    printf("{\"bytes\": %llu, \"requests\": %llu, \"full\": %llu, \"resumed\": %llu, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"errors\": {",
           (unsigned long long)n->bytes, (unsigned long long)n->requests,
           (unsigned long long)n->full, (unsigned long long)n->resumed, quantile_ms(l, 0.5),
           quantile_ms(l, 0.99));
    for (size_t i = 0; i < ERRORS; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", error_names[i], (unsigned long long)n->errors[i]);
    printf("}}\n");
    fflush(stdout);
    l->counts = (struct counts){0};
}

static void hear_input(struct load *l)
{
    ssize_t n = read(STDIN_FILENO, l->buf, BUFFER_BYTES);

    if (n <= 0)
        l->is_over = true;
    for (ssize_t i = 0; i < n; i++)
        if (l->buf[i] == '\n')
            report(l);
}

static void say_ready(struct load *l)
{
    l->is_ready = true;
    l->counts = (struct counts){0};
    printf("ready\n");
    fflush(stdout);
}

static int wait_events(struct load *l, struct epoll_event *events)
{
    uint64_t now_ns = clock_ns(), left_ns = l->next_due_ns > now_ns ? l->next_due_ns - now_ns : 0;
    struct timespec timeout = {(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};

    return epoll_pwait2(l->epoll_fd, events, EVENTS_MAX, l->paused > 0 ? &timeout : NULL, NULL);
}

static void run(struct load *l)
{
    struct epoll_event events[EVENTS_MAX];

    for (uint32_t i = 0; i < l->count; i++)
        begin(l, &l->conns[i]);
    while (!l->is_over) {
        int n = wait_events(l, events);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                step(l, events[i].data.ptr);
            else
                hear_input(l);
        }
        wake(l, clock_ns());
        if (!l->is_ready && l->warm == l->count)
            say_ready(l);
    }
}

/* --- putting it together -----------------------------------------------------------------------
 */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct conn *c = SSL_get_app_data(ssl);

    SSL_SESSION_free(c->session);
    c->session = session;
    return 1; /* it is ours now */
}

/* `drain` reads behind OpenSSL's back later on, which so must not read ahead. */
static bool open_tls(struct load *l)
{
    l->ctx = SSL_CTX_new(TLS_client_method());
    if (!l->ctx || SSL_CTX_set_min_proto_version(l->ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(l->ctx, "TLS_AES_128_GCM_SHA256") != 1)
        return false;
    SSL_CTX_set_verify(l->ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_read_ahead(l->ctx, !l->mode->sizes);
    SSL_CTX_set_mode(l->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(l->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (l->mode->resumes)
        SSL_CTX_sess_set_new_cb(l->ctx, keep_session);
    return true;
}

static bool open_all(struct load *l)
{
    struct epoll_event input = {.events = EPOLLIN};

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc(l->count, sizeof(l->conns[0]));
    l->samples_us = calloc(SAMPLES_MAX, sizeof(l->samples_us[0]));
    l->sizes = calloc(l->set.objects, sizeof(l->sizes[0]));
    if (l->epoll_fd < 0 || !l->conns || !l->samples_us || !l->sizes ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
        return false;
    for (uint32_t i = 0; i < l->count; i++)
        l->conns[i].fd = -1;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* a request is sent when it is due */
    signal(SIGPIPE, SIG_IGN);
    return l->plain || open_tls(l);
}

static void close_all(struct load *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        drop(l, &l->conns[i]);
        SSL_SESSION_free(l->conns[i].session);
    }
    SSL_CTX_free(l->ctx);
    close(l->epoll_fd);
    free(l->sizes);
    free(l->samples_us);
    free(l->conns);
}

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < array_len(modes); i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

static bool parse(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {{"plain", no_argument, NULL, 'p'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"objects", required_argument, NULL, 'o'},
                                            {"per-dir", required_argument, NULL, 'd'},
                                            {"interval", required_argument, NULL, 'i'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"plain-port", required_argument, NULL, 'z'},
                                            {0}};
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'p')
            l->plain = true;
        else if (id == 'c')
            l->count = (uint32_t)strtoul(optarg, NULL, 10);
        else if (id == 'o')
            l->set.objects = (uint32_t)strtoul(optarg, NULL, 10);
        else if (id == 'd')
            l->set.per_dir = (uint32_t)strtoul(optarg, NULL, 10);
        else if (id == 'i')
            l->interval_ns = strtoul(optarg, NULL, 10) * NS_PER_US;
        else if (id == 'z')
            l->plain_server.sin_port = htons((uint16_t)strtoul(optarg, NULL, 10));
        else if (id == 's')
            rand_seed(&l->rand, strtoull(optarg, NULL, 10));
        else
            return false;
    }
    if (argc - optind != 3 || l->count == 0 || l->set.objects == 0)
        return false;
    l->mode = find_mode(argv[optind]);
    l->server.sin_family = AF_INET;
    l->server.sin_port = htons((uint16_t)strtoul(argv[optind + 2], NULL, 10));
    l->plain_server.sin_family = AF_INET;
    if (inet_pton(AF_INET, argv[optind + 1], &l->server.sin_addr) != 1)
        return false;
    l->plain_server.sin_addr = l->server.sin_addr;
    return l->mode && !(l->plain && l->mode->resumes);
}

int main(int argc, char **argv)
{
    static struct load l = {
        .count = 1, .set = {.objects = 1}, .interval_ns = 10 * NS_PER_MS, .rand = {.state = 1}};

    if (!parse(&l, argc, argv)) {
        fprintf(stderr, "usage: tlsload drain|full|resumed|probe [--plain] [--connections N] "
                        "[--objects N]\n               [--per-dir N] [--interval US] [--seed N] "
                        "[--plain-port PORT] ADDR PORT\n");
        return 2;
    }
    if (!open_all(&l)) {
        fprintf(stderr, "tlsload: %s\n", errno ? strerror(errno) : "OpenSSL does not work");
        return 1;
    }
    if (l.mode->sizes && !ask_sizes(&l.set, &l.plain_server, l.sizes)) {
        fprintf(stderr, "tlsload: the heads of the objects cannot be had\n");
        return 1;
    }
    run(&l);
    close_all(&l);
    return 0;
}

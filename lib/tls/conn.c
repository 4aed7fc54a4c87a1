// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn.c - a connection: handshake, handover, what the client sends.
 *
 * OpenSSL reads from the caller's memory and writes to it, through a BIO of our own: what it does
 * not take in a call is copied, the rest is not. It asks for the header of a record and then for
 * its body, never for more, which is how bytes of unfinished records are counted.
 *
 * What goes on inside it is learnt from its callbacks: which messages it wrote and read, and the
 * secret that its records are sealed with.
 */
#include "priv.h"

#include "base/bytes.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#define RECORD_HEAD  5
#define SECRET_LABEL "SERVER_TRAFFIC_SECRET_0 "
/* A client's whole handshake. The largest hellos have a key share of 1,216 bytes (ML-KEM-768) and
 * a ticket; early data that we do not take is read over, 16 KiB at most. */
#define HANDSHAKE_BYTES_MAX (64 * 1024)
/* Changes of keys without a byte of data in between: each costs us more than the client. */
#define UPDATES_MAX 32

enum conn_state {
    CONN_SHAKING, /* tls_step is next */
    CONN_SHAKEN,  /* tls_handover is next */
    CONN_OPEN,    /* tls_read is next */
    CONN_OVER,    /* nothing is */
};

struct tls_conn {
    struct tls_ctx *ctx;
    SSL *ssl;
    enum conn_state state;
    /* to be read: in the caller's memory during a call, or kept from one to the next */
    const uint8_t *in;
    size_t in_len;
    uint8_t *kept; /* allocated, or NULL */
    size_t taken;  /* bytes that OpenSSL has read, of the handshake */
    size_t held;   /* of them: of the record that is not complete */
    uint8_t head[RECORD_HEAD];
    /* where our flight goes */
    uint8_t *out;
    size_t room, out_len;
    /* what the callbacks saw */
    uint64_t sealed;  /* records written with the last keys */
    uint32_t updates; /* of the client's keys, since its last byte of data */
    bool update_asked;
    bool hello_again; /* TLS 1.2: a ClientHello after the handshake */
    bool alert_written;
    bool has_secret;
    bool spoke_http;
    bool cut; /* there was no room for all of the flight */
    uint8_t alert;
    uint8_t secret[TLSREC_SECRET_MAX];
    struct tls_events end; /* closed or failed, not yet told */
    struct tls_handover handover;
};

/* --- the wire, as OpenSSL sees it ------------------------------------------------------------- */

/* Bytes that OpenSSL takes: never beyond the end of a record. */
static void note_taken(struct tls_conn *conn, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && conn->held + i < RECORD_HEAD; i++)
        conn->head[conn->held + i] = bytes[i];
    conn->held += len;
    if (conn->held >= RECORD_HEAD && conn->held >= (size_t)RECORD_HEAD + get_be16(conn->head + 3))
        conn->held = 0;
    if (conn->state == CONN_SHAKING)
        conn->taken += len;
}

/* What is too much, or of no use, is not read. An SSL 2 hello, which OpenSSL understands, has been
 * forbidden since RFC 6176. */
static bool is_unwanted(const struct tls_conn *conn)
{
    if (conn->state != CONN_SHAKING)
        return false;
    return conn->taken > HANDSHAKE_BYTES_MAX ||
           (conn->taken == 0 && conn->in_len > 0 && conn->in[0] & 0x80);
}

static int wire_read(BIO *bio, char *out, int room)
{
    struct tls_conn *conn = BIO_get_data(bio);
    size_t len = min_u64(conn->in_len, (uint64_t)room);

    BIO_clear_retry_flags(bio);
    if (is_unwanted(conn))
        return -1;
    if (len == 0 || conn->updates > UPDATES_MAX || conn->hello_again) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, conn->in, len);
    note_taken(conn, conn->in, len);
    conn->in += len;
    conn->in_len -= len;
    return (int)len;
}

/* After the handshake it is thrown away: what OpenSSL says then, tlsrec says. */
static int wire_write(BIO *bio, const char *bytes, int count)
{
    struct tls_conn *conn = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (conn->state != CONN_SHAKING)
        return count;
    conn->cut |= (size_t)count > conn->room - conn->out_len;
    if (conn->cut)
        return -1;
    memcpy(conn->out + conn->out_len, bytes, (size_t)count);
    conn->out_len += (size_t)count;
    return count;
}

static long wire_ctrl(BIO *bio, int command, long number, void *arg)
{
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_wire_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tls_conn");

    if (method) {
        BIO_meth_set_read(method, wire_read);
        BIO_meth_set_write(method, wire_write);
        BIO_meth_set_ctrl(method, wire_ctrl);
    }
    return method;
}

/* Bytes to read, behind those that were kept. False: no memory. */
static bool feed(struct tls_conn *conn, const uint8_t *in, size_t len)
{
    uint8_t *both;

    if (len == 0)
        return true;
    if (!conn->kept) {
        conn->in = in;
        conn->in_len = len;
        return true;
    }
    both = malloc(conn->in_len + len);
    if (!both)
        return false;
    memcpy(both, conn->in, conn->in_len);
    memcpy(both + conn->in_len, in, len);
    free(conn->kept);
    conn->kept = both;
    conn->in = both;
    conn->in_len += len;
    return true;
}

/* The caller's memory is the caller's again. False: no memory for what was not read. */
static bool keep(struct tls_conn *conn)
{
    if (conn->in_len == 0) {
        free(conn->kept);
        conn->kept = NULL;
        conn->in = NULL;
        return true;
    }
    if (conn->kept)
        return true;
    conn->kept = malloc(conn->in_len);
    if (!conn->kept) {
        conn->in_len = 0;
        return false;
    }
    memcpy(conn->kept, conn->in, conn->in_len);
    conn->in = conn->kept;
    return true;
}

/* --- what OpenSSL does ------------------------------------------------------------------------ */

static void on_read(struct tls_conn *conn, int type, const uint8_t *message, size_t count)
{
    if (type != SSL3_RT_HANDSHAKE || count < 1 || message[0] != SSL3_MT_KEY_UPDATE)
        return;
    conn->updates++;
    if (count > SSL3_HM_HEADER_LENGTH && message[SSL3_HM_HEADER_LENGTH] == SSL_KEY_UPDATE_REQUESTED)
        conn->update_asked = true;
}

/*
 * Records are counted from our last change of keys: the ChangeCipherSpec in TLS 1.2, where Finished
 * is the first record with the new ones, and Finished in TLS 1.3 (whose ChangeCipherSpec means
 * nothing). OpenSSL tells of a message after its records.
 */
static void on_message(int is_written, int version, int type, const void *bytes, size_t count,
                       SSL *ssl, void *arg)
{
    struct tls_conn *conn = arg;
    const uint8_t *message = bytes;

    if (!is_written) {
        on_read(conn, type, message, count);
    } else if (type == SSL3_RT_HEADER) {
        conn->sealed++;
    } else if (type == SSL3_RT_CHANGE_CIPHER_SPEC ||
               (type == SSL3_RT_HANDSHAKE && version == TLS1_3_VERSION && count > 0 &&
                message[0] == SSL3_MT_FINISHED)) {
        conn->sealed = 0;
    } else if (type == SSL3_RT_ALERT && count == 2) {
        // RFC 5246 7.2.2: a warning is how OpenSSL refuses to renegotiate, and goes on.
        conn->alert_written = message[0] == SSL3_AL_FATAL;
        conn->alert = message[1];
        conn->hello_again |= message[1] == SSL_AD_NO_RENEGOTIATION;
    }
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* "LABEL client_random secret", in hexadecimal (the format of SSLKEYLOGFILE). */
void tls_conn_on_secret(const SSL *ssl, const char *line)
{
    struct tls_conn *conn = SSL_get_app_data(ssl);
    const char *hex = strrchr(line, ' ');
    size_t bytes;

    if (strncmp(line, SECRET_LABEL, sizeof(SECRET_LABEL) - 1) != 0)
        return;
    bytes = strlen(++hex) / 2;
    if (bytes > sizeof(conn->secret))
        return;
    for (size_t i = 0; i < bytes; i++)
        conn->secret[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    conn->has_secret = true;
}

/* --- opening and closing ---------------------------------------------------------------------- */

int tls_conn_open(struct tls_conn **out, struct tls_ctx *ctx)
{
    struct tls_conn *conn = calloc(1, sizeof(*conn));
    BIO *wire = BIO_new(ctx->wire);

    if (!conn || !wire)
        goto free_both;
    conn->ssl = SSL_new(ctx->hosts[0].ssl);
    if (!conn->ssl)
        goto free_both;
    if (SSL_set_app_data(conn->ssl, conn) != 1)
        goto free_ssl;
    BIO_set_data(wire, conn);
    BIO_set_init(wire, 1);
    SSL_set_bio(conn->ssl, wire, wire);
    SSL_set_msg_callback(conn->ssl, on_message);
    SSL_set_msg_callback_arg(conn->ssl, conn);
    conn->ctx = tls_ctx_hold(ctx);
    *out = conn;
    return 0;

free_ssl:
    SSL_free(conn->ssl);
free_both:
    ERR_clear_error();
    BIO_free(wire);
    free(conn);
    return -ENOMEM;
}

void tls_conn_close(struct tls_conn *conn)
{
    if (!conn)
        return;
    SSL_free(conn->ssl);
    free(conn->kept);
    tls_ctx_put(conn->ctx);
    OPENSSL_cleanse(conn, sizeof(*conn));
    free(conn);
}

/* --- the handshake ---------------------------------------------------------------------------- */

static bool suite_of(const SSL *ssl, enum tlsrec_suite *suite)
{
    switch (SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl))) {
    case NID_aes_128_gcm:
        *suite = TLSREC_AES_128_GCM;
        return true;
    case NID_aes_256_gcm:
        *suite = TLSREC_AES_256_GCM;
        return true;
    case NID_chacha20_poly1305:
        *suite = TLSREC_CHACHA20_POLY1305;
        return true;
    default:
        return false;
    }
}

/* RFC 6066 4: 2^9 to 2^12. */
static uint32_t full_bytes_of(const SSL_SESSION *session)
{
    uint8_t mode = SSL_SESSION_get_max_fragment_length(session);

    return mode >= TLSEXT_max_fragment_length_512 && mode <= TLSEXT_max_fragment_length_4096
               ? 256u << mode
               : 0;
}

static bool copy_master(const SSL *ssl, struct tlsrec_master *master)
{
    return SSL_SESSION_get_master_key(SSL_get_session(ssl), master->secret,
                                      sizeof(master->secret)) == sizeof(master->secret) &&
           SSL_get_client_random(ssl, master->client_random, sizeof(master->client_random)) ==
               sizeof(master->client_random) &&
           SSL_get_server_random(ssl, master->server_random, sizeof(master->server_random)) ==
               sizeof(master->server_random);
}

/* False if OpenSSL agreed on something that tlsrec does not have. The policy keeps it from that. */
static bool fill_handover(struct tls_conn *conn)
{
    struct tls_handover *h = &conn->handover;

    h->version = SSL_version(conn->ssl) == TLS1_3_VERSION ? TLSREC_TLS13 : TLSREC_TLS12;
    h->seq = conn->sealed;
    h->full_bytes = full_bytes_of(SSL_get_session(conn->ssl));
    h->resumed = SSL_session_reused(conn->ssl);
    if (!suite_of(conn->ssl, &h->suite))
        return false;
    if (h->version == TLSREC_TLS12)
        return SSL_version(conn->ssl) == TLS1_2_VERSION && copy_master(conn->ssl, &h->master);
    memcpy(h->secret, conn->secret, sizeof(h->secret));
    OPENSSL_cleanse(conn->secret, sizeof(conn->secret));
    return conn->has_secret;
}

/* OpenSSL fails with five bytes, the header of a first record that is none. */
static bool is_http(const struct tls_conn *conn)
{
    static const char methods[][RECORD_HEAD + 1] = {"GET /", "HEAD ", "POST ", "PUT /", "DELET",
                                                    "OPTIO", "PATCH", "TRACE", "CONNE"};

    for (size_t i = 0; conn->taken == RECORD_HEAD && i < array_len(methods); i++)
        if (memcmp(conn->head, methods[i], RECORD_HEAD) == 0)
            return true;
    return false;
}

static enum tls_step judge_step(struct tls_conn *conn, int rc)
{
    if (rc == 1)
        return fill_handover(conn) ? TLS_READY : TLS_FAILED;
    return SSL_get_error(conn->ssl, rc) == SSL_ERROR_WANT_READ ? TLS_MORE : TLS_FAILED;
}

enum tls_step tls_step(struct tls_conn *conn, const uint8_t *in, size_t len, uint8_t *out,
                       size_t room, size_t *out_len)
{
    enum tls_step step = TLS_FAILED;

    assert(conn->state == CONN_SHAKING);
    conn->out = out;
    conn->room = room;
    conn->out_len = 0;
    ERR_clear_error();
    if (feed(conn, in, len)) {
        step = judge_step(conn, SSL_accept(conn->ssl));
        if (!keep(conn))
            step = TLS_FAILED;
    }
    ERR_clear_error();
    if (step == TLS_FAILED) {
        conn->spoke_http = is_http(conn);
        // Half a flight says nothing, and an alert would not be understood after it.
        if (conn->spoke_http || conn->cut)
            conn->out_len = 0;
    }
    if (step != TLS_MORE)
        conn->state = step == TLS_READY ? CONN_SHAKEN : CONN_OVER;
    *out_len = conn->out_len;
    conn->out = NULL;
    return step;
}

bool tls_spoke_http(const struct tls_conn *conn)
{
    return conn->spoke_http;
}

void tls_handover(struct tls_conn *conn, struct tls_handover *handover)
{
    assert(conn->state == CONN_SHAKEN);
    *handover = conn->handover;
    OPENSSL_cleanse(&conn->handover, sizeof(conn->handover));
    conn->state = CONN_OPEN;
}

/* --- what the client sends -------------------------------------------------------------------- */

static void fail(struct tls_conn *conn, enum tlsrec_alert alert)
{
    conn->end = (struct tls_events){.failed = true, .alert_wanted = true, .alert = alert};
}

/* SSL_read had nothing: why? */
static void judge_read(struct tls_conn *conn, int rc)
{
    int error = SSL_get_error(conn->ssl, rc);

    if (conn->hello_again)
        fail(conn, TLSREC_NO_RENEGOTIATION);
    else if (conn->updates > UPDATES_MAX)
        fail(conn, TLSREC_UNEXPECTED_MESSAGE);
    else if (error == SSL_ERROR_ZERO_RETURN)
        conn->end.closed = true;
    else if (error != SSL_ERROR_WANT_READ && conn->alert_written)
        fail(conn, (enum tlsrec_alert)conn->alert);
    else if (error != SSL_ERROR_WANT_READ)
        conn->end.failed = true; // the client's own alert: there is nothing to say to that
}

static size_t read_records(struct tls_conn *conn, uint8_t *plain, size_t room)
{
    size_t got = 0;

    while (got < room) {
        size_t count = 0;
        int rc;

        ERR_clear_error();
        rc = SSL_read_ex(conn->ssl, plain + got, room - got, &count);
        if (rc != 1) {
            judge_read(conn, rc);
            break;
        }
        got += count;
        conn->updates = 0;
    }
    ERR_clear_error();
    return got;
}

/* An end is told when all that came before it has been read. */
size_t tls_read(struct tls_conn *conn, const uint8_t *in, size_t len, uint8_t *plain, size_t room,
                struct tls_events *events)
{
    bool has_ended = conn->end.closed || conn->end.failed;
    size_t got = 0;

    assert(conn->state >= CONN_OPEN && room > 0);
    memset(events, 0, sizeof(*events));
    if (conn->state == CONN_OVER)
        return 0;
    if (!has_ended) {
        if (feed(conn, in, len))
            got = read_records(conn, plain, room);
        else
            fail(conn, TLSREC_INTERNAL_ERROR);
        if (!keep(conn))
            fail(conn, TLSREC_INTERNAL_ERROR);
        events->update_asked = conn->update_asked;
        conn->update_asked = false;
    }
    if (got == 0 && (conn->end.closed || conn->end.failed)) {
        bool update_asked = events->update_asked;

        *events = conn->end;
        events->update_asked = update_asked;
        conn->state = CONN_OVER;
    }
    return got;
}

size_t tls_held(const struct tls_conn *conn)
{
    return conn->held;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn.c - a connection: handshake and handover.
 *
 * OpenSSL reads from the caller's memory and writes to it, through a BIO of our own: what it does
 * not take in a call is copied, the rest is not. It asks for the header of a record and then for
 * its body, never for more: what is behind the client's Finished is still ours at the handover.
 *
 * What goes on inside it is learnt from its callbacks: how many records it wrote and read with the
 * last keys, and the secrets that these keys are made from.
 */
#include "priv.h"

#include "base/bytes.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#define RECORD_HEAD  5
#define OUR_SECRET   "SERVER_TRAFFIC_SECRET_0 "
#define THEIR_SECRET "CLIENT_TRAFFIC_SECRET_0 "
/* A client's whole handshake. The largest hellos have a key share of 1,216 bytes (ML-KEM-768) and
 * a ticket; early data that we do not take is read over, 16 KiB at most. */
#define HANDSHAKE_BYTES_MAX (64 * 1024)

enum conn_state {
    CONN_SHAKING, /* tls_step is next */
    CONN_SHAKEN,  /* tls_handover is next */
    CONN_OVER,    /* nothing is */
};

struct tls_conn {
    struct tls_ctx *ctx;
    SSL *ssl;
    enum conn_state state;
    /* to be read: in the caller's memory during a call, or kept from one to the next */
    const uint8_t *in;
    size_t in_len;
    uint8_t *kept;             /* allocated, or NULL */
    size_t taken;              /* bytes that OpenSSL has read */
    uint8_t head[RECORD_HEAD]; /* the first of them */
    /* where our flight goes */
    uint8_t *out;
    size_t room, out_len;
    /* what the callbacks saw */
    uint64_t sealed, opened; /* records written and read with the last keys */
    bool has_ours, has_theirs;
    bool cut; /* there was no room for all of the flight */
    bool spoke_http;
    uint8_t our_secret[TLSREC_SECRET_MAX], their_secret[TLSREC_SECRET_MAX];
    struct tls_handover handover;
};

/* --- the wire, as OpenSSL sees it ------------------------------------------------------------- */

static void note_taken(struct tls_conn *conn, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && conn->taken + i < RECORD_HEAD; i++)
        conn->head[conn->taken + i] = bytes[i];
    conn->taken += len;
}

/* What is too much, or of no use, is not read. An SSL 2 hello, which OpenSSL understands, has been
 * forbidden since RFC 6176. */
static bool is_unwanted(const struct tls_conn *conn)
{
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
    if (len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, conn->in, len);
    note_taken(conn, conn->in, len);
    conn->in += len;
    conn->in_len -= len;
    return (int)len;
}

static int wire_write(BIO *bio, const char *bytes, int count)
{
    struct tls_conn *conn = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
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

/*
 * Records are counted from the last change of keys: the ChangeCipherSpec in TLS 1.2, where Finished
 * is the first record with the new ones, and in TLS 1.3 (whose ChangeCipherSpec means nothing)
 * Finished. OpenSSL tells of a message after its records.
 */
static void on_message(int is_written, int version, int type, const void *bytes, size_t count,
                       SSL *ssl, void *arg)
{
    struct tls_conn *conn = arg;
    uint64_t *records = is_written ? &conn->sealed : &conn->opened;
    uint8_t first = count > 0 ? *(const uint8_t *)bytes : 0;

    if (type == SSL3_RT_HEADER)
        *records = first == SSL3_RT_CHANGE_CIPHER_SPEC ? 0 : *records + 1;
    else if (type == SSL3_RT_HANDSHAKE && version == TLS1_3_VERSION && first == SSL3_MT_FINISHED)
        *records = 0;
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* "LABEL client_random secret", in hexadecimal (the format of SSLKEYLOGFILE). */
static bool parse_secret(const char *line, const char *label, uint8_t *secret)
{
    const char *hex = strrchr(line, ' ') + 1;
    size_t bytes = strlen(hex) / 2;

    if (strncmp(line, label, strlen(label)) != 0 || bytes > TLSREC_SECRET_MAX)
        return false;
    for (size_t i = 0; i < bytes; i++)
        secret[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return true;
}

void tls_conn_on_secret(const SSL *ssl, const char *line)
{
    struct tls_conn *conn = SSL_get_app_data(ssl);

    conn->has_ours |= parse_secret(line, OUR_SECRET, conn->our_secret);
    conn->has_theirs |= parse_secret(line, THEIR_SECRET, conn->their_secret);
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

/* False if OpenSSL agreed on something that tlsrec does not have, from which the policy keeps it;
 * or if the client's Finished was not the end of its record. */
static bool fill_handover(struct tls_conn *conn)
{
    struct tls_handover *h = &conn->handover;

    h->version = SSL_version(conn->ssl) == TLS1_3_VERSION ? TLSREC_TLS13 : TLSREC_TLS12;
    h->sealed = conn->sealed;
    h->opened = conn->opened;
    h->full_bytes = full_bytes_of(SSL_get_session(conn->ssl));
    h->resumed = SSL_session_reused(conn->ssl);
    if (!suite_of(conn->ssl, &h->suite) || SSL_has_pending(conn->ssl))
        return false;
    if (h->version == TLSREC_TLS12)
        return SSL_version(conn->ssl) == TLS1_2_VERSION && copy_master(conn->ssl, &h->master);
    memcpy(h->our_secret, conn->our_secret, sizeof(h->our_secret));
    memcpy(h->their_secret, conn->their_secret, sizeof(h->their_secret));
    return conn->has_ours && conn->has_theirs;
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
    handover->behind = conn->in;
    handover->behind_len = conn->in_len;
    conn->state = CONN_OVER;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "tls_peer.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const suites13[] = {
    [TLSREC_AES_128_GCM] = "TLS_AES_128_GCM_SHA256",
    [TLSREC_AES_256_GCM] = "TLS_AES_256_GCM_SHA384",
    [TLSREC_CHACHA20_POLY1305] = "TLS_CHACHA20_POLY1305_SHA256",
};
/* By either kind of certificate. */
static const char *const suites12[] = {
    [TLSREC_AES_128_GCM] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
    [TLSREC_AES_256_GCM] = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384",
    [TLSREC_CHACHA20_POLY1305] = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
};
static const uint8_t alpn[] = "\x08http/1.1";

/* --- what the clients share ------------------------------------------------------------------- */

static SSL_SESSION **session_place(const struct tls_peer *peer)
{
    return &peer->host->sessions[peer->plan.version][peer->plan.suite];
}

/* OpenSSL's callback: 1 keeps the reference. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_peer *peer = SSL_get_app_data(ssl);
    SSL_SESSION **place = session_place(peer);

    /* RFC 6066 4: a session is resumed with the length that it had. OpenSSL 3.0's client has
     * buffers of that length, even for a session that is not resumed after all. */
    if (peer->plan.fragment)
        return 0;
    SSL_SESSION_free(*place);
    *place = session;
    return 1;
}

int tls_peer_host_open(struct tls_peer_host *host, const struct crypto *crypto)
{
    X509_VERIFY_PARAM *param;

    *host = (struct tls_peer_host){.ctx = SSL_CTX_new(TLS_client_method())};
    if (!host->ctx)
        return -ENOMEM;
    for (int i = 0; i < CRYPTO_KEYS; i++)
        if (X509_STORE_add_cert(SSL_CTX_get_cert_store(host->ctx), crypto->identities[i].cert) != 1)
            return -ENOMEM;
    param = SSL_CTX_get0_param(host->ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    SSL_CTX_set_verify(host->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(host->ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(host->ctx, on_session);
    return 0;
}

void tls_peer_host_close(struct tls_peer_host *host)
{
    for (int version = TLSREC_TLS12; version <= TLSREC_TLS13; version++)
        for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++)
            SSL_SESSION_free(host->sessions[version][suite]);
    SSL_CTX_free(host->ctx);
    *host = (struct tls_peer_host){0};
}

/* --- a client --------------------------------------------------------------------------------- */

static bool peer_fail(struct tls_peer *peer, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    snprintf(peer->error, sizeof(peer->error), "TLS: %s (%s)", what, reason ? reason : "no reason");
    ERR_clear_error();
    return false;
}

/* The KeyUpdates of the server are counted. */
static void on_message(int is_written, int version, int type, const void *bytes, size_t count,
                       SSL *ssl, void *arg)
{
    struct tls_peer *peer = arg;

    if (!is_written && type == SSL3_RT_HANDSHAKE && count > 0 &&
        *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
        peer->updates_seen++;
}

static bool plan_follow(struct tls_peer *peer)
{
    int version = peer->plan.version == TLSREC_TLS13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_SESSION *session = *session_place(peer);
    SSL *ssl = peer->ssl;

    return SSL_set_min_proto_version(ssl, version) == 1 &&
           SSL_set_max_proto_version(ssl, version) == 1 &&
           SSL_set_ciphersuites(ssl, suites13[peer->plan.suite]) == 1 &&
           SSL_set_cipher_list(ssl, suites12[peer->plan.suite]) == 1 &&
           SSL_set_tlsext_host_name(ssl, CRYPTO_HOST) == 1 &&
           SSL_set1_host(ssl, CRYPTO_HOST) == 1 &&
           (!peer->plan.alpn || SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) == 0) &&
           (!peer->plan.fragment ||
            SSL_set_tlsext_max_fragment_length(ssl, peer->plan.fragment) == 1) &&
           (!session || peer->plan.fragment || !peer->plan.resumes ||
            SSL_set_session(ssl, session) == 1);
}

int tls_peer_open(struct tls_peer *peer, struct tls_peer_host *host,
                  const struct tls_peer_plan *plan, const struct tls_peer_ops *ops, void *arg)
{
    *peer = (struct tls_peer){.ops = ops, .arg = arg, .host = host, .plan = *plan};
    peer->ssl = SSL_new(host->ctx);
    peer->in = BIO_new(BIO_s_mem());
    peer->out = BIO_new(BIO_s_mem());
    if (!peer->ssl || !peer->in || !peer->out) {
        BIO_free(peer->in);
        BIO_free(peer->out);
        SSL_free(peer->ssl);
        peer->ssl = NULL;
        return -ENOMEM;
    }
    SSL_set_bio(peer->ssl, peer->in, peer->out);
    SSL_set_connect_state(peer->ssl);
    SSL_set_app_data(peer->ssl, peer);
    SSL_set_msg_callback(peer->ssl, on_message);
    SSL_set_msg_callback_arg(peer->ssl, peer);
    return plan_follow(peer) ? 0 : -EINVAL;
}

void tls_peer_close(struct tls_peer *peer)
{
    if (peer->ready) /* else OpenSSL believes the session cut, and does not resume it */
        SSL_set_shutdown(peer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(peer->ssl);
    peer->ssl = NULL;
}

/* What OpenSSL has to say goes to TCP. */
static void pump(struct tls_peer *peer)
{
    uint8_t buf[4096];
    int n;

    while ((n = BIO_read(peer->out, buf, sizeof(buf))) > 0)
        peer->ops->send(peer->arg, buf, (size_t)n);
}

static bool shake(struct tls_peer *peer)
{
    int rc = SSL_do_handshake(peer->ssl);

    pump(peer);
    if (rc == 1) {
        peer->ready = true;
        peer->ops->ready(peer->arg);
    } else if (SSL_get_error(peer->ssl, rc) != SSL_ERROR_WANT_READ) {
        return peer_fail(peer, "no handshake");
    }
    return true;
}

static bool read_all(struct tls_peer *peer)
{
    uint8_t plain[TLSREC_PLAIN_MAX];
    int n;

    while ((n = SSL_read(peer->ssl, plain, sizeof(plain))) > 0)
        peer->ops->plain(peer->arg, plain, (size_t)n);
    pump(peer);
    switch (SSL_get_error(peer->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return true;
    case SSL_ERROR_ZERO_RETURN:
        peer->closed = true;
        return BIO_pending(peer->in) == 0 || peer_fail(peer, "bytes behind close_notify");
    default:
        return peer_fail(peer, "a record that is not as it should be");
    }
}

bool tls_peer_start(struct tls_peer *peer)
{
    return shake(peer);
}

bool tls_peer_feed(struct tls_peer *peer, const uint8_t *data, size_t len)
{
    if (peer->error[0])
        return false;
    if (peer->closed)
        return peer_fail(peer, "bytes behind close_notify");
    if (BIO_write(peer->in, data, (int)len) != (int)len)
        return peer_fail(peer, "no memory");
    if (!peer->ready && !shake(peer))
        return false;
    return !peer->ready || read_all(peer);
}

bool tls_peer_write(struct tls_peer *peer, const void *data, size_t len)
{
    if (SSL_write(peer->ssl, data, (int)len) != (int)len)
        return peer_fail(peer, "cannot write");
    pump(peer);
    return true;
}

bool tls_peer_update(struct tls_peer *peer, bool wanted)
{
    if (SSL_key_update(peer->ssl,
                       wanted ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
        SSL_do_handshake(peer->ssl) != 1)
        return peer_fail(peer, "cannot update keys");
    peer->updates_wanted += wanted;
    pump(peer);
    return true;
}

bool tls_peer_notify(struct tls_peer *peer)
{
    if (SSL_shutdown(peer->ssl) < 0)
        return peer_fail(peer, "cannot close");
    pump(peer);
    return true;
}

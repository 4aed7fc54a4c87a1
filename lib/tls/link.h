// SPDX-License-Identifier: BSD-2-Clause
/*
 * link.h - a client of OpenSSL's and a connection of ours, for the tests of this folder.
 *
 * The client works on two memory BIOs; every byte between the two passes through the test. What
 * they say after the handshake is in talk.h.
 */
#ifndef TLS_LINK_H
#define TLS_LINK_H

#include "test.h"

#define WIRE_BYTES  65536
#define ROUNDS_MAX  10
#define ARENA_BYTES (4u << 20)

static struct mem_arena *test_arena;
static struct tlsrec_engine *test_engine;

/* With certificates. */
static inline int link_setup(void **state)
{
    if (certificates_setup(state) || mem_arena_open(&test_arena, ARENA_BYTES, 0))
        return -1;
    return tlsrec_engine_open(&test_engine, test_arena);
}

static inline int link_teardown(void **state)
{
    tlsrec_engine_close(test_engine);
    mem_arena_close(test_arena);
    return certificates_teardown(state);
}

/* A context for each kind of key, and one that gives tickets. */
static struct tls_ctx *contexts[KEY_KINDS];
static struct tls_ctx *with_tickets;
static struct tls_tickets *ticket_keys;

static inline int contexts_setup(void **state)
{
    if (link_setup(state) || tls_tickets_open(&ticket_keys, TLS_TICKET_ROTATE_S))
        return -1;
    for (int k = 0; k < KEY_KINDS; k++)
        contexts[k] = open_plain((enum test_key)k, NULL);
    with_tickets = open_plain(KEY_P256, ticket_keys);
    return 0;
}

static inline int contexts_teardown(void **state)
{
    for (int k = 0; k < KEY_KINDS; k++)
        tls_ctx_put(contexts[k]);
    tls_ctx_put(with_tickets);
    tls_tickets_close(ticket_keys);
    return link_teardown(state);
}

struct wish {
    int version; /* TLS1_2_VERSION or TLS1_3_VERSION; 0: either */
    const char *suites12, *suites13;
    const char *signatures;
    const char *groups;
    const char *name;
    const char *alpn; /* with its length bytes */
    SSL_SESSION *session;
    bool wants_staple;
    uint8_t max_fragment;
};

static const struct wish wish_12 = {.version = TLS1_2_VERSION};
static const struct wish wish_13 = {.version = TLS1_3_VERSION};

struct link {
    SSL_CTX *client_ctx;
    SSL *client;
    BIO *to_client, *to_server;
    struct tls_conn *conn;
    struct tls_handover handover;
    struct tlsrec_inbox inbox; /* after the handover */
    SSL_SESSION *session;      /* the last one that the client was given */
    uint32_t tickets;
    int alert;                         /* that the client was sent, or -1 */
    uint8_t secret[TLSREC_SECRET_MAX]; /* TLS 1.3: the client's */
    uint8_t out[TLS_FLIGHT_BYTES];
    uint8_t wire[WIRE_BYTES];
};

static inline int link_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct link *l = SSL_get_app_data(ssl);

    SSL_SESSION_free(l->session);
    l->session = session;
    l->tickets++;
    return 1;
}

static inline void link_on_secret(const SSL *ssl, const char *line)
{
    struct link *l = SSL_get_app_data(ssl);
    const char *hex = strrchr(line, ' ') + 1;

    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) != 0)
        return;
    for (size_t i = 0; i < strlen(hex) / 2; i++) {
        unsigned byte;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        l->secret[i] = (uint8_t)byte;
    }
}

static inline void link_on_message(int is_written, int version, int type, const void *bytes,
                                   size_t count, SSL *ssl, void *arg)
{
    struct link *l = arg;

    if (!is_written && type == SSL3_RT_ALERT && count == 2)
        l->alert = ((const uint8_t *)bytes)[1];
}

static inline void link_open_client(struct link *l, const struct wish *wish)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    l->client_ctx = ctx;
    SSL_CTX_set_min_proto_version(ctx, wish->version ? wish->version : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, wish->version ? wish->version : TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, link_on_session);
    SSL_CTX_set_keylog_callback(ctx, link_on_secret);
    if (wish->suites12)
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, wish->suites12), 1);
    if (wish->suites13)
        assert_int_equal(SSL_CTX_set_ciphersuites(ctx, wish->suites13), 1);
    if (wish->signatures)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, wish->signatures), 1);
    if (wish->groups)
        assert_int_equal(SSL_CTX_set1_groups_list(ctx, wish->groups), 1);
    if (wish->alpn)
        SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)wish->alpn, (unsigned)strlen(wish->alpn));
    if (wish->max_fragment)
        SSL_CTX_set_tlsext_max_fragment_length(ctx, wish->max_fragment);
    l->client = SSL_new(ctx);
    assert_non_null(l->client);
    SSL_set_app_data(l->client, l);
    SSL_set_connect_state(l->client);
    l->alert = -1;
    SSL_set_msg_callback(l->client, link_on_message);
    SSL_set_msg_callback_arg(l->client, l);
    if (wish->name)
        SSL_set_tlsext_host_name(l->client, wish->name);
    if (wish->wants_staple)
        SSL_set_tlsext_status_type(l->client, TLSEXT_STATUSTYPE_ocsp);
    if (wish->session)
        assert_int_equal(SSL_set_session(l->client, wish->session), 1);
    l->to_client = BIO_new(BIO_s_mem());
    l->to_server = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(l->to_client, -1);
    BIO_set_mem_eof_return(l->to_server, -1);
    SSL_set_bio(l->client, l->to_client, l->to_server);
}

static inline struct link *link_open(struct tls_ctx *ctx, const struct wish *wish)
{
    struct link *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    link_open_client(l, wish);
    assert_int_equal(tls_conn_open(&l->conn, ctx), 0);
    return l;
}

static inline void link_close(struct link *l)
{
    tls_conn_close(l->conn);
    tlsrec_inbox_close(&l->inbox);
    SSL_SESSION_free(l->session);
    // Otherwise a session that was not shut down cannot be resumed.
    SSL_set_quiet_shutdown(l->client, 1);
    SSL_shutdown(l->client);
    SSL_free(l->client);
    SSL_CTX_free(l->client_ctx);
    ERR_clear_error();
    free(l);
}

/* One step with these bytes; the answer is given to the client. */
static inline enum tls_step link_step(struct link *l, const uint8_t *in, size_t len)
{
    size_t out_len = 0;
    enum tls_step step = tls_step(l->conn, in, len, l->out, sizeof(l->out), &out_len);

    assert_true(out_len <= sizeof(l->out));
    if (out_len > 0)
        assert_int_equal(BIO_write(l->to_client, l->out, (int)out_len), (int)out_len);
    return step;
}

static inline void link_take_over(struct link *l)
{
    struct tls_handover *h = &l->handover;

    tls_handover(l->conn, h);
    if (h->version == TLSREC_TLS13)
        tlsrec_inbox_init13(&l->inbox, test_engine, h->suite, h->their_secret);
    else
        tlsrec_inbox_init12(&l->inbox, test_engine, h->suite, &h->master, h->opened);
}

/* Until it is over, with steps of at most `piece` bytes. What the client wrote behind its Finished
 * and did not fit into the last piece is left in to_server. */
static inline enum tls_step link_shake(struct link *l, size_t piece)
{
    enum tls_step step = TLS_MORE;

    for (int i = 0; i < ROUNDS_MAX && step == TLS_MORE; i++) {
        int n;

        SSL_do_handshake(l->client);
        while (step == TLS_MORE && (n = BIO_read(l->to_server, l->wire, (int)piece)) > 0)
            step = link_step(l, l->wire, (size_t)n);
    }
    SSL_do_handshake(l->client);
    ERR_clear_error();
    if (step == TLS_READY)
        link_take_over(l);
    return step;
}

/* All that the client has written since, as bytes. */
static inline size_t link_drain(struct link *l)
{
    int n = BIO_read(l->to_server, l->wire, sizeof(l->wire));

    return n > 0 ? (size_t)n : 0;
}

/* A link whose handshake is over. */
static inline struct link *link_ready(struct tls_ctx *ctx, const struct wish *wish)
{
    struct link *l = link_open(ctx, wish);

    assert_int_equal(link_shake(l, sizeof(l->wire)), TLS_READY);
    assert_true(SSL_is_init_finished(l->client));
    return l;
}

#endif

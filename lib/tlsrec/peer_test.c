// SPDX-License-Identifier: BSD-2-Clause
/*
 * peer_test.c - a client that is not ours reads what tlsrec writes.
 *
 * OpenSSL shakes hands with OpenSSL, in memory. Then the server's sending direction is taken over:
 * the secrets by the key log (1.3) or from the session (1.2), the number of the next record by
 * counting those that were written since the last change of keys. The client must read every byte
 * of a response in small and full records, across a KeyUpdate, and see it closed.
 */
#include "test.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define RESPONSE_BYTES 200000
#define WIRE_BYTES     (2 * RESPONSE_BYTES)

static const char *const suites13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                       "TLS_CHACHA20_POLY1305_SHA256"};
static const char *const suites12[] = {"ECDHE-ECDSA-AES128-GCM-SHA256",
                                       "ECDHE-ECDSA-AES256-GCM-SHA384",
                                       "ECDHE-ECDSA-CHACHA20-POLY1305"};

/* What is learnt of a handshake while it goes on. */
struct handover {
    uint8_t secret[TLSREC_SECRET_MAX];
    uint64_t records;      /* written with the last keys */
    uint32_t updates;      /* KeyUpdates that were read */
    uint32_t updates_owed; /* those of them that ask for one of ours */
};

struct link {
    SSL_CTX *contexts[2]; /* server, client */
    SSL *server, *client;
    BIO *to_client, *to_server;
    struct handover handover;
    struct tlsrec tls;
    struct tlsrec_keys keys;
    uint8_t text[RESPONSE_BYTES];
    uint8_t got[RESPONSE_BYTES];
    uint8_t wire[WIRE_BYTES];
};

static EVP_PKEY *test_key;
static X509 *test_cert;

static int certificate_setup(void **state)
{
    test_key = EVP_EC_gen("P-256");
    test_cert = X509_new();
    if (!test_key || !test_cert)
        return -1;
    X509_gmtime_adj(X509_getm_notBefore(test_cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(test_cert), 3600);
    X509_set_pubkey(test_cert, test_key);
    if (X509_sign(test_cert, test_key, EVP_sha256()) == 0)
        return -1;
    return engine_setup(state);
}

static int certificate_teardown(void **state)
{
    X509_free(test_cert);
    EVP_PKEY_free(test_key);
    return engine_teardown(state);
}

/* --- the handshake -----------------------------------------------------------------------------
 */

static void on_key_log(const SSL *ssl, const char *line)
{
    struct handover *h = SSL_get_app_data(ssl);
    const char *secret = strrchr(line, ' ');

    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0 && secret)
        from_hex(secret + 1, h->secret, sizeof(h->secret));
}

/*
 * Records are counted from the server's last change of keys: its ChangeCipherSpec in 1.2, where
 * Finished is the first record with the new keys, and its Finished in 1.3 (where the
 * ChangeCipherSpec that comes before means nothing).
 */
static void on_message(int is_written, int version, int type, const void *bytes, size_t count,
                       SSL *ssl, void *arg)
{
    const uint8_t *message = bytes;
    struct handover *h = arg;
    bool is_finished = type == SSL3_RT_HANDSHAKE && message[0] == SSL3_MT_FINISHED;

    if (!is_written) {
        if (type == SSL3_RT_HANDSHAKE && message[0] == SSL3_MT_KEY_UPDATE) {
            h->updates++;
            h->updates_owed += message[4] == 1;
        }
        return;
    }
    if (type == SSL3_RT_HEADER)
        h->records++;
    else if (type == SSL3_RT_CHANGE_CIPHER_SPEC || (is_finished && version == TLS1_3_VERSION))
        h->records = 0;
}

static SSL *open_end(struct link *l, bool is_server, int version, int suite, BIO *in, BIO *out)
{
    SSL_CTX *ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    SSL *ssl;

    l->contexts[is_server ? 0 : 1] = ctx;
    SSL_CTX_set_min_proto_version(ctx, version == TLSREC_TLS13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, version == TLSREC_TLS13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_set_ciphersuites(ctx, suites13[suite]), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, suites12[suite]), 1);
    if (is_server) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, test_cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, test_key), 1);
        SSL_CTX_set_keylog_callback(ctx, on_key_log);
    }
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_app_data(ssl, &l->handover);
    if (is_server) {
        SSL_set_msg_callback(ssl, on_message);
        SSL_set_msg_callback_arg(ssl, &l->handover);
    }
    BIO_up_ref(in);
    BIO_up_ref(out);
    SSL_set_bio(ssl, in, out);
    return ssl;
}

static void shake_hands(struct link *l, int version, int suite, int tickets)
{
    int done_server = 0, done_client = 0;

    memset(l, 0, sizeof(*l));
    l->to_client = BIO_new(BIO_s_mem());
    l->to_server = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(l->to_client, -1);
    BIO_set_mem_eof_return(l->to_server, -1);
    l->server = open_end(l, true, version, suite, l->to_server, l->to_client);
    l->client = open_end(l, false, version, suite, l->to_client, l->to_server);
    SSL_set_num_tickets(l->server, (size_t)tickets);
    for (int i = 0; i < 10 && !(done_server == 1 && done_client == 1); i++) {
        done_client = SSL_connect(l->client);
        done_server = SSL_accept(l->server);
    }
    assert_true(done_server == 1 && done_client == 1);
}

static void hang_up(struct link *l)
{
    assert_ptr_equal(tlsrec_detach(&l->tls), &l->keys);
    tlsrec_close(&l->tls);
    SSL_free(l->server);
    SSL_free(l->client);
    BIO_free(l->to_client);
    BIO_free(l->to_server);
    SSL_CTX_free(l->contexts[0]);
    SSL_CTX_free(l->contexts[1]);
}

/* --- the bulk ----------------------------------------------------------------------------------
 */

static void take_over(struct link *l, int version, int suite)
{
    struct tlsrec_start start = {.seq = l->handover.records};
    struct tlsrec_master m;

    if (version == TLSREC_TLS13) {
        tlsrec_init13(&l->tls, test_engine, (enum tlsrec_suite)suite, l->handover.secret, &start);
    } else {
        assert_int_equal(SSL_SESSION_get_master_key(SSL_get_session(l->server), m.secret, 48), 48);
        assert_int_equal(SSL_get_client_random(l->server, m.client_random, 32), 32);
        assert_int_equal(SSL_get_server_random(l->server, m.server_random, 32), 32);
        tlsrec_init12(&l->tls, test_engine, (enum tlsrec_suite)suite, &m, true, &start);
    }
    tlsrec_attach(&l->tls, &l->keys);
}

/* Seals a run and gives it to the client. */
static void deliver(struct link *l, const struct tlsrec_run *run, const uint8_t *text)
{
    uint64_t total = tlsrec_run_wire_bytes(run);

    assert_true(total <= WIRE_BYTES);
    for (uint64_t n = 0; n < tlsrec_run_records(run); n++) {
        struct tlsrec_record r;
        struct tlsrec_tag tag;

        tlsrec_record_nth(run, n, &r);
        assert_int_equal(
            tlsrec_seal(&l->tls, &r, l->wire + (r.wire - run->wire), text + r.plain, &tag),
            TLSREC_SEALED);
    }
    assert_int_equal(BIO_write(l->to_client, l->wire, (int)total), (int)total);
}

static void expect(struct link *l, uint32_t from, uint32_t to)
{
    uint32_t at = from;

    while (at < to) {
        int n = SSL_read(l->client, l->got + at, (int)(to - at));

        assert_true(n > 0);
        at += (uint32_t)n;
    }
    assert_memory_equal(l->got + from, l->text + from, to - from);
}

static void send_data(struct link *l, uint32_t from, uint32_t to)
{
    struct tlsrec_rule rule = {.small_count = 10, .small_wire = 1448, .block_bytes = PAGE_BYTES};
    struct tlsrec_run run;

    assert_int_equal(tlsrec_run_open(&l->tls, &rule, to - from, 300, &run), to - from);
    deliver(l, &run, l->text + from);
    expect(l, from, to);
}

/* The client answers a KeyUpdate that asks for one, and OpenSSL's server reads on with new keys. */
static void update_keys(struct link *l, bool request_peer)
{
    uint32_t updates = l->handover.updates + (request_peer ? 1 : 0);
    struct tlsrec_note note;
    char byte = 0;

    assert_int_equal(tlsrec_key_update(&l->tls, request_peer, &note), 0);
    deliver(l, &note.run, note.text);
    assert_int_equal(SSL_read(l->client, &byte, 1), -1);
    assert_int_equal(SSL_get_error(l->client, -1), SSL_ERROR_WANT_READ);
    assert_int_equal(SSL_write(l->client, "?", 1), 1);
    assert_int_equal(SSL_read(l->server, &byte, 1), 1);
    assert_int_equal(byte, '?');
    assert_int_equal(l->handover.updates, updates);
    tlsrec_acked(&l->tls, note.run.wire + tlsrec_run_wire_bytes(&note.run));
}

static void end_stream(struct link *l)
{
    struct tlsrec_note note;
    uint8_t byte;

    assert_int_equal(tlsrec_alert(&l->tls, TLSREC_CLOSE_NOTIFY, &note), 0);
    deliver(l, &note.run, note.text);
    assert_int_equal(SSL_read(l->client, &byte, 1), 0);
    assert_int_equal(SSL_get_error(l->client, 0), SSL_ERROR_ZERO_RETURN);
}

static void converse(int version, int suite, int tickets)
{
    static struct link l;
    struct rand rand;

    shake_hands(&l, version, suite, tickets);
    rand_seed(&rand, 1);
    fill_random(&rand, l.text, sizeof(l.text));
    take_over(&l, version, suite);
    send_data(&l, 0, 100000);
    send_data(&l, 100000, 100001);
    if (version == TLSREC_TLS13) {
        update_keys(&l, true);
        send_data(&l, 100001, 150000);
        update_keys(&l, false);
    }
    send_data(&l, version == TLSREC_TLS13 ? 150000 : 100001, RESPONSE_BYTES);
    end_stream(&l);
    hang_up(&l);
}

static void test_tls13(void **state)
{
    for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++)
        for (int tickets = 0; tickets <= 2; tickets++)
            converse(TLSREC_TLS13, suite, tickets);
}

static void test_tls12(void **state)
{
    for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++)
        converse(TLSREC_TLS12, suite, 0);
}

/* RFC 8446 4.6.3. OpenSSL would answer with its own next record, which is not the next any more. */
static void test_client_asks_for_update(void **state)
{
    static struct link l;
    struct rand rand;
    char byte;

    shake_hands(&l, TLSREC_TLS13, TLSREC_AES_256_GCM, 2);
    rand_seed(&rand, 2);
    fill_random(&rand, l.text, sizeof(l.text));
    take_over(&l, TLSREC_TLS13, TLSREC_AES_256_GCM);
    send_data(&l, 0, 1000);
    assert_int_equal(SSL_key_update(l.client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(l.client, "?", 1), 1);
    assert_int_equal(SSL_read(l.server, &byte, 1), 1);
    assert_int_equal(l.handover.updates_owed, 1);
    assert_int_equal(BIO_pending(l.to_client), 0); /* nothing of OpenSSL's gets between ours */
    update_keys(&l, false);
    send_data(&l, 1000, 50000);
    end_stream(&l);
    hang_up(&l);
}

/* The client knows a fatal alert for what it is. */
static void test_alert(void **state)
{
    static struct link l;
    struct tlsrec_note note;
    uint8_t byte;

    for (int version = TLSREC_TLS12; version <= TLSREC_TLS13; version++) {
        shake_hands(&l, version, TLSREC_AES_128_GCM, 1);
        take_over(&l, version, TLSREC_AES_128_GCM);
        assert_int_equal(tlsrec_alert(&l.tls, TLSREC_INTERNAL_ERROR, &note), 0);
        deliver(&l, &note.run, note.text);
        assert_int_equal(SSL_read(l.client, &byte, 1), 0);
        assert_int_equal(SSL_get_error(l.client, 0), SSL_ERROR_SSL);
        assert_int_equal(ERR_GET_REASON(ERR_get_error()), SSL_R_TLSV1_ALERT_INTERNAL_ERROR);
        assert_int_equal(SSL_get_shutdown(l.client), SSL_RECEIVED_SHUTDOWN);
        hang_up(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls13),
        cmocka_unit_test(test_tls12),
        cmocka_unit_test(test_client_asks_for_update),
        cmocka_unit_test(test_alert),
    };

    return cmocka_run_group_tests(tests, certificate_setup, certificate_teardown);
}

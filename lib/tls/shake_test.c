// SPDX-License-Identifier: BSD-2-Clause
/*
 * shake_test.c - handshakes of all kinds, with clients good and bad, and the handover to tlsrec.
 */
#include "talk.h"

#include "base/rand.h"

static const char *const suites13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                       "TLS_CHACHA20_POLY1305_SHA256"};
static const char *const suites12[] = {"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
                                       "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384",
                                       "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"};

/* --- handshakes ------------------------------------------------------------------------------- */

static void converse(struct tls_ctx *ctx, const struct wish *wish, enum tlsrec_suite suite,
                     uint64_t seq)
{
    struct link *l = link_ready(ctx, wish);

    assert_int_equal(l->handover.version,
                     wish->version == TLS1_2_VERSION ? TLSREC_TLS12 : TLSREC_TLS13);
    assert_int_equal(l->handover.suite, suite);
    assert_int_equal(l->handover.sealed, seq);
    assert_int_equal(l->handover.full_bytes, 0);
    assert_false(l->handover.resumed);
    request(l);
    respond(l);
    link_close(l);
}

static void test_all_kinds(void **state)
{
    for (int key = 0; key < KEY_KINDS; key++) {
        for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++) {
            struct wish wish = {.suites12 = suites12[suite], .suites13 = suites13[suite]};

            wish.version = TLS1_3_VERSION;
            converse(contexts[key], &wish, (enum tlsrec_suite)suite, 0);
            wish.version = TLS1_2_VERSION;
            converse(contexts[key], &wish, (enum tlsrec_suite)suite, 1);
        }
    }
}

/* Tickets are records with the keys that tlsrec gets: two of them. */
static void test_tickets_count(void **state)
{
    for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++) {
        struct wish wish = {.version = TLS1_3_VERSION, .suites13 = suites13[suite]};

        converse(with_tickets, &wish, (enum tlsrec_suite)suite, 2);
        wish = (struct wish){.version = TLS1_2_VERSION, .suites12 = suites12[suite]};
        converse(with_tickets, &wish, (enum tlsrec_suite)suite, 1);
    }
}

static void test_bytewise(void **state)
{
    const struct wish wishes[] = {wish_12, wish_13};

    for (size_t i = 0; i < array_len(wishes); i++) {
        struct link *l = link_open(with_tickets, &wishes[i]);

        assert_int_equal(link_shake(l, 1), TLS_READY);
        assert_int_equal(l->handover.behind_len, 0);
        respond(l);
        link_close(l);
    }
}

/* RFC 8446 4.1.4: a group that we do not have comes first. */
static void test_hello_retry(void **state)
{
    const struct wish wish = {.version = TLS1_3_VERSION, .groups = "P-521:P-256"};
    struct link *l = link_ready(contexts[KEY_P256], &wish);

    respond(l);
    link_close(l);
}

static void test_groups(void **state)
{
    static const char *const groups[] = {"X25519", "P-256", "P-384"};
    struct wish wish = {0};

    for (size_t i = 0; i < array_len(groups); i++) {
        wish.groups = groups[i];
        link_close(link_ready(contexts[KEY_RSA], &wish));
    }
    wish.groups = "P-521";
    struct link *l = link_open(contexts[KEY_RSA], &wish);

    assert_int_equal(link_shake(l, 1000), TLS_FAILED);
    assert_int_equal(l->alert, SSL_AD_HANDSHAKE_FAILURE);
    link_close(l);
}

/* RFC 6066 4: the client reads no record that is longer. */
static void test_max_fragment(void **state)
{
    struct wish wish = {0};

    for (int v = 0; v < 2; v++) {
        for (uint8_t mode = 1; mode <= 4; mode++) {
            struct link *l;

            wish.version = v ? TLS1_3_VERSION : TLS1_2_VERSION;
            wish.max_fragment = mode;
            l = link_ready(with_tickets, &wish);
            assert_int_equal(l->handover.full_bytes, 256u << mode);
            respond(l);
            link_close(l);
        }
    }
}

/* A client that can do AES slowly says so by its order (and only that is taken from it). */
static void test_preference(void **state)
{
    struct wish wish = {
        .version = TLS1_3_VERSION,
        .suites13 = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"};
    struct link *l = link_ready(contexts[KEY_P256], &wish);

    assert_int_equal(l->handover.suite, TLSREC_CHACHA20_POLY1305);
    link_close(l);
    wish.suites13 = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
    l = link_ready(contexts[KEY_P256], &wish);
    assert_int_equal(l->handover.suite, TLSREC_AES_128_GCM);
    link_close(l);
    wish.version = TLS1_2_VERSION;
    wish.suites12 = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";
    l = link_ready(contexts[KEY_P256], &wish);
    assert_int_equal(l->handover.suite, TLSREC_AES_128_GCM);
    link_close(l);
}

/* Old suites and versions are not to be had, whatever the client wants. */
static void test_refused(void **state)
{
    const struct wish wishes[] = {
        {.version = TLS1_2_VERSION, .suites12 = "AES128-GCM-SHA256"},
        {.version = TLS1_2_VERSION, .suites12 = "ECDHE-RSA-AES128-SHA"},
        {.version = TLS1_2_VERSION, .suites12 = "DHE-RSA-AES128-GCM-SHA256"},
        {.version = TLS1_1_VERSION, .suites12 = "ALL:@SECLEVEL=0"},
        {.version = TLS1_3_VERSION, .suites13 = "TLS_AES_128_CCM_SHA256"},
        {.version = TLS1_2_VERSION,
         .suites12 = "DEFAULT:@SECLEVEL=0",
         .signatures = "RSA+SHA1:ECDSA+SHA1"},
        {.version = TLS1_2_VERSION, .signatures = "RSA+SHA224:ECDSA+SHA224"},
    };

    for (size_t i = 0; i < array_len(wishes); i++) {
        struct link *l = link_open(contexts[KEY_RSA], &wishes[i]);

        assert_int_equal(link_shake(l, 1000), TLS_FAILED);
        assert_int_equal(l->alert, wishes[i].version == TLS1_1_VERSION ? SSL_AD_PROTOCOL_VERSION
                                                                       : SSL_AD_HANDSHAKE_FAILURE);
        assert_false(tls_spoke_http(l->conn));
        link_close(l);
    }
}

/* --- things that are no handshake ------------------------------------------------------------- */

static enum tls_step begin_with(const void *bytes, size_t len, size_t piece, bool *is_http,
                                size_t *out_len)
{
    static uint8_t out[TLS_FLIGHT_BYTES];
    struct tls_conn *conn;
    enum tls_step step = TLS_MORE;

    *out_len = 0;
    assert_int_equal(tls_conn_open(&conn, with_tickets), 0);
    for (size_t at = 0; at < len && step == TLS_MORE; at += piece)
        step = tls_step(conn, (const uint8_t *)bytes + at, min_u64(piece, len - at), out,
                        sizeof(out), out_len);
    *is_http = tls_spoke_http(conn);
    tls_conn_close(conn);
    return step;
}

static void test_http(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\n\r\n",        "HEAD /a HTTP/1.0\r\n\r\n",   "POST /x HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",    "DELETE /x HTTP/1.1\r\n\r\n", "PUT / HTTP/1.1\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\n\r\n"};
    bool is_http;
    size_t out_len;

    for (size_t i = 0; i < array_len(requests); i++) {
        for (size_t piece = 1; piece < 9; piece += 7) {
            assert_int_equal(
                begin_with(requests[i], strlen(requests[i]), piece, &is_http, &out_len),
                TLS_FAILED);
            assert_true(is_http && out_len == 0);
        }
    }
}

static void test_garbage(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"SSH-2.0-OpenSSH_9.2p1\r\n", 23},
        {"GE", 2},
        {"\x16\x03\x01\xff\xff", 5},
        {"\x17\x03\x03\x00\x01x", 6},
        {"\x15\x03\x03\x00\x02\x02\x28", 7},
        {"\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10", 11}, /* SSL 2 */
        {"\x16\x03\x01\x00\x04\x0e\x00\x00\x00", 9},          /* another message */
        {"\0\0\0\0\0\0\0\0", 8},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        bool is_http;
        size_t out_len;
        enum tls_step step = begin_with(cases[i].bytes, cases[i].len, 1000, &is_http, &out_len);

        assert_int_equal(step, cases[i].len == 2 ? TLS_MORE : TLS_FAILED);
        assert_false(is_http);
        assert_true(out_len <= 7); /* an alert */
    }
}

/* A record that says that it is a hello of 128 KiB and so on: not kept reading for ever. */
static void test_endless_hello(void **state)
{
    static uint8_t record[5 + 16384] = {0x16, 3, 1, 0x40, 0, 1, 1, 0xff, 0xff};
    struct tls_conn *conn;
    enum tls_step step = TLS_MORE;
    uint8_t out[TLS_FLIGHT_BYTES];
    size_t out_len;
    int n = 0;

    assert_int_equal(tls_conn_open(&conn, with_tickets), 0);
    while (step == TLS_MORE && n < 20) {
        step = tls_step(conn, record, sizeof(record), out, sizeof(out), &out_len);
        memset(record + 5, 0, 4);
        n++;
    }
    assert_int_equal(step, TLS_FAILED);
    assert_in_range(n, 4, 5);
    tls_conn_close(conn);
}

/* Every prefix of a hello waits for more; a changed byte never does anything worse than fail. */
static void test_damaged_hello(void **state)
{
    struct link *l = link_open(with_tickets, &(struct wish){.name = "atlas.example"});
    static uint8_t hello[1000];
    struct rand rand;
    size_t len, out_len;
    bool is_http;
    int n;

    SSL_do_handshake(l->client);
    n = BIO_read(l->to_server, hello, sizeof(hello));
    assert_in_range(n, 100, 1000);
    len = (size_t)n;
    link_close(l);
    for (size_t i = 1; i < len; i++)
        assert_int_equal(begin_with(hello, i, 1000, &is_http, &out_len), TLS_MORE);
    rand_seed(&rand, 4);
    for (size_t i = 0; i < len; i++) {
        uint8_t saved = hello[i];

        hello[i] ^= (uint8_t)(1 + rand_below(&rand, 255));
        assert_int_not_equal(begin_with(hello, len, 1000, &is_http, &out_len), TLS_READY);
        hello[i] = saved;
    }
}

/* A client that changes its Finished. */
static void test_bad_finished(void **state)
{
    struct link *l = link_open(contexts[KEY_P256], &wish_13);
    size_t n;

    SSL_do_handshake(l->client);
    n = link_drain(l);
    assert_int_equal(link_step(l, l->wire, n), TLS_MORE);
    SSL_do_handshake(l->client);
    n = link_drain(l);
    l->wire[n - 1] ^= 1;
    assert_int_equal(link_step(l, l->wire, n), TLS_FAILED);
    SSL_read(l->client, l->wire, 1);
    assert_int_equal(l->alert, SSL_AD_BAD_RECORD_MAC);
    link_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),     cmocka_unit_test(test_tickets_count),
        cmocka_unit_test(test_bytewise),      cmocka_unit_test(test_hello_retry),
        cmocka_unit_test(test_groups),        cmocka_unit_test(test_max_fragment),
        cmocka_unit_test(test_preference),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_http),          cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_endless_hello), cmocka_unit_test(test_damaged_hello),
        cmocka_unit_test(test_bad_finished),
    };

    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn_test.c - what clients of OpenSSL's send after the handshake is what tlsrec's inbox reads,
 * with what was handed over; and what they should not send.
 */
#include "talk.h"

#include "base/rand.h"

#include <openssl/kdf.h>

/* --- what the client sends -------------------------------------------------------------------- */

struct heard {
    uint8_t text[WIRE_BYTES];
    size_t len;
    uint32_t calls;
    struct tlsrec_events events; /* all of them together */
};

/* As the header says: until there is no more. */
static void hear(struct link *l, const uint8_t *in, size_t len, struct heard *h)
{
    size_t n;

    do {
        struct tlsrec_events events;

        assert_true(h->len + TLSREC_INBOX_ROOM <= sizeof(h->text));
        n = tlsrec_read(&l->inbox, &in, &len, h->text + h->len, &events);
        h->len += n;
        h->calls++;
        h->events.closed |= events.closed;
        h->events.update_asked |= events.update_asked;
        h->events.failed |= events.failed;
        h->events.alert_wanted |= events.alert_wanted;
        h->events.alert |= events.alert;
        // An end comes with nothing else.
        assert_true(n == 0 || !(events.closed || events.failed));
    } while (n > 0);
    assert_int_equal(len, 0);
}

static struct heard *hear_all(struct link *l)
{
    static struct heard h;
    size_t n = link_drain(l);

    memset(&h, 0, sizeof(h));
    hear(l, l->wire, n, &h);
    return &h;
}

static void say(struct link *l, const char *text)
{
    assert_int_equal(SSL_write(l->client, text, (int)strlen(text)), strlen(text));
}

static void expect_heard(struct link *l, const char *text)
{
    const struct heard *h = hear_all(l);

    assert_int_equal(h->len, strlen(text));
    assert_memory_equal(h->text, text, h->len);
    assert_false(h->events.closed || h->events.failed);
}

/* Whoever goes on after the end is not listened to. */
static void expect_ignored(struct link *l)
{
    static struct heard h;

    memset(&h, 0, sizeof(h));
    hear(l, (const uint8_t *)"\x17\x03\x03more", 7, &h);
    assert_true(h.len == 0 && h.calls == 1 && !h.events.closed && !h.events.failed);
}

static void expect_failed(const struct heard *h, int alert)
{
    assert_true(h->events.failed && !h->events.closed);
    assert_int_equal(h->events.alert_wanted, alert >= 0);
    if (alert >= 0)
        assert_int_equal(h->events.alert, alert);
}

/* --- after the handshake ---------------------------------------------------------------------- */

/* A request that arrived with the client's Finished is there at the handover. */
static void test_behind_finished(void **state)
{
    const struct wish wishes[] = {wish_12, wish_13};

    for (size_t i = 0; i < array_len(wishes); i++) {
        struct link *l = link_open(with_tickets, &wishes[i]);
        const struct tls_handover *h = &l->handover;
        bool is_12 = wishes[i].version == TLS1_2_VERSION;
        static struct heard heard;
        size_t n;

        // OpenSSL's client of TLS 1.2 writes nothing before our Finished: a record's beginning.
        SSL_do_handshake(l->client);
        n = link_drain(l);
        assert_int_equal(link_step(l, l->wire, n), TLS_MORE);
        SSL_do_handshake(l->client);
        if (!is_12)
            say(l, REQUEST);
        n = link_drain(l);
        if (is_12)
            memcpy(l->wire + n, "\x17\x03\x03", 3);
        assert_int_equal(link_step(l, l->wire, n + (is_12 ? 3 : 0)), TLS_READY);
        link_take_over(l);
        memset(&heard, 0, sizeof(heard));
        hear(l, h->behind, h->behind_len, &heard);
        assert_false(heard.events.failed);
        if (is_12) {
            assert_int_equal(heard.len, 0);
            assert_int_equal(tlsrec_held(&l->inbox), 3);
            assert_true(h->opened == 1 && h->sealed == 1);
        } else {
            assert_int_equal(heard.len, strlen(REQUEST));
            assert_memory_equal(heard.text, REQUEST, heard.len);
            respond(l);
        }
        link_close(l);
    }
}

/* Bytes one by one. */
static void test_pieces(void **state)
{
    static struct heard h;
    static char text[40000];
    struct link *l = link_ready(contexts[KEY_P256], &wish_13);
    size_t n;

    memset(text, 'a', sizeof(text) - 1);
    for (size_t i = 0; i < sizeof(text) - 1; i += 7)
        text[i] = (char)('a' + i % 26);
    say(l, text);
    n = link_drain(l);
    memset(&h, 0, sizeof(h));
    for (size_t i = 0; i < n; i++) {
        hear(l, l->wire + i, 1, &h);
        assert_true(tlsrec_held(&l->inbox) <= min_u64(i + 1, 16384 + 256 + 5));
    }
    assert_int_equal(tlsrec_held(&l->inbox), 0);
    assert_int_equal(h.len, sizeof(text) - 1);
    assert_memory_equal(h.text, text, h.len);
    link_close(l);
}

/* A record at a time; and more is given before all of the old is taken. */
static void test_records(void **state)
{
    static uint8_t plain[TLSREC_INBOX_ROOM];
    struct link *l = link_ready(contexts[KEY_P256], &wish_13);
    const uint8_t *in = l->wire;
    struct tlsrec_events events;
    size_t n;

    say(l, "one");
    say(l, "two!");
    n = link_drain(l);
    assert_int_equal(tlsrec_read(&l->inbox, &in, &n, plain, &events), 3);
    assert_memory_equal(plain, "one", 3);
    assert_int_equal(tlsrec_read(&l->inbox, &in, &n, plain, &events), 4);
    assert_memory_equal(plain, "two!", 4);
    assert_int_equal(n, 0);
    assert_int_equal(tlsrec_read(&l->inbox, &in, &n, plain, &events), 0);
    assert_false(events.closed || events.failed || events.update_asked);
    link_close(l);
}

static void test_close_notify(void **state)
{
    const struct wish wishes[] = {wish_12, wish_13};

    for (size_t i = 0; i < array_len(wishes); i++) {
        struct link *l = link_ready(with_tickets, &wishes[i]);
        struct heard *h;

        say(l, "last");
        SSL_shutdown(l->client);
        h = hear_all(l);
        assert_int_equal(h->len, 4);
        assert_true(h->events.closed && !h->events.failed && !h->events.alert_wanted);
        expect_ignored(l);
        respond(l); // our half goes on
        link_close(l);
    }
}

/* RFC 8446 4.6.3 */
static void test_key_update(void **state)
{
    struct link *l = link_ready(with_tickets, &wish_13);
    struct heard *h;

    assert_int_equal(SSL_key_update(l->client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    say(l, "a");
    h = hear_all(l);
    assert_true(h->len == 1 && !h->events.update_asked && !h->events.failed);
    assert_int_equal(SSL_key_update(l->client, SSL_KEY_UPDATE_REQUESTED), 1);
    say(l, "b");
    h = hear_all(l);
    assert_true(h->len == 1 && h->events.update_asked && !h->events.failed);
    say(l, "c");
    h = hear_all(l);
    assert_true(h->len == 1 && !h->events.update_asked && !h->events.failed);
    respond(l);
    link_close(l);
}

static void test_key_update_flood(void **state)
{
    struct link *l = link_ready(contexts[KEY_P256], &wish_13);
    const struct heard *h;

    for (int round = 0; round < 4; round++) { // with data between them they are welcome
        for (int i = 0; i < 20; i++) {
            SSL_key_update(l->client, SSL_KEY_UPDATE_NOT_REQUESTED);
            SSL_do_handshake(l->client);
        }
        say(l, "x");
        expect_heard(l, "x");
    }
    for (int i = 0; i < 1000; i++) {
        SSL_key_update(l->client, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(l->client);
    }
    say(l, "x"); // nothing is read behind too many
    h = hear_all(l);
    assert_int_equal(h->len, 0);
    expect_failed(h, TLSREC_UNEXPECTED_MESSAGE);
    link_close(l);
}

/* RFC 5246 7.2.2: refused; and the connection ends, which asked for nothing that we do. */
static void test_renegotiation(void **state)
{
    struct link *l = link_ready(contexts[KEY_P256], &wish_12);
    struct heard *h;

    say(l, "before");
    assert_int_equal(SSL_renegotiate(l->client), 1);
    SSL_do_handshake(l->client);
    h = hear_all(l);
    assert_int_equal(h->len, 6);
    expect_failed(h, TLSREC_NO_RENEGOTIATION);
    expect_ignored(l);
    link_close(l);
}

static void test_bad_record(void **state)
{
    const struct wish wishes[] = {wish_12, wish_13};

    for (size_t i = 0; i < array_len(wishes); i++) {
        struct link *l = link_ready(contexts[KEY_P256], &wishes[i]);
        static struct heard h;
        size_t n;

        say(l, "good");
        say(l, "bad");
        n = link_drain(l);
        l->wire[n - 1] ^= 0x80;
        memset(&h, 0, sizeof(h));
        hear(l, l->wire, n, &h);
        assert_int_equal(h.len, 4);
        expect_failed(&h, TLSREC_BAD_RECORD_MAC);
        link_close(l);
    }
}

static void fail_with(const struct wish *wish, const char *bytes, size_t len, int alert)
{
    struct link *l = link_ready(contexts[KEY_P256], wish);
    static struct heard h;

    memset(&h, 0, sizeof(h));
    hear(l, (const uint8_t *)bytes, len, &h);
    assert_int_equal(h.len, 0);
    expect_failed(&h, alert);
    link_close(l);
}

static void test_bad_headers(void **state)
{
    fail_with(&wish_13, "\x17\x03\x03\xff\xff", 5, TLSREC_RECORD_OVERFLOW);
    fail_with(&wish_12, "\x17\x03\x03\xff\xff", 5, TLSREC_RECORD_OVERFLOW);
    fail_with(&wish_13, "\x16\x03\x03\x00\x04\x01\x00\x00\x00", 9, TLSREC_UNEXPECTED_MESSAGE);
    fail_with(&wish_13, "\x14\x03\x03\x00\x01\x01", 6, TLSREC_UNEXPECTED_MESSAGE);
    fail_with(&wish_13, REQUEST, strlen(REQUEST), TLSREC_UNEXPECTED_MESSAGE);
    fail_with(&wish_12, REQUEST, strlen(REQUEST), TLSREC_PROTOCOL_VERSION);
}

/* --- records that no client of OpenSSL's would write ------------------------------------------ */

/* The client's direction, in our hands. */
static void forger_open(struct sender *s, const struct link *l)
{
    struct tlsrec_start start = {.seq = l->handover.version == TLSREC_TLS13 ? 0 : 1};

    memset(s, 0, sizeof(*s));
    if (l->handover.version == TLSREC_TLS13)
        tlsrec_init13(&s->tls, test_engine, l->handover.suite, l->secret, &start);
    else
        tlsrec_init12(&s->tls, test_engine, l->handover.suite, &l->handover.master, false, &start);
    tlsrec_attach(&s->tls, &s->keys);
}

static void forge_alerts(const struct wish *wish, enum tlsrec_alert alert, int count, int expected)
{
    struct link *l = link_ready(contexts[KEY_P256], wish);
    struct tlsrec_note note;
    struct sender s;

    forger_open(&s, l);
    for (int i = 0; i < count; i++) {
        assert_int_equal(tlsrec_alert(&s.tls, alert, &note), 0);
        seal_run(&s, &note.run, note.text, l->to_server);
    }
    expect_failed(hear_all(l), expected);
    sender_close(&s);
    link_close(l);
}

static void test_alerts(void **state)
{
    // The client has failed: there is nothing to say to that.
    forge_alerts(&wish_12, TLSREC_INTERNAL_ERROR, 1, -1);
    forge_alerts(&wish_13, TLSREC_INTERNAL_ERROR, 1, -1);
    // Warnings are not for ever.
    forge_alerts(&wish_12, TLSREC_USER_CANCELED, 100, TLSREC_UNEXPECTED_MESSAGE);
    forge_alerts(&wish_13, TLSREC_USER_CANCELED, 100, TLSREC_UNEXPECTED_MESSAGE);
}

static void expand(const EVP_MD *md, const uint8_t *secret, const char *label, uint8_t *out,
                   size_t bytes)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int("mode", &mode),
        OSSL_PARAM_construct_utf8_string("digest", (char *)EVP_MD_get0_name(md), 0),
        OSSL_PARAM_construct_octet_string("key", (void *)secret, (size_t)EVP_MD_get_size(md)),
        OSSL_PARAM_construct_octet_string("prefix", (void *)"tls13 ", 6),
        OSSL_PARAM_construct_octet_string("label", (void *)label, strlen(label)),
        OSSL_PARAM_construct_end(),
    };

    assert_int_equal(EVP_KDF_derive(ctx, out, bytes, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* Records of TLS 1.3 with nothing in them (RFC 8446 5.4), as many as one likes. */
static void test_empty_records(void **state)
{
    const struct wish wish = {.version = TLS1_3_VERSION, .suites13 = "TLS_AES_128_GCM_SHA256"};
    struct link *l = link_ready(contexts[KEY_P256], &wish);
    static struct heard h;
    uint8_t key[16], iv[12];

    expand(EVP_sha256(), l->secret, "key", key, sizeof(key));
    expand(EVP_sha256(), l->secret, "iv", iv, sizeof(iv));
    memset(&h, 0, sizeof(h));
    for (uint8_t n = 0; n < 100 && !h.events.failed; n++) {
        uint8_t record[5 + 1 + 16] = {0x17, 3, 3, 0, 17}, nonce[12];
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        const uint8_t type = 0x17;
        int len;

        memcpy(nonce, iv, sizeof(nonce));
        nonce[11] ^= n;
        assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, key, nonce), 1);
        assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &len, record, 5), 1);
        assert_int_equal(EVP_EncryptUpdate(ctx, record + 5, &len, &type, 1), 1);
        assert_int_equal(EVP_EncryptFinal_ex(ctx, record + 6, &len), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, record + 6), 1);
        EVP_CIPHER_CTX_free(ctx);
        hear(l, record, sizeof(record), &h);
    }
    assert_int_equal(h.len, 0);
    expect_failed(&h, TLSREC_UNEXPECTED_MESSAGE);
    assert_in_range(h.calls, 20, 40);
    link_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_behind_finished), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_records),         cmocka_unit_test(test_close_notify),
        cmocka_unit_test(test_key_update),      cmocka_unit_test(test_key_update_flood),
        cmocka_unit_test(test_renegotiation),   cmocka_unit_test(test_bad_record),
        cmocka_unit_test(test_bad_headers),     cmocka_unit_test(test_alerts),
        cmocka_unit_test(test_empty_records),
    };

    return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctx_test.c - what operators configure, rightly and wrongly, and what clients get of it.
 */
#include "link.h"

#include <openssl/ocsp.h>

static void check_refused(const struct tls_policy *policy, int expected, const char *word)
{
    char why[TEST_WHY_BYTES];
    struct tls_ctx *ctx = NULL;
    int rc = tls_ctx_open(&ctx, policy, why, sizeof(why));

    assert_int_equal(rc, expected);
    assert_null(ctx);
    if (!strstr(why, word))
        fail_msg("'%s' is not in '%s'", word, why);
    assert_null(strchr(why, '\n'));
}

/* One identity of these files. */
static void refuse(const char *cert, const char *key, const char *ocsp, const char *word)
{
    struct tls_identity identity = {test_path(cert), key ? test_path(key) : key_path(KEY_P256),
                                    ocsp ? test_path(ocsp) : NULL};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};

    check_refused(&policy, -EINVAL, word);
}

static void write_spec(const char *name, const struct cert_spec *spec)
{
    X509_free(write_identity(name, spec));
}

/* One slow key among fast ones is enough. */
static void test_slow_signatures(void **state)
{
    static const bool slow[] = {
        [KEY_P256] = false, [KEY_P384] = true, [KEY_ED25519] = false, [KEY_RSA] = true};
    struct tls_identity both[] = {plain_identity(KEY_P256), plain_identity(KEY_RSA)};
    struct tls_policy policy = {.identities = both, .identity_count = 2};
    struct tls_ctx *ctx;

    for (int key = 0; key < KEY_KINDS; key++) {
        ctx = open_plain((enum test_key)key, NULL);
        assert_int_equal(tls_ctx_signs_slowly(ctx), slow[key]);
        tls_ctx_put(ctx);
    }
    ctx = open_ctx(&policy);
    assert_true(tls_ctx_signs_slowly(ctx));
    tls_ctx_put(ctx);
}

/* --- files ------------------------------------------------------------------------------------ */

static void test_missing_files(void **state)
{
    refuse("nowhere.pem", NULL, NULL, "nowhere.pem: No such file");
    refuse("p256.pem", "nowhere.key", NULL, "nowhere.key: No such file");
    refuse("p256.pem", NULL, "nowhere.der", "nowhere.der: No such file");
    refuse(".", NULL, NULL, "no certificate");
}

static void test_bad_files(void **state)
{
    write_text("empty", "");
    write_text("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmg\n"
                             "-----END CERTIFICATE-----\n");
    write_text("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmg\n");
    refuse("empty", NULL, NULL, "no certificate in PEM form");
    refuse("p256.key", NULL, NULL, "no certificate in PEM form");
    refuse("broken.pem", NULL, NULL, "cannot read the certificate");
    refuse("cut.pem", NULL, NULL, "cannot read the certificate");
    refuse("p256.pem", "empty", NULL, "no private key");
    refuse("p256.pem", "p256.pem", NULL, "no private key");
    refuse("p256.pem", NULL, "empty", "no OCSP response");
    refuse("p256.pem", NULL, "p256.pem", "no OCSP response");
}

static void test_broken_chain(void **state)
{
    struct cert_spec spec = {.key = KEY_P256};
    X509 *cert = make_cert(&spec);
    FILE *file;

    write_cert("chain.pem", cert, "w");
    write_cert("chain.pem", cert, "a");
    file = fopen(test_path("chain.pem"), "a");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file);
    fclose(file);
    refuse("chain.pem", NULL, NULL, "certificate 3 of the chain");
    X509_free(cert);
}

static void test_bad_keys(void **state)
{
    EVP_PKEY *small = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-521");

    write_key("secret.key", test_keys[KEY_P256], "word");
    write_key("small.key", small, NULL);
    write_key("curve.key", curve, NULL);
    refuse("p256.pem", "p384.key", NULL, "p384.key: not the key of");
    refuse("p256.pem", "rsa.key", NULL, "rsa.key: not the key of");
    refuse("p256.pem", "secret.key", NULL, "passphrase");
    refuse("rsa.pem", "small.key", NULL, "1024 bits");
    refuse("p256.pem", "curve.key", NULL, "P-256");
    EVP_PKEY_free(small);
    EVP_PKEY_free(curve);
}

static void test_dates(void **state)
{
    const struct cert_spec old = {.key = KEY_P256, .from_s = -2 * DAY_S, .until_s = -60};
    const struct cert_spec new = {.key = KEY_P256, .from_s = 600, .until_s = 2 * DAY_S};

    write_spec("old.pem", &old);
    write_spec("new.pem", &new);
    refuse("old.pem", NULL, NULL, "the certificate ended on 20");
    refuse("new.pem", NULL, NULL, "clock");
}

static void test_usage(void **state)
{
    const struct cert_spec issuer = {.key = KEY_P256, .usage = "keyCertSign,cRLSign"};
    const struct cert_spec client = {.key = KEY_P256, .extended_usage = "clientAuth"};
    const struct cert_spec server = {
        .key = KEY_P256, .usage = "digitalSignature", .extended_usage = "serverAuth,clientAuth"};
    struct tls_identity identity = {test_path("server.pem"), key_path(KEY_P256), NULL};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};

    write_spec("issuer.pem", &issuer);
    write_spec("client.pem", &client);
    write_spec("server.pem", &server);
    refuse("issuer.pem", NULL, NULL, "digital signature");
    refuse("client.pem", NULL, NULL, "not for servers");
    tls_ctx_put(open_ctx(&policy));
}

/* With too little room for a long flight there is none, rather than half of it. */
static void cut_flight(struct tls_ctx *ctx)
{
    struct link *l = link_open(ctx, &wish_13);
    size_t n, out_len;

    SSL_do_handshake(l->client);
    n = link_drain(l);
    assert_int_equal(tls_step(l->conn, l->wire, n, l->out, 6000, &out_len), TLS_FAILED);
    assert_int_equal(out_len, 0);
    link_close(l);
}

/* What is not refused must fit: a flight close to the limit arrives. */
static void test_long_chain(void **state)
{
    struct tls_identity identity = {test_path("long.pem"), key_path(KEY_RSA), NULL};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};
    uint32_t padding = 15000;
    struct tls_ctx *ctx = NULL;

    for (; !ctx && padding > 10000; padding -= 50) {
        struct cert_spec spec = {.key = KEY_RSA, .padding = padding};
        char why[TEST_WHY_BYTES];

        write_spec("long.pem", &spec);
        if (tls_ctx_open(&ctx, &policy, why, sizeof(why)) < 0)
            assert_non_null(strstr(why, "a flight of"));
    }
    assert_in_range(padding, 13000, 14900);
    link_close(link_ready(ctx, &wish_12));
    link_close(link_ready(ctx, &wish_13));
    cut_flight(ctx);
    tls_ctx_put(ctx);
}

static void test_counts(void **state)
{
    struct tls_identity many[TLS_IDENTITIES_MAX + 1];
    struct tls_policy policy = {.identities = many};

    for (size_t i = 0; i < array_len(many); i++)
        many[i] = plain_identity(KEY_P256);
    check_refused(&policy, -EINVAL, "1 to 64");
    policy.identity_count = array_len(many);
    check_refused(&policy, -EINVAL, "1 to 64");
    policy.identity_count = 2;
    check_refused(&policy, -EINVAL, "same names and the same kind");
}

/* --- suites and versions ---------------------------------------------------------------------- */

static void test_suite_lists(void **state)
{
    struct tls_identity identity = plain_identity(KEY_P256);
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};

    policy.suites = "TLS_AES_128_GCM_SHA256:AES128-SHA";
    check_refused(&policy, -ENOTSUP, "'AES128-SHA' is not");
    policy.suites = "TLS_AES_128_CCM_SHA256";
    check_refused(&policy, -ENOTSUP, "TLS_AES_128_CCM_SHA256");
    policy.suites = "ALL";
    check_refused(&policy, -ENOTSUP, "'ALL' is not");
    policy.suites = "";
    check_refused(&policy, -ENOTSUP, "none for TLS 1.3 and none");
    policy.suites = "ECDHE-ECDSA-AES128-GCM-SHA256";
    policy.min_version = TLSREC_TLS13;
    check_refused(&policy, -ENOTSUP, "none for TLS 1.3");
}

static int version_got(struct tls_ctx *ctx, int version, enum tlsrec_suite *suite)
{
    const struct wish wish = {.version = version};
    struct link *l = link_open(ctx, &wish);
    int got = link_shake(l, WIRE_BYTES) == TLS_READY ? SSL_version(l->client) : -l->alert;

    *suite = l->handover.suite;
    link_close(l);
    return got;
}

static void test_versions(void **state)
{
    struct tls_identity identity = plain_identity(KEY_P256);
    struct tls_policy policy = {
        .identities = &identity, .identity_count = 1, .min_version = TLSREC_TLS13};
    enum tlsrec_suite suite;
    struct tls_ctx *ctx;

    ctx = open_ctx(&policy);
    assert_int_equal(version_got(ctx, 0, &suite), TLS1_3_VERSION);
    assert_int_equal(version_got(ctx, TLS1_2_VERSION, &suite), -SSL_AD_PROTOCOL_VERSION);
    tls_ctx_put(ctx);

    policy.min_version = TLSREC_TLS12;
    policy.suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
    ctx = open_ctx(&policy);
    assert_int_equal(version_got(ctx, 0, &suite), TLS1_3_VERSION);
    assert_int_equal(suite, TLSREC_AES_256_GCM); // ours is the order
    assert_int_equal(version_got(ctx, TLS1_2_VERSION, &suite), -SSL_AD_PROTOCOL_VERSION);
    tls_ctx_put(ctx);

    policy.suites = ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305:";
    ctx = open_ctx(&policy);
    assert_int_equal(version_got(ctx, 0, &suite), TLS1_2_VERSION);
    assert_int_equal(suite, TLSREC_CHACHA20_POLY1305);
    assert_int_equal(version_got(ctx, TLS1_3_VERSION, &suite), -SSL_AD_PROTOCOL_VERSION);
    tls_ctx_put(ctx);
}

/* A list is as long as an operator makes it. */
static void test_long_suite_list(void **state)
{
    static const char many[] = "TLS_AES_128_GCM_SHA256:", last[] = "TLS_AES_256_GCM_SHA384";
    const struct wish wish = {.version = TLS1_3_VERSION, .suites13 = last};
    char list[50 * sizeof(many) + sizeof(last)] = "";
    struct tls_identity identity = plain_identity(KEY_P256);
    struct tls_policy policy = {.identities = &identity, .identity_count = 1, .suites = list};
    struct tls_ctx *ctx;

    for (int i = 0; i < 50; i++)
        strcat(list, many);
    strcat(list, last);
    ctx = open_ctx(&policy);
    link_close(link_ready(ctx, &wish));
    tls_ctx_put(ctx);
}

/* --- names ------------------------------------------------------------------------------------ */

/* The certificate that a client gets who asks for `name`. */
static X509 *cert_got(struct tls_ctx *ctx, struct wish wish, const char *name)
{
    struct link *l;
    X509 *cert;

    wish.name = name;
    l = link_ready(ctx, &wish);
    cert = SSL_get1_peer_certificate(l->client);
    assert_non_null(cert);
    link_close(l);
    return cert;
}

static void expect_cert(struct tls_ctx *ctx, const struct wish *wish, const char *name,
                        const X509 *expected)
{
    X509 *got = cert_got(ctx, *wish, name);

    if (X509_cmp(got, expected) != 0)
        fail_msg("%s gets another certificate", name);
    X509_free(got);
}

static void test_sni(void **state)
{
    const struct cert_spec specs[] = {
        {.key = KEY_P256, .names = "DNS:a.example,DNS:www.a.example"},
        {.key = KEY_P256, .common_name = "d.example", .names = "DNS:*.b.example,IP:192.0.2.1"},
        {.key = KEY_P384, .common_name = "c.example"},
        {.key = KEY_P256, .names = "DNS:exact.b.example,DNS:a.example"},
    };
    static const char *const files[] = {"0.pem", "1.pem", "2.pem", "3.pem"};
    const struct wish *wishes[] = {&wish_12, &wish_13};
    struct tls_identity identities[array_len(specs)];
    struct tls_policy policy = {.identities = identities, .identity_count = array_len(specs)};
    X509 *certs[array_len(specs)];
    struct tls_ctx *ctx;

    for (size_t i = 0; i < array_len(specs); i++) {
        certs[i] = write_identity(files[i], &specs[i]);
        identities[i] = (struct tls_identity){test_path(files[i]), key_path(specs[i].key), NULL};
    }
    ctx = open_ctx(&policy);
    for (size_t i = 0; i < array_len(wishes); i++) {
        expect_cert(ctx, wishes[i], "a.example", certs[0]);
        expect_cert(ctx, wishes[i], "WWW.A.example", certs[0]);
        expect_cert(ctx, wishes[i], "x.b.example", certs[1]);
        expect_cert(ctx, wishes[i], "exact.b.example", certs[3]);
        expect_cert(ctx, wishes[i], "c.example", certs[2]);
        // The first one for all others: no name, the common name beside others, a deeper label.
        expect_cert(ctx, wishes[i], NULL, certs[0]);
        expect_cert(ctx, wishes[i], "d.example", certs[0]);
        expect_cert(ctx, wishes[i], "b.example", certs[0]);
        expect_cert(ctx, wishes[i], "x.y.b.example", certs[0]);
        expect_cert(ctx, wishes[i], "unknown.example", certs[0]);
    }
    tls_ctx_put(ctx);
    for (size_t i = 0; i < array_len(specs); i++)
        X509_free(certs[i]);
}

/* ECDSA for those who can, RSA for the others, whichever stands first. */
static void test_two_kinds(void **state)
{
    struct tls_identity identities[] = {plain_identity(KEY_RSA), plain_identity(KEY_ED25519),
                                        plain_identity(KEY_P256)};
    struct tls_policy policy = {.identities = identities, .identity_count = 3};
    struct tls_ctx *ctx = open_ctx(&policy);

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        const struct {
            const char *signatures;
            int type;
        } cases[] = {{NULL, EVP_PKEY_EC},
                     {"rsa_pss_rsae_sha256:RSA+SHA256", EVP_PKEY_RSA},
                     {"ed25519", EVP_PKEY_ED25519},
                     {"ed25519:rsa_pss_rsae_sha256:ECDSA+SHA256", EVP_PKEY_EC}};

        for (size_t i = 0; i < array_len(cases); i++) {
            struct wish wish = {.version = version, .signatures = cases[i].signatures};
            X509 *got = cert_got(ctx, wish, "atlas.example");

            assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(got)), cases[i].type);
            X509_free(got);
        }
    }
    tls_ctx_put(ctx);
}

/* The chain goes along, in its order. */
static void test_chain(void **state)
{
    struct cert_spec spec = {.key = KEY_P256, .common_name = "leaf"};
    struct cert_spec above = {.key = KEY_P384, .common_name = "above"};
    struct tls_identity identity = {test_path("two.pem"), key_path(KEY_P256), NULL};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};
    X509 *leaf = write_identity("two.pem", &spec), *issuer = make_cert(&above);
    struct tls_ctx *ctx;
    struct link *l;

    write_cert("two.pem", issuer, "a");
    ctx = open_ctx(&policy);
    l = link_ready(ctx, &wish_13);
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(l->client)), 2);
    assert_int_equal(X509_cmp(sk_X509_value(SSL_get_peer_cert_chain(l->client), 1), issuer), 0);
    link_close(l);
    tls_ctx_put(ctx);
    X509_free(leaf);
    X509_free(issuer);
}

/* --- ALPN ------------------------------------------------------------------------------------- */

static void test_alpn(void **state)
{
    struct tls_ctx *ctx = open_plain(KEY_P256, NULL);
    struct wish wish = {.alpn = "\x02h2\x08http/1.1"};
    const uint8_t *chosen;
    unsigned len;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct link *l;

        wish.version = version;
        wish.alpn = "\x02h2\x08http/1.1";
        l = link_ready(ctx, &wish);
        SSL_get0_alpn_selected(l->client, &chosen, &len);
        assert_int_equal(len, 8);
        assert_memory_equal(chosen, "http/1.1", 8);
        link_close(l);
        wish.alpn = "\x02h2\x08http/1.0";
        l = link_open(ctx, &wish);
        assert_int_equal(link_shake(l, WIRE_BYTES), TLS_FAILED);
        assert_int_equal(l->alert, SSL_AD_NO_APPLICATION_PROTOCOL);
        link_close(l);
        wish.alpn = NULL;
        l = link_ready(ctx, &wish);
        SSL_get0_alpn_selected(l->client, &chosen, &len);
        assert_int_equal(len, 0);
        link_close(l);
    }
    tls_ctx_put(ctx);
}

/* --- OCSP ------------------------------------------------------------------------------------- */

static void write_response(const char *name, X509 *cert, int status, long from_s, long until_s)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, cert, cert);
    ASN1_TIME *from = X509_gmtime_adj(NULL, from_s), *until = X509_gmtime_adj(NULL, until_s);
    OCSP_RESPONSE *response;
    uint8_t *der = NULL;
    int bytes;
    FILE *file;

    assert_non_null(OCSP_basic_add1_status(basic, id, status, OCSP_REVOKED_STATUS_UNSPECIFIED, from,
                                           from, until_s ? until : NULL));
    assert_int_equal(
        OCSP_basic_sign(basic, cert, test_keys[KEY_P256], EVP_sha256(), NULL, OCSP_NOCERTS), 1);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    bytes = i2d_OCSP_RESPONSE(response, &der);
    assert_true(bytes > 0);
    file = fopen(test_path(name), "w");
    assert_int_equal(fwrite(der, 1, (size_t)bytes, file), bytes);
    fclose(file);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
}

static void expect_staple(struct tls_ctx *ctx, struct wish wish, bool expected)
{
    struct link *l = link_ready(ctx, &wish);
    const uint8_t *got;
    uint8_t file[4096];
    FILE *f = fopen(test_path("good.der"), "r");
    long bytes = SSL_get_tlsext_status_ocsp_resp(l->client, &got);

    if (expected) {
        assert_int_equal(fread(file, 1, sizeof(file), f), bytes);
        assert_memory_equal(file, got, (size_t)bytes);
    } else {
        assert_int_equal(bytes, -1);
    }
    fclose(f);
    link_close(l);
}

/* Those get it who ask, and with the certificate that it is for. */
static void test_staple(void **state)
{
    const struct cert_spec spec = {.key = KEY_P256, .names = "DNS:atlas.example"};
    struct tls_identity identities[] = {
        {test_path("stapled.pem"), key_path(KEY_P256), test_path("good.der")},
        plain_identity(KEY_RSA)};
    struct tls_policy policy = {.identities = identities, .identity_count = 2};
    X509 *cert = write_identity("stapled.pem", &spec);
    struct tls_ctx *ctx;

    for (int forever = 0; forever < 2; forever++) {
        write_response("good.der", cert, V_OCSP_CERTSTATUS_GOOD, -60, forever ? 0 : DAY_S);
        ctx = open_ctx(&policy);
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            struct wish wish = {.version = version, .wants_staple = true};

            expect_staple(ctx, wish, true);
            wish.signatures = "rsa_pss_rsae_sha256:RSA+SHA256";
            expect_staple(ctx, wish, false);
            wish = (struct wish){.version = version};
            expect_staple(ctx, wish, false);
        }
        tls_ctx_put(ctx);
    }
    X509_free(cert);
}

/* A response that ends while we serve is not sent any more. */
static void test_staple_ends(void **state)
{
    const struct wish wish = {.version = TLS1_3_VERSION, .wants_staple = true};
    const struct cert_spec spec = {.key = KEY_P256};
    struct tls_identity identity = {test_path("short.pem"), key_path(KEY_P256),
                                    test_path("good.der")};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};
    X509 *cert = write_identity("short.pem", &spec);
    struct tls_ctx *ctx;

    // Within the slack for the responder's clock, but over.
    write_response("good.der", cert, V_OCSP_CERTSTATUS_GOOD, -60, -1);
    ctx = open_ctx(&policy);
    expect_staple(ctx, wish, false);
    tls_ctx_put(ctx);
    X509_free(cert);
}

static void test_bad_staples(void **state)
{
    const struct cert_spec spec = {.key = KEY_P256};
    X509 *cert = write_identity("mine.pem", &spec), *other = make_cert(&spec);

    write_response("revoked.der", cert, V_OCSP_CERTSTATUS_REVOKED, -60, DAY_S);
    write_response("old.der", cert, V_OCSP_CERTSTATUS_GOOD, -2 * DAY_S, -DAY_S);
    write_response("early.der", cert, V_OCSP_CERTSTATUS_GOOD, DAY_S, 2 * DAY_S);
    write_response("other.der", other, V_OCSP_CERTSTATUS_GOOD, -60, DAY_S);
    refuse("mine.pem", NULL, "revoked.der", "revoked");
    refuse("mine.pem", NULL, "old.der", "out of its time");
    refuse("mine.pem", NULL, "early.der", "out of its time");
    refuse("mine.pem", NULL, "other.der", "another certificate");
    X509_free(cert);
    X509_free(other);
}

/* A context outlives its owner while a connection has it. */
static void test_references(void **state)
{
    struct tls_ctx *ctx = open_plain(KEY_P256, NULL);
    struct link *l = link_open(ctx, &wish_13);

    assert_ptr_equal(tls_ctx_hold(ctx), ctx);
    tls_ctx_put(ctx);
    tls_ctx_put(ctx);
    assert_int_equal(link_shake(l, WIRE_BYTES), TLS_READY);
    link_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_signatures),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_broken_chain),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_long_chain),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_suite_lists),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_long_suite_list),
        cmocka_unit_test(test_sni),
        cmocka_unit_test(test_two_kinds),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_staple),
        cmocka_unit_test(test_staple_ends),
        cmocka_unit_test(test_bad_staples),
        cmocka_unit_test(test_references),
    };

    return cmocka_run_group_tests(tests, link_setup, link_teardown);
}

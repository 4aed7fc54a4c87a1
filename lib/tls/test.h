// SPDX-License-Identifier: BSD-2-Clause
/*
 * test.h - what the tests of this folder share: keys and certificates in files.
 */
#ifndef TLS_TEST_H
#define TLS_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls.h"

#define DAY_S           86400
#define TEST_PATH_BYTES 256
#define TEST_WHY_BYTES  512

enum test_key { KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA, KEY_KINDS };

static EVP_PKEY *test_keys[KEY_KINDS];
static char test_dir[] = "/tmp/atlas-tls-test-XXXXXX";

static inline const char *test_path(const char *name)
{
    // They live as long as a test.
    static char paths[256][TEST_PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 256];

    snprintf(path, TEST_PATH_BYTES, "%s/%s", test_dir, name);
    return path;
}

/* --- certificates ----------------------------------------------------------------------------- */

struct cert_spec {
    enum test_key key;
    const char *common_name;
    const char *names; /* as in openssl.cnf: "DNS:a.example,DNS:*.b.example" */
    const char *usage, *extended_usage;
    long from_s, until_s;
    uint32_t padding; /* bytes that only make it longer */
};

static inline void cert_extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline X509 *make_cert(const struct cert_spec *spec)
{
    static long serial = 1000;
    EVP_PKEY *key = test_keys[spec->key];
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), spec->from_s ? spec->from_s : -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(cert), spec->until_s ? spec->until_s : DAY_S);
    if (spec->common_name)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)spec->common_name, -1,
                                   -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    if (spec->names)
        cert_extend(cert, NID_subject_alt_name, spec->names);
    if (spec->usage)
        cert_extend(cert, NID_key_usage, spec->usage);
    if (spec->extended_usage)
        cert_extend(cert, NID_ext_key_usage, spec->extended_usage);
    if (spec->padding) {
        char *comment = malloc(spec->padding + 1);

        memset(comment, 'x', spec->padding);
        comment[spec->padding] = 0;
        cert_extend(cert, NID_netscape_comment, comment);
        free(comment);
    }
    assert_true(X509_sign(cert, key, spec->key == KEY_ED25519 ? NULL : EVP_sha256()) > 0);
    return cert;
}

static inline void write_cert(const char *name, X509 *cert, const char *mode)
{
    FILE *file = fopen(test_path(name), mode);

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
}

static inline void write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(test_path(name), "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0,
                                          NULL, (void *)passphrase),
                     1);
    fclose(file);
}

static inline void write_text(const char *name, const char *text)
{
    FILE *file = fopen(test_path(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* The certificate is the caller's. */
static inline X509 *write_identity(const char *cert_name, const struct cert_spec *spec)
{
    X509 *cert = make_cert(spec);

    write_cert(cert_name, cert, "w");
    return cert;
}

static inline const char *key_path(enum test_key key)
{
    static const char *const names[] = {"p256.key", "p384.key", "ed25519.key", "rsa.key"};

    return test_path(names[key]);
}

static inline int certificates_setup(void **state)
{
    static const char *const plain[] = {"p256.pem", "p384.pem", "ed25519.pem", "rsa.pem"};

    if (!mkdtemp(test_dir))
        return -1;
    test_keys[KEY_P256] = EVP_EC_gen("P-256");
    test_keys[KEY_P384] = EVP_EC_gen("P-384");
    test_keys[KEY_ED25519] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    test_keys[KEY_RSA] = EVP_RSA_gen(2048);
    for (int k = 0; k < KEY_KINDS; k++) {
        struct cert_spec spec = {.key = (enum test_key)k, .names = "DNS:atlas.example"};

        if (!test_keys[k])
            return -1;
        write_key(strrchr(key_path((enum test_key)k), '/') + 1, test_keys[k], NULL);
        X509_free(write_identity(plain[k], &spec));
    }
    return 0;
}

static inline int certificates_teardown(void **state)
{
    char command[TEST_PATH_BYTES + 16];

    for (int k = 0; k < KEY_KINDS; k++)
        EVP_PKEY_free(test_keys[k]);
    snprintf(command, sizeof(command), "rm -r '%s'", test_dir);
    return system(command);
}

/* --- contexts --------------------------------------------------------------------------------- */

static inline struct tls_ctx *open_ctx(const struct tls_policy *policy)
{
    char why[TEST_WHY_BYTES];
    struct tls_ctx *ctx = NULL;
    int rc = tls_ctx_open(&ctx, policy, why, sizeof(why));

    if (rc < 0)
        print_error("%s\n", why);
    assert_int_equal(rc, 0);
    return ctx;
}

/* One of the four certificates that there always are. */
static inline struct tls_identity plain_identity(enum test_key key)
{
    static const char *const certs[] = {"p256.pem", "p384.pem", "ed25519.pem", "rsa.pem"};

    return (struct tls_identity){.cert_path = test_path(certs[key]), .key_path = key_path(key)};
}

static inline struct tls_ctx *open_plain(enum test_key key, struct tls_tickets *tickets)
{
    struct tls_identity identity = plain_identity(key);
    struct tls_policy policy = {.identities = &identity, .identity_count = 1, .tickets = tickets};

    return open_ctx(&policy);
}

#endif

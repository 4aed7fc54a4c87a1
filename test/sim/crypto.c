// SPDX-License-Identifier: BSD-2-Clause
/* OpenSSL 3 would have a provider for a source of chance of one's own; its older interface does. */
#define OPENSSL_API_COMPAT 0x10100000L

#include "crypto.h"

#include "base/rand.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define RSA_BITS   2048
#define FIRST_SEED 0x746c73ull
#define SINCE      "20200101000000Z"
#define UNTIL      "20491231235959Z"

/* --- chance ----------------------------------------------------------------------------------- */

static struct rand chance;

static int chance_bytes(unsigned char *out, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = (unsigned char)rand_u64(&chance);
    return 1;
}

static int chance_status(void)
{
    return 1;
}

static const RAND_METHOD chance_method = {
    .bytes = chance_bytes, .pseudorand = chance_bytes, .status = chance_status};

void crypto_seed(uint64_t seed)
{
    rand_seed(&chance, seed);
}

/* --- certificates ----------------------------------------------------------------------------- */

static bool extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return ok;
}

static bool fill_in(X509 *cert, EVP_PKEY *key, const EVP_MD *digest, long serial)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) == 1 &&
           ASN1_TIME_set_string(X509_getm_notBefore(cert), SINCE) == 1 &&
           ASN1_TIME_set_string(X509_getm_notAfter(cert), UNTIL) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)CRYPTO_HOST, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 &&
           extend(cert, NID_subject_alt_name, "DNS:" CRYPTO_HOST) &&
           X509_set_pubkey(cert, key) == 1 && X509_sign(cert, key, digest) > 0;
}

/* -1, or a file without a name with the PEM of one of the two in it. */
static int write_pem(X509 *cert, EVP_PKEY *key)
{
    int fd = memfd_create("pem", MFD_CLOEXEC);
    BIO *bio = fd < 0 ? NULL : BIO_new_fd(fd, BIO_NOCLOSE);
    bool ok = bio && (cert ? PEM_write_bio_X509(bio, cert)
                           : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) == 1;

    BIO_free(bio);
    if (!ok && fd >= 0)
        close(fd);
    return ok ? fd : -1;
}

static int identity_make(struct crypto_identity *id, EVP_PKEY *key, const EVP_MD *digest,
                         long serial)
{
    id->cert = X509_new();
    if (!key || !id->cert || !fill_in(id->cert, key, digest, serial))
        return -ENOMEM;
    id->files[0] = write_pem(id->cert, NULL);
    id->files[1] = write_pem(NULL, key);
    for (int i = 0; i < 2; i++) {
        if (id->files[i] < 0)
            return -ENOMEM;
        snprintf(id->paths[i], sizeof(id->paths[i]), "/proc/self/fd/%d", id->files[i]);
    }
    id->identity = (struct tls_identity){.cert_path = id->paths[0], .key_path = id->paths[1]};
    return 0;
}

int crypto_open(struct crypto *crypto)
{
    EVP_PKEY *keys[CRYPTO_KEYS];
    int err = 0;

    *crypto = (struct crypto){0};
    for (int i = 0; i < CRYPTO_KEYS; i++)
        crypto->identities[i].files[0] = crypto->identities[i].files[1] = -1;
    crypto_seed(FIRST_SEED);
    if (RAND_set_rand_method(&chance_method) != 1)
        return -ENOTSUP;
    keys[CRYPTO_ED25519] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys[CRYPTO_RSA] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
    for (int i = 0; i < CRYPTO_KEYS; i++) {
        if (!err)
            err = identity_make(&crypto->identities[i], keys[i],
                                i == CRYPTO_RSA ? EVP_sha256() : NULL, i + 1);
        EVP_PKEY_free(keys[i]);
    }
    if (err)
        crypto_close(crypto);
    return err;
}

void crypto_close(struct crypto *crypto)
{
    for (int i = 0; i < CRYPTO_KEYS; i++) {
        struct crypto_identity *id = &crypto->identities[i];

        X509_free(id->cert);
        for (int k = 0; k < 2; k++)
            if (id->files[k] >= 0)
                close(id->files[k]);
    }
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * crypto.h - what OpenSSL needs in a world that follows from its seed: random numbers that are the
 * world's, and certificates.
 *
 * Certificates are made once a process, one for each kind of key whose signatures all have the same
 * length, so that the sizes of what crosses the network are those of the seed. They are files, as
 * an operator's are, though no name in any directory leads to them.
 */
#ifndef SIM_CRYPTO_H
#define SIM_CRYPTO_H

#include "tls/tls.h"
#include "world.h"

#include <openssl/x509.h>

#define CRYPTO_HOST "atlas.example" /* whom the certificates are for */

enum crypto_key {
    CRYPTO_ED25519,
    CRYPTO_RSA,
    CRYPTO_KEYS,
};

struct crypto_identity {
    X509 *cert;
    int files[2]; /* certificate, key */
    char paths[2][32];
    struct tls_identity identity;
};

struct crypto {
    struct crypto_identity identities[CRYPTO_KEYS];
};

must_check int crypto_open(struct crypto *crypto);
void crypto_close(struct crypto *crypto);
/* From here on OpenSSL's random numbers follow from this one. */
void crypto_seed(uint64_t seed);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the files of lib/tls tell each other.
 *
 *     identity.c   a certificate, its key and its staple, from files
 *     names.c      which host a client means
 *     ctx.c        hosts with their certificates, the policy, OpenSSL's callbacks
 *     tickets.c    keys of session tickets
 *     conn.c       a connection: handshake and handover
 *     desk.c       threads for handshakes
 *
 * Nothing here is global, and nothing needs to be: the connection is OpenSSL's "application data"
 * of the SSL, and the host is that of the SSL_CTX, whose places OpenSSL reserves itself.
 */
#ifndef TLS_PRIV_H
#define TLS_PRIV_H

#include "tls.h"

#include <openssl/ssl.h>

/* Where the one line goes that says what the operator should do. */
struct why {
    char *text;
    size_t room;
};
/* Returns -EINVAL. */
int tls_refuse(const struct why *why, const char *fmt, ...) printf_like(2, 3);
/* OpenSSL's own words for what has just failed. */
const char *tls_reason(void);

/* --- identity.c ------------------------------------------------------------------------------- */

#define TLS_NAME_MAX     253 /* RFC 1035 2.3.4, as text without the last dot */
#define TLS_DIGEST_BYTES 32

struct identity {
    X509 *cert;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    uint8_t *staple; /* or NULL */
    size_t staple_bytes;
    ASN1_TIME *staple_until; /* or NULL: the responder promises nothing */
    char **names;            /* lower case, in order, each once */
    uint32_t name_count;
    uint8_t names_digest[TLS_DIGEST_BYTES];
};

/* 0, -EINVAL or -ENOMEM; after an error there is nothing to clear. */
must_check int tls_identity_load(struct identity *out, const struct tls_identity *files,
                                 const struct why *why);
bool tls_identity_signs_slowly(const struct identity *identity);
void tls_identity_clear(struct identity *identity);

/* --- names.c ---------------------------------------------------------------------------------- */

/* The hosts that names lead to: by a name, or by "*." and what follows its first label. */
struct name {
    const char *text;
    uint32_t host;
};
struct names {
    struct name *sorted;
    uint32_t count;
};

/* A name in the form in which names are compared. False: no host has such a name. `out`:
 * TLS_NAME_MAX + 1 bytes. */
must_check bool tls_name_normalize(const uint8_t *name, size_t len, char *out);
/* Sorts them; of equal names the one of the first host stays. */
void tls_names_sort(struct names *names);
/* The host that a client means, or -1 (RFC 6125 6.4: exact, or a wildcard for one label). */
int tls_names_find(const struct names *names, const uint8_t *name, size_t len);

/* --- ctx.c ------------------------------------------------------------------------------------ */

/* Certificates for the same names, of different kinds of keys: the client's signature algorithms
 * choose between them. */
struct host {
    struct tls_ctx *ctx;
    SSL_CTX *ssl;
    uint8_t names_digest[TLS_DIGEST_BYTES];
};

struct tls_ctx {
    int refs; /* atomic */
    struct tls_tickets *tickets;
    BIO_METHOD *wire;
    struct names names;
    uint32_t identity_count;
    uint32_t host_count;
    struct identity identities[TLS_IDENTITIES_MAX];
    struct host hosts[TLS_IDENTITIES_MAX];
};

/* --- tickets.c -------------------------------------------------------------------------------- */

#define TLS_TICKET_NAME_BYTES 16

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb asks for: see there. */
int tls_tickets_seal(struct tls_tickets *tickets, uint8_t *key_name, uint8_t *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
int tls_tickets_unseal(struct tls_tickets *tickets, const uint8_t *key_name, const uint8_t *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
uint32_t tls_tickets_life_s(const struct tls_tickets *tickets);

/* --- conn.c ----------------------------------------------------------------------------------- */

/* The BIO through which OpenSSL reads and writes the caller's memory; NULL: no memory. */
BIO_METHOD *tls_wire_method(void);
void tls_conn_on_secret(const SSL *ssl, const char *line);

#endif

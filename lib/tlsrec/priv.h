// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the files of tlsrec say to each other: the ciphers and the hashes (engine.c), which
 * know nothing of TLS, the keys (keys.c), and what a cipher is told of a record (record.c).
 */
#ifndef TLSREC_PRIV_H
#define TLSREC_PRIV_H

#include "tlsrec/tlsrec.h"

#define HEADER_BYTES  5
#define TLS12_VERSION 0x0303 /* what a record of either version says */
#define NONCE_BYTES   12
#define AAD_MAX       13
#define HASH_MAX      48
#define HMAC_TEXT_MAX 192 /* the longest is PRF's: a hash, 13 bytes of label, two randoms */

/* One message of an AEAD. `text` is at `out`, or apart from it. */
struct aead_message {
    const uint8_t *nonce; /* NONCE_BYTES */
    const uint8_t *aad;
    uint32_t aad_bytes;
    uint32_t text_bytes;
    uint32_t suffix_bytes; /* 0 or 1 */
    uint8_t suffix;        /* a last byte of plaintext that is not in `text` */
    const uint8_t *text;
    uint8_t *out; /* text_bytes + suffix_bytes */
};

uint32_t aead_key_bytes(enum tlsrec_suite suite);
void aead_expand(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *key,
                 uint8_t *expanded);
void aead_seal(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *expanded,
               const struct aead_message *message, uint8_t *tag);
/* The reverse: `text` is ciphertext, apart from `out` or at it; no suffix. False, and `out` wiped:
 * it does not have this tag. */
must_check bool aead_open(struct tlsrec_engine *engine, enum tlsrec_suite suite,
                          const uint8_t *expanded, const struct aead_message *message,
                          const uint8_t *tag);
/* Encrypts what stands `offset` bytes into a message; `text` is at `out` or apart from it. */
void aead_stream(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *expanded,
                 const uint8_t *nonce, uint32_t offset, uint8_t *out, const uint8_t *text,
                 uint32_t bytes);

/* The hash of a cipher suite: SHA-384 with AES-256, SHA-256 with the others. */
uint32_t hash_bytes(enum tlsrec_suite suite);
/* HMAC (RFC 2104) with a key of at most HASH_MAX bytes, over at most HMAC_TEXT_MAX. */
void hash_hmac(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *key,
               uint32_t key_bytes, const uint8_t *text, uint32_t text_bytes, uint8_t *out);

/* HKDF-Expand-Label with an empty context (RFC 8446 7.1), for at most the length of the hash. */
void keys_expand_label(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *secret,
                       const char *label, uint8_t *out, uint32_t bytes);
/* PRF(secret, label, seed) of TLS 1.2 (RFC 5246 5). `seed`: two randoms. */
void keys_prf(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *secret,
              const char *label, const uint8_t *seed, uint8_t *out, uint32_t bytes);
/* A direction's key and IV: RFC 8446 7.3; RFC 5246 6.3, of the server or of the client. */
void keys_derive13(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *secret,
                   uint8_t *key, uint8_t *iv);
void keys_derive12(struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const struct tlsrec_master *master, bool is_server, uint8_t *key, uint8_t *iv);
/* The secret after this one (RFC 8446 7.2). */
void keys_next_secret(struct tlsrec_engine *engine, enum tlsrec_suite suite, uint8_t *secret);
/* The next secret and its keys become the current ones. */
void keys_next_generation(struct tlsrec *tls);

/* RFC 8446 5.3 and RFC 7905 2: IV xor number. RFC 5288 3: salt, explicit nonce. */
void record_nonce(const uint8_t *iv, uint64_t number, bool is_explicit, uint8_t *nonce);
/* Additional data: RFC 8446 5.2: the header as sent. RFC 5246 6.2.3.3: number, type, version,
 * plaintext's length. Both return its length. */
uint32_t record_aad13(const uint8_t *head, uint8_t *aad);
uint32_t record_aad12(uint64_t seq, uint8_t type, uint16_t plain_bytes, uint8_t *aad);

static inline struct tlsrec_generation *generation_of(struct tlsrec *tls, uint32_t number)
{
    return &tls->generations[number & 1];
}

#endif

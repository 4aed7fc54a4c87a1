// SPDX-License-Identifier: BSD-2-Clause
/*
 * keys.c - from the secrets of a handshake to keys, and from one generation of keys to the next.
 */
#include "priv.h"

/* --- derivation --------------------------------------------------------------------------------
 */

void keys_expand_label(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *secret,
                       const char *label, uint8_t *out, uint32_t bytes)
{
    static const char prefix[] = "tls13 ";
    uint32_t n = hash_bytes(suite), at = 0;
    uint8_t info[64], full[HASH_MAX];
    size_t label_bytes = strlen(label);

    assert(bytes <= n && sizeof(prefix) + label_bytes + 4 <= sizeof(info));
    info[at++] = 0;
    info[at++] = (uint8_t)bytes;
    info[at++] = (uint8_t)(sizeof(prefix) - 1 + label_bytes);
    memcpy(info + at, prefix, sizeof(prefix) - 1);
    at += sizeof(prefix) - 1;
    memcpy(info + at, label, label_bytes);
    at += (uint32_t)label_bytes;
    info[at++] = 0; /* the context is empty */
    info[at++] = 1; /* HKDF-Expand's first block (RFC 5869 2.3), which is all there is */
    hash_hmac(engine, suite, secret, n, info, at, full);
    memcpy(out, full, bytes);
    explicit_bzero(full, sizeof(full));
}

void keys_prf(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *secret,
              const char *label, const uint8_t *seed, uint8_t *out, uint32_t bytes)
{
    uint32_t n = hash_bytes(suite);
    uint32_t label_bytes = (uint32_t)strlen(label), seed_bytes = 2 * TLSREC_RANDOM_BYTES;
    uint8_t text[HMAC_TEXT_MAX], full[HASH_MAX]; /* text: A(i), label, seed */

    assert(n + label_bytes + seed_bytes <= sizeof(text));
    memcpy(text + n, label, label_bytes);
    memcpy(text + n + label_bytes, seed, seed_bytes);
    hash_hmac(engine, suite, secret, TLSREC_MASTER_BYTES, text + n, label_bytes + seed_bytes, full);
    for (uint32_t done = 0; done < bytes; done += n) {
        memcpy(text, full, n);
        hash_hmac(engine, suite, secret, TLSREC_MASTER_BYTES, text, n + label_bytes + seed_bytes,
                  full);
        memcpy(out + done, full, min_u32(n, bytes - done));
        hash_hmac(engine, suite, secret, TLSREC_MASTER_BYTES, text, n, full);
    }
    explicit_bzero(text, sizeof(text));
    explicit_bzero(full, sizeof(full));
}

void keys_derive13(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *secret,
                   uint8_t *key, uint8_t *iv)
{
    keys_expand_label(engine, suite, secret, "key", key, aead_key_bytes(suite));
    keys_expand_label(engine, suite, secret, "iv", iv, NONCE_BYTES);
}

/* Client's key, server's key, client's IV, server's IV; AEADs have no MAC keys. */
void keys_derive12(struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const struct tlsrec_master *master, bool is_server, uint8_t *key, uint8_t *iv)
{
    uint32_t key_bytes = aead_key_bytes(suite);
    uint32_t iv_bytes = suite == TLSREC_CHACHA20_POLY1305 ? NONCE_BYTES : 4;
    uint8_t block[2 * (32 + NONCE_BYTES)], seed[2 * TLSREC_RANDOM_BYTES];

    memcpy(seed, master->server_random, TLSREC_RANDOM_BYTES);
    memcpy(seed + TLSREC_RANDOM_BYTES, master->client_random, TLSREC_RANDOM_BYTES);
    keys_prf(engine, suite, master->secret, "key expansion", seed, block,
             2 * (key_bytes + iv_bytes));
    memcpy(key, block + (is_server ? key_bytes : 0), key_bytes);
    memcpy(iv, block + 2 * key_bytes + (is_server ? iv_bytes : 0), iv_bytes);
    explicit_bzero(block, sizeof(block));
}

void keys_next_secret(struct tlsrec_engine *engine, enum tlsrec_suite suite, uint8_t *secret)
{
    uint8_t next[TLSREC_SECRET_MAX];

    keys_expand_label(engine, suite, secret, "traffic upd", next, hash_bytes(suite));
    memcpy(secret, next, hash_bytes(suite));
    explicit_bzero(next, sizeof(next));
}

/* --- generations -------------------------------------------------------------------------------
 */

static void expand(struct tlsrec *tls, uint32_t number)
{
    aead_expand(tls->engine, tls->suite, generation_of(tls, number)->key,
                tls->keys->expanded[number & 1]);
}

static void derive(struct tlsrec *tls)
{
    struct tlsrec_generation *g = generation_of(tls, tls->number);

    keys_derive13(tls->engine, tls->suite, tls->secret, g->key, g->iv);
    g->live = true;
}

static void init(struct tlsrec *tls, struct tlsrec_engine *engine, enum tlsrec_suite suite,
                 const struct tlsrec_start *start)
{
    uint64_t most = suite == TLSREC_CHACHA20_POLY1305 ? TLSREC_CHACHA_RECORDS : TLSREC_GCM_RECORDS;

    *tls = (struct tlsrec){.engine = engine,
                           .suite = suite,
                           .wire = start->wire,
                           .began = start->wire,
                           .reserved = start->seq,
                           .records_max =
                               start->records_max ? min_u64(start->records_max, most) : most};
    tls->generations[0].sealed = start->seq;
    assert(tls->records_max > TLSREC_NOTE_RECORDS); /* or no run would ever fit */
}

void tlsrec_init13(struct tlsrec *tls, struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const uint8_t *secret, const struct tlsrec_start *start)
{
    init(tls, engine, suite, start);
    tls->version = TLSREC_TLS13;
    memcpy(tls->secret, secret, hash_bytes(suite));
    derive(tls);
}

void tlsrec_init12(struct tlsrec *tls, struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const struct tlsrec_master *master, bool is_server,
                   const struct tlsrec_start *start)
{
    struct tlsrec_generation *g = &tls->generations[0];

    init(tls, engine, suite, start);
    tls->version = TLSREC_TLS12;
    keys_derive12(engine, suite, master, is_server, g->key, g->iv);
    g->live = true;
}

void keys_next_generation(struct tlsrec *tls)
{
    struct tlsrec_generation *g = generation_of(tls, tls->number + 1);

    assert(tls->version == TLSREC_TLS13 && !g->live);
    keys_next_secret(tls->engine, tls->suite, tls->secret);
    tls->number++;
    tls->reserved = 0;
    tls->began = tls->wire;
    g->sealed = 0;
    derive(tls);
    if (tls->keys)
        expand(tls, tls->number);
}

void tlsrec_attach(struct tlsrec *tls, struct tlsrec_keys *keys)
{
    assert(!tls->keys);
    tls->keys = keys;
    for (uint32_t i = 0; i < array_len(tls->generations); i++)
        if (tls->generations[i].live)
            expand(tls, i);
}

struct tlsrec_keys *tlsrec_detach(struct tlsrec *tls)
{
    struct tlsrec_keys *keys = tls->keys;

    if (keys)
        explicit_bzero(keys, sizeof(*keys));
    tls->keys = NULL;
    return keys;
}

void tlsrec_acked(struct tlsrec *tls, uint64_t wire)
{
    struct tlsrec_generation *last = generation_of(tls, tls->number - 1);

    if (likely(!last->live) || wire < tls->began)
        return;
    explicit_bzero(last, sizeof(*last));
    if (tls->keys)
        explicit_bzero(tls->keys->expanded[(tls->number - 1) & 1], TLSREC_EXPANDED_BYTES);
}

void tlsrec_close(struct tlsrec *tls)
{
    assert(!tls->keys);
    explicit_bzero(tls, sizeof(*tls));
}

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

/* --- generations -------------------------------------------------------------------------------
 */

static void expand(struct tlsrec *tls, uint32_t number)
{
    aead_expand(tls->engine, tls->suite, generation_of(tls, number)->key,
                tls->keys->expanded[number & 1]);
}

/* RFC 8446 7.3 */
static void derive13(struct tlsrec *tls)
{
    struct tlsrec_generation *g = generation_of(tls, tls->number);

    keys_expand_label(tls->engine, tls->suite, tls->secret, "key", g->key,
                      aead_key_bytes(tls->suite));
    keys_expand_label(tls->engine, tls->suite, tls->secret, "iv", g->iv, NONCE_BYTES);
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
    derive13(tls);
}

/* RFC 5246 6.3: client's key, server's key, client's IV, server's IV; AEADs have no MAC keys. */
void tlsrec_init12(struct tlsrec *tls, struct tlsrec_engine *engine, enum tlsrec_suite suite,
                   const struct tlsrec_master *master, bool is_server,
                   const struct tlsrec_start *start)
{
    uint32_t key_bytes = aead_key_bytes(suite);
    uint32_t iv_bytes = suite == TLSREC_CHACHA20_POLY1305 ? NONCE_BYTES : 4;
    uint8_t block[2 * (32 + NONCE_BYTES)], seed[2 * TLSREC_RANDOM_BYTES];
    struct tlsrec_generation *g = &tls->generations[0];

    init(tls, engine, suite, start);
    tls->version = TLSREC_TLS12;
    memcpy(seed, master->server_random, TLSREC_RANDOM_BYTES);
    memcpy(seed + TLSREC_RANDOM_BYTES, master->client_random, TLSREC_RANDOM_BYTES);
    keys_prf(engine, suite, master->secret, "key expansion", seed, block,
             2 * (key_bytes + iv_bytes));
    memcpy(g->key, block + (is_server ? key_bytes : 0), key_bytes);
    memcpy(g->iv, block + 2 * key_bytes + (is_server ? iv_bytes : 0), iv_bytes);
    g->live = true;
    explicit_bzero(block, sizeof(block));
}

/* RFC 8446 7.2 */
void keys_next_generation(struct tlsrec *tls)
{
    struct tlsrec_generation *g = generation_of(tls, tls->number + 1);
    uint8_t next[TLSREC_SECRET_MAX] = {0};

    assert(tls->version == TLSREC_TLS13 && !g->live);
    keys_expand_label(tls->engine, tls->suite, tls->secret, "traffic upd", next,
                      hash_bytes(tls->suite));
    memcpy(tls->secret, next, sizeof(next));
    explicit_bzero(next, sizeof(next));
    tls->number++;
    tls->reserved = 0;
    tls->began = tls->wire;
    g->sealed = 0;
    derive13(tls);
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

// SPDX-License-Identifier: BSD-2-Clause
/*
 * cross_test.c - tlsrec against OpenSSL, on random cases.
 *
 *     tlsrec_cross [--cases N] [--seed N]
 *
 * A case is a cipher, a version, a secret, a generation of keys, a record number, a length from 0
 * to 16384, a place for the text (that of the record, or another) and a range. OpenSSL derives keys
 * and encrypts on its own; header, nonce and additional data are put together here a second time,
 * from the RFCs. The whole record and the range must be the same byte for byte. The first
 * difference is told with what it takes to see it again, and ends the test.
 */
#include "base/bytes.h"
#include "base/rand.h"
#include "priv.h"

#include <getopt.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <stdlib.h>

#define CASES_DEFAULT     4000
#define ARENA_BYTES       (4u << 20)
#define POOL_BYTES        (1u << 16) /* random text, from which each case takes a part */
#define RECORD_BYTES      (TLSREC_HEAD_MAX + TLSREC_PLAIN_MAX + TLSREC_TAIL_MAX)
#define GENERATIONS       3
#define RANGES_PER_RECORD 2

struct peer { /* OpenSSL */
    EVP_KDF_CTX *tls13, *prf;
    EVP_CIPHER *ciphers[3];
    EVP_CIPHER_CTX *ctx;
};

struct test_case {
    enum tlsrec_version version;
    enum tlsrec_suite suite;
    struct tlsrec_master master;
    bool is_server;
    uint32_t generation;
    struct tlsrec_record record;
    bool in_place;
    uint32_t text_at; /* in the pool */
};

struct cross {
    struct peer peer;
    struct tlsrec_engine *engine;
    struct tlsrec_keys keys;
    struct rand rand;
    uint8_t pool[POOL_BYTES];
    uint8_t ours[RECORD_BYTES], theirs[RECORD_BYTES], range[RECORD_BYTES];
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "tlsrec_cross: OpenSSL: %s\n", what);
    exit(1);
}

/* --- OpenSSL's side ----------------------------------------------------------------------------
 */

static EVP_KDF_CTX *kdf_open(const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;

    EVP_KDF_free(kdf);
    must(ctx != NULL, name);
    return ctx;
}

static void peer_open(struct peer *p)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};

    p->tls13 = kdf_open("TLS13-KDF");
    p->prf = kdf_open("TLS1-PRF");
    p->ctx = EVP_CIPHER_CTX_new();
    for (int i = 0; i < 3; i++) {
        p->ciphers[i] = EVP_CIPHER_fetch(NULL, names[i], NULL);
        must(p->ciphers[i] != NULL, names[i]);
    }
}

static void peer_close(struct peer *p)
{
    EVP_KDF_CTX_free(p->tls13);
    EVP_KDF_CTX_free(p->prf);
    EVP_CIPHER_CTX_free(p->ctx);
    for (int i = 0; i < 3; i++)
        EVP_CIPHER_free(p->ciphers[i]);
}

static char *digest_of(enum tlsrec_suite suite)
{
    return suite == TLSREC_AES_256_GCM ? "SHA384" : "SHA256";
}

static void peer_expand(struct peer *p, enum tlsrec_suite suite, uint8_t *secret, char *label,
                        uint8_t *out, size_t bytes)
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest_of(suite), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret,
                                          suite == TLSREC_AES_256_GCM ? 48 : 32),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label, strlen(label)),
        OSSL_PARAM_construct_end()};

    EVP_KDF_CTX_reset(p->tls13);
    must(EVP_KDF_derive(p->tls13, out, bytes, params) == 1, "TLS13-KDF");
}

static void peer_keys13(struct peer *p, const struct test_case *c, uint8_t *key, uint8_t *iv)
{
    uint8_t secret[48], next[48];

    memcpy(secret, c->master.secret, sizeof(secret));
    for (uint32_t i = 0; i < c->generation; i++) {
        peer_expand(p, c->suite, secret, "traffic upd", next,
                    c->suite == TLSREC_AES_256_GCM ? 48 : 32);
        memcpy(secret, next, sizeof(secret));
    }
    peer_expand(p, c->suite, secret, "key", key, c->suite == TLSREC_AES_128_GCM ? 16 : 32);
    peer_expand(p, c->suite, secret, "iv", iv, 12);
}

static void peer_keys12(struct peer *p, const struct test_case *c, uint8_t *key, uint8_t *iv)
{
    size_t key_bytes = c->suite == TLSREC_AES_128_GCM ? 16 : 32;
    size_t iv_bytes = c->suite == TLSREC_CHACHA20_POLY1305 ? 12 : 4;
    uint8_t seed[13 + 64], block[88];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest_of(c->suite), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)c->master.secret, 48),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
        OSSL_PARAM_construct_end()};

    memcpy(seed, "key expansion", 13);
    memcpy(seed + 13, c->master.server_random, 32);
    memcpy(seed + 45, c->master.client_random, 32);
    EVP_KDF_CTX_reset(p->prf);
    must(EVP_KDF_derive(p->prf, block, 2 * (key_bytes + iv_bytes), params) == 1, "TLS1-PRF");
    memcpy(key, block + (c->is_server ? key_bytes : 0), key_bytes);
    memcpy(iv, block + 2 * key_bytes + (c->is_server ? iv_bytes : 0), iv_bytes);
}

static void peer_encrypt(struct peer *p, const struct test_case *c, const uint8_t *key,
                         const uint8_t *nonce, const uint8_t *aad, int aad_bytes, uint8_t *text,
                         int bytes)
{
    int n;

    must(EVP_EncryptInit_ex2(p->ctx, p->ciphers[c->suite], key, nonce, NULL) == 1, "key");
    must(EVP_EncryptUpdate(p->ctx, NULL, &n, aad, aad_bytes) == 1, "additional data");
    must(EVP_EncryptUpdate(p->ctx, text, &n, text, bytes) == 1 && n == bytes, "text");
    must(EVP_EncryptFinal_ex(p->ctx, text + bytes, &n) == 1 && n == 0, "end");
    must(EVP_CIPHER_CTX_ctrl(p->ctx, EVP_CTRL_AEAD_GET_TAG, 16, text + bytes) == 1, "tag");
}

static void xor_number(uint8_t *nonce, uint64_t seq)
{
    for (int i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(seq >> (8 * i));
}

/* Returns the length of the record. */
static uint32_t peer_seal13(struct peer *p, const struct test_case *c, const uint8_t *text,
                            uint8_t *out)
{
    uint32_t bytes = c->record.plain_bytes + 1u;
    uint8_t key[32], nonce[12];

    peer_keys13(p, c, key, nonce);
    xor_number(nonce, c->record.seq);
    memcpy(out, "\x17\x03\x03", 3);
    put_be16(out + 3, (uint16_t)(bytes + 16));
    memcpy(out + 5, text, c->record.plain_bytes);
    out[5 + c->record.plain_bytes] = c->record.type;
    peer_encrypt(p, c, key, nonce, out, 5, out + 5, (int)bytes);
    return 5 + bytes + 16;
}

static uint32_t peer_seal12(struct peer *p, const struct test_case *c, const uint8_t *text,
                            uint8_t *out)
{
    uint32_t head = c->suite == TLSREC_CHACHA20_POLY1305 ? 5 : 13;
    uint32_t bytes = c->record.plain_bytes;
    uint8_t key[32], nonce[12], aad[13];

    peer_keys12(p, c, key, nonce);
    put_be64(aad, c->record.seq);
    aad[8] = out[0] = c->record.type;
    aad[9] = aad[10] = out[1] = out[2] = 3;
    put_be16(aad + 11, (uint16_t)bytes);
    put_be16(out + 3, (uint16_t)(head - 5 + bytes + 16));
    if (head == 5) {
        xor_number(nonce, c->record.seq);
    } else {
        memcpy(out + 5, aad, 8);
        memcpy(nonce + 4, aad, 8);
    }
    memcpy(out + head, text, bytes);
    peer_encrypt(p, c, key, nonce, aad, 13, out + head, (int)bytes);
    return head + bytes + 16;
}

/* --- cases -------------------------------------------------------------------------------------
 */

static void draw(struct cross *x, struct test_case *c)
{
    static const uint8_t types[] = {TLSREC_DATA, TLSREC_DATA, TLSREC_HANDSHAKE, TLSREC_ALERT};
    struct rand *r = &x->rand;
    bool is_13 = rand_below(r, 2);

    *c = (struct test_case){.version = is_13 ? TLSREC_TLS13 : TLSREC_TLS12,
                            .suite = (enum tlsrec_suite)rand_below(r, 3),
                            .is_server = rand_below(r, 2),
                            .generation = is_13 ? (uint32_t)rand_below(r, GENERATIONS) : 0,
                            .in_place = rand_below(r, 2)};
    for (size_t i = 0; i < sizeof(c->master) / 8; i++)
        put_be64((uint8_t *)&c->master + 8 * i, rand_u64(r));
    c->record = (struct tlsrec_record){
        .seq = c->generation > 0 ? 0 : rand_u64(r) >> (1 + rand_below(r, 63)),
        .generation = c->generation,
        .plain_bytes = (uint16_t)rand_below(r, (TLSREC_PLAIN_MAX >> rand_below(r, 9)) + 1),
        .head = is_13 || c->suite == TLSREC_CHACHA20_POLY1305 ? 5 : 13,
        .tail = is_13 ? 17 : 16,
        .type = types[rand_below(r, array_len(types))]};
    c->text_at = (uint32_t)rand_below(r, POOL_BYTES - TLSREC_PLAIN_MAX);
}

static void begin(struct cross *x, const struct test_case *c, struct tlsrec *tls)
{
    struct tlsrec_start start = {.seq = c->record.seq};
    struct tlsrec_note note;

    if (c->version == TLSREC_TLS13)
        tlsrec_init13(tls, x->engine, c->suite, c->master.secret, &start);
    else
        tlsrec_init12(tls, x->engine, c->suite, &c->master, c->is_server, &start);
    for (uint32_t i = 0; i < c->generation; i++) {
        if (tlsrec_key_update(tls, false, &note) < 0)
            abort();
        tlsrec_acked(tls, note.run.wire + tlsrec_run_wire_bytes(&note.run));
    }
    tlsrec_attach(tls, &x->keys);
}

/* The rest of the record is left out: only the range may be written, and only it may be read. */
static bool check_range(struct cross *x, const struct test_case *c, const struct tlsrec *tls,
                        const struct tlsrec_tag *tag)
{
    uint32_t total = tlsrec_record_bytes(&c->record);
    struct tlsrec_piece piece = {.record = c->record};
    const uint8_t *text;
    uint64_t plain;
    uint32_t bytes;

    piece.from = (uint32_t)rand_below(&x->rand, total);
    piece.to = piece.from + 1 + (uint32_t)rand_below(&x->rand, total - piece.from);
    memset(x->range, 0, total);
    bytes = tlsrec_piece_text(&piece, &plain);
    text = x->pool + c->text_at + plain;
    if (c->in_place)
        text = memcpy(x->range + max_u32(piece.from, c->record.head), text, bytes);
    tlsrec_seal_range(tls, &piece, x->range + piece.from, text, tag);
    return memcmp(x->range + piece.from, x->theirs + piece.from, piece.to - piece.from) == 0 &&
           (piece.from == 0 || x->range[piece.from - 1] == 0) &&
           (piece.to == total || x->range[piece.to] == 0);
}

static bool check(struct cross *x, const struct test_case *c)
{
    const uint8_t *text = x->pool + c->text_at;
    struct tlsrec_tag tag;
    struct tlsrec tls;
    bool same = true;
    uint32_t bytes = c->version == TLSREC_TLS13 ? peer_seal13(&x->peer, c, text, x->theirs)
                                                : peer_seal12(&x->peer, c, text, x->theirs);

    begin(x, c, &tls);
    if (c->in_place)
        text = memcpy(x->ours + c->record.head, text, c->record.plain_bytes);
    same = tlsrec_seal(&tls, &c->record, x->ours, text, &tag) == TLSREC_SEALED &&
           bytes == tlsrec_record_bytes(&c->record) && memcmp(x->ours, x->theirs, bytes) == 0;
    for (int i = 0; same && i < RANGES_PER_RECORD; i++)
        same = check_range(x, c, &tls, &tag);
    tlsrec_detach(&tls);
    tlsrec_close(&tls);
    return same;
}

static bool run(struct cross *x, uint64_t cases, uint64_t seed)
{
    rand_seed(&x->rand, seed);
    for (size_t i = 0; i < POOL_BYTES; i += 8)
        put_be64(x->pool + i, rand_u64(&x->rand));
    for (uint64_t i = 0; i < cases; i++) {
        struct test_case c;

        draw(x, &c);
        if (check(x, &c))
            continue;
        printf("case %llu of --seed %llu differs: TLS 1.%d, cipher %d, generation %u, record %llu, "
               "%u bytes%s\n",
               (unsigned long long)i, (unsigned long long)seed, c.version == TLSREC_TLS13 ? 3 : 2,
               (int)c.suite, c.generation, (unsigned long long)c.record.seq, c.record.plain_bytes,
               c.in_place ? ", in place" : "");
        return false;
    }
    printf("%llu cases\n", (unsigned long long)cases);
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"cases", required_argument, NULL, 'c'}, {"seed", required_argument, NULL, 's'}, {0}};
    uint64_t cases = CASES_DEFAULT, seed = 1;
    static struct cross x;
    struct mem_arena *arena;
    bool same;
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'c')
            cases = strtoull(optarg, NULL, 10);
        else if (id == 's')
            seed = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    if (mem_arena_open(&arena, ARENA_BYTES, 0) < 0 || tlsrec_engine_open(&x.engine, arena) < 0) {
        fprintf(stderr, "tlsrec_cross: no engine\n");
        return 1;
    }
    peer_open(&x.peer);
    same = run(&x, cases, seed);
    peer_close(&x.peer);
    tlsrec_engine_close(x.engine);
    mem_arena_close(arena);
    return !same;
}

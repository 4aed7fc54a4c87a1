// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine.c - AES-GCM, ChaCha20-Poly1305 and HMAC on top of intel-ipsec-mb, and nothing of TLS.
 *
 * The library's direct functions are used: a record is one call, so that nothing is gained by its
 * job queues, which hold back jobs until they have several. Its state lies in the arena.
 */
#include "priv.h"

#include <errno.h>
#include <intel-ipsec-mb.h>

#define STEP_BYTES   2048 /* whole blocks of the cipher */
#define AHEAD_BYTES  4096
#define GCM_BLOCK    16
#define CHACHA_BLOCK 64
#define IPAD         0x36
#define OPAD         0x5c
#define HMAC_BLOCK   128 /* SHA-384's; SHA-256 has 64 */

struct tlsrec_engine {
    IMB_MGR *mgr;
};

static_assert(sizeof(struct gcm_key_data) <= TLSREC_EXPANDED_BYTES, "room for expanded keys");

int tlsrec_engine_open(struct tlsrec_engine **out, struct mem_arena *arena)
{
    struct tlsrec_engine *engine = mem_arena_alloc(arena, sizeof(*engine), CACHE_LINE);
    void *state = mem_arena_alloc(arena, imb_get_mb_mgr_size(), CACHE_LINE);
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

    if (!engine || !state)
        return -ENOMEM;
    engine->mgr = imb_set_pointers_mb_mgr(state, 0, 1);
    if (!engine->mgr || (engine->mgr->features & needed) != needed)
        return -ENOTSUP;
    init_mb_mgr_auto(engine->mgr, NULL);
    if (imb_get_errno(engine->mgr) != 0 || !(engine->mgr->features & IMB_FEATURE_SELF_TEST_PASS))
        return -ENOTSUP;
    *out = engine;
    return 0;
}

/* The arena keeps the memory; what was computed with is gone. */
void tlsrec_engine_close(struct tlsrec_engine *engine)
{
    explicit_bzero(engine->mgr, imb_get_mb_mgr_size());
    engine->mgr = NULL;
}

/* --- AEAD --------------------------------------------------------------------------------------
 */

static const struct gcm_key_data *gcm_keys(const uint8_t *expanded)
{
    return (const struct gcm_key_data *)(const void *)expanded;
}

uint32_t aead_key_bytes(enum tlsrec_suite suite)
{
    return suite == TLSREC_AES_128_GCM ? 16 : 32;
}

void aead_expand(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *key,
                 uint8_t *expanded)
{
    struct gcm_key_data *gcm = (struct gcm_key_data *)(void *)expanded;

    if (suite == TLSREC_AES_128_GCM)
        IMB_AES128_GCM_PRE(engine->mgr, key, gcm);
    else if (suite == TLSREC_AES_256_GCM)
        IMB_AES256_GCM_PRE(engine->mgr, key, gcm);
    else
        memcpy(expanded, key, 32);
}

/* Text and suffix lie side by side where the ciphertext will be: one call. */
static void gcm_seal_at_once(IMB_MGR *mgr, enum tlsrec_suite suite, const uint8_t *expanded,
                             const struct aead_message *m, uint8_t *tag)
{
    const struct gcm_key_data *key = gcm_keys(expanded);
    uint64_t bytes = (uint64_t)m->text_bytes + m->suffix_bytes;
    struct gcm_context_data ctx;

    if (suite == TLSREC_AES_128_GCM)
        IMB_AES128_GCM_ENC(mgr, key, &ctx, m->out, m->out, bytes, m->nonce, m->aad, m->aad_bytes,
                           tag, TLSREC_TAG_BYTES);
    else
        IMB_AES256_GCM_ENC(mgr, key, &ctx, m->out, m->out, bytes, m->nonce, m->aad, m->aad_bytes,
                           tag, TLSREC_TAG_BYTES);
    explicit_bzero(&ctx, sizeof(ctx));
}

/*
 * A text that lies elsewhere has come from the disk or from memory just now, and is in no cache.
 * The cipher asks for it a few lines at a time and waits for each: it is 1.3 times as fast when
 * they are asked for AHEAD_BYTES before. What is ahead of a record's end is the next record's.
 */
static void gcm_update_cold(aes_gcm_enc_dec_update_t update, const struct gcm_key_data *key,
                            struct gcm_context_data *ctx, uint8_t *out, const uint8_t *text,
                            uint32_t bytes)
{
    for (uint32_t done = 0; done < bytes; done += STEP_BYTES) {
        uint32_t n = min_u32(bytes - done, STEP_BYTES);

        for (uint32_t i = 0; i < n; i += CACHE_LINE)
            __builtin_prefetch(text + done + AHEAD_BYTES + i, 0, 2);
        update(key, ctx, out + done, text + done, n);
    }
}

static void gcm_seal_apart(IMB_MGR *mgr, enum tlsrec_suite suite, const uint8_t *expanded,
                           const struct aead_message *m, uint8_t *tag)
{
    const struct gcm_key_data *key = gcm_keys(expanded);
    bool is_128 = suite == TLSREC_AES_128_GCM;
    aes_gcm_enc_dec_update_t update = is_128 ? mgr->gcm128_enc_update : mgr->gcm256_enc_update;
    struct gcm_context_data ctx;

    (is_128 ? mgr->gcm128_init : mgr->gcm256_init)(key, &ctx, m->nonce, m->aad, m->aad_bytes);
    if (m->text_bytes > 0)
        gcm_update_cold(update, key, &ctx, m->out, m->text, m->text_bytes);
    if (m->suffix_bytes > 0)
        update(key, &ctx, m->out + m->text_bytes, &m->suffix, m->suffix_bytes);
    (is_128 ? mgr->gcm128_enc_finalize : mgr->gcm256_enc_finalize)(key, &ctx, tag,
                                                                   TLSREC_TAG_BYTES);
    explicit_bzero(&ctx, sizeof(ctx));
}

static void chacha_seal(IMB_MGR *mgr, const uint8_t *key, const struct aead_message *m,
                        uint8_t *tag)
{
    struct chacha20_poly1305_context_data ctx;

    IMB_CHACHA20_POLY1305_INIT(mgr, key, &ctx, m->nonce, m->aad, m->aad_bytes);
    if (m->text_bytes > 0)
        IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, key, &ctx, m->out, m->text, m->text_bytes);
    if (m->suffix_bytes > 0)
        IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, key, &ctx, m->out + m->text_bytes, &m->suffix,
                                         m->suffix_bytes);
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &ctx, tag, TLSREC_TAG_BYTES);
    explicit_bzero(&ctx, sizeof(ctx));
}

void aead_seal(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *expanded,
               const struct aead_message *m, uint8_t *tag)
{
    if (m->text == m->out && m->suffix_bytes > 0)
        m->out[m->text_bytes] = m->suffix;
    if (suite == TLSREC_CHACHA20_POLY1305)
        chacha_seal(engine->mgr, expanded, m, tag);
    else if (m->text == m->out)
        gcm_seal_at_once(engine->mgr, suite, expanded, m, tag);
    else
        gcm_seal_apart(engine->mgr, suite, expanded, m, tag);
}

static void gcm_open(IMB_MGR *mgr, enum tlsrec_suite suite, const uint8_t *expanded,
                     const struct aead_message *m, uint8_t *tag)
{
    const struct gcm_key_data *key = gcm_keys(expanded);
    struct gcm_context_data ctx;

    if (suite == TLSREC_AES_128_GCM)
        IMB_AES128_GCM_DEC(mgr, key, &ctx, m->out, m->text, m->text_bytes, m->nonce, m->aad,
                           m->aad_bytes, tag, TLSREC_TAG_BYTES);
    else
        IMB_AES256_GCM_DEC(mgr, key, &ctx, m->out, m->text, m->text_bytes, m->nonce, m->aad,
                           m->aad_bytes, tag, TLSREC_TAG_BYTES);
    explicit_bzero(&ctx, sizeof(ctx));
}

static void chacha_open(IMB_MGR *mgr, const uint8_t *key, const struct aead_message *m,
                        uint8_t *tag)
{
    struct chacha20_poly1305_context_data ctx;

    IMB_CHACHA20_POLY1305_INIT(mgr, key, &ctx, m->nonce, m->aad, m->aad_bytes);
    if (m->text_bytes > 0)
        IMB_CHACHA20_POLY1305_DEC_UPDATE(mgr, key, &ctx, m->out, m->text, m->text_bytes);
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(mgr, &ctx, tag, TLSREC_TAG_BYTES);
    explicit_bzero(&ctx, sizeof(ctx));
}

/* In a time that does not depend on where they differ. */
static bool tags_equal(const uint8_t *a, const uint8_t *b)
{
    unsigned different = 0;

    for (uint32_t i = 0; i < TLSREC_TAG_BYTES; i++)
        different |= a[i] ^ b[i];
    return different == 0;
}

bool aead_open(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *expanded,
               const struct aead_message *m, const uint8_t *tag)
{
    uint8_t expected[TLSREC_TAG_BYTES];

    assert(m->suffix_bytes == 0);
    if (suite == TLSREC_CHACHA20_POLY1305)
        chacha_open(engine->mgr, expanded, m, expected);
    else
        gcm_open(engine->mgr, suite, expanded, m, expected);
    if (likely(tags_equal(expected, tag)))
        return true;
    explicit_bzero(m->out, m->text_bytes);
    return false;
}

/* --- the ciphers as counters -------------------------------------------------------------------
 */

/* GCM (NIST SP 800-38D 7.1) encrypts by counter mode, the first block of text having number 2. */
static void gcm_blocks(IMB_MGR *mgr, enum tlsrec_suite suite, const uint8_t *expanded,
                       const uint8_t *nonce, uint32_t block, uint8_t *out, const uint8_t *text,
                       uint32_t bytes)
{
    IMB_KEY_SIZE_BYTES key_bytes =
        suite == TLSREC_AES_128_GCM ? IMB_KEY_128_BYTES : IMB_KEY_256_BYTES;
    uint8_t counter[GCM_BLOCK];
    IMB_JOB job = {.src = text,
                   .dst = out,
                   .enc_keys = gcm_keys(expanded)->expanded_keys,
                   .key_len_in_bytes = key_bytes,
                   .iv = counter,
                   .iv_len_in_bytes = sizeof(counter),
                   .msg_len_to_cipher_in_bytes = bytes};
    uint32_t done;

    memcpy(counter, nonce, NONCE_BYTES);
    counter[12] = counter[13] = 0;
    counter[14] = (uint8_t)((block + 2) >> 8);
    counter[15] = (uint8_t)(block + 2);
    done = IMB_SUBMIT_CIPHER_BURST(mgr, &job, 1, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT, key_bytes);
    assert(done == 1); /* synchronous; it refuses only arguments that are wrong */
}

/*
 * ChaCha20 (RFC 8439 2.8), the first block of text having number 1: as many blocks are said to have
 * been used as come before. The library's job for the bare cipher always begins with the first, so
 * an authenticator is computed here that nobody looks at.
 */
static void chacha_blocks(IMB_MGR *mgr, const uint8_t *key, const uint8_t *nonce, uint32_t block,
                          uint8_t *out, const uint8_t *text, uint32_t bytes)
{
    struct chacha20_poly1305_context_data ctx;

    IMB_CHACHA20_POLY1305_INIT(mgr, key, &ctx, nonce, nonce, 0);
    ctx.last_block_count = block;
    IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, key, &ctx, out, text, bytes);
    explicit_bzero(&ctx, sizeof(ctx));
}

static void blocks(IMB_MGR *mgr, enum tlsrec_suite suite, const uint8_t *expanded,
                   const uint8_t *nonce, uint32_t block, uint8_t *out, const uint8_t *text,
                   uint32_t bytes)
{
    if (suite == TLSREC_CHACHA20_POLY1305)
        chacha_blocks(mgr, expanded, nonce, block, out, text, bytes);
    else
        gcm_blocks(mgr, suite, expanded, nonce, block, out, text, bytes);
}

void aead_stream(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *expanded,
                 const uint8_t *nonce, uint32_t offset, uint8_t *out, const uint8_t *text,
                 uint32_t bytes)
{
    uint32_t unit = suite == TLSREC_CHACHA20_POLY1305 ? CHACHA_BLOCK : GCM_BLOCK;
    uint32_t skip = offset % unit, block = offset / unit;

    if (skip > 0) { /* the rest of a block whose beginning is not wanted */
        uint8_t whole[CHACHA_BLOCK] = {0};
        uint32_t n = min_u32(unit - skip, bytes);

        memcpy(whole + skip, text, n);
        blocks(engine->mgr, suite, expanded, nonce, block, whole, whole, unit);
        memcpy(out, whole + skip, n);
        explicit_bzero(whole, sizeof(whole));
        out += n;
        text += n;
        bytes -= n;
        block++;
    }
    if (bytes > 0)
        blocks(engine->mgr, suite, expanded, nonce, block, out, text, bytes);
}

/* --- hashes ------------------------------------------------------------------------------------
 */

uint32_t hash_bytes(enum tlsrec_suite suite)
{
    return suite == TLSREC_AES_256_GCM ? 48 : 32;
}

void hash_hmac(struct tlsrec_engine *engine, enum tlsrec_suite suite, const uint8_t *key,
               uint32_t key_bytes, const uint8_t *text, uint32_t text_bytes, uint8_t *out)
{
    bool is_384 = hash_bytes(suite) == 48;
    uint32_t block = is_384 ? HMAC_BLOCK : HMAC_BLOCK / 2, n = hash_bytes(suite);
    hash_fn_t hash = is_384 ? engine->mgr->sha384 : engine->mgr->sha256;
    uint8_t inner[HMAC_BLOCK + HMAC_TEXT_MAX] = {0}, outer[HMAC_BLOCK + HASH_MAX] = {0};

    assert(key_bytes <= HASH_MAX && text_bytes <= HMAC_TEXT_MAX);
    memcpy(inner, key, key_bytes);
    memcpy(outer, key, key_bytes);
    for (uint32_t i = 0; i < block; i++) {
        inner[i] ^= IPAD;
        outer[i] ^= OPAD;
    }
    memcpy(inner + block, text, text_bytes);
    hash(inner, block + text_bytes, outer + block);
    hash(outer, block + n, out);
    explicit_bzero(inner, sizeof(inner));
    explicit_bzero(outer, sizeof(outer));
}

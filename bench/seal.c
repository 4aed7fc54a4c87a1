// SPDX-License-Identifier: BSD-2-Clause
/*
 * seal.c - how many bytes a second are sealed into records of 16 KiB, in place, on one core.
 *
 *     seal [--seconds S] [--most RATIO]
 *
 * For each cipher: `library`, what intel-ipsec-mb takes for the bare AEAD; `tlsrec`, the same as
 * TLS 1.3 records with header, nonce and tag; `openssl`, the bare AEAD by EVP; `apart`, records
 * whose text comes from elsewhere; `segment`, 1448 bytes out of the middle of a record that was
 * sealed before, as a retransmission needs them; `expand`, keys a second: what a connection costs
 * that wakes up.
 *
 * They take turns, each a few hundred microseconds long, so that what disturbs one disturbs all;
 * counted is CPU time, and told the median of the turns. The buffers lie in the second-level cache,
 * as chunks of a LIFO pool do. Prints JSON. Fails if tlsrec and OpenSSL do not seal the same record
 * the same, or if the median of tlsrec's time over that of the library is more than RATIO (for
 * AES).
 */
#include "base/bytes.h"
#include "tlsrec/tlsrec.h"

#include <getopt.h>
#include <intel-ipsec-mb.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ARENA_BYTES   (8u << 20)
#define RECORD_BYTES  TLSREC_PLAIN_MAX
#define CHUNKS        16
#define TURN_RECORDS  128
#define TURNS_MAX     65536
#define SEGMENT_BYTES 1448
#define SEGMENT_AT    7001 /* not at a cipher block */
#define WARM_TURNS    3
#define HEADER_BYTES  5

struct bench {
    struct mem_arena *arena;
    struct mem_chunks chunks;
    uint8_t *data[CHUNKS];
    struct tlsrec_engine *engine;
    struct tlsrec_keys keys;
    IMB_MGR *mgr;
    EVP_CIPHER_CTX *evp;
    _Alignas(CACHE_LINE) struct gcm_key_data gcm;
    enum tlsrec_suite suite;
    struct tlsrec tls;
    struct tlsrec_run run;
    struct tlsrec_tag tag;
    uint8_t secret[TLSREC_SECRET_MAX], key[32], nonce[12], header[HEADER_BYTES];
};

static uint64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "seal: %s\n", what);
    exit(1);
}

/* --- who takes turns ---------------------------------------------------------------------------
 */

static void library_gcm(struct bench *b, uint8_t *data)
{
    struct gcm_context_data ctx;
    uint8_t *tag = data + RECORD_BYTES + 1;

    if (b->suite == TLSREC_AES_128_GCM)
        IMB_AES128_GCM_ENC(b->mgr, &b->gcm, &ctx, data, data, RECORD_BYTES + 1, b->nonce, b->header,
                           HEADER_BYTES, tag, TLSREC_TAG_BYTES);
    else
        IMB_AES256_GCM_ENC(b->mgr, &b->gcm, &ctx, data, data, RECORD_BYTES + 1, b->nonce, b->header,
                           HEADER_BYTES, tag, TLSREC_TAG_BYTES);
}

static void library_chacha(struct bench *b, uint8_t *data)
{
    struct chacha20_poly1305_context_data ctx;

    IMB_CHACHA20_POLY1305_INIT(b->mgr, b->key, &ctx, b->nonce, b->header, HEADER_BYTES);
    IMB_CHACHA20_POLY1305_ENC_UPDATE(b->mgr, b->key, &ctx, data, data, RECORD_BYTES + 1);
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(b->mgr, &ctx, data + RECORD_BYTES + 1, TLSREC_TAG_BYTES);
}

static void library_one(struct bench *b, uint64_t n)
{
    uint8_t *data = b->data[n % CHUNKS];

    if (b->suite == TLSREC_CHACHA20_POLY1305)
        library_chacha(b, data);
    else
        library_gcm(b, data);
}

static void seal(struct bench *b, uint64_t n, uint8_t *data, const uint8_t *text)
{
    struct tlsrec_record record;

    tlsrec_record_nth(&b->run, n, &record);
    must(tlsrec_seal(&b->tls, &record, data - record.head, text, &b->tag) == TLSREC_SEALED,
         "a record was not sealed");
}

static void tlsrec_one(struct bench *b, uint64_t n)
{
    seal(b, n, b->data[n % CHUNKS], b->data[n % CHUNKS]);
}

static void apart_one(struct bench *b, uint64_t n)
{
    seal(b, n, b->data[n % CHUNKS], b->data[(n + 1) % CHUNKS]);
}

static void evp_seal(struct bench *b, const uint8_t *nonce, const uint8_t *aad, uint8_t *data)
{
    int n;

    EVP_EncryptInit_ex2(b->evp, NULL, NULL, nonce, NULL);
    EVP_EncryptUpdate(b->evp, NULL, &n, aad, HEADER_BYTES);
    EVP_EncryptUpdate(b->evp, data, &n, data, RECORD_BYTES + 1);
    EVP_EncryptFinal_ex(b->evp, data + n, &n);
    must(EVP_CIPHER_CTX_ctrl(b->evp, EVP_CTRL_AEAD_GET_TAG, TLSREC_TAG_BYTES,
                             data + RECORD_BYTES + 1) == 1,
         "OpenSSL gave no tag");
}

static void openssl_one(struct bench *b, uint64_t n)
{
    evp_seal(b, b->nonce, b->header, b->data[n % CHUNKS]);
}

static void segment_one(struct bench *b, uint64_t n)
{
    uint8_t *at = b->data[n % CHUNKS] + SEGMENT_AT;
    struct tlsrec_piece piece;

    if (n == 0)
        tlsrec_one(b, 0);
    tlsrec_piece_at(&b->run, b->run.wire + HEADER_BYTES + SEGMENT_AT, SEGMENT_BYTES, &piece);
    tlsrec_seal_range(&b->tls, &piece, at, at, &b->tag);
}

static void expand_one(struct bench *b, uint64_t n)
{
    tlsrec_attach(&b->tls, tlsrec_detach(&b->tls));
}

static const struct entrant {
    const char *name;
    void (*one)(struct bench *b, uint64_t n);
    uint32_t bytes; /* 0: things are counted, not bytes */
} entrants[] = {
    {"library", library_one, RECORD_BYTES},  {"tlsrec", tlsrec_one, RECORD_BYTES},
    {"openssl", openssl_one, RECORD_BYTES},  {"apart", apart_one, RECORD_BYTES},
    {"segment", segment_one, SEGMENT_BYTES}, {"expand", expand_one, 0},
};
enum { LIBRARY, TLSREC, ENTRANTS = array_len(entrants) };

/* --- turns -------------------------------------------------------------------------------------
 */

/* A connection of its own, so that record numbers begin with 0. */
static void connect_anew(struct bench *b)
{
    static const struct tlsrec_rule rule;
    struct tlsrec_start start = {0};
    uint64_t bytes = (uint64_t)TURN_RECORDS * RECORD_BYTES;

    tlsrec_init13(&b->tls, b->engine, b->suite, b->secret, &start);
    tlsrec_attach(&b->tls, &b->keys);
    must(tlsrec_run_open(&b->tls, &rule, bytes, 0, &b->run) == bytes, "a run is too long");
}

static uint32_t turn(struct bench *b, const struct entrant *e)
{
    uint64_t began_ns, spent_ns;

    connect_anew(b);
    began_ns = cpu_ns();
    for (uint64_t n = 0; n < TURN_RECORDS; n++)
        e->one(b, n);
    spent_ns = cpu_ns() - began_ns;
    tlsrec_detach(&b->tls);
    tlsrec_close(&b->tls);
    return (uint32_t)min_u64(spent_ns, UINT32_MAX);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void measure(struct bench *b, double seconds, double *median_ns)
{
    static uint32_t spent_ns[ENTRANTS][TURNS_MAX];
    uint64_t end_ns;
    size_t turns = 0;

    for (int i = 0; i < WARM_TURNS; i++)
        for (size_t e = 0; e < ENTRANTS; e++)
            turn(b, &entrants[e]);
    end_ns = cpu_ns() + (uint64_t)(seconds * 1e9);
    do {
        for (size_t e = 0; e < ENTRANTS; e++)
            spent_ns[e][turns] = turn(b, &entrants[e]);
        turns++;
    } while (cpu_ns() < end_ns && turns < TURNS_MAX);
    for (size_t e = 0; e < ENTRANTS; e++) {
        qsort(spent_ns[e], turns, sizeof(spent_ns[e][0]), by_size);
        median_ns[e] = spent_ns[e][turns / 2];
    }
}

/* --- putting it together -----------------------------------------------------------------------
 */

static void open_cipher(struct bench *b, enum tlsrec_suite suite)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[suite], NULL);

    b->suite = suite;
    if (suite == TLSREC_AES_128_GCM)
        IMB_AES128_GCM_PRE(b->mgr, b->key, &b->gcm);
    else if (suite == TLSREC_AES_256_GCM)
        IMB_AES256_GCM_PRE(b->mgr, b->key, &b->gcm);
    must(cipher && EVP_EncryptInit_ex2(b->evp, cipher, b->key, b->nonce, NULL) == 1, names[suite]);
    EVP_CIPHER_free(cipher);
}

/* One record by both, with the key that is derived from the secret: figures for the same work. */
static bool same_record(struct bench *b)
{
    static uint8_t theirs[RECORD_BYTES + TLSREC_TAIL_MAX];
    uint8_t *data = b->data[0];
    bool same;

    memset(data, 0x5a, RECORD_BYTES);
    memset(theirs, 0x5a, RECORD_BYTES);
    theirs[RECORD_BYTES] = TLSREC_DATA;
    connect_anew(b);
    EVP_EncryptInit_ex2(b->evp, NULL, b->tls.generations[0].key, NULL, NULL);
    evp_seal(b, b->tls.generations[0].iv, b->header, theirs);
    seal(b, 0, data, data);
    same = memcmp(data, theirs, sizeof(theirs)) == 0 &&
           memcmp(data - HEADER_BYTES, b->header, HEADER_BYTES) == 0;
    tlsrec_detach(&b->tls);
    tlsrec_close(&b->tls);
    return same;
}

static void open_all(struct bench *b)
{
    must(mem_arena_open(&b->arena, ARENA_BYTES, MEM_ARENA_HUGE) == 0 &&
             mem_chunks_init(&b->chunks, b->arena, RECORD_BYTES, CHUNKS) == 0,
         "no memory");
    for (int i = 0; i < CHUNKS; i++) {
        b->data[i] = mem_chunk_get(&b->chunks)->data;
        memset(b->data[i], i, RECORD_BYTES);
    }
    must(tlsrec_engine_open(&b->engine, b->arena) == 0, "this processor has no AES instructions");
    b->mgr = alloc_mb_mgr(0);
    b->evp = EVP_CIPHER_CTX_new();
    must(b->mgr && b->evp, "no memory");
    init_mb_mgr_auto(b->mgr, NULL);
    memcpy(b->header, "\x17\x03\x03", 3);
    put_be16(b->header + 3, RECORD_BYTES + TLSREC_TAIL_MAX);
}

static void close_all(struct bench *b)
{
    free_mb_mgr(b->mgr);
    EVP_CIPHER_CTX_free(b->evp);
    tlsrec_engine_close(b->engine);
    mem_arena_close(b->arena);
}

static void print_cipher(const char *name, const double *median_ns, bool is_last)
{
    printf("  \"%s\": {", name);
    for (size_t e = 0; e < ENTRANTS; e++) {
        double units = (double)TURN_RECORDS * (entrants[e].bytes ? entrants[e].bytes : 1);

        printf("\"%s_per_s\": %.0f, ", entrants[e].name, units / median_ns[e] * 1e9);
    }
    printf("\"tlsrec_over_library\": %.3f}%s\n", median_ns[TLSREC] / median_ns[LIBRARY],
           is_last ? "" : ",");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"most", required_argument, NULL, 'm'}, {0}};
    static const char *const names[] = {"aes_128_gcm", "aes_256_gcm", "chacha20_poly1305"};
    static struct bench b;
    double seconds = 2, most = 0;
    bool good = true;
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 's')
            seconds = strtod(optarg, NULL);
        else if (id == 'm')
            most = strtod(optarg, NULL);
        else
            return 2;
    }
    open_all(&b);
    printf("{\n");
    for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++) {
        double median_ns[ENTRANTS];

        open_cipher(&b, (enum tlsrec_suite)suite);
        measure(&b, seconds / 3, median_ns);
        print_cipher(names[suite], median_ns, suite == TLSREC_CHACHA20_POLY1305);
        if (!same_record(&b)) {
            fprintf(stderr, "seal: %s: OpenSSL seals otherwise\n", names[suite]);
            good = false;
        }
        if (most > 0 && suite != TLSREC_CHACHA20_POLY1305 &&
            median_ns[TLSREC] > most * median_ns[LIBRARY]) {
            fprintf(stderr, "seal: %s: more than %.2f times the library's time\n", names[suite],
                    most);
            good = false;
        }
    }
    printf("}\n");
    close_all(&b);
    return !good;
}

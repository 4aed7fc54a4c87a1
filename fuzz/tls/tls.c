// SPDX-License-Identifier: BSD-2-Clause
/*
 * Bytes as a client might send them, before the handshake and after it. Whatever they are: a step
 * or a read stays within its room, and an end is told once.
 *
 * The first byte says which of the two, the second how much is given at a time. Before the
 * handshake the rest is the client's bytes. After one, made by a client of OpenSSL's, it is
 * operations of two bytes and more: a kind, a length, and so many bytes, which are sent sealed as a
 * record of any type, or sealed and damaged, or as they are; or a KeyUpdate is sent. What is sent
 * may be held back and be given together with what follows. As long as all of it is what a good
 * client does, the data must come out as it went in.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD: the only way to random numbers of a seed */

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rand.h"
#include "tls/tls.h"

#define CHECK(x)    ((x) ? (void)0 : abort())
#define ARENA_BYTES (4u << 20)
#define WIRE_BYTES  (64u << 10)
#define HELD_MAX    (5 + 16384 + 256)
#define LABEL       "CLIENT_TRAFFIC_SECRET_0 "

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FIRST_TLS13 = 1, FIRST_AFTER = 2 };
enum { OP_SEALED, OP_RAW, OP_KEY_UPDATE, OP_DAMAGED, OP_MASK = 3 };
enum {
    OP_TYPE = 4 | 8,  /* less than data */
    OP_ANY_TYPE = 16, /* the type is the first byte; 0: in TLS 1.3 all of it is padding but that */
    OP_LARGE = 32,    /* the bytes again and again */
    OP_HOLD = 64,
};
#define LARGE_TIMES 60
#define HELD_BACK   (3u * (TLSREC_PLAIN_MAX + 64))

static struct mem_arena *arena;
static struct tls_ctx *ctx;
static struct tlsrec_engine *engine;
static struct rand random_state;

static int random_bytes(unsigned char *out, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = (unsigned char)rand_u64(&random_state);
    return 1;
}

static int random_status(void)
{
    return 1;
}

static struct tls_ctx *make_ctx(void)
{
    static const RAND_METHOD method = {
        .bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};
    char path[] = "/tmp/atlas-fuzz-tls-XXXXXX", why[256];
    struct tls_identity identity = {path, path, NULL};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    X509 *cert = X509_new();
    struct tls_ctx *made;
    EVP_PKEY *key;

    RAND_set_rand_method(&method);
    key = EVP_EC_gen("P-256");
    CHECK(file && cert && key);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 1L << 30);
    X509_set_pubkey(cert, key);
    CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
    CHECK(PEM_write_X509(file, cert) && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    CHECK(tls_tickets_open(&policy.tickets, TLS_TICKET_ROTATE_S) == 0);
    CHECK(tls_ctx_open(&made, &policy, why, sizeof(why)) == 0);
    unlink(path);
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

static void setup(void)
{
    if (ctx)
        return;
    ctx = make_ctx();
    CHECK(mem_arena_open(&arena, ARENA_BYTES, 0) == 0);
    CHECK(tlsrec_engine_open(&engine, arena) == 0);
}

/* --- before the handshake --------------------------------------------------------------------- */

static void before(const uint8_t *data, size_t len, size_t piece)
{
    static uint8_t out[TLS_FLIGHT_BYTES];
    enum tls_step step = TLS_MORE;
    struct tls_conn *conn;

    CHECK(tls_conn_open(&conn, ctx) == 0);
    while (step == TLS_MORE && len > 0) {
        size_t n = min_u64(len, piece), out_len = SIZE_MAX;

        step = tls_step(conn, data, n, out, sizeof(out), &out_len);
        CHECK(out_len <= sizeof(out));
        CHECK(!tls_spoke_http(conn) || (step == TLS_FAILED && out_len == 0));
        data += n;
        len -= n;
    }
    CHECK(step != TLS_READY); // who would have guessed our keys?
    tls_conn_close(conn);
}

/* --- a good client ---------------------------------------------------------------------------- */

struct peer {
    struct tlsrec_inbox inbox;
    struct tlsrec tls; /* the client's direction */
    struct tlsrec_keys keys;
    uint8_t secret[TLSREC_SECRET_MAX];
    size_t piece;
    bool is_good, has_ended;
    uint8_t held[HELD_BACK]; /* not given yet */
    size_t held_len;
    uint8_t sent[WIRE_BYTES], got[WIRE_BYTES];
    size_t sent_len, got_len;
};

static void on_secret(const SSL *ssl, const char *line)
{
    struct peer *p = SSL_get_app_data(ssl);
    const char *hex = strrchr(line, ' ') + 1;
    unsigned byte;

    for (size_t i = 0; strncmp(line, LABEL, sizeof(LABEL) - 1) == 0 && hex[2 * i]; i++) {
        CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        p->secret[i] = (uint8_t)byte;
    }
}

static void take_over(struct peer *p, const struct tls_handover *h)
{
    struct tlsrec_start start = {.seq = h->version == TLSREC_TLS12 ? 1 : 0};

    CHECK(h->behind_len == 0);
    if (h->version == TLSREC_TLS13) {
        CHECK(memcmp(p->secret, h->their_secret, sizeof(p->secret)) == 0);
        tlsrec_init13(&p->tls, engine, h->suite, p->secret, &start);
        tlsrec_inbox_init13(&p->inbox, engine, h->suite, h->their_secret);
    } else {
        tlsrec_init12(&p->tls, engine, h->suite, &h->master, false, &start);
        tlsrec_inbox_init12(&p->inbox, engine, h->suite, &h->master, h->opened);
    }
    tlsrec_attach(&p->tls, &p->keys);
}

static void shake_hands(struct peer *p, int version)
{
    static uint8_t in[WIRE_BYTES], out[TLS_FLIGHT_BYTES];
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    BIO *to_client = BIO_new(BIO_s_mem()), *to_server = BIO_new(BIO_s_mem());
    enum tls_step step = TLS_MORE;
    struct tls_handover handover;
    struct tls_conn *conn;
    SSL *client;

    SSL_CTX_set_min_proto_version(client_ctx, version);
    SSL_CTX_set_max_proto_version(client_ctx, version);
    SSL_CTX_set_keylog_callback(client_ctx, on_secret);
    client = SSL_new(client_ctx);
    SSL_set_app_data(client, p);
    SSL_set_bio(client, to_client, to_server);
    CHECK(tls_conn_open(&conn, ctx) == 0);
    while (step == TLS_MORE) {
        size_t out_len;
        int n;

        SSL_connect(client);
        n = BIO_read(to_server, in, sizeof(in));
        CHECK(n > 0);
        step = tls_step(conn, in, (size_t)n, out, sizeof(out), &out_len);
        BIO_write(to_client, out, (int)out_len);
    }
    CHECK(step == TLS_READY);
    tls_handover(conn, &handover);
    take_over(p, &handover);
    tls_conn_close(conn);
    SSL_free(client);
    SSL_CTX_free(client_ctx);
}

/* --- after the handshake ---------------------------------------------------------------------- */

static void deliver(struct peer *p, const uint8_t *wire, size_t len)
{
    static uint8_t plain[TLSREC_INBOX_ROOM];

    while (len > 0) {
        size_t n = min_u64(len, p->piece), left = n, got;

        len -= n;
        do {
            struct tlsrec_events events;
            bool is_end;

            got = tlsrec_read(&p->inbox, &wire, &left, plain, &events);
            is_end = events.closed || events.failed;
            CHECK(got <= TLSREC_PLAIN_MAX && tlsrec_held(&p->inbox) <= HELD_MAX);
            CHECK(!p->has_ended || (got == 0 && !is_end));
            CHECK(!is_end || (got == 0 && !p->is_good));
            CHECK(!events.alert_wanted || events.failed);
            p->has_ended |= is_end;
            CHECK(p->got_len + got <= sizeof(p->got));
            memcpy(p->got + p->got_len, plain, got);
            p->got_len += got;
        } while (got > 0);
        CHECK(left == 0);
    }
}

static void give(struct peer *p)
{
    size_t len = p->held_len;

    p->held_len = 0;
    deliver(p, p->held, len);
}

static void hold(struct peer *p, const uint8_t *wire, size_t len)
{
    if (p->held_len + len > sizeof(p->held))
        give(p);
    memcpy(p->held + p->held_len, wire, len);
    p->held_len += len;
}

static void seal(struct peer *p, struct tlsrec_run *run, const uint8_t *text, size_t damage_at)
{
    static uint8_t wire[TLSREC_PLAIN_MAX + TLSREC_HEAD_MAX + TLSREC_TAIL_MAX];
    struct tlsrec_record record;
    struct tlsrec_tag tag;

    tlsrec_record_nth(run, 0, &record);
    CHECK(tlsrec_seal(&p->tls, &record, wire, text, &tag) == TLSREC_SEALED);
    if (damage_at < SIZE_MAX)
        wire[damage_at % tlsrec_record_bytes(&record)] ^= 0x10;
    hold(p, wire, tlsrec_record_bytes(&record));
}

static void send_record(struct peer *p, uint8_t type, const uint8_t *text, size_t len,
                        size_t damage_at)
{
    static const struct tlsrec_rule rule;
    struct tlsrec_run run;

    if (len == 0)
        return;
    CHECK(tlsrec_run_open(&p->tls, &rule, len, 0, &run) == len);
    run.type = type;
    p->is_good &= type == TLSREC_DATA && damage_at == SIZE_MAX;
    if (p->is_good) {
        memcpy(p->sent + p->sent_len, text, len);
        p->sent_len += len;
    }
    seal(p, &run, text, damage_at);
}

static void send_update(struct peer *p, bool request_peer)
{
    struct tlsrec_note note;

    tlsrec_acked(&p->tls, p->tls.wire);
    if (tlsrec_key_update(&p->tls, request_peer, &note) == 0)
        seal(p, &note.run, note.text, SIZE_MAX);
}

static uint8_t type_of(uint8_t kind, const uint8_t *bytes)
{
    return kind & OP_ANY_TYPE ? bytes[0] : (uint8_t)(TLSREC_DATA - ((kind & OP_TYPE) >> 2));
}

static void operate(struct peer *p, uint8_t kind, const uint8_t *bytes, size_t len)
{
    static uint8_t text[LARGE_TIMES * 255];
    size_t text_len = 0;

    for (int i = 0; i < (kind & OP_LARGE ? LARGE_TIMES : 1); i++, text_len += len)
        memcpy(text + text_len, bytes, len);
    switch (kind & OP_MASK) {
    case OP_SEALED:
        if (len > 0)
            send_record(p, type_of(kind, bytes), text, text_len, SIZE_MAX);
        break;
    case OP_RAW:
        p->is_good &= len == 0;
        hold(p, text, text_len);
        break;
    case OP_KEY_UPDATE:
        send_update(p, kind & 4);
        break;
    case OP_DAMAGED:
        send_record(p, TLSREC_DATA, text, text_len, kind >> 2);
        break;
    }
    if (!(kind & OP_HOLD))
        give(p);
}

static void after(const uint8_t *data, size_t len, size_t piece, int version)
{
    static struct peer p;
    unsigned updates = 0;

    memset(&p, 0, sizeof(p));
    p.piece = piece;
    p.is_good = true;
    shake_hands(&p, version);
    while (len >= 2 && p.sent_len < WIRE_BYTES / 2) {
        size_t n = min_u64(data[1], len - 2);

        updates = (data[0] & 3) == OP_KEY_UPDATE ? updates + 1 : n ? 0 : updates;
        p.is_good &= updates < 30; // more of them are not good
        operate(&p, data[0], data + 2, n);
        data += 2 + n;
        len -= 2 + n;
        CHECK(!p.is_good || p.held_len > 0 ||
              (p.got_len == p.sent_len && tlsrec_held(&p.inbox) == 0));
    }
    give(&p);
    CHECK(memcmp(p.got, p.sent, min_u64(p.got_len, p.sent_len)) == 0);
    tlsrec_detach(&p.tls);
    tlsrec_close(&p.tls);
    tlsrec_inbox_close(&p.inbox);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    rand_seed(&random_state, 1);
    setup();
    if (len < 2 || len > WIRE_BYTES / 2)
        return 0;
    if (data[0] & FIRST_AFTER)
        after(data + 2, len - 2, 1u + data[1],
              data[0] & FIRST_TLS13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    else
        before(data + 2, len - 2, 1u + data[1]);
    return 0;
}

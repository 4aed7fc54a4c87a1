// SPDX-License-Identifier: BSD-2-Clause
/* What a client says: records of every kind and size, in pieces, and those that nobody should send.
 * They are made here with the cipher alone, so that they can be anything. */
#include "base/bytes.h"
#include "test.h"

#include <pthread.h>
#include <sys/mman.h>

#define SEED       11
#define INNER_MAX  (TLSREC_PLAIN_MAX + 512)
#define RECORD_MAX (HEADER_BYTES + INNER_MAX + 64)
#define WIRE_MAX   (8 * RECORD_MAX)

/* The client's end. */
struct forger {
    int version;
    enum tlsrec_suite suite;
    uint64_t seq;
    struct tlsrec_master master; /* of which 1.3 takes the first as its secret */
    uint8_t key[32], iv[NONCE_BYTES];
    struct rand rand;
    struct tlsrec_inbox inbox;
    uint8_t wire[WIRE_MAX];
    uint32_t wire_bytes;
    uint8_t plain[WIRE_MAX]; /* what was read */
    uint32_t plain_bytes;
    struct tlsrec_events events; /* all of them together */
    uint32_t ends;
};

static struct forger *begin(int version, int suite)
{
    static struct forger f;

    memset(&f, 0, sizeof(f));
    f.version = version;
    f.suite = (enum tlsrec_suite)suite;
    rand_seed(&f.rand, SEED);
    fill_random(&f.rand, (uint8_t *)&f.master, sizeof(f.master));
    if (version == TLSREC_TLS13) {
        keys_derive13(test_engine, f.suite, f.master.secret, f.key, f.iv);
        tlsrec_inbox_init13(&f.inbox, test_engine, f.suite, f.master.secret);
    } else {
        f.seq = 1;
        keys_derive12(test_engine, f.suite, &f.master, false, f.key, f.iv);
        tlsrec_inbox_init12(&f.inbox, test_engine, f.suite, &f.master, f.seq);
    }
    return &f;
}

static void end(struct forger *f)
{
    static const struct tlsrec_inbox zero;

    tlsrec_inbox_close(&f->inbox);
    assert_memory_equal(&f->inbox, &zero, sizeof(zero));
}

/* Adds a record to the wire: in TLS 1.3 with a type and so much padding within. */
static void forge(struct forger *f, uint8_t type, const void *text, uint32_t bytes,
                  uint32_t padding)
{
    static uint8_t inner[INNER_MAX],
        expanded[TLSREC_EXPANDED_BYTES] __attribute__((aligned(CACHE_LINE)));
    uint8_t nonce[NONCE_BYTES], aad[AAD_MAX], *at = f->wire + f->wire_bytes;
    bool is_13 = f->version == TLSREC_TLS13;
    bool is_explicit = !is_13 && f->suite != TLSREC_CHACHA20_POLY1305;
    uint64_t number = is_explicit ? rand_u64(&f->rand) : f->seq;
    uint32_t inner_bytes = bytes, head = HEADER_BYTES + (is_explicit ? 8 : 0), body;
    struct aead_message m = {.nonce = nonce, .aad = aad, .text = inner, .out = at + head};

    assert_true(bytes + padding < INNER_MAX);
    memset(inner, 0, sizeof(inner));
    memcpy(inner, text, bytes);
    if (is_13) {
        inner[inner_bytes++] = type;
        inner_bytes += padding;
    }
    body = head - HEADER_BYTES + inner_bytes + TLSREC_TAG_BYTES;
    assert_true(f->wire_bytes + HEADER_BYTES + body <= sizeof(f->wire));
    at[0] = is_13 ? TLSREC_DATA : type;
    put_be16(at + 1, TLS12_VERSION);
    put_be16(at + 3, (uint16_t)body);
    if (is_explicit)
        put_be64(at + HEADER_BYTES, number);
    record_nonce(f->iv, number, is_explicit, nonce);
    m.text_bytes = inner_bytes;
    m.aad_bytes = is_13 ? record_aad13(at, aad) : record_aad12(f->seq, type, (uint16_t)bytes, aad);
    aead_expand(test_engine, f->suite, f->key, expanded);
    aead_seal(test_engine, f->suite, expanded, &m, at + HEADER_BYTES + body - TLSREC_TAG_BYTES);
    f->wire_bytes += HEADER_BYTES + body;
    f->seq++;
}

/* The next keys of TLS 1.3. */
static void turn_keys(struct forger *f)
{
    keys_next_secret(test_engine, f->suite, f->master.secret);
    keys_derive13(test_engine, f->suite, f->master.secret, f->key, f->iv);
    f->seq = 0;
}

/* Some of the wire, from a block of its own, so that reading beyond it is seen. */
static void deliver(struct forger *f, const uint8_t *from, uint32_t bytes)
{
    static uint8_t plain[TLSREC_INBOX_ROOM];
    uint8_t *copy = malloc(bytes);
    const uint8_t *in = copy;
    size_t left = bytes, n;

    assert_non_null(copy);
    memcpy(copy, from, bytes);
    do {
        struct tlsrec_events e;

        n = tlsrec_read(&f->inbox, &in, &left, plain, &e);
        assert_true(n <= TLSREC_PLAIN_MAX && f->plain_bytes + n <= sizeof(f->plain));
        memcpy(f->plain + f->plain_bytes, plain, n);
        f->plain_bytes += (uint32_t)n;
        f->events.update_asked |= e.update_asked;
        if (e.closed || e.failed) {
            assert_int_equal(n, 0);
            f->ends++;
            f->events.closed = e.closed;
            f->events.failed = e.failed;
            f->events.alert_wanted = e.alert_wanted;
            f->events.alert = e.alert;
        }
    } while (n > 0);
    assert_int_equal(left, 0);
    assert_true(in == copy + bytes);
    free(copy);
}

static void deliver_all(struct forger *f)
{
    deliver(f, f->wire, f->wire_bytes);
    f->wire_bytes = 0;
}

static void expect_no_end(const struct forger *f)
{
    assert_int_equal(f->ends, 0);
}

/* It has ended with this alert; or, -1, with none. What follows is not listened to. */
static void expect_failed(struct forger *f, int alert)
{
    deliver_all(f);
    assert_int_equal(f->ends, 1);
    assert_true(f->events.failed && !f->events.closed);
    assert_int_equal(f->events.alert_wanted, alert >= 0);
    if (alert >= 0)
        assert_int_equal(f->events.alert, alert);
    assert_int_equal(tlsrec_held(&f->inbox), 0);
    f->plain_bytes = 0;
    forge(f, TLSREC_DATA, "more", 4, 0);
    deliver_all(f);
    assert_true(f->plain_bytes == 0 && f->ends == 1);
    end(f);
}

static const struct {
    int version, suite;
} kinds[] = {
    {TLSREC_TLS12, TLSREC_AES_128_GCM},       {TLSREC_TLS12, TLSREC_AES_256_GCM},
    {TLSREC_TLS12, TLSREC_CHACHA20_POLY1305}, {TLSREC_TLS13, TLSREC_AES_128_GCM},
    {TLSREC_TLS13, TLSREC_AES_256_GCM},       {TLSREC_TLS13, TLSREC_CHACHA20_POLY1305},
};

/* --- what is good ----------------------------------------------------------------------------- */

static void test_pieces(void **state)
{
    static const uint32_t lengths[] = {1, 2, 15, 16, 17, 500, 4096, 16383, TLSREC_PLAIN_MAX};
    static uint8_t text[WIRE_MAX];

    for (size_t k = 0; k < array_len(kinds); k++) {
        struct forger *f = begin(kinds[k].version, kinds[k].suite);
        uint32_t bytes = 0, at = 0;

        fill_random(&f->rand, text, sizeof(text));
        for (size_t i = 0; i < array_len(lengths); i++) {
            forge(f, TLSREC_DATA, text + bytes, lengths[i], 0);
            bytes += lengths[i];
        }
        while (at < f->wire_bytes) {
            uint32_t most = rand_u64(&f->rand) % 8 ? 20 : 40000;
            uint32_t n = min_u32(1 + (uint32_t)(rand_u64(&f->rand) % most), f->wire_bytes - at);

            deliver(f, f->wire + at, n);
            at += n;
            assert_true(tlsrec_held(&f->inbox) < HEADER_BYTES + TLSREC_PLAIN_MAX + 256);
        }
        expect_no_end(f);
        assert_int_equal(tlsrec_held(&f->inbox), 0);
        assert_null(f->inbox.kept);
        assert_int_equal(f->plain_bytes, bytes);
        assert_memory_equal(f->plain, text, bytes);
        end(f);
    }
}

/* RFC 8446 5.4: as much as a record has room for. */
static void test_padding(void **state)
{
    struct forger *f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);

    forge(f, TLSREC_DATA, "ab", 2, 1);
    forge(f, TLSREC_DATA, "c\0\0", 3, 100);
    forge(f, TLSREC_DATA, "d", 1, TLSREC_PLAIN_MAX - 1);
    forge(f, TLSREC_DATA, "", 0, 1000); /* a cover for silence */
    forge(f, TLSREC_DATA, "e", 1, 0);
    deliver_all(f);
    expect_no_end(f);
    assert_int_equal(f->plain_bytes, 7);
    assert_memory_equal(f->plain, "abc\0\0de", 7);
    end(f);
}

static void test_close_notify(void **state)
{
    for (size_t k = 0; k < array_len(kinds); k++) {
        struct forger *f = begin(kinds[k].version, kinds[k].suite);

        forge(f, TLSREC_DATA, "last", 4, 0);
        forge(f, TLSREC_ALERT, "\1\0", 2, 0);
        forge(f, TLSREC_DATA, "beyond", 6, 0);
        deliver_all(f);
        assert_true(f->ends == 1 && f->events.closed && !f->events.failed);
        assert_int_equal(f->plain_bytes, 4);
        end(f);
    }
}

/* In one record, and in pieces of every size (RFC 8446 5.1). */
static void test_key_update(void **state)
{
    static const uint8_t update[] = {24, 0, 0, 1, 0}, asking[] = {24, 0, 0, 1, 1};

    for (uint32_t piece = 1; piece <= sizeof(update); piece++) {
        struct forger *f = begin(TLSREC_TLS13, TLSREC_CHACHA20_POLY1305);

        for (uint32_t at = 0; at < sizeof(update); at += piece)
            forge(f, TLSREC_HANDSHAKE, update + at, min_u32(piece, (uint32_t)sizeof(update) - at),
                  0);
        turn_keys(f);
        forge(f, TLSREC_DATA, "one", 3, 0);
        deliver_all(f);
        assert_false(f->events.update_asked);
        forge(f, TLSREC_HANDSHAKE, asking, sizeof(asking), 3);
        turn_keys(f);
        forge(f, TLSREC_DATA, "two", 3, 0);
        deliver_all(f);
        assert_true(f->events.update_asked);
        expect_no_end(f);
        assert_memory_equal(f->plain, "onetwo", 6);
        end(f);
    }
}

/* --- what is not ------------------------------------------------------------------------------ */

/* One record that ends it. */
static void refuse(int version, uint8_t type, const void *text, uint32_t bytes, int alert)
{
    struct forger *f = begin(version, TLSREC_AES_256_GCM);

    forge(f, type, text, bytes, 0);
    expect_failed(f, alert);
}

static void test_types(void **state)
{
    static const uint8_t types13[] = {1, 20, 24, 25, 255}, types12[] = {0, 20, 24, 25, 255};

    for (size_t i = 0; i < array_len(types13); i++)
        refuse(TLSREC_TLS13, types13[i], "x", 1, TLSREC_UNEXPECTED_MESSAGE);
    for (size_t i = 0; i < array_len(types12); i++)
        refuse(TLSREC_TLS12, types12[i], "x", 1, TLSREC_UNEXPECTED_MESSAGE);
    refuse(TLSREC_TLS13, 0, "", 0, TLSREC_UNEXPECTED_MESSAGE); /* nothing but zeros */
}

static void test_alerts(void **state)
{
    for (int version = TLSREC_TLS12; version <= TLSREC_TLS13; version++) {
        refuse(version, TLSREC_ALERT, "\2\50", 2, -1); /* the client's own */
        refuse(version, TLSREC_ALERT, "\1", 1, TLSREC_DECODE_ERROR);
        refuse(version, TLSREC_ALERT, "\1\0\1\0", 4, TLSREC_DECODE_ERROR);
    }
    refuse(TLSREC_TLS12, TLSREC_ALERT, "", 0, TLSREC_DECODE_ERROR);
    refuse(TLSREC_TLS13, TLSREC_ALERT, "", 0, TLSREC_UNEXPECTED_MESSAGE); /* RFC 8446 5.4 */
    refuse(TLSREC_TLS13, TLSREC_ALERT, "\1\50", 2, -1); /* its level means nothing */
}

/* An end is an end, whatever came before. */
static void test_end_behind_idle(void **state)
{
    struct forger *f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);

    for (int n = 0; n < TLSREC_IDLE_MAX; n++)
        forge(f, TLSREC_DATA, "", 0, 0);
    forge(f, TLSREC_ALERT, "\1\0", 2, 0);
    deliver_all(f);
    assert_true(f->ends == 1 && f->events.closed && !f->events.failed);
    end(f);
    f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);
    for (int n = 0; n < TLSREC_IDLE_MAX; n++)
        forge(f, TLSREC_DATA, "", 0, 0);
    forge(f, TLSREC_ALERT, "\2\50", 2, 0);
    expect_failed(f, -1);
}

/* Each costs us more than the client: not for ever. */
static void test_idle(void **state)
{
    static const struct {
        uint8_t type;
        const char *text;
        uint32_t bytes;
    } idle[] = {{TLSREC_DATA, "", 0}, {TLSREC_ALERT, "\1\132", 2}};

    for (size_t k = 0; k < array_len(kinds); k++) {
        for (size_t i = 0; i < array_len(idle); i++) {
            struct forger *f = begin(kinds[k].version, kinds[k].suite);

            for (int round = 0; round < 3; round++) {
                for (int n = 0; n < TLSREC_IDLE_MAX; n++)
                    forge(f, idle[i].type, idle[i].text, idle[i].bytes, 0);
                forge(f, TLSREC_DATA, "x", 1, 0);
            }
            deliver_all(f);
            expect_no_end(f);
            assert_int_equal(f->plain_bytes, 3);
            for (int n = 0; n <= TLSREC_IDLE_MAX; n++)
                forge(f, idle[i].type, idle[i].text, idle[i].bytes, 0);
            expect_failed(f, TLSREC_UNEXPECTED_MESSAGE);
        }
    }
}

static void test_handshake_messages(void **state)
{
    struct forger *f;

    refuse(TLSREC_TLS12, TLSREC_HANDSHAKE, "\1\0\0\0", 4, TLSREC_NO_RENEGOTIATION);
    refuse(TLSREC_TLS12, TLSREC_HANDSHAKE, "\1", 1, TLSREC_NO_RENEGOTIATION);
    refuse(TLSREC_TLS12, TLSREC_HANDSHAKE, "\24\0\0\0", 4, TLSREC_UNEXPECTED_MESSAGE);
    refuse(TLSREC_TLS12, TLSREC_HANDSHAKE, "", 0, TLSREC_UNEXPECTED_MESSAGE);
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "", 0, TLSREC_UNEXPECTED_MESSAGE);
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "\1\0\0\0", 4, TLSREC_UNEXPECTED_MESSAGE);
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "\4", 1, TLSREC_UNEXPECTED_MESSAGE);
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "\30\0\0\2", 4, TLSREC_DECODE_ERROR);
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "\30\1", 2, TLSREC_DECODE_ERROR);
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "\30\0\0\1\2", 5, TLSREC_ILLEGAL_PARAMETER);
    /* keys change at the end of a record */
    refuse(TLSREC_TLS13, TLSREC_HANDSHAKE, "\30\0\0\1\0\30", 6, TLSREC_UNEXPECTED_MESSAGE);

    f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);
    forge(f, TLSREC_HANDSHAKE, "\30\0\0", 3, 0);
    forge(f, TLSREC_DATA, "between", 7, 0);
    expect_failed(f, TLSREC_UNEXPECTED_MESSAGE);

    f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);
    forge(f, TLSREC_HANDSHAKE, "\30\0\0\1\0", 5, 0);
    forge(f, TLSREC_DATA, "with the keys before", 20, 0);
    expect_failed(f, TLSREC_BAD_RECORD_MAC);
}

static void test_lengths(void **state)
{
    static const uint8_t text[TLSREC_PLAIN_MAX + 1] = {1};

    for (int version = TLSREC_TLS12; version <= TLSREC_TLS13; version++) {
        struct forger *f;

        refuse(version, TLSREC_DATA, text, sizeof(text), TLSREC_RECORD_OVERFLOW);
        for (uint32_t body = 0; body < TLSREC_TAG_BYTES + (version == TLSREC_TLS12 ? 8 : 0);
             body++) {
            f = begin(version, TLSREC_AES_128_GCM);
            memcpy(f->wire, "\27\3\3\0", 4);
            f->wire[4] = (uint8_t)body;
            f->wire_bytes = HEADER_BYTES + body;
            expect_failed(f, TLSREC_BAD_RECORD_MAC);
        }
        f = begin(version, TLSREC_AES_128_GCM); /* said before the body has come */
        memcpy(f->wire, "\27\3\3\101\1", 5);
        f->wire_bytes = HEADER_BYTES;
        expect_failed(f, TLSREC_RECORD_OVERFLOW);
        f = begin(version, TLSREC_AES_128_GCM);
        memcpy(f->wire, "\27\3\3\101\1", 5);
        deliver(f, f->wire, 3);
        assert_int_equal(tlsrec_held(&f->inbox), 3);
        memmove(f->wire, f->wire + 3, 2);
        f->wire_bytes = 2;
        expect_failed(f, TLSREC_RECORD_OVERFLOW);
    }
    {
        struct forger *f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);

        forge(f, TLSREC_DATA, "x", 1, TLSREC_PLAIN_MAX);
        expect_failed(f, TLSREC_RECORD_OVERFLOW);
    }
}

/* RFC 5246 6.2.1; in TLS 1.3 it is not looked at, but it is authenticated. */
static void test_version(void **state)
{
    struct forger *f = begin(TLSREC_TLS12, TLSREC_AES_128_GCM);

    forge(f, TLSREC_DATA, "x", 1, 0);
    f->wire[2] = 4;
    expect_failed(f, TLSREC_PROTOCOL_VERSION);
    f = begin(TLSREC_TLS13, TLSREC_AES_128_GCM);
    forge(f, TLSREC_DATA, "x", 1, 0);
    f->wire[2] = 4;
    expect_failed(f, TLSREC_BAD_RECORD_MAC);
}

/* Any bit of what is authenticated; nothing of it comes out. */
static void test_damage(void **state)
{
    for (size_t k = 0; k < array_len(kinds); k++) {
        for (uint32_t at = HEADER_BYTES; at < HEADER_BYTES + 30; at++) {
            struct forger *f = begin(kinds[k].version, kinds[k].suite);

            forge(f, TLSREC_DATA, "fourteen bytes", 14, 0);
            if (at < f->wire_bytes) {
                static uint8_t plain[TLSREC_INBOX_ROOM];
                const uint8_t *in = f->wire;
                size_t left = f->wire_bytes;
                struct tlsrec_events e;

                f->wire[at] ^= (uint8_t)(1 << at % 8);
                memset(plain, 0, sizeof(plain));
                assert_int_equal(tlsrec_read(&f->inbox, &in, &left, plain, &e), 0);
                assert_true(e.failed && e.alert_wanted && e.alert == TLSREC_BAD_RECORD_MAC);
                for (uint32_t i = 0; i < 64; i++)
                    assert_int_equal(plain[i], 0);
            }
            end(f);
        }
    }
}

/* The number of a record is part of it. */
static void test_order(void **state)
{
    for (size_t k = 0; k < array_len(kinds); k++) {
        struct forger *f = begin(kinds[k].version, kinds[k].suite);
        uint32_t bytes;

        forge(f, TLSREC_DATA, "again", 5, 0);
        bytes = f->wire_bytes;
        deliver(f, f->wire, bytes);
        assert_int_equal(f->plain_bytes, 5);
        expect_failed(f, TLSREC_BAD_RECORD_MAC);
        f = begin(kinds[k].version, kinds[k].suite);
        forge(f, TLSREC_DATA, "first", 5, 0);
        forge(f, TLSREC_DATA, "second", 6, 0);
        memmove(f->wire, f->wire + bytes, f->wire_bytes - bytes);
        f->wire_bytes -= bytes;
        expect_failed(f, TLSREC_BAD_RECORD_MAC);
    }
}

/* --- what is left behind ---------------------------------------------------------------------- */

#define STACK_BYTES (256 * 1024)

static void *deliver_there(void *arg)
{
    deliver_all(arg);
    return NULL;
}

/* On a stack of its own, which is searched for the key afterwards. (The sanitizer's stacks are
 * elsewhere: there it finds nothing in any case.) */
static void expect_wiped(struct forger *f)
{
    uint8_t key[32], *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;

    assert_ptr_not_equal(stack, MAP_FAILED);
    memcpy(key, f->inbox.key, sizeof(key));
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attr, deliver_there, f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (uint32_t at = 0; at + 16 <= STACK_BYTES; at++)
        assert_true(memcmp(stack + at, key, 16) != 0);
    pthread_attr_destroy(&attr);
    munmap(stack, STACK_BYTES);
}

static void test_keys_are_wiped(void **state)
{
    for (size_t k = 0; k < array_len(kinds); k++) {
        struct forger *f = begin(kinds[k].version, kinds[k].suite);

        forge(f, TLSREC_DATA, "data", 4, 0);
        expect_wiped(f);
        if (kinds[k].version == TLSREC_TLS13) {
            forge(f, TLSREC_HANDSHAKE, "\30\0\0\1\0", 5, 0);
            expect_wiped(f);
        }
        expect_no_end(f);
        end(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_close_notify),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_alerts),
        cmocka_unit_test(test_end_behind_idle),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_handshake_messages),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_keys_are_wiped),
    };

    return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}

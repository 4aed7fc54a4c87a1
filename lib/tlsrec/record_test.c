// SPDX-License-Identifier: BSD-2-Clause
/* Sealing: the rules of order and of tags, and ranges against whole records. */
#include "test.h"

#define SEED       7
#define BUFFER     (TLSREC_HEAD_MAX + TLSREC_PLAIN_MAX + TLSREC_TAIL_MAX)
#define RUN_BYTES  40000
#define RECORD_MAX 64

static const struct tlsrec_rule rule = {.small_count = 4, .small_wire = 1448, .block_bytes = 4096};
static struct tlsrec_keys keys;

struct bench {
    struct tlsrec tls;
    struct tlsrec_run run;
    struct rand rand;
    uint8_t text[RUN_BYTES];
    uint8_t wire[2 * RUN_BYTES]; /* the run as it was sealed the first time */
    struct tlsrec_tag tags[RECORD_MAX];
};

static void begin(struct bench *b, int version, int suite)
{
    struct tlsrec_start start = {.seq = 5, .wire = 77};
    struct tlsrec_master master;

    rand_seed(&b->rand, SEED);
    fill_random(&b->rand, (uint8_t *)&master, sizeof(master));
    fill_random(&b->rand, b->text, sizeof(b->text));
    if (version == TLSREC_TLS13)
        tlsrec_init13(&b->tls, test_engine, (enum tlsrec_suite)suite, master.secret, &start);
    else
        tlsrec_init12(&b->tls, test_engine, (enum tlsrec_suite)suite, &master, true, &start);
    tlsrec_attach(&b->tls, &keys);
    assert_int_equal(tlsrec_run_open(&b->tls, &rule, RUN_BYTES, 100, &b->run), RUN_BYTES);
}

static void end(struct bench *b)
{
    static const struct tlsrec_keys zero_keys;
    static const struct tlsrec zero;

    tlsrec_detach(&b->tls);
    assert_memory_equal(&keys, &zero_keys, sizeof(keys));
    tlsrec_close(&b->tls);
    assert_memory_equal(&b->tls, &zero, sizeof(zero));
}

/* Every record for the first time: the even ones in place, the odd ones from their text. */
static void seal_all(struct bench *b)
{
    for (uint64_t n = 0; n < tlsrec_run_records(&b->run); n++) {
        struct tlsrec_record r;
        uint8_t *out, *text;

        tlsrec_record_nth(&b->run, n, &r);
        out = b->wire + (r.wire - b->run.wire);
        text = b->text + r.plain;
        if (n % 2 == 0)
            text = memcpy(out + r.head, text, r.plain_bytes);
        assert_false(tlsrec_was_sealed(&b->tls, &r));
        assert_int_equal(tlsrec_seal(&b->tls, &r, out, text, &b->tags[n]), TLSREC_SEALED);
        assert_true(tlsrec_was_sealed(&b->tls, &r));
    }
}

static void for_each_cipher(void (*check)(struct bench *))
{
    static struct bench b;

    for (int version = TLSREC_TLS12; version <= TLSREC_TLS13; version++)
        for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++) {
            begin(&b, version, suite);
            seal_all(&b);
            check(&b);
            end(&b);
        }
}

static void check_again(struct bench *b)
{
    static uint8_t out[BUFFER];

    for (uint64_t n = tlsrec_run_records(&b->run); n-- > 0;) {
        struct tlsrec_record r;

        tlsrec_record_nth(&b->run, n, &r);
        assert_int_equal(tlsrec_seal(&b->tls, &r, out, b->text + r.plain, &b->tags[n]),
                         TLSREC_SAME);
        assert_memory_equal(out, b->wire + (r.wire - b->run.wire), tlsrec_record_bytes(&r));
    }
}

static void test_again_is_the_same(void **state)
{
    for_each_cipher(check_again);
}

/* One bit of the plaintext is another: nothing of the new record is left. */
static void check_difference(struct bench *b)
{
    static uint8_t out[BUFFER], zero[BUFFER];

    for (uint64_t n = 0; n < tlsrec_run_records(&b->run); n++) {
        struct tlsrec_tag kept = b->tags[n];
        struct tlsrec_record r;
        uint64_t at;

        tlsrec_record_nth(&b->run, n, &r);
        at = r.plain + rand_below(&b->rand, r.plain_bytes);
        b->text[at] ^= (uint8_t)(1u << rand_below(&b->rand, 8));
        assert_int_equal(tlsrec_seal(&b->tls, &r, out, b->text + r.plain, &b->tags[n]),
                         TLSREC_DIFFERS);
        assert_memory_equal(out, zero, tlsrec_record_bytes(&r));
        assert_memory_equal(&b->tags[n], &kept, sizeof(kept));
    }
}

static void test_difference_is_refused(void **state)
{
    for_each_cipher(check_difference);
}

/* Ranges of the wire, as a retransmission asks for them, across records. */
static void check_ranges(struct bench *b)
{
    static uint8_t out[2 * RUN_BYTES];
    uint64_t total = tlsrec_run_wire_bytes(&b->run);

    for (int i = 0; i < 600; i++) {
        uint64_t from = rand_below(&b->rand, total);
        uint64_t most = i % 2 ? 64 : 20000, at = from;
        uint64_t to = from + 1 + rand_below(&b->rand, min_u64(most, total - from));

        memset(out, 0xa5, sizeof(out));
        while (at < to) {
            struct tlsrec_piece piece;
            uint8_t *dst = out + at, *text;
            uint64_t plain;
            uint32_t bytes;

            tlsrec_piece_at(&b->run, b->run.wire + at, to - at, &piece);
            bytes = tlsrec_piece_text(&piece, &plain);
            text = b->text + plain;
            if (i % 3 == 0 && bytes > 0) /* where it was read to is where it is sent from */
                text =
                    memcpy(dst + max_u32(piece.record.head, piece.from) - piece.from, text, bytes);
            tlsrec_seal_range(&b->tls, &piece, dst, text, &b->tags[piece.record.seq - b->run.seq]);
            at += piece.to - piece.from;
        }
        assert_memory_equal(out + from, b->wire + from, to - from);
        assert_int_equal(out[to], 0xa5);
        assert_true(from == 0 || out[from - 1] == 0xa5);
    }
}

static void test_ranges(void **state)
{
    for_each_cipher(check_ranges);
}

/* Idle connections give their expanded keys back, and get others. */
static void check_detach(struct bench *b)
{
    struct tlsrec_note note;
    struct tlsrec_tag tag;
    struct tlsrec_record r;
    uint8_t out[64], again[64];

    assert_int_equal(tlsrec_alert(&b->tls, TLSREC_CLOSE_NOTIFY, &note), 0);
    tlsrec_record_nth(&note.run, 0, &r);
    assert_int_equal(tlsrec_seal(&b->tls, &r, out, note.text, &tag), TLSREC_SEALED);
    assert_ptr_equal(tlsrec_detach(&b->tls), &keys);
    assert_null(tlsrec_detach(&b->tls));
    tlsrec_attach(&b->tls, &keys);
    assert_int_equal(tlsrec_seal(&b->tls, &r, again, note.text, &tag), TLSREC_SAME);
    assert_memory_equal(out, again, tlsrec_record_bytes(&r));
}

static void test_detach(void **state)
{
    for_each_cipher(check_detach);
}

/* Bytes of the last generation are sealed again with its keys, until they are acknowledged. */
static void test_generations(void **state)
{
    static struct bench b;
    static uint8_t out[BUFFER];

    for (int suite = TLSREC_AES_128_GCM; suite <= TLSREC_CHACHA20_POLY1305; suite++) {
        struct tlsrec_note note;
        struct tlsrec_run run;
        struct tlsrec_record old, update, new;
        struct tlsrec_tag tags[2];

        begin(&b, TLSREC_TLS13, suite);
        seal_all(&b);
        assert_int_equal(tlsrec_key_update(&b.tls, true, &note), 0);
        assert_int_equal(tlsrec_run_open(&b.tls, &rule, 1000, 0, &run), 1000);
        tlsrec_record_nth(&b.run, 0, &old);
        tlsrec_record_nth(&note.run, 0, &update);
        tlsrec_record_nth(&run, 0, &new);
        assert_int_equal(tlsrec_seal(&b.tls, &update, out, note.text, &tags[0]), TLSREC_SEALED);
        assert_int_equal(tlsrec_seal(&b.tls, &new, out, b.text, &tags[1]), TLSREC_SEALED);
        assert_int_equal(tlsrec_seal(&b.tls, &old, out, b.text, &b.tags[0]), TLSREC_SAME);
        tlsrec_detach(&b.tls);
        tlsrec_attach(&b.tls, &keys);
        assert_int_equal(tlsrec_seal(&b.tls, &old, out, b.text, &b.tags[0]), TLSREC_SAME);
        tlsrec_acked(&b.tls, run.wire);
        for (size_t i = 0; i < TLSREC_EXPANDED_BYTES; i++)
            assert_int_equal(keys.expanded[0][i], 0);
        for (size_t i = 0; i < sizeof(b.tls.generations[0]); i++)
            assert_int_equal(((uint8_t *)&b.tls.generations[0])[i], 0);
        assert_int_equal(tlsrec_seal(&b.tls, &new, out, b.text, &tags[1]), TLSREC_SAME);
        end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again_is_the_same),
        cmocka_unit_test(test_difference_is_refused),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_detach),
        cmocka_unit_test(test_generations),
    };

    return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}

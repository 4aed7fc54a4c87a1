// SPDX-License-Identifier: BSD-2-Clause
/* The arithmetic of runs against a plain walk over every record, and at huge offsets. */
#include "test.h"

#define SEED 20261

static const struct tlsrec_rule bulk_rule = {.block_bytes = PAGE_BYTES};

static void begin(struct tlsrec *tls, enum tlsrec_version version, enum tlsrec_suite suite,
                  uint64_t records_max)
{
    struct tlsrec_start start = {.seq = 2, .wire = 1000, .records_max = records_max};
    struct tlsrec_master master = {.secret = {1}};

    if (version == TLSREC_TLS13)
        tlsrec_init13(tls, test_engine, suite, master.secret, &start);
    else
        tlsrec_init12(tls, test_engine, suite, &master, true, &start);
}

static void test_sizes_around(void **state)
{
    static const struct {
        enum tlsrec_version version;
        enum tlsrec_suite suite;
        uint8_t head, tail;
    } cases[] = {
        {TLSREC_TLS13, TLSREC_AES_128_GCM, 5, 17},
        {TLSREC_TLS13, TLSREC_CHACHA20_POLY1305, 5, 17},
        {TLSREC_TLS12, TLSREC_AES_256_GCM, 13, 16},
        {TLSREC_TLS12, TLSREC_CHACHA20_POLY1305, 5, 16},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        struct tlsrec tls;
        struct tlsrec_run run;

        begin(&tls, cases[i].version, cases[i].suite, 0);
        assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 100, 0, &run), 100);
        assert_int_equal(run.head, cases[i].head);
        assert_int_equal(run.tail, cases[i].tail);
        assert_int_equal(run.wire, 1000);
        assert_int_equal(run.seq, 2);
        assert_int_equal(tlsrec_run_wire_bytes(&run), 100 + cases[i].head + cases[i].tail);
    }
}

/* A head of 300 bytes: in one record with three blocks, and then whole blocks. */
static void test_head_and_blocks(void **state)
{
    struct tlsrec tls;
    struct tlsrec_run run;
    struct tlsrec_record r;

    begin(&tls, TLSREC_TLS13, TLSREC_AES_128_GCM, 0);
    assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 300 + 100000, 300, &run), 100300);
    tlsrec_record_nth(&run, 0, &r);
    assert_int_equal(r.plain_bytes, 300 + 3 * 4096);
    tlsrec_record_nth(&run, 1, &r);
    assert_int_equal(r.plain, 300 + 3 * 4096);
    assert_int_equal(r.plain_bytes, 16384);
    assert_int_equal(r.wire, 1000 + 300 + 3 * 4096 + 22);
    assert_int_equal(tlsrec_run_records(&run), 1 + 5 + 1);
    tlsrec_record_nth(&run, 6, &r);
    assert_int_equal(r.plain_bytes, 100000 - 3 * 4096 - 5 * 16384);
    assert_int_equal(r.seq, 8);
}

/* Ten records of one segment each, and as many more as lead to a block boundary. */
static void test_small_ones_first(void **state)
{
    struct tlsrec_rule rule = {.small_count = 10, .small_wire = 1448, .block_bytes = PAGE_BYTES};
    struct tlsrec tls;
    struct tlsrec_run run;
    struct tlsrec_record r;

    begin(&tls, TLSREC_TLS13, TLSREC_AES_128_GCM, 0);
    assert_int_equal(tlsrec_run_open(&tls, &rule, 1 << 20, 300, &run), 1 << 20);
    for (uint64_t n = 0; n < 11; n++) {
        tlsrec_record_nth(&run, n, &r);
        assert_int_equal(r.wire, 1000 + n * 1448);
        assert_int_equal(tlsrec_record_bytes(&r), 1448);
    }
    tlsrec_record_nth(&run, 11, &r);
    assert_int_equal(r.plain + r.plain_bytes, 300 + 4 * 4096);
    tlsrec_record_nth(&run, 12, &r);
    assert_int_equal(r.plain_bytes, 16384);
}

/* A head and the first disk read behind it, then reads of 60 KiB: each a whole number of records.
 */
static void test_groups(void **state)
{
    static const struct tlsrec_rule rule = {.block_bytes = PAGE_BYTES, .group_bytes = 61440};
    static const struct {
        uint64_t plain;
        uint32_t bytes;
    } records[] = {{0, 16384},      {16384, 16384},  {32768, 16384},  {49152, 12588},
                   {61740, 16384},  {78124, 16384},  {94508, 16384},  {110892, 12288},
                   {123180, 16384}, {139564, 16384}, {155948, 16384}, {172332, 7668}};
    struct tlsrec tls;
    struct tlsrec_run run;

    begin(&tls, TLSREC_TLS13, TLSREC_AES_128_GCM, 1000);
    assert_int_equal(tlsrec_run_open(&tls, &rule, 180000, 300 + 61440, &run), 180000);
    assert_int_equal(tlsrec_run_records(&run), array_len(records));
    for (uint64_t n = 0; n < array_len(records); n++) {
        struct tlsrec_record r;

        tlsrec_record_nth(&run, n, &r);
        assert_int_equal(r.plain, records[n].plain);
        assert_int_equal(r.plain_bytes, records[n].bytes);
        assert_int_equal(r.wire, 1000 + records[n].plain + n * 22);
    }
}

/* Absurd rules from a peer's MSS or an operator still make records. */
static void test_odd_rules(void **state)
{
    static const struct tlsrec_rule rules[] = {
        {.small_count = 3, .small_wire = 0},
        {.small_count = UINT32_MAX, .small_wire = UINT32_MAX, .block_bytes = 65536},
        {.small_count = 1, .small_wire = 65535, .full_bytes = 512, .block_bytes = 4096},
        {.full_bytes = UINT32_MAX},
        {.full_bytes = 1},
        {.group_bytes = 1},
        {.group_bytes = UINT32_MAX},
        {.full_bytes = 1, .group_bytes = UINT32_MAX},
    };

    for (size_t i = 0; i < array_len(rules); i++) {
        struct tlsrec tls;
        struct tlsrec_run run;
        uint64_t plain = 0;

        begin(&tls, TLSREC_TLS12, TLSREC_AES_128_GCM, 0);
        assert_int_equal(tlsrec_run_open(&tls, &rules[i], 40000, 50000, &run), 40000);
        for (uint64_t n = 0; n < tlsrec_run_records(&run); n++) {
            struct tlsrec_record r;

            tlsrec_record_nth(&run, n, &r);
            assert_int_equal(r.plain, plain);
            assert_in_range(r.plain_bytes, 1, TLSREC_PLAIN_MAX);
            plain += r.plain_bytes;
        }
        assert_int_equal(plain, 40000);
    }
}

static void test_nothing(void **state)
{
    struct tlsrec tls;
    struct tlsrec_run run;

    begin(&tls, TLSREC_TLS13, TLSREC_AES_128_GCM, 0);
    assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 0, 0, &run), 0);
    assert_int_equal(tlsrec_run_records(&run), 0);
    assert_int_equal(tlsrec_run_wire_bytes(&run), 0);
}

static void random_rule(struct rand *rand, struct tlsrec_rule *rule)
{
    *rule = (struct tlsrec_rule){
        .small_count = rand_chance(rand, 0.3) ? 0 : (uint32_t)rand_below(rand, 60),
        .small_wire = 500 + (uint32_t)rand_below(rand, 9000),
        .full_bytes = rand_chance(rand, 0.8) ? 0 : 512 + (uint32_t)rand_below(rand, 15873),
        .block_bytes = rand_chance(rand, 0.2) ? 0 : 4096,
        .group_bytes = rand_chance(rand, 0.5) ? 0 : 1 + (uint32_t)rand_below(rand, 70000)};
}

static void assert_same(const struct tlsrec_record *a, const struct tlsrec_record *b)
{
    assert_int_equal(a->wire, b->wire);
    assert_int_equal(a->plain, b->plain);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->plain_bytes, b->plain_bytes);
}

/* The wire, record by record: every byte of it has one place, and both ways of asking agree. */
static void test_walk(void **state)
{
    struct rand rand;

    rand_seed(&rand, SEED);
    for (int i = 0; i < 400; i++) {
        struct tlsrec_rule rule;
        struct tlsrec_run run;
        struct tlsrec tls;
        uint64_t plain_bytes = 1 + rand_below(&rand, 300000), plain = 0, wire, n = 0;

        random_rule(&rand, &rule);
        begin(&tls, (enum tlsrec_version)rand_below(&rand, 2),
              (enum tlsrec_suite)rand_below(&rand, 3), 0);
        assert_int_equal(tlsrec_run_open(&tls, &rule, plain_bytes, rand_below(&rand, 9000), &run),
                         plain_bytes);
        wire = run.wire;
        while (plain < plain_bytes) {
            struct tlsrec_record r, at;
            struct tlsrec_piece piece;
            uint64_t offset, text_at;

            tlsrec_record_nth(&run, n, &r);
            assert_int_equal(r.wire, wire);
            assert_int_equal(r.plain, plain);
            assert_int_equal(r.seq, run.seq + n);
            assert_true(r.plain_bytes <= run.full_bytes);
            offset = rand_below(&rand, tlsrec_record_bytes(&r));
            tlsrec_piece_at(&run, wire + offset, UINT64_MAX, &piece);
            assert_same(&piece.record, &r);
            assert_int_equal(piece.from, offset);
            assert_int_equal(piece.to, tlsrec_record_bytes(&r));
            assert_true(tlsrec_piece_text(&piece, &text_at) <= r.plain_bytes);
            offset = rand_below(&rand, r.plain_bytes);
            tlsrec_record_at(&run, plain + offset, &at);
            assert_same(&at, &r);
            assert_int_equal(tlsrec_run_wire_at(&run, plain + offset), wire + r.head + offset);
            wire += tlsrec_record_bytes(&r);
            plain += r.plain_bytes;
            n++;
        }
        assert_int_equal(plain, plain_bytes);
        assert_int_equal(n, tlsrec_run_records(&run));
        assert_int_equal(wire, run.wire + tlsrec_run_wire_bytes(&run));
    }
}

/* Exabytes: only ChaCha20's numbers reach that far. */
static void test_huge_offsets(void **state)
{
    struct rand rand;

    rand_seed(&rand, SEED);
    for (int i = 0; i < 20000; i++) {
        struct tlsrec_rule rule;
        struct tlsrec_run run;
        struct tlsrec tls;
        uint64_t plain_bytes = 1 + (rand_u64(&rand) >> (2 + rand_below(&rand, 40)));
        uint64_t plain = rand_below(&rand, plain_bytes), wire, text_at;
        struct tlsrec_piece piece;

        random_rule(&rand, &rule);
        begin(&tls, (enum tlsrec_version)rand_below(&rand, 2), TLSREC_CHACHA20_POLY1305, 0);
        assert_true(tlsrec_run_open(&tls, &rule, plain_bytes, rand_below(&rand, 9000), &run) ==
                    plain_bytes);
        wire = tlsrec_run_wire_at(&run, plain);
        tlsrec_piece_at(&run, wire, 1, &piece);
        assert_int_equal(tlsrec_piece_text(&piece, &text_at), 1);
        assert_true(text_at == plain);
        assert_int_equal(piece.to, piece.from + 1);
        tlsrec_piece_at(&run, run.wire + tlsrec_run_wire_bytes(&run) - 1, 1, &piece);
        assert_true(piece.record.plain + piece.record.plain_bytes == plain_bytes);
        assert_int_equal(tlsrec_piece_text(&piece, &text_at), 0);
    }
}

/* A terabyte does not fit 2^24.5 records of 16 KiB: the run ends where the keys do. */
static void test_limit_of_the_cipher(void **state)
{
    const uint64_t ask = 1ull << 40;
    struct tlsrec tls;
    struct tlsrec_run run;
    struct tlsrec_note note;
    uint64_t got;

    begin(&tls, TLSREC_TLS12, TLSREC_AES_256_GCM, 0);
    got = tlsrec_run_open(&tls, &bulk_rule, ask, 0, &run);
    assert_int_equal(got, (TLSREC_GCM_RECORDS - TLSREC_NOTE_RECORDS - 2) * 16384);
    assert_int_equal(run.seq + tlsrec_run_records(&run), TLSREC_GCM_RECORDS - TLSREC_NOTE_RECORDS);
    assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 1, 0, &run), 0);
    assert_false(tlsrec_update_due(&tls));
    assert_int_equal(tlsrec_key_update(&tls, false, &note), -ENOTSUP);
    for (int i = 0; i < TLSREC_NOTE_RECORDS; i++)
        assert_int_equal(tlsrec_alert(&tls, TLSREC_INTERNAL_ERROR, &note), 0);
    assert_int_equal(tlsrec_alert(&tls, TLSREC_CLOSE_NOTIFY, &note), -EOVERFLOW);
}

static void test_update_makes_room(void **state)
{
    struct tlsrec tls;
    struct tlsrec_run first, rest, last;
    struct tlsrec_note note, refused;

    begin(&tls, TLSREC_TLS13, TLSREC_AES_256_GCM, 100);
    assert_false(tlsrec_update_due(&tls));
    assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 200 * 16384, 0, &first), 94 * 16384);
    assert_true(tlsrec_update_due(&tls));
    assert_int_equal(tlsrec_key_update(&tls, false, &note), 0);
    assert_int_equal(note.run.generation, 0);
    assert_int_equal(note.run.seq, 96);
    assert_int_equal(note.run.type, TLSREC_HANDSHAKE);
    assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 106 * 16384, 0, &rest), 96 * 16384);
    assert_int_equal(rest.generation, 1);
    assert_int_equal(rest.seq, 0);
    assert_int_equal(rest.wire, note.run.wire + tlsrec_run_wire_bytes(&note.run));

    assert_int_equal(tlsrec_key_update(&tls, false, &refused), -EBUSY);
    tlsrec_acked(&tls, rest.wire - 1);
    assert_int_equal(tlsrec_key_update(&tls, false, &refused), -EBUSY);
    tlsrec_acked(&tls, rest.wire);
    assert_int_equal(tlsrec_key_update(&tls, false, &note), 0);
    assert_int_equal(tlsrec_run_open(&tls, &bulk_rule, 10 * 16384, 0, &last), 10 * 16384);
    assert_int_equal(last.generation, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_around),
        cmocka_unit_test(test_head_and_blocks),
        cmocka_unit_test(test_small_ones_first),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_odd_rules),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_huge_offsets),
        cmocka_unit_test(test_limit_of_the_cipher),
        cmocka_unit_test(test_update_makes_room),
    };

    return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}

// SPDX-License-Identifier: BSD-2-Clause
/* The ciphers and the records against what NIST and the RFCs print. */
#include "test.h"

#define TEXT_MAX 256

struct vector {
    const char *from;
    enum tlsrec_suite suite;
    const char *key, *nonce, *aad, *text, *sealed, *tag;
};

/* gcmEncryptExtIV*: NIST's validation program (CAVP); "GCM n": test cases of the specification. */
static const struct vector vectors[] = {
    {"gcmEncryptExtIV128 0, 0", TLSREC_AES_128_GCM, "11754cd72aec309bf52f7687212e8957",
     "3c819d9a9bed087615030b65", "", "", "", "250327c674aaf477aef2675748cf6971"},
    {"gcmEncryptExtIV128 0, 128", TLSREC_AES_128_GCM, "77be63708971c4e240d1cb79e8d77feb",
     "e0e00f19fed7ba0136a797f3", "7a43ec1d9c0a5a78a0b16533a6213cab", "", "",
     "209fcc8d3675ed938e9c7166709dd946"},
    {"gcmEncryptExtIV128 104, 0", TLSREC_AES_128_GCM, "fe9bb47deb3a61e423c2231841cfd1fb",
     "4d328eb776f500a2f7fb47aa", "", "f1cc3818e421876bb6b8bbd6c9", "b88c5c1977b35b517b0aeae967",
     "43fd4727fe5cdb4b5b42818dea7ef8c9"},
    {"gcmEncryptExtIV128 128, 0", TLSREC_AES_128_GCM, "7fddb57453c241d03efbed3ac44e371c",
     "ee283a3fc75575e33efd4887", "", "d5de42b461646c255c87bd2962d3b9a2",
     "2ccda4a5415cb91e135c2a0f78c9b2fd", "b36d1df9b9d5e596f83e8b7f52971cb3"},
    {"gcmEncryptExtIV128 128, 128", TLSREC_AES_128_GCM, "c939cc13397c1d37de6ae0e1cb7c423c",
     "b3d8cc017cbb89b39e0f67e2", "24825602bd12a984e0092d3e448eda5f",
     "c3b3c41f113a31b73d9a5cd432103069", "93fe7d9e9bfd10348a5606e5cafa7354",
     "0032a1dc85f1c9786925a2e71d8272dd"},
    {"gcmEncryptExtIV128 128, 160", TLSREC_AES_128_GCM, "d4a22488f8dd1d5c6c19a7d6ca17964c",
     "f3d5837f22ac1a0425e0d1d5", "f1c5d424b83f96c6ad8cb28ca0d20e475e023b5a",
     "7b43016a16896497fb457be6d2a54122", "c2bd67eef5e95cac27e3b06e3031d0a8",
     "f23eacf9d1cdf8737726c58648826e9c"},
    {"gcmEncryptExtIV128 408, 160", TLSREC_AES_128_GCM, "fe47fcce5fc32665d2ae399e4eec72ba",
     "5adb9609dbaeb58cbd6e7275", "88319d6e1d3ffa5f987199166c8a9b56c2aeba5a",
     "7c0e88c88899a779228465074797cd4c2e1498d259b54390b85e3eef1c02df60e743f1b840382c4bccaf3bafb4ca"
     "8429bea063",
     "98f4826f05a265e6dd2be82db241c0fbbbf9ffb1c173aa83964b7cf5393043736365253ddbc5db8778371495da76"
     "d269e5db3e",
     "291ef1982e4defedaa2249f898556b47"},
    {"gcmEncryptExtIV256 128, 0", TLSREC_AES_256_GCM,
     "31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22", "0d18e06c7c725ac9e362e1ce",
     "", "2db5168e932556f8089a0622981d017d", "fa4362189661d163fcd6a56d8bf0405a",
     "d636ac1bbedd5cc3ee727dc2ab4a9489"},
    {"GCM 4", TLSREC_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
     "b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84"
     "aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"GCM 13", TLSREC_AES_256_GCM,
     "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"GCM 14", TLSREC_AES_256_GCM,
     "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {"GCM 16", TLSREC_AES_256_GCM,
     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
     "b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b105682"
     "8838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {"RFC 8439 2.8.2", TLSREC_CHACHA20_POLY1305,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
     "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a2049662049"
     "20636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c20"
     "73756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92"
     "728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b"
     "4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

struct sealed {
    uint8_t key[32], nonce[NONCE_BYTES], aad[64], text[TEXT_MAX], want[TEXT_MAX], tag[16];
    uint32_t aad_bytes, text_bytes;
    _Alignas(CACHE_LINE) uint8_t expanded[TLSREC_EXPANDED_BYTES];
};

static void load(const struct vector *v, struct sealed *s)
{
    from_hex(v->key, s->key, sizeof(s->key));
    from_hex(v->nonce, s->nonce, sizeof(s->nonce));
    s->aad_bytes = from_hex(v->aad, s->aad, sizeof(s->aad));
    s->text_bytes = from_hex(v->text, s->text, sizeof(s->text));
    from_hex(v->sealed, s->want, sizeof(s->want));
    from_hex(v->tag, s->tag, sizeof(s->tag));
    aead_expand(test_engine, v->suite, s->key, s->expanded);
}

/* In place and apart, with the last byte as a suffix and without. */
static void check_seal(const struct vector *v, struct sealed *s, bool in_place, bool has_suffix)
{
    uint8_t out[TEXT_MAX] = {0}, tag[16] = {0};
    struct aead_message m = {.nonce = s->nonce,
                             .aad = s->aad,
                             .aad_bytes = s->aad_bytes,
                             .text = in_place ? out : s->text,
                             .text_bytes = s->text_bytes,
                             .out = out};

    if (has_suffix) {
        m.text_bytes--;
        m.suffix_bytes = 1;
        m.suffix = s->text[m.text_bytes];
    }
    if (in_place)
        memcpy(out, s->text, m.text_bytes);
    aead_seal(test_engine, v->suite, s->expanded, &m, tag);
    assert_memory_equal(out, s->want, s->text_bytes);
    assert_memory_equal(tag, s->tag, sizeof(tag));
}

static void test_aead(void **state)
{
    for (size_t i = 0; i < array_len(vectors); i++) {
        struct sealed s = {0};

        load(&vectors[i], &s);
        for (int way = 0; way < 4; way++)
            if (way < 2 || s.text_bytes > 0)
                check_seal(&vectors[i], &s, way & 1, way & 2);
    }
}

static void test_ranges_of_vectors(void **state)
{
    for (size_t i = 0; i < array_len(vectors); i++) {
        struct sealed s = {0};

        load(&vectors[i], &s);
        for (uint32_t from = 0; from < s.text_bytes; from++)
            for (uint32_t to = from + 1; to <= s.text_bytes; to++) {
                uint8_t out[TEXT_MAX];

                aead_stream(test_engine, vectors[i].suite, s.expanded, s.nonce, from, out,
                            s.text + from, to - from);
                assert_memory_equal(out, s.want + from, to - from);
            }
    }
}

/* --- RFC 8448 3, "Simple 1-RTT Handshake": what follows the handshake --------------------------
 */

static const char server_secret[] =
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
static const char client_secret[] =
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
static const char ticket[] =
    "040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90"
    "bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d"
    "2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f"
    "92f228bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e9334369"
    "4093934ae4d3570008002a000400000400";
static const char ticket_record[] =
    "17 03 03 00 de 3a 6b 8f 90 41 4a 97 d6 95 9c 34 87 68 0d e5 13 4a 2b 24 "
    "0e 6c ff ac 11 6e 95 d4 1d 6a f8 f6 b5 80 dc f3 d1 1d 63 c7 58 db 28 9a "
    "01 59 40 25 2f 55 71 3e 06 1d c1 3e 07 88 91 a3 8e fb cf 57 53 ad 8e f1 "
    "70 ad 3c 73 53 d1 6d 9d a7 73 b9 ca 7f 2b 9f a1 b6 c0 d4 a3 d0 3f 75 e0 "
    "9c 30 ba 1e 62 97 2a c4 6f 75 f7 b9 81 be 63 43 9b 29 99 ce 13 06 46 15 "
    "13 98 91 d5 e4 c5 b4 06 f1 6e 3f c1 81 a7 7c a4 75 84 00 25 db 2f 0a 77 "
    "f8 1b 5a b0 5b 94 c0 13 46 75 5f 69 23 2c 86 51 9d 86 cb ee ac 87 aa c3 "
    "47 d1 43 f9 60 5d 64 f6 50 db 4d 02 3e 70 e9 52 ca 49 fe 51 37 12 1c 74 "
    "bc 26 97 68 7e 24 87 46 d6 df 35 30 05 f3 bc e1 86 96 12 9c 81 53 55 6b "
    "3b 6c 67 79 b3 7b f1 59 85 68 4f";
static const char server_data_record[] =
    "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc "
    "32 25 d0 5f 82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 "
    "fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d";
static const char server_close_record[] =
    "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9";
static const char client_data_record[] =
    "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea "
    "42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b "
    "62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4";
static const char client_close_record[] =
    "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3";

static const struct tlsrec_rule plain_rule;
static struct tlsrec_keys keys;

static void begin(struct tlsrec *tls, const char *secret_hex)
{
    struct tlsrec_start start = {0};
    uint8_t secret[32];

    from_hex(secret_hex, secret, sizeof(secret));
    tlsrec_init13(tls, test_engine, TLSREC_AES_128_GCM, secret, &start);
    tlsrec_attach(tls, &keys);
}

static void expect_run(struct tlsrec *tls, const struct tlsrec_run *run, const uint8_t *text,
                       const char *want_hex)
{
    uint8_t want[TEXT_MAX], out[TEXT_MAX];
    uint32_t bytes = from_hex(want_hex, want, sizeof(want));
    struct tlsrec_record record;
    struct tlsrec_tag tag;

    assert_int_equal(tlsrec_run_records(run), 1);
    assert_int_equal(tlsrec_run_wire_bytes(run), bytes);
    tlsrec_record_nth(run, 0, &record);
    assert_int_equal(tlsrec_seal(tls, &record, out, text, &tag), TLSREC_SEALED);
    assert_memory_equal(out, want, bytes);
}

static void expect_text(struct tlsrec *tls, uint8_t type, const uint8_t *text, uint32_t bytes,
                        const char *want_hex)
{
    struct tlsrec_run run;

    assert_int_equal(tlsrec_run_open(tls, &plain_rule, bytes, 0, &run), bytes);
    run.type = type;
    expect_run(tls, &run, text, want_hex);
}

static void expect_close(struct tlsrec *tls, const char *want_hex)
{
    struct tlsrec_note note;

    assert_int_equal(tlsrec_alert(tls, TLSREC_CLOSE_NOTIFY, &note), 0);
    expect_run(tls, &note.run, note.text, want_hex);
    assert_ptr_equal(tlsrec_detach(tls), &keys);
    tlsrec_close(tls);
}

static void test_rfc8448(void **state)
{
    uint8_t text[TEXT_MAX], data[50];
    uint32_t text_bytes = from_hex(ticket, text, sizeof(text));
    struct tlsrec tls;

    for (uint8_t i = 0; i < sizeof(data); i++)
        data[i] = i;
    begin(&tls, server_secret);
    expect_text(&tls, TLSREC_HANDSHAKE, text, text_bytes, ticket_record);
    expect_text(&tls, TLSREC_DATA, data, sizeof(data), server_data_record);
    expect_close(&tls, server_close_record);

    begin(&tls, client_secret);
    expect_text(&tls, TLSREC_DATA, data, sizeof(data), client_data_record);
    expect_close(&tls, client_close_record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aead),
        cmocka_unit_test(test_ranges_of_vectors),
        cmocka_unit_test(test_rfc8448),
    };

    return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}

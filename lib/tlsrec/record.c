// SPDX-License-Identifier: BSD-2-Clause
/*
 * record.c - records: header, nonce, additional data, and sealing whole or in part.
 */
#include "priv.h"

#include "base/bytes.h"

#define INNER_TYPE_BYTES 1

static_assert(TLSREC_HEAD_MAX < MEM_CHUNK_HEADROOM, "a chunk has room in front of a record");
static_assert(TLSREC_TAIL_MAX <= MEM_CHUNK_TAILROOM, "a chunk has room behind a record");

static const struct tlsrec_generation *generation_for(const struct tlsrec *tls,
                                                      const struct tlsrec_record *record)
{
    const struct tlsrec_generation *g = &tls->generations[record->generation & 1];

    assert(g->live && tls->number - record->generation <= 1);
    return g;
}

static const uint8_t *expanded_for(const struct tlsrec *tls, const struct tlsrec_record *record)
{
    assert(tls->keys);
    return tls->keys->expanded[record->generation & 1];
}

/* RFC 8446 5.1, 5.2; RFC 5246 6.2.3.3; the explicit nonce of RFC 5288 3 is the record's number. */
static void put_head(const struct tlsrec *tls, const struct tlsrec_record *r, uint8_t *head)
{
    head[0] = tls->version == TLSREC_TLS13 ? TLSREC_DATA : r->type;
    put_be16(head + 1, TLS12_VERSION);
    put_be16(head + 3, (uint16_t)(tlsrec_record_bytes(r) - HEADER_BYTES));
    if (r->head > HEADER_BYTES)
        put_be64(head + HEADER_BYTES, r->seq);
}

void record_nonce(const uint8_t *iv, uint64_t number, bool is_explicit, uint8_t *nonce)
{
    memcpy(nonce, iv, NONCE_BYTES);
    put_be64(nonce + 4, is_explicit ? number : get_be64(iv + 4) ^ number);
}

static void make_nonce(const struct tlsrec *tls, const struct tlsrec_record *r, uint8_t *nonce)
{
    record_nonce(generation_for(tls, r)->iv, r->seq, r->head > HEADER_BYTES, nonce);
}

uint32_t record_aad13(const uint8_t *head, uint8_t *aad)
{
    memcpy(aad, head, HEADER_BYTES);
    return HEADER_BYTES;
}

uint32_t record_aad12(uint64_t seq, uint8_t type, uint16_t plain_bytes, uint8_t *aad)
{
    put_be64(aad, seq);
    aad[8] = type;
    put_be16(aad + 9, TLS12_VERSION);
    put_be16(aad + 11, plain_bytes);
    return AAD_MAX;
}

bool tlsrec_was_sealed(const struct tlsrec *tls, const struct tlsrec_record *record)
{
    return record->seq < generation_for(tls, record)->sealed;
}

enum tlsrec_verdict tlsrec_seal(struct tlsrec *tls, const struct tlsrec_record *record,
                                uint8_t *out, const uint8_t *text, struct tlsrec_tag *tag)
{
    struct tlsrec_generation *g = generation_of(tls, record->generation);
    uint8_t nonce[NONCE_BYTES], aad[AAD_MAX];
    uint8_t *tag_out = out + tlsrec_record_bytes(record) - TLSREC_TAG_BYTES;
    struct aead_message message = {.nonce = nonce,
                                   .aad = aad,
                                   .text = text,
                                   .text_bytes = record->plain_bytes,
                                   .suffix = record->type,
                                   .suffix_bytes = record->tail - TLSREC_TAG_BYTES,
                                   .out = out + record->head};

    assert(record->seq <= g->sealed);
    put_head(tls, record, out);
    make_nonce(tls, record, nonce);
    message.aad_bytes = tls->version == TLSREC_TLS13
                            ? record_aad13(out, aad)
                            : record_aad12(record->seq, record->type, record->plain_bytes, aad);
    aead_seal(tls->engine, tls->suite, expanded_for(tls, record), &message, tag_out);
    if (record->seq == g->sealed) {
        g->sealed++;
        memcpy(tag->bytes, tag_out, TLSREC_TAG_BYTES);
        return TLSREC_SEALED;
    }
    if (likely(memcmp(tag->bytes, tag_out, TLSREC_TAG_BYTES) == 0))
        return TLSREC_SAME;
    explicit_bzero(out, tlsrec_record_bytes(record));
    return TLSREC_DIFFERS;
}

/* Bytes [from, to) of what stands at `at` in the record and is `bytes` long. */
static uint8_t *copy_part(const struct tlsrec_piece *piece, uint32_t at, const uint8_t *bytes,
                          uint32_t count, uint8_t *out)
{
    uint32_t from = max_u32(piece->from, at), to = min_u32(piece->to, at + count);

    if (from >= to)
        return out;
    memcpy(out, bytes + (from - at), to - from);
    return out + (to - from);
}

void tlsrec_seal_range(const struct tlsrec *tls, const struct tlsrec_piece *piece, uint8_t *out,
                       const uint8_t *text, const struct tlsrec_tag *tag)
{
    const struct tlsrec_record *r = &piece->record;
    const uint8_t *expanded = expanded_for(tls, r);
    uint32_t type_at = (uint32_t)r->head + r->plain_bytes, text_bytes;
    uint8_t head[TLSREC_HEAD_MAX], nonce[NONCE_BYTES];
    uint64_t plain;

    assert(tlsrec_was_sealed(tls, r));
    put_head(tls, r, head);
    make_nonce(tls, r, nonce);
    out = copy_part(piece, 0, head, r->head, out);
    text_bytes = tlsrec_piece_text(piece, &plain);
    if (text_bytes > 0)
        aead_stream(tls->engine, tls->suite, expanded, nonce, (uint32_t)(plain - r->plain), out,
                    text, text_bytes);
    out += text_bytes;
    if (r->tail > TLSREC_TAG_BYTES && piece->from <= type_at && type_at < piece->to) {
        aead_stream(tls->engine, tls->suite, expanded, nonce, r->plain_bytes, out, &r->type,
                    INNER_TYPE_BYTES);
        out += INNER_TYPE_BYTES;
    }
    copy_part(piece, (uint32_t)r->head + r->plain_bytes + r->tail - TLSREC_TAG_BYTES, tag->bytes,
              TLSREC_TAG_BYTES, out);
}

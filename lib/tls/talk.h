// SPDX-License-Identifier: BSD-2-Clause
/*
 * talk.h - a request and a response over a link whose handshake is over: opened and sealed by
 * tlsrec, with what was handed over.
 */
#ifndef TLS_TALK_H
#define TLS_TALK_H

#include "link.h"

#define RESPONSE_BYTES 100000
#define REQUEST        "GET / HTTP/1.1\r\n\r\n"

/* --- what the client seals, the inbox reads --------------------------------------------------- */

static inline void request(struct link *l)
{
    static uint8_t plain[TLSREC_INBOX_ROOM];
    const uint8_t *in = l->wire;
    struct tlsrec_events events;
    size_t n;

    assert_int_equal(SSL_write(l->client, REQUEST, sizeof(REQUEST) - 1), sizeof(REQUEST) - 1);
    n = link_drain(l);
    n = tlsrec_read(&l->inbox, &in, &n, plain, &events);
    assert_int_equal(n, sizeof(REQUEST) - 1);
    assert_memory_equal(plain, REQUEST, n);
}

/* --- what tlsrec seals, the client reads ------------------------------------------------------ */

struct sender {
    struct tlsrec tls;
    struct tlsrec_keys keys;
};

static inline void sender_open(struct sender *s, const struct tls_handover *h)
{
    struct tlsrec_start start = {.seq = h->sealed};

    memset(s, 0, sizeof(*s));
    if (h->version == TLSREC_TLS13)
        tlsrec_init13(&s->tls, test_engine, h->suite, h->our_secret, &start);
    else
        tlsrec_init12(&s->tls, test_engine, h->suite, &h->master, true, &start);
    tlsrec_attach(&s->tls, &s->keys);
}

static inline void sender_close(struct sender *s)
{
    assert_ptr_equal(tlsrec_detach(&s->tls), &s->keys);
    tlsrec_close(&s->tls);
}

static inline void seal_run(struct sender *s, const struct tlsrec_run *run, const uint8_t *text,
                            BIO *to)
{
    static uint8_t wire[TLSREC_PLAIN_MAX + TLSREC_HEAD_MAX + TLSREC_TAIL_MAX];

    for (uint64_t n = 0; n < tlsrec_run_records(run); n++) {
        struct tlsrec_record r;
        struct tlsrec_tag tag;
        int bytes;

        tlsrec_record_nth(run, n, &r);
        bytes = (int)tlsrec_record_bytes(&r);
        assert_int_equal(tlsrec_seal(&s->tls, &r, wire, text + r.plain, &tag), TLSREC_SEALED);
        assert_int_equal(BIO_write(to, wire, bytes), bytes);
    }
}

static inline void expect_text(SSL *client, const uint8_t *text, size_t bytes)
{
    static uint8_t got[RESPONSE_BYTES];
    size_t at = 0, n;

    while (at < bytes) {
        ERR_clear_error();
        assert_int_equal(SSL_read_ex(client, got + at, bytes - at, &n), 1);
        at += n;
    }
    assert_memory_equal(got, text, bytes);
}

/* A whole response, and the end. */
static inline void respond(struct link *l)
{
    static uint8_t text[RESPONSE_BYTES];
    struct tlsrec_rule rule = {.small_count = 3,
                               .small_wire = 1400,
                               .block_bytes = PAGE_BYTES,
                               .full_bytes = l->handover.full_bytes};
    struct tlsrec_run run;
    struct tlsrec_note note;
    struct sender s;
    uint8_t byte;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 31 >> 3);
    if (rule.full_bytes) {
        rule.small_count = 0;
        rule.block_bytes = 0;
    }
    sender_open(&s, &l->handover);
    assert_int_equal(tlsrec_run_open(&s.tls, &rule, sizeof(text), 100, &run), sizeof(text));
    seal_run(&s, &run, text, l->to_client);
    expect_text(l->client, text, sizeof(text));
    assert_int_equal(tlsrec_alert(&s.tls, TLSREC_CLOSE_NOTIFY, &note), 0);
    seal_run(&s, &note.run, note.text, l->to_client);
    assert_int_equal(SSL_read(l->client, &byte, 1), 0);
    assert_int_equal(SSL_get_error(l->client, 0), SSL_ERROR_ZERO_RETURN);
    sender_close(&s);
}

#endif

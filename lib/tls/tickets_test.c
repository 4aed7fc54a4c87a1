// SPDX-License-Identifier: BSD-2-Clause
/*
 * tickets_test.c - sessions that go on, for as long as there is a key for their tickets.
 */
#include "talk.h"

#define ROTATE_S 100

static const struct wish wishes[] = {{.version = TLS1_2_VERSION}, {.version = TLS1_3_VERSION}};

static bool same_ticket(const SSL_SESSION *a, const SSL_SESSION *b)
{
    const uint8_t *x, *y;
    size_t m, n;

    SSL_SESSION_get0_ticket(a, &x, &m);
    SSL_SESSION_get0_ticket(b, &y, &n);
    return m == n && memcmp(x, y, n) == 0;
}

/* How many tickets the client was given, and its last session. Of a new ticket for an old session
 * of TLS 1.2 it is not told. */
static uint32_t take_session(struct link *l, SSL_SESSION **session)
{
    SSL_SESSION *next;
    uint32_t count;
    uint8_t byte;

    if (l->handover.version == TLSREC_TLS12) {
        next = SSL_get0_session(l->client);
        if (!SSL_SESSION_has_ticket(next))
            return 0;
        count = *session && same_ticket(*session, next) ? 0 : 1;
    } else {
        (void)SSL_read(l->client, &byte, 1); // tickets are read as data is
        next = l->session;
        count = l->tickets;
    }
    if (next) {
        SSL_SESSION_up_ref(next);
        SSL_SESSION_free(*session);
        *session = next;
    }
    return count;
}

/* A handshake, with a session or without; what it left is `*session`'s new value. */
static struct tls_handover visit(struct tls_ctx *ctx, struct wish wish, SSL_SESSION **session,
                                 uint32_t *tickets)
{
    struct tls_handover handover;
    struct link *l;

    wish.session = *session;
    l = link_ready(ctx, &wish);
    handover = l->handover;
    assert_int_equal(SSL_session_reused(l->client), handover.resumed);
    assert_int_equal(handover.opened, handover.version == TLSREC_TLS12 ? 1 : 0);
    *tickets = take_session(l, session);
    request(l);
    respond(l);
    link_close(l);
    return handover;
}

static void test_resumption(void **state)
{
    struct tls_tickets *tickets;
    struct tls_ctx *ctx;

    assert_int_equal(tls_tickets_open(&tickets, ROTATE_S), 0);
    ctx = open_plain(KEY_P256, tickets);
    for (size_t i = 0; i < array_len(wishes); i++) {
        bool is_13 = wishes[i].version == TLS1_3_VERSION;
        SSL_SESSION *session = NULL;
        struct tls_handover h;
        uint32_t count;

        h = visit(ctx, wishes[i], &session, &count);
        assert_true(!h.resumed && count == (is_13 ? 2 : 1) && h.sealed == (is_13 ? 2 : 1));
        assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(session), ROTATE_S);
        assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
        h = visit(ctx, wishes[i], &session, &count);
        // TLS 1.3: a ticket is for one use, so there is another.
        assert_true(h.resumed && count == (is_13 ? 1 : 0) && h.sealed == 1);
        h = visit(ctx, wishes[i], &session, &count);
        assert_true(h.resumed && h.sealed == 1);
        SSL_SESSION_free(session);
    }
    tls_ctx_put(ctx);
    tls_tickets_close(tickets);
}

static void test_no_tickets(void **state)
{
    struct tls_ctx *ctx = open_plain(KEY_P256, NULL);

    for (size_t i = 0; i < array_len(wishes); i++) {
        SSL_SESSION *session = NULL;
        uint32_t count;

        assert_false(visit(ctx, wishes[i], &session, &count).resumed);
        assert_int_equal(count, 0);
        assert_null(session);
    }
    tls_ctx_put(ctx);
}

/* One turn: still good, and renewed. Two turns: forgotten. */
static void test_rotation(void **state)
{
    for (size_t i = 0; i < array_len(wishes); i++) {
        SSL_SESSION *old = NULL, *renewed = NULL;
        struct tls_tickets *tickets;
        struct tls_ctx *ctx;
        uint32_t count;

        assert_int_equal(tls_tickets_open(&tickets, ROTATE_S), 0);
        ctx = open_plain(KEY_P256, tickets);
        tls_tickets_turn(tickets, 1000);
        visit(ctx, wishes[i], &old, &count);
        tls_tickets_turn(tickets, 1000 + ROTATE_S - 1);
        tls_tickets_turn(tickets, 1000 + ROTATE_S);
        tls_tickets_turn(tickets, 1000 + ROTATE_S);
        renewed = SSL_SESSION_dup(old);
        assert_true(visit(ctx, wishes[i], &renewed, &count).resumed);
        assert_int_equal(count, 1);
        tls_tickets_turn(tickets, 1000 + 2 * ROTATE_S);
        assert_false(visit(ctx, wishes[i], &old, &count).resumed);
        assert_true(visit(ctx, wishes[i], &renewed, &count).resumed);
        // Nobody turned for long: no key is as old as that.
        tls_tickets_turn(tickets, 1000 + 4 * ROTATE_S);
        assert_false(visit(ctx, wishes[i], &renewed, &count).resumed);
        SSL_SESSION_free(old);
        SSL_SESSION_free(renewed);
        tls_ctx_put(ctx);
        tls_tickets_close(tickets);
    }
}

/* A new certificate for the same names: tickets of before go on. */
static void test_other_context(void **state)
{
    const struct cert_spec spec = {.key = KEY_P384, .names = "DNS:atlas.example"};
    const struct cert_spec other = {.key = KEY_P384, .names = "DNS:other.example"};
    struct tls_identity identity = {test_path("next.pem"), key_path(KEY_P384), NULL};
    struct tls_policy policy = {.identities = &identity, .identity_count = 1};
    struct tls_tickets *tickets;

    assert_int_equal(tls_tickets_open(&tickets, ROTATE_S), 0);
    policy.tickets = tickets;
    for (size_t i = 0; i < array_len(wishes); i++) {
        struct tls_ctx *ctx = open_plain(KEY_P256, tickets);
        SSL_SESSION *session = NULL;
        uint32_t count;

        visit(ctx, wishes[i], &session, &count);
        tls_ctx_put(ctx);
        X509_free(write_identity("next.pem", &spec));
        ctx = open_ctx(&policy);
        assert_true(visit(ctx, wishes[i], &session, &count).resumed);
        tls_ctx_put(ctx);
        X509_free(write_identity("next.pem", &other));
        ctx = open_ctx(&policy);
        assert_false(visit(ctx, wishes[i], &session, &count).resumed);
        tls_ctx_put(ctx);
        SSL_SESSION_free(session);
    }
    tls_tickets_close(tickets);
}

/* RFC 6066 3: a session of one host is none of another's. */
static void test_other_host(void **state)
{
    const struct cert_spec spec = {.key = KEY_P256, .names = "DNS:second.example"};
    struct tls_identity identities[] = {plain_identity(KEY_P256),
                                        {test_path("second.pem"), key_path(KEY_P256), NULL}};
    struct tls_policy policy = {.identities = identities, .identity_count = 2};
    struct tls_tickets *tickets;
    struct tls_ctx *ctx;

    assert_int_equal(tls_tickets_open(&tickets, ROTATE_S), 0);
    policy.tickets = tickets;
    X509_free(write_identity("second.pem", &spec));
    ctx = open_ctx(&policy);
    for (size_t i = 0; i < array_len(wishes); i++) {
        struct wish wish = wishes[i];
        SSL_SESSION *session = NULL, *saved;
        uint32_t count;

        wish.name = "atlas.example";
        visit(ctx, wish, &session, &count);
        saved = SSL_SESSION_dup(session);
        SSL_SESSION_set1_hostname(saved, NULL);
        wish.name = "second.example";
        assert_false(visit(ctx, wish, &saved, &count).resumed);
        SSL_SESSION_free(saved);
        wish.name = "atlas.example";
        assert_true(visit(ctx, wish, &session, &count).resumed);
        SSL_SESSION_free(session);
    }
    tls_ctx_put(ctx);
    tls_tickets_close(tickets);
}

/* Tickets of another server. */
static void test_foreign_tickets(void **state)
{
    struct tls_tickets *ours, *theirs;
    struct tls_ctx *ctx, *other;

    assert_int_equal(tls_tickets_open(&ours, ROTATE_S), 0);
    assert_int_equal(tls_tickets_open(&theirs, ROTATE_S), 0);
    ctx = open_plain(KEY_P256, ours);
    other = open_plain(KEY_P256, theirs);
    for (size_t i = 0; i < array_len(wishes); i++) {
        SSL_SESSION *session = NULL;
        uint32_t count;

        visit(other, wishes[i], &session, &count);
        assert_false(visit(ctx, wishes[i], &session, &count).resumed);
        assert_true(visit(ctx, wishes[i], &session, &count).resumed);
        SSL_SESSION_free(session);
    }
    tls_ctx_put(ctx);
    tls_ctx_put(other);
    tls_tickets_close(ours);
    tls_tickets_close(theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumption), cmocka_unit_test(test_no_tickets),
        cmocka_unit_test(test_rotation),   cmocka_unit_test(test_other_context),
        cmocka_unit_test(test_other_host), cmocka_unit_test(test_foreign_tickets),
    };

    return cmocka_run_group_tests(tests, link_setup, link_teardown);
}

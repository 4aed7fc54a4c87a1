// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctx.c - hosts with their certificates, the policy, and what OpenSSL asks us during a handshake.
 *
 * Every host has an SSL_CTX, all of them alike but for certificates. A connection begins with the
 * first one's and moves to that of the host which the client names, before anything else in its
 * hello is looked at.
 */
#include "priv.h"

#include "base/bytes.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSION_CONTEXT "atlas"
#define ALPN_HTTP11     "http/1.1"
#define GROUPS          "X25519:P-256:P-384"
/* In order of preference. ECDSA is a tenth of RSA's work; SHA-1 is not among them. */
#define SIGNATURES                                                                                 \
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519:"                                       \
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"                                 \
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512"
/* Keys of 112 bits' worth: RSA of 2048 bits. */
#define SECURITY_LEVEL 2
#define OPTIONS                                                                                    \
    (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |           \
     SSL_OP_PRIORITIZE_CHACHA)

/* The ciphers that tlsrec has. Those of TLS 1.2 have a name for each kind of certificate. */
static const struct suite {
    const char *name;
    enum tlsrec_version version;
} suites[] = {
    {"TLS_AES_128_GCM_SHA256", TLSREC_TLS13},       {"TLS_AES_256_GCM_SHA384", TLSREC_TLS13},
    {"TLS_CHACHA20_POLY1305_SHA256", TLSREC_TLS13}, {"ECDHE-ECDSA-AES128-GCM-SHA256", TLSREC_TLS12},
    {"ECDHE-RSA-AES128-GCM-SHA256", TLSREC_TLS12},  {"ECDHE-ECDSA-AES256-GCM-SHA384", TLSREC_TLS12},
    {"ECDHE-RSA-AES256-GCM-SHA384", TLSREC_TLS12},  {"ECDHE-ECDSA-CHACHA20-POLY1305", TLSREC_TLS12},
    {"ECDHE-RSA-CHACHA20-POLY1305", TLSREC_TLS12},
};
#define SUITE_NAME_MAX 32
#define SUITES_BYTES   (array_len(suites) * (SUITE_NAME_MAX + 1))

/* The policy in OpenSSL's words. */
struct rules {
    int version_min, version_max;
    char suites[2][SUITES_BYTES]; /* by version */
    uint32_t suite_counts[2];
};

int tls_refuse(const struct why *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why->text, why->room, fmt, args);
    va_end(args);
    return -EINVAL;
}

const char *tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    return reason ? reason : "OpenSSL does not say why";
}

/* --- the suites ------------------------------------------------------------------------------- */

static const struct suite *suite_find(const char *name, size_t len)
{
    for (size_t i = 0; i < array_len(suites); i++)
        if (strlen(suites[i].name) == len && memcmp(suites[i].name, name, len) == 0)
            return &suites[i];
    return NULL;
}

/* A name that stands twice counts where it stands first. */
static void suite_add(struct rules *rules, const struct suite *suite)
{
    char *list = rules->suites[suite->version];

    if (strstr(list, suite->name))
        return;
    if (rules->suite_counts[suite->version]++ > 0)
        strncat(list, ":", SUITES_BYTES - strlen(list) - 1);
    strncat(list, suite->name, SUITES_BYTES - strlen(list) - 1);
}

static int parse_suites(struct rules *rules, const char *names, const struct why *why)
{
    for (size_t i = 0; !names && i < array_len(suites); i++)
        suite_add(rules, &suites[i]);
    while (names && *names) {
        size_t len = strcspn(names, ":");
        const struct suite *suite = suite_find(names, len);

        if (!suite && len > 0)
            return tls_refuse(why,
                              "'%.*s' is not a cipher suite that is had here: choose from "
                              "TLS_{AES_128_GCM_SHA256,AES_256_GCM_SHA384,"
                              "CHACHA20_POLY1305_SHA256} and "
                              "ECDHE-{ECDSA,RSA}-{AES128-GCM-SHA256,AES256-GCM-SHA384,"
                              "CHACHA20-POLY1305}",
                              (int)min_u64(len, 64), names);
        if (suite)
            suite_add(rules, suite);
        names += len + (names[len] == ':');
    }
    return 0;
}

/* A version that no suite is left for is not spoken. */
static int make_rules(struct rules *rules, const struct tls_policy *policy, const struct why *why)
{
    bool has_12, has_13;
    int rc;

    memset(rules, 0, sizeof(*rules));
    rc = parse_suites(rules, policy->suites, why);
    if (rc < 0)
        return rc;
    has_12 = rules->suite_counts[TLSREC_TLS12] > 0 && policy->min_version == TLSREC_TLS12;
    has_13 = rules->suite_counts[TLSREC_TLS13] > 0;
    if (!has_12 && !has_13)
        return tls_refuse(why, "the list of cipher suites has none for TLS 1.3%s",
                          policy->min_version == TLSREC_TLS12 ? " and none for TLS 1.2" : "");
    rules->version_min = has_12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    rules->version_max = has_13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    return 0;
}

/* --- OpenSSL's questions ---------------------------------------------------------------------- */

static struct host *host_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* RFC 6066 3: a list of which only the host name was ever defined. What is malformed is left to
 * OpenSSL, which looks at it again. */
static const uint8_t *server_name(SSL *ssl, size_t *len)
{
    const uint8_t *ext;
    size_t bytes;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &bytes) != 1 || bytes < 5 ||
        ext[2] != TLSEXT_NAMETYPE_host_name)
        return NULL;
    *len = get_be16(ext + 3);
    return *len <= bytes - 5 ? ext + 5 : NULL;
}

/* This early, so that a ticket of TLS 1.2, which is opened before extensions are understood, finds
 * the connection at the right host. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls_ctx *ctx = arg;
    size_t len = 0;
    const uint8_t *name = server_name(ssl, &len);
    int host = name ? tls_names_find(&ctx->names, name, len) : -1;

    if (host >= 0 && !SSL_set_SSL_CTX(ssl, ctx->hosts[host].ssl)) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Whether the client is told that its name was understood. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    struct tls_ctx *ctx = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name && tls_names_find(&ctx->names, (const uint8_t *)name, strlen(name)) >= 0)
        return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_NOACK;
}

/* RFC 7301 3.2. A list without our protocol is a client that wants something else. */
static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *list,
                   unsigned len, void *arg)
{
    static const char ours[] = ALPN_HTTP11;
    unsigned at = 0;

    while (at < len && list[at] <= len - at - 1) {
        if (list[at] == sizeof(ours) - 1 && memcmp(list + at + 1, ours, list[at]) == 0) {
            *out = list + at + 1;
            *out_len = list[at];
            return SSL_TLSEXT_ERR_OK;
        }
        at += 1u + list[at];
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 6066 8: the staple of whichever certificate is being sent. Clients take an outdated one for
 * worse than none. */
static int on_status(SSL *ssl, void *arg)
{
    const struct tls_ctx *ctx = arg;
    const X509 *cert = SSL_get_certificate(ssl);
    const struct identity *id = NULL;
    uint8_t *copy;

    for (uint32_t i = 0; i < ctx->identity_count && !id; i++)
        if (ctx->identities[i].cert == cert)
            id = &ctx->identities[i];
    if (!id || !id->staple || (id->staple_until && X509_cmp_current_time(id->staple_until) <= 0))
        return SSL_TLSEXT_ERR_NOACK;
    copy = OPENSSL_memdup(id->staple, id->staple_bytes);
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)id->staple_bytes);
    return SSL_TLSEXT_ERR_OK;
}

static int on_ticket_key(SSL *ssl, uint8_t *key_name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_sealing)
{
    struct tls_tickets *tickets = host_of(ssl)->ctx->tickets;

    return is_sealing ? tls_tickets_seal(tickets, key_name, iv, cipher, mac)
                      : tls_tickets_unseal(tickets, key_name, iv, cipher, mac);
}

/*
 * A ticket belongs to the names under which it was issued. RFC 6066 3 forbids to resume a session
 * under another name; OpenSSL sees to that in TLS 1.3 only.
 */
static int on_ticket_issue(SSL *ssl, void *arg)
{
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), host_of(ssl)->names_digest,
                                           TLS_DIGEST_BYTES);
}

static SSL_TICKET_RETURN on_ticket_use(SSL *ssl, SSL_SESSION *session, const uint8_t *key_name,
                                       size_t key_name_len, SSL_TICKET_STATUS status, void *arg)
{
    void *data;
    size_t bytes;

    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &bytes) != 1 || bytes != TLS_DIGEST_BYTES ||
        memcmp(data, host_of(ssl)->names_digest, bytes) != 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    // RFC 8446 C.4: the next connection should have another ticket, or both are known as one
    // client.
    if (status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION)
        return SSL_TICKET_RETURN_USE_RENEW;
    return SSL_TICKET_RETURN_USE;
}

/* --- a host's SSL_CTX ------------------------------------------------------------------------- */

static void set_callbacks(SSL_CTX *ssl, struct tls_ctx *ctx)
{
    SSL_CTX_set_client_hello_cb(ssl, on_client_hello, ctx);
    SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl, ctx);
    SSL_CTX_set_alpn_select_cb(ssl, on_alpn, ctx);
    SSL_CTX_set_tlsext_status_cb(ssl, on_status);
    SSL_CTX_set_tlsext_status_arg(ssl, ctx);
    SSL_CTX_set_keylog_callback(ssl, tls_conn_on_secret);
}

/* Sessions live in tickets alone: nothing is kept here. */
static bool set_sessions(SSL_CTX *ssl, struct tls_tickets *tickets)
{
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    if (!tickets) {
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ssl, 0) == 1;
    }
    SSL_CTX_set_timeout(ssl, (long)tls_tickets_life_s(tickets));
    SSL_CTX_set_session_ticket_cb(ssl, on_ticket_issue, on_ticket_use, NULL);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket_key) == 1 &&
           SSL_CTX_set_session_id_context(ssl, (const uint8_t *)SESSION_CONTEXT,
                                          sizeof(SESSION_CONTEXT) - 1) == 1;
}

/* Whatever openssl.cnf says, this is said after it. */
static bool set_rules(SSL_CTX *ssl, const struct rules *rules)
{
    const char *list12 = rules->suites[TLSREC_TLS12], *list13 = rules->suites[TLSREC_TLS13];

    SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
    SSL_CTX_set_options(ssl, OPTIONS);
    SSL_CTX_clear_options(ssl, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION | SSL_OP_ALLOW_NO_DHE_KEX);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    return SSL_CTX_set_min_proto_version(ssl, rules->version_min) == 1 &&
           SSL_CTX_set_max_proto_version(ssl, rules->version_max) == 1 &&
           (!*list12 || SSL_CTX_set_cipher_list(ssl, list12) == 1) &&
           SSL_CTX_set_ciphersuites(ssl, list13) == 1 &&
           SSL_CTX_set1_groups_list(ssl, GROUPS) == 1 &&
           SSL_CTX_set1_sigalgs_list(ssl, SIGNATURES) == 1;
}

static int host_open(struct tls_ctx *ctx, const struct rules *rules, const struct identity *id,
                     const struct why *why)
{
    struct host *host = &ctx->hosts[ctx->host_count];

    host->ctx = ctx;
    host->ssl = SSL_CTX_new(TLS_server_method());
    if (!host->ssl)
        return -ENOMEM;
    ctx->host_count++;
    memcpy(host->names_digest, id->names_digest, TLS_DIGEST_BYTES);
    SSL_CTX_set_app_data(host->ssl, host);
    set_callbacks(host->ssl, ctx);
    if (!set_rules(host->ssl, rules) || !set_sessions(host->ssl, ctx->tickets))
        return tls_refuse(why, "OpenSSL does not take the rules for TLS: %s", tls_reason());
    for (uint32_t i = 0; i < id->name_count; i++)
        ctx->names.sorted[ctx->names.count++] =
            (struct name){.text = id->names[i], .host = ctx->host_count - 1};
    return 0;
}

/* --- the context ------------------------------------------------------------------------------ */

/* The host that another certificate for the same names made, or a new one. */
static int host_for(struct tls_ctx *ctx, const struct rules *rules, uint32_t index,
                    const struct tls_identity *files, const struct why *why, struct host **out)
{
    const struct identity *id = &ctx->identities[index];

    for (uint32_t i = 0; i < index; i++) {
        const struct identity *other = &ctx->identities[i];

        if (memcmp(other->names_digest, id->names_digest, TLS_DIGEST_BYTES) == 0 &&
            EVP_PKEY_get_base_id(other->key) == EVP_PKEY_get_base_id(id->key))
            return tls_refuse(why,
                              "%s: another certificate has the same names and the same kind of "
                              "key: leave one of them out",
                              files->cert_path);
    }
    for (uint32_t i = 0; i < ctx->host_count; i++) {
        *out = &ctx->hosts[i];
        if (memcmp(ctx->hosts[i].names_digest, id->names_digest, TLS_DIGEST_BYTES) == 0)
            return 0;
    }
    *out = &ctx->hosts[ctx->host_count];
    return host_open(ctx, rules, id, why);
}

static int make_hosts(struct tls_ctx *ctx, const struct rules *rules,
                      const struct tls_identity *files, const struct why *why)
{
    for (uint32_t i = 0; i < ctx->identity_count; i++) {
        struct identity *id = &ctx->identities[i];
        struct host *host = NULL;
        int rc = host_for(ctx, rules, i, &files[i], why, &host);

        if (rc < 0)
            return rc;
        if (SSL_CTX_use_cert_and_key(host->ssl, id->cert, id->key, id->chain, 0) != 1)
            return tls_refuse(why, "%s: OpenSSL does not take the certificate: %s",
                              files[i].cert_path, tls_reason());
    }
    tls_names_sort(&ctx->names);
    return 0;
}

static int load_identities(struct tls_ctx *ctx, const struct tls_policy *policy,
                           const struct why *why)
{
    uint32_t names = 0;

    for (uint32_t i = 0; i < policy->identity_count; i++) {
        int rc = tls_identity_load(&ctx->identities[i], &policy->identities[i], why);

        if (rc < 0)
            return rc;
        names += ctx->identities[i].name_count;
        ctx->identity_count++;
    }
    ctx->names.sorted = calloc(max_u32(names, 1), sizeof(ctx->names.sorted[0]));
    return ctx->names.sorted ? 0 : -ENOMEM;
}

int tls_ctx_open(struct tls_ctx **out, const struct tls_policy *policy, char *why, size_t why_bytes)
{
    const struct why reason = {why, why_bytes};
    struct rules rules;
    struct tls_ctx *ctx;
    int rc;

    if (why_bytes > 0)
        why[0] = 0;
    if (policy->identity_count == 0 || policy->identity_count > TLS_IDENTITIES_MAX)
        return tls_refuse(&reason, "TLS takes 1 to %d certificates, not %u", TLS_IDENTITIES_MAX,
                          policy->identity_count);
    if (make_rules(&rules, policy, &reason) < 0)
        return -ENOTSUP;
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    ctx->refs = 1;
    ctx->tickets = policy->tickets;
    ctx->wire = tls_wire_method();
    rc = ctx->wire ? load_identities(ctx, policy, &reason) : -ENOMEM;
    if (rc == 0)
        rc = make_hosts(ctx, &rules, policy->identities, &reason);
    ERR_clear_error();
    if (rc < 0) {
        tls_ctx_put(ctx);
        return rc;
    }
    *out = ctx;
    return 0;
}

bool tls_ctx_signs_slowly(const struct tls_ctx *ctx)
{
    for (uint32_t i = 0; i < ctx->identity_count; i++)
        if (tls_identity_signs_slowly(&ctx->identities[i]))
            return true;
    return false;
}

struct tls_ctx *tls_ctx_hold(struct tls_ctx *ctx)
{
    __atomic_add_fetch(&ctx->refs, 1, __ATOMIC_RELAXED);
    return ctx;
}

void tls_ctx_put(struct tls_ctx *ctx)
{
    // What the others did with it comes before its memory is given back.
    if (!ctx || __atomic_sub_fetch(&ctx->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t i = 0; i < ctx->host_count; i++)
        SSL_CTX_free(ctx->hosts[i].ssl);
    for (uint32_t i = 0; i < ctx->identity_count; i++)
        tls_identity_clear(&ctx->identities[i]);
    free(ctx->names.sorted);
    BIO_meth_free(ctx->wire);
    free(ctx);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * identity.c - a certificate, its key and its staple, from files.
 *
 * What clients would refuse is refused here, with a sentence, before the old context is given up:
 * certificates out of their time, keys of other certificates or of kinds that no browser takes, a
 * staple that says something else than that this certificate is good. Signatures are not checked:
 * that takes the roots that clients trust, and those are theirs to choose.
 */
#include "priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#define RSA_BITS_MIN  2048
#define P_256         "prime256v1"
#define P_384         "secp384r1"
#define CLOCK_SLACK_S 300 /* between the responder's clock and ours */
#define DATE_BYTES    32
#define GROUP_BYTES   64
/* Certificate (RFC 8446 4.4.2): a length and no extensions behind each; the staple's header. */
#define ENTRY_BYTES 5
#define STAPLE_HEAD 8
/*
 * What else may be in the flight, added up generously: HelloRetryRequest 128 and ServerHello 256;
 * two ChangeCipherSpecs 12; EncryptedExtensions 64; heads of messages 32; Finished 52; seven
 * records' headers, types and tags 154; an alert 24. ServerKeyExchange of TLS 1.2 takes the place
 * of CertificateVerify, with 128 of its own.
 */
#define FLIGHT_REST 1024
static_assert(128 + 256 + 12 + 64 + 32 + 52 + 154 + 24 + 128 <= FLIGHT_REST, "the flight's sum");

static const char *date_text(const ASN1_TIME *time, char *out)
{
    struct tm tm;
    bool ok = ASN1_TIME_to_tm(time, &tm) == 1 && strftime(out, DATE_BYTES, "%F %R UTC", &tm) > 0;

    return ok ? out : "a date that cannot be read";
}

/* --- the certificate and its chain ------------------------------------------------------------ */

/* An operator is not there to type it. */
static int no_passphrase(char *out, int room, int is_writing, void *arg)
{
    bool *asked = arg;

    *asked = true;
    return -1;
}

static bool at_end_of_pem(void)
{
    unsigned long error = ERR_peek_last_error();

    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static int load_chain(struct identity *id, FILE *file, const char *path, const struct why *why)
{
    bool asked = false;
    X509 *next;

    id->chain = sk_X509_new_null();
    if (!id->chain)
        return -ENOMEM;
    id->cert = PEM_read_X509(file, NULL, no_passphrase, &asked);
    if (!id->cert && at_end_of_pem())
        return tls_refuse(why, "%s: no certificate in PEM form is in it", path);
    if (!id->cert)
        return tls_refuse(why, "%s: cannot read the certificate: %s", path, tls_reason());
    while ((next = PEM_read_X509(file, NULL, no_passphrase, &asked))) {
        if (sk_X509_push(id->chain, next) <= 0) {
            X509_free(next);
            return -ENOMEM;
        }
    }
    if (!at_end_of_pem())
        return tls_refuse(why, "%s: cannot read certificate %d of the chain: %s", path,
                          sk_X509_num(id->chain) + 2, tls_reason());
    return 0;
}

static int check_dates(const X509 *cert, const char *path, const struct why *why)
{
    char date[DATE_BYTES];

    if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        return tls_refuse(why, "%s: the certificate ended on %s: renew it", path,
                          date_text(X509_get0_notAfter(cert), date));
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0)
        return tls_refuse(why, "%s: the certificate begins on %s: is the clock right?", path,
                          date_text(X509_get0_notBefore(cert), date));
    return 0;
}

/* RFC 8446 4.4.2.2, RFC 5280 4.2.1.12: what the certificate allows, if it restricts anything.
 * OpenSSL would leave it aside, and clients refuse it. */
static int check_usage(X509 *cert, const char *path, const struct why *why)
{
    if (!(X509_get_key_usage(cert) & X509v3_KU_DIGITAL_SIGNATURE))
        return tls_refuse(why, "%s: the certificate's key usage is not digital signature", path);
    if (!(X509_get_extended_key_usage(cert) & (XKU_SSL_SERVER | XKU_ANYEKU)))
        return tls_refuse(why, "%s: the certificate is not for servers (extended key usage)", path);
    return 0;
}

static int load_certificate(struct identity *id, const char *path, const struct why *why)
{
    FILE *file = fopen(path, "re");
    int rc;

    if (!file)
        return tls_refuse(why, "%s: %s", path, strerror(errno));
    rc = load_chain(id, file, path, why);
    fclose(file);
    if (rc == 0)
        rc = check_dates(id->cert, path, why);
    if (rc == 0)
        rc = check_usage(id->cert, path, why);
    return rc;
}

/* --- the key ---------------------------------------------------------------------------------- */

static bool is_curve(EVP_PKEY *key, const char *curve)
{
    char group[GROUP_BYTES] = "";
    size_t len;

    return EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
           strcmp(group, curve) == 0;
}

bool tls_identity_signs_slowly(const struct identity *id)
{
    return EVP_PKEY_get_base_id(id->key) != EVP_PKEY_ED25519 && !is_curve(id->key, P_256);
}

static int check_key(EVP_PKEY *key, const char *path, const struct why *why)
{
    char group[GROUP_BYTES] = "";
    size_t len;

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        if (EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
            return tls_refuse(why, "%s: an RSA key of %d bits: clients want %d or more", path,
                              EVP_PKEY_get_bits(key), RSA_BITS_MIN);
        return 0;
    case EVP_PKEY_EC:
        if (is_curve(key, P_256) || is_curve(key, P_384))
            return 0;
        (void)EVP_PKEY_get_group_name(key, group, sizeof(group), &len);
        return tls_refuse(why, "%s: a key on the curve %s: use P-256 or P-384", path,
                          group[0] ? group : "of an unknown name");
    case EVP_PKEY_ED25519:
        return 0;
    default:
        return tls_refuse(why, "%s: not a key of RSA, of EC (P-256, P-384) or Ed25519", path);
    }
}

static int load_key(struct identity *id, const struct tls_identity *files, const struct why *why)
{
    FILE *file = fopen(files->key_path, "re");
    bool asked = false;
    int rc;

    if (!file)
        return tls_refuse(why, "%s: %s", files->key_path, strerror(errno));
    id->key = PEM_read_PrivateKey(file, NULL, no_passphrase, &asked);
    fclose(file);
    if (!id->key && asked)
        return tls_refuse(why, "%s: the key has a passphrase: take it away (openssl pkey)",
                          files->key_path);
    if (!id->key)
        return tls_refuse(why, "%s: no private key in PEM form is in it", files->key_path);
    rc = check_key(id->key, files->key_path, why);
    if (rc < 0)
        return rc;
    if (X509_check_private_key(id->cert, id->key) != 1)
        return tls_refuse(why, "%s: not the key of the first certificate in %s", files->key_path,
                          files->cert_path);
    return 0;
}

/* --- the staple ------------------------------------------------------------------------------- */

/* The response's word on our certificate. Its number will do: whoever signed it for others has
 * more numbers than these two to mix up. */
static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, const X509 *cert)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);

    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        OCSP_CERTID *id = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single);
        ASN1_INTEGER *number = NULL;

        if (OCSP_id_get0_info(NULL, NULL, NULL, &number, id) == 1 &&
            ASN1_INTEGER_cmp(number, serial) == 0)
            return single;
    }
    return NULL;
}

static int check_single(struct identity *id, OCSP_SINGLERESP *single, const char *path,
                        const struct why *why)
{
    ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
    int status = OCSP_single_get0_status(single, NULL, NULL, &from, &until);

    if (status != V_OCSP_CERTSTATUS_GOOD)
        return tls_refuse(why, "%s: it says that the certificate is %s", path,
                          OCSP_cert_status_str(status));
    if (OCSP_check_validity(from, until, CLOCK_SLACK_S, -1) != 1)
        return tls_refuse(why, "%s: it is out of its time: fetch a new one", path);
    if (!until)
        return 0;
    id->staple_until = ASN1_STRING_dup(until);
    return id->staple_until ? 0 : -ENOMEM;
}

static int check_response(struct identity *id, OCSP_RESPONSE *response, const char *path,
                          const struct why *why)
{
    OCSP_BASICRESP *basic = NULL;
    OCSP_SINGLERESP *single;
    int rc;

    if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(response);
    if (!basic)
        return tls_refuse(why, "%s: an OCSP response without an answer (%s)", path,
                          OCSP_response_status_str(OCSP_response_status(response)));
    single = find_single(basic, id->cert);
    rc = single ? check_single(id, single, path, why)
                : tls_refuse(why, "%s: an OCSP response for another certificate", path);
    OCSP_BASICRESP_free(basic);
    return rc;
}

static int load_staple(struct identity *id, const char *path, const struct why *why)
{
    FILE *file = fopen(path, "re");
    OCSP_RESPONSE *response;
    int bytes, rc;

    if (!file)
        return tls_refuse(why, "%s: %s", path, strerror(errno));
    response = ASN1_d2i_fp_of(OCSP_RESPONSE, OCSP_RESPONSE_new, d2i_OCSP_RESPONSE, file, NULL);
    fclose(file);
    if (!response)
        return tls_refuse(why, "%s: no OCSP response in DER form is in it", path);
    rc = check_response(id, response, path, why);
    bytes = i2d_OCSP_RESPONSE(response, &id->staple);
    OCSP_RESPONSE_free(response);
    id->staple_bytes = bytes > 0 ? (size_t)bytes : 0;
    return rc == 0 && bytes <= 0 ? -ENOMEM : rc;
}

static int check_flight(const struct identity *id, const char *path, const struct why *why)
{
    size_t bytes = FLIGHT_REST + (size_t)EVP_PKEY_get_size(id->key) + ENTRY_BYTES +
                   (size_t)i2d_X509(id->cert, NULL);

    if (id->staple)
        bytes += STAPLE_HEAD + id->staple_bytes;
    for (int i = 0; i < sk_X509_num(id->chain); i++)
        bytes += ENTRY_BYTES + (size_t)i2d_X509(sk_X509_value(id->chain, i), NULL);
    if (bytes <= TLS_FLIGHT_BYTES)
        return 0;
    return tls_refuse(why,
                      "%s: a chain of %d certificates makes a flight of %zu bytes, more than %d: "
                      "leave out what clients have",
                      path, sk_X509_num(id->chain) + 1, bytes, TLS_FLIGHT_BYTES);
}

/* --- names ------------------------------------------------------------------------------------ */

/* What cannot be a name in a ClientHello is left out. */
static int add_name(struct identity *id, const ASN1_STRING *string)
{
    char text[TLS_NAME_MAX + 1], *copy, **names;

    if (!tls_name_normalize(ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string),
                            text))
        return 0;
    copy = strdup(text);
    names = realloc(id->names, (id->name_count + 1) * sizeof(names[0]));
    if (names)
        id->names = names;
    if (!copy || !names) {
        free(copy);
        return -ENOMEM;
    }
    id->names[id->name_count++] = copy;
    return 0;
}

static int add_alternative_names(struct identity *id)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(id->cert, NID_subject_alt_name, NULL, NULL);
    int rc = 0;

    for (int i = 0; rc == 0 && i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        if (name->type == GEN_DNS)
            rc = add_name(id, name->d.dNSName);
    }
    GENERAL_NAMES_free(list);
    return rc;
}

/* RFC 6125 6.4.4: the common name only counts where there are no others. */
static int add_common_name(struct identity *id)
{
    const X509_NAME *subject = X509_get_subject_name(id->cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (at < 0)
        return 0;
    return add_name(id, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_unique(struct identity *id)
{
    uint32_t kept = 0;

    if (id->name_count == 0)
        return;
    qsort(id->names, id->name_count, sizeof(id->names[0]), compare);
    for (uint32_t i = 1; i < id->name_count; i++) {
        if (strcmp(id->names[kept], id->names[i]) == 0)
            free(id->names[i]);
        else
            id->names[++kept] = id->names[i];
    }
    id->name_count = kept + 1;
}

static int names_digest(struct identity *id)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

    for (uint32_t i = 0; ok && i < id->name_count; i++)
        ok = EVP_DigestUpdate(md, id->names[i], strlen(id->names[i]) + 1) == 1;
    ok = ok && EVP_DigestFinal_ex(md, id->names_digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? 0 : -ENOMEM;
}

static int load_names(struct identity *id)
{
    int rc = add_alternative_names(id);

    if (rc == 0 && id->name_count == 0)
        rc = add_common_name(id);
    if (rc < 0)
        return rc;
    names_unique(id);
    return names_digest(id);
}

/* ---------------------------------------------------------------------------------------------- */

int tls_identity_load(struct identity *out, const struct tls_identity *files, const struct why *why)
{
    int rc;

    memset(out, 0, sizeof(*out));
    ERR_clear_error();
    rc = load_certificate(out, files->cert_path, why);
    if (rc == 0)
        rc = load_key(out, files, why);
    if (rc == 0 && files->ocsp_path)
        rc = load_staple(out, files->ocsp_path, why);
    if (rc == 0)
        rc = check_flight(out, files->cert_path, why);
    if (rc == 0)
        rc = load_names(out);
    ERR_clear_error();
    if (rc < 0)
        tls_identity_clear(out);
    return rc;
}

void tls_identity_clear(struct identity *identity)
{
    X509_free(identity->cert);
    sk_X509_pop_free(identity->chain, X509_free);
    EVP_PKEY_free(identity->key);
    OPENSSL_free(identity->staple);
    ASN1_TIME_free(identity->staple_until);
    for (uint32_t i = 0; i < identity->name_count; i++)
        free(identity->names[i]);
    free(identity->names);
    memset(identity, 0, sizeof(*identity));
}

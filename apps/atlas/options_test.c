// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the options of HTTPS come to, and which are refused. Refusals are told on standard error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "options.h"

#define ARGS_MAX 256
#define BASE     "serve", "--port", "tap:x", "--addr", "192.0.2.2/24", "--root", "/srv"
#define CERT_A   "--tls-cert", "a.pem", "--tls-key", "a.key"
#define CERT_B   "--tls-cert", "b.pem", "--tls-key", "b.key"
#define HTTPS    "--tls-listen", "443", CERT_A

/* -1 for a good one, as serve_options_parse says it. */
static int parse(struct serve_options *o, const char *const *args)
{
    char *argv[ARGS_MAX];
    int argc = 0;

    for (; args[argc]; argc++) {
        assert_true(argc + 1 < ARGS_MAX);
        argv[argc] = (char *)args[argc]; /* only --admin is written to */
    }
    argv[argc] = NULL;
    return serve_options_parse(o, argc, argv);
}

#define PARSE(o, ...) parse(o, (const char *[]){BASE, ##__VA_ARGS__, NULL})

static void test_ports(void **state)
{
    struct serve_options o;

    assert_int_equal(PARSE(&o), -1);
    assert_int_equal(o.listen_port, 80);
    assert_int_equal(o.tls_port, 0);
    assert_int_equal(PARSE(&o, "--listen", "8080"), -1);
    assert_int_equal(o.listen_port, 8080);
    assert_int_equal(PARSE(&o, HTTPS), -1);
    assert_int_equal(o.listen_port, 0);
    assert_int_equal(o.tls_port, 443);
    assert_int_equal(PARSE(&o, HTTPS, "--listen", "80", "--redirect-https"), -1);
    assert_int_equal(o.listen_port, 80);
    assert_int_equal(o.tls_port, 443);
    assert_true(o.redirect_https);
}

static void test_identities(void **state)
{
    const char *many[ARGS_MAX] = {BASE, "--tls-listen", "443"};
    struct serve_options o;
    int n = 9;

    assert_int_equal(PARSE(&o, HTTPS, CERT_B, "--tls-ocsp", "b.der"), -1);
    assert_int_equal(o.identity_count, 2);
    assert_string_equal(o.identities[0].cert_path, "a.pem");
    assert_string_equal(o.identities[0].key_path, "a.key");
    assert_null(o.identities[0].ocsp_path);
    assert_string_equal(o.identities[1].cert_path, "b.pem");
    assert_string_equal(o.identities[1].key_path, "b.key");
    assert_string_equal(o.identities[1].ocsp_path, "b.der");
    for (int i = 0; i <= TLS_IDENTITIES_MAX; i++) {
        /* The list is good with the last one that it may have. */
        assert_int_equal(parse(&o, many), i == 0 ? 2 : -1);
        many[n++] = "--tls-cert=x";
        many[n++] = "--tls-key=y";
    }
    assert_int_equal(parse(&o, many), 2);
}

static void test_policy(void **state)
{
    struct serve_options o;

    assert_int_equal(PARSE(&o, HTTPS), -1);
    assert_int_equal(o.tls_min, TLSREC_TLS12);
    assert_null(o.tls_suites);
    assert_int_equal(o.tls_threads, TLS_THREADS_AUTO);
    assert_false(o.hsts || o.redirect_https);
    assert_int_equal(PARSE(&o, HTTPS, "--tls-min", "1.3", "--tls-suites", "S", "--tls-threads", "0",
                           "--hsts", "31536000"),
                     -1);
    assert_int_equal(o.tls_min, TLSREC_TLS13);
    assert_string_equal(o.tls_suites, "S");
    assert_int_equal(o.tls_threads, 0);
    assert_true(o.hsts);
    assert_int_equal(o.hsts_s, 31536000);
    assert_int_equal(PARSE(&o, HTTPS, "--hsts", "0", "--tls-min", "1.2"), -1);
    assert_true(o.hsts && o.hsts_s == 0);
    assert_int_equal(o.tls_min, TLSREC_TLS12);
}

static void test_refused(void **state)
{
    struct serve_options o;

    assert_int_equal(PARSE(&o, "--tls-listen", "443"), 2);
    assert_int_equal(PARSE(&o, "--tls-listen", "443", "--tls-cert", "a"), 2);
    assert_int_equal(PARSE(&o, "--tls-listen", "443", "--tls-key", "k", "--tls-cert", "a"), 2);
    assert_int_equal(PARSE(&o, "--tls-listen", "443", "--tls-ocsp", "d", CERT_A), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--tls-key", "k"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--tls-cert", "b"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--listen", "443"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--tls-min", "1.1"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--tls-min", "1.30"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--tls-threads", "many"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--hsts", "-1"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--redirect-https"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--read-size", "16"), 2);
    assert_int_equal(PARSE(&o, HTTPS, "--read-size", "20"), -1);
    /* Without --tls-listen none of them means anything. */
    assert_int_equal(PARSE(&o, CERT_A), 2);
    assert_int_equal(PARSE(&o, "--tls-min", "1.3"), 2);
    assert_int_equal(PARSE(&o, "--tls-suites", "S"), 2);
    assert_int_equal(PARSE(&o, "--tls-threads", "2"), 2);
    assert_int_equal(PARSE(&o, "--hsts", "60"), 2);
    assert_int_equal(PARSE(&o, "--listen", "80", "--redirect-https"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

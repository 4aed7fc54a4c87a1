// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#define PATH_CAP 256

/* Every prefix in a buffer of its own, one byte longer each time. `used`: how many bytes it took.
 */
static int parse_bytewise(const char *in, size_t len, const struct http1_limits *limits,
                          struct http1_request *req)
{
    char path[PATH_CAP];
    int rc = 0;
    http1_request_init(req, path, sizeof(path));
    for (size_t n = 0; n <= len && rc == 0; n++) {
        char *copy = exact_copy(in, n);
        rc = http1_parse(copy, n, limits, req);
        free(copy);
    }
    return rc;
}

/* The verdict on `in`, which must be the same however the bytes arrive. */
static int verdict(const char *in, size_t len, const struct http1_limits *limits)
{
    struct http1_request req, slow;
    char *copy = exact_copy(in, len), *path = malloc(PATH_CAP);
    http1_request_init(&req, path, PATH_CAP);
    int rc = http1_parse(copy, len, limits, &req);
    int slow_rc = parse_bytewise(in, len, limits, &slow);
    assert_int_equal(rc, slow_rc);
    if (rc > 0) {
        assert_true(req.path_len == 0 || req.path[0] == '/');
        assert_int_equal(strlen(req.path), req.path_len);
        /* All that the request says is the same, but for the pointers and the private hints. */
        assert_int_equal(req.content_length, slow.content_length);
        assert_memory_equal(&req.target, &slow.target,
                            offsetof(struct http1_request, line) -
                                offsetof(struct http1_request, target));
    }
    free(path);
    free(copy);
    return rc;
}

struct refused {
    const char *in;
    size_t len;
    int status;
};

#define H   "Host: x\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define TE  "Transfer-Encoding: "
#define CL  "Content-Length: "

static const struct refused refusals[] = {
    /* The request line: RFC 9112 3. */
    {LIT("GET  / HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /  HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1.1 \r\n" H "\r\n"), 400},
    {LIT(" GET / HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET\t/ HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /\tHTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /\r\n"), 400},
    {LIT("GET / \r\n"), 400},
    {LIT("GET\r\n"), 400},
    {LIT("GET / HTTP/1.1\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1.1\r\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1.1\rX\n" H "\r\n"), 400},
    {LIT("GET / http/1.1\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1.\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1.10\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/01.1\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/1,1\r\n" H "\r\n"), 400},
    {LIT("GET / HTTP/-1.1\r\n" H "\r\n"), 400},
    {LIT("GET / HTTPS/1.1\r\n" H "\r\n"), 400},
    {LIT("G\0T / HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("G(T / HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /\0 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /\x01 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /\x7f HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /a#b HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /a\rb HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("\x16\x03\x01\x02"), 400}, /* TLS on the plain port: at once */
    {LIT("\n"), 400},
    {LIT("\nGET / HTTP/1.1\r\n"), 400},
    {LIT("\rGET / HTTP/1.1\r\n"), 400},
    {LIT("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n"), 400},
    {LIT(":"), 400},
    /* Versions. */
    {LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505},
    {LIT("GET / HTTP/2.0\r\n" H "\r\n"), 505},
    {LIT("GET / HTTP/3.0\r\n" H "\r\n"), 505},
    {LIT("GET / HTTP/0.9\r\n" H "\r\n"), 505},
    {LIT("GET / HTTP/9.9\r\n"), 505},
    /* Methods: RFC 9110 9.1. */
    {LIT("get / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("Get / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("GETT / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("GE / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("PROPFIND / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("M-SEARCH * HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("X / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("P / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("DELETED / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("TRAC / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("HEAD1 / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("OPTION / HTTP/1.1\r\n" H "\r\n"), 501},
    {LIT("CONNECTED x:1 HTTP/1.1\r\n" H "\r\n"), 501},
    /* Targets: RFC 9112 3.2. */
    {LIT("GET * HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET x:80 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET ftp://x/ HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http:/x/ HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http:x HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http:// HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http:///a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http://:80/a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http://u@x/a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http://x:8a/a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http://[::1/a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET ?a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("CONNECT / HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("CONNECT x HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("CONNECT :80 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("CONNECT x: HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("CONNECT http://x:80 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("OPTIONS *a HTTP/1.1\r\n" H "\r\n"), 400},
    /* Paths: the verdict falls at the end of the head. */
    {LIT("GET /../a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /a/../../b HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /%2e%2e/a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /%2e%2e%2fa HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /.. HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /%00 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /% HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /%2 HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /%2?a HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET /%zz HTTP/1.1\r\n" H "\r\n"), 400},
    {LIT("GET http://x/../a HTTP/1.1\r\n" H "\r\n"), 400},
    /* Host: RFC 9112 3.2. */
    {LIT(GET "\r\n"), 400},
    {LIT("GET http://x/ HTTP/1.1\r\n\r\n"), 400},
    {LIT(GET H H "\r\n"), 400},
    {LIT(GET H "Host: y\r\n\r\n"), 400},
    {LIT("GET / HTTP/1.0\r\n" H H "\r\n"), 400},
    {LIT(GET "Host:\r\n\r\n"), 400},
    {LIT(GET "Host: :80\r\n\r\n"), 400},
    {LIT("GET http://y/ HTTP/1.1\r\nHost:\r\n\r\n"), 400},
    {LIT(GET "Host: a b\r\n\r\n"), 400},
    {LIT(GET "Host: a/b\r\n\r\n"), 400},
    {LIT(GET "Host: u@a\r\n\r\n"), 400},
    {LIT(GET "Host: a,b:1:2\r\n\r\n"), 400},
    {LIT(GET "Host: [::1\r\n\r\n"), 400},
    {LIT(GET "Host: []\r\n\r\n"), 400},
    {LIT(GET "Host: [::1]x\r\n\r\n"), 400},
    {LIT(GET "Host: a:b\r\n\r\n"), 400},
    {LIT(GET "Host: \xff"
             "a:\r\n\r\n"),
     400},
    {LIT(GET "Host : x\r\n\r\n"), 400},
    {LIT(GET "Host\t: x\r\n\r\n"), 400},
    /* Field lines: RFC 9112 5, RFC 9110 5.5. */
    {LIT(GET " " H "\r\n"), 400},
    {LIT(GET H " folded\r\n\r\n"), 400},
    {LIT(GET H "A: b\r\n\tfolded\r\n\r\n"), 400},
    {LIT(GET H "A b\r\n\r\n"), 400},
    {LIT(GET H "A\r\n\r\n"), 400},
    {LIT(GET H ": b\r\n\r\n"), 400},
    {LIT(GET H "A@: b\r\n\r\n"), 400},
    {LIT(GET H "A\0: b\r\n\r\n"), 400},
    {LIT(GET H "A\x80: b\r\n\r\n"), 400},
    {LIT(GET H "(A): b\r\n\r\n"), 400},
    {LIT(GET H "A: b\0c\r\n\r\n"), 400},
    {LIT(GET H "A: b\x01"
               "c\r\n\r\n"),
     400},
    {LIT(GET H "A: bcdefghij\x1f"
               "klmnop\r\n\r\n"),
     400},
    {LIT(GET H "A: bcdefghij\x7fklmnop\r\n\r\n"), 400},
    {LIT(GET H "A: b\rc\r\n\r\n"), 400},
    {LIT(GET H "A: b\r\r\n\r\n"), 400},
    {LIT(GET H "A: b\n\r\n"), 400},
    {LIT(GET H "A: b\nC: d\r\n\r\n"), 400},
    {LIT(GET H "\n"), 400},
    {LIT(GET H "\rA\n\r\n"), 400},
    {LIT(GET H "A: b\x0b\r\n\r\n"), 400},
    /* Framing: RFC 9112 6.1, 6.3. */
    {LIT(GET H CL "1\r\n" CL "1\r\n\r\n"), 400},
    {LIT(GET H CL "1\r\n" CL "2\r\n\r\n"), 400},
    {LIT(GET H CL "1, 1\r\n\r\n"), 400},
    {LIT(GET H CL "1,2\r\n\r\n"), 400},
    {LIT(GET H CL "\r\n\r\n"), 400},
    {LIT(GET H CL "+1\r\n\r\n"), 400},
    {LIT(GET H CL "-1\r\n\r\n"), 400},
    {LIT(GET H CL "0x1\r\n\r\n"), 400},
    {LIT(GET H CL "1a\r\n\r\n"), 400},
    {LIT(GET H CL "1 2\r\n\r\n"), 400},
    {LIT(GET H CL "1.0\r\n\r\n"), 400},
    {LIT(GET H CL "18446744073709551616\r\n\r\n"), 400},
    {LIT(GET H CL "18446744073709551617\r\n\r\n"), 400},
    {LIT(GET H CL "99999999999999999999999999999999\r\n\r\n"), 400},
    {LIT(GET H CL " 1\x0b\r\n\r\n"), 400},
    {LIT(GET H CL "1\r\n" TE "chunked\r\n\r\n"), 400},
    {LIT(GET H TE "chunked\r\n" CL "1\r\n\r\n"), 400},
    {LIT(GET H CL "0\r\n" TE "chunked\r\n\r\n"), 400},
    {LIT(GET H CL "1\r\n" TE "gzip\r\n\r\n"), 400},
    {LIT("GET / HTTP/1.0\r\n" H TE "chunked\r\n\r\n"), 400},
    {LIT("GET / HTTP/1.0\r\n" TE "gzip\r\n\r\n"), 400},
    {LIT(GET H TE "\r\n\r\n"), 400},
    {LIT(GET H TE ",\r\n\r\n"), 400},
    {LIT(GET H TE "chunked, gzip\r\n\r\n"), 400},
    {LIT(GET H TE "chunked, chunked\r\n\r\n"), 400},
    {LIT(GET H TE "chunked\r\n" TE "chunked\r\n\r\n"), 400},
    {LIT(GET H TE "chunked\r\n" TE "identity\r\n\r\n"), 400},
    {LIT(GET H TE " : chunked\r\n\r\n"), 501},
    {LIT(GET H "Transfer-Encoding : chunked\r\n\r\n"), 400},
    {LIT(GET H TE "\x0b"
                  "chunked\r\n\r\n"),
     400},
    {LIT(GET H TE "gzip\r\n\r\n"), 501},
    {LIT(GET H TE "identity\r\n\r\n"), 501},
    {LIT(GET H TE "gzip, chunked\r\n\r\n"), 501},
    {LIT(GET H TE "gzip\r\n" TE "chunked\r\n\r\n"), 501},
    {LIT(GET H TE "xchunked\r\n\r\n"), 501},
    {LIT(GET H TE "chunkedx\r\n\r\n"), 501},
    {LIT(GET H TE "chunked;a=b\r\n\r\n"), 501},
    {LIT(GET H TE "\"chunked\"\r\n\r\n"), 501},
    {LIT(GET H TE "chunked foo\r\n\r\n"), 501},
    /* Expect: RFC 9110 10.1.1. */
    {LIT(GET H "Expect: 200-ok\r\n\r\n"), 417},
    {LIT(GET H "Expect: 100-continue, x\r\n\r\n"), 417},
    {LIT(GET H "Expect: 100-continue\r\nExpect: y=z\r\n\r\n"), 417},
};

static void test_refusals(void **state)
{
    for (size_t i = 0; i < array_len(refusals); i++) {
        const struct refused *c = &refusals[i];
        int rc = verdict(c->in, c->len, &http1_limits_default);
        if (rc != -c->status)
            fail_msg("%.*s: %d, not %d", (int)c->len, c->in, rc, -c->status);
    }
}

struct accepted {
    const char *in;
    size_t len;
    enum http1_method method;
    const char *path; /* "" for none */
    const char *query;
    const char *host;
    bool keep_alive;
    bool chunked;
    bool expect;
    uint64_t content_length;
};

static const struct accepted accepts[] = {
    {LIT(GET H "\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT("HEAD /a HTTP/1.1\r\n" H "\r\n"), HTTP1_HEAD, "/a", NULL, "x", true},
    {LIT("POST /a HTTP/1.1\r\n" H "\r\n"), HTTP1_POST, "/a", NULL, "x", true},
    {LIT("PUT /a HTTP/1.1\r\n" H "\r\n"), HTTP1_PUT, "/a", NULL, "x", true},
    {LIT("DELETE /a HTTP/1.1\r\n" H "\r\n"), HTTP1_DELETE, "/a", NULL, "x", true},
    {LIT("PATCH /a HTTP/1.1\r\n" H "\r\n"), HTTP1_PATCH, "/a", NULL, "x", true},
    {LIT("TRACE /a HTTP/1.1\r\n" H "\r\n"), HTTP1_TRACE, "/a", NULL, "x", true},
    {LIT("OPTIONS /a HTTP/1.1\r\n" H "\r\n"), HTTP1_OPTIONS, "/a", NULL, "x", true},
    {LIT("OPTIONS * HTTP/1.1\r\n" H "\r\n"), HTTP1_OPTIONS, "", NULL, "x", true},
    {LIT("OPTIONS http://y:1 HTTP/1.1\r\n" H "\r\n"), HTTP1_OPTIONS, "", NULL, "y:1", true},
    {LIT("OPTIONS http://y/ HTTP/1.1\r\n" H "\r\n"), HTTP1_OPTIONS, "/", NULL, "y", true},
    {LIT("CONNECT y:1 HTTP/1.1\r\n" H "\r\n"), HTTP1_CONNECT, "", NULL, "y:1", false},
    {LIT("CONNECT [::1]:1 HTTP/1.1\r\n" H "\r\n"), HTTP1_CONNECT, "", NULL, "[::1]:1", false},
    /* Versions and persistence: RFC 9112 9.3. */
    {LIT("GET / HTTP/1.2\r\n" H "\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT("GET / HTTP/1.9\r\n" H "\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT("GET / HTTP/1.0\r\n\r\n"), HTTP1_GET, "/", NULL, NULL, false},
    {LIT("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HTTP1_GET, "/", NULL, NULL, true},
    {LIT("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n"), HTTP1_GET, "/", NULL, NULL},
    {LIT(GET H "Connection: close\r\n\r\n"), HTTP1_GET, "/", NULL, "x", false},
    {LIT(GET H "connection: CLOSE\r\n\r\n"), HTTP1_GET, "/", NULL, "x", false},
    {LIT(GET H "Connection: a, close ,b\r\n\r\n"), HTTP1_GET, "/", NULL, "x", false},
    {LIT(GET H "Connection: a\r\nConnection: close\r\n\r\n"), HTTP1_GET, "/", NULL, "x", false},
    {LIT(GET H "Connection: closed\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET H "Connection:\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET H "Connection: keep-alive\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    /* Empty lines before: RFC 9112 2.2. */
    {LIT("\r\n" GET H "\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT("\r\n\r\n\r\n\r\n" GET H "\r\n"), HTTP1_GET, "/", NULL, "x", true},
    /* Targets. */
    {LIT("GET /a?b=c HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a", "b=c", "x", true},
    {LIT("GET /a? HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a", "", "x", true},
    {LIT("GET /a?b?c/../../.. HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a", "b?c/../../..", "x", true},
    {LIT("GET /a%3Fb HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a?b", NULL, "x", true},
    {LIT("GET /?%zz%00 HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/", "%zz%00", "x", true},
    {LIT("GET //a//b/ HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a/b/", NULL, "x", true},
    {LIT("GET /\xc3\xa4.mp4 HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/\xc3\xa4.mp4", NULL, "x", true},
    {LIT("GET /a|b^[{}]\"<>\\` HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a|b^[{}]\"<>\\`", NULL, "x",
     true},
    {LIT("GET http://y HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/", NULL, "y", true},
    {LIT("GET http://y?q HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/", "q", "y", true},
    {LIT("GET HTTPS://y:443/a/./b?q HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a/b", "q", "y:443", true},
    {LIT("GET http://[::1]:8/a HTTP/1.0\r\n\r\n"), HTTP1_GET, "/a", NULL, "[::1]:8", false},
    {LIT("GET http://y:/a HTTP/1.1\r\n" H "\r\n"), HTTP1_GET, "/a", NULL, "y:", true},
    /* Host. */
    {LIT(GET "hOsT:x\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET "Host: \t x:80 \t \r\n\r\n"), HTTP1_GET, "/", NULL, "x:80", true},
    {LIT(GET "Host: [2001:db8::1]:80\r\n\r\n"), HTTP1_GET, "/", NULL, "[2001:db8::1]:80", true},
    {LIT(GET "Host: a_b.c-d\r\n\r\n"), HTTP1_GET, "/", NULL, "a_b.c-d", true},
    /* Field lines. */
    {LIT(GET H "A:\r\nB: \r\nC:\t\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET H "A: \x80\xff\tlong enough for words of eight\r\n\r\n"), HTTP1_GET, "/", NULL, "x",
     true},
    {LIT(GET H "!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET H "A: b: c\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    /* Framing. */
    {LIT(GET H CL "0\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET H CL "12\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, false, false, 12},
    {LIT(GET H CL " 007 \r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, false, false, 7},
    {LIT(GET H CL "0000000000000000000000005\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, false,
     false, 5},
    {LIT(GET H CL "9999999999999999999\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, false, false,
     9999999999999999999ull},
    {LIT("POST / HTTP/1.0\r\n" CL "3\r\n\r\n"), HTTP1_POST, "/", NULL, NULL, false, false, false,
     3},
    {LIT(GET H TE "chunked\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, true},
    {LIT(GET H TE "CHUNKED\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, true},
    {LIT(GET H TE " , chunked ,\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, true},
    {LIT(GET H TE "\tchunked\t\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, true},
    /* Expect. */
    {LIT(GET H "Expect: 100-continue\r\n" CL "1\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true, false,
     true, 1},
    {LIT(GET H "Expect: 100-Continue\r\n" TE "chunked\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true,
     true, true},
    {LIT(GET H "Expect: 100-continue\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT(GET H "Expect: 100-continue\r\n" CL "0\r\n\r\n"), HTTP1_GET, "/", NULL, "x", true},
    {LIT("GET / HTTP/1.0\r\nExpect: nonsense\r\n\r\n"), HTTP1_GET, "/", NULL, NULL, false},
    {LIT("GET / HTTP/1.0\r\nExpect: 100-continue\r\n" CL "1\r\n\r\n"), HTTP1_GET, "/", NULL, NULL,
     false, false, false, 1},
};

static void test_accepts(void **state)
{
    for (size_t i = 0; i < array_len(accepts); i++) {
        const struct accepted *c = &accepts[i];
        struct http1_request req;
        char path[PATH_CAP];
        if (verdict(c->in, c->len, &http1_limits_default) != (int)c->len)
            fail_msg("refused: %.*s", (int)c->len, c->in);
        http1_request_init(&req, path, sizeof(path));
        assert_int_equal(http1_parse(c->in, c->len, &http1_limits_default, &req), c->len);
        assert_int_equal(req.method, c->method);
        assert_string_equal(req.path, c->path);
        assert_slice(&req, req.query, c->query);
        assert_slice(&req, req.host, c->host);
        assert_int_equal(req.keep_alive, c->keep_alive);
        assert_int_equal(req.chunked, c->chunked);
        assert_int_equal(req.expect_continue, c->expect);
        assert_int_equal(req.content_length, c->content_length);
        assert_int_equal(req.has_body, c->chunked || c->content_length > 0);
        assert_int_equal(req.asterisk, c->path[0] == '\0' && c->method == HTTP1_OPTIONS);
    }
}

/* Every prefix of a good request is good and not finished; never a byte beyond is read. */
static void test_truncation(void **state)
{
    for (size_t i = 0; i < array_len(accepts); i++) {
        for (size_t n = 0; n < accepts[i].len; n++) {
            struct http1_request req;
            char path[PATH_CAP], *copy = exact_copy(accepts[i].in, n);
            http1_request_init(&req, path, sizeof(path));
            assert_int_equal(http1_parse(copy, n, &http1_limits_default, &req), 0);
            free(copy);
        }
    }
}

/* Behind the head may lie anything: a body, the next request. */
static void test_pipelining(void **state)
{
    static const char in[] = GET H "\r\nGET /b HTTP/1.1\r\n" H "\r\n\0\r\n\x01";
    size_t first = sizeof(GET H "\r\n") - 1;
    struct http1_request req;
    char path[PATH_CAP];
    http1_request_init(&req, path, sizeof(path));
    assert_int_equal(http1_parse(in, sizeof(in) - 1, &http1_limits_default, &req), first);
    http1_request_init(&req, path, sizeof(path));
    assert_int_equal(http1_parse(in + first, sizeof(in) - 1 - first, &http1_limits_default, &req),
                     first + 1);
    assert_string_equal(req.path, "/b");
}

static void test_fields(void **state)
{
    static const char in[] = GET H "Range: bytes=0-1\r\nIf-Range: \"a\"\r\nIf-Match: \"b\"\r\n"
                                   "If-None-Match: \"c\"\r\nIf-Modified-Since: d\r\n"
                                   "If-Unmodified-Since: e\r\nOrigin: http://f\r\n"
                                   "IF-MATCH: \"second\"\r\nX-Range: no\r\nRangf: no\r\n\r\n";
    struct http1_request req;
    char path[PATH_CAP];
    http1_request_init(&req, path, sizeof(path));
    assert_int_equal(http1_parse(LIT(in), &http1_limits_default, &req), sizeof(in) - 1);
    assert_slice(&req, req.range, "bytes=0-1");
    assert_slice(&req, req.if_range, "\"a\"");
    assert_slice(&req, req.if_match, "\"b\"");
    assert_slice(&req, req.if_none_match, "\"c\"");
    assert_slice(&req, req.if_modified_since, "d");
    assert_slice(&req, req.if_unmodified_since, "e");
    assert_slice(&req, req.origin, "http://f");
    struct http1_slice again = http1_field_again(&req, req.if_match, LIT("if-match"));
    assert_slice(&req, again, "\"second\"");
    again = http1_field_again(&req, again, LIT("if-match"));
    assert_int_equal(again.off, 0);
}

/* A field of one value that comes twice has none. */
static void test_repeated_single(void **state)
{
    static const char in[] = GET H "Range: bytes=0-1\r\nRange: bytes=2-3\r\nIf-Range: \"a\"\r\n"
                                   "if-range: \"a\"\r\nIf-Modified-Since: d\r\n"
                                   "If-Modified-Since: d\r\n\r\n";
    struct http1_request req;
    char path[PATH_CAP];
    http1_request_init(&req, path, sizeof(path));
    assert_int_equal(http1_parse(LIT(in), &http1_limits_default, &req), sizeof(in) - 1);
    assert_slice(&req, req.range, "");
    assert_slice(&req, req.if_range, "");
    assert_slice(&req, req.if_modified_since, "");
}

static size_t add(char *dst, size_t at, const char *s, size_t repeat)
{
    size_t len = strlen(s);
    for (; repeat; repeat--, at += len)
        memcpy(dst + at, s, len);
    return at;
}

static void test_limits(void **state)
{
    static const struct http1_limits small = {.target_bytes = 20, .head_bytes = 120, .fields = 4};
    char in[512];
    for (size_t target = 1; target < 200; target++) {
        size_t n = add(in, 0, "GET /", 1);
        n = add(in, n, "a", target - 1);
        n = add(in, n, " HTTP/1.1\r\n" H "\r\n", 1);
        assert_int_equal(verdict(in, n, &small), target <= 20 ? (int)n : -414);
    }
    for (size_t fields = 1; fields < 9; fields++) {
        size_t n = add(in, 0, GET H, 1);
        n = add(in, n, "A: b\r\n", fields - 1);
        n = add(in, n, "\r\n", 1);
        assert_int_equal(verdict(in, n, &small), fields <= 4 ? (int)n : -431);
    }
    for (size_t value = 1; value < 200; value++) {
        size_t n = add(in, 0, GET H "A: ", 1);
        n = add(in, n, "a", value);
        n = add(in, n, "\r\n\r\n", 1);
        assert_int_equal(verdict(in, n, &small), n <= 120 ? (int)n : -431);
    }
    /* A line that never ends, and a method that never ends. */
    size_t n = add(in, 0, GET H "A: ", 1);
    n = add(in, n, "a", 300);
    assert_int_equal(verdict(in, n, &small), -431);
    n = add(in, 0, "A", 300);
    assert_int_equal(verdict(in, n, &small), -414);
    n = add(in, 0, GET H "A", 1);
    n = add(in, n, "a", 300);
    assert_int_equal(verdict(in, n, &small), -431);
}

static void test_path_buffer(void **state)
{
    static const char in[] = "GET /abc HTTP/1.1\r\n" H "\r\n";
    for (size_t cap = 0; cap < 8; cap++) {
        struct http1_request req;
        char *path = malloc(cap ? cap : 1);
        http1_request_init(&req, path, cap);
        int rc = http1_parse(LIT(in), &http1_limits_default, &req);
        assert_int_equal(rc, cap < 5 ? -414 : (int)sizeof(in) - 1);
        free(path);
    }
}

/* Random damage: the verdict never depends on how the bytes arrive, and nothing is read beyond. */
static void test_damage(void **state)
{
    static const struct http1_limits small = {.target_bytes = 24, .head_bytes = 160, .fields = 5};
    static const char spice[] = "\r\n :\t/?%.*,0aA\x7f\x80";
    uint64_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char in[512];
        size_t len, n = 0;
        if (next_random(&seed) % 2) {
            const struct accepted *c = &accepts[next_random(&seed) % array_len(accepts)];
            memcpy(in, c->in, len = c->len);
        } else {
            const struct refused *c = &refusals[next_random(&seed) % array_len(refusals)];
            memcpy(in, c->in, len = c->len);
        }
        for (n = next_random(&seed) % 4; n; n--)
            in[next_random(&seed) % len] = spice[next_random(&seed) % (sizeof(spice))];
        verdict(in, len, next_random(&seed) % 2 ? &small : &http1_limits_default);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_truncation), cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_fields),     cmocka_unit_test(test_repeated_single),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_path_buffer),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

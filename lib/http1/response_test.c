// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#include <errno.h>

#define DATE_S     1704164646 /* Tue, 02 Jan 2024 03:04:06 GMT */
#define MTIME_S    (DATE_S - 1)
#define DATE       "Tue, 02 Jan 2024 03:04:06 GMT"
#define MTIME      "Tue, 02 Jan 2024 03:04:05 GMT"
#define BEFORE     "Tue, 02 Jan 2024 03:04:04 GMT"
#define ETAG       "\"65937d25-3e8\""
#define STREAM_MAX 65536

static const struct http1_options options = {
    .server = "atlas",
    .boundary_key = {1, 2},
};

static const char *const weak_tag = "W/\"w\"";

struct exchange {
    struct http1_request req;
    struct http1_response r;
    struct http1_ranges multi;
    char path[256];
    char location[64];
    char *stream; /* rendered as a whole, with the entity's bytes in it */
    size_t head_len;
};

/* The entity's content: position by position another byte. */
static char content_at(uint64_t off)
{
    return (char)('A' + off % 61 % 26);
}

static void render(const struct http1_response *r, uint64_t off, uint64_t len, char *dst)
{
    for (uint64_t end = off + len; off < end;) {
        struct http1_piece p = http1_response_piece(r, off);
        uint64_t n = min_u64(p.len, end - off);
        assert_true(n > 0);
        if (p.kind == HTTP1_TEXT) {
            char *exact = malloc(n);
            assert_int_equal(p.off, off);
            assert_int_equal(http1_response_text(r, off, n, exact), n);
            memcpy(dst, exact, n);
            free(exact);
        } else {
            assert_true(p.off + n <= r->entity->size);
            for (uint64_t i = 0; i < n; i++)
                dst[i] = content_at(p.off + i);
        }
        dst += n;
        off += n;
    }
}

/* What must hold of any response whatever. */
static void check_stream(struct exchange *x)
{
    const struct http1_response *r = &x->r;
    uint64_t total = http1_response_bytes(r), seed = total;
    assert_true(total < STREAM_MAX);
    x->stream = malloc(total + 1);
    render(r, 0, total, x->stream);
    x->stream[total] = '\0';
    /* In slices of random sizes, in random places. */
    for (int i = 0; i < 60; i++) {
        uint64_t off = next_random(&seed) % total, len = next_random(&seed) % (total - off) + 1;
        if (i % 2)
            len = min_u64(len, 1 + len % 7);
        char *slice = malloc(len);
        render(r, off, len, slice);
        assert_memory_equal(slice, x->stream + off, len);
        free(slice);
    }
    assert_int_equal(http1_response_piece(r, total).len, 0);
    assert_int_equal(http1_response_text(r, total, 10, NULL), 0);
    /* The head ends where it says, and what follows is as long as Content-Length says. */
    char *end = memmem(x->stream, total, "\r\n\r\n", 4);
    assert_non_null(end);
    x->head_len = (size_t)(end + 4 - x->stream);
    assert_int_equal(x->head_len, r->head_bytes);
    char *length = memmem(x->stream, x->head_len, "\r\nContent-Length: ", 18);
    uint64_t body = length ? strtoull(length + 18, NULL, 10) : 0;
    assert_int_equal(body, r->content_length);
    assert_int_equal(total, x->head_len + (r->head_method ? 0 : body));
}

/* A copy of the head, to be freed as soon as the response must stand alone. */
static char *parse(struct exchange *x, const char *head)
{
    size_t len = strlen(head);
    char *copy = exact_copy(head, len);
    memset(x, 0xa5, sizeof(*x));
    http1_request_init(&x->req, x->path, sizeof(x->path));
    assert_int_equal(http1_parse(copy, len, &http1_limits_default, &x->req), len);
    return copy;
}

static void decide(struct exchange *x, const char *head, const struct http1_entity *entity,
                   const struct http1_options *o)
{
    char *copy = parse(x, head);
    http1_decide(&x->req, entity, o, DATE_S, &x->multi, &x->r);
    free(copy);
    check_stream(x);
}

static void redirect(struct exchange *x, const char *head, const struct http1_options *o,
                     size_t room)
{
    char *copy = parse(x, head);
    assert_true(room <= sizeof(x->location));
    http1_redirect(&x->req, 8443, o, DATE_S, x->location, room, &x->r);
    free(copy);
    check_stream(x);
}

static bool head_has(const struct exchange *x, const char *line)
{
    return memmem(x->stream, x->head_len, line, strlen(line)) != NULL;
}

static void expect_head(const char *head, const struct http1_entity *entity,
                        const struct http1_options *o, const char *want)
{
    struct exchange x;
    decide(&x, head, entity, o);
    x.stream[x.head_len] = '\0';
    assert_string_equal(x.stream, want);
    free(x.stream);
}

static struct http1_entity entity_of(uint64_t size)
{
    struct http1_entity entity;
    http1_entity_init(&entity, size, MTIME_S, 0, "video/mp4");
    return entity;
}

#define GET  "GET /a.mp4 HTTP/1.1\r\nHost: x\r\n"
#define HEAD "HEAD /a.mp4 HTTP/1.1\r\nHost: x\r\n"

/* The very heads, in nginx's order. */
static void test_heads(void **state)
{
    struct http1_entity e = entity_of(1000);
    expect_head(GET "\r\n", &e, &options,
                "HTTP/1.1 200 OK\r\nServer: atlas\r\nDate: " DATE "\r\nContent-Type: video/mp4\r\n"
                "Content-Length: 1000\r\nLast-Modified: " MTIME "\r\nETag: " ETAG "\r\n"
                "Accept-Ranges: bytes\r\n\r\n");
    expect_head(GET "Range: bytes=10-19\r\n\r\n", &e, &options,
                "HTTP/1.1 206 Partial Content\r\nServer: atlas\r\nDate: " DATE "\r\n"
                "Content-Type: video/mp4\r\nContent-Length: 10\r\nLast-Modified: " MTIME "\r\n"
                "ETag: " ETAG "\r\nContent-Range: bytes 10-19/1000\r\n\r\n");
    expect_head(GET "Range: bytes=1000-\r\n\r\n", &e, &options,
                "HTTP/1.1 416 Range Not Satisfiable\r\nServer: atlas\r\nDate: " DATE "\r\n"
                "Content-Type: text/html\r\nContent-Length: 121\r\n"
                "Content-Range: bytes */1000\r\n\r\n");
    expect_head(GET "If-None-Match: " ETAG "\r\n\r\n", &e, &options,
                "HTTP/1.1 304 Not Modified\r\nServer: atlas\r\nDate: " DATE "\r\nETag: " ETAG
                "\r\n\r\n");
    expect_head("POST /a HTTP/1.1\r\nHost: x\r\n\r\n", &e, &options,
                "HTTP/1.1 405 Method Not Allowed\r\nServer: atlas\r\nDate: " DATE "\r\n"
                "Content-Type: text/html\r\nContent-Length: 115\r\n"
                "Allow: GET, HEAD, OPTIONS\r\n\r\n");
    expect_head("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", NULL, &options,
                "HTTP/1.1 204 No Content\r\nServer: atlas\r\nDate: " DATE "\r\n"
                "Allow: GET, HEAD, OPTIONS\r\n\r\n");
    expect_head(GET "\r\n", NULL, &options,
                "HTTP/1.1 404 Not Found\r\nServer: atlas\r\nDate: " DATE "\r\n"
                "Content-Type: text/html\r\nContent-Length: 97\r\n\r\n");
}

struct decided {
    const char *head;
    int status;
};

#define INM "If-None-Match: "
#define IM  "If-Match: "
#define IMS "If-Modified-Since: "
#define IUS "If-Unmodified-Since: "
#define IR  "If-Range: "
#define R   "Range: bytes=0-9\r\n"
#define E   "\r\n\r\n"

/* RFC 9110 13.1 and 13.2.2. The entity has ETAG and MTIME. */
static const struct decided decisions[] = {
    {GET "\r\n", 200},
    {HEAD "\r\n", 200},
    /* If-Match: strong, before everything. */
    {GET IM ETAG E, 200},
    {GET IM "\"a\", " ETAG E, 200},
    {GET IM "\"a,\"," ETAG ",\"b\"" E, 200},
    {GET IM "\"a\"\r\nIf-Match: " ETAG E, 200},
    {GET IM "\"a\"\r\nX: y\r\nif-match: \"b\"\r\nIF-MATCH:" ETAG E, 200},
    {GET IM "\"a\"\r\nIf-Matc: " ETAG E, 412},
    {GET IM "*" E, 200},
    {GET IM "\"a\"" E, 412},
    {GET IM "W/" ETAG E, 412},
    {GET IM "65937d25-3e8" E, 412},
    {GET IM "\"65937d25-3e8" E, 412},
    {GET IM E, 412},
    {GET IM "\"65937d25-3e\"" E, 412},
    {GET IM "\"65937D25-3E8\"" E, 412},
    {GET IM "\"a\" " ETAG E, 200},
    {GET IM "\"a\"x, " ETAG E, 412},
    {HEAD IM "\"a\"" E, 412},
    {GET IM "\"a\"\r\n" INM ETAG E, 412},
    {GET IM ETAG "\r\n" INM ETAG E, 304},
    /* If-Unmodified-Since: only without If-Match. */
    {GET IUS MTIME E, 200},
    {GET IUS DATE E, 200},
    {GET IUS BEFORE E, 412},
    {GET IUS "yesterday" E, 200},
    {GET IM ETAG "\r\n" IUS BEFORE E, 200},
    {GET IM "\"a\"\r\n" IUS DATE E, 412},
    {GET IUS BEFORE "\r\n" INM ETAG E, 412},
    {GET IUS BEFORE "\r\n" IUS BEFORE E, 200},
    /* If-None-Match: weak. */
    {GET INM ETAG E, 304},
    {HEAD INM ETAG E, 304},
    {GET INM "W/" ETAG E, 304},
    {GET INM "w/" ETAG E, 200},
    {GET INM "\"a\", W/\"b\" ,\t" ETAG E, 304},
    {GET INM "\"a\"\r\nIf-None-Match: " ETAG E, 304},
    {GET INM "*" E, 304},
    {GET INM "\"a\"" E, 200},
    {GET INM E, 200},
    {GET INM "\"a\"\r\n" IMS DATE E, 200}, /* step 3 hides step 4 */
    {GET INM ETAG "\r\n" IMS BEFORE E, 304},
    {GET INM ETAG "\r\n" R "\r\n", 304},
    /* If-Modified-Since. */
    {GET IMS MTIME E, 304},
    {GET IMS DATE E, 304},
    {GET IMS BEFORE E, 200},
    {HEAD IMS MTIME E, 304},
    {GET IMS "Tuesday, 02-Jan-24 03:04:05 GMT" E, 304},
    {GET IMS "Tue Jan  2 03:04:05 2024" E, 304},
    {GET IMS "Tue, 02 Jan 2024 03:04:05" E, 200},
    {GET IMS MTIME "\r\n" IMS MTIME E, 200},
    {GET IMS "0" E, 200},
    /* Range, and If-Range. */
    {GET R "\r\n", 206},
    {GET "range:bytes=-5" E, 206},
    {GET R IR ETAG E, 206},
    {GET R IR "\"a\"" E, 200},
    {GET R IR "W/" ETAG E, 200},
    {GET R IR ETAG ", " ETAG E, 200},
    {GET R IR "*" E, 200},
    {GET R IR E, 200},
    {GET R IR ETAG "\r\n" IR ETAG E, 200},
    {GET R IR MTIME E, 206},
    {GET R IR "Tue Jan  2 03:04:05 2024" E, 206},
    {GET R IR BEFORE E, 200},
    {GET R IR DATE E, 200},
    {GET IR ETAG E, 200},
    {GET IR "\"a\"" E, 200},
    {GET "Range: bytes=5000-\r\n" IR "\"a\"" E, 200},
    {GET "Range: bytes=5000-" E, 416},
    {GET "Range: bytes=5000-\r\n" INM ETAG E, 304},
    {GET "Range: bytes=5000-\r\n" IM "\"a\"" E, 412},
    {GET R R "\r\n", 200},
    {GET "Range: bytes=9-0" E, 200},
    {GET "Range: lines=0-9" E, 200},
    {GET "Range: bytes=0-1,3-4" E, 206},
    {HEAD R "\r\n", 200},
    {HEAD "Range: bytes=5000-" E, 200},
    /* Methods: conditions mean nothing to OPTIONS (13.2.1) nor to what is not allowed. */
    {"OPTIONS /a HTTP/1.1\r\nHost: x\r\n" IM "\"a\"" E, 204},
    {"POST /a HTTP/1.1\r\nHost: x\r\n" IM "\"a\"" E, 405},
    {"PUT /a HTTP/1.1\r\nHost: x" E, 405},
    {"DELETE /a HTTP/1.1\r\nHost: x" E, 405},
    {"PATCH /a HTTP/1.1\r\nHost: x" E, 405},
    {"TRACE /a HTTP/1.1\r\nHost: x" E, 405},
    {"CONNECT a:1 HTTP/1.1\r\nHost: x" E, 405},
};

static void test_decisions(void **state)
{
    struct http1_entity e = entity_of(1000);
    for (size_t i = 0; i < array_len(decisions); i++) {
        struct exchange x;
        decide(&x, decisions[i].head, &e, &options);
        if (x.r.status != decisions[i].status)
            fail_msg("%s: %d, not %d", decisions[i].head, x.r.status, decisions[i].status);
        free(x.stream);
        /* What is not there is 404, whatever the conditions (13.2.1). */
        decide(&x, decisions[i].head, NULL, &options);
        if (decisions[i].status != 405 && decisions[i].status != 204)
            assert_int_equal(x.r.status, 404);
        else
            assert_int_equal(x.r.status, decisions[i].status);
        free(x.stream);
    }
}

/* Entities without a validator, with a weak one, and from the future. */
static void test_validators(void **state)
{
    struct exchange x;
    struct http1_entity bare = entity_of(100), weak = entity_of(100), future = entity_of(100),
                        fresh = entity_of(100);
    bare.etag_len = 0;
    bare.mtime_s = HTTP1_TIME_NONE;
    weak.etag_len = (uint8_t)strlen(weak_tag);
    memcpy(weak.etag, weak_tag, weak.etag_len);
    future.mtime_s = DATE_S + 1000;
    fresh.mtime_s = DATE_S; /* may change within this second: a weak validator, 8.8.2.2 */
    const struct {
        const char *head;
        const struct http1_entity *entity;
        int status;
        const char *has, *has_not;
    } cases[] = {
        {GET E, &bare, 200, "Accept-Ranges", "ETag"},
        {GET E, &bare, 200, "Content-Length: 100", "Last-Modified"},
        {GET IMS DATE E, &bare, 200, "", "Last-Modified"},
        {GET IUS BEFORE E, &bare, 200, "", "Last-Modified"},
        {GET INM "*" E, &bare, 304, "Date", "Content"},
        {GET INM "\"\"" E, &bare, 200, "", "ETag"},
        {GET IM "*" E, &bare, 200, "", "ETag"},
        {GET IM ETAG E, &bare, 412, "", "ETag"},
        {GET R IR MTIME E, &bare, 200, "", "Content-Range"},
        {GET E, &weak, 200, "ETag: W/\"w\"\r\n", "Content-Range"},
        {GET INM "\"w\"" E, &weak, 304, "ETag: W/\"w\"\r\n", "Last-Modified"},
        {GET INM "W/\"w\"" E, &weak, 304, "", "Last-Modified"},
        {GET IM "W/\"w\"" E, &weak, 412, "", "Last-Modified"},
        {GET IM "\"w\"" E, &weak, 412, "", "Last-Modified"},
        {GET R IR "W/\"w\"" E, &weak, 200, "", "Content-Range"},
        {GET E, &future, 200, "Last-Modified: " DATE "\r\n", "Content-Range"},
        {GET R IR DATE E, &future, 200, "", "Content-Range"},
        {GET R IR DATE E, &fresh, 200, "", "Content-Range"},
        {GET IMS DATE E, &fresh, 304, "", "Content-Range"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        char head[512];
        /* GET E has one CR LF too many. */
        snprintf(head, sizeof(head), "%s", cases[i].head);
        char *end = strstr(head, "\r\n\r\n");
        end[4] = '\0';
        decide(&x, head, cases[i].entity, &options);
        if (x.r.status != cases[i].status || !head_has(&x, cases[i].has) ||
            head_has(&x, cases[i].has_not))
            fail_msg("%s: %s", head, x.stream);
        free(x.stream);
    }
    bare.mtime_s = MTIME_S; /* without ETag, a 304 says Last-Modified instead (15.4.5) */
    decide(&x, GET IMS MTIME E, &bare, &options);
    assert_int_equal(x.r.status, 304);
    assert_true(head_has(&x, "Last-Modified: " MTIME "\r\n"));
    free(x.stream);
}

static void test_bodies(void **state)
{
    struct exchange x;
    struct http1_entity e = entity_of(1000), empty = entity_of(0);
    decide(&x, GET "\r\n", &e, &options);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(x.stream[x.head_len + i], content_at(i));
    free(x.stream);
    decide(&x, GET "Range: bytes=-7" E, &e, &options);
    assert_int_equal(x.r.content_length, 7);
    for (uint64_t i = 0; i < 7; i++)
        assert_int_equal(x.stream[x.head_len + i], content_at(993 + i));
    free(x.stream);
    decide(&x, GET "\r\n", &empty, &options);
    assert_int_equal(x.r.status, 200);
    assert_true(head_has(&x, "Content-Length: 0\r\n"));
    free(x.stream);
    decide(&x, GET "Range: bytes=0-" E, &empty, &options);
    assert_int_equal(x.r.status, 200);
    free(x.stream);
    decide(&x, GET "Range: bytes=1-" E, &empty, &options);
    assert_int_equal(x.r.status, 416);
    assert_true(head_has(&x, "Content-Range: bytes */0\r\n"));
    free(x.stream);
    decide(&x, HEAD "\r\n", &e, &options);
    assert_true(head_has(&x, "Content-Length: 1000\r\n"));
    free(x.stream);
    decide(&x, HEAD "\r\n", NULL, &options);
    assert_true(head_has(&x, "Content-Length: 97\r\n"));
    free(x.stream);
}

/* RFC 9110 14.6 and 15.3.7.2, read back as a client would. */
static void test_multipart(void **state)
{
    struct exchange x, y;
    struct http1_entity e = entity_of(1000);
    decide(&x, GET "Range: bytes=0-4, 100-109, -1" E, &e, &options);
    assert_int_equal(x.r.status, 206);
    assert_ptr_equal(x.r.multi, &x.multi);
    char *boundary = strstr(x.stream, "boundary=") + 9, want[2048];
    assert_memory_equal(boundary + 32, "\r\n", 2);
    snprintf(want, sizeof(want),
             "--%.32s\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-4/1000\r\n\r\nABCDE\r\n"
             "--%.32s\r\nContent-Type: video/mp4\r\nContent-Range: bytes 100-109/1000\r\n\r\n"
             "%c%c%c%c%c%c%c%c%c%c\r\n"
             "--%.32s\r\nContent-Type: video/mp4\r\nContent-Range: bytes 999-999/1000\r\n\r\n%c\r\n"
             "--%.32s--\r\n",
             boundary, boundary, content_at(100), content_at(101), content_at(102), content_at(103),
             content_at(104), content_at(105), content_at(106), content_at(107), content_at(108),
             content_at(109), boundary, content_at(999), boundary);
    assert_string_equal(x.stream + x.head_len, want);
    assert_false(head_has(&x, "Content-Range"));
    /* The same request, the same bytes; another range, date or key, another boundary. */
    decide(&y, GET "Range: bytes=0-4,100-109,999-" E, &e, &options);
    assert_memory_equal(x.multi.boundary, y.multi.boundary, 16);
    free(y.stream);
    decide(&y, GET "Range: bytes=0-4,100-108,-1" E, &e, &options);
    assert_memory_not_equal(x.multi.boundary, y.multi.boundary, 16);
    free(y.stream);
    struct http1_options other = options;
    other.boundary_key[1]++;
    decide(&y, GET "Range: bytes=0-4,100-109,-1" E, &e, &other);
    assert_memory_not_equal(x.multi.boundary, y.multi.boundary, 16);
    free(y.stream);
    free(x.stream);
}

/* Without a place to keep the ranges, the whole. */
static void test_no_multi(void **state)
{
    struct http1_request req;
    struct http1_response r;
    struct http1_entity e = entity_of(1000);
    char path[64];
    static const char two[] = GET "Range: bytes=0-4,9-9" E, one[] = GET "Range: bytes=0-4,5-9" E;
    http1_request_init(&req, path, sizeof(path));
    assert_true(http1_parse(LIT(two), &http1_limits_default, &req) > 0);
    http1_decide(&req, &e, &options, DATE_S, NULL, &r);
    assert_int_equal(r.status, 200);
    http1_request_init(&req, path, sizeof(path));
    assert_true(http1_parse(LIT(one), &http1_limits_default, &req) > 0);
    http1_decide(&req, &e, &options, DATE_S, NULL, &r);
    assert_int_equal(r.status, 206);
    assert_int_equal(r.content_length, 10);
}

static void test_connection(void **state)
{
    struct exchange x;
    struct http1_entity e = entity_of(10);
    static const struct {
        const char *head;
        bool keep, close;
    } cases[] = {
        {GET "\r\n", false, false},
        {GET "Connection: close" E, false, true},
        {"GET / HTTP/1.0" E, false, true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive" E, true, false},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a" E, false, true},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        decide(&x, cases[i].head, &e, &options);
        assert_int_equal(head_has(&x, "\r\nConnection: keep-alive\r\n"), cases[i].keep);
        assert_int_equal(head_has(&x, "\r\nConnection: close\r\n"), cases[i].close);
        assert_int_equal(x.r.keep_alive, !cases[i].close);
        free(x.stream);
    }
}

static void test_options(void **state)
{
    struct exchange x;
    struct http1_entity e = entity_of(1000);
    const struct http1_options rich = {
        .cache_control = "max-age=60", .cors = true, .boundary_key = {1, 2}};
    static const struct {
        const char *head;
        bool cache_control;
    } cases[] = {
        {GET "\r\n", true},
        {GET R "\r\n", true},
        {GET INM "*" E, true},
        {GET IM "\"a\"" E, false},
        {HEAD "\r\n", true},
        {"PUT / HTTP/1.1\r\nHost: x" E, false},
        {GET "Range: bytes=0-1,5-6" E, true},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        decide(&x, cases[i].head, &e, &rich);
        assert_int_equal(head_has(&x, "\r\nCache-Control: max-age=60\r\n"), cases[i].cache_control);
        assert_true(head_has(&x, "\r\nAccess-Control-Allow-Origin: *\r\n"));
        assert_true(head_has(&x, "\r\nAccess-Control-Expose-Headers: "));
        assert_false(head_has(&x, "Access-Control-Max-Age"));
        assert_false(head_has(&x, "\r\nServer"));
        free(x.stream);
    }
    decide(&x,
           "OPTIONS /a HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\n"
           "Access-Control-Request-Method: GET" E,
           NULL, &rich);
    assert_int_equal(x.r.status, 204);
    assert_true(head_has(&x, "\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"));
    assert_true(head_has(&x, "\r\nAccess-Control-Allow-Headers: Range, "));
    assert_true(head_has(&x, "\r\nAccess-Control-Max-Age: 86400\r\n"));
    assert_false(head_has(&x, "\r\nContent-Length"));
    free(x.stream);
    assert_int_equal(http1_options_check(&rich), 0);
    assert_int_equal(http1_options_check(&options), 0);
    struct http1_options bad = {.server = "a\r\nSet-Cookie: b"};
    assert_int_equal(http1_options_check(&bad), -EINVAL);
    bad.server = "";
    assert_int_equal(http1_options_check(&bad), -EINVAL);
}

static void test_failures(void **state)
{
    static const struct {
        uint16_t status;
        const char *line;
        bool closes;
    } cases[] = {
        {400, "HTTP/1.1 400 Bad Request\r\n", true},
        {403, "HTTP/1.1 403 Forbidden\r\n", false},
        {404, "HTTP/1.1 404 Not Found\r\n", false},
        {408, "HTTP/1.1 408 Request Timeout\r\n", true},
        {413, "HTTP/1.1 413 Content Too Large\r\n", true},
        {414, "HTTP/1.1 414 URI Too Long\r\n", true},
        {417, "HTTP/1.1 417 Expectation Failed\r\n", false},
        {429, "HTTP/1.1 429 Too Many Requests\r\n", false},
        {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n", true},
        {500, "HTTP/1.1 500 Internal Server Error\r\n", false},
        {501, "HTTP/1.1 501 Not Implemented\r\n", true},
        {503, "HTTP/1.1 503 Service Unavailable\r\n", false},
        {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n", true},
    };
    struct http1_request req = {.method = HTTP1_GET, .minor = 1, .keep_alive = true};
    for (size_t i = 0; i < array_len(cases); i++) {
        struct exchange x;
        for (int with = 0; with < 2; with++) {
            http1_fail(cases[i].status, with ? &req : NULL, &options, DATE_S, &x.r);
            check_stream(&x);
            assert_memory_equal(x.stream, cases[i].line, strlen(cases[i].line));
            assert_int_equal(x.r.keep_alive, with && !cases[i].closes);
            assert_int_equal(head_has(&x, "Connection: close"), !x.r.keep_alive);
            assert_non_null(strstr(x.stream + x.head_len, "</html>\r\n"));
            free(x.stream);
        }
        struct http1_request head = {.method = HTTP1_HEAD, .minor = 1};
        http1_fail(cases[i].status, &head, &options, DATE_S, &x.r);
        check_stream(&x);
        assert_int_equal(x.r.stream_bytes, x.head_len);
        free(x.stream);
    }
}

static void test_redirects(void **state)
{
    struct exchange x;
    static const struct {
        const char *head;
        int status;
        bool keep_alive;
    } cases[] = {
        {GET "\r\n", 301, true},
        {HEAD "\r\n", 301, true},
        {GET R INM "*" E, 301, true}, /* conditions and ranges are for who has the thing */
        {GET "Connection: close" E, 301, false},
        {"GET / HTTP/1.0\r\nHost: x" E, 301, false},
        {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5" E, 308, true},
        {"DELETE /a HTTP/1.1\r\nHost: x" E, 308, true},
        {"OPTIONS /a HTTP/1.1\r\nHost: x" E, 308, true},
        {"OPTIONS * HTTP/1.1\r\nHost: x" E, 308, true},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a" E, 405, false},
        {"GET / HTTP/1.0" E, 400, false},
        {"GET / HTTP/1.1\r\nHost: x'y" E, 400, false},
        {"GET /long/long/long/long/long/long/long/long HTTP/1.1\r\nHost: example.com" E, 414,
         false},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        bool moved = cases[i].status < 400;
        redirect(&x, cases[i].head, &options, sizeof(x.location));
        if (x.r.status != cases[i].status)
            fail_msg("%s: %d, not %d", cases[i].head, x.r.status, cases[i].status);
        assert_int_equal(x.r.keep_alive, cases[i].keep_alive);
        assert_ptr_equal(x.r.location, moved ? x.location : NULL);
        assert_int_equal(head_has(&x, "\r\nLocation: https://x:8443"), moved);
        free(x.stream);
    }
    redirect(&x, GET "\r\n", &options, sizeof("https://x:8443/a.mp4") - 1);
    assert_int_equal(x.r.status, 414);
    free(x.stream);
    redirect(&x, GET "\r\n", &options, sizeof("https://x:8443/a.mp4"));
    assert_string_equal(x.stream,
                        "HTTP/1.1 301 Moved Permanently\r\nServer: atlas\r\nDate: " DATE "\r\n"
                        "Content-Type: text/html\r\nContent-Length: 113\r\n"
                        "Location: https://x:8443/a.mp4\r\n\r\n"
                        "<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n"
                        "<body><h1>301 Moved Permanently</h1></body>\r\n</html>\r\n");
    free(x.stream);
}

/* RFC 6797 7.1: with every answer of a connection that is secure, whatever its status. */
static void test_hsts(void **state)
{
    struct exchange x;
    struct http1_entity e = entity_of(1000);
    const struct http1_options secure = {.hsts = true, .hsts_s = 31536000};
    const struct http1_options over = {.hsts = true};
    for (size_t i = 0; i < array_len(decisions); i++) {
        decide(&x, decisions[i].head, &e, &secure);
        assert_true(head_has(&x, "\r\nStrict-Transport-Security: max-age=31536000\r\n"));
        free(x.stream);
        decide(&x, decisions[i].head, &e, &options);
        assert_false(head_has(&x, "Strict-Transport-Security"));
        free(x.stream);
    }
    http1_fail(408, NULL, &secure, DATE_S, &x.r);
    check_stream(&x);
    assert_true(head_has(&x, "\r\nStrict-Transport-Security: max-age=31536000\r\n"));
    free(x.stream);
    decide(&x, GET "\r\n", NULL, &over);
    assert_true(head_has(&x, "\r\nStrict-Transport-Security: max-age=0\r\n"));
    free(x.stream);
}

static void test_continue(void **state)
{
    struct exchange x;
    http1_continue(&x.r);
    check_stream(&x);
    assert_string_equal(x.stream, "HTTP/1.1 100 Continue\r\n\r\n");
    free(x.stream);
}

static void test_entity(void **state)
{
    struct http1_entity e;
    http1_entity_init(&e, 1000, 1704164645, 0, "a/b");
    assert_memory_equal(e.etag, ETAG, e.etag_len);
    assert_int_equal(e.etag_len, strlen(ETAG));
    http1_entity_init(&e, 0, 0, 0x12, "a/b");
    assert_int_equal(e.etag_len, strlen("\"0-0-12\""));
    assert_memory_equal(e.etag, "\"0-0-12\"", e.etag_len);
    http1_entity_init(&e, UINT64_MAX, -1, UINT64_MAX, "a/b");
    assert_true(e.etag_len <= HTTP1_ETAG_BYTES_MAX);
    assert_memory_equal(e.etag, "\"ffffffffffffffff-ffffffffffffffff-ffffffffffffffff\"",
                        e.etag_len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),      cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_validators), cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_multipart),  cmocka_unit_test(test_no_multi),
        cmocka_unit_test(test_connection), cmocka_unit_test(test_options),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_continue),
        cmocka_unit_test(test_entity),     cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_hsts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

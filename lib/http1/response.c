// SPDX-License-Identifier: BSD-2-Clause
/*
 * response.c - what a request is answered with, and the bytes of that answer.
 *
 * Text is written through a window: every writer says all that the text consists of, and `struct
 * out` keeps what lies between two stream offsets. An empty window counts. So the length of a head,
 * the head, and the third segment of a head sent again all come from the same lines below.
 */
#include "priv.h"

#include <errno.h>

#include "base/siphash.h"

#define ALLOWED "GET, HEAD, OPTIONS"

/* How long a preflight's answer may be kept; browsers cut it to 2 hours (Chromium) or a day. */
#define PREFLIGHT_AGE "86400"

#define CORS_FIELDS                                                                                \
    "Access-Control-Allow-Origin: *\r\n"                                                           \
    "Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, Date, ETag, "    \
    "Last-Modified, Server\r\n"
#define PREFLIGHT_FIELDS                                                                           \
    "Access-Control-Allow-Methods: " ALLOWED "\r\n"                                                \
    "Access-Control-Allow-Headers: Range, If-Range, If-Match, If-None-Match, If-Modified-Since, "  \
    "If-Unmodified-Since, Cache-Control, Content-Type\r\n"                                         \
    "Access-Control-Max-Age: " PREFLIGHT_AGE "\r\n"

#define OPTION_BYTES_MAX 256 /* of the strings in struct http1_options */

static_assert(sizeof(struct http1_response) <= 96, "kept for every response in flight");

/* --- writing through a window --------------------------------------------------------------- */

struct out {
    char *dst;     /* where the byte at stream offset `from` goes */
    uint64_t from; /* the window: [from, to) */
    uint64_t to;
    uint64_t pos;
};

static const struct out counting = {.from = UINT64_MAX, .to = UINT64_MAX};

static inline void put(struct out *o, const char *s, size_t len)
{
    uint64_t at = o->pos, end = at + len;
    o->pos = end;
    if (likely(at >= o->from && end <= o->to)) {
        memcpy(o->dst + (at - o->from), s, len);
        return;
    }
    uint64_t low = max_u64(at, o->from), high = min_u64(end, o->to);
    if (low < high)
        memcpy(o->dst + (low - o->from), s + (low - at), high - low);
}

#define PUT(o, literal) put(o, literal, sizeof(literal) - 1)

static void put_str(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

static void put_number(struct out *o, uint64_t n)
{
    char digits[20], *p = digits + sizeof(digits);
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    put(o, p, (size_t)(digits + sizeof(digits) - p));
}

static char *put_hex(char *dst, uint64_t n, int digits)
{
    for (int i = digits - 1; i >= 0; i--)
        *dst++ = "0123456789abcdef"[n >> (4 * i) & 15];
    return dst;
}

static void put_date(struct out *o, int64_t time_s)
{
    char date[HTTP1_DATE_BYTES];
    if (o->pos + sizeof(date) > o->from && o->pos < o->to)
        http1_date_format(date, time_s);
    put(o, date, sizeof(date));
}

/* --- text ----------------------------------------------------------------------------------- */

/* RFC 9110 15; 431: RFC 6585 5. */
static const char *status_text(uint16_t status)
{
    switch (status) {
    case 200:
        return "200 OK";
    case 204:
        return "204 No Content";
    case 206:
        return "206 Partial Content";
    case 301:
        return "301 Moved Permanently";
    case 304:
        return "304 Not Modified";
    case 308:
        return "308 Permanent Redirect";
    case 400:
        return "400 Bad Request";
    case 403:
        return "403 Forbidden";
    case 404:
        return "404 Not Found";
    case 405:
        return "405 Method Not Allowed";
    case 408:
        return "408 Request Timeout";
    case 412:
        return "412 Precondition Failed";
    case 413:
        return "413 Content Too Large";
    case 414:
        return "414 URI Too Long";
    case 416:
        return "416 Range Not Satisfiable";
    case 417:
        return "417 Expectation Failed";
    case 429:
        return "429 Too Many Requests";
    case 431:
        return "431 Request Header Fields Too Large";
    case 501:
        return "501 Not Implemented";
    case 503:
        return "503 Service Unavailable";
    case 505:
        return "505 HTTP Version Not Supported";
    default:
        return "500 Internal Server Error";
    }
}

/* Errors and redirects have a page that says what the status line says. */
static bool has_page(const struct http1_response *r)
{
    return r->status >= 400 || r->location;
}

static void put_page(struct out *o, uint16_t status)
{
    const char *text = status_text(status);
    PUT(o, "<html>\r\n<head><title>");
    put_str(o, text);
    PUT(o, "</title></head>\r\n<body><h1>");
    put_str(o, text);
    PUT(o, "</h1></body>\r\n</html>\r\n");
}

static void put_content_range(struct out *o, const struct http1_range *range, uint64_t size)
{
    PUT(o, "Content-Range: bytes ");
    put_number(o, range->off);
    PUT(o, "-");
    put_number(o, range->off + range->bytes - 1);
    PUT(o, "/");
    put_number(o, size);
    PUT(o, "\r\n");
}

static void put_boundary(struct out *o, const struct http1_ranges *multi)
{
    char hex[32];
    put_hex(put_hex(hex, multi->boundary[0], 16), multi->boundary[1], 16);
    put(o, hex, sizeof(hex));
}

/* What stands before part `index`, or behind the last one (RFC 9110 14.6, RFC 2046 5.1.1). */
static void put_part_head(struct out *o, const struct http1_response *r, uint32_t index)
{
    if (index > 0)
        PUT(o, "\r\n");
    PUT(o, "--");
    put_boundary(o, r->multi);
    if (index == r->multi->count) {
        PUT(o, "--\r\n");
        return;
    }
    PUT(o, "\r\nContent-Type: ");
    put_str(o, r->entity->type);
    PUT(o, "\r\n");
    put_content_range(o, &r->multi->range[index], r->entity->size);
    PUT(o, "\r\n");
}

static void put_last_modified(struct out *o, const struct http1_response *r)
{
    if (r->entity->mtime_s == HTTP1_TIME_NONE)
        return;
    PUT(o, "Last-Modified: ");
    put_date(o, http1_last_modified(r->entity, r->date_s));
    PUT(o, "\r\n");
}

static void put_etag(struct out *o, const struct http1_response *r)
{
    if (r->entity->etag_len == 0)
        return;
    PUT(o, "ETag: ");
    put(o, r->entity->etag, r->entity->etag_len);
    PUT(o, "\r\n");
}

static void put_content_length(struct out *o, const struct http1_response *r)
{
    PUT(o, "Content-Length: ");
    put_number(o, r->content_length);
    PUT(o, "\r\n");
}

/* 200 and 206. The types and the ranges of several parts stand in the parts (RFC 9110 15.3.7.2). */
static void put_entity_fields(struct out *o, const struct http1_response *r)
{
    PUT(o, "Content-Type: ");
    if (r->multi) {
        PUT(o, "multipart/byteranges; boundary=");
        put_boundary(o, r->multi);
    } else {
        put_str(o, r->entity->type);
    }
    PUT(o, "\r\n");
    put_content_length(o, r);
    put_last_modified(o, r);
    put_etag(o, r);
    if (r->status == 200)
        PUT(o, "Accept-Ranges: bytes\r\n");
    else if (!r->multi)
        put_content_range(o, &r->range, r->entity->size);
}

static void put_page_fields(struct out *o, const struct http1_response *r)
{
    PUT(o, "Content-Type: text/html\r\n");
    put_content_length(o, r);
    if (r->location) {
        PUT(o, "Location: ");
        put_str(o, r->location);
        PUT(o, "\r\n");
    }
    if (r->status == 405)
        PUT(o, "Allow: " ALLOWED "\r\n");
    if (r->status == 416 && r->entity) {
        PUT(o, "Content-Range: bytes */");
        put_number(o, r->entity->size);
        PUT(o, "\r\n");
    }
}

static void put_status_fields(struct out *o, const struct http1_response *r)
{
    switch (r->status) {
    case 200:
    case 206:
        put_entity_fields(o, r);
        break;
    case 204:
        PUT(o, "Allow: " ALLOWED "\r\n");
        break;
    case 304:
        /* RFC 9110 15.4.5: what a cache needs; Last-Modified only as a substitute for ETag. */
        put_etag(o, r);
        if (r->entity->etag_len == 0)
            put_last_modified(o, r);
        break;
    default:
        put_page_fields(o, r);
        break;
    }
}

static void put_head(struct out *o, const struct http1_response *r)
{
    const struct http1_options *options = r->options;
    if (r->status == 100) {
        PUT(o, "HTTP/1.1 100 Continue\r\n\r\n");
        return;
    }
    PUT(o, "HTTP/1.1 ");
    put_str(o, status_text(r->status));
    if (options->server) {
        PUT(o, "\r\nServer: ");
        put_str(o, options->server);
    }
    PUT(o, "\r\nDate: ");
    put_date(o, r->date_s);
    PUT(o, "\r\n");
    put_status_fields(o, r);
    /* RFC 9112 9.3: 1.1 persists unless it says so, 1.0 only if it says so. */
    if (!r->keep_alive)
        PUT(o, "Connection: close\r\n");
    else if (r->minor == 0)
        PUT(o, "Connection: keep-alive\r\n");
    if (options->cache_control && (r->status == 200 || r->status == 206 || r->status == 304)) {
        PUT(o, "Cache-Control: ");
        put_str(o, options->cache_control);
        PUT(o, "\r\n");
    }
    if (options->hsts) {
        PUT(o, "Strict-Transport-Security: max-age=");
        put_number(o, options->hsts_s);
        PUT(o, "\r\n");
    }
    if (options->cors)
        PUT(o, CORS_FIELDS);
    if (options->cors && r->status == 204)
        PUT(o, PREFLIGHT_FIELDS);
    PUT(o, "\r\n");
}

/* The text pieces by number: 0 is the head with what follows it as text, then one before each part.
 */
static void put_text(struct out *o, const struct http1_response *r, uint32_t index)
{
    if (index > 0) {
        put_part_head(o, r, index);
        return;
    }
    put_head(o, r);
    if (r->multi)
        put_part_head(o, r, 0);
    else if (has_page(r) && !r->head_method)
        put_page(o, r->status);
}

/* --- the stream ----------------------------------------------------------------------------- */

static uint64_t part_head_bytes(const struct http1_response *r, uint32_t index)
{
    struct out o = counting;
    put_part_head(&o, r, index);
    return o.pos;
}

/* All that follows from the decision. Nothing here looks at the request. */
static void lay_out(struct http1_response *r)
{
    struct out o = counting;
    uint64_t body = 0, text = 0; /* of the body, and how much of its beginning is text */
    if (r->multi) {
        text = part_head_bytes(r, 0);
        body = text + r->multi->range[0].bytes;
        for (uint32_t i = 1; i < r->multi->count; i++)
            body += part_head_bytes(r, i) + r->multi->range[i].bytes;
        body += part_head_bytes(r, r->multi->count);
    } else if (r->status == 200 || r->status == 206) {
        body = r->range.bytes;
    } else if (has_page(r)) {
        put_page(&o, r->status);
        text = body = o.pos;
    }
    r->content_length = body;
    o = counting;
    put_head(&o, r);
    r->head_bytes = (uint32_t)o.pos;
    r->text_bytes = r->head_bytes + (r->head_method ? 0 : (uint32_t)text);
    r->stream_bytes = r->head_bytes + (r->head_method ? 0 : body);
}

struct spot {
    struct http1_piece piece; /* the whole one */
    uint64_t start;           /* of the piece, in the stream */
    uint32_t index;           /* of the text */
};

static struct spot multi_find(const struct http1_response *r, uint64_t stream_off)
{
    struct spot s = {.start = r->text_bytes};
    for (uint32_t i = 0; i < r->multi->count; i++) {
        const struct http1_range *range = &r->multi->range[i];
        if (stream_off - s.start < range->bytes) {
            s.piece = (struct http1_piece){HTTP1_BODY, range->off, range->bytes};
            return s;
        }
        s.start += range->bytes;
        s.index = i + 1;
        s.piece = (struct http1_piece){HTTP1_TEXT, s.start, part_head_bytes(r, i + 1)};
        if (stream_off - s.start < s.piece.len)
            return s;
        s.start += s.piece.len;
    }
    s.piece = (struct http1_piece){HTTP1_TEXT, s.start, 0};
    return s;
}

static struct spot find(const struct http1_response *r, uint64_t stream_off)
{
    if (stream_off < r->text_bytes)
        return (struct spot){.piece = {HTTP1_TEXT, 0, r->text_bytes}};
    if (stream_off >= r->stream_bytes)
        return (struct spot){.piece = {HTTP1_TEXT, stream_off, 0}, .start = stream_off};
    if (r->multi)
        return multi_find(r, stream_off);
    return (struct spot){.piece = {HTTP1_BODY, r->range.off, r->range.bytes},
                         .start = r->text_bytes};
}

struct http1_piece http1_response_piece(const struct http1_response *r, uint64_t stream_off)
{
    struct spot s = find(r, stream_off);
    uint64_t skip = stream_off - s.start;
    return (struct http1_piece){s.piece.kind, s.piece.off + skip, s.piece.len - skip};
}

size_t http1_response_text(const struct http1_response *r, uint64_t stream_off, size_t len,
                           char *dst)
{
    struct spot s = find(r, stream_off);
    if (s.piece.kind != HTTP1_TEXT)
        return 0;
    uint64_t n = min_u64(len, s.start + s.piece.len - stream_off);
    struct out o = {.dst = dst, .from = stream_off, .to = stream_off + n, .pos = s.start};
    if (n)
        put_text(&o, r, s.index);
    return n;
}

/* --- deciding ------------------------------------------------------------------------------- */

static void begin(struct http1_response *r, const struct http1_request *req,
                  const struct http1_options *options, int64_t date_s)
{
    *r = (struct http1_response){
        .options = options,
        .date_s = date_s,
        .minor = req ? req->minor : 1,
        .keep_alive = req && req->keep_alive,
        .head_method = req && req->method == HTTP1_HEAD,
    };
}

static void make_boundary(const struct http1_options *options, const struct http1_entity *entity,
                          int64_t date_s, struct http1_ranges *multi)
{
    const uint64_t *key = options->boundary_key;
    uint64_t facts[6] = {
        siphash24(key, entity->etag, entity->etag_len),
        siphash24(key, multi->range, multi->count * sizeof(multi->range[0])),
        entity->size,
        (uint64_t)entity->mtime_s,
        (uint64_t)date_s,
        0,
    };
    for (int i = 0; i < 2; i++) {
        facts[5] = (uint64_t)i;
        multi->boundary[i] = siphash24(key, facts, sizeof(facts));
    }
}

/* RFC 9110 13.2.2, steps 5 and 6. Range is defined for GET only (14.2). */
static void decide_range(const struct http1_request *req, struct http1_ranges *multi,
                         struct http1_response *r)
{
    const struct http1_entity *entity = r->entity;
    struct http1_ranges scratch, *ranges = multi ? multi : &scratch;
    r->status = 200;
    r->range = (struct http1_range){0, entity->size};
    if (req->method != HTTP1_GET || !req->range.off || !http1_if_range(req, entity, r->date_s))
        return;
    switch (http1_ranges_parse(req_str(req, req->range), entity->size, ranges)) {
    case RANGE_WHOLE:
        return;
    case RANGE_ONE:
        r->status = 206;
        r->range = ranges->range[0];
        return;
    case RANGE_MULTI:
        if (!multi)
            return;
        r->status = 206;
        make_boundary(r->options, entity, r->date_s, multi);
        r->multi = multi;
        return;
    case RANGE_UNSATISFIABLE:
        r->status = 416;
        return;
    }
}

void http1_decide(const struct http1_request *req, const struct http1_entity *entity,
                  const struct http1_options *options, int64_t date_s, struct http1_ranges *multi,
                  struct http1_response *out)
{
    begin(out, req, options, date_s);
    out->entity = entity;
    if (req->method == HTTP1_OPTIONS) {
        /* The same for every path, there or not: a preflight that fails would hide the 404. */
        out->status = 204;
    } else if (req->method != HTTP1_GET && req->method != HTTP1_HEAD) {
        out->status = 405;
    } else if (!entity) {
        /* RFC 9110 13.2.1: preconditions apply to what would be a success. */
        out->status = 404;
    } else {
        out->status = (uint16_t)http1_preconditions(req, entity, date_s);
        if (out->status == 0)
            decide_range(req, multi, out);
    }
    lay_out(out);
}

/* After these nobody knows where the next request begins, or whether there will be one. */
static bool must_close(uint16_t status)
{
    return status == 400 || status == 408 || status == 413 || status == 414 || status == 431 ||
           status == 501 || status == 505;
}

void http1_fail(uint16_t status, const struct http1_request *req,
                const struct http1_options *options, int64_t date_s, struct http1_response *out)
{
    assert(status >= 400);
    begin(out, req, options, date_s);
    out->status = status;
    out->keep_alive &= !must_close(status);
    lay_out(out);
}

void http1_redirect(const struct http1_request *req, uint16_t port,
                    const struct http1_options *options, int64_t date_s, char *location, size_t cap,
                    struct http1_response *out)
{
    bool safe = req->method == HTTP1_GET || req->method == HTTP1_HEAD;
    /* A CONNECT asks for a tunnel: there is no resource that could be elsewhere. */
    int rc = req->method == HTTP1_CONNECT ? -405 : http1_location(req, port, location, cap);
    if (rc < 0) {
        http1_fail((uint16_t)-rc, req, options, date_s, out);
        return;
    }
    begin(out, req, options, date_s);
    out->status = safe ? 301 : 308;
    out->location = location;
    lay_out(out);
}

void http1_continue(struct http1_response *out)
{
    *out = (struct http1_response){.status = 100, .minor = 1, .keep_alive = true};
    lay_out(out);
}

/* --- what is served ------------------------------------------------------------------------- */

static char *put_hex_short(char *dst, uint64_t n)
{
    return put_hex(dst, n, n ? (67 - __builtin_clzll(n)) / 4 : 1);
}

void http1_entity_init(struct http1_entity *entity, uint64_t size, int64_t mtime_s,
                       uint64_t generation, const char *type)
{
    *entity = (struct http1_entity){.size = size, .mtime_s = mtime_s, .type = type};
    char *p = entity->etag;
    *p++ = '"';
    p = put_hex_short(p, (uint64_t)mtime_s);
    *p++ = '-';
    p = put_hex_short(p, size);
    if (generation) {
        *p++ = '-';
        p = put_hex_short(p, generation);
    }
    *p++ = '"';
    entity->etag_len = (uint8_t)(p - entity->etag);
}

static bool option_ok(const char *s)
{
    size_t len = s ? strlen(s) : 0;
    return !s || (len > 0 && len <= OPTION_BYTES_MAX && http1_value_end(s, s + len) == s + len);
}

int http1_options_check(const struct http1_options *options)
{
    return option_ok(options->server) && option_ok(options->cache_control) ? 0 : -EINVAL;
}

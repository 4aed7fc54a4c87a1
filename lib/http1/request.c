// SPDX-License-Identifier: BSD-2-Clause
/*
 * request.c - the head of a request (RFC 9112 2 to 6), line by line and each byte once.
 *
 * A line is parsed when it is there as a whole; one that is not is looked at again, from its
 * beginning, when its LF has come. That makes the verdict independent of how the bytes arrived: an
 * error counts only if the LF of its line lies within what has arrived (`refuse`).
 */
#include "priv.h"

const struct http1_limits http1_limits_default = {
    .target_bytes = 8192,
    .head_bytes = 32768,
    .fields = 100,
};

/* Methods that the server knows are shorter: DELETE, OPTIONS, CONNECT. Leaves room for WebDAV's. */
#define METHOD_BYTES_MAX 32
#define VERSION_BYTES    8 /* "HTTP/1.1" */
/* A request line without its target: method, two spaces, version, CR, LF. */
#define LINE_EXTRA_BYTES  (METHOD_BYTES_MAX + 2 + VERSION_BYTES + 2)
#define LENGTH_DIGITS_MAX 19 /* below 10^19, so no sum can overflow 64 bits */

enum connection_option {
    CONNECTION_CLOSE = 1,
    CONNECTION_KEEP_ALIVE = 2,
};

/* What lines have said so far, for the rules that look at several of them. */
enum seen {
    SEEN_START_LINE = 1,
    SEEN_HOST = 2,
    SEEN_LENGTH = 4,
    SEEN_CODING = 8, /* any Transfer-Encoding */
    SEEN_CHUNKED = 16,
    SEEN_AFTER_CHUNKED = 32, /* a coding behind chunked: it must be last */
    SEEN_CODING_UNKNOWN = 64,
    SEEN_EXPECT = 128,
    SEEN_EXPECT_UNKNOWN = 256,
};

void http1_request_init(struct http1_request *req, char *path, size_t path_cap)
{
    *req = (struct http1_request){
        .path = path,
        .path_cap = (uint16_t)min_u64(path_cap, UINT16_MAX),
    };
}

/* A line is wrong. That counts once it is whole: until then the answer is "more". */
static int refuse(const char *p, const char *end, int status)
{
    return memchr(p, '\n', (size_t)(end - p)) ? -status : 0;
}

/* Whether to look at the line from `p` on. Looking again pays only once its LF has arrived. */
static bool may_be_whole(const struct http1_request *req, const char *p, const char *end)
{
    const char *fresh = req->head + req->scanned;
    if (req->scanned == 0)
        return true;
    if (fresh < p)
        fresh = p;
    return fresh < end && memchr(fresh, '\n', (size_t)(end - fresh));
}

static struct http1_slice slice(const char *buf, const char *from, const char *to)
{
    return (struct http1_slice){(uint16_t)(from - buf), (uint16_t)(to - from)};
}

/* --- the request line ----------------------------------------------------------------------- */

/* RFC 9110 9.1: methods are case-sensitive. */
static enum http1_method method_of(const char *p, size_t len)
{
#define IS(name) (len == sizeof(name) - 1 && memcmp(p, name, sizeof(name) - 1) == 0)
    switch (*p) {
    case 'G':
        return IS("GET") ? HTTP1_GET : HTTP1_NONE;
    case 'H':
        return IS("HEAD") ? HTTP1_HEAD : HTTP1_NONE;
    case 'O':
        return IS("OPTIONS") ? HTTP1_OPTIONS : HTTP1_NONE;
    case 'P':
        return IS("POST")    ? HTTP1_POST
               : IS("PUT")   ? HTTP1_PUT
               : IS("PATCH") ? HTTP1_PATCH
                             : HTTP1_NONE;
    case 'D':
        return IS("DELETE") ? HTTP1_DELETE : HTTP1_NONE;
    case 'T':
        return IS("TRACE") ? HTTP1_TRACE : HTTP1_NONE;
    case 'C':
        return IS("CONNECT") ? HTTP1_CONNECT : HTTP1_NONE;
    default:
        return HTTP1_NONE;
    }
#undef IS
}

/* RFC 9112 2.3: "HTTP/" DIGIT "." DIGIT. Any 1.x from 1.1 on is spoken to as 1.1 (RFC 9110 2.5). */
static int take_version(struct http1_request *req, const char *p)
{
    if (memcmp(p, "HTTP/", 5) != 0 || !is_class(p[5], CLASS_DIGIT) || p[6] != '.' ||
        !is_class(p[7], CLASS_DIGIT))
        return -400;
    if (p[5] != '1')
        return -505; /* 2.0 of the preface "PRI * HTTP/2.0" as well */
    req->minor = p[7] != '0';
    return 0;
}

/*
 * > 0: where the first field line begins. The syntax of the line is judged before its meaning, and
 * the version before the method, as the method's meaning depends on it.
 */
static int request_line(struct http1_request *req, const char *buf, const char *p, const char *end,
                        const struct http1_limits *limits)
{
    const char *line = p;
    while (p < end && is_class(*p, CLASS_TOKEN))
        p++;
    if (p == end)
        return 0;
    size_t method_len = (size_t)(p - line);
    if (*p++ != ' ' || method_len == 0)
        return refuse(p - 1, end, 400);
    const char *target = p;
    while (p < end && is_class(*p, CLASS_TARGET))
        p++;
    if (p == end)
        return 0;
    size_t target_len = (size_t)(p - target);
    if (*p != ' ' || target_len == 0)
        return refuse(p, end, 400);
    const char *version = ++p;
    if (end - p < VERSION_BYTES + 2)
        return refuse(p, end, 400);
    p += VERSION_BYTES;
    int rc = take_version(req, version);
    if (rc == -400 || p[0] != '\r' || p[1] != '\n')
        return refuse(version, end, 400);
    if (rc)
        return rc;
    req->method = (uint8_t)method_of(line, method_len);
    if (req->method == HTTP1_NONE)
        return -501;
    if (target_len > limits->target_bytes)
        return -414;
    req->target = slice(buf, target, target + target_len);
    rc = http1_target_split(buf, req);
    return rc ? rc : (int)(p + 2 - buf);
}

/*
 * Empty lines before a request are left over from clients that end a body with one (RFC 9112 2.2).
 * A first byte that begins no method is refused at once, without waiting for a line that may never
 * end: it is TLS, or SSH, or noise.
 */
static int start_line(struct http1_request *req, const char *buf, const char *end,
                      const struct http1_limits *limits)
{
    const char *p = buf;
    for (int empty = 0; p < end && *p == '\r'; empty++) {
        if (end - p < 2)
            return 0;
        if (p[1] != '\n' || empty == HTTP1_EMPTY_LINES_MAX)
            return -400;
        p += 2;
    }
    if (p == end)
        return 0;
    if (!is_class(*p, CLASS_TOKEN))
        return -400;
    size_t line_max = (size_t)limits->target_bytes + LINE_EXTRA_BYTES;
    bool cut = (size_t)(end - p) >= line_max;
    if (cut)
        end = p + line_max;
    int rc = may_be_whole(req, p, end) ? request_line(req, buf, p, end, limits) : 0;
    return rc == 0 && cut ? -414 : rc;
}

/* --- fields --------------------------------------------------------------------------------- */

/* RFC 9110 8.6. A repeated one is refused by the caller, "5, 5" by the comma. */
static int take_length(struct http1_request *req, struct str value)
{
    uint64_t n = 0;
    size_t i = 0;
    /* Leading zeros are legal and must not count against the digits. */
    while (i + 1 < value.len && value.at[i] == '0')
        i++;
    if (value.len == 0 || value.len - i > LENGTH_DIGITS_MAX)
        return -400;
    for (; i < value.len; i++) {
        if (!is_class(value.at[i], CLASS_DIGIT))
            return -400;
        n = n * 10 + (uint64_t)(value.at[i] - '0');
    }
    req->content_length = n;
    return 0;
}

/* RFC 9112 6.1. What the codings mean together is judged at the end: they may span lines. */
static void take_coding(struct http1_request *req, struct str value)
{
    struct str item;
    req->seen |= SEEN_CODING;
    while (http1_list_next(&value, &item)) {
        if (req->seen & SEEN_CHUNKED)
            req->seen |= SEEN_AFTER_CHUNKED;
        if (str_is_nocase(item, "chunked", 7))
            req->seen |= SEEN_CHUNKED;
        else
            req->seen |= SEEN_CODING_UNKNOWN;
    }
}

static void take_connection(struct http1_request *req, struct str value)
{
    struct str item;
    while (http1_list_next(&value, &item)) {
        if (str_is_nocase(item, "close", 5))
            req->connection |= CONNECTION_CLOSE;
        else if (str_is_nocase(item, "keep-alive", 10))
            req->connection |= CONNECTION_KEEP_ALIVE;
    }
}

static void take_expect(struct http1_request *req, struct str value)
{
    struct str item;
    while (http1_list_next(&value, &item))
        req->seen |= str_is_nocase(item, "100-continue", 12) ? SEEN_EXPECT : SEEN_EXPECT_UNKNOWN;
}

static int take_host(struct http1_request *req, struct str value)
{
    if ((req->seen & SEEN_HOST) || !http1_host_ok(value))
        return -400;
    req->seen |= SEEN_HOST;
    /* What the target said in absolute form wins (RFC 9112 3.2.2). */
    if (req->host.off == 0)
        req->host = slice(req->head, value.at, value.at + value.len);
    return 0;
}

/*
 * A field that has one value and comes twice has none: an empty value is invalid for all of these,
 * and an invalid one is ignored (Range, dates) or fails (If-Range).
 */
static void take_single(struct http1_request *req, struct http1_slice *field, struct str value)
{
    if (field->off)
        field->len = 0;
    else
        *field = slice(req->head, value.at, value.at + value.len);
}

/* The first line of a list; http1_field_again finds the others in the rare case that it must. */
static void take_first(struct http1_request *req, struct http1_slice *field, struct str value)
{
    if (!field->off)
        *field = slice(req->head, value.at, value.at + value.len);
}

/* By length and first letter, so that a name that does not matter costs one comparison. */
static int take_field(struct http1_request *req, struct str name, struct str value)
{
#define IS(s) str_is_nocase(name, s, sizeof(s) - 1)
    switch (name.len << 8 | (name.at[0] | 0x20)) {
    case 4 << 8 | 'h':
        return IS("host") ? take_host(req, value) : 0;
    case 5 << 8 | 'r':
        if (IS("range"))
            take_single(req, &req->range, value);
        return 0;
    case 6 << 8 | 'e':
        if (IS("expect"))
            take_expect(req, value);
        return 0;
    case 6 << 8 | 'o':
        if (IS("origin"))
            take_single(req, &req->origin, value);
        return 0;
    case 8 << 8 | 'i':
        if (IS("if-range"))
            take_single(req, &req->if_range, value);
        else if (IS("if-match"))
            take_first(req, &req->if_match, value);
        return 0;
    case 10 << 8 | 'c':
        if (IS("connection"))
            take_connection(req, value);
        return 0;
    case 13 << 8 | 'i':
        if (IS("if-none-match"))
            take_first(req, &req->if_none_match, value);
        return 0;
    case 14 << 8 | 'c':
        if (!IS("content-length"))
            return 0;
        if (req->seen & SEEN_LENGTH)
            return -400;
        req->seen |= SEEN_LENGTH;
        return take_length(req, value);
    case 17 << 8 | 't':
        if (IS("transfer-encoding"))
            take_coding(req, value);
        return 0;
    case 17 << 8 | 'i':
        if (IS("if-modified-since"))
            take_single(req, &req->if_modified_since, value);
        return 0;
    case 19 << 8 | 'i':
        if (IS("if-unmodified-since"))
            take_single(req, &req->if_unmodified_since, value);
        return 0;
    default:
        return 0;
    }
#undef IS
}

/*
 * RFC 9112 5. No blank before the colon, no folding: a line that begins with a blank has no name.
 * > 0: where the next line begins.
 */
static int field_line(struct http1_request *req, const char *p, const char *end)
{
    const char *name = p;
    while (p < end && is_class(*p, CLASS_TOKEN))
        p++;
    if (p == end)
        return 0;
    if (*p != ':' || p == name)
        return refuse(p, end, 400);
    const char *colon = p++;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    const char *value = p;
    p = http1_value_end(p, end);
    if (end - p < 2)
        return refuse(p, end, 400);
    if (p[0] != '\r' || p[1] != '\n')
        return refuse(p, end, 400);
    const char *stop = p;
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    int rc = take_field(req, (struct str){name, (size_t)(colon - name)},
                        (struct str){value, (size_t)(stop - value)});
    return rc ? rc : (int)(p + 2 - req->head);
}

/* --- the end of the head -------------------------------------------------------------------- */

/*
 * RFC 9112 6.3. Whatever could be read in two ways ends the connection. A coding that is not known
 * is 501 (6.1), except behind "chunked", where the message has no end that one could find (6.3).
 */
static int end_framing(struct http1_request *req)
{
    if (req->seen & SEEN_CODING) {
        if (req->minor == 0 || (req->seen & (SEEN_LENGTH | SEEN_AFTER_CHUNKED)))
            return -400;
        if (req->seen & SEEN_CODING_UNKNOWN)
            return -501;
        if (!(req->seen & SEEN_CHUNKED))
            return -400;
        req->chunked = true;
    }
    req->has_body = req->chunked || req->content_length > 0;
    return 0;
}

static int end_of_head(struct http1_request *req)
{
    /* RFC 9112 3.2. */
    if (req->minor && !(req->seen & SEEN_HOST))
        return -400;
    int rc = end_framing(req);
    if (rc)
        return rc;
    /* RFC 9110 10.1.1: what a 1.0 client expects is ignored. */
    if (req->minor && (req->seen & SEEN_EXPECT_UNKNOWN))
        return -417;
    req->expect_continue = req->minor && req->has_body && (req->seen & SEEN_EXPECT);
    rc = http1_target_path(req);
    if (rc)
        return rc;
    /* RFC 9112 9.3. Behind a CONNECT that is refused may lie bytes meant for the tunnel. */
    bool wish = req->minor ? true : req->connection & CONNECTION_KEEP_ALIVE;
    req->keep_alive = wish && !(req->connection & CONNECTION_CLOSE) && req->method != HTTP1_CONNECT;
    return 0;
}

static int parse_lines(struct http1_request *req, const char *buf, const char *end,
                       const struct http1_limits *limits)
{
    if (!(req->seen & SEEN_START_LINE)) {
        int rc = start_line(req, buf, end, limits);
        if (rc <= 0)
            return rc;
        req->seen |= SEEN_START_LINE;
        req->line = (uint32_t)rc;
    }
    if (!may_be_whole(req, buf + req->line, end))
        return 0;
    for (;;) {
        const char *p = buf + req->line;
        if (p < end && *p == '\r') {
            if (end - p < 2)
                return 0;
            if (p[1] != '\n')
                return refuse(p, end, 400);
            int rc = end_of_head(req);
            return rc ? rc : (int)(req->line + 2);
        }
        int rc = field_line(req, p, end);
        if (rc <= 0)
            return rc;
        if (++req->fields > limits->fields)
            return -431;
        req->line = (uint32_t)rc;
    }
}

int http1_parse(const char *buf, size_t len, const struct http1_limits *limits,
                struct http1_request *req)
{
    assert(limits->head_bytes <= HTTP1_HEAD_BYTES_MAX);
    const char *end = buf + min_u64(len, limits->head_bytes);
    req->head = buf;
    int rc = parse_lines(req, buf, end, limits);
    if (rc)
        return rc;
    req->scanned = (uint32_t)(end - buf);
    return len >= limits->head_bytes ? -431 : 0;
}

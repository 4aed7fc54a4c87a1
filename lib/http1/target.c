// SPDX-License-Identifier: BSD-2-Clause
/*
 * target.c - the request target (RFC 9112 3.2) and the path in it.
 */
#include "priv.h"

/* [":" port], RFC 3986 3.2.3: the port may be empty. */
static bool port_ok(const char *p, const char *end)
{
    if (p == end)
        return true;
    if (*p++ != ':')
        return false;
    while (p < end && is_class(*p, CLASS_DIGIT))
        p++;
    return p == end;
}

/*
 * uri-host [":" port], RFC 9110 7.2. Empty is legal in the field. User information is not: '@' is
 * in no class that counts here, as RFC 9110 4.2.4 advises.
 */
bool http1_host_ok(struct str host)
{
    const char *p = host.at, *end = p + host.len;
    if (p < end && *p == '[') {
        const char *from = ++p;
        while (p < end && (hex_digit(*p) >= 0 || *p == ':' || *p == '.'))
            p++;
        return p > from && p < end && *p == ']' && port_ok(p + 1, end);
    }
    while (p < end && is_class(*p, CLASS_HOST))
        p++;
    return p > host.at && port_ok(p, end);
}

static struct http1_slice slice(const char *buf, const char *from, const char *to)
{
    return (struct http1_slice){(uint16_t)(from - buf), (uint16_t)(to - from)};
}

/* Where the authority of "http://authority/path" begins, or NULL. */
static const char *after_scheme(const char *p, const char *end)
{
    const char *colon = memchr(p, ':', min_u64((uint64_t)(end - p), sizeof("https")));
    if (!colon || end - colon < 3 || colon[1] != '/' || colon[2] != '/')
        return NULL;
    struct str scheme = {p, (size_t)(colon - p)};
    if (!str_is_nocase(scheme, "http", 4) && !str_is_nocase(scheme, "https", 5))
        return NULL;
    return colon + 3;
}

/* RFC 9112 3.2.2: the authority of the target replaces the Host field, which must be there anyway.
 */
static int split_absolute(const char *buf, struct http1_request *req, const char *p,
                          const char *end, const char **path)
{
    const char *authority = after_scheme(p, end);
    if (!authority)
        return -400;
    p = authority;
    while (p < end && *p != '/' && *p != '?')
        p++;
    if (!http1_host_ok((struct str){authority, (size_t)(p - authority)}))
        return -400;
    req->host = slice(buf, authority, p);
    *path = p;
    /* RFC 9112 3.2.4: this is how a proxy passes on "OPTIONS *". */
    req->asterisk = req->method == HTTP1_OPTIONS && p == end;
    return 0;
}

/* RFC 9112 3.2.3: host and port, both there. */
static int split_authority(const char *buf, struct http1_request *req, const char *p,
                           const char *end)
{
    const char *colon = memrchr(p, ':', (size_t)(end - p));
    if (!colon || colon + 1 == end || !http1_host_ok((struct str){p, (size_t)(end - p)}))
        return -400;
    req->host = slice(buf, p, end);
    return 0;
}

int http1_target_split(const char *buf, struct http1_request *req)
{
    const char *p = buf + req->target.off, *end = p + req->target.len, *path = p;
    if (req->method == HTTP1_CONNECT)
        return split_authority(buf, req, p, end);
    if (req->target.len == 1 && *p == '*') {
        /* Of the methods that exist, OPTIONS alone may ask for the server as a whole. */
        req->asterisk = true;
        return req->method == HTTP1_OPTIONS ? 0 : -400;
    }
    if (*p != '/') {
        int rc = split_absolute(buf, req, p, end, &path);
        if (rc)
            return rc;
    }
    const char *mark = memchr(path, '?', (size_t)(end - path));
    if (mark)
        req->query = slice(buf, mark + 1, end);
    return 0;
}

/* What follows the authority, if there is one: path and query, as they came. Not of "*". */
static struct str path_and_query(const struct http1_request *req)
{
    const char *p = req->head + req->target.off, *end = p + req->target.len;
    if (*p != '/') {
        p = after_scheme(p, end);
        assert(p);
        while (p < end && *p != '/' && *p != '?')
            p++;
    }
    return (struct str){p, (size_t)(end - p)};
}

int http1_target_path(struct http1_request *req)
{
    req->path_len = 0;
    if (req->path_cap)
        req->path[0] = '\0';
    if (req->asterisk || req->method == HTTP1_CONNECT)
        return 0;
    struct str path = path_and_query(req);
    if (req->query.off)
        path.len = (size_t)(req->head + req->query.off - 1 - path.at);
    int len = http1_path_normalise(path.at, path.len, req->path, req->path_cap);
    if (len < 0)
        return len;
    req->path_len = (uint16_t)len;
    return 0;
}

/*
 * Ends the segment from `seg` to `out`, which lies behind a '/'. Returns where the next one begins,
 * or NULL above the root. Walking back costs no more than the segment had cost walking forth.
 */
static char *segment_end(char *root, char *seg, char *out, bool slash)
{
    size_t len = (size_t)(out - seg);
    if (len == 0 || (len == 1 && seg[0] == '.'))
        return seg;
    if (len == 2 && seg[0] == '.' && seg[1] == '.') {
        if (seg == root + 1)
            return NULL;
        for (seg--; seg[-1] != '/'; seg--)
            ;
        return seg;
    }
    if (slash)
        *out++ = '/';
    return out;
}

/*
 * One pass: RFC 3986 6.2.2.2 and 5.2.4. Decoding comes first and once: %252e stays "%2e", and %2F
 * ends a segment, so that no name can be reached by two paths of which only one was looked at.
 */
int http1_path_normalise(const char *src, size_t len, char *dst, size_t cap)
{
    const char *end = src + len;
    if (cap < 2)
        return -414;
    char *limit = dst + cap - 1, *out = dst + 1, *seg = out;
    if (src < end && *src != '/')
        return -400;
    dst[0] = '/';
    for (src += len > 0; src < end; src++) {
        char c = *src;
        if (c == '%') {
            if (end - src < 3)
                return -400;
            int high = hex_digit(src[1]), low = hex_digit(src[2]);
            if (high < 0 || low < 0 || (high | low) == 0)
                return -400;
            c = (char)(high << 4 | low);
            src += 2;
        }
        if (out == limit)
            return -414;
        if (c != '/') {
            *out++ = c;
            continue;
        }
        seg = out = segment_end(dst, seg, out, true);
        if (!out)
            return -400;
    }
    out = segment_end(dst, seg, out, false);
    if (!out)
        return -400;
    *out = '\0';
    return (int)(out - dst);
}

int http1_path_index(char *path, size_t len, size_t cap, const char *name)
{
    size_t name_len = strlen(name);
    if (len == 0 || path[len - 1] != '/')
        return (int)len;
    if (cap < len + name_len + 1)
        return -414;
    memcpy(path + len, name, name_len + 1);
    return (int)(len + name_len);
}

/* --- the same by https ---------------------------------------------------------------------- */

#define HTTPS_PORT 443

/* Goes on counting when it is full. */
struct line {
    char *dst;
    size_t len;
    size_t cap;
};

static void add(struct line *l, char c)
{
    if (l->len < l->cap)
        l->dst[l->len] = c;
    l->len++;
}

static void add_str(struct line *l, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        add(l, s.at[i]);
}

/*
 * CLASS_TARGET is wider than what may stand in a URI (RFC 3986 2): the rest is escaped, which is
 * what a client should have done. Brackets stay, because browsers leave them alone in queries.
 */
static void add_escaped(struct line *l, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.at[i];
        if (c < 0x80 && !strchr("\"<>\\^`{|}", c)) {
            add(l, (char)c);
            continue;
        }
        add(l, '%');
        add(l, "0123456789ABCDEF"[c >> 4]);
        add(l, "0123456789ABCDEF"[c & 15]);
    }
}

static void add_port(struct line *l, uint16_t port)
{
    char digits[5];
    size_t n = 0;
    if (port == HTTPS_PORT)
        return;
    add(l, ':');
    do {
        digits[n++] = (char)('0' + port % 10);
        port /= 10;
    } while (port);
    while (n)
        add(l, digits[--n]);
}

static bool in_dns(char c)
{
    char lower = c | 0x20;
    return is_class(c, CLASS_DIGIT) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' ||
           c == '_';
}

/*
 * The host without its port; empty unless it is an address in brackets or what DNS might know. A
 * reg-name may consist of much else (http1_host_ok), and nobody has a certificate for that.
 */
static struct str host_name(const struct http1_request *req)
{
    struct str host = req_str(req, req->host);
    size_t n = 0;
    if (host.len && host.at[0] == '[')
        return (struct str){host.at,
                            (size_t)((char *)memchr(host.at, ']', host.len) + 1 - host.at)};
    while (n < host.len && in_dns(host.at[n]))
        n++;
    return (struct str){host.at, n == host.len || host.at[n] == ':' ? n : 0};
}

int http1_location(const struct http1_request *req, uint16_t port, char *dst, size_t cap)
{
    struct line l = {.dst = dst, .cap = cap};
    struct str host = host_name(req);
    if (host.len == 0)
        return -400;
    add_str(&l, (struct str){"https://", 8});
    add_str(&l, host);
    add_port(&l, port);
    /* RFC 9112 3.2.4: "*" is, in absolute form, a URL without a path. */
    if (!req->asterisk) {
        struct str rest = path_and_query(req);
        if (rest.len == 0 || rest.at[0] != '/')
            add(&l, '/');
        add_escaped(&l, rest);
    }
    add(&l, '\0');
    return l.len <= cap ? 0 : -414;
}

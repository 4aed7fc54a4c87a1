// SPDX-License-Identifier: BSD-2-Clause
/*
 * http1.h - the server's half of HTTP/1.1 (RFC 9110, 9112; of RFC 9111 only what a response says).
 *
 * Pure: bytes in, bytes out. Nothing here does I/O, allocates, reads a clock or keeps anything
 * between two calls except in the structs that the caller owns.
 *
 * A request's head lies in the caller's buffer. http1_parse looks at it, again with every byte that
 * arrives if it must, and in the end says how long the head was. The request it fills holds slices
 * of that buffer, so the two live and die together. Bodies are of no use to a server of files:
 * http1_body finds their end and nothing else.
 *
 * A response is a value, and its bytes are a function of it. http1_decide looks at the request and
 * the entity, and everything it concludes is in 88 bytes. From then on the request may be
 * forgotten, and any byte of the stream "head, body" may be asked for at any time, in any order,
 * any number of times: http1_response_piece says whether the bytes from some offset are text, to be
 * made by http1_response_text, or bytes of the entity, to be read from the disk. TCP keeps no send
 * buffer; a retransmission asks again and gets the same bytes. For that, what the value points at
 * (entity, options, ranges, location) stays in place and unchanged until the last byte is
 * acknowledged.
 *
 * The order of calls for a connection:
 *
 *     http1_request_init         before each request
 *     http1_parse                until it returns other than 0
 *       < 0   http1_fail, send, close
 *       > 0   that many bytes are used up
 *     http1_decide               while the head is still where it was; or http1_redirect
 *     http1_body_init, _feed     if there is a body, until it is done; http1_continue first where a
 *                                100 is owed; on an error http1_fail instead of what was decided
 *     send, then close or begin again, as response.keep_alive says
 *
 * Where the answers differ from those of nginx 1.22, and why:
 *
 *     bare LF as a line's end          400, nginx takes it       9112 2.2 (two readings: smuggling)
 *     control bytes in a field value   400, nginx takes some     9110 5.5
 *     two spaces, or no version        400, nginx takes them     9112 3 (HTTP/0.9 is gone)
 *     '#' in a target                  400, nginx cuts it off    9112 3.2
 *     HTTP/0.9 spelled out             505, nginx 400            9110 15.6.6
 *     method unknown                   501, nginx 405 or 400     9110 9.1
 *     Expect not understood            417, nginx ignores it     9110 10.1.1
 *     OPTIONS, OPTIONS *               204, nginx 405, 400       9110 9.3.7
 *     405 carries Allow                nginx has none            9110 15.5.6
 *     CONNECT                          405, nginx 400            9110 15.5.6
 *     head too large                   431, nginx 400            RFC 6585 5
 *     chunked, but not last            400, nginx 501            9112 6.3
 *     HEAD with Range                  200, nginx 206            9110 14.2 (Range is for GET)
 *     Range with a wrong syntax        200, nginx 416            9110 14.2 (as if not there)
 *     ranges that touch or overlap     joined, nginx repeats     9110 15.3.7.2
 *     If-Modified-Since, a later date  304, nginx 200            9110 13.1.3 (nginx wants equality)
 *     a date beside a list of tags     ignored, nginx wants both 9110 13.2.2 (steps 2 and 4)
 *     Range twice                      200, nginx takes one      9110 5.3 (joined: invalid)
 *     304 with ETag                    no Last-Modified          9110 15.4.5
 *     Connection: keep-alive           to 1.0 only, nginx to all 9112 9.3 (1.1 persists by itself)
 *     reason phrases                   as in 9110 15             nginx has those of RFC 2616
 *
 * As nginx, where the RFC leaves it open: "bytes=0-" of an empty entity is answered with 200; a
 * repeated Content-Length is refused even if equal; ranges that add up to more than the entity are
 * answered with the entity; a path that climbs above the root is 400, not clipped.
 */
#ifndef HTTP1_HTTP1_H
#define HTTP1_HTTP1_H

#include "base/base.h"

/* --- requests ------------------------------------------------------------------------------- */

enum http1_method {
    HTTP1_NONE, /* no request line yet, or a method nobody knows */
    HTTP1_GET,
    HTTP1_HEAD,
    HTTP1_OPTIONS,
    HTTP1_POST, /* from here on: known, and answered with 405 */
    HTTP1_PUT,
    HTTP1_DELETE,
    HTTP1_PATCH,
    HTTP1_TRACE,
    HTTP1_CONNECT,
};

#define HTTP1_HEAD_BYTES_MAX  65535 /* slices are 16 bits wide */
#define HTTP1_EMPTY_LINES_MAX 4     /* before a request line; RFC 9112 2.2 asks for one */

struct http1_limits {
    uint32_t target_bytes; /* 414 above */
    uint32_t head_bytes;   /* 431 above; with the empty lines before; <= HTTP1_HEAD_BYTES_MAX */
    uint32_t fields;       /* 431 above */
};
extern const struct http1_limits http1_limits_default; /* 8 KiB, 32 KiB, 100 */

/* Bytes of the head. off == 0: there is no such field. */
struct http1_slice {
    uint16_t off;
    uint16_t len;
};

struct http1_request {
    const char *head; /* the buffer of the last call of http1_parse */
    char *path;       /* decoded, normalised, ends with a NUL; begins with '/' */
    uint64_t content_length;
    uint16_t path_len; /* 0 for "*" and for CONNECT, which have no path */
    uint16_t path_cap;
    struct http1_slice target; /* as it came */
    struct http1_slice query;  /* what follows the '?', not decoded */
    struct http1_slice host;   /* of the target if that has one, else of the field */
    struct http1_slice origin;
    struct http1_slice range;
    struct http1_slice if_range;
    struct http1_slice if_match;
    struct http1_slice if_none_match;
    struct http1_slice if_modified_since;
    struct http1_slice if_unmodified_since;
    uint8_t method;  /* enum http1_method */
    uint8_t minor;   /* HTTP/1.minor: 0 or 1 */
    bool keep_alive; /* the client's wish; clear it before deciding to close anyway */
    bool has_body;   /* chunked, or content_length > 0 */
    bool chunked;
    bool expect_continue; /* the client waits for a 100 before it sends the body */
    bool asterisk;        /* "*": the server as a whole */
    uint8_t connection;   /* private, as all that follows */
    uint16_t seen;
    uint16_t fields;
    uint32_t line;    /* where the first line begins that is not parsed yet */
    uint32_t scanned; /* no LF between `line` and here */
};

/*
 * `path` takes the decoded path. It is written only by the call of http1_parse that ends a head, so
 * that one buffer may serve all connections (set req->path before every call, then). `path_cap` of
 * limits.target_bytes + 2 always suffices; a path that does not fit is a 414.
 */
void http1_request_init(struct http1_request *req, char *path, size_t path_cap);

/*
 * > 0: the head is complete and took so many bytes. 0: more is needed; call again with the same
 * bytes (the buffer may have moved) and some more behind them. < 0: -(status), the connection is of
 * no further use; what was understood before the error, the method above all, is in `req`.
 * A verdict on a line falls when its end has arrived, so it does not depend on how the bytes came.
 * A client that sends byte by byte costs what one costs that sends all at once, twice.
 */
must_check int http1_parse(const char *buf, size_t len, const struct http1_limits *limits,
                           struct http1_request *req);

/*
 * Percent-decodes once, then removes "//", "/./", "/x/../"; %2F counts as '/'. Returns the length,
 * without the NUL that it appends; -400 (a bad escape, %00, above the root) or -414 (`cap`). `dst`
 * may be `src`.
 */
must_check int http1_path_normalise(const char *src, size_t len, char *dst, size_t cap);
/* Appends `name` to a path that ends with '/'. The new length, or -414. */
must_check int http1_path_index(char *path, size_t len, size_t cap, const char *name);

/* --- bodies of requests: found, counted, thrown away ---------------------------------------- */

#define HTTP1_CHUNK_EXT_BYTES_MAX 1024 /* all extensions of a body together */
#define HTTP1_TRAILER_BYTES_MAX   4096
#define HTTP1_BODY_BYTES_DEFAULT  (1u << 20) /* what nginx allows */

struct http1_body {
    uint64_t left;      /* of the body, or of this chunk */
    uint64_t allowance; /* what may still come before it is a 413 */
    uint16_t ext_bytes; /* private, as all that follows */
    uint16_t trailer_bytes;
    uint8_t state;
    uint8_t digits;
    bool chunked;
    bool done;
};

/* 0, or -413 when Content-Length says more than `limit_bytes`. */
must_check int http1_body_init(struct http1_body *body, const struct http1_request *req,
                               uint64_t limit_bytes);
/* How many bytes were taken: all of them unless body->done. Or -400, -413, -431. */
must_check int64_t http1_body_feed(struct http1_body *body, const char *buf, size_t len);

/* --- what is served ------------------------------------------------------------------------- */

#define HTTP1_TIME_NONE      INT64_MIN
#define HTTP1_ETAG_BYTES_MAX 56 /* 3 hexadecimal numbers, 2 dashes, 2 quotes, rounded up */

struct http1_entity {
    uint64_t size;
    int64_t mtime_s;                 /* HTTP1_TIME_NONE: not known */
    const char *type;                /* media type */
    uint8_t etag_len;                /* 0: none */
    char etag[HTTP1_ETAG_BYTES_MAX]; /* quotes included; W/"..." is weak; not terminated */
};

/* The ETag of nginx, "mtime-size", with the generation behind it if that is not 0. */
void http1_entity_init(struct http1_entity *entity, uint64_t size, int64_t mtime_s,
                       uint64_t generation, const char *type);

/* By the extension, in any case; application/octet-stream for what is not known. */
const char *http1_media_type(const char *path, size_t len);

struct http1_options {
    const char *server;        /* NULL: no such field */
    const char *cache_control; /* of 200, 206 and 304; NULL: no such field */
    uint64_t boundary_key[2];  /* random, once per start: see struct http1_ranges */
    bool cors;                 /* any origin may read everything; answers preflights */
    bool hsts;                 /* Strict-Transport-Security: over TLS only (RFC 6797 7.2) */
    uint32_t hsts_s;           /* its max-age; 0 makes browsers forget it */
};
/* 0, or -EINVAL: a string is too long or has a byte that must not stand in a field. */
must_check int http1_options_check(const struct http1_options *options);

/* --- responses ------------------------------------------------------------------------------ */

struct http1_range {
    uint64_t off;
    uint64_t bytes; /* 0 only of an empty entity */
};

/*
 * Above, the whole is served (RFC 9110 14.2). Players ask for one range and PDF viewers for a
 * dozen; more is an attempt to make a small request cost much (17.15).
 */
#define HTTP1_RANGES_MAX 32

/*
 * The parts of a multipart/byteranges response. The boundary is 128 bits of SipHash of the entity,
 * the date and the ranges: equal for equal values, and an author who wants to plant it in his file
 * would have to know the key.
 */
struct http1_ranges {
    uint64_t boundary[2];
    uint32_t count;
    struct http1_range range[HTTP1_RANGES_MAX];
};

/* Read it, but do not change it: all its bytes and their number follow from it. */
struct http1_response {
    const struct http1_entity *entity; /* NULL: there is none, as in 404 */
    const struct http1_options *options;
    const struct http1_ranges *multi; /* NULL unless multipart */
    const char *location;             /* NULL unless a redirect */
    int64_t date_s;
    struct http1_range range; /* what a 200 or a 206 of one part covers */
    uint64_t content_length;
    uint64_t stream_bytes; /* head and body, as sent: a HEAD's is shorter than content_length */
    uint32_t text_bytes;   /* up to the first byte of the entity */
    uint32_t head_bytes;
    uint16_t status;
    uint8_t minor; /* of the request */
    bool head_method;
    bool keep_alive;
};

/*
 * Decides what `req`, whose path led to `entity` (NULL: to nothing), is answered with. `options`
 * and `entity` are pinned until the response is acknowledged, and so is `multi` if out->multi
 * points at it afterwards (to move it: copy it, and set out->multi). Without `multi`, requests for
 * several ranges get the whole (RFC 9110 14.2 allows it at all times). The order of preconditions
 * is that of RFC 9110 13.2.2.
 */
void http1_decide(const struct http1_request *req, const struct http1_entity *entity,
                  const struct http1_options *options, int64_t date_s, struct http1_ranges *multi,
                  struct http1_response *out);
/*
 * Sends the client to the same resource by https: 301 for GET and HEAD, 308 for methods that must
 * stay what they are (RFC 9110 15.4.2, 15.4.9). `location` takes the URL, and is pinned as `multi`
 * is if out->location points at it. No host that could have a certificate: 400; a URL that does not
 * fit (the target grows by what must be escaped in it): 414; CONNECT: 405.
 */
void http1_redirect(const struct http1_request *req, uint16_t port,
                    const struct http1_options *options, int64_t date_s, char *location, size_t cap,
                    struct http1_response *out);
/* Any error, 4xx or 5xx. `req` NULL or not parsed to its end: the connection is closed after it. */
void http1_fail(uint16_t status, const struct http1_request *req,
                const struct http1_options *options, int64_t date_s, struct http1_response *out);
/*
 * The 100 that is owed when req->expect_continue. Who answers at once instead clears
 * req->keep_alive first: whether the body will come now, nobody knows (RFC 9110 10.1.1).
 */
void http1_continue(struct http1_response *out);

enum http1_piece_kind {
    HTTP1_TEXT, /* off: in the stream; make it with http1_response_text */
    HTTP1_BODY, /* off: in the entity */
};

struct http1_piece {
    enum http1_piece_kind kind;
    uint64_t off;
    uint64_t len; /* to the next change of kind; 0 at the stream's end */
};

static inline uint64_t http1_response_bytes(const struct http1_response *r)
{
    return r->stream_bytes;
}

struct http1_piece http1_response_piece(const struct http1_response *r, uint64_t stream_off);
/* Writes text from `stream_off` on, at most `len` bytes and not beyond its piece; how many. */
size_t http1_response_text(const struct http1_response *r, uint64_t stream_off, size_t len,
                           char *dst);

#endif

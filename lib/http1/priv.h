// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the files of http1 share: byte classes, strings with a length, and the seams
 * between deciding (condition.c, range.c) and saying it (response.c).
 */
#ifndef HTTP1_PRIV_H
#define HTTP1_PRIV_H

#include "http1/http1.h"

/* --- chars.c -------------------------------------------------------------------------------- */

enum http1_class {
    CLASS_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    CLASS_VALUE = 2,  /* field-vchar, SP, HTAB, RFC 9110 5.5 */
    CLASS_TARGET = 4, /* what may stand in a request target: see target.c */
    CLASS_HOST = 8,   /* reg-name, RFC 3986 3.2.2 */
    CLASS_ETAG = 16,  /* etagc, RFC 9110 8.8.3 */
    CLASS_DIGIT = 32,
};

extern const uint8_t http1_classes[256];

static inline bool is_class(char c, enum http1_class class)
{
    return http1_classes[(uint8_t)c] & class;
}

/* The value of a hexadecimal digit, or -1. */
static inline int hex_digit(char c)
{
    if (is_class(c, CLASS_DIGIT))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The first byte from `p` on that does not belong in a field value, or `end`. */
const char *http1_value_end(const char *p, const char *end);

/* --- strings -------------------------------------------------------------------------------- */

struct str {
    const char *at;
    size_t len;
};

static inline struct str req_str(const struct http1_request *req, struct http1_slice s)
{
    return (struct str){req->head + s.off, s.len};
}

/* `lower` is in lower case and holds no byte that 0x20 would turn into another legal one. */
static inline bool str_is_nocase(struct str s, const char *lower, size_t len)
{
    if (s.len != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = s.at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != lower[i])
            return false;
    }
    return true;
}

struct str http1_trim(struct str s); /* SP and HTAB at both ends */
/* The next non-empty member of a comma-separated list without quotes (RFC 9110 5.6.1). */
bool http1_list_next(struct str *list, struct str *item);

/* --- date.c (RFC 9110 5.6.7) ---------------------------------------------------------------- */

#define HTTP1_DATE_BYTES 29

/* IMF-fixdate, not terminated. Years beyond 0-9999 are clipped to them. */
void http1_date_format(char dst[HTTP1_DATE_BYTES], int64_t time_s);
/* All three formats; `now_s` decides the century of the second. 0, or -EINVAL. */
must_check int http1_date_parse(const char *s, size_t len, int64_t now_s, int64_t *time_s);

/* --- target.c ------------------------------------------------------------------------------- */

bool http1_host_ok(struct str host);
/* Takes req->target apart: asterisk, host, query. 0 or -400. */
int http1_target_split(const char *buf, struct http1_request *req);
/* Fills req->path. 0, -400 or -414. */
int http1_target_path(struct http1_request *req);
/* Writes the https URL, with a NUL, of what a request asks for by http. 0, -400 or -414. */
int http1_location(const struct http1_request *req, uint16_t port, char *dst, size_t cap);

/* --- condition.c ---------------------------------------------------------------------------- */

/* RFC 9110 13.2.2, steps 1 to 4: 0 to go on, 304 or 412. */
int http1_preconditions(const struct http1_request *req, const struct http1_entity *entity,
                        int64_t date_s);
/* Step 5: may the Range be honoured, as far as If-Range is concerned? */
bool http1_if_range(const struct http1_request *req, const struct http1_entity *entity,
                    int64_t date_s);
/* The Last-Modified that we send: never later than Date (RFC 9110 8.8.2.1). */
int64_t http1_last_modified(const struct http1_entity *entity, int64_t date_s);
/* The next line of the same name as the field whose value is `s`; off == 0 when there is none. */
struct http1_slice http1_field_again(const struct http1_request *req, struct http1_slice s,
                                     const char *lower, size_t lower_len);

/* --- range.c -------------------------------------------------------------------------------- */

enum range_verdict {
    RANGE_WHOLE,         /* no range, not understood, or not worth it: 200 */
    RANGE_ONE,           /* 206, in ranges->range[0] */
    RANGE_MULTI,         /* 206, multipart/byteranges */
    RANGE_UNSATISFIABLE, /* 416 */
};

/* `ranges` always has room; what it holds is defined for ONE and MULTI only. */
enum range_verdict http1_ranges_parse(struct str value, uint64_t size, struct http1_ranges *ranges);

#endif

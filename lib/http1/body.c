// SPDX-License-Identifier: BSD-2-Clause
/*
 * body.c - where a request's body ends (RFC 9112 6 and 7.1). Its content is of no interest here,
 * its length is: whoever finds a different end than the proxy in front reads a different next
 * request. So the chunk parser takes the grammar of 7.1 and nothing else, and all that is not
 * content is bounded.
 */
#include "priv.h"

enum body_state {
    BODY_LENGTH, /* `left` bytes, and that is all */
    BODY_SIZE,   /* chunk-size */
    BODY_BLANK,  /* BWS behind the size: only ';' may follow */
    BODY_EXT,    /* behind ';', to the CR */
    BODY_SIZE_LF,
    BODY_DATA, /* `left` bytes of the chunk */
    BODY_DATA_CR,
    BODY_DATA_LF,
    BODY_LINE, /* the first byte of a trailer line, or the last CR */
    BODY_NAME,
    BODY_VALUE,
    BODY_VALUE_LF,
    BODY_LAST_LF,
};

#define CHUNK_DIGITS_MAX 15 /* below 2^60, and no sum can overflow */

int http1_body_init(struct http1_body *body, const struct http1_request *req, uint64_t limit_bytes)
{
    *body = (struct http1_body){
        .left = req->chunked ? 0 : req->content_length,
        .allowance = limit_bytes,
        .state = req->chunked ? BODY_SIZE : BODY_LENGTH,
        .chunked = req->chunked,
        .done = !req->has_body,
    };
    return !req->chunked && req->content_length > limit_bytes ? -413 : 0;
}

static int end_of_size(struct http1_body *body, char c)
{
    if (c == '\r')
        body->state = BODY_SIZE_LF;
    else if (c == ';')
        body->state = BODY_EXT;
    else if (c == ' ' || c == '\t')
        body->state = BODY_BLANK;
    else
        return -400;
    return 0;
}

static int size_byte(struct http1_body *body, char c)
{
    int digit = hex_digit(c);
    if (digit < 0)
        return body->digits ? end_of_size(body, c) : -400;
    if (body->digits == CHUNK_DIGITS_MAX)
        return -400;
    body->digits++;
    body->left = body->left << 4 | (uint64_t)digit;
    return body->left > body->allowance ? -413 : 0;
}

/* RFC 9112 7.1.1: a server must bound extensions; none means anything to us. */
static int ext_byte(struct http1_body *body, char c)
{
    if (++body->ext_bytes > HTTP1_CHUNK_EXT_BYTES_MAX)
        return -400;
    if (body->state == BODY_BLANK)
        return c == '\r' ? -400 : end_of_size(body, c);
    if (c == '\r')
        body->state = BODY_SIZE_LF;
    else if (!is_class(c, CLASS_VALUE))
        return -400;
    return 0;
}

static int end_of_size_line(struct http1_body *body, char c)
{
    if (c != '\n')
        return -400;
    body->state = body->left ? BODY_DATA : BODY_LINE;
    body->allowance -= body->left;
    body->digits = 0;
    return 0;
}

/* Trailers are discarded (RFC 9110 6.5.1 allows it), but they must be field lines. */
static int trailer_byte(struct http1_body *body, char c)
{
    if (++body->trailer_bytes > HTTP1_TRAILER_BYTES_MAX)
        return -431;
    switch (body->state) {
    case BODY_LINE:
        if (c == '\r') {
            body->state = BODY_LAST_LF;
            return 0;
        }
        body->state = BODY_NAME;
        return is_class(c, CLASS_TOKEN) ? 0 : -400;
    case BODY_NAME:
        if (c == ':')
            body->state = BODY_VALUE;
        else if (!is_class(c, CLASS_TOKEN))
            return -400;
        return 0;
    case BODY_VALUE:
        if (c == '\r')
            body->state = BODY_VALUE_LF;
        else if (!is_class(c, CLASS_VALUE))
            return -400;
        return 0;
    case BODY_VALUE_LF:
        body->state = BODY_LINE;
        return c == '\n' ? 0 : -400;
    default:
        assert(body->state == BODY_LAST_LF);
        body->done = true;
        return c == '\n' ? 0 : -400;
    }
}

static int frame_byte(struct http1_body *body, char c)
{
    switch (body->state) {
    case BODY_SIZE:
        return size_byte(body, c);
    case BODY_BLANK:
    case BODY_EXT:
        return ext_byte(body, c);
    case BODY_SIZE_LF:
        return end_of_size_line(body, c);
    case BODY_DATA_CR:
        body->state = BODY_DATA_LF;
        return c == '\r' ? 0 : -400;
    case BODY_DATA_LF:
        body->state = BODY_SIZE;
        return c == '\n' ? 0 : -400;
    default:
        return trailer_byte(body, c);
    }
}

int64_t http1_body_feed(struct http1_body *body, const char *buf, size_t len)
{
    size_t used = 0;
    while (used < len && !body->done) {
        if (body->state == BODY_LENGTH || body->state == BODY_DATA) {
            uint64_t n = min_u64(body->left, len - used);
            used += n;
            body->left -= n;
            if (body->left == 0 && body->state == BODY_LENGTH)
                body->done = true;
            else if (body->left == 0)
                body->state = BODY_DATA_CR;
            continue;
        }
        int rc = frame_byte(body, buf[used++]);
        if (rc) {
            body->done = false;
            return rc;
        }
    }
    return (int64_t)used;
}

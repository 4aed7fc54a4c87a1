// SPDX-License-Identifier: BSD-2-Clause
#include "response.h"

#include "hex.h"

#include <strings.h>

#define LENGTH_DIGITS_MAX 18 /* below 2^63 */
#define CHUNK_DIGITS_MAX  15 /* below 2^60 */

void response_init(struct response *r, bool head_method)
{
    /* The line is left as it is: line_len says how much of it means something. */
    memset(r, 0, offsetof(struct response, line));
    r->head_method = head_method;
    r->budget = RESPONSE_HEAD_BYTES;
}

/* --- words ------------------------------------------------------------------------------------ */

struct text {
    const char *s;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct text trim(struct text t)
{
    while (t.len && is_blank(t.s[0]))
        t.s++, t.len--;
    while (t.len && is_blank(t.s[t.len - 1]))
        t.len--;
    return t;
}

static bool same(struct text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.s, word, t.len) == 0;
}

/* The next element of a comma-separated list (RFC 9110 5.6.1), trimmed; false: no more. */
static bool next_element(struct text *list, struct text *element)
{
    const char *comma;

    if (!list->s)
        return false;
    comma = memchr(list->s, ',', list->len);
    *element = (struct text){list->s, comma ? (size_t)(comma - list->s) : list->len};
    if (comma)
        *list = (struct text){comma + 1, list->len - element->len - 1};
    else
        list->s = NULL;
    *element = trim(*element);
    return true;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* "HTTP/1.1 200 OK" */
static int status_line(struct response *r, struct text t)
{
    if (t.len < 12 || memcmp(t.s, "HTTP/1.", 7) != 0 || !is_digit(t.s[7]) || t.s[8] != ' ' ||
        !is_digit(t.s[9]) || !is_digit(t.s[10]) || !is_digit(t.s[11]) ||
        (t.len > 12 && t.s[12] != ' '))
        return RESPONSE_MALFORMED;
    r->status = (uint16_t)((t.s[9] - '0') * 100 + (t.s[10] - '0') * 10 + (t.s[11] - '0'));
    if (r->status < 100 || r->status > 599 || r->status == 101) /* nobody asked for an upgrade */
        return RESPONSE_MALFORMED;
    r->http10 = t.s[7] == '0';
    r->state = RESPONSE_FIELDS;
    return 0;
}

/* RFC 9110 8.6: one number, or the same one several times. */
static int content_length(struct response *r, struct text value)
{
    struct text number;

    while (next_element(&value, &number)) {
        uint64_t length = 0;

        if (number.len == 0 || number.len > LENGTH_DIGITS_MAX)
            return RESPONSE_MALFORMED;
        for (size_t i = 0; i < number.len; i++) {
            if (!is_digit(number.s[i]))
                return RESPONSE_MALFORMED;
            length = length * 10 + (uint64_t)(number.s[i] - '0');
        }
        if (r->has_length && r->left != length)
            return RESPONSE_MALFORMED;
        r->has_length = true;
        r->left = length;
    }
    return 0;
}

/* RFC 9112 6.1: chunked is the last coding, once, or the body ends with the connection. */
static int transfer_encoding(struct response *r, struct text value)
{
    struct text coding;

    while (next_element(&value, &coding)) {
        if (coding.len == 0)
            continue;
        if (r->chunked)
            return RESPONSE_MALFORMED;
        r->has_coding = true;
        r->chunked = same(coding, "chunked");
    }
    return 0;
}

static void connection(struct response *r, struct text value)
{
    struct text option;

    while (next_element(&value, &option)) {
        r->said_close |= same(option, "close");
        r->said_keep_alive |= same(option, "keep-alive");
    }
}

static int field_line(struct response *r, struct text t)
{
    const char *colon;
    struct text name, value;

    if (is_blank(t.s[0])) /* a folded line, RFC 9112 5.2: fine where it decides nothing */
        return r->framing_line ? RESPONSE_MALFORMED : 0;
    colon = memchr(t.s, ':', t.len);
    if (!colon && r->line_cut)
        return RESPONSE_TOO_BIG;
    if (!colon || colon == t.s || is_blank(colon[-1]))
        return RESPONSE_MALFORMED;
    name = (struct text){t.s, (size_t)(colon - t.s)};
    value = trim((struct text){colon + 1, t.len - name.len - 1});
    r->framing_line =
        same(name, "content-length") || same(name, "transfer-encoding") || same(name, "connection");
    if (!r->framing_line)
        return 0;
    if (r->line_cut)
        return RESPONSE_TOO_BIG;
    if (same(name, "content-length"))
        return content_length(r, value);
    if (same(name, "transfer-encoding"))
        return transfer_encoding(r, value);
    connection(r, value);
    return 0;
}

static void finish(struct response *r)
{
    r->done = true;
    r->keep_alive = !r->said_close && (!r->http10 || r->said_keep_alive);
}

/* The head is complete: RFC 9112 6.3, how long is the body? */
static int head_done(struct response *r)
{
    bool head_method = r->head_method;
    uint32_t budget = r->budget;

    if (r->status < 200) { /* an interim response: the real one follows */
        response_init(r, head_method);
        r->budget = budget;
        return 0;
    }
    if (head_method || r->status == 204 || r->status == 304) {
        finish(r);
    } else if (r->has_coding) {
        if (r->http10) /* RFC 9112 6.1: its framing is to be taken as faulty */
            return RESPONSE_MALFORMED;
        r->state = r->chunked ? RESPONSE_CHUNK_SIZE : RESPONSE_TO_CLOSE;
        r->left = 0;
    } else if (!r->has_length) {
        r->state = RESPONSE_TO_CLOSE;
    } else if (r->left == 0) {
        finish(r);
    } else {
        r->state = RESPONSE_BODY;
    }
    r->budget = RESPONSE_HEAD_BYTES;
    return 0;
}

/* RFC 9112 7.1: hexadecimal digits, and extensions that mean nothing to us. */
static int chunk_size(struct response *r, struct text t)
{
    size_t n = 0;

    r->left = 0;
    for (; n < t.len && hex_digit(t.s[n]) >= 0; n++) {
        if (n == CHUNK_DIGITS_MAX)
            return RESPONSE_MALFORMED;
        r->left = r->left << 4 | (uint64_t)hex_digit(t.s[n]);
    }
    if (n == 0)
        return RESPONSE_MALFORMED;
    t = trim((struct text){t.s + n, t.len - n});
    if (t.len && t.s[0] != ';')
        return RESPONSE_MALFORMED;
    r->state = r->left ? RESPONSE_CHUNK : RESPONSE_TRAILER;
    r->budget = RESPONSE_HEAD_BYTES;
    return 0;
}

static int take_line(struct response *r, struct text t)
{
    if (t.len && !r->line_cut && t.s[t.len - 1] == '\r')
        t.len--;
    switch ((enum response_state)r->state) {
    case RESPONSE_STATUS:
        return status_line(r, t);
    case RESPONSE_FIELDS:
        return t.len ? field_line(r, t) : head_done(r);
    case RESPONSE_CHUNK_SIZE:
        return chunk_size(r, t);
    case RESPONSE_CHUNK_END:
        r->state = RESPONSE_CHUNK_SIZE;
        return t.len ? RESPONSE_MALFORMED : 0;
    case RESPONSE_TRAILER:
        if (t.len == 0)
            finish(r);
        return 0;
    case RESPONSE_BODY:
    case RESPONSE_TO_CLOSE:
    case RESPONSE_CHUNK:
        break;
    }
    return RESPONSE_MALFORMED;
}

/* Puts together what came in parts; a line that came whole is looked at where it lies. */
static int64_t feed_line(struct response *r, const uint8_t *data, size_t len)
{
    const uint8_t *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) + 1 : len;
    size_t text = end ? n - 1 : n;
    struct text line = {(const char *)data, min_u64(text, RESPONSE_LINE_BYTES)};
    int rc;

    if (n > r->budget)
        return RESPONSE_TOO_BIG;
    r->budget -= (uint32_t)n;
    if (!end || r->line_len) {
        size_t keep = min_u64(text, RESPONSE_LINE_BYTES - r->line_len);

        memcpy(r->line + r->line_len, data, keep);
        r->line_cut |= keep < text;
        r->line_len = (uint16_t)(r->line_len + keep);
        line = (struct text){r->line, r->line_len};
    } else {
        r->line_cut = line.len < text;
    }
    if (!end)
        return (int64_t)n;
    rc = take_line(r, line);
    r->line_len = 0;
    r->line_cut = false;
    return rc < 0 ? rc : (int64_t)n;
}

/* --- the body --------------------------------------------------------------------------------- */

uint64_t response_skippable(const struct response *r)
{
    if (r->done)
        return 0;
    if (r->state == RESPONSE_TO_CLOSE)
        return UINT64_MAX;
    return r->state == RESPONSE_BODY || r->state == RESPONSE_CHUNK ? r->left : 0;
}

void response_skip(struct response *r, uint64_t bytes)
{
    r->body_bytes += bytes;
    if (r->state == RESPONSE_TO_CLOSE)
        return;
    assert(bytes <= r->left);
    r->left -= bytes;
    if (r->left > 0)
        return;
    if (r->state == RESPONSE_CHUNK)
        r->state = RESPONSE_CHUNK_END;
    else
        finish(r);
}

int64_t response_feed(struct response *r, const uint8_t *data, size_t len, bool *body)
{
    uint64_t n = min_u64(response_skippable(r), len);

    *body = n > 0;
    if (n == 0)
        return feed_line(r, data, len);
    response_skip(r, n);
    return (int64_t)n;
}

bool response_end(struct response *r)
{
    if (!r->done && r->state == RESPONSE_TO_CLOSE) {
        finish(r);
        r->keep_alive = false;
    }
    return r->done;
}

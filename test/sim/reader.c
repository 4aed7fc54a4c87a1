// SPDX-License-Identifier: BSD-2-Clause
#include "reader.h"

#include <stdlib.h>
#include <strings.h>

void reader_init(struct reader *reader, const struct reader_ops *ops, void *arg)
{
    memset(reader, 0, offsetof(struct reader, text));
    reader->ops = ops;
    reader->arg = arg;
}

bool reader_between(const struct reader *reader)
{
    return reader->state == READER_HEAD && reader->text_len == 0;
}

static bool fail(struct reader *reader, const char *error)
{
    reader->error = error;
    return false;
}

/* --- fields ----------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits only, and as many as there are. NULL: none, or too many. */
static const char *take_number(const char *s, uint64_t *n)
{
    const char *start = s;

    for (*n = 0; is_digit(*s); s++)
        *n = *n * 10 + (uint64_t)(*s - '0');
    return s == start || s - start > 18 ? NULL : s;
}

/* RFC 9110 14.4: "bytes 0-499/1234" or "bytes * /1234" without the blank. */
static bool take_range(struct reader_head *head, const char *value)
{
    if (strncmp(value, "bytes ", 6))
        return false;
    value += 6;
    head->has_range = true;
    if (*value == '*') {
        head->first = head->last = READER_NONE;
        value++;
    } else {
        value = take_number(value, &head->first);
        if (!value || *value++ != '-')
            return false;
        value = take_number(value, &head->last);
    }
    if (!value || *value++ != '/')
        return false;
    value = take_number(value, &head->total);
    if (!value || *value)
        return false;
    return head->first == READER_NONE || (head->first <= head->last && head->last < head->total);
}

static bool take_type(struct reader_head *head, const char *value)
{
    static const char multipart[] = "multipart/byteranges; boundary=";

    if (head->type[0] || strlen(value) >= READER_FIELD_BYTES)
        return false;
    strcpy(head->type, value);
    if (strncasecmp(value, "multipart/", 10))
        return true;
    if (strncmp(value, multipart, sizeof(multipart) - 1))
        return false;
    strcpy(head->boundary, value + sizeof(multipart) - 1);
    /* RFC 2046 5.1.1; a quoted one would have to be unquoted. */
    return head->boundary[0] && strlen(head->boundary) <= 70 && !strpbrk(head->boundary, "\" ");
}

static bool take_field(struct reader_head *head, const char *name, const char *value)
{
    if (!strcasecmp(name, "Content-Length")) {
        bool first = head->content_length == READER_NONE;
        const char *end = take_number(value, &head->content_length);

        return first && end && !*end;
    }
    if (!strcasecmp(name, "Content-Range"))
        return !head->has_range && take_range(head, value);
    if (!strcasecmp(name, "Content-Type"))
        return take_type(head, value);
    if (!strcasecmp(name, "ETag")) {
        if (head->etag[0] || strlen(value) >= READER_FIELD_BYTES)
            return false;
        strcpy(head->etag, value);
    }
    if (!strcasecmp(name, "Connection") && !strcasecmp(value, "close"))
        head->close = true;
    /* A server of files knows every length beforehand. */
    return strcasecmp(name, "Transfer-Encoding") != 0;
}

/* RFC 9110 5.6.2 */
static bool is_token(const char *s, size_t len)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < len; i++)
        if (!is_digit(s[i]) && !((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z') &&
            !(s[i] && strchr(others, s[i])))
            return false;
    return len > 0;
}

static bool is_value(const char *s)
{
    for (; *s; s++)
        if ((uint8_t)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

/* Lines "name: value" from `line` up to an empty one, all ending with CRLF. Changes the text. */
static bool take_fields(struct reader_head *head, char *line)
{
    for (;;) {
        char *end = strstr(line, "\r\n"), *colon;

        if (!end)
            return false;
        *end = '\0';
        if (end == line)
            return end[2] == '\0';
        colon = strchr(line, ':');
        if (!colon || !is_token(line, (size_t)(colon - line)) || colon[1] != ' ')
            return false;
        *colon = '\0';
        if (!is_value(colon + 2) || !take_field(head, line, colon + 2))
            return false;
        line = end + 2;
    }
}

static void head_blank(struct reader_head *head)
{
    *head = (struct reader_head){.content_length = READER_NONE, .first = READER_NONE};
}

/* --- the response's head ---------------------------------------------------------------------- */

static void response_end(struct reader *reader)
{
    reader->state = READER_HEAD;
    if (reader->head.status >= 200)
        reader->ops->end(reader->arg);
}

static bool body_begin(struct reader *reader)
{
    struct reader_head *head = &reader->head;

    if (head->content_length == READER_NONE)
        return fail(reader, "a body without Content-Length");
    reader->left = head->content_length;
    reader->state = READER_SKIP;
    if (head->status == 206 && head->boundary[0]) {
        reader->state = READER_PART;
        reader->parts = 0;
        if (head->has_range)
            return fail(reader, "Content-Range in the head of a multipart response");
    } else if (head->status == 200 || head->status == 206) {
        reader->state = READER_BYTES;
        reader->offset = head->status == 206 ? head->first : 0;
        reader->run = reader->left;
        if (head->status == 206 && head->last - head->first + 1 != reader->left)
            return fail(reader, "Content-Length and Content-Range disagree");
        if (reader->left)
            reader->ops->part(reader->arg, reader->offset, reader->offset + reader->left - 1,
                              head->status == 206 ? head->total : reader->left);
    }
    if (reader->left == 0 && reader->state == READER_PART)
        return fail(reader, "a multipart body without parts");
    if (reader->left == 0)
        response_end(reader);
    return true;
}

/* RFC 9112 4: "HTTP/1.1 200 OK" */
static bool take_status(struct reader *reader, const char *line)
{
    uint64_t status;

    if (strncmp(line, "HTTP/1.1 ", 9) || !is_digit(line[9]) || !is_digit(line[10]) ||
        !is_digit(line[11]) || line[12] != ' ')
        return false;
    take_number(line + 9, &status);
    reader->head.status = (uint32_t)status;
    return status >= 100 && status < 600;
}

static bool response_head(struct reader *reader)
{
    struct reader_head *head = &reader->head;
    char *line_end = strstr(reader->text, "\r\n");
    bool body;

    head_blank(head);
    reader->text_len = 0;
    if (!line_end || !take_status(reader, reader->text))
        return fail(reader, "not a status line");
    if (!take_fields(head, line_end + 2))
        return fail(reader, "a field that is malformed, repeated or impossible");
    if (head->status == 206 && !head->boundary[0] && head->first == READER_NONE)
        return fail(reader, "206 without Content-Range");
    if ((head->status < 200 || head->status == 204) && head->content_length != READER_NONE)
        return fail(reader, "Content-Length where RFC 9110 8.6 forbids it");
    body = reader->ops->head(reader->arg, head);
    if (head->status < 200 || head->status == 204 || head->status == 304 || !body) {
        response_end(reader);
        return true;
    }
    return body_begin(reader);
}

/* --- multipart/byteranges (RFC 9110 14.6, RFC 2046 5.1.1) ------------------------------------- */

/* What is in front of the part's head, or behind the last part: "\r\n--B\r\n", "\r\n--B--\r\n".
 * The first line end belongs to nobody and may be missing in front of the first part. */
static bool delimiter(const struct reader *reader, const char *end, const char **behind)
{
    const char *s = reader->text;
    size_t len = strlen(reader->head.boundary);

    if (!strncmp(s, "\r\n", 2))
        s += 2;
    else if (reader->parts)
        return false;
    if (strncmp(s, "--", 2) || strncmp(s + 2, reader->head.boundary, len) ||
        strncmp(s + 2 + len, end, strlen(end)))
        return false;
    *behind = s + 2 + len + strlen(end);
    return true;
}

static bool part_head(struct reader *reader)
{
    struct reader_head part;
    const char *fields;

    if (!delimiter(reader, "\r\n", &fields))
        return fail(reader, "a part does not begin with the boundary");
    head_blank(&part);
    reader->text_len = 0;
    if (!take_fields(&part, reader->text + (fields - reader->text)))
        return fail(reader, "a part's field is malformed, repeated or impossible");
    if (part.first == READER_NONE)
        return fail(reader, "a part without Content-Range");
    if (part.last - part.first + 1 > reader->left)
        return fail(reader, "a part longer than the body");
    reader->parts++;
    reader->offset = part.first;
    reader->run = part.last - part.first + 1;
    reader->state = READER_BYTES;
    reader->ops->part(reader->arg, part.first, part.last, part.total);
    return true;
}

static bool last_delimiter(struct reader *reader)
{
    const char *behind;

    if (!reader->parts || !delimiter(reader, "--\r\n", &behind) || *behind)
        return fail(reader, "a multipart body does not end with the last boundary");
    reader->text_len = 0;
    response_end(reader);
    return true;
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* One more byte of text; the head is complete at an empty line. */
static bool text_byte(struct reader *reader, uint8_t byte)
{
    char *text = reader->text;

    if (byte == 0 || reader->text_len + 1 >= READER_TEXT_BYTES)
        return fail(reader, "a head with a NUL, or without end");
    text[reader->text_len++] = (char)byte;
    text[reader->text_len] = '\0';
    if (reader->state == READER_PART)
        reader->left--;
    if (reader->text_len >= 4 && !strcmp(text + reader->text_len - 4, "\r\n\r\n"))
        return reader->state == READER_PART ? part_head(reader) : response_head(reader);
    if (reader->state == READER_PART && reader->left == 0)
        return last_delimiter(reader);
    return true;
}

static size_t body_bytes(struct reader *reader, const uint8_t *data, size_t len)
{
    size_t n = min_u64(len, reader->state == READER_BYTES ? reader->run : reader->left);

    if (reader->state == READER_BYTES) {
        reader->ops->bytes(reader->arg, reader->offset, data, n);
        reader->offset += n;
        reader->run -= n;
    }
    reader->left -= n;
    if (reader->left == 0 && !(reader->state == READER_BYTES && reader->head.boundary[0]))
        response_end(reader);
    else if (reader->state == READER_BYTES && reader->run == 0)
        reader->state = READER_PART;
    return n;
}

bool reader_feed(struct reader *reader, const uint8_t *data, size_t len)
{
    while (len && !reader->error) {
        size_t n = 1;

        if (reader->state == READER_HEAD || reader->state == READER_PART)
            text_byte(reader, *data);
        else
            n = body_bytes(reader, data, len);
        data += n;
        len -= n;
    }
    return !reader->error;
}

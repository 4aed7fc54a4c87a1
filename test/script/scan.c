// SPDX-License-Identifier: BSD-2-Clause
#include "scan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void scan_fail(struct scan *s, const char *expected)
{
    if (!s->error)
        s->error = expected;
}

static void skip_blanks(struct scan *s)
{
    while (*s->at == ' ')
        s->at++;
}

bool scan_at_end(struct scan *s)
{
    skip_blanks(s);
    return *s->at == '\0' || *s->at == '#' || s->error;
}

static bool ends_word(char c)
{
    return c == '\0' || c == ' ' || c == ',' || c == '>' || c == '#';
}

bool scan_text(struct scan *s, const char *text)
{
    size_t len = strlen(text);

    skip_blanks(s);
    if (s->error || strncmp(s->at, text, len) != 0)
        return false;
    s->at += len;
    return true;
}

bool scan_word(struct scan *s, const char *word)
{
    skip_blanks(s);
    if (strncmp(s->at, word, strlen(word)) != 0 || !ends_word(s->at[strlen(word)]))
        return false;
    return scan_text(s, word);
}

uint32_t scan_token(struct scan *s, char *out, uint32_t max)
{
    uint32_t n = 0;

    skip_blanks(s);
    while (!s->error && !ends_word(*s->at) && n + 1 < max)
        out[n++] = *s->at++;
    out[n] = '\0';
    if (n == 0 || !ends_word(*s->at))
        scan_fail(s, "a word");
    return n;
}

int64_t scan_number(struct scan *s)
{
    char *end;
    long long v;

    skip_blanks(s);
    v = strtoll(s->at, &end, 0);
    if (s->error || end == s->at) {
        scan_fail(s, "a number");
        return 0;
    }
    s->at = end;
    return v;
}

int64_t scan_time_ns(struct scan *s)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"us", 1e3}, {"ms", 1e6},   {"min", 60e9},
                 {"s", 1e9},  {"h", 3600e9}, {"d", 86400e9}};
    char *end;
    double v;

    skip_blanks(s);
    v = strtod(s->at, &end);
    if (s->error || end == s->at) {
        scan_fail(s, "a time");
        return 0;
    }
    s->at = end[-1] == '.' ? end - 1 : end; /* "0..40ms": the first point is the range's */
    for (size_t i = 0; i < array_len(units); i++)
        if (strncmp(s->at, units[i].name, strlen(units[i].name)) == 0) {
            s->at += strlen(units[i].name);
            return (int64_t)(v * units[i].ns + 0.5);
        }
    if (v != 0)
        scan_fail(s, "a unit of time: us ms s min h d");
    return 0;
}

static struct span scan_span_of(struct scan *s, int64_t (*scan_value)(struct scan *))
{
    struct span span;

    if (scan_text(s, "*"))
        return SPAN_ANY;
    if (scan_text(s, ">="))
        return (struct span){scan_value(s), INT64_MAX};
    if (scan_text(s, "<="))
        return (struct span){INT64_MIN, scan_value(s)};
    span.lo = span.hi = scan_value(s);
    if (scan_text(s, ".."))
        span.hi = scan_value(s);
    if (span.hi < span.lo)
        scan_fail(s, "a range whose end is not before its beginning");
    return span;
}

struct span scan_span(struct scan *s)
{
    return scan_span_of(s, scan_number);
}

struct span scan_time_span(struct scan *s)
{
    return scan_span_of(s, scan_time_ns);
}

uint32_t scan_hex(struct scan *s, uint8_t *out, uint32_t max)
{
    uint32_t n = 0;

    skip_blanks(s);
    for (; isxdigit((unsigned char)s->at[0]) && isxdigit((unsigned char)s->at[1]) && n < max;
         s->at += 2) {
        char digits[3] = {s->at[0], s->at[1]};

        out[n++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    if (!ends_word(*s->at))
        scan_fail(s, "bytes as pairs of hexadecimal digits");
    return n;
}

void scan_ip4(struct scan *s, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)scan_number(s);
        if (i < 3 && !scan_text(s, "."))
            scan_fail(s, "an IPv4 address");
    }
}

uint32_t scan_name(struct scan *s, const char *const *names, const char *expected)
{
    for (uint32_t i = 0; names[i]; i++)
        if (scan_word(s, names[i]))
            return i;
    scan_fail(s, expected);
    return 0;
}

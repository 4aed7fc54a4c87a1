// SPDX-License-Identifier: BSD-2-Clause
/*
 * chars.c - which byte may stand where, as tables, and the few walks over bytes that all need.
 */
#include "priv.h"

/* Shorthands for the table below, named after what the bytes are. */
#define VAL  CLASS_VALUE
#define URI  (CLASS_VALUE | CLASS_TARGET | CLASS_ETAG)
#define TOK  (URI | CLASS_TOKEN)
#define NAME (TOK | CLASS_HOST)
#define SUB  (URI | CLASS_HOST)
#define NUM  (NAME | CLASS_DIGIT)

/*
 * CLASS_TARGET is wider than RFC 3986: browsers send '|', '^' and '[' in queries, and curl sends
 * UTF-8 as it is. None of them ends anything, so no two readers can disagree about where a target
 * ends. '#' is out: a fragment is never sent (RFC 9112 3.2), and some cut it off and some do not.
 */
const uint8_t http1_classes[256] = {
    ['\t'] = VAL,
    [' '] = VAL,
    ['!'] = NAME,
    ['"'] = CLASS_VALUE | CLASS_TARGET,
    ['#'] = CLASS_VALUE | CLASS_TOKEN | CLASS_ETAG,
    ['$' ... '\''] = NAME, /* $ % & ' */
    ['(' ... ')'] = SUB,
    ['*' ... '+'] = NAME,
    [','] = SUB,
    ['-' ... '.'] = NAME,
    ['/'] = URI,
    ['0' ... '9'] = NUM,
    [':'] = URI,
    [';'] = SUB,
    ['<'] = URI,
    ['='] = SUB,
    ['>' ... '@'] = URI,
    ['A' ... 'Z'] = NAME,
    ['[' ... ']'] = URI,
    ['^'] = TOK,
    ['_'] = NAME,
    ['`'] = TOK,
    ['a' ... 'z'] = NAME,
    ['{'] = URI,
    ['|'] = TOK,
    ['}'] = URI,
    ['~'] = NAME,
    [0x80 ... 0xff] = URI,
};

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/*
 * Values are most of a head, so eight bytes at a time: the word is clean if no byte is below 0x20
 * and none is 0x7f. The test may only err by finding a byte that is none (a borrow reaches the next
 * byte only from a true one), and HTAB is legal: either way the table decides.
 */
const char *http1_value_end(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, sizeof(w));
        uint64_t del = w ^ (0x7f * ONES);
        uint64_t low = (w - 0x20 * ONES) & ~w & HIGHS;
        if (low | ((del - ONES) & ~del & HIGHS)) {
            for (const char *stop = p + 8; p < stop; p++)
                if (!is_class(*p, CLASS_VALUE))
                    return p;
            continue;
        }
        p += 8;
    }
    while (p < end && is_class(*p, CLASS_VALUE))
        p++;
    return p;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str http1_trim(struct str s)
{
    while (s.len && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool http1_list_next(struct str *list, struct str *item)
{
    while (list->len) {
        const char *comma = memchr(list->at, ',', list->len);
        size_t len = comma ? (size_t)(comma - list->at) : list->len;
        *item = http1_trim((struct str){list->at, len});
        size_t used = comma ? len + 1 : len;
        list->at += used;
        list->len -= used;
        if (item->len)
            return true;
    }
    return false;
}

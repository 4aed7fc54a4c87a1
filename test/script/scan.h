// SPDX-License-Identifier: BSD-2-Clause
/*
 * scan.h - one line of a script, read from left to right.
 *
 * Every function takes what it understands and moves on. The first thing that cannot be understood
 * is remembered in `error`, and from then on nothing more is taken; so a line is read as if it were
 * correct, and asked once at the end whether it was.
 */
#ifndef SCRIPT_SCAN_H
#define SCRIPT_SCAN_H

#include "base/base.h"

struct scan {
    const char *at;
    const char *error; /* what was expected where `at` points; NULL: all is well */
};

/* Which values are good: one, a range, or any. */
struct span {
    int64_t lo, hi;
};
#define SPAN_ANY ((struct span){INT64_MIN, INT64_MAX})

static inline struct span span_of(int64_t v)
{
    return (struct span){v, v};
}

static inline bool span_has(struct span span, int64_t v)
{
    return v >= span.lo && v <= span.hi;
}

static inline bool span_is_any(struct span span)
{
    return span.lo == INT64_MIN && span.hi == INT64_MAX;
}

void scan_fail(struct scan *s, const char *expected);
/* Nothing but blanks or a comment is left. */
bool scan_at_end(struct scan *s);
/* The next word, or the next characters, if they are these. */
bool scan_word(struct scan *s, const char *word);
bool scan_text(struct scan *s, const char *text);
/* Up to the next blank, ',' or '>'. */
uint32_t scan_token(struct scan *s, char *out, uint32_t max);
int64_t scan_number(struct scan *s);
/* 12  *  >=12  <=12  12..20 */
struct span scan_span(struct scan *s);
/* 100us  40ms  2.5s  0 */
int64_t scan_time_ns(struct scan *s);
/* 40ms  0..40ms  >=40ms  * */
struct span scan_time_span(struct scan *s);
/* "0a0b0c"; how many bytes. */
uint32_t scan_hex(struct scan *s, uint8_t *out, uint32_t max);
/* "192.0.2.2" */
void scan_ip4(struct scan *s, uint8_t out[4]);
/* An index into `names`, which end with NULL. */
uint32_t scan_name(struct scan *s, const char *const *names, const char *expected);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * range.c - the Range field (RFC 9110 14.1, 14.2): bytes=first-last, first-, -suffix, and lists.
 */
#include "priv.h"

/*
 * RFC 9110 17.15 warns of "more than two overlapping ranges". Two that overlap are a careless
 * client; more are an attempt to make a small request cost much, and get the whole, which costs
 * least.
 */
#define OVERLAPS_MAX 1

struct spec {
    uint64_t first, last;
    bool has_first, has_last;
};

/*
 * Digits, as many as there may be. What does not fit in 64 bits, by a margin of one digit's worth,
 * becomes the largest number and stays it: it lies behind any entity (RFC 9110 14.1.2, 17.5).
 */
static bool take_number(struct str *s, uint64_t *n)
{
    size_t len = s->len;
    for (*n = 0; s->len && is_class(*s->at, CLASS_DIGIT); s->at++, s->len--)
        *n = *n > (UINT64_MAX - 9) / 10 ? UINT64_MAX : *n * 10 + (uint64_t)(*s->at - '0');
    return s->len != len;
}

static bool parse_spec(struct str s, struct spec *spec)
{
    spec->has_first = take_number(&s, &spec->first);
    if (s.len == 0 || *s.at != '-')
        return false;
    s.at++;
    s.len--;
    spec->has_last = take_number(&s, &spec->last);
    if (s.len || !(spec->has_first || spec->has_last))
        return false;
    return !(spec->has_first && spec->has_last) || spec->first <= spec->last;
}

/* What of the entity a spec asks for; false: nothing (RFC 9110 14.1.2). */
static bool resolve(const struct spec *spec, uint64_t size, struct http1_range *range)
{
    if (!spec->has_first) {
        uint64_t n = min_u64(spec->last, size);
        *range = (struct http1_range){size - n, n};
        return n > 0;
    }
    if (spec->first >= size)
        return false;
    uint64_t last = spec->has_last ? min_u64(spec->last, size - 1) : size - 1;
    *range = (struct http1_range){spec->first, last - spec->first + 1};
    return true;
}

static void remove_at(struct http1_ranges *ranges, uint32_t i)
{
    ranges->count--;
    memmove(&ranges->range[i], &ranges->range[i + 1],
            (ranges->count - i) * sizeof(ranges->range[0]));
}

/*
 * Adds a range. Those that overlap or touch become one, at the place of the first of them, so that
 * the order is that of the request otherwise (RFC 9110 15.3.7.2). Returns whether it overlapped
 * any.
 */
static bool add_range(struct http1_ranges *ranges, struct http1_range new)
{
    uint32_t place = ranges->count, i = 0;
    bool overlaps = false;
    while (i < ranges->count) {
        struct http1_range *old = &ranges->range[i];
        if (new.off > old->off + old->bytes || old->off > new.off + new.bytes) {
            i++;
            continue;
        }
        overlaps |= new.off < old->off + old->bytes && old->off < new.off + new.bytes;
        uint64_t end = max_u64(new.off + new.bytes, old->off + old->bytes);
        new.off = min_u64(new.off, old->off);
        new.bytes = end - new.off;
        place = min_u32(place, i);
        remove_at(ranges, i);
        i = 0; /* it has grown: look at all again */
    }
    place = min_u32(place, ranges->count);
    memmove(&ranges->range[place + 1], &ranges->range[place],
            (ranges->count - place) * sizeof(ranges->range[0]));
    ranges->range[place] = new;
    ranges->count++;
    return overlaps;
}

/*
 * The whole entity answers what is not understood (14.2: as if there were no Range), and what would
 * cost more than the whole: more parts than HTTP1_RANGES_MAX, too many overlaps, more bytes in sum
 * than the entity has.
 */
enum range_verdict http1_ranges_parse(struct str value, uint64_t size, struct http1_ranges *ranges)
{
    struct str item;
    uint32_t specs = 0, overlaps = 0;
    uint64_t budget = size;
    ranges->count = 0;
    /* Range units are not case-sensitive (14.1). */
    if (value.len < 6 || !str_is_nocase((struct str){value.at, 6}, "bytes=", 6))
        return RANGE_WHOLE;
    value = (struct str){value.at + 6, value.len - 6};
    while (http1_list_next(&value, &item)) {
        struct spec spec;
        struct http1_range range;
        if (!parse_spec(item, &spec) || ++specs > HTTP1_RANGES_MAX)
            return RANGE_WHOLE;
        /* No byte can be named in an empty entity; that it begins at 0 is still no error. */
        if (size == 0 && (spec.has_first ? spec.first == 0 : spec.last > 0))
            return RANGE_WHOLE;
        if (!resolve(&spec, size, &range))
            continue;
        if (range.bytes > budget)
            return RANGE_WHOLE;
        budget -= range.bytes;
        overlaps += add_range(ranges, range);
        if (overlaps > OVERLAPS_MAX)
            return RANGE_WHOLE;
    }
    if (specs == 0)
        return RANGE_WHOLE;
    if (ranges->count == 0)
        return RANGE_UNSATISFIABLE;
    return ranges->count == 1 ? RANGE_ONE : RANGE_MULTI;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "reasm.h"

static uint64_t buf_end(const struct reasm_buf *buf)
{
    return buf->seq + buf->len + buf->fin;
}

static struct reasm_buf *buf_get(struct mem_pool *pool, struct reasm *r, uint64_t seq,
                                 const struct reasm_limits *limits, enum reasm_verdict *why)
{
    struct reasm_buf *buf = NULL;

    *why = REASM_SHARE;
    if (r->buf_count < limits->bufs_max) {
        *why = REASM_POOL;
        buf = mem_pool_get(pool);
    }
    if (!buf)
        return NULL;
    r->buf_count++;
    buf->seq = buf->end = seq;
    buf->next = buf->older = NULL;
    buf->last = buf;
    buf->len = 0;
    buf->fin = false;
    return buf;
}

static void buf_put(struct mem_pool *pool, struct reasm *r, struct reasm_buf *buf)
{
    r->buf_count--;
    mem_pool_put(pool, buf);
}

/* --- the list of ranges ----------------------------------------------------------------------- */

static struct reasm_buf *newest(const struct mem_pool *pool, const struct reasm *r)
{
    return r->newest ? mem_pool_at(pool, r->newest - 1) : NULL;
}

static void set_newest(const struct mem_pool *pool, struct reasm *r, struct reasm_buf *range)
{
    r->newest = range ? mem_pool_index(pool, range) + 1 : 0;
}

static void range_push(struct mem_pool *pool, struct reasm *r, struct reasm_buf *range)
{
    range->older = newest(pool, r);
    set_newest(pool, r, range);
}

/* `other` (NULL: nothing) takes the place of `range` in the list. */
static void range_replace(struct mem_pool *pool, struct reasm *r, struct reasm_buf *range,
                          struct reasm_buf *other)
{
    struct reasm_buf *at = newest(pool, r), *then = range->older;

    if (other) {
        other->older = range->older;
        then = other;
    }
    if (at == range) {
        set_newest(pool, r, then);
        return;
    }
    while (at->older != range)
        at = at->older;
    at->older = then;
}

static void range_touch(struct mem_pool *pool, struct reasm *r, struct reasm_buf *range)
{
    if (newest(pool, r) == range)
        return;
    range_replace(pool, r, range, NULL);
    range_push(pool, r, range);
}

static void range_free(struct mem_pool *pool, struct reasm *r, struct reasm_buf *range)
{
    range_replace(pool, r, range, NULL);
    for (struct reasm_buf *next; range; range = next) {
        next = range->next;
        buf_put(pool, r, range);
    }
}

/* What lies around a sequence number. */
struct place {
    struct reasm_buf *inside; /* the range that has it */
    struct reasm_buf *left;   /* the range that ends right before it */
    struct reasm_buf *right;  /* the next one behind it */
    uint32_t range_count;
};

static struct place place_find(const struct mem_pool *pool, const struct reasm *r, uint64_t seq)
{
    struct place at = {0};

    for (struct reasm_buf *range = newest(pool, r); range; range = range->older) {
        at.range_count++;
        if (range->seq <= seq && seq < range->end)
            at.inside = range;
        else if (range->end == seq)
            at.left = range;
        else if (range->seq > seq && (!at.right || range->seq < at.right->seq))
            at.right = range;
    }
    return at;
}

/* --- adding ----------------------------------------------------------------------------------- */

/* Appends bytes to a range. Fewer are taken when there is no buffer. */
static enum reasm_verdict range_append(struct mem_pool *pool, struct reasm *r,
                                       struct reasm_buf *range, const uint8_t *data, uint64_t len,
                                       const struct reasm_limits *limits)
{
    while (len > 0) {
        struct reasm_buf *last = range->last;
        uint32_t part = (uint32_t)min_u64(len, sizeof(last->data) - last->len);
        enum reasm_verdict why;

        if (part == 0) {
            last->next = buf_get(pool, r, range->end, limits, &why);
            if (!last->next)
                return why;
            range->last = last->next;
            continue;
        }
        memcpy(last->data + last->len, data, part);
        last->len += (uint16_t)part;
        range->end += part;
        data += part;
        len -= part;
    }
    return REASM_KEPT;
}

/* `right` begins where `range` ends. */
static void range_join(struct mem_pool *pool, struct reasm *r, struct reasm_buf *range,
                       struct reasm_buf *right)
{
    range_replace(pool, r, right, NULL);
    range->last->next = right;
    range->last = right->last;
    range->end = right->end;
}

/* Nothing that was kept lies beyond a FIN, and no FIN before what was kept: of a peer that
 * contradicts itself the first word counts. */
static uint64_t end_of_stream(const struct mem_pool *pool, const struct reasm *r, uint64_t *last)
{
    uint64_t fin_at = UINT64_MAX;

    *last = 0;
    for (const struct reasm_buf *range = newest(pool, r); range; range = range->older) {
        *last = max_u64(*last, range->end);
        if (range->last->fin)
            fin_at = range->end - 1;
    }
    return fin_at;
}

/* Fills [seq, end) of a hole, and sets the FIN behind it. */
static enum reasm_verdict fill(struct mem_pool *pool, struct reasm *r, const struct place *at,
                               uint64_t seq, uint64_t end, const uint8_t *data, bool fin,
                               const struct reasm_limits *limits)
{
    struct reasm_buf *range = at->left;
    enum reasm_verdict verdict;

    if (range) {
        range_touch(pool, r, range);
    } else {
        bool joins = at->right && at->right->seq == end;

        if (at->range_count >= limits->ranges_max && !joins)
            return REASM_RANGES;
        range = buf_get(pool, r, seq, limits, &verdict);
        if (!range)
            return verdict;
        range_push(pool, r, range);
    }
    verdict = range_append(pool, r, range, data, end - seq, limits);
    if (verdict != REASM_KEPT)
        return verdict;
    if (fin) {
        range->last->fin = true;
        range->end++;
    } else if (at->right && at->right->seq == range->end) {
        range_join(pool, r, range, at->right);
    }
    return REASM_KEPT;
}

enum reasm_verdict reasm_add(struct mem_pool *pool, struct reasm *r, struct reasm_span *twice,
                             uint64_t seq, const uint8_t *data, uint32_t len, bool fin,
                             const struct reasm_limits *limits)
{
    uint64_t end = seq + len, last;
    uint64_t fin_at = end_of_stream(pool, r, &last);
    uint64_t first = seq;
    enum reasm_verdict verdict = REASM_KEPT;

    *twice = reasm_overlap(pool, r, seq, end + fin);
    fin = fin && end >= last && fin_at == UINT64_MAX;
    end = min_u64(end, fin_at);
    while (verdict == REASM_KEPT && seq < end + fin) {
        struct place at = place_find(pool, r, seq);
        uint64_t to = at.right ? min_u64(end, at.right->seq) : end;

        if (at.inside) {
            range_touch(pool, r, at.inside);
            seq = at.inside->end;
            continue;
        }
        verdict = fill(pool, r, &at, seq, to, data + (seq - first), fin && to == end, limits);
        seq = to + (fin && to == end);
    }
    return verdict;
}

/* --- looking and taking ----------------------------------------------------------------------- */

struct reasm_span reasm_overlap(const struct mem_pool *pool, const struct reasm *r, uint64_t start,
                                uint64_t end)
{
    struct reasm_span first = {0};

    for (const struct reasm_buf *range = newest(pool, r); range; range = range->older)
        if (range->seq < end && start < range->end && (first.end == 0 || range->seq < first.start))
            first = (struct reasm_span){max_u64(start, range->seq), min_u64(end, range->end)};
    return first;
}

uint64_t reasm_hole(const struct mem_pool *pool, const struct reasm *r, uint64_t nxt)
{
    struct place at = place_find(pool, r, nxt);

    if (at.inside)
        return 0;
    return at.right ? at.right->seq - nxt : UINT64_MAX;
}

/* The range loses its first buffer, which describes it. */
static void range_behead(struct mem_pool *pool, struct reasm *r, struct reasm_buf *range)
{
    struct reasm_buf *next = range->next;

    if (next) {
        next->last = range->last;
        next->end = range->end;
    }
    range_replace(pool, r, range, next);
}

struct reasm_buf *reasm_take(struct mem_pool *pool, struct reasm *r, uint64_t nxt)
{
    for (struct reasm_buf *range = newest(pool, r), *older; range; range = older) {
        older = range->older;
        if (range->end <= nxt)
            range_free(pool, r, range);
    }
    for (;;) {
        struct reasm_buf *range = place_find(pool, r, nxt).inside;

        if (!range)
            return NULL;
        range_behead(pool, r, range);
        if (buf_end(range) > nxt) {
            r->buf_count--;
            return range;
        }
        buf_put(pool, r, range);
    }
}

void reasm_drop(struct mem_pool *pool, struct reasm *r)
{
    while (r->newest)
        range_free(pool, r, newest(pool, r));
}

uint32_t reasm_sacks(const struct mem_pool *pool, const struct reasm *r, struct tcp_sack *sacks,
                     uint32_t max)
{
    uint32_t n = 0;

    for (const struct reasm_buf *range = newest(pool, r); range && n < max; range = range->older)
        sacks[n++] = (struct tcp_sack){(uint32_t)range->seq, (uint32_t)range->end};
    return n;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * reasm.h - bytes that arrived ahead of a gap, kept until the gap closes.
 *
 * What is kept of one connection are ranges of its sequence space that neither overlap nor touch.
 * Each is a chain of buffers; its first buffer also says where it ends. The ranges are listed with
 * the one touched last in front: a stream that goes on behind a hole finds its range at once, and
 * RFC 2018 4 wants them reported in this order.
 *
 * Of bytes that come twice the first copy wins. What was kept is never given up before it is
 * delivered or the connection ends, so that a report never has to be taken back. A FIN is kept too:
 * it takes one number of the range that it ends.
 *
 * Memory is one pool for all connections. How much of it one of them may have is the caller's to
 * say, and how many ranges: every segment is compared with all of them.
 */
#ifndef TCPIP_REASM_H
#define TCPIP_REASM_H

#include "mem/mem.h"
#include "wire.h"

#define REASM_BUF_BYTES                                                                            \
    2048 /* room for a full segment; what follows it in order fills the rest                       \
          */

struct reasm_buf {
    uint64_t seq;           /* of data[0] */
    struct reasm_buf *next; /* in the range */
    /* private, of a range, in its first buffer: */
    struct reasm_buf *last;
    struct reasm_buf *older; /* the range that was touched before this one */
    uint64_t end;            /* the first number that is not in it */
    uint16_t len;
    bool fin; /* the peer's FIN follows the last byte; len may be 0 then */
    uint8_t data[REASM_BUF_BYTES - 43];
};
static_assert(sizeof(struct reasm_buf) == REASM_BUF_BYTES, "the pool is sized by it");

/* A connection's part. All zero: nothing is kept. */
struct reasm {
    uint32_t newest; /* range: index in the pool + 1, which is shorter than a pointer */
    uint32_t buf_count;
};

/* Sequence numbers from start up to end; none if they are equal. */
struct reasm_span {
    uint64_t start, end;
};

enum reasm_verdict {
    REASM_KEPT,   /* all of it is there now, or was before */
    REASM_POOL,   /* some of it is not: the pool is empty, */
    REASM_SHARE,  /* the connection has buf_max buffers, */
    REASM_RANGES, /* or ranges_max ranges */
};

/* What a connection may have. */
struct reasm_limits {
    uint32_t bufs_max;
    uint32_t ranges_max;
};
/* Keeps what is new in seq, len, and the FIN behind it, within the limits. *twice is the first part
 * of it that was there before. */
enum reasm_verdict reasm_add(struct mem_pool *pool, struct reasm *r, struct reasm_span *twice,
                             uint64_t seq, const uint8_t *data, uint32_t len, bool fin,
                             const struct reasm_limits *limits);
/* How many bytes are missing at `nxt` before the next range; UINT64_MAX: no range is there. */
uint64_t reasm_hole(const struct mem_pool *pool, const struct reasm *r, uint64_t nxt);
/* The first overlap with a range. */
struct reasm_span reasm_overlap(const struct mem_pool *pool, const struct reasm *r, uint64_t start,
                                uint64_t end);
/* The buffer that has the byte (or the FIN) numbered `nxt`, which is the caller's now, to be given
 * back to the pool; NULL: it is still missing. Whatever lies before `nxt` is dropped. */
struct reasm_buf *reasm_take(struct mem_pool *pool, struct reasm *r, uint64_t nxt);
void reasm_drop(struct mem_pool *pool, struct reasm *r);
/* The ranges, the newest first. Returns how many, at most max. */
uint32_t reasm_sacks(const struct mem_pool *pool, const struct reasm *r, struct tcp_sack *sacks,
                     uint32_t max);

#endif

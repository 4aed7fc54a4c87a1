// SPDX-License-Identifier: BSD-2-Clause
/*
 * response.h - an HTTP/1.x response (RFC 9112), understood while it arrives.
 *
 * A struct response is a value: it holds no pointers, needs no memory of its own and may be thrown
 * away at any time. Bytes are fed to it as they come, cut anywhere; it says which of them are the
 * body and when the response has ended. Whatever the bytes are and however they are cut, the
 * verdict is the same.
 *
 *     while (len > 0 && !r.done) {
 *         n = response_feed(&r, data, len, &body);   < 0: this is not HTTP
 *         if (body) ...                              these n bytes are body
 *         data += n, len -= n;
 *     }
 *
 * Where the body's length is known, response_skippable says how many of its bytes come next, and a
 * reader who does not care for them may drop them unseen and report that with response_skip.
 *
 * Lenient where nothing depends on it (a line may end with LF alone, a reason may be missing);
 * strict where two readers could disagree about where the response ends.
 */
#ifndef STORMLOAD_RESPONSE_H
#define STORMLOAD_RESPONSE_H

#include "base/base.h"

/* Of a line, so much is looked at. Longer ones are fine unless the length of the body depends on
 * them: a cookie may be as long as it likes. */
#define RESPONSE_LINE_BYTES 512
/* Head and interim responses together; then the trailer; and each chunk's size line. */
#define RESPONSE_HEAD_BYTES (64 * 1024)

enum response_error {
    RESPONSE_MALFORMED = -1, /* not HTTP, or its end cannot be known */
    RESPONSE_TOO_BIG = -2,   /* a head or a line that never ends */
};

/* private: */
enum response_state {
    RESPONSE_STATUS,     /* the status line */
    RESPONSE_FIELDS,     /* the lines behind it */
    RESPONSE_BODY,       /* `left` bytes of body */
    RESPONSE_TO_CLOSE,   /* body until the connection ends */
    RESPONSE_CHUNK_SIZE, /* the line in front of a chunk */
    RESPONSE_CHUNK,      /* `left` bytes of a chunk */
    RESPONSE_CHUNK_END,  /* the empty line behind it */
    RESPONSE_TRAILER,    /* lines behind the last chunk */
};

struct response {
    uint64_t body_bytes; /* public: so far */
    uint16_t status;     /* 0: not known yet */
    bool done;
    bool keep_alive; /* when done: the connection may be used again */

    uint8_t state; /* private: */
    bool head_method;
    bool has_length, chunked, has_coding;
    bool http10, said_close, said_keep_alive;
    bool framing_line; /* the line before decided about the length: it may not be folded */
    bool line_cut;     /* the line is longer than what is kept of it */
    uint16_t line_len;
    uint32_t budget; /* bytes that the head or line may still have */
    uint64_t left;
    char line[RESPONSE_LINE_BYTES];
};

/* `head_method`: the request was HEAD, so that the response has no body. */
void response_init(struct response *r, bool head_method);
/* How many of the bytes were used: at least one while the response is not done, or an error. All of
 * them are body, or none is. */
int64_t response_feed(struct response *r, const uint8_t *data, size_t len, bool *body);
/* The connection has ended. False: in the middle of the response. */
bool response_end(struct response *r);
uint64_t response_skippable(const struct response *r);
void response_skip(struct response *r, uint64_t bytes);

#endif

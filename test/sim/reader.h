// SPDX-License-Identifier: BSD-2-Clause
/*
 * reader.h - what a client makes of an HTTP/1.1 response (RFC 9112), multipart/byteranges included.
 *
 * It shares no line with lib/http1 and takes nothing on trust: whatever RFC 9110 and 9112 do not
 * allow a server to send is an error, with a sentence. Bytes are fed as they arrive; the owner is
 * told of heads, of bytes of the entity with their offsets, and of ends:
 *
 *     head -> expects a body or not      (only the owner knows whether the request was a HEAD)
 *     part  once per byte range          (a plain 200 is one range that covers everything)
 *     bytes of the entity
 *     end
 *
 * Bodies of other responses than 200 and 206 are counted and passed over.
 */
#ifndef SIM_READER_H
#define SIM_READER_H

#include "base/base.h"

#define READER_TEXT_BYTES  8192 /* longest head, of a response or of a part */
#define READER_FIELD_BYTES 128
#define READER_NONE        UINT64_MAX

struct reader_head {
    uint32_t status;
    uint64_t content_length;     /* READER_NONE: no such field */
    uint64_t first, last, total; /* Content-Range; first READER_NONE: "*" or no such field */
    bool has_range;
    bool close;                    /* Connection: close */
    char etag[READER_FIELD_BYTES]; /* empty: no such field */
    char type[READER_FIELD_BYTES];
    char boundary[READER_FIELD_BYTES]; /* of multipart/byteranges; empty: it is not that */
};

struct reader_ops {
    /* Is there a body, as far as the request goes? */
    bool (*head)(void *arg, const struct reader_head *head);
    void (*part)(void *arg, uint64_t first, uint64_t last, uint64_t total);
    void (*bytes)(void *arg, uint64_t offset, const uint8_t *data, size_t len);
    void (*end)(void *arg);
};

enum reader_state {
    READER_HEAD,
    READER_SKIP,  /* a body that is nobody's entity */
    READER_BYTES, /* entity */
    READER_PART,  /* a part's head, or the last delimiter */
};

struct reader {
    const struct reader_ops *ops;
    void *arg;
    enum reader_state state;
    struct reader_head head;
    uint64_t left;   /* of the body */
    uint64_t offset; /* in the entity */
    uint64_t run;    /* of the part */
    uint32_t parts;
    const char *error; /* NULL as long as all is well */
    uint32_t text_len;
    char text[READER_TEXT_BYTES];
};

void reader_init(struct reader *reader, const struct reader_ops *ops, void *arg);
/* False: reader->error says what is wrong. */
bool reader_feed(struct reader *reader, const uint8_t *data, size_t len);
/* Nothing has arrived of a response that is not complete. */
bool reader_between(const struct reader *reader);

#endif

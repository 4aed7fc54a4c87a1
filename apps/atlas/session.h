// SPDX-License-Identifier: BSD-2-Clause
/*
 * session.h - a client's connection as HTTP sees it (session.c), and its stream as a function of
 * the offset (stream.c). Under it is TCP, or a layer that is on TCP itself: TLS (secure.h).
 */
#ifndef ATLAS_SESSION_H
#define ATLAS_SESSION_H

#include "worker.h"

/*
 * What lies between HTTP's stream and TCP's where something does, as HTTP calls it: worker.layer,
 * for sessions with SESSION_LAYERED. Under the others is TCP itself.
 */
struct session_layer {
    /* The response is at the end of HTTP's stream: its bytes are for the layer to write. */
    void (*carry)(struct session *session, struct response *response);
    /* Nothing more will be said after what is carried. */
    void (*finish)(struct session *session);
    /* False: it is not yet possible to answer in HTTP. */
    bool (*can_answer)(struct session *session);
    /* True: it reads in the request's buffer, and gives it back itself. */
    bool (*has_request)(struct session *session);
    /* Of reads that it has promised. False: nobody needs it any more. */
    bool (*wanted)(struct session *session, const struct stream_read *read);
    /* The text is there: makes of it what TCP is given, and gives away its chunk. False: that is
     * impossible, the connection must end. Not if it is not wanted. */
    bool (*seal)(struct session *session, struct stream_read *read, struct nmio_slice *slice);
    void (*forget)(struct stream_read *read); /* instead of seal; the chunk stays */
    void (*rest)(struct session *session);    /* no more is ready now */
    void (*free)(struct session *session);    /* the session's memory goes */
};

/* --- session.c -------------------------------------------------------------------------------- */

extern const struct tcp_ops session_ops;
void session_begin(struct session *session, struct worker *worker, struct tcp_conn *conn,
                   uint64_t now_ns);
/* Bytes of requests. They are kept if they cannot be used yet. */
void session_take(struct session *session, const uint8_t *data, uint32_t len, uint64_t now_ns);
void session_end_input(struct session *session, uint64_t now_ns);
/* The stream has arrived up to `offset`. */
void session_arrived(struct session *session, uint64_t offset, uint64_t now_ns);
/* The connection is gone. */
void session_end(struct session *session);
/* Nothing more will be asked, and nothing answered but what is under way. */
void session_finish(struct session *session);
/* The phase follows from what has changed. */
void session_settle(struct session *session, uint64_t now_ns);
/* For bytes that are not HTTP yet: keeps them where requests are kept (false: no room, and the
 * connection is gone), and takes them back: the buffer, or NULL, goes back to its pool after use.
 */
bool session_keep(struct session *session, const uint8_t *data, uint32_t len);
struct request *session_take_back(struct session *session);
void session_timers(struct worker *worker, uint64_t now_ns);
void session_drain(struct worker *worker, uint64_t now_ns);
void session_abort(struct session *session, uint64_t now_ns);
void session_release(struct session *session); /* frees it if it has ended and no read is out */
void response_put(struct worker *worker, struct response *response);

/* --- stream.c --------------------------------------------------------------------------------- */

uint32_t stream_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                     uint64_t now_ns);
void stream_chunk_ready(struct stream_read *read, uint64_t now_ns);
/* The read is made, or, where its bytes are in memory, answered at once. read->io says of which
 * object, if body_bytes is not 0. */
void stream_promise(struct session *session, struct stream_read *read, uint64_t now_ns);
/* When it has come back: writes the response's text from `text_off` on right in front of the body,
 * if that was read and is not mapped. Where the text begins. */
uint8_t *stream_text(struct stream_read *read, uint64_t text_off);

#endif

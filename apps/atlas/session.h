// SPDX-License-Identifier: BSD-2-Clause
/*
 * session.h - a client's connection as HTTP sees it (session.c), and its stream as a function of
 * the offset (stream.c). Under it is TCP, or TLS (secure.h).
 */
#ifndef ATLAS_SESSION_H
#define ATLAS_SESSION_H

#include "worker.h"

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

// SPDX-License-Identifier: BSD-2-Clause
/*
 * ask.h - requests for the benchmarks' objects, and what the heads of the responses promise.
 *
 * Object n of a set is /n.bin, or /d/m.bin where a directory has `per_dir` of them.
 */
#ifndef BENCH_ASK_H
#define BENCH_ASK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define ASK_BYTES       256  /* of a request, at most */
#define ASK_SMALL_BYTES 1024 /* what `small` asks for of an object */

struct ask_set {
    uint32_t objects, per_dir; /* per_dir 0: all lie in the root */
};

/* Writes a request to `out`, of ASK_BYTES; returns its length. */
int ask_put(const struct ask_set *set, const char *method, uint32_t n, bool small, char *out);
/* The length of the body that a complete head, as a string, promises; false if it is not the head
 * that a request for all of an object, or for a small part, should have. */
bool ask_head(const char *head, bool small, uint64_t *body_bytes);
/* The length of each response, head and body: asks `server` for all heads. */
bool ask_sizes(const struct ask_set *set, const struct sockaddr_in *server, uint64_t *sizes);

#endif

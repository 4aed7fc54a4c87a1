// SPDX-License-Identifier: BSD-2-Clause
/*
 * target.h - what is asked for: the server of a URL, and requests, written out once and sent many
 * times.
 *
 * All of it is made before the first connection is opened and is only read afterwards, by all
 * threads. A request is one piece of memory that outlives every connection, so that nobody copies
 * it.
 */
#ifndef STORMLOAD_TARGET_H
#define STORMLOAD_TARGET_H

#include "base/base.h"

#define TARGET_DIGEST_BYTES 32 /* SHA-256 */
#define TARGET_HOST_BYTES   256
#define TARGET_URL_BYTES    8192

/* "http://HOST[:PORT][/PATH]". The host is without the brackets of an IPv6 address. */
struct url {
    char host[TARGET_HOST_BYTES];
    uint16_t port;
    const char *authority; /* as it stands in the text, for the Host field */
    size_t authority_len;
    const char *path; /* with the query, without the fragment; may be empty */
    size_t path_len;
};
/* False: this is no http URL; *why says what is wrong. The text has to stay. */
must_check bool url_parse(struct url *url, const char *text, const char **why);

struct target {
    const char *request;
    uint32_t request_len;
    bool has_digest;
    uint8_t digest[TARGET_DIGEST_BYTES];
    char *path; /* decoded, without the leading '/' and the query: as a manifest names it */
};

struct targets {
    struct target *list;
    uint32_t count;
    uint32_t capacity;
};

struct target_form {
    const char *authority;
    size_t authority_len;
    const char *const *headers; /* "Name: value"; they replace ours of the same name */
    uint32_t header_count;
    const char *user_agent;
    bool close; /* Connection: close */
};
/* A field that may stand in a request. */
must_check bool target_header_ok(const char *header);

/* -EINVAL: the path cannot stand in a request; -ENOMEM. An empty path is "/". */
must_check int targets_add(struct targets *targets, const struct target_form *form,
                           const char *path, size_t path_len);
/* Lines of a file: paths, or URLs of the same server. Empty lines and those that begin with '#' are
 * left out. 0, or -errno and a sentence in `why`. */
must_check int targets_read(struct targets *targets, const struct target_form *form,
                            const char *file, char *why, size_t why_bytes);
void targets_free(struct targets *targets);

#endif

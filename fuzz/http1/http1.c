// SPDX-License-Identifier: BSD-2-Clause
/*
 * Bytes as a client might send them: a head, perhaps a body. Whatever they are, the parser's
 * verdict must not depend on how they arrive, and a response must be the same in slices as it is
 * whole.
 */
#include <stdlib.h>

#include "http1/http1.h"

#define CHECK(x)       ((x) ? (void)0 : abort())
#define PATH_BYTES     512
#define LOCATION_BYTES 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The entity's byte at offset n is n. */
static char *render(const struct http1_response *r, uint64_t step)
{
    char *dst = malloc(http1_response_bytes(r));
    for (uint64_t off = 0, n; off < http1_response_bytes(r); off += n) {
        struct http1_piece p = http1_response_piece(r, off);
        n = min_u64(p.len, step);
        CHECK(n > 0 && (p.kind == HTTP1_BODY || http1_response_text(r, off, n, dst + off) == n));
        CHECK(p.kind == HTTP1_TEXT || p.off + n <= r->entity->size);
        for (uint64_t i = 0; p.kind == HTTP1_BODY && i < n; i++)
            dst[off + i] = (char)(p.off + i);
    }
    return dst;
}

static void check_response(const struct http1_response *r)
{
    uint64_t bytes = http1_response_bytes(r);
    char *whole = render(r, UINT64_MAX), *slices = render(r, 1 + bytes % 13);
    CHECK(bytes == r->head_bytes + (r->head_method ? 0 : r->content_length));
    CHECK(memcmp(whole, slices, bytes) == 0);
    CHECK(memcmp(whole + r->head_bytes - 4, "\r\n\r\n", 4) == 0);
    free(whole);
    free(slices);
}

/* Whatever was asked for, a redirect is one line of printable bytes. */
static void check_redirect(const struct http1_request *req, const struct http1_options *options)
{
    struct http1_response r;
    char location[LOCATION_BYTES];
    http1_redirect(req, 8443, options, 784111778, location, sizeof(location), &r);
    check_response(&r);
    CHECK(r.status >= 400 ? !r.location : r.location == location);
    for (const char *p = r.location; p && *p; p++)
        CHECK(*p > ' ' && *p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct http1_options options = {
        .server = "f", .cache_control = "a", .cors = len % 2, .hsts = len % 3 == 0};
    struct http1_request req, slow;
    struct http1_response r;
    struct http1_ranges multi;
    struct http1_body body;
    char path[PATH_BYTES], slow_path[PATH_BYTES];
    int slow_rc = 0;
    http1_request_init(&req, path, sizeof(path));
    int rc = http1_parse((const char *)data, len, &http1_limits_default, &req);
    http1_request_init(&slow, slow_path, sizeof(slow_path));
    for (size_t n = 0; n <= len && slow_rc == 0; n++)
        slow_rc = http1_parse((const char *)data, n, &http1_limits_default, &slow);
    CHECK(rc == slow_rc);
    if (rc < 0) {
        http1_fail((uint16_t)-rc, &req, &options, 0, &r);
        check_response(&r);
    }
    if (rc <= 0)
        return 0;
    CHECK(strlen(path) == req.path_len && strcmp(path, slow_path) == 0);
    for (uint64_t size = 0; size < 900; size += 299) {
        struct http1_entity entity;
        http1_entity_init(&entity, size, 784111777, 0, http1_media_type(path, req.path_len));
        entity.etag_len = size == 598 ? 0 : entity.etag_len;
        http1_decide(&req, size == 897 ? NULL : &entity, &options, 784111778, &multi, &r);
        check_response(&r);
    }
    check_redirect(&req, &options);
    if (http1_body_init(&body, &req, 4096) == 0) {
        int64_t taken = http1_body_feed(&body, (const char *)data + rc, len - (size_t)rc);
        CHECK(taken < 0 || body.done || taken == (int64_t)len - rc);
    }
    return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * condition.c - conditional requests (RFC 9110 13).
 */
#include "priv.h"

struct http1_slice http1_field_again(const struct http1_request *req, struct http1_slice s,
                                     const char *lower, size_t lower_len)
{
    /* A parsed head: every line ends with CR LF and has a colon, the last line is empty. */
    const char *p = req->head + s.off + s.len;
    for (;;) {
        p = (const char *)rawmemchr(p, '\n') + 1;
        if (*p == '\r')
            return (struct http1_slice){0, 0};
        const char *colon = rawmemchr(p, ':');
        if (!str_is_nocase((struct str){p, (size_t)(colon - p)}, lower, lower_len))
            continue;
        const char *end = rawmemchr(colon, '\r');
        struct str value = http1_trim((struct str){colon + 1, (size_t)(end - colon - 1)});
        return (struct http1_slice){(uint16_t)(value.at - req->head), (uint16_t)value.len};
    }
}

struct etag {
    struct str opaque; /* with its quotes; empty: there is none */
    bool weak;
};

/* Takes an entity-tag (RFC 9110 8.8.3) from the front of `s`; false where there is none. */
static bool etag_take(struct str *s, struct etag *tag)
{
    const char *p = s->at, *end = p + s->len;
    tag->weak = end - p >= 2 && p[0] == 'W' && p[1] == '/';
    p += tag->weak ? 2 : 0;
    const char *from = p;
    if (p == end || *p++ != '"')
        return false;
    while (p < end && is_class(*p, CLASS_ETAG))
        p++;
    if (p == end || *p++ != '"')
        return false;
    tag->opaque = (struct str){from, (size_t)(p - from)};
    *s = (struct str){p, (size_t)(end - p)};
    return true;
}

/* RFC 9110 8.8.3.2: by the strong comparison, a weak tag equals nothing. */
static bool etag_equal(const struct etag *a, const struct etag *b, bool strong)
{
    if (strong && (a->weak || b->weak))
        return false;
    return a->opaque.len == b->opaque.len && memcmp(a->opaque.at, b->opaque.at, a->opaque.len) == 0;
}

static bool entity_etag(const struct http1_entity *entity, struct etag *tag)
{
    struct str s = {entity->etag, entity->etag_len};
    return etag_take(&s, tag);
}

/*
 * One line of If-Match or If-None-Match. Commas may stand inside a tag, so it is not split at them.
 * What follows a syntax error is not looked at.
 */
static bool list_has(struct str list, const struct http1_entity *entity, bool strong)
{
    struct etag ours, theirs;
    if (list.len == 1 && list.at[0] == '*')
        return true; /* any current representation, and there is one */
    if (!entity_etag(entity, &ours))
        return false;
    for (;;) {
        while (list.len && (*list.at == ',' || *list.at == ' ' || *list.at == '\t')) {
            list.at++;
            list.len--;
        }
        if (list.len == 0 || !etag_take(&list, &theirs))
            return false;
        if (etag_equal(&ours, &theirs, strong))
            return true;
        if (list.len && *list.at != ',' && *list.at != ' ' && *list.at != '\t')
            return false;
    }
}

static bool any_line_has(const struct http1_request *req, struct http1_slice s, const char *lower,
                         size_t lower_len, const struct http1_entity *entity, bool strong)
{
    for (; s.off; s = http1_field_again(req, s, lower, lower_len))
        if (list_has(req_str(req, s), entity, strong))
            return true;
    return false;
}

/* The Last-Modified that we would send: never later than Date (RFC 9110 8.8.2.1). */
int64_t http1_last_modified(const struct http1_entity *entity, int64_t date_s)
{
    return entity->mtime_s > date_s ? date_s : entity->mtime_s;
}

/* A date that is not valid is as good as no field, and so is one if we know no mtime. */
static bool date_field(const struct http1_request *req, struct http1_slice s,
                       const struct http1_entity *entity, int64_t now_s, int64_t *time_s)
{
    if (!s.off || entity->mtime_s == HTTP1_TIME_NONE)
        return false;
    struct str value = req_str(req, s);
    return http1_date_parse(value.at, value.len, now_s, time_s) == 0;
}

int http1_preconditions(const struct http1_request *req, const struct http1_entity *entity,
                        int64_t date_s)
{
    int64_t last_modified_s = http1_last_modified(entity, date_s), since_s;
    /* 1. */
    if (req->if_match.off) {
        if (!any_line_has(req, req->if_match, "if-match", 8, entity, true))
            return 412;
        /* 2. only without If-Match. */
    } else if (date_field(req, req->if_unmodified_since, entity, date_s, &since_s)) {
        if (last_modified_s > since_s)
            return 412;
    }
    /* 3. Only GET and HEAD come here, so a failure is a 304. */
    if (req->if_none_match.off) {
        if (any_line_has(req, req->if_none_match, "if-none-match", 13, entity, false))
            return 304;
        /* 4. only without If-None-Match. */
    } else if (date_field(req, req->if_modified_since, entity, date_s, &since_s)) {
        if (last_modified_s <= since_s)
            return 304;
    }
    return 0;
}

/*
 * RFC 9110 13.1.5. A tag is compared strongly and a date must be the very same and strong: the
 * second that it names is over, so the file cannot have changed again within it (8.8.2.2).
 */
bool http1_if_range(const struct http1_request *req, const struct http1_entity *entity,
                    int64_t date_s)
{
    struct etag ours, theirs;
    int64_t since_s;
    if (!req->if_range.off)
        return true;
    struct str value = req_str(req, req->if_range), rest = value;
    if (etag_take(&rest, &theirs))
        return rest.len == 0 && entity_etag(entity, &ours) && etag_equal(&ours, &theirs, true);
    if (!date_field(req, req->if_range, entity, date_s, &since_s))
        return false;
    return since_s == entity->mtime_s && since_s < date_s;
}

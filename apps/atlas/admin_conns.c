// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin_conns.c - /status?connections=N: connections one by one, as `ss -ti` tells them, a page at
 * a time.
 *
 *     connections=N         about so many, 1 to CONNS_ROWS_MAX
 *     after=W.P             begin where the page before ended: its "next"
 *     state=ESTABLISHED     only those in this state; may be given several times
 *     peer=ADDRESS[/BITS]   only those with such a peer
 *
 * A page may have fewer connections than it could, or none, and not be the last: looking has its
 * limit too. The last page is the one whose "next" is null.
 */
#include "admin_priv.h"
#include "conns.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

struct query {
    struct conns_filter filter;
    uint32_t rows_max;
    uint32_t worker, place; /* where to begin */
};

/* --- the question ----------------------------------------------------------------------------- */

/* "%2F" is "/", in place: the text only gets shorter. */
static void decode(char *text)
{
    char *out = text;

    for (; *text; text++) {
        char hex[3] = "";

        if (text[0] == '%' && isxdigit((uint8_t)text[1]) && isxdigit((uint8_t)text[2])) {
            memcpy(hex, text + 1, 2);
            *out++ = (char)strtoul(hex, NULL, 16);
            text += 2;
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

/* Digits and nothing else, up to `end`. */
static bool take_number(const char *text, char end, uint32_t max, uint32_t *out, const char **rest)
{
    char *stop;
    unsigned long v;

    if (!isdigit((uint8_t)text[0]))
        return false;
    errno = 0;
    v = strtoul(text, &stop, 10);
    if (errno || v > max || *stop != end)
        return false;
    *out = (uint32_t)v;
    if (rest)
        *rest = stop + 1;
    return true;
}

static bool take_after(struct query *q, const char *text)
{
    const char *place;

    return take_number(text, '.', WORKERS_MAX, &q->worker, &place) &&
           take_number(place, '\0', UINT32_MAX, &q->place, NULL);
}

static bool take_state(struct query *q, const char *text)
{
    for (int state = TCP_SYN_SENT; state < TCP_STATES; state++) {
        if (strcasecmp(text, tcp_state_name(state)) == 0) {
            q->filter.states |= 1u << state;
            return true;
        }
    }
    return false;
}

static bool take_peer(struct query *q, const char *text)
{
    struct ip_prefix prefix;

    if (ip_prefix_parse(text, &prefix) < 0)
        return false;
    q->filter.peer = prefix.addr;
    q->filter.peer_bits = prefix.bits + (ip_addr_is_v4(&prefix.addr) ? 96u : 0u);
    return true;
}

static bool take_parameter(struct query *q, const char *name, const char *value)
{
    if (strcmp(name, "connections") == 0)
        return take_number(value, '\0', CONNS_ROWS_MAX, &q->rows_max, NULL) && q->rows_max > 0;
    if (strcmp(name, "after") == 0)
        return take_after(q, value);
    if (strcmp(name, "state") == 0)
        return take_state(q, value);
    return strcmp(name, "peer") == 0 && take_peer(q, value);
}

/* NULL, or the parameter that is wrong. */
static const char *parse(struct query *q, char *text)
{
    char *rest = NULL;

    for (char *p = strtok_r(text, "&", &rest); p; p = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(p, '=');

        if (!value)
            return p;
        *value++ = '\0';
        decode(value);
        if (!take_parameter(q, p, value))
            return p;
    }
    return q->rows_max ? NULL : "connections";
}

/* --- the answer ------------------------------------------------------------------------------- */

enum kind { KIND_U16, KIND_U32, KIND_U64, KIND_BOOL, KIND_TEXT };

/* A member of struct tcp_info that is told as it is, under its own name. */
struct field {
    const char *name;
    size_t offset;
    enum kind kind;
};
#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct tcp_info, name),                                                    \
            _Generic(((struct tcp_info *)NULL)->name, uint16_t                                     \
                     : KIND_U16, uint32_t                                                          \
                     : KIND_U32, uint64_t                                                          \
                     : KIND_U64, bool                                                              \
                     : KIND_BOOL, const char *                                                     \
                     : KIND_TEXT)       \
    }

static const struct field fields[] = {
    FIELD(local_port), FIELD(remote_port), FIELD(mss),       FIELD(path_mtu), FIELD(cwnd),
    FIELD(ssthresh),   FIELD(snd_wnd),     FIELD(rcv_wnd),   FIELD(srtt_us),  FIELD(rttvar_us),
    FIELD(rto_us),     FIELD(written),     FIELD(asked),     FIELD(sent),     FIELD(acked),
    FIELD(received),   FIELD(min_rtt_us),  FIELD(in_flight), FIELD(sacked),   FIELD(lost),
    FIELD(delivered),  FIELD(pacing_bps),  FIELD(rate_bps),  FIELD(cc),       FIELD(recovery),
    FIELD(sack),       FIELD(timestamps),  FIELD(wscale),    FIELD(ecn),      FIELD(reordering),
};

static void tell_field(FILE *out, const struct field *field, const struct tcp_info *info)
{
    const void *at = (const char *)info + field->offset;

    fprintf(out, ", \"%s\": ", field->name);
    switch (field->kind) {
    case KIND_U16:
        fprintf(out, "%u", *(const uint16_t *)at);
        break;
    case KIND_U32:
        fprintf(out, "%u", *(const uint32_t *)at);
        break;
    case KIND_U64:
        fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)at);
        break;
    case KIND_BOOL:
        fputs(*(const bool *)at ? "true" : "false", out);
        break;
    case KIND_TEXT: /* a name of ours: nothing in it needs escaping */
        fprintf(out, "\"%s\"", *(const char *const *)at);
        break;
    }
}

static void tell_row(FILE *out, const struct conns_row *row, uint32_t worker)
{
    char local[IP_ADDR_TEXT], remote[IP_ADDR_TEXT];

    fprintf(out, "{\"worker\": %u, \"state\": \"%s\", \"local\": \"%s\", \"remote\": \"%s\"",
            worker, tcp_state_name(row->tcp.state), ip_addr_format(&row->tcp.local, local),
            ip_addr_format(&row->tcp.remote, remote));
    for (size_t i = 0; i < array_len(fields); i++)
        tell_field(out, &fields[i], &row->tcp);
    if (row->has_session)
        fprintf(out,
                ", \"http\": {\"phase\": \"%s\", \"phase_ms\": %llu, \"responses\": %u, "
                "\"reads\": %u}",
                session_phase_name(row->phase), (unsigned long long)(row->phase_ns / NS_PER_MS),
                row->responses, row->reads);
    fputc('}', out);
}

/* Worker after worker, until there are rows enough. 0, or what conns_desk_ask says. */
static int tell_pages(FILE *out, struct server *server, struct query *q, struct conns_page *page)
{
    uint32_t told = 0;

    while (q->worker < server->thread_count && told < q->rows_max) {
        struct thread *t = &server->threads[q->worker];
        int rc;

        conns_page_begin(page, &q->filter, q->place, q->rows_max - told);
        rc = conns_desk_ask(&t->desk, page, t->wake_fd);
        if (rc < 0)
            return rc;
        for (uint32_t i = 0; i < page->count; i++, told++) {
            fputs(told ? ",\n" : "\n", out);
            tell_row(out, &page->rows[i], q->worker);
        }
        q->place = page->place;
        if (!page->last)
            break;
        q->worker++;
        q->place = 0;
    }
    return 0;
}

const char *admin_conns(FILE *out, struct server *server, char *query)
{
    struct query q = {0};
    const char *wrong = parse(&q, query);
    struct conns_page *page;
    int rc;

    if (wrong) {
        fputs("{\"error\": \"ask for connections=1 to 1000, and after=W.P, state=NAME or "
              "peer=ADDRESS/BITS\"}\n",
              out);
        return "400 Bad Request";
    }
    page = malloc(sizeof(*page));
    if (!page)
        return "503 Service Unavailable";
    fputs("{\"connections\": [", out);
    rc = tell_pages(out, server, &q, page);
    free(page);
    fputs("], \"next\": ", out);
    if (q.worker < server->thread_count)
        fprintf(out, "\"%u.%u\"", q.worker, q.place);
    else
        fputs("null", out);
    if (rc < 0)
        fprintf(out, ", \"error\": \"worker %u %s\"", q.worker,
                rc == -ESHUTDOWN ? "has ended" : "does not answer");
    fputs("}\n", out);
    return rc < 0 ? "503 Service Unavailable" : "200 OK";
}

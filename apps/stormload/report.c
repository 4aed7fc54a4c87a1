// SPDX-License-Identifier: BSD-2-Clause
#include "report.h"

static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
static const char *const quantile_names[] = {"p50", "p90", "p99", "p99.9", "p99.99"};

static double per_s(uint64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

static double us(uint64_t ns)
{
    return (double)ns / (double)NS_PER_US;
}

static double mean_us(const struct hist *h)
{
    return h->count ? us(h->sum_ns) / (double)h->count : 0;
}

bool report_good(const struct report *r)
{
    return engine_failures(&r->stats) == 0 && (r->active == 0 || r->stats.responses > 0);
}

/* --- for people ------------------------------------------------------------------------------- */

/* A histogram's bucket ends above every value in it: never say more than the true maximum. */
static void text_latency(FILE *out, const char *name, const struct hist *h, uint64_t max_ns)
{
    if (h->count == 0)
        return;
    fprintf(out, "  %-12s mean %.1f us", name, mean_us(h));
    for (size_t i = 0; i < array_len(quantiles); i++)
        fprintf(out, ", %s %.1f", quantile_names[i],
                us(min_u64(hist_quantile(h, quantiles[i]), max_ns)));
    if (max_ns != UINT64_MAX)
        fprintf(out, ", max %.1f", us(max_ns));
    fputc('\n', out);
}

static void text_problems(FILE *out, const struct engine_stats *s)
{
    for (int i = 0; i < FAILURE_COUNT; i++)
        if (s->failed[i])
            fprintf(out, "  failed: %llu %s: %s\n", (unsigned long long)s->failed[i],
                    failure_name(i), failure_help(i));
    for (size_t i = 400; i < array_len(s->by_status); i++)
        if (s->by_status[i])
            fprintf(out, "  status %zu: %llu\n", i, (unsigned long long)s->by_status[i]);
}

void report_text(FILE *out, const struct report *r)
{
    const struct engine_stats *s = &r->stats;

    fprintf(out, "%s, %u connections (%u active), %u worker%s, %s TCP\n", r->url, r->connections,
            r->active, r->workers, r->workers == 1 ? "" : "s",
            strcmp(r->transport, "kernel") == 0 ? "the kernel's" : "our own");
    fprintf(out, "  %llu responses, %llu bytes of bodies in %.2f s\n",
            (unsigned long long)s->responses, (unsigned long long)s->body_bytes, r->seconds);
    fprintf(out, "  %.0f responses/s, %.3f GB/s, %.0f connects/s\n",
            per_s(s->responses, r->seconds), per_s(s->body_bytes, r->seconds) / 1e9,
            per_s(r->open_connects, r->open_seconds));
    text_latency(out, "response", &s->response, s->response_max_ns);
    text_latency(out, "first byte", &s->first_byte, UINT64_MAX);
    text_latency(out, "connect", &s->connect, UINT64_MAX);
    if (s->verified)
        fprintf(out, "  %llu bodies had the right digest\n", (unsigned long long)s->verified);
    if (s->retries || s->idle_ended)
        fprintf(out, "  %llu retries, %llu idle connections ended by the server\n",
                (unsigned long long)s->retries, (unsigned long long)s->idle_ended);
    text_problems(out, s);
}

/* --- for programs ----------------------------------------------------------------------------- */

static void json_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', out);
        if ((unsigned char)*s < ' ')
            fprintf(out, "\\u%04x", *s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

static void json_latency(FILE *out, const char *name, const struct hist *h, uint64_t max_ns)
{
    fprintf(out, "  \"%s_us\": {\"count\": %llu, \"mean\": %.2f", name,
            (unsigned long long)h->count, mean_us(h));
    for (size_t i = 0; i < array_len(quantiles); i++)
        fprintf(out, ", \"%s\": %.2f", quantile_names[i],
                us(min_u64(hist_quantile(h, quantiles[i]), max_ns)));
    if (max_ns != UINT64_MAX)
        fprintf(out, ", \"max\": %.2f", us(max_ns));
    fputs("},\n", out);
}

static void json_counters(FILE *out, const struct engine_stats *s)
{
    const char *comma = "";

    for (const struct stat_desc *d = engine_stat_descs; d->name; d++) {
        uint64_t value;

        memcpy(&value, (const char *)s + d->offset, sizeof(value));
        fprintf(out, "  \"%s\": %llu,\n", d->name, (unsigned long long)value);
    }
    fprintf(out, "  \"failed\": %llu,\n  \"errors\": {", (unsigned long long)engine_failures(s));
    for (int i = 0; i < FAILURE_COUNT; i++)
        fprintf(out, "%s\"%s\": %llu", i ? ", " : "", failure_name(i),
                (unsigned long long)s->failed[i]);
    fputs("},\n  \"status\": {", out);
    for (size_t i = 0; i < array_len(s->by_status); i++)
        if (s->by_status[i]) {
            fprintf(out, "%s\"%zu\": %llu", comma, i, (unsigned long long)s->by_status[i]);
            comma = ", ";
        }
    fputs("}\n", out);
}

void report_json(FILE *out, const struct report *r)
{
    const struct engine_stats *s = &r->stats;

    fputs("{\n  \"program\": \"stormload " ATLAS_VERSION "\",\n  \"url\": ", out);
    json_string(out, r->url);
    fputs(",\n  \"transport\": ", out);
    json_string(out, r->transport);
    fprintf(out, ",\n  \"connections\": %u,\n  \"active\": %u,\n  \"workers\": %u,\n",
            r->connections, r->active, r->workers);
    fprintf(out, "  \"seconds\": %.4f,\n  \"open_seconds\": %.4f,\n", r->seconds, r->open_seconds);
    fprintf(out, "  \"responses_per_s\": %.2f,\n  \"body_bytes_per_s\": %.0f,\n",
            per_s(s->responses, r->seconds), per_s(s->body_bytes, r->seconds));
    fprintf(out, "  \"connects_per_s\": %.2f,\n", per_s(r->open_connects, r->open_seconds));
    json_latency(out, "response", &s->response, s->response_max_ns);
    json_latency(out, "first_byte", &s->first_byte, UINT64_MAX);
    json_latency(out, "connect", &s->connect, UINT64_MAX);
    json_counters(out, s);
    fputs("}\n", out);
}

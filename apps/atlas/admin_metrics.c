// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin_metrics.c - what there is to tell about the workers, and all of it for Prometheus.
 */
#include "admin_priv.h"

static const void *layer_port(const struct worker *w)
{
    return nmio_stats(w->port);
}

static const void *layer_eth(const struct worker *w)
{
    return eth_stats(w->eth);
}

static const void *layer_ip(const struct worker *w)
{
    return ip_stats(w->ip);
}

static const void *layer_tcp(const struct worker *w)
{
    return tcp_stats(w->tcp);
}

static const void *layer_disk(const struct worker *w)
{
    return diskmap_stats(w->dm);
}

static const void *layer_http(const struct worker *w)
{
    return &w->stats;
}

static const void *layer_tls(const struct worker *w)
{
    return &w->secure_stats;
}

const struct admin_layer admin_layers[] = {
    {"port", nmio_stat_descs, layer_port},    {"eth", eth_stat_descs, layer_eth},
    {"ip", ip_stat_descs, layer_ip},          {"tcp", tcp_stat_descs, layer_tcp},
    {"disk", diskmap_stat_descs, layer_disk}, {"http", worker_stat_descs, layer_http},
    {"tls", secure_stat_descs, layer_tls},    {0},
};

uint64_t admin_layer_value(const struct admin_layer *layer, const struct stat_desc *desc,
                           const struct worker *w)
{
    const void *stats = layer->stats(w);
    const void *counter = (const char *)stats + desc->offset;

    return stat_get(counter);
}

static bool is_drop(const struct stat_desc *desc)
{
    return strncmp(desc->name, "drop_", 5) == 0;
}

/* What goes up and down; everything else only counts up. */
static bool is_gauge(const struct stat_desc *desc)
{
    static const char *const gauges[] = {"inflight",          "inflight_high", "responses_active",
                                         "handshakes_active", "sessions",      "sessions_draining"};

    for (size_t i = 0; i < array_len(gauges); i++)
        if (strcmp(desc->name, gauges[i]) == 0)
            return true;
    return false;
}

static uint64_t gauge_open(const struct worker *w)
{
    const uint64_t *counts = tcp_state_counts(w->tcp);
    uint64_t open = 0;

    for (int state = 0; state < TCP_STATES; state++)
        if (state != TCP_TIME_WAIT)
            open += stat_get(&counts[state]);
    return open;
}

static uint64_t gauge_responses(const struct worker *w)
{
    return stat_get(&w->stats.responses_active);
}

static uint64_t gauge_chunks(const struct worker *w)
{
    return stat_get(&w->chunks.in_use) - (w->desk != NULL); /* the spare one serves nobody */
}

static uint64_t gauge_chunks_high(const struct worker *w)
{
    return stat_get(&w->chunks.high_water);
}

static uint64_t gauge_chunks_capacity(const struct worker *w)
{
    return w->chunks.capacity;
}

static uint64_t gauge_working_set(const struct worker *w)
{
    return stat_get(&w->chunks.high_water) * w->chunks.data_bytes;
}

static uint64_t gauge_reads(const struct worker *w)
{
    return stat_get(&diskmap_stats(w->dm)->inflight);
}

static uint64_t gauge_requests_used(const struct worker *w)
{
    return stat_get(&w->requests.in_use);
}

static uint64_t gauge_requests_high(const struct worker *w)
{
    return stat_get(&w->requests.high_water);
}

static uint64_t gauge_keys(const struct worker *w)
{
    return stat_get(&w->keys.in_use);
}

static uint64_t gauge_runs(const struct worker *w)
{
    return stat_get(&w->runs.in_use);
}

static uint64_t gauge_arena(const struct worker *w)
{
    return mem_arena_bytes(w->config.arena);
}

static uint64_t gauge_conn_bytes(const struct worker *w)
{
    return tcp_conn_bytes() + sizeof(struct session) + sizeof(void *);
}

/* Gauges that are no library's counter. */
const struct admin_gauge admin_gauges[] = {
    {"connections_open", "connections that are not closed and not in TIME-WAIT", gauge_open},
    {"responses_active", "responses not yet acknowledged to the last byte", gauge_responses},
    {"chunks_in_use", "buffers between disk and wire", gauge_chunks},
    {"chunks_high_water", "most buffers ever in use at once", gauge_chunks_high},
    {"chunks_capacity", "buffers that there are", gauge_chunks_capacity},
    {"working_set_bytes", "bytes of distinct buffers used: should fit the last-level cache",
     gauge_working_set},
    {"reads_inflight", "reads posted and not answered", gauge_reads},
    {"request_buffers_in_use", "request buffers in use", gauge_requests_used},
    {"request_buffers_high_water", "most request buffers ever in use at once", gauge_requests_high},
    {"tls_keys_in_use", "connections whose keys are expanded, because they send", gauge_keys},
    {"tls_runs_in_use", "runs of records, with their tags, not acknowledged to the last byte",
     gauge_runs},
    {"arena_bytes", "memory set aside, touched or not", gauge_arena},
    {"connection_bytes", "memory that an idle connection costs", gauge_conn_bytes},
    {0},
};

/* --- /metrics --- */

static const struct worker *worker_at(const struct server *server, uint32_t i)
{
    return server->threads[i].worker;
}

static void metric_head(FILE *out, const char *name, const char *help, const char *type)
{
    fprintf(out, "# HELP atlas_%s %s\n# TYPE atlas_%s %s\n", name, help, name, type);
}

static void metrics_layers(FILE *out, const struct server *server)
{
    for (const struct admin_layer *l = admin_layers; l->name; l++) {
        for (const struct stat_desc *d = l->descs; d->name; d++) {
            bool gauge = is_gauge(d);
            char name[96];

            if (is_drop(d))
                continue;
            snprintf(name, sizeof(name), "%s_%s%s", l->name, d->name, gauge ? "" : "_total");
            metric_head(out, name, d->help, gauge ? "gauge" : "counter");
            for (uint32_t i = 0; i < server->thread_count; i++)
                fprintf(out, "atlas_%s{worker=\"%u\"} %llu\n", name, i,
                        (unsigned long long)admin_layer_value(l, d, worker_at(server, i)));
        }
    }
}

static void metrics_drops(FILE *out, const struct server *server)
{
    metric_head(out, "drops_total", "what was dropped or refused, by cause", "counter");
    for (const struct admin_layer *l = admin_layers; l->name; l++) {
        for (const struct stat_desc *d = l->descs; d->name; d++) {
            uint64_t sum = 0;

            if (!is_drop(d))
                continue;
            for (uint32_t i = 0; i < server->thread_count; i++)
                sum += admin_layer_value(l, d, worker_at(server, i));
            fprintf(out, "atlas_drops_total{layer=\"%s\",cause=\"%s\"} %llu\n", l->name,
                    d->name + strlen("drop_"), (unsigned long long)sum);
        }
    }
}

static void metrics_states(FILE *out, const struct server *server)
{
    metric_head(out, "connections", "connections by state of RFC 9293", "gauge");
    for (int state = TCP_SYN_SENT; state < TCP_STATES; state++) {
        uint64_t sum = 0;

        for (uint32_t i = 0; i < server->thread_count; i++)
            sum += stat_get(&tcp_state_counts(worker_at(server, i)->tcp)[state]);
        fprintf(out, "atlas_connections{state=\"%s\"} %llu\n", tcp_state_name(state),
                (unsigned long long)sum);
    }
}

static void metrics_requests(FILE *out, const struct server *server)
{
    metric_head(out, "requests_total", "responses begun, by status", "counter");
    for (size_t status = 0; status < array_len(worker_at(server, 0)->stats.by_status); status++) {
        uint64_t sum = 0;

        for (uint32_t i = 0; i < server->thread_count; i++)
            sum += stat_get(&worker_at(server, i)->stats.by_status[status]);
        if (sum)
            fprintf(out, "atlas_requests_total{code=\"%zu\"} %llu\n", status,
                    (unsigned long long)sum);
    }
}

static void metrics_gauges(FILE *out, const struct server *server)
{
    for (const struct admin_gauge *g = admin_gauges; g->name; g++) {
        metric_head(out, g->name, g->help, "gauge");
        for (uint32_t i = 0; i < server->thread_count; i++)
            fprintf(out, "atlas_%s{worker=\"%u\"} %llu\n", g->name, i,
                    (unsigned long long)g->value(worker_at(server, i)));
    }
}

static void metrics_bytes(FILE *out, const struct server *server)
{
    uint64_t sent = 0;

    for (uint32_t i = 0; i < server->thread_count; i++)
        sent += stat_get(&tcp_stats(worker_at(server, i)->tcp)->bytes_out);
    metric_head(out, "bytes_sent_total", "payload bytes sent, those sent again included",
                "counter");
    fprintf(out, "atlas_bytes_sent_total %llu\n", (unsigned long long)sent);
}

static void metrics_disk_latency(FILE *out, const struct server *server)
{
    struct hist all = {0};

    for (uint32_t i = 0; i < server->thread_count; i++)
        hist_merge(&all, diskmap_latency(worker_at(server, i)->dm));
    metric_head(out, "disk_latency_seconds", "from a read's posting to its return", "histogram");
    for (uint64_t ns = 16 * NS_PER_US; ns <= 16 * NS_PER_S; ns *= 2)
        fprintf(out, "atlas_disk_latency_seconds_bucket{le=\"%.6f\"} %llu\n", (double)ns * 1e-9,
                (unsigned long long)hist_count_below(&all, ns));
    fprintf(out, "atlas_disk_latency_seconds_bucket{le=\"+Inf\"} %llu\n",
            (unsigned long long)all.count);
    fprintf(out, "atlas_disk_latency_seconds_sum %.9f\natlas_disk_latency_seconds_count %llu\n",
            (double)all.sum_ns * 1e-9, (unsigned long long)all.count);
}

void admin_metrics(FILE *out, const struct server *server)
{
    metrics_states(out, server);
    metrics_requests(out, server);
    metrics_bytes(out, server);
    metrics_gauges(out, server);
    metrics_disk_latency(out, server);
    metrics_drops(out, server);
    metrics_layers(out, server);
}

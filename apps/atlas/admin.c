// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin.c - /metrics, /status and /healthz on an ordinary socket, from a thread of its own.
 *
 * It reads the workers' counters while they run (stats.h) and touches nothing else of theirs. One
 * client at a time: operators and Prometheus are patient, and a client that is not quick is cut
 * off.
 */
#include "serve.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_S 2
#define REQUEST_MAX      2048

struct admin {
    const struct server *server;
    int listen_fd, stop_fd;
    pthread_t id;
};

/* --- what there is to tell
 * ------------------------------------------------------------------------ */

struct layer {
    const char *name;
    const struct stat_desc *descs;
    const void *(*stats)(const struct worker *w);
};

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

static const struct layer layers[] = {
    {"port", nmio_stat_descs, layer_port},    {"eth", eth_stat_descs, layer_eth},
    {"ip", ip_stat_descs, layer_ip},          {"tcp", tcp_stat_descs, layer_tcp},
    {"disk", diskmap_stat_descs, layer_disk}, {"http", worker_stat_descs, layer_http},
};

static uint64_t value_of(const struct layer *layer, const struct stat_desc *desc,
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
    static const char *const gauges[] = {"inflight", "inflight_high", "responses_active",
                                         "sessions", "sessions_draining"};

    for (size_t i = 0; i < array_len(gauges); i++)
        if (strcmp(desc->name, gauges[i]) == 0)
            return true;
    return false;
}

/* Gauges that are no library's counter. */
struct gauge {
    const char *name, *help;
    uint64_t (*value)(const struct worker *w);
};

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
    return stat_get(&w->chunks.in_use);
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

static uint64_t gauge_arena(const struct worker *w)
{
    return mem_arena_bytes(w->config.arena);
}

static uint64_t gauge_conn_bytes(const struct worker *w)
{
    return tcp_conn_bytes() + sizeof(struct session) + sizeof(void *);
}

static const struct gauge gauges[] = {
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
    {"arena_bytes", "memory set aside, touched or not", gauge_arena},
    {"connection_bytes", "memory that an idle connection costs", gauge_conn_bytes},
};

/* --- /metrics
 * --------------------------------------------------------------------------------------- */

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
    for (size_t l = 0; l < array_len(layers); l++) {
        for (const struct stat_desc *d = layers[l].descs; d->name; d++) {
            bool gauge = is_gauge(d);
            char name[96];

            if (is_drop(d))
                continue;
            snprintf(name, sizeof(name), "%s_%s%s", layers[l].name, d->name, gauge ? "" : "_total");
            metric_head(out, name, d->help, gauge ? "gauge" : "counter");
            for (uint32_t i = 0; i < server->thread_count; i++)
                fprintf(out, "atlas_%s{worker=\"%u\"} %llu\n", name, i,
                        (unsigned long long)value_of(&layers[l], d, worker_at(server, i)));
        }
    }
}

static void metrics_drops(FILE *out, const struct server *server)
{
    metric_head(out, "drops_total", "what was dropped or refused, by cause", "counter");
    for (size_t l = 0; l < array_len(layers); l++) {
        for (const struct stat_desc *d = layers[l].descs; d->name; d++) {
            uint64_t sum = 0;

            if (!is_drop(d))
                continue;
            for (uint32_t i = 0; i < server->thread_count; i++)
                sum += value_of(&layers[l], d, worker_at(server, i));
            fprintf(out, "atlas_drops_total{layer=\"%s\",cause=\"%s\"} %llu\n", layers[l].name,
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
    for (size_t g = 0; g < array_len(gauges); g++) {
        metric_head(out, gauges[g].name, gauges[g].help, "gauge");
        for (uint32_t i = 0; i < server->thread_count; i++)
            fprintf(out, "atlas_%s{worker=\"%u\"} %llu\n", gauges[g].name, i,
                    (unsigned long long)gauges[g].value(worker_at(server, i)));
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

static void metrics(FILE *out, const struct server *server)
{
    metrics_states(out, server);
    metrics_requests(out, server);
    metrics_bytes(out, server);
    metrics_gauges(out, server);
    metrics_disk_latency(out, server);
    metrics_drops(out, server);
    metrics_layers(out, server);
}

/* --- /status
 * ------------------------------------------------------------------------------------------ */

static void status_string(FILE *out, const char *s)
{
    if (!s) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(out, "\\u%04x", *s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

static void status_config(FILE *out, const struct serve_options *o)
{
    char addr[IP_ADDR_TEXT];

    fputs("\"config\": {\"port\": ", out);
    status_string(out, o->port);
    fprintf(out, ", \"addresses\": [");
    for (uint32_t i = 0; i < o->addr_count; i++)
        fprintf(out, "%s\"%s/%u\"", i ? ", " : "", ip_addr_format(&o->addrs[i].addr, addr),
                o->addrs[i].bits);
    fputs("], \"volumes\": [", out);
    for (uint32_t i = 0; i < o->volume_count; i++) {
        fputs(i ? ", " : "", out);
        status_string(out, o->volumes[i]);
    }
    fputs("], \"root\": ", out);
    status_string(out, o->root);
    fprintf(out,
            ", \"listen\": %u, \"workers\": %u, \"poll\": \"%s\", \"cc\": \"%s\", "
            "\"read_kib\": %u, \"connections_max\": %u}",
            o->listen_port, o->workers, o->busy_poll ? "busy" : "adaptive", o->cc, o->read_kib,
            o->limits.conns);
}

static void status_worker(FILE *out, const struct worker *w)
{
    const struct hist *latency = diskmap_latency(w->dm);
    const uint64_t *counts = tcp_state_counts(w->tcp);

    fputs("{\"connections\": {", out);
    for (int state = TCP_SYN_SENT; state < TCP_STATES; state++)
        fprintf(out, "%s\"%s\": %llu", state > TCP_SYN_SENT ? ", " : "", tcp_state_name(state),
                (unsigned long long)stat_get(&counts[state]));
    fprintf(out, "}, \"disk_latency_us\": {\"p50\": %llu, \"p99\": %llu, \"p999\": %llu}",
            (unsigned long long)hist_quantile(latency, 0.5) / 1000,
            (unsigned long long)hist_quantile(latency, 0.99) / 1000,
            (unsigned long long)hist_quantile(latency, 0.999) / 1000);
    for (size_t g = 0; g < array_len(gauges); g++)
        fprintf(out, ", \"%s\": %llu", gauges[g].name, (unsigned long long)gauges[g].value(w));
    for (size_t l = 0; l < array_len(layers); l++) {
        fprintf(out, ", \"%s\": {", layers[l].name);
        for (const struct stat_desc *d = layers[l].descs; d->name; d++)
            fprintf(out, "%s\"%s\": %llu", d == layers[l].descs ? "" : ", ", d->name,
                    (unsigned long long)value_of(&layers[l], d, w));
        fputc('}', out);
    }
    fputc('}', out);
}

static bool is_draining(const struct server *server)
{
    return __atomic_load_n(&server->draining, __ATOMIC_RELAXED);
}

static void status(FILE *out, const struct server *server)
{
    fprintf(out, "{\"program\": \"atlas\", \"version\": \"%s\", \"draining\": %s, ", ATLAS_VERSION,
            is_draining(server) ? "true" : "false");
    status_config(out, &server->options);
    fprintf(out, ", \"objects\": %llu, \"workers\": [",
            (unsigned long long)diskmap_set_objects(server->set));
    for (uint32_t i = 0; i < server->thread_count; i++) {
        fputs(i ? ", " : "", out);
        status_worker(out, worker_at(server, i));
    }
    fputs("]}\n", out);
}

/* --- asking and answering
 * ------------------------------------------------------------------------------ */

static const char *answer(FILE *body, const struct server *server, const char *path,
                          const char **type)
{
    *type = "text/plain; version=0.0.4; charset=utf-8";
    if (strcmp(path, "/metrics") == 0) {
        metrics(body, server);
    } else if (strcmp(path, "/status") == 0) {
        *type = "application/json";
        status(body, server);
    } else if (strcmp(path, "/healthz") == 0) {
        fputs(is_draining(server) ? "draining\n" : "ok\n", body);
        return is_draining(server) ? "503 Service Unavailable" : "200 OK";
    } else {
        fputs("there are /metrics, /status and /healthz\n", body);
        return "404 Not Found";
    }
    return "200 OK";
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* gone, or too slow: its loss */
        data += n;
        len -= (size_t)n;
    }
}

/* The request's head, to the empty line: false if it is none that we understand. */
static bool read_request(int fd, char *buf, char *path)
{
    size_t len = 0;

    while (len < REQUEST_MAX - 1) {
        ssize_t n = recv(fd, buf + len, REQUEST_MAX - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        buf[len] = '\0';
        if (strstr(buf, "\r\n\r\n"))
            return sscanf(buf, "GET %255[^ ?]", path) == 1;
    }
    return false;
}

static void talk(const struct admin *admin, int fd)
{
    struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    char request[REQUEST_MAX], path[256], head[256];
    const char *type, *status_line;
    char *body = NULL;
    size_t body_len = 0;
    FILE *out;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (!read_request(fd, request, path))
        return;
    out = open_memstream(&body, &body_len);
    if (!out)
        return;
    status_line = answer(out, admin->server, path, &type);
    fclose(out);
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             status_line, type, body_len);
    send_all(fd, head, strlen(head));
    send_all(fd, body, body_len);
    free(body);
}

static void *admin_main(void *arg)
{
    struct admin *admin = arg;
    struct pollfd fds[2] = {{.fd = admin->listen_fd, .events = POLLIN},
                            {.fd = admin->stop_fd, .events = POLLIN}};

    for (;;) {
        int fd;

        if (poll(fds, array_len(fds), -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        fd = accept4(admin->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        talk(admin, fd);
        close(fd);
    }
}

static int listen_on(const char *addr, uint16_t port)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool v4 = inet_pton(AF_INET, addr, &in4.sin_addr) == 1;
    int fd, one = 1, rc;

    if (!v4 && inet_pton(AF_INET6, addr, &in6.sin6_addr) != 1)
        return -EINVAL;
    fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    rc = v4 ? bind(fd, (struct sockaddr *)&in4, sizeof(in4))
            : bind(fd, (struct sockaddr *)&in6, sizeof(in6));
    if (rc < 0 || listen(fd, 16) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int admin_open(struct admin **out, const struct server *server, const char *addr, uint16_t port)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    int rc;

    if (!admin)
        return -ENOMEM;
    admin->server = server;
    admin->stop_fd = eventfd(0, EFD_CLOEXEC);
    admin->listen_fd = listen_on(addr, port);
    rc = admin->listen_fd;
    if (rc < 0) {
        log_error("--admin %s:%u: %s: choose an address of this machine and a free port", addr,
                  port, strerror(-rc));
        goto close_stop;
    }
    rc = -pthread_create(&admin->id, NULL, admin_main, admin);
    if (rc < 0)
        goto close_listen;
    *out = admin;
    return 0;

close_listen:
    close(admin->listen_fd);
close_stop:
    close(admin->stop_fd);
    free(admin);
    return rc;
}

void admin_close(struct admin *admin)
{
    uint64_t one = 1;

    if (write(admin->stop_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(admin->id, NULL);
    close(admin->listen_fd);
    close(admin->stop_fd);
    free(admin);
}

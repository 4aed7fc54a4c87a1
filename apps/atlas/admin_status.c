// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin_status.c - /status: the configuration and every counter, as JSON.
 */
#include "admin_priv.h"

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
            ", \"listen\": %u, \"tls_listen\": %u, \"certificates\": %u, "
            "\"redirect_https\": %s, \"workers\": %u, \"poll\": \"%s\", \"cc\": \"%s\", "
            "\"read_kib\": %u, \"connections_max\": %u}",
            o->listen_port, o->tls_port, o->identity_count, o->redirect_https ? "true" : "false",
            o->workers, o->busy_poll ? "busy" : "adaptive", o->cc, o->read_kib, o->limits.conns);
}

static void status_disks(FILE *out, const struct server *server)
{
    const char *separator = "";
    struct diskmap_disk disk;

    fputs(", \"disks\": [", out);
    for (uint32_t i = 0; i < server->options.volume_count; i++) {
        if (!diskmap_set_disk(server->set, i, &disk))
            continue;
        fprintf(out, "%s{\"volume\": ", separator);
        status_string(out, server->options.volumes[i]);
        fputs(", \"model\": ", out);
        status_string(out, disk.model);
        fputs(", \"serial\": ", out);
        status_string(out, disk.serial);
        fprintf(out, ", \"namespace\": %u, \"bytes\": %llu, \"resets\": %llu, \"lost\": %s}",
                disk.ns_id, (unsigned long long)disk.bytes, (unsigned long long)disk.resets,
                disk.lost ? "true" : "false");
        separator = ", ";
    }
    fputc(']', out);
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
    for (const struct admin_gauge *g = admin_gauges; g->name; g++)
        fprintf(out, ", \"%s\": %llu", g->name, (unsigned long long)g->value(w));
    for (const struct admin_layer *l = admin_layers; l->name; l++) {
        fprintf(out, ", \"%s\": {", l->name);
        for (const struct stat_desc *d = l->descs; d->name; d++)
            fprintf(out, "%s\"%s\": %llu", d == l->descs ? "" : ", ", d->name,
                    (unsigned long long)admin_layer_value(l, d, w));
        fputc('}', out);
    }
    fputc('}', out);
}

bool admin_is_draining(const struct server *server)
{
    return __atomic_load_n(&server->draining, __ATOMIC_RELAXED);
}

void admin_status(FILE *out, const struct server *server)
{
    fprintf(out, "{\"program\": \"atlas\", \"version\": \"%s\", \"draining\": %s, ", ATLAS_VERSION,
            admin_is_draining(server) ? "true" : "false");
    status_config(out, &server->options);
    fprintf(out, ", \"objects\": %llu", (unsigned long long)diskmap_set_objects(server->set));
    status_disks(out, server);
    fputs(", \"workers\": [", out);
    for (uint32_t i = 0; i < server->thread_count; i++) {
        fputs(i ? ", " : "", out);
        status_worker(out, server->threads[i].worker);
    }
    fputs("]}\n", out);
}

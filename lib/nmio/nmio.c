// SPDX-License-Identifier: BSD-2-Clause
#include "nmio/nmio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "nmio/priv.h"

#define WHY_MAX 256

const struct stat_desc nmio_stat_descs[] = {NMIO_STATS(STAT_DESC, struct nmio_stats){0}};
const struct stat_desc nmio_fault_stat_descs[] = {
    NMIO_FAULT_STATS(STAT_DESC, struct nmio_fault_stats){0}};

int nmio_fail(const char **why, int err, const char *fmt, ...)
{
    static _Thread_local char text[WHY_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (why)
        *why = text;
    return err;
}

/* The part behind "kind:", or NULL. */
static const char *behind(const char *spec, const char *kind)
{
    size_t len = strlen(kind);

    return strncmp(spec, kind, len) == 0 ? spec + len : NULL;
}

/* "OPTIONS/SPEC" behind "fault:" */
static int open_fault(struct nmio_port **out, const char *rest, const struct nmio_config *config,
                      const char **why)
{
    const char *slash = strchr(rest, '/');
    struct nmio_fault_config faults;
    struct nmio_port *under;
    int err;

    if (!slash)
        return nmio_fail(why, -EINVAL, "fault: needs a port below it: fault:%s/tap:NAME", rest);
    err = nmio_fault_parse(&faults, rest, (size_t)(slash - rest), why);
    if (err)
        return err;
    err = nmio_open(&under, slash + 1, config, why);
    if (err)
        return err;
    err = nmio_fault_open(out, under, config->arena, &faults);
    if (err) {
        nmio_close(under);
        return nmio_fail(why, err, "fault: no memory left in the arena: give it more");
    }
    return 0;
}

int nmio_open(struct nmio_port **out, const char *spec, const struct nmio_config *config,
              const char **why)
{
    const char *rest;

    if (config->queue >= max_u32(config->queue_count, 1))
        return nmio_fail(why, -EINVAL, "queue %u of %u does not exist", config->queue,
                         config->queue_count);
    rest = behind(spec, "tap:");
    if (rest)
        return nmio_tap_open(out, rest, config, why);
    rest = behind(spec, "fault:");
    if (rest)
        return open_fault(out, rest, config, why);
    return nmio_fail(why, -EINVAL,
                     "no such port: %.100s (there are tap:NAME and fault:OPTIONS/PORT)", spec);
}

void nmio_close(struct nmio_port *port)
{
    if (port)
        port->ops->close(port);
}

uint32_t nmio_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max, uint64_t now_ns)
{
    uint32_t n = port->ops->rx(port, pkts, min_u32(max, NMIO_BATCH), now_ns);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++)
        bytes += pkts[i].len;
    stat_add(&port->stats.rx_packets, n);
    stat_add(&port->stats.rx_bytes, bytes);
    return n;
}

void nmio_rx_done(struct nmio_port *port)
{
    port->ops->rx_done(port);
}

struct nmio_frame *nmio_frame(struct nmio_port *port)
{
    return port->ops->frame(port);
}

void nmio_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    assert(frame->header_len <= NMIO_HEADER_MAX);
    assert(frame->slice_count <= port->caps.slices_max);
    assert(!frame->csum_start || port->caps.tx_csum);
    assert(!frame->gso_size || (port->caps.gso_bytes && frame->csum_start));
    port->ops->tx(port, frame, now_ns);
}

void nmio_flush(struct nmio_port *port, uint64_t now_ns)
{
    port->ops->flush(port, now_ns);
}

void nmio_reap(struct nmio_port *port)
{
    port->ops->reap(port);
}

const struct nmio_caps *nmio_caps(const struct nmio_port *port)
{
    return &port->caps;
}

const struct nmio_stats *nmio_stats(const struct nmio_port *port)
{
    return &port->stats;
}

int nmio_fd(const struct nmio_port *port)
{
    return port->fd;
}

uint64_t nmio_next_ns(const struct nmio_port *port)
{
    return port->ops->next_ns(port);
}

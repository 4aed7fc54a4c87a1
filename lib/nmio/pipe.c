// SPDX-License-Identifier: BSD-2-Clause
/*
 * pipe.c - two ends in memory.
 *
 * A frame is copied in one piece into a buffer of the receiving end when it is sent, so that
 * the sender's chunks are free at once and what the receiver changes is nobody else's. It
 * can be received from then on, at whatever time: a pipe has no clock.
 */
#include <errno.h>
#include <stdlib.h>

#include "nmio/priv.h"

struct pipe_end {
    struct nmio_port port;
    struct pipe_end *peer; /* NULL: it was closed */
    struct nmio_pkt *ring; /* arrived, not received yet; its oldest at `head` */
    uint32_t depth;
    uint32_t head;
    uint32_t count;
    uint32_t lent_count;
    uint8_t *lent[NMIO_BATCH]; /* received, not given back yet */
    struct mem_pool buffers;
    struct nmio_frame frame;
};

static struct pipe_end *end_of(const struct nmio_port *port)
{
    return container_of(port, struct pipe_end, port);
}

static uint32_t pipe_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max,
                        uint64_t now_ns)
{
    struct pipe_end *end = end_of(port);
    uint32_t n = 0;

    assert(end->lent_count == 0);
    for (; n < max && end->count; n++, end->count--) {
        pkts[n] = end->ring[end->head];
        end->lent[n] = pkts[n].data;
        end->head = (end->head + 1) % end->depth;
    }
    end->lent_count = n;
    return n;
}

static void pipe_rx_done(struct nmio_port *port)
{
    struct pipe_end *end = end_of(port);

    /* The one received first is taken next. */
    while (end->lent_count)
        mem_pool_put(&end->buffers, end->lent[--end->lent_count]);
}

static struct nmio_frame *pipe_frame(struct nmio_port *port)
{
    return frame_blank(&end_of(port)->frame);
}

static void deliver(struct pipe_end *to, const struct nmio_frame *frame, uint32_t len)
{
    uint8_t *data = mem_pool_get(&to->buffers);

    assert(data); /* there are as many as can be under way and lent together */
    frame_copy(data, frame);
    to->ring[(to->head + to->count++) % to->depth] = (struct nmio_pkt){
        .data = data,
        .len = len,
        .flags = frame->csum_start ? NMIO_PKT_CSUM_OK : 0,
        .gso_size = frame->gso_size,
    };
}

static void pipe_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    struct pipe_end *end = end_of(port), *peer = end->peer;
    uint32_t len = frame_len(frame);

    if (!peer || len > peer->buffers.item_bytes)
        stat_inc(&port->stats.drop_tx_error);
    else if (peer->count == peer->depth)
        stat_inc(&port->stats.drop_tx_full);
    else {
        deliver(peer, frame, len);
        count_sent(port, len);
    }
    frame_release(frame);
}

static void pipe_flush(struct nmio_port *port, uint64_t now_ns)
{
}

static void pipe_reap(struct nmio_port *port)
{
}

static uint64_t pipe_next_ns(const struct nmio_port *port)
{
    return end_of(port)->count ? 0 : UINT64_MAX;
}

static void pipe_close(struct nmio_port *port)
{
    struct pipe_end *end = end_of(port);

    if (end->peer)
        end->peer->peer = NULL;
    free(end);
}

static const struct nmio_ops pipe_ops = {
    .rx = pipe_rx,
    .rx_done = pipe_rx_done,
    .frame = pipe_frame,
    .tx = pipe_tx,
    .flush = pipe_flush,
    .reap = pipe_reap,
    .next_ns = pipe_next_ns,
    .close = pipe_close,
};

static struct pipe_end *end_new(struct mem_arena *arena, const struct nmio_pipe_config *config)
{
    uint32_t bytes = max_u32(config->caps.mtu, config->caps.gso_bytes) + ETH_HEADER_MAX;
    struct pipe_end *end = calloc(1, sizeof(*end));

    if (!end)
        return NULL;
    end->port = (struct nmio_port){.ops = &pipe_ops, .caps = config->caps, .fd = -1};
    end->depth = config->depth;
    end->ring = mem_arena_alloc(arena, config->depth * sizeof(*end->ring), CACHE_LINE);
    if (!end->ring || mem_pool_init(&end->buffers, arena, bytes, config->depth + NMIO_BATCH) < 0) {
        free(end);
        return NULL;
    }
    return end;
}

int nmio_pipe_open(struct nmio_port *ends[2], struct mem_arena *arena,
                   const struct nmio_pipe_config *config)
{
    struct pipe_end *a, *b;

    if (!config->depth || config->depth > UINT32_MAX - NMIO_BATCH || !config->caps.mtu ||
        config->caps.mtu > IP_BYTES_MAX || config->caps.gso_bytes > IP_BYTES_MAX ||
        !config->caps.slices_max || config->caps.slices_max > NMIO_SLICES_MAX)
        return -EINVAL;
    a = end_new(arena, config);
    b = end_new(arena, config);
    if (!a || !b) {
        free(a);
        free(b);
        return -ENOMEM;
    }
    a->peer = b;
    b->peer = a;
    b->port.caps.mac[5] ^= 1; /* each end is a station of its own */
    ends[0] = &a->port;
    ends[1] = &b->port;
    return 0;
}

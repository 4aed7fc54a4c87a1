// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the files of nmio share: a port's first member, its verbs, and help with frames.
 *
 * A port is a struct whose first member is struct nmio_port. nmio.c counts what is received;
 * what is sent a port counts itself, since only it knows whether the frame left.
 */
#ifndef NMIO_PRIV_H
#define NMIO_PRIV_H

#include "nmio/nmio.h"

#define ETH_HEADER_MAX 18 /* with one VLAN tag */
/* IPv6's length does not count its own header. */
#define IP_BYTES_MAX    (65535 + 40)
#define FRAME_BYTES_MAX (ETH_HEADER_MAX + IP_BYTES_MAX)

struct nmio_ops {
    uint32_t (*rx)(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max, uint64_t now_ns);
    void (*rx_done)(struct nmio_port *port);
    struct nmio_frame *(*frame)(struct nmio_port *port);
    void (*tx)(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns);
    void (*flush)(struct nmio_port *port, uint64_t now_ns);
    void (*reap)(struct nmio_port *port);
    uint64_t (*next_ns)(const struct nmio_port *port);
    void (*close)(struct nmio_port *port);
};

struct nmio_port {
    const struct nmio_ops *ops;
    struct nmio_stats stats;
    /* cold: */
    struct nmio_caps caps;
    int fd;
};

/* Writes the sentence for *why (which may be NULL) into the thread's own memory; returns err. */
int nmio_fail(const char **why, int err, const char *fmt, ...) printf_like(3, 4);

must_check int nmio_tap_open(struct nmio_port **out, const char *name,
                             const struct nmio_config *config, const char **why);
/* "loss=0.01,seed=7" */
must_check int nmio_fault_parse(struct nmio_fault_config *config, const char *options, size_t len,
                                const char **why);

static inline struct nmio_frame *frame_blank(struct nmio_frame *frame)
{
    memset(frame, 0, offsetof(struct nmio_frame, slices));
    return frame;
}

static inline uint32_t frame_len(const struct nmio_frame *frame)
{
    uint32_t len = frame->header_len;

    for (unsigned i = 0; i < frame->slice_count; i++)
        len += frame->slices[i].len;
    return len;
}

/* The whole frame in one piece; `to` has room for frame_len bytes. */
static inline void frame_copy(uint8_t *to, const struct nmio_frame *frame)
{
    memcpy(to, frame->header, frame->header_len);
    to += frame->header_len;
    for (unsigned i = 0; i < frame->slice_count; i++) {
        memcpy(to, frame->slices[i].data, frame->slices[i].len);
        to += frame->slices[i].len;
    }
}

/* Nobody will read the frame's bytes again. */
static inline void frame_release(struct nmio_frame *frame)
{
    for (unsigned i = 0; i < frame->slice_count; i++)
        if (frame->slices[i].owner)
            mem_chunk_put(frame->slices[i].owner);
    frame->slice_count = 0;
}

static inline void count_sent(struct nmio_port *port, uint32_t bytes)
{
    stat_inc(&port->stats.tx_packets);
    stat_add(&port->stats.tx_bytes, bytes);
}

#endif

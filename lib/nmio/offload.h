// SPDX-License-Identifier: BSD-2-Clause
/*
 * offload.h - what a network card does with GSO frames and partial checksums, done in software.
 *
 *     nmio_cut_start(&cut, frame, len, gso_size, complete);
 *     while ((n = nmio_cut_next(&cut, out)))
 *         use(out, n);
 *
 * A frame that is not a GSO frame comes out once, with its TCP or UDP checksum computed if
 * `complete` says so. What is not understood (other protocols, fragments, IPv6 with extension
 * headers, lengths that contradict each other) comes out once, unchanged.
 */
#ifndef NMIO_OFFLOAD_H
#define NMIO_OFFLOAD_H

#include "nmio/priv.h"

struct nmio_cut {
    uint32_t largest;     /* public: no packet that comes out is longer */
    const uint8_t *frame; /* private: */
    uint32_t len;
    uint32_t ip_at;
    uint32_t transport_at;
    uint32_t payload_at;
    uint32_t end;           /* of the IP packet; what follows is padding */
    uint32_t segment_bytes; /* 0: the frame comes out in one piece */
    uint32_t taken;         /* payload bytes that have come out */
    uint16_t index;
    uint8_t protocol; /* 0: not understood */
    bool ip6;
    bool complete;
    bool done;
};

void nmio_cut_start(struct nmio_cut *cut, const uint8_t *frame, uint32_t len, uint32_t gso_size,
                    bool complete);
/* How many packets are still to come. */
uint32_t nmio_cut_left(const struct nmio_cut *cut);
/* The next packet's length, 0 at the end. */
uint32_t nmio_cut_next(struct nmio_cut *cut, uint8_t *out);

/* Completes a partial checksum of a frame in one piece, as csum_start and csum_offset ask for. */
void nmio_csum_complete(uint8_t *frame, uint32_t len, uint32_t csum_start, uint32_t csum_offset);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * draw.h - what the peer sends next: something that a peer would send, or something at the edges.
 */
#ifndef MODEL_DRAW_H
#define MODEL_DRAW_H

#include "base/rand.h"
#include "model.h"

/* How the peer of this run is, and its clock. */
struct draw {
    struct rand *rand;
    uint64_t now_ns;
    bool offers_ts, offers_scale, offers_sack;
    uint8_t scale;
    uint16_t mss; /* 0: its SYN names none */
    uint32_t ts_base;
    bool generous; /* windows are large */
};

void draw_peer(struct draw *draw, struct rand *rand);
/* A move that brings the conversation on, in the state of `m`. False: there is none. */
bool draw_legal(struct draw *draw, const struct model *m, struct segment *seg);
/* Anything, at the edges more often than elsewhere. */
void draw_any(struct draw *draw, const struct model *m, struct segment *seg);
/* The peer acknowledges everything, fills every gap up to `furthest` and ends its stream. */
void draw_last(struct draw *draw, const struct model *m, uint32_t furthest, struct segment *seg);
/* Where the text ends that the peer has sent ahead of a gap, or a window update was seen. */
uint32_t draw_furthest(const struct model *m);
/* Where the text of the segment stands in the peer's stream. */
uint32_t draw_offset(const struct model *m, const struct segment *seg);

#endif

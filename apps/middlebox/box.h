// SPDX-License-Identifier: BSD-2-Clause
/*
 * box.h - the forwarder: two ports, a path from each to the other, and the packets under way.
 *
 * It is a bridge of two ports: every Ethernet frame goes from one side to the other unchanged,
 * so that both sides are one link. On the way a packet is copied once, from the port's buffer into
 * memory of the box, where GSO frames are cut into the packets that they stand for and checksums
 * that were left out are computed: each packet is delayed, queued and lost for itself. It waits in
 * one wheel for its time, then it is a frame of the other port.
 *
 *     box_receive(box, now_ns);       take what arrived, decide, put it into the wheel
 *     box_send(box, now_ns);          send what is due
 *     box_next_ns(box)                how long there is nothing to send
 *
 * Frames that are not IP, and neighbour discovery, belong to the link: they are not impaired, and
 * leave in the next box_send.
 *
 * One thread; no clock of its own. Nothing else may receive from or send to the ports.
 */
#ifndef MIDDLEBOX_BOX_H
#define MIDDLEBOX_BOX_H

#include "base/hist.h"
#include "nmio/nmio.h"
#include "path.h"
#include "wheel.h"

struct box_config {
    struct nmio_port *left, *right; /* taken over: box_close closes them */
    struct mem_arena *arena;
    struct path_settings settings[DIRECTIONS]; /* checked */
    uint64_t seed;
    bool flows_by_order;
    uint32_t packets; /* how many may be under way */
    uint32_t mtu;     /* of the larger port */
};

struct box;

/* What the arena must have left for it. */
size_t box_arena_bytes(const struct box_config *config);
/* -ENOMEM; the ports are then still the caller's. */
must_check int box_open(struct box **out, const struct box_config *config, uint64_t now_ns);
void box_close(struct box *box);

/* Takes a batch from each port. True: there may be more. */
bool box_receive(struct box *box, uint64_t now_ns);
void box_send(struct box *box, uint64_t now_ns);
uint64_t box_next_ns(const struct box *box);
/* Packets under way. */
uint64_t box_waiting(const struct box *box);

const struct path *box_path(const struct box *box, enum direction direction);
const struct nmio_port *box_port(const struct box *box, enum direction towards);
const struct flow_table *box_flows(const struct box *box);
const struct mem_pool *box_pool(const struct box *box);
/* By how much packets left later than they were due: the wheel's tick, and what the machine added.
 */
const struct hist *box_lateness(const struct box *box);

#endif

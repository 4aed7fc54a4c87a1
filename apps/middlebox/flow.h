// SPDX-License-Identifier: BSD-2-Clause
/*
 * flow.h - which flow a packet belongs to, and what is remembered of it.
 *
 * A flow is two addresses, a protocol and, for TCP and UDP, two ports; both directions are the same
 * flow. Fragments and other protocols go by addresses and protocol alone.
 *
 * Chance is drawn from the seed, the flow's `fate` and the number of the packet in its direction of
 * the flow, and from nothing else. So what happens to a flow's packets does not hang on when they
 * came or what other flows did meanwhile, and a run with the same seed and the same packets loses
 * the same packets. The fate is made of addresses and ports, or, if so configured, of the order in
 * which flows of its protocol appeared: then a client that binds another port meets the same
 * network again.
 *
 * The table has a fixed size. It forgets the flow that was quiet for longest among those which
 * share a place with a new one (counted); a forgotten flow that comes back keeps its delay, except
 * where fates go by order, and its packets are numbered anew.
 */
#ifndef MIDDLEBOX_FLOW_H
#define MIDDLEBOX_FLOW_H

#include "mem/mem.h"

enum direction {
    TO_RIGHT,
    TO_LEFT,
    DIRECTIONS,
};

enum frame_kind {
    FRAME_LINK, /* it belongs to the link, not to a path: no IP, or neighbours and groups */
    FRAME_IP4,
    FRAME_IP6,
};

struct frame_info {
    enum frame_kind kind;
    /* Unset for FRAME_LINK: */
    uint32_t ip_at;    /* where the IP header begins: all of it is there */
    uint64_t flow_key; /* not 0 */
    uint8_t proto;
};

/* Reads a frame's headers, none of which is trusted: what makes no sense is FRAME_LINK. */
void frame_parse(struct frame_info *info, const uint8_t *frame, uint32_t len, uint64_t seed);

struct flow {
    uint64_t key; /* 0: this place is free */
    uint64_t fate;
    uint32_t count[DIRECTIONS];  /* packets so far */
    bool bad[DIRECTIONS];        /* the channel's state: see loss.c */
    uint64_t due_ns[DIRECTIONS]; /* when the last packet leaves: see delay.c */
};
static_assert(sizeof(struct flow) == 48, "a set of four is three cache lines");

#define FLOW_WAYS 4

struct flow_table {
    struct flow (*sets)[FLOW_WAYS]; /* private: in each set, the one used last comes first */
    bool by_order;
    uint32_t orders[256]; /* flows that appeared, for each protocol */
    uint64_t seen;        /* public: flows that appeared */
    uint64_t forgotten;   /* flows that had to make room */
};

#define FLOW_SETS (1u << 17) /* for half a million flows; sets never used cost no memory */
/* -ENOMEM when the arena is too small. */
must_check int flow_table_init(struct flow_table *table, struct mem_arena *arena, bool by_order);
size_t flow_table_arena_bytes(void);
/* Made if it is new. Valid until the next call. */
struct flow *flow_find(struct flow_table *table, uint64_t key, uint8_t proto);

/* One number from two, each bit of which hangs on all bits of both. */
uint64_t flow_mix(uint64_t a, uint64_t b);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * path.h - what happens to the packets of one direction, as a list of stages.
 *
 * Every impairment is a stage: its options on the command line, the question whether the settings
 * want it, and what it does to a packet. A stage decides and writes its decision into the
 * `struct transit`; nothing is held anywhere, since the time at which a packet leaves can be
 * computed when it arrives, that of a queue included. So a path has no clock, moves no bytes, and
 * can be tested packet by packet.
 *
 * The stages, in the order in which a packet meets them:
 *
 *     path MTU -> loss -> burst -> rate, queue, ECN -> delay -> jitter -> duplicate -> corrupt ->
 *     reorder
 *
 * Chance comes from a generator that is seeded anew for every packet and stage (see flow.h), so
 * that a stage switched on or off does not change what another one decides.
 */
#ifndef MIDDLEBOX_PATH_H
#define MIDDLEBOX_PATH_H

#include "base/rand.h"
#include "flow.h"

#define BANDS_MAX    64
#define MTU_MIN      68 /* RFC 791 */
#define RATE_MIN_BPS 8
#define RATE_MAX_BPS (100 * 1000 * 1000 * 1000ull)
#define QUEUE_MAX    65536 /* packets, where packets are counted */

/* What a queue is measured in. A time is the bytes that the rate carries in it. */
enum amount_unit {
    AMOUNT_NONE,
    AMOUNT_BYTES,
    AMOUNT_PACKETS,
    AMOUNT_NS,
};
struct amount {
    enum amount_unit unit;
    uint64_t value;
};

/* The Gilbert-Elliott model, with the letters of the literature. */
struct burst_model {
    bool on;
    double p; /* good to bad, before each packet */
    double r; /* bad to good */
    double h; /* probability that a packet comes through in the bad state */
    double k; /* and in the good one */
};

struct path_settings {
    uint32_t mtu; /* 0: any size passes */
    double loss;
    struct burst_model burst;
    uint64_t rate_bps; /* of frames from the Ethernet header on; 0: unlimited */
    struct amount queue;
    struct amount ecn_mark;
    uint64_t delay_min_ns;
    uint64_t delay_max_ns;
    uint32_t bands;
    uint64_t jitter_ns;
    double duplicate;
    double corrupt;
    double reorder;
    uint64_t reorder_by_ns;
};

#define PATH_STATS(X, t)                                                                           \
    X(t, packets, "frames that came in, GSO frames counted as the packets they stand for")         \
    X(t, bytes, "their bytes, Ethernet headers included")                                          \
    X(t, sent, "frames handed to the other port")                                                  \
    X(t, sent_bytes, "their bytes")                                                                \
    X(t, link, "frames among those that belong to the link (ARP, NDP, ...) and were not impaired") \
    X(t, ecn_marked, "packets marked CE")                                                          \
    X(t, duplicated, "packets sent twice")                                                         \
    X(t, corrupted, "packets damaged")                                                             \
    X(t, reordered, "packets held back, so that others overtook them")                             \
    X(t, queue_peak_ns, "longest time that a packet stood in the queue")                           \
    X(t, drop_mtu, "packets larger than the path's MTU")                                           \
    X(t, drop_loss, "packets lost by chance, each for itself")                                     \
    X(t, drop_burst, "packets lost in bursts")                                                     \
    X(t, drop_queue, "packets that found the queue full")                                          \
    X(t, drop_memory, "frames for which there was no memory: raise --packets")                     \
    X(t, drop_too_big, "frames larger than the ports' MTU when the program began")                 \
    X(t, drop_horizon, "packets due later than the program can remember")
struct path_stats {
    PATH_STATS(STAT_FIELD, )
};
extern const struct stat_desc path_stat_descs[]; /* ends with a NULL name */

/* One packet on its way through the stages. */
struct transit {
    uint8_t *ip; /* its header; only the ECN field is changed here */
    bool ip6;
    uint32_t len;    /* of the frame */
    uint32_t ip_len; /* of the frame from the IP header on */
    struct flow *flow;
    uint64_t now_ns;
    struct rand rand; /* seeded for this packet and this stage */
    uint64_t due_ns;  /* when it leaves */
    bool duplicate;
    uint64_t copy_due_ns;
    uint64_t damage; /* 0: none; else what to seed the damage with */
};

struct rate_state {
    uint64_t queue_bytes; /* the queue's limits, in the unit in which they are checked */
    uint64_t queue_packets;
    uint64_t mark_bytes;
    uint64_t mark_packets;
    uint64_t free_ns;     /* when the last byte that was accepted has left */
    uint64_t bits_ns;     /* what rounding left over: less than 1 ns, in units of 1/rate */
    uint64_t *departures; /* of the packets in the queue; only where packets are counted */
    uint32_t head;
    uint32_t count;
};

struct path;
struct stage {
    const char *name;
    const struct path_option *options; /* ends with a NULL name */
    bool (*wanted)(const struct path_settings *settings);
    /* False: the packet is dropped, and counted. */
    bool (*apply)(struct path *path, struct transit *transit);
};

#define STAGES_MAX 9

struct path {
    struct path_settings settings;
    struct path_stats stats;
    enum direction direction;
    uint64_t seed;
    struct {
        bool (*apply)(struct path *path, struct transit *transit);
        uint64_t salt;
    } active[STAGES_MAX];
    uint32_t active_count;
    struct rate_state rate;
    uint64_t delays_ns[BANDS_MAX];
};

struct path_config {
    struct path_settings settings; /* checked */
    enum direction direction;
    uint64_t seed;
    struct mem_arena *arena;
};

/* --- settings --------------------------------------------------------------------------------- */

struct path_option {
    const char *name;
    const char *value; /* "P", as the usage shows it */
    const char *help;
    const char *takes; /* "a probability, as in 0.01": what is said of a wrong value */
    bool (*parse)(struct path_settings *settings, const char *text);
};

extern const struct stage *const path_stages[]; /* ends with NULL */

void path_settings_default(struct path_settings *settings);
/* NULL: all is well; else a sentence that says what to do. */
const char *path_settings_check(const struct path_settings *settings);

/* --- the path --------------------------------------------------------------------------------- */

/* -ENOMEM when the arena is too small. */
must_check int path_init(struct path *path, const struct path_config *config);
size_t path_arena_bytes(const struct path_settings *settings);
/*
 * Decides over one IP packet; `transit` has ip, ip6, len, ip_len, flow and now_ns. False: it was
 * dropped and counted. Else due_ns, duplicate, copy_due_ns and damage say what becomes of it.
 */
bool path_apply(struct path *path, struct transit *transit);
/* The delay of a flow. */
uint64_t path_delay_ns(const struct path *path, const struct flow *flow);
/* Flips one to three bits of a 16-bit word behind the Ethernet addresses. */
void path_damage(uint8_t *frame, uint32_t len, uint64_t damage);

/* private: for path.c and the stages */
extern const struct stage stage_mtu, stage_loss, stage_burst, stage_rate, stage_delay, stage_jitter,
    stage_duplicate, stage_corrupt, stage_reorder;
must_check int rate_init(struct path *path, struct mem_arena *arena);
size_t rate_arena_bytes(const struct path_settings *settings);
/* The longest time that a full queue takes to drain. */
uint64_t rate_queue_ns(const struct path_settings *settings);
void delay_init(struct path *path);

#endif

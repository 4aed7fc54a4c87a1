// SPDX-License-Identifier: BSD-2-Clause
/*
 * hystart.h - HyStart++ (RFC 9406): slow start ends when the round-trip time begins to rise.
 *
 * A value beside a window. In each round, which is the time in which one window's bytes are
 * acknowledged, it compares the least round-trip time with that of the round before. A rise means a
 * queue: growth slows to a quarter (Conservative Slow Start) for at most five rounds, and then slow
 * start is over, or sooner when the round-trip time has doubled; if it falls below where it was, it
 * was jitter, and slow start resumes. RFC 9406 4.3: for the first slow start only; later ones know
 * ssthresh.
 */
#ifndef CC_HYSTART_H
#define CC_HYSTART_H

#include "cc/cc.h"

#define HYSTART_CSS_GROWTH_DIVISOR 4 /* RFC 9406 4.3 */

enum hystart_phase {
    HYSTART_SLOW_START, /* the window grows by what was acknowledged */
    HYSTART_CSS,        /* by a quarter of it */
    HYSTART_DONE,       /* slow start is over */
};

struct hystart {
    uint64_t window_end; /* the round ends when this is acknowledged; 0 before the first ACK */
    uint32_t last_round_min_rtt_us, current_round_min_rtt_us; /* UINT32_MAX: none */
    uint32_t css_baseline_min_rtt_us;
    uint8_t rtt_sample_count; /* in this round; stays at what is enough */
    uint8_t css_rounds;
    uint8_t phase;
};

void hystart_open(struct hystart *h);
/* What the ACK leads to; after HYSTART_DONE it is not asked again until it is opened. */
enum hystart_phase hystart_on_ack(struct hystart *h, const struct cc_ack *ack);

#endif

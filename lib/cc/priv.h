// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the algorithms share: the bounds of a window, and the loss-based ones' pacing.
 *
 * An algorithm keeps its variables in cc->state, as a struct of its own that CC_STATE_FITS checks.
 * Whatever an event says, cwnd stays between one segment and CC_WINDOW_MAX: every store goes
 * through cc_window or is bounded where it stands.
 */
#ifndef CC_PRIV_H
#define CC_PRIV_H

#include "cc/cc.h"

#define CC_STATE_FITS(type)                                                                        \
    _Static_assert(sizeof(type) <= CC_STATE_WORDS * sizeof(uint64_t), #type " outgrew cc->state")

static inline uint32_t cc_window(const struct cc *cc, uint64_t bytes)
{
    return (uint32_t)max_u64(min_u64(bytes, CC_WINDOW_MAX), cc->mss);
}

/*
 * The part of the window that is in use: whole segments. A round trip acknowledges no more than
 * that, and growing by one for each round trip means to compare with it; where a window is four
 * segments and a half, the half would make it a tenth slower.
 */
static inline uint32_t cc_used(const struct cc *cc)
{
    return cc->cwnd - cc->cwnd % cc->mss;
}

/* RFC 5681 equation (4): never below two segments */
static inline uint32_t cc_threshold(const struct cc *cc, uint64_t bytes)
{
    return cc_window(cc, max_u64(bytes, 2u * cc->mss));
}

/*
 * Whether an ACK may enlarge the window: only one that was used shows that the path carries it (RFC
 * 7661). In slow start half is use enough, for a window that doubles in a round trip is caught up
 * with by the end of it.
 */
static inline bool cc_may_grow(const struct cc *cc, const struct cc_ack *ack)
{
    return ack->window_limited ||
           (cc->cwnd < cc->ssthresh && ack->flight_before >= cc->cwnd - cc->cwnd / 2);
}

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * cc.c - what does not depend on the algorithm.
 */
#include "priv.h"

#define INITIAL_WINDOW_SEGMENTS 10    /* RFC 6928 2 */
#define INITIAL_WINDOW_BYTES    14600 /* RFC 6928 2 */

/*
 * The window is sent somewhat faster than in one round trip, so that the window, and not the pacer,
 * is what limits a sender. In slow start it must be twice as fast, for the window doubles
 * meanwhile.
 */
#define PACING_SLOW_START_PERCENT 200
#define PACING_PERCENT            120

/* A burst is what one TSO frame carries, and no shorter than two segments: receivers delay ACKs. */
#define BURSTS_PER_SECOND 1000
#define BURST_MAX         (64u << 10)
#define BURST_SEGMENTS    2

static const struct cc_algorithm *const ALGORITHMS[] = {&cc_newreno, &cc_cubic, &cc_bbr};

const struct cc_algorithm *cc_find(const char *name)
{
    for (size_t i = 0; i < array_len(ALGORITHMS); i++)
        if (strcmp(ALGORITHMS[i]->name, name) == 0)
            return ALGORITHMS[i];
    return NULL;
}

uint32_t cc_initial_window(uint16_t mss)
{
    return min_u32(INITIAL_WINDOW_SEGMENTS * mss, max_u32(2u * mss, INITIAL_WINDOW_BYTES));
}

void cc_open(struct cc *cc, const struct cc_algorithm *algorithm, uint16_t mss, uint64_t now_ns)
{
    *cc = (struct cc){.algorithm = algorithm};
    cc->mss = mss ? mss : 1;
    cc->cwnd = cc_initial_window(cc->mss);
    cc->ssthresh = CC_WINDOW_MAX;
    algorithm->open(cc, now_ns);
}

/*
 * The window is a number of bytes and stays one (RFC 8899 3 asks for no more than that), but it
 * admits at least one segment of the new size.
 */
void cc_set_mss(struct cc *cc, uint16_t mss)
{
    cc->mss = mss ? mss : 1;
    cc->cwnd = cc_window(cc, cc->cwnd);
    cc->ssthresh = cc_threshold(cc, cc->ssthresh);
}

uint64_t cc_pacing_bps(const struct cc *cc, uint32_t srtt_us, bool reducing)
{
    uint32_t percent = cc->cwnd < cc->ssthresh ? PACING_SLOW_START_PERCENT : PACING_PERCENT;
    uint64_t window = cc->cwnd;

    if (cc->algorithm->has_pace)
        return cc->pacing_bps;
    if (srtt_us == 0)
        return 0;
    if (reducing) { /* at the pace that the reduction aims at, not that of the way down */
        window = max_u32(cc->cwnd, cc->ssthresh);
        percent = PACING_PERCENT;
    }
    return window * (percent * (NS_PER_S / NS_PER_US / 100)) / srtt_us;
}

uint32_t cc_burst(const struct cc *cc, uint64_t bps)
{
    uint64_t bytes = min_u64(bps / BURSTS_PER_SECOND, BURST_MAX);

    return max_u32((uint32_t)bytes, BURST_SEGMENTS * cc->mss);
}

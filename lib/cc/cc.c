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
#define PACING_QUANTA_PER_SECOND  1000 /* a burst is at most a millisecond's worth */

static const struct cc_algorithm *const ALGORITHMS[] = {&cc_newreno, &cc_cubic};

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
    cc->quantum = cc_quantum(0, 1, cc->mss);
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
    cc->quantum = max_u32(cc->quantum, CC_QUANTUM_SEGMENTS * cc->mss);
}

uint32_t cc_quantum(uint64_t bps, uint32_t per_second, uint16_t mss)
{
    uint64_t bytes = min_u64(bps / per_second, CC_QUANTUM_MAX);

    return max_u32((uint32_t)bytes, CC_QUANTUM_SEGMENTS * mss);
}

void cc_pace_window(struct cc *cc, uint32_t window, uint32_t srtt_us)
{
    uint32_t percent = cc->cwnd < cc->ssthresh ? PACING_SLOW_START_PERCENT : PACING_PERCENT;

    if (srtt_us == 0)
        return;
    cc->pacing_bps = (uint64_t)window * (percent * (NS_PER_S / NS_PER_US / 100)) / srtt_us;
    cc->quantum = cc_quantum(cc->pacing_bps, PACING_QUANTA_PER_SECOND, cc->mss);
}

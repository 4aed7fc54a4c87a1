// SPDX-License-Identifier: BSD-2-Clause
/*
 * hystart.c - RFC 9406 4.2, with the constants of 4.3. L is infinite, because senders are paced.
 *
 * One thing is added. Four more rounds of CSS multiply the window by two and a half; where the
 * queue is several times the path's product of bandwidth and delay, all of that goes into it, and
 * the loss that ends it takes seconds to repair. So CSS ends at once when a round trip has doubled:
 * then a whole product is queued, and the link would be busy with half of the window.
 */
#include "hystart.h"

#define MIN_RTT_THRESH_US 4000
#define MAX_RTT_THRESH_US 16000
#define MIN_RTT_DIVISOR   8
#define N_RTT_SAMPLE      8
#define CSS_ROUNDS        5

#define NO_RTT            UINT32_MAX

void hystart_open(struct hystart *h)
{
    *h = (struct hystart){
        .last_round_min_rtt_us = NO_RTT,
        .current_round_min_rtt_us = NO_RTT,
        .css_baseline_min_rtt_us = NO_RTT,
        .phase = HYSTART_SLOW_START,
    };
}

static void take_sample(struct hystart *h, uint32_t rtt_us)
{
    h->current_round_min_rtt_us = min_u32(h->current_round_min_rtt_us, rtt_us);
    if (h->rtt_sample_count < N_RTT_SAMPLE)
        h->rtt_sample_count++;
}

/* The rise is at least what is never taken for jitter. */
static bool pipe_twice_full(uint32_t rtt_us, uint32_t path_rtt_us)
{
    return rtt_us >= (uint64_t)path_rtt_us + max_u32(path_rtt_us, MAX_RTT_THRESH_US);
}

static void compare_rounds(struct hystart *h, uint32_t path_rtt_us)
{
    uint32_t last = h->last_round_min_rtt_us, current = h->current_round_min_rtt_us;
    uint32_t thresh;

    if (h->rtt_sample_count < N_RTT_SAMPLE || last == NO_RTT)
        return;
    if (h->phase == HYSTART_CSS) {
        if (current < h->css_baseline_min_rtt_us) {
            h->css_baseline_min_rtt_us = NO_RTT;
            h->phase = HYSTART_SLOW_START;
        } else if (pipe_twice_full(current, path_rtt_us)) {
            h->phase = HYSTART_DONE;
        }
        return;
    }
    thresh = max_u32(MIN_RTT_THRESH_US, min_u32(last / MIN_RTT_DIVISOR, MAX_RTT_THRESH_US));
    if (current >= (uint64_t)last + thresh) {
        h->css_baseline_min_rtt_us = current;
        h->css_rounds = 0;
        h->phase = HYSTART_CSS;
    }
}

static void end_round(struct hystart *h, uint64_t snd_nxt)
{
    h->window_end = snd_nxt;
    h->last_round_min_rtt_us = h->current_round_min_rtt_us;
    h->current_round_min_rtt_us = NO_RTT;
    h->rtt_sample_count = 0;
    /* The round in which CSS was entered counts, however short the rest of it was. */
    if (h->phase == HYSTART_CSS && ++h->css_rounds >= CSS_ROUNDS)
        h->phase = HYSTART_DONE;
}

enum hystart_phase hystart_on_ack(struct hystart *h, const struct cc_ack *ack)
{
    if (h->window_end == 0)
        h->window_end = ack->snd_nxt;
    if (ack->rtt_us) {
        take_sample(h, ack->rtt_us);
        compare_rounds(h, ack->min_rtt_us);
    }
    if (ack->snd_una >= h->window_end)
        end_round(h, ack->snd_nxt);
    return (enum hystart_phase)h->phase;
}

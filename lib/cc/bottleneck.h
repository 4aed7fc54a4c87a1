// SPDX-License-Identifier: BSD-2-Clause
/*
 * bottleneck.h - a path in virtual time for tests and pictures: flows that share one queue.
 *
 * A packet goes into a queue of `buffer_bytes` that is served at `rate_bps`, is acknowledged one
 * round trip after it left the queue, and is lost if it found the queue full or chance so decides.
 * The senders are the least that a struct cc can stand on: packet numbers instead of a stream (what
 * was lost is not sent again, something new is), losses seen by three later ACKs, proportional rate
 * reduction, a timeout, delivery rates, pacing in short bursts. A run is a function of its
 * configuration and seed.
 */
#ifndef CC_BOTTLENECK_H
#define CC_BOTTLENECK_H

#include "base/rand.h"
#include "cc/cc.h"

#define BOTTLENECK_FLOWS   4
#define BOTTLENECK_PACKETS (1u << 15) /* of one flow in flight at once */
#define BOTTLENECK_MSS     1448

struct packet {
    uint64_t sent_ns, ack_ns; /* ack_ns UINT64_MAX: it was dropped */
    /* The connection's, when it was sent: for rate samples. */
    uint64_t first_sent_ns, delivered_ns, delivered, lost;
    uint32_t tx_in_flight;
    bool app_limited, ce;
};

struct flow {
    struct cc cc;
    uint32_t rtt_us;        /* without the queue */
    uint64_t start_ns;      /* it sends nothing before */
    uint64_t app_bps;       /* what there is to send; 0: always something */
    uint64_t app_granted;   /* of that, used up */
    uint64_t pause_ns;      /* nothing to send from here ... */
    uint64_t resume_ns;     /* ... to here */
    struct packet *packets; /* a ring; numbers are indices of it */
    uint64_t head, acked, tail;
    uint32_t flight;
    uint64_t delivered, delivered_ns, first_sent_ns, lost;
    uint64_t app_limited_until; /* in bytes delivered; 0: not */
    uint64_t window_limited_until;
    uint64_t next_send_ns, rto_ns, last_sent_ns;
    uint32_t srtt_us, min_rtt_us;
    uint64_t recover, ecn_recover, newest_lost; /* packet numbers */
    bool echo;                                  /* the ACK that is being taken bears a mark back */
    bool in_recovery, after_rto, opened, window_limited;
    uint32_t recover_flight;
    uint64_t prr_delivered, prr_out;
    uint64_t timeouts, recoveries;
};

struct bottleneck {
    uint64_t rate_bps;
    uint32_t buffer_bytes;
    uint32_t ecn_bytes;    /* marks above this; 0: never */
    uint32_t loss_ppm;     /* lost at random, a million: all */
    uint32_t aggregate_us; /* ACKs come in bundles this far apart */
    struct rand rand;
    uint64_t now_ns, busy_ns; /* the queue is empty at busy_ns */
    uint64_t queue_sum, queue_samples;
    uint32_t queue_max;
    struct flow flows[BOTTLENECK_FLOWS];
    uint32_t flow_count;
};

void bottleneck_open(struct bottleneck *b, uint64_t rate_bps, uint32_t buffer_bytes, uint64_t seed);
struct flow *bottleneck_add(struct bottleneck *b, const struct cc_algorithm *algorithm,
                            uint32_t rtt_us, uint64_t start_ns);
void bottleneck_run(struct bottleneck *b, uint64_t until_ns);
void bottleneck_close(struct bottleneck *b);

/* The queue's mean and greatest length are those since the last call of this. */
void bottleneck_forget_queue(struct bottleneck *b);
uint32_t bottleneck_queue_mean(const struct bottleneck *b);

#endif

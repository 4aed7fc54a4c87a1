// SPDX-License-Identifier: BSD-2-Clause
#include "bottleneck.h"

#include <stdlib.h>

#define NEVER          UINT64_MAX
#define DUP_THRESH     3
#define RTO_MIN_NS     (200 * NS_PER_MS)
#define RTO_INITIAL_NS NS_PER_S
#define MILLION        1000000
#define FIRST_PACKET   1000 /* a number that an algorithm could mistake for a time is not 0 */

static struct packet *packet_at(struct flow *f, uint64_t number)
{
    return &f->packets[number % BOTTLENECK_PACKETS];
}

void bottleneck_open(struct bottleneck *b, uint64_t rate_bps, uint32_t buffer_bytes, uint64_t seed)
{
    *b = (struct bottleneck){.rate_bps = rate_bps, .buffer_bytes = buffer_bytes};
    b->now_ns = NS_PER_S;
    rand_seed(&b->rand, seed);
}

struct flow *bottleneck_add(struct bottleneck *b, const struct cc_algorithm *algorithm,
                            uint32_t rtt_us, uint64_t start_ns)
{
    struct flow *f = &b->flows[b->flow_count++];

    *f =
        (struct flow){.rtt_us = rtt_us, .start_ns = b->now_ns + start_ns, .min_rtt_us = UINT32_MAX};
    f->cc.algorithm = algorithm;
    f->pause_ns = f->resume_ns = NEVER;
    f->head = f->acked = f->tail = FIRST_PACKET;
    f->rto_ns = NEVER;
    f->packets = calloc(BOTTLENECK_PACKETS, sizeof(*f->packets));
    assert(f->packets);
    return f;
}

void bottleneck_close(struct bottleneck *b)
{
    for (uint32_t i = 0; i < b->flow_count; i++)
        free(b->flows[i].packets);
}

void bottleneck_forget_queue(struct bottleneck *b)
{
    b->queue_sum = b->queue_samples = b->queue_max = 0;
}

uint32_t bottleneck_queue_mean(const struct bottleneck *b)
{
    return b->queue_samples ? (uint32_t)(b->queue_sum / b->queue_samples) : 0;
}

/* Sets when the packet's ACK will arrive, or that it will not. */
static void enqueue(struct bottleneck *b, struct flow *f, struct packet *p)
{
    uint64_t backlog_ns = b->busy_ns > b->now_ns ? b->busy_ns - b->now_ns : 0;
    uint64_t backlog = backlog_ns * b->rate_bps / NS_PER_S;

    b->queue_sum += backlog;
    b->queue_samples++;
    b->queue_max = max_u32(b->queue_max, (uint32_t)backlog);
    p->ack_ns = NEVER;
    p->ce = b->ecn_bytes && backlog > b->ecn_bytes;
    if (backlog + BOTTLENECK_MSS > b->buffer_bytes || rand_below(&b->rand, MILLION) < b->loss_ppm)
        return;
    b->busy_ns = max_u64(b->busy_ns, b->now_ns) + BOTTLENECK_MSS * NS_PER_S / b->rate_bps;
    p->ack_ns = b->busy_ns + f->rtt_us * NS_PER_US;
    if (b->aggregate_us)
        p->ack_ns += b->aggregate_us * NS_PER_US - p->ack_ns % (b->aggregate_us * NS_PER_US);
}

static uint64_t rto(const struct flow *f)
{
    return f->srtt_us ? max_u64(3 * f->srtt_us * NS_PER_US, RTO_MIN_NS) : RTO_INITIAL_NS;
}

static void arm_rto(struct bottleneck *b, struct flow *f)
{
    f->rto_ns = f->flight ? b->now_ns + rto(f) : NEVER;
}

/* --- Sending ------------------------------------------------------------------------------ */

/* When there is something to send, as far as the application goes. */
static uint64_t data_ns(const struct bottleneck *b, const struct flow *f)
{
    uint64_t at = max_u64(b->now_ns, f->start_ns);

    if (f->app_bps) {
        uint64_t due = f->start_ns + (f->app_granted + BOTTLENECK_MSS) * NS_PER_S / f->app_bps;

        at = max_u64(at, due);
    }
    return at >= f->pause_ns && at < f->resume_ns ? f->resume_ns : at;
}

static bool window_open(const struct flow *f)
{
    return !f->opened || f->flight + BOTTLENECK_MSS <= f->cc.cwnd || f->flight == 0;
}

static uint64_t send_ns(const struct bottleneck *b, const struct flow *f)
{
    if (!window_open(f) || f->tail - f->head >= BOTTLENECK_PACKETS)
        return NEVER;
    return max_u64(data_ns(b, f), f->next_send_ns);
}

static void note_limits(struct bottleneck *b, struct flow *f)
{
    if (!window_open(f)) {
        f->window_limited = true;
        f->window_limited_until = f->tail;
    } else if (data_ns(b, f) > b->now_ns) {
        f->app_limited_until = max_u64(f->delivered + f->flight, 1);
    }
}

static void send_packet(struct bottleneck *b, struct flow *f)
{
    struct packet *p = packet_at(f, f->tail);
    const struct cc_algorithm *cc = f->cc.algorithm;

    if (f->flight == 0)
        f->first_sent_ns = f->delivered_ns = b->now_ns;
    if (cc->on_sent)
        cc->on_sent(&f->cc, BOTTLENECK_MSS, f->flight, f->app_limited_until != 0, b->now_ns);
    f->flight += BOTTLENECK_MSS;
    *p = (struct packet){
        .sent_ns = b->now_ns,
        .first_sent_ns = f->first_sent_ns,
        .delivered_ns = f->delivered_ns,
        .delivered = f->delivered,
        .lost = f->lost,
        .tx_in_flight = f->flight,
        .app_limited = f->app_limited_until != 0,
    };
    enqueue(b, f, p);
    f->tail++;
    f->app_granted += BOTTLENECK_MSS;
    f->prr_out += BOTTLENECK_MSS;
    f->last_sent_ns = b->now_ns;
    if (f->rto_ns == NEVER)
        arm_rto(b, f);
}

static void flow_send(struct bottleneck *b, struct flow *f)
{
    uint64_t pace;
    uint32_t sent = 0;

    if (!f->opened) {
        cc_open(&f->cc, f->cc.algorithm, BOTTLENECK_MSS, b->now_ns);
        f->opened = true;
    } else if (f->flight == 0 && b->now_ns - f->last_sent_ns > rto(f)) {
        f->cc.algorithm->on_idle(&f->cc, (b->now_ns - f->last_sent_ns) / NS_PER_US,
                                 (uint32_t)(rto(f) / NS_PER_US), b->now_ns);
    }
    pace = cc_pacing_bps(&f->cc, f->srtt_us, f->in_recovery && !f->after_rto);
    do {
        send_packet(b, f);
        sent += BOTTLENECK_MSS;
    } while ((pace == 0 || sent + BOTTLENECK_MSS <= cc_burst(&f->cc, pace)) &&
             send_ns(b, f) == b->now_ns);
    f->next_send_ns = b->now_ns;
    if (pace)
        f->next_send_ns += sent * NS_PER_S / pace;
    note_limits(b, f);
}

/* --- Losses ------------------------------------------------------------------------------- */

static void packet_lost(struct bottleneck *b, struct flow *f, const struct packet *p)
{
    struct cc_lost lost = {
        .now_ns = b->now_ns,
        .snd_nxt = f->tail * BOTTLENECK_MSS,
        .bytes = BOTTLENECK_MSS,
        .tx_in_flight = p->tx_in_flight,
        .app_limited = p->app_limited,
    };

    f->lost += BOTTLENECK_MSS;
    f->flight -= BOTTLENECK_MSS;
    lost.lost_since_sent = f->lost - p->lost;
    if (f->cc.algorithm->on_lost)
        f->cc.algorithm->on_lost(&f->cc, &lost);
}

static void enter_recovery(struct bottleneck *b, struct flow *f, uint32_t flight)
{
    f->in_recovery = true;
    f->after_rto = false;
    f->recover = f->tail;
    f->recoveries++;
    f->recover_flight = flight;
    f->prr_delivered = f->prr_out = 0;
    f->cc.algorithm->on_loss(&f->cc, flight, b->now_ns);
}

static void flow_timeout(struct bottleneck *b, struct flow *f)
{
    uint32_t flight = f->flight;

    for (; f->head < f->tail; f->head++)
        if (f->head >= f->acked || packet_at(f, f->head)->ack_ns == NEVER)
            packet_lost(b, f, packet_at(f, f->head));
    f->acked = f->tail;
    f->cc.algorithm->on_rto(&f->cc, flight, !f->after_rto, b->now_ns);
    f->timeouts++;
    f->in_recovery = f->after_rto = true;
    f->recover = f->tail;
    f->next_send_ns = b->now_ns;
    f->rto_ns = NEVER;
}

/* RFC 6937 */
static void reduce_proportionally(struct flow *f, uint32_t delivered)
{
    uint64_t budget, ssthresh = f->cc.ssthresh;

    f->prr_delivered += delivered;
    if (f->flight > ssthresh)
        budget = (f->prr_delivered * ssthresh + f->recover_flight - 1) / f->recover_flight;
    else
        budget = f->prr_out +
                 min_u64(ssthresh - f->flight,
                         max_u64(f->prr_delivered > f->prr_out ? f->prr_delivered - f->prr_out : 0,
                                 delivered) +
                             BOTTLENECK_MSS);
    f->cc.cwnd = f->flight + (uint32_t)(budget > f->prr_out ? budget - f->prr_out : 0);
    f->cc.cwnd = max_u32(f->cc.cwnd, BOTTLENECK_MSS);
}

/* --- ACKs --------------------------------------------------------------------------------- */

static void sample_rtt(struct flow *f, uint32_t rtt_us)
{
    f->min_rtt_us = min_u32(f->min_rtt_us, rtt_us);
    f->srtt_us = f->srtt_us ? (uint32_t)((7ull * f->srtt_us + rtt_us) / 8) : rtt_us;
}

static void take_packet(struct bottleneck *b, struct flow *f, const struct packet *p,
                        struct cc_ack *ack)
{
    uint64_t send_elapsed = p->sent_ns - p->first_sent_ns;

    f->flight -= BOTTLENECK_MSS;
    f->delivered += BOTTLENECK_MSS;
    f->delivered_ns = b->now_ns;
    f->first_sent_ns = p->sent_ns;
    ack->delivered += BOTTLENECK_MSS;
    f->echo |= p->ce;
    ack->rtt_us = (uint32_t)((b->now_ns - p->sent_ns) / NS_PER_US);
    ack->prior_delivered = p->delivered;
    ack->tx_in_flight = p->tx_in_flight;
    ack->lost_since_sent = f->lost - p->lost;
    ack->app_limited = p->app_limited;
    ack->rate_delivered = f->delivered - p->delivered;
    ack->rate_interval_ns = max_u64(send_elapsed, b->now_ns - p->delivered_ns);
}

static void find_lost(struct bottleneck *b, struct flow *f, struct cc_ack *ack)
{
    for (; f->head < f->acked; f->head++) {
        const struct packet *p = packet_at(f, f->head);

        if (p->ack_ns != NEVER)
            continue;
        if (f->acked - f->head <= DUP_THRESH)
            break;
        packet_lost(b, f, p);
        ack->lost += BOTTLENECK_MSS;
        f->newest_lost = f->head;
    }
}

/* Ends recovery, or begins it with a loss that is not of the one before. */
static void react(struct bottleneck *b, struct flow *f, const struct cc_ack *ack)
{
    if (f->in_recovery && f->head > f->recover) {
        f->in_recovery = f->after_rto = false;
        f->cc.algorithm->on_recovered(&f->cc, b->now_ns);
    }
    if (ack->lost && f->newest_lost >= f->recover)
        enter_recovery(b, f, ack->flight_before);
    if (f->echo && !f->in_recovery && f->acked > f->ecn_recover) {
        f->ecn_recover = f->tail;
        f->cc.algorithm->on_ecn(&f->cc, ack->flight_before, b->now_ns);
    }
}

static void flow_acked(struct bottleneck *b, struct flow *f)
{
    struct cc_ack ack = {.now_ns = b->now_ns, .flight_before = f->flight};

    for (; f->acked < f->tail; f->acked++) {
        const struct packet *p = packet_at(f, f->acked);

        if (p->ack_ns != NEVER && p->ack_ns > b->now_ns)
            break;
        if (p->ack_ns != NEVER)
            take_packet(b, f, p, &ack);
    }
    /* What was dropped after the last packet that arrived is not known yet. */
    while (f->acked > f->head && packet_at(f, f->acked - 1)->ack_ns == NEVER)
        f->acked--;
    find_lost(b, f, &ack);
    sample_rtt(f, ack.rtt_us);
    if (f->app_limited_until && f->delivered > f->app_limited_until)
        f->app_limited_until = 0;
    ack.acked = ack.delivered;
    ack.snd_una = f->acked * BOTTLENECK_MSS;
    ack.snd_nxt = f->tail * BOTTLENECK_MSS;
    ack.flight = f->flight;
    ack.min_rtt_us = f->min_rtt_us;
    ack.srtt_us = f->srtt_us;
    ack.delivered_total = f->delivered;
    ack.window_limited = f->window_limited;
    if (f->acked > f->window_limited_until)
        f->window_limited = false;
    if (ack.rate_interval_ns < f->min_rtt_us * NS_PER_US)
        ack.rate_interval_ns = 0;
    react(b, f, &ack);
    f->echo = false;
    ack.in_recovery = f->in_recovery;
    f->cc.algorithm->on_ack(&f->cc, &ack);
    if (f->in_recovery && !f->after_rto && !f->cc.algorithm->own_recovery)
        reduce_proportionally(f, ack.delivered);
    arm_rto(b, f);
    note_limits(b, f);
}

/* The next packet that will be acknowledged. */
static uint64_t ack_ns(struct flow *f)
{
    for (uint64_t n = f->acked; n < f->tail; n++)
        if (packet_at(f, n)->ack_ns != NEVER)
            return packet_at(f, n)->ack_ns;
    return NEVER;
}

void bottleneck_run(struct bottleneck *b, uint64_t until_ns)
{
    for (;;) {
        uint64_t first = NEVER;

        for (uint32_t i = 0; i < b->flow_count; i++) {
            struct flow *f = &b->flows[i];

            first = min_u64(first, min_u64(f->rto_ns, min_u64(ack_ns(f), send_ns(b, f))));
        }
        if (first > until_ns)
            break;
        b->now_ns = max_u64(b->now_ns, first);
        for (uint32_t i = 0; i < b->flow_count; i++) {
            struct flow *f = &b->flows[i];

            if (ack_ns(f) <= b->now_ns)
                flow_acked(b, f);
            if (f->rto_ns <= b->now_ns)
                flow_timeout(b, f);
            if (send_ns(b, f) <= b->now_ns)
                flow_send(b, f);
        }
    }
    b->now_ns = until_ns;
}

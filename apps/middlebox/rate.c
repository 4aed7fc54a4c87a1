// SPDX-License-Identifier: BSD-2-Clause
/*
 * rate.c - a bottleneck: a link of a given rate with a bounded queue in front, drop-tail, that
 * marks instead of dropping where the sender can take it.
 *
 * The queue holds no packets. A packet's turn is known when it arrives: it leaves when all that was
 * accepted before it has left, plus the time of its own bytes. What stands in the queue is what the
 * rate carries between now and then; only a queue that counts packets must remember when each of
 * them leaves. The packet that is being sent counts as queued, and an idle link takes a packet
 * of any size.
 *
 * Marking is a step: an ECT packet that finds at least the threshold in the queue is marked CE
 * (RFC 3168, 5). The others wait, up to the queue's limit, at which all are dropped (7).
 */
#include <errno.h>

#include "base/bytes.h"
#include "path.h"
#include "units.h"

#define QUEUE_DEFAULT_NS (100 * NS_PER_MS)
#define FRAME_BYTES_MAX  65600ull /* for how long a queue of packets may take to drain */

#define ECN_MASK         3
#define ECN_NOT_ECT      0
#define ECN_CE           3

/* --- settings --------------------------------------------------------------------------------- */

static bool parse_rate_option(struct path_settings *settings, const char *text)
{
    return parse_rate(&settings->rate_bps, text);
}

static bool parse_queue(struct path_settings *settings, const char *text)
{
    return parse_amount(&settings->queue, text);
}

static bool parse_ecn_mark(struct path_settings *settings, const char *text)
{
    return parse_amount(&settings->ecn_mark, text);
}

static bool rate_wanted(const struct path_settings *settings)
{
    return settings->rate_bps > 0;
}

static struct amount queue_of(const struct path_settings *settings)
{
    if (settings->queue.unit == AMOUNT_NONE)
        return (struct amount){AMOUNT_NS, QUEUE_DEFAULT_NS};
    return settings->queue;
}

static uint64_t bytes_in(uint64_t rate_bps, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)rate_bps * ns / (8 * NS_PER_S));
}

static uint64_t ns_for(uint64_t rate_bps, uint64_t bytes)
{
    return (uint64_t)((unsigned __int128)bytes * 8 * NS_PER_S / rate_bps);
}

uint64_t rate_queue_ns(const struct path_settings *settings)
{
    struct amount queue = queue_of(settings);
    uint64_t one_ns;

    if (!settings->rate_bps)
        return 0;
    one_ns = ns_for(settings->rate_bps, FRAME_BYTES_MAX);
    if (queue.unit == AMOUNT_PACKETS)
        return ns_for(settings->rate_bps, queue.value * 1518) + one_ns;
    if (queue.unit == AMOUNT_BYTES)
        return ns_for(settings->rate_bps, queue.value) + one_ns;
    return queue.value + one_ns;
}

size_t rate_arena_bytes(const struct path_settings *settings)
{
    if (queue_of(settings).unit != AMOUNT_PACKETS)
        return 0;
    return settings->queue.value * sizeof(uint64_t) + CACHE_LINE;
}

/* A limit in bytes and one in packets, of which one is out of reach. */
static void limit(uint64_t rate_bps, struct amount amount, uint64_t *bytes, uint64_t *packets)
{
    *bytes = amount.unit == AMOUNT_BYTES ? amount.value
             : amount.unit == AMOUNT_NS  ? bytes_in(rate_bps, amount.value)
                                         : UINT64_MAX;
    *packets = amount.unit == AMOUNT_PACKETS ? amount.value : UINT64_MAX;
}

int rate_init(struct path *path, struct mem_arena *arena)
{
    const struct path_settings *settings = &path->settings;
    struct rate_state *state = &path->rate;

    limit(settings->rate_bps, queue_of(settings), &state->queue_bytes, &state->queue_packets);
    limit(settings->rate_bps, settings->ecn_mark, &state->mark_bytes, &state->mark_packets);
    if (state->queue_packets == UINT64_MAX)
        return 0;
    state->departures = mem_arena_alloc(arena, state->queue_packets * sizeof(uint64_t), CACHE_LINE);
    return state->departures ? 0 : -ENOMEM;
}

/* --- a packet --------------------------------------------------------------------------------- */

/* RFC 3168, 5 (IPv4: the last two bits of the second byte; IPv6: of the traffic class). */
static bool ecn_mark(uint8_t *ip, bool ip6)
{
    unsigned shift = ip6 ? 4 : 0;
    uint8_t old = ip[1];

    if ((old >> shift & ECN_MASK) == ECN_NOT_ECT)
        return false;
    ip[1] |= (uint8_t)(ECN_CE << shift);
    if (!ip6) { /* RFC 1624, 3: HC' = ~(~HC + ~m + m') */
        uint32_t sum = (uint16_t)~get_be16(ip + 10) + (uint16_t)~old + (uint32_t)ip[1];

        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        put_be16(ip + 10, (uint16_t)~sum);
    }
    return ip[1] != old;
}

/* Packets that have left are not counted any more. */
static void let_leave(struct rate_state *state, uint64_t now_ns)
{
    while (state->count && state->departures[state->head] <= now_ns) {
        state->head = state->head + 1 == state->queue_packets ? 0 : state->head + 1;
        state->count--;
    }
}

static void remember(struct rate_state *state, uint64_t departure_ns)
{
    uint64_t at = state->head + state->count;

    state->departures[at >= state->queue_packets ? at - state->queue_packets : at] = departure_ns;
    state->count++;
}

/* Rounded down, and the rest kept for the next packet: the rate is exact in the long run. */
static uint64_t transmit_ns(struct rate_state *state, uint64_t rate_bps, uint32_t len)
{
    uint64_t bits_ns = state->bits_ns + (uint64_t)len * 8 * NS_PER_S;

    state->bits_ns = bits_ns % rate_bps;
    return bits_ns / rate_bps;
}

static bool rate_apply(struct path *path, struct transit *transit)
{
    struct rate_state *state = &path->rate;
    uint64_t rate_bps = path->settings.rate_bps,
             start_ns = max_u64(state->free_ns, transit->due_ns);
    uint64_t waiting_ns = start_ns - transit->due_ns;
    uint64_t waiting = bytes_in(rate_bps, waiting_ns);

    if (state->departures)
        let_leave(state, transit->due_ns);
    if (waiting_ns &&
        (waiting + transit->len > state->queue_bytes || state->count >= state->queue_packets)) {
        stat_inc(&path->stats.drop_queue);
        return false;
    }
    if ((waiting >= state->mark_bytes || state->count >= state->mark_packets) &&
        ecn_mark(transit->ip, transit->ip6))
        stat_inc(&path->stats.ecn_marked);
    transit->due_ns = start_ns + transmit_ns(state, rate_bps, transit->len);
    state->free_ns = transit->due_ns;
    if (state->departures)
        remember(state, transit->due_ns);
    if (waiting_ns > path->stats.queue_peak_ns)
        stat_set(&path->stats.queue_peak_ns, waiting_ns);
    return true;
}

static const struct path_option options[] = {
    {"rate", "BITS", "bits in a second: 20M", "bits in a second, from 8 to 100G, as in 20M",
     parse_rate_option},
    {"queue", "AMOUNT", "what may wait for it: 64k (bytes), 100p (packets), 50ms (100ms)",
     "bytes, packets or a time, as in 64k, 100p or 50ms", parse_queue},
    {"ecn-mark", "AMOUNT", "mark ECT packets CE when as much waits",
     "bytes, packets or a time, as in 32k, 20p or 5ms", parse_ecn_mark},
    {0},
};

const struct stage stage_rate = {"rate", options, rate_wanted, rate_apply};

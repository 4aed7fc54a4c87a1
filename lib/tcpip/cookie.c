// SPDX-License-Identifier: BSD-2-Clause
#include "cookie.h"

#include "base/siphash.h"
#include "wire.h"

#define MSS_BITS    3
#define MSS_MASK    7u
#define PARITY      8u /* of the period's number */
#define DATA_BITS   4

#define OPTION_BITS 6
#define OPTION_MASK 0x3fu
#define WSCALE_MASK 0x0fu
#define WSCALE_NONE 0x0fu /* TCP_WSCALE_MAX is one less */
#define OPTION_SACK 0x10u
#define OPTION_ECN  0x20u

/* The first one suits everybody whom we talk to (TCP_MSS_MIN). The others are what peers name:
 * RFC 9293's default, IPv6's least MTU, tunnels, PPPoE, Ethernet with and without IPv6 or
 * timestamps deducted, jumbo frames. */
static const uint16_t mss_of_index[MSS_MASK + 1] = {88, 536, 1220, 1360, 1400, 1440, 1460, 8940};

struct cookie_message {
    struct tcp_tuple tuple;
    uint32_t irs;
    uint32_t period_and_mss;
};
static_assert(sizeof(struct cookie_message) == 44, "hashed whole: no padding");

static uint32_t cookie_of(const uint64_t key[2], const struct tcp_tuple *tuple, uint32_t irs,
                          uint32_t period, uint32_t mss_index)
{
    struct cookie_message message = {*tuple, irs, period << MSS_BITS | mss_index};
    uint32_t hash = (uint32_t)siphash24(key, &message, sizeof(message));

    return hash << DATA_BITS | (period & 1 ? PARITY : 0) | mss_index;
}

uint32_t cookie_make(const uint64_t key[2], const struct tcp_tuple *tuple, uint32_t irs,
                     uint16_t mss, uint64_t now_ns)
{
    uint32_t index = MSS_MASK;

    while (index > 0 && mss_of_index[index] > mss)
        index--;
    return cookie_of(key, tuple, irs, (uint32_t)(now_ns / COOKIE_PERIOD_NS), index);
}

uint16_t cookie_check(const uint64_t key[2], const struct tcp_tuple *tuple, uint32_t irs,
                      uint32_t cookie, uint64_t now_ns)
{
    uint32_t period = (uint32_t)(now_ns / COOKIE_PERIOD_NS);
    uint32_t index = cookie & MSS_MASK;

    if ((period & 1) != !!(cookie & PARITY))
        period--;
    return cookie_of(key, tuple, irs, period, index) == cookie ? mss_of_index[index] : 0;
}

uint32_t cookie_timestamp(uint32_t clock, const struct cookie_options *options)
{
    uint32_t bits = options->has_wscale ? options->wscale : WSCALE_NONE, ts;

    if (options->sack)
        bits |= OPTION_SACK;
    if (options->ecn)
        bits |= OPTION_ECN;
    ts = (clock & ~OPTION_MASK) | bits;
    /* A timestamp ahead of the clock would be followed by an earlier one. */
    return (int32_t)(ts - clock) > 0 ? ts - (1u << OPTION_BITS) : ts;
}

struct cookie_options cookie_options_of(uint32_t timestamp)
{
    uint32_t wscale = timestamp & WSCALE_MASK;

    return (struct cookie_options){
        .has_wscale = wscale != WSCALE_NONE,
        .wscale = (uint8_t)(wscale != WSCALE_NONE ? wscale : 0),
        .sack = timestamp & OPTION_SACK,
        .ecn = timestamp & OPTION_ECN,
    };
}

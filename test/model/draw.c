// SPDX-License-Identifier: BSD-2-Clause
#include "draw.h"

#include "base/bytes.h"

#define OPTION_UNKNOWN 253 /* RFC 4727: for experiments */
#define HALF           0x80000000u
#define MIDDLING       300

static uint32_t below(struct draw *d, uint32_t n)
{
    return (uint32_t)rand_below(d->rand, n);
}

static bool chance(struct draw *d, double p)
{
    return rand_chance(d->rand, p);
}

void draw_peer(struct draw *d, struct rand *rand)
{
    static const uint16_t mss[] = {1460, 1460, 536, 1000, 100, 1, 0, 65535};

    d->rand = rand;
    d->offers_ts = chance(d, 0.5);
    d->offers_scale = chance(d, 0.5);
    d->offers_sack = chance(d, 0.5);
    d->scale = (uint8_t)(chance(d, 0.1) ? below(d, 256) : below(d, 8));
    d->mss = mss[below(d, array_len(mss))];
    d->ts_base = (uint32_t)rand_u64(rand);
    d->generous = chance(d, 0.5);
}

static uint32_t window(const struct model *m)
{
    return seq_before(m->rcv_nxt, m->rcv_edge) ? m->rcv_edge - m->rcv_nxt : 0;
}

static uint32_t draw_wnd(struct draw *d)
{
    static const uint32_t edges[] = {0, 1, 2, 100, 536, 1000, 1460, 3000, 65535};

    if (d->generous && chance(d, 0.9))
        return 65535;
    return chance(d, 0.8) ? edges[below(d, array_len(edges))] : below(d, 65536);
}

/* Around the places where sequence numbers of a new connection might wrap. */
static uint32_t draw_iss(struct draw *d)
{
    static const uint32_t edges[] = {0, 0xffffffffu, 0xfffffff0u, HALF - 1, HALF, HALF - 500};

    return chance(d, 0.5) ? edges[below(d, array_len(edges))] : (uint32_t)rand_u64(d->rand);
}

static uint32_t draw_len(struct draw *d, const struct model *m)
{
    switch (below(d, 8)) {
    case 0:
        return 1;
    case 1:
        return 2 + below(d, MIDDLING);
    case 2:
        return SEGMENT_TEXT_MAX - SEGMENT_OPTIONS_MAX + below(d, SEGMENT_OPTIONS_MAX + 1);
    case 3:
        return min_u32(window(m), SEGMENT_TEXT_MAX);
    case 4:
        return min_u32(window(m) + 1, SEGMENT_TEXT_MAX);
    default:
        return 0;
    }
}

/* --- options ---------------------------------------------------------------------------------- */

static void add_option(struct segment *seg, const uint8_t *bytes, uint32_t n)
{
    memcpy(seg->options + seg->option_bytes, bytes, n);
    seg->option_bytes += n;
}

static void add_stamp(struct segment *seg, uint32_t tsval, uint32_t tsecr)
{
    uint8_t opt[12] = {1, 1, 8, 10};

    put_be32(opt + 4, tsval);
    put_be32(opt + 8, tsecr);
    add_option(seg, opt, sizeof(opt));
}

/* The peer's clock, which never shows less than it showed. */
static uint32_t clock_now(const struct draw *d, const struct model *m)
{
    uint32_t now = d->ts_base + (uint32_t)(d->now_ns / NS_PER_MS);

    return m->ts && seq_before(now, m->ts_recent) ? m->ts_recent : now;
}

static uint32_t draw_stamp(struct draw *d, const struct model *m)
{
    switch (below(d, 12)) {
    case 0:
        return m->ts_recent;
    case 1:
        return m->ts_recent - 1;
    case 2:
        return m->ts_recent + 1;
    case 3:
        return m->ts_recent - below(d, HALF);
    case 4:
        return m->ts_recent + HALF - below(d, 3);
    default:
        return clock_now(d, m);
    }
}

/* Malformed or unknown ones, which change nothing of what stands before them. */
static void add_garbage(struct draw *d, struct segment *seg)
{
    static const uint8_t kinds[][4] = {
        {OPTION_UNKNOWN, 4, 1, 2},
        {OPTION_UNKNOWN, 0, 0, 0},
        {2, 3, 5, 1},
        {8, 1, 0, 0},
        {3, 200, 1, 1},
        {0, 8, 10, 1},
        {1, 1, 1, 2},
        {5, 2, 1, 0},
    };

    add_option(seg, kinds[below(d, array_len(kinds))], 4);
}

static void add_syn_options(struct draw *d, const struct model *m, struct segment *seg)
{
    uint8_t mss[4] = {2, 4}, scale[4] = {1, 3, 3, d->scale};
    static const uint8_t sack[4] = {1, 1, 4, 2};

    put_be16(mss + 2, d->mss);
    if (d->mss)
        add_option(seg, mss, sizeof(mss));
    if (d->offers_scale)
        add_option(seg, scale, sizeof(scale));
    if (d->offers_sack)
        add_option(seg, sack, sizeof(sack));
    if (d->offers_ts)
        add_stamp(seg, clock_now(d, m), 0);
}

static void finish(struct draw *d, struct segment *seg)
{
    seg->len = min_u32(seg->len, SEGMENT_TEXT_MAX - seg->option_bytes);
    segment_parse_options(seg);
}

static void add_options(struct draw *d, const struct model *m, struct segment *seg, bool odd)
{
    if (odd && chance(d, 0.03))
        add_garbage(d, seg);
    if (seg->flags & SYN)
        add_syn_options(d, m, seg);
    else if (m->ts ? !(odd && chance(d, 0.07)) : odd && chance(d, 0.05))
        add_stamp(seg, odd ? draw_stamp(d, m) : clock_now(d, m), m->last_tsval);
    if (odd && chance(d, 0.03))
        add_garbage(d, seg);
    finish(d, seg);
}

/* --- a legal move ----------------------------------------------------------------------------- */

static void opens(struct draw *d, const struct model *m, struct segment *seg)
{
    seg->flags = SYN;
    seg->seq = draw_iss(d);
    if (m->state == TCP_TIME_WAIT)
        seg->seq = m->rcv_nxt + below(d, 3) * below(d, 100000);
    if (chance(d, 0.05))
        seg->len = below(d, MIDDLING);
}

static void answers(struct draw *d, const struct model *m, struct segment *seg)
{
    seg->seq = draw_iss(d);
    seg->flags = chance(d, 0.7) ? SYN | ACK : SYN;
    if (chance(d, 0.04))
        seg->flags = RST | ACK;
    if (seg->flags & ACK)
        seg->ack = m->iss + 1;
    if (chance(d, 0.05))
        seg->len = below(d, MIDDLING);
}

static void completes(struct draw *d, const struct model *m, struct segment *seg)
{
    seg->flags = ACK;
    seg->ack = m->iss + 1;
    seg->seq = m->rcv_nxt;
    if (!m->passive && chance(d, 0.5)) {
        seg->flags |= SYN;
        seg->seq = m->irs;
    } else if (chance(d, 0.2)) {
        seg->len = min_u32(below(d, MIDDLING), window(m));
    }
    if (chance(d, 0.1))
        seg->flags |= FIN;
}

/* States that an ACK of our FIN ends; with it as often as elsewhere they would hardly be seen. */
static bool waits_for_ack(const struct model *m)
{
    return m->state == TCP_FIN_WAIT_1 || m->state == TCP_CLOSING || m->state == TCP_LAST_ACK;
}

static void converses(struct draw *d, const struct model *m, struct segment *seg)
{
    uint32_t flight = m->snd_nxt - m->snd_una;
    bool brief = waits_for_ack(m);

    seg->flags = ACK;
    seg->seq = m->rcv_nxt;
    seg->ack = chance(d, brief ? 0.1 : 0.6) ? m->snd_nxt : m->snd_una + below(d, flight + !brief);
    if (m->fin_taken)
        return;
    if (chance(d, 0.6))
        seg->len = min_u32(draw_len(d, m), window(m));
    if (chance(d, m->state == TCP_FIN_WAIT_1 ? 0.4 : 0.12) && seg->len < window(m))
        seg->flags |= FIN;
    if (seg->len && chance(d, 0.1) && seg->len < window(m)) /* the one before was lost */
        seg->seq += 1 + below(d, window(m) - seg->len);
}

bool draw_legal(struct draw *d, const struct model *m, struct segment *seg)
{
    *seg = (struct segment){.wnd = draw_wnd(d)};
    switch (model_state(m)) {
    case TCP_CLOSED:
        return false;
    case TCP_LISTEN:
        opens(d, m, seg);
        break;
    case TCP_SYN_SENT:
        answers(d, m, seg);
        break;
    case TCP_SYN_RECEIVED:
        completes(d, m, seg);
        break;
    case TCP_TIME_WAIT:
        if (chance(d, 0.3)) {
            opens(d, m, seg);
        } else {
            seg->flags = FIN | ACK;
            seg->seq = m->rcv_nxt - 1;
            seg->ack = m->snd_nxt;
        }
        break;
    default:
        converses(d, m, seg);
    }
    if (seg->len)
        seg->flags |= PSH;
    add_options(d, m, seg, false);
    return true;
}

/* --- anything --------------------------------------------------------------------------------- */

static uint8_t draw_flags(struct draw *d)
{
    static const uint8_t likely[] = {ACK,       ACK,       ACK, ACK,      ACK | PSH,
                                     ACK | FIN, ACK | FIN, SYN, SYN | ACK};
    static const uint8_t deadly[] = {RST, RST | ACK};
    uint8_t ecn = chance(d, 0.05) ? (uint8_t)(below(d, 4) * ECE) : 0;

    if (chance(d, 0.04))
        return deadly[below(d, array_len(deadly))];
    if (chance(d, 0.55))
        return likely[below(d, array_len(likely))] | ecn;
    return (uint8_t)below(d, ECE) | ecn;
}

static uint32_t draw_seq(struct draw *d, const struct model *m, uint32_t len)
{
    uint32_t edge = m->rcv_nxt + window(m);

    switch (below(d, 18)) {
    case 0:
        return m->rcv_nxt - 1;
    case 1:
        return m->rcv_nxt + 1;
    case 2:
        return m->rcv_nxt - len;
    case 3:
        return m->rcv_nxt - len + 1;
    case 4:
        return m->rcv_nxt - below(d, len + 1);
    case 5:
        return edge - len;
    case 6:
        return edge - len + 1;
    case 7:
        return edge - 1;
    case 8:
        return edge;
    case 9:
        return edge + 1;
    case 10:
        return m->rcv_nxt + below(d, window(m) + 1);
    case 11:
        return m->rcv_nxt + HALF + below(d, 3) - 1;
    case 12:
        return chance(d, 0.5) ? m->irs : m->irs + 1;
    case 13:
        return (uint32_t)rand_u64(d->rand);
    default:
        return m->rcv_nxt;
    }
}

static uint32_t draw_ack(struct draw *d, const struct model *m)
{
    uint32_t flight = m->snd_nxt - m->snd_una, wobble = below(d, 3) - 1;

    switch (below(d, 14)) {
    case 0:
        return m->snd_una - 1;
    case 1:
        return m->snd_una + wobble;
    case 2:
        return m->snd_nxt + wobble;
    case 3:
        return m->snd_nxt + 1 + below(d, 100000);
    case 4:
        return m->snd_una - m->max_snd_wnd + wobble;
    case 5:
        return m->snd_una - m->max_snd_wnd - 1 - below(d, 100000);
    case 6:
        return m->iss + below(d, 2);
    case 7:
        return m->snd_una + HALF + wobble;
    case 8:
        return (uint32_t)rand_u64(d->rand);
    case 9:
    case 10:
        return m->snd_una + below(d, flight + 1);
    default:
        return m->snd_nxt;
    }
}

void draw_any(struct draw *d, const struct model *m, struct segment *seg)
{
    *seg = (struct segment){.flags = draw_flags(d), .wnd = draw_wnd(d), .len = draw_len(d, m)};
    add_options(d, m, seg, true);
    seg->seq = m->state > TCP_SYN_SENT ? draw_seq(d, m, segment_len(seg)) : draw_iss(d);
    /* Without the bit the field means nothing, and may say anything. */
    seg->ack = draw_ack(d, m);
}

/* --- the end ---------------------------------------------------------------------------------- */

uint32_t draw_furthest(const struct model *m)
{
    uint32_t to = seq_before(m->rcv_nxt, m->snd_wl1) ? m->snd_wl1 : m->rcv_nxt;

    for (uint32_t i = 0; i < m->kept_count; i++)
        if (seq_before(to, m->kept[i][1]))
            to = m->kept[i][1];
    return to;
}

void draw_last(struct draw *d, const struct model *m, uint32_t furthest, struct segment *seg)
{
    uint32_t ahead = furthest - m->rcv_nxt;

    *seg = (struct segment){.flags = ACK, .wnd = 65535, .seq = m->rcv_nxt, .ack = m->snd_nxt};
    if (m->state == TCP_SYN_SENT) {
        seg->flags = SYN | ACK;
        seg->seq = draw_iss(d);
        seg->ack = m->iss + 1;
    } else if (m->state > TCP_SYN_RECEIVED && m->fin_taken) {
        seg->seq += ahead; /* newer than whatever said something about the window */
    } else if (m->state > TCP_SYN_RECEIVED) {
        seg->len = min_u32(min_u32(ahead, window(m)), SEGMENT_TEXT_MAX - SEGMENT_OPTIONS_MAX);
        if (seg->len == ahead && ahead < window(m))
            seg->flags |= FIN;
    }
    add_options(d, m, seg, false);
}

uint32_t draw_offset(const struct model *m, const struct segment *seg)
{
    if (m->state <= TCP_SYN_SENT || (m->state == TCP_TIME_WAIT && (seg->flags & SYN)))
        return 0;
    return seg->seq + ((seg->flags & SYN) != 0) - m->irs - 1;
}

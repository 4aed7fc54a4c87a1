// SPDX-License-Identifier: BSD-2-Clause
#include "coverage.h"

#include <stdio.h>

#define OPPOSITE_FROM 0x7fff0000u
#define OPPOSITE_TO   0x80010000u

static bool is_opposite(uint32_t distance)
{
    return distance >= OPPOSITE_FROM && distance <= OPPOSITE_TO;
}

static uint32_t window(const struct model *m)
{
    return seq_before(m->rcv_nxt, m->rcv_edge) ? m->rcv_edge - m->rcv_nxt : 0;
}

static enum coverage_seq seq_class(const struct model *m, const struct segment *seg)
{
    uint32_t wnd = window(m), from = seg->seq - m->rcv_nxt, len = segment_len(seg);

    if (is_opposite(from))
        return SEQ_OPPOSITE;
    if (seq_before(seg->seq, m->rcv_nxt)) {
        uint32_t before = m->rcv_nxt - seg->seq;

        return len <= before ? SEQ_OLD : len - before <= wnd ? SEQ_OVERLAPS : SEQ_SPANS;
    }
    if (from == 0)
        return len <= wnd ? SEQ_NEXT : SEQ_NEXT_LONG;
    if (from == wnd)
        return SEQ_AT_EDGE;
    if (from > wnd)
        return SEQ_BEYOND;
    return from + len <= wnd ? SEQ_AHEAD : SEQ_CROSSES;
}

static enum coverage_ack ack_class(const struct model *m, const struct segment *seg)
{
    uint32_t from = seg->ack - m->snd_una, flight = m->snd_nxt - m->snd_una;

    if (!(seg->flags & ACK))
        return ACK_ABSENT;
    if (is_opposite(from))
        return ACK_OPPOSITE;
    if (seq_before(seg->ack, m->snd_una))
        return m->snd_una - seg->ack <= m->max_snd_wnd ? ACK_OLD : ACK_TOO_OLD;
    if (from == 0)
        return ACK_UNA;
    return from < flight ? ACK_MIDDLE : from == flight ? ACK_NXT : ACK_NOT_SENT;
}

static enum coverage_option option_class(const struct model *m, const struct segment *seg)
{
    bool known = seg->has_mss || seg->has_scale || seg->has_ts || seg->sack_permitted;

    if (seg->option_bytes && (!known || seg->options[0] == 253))
        return OPTION_GARBAGE;
    if (!seg->has_ts)
        return m->ts ? OPTION_MISSING : OPTION_NONE;
    if (!m->ts)
        return OPTION_UNASKED;
    return seq_before(seg->tsval, m->ts_recent) ? OPTION_OLD_STAMP : OPTION_STAMP;
}

void coverage_segment(struct coverage *c, const struct model *m, const struct segment *seg)
{
    enum tcp_state state = model_state(m);

    c->segments++;
    c->flags[state][seg->flags % COVERAGE_FLAGS]++;
    if (state > TCP_SYN_SENT)
        c->seq[state][seq_class(m, seg)]++;
    if (state > TCP_LISTEN)
        c->ack[state][ack_class(m, seg)]++;
    c->len[state][seg->len == 0                                       ? LEN_NONE
                  : seg->len == 1                                     ? LEN_ONE
                  : seg->len < SEGMENT_TEXT_MAX - SEGMENT_OPTIONS_MAX ? LEN_SOME
                                                                      : LEN_FULL]++;
    c->option[state][option_class(m, seg)]++;
}

void coverage_call(struct coverage *c, const struct model *m, enum coverage_call call)
{
    c->call[model_state(m)][call]++;
}

/* --- what can be reached ---------------------------------------------------------------------- */

static bool flags_possible(enum tcp_state state, uint32_t flags)
{
    return true;
}

static bool seq_possible(enum tcp_state state, uint32_t class)
{
    return state > TCP_SYN_SENT; /* before, there is no RCV.NXT */
}

static bool ack_possible(enum tcp_state state, uint32_t class)
{
    switch (class) {
    case ACK_OLD: /* there is no window of the peer's before its SYN */
        return state > TCP_SYN_SENT;
    case ACK_MIDDLE: /* of a SYN there is none, and nothing is in flight when all was acknowledged
                      */
        return state > TCP_SYN_RECEIVED && state != TCP_FIN_WAIT_2 && state != TCP_TIME_WAIT;
    case ACK_NXT:
        return state > TCP_LISTEN && state != TCP_FIN_WAIT_2 && state != TCP_TIME_WAIT;
    default:
        return state > TCP_LISTEN;
    }
}

static bool len_possible(enum tcp_state state, uint32_t class)
{
    return true;
}

static bool option_possible(enum tcp_state state, uint32_t class)
{
    if (class == OPTION_STAMP || class == OPTION_OLD_STAMP || class == OPTION_MISSING)
        return state > TCP_SYN_SENT; /* nothing is negotiated before */
    return true;
}

static bool call_possible(enum tcp_state state, uint32_t class)
{
    switch (class) {
    case CALL_CONNECT:
        return state <= TCP_LISTEN;
    case CALL_WRITE:
    case CALL_CLOSE: /* SYN-RECEIVED of a simultaneous open */
        return (state >= TCP_SYN_SENT && state <= TCP_ESTABLISHED) || state == TCP_CLOSE_WAIT;
    case CALL_RECVED: /* of what was received and kept */
        return state >= TCP_ESTABLISHED && state != TCP_TIME_WAIT;
    case CALL_ABORT:
        return state >= TCP_SYN_SENT && state != TCP_TIME_WAIT;
    default:
        return true;
    }
}

/* --- the tables ------------------------------------------------------------------------------- */

#define NAMES_MAX 10

struct table {
    const char *title;
    const char *names[NAMES_MAX];
    uint32_t classes;
    const uint32_t *cells; /* [TCP_STATES][classes] */
    bool (*possible)(enum tcp_state state, uint32_t class);
};

static uint32_t print_row(const struct table *t, enum tcp_state state)
{
    uint32_t empty = 0;

    printf("# %-13s", tcp_state_name(state));
    for (uint32_t i = 0; i < t->classes; i++) {
        uint32_t n = t->cells[state * t->classes + i];

        if (!n && t->possible(state, i)) {
            empty++;
            printf(" %9s", "EMPTY");
        } else if (!n) {
            printf(" %9s", "-");
        } else {
            printf(" %9u", n);
        }
    }
    putchar('\n');
    return empty;
}

static uint32_t print_table(const struct table *t)
{
    uint32_t empty = 0;

    printf("#\n# %-13s", t->title);
    for (uint32_t i = 0; i < t->classes; i++)
        printf(" %9s", t->names[i]);
    putchar('\n');
    for (enum tcp_state state = 0; state < TCP_STATES; state++)
        empty += print_row(t, state);
    return empty;
}

/* 64 columns are too many to print: how many there are, and the rarest. */
static uint32_t print_flags(const struct coverage *c)
{
    uint32_t empty = 0;

    printf("#\n# flags           combinations    rarest\n");
    for (enum tcp_state state = 0; state < TCP_STATES; state++) {
        uint32_t met = 0, rarest = UINT32_MAX;

        for (uint32_t flags = 0; flags < COVERAGE_FLAGS; flags++) {
            met += c->flags[state][flags] > 0;
            rarest = min_u32(rarest, c->flags[state][flags]);
            empty += !c->flags[state][flags] && flags_possible(state, flags);
        }
        printf("# %-13s %9u of %u %9u\n", tcp_state_name(state), met, COVERAGE_FLAGS, rarest);
    }
    return empty;
}

uint32_t coverage_report(const struct coverage *c)
{
    const struct table tables[] = {
        {"sequence",
         {"opposite", "old", "overlaps", "spans", "next", "next-long", "ahead", "crosses", "edge",
          "beyond"},
         SEQ_CLASSES,
         &c->seq[0][0],
         seq_possible},
        {"ACK",
         {"none", "opposite", "too-old", "old", "una", "middle", "nxt", "not-sent"},
         ACK_CLASSES,
         &c->ack[0][0],
         ack_possible},
        {"text", {"none", "one", "some", "full"}, LEN_CLASSES, &c->len[0][0], len_possible},
        {"options",
         {"none", "stamp", "old-stamp", "missing", "unasked", "garbage"},
         OPTION_CLASSES,
         &c->option[0][0],
         option_possible},
        {"calls",
         {"connect", "write", "recved", "close", "abort", "time"},
         CALL_CLASSES,
         &c->call[0][0],
         call_possible},
    };
    uint32_t empty = print_flags(c);

    for (size_t i = 0; i < array_len(tables); i++)
        empty += print_table(&tables[i]);
    printf("#\n# %llu segments, %u cells are empty that need not be\n",
           (unsigned long long)c->segments, empty);
    return empty;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "audit.h"

#include "tcpip/priv.h"

struct audit {
    struct world *world;
    const char *name;
    const struct tcp_conn *conn;
    uint64_t senders, ranges;
};

static bool complain(const struct audit *audit, const char *what, uint64_t a, uint64_t b)
{
    return world_fail(audit->world, "%s: connection %u-%u: %s (%llu, %llu)", audit->name,
                      audit->conn->local_port, audit->conn->remote_port, what,
                      (unsigned long long)a, (unsigned long long)b);
}

static uint64_t length(const struct list *head)
{
    uint64_t n = 0;

    for (const struct list *at = head->next; at != head; at = at->next)
        n++;
    return n;
}

struct totals {
    uint64_t count;
    uint64_t in_state[SENT_ASKED + 1]; /* ranges */
    uint64_t bytes[SENT_ASKED + 1];
    bool hint_found;
};

/* The ranges cover what is out, from left to right, without gap or overlap. */
static bool audit_ranges(const struct audit *audit, const struct tcp_sender *s,
                         struct totals *totals)
{
    uint64_t at = audit->conn->snd_una;

    for (const struct tcp_sent *range = tcp_sent_first(s); range; range = tcp_sent_next(s, range)) {
        if (range->seq != at)
            return complain(audit, "a gap in the scoreboard, or an overlap", at, range->seq);
        if (range->end <= range->seq || range->state > SENT_ASKED)
            return complain(audit, "an impossible range", range->seq, range->end);
        if (list_linked(&range->link) != (range->state != SENT_SACKED))
            return complain(audit, "a range that is on the wrong list", range->seq, range->state);
        totals->count++;
        totals->in_state[range->state]++;
        totals->bytes[range->state] += range->end - range->seq;
        totals->hint_found |= range == s->hint;
        at = range->end;
    }
    if (at != audit->conn->snd_nxt)
        return complain(audit, "the scoreboard does not end at snd_nxt", at, audit->conn->snd_nxt);
    return true;
}

static bool audit_sums(const struct audit *audit, const struct tcp_sender *s,
                       const struct totals *totals)
{
    bool sack = audit->conn->flags & CONN_SACK;

    if (sack && s->sacked_bytes != totals->bytes[SENT_SACKED])
        return complain(audit, "sacked_bytes", s->sacked_bytes, totals->bytes[SENT_SACKED]);
    if (s->lost_bytes != totals->bytes[SENT_LOST])
        return complain(audit, "lost_bytes", s->lost_bytes, totals->bytes[SENT_LOST]);
    if (s->asked_bytes != totals->bytes[SENT_ASKED])
        return complain(audit, "asked_bytes", s->asked_bytes, totals->bytes[SENT_ASKED]);
    if (s->range_count != totals->count)
        return complain(audit, "range_count", s->range_count, totals->count);
    if (length(&s->in_air) != totals->in_state[SENT_IN_AIR])
        return complain(audit, "in_air", length(&s->in_air), totals->in_state[SENT_IN_AIR]);
    if (length(&s->lost) != totals->in_state[SENT_LOST])
        return complain(audit, "lost", length(&s->lost), totals->in_state[SENT_LOST]);
    if (length(&s->asked) != totals->in_state[SENT_ASKED])
        return complain(audit, "asked", length(&s->asked), totals->in_state[SENT_ASKED]);
    if (s->hint && !totals->hint_found)
        return complain(audit, "the hint is no range", 0, 0);
    return true;
}

/* What was found lost goes in the order of its numbers: the peer waits for the first. */
static bool audit_lost(const struct audit *audit, const struct tcp_sender *s)
{
    uint64_t at = 0;

    for (const struct list *node = s->lost.next; node != &s->lost; node = node->next) {
        const struct tcp_sent *range = list_entry(node, struct tcp_sent, link);

        if (range->state != SENT_LOST || range->seq < at)
            return complain(audit, "the list of the lost is not in order", at, range->seq);
        at = range->end;
    }
    return true;
}

/* Whoever has something out waits for it. */
static bool audit_timer(const struct audit *audit)
{
    const struct tcp_conn *conn = audit->conn;

    if (conn->snd_una < conn->snd_nxt && conn->state != TCP_TIME_WAIT && !conn->rto_at_ns)
        return complain(audit, "bytes are out, and no timer runs", conn->snd_una, conn->snd_nxt);
    if (conn->rto_at_ns && !timer_armed(&conn->timer))
        return complain(audit, "a deadline without a timer", conn->rto_at_ns, 0);
    return true;
}

static bool audit_conn(struct audit *audit)
{
    const struct tcp_conn *conn = audit->conn;
    const struct tcp_sender *s = conn->sender;
    struct totals totals = {0};

    if (conn->snd_una > conn->snd_nxt || conn->snd_nxt > conn->snd_asked + 1)
        return complain(audit, "sending out of order", conn->snd_una, conn->snd_nxt);
    if (conn->state < TCP_ESTABLISHED)
        return true;
    if (!audit_timer(audit))
        return false;
    if (!s) {
        if (conn->snd_una != conn->snd_nxt)
            return complain(audit, "bytes are out, and no sender", conn->snd_una, conn->snd_nxt);
        return true;
    }
    audit->senders++;
    audit->ranges += s->range_count;
    return audit_ranges(audit, s, &totals) && audit_sums(audit, s, &totals) && audit_lost(audit, s);
}

bool audit_tcp(struct world *world, struct tcp *tcp, const char *name)
{
    struct audit audit = {.world = world, .name = name};

    for (struct tcp_conn *conn = tcp_conn_next(tcp, NULL); conn; conn = tcp_conn_next(tcp, conn)) {
        audit.conn = conn;
        if (!audit_conn(&audit))
            return false;
    }
    if (audit.senders != tcp->senders.in_use || audit.ranges != tcp->ranges.in_use)
        return world_fail(world, "%s: %llu senders and %llu ranges are in use, %llu and %llu known",
                          name, (unsigned long long)tcp->senders.in_use,
                          (unsigned long long)tcp->ranges.in_use, (unsigned long long)audit.senders,
                          (unsigned long long)audit.ranges);
    return true;
}

/* Both count alike: from 2^32 and the initial number on. */
bool audit_sacked(struct world *world, const struct tcp_conn *sender, const struct tcp_conn *peer)
{
    const struct tcp_sender *s = sender->sender;

    if (!s || sender->iss != peer->irs)
        return true;
    for (const struct tcp_sent *range = tcp_sent_first(s); range; range = tcp_sent_next(s, range)) {
        uint64_t at = max_u64(range->seq, peer->rcv_nxt);

        while (range->state == SENT_SACKED && at < range->end) {
            struct reasm_span span = reasm_overlap(&peer->tcp->reasm, &peer->reasm, at, range->end);

            if (span.start != at || span.end <= at)
                return world_fail(world, "port %u believes that its peer has %llu to %llu",
                                  sender->local_port, (unsigned long long)at,
                                  (unsigned long long)range->end);
            at = span.end;
        }
    }
    return true;
}

bool audit_empty(struct world *world, const struct tcp *tcp, const char *name)
{
    if (tcp->conns.in_use || tcp->senders.in_use || tcp->ranges.in_use || tcp->reasm.in_use)
        return world_fail(
            world,
            "%s: nobody is connected, but %llu connections, %llu senders, %llu"
            " ranges, %llu buffers are in use",
            name, (unsigned long long)tcp->conns.in_use, (unsigned long long)tcp->senders.in_use,
            (unsigned long long)tcp->ranges.in_use, (unsigned long long)tcp->reasm.in_use);
    return true;
}

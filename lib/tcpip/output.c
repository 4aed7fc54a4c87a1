// SPDX-License-Identifier: BSD-2-Clause
/*
 * output.c - segments: how they are built, and how an answer of the application becomes some.
 *
 * An answer (tcp_send) comes at once or many turns after it was asked for (pull.c). Only here does
 * snd_nxt move, or a lost range count as being in the air again.
 */
#include "priv.h"

/* --- building segments ------------------------------------------------------------------------ */

/* A position in the slices of an answer, of which each frame takes a piece. */
struct cursor {
    const struct nmio_slice *slices;
    uint32_t count, at;
    uint32_t off; /* within slices[at] */
};

/* The next n bytes become slices of the frame, each with a reference of its own. Returns how many
 * fitted. */
static uint32_t cursor_take(struct cursor *c, struct nmio_frame *frame, uint32_t slices_max,
                            uint32_t n)
{
    uint32_t taken = 0;

    while (taken < n && frame->slice_count < slices_max) {
        const struct nmio_slice *s = &c->slices[c->at];
        uint32_t part = min_u32(n - taken, s->len - c->off);

        frame->slices[frame->slice_count++] = (struct nmio_slice){s->data + c->off, part, s->owner};
        if (s->owner)
            mem_chunk_hold(s->owner);
        taken += part;
        c->off += part;
        if (c->off == s->len) {
            c->at++;
            c->off = 0;
        }
    }
    return taken;
}

static void cursor_skip(struct cursor *c, uint64_t n)
{
    while (n > 0) {
        uint64_t part = min_u64(n, c->slices[c->at].len - c->off);

        n -= part;
        c->off += (uint32_t)part;
        if (c->off == c->slices[c->at].len) {
            c->at++;
            c->off = 0;
        }
    }
}

static uint64_t sum_slices(uint64_t sum, const struct nmio_frame *frame)
{
    size_t at = 0;

    for (uint32_t i = 0; i < frame->slice_count; i++) {
        sum = ip_sum_at(sum, at, frame->slices[i].data, frame->slices[i].len);
        at += frame->slices[i].len;
    }
    return sum;
}

static void put_checksum(const struct tcp_conn *conn, struct nmio_frame *frame, uint16_t at,
                         uint32_t tcp_bytes)
{
    struct tcp_header *hdr = (void *)(frame->header + at);
    uint64_t sum = ip_sum_pseudo(&conn->flow.local, &conn->flow.remote, IP_PROTO_TCP, tcp_bytes);
    uint16_t folded;

    if (conn->tcp->caps->tx_csum) {
        frame->csum_start = at;
        frame->csum_offset = offsetof(struct tcp_header, checksum);
        folded = ip_sum_fold(sum);
    } else {
        sum = ip_sum(sum, hdr, frame->header_len - at);
        folded = ~ip_sum_fold(sum_slices(sum, frame));
    }
    memcpy(hdr->checksum, &folded, sizeof(folded));
}

/* RFC 7323 appendix A's layout: two NOPs, then the option, so that its fields are aligned. */
static uint8_t *put_timestamps(struct tcp_conn *conn, uint8_t *opt, uint64_t now_ns)
{
    opt[0] = opt[1] = TCP_OPT_NOP;
    opt[2] = TCP_OPT_TIMESTAMPS;
    opt[3] = 10;
    put_be32(opt + 4, tcp_now_ts(conn, now_ns));
    put_be32(opt + 8, conn->ts_recent);
    return opt + TCP_OPT_TIMESTAMPS_SPACE;
}

/* A SYN offers everything; a SYN-ACK only what the peer's SYN offered (RFC 7323 2.2, 3.2). */
static uint8_t *put_syn_options(struct tcp_conn *conn, uint8_t *opt, uint64_t now_ns)
{
    bool reply = conn->state == TCP_SYN_RECEIVED;

    opt[0] = TCP_OPT_MSS;
    opt[1] = 4;
    put_be16(opt + 2, (uint16_t)tcp_our_mss(conn));
    opt += 4;
    if (!reply || (conn->flags & CONN_TS))
        opt = put_timestamps(conn, opt, now_ns);
    if (!reply || (conn->flags & CONN_WSCALE)) {
        opt[0] = TCP_OPT_NOP;
        opt[1] = TCP_OPT_WSCALE;
        opt[2] = 3;
        opt[3] = tcp_our_window_shift(conn);
        opt += 4;
    }
    if (!reply || (conn->flags & CONN_SACK)) {
        opt[0] = opt[1] = TCP_OPT_NOP;
        opt[2] = TCP_OPT_SACK_PERMITTED;
        opt[3] = 2;
        opt += 4;
    }
    return opt;
}

/* RFC 3168 6.1.1. A SYN that was lost is sent again without: there are boxes that drop those that
 * ask (6.1.1.1). */
static uint8_t ecn_flags_of_syn(const struct tcp_conn *conn)
{
    if (conn->state == TCP_SYN_RECEIVED)
        return conn->flags & CONN_ECN ? TCP_ECE : 0;
    return tcp_syn_asks_for_ecn(conn) ? TCP_ECE | TCP_CWR : 0;
}

/*
 * The window to tell, and the right edge that it means. The edge never moves left (RFC 9293
 * SHLD-14): where scaling rounds the field down, what was promised before is still accepted. It
 * moves right in steps worth a segment, so that no peer is led to send less (3.8.6.2.2).
 */
static uint16_t window_to_tell(struct tcp_conn *conn, bool syn)
{
    uint8_t shift = syn ? 0 : conn->rcv_wscale;
    uint64_t edge = max_u64(conn->rcv_nxt + conn->rcv_wnd, conn->rcv_adv);
    uint64_t field;

    if (edge - conn->rcv_adv < tcp_window_step(conn))
        edge = conn->rcv_adv;
    field = min_u64((edge - conn->rcv_nxt) >> shift, 0xffff);
    conn->rcv_adv = max_u64(conn->rcv_adv, conn->rcv_nxt + (field << shift));
    return (uint16_t)field;
}

/* RFC 2018 3: what was kept ahead of a gap, the newest first; before that what came twice (RFC 2883
 * 4), once. As many blocks as there is room for. */
static uint8_t *put_sacks(struct tcp_conn *conn, uint8_t *opt)
{
    struct tcp_sack sacks[TCP_SACKS_MAX];
    uint32_t max = conn->flags & CONN_TS ? TCP_SACKS_MAX - 1 : TCP_SACKS_MAX, n = 0;

    if (conn->twice.start != conn->twice.end)
        sacks[n++] = conn->twice;
    conn->twice = (struct tcp_sack){0};
    n += reasm_sacks(&conn->tcp->reasm, &conn->reasm, sacks + n, max - n);
    if (n == 0)
        return opt;
    opt[0] = opt[1] = TCP_OPT_NOP;
    opt[2] = TCP_OPT_SACK;
    opt[3] = (uint8_t)(2 + 8 * n);
    opt += 4;
    for (uint32_t i = 0; i < n; i++, opt += 8) {
        put_be32(opt, sacks[i].start);
        put_be32(opt + 4, sacks[i].end);
    }
    return opt;
}

/*
 * The TCP header of any segment but a stray RST. Whatever ACK was owed rides on it, unless it is
 * one that counts only without data: a duplicate (RFC 5681 2), or SACK blocks, for which a segment
 * of conn->mss bytes has no room.
 */
static void put_header(struct tcp_conn *conn, struct nmio_frame *frame, uint64_t seq, uint8_t flags,
                       uint32_t len, uint64_t now_ns)
{
    struct tcp_header *hdr = (void *)(frame->header + frame->header_len);
    uint8_t *end = (uint8_t *)(hdr + 1);

    put_be16(hdr->src_port, conn->local_port);
    put_be16(hdr->dst_port, conn->remote_port);
    put_be32(hdr->seq, (uint32_t)seq);
    put_be32(hdr->ack, flags & TCP_ACK ? (uint32_t)conn->rcv_nxt : 0);
    hdr->flags = flags;
    put_be16(hdr->window, window_to_tell(conn, flags & TCP_SYN));
    memset(hdr->checksum, 0, sizeof(hdr->checksum) + sizeof(hdr->urgent));
    if (flags & TCP_SYN) {
        hdr->flags |= ecn_flags_of_syn(conn);
        end = put_syn_options(conn, end, now_ns);
    } else if (conn->flags & CONN_TS) {
        end = put_timestamps(conn, end, now_ns);
    }
    if (len == 0 && (conn->flags & CONN_SACK) && flags == TCP_ACK)
        end = put_sacks(conn, end);
    hdr->data_off = (uint8_t)((end - (uint8_t *)hdr) / 4 << 4);
    frame->header_len = (uint16_t)(end - frame->header);
    if (flags & TCP_ACK) {
        if (conn->flags & CONN_ECE)
            hdr->flags |= TCP_ECE;
        conn->last_ack_sent = conn->rcv_nxt;
        if (len == 0 || !(conn->flags & CONN_ACK_ALONE))
            conn->flags &= ~(CONN_ACK_NOW | CONN_ACK_ALONE);
        conn->ack_at_ns = 0;
    }
}

/* RFC 3168 6.1.4 to 6.1.6: routers may mark new data, but no bare ACK, nothing that is sent again
 * (snd_nxt moves after new data has gone), and no window probe. */
static uint8_t ecn_of(const struct tcp_conn *conn, uint64_t seq, uint32_t len)
{
    return (conn->flags & CONN_ECN) && len > 0 && seq >= conn->snd_nxt && conn->snd_wnd > 0
               ? IP_ECN_ECT_0
               : IP_ECN_NOT_ECT;
}

/* One frame: up to `len` bytes from the cursor (NULL: none). Returns how many it carries. When the
 * port has no room the segment counts as lost on the way: the same machinery brings it back. */
static uint32_t emit(struct tcp_conn *conn, uint64_t seq, struct cursor *c, uint32_t len,
                     uint8_t flags, uint8_t end_flags, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    struct nmio_frame *frame = ip_frame(tcp->ip, &conn->flow, IP_PROTO_TCP, ecn_of(conn, seq, len));
    uint16_t at;
    uint32_t taken = 0;

    if (!frame) {
        stat_inc(&tcp->stats.drop_no_frame);
        if (c)
            cursor_skip(c, len);
        return len;
    }
    at = frame->header_len;
    if (c)
        taken = cursor_take(c, frame, tcp->caps->slices_max, len);
    put_header(conn, frame, seq, taken == len ? flags | end_flags : flags, taken, now_ns);
    if (taken > conn->mss)
        frame->gso_size = conn->mss;
    put_checksum(conn, frame, at, frame->header_len - at + taken);
    stat_inc(&tcp->stats.segs_out);
    stat_add(&tcp->stats.bytes_out, taken);
    ip_send(tcp->ip, &conn->flow, frame, now_ns);
    return taken;
}

/* A segment without payload. */
void tcp_emit_bare(struct tcp_conn *conn, uint64_t seq, uint8_t flags, uint64_t now_ns)
{
    emit(conn, seq, NULL, 0, flags, 0, now_ns);
}

/* --- an answer becomes segments --------------------------------------------------------------- */

/* Starts the clocks that run while something is out. `first`: nothing was. */
void tcp_sent_something(struct tcp_conn *conn, bool first, uint64_t now_ns)
{
    if (first) {
        conn->progress_ns = now_ns;
        if (conn->rto_at_ns) { /* what ran was the persist or override timer */
            conn->rto_at_ns = 0;
            conn->backoff = 0;
        }
    }
    if (!conn->rto_at_ns)
        tcp_loss_timer_arm(conn, now_ns, now_ns); /* RFC 6298 5.1 */
    else if (conn->sender->loss_timer == LOSS_TIMER_PROBE)
        tcp_loss_timer_arm(conn, tcp_sent_first(conn->sender)->sent_ns, now_ns);
}

/* Sends [from, to) in frames as large as the port takes. The last byte written carries PSH, and FIN
 * if that is due. */
static void send_range(struct tcp_conn *conn, struct cursor *c, uint64_t from, uint64_t to,
                       uint8_t flags, bool fin, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    uint32_t gso = ip_gso_payload_max(tcp->ip, &conn->flow);
    uint32_t options = conn->flags & CONN_TS ? TCP_OPT_TIMESTAMPS_SPACE : 0;
    uint32_t frame_max = conn->mss;
    uint8_t end_flags = to == conn->snd_end ? TCP_PSH | (fin ? TCP_FIN : 0) : 0;

    if (gso)
        frame_max = max_u32(frame_max, gso - sizeof(struct tcp_header) - options);
    frame_max -= frame_max % conn->mss; /* no short segment in the middle (3.8.6.2.1) */
    while (from < to) {
        uint32_t len = (uint32_t)min_u64(to - from, frame_max);

        from += emit(conn, from, c, len, flags, from + len == to ? end_flags : 0, now_ns);
        flags &= (uint8_t)~TCP_CWR; /* one of them says that the window was reduced */
    }
}

/* The FIN right behind this range, if it was lost, too: it rides on the last byte again. */
static struct tcp_sent *lost_fin(struct tcp_conn *conn, const struct tcp_sent *range)
{
    struct tcp_sent *next = tcp_sent_next(conn->sender, range);

    return next && (next->flags & SENT_FIN) && next->state == SENT_LOST ? next : NULL;
}

void tcp_range_sent(struct tcp_conn *conn, struct tcp_sent *range, uint64_t now_ns)
{
    /* The timer has run since the disk was asked: the network has its time from now on. That of
     * what may only be late goes on; the other is started when it has fired. */
    if (range->seq == conn->snd_una && conn->sender->loss_timer != LOSS_TIMER_REORDER)
        conn->rto_at_ns = 0;
    tcp_sent_again(conn, range, now_ns);
    tcp_sent_something(conn, false, now_ns);
}

/* A range that was lost goes out once more. */
static void resend(struct tcp_conn *conn, struct tcp_sent *range, struct cursor *c, uint64_t now_ns)
{
    struct tcp_stats *stats = &conn->tcp->stats;
    struct tcp_sent *fin = lost_fin(conn, range);
    uint64_t segs_before = stats->segs_out;

    stat_add(&stats->retrans_bytes, range->end - range->seq);
    send_range(conn, c, range->seq, range->end, TCP_ACK, fin, now_ns);
    stat_add(&stats->retrans_segs, stats->segs_out - segs_before);
    tcp_range_sent(conn, range, now_ns);
    if (fin)
        tcp_range_sent(conn, fin, now_ns);
}

/* Cuts an asked range so that it lies within [seq, end). NULL: there is nothing to cut with; it is
 * asked for again. */
static struct tcp_sent *within(struct tcp_conn *conn, struct tcp_sent *range, uint64_t seq,
                               uint64_t end)
{
    if (range->seq < seq) {
        if (!tcp_sent_split(conn, range, seq)) {
            tcp_sent_unasked(conn, range);
            return NULL;
        }
        range = tcp_sent_next(conn->sender, range);
    }
    if (range->end > end && !tcp_sent_split(conn, range, end)) {
        tcp_sent_unasked(conn, range);
        return NULL;
    }
    return range;
}

/* The parts of the answer that were lost and asked for. True: there were such. */
static bool answer_lost(struct tcp_conn *conn, const struct cursor *c, uint64_t seq, uint64_t end,
                        uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct list *at = s->asked.next;
    bool used = false;

    while (at != &s->asked) {
        struct tcp_sent *range = list_entry(at, struct tcp_sent, link);
        struct cursor lost = *c;

        at = at->next;
        if (range->end <= seq || range->seq >= end)
            continue;
        range = within(conn, range, seq, end);
        if (!range)
            continue;
        cursor_skip(&lost, range->seq - seq);
        resend(conn, range, &lost, now_ns);
        used = true;
    }
    return used;
}

void tcp_fin_is_out(struct tcp_conn *conn)
{
    conn->flags |= CONN_FIN_SENT;
    conn->snd_nxt = conn->snd_asked = conn->snd_end + 1;
    tcp_conn_set_state(conn, conn->state == TCP_ESTABLISHED ? TCP_FIN_WAIT_1 : TCP_LAST_ACK);
}

/* The part of the answer that is new. False: there is no range to remember it by; it is asked for
 * again. */
static bool answer_new(struct tcp_conn *conn, struct cursor *c, uint64_t seq, uint64_t end,
                       uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    uint64_t from = conn->snd_nxt, to = min_u64(end, conn->snd_asked);
    bool fin = to == conn->snd_end && tcp_fin_due(conn) && tcp_fin_fits(conn);
    uint8_t flags = TCP_ACK;

    if (!tcp_sent_new(conn, from, to, 0, now_ns)) {
        conn->snd_asked = conn->snd_nxt;
        return false;
    }
    if (fin && !tcp_sent_new(conn, to, to + 1, SENT_FIN, now_ns))
        fin = false;
    if (s->cwr_owed) {
        s->cwr_owed = false;
        flags |= TCP_CWR;
    }
    cursor_skip(c, from - seq);
    send_range(conn, c, from, to, flags, fin, now_ns);
    conn->snd_nxt = to;
    if (fin)
        tcp_fin_is_out(conn);
    tcp_sent_something(conn, from == conn->snd_una, now_ns);
    return true;
}

/* RFC 4821 7.5: the first of the bytes that are new go as one segment, larger than is known to
 * arrive, if it is time for that. */
static void answer_probe(struct tcp_conn *conn, struct cursor c, uint64_t seq, uint64_t end,
                         uint64_t now_ns)
{
    uint64_t from = conn->snd_nxt, bytes = min_u64(end, conn->snd_asked) - from;
    uint32_t len = tcp_mtu_probe_due(conn, bytes, now_ns);
    uint64_t segs_before = conn->tcp->stats.segs_out;
    uint16_t mss = conn->mss;

    if (!len || !tcp_sent_new(conn, from, from + len, SENT_MTU_PROBE, now_ns))
        return;
    cursor_skip(&c, from - seq);
    conn->mss = (uint16_t)len; /* of this one */
    send_range(conn, &c, from, from + len, TCP_ACK, false, now_ns);
    conn->mss = mss;
    conn->snd_nxt = from + len;
    if (conn->tcp->stats.segs_out - segs_before == 1) /* more: its slices filled two frames */
        tcp_mtu_probe_sent(conn, from + len, len);
    tcp_sent_something(conn, from == conn->snd_una, now_ns);
}

/*
 * An answer is used for whatever part of it is still wanted: lost ranges first, then new bytes.
 * What was cancelled by a timeout and asked for again is thus answered by whichever answer comes
 * first, and the other finds nothing left to do.
 */
void tcp_send(struct tcp_conn *conn, uint64_t offset, const struct nmio_slice *slices,
              uint32_t slice_count, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    struct cursor c = {.slices = slices, .count = slice_count};
    uint64_t seq = tcp_iss64(conn) + 1 + offset, end = seq;
    bool used = false;

    for (uint32_t i = 0; i < slice_count; i++)
        end += slices[i].len;
    assert(end <= conn->snd_end);
    if (conn->sender && conn->sender->asked_bytes)
        used = answer_lost(conn, &c, seq, end, now_ns);
    if (conn->sender && seq <= conn->snd_nxt && conn->snd_nxt < min_u64(end, conn->snd_asked)) {
        if (unlikely(conn->sender->mtu.probe_at_ns <= now_ns))
            answer_probe(conn, c, seq, end, now_ns);
        used |= answer_new(conn, &c, seq, end, now_ns);
    }
    if (!used)
        stat_inc(&tcp->stats.stale_answers);
    for (uint32_t i = 0; i < slice_count; i++)
        if (slices[i].owner)
            mem_chunk_put(slices[i].owner);
    if (conn->snd_asked < conn->snd_end || tcp_something_lost(conn) || tcp_fin_due(conn))
        tcp_conn_ready(conn);
}

/* --- answers without a connection ------------------------------------------------------------- */

/* The place of an answer to this segment; the caller fills in what it says. NULL: too many are
 * owed. */
struct tcp_stray *tcp_owe_stray(struct tcp *tcp, const struct ip_dgram *dgram,
                                const struct tcp_seg *seg)
{
    struct tcp_stray *s;

    if (tcp->stray_count == TCP_STRAYS_OWED) {
        stat_inc(&tcp->stats.drop_stray_queue);
        return NULL;
    }
    s = &tcp->strays[tcp->stray_count++];
    *s = (struct tcp_stray){.local = dgram->dst,
                            .remote = dgram->src,
                            .local_port = seg->dst_port,
                            .remote_port = seg->src_port};
    return s;
}

/* RFC 9293 3.10.7.1: what the RST says depends on what the segment said. */
void tcp_owe_reset(struct tcp *tcp, const struct ip_dgram *dgram, const struct tcp_seg *seg)
{
    struct tcp_stray *s = tcp_owe_stray(tcp, dgram, seg);

    if (!s)
        return;
    if (seg->flags & TCP_ACK) {
        s->seq = seg->ack;
        s->flags = TCP_RST;
    } else {
        s->ack = seg->seq + tcp_seg_len(seg);
        s->flags = TCP_RST | TCP_ACK;
    }
}

/* A connection that lives for one segment. */
void tcp_pay_stray(struct tcp *tcp, const struct tcp_stray *s, uint64_t now_ns)
{
    struct tcp_conn stray = {.tcp = tcp,
                             .local_port = s->local_port,
                             .remote_port = s->remote_port,
                             .rcv_nxt = s->ack,
                             .rcv_adv = s->ack,
                             .flags = s->conn_flags,
                             .ts_offset = s->tsval - (uint32_t)(now_ns / NS_PER_MS),
                             .ts_recent = s->tsecr,
                             .flow = {.local = s->local, .remote = s->remote}};

    if (ip_flow_open(tcp->ip, &stray.flow, now_ns) < 0)
        return;
    ip_flow_ports(tcp->ip, &stray.flow, s->local_port, s->remote_port);
    if (s->flags & TCP_SYN) {
        stray.state = TCP_SYN_RECEIVED;
        stray.rcv_wnd = tcp->config.rcv_wnd_bytes;
    } else {
        stat_inc(&tcp->stats.resets_out);
    }
    emit(&stray, s->seq, NULL, 0, s->flags, 0, now_ns);
    ip_flow_close(tcp->ip, &stray.flow);
}

/* RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>, with the ACK that makes it acceptable everywhere. */
void tcp_send_reset(struct tcp_conn *conn, uint64_t now_ns)
{
    if (conn->state < TCP_SYN_RECEIVED)
        return;
    stat_inc(&conn->tcp->stats.resets_out);
    emit(conn, conn->snd_nxt, NULL, 0, TCP_RST | TCP_ACK, 0, now_ns);
}

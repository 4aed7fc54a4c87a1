// SPDX-License-Identifier: BSD-2-Clause
/*
 * output.c - what is owed is paid: tcp_pull asks for bytes, tcp_send puts them on the wire.
 *
 * tcp_pull walks the connections that may send something. For each it asks the application first
 * for what was lost, then for what is new, as far as the windows admit. The answers come back
 * through tcp_send, at once or many turns later, and become segments there. Only then do snd_nxt
 * and rtx_sent move.
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

    if (ip_caps(conn->tcp->ip)->tx_csum) {
        frame->csum_start = at;
        frame->csum_offset = offsetof(struct tcp_header, checksum);
        folded = ip_sum_fold(sum);
    } else {
        sum = ip_sum(sum, hdr, frame->header_len - at);
        folded = (uint16_t)~ip_sum_fold(sum_slices(sum, frame));
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
    return opt;
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

/* The TCP header of any segment but a stray RST. Whatever ACK was owed rides on it. */
static void put_header(struct tcp_conn *conn, struct nmio_frame *frame, uint64_t seq, uint8_t flags,
                       uint64_t now_ns)
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
    if (flags & TCP_SYN)
        end = put_syn_options(conn, end, now_ns);
    else if (conn->flags & CONN_TS)
        end = put_timestamps(conn, end, now_ns);
    hdr->data_off = (uint8_t)((end - (uint8_t *)hdr) / 4 << 4);
    frame->header_len = (uint16_t)(end - frame->header);
    if (flags & TCP_ACK) {
        conn->last_ack_sent = conn->rcv_nxt;
        conn->flags &= (uint16_t)~CONN_ACK_NOW;
        conn->ack_at_ns = 0;
    }
}

/* One frame: up to `len` bytes from the cursor (NULL: none). Returns how many it carries. When the
 * port has no room the segment counts as lost on the way: the same machinery brings it back. */
static uint32_t emit(struct tcp_conn *conn, uint64_t seq, struct cursor *c, uint32_t len,
                     uint8_t flags, uint8_t end_flags, uint64_t now_ns)
{
    struct tcp *tcp = conn->tcp;
    struct nmio_frame *frame = ip_frame(tcp->ip, &conn->flow, IP_PROTO_TCP, 0);
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
        taken = cursor_take(c, frame, ip_caps(tcp->ip)->slices_max, len);
    put_header(conn, frame, seq, taken == len ? flags | end_flags : flags, now_ns);
    if (taken > conn->mss)
        frame->gso_size = conn->mss;
    put_checksum(conn, frame, at, frame->header_len - at + taken);
    stat_inc(&tcp->stats.segs_out);
    stat_add(&tcp->stats.bytes_out, taken);
    ip_send(tcp->ip, &conn->flow, frame, now_ns);
    return taken;
}

/* --- an answer becomes segments --------------------------------------------------------------- */

/* Starts the clocks that run while something is out. */
static void sent_something(struct tcp_conn *conn, uint64_t end, bool again, uint64_t now_ns)
{
    if (conn->snd_una == conn->snd_nxt) {
        conn->progress_ns = now_ns;
        if (conn->rto_at_ns) { /* what ran was the persist or override timer */
            conn->rto_at_ns = 0;
            conn->backoff = 0;
        }
    }
    if (again) {
        conn->flags &= (uint16_t)~CONN_RTT_TIMED;
    } else if (!(conn->flags & CONN_RTT_TIMED)) {
        conn->flags |= CONN_RTT_TIMED;
        conn->rtt_seq = end;
        conn->rtt_ns = now_ns;
    }
    if (!conn->rto_at_ns)
        tcp_rto_arm(conn, now_ns); /* RFC 6298 5.1 */
}

/* Sends [from, to) in frames as large as the port takes. The last byte written carries PSH, and FIN
 * if that is due. */
static void send_range(struct tcp_conn *conn, struct cursor *c, uint64_t from, uint64_t to,
                       bool fin, uint64_t now_ns)
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

        from += emit(conn, from, c, len, TCP_ACK, from + len == to ? end_flags : 0, now_ns);
    }
}

/* The part of the answer that fills the lost range. */
static void answer_lost(struct tcp_conn *conn, struct cursor *c, uint64_t seq, uint64_t end,
                        uint64_t now_ns)
{
    uint64_t to = min_u64(end, conn->rtx_end);
    bool fin = to == conn->snd_end && conn->rtx_end > to;
    struct tcp_stats *stats = &conn->tcp->stats;
    uint64_t segs_before = stats->segs_out;

    /* The timer has run since the disk was asked: the network has its time from now on. */
    if (conn->rtx_sent == conn->snd_una)
        conn->rto_at_ns = 0;
    cursor_skip(c, conn->rtx_sent - seq);
    stat_add(&stats->retrans_bytes, to - conn->rtx_sent);
    send_range(conn, c, conn->rtx_sent, to, fin, now_ns);
    stat_add(&stats->retrans_segs, stats->segs_out - segs_before);
    conn->rtx_sent = to + fin;
    conn->rtx_nxt = max_u64(conn->rtx_nxt, conn->rtx_sent);
    sent_something(conn, to, true, now_ns);
}

static void fin_is_out(struct tcp_conn *conn)
{
    conn->flags |= CONN_FIN_SENT;
    conn->snd_nxt = conn->snd_asked = conn->snd_end + 1;
    tcp_conn_set_state(conn, conn->state == TCP_ESTABLISHED ? TCP_FIN_WAIT_1 : TCP_LAST_ACK);
}

static bool fin_due(const struct tcp_conn *conn)
{
    return (conn->flags & (CONN_CLOSING | CONN_FIN_SENT)) == CONN_CLOSING;
}

/* A FIN takes a place in the window. One byte beyond, the peer throws it away, and only a timeout
 * would bring it back. */
static bool fin_fits(const struct tcp_conn *conn)
{
    return conn->snd_end < conn->snd_una + conn->snd_wnd;
}

/* The part of the answer that is new. */
static void answer_new(struct tcp_conn *conn, struct cursor *c, uint64_t seq, uint64_t end,
                       uint64_t now_ns)
{
    uint64_t to = min_u64(end, conn->snd_asked);
    bool fin = to == conn->snd_end && fin_due(conn) && fin_fits(conn);

    cursor_skip(c, conn->snd_nxt - seq);
    send_range(conn, c, conn->snd_nxt, to, fin, now_ns);
    sent_something(conn, to, false, now_ns);
    conn->snd_nxt = to;
    if (fin)
        fin_is_out(conn);
}

/*
 * An answer is used for whatever part of it is still wanted: the lost range first, then new bytes.
 * Asked-for ranges that were cancelled by a timeout and asked for again are thus answered by
 * whichever answer comes first, and the other finds nothing left to do.
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
    if (conn->rtx_sent < conn->rtx_end && seq <= conn->rtx_sent && conn->rtx_sent < end) {
        struct cursor lost = c;

        answer_lost(conn, &lost, seq, end, now_ns);
        used = true;
    }
    if (seq <= conn->snd_nxt && conn->snd_nxt < min_u64(end, conn->snd_asked)) {
        answer_new(conn, &c, seq, end, now_ns);
        used = true;
    }
    if (!used)
        stat_inc(&tcp->stats.stale_answers);
    for (uint32_t i = 0; i < slice_count; i++)
        if (slices[i].owner)
            mem_chunk_put(slices[i].owner);
    if (conn->snd_asked < conn->snd_end || conn->rtx_nxt < conn->rtx_end || fin_due(conn))
        tcp_conn_ready(conn);
}

/* --- asking ----------------------------------------------------------------------------------- */

enum asked {
    ASKED_ENOUGH, /* nothing more may be asked for now */
    ASKED_DRY,    /* the application has no buffer: stay in line */
    ASKED_GONE,   /* the connection ended in a callback */
};

static uint64_t asked_unanswered(const struct tcp_conn *conn)
{
    return (conn->snd_asked - conn->snd_nxt) + (conn->rtx_nxt - conn->rtx_sent);
}

/* Asks for [*next, *next + want) and moves *next by what was promised. A synchronous answer arrives
 * within fill and finds the whole range asked for; it moves *sent, over a FIN that rode on it too.
 */
static enum asked ask(struct tcp_conn *conn, uint64_t *next, const uint64_t *sent, uint64_t want,
                      uint64_t now_ns)
{
    uint64_t from = *next;
    uint32_t n;

    stat_inc(&conn->tcp->stats.fills);
    *next = from + want;
    n = conn->ops->fill(conn->user, conn, tcp_offset(conn, from), (uint32_t)want, now_ns);
    if (conn->state == TCP_CLOSED)
        return ASKED_GONE;
    assert(n <= want);
    *next = max_u64(from + n, *sent);
    if (n > 0)
        return ASKED_ENOUGH;
    stat_inc(&conn->tcp->stats.fill_waits);
    return ASKED_DRY;
}

static enum asked pull_lost(struct tcp_conn *conn, uint64_t now_ns)
{
    while (conn->rtx_nxt < min_u64(conn->rtx_end, conn->snd_end)) {
        uint64_t want = min_u64(conn->rtx_end, conn->snd_end) - conn->rtx_nxt;
        uint64_t unanswered = asked_unanswered(conn);
        uint32_t asked_max = conn->tcp->config.asked_max_bytes;
        enum asked rc;

        if (conn->recovery == RECOVERY_RTO) { /* slow start over everything that was sent */
            uint64_t flight = tcp_in_flight(conn);
            uint64_t room = conn->cwnd > flight ? conn->cwnd - flight : 0;

            /* The segment at snd_una may always go: without it no ACK will come to make room. A
             * window probe leaves the bytes behind it in flight, as far as anybody knows. */
            if (conn->rtx_nxt == conn->snd_una)
                room = max_u64(room, conn->mss);
            if (room == 0)
                return ASKED_ENOUGH;
            want = min_u64(want, room);
        }
        if (unanswered >= asked_max)
            return ASKED_ENOUGH;
        want = min_u64(want, asked_max - unanswered);
        rc = ask(conn, &conn->rtx_nxt, &conn->rtx_sent, want, now_ns);
        if (rc != ASKED_ENOUGH)
            return rc;
    }
    return ASKED_ENOUGH;
}

/*
 * Bytes are asked for in portions worth a disk read: dissertation 4.3.2 waits until the window
 * admits 10 segments. Exceptions: nothing is in flight, so that no ACK would come to open it
 * further; the rest of the stream fits; and a window below 20 segments, where half of it is the
 * portion, because waiting for ten of twelve segments would halve the rate.
 */
static uint64_t watermark(const struct tcp_conn *conn)
{
    uint64_t window = min_u32(conn->cwnd, conn->snd_wnd);

    return min_u64((uint64_t)conn->tcp->config.watermark_mss * conn->mss,
                   max_u64(window / 2, conn->mss));
}

/* New bytes that the two windows admit; RFC 3042 lends two segments to the first two duplicate
 * ACKs. */
static uint64_t window_room(const struct tcp_conn *conn)
{
    uint64_t cwnd = conn->cwnd, flight = tcp_in_flight(conn);
    uint64_t edge = conn->snd_una + conn->snd_wnd;
    uint64_t room;

    if (conn->recovery == RECOVERY_NONE)
        cwnd += min_u32(conn->dup_acks, 2) * (uint64_t)conn->mss;
    room = cwnd > flight ? cwnd - flight : 0;
    return min_u64(room, edge > conn->snd_asked ? edge - conn->snd_asked : 0);
}

/* How much new data to ask for now; 0: wait for an ACK, or for the timer that is armed here. */
static uint64_t new_portion(struct tcp_conn *conn, uint64_t now_ns)
{
    uint64_t avail = conn->snd_end - conn->snd_asked;
    uint64_t room = window_room(conn);
    bool quiet = conn->snd_una == conn->snd_asked;
    uint64_t least =
        quiet ? min_u32(conn->mss, max_u32(conn->max_snd_wnd / 2, 1)) : watermark(conn);

    if (conn->flags & CONN_PROBE)
        room = max_u64(room, 1);
    if (room >= avail || room >= least || (room && conn->flags & (CONN_PROBE | CONN_OVERRIDE)) ||
        (room >= conn->mss && conn->dup_acks > 0 && conn->recovery != RECOVERY_RTO))
        return min_u64(room, avail);
    /* Nothing out, nothing coming: only a timer can go on. RFC 9293 3.8.6.1 and 3.8.6.2.1. */
    if (quiet && !conn->rto_at_ns) {
        conn->progress_ns = now_ns; /* the user timeout begins here */
        if (room == 0) {
            tcp_rto_arm(conn, now_ns);
        } else {
            conn->rto_at_ns = now_ns + TCP_SWS_OVERRIDE_NS;
            tcp_timer_arm(conn);
        }
    }
    return 0;
}

static enum asked pull_new(struct tcp_conn *conn, uint64_t now_ns)
{
    uint32_t asked_max = conn->tcp->config.asked_max_bytes;

    while (conn->snd_asked < conn->snd_end) {
        uint64_t unanswered = asked_unanswered(conn), want;
        enum asked rc;

        if (unanswered >= asked_max)
            return ASKED_ENOUGH; /* an answer will put the connection on the ready list */
        want = min_u64(new_portion(conn, now_ns), asked_max - unanswered);
        if (want == 0)
            return ASKED_ENOUGH;
        rc = ask(conn, &conn->snd_asked, &conn->snd_nxt, want, now_ns);
        if (rc != ASKED_ENOUGH)
            return rc;
        conn->flags &= (uint16_t) ~(CONN_PROBE | CONN_OVERRIDE);
    }
    return ASKED_ENOUGH;
}

/* A FIN that finds no data to ride on, and one that was lost. */
static void pull_fin(struct tcp_conn *conn, uint64_t now_ns)
{
    if (conn->state < TCP_ESTABLISHED)
        return;
    if (fin_due(conn) && conn->snd_nxt == conn->snd_end &&
        (fin_fits(conn) || conn->snd_una == conn->snd_nxt)) { /* alone, it probes the window */
        emit(conn, conn->snd_nxt, NULL, 0, TCP_ACK, TCP_FIN, now_ns);
        sent_something(conn, conn->snd_end + 1, false, now_ns);
        fin_is_out(conn);
    } else if ((conn->flags & CONN_FIN_SENT) && conn->rtx_sent == conn->snd_end &&
               conn->rtx_end > conn->snd_end) {
        stat_inc(&conn->tcp->stats.retrans_segs);
        emit(conn, conn->snd_end, NULL, 0, TCP_ACK, TCP_FIN, now_ns);
        conn->rtx_sent = conn->rtx_nxt = conn->rtx_end;
        sent_something(conn, conn->snd_end + 1, true, now_ns);
    }
}

static void pull_syn(struct tcp_conn *conn, uint64_t now_ns)
{
    bool first = conn->snd_nxt == tcp_iss64(conn);

    conn->flags &= (uint16_t)~CONN_SYN_OWED;
    emit(conn, tcp_iss64(conn), NULL, 0,
         conn->state == TCP_SYN_RECEIVED ? TCP_SYN | TCP_ACK : TCP_SYN, 0, now_ns);
    conn->snd_nxt = conn->snd_asked = tcp_iss64(conn) + 1;
    if (first) {
        conn->flags |= CONN_RTT_TIMED;
        conn->rtt_ns = now_ns;
    } else {
        conn->flags &= (uint16_t)~CONN_RTT_TIMED; /* which one is acknowledged, nobody knows */
    }
    if (!conn->rto_at_ns)
        tcp_rto_arm(conn, now_ns);
}

/*
 * The sequence number of a segment that carries nothing. It would be SND.NXT, but a window probe
 * moves that beyond a window that the peer keeps shut, where it takes nothing, not even the ACK of
 * its own data (RFC 9293 3.10.7.4, first).
 */
static uint64_t acceptable_seq(const struct tcp_conn *conn)
{
    return min_u64(conn->snd_nxt, conn->snd_una + conn->snd_wnd);
}

/* Everything that the connection owes. `dry`: nobody has buffers, ask for none. */
static enum asked pull_conn(struct tcp_conn *conn, bool dry, uint64_t now_ns)
{
    enum asked rc = ASKED_ENOUGH;

    if (conn->flags & CONN_SYN_OWED) {
        pull_syn(conn, now_ns);
    } else if (conn->ops && conn->state >= TCP_ESTABLISHED) {
        bool wants = conn->rtx_nxt < conn->rtx_end || conn->snd_asked < conn->snd_end;

        if (dry && wants) {
            rc = ASKED_DRY;
        } else {
            rc = pull_lost(conn, now_ns);
            if (rc == ASKED_ENOUGH && conn->rtx_nxt == conn->rtx_end)
                rc = pull_new(conn, now_ns);
        }
        if (rc == ASKED_GONE)
            return rc;
        pull_fin(conn, now_ns);
    }
    if (conn->flags & CONN_KEEPALIVE) { /* RFC 9293 3.8.4: an old sequence number, no data */
        conn->flags &= (uint16_t)~CONN_KEEPALIVE;
        emit(conn, conn->snd_nxt - 1, NULL, 0, TCP_ACK, 0, now_ns);
    }
    if ((conn->flags & CONN_ACK_NOW) && conn->state > TCP_SYN_SENT) {
        stat_inc(&conn->tcp->stats.acks_out);
        emit(conn, acceptable_seq(conn), NULL, 0, TCP_ACK, 0, now_ns);
    }
    return rc;
}

/* --- resets ----------------------------------------------------------------------------------- */

/* RFC 9293 3.10.7.1: what the RST says depends on what the segment said. */
void tcp_owe_reset(struct tcp *tcp, const struct ip_addr *local, const struct ip_addr *remote,
                   const struct tcp_seg *seg)
{
    struct tcp_reset *r;

    if (tcp->reset_count == TCP_RESETS_OWED) {
        stat_inc(&tcp->stats.drop_reset_queue);
        return;
    }
    r = &tcp->resets[tcp->reset_count++];
    *r = (struct tcp_reset){.local = *local,
                            .remote = *remote,
                            .local_port = seg->dst_port,
                            .remote_port = seg->src_port};
    if (seg->flags & TCP_ACK) {
        r->seq = seg->ack;
        r->flags = TCP_RST;
    } else {
        r->ack = seg->seq + tcp_seg_len(seg);
        r->flags = TCP_RST | TCP_ACK;
    }
}

static void pay_reset(struct tcp *tcp, const struct tcp_reset *r, uint64_t now_ns)
{
    struct tcp_conn stray = {.tcp = tcp,
                             .local_port = r->local_port,
                             .remote_port = r->remote_port,
                             .rcv_nxt = r->ack,
                             .rcv_adv = r->ack,
                             .flow = {.local = r->local, .remote = r->remote}};

    if (ip_flow_open(tcp->ip, &stray.flow, now_ns) < 0)
        return;
    ip_flow_ports(tcp->ip, &stray.flow, r->local_port, r->remote_port);
    stat_inc(&tcp->stats.resets_out);
    emit(&stray, r->seq, NULL, 0, r->flags, 0, now_ns);
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

/* --- the turn --------------------------------------------------------------------------------- */

void tcp_pull(struct tcp *tcp, uint64_t now_ns)
{
    struct list turn;
    struct list *node;
    bool dry = false;

    tcp->now_ns = now_ns;
    for (uint32_t i = 0; i < tcp->reset_count; i++)
        pay_reset(tcp, &tcp->resets[i], now_ns);
    tcp->reset_count = 0;

    /* Those made ready from here on have their turn in the next round: a fixed amount of work. */
    list_init(&turn);
    list_splice_tail(&turn, &tcp->ready);
    tcp->pull_owed = false;
    tcp->starved = false;
    while ((node = list_pop_head(&turn))) {
        struct tcp_conn *conn = list_entry(node, struct tcp_conn, ready);

        if (pull_conn(conn, dry, now_ns) == ASKED_DRY) {
            dry = true;
            /* In order, and before those that became ready meanwhile, of which this one may be: an
             * answer or a tcp_write from within fill puts it there. */
            list_remove(&conn->ready);
            list_push_tail(&tcp->waiting, &conn->ready);
        }
    }
    if (!list_empty(&tcp->waiting)) {
        tcp->starved = true;
        list_splice_head(&tcp->ready, &tcp->waiting);
    }
    tcp_bury(tcp);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "trace.h"

#define ARENA_BYTES     (24u << 20)
#define ETH_TYPE_ARP    0x0806 /* RFC 826 */
#define IP4_VERSION_IHL 0x45   /* version 4, five words */

static const uint8_t our_ip[4] = {192, 0, 2, 1};
static const uint8_t peer_ip[4] = {192, 0, 2, 2};
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 0x10};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0x11};

/* Of the application's stream, and of the peer's: neither has a period that a segment's length
 * could hide. */
uint8_t trace_byte(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 251 + offset / 65521);
}

/* --- the application -------------------------------------------------------------------------- */

static void act(struct trace_app *app, enum trace_when when)
{
    struct trace *t = app->trace;

    if (app->write_when == when) {
        app->write_when = NEVER;
        tcp_write(app->conn, app->write_bytes);
    }
    if (app->close_when == when) {
        app->close_when = NEVER;
        tcp_close(app->conn);
    }
    if (app->abort_when == when) {
        app->abort_when = NEVER;
        tcp_abort(app->conn, t->now_ns);
    }
}

static void *app_accept(void *arg, struct tcp_conn *conn, uint64_t now_ns)
{
    struct trace *t = arg;
    struct trace_app *app = &t->apps[t->app_count++ % TRACE_APPS];

    app->conn = conn;
    app->accepted++;
    act(app, IN_ACCEPT);
    if (app->refuse) {
        app->conn = NULL;
        return NULL;
    }
    return app;
}

static void app_connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct trace_app *app = user;

    app->connected++;
    act(app, IN_CONNECTED);
}

static void app_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                     uint64_t now_ns)
{
    struct trace_app *app = user;

    assert_ptr_equal(conn, app->conn);
    if (!app->trace->raw)
        for (uint32_t i = 0; i < len; i++)
            assert_int_equal(data[i], trace_byte(app->received + i));
    app->received += len;
    if (!app->keep)
        tcp_recved(conn, len);
    act(app, IN_RECV);
}

static void app_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct trace_app *app = user;

    app->recv_ends++;
    act(app, IN_RECV_END);
}

static void answer(struct trace_app *app, uint64_t offset, uint32_t len)
{
    struct trace *t = app->trace;
    struct mem_chunk *chunk = mem_chunk_get(&t->chunks);
    struct nmio_slice slices[16];
    uint32_t step = app->slice_len ? app->slice_len : len, count = 0;

    assert_non_null(chunk);
    for (uint32_t i = 0; i < len; i++)
        chunk->data[i] = trace_byte(offset + i);
    for (uint32_t at = 0; at < len; count++) {
        uint32_t part = count + 1 == array_len(slices) ? len - at : min_u32(step, len - at);

        if (count > 0)
            mem_chunk_hold(chunk);
        slices[count] = (struct nmio_slice){chunk->data + at, part, chunk};
        at += part;
    }
    tcp_send(app->conn, offset, slices, count, t->now_ns);
}

static uint32_t app_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                         uint64_t now_ns)
{
    struct trace_app *app = user;

    assert_ptr_equal(conn, app->conn);
    assert_true(len > 0);
    app->fills++;
    len = min_u32(len, app->promise_max ? app->promise_max : TRACE_CHUNK);
    act(app, IN_FILL);
    if (!app->conn)
        return 0;
    if (app->fill == FILL_REFUSE) {
        app->refused++;
        return 0;
    }
    if (app->fill == FILL_NOW) {
        answer(app, offset, len);
    } else {
        assert_true(app->promise_count < TRACE_PROMISES);
        app->promises[app->promise_count++] = (struct trace_promise){offset, len};
    }
    if (app->refuse_after && --app->refuse_after == 0)
        app->fill = FILL_REFUSE;
    return len;
}

static uint64_t app_round(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t len)
{
    struct trace_app *app = user;
    uint64_t end = offset + len;

    assert_ptr_equal(conn, app->conn);
    assert_true(len > 0);
    assert_true(end <= conn->snd_end - tcp_iss64(conn) - 1);
    app->rounds++;
    end -= end % app->record;
    return end > offset ? end - offset : 0;
}

static void app_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct trace_app *app = user;

    assert_true(offset >= app->acked);
    app->acked = offset;
    act(app, IN_SENT);
}

static void app_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct trace_app *app = user;

    assert_ptr_equal(conn, app->conn);
    app->closed++;
    app->why = why;
    app->conn = NULL;
    app->promise_count = 0;
}

const struct tcp_ops trace_ops = {
    .accept = app_accept,
    .connected = app_connected,
    .recv = app_recv,
    .recv_end = app_recv_end,
    .fill = app_fill,
    .sent = app_sent,
    .closed = app_closed,
};

static const struct tcp_ops joint_ops = {
    .accept = app_accept,
    .recv = app_recv,
    .recv_end = app_recv_end,
    .fill = app_fill,
    .round = app_round,
    .sent = app_sent,
    .closed = app_closed,
};

void trace_write(struct trace *t, struct trace_app *app, uint64_t bytes)
{
    tcp_write(app->conn, bytes);
    trace_turn(t);
}

void trace_answer(struct trace *t, struct trace_app *app)
{
    struct trace_promise p = app->promises[0];

    assert_true(app->promise_count > 0);
    app->promise_count--;
    memmove(app->promises, app->promises + 1, app->promise_count * sizeof(p));
    answer(app, p.offset, p.len);
    trace_turn(t);
}

/* --- what the stack sends --------------------------------------------------------------------- */

/* RFC 1071, one 16-bit word after the other, written without a glance at ip_sum. */
static uint32_t naive_sum(uint32_t sum, const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static uint32_t naive_tcp_sum(const uint8_t *ip_header, const uint8_t *tcp, uint32_t len)
{
    uint8_t pseudo[12] = {[9] = IP_PROTO_TCP};

    memcpy(pseudo, ip_header + 12, 8);
    put_be16(pseudo + 10, (uint16_t)len);
    return naive_sum(naive_sum(0, pseudo, sizeof(pseudo)), tcp, len);
}

static void take_sacks(const uint8_t *opt, struct trace_seg *seg)
{
    seg->sack_count = (opt[1] - 2) / 8;
    assert_true(seg->sack_count > 0 && opt[1] == 2 + 8 * seg->sack_count);
    for (uint32_t i = 0; i < seg->sack_count; i++)
        seg->sacks[i] = (struct tcp_sack){get_be32(opt + 2 + 8 * i), get_be32(opt + 6 + 8 * i)};
}

static void take_options(const uint8_t *opt, uint32_t len, struct trace_seg *seg)
{
    seg->opts_len = len;
    for (uint32_t i = 0; i < len;) {
        if (opt[i] == TCP_OPT_NOP) {
            i++;
            continue;
        }
        assert_true(i + 1 < len && opt[i + 1] >= 2 && i + opt[i + 1] <= len);
        if (opt[i] == TCP_OPT_MSS) {
            assert_int_equal(opt[i + 1], 4);
            seg->mss = get_be16(opt + i + 2);
        } else if (opt[i] == TCP_OPT_WSCALE) {
            assert_int_equal(opt[i + 1], 3);
            seg->has_wscale = true;
            seg->wscale = opt[i + 2];
        } else if (opt[i] == TCP_OPT_SACK_PERMITTED) {
            assert_int_equal(opt[i + 1], 2);
            seg->sack_permitted = true;
        } else if (opt[i] == TCP_OPT_SACK) {
            take_sacks(opt + i, seg);
        } else {
            assert_int_equal(opt[i], TCP_OPT_TIMESTAMPS);
            assert_int_equal(opt[i + 1], 10);
            seg->has_ts = true;
            seg->tsval = get_be32(opt + i + 2);
            seg->tsecr = get_be32(opt + i + 6);
        }
        i += opt[i + 1];
    }
}

static void take_packet(struct trace *t, const struct nmio_pkt *pkt)
{
    const uint8_t *ip = pkt->data + ETH_HEADER_BYTES, *tcp = ip + IP4_HEADER_BYTES;
    struct trace_seg seg = {.gso_size = pkt->gso_size, .at_ns = t->now_ns};
    uint32_t total, header, iss = 0;

    if (get_be16(pkt->data + 12) == ETH_TYPE_ARP)
        return;
    assert_int_equal(ip[0], IP4_VERSION_IHL);
    assert_int_equal(naive_sum(0, ip, IP4_HEADER_BYTES), 0xffff);
    total = get_be16(ip + 2) - IP4_HEADER_BYTES;
    assert_int_equal(pkt->len, TRACE_IP_HEADER + total);
    if (!(pkt->flags & NMIO_PKT_CSUM_OK))
        assert_int_equal(naive_tcp_sum(ip, tcp, total), 0xffff);
    else
        assert_true(t->caps.tx_csum);
    assert_true(seg.gso_size || pkt->len <= t->caps.mtu + ETH_HEADER_BYTES);
    if (t->on_packet) {
        t->on_packet(t, ip, IP4_HEADER_BYTES + total);
        return;
    }
    header = (tcp[12] >> 4) * 4u;
    seg.our_port = get_be16(tcp) == TRACE_PORT ? 0 : get_be16(tcp);
    seg.port = (uint16_t)(get_be16(tcp + 2) - TRACE_PEER_PORT);
    seg.flags = tcp[13];
    if (seg.port < TRACE_APPS) {
        if (seg.flags & SYN)
            t->iss[seg.port] = get_be32(tcp + 4);
        iss = t->iss[seg.port];
    } else {
        assert_int_equal(total, header); /* to a port that the test has made up: no data */
    }
    seg.seq = get_be32(tcp + 4) - iss;
    seg.ack = seg.flags & ACK ? get_be32(tcp + 8) - t->peer_iss : 0;
    seg.win = get_be16(tcp + 14);
    take_options(tcp + 20, header - 20, &seg);
    for (uint32_t i = 0; i < seg.sack_count; i++) {
        seg.sacks[i].start -= t->peer_iss;
        seg.sacks[i].end -= t->peer_iss;
    }
    seg.ecn = ip[1] & IP_ECN_MASK;
    seg.len = total - header;
    for (uint32_t i = 0; i < seg.len; i++)
        assert_int_equal(tcp[header + i], trace_byte((uint64_t)seg.seq - 1 + i));
    assert_true(t->queue_count < TRACE_QUEUE);
    t->queue[(t->queue_head + t->queue_count++) % TRACE_QUEUE] = seg;
}

static void take_sent(struct trace *t)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n;

    while ((n = nmio_rx(t->ends[1], pkts, NMIO_BATCH, t->now_ns))) {
        for (uint32_t i = 0; i < n; i++)
            take_packet(t, &pkts[i]);
        nmio_rx_done(t->ends[1]);
    }
}

static void print_seg(const char *what, const struct trace_seg *s)
{
    print_error("%s: %s%s%s%s seq %u ack %u len %u win %u mss %u wscale %d ts %d %u/%u port %u\n",
                what, s->flags & SYN ? "SYN " : "", s->flags & FIN ? "FIN " : "",
                s->flags & RST ? "RST " : "", s->flags & ACK ? "ACK " : "", s->seq, s->ack, s->len,
                s->win, s->mss, s->has_wscale ? s->wscale : -1, s->has_ts, s->tsval, s->tsecr,
                s->port);
}

struct trace_seg trace_expect(struct trace *t, const char *file, int line,
                              const struct trace_seg *want)
{
    struct trace_seg got;

    take_sent(t);
    if (t->queue_count == 0) {
        print_seg("expected", want);
        print_error("got nothing\n");
        _fail(file, line);
    }
    got = t->queue[t->queue_head];
    t->queue_head = (t->queue_head + 1) % TRACE_QUEUE;
    t->queue_count--;
    if (((got.flags ^ want->flags) & ~PSH) || got.seq != want->seq || got.ack != want->ack ||
        got.len != want->len || got.port != want->port || got.our_port != want->our_port ||
        (want->win && got.win != want->win) || (want->zero_win && got.win != 0) ||
        (want->mss && got.mss != want->mss) || (want->has_ts && !got.has_ts) ||
        (want->has_ts && want->tsecr && got.tsecr != want->tsecr)) {
        print_seg("expected", want);
        print_seg("got", &got);
        _fail(file, line);
    }
    return got;
}

void trace_expect_nothing(struct trace *t, const char *file, int line)
{
    take_sent(t);
    if (t->queue_count == 0)
        return;
    print_seg("expected nothing, got", &t->queue[t->queue_head]);
    _fail(file, line);
}

uint32_t trace_take_all(struct trace *t, uint64_t *bytes)
{
    uint32_t n;

    take_sent(t);
    n = t->queue_count;
    if (bytes)
        *bytes = 0;
    for (; t->queue_count; t->queue_count--) {
        if (bytes)
            *bytes += t->queue[t->queue_head].len;
        t->queue_head = (t->queue_head + 1) % TRACE_QUEUE;
    }
    return n;
}

/* --- what the peer sends ---------------------------------------------------------------------- */

static uint32_t put_options(struct trace *t, const struct trace_seg *s, uint8_t *opt)
{
    uint8_t *end = opt;

    if (s->opts_len) {
        memcpy(opt, s->opts, s->opts_len);
        memset(opt + s->opts_len, 0, align_up(s->opts_len, 4) - s->opts_len);
        return (uint32_t)align_up(s->opts_len, 4);
    }
    if (s->mss) {
        put_be32(end, TCP_OPT_MSS << 24 | 4 << 16 | s->mss);
        end += 4;
    }
    if (s->has_wscale) {
        put_be32(end, TCP_OPT_NOP << 24 | TCP_OPT_WSCALE << 16 | 3 << 8 | s->wscale);
        end += 4;
    }
    if (s->has_ts) {
        put_be32(end, TCP_OPT_NOP << 24 | TCP_OPT_NOP << 16 | TCP_OPT_TIMESTAMPS << 8 | 10);
        put_be32(end + 4, s->tsval);
        put_be32(end + 8, s->tsecr);
        end += 12;
    }
    if (s->sack_permitted) {
        put_be32(end, TCP_OPT_NOP << 24 | TCP_OPT_NOP << 16 | TCP_OPT_SACK_PERMITTED << 8 | 2);
        end += 4;
    }
    if (s->sack_count) {
        put_be32(end, TCP_OPT_NOP << 24 | TCP_OPT_NOP << 16 | TCP_OPT_SACK << 8 |
                          (2u + 8u * s->sack_count));
        end += 4;
    }
    for (uint32_t i = 0; i < s->sack_count; i++, end += 8) {
        put_be32(end, t->iss[s->port] + s->sacks[i].start);
        put_be32(end + 4, t->iss[s->port] + s->sacks[i].end);
    }
    return (uint32_t)(end - opt);
}

void trace_seal_frame(uint8_t *frame)
{
    uint8_t *ip = frame + ETH_HEADER_BYTES;
    uint32_t ip_header = (ip[0] & 15) * 4u;
    uint8_t *tcp = ip + ip_header;

    put_be16(ip + 10, 0);
    put_be16(ip + 10, (uint16_t)~naive_sum(0, ip, ip_header));
    put_be16(tcp + 16, 0);
    put_be16(tcp + 16, (uint16_t)~naive_tcp_sum(ip, tcp, get_be16(ip + 2) - ip_header));
}

uint32_t trace_frame(struct trace *t, const struct trace_seg *s, uint8_t *frame)
{
    uint8_t *ip = frame + ETH_HEADER_BYTES, *tcp = ip + IP4_HEADER_BYTES;
    uint32_t header, total;

    memset(frame, 0, TRACE_IP_HEADER + 20);
    memcpy(frame, our_mac, 6);
    memcpy(frame + 6, peer_mac, 6);
    put_be16(frame + 12, ETH_TYPE_IP4);
    put_be16(tcp, (uint16_t)(TRACE_PEER_PORT + s->port));
    put_be16(tcp + 2, s->our_port ? s->our_port : TRACE_PORT);
    put_be32(tcp + 4, t->peer_iss + s->seq);
    put_be32(tcp + 8, s->flags & ACK ? t->iss[s->port] + s->ack : 0);
    tcp[13] = s->flags;
    put_be16(tcp + 14, s->zero_win ? 0 : s->win ? (uint16_t)s->win : t->win);
    header = 20 + put_options(t, s, tcp + 20);
    tcp[12] = (uint8_t)(header / 4 << 4);
    for (uint32_t i = 0; i < s->len; i++)
        tcp[header + i] = trace_byte((uint64_t)s->seq - (s->flags & SYN ? 0 : 1) + i);
    total = IP4_HEADER_BYTES + header + s->len;
    ip[0] = IP4_VERSION_IHL;
    ip[1] = s->ecn;
    put_be16(ip + 2, (uint16_t)total);
    ip[8] = 64;
    ip[9] = IP_PROTO_TCP;
    memcpy(ip + 12, peer_ip, 4);
    memcpy(ip + 16, our_ip, 4);
    trace_seal_frame(frame);
    if (s->bad_sum)
        tcp[16] ^= 1;
    return ETH_HEADER_BYTES + total;
}

void trace_send_frame(struct trace *t, const uint8_t *bytes, uint32_t len)
{
    struct nmio_frame *frame = nmio_frame(t->ends[1]);

    frame->slices[0] = (struct nmio_slice){.data = bytes, .len = len};
    frame->slice_count = 1;
    nmio_tx(t->ends[1], frame, t->now_ns);
    if (!t->hold)
        trace_turn(t);
}

void trace_send(struct trace *t, const struct trace_seg *seg)
{
    uint8_t frame[2048];

    assert_true(seg->len <= 1500);
    trace_send_frame(t, frame, trace_frame(t, seg, frame));
}

/* --- turns and time --------------------------------------------------------------------------- */

static void input(struct trace *t, struct nmio_pkt *pkt)
{
    struct ip_dgram dgram;
    struct ip_error error;

    if (eth_input(t->eth, pkt, t->now_ns) != ETH_IP4)
        return;
    switch (ip_input(t->ip, pkt, &dgram, &error, t->now_ns)) {
    case IP_TCP:
        tcp_input(t->tcp, &dgram, t->now_ns);
        break;
    case IP_ERROR:
        tcp_error(t->tcp, &error, t->now_ns);
        break;
    default:
        break;
    }
}

void trace_turn(struct trace *t)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n;

    while ((n = nmio_rx(t->ends[0], pkts, NMIO_BATCH, t->now_ns))) {
        for (uint32_t i = 0; i < n; i++)
            input(t, &pkts[i]);
        nmio_rx_done(t->ends[0]);
    }
    tcp_timers(t->tcp, t->now_ns);
    tcp_pull(t->tcp, t->now_ns);
    nmio_flush(t->ends[0], t->now_ns);
    nmio_reap(t->ends[0]);
    take_sent(t);
}

/* The clock jumps from one deadline of the stack to the next. */
void trace_advance_ns(struct trace *t, uint64_t ns)
{
    uint64_t until = t->now_ns + ns;

    for (uint32_t turns = 0;; turns++) {
        uint64_t next = tcp_next_ns(t->tcp);

        assert_true(turns < 1000000); /* a stack that is never done */
        if (next > until)
            break;
        t->now_ns = max_u64(t->now_ns, next);
        trace_turn(t);
    }
    t->now_ns = until;
    trace_turn(t);
}

/* --- the beginning and the end ---------------------------------------------------------------- */

static void open_layers(struct trace *t)
{
    struct ip_addr addr = ip_addr_v4(our_ip);
    struct ip_prefix prefix = {.addr = addr, .bits = 24};
    struct eth_config eth = {
        .arena = t->arena, .port = t->ends[0], .addrs = &addr, .addr_count = 1};
    struct ip_config ip = {.arena = t->arena, .prefixes = &prefix, .prefix_count = 1};
    uint8_t arp[ETH_HEADER_BYTES + 28] = {0};

    eth.neigh_max = 16;
    assert_int_equal(eth_open(&t->eth, &eth, t->now_ns), 0);
    ip.eth = t->eth;
    assert_int_equal(ip_open(&t->ip, &ip, t->now_ns), 0);
    /* The peer asks for us, so that we know it: no test here is about ARP. */
    memset(arp, 0xff, 6);
    memcpy(arp + 6, peer_mac, 6);
    put_be16(arp + 12, ETH_TYPE_ARP);
    memcpy(arp + 14, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
    memcpy(arp + 22, peer_mac, 6);
    memcpy(arp + 28, peer_ip, 4);
    memcpy(arp + 38, our_ip, 4);
    t->hold = true;
    trace_send_frame(t, arp, sizeof(arp));
    t->hold = false;
}

void trace_open(struct trace *t, const struct trace_setup *s)
{
    struct tcp_config config = tcp_config_default();
    struct nmio_pipe_config pipe = {.depth = 512};

    t->caps = pipe.caps = (struct nmio_caps){
        .mtu = s->mtu ? s->mtu : 1500,
        .gso_bytes = s->gso_bytes,
        .tx_csum = s->tx_csum,
        .slices_max = s->slices_max ? s->slices_max : NMIO_SLICES_MAX,
    };
    memcpy(pipe.caps.mac, our_mac, 6);
    t->now_ns = 1000 * NS_PER_S;
    t->peer_iss = 1000;
    t->win = 65535;
    for (uint32_t i = 0; i < TRACE_APPS; i++)
        t->apps[i].trace = t;
    t->app = &t->apps[0];
    assert_int_equal(mem_arena_open(&t->arena, ARENA_BYTES + (s->gso_bytes ? 80u << 20 : 0), 0), 0);
    assert_int_equal(mem_chunks_init(&t->chunks, t->arena, TRACE_CHUNK, TRACE_CHUNKS), 0);
    assert_int_equal(nmio_pipe_open(t->ends, t->arena, &pipe), 0);
    open_layers(t);
    config.arena = t->arena;
    config.ip = t->ip;
    config.conns_max = s->conns_max ? s->conns_max : 64;
    config.half_open_max = s->half_open_max ? s->half_open_max : 32;
    config.peer_conns_max = s->peer_conns_max;
    config.time_wait_max = s->time_wait_max;
    config.rcv_wnd_bytes = s->rcv_wnd_bytes ? s->rcv_wnd_bytes : config.rcv_wnd_bytes;
    config.reasm_max = s->reasm_max ? s->reasm_max : 256;
    config.asked_max_bytes = s->asked_max_bytes ? s->asked_max_bytes : config.asked_max_bytes;
    config.watermark_mss = s->watermark_mss ? s->watermark_mss : config.watermark_mss;
    config.mss_max = s->mss_max;
    config.keepalive_ns = s->keepalive_ns;
    config.cc = s->cc ? s->cc : "newreno";
    config.pacing = s->pacing;
    memcpy(config.secret, (uint64_t[4]){11, 22, 33, 44}, sizeof(config.secret));
    if (s->configure)
        s->configure(t, &config);
    assert_int_equal(tcpip_init(&t->tcp, &config, t->now_ns), 0);
    assert_int_equal(tcp_listen(t->tcp, NULL, TRACE_PORT, s->joints ? &joint_ops : &trace_ops, t),
                     0);
    trace_turn(t);
}

void trace_close(struct trace *t)
{
    uint64_t counted = 0, found = 0;

    EXPECT_NOTHING(t);
    for (uint32_t i = 0; i < TCP_STATES; i++)
        counted += tcp_state_counts(t->tcp)[i];
    for (struct tcp_conn *c = tcp_conn_next(t->tcp, NULL); c; c = tcp_conn_next(t->tcp, c))
        found++;
    assert_int_equal(counted, found);
    assert_int_equal(t->tcp->conns.in_use, found);
    tcpip_close(t->tcp);
    assert_int_equal(t->tcp->conns.in_use, 0);
    assert_int_equal(t->tcp->reasm.in_use, 0);
    assert_int_equal(t->chunks.in_use, 0);
    ip_close(t->ip);
    eth_close(t->eth);
    nmio_close(t->ends[0]);
    nmio_close(t->ends[1]);
    mem_arena_close(t->arena);
}

struct trace_app *trace_establish(struct trace *t, uint16_t port)
{
    struct trace_app *app = &t->apps[t->app_count % TRACE_APPS];

    SEND(t, .flags = SYN, .mss = 1460, .port = port, .has_ts = t->ts, .tsval = t->ts_base,
         .has_wscale = t->wscale, .wscale = 7, .sack_permitted = t->sack);
    EXPECT(t, .flags = SYN | ACK, .ack = 1, .port = port, .has_ts = t->ts, .tsecr = t->ts_base);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .port = port, .has_ts = t->ts, .tsval = t->ts_base);
    assert_int_equal(app->accepted, 1);
    return app;
}

void trace_connect(struct trace *t)
{
    struct ip_addr local = ip_addr_v4(our_ip), remote = ip_addr_v4(peer_ip);
    struct trace_app *app = &t->apps[t->app_count++ % TRACE_APPS];

    assert_int_equal(tcp_connect(t->tcp, &app->conn, &local, TRACE_PORT, &remote, TRACE_PEER_PORT,
                                 &trace_ops, app, t->now_ns),
                     0);
    trace_turn(t);
}

struct cc *trace_cc(struct trace_app *app)
{
    assert_true(tcp_sender_want(app->conn, app->trace->now_ns));
    return &app->conn->sender->cc;
}

void trace_ack_all(struct trace *t)
{
    SEND(t, .flags = ACK, .seq = 1 + (uint32_t)t->app->received,
         .ack = (uint32_t)t->app->conn->snd_nxt - t->iss[0]);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "host.h"

#define HOST_NUMBER 0
#define PIPE_DEPTH  1024

/* The stack's stream, in memory that never goes away: nothing here is about buffers. */
static uint8_t written_bytes[HOST_WRITTEN_MAX];

/* Neither stream has a period that a segment's length could hide. */
static uint8_t written_byte(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 251 + offset / 65521);
}

static uint8_t peer_byte(uint32_t offset)
{
    return (uint8_t)(offset * 37 + offset / 241 + offset / 65519 + 101);
}

void host_prepare(void)
{
    for (uint32_t i = 0; i < sizeof(written_bytes); i++)
        written_bytes[i] = written_byte(i);
}

/* --- the application -------------------------------------------------------------------------- */

static struct host_part *part(struct host *host)
{
    return &host->parts[host->segment_count ? host->segment_count - 1 : 0];
}

static void begin(struct host *host, struct tcp_conn *conn)
{
    host->conn = conn;
    host->received = host->held = host->written = 0;
    host->closing = false;
}

static void is_open(struct host *host)
{
    if (host->habits.writes_first) {
        host_write(host, host->habits.writes_first);
        part(host)->written += host->habits.writes_first;
    }
    if (host->habits.closes_first && !host->closing) {
        host_shut(host);
        part(host)->closed = true;
    }
}

static void *app_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    struct host *host = app;

    part(host)->seen.accepted++;
    if (host->habits.config.refuses)
        return NULL;
    begin(host, conn);
    is_open(host);
    return host;
}

static void app_connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct host *host = user;

    part(host)->seen.connected++;
    if (!host->closing)
        is_open(host);
}

static void app_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                     uint64_t now_ns)
{
    struct host *host = user;

    part(host)->seen.bytes += len;
    for (uint32_t i = 0; i < len; i++)
        if (data[i] != peer_byte((uint32_t)host->received + i)) {
            world_fail(host->world, "received byte %llu is not the peer's",
                       (unsigned long long)host->received + i);
            break;
        }
    host->received += len;
    host->held += len;
    if (!host->habits.keeps) {
        host_recved(host, len);
        part(host)->recved += len;
    }
}

static void app_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct host *host = user;

    part(host)->seen.ended++;
    if (host->habits.closes_after_peer && !host->closing) {
        host_shut(host);
        part(host)->closed = true;
    }
}

static uint32_t app_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                         uint64_t now_ns)
{
    struct host *host = user;
    struct nmio_slice slice = {.data = written_bytes + offset, .len = len};

    if (offset + len > host->written) {
        world_fail(host->world, "asked for bytes that were never written");
        return 0;
    }
    tcp_send(conn, offset, &slice, 1, now_ns);
    return len;
}

static void app_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct host *host = user;

    part(host)->seen.told_acked = true;
    part(host)->seen.acked = offset;
}

static void app_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct host *host = user;

    part(host)->seen.closed++;
    part(host)->seen.why = why;
    host->conn = NULL;
    host->held = 0;
}

static const struct tcp_ops ops = {
    .accept = app_accept,
    .connected = app_connected,
    .recv = app_recv,
    .recv_end = app_recv_end,
    .fill = app_fill,
    .sent = app_sent,
    .closed = app_closed,
};

void host_listen(struct host *host)
{
    if (tcp_listen(host->net.tcp, NULL, HOST_PORT, &ops, host) < 0)
        world_fail(host->world, "tcp_listen says no");
}

bool host_connect(struct host *host)
{
    struct ip_addr local = ip_addr_v4(host->ends.ip[0]), remote = ip_addr_v4(host->ends.ip[1]);
    struct tcp_conn *conn;

    if (tcp_connect(host->net.tcp, &conn, &local, HOST_PORT, &remote, HOST_PEER_PORT, &ops, host,
                    host->world->now_ns) < 0)
        return world_fail(host->world, "tcp_connect says no");
    begin(host, conn);
    return true;
}

void host_write(struct host *host, uint32_t bytes)
{
    host->written += bytes;
    assert(host->written <= HOST_WRITTEN_MAX);
    tcp_write(host->conn, bytes);
}

void host_recved(struct host *host, uint32_t bytes)
{
    host->held -= bytes;
    tcp_recved(host->conn, bytes);
}

void host_shut(struct host *host)
{
    host->closing = true;
    tcp_close(host->conn);
}

void host_abort(struct host *host)
{
    tcp_abort(host->conn, host->world->now_ns);
}

/* --- the network ------------------------------------------------------------------------------ */

static void put_frame(struct host *host, const uint8_t *bytes, uint32_t len)
{
    struct nmio_frame *frame = nmio_frame(host->peer);

    frame->slices[0] = (struct nmio_slice){.data = bytes, .len = len};
    frame->slice_count = 1;
    nmio_tx(host->peer, frame, host->world->now_ns);
}

void host_send(struct host *host, const struct segment *seg, uint32_t offset)
{
    uint8_t frame[SEGMENT_FRAME_MAX], text[SEGMENT_TEXT_MAX];

    for (uint32_t i = 0; i < seg->len; i++)
        text[i] = peer_byte(offset + i);
    put_frame(host, frame, segment_write(frame, seg, text, &host->ends));
}

/* What part the events that follow belong to. */
static bool segment_arrives(void *arg, const struct ip_dgram *dgram)
{
    struct host *host = arg;

    host->segment_count++;
    assert(host->segment_count <= HOST_PARTS_MAX);
    return true;
}

/* Text is compared with what the application wrote; where it stands is for the model to say. */
static void check_text(struct host *host, const struct segment *seg, const uint8_t *text,
                       uint32_t iss)
{
    uint32_t offset = seg->seq - iss - 1;

    if (offset > HOST_WRITTEN_MAX || seg->len > HOST_WRITTEN_MAX - offset)
        return;
    if (memcmp(text, written_bytes + offset, seg->len))
        world_fail(host->world, "sent bytes are not those that were written");
}

static void take_frame(struct host *host, const struct nmio_pkt *pkt, bool *asked)
{
    struct segment *seg = &host->sent[host->sent_count];
    const uint8_t *text;
    const char *wrong;
    char line[256];

    if (segment_is_arp(pkt->data, pkt->len)) {
        *asked = true;
        return;
    }
    wrong = segment_read(pkt->data, pkt->len, seg, &text, &host->ends);
    if (wrong) {
        world_fail(host->world, "sent %s", wrong);
        return;
    }
    segment_print(seg, line, sizeof(line));
    world_trace(host->world, "      < %s", line);
    if (seg->flags & SYN)
        host->iss = seg->seq;
    else if (seg->len)
        check_text(host, seg, text, host->iss);
    if (++host->sent_count == HOST_SENT_MAX) {
        world_fail(host->world, "more segments in a turn than anybody needs");
        host->sent_count = 0;
    }
}

static bool take_frames(struct host *host)
{
    struct nmio_pkt pkts[NMIO_BATCH];
    bool asked = false;
    uint32_t n;

    while ((n = nmio_rx(host->peer, pkts, NMIO_BATCH, host->world->now_ns))) {
        for (uint32_t i = 0; i < n; i++)
            take_frame(host, &pkts[i], &asked);
        nmio_rx_done(host->peer);
    }
    return asked;
}

bool host_turn(struct host *host)
{
    uint8_t frame[SEGMENT_FRAME_MAX];

    net_host_turn(&host->net);
    if (take_frames(host)) {
        put_frame(host, frame, segment_write_arp(frame, true, &host->ends));
        net_host_turn(&host->net);
        take_frames(host);
    }
    return !world_failed(host->world);
}

void host_turn_done(struct host *host)
{
    memset(host->parts, 0, sizeof(host->parts));
    host->segment_count = host->sent_count = 0;
}

enum tcp_state host_state(const struct host *host)
{
    struct tcp_conn *conn = tcp_conn_next(host->net.tcp, NULL);

    return conn ? tcp_conn_state(conn) : TCP_CLOSED;
}

/* --- the beginning and the end ---------------------------------------------------------------- */

bool host_open(struct host *host, struct world *world, const struct host_habits *habits)
{
    struct nmio_pipe_config pipe = {
        .caps = {.mtu = SEGMENT_MTU, .mac = {2, 0, 0, 0, 0, 0x10}, .slices_max = NMIO_SLICES_MAX},
        .depth = PIPE_DEPTH,
    };
    struct tcp_config config = tcp_config_default();
    struct net_link link = {.world = world};
    uint8_t frame[SEGMENT_FRAME_MAX];

    *host = (struct host){
        .world = world,
        .habits = *habits,
        .ends = {.mac = {{2, 0, 0, 0, 0, 0x10}, {2, 0, 0, 0, 0, 0x11}},
                 .ip = {{192, 0, 2, 1}, {192, 0, 2, 2}},
                 .port = {HOST_PORT, HOST_PEER_PORT}},
    };
    config.conns_max = config.half_open_max = 8;
    config.rcv_wnd_bytes = habits->config.rcv_buffer;
    config.mss_max = habits->config.mss;
    config.user_timeout_ns = habits->config.user_timeout_ns;
    config.time_wait_ns = habits->config.time_wait_ns;
    config.fin_wait_2_ns = habits->config.fin_wait_2_ns;
    if (nmio_pipe_open(link.ports, world->arena, &pipe) < 0 ||
        net_host_open(&host->net, &link, HOST_NUMBER, &config) < 0)
        return world_fail(world, "the host does not fit into the arena");
    host->net.admit = segment_arrives;
    host->net.arg = host;
    host->peer = link.ports[!HOST_NUMBER];
    put_frame(host, frame, segment_write_arp(frame, false, &host->ends));
    host_turn(host);
    host_turn_done(host);
    return true;
}

void host_close(struct host *host)
{
    if (host->net.port)
        net_host_close(&host->net);
    if (host->peer)
        nmio_close(host->peer);
}

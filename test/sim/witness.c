// SPDX-License-Identifier: BSD-2-Clause
#include "witness.h"

#include "base/bytes.h"
#include "nmio/priv.h"
#include "tcpip/priv.h"

#include <errno.h>
#include <stdlib.h>

#define ETH_BYTES    14
#define IP4_PROTO    9
#define IP4_SOURCE   12
#define IP4_DEST     16
#define IP4_BYTES    20
#define IP4_FIRST    0x45 /* version 4, and a header without options */
#define TCP_BYTES    20
#define STREAMS_MAX  256
#define STREAM_BYTES (64 * 1024) /* to begin with */

const struct stat_desc witness_stat_descs[] = {WITNESS_STATS(STAT_DESC, struct witness_stats){0}};

/* One direction of a connection. `known` has a bit for each byte: a port that was full leaves
 * gaps. */
struct stream {
    uint16_t local_port, remote_port;
    uint32_t iss;
    uint64_t snd_nxt; /* when it was looked at last: another connection begins below that */
    uint8_t *bytes, *known;
    uint64_t room;
};

struct witness {
    struct nmio_port port;
    struct nmio_port *under;
    struct world *world;
    struct tcp *tcp;     /* or NULL */
    uint16_t local_port; /* 0: all */
    struct witness_stats stats;
    struct stream streams[STREAMS_MAX];
    uint32_t stream_count;
};

static struct witness *witness_of(const struct nmio_port *port)
{
    return container_of(port, struct witness, port);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void stream_forget(struct stream *st)
{
    free(st->bytes);
    free(st->known);
    st->bytes = st->known = NULL;
    st->room = 0;
}

static void stream_grow(struct stream *st, uint64_t bytes)
{
    uint64_t room = st->room ? st->room : STREAM_BYTES;

    while (room < bytes)
        room *= 2;
    if (room == st->room)
        return;
    st->bytes = realloc(st->bytes, room);
    st->known = realloc(st->known, room / 8);
    assert(st->bytes && st->known);
    memset(st->known + st->room / 8, 0, (room - st->room) / 8);
    st->room = room;
}

/* The stream of this connection: what is remembered of another one with the same ports, or of the
 * same one before a SYN cookie made it anew, is forgotten. */
static struct stream *stream_of(struct witness *w, const struct tcp_conn *conn)
{
    struct stream *st = w->streams;

    while (st < w->streams + w->stream_count &&
           (st->local_port != conn->local_port || st->remote_port != conn->remote_port))
        st++;
    assert(st < w->streams + STREAMS_MAX);
    if (st == w->streams + w->stream_count) {
        w->stream_count++;
        st->local_port = conn->local_port;
        st->remote_port = conn->remote_port;
    } else if (st->iss != conn->iss || conn->snd_nxt < st->snd_nxt) {
        stream_forget(st);
    }
    st->iss = conn->iss;
    st->snd_nxt = conn->snd_nxt;
    return st;
}

static void stream_see(struct witness *w, struct stream *st, uint64_t at, const uint8_t *data,
                       size_t len)
{
    uint64_t again = 0;

    stream_grow(st, at + len);
    for (size_t i = 0; i < len; i++, at++) {
        uint8_t bit = (uint8_t)(1u << at % 8);

        if (!(st->known[at / 8] & bit)) {
            st->known[at / 8] |= bit;
            st->bytes[at] = data[i];
        } else if (st->bytes[at] == data[i]) {
            again++;
        } else {
            world_fail(w->world, "port %u to %u: byte %llu of the stream was %02x, and is now %02x",
                       st->local_port, st->remote_port, (unsigned long long)at, st->bytes[at],
                       data[i]);
            return;
        }
    }
    stat_add(&w->stats.new_bytes, len - again);
    stat_add(&w->stats.compared, again);
}

/* --- what leaves ------------------------------------------------------------------------------ */

static void see(struct witness *w, const struct nmio_frame *frame)
{
    const uint8_t *ip = frame->header + ETH_BYTES, *tcp = ip + IP4_BYTES;
    struct ip_addr local, remote;
    struct tcp_conn *conn;
    struct stream *st;
    uint64_t at;

    if (!w->tcp || frame->slice_count == 0 ||
        frame->header_len < ETH_BYTES + IP4_BYTES + TCP_BYTES || ip[0] != IP4_FIRST ||
        ip[IP4_PROTO] != IP_PROTO_TCP)
        return;
    if (w->local_port && get_be16(tcp) != w->local_port)
        return;
    local = ip_addr_v4(ip + IP4_SOURCE);
    remote = ip_addr_v4(ip + IP4_DEST);
    conn = tcp_conn_find(w->tcp, &local, get_be16(tcp), &remote, get_be16(tcp + 2));
    if (!conn)
        return; /* its frames waited for a neighbour */
    at = tcp_offset(conn, tcp_unroll(conn->snd_una, get_be32(tcp + 4)));
    if (at >= tcp_offset(conn, conn->snd_end))
        return; /* as did those of another one with the same ports */
    st = stream_of(w, conn);
    for (uint32_t i = 0; i < frame->slice_count && !world_failed(w->world); i++) {
        stream_see(w, st, at, frame->slices[i].data, frame->slices[i].len);
        at += frame->slices[i].len;
    }
}

/* --- the port --------------------------------------------------------------------------------- */

static uint32_t witness_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max,
                           uint64_t now_ns)
{
    return nmio_rx(witness_of(port)->under, pkts, max, now_ns);
}

static void witness_rx_done(struct nmio_port *port)
{
    nmio_rx_done(witness_of(port)->under);
}

static struct nmio_frame *witness_frame(struct nmio_port *port)
{
    return nmio_frame(witness_of(port)->under);
}

static void witness_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    count_sent(port, frame_len(frame));
    see(witness_of(port), frame);
    nmio_tx(witness_of(port)->under, frame, now_ns);
}

static void witness_flush(struct nmio_port *port, uint64_t now_ns)
{
    nmio_flush(witness_of(port)->under, now_ns);
}

static void witness_reap(struct nmio_port *port)
{
    nmio_reap(witness_of(port)->under);
}

static uint64_t witness_next_ns(const struct nmio_port *port)
{
    return nmio_next_ns(witness_of(port)->under);
}

static void witness_close(struct nmio_port *port)
{
    struct witness *w = witness_of(port);

    for (uint32_t i = 0; i < w->stream_count; i++)
        stream_forget(&w->streams[i]);
    nmio_close(w->under);
    free(w);
}

static const struct nmio_ops witness_ops = {
    .rx = witness_rx,
    .rx_done = witness_rx_done,
    .frame = witness_frame,
    .tx = witness_tx,
    .flush = witness_flush,
    .reap = witness_reap,
    .next_ns = witness_next_ns,
    .close = witness_close,
};

int witness_open(struct nmio_port **out, struct nmio_port *under, struct world *world)
{
    struct witness *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->under = under;
    w->world = world;
    w->port = (struct nmio_port){.ops = &witness_ops, .caps = *nmio_caps(under), .fd = -1};
    *out = &w->port;
    return 0;
}

void witness_watch(struct nmio_port *port, struct tcp *tcp, uint16_t local_port)
{
    witness_of(port)->tcp = tcp;
    witness_of(port)->local_port = local_port;
}

const struct witness_stats *witness_stats(const struct nmio_port *port)
{
    return &witness_of(port)->stats;
}

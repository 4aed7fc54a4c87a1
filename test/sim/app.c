// SPDX-License-Identifier: BSD-2-Clause
#include "app.h"

#include <errno.h>

#define SCRIBBLE    0xdb
#define APP_MSS_MAX 8960u /* in the largest frames that are drawn */

const char *app_end_name(enum tcp_end end)
{
    static const char *const names[] = {
        [TCP_END_DONE] = "done",       [TCP_END_RESET] = "reset",     [TCP_END_REFUSED] = "refused",
        [TCP_END_TIMEOUT] = "timeout", [TCP_END_ABORTED] = "aborted",
    };

    return end < array_len(names) && names[end] ? names[end] : "impossible";
}

static bool side_fail(struct app_side *side, const char *what, uint64_t a, uint64_t b)
{
    return world_fail(side->host->world, "flow %u, %s: %s (%llu, %llu)", side->flow->number,
                      side->host->net.name, what, (unsigned long long)a, (unsigned long long)b);
}

static void side_trace(struct app_side *side, const char *what, uint64_t a, uint64_t b)
{
    world_trace(side->host->world, "  flow %u %s: %s %llu %llu", side->flow->number,
                side->host->net.name, what, (unsigned long long)a, (unsigned long long)b);
}

/* --- chunks ----------------------------------------------------------------------------------- */

int app_host_open(struct app_host *host, struct world *world, struct pattern *pattern,
                  const struct app_habits *habits)
{
    int err;

    host->world = world;
    host->pattern = pattern;
    host->habits = *habits;
    host->watch = mem_arena_alloc(world->arena, habits->chunk_count * sizeof(*host->watch), 8);
    host->sent = mem_arena_alloc(world->arena, habits->chunk_count * sizeof(*host->sent), 8);
    if (!host->watch || !host->sent)
        return -ENOMEM;
    err = mem_chunks_init(&host->chunks, world->arena, habits->chunk_bytes, habits->chunk_count);
    return err;
}

static struct mem_chunk *chunk_take(struct app_host *host)
{
    struct mem_chunk *chunk = mem_chunk_get(&host->chunks);

    if (!chunk)
        return NULL;
    if (host->watch[chunk->index] != APP_CHUNK_FREE) {
        world_fail(host->world, "%s: chunk %u came from the pool while it was still in use",
                   host->net.name, chunk->index);
        return NULL;
    }
    host->watch[chunk->index] = APP_CHUNK_PROMISED;
    return chunk;
}

static void chunk_drop(struct app_host *host, struct mem_chunk *chunk)
{
    host->watch[chunk->index] = APP_CHUNK_FREE;
    mem_chunk_put(chunk);
}

static void chunk_sent(struct app_host *host, struct mem_chunk *chunk)
{
    mem_chunk_hold(chunk);
    host->watch[chunk->index] = APP_CHUNK_SENT;
    host->sent[host->sent_count++] = chunk;
}

void app_host_sweep(struct app_host *host)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < host->sent_count; i++) {
        struct mem_chunk *chunk = host->sent[i];

        if (chunk->refs > 1) {
            host->sent[kept++] = chunk;
        } else if (chunk->refs == 0) {
            world_fail(host->world, "%s: a reference on chunk %u was dropped twice", host->net.name,
                       chunk->index);
        } else {
            /* Whoever reads it from now on reads rubbish. */
            memset(chunk->data, SCRIBBLE, CACHE_LINE);
            chunk_drop(host, chunk);
        }
    }
    host->sent_count = kept;
}

bool app_host_check_empty(struct app_host *host)
{
    app_host_sweep(host);
    if (host->sent_count)
        return world_fail(host->world, "%s: %u chunks were sent and never came back",
                          host->net.name, host->sent_count);
    if (stat_get(&host->chunks.in_use))
        return world_fail(host->world, "%s: %llu chunks are missing", host->net.name,
                          (unsigned long long)stat_get(&host->chunks.in_use));
    return true;
}

/* --- promises --------------------------------------------------------------------------------- */

static struct app_promise *promise_at(struct app_side *side, uint32_t i)
{
    return &side->promises[(side->promise_head + i) % APP_PROMISES_MAX];
}

/* Cuts the promise into chunks at odd places; keeps less of it when they run out. */
static void promise_chunks(struct app_side *side, struct app_promise *promise, uint32_t want)
{
    struct app_host *host = side->host;
    struct rand *chance = &host->world->chance;
    bool whole = rand_chance(chance, 0.7);

    promise->len = 0;
    while (want && promise->slice_count < NMIO_SLICES_MAX) {
        uint32_t skew = (uint32_t)(rand_chance(chance, 0.5) ? rand_below(chance, 512) : 0);
        uint32_t part = min_u32(want, host->habits.chunk_bytes - skew);
        struct mem_chunk *chunk = chunk_take(host);

        if (!chunk)
            return;
        if (!whole)
            part = (uint32_t)world_range(chance, 1, part);
        promise->slices[promise->slice_count++] =
            (struct nmio_slice){.data = chunk->data + skew, .len = part, .owner = chunk};
        promise->len += part;
        want -= part;
    }
}

static void promise_unowned(struct app_side *side, struct app_promise *promise, uint32_t want)
{
    promise->len = min_u32(want, PATTERN_RUN);
    promise->slice_count = 1;
    promise->slices[0] = (struct nmio_slice){
        .data = pattern_at(side->host->pattern, side->key, promise->offset), .len = promise->len};
}

/* The disk has answered. */
static void promise_keep(struct app_side *side, struct app_promise *promise)
{
    struct app_host *host = side->host;
    uint64_t offset = promise->offset;

    for (uint32_t i = 0; i < promise->slice_count; i++) {
        struct nmio_slice *slice = &promise->slices[i];

        if (slice->owner) {
            pattern_write(host->pattern, side->key, offset,
                          slice->owner->data + (slice->data - slice->owner->data), slice->len);
            chunk_sent(host, slice->owner);
        }
        offset += slice->len;
    }
    side_trace(side, "answers", promise->offset, promise->len);
    tcp_send(side->conn, promise->offset, promise->slices, promise->slice_count,
             host->world->now_ns);
}

static void side_answer(struct world_event *event)
{
    struct app_side *side = container_of(event, struct app_side, answer);
    struct app_promise promise = *promise_at(side, 0);

    side->promise_head = (side->promise_head + 1) % APP_PROMISES_MAX;
    side->promise_count--;
    if (side->promise_count)
        world_at(side->host->world, &side->answer, promise_at(side, 0)->due_ns);
    promise_keep(side, &promise);
}

static void promises_drop(struct app_side *side)
{
    for (uint32_t i = 0; i < side->promise_count; i++)
        for (uint32_t k = 0; k < promise_at(side, i)->slice_count; k++)
            if (promise_at(side, i)->slices[k].owner)
                chunk_drop(side->host, promise_at(side, i)->slices[k].owner);
    side->promise_count = 0;
    world_cancel(side->host->world, &side->answer);
}

static void promise_queue(struct app_side *side, const struct app_promise *promise)
{
    struct world *world = side->host->world;
    struct app_promise *last =
        side->promise_count ? promise_at(side, side->promise_count - 1) : NULL;
    struct app_promise *mine = promise_at(side, side->promise_count++);

    *mine = *promise;
    mine->due_ns = world->now_ns + rand_below(&world->chance, side->host->habits.later_ns + 1);
    if (last)
        mine->due_ns = max_u64(mine->due_ns, last->due_ns);
    if (!world_event_scheduled(&side->answer))
        world_at(world, &side->answer, mine->due_ns);
}

static bool fill_allowed(struct app_side *side, struct tcp_conn *conn, uint64_t offset,
                         uint32_t len)
{
    if (side->ended || conn != side->conn)
        return side_fail(side, "fill for a connection that has ended", offset, len);
    if (len == 0 || offset + len > side->written)
        return side_fail(side, "fill for bytes that were not written", offset, len);
    if (offset + len <= side->acked)
        return side_fail(side, "fill for bytes that were acknowledged", offset, len);
    if (offset > side->promised)
        return side_fail(side, "fill leaves a gap", offset, side->promised);
    return true;
}

static void side_grow(struct app_side *side)
{
    uint64_t n = min_u64(world_range(&side->host->world->chance, 1, side->step),
                         side->total - side->written);

    if (n) {
        side->written += n;
        tcp_write(side->conn, n);
    }
}

static uint64_t side_round(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t len)
{
    struct app_side *side = user;
    uint32_t record = side->host->habits.record;
    uint64_t whole = (offset + len) / record * record;

    if (side->ended || conn != side->conn || len == 0 || offset + len > side->written)
        side_fail(side, "joints are asked for of bytes that were not written", offset, len);
    return whole > offset ? whole - offset : 0;
}

static uint32_t side_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                          uint64_t now_ns)
{
    struct app_side *side = user;
    struct app_habits *habits = &side->host->habits;
    struct rand *chance = &side->host->world->chance;
    struct app_promise promise = {.offset = offset};
    uint32_t want = len;

    if (!fill_allowed(side, conn, offset, len))
        return 0;
    if (rand_chance(chance, habits->grow))
        side_grow(side);
    if (rand_chance(chance, habits->shorten))
        want = (uint32_t)world_range(chance, 1, len);
    if (side->promise_count == APP_PROMISES_MAX || rand_chance(chance, habits->refuse))
        want = 0;
    else if (rand_chance(chance, habits->unowned))
        promise_unowned(side, &promise, want);
    else
        promise_chunks(side, &promise, want);
    side_trace(side, "is asked for", offset, len);
    if (promise.len == 0)
        return 0;
    side->promised = max_u64(side->promised, offset + promise.len);
    if (side->promise_count || rand_chance(chance, habits->later))
        promise_queue(side, &promise);
    else
        promise_keep(side, &promise);
    return promise.len;
}

/* --- writing and closing ---------------------------------------------------------------------- */

static void close_now(struct world_event *event)
{
    struct app_side *side = container_of(event, struct app_side, close);

    side_trace(side, "closes", side->written, side->received);
    side->closed_out = true;
    tcp_close(side->conn);
}

static void side_maybe_close(struct app_side *side)
{
    struct world *world = side->host->world;

    if (side->closing || side->written < side->total || (side->close_last && !side->peer_closed))
        return;
    side->closing = true;
    if (side->close_after_ns)
        world_at(world, &side->close, world->now_ns + side->close_after_ns);
    else
        close_now(&side->close);
}

static void side_write(struct world_event *event)
{
    struct app_side *side = container_of(event, struct app_side, write);
    struct world *world = side->host->world;

    side_grow(side);
    if (side->written < side->total)
        world_at(world, &side->write,
                 world->now_ns + rand_below(&world->chance, side->pause_ns + 1));
    else
        side_maybe_close(side);
}

static void side_opened(struct app_side *side, struct tcp_conn *conn)
{
    if (side->opened)
        side_fail(side, "opened twice", 0, 0);
    side->opened = true;
    side->opened_ns = side->host->world->now_ns;
    side->conn = conn;
    if (side->rate_bps)
        tcp_set_rate(conn, side->rate_bps);
    side_trace(side, "is open", side->total, 0);
    side_write(&side->write);
}

static void side_connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct app_side *side = user;

    if (side->conn != conn)
        side_fail(side, "connected with another connection than tcp_connect gave", 0, 0);
    if (side->flow->kind == FLOW_REFUSED)
        side_fail(side, "connected to a port on which nobody listens", 0, 0);
    side_opened(side, conn);
}

/* The flow that connected last with these ports: they may have been used before. */
static struct app_flow *flow_of_ports(struct app_host *host, uint16_t local_port,
                                      uint16_t remote_port)
{
    struct app_flow *found = NULL;

    for (uint32_t i = 0; i < host->flow_count; i++) {
        struct app_flow *flow = &host->flows[i];

        if (flow->started && !flow->barred && flow->ports[1] == local_port &&
            flow->ports[0] == remote_port && (!found || flow->started_order > found->started_order))
            found = flow;
    }
    return found;
}

static void *host_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    struct app_host *host = app;
    struct app_flow *flow;
    struct tcp_info info;

    tcp_conn_info(conn, &info);
    flow = flow_of_ports(host, info.local_port, info.remote_port);
    if (!flow) {
        world_fail(host->world, "%s: accepted from port %u, which nobody opened", host->net.name,
                   info.remote_port);
        return NULL;
    }
    if (flow->kind == FLOW_REJECTED)
        return NULL;
    if (flow->kind != FLOW_ORDINARY)
        side_fail(&flow->sides[1], "accepted although it does not listen", flow->kind, 0);
    side_opened(&flow->sides[1], conn);
    return &flow->sides[1];
}

/* Nothing goes faster than its cap, beyond a burst: a portion worth a read of the disk, or what two
 * ticks of the timer carry. */
static void check_rate(struct app_side *side, uint64_t offset, uint64_t now_ns)
{
    uint64_t burst =
        max_u64((uint64_t)side->host->watermark_mss * APP_MSS_MAX, side->rate_bps * 4 / 1000) +
        2 * APP_MSS_MAX;
    double most = (double)side->rate_bps * (double)(now_ns - side->opened_ns) / NS_PER_S;

    if (side->rate_bps && (double)offset > most + (double)burst)
        side_fail(side, "faster than its cap", offset, (uint64_t)most);
}

static void side_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct app_side *side = user;

    if (side->ended || conn != side->conn)
        side_fail(side, "an acknowledgment after the end", offset, 0);
    if (offset < side->acked)
        side_fail(side, "acknowledged less than before", offset, side->acked);
    if (offset > side->promised)
        side_fail(side, "acknowledged what was never sent", offset, side->promised);
    /* The world sees both ends: nobody acknowledges what did not arrive. */
    if (offset > side->peer->received && side->peer->opened)
        side_fail(side, "acknowledged what was not received", offset, side->peer->received);
    check_rate(side, offset, now_ns);
    side->acked = offset;
}

/* --- receiving -------------------------------------------------------------------------------- */

static void give_back(struct world_event *event)
{
    struct app_side *side = container_of(event, struct app_side, give);
    uint32_t n = (uint32_t)side->kept;

    side->stopped = false;
    side->kept = 0;
    side_trace(side, "gives back", n, 0);
    if (n)
        tcp_recved(side->conn, n);
}

static void side_kept(struct app_side *side)
{
    struct world *world = side->host->world;
    struct app_habits *habits = &side->host->habits;

    if (side->received >= side->stop_at && side->stop_ns) {
        side->stopped = true;
        world_at(world, &side->give, world->now_ns + side->stop_ns);
        side->stop_ns = 0; /* once */
    }
    if (world_event_scheduled(&side->give))
        return;
    if (rand_chance(&world->chance, habits->keep))
        world_at(world, &side->give,
                 world->now_ns + rand_below(&world->chance, habits->keep_ns + 1));
    else
        give_back(&side->give);
}

static void side_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                      uint64_t now_ns)
{
    struct app_side *side = user;
    size_t good;

    if (side->ended || conn != side->conn || side->peer_closed)
        side_fail(side, "received after the end", side->received, len);
    if (len == 0 || side->received + len > side->peer->written)
        side_fail(side, "received what was not written", side->received, len);
    good = pattern_match(side->host->pattern, side->peer->key, side->received, data, len);
    if (good < len)
        side_fail(side, "a wrong byte at this offset, in a segment of", side->received + good, len);
    side->received += len;
    side->kept += len;
    if (side->kept > side->host->rcv_wnd_bytes)
        side_fail(side, "received beyond the window", side->kept, side->host->rcv_wnd_bytes);
    side_kept(side);
}

static void side_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct app_side *side = user;

    if (side->ended || conn != side->conn || side->peer_closed)
        side_fail(side, "a second end of the stream", 0, 0);
    if (!side->peer->closed_out || side->received != side->peer->total)
        side_fail(side, "the stream ended early", side->received, side->peer->total);
    side->peer_closed = true;
    side_trace(side, "is told the end", side->received, 0);
    side_maybe_close(side);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void check_done(struct app_side *side)
{
    if (!side->peer_closed || side->received != side->peer->total)
        side_fail(side, "done without all bytes", side->received, side->peer->total);
    if (!side->closed_out || side->acked != side->total)
        side_fail(side, "done without all acknowledgments", side->acked, side->total);
}

static void side_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct app_side *side = user;
    struct world *world = side->host->world;

    if (side->ended)
        side_fail(side, "ended twice", why, side->end);
    if (conn != side->conn)
        side_fail(side, "the end of another connection", why, 0);
    side->ended = true;
    side->end = why;
    side->conn = NULL;
    side_trace(side, app_end_name(why), side->acked, side->received);
    promises_drop(side);
    world_cancel(world, &side->write);
    world_cancel(world, &side->give);
    world_cancel(world, &side->close);
    if (why == TCP_END_DONE)
        check_done(side);
    if (why == TCP_END_REFUSED && side->opened)
        side_fail(side, "refused when it was open", 0, 0);
    if (why == TCP_END_ABORTED && !side->aborting)
        side_fail(side, "aborted by nobody", 0, 0);
}

#define APP_OPS                                                                                    \
    .accept = host_accept, .connected = side_connected, .recv = side_recv,                         \
    .recv_end = side_recv_end, .fill = side_fill, .sent = side_sent, .closed = side_closed

static const struct tcp_ops plain_ops = {APP_OPS};
static const struct tcp_ops joint_ops = {APP_OPS, .round = side_round};

const struct tcp_ops *app_ops(const struct app_host *host)
{
    return host->habits.record ? &joint_ops : &plain_ops;
}

void app_abort(struct app_side *side)
{
    if (side->ended || !side->conn)
        return;
    side_trace(side, "aborts", side->acked, side->received);
    side->aborting = true;
    tcp_abort(side->conn, side->host->world->now_ns);
    if (!side->ended)
        side_fail(side, "tcp_abort returned before the end was told", 0, 0);
}

void app_connect(struct app_side *side)
{
    struct app_flow *flow = side->flow;
    uint32_t self = side == &flow->sides[1];
    struct world *world = side->host->world;
    int err = tcp_connect(side->host->net.tcp, &side->conn, &side->host->net.addr,
                          flow->ports[self], &side->peer->host->net.addr, flow->ports[!self],
                          app_ops(side->host), side, world->now_ns);

    side_trace(side, "connects from and to", flow->ports[self], flow->ports[!self]);
    if (err) {
        /* Ports are reused on purpose, and tables made small. */
        if (err != -EADDRINUSE && err != -ENOBUFS)
            side_fail(side, "tcp_connect failed", (uint64_t)-err, 0);
        side->conn = NULL;
        side->ended = true;
        side->end = TCP_END_REFUSED;
        flow->barred = true;
    }
}

void app_flow_init(struct app_flow *flow, struct world *world, struct app_host hosts[NET_HOSTS],
                   uint32_t number)
{
    flow->world = world;
    flow->number = number;
    for (uint32_t i = 0; i < NET_HOSTS; i++) {
        struct app_side *side = &flow->sides[i];

        side->host = &hosts[i];
        side->flow = flow;
        side->peer = &flow->sides[!i];
        side->key = flow->world->seed * 2 * APP_FLOWS_MAX + 2 * number + i;
        world_event_init(&side->write, side_write);
        world_event_init(&side->give, give_back);
        world_event_init(&side->answer, side_answer);
        world_event_init(&side->close, close_now);
    }
}

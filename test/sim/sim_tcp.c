// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim_tcp.c - two TCP stacks of ours, a network that harms, and applications with habits.
 *
 * Everything about a run is drawn from its seed before it starts and then noted, so that a failure
 * can be read before it is replayed. Most runs are small: a few connections with a few kilobytes
 * find most mistakes, and thousands of them fit into a minute.
 */
#include "app.h"
#include "audit.h"
#include "base/bytes.h"
#include "runner.h"

#define ARENA_BYTES             (1ull << 30) /* address space: untouched pages cost nothing */
#define SERVER_PORT             80
#define DEAF_PORT               81 /* nobody listens */
#define REJECT_PORT             82 /* a listener whose accept says no */
#define CLIENT_PORT_FIRST       1024
#define SIMULTANEOUS_PORT_FIRST 5000

/* A day of virtual time: the slowest runs lose a fifth of everything, both ways, and take hours. */
#define RUN_LIMIT_NS (86400 * NS_PER_S)
/* What a round trip costs beyond what was drawn: a delayed ACK, and ticks of timers. */
#define ROUND_EXTRA_NS (50 * NS_PER_MS)
/* A loss costs a timeout or two. */
#define LOSS_NS (2 * NS_PER_S)
/* A path that narrows without a word is found out by timeouts that double. */
#define HOLE_NS (120 * NS_PER_S)
/* Neighbours and SYNs that are asked for again. */
#define SETTLE_NS (60 * NS_PER_S)
/* The sum of the worst is never reached, nor is it far away. */
#define DEADLINE_FACTOR 2
#define ROUND_BYTES     536
#define ROUNDS_MIN      8
/* Half-open leftovers of old SYNs are given up after their last retry. */
#define LEFTOVER_LIMIT_NS (400 * NS_PER_S)
/* Exchanges fail so rarely that no connection may time out or be reset for it. */
#define GENTLE_HARM_MAX 0.06
/* Where more goes wrong, every other byte waits for a timeout: megabytes would take days. */
#define MEGABYTES_TOIL_MAX 0.2

struct scenario {
    struct world *world;
    struct pattern pattern;
    struct net_params net;
    struct net_link link;
    struct tcp_config tcp[NET_HOSTS];
    struct app_habits habits[NET_HOSTS];
    struct app_host hosts[NET_HOSTS];
    struct app_flow flows[APP_FLOWS_MAX];
    uint32_t flow_count;
    uint64_t lateness_ns;
    uint64_t limit_ns;       /* until every side has ended */
    uint64_t quiet_since_ns; /* every side has ended; 0: not yet */
    bool gentle;
};

/* --- drawing ---------------------------------------------------------------------------------- */

struct mood { /* what the connections of this run are like */
    uint64_t bytes_max;
    uint64_t start_spread_ns;
    double odd, disturbed, stop, capped;
};

static struct tcp_config draw_tcp(struct rand *rand, const struct scenario *s)
{
    static const char *const algorithms[] = {"cubic", "newreno", "bbr"};
    struct tcp_config config = tcp_config_default();

    config.conns_max = s->flow_count + (uint32_t)world_range(rand, 1, 16);
    config.half_open_max = config.conns_max;
    if (rand_chance(rand, 0.1))
        config.half_open_max = (uint32_t)world_range(rand, 1, config.conns_max);
    config.rcv_wnd_bytes = (uint32_t)world_range_log(rand, 512, 1 << 20);
    config.watermark_mss = (uint32_t)world_range(rand, 1, 10);
    config.reasm_max = (uint32_t)(rand_chance(rand, 0.3) ? world_range(rand, 0, 16) : 512);
    config.asked_max_bytes = (uint32_t)world_range_log(rand, 16384, 1 << 20);
    if (rand_chance(rand, 0.3))
        config.mss_max = (uint16_t)world_range(rand, 88, 1460);
    config.cc = algorithms[rand_below(rand, array_len(algorithms))];
    config.pacing = rand_chance(rand, 0.5);
    config.keepalive_ns = world_range(rand, 5, 75) * NS_PER_S;
    config.user_timeout_ns = world_range(rand, 120, 600) * NS_PER_S;
    config.fin_wait_2_ns = world_range(rand, 300, 600) * NS_PER_S;
    config.time_wait_ns = world_range(rand, s->net.harm > 0 ? 60 : 1, 120) * NS_PER_S;
    config.ecn = (enum tcp_ecn)rand_below(rand, TCP_ECN_ASK + 1);
    return config;
}

static struct app_habits draw_habits(struct rand *rand)
{
    static const uint32_t chunk_bytes[] = {4096, 16384, 61440};
    struct app_habits habits = {
        .chunk_count = (uint32_t)world_range_log(rand, 2, 64),
        .chunk_bytes = chunk_bytes[rand_below(rand, array_len(chunk_bytes))],
        .refuse = rand_chance(rand, 0.3) ? 0.3 : 0,
        .shorten = rand_chance(rand, 0.4) ? 0.3 : 0,
        .unowned = rand_chance(rand, 0.5) ? 0.3 : 0,
        .later = rand_chance(rand, 0.6) ? 0.7 : 0,
        .later_ns = world_range_log(rand, NS_PER_US, 300 * NS_PER_MS),
        .keep = rand_chance(rand, 0.5) ? 0.5 : 0,
        .keep_ns = world_range_log(rand, NS_PER_US, 100 * NS_PER_MS),
    };

    return habits;
}

static struct mood draw_mood(struct rand *rand, double toil, uint32_t *flow_count)
{
    static const uint64_t bytes_max[] = {20000, 20000, 20000, 300000, 300000, 4 << 20};
    struct mood mood = {.bytes_max = bytes_max[rand_below(rand, array_len(bytes_max))]};

    if (toil > MEGABYTES_TOIL_MAX)
        mood.bytes_max = min_u64(mood.bytes_max, 300000);
    *flow_count = (uint32_t)world_range(rand, 1, 4);
    if (rand_chance(rand, 0.2))
        *flow_count = (uint32_t)world_range(rand, 5, 15);
    if (rand_chance(rand, 0.05))
        *flow_count = (uint32_t)world_range(rand, 16, 50);
    mood.start_spread_ns = rand_chance(rand, 0.3) ? 0 : world_range_log(rand, 1, 10 * NS_PER_S);
    mood.odd = rand_chance(rand, 0.3) ? 0.4 : 0;
    mood.disturbed = rand_chance(rand, 0.3) ? 0.4 : 0;
    mood.stop = rand_chance(rand, 0.2) ? 0.5 : 0;
    mood.capped = rand_chance(rand, 0.2) ? 0.5 : 0;
    return mood;
}

static void draw_side(struct rand *rand, struct app_side *side, const struct mood *mood,
                      bool may_close_last)
{
    if (!rand_chance(rand, 0.15))
        side->total = world_range_log(rand, 1, mood->bytes_max);
    /* At most some 32 writes each, or one. */
    side->step = max_u64(1, rand_chance(rand, 0.5) ? side->total : side->total / 16);
    side->pause_ns = world_range_log(rand, 1, NS_PER_S);
    if (rand_chance(rand, mood->capped)) /* a minute, at most */
        side->rate_bps = world_range_log(rand, side->total / 60 + 1, 100000000);
    side->close_last = may_close_last && rand_chance(rand, 0.5);
    if (rand_chance(rand, 0.3))
        side->close_after_ns = world_range_log(rand, NS_PER_US, 10 * NS_PER_S);
    if (rand_chance(rand, mood->stop)) {
        side->stop_at = rand_below(rand, mood->bytes_max);
        side->stop_ns = world_range_log(rand, NS_PER_MS, 30 * NS_PER_S);
    }
}

static void draw_ports(struct rand *rand, struct scenario *s, struct app_flow *flow)
{
    const struct app_flow *older = flow->number ? &s->flows[rand_below(rand, flow->number)] : NULL;

    flow->ports[0] = (uint16_t)(CLIENT_PORT_FIRST + flow->number);
    flow->ports[1] = SERVER_PORT;
    if (flow->kind == FLOW_SIMULTANEOUS)
        flow->ports[1] = (uint16_t)(SIMULTANEOUS_PORT_FIRST + flow->number);
    else if (flow->kind == FLOW_REFUSED)
        flow->ports[1] = DEAF_PORT;
    else if (flow->kind == FLOW_REJECTED)
        flow->ports[1] = REJECT_PORT;
    else if (older && older->kind == FLOW_ORDINARY && older->vanish_after_ns == WORLD_NEVER &&
             flow->vanish_after_ns == WORLD_NEVER && rand_chance(rand, 0.1))
        flow->ports[0] = older->ports[0];
}

static void draw_flow(struct rand *rand, struct scenario *s, struct app_flow *flow,
                      const struct mood *mood)
{
    uint32_t first = (uint32_t)rand_below(rand, NET_HOSTS);

    flow->kind =
        rand_chance(rand, mood->odd) ? (enum app_kind)rand_below(rand, FLOW_KINDS) : FLOW_ORDINARY;
    flow->start_after_ns = mood->start_spread_ns ? rand_below(rand, mood->start_spread_ns) : 0;
    flow->abort_after_ns = flow->vanish_after_ns = WORLD_NEVER;
    /* One of the two must close without waiting for the other. */
    draw_side(rand, &flow->sides[first], mood, false);
    draw_side(rand, &flow->sides[!first], mood, true);
    if (rand_chance(rand, mood->disturbed)) {
        uint64_t after_ns = rand_chance(rand, 0.2) ? 0 : world_range_log(rand, 1, 20 * NS_PER_S);

        flow->abort_side = (uint32_t)rand_below(rand, NET_HOSTS);
        if (rand_chance(rand, 0.5))
            flow->abort_after_ns = after_ns;
        else
            flow->vanish_after_ns = after_ns;
        flow->disturbed = true;
    }
    draw_ports(rand, s, flow);
}

/* --- how long it may take --------------------------------------------------------------------- */

/* When the last byte of this side could have been written, and read, if nothing were in the way. */
static uint64_t plan_ns(const struct app_side *side)
{
    uint64_t writes = 2 * (side->total / max_u64(side->step, 1) + 1);

    return writes * side->pause_ns + side->close_after_ns + side->stop_ns +
           (side->rate_bps ? side->total * NS_PER_S / side->rate_bps : 0);
}

/* In steps of which each needs a round trip: the receiver's window, or a segment where it is less.
 */
static uint64_t rounds(const struct scenario *s, const struct app_side *side, uint32_t number)
{
    uint64_t window = s->tcp[!number].rcv_wnd_bytes / 2;

    return side->total / max_u64(min_u64(window, ROUND_BYTES), 1) + ROUNDS_MIN;
}

/*
 * Nobody waits without an end, and where little goes wrong there is a time by which all must be
 * over, however it went: every write, read, answer of the disk and loss that was drawn, one after
 * the other. Elsewhere timeouts of a minute follow one another, and a day has to do.
 */
static uint64_t deadline_ns(const struct scenario *s)
{
    uint64_t start_ns = 0, plans_ns = 0, steps = 0, round_ns, hole_ns = 0;

    for (uint32_t i = 0; i < s->flow_count; i++) {
        start_ns = max_u64(start_ns, s->flows[i].start_after_ns);
        for (uint32_t k = 0; k < NET_HOSTS; k++) {
            plans_ns += plan_ns(&s->flows[i].sides[k]);
            steps += rounds(s, &s->flows[i].sides[k], k);
        }
    }
    round_ns = s->net.delay_ns + s->lateness_ns + ROUND_EXTRA_NS;
    for (uint32_t k = 0; k < NET_HOSTS; k++) {
        round_ns += s->habits[k].later_ns + s->habits[k].keep_ns;
        hole_ns += s->net.gates[k].config.mtu ? HOLE_NS : 0;
    }
    return start_ns + SETTLE_NS +
           DEADLINE_FACTOR * (plans_ns + steps * round_ns + hole_ns +
                              (uint64_t)((double)steps * s->net.harm) * LOSS_NS);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void note(struct scenario *s, const struct mood *mood)
{
    struct world *world = s->world;

    world_note(world,
               "%s flows=%u bytes<=%llu spread=%.3fs odd=%.1f disturbed=%.1f stop=%.1f capped=%.1f"
               " late=%llu us",
               s->net.routed ? " routed" : "", s->flow_count, (unsigned long long)mood->bytes_max,
               (double)mood->start_spread_ns / NS_PER_S, mood->odd, mood->disturbed, mood->stop,
               mood->capped, (unsigned long long)(s->lateness_ns / NS_PER_US));
    for (uint32_t i = 0; i < NET_HOSTS; i++) {
        const struct tcp_config *t = &s->tcp[i];
        const struct app_habits *h = &s->habits[i];

        world_note(world,
                   " %s{%s%s conns=%u half=%u wnd=%u mark=%u asked=%u mss=%u keep=%llus ut=%llus"
                   " tw=%llus chunks=%ux%u refuse=%.1f short=%.1f unowned=%.1f grow=%.1f record=%u"
                   " later=%.1f %.3fms keep=%.1f %.3fms}",
                   i ? "server" : "client", t->cc, t->pacing ? " paced" : "", t->conns_max,
                   t->half_open_max, t->rcv_wnd_bytes, t->watermark_mss, t->asked_max_bytes,
                   t->mss_max, (unsigned long long)(t->keepalive_ns / NS_PER_S),
                   (unsigned long long)(t->user_timeout_ns / NS_PER_S),
                   (unsigned long long)(t->time_wait_ns / NS_PER_S), h->chunk_count, h->chunk_bytes,
                   h->refuse, h->shorten, h->unowned, h->grow, h->record, h->later,
                   (double)h->later_ns / NS_PER_MS, h->keep, (double)h->keep_ns / NS_PER_MS);
    }
}

static void scenario_draw(struct scenario *s)
{
    struct rand *rand = &s->world->draw;
    struct mood mood;

    net_draw(&s->net, s->world);
    s->net.routed = rand_chance(rand, 0.3);
    mood = draw_mood(rand, s->net.toil, &s->flow_count);
    s->lateness_ns = rand_chance(rand, 0.3) ? world_range_log(rand, 1, 2 * NS_PER_MS) : 0;
    for (uint32_t i = 0; i < NET_HOSTS; i++) {
        s->tcp[i] = draw_tcp(rand, s);
        s->habits[i] = draw_habits(rand);
    }
    /* SYNs that come together and find a queue full come together again, until they give up. */
    s->gentle = s->net.harm <= GENTLE_HARM_MAX && !s->net.slow &&
                s->tcp[1].half_open_max >= s->flow_count && s->net.pipe.depth >= 4 * s->flow_count;
    for (uint32_t i = 0; i < s->flow_count; i++) {
        app_flow_init(&s->flows[i], s->world, s->hosts, i);
        draw_flow(rand, s, &s->flows[i], &mood);
    }
    /* Keepalives carry windows and so hide a probe that was forgotten. Where every end is told, no
     * connection needs them. */
    if (s->gentle && mood.disturbed == 0 && mood.odd == 0 && rand_chance(rand, 0.5))
        s->tcp[0].keepalive_ns = s->tcp[1].keepalive_ns = 0;
    for (uint32_t i = 0; i < NET_HOSTS; i++) {
        s->habits[i].record =
            rand_chance(rand, 0.4) ? (uint32_t)world_range_log(rand, 1, 40000) : 0;
        s->habits[i].grow = rand_chance(rand, 0.3) ? 0.5 : 0;
    }
    note(s, &mood);
    s->limit_ns = RUN_LIMIT_NS;
    if (s->gentle && mood.disturbed == 0)
        s->limit_ns = min_u64(deadline_ns(s), RUN_LIMIT_NS);
    world_note(s->world, " limit=%llus", (unsigned long long)(s->limit_ns / NS_PER_S));
}

/* --- what happens to a flow ------------------------------------------------------------------- */

static void flow_start(struct world_event *event)
{
    struct app_flow *flow = container_of(event, struct app_flow, start);
    struct world *world = flow->world;

    flow->started = true;
    flow->started_order = ++flow->sides[0].host->started_count;
    app_connect(&flow->sides[0]);
    if (flow->kind == FLOW_SIMULTANEOUS)
        app_connect(&flow->sides[1]);
    if (flow->abort_after_ns != WORLD_NEVER)
        world_at(world, &flow->abort, world->now_ns + flow->abort_after_ns);
    if (flow->vanish_after_ns != WORLD_NEVER)
        world_at(world, &flow->vanish, world->now_ns + flow->vanish_after_ns);
}

static void flow_abort(struct world_event *event)
{
    struct app_flow *flow = container_of(event, struct app_flow, abort);

    app_abort(&flow->sides[flow->abort_side]);
}

static void flow_vanish(struct world_event *event)
{
    struct app_flow *flow = container_of(event, struct app_flow, vanish);

    world_trace(flow->world, "  flow %u vanishes", flow->number);
    flow->vanished = true;
}

static bool datagram_admit(void *arg, const struct ip_dgram *dgram)
{
    struct app_host *host = arg;
    uint32_t self = host->net.number;

    if (dgram->len < 4)
        return true;
    for (uint32_t i = 0; i < host->flow_count; i++) {
        const struct app_flow *flow = &host->flows[i];

        if (flow->vanished && get_be16(dgram->payload) == flow->ports[!self] &&
            get_be16(dgram->payload + 2) == flow->ports[self])
            return false;
    }
    return true;
}

/* --- invariants ------------------------------------------------------------------------------- */

static bool side_open(const struct app_side *side)
{
    return side->conn && !side->ended;
}

static bool flows_over(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->flow_count; i++)
        if (!s->flows[i].started || side_open(&s->flows[i].sides[0]) ||
            side_open(&s->flows[i].sides[1]))
            return false;
    return true;
}

static uint64_t conns_left(const struct scenario *s)
{
    uint64_t left = 0;

    for (uint32_t i = 0; i < NET_HOSTS; i++)
        for (enum tcp_state state = 0; state < TCP_STATES; state++)
            left += stat_get(&tcp_state_counts(s->hosts[i].net.tcp)[state]);
    return left;
}

static bool finished(void *arg)
{
    const struct scenario *s = arg;

    return flows_over(s) && conns_left(s) == 0;
}

/* A connection that the application has not been told the end of belongs to exactly one side. */
static bool check_conn(struct app_host *host, struct tcp_conn *conn)
{
    enum tcp_state state = tcp_conn_state(conn);
    struct app_side *side;

    if (state == TCP_CLOSED || state == TCP_LISTEN || state >= TCP_STATES)
        return world_fail(host->world, "%s: a connection in state %d", host->net.name, state);
    if (state == TCP_SYN_RECEIVED || state == TCP_TIME_WAIT)
        return true;
    side = tcp_conn_user(conn);
    if (!side || side->conn != conn || side->ended)
        return world_fail(host->world, "%s: a connection in %s that belongs to nobody",
                          host->net.name, tcp_state_name(state));
    return true;
}

static void check_host(struct app_host *host)
{
    uint64_t tally[TCP_STATES] = {0};

    app_host_sweep(host);
    if (!audit_tcp(host->world, host->net.tcp, host->net.name))
        return;
    for (struct tcp_conn *conn = tcp_conn_next(host->net.tcp, NULL); conn;
         conn = tcp_conn_next(host->net.tcp, conn)) {
        if (!check_conn(host, conn))
            return;
        tally[tcp_conn_state(conn)]++;
    }
    for (enum tcp_state state = 0; state < TCP_STATES; state++) {
        uint64_t counted = stat_get(&tcp_state_counts(host->net.tcp)[state]);

        if (counted != tally[state])
            world_fail(host->world, "%s: tcp_state_counts says %llu in %s, there are %llu",
                       host->net.name, (unsigned long long)counted, tcp_state_name(state),
                       (unsigned long long)tally[state]);
    }
}

static void check_flow_sacked(struct scenario *s, const struct app_flow *flow)
{
    const struct app_side *a = &flow->sides[0], *b = &flow->sides[1];

    if (!a->opened || !b->opened || !side_open(a) || !side_open(b))
        return;
    if (audit_sacked(s->world, a->conn, b->conn))
        audit_sacked(s->world, b->conn, a->conn);
}

static void inspect(void *arg)
{
    struct scenario *s = arg;
    uint64_t now_ns = s->world->now_ns, waits_ns;

    for (uint32_t i = 0; i < NET_HOSTS; i++)
        check_host(&s->hosts[i]);
    for (uint32_t i = 0; i < s->flow_count; i++)
        check_flow_sacked(s, &s->flows[i]);
    if (!flows_over(s)) {
        s->quiet_since_ns = 0;
        if (now_ns - s->world->start_ns > s->limit_ns)
            world_fail(s->world, "not over by the deadline");
        return;
    }
    if (!s->quiet_since_ns)
        s->quiet_since_ns = now_ns;
    waits_ns = 2 * max_u64(s->tcp[0].time_wait_ns, s->tcp[1].time_wait_ns) + LEFTOVER_LIMIT_NS;
    if (conns_left(s) && now_ns - s->quiet_since_ns > waits_ns)
        world_fail(s->world, "connections are left long after 2 MSL");
}

static void describe(void *arg, char *text, size_t bytes)
{
    const struct scenario *s = arg;
    size_t used = 0;

    for (uint32_t i = 0; i < 2 * s->flow_count && used < bytes; i++) {
        const struct app_side *side = &s->flows[i / 2].sides[i % 2];

        if (side_open(side))
            used += (size_t)snprintf(
                text + used, bytes - used,
                "flow %u %s %s acked %llu of %llu received %llu of %llu; ", i / 2,
                side->host->net.name, tcp_state_name(tcp_conn_state(side->conn)),
                (unsigned long long)side->acked, (unsigned long long)side->total,
                (unsigned long long)side->received, (unsigned long long)side->peer->total);
    }
    if (!used)
        snprintf(text, bytes, "%llu connections that the application knows nothing of",
                 (unsigned long long)conns_left(s));
}

static void expect_end(struct scenario *s, const struct app_side *side, enum tcp_end end)
{
    if (!side->ended || side->end != end)
        world_fail(s->world, "flow %u, %s: ended as %s, expected %s", side->flow->number,
                   side->host->net.name, side->ended ? app_end_name(side->end) : "nothing",
                   app_end_name(end));
}

static void check_flow(struct scenario *s, const struct app_flow *flow)
{
    if (!flow->sides[0].ended)
        world_fail(s->world, "flow %u was never told its end", flow->number);
    if (flow->disturbed || flow->barred || !s->gentle)
        return;
    switch (flow->kind) {
    case FLOW_ORDINARY:
    case FLOW_SIMULTANEOUS:
        expect_end(s, &flow->sides[0], TCP_END_DONE);
        expect_end(s, &flow->sides[1], TCP_END_DONE);
        break;
    case FLOW_REFUSED:
        expect_end(s, &flow->sides[0], TCP_END_REFUSED);
        break;
    case FLOW_REJECTED:
        expect_end(s, &flow->sides[0], TCP_END_RESET);
        break;
    case FLOW_KINDS:
        break;
    }
}

static bool expect_sum(const struct app_host *host, const char *what, uint64_t counted,
                       uint64_t least, uint64_t most)
{
    if (counted >= least && counted <= most)
        return true;
    return world_fail(host->world, "%s: %s says %llu, the application knows of %llu to %llu",
                      host->net.name, what, (unsigned long long)counted, (unsigned long long)least,
                      (unsigned long long)most);
}

/* What the stack has counted is what the application has seen. */
static void check_counters(struct app_host *host)
{
    const struct tcp_stats *stats = tcp_stats(host->net.tcp);
    uint64_t acked = 0, received = 0, promised = 0, written = 0;
    bool told = true;

    for (uint32_t i = 0; i < host->flow_count; i++) {
        const struct app_side *side = &host->flows[i].sides[host->net.number];

        acked += side->acked;
        received += side->received;
        promised += side->promised;
        written += side->written;
        told &= !side->ended || side->end == TCP_END_DONE;
    }
    /* Who aborts is not told of what is acknowledged from then on. */
    expect_sum(host, "bytes_in", stat_get(&stats->bytes_in), received, received);
    expect_sum(host, "bytes_acked", stat_get(&stats->bytes_acked), acked, told ? acked : written);
    expect_sum(host, "bytes_out less retrans_bytes",
               stat_get(&stats->bytes_out) - stat_get(&stats->retrans_bytes), acked, promised);
}

static void check_timeouts(struct scenario *s)
{
    struct nmio_port *ports[] = {s->hosts[0].net.port, s->hosts[1].net.port};

    if (!net_is_perfect(&s->net) || s->world->pcap_path)
        return;
    for (uint32_t i = 0; i < s->flow_count; i++)
        if (s->flows[i].disturbed)
            return;
    for (uint32_t i = 0; i < NET_HOSTS; i++)
        net_check_timeouts(s->world, ports, s->hosts[i].net.tcp, s->hosts[i].net.name);
}

/* --- a run ------------------------------------------------------------------------------------ */

static enum world_verdict host_turn(void *arg)
{
    struct app_host *host = arg;
    uint32_t received = net_host_turn(&host->net);

    return received ? WORLD_BUSY : tcp_starved(host->net.tcp) ? WORLD_STARVED : WORLD_IDLE;
}

static uint64_t host_next_ns(void *arg)
{
    struct app_host *host = arg;

    return net_host_next_ns(&host->net);
}

static int host_open(struct scenario *s, uint32_t number)
{
    struct app_host *host = &s->hosts[number];
    int err = net_host_open(&host->net, &s->link, number, &s->tcp[number]);

    if (err)
        return err;
    host->net.admit = datagram_admit;
    host->net.arg = host;
    host->flows = s->flows;
    host->flow_count = s->flow_count;
    host->rcv_wnd_bytes = s->tcp[number].rcv_wnd_bytes;
    host->watermark_mss = s->tcp[number].watermark_mss;
    err = app_host_open(host, s->world, &s->pattern, &s->habits[number]);
    if (!err && number)
        err = tcp_listen(host->net.tcp, NULL, SERVER_PORT, app_ops(host), host);
    if (!err && number)
        err = tcp_listen(host->net.tcp, NULL, REJECT_PORT, app_ops(host), host);
    return err;
}

static int scenario_open(struct scenario *s)
{
    int err = pattern_open(&s->pattern, s->world->arena);

    if (!err)
        err = net_link_open(&s->link, &s->net, s->world);
    if (err)
        return err;
    for (uint32_t i = 0; i < NET_HOSTS && !err; i++)
        err = host_open(s, i);
    for (uint32_t i = 0; i < s->flow_count; i++) {
        struct app_flow *flow = &s->flows[i];

        world_event_init(&flow->start, flow_start);
        world_event_init(&flow->abort, flow_abort);
        world_event_init(&flow->vanish, flow_vanish);
        world_at(s->world, &flow->start, s->world->now_ns + flow->start_after_ns);
    }
    return err;
}

static void scenario_play(struct scenario *s)
{
    struct world_actor actors[NET_HOSTS + 1];
    bool boxed = net_link_actor(&s->link, &actors[NET_HOSTS]);
    struct world_plan plan = {.actors = actors,
                              .actor_count = NET_HOSTS + boxed,
                              .finished = finished,
                              .inspect = inspect,
                              .describe = describe,
                              .arg = s,
                              .lateness_ns = s->lateness_ns,
                              .limit_ns = RUN_LIMIT_NS};
    bool good;

    for (uint32_t i = 0; i < NET_HOSTS; i++)
        actors[i] = (struct world_actor){.name = s->hosts[i].net.name,
                                         .turn = host_turn,
                                         .next_ns = host_next_ns,
                                         .arg = &s->hosts[i]};
    good = world_run(s->world, &plan);
    net_link_trace(&s->link);
    for (uint32_t i = 0; i < NET_HOSTS; i++)
        net_host_trace(&s->hosts[i].net);
    if (!good)
        return;
    for (uint32_t i = 0; i < s->flow_count; i++)
        check_flow(s, &s->flows[i]);
    for (uint32_t i = 0; i < NET_HOSTS; i++) {
        app_host_check_empty(&s->hosts[i]);
        check_counters(&s->hosts[i]);
        audit_empty(s->world, s->hosts[i].net.tcp, s->hosts[i].net.name);
    }
    check_timeouts(s);
}

static void run(struct world *world)
{
    struct scenario *s;

    if (mem_arena_open(&world->arena, ARENA_BYTES, 0) < 0) {
        world_fail(world, "no memory for the arena");
        return;
    }
    s = mem_arena_alloc(world->arena, sizeof(*s), CACHE_LINE);
    s->world = world;
    scenario_draw(s);
    if (scenario_open(s) < 0)
        world_fail(world, "the scenario does not fit into the arena");
    else
        scenario_play(s);
    for (uint32_t i = 0; i < NET_HOSTS; i++)
        if (s->hosts[i].net.port)
            net_host_close(&s->hosts[i].net);
    net_link_close(&s->link);
    mem_arena_close(world->arena);
}

int main(int argc, char **argv)
{
    return runner_main(argc, argv, run, NULL);
}

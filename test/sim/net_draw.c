// SPDX-License-Identifier: BSD-2-Clause
/*
 * net_draw.c - a network from a seed: near (one pipe, and faults on its ends) or far (a middlebox
 * with delays, bursts of loss and a bottleneck), and gates on it or not.
 */
#include "net.h"

/* A hole closes before anybody gives up: the least user timeout that is drawn is 120 s, and the
 * last retransmission may have been half of the time ago. */
#define HOLE_NS_MAX (25 * NS_PER_S)
/* A black hole below the size that nearly every path takes is believed in last, after more timeouts
 * than some are ready to wait for. */
#define HOLE_FOUND_MTU 1220
/* Too much for megabytes. */
#define THIN_TOIL 0.25
/* Bursts end with a packet, not with time: one that goes on eats retransmission after
 * retransmission, a minute apart. */
#define BURST_END_MIN 0.7

/* An Ethernet's MTU mostly; else a tunnel's, the smallest that RFC 9293's default MSS implies, a
 * jumbo's. */
static uint32_t draw_mtu(struct rand *rand)
{
    static const uint32_t mtus[] = {1500, 1500, 1500, 1500, 1492, 1280, 576, 9000};

    return mtus[rand_below(rand, array_len(mtus))];
}

static struct nmio_pipe_config draw_pipe(struct rand *rand)
{
    struct nmio_pipe_config pipe = {
        .caps = {.mtu = draw_mtu(rand), .mac = {0x02, 0, 0, 0, 0, 0x10}},
        /* Sometimes a queue so short that bursts overflow it. */
        .depth = (uint32_t)(rand_chance(rand, 0.2) ? world_range(rand, 4, 32) : 256),
    };

    pipe.caps.slices_max = (uint8_t)world_range(rand, 1, NMIO_SLICES_MAX);
    pipe.caps.tx_csum = rand_chance(rand, 0.5);
    if (pipe.caps.tx_csum && rand_chance(rand, 0.6))
        pipe.caps.gso_bytes = (uint32_t)world_range(rand, pipe.caps.mtu, 65535);
    return pipe;
}

/* Each kind of fault is there or not; where it is, mild is as likely as severe. */
static double draw_rate(struct rand *rand, double chance, double most)
{
    if (!rand_chance(rand, chance))
        return 0;
    return most * (double)world_range_log(rand, 1, 1024) / 1024;
}

static struct nmio_fault_config draw_faults(struct rand *rand)
{
    struct nmio_fault_config faults = {
        .seed = rand_u64(rand),
        .loss = draw_rate(rand, 0.6, 0.2),
        .duplicate = draw_rate(rand, 0.3, 0.1),
        .reorder = draw_rate(rand, 0.3, 0.1),
        .corrupt = draw_rate(rand, 0.3, 0.05),
        .delay_ns = rand_chance(rand, 0.2) ? 0 : world_range_log(rand, NS_PER_US, 100 * NS_PER_MS),
    };

    faults.reorder_ns = world_range_log(rand, NS_PER_US, 100 * NS_PER_MS);
    return faults;
}

static void note_faults(const struct net_params *params, struct world *world, uint32_t host)
{
    const struct nmio_fault_config *f = &params->faults[host].config;

    if (!params->faults[host].on)
        return;
    world_note(world,
               " fault[%u]{loss=%.4f dup=%.4f reorder=%.4f by %.3fms corrupt=%.4f delay=%.3fms%s}",
               host, f->loss, f->duplicate, f->reorder, (double)f->reorder_ns / NS_PER_MS,
               f->corrupt, (double)f->delay_ns / NS_PER_MS, f->rx_only ? " rx only" : "");
}

/* --- far -------------------------------------------------------------------------------------- */

/* At least four packets fit, and no more than four seconds of them: the middlebox remembers 8.5. */
static void draw_bottleneck(struct rand *rand, struct path_settings *way, uint32_t mtu)
{
    uint64_t packets_max;

    way->rate_bps = world_range_log(rand, 500000, 1000000000);
    packets_max = max_u64(4, way->rate_bps * 4 / (8 * mtu));
    way->queue.unit = AMOUNT_PACKETS;
    way->queue.value = world_range_log(rand, 4, min_u64(packets_max, 512));
    if (rand_chance(rand, 0.5)) {
        way->ecn_mark.unit = AMOUNT_PACKETS;
        way->ecn_mark.value = world_range(rand, 1, way->queue.value);
    }
}

static struct path_settings draw_way(struct rand *rand, uint64_t delay_ns, uint32_t mtu)
{
    struct path_settings way;

    path_settings_default(&way);
    way.delay_min_ns = way.delay_max_ns = delay_ns;
    if (rand_chance(rand, 0.2)) /* another way back */
        way.delay_min_ns = way.delay_max_ns = world_range_log(rand, NS_PER_US, 200 * NS_PER_MS);
    way.loss = draw_rate(rand, 0.4, 0.1);
    if (rand_chance(rand, 0.3))
        way.burst = (struct burst_model){.on = true,
                                         .p = draw_rate(rand, 1, 0.03),
                                         .r = 0.1 + draw_rate(rand, 1, 0.8),
                                         .h = draw_rate(rand, 0.5, 0.5),
                                         .k = 1};
    if (rand_chance(rand, 0.5))
        draw_bottleneck(rand, &way, mtu);
    way.duplicate = draw_rate(rand, 0.2, 0.05);
    way.corrupt = draw_rate(rand, 0.2, 0.02);
    way.reorder = draw_rate(rand, 0.3, 0.1);
    way.reorder_by_ns = world_range_log(rand, NS_PER_US, 100 * NS_PER_MS);
    return way;
}

static double way_harm(const struct path_settings *way)
{
    double bursts =
        way->burst.on ? (1 - way->burst.h) * way->burst.p / (way->burst.p + way->burst.r) : 0;

    return way->loss + bursts + way->corrupt + way->reorder;
}

static void note_way(const struct path_settings *w, struct world *world, const char *name)
{
    world_note(world, " %s{loss=%.4f delay=%.3fms dup=%.4f corrupt=%.4f reorder=%.4f by %.3fms",
               name, w->loss, (double)w->delay_min_ns / NS_PER_MS, w->duplicate, w->corrupt,
               w->reorder, (double)w->reorder_by_ns / NS_PER_MS);
    if (w->burst.on)
        world_note(world, " burst p=%.4f r=%.2f h=%.2f", w->burst.p, w->burst.r, w->burst.h);
    if (w->rate_bps)
        world_note(world, " rate=%.1fM queue=%llu mark=%llu", (double)w->rate_bps / 1e6,
                   (unsigned long long)w->queue.value, (unsigned long long)w->ecn_mark.value);
    world_note(world, "}");
}

static void draw_far(struct net_params *params, struct world *world)
{
    static const char *const names[DIRECTIONS] = {[TO_RIGHT] = "up", [TO_LEFT] = "down"};
    struct rand *rand = &world->draw;
    uint64_t delay_ns = world_range_log(rand, NS_PER_US, 200 * NS_PER_MS);

    params->far = true;
    params->seed = rand_u64(rand);
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        struct path_settings *way = &params->ways[d];

        *way = draw_way(rand, delay_ns, params->pipe.caps.mtu);
        params->harm += way_harm(way);
        params->delay_ns += way->delay_max_ns + way->reorder_by_ns;
        params->slow |= way->rate_bps > 0 || (way->burst.on && way->burst.r < BURST_END_MIN);
        note_way(way, world, names[d]);
    }
}

static void draw_near(struct net_params *params, struct world *world)
{
    struct rand *rand = &world->draw;
    bool both = rand_chance(rand, 0.4), none = rand_chance(rand, 0.1);
    uint64_t only = rand_below(rand, NET_HOSTS);

    for (uint32_t host = 0; host < NET_HOSTS; host++) {
        struct nmio_fault_config faults = draw_faults(rand);

        /* Two fault ports: each harms what it receives. One: it harms both directions. */
        faults.rx_only = both;
        if (none || (!both && host != only))
            continue;
        params->faults[host] = (struct net_faults){true, faults};
        params->harm += (both ? 1 : 2) * (faults.loss + faults.corrupt + faults.reorder);
        params->delay_ns += (both ? 1 : 2) * (faults.delay_ns + faults.reorder_ns);
        note_faults(params, world, host);
    }
}

/* --- gates ------------------------------------------------------------------------------------ */

static void draw_acks(struct rand *rand, struct gate_config *gate)
{
    gate->ack_loss = draw_rate(rand, 0.4, 0.3);
    if (rand_chance(rand, 0.3))
        gate->thin = (uint32_t)world_range(rand, 2, 4);
    if (rand_chance(rand, 0.4)) {
        gate->stretch = (uint32_t)world_range_log(rand, 2, 64);
        gate->stretch_ns = world_range_log(rand, NS_PER_MS / 10, 100 * NS_PER_MS);
    }
}

static void draw_gate_mtu(struct rand *rand, struct gate_config *gate, uint32_t link_mtu)
{
    static const uint32_t mtus[] = {1492, 1400, 1280, 1006, 576, 552};

    gate->mtu = mtus[rand_below(rand, array_len(mtus))];
    if (gate->mtu >= link_mtu)
        gate->mtu = 552;
    gate->mtu_from_ns = rand_chance(rand, 0.2) ? 0 : world_range_log(rand, NS_PER_MS, 5 * NS_PER_S);
    gate->mtu_until_ns = gate->mtu_from_ns + world_range_log(rand, NS_PER_MS, HOLE_NS_MAX);
    gate->mtu_silent = rand_chance(rand, 0.4);
    gate->mtu_unsaid = rand_chance(rand, 0.2);
    if (rand_chance(rand, 0.6))
        gate->mtu_until_ns = WORLD_NEVER / 2;
}

static void draw_move(struct rand *rand, struct gate_config *gate)
{
    gate->moves_at_ns = world_range_log(rand, NS_PER_MS, 20 * NS_PER_S);
    gate->move_announced = rand_chance(rand, 0.7);
}

static void note_gate(const struct gate_config *g, struct world *world, uint32_t host)
{
    world_note(world, " gate[%u]{ack_loss=%.3f thin=%u stretch=%u %.3fms strip=%u", host,
               g->ack_loss, g->thin, g->stretch, (double)g->stretch_ns / NS_PER_MS, g->strip);
    if (g->mtu)
        world_note(world, " mtu=%u %.3f-%.3fs%s%s", g->mtu, (double)g->mtu_from_ns / NS_PER_S,
                   (double)g->mtu_until_ns / NS_PER_S, g->mtu_silent ? " silent" : "",
                   g->mtu_unsaid ? " unsaid" : "");
    if (g->moves_at_ns != WORLD_NEVER)
        world_note(world, " moves %.3fs%s", (double)g->moves_at_ns / NS_PER_S,
                   g->move_announced ? " announced" : "");
    world_note(world, "}");
}

static void draw_gates(struct net_params *params, struct world *world)
{
    struct rand *rand = &world->draw;
    unsigned strip = rand_chance(rand, 0.5) ? (unsigned)rand_below(rand, 8) : 0;

    for (uint32_t host = 0; host < NET_HOSTS; host++) {
        struct gate_config *gate = &params->gates[host].config;

        /* The same on both sides: who offers an option and sees it answered has it. */
        *gate = (struct gate_config){
            .seed = rand_u64(rand), .strip = strip, .moves_at_ns = WORLD_NEVER};
        if (rand_chance(rand, 0.4))
            draw_acks(rand, gate);
        if (rand_chance(rand, 0.2))
            draw_gate_mtu(rand, gate, params->pipe.caps.mtu);
        if (rand_chance(rand, 0.15))
            draw_move(rand, gate);
        params->gates[host].on = strip || gate->ack_loss > 0 || gate->thin || gate->stretch ||
                                 gate->mtu || gate->moves_at_ns != WORLD_NEVER;
        if (!params->gates[host].on)
            continue;
        params->harm += gate->ack_loss;
        params->delay_ns += gate->stretch_ns;
        params->slow |= gate->thin ||
                        (gate->mtu && gate->mtu_silent && gate->mtu < HOLE_FOUND_MTU) ||
                        (gate->moves_at_ns != WORLD_NEVER && !gate->move_announced);
        note_gate(gate, world, host);
    }
}

void net_draw(struct net_params *params, struct world *world)
{
    struct rand *rand = &world->draw;

    *params = (struct net_params){.pipe = draw_pipe(rand)};
    world_note(world, "mtu=%u depth=%u slices=%u csum=%d gso=%u", params->pipe.caps.mtu,
               params->pipe.depth, params->pipe.caps.slices_max, params->pipe.caps.tx_csum,
               params->pipe.caps.gso_bytes);
    if (rand_chance(rand, 0.4))
        draw_far(params, world);
    else
        draw_near(params, world);
    if (rand_chance(rand, 0.6))
        draw_gates(params, world);
    params->toil = params->harm;
    for (uint32_t host = 0; host < NET_HOSTS; host++) {
        const struct gate_config *gate = &params->gates[host].config;

        if (gate->strip & GATE_STRIP_SACK)
            params->toil += params->harm;
        if (gate->stretch)
            params->toil += params->harm;
        if (gate->thin) /* where a window is one segment it has one ACK, and no second chance */
            params->toil += THIN_TOIL;
    }
}

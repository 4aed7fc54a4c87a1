// SPDX-License-Identifier: BSD-2-Clause
#include "net.h"

#include "base/bytes.h"

#include <errno.h>

#define PREFIX_BITS   24
#define ROUTER_NUMBER 254

/* Under way in the middlebox, both directions together: two windows of 12 MB. */
#define BOX_PACKETS 32768

struct ip_addr net_addr(bool routed, uint32_t host)
{
    uint8_t near[4] = {192, 0, 2, (uint8_t)(host + 1)},
            far[4] = {198, 51, 100, (uint8_t)(host + 1)};

    return ip_addr_v4(routed && host ? far : near);
}

struct ip_prefix net_prefix(uint32_t host)
{
    return (struct ip_prefix){.addr = net_addr(false, host), .bits = PREFIX_BITS};
}

/* Where the links are routed each host is also the router of the other one, and has an address in
 * the other one's prefix for that. */
static struct ip_addr router_of(uint32_t host)
{
    struct ip_addr addr = net_addr(true, host);

    addr.b[15] = ROUTER_NUMBER;
    return addr;
}

/* --- the link --------------------------------------------------------------------------------- */

bool net_is_perfect(const struct net_params *params)
{
    return !params->faults[0].on && !params->faults[1].on && !params->far && !params->gates[0].on &&
           !params->gates[1].on;
}

static int port_stack(struct net_link *link, const struct net_params *params, uint32_t host)
{
    const struct net_faults *faults = &params->faults[host];
    struct gate_config gate = params->gates[host].config;
    struct nmio_port **port = &link->ports[host], *on_top;
    struct world *world = link->world;
    int err = 0;

    if (faults->on) {
        err = nmio_fault_open(&on_top, *port, world->arena, &faults->config);
        if (err)
            return err;
        *port = on_top;
    }
    if (!params->gates[host].on)
        return 0;
    gate.mtu_from_ns += world->now_ns;
    gate.mtu_until_ns += world->now_ns;
    if (gate.moves_at_ns != WORLD_NEVER)
        gate.moves_at_ns += world->now_ns;
    gate.addr = net_addr(params->routed, host);
    err = gate_open(&on_top, *port, &gate);
    if (err)
        return err;
    *port = link->gates[host] = on_top;
    return 0;
}

/* Two pipes and a middlebox: the ends at the hosts have the addresses that those of one pipe would
 * have. */
static int open_far(struct net_link *link, const struct net_params *params)
{
    struct mem_arena *arena = link->world->arena;
    struct nmio_port *left[2] = {NULL, NULL}, *right[2] = {NULL, NULL};
    struct box_config config = {.arena = arena,
                                .settings = {params->ways[0], params->ways[1]},
                                .seed = params->seed,
                                .packets = BOX_PACKETS,
                                .mtu = params->pipe.caps.mtu};
    int err = nmio_pipe_open(left, arena, &params->pipe);

    if (!err)
        err = nmio_pipe_open(right, arena, &params->pipe);
    config.left = left[1];
    config.right = right[0];
    if (!err)
        err = box_open(&link->box, &config, link->world->now_ns);
    if (!err) {
        link->ports[0] = left[0];
        link->ports[1] = right[1];
        return 0;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (left[i])
            nmio_close(left[i]);
        if (right[i])
            nmio_close(right[i]);
    }
    return err;
}

int net_link_open(struct net_link *link, const struct net_params *params, struct world *world)
{
    struct nmio_port *captured;
    int err;

    *link = (struct net_link){.world = world, .routed = params->routed};
    err = params->far ? open_far(link, params)
                      : nmio_pipe_open(link->ports, world->arena, &params->pipe);
    if (err)
        return err;
    for (uint32_t host = 0; host < NET_HOSTS && !err; host++)
        err = port_stack(link, params, host);
    if (!err && world->pcap_path) {
        err = nmio_pcap_open(&captured, link->ports[0], world->pcap_path, 0);
        if (!err)
            link->ports[0] = captured;
    }
    if (err) {
        nmio_close(link->ports[0]);
        nmio_close(link->ports[1]);
        net_link_close(link);
    }
    return err;
}

void net_link_close(struct net_link *link)
{
    if (link->box)
        box_close(link->box);
    link->box = NULL;
}

static uint64_t box_events(const struct box *box)
{
    uint64_t events = 0;

    for (unsigned d = 0; d < DIRECTIONS; d++)
        events +=
            stat_get(&box_path(box, d)->stats.packets) + stat_get(&box_path(box, d)->stats.sent);
    return events;
}

static enum world_verdict box_turn(void *arg)
{
    struct net_link *link = arg;
    uint64_t before = box_events(link->box);

    box_receive(link->box, link->world->now_ns);
    box_send(link->box, link->world->now_ns);
    return box_events(link->box) != before ? WORLD_BUSY : WORLD_IDLE;
}

static uint64_t link_next_ns(void *arg)
{
    struct net_link *link = arg;

    return box_next_ns(link->box);
}

bool net_link_actor(struct net_link *link, struct world_actor *actor)
{
    *actor = (struct world_actor){"middlebox", box_turn, link_next_ns, link};
    return link->box;
}

/* --- a host ----------------------------------------------------------------------------------- */

int net_host_open(struct net_host *host, const struct net_link *link, uint32_t number,
                  struct tcp_config *config)
{
    struct world *world = link->world;
    struct ip_prefix prefix = {.addr = net_addr(link->routed, number), .bits = PREFIX_BITS};
    struct ip_addr addrs[] = {prefix.addr, router_of(!number)}, router = router_of(number);
    struct eth_config eth = {.arena = world->arena,
                             .port = link->ports[number],
                             .addrs = addrs,
                             .addr_count = link->routed ? 2 : 1,
                             .neigh_max = 16,
                             .hash_key = {rand_u64(&world->draw), rand_u64(&world->draw)}};
    struct ip_config ip = {.arena = world->arena,
                           .prefixes = &prefix,
                           .prefix_count = 1,
                           .gateway = link->routed ? &router : NULL,
                           .secret = {rand_u64(&world->draw), rand_u64(&world->draw)}};
    int err;

    *host = (struct net_host){.world = world,
                              .name = number ? "server" : "client",
                              .number = number,
                              .addr = prefix.addr,
                              .port = link->ports[number]};
    config->arena = world->arena;
    for (size_t i = 0; i < array_len(config->secret); i++)
        config->secret[i] = rand_u64(&world->draw);
    err = eth_open(&host->eth, &eth, world->now_ns);
    ip.eth = host->eth;
    if (!err)
        err = ip_open(&host->ip, &ip, world->now_ns);
    config->ip = host->ip;
    if (!err)
        err = tcpip_init(&host->tcp, config, world->now_ns);
    if (err)
        net_host_close(host);
    return err;
}

void net_host_close(struct net_host *host)
{
    if (host->tcp)
        tcpip_close(host->tcp);
    if (host->ip)
        ip_close(host->ip);
    if (host->eth)
        eth_close(host->eth);
    nmio_close(host->port);
    host->port = NULL;
}

void net_check_timeouts(struct world *world, struct nmio_port *const ports[NET_HOSTS],
                        const struct tcp *tcp, const char *name)
{
    for (uint32_t i = 0; i < NET_HOSTS; i++)
        if (stat_get(&nmio_stats(ports[i])->drop_tx_full))
            return;
    if (stat_get(&tcp_stats(tcp)->rto_fired))
        world_fail(world, "%s: %llu retransmission timeouts though nothing was lost", name,
                   (unsigned long long)stat_get(&tcp_stats(tcp)->rto_fired));
}

#define TCP_FIXED_BYTES 20

static void trace_dgram(const struct net_host *host, const struct ip_dgram *dgram, bool admitted)
{
    static const char letters[] = "FSRPAUEC";
    const uint8_t *p = dgram->payload;
    char flags[sizeof(letters)];
    uint32_t header, n = 0;

    if (!host->world->verbose || dgram->len < TCP_FIXED_BYTES)
        return;
    for (uint32_t bit = 0; letters[bit]; bit++)
        if (p[13] & (1u << bit))
            flags[n++] = letters[bit];
    flags[n] = '\0';
    header = (p[12] >> 4) * 4u;
    world_trace(host->world, "> %s %5u to %5u %-3s seq %u len %u ack %u win %u%s%s", host->name,
                get_be16(p), get_be16(p + 2), flags, get_be32(p + 4),
                dgram->len > header ? dgram->len - header : 0, get_be32(p + 8), get_be16(p + 14),
                dgram->gso_size ? " gso" : "", admitted ? "" : " (vanished)");
}

/* ARP, or something that corruption has made of a packet. */
static void trace_link(const struct net_host *host, const struct nmio_pkt *pkt)
{
    if (host->world->verbose && pkt->len >= ETH_HEADER_BYTES)
        world_trace(host->world, "> %s ethertype %04x, %u bytes", host->name,
                    get_be16(pkt->data + ETH_HEADER_BYTES - 2), pkt->len);
}

void net_trace_stats(const struct world *world, const char *whose, const struct stat_desc *descs,
                     const void *stats)
{
    for (; descs->name; descs++) {
        uint64_t value;

        memcpy(&value, (const char *)stats + descs->offset, sizeof(value));
        if (value)
            world_trace(world, "%s %s %llu", whose, descs->name, (unsigned long long)value);
    }
}

void net_host_trace(const struct net_host *host)
{
    world_trace(host->world, "counters of the %s:", host->name);
    net_trace_stats(host->world, "port", nmio_stat_descs, nmio_stats(host->port));
    net_trace_stats(host->world, "eth", eth_stat_descs, eth_stats(host->eth));
    net_trace_stats(host->world, "ip", ip_stat_descs, ip_stats(host->ip));
    net_trace_stats(host->world, "tcp", tcp_stat_descs, tcp_stats(host->tcp));
}

void net_link_trace(const struct net_link *link)
{
    static const char *const ways[DIRECTIONS] = {[TO_RIGHT] = "to server", [TO_LEFT] = "to client"};

    for (uint32_t i = 0; i < NET_HOSTS; i++)
        if (link->gates[i])
            net_trace_stats(link->world, i ? "server's gate" : "client's gate", gate_stat_descs,
                            gate_stats(link->gates[i]));
    for (unsigned d = 0; link->box && d < DIRECTIONS; d++)
        net_trace_stats(link->world, ways[d], path_stat_descs, &box_path(link->box, d)->stats);
}

static void host_packet(struct net_host *host, struct nmio_pkt *pkt)
{
    uint64_t now_ns = host->world->now_ns;
    struct ip_dgram dgram;
    struct ip_error error;
    bool admitted;

    if (eth_input(host->eth, pkt, now_ns) != ETH_IP4) {
        trace_link(host, pkt);
        return;
    }
    switch (ip_input(host->ip, pkt, &dgram, &error, now_ns)) {
    case IP_TCP:
        admitted = !host->admit || host->admit(host->arg, &dgram);
        trace_dgram(host, &dgram, admitted);
        if (admitted)
            tcp_input(host->tcp, &dgram, now_ns);
        break;
    case IP_ERROR:
        tcp_error(host->tcp, &error, now_ns);
        break;
    case IP_UDP:
    case IP_DONE:
        break;
    }
}

uint32_t net_host_turn(struct net_host *host)
{
    uint64_t now_ns = host->world->now_ns;
    struct nmio_pkt pkts[NMIO_BATCH];
    uint32_t n = nmio_rx(host->port, pkts, NMIO_BATCH, now_ns);

    for (uint32_t i = 0; i < n; i++)
        host_packet(host, &pkts[i]);
    nmio_rx_done(host->port);
    if (eth_next_ns(host->eth) <= now_ns)
        eth_timers(host->eth, now_ns);
    tcp_timers(host->tcp, now_ns);
    tcp_pull(host->tcp, now_ns);
    nmio_flush(host->port, now_ns);
    nmio_reap(host->port);
    return n;
}

uint64_t net_host_next_ns(const struct net_host *host)
{
    uint64_t next_ns = min_u64(tcp_next_ns(host->tcp), eth_next_ns(host->eth));

    return min_u64(next_ns, nmio_next_ns(host->port));
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * net.h - the network of a simulation, and a host on it.
 *
 * The link is a pipe in memory, or two with a middlebox between them, which has a delay, a queue
 * and a loss of its own in each direction. What else can go wrong is done by nmio_fault on top of
 * one end or both, and what crosses it can be captured by nmio_pcap. A host is an Ethernet, an IP
 * and a TCP of ours on one end; its turn is that of a server's worker. The application that runs on
 * it stands elsewhere.
 *
 * net_link_open gives bare ports, so that a program that makes its own stack (sim_atlas's server)
 * can take one.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "box.h"
#include "gate.h"
#include "nmio/nmio.h"
#include "tcpip/tcpip.h"
#include "world.h"

#define NET_HOSTS 2 /* 0 is the client's side, 1 the server's */

struct net_faults {
    bool on;
    struct nmio_fault_config config;
};

struct net_gate {
    bool on;
    struct gate_config config; /* times count from the start */
};

struct net_params {
    struct nmio_pipe_config pipe;
    struct net_faults faults[NET_HOSTS];
    /* With a middlebox: what happens on the way to the server (TO_RIGHT) and to the client. */
    bool far;
    struct path_settings ways[DIRECTIONS];
    uint64_t seed;
    struct net_gate gates[NET_HOSTS]; /* on what that host receives */
    bool routed;                      /* the hosts are on different links, and routers between */
    /* What was drawn, summed up: */
    bool slow;         /* connections may have to wait for each other, or for a path that is gone */
    double toil;       /* as harm, and more where acknowledgments tell little of it */
    double harm;       /* how often, at most, an exchange of two packets fails */
    uint64_t delay_ns; /* there and back, at most, but for what waits in queues */
};

/* net_draw.c. `routed` is not drawn. */
void net_draw(struct net_params *params, struct world *world);
/* Nothing is drawn that could harm a packet but a queue that is too short. */
bool net_is_perfect(const struct net_params *params);

struct net_link {
    struct world *world;
    struct nmio_port *ports[NET_HOSTS]; /* closed by their users */
    struct nmio_port *gates[NET_HOSTS]; /* within these; NULL: there is none */
    struct box *box;                    /* NULL: there is none */
    bool routed;
};

must_check int net_link_open(struct net_link *link, const struct net_params *params,
                             struct world *world);
void net_link_close(struct net_link *link);
/* The middlebox has its turn, too. False: there is none. */
bool net_link_actor(struct net_link *link, struct world_actor *actor);
/* With --verbose: what gates and middlebox have counted. Before the ports are closed. */
void net_link_trace(const struct net_link *link);
struct ip_addr net_addr(bool routed, uint32_t host);
/* The host's address where nothing is routed: 192.0.2.(host + 1)/24. */
struct ip_prefix net_prefix(uint32_t host);

struct net_host {
    struct world *world;
    const char *name;
    uint32_t number;
    struct ip_addr addr;
    struct nmio_port *port;
    struct eth *eth;
    struct ip *ip;
    struct tcp *tcp;
    /* False: this datagram never arrived. NULL: all do. */
    bool (*admit)(void *arg, const struct ip_dgram *dgram);
    void *arg;
};

/* Takes the link's port over. config->arena, ip and secret are filled in here. */
must_check int net_host_open(struct net_host *host, const struct net_link *link, uint32_t number,
                             struct tcp_config *config);
void net_host_close(struct net_host *host);
/* One turn; the number of packets that it received. */
uint32_t net_host_turn(struct net_host *host);
uint64_t net_host_next_ns(const struct net_host *host);
/*
 * A network that lost nothing gives no reason to send anything twice: a timeout in such a run is an
 * ACK that somebody owed and forgot, which nobody would notice otherwise, since sending again heals
 * it. `ports` are those of both hosts.
 */
void net_check_timeouts(struct world *world, struct nmio_port *const ports[NET_HOSTS],
                        const struct tcp *tcp, const char *name);
/* With --verbose: every counter that is not zero. */
void net_trace_stats(const struct world *world, const char *whose, const struct stat_desc *descs,
                     const void *stats);
void net_host_trace(const struct net_host *host);

#endif

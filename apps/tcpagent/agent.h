// SPDX-License-Identifier: BSD-2-Clause
/*
 * agent.h - the application behind the stack: it accepts, counts what it receives, sends 'x', and
 * does it all only when it is told to.
 *
 * A command is a line of text, its result a number of zero or more, or minus errno. The commands
 * have the meaning of the socket calls they are named after. One connection is the current one, the
 * one that `A` took last; the others live on unattended until `Z`.
 *
 * A command that would have to wait returns AGENT_WAITS; it is given again after the next turn,
 * until it has a result or the caller's patience is over (agent_command with `last` set).
 *
 * The agent reads no clock and owns no descriptor: main.c has the loop.
 */
#ifndef TCPAGENT_AGENT_H
#define TCPAGENT_AGENT_H

#include "base/list.h"
#include "ip/ip.h"
#include "mem/mem.h"
#include "tcpip/tcpip.h"

#define AGENT_CONNS_MAX 1024 /* each a struct agent_conn and a struct tcp_conn */
#define AGENT_WAITS     INT64_MIN
#define AGENT_LINE_MAX  64

struct agent_config {
    struct mem_arena *arena; /* of the link, and of the bytes that are sent */
    struct nmio_port *port;  /* the agent closes it */
    struct ip_prefix addr;
    const struct ip_addr *gateway; /* or NULL */
    uint16_t listen_port;
    uint64_t secret[6];
};

struct agent_conn {
    struct list link; /* in agent->waiting until it is accepted; in agent->free */
    struct agent *agent;
    struct tcp_conn *conn; /* NULL: it has ended */
    enum tcp_end why;
    uint64_t unread; /* bytes received and not asked for yet: their number is all we keep */
    bool peer_done;  /* FIN */
    bool shut_rd, shut_wr;
    bool closed; /* by C: nobody will ask about it any more */
};

struct agent {
    struct agent_config config;
    struct eth *eth;
    struct ip *ip;
    struct mem_arena *tcp_arena; /* goes with everything that the stack knows, at Z */
    struct tcp *tcp;
    struct mem_chunks chunks;
    struct mem_chunk *text; /* nothing but 'x' */
    struct agent_conn conns[AGENT_CONNS_MAX];
    struct list free;
    struct list waiting; /* for A */
    struct agent_conn *current;
    uint64_t now_ns;
};

/* 0 or -errno. `agent` is zeroed. */
must_check int agent_open(struct agent *agent, const struct agent_config *config, uint64_t now_ns);
void agent_close(struct agent *agent);

/* Whether there may be more to receive. */
bool agent_turn(struct agent *agent, uint64_t now_ns);
uint64_t agent_next_ns(const struct agent *agent);

/* `last`: the answer cannot be AGENT_WAITS any more. */
int64_t agent_command(struct agent *agent, const char *line, bool last, uint64_t now_ns);

#endif

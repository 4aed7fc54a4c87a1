// SPDX-License-Identifier: BSD-2-Clause
/*
 * stack.h - clients on our own TCP: a port queue, many addresses, no kernel in between.
 *
 * Pairs of source address and port are used in their order, so that as many connections can be open
 * as there are pairs, and a pair is used again as late as possible. What arrives is looked at where
 * it lies and forgotten; a request is sent from where it was written once. So an idle connection
 * costs a connection block, its share of the tables and a struct client.
 */
#ifndef STORMLOAD_STACK_H
#define STORMLOAD_STACK_H

#include "engine.h"
#include "source.h"
#include "tcpip/tcpip.h"

struct stack;

struct stack_config {
    struct mem_arena *arena;
    struct nmio_port *port; /* the stack closes it */
    struct sources sources;
    const struct ip_addr *gateway; /* or NULL */
    struct ip_addr server;
    uint16_t server_port;
    uint32_t conns;
    uint32_t window_bytes;
    uint64_t timeout_ns;
};

extern const struct transport stack_transport;

size_t stack_arena_bytes(const struct stack_config *config);
/* 0, or -errno: -EINVAL for addresses that cannot be. */
must_check int stack_open(struct stack **out, const struct stack_config *config, uint64_t now_ns);
void stack_close(struct stack *stack);
/* One turn, the engine's included (NULL: it is over, only what is owed is sent). True if there was
 * more to receive than a turn takes. */
bool stack_turn(struct stack *stack, struct engine *engine, uint64_t now_ns);
uint64_t stack_next_ns(const struct stack *stack);
int stack_fd(const struct stack *stack);
const struct tcp_stats *stack_tcp_stats(const struct stack *stack);

#endif

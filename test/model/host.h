// SPDX-License-Identifier: BSD-2-Clause
/*
 * host.h - the endpoint under test: a real stack on one end of a pipe, with an application that
 * does what it is told and remembers what it was told.
 *
 * What happens is noted in parts: one for each segment of a turn, in their order, or, in a turn
 * without segments, part 0 for what time brought. Calls that the application made from within a
 * callback stand in the part, too. host_turn_done forgets them.
 */
#ifndef MODEL_HOST_H
#define MODEL_HOST_H

#include "model.h"
#include "net.h"

#define HOST_PARTS_MAX   4
#define HOST_PORT        80
#define HOST_PEER_PORT   40000
#define HOST_SENT_MAX    1024      /* segments of one turn */
#define HOST_WRITTEN_MAX (1 << 18) /* bytes of one connection */

struct host_part {
    struct model_seen seen;
    uint64_t recved, written;
    bool closed;
};

struct host_habits {
    struct model_config config;
    bool keeps;            /* received bytes, until host_recved */
    uint32_t writes_first; /* as soon as the connection is there */
    bool closes_first;
    bool closes_after_peer;
};

struct host {
    struct world *world;
    struct net_host net;
    struct nmio_port *peer;
    struct segment_ends ends;
    struct host_habits habits;
    struct tcp_conn *conn; /* NULL: the application has none */
    uint64_t received, held, written;
    bool closing;
    uint32_t iss; /* of the last SYN that it sent */
    struct host_part parts[HOST_PARTS_MAX];
    uint32_t segment_count; /* that arrived in this turn */
    struct segment sent[HOST_SENT_MAX];
    uint32_t sent_count;
};

/* Once per process. */
void host_prepare(void);
/* False: said with world_fail. */
bool host_open(struct host *host, struct world *world, const struct host_habits *habits);
void host_close(struct host *host);

void host_listen(struct host *host);
bool host_connect(struct host *host);
void host_write(struct host *host, uint32_t bytes);
void host_recved(struct host *host, uint32_t bytes);
void host_shut(struct host *host);
void host_abort(struct host *host);

/* The peer sends; `offset` is where the text stands in its stream. */
void host_send(struct host *host, const struct segment *seg, uint32_t offset);
/* One turn; what is sent lands in host->sent. */
bool host_turn(struct host *host);
void host_turn_done(struct host *host);
enum tcp_state host_state(const struct host *host);

#endif

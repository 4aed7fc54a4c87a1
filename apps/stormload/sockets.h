// SPDX-License-Identifier: BSD-2-Clause
/*
 * sockets.h - clients on the kernel's TCP: epoll and sockets that do not block.
 *
 * The client is to be cheaper than the server that it judges. Bodies that nobody looks at are
 * dropped inside the kernel (MSG_TRUNC), and a response that fits one read costs one send, one
 * receive and its share of an epoll_wait.
 */
#ifndef STORMLOAD_SOCKETS_H
#define STORMLOAD_SOCKETS_H

#include "engine.h"
#include "source.h"

#include <sys/socket.h>

struct sockets;

struct sockets_config {
    struct mem_arena *arena;
    struct sockaddr_storage server;
    socklen_t server_len;
    const struct sources *sources; /* addresses of this machine to connect from, or NULL */
    uint32_t index, step;          /* this thread begins at `index`, its like `step` further on */
    uint64_t (*clock_ns)(void);    /* read at each event: the send before it took its time */
};

extern const struct transport sockets_transport;

must_check int sockets_open(struct sockets **out, const struct sockets_config *config);
void sockets_close(struct sockets *sockets);
/* Waits for events until `until_ns`, and tells the clients. */
void sockets_turn(struct sockets *sockets, uint64_t until_ns);

#endif

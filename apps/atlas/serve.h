// SPDX-License-Identifier: BSD-2-Clause
/*
 * serve.h - the process around the workers: threads, signals, ARP and NDP between workers, and the
 * admin socket.
 */
#ifndef ATLAS_SERVE_H
#define ATLAS_SERVE_H

#include "conns.h"
#include "options.h"

#include <pthread.h>

#define INBOX_FRAMES 64

/* ARP and NDP packets that another worker received. A lock, but not on the datapath: it is taken
 * when `count` says that there is something. */
struct inbox {
    pthread_mutex_t lock;
    uint32_t count;
    uint32_t len[INBOX_FRAMES];
    uint8_t frame[INBOX_FRAMES][ETH_RELAY_MAX];
    uint64_t dropped; /* not yet among the worker's counters, which are its own to write */
};

struct server;

struct thread {
    struct server *server;
    struct worker *worker;
    struct mem_arena *arena;
    struct mem_arena *disk_arena; /* NULL: no disk insists on one */
    pthread_t id;
    bool started;
    int wake_fd;         /* eventfd */
    uint64_t duplicates; /* addresses that are somebody else's, as far as the operator was told */
    struct inbox inbox;
    struct conns_desk desk;    /* what the admin thread wants to know */
    struct tls_ctx *fresh_tls; /* atomic: loaded since the worker looked; or NULL */
};

struct server {
    struct serve_options options;
    struct diskmap_disks *disks;
    struct diskmap_set *set;
    struct thread threads[WORKERS_MAX];
    uint32_t thread_count;
    struct tls_tickets *tickets; /* NULL without TLS, as the next one */
    struct tls_ctx *tls;         /* the last that could be loaded */
    uint64_t start_ns;           /* CLOCK_MONOTONIC at the start; the workers' time 0 */
    bool draining;               /* atomic: set by the main thread, read by all */
    bool cut_off;                /* atomic: the time for draining is over */
    uint32_t running;            /* atomic: workers not ended */
    int done_fd;                 /* eventfd: a worker has ended */
};

/* `atlas serve`: the exit status. */
int serve(int argc, char **argv);

/* --- admin.c: a thread that answers questions ------------------------------------------------- */

struct admin;
must_check int admin_open(struct admin **out, struct server *server, const char *addr,
                          uint16_t port);
void admin_close(struct admin *admin);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * conns.h - a page of a worker's connections, for somebody who is not the worker.
 *
 * A connection is changed by its worker with every segment, and nobody else may look at it. Who
 * wants to know (the admin thread) lays a page on the worker's desk; the worker finds it there
 * between two turns, looks at a few hundred places of its table, copies what was asked for, and
 * goes back to its packets, until the page is finished. A million connections are so many pages,
 * and none of them holds up the datapath for longer than CONNS_PLACES_PER_TURN lookups.
 *
 * conns_desk_ask is for the one who asks, conns_desk_serve and conns_desk_close are for the
 * worker's thread. The lock is held while a slice of the page is filled, so that the one who asks
 * can take back a page that takes too long; when nothing is asked, serving is one relaxed load.
 */
#ifndef ATLAS_CONNS_H
#define ATLAS_CONNS_H

#include "worker.h"

#include <pthread.h>

#define CONNS_ROWS_MAX        1000
#define CONNS_PLACES_PER_TURN 256 /* some 20 us when every place is a cache miss or two */
/* A page ends here even if it has found little: about a quarter of a second for an idle worker. */
#define CONNS_PLACES_PER_PAGE (1u << 20)
#define CONNS_WAIT_MS         1000

struct conns_filter {
    uint32_t states; /* 1 << enum tcp_state, or 0: all of them */
    struct ip_addr peer;
    uint32_t peer_bits; /* of 128 that are to be equal; 0: everybody */
};

struct conns_row {
    struct tcp_info tcp;
    bool has_session;
    enum session_phase phase; /* what the session waits for, and for how long */
    uint64_t phase_ns;
    uint32_t responses, reads;
};

struct conns_page {
    struct conns_filter filter;
    uint32_t place;    /* where to begin; then where the next page begins */
    uint32_t rows_max; /* about: those in the last place come along */
    uint32_t looked;   /* places */
    uint32_t count;
    bool finished;
    bool last; /* no place is left */
    struct conns_row rows[CONNS_ROWS_MAX + 64];
};

struct conns_desk {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct conns_page *page; /* atomic; NULL: nothing is asked */
    bool closed;             /* the worker has ended */
};

void conns_page_begin(struct conns_page *page, const struct conns_filter *filter, uint32_t place,
                      uint32_t rows_max);

must_check int conns_desk_init(struct conns_desk *desk);
/* Fills the page, for which it wakes the worker by writing to `wake_fd`. 0, -ESHUTDOWN when the
 * worker has ended, or -ETIMEDOUT when it does not answer. */
must_check int conns_desk_ask(struct conns_desk *desk, struct conns_page *page, int wake_fd);
/* True: there is more to do, do not sleep. */
bool conns_desk_serve(struct conns_desk *desk, struct worker *worker, uint64_t now_ns);
void conns_desk_close(struct conns_desk *desk);

const char *session_phase_name(enum session_phase phase);

#endif

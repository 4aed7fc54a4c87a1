// SPDX-License-Identifier: BSD-2-Clause
/*
 * world.h - virtual time, what happens in it, and the first thing that went wrong.
 *
 * A world is one run of the simulator. Everything in it follows from its seed: one thread, one
 * clock that only world_sleep moves, one source of chance for what is drawn before the start and
 * one for what happens later, so that another question to the second never changes a run's
 * parameters.
 *
 * Events are embedded in what they concern and fire in the order of their time, and of their
 * scheduling where that is equal. A run that breaks an invariant says so with world_fail; the first
 * sentence is kept, since what follows is usually its consequence.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/base.h"
#include "base/rand.h"
#include "mem/mem.h"

#include <stdio.h>

#define WORLD_TEXT_BYTES 2048
#define WORLD_ACTORS_MAX 4
#define WORLD_NEVER      UINT64_MAX

struct world;

struct world_event {
    uint64_t due_ns;
    uint64_t order;
    size_t place; /* in the heap, from 1; 0: not scheduled */
    void (*fire)(struct world_event *event);
};

struct world {
    uint64_t seed;
    uint64_t start_ns;
    uint64_t now_ns;
    struct rand draw;   /* parameters */
    struct rand chance; /* everything that happens */
    struct mem_arena *arena;
    bool verbose;
    const char *pcap_path; /* or NULL */
    const void *shared;    /* see runner.h */
    char *params;          /* WORLD_TEXT_BYTES, the caller's: what was drawn, in words */
    char *failure;         /* WORLD_TEXT_BYTES, the caller's: empty as long as all is well */
    struct world_event **heap;
    size_t heap_count;
    size_t heap_room;
    uint64_t scheduled;
};

/* `params` and `failure` may lie in memory that outlives the process. */
void world_open(struct world *world, uint64_t seed, char *params, char *failure);
void world_close(struct world *world);

/* Adds to the list of parameters. */
void world_note(struct world *world, const char *fmt, ...) printf_like(2, 3);
/* An invariant is broken. Returns false, so that checks can say `return world_fail(...)`. */
bool world_fail(struct world *world, const char *fmt, ...) printf_like(2, 3);
bool world_failed(const struct world *world);
/* With --verbose: one line, with the time since the start in front. */
void world_trace(const struct world *world, const char *fmt, ...) printf_like(2, 3);

void world_event_init(struct world_event *event, void (*fire)(struct world_event *event));
/* Schedules, or moves an event that is scheduled. */
void world_at(struct world *world, struct world_event *event, uint64_t due_ns);
void world_cancel(struct world *world, struct world_event *event);
bool world_event_scheduled(const struct world_event *event);
/* Fires what is due now; returns how many. */
uint32_t world_fire(struct world *world);
uint64_t world_next_ns(const struct world *world);
void world_sleep(struct world *world, uint64_t until_ns);

/* --- the loop --------------------------------------------------------------------------------- */

enum world_verdict {
    WORLD_IDLE,    /* nothing was there to do */
    WORLD_BUSY,    /* something arrived or was sent on: look again before time moves */
    WORLD_STARVED, /* wants to go on but has to wait for something that only time brings */
};

/* Whoever has a turn of its own: a host, a server's worker. */
struct world_actor {
    const char *name;
    enum world_verdict (*turn)(void *arg);
    uint64_t (*next_ns)(void *arg);
    void *arg;
};

struct world_plan {
    struct world_actor *actors;
    uint32_t actor_count;
    bool (*finished)(void *arg);
    void (*inspect)(void *arg);                            /* after every turn: invariants */
    void (*describe)(void *arg, char *text, size_t bytes); /* who is still open, for a failure */
    void *arg;
    uint64_t lateness_ns; /* a sleeper wakes late by up to so much */
    uint64_t limit_ns;    /* the run has to be finished after so long */
};

/*
 * Turns until `finished`. Time moves only to the earliest moment that anybody has named: an actor
 * that forgets a timer is found hanging. Returns false when an invariant broke.
 */
bool world_run(struct world *world, const struct world_plan *plan);

/* Drawing: lo to hi, both included. */
uint64_t world_range(struct rand *rand, uint64_t lo, uint64_t hi);
/* As world_range, but every order of magnitude is as likely as the next; lo > 0. */
uint64_t world_range_log(struct rand *rand, uint64_t lo, uint64_t hi);

#endif

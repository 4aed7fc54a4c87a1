// SPDX-License-Identifier: BSD-2-Clause
#include "world.h"

#include <stdarg.h>
#include <stdlib.h>

void world_open(struct world *world, uint64_t seed, char *params, char *failure)
{
    *world = (struct world){.seed = seed, .params = params, .failure = failure};
    params[0] = failure[0] = '\0';
    rand_seed(&world->draw, seed);
    rand_seed(&world->chance, rand_u64(&world->draw));
    /* A server's monotonic clock has run for anything from no time to years. */
    world->start_ns = world_range_log(&world->draw, 1, 1ull << 57);
    world->now_ns = world->start_ns;
}

void world_close(struct world *world)
{
    free(world->heap);
    world->heap = NULL;
}

static void text_append(char *text, const char *fmt, va_list args)
{
    size_t used = strlen(text);

    vsnprintf(text + used, WORLD_TEXT_BYTES - used, fmt, args);
}

void world_note(struct world *world, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    text_append(world->params, fmt, args);
    va_end(args);
}

bool world_fail(struct world *world, const char *fmt, ...)
{
    va_list args;

    if (world->failure[0])
        return false;
    snprintf(world->failure, WORLD_TEXT_BYTES,
             "at %.6f s: ", (double)(world->now_ns - world->start_ns) / NS_PER_S);
    va_start(args, fmt);
    text_append(world->failure, fmt, args);
    va_end(args);
    world_trace(world, "FAILED %s", world->failure);
    return false;
}

bool world_failed(const struct world *world)
{
    return world->failure[0] != '\0';
}

void world_trace(const struct world *world, const char *fmt, ...)
{
    va_list args;

    if (!world->verbose)
        return;
    printf("%12.6f ", (double)(world->now_ns - world->start_ns) / NS_PER_S);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

/* --- events: a binary heap in heap[1] to heap[heap_count] ------------------------------------- */

static bool event_before(const struct world_event *a, const struct world_event *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void heap_set(struct world *world, size_t place, struct world_event *event)
{
    world->heap[place] = event;
    event->place = place;
}

static void heap_up(struct world *world, struct world_event *event)
{
    size_t place = event->place;

    while (place > 1 && event_before(event, world->heap[place / 2])) {
        heap_set(world, place, world->heap[place / 2]);
        place /= 2;
    }
    heap_set(world, place, event);
}

static void heap_down(struct world *world, struct world_event *event)
{
    size_t place = event->place;

    while (2 * place <= world->heap_count) {
        size_t child = 2 * place;

        if (child < world->heap_count && event_before(world->heap[child + 1], world->heap[child]))
            child++;
        if (!event_before(world->heap[child], event))
            break;
        heap_set(world, place, world->heap[child]);
        place = child;
    }
    heap_set(world, place, event);
}

void world_event_init(struct world_event *event, void (*fire)(struct world_event *event))
{
    *event = (struct world_event){.fire = fire};
}

void world_at(struct world *world, struct world_event *event, uint64_t due_ns)
{
    world_cancel(world, event);
    if (world->heap_count + 1 >= world->heap_room) {
        world->heap_room = world->heap_room ? 2 * world->heap_room : 64;
        world->heap = realloc(world->heap, world->heap_room * sizeof(*world->heap));
        assert(world->heap);
    }
    event->due_ns = max_u64(due_ns, world->now_ns);
    event->order = world->scheduled++;
    heap_set(world, ++world->heap_count, event);
    heap_up(world, event);
}

void world_cancel(struct world *world, struct world_event *event)
{
    struct world_event *last;

    if (!event->place)
        return;
    last = world->heap[world->heap_count--];
    if (last != event) {
        heap_set(world, event->place, last);
        heap_up(world, last);
        heap_down(world, last);
    }
    event->place = 0;
}

bool world_event_scheduled(const struct world_event *event)
{
    return event->place != 0;
}

uint32_t world_fire(struct world *world)
{
    uint64_t newer = world->scheduled;
    uint32_t fired = 0;

    /* What an event schedules for now fires in the next turn, so that a turn always ends. */
    while (world_next_ns(world) <= world->now_ns && world->heap[1]->order < newer) {
        struct world_event *event = world->heap[1];

        world_cancel(world, event);
        event->fire(event);
        fired++;
    }
    return fired;
}

uint64_t world_next_ns(const struct world *world)
{
    return world->heap_count ? world->heap[1]->due_ns : WORLD_NEVER;
}

void world_sleep(struct world *world, uint64_t until_ns)
{
    assert(until_ns >= world->now_ns);
    world->now_ns = until_ns;
}

/* --- the loop --------------------------------------------------------------------------------- */

/* Packets that cross in no time come back in no time, but not without end. */
#define TURNS_AT_ONE_TIME_MAX 200000
/* Turns in which nothing arrives, though somebody asked to be called at once: a window of a
 * megabyte may be filled in portions of a kilobyte, one a turn. More is a busy loop. */
#define IDLE_TURNS_MAX 10000
/* A starved worker polls; in reality its turns take about so long. */
#define STARVED_TURN_NS (100 * NS_PER_US)

static bool run_stuck(struct world *world, const struct world_plan *plan, const char *what)
{
    char text[WORLD_TEXT_BYTES / 2] = "";

    plan->describe(plan->arg, text, sizeof(text));
    return world_fail(world, "%s: %s", what, text);
}

/* One turn of everybody; the earliest time at which anybody has something to do. All are asked only
 * when all have had their turn: the last one may have sent something to the first. */
static uint64_t run_turn(struct world *world, const struct world_plan *plan, bool *busy)
{
    enum world_verdict verdicts[WORLD_ACTORS_MAX];
    uint64_t next_ns = WORLD_NEVER;

    *busy = world_fire(world) > 0;
    for (uint32_t i = 0; i < plan->actor_count; i++) {
        verdicts[i] = plan->actors[i].turn(plan->actors[i].arg);
        if (verdicts[i] == WORLD_BUSY)
            *busy = true;
    }
    for (uint32_t i = 0; i < plan->actor_count; i++) {
        uint64_t wants_ns = plan->actors[i].next_ns(plan->actors[i].arg);

        if (verdicts[i] == WORLD_STARVED && wants_ns <= world->now_ns)
            wants_ns = WORLD_NEVER;
        if (verdicts[i] == WORLD_STARVED)
            wants_ns = min_u64(wants_ns, world->now_ns + STARVED_TURN_NS);
        next_ns = min_u64(next_ns, wants_ns);
    }
    plan->inspect(plan->arg);
    return min_u64(next_ns, world_next_ns(world));
}

bool world_run(struct world *world, const struct world_plan *plan)
{
    uint32_t turns = 0, idle = 0;

    assert(plan->actor_count <= WORLD_ACTORS_MAX);
    for (;;) {
        bool busy;
        uint64_t next_ns = run_turn(world, plan, &busy);

        if (world_failed(world))
            return false;
        if (++turns > TURNS_AT_ONE_TIME_MAX)
            return run_stuck(world, plan, "time stands still, packets go round and round");
        idle = busy ? 0 : idle + 1;
        if (busy)
            continue;
        if (plan->finished(plan->arg))
            return true;
        if (next_ns == WORLD_NEVER)
            return run_stuck(world, plan, "deadlock, nobody has anything to do");
        if (next_ns <= world->now_ns) {
            if (idle > IDLE_TURNS_MAX)
                return run_stuck(world, plan, "somebody asks for turns and does nothing in them");
            continue;
        }
        if (next_ns - world->start_ns > plan->limit_ns)
            return run_stuck(world, plan, "not over in time");
        if (plan->lateness_ns)
            next_ns += rand_below(&world->chance, plan->lateness_ns);
        world_sleep(world, next_ns);
        turns = idle = 0;
    }
}

/* --- drawing ---------------------------------------------------------------------------------- */

uint64_t world_range(struct rand *rand, uint64_t lo, uint64_t hi)
{
    return lo + rand_below(rand, hi - lo + 1);
}

uint64_t world_range_log(struct rand *rand, uint64_t lo, uint64_t hi)
{
    uint32_t lo_bits = 63 - (uint32_t)__builtin_clzll(lo);
    uint32_t hi_bits = 63 - (uint32_t)__builtin_clzll(hi);
    uint64_t floor = 1ull << world_range(rand, lo_bits, hi_bits);

    return min_u64(max_u64(floor + rand_below(rand, floor), lo), hi);
}

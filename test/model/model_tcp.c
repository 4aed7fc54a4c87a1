// SPDX-License-Identifier: BSD-2-Clause
/*
 * model_tcp.c - random conversations with a stack, each step compared with the model.
 *
 * A run draws an endpoint and a peer from its seed. Each step is a few segments, a call, or some
 * time; then the stack has its turn, and every model that is left is asked whether it could have
 * done what the stack did. At the end the peer behaves, and every connection has to end.
 */
#include "coverage.h"
#include "draw.h"
#include "host.h"
#include "runner.h"
#include "worlds.h"

#include <stdlib.h>
#include <sys/mman.h>

#define ARENA_BYTES      (64ull << 20)
#define STEPS_MAX        160
#define LAST_STEPS_MAX   2000 /* ten minutes: a shut window opens in one */
#define LAST_STEP_NS     (300 * NS_PER_MS)
#define COVERAGE_SEEDS   1500 /* so many runs reach every cell many times */
#define ISN_TICK_NS      4000 /* RFC 9293 3.4.1: the clock of initial sequence numbers */
#define ISN_MARGIN       2000
#define QUARTER_MINUTE   (15 * NS_PER_S)
#define HOUR             (3600 * NS_PER_S)
#define DAYS_25          (25ull * 86400 * NS_PER_S)
#define SEGMENTS_AT_ONCE 3

struct run {
    struct world *world;
    struct host host;
    struct worlds worlds;
    struct draw draw;
    struct coverage *coverage;
    struct rand *rand;
    double odd, call, time; /* of 1: how often a step is one */
    uint64_t iss_ns;        /* when the last SYN was sent */
};

/* --- a turn, and what the models say ---------------------------------------------------------- */

/* What a model is told of one part of a turn. */
struct part_event {
    const struct segment *seg;
    const struct host_part *part;
    uint64_t now_ns;
};

static const char *part_happens(struct model *m, const void *arg)
{
    const struct part_event *e = arg;
    const char *wrong;

    model_segment(m, e->seg, e->now_ns);
    wrong = model_took(m, &e->part->seen, e->now_ns);
    if (wrong)
        return wrong;
    if (e->part->recved)
        model_recved(m, (uint32_t)e->part->recved);
    if (e->part->written)
        model_write(m, e->part->written, e->now_ns);
    if (e->part->closed)
        model_close(m, e->now_ns);
    return NULL;
}

/* The rest of the turn: time, and what was sent. */
struct rest_event {
    const struct host *host;
    enum tcp_state state;
    uint64_t now_ns;
};

static const char *rest_happens(struct model *m, const void *arg)
{
    static const struct model_seen nothing;
    const struct rest_event *e = arg;
    const char *wrong;

    model_time(m, e->now_ns);
    wrong = model_took(m, e->host->segment_count ? &nothing : &e->host->parts[0].seen, e->now_ns);
    for (uint32_t i = 0; i < e->host->sent_count && !wrong; i++)
        wrong = model_sent(m, &e->host->sent[i], e->now_ns);
    if (!wrong)
        wrong = model_settled(m, e->now_ns);
    if (!wrong && m->state != e->state)
        return "it is in another state";
    return wrong;
}

static bool contradicted(struct run *run)
{
    const struct model *m = &run->worlds.last;

    return world_fail(run->world,
                      "%s (the model is in %s, the stack in %s; "
                      "SND.UNA %u SND.NXT %u SND.WND %u RCV.NXT %u edge %u)",
                      run->worlds.why, tcp_state_name(model_state(m)),
                      tcp_state_name(host_state(&run->host)), m->snd_una, m->snd_nxt, m->snd_wnd,
                      m->rcv_nxt, m->rcv_edge);
}

static bool turn(struct run *run, const struct segment *segs, uint32_t count)
{
    uint64_t now_ns = run->world->now_ns;
    struct rest_event rest = {.host = &run->host, .now_ns = now_ns};

    if (!host_turn(&run->host))
        return false;
    if (run->host.segment_count != count)
        return world_fail(run->world, "%u segments were sent, %u arrived", count,
                          run->host.segment_count);
    for (uint32_t i = 0; i < count; i++) {
        struct part_event e = {&segs[i], &run->host.parts[i], now_ns};

        if (!worlds_apply(&run->worlds, part_happens, &e))
            return contradicted(run);
    }
    rest.state = host_state(&run->host);
    if (!worlds_apply(&run->worlds, rest_happens, &rest))
        return contradicted(run);
    for (uint32_t i = 0; i < run->host.sent_count; i++)
        if (run->host.sent[i].flags & SYN)
            run->iss_ns = now_ns;
    host_turn_done(&run->host);
    world_trace(run->world, "      = %s%s", tcp_state_name(model_state(worlds_any(&run->worlds))),
                run->worlds.count > 1 ? " (in several ways)" : "");
    return true;
}

/* --- steps: segments -------------------------------------------------------------------------- */

static void send_one(struct run *run, const struct segment *seg)
{
    const struct model *m = worlds_any(&run->worlds);
    char line[256];

    segment_print(seg, line, sizeof(line));
    world_trace(run->world, "%-11s > %s", tcp_state_name(model_state(m)), line);
    coverage_segment(run->coverage, m, seg);
    host_send(&run->host, seg, draw_offset(m, seg));
}

/* Several segments of one turn are drawn before any of them arrives. Only where the window is
 * known: it is announced by what is sent in answer. */
static bool step_segments(struct run *run)
{
    const struct model *m = worlds_any(&run->worlds);
    struct segment segs[SEGMENTS_AT_ONCE];
    uint32_t count = 1;

    run->draw.now_ns = run->world->now_ns;
    if (m->state >= TCP_ESTABLISHED && m->state != TCP_TIME_WAIT && rand_chance(run->rand, 0.15))
        count = (uint32_t)world_range(run->rand, 2, SEGMENTS_AT_ONCE);
    for (uint32_t i = 0; i < count; i++) {
        if (rand_chance(run->rand, run->odd) || !draw_legal(&run->draw, m, &segs[i]))
            draw_any(&run->draw, m, &segs[i]);
        send_one(run, &segs[i]);
    }
    return turn(run, segs, count);
}

/* --- steps: calls ----------------------------------------------------------------------------- */

static const char *call_connect(struct model *m, const void *arg)
{
    model_connect(m, *(const uint64_t *)arg);
    return NULL;
}

static const char *call_close(struct model *m, const void *arg)
{
    model_close(m, *(const uint64_t *)arg);
    return NULL;
}

static const char *call_abort(struct model *m, const void *arg)
{
    model_abort(m);
    return NULL;
}

struct bytes_event {
    uint32_t bytes;
    uint64_t now_ns;
};

static const char *call_write(struct model *m, const void *arg)
{
    const struct bytes_event *e = arg;

    model_write(m, e->bytes, e->now_ns);
    return NULL;
}

static const char *call_recved(struct model *m, const void *arg)
{
    const struct bytes_event *e = arg;

    model_recved(m, e->bytes);
    return NULL;
}

/* False: this call makes no sense now. Calls are made before the models hear of them; nothing is
 * compared until the turn. */
static bool try_call(struct run *run, enum coverage_call call)
{
    struct host *host = &run->host;
    uint64_t now_ns = run->world->now_ns;
    struct bytes_event e = {.now_ns = now_ns};

    switch (call) {
    case CALL_CONNECT:
        return worlds_any(&run->worlds)->state == TCP_CLOSED && host_connect(host) &&
               worlds_apply(&run->worlds, call_connect, &now_ns);
    case CALL_WRITE:
        e.bytes = (uint32_t)world_range_log(run->rand, 1, 30000);
        if (!host->conn || host->closing || host->written + e.bytes > HOST_WRITTEN_MAX)
            return false;
        host_write(host, e.bytes);
        return worlds_apply(&run->worlds, call_write, &e);
    case CALL_RECVED:
        if (!host->conn || !host->held)
            return false;
        e.bytes = (uint32_t)(rand_chance(run->rand, 0.5) ? host->held
                                                         : world_range(run->rand, 1, host->held));
        host_recved(host, e.bytes);
        return worlds_apply(&run->worlds, call_recved, &e);
    case CALL_CLOSE:
        if (!host->conn || host->closing)
            return false;
        host_shut(host);
        return worlds_apply(&run->worlds, call_close, &now_ns);
    case CALL_ABORT:
        if (!host->conn)
            return false;
        host_abort(host);
        return worlds_apply(&run->worlds, call_abort, NULL);
    default:
        return false;
    }
}

static bool call(struct run *run, enum coverage_call call)
{
    static const char *const names[] = {"connect", "write", "recved", "close", "abort"};
    struct model before = *worlds_any(&run->worlds);

    if (!try_call(run, call))
        return !world_failed(run->world);
    world_trace(run->world, "%-11s call %s", tcp_state_name(model_state(&before)), names[call]);
    coverage_call(run->coverage, &before, call);
    return turn(run, NULL, 0);
}

static bool step_call(struct run *run)
{
    static const enum coverage_call likely[] = {
        CALL_CONNECT, CALL_WRITE,  CALL_WRITE,  CALL_WRITE, CALL_WRITE,
        CALL_RECVED,  CALL_RECVED, CALL_RECVED, CALL_CLOSE, CALL_CLOSE,
    };

    if (rand_chance(run->rand, 0.02))
        return call(run, CALL_ABORT);
    return call(run, likely[rand_below(run->rand, array_len(likely))]);
}

/* --- steps: time ------------------------------------------------------------------------------ */

static bool pass(struct run *run, uint64_t ns)
{
    struct world *world = run->world;
    uint64_t until_ns = world->now_ns + ns;

    for (uint32_t turns = 0; turns < 100000; turns++) {
        uint64_t next_ns = max_u64(world->now_ns, net_host_next_ns(&run->host.net));

        world_sleep(world, min_u64(next_ns, until_ns));
        if (!turn(run, NULL, 0))
            return false;
        if (next_ns > until_ns)
            return true;
    }
    return world_fail(world, "the stack is never done");
}

/* How long until a new connection's sequence numbers are about to wrap, or to pass 2^31. */
static uint64_t until_isn_wraps(const struct run *run)
{
    uint64_t ticks = (run->world->now_ns - run->iss_ns) / ISN_TICK_NS;
    uint32_t isn = run->host.iss + (uint32_t)ticks;

    return (uint64_t)((uint32_t)(0u - isn - ISN_MARGIN) % 0x80000000u) * ISN_TICK_NS;
}

static uint64_t draw_time(struct run *run)
{
    const struct model *m = worlds_any(&run->worlds);
    uint64_t wait_ns;

    if (m->state == TCP_CLOSED && run->iss_ns && rand_chance(run->rand, 0.3))
        return until_isn_wraps(run);
    if (m->state == TCP_TIME_WAIT && rand_chance(run->rand, 0.3)) { /* about its end */
        wait_ns = max_u64(m->time_wait_min_ns, run->world->now_ns + 1) - run->world->now_ns;
        return wait_ns - 1 + rand_below(run->rand, 3);
    }
    if (rand_chance(run->rand, 0.003))
        return DAYS_25;
    if (rand_chance(run->rand, 0.08))
        return world_range_log(run->rand, QUARTER_MINUTE, HOUR);
    return world_range_log(run->rand, NS_PER_US, QUARTER_MINUTE);
}

static bool step_time(struct run *run)
{
    uint64_t ns = draw_time(run);

    world_trace(run->world, "%-11s %.6f s pass",
                tcp_state_name(model_state(worlds_any(&run->worlds))), (double)ns / NS_PER_S);
    coverage_call(run->coverage, worlds_any(&run->worlds), CALL_TIME);
    return pass(run, ns);
}

/* --- the end of a run ------------------------------------------------------------------------- */

/* In none of the models any text or window lies beyond. */
static uint32_t furthest(const struct worlds *worlds)
{
    uint32_t to = draw_furthest(worlds_any(worlds));

    for (uint32_t i = 1; i < worlds->count; i++)
        if (seq_before(to, draw_furthest(&worlds->models[i])))
            to = draw_furthest(&worlds->models[i]);
    return to;
}

static bool last_step(struct run *run)
{
    struct host *host = &run->host;
    struct segment seg;

    if (host->conn && host->held && !call(run, CALL_RECVED))
        return false;
    if (host->conn && !host->closing && !call(run, CALL_CLOSE))
        return false;
    if (worlds_any(&run->worlds)->state == TCP_CLOSED ||
        worlds_any(&run->worlds)->state == TCP_TIME_WAIT)
        return true;
    run->draw.now_ns = run->world->now_ns;
    draw_last(&run->draw, worlds_any(&run->worlds), furthest(&run->worlds), &seg);
    send_one(run, &seg);
    return turn(run, &seg, 1) && pass(run, LAST_STEP_NS);
}

/* With a peer that plays by the rules every connection ends, and not by a timeout: the models know
 * no other way within this time. */
static bool come_to_an_end(struct run *run)
{
    for (uint32_t i = 0; i < LAST_STEPS_MAX; i++) {
        enum tcp_state state = worlds_any(&run->worlds)->state;

        if (state == TCP_CLOSED || state == TCP_TIME_WAIT)
            return true;
        if (!last_step(run))
            return false;
    }
    return world_fail(run->world, "the connection does not end though the peer does all for it");
}

/* --- a run ------------------------------------------------------------------------------------ */

static struct host_habits draw_habits(struct rand *rand)
{
    static const uint16_t mss[] = {1460, 1460, 1460, 536, 1000};
    struct host_habits habits = {
        .config = {.rcv_buffer = (uint32_t)world_range_log(rand, 512, 1 << 20),
                   .mss = mss[rand_below(rand, array_len(mss))],
                   .refuses = rand_chance(rand, 0.05),
                   .user_timeout_ns = 100 * NS_PER_S,
                   .time_wait_ns = world_range(rand, 1, 60) * NS_PER_S,
                   .fin_wait_2_ns = 60 * NS_PER_S},
        .keeps = rand_chance(rand, 0.5),
        .closes_first = rand_chance(rand, 0.1),
        .closes_after_peer = rand_chance(rand, 0.2),
    };

    if (rand_chance(rand, 0.2))
        habits.config.rcv_buffer = 32768;
    if (rand_chance(rand, 0.3))
        habits.writes_first = (uint32_t)world_range_log(rand, 1, 20000);
    return habits;
}

static bool open_run(struct run *run)
{
    struct world *world = run->world;
    struct host_habits habits = draw_habits(&world->draw);
    bool listening = rand_chance(&world->draw, 0.8);
    struct model *m = &run->worlds.models[0];

    draw_peer(&run->draw, &world->draw);
    run->draw.rand = run->rand = &world->chance;
    run->odd = 0.1 + 0.6 * (double)rand_below(&world->draw, 100) / 100;
    run->call = 0.05 + 0.2 * (double)rand_below(&world->draw, 100) / 100;
    run->time = 0.02 + 0.2 * (double)rand_below(&world->draw, 100) / 100;
    world_note(world,
               "buffer=%u mss=%u/%u listening=%d keeps=%d writes=%u ts=%d scale=%d sack=%d "
               "odd=%.2f call=%.2f time=%.2f",
               habits.config.rcv_buffer, habits.config.mss, run->draw.mss, listening, habits.keeps,
               habits.writes_first, run->draw.offers_ts, run->draw.offers_scale,
               run->draw.offers_sack, run->odd, run->call, run->time);
    model_init(m, &habits.config, listening);
    run->worlds.count = 1;
    if (!host_open(&run->host, world, &habits))
        return false;
    if (listening)
        host_listen(&run->host);
    return !world_failed(world);
}

static bool step(struct run *run)
{
    const struct model *m = worlds_any(&run->worlds);
    double roll = (double)rand_below(run->rand, 1000) / 1000;

    if (m->state == TCP_CLOSED && roll < 0.2)
        return call(run, CALL_CONNECT);
    if (roll < run->call)
        return step_call(run);
    if (roll < run->call + run->time)
        return step_time(run);
    return step_segments(run);
}

static void run_seed(struct world *world)
{
    struct run *run = calloc(1, sizeof(*run));
    uint32_t steps;

    if (!run || mem_arena_open(&world->arena, ARENA_BYTES, 0) < 0) {
        world_fail(world, "no memory");
        free(run);
        return;
    }
    run->world = world;
    run->coverage = (struct coverage *)world->shared;
    if (open_run(run)) {
        steps = (uint32_t)world_range(&world->draw, STEPS_MAX / 4, STEPS_MAX);
        for (uint32_t i = 0; i < steps && step(run); i++)
            ;
        if (!world_failed(world))
            come_to_an_end(run);
    }
    host_close(&run->host);
    mem_arena_close(world->arena);
    free(run);
}

/* After the last seed: was there anything that no run has met? */
static bool conclude(const void *shared, uint64_t seeds)
{
    uint32_t empty = coverage_report(shared);

    return seeds < COVERAGE_SEEDS || empty == 0;
}

int main(int argc, char **argv)
{
    static const struct runner_end end = {.conclude = conclude, .name = "every cell was reached"};
    /* Filled in by the processes that the runner starts. */
    struct coverage *coverage =
        mmap(NULL, sizeof(*coverage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (coverage == MAP_FAILED) {
        fprintf(stderr, "%s: no memory\n", argv[0]);
        return 1;
    }
    host_prepare();
    return runner_main_ending(argc, argv, run_seed, coverage, &end);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * threads_test.c - several threads on one controller, each with a queue pair and an arena of its
 * own, all of them turning it. Worth its while under a thread sanitizer.
 */
#include "rig_test.h"

#include <pthread.h>

#define WORKERS     3
#define WINDOW      6
#define BLOCKS_MOST 40
#define SLOT_BYTES  (BLOCKS_MOST * 512 + 4096)
/* What a worker's time moves on by in one round; all of them together keep one clock. */
#define ROUND_NS   (20 * NS_PER_US)
#define ROUNDS_MAX 3000000

struct floor {
    struct nvme_ctrlr *ctrlr;
    uint64_t now_ns;
    uint32_t requests; /* each */
    uint32_t lives;    /* times that each closes its queue pair, and opens it again */
    uint32_t wrong;    /* counted by all */
};

struct job {
    struct iohdesc io;
    struct worker *worker;
    bool out;
};

struct worker {
    pthread_t thread;
    struct floor *floor;
    struct mem_arena *arena;
    struct nvme_qpair *qp;
    struct rand rand;
    struct job jobs[WINDOW];
    uint8_t *bufs[WINDOW];
    uint32_t number;
    uint32_t posted, ended, failed, lost;
};

static uint8_t pattern(uint64_t byte)
{
    return (uint8_t)((uint32_t)byte * 2654435761u >> 24);
}

static void wrong(struct floor *floor)
{
    __atomic_fetch_add(&floor->wrong, 1, __ATOMIC_RELAXED);
}

static void ended(struct iohdesc *io, int error)
{
    struct job *job = container_of(io, struct job, io);
    struct worker *w = job->worker;
    const uint8_t *bytes = io->buf;

    if (!job->out || !pthread_equal(pthread_self(), w->thread))
        wrong(w->floor);
    job->out = false;
    w->ended++;
    w->failed += error != 0;
    w->lost += error == -ENODEV;
    for (uint32_t i = 0; !error && i < io->lba_count * 512; i++)
        if (bytes[i] != pattern(io->lba * 512 + i)) {
            wrong(w->floor);
            break;
        }
}

static void post(struct worker *w)
{
    for (uint32_t i = 0; i < WINDOW && w->posted < w->floor->requests && !w->lost; i++) {
        struct job *job = &w->jobs[i];
        uint32_t count = (uint32_t)rand_below(&w->rand, BLOCKS_MOST) + 1;

        if (job->out)
            continue;
        job->io = (struct iohdesc){.ioqp = w->qp,
                                   .ns_id = 1,
                                   .lba = rand_below(&w->rand, RIG_BLOCKS - count),
                                   .lba_count = count,
                                   .buf = w->bufs[i] + 4 * rand_below(&w->rand, 1000),
                                   .op_complete = ended};
        memset(job->io.buf, 0, count * 512);
        if (nvme_read(&job->io)) {
            w->lost++;
            return;
        }
        job->out = true;
        w->posted++;
    }
}

static enum nvme_state turn(struct worker *w)
{
    return nvme_ctrlr_turn(w->floor->ctrlr,
                           __atomic_add_fetch(&w->floor->now_ns, ROUND_NS, __ATOMIC_RELAXED));
}

/* One life of the queue pair. False: it does not open. */
static bool live(struct worker *w)
{
    int error;

    w->posted = w->ended = 0;
    if (nvme_open(&w->qp, w->floor->ctrlr, w->number, w->arena))
        return false;
    for (uint32_t n = 0; w->posted < w->floor->requests || w->ended < w->posted; n++) {
        post(w);
        nvme_sqsync(w->qp);
        turn(w);
        nvme_consume_completions(w->qp, nvme_peek_completions(w->qp));
        nvme_cqsync(w->qp);
        if (n > ROUNDS_MAX || (w->lost && !nvme_outstanding(w->qp)))
            break;
    }
    if (w->ended != w->posted || nvme_outstanding(w->qp))
        wrong(w->floor);
    while ((error = nvme_close(w->qp)) == -EINPROGRESS)
        turn(w);
    if (error)
        wrong(w->floor);
    return !w->lost;
}

static void *work(void *arg)
{
    struct worker *w = arg;

    w->thread = pthread_self();
    rand_seed(&w->rand, w->number);
    if (mem_arena_open(&w->arena, 2 << 20, 0)) {
        wrong(w->floor);
        return NULL;
    }
    for (uint32_t i = 0; i < WINDOW; i++) {
        w->jobs[i].worker = w;
        w->bufs[i] = mem_arena_alloc(w->arena, SLOT_BYTES, PAGE_BYTES);
    }
    for (uint32_t i = 0; i < w->floor->lives; i++)
        if (!live(w))
            break;
    return NULL;
}

/* Returns how many requests ended with an error. */
static uint32_t crowd(struct nvme_sim_config sim, uint32_t requests, uint32_t lives, uint32_t *lost)
{
    // Where commands are lost, soon; otherwise late enough for one who is kept from running.
    struct nvme_config config = {.qpairs = WORKERS,
                                 .depth = 8,
                                 .timeout_ns = sim.stuck > 0 ? 20 * NS_PER_MS : 60 * NS_PER_S};
    struct worker workers[WORKERS] = {0};
    struct floor floor = {.requests = requests, .lives = lives};
    struct rig *rig;
    uint32_t failed = 0;

    sim.threads = true;
    rig = rig_open_with(sim, config);
    assert_int_equal(rig_leave(rig, NVME_STARTING), NVME_READY);
    floor.ctrlr = rig->ctrlr;
    floor.now_ns = rig->now_ns;
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i].floor = &floor;
        workers[i].number = i + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    *lost = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        failed += workers[i].failed;
        *lost += workers[i].lost;
    }
    assert_int_equal(floor.wrong, 0);
    assert_int_equal(nvme_ctrlr_stats(rig->ctrlr)->resets > 0, sim.stuck > 0);
    rig_close(rig);
    for (uint32_t i = 0; i < WORKERS; i++)
        mem_arena_close(workers[i].arena);
    return failed;
}

static void in_peace(void **state)
{
    uint32_t lost;

    assert_int_equal(crowd((struct nvme_sim_config){.delay_max_ns = NS_PER_MS}, 500, 6, &lost), 0);
    assert_int_equal(lost, 0);
    assert_int_equal(crowd((struct nvme_sim_config){0}, 500, 6, &lost), 0);
    assert_int_equal(
        crowd((struct nvme_sim_config){.delay_max_ns = NS_PER_MS, .shadow = true, .sgls = true},
              500, 6, &lost),
        0);
    assert_int_equal(crowd((struct nvme_sim_config){.shadow = true}, 500, 6, &lost), 0);
    assert_int_equal(lost, 0);
}

static void in_trouble(void **state)
{
    struct nvme_sim_config sim = {.delay_max_ns = NS_PER_MS,
                                  .stuck = 0.01,
                                  .abort_fails = 0.5,
                                  .fatal = 0.001,
                                  .shadow = true};
    uint32_t lost;

    // Reads are sent again until they succeed, or four times.
    (void)crowd(sim, 400, 3, &lost);
    assert_int_equal(lost, 0);
    sim.wont_stop = 1;
    assert_true(crowd(sim, 4000, 3, &lost) > 0);
    assert_true(lost > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_peace), cmocka_unit_test(in_trouble)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

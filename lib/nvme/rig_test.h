// SPDX-License-Identifier: BSD-2-Clause
/*
 * rig_test.h - a driver, a controller in software, and a clock that only the test moves.
 */
#ifndef NVME_RIG_TEST_H
#define NVME_RIG_TEST_H

#include "ctrlr.h"
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define RIG_BLOCKS  4096
#define RIG_TIMEOUT (800 * NS_PER_MS)
#define RIG_BUF     (4u << 20)

struct rig {
    struct mem_arena *arena;
    struct nvme_access *access;
    struct nvme_ctrlr *ctrlr;
    struct nvme_qpair *qp;
    uint64_t now_ns;
    uint8_t *media, *buf;
    char why[200];
};

struct rig_io {
    struct iohdesc io;
    uint32_t ended;
    int error;
};

static inline void rig_ended(struct iohdesc *io, int error)
{
    struct rig_io *r = container_of(io, struct rig_io, io);

    r->ended++;
    r->error = error;
}

static inline struct sim *rig_sim(struct rig *rig)
{
    return container_of(rig->access, struct sim, access);
}

/* Namespace 1 has 512-byte blocks and a pattern unless the test says otherwise. */
static inline struct rig *rig_open_with(struct nvme_sim_config sim, struct nvme_config config)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->media = malloc(RIG_BLOCKS * 512);
    for (uint32_t i = 0; i < RIG_BLOCKS * 512; i++)
        rig->media[i] = (uint8_t)(i * 2654435761u >> 24);
    if (!sim.namespaces[0].blocks)
        sim.namespaces[0] =
            (struct nvme_sim_namespace){.media = rig->media, .blocks = RIG_BLOCKS, .block_log = 9};
    assert_int_equal(mem_arena_open(&rig->arena, 16 << 20, 0), 0);
    assert_int_equal(nvme_sim_open(&rig->access, &sim), 0);
    config.access = rig->access;
    config.arena = rig->arena;
    assert_int_equal(nvme_ctrlr_open(&rig->ctrlr, &config, rig->why, sizeof(rig->why)), 0);
    rig->buf = mem_arena_alloc(rig->arena, RIG_BUF, PAGE_BYTES);
    assert_non_null(rig->buf);
    rig->now_ns = 1;
    return rig;
}

static inline struct rig *rig_open(struct nvme_sim_config sim, uint32_t depth, uint32_t qpairs)
{
    struct nvme_config config = {.qpairs = qpairs, .depth = depth, .timeout_ns = RIG_TIMEOUT};

    return rig_open_with(sim, config);
}

/* Turns, and moves the clock, until the state is another one. */
static inline enum nvme_state rig_leave(struct rig *rig, enum nvme_state state)
{
    enum nvme_state is;

    for (uint32_t i = 0; (is = nvme_ctrlr_turn(rig->ctrlr, rig->now_ns)) == state; i++) {
        uint64_t next_ns = nvme_ctrlr_next_ns(rig->ctrlr);

        assert_true(i < 100000);
        assert_true(next_ns != UINT64_MAX);
        rig->now_ns = max_u64(rig->now_ns, next_ns);
    }
    return is;
}

/* Turns until the queue pair is gone. */
static inline void rig_qp_close(struct rig *rig, struct nvme_qpair *qp)
{
    int error;

    for (uint32_t i = 0; (error = nvme_close(qp)) == -EINPROGRESS; i++) {
        assert_true(i < 100000);
        nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
        rig->now_ns = max_u64(rig->now_ns + 1, nvme_ctrlr_next_ns(rig->ctrlr));
    }
    assert_int_equal(error, 0);
}

/* Turns until what was asked for is there. */
static inline void rig_settle(struct rig *rig)
{
    for (uint32_t i = 0; !qpair_live(rig->qp); i++) {
        assert_true(i < 100000);
        nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
        nvme_peek_completions(rig->qp);
        rig->now_ns = max_u64(rig->now_ns + 1, nvme_ctrlr_next_ns(rig->ctrlr));
    }
}

static inline void rig_ready(struct rig *rig)
{
    assert_int_equal(rig_leave(rig, NVME_STARTING), NVME_READY);
    assert_int_equal(nvme_open(&rig->qp, rig->ctrlr, 1, rig->arena), 0);
    rig_settle(rig);
}

/* One round: what was posted is rung, time passes, what is finished is consumed. */
static inline uint32_t rig_round(struct rig *rig)
{
    uint32_t count;

    nvme_sqsync(rig->qp);
    nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
    rig->now_ns = max_u64(rig->now_ns + 1, nvme_ctrlr_next_ns(rig->ctrlr));
    nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
    count = nvme_consume_completions(rig->qp, nvme_peek_completions(rig->qp));
    nvme_cqsync(rig->qp);
    return count;
}

static inline void rig_drain(struct rig *rig)
{
    for (uint32_t i = 0; nvme_outstanding(rig->qp); i++) {
        assert_true(i < 100000);
        rig_round(rig);
    }
}

static inline struct rig_io rig_request(struct rig *rig, uint64_t lba, uint32_t count, uint32_t at)
{
    return (struct rig_io){.io = {.ioqp = rig->qp,
                                  .ns_id = 1,
                                  .lba = lba,
                                  .lba_count = count,
                                  .buf = rig->buf + at,
                                  .op_complete = rig_ended}};
}

static inline void rig_close(struct rig *rig)
{
    if (nvme_sim_complaint(rig->access))
        fail_msg("the controller complains: %s", nvme_sim_complaint(rig->access));
    nvme_ctrlr_close(rig->ctrlr);
    mem_arena_close(rig->arena);
    free(rig->media);
    free(rig);
}

#endif

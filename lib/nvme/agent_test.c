// SPDX-License-Identifier: BSD-2-Clause
/*
 * agent_test.c - a controller that somebody else administers: a small one here, which carries out
 * reads within the doorbell, loses queue pairs, and goes away.
 */
#include "ctrlr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ENTRIES      8
#define LIST_ENTRIES 4
#define QPAIRS       2
#define BUS          0x100000000ull
#define AREA_BYTES   (8u << 20)
#define QUEUES_BYTES (16 * PAGE_BYTES) /* a queue pair's, at the end of the area */
#define TIMEOUT_NS   (800 * NS_PER_MS)

struct pair {
    uint8_t *queues;
    uint32_t sq_head, cq_tail;
    uint16_t phase;
    uint32_t restarts;
    bool attached;
    bool stuck; /* it fetches, but completes nothing */
    int state;
    int unheard; /* what `state` will be when it is asked for */
};

struct keeper {
    struct nvme_access access;
    uint8_t *area;
    struct pair pairs[QPAIRS + 1];
    struct agent_info info;
    struct nvme_namespace namespaces[2];
    int info_error, restart_error;
    struct nvme_ctrlr *ctrlr;
    struct mem_arena *arena;
    uint64_t now_ns;
    uint8_t *buf;
};

static struct keeper *keeper_of(struct nvme_access *access)
{
    return container_of(access, struct keeper, access);
}

/* --- its side --------------------------------------------------------------------------------- */

static int k_info(struct nvme_access *access, struct agent_info *out)
{
    *out = keeper_of(access)->info;
    return keeper_of(access)->info_error;
}

static int k_namespace_get(struct nvme_access *access, uint32_t index, struct nvme_namespace *out)
{
    if (index >= keeper_of(access)->info.namespaces)
        return -EINVAL;
    *out = keeper_of(access)->namespaces[index];
    return 0;
}

static void pair_empty(struct pair *p)
{
    memset(p->queues, 0, QUEUES_BYTES);
    p->sq_head = p->cq_tail = 0;
    p->phase = NVME_CQE_PHASE;
}

static int k_attach(struct nvme_access *access, uint32_t number, struct agent_queues *out)
{
    struct keeper *k = keeper_of(access);
    struct pair *p = &k->pairs[number];
    size_t at = AREA_BYTES - number * QUEUES_BYTES;

    if (p->attached)
        return -EBUSY;
    p->attached = true;
    p->queues = k->area + at;
    pair_empty(p);
    *out = (struct agent_queues){.sq = p->queues,
                                 .cq = p->queues + PAGE_BYTES,
                                 .lists = (uint64_t *)(void *)(p->queues + 2 * PAGE_BYTES),
                                 .sq_bus = BUS + at,
                                 .cq_bus = BUS + at + PAGE_BYTES,
                                 .lists_bus = BUS + at + 2 * PAGE_BYTES,
                                 .entries = ENTRIES,
                                 .list_entries = LIST_ENTRIES};
    return 0;
}

static int k_restart(struct nvme_access *access, uint32_t number)
{
    struct keeper *k = keeper_of(access);
    struct pair *p = &k->pairs[number];

    assert_true(p->attached);
    p->restarts++;
    if (k->restart_error)
        return k->restart_error;
    pair_empty(p);
    p->state = p->unheard = 0;
    return 0;
}

static void k_detach(struct nvme_access *access, uint32_t number)
{
    assert_true(keeper_of(access)->pairs[number].attached);
    keeper_of(access)->pairs[number].attached = false;
}

static int k_state(struct nvme_access *access, uint32_t number)
{
    return keeper_of(access)->pairs[number].state;
}

static void k_look(struct nvme_access *access, uint32_t number)
{
    struct pair *p = &keeper_of(access)->pairs[number];

    assert_true(p->attached);
    p->state = p->unheard ? p->unheard : p->state;
}

/* Every page that is read is filled with the low byte of its first block's number. */
static void carry_out(struct keeper *k, const struct nvme_sqe *sqe)
{
    uint32_t bytes = (sqe->cdw12 + 1) * 512;

    assert_int_equal(sqe->opc, NVME_IO_READ);
    assert_true(sqe->prp1 >= BUS && sqe->prp1 + bytes <= BUS + AREA_BYTES);
    memset(k->area + (sqe->prp1 - BUS), (uint8_t)sqe->cdw10, bytes);
}

static void k_write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    struct keeper *k = keeper_of(access);
    uint32_t index = (off - NVME_REG_DOORBELLS) / 4;
    struct pair *p = &k->pairs[index / 2];
    struct nvme_sqe *sq = (struct nvme_sqe *)(void *)p->queues;
    struct nvme_cqe *cq = (struct nvme_cqe *)(void *)(p->queues + PAGE_BYTES);

    assert_true(p->attached && value < ENTRIES);
    if (index & 1 || p->state)
        return;
    for (; p->sq_head != value; p->sq_head = (p->sq_head + 1) % ENTRIES) {
        if (p->stuck)
            continue;
        carry_out(k, &sq[p->sq_head]);
        cq[p->cq_tail].cid = sq[p->sq_head].cid;
        cq[p->cq_tail].sf = p->phase;
        if (++p->cq_tail == ENTRIES)
            p->phase ^= NVME_CQE_PHASE;
        p->cq_tail %= ENTRIES;
    }
}

static uint32_t k_read32(struct nvme_access *access, uint32_t off)
{
    fail_msg("registers are not ours");
    return 0;
}

static int k_map(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus)
{
    return -EINVAL;
}

static void k_stop(struct nvme_access *access)
{
}

static int k_fd(struct nvme_access *access, uint32_t vector)
{
    return -1;
}

static void k_close(struct nvme_access *access)
{
}

static const struct nvme_agent_ops agent_ops = {.info = k_info,
                                                .namespace_get = k_namespace_get,
                                                .attach = k_attach,
                                                .restart = k_restart,
                                                .detach = k_detach,
                                                .state = k_state,
                                                .look = k_look};

static const struct nvme_access_ops access_ops = {.read32 = k_read32,
                                                  .write32 = k_write32,
                                                  .map = k_map,
                                                  .stop = k_stop,
                                                  .fd = k_fd,
                                                  .close = k_close};

/* --- ours ------------------------------------------------------------------------------------- */

struct ask {
    struct iohdesc io;
    uint32_t ended;
    int error;
};

static void ended(struct iohdesc *io, int error)
{
    struct ask *a = container_of(io, struct ask, io);

    a->ended++;
    a->error = error;
}

static struct keeper *keeper_open(void)
{
    struct keeper *k = calloc(1, sizeof(*k));
    struct nvme_config config = {.qpairs = 4, .depth = 5, .timeout_ns = TIMEOUT_NS};
    char why[200];

    assert_int_equal(mem_arena_open(&k->arena, AREA_BYTES, 0), 0);
    k->area = mem_arena_base(k->arena);
    k->access.ops = &access_ops;
    k->access.agent = &agent_ops;
    k->access.memory = k->area;
    k->access.memory_bytes = AREA_BYTES;
    k->access.regions[0] = (struct nvme_region){(char *)k->area, AREA_BYTES, BUS};
    k->access.region_count = 1;
    k->info =
        (struct agent_info){.info = {.model = "a model", .transfer_bytes = 32768, .qpairs = QPAIRS},
                            .entries = ENTRIES,
                            .namespaces = 1};
    k->namespaces[0] = (struct nvme_namespace){.ns_id = 1, .block_bytes = 512, .blocks = 4096};
    k->namespaces[1] = (struct nvme_namespace){.ns_id = 7, .block_bytes = 4096, .blocks = 64};
    config.access = &k->access;
    config.arena = k->arena;
    assert_int_equal(nvme_ctrlr_open(&k->ctrlr, &config, why, sizeof(why)), 0);
    k->buf = mem_arena_alloc(k->arena, 1 << 20, PAGE_BYTES);
    k->now_ns = 1;
    return k;
}

static void keeper_close(struct keeper *k)
{
    nvme_ctrlr_close(k->ctrlr);
    mem_arena_close(k->arena);
    free(k);
}

static struct ask ask(struct keeper *k, struct nvme_qpair *qp, uint64_t lba, uint32_t count)
{
    return (struct ask){.io = {.ioqp = qp,
                               .ns_id = 1,
                               .lba = lba,
                               .lba_count = count,
                               .buf = k->buf + 8192 * (lba % 100),
                               .op_complete = ended}};
}

static enum nvme_state round_of(struct keeper *k, struct nvme_qpair *qp)
{
    enum nvme_state state = nvme_ctrlr_turn(k->ctrlr, k->now_ns);

    nvme_sqsync(qp);
    nvme_consume_completions(qp, nvme_peek_completions(qp));
    nvme_cqsync(qp);
    k->now_ns = max_u64(k->now_ns + 1, nvme_ctrlr_next_ns(k->ctrlr));
    return state;
}

static void reads(void **state)
{
    struct keeper *k = keeper_open();
    struct nvme_qpair *qp, *other;
    struct ask a[20];

    assert_int_equal(nvme_open(&qp, k->ctrlr, 1, k->arena), -ENODEV);
    assert_int_equal(nvme_ctrlr_turn(k->ctrlr, k->now_ns), NVME_READY);
    assert_string_equal(nvme_ctrlr_info(k->ctrlr)->model, "a model");
    assert_int_equal(nvme_ctrlr_info(k->ctrlr)->qpairs, QPAIRS);
    assert_int_equal(nvme_open(&qp, k->ctrlr, 1, k->arena), 0);
    assert_int_equal(nvme_open(&other, k->ctrlr, 1, k->arena), -EBUSY);
    assert_int_equal(nvme_open(&other, k->ctrlr, 2, k->arena), 0);
    assert_int_equal(nvme_close(other), 0);
    assert_int_equal(nvme_open(&other, k->ctrlr, 2, k->arena), 0);
    // A list of four reaches 16 KiB.
    assert_int_equal(qp->transfer_bytes, LIST_ENTRIES * PAGE_BYTES);
    for (uint32_t i = 0; i < 20; i++) {
        a[i] = ask(k, i % 2 ? other : qp, i + 1, 1);
        assert_int_equal(nvme_read(&a[i].io), 0);
    }
    for (uint32_t i = 0; i < 10; i++) {
        round_of(k, qp);
        round_of(k, other);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(a[i].ended, 1);
        assert_int_equal(a[i].error, 0);
        assert_int_equal(k->buf[8192 * (i + 1)], i + 1);
    }
    keeper_close(k);
}

/* The queue pair went with a reset, or does nothing: it is restarted, and the read sent again. */
static void restarts(void **state)
{
    struct keeper *k = keeper_open();
    struct nvme_qpair *qp;
    struct ask a;

    nvme_ctrlr_turn(k->ctrlr, k->now_ns);
    assert_int_equal(nvme_open(&qp, k->ctrlr, 2, k->arena), 0);
    k->pairs[2].state = -ESTALE;
    a = ask(k, qp, 9, 1);
    assert_int_equal(nvme_read(&a.io), 0);
    assert_int_equal(nvme_sqsync(qp), true);
    for (uint32_t i = 0; i < 3; i++)
        round_of(k, qp);
    assert_int_equal(k->pairs[2].restarts, 1);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.error, 0);
    k->pairs[2].stuck = true;
    a = ask(k, qp, 10, 1);
    assert_int_equal(nvme_read(&a.io), 0);
    while (k->pairs[2].restarts < 3 && k->now_ns < 100 * TIMEOUT_NS)
        round_of(k, qp);
    assert_int_equal(a.ended, 0);
    k->pairs[2].stuck = false;
    while (!a.ended && k->now_ns < 100 * TIMEOUT_NS)
        round_of(k, qp);
    assert_int_equal(a.error, 0);
    assert_int_equal(nvme_qpair_stats(qp)->reissues, 4);
    assert_int_equal(k->buf[8192 * 10], 10);
    keeper_close(k);
}

/* Who rings nothing, or only waits, hears of a reset by asking. */
static void asks_for_what_was_not_rung(void **state)
{
    struct keeper *k = keeper_open();
    struct nvme_qpair *idle, *waiting;
    uint64_t until_ns;
    struct ask a;

    nvme_ctrlr_turn(k->ctrlr, k->now_ns);
    assert_int_equal(nvme_open(&idle, k->ctrlr, 1, k->arena), 0);
    assert_int_equal(nvme_open(&waiting, k->ctrlr, 2, k->arena), 0);
    k->pairs[2].stuck = true;
    a = ask(k, waiting, 9, 1);
    assert_int_equal(nvme_read(&a.io), 0);
    round_of(k, waiting);
    k->pairs[2].stuck = false;
    k->pairs[1].unheard = k->pairs[2].unheard = -ESTALE;
    for (until_ns = k->now_ns + TIMEOUT_NS / 2; k->now_ns < until_ns;) {
        round_of(k, idle);
        round_of(k, waiting);
    }
    assert_int_equal(k->pairs[1].restarts, 1);
    assert_int_equal(k->pairs[2].restarts, 1);
    assert_true(a.ended == 1 && a.error == 0);
    assert_int_equal(nvme_qpair_stats(waiting)->timeouts, 0);
    k->pairs[1].unheard = -ENODEV;
    for (until_ns = k->now_ns + TIMEOUT_NS / 2; k->now_ns < until_ns;)
        round_of(k, idle);
    assert_int_equal(nvme_ctrlr_turn(k->ctrlr, k->now_ns), NVME_DEAD);
    assert_int_equal(nvme_fd(idle), -1);
    keeper_close(k);
}

/* Stopped for a moment (-EAGAIN), however long: it is waited for, and nothing is lost. */
static void stands_still(void **state)
{
    struct keeper *k = keeper_open();
    struct nvme_qpair *qp;
    struct ask a, b;

    k->info_error = -EAGAIN;
    for (uint32_t i = 0; i < 3; i++, k->now_ns = nvme_ctrlr_next_ns(k->ctrlr))
        assert_int_equal(nvme_ctrlr_turn(k->ctrlr, k->now_ns), NVME_STARTING);
    k->info_error = 0;
    assert_int_equal(nvme_ctrlr_turn(k->ctrlr, k->now_ns), NVME_READY);
    assert_int_equal(nvme_open(&qp, k->ctrlr, 1, k->arena), 0);
    k->pairs[1].stuck = true;
    a = ask(k, qp, 3, 1);
    assert_int_equal(nvme_read(&a.io), 0);
    round_of(k, qp);
    k->info_error = k->restart_error = -EAGAIN;
    for (uint32_t i = 0; i < 5 * QPAIR_TICKS; i++)
        assert_int_equal(round_of(k, qp), NVME_READY);
    assert_int_equal(k->pairs[1].restarts, 0);
    k->pairs[1].state = -ESTALE;
    b = ask(k, qp, 4, 1);
    assert_int_equal(nvme_read(&b.io), 0);
    for (uint32_t i = 0; i < 5 * QPAIR_TICKS; i++)
        assert_int_equal(round_of(k, qp), NVME_READY);
    assert_true(k->pairs[1].restarts > 0);
    assert_int_equal(a.ended + b.ended, 0);
    k->info_error = k->restart_error = 0;
    k->pairs[1].stuck = false;
    for (uint32_t i = 0; i < 3; i++)
        round_of(k, qp);
    assert_true(a.ended == 1 && b.ended == 1 && !a.error && !b.error);
    assert_int_equal(k->buf[8192 * 3], 3);
    assert_int_equal(nvme_qpair_stats(qp)->reissues, 2);
    keeper_close(k);
}

/* What is out ends when its queue pair was restarted, or cannot be. */
static void goes_away(void **state)
{
    struct keeper *k = keeper_open();
    struct nvme_qpair *qp;
    struct ask a;

    nvme_ctrlr_turn(k->ctrlr, k->now_ns);
    assert_int_equal(nvme_open(&qp, k->ctrlr, 1, k->arena), 0);
    k->pairs[1].stuck = true;
    a = ask(k, qp, 3, 1);
    assert_int_equal(nvme_read(&a.io), 0);
    round_of(k, qp);
    k->info_error = k->restart_error = -ENODEV;
    while (round_of(k, qp) == NVME_READY)
        assert_true(k->now_ns < 100 * TIMEOUT_NS);
    round_of(k, qp);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.error, -ENODEV);
    assert_int_equal(k->pairs[1].restarts, 1);
    assert_int_equal(nvme_ctrlr_turn(k->ctrlr, k->now_ns), NVME_DEAD);
    assert_non_null(strstr(nvme_ctrlr_why(k->ctrlr), "gone"));
    assert_int_equal(nvme_read(&a.io), -ENODEV);
    keeper_close(k);
}

static void stops(void **state)
{
    struct keeper *k = keeper_open();
    struct nvme_qpair *qp;
    struct ask a;

    nvme_ctrlr_turn(k->ctrlr, k->now_ns);
    assert_int_equal(nvme_open(&qp, k->ctrlr, 1, k->arena), 0);
    k->pairs[1].stuck = true;
    a = ask(k, qp, 3, 1);
    assert_int_equal(nvme_read(&a.io), 0);
    round_of(k, qp);
    nvme_ctrlr_stop(k->ctrlr);
    assert_int_equal(round_of(k, qp), NVME_CLOSED);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.error, -ECANCELED);
    assert_int_equal(k->pairs[1].restarts, 1);
    keeper_close(k);
}

static void namespaces_change(void **state)
{
    struct keeper *k = keeper_open();

    nvme_ctrlr_turn(k->ctrlr, k->now_ns);
    assert_int_equal(nvme_ctrlr_namespace_count(k->ctrlr), 1);
    k->namespaces[0] = k->namespaces[1];
    k->info.changes++;
    k->now_ns += TIMEOUT_NS;
    nvme_ctrlr_turn(k->ctrlr, k->now_ns);
    assert_int_equal(nvme_ctrlr_namespace_count(k->ctrlr), 2);
    assert_int_equal(nvme_ctrlr_namespace(k->ctrlr, 0)->blocks, 0);
    assert_int_equal(nvme_ctrlr_namespace(k->ctrlr, 1)->ns_id, 7);
    assert_int_equal(nvme_ctrlr_namespace(k->ctrlr, 1)->blocks, 64);
    keeper_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(restarts),
        cmocka_unit_test(asks_for_what_was_not_rung),
        cmocka_unit_test(stands_still),
        cmocka_unit_test(goes_away),
        cmocka_unit_test(stops),
        cmocka_unit_test(namespaces_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

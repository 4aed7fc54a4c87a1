// SPDX-License-Identifier: BSD-2-Clause
#include "rig_test.h"

#include <sys/eventfd.h>

/* Every number of blocks around the limits of a command, at offsets within a page. */
static void splits(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.mdts = 1}, 3, 1); // 8 KiB
    uint32_t commands = 0;

    rig_ready(rig);
    for (uint32_t count = 1; count <= 100; count++) {
        struct rig_io r = rig_request(rig, count, count, (count * 52) & ~3u);

        memset(rig->buf, 0, 1 << 16);
        assert_int_equal(nvme_read(&r.io), 0);
        rig_drain(rig);
        assert_int_equal(r.ended, 1);
        assert_int_equal(r.error, 0);
        assert_memory_equal(r.io.buf, rig->media + count * 512, count * 512);
        assert_int_equal(*((uint8_t *)r.io.buf + count * 512), 0);
        commands += (count + 15) / 16;
        assert_int_equal(nvme_qpair_stats(rig->qp)->commands, commands);
    }
    rig_close(rig);
}

/* A ring of four entries, many times around, with any number of commands between doorbells. */
static void wraps(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){0}, 3, 1);
    struct rig_io r[3];

    rig_ready(rig);
    for (uint32_t round = 0; round < 1000; round++) {
        uint32_t count = round % 3 + 1;

        for (uint32_t i = 0; i < count; i++) {
            r[i] = rig_request(rig, (round * 3 + i) % RIG_BLOCKS, 1, i * 512);
            assert_int_equal(nvme_read(&r[i].io), 0);
        }
        assert_int_equal(nvme_peek_completions(rig->qp), 0);
        assert_true(nvme_sqsync(rig->qp));
        assert_false(nvme_sqsync(rig->qp));
        assert_int_equal(nvme_peek_completions(rig->qp), count);
        assert_int_equal(nvme_consume_completions(rig->qp, 1), 1);
        assert_int_equal(nvme_consume_completions(rig->qp, UINT32_MAX), count - 1);
        assert_true(nvme_cqsync(rig->qp));
        assert_false(nvme_cqsync(rig->qp));
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(r[i].ended, 1);
            assert_memory_equal(r[i].io.buf, rig->media + r[i].io.lba * 512, 512);
        }
    }
    rig_close(rig);
}

/* What finds no room is posted later, and nobody overtakes. */
static void waits_in_order(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){0}, 2, 1);
    struct rig_io r[10];

    rig_ready(rig);
    for (uint32_t i = 0; i < 10; i++) {
        r[i] = rig_request(rig, i, 1, i * 512);
        assert_int_equal(nvme_read(&r[i].io), 0);
    }
    assert_int_equal(nvme_outstanding(rig->qp), 10);
    assert_int_equal(nvme_close(rig->qp), -EBUSY);
    for (uint32_t done = 2; done <= 10; done += 2) {
        assert_int_equal(rig_round(rig), 2);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(r[i].ended, i < done);
    }
    assert_int_equal(nvme_qpair_stats(rig->qp)->waits, 8);
    assert_memory_equal(rig->buf, rig->media, 10 * 512);
    rig_qp_close(rig, rig->qp);
    rig_close(rig);
}

static void writes_and_flushes(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){0}, 8, 1);
    struct rig_io w, f;

    rig_ready(rig);
    assert_true(nvme_ctrlr_info(rig->ctrlr)->write_cache);
    w = rig_request(rig, 100, 3, 8);
    f = rig_request(rig, 0, 0, 0);
    memset(rig->buf, 0x5a, 4096);
    assert_int_equal(nvme_write(&w.io), 0);
    assert_int_equal(nvme_flush(&f.io), 0);
    rig_drain(rig);
    assert_int_equal(w.ended + f.ended, 2);
    assert_int_equal(w.error | f.error, 0);
    for (uint32_t i = 0; i < 3 * 512; i++)
        assert_int_equal(rig->media[100 * 512 + i], 0x5a);
    assert_int_not_equal(rig->media[99 * 512 + 511], 0x5a);
    rig_close(rig);
}

static void refuses(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){0}, 8, 1);
    struct rig_io r;
    uint8_t elsewhere[512];

    rig_ready(rig);
    r = rig_request(rig, 0, 0, 0);
    assert_int_equal(nvme_read(&r.io), -EINVAL);
    r = rig_request(rig, RIG_BLOCKS, 1, 0);
    assert_int_equal(nvme_read(&r.io), -ERANGE);
    r = rig_request(rig, RIG_BLOCKS - 1, 2, 0);
    assert_int_equal(nvme_write(&r.io), -ERANGE);
    r = rig_request(rig, UINT64_MAX, 2, 0);
    assert_int_equal(nvme_read(&r.io), -ERANGE);
    r = rig_request(rig, 0, 1, 2);
    assert_int_equal(nvme_read(&r.io), -EFAULT);
    r = rig_request(rig, 0, 1, 0);
    r.io.buf = elsewhere;
    assert_int_equal(nvme_read(&r.io), -EFAULT);
    r.io.buf = (uint8_t *)mem_arena_base(rig->arena) + mem_arena_bytes(rig->arena) - 508;
    assert_int_equal(nvme_read(&r.io), -EFAULT);
    for (uint32_t ns_id = 0; ns_id < 2 * NVME_NAMESPACES_MAX; ns_id++) {
        r = rig_request(rig, 0, 1, 0);
        r.io.ns_id = ns_id;
        if (ns_id != 1)
            assert_int_equal(nvme_read(&r.io), -ENXIO);
        if (ns_id != 1)
            assert_int_equal(nvme_flush(&r.io), -ENXIO);
    }
    assert_int_equal(nvme_outstanding(rig->qp), 0);
    rig_close(rig);
}

/* A completion that comes twice, or of a command that is not out, ends nothing. */
static void strays(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.stray = 1, .mdts = 1}, 64, 1);
    struct rig_io r;

    rig_ready(rig);
    r = rig_request(rig, 0, 400, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    rig_drain(rig);
    assert_int_equal(r.ended, 1);
    assert_int_equal(nvme_qpair_stats(rig->qp)->drop_stray, 25);
    assert_memory_equal(rig->buf, rig->media, 400 * 512);
    rig_close(rig);
}

/* A command is stuck; the Abort brings it back, and the next try is stuck as well. */
static void aborts(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_max_ns = 1, .stuck = 1}, 7, 1);
    struct rig_io r, w;

    rig_ready(rig);
    r = rig_request(rig, 0, 1, 0);
    w = rig_request(rig, 9, 1, 512);
    assert_int_equal(nvme_read(&r.io), 0);
    assert_int_equal(nvme_write(&w.io), 0);
    rig_drain(rig);
    assert_int_equal(r.ended, 1);
    assert_int_equal(r.error, -ETIMEDOUT);
    assert_int_equal(w.ended, 1);
    assert_int_equal(w.error, -ETIMEDOUT);
    assert_int_equal(nvme_qpair_stats(rig->qp)->reissues, NVME_TRIES_MAX - 1);
    assert_int_equal(nvme_qpair_stats(rig->qp)->timeouts, NVME_TRIES_MAX + 1);
    assert_int_equal(nvme_ctrlr_stats(rig->ctrlr)->resets, 0);
    rig_close(rig);
}

/* Aborts fail. The read comes back with its data once the controller, reset, carries it out. */
static void resets(void **state)
{
    struct rig *rig =
        rig_open((struct nvme_sim_config){.delay_max_ns = 1, .stuck = 1, .abort_fails = 1}, 7, 1);
    struct rig_io r, w;

    rig_ready(rig);
    r = rig_request(rig, 0, 8, 0);
    w = rig_request(rig, 9, 1, 4096);
    assert_int_equal(nvme_read(&r.io), 0);
    assert_int_equal(nvme_write(&w.io), 0);
    while (!nvme_ctrlr_stats(rig->ctrlr)->resets) {
        assert_int_equal(r.ended + w.ended, 0);
        rig_round(rig);
    }
    rig_sim(rig)->config.stuck = 0;
    rig_drain(rig);
    assert_int_equal(w.ended, 1);
    assert_int_equal(w.error, -ETIMEDOUT);
    assert_int_equal(r.ended, 1);
    assert_int_equal(r.error, 0);
    assert_memory_equal(rig->buf, rig->media, 4096);
    rig_close(rig);
}

/* The words of an error reach whoever asked. */
static void errors(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_max_ns = 1, .error = 1}, 7, 1);

    rig_ready(rig);
    for (uint32_t i = 0; i < 200; i++) {
        struct rig_io r = rig_request(rig, 0, i % 2 ? 1 : 1000, 0);

        assert_int_equal(nvme_read(&r.io), 0);
        rig_drain(rig);
        assert_int_equal(r.ended, 1);
        assert_true(r.error < 0);
        assert_int_not_equal(r.io.status, NVME_OK);
    }
    assert_int_equal(nvme_qpair_stats(rig->qp)->errors, 200);
    rig_close(rig);
}

/* Data that needs a list is one descriptor instead, at any offset; the rest has PRPs as before. */
static void sgls(void **state)
{
    for (uint32_t no = 0; no < 2; no++) {
        struct nvme_config config = {
            .qpairs = 1, .depth = 3, .timeout_ns = RIG_TIMEOUT, .no_sgls = no};
        struct rig *rig = rig_open_with((struct nvme_sim_config){.sgls = true}, config);

        rig_ready(rig);
        for (uint32_t count = 1; count <= 100; count++) {
            struct rig_io r = rig_request(rig, count, count, (count * 52) & ~3u);
            const struct nvme_sqe *sqe = &rig->qp->ring.sq[rig->qp->ring.sq_tail];
            bool list = (count * 52 & ~3u) % PAGE_BYTES + count * 512 > 2 * PAGE_BYTES;

            memset(rig->buf, 0, 1 << 16);
            assert_int_equal(nvme_read(&r.io), 0);
            assert_int_equal(sqe->flags, list && !no ? NVME_SQE_SGL : 0);
            rig_drain(rig);
            assert_int_equal(r.error, 0);
            assert_memory_equal(r.io.buf, rig->media + count * 512, count * 512);
            assert_int_equal(*((uint8_t *)r.io.buf + count * 512), 0);
        }
        rig_close(rig);
    }
}

/* A controller that is busy is not rung for; one that went to sleep is. */
static void shadow_doorbells(void **state)
{
    for (uint32_t no = 0; no < 2; no++) {
        struct nvme_config config = {
            .qpairs = 1, .depth = 5, .timeout_ns = RIG_TIMEOUT, .no_shadow = no};
        struct rig *rig = rig_open_with(
            (struct nvme_sim_config){.shadow = true, .dstrd = 2, .delay_max_ns = NS_PER_US},
            config);
        const struct nvme_qpair_stats *stats;

        rig_ready(rig);
        stats = nvme_qpair_stats(rig->qp);
        for (uint32_t i = 0; i < 2000; i++) {
            struct rig_io r = rig_request(rig, i, 1, 0);

            assert_int_equal(nvme_read(&r.io), 0);
            rig_drain(rig);
            assert_int_equal(r.error, 0);
        }
        assert_int_equal(stats->timeouts, 0);
        assert_int_equal(stats->sq_rings + stats->cq_rings + stats->shadow_rings, 4000);
        assert_int_equal(stats->shadow_rings > 2000, !no);
        assert_true(stats->sq_rings > 100);
        rig_close(rig);
    }
}

/* The arithmetic of the event index, around a ring of any size. */
static void doorbells_wanted(void **state)
{
    for (uint32_t size = 2; size < 20; size++)
        for (uint32_t old = 0; old < size; old++)
            for (uint32_t count = 1; count < size; count++)
                for (uint32_t event = 0; event < size; event++) {
                    bool among = (event + size - old) % size < count;

                    assert_int_equal(doorbell_wanted(event, old, (old + count) % size), among);
                }
}

/* Closed and opened again, with another arena and with the same; also while it is being reset. */
static void comes_back(void **state)
{
    struct rig *rig =
        rig_open((struct nvme_sim_config){.delay_max_ns = NS_PER_MS, .fatal = 0}, 7, 2);
    struct mem_arena *arena, *arenas[2];
    const struct nvme_sqe *sq;
    size_t used;

    rig_ready(rig);
    assert_int_equal(mem_arena_open(&arena, 2 << 20, 0), 0);
    arenas[0] = arena;
    arenas[1] = rig->arena;
    for (uint32_t i = 0; i < 20; i++) {
        struct rig_io r;

        if (i % 5 == 4)
            rig_sim(rig)->csts |= NVME_CSTS_CFS;
        rig_qp_close(rig, rig->qp);
        assert_int_equal(rig_sim(rig)->sqs[1].size, 0);
        assert_int_equal(nvme_open(&rig->qp, rig->ctrlr, 1, arenas[i / 2 % 2]), 0);
        used = mem_arena_used(arenas[i / 2 % 2]);
        r = rig_request(rig, i, 8, 0);
        memset(rig->buf, 0, 8192);
        assert_int_equal(nvme_read(&r.io), 0);
        rig_drain(rig);
        assert_int_equal(r.ended, 1);
        assert_int_equal(r.error, 0);
        assert_memory_equal(rig->buf, rig->media + i * 512, 8 * 512);
    }
    // Once more with the same arena.
    sq = rig->qp->ring.sq;
    rig_qp_close(rig, rig->qp);
    assert_int_equal(nvme_open(&rig->qp, rig->ctrlr, 1, arenas[1]), 0);
    assert_ptr_equal(rig->qp->ring.sq, sq);
    assert_int_equal(mem_arena_used(arenas[1]), used);
    rig_close(rig);
    mem_arena_close(arena);
}

/* The controller refuses the queues: that queue pair is lost, the others and the next one not. */
static void refused(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_max_ns = 1}, 7, 3);
    struct nvme_qpair *first, *second;
    struct rig_io r;

    rig_ready(rig);
    first = rig->qp;
    for (uint32_t sq = 0; sq < 2; sq++) {
        // Its number is taken, as far as the controller knows.
        rig_sim(rig)->cqs[2].size = !sq;
        rig_sim(rig)->sqs[2].size = sq;
        assert_int_equal(nvme_open(&second, rig->ctrlr, 2, rig->arena), 0);
        rig->qp = second;
        r = rig_request(rig, 1, 1, 0);
        assert_int_equal(nvme_read(&r.io), 0);
        rig_drain(rig);
        assert_int_equal(r.error, -ENODEV);
        assert_int_equal(nvme_read(&r.io), -ENODEV);
        rig_qp_close(rig, second);
        rig_sim(rig)->cqs[2].size *= sq;
        assert_int_equal(rig_sim(rig)->cqs[2].size, 0);
        rig_sim(rig)->sqs[2].size = 0;
    }
    assert_int_equal(nvme_ctrlr_stats(rig->ctrlr)->resets, 0);
    assert_int_equal(nvme_open(&second, rig->ctrlr, 2, rig->arena), 0);
    for (uint32_t i = 0; i < 2; i++) {
        rig->qp = i ? first : second;
        r = rig_request(rig, 1, 1, 0);
        assert_int_equal(nvme_read(&r.io), 0);
        rig_drain(rig);
        assert_int_equal(r.error, 0);
    }
    rig_close(rig);
}

/* What was posted when the controller is being stopped is not rung for, but sent afterwards. */
static void freezes(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_max_ns = 1}, 7, 1);
    struct rig_io r;

    rig_ready(rig);
    r = rig_request(rig, 0, 1, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    rig_sim(rig)->csts |= NVME_CSTS_CFS;
    rig->now_ns += RIG_TIMEOUT;
    assert_int_equal(nvme_ctrlr_turn(rig->ctrlr, rig->now_ns), NVME_RESETTING);
    assert_false(nvme_sqsync(rig->qp));
    assert_false(nvme_cqsync(rig->qp));
    rig_drain(rig);
    assert_int_equal(r.ended, 1);
    assert_int_equal(r.error, 0);
    assert_memory_equal(rig->buf, rig->media, 512);
    rig_close(rig);
}

/* It is said that only a reset helps; but that comes just now, for another reason. */
static void resets_once(void **state)
{
    struct rig *rig =
        rig_open((struct nvme_sim_config){.delay_max_ns = 1, .stuck = 1, .abort_fails = 1}, 7, 1);
    struct rig_io r;

    rig_ready(rig);
    r = rig_request(rig, 0, 1, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    while (!(rig->qp->mail & QPAIR_MAIL_STUCK)) {
        assert_int_equal(r.ended, 0);
        nvme_sqsync(rig->qp);
        rig->now_ns += RIG_TIMEOUT / QPAIR_TICKS;
        nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
        nvme_peek_completions(rig->qp);
    }
    rig_sim(rig)->csts |= NVME_CSTS_CFS;
    rig_sim(rig)->config.stuck = 0;
    rig->now_ns += RIG_TIMEOUT;
    rig_drain(rig);
    assert_int_equal(r.error, 0);
    assert_int_equal(nvme_ctrlr_stats(rig->ctrlr)->resets, 1);
    rig_close(rig);
}

static void interrupts(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.interrupts = true}, 7, 2);
    struct nvme_qpair *other;
    eventfd_t count;
    struct rig_io r;

    rig_ready(rig);
    assert_int_equal(nvme_open(&other, rig->ctrlr, 2, rig->arena), 0);
    assert_true(nvme_fd(rig->qp) >= 0 && nvme_fd(other) >= 0);
    assert_int_not_equal(nvme_fd(rig->qp), nvme_fd(other));
    assert_int_equal(eventfd_read(nvme_fd(rig->qp), &count), -1);
    r = rig_request(rig, 0, 1, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    nvme_sqsync(rig->qp);
    assert_int_equal(eventfd_read(nvme_fd(other), &count), -1);
    assert_int_equal(eventfd_read(nvme_fd(rig->qp), &count), 0);
    assert_int_equal(count, 1);
    rig_close(rig);
}

/* Of a namespace that is still being recorded, nothing may be believed. */
static void without_namespaces_nothing_is_read(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){0}, 3, 1);
    struct qpair_namespaces *all;
    struct rig_io r;
    uint32_t count;

    rig_ready(rig);
    all = &rig->qp->board->namespaces;
    count = all->count;
    r = rig_request(rig, 1, 1, 0);
    assert_int_equal(all->list[0].ns_id, r.io.ns_id);
    all->count = 0;
    assert_int_equal(nvme_read(&r.io), -ENXIO);
    r.io.ns_id = 0;
    assert_int_equal(nvme_read(&r.io), -ENXIO);
    all->count = count;
    assert_int_equal(nvme_read(&r.io), -ENXIO);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_namespaces_nothing_is_read),
        cmocka_unit_test(splits),
        cmocka_unit_test(wraps),
        cmocka_unit_test(waits_in_order),
        cmocka_unit_test(writes_and_flushes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(strays),
        cmocka_unit_test(aborts),
        cmocka_unit_test(resets),
        cmocka_unit_test(errors),
        cmocka_unit_test(sgls),
        cmocka_unit_test(shadow_doorbells),
        cmocka_unit_test(doorbells_wanted),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(refused),
        cmocka_unit_test(freezes),
        cmocka_unit_test(resets_once),
        cmocka_unit_test(interrupts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

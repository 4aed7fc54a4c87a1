// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"
#include "nvme/ctrlr.h"

void brings_up(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 16);
    const struct nvme_info *info = nvme_ctrlr_info(s->ctrlr);
    uint32_t known = 0;

    assert_string_equal(info->model, "QEMU NVMe Ctrl");
    assert_string_equal(info->serial, t->machine.personality->name);
    assert_int_equal(info->version, 0x00010400);
    assert_int_equal(info->qpairs, t->machine.personality->qpairs);
    assert_int_equal(info->transfer_bytes, t->machine.personality->transfer_bytes);
    assert_true(info->write_cache);
    for (uint32_t i = 0; i < nvme_ctrlr_namespace_count(s->ctrlr); i++) {
        const struct nvme_namespace *ns = nvme_ctrlr_namespace(s->ctrlr, i);

        for (uint32_t k = 0; k < t->machine.medium_count; k++) {
            if (t->machine.media[k].ns_id != ns->ns_id)
                continue;
            assert_int_equal(ns->block_bytes, t->machine.media[k].block_bytes);
            assert_int_equal(ns->blocks, t->machine.media[k].blocks);
            known++;
        }
    }
    assert_int_equal(known, t->machine.medium_count);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->admin_errors, 0);
    end(t);
}

static void post_shape(struct test *t, uint32_t kind, struct medium *medium, uint32_t bytes,
                       size_t off)
{
    struct subject *s = t->subject;
    struct request request = {.kind = kind, .medium = medium, .off = off};

    request.count = max_u32(bytes / medium->block_bytes, 1);
    request.qp = (uint32_t)rand_below(&s->rand, s->qp_count);
    do
        request.lba = rand_below(&s->rand, medium->blocks - request.count + 1);
    while (!subject_post(s, &request) && subject_drain(s, 0));
    assert_good(t, true);
}

void has_every_shape(void **state)
{
    static const uint32_t bytes[] = {512,   1024,  3584,   4096,          4608,   8192,
                                     12288, 65536, 131072, 131072 + 4096, 524288, SUBJECT_TRANSFER};
    static const uint32_t offs[] = {0, 4, 512, 2052, 4092};
    struct test *t = *state;
    struct subject *s = begin(t, 32);

    subject_slots(s, 16, SUBJECT_TRANSFER);
    for (uint32_t d = 0; d < t->machine.medium_count; d++)
        for (uint32_t i = 0; i < array_len(bytes); i++)
            for (uint32_t k = 0; k < 2 * array_len(offs); k++)
                post_shape(t, k & 1 ? READ : WRITE, &t->machine.media[d], bytes[i], offs[k / 2]);
    assert_good(t, subject_drain(s, 0));
    end(t);
}

void carries_loads(void **state)
{
    static const struct load loads[] = {
        {.requests = 200, .at_once = 1, .bytes_max = 128 << 10, .writes = 30, .flushes = 2},
        {.requests = 500, .at_once = 8, .bytes_max = SUBJECT_TRANSFER, .writes = 30, .flushes = 2},
        {.requests = 1500, .at_once = 32, .bytes_max = 256 << 10, .writes = 30, .flushes = 2},
        {.requests = 6000, .at_once = 512, .bytes_max = 16 << 10, .writes = 20, .flushes = 1},
    };
    struct test *t = *state;
    struct subject *s = begin(t, 128);
    uint64_t shadows = 0;

    for (uint32_t i = 0; i < array_len(loads); i++) {
        subject_slots(s, loads[i].at_once, loads[i].bytes_max);
        assert_good(t, subject_load(s, &loads[i]));
    }
    for (uint32_t i = 0; i < s->qp_count; i++)
        shadows += nvme_qpair_stats(s->qps[i])->shadow_rings;
    assert_int_equal(shadows > 0, !s->no_shadow);
    end(t);
}

void wraps_around(void **state)
{
    static const struct {
        uint32_t depth, requests, at_once;
    } rings[] = {{1, 300, 6}, {2, 900, 16}, {3, 900, 16}, {NVME_DEPTH_MAX, 5000, SUBJECT_SLOTS}};
    struct test *t = *state;

    for (uint32_t i = 0; i < array_len(rings); i++) {
        struct load load = {.requests = rings[i].requests,
                            .at_once = rings[i].at_once,
                            .bytes_max = 4096,
                            .writes = 20};
        struct subject *s = begin(t, rings[i].depth);

        // One queue pair, so that it is this one that goes around.
        s->qp_count = 1;
        subject_slots(s, load.at_once, load.bytes_max);
        assert_good(t, subject_load(s, &load));
        assert_true(nvme_qpair_stats(s->qps[0])->commands > 3 * (rings[i].depth + 1));
        end(t);
    }
}

void rings_late(void **state)
{
    const struct load load = {
        .requests = 2000, .at_once = 64, .bytes_max = 32 << 10, .writes = 30, .lazy = true};
    struct test *t = *state;
    struct subject *s = begin(t, 16);

    subject_slots(s, load.at_once, load.bytes_max);
    assert_good(t, subject_load(s, &load));
    end(t);
}

/* --- cases: queue pairs come and go ----------------------------------------------------------- */

void gives_queue_pairs_back(void **state)
{
    const struct load load = {.requests = 200, .at_once = 32, .bytes_max = 32 << 10, .writes = 30};
    struct test *t = *state;
    struct subject *s = begin(t, 16);
    struct nvme_qpair *other;
    uint32_t count = s->qp_count;

    for (uint32_t i = 0; i < 10; i++) {
        subject_slots(s, load.at_once, load.bytes_max);
        assert_good(t, subject_load(s, &load));
        assert_int_equal(nvme_open(&other, s->ctrlr, 1, s->arena), -EBUSY);
        post(t, READ, 0, 1);
        assert_int_equal(nvme_close(s->qps[0]), -EBUSY);
        assert_good(t, subject_drain(s, 0));
        assert_good(t, subject_part(s));
        assert_good(t, subject_attach(s));
        assert_int_equal(s->qp_count, count);
    }
    assert_int_equal(nvme_open(&other, s->ctrlr, count + 1, s->arena), -ENODEV);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->admin_errors, 0);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    end(t);
}

struct worker {
    pthread_t thread;
    struct subject *subject;
    const struct subject *owner;
    uint32_t number;
    bool good;
};

static void *work(void *arg)
{
    static const struct load load = {
        .requests = 1500, .at_once = 32, .bytes_max = 32 << 10, .writes = 30, .flushes = 2};
    struct worker *w = arg;

    w->good = subject_join(w->subject, w->owner, w->number);
    if (!w->good)
        return NULL;
    subject_slots(w->subject, load.at_once, load.bytes_max);
    w->good = subject_load(w->subject, &load) && subject_part(w->subject) &&
              subject_join(w->subject, w->owner, w->number) && subject_load(w->subject, &load);
    return NULL;
}

/* A queue pair, an arena and a namespace for each thread, and a controller for all. */
void serves_threads(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 32);
    struct worker workers[MACHINE_MEDIA];
    uint32_t count = min_u32(s->qp_count, t->machine.medium_count);

    assert_true(count > 1);
    assert_good(t, subject_part(s));
    for (uint32_t i = 0; i < count; i++) {
        workers[i] = (struct worker){
            .subject = calloc(1, sizeof(struct subject)), .owner = s, .number = i + 1};
        assert_non_null(workers[i].subject);
        workers[i].subject->media = &t->machine.media[i];
        workers[i].subject->medium_count = 1;
        rand_seed(&workers[i].subject->rand, i);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        if (!workers[i].good)
            fail_msg("thread %u: %s", i, workers[i].subject->wrong);
    }
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    nvme_ctrlr_close(s->ctrlr);
    s->ctrlr = NULL;
    for (uint32_t i = 0; i < count; i++) {
        subject_close(workers[i].subject);
        free(workers[i].subject);
    }
    end(t);
}

/* --- cases: what the controller is told ------------------------------------------------------- */

/* One read, as long as reads get: the commands are no longer than allowed, and tile it. */
void splits_as_told(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 256);
    struct medium *medium = &t->machine.media[0];
    struct request request = {READ, medium, 0, 8, SUBJECT_TRANSFER / medium->block_bytes, 512};
    const struct nvme_qpair_stats *stats = nvme_qpair_stats(s->qps[0]);
    unsigned long long commands = 0, blocks = 0, doorbells = stats->sq_rings;
    unsigned long long traced = 0, sgls = 0, prps = 0;
    char line[TRACE_LINE];

    subject_slots(s, 1, SUBJECT_TRANSFER);
    assert_true(machine_trace(&t->machine, "pci_nvme_read", true));
    assert_true(machine_trace(&t->machine, "pci_nvme_mmio_doorbell_sq", true));
    assert_true(machine_trace(&t->machine, "pci_nvme_map_*", true));
    assert_non_null(subject_post(s, &request));
    assert_good(t, subject_drain(s, 0));
    assert_true(machine_trace(&t->machine, "pci_nvme_read", false));
    assert_true(machine_trace(&t->machine, "pci_nvme_mmio_doorbell_sq", false));
    assert_true(machine_trace(&t->machine, "pci_nvme_map_*", false));
    while (qemu_trace(&t->machine.qemu, line, sizeof(line))) {
        const char *read = strstr(line, "pci_nvme_read "), *lba = strstr(line, " lba 0x");
        unsigned nsid, nlb;
        unsigned long long bytes;

        traced += strstr(line, "pci_nvme_mmio_doorbell_sq sqid 1 ") != NULL;
        sgls += strstr(line, "pci_nvme_map_sgl ") != NULL;
        prps += strstr(line, "pci_nvme_map_prp ") != NULL;
        if (!read)
            continue;
        assert_non_null(lba);
        assert_int_equal(
            sscanf(read, "pci_nvme_read cid %*u nsid %u nlb %u count %llu", &nsid, &nlb, &bytes),
            3);
        assert_int_equal(nsid, medium->ns_id);
        assert_int_equal(strtoull(lba + 5, NULL, 16), request.lba + blocks);
        assert_int_equal(bytes, (uint64_t)nlb * medium->block_bytes);
        assert_true(bytes <= t->machine.personality->transfer_bytes);
        blocks += nlb;
        commands++;
    }
    assert_int_equal(blocks, request.count);
    assert_int_equal(commands, SUBJECT_TRANSFER / t->machine.personality->transfer_bytes);
    assert_int_equal(sgls, s->no_sgls ? 0 : commands);
    assert_int_equal(prps, s->no_sgls ? commands : 0);
    // One doorbell for all, or none, where the controller had looked into memory by itself.
    assert_int_equal(traced, stats->sq_rings - doorbells);
    assert_true(traced <= 1);
    end(t);
}

void refuses(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 16);
    struct medium *medium = &t->machine.media[0];
    uint32_t ns_id = medium->ns_id, bytes = medium->block_bytes;
    struct iohdesc io = {.ioqp = s->qps[0], .ns_id = ns_id, .lba_count = 1, .buf = s->buffers};
    uint64_t commands = nvme_qpair_stats(s->qps[0])->commands;
    struct iohdesc bad;

#define REFUSED(error, field, value)                                                               \
    bad = io;                                                                                      \
    bad.field = (value);                                                                           \
    assert_int_equal(nvme_read(&bad), error);                                                      \
    assert_int_equal(nvme_write(&bad), error)

    REFUSED(-ENXIO, ns_id, 99);
    REFUSED(-ENXIO, ns_id, 0);
    REFUSED(-ENXIO, ns_id, UINT32_MAX);
    REFUSED(-EINVAL, lba_count, 0);
    REFUSED(-ERANGE, lba, medium->blocks);
    REFUSED(-ERANGE, lba, UINT64_MAX);
    REFUSED(-ERANGE, lba_count, (uint32_t)medium->blocks + 1);
    REFUSED(-EFAULT, buf, s->buffers + 2);
    REFUSED(-EFAULT, buf, NULL);
    REFUSED(-EFAULT, buf, &bytes);
    REFUSED(-EFAULT, buf, (char *)mem_arena_base(s->arena) + mem_arena_bytes(s->arena) - bytes + 4);
#undef REFUSED
    assert_int_equal(nvme_qpair_stats(s->qps[0])->commands, commands);
    assert_int_equal(nvme_outstanding(s->qps[0]), 0);
    end(t);
}

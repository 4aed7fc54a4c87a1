// SPDX-License-Identifier: BSD-2-Clause
/*
 * qtest.c - what an NVMe driver has to do, done with QEMU's controller in many personalities.
 *
 *     qtest PERSONALITY        TAP; a personality is an entry of the table below
 *
 * Every case brings the controller up for itself, whatever state the one before it has left it in.
 * subject.h watches the requests. Afterwards the medium is compared with what was written, and
 * QEMU's trace must not have a word about anything that a host is not to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine.h"
#include "nvme/access.h"
#include "nvme/qpair.h"
#include "nvme/spec.h"
#include "subject.h"

#define TICK_NS    (SUBJECT_TIMEOUT / QPAIR_TICKS)
#define TRACE_LINE 512
#define EXIT_SKIP  77

struct test {
    struct machine machine;
    struct subject *subject;
    const char *tolerated; /* words of the trace that this case leads to */
};

/* --- around a case ---------------------------------------------------------------------------- */

static bool subject_begin(struct test *t, uint32_t qpairs, uint32_t depth)
{
    struct subject *s = calloc(1, sizeof(*s));
    struct nvme_access *access;
    char why[200];

    if (!s)
        return false;
    t->subject = s;
    s->media = t->machine.media;
    s->medium_count = t->machine.medium_count;
    access = machine_reach(&t->machine, why, sizeof(why));
    return access ? subject_open(s, access, qpairs, depth)
                  : subject_wrong(s, "there is no way to the controller: %s", why);
}

#define assert_good(t, condition)                                                                  \
    do {                                                                                           \
        if (!(condition) || (t)->subject->wrong[0])                                                \
            fail_msg("%s: %s", #condition, (t)->subject->wrong);                                   \
    } while (0)

static struct subject *begin(struct test *t, uint32_t depth)
{
    t->tolerated = NULL;
    assert_good(t, subject_begin(t, MACHINE_QPAIRS, depth));
    return t->subject;
}

static void subject_end(struct test *t)
{
    if (t->subject)
        subject_close(t->subject);
    free(t->subject);
    t->subject = NULL;
}

static void trace_check(struct test *t)
{
    char line[TRACE_LINE];

    while (qemu_trace(&t->machine.qemu, line, sizeof(line)))
        if (!t->tolerated || !strstr(line, t->tolerated))
            fail_msg("QEMU remarks: %s", line);
}

static void end(struct test *t)
{
    assert_good(t, subject_guards(t->subject));
    subject_end(t);
    trace_check(t);
}

/* After a case that failed. */
static int clean_up(void **state)
{
    struct test *t = *state;
    char line[TRACE_LINE];

    subject_end(t);
    while (qemu_trace(&t->machine.qemu, line, sizeof(line)))
        continue;
    return 0;
}

/* --- cases: in order -------------------------------------------------------------------------- */

static void brings_up(void **state)
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

static void post_shape(struct test *t, uint32_t kind, struct medium *medium, uint32_t bytes, size_t off)
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

static void has_every_shape(void **state)
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

static void carries_loads(void **state)
{
    static const struct load loads[] = {
        {.requests = 200, .at_once = 1, .bytes_max = 128 << 10, .writes = 30, .flushes = 2},
        {.requests = 500, .at_once = 8, .bytes_max = SUBJECT_TRANSFER, .writes = 30, .flushes = 2},
        {.requests = 1500, .at_once = 32, .bytes_max = 256 << 10, .writes = 30, .flushes = 2},
        {.requests = 6000, .at_once = 512, .bytes_max = 16 << 10, .writes = 20, .flushes = 1},
    };
    struct test *t = *state;
    struct subject *s = begin(t, 128);

    for (uint32_t i = 0; i < array_len(loads); i++) {
        subject_slots(s, loads[i].at_once, loads[i].bytes_max);
        assert_good(t, subject_load(s, &loads[i]));
    }
    end(t);
}

static void wraps_around(void **state)
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

static void rings_late(void **state)
{
    const struct load load = {
        .requests = 2000, .at_once = 64, .bytes_max = 32 << 10, .writes = 30, .lazy = true};
    struct test *t = *state;
    struct subject *s = begin(t, 16);

    subject_slots(s, load.at_once, load.bytes_max);
    assert_good(t, subject_load(s, &load));
    end(t);
}

/* --- cases: what the controller is told ------------------------------------------------------- */

/* One read, as long as reads get: the commands are no longer than allowed, and tile it. */
static void splits_as_told(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 256);
    struct medium *medium = &t->machine.media[0];
    struct request request = {READ, medium, 0, 8, SUBJECT_TRANSFER / medium->block_bytes, 512};
    unsigned long long commands = 0, blocks = 0, doorbells = 0;
    char line[TRACE_LINE];

    subject_slots(s, 1, SUBJECT_TRANSFER);
    assert_true(machine_trace(&t->machine, "pci_nvme_read", true));
    assert_true(machine_trace(&t->machine, "pci_nvme_mmio_doorbell_sq", true));
    assert_non_null(subject_post(s, &request));
    assert_good(t, subject_drain(s, 0));
    assert_true(machine_trace(&t->machine, "pci_nvme_read", false));
    assert_true(machine_trace(&t->machine, "pci_nvme_mmio_doorbell_sq", false));
    while (qemu_trace(&t->machine.qemu, line, sizeof(line))) {
        const char *read = strstr(line, "pci_nvme_read "), *lba = strstr(line, " lba 0x");
        unsigned nsid, nlb;
        unsigned long long bytes;

        doorbells += strstr(line, "pci_nvme_mmio_doorbell_sq ") != NULL;
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
    assert_int_equal(doorbells, 1);
    end(t);
}

static void refuses(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 16);
    struct medium *medium = &t->machine.media[0];
    uint32_t ns_id = medium->ns_id, bytes = medium->block_bytes;
    struct iohdesc io = {.ioqp = s->qps[0], .ns_id = ns_id, .lba_count = 1, .buf = s->buffers};
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
    assert_int_equal(nvme_qpair_stats(s->qps[0])->commands, 0);
    assert_int_equal(nvme_outstanding(s->qps[0]), 0);
    end(t);
}

/* --- cases: time passes ----------------------------------------------------------------------- */

/* The driver's clock goes on by so many ticks, and it looks at each of them. */
static void ticks(struct test *t, uint32_t count)
{
    struct subject *s = t->subject;
    const struct timespec answer = {.tv_nsec = 200 * NS_PER_US};

    for (uint32_t i = 0; i < count; i++) {
        s->skew_ns += TICK_NS;
        subject_turn(s);
        subject_ring(s);
        // QEMU, which lives by the real clock, gets the time to answer.
        nanosleep(&answer, NULL);
    }
}

static struct slot *post(struct test *t, uint32_t kind, uint64_t lba, uint32_t count)
{
    struct request request = {kind, &t->machine.media[0], 0, lba, count, 0};
    struct slot *slot = subject_post(t->subject, &request);

    assert_good(t, slot != NULL);
    return slot;
}

/* One read hangs; the others overtake it. It is aborted, which QEMU does not do, and comes then. */
static void outlives_a_timeout(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 64);
    const struct medium *medium = &t->machine.media[0];

    subject_slots(s, 40, 4096);
    assert_true(machine_hold(&t->machine, medium, "break read_aio", "late"));
    post(t, READ, 64, 1);
    subject_ring(s);
    assert_true(machine_hold(&t->machine, medium, "wait_break", "late"));
    for (uint32_t i = 0; i < 32; i++)
        post(t, i % 4 ? READ : WRITE, 100 + i, 1);
    assert_good(t, subject_drain(s, 1));
    assert_int_equal(s->ended, 32);
    ticks(t, QPAIR_TICKS + 3);
    assert_int_equal(nvme_qpair_stats(s->qps[0])->timeouts, 1);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->aborts, 1);
    assert_int_equal(subject_outstanding(s), 1);
    assert_true(machine_hold(&t->machine, medium, "resume", "late"));
    assert_good(t, subject_drain(s, 0));
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    assert_int_equal(s->state, NVME_READY);
    end(t);
}

/* What a reset does to writes and flushes that are out. */
static bool timed_out(const struct slot *slot, int error)
{
    return slot->state != SLOT_READING && error == -ETIMEDOUT;
}

/* None gets on: aborting does not help, the reset does, and the reads are sent again. */
static void resets_what_hangs(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 64);

    s->allowed = timed_out;
    subject_slots(s, 40, 4096);
    assert_true(machine_limit(&t->machine, 1));
    for (uint32_t i = 0; i < 32; i++)
        post(t, i % 4 ? READ : WRITE, 100 + i, 1);
    subject_ring(s);
    ticks(t, 2 * QPAIR_TICKS + 2);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 1);
    assert_true(machine_limit(&t->machine, 0));
    assert_good(t, subject_drain(s, 0));
    assert_true(nvme_ctrlr_stats(s->ctrlr)->aborts > 1);
    assert_true(nvme_qpair_stats(s->qps[0])->reissues > 8);
    assert_true(s->failed > 0);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 1);
    end(t);
}

/* Somebody else disables it, again and again, while it works. */
static void disable(struct subject *s)
{
    if (s->state != NVME_READY || s->ended < s->next)
        return;
    s->next = s->ended + 200;
    subject_ring(s);
    access_write32(s->access, NVME_REG_CC, 0);
    // The next turn is to look at it.
    s->skew_ns += TICK_NS;
}

static void survives_resets(void **state)
{
    const struct load load = {.requests = 3000,
                              .at_once = 64,
                              .bytes_max = 64 << 10,
                              .writes = 30,
                              .flushes = 2,
                              .between = disable};
    struct test *t = *state;
    struct subject *s = begin(t, 32);
    uint64_t reissues = 0;

    // Doorbells of queues that it has forgotten, until the driver has seen it.
    t->tolerated = "pci_nvme_ub_db_wr_invalid_";
    s->allowed = timed_out;
    s->next = 100;
    subject_slots(s, load.at_once, load.bytes_max);
    assert_good(t, subject_load(s, &load));
    assert_true(nvme_ctrlr_stats(s->ctrlr)->resets >= 5);
    for (uint32_t i = 0; i < s->qp_count; i++)
        reissues += nvme_qpair_stats(s->qps[i])->reissues;
    assert_true(reissues > 0);
    end(t);
}

/* --- cases: it ends --------------------------------------------------------------------------- */

static bool canceled(const struct slot *slot, int error)
{
    return error == -ECANCELED;
}

static void post_many(struct test *t)
{
    for (uint32_t i = 0; i < 64; i++)
        post(t, i % 4 ? READ : WRITE, 200 + 8 * i, 8);
    subject_ring(t->subject);
}

static void shuts_down(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 16);

    s->allowed = canceled;
    subject_slots(s, 64, 8 * 4096);
    post_many(t);
    nvme_ctrlr_stop(s->ctrlr);
    assert_good(t, subject_await(s, NVME_CLOSED));
    assert_int_equal(s->ended, s->posted);
    assert_int_equal(access_read32(s->access, NVME_REG_CC) & NVME_CC_EN, 0);
    end(t);
}

static void is_cut_off(void **state)
{
    const struct timespec wait = {.tv_nsec = 30 * NS_PER_MS};
    struct test *t = *state;
    struct subject *s = begin(t, 64);

    s->allowed = canceled;
    subject_slots(s, 64, 8 * 4096);
    post_many(t);
    nvme_ctrlr_close(s->ctrlr);
    s->ctrlr = NULL;
    assert_int_equal(s->ended, s->posted);
    // It is over: the pattern that lies in the buffers now stays there.
    nanosleep(&wait, NULL);
    end(t);
}

/* The process that is killed: reads for ever. Nothing in here may assert: it is not the test. */
static void work_until_killed(struct test *t, int tell)
{
    const struct load load = {.requests = 200, .at_once = 64, .bytes_max = 64 << 10};

    if (!subject_begin(t, MACHINE_QPAIRS, 32))
        _exit(1);
    subject_slots(t->subject, load.at_once, load.bytes_max);
    while (subject_load(t->subject, &load))
        if (write(tell, "", 1) != 1)
            break;
    _exit(1);
}

static void follows_the_dead(void **state)
{
    const struct timespec wait = {.tv_nsec = 5 * NS_PER_MS};
    const struct load load = {
        .requests = 500, .at_once = 64, .bytes_max = 64 << 10, .writes = 30, .flushes = 2};
    struct test *t = *state;

    for (uint32_t i = 0; i < 3; i++) {
        int told[2], status;
        char byte;
        pid_t pid;

        assert_int_equal(pipe(told), 0);
        pid = fork();
        if (pid == 0)
            work_until_killed(t, told[1]);
        close(told[1]);
        assert_int_equal(read(told[0], &byte, 1), 1);
        nanosleep(&wait, NULL);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        close(told[0]);
        begin(t, 32);
        subject_slots(t->subject, load.at_once, load.bytes_max);
        assert_good(t, subject_load(t->subject, &load));
        end(t);
    }
}

static bool lost(const struct slot *slot, int error)
{
    return error == -ENODEV || timed_out(slot, error);
}

/* Somebody else turns bus mastering off: it cannot even say that it cannot. */
static void gives_up(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 64);

    t->tolerated = "pci_nvme_";
    s->allowed = lost;
    subject_slots(s, 64, 8 * 4096);
    machine_command(&t->machine, 2);
    post_many(t);
    for (uint32_t i = 0; i < 40 * QPAIR_TICKS && s->state != NVME_DEAD; i++)
        ticks(t, 1);
    assert_good(t, s->state == NVME_DEAD);
    assert_true(strlen(nvme_ctrlr_why(s->ctrlr)) > 20);
    assert_int_equal(s->ended, s->posted);
    assert_true(s->failed > 0);
    end(t);
    begin(t, 64);
    subject_slots(t->subject, 64, 8 * 4096);
    post_many(t);
    assert_good(t, subject_drain(t->subject, 0));
    end(t);
}

/* --- cases: bad media ------------------------------------------------------------------------- */

static bool medium_failed(const struct slot *slot, int error)
{
    uint32_t bad = slot->state == SLOT_READING ? MACHINE_BAD_READ : MACHINE_BAD_WRITE;
    uint16_t status = slot->state == SLOT_READING ? NVME_UNRECOVERED_READ : NVME_WRITE_FAULT;

    return error == -EIO && slot->io.status == status && slot->state != SLOT_FLUSHING &&
           slot->lba <= bad && bad < slot->lba + slot->count;
}

static void reports_bad_blocks(void **state)
{
    static const struct {
        uint32_t kind, lba, count;
        bool fails;
    } requests[] = {
        {READ, MACHINE_BAD_READ, 1, true},           {READ, MACHINE_BAD_READ - 1, 1, false},
        {READ, MACHINE_BAD_READ + 1, 1, false},      {READ, MACHINE_BAD_READ - 700, 2048, true},
        {READ, MACHINE_BAD_READ - 2047, 2048, true}, {WRITE, MACHINE_BAD_READ, 1, false},
        {WRITE, MACHINE_BAD_WRITE, 1, true},         {WRITE, MACHINE_BAD_WRITE - 8, 8, false},
        {WRITE, MACHINE_BAD_WRITE - 100, 300, true}, {READ, MACHINE_BAD_WRITE, 1, false},
    };
    struct test *t = *state;
    struct subject *s = begin(t, 4);

    s->allowed = medium_failed;
    subject_slots(s, 1, SUBJECT_TRANSFER);
    for (uint32_t i = 0; i < array_len(requests); i++) {
        struct slot *slot = post(t, requests[i].kind, requests[i].lba, requests[i].count);

        assert_good(t, subject_drain(s, 0));
        assert_int_equal(slot->error, requests[i].fails ? -EIO : 0);
        assert_int_equal(s->ended, i + 1);
    }
    assert_int_equal(s->failed, 5);
    end(t);
}

static void works_around_bad_blocks(void **state)
{
    const struct load load = {
        .requests = 3000, .at_once = 64, .bytes_max = 256 << 10, .writes = 30, .flushes = 2};
    struct test *t = *state;
    struct subject *s = begin(t, 32);

    s->allowed = medium_failed;
    subject_slots(s, load.at_once, load.bytes_max);
    assert_good(t, subject_load(s, &load));
    assert_true(s->failed > 0);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    end(t);
}

static void leaves_foreign_formats(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 16);
    struct iohdesc io = {.ioqp = s->qps[0], .ns_id = 2, .lba_count = 1, .buf = s->buffers};

    assert_int_equal(nvme_ctrlr_namespace_count(s->ctrlr), 3);
    assert_int_equal(nvme_ctrlr_namespace(s->ctrlr, 1)->blocks, 0);
    assert_int_equal(nvme_read(&io), -ENXIO);
    assert_int_equal(nvme_write(&io), -ENXIO);
    assert_int_equal(nvme_flush(&io), -ENXIO);
    end(t);
}

/* --- cases: the last ones --------------------------------------------------------------------- */

/* Pulled out under load: the machine `pc` lets its BIOS eject what the operator has asked for. */
static void is_pulled_out(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 64);

    s->allowed = lost;
    subject_slots(s, 64, 8 * 4096);
    post_many(t);
    assert_true(
        qemu_ask(&t->machine.qemu, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"disk\"}}"));
    (void)qemu_question(&t->machine.qemu, "outl 0xae10 0");
    (void)qemu_question(&t->machine.qemu, "outl 0xae08 0x%x", 1u << MACHINE_SLOT);
    post(t, READ, 0, 1);
    for (uint32_t i = 0; i < 2 * QPAIR_TICKS && s->state != NVME_DEAD; i++)
        ticks(t, 1);
    assert_good(t, s->state == NVME_DEAD);
    assert_non_null(strstr(nvme_ctrlr_why(s->ctrlr), "pulled out"));
    assert_int_equal(s->ended, s->posted);
    assert_true(s->failed > 0);
    end(t);
}

static void medium_is_right(void **state)
{
    struct test *t = *state;

    assert_true(qemu_stop(&t->machine.qemu));
    for (uint32_t i = 0; i < t->machine.medium_count; i++) {
        const char *wrong = medium_match_all(&t->machine.media[i]);

        if (wrong)
            fail_msg("%s", wrong);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

#define CASE(function)                                                                             \
    {                                                                                              \
#function, function, NULL, clean_up, NULL                                                  \
    }

static struct test *the_test; /* for the set-up of the group, which is given nothing */

static int set_up(void **state)
{
    *state = the_test;
    return the_test->machine.qemu.pid ? 0 : -1;
}

static int tear_down(void **state)
{
    struct test *t = *state;

    machine_stop(&t->machine);
    machine_forget(&t->machine);
    return 0;
}

static int run(struct test *t)
{
    // The last one stops QEMU.
    static const struct CMUnitTest every_case[] = {
        CASE(brings_up),        CASE(has_every_shape),    CASE(carries_loads),
        CASE(wraps_around),     CASE(rings_late),         CASE(splits_as_told),
        CASE(refuses),          CASE(outlives_a_timeout), CASE(resets_what_hangs),
        CASE(survives_resets),  CASE(shuts_down),         CASE(is_cut_off),
        CASE(follows_the_dead), CASE(gives_up),           CASE(medium_is_right),
    };
    static const struct CMUnitTest pulled_out[] = {
        CASE(brings_up),
        CASE(carries_loads),
        CASE(is_pulled_out),
        CASE(medium_is_right),
    };
    static const struct CMUnitTest bad_blocks[] = {
        CASE(brings_up),
        CASE(reports_bad_blocks),
        CASE(works_around_bad_blocks),
        CASE(medium_is_right),
    };
    static const struct CMUnitTest foreign[] = {
        CASE(brings_up),
        CASE(leaves_foreign_formats),
        CASE(carries_loads),
        CASE(medium_is_right),
    };
    const struct personality *p = t->machine.personality;

    the_test = t;
    if (p->bad_blocks)
        return cmocka_run_group_tests_name(p->name, bad_blocks, set_up, tear_down);
    if (t->machine.foreign.state)
        return cmocka_run_group_tests_name(p->name, foreign, set_up, tear_down);
    if (p->machine)
        return cmocka_run_group_tests_name(p->name, pulled_out, set_up, tear_down);
    return cmocka_run_group_tests_name(p->name, every_case, set_up, tear_down);
}

int main(int argc, char **argv)
{
    const struct personality *p = personality_find(argc == 2 ? argv[1] : NULL);
    const char *lacks = qemu_lacks();
    struct test test = {.subject = NULL};

    if (!p) {
        fprintf(stderr, "usage: %s PERSONALITY, which is one of the above\n", argv[0]);
        return 2;
    }
    if (lacks) {
        printf("%s\n", lacks);
        return EXIT_SKIP;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!machine_start(&test.machine, p)) {
        fprintf(stderr, "# QEMU does not start\n");
        machine_stop(&test.machine);
        return 1;
    }
    return run(&test);
}

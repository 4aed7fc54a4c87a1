// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"
#include "nvme/ctrlr.h"

#define TICK_NS (SUBJECT_TIMEOUT / QPAIR_TICKS)

/* --- time passes ----------------------------------------------------------------------- */

/* One read hangs; the others overtake it. It is aborted, which QEMU does not do, and comes then. */
void outlives_a_timeout(void **state)
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
void resets_what_hangs(void **state)
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

void survives_resets(void **state)
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

/* --- it ends --------------------------------------------------------------------------- */

static bool canceled(const struct slot *slot, int error)
{
    return error == -ECANCELED;
}

void shuts_down(void **state)
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

void is_cut_off(void **state)
{
    const struct timespec pause = {.tv_nsec = 5 * NS_PER_MS}, wait = {.tv_nsec = 100 * NS_PER_MS};
    struct test *t = *state;
    struct subject *s = begin(t, 64);

    s->allowed = canceled;
    subject_slots(s, 64, 8 * 4096);
    // They are held up, so that they are surely under way, and go on in the next 20th of a second.
    assert_true(machine_limit(&t->machine, 20));
    post_many(t);
    nanosleep(&pause, NULL);
    nvme_ctrlr_close(s->ctrlr);
    s->ctrlr = NULL;
    assert_int_equal(s->ended, s->posted);
    assert_true(s->failed > 0);
    // It is over: the pattern that lies in the buffers now stays there.
    assert_true(machine_limit(&t->machine, 0));
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

/* Before anything of ours can be reached, nothing of the dead one's is under way. */
static void is_left_stopped(struct test *t)
{
    char why[200];
    struct nvme_access *access = machine_reach(&t->machine, why, sizeof(why));

    if (!access)
        fail_msg("%s", why);
    assert_int_equal(access_read32(access, NVME_REG_CC), 0);
    assert_int_equal(access_read32(access, NVME_REG_CSTS), 0);
    nvme_access_close(access);
    assert_true(machine_limit(&t->machine, 0));
}

void follows_the_dead(void **state)
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
        assert_true(machine_limit(&t->machine, 1));
        nanosleep(&wait, NULL);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        close(told[0]);
        is_left_stopped(t);
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
void gives_up(void **state)
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

/* --- bad media ------------------------------------------------------------------------- */

static bool medium_failed(const struct slot *slot, int error)
{
    uint32_t bad = slot->state == SLOT_READING ? MACHINE_BAD_READ : MACHINE_BAD_WRITE;
    uint16_t status = slot->state == SLOT_READING ? NVME_UNRECOVERED_READ : NVME_WRITE_FAULT;

    return error == -EIO && slot->io.status == status && slot->state != SLOT_FLUSHING &&
           slot->lba <= bad && bad < slot->lba + slot->count;
}

void reports_bad_blocks(void **state)
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

    t->tolerated = "pci_nvme_err_";
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

void works_around_bad_blocks(void **state)
{
    const struct load load = {
        .requests = 3000, .at_once = 64, .bytes_max = 256 << 10, .writes = 30, .flushes = 2};
    struct test *t = *state;
    struct subject *s = begin(t, 32);

    t->tolerated = "pci_nvme_err_";
    s->allowed = medium_failed;
    subject_slots(s, load.at_once, load.bytes_max);
    assert_good(t, subject_load(s, &load));
    assert_true(s->failed > 0);
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    end(t);
}

void leaves_foreign_formats(void **state)
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

/* --- namespaces ------------------------------------------------------------------------ */

#define ADMIN_ATTACHMENT 0x15 /* Namespace Attachment; CDW10 SEL: 0 attaches, 1 detaches */
#define GONE             1    /* index of the namespace that goes */

static void attachment_done(void *arg, const struct nvme_cqe *cqe)
{
}

/* What an operator does with a tool, here on the driver's own admin queue. */
static void attach(struct test *t, bool on)
{
    struct subject *s = t->subject;
    uint16_t *controllers = mem_arena_alloc(s->arena, PAGE_BYTES, PAGE_BYTES);
    struct nvme_sqe sqe = {
        .opc = ADMIN_ATTACHMENT, .nsid = t->machine.media[GONE].ns_id, .cdw10 = on ? 0 : 1};

    assert_non_null(controllers);
    controllers[0] = 1; // a list of one, whose number is 0
    sqe.prp1 = access_bus(s->access, controllers, PAGE_BYTES);
    assert_int_equal(admin_send(&s->ctrlr->admin, &sqe, attachment_done), 0);
}

static bool of_the_gone(const struct slot *slot, int error)
{
    const struct subject *s = slot->subject;

    // QEMU calls it an invalid field; the next ones are not sent any more.
    return slot->medium == &s->media[GONE] &&
           (error == -ENXIO || (error == -EIO && slot->io.status == NVME_INVALID_FIELD));
}

static void detach_at(struct subject *s)
{
    struct test *t = s->test;

    if (s->ended >= s->next && s->next) {
        s->next = 0;
        attach(t, false);
    }
}

void loses_a_namespace(void **state)
{
    struct load load = {
        .requests = 2000, .at_once = 64, .bytes_max = 32 << 10, .writes = 30, .between = detach_at};
    struct test *t = *state;
    struct subject *s = begin(t, 32);
    const struct nvme_namespace *gone = nvme_ctrlr_namespace(s->ctrlr, GONE);

    t->tolerated = "pci_nvme_err_req_status";
    s->allowed = of_the_gone;
    s->next = 500;
    s->test = t;
    subject_slots(s, load.at_once, load.bytes_max);
    assert_good(t, subject_load(s, &load));
    assert_int_equal(s->next, 0);
    assert_int_equal(gone->blocks, 0);
    assert_true(nvme_ctrlr_stats(s->ctrlr)->async_events > 0);
    attach(t, true);
    for (uint32_t i = 0; i < 1000 && !gone->blocks; i++)
        ticks(t, 1);
    assert_int_equal(gone->blocks, t->machine.media[GONE].blocks);
    s->allowed = NULL;
    load.between = NULL;
    assert_good(t, subject_load(s, &load));
    assert_int_equal(nvme_ctrlr_stats(s->ctrlr)->resets, 0);
    end(t);
}

/* --- the last ones --------------------------------------------------------------------- */

/* Pulled out under load: the machine `pc` lets its BIOS eject what the operator has asked for. */
void is_pulled_out(void **state)
{
    struct test *t = *state;
    struct subject *s = begin(t, 64);

    s->allowed = lost;
    subject_slots(s, 80, 8 * 4096);
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

void medium_is_right(void **state)
{
    struct test *t = *state;

    assert_true(qemu_stop(&t->machine.qemu));
    for (uint32_t i = 0; i < t->machine.medium_count; i++) {
        const char *wrong = medium_match_all(&t->machine.media[i]);

        if (wrong)
            fail_msg("%s", wrong);
    }
}

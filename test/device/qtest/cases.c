// SPDX-License-Identifier: BSD-2-Clause
#include <stdlib.h>
#include <time.h>

#include "cases.h"
#include "nvme/qpair.h"

#define TICK_NS (SUBJECT_TIMEOUT / QPAIR_TICKS)

bool subject_begin(struct test *t, uint32_t qpairs, uint32_t depth)
{
    struct subject *s = calloc(1, sizeof(*s));
    struct nvme_access *access;
    char why[200];

    if (!s)
        return false;
    t->subject = s;
    s->media = t->machine.media;
    s->medium_count = t->machine.medium_count;
    s->no_sgls = t->machine.personality->no_sgls;
    s->no_shadow = t->machine.personality->no_shadow;
    access = machine_reach(&t->machine, why, sizeof(why));
    return access ? subject_open(s, access, qpairs, depth)
                  : subject_wrong(s, "there is no way to the controller: %s", why);
}

struct subject *begin(struct test *t, uint32_t depth)
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

void end(struct test *t)
{
    assert_good(t, subject_guards(t->subject));
    subject_end(t);
    trace_check(t);
}

int clean_up(void **state)
{
    struct test *t = *state;
    char line[TRACE_LINE];

    subject_end(t);
    while (qemu_trace(&t->machine.qemu, line, sizeof(line)))
        continue;
    return 0;
}

struct slot *post(struct test *t, uint32_t kind, uint64_t lba, uint32_t count)
{
    struct request request = {kind, &t->machine.media[0], 0, lba, count, 0};
    struct slot *slot = subject_post(t->subject, &request);

    assert_good(t, slot != NULL);
    return slot;
}

void post_many(struct test *t)
{
    for (uint32_t i = 0; i < 64; i++)
        post(t, i % 4 ? READ : WRITE, 200 + 8 * i, 8);
    subject_ring(t->subject);
}

void ticks(struct test *t, uint32_t count)
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

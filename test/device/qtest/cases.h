// SPDX-License-Identifier: BSD-2-Clause
/*
 * cases.h - what an NVMe driver has to do, one function to a case, and what surrounds a case.
 *
 * Every case brings the controller up for itself, whatever state the one before it has left it in.
 * Its requests are watched (subject.h), and in the end QEMU's trace must not have a word about
 * anything that a host is not to do, unless the case leads to just that.
 *
 *     orderly.c    a controller that works
 *     trouble.c    one that hangs, is reset, is lost, or has bad blocks
 */
#ifndef QTEST_CASES_H
#define QTEST_CASES_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "machine.h"
#include "subject.h"

#define TRACE_LINE 512

struct test {
    struct machine machine;
    struct subject *subject;
    const char *tolerated; /* words of the trace that this case leads to */
};

#define assert_good(t, condition)                                                                  \
    do {                                                                                           \
        if (!(condition) || (t)->subject->wrong[0])                                                \
            fail_msg("%s: %s", #condition, (t)->subject->wrong);                                   \
    } while (0)

/* A driver, its controller brought up, all its queue pairs. */
struct subject *begin(struct test *t, uint32_t depth);
/* Guards and trace are as they should be. */
void end(struct test *t);
/* begin, for a process that must not assert. */
bool subject_begin(struct test *t, uint32_t qpairs, uint32_t depth);
/* After a case that failed. */
int clean_up(void **state);
/* One request for the first namespace, on the first queue pair. */
struct slot *post(struct test *t, uint32_t kind, uint64_t lba, uint32_t count);
/* Many, rung. */
void post_many(struct test *t);
/* The driver's clock goes on by so many ticks, and it looks at each of them. */
void ticks(struct test *t, uint32_t count);

void brings_up(void **state);
void has_every_shape(void **state);
void carries_loads(void **state);
void wraps_around(void **state);
void rings_late(void **state);
void gives_queue_pairs_back(void **state);
void serves_threads(void **state);
void splits_as_told(void **state);
void refuses(void **state);
void outlives_a_timeout(void **state);
void resets_what_hangs(void **state);
void survives_resets(void **state);
void shuts_down(void **state);
void is_cut_off(void **state);
void follows_the_dead(void **state);
void gives_up(void **state);
void reports_bad_blocks(void **state);
void works_around_bad_blocks(void **state);
void leaves_foreign_formats(void **state);
void loses_a_namespace(void **state);
void is_pulled_out(void **state);
void medium_is_right(void **state);

#endif

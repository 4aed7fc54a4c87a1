// SPDX-License-Identifier: BSD-2-Clause
/*
 * qtest.c - an NVMe driver and QEMU's controller in one of its personalities.
 *
 *     qtest PERSONALITY        TAP; without one, says which there are
 *
 * In the end the medium is compared with what was written.
 */
#include <signal.h>
#include <stdio.h>

#include "cases.h"

#define EXIT_SKIP 77
#define CASE(function, kinds)                                                                      \
    {                                                                                              \
        {#function, function, NULL, clean_up, NULL}, kinds                                         \
    }

static const struct {
    struct CMUnitTest test;
    unsigned kinds; /* of machines */
} cases[] = {
    CASE(brings_up, MACHINE_ANY),
    CASE(has_every_shape, MACHINE_GOOD),
    CASE(carries_loads, MACHINE_GOOD | MACHINE_FOREIGN | MACHINE_PC),
    CASE(wraps_around, MACHINE_GOOD),
    CASE(rings_late, MACHINE_GOOD),
    CASE(gives_queue_pairs_back, MACHINE_GOOD),
    CASE(serves_threads, MACHINE_NAMESPACES),
    CASE(splits_as_told, MACHINE_GOOD),
    CASE(refuses, MACHINE_GOOD),
    CASE(outlives_a_timeout, MACHINE_GOOD),
    CASE(resets_what_hangs, MACHINE_GOOD),
    CASE(survives_resets, MACHINE_GOOD),
    CASE(shuts_down, MACHINE_GOOD),
    CASE(is_cut_off, MACHINE_GOOD),
    CASE(follows_the_dead, MACHINE_GOOD),
    CASE(gives_up, MACHINE_GOOD),
    CASE(loses_a_namespace, MACHINE_NAMESPACES),
    CASE(reports_bad_blocks, MACHINE_BAD_BLOCKS),
    CASE(works_around_bad_blocks, MACHINE_BAD_BLOCKS),
    CASE(leaves_foreign_formats, MACHINE_FOREIGN),
    CASE(is_pulled_out, MACHINE_PC),
    CASE(medium_is_right, MACHINE_ANY), // it stops QEMU, and is therefore the last
};

static struct test *the_test; /* for the set-up of the group, which is given nothing */

static int set_up(void **state)
{
    *state = the_test;
    return 0;
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
    const struct personality *p = t->machine.personality;
    struct CMUnitTest tests[array_len(cases)];
    size_t count = 0;

    for (uint32_t i = 0; i < array_len(cases); i++)
        if (cases[i].kinds & p->kind)
            tests[count++] = cases[i].test;
    the_test = t;
    return _cmocka_run_group_tests(p->name, tests, count, set_up, tear_down);
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

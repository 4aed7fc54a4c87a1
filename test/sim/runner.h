// SPDX-License-Identifier: BSD-2-Clause
/*
 * runner.h - the command line of a simulator, and many seeds in a row.
 *
 *     sim_x                     seeds 1:100
 *     sim_x --seeds FROM:TO     in order, stopping at the first failure
 *     sim_x --seed N --verbose  one run again, with a trace of its segments
 *     sim_x --seed N --pcap F   ... and what the client's side of the network saw, in F
 *
 * Output is TAP, one line per RUNNER_BATCH seeds. A batch runs in a child process, so that a failed
 * assertion, a sanitizer's report or an endless loop is a failure of the seed that did it and not
 * of the simulator; the seed and its parameters stand in memory that parent and child share. One
 * seed by itself runs in this process, where a debugger finds it.
 */
#ifndef SIM_RUNNER_H
#define SIM_RUNNER_H

#include "world.h"

#define RUNNER_BATCH            100
#define RUNNER_SEED_SECONDS_MAX 120 /* of real time */

/* One run. What it draws it notes, what breaks it says with world_fail. */
typedef void runner_run(struct world *world);

/* `shared` is what all runs have in common and none changes: world->shared. */
int runner_main(int argc, char **argv, runner_run *run, const void *shared);

/* One test more, after `seeds` runs that were all good. Not after a single seed. */
struct runner_end {
    bool (*conclude)(const void *shared, uint64_t seeds);
    const char *name;
};
int runner_main_ending(int argc, char **argv, runner_run *run, const void *shared,
                       const struct runner_end *end);

#endif

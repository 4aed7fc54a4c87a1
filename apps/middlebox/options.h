// SPDX-License-Identifier: BSD-2-Clause
/*
 * options.h - the command line, as values that have been checked.
 *
 * What impairs packets is named by the stages of path.h, not here: --NAME sets an option of both
 * directions, --to-right-NAME and --to-left-NAME that of one. What is said later wins.
 */
#ifndef MIDDLEBOX_OPTIONS_H
#define MIDDLEBOX_OPTIONS_H

#include "path.h"

struct options {
    const char *specs[DIRECTIONS]; /* of the ports, by the direction that leads to them */
    struct path_settings settings[DIRECTIONS];
    uint64_t seed;
    bool flows_by_order;
    uint32_t packets;
    const char *stats; /* a file; NULL: standard output */
    bool busy_poll;
};

/* -1: go on. Else the exit status: help was asked for (0), or the usage is wrong (2). */
int options_parse(struct options *options, int argc, char **argv);

#endif

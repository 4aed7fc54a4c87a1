// SPDX-License-Identifier: BSD-2-Clause
/*
 * report.h - the box's counters, as one line of JSON.
 *
 * For each direction: packets + duplicated = sent + the sum of drop_... + what is under way.
 */
#ifndef MIDDLEBOX_REPORT_H
#define MIDDLEBOX_REPORT_H

#include <stdio.h>

#include "box.h"

void report_write(FILE *out, const struct box *box, uint64_t seed);
/* Replaces the file as a whole, so that nobody reads half of it; path NULL: standard output.
 * 0 or -errno. */
must_check int report_save(const char *path, const struct box *box, uint64_t seed);

#endif

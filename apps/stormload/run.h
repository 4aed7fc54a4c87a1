// SPDX-License-Identifier: BSD-2-Clause
/*
 * run.h - the threads: each an engine on a transport of its own.
 */
#ifndef STORMLOAD_RUN_H
#define STORMLOAD_RUN_H

#include "options.h"
#include "report.h"

/* 0, or 1 after saying why nothing could be measured. */
int run(const struct options *options, struct report *report);

#endif

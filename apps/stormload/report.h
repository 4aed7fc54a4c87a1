// SPDX-License-Identifier: BSD-2-Clause
/*
 * report.h - what was measured, for people and for programs.
 */
#ifndef STORMLOAD_REPORT_H
#define STORMLOAD_REPORT_H

#include "engine.h"

#include <stdio.h>

struct report {
    const char *url;
    const char *transport; /* "kernel", or the port's spec */
    uint32_t connections, active, workers;
    double seconds;      /* in which requests were made */
    double open_seconds; /* in which connections were opened */
    struct engine_stats stats;
    uint64_t open_connects; /* connections opened in open_seconds */
};

void report_text(FILE *out, const struct report *report);
void report_json(FILE *out, const struct report *report);
/* Whether everything was as it should be. */
bool report_good(const struct report *report);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * units.h - numbers with units, as they are written on a command line. Each function takes the
 * whole text or nothing and says whether it did; what lies outside of [min, max] is refused.
 */
#ifndef MIDDLEBOX_UNITS_H
#define MIDDLEBOX_UNITS_H

#include "path.h"

/* "0.01" or "1%" */
bool parse_probability(double *to, const char *text);
/* "25", "25ms" (both 25 ms), "0.5ms", "500us", "2s"; at most WHEEL_HORIZON_NS. */
bool parse_duration(uint64_t *to_ns, const char *text);
/* The same up to a character of `ends`; returns the place behind what it took, or NULL. */
const char *parse_duration_part(uint64_t *to_ns, const char *text, char end);
/* "20M": bits in a second, with k, M or G for thousands, millions, milliards. */
bool parse_rate(uint64_t *to_bps, const char *text);
/* "64k" (bytes; k is 1,000 and Ki 1,024, M and Mi likewise), "100p" (packets), "50ms". */
bool parse_amount(struct amount *to, const char *text);
bool parse_count(uint64_t *to, const char *text, uint64_t min, uint64_t max);

#endif

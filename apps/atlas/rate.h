// SPDX-License-Identifier: BSD-2-Clause
/*
 * rate.h - which object is sent how fast at most: the rules of --rate.
 *
 * A rule is [PATTERN=]BITS, in bits per second with an optional k, M or G. The pattern is a path in
 * which one * may stand for any text, slashes included; without a pattern, the rule is for
 * everything. The first rule that matches an object's path counts, whether it lets it go faster or
 * slower than the next.
 *
 * One star and no more, so that a lookup is two comparisons of memory for each rule: every request
 * pays for it. The patterns' text is the caller's and must stay.
 */
#ifndef ATLAS_RATE_H
#define ATLAS_RATE_H

#include "base/base.h"

#define RATE_RULES_MAX 32
#define RATE_BITS_MIN  8000 /* 1 kB/s: less than a segment a second looks like a fault */
#define RATE_BITS_MAX  (1000ull * 1000 * 1000 * 1000)

struct rate_rule {
    const char *prefix, *suffix; /* what stands before and behind the star */
    uint32_t prefix_len, suffix_len;
    bool exact; /* there is no star: prefix is the whole path */
    uint64_t bytes_per_s;
};

struct rate_rules {
    uint32_t count;
    struct rate_rule rules[RATE_RULES_MAX];
};

/* Adds the rule to those that are there. 0, -ENOSPC, -EINVAL (two stars, or a pattern that no path
 * can match), -ERANGE (no number, or none that is possible). */
must_check int rate_rules_add(struct rate_rules *rules, const char *text);
/* Bytes per second, or 0: no limit. */
uint64_t rate_rules_find(const struct rate_rules *rules, const char *path, uint32_t path_len);

#endif

// SPDX-License-Identifier: BSD-2-Clause
#include "rate.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

/* "2500000" or "2500k", and not "2.5M": whole numbers are never rounded. */
static int parse_bits(const char *text, uint64_t *bits)
{
    static const char units[] = "kMG";
    uint64_t factor = 1;
    unsigned long long v;
    char *end;

    if (!isdigit((uint8_t)text[0]))
        return -ERANGE;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno)
        return -ERANGE;
    if (*end) {
        const char *unit = strchr(units, *end);

        if (!unit || end[1])
            return -ERANGE;
        for (const char *u = units; u <= unit; u++)
            factor *= 1000;
    }
    if (v > RATE_BITS_MAX / factor || v * factor < RATE_BITS_MIN)
        return -ERANGE;
    *bits = v * factor;
    return 0;
}

/* `len` bytes: the pattern, which is a path or begins with its star. */
static int parse_pattern(const char *text, size_t len, struct rate_rule *rule)
{
    const char *star = memchr(text, '*', len);

    if (len == 0 || len > UINT32_MAX || (text[0] != '/' && text[0] != '*'))
        return -EINVAL;
    rule->prefix = text;
    rule->exact = !star;
    rule->prefix_len = (uint32_t)(star ? (size_t)(star - text) : len);
    if (!star)
        return 0;
    rule->suffix = star + 1;
    rule->suffix_len = (uint32_t)(len - rule->prefix_len - 1);
    return memchr(rule->suffix, '*', rule->suffix_len) ? -EINVAL : 0;
}

int rate_rules_add(struct rate_rules *rules, const char *text)
{
    const char *equals = strrchr(text, '='); /* paths may have one, numbers have none */
    struct rate_rule rule = {.prefix = "", .suffix = ""};
    uint64_t bits;
    int rc;

    if (rules->count == RATE_RULES_MAX)
        return -ENOSPC;
    rc = parse_bits(equals ? equals + 1 : text, &bits);
    if (rc == 0 && equals)
        rc = parse_pattern(text, (size_t)(equals - text), &rule);
    if (rc < 0)
        return rc;
    rule.bytes_per_s = bits / 8;
    rules->rules[rules->count++] = rule;
    return 0;
}

static bool matches(const struct rate_rule *rule, const char *path, uint32_t len)
{
    if (len < rule->prefix_len + rule->suffix_len || (rule->exact && len != rule->prefix_len))
        return false;
    return memcmp(path, rule->prefix, rule->prefix_len) == 0 &&
           memcmp(path + len - rule->suffix_len, rule->suffix, rule->suffix_len) == 0;
}

uint64_t rate_rules_find(const struct rate_rules *rules, const char *path, uint32_t path_len)
{
    for (uint32_t i = 0; i < rules->count; i++)
        if (matches(&rules->rules[i], path, path_len))
            return rules->rules[i].bytes_per_s;
    return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "units.h"

#include <errno.h>
#include <stdlib.h>

#include "wheel.h"

#define AMOUNT_BYTES_MAX (1ull << 32)

struct unit {
    const char *name;
    double factor;
};

/* A decimal number without sign. Hexadecimal, "inf" and "nan" begin with something else, or are
 * followed by what is no unit. */
static const char *take_number(double *to, const char *text)
{
    char *end;

    if (*text < '0' || *text > '9' || text[1] == 'x' || text[1] == 'X')
        return NULL;
    errno = 0;
    *to = strtod(text, &end);
    return errno ? NULL : end;
}

static bool take_unit(double *value, const struct unit *units, size_t count, const char *name,
                      size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0) {
            *value *= units[i].factor;
            return true;
        }
    return false;
}

bool parse_probability(double *to, const char *text)
{
    const char *end = take_number(to, text);

    if (!end)
        return false;
    if (*end == '%') {
        *to /= 100;
        end++;
    }
    return !*end && *to <= 1;
}

const char *parse_duration_part(uint64_t *to_ns, const char *text, char end)
{
    static const struct unit units[] = {{"", 1e6}, {"ms", 1e6}, {"us", 1e3}, {"s", 1e9}, {"ns", 1}};
    double value;
    const char *unit = take_number(&value, text);
    const char *stop = unit ? strchrnul(unit, end) : NULL;

    if (!stop || !take_unit(&value, units, array_len(units), unit, (size_t)(stop - unit)) ||
        value > (double)WHEEL_HORIZON_NS)
        return NULL;
    *to_ns = (uint64_t)(value + 0.5);
    return stop;
}

bool parse_duration(uint64_t *to_ns, const char *text)
{
    const char *end = parse_duration_part(to_ns, text, '\0');

    return end && !*end;
}

bool parse_rate(uint64_t *to_bps, const char *text)
{
    static const struct unit units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}};
    double value;
    const char *unit = take_number(&value, text);

    if (!unit || !take_unit(&value, units, array_len(units), unit, strlen(unit)) ||
        value < RATE_MIN_BPS || value > (double)RATE_MAX_BPS)
        return false;
    *to_bps = (uint64_t)(value + 0.5);
    return true;
}

bool parse_amount(struct amount *to, const char *text)
{
    static const struct unit bytes[] = {
        {"", 1}, {"k", 1e3}, {"M", 1e6}, {"Ki", 1 << 10}, {"Mi", 1 << 20}};
    double value;
    const char *unit = take_number(&value, text);

    if (!unit)
        return false;
    if (strcmp(unit, "p") == 0) {
        *to = (struct amount){AMOUNT_PACKETS, (uint64_t)value};
        return value >= 1 && value <= QUEUE_MAX;
    }
    if (take_unit(&value, bytes, array_len(bytes), unit, strlen(unit))) {
        *to = (struct amount){AMOUNT_BYTES, (uint64_t)value};
        return value <= (double)AMOUNT_BYTES_MAX;
    }
    to->unit = AMOUNT_NS;
    return parse_duration(&to->value, text);
}

bool parse_count(uint64_t *to, const char *text, uint64_t min, uint64_t max)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *to = strtoull(text, &end, 10);
    return !errno && !*end && *to >= min && *to <= max;
}

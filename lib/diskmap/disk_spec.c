// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk_spec.c - "sim:/tmp/disk,seed=7,delay=50us-2ms": what a spec of a disk says.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "disks.h"

#define OPTION_BYTES     64
#define SIM_BLOCK_BYTES  4096 /* until block= says otherwise */
#define SIM_SIZE_MAX     (1ull << 40)
#define SIM_DELAY_MAX_NS (60 * NS_PER_S)

static const struct {
    const char *prefix;
    enum disk_kind kind;
} kinds[] = {{"vfio:", DISK_VFIO}, {"diskmap:", DISK_KMOD}, {"sim:", DISK_SIM}};

bool diskmap_spec_is_disk(const char *spec)
{
    for (size_t i = 0; i < array_len(kinds); i++)
        if (!strncmp(spec, kinds[i].prefix, strlen(kinds[i].prefix)))
            return true;
    return false;
}

/* --- values ----------------------------------------------------------------------------------- */

/* Digits, as many as there are; `*end` behind them. */
static bool take_number(const char *text, uint64_t max, uint64_t *out, const char **end)
{
    char *stop;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &stop, 10);
    *end = stop;
    return errno == 0 && *out <= max;
}

static bool take_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    const char *end;
    uint64_t v;

    if (!take_number(text, max, &v, &end) || *end || v < min)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* "50us", "2ms", "1s" */
static bool take_time(const char *text, uint64_t *out_ns, const char **end)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
    uint64_t v;

    if (!take_number(text, SIM_DELAY_MAX_NS, &v, end))
        return false;
    for (size_t i = 0; i < array_len(units); i++) {
        size_t len = strlen(units[i].name);

        if (strncmp(*end, units[i].name, len) || v > SIM_DELAY_MAX_NS / units[i].ns)
            continue;
        *end += len;
        *out_ns = v * units[i].ns;
        return true;
    }
    return false;
}

static bool take_probability(const char *text, double *out)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= 0 && *out <= 1;
}

/* --- options ---------------------------------------------------------------------------------- */

static bool take_ns(struct disk_spec *s, const char *text)
{
    return take_u32(text, 1, UINT32_MAX - 1, &s->ns_id);
}

static bool take_seed(struct disk_spec *s, const char *text)
{
    const char *end;

    return take_number(text, UINT64_MAX, &s->sim.seed, &end) && !*end;
}

static bool take_delay(struct disk_spec *s, const char *text)
{
    const char *end;

    if (!take_time(text, &s->sim.delay_min_ns, &end))
        return false;
    s->sim.delay_max_ns = s->sim.delay_min_ns;
    if (*end == '-' && !take_time(end + 1, &s->sim.delay_max_ns, &end))
        return false;
    return !*end && s->sim.delay_min_ns <= s->sim.delay_max_ns;
}

static bool take_error(struct disk_spec *s, const char *text)
{
    return take_probability(text, &s->sim.error);
}

static bool take_stuck(struct disk_spec *s, const char *text)
{
    return take_probability(text, &s->sim.stuck);
}

static bool take_ready(struct disk_spec *s, const char *text)
{
    const char *end;

    if (!strcmp(text, "never")) {
        s->sim.ready_ns = UINT64_MAX;
        return true;
    }
    return take_time(text, &s->sim.ready_ns, &end) && !*end;
}

static bool take_remove(struct disk_spec *s, const char *text)
{
    const char *end;
    uint64_t ns;

    if (!take_time(text, &ns, &end) || *end)
        return false;
    s->sim_remove_s = (double)ns / NS_PER_S;
    return true;
}

static bool take_size(struct disk_spec *s, const char *text)
{
    static const char units[] = "KMG";
    const char *end, *unit;

    if (!take_number(text, SIM_SIZE_MAX, &s->sim_bytes, &end) || !s->sim_bytes)
        return false;
    unit = *end ? strchr(units, *end) : NULL;
    if (!unit)
        return !*end;
    if (end[1] || s->sim_bytes > SIM_SIZE_MAX >> (10 * (unit - units + 1)))
        return false;
    s->sim_bytes <<= 10 * (unit - units + 1);
    return true;
}

static bool take_block(struct disk_spec *s, const char *text)
{
    return take_u32(text, 512, 4096, &s->sim_block_bytes) && is_pow2(s->sim_block_bytes);
}

static bool take_queues(struct disk_spec *s, const char *text)
{
    return take_u32(text, 1, NVME_QPAIRS_MAX, &s->sim.queue_pairs);
}

static bool take_mdts(struct disk_spec *s, const char *text)
{
    uint32_t v;

    if (!take_u32(text, 0, UINT8_MAX, &v))
        return false;
    s->sim.mdts = (uint8_t)v;
    return true;
}

static const struct option {
    const char *name;
    bool (*take)(struct disk_spec *s, const char *text);
    const char *takes;
    bool sim_only;
} options[] = {
    {"ns", take_ns, "the number of a namespace, from 1", false},
    {"seed", take_seed, "a number", true},
    {"delay", take_delay, "a time or a range of times, as in 50us or 50us-2ms", true},
    {"error", take_error, "a probability, from 0 to 1", true},
    {"stuck", take_stuck, "a probability, from 0 to 1", true},
    {"ready", take_ready, "a time, as in 20ms, or never", true},
    {"remove", take_remove, "a time, as in 5s", true},
    {"size", take_size, "bytes, as in 64M", true},
    {"block", take_block, "512, 1024, 2048 or 4096", true},
    {"queues", take_queues, "a number of queue pairs, 1 to 64", true},
    {"mdts", take_mdts, "a power of two of pages, 0 to 255", true},
};

static const struct option *option_find(const struct disk_spec *s, const char *name, size_t len)
{
    for (size_t i = 0; i < array_len(options); i++)
        if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len) &&
            (!options[i].sim_only || s->kind == DISK_SIM))
            return &options[i];
    return NULL;
}

/* One "name=value" of `len` bytes. */
static int option_take(struct disk_spec *s, const char *text, size_t len, char *why,
                       size_t why_bytes)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    const struct option *option = option_find(s, text, name_len);
    char value[OPTION_BYTES];

    if (!option) {
        snprintf(why, why_bytes, "'%.*s' is no option of it: %s", (int)min_u64(name_len, 32), text,
                 s->kind == DISK_SIM ? "see SPECS in atlas(8)" : "ns=N is the only one");
        return -EINVAL;
    }
    len -= name_len;
    if (len < 2 || len > sizeof(value))
        goto wrong;
    memcpy(value, equals + 1, len - 1);
    value[len - 1] = '\0';
    if (option->take(s, value))
        return 0;
wrong:
    snprintf(why, why_bytes, "%s= takes %s", option->name, option->takes);
    return -EINVAL;
}

/* A disk has one name. */
static void name_shorten(struct disk_spec *s)
{
    static const char dev[] = "/dev/";
    char *where = s->name + (s->where - s->name);

    if (!strncmp(where, dev, strlen(dev)) && where[strlen(dev)])
        memmove(where, where + strlen(dev), strlen(where + strlen(dev)) + 1);
}

int disk_spec_parse(struct disk_spec *out, const char *spec, char *why, size_t why_bytes)
{
    size_t len = strcspn(spec, ",");
    const char *colon = strchr(spec, ':');
    int rc = 0;

    *out = (struct disk_spec){.sim_block_bytes = SIM_BLOCK_BYTES, .sim_remove_s = -1};
    for (size_t i = 0; i < array_len(kinds); i++)
        if (!strncmp(spec, kinds[i].prefix, strlen(kinds[i].prefix)))
            out->kind = kinds[i].kind;
    if (len >= sizeof(out->name) || colon + 1 == spec + len) {
        snprintf(why, why_bytes, "%.40s...: name a disk behind the colon, in less than %d bytes",
                 spec, DISK_NAME_BYTES);
        return -EINVAL;
    }
    memcpy(out->name, spec, len);
    out->where = out->name + (colon + 1 - spec);
    if (out->kind == DISK_KMOD)
        name_shorten(out);
    for (spec += len; !rc && *spec == ','; spec += len) {
        spec++;
        len = strcspn(spec, ",");
        rc = option_take(out, spec, len, why, why_bytes);
    }
    return rc;
}

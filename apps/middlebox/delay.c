// SPDX-License-Identifier: BSD-2-Clause
/*
 * delay.c - a delay that is constant for each flow, and jitter. The constant part is one of several
 * bands, evenly spaced; which one, the flow's fate says, so that both directions of a flow lie in
 * the same band. Jitter is drawn for each packet; one that would overtake the packet before it goes
 * together with that, so that no packet overtakes another one of its flow.
 */
#include "path.h"
#include "units.h"

#define BAND_SALT 0xbad5 /* any number: the band is drawn apart from everything else */

static bool parse_delay(struct path_settings *settings, const char *text)
{
    uint64_t min_ns, max_ns;
    const char *at = parse_duration_part(&min_ns, text, '-');

    if (!at)
        return false;
    max_ns = min_ns;
    if (*at && !parse_duration(&max_ns, at + 1))
        return false;
    settings->delay_min_ns = min_ns;
    settings->delay_max_ns = max_ns;
    return min_ns <= max_ns;
}

static bool parse_bands(struct path_settings *settings, const char *text)
{
    uint64_t v;

    if (!parse_count(&v, text, 1, BANDS_MAX))
        return false;
    settings->bands = (uint32_t)v;
    return true;
}

static bool delay_wanted(const struct path_settings *settings)
{
    return settings->delay_max_ns > 0;
}

void delay_init(struct path *path)
{
    const struct path_settings *settings = &path->settings;
    uint64_t range_ns = settings->delay_max_ns - settings->delay_min_ns;

    for (uint32_t i = 0; i < settings->bands; i++)
        path->delays_ns[i] =
            settings->delay_min_ns + (i ? range_ns * i / (settings->bands - 1) : 0);
}

uint64_t path_delay_ns(const struct path *path, const struct flow *flow)
{
    struct rand rand;

    rand_seed(&rand, flow_mix(path->seed ^ BAND_SALT, flow->fate));
    return path->delays_ns[rand_below(&rand, path->settings.bands)];
}

static bool delay_apply(struct path *path, struct transit *transit)
{
    transit->due_ns += path_delay_ns(path, transit->flow);
    return true;
}

/* --- jitter ----------------------------------------------------------------------------------- */

static bool parse_jitter(struct path_settings *settings, const char *text)
{
    return parse_duration(&settings->jitter_ns, text);
}

static bool jitter_wanted(const struct path_settings *settings)
{
    return settings->jitter_ns > 0;
}

static bool jitter_apply(struct path *path, struct transit *transit)
{
    uint64_t *last_ns = &transit->flow->due_ns[path->direction];

    transit->due_ns += rand_below(&transit->rand, path->settings.jitter_ns + 1);
    transit->due_ns = max_u64(transit->due_ns, *last_ns);
    *last_ns = transit->due_ns;
    return true;
}

static const struct path_option jitter_options[] = {
    {"jitter", "MS", "up to so much more, drawn for each packet; flows keep their order",
     "milliseconds, as in 1 or 0.5", parse_jitter},
    {0},
};

const struct stage stage_jitter = {"jitter", jitter_options, jitter_wanted, jitter_apply};

/* --- delay ------------------------------------------------------------------------------------ */

static const struct path_option options[] = {
    {"delay", "MS|MIN-MAX", "one way, in each direction; a range: each flow has its own",
     "milliseconds, or a range of them, as in 25 or 10-40; 8.5 s at most", parse_delay},
    {"bands", "N", "how many delays there are in the range (4)", "a number from 1 to 64",
     parse_bands},
    {0},
};

const struct stage stage_delay = {"delay", options, delay_wanted, delay_apply};

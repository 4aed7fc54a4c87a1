// SPDX-License-Identifier: BSD-2-Clause
/*
 * disorder.c - packets that arrive twice, damaged, or late.
 *
 * The copy of a packet leaves when the packet should have left, and is neither damaged nor late
 * itself. A packet that is held back is overtaken by those that follow it within reorder_by.
 */
#include "base/bytes.h"
#include "path.h"
#include "units.h"

#define ADDRESSES_BYTES 12 /* a frame damaged there would be lost, not damaged */
#define FLIPS_MAX       3

/* --- twice ------------------------------------------------------------------------------------ */

static bool parse_duplicate(struct path_settings *settings, const char *text)
{
    return parse_probability(&settings->duplicate, text);
}

static bool duplicate_wanted(const struct path_settings *settings)
{
    return settings->duplicate > 0;
}

static bool duplicate_apply(struct path *path, struct transit *transit)
{
    transit->duplicate = rand_chance(&transit->rand, path->settings.duplicate);
    transit->copy_due_ns = transit->due_ns;
    if (transit->duplicate)
        stat_inc(&path->stats.duplicated);
    return true;
}

static const struct path_option duplicate_options[] = {
    {"duplicate", "P", "send a packet twice with this probability",
     "a probability, as in 0.01 or 1%", parse_duplicate},
    {0},
};

const struct stage stage_duplicate = {"duplicate", duplicate_options, duplicate_wanted,
                                      duplicate_apply};

/* --- damaged ---------------------------------------------------------------------------------- */

static bool parse_corrupt(struct path_settings *settings, const char *text)
{
    return parse_probability(&settings->corrupt, text);
}

static bool corrupt_wanted(const struct path_settings *settings)
{
    return settings->corrupt > 0;
}

static bool corrupt_apply(struct path *path, struct transit *transit)
{
    if (!rand_chance(&transit->rand, path->settings.corrupt))
        return true;
    transit->damage = rand_u64(&transit->rand) | 1;
    stat_inc(&path->stats.corrupted);
    return true;
}

/*
 * All flipped bits lie in one 16-bit word, counted from the frame's start as IP, TCP and UDP count.
 * Flips in different words can cancel out in the Internet checksum, and no stack could see such
 * damage; flips in one word never do.
 */
void path_damage(uint8_t *frame, uint32_t len, uint64_t damage)
{
    uint32_t words = len / 2, first = ADDRESSES_BYTES / 2;
    struct rand rand;
    unsigned count;
    uint16_t bits = 0;
    uint8_t *word;

    if (words <= first)
        return;
    rand_seed(&rand, damage);
    word = frame + 2 * (first + rand_below(&rand, words - first));
    count = 1 + (unsigned)rand_below(&rand, FLIPS_MAX);
    while ((unsigned)__builtin_popcount(bits) < count)
        bits |= (uint16_t)(1u << rand_below(&rand, 16));
    put_be16(word, get_be16(word) ^ bits);
}

static const struct path_option corrupt_options[] = {
    {"corrupt", "P", "flip bits of a packet with this probability",
     "a probability, as in 0.01 or 1%", parse_corrupt},
    {0},
};

const struct stage stage_corrupt = {"corrupt", corrupt_options, corrupt_wanted, corrupt_apply};

/* --- late ------------------------------------------------------------------------------------- */

static bool parse_reorder(struct path_settings *settings, const char *text)
{
    return parse_probability(&settings->reorder, text);
}

static bool parse_reorder_by(struct path_settings *settings, const char *text)
{
    return parse_duration(&settings->reorder_by_ns, text);
}

static bool reorder_wanted(const struct path_settings *settings)
{
    return settings->reorder > 0;
}

static bool reorder_apply(struct path *path, struct transit *transit)
{
    if (!rand_chance(&transit->rand, path->settings.reorder))
        return true;
    transit->due_ns += path->settings.reorder_by_ns;
    stat_inc(&path->stats.reordered);
    return true;
}

static const struct path_option reorder_options[] = {
    {"reorder", "P", "hold a packet back with this probability", "a probability, as in 0.01 or 1%",
     parse_reorder},
    {"reorder-by", "MS", "for how long (5)", "milliseconds, as in 5 or 0.5", parse_reorder_by},
    {0},
};

const struct stage stage_reorder = {"reorder", reorder_options, reorder_wanted, reorder_apply};

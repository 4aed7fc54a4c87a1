// SPDX-License-Identifier: BSD-2-Clause
#include "path.h"

#include "wheel.h"

#define BANDS_DEFAULT      4
#define REORDER_DEFAULT_NS (5 * NS_PER_MS)

const struct stat_desc path_stat_descs[] = {PATH_STATS(STAT_DESC, struct path_stats){0}};

const struct stage *const path_stages[] = {
    &stage_mtu,    &stage_loss,      &stage_burst,   &stage_rate,    &stage_delay,
    &stage_jitter, &stage_duplicate, &stage_corrupt, &stage_reorder, NULL,
};
static_assert(array_len(path_stages) == STAGES_MAX + 1, "room for all to be active");

void path_settings_default(struct path_settings *settings)
{
    *settings = (struct path_settings){.bands = BANDS_DEFAULT, .reorder_by_ns = REORDER_DEFAULT_NS};
}

const char *path_settings_check(const struct path_settings *settings)
{
    uint64_t longest_ns = settings->delay_max_ns + settings->jitter_ns + rate_queue_ns(settings) +
                          (settings->reorder > 0 ? settings->reorder_by_ns : 0);

    if (!settings->rate_bps && settings->queue.unit != AMOUNT_NONE)
        return "--queue needs --rate: without a rate nothing waits";
    if (!settings->rate_bps && settings->ecn_mark.unit != AMOUNT_NONE)
        return "--ecn-mark needs --rate: without a rate nothing waits";
    if (settings->ecn_mark.unit == AMOUNT_PACKETS && settings->queue.unit != AMOUNT_PACKETS)
        return "--ecn-mark in packets needs --queue in packets, as in 100p";
    if (longest_ns > WHEEL_HORIZON_NS)
        return "a packet could be under way for more than 8.5 s: lower --delay or --queue, or "
               "raise --rate";
    return NULL;
}

size_t path_arena_bytes(const struct path_settings *settings)
{
    return rate_arena_bytes(settings);
}

/* Of the name, and not of the place: a stage that is new does not change what others draw. */
static uint64_t salt_of(const struct stage *stage)
{
    uint64_t salt = 0;

    for (const char *c = stage->name; *c; c++)
        salt = flow_mix(salt, (uint8_t)*c);
    return salt;
}

int path_init(struct path *path, const struct path_config *config)
{
    *path = (struct path){
        .settings = config->settings,
        .direction = config->direction,
        .seed = config->seed,
    };
    for (uint32_t i = 0; path_stages[i]; i++)
        if (path_stages[i]->wanted(&path->settings)) {
            path->active[path->active_count].apply = path_stages[i]->apply;
            path->active[path->active_count++].salt = salt_of(path_stages[i]);
        }
    delay_init(path);
    return path->settings.rate_bps ? rate_init(path, config->arena) : 0;
}

bool path_apply(struct path *path, struct transit *transit)
{
    struct flow *flow = transit->flow;
    uint64_t number = flow->count[path->direction]++;
    uint64_t key = flow_mix(path->seed + path->direction, flow->fate) + number;

    transit->due_ns = transit->now_ns;
    transit->duplicate = false;
    transit->damage = 0;
    for (uint32_t i = 0; i < path->active_count; i++) {
        rand_seed(&transit->rand, flow_mix(key, path->active[i].salt));
        if (!path->active[i].apply(path, transit))
            return false;
    }
    return true;
}

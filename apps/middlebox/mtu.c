// SPDX-License-Identifier: BSD-2-Clause
/*
 * mtu.c - a link somewhere on the path that takes only smaller packets, and says nothing about
 * those that it drops: the black hole of RFC 2923, 2.1, which senders must find out for themselves.
 */
#include "path.h"
#include "units.h"

static bool parse_mtu(struct path_settings *settings, const char *text)
{
    uint64_t v;

    if (!parse_count(&v, text, MTU_MIN, 65535))
        return false;
    settings->mtu = (uint32_t)v;
    return true;
}

static bool mtu_wanted(const struct path_settings *settings)
{
    return settings->mtu > 0;
}

static bool mtu_apply(struct path *path, struct transit *transit)
{
    if (likely(transit->ip_len <= path->settings.mtu))
        return true;
    stat_inc(&path->stats.drop_mtu);
    return false;
}

static const struct path_option options[] = {
    {"path-mtu", "BYTES", "drop larger IP packets, without a word", "bytes from 68 to 65535",
     parse_mtu},
    {0},
};

const struct stage stage_mtu = {"mtu", options, mtu_wanted, mtu_apply};

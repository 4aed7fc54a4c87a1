// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_set.c - one or several volumes, of which each object lies on one.
 */
#include <errno.h>
#include <stdlib.h>

#include "disks.h"
#include "volume_priv.h"

static const uint64_t start_ns; /* the disks' time is the clock's */

int volumes_begin(struct volumes *set)
{
    *set = (struct volumes){0};
    if (!disks_open(&set->disks, &start_ns, 1, 0, 0))
        return EXIT_DONE;
    log_error("not enough memory");
    return EXIT_FAILED;
}

static int volume_open(struct volumes *set, struct volume *volume, const char *spec, bool writable)
{
    char why[256];

    *volume = (struct volume){.path = spec};
    if (diskmap_medium_open(&volume->medium, set->disks, spec, writable, false, why, sizeof(why))) {
        log_error("%s", why);
        return EXIT_FAILED;
    }
    if (diskmap_volume_open(&volume->diskmap, volume->medium, why, sizeof(why))) {
        log_error("%s: %s", spec, why);
        return EXIT_FAILED;
    }
    volume->rolled_back = why[0] != 0;
    if (volume->rolled_back)
        log_warn("%s: %s", spec, why);
    return EXIT_DONE;
}

int volumes_open(struct volumes *set, const struct volume_args *args, bool writable)
{
    int status = volumes_begin(set);

    for (uint32_t i = 0; status == EXIT_DONE && i < args->volume_count; i++)
        status = volume_open(set, &set->v[set->count++], args->volumes[i], writable);
    return status;
}

void volumes_close(struct volumes *set)
{
    // Backwards: a disk may use the memory of one that was opened before it.
    for (uint32_t i = set->count; i-- > 0;) {
        if (set->v[i].diskmap)
            diskmap_volume_close(set->v[i].diskmap);
        if (set->v[i].medium)
            diskmap_medium_close(set->v[i].medium);
    }
    if (set->disks)
        diskmap_disks_close(set->disks);
    *set = (struct volumes){0};
}

/* Each by itself: what went wrong with one of them leaves those before it changed. */
int volumes_commit(struct volumes *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        int rc = diskmap_volume_commit(set->v[i].diskmap);

        if (!rc)
            continue;
        volume_complain(&set->v[i], "the catalogue", rc);
        if (i > 0)
            log_warn("%s and what was named before it are changed already", set->v[i - 1].path);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

bool volumes_next(struct volumes_walk *walk, struct diskmap_entry *entry, struct volume **volume)
{
    struct volumes *set = walk->set;
    struct diskmap_entry other;

    *volume = NULL;
    for (uint32_t i = 0; i < set->count; i++) {
        struct volume *v = &set->v[i];
        int order;

        if (!diskmap_volume_entry(v->diskmap, walk->at[i], &other))
            continue;
        order = *volume ? strcmp(other.path, entry->path) : -1;
        if (order == 0)
            walk->at[i]++; // hidden by the one before
        if (order >= 0)
            continue;
        *entry = other;
        *volume = v;
    }
    if (!*volume)
        return false;
    walk->at[*volume - set->v]++;
    return true;
}

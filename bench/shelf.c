// SPDX-License-Identifier: BSD-2-Clause
#include "shelf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPEC "ram:/proc/self/fd/%d"

static int64_t fetch(void *arg, void *buf, size_t bytes)
{
    memset(buf, 'a', bytes);
    return (int64_t)bytes;
}

static int fill(const char *path, const struct shelf_object *objects, size_t count, char *why,
                size_t why_bytes)
{
    struct diskmap_medium *medium;
    struct diskmap_volume *volume;
    int rc = diskmap_medium_open(&medium, NULL, path, true, false, why, why_bytes);

    if (rc < 0)
        return rc;
    rc = diskmap_volume_create(&volume, medium, why, why_bytes);
    if (rc == 0) {
        for (size_t i = 0; i < count && rc == 0; i++)
            rc = diskmap_volume_add(volume, objects[i].path, 0, objects[i].bytes, fetch, NULL);
        if (rc == 0)
            rc = diskmap_volume_commit(volume);
        diskmap_volume_close(volume);
    }
    diskmap_medium_close(medium);
    return rc;
}

int shelf_open(struct diskmap_set **set, const struct shelf_object *objects, size_t count,
               char *why, size_t why_bytes)
{
    char spec[64];
    const char *specs[] = {spec};
    int file = memfd_create("volume", MFD_CLOEXEC);
    int rc;

    if (file < 0)
        return -errno;
    snprintf(spec, sizeof(spec), SPEC, file);
    rc = fill(spec + strlen("ram:"), objects, count, why, why_bytes);
    if (rc == 0)
        rc = diskmap_set_open_volumes(set, NULL, specs, 1, why, why_bytes);
    close(file);
    return rc;
}

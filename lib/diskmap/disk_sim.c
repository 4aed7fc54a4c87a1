// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk_sim.c - a controller in software whose medium is a file or a block device.
 *
 * What the file cannot give (it was cut, or may not be written to) is what a real disk's medium
 * could not give: the command ends with the status that a disk would say.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "disks.h"
#include "priv.h"

static int sim_move(void *media, void *host, size_t bytes, uint64_t off, bool write)
{
    int fd = *(const int *)media;

    for (size_t done = 0; done < bytes;) {
        off_t at = (off_t)(off + done);
        ssize_t n = write ? pwrite(fd, (char *)host + done, bytes - done, at)
                          : pread(fd, (char *)host + done, bytes - done, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        done += (size_t)n;
    }
    return 0;
}

/* The file, locked as a volume in a file is, with the size of its namespace. */
static int sim_file(struct controller *c, const struct disk_spec *spec, bool create,
                    uint64_t *bytes, char *why, size_t why_bytes)
{
    c->fd = medium_file_open(spec->where, c->writable, create && spec->sim_bytes, bytes, why,
                             why_bytes);
    if (c->fd == -ENOENT && create && !spec->sim_bytes)
        snprintf(why, why_bytes,
                 "%.160s: it does not exist: say how large it is to be, as in "
                 "%.40s,size=64M",
                 spec->where, spec->name);
    if (c->fd < 0)
        return c->fd;
    if (*bytes == 0 && create && spec->sim_bytes) {
        if (ftruncate(c->fd, (off_t)spec->sim_bytes)) {
            snprintf(why, why_bytes, "%.160s: cannot make it so large: %s", spec->where,
                     strerror(errno));
            return -ENOSPC;
        }
        *bytes = spec->sim_bytes;
    }
    if (*bytes >= spec->sim_block_bytes)
        return 0;
    snprintf(why, why_bytes, "%.160s: it is empty: make it as large as the disk is to be",
             spec->where);
    return -EINVAL;
}

int disk_sim_open(struct controller *c, const struct disk_spec *spec, bool create, char *why,
                  size_t why_bytes)
{
    struct nvme_sim_config config = spec->sim;
    struct nvme_sim_namespace *ns = &config.namespaces[0];
    uint64_t bytes;
    int rc = sim_file(c, spec, create, &bytes, why, why_bytes);

    if (rc)
        return rc;
    ns->media = &c->fd;
    ns->move = sim_move;
    ns->block_log = (uint8_t)__builtin_ctz(spec->sim_block_bytes);
    ns->blocks = bytes >> ns->block_log;
    // 0 would be never.
    if (spec->sim_remove_s >= 0)
        config.remove_ns = disks_now(c->disks) + 1 + (uint64_t)(spec->sim_remove_s * 1e9);
    config.interrupts = true;
    config.threads = true;
    c->own_time = true;
    rc = nvme_sim_open(&c->access, &config);
    if (rc)
        snprintf(why, why_bytes, "%.160s: no controller in software: %s", spec->where,
                 strerror(-rc));
    return rc;
}

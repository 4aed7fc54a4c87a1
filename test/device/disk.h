// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk.h - a controller under test with one queue pair, however it is reached.
 *
 * A disk is named as a volume's is: vfio:0000:00:10.0, or sim:N, a controller in software with the
 * known image of disk N in memory, with which the tests can be tried without a machine to boot.
 */
#ifndef DEVICE_DISK_H
#define DEVICE_DISK_H

#include "nvme/access.h"
#include "nvme/nvme.h"

struct disk {
    const char *spec;
    struct nvme_access *access;
    struct nvme_ctrlr *ctrlr;
    struct nvme_qpair *qp; /* number 1 */
    const struct nvme_namespace *ns;
    uint32_t number;  /* of its image: the controller's serial number says it */
    uint32_t sectors; /* of SECTOR_BYTES */
    void *media;      /* sim: only */
    char why[256];
};

uint64_t now_ns(void);
/* Waits until it is ready. False: `why` says why; nothing is left to be closed. */
bool disk_open(struct disk *disk, const char *spec, struct mem_arena *arena, uint32_t qpairs,
               uint32_t depth);
enum nvme_state disk_turn(struct disk *disk);
/* In order: what is out is waited for, the controller is shut down. False: it did not end well. */
bool disk_close(struct disk *disk);
/* As it is. */
void disk_drop(struct disk *disk);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk.h - a controller under test with one queue pair, however it is reached.
 *
 * A disk is named as a volume's is: vfio:0000:00:10.0, diskmap:diskmap0, or sim:N, a controller in
 * software with the known image of disk N in memory, with which the tests can be tried without a
 * machine to boot.
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

/* What all disks of a test have in common: the machine's memory, or what a disk of the kernel
 * module brings along for all of them. */
struct disk_memory {
    struct mem_arena *arena;
    struct nvme_access *lender; /* closed last */
};

uint64_t now_ns(void);
/* `spec`: the first disk. */
bool disk_memory_open(struct disk_memory *memory, const char *spec, size_t bytes, char *why,
                      size_t why_bytes);
void disk_memory_close(struct disk_memory *memory);
/* Waits until it is ready. False: `why` says why; nothing is left to be closed. */
bool disk_open(struct disk *disk, const char *spec, const struct disk_memory *memory,
               uint32_t qpairs, uint32_t depth);
enum nvme_state disk_turn(struct disk *disk);
/* Gives the queue pair back, waits until the controller has forgotten it, and takes it again. */
bool disk_reattach(struct disk *disk, struct mem_arena *arena);
/* In order: what is out is waited for, the controller is shut down. False: it did not end well. */
bool disk_close(struct disk *disk);
/* As it is. */
void disk_drop(struct disk *disk);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk_priv.h - what the commands of `atlas disk` share: a disk as sysfs shows it.
 *
 * A disk is an NVMe function of the PCI bus, whatever driver has it. Its namespaces are block
 * devices as long as that is the kernel's own.
 */
#ifndef ATLAS_DISK_PRIV_H
#define ATLAS_DISK_PRIV_H

#include "base/base.h"

#define DISK_PATH_BYTES     320 /* below /sys, /dev or /proc */
#define DISK_NAME_BYTES     32
#define DISK_NAMESPACES_MAX 32
#define DISK_DRIVER_KERNEL  "nvme"
#define DISK_DRIVER_VFIO    "vfio-pci"
#define DISK_DRIVER_DISKMAP "diskmap"

struct disk_function {
    char bdf[DISK_NAME_BYTES];    /* 0000:01:00.0 */
    char driver[DISK_NAME_BYTES]; /* empty: none */
    char group[DISK_NAME_BYTES];  /* the IOMMU's; empty: none guards it */
    char name[DISK_NAME_BYTES];   /* nvme0, diskmap0, vfio0: as the driver calls it; or empty */
    char model[48];               /* as far as the driver says it */
    char serial[24];
    char blocks[DISK_NAMESPACES_MAX][DISK_NAME_BYTES]; /* nvme0n1: block devices, if there are */
    uint32_t block_count;
    bool has_more;  /* than these */
    uint64_t bytes; /* of them together */
};

/* All of them, by address; *out is free()d by the caller. The count, or -errno. */
int disk_scan(struct disk_function **out);
/* By address, or by a name of the kernel's (nvme0, nvme0n1, diskmap0). False: the error is said. */
bool disk_find(const char *word, struct disk_function *out);

/* Calls `say` for each use that somebody makes of it: a mount, swap, what lies on it, a process.
 * Returns how many there are. */
uint32_t disk_uses(const struct disk_function *disk, void (*say)(void *arg, const char *use),
                   void *arg);

int disk_info(int argc, char **argv);
int disk_bind(int argc, char **argv);
int disk_unbind(int argc, char **argv);

/* The first line of a file, what is printable of it, without what is blank at its end. False: it
 * cannot be read. */
bool disk_read(const char *path, char *out, size_t bytes);
/* The last part of what a link points to. */
bool disk_link(const char *path, char *out, size_t bytes);

#endif

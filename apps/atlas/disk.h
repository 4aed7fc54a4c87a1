// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk.h - atlas disk: which NVMe disks there are, how they are, and who has them.
 *
 * A disk that a server is to have for itself is taken out of the hands of the kernel's NVMe driver
 * and given to vfio-pci or to the diskmap module, and later back.
 */
#ifndef ATLAS_DISK_H
#define ATLAS_DISK_H

/* Arguments from "disk" on; returns the exit status: 0; 1 when it could not be done, 2 for wrong
 * usage, both with one line that says what to do. */
int disk(int argc, char **argv);

#endif

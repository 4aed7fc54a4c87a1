// SPDX-License-Identifier: BSD-2-Clause
/*
 * disks.h - the clock and the sleep that drivers of NVMe disks are lent.
 */
#ifndef ATLAS_DISKS_H
#define ATLAS_DISKS_H

#include "diskmap/diskmap.h"

/* `start_ns`, of CLOCK_MONOTONIC, is the callers' time 0. The rest is diskmap_disks_config's.
 * -ENOMEM. */
must_check int disks_open(struct diskmap_disks **out, const uint64_t *start_ns, uint32_t workers,
                          uint32_t depth, size_t arena_bytes);

#endif

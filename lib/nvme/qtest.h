// SPDX-License-Identifier: BSD-2-Clause
/*
 * qtest.h - a way to the NVMe controller of a QEMU that runs no guest, for tests.
 *
 * QEMU's qtest socket takes a processor's place: accesses to configuration space and registers are
 * asked for in text. The guest's memory is a file that QEMU and this process share, so that the
 * driver's arenas are the guest's memory: what is in an arena when it is mapped stays there, at the
 * same addresses.
 *
 * There is one access at a time to a QEMU. Its process may have been killed: the next one stops the
 * controller, if that is still at work, before its own memory can be reached. There are no
 * interrupts.
 */
#ifndef NVME_QTEST_H
#define NVME_QTEST_H

#include "nvme/nvme.h"

struct nvme_qtest_config {
    int fd;                /* connected; taken over when opening succeeds */
    int memory_fd;         /* the guest's memory, from address 0 on, as QEMU has it mapped shared */
    uint64_t memory_bytes; /* arenas are mapped from 1 MiB on */
};

/* The function in the first slot of bus 0 that has an NVMe controller; its base address registers
 * are placed. -ENODEV, -ENOMEM, -EINVAL; `why` in words. */
must_check int nvme_qtest_open(struct nvme_access **out, const struct nvme_qtest_config *config,
                               char *why, size_t why_bytes);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * raw.h - a queue pair of diskmap.ko, driven by hand: what a process is given and nothing between.
 *
 * A disk under test is full of sectors that say which they are and how often they were written. A
 * load reads and writes at random, with several commands out, and checks all that it reads. Each of
 * its commands has a stripe of the disk to itself.
 */
#ifndef DEVICE_RAW_H
#define DEVICE_RAW_H

#include "base/base.h"
#include "diskmap_ioctl.h"

#define RAW_SECTOR     512u
#define RAW_COMMANDS   255u /* as many as a queue of 256 entries takes */
#define RAW_READ       0x02
#define RAW_WRITE      0x01
#define RAW_TIMEOUT_MS 10000

struct raw {
    int fd;
    struct diskmap_info info;
    struct diskmap_namespace ns;
    struct diskmap_attach at;
    char *queues, *buffers;
    uint16_t tail, head;
    uint8_t phase;
};

struct raw_completion {
    uint16_t command;
    uint16_t status; /* without the phase */
};

uint64_t raw_now_ns(void);

/* Opens the device and attaches a queue pair with `buffers` buffers, or with those of another file.
 * 0 or -errno; then nothing is left to be closed. */
int raw_open(struct raw *raw, const char *path, uint32_t buffers, int buffers_fd);
/* The same with a device that is open. */
int raw_attach(struct raw *raw, int fd, uint32_t buffers, int buffers_fd);
void raw_close(struct raw *raw);
/* The indices begin anew, as after DISKMAP_IOC_RESTART. */
void raw_rewind(struct raw *raw);

/* Puts a command into the submission queue. `bus`: page-aligned; its list is that of `command`. */
void raw_post(struct raw *raw, uint16_t command, uint8_t opcode, uint64_t lba, uint64_t bus,
              uint32_t bytes);
/* 0 or -errno, of the ioctl. */
int raw_ring_sq(struct raw *raw);
int raw_ring_cq(struct raw *raw);
/* The next completion, which is taken. False: there is none. */
bool raw_take(struct raw *raw, struct raw_completion *completion);
/* The same, waiting for it, asleep or not. False: none came in time, or the wait failed. */
bool raw_await(struct raw *raw, struct raw_completion *completion, bool asleep);

/* --- what is on a disk -------------------------------------------------------------------------
 */

void raw_fill(void *sector, uint32_t disk, uint32_t index, uint32_t generation);
bool raw_is(const void *sector, uint32_t disk, uint32_t index, uint32_t generation);
/* Makes the image of a disk. */
int raw_image(const char *path, uint32_t disk, uint32_t mib);

struct raw_load {
    struct raw *raw;
    uint32_t disk;         /* number of its image */
    uint32_t first, count; /* sectors that it may use */
    uint32_t *generations; /* of them; count */
    uint32_t depth;        /* commands out at once, up to RAW_COMMANDS and the number of buffers */
    uint64_t requests;
    uint64_t seed;
    bool asleep;
    char what[160]; /* out: the first thing that went wrong */
};

/* True: all went well. Stops with the first error; commands may be out then. */
bool raw_load(struct raw_load *load);

#endif

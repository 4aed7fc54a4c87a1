// SPDX-License-Identifier: BSD-2-Clause
/*
 * load.h - random reads and writes on several disks at once, all of which are checked.
 */
#ifndef DEVICE_LOAD_H
#define DEVICE_LOAD_H

#include "disk.h"
#include "image.h"

#define LOAD_SCAN_BYTES (2u << 20)

struct load {
    struct disk *disks; /* open; one image to each */
    struct image *images;
    uint32_t disk_count;
    char *buffers;                 /* in the disks' arena: disk_count * depth * max_bytes */
    uint32_t min_bytes, max_bytes; /* of a request: multiples of the block size */
    uint32_t depth;                /* requests in flight on each disk */
    uint64_t requests;             /* on each disk */
    double write;                  /* probability that one writes */
    uint64_t seed;
    bool sleeps; /* waits for interrupts instead of polling */
    /* Called before a write is posted (`done` false) and after it has ended; may be NULL. */
    void (*on_write)(void *arg, uint32_t first, uint32_t count, bool done);
    void *arg;
    /* What came of it: */
    uint64_t reads, writes, bytes;
    uint64_t errors; /* requests that ended with one */
    uint64_t bad;    /* reads that brought something else than the model has */
    uint64_t wakes;  /* sleeps that an interrupt ended */
    uint64_t missed; /* sleeps that ended by themselves with a completion there */
    char what[192];  /* the first that went wrong */
};

/* True: all requests ended, each once, without an error, with the right bytes. */
bool load_run(struct load *load);
/* Reads all of a disk in order, and makes the model agree with it: every sector has to be one of
 * some generation. `buffers`: LOAD_SCAN_BYTES. False: `what` says what is wrong. */
bool load_scan(struct disk *disk, struct image *image, char *buffers, char *what,
               size_t what_bytes);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * image.h - what is on the disk of a device test, known to the byte.
 *
 * Every sector of 512 bytes says which it is, of which disk, and how often it has been written, and
 * is filled up with words drawn from these three: a sector that is missing, stale, torn or from
 * elsewhere is told apart. The model is what the disk should have now; it also keeps requests that
 * are out at the same time from touching the same sectors, unless both only read.
 */
#ifndef DEVICE_IMAGE_H
#define DEVICE_IMAGE_H

#include "base/base.h"

#define SECTOR_BYTES 512u

struct image {
    uint32_t number; /* of the disk */
    uint32_t sectors;
    uint32_t *generations; /* per sector: how often it has been written */
    uint8_t *busy;         /* per sector: readers, or IMAGE_WRITER */
};

/* False: no memory. */
bool image_init(struct image *image, uint32_t number, uint32_t sectors);
void image_free(struct image *image);

/* Fills `count` sectors from `first` on, as of one generation more than the model has. */
void image_fill(const struct image *image, void *buf, uint32_t first, uint32_t count);
/* Whether they are as the model has them; `what` says what is wrong. */
bool image_check(const struct image *image, const void *buf, uint32_t first, uint32_t count,
                 char *what, size_t what_bytes);
/* Takes a sector's generation from the sector itself. False: it is none of any generation. */
bool image_adopt(struct image *image, const void *sector, uint32_t index);
/* They have been written. */
void image_written(struct image *image, uint32_t first, uint32_t count);
/* Sum over all sectors of what is in them, as the model has it, and of a sector as it is. */
uint64_t image_digest(const struct image *image);
uint64_t sector_digest(const void *sector);
void sector_fill(void *sector, uint32_t number, uint32_t index, uint32_t generation);

/* False: somebody is there. */
bool image_take(struct image *image, uint32_t first, uint32_t count, bool write);
void image_give(struct image *image, uint32_t first, uint32_t count, bool write);

#endif

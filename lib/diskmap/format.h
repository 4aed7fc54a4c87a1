// SPDX-License-Identifier: BSD-2-Clause
/*
 * format.h - the volume as it lies on disk. Little-endian, in blocks of 4 KiB.
 *
 *     | superblock 0 | superblock 1 | objects and catalogues, anywhere, each in consecutive blocks
 * |
 *
 * A superblock names the blocks of one catalogue, and a catalogue names the blocks of all objects.
 * Generation g's superblock lies in one slot, the one before it in the other. A change never
 * touches a block that a valid superblock leads to. It is made in this order:
 *
 *     1. the new objects are written to free blocks, then synced
 *     2. the new catalogue, complete, is written to free blocks, then synced
 *     3. the new superblock is written over the older of the two, then synced
 *
 * Whoever opens the volume takes the newest superblock that is wholly valid, its catalogue
 * included. Until the superblock of step 3 lies on disk with all its sectors, its checksum fails
 * and the other one stands, whose catalogue and objects were not touched; from then on the new one
 * stands, and all that it names was synced before it was written. There is no third case, whatever
 * the order in which the disk writes what lies between two syncs.
 *
 * Of a volume that is being made, slot 0 holds the magic number and nothing else until its first
 * superblock, of generation 1, is written there.
 *
 * A catalogue is a sequence of blocks, each a header and then records in ascending order of path
 * (bytewise), strictly, so that no path occurs twice. A record lies wholly within its block.
 */
#ifndef DISKMAP_FORMAT_H
#define DISKMAP_FORMAT_H

#include "base/base.h"
#include "diskmap/diskmap.h"

#define FORMAT_VERSION         1
#define FORMAT_SUPERS          2 /* blocks 0 and 1; everything else lies behind them */
#define FORMAT_SUPER_MAGIC     "ATLASVOL"
#define FORMAT_CATALOGUE_MAGIC 0x54414341u /* "ACAT" */

struct format_super {
    uint8_t magic[8];
    uint32_t crc32c; /* of the block behind this field */
    uint32_t version;
    uint8_t uuid[16];         /* drawn when the volume is made */
    uint64_t generation;      /* of two valid superblocks, the higher one stands */
    uint64_t volume_blocks;   /* no block at or behind this one was ever used: it never shrinks */
    uint64_t catalogue_block; /* 0 when there are no objects */
    uint64_t catalogue_blocks;
    uint64_t objects;
    uint32_t catalogue_crc32c; /* of the catalogue blocks' own checksums, in order */
    uint32_t block_bytes;      /* DISKMAP_BLOCK_BYTES */
    uint8_t reserved[4016];    /* zero */
};
_Static_assert(sizeof(struct format_super) == DISKMAP_BLOCK_BYTES, "one block");
_Static_assert(offsetof(struct format_super, crc32c) == 8, "on disk");
_Static_assert(offsetof(struct format_super, uuid) == 16, "on disk");
_Static_assert(offsetof(struct format_super, generation) == 32, "on disk");
_Static_assert(offsetof(struct format_super, objects) == 64, "on disk");
_Static_assert(offsetof(struct format_super, block_bytes) == 76, "on disk");
_Static_assert(offsetof(struct format_super, reserved) == 80, "on disk");

struct format_catalogue_header {
    uint32_t magic;
    uint32_t crc32c;     /* of the block behind this field */
    uint64_t generation; /* the superblock's */
    uint64_t index;      /* of this block within its catalogue */
    uint16_t records;    /* at least one */
    uint16_t used_bytes; /* of the block, this header included */
    uint32_t reserved;   /* zero */
};
_Static_assert(sizeof(struct format_catalogue_header) == 32, "on disk");
_Static_assert(offsetof(struct format_catalogue_header, crc32c) == 4, "on disk");
_Static_assert(offsetof(struct format_catalogue_header, index) == 16, "on disk");
_Static_assert(offsetof(struct format_catalogue_header, used_bytes) == 26, "on disk");

/* Followed by the path, then by zeros up to a multiple of FORMAT_RECORD_ALIGN. */
struct format_record {
    uint64_t first_block; /* 0 for an empty object, which occupies none */
    uint64_t bytes;
    int64_t mtime_s;
    uint64_t digest; /* of the bytes, see object_digest: with crc32c, what the ETag is made of */
    uint32_t crc32c; /* of the bytes */
    uint16_t path_bytes; /* 2 to DISKMAP_PATH_MAX */
    uint16_t reserved;   /* zero */
};
_Static_assert(sizeof(struct format_record) == 40, "on disk");
_Static_assert(offsetof(struct format_record, digest) == 24, "on disk");
_Static_assert(offsetof(struct format_record, path_bytes) == 36, "on disk");

#define FORMAT_RECORD_ALIGN 8
#define FORMAT_RECORD_MIN   (sizeof(struct format_record) + FORMAT_RECORD_ALIGN)

static inline size_t format_record_bytes(size_t path_bytes)
{
    return sizeof(struct format_record) + align_up(path_bytes, FORMAT_RECORD_ALIGN);
}

static inline uint64_t format_blocks(uint64_t bytes)
{
    return bytes / DISKMAP_BLOCK_BYTES + (bytes % DISKMAP_BLOCK_BYTES != 0);
}

#endif

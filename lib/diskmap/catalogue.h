// SPDX-License-Identifier: BSD-2-Clause
/*
 * catalogue.h - from the bytes of format.h to values that cannot be nonsense, and back.
 *
 * Nothing is believed: every block's checksum is verified, every extent lies within the volume and
 * shares no block with another, paths are well-formed, ascending and unique. Whoever receives a
 * record may use it without looking again, but only once catalogue_load has returned 0: what was
 * received before a failure is to be thrown away (`begin` says so).
 */
#ifndef DISKMAP_CATALOGUE_H
#define DISKMAP_CATALOGUE_H

#include "extent.h"
#include "format.h"

struct super {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t volume_blocks;
    uint64_t catalogue_block, catalogue_blocks;
    uint64_t objects;
    uint32_t catalogue_crc32c;
    uint32_t slot;
};

enum super_state {
    SUPER_BLANK,   /* all zeros: never written */
    SUPER_FOREIGN, /* not ours: no magic */
    SUPER_DAMAGED, /* ours, but torn, damaged or of another version */
    SUPER_VALID,   /* it may still lead to a damaged catalogue */
};

struct record {
    uint64_t first_block, bytes;
    int64_t mtime_s;
    uint64_t digest;
    uint32_t crc32c;
    uint32_t path_bytes;
    const char *path; /* without a NUL; valid only during the call */
};

struct catalogue_sink {
    int (*begin)(void *arg, const struct super *super); /* forget what came before */
    int (*record)(void *arg, const struct record *record);
    void *arg;
};

/* What catalogue_load found. */
struct catalogue {
    struct super super; /* the newest that is wholly valid */
    bool behind;        /* the other superblock is damaged: a newer one may be lost */
    enum super_state states[FORMAT_SUPERS];
    struct super supers[FORMAT_SUPERS]; /* of those whose state is SUPER_VALID */
};

bool path_is_valid(const char *path, size_t len);

/* 0, -EBADMSG (no valid volume), -ENOMEM, -EIO or what the sink returned. `why` is set in any case:
 * on success it is empty, or a warning. `used`: as below. */
must_check int catalogue_load(struct diskmap_medium *medium, const struct catalogue_sink *sink,
                              struct catalogue *out, struct extents *used, char *why,
                              size_t why_bytes);
/* One superblock's catalogue. `used` (may be NULL) receives all extents, sorted, the catalogue's
 * own included. */
must_check int catalogue_read(struct diskmap_medium *medium, const struct super *super,
                              const struct catalogue_sink *sink, struct extents *used);
must_check int super_read(struct diskmap_medium *medium, uint32_t slot, struct super *super,
                          enum super_state *state);
void super_encode(const struct super *super, struct format_super *block);

/* --- writing ---------------------------------------------------------------------------------- */

/* Cuts records into blocks; the caller takes each full block away. */
struct catalogue_writer {
    uint8_t *block; /* DISKMAP_BLOCK_BYTES, the caller's */
    uint64_t generation, index;
    uint32_t records, used_bytes;
    uint32_t crc32c; /* of the finished blocks' checksums */
};

void catalogue_writer_start(struct catalogue_writer *writer, uint64_t generation);
/* False: the block is full. Take it with catalogue_writer_finish, set another, and try again. */
bool catalogue_writer_put(struct catalogue_writer *writer, const struct record *record);
void catalogue_writer_finish(struct catalogue_writer *writer);

/* --- what an object's bytes are called -------------------------------------------------------- */

/*
 * Two sums over the bytes, in pieces of DIGEST_PIECE_BYTES (the last one may be shorter): the CRC
 * that the volume is verified with, and a 64-bit one, SipHash-1-3 of each piece keyed with what
 * came before. The same file gets the same sums on every machine, so that a client may resume at
 * another edge with the ETag that it has.
 */
#define DIGEST_PIECE_BYTES (1u << 20)

struct object_sums {
    uint64_t digest;
    uint32_t crc32c;
};

void object_sums_add(struct object_sums *sums, const void *piece, size_t bytes);
void object_etag(uint64_t etag[2], const struct record *record);

#endif

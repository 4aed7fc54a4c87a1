// SPDX-License-Identifier: BSD-2-Clause
/*
 * medium.h - a namespace of which every block's content is known.
 *
 * A block holds its version, and words that follow from version, namespace and place, so that a
 * block which is lost, torn, old or somebody else's is told from the right one. The bytes lie in a
 * file in memory (`fd`) that the controller under test is given as its medium; what it holds in the
 * end can therefore be looked at without the driver's help.
 *
 * Two requests at a time for one block are refused by medium_take, unless both read.
 */
#ifndef QTEST_MEDIUM_H
#define QTEST_MEDIUM_H

#include "base/base.h"

struct medium_block {
    uint32_t version; /* written last with success */
    uint32_t newest;  /* ... or one of those up to here, of which nothing is known */
    uint16_t readers;
    bool writer;
};

struct medium {
    uint32_t ns_id;
    uint32_t block_bytes;
    uint64_t blocks;
    struct medium_block *state;
    int fd;
    uint32_t versions; /* given out */
};

must_check bool medium_open(struct medium *medium, uint32_t ns_id, uint32_t block_bytes,
                            uint64_t bytes);
void medium_close(struct medium *medium);
/* Blocks are somebody's until medium_give. False: they are somebody else's. */
must_check bool medium_take(struct medium *medium, uint64_t lba, uint32_t count, bool write);
/* `error`: how the request ended. A write's version counts as written, or may have been. */
void medium_give(struct medium *medium, uint64_t lba, uint32_t count, bool write, uint32_t version,
                 int error);
/* What is to be written. */
void medium_fill(const struct medium *medium, uint8_t *data, uint64_t lba, uint32_t count,
                 uint32_t version);
/* NULL: `data` is what the blocks hold. Otherwise what is wrong. */
const char *medium_match(struct medium *medium, const uint8_t *data, uint64_t lba, uint32_t count);
/* The whole medium. */
const char *medium_match_all(struct medium *medium);

#endif

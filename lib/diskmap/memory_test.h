// SPDX-License-Identifier: BSD-2-Clause
/*
 * memory_test.h - for tests and fuzzing: a medium in memory, and the repair of checksums, so that
 * what lies behind them is reached by hostile bytes.
 */
#ifndef DISKMAP_MEMORY_TEST_H
#define DISKMAP_MEMORY_TEST_H

#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "catalogue.h"

#define CATALOGUE_REPAIR_BLOCKS 64

struct memory_medium {
    struct diskmap_medium pub;
    uint8_t *data;
    uint64_t capacity;    /* of data: growing block by block must not copy it every time */
    uint64_t limit_bytes; /* it does not grow beyond */
    bool used;            /* what in_use says */
    int fail_sync;        /* what the next sync returns */
};

static inline struct memory_medium *memory_of(struct diskmap_medium *medium)
{
    return container_of(medium, struct memory_medium, pub);
}

static inline int memory_pwrite(struct diskmap_medium *medium, const void *data, size_t bytes,
                                uint64_t off)
{
    if (off > medium->bytes || bytes > medium->bytes - off)
        return -EIO;
    memcpy(memory_of(medium)->data + off, data, bytes);
    return 0;
}

static inline int memory_pread(struct diskmap_medium *medium, void *data, size_t bytes,
                               uint64_t off)
{
    if (off > medium->bytes || bytes > medium->bytes - off)
        return -EIO;
    memcpy(data, memory_of(medium)->data + off, bytes);
    return 0;
}

static inline int memory_sync(struct diskmap_medium *medium)
{
    int rc = memory_of(medium)->fail_sync;

    memory_of(medium)->fail_sync = 0;
    return rc;
}

static inline int memory_resize(struct diskmap_medium *medium, uint64_t bytes)
{
    struct memory_medium *m = memory_of(medium);
    uint8_t *data;

    if (bytes > m->limit_bytes)
        return -ENOSPC;
    if (bytes > m->capacity) {
        uint64_t capacity = min_u64(max_u64(bytes, 2 * m->capacity), m->limit_bytes);

        data = realloc(m->data, capacity);
        if (!data)
            return -ENOMEM;
        m->data = data;
        m->capacity = capacity;
    }
    memset(m->data + medium->bytes, 0, bytes - medium->bytes);
    medium->bytes = bytes;
    return 0;
}

static inline bool memory_in_use(struct diskmap_medium *medium)
{
    return memory_of(medium)->used;
}

static inline void memory_init(struct memory_medium *m, uint64_t limit_bytes)
{
    *m = (struct memory_medium){.pub = {.pwrite = memory_pwrite,
                                        .pread = memory_pread,
                                        .sync = memory_sync,
                                        .resize = memory_resize,
                                        .in_use = memory_in_use},
                                .limit_bytes = limit_bytes};
}

/* Makes every checksum of one slot's superblock and catalogue right, whatever the fields say. */
static inline void memory_repair(struct memory_medium *m, uint32_t slot)
{
    struct format_super super;
    uint64_t blocks = m->pub.bytes / DISKMAP_BLOCK_BYTES;
    uint32_t crc = 0;

    if (blocks <= slot)
        return;
    memcpy(&super, m->data + slot * DISKMAP_BLOCK_BYTES, sizeof(super));
    for (uint64_t i = 0; i < super.catalogue_blocks && i < CATALOGUE_REPAIR_BLOCKS; i++) {
        uint64_t block = super.catalogue_block + i;
        uint8_t *p = m->data + block * DISKMAP_BLOCK_BYTES;
        uint32_t block_crc;

        if (block < FORMAT_SUPERS || block >= blocks)
            break;
        block_crc = crc32c(0, p + 8, DISKMAP_BLOCK_BYTES - 8);
        memcpy(p + 4, &block_crc, sizeof(block_crc));
        crc = crc32c(crc, &block_crc, sizeof(block_crc));
    }
    super.catalogue_crc32c = crc;
    super.crc32c = crc32c(0, &super.version, sizeof(super) - 12);
    memcpy(m->data + slot * DISKMAP_BLOCK_BYTES, &super, sizeof(super));
}

/* --- objects with known bytes ----------------------------------------------------------------- */

/* The byte at `off` of the object with this seed. */
static inline uint8_t pattern_at(uint64_t seed, uint64_t off)
{
    uint64_t x = (off >> 3) * 0x9e3779b97f4a7c15ull + seed * 0xd1342543de82ef95ull;

    x ^= x >> 29;
    return (uint8_t)(x >> ((off & 7) * 8));
}

struct pattern {
    uint64_t seed, off, bytes;
    size_t most; /* bytes returned at once; 0: as asked */
};

static inline int64_t pattern_fetch(void *arg, void *buf, size_t bytes)
{
    struct pattern *p = arg;
    uint64_t n = min_u64(bytes, p->bytes - p->off);

    if (p->most)
        n = min_u64(n, p->most);
    for (uint64_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = pattern_at(p->seed, p->off + i);
    p->off += n;
    return (int64_t)n;
}

/* A sink that compares; -EILSEQ. */
static inline int pattern_sink(void *arg, const void *data, size_t bytes)
{
    struct pattern *p = arg;

    for (size_t i = 0; i < bytes; i++) {
        if (((const uint8_t *)data)[i] != pattern_at(p->seed, p->off + i))
            return -EILSEQ;
    }
    p->off += bytes;
    return 0;
}

static inline int pattern_add(struct diskmap_volume *volume, const char *path, uint64_t seed,
                              uint64_t bytes)
{
    struct pattern p = {.seed = seed, .bytes = bytes};

    return diskmap_volume_add(volume, path, (int64_t)seed, bytes, pattern_fetch, &p);
}

#endif

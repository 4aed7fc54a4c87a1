// SPDX-License-Identifier: BSD-2-Clause
#include "disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_BYTES (256u << 10)
#define BLOCK_MAX   4096

static void block_fill(const struct disk *disk, uint64_t *words, uint64_t lba, uint32_t version)
{
    uint64_t x = ((uint64_t)version << 32 | disk->ns_id) * 0x9e3779b97f4a7c15ull ^ lba << 20;

    words[0] = version;
    for (uint32_t i = 1; i < disk->block_bytes / 8; i++)
        words[i] = x += 0xd1342543de82ef95ull;
}

void disk_fill(const struct disk *disk, uint8_t *data, uint64_t lba, uint32_t count,
               uint32_t version)
{
    uint64_t words[BLOCK_MAX / 8];

    for (uint32_t i = 0; i < count; i++) {
        block_fill(disk, words, lba + i, version);
        memcpy(data + (size_t)i * disk->block_bytes, words, disk->block_bytes);
    }
}

bool disk_open(struct disk *disk, uint32_t ns_id, uint32_t block_bytes, uint64_t bytes)
{
    uint8_t *medium;

    *disk =
        (struct disk){.ns_id = ns_id, .block_bytes = block_bytes, .blocks = bytes / block_bytes};
    disk->state = calloc(disk->blocks, sizeof(*disk->state));
    disk->fd = memfd_create("disk", 0);
    if (!disk->state || disk->fd < 0 || ftruncate(disk->fd, (off_t)bytes))
        return false;
    medium = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, disk->fd, 0);
    if (medium == MAP_FAILED)
        return false;
    disk_fill(disk, medium, 0, (uint32_t)disk->blocks, 0);
    munmap(medium, bytes);
    return true;
}

void disk_close(struct disk *disk)
{
    free(disk->state);
    close(disk->fd);
}

bool disk_take(struct disk *disk, uint64_t lba, uint32_t count, bool write)
{
    struct disk_block *blocks = &disk->state[lba];

    for (uint32_t i = 0; i < count; i++)
        if (blocks[i].writer || (write && blocks[i].readers))
            return false;
    for (uint32_t i = 0; i < count; i++) {
        blocks[i].writer = write;
        blocks[i].readers += !write;
    }
    return true;
}

void disk_give(struct disk *disk, uint64_t lba, uint32_t count, bool write, uint32_t version,
               int error)
{
    struct disk_block *blocks = &disk->state[lba];

    for (uint32_t i = 0; i < count; i++) {
        if (!write) {
            blocks[i].readers--;
            continue;
        }
        blocks[i].writer = false;
        blocks[i].newest = version;
        if (!error)
            blocks[i].version = version;
    }
}

const char *disk_match(struct disk *disk, const uint8_t *data, uint64_t lba, uint32_t count)
{
    static char what[160];
    uint64_t have[BLOCK_MAX / 8], want[BLOCK_MAX / 8];

    for (uint32_t i = 0; i < count; i++) {
        struct disk_block *block = &disk->state[lba + i];

        memcpy(have, data + (size_t)i * disk->block_bytes, disk->block_bytes);
        block_fill(disk, want, lba + i, (uint32_t)have[0]);
        if (memcmp(have, want, disk->block_bytes)) {
            snprintf(what, sizeof(what),
                     "block %" PRIu64 " of namespace %u has bytes that nobody wrote there", lba + i,
                     disk->ns_id);
            return what;
        }
        if (have[0] < block->version || have[0] > block->newest) {
            snprintf(what, sizeof(what),
                     "block %" PRIu64 " of namespace %u has version %" PRIu64 ", not %u to %u",
                     lba + i, disk->ns_id, have[0], block->version, block->newest);
            return what;
        }
        // Whoever reads it again finds the same.
        block->version = block->newest = (uint32_t)have[0];
    }
    return NULL;
}

const char *disk_match_medium(struct disk *disk)
{
    static uint8_t chunk[CHUNK_BYTES];
    uint32_t step = CHUNK_BYTES / disk->block_bytes;

    for (uint64_t lba = 0; lba < disk->blocks; lba += step) {
        uint32_t count = (uint32_t)min_u64(step, disk->blocks - lba);
        size_t bytes = (size_t)count * disk->block_bytes;
        const char *what;

        if (pread(disk->fd, chunk, bytes, (off_t)(lba * disk->block_bytes)) != (ssize_t)bytes)
            return "the medium cannot be read";
        what = disk_match(disk, chunk, lba, count);
        if (what)
            return what;
    }
    return NULL;
}

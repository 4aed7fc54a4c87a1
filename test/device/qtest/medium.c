// SPDX-License-Identifier: BSD-2-Clause
#include "medium.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_BYTES (256u << 10)
#define BLOCK_MAX   4096

static void block_fill(const struct medium *medium, uint64_t *words, uint64_t lba, uint32_t version)
{
    uint64_t x = ((uint64_t)version << 32 | medium->ns_id) * 0x9e3779b97f4a7c15ull ^ lba << 20;

    words[0] = version;
    for (uint32_t i = 1; i < medium->block_bytes / 8; i++)
        words[i] = x += 0xd1342543de82ef95ull;
}

void medium_fill(const struct medium *medium, uint8_t *data, uint64_t lba, uint32_t count,
                 uint32_t version)
{
    uint64_t words[BLOCK_MAX / 8];

    for (uint32_t i = 0; i < count; i++) {
        block_fill(medium, words, lba + i, version);
        memcpy(data + (size_t)i * medium->block_bytes, words, medium->block_bytes);
    }
}

bool medium_open(struct medium *medium, uint32_t ns_id, uint32_t block_bytes, uint64_t bytes)
{
    uint8_t *image;

    *medium =
        (struct medium){.ns_id = ns_id, .block_bytes = block_bytes, .blocks = bytes / block_bytes};
    medium->state = calloc(medium->blocks, sizeof(*medium->state));
    medium->fd = memfd_create("disk", 0);
    if (!medium->state || medium->fd < 0 || ftruncate(medium->fd, (off_t)bytes))
        return false;
    image = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, medium->fd, 0);
    if (image == MAP_FAILED)
        return false;
    medium_fill(medium, image, 0, (uint32_t)medium->blocks, 0);
    munmap(image, bytes);
    return true;
}

void medium_close(struct medium *medium)
{
    free(medium->state);
    close(medium->fd);
}

bool medium_take(struct medium *medium, uint64_t lba, uint32_t count, bool write)
{
    struct medium_block *blocks = &medium->state[lba];

    for (uint32_t i = 0; i < count; i++)
        if (blocks[i].writer || (write && blocks[i].readers))
            return false;
    for (uint32_t i = 0; i < count; i++) {
        blocks[i].writer = write;
        blocks[i].readers += !write;
    }
    return true;
}

void medium_give(struct medium *medium, uint64_t lba, uint32_t count, bool write, uint32_t version,
                 int error)
{
    struct medium_block *blocks = &medium->state[lba];

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

const char *medium_match(struct medium *medium, const uint8_t *data, uint64_t lba, uint32_t count)
{
    static char what[160];
    uint64_t have[BLOCK_MAX / 8], want[BLOCK_MAX / 8];

    for (uint32_t i = 0; i < count; i++) {
        struct medium_block *block = &medium->state[lba + i];

        memcpy(have, data + (size_t)i * medium->block_bytes, medium->block_bytes);
        block_fill(medium, want, lba + i, (uint32_t)have[0]);
        if (memcmp(have, want, medium->block_bytes)) {
            snprintf(what, sizeof(what),
                     "block %" PRIu64 " of namespace %u has bytes that nobody wrote there", lba + i,
                     medium->ns_id);
            return what;
        }
        if (have[0] < block->version || have[0] > block->newest) {
            snprintf(what, sizeof(what),
                     "block %" PRIu64 " of namespace %u has version %" PRIu64 ", not %u to %u",
                     lba + i, medium->ns_id, have[0], block->version, block->newest);
            return what;
        }
        // Whoever reads it again finds the same.
        block->version = block->newest = (uint32_t)have[0];
    }
    return NULL;
}

const char *medium_match_all(struct medium *medium)
{
    static uint8_t chunk[CHUNK_BYTES];
    uint32_t step = CHUNK_BYTES / medium->block_bytes;

    for (uint64_t lba = 0; lba < medium->blocks; lba += step) {
        uint32_t count = (uint32_t)min_u64(step, medium->blocks - lba);
        size_t bytes = (size_t)count * medium->block_bytes;
        const char *what;

        if (pread(medium->fd, chunk, bytes, (off_t)(lba * medium->block_bytes)) != (ssize_t)bytes)
            return "the medium cannot be read";
        what = medium_match(medium, chunk, lba, count);
        if (what)
            return what;
    }
    return NULL;
}

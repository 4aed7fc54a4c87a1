// SPDX-License-Identifier: BSD-2-Clause
#include "image.h"

#include <stdio.h>
#include <stdlib.h>

#define WORDS        (SECTOR_BYTES / sizeof(uint64_t))
#define IMAGE_WRITER UINT8_MAX
#define MIX          0x9e3779b97f4a7c15ull

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9ull;
    return x ^ x >> 29;
}

static uint64_t identity(uint32_t number, uint32_t generation)
{
    return (uint64_t)number << 32 | generation;
}

void sector_fill(void *sector, uint32_t number, uint32_t index, uint32_t generation)
{
    uint64_t *words = sector;
    uint64_t state = mix(identity(number, generation) + MIX * (index + 1));

    words[0] = index;
    words[1] = identity(number, generation);
    for (size_t i = 2; i < WORDS; i++)
        words[i] = mix(state += MIX);
}

static bool sector_is(const void *sector, uint32_t number, uint32_t index, uint32_t generation)
{
    const uint64_t *words = sector;
    uint64_t state = mix(identity(number, generation) + MIX * (index + 1));
    uint64_t wrong = (words[0] ^ index) | (words[1] ^ identity(number, generation));

    for (size_t i = 2; i < WORDS; i++)
        wrong |= words[i] ^ mix(state += MIX);
    return !wrong;
}

uint64_t sector_digest(const void *sector)
{
    const uint64_t *words = sector;
    uint64_t sum = 0;

    // A word's place counts, and so does the sector's, which is its first word.
    for (size_t i = 0; i < WORDS; i++)
        sum = mix(sum + words[i] + MIX);
    return sum;
}

bool image_init(struct image *image, uint32_t number, uint32_t sectors)
{
    *image = (struct image){.number = number, .sectors = sectors};
    image->generations = calloc(sectors, sizeof(*image->generations));
    image->busy = calloc(sectors, sizeof(*image->busy));
    return image->generations && image->busy;
}

void image_free(struct image *image)
{
    free(image->generations);
    free(image->busy);
}

void image_fill(const struct image *image, void *buf, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sector_fill((char *)buf + (size_t)i * SECTOR_BYTES, image->number, first + i,
                    image->generations[first + i] + 1);
}

bool image_check(const struct image *image, const void *buf, uint32_t first, uint32_t count,
                 char *what, size_t what_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t *words = (const void *)((const char *)buf + (size_t)i * SECTOR_BYTES);

        if (sector_is(words, image->number, first + i, image->generations[first + i]))
            continue;
        snprintf(what, what_bytes,
                 "sector %u of disk %u, generation %u, begins with %016llx %016llx", first + i,
                 image->number, image->generations[first + i], (unsigned long long)words[0],
                 (unsigned long long)words[1]);
        return false;
    }
    return true;
}

bool image_adopt(struct image *image, const void *sector, uint32_t index)
{
    uint32_t generation = (uint32_t)((const uint64_t *)sector)[1];

    image->generations[index] = generation;
    return sector_is(sector, image->number, index, generation);
}

void image_written(struct image *image, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        image->generations[i]++;
}

uint64_t image_digest(const struct image *image)
{
    uint64_t sector[WORDS], sum = 0;

    for (uint32_t i = 0; i < image->sectors; i++) {
        sector_fill(sector, image->number, i, image->generations[i]);
        sum += sector_digest(sector);
    }
    return sum;
}

bool image_take(struct image *image, uint32_t first, uint32_t count, bool write)
{
    for (uint32_t i = first; i < first + count; i++)
        if (image->busy[i] >= (write ? 1 : IMAGE_WRITER - 1))
            return false;
    for (uint32_t i = first; i < first + count; i++)
        image->busy[i] = write ? IMAGE_WRITER : (uint8_t)(image->busy[i] + 1);
    return true;
}

void image_give(struct image *image, uint32_t first, uint32_t count, bool write)
{
    for (uint32_t i = first; i < first + count; i++)
        image->busy[i] = write ? 0 : (uint8_t)(image->busy[i] - 1);
}

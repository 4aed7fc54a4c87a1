// SPDX-License-Identifier: BSD-2-Clause
#include "catalogue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/siphash.h"

#define CATALOGUE_BATCH_BLOCKS 256 /* read at once: 1 MiB */

bool path_is_valid(const char *path, size_t len)
{
    size_t segment = 0;

    if (len < 2 || len > DISKMAP_PATH_MAX || path[0] != '/' || path[len - 1] == '/')
        return false;
    if (memchr(path, 0, len))
        return false;
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/') {
            segment++;
            continue;
        }
        if (segment == 0 || (segment == 1 && path[i - 1] == '.') ||
            (segment == 2 && path[i - 1] == '.' && path[i - 2] == '.'))
            return false;
        segment = 0;
    }
    return true;
}

/* --- superblocks ------------------------------------------------------------------------------ */

static uint32_t super_crc(const struct format_super *block)
{
    return crc32c(0, &block->version, sizeof(*block) - offsetof(struct format_super, version));
}

/* Whether [first, first + count) lies behind the superblocks and before `end`; cannot overflow. */
static bool run_is_within(uint64_t first, uint64_t count, uint64_t end)
{
    return first >= FORMAT_SUPERS && count > 0 && first < end && count <= end - first;
}

static bool super_is_sound(const struct super *super, uint64_t medium_blocks)
{
    if (super->volume_blocks < FORMAT_SUPERS || super->volume_blocks > medium_blocks)
        return false;
    if (super->objects == 0)
        return super->catalogue_block == 0 && super->catalogue_blocks == 0;
    if (!run_is_within(super->catalogue_block, super->catalogue_blocks, super->volume_blocks))
        return false;
    // No table is made larger than the blocks that are there to fill it. Within 2^52 blocks the
    // product cannot overflow, and more do not fit a 64-bit byte offset.
    return super->objects <= super->catalogue_blocks * (DISKMAP_BLOCK_BYTES / FORMAT_RECORD_MIN);
}

int super_read(struct diskmap_medium *medium, uint32_t slot, struct super *super,
               enum super_state *state)
{
    static const struct format_super blank;
    struct format_super block;
    uint64_t medium_blocks = medium->bytes / DISKMAP_BLOCK_BYTES;
    int rc;

    *state = SUPER_FOREIGN;
    if (medium_blocks <= slot)
        return 0;
    rc = medium->pread(medium, &block, sizeof(block), (uint64_t)slot * DISKMAP_BLOCK_BYTES);
    if (rc)
        return rc;
    if (!memcmp(&block, &blank, sizeof(block))) {
        *state = SUPER_BLANK;
        return 0;
    }
    if (memcmp(block.magic, FORMAT_SUPER_MAGIC, sizeof(block.magic)))
        return 0;
    *state = SUPER_DAMAGED;
    if (block.crc32c != super_crc(&block) || block.version != FORMAT_VERSION ||
        block.block_bytes != DISKMAP_BLOCK_BYTES)
        return 0;
    *super = (struct super){.generation = block.generation,
                            .volume_blocks = block.volume_blocks,
                            .catalogue_block = block.catalogue_block,
                            .catalogue_blocks = block.catalogue_blocks,
                            .objects = block.objects,
                            .catalogue_crc32c = block.catalogue_crc32c,
                            .slot = slot};
    memcpy(super->uuid, block.uuid, sizeof(super->uuid));
    if (super_is_sound(super, medium_blocks))
        *state = SUPER_VALID;
    return 0;
}

void super_encode(const struct super *super, struct format_super *block)
{
    *block = (struct format_super){.version = FORMAT_VERSION,
                                   .generation = super->generation,
                                   .volume_blocks = super->volume_blocks,
                                   .catalogue_block = super->catalogue_block,
                                   .catalogue_blocks = super->catalogue_blocks,
                                   .objects = super->objects,
                                   .catalogue_crc32c = super->catalogue_crc32c,
                                   .block_bytes = DISKMAP_BLOCK_BYTES};
    memcpy(block->magic, FORMAT_SUPER_MAGIC, sizeof(block->magic));
    memcpy(block->uuid, super->uuid, sizeof(block->uuid));
    block->crc32c = super_crc(block);
}

#define HOLDS_LOOK_BYTES (128u << 10) /* file systems put their superblocks in the first 64 KiB */

enum diskmap_holds diskmap_medium_holds(struct diskmap_medium *medium)
{
    uint64_t piece[DISKMAP_BLOCK_BYTES / sizeof(uint64_t)];

    for (uint32_t i = 0; i < FORMAT_SUPERS; i++) {
        enum super_state state;
        struct super super;

        if (!super_read(medium, i, &super, &state) &&
            (state == SUPER_VALID || state == SUPER_DAMAGED))
            return DISKMAP_HOLDS_VOLUME;
    }
    for (uint64_t off = 0; off < min_u64(medium->bytes, HOLDS_LOOK_BYTES); off += sizeof(piece)) {
        size_t bytes = min_u64(medium->bytes - off, sizeof(piece));

        memset(piece, 0, sizeof(piece));
        if (medium->pread(medium, piece, bytes, off))
            return DISKMAP_HOLDS_OTHER;
        for (size_t i = 0; i < array_len(piece); i++) {
            if (piece[i])
                return DISKMAP_HOLDS_OTHER;
        }
    }
    return DISKMAP_HOLDS_NOTHING;
}

/* --- one catalogue ---------------------------------------------------------------------------- */

struct reading {
    const struct super *super;
    const struct catalogue_sink *sink;
    struct extents *used;
    uint64_t index; /* the block's */
    uint64_t objects;
    uint32_t crc32c;
    size_t last_path_bytes;
    char last_path[DISKMAP_PATH_MAX];
};

static bool path_ascends(struct reading *r, const char *path, size_t len)
{
    size_t common = len < r->last_path_bytes ? len : r->last_path_bytes;
    int order = memcmp(r->last_path, path, common);

    if (order > 0 || (order == 0 && r->last_path_bytes >= len))
        return false;
    memcpy(r->last_path, path, len);
    r->last_path_bytes = len;
    return true;
}

/* Takes one record at `p`, of which `left` bytes are in use; its length, or -errno. */
static int read_record(struct reading *r, const uint8_t *p, size_t left)
{
    struct format_record disk;
    struct record record;
    size_t bytes;
    int rc;

    if (left < sizeof(disk))
        return -EBADMSG;
    memcpy(&disk, p, sizeof(disk));
    bytes = format_record_bytes(disk.path_bytes);
    if (bytes > left)
        return -EBADMSG;
    record = (struct record){.first_block = disk.first_block,
                             .bytes = disk.bytes,
                             .mtime_s = disk.mtime_s,
                             .digest = disk.digest,
                             .crc32c = disk.crc32c,
                             .path_bytes = disk.path_bytes,
                             .path = (const char *)p + sizeof(disk)};
    if (!path_is_valid(record.path, record.path_bytes) ||
        !path_ascends(r, record.path, record.path_bytes))
        return -EBADMSG;
    if (record.bytes == 0 && record.first_block != 0)
        return -EBADMSG;
    if (record.bytes > 0) {
        uint64_t blocks = format_blocks(record.bytes);

        if (!run_is_within(record.first_block, blocks, r->super->volume_blocks))
            return -EBADMSG;
        rc = extents_push(r->used, record.first_block, blocks);
        if (rc)
            return rc;
    }
    if (++r->objects > r->super->objects)
        return -EBADMSG;
    rc = r->sink ? r->sink->record(r->sink->arg, &record) : 0;
    return rc ? rc : (int)bytes;
}

static int read_block(struct reading *r, const uint8_t *block)
{
    struct format_catalogue_header header;
    size_t at = sizeof(header);

    memcpy(&header, block, sizeof(header));
    if (header.magic != FORMAT_CATALOGUE_MAGIC || header.generation != r->super->generation ||
        header.index != r->index || header.records == 0 ||
        header.used_bytes > DISKMAP_BLOCK_BYTES || header.used_bytes < at)
        return -EBADMSG;
    if (header.crc32c != crc32c(0, block + 8, DISKMAP_BLOCK_BYTES - 8))
        return -EBADMSG;
    r->crc32c = crc32c(r->crc32c, &header.crc32c, sizeof(header.crc32c));
    r->index++;
    for (uint32_t i = 0; i < header.records; i++) {
        int rc = read_record(r, block + at, header.used_bytes - at);

        if (rc < 0)
            return rc;
        at += (size_t)rc;
    }
    return at == header.used_bytes ? 0 : -EBADMSG;
}

static int read_blocks(struct reading *r, struct diskmap_medium *medium, uint8_t *batch)
{
    const struct super *super = r->super;
    int rc;

    while (r->index < super->catalogue_blocks) {
        uint64_t count = min_u64(super->catalogue_blocks - r->index, CATALOGUE_BATCH_BLOCKS);

        rc = medium->pread(medium, batch, count * DISKMAP_BLOCK_BYTES,
                           (super->catalogue_block + r->index) * DISKMAP_BLOCK_BYTES);
        for (uint64_t i = 0; !rc && i < count; i++)
            rc = read_block(r, batch + i * DISKMAP_BLOCK_BYTES);
        if (rc)
            return rc;
    }
    return 0;
}

int catalogue_read(struct diskmap_medium *medium, const struct super *super,
                   const struct catalogue_sink *sink, struct extents *used)
{
    struct extents extents = {0};
    struct reading r = {.super = super, .sink = sink, .used = &extents};
    uint64_t batch_blocks = min_u64(super->catalogue_blocks, CATALOGUE_BATCH_BLOCKS);
    uint8_t *batch = malloc(max_u64(batch_blocks, 1) * DISKMAP_BLOCK_BYTES);
    int rc = batch ? 0 : -ENOMEM;

    if (!rc && sink)
        rc = sink->begin(sink->arg, super);
    if (!rc)
        rc = read_blocks(&r, medium, batch);
    free(batch);
    if (!rc && (r.objects != super->objects || r.crc32c != super->catalogue_crc32c))
        rc = -EBADMSG;
    if (!rc && super->catalogue_blocks)
        rc = extents_push(&extents, super->catalogue_block, super->catalogue_blocks);
    if (!rc && !extents_sort(&extents))
        rc = -EBADMSG;
    if (!rc && used) {
        *used = extents;
        return 0;
    }
    extents_free(&extents);
    return rc;
}

/* --- the newest of two ------------------------------------------------------------------------ */

static int load_failed(const struct catalogue *c, int rc, char *why, size_t why_bytes)
{
    if (rc == -ENOMEM)
        snprintf(why, why_bytes, "not enough memory to load the catalogue");
    else if (c->states[0] == SUPER_FOREIGN && c->states[1] == SUPER_FOREIGN)
        snprintf(why, why_bytes, "this is not an atlas volume: make one with 'atlas pack'");
    else if (c->states[0] == SUPER_BLANK && c->states[1] == SUPER_BLANK)
        snprintf(why, why_bytes, "there is no volume here yet: make one with 'atlas pack'");
    else if (rc == -EBADMSG)
        snprintf(why, why_bytes,
                 "it has no whole catalogue: it is damaged or was never finished, pack it again");
    else
        snprintf(why, why_bytes, "cannot read the catalogue: %s", strerror(-rc));
    return rc;
}

static int load_supers(struct diskmap_medium *medium, struct catalogue *c)
{
    int rc = -EBADMSG;

    for (uint32_t i = 0; i < FORMAT_SUPERS; i++) {
        int err = super_read(medium, i, &c->supers[i], &c->states[i]);

        if (err) {
            // A sector that cannot be read is damage like any other; the other slot may do.
            c->states[i] = SUPER_DAMAGED;
            rc = err;
        }
        c->behind |= c->states[i] == SUPER_DAMAGED || c->states[i] == SUPER_FOREIGN;
    }
    return rc;
}

static void load_succeeded(struct catalogue *c, uint32_t slot, char *why, size_t why_bytes)
{
    c->super = c->supers[slot];
    // Only a volume that was just made has never had another superblock.
    c->behind |= c->states[slot ^ 1] == SUPER_BLANK && c->super.generation > 1;
    snprintf(why, why_bytes, "%s", "");
    if (c->behind)
        snprintf(why, why_bytes,
                 "one of the two catalogues is damaged, by a crash during a change or by the disk: "
                 "what stands is generation %llu; if it lacks something, add it again",
                 (unsigned long long)c->super.generation);
}

int catalogue_load(struct diskmap_medium *medium, const struct catalogue_sink *sink,
                   struct catalogue *out, struct extents *used, char *why, size_t why_bytes)
{
    struct catalogue *c = out;
    uint32_t first;
    int rc;

    *c = (struct catalogue){0};
    rc = load_supers(medium, c);
    first = c->states[1] == SUPER_VALID &&
            (c->states[0] != SUPER_VALID || c->supers[1].generation > c->supers[0].generation);
    for (uint32_t i = 0; i < FORMAT_SUPERS; i++) {
        uint32_t slot = first ^ i;

        if (c->states[slot] != SUPER_VALID)
            continue;
        rc = catalogue_read(medium, &c->supers[slot], sink, used);
        if (!rc) {
            load_succeeded(c, slot, why, why_bytes);
            return 0;
        }
        if (rc == -ENOMEM)
            break;
        c->behind = true;
    }
    return load_failed(c, rc, why, why_bytes);
}

/* --- writing ---------------------------------------------------------------------------------- */

void catalogue_writer_start(struct catalogue_writer *writer, uint64_t generation)
{
    *writer = (struct catalogue_writer){.generation = generation};
}

bool catalogue_writer_put(struct catalogue_writer *writer, const struct record *record)
{
    struct format_record disk = {.first_block = record->first_block,
                                 .bytes = record->bytes,
                                 .mtime_s = record->mtime_s,
                                 .digest = record->digest,
                                 .crc32c = record->crc32c,
                                 .path_bytes = (uint16_t)record->path_bytes};
    size_t bytes = format_record_bytes(record->path_bytes);
    uint8_t *p;

    if (!writer->records) {
        memset(writer->block, 0, DISKMAP_BLOCK_BYTES);
        writer->used_bytes = sizeof(struct format_catalogue_header);
    }
    if (bytes > DISKMAP_BLOCK_BYTES - writer->used_bytes)
        return false;
    p = writer->block + writer->used_bytes;
    memcpy(p, &disk, sizeof(disk));
    memcpy(p + sizeof(disk), record->path, record->path_bytes);
    writer->used_bytes += (uint32_t)bytes;
    writer->records++;
    return true;
}

void catalogue_writer_finish(struct catalogue_writer *writer)
{
    struct format_catalogue_header header = {.magic = FORMAT_CATALOGUE_MAGIC,
                                             .generation = writer->generation,
                                             .index = writer->index,
                                             .records = (uint16_t)writer->records,
                                             .used_bytes = (uint16_t)writer->used_bytes};

    memcpy(writer->block, &header, sizeof(header));
    header.crc32c = crc32c(0, writer->block + 8, DISKMAP_BLOCK_BYTES - 8);
    put_le32(writer->block + offsetof(struct format_catalogue_header, crc32c), header.crc32c);
    writer->crc32c = crc32c(writer->crc32c, &header.crc32c, sizeof(header.crc32c));
    writer->index++;
    writer->records = 0;
}

/* --- what an object's bytes are called -------------------------------------------------------- */

void object_sums_add(struct object_sums *sums, const void *piece, size_t bytes)
{
    const uint64_t key[2] = {sums->digest, bytes};

    assert(bytes <= DIGEST_PIECE_BYTES);
    sums->digest = siphash13(key, piece, bytes);
    sums->crc32c = crc32c(sums->crc32c, piece, bytes);
}

void object_etag(uint64_t etag[2], const struct record *record)
{
    static const uint64_t key[2] = {0x61746c6173206574, 0x6167206f626a6563};
    const uint64_t facts[3] = {record->bytes, (uint64_t)record->mtime_s, record->crc32c};

    etag[0] = record->digest;
    etag[1] = siphash13(key, facts, sizeof(facts));
}

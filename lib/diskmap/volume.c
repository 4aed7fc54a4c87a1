// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume.c - making and changing a volume; the order of writes is format.h's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "catalogue.h"
#include "pathmap.h"

#define BUFFER_BYTES                                                                               \
    (2 * DIGEST_PIECE_BYTES)          /* one piece and whatever small ones lie before it           \
                                       */
#define OBJECT_BYTES_MAX (1ull << 60) /* block arithmetic stays far from overflow */

struct entry {
    const char *path;
    uint64_t first_block, bytes;
    int64_t mtime_s;
    uint64_t digest;
    uint32_t crc32c;
    uint16_t path_bytes;
    bool removed; /* swept out when the entries are put in order */
};

struct diskmap_volume {
    struct diskmap_medium *medium;
    struct super super; /* what stands on disk */
    bool behind;
    bool failed;  /* to write or to sync: what lies on disk is unknown */
    bool changed; /* since then */

    struct entry *entries;
    uint64_t count, capacity, removed;
    bool ordered; /* by path, and none of them removed */
    struct pathmap map;
    struct paths paths;

    struct extents
        used[FORMAT_SUPERS]; /* blocks that the standing catalogue and the one before use */
    bool used_both;          /* used[1] is known */
    struct space space;
    bool space_open; /* a transaction has begun */

    uint8_t *buffer; /* what lies at buffer_block and goes out in one write */
    uint64_t buffer_block;
    size_t buffer_bytes;
};

/* --- writing through the buffer --------------------------------------------------------------- */

static int buffer_flush(struct diskmap_volume *v)
{
    struct diskmap_medium *m = v->medium;
    int rc;

    if (!v->buffer_bytes)
        return 0;
    rc = m->pwrite(m, v->buffer, v->buffer_bytes, v->buffer_block * DISKMAP_BLOCK_BYTES);
    v->buffer_bytes = 0;
    v->failed |= rc != 0;
    return rc;
}

/* A kernel that could not write something says so once, and may then take it for written: no second
 * attempt can be trusted. */
static int volume_sync(struct diskmap_volume *v)
{
    int rc = v->medium->sync(v->medium);

    v->failed |= rc != 0;
    return rc;
}

/* Where `bytes` that belong at `block` are to be put; they count once buffer_keep is called. */
static int buffer_at(struct diskmap_volume *v, uint64_t block, size_t bytes, uint8_t **at)
{
    bool follows = v->buffer_block + v->buffer_bytes / DISKMAP_BLOCK_BYTES == block;

    if (v->buffer_bytes && (!follows || v->buffer_bytes + bytes > BUFFER_BYTES)) {
        int rc = buffer_flush(v);

        if (rc)
            return rc;
    }
    if (!v->buffer_bytes)
        v->buffer_block = block;
    *at = v->buffer + v->buffer_bytes;
    return 0;
}

static void buffer_keep(struct diskmap_volume *v, size_t bytes)
{
    size_t whole = align_up(bytes, DISKMAP_BLOCK_BYTES);

    memset(v->buffer + v->buffer_bytes + bytes, 0, whole - bytes);
    v->buffer_bytes += whole;
}

/* --- free space ------------------------------------------------------------------------------- */

/* The other superblock leads to blocks as well, as long as it is valid. */
static int used_load_other(struct diskmap_volume *v)
{
    uint32_t slot = v->super.slot ^ 1;
    enum super_state state;
    struct super other;
    int rc;

    if (v->used_both)
        return 0;
    rc = super_read(v->medium, slot, &other, &state);
    if (!rc && state == SUPER_VALID)
        rc = catalogue_read(v->medium, &other, NULL, &v->used[1]);
    // A catalogue that is damaged is nothing to go back to. One that could not be read might be.
    if (rc && rc != -EBADMSG)
        return rc;
    v->used_both = true;
    return 0;
}

/* Decides, once for each transaction, which blocks it may write to. */
static int space_begin(struct diskmap_volume *v)
{
    const struct extents *used[] = {&v->used[0], &v->used[1]};
    struct diskmap_medium *m = v->medium;
    uint64_t end = v->super.volume_blocks;
    int rc;

    if (v->space_open)
        return 0;
    if (m->in_use && m->in_use(m)) {
        // A server may have opened any generation there ever was. They all end before `end`, if we
        // know the newest. One that opens the volume from now on finds a catalogue that stands.
        if (v->behind)
            return -EBUSY;
        rc = space_init(&v->space, end, end, NULL, 0);
    } else {
        rc = used_load_other(v);
        if (!rc)
            rc = space_init(&v->space, FORMAT_SUPERS, end, used, array_len(used));
    }
    v->space_open = !rc;
    return rc;
}

static void space_finish(struct diskmap_volume *v)
{
    if (v->space_open)
        space_free(&v->space);
    v->space_open = false;
}

static int space_get(struct diskmap_volume *v, uint64_t blocks, uint64_t *first)
{
    struct diskmap_medium *m = v->medium;
    uint64_t bytes;
    int rc = space_begin(v);

    if (rc)
        return rc;
    *first = space_take(&v->space, blocks);
    bytes = v->space.end * DISKMAP_BLOCK_BYTES;
    if (bytes <= m->bytes)
        return 0;
    rc = m->resize(m, bytes);
    if (rc)
        v->space.end = *first;
    return rc;
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct entry *entry_find(const struct diskmap_volume *v, const char *path, size_t len,
                                uint64_t hash)
{
    struct pathmap_probe probe = pathmap_start(hash);
    uint32_t i;

    while ((i = pathmap_next(&v->map, &probe)) != PATHMAP_NONE) {
        struct entry *e = &v->entries[i];

        if (e->path_bytes == len && !memcmp(e->path, path, len))
            return e;
    }
    return NULL;
}

static bool entry_follows(const struct entry *before, const char *path, size_t len)
{
    size_t common = before->path_bytes < len ? before->path_bytes : len;
    int order = memcmp(before->path, path, common);

    return order < 0 || (order == 0 && before->path_bytes < len);
}

static int entries_reserve(struct diskmap_volume *v, uint64_t count)
{
    struct entry *entries;
    uint64_t capacity = v->capacity ? v->capacity : 64;

    if (count > PATHMAP_MAX)
        return -ENOMEM;
    while (capacity < count)
        capacity *= 2;
    if (capacity == v->capacity)
        return 0;
    entries = realloc(v->entries, capacity * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    v->entries = entries;
    v->capacity = capacity;
    return 0;
}

/* A new entry behind the others, not in use yet ("removed"). */
static int entry_append(struct diskmap_volume *v, const char *path, size_t len, uint64_t hash,
                        struct entry **out)
{
    const char *copy;
    int rc = entries_reserve(v, v->count + 1);

    if (rc)
        return rc;
    copy = paths_keep(&v->paths, path, len);
    if (!copy)
        return -ENOMEM;
    rc = pathmap_add(&v->map, hash, (uint32_t)v->count);
    if (rc)
        return rc;
    if (v->count && v->ordered)
        v->ordered = entry_follows(&v->entries[v->count - 1], path, len);
    *out = &v->entries[v->count++];
    **out = (struct entry){.path = copy, .path_bytes = (uint16_t)len, .removed = true};
    v->removed++;
    return 0;
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return entry_follows(x, y->path, y->path_bytes) ? -1 : 1;
}

/* Sweeps out what was removed and sorts. Paths are unique, so that no two entries are equal. */
static void entries_order(struct diskmap_volume *v)
{
    uint64_t kept = 0;

    if (v->ordered && !v->removed)
        return;
    for (uint64_t i = 0; i < v->count; i++) {
        if (!v->entries[i].removed)
            v->entries[kept++] = v->entries[i];
    }
    v->count = kept;
    v->removed = 0;
    if (!v->ordered)
        qsort(v->entries, v->count, sizeof(*v->entries), entry_compare);
    v->ordered = true;
    pathmap_clear(&v->map);
    for (uint64_t i = 0; i < v->count; i++) {
        const struct entry *e = &v->entries[i];
        // The map was at least as full before: nothing has to grow.
        int rc = pathmap_add(&v->map, pathmap_hash(&v->map, e->path, e->path_bytes), (uint32_t)i);

        assert(!rc);
        (void)rc;
    }
}

/* --- opening ---------------------------------------------------------------------------------- */

static int volume_begin(void *arg, const struct super *super)
{
    struct diskmap_volume *v = arg;
    int rc;

    v->count = v->removed = 0;
    v->ordered = true;
    paths_free(&v->paths);
    pathmap_clear(&v->map);
    rc = entries_reserve(v, super->objects);
    return rc ? rc : pathmap_reserve(&v->map, super->objects);
}

static int volume_record(void *arg, const struct record *record)
{
    struct diskmap_volume *v = arg;
    uint64_t hash = pathmap_hash(&v->map, record->path, record->path_bytes);
    struct entry *e;
    int rc = entry_append(v, record->path, record->path_bytes, hash, &e);

    if (rc)
        return rc;
    e->first_block = record->first_block;
    e->bytes = record->bytes;
    e->mtime_s = record->mtime_s;
    e->digest = record->digest;
    e->crc32c = record->crc32c;
    e->removed = false;
    v->removed--;
    return 0;
}

static int volume_alloc(struct diskmap_volume **out, struct diskmap_medium *medium)
{
    struct diskmap_volume *v = calloc(1, sizeof(*v));
    int rc = -ENOMEM;

    if (!v)
        return rc;
    v->medium = medium;
    v->ordered = true;
    v->buffer = aligned_alloc(DISKMAP_BLOCK_BYTES, BUFFER_BYTES);
    if (v->buffer)
        rc = pathmap_init(&v->map);
    if (rc)
        diskmap_volume_close(v);
    else
        *out = v;
    return rc;
}

void diskmap_volume_close(struct diskmap_volume *v)
{
    space_finish(v);
    extents_free(&v->used[0]);
    extents_free(&v->used[1]);
    paths_free(&v->paths);
    pathmap_free(&v->map);
    free(v->entries);
    free(v->buffer);
    free(v);
}

int diskmap_volume_open(struct diskmap_volume **out, struct diskmap_medium *medium, char *why,
                        size_t why_bytes)
{
    struct diskmap_volume *v;
    struct catalogue catalogue;
    struct catalogue_sink sink = {.begin = volume_begin, .record = volume_record};
    int rc = volume_alloc(&v, medium);

    if (rc) {
        snprintf(why, why_bytes, "not enough memory to open the volume");
        return rc;
    }
    sink.arg = v;
    rc = catalogue_load(medium, &sink, &catalogue, &v->used[0], why, why_bytes);
    if (rc) {
        diskmap_volume_close(v);
        return rc;
    }
    v->super = catalogue.super;
    v->behind = catalogue.behind;
    *out = v;
    return 0;
}

static int super_write(struct diskmap_medium *m, const struct super *super)
{
    struct format_super block;
    int rc;

    super_encode(super, &block);
    rc = m->pwrite(m, &block, sizeof(block), (uint64_t)super->slot * DISKMAP_BLOCK_BYTES);
    return rc ? rc : m->sync(m);
}

/*
 * Whatever lay there before is forgotten before its blocks may be overwritten. A magic number alone
 * stays, so that what is left of a volume that was never finished is known for what it is.
 */
static int volume_erase(struct diskmap_medium *m)
{
    uint8_t blank[FORMAT_SUPERS * DISKMAP_BLOCK_BYTES] = FORMAT_SUPER_MAGIC;
    int rc = 0;

    if (m->bytes < sizeof(blank))
        rc = m->resize(m, sizeof(blank));
    if (!rc)
        rc = m->pwrite(m, blank, sizeof(blank), 0);
    return rc ? rc : m->sync(m);
}

int diskmap_volume_create(struct diskmap_volume **out, struct diskmap_medium *medium, char *why,
                          size_t why_bytes)
{
    struct diskmap_volume *v = NULL;
    int rc;

    snprintf(why, why_bytes, "%s", "");
    if (medium->in_use && medium->in_use(medium)) {
        snprintf(why, why_bytes, "a server has it open: stop the server first");
        return -EBUSY;
    }
    rc = volume_alloc(&v, medium);
    if (!rc && getrandom(v->super.uuid, sizeof(v->super.uuid), 0) != sizeof(v->super.uuid))
        rc = -EIO;
    if (!rc)
        rc = volume_erase(medium);
    if (rc) {
        if (v)
            diskmap_volume_close(v);
        snprintf(why, why_bytes, "cannot write to it: %s", strerror(-rc));
        return rc;
    }
    // The first commit makes generation 1, in slot 0, where the magic number lies.
    v->super.volume_blocks = FORMAT_SUPERS;
    v->super.slot = 1;
    v->used_both = true;
    v->changed = true;
    *out = v;
    return 0;
}

/* --- changing --------------------------------------------------------------------------------- */

static int fetch_piece(uint8_t *at, size_t bytes, int64_t (*fetch)(void *, void *, size_t),
                       void *arg)
{
    for (size_t got = 0; got < bytes;) {
        int64_t n = fetch(arg, at + got, bytes - got);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return -ENODATA;
        assert((uint64_t)n <= bytes - got);
        got += (size_t)n;
    }
    return 0;
}

static int write_object(struct diskmap_volume *v, struct record *record,
                        int64_t (*fetch)(void *, void *, size_t), void *arg)
{
    struct object_sums sums = {0};
    int rc = 0;

    if (record->bytes)
        rc = space_get(v, format_blocks(record->bytes), &record->first_block);
    for (uint64_t off = 0; !rc && off < record->bytes; off += DIGEST_PIECE_BYTES) {
        size_t bytes = min_u64(record->bytes - off, DIGEST_PIECE_BYTES);
        uint8_t *at;

        rc = buffer_at(v, record->first_block + off / DISKMAP_BLOCK_BYTES,
                       align_up(bytes, DISKMAP_BLOCK_BYTES), &at);
        if (!rc)
            rc = fetch_piece(at, bytes, fetch, arg);
        if (!rc) {
            object_sums_add(&sums, at, bytes);
            buffer_keep(v, bytes);
        }
    }
    record->digest = sums.digest;
    record->crc32c = sums.crc32c;
    return rc;
}

int diskmap_volume_add(struct diskmap_volume *v, const char *path, int64_t mtime_s, uint64_t bytes,
                       int64_t (*fetch)(void *arg, void *buf, size_t bytes), void *arg)
{
    size_t len = strlen(path);
    uint64_t hash = pathmap_hash(&v->map, path, len);
    struct record record = {.bytes = bytes};
    struct entry *e;
    int rc;

    if (v->failed)
        return -EIO;
    if (len > DISKMAP_PATH_MAX)
        return -ENAMETOOLONG;
    if (!path_is_valid(path, len))
        return -EINVAL;
    if (bytes > OBJECT_BYTES_MAX)
        return -EFBIG;
    rc = write_object(v, &record, fetch, arg);
    if (rc)
        return rc;
    e = entry_find(v, path, len, hash);
    if (!e)
        rc = entry_append(v, path, len, hash, &e);
    if (rc)
        return rc;
    v->removed -= e->removed;
    e->removed = false;
    e->first_block = record.first_block;
    e->bytes = bytes;
    e->mtime_s = mtime_s;
    e->digest = record.digest;
    e->crc32c = record.crc32c;
    v->changed = true;
    return 0;
}

int diskmap_volume_remove(struct diskmap_volume *v, const char *path)
{
    size_t len = strlen(path);
    struct entry *e = entry_find(v, path, len, pathmap_hash(&v->map, path, len));

    if (v->failed)
        return -EIO;
    if (!e || e->removed)
        return -ENOENT;
    e->removed = true;
    v->removed++;
    v->changed = true;
    return 0;
}

/* --- the commit ------------------------------------------------------------------------------- */

static struct record entry_record(const struct entry *e)
{
    return (struct record){.first_block = e->first_block,
                           .bytes = e->bytes,
                           .mtime_s = e->mtime_s,
                           .digest = e->digest,
                           .crc32c = e->crc32c,
                           .path_bytes = e->path_bytes,
                           .path = e->path};
}

static uint64_t catalogue_blocks(const struct diskmap_volume *v)
{
    uint64_t blocks = 0;
    size_t left = 0;

    for (uint64_t i = 0; i < v->count; i++) {
        size_t bytes = format_record_bytes(v->entries[i].path_bytes);

        if (bytes > left) {
            blocks++;
            left = DISKMAP_BLOCK_BYTES - sizeof(struct format_catalogue_header);
        }
        left -= bytes;
    }
    return blocks;
}

static int catalogue_next_block(struct diskmap_volume *v, struct catalogue_writer *writer,
                                uint64_t first)
{
    return buffer_at(v, first + writer->index, DISKMAP_BLOCK_BYTES, &writer->block);
}

static int catalogue_write(struct diskmap_volume *v, struct super *super)
{
    struct catalogue_writer writer;
    int rc = 0;

    if (!v->count)
        return 0;
    super->catalogue_blocks = catalogue_blocks(v);
    rc = space_get(v, super->catalogue_blocks, &super->catalogue_block);
    if (rc)
        return rc;
    catalogue_writer_start(&writer, super->generation);
    rc = catalogue_next_block(v, &writer, super->catalogue_block);
    for (uint64_t i = 0; !rc && i < v->count; i++) {
        struct record record = entry_record(&v->entries[i]);

        while (!rc && !catalogue_writer_put(&writer, &record)) {
            catalogue_writer_finish(&writer);
            buffer_keep(v, DISKMAP_BLOCK_BYTES);
            rc = catalogue_next_block(v, &writer, super->catalogue_block);
        }
    }
    if (rc)
        return rc;
    catalogue_writer_finish(&writer);
    buffer_keep(v, DISKMAP_BLOCK_BYTES);
    assert(writer.index == super->catalogue_blocks);
    super->catalogue_crc32c = writer.crc32c;
    return buffer_flush(v);
}

static int extents_collect(const struct diskmap_volume *v, const struct super *super,
                           struct extents *used)
{
    int rc = 0;

    for (uint64_t i = 0; !rc && i < v->count; i++) {
        if (v->entries[i].bytes)
            rc = extents_push(used, v->entries[i].first_block, format_blocks(v->entries[i].bytes));
    }
    if (!rc && super->catalogue_blocks)
        rc = extents_push(used, super->catalogue_block, super->catalogue_blocks);
    if (!rc && !extents_sort(used)) {
        assert(!"two objects share a block");
        rc = -EIO;
    }
    return rc;
}

/* Everything but the superblock: until that is written, nothing has happened. */
static int commit_prepare(struct diskmap_volume *v, struct super *super, struct extents *used)
{
    int rc = space_begin(v);

    if (!rc)
        rc = buffer_flush(v);
    if (!rc)
        rc = volume_sync(v);
    if (!rc)
        rc = catalogue_write(v, super);
    if (!rc)
        rc = extents_collect(v, super, used);
    super->volume_blocks = v->space_open ? v->space.end : super->volume_blocks;
    return rc ? rc : volume_sync(v);
}

int diskmap_volume_commit(struct diskmap_volume *v)
{
    struct super super = v->super;
    struct extents used = {0};
    int rc;

    if (v->failed)
        return -EIO;
    if (!v->changed)
        return 0;
    entries_order(v);
    super.generation++;
    super.slot ^= 1;
    super.objects = v->count;
    super.catalogue_block = super.catalogue_blocks = super.catalogue_crc32c = 0;
    rc = commit_prepare(v, &super, &used);
    if (rc) {
        extents_free(&used);
        return rc;
    }
    rc = super_write(v->medium, &super);
    space_finish(v);
    extents_free(&v->used[1]);
    v->used[1] = v->used[0];
    v->used[0] = used;
    v->used_both = true;
    if (rc) {
        v->failed = true;
        return -EIO;
    }
    v->super = super;
    v->behind = v->changed = false;
    return 0;
}

/* --- looking ---------------------------------------------------------------------------------- */

uint64_t diskmap_volume_count(const struct diskmap_volume *v)
{
    return v->count - v->removed;
}

static struct diskmap_entry entry_shown(const struct entry *e)
{
    return (struct diskmap_entry){.path = e->path,
                                  .bytes = e->bytes,
                                  .mtime_s = e->mtime_s,
                                  .first_block = e->first_block,
                                  .crc32c = e->crc32c};
}

bool diskmap_volume_entry(struct diskmap_volume *v, uint64_t i, struct diskmap_entry *entry)
{
    entries_order(v);
    if (i >= v->count)
        return false;
    *entry = entry_shown(&v->entries[i]);
    return true;
}

bool diskmap_volume_find(const struct diskmap_volume *v, const char *path,
                         struct diskmap_entry *entry)
{
    size_t len = strlen(path);
    const struct entry *e = entry_find(v, path, len, pathmap_hash(&v->map, path, len));

    if (!e || e->removed)
        return false;
    *entry = entry_shown(e);
    return true;
}

int diskmap_volume_verify(struct diskmap_volume *v, const struct diskmap_entry *entry,
                          int (*sink)(void *arg, const void *data, size_t bytes), void *arg)
{
    size_t len = strlen(entry->path);
    const struct entry *e =
        entry_find(v, entry->path, len, pathmap_hash(&v->map, entry->path, len));
    struct diskmap_medium *m = v->medium;
    struct object_sums sums = {0};
    int rc = e && !e->removed ? buffer_flush(v) : -ENOENT;

    for (uint64_t off = 0; !rc && off < e->bytes; off += DIGEST_PIECE_BYTES) {
        size_t bytes = min_u64(e->bytes - off, DIGEST_PIECE_BYTES);

        rc = m->pread(m, v->buffer, align_up(bytes, DISKMAP_BLOCK_BYTES),
                      e->first_block * DISKMAP_BLOCK_BYTES + off);
        if (!rc) {
            object_sums_add(&sums, v->buffer, bytes);
            rc = sink ? sink(arg, v->buffer, bytes) : 0;
        }
    }
    if (!rc && (sums.digest != e->digest || sums.crc32c != e->crc32c))
        rc = -EBADMSG;
    return rc;
}

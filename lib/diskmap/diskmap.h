// SPDX-License-Identifier: BSD-2-Clause
/*
 * diskmap.h - objects to blocks, and blocks to buffers without a cache in between.
 *
 * A diskmap_set is what is served: one or more packed volumes, or a directory tree. It is opened
 * once, shared by all workers and not changed by them. A diskmap is one worker's own way to the
 * disks beneath: its queue, its buffers.
 *
 *     diskmap_find  -> an object, pinned: these very bytes, whatever happens to the name meanwhile
 *     diskmap_read  -> posts a read of some of its bytes into a chunk
 *     diskmap_kick  -> one doorbell for all that was posted
 *     diskmap_reap  -> reads that have finished, in any order; each comes back exactly once
 *     diskmap_drop  -> the pin is released
 *
 * A disk reads whole blocks. A read of [off, off + len) therefore brings the aligned range around
 * it; the byte at `off` lands at buf + diskmap_skew(object, off). The buffer must hold
 * diskmap_span(object, off, len) bytes. It belongs to the disk from diskmap_read until the read
 * comes back from diskmap_reap, and so does the struct diskmap_read, which the caller embeds in
 * something of its own.
 *
 * The volume format and its crash rules are described in ARCHITECTURE.md and pinned by format.h.
 * Everything read from a disk is treated as hostile: a damaged volume is an error, never a crash.
 * Nothing here blocks but opening, and finding a file below a directory tree, which asks the file
 * system. One thread uses a diskmap; a set may be used by any number.
 */
#ifndef DISKMAP_DISKMAP_H
#define DISKMAP_DISKMAP_H

#include "base/hist.h"
#include "base/stats.h"
#include "mem/mem.h"

#define DISKMAP_BLOCK_BYTES 4096
#define DISKMAP_PATH_MAX    1024 /* longest object path, "/" included, without the final NUL */

/* --- NVMe disks that this process drives itself ---------------------------------------------- */

/*
 * "vfio:0000:01:00.0" is a controller that is bound to vfio-pci, "diskmap:NAME" one that our kernel
 * module administers, "sim:PATH" one in software whose medium is a file. ",ns=N" behind it means
 * another than its first namespace. A controller is brought up when the first volume on it is
 * opened, shared by all that lie on it, and shut down when the last of them is closed.
 *
 * Waiting for a controller takes time, and libraries read no clock.
 */
struct diskmap_disks;

struct diskmap_disks_config {
    uint64_t (*now_ns)(void *arg); /* the same time as every now_ns here */
    /* Returns when `fd` (-1: none) is readable or the time has come, or earlier. False: give up if
     * that can be done, which is while a controller is brought up (-EINTR). */
    bool (*wait)(void *arg, int fd, uint64_t until_ns);
    void *arg;
    uint32_t workers;    /* diskmaps open at a time; 0: 1 */
    uint32_t depth;      /* commands in flight per controller and worker; 0: 128 */
    uint64_t timeout_ns; /* of a command, before it is aborted; 0: 5 s */
    size_t arena_bytes;  /* what each worker asks of diskmap_set_arena; only diskmap: asks before */
};

must_check int diskmap_disks_open(struct diskmap_disks **out,
                                  const struct diskmap_disks_config *config); /* -ENOMEM */
void diskmap_disks_close(struct diskmap_disks *disks); /* after what was opened with it */
bool diskmap_spec_is_disk(const char *spec);           /* it begins like one of these */

/* --- what is served ------------------------------------------------------------------------- */

struct diskmap_set;

/* specs: a file or block device with a volume, an NVMe disk (see below), or "ram:" and one of
 * these: a volume held in memory. 0 or -errno; `why` (at least 256 bytes) receives a sentence that
 * says what is wrong and what to do. `disks` may be NULL where there are to be no NVMe disks. */
must_check int diskmap_set_open_volumes(struct diskmap_set **out, struct diskmap_disks *disks,
                                        const char *const *specs, size_t count, char *why,
                                        size_t why_bytes);
/* A directory tree as it lies. Names that lead out of it (.., symbolic links) are not found. */
must_check int diskmap_set_open_root(struct diskmap_set **out, const char *dir, char *why,
                                     size_t why_bytes);
/* After every worker has closed its diskmap; before its arena, which NVMe disks may know. */
void diskmap_set_close(struct diskmap_set *set);
/* For one worker's buffers and diskmap_config.arena, where every NVMe disk of the set can reach it,
 * and the only memory that they reach; the caller closes it. *out is NULL if there are none. */
must_check int diskmap_set_arena(const struct diskmap_set *set, size_t bytes,
                                 struct mem_arena **out, char *why, size_t why_bytes);
uint64_t diskmap_set_objects(const struct diskmap_set *set); /* 0 for a directory tree */

struct diskmap_disk {
    const char *model, *serial;
    uint32_t ns_id;
    uint64_t bytes;
    uint64_t resets; /* of its controller, since the set was opened */
    bool lost;
};
/* The NVMe disk of a volume, by the volume's place among the specs; false: it is on none. */
bool diskmap_set_disk(const struct diskmap_set *set, size_t volume, struct diskmap_disk *out);

/* --- one worker's I/O ----------------------------------------------------------------------- */

struct diskmap;

/* Seeded faults for tests and rehearsals; all times are the caller's now_ns. */
struct diskmap_fault_config {
    uint64_t seed;
    double error;          /* probability that a read ends with -EIO */
    uint64_t delay_min_ns; /* each read takes between min and max: they overtake each other */
    uint64_t delay_max_ns;
    /* Reads posted from then on find other bytes, as in a file that was written to; 0: never. No
     * object is immutable then. */
    uint64_t change_at_ns;
};

struct diskmap_config {
    struct mem_arena *arena; /* for its own tables; see diskmap_set_arena */
    void *buffers;           /* all reads go into this region; registered with the device */
    size_t buffers_bytes;
    uint32_t depth; /* reads in flight at most, a power of two; more are held back in order */
    const struct diskmap_fault_config *fault; /* or NULL */
};

#define DISKMAP_STATS(X, t)                                                                        \
    X(t, reads, "reads posted")                                                                    \
    X(t, read_bytes, "bytes read from the device, alignment included")                             \
    X(t, read_errors, "reads that ended with an error")                                            \
    X(t, inflight, "reads posted and not yet reaped")                                              \
    X(t, inflight_high, "highest number of reads in flight")                                       \
    X(t, doorbells, "submissions to the device")                                                   \
    X(t, held_back, "reads that had to wait because the device's queue was full")                  \
    X(t, registered, "1: the buffers are registered with the kernel, 0: pinned for each read")     \
    X(t, disks_lost, "disks that this worker was the first to find lost")
struct diskmap_stats {
    DISKMAP_STATS(STAT_FIELD, )
};
extern const struct stat_desc diskmap_stat_descs[];

must_check int diskmap_open(struct diskmap **out, struct diskmap_set *set,
                            const struct diskmap_config *config, char *why, size_t why_bytes);
/* Of the arena, for its tables, without `buffers`; what disks need is left out of that of NULL. */
size_t diskmap_arena_bytes(const struct diskmap_set *set, uint32_t depth);
/* Waits for the reads in flight: their buffers are the caller's again when it returns. Called by
 * the thread that read; a diskmap may be opened by another one than that. */
void diskmap_close(struct diskmap *dm);

struct diskmap_object {
    uint64_t bytes;
    int64_t mtime_s;  /* Unix time, for Last-Modified */
    uint64_t etag[2]; /* changes whenever the bytes may have changed */
    /* Its bytes stay what they are while it is pinned: a volume's, whose writers see that it is
     * being read. A directory's file is whatever somebody makes of it meanwhile. */
    bool immutable;
    uint32_t align; /* granularity of reads, a power of two, 512 to 4096 */
    const uint8_t
        *mapped; /* ram: without faults: the bytes themselves, valid while pinned; else NULL */
};

/*
 * `path` starts with '/', is normalised (no empty, "." or ".." segment) and need not end with NUL.
 * 0, -ENOENT, -EISDIR (a directory tree's directory: try its index), -ENAMETOOLONG, -EACCES,
 * -EMFILE or -ENOMEM (too many objects pinned at once), -ENODEV (its disk is lost), -EIO.
 */
must_check int diskmap_find(struct diskmap *dm, const char *path, size_t len,
                            const struct diskmap_object **object);
void diskmap_hold(struct diskmap *dm, const struct diskmap_object *object);
void diskmap_drop(struct diskmap *dm, const struct diskmap_object *object);

struct diskmap_read {
    const struct diskmap_object *object; /* pinned until the read is back */
    uint64_t off;                        /* off + len <= object->bytes, len > 0 */
    uint32_t len;
    int32_t result; /* when reaped: 0 or -errno; after an error the buffer's content is undefined */
    uint8_t *buf;   /* within config.buffers, aligned to object->align */
    uint64_t posted_ns; /* private: */
    struct diskmap_read *next;
};

static inline uint32_t diskmap_skew(const struct diskmap_object *object, uint64_t off)
{
    return (uint32_t)(off & (object->align - 1));
}

static inline uint32_t diskmap_span(const struct diskmap_object *object, uint64_t off, uint32_t len)
{
    return (uint32_t)align_up(diskmap_skew(object, off) + len, object->align);
}

void diskmap_read(struct diskmap *dm, struct diskmap_read *read, uint64_t now_ns);
void diskmap_kick(struct diskmap *dm, uint64_t now_ns);
/* Up to `max` finished reads. Also posts reads that were held back. */
uint32_t diskmap_reap(struct diskmap *dm, struct diskmap_read **done, uint32_t max,
                      uint64_t now_ns);
/* Polls readable when reap would find something; -1: none (ram). Call it anew before every sleep:
 * a device may wake only those who have announced that they sleep. */
int diskmap_fd(struct diskmap *dm);
/* When a delayed read will be ready, 0: now; UINT64_MAX: nothing is known to become ready by
 * itself. */
uint64_t diskmap_next_ns(const struct diskmap *dm);

/* What the operator has to know of the disks: true once for each thing, with a line of text. */
bool diskmap_news(struct diskmap *dm, char *text, size_t bytes);
const struct diskmap_stats *diskmap_stats(const struct diskmap *dm);
const struct hist *diskmap_latency(const struct diskmap *dm); /* posted to reaped */

/* --- making and changing volumes ------------------------------------------------------------- */

/*
 * One process at a time changes a volume (it is locked). Additions are written behind what is
 * there, synced, and become visible all together when the new catalogue's superblock is written; a
 * crash at any write leaves the old catalogue or the new one. Space of removed objects is used
 * again, but never while a catalogue that is valid on disk still refers to it, nor while a server
 * has the volume open: what it serves stays as it was when it opened it.
 */
struct diskmap_volume;

/* What the writer does to the disk, so that a test can cut the sequence at any point. */
struct diskmap_medium {
    int (*pwrite)(struct diskmap_medium *medium, const void *data, size_t bytes, uint64_t off);
    int (*pread)(struct diskmap_medium *medium, void *data, size_t bytes, uint64_t off);
    int (*sync)(struct diskmap_medium *medium);
    int (*resize)(struct diskmap_medium *medium,
                  uint64_t bytes); /* grows a file; -ENOSPC: a device */
    /* A server has it open and may be sending what was removed since; NULL: nobody can. */
    bool (*in_use)(struct diskmap_medium *medium);
    uint64_t bytes; /* the size now */
};

/* Erases what is there. Until the first commit there is no volume. */
must_check int diskmap_volume_create(struct diskmap_volume **out, struct diskmap_medium *medium,
                                     char *why, size_t why_bytes);
/* On success `why` is empty, or warns that the newest catalogue is lost and the one before it
 * stands. */
must_check int diskmap_volume_open(struct diskmap_volume **out, struct diskmap_medium *medium,
                                   char *why, size_t why_bytes);
void diskmap_volume_close(struct diskmap_volume *volume); /* what was not committed is forgotten */

/* Reads the object's bytes from `fetch` (returns bytes, 0 at the end, -errno). Replaces a
 * like-named one. -ENODATA: `fetch` ended early; -ENOSPC; -EINVAL: no proper path; -EBUSY: see
 * in_use. */
must_check int diskmap_volume_add(struct diskmap_volume *volume, const char *path, int64_t mtime_s,
                                  uint64_t bytes,
                                  int64_t (*fetch)(void *arg, void *buf, size_t bytes), void *arg);
must_check int diskmap_volume_remove(struct diskmap_volume *volume, const char *path); /* -ENOENT */
/* After -EIO what lies on disk is unknown, and nothing works any more but to open it again. */
must_check int diskmap_volume_commit(struct diskmap_volume *volume);

struct diskmap_entry {
    const char *path; /* NUL-terminated, valid until the volume changes */
    uint64_t bytes;
    int64_t mtime_s;
    uint64_t first_block;
    uint32_t crc32c; /* of the object's bytes */
};
uint64_t diskmap_volume_count(const struct diskmap_volume *volume);
/* Sorted by path; false when i is past the end. */
bool diskmap_volume_entry(struct diskmap_volume *volume, uint64_t i, struct diskmap_entry *entry);
bool diskmap_volume_find(const struct diskmap_volume *volume, const char *path,
                         struct diskmap_entry *entry);
/* Reads the object back and compares its checksum; `sink` (may be NULL) receives the bytes. 0,
 * -EBADMSG when they are not what was packed, or the sink's error. */
must_check int diskmap_volume_verify(struct diskmap_volume *volume,
                                     const struct diskmap_entry *entry,
                                     int (*sink)(void *arg, const void *data, size_t bytes),
                                     void *arg);

/*
 * The medium that is a file, a block device or an NVMe disk. `writable` locks it against other
 * writers (-EBUSY) and, for a block device, against being mounted; otherwise it is marked as in
 * use. `create` makes a file that is not there, and leaves one that is there as it is.
 */
must_check int diskmap_medium_open(struct diskmap_medium **out, struct diskmap_disks *disks,
                                   const char *spec, bool writable, bool create, char *why,
                                   size_t why_bytes);
void diskmap_medium_close(struct diskmap_medium *medium);

enum diskmap_holds {
    DISKMAP_HOLDS_NOTHING, /* empty, or zeros as far as file systems leave their marks */
    DISKMAP_HOLDS_VOLUME,  /* maybe a damaged or unfinished one */
    DISKMAP_HOLDS_OTHER,   /* something that may be dear to someone */
};
enum diskmap_holds diskmap_medium_holds(struct diskmap_medium *medium);

#endif

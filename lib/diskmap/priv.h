// SPDX-License-Identifier: BSD-2-Clause
/*
 * priv.h - what the files of this folder share about serving: the set, objects, devices.
 */
#ifndef DISKMAP_PRIV_H
#define DISKMAP_PRIV_H

#include "diskmap/diskmap.h"
#include "pathmap.h"

/* What the bytes of an object are, for a device: a slot (a file, or a volume in memory), and where
 * in it they begin. The part behind `slot` is for objects of volumes. */
struct object {
    struct diskmap_object pub;
    uint64_t base;
    const char *path;
    uint32_t slot;
    uint16_t path_bytes;
};
_Static_assert(sizeof(struct object) <= 80, "ten million of them must be practical");

static inline const struct object *object_of(const struct diskmap_object *pub)
{
    return container_of(pub, struct object, pub);
}

struct disk;

struct set_volume {
    struct diskmap_medium *medium; /* NULL: in memory only */
    struct disk *disk;             /* the medium's, if that is NVMe; or NULL */
    uint8_t *ram;                  /* the whole volume, or NULL */
    size_t ram_bytes;
    uint32_t align;
};

struct diskmap_set {
    struct object *objects;
    uint64_t count;
    struct pathmap map;
    struct paths paths;
    struct set_volume *volumes;
    uint32_t volume_count;
    int root_fd; /* -1: volumes */
};

/* For tests: a volume of which only the medium is known, held in memory. */
must_check int set_open_medium(struct diskmap_set **out, struct diskmap_medium *medium, char *why,
                               size_t why_bytes);
uint32_t set_find(const struct diskmap_set *set, const char *path, size_t len); /* PATHMAP_NONE */
/* All memory of the catalogue but the paths themselves. */
size_t set_bytes(const struct diskmap_set *set);

int medium_fd(struct diskmap_medium *medium);
/* A file or block device, locked: the descriptor or -errno, and why. */
must_check int medium_file_open(const char *path, bool writable, bool create, uint64_t *bytes,
                                char *why, size_t why_bytes);
/* The file by which a disk is had that several processes can have, locked in the same way: the
 * descriptor or -errno. -EBUSY: somebody writes. */
must_check int medium_node_open(const char *path, bool writable);
bool medium_file_is_read(int fd); /* by anybody who opened it for that */
/* Switches the page cache off where the file system can do without; the granularity of reads. */
uint32_t direct_enable(int fd);

/* --- devices ---------------------------------------------------------------------------------- */

struct device;

/*
 * A device never holds more than the depth it was opened with: the caller holds reads back. What it
 * was given comes back from `reap` once, with `result` set.
 */
struct device_ops {
    void (*read)(struct device *dev, struct diskmap_read *read, uint64_t now_ns);
    bool (*kick)(struct device *dev, uint64_t now_ns); /* true: it rang */
    uint32_t (*reap)(struct device *dev, struct diskmap_read **done, uint32_t max, uint64_t now_ns);
    int (*fd)(struct device *dev); /* asked for before every sleep: may arm it */
    uint64_t (*next_ns)(const struct device *dev);
    /* Objects with this slot are read from `fd` from now on, which is the device's; -1: none. */
    int (*slot_set)(struct device *dev, uint32_t slot, int fd);
    void (*close)(struct device *dev); /* waits for what it was given */
};

struct device {
    const struct device_ops *ops;
    uint32_t slots; /* how many there are: maybe fewer than were asked for */
};

must_check int uring_open(struct device **out, const struct diskmap_config *config, uint32_t slots,
                          bool *registered);
must_check int ram_open(struct device **out, const struct diskmap_set *set,
                        const struct diskmap_config *config);
/* For the volumes of the set that lie on NVMe disks. */
must_check int nvme_device_open(struct device **out, const struct diskmap_set *set,
                                const struct diskmap_config *config, char *why, size_t why_bytes);
/* The most that it takes of the arena. */
size_t nvme_device_bytes(const struct diskmap_set *set, uint32_t depth);
/* What its `fd` is when there is nothing yet; -1: there is only looking. */
int nvme_device_wait_fd(const struct device *dev);
/* Disks that this one was the first to find lost; and what there is to say of them since the last
 * time that it was asked, or false. */
uint32_t nvme_device_lost(const struct device *dev);
bool nvme_device_news(struct device *dev, char *text, size_t bytes);
/* Takes `inner` over. */
must_check int fault_open(struct device **out, struct device *inner,
                          const struct diskmap_config *config);

/* --- a directory tree ------------------------------------------------------------------------- */

#define ROOT_OBJECTS_MAX 4096 /* pinned at once by one worker, and open files at most */

struct root;

must_check int root_open(struct root **out, const struct diskmap_set *set,
                         const struct diskmap_config *config, struct device *device);
must_check int root_find(struct root *root, const char *path, size_t len,
                         const struct diskmap_object **object);
void root_hold(struct root *root, const struct diskmap_object *object);
void root_drop(struct root *root, const struct diskmap_object *object);
/* A file beneath a directory, never through a symbolic link; `flags` as for open. -errno. */
int root_open_beneath(int dir, const char *path, int flags);
int root_walk_beneath(int dir, const char *path,
                      int flags); /* the same for kernels without openat2 */

#endif

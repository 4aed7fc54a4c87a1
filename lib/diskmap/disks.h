// SPDX-License-Identifier: BSD-2-Clause
/*
 * disks.h - NVMe disks that this process drives itself.
 *
 * A disk is a namespace of a controller. A controller is opened when the first who names it comes,
 * brought up while the caller waits, and shut down when the last one goes; all that names it in one
 * process shares it, since nobody else could have it beside us.
 *
 *     disks.c        controllers: opened, brought up, shared, shut down
 *     disk_spec.c    specs as values
 *     medium_nvme.c  reading and writing while the caller waits: volumes made, changed and loaded
 *     dev_nvme.c     reading for a server: a worker's queue pairs
 *
 * Opening and closing is one thread's. After that, every worker uses the controllers through queue
 * pairs of its own.
 */
#ifndef DISKMAP_DISKS_H
#define DISKMAP_DISKS_H

#include "diskmap/diskmap.h"
#include "nvme/nvme.h"

#define DISK_NAME_BYTES 224 /* of a spec without its options, with the final NUL */

enum disk_kind {
    DISK_VFIO, /* vfio:BDF: a controller that is bound to vfio-pci */
    DISK_KMOD, /* diskmap:NAME: one that the kernel module administers */
    DISK_SIM,  /* sim:PATH: one in software, whose medium is a file */
};

struct disk_spec {
    enum disk_kind kind;
    char name[DISK_NAME_BYTES]; /* "vfio:0000:01:00.0": what tells controllers apart */
    const char *where;          /* of it, what follows the colon */
    uint32_t ns_id;             /* 0: the first that there is */
    struct nvme_sim_config sim; /* DISK_SIM: how it behaves; its namespace is made when opened */
    uint64_t sim_bytes;         /* a file that is not there is made so large; 0: it has to be */
    uint32_t sim_block_bytes;
    double sim_remove_s; /* when it is pulled out, after opening; < 0: never */
};

/* -EINVAL, and in `why` what would be right. `spec` is one for which diskmap_spec_is_disk holds. */
must_check int disk_spec_parse(struct disk_spec *out, const char *spec, char *why,
                               size_t why_bytes);

/* Of an arena, for a queue pair: entries of both queues, a list of 64 pages and a tracker for each
 * command, and what rounding up to pages adds. */
#define DISK_QPAIR_BYTES(depth) (((depth) + 1) * (64 + 16 + 64 * 8 + 64 + 2) + 8 * PAGE_BYTES)

struct controller {
    struct diskmap_disks *disks;
    struct controller *next;
    char name[DISK_NAME_BYTES];
    struct disk *disks_open; /* each of them holds the controller */
    struct nvme_ctrlr *ctrlr;
    struct nvme_access *access;
    struct mem_arena *arena;   /* the admin queue's and the media's */
    struct controller *lender; /* whose memory it uses, and which is closed after it; or itself */
    uint32_t borrowers;        /* controllers that use ours */
    uint8_t *memory;           /* in which all arenas have to lie; NULL: anywhere */
    size_t memory_bytes, memory_used;
    bool own_time; /* it moves when it is turned: there is nothing to poll for */
    bool lost;     /* atomic: somebody has been told */
    int fd;        /* locked, as a volume in a file is; -1: no other process can have it */
    bool writable;
    struct nvme_qpair *qpair; /* the media's, as long as there are any that are not at rest */
    uint32_t qpair_users;
    uint8_t *bounce; /* the media's buffer */
};

/* A namespace with a volume on it. */
struct disk {
    struct controller *controller;
    struct disk *next; /* of the same controller */
    uint32_t ns_id;
    uint32_t block_shift;
    uint64_t bytes;
    bool gone; /* atomic: the namespace disappeared */
};

must_check int disk_open(struct disk *disk, struct diskmap_disks *disks, const char *spec,
                         bool writable, bool create, char *why, size_t why_bytes);
void disk_close(struct disk *disk);
/* Nothing can be read from it any more. From any thread. */
bool disk_is_lost(const struct disk *disk);

/* An arena that the controller can reach. -ENOSPC: its memory is used up. */
must_check int controller_arena(struct controller *c, size_t bytes, struct mem_arena **out);

/* Fills in what is the kind's own: the access, the lock. -errno and why. */
must_check int disk_sim_open(struct controller *c, const struct disk_spec *spec, bool create,
                             char *why, size_t why_bytes);

/* The queue pair of media, and their buffer of DISK_BOUNCE_BYTES. */
#define DISK_BOUNCE_BYTES (1u << 20)
must_check int controller_qpair_get(struct controller *c);
void controller_qpair_put(struct controller *c);

/* Sleeps until the queue pair has completions, or the controller something to do. */
void controller_wait(const struct controller *c, struct nvme_qpair *qpair);
/* A queue pair for `arena`, the first that is free. */
must_check int controller_qpair_open(struct controller *c, struct mem_arena *arena,
                                     struct nvme_qpair **out, char *why, size_t why_bytes);
/* Waits until the controller has forgotten it. Nothing may be out. */
void controller_qpair_close(struct controller *c, struct nvme_qpair *qpair);
uint64_t disks_now(const struct diskmap_disks *disks);
uint32_t disks_depth(const struct diskmap_disks *disks);

/* The medium that is a disk. diskmap_medium_close closes it. */
must_check int medium_nvme_open(struct diskmap_medium **out, struct diskmap_disks *disks,
                                const char *spec, bool writable, bool create, char *why,
                                size_t why_bytes);
void medium_nvme_close(struct diskmap_medium *medium);
bool medium_is_nvme(const struct diskmap_medium *medium);
struct disk *medium_disk(struct diskmap_medium *medium);
/* Nothing more is read or written through it: its queue pair is for the workers. */
void medium_nvme_rest(struct diskmap_medium *medium);

#endif

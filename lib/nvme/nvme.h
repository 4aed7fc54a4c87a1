// SPDX-License-Identifier: BSD-2-Clause
/*
 * nvme.h - a disk that belongs to the application: an NVMe driver in user space.
 *
 * A controller is reached through a struct nvme_access: nvme_vfio_open gives one to a controller of
 * the machine, nvme_kmod_open to one that the kernel administers, nvme_sim_open to one in software.
 * The driver shares memory with it: arenas, in which the queues and all buffers lie.
 *
 *     nvme_ctrlr_open(&ctrlr, &config, why, sizeof(why));
 *     while (nvme_ctrlr_turn(ctrlr, now) == NVME_STARTING) ...     see nvme_ctrlr_next_ns
 *     nvme_open(&ioqp, ctrlr, 1, arena);                           1 to nvme_info.qpairs
 *
 *     io = (struct iohdesc){.ioqp = ioqp, .ns_id = 1, .lba = 8, .lba_count = 8, .buf = buf,
 *                           .op_complete = read_done};
 *     nvme_read(&io);                                              as many as there are
 *     nvme_sqsync(ioqp);                                           one doorbell for all of them
 *     nvme_consume_completions(ioqp, nvme_peek_completions(ioqp)); calls read_done
 *     nvme_cqsync(ioqp);                                           one doorbell for all of them
 *
 * A request's iohdesc and its buffer are the driver's from nvme_read until op_complete, which comes
 * exactly once for every request that was accepted, from nvme_consume_completions and from nowhere
 * else (but see nvme_ctrlr_close). Whatever happens, it does not come while the controller might
 * still write to the buffer: a command that is overdue is aborted; if that does not bring it back
 * the controller is reset, and if it does not stop it is cut off from memory. Reads that a reset or
 * an abort caught are sent again, NVME_TRIES_MAX times in all. Writes and flushes are not, since a
 * later write of the same blocks may have been done before: they end with -ETIMEDOUT, and what is
 * on the disk is then unknown.
 *
 * Requests of any length are accepted in any number. They are split into commands that the
 * controller can take, and what finds the queue full waits, in order, and is posted as completions
 * make room; nvme_sqsync after nvme_consume_completions tells the controller of those.
 *
 * Threads: a queue pair is used by one thread at a time, different ones by different threads; none
 * waits for another. Each of them turns the controller: who comes while somebody else does is told
 * the state and goes on. What the turn has to say to a queue pair (it is overdue, being reset,
 * lost) is noticed by its own thread, when it peeks, consumes or rings. Who has nothing to do asks
 * nvme_ctrlr_next_ns, then peeks, and if that was 0 may sleep until that time or nvme_fd: what
 * another thread's turn does between the two is then seen by the one or the other. Peeking may
 * have found something for the turn, for which nvme_ctrlr_next_ns is 0 when it is asked again.
 *
 * A callback may post requests; it may not consume completions or turn the controller.
 */
#ifndef NVME_NVME_H
#define NVME_NVME_H

#include "base/list.h"
#include "base/stats.h"
#include "mem/mem.h"

#define NVME_QPAIRS_MAX     64
#define NVME_DEPTH_MAX      1023 /* with the slot that stays empty, a queue of 1,024 entries */
#define NVME_NAMESPACES_MAX 32
#define NVME_TRIES_MAX      4
#define NVME_ARENAS_MAX     (NVME_QPAIRS_MAX + 4) /* every worker's, and a few more */

struct nvme_access;
struct nvme_ctrlr;
struct nvme_qpair;

/* --- the controller --------------------------------------------------------------------------- */

struct nvme_config {
    struct nvme_access *access; /* taken over: closed by nvme_ctrlr_close, not when opening fails */
    struct mem_arena *arena;    /* the admin queue is taken from it; lives until nvme_ctrlr_close */
    uint32_t qpairs;            /* 1 to NVME_QPAIRS_MAX */
    uint32_t depth;             /* commands in flight per queue pair, 1 to NVME_DEPTH_MAX */
    uint32_t transfer_bytes;    /* longest command, if the controller can do it; 0: 128 KiB */
    uint64_t timeout_ns;        /* a command is overdue; 0: 5 s */
    bool no_sgls;               /* PRP lists even where the controller takes SGLs */
    bool no_shadow;             /* doorbell registers even where the controller takes memory */
};

enum nvme_state {
    NVME_STARTING,  /* not ready yet */
    NVME_READY,     /* requests are carried out */
    NVME_RESETTING, /* requests are accepted and wait */
    NVME_STOPPING,  /* nvme_ctrlr_stop was called */
    NVME_CLOSED,    /* the controller was shut down in order */
    NVME_DEAD,      /* nvme_ctrlr_why says why; requests are refused */
};

/* -EINVAL, -ENOMEM, or what mapping the arena said; `why` in words. Touches no register yet. */
must_check int nvme_ctrlr_open(struct nvme_ctrlr **out, const struct nvme_config *config, char *why,
                               size_t why_bytes);
/* Takes the next step in whatever is under way. From any thread that has a queue pair. */
enum nvme_state nvme_ctrlr_turn(struct nvme_ctrlr *ctrlr, uint64_t now_ns);
/* When nvme_ctrlr_turn has something to do, completions aside; UINT64_MAX: nothing by itself. */
uint64_t nvme_ctrlr_next_ns(const struct nvme_ctrlr *ctrlr);
/* The last thing that went wrong, one line; empty: nothing did. Turns write it, until the state is
 * NVME_CLOSED or NVME_DEAD: before that it is for whoever alone turns. */
const char *nvme_ctrlr_why(const struct nvme_ctrlr *ctrlr);
/* Shuts down in order, by turns. Requests that are out end with -ECANCELED. From any thread. */
void nvme_ctrlr_stop(struct nvme_ctrlr *ctrlr);
/* By the last who uses the controller or a queue pair. One that was not shut down is cut off from
 * memory first; requests that are out end with -ECANCELED, from here. */
void nvme_ctrlr_close(struct nvme_ctrlr *ctrlr);

struct nvme_info {
    char model[41], serial[21], firmware[9]; /* without the padding; only printable characters */
    uint32_t version;                        /* as in VS */
    uint32_t transfer_bytes;                 /* longest command */
    uint32_t qpairs;
    bool write_cache; /* writes need nvme_flush to be durable */
};

struct nvme_namespace {
    uint32_t ns_id;
    uint32_t block_bytes; /* 512 to 4096 */
    uint64_t blocks;      /* 0: it disappeared, or is of no use to us. Turns change it: stat_get */
};

/* Known once the controller is NVME_READY; the pointers stay good. */
const struct nvme_info *nvme_ctrlr_info(const struct nvme_ctrlr *ctrlr);
uint32_t nvme_ctrlr_namespace_count(const struct nvme_ctrlr *ctrlr);
const struct nvme_namespace *nvme_ctrlr_namespace(const struct nvme_ctrlr *ctrlr, uint32_t index);

#define NVME_HEALTH_LOG_BYTES 512
#define NVME_HEALTH_WARNINGS  6

/* What the disk says of its state (SMART). Counts that do not fit are UINT64_MAX. */
struct nvme_health {
    uint32_t warnings; /* a bit for each of NVME_HEALTH_WARNINGS; see nvme_health_warning */
    int celsius;
    uint8_t spare_percent, spare_least_percent;
    uint8_t used_percent; /* of its life; may be more than 100 */
    uint64_t bytes_read, bytes_written;
    uint64_t reads, writes; /* commands */
    uint64_t busy_minutes, power_cycles, power_on_hours, unsafe_shutdowns;
    uint64_t media_errors, error_log_entries;
};

/* As it was when the controller became ready, or when it last reported a change for the worse;
 * NULL: it has not said yet. Turns write it: for whoever alone turns. */
const struct nvme_health *nvme_ctrlr_health(const struct nvme_ctrlr *ctrlr);
/* Of the log page as the disk has it, NVME_HEALTH_LOG_BYTES long. */
void nvme_health_parse(struct nvme_health *out, const void *log);
/* What a warning means and what to do, or NULL if it is not given. */
const char *nvme_health_warning(const struct nvme_health *health, uint32_t index);

#define NVME_CTRLR_STATS(X, t)                                                                     \
    X(t, resets, "controller resets after it was ready")                                           \
    X(t, aborts, "Abort commands sent")                                                            \
    X(t, admin_errors, "admin commands that ended with an error")                                  \
    X(t, async_events, "asynchronous events reported")                                             \
    X(t, drop_stray_admin, "admin completions of commands that are not out")

struct nvme_ctrlr_stats {
    NVME_CTRLR_STATS(STAT_FIELD, )
};
extern const struct stat_desc nvme_ctrlr_stat_descs[];
const struct nvme_ctrlr_stats *nvme_ctrlr_stats(const struct nvme_ctrlr *ctrlr);

/* --- queue pairs ------------------------------------------------------------------------------ */

/* Queues are taken from the arena, in which buffers lie: it is mapped now if it was not before, and
 * has to live until nvme_ctrlr_close. Requests are accepted at once, and wait until turns have
 * created the queues on the controller. -EBUSY: somebody has the number; -ENODEV: there is no such
 * queue pair, or the controller is not ready (any more); -ENOMEM: the arena is too small; -ENOSPC:
 * NVME_ARENAS_MAX; or what mapping said. */
must_check int nvme_open(struct nvme_qpair **ioqp, struct nvme_ctrlr *ctrlr, uint32_t number,
                         struct mem_arena *arena);
/* Deletes the queues on the controller. -EBUSY: requests are out; -EINPROGRESS: turn, and call it
 * again; 0: the controller knows nothing of them any more, and the number is free. Opened again
 * with the same arena, it uses the same memory. */
must_check int nvme_close(struct nvme_qpair *ioqp);

/* One request. Zero what is not set. */
struct iohdesc {
    struct nvme_qpair *ioqp;
    uint32_t ns_id;
    uint32_t lba_count; /* > 0 */
    uint64_t lba;
    void *buf; /* in an arena, at a multiple of 4 bytes; lba_count blocks long */
    /* `error`: 0, -EIO (the disk's; `status` has its own words), -ETIMEDOUT (see above), -ENODEV
     * (the controller is lost), -ENXIO (no such namespace any more), -ECANCELED, ... */
    void (*op_complete)(struct iohdesc *io, int error);
    void *arg;       /* the caller's */
    uint16_t status; /* when done: the first error's SCT and SC, if the disk sent it */
    uint8_t opc;     /* private: */
    uint8_t block_shift;
    int error;
    uint32_t total; /* blocks; a flush counts as one */
    uint32_t left;  /* of them not posted yet */
    uint32_t parts; /* commands that are out */
    uint64_t bus;   /* of buf */
    struct list waiting;
};

/* 0: accepted. -ENODEV: the controller is lost; -ENXIO: no such namespace; -ERANGE: beyond its end;
 * -EINVAL: no blocks; -EFAULT: the buffer is not (all) in a mapped arena, or not aligned. */
must_check int nvme_read(struct iohdesc *io);
must_check int nvme_write(struct iohdesc *io);
/* What was written before and is completed is durable afterwards. Takes no lba, count or buf. */
must_check int nvme_flush(struct iohdesc *io);

/* The doorbells. False: there was nothing to tell. */
bool nvme_sqsync(struct nvme_qpair *ioqp);
bool nvme_cqsync(struct nvme_qpair *ioqp);
/* How many there are to consume, with those of requests that a reset or a loss has ended. */
uint32_t nvme_peek_completions(struct nvme_qpair *ioqp);
/* At most `max` of them; fewer when fewer are there. Returns how many. */
uint32_t nvme_consume_completions(struct nvme_qpair *ioqp, uint32_t max);
/* Requests accepted and not ended. */
uint32_t nvme_outstanding(const struct nvme_qpair *ioqp);
/* Readable after an interrupt (read 8 bytes, whatever comes of it, and peek); -1: to be polled, or
 * it is lost, after which one that was had before is not to be waited for any more. */
int nvme_fd(const struct nvme_qpair *ioqp);

#define NVME_QPAIR_STATS(X, t)                                                                     \
    X(t, reads, "read requests accepted")                                                          \
    X(t, writes, "write requests accepted")                                                        \
    X(t, flushes, "flush requests accepted")                                                       \
    X(t, commands, "commands posted")                                                              \
    X(t, sq_rings, "submission doorbells")                                                         \
    X(t, cq_rings, "completion doorbells")                                                         \
    X(t, shadow_rings, "doorbells that memory replaced")                                           \
    X(t, waits, "times that a request found no room")                                              \
    X(t, errors, "requests that ended with an error")                                              \
    X(t, timeouts, "commands overdue")                                                             \
    X(t, reissues, "reads sent again")                                                             \
    X(t, drop_stray, "completions of commands that are not out")

struct nvme_qpair_stats {
    NVME_QPAIR_STATS(STAT_FIELD, )
};
extern const struct stat_desc nvme_qpair_stat_descs[];
const struct nvme_qpair_stats *nvme_qpair_stats(const struct nvme_qpair *ioqp);

/* --- ways in ---------------------------------------------------------------------------------- */

/* Memory that the way in brings along, in which every arena has to lie (mem_arena_open_in). False:
 * any memory can be mapped. */
bool nvme_access_memory(const struct nvme_access *access, void **base, size_t *bytes);
/* For an access that no controller has taken over. */
void nvme_access_close(struct nvme_access *access);

/* A controller that is bound to vfio-pci, by its PCI address ("0000:01:00.0"). It is reset, and
 * reaches only what is mapped through the access. Who may open the file of its IOMMU group below
 * /dev/vfio needs no other privilege, but may have to lock as much memory as is mapped
 * (RLIMIT_MEMLOCK). -EBUSY: somebody has it; other -errno: see `why`. */
must_check int nvme_vfio_open(struct nvme_access **out, const char *address, char *why,
                              size_t why_bytes);

struct nvme_kmod_config {
    const char *name;            /* "diskmap0", below /dev */
    size_t memory_bytes;         /* that it brings along, for all arenas; rounded up to buffers */
    struct nvme_access *sharing; /* instead: use this one's, which must be closed after it */
};

/* A controller that the kernel module diskmap administers. The same verbs do for it, with these
 * differences: config.qpairs of them may be there, but taken by other processes (-EBUSY); a command
 * that is overdue costs its queue pair a restart, in which nvme_peek_completions waits for the
 * kernel; and a doorbell is a system call. -errno and why. */
must_check int nvme_kmod_open(struct nvme_access **out, const struct nvme_kmod_config *config,
                              char *why, size_t why_bytes);

/* --- a controller in software ----------------------------------------------------------------- */

#define NVME_SIM_NAMESPACES_MAX 4

struct nvme_sim_namespace {
    void *media;       /* `blocks` blocks; the caller's; NULL: none is kept, and no data moves */
    uint64_t blocks;   /* 0: there is none with this number */
    uint8_t block_log; /* 9 to 12: 512 to 4096 bytes */
    /* How bytes get between `media` and the host; NULL: by copying. Not 0: the medium failed. */
    int (*move)(void *media, void *host, size_t bytes, uint64_t off, bool write);
};

/* What happens to a command is drawn from the seed when it is fetched. Delays make commands
 * overtake each other; with delay_max_ns of 0 they are done within the doorbell. */
struct nvme_sim_config {
    struct nvme_sim_namespace namespaces[NVME_SIM_NAMESPACES_MAX];
    uint64_t seed;
    uint64_t delay_min_ns, delay_max_ns;
    uint64_t ready_ns;    /* from CC.EN to CSTS.RDY, and back; UINT64_MAX: never */
    double error;         /* I/O commands that end with a status drawn from every class */
    double stuck;         /* I/O commands that never end by themselves */
    double abort_fails;   /* Abort commands that have no effect */
    double stray;         /* completions that are preceded by one of a command that is not out */
    double fatal;         /* I/O commands that put the controller into fatal status */
    double wont_stop;     /* times that clearing CC.EN has no effect */
    uint64_t remove_ns;   /* when it is pulled out; 0: never */
    uint32_t queue_pairs; /* granted by Set Features; 0: as many as are asked for */
    uint32_t queue_size;  /* CAP.MQES + 1; 0: 65,536 */
    uint8_t mdts, dstrd;
    bool sgls;       /* it takes SGLs ... */
    bool shadow;     /* ... and doorbells in memory */
    bool interrupts; /* it has eventfds */
    bool threads;    /* it is used by several */
};

/* -ENOMEM, -EINVAL. The namespaces' media have to outlive it. */
must_check int nvme_sim_open(struct nvme_access **out, const struct nvme_sim_config *config);
/* The first thing that the host did and the specification forbids (a doorbell out of range, an
 * identifier used twice, memory that it has not mapped), or NULL. */
const char *nvme_sim_complaint(const struct nvme_access *access);
/* The namespace disappears, and whoever asked for asynchronous events is told. */
void nvme_sim_detach(struct nvme_access *access, uint32_t ns_id);

#endif

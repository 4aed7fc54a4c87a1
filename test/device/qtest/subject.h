// SPDX-License-Identifier: BSD-2-Clause
/*
 * subject.h - a driver and its controller under test: requests are made, and every one of them is
 * watched.
 *
 * Wherever the controller is (struct nvme_access says), a subject sees to it that
 *   - every request that was accepted ends once, and nothing else ends;
 *   - a read that succeeds has the bytes that medium.h knows;
 *   - nobody touches a request's surroundings, nor its buffer or descriptor after it has ended:
 *     they are filled with a pattern then, which is looked at before they are used again.
 * The first thing that is wrong is remembered in `wrong`, in words.
 *
 * Time is the machine's, plus `skew_ns`: a test that wants a command to be overdue moves that.
 */
#ifndef QTEST_SUBJECT_H
#define QTEST_SUBJECT_H

#include "base/rand.h"
#include "medium.h"
#include "nvme/nvme.h"

#define SUBJECT_TRANSFER (1u << 20) /* the longest command that is asked for, and request */
#define SUBJECT_QPAIRS   8
#define SUBJECT_SLOTS    1024
#define SUBJECT_BUFFERS  (24u << 20) /* of all slots together */
#define SUBJECT_TIMEOUT  (2 * NS_PER_S)
#define SUBJECT_GUARD    0xa5

struct subject;

struct slot {
    struct iohdesc io;
    struct subject *subject;
    struct medium *medium;
    uint8_t *memory; /* the slot's part of the buffers */
    uint8_t *buf;    /* where in it the request has its own */
    size_t bytes;    /* of buf */
    uint64_t lba;
    uint32_t count, version;
    enum { SLOT_FREE, SLOT_READING, SLOT_WRITING, SLOT_FLUSHING } state;
    int error; /* of the request that ended last */
};

struct subject {
    struct nvme_access *access;
    struct mem_arena *arena;
    struct nvme_ctrlr *ctrlr;
    bool joined; /* the controller is somebody else's */
    struct nvme_qpair *qps[SUBJECT_QPAIRS];
    uint32_t qp_count;
    enum nvme_state state;
    uint64_t skew_ns;
    bool no_sgls, no_shadow; /* nvme_config's */
    struct medium *media;
    uint32_t medium_count;
    struct rand rand;
    uint8_t *buffers;
    size_t buffers_bytes;
    size_t slot_bytes;
    uint32_t slot_count;
    struct slot slots[SUBJECT_SLOTS];
    uint32_t posted, ended;
    uint32_t failed; /* of those that ended: with an error that is allowed */
    uint32_t next;   /* what a test does next, it does when so many have ended */
    bool (*allowed)(const struct slot *slot, int error); /* NULL: no error is */
    void *test;                                          /* the test's */
    char wrong[256];
};

/* Opens the controller, brings it up, and opens as many of `qpairs` queue pairs as are granted.
 * The access is taken over in every case. False: see `wrong`. */
must_check bool subject_open(struct subject *s, struct nvme_access *access, uint32_t qpairs,
                             uint32_t depth);
/* One that has a queue pair of another one's controller, with an arena of its own: for a thread of
 * its own. Its clock is the machine's. */
must_check bool subject_join(struct subject *s, const struct subject *owner, uint32_t number);
/* The controller deletes the queues, and the driver gives the numbers back. */
must_check bool subject_part(struct subject *s);
/* Opens as many queue pairs as the controller grants. */
must_check bool subject_attach(struct subject *s);
/* Whatever is out ends. Those that have joined are closed after the owner. */
void subject_close(struct subject *s);
/* Cuts the buffers into slots for requests of up to `bytes`; as many as fit, at most `slots`. */
void subject_slots(struct subject *s, uint32_t slots, size_t bytes);

struct request {
    enum { READ, WRITE, FLUSH } kind;
    struct medium *medium;
    uint32_t qp; /* index */
    uint64_t lba;
    uint32_t count;
    size_t off; /* of the buffer in its first page; a multiple of 4 */
};

/* NULL: the driver refused it, or somebody else has the blocks, or no slot is free. */
struct slot *subject_post(struct subject *s, const struct request *request);
/* Takes a turn and consumes what there is; false: nothing was. */
bool subject_turn(struct subject *s);
/* The doorbells of all queue pairs. */
void subject_ring(struct subject *s);
uint32_t subject_outstanding(const struct subject *s);
/* Rings and turns until at most `left` requests are out. False: they do not end, or `wrong`. */
must_check bool subject_drain(struct subject *s, uint32_t left);
/* The same until the state is `state`. */
must_check bool subject_await(struct subject *s, enum nvme_state state);

/* Many requests at once, of random kind, place, size and alignment. */
struct load {
    uint32_t requests;
    uint32_t at_once;
    uint32_t bytes_max;
    uint32_t writes, flushes; /* of 100 */
    bool lazy;                /* doorbells are often left for later */
    /* Called between posting and consuming; NULL: nothing happens. */
    void (*between)(struct subject *s);
};

must_check bool subject_load(struct subject *s, const struct load *load);
/* All the pattern is where it belongs. */
must_check bool subject_guards(struct subject *s);
bool subject_wrong(struct subject *s, const char *fmt, ...) printf_like(2, 3);

#endif

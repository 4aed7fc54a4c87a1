// SPDX-License-Identifier: BSD-2-Clause
/*
 * machine.h - a QEMU with one controller, in one of several personalities.
 *
 * Under each namespace lies a medium.h, and in between what makes misfortunes: blkdebug (errors,
 * and requests that are held) and a throttle.
 */
#ifndef QTEST_MACHINE_H
#define QTEST_MACHINE_H

#include "medium.h"
#include "nvme/nvme.h"
#include "qemu.h"

#define MACHINE_MEDIA     4
#define MACHINE_QPAIRS    4     /* asked for */
#define MACHINE_SLOT      4     /* of bus 0, where the controller is plugged in */
#define MACHINE_BAD_READ  5000u /* blocks of 512 bytes; see bad_blocks */
#define MACHINE_BAD_WRITE 7000u

/* What can be tried with it. */
enum machine_kind {
    MACHINE_PLAIN = 1,
    MACHINE_NAMESPACES = 2, /* several */
    MACHINE_GOOD = MACHINE_PLAIN | MACHINE_NAMESPACES,
    MACHINE_BAD_BLOCKS = 4, /* one cannot be read, another not written */
    MACHINE_FOREIGN = 8,    /* a namespace has a format that we do not read */
    MACHINE_PC = 16,        /* what its operator unplugs its BIOS ejects, without asking a guest */
    MACHINE_ANY = 31,
};

struct personality {
    const char *name;
    enum machine_kind kind;
    const char *options; /* of the controller */
    uint32_t qpairs;     /* that it grants */
    uint32_t transfer_bytes;
    bool no_sgls, no_shadow; /* of the driver's: what is not to be used */
    struct {
        uint32_t ns_id, block_bytes;
        uint32_t metadata; /* bytes with each block: a format that we do not read */
    } namespaces[MACHINE_MEDIA];
};

struct machine {
    const struct personality *personality;
    struct qemu qemu;
    struct medium media[MACHINE_MEDIA];
    uint32_t medium_count;
    struct medium foreign; /* with metadata: nobody asks for what cannot be read */
};

/* NULL: there is none of this name. With NULL: prints all names on standard error. */
const struct personality *personality_find(const char *name);
must_check bool machine_start(struct machine *machine, const struct personality *personality);
/* Also of one that did not start, or was stopped. False: QEMU did not end well. */
bool machine_stop(struct machine *machine);
/* What the media have to hold stays known. */
void machine_forget(struct machine *machine);
/* The way to the controller; NULL: `why` says why not. */
struct nvme_access *machine_reach(struct machine *machine, char *why, size_t why_bytes);
/* The next read is held ("break read_aio", a tag), it has arrived and is ("wait_break"), it goes on
 * ("resume"). A reset of the controller would wait for it for ever. */
must_check bool machine_hold(struct machine *machine, const struct medium *medium, const char *what,
                             const char *tag);
/* Requests a second that the media carry out; 0: any number. */
must_check bool machine_limit(struct machine *machine, uint32_t requests_per_second);
/* The controller's PCI command register, behind the driver's back. */
void machine_command(struct machine *machine, uint32_t value);
/* Of one of QEMU's trace events; its words then come with qemu_trace. */
must_check bool machine_trace(struct machine *machine, const char *event, bool on);

#endif

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 WITH Linux-syscall-note */
/*
 * diskmap_ioctl.h - what a process and diskmap.ko say to each other.
 *
 * The module takes an NVMe function. The admin queue and all doorbells stay in the kernel; an I/O
 * queue pair and a share of the memory that the disk can reach are mapped into a process, which
 * writes commands and reads completions by itself and enters the kernel to ring.
 *
 *	fd = open("/dev/diskmap0", O_RDWR | O_CLOEXEC);
 *	ioctl(fd, DISKMAP_IOC_INFO, &info);
 *	attach = (struct diskmap_attach){.buffers = n, .buffers_fd = -1};
 *	ioctl(fd, DISKMAP_IOC_ATTACH, &attach);
 *	queues = mmap(NULL, attach.queues_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
 *		      attach.queues_offset);
 *	buffers = mmap(NULL, attach.buffers_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
 *		       attach.buffers_offset);
 *	... commands into the submission queue, with bus addresses ...
 *	ioctl(fd, DISKMAP_IOC_RING_SQ, tail);
 *	poll(fd), or look at the phase bits; take completions out of the completion queue
 *	ioctl(fd, DISKMAP_IOC_RING_CQ, head);
 *
 * One open file is one queue pair. A process that wants several (one for each thread, say) opens
 * the device several times. The queue pair and its buffers are the file's until the file is
 * released, that is until it is closed everywhere and everything mapped from it is unmapped, as
 * happens by itself when a process dies. Then the queues are deleted on the controller, and only
 * after that is the memory cleared and given to somebody else.
 *
 * Addresses are relative. A thing at offset X of one of the two mapped areas is at
 * queues + X in the process and at queues_bus + X for the disk (or buffers, buffers_bus): bus
 * addresses run on as pointers do. Buffer i lies at i * buffer_bytes of its area; whoever wants one
 * arena instead of buffers may take the area as that.
 *
 * What is guaranteed. The kernel believes nothing that a process says in an ioctl, and nothing
 * that stands in memory which a process or the disk can write. The IOMMU keeps the disk to this
 * module's memory: a command with any other address reaches nothing, whatever the process was up
 * to. Where no IOMMU does that, or interrupts are not remapped, or the function shares its IOMMU
 * group with another device, or firmware has the IOMMU let it through to some other memory, the
 * module does not take a disk, unless it is told to with unsafe=1 (and the kernel is not locked
 * down), and DISKMAP_CONFINED is clear; then whoever may open the device can read and write all
 * memory, and opening it takes CAP_SYS_RAWIO.
 *
 * Memory that a process is given holds nothing that the disk or the process before it read or
 * wrote, and nobody who had it before can still reach it: mappings end with the file, and cannot be
 * pinned (direct I/O, vmsplice, registered buffers; those say EFAULT). When the last queue pair of
 * a disk is released, the controller is reset by its registers before any memory is cleared. So
 * users who have a disk one after the other, never at the same time, leave each other nothing but
 * what the disk itself remembers: its blocks, its settings and its firmware.
 *
 * What is not. The IOMMU knows the disk, not the process: commands are not looked at on the way,
 * since that would cost what this module is there to save. So processes that have queue pairs of
 * the same disk at the same time can, on purpose, reach each other's queues and buffers through it,
 * and the admin queue, with which they can have the controller do anything, and even for longer
 * than they have their queue pairs, as long as somebody else has one: they have to trust each
 * other, though not with anything but this disk. Any of them can read and write all blocks of all
 * namespaces. The device file is root's, mode 0600: to give it to a user is to give that user the
 * disk. Users who do not trust each other get disks (or SR-IOV functions) of their own.
 *
 * When things go wrong. A command that takes too long is taken back with DISKMAP_IOC_RESTART, which
 * deletes and creates this queue pair and leaves others alone. A controller that does not even do
 * that, or that fails by itself, is reset, and all queue pairs are lost: ringing says ESTALE and
 * poll EPOLLERR, and the process calls DISKMAP_IOC_RESTART when it is ready for it. Once
 * either was said, no command that was out will touch memory any more. A disk that was pulled out,
 * that was unbound or that cannot be reset says ENODEV, and poll says EPOLLHUP; memory stays
 * mapped. Unbinding and physical removal wait until every file with a queue pair is released.
 */
#ifndef DISKMAP_IOCTL_H
#define DISKMAP_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DISKMAP_VERSION 1

/* struct diskmap_info: flags */
#define DISKMAP_CONFINED    (1u << 0) /* the IOMMU keeps the disk to the module's memory */
#define DISKMAP_WRITE_CACHE (1u << 1) /* what was written is durable after a Flush only */

/* Strings are padded with zeroes and hold printable characters only. */
struct diskmap_info {
	__u32 version; /* DISKMAP_VERSION */
	__u32 flags;
	__u32 queue_pairs; /* numbered from 1 */
	__u32 queue_pairs_free;
	__u32 entries;        /* of each queue; one stays empty, as NVMe has it */
	__u32 transfer_bytes; /* longest command */
	__u32 buffer_bytes;   /* a power of two, at least 4,096 */
	__u32 buffers;        /* of this disk, for all processes together */
	__u32 buffers_free;   /* in one piece */
	__u32 namespaces;     /* active ones that DISKMAP_IOC_NAMESPACE knows */
	__u32 changes;        /* counted up whenever the namespaces may have changed */
	__u32 nvme_version;   /* as in the register VS */
	char model[44];
	char serial[24];
	char firmware[12];
	char pci[16]; /* "0000:01:00.0" */
};

struct diskmap_namespace {
	__u32 index; /* in: 0 to namespaces - 1 */
	__u32 ns_id;
	__u32 block_bytes; /* a power of two */
	__u32 reserved;
	__u64 blocks;
};

#define DISKMAP_ANY 0 /* any queue pair that is free */

/*
 * All offsets of queues_* are from the beginning of the first mapped area. There is one list of
 * pages for each entry of the submission queue, list_bytes long, and none of them crosses a page;
 * how they are used is the process's affair.
 *
 * Several disks can fill the same buffers: attach the first disk with buffers, and each of the
 * others with buffers = 0 and buffers_fd = the first one's file. They get a buffers_bus of their
 * own and nothing to map. The buffers are given back when the last of these files is released.
 */
struct diskmap_attach {
	__u32 queue_pair; /* in: its number or DISKMAP_ANY; out: its number */
	__u32 buffers;    /* in: how many, may be 0; out: how many the area has */
	__s32 buffers_fd; /* in: -1, or a file whose buffers are used */
	__u32 flags;      /* in: 0 */
	__u32 entries;    /* out, like all that follow */
	__u32 list_bytes;
	__u64 queues_offset; /* for mmap */
	__u64 queues_bytes;
	__u64 queues_bus;
	__u64 sq_offset;
	__u64 cq_offset;
	__u64 lists_offset;
	__u64 buffers_offset; /* for mmap; nothing to map when buffers_fd was given */
	__u64 buffers_bytes;
	__u64 buffers_bus;
};

/* The SMART / Health Information log (02h), as the controller said it. */
struct diskmap_health {
	__u8 log[512];
};

#define DISKMAP_IOC 0xBD

/*
 * All of these, ringing aside: ENODEV: the disk is gone; EAGAIN: it is stopped for a moment, since
 * the machine sleeps or somebody else resets it, ask again; EFAULT: a pointer to nothing; if
 * only the answer could not be written, what was asked for has happened all the same.
 */
/* At any time, whether or not this file has a queue pair. */
#define DISKMAP_IOC_INFO _IOR(DISKMAP_IOC, 0, struct diskmap_info)
/* EINVAL: no namespace has that index. */
#define DISKMAP_IOC_NAMESPACE _IOWR(DISKMAP_IOC, 1, struct diskmap_namespace)
/* EIO: the controller refused. */
#define DISKMAP_IOC_HEALTH _IOR(DISKMAP_IOC, 2, struct diskmap_health)
/*
 * Once for each open file. EACCES: it was not opened for reading and writing; EBUSY: this file has
 * one already, or all queue pairs or that one are taken; ENOMEM: not so many buffers are free in
 * one piece; EINVAL: no such number, a flag that is not known, both kinds of buffers at once;
 * EBADF, EINVAL: buffers_fd is not a file with buffers of its own; EOPNOTSUPP: this machine cannot
 * share buffers between these disks; EIO: the controller refused to create the queues.
 */
#define DISKMAP_IOC_ATTACH _IOWR(DISKMAP_IOC, 3, struct diskmap_attach)
/*
 * The argument is the new tail (head) itself. What rings for nothing is not passed on. EINVAL: not
 * an index of the queue; ENXIO: nothing is attached; ESTALE: the queue pair was lost in a reset,
 * see DISKMAP_IOC_RESTART; ENODEV: the disk is gone.
 */
#define DISKMAP_IOC_RING_SQ _IO(DISKMAP_IOC, 4)
#define DISKMAP_IOC_RING_CQ _IO(DISKMAP_IOC, 5)
/*
 * Deletes the queue pair if it is there, clears both queues, and creates it anew: both indices are
 * 0 and the first completions have phase 1. Commands that were out are forgotten, and the disk has
 * ended whatever it did for them. May take as long as a reset. The argument is 0. EINVAL and ENXIO
 * as above; EIO: the controller refused to create the queues.
 */
#define DISKMAP_IOC_RESTART _IO(DISKMAP_IOC, 6)

/*
 * poll(2) and epoll(7), level-triggered only, since the interrupt is switched on by asking. A file
 * can be watched before it is attached:
 *
 *	EPOLLIN		there is a completion beyond the head that was rung last
 *	EPOLLPRI	the namespaces may have changed since this file asked for DISKMAP_IOC_INFO
 *	EPOLLERR	the queue pair was lost: DISKMAP_IOC_RESTART
 *	EPOLLHUP	the disk is gone
 */

#endif

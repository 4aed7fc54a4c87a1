/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * dmap.h - one disk, seen from inside the module. What processes see is in diskmap_ioctl.h.
 *
 * All memory that the disk can reach is allocated when the disk is taken (memory.c): a pool for
 * each queue pair, one of buffers, three pages for the admin queue. It is freed when the disk
 * is given back, after its bus mastering is off and every file with a queue pair is released, so
 * that neither the disk nor a process can meet memory that has another use by then.
 *
 * dev->mutex is held for whatever changes who has what: attaching, restarting, releasing, resets
 * and all admin commands. A queue pair's own spinlock guards its state and its doorbells; it is
 * all that ringing takes. Whoever changes a state takes both, in this order.
 *
 * Whatever stands in memory that the disk or a process can write is read once and checked; that is
 * the admin completion queue and what Identify answers as well, because a process can tell the
 * disk to write there.
 */
#ifndef DISKMAP_DMAP_H
#define DISKMAP_DMAP_H

#include <linux/cdev.h>
#include <linux/completion.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "diskmap_ioctl.h"

#define DMAP_PAGE             4096u /* the controller's, CC.MPS = 0 */
#define DMAP_DISKS_MAX        64
#define DMAP_QUEUE_PAIRS_MAX  64
#define DMAP_ENTRIES_MAX      4096
#define DMAP_TRANSFER_MAX     (1u << 20)
#define DMAP_NAMESPACES_MAX   32
#define DMAP_ADMIN_ENTRIES    32

#define DMAP_BUFFER_BYTES_MAX (64u << 20)
/* Of one disk, all together: the kernel's list of their pages has to stay below 2 GiB. */
#define DMAP_BUFFERS_BYTES_MAX (1ull << 39)

struct dmap_dev;

/* Memory that the disk can reach, in one piece for it and for the processor. */
struct dmap_pool {
	void *cpu;
	dma_addr_t bus;
	size_t bytes;
};

/*
 * An interrupt is switched on when somebody polls and finds nothing, and it switches itself off:
 * processes that are busy are left in peace. Vector 0 is the admin queue's and always on.
 */
struct dmap_vector {
	spinlock_t lock;
	bool armed;
	int irq;
	unsigned int index;
	struct dmap_dev *dev;
};

enum dmap_queue_state {
	DMAP_QUEUE_FREE,   /* nobody has it, it does not exist on the controller */
	DMAP_QUEUE_LIVE,   /* doorbells are passed on */
	DMAP_QUEUE_HALTED, /* being stopped: doorbells go nowhere, and it is not said yet that it is
			      lost */
	DMAP_QUEUE_LOST, /* the controller forgot it and writes nothing; its owner has to restart it
			  */
	DMAP_QUEUE_GONE, /* ... and cannot */
};

struct dmap_queue {
	spinlock_t lock; /* of what follows */
	enum dmap_queue_state state;
	u16 sq_tail, cq_head; /* rung last */
	u8 phase;             /* of a new completion at cq_head */
	/* --- constant --- */
	u16 id;
	u32 entries;
	struct nvme_completion *cq;
	u32 __iomem *sq_doorbell, *cq_doorbell;
	struct dmap_vector *vector;
	struct dmap_pool pool; /* submission queue, completion queue, lists of pages */
	/* --- under vector->lock --- */
	wait_queue_head_t *wait; /* its file's, or NULL */
	/* --- under dev->mutex --- */
	bool created; /* it exists on the controller */
};

struct dmap_admin {
	struct dmap_pool pool; /* submission queue, completion queue, data: a page each */
	spinlock_t lock;       /* of the completion queue and of what follows */
	u16 head;
	u8 phase;
	bool waiting; /* for the command `cid` */
	u16 cid;
	u16 status;
	u32 result;
	bool event_out; /* an Asynchronous Event Request is out */
	u16 event_status;
	u32 event;
	struct completion done;
	/* --- under dev->mutex --- */
	u16 tail;
};

struct dmap_namespace {
	u32 id;
	u32 block_bytes;
	u64 blocks;
};

enum dmap_state {
	DMAP_LIVE,
	DMAP_PAUSED, /* stopped; it will be started again, and has forgotten its queues */
	DMAP_DEAD,   /* it cannot be made to work: cut off from memory */
	DMAP_GONE,   /* being given back, or pulled out */
};

struct dmap_dev {
	struct device device;
	struct cdev cdev;
	struct pci_dev *pdev;
	int minor;
	bool confined;
	void __iomem *bar;
	size_t bar_bytes;
	u64 cap;

	struct mutex mutex;
	enum dmap_state state;
	bool broken; /* an admin command did not end: only a reset helps */
	bool used;   /* processes have had queue pairs since it was enabled */
	struct dmap_admin admin;

	struct dmap_vector *vectors;
	unsigned int vector_count;
	struct dmap_queue *queues;
	unsigned int queue_count;
	u32 entries, transfer_bytes, list_bytes;
	size_t cq_offset, lists_offset; /* in a queue pair's pool */

	struct dmap_pool buffers;
	u32 buffer_bytes, buffer_count;
	unsigned long *buffers_taken; /* a bit each */

	struct dmap_namespace namespaces[DMAP_NAMESPACES_MAX];
	u32 namespace_count;
	u32 changes;
	u32 version;
	bool write_cache;
	char model[44], serial[24], firmware[12]; /* as in struct diskmap_info */

	struct list_head files;
	u32 attached;             /* of them; also read without the mutex */
	wait_queue_head_t idle;   /* a file was released */
	wait_queue_head_t events; /* namespaces changed, or the disk is gone */
	struct delayed_work watchdog;
	struct work_struct event_work;

	u32 resets;
	atomic_t strays; /* admin completions of commands that are not out */
};

/* Buffers of another disk's file, which this disk reaches too. */
struct dmap_loan {
	struct file *lender;
	struct sg_table table;
};

struct dmap_file {
	struct dmap_dev *dev;
	struct list_head link;    /* in dev->files */
	struct dmap_queue *queue; /* set once, with release semantics */
	u32 buffer_first, buffer_count;
	struct dmap_loan *loan;
	wait_queue_head_t wait; /* for the queue pair, once there is one */
	u32 changes_seen;
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

/* --- memory.c: dev->mutex is held where buffers change hands ------------------------------------
 */

int dmap_pool_init(struct dmap_dev *dev, struct dmap_pool *pool, size_t bytes);
void dmap_pool_exit(struct dmap_dev *dev, struct dmap_pool *pool);
/* Into a process, from `skip` bytes on. Neither the process nor the kernel can pin what is mapped.
 */
int dmap_pool_map(struct dmap_dev *dev, struct vm_area_struct *vma, struct dmap_pool *pool,
		  size_t skip);
int dmap_buffers_take(struct dmap_dev *dev, u32 count, u32 *first);
void dmap_buffers_give(struct dmap_dev *dev, u32 first, u32 count);
u32 dmap_buffers_free(struct dmap_dev *dev); /* in one piece */
/* Buffers `first` to `first + count` of `owner` become reachable by `dev`, from *bus on. */
int dmap_loan_init(struct dmap_dev *dev, struct dmap_loan *loan, struct dmap_dev *owner, u32 first,
		   u32 count, dma_addr_t *bus);
/* On return the disk cannot reach them any more. */
void dmap_loan_exit(struct dmap_dev *dev, struct dmap_loan *loan);
/* Whether nothing but the module's memory can be reached by the disk. */
bool dmap_is_confined(struct pci_dev *pdev);

/* --- admin.c: dev->mutex is held ----------------------------------------------------------------
 */

int dmap_admin_init(struct dmap_dev *dev);
void dmap_admin_exit(struct dmap_dev *dev);
/* The controller is disabled: both queues begin anew. */
void dmap_admin_reset(struct dmap_dev *dev);
/* 0, -EIO: refused, -ETIMEDOUT: dev->broken is set. `result`, if any, is DW0 of the answer. */
int dmap_admin(struct dmap_dev *dev, struct nvme_command *cmd, u32 *result);
/* The answer is in dmap_admin_data. */
int dmap_identify(struct dmap_dev *dev, u8 cns, u32 ns_id);
int dmap_get_log(struct dmap_dev *dev, u8 log, u32 bytes);
const void *dmap_admin_data(const struct dmap_dev *dev);
/* Asks to be told of the next event; dev->event_work runs when it comes. */
void dmap_admin_ask_events(struct dmap_dev *dev);
/* From the interrupt, and from whoever waited in vain. */
void dmap_admin_reap(struct dmap_dev *dev);

/* --- queue.c: dev->mutex is held except where it says otherwise ---------------------------------
 */

int dmap_queue_init(struct dmap_dev *dev, struct dmap_queue *q, u16 id);
void dmap_queue_exit(struct dmap_dev *dev, struct dmap_queue *q);
/* Creates it on the controller, cleared. 0, -EIO, -ETIMEDOUT. */
int dmap_queue_create(struct dmap_dev *dev, struct dmap_queue *q);
/* On return the controller does not know it any more; that may have taken a reset. */
void dmap_queue_delete(struct dmap_dev *dev, struct dmap_queue *q);
void dmap_queue_set(struct dmap_queue *q, enum dmap_queue_state state);
/* From now on these are woken, or nobody. */
void dmap_queue_own(struct dmap_queue *q, wait_queue_head_t *wait);
/* Without the mutex: */
int dmap_queue_ring_sq(struct dmap_queue *q, unsigned long tail);
int dmap_queue_ring_cq(struct dmap_queue *q, unsigned long head);
__poll_t dmap_queue_poll(struct dmap_queue *q);
irqreturn_t dmap_interrupt(int irq, void *vector);

/* --- ctrlr.c: dev->mutex is held ----------------------------------------------------------------
 */

/* Afterwards CC.EN is 0 and CSTS.RDY has fallen: the controller reaches no memory. */
int dmap_ctrlr_stop(struct dmap_dev *dev);
/* Enables it, and finds out what it is. */
int dmap_ctrlr_start(struct dmap_dev *dev);
/* Stops it: DMAP_PAUSED or, if it does not stop, DMAP_DEAD. With `shut_down` it saves what it has
 * before, since it is going to lose power or its owner. */
void dmap_pause(struct dmap_dev *dev, bool shut_down);
/* Starts it again: DMAP_LIVE, and all queue pairs are lost; or DMAP_DEAD. */
void dmap_resume(struct dmap_dev *dev);
/* Both. */
void dmap_reset(struct dmap_dev *dev, const char *why);
/* The same, if no queue pair is left of those that processes had: whatever they made the controller
 * do, even by way of the admin queue, has an end before somebody else comes. */
void dmap_renew(struct dmap_dev *dev);
/* The disk reaches no memory any more, whatever state it is in; nothing is expected of it. */
void dmap_cut_off(struct dmap_dev *dev, enum dmap_state state, const char *why);
void dmap_watchdog(struct work_struct *work);
void dmap_event_work(struct work_struct *work);

/* --- file.c -------------------------------------------------------------------------------------
 */

extern const struct file_operations dmap_fops;

#endif

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * queue.c - an I/O queue pair: on the controller, at its doorbells, and for whoever waits for it.
 */
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/poll.h>

#include "dmap.h"

int dmap_queue_init(struct dmap_dev *dev, struct dmap_queue *q, u16 id)
{
	u32 stride = 4 << NVME_CAP_STRIDE(dev->cap);
	unsigned int vector;
	int err;

	err = dmap_pool_init(dev, &q->pool, dev->lists_offset + dev->entries * dev->list_bytes);
	if (err)
		return err;
	spin_lock_init(&q->lock);
	q->state = DMAP_QUEUE_FREE;
	q->id = id;
	q->entries = dev->entries;
	q->cq = q->pool.cpu + dev->cq_offset;
	q->sq_doorbell = dev->bar + NVME_REG_DBS + 2 * id * stride;
	q->cq_doorbell = dev->bar + NVME_REG_DBS + (2 * id + 1) * stride;
	/* Where there are too few interrupts, queue pairs share them. */
	vector = dev->vector_count > 1 ? 1 + (id - 1) % (dev->vector_count - 1) : 0;
	/* The interrupt may come already; it must not meet half a queue pair. */
	smp_store_release(&q->vector, &dev->vectors[vector]);
	return 0;
}

void dmap_queue_exit(struct dmap_dev *dev, struct dmap_queue *q)
{
	dmap_pool_exit(dev, &q->pool);
}

/* --- on the controller --------------------------------------------------------------------------
 */

static int create_cq(struct dmap_dev *dev, struct dmap_queue *q)
{
	struct nvme_command cmd = {};

	cmd.create_cq.opcode = nvme_admin_create_cq;
	cmd.create_cq.prp1 = cpu_to_le64(q->pool.bus + dev->cq_offset);
	cmd.create_cq.cqid = cpu_to_le16(q->id);
	cmd.create_cq.qsize = cpu_to_le16(q->entries - 1);
	cmd.create_cq.cq_flags = cpu_to_le16(NVME_QUEUE_PHYS_CONTIG | NVME_CQ_IRQ_ENABLED);
	cmd.create_cq.irq_vector = cpu_to_le16(q->vector->index);
	return dmap_admin(dev, &cmd, NULL);
}

static int create_sq(struct dmap_dev *dev, struct dmap_queue *q)
{
	struct nvme_command cmd = {};

	cmd.create_sq.opcode = nvme_admin_create_sq;
	cmd.create_sq.prp1 = cpu_to_le64(q->pool.bus);
	cmd.create_sq.sqid = cpu_to_le16(q->id);
	cmd.create_sq.qsize = cpu_to_le16(q->entries - 1);
	cmd.create_sq.sq_flags = cpu_to_le16(NVME_QUEUE_PHYS_CONTIG);
	cmd.create_sq.cqid = cpu_to_le16(q->id);
	return dmap_admin(dev, &cmd, NULL);
}

static int delete_one(struct dmap_dev *dev, u8 opcode, u16 id)
{
	struct nvme_command cmd = {};

	cmd.delete_queue.opcode = opcode;
	cmd.delete_queue.qid = cpu_to_le16(id);
	return dmap_admin(dev, &cmd, NULL);
}

int dmap_queue_create(struct dmap_dev *dev, struct dmap_queue *q)
{
	int err;

	memset(q->pool.cpu, 0, dev->lists_offset); /* both queues: phase bits begin at 0 */
	err = create_cq(dev, q);
	if (err)
		return err;
	q->created = true;
	dev->used = true;
	err = create_sq(dev, q);
	if (err)
		dmap_queue_delete(dev, q);
	return err;
}

void dmap_queue_delete(struct dmap_dev *dev, struct dmap_queue *q)
{
	int strays = atomic_read(&dev->strays);
	int err;

	if (!q->created)
		return;
	/*
	 * The controller ends all commands of a submission queue before it says that the queue is
	 * deleted (NVMe 1.4, 5.6). A completion queue that half a creation left is alone, and then
	 * the first command is refused: what counts is whether the second one is accepted, which it
	 * must not be as long as a submission queue uses it (5.5).
	 */
	err = delete_one(dev, nvme_admin_delete_sq, q->id);
	if (err != -ETIMEDOUT)
		err = delete_one(dev, nvme_admin_delete_cq, q->id);
	if (err)
		dmap_reset(dev, "a queue pair could not be deleted");
	/* Then who said that it is deleted may have been a process, through the disk. */
	else if (atomic_read(&dev->strays) != strays)
		dmap_reset(dev, "an answer that nothing asked for");
	q->created = false;
}

/* The interrupt holds the same lock as long as it wakes: a file that is not the queue pair's any
 * more can be freed. */
void dmap_queue_own(struct dmap_queue *q, wait_queue_head_t *wait)
{
	unsigned long flags;

	spin_lock_irqsave(&q->vector->lock, flags);
	q->wait = wait;
	spin_unlock_irqrestore(&q->vector->lock, flags);
}

void dmap_queue_set(struct dmap_queue *q, enum dmap_queue_state state)
{
	unsigned long flags;

	spin_lock(&q->lock);
	q->state = state;
	if (state == DMAP_QUEUE_LIVE) {
		q->sq_tail = 0;
		q->cq_head = 0;
		q->phase = 1;
	}
	spin_unlock(&q->lock);
	spin_lock_irqsave(&q->vector->lock, flags);
	if (q->wait)
		wake_up_interruptible_all(q->wait);
	spin_unlock_irqrestore(&q->vector->lock, flags);
}

/* --- at its doorbells ---------------------------------------------------------------------------
 */

/* Under q->lock. 0: ring it; 1: there is nothing to ring; or -errno. */
static int check_ring(const struct dmap_queue *q, unsigned long value, u16 last)
{
	if (value >= q->entries)
		return -EINVAL;
	switch (q->state) {
	case DMAP_QUEUE_LIVE:
		return value == last;
	case DMAP_QUEUE_HALTED:
		return 1;
	case DMAP_QUEUE_LOST:
		return -ESTALE;
	default:
		return -ENODEV;
	}
}

int dmap_queue_ring_sq(struct dmap_queue *q, unsigned long tail)
{
	int verdict;

	spin_lock(&q->lock);
	verdict = check_ring(q, tail, q->sq_tail);
	if (!verdict) {
		q->sq_tail = tail;
		/* writel orders the process's entries before the doorbell. */
		writel(tail, q->sq_doorbell);
	}
	spin_unlock(&q->lock);
	return min(verdict, 0);
}

int dmap_queue_ring_cq(struct dmap_queue *q, unsigned long head)
{
	int verdict;

	spin_lock(&q->lock);
	verdict = check_ring(q, head, q->cq_head);
	if (!verdict) {
		if (head < q->cq_head)
			q->phase ^= 1;
		q->cq_head = head;
		writel(head, q->cq_doorbell);
	}
	spin_unlock(&q->lock);
	return min(verdict, 0);
}

/* --- for whoever waits --------------------------------------------------------------------------
 */

static void vector_arm(struct dmap_vector *vector)
{
	unsigned long flags;

	spin_lock_irqsave(&vector->lock, flags);
	if (!vector->armed) {
		vector->armed = true;
		enable_irq(vector->irq);
	}
	spin_unlock_irqrestore(&vector->lock, flags);
}

irqreturn_t dmap_interrupt(int irq, void *data)
{
	struct dmap_vector *vector = data;
	struct dmap_dev *dev = vector->dev;
	unsigned int i;

	if (!vector->index)
		dmap_admin_reap(dev);
	spin_lock(&vector->lock);
	if (vector->index && vector->armed) {
		vector->armed = false;
		disable_irq_nosync(vector->irq);
	}
	for (i = 0; i < dev->queue_count; i++) {
		struct dmap_queue *q = &dev->queues[i];

		/* Before it is set up, a queue pair has no vector. */
		if (smp_load_acquire(&q->vector) == vector && q->wait)
			wake_up_interruptible_poll(q->wait, EPOLLIN | EPOLLRDNORM);
	}
	spin_unlock(&vector->lock);
	return IRQ_HANDLED;
}

static __poll_t poll_once(struct dmap_queue *q)
{
	__poll_t mask = 0;

	spin_lock(&q->lock);
	switch (q->state) {
	case DMAP_QUEUE_LIVE:
		/* The process may have written there; then it fools itself. */
		if ((le16_to_cpu(READ_ONCE(q->cq[q->cq_head].status)) & 1) == q->phase)
			mask = EPOLLIN | EPOLLRDNORM;
		break;
	case DMAP_QUEUE_HALTED:
		break;
	case DMAP_QUEUE_LOST:
		mask = EPOLLERR;
		break;
	default:
		mask = EPOLLHUP | EPOLLERR;
		break;
	}
	spin_unlock(&q->lock);
	return mask;
}

/* The caller waits already: a completion that comes between the two looks is seen by the
 * second, one that comes after it finds the interrupt switched on. */
__poll_t dmap_queue_poll(struct dmap_queue *q)
{
	__poll_t mask = poll_once(q);

	if (mask)
		return mask;
	vector_arm(q->vector);
	return poll_once(q);
}

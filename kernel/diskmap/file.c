// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * file.c - one open file, that is one queue pair with its buffers, from attaching to release.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "dmap.h"

/* User memory is never touched with the mutex held: those who serve its page faults can take as
 * long as they like. What an admin command left broken is mended before anybody else comes. */
static void unlock(struct dmap_dev *dev)
{
	if (dev->broken)
		dmap_reset(dev, "an admin command did not end");
	mutex_unlock(&dev->mutex);
}

/* With the mutex and a controller that works, or not at all. */
static int lock_live(struct dmap_dev *dev)
{
	int err = mutex_lock_killable(&dev->mutex);

	if (err)
		return err;
	if (dev->state == DMAP_LIVE)
		return 0;
	err = dev->state == DMAP_PAUSED ? -EAGAIN : -ENODEV;
	mutex_unlock(&dev->mutex);
	return err;
}

/* --- what can be asked --------------------------------------------------------------------------
 */

static u32 queue_pairs_free(struct dmap_dev *dev)
{
	u32 i, n = 0;

	for (i = 0; i < dev->queue_count; i++)
		n += dev->queues[i].state == DMAP_QUEUE_FREE;
	return n;
}

static long get_info(struct dmap_file *f, void __user *to)
{
	struct dmap_dev *dev = f->dev;
	struct diskmap_info info = {.version = DISKMAP_VERSION};
	int err = lock_live(dev);

	if (err)
		return err;
	info.flags = (dev->confined ? DISKMAP_CONFINED : 0) |
		     (dev->write_cache ? DISKMAP_WRITE_CACHE : 0);
	info.queue_pairs = dev->queue_count;
	info.queue_pairs_free = queue_pairs_free(dev);
	info.entries = dev->entries;
	info.transfer_bytes = dev->transfer_bytes;
	info.buffer_bytes = dev->buffer_bytes;
	info.buffers = dev->buffer_count;
	info.buffers_free = dmap_buffers_free(dev);
	info.namespaces = dev->namespace_count;
	info.changes = dev->changes;
	info.nvme_version = dev->version;
	memcpy(info.model, dev->model, sizeof(info.model));
	memcpy(info.serial, dev->serial, sizeof(info.serial));
	memcpy(info.firmware, dev->firmware, sizeof(info.firmware));
	strscpy(info.pci, pci_name(dev->pdev), sizeof(info.pci));
	WRITE_ONCE(f->changes_seen, dev->changes);
	unlock(dev);
	return copy_to_user(to, &info, sizeof(info)) ? -EFAULT : 0;
}

static long get_namespace(struct dmap_file *f, struct diskmap_namespace __user *to)
{
	struct dmap_dev *dev = f->dev;
	struct diskmap_namespace answer = {};
	const struct dmap_namespace *ns;
	int err;

	if (get_user(answer.index, &to->index))
		return -EFAULT;
	err = lock_live(dev);
	if (err)
		return err;
	if (answer.index < dev->namespace_count) {
		ns = &dev->namespaces[answer.index];
		answer.ns_id = ns->id;
		answer.block_bytes = ns->block_bytes;
		answer.blocks = ns->blocks;
	} else {
		err = -EINVAL;
	}
	unlock(dev);
	if (err)
		return err;
	return copy_to_user(to, &answer, sizeof(answer)) ? -EFAULT : 0;
}

static long get_health(struct dmap_file *f, struct diskmap_health __user *to)
{
	struct dmap_dev *dev = f->dev;
	struct diskmap_health answer;
	int err = lock_live(dev);

	if (err)
		return err;
	err = dmap_get_log(dev, NVME_LOG_SMART, sizeof(answer.log));
	if (!err)
		memcpy(answer.log, dmap_admin_data(dev), sizeof(answer.log));
	unlock(dev);
	if (err)
		return -EIO;
	return copy_to_user(to, &answer, sizeof(answer)) ? -EFAULT : 0;
}

/* --- attaching ----------------------------------------------------------------------------------
 */

static struct dmap_queue *free_queue(struct dmap_dev *dev, u32 number)
{
	u32 i;

	for (i = 0; i < dev->queue_count; i++)
		if (dev->queues[i].state == DMAP_QUEUE_FREE &&
		    (number == DISKMAP_ANY || number == i + 1))
			return &dev->queues[i];
	return NULL;
}

/*
 * A file that borrows buffers cannot lend any, so that no two files hold each other open. What it
 * has does not change once it is attached, and stays as long as we hold the file.
 */
static struct dmap_loan *borrow(struct dmap_file *f, struct diskmap_attach *a)
{
	struct dmap_loan *loan;
	struct dmap_file *lender;
	dma_addr_t bus;
	int err = -EBADF;

	loan = kzalloc(sizeof(*loan), GFP_KERNEL_ACCOUNT);
	if (!loan)
		return ERR_PTR(-ENOMEM);
	loan->lender = fget(a->buffers_fd);
	if (!loan->lender)
		goto free_loan;
	err = -EINVAL;
	if (loan->lender->f_op != &dmap_fops)
		goto put_lender;
	lender = loan->lender->private_data;
	if (!smp_load_acquire(&lender->queue) || !lender->buffer_count)
		goto put_lender;
	err = dmap_loan_init(f->dev, loan, lender->dev, lender->buffer_first, lender->buffer_count,
			     &bus);
	if (err)
		goto put_lender;
	a->buffers = lender->buffer_count;
	a->buffers_bytes = (u64)lender->buffer_count * lender->dev->buffer_bytes;
	a->buffers_bus = bus;
	return loan;

put_lender:
	fput(loan->lender);
free_loan:
	kfree(loan);
	return ERR_PTR(err);
}

static void give_back(struct dmap_dev *dev, struct dmap_loan *loan)
{
	if (!loan)
		return;
	dmap_loan_exit(dev, loan);
	fput(loan->lender);
	kfree(loan);
}

static void describe(struct dmap_dev *dev, struct dmap_queue *q, u32 first,
		     struct diskmap_attach *a)
{
	a->queue_pair = q->id;
	a->entries = q->entries;
	a->list_bytes = dev->list_bytes;
	a->queues_offset = 0;
	a->queues_bytes = q->pool.bytes;
	a->queues_bus = q->pool.bus;
	a->sq_offset = 0;
	a->cq_offset = dev->cq_offset;
	a->lists_offset = dev->lists_offset;
	a->buffers_offset = q->pool.bytes;
	if (a->buffers_fd != -1)
		return;
	a->buffers_bytes = (u64)a->buffers * dev->buffer_bytes;
	a->buffers_bus = dev->buffers.bus + (u64)first * dev->buffer_bytes;
}

static int attach_locked(struct dmap_file *f, struct diskmap_attach *a, struct dmap_loan *loan)
{
	u32 own = loan ? 0 : a->buffers, first;
	struct dmap_dev *dev = f->dev;
	struct dmap_queue *q;
	int err;

	if (a->queue_pair > dev->queue_count)
		return -EINVAL;
	q = free_queue(dev, a->queue_pair);
	if (f->queue || !q)
		return -EBUSY;
	err = dmap_buffers_take(dev, own, &first);
	if (err)
		return err;
	if (dmap_queue_create(dev, q)) {
		dmap_buffers_give(dev, first, own);
		return -EIO;
	}
	describe(dev, q, first, a);
	f->buffer_first = first;
	f->buffer_count = own;
	f->loan = loan;
	WRITE_ONCE(dev->attached, dev->attached + 1);
	dmap_queue_own(q, &f->wait);
	dmap_queue_set(q, DMAP_QUEUE_LIVE);
	/* Whoever sees the queue pair sees the rest. */
	smp_store_release(&f->queue, q);
	/* Who polled so far has not had the interrupt switched on. */
	wake_up_interruptible_all(&f->wait);
	return 0;
}

/* A queue pair has the disk write, to itself and to memory: neither its file nor one that lends it
 * buffers may have been opened for less. (A file lends what it attached: it was asked here, too.)
 */
static bool is_writer(const struct file *file)
{
	return file->f_mode & FMODE_READ && file->f_mode & FMODE_WRITE;
}

static long attach(struct file *file, struct diskmap_attach __user *to)
{
	struct dmap_file *f = file->private_data;
	struct dmap_loan *loan = NULL;
	struct diskmap_attach a;
	int err;

	if (!is_writer(file))
		return -EACCES;
	/* Looked at again with the mutex; but nothing is borrowed in vain. */
	if (smp_load_acquire(&f->queue))
		return -EBUSY;
	if (copy_from_user(&a, to, sizeof(a)))
		return -EFAULT;
	if (a.flags || a.buffers_fd < -1 || (a.buffers && a.buffers_fd != -1))
		return -EINVAL;
	if (a.buffers_fd != -1) {
		loan = borrow(f, &a);
		if (IS_ERR(loan))
			return PTR_ERR(loan);
	}
	err = lock_live(f->dev);
	if (!err) {
		err = attach_locked(f, &a, loan);
		unlock(f->dev);
	}
	if (err) {
		give_back(f->dev, loan);
		return err;
	}
	/* It is attached for good, whether or not it hears of it. */
	return copy_to_user(to, &a, sizeof(a)) ? -EFAULT : 0;
}

static long restart(struct dmap_file *f, unsigned long arg)
{
	struct dmap_queue *q = smp_load_acquire(&f->queue);
	struct dmap_dev *dev = f->dev;
	int err;

	if (arg)
		return -EINVAL;
	if (!q)
		return -ENXIO;
	err = lock_live(dev);
	if (err)
		return err;
	dmap_queue_set(q, DMAP_QUEUE_HALTED);
	dmap_queue_delete(dev, q);
	if (dev->state == DMAP_LIVE)
		err = dmap_queue_create(dev, q) ? -EIO : 0;
	/* Both may have cut the disk off; then the queue pair is gone, and stays so. */
	if (dev->state == DMAP_LIVE)
		dmap_queue_set(q, err ? DMAP_QUEUE_LOST : DMAP_QUEUE_LIVE);
	else
		err = -ENODEV;
	unlock(dev);
	return err;
}

/* --- the file -----------------------------------------------------------------------------------
 */

static int dmap_open(struct inode *inode, struct file *file)
{
	struct dmap_dev *dev = container_of(inode->i_cdev, struct dmap_dev, cdev);
	struct dmap_file *f;
	int err;

	/* As for /dev/mem, which such a disk is as good as. */
	if (!dev->confined && !capable(CAP_SYS_RAWIO))
		return -EPERM;
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->dev = dev;
	init_waitqueue_head(&f->wait);
	f->pid = task_tgid_nr(current);
	get_task_comm(f->comm, current);
	err = lock_live(dev);
	if (err) {
		kfree(f);
		return err;
	}
	f->changes_seen = dev->changes;
	list_add_tail(&f->link, &dev->files);
	unlock(dev);
	file->private_data = f;
	return nonseekable_open(inode, file);
}

/* Megabytes, perhaps; nobody else can have them yet, so that the mutex is not needed. */
static void clear(void *p, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE_SIZE) {
		memset(p + at, 0, PAGE_SIZE);
		cond_resched();
	}
}

/* Nothing is mapped any more: mappings hold the file. */
static int dmap_release(struct inode *inode, struct file *file)
{
	struct dmap_file *f = file->private_data;
	struct dmap_dev *dev = f->dev;
	struct dmap_queue *q = f->queue;

	if (q) {
		mutex_lock(&dev->mutex);
		dmap_queue_set(q, DMAP_QUEUE_HALTED);
		dmap_queue_delete(dev, q);
		dmap_renew(dev);
		unlock(dev);
		clear(q->pool.cpu, q->pool.bytes);
		clear(dev->buffers.cpu + (size_t)f->buffer_first * dev->buffer_bytes,
		      (size_t)f->buffer_count * dev->buffer_bytes);
		give_back(dev, f->loan);
	}
	mutex_lock(&dev->mutex);
	if (q) {
		dmap_buffers_give(dev, f->buffer_first, f->buffer_count);
		dmap_queue_own(q, NULL);
		dmap_queue_set(q, DMAP_QUEUE_FREE);
		WRITE_ONCE(dev->attached, dev->attached - 1);
	}
	list_del(&f->link);
	/* Under the mutex: whoever gives the disk back frees it after this. */
	wake_up_all(&dev->idle);
	mutex_unlock(&dev->mutex);
	kfree(f);
	return 0;
}

static int ring(struct dmap_file *f, int (*to)(struct dmap_queue *, unsigned long),
		unsigned long value)
{
	struct dmap_queue *q = smp_load_acquire(&f->queue);

	return q ? to(q, value) : -ENXIO;
}

static long dmap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct dmap_file *f = file->private_data;
	void __user *to = (void __user *)arg;

	switch (cmd) {
	case DISKMAP_IOC_RING_SQ:
		return ring(f, dmap_queue_ring_sq, arg);
	case DISKMAP_IOC_RING_CQ:
		return ring(f, dmap_queue_ring_cq, arg);
	case DISKMAP_IOC_INFO:
		return get_info(f, to);
	case DISKMAP_IOC_NAMESPACE:
		return get_namespace(f, to);
	case DISKMAP_IOC_HEALTH:
		return get_health(f, to);
	case DISKMAP_IOC_ATTACH:
		return attach(file, to);
	case DISKMAP_IOC_RESTART:
		return restart(f, arg);
	default:
		return -ENOTTY;
	}
}

/* Takes no mutex: what a file has does not change once it is attached. */
static int dmap_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct dmap_file *f = file->private_data;
	struct dmap_queue *q = smp_load_acquire(&f->queue);
	u64 at = (u64)vma->vm_pgoff << PAGE_SHIFT, bytes = vma->vm_end - vma->vm_start;
	struct dmap_dev *dev = f->dev;
	u64 first, size;

	if (!q)
		return -ENXIO;
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	if (vma->vm_pgoff > U64_MAX >> PAGE_SHIFT)
		return -EINVAL;
	/* A child has no share in it: its parent alone decides when memory is given back. */
	dmap_vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	dmap_vm_flags_clear(vma, VM_MAYEXEC);
	if (at < q->pool.bytes) {
		if (bytes > q->pool.bytes - at)
			return -EINVAL;
		return dmap_pool_map(dev, vma, &q->pool, at);
	}
	at -= q->pool.bytes;
	first = (u64)f->buffer_first * dev->buffer_bytes;
	size = (u64)f->buffer_count * dev->buffer_bytes;
	if (at >= size || bytes > size - at)
		return -EINVAL;
	return dmap_pool_map(dev, vma, &dev->buffers, first + at);
}

static __poll_t dmap_poll(struct file *file, poll_table *table)
{
	struct dmap_file *f = file->private_data;
	struct dmap_dev *dev = f->dev;
	struct dmap_queue *q;
	__poll_t mask = 0;

	poll_wait(file, &dev->events, table);
	poll_wait(file, &f->wait, table);
	/* Attaching comes before this or wakes who waits now. */
	q = smp_load_acquire(&f->queue);
	if (q) {
		mask = dmap_queue_poll(q);
	} else if (READ_ONCE(dev->state) > DMAP_PAUSED) {
		mask = EPOLLHUP | EPOLLERR;
	}
	if (READ_ONCE(dev->changes) != READ_ONCE(f->changes_seen))
		mask |= EPOLLPRI;
	return mask;
}

const struct file_operations dmap_fops = {
	.owner = THIS_MODULE,
	.open = dmap_open,
	.release = dmap_release,
	.unlocked_ioctl = dmap_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = dmap_mmap,
	.poll = dmap_poll,
	.llseek = noop_llseek,
};

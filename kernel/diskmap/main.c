// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * main.c - taking disks and giving them back.
 *
 * The module asks for no device by itself, since the disks of a machine are somebody's already. One
 * is given to it by name:
 *
 *	echo diskmap >/sys/bus/pci/devices/0000:01:00.0/driver_override
 *	echo 0000:01:00.0 >/sys/bus/pci/devices/0000:01:00.0/driver/unbind
 *	echo 0000:01:00.0 >/sys/bus/pci/drivers_probe
 */
#include <linux/bitmap.h>
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "compat.h"
#include "dmap.h"

static unsigned int queue_pairs;
module_param(queue_pairs, uint, 0644);
MODULE_PARM_DESC(queue_pairs, "queue pairs of a disk; 0: as many as there are processors");

static unsigned int entries = 256;
module_param(entries, uint, 0644);
MODULE_PARM_DESC(entries, "entries of a queue, 2 to 4096; one stays empty");

static unsigned int buffer_bytes = 16384;
module_param(buffer_bytes, uint, 0644);
MODULE_PARM_DESC(buffer_bytes, "size of a buffer: a power of two from 4096 to 64 Mi");

static unsigned int buffers = 4096;
module_param(buffers, uint, 0644);
MODULE_PARM_DESC(buffers, "buffers of a disk, for all its processes together");

static bool unsafe;
module_param(unsafe, bool, 0644);
MODULE_PARM_DESC(unsafe, "take disks that no IOMMU keeps away from the rest of memory");

static struct class *dmap_class;
static dev_t dmap_devt;
static DEFINE_IDA(dmap_minors);

/* --- sysfs --------------------------------------------------------------------------------------
 */

static struct dmap_dev *to_dmap(struct device *device)
{
	return container_of(device, struct dmap_dev, device);
}

static const char *state_name(enum dmap_state state)
{
	switch (state) {
	case DMAP_LIVE:
		return "live";
	case DMAP_PAUSED:
		return "paused";
	case DMAP_DEAD:
		return "dead";
	default:
		return "gone";
	}
}

#define SHOW(name, format, value)                                                        \
	static ssize_t name##_show(struct device *device, struct device_attribute *attr, \
				   char *buf)                                            \
	{                                                                                \
		struct dmap_dev *dev = to_dmap(device);                                  \
		ssize_t n;                                                               \
                                                                                         \
		mutex_lock(&dev->mutex);                                                 \
		n = sysfs_emit(buf, format "\n", value);                                 \
		mutex_unlock(&dev->mutex);                                               \
		return n;                                                                \
	}                                                                                \
	static DEVICE_ATTR_RO(name)

SHOW(model, "%s", dev->model);
SHOW(serial, "%s", dev->serial);
SHOW(firmware, "%s", dev->firmware);
SHOW(state, "%s", state_name(dev->state));
SHOW(confined, "%d", dev->confined);
SHOW(queue_pairs, "%u", dev->queue_count);
SHOW(entries, "%u", dev->entries);
SHOW(transfer_bytes, "%u", dev->transfer_bytes);
SHOW(buffer_bytes, "%u", dev->buffer_bytes);
SHOW(buffers, "%u", dev->buffer_count);
SHOW(buffers_free, "%u", dmap_buffers_free(dev));
SHOW(resets, "%u", dev->resets);
SHOW(strays, "%u", atomic_read(&dev->strays));

/* A line for each open file: queue pair (0: none), buffers, process. */
static ssize_t users_show(struct device *device, struct device_attribute *attr, char *buf)
{
	struct dmap_dev *dev = to_dmap(device);
	struct dmap_file *f;
	ssize_t n = 0;

	mutex_lock(&dev->mutex);
	list_for_each_entry(f, &dev->files, link) n +=
		sysfs_emit_at(buf, n, "%u %u %d %s\n", f->queue ? f->queue->id : 0, f->buffer_count,
			      f->pid, f->comm);
	mutex_unlock(&dev->mutex);
	return n;
}
static DEVICE_ATTR_RO(users);

static struct attribute *dmap_attrs[] = {
	&dev_attr_model.attr,   &dev_attr_serial.attr,         &dev_attr_firmware.attr,
	&dev_attr_state.attr,   &dev_attr_confined.attr,       &dev_attr_queue_pairs.attr,
	&dev_attr_entries.attr, &dev_attr_transfer_bytes.attr, &dev_attr_buffer_bytes.attr,
	&dev_attr_buffers.attr, &dev_attr_buffers_free.attr,   &dev_attr_resets.attr,
	&dev_attr_strays.attr,  &dev_attr_users.attr,          NULL,
};
ATTRIBUTE_GROUPS(dmap);

/* --- taking a disk ------------------------------------------------------------------------------
 */

static int check_parameters(struct dmap_dev *dev)
{
	u32 bytes = READ_ONCE(buffer_bytes), count = READ_ONCE(buffers);

	if (!is_power_of_2(bytes) || bytes < PAGE_SIZE || bytes > DMAP_BUFFER_BYTES_MAX ||
	    (u64)bytes * count > DMAP_BUFFERS_BYTES_MAX) {
		dev_err(&dev->pdev->dev,
			"buffer_bytes is a power of two from %lu to %u, and all "
			"buffers are at most %llu bytes\n",
			PAGE_SIZE, DMAP_BUFFER_BYTES_MAX, DMAP_BUFFERS_BYTES_MAX);
		return -EINVAL;
	}
	if (READ_ONCE(entries) < 2 || READ_ONCE(entries) > DMAP_ENTRIES_MAX) {
		dev_err(&dev->pdev->dev, "entries is 2 to %u\n", DMAP_ENTRIES_MAX);
		return -EINVAL;
	}
	dev->buffer_bytes = bytes;
	dev->buffer_count = count;
	dev->queue_count = READ_ONCE(queue_pairs) ?: num_online_cpus();
	dev->queue_count = min(dev->queue_count, DMAP_QUEUE_PAIRS_MAX);
	return 0;
}

static int map_registers(struct dmap_dev *dev)
{
	struct pci_dev *pdev = dev->pdev;
	u32 stride, pairs;
	int err;

	err = pci_enable_device_mem(pdev);
	if (err)
		return err;
	err = pci_request_mem_regions(pdev, "diskmap");
	if (err)
		goto disable;
	dev->bar = pci_ioremap_bar(pdev, 0);
	err = -ENODEV;
	if (!dev->bar)
		goto release;
	dev->cap = lo_hi_readq(dev->bar + NVME_REG_CAP);
	if (dev->cap == U64_MAX || NVME_CAP_MPSMIN(dev->cap)) {
		dev_err(&pdev->dev, "not a controller that works with pages of 4 KiB\n");
		goto unmap;
	}
	/* The smallest queue has two entries (3.1.1), of which one stays empty. */
	if (!NVME_CAP_MQES(dev->cap))
		goto unmap;
	/* The admin queue has a pair of doorbells too. */
	stride = 4 << NVME_CAP_STRIDE(dev->cap);
	if (pci_resource_len(pdev, 0) < NVME_REG_DBS + 4 * stride)
		goto unmap;
	pairs = min_t(u64, (pci_resource_len(pdev, 0) - NVME_REG_DBS) / (2 * stride), U32_MAX) - 1;
	dev->queue_count = min(dev->queue_count, pairs);
	return 0;

unmap:
	iounmap(dev->bar);
release:
	pci_release_mem_regions(pdev);
disable:
	pci_disable_device(pdev);
	return err;
}

static void unmap_registers(struct dmap_dev *dev)
{
	iounmap(dev->bar);
	pci_release_mem_regions(dev->pdev);
	pci_disable_device(dev->pdev);
}

static void free_interrupts(struct dmap_dev *dev, unsigned int count)
{
	while (count--)
		pci_free_irq(dev->pdev, count, &dev->vectors[count]);
	pci_free_irq_vectors(dev->pdev);
	kfree(dev->vectors);
}

/* Before the controller is enabled: some take note of interrupts only while they are. */
static int request_interrupts(struct dmap_dev *dev)
{
	struct pci_dev *pdev = dev->pdev;
	int count, i, err;

	count = pci_alloc_irq_vectors(pdev, 1, 1 + dev->queue_count, PCI_IRQ_MSIX | PCI_IRQ_MSI);
	if (count < 0)
		return count;
	dev->vector_count = count;
	dev->vectors = kcalloc(count, sizeof(*dev->vectors), GFP_KERNEL);
	if (!dev->vectors) {
		pci_free_irq_vectors(pdev);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		struct dmap_vector *vector = &dev->vectors[i];

		spin_lock_init(&vector->lock);
		vector->armed = true;
		vector->index = i;
		vector->irq = pci_irq_vector(pdev, i);
		vector->dev = dev;
		err = pci_request_irq(pdev, i, dmap_interrupt, NULL, vector, "diskmap%d-%d",
				      dev->minor, i);
		if (err) {
			free_interrupts(dev, i);
			return err;
		}
	}
	return 0;
}

static void free_memory(struct dmap_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->queue_count; i++)
		dmap_queue_exit(dev, &dev->queues[i]);
	dmap_pool_exit(dev, &dev->buffers);
	bitmap_free(dev->buffers_taken);
}

/* The controller has said how long a command may be and how many queue pairs it has. */
static int allocate_memory(struct dmap_dev *dev)
{
	unsigned int i;
	int err = 0;

	dev->entries = min_t(u32, READ_ONCE(entries), NVME_CAP_MQES(dev->cap) + 1);
	/* A power of two, so that no list crosses a page. */
	dev->list_bytes = roundup_pow_of_two(dev->transfer_bytes / DMAP_PAGE * sizeof(u64));
	dev->cq_offset = PAGE_ALIGN(dev->entries * sizeof(struct nvme_command));
	dev->lists_offset =
		dev->cq_offset + PAGE_ALIGN(dev->entries * sizeof(struct nvme_completion));
	dev->buffers_taken = bitmap_zalloc(dev->buffer_count, GFP_KERNEL);
	if (!dev->buffers_taken)
		return -ENOMEM;
	for (i = 0; i < dev->queue_count && !err; i++)
		err = dmap_queue_init(dev, &dev->queues[i], i + 1);
	if (!err && dev->buffer_count)
		err = dmap_pool_init(dev, &dev->buffers,
				     (size_t)dev->buffer_bytes * dev->buffer_count);
	if (err) {
		dev_err(&dev->pdev->dev,
			"no memory for %u queue pairs and %u buffers of %u bytes: "
			"give fewer buffers\n",
			dev->queue_count, dev->buffer_count, dev->buffer_bytes);
		free_memory(dev);
	}
	return err;
}

static void dmap_free(struct device *device)
{
	struct dmap_dev *dev = to_dmap(device);

	ida_free(&dmap_minors, dev->minor);
	kvfree(dev->queues);
	pci_dev_put(dev->pdev);
	kfree(dev);
}

static struct dmap_dev *dmap_new(struct pci_dev *pdev)
{
	struct dmap_dev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	dev->minor = ida_alloc_max(&dmap_minors, DMAP_DISKS_MAX - 1, GFP_KERNEL);
	if (dev->minor < 0) {
		kfree(dev);
		return NULL;
	}
	dev->pdev = pci_dev_get(pdev);
	mutex_init(&dev->mutex);
	INIT_LIST_HEAD(&dev->files);
	init_waitqueue_head(&dev->idle);
	init_waitqueue_head(&dev->events);
	INIT_DELAYED_WORK(&dev->watchdog, dmap_watchdog);
	INIT_WORK(&dev->event_work, dmap_event_work);
	device_initialize(&dev->device);
	dev->device.class = dmap_class;
	dev->device.parent = &pdev->dev;
	dev->device.devt = MKDEV(MAJOR(dmap_devt), dev->minor);
	dev->device.groups = dmap_groups;
	dev->device.release = dmap_free;
	cdev_init(&dev->cdev, &dmap_fops);
	dev->cdev.owner = THIS_MODULE;
	return dev;
}

/* Whoever had it before may have left it on, with addresses that mean something else now. */
static int start(struct dmap_dev *dev)
{
	int err = dmap_ctrlr_stop(dev);

	if (err)
		return err;
	pci_set_master(dev->pdev);
	err = dmap_ctrlr_start(dev);
	if (!err)
		err = allocate_memory(dev);
	if (err)
		dmap_ctrlr_stop(dev);
	return err;
}

/* On failure the disk has no access to memory. */
static int bring_up(struct dmap_dev *dev)
{
	struct device *dma = &dev->pdev->dev;
	int err;

	err = dma_set_mask_and_coherent(dma, DMA_BIT_MASK(64));
	if (err)
		return err;
	/* Borrowed buffers are to be one piece, however long. */
	dma_set_max_seg_size(dma, UINT_MAX);
	dma_set_seg_boundary(dma, ULONG_MAX);
	mutex_lock(&dev->mutex);
	err = start(dev);
	if (err)
		dmap_cut_off(dev, DMAP_GONE, NULL);
	mutex_unlock(&dev->mutex);
	if (err)
		cancel_work_sync(&dev->event_work);
	return err;
}

static bool is_acceptable(struct pci_dev *pdev, bool confined)
{
	if (pdev->class != PCI_CLASS_STORAGE_EXPRESS) {
		pci_err(pdev, "not an NVMe controller\n");
		return false;
	}
	if (confined)
		return true;
	if (!READ_ONCE(unsafe)) {
		pci_err(pdev, "no IOMMU confines this disk alone to its memory: boot with one "
			      "(intel_iommu=on, not iommu=pt), or load with unsafe=1\n");
		return false;
	}
	if (security_locked_down(LOCKDOWN_PCI_ACCESS))
		return false;
	pci_warn(pdev, "unsafe: whoever may open this disk can read and write all memory\n");
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	return true;
}

static int dmap_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	bool confined = dmap_is_confined(pdev);
	struct dmap_dev *dev;
	int err;

	if (!is_acceptable(pdev, confined))
		return -EPERM;
	dev = dmap_new(pdev);
	if (!dev)
		return -ENOMEM;
	dev->confined = confined;
	err = dev_set_name(&dev->device, "diskmap%d", dev->minor);
	if (!err)
		err = check_parameters(dev);
	if (err)
		goto put;
	err = -ENOMEM;
	dev->queues = kvcalloc(dev->queue_count, sizeof(*dev->queues), GFP_KERNEL);
	if (!dev->queues)
		goto put;
	err = map_registers(dev);
	if (err)
		goto put;
	err = dmap_admin_init(dev);
	if (err)
		goto unmap;
	err = request_interrupts(dev);
	if (err)
		goto free_admin;
	err = bring_up(dev);
	if (err)
		goto free_irqs;
	pci_set_drvdata(pdev, dev);
	err = cdev_device_add(&dev->cdev, &dev->device);
	if (err)
		goto shut;
	schedule_delayed_work(&dev->watchdog, HZ);
	dev_info(&dev->device, "%s %s, %u queue pairs of %u entries, %u buffers of %u bytes\n",
		 pci_name(pdev), dev->model, dev->queue_count, dev->entries, dev->buffer_count,
		 dev->buffer_bytes);
	return 0;

shut:
	mutex_lock(&dev->mutex);
	dmap_pause(dev, true);
	dmap_cut_off(dev, DMAP_GONE, NULL);
	mutex_unlock(&dev->mutex);
	cancel_work_sync(&dev->event_work);
	free_memory(dev);
free_irqs:
	free_interrupts(dev, dev->vector_count);
free_admin:
	dmap_admin_exit(dev);
unmap:
	unmap_registers(dev);
put:
	put_device(&dev->device);
	return err;
}

/* --- giving it back -----------------------------------------------------------------------------
 */

static void name_users(struct dmap_dev *dev)
{
	struct dmap_file *f;

	mutex_lock(&dev->mutex);
	list_for_each_entry(f, &dev->files, link)
	{
		if (!f->queue)
			continue;
		dev_warn(&dev->device, "cannot be given back before process %d (%s) closes it\n",
			 f->pid, f->comm);
	}
	mutex_unlock(&dev->mutex);
}

/*
 * Memory is mapped into processes, and their work may be in it: it is not torn from under them.
 * Files without a queue pair have nothing, and find `dev` as long as they are open: their cdev
 * holds it.
 */
static void wait_for_users(struct dmap_dev *dev)
{
	while (!wait_event_timeout(dev->idle, !READ_ONCE(dev->attached), 10 * HZ))
		name_users(dev);
	/* Whoever was the last is done with the memory. */
	mutex_lock(&dev->mutex);
	mutex_unlock(&dev->mutex);
}

static void dmap_remove(struct pci_dev *pdev)
{
	struct dmap_dev *dev = pci_get_drvdata(pdev);

	cdev_device_del(&dev->cdev, &dev->device);
	mutex_lock(&dev->mutex);
	dmap_pause(dev, true);
	dmap_cut_off(dev, DMAP_GONE, NULL);
	mutex_unlock(&dev->mutex);
	cancel_delayed_work_sync(&dev->watchdog);
	cancel_work_sync(&dev->event_work);
	wait_for_users(dev);
	free_memory(dev);
	free_interrupts(dev, dev->vector_count);
	dmap_admin_exit(dev);
	unmap_registers(dev);
	put_device(&dev->device);
}

/* --- power, and resets that others ask for ------------------------------------------------------
 */

static void quiesce(struct pci_dev *pdev, bool shut_down)
{
	struct dmap_dev *dev = pci_get_drvdata(pdev);

	mutex_lock(&dev->mutex);
	dmap_pause(dev, shut_down);
	mutex_unlock(&dev->mutex);
}

static void wake(struct pci_dev *pdev)
{
	struct dmap_dev *dev = pci_get_drvdata(pdev);

	mutex_lock(&dev->mutex);
	dev->resets++;
	dmap_resume(dev);
	mutex_unlock(&dev->mutex);
}

static void dmap_shutdown(struct pci_dev *pdev)
{
	quiesce(pdev, true);
	pci_clear_master(pdev);
}

static int __maybe_unused dmap_pm_suspend(struct device *device)
{
	quiesce(to_pci_dev(device), true);
	return 0;
}

static int __maybe_unused dmap_pm_resume(struct device *device)
{
	wake(to_pci_dev(device));
	return 0;
}

static SIMPLE_DEV_PM_OPS(dmap_pm, dmap_pm_suspend, dmap_pm_resume);

static void dmap_reset_prepare(struct pci_dev *pdev)
{
	quiesce(pdev, false);
}

static const struct pci_error_handlers dmap_error_handlers = {
	.reset_prepare = dmap_reset_prepare,
	.reset_done = wake,
};

static struct pci_driver dmap_driver = {
	.name = "diskmap",
	.probe = dmap_probe,
	.remove = dmap_remove,
	.shutdown = dmap_shutdown,
	.err_handler = &dmap_error_handlers,
	.driver.pm = &dmap_pm,
};

static int __init dmap_init(void)
{
	int err;

	BUILD_BUG_ON(sizeof(struct nvme_command) != 64);
	BUILD_BUG_ON(sizeof(struct nvme_completion) != 16);
	err = alloc_chrdev_region(&dmap_devt, 0, DMAP_DISKS_MAX, "diskmap");
	if (err)
		return err;
	dmap_class = dmap_class_create("diskmap");
	if (IS_ERR(dmap_class)) {
		err = PTR_ERR(dmap_class);
		goto unregister;
	}
	err = pci_register_driver(&dmap_driver);
	if (err)
		goto destroy;
	return 0;

destroy:
	class_destroy(dmap_class);
unregister:
	unregister_chrdev_region(dmap_devt, DMAP_DISKS_MAX);
	return err;
}

static void __exit dmap_exit(void)
{
	pci_unregister_driver(&dmap_driver);
	class_destroy(dmap_class);
	unregister_chrdev_region(dmap_devt, DMAP_DISKS_MAX);
	ida_destroy(&dmap_minors);
}

module_init(dmap_init);
module_exit(dmap_exit);

MODULE_AUTHOR("The Atlas authors");
MODULE_DESCRIPTION("NVMe queue pairs for processes");
MODULE_LICENSE("Dual BSD/GPL");

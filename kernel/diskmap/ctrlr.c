// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * ctrlr.c - the life of a controller: on, off, reset, lost; and what it says of itself.
 */
#include <linux/delay.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/jiffies.h>
#include <linux/log2.h>

#include "dmap.h"

#define WATCHDOG_PERIOD     HZ
#define SHUTDOWN_TIMEOUT_MS 5000

/* All ones: there is nobody. */
static bool is_absent(struct dmap_dev *dev)
{
	return readl(dev->bar + NVME_REG_CSTS) == U32_MAX;
}

static int wait_for_status(struct dmap_dev *dev, u32 mask, u32 wanted, unsigned int timeout_ms)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(timeout_ms) + 1;

	for (;;) {
		/* Looked at before the status, so that the last look is one after the deadline. */
		bool late = time_after(jiffies, deadline);
		u32 status = readl(dev->bar + NVME_REG_CSTS);

		if (status == U32_MAX)
			return -ENODEV;
		if ((status & mask) == wanted)
			return 0;
		if (late)
			return -ETIMEDOUT;
		usleep_range(500, 1000);
	}
}

/* CAP.TO counts half seconds; 0 would be a controller that takes no time at all. */
static unsigned int ready_timeout_ms(struct dmap_dev *dev)
{
	return (NVME_CAP_TIMEOUT(dev->cap) + 1) * 500;
}

int dmap_ctrlr_stop(struct dmap_dev *dev)
{
	u32 cc = readl(dev->bar + NVME_REG_CC);

	if (cc == U32_MAX)
		return -ENODEV;
	/*
	 * Whoever had it before may have left it half-way, and EN must not be cleared then (3.1.5);
	 * in fatal status it must, and one that is shut down gets no readier.
	 */
	if (cc & NVME_CC_ENABLE &&
	    !(readl(dev->bar + NVME_REG_CSTS) & (NVME_CSTS_CFS | NVME_CSTS_SHST_MASK)))
		wait_for_status(dev, NVME_CSTS_RDY, NVME_CSTS_RDY, ready_timeout_ms(dev));
	writel(cc & ~(NVME_CC_ENABLE | NVME_CC_SHN_MASK), dev->bar + NVME_REG_CC);
	return wait_for_status(dev, NVME_CSTS_RDY, 0, ready_timeout_ms(dev));
}

static void shut_down_ctrlr(struct dmap_dev *dev)
{
	u32 cc = readl(dev->bar + NVME_REG_CC);

	if (cc == U32_MAX || !(cc & NVME_CC_ENABLE))
		return;
	cc = (cc & ~NVME_CC_SHN_MASK) | NVME_CC_SHN_NORMAL;
	writel(cc, dev->bar + NVME_REG_CC);
	if (wait_for_status(dev, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_CMPLT, SHUTDOWN_TIMEOUT_MS))
		dev_warn(&dev->device, "the disk did not shut down in order\n");
}

/* --- what it says of itself ---------------------------------------------------------------------
 */

/* ASCII, padded with spaces (or with whatever: it is a device that says it). */
static void copy_words(char *to, size_t to_bytes, const char *from, size_t bytes)
{
	size_t i, end = 0;

	memset(to, 0, to_bytes);
	for (i = 0; i < bytes; i++) {
		char c = READ_ONCE(from[i]);

		to[i] = c >= ' ' && c <= '~' ? c : ' ';
		if (to[i] != ' ')
			end = i + 1;
	}
	memset(to + end, 0, to_bytes - end);
}

static int identify_ctrlr(struct dmap_dev *dev, u32 *events)
{
	const struct nvme_id_ctrl *id = dmap_admin_data(dev);
	u32 transfer = DMAP_TRANSFER_MAX;
	u8 mdts;
	int err;

	err = dmap_identify(dev, NVME_ID_CNS_CTRL, 0);
	if (err)
		return err;
	copy_words(dev->model, sizeof(dev->model), id->mn, sizeof(id->mn));
	copy_words(dev->serial, sizeof(dev->serial), id->sn, sizeof(id->sn));
	copy_words(dev->firmware, sizeof(dev->firmware), id->fr, sizeof(id->fr));
	mdts = READ_ONCE(id->mdts);
	if (mdts && mdts < ilog2(DMAP_TRANSFER_MAX / DMAP_PAGE))
		transfer = DMAP_PAGE << mdts;
	/* Lists were laid out for what it said first. */
	dev->transfer_bytes = dev->transfer_bytes ? min(dev->transfer_bytes, transfer) : transfer;
	dev->write_cache = READ_ONCE(id->vwc) & NVME_CTRL_VWC_PRESENT;
	*events = le32_to_cpu(READ_ONCE(id->oaes)) & NVME_AEN_CFG_NS_ATTR;
	return 0;
}

/* Formats with metadata or with blocks that are no power of two from 512 to 4,096 are left out. */
static int identify_namespace(struct dmap_dev *dev, u32 ns_id)
{
	struct dmap_namespace *ns = &dev->namespaces[dev->namespace_count];
	const struct nvme_id_ns *id = dmap_admin_data(dev);
	const struct nvme_lbaf *format;
	u64 blocks;
	u16 metadata;
	u8 shift;
	int err;

	err = dmap_identify(dev, NVME_ID_CNS_NS, ns_id);
	if (err)
		return err == -EIO ? 0 : err; /* it may have gone since it was listed */
	format = &id->lbaf[nvme_lbaf_index(READ_ONCE(id->flbas)) % ARRAY_SIZE(id->lbaf)];
	metadata = le16_to_cpu(READ_ONCE(format->ms));
	shift = READ_ONCE(format->ds);
	blocks = le64_to_cpu(READ_ONCE(id->nsze));
	if (!blocks || metadata || shift < 9 || shift > 12)
		return 0;
	ns->id = ns_id;
	ns->block_bytes = 1u << shift;
	ns->blocks = blocks;
	dev->namespace_count++;
	return 0;
}

static int scan_namespaces(struct dmap_dev *dev)
{
	const __le32 *list = dmap_admin_data(dev);
	u32 ids[DMAP_NAMESPACES_MAX];
	unsigned int i;
	int err;

	err = dmap_identify(dev, NVME_ID_CNS_NS_ACTIVE_LIST, 0);
	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		ids[i] = le32_to_cpu(READ_ONCE(list[i]));
	dev->namespace_count = 0;
	for (i = 0; i < ARRAY_SIZE(ids) && ids[i] && !err; i++)
		err = identify_namespace(dev, ids[i]);
	dev->changes++;
	return err;
}

/* --- on -----------------------------------------------------------------------------------------
 */

static int set_features(struct dmap_dev *dev, u32 feature, u32 value, u32 *result)
{
	struct nvme_command cmd = {};

	cmd.features.opcode = nvme_admin_set_features;
	cmd.features.fid = cpu_to_le32(feature);
	cmd.features.dword11 = cpu_to_le32(value);
	return dmap_admin(dev, &cmd, result);
}

/* The first time, before queues are laid out, we want as many as are configured and take what is
 * granted. */
static int set_queue_count(struct dmap_dev *dev)
{
	u32 wanted = dev->queue_count - 1, granted = 0;
	int err;

	err = set_features(dev, NVME_FEAT_NUM_QUEUES, wanted | wanted << 16, &granted);
	if (err)
		return err;
	granted = min(granted & 0xffff, granted >> 16) + 1;
	if (granted < dev->queue_count && dev->entries)
		return -EIO;
	dev->queue_count = min(dev->queue_count, granted);
	return 0;
}

int dmap_ctrlr_start(struct dmap_dev *dev)
{
	u32 cc = NVME_CC_ENABLE | NVME_CC_CSS_NVM | NVME_CC_AMS_RR | NVME_CC_SHN_NONE |
		 NVME_CC_IOSQES | NVME_CC_IOCQES;
	u32 events;
	int err;

	dmap_admin_reset(dev);
	dev->used = false;
	writel(cc, dev->bar + NVME_REG_CC);
	err = wait_for_status(dev, NVME_CSTS_RDY, NVME_CSTS_RDY, ready_timeout_ms(dev));
	if (err)
		return err;
	dev->version = readl(dev->bar + NVME_REG_VS);
	err = identify_ctrlr(dev, &events);
	if (!err)
		err = set_queue_count(dev);
	if (!err)
		err = scan_namespaces(dev);
	if (err)
		return err;
	err = set_features(dev, NVME_FEAT_ASYNC_EVENT, events, NULL);
	if (err == -ETIMEDOUT)
		return err;
	/* If it refuses, the disk works without events too. */
	dmap_admin_ask_events(dev);
	return 0;
}

/* --- off ----------------------------------------------------------------------------------------
 */

/* Queue pairs that are somebody's go to `state`, and whoever waits is woken. */
static void set_queues(struct dmap_dev *dev, enum dmap_queue_state state)
{
	unsigned int i;

	for (i = 0; i < dev->queue_count; i++)
		if (dev->queues[i].state != DMAP_QUEUE_FREE)
			dmap_queue_set(&dev->queues[i], state);
}

static void forget_queues(struct dmap_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->queue_count; i++)
		dev->queues[i].created = false;
}

void dmap_cut_off(struct dmap_dev *dev, enum dmap_state state, const char *why)
{
	u16 command;

	if (why)
		dev_err(&dev->device, "%s: the disk is cut off; unbind and bind it to try again\n",
			why);
	/* Nobody listens to events any more: dev->event_work can be cancelled for good. */
	spin_lock_irq(&dev->admin.lock);
	dev->admin.event_out = false;
	spin_unlock_irq(&dev->admin.lock);
	set_queues(dev, DMAP_QUEUE_HALTED);
	pci_clear_master(dev->pdev);
	/* What the disk had on its way to memory arrives before the answer to this read. */
	pci_read_config_word(dev->pdev, PCI_COMMAND, &command);
	forget_queues(dev);
	dev->broken = true;
	dev->state = state;
	set_queues(dev, DMAP_QUEUE_GONE);
	wake_up_interruptible_all(&dev->events);
}

void dmap_pause(struct dmap_dev *dev, bool shut_down)
{
	lockdep_assert_held(&dev->mutex);
	if (dev->state != DMAP_LIVE)
		return;
	if (is_absent(dev)) {
		dmap_cut_off(dev, DMAP_GONE, "nobody answers any more");
		return;
	}
	set_queues(dev, DMAP_QUEUE_HALTED);
	if (shut_down)
		shut_down_ctrlr(dev);
	if (dmap_ctrlr_stop(dev)) {
		dmap_cut_off(dev, DMAP_DEAD, "the controller does not stop");
		return;
	}
	forget_queues(dev);
	dev->state = DMAP_PAUSED;
}

void dmap_resume(struct dmap_dev *dev)
{
	lockdep_assert_held(&dev->mutex);
	if (dev->state != DMAP_PAUSED)
		return;
	if (dmap_ctrlr_start(dev)) {
		dmap_cut_off(dev, DMAP_DEAD, "the controller does not start again");
		return;
	}
	dev->state = DMAP_LIVE;
	set_queues(dev, DMAP_QUEUE_LOST);
	wake_up_interruptible_all(&dev->events);
}

void dmap_reset(struct dmap_dev *dev, const char *why)
{
	if (dev->state != DMAP_LIVE)
		return;
	dev_warn(&dev->device, "%s: resetting the controller\n", why);
	dev->resets++;
	dmap_pause(dev, false);
	dmap_resume(dev);
}

void dmap_renew(struct dmap_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->queue_count; i++)
		if (dev->queues[i].created)
			return;
	/* One that is stopped is going to be started, which does the same. */
	if (!dev->used || dev->state != DMAP_LIVE)
		return;
	dmap_pause(dev, false);
	dmap_resume(dev);
}

/* --- what happens by itself ---------------------------------------------------------------------
 */

void dmap_watchdog(struct work_struct *work)
{
	struct dmap_dev *dev = container_of(to_delayed_work(work), struct dmap_dev, watchdog);
	u32 status;

	mutex_lock(&dev->mutex);
	if (dev->state == DMAP_LIVE) {
		status = readl(dev->bar + NVME_REG_CSTS);
		if (status == U32_MAX)
			dmap_cut_off(dev, DMAP_GONE, "nobody answers any more");
		else if (status & NVME_CSTS_CFS)
			dmap_reset(dev, "fatal status");
		else if (!(status & NVME_CSTS_RDY))
			dmap_reset(dev, "somebody else disabled it");
	}
	if (dev->state <= DMAP_PAUSED)
		schedule_delayed_work(&dev->watchdog, WATCHDOG_PERIOD);
	mutex_unlock(&dev->mutex);
}

void dmap_event_work(struct work_struct *work)
{
	struct dmap_dev *dev = container_of(work, struct dmap_dev, event_work);
	u32 event;
	int err;

	mutex_lock(&dev->mutex);
	spin_lock_irq(&dev->admin.lock);
	err = dev->admin.event_status & 0x7ff || dev->admin.event_out;
	event = dev->admin.event;
	spin_unlock_irq(&dev->admin.lock);
	/* A controller that refuses to tell is not asked again. */
	if (dev->state == DMAP_LIVE && !err) {
		dev_dbg(&dev->device, "event %#x\n", event);
		/* Reading its log is what makes the controller report the next event of the kind.
		 */
		err = dmap_get_log(dev, event >> 16, DMAP_PAGE);
		if (err != -ETIMEDOUT && (event & 7) == NVME_AER_NOTICE)
			err = scan_namespaces(dev);
		if (err == -ETIMEDOUT)
			dmap_reset(dev, "an event could not be read");
		else
			dmap_admin_ask_events(dev);
		wake_up_interruptible_all(&dev->events);
	}
	mutex_unlock(&dev->mutex);
}

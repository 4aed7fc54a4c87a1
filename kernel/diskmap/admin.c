// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * admin.c - the admin queue, which no process sees. One command at a time, and beside it one
 * Asynchronous Event Request that waits for something to happen.
 */
#include <linux/dma-mapping.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>

#include "dmap.h"

static unsigned int admin_timeout_ms = 5000;
module_param(admin_timeout_ms, uint, 0644);
MODULE_PARM_DESC(admin_timeout_ms, "an admin command that takes longer has the controller reset");

/* No command has this identifier but the Asynchronous Event Request. */
#define EVENT_CID 0xffff

static struct nvme_command *admin_sq(struct dmap_dev *dev)
{
	return dev->admin.pool.cpu;
}

static struct nvme_completion *admin_cq(struct dmap_dev *dev)
{
	return dev->admin.pool.cpu + DMAP_PAGE;
}

const void *dmap_admin_data(const struct dmap_dev *dev)
{
	return dev->admin.pool.cpu + 2 * DMAP_PAGE;
}

static u64 data_bus(struct dmap_dev *dev)
{
	return dev->admin.pool.bus + 2 * DMAP_PAGE;
}

int dmap_admin_init(struct dmap_dev *dev)
{
	spin_lock_init(&dev->admin.lock);
	init_completion(&dev->admin.done);
	return dmap_pool_init(dev, &dev->admin.pool, 3 * DMAP_PAGE);
}

void dmap_admin_exit(struct dmap_dev *dev)
{
	dmap_pool_exit(dev, &dev->admin.pool);
}

void dmap_admin_reset(struct dmap_dev *dev)
{
	struct dmap_admin *admin = &dev->admin;

	spin_lock_irq(&admin->lock);
	memset(admin->pool.cpu, 0, admin->pool.bytes);
	admin->head = 0;
	admin->phase = 1;
	admin->waiting = false;
	admin->event_out = false;
	spin_unlock_irq(&admin->lock);
	admin->tail = 0;
	dev->broken = false;
	writel((DMAP_ADMIN_ENTRIES - 1) | (DMAP_ADMIN_ENTRIES - 1) << 16, dev->bar + NVME_REG_AQA);
	lo_hi_writeq(admin->pool.bus, dev->bar + NVME_REG_ASQ);
	lo_hi_writeq(admin->pool.bus + DMAP_PAGE, dev->bar + NVME_REG_ACQ);
}

/* Under admin->lock. What does not answer a question of ours is counted and otherwise ignored. */
static void take_completion(struct dmap_dev *dev, u16 cid, u16 status, u32 result)
{
	struct dmap_admin *admin = &dev->admin;

	if (cid == EVENT_CID && admin->event_out) {
		admin->event_out = false;
		admin->event_status = status;
		admin->event = result;
		schedule_work(&dev->event_work);
	} else if (admin->waiting && cid == admin->cid) {
		admin->waiting = false;
		admin->status = status;
		admin->result = result;
		complete(&admin->done);
	} else {
		atomic_inc(&dev->strays);
	}
}

void dmap_admin_reap(struct dmap_dev *dev)
{
	struct dmap_admin *admin = &dev->admin;
	unsigned long flags;
	unsigned int n;

	spin_lock_irqsave(&admin->lock, flags);
	/* More than a queue full at once would be somebody who plays with its memory. */
	for (n = 0; n < DMAP_ADMIN_ENTRIES; n++) {
		struct nvme_completion *cqe = &admin_cq(dev)[admin->head];
		u16 status = le16_to_cpu(READ_ONCE(cqe->status));

		if ((status & 1) != admin->phase)
			break;
		/* The phase is read before the rest of the entry. */
		dma_rmb();
		take_completion(dev, READ_ONCE(cqe->command_id), status >> 1,
				le32_to_cpu(READ_ONCE(cqe->result.u32)));
		if (++admin->head == DMAP_ADMIN_ENTRIES) {
			admin->head = 0;
			admin->phase ^= 1;
		}
	}
	if (n)
		writel(admin->head, dev->bar + NVME_REG_DBS + (4 << NVME_CAP_STRIDE(dev->cap)));
	spin_unlock_irqrestore(&admin->lock, flags);
}

static void post(struct dmap_dev *dev, const struct nvme_command *cmd)
{
	struct dmap_admin *admin = &dev->admin;

	memcpy(&admin_sq(dev)[admin->tail], cmd, sizeof(*cmd));
	admin->tail = (admin->tail + 1) % DMAP_ADMIN_ENTRIES;
	/* writel orders the entry before the doorbell. */
	writel(admin->tail, dev->bar + NVME_REG_DBS);
}

int dmap_admin(struct dmap_dev *dev, struct nvme_command *cmd, u32 *result)
{
	struct dmap_admin *admin = &dev->admin;
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(admin_timeout_ms));
	bool lost;

	lockdep_assert_held(&dev->mutex);
	if (dev->broken)
		return -ETIMEDOUT;
	reinit_completion(&admin->done);
	spin_lock_irq(&admin->lock);
	admin->cid = (admin->cid + 1) % EVENT_CID;
	admin->waiting = true;
	spin_unlock_irq(&admin->lock);
	cmd->common.command_id = admin->cid;
	post(dev, cmd);
	if (!wait_for_completion_timeout(&admin->done, timeout)) {
		/* An interrupt may have been lost; the answer may be there all the same. */
		dmap_admin_reap(dev);
		spin_lock_irq(&admin->lock);
		lost = admin->waiting;
		admin->waiting = false;
		spin_unlock_irq(&admin->lock);
		if (lost) {
			dev->broken = true;
			dev_warn(&dev->device, "admin command %#x did not end\n",
				 cmd->common.opcode);
			return -ETIMEDOUT;
		}
	}
	if (admin->status & 0x7ff) {
		dev_dbg(&dev->device, "admin command %#x: status %#x\n", cmd->common.opcode,
			admin->status);
		return -EIO;
	}
	if (result)
		*result = admin->result;
	return 0;
}

int dmap_identify(struct dmap_dev *dev, u8 cns, u32 ns_id)
{
	struct nvme_command cmd = {};

	memset(dev->admin.pool.cpu + 2 * DMAP_PAGE, 0, DMAP_PAGE);
	cmd.identify.opcode = nvme_admin_identify;
	cmd.identify.nsid = cpu_to_le32(ns_id);
	cmd.identify.dptr.prp1 = cpu_to_le64(data_bus(dev));
	cmd.identify.cns = cns;
	return dmap_admin(dev, &cmd, NULL);
}

int dmap_get_log(struct dmap_dev *dev, u8 log, u32 bytes)
{
	struct nvme_command cmd = {};

	memset(dev->admin.pool.cpu + 2 * DMAP_PAGE, 0, DMAP_PAGE);
	cmd.get_log_page.opcode = nvme_admin_get_log_page;
	cmd.get_log_page.nsid = cpu_to_le32(NVME_NSID_ALL);
	cmd.get_log_page.dptr.prp1 = cpu_to_le64(data_bus(dev));
	cmd.get_log_page.lid = log;
	cmd.get_log_page.numdl = cpu_to_le16(bytes / 4 - 1);
	return dmap_admin(dev, &cmd, NULL);
}

void dmap_admin_ask_events(struct dmap_dev *dev)
{
	struct nvme_command cmd = {};
	struct dmap_admin *admin = &dev->admin;

	spin_lock_irq(&admin->lock);
	admin->event_out = true;
	spin_unlock_irq(&admin->lock);
	cmd.common.opcode = nvme_admin_async_event;
	cmd.common.command_id = EVENT_CID;
	post(dev, &cmd);
}

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * compat.h - what differs between the kernels that this module is built for, from 6.1 on. There are
 * no version checks anywhere else.
 */
#ifndef DISKMAP_COMPAT_H
#define DISKMAP_COMPAT_H

#include <linux/device/class.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define dmap_class_create(name) class_create(THIS_MODULE, name)
#else
#define dmap_class_create(name) class_create(name)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void dmap_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}

static inline void dmap_vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags &= ~flags;
}

/* A device can raise its own interrupts only, whatever it writes where interrupts are taken. */
static inline bool dmap_msi_isolated(struct device *dev, struct iommu_group *group)
{
	return irq_domain_check_msi_remap() || device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
}
#else
static inline void dmap_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vm_flags_set(vma, flags);
}

static inline void dmap_vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vm_flags_clear(vma, flags);
}

static inline bool dmap_msi_isolated(struct device *dev, struct iommu_group *group)
{
	return iommu_group_has_isolated_msi(group);
}
#endif

#endif

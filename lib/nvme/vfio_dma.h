// SPDX-License-Identifier: BSD-2-Clause
/*
 * vfio_dma.h - how the kernel is asked to let a device reach memory, and nothing else.
 *
 * There are two generations of the interface. With the older, a device is had by way of the group
 * that the IOMMU puts it in, and memory is mapped in a container (vfio_type1.c). With the newer,
 * the device has a file of its own, and memory is mapped in an address space of /dev/iommu
 * (vfio_iommufd.c). Either yields a descriptor of the device, with which vfio.c goes on.
 *
 * We choose the bus addresses in both, one after the other from 4 GiB on, within what the IOMMU can
 * translate. They are nobody's physical addresses on small machines and leave out the window of the
 * interrupts below 4 GiB; a null pointer, or a pointer that somebody forgot to translate, is not
 * mapped.
 */
#ifndef NVME_VFIO_DMA_H
#define NVME_VFIO_DMA_H

#include "access.h"

#define VFIO_WINDOWS_MAX 16
#define VFIO_PATH_BYTES  320 /* a path below /sys or /dev */

/* Bus addresses that the IOMMU can translate, both ends included. */
struct vfio_window {
    uint64_t first, last;
};

struct vfio_space {
    struct vfio_window windows[VFIO_WINDOWS_MAX]; /* rising */
    uint32_t count;
    uint64_t next; /* below: taken */
};

struct vfio_dma;

struct vfio_dma_ops {
    /* 0 or -errno. */
    int (*map)(struct vfio_dma *dma, void *base, size_t bytes, uint64_t bus);
    /* On return nothing is reachable any more: the IOMMU has forgotten it, and what was under way
     * has arrived. */
    void (*unmap_all)(struct vfio_dma *dma);
    void (*close)(struct vfio_dma *dma);
};

struct vfio_dma {
    const struct vfio_dma_ops *ops;
    struct vfio_space space;
    int fd;    /* the container, or /dev/iommu */
    int group; /* type1 only */
    uint32_t ioas;
};

/* `device` is the folder below /sys/bus/pci/devices. -ENOENT: the kernel does not have this way;
 * another -errno: it has, and refuses, and `why` says what to do. */
must_check int vfio_type1_open(struct vfio_dma *dma, const char *bdf, int *device, char *why,
                               size_t why_bytes);
must_check int vfio_iommufd_open(struct vfio_dma *dma, const char *bdf, int *device, char *why,
                                 size_t why_bytes);

void vfio_space_init(struct vfio_space *space);
/* Windows may come in any order and shape; what is below 4 GiB is not used. */
void vfio_space_add(struct vfio_space *space, uint64_t first, uint64_t last);
/* Where memory at `base` goes: as far behind a multiple of 2 MiB as there, so that large pages stay
 * large. NVME_BUS_NONE when there is no room. */
uint64_t vfio_space_take(struct vfio_space *space, uintptr_t base, size_t bytes);

/* The last part of what a link in the device's folder of sysfs points to: "driver",
 * "iommu_group". False: there is no such link. */
bool vfio_sysfs_link(const char *bdf, const char *name, char *out, size_t out_bytes);

#endif

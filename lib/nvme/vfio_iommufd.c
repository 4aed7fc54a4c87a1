// SPDX-License-Identifier: BSD-2-Clause
/*
 * vfio_iommufd.c - the newer way (Linux 6.6): a file for every device, address spaces of
 * /dev/iommu.
 *
 * The kernel's headers of a distribution may be older than its kernel; what is needed of
 * linux/iommufd.h and the newer linux/vfio.h is therefore written down here.
 */
#include "vfio_dma.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IOMMUFD_IOAS_ALLOC  _IO(';', 0x81)
#define IOMMUFD_IOAS_RANGES _IO(';', 0x84)
#define IOMMUFD_IOAS_MAP    _IO(';', 0x85)
#define IOMMUFD_IOAS_UNMAP  _IO(';', 0x86)
#define IOMMUFD_MAP_FIXED   1u
#define IOMMUFD_MAP_WRITE   2u
#define IOMMUFD_MAP_READ    4u
#define DEVICE_BIND         _IO(VFIO_TYPE, VFIO_BASE + 18)
#define DEVICE_ATTACH       _IO(VFIO_TYPE, VFIO_BASE + 19)

struct device_bind {
    uint32_t argsz;
    uint32_t flags;
    int32_t iommufd;
    uint32_t out_devid;
};
_Static_assert(sizeof(struct device_bind) == 16, "the kernel's layout");

struct device_attach {
    uint32_t argsz;
    uint32_t flags;
    uint32_t pt_id;
};
_Static_assert(sizeof(struct device_attach) == 12, "the kernel's layout");

struct ioas_alloc {
    uint32_t size;
    uint32_t flags;
    uint32_t out_ioas_id;
};
_Static_assert(sizeof(struct ioas_alloc) == 12, "the kernel's layout");

struct ioas_ranges {
    uint32_t size;
    uint32_t ioas_id;
    uint32_t num_iovas;
    uint32_t reserved;
    uint64_t allowed_iovas; /* a pointer to struct vfio_window */
    uint64_t out_iova_alignment;
};
_Static_assert(sizeof(struct ioas_ranges) == 32, "the kernel's layout");
_Static_assert(sizeof(struct vfio_window) == 16, "the kernel's layout of a range");

struct ioas_map {
    uint32_t size;
    uint32_t flags;
    uint32_t ioas_id;
    uint32_t reserved;
    uint64_t user_va;
    uint64_t length;
    uint64_t iova;
};
_Static_assert(sizeof(struct ioas_map) == 40, "the kernel's layout");

struct ioas_unmap {
    uint32_t size;
    uint32_t ioas_id;
    uint64_t iova;
    uint64_t length;
};
_Static_assert(sizeof(struct ioas_unmap) == 24, "the kernel's layout");

static int iommufd_map(struct vfio_dma *dma, void *base, size_t bytes, uint64_t bus)
{
    struct ioas_map map = {.size = sizeof(map),
                           .flags = IOMMUFD_MAP_FIXED | IOMMUFD_MAP_READ | IOMMUFD_MAP_WRITE,
                           .ioas_id = dma->ioas,
                           .user_va = (uintptr_t)base,
                           .length = bytes,
                           .iova = bus};

    return ioctl(dma->fd, IOMMUFD_IOAS_MAP, &map) ? -errno : 0;
}

static void iommufd_unmap_all(struct vfio_dma *dma)
{
    // This very range stands for all.
    struct ioas_unmap unmap = {.size = sizeof(unmap), .ioas_id = dma->ioas, .length = UINT64_MAX};

    // -ENOENT: nothing was mapped.
    (void)ioctl(dma->fd, IOMMUFD_IOAS_UNMAP, &unmap);
}

static void iommufd_close(struct vfio_dma *dma)
{
    close(dma->fd);
}

static const struct vfio_dma_ops iommufd_ops = {
    .map = iommufd_map,
    .unmap_all = iommufd_unmap_all,
    .close = iommufd_close,
};

/* Opens /dev/vfio/devices/vfioN, whose name the device's folder has. -ENOENT: there is none. */
static int device_open(const char *bdf)
{
    char path[VFIO_PATH_BYTES];
    struct dirent *entry;
    int fd = -1, error = -ENOENT;
    DIR *dir;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
    dir = opendir(path);
    if (!dir)
        return -ENOENT;
    while (fd < 0 && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "vfio", 4) != 0)
            continue;
        snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
        fd = open(path, O_RDWR | O_CLOEXEC);
        error = fd < 0 ? -errno : 0;
    }
    closedir(dir);
    return error ? error : fd;
}

static int attach(struct vfio_dma *dma, int device)
{
    struct device_bind bind = {.argsz = sizeof(bind), .iommufd = dma->fd};
    struct ioas_alloc alloc = {.size = sizeof(alloc)};
    struct device_attach at = {.argsz = sizeof(at)};

    if (ioctl(device, DEVICE_BIND, &bind) || ioctl(dma->fd, IOMMUFD_IOAS_ALLOC, &alloc))
        return -errno;
    dma->ioas = at.pt_id = alloc.out_ioas_id;
    return ioctl(device, DEVICE_ATTACH, &at) ? -errno : 0;
}

static int space_read(struct vfio_dma *dma)
{
    struct vfio_window windows[VFIO_WINDOWS_MAX];
    struct ioas_ranges ranges = {.size = sizeof(ranges),
                                 .ioas_id = dma->ioas,
                                 .num_iovas = VFIO_WINDOWS_MAX,
                                 .allowed_iovas = (uintptr_t)windows};

    // -EMSGSIZE: there are more, and we have as many as we asked for.
    if (ioctl(dma->fd, IOMMUFD_IOAS_RANGES, &ranges) && errno != EMSGSIZE)
        return -errno;
    for (uint32_t i = 0; i < min_u32(ranges.num_iovas, VFIO_WINDOWS_MAX); i++)
        vfio_space_add(&dma->space, windows[i].first, windows[i].last);
    return 0;
}

int vfio_iommufd_open(struct vfio_dma *dma, const char *bdf, int *device, char *why,
                      size_t why_bytes)
{
    int error;

    *dma = (struct vfio_dma){.ops = &iommufd_ops, .group = -1};
    vfio_space_init(&dma->space);
    *device = device_open(bdf);
    // Whoever may not open the new file may still have been given the group's.
    if (*device < 0)
        return -ENOENT;
    dma->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    if (dma->fd < 0) {
        error = -ENOENT;
        goto close_device;
    }
    error = attach(dma, *device);
    if (!error)
        error = space_read(dma);
    if (!error)
        return 0;
    if (error == -EBUSY)
        snprintf(why, why_bytes, "another process has the disk, or one of its IOMMU group");
    else
        snprintf(why, why_bytes, "the IOMMU cannot be set up: %s; see dmesg", strerror(-error));
    close(dma->fd);
close_device:
    close(*device);
    return error;
}

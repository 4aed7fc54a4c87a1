// SPDX-License-Identifier: BSD-2-Clause
/*
 * vfio_type1.c - the older way: a container, the device's group in it, the device out of the group.
 *
 * A group can be opened once. Whoever may open its file /dev/vfio/N needs no other privilege, apart
 * from the limit of locked memory, which has to be as large as the arena.
 */
#include "vfio_dma.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The information about the IOMMU with all its capabilities; it has a handful. */
#define INFO_BYTES 4096
/* What every IOMMU translates, when the kernel is too old to say (5.4): 39 bits. */
#define BUS_LAST_DEFAULT ((1ull << 39) - 1)

static int type1_map(struct vfio_dma *dma, void *base, size_t bytes, uint64_t bus)
{
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
                                           .flags =
                                               VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           .vaddr = (uintptr_t)base,
                                           .iova = bus,
                                           .size = bytes};

    return ioctl(dma->fd, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static void type1_unmap_all(struct vfio_dma *dma)
{
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap),
                                               .flags = VFIO_DMA_UNMAP_FLAG_ALL};

    // It cannot fail on a kernel that knows the flag (5.12).
    (void)ioctl(dma->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static void type1_close(struct vfio_dma *dma)
{
    close(dma->group);
    close(dma->fd);
}

static const struct vfio_dma_ops type1_ops = {
    .map = type1_map,
    .unmap_all = type1_unmap_all,
    .close = type1_close,
};

/* The windows, out of the chain of capabilities. */
static bool windows_read(struct vfio_space *space, const char *info, uint32_t bytes)
{
    uint32_t at = ((const struct vfio_iommu_type1_info *)(const void *)info)->cap_offset;
    bool found = false;

    for (uint32_t hops = 0; at && hops < VFIO_WINDOWS_MAX; hops++) {
        struct vfio_iommu_type1_info_cap_iova_range cap;
        struct vfio_iova_range range;

        if (at > bytes - sizeof(cap))
            break;
        memcpy(&cap, info + at, sizeof(cap));
        for (uint32_t i = 0; cap.header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE &&
                             i < min_u32(cap.nr_iovas, VFIO_WINDOWS_MAX);
             i++) {
            if (at + sizeof(cap) + (i + 1) * sizeof(range) > bytes)
                break;
            memcpy(&range, info + at + sizeof(cap) + i * sizeof(range), sizeof(range));
            vfio_space_add(space, range.start, range.end);
            found = true;
        }
        at = cap.header.next;
    }
    return found;
}

static void space_read(struct vfio_dma *dma)
{
    char buf[INFO_BYTES] __attribute__((aligned(8))) = {0};
    struct vfio_iommu_type1_info *info = (struct vfio_iommu_type1_info *)(void *)buf;
    bool found = false;

    info->argsz = sizeof(buf);
    if (ioctl(dma->fd, VFIO_IOMMU_GET_INFO, info) == 0 && info->flags & VFIO_IOMMU_INFO_CAPS)
        found = windows_read(&dma->space, buf, sizeof(buf));
    if (!found)
        vfio_space_add(&dma->space, 0, BUS_LAST_DEFAULT);
}

static int group_open(struct vfio_dma *dma, const char *number, char *why, size_t why_bytes)
{
    struct vfio_group_status status = {.argsz = sizeof(status)};
    char path[VFIO_PATH_BYTES];
    int error;

    snprintf(path, sizeof(path), "/dev/vfio/%s", number);
    dma->group = open(path, O_RDWR | O_CLOEXEC);
    if (dma->group < 0) {
        error = -errno;
        if (error == -EBUSY)
            snprintf(why, why_bytes,
                     "IOMMU group %s is taken, by another process (atlas disk list says which) or "
                     "for another disk in it",
                     number);
        else
            snprintf(why, why_bytes,
                     "cannot open %s: %s; chown it to the user who is to have the disk", path,
                     strerror(-error));
        return error;
    }
    error = ioctl(dma->group, VFIO_GROUP_GET_STATUS, &status) ? -errno : 0;
    if (!error && !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
        snprintf(why, why_bytes,
                 "other devices of IOMMU group %s belong to the kernel's drivers, "
                 "and are not kept apart from this one: bind them to vfio-pci as well",
                 number);
        error = -EPERM;
    } else if (error) {
        snprintf(why, why_bytes, "IOMMU group %s does not say how it is: %s", number,
                 strerror(-error));
    }
    if (error)
        close(dma->group);
    return error;
}

static int container_open(struct vfio_dma *dma, char *why, size_t why_bytes)
{
    int error;

    dma->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    if (dma->fd < 0) {
        error = -errno;
        snprintf(why, why_bytes, "cannot open /dev/vfio/vfio: %s; modprobe vfio-pci",
                 strerror(-error));
        return error;
    }
    if (ioctl(dma->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
        ioctl(dma->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1 ||
        ioctl(dma->fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL) != 1) {
        snprintf(why, why_bytes,
                 "the kernel cannot map memory for devices: modprobe "
                 "vfio_iommu_type1 (of Linux 5.12 or later)");
        close(dma->fd);
        return -ENODEV;
    }
    return 0;
}

static int join(struct vfio_dma *dma, char *why, size_t why_bytes)
{
    int error = 0;

    if (ioctl(dma->group, VFIO_GROUP_SET_CONTAINER, &dma->fd) ||
        ioctl(dma->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
        error = -errno;
    if (error == -EPERM)
        snprintf(why, why_bytes,
                 "the machine does not check interrupts that devices send: enable "
                 "interrupt remapping (or, if the disk is trusted, modprobe vfio_iommu_type1 "
                 "allow_unsafe_interrupts=1)");
    else if (error)
        snprintf(why, why_bytes, "the IOMMU cannot be set up: %s", strerror(-error));
    return error;
}

int vfio_type1_open(struct vfio_dma *dma, const char *bdf, int *device, char *why, size_t why_bytes)
{
    char number[16];
    int error;

    *dma = (struct vfio_dma){.ops = &type1_ops};
    vfio_space_init(&dma->space);
    if (!vfio_sysfs_link(bdf, "iommu_group", number, sizeof(number)))
        return -ENOENT;
    error = container_open(dma, why, why_bytes);
    if (error)
        return error;
    error = group_open(dma, number, why, why_bytes);
    if (error)
        goto close_container;
    error = join(dma, why, why_bytes);
    if (error)
        goto close_group;
    *device = ioctl(dma->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
    if (*device < 0) {
        error = -errno;
        snprintf(why, why_bytes, "the kernel does not give the disk away: %s; see dmesg",
                 strerror(-error));
        goto close_group;
    }
    space_read(dma);
    return 0;
close_group:
    close(dma->group);
close_container:
    close(dma->fd);
    return error;
}

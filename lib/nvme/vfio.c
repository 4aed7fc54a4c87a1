// SPDX-License-Identifier: BSD-2-Clause
/*
 * vfio.c - a controller that the kernel's vfio-pci driver holds for us.
 *
 * The registers are the first BAR, mapped; a doorbell is a store. The controller reaches the arena
 * and nothing else: the IOMMU sees to that, whatever addresses it is given or makes up. When the
 * process ends, however it ends, the kernel takes the memory from the device and resets it.
 *
 * Interrupts, one vector to an eventfd, are set up before anybody enables the controller: some (the
 * one in QEMU is of them) only learn at the creation of a completion queue that its vector is used.
 */
#include "nvme/nvme.h"
#include "spec.h"
#include "vfio_dma.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Vector 0 is the admin queue's, which is polled, and each queue pair has its own. */
#define VECTORS_MAX (NVME_QPAIRS_MAX + 1)
/* A region's description with its capabilities: a list of at most a few areas. */
#define INFO_BYTES 1024
#define CLASS_NVME 0x010802u /* mass storage, non-volatile, NVMe */
#define ALL_ONES   UINT32_MAX

struct vfio {
    struct nvme_access access;
    volatile uint32_t *bar;
    uint32_t mapped_bytes; /* of it, from its beginning */
    uint32_t bar_bytes;
    uint64_t bar_off; /* in the device's file, as is the next */
    uint64_t config_off;
    int device;
    int request; /* readable when the kernel wants the device back; -1 */
    bool asked;  /* it does */
    struct vfio_dma dma;
    uint32_t vector_count;
    int vectors[VECTORS_MAX];
};

static struct vfio *vfio_of(struct nvme_access *access)
{
    return container_of(access, struct vfio, access);
}

/* --- registers -------------------------------------------------------------------------------- */

/* The kernel waits for us, for as long as it takes, when an operator unbinds the disk or pulls it
 * out: for the driver above us it is gone from then on. Only the rare reads ask. */
static bool is_gone(struct vfio *v)
{
    uint64_t count;

    if (!v->asked && v->request >= 0 && read(v->request, &count, sizeof(count)) > 0)
        v->asked = true;
    return v->asked;
}

static uint32_t vfio_read32(struct nvme_access *access, uint32_t off)
{
    struct vfio *v = vfio_of(access);
    uint32_t value = ALL_ONES;

    if (is_gone(v))
        return ALL_ONES;
    if (off + sizeof(value) <= v->mapped_bytes)
        return v->bar[off / sizeof(value)];
    if (off + sizeof(value) > v->bar_bytes ||
        pread(v->device, &value, sizeof(value), (off_t)(v->bar_off + off)) != sizeof(value))
        return ALL_ONES;
    return value;
}

static void vfio_write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    struct vfio *v = vfio_of(access);

    if (likely(off + sizeof(value) <= v->mapped_bytes)) {
        v->bar[off / sizeof(value)] = value;
        return;
    }
    // Where a doorbell lies is the controller's word (CAP.DSTRD): one outside the BAR rings nobody,
    // and the command that it was for is overdue in time. The same goes for a write that fails.
    if (off + sizeof(value) <= v->bar_bytes &&
        pwrite(v->device, &value, sizeof(value), (off_t)(v->bar_off + off)) < 0)
        return;
}

/* --- memory ----------------------------------------------------------------------------------- */

static int vfio_map(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus)
{
    struct vfio *v = vfio_of(access);

    *bus = vfio_space_take(&v->dma.space, (uintptr_t)base, bytes);
    if (*bus == NVME_BUS_NONE)
        return -ENOSPC;
    return v->dma.ops->map(&v->dma, base, bytes, *bus);
}

static bool master_set(struct vfio *v, bool on)
{
    off_t off = (off_t)(v->config_off + PCI_COMMAND);
    uint16_t command;

    if (pread(v->device, &command, sizeof(command), off) != sizeof(command))
        return false;
    command &= (uint16_t)~PCI_COMMAND_MASTER;
    if (on)
        command |= PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
    return pwrite(v->device, &command, sizeof(command), off) == sizeof(command);
}

static void vfio_stop(struct nvme_access *access)
{
    struct vfio *v = vfio_of(access);

    // A device that is gone, or does not do as it is told, is kept out by the IOMMU all the same.
    master_set(v, false);
    v->dma.ops->unmap_all(&v->dma);
}

/* --- interrupts ------------------------------------------------------------------------------- */

/* Returns 0, -errno, or how many vectors there could be instead. */
static int irqs_set(struct vfio *v, uint32_t index, const int *fds, uint32_t count)
{
    char buf[sizeof(struct vfio_irq_set) + sizeof(v->vectors)] __attribute__((aligned(8)));
    struct vfio_irq_set *set = (struct vfio_irq_set *)(void *)buf;
    int result;

    *set = (struct vfio_irq_set){.argsz = (uint32_t)(sizeof(*set) + count * sizeof(*fds)),
                                 .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                                 .index = index,
                                 .count = count};
    memcpy(set->data, fds, count * sizeof(*fds));
    result = ioctl(v->device, VFIO_DEVICE_SET_IRQS, set);
    return result < 0 ? -errno : result;
}

static uint32_t irq_count(struct vfio *v, uint32_t index)
{
    struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};

    if (ioctl(v->device, VFIO_DEVICE_GET_IRQ_INFO, &info) || !(info.flags & VFIO_IRQ_INFO_EVENTFD))
        return 0;
    return info.count;
}

/* Leaves the first `count`. */
static void vectors_close(struct vfio *v, uint32_t count)
{
    while (v->vector_count > count)
        close(v->vectors[--v->vector_count]);
}

/* Where interrupts are short some queue pairs have none, and work by being polled. */
static void vfio_want_interrupts(struct nvme_access *access, uint32_t count)
{
    struct vfio *v = vfio_of(access);

    count = min_u32(count, min_u32(irq_count(v, VFIO_PCI_MSIX_IRQ_INDEX), VECTORS_MAX));
    while (v->vector_count < count) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

        if (fd < 0)
            break;
        v->vectors[v->vector_count++] = fd;
    }
    while (v->vector_count) {
        int result = irqs_set(v, VFIO_PCI_MSIX_IRQ_INDEX, v->vectors, v->vector_count);

        if (result == 0)
            return;
        // The kernel says how many there could be, or only that there are too few.
        if (result < 0 || (uint32_t)result >= v->vector_count)
            result = (int)(v->vector_count / 2);
        vectors_close(v, (uint32_t)result);
    }
}

static void request_open(struct vfio *v)
{
    v->request = irq_count(v, VFIO_PCI_REQ_IRQ_INDEX) ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (v->request >= 0 && irqs_set(v, VFIO_PCI_REQ_IRQ_INDEX, &v->request, 1)) {
        close(v->request);
        v->request = -1;
    }
}

static int vfio_fd(struct nvme_access *access, uint32_t vector)
{
    struct vfio *v = vfio_of(access);

    return vector < v->vector_count ? v->vectors[vector] : -1;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void vfio_close(struct nvme_access *access)
{
    struct vfio *v = vfio_of(access);

    munmap((void *)v->bar, v->mapped_bytes);
    close(v->device);
    v->dma.ops->close(&v->dma);
    vectors_close(v, 0);
    if (v->request >= 0)
        close(v->request);
    free(v);
}

static const struct nvme_access_ops vfio_ops = {
    .read32 = vfio_read32,
    .write32 = vfio_write32,
    .map = vfio_map,
    .stop = vfio_stop,
    .want_interrupts = vfio_want_interrupts,
    .fd = vfio_fd,
    .close = vfio_close,
};

/* How much of a region can be mapped, from its beginning: where the table of interrupts lies in it,
 * older kernels leave that out. */
static uint64_t mappable_bytes(const char *info, uint32_t bytes)
{
    const struct vfio_region_info *region = (const struct vfio_region_info *)(const void *)info;
    struct vfio_region_info_cap_sparse_mmap cap;
    struct vfio_region_sparse_mmap_area area;
    uint32_t at = region->flags & VFIO_REGION_INFO_FLAG_CAPS ? region->cap_offset : 0;

    if (!(region->flags & VFIO_REGION_INFO_FLAG_MMAP))
        return 0;
    for (; at && at <= bytes - sizeof(cap); at = cap.header.next) {
        memcpy(&cap, info + at, sizeof(cap));
        if (cap.header.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
            if (!cap.nr_areas || at + sizeof(cap) + sizeof(area) > bytes)
                return 0;
            memcpy(&area, info + at + sizeof(cap), sizeof(area));
            return area.offset ? 0 : area.size;
        }
        if (cap.header.next <= at)
            break;
    }
    return region->size;
}

static int bar_map(struct vfio *v, char *why, size_t why_bytes)
{
    char buf[INFO_BYTES] __attribute__((aligned(8))) = {0};
    struct vfio_region_info *info = (struct vfio_region_info *)(void *)buf;
    void *bar;

    info->argsz = sizeof(buf);
    info->index = VFIO_PCI_BAR0_REGION_INDEX;
    if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, info))
        goto no_registers;
    v->bar_off = info->offset;
    v->bar_bytes = (uint32_t)min_u64(info->size, UINT32_MAX / 2);
    v->mapped_bytes = (uint32_t)min_u64(mappable_bytes(buf, sizeof(buf)), v->bar_bytes);
    if (v->mapped_bytes <= NVME_REG_DOORBELLS)
        goto no_registers;
    bar = mmap(NULL, v->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->device,
               (off_t)v->bar_off);
    if (bar == MAP_FAILED)
        goto no_registers;
    v->bar = bar;
    return 0;
no_registers:
    snprintf(why, why_bytes,
             "the disk's registers cannot be mapped: see dmesg, and whether its "
             "first BAR has an address (lspci -vv)");
    return -EIO;
}

static int device_setup(struct vfio *v, char *why, size_t why_bytes)
{
    struct vfio_region_info config = {.argsz = sizeof(config),
                                      .index = VFIO_PCI_CONFIG_REGION_INDEX};
    int error;

    if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &config)) {
        error = -errno;
        snprintf(why, why_bytes, "the disk's configuration space cannot be found: %s",
                 strerror(-error));
        return error;
    }
    v->config_off = config.offset;
    // Before memory is given: what an earlier owner left running is forgotten. Not every device can
    // be reset; the kernel has tried when it gave us this one, and CC.EN does the rest.
    (void)ioctl(v->device, VFIO_DEVICE_RESET);
    if (!master_set(v, true)) {
        snprintf(why, why_bytes, "the disk does not answer: see whether it was pulled out");
        return -EIO;
    }
    return bar_map(v, why, why_bytes);
}

bool vfio_sysfs_link(const char *bdf, const char *name, char *out, size_t out_bytes)
{
    char path[VFIO_PATH_BYTES], target[VFIO_PATH_BYTES];
    const char *last;
    ssize_t n;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
    n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    last = strrchr(target, '/');
    return (size_t)snprintf(out, out_bytes, "%s", last ? last + 1 : target) < out_bytes;
}

/* As sysfs writes it: lower case, and with the domain, which may be left out when it is 0. */
static bool bdf_parse(const char *text, char *bdf, size_t bytes)
{
    static const char shape[] = "xxxx:xx:xx.x";
    size_t n = (size_t)snprintf(bdf, bytes, "%s%s", strlen(text) == 7 ? "0000:" : "", text);

    if (n != sizeof(shape) - 1 || n >= bytes)
        return false;
    for (size_t i = 0; i < n; i++) {
        bdf[i] = (char)tolower((unsigned char)bdf[i]);
        if (shape[i] == 'x' ? !isxdigit((unsigned char)bdf[i]) : bdf[i] != shape[i])
            return false;
    }
    return true;
}

/* Whether sysfs says that this is a disk, and ours to take. */
static int check(const char *bdf, char *why, size_t why_bytes)
{
    char path[VFIO_PATH_BYTES], driver[64], group[16], text[16] = "";
    int fd;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", bdf);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, why_bytes, "there is no PCI device %s: atlas disk list shows the disks", bdf);
        return -ENODEV;
    }
    if (read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    close(fd);
    if (strtoul(text, NULL, 16) != CLASS_NVME) {
        snprintf(why, why_bytes, "%s is no NVMe controller: atlas disk list shows them", bdf);
        return -ENODEV;
    }
    if (!vfio_sysfs_link(bdf, "driver", driver, sizeof(driver)) ||
        strcmp(driver, "vfio-pci") != 0) {
        snprintf(why, why_bytes, "%s is not bound to vfio-pci: atlas disk bind %s", bdf, bdf);
        return -EBUSY;
    }
    if (!vfio_sysfs_link(bdf, "iommu_group", group, sizeof(group))) {
        snprintf(why, why_bytes,
                 "no IOMMU guards %s: enable it in the firmware (VT-d, AMD-Vi) and "
                 "boot with intel_iommu=on",
                 bdf);
        return -ENODEV;
    }
    return 0;
}

int nvme_vfio_open(struct nvme_access **out, const char *address, char *why, size_t why_bytes)
{
    struct vfio *v = calloc(1, sizeof(*v));
    char bdf[32];
    int error = -ENOMEM;

    if (!v) {
        snprintf(why, why_bytes, "out of memory");
        return error;
    }
    error = -EINVAL;
    if (!bdf_parse(address, bdf, sizeof(bdf))) {
        snprintf(why, why_bytes, "'%s' is no PCI address such as 0000:01:00.0", address);
        goto free_vfio;
    }
    error = check(bdf, why, why_bytes);
    if (error)
        goto free_vfio;
    error = vfio_iommufd_open(&v->dma, bdf, &v->device, why, why_bytes);
    if (error == -ENOENT)
        error = vfio_type1_open(&v->dma, bdf, &v->device, why, why_bytes);
    if (error)
        goto free_vfio;
    v->access.ops = &vfio_ops;
    error = device_setup(v, why, why_bytes);
    if (error)
        goto close_device;
    request_open(v);
    *out = &v->access;
    return 0;
close_device:
    close(v->device);
    v->dma.ops->close(&v->dma);
free_vfio:
    free(v);
    return error;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "disk_priv.h"

#include "base/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLASS_NVME    "0x010802"
#define DEVICES       "/sys/bus/pci/devices"
#define SECTOR_BYTES  512 /* what /sys/block counts in, whatever the disk does */
#define FUNCTIONS_MAX 1024

bool disk_read(const char *path, char *out, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, bytes - 1);

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    // Disks and processes name themselves; a terminal would obey some of it.
    for (char *c = out; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = isspace((unsigned char)*c) ? ' ' : '?';
    for (size_t end = strlen(out); end && isspace((unsigned char)out[end - 1]);)
        out[--end] = '\0';
    return n > 0;
}

bool disk_link(const char *path, char *out, size_t bytes)
{
    char target[DISK_PATH_BYTES];
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    const char *last;

    out[0] = '\0';
    if (n <= 0)
        return false;
    target[n] = '\0';
    last = strrchr(target, '/');
    last = last ? last + 1 : target;
    if (strlen(last) >= bytes)
        return false;
    memcpy(out, last, strlen(last) + 1);
    return true;
}

static bool function_read(const char *bdf, const char *file, char *out, size_t bytes)
{
    char path[DISK_PATH_BYTES];

    snprintf(path, sizeof(path), DEVICES "/%s/%s", bdf, file);
    return disk_read(path, out, bytes);
}

static bool function_link(const char *bdf, const char *file, char *out, size_t bytes)
{
    char path[DISK_PATH_BYTES];

    snprintf(path, sizeof(path), DEVICES "/%s/%s", bdf, file);
    return disk_link(path, out, bytes);
}

/* The only entry of a folder that begins with `prefix`: the name that a driver gave. */
static void name_read(const char *bdf, const char *folder, const char *prefix, char *out,
                      size_t bytes)
{
    char path[DISK_PATH_BYTES];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), DEVICES "/%s/%s", bdf, folder);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            snprintf(out, bytes, "%.31s", entry->d_name);
    if (dir)
        closedir(dir);
}

/* Whether a block device is a namespace of the controller: its own, or one that several controllers
 * of a subsystem share. */
static bool is_namespace_of(const char *block, const char *name)
{
    char path[DISK_PATH_BYTES], parent[DISK_NAME_BYTES];

    snprintf(path, sizeof(path), "/sys/block/%s/device", block);
    if (!disk_link(path, parent, sizeof(parent)))
        return false;
    if (strcmp(parent, name) == 0)
        return true;
    snprintf(path, sizeof(path), "/sys/class/nvme-subsystem/%s/%s", parent, name);
    return strncmp(parent, "nvme-subsys", 11) == 0 && access(path, F_OK) == 0;
}

/* One of several ways to a namespace that controllers share, without a file in /dev. */
static bool is_hidden(const char *block)
{
    char path[DISK_PATH_BYTES], hidden[8];

    snprintf(path, sizeof(path), "/sys/block/%s/hidden", block);
    return disk_read(path, hidden, sizeof(hidden)) && strcmp(hidden, "1") == 0;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void blocks_read(struct disk_function *disk)
{
    struct dirent *entry;
    DIR *dir = opendir("/sys/block");

    while (dir && (entry = readdir(dir))) {
        char path[DISK_PATH_BYTES], sectors[DISK_NAME_BYTES];

        if (strncmp(entry->d_name, "nvme", 4) != 0 || strlen(entry->d_name) >= DISK_NAME_BYTES ||
            is_hidden(entry->d_name) || !is_namespace_of(entry->d_name, disk->name))
            continue;
        if (disk->block_count == DISK_NAMESPACES_MAX) {
            disk->has_more = true;
            break;
        }
        snprintf(disk->blocks[disk->block_count++], DISK_NAME_BYTES, "%.31s", entry->d_name);
        snprintf(path, sizeof(path), "/sys/block/%s/size", entry->d_name);
        if (disk_read(path, sectors, sizeof(sectors)))
            disk->bytes += strtoull(sectors, NULL, 10) * SECTOR_BYTES;
    }
    if (dir)
        closedir(dir);
    qsort(disk->blocks, disk->block_count, sizeof(disk->blocks[0]), name_order);
}

static void function_fill(struct disk_function *disk, const char *bdf)
{
    char file[DISK_NAME_BYTES + 16];

    *disk = (struct disk_function){0};
    snprintf(disk->bdf, sizeof(disk->bdf), "%.31s", bdf);
    function_link(bdf, "driver", disk->driver, sizeof(disk->driver));
    function_link(bdf, "iommu_group", disk->group, sizeof(disk->group));
    if (strcmp(disk->driver, DISK_DRIVER_VFIO) == 0)
        name_read(bdf, "vfio-dev", "vfio", disk->name, sizeof(disk->name));
    if (strcmp(disk->driver, DISK_DRIVER_DISKMAP) == 0)
        name_read(bdf, "diskmap", "diskmap", disk->name, sizeof(disk->name));
    if (strcmp(disk->driver, DISK_DRIVER_KERNEL) != 0)
        return;
    name_read(bdf, "nvme", "nvme", disk->name, sizeof(disk->name));
    snprintf(file, sizeof(file), "nvme/%s/model", disk->name);
    function_read(bdf, file, disk->model, sizeof(disk->model));
    snprintf(file, sizeof(file), "nvme/%s/serial", disk->name);
    function_read(bdf, file, disk->serial, sizeof(disk->serial));
    blocks_read(disk);
}

static int function_order(const void *a, const void *b)
{
    return strcmp(((const struct disk_function *)a)->bdf, ((const struct disk_function *)b)->bdf);
}

int disk_scan(struct disk_function **out)
{
    struct disk_function *disks = NULL;
    struct dirent *entry;
    DIR *dir = opendir(DEVICES);
    int count = 0;

    *out = NULL;
    if (!dir)
        return errno == ENOENT ? 0 : -errno; // a machine without PCI
    while ((entry = readdir(dir)) && count < FUNCTIONS_MAX) {
        struct disk_function *more;
        char class[16];

        if (entry->d_name[0] == '.' ||
            !function_read(entry->d_name, "class", class, sizeof(class)) ||
            strcmp(class, CLASS_NVME) != 0)
            continue;
        more = realloc(disks, (size_t)(count + 1) * sizeof(*disks));
        if (!more) {
            free(disks);
            closedir(dir);
            return -ENOMEM;
        }
        disks = more;
        function_fill(&disks[count++], entry->d_name);
    }
    closedir(dir);
    if (count)
        qsort(disks, (size_t)count, sizeof(*disks), function_order);
    *out = disks;
    return count;
}

static bool is_called(const struct disk_function *disk, const char *word)
{
    if (strcasecmp(disk->bdf, word) == 0 || (disk->name[0] && strcmp(disk->name, word) == 0))
        return true;
    // The domain is 0 on most machines, and left out by most people.
    if (strncmp(disk->bdf, "0000:", 5) == 0 && strcasecmp(disk->bdf + 5, word) == 0)
        return true;
    for (uint32_t i = 0; i < disk->block_count; i++)
        if (strcmp(disk->blocks[i], word) == 0)
            return true;
    return false;
}

bool disk_find(const char *word, struct disk_function *out)
{
    struct disk_function *disks;
    int count = disk_scan(&disks);
    const char *name = strncmp(word, "/dev/", 5) == 0 ? word + 5 : word;

    for (int i = 0; i < count; i++) {
        if (!is_called(&disks[i], name))
            continue;
        *out = disks[i];
        free(disks);
        return true;
    }
    free(disks);
    log_error("there is no NVMe disk '%s': atlas disk list shows those that there are", word);
    return false;
}

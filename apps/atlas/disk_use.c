// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk_use.c - who uses a disk.
 *
 * Mounts, swap and what is built on a disk hold it exclusively, which can be asked for without
 * knowing of what kind they are, in whichever mount namespace; that is what counts. Their names,
 * and the processes that have a file of the disk's open, are found on the way to tell the operator.
 */
#include "disk_priv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES     1024
#define DISK_USE_BYTES 320

struct asked {
    const struct disk_function *disk;
    void (*say)(void *arg, const char *use);
    void *arg;
    uint32_t count;
};

static void found(struct asked *asked, const char *use)
{
    asked->count++;
    asked->say(asked->arg, use);
}

/* Whether a name is that of the block device, or of a partition of it (nvme0n1p3). */
static bool is_part_of(const char *name, const char *block)
{
    size_t n = strlen(block);

    if (strncmp(name, block, n) != 0)
        return false;
    return !name[n] || (name[n] == 'p' && isdigit((unsigned char)name[n + 1]));
}

/* --- what the kernel does with it ------------------------------------------------------------- */

/* The name of the block device with a number such as 259:3. */
static bool block_name(const char *number, char *out, size_t bytes)
{
    char path[DISK_PATH_BYTES];

    snprintf(path, sizeof(path), "/sys/dev/block/%.32s", number);
    return disk_link(path, out, bytes);
}

static void mounts(struct asked *asked, const char *block)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[LINE_BYTES], number[40], where[256], name[DISK_NAME_BYTES], use[DISK_USE_BYTES];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*s %*s %39s %*s %255s", number, where) != 2 ||
            !block_name(number, name, sizeof(name)) || !is_part_of(name, block))
            continue;
        snprintf(use, sizeof(use), "%s is mounted on %s", name, where);
        found(asked, use);
    }
    if (f)
        fclose(f);
}

static void swaps(struct asked *asked, const char *block)
{
    FILE *f = fopen("/proc/swaps", "re");
    char line[LINE_BYTES], path[256], use[DISK_USE_BYTES];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%255s", path) != 1 || strncmp(path, "/dev/", 5) != 0 ||
            !is_part_of(path + 5, block))
            continue;
        snprintf(use, sizeof(use), "%s is swap", path + 5);
        found(asked, use);
    }
    if (f)
        fclose(f);
}

static void holders_of(struct asked *asked, const char *folder, const char *name)
{
    char path[DISK_PATH_BYTES], use[128];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/holders", folder);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(use, sizeof(use), "%.31s is part of %.64s", name, entry->d_name);
        found(asked, use);
    }
    if (dir)
        closedir(dir);
}

static void holders(struct asked *asked, const char *block)
{
    char path[DISK_PATH_BYTES];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "/sys/block/%s", block);
    holders_of(asked, path, block);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, block) == 0 || !is_part_of(entry->d_name, block))
            continue;
        snprintf(path, sizeof(path), "/sys/block/%s/%.31s", block, entry->d_name);
        holders_of(asked, path, entry->d_name);
    }
    if (dir)
        closedir(dir);
}

/* They hold what they lie on neither exclusively nor by name. */
static void loops(struct asked *asked, const char *block)
{
    char path[DISK_PATH_BYTES], file[DISK_PATH_BYTES], use[DISK_USE_BYTES + 64];
    struct dirent *entry;
    DIR *dir = opendir("/sys/block");

    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "loop", 4) != 0)
            continue;
        snprintf(path, sizeof(path), "/sys/block/%.31s/loop/backing_file", entry->d_name);
        if (!disk_read(path, file, sizeof(file)) || strncmp(file, "/dev/", 5) != 0 ||
            !is_part_of(file + 5, block))
            continue;
        snprintf(use, sizeof(use), "%s is what %.31s lies on", file + 5, entry->d_name);
        found(asked, use);
    }
    if (dir)
        closedir(dir);
}

/* Whoever holds a partition of it holds the whole of it in this respect. */
static bool is_held(const char *block)
{
    char path[DISK_PATH_BYTES];
    int fd, error;

    snprintf(path, sizeof(path), "/dev/%s", block);
    fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
    error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error == EBUSY;
}

/* --- processes -------------------------------------------------------------------------------- */

/* ng0n1, by which commands are sent to nvme0n1. */
static bool is_generic_of(const char *name, const char *block)
{
    return strncmp(name, "ng", 2) == 0 && strncmp(block, "nvme", 4) == 0 &&
           strcmp(name + 2, block + 4) == 0;
}

static bool is_file_of(const struct disk_function *disk, const char *path)
{
    char device[DISK_PATH_BYTES];

    if (strncmp(path, "/dev/", 5) != 0)
        return false;
    for (uint32_t i = 0; i < disk->block_count; i++)
        if (is_part_of(path + 5, disk->blocks[i]) || is_generic_of(path + 5, disk->blocks[i]))
            return true;
    if (strcmp(disk->driver, DISK_DRIVER_VFIO) == 0) {
        // The file of its group, or, on newer kernels, its own.
        snprintf(device, sizeof(device), "/dev/vfio/%s", disk->group);
        if (disk->group[0] && strcmp(path, device) == 0)
            return true;
        snprintf(device, sizeof(device), "/dev/vfio/devices/%s", disk->name);
        return disk->name[0] && strcmp(path, device) == 0;
    }
    return disk->name[0] && strcmp(path + 5, disk->name) == 0;
}

static bool has_open(const struct disk_function *disk, const char *pid)
{
    char path[DISK_PATH_BYTES], target[DISK_PATH_BYTES];
    struct dirent *entry;
    bool has = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
    dir = opendir(path);
    while (dir && !has && (entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        target[n > 0 ? n : 0] = '\0';
        has = is_file_of(disk, target);
    }
    if (dir)
        closedir(dir);
    return has;
}

static void processes(struct asked *asked)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");

    while (dir && (entry = readdir(dir))) {
        char path[DISK_PATH_BYTES], command[32], use[96];

        if (!isdigit((unsigned char)entry->d_name[0]) || !has_open(asked->disk, entry->d_name))
            continue;
        snprintf(path, sizeof(path), "/proc/%.16s/comm", entry->d_name);
        disk_read(path, command, sizeof(command));
        snprintf(use, sizeof(use), "process %.16s (%s) has it", entry->d_name, command);
        found(asked, use);
    }
    if (dir)
        closedir(dir);
}

uint32_t disk_uses(const struct disk_function *disk, void (*say)(void *arg, const char *use),
                   void *arg)
{
    struct asked asked = {.disk = disk, .say = say, .arg = arg};

    if (disk->has_more)
        found(&asked, "it has more namespaces than are looked at");
    for (uint32_t i = 0; i < disk->block_count; i++) {
        uint32_t before = asked.count;
        char use[96];

        mounts(&asked, disk->blocks[i]);
        swaps(&asked, disk->blocks[i]);
        holders(&asked, disk->blocks[i]);
        loops(&asked, disk->blocks[i]);
        if (asked.count == before && is_held(disk->blocks[i])) {
            snprintf(use, sizeof(use), "%s is held (mounted out of our sight, or part of a volume)",
                     disk->blocks[i]);
            found(&asked, use);
        }
    }
    processes(&asked);
    return asked.count;
}

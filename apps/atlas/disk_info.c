// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk_info.c - what a disk says of itself: by way of the kernel's driver, our module, or our own
 * driver.
 *
 * A disk that some process has through vfio-pci is not asked: nobody but that process can.
 */
#include "disk_priv.h"

#include "base/log.h"
#include "diskmap_ioctl.h"
#include "nvme/nvme.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE   2
#define COMMAND_MS   5000
#define ARENA_BYTES  (4u << 20)
#define PATIENCE_NS  (30 * NS_PER_S) /* a controller may take half a minute to become ready */
#define GET_LOG_PAGE 0x02
#define EVERY_NSID   0xffffffffu
#define HEALTH_LOG   0x02u
#define LABEL        "  %-18s"

struct answer {
    char model[48], serial[24], firmware[12];
    struct {
        uint32_t ns_id;
        uint32_t block_bytes;
        uint64_t bytes;
    } namespaces[DISK_NAMESPACES_MAX];
    uint32_t namespace_count;
    struct nvme_health health;
    bool has_health;
    char why[256]; /* what could not be said, and why */
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- by way of the kernel ------------------------------------------------------------------------
 */

static void kernel_health(const struct disk_function *disk, struct answer *answer)
{
    uint8_t log[NVME_HEALTH_LOG_BYTES];
    struct nvme_admin_cmd cmd = {.opcode = GET_LOG_PAGE,
                                 .nsid = EVERY_NSID,
                                 .addr = (uintptr_t)log,
                                 .data_len = sizeof(log),
                                 .cdw10 = HEALTH_LOG | (sizeof(log) / 4 - 1) << 16,
                                 .timeout_ms = COMMAND_MS};
    char path[DISK_PATH_BYTES];
    int fd, status;

    snprintf(path, sizeof(path), "/dev/%s", disk->name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    status = fd < 0 ? -1 : ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd);
    if (status < 0)
        snprintf(answer->why, sizeof(answer->why), "/dev/%s: %s", disk->name, strerror(errno));
    else if (status > 0)
        snprintf(answer->why, sizeof(answer->why), "the disk refuses, with status 0x%03x", status);
    else
        nvme_health_parse(&answer->health, log);
    answer->has_health = status == 0;
    if (fd >= 0)
        close(fd);
}

static void kernel_ask(const struct disk_function *disk, struct answer *answer)
{
    char path[DISK_PATH_BYTES], number[DISK_NAME_BYTES];

    memcpy(answer->model, disk->model, sizeof(answer->model));
    memcpy(answer->serial, disk->serial, sizeof(answer->serial));
    snprintf(path, sizeof(path), "/sys/class/nvme/%s/firmware_rev", disk->name);
    disk_read(path, answer->firmware, sizeof(answer->firmware));
    for (uint32_t i = 0; i < disk->block_count; i++) {
        const char *block = disk->blocks[i];

        snprintf(path, sizeof(path), "/sys/block/%s/nsid", block);
        disk_read(path, number, sizeof(number));
        answer->namespaces[i].ns_id = (uint32_t)strtoul(number, NULL, 10);
        snprintf(path, sizeof(path), "/sys/block/%s/queue/logical_block_size", block);
        disk_read(path, number, sizeof(number));
        answer->namespaces[i].block_bytes = (uint32_t)strtoul(number, NULL, 10);
        snprintf(path, sizeof(path), "/sys/block/%s/size", block);
        disk_read(path, number, sizeof(number));
        answer->namespaces[i].bytes = strtoull(number, NULL, 10) * 512;
    }
    answer->namespace_count = disk->block_count;
    kernel_health(disk, answer);
}

/* --- by way of our kernel module -----------------------------------------------------------------
 */

static void diskmap_namespaces(int fd, uint32_t count, struct answer *answer)
{
    for (uint32_t i = 0; i < count && i < DISK_NAMESPACES_MAX; i++) {
        struct diskmap_namespace ns = {.index = i};

        if (ioctl(fd, DISKMAP_IOC_NAMESPACE, &ns))
            return;
        answer->namespaces[i].ns_id = ns.ns_id;
        answer->namespaces[i].block_bytes = ns.block_bytes;
        answer->namespaces[i].bytes = ns.blocks * ns.block_bytes;
        answer->namespace_count = i + 1;
    }
}

static void diskmap_ask(const struct disk_function *disk, struct answer *answer)
{
    struct diskmap_info info;
    struct diskmap_health health;
    char path[DISK_PATH_BYTES];
    int fd;

    snprintf(path, sizeof(path), "/dev/%s", disk->name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, DISKMAP_IOC_INFO, &info)) {
        snprintf(answer->why, sizeof(answer->why), "/dev/%s: %s", disk->name, strerror(errno));
    } else {
        snprintf(answer->model, sizeof(answer->model), "%.43s", info.model);
        snprintf(answer->serial, sizeof(answer->serial), "%.23s", info.serial);
        snprintf(answer->firmware, sizeof(answer->firmware), "%.11s", info.firmware);
        diskmap_namespaces(fd, info.namespaces, answer);
        answer->has_health = ioctl(fd, DISKMAP_IOC_HEALTH, &health) == 0;
        if (answer->has_health)
            nvme_health_parse(&answer->health, health.log);
        else
            snprintf(answer->why, sizeof(answer->why), "%s", strerror(errno));
    }
    if (fd >= 0)
        close(fd);
}

/* --- by way of our own driver --------------------------------------------------------------------
 */

static void ctrlr_answer(const struct nvme_ctrlr *ctrlr, struct answer *answer)
{
    const struct nvme_info *info = nvme_ctrlr_info(ctrlr);
    const struct nvme_health *health = nvme_ctrlr_health(ctrlr);

    snprintf(answer->model, sizeof(answer->model), "%s", info->model);
    snprintf(answer->serial, sizeof(answer->serial), "%s", info->serial);
    snprintf(answer->firmware, sizeof(answer->firmware), "%s", info->firmware);
    for (uint32_t i = 0; i < nvme_ctrlr_namespace_count(ctrlr) && i < DISK_NAMESPACES_MAX; i++) {
        const struct nvme_namespace *ns = nvme_ctrlr_namespace(ctrlr, i);

        answer->namespaces[i].ns_id = ns->ns_id;
        answer->namespaces[i].block_bytes = ns->block_bytes;
        answer->namespaces[i].bytes = ns->blocks * ns->block_bytes;
        answer->namespace_count = i + 1;
    }
    answer->has_health = health != NULL;
    if (health)
        answer->health = *health;
    else
        snprintf(answer->why, sizeof(answer->why), "the disk does not answer Get Log Page");
}

static void ctrlr_ask(struct nvme_ctrlr *ctrlr, struct answer *answer)
{
    uint64_t deadline = now_ns() + PATIENCE_NS;
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    enum nvme_state state;

    do {
        state = nvme_ctrlr_turn(ctrlr, now_ns());
        nanosleep(&pause, NULL);
    } while (now_ns() < deadline &&
             (state == NVME_STARTING || (state == NVME_READY && !nvme_ctrlr_health(ctrlr))));
    if (state == NVME_READY)
        ctrlr_answer(ctrlr, answer);
    else
        snprintf(answer->why, sizeof(answer->why), "%s", nvme_ctrlr_why(ctrlr));
    nvme_ctrlr_stop(ctrlr);
    while (nvme_ctrlr_turn(ctrlr, now_ns()) == NVME_STOPPING && now_ns() < deadline)
        nanosleep(&pause, NULL);
    nvme_ctrlr_close(ctrlr);
}

static void vfio_ask(const struct disk_function *disk, struct answer *answer)
{
    struct nvme_config config = {.qpairs = 1, .depth = 1};
    struct nvme_ctrlr *ctrlr;

    if (mem_arena_open(&config.arena, ARENA_BYTES, 0)) {
        snprintf(answer->why, sizeof(answer->why), "out of memory");
        return;
    }
    if (nvme_vfio_open(&config.access, disk->bdf, answer->why, sizeof(answer->why)) == 0) {
        if (nvme_ctrlr_open(&ctrlr, &config, answer->why, sizeof(answer->why)) == 0)
            ctrlr_ask(ctrlr, answer);
        else
            nvme_access_close(config.access);
    }
    mem_arena_close(config.arena);
}

/* --- printing ------------------------------------------------------------------------------------
 */

static void print_health(const struct nvme_health *h)
{
    uint32_t warnings = 0;

    for (uint32_t i = 0; i < NVME_HEALTH_WARNINGS; i++) {
        const char *words = nvme_health_warning(h, i);

        if (words)
            printf(LABEL "%s\n", warnings++ ? "" : "health", words);
    }
    if (!warnings)
        printf(LABEL "good\n", "health");
    printf(LABEL "%d C\n", "temperature", h->celsius);
    printf(LABEL "%u %% (replace the disk below %u %%)\n", "spare", h->spare_percent,
           h->spare_least_percent);
    printf(LABEL "%u %% of its life\n", "used", h->used_percent);
    printf(LABEL "%.1f GB in %" PRIu64 " commands\n", "read", (double)h->bytes_read / 1e9,
           h->reads);
    printf(LABEL "%.1f GB in %" PRIu64 " commands\n", "written", (double)h->bytes_written / 1e9,
           h->writes);
    printf(LABEL "%" PRIu64 " hours, %" PRIu64 " minutes of it busy\n", "powered on",
           h->power_on_hours, h->busy_minutes);
    printf(LABEL "%" PRIu64 " times, %" PRIu64 " without being shut down\n", "power cycled",
           h->power_cycles, h->unsafe_shutdowns);
    printf(LABEL "%" PRIu64 " of the medium, %" PRIu64 " in the log\n", "errors", h->media_errors,
           h->error_log_entries);
}

static void print_answer(const struct answer *answer)
{
    if (answer->model[0])
        printf(LABEL "%s\n" LABEL "%s\n" LABEL "%s\n", "model", answer->model, "serial",
               answer->serial, "firmware", answer->firmware);
    for (uint32_t i = 0; i < answer->namespace_count; i++)
        printf("  namespace %-8" PRIu32 "%.1f GB in blocks of %" PRIu32 " bytes\n",
               answer->namespaces[i].ns_id, (double)answer->namespaces[i].bytes / 1e9,
               answer->namespaces[i].block_bytes);
    if (answer->has_health)
        print_health(&answer->health);
    else
        printf(LABEL "unknown: %s\n", "health", answer->why);
}

/* The other functions that the IOMMU does not keep apart from this one. */
static void print_group(const struct disk_function *disk)
{
    char path[DISK_PATH_BYTES];
    struct dirent *entry;
    DIR *dir;

    if (!disk->group[0]) {
        printf(LABEL "none: no IOMMU guards this disk\n", "IOMMU group");
        return;
    }
    printf(LABEL "%s", "IOMMU group", disk->group);
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/devices", disk->bdf);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, disk->bdf) != 0)
            printf(", with %s", entry->d_name);
    if (dir)
        closedir(dir);
    putchar('\n');
}

static void print_use(void *arg, const char *use)
{
    bool *begun = arg;

    printf(LABEL "%s\n", *begun ? "" : "used by", use);
    *begun = true;
}

static void print_disk(const struct disk_function *disk)
{
    struct answer answer = {0};
    bool used = false;

    printf("%s\n" LABEL "%s%s%s\n", disk->bdf, "driver", disk->driver[0] ? disk->driver : "none",
           disk->name[0] ? ", as " : "", disk->name);
    print_group(disk);
    if (!disk_uses(disk, print_use, &used))
        printf(LABEL "nobody\n", "used by");
    if (strcmp(disk->driver, DISK_DRIVER_KERNEL) == 0)
        kernel_ask(disk, &answer);
    else if (strcmp(disk->driver, DISK_DRIVER_DISKMAP) == 0)
        diskmap_ask(disk, &answer);
    else if (strcmp(disk->driver, DISK_DRIVER_VFIO) != 0)
        snprintf(answer.why, sizeof(answer.why), "no driver of ours, or of the kernel's, has it");
    else if (used)
        snprintf(answer.why, sizeof(answer.why), "only the process that has the disk can ask it");
    else
        vfio_ask(disk, &answer);
    print_answer(&answer);
}

int disk_info(int argc, char **argv)
{
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        puts("usage: atlas disk info DISK...\n\nShows who has a disk, what it is kept apart from, "
             "and what it says of itself: who\nmade it, its namespaces and its health (SMART).");
        return EXIT_SUCCESS;
    }
    if (argc < 2 || argv[1][0] == '-') {
        log_error("which disk? See atlas disk list, and atlas disk info --help");
        return EXIT_USAGE;
    }
    for (int i = 1; i < argc; i++) {
        struct disk_function disk;

        if (!disk_find(argv[i], &disk))
            return EXIT_FAILURE;
        if (i > 1)
            putchar('\n');
        print_disk(&disk);
    }
    return EXIT_SUCCESS;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * module_test.c - what diskmap.ko has to hold, tried by hand in the guest of module_test.py.
 *
 *     module_test image FILE NUMBER MIB      makes the image of disk NUMBER
 *     module_test load-module FILE [PARAM]   what insmod does, and rmmod
 *     module_test unload-module
 *     module_test CASE DEVICE...             /dev/diskmap0 is disk 0; see `cases` below
 *
 * Here are the cases of processes that mean well and of disks that do not; module_misuse.c has
 * those of processes that do not.
 */
#include "module_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int failures;

bool report(bool good, const char *fmt, ...)
{
    va_list args;

    failures += !good;
    printf("%sok - ", good ? "" : "not ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    return good;
}

static uint32_t disk_number(const char *path)
{
    return (uint32_t)strtoul(path + strcspn(path, "0123456789"), NULL, 10);
}

void open_or_exit(struct raw *raw, const char *path, uint32_t buffers)
{
    int error = raw_open(raw, path, buffers, -1);

    if (!error)
        return;
    report(false, "%s opens: %s", path, strerror(-error));
    exit(1);
}

static uint32_t disk_sectors(const struct raw *raw)
{
    return (uint32_t)(raw->ns.blocks * (raw->ns.block_bytes / RAW_SECTOR));
}

/* What each sector has been written how often, as far as this process and its children know. */
static uint32_t *shared_generations(uint32_t sectors)
{
    void *p = mmap(NULL, sectors * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int run_one(struct raw *raw, uint8_t opcode, uint64_t lba, uint64_t bus, uint32_t bytes)
{
    struct raw_completion completion = {0};
    int status = -1;

    raw_post(raw, 0, opcode, lba, bus, bytes);
    if (raw_ring_sq(raw) == 0 && raw_await(raw, &completion, true))
        status = completion.status;
    return raw_ring_cq(raw) ? -1 : status;
}

/* Finds out how often each sector was written, of which this process has no memory. */
static bool learn(struct raw *raw, uint32_t disk, uint32_t *generations, uint32_t first,
                  uint32_t count)
{
    uint32_t step = min_u32((uint32_t)raw->at.buffers_bytes, raw->info.transfer_bytes) / RAW_SECTOR;
    uint32_t block = raw->ns.block_bytes / RAW_SECTOR;

    for (uint32_t at = 0; at < count; at += step) {
        uint32_t n = min_u32(step, count - at);

        if (run_one(raw, RAW_READ, (first + at) / block, raw->at.buffers_bus, n * RAW_SECTOR))
            return false;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t *g = &generations[at + i];

            // A killed process knows not which of its last writes were done, nor its heirs.
            for (*g = 0; !raw_is(raw->buffers + (size_t)i * RAW_SECTOR, disk, first + at + i, *g);)
                if (++*g > 1000)
                    return false;
        }
    }
    return true;
}

static struct raw_load load_of(struct raw *raw, const char *path, uint32_t *generations)
{
    return (struct raw_load){.raw = raw,
                             .disk = disk_number(path),
                             .count = disk_sectors(raw),
                             .generations = generations,
                             .depth = 32,
                             .requests = 1000,
                             .seed = 1};
}

bool exercise(struct raw *raw, const char *path, const char *name)
{
    uint32_t *generations = shared_generations(disk_sectors(raw));
    struct raw_load load = load_of(raw, path, generations);
    bool good = generations && learn(raw, load.disk, generations, 0, load.count);

    if (!good)
        return report(false, "%s: every sector of %s is of some generation", name, path);
    good = raw_load(&load);
    report(good, "%s: a load on %s%s%s", name, path, good ? "" : ": ", load.what);
    munmap(generations, load.count * sizeof(*generations));
    return good;
}

/* --- cases -------------------------------------------------------------------------------------
 */

static void case_attach(char **paths, int count)
{
    static const uint32_t depths[] = {1, 8, 128, RAW_COMMANDS};
    struct diskmap_health health = {{0}};
    struct raw raw;

    for (int d = 0; d < count; d++) {
        uint32_t *generations;
        bool good = true;

        open_or_exit(&raw, paths[d], BUFFERS * 4);
        report(raw.info.version == DISKMAP_VERSION && raw.info.flags & DISKMAP_CONFINED &&
                   raw.info.queue_pairs >= 2 && raw.info.model[0] && raw.ns.blocks &&
                   raw.at.entries == 256,
               "%s is a %s, %llu blocks of %u bytes, commands of %u KiB", paths[d], raw.info.model,
               (unsigned long long)raw.ns.blocks, raw.ns.block_bytes,
               raw.info.transfer_bytes >> 10);
        report(ioctl(raw.fd, DISKMAP_IOC_HEALTH, &health) == 0 &&
                   (health.log[1] | health.log[2] << 8) > 200,
               "it has a temperature, in kelvins");
        generations = shared_generations(disk_sectors(&raw));
        for (size_t i = 0; i < array_len(depths) * 2 && good; i++) {
            struct raw_load load = load_of(&raw, paths[d], generations);

            load.depth = depths[i / 2];
            load.asleep = i & 1;
            load.seed = i;
            good = raw_load(&load);
            report(good, "%s, depth %u, %s: all reads bring what was written%s", paths[d],
                   load.depth, load.asleep ? "asleep" : "awake", load.what);
        }
        raw_close(&raw);
    }
}

/* Attached to, closed, attached to: the memory is clean, and the disk as it was left. */
static void case_reattach(char **paths, int count)
{
    uint64_t begin = raw_now_ns();
    bool clean = true, good = true;

    for (int round = 0; round < 20 && good && clean; round++) {
        struct raw raw;

        open_or_exit(&raw, paths[0], BUFFERS);
        for (size_t i = 0; i < raw.at.queues_bytes; i++)
            clean = clean && !raw.queues[i];
        for (size_t i = 0; i < raw.at.buffers_bytes; i++)
            clean = clean && !raw.buffers[i];
        for (uint32_t k = 0; k < 3; k++)
            good = good && run_one(&raw, RAW_READ, k, raw.at.buffers_bus, 4096) == 0;
        raw_close(&raw);
    }
    report(good && clean, "20 times, a queue pair is given back and taken again, %s",
           clean ? "clean" : "with what another had in it");
    printf("# in %llu ms\n", (unsigned long long)((raw_now_ns() - begin) / NS_PER_MS));
}

/* Two processes, each with a queue pair and half of the disk; a third waits for a queue pair. */
static void case_together(char **paths, int count)
{
    enum { PROCESSES = 2 };
    uint32_t *generations = NULL;
    pid_t pids[PROCESSES];
    bool good = true;

    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            struct raw raw;
            struct raw_load load;

            open_or_exit(&raw, paths[0], BUFFERS);
            load = load_of(&raw, paths[0], NULL);
            load.count /= PROCESSES;
            load.first = (uint32_t)p * load.count;
            load.requests = 5000;
            load.seed = (uint64_t)p;
            load.asleep = p;
            generations = load.generations = shared_generations(load.count);
            good = learn(&raw, load.disk, generations, load.first, load.count) && raw_load(&load);
            if (!good)
                printf("# %s\n", load.what);
            fflush(stdout);
            _exit(!good);
        }
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;

        good = waitpid(pids[p], &status, 0) == pids[p] && status == 0 && good;
    }
    report(good, "two processes use queue pairs of one disk at the same time");
}

/* --- a process that is killed ------------------------------------------------------------------
 */

static void victim(const char *path, uint32_t *progress)
{
    struct raw raw;

    open_or_exit(&raw, path, BUFFERS);
    for (uint16_t command = 0;; command = (uint16_t)((command + 1) % 128)) {
        struct raw_completion completion;
        uint64_t bus = raw.at.buffers_bus + (uint64_t)command * 16384;

        // Always many reads out, into memory that others will have.
        raw_post(&raw, command, RAW_READ, command * 32u, bus, 16384);
        if (command % 32 == 0 && (raw_ring_sq(&raw) || raw_ring_cq(&raw)))
            _exit(1);
        while (raw_take(&raw, &completion))
            __atomic_add_fetch(progress, 1, __ATOMIC_RELEASE);
    }
}

static void case_killed(char **paths, int count)
{
    uint32_t *progress = shared_generations(1);
    struct raw raw;

    for (int round = 0; round < 10; round++) {
        bool clean = true;
        pid_t pid;
        int status;

        *progress = 0;
        pid = fork();
        if (pid == 0)
            victim(paths[0], progress);
        while (__atomic_load_n(progress, __ATOMIC_ACQUIRE) < 1000 &&
               waitpid(pid, &status, WNOHANG) == 0)
            usleep(100);
        kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) == pid && !WIFSIGNALED(status)) {
            report(false, "a process could be killed in mid-I/O");
            return;
        }
        open_or_exit(&raw, paths[0], BUFFERS);
        // What its reads would still bring would be seen here.
        for (int look = 0; look < 3; look++, usleep(5000))
            for (size_t i = 0; i < raw.at.buffers_bytes; i++)
                clean = clean && !raw.buffers[i];
        if (!clean)
            report(false, "after a process was killed, its reads do not come to another's memory");
        if (round < 9)
            raw_close(&raw);
    }
    report(raw.info.queue_pairs_free == raw.info.queue_pairs && raw.info.buffers_free >= BUFFERS,
           "10 processes were killed in mid-I/O, and nothing of them is left");
    exercise(&raw, paths[0], "after a process was killed");
    raw_close(&raw);
}

/* --- the disk keeps to its memory --------------------------------------------------------------
 */

static void case_stray(char **paths, int count)
{
    size_t bytes = 1u << 20;
    uint8_t *canary = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0, aims[2];
    bool whole = true;
    struct raw raw;

    open_or_exit(&raw, paths[0], BUFFERS);
    memset(canary, 0xc5, bytes);
    if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)canary / PAGE_BYTES * 8)) != 8)
        entry = 0;
    // Where the canary really is, and right behind what this disk may reach.
    aims[0] = (entry & ((1ull << 55) - 1)) * PAGE_BYTES;
    aims[1] = raw.at.buffers_bus + (uint64_t)raw.info.buffers * raw.info.buffer_bytes;
    report(aims[0] != 0, "the kernel says where memory is");
    for (size_t i = 0; i < array_len(aims); i++) {
        printf("# aimed at 0x%llx\n", (unsigned long long)aims[i]);
        run_one(&raw, RAW_READ, 0, aims[i], PAGE_BYTES);
        usleep(300 * 1000); // faults that follow each other closely are reported as one
    }
    for (size_t i = 0; i < bytes; i++)
        whole = whole && canary[i] == 0xc5;
    report(whole, "a read that was aimed at other memory did not get there");
    exercise(&raw, paths[0], "after strays");
    raw_close(&raw);
}

/* --- taken back --------------------------------------------------------------------------------
 */

static void case_restart(char **paths, int count)
{
    bool good = true, quiet = true;
    struct raw raw;

    open_or_exit(&raw, paths[0], BUFFERS);
    for (int round = 0; round < 20 && good; round++) {
        for (uint16_t i = 0; i < 64; i++)
            raw_post(&raw, i, RAW_READ, i * 32u, raw.at.buffers_bus + i * 16384u, 16384);
        good = raw_ring_sq(&raw) == 0 && ioctl(raw.fd, DISKMAP_IOC_RESTART, 0) == 0;
        raw_rewind(&raw);
        memset(raw.buffers, 0x5a, raw.at.buffers_bytes);
        usleep(5000);
        for (size_t i = 0; i < raw.at.buffers_bytes; i++)
            quiet = quiet && raw.buffers[i] == 0x5a;
        good = good && run_one(&raw, RAW_READ, 0, raw.at.buffers_bus, 4096) == 0;
    }
    report(good, "20 times, commands that were out are taken back");
    report(quiet, "and none of them wrote to memory afterwards");
    exercise(&raw, paths[0], "after restarts");
    raw_close(&raw);
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return good;
}

/* What poll says even to those who wait for nothing. */
static bool polls(struct raw *raw, short events, int timeout_ms)
{
    struct pollfd fd = {.fd = raw->fd};

    return poll(&fd, 1, timeout_ms) == 1 && (fd.revents & events) == events;
}

/* Somebody else resets the function: every queue pair is lost, and can be had again. */
static void case_reset(char **paths, int count)
{
    struct raw mine, other;
    char path[128];

    open_or_exit(&mine, paths[0], BUFFERS);
    open_or_exit(&other, paths[0], BUFFERS);
    report(!polls(&mine, POLLERR, 0), "a queue pair that works has no error");
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", mine.info.pci);
    if (!report(write_file(path, "1"), "the function can be reset: %s", strerror(errno)))
        return;
    report(polls(&mine, POLLERR, 5000) && polls(&other, POLLERR, 5000), "poll says POLLERR");
    mine.tail = 5;
    report(raw_ring_sq(&mine) == -ESTALE && raw_ring_cq(&other) == -ESTALE, "ringing says ESTALE");
    report(ioctl(mine.fd, DISKMAP_IOC_RESTART, 0) == 0, "a queue pair is restarted");
    report(raw_ring_cq(&other) == -ESTALE, "and the other one is not");
    raw_rewind(&mine);
    exercise(&mine, paths[0], "after a reset");
    raw_close(&other); // as it is
    raw_close(&mine);
}

/* --- a controller in trouble -------------------------------------------------------------------
 */

volatile uint32_t *registers(const struct raw *raw)
{
    char path[128];
    void *p = MAP_FAILED;
    int fd;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", raw->info.pci);
    fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd >= 0)
        p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

/* Switched off, it neither reads commands nor deletes queues. */
static void case_trouble(char **paths, int count)
{
    volatile uint32_t *regs;
    struct raw raw, other;

    open_or_exit(&raw, paths[0], BUFFERS);
    regs = registers(&raw);
    if (!report(regs && regs[REGISTER_CC / 4] & 1, "its registers can be reached"))
        return;
    regs[REGISTER_CC / 4] = 0;
    report(polls(&raw, POLLERR, 5000) && raw_ring_sq(&raw) == -ESTALE,
           "a controller that stops is noticed and reset");
    report(ioctl(raw.fd, DISKMAP_IOC_RESTART, 0) == 0, "a queue pair is restarted");
    raw_rewind(&raw);
    exercise(&raw, paths[0], "after a controller has stopped");

    open_or_exit(&other, paths[0], 0);
    write_file("/sys/module/diskmap/parameters/admin_timeout_ms", "100");
    regs[REGISTER_CC / 4] = 0;
    report(ioctl(raw.fd, DISKMAP_IOC_RESTART, 0) == 0,
           "a queue pair of one that hangs is restarted");
    report(polls(&other, POLLERR, 0), "at the cost of the others");
    raw_rewind(&raw);
    exercise(&raw, paths[0], "after a controller was hung");
    raw_close(&other);

    regs[REGISTER_CC / 4] = 0;
    raw_close(&raw);
    open_or_exit(&raw, paths[0], BUFFERS);
    write_file("/sys/module/diskmap/parameters/admin_timeout_ms", "5000");
    exercise(&raw, paths[0], "after a process left a controller that was hung");
    raw_close(&raw);
}

static int open_config(const char *pci)
{
    char path[128];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", pci);
    return open(path, O_RDWR | O_CLOEXEC);
}

static void expect_gone(struct raw *raw, const char *path, int timeout_ms)
{
    report(polls(raw, POLLHUP, timeout_ms), "poll says POLLHUP");
    raw->tail = 1;
    report(raw_ring_sq(raw) == -ENODEV, "and ringing ENODEV");
    raw_close(raw);
    report(raw_open(raw, path, 0, -1) == -ENODEV, "and it cannot be opened any more");
}

/* Its registers are not there: they read as zero in this machine, so that it seems to have been
 * switched off, and it cannot be switched on again. */
static void case_dead(char **paths, int count)
{
    struct raw raw;
    int fd;

    open_or_exit(&raw, paths[0], BUFFERS);
    fd = open_config(raw.info.pci);
    report(pwrite(fd, "\0\0", 2, 4) == 2, "a disk's registers are switched off");
    close(fd);
    expect_gone(&raw, paths[0], 15000);
}

#define CONFIG_COMMAND 4
#define CONFIG_BAR0    0x10
#define CONFIG_BAR2    0x18
#define MEMORY_SPACE   2

/* In place of its registers is memory full of ones (that of an ivshmem device), which is what is
 * read from a disk that was pulled out. */
static void case_vanished(char **paths, int count)
{
    uint16_t off = 0, on = MEMORY_SPACE;
    uint64_t bar = 0, moved;
    struct raw raw;
    char path[128];
    int disk, ones;
    void *p;

    open_or_exit(&raw, paths[0], BUFFERS);
    disk = open_config(raw.info.pci);
    ones = open_config(paths[1]);
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", paths[1]);
    if (pwrite(ones, &on, 2, CONFIG_COMMAND) != 2 ||
        (p = mmap(NULL, 4 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, open(path, O_RDWR),
                  0)) == MAP_FAILED ||
        pread(disk, &bar, 8, CONFIG_BAR0) != 8) {
        report(false, "memory of %s can be had: %s", paths[1], strerror(errno));
        return;
    }
    memset(p, 0xff, 4 * PAGE_BYTES);
    munmap(p, 4 * PAGE_BYTES);
    moved = bar & ~0xfull;
    report(pwrite(disk, &off, 2, CONFIG_COMMAND) == 2 && pwrite(ones, &moved, 8, CONFIG_BAR2) == 8,
           "ones are read from where its registers were");
    expect_gone(&raw, paths[0], 3000);
    pwrite(ones, &off, 2, CONFIG_COMMAND);
    close(ones);
    close(disk);
}

/* Two disks fill the same buffers, which live as long as one of them has them. */
static void case_borrow(char **paths, int count)
{
    struct raw owner, other, third;
    bool good = true;
    int error;

    open_or_exit(&owner, paths[0], BUFFERS);
    error = raw_open(&other, paths[1], 0, owner.fd);
    if (!report(!error, "buffers of %s are lent to %s (%s)", paths[0], paths[1], strerror(-error)))
        return;
    report(raw_open(&third, paths[0], 0, other.fd) == -EINVAL, "what is borrowed is not lent on");
    close(owner.fd); // still mapped, and lent
    for (uint32_t i = 0; i < 64 && good; i++) {
        uint32_t at = i * 16384;

        memset(owner.buffers + at, 0xa5, 16384);
        good = run_one(&other, RAW_READ, i * 32 * RAW_SECTOR / other.ns.block_bytes,
                       other.at.buffers_bus + at, 16384) == 0;
        for (uint32_t k = 0; k < 32 && good; k++)
            good =
                raw_is(owner.buffers + at + k * RAW_SECTOR, disk_number(paths[1]), i * 32 + k, 0);
    }
    report(good, "%s reads into them", paths[1]);
    munmap(owner.buffers, owner.at.buffers_bytes);
    munmap(owner.queues, owner.at.queues_bytes);
    report(raw_open(&third, paths[0], 0, -1) == 0 && third.info.buffers_free < third.info.buffers,
           "they are taken as long as they are lent");
    raw_close(&third);
    raw_close(&other);
    report(raw_open(&third, paths[0], 0, -1) == 0 &&
               third.info.buffers_free == third.info.buffers &&
               third.info.queue_pairs_free == third.info.queue_pairs,
           "and not longer");
    raw_close(&third);
}

/* The disk is unbound under a process, by another one that has to wait for it. */
static void case_gone(char **paths, int count)
{
    const char *driver = "/sys/bus/pci/drivers/diskmap/unbind";
    struct raw raw, watcher = {.fd = open(paths[0], O_RDONLY | O_CLOEXEC)};
    int status;
    pid_t pid;

    open_or_exit(&raw, paths[0], BUFFERS);
    raw_post(&raw, 0, RAW_READ, 0, raw.at.buffers_bus, 4096);
    raw_ring_sq(&raw);
    pid = fork();
    if (pid == 0) {
        close(raw.fd);
        _exit(!write_file(driver, raw.info.pci));
    }
    report(polls(&raw, POLLHUP, 10000), "poll says POLLHUP when the disk is taken away");
    raw.tail = 2;
    report(raw_ring_sq(&raw) == -ENODEV && ioctl(raw.fd, DISKMAP_IOC_RESTART, 0) < 0 &&
               errno == ENODEV && ioctl(raw.fd, DISKMAP_IOC_INFO, &raw.info) < 0 && errno == ENODEV,
           "everything else says ENODEV");
    memset(raw.buffers, 0x5a, raw.at.buffers_bytes);
    memset(raw.queues, 0x5a, raw.at.queues_bytes);
    report(waitpid(pid, &status, WNOHANG) == 0, "memory is still there, and whoever took it waits");
    raw_close(&raw);
    report(waitpid(pid, &status, 0) == pid && status == 0,
           "until it is closed; a file that only watches is not waited for");
    report(polls(&watcher, POLLHUP, 0) && ioctl(watcher.fd, DISKMAP_IOC_INFO, &raw.info) < 0 &&
               errno == ENODEV,
           "and is told, too");
    close(watcher.fd);
    report(raw_open(&raw, paths[0], 0, -1) == -ENOENT, "then the device is gone");
}

/* --- main --------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*run)(char **paths, int count);
    int least; /* devices */
} cases[] = {
    {"attach", case_attach, 1},   {"reattach", case_reattach, 1}, {"together", case_together, 1},
    {"killed", case_killed, 1},   {"stray", case_stray, 1},       {"restart", case_restart, 1},
    {"reset", case_reset, 1},     {"borrow", case_borrow, 2},     {"gone", case_gone, 1},
    {"refused", case_refused, 1}, {"fuzz", case_fuzz, 1},         {"trouble", case_trouble, 1},
    {"dead", case_dead, 1},       {"vanished", case_vanished, 2}, {"pinned", case_pinned, 1},
    {"watched", case_watched, 1}, {"held", case_held, 1},         {"renewed", case_renewed, 1},
    {"rawio", case_rawio, 1},
};

static int load_module(const char *path, const char *parameters)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && syscall(SYS_finit_module, fd, parameters, 0) == 0)
        return 0;
    perror(path);
    return 1;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 5 && !strcmp(argv[1], "image"))
        return raw_image(argv[2], (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4])) ? 1 : 0;
    if (argc >= 3 && !strcmp(argv[1], "load-module"))
        return load_module(argv[2], argc > 3 ? argv[3] : "");
    if (argc == 2 && !strcmp(argv[1], "unload-module")) {
        if (syscall(SYS_delete_module, "diskmap", O_NONBLOCK) == 0)
            return 0;
        perror("diskmap");
        return 1;
    }
    for (size_t i = 0; i < array_len(cases); i++)
        if (argc >= 2 + cases[i].least && !strcmp(argv[1], cases[i].name)) {
            cases[i].run(argv + 2, argc - 2);
            return failures ? 1 : 0;
        }
    fprintf(stderr, "usage: module_test CASE /dev/diskmap0...\n");
    return 2;
}

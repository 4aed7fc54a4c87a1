// SPDX-License-Identifier: BSD-2-Clause
/*
 * device_test.c - what a disk of ours has to hold, tried on a real one, or what passes for one.
 *
 *     device_test image FILE NUMBER MIB     makes the known image of disk NUMBER
 *     device_test digest FILE               prints the digest of what is in it
 *     device_test CASE DISK...              see disk.h for how disks are named, and `cases` below
 *
 * Statically linked, so that it needs nothing of the machine that it runs on. It prints test
 * results as guest.py wants them. Lines "# digest NUMBER HEX" and "# aimed at ADDRESS" are for
 * those who compare them with the image that is left, and with the log of the kernel.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISKS_MAX   8
#define MIB         (1u << 20)
#define DEPTH_MAX   128
#define REQUEST_MAX MIB
#define QUEUE_BYTES (8u * MIB) /* of a disk, in the arena, besides buffers */
#define MANY        100000u
#define SECTORS_MAX (1u << 19)

struct set {
    struct disk disks[DISKS_MAX];
    struct image images[DISKS_MAX];
    uint32_t count;
    struct disk_memory memory;
    char *buffers;
};

static int failures;

static bool report(bool good, const char *fmt, ...) printf_like(2, 3);

static bool report(bool good, const char *fmt, ...)
{
    va_list args;

    failures += !good;
    printf("%sok - ", good ? "" : "not ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    return good;
}

/* --- disks ------------------------------------------------------------------------------------ */

static bool disk_learn(struct set *set, uint32_t index)
{
    struct disk *disk = &set->disks[index];
    char what[128];

    if (!image_init(&set->images[index], disk->number, disk->sectors))
        return report(false, "memory for the model");
    if (!load_scan(disk, &set->images[index], set->buffers, what, sizeof(what)))
        return report(false, "%s is read from end to end: %s", disk->spec, what);
    return true;
}

/* Opens them, and reads them from end to end to learn what is there. */
static bool set_open(struct set *set, char **specs, uint32_t count, size_t buffer_bytes)
{
    size_t buffers = max_u64(count * buffer_bytes, LOAD_SCAN_BYTES);

    char why[256];

    *set = (struct set){0};
    if (count > DISKS_MAX ||
        !disk_memory_open(&set->memory, specs[0], count * QUEUE_BYTES + buffers, why, sizeof(why)))
        return report(false, "memory for %u disks, %zu MiB: %s", count, buffers / MIB, why);
    set->buffers = mem_arena_alloc(set->memory.arena, buffers, PAGE_BYTES);
    for (; set->count < count; set->count++) {
        struct disk *disk = &set->disks[set->count];

        if (!disk_open(disk, specs[set->count], &set->memory, 1, DEPTH_MAX))
            return report(false, "%s opens: %s", specs[set->count], disk->why);
        if (!disk_learn(set, set->count))
            return false;
    }
    return true;
}

static void set_close(struct set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (!disk_close(&set->disks[i]))
            report(false, "%s is shut down in order", set->disks[i].spec);
        image_free(&set->images[i]);
    }
    disk_memory_close(&set->memory);
}

static struct load load_of(struct set *set)
{
    return (struct load){.disks = set->disks,
                         .images = set->images,
                         .disk_count = set->count,
                         .buffers = set->buffers,
                         .min_bytes = set->disks[0].ns->block_bytes,
                         .max_bytes = 16 * PAGE_BYTES,
                         .depth = 32,
                         .requests = 1000,
                         .write = 0.3,
                         .seed = 1};
}

static void report_load(const struct load *load, bool good, uint64_t begin, const char *name)
{
    uint64_t ms = (now_ns() - begin) / NS_PER_MS;

    report(good, "%s: %llu reads, %llu writes%s%s", name, (unsigned long long)load->reads,
           (unsigned long long)load->writes, load->what[0] ? ": " : "", load->what);
    printf("# %llu MiB in %llu ms\n", (unsigned long long)(load->bytes / MIB),
           (unsigned long long)ms);
}

/* --- cases ------------------------------------------------------------------------------------ */

/* It comes up, says who it is, has the known image, and shuts down; twice, since the second time
 * finds it as the first has left it. */
static void case_bringup(char **specs, uint32_t count)
{
    for (int round = 0; round < 2; round++) {
        uint64_t begin = now_ns();
        struct set set;

        if (!set_open(&set, specs, count, 0))
            return;
        for (uint32_t i = 0; i < count; i++) {
            const struct nvme_info *info = nvme_ctrlr_info(set.disks[i].ctrlr);
            uint32_t written = 0;

            for (uint32_t k = 0; k < set.images[i].sectors; k++)
                written |= set.images[i].generations[k];
            report(info->serial[0] && info->transfer_bytes >= PAGE_BYTES,
                   "%s comes up: %s, serial %s, %u MiB, commands of %u KiB", specs[i], info->model,
                   info->serial, set.disks[i].sectors / (MIB / SECTOR_BYTES),
                   info->transfer_bytes >> 10);
            report(set.disks[i].sectors && !written, "%s has the known image", specs[i]);
        }
        set_close(&set);
        printf("# up, read and down in %llu ms\n",
               (unsigned long long)((now_ns() - begin) / NS_PER_MS));
    }
}

/* Every size at every depth. */
static void case_sizes(char **specs, uint32_t count)
{
    static const struct {
        uint32_t min, max;
    } sizes[] = {{512, 512}, {4096, 4096}, {65536, 65536}, {MIB, MIB}, {512, MIB}};
    static const uint32_t depths[] = {1, 8, 32, DEPTH_MAX};
    struct set set;

    if (!set_open(&set, specs, count, (size_t)DEPTH_MAX * REQUEST_MAX))
        return;
    for (size_t s = 0; s < array_len(sizes); s++) {
        struct load load = load_of(&set);
        uint64_t begin = now_ns();
        char name[96];
        bool good = true;

        for (size_t d = 0; d < array_len(depths) && good; d++) {
            load.min_bytes = max_u32(load.min_bytes, sizes[s].min);
            load.max_bytes = max_u32(load.min_bytes, sizes[s].max);
            load.depth = depths[d];
            load.requests = max_u32(32, depths[d] * 3 / 2);
            load.seed = s * 1000 + depths[d];
            good = load_run(&load);
        }
        snprintf(name, sizeof(name), "%u to %u bytes at depths 1 to %u on %u disk%s",
                 load.min_bytes, load.max_bytes, DEPTH_MAX, count, count > 1 ? "s" : "");
        report_load(&load, good, begin, name);
        if (!good)
            return;
    }
    set_close(&set);
}

/* 100,000 requests; what the disks hold afterwards is for others to compare as well. */
static void case_many(char **specs, uint32_t count)
{
    struct set set;
    struct load load;
    uint64_t begin;
    char name[64];
    bool good;

    if (!set_open(&set, specs, count, (size_t)DEPTH_MAX * 16 * PAGE_BYTES))
        return;
    load = load_of(&set);
    load.depth = DEPTH_MAX;
    load.requests = MANY / count;
    load.max_bytes = 8 * PAGE_BYTES;
    begin = now_ns();
    good = load_run(&load);
    snprintf(name, sizeof(name), "%u requests of up to 32 KiB on %u disks", MANY, count);
    report_load(&load, good && load.reads + load.writes == MANY, begin, name);
    if (!good)
        return;
    for (uint32_t i = 0; i < count; i++)
        printf("# digest %u %016llx\n", set.disks[i].number,
               (unsigned long long)image_digest(&set.images[i]));
    set_close(&set);
}

/* Completions are waited for, not looked for. */
static void case_interrupts(char **specs, uint32_t count)
{
    struct set set;

    if (!set_open(&set, specs, count, (size_t)DEPTH_MAX * 16 * PAGE_BYTES))
        return;
    for (uint32_t depth = 1; depth <= 16; depth *= 16) {
        struct load load = load_of(&set);
        uint64_t begin = now_ns();
        char name[64];
        bool good;

        load.depth = depth;
        load.requests = 300;
        load.sleeps = true;
        good = load_run(&load);
        snprintf(name, sizeof(name), "waiting for interrupts at depth %u", depth);
        report_load(&load, good && load.wakes > 0, begin, name);
        printf("# woken %llu times, %llu not\n", (unsigned long long)load.wakes,
               (unsigned long long)load.missed);
        if (!good)
            return;
    }
    set_close(&set);
}

/* Queue pairs and whole controllers, given back and taken again. */
static void case_reattach(char **specs, uint32_t count)
{
    bool good = true, pairs = true;
    char what[256] = "";

    for (int round = 0; round < 3 && good; round++) {
        struct set set;

        if (!set_open(&set, specs, count, (size_t)DEPTH_MAX * 16 * PAGE_BYTES))
            return;
        for (int pair = 0; pair < 5 && pairs && good; pair++) {
            struct load load = load_of(&set);

            load.requests = 100;
            load.seed = (uint64_t)(round * 5 + pair);
            good = load_run(&load);
            snprintf(what, sizeof(what), "%s", load.what);
            for (uint32_t i = 0; i < count && good; i++)
                pairs = pairs && disk_reattach(&set.disks[i], set.memory.arena);
        }
        if (good)
            set_close(&set);
    }
    report(pairs, "15 times, queue pairs are given back and taken again");
    report(good, "3 times, controllers are shut down and brought up: %s", good ? "good" : what);
}

/* --- a process that is killed ----------------------------------------------------------------- */

/* What the killed process meant to write, and what it knows to be written, for who comes after. */
struct witness {
    uint32_t number, sectors;
    uint64_t writes; /* that have ended */
    uint32_t posted[SECTORS_MAX], done[SECTORS_MAX];
};

static void witnessed(void *arg, uint32_t first, uint32_t count, bool done)
{
    struct witness *w = arg;

    for (uint32_t i = first; i < first + count; i++)
        done ? w->done[i]++ : w->posted[i]++;
    if (done)
        __atomic_add_fetch(&w->writes, 1, __ATOMIC_RELEASE);
}

/* Reads and writes until it is killed. */
static void victim(char *spec, struct witness *w)
{
    struct set set;
    struct load load;

    if (!set_open(&set, &spec, 1, (size_t)DEPTH_MAX * 16 * PAGE_BYTES) ||
        set.disks[0].sectors > SECTORS_MAX)
        exit(1);
    memcpy(w->posted, set.images[0].generations, set.disks[0].sectors * sizeof(w->posted[0]));
    memcpy(w->done, w->posted, sizeof(w->done));
    w->sectors = set.disks[0].sectors;
    load = load_of(&set);
    load.depth = DEPTH_MAX;
    load.requests = UINT64_MAX;
    load.write = 0.5;
    load.on_write = witnessed;
    load.arg = w;
    load_run(&load);
    report(false, "the process to be killed gave up: %s", load.what);
    fflush(stdout);
    exit(1);
}

/* Nobody else has the disk as long as somebody has it; but the kernel module's have many users. */
static void expect_taken(const char *spec)
{
    struct disk_memory memory;
    struct disk disk;

    if (!strncmp(spec, "diskmap:", 8) ||
        !disk_memory_open(&memory, spec, QUEUE_BYTES, disk.why, sizeof(disk.why)))
        return;
    if (disk_open(&disk, spec, &memory, 1, DEPTH_MAX)) {
        report(false, "a disk that somebody has cannot be opened");
        disk_close(&disk);
    } else {
        report(strstr(disk.why, "is taken") != NULL,
               "a disk that somebody has cannot be opened: %s", disk.why);
    }
    disk_memory_close(&memory);
}

/* Returns how many sectors were being written. */
static uint32_t judge_killed(struct set *set, const struct witness *w)
{
    const uint32_t *found = set->images[0].generations;
    uint32_t lost = 0, invented = 0, pending = 0;

    for (uint32_t i = 0; i < w->sectors; i++) {
        lost += found[i] < w->done[i];
        invented += found[i] > w->posted[i];
        pending += w->posted[i] != w->done[i];
    }
    report(!lost, "what it knew to be written is written (%u sectors are not)", lost);
    report(!invented, "nothing was written that it did not write (%u sectors were)", invented);
    return pending;
}

static void case_killed(char **specs, uint32_t count)
{
    struct witness *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t pending = 0;

    // It may be killed in a moment without a write under way, but not always.
    for (int round = 0; (round < 3 || (round < 9 && !pending)) && w != MAP_FAILED; round++) {
        uint64_t begin = now_ns();
        struct set set;
        struct load load;
        pid_t pid;
        int status;

        memset(w, 0, sizeof(*w));
        fflush(stdout);
        pid = fork();
        if (pid == 0)
            victim(specs[0], w);
        while (__atomic_load_n(&w->writes, __ATOMIC_ACQUIRE) < 500 &&
               waitpid(pid, &status, WNOHANG) == 0 && now_ns() < begin + 20 * NS_PER_S)
            usleep(1000);
        if (round == 0)
            expect_taken(specs[0]);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        if (!report(WIFSIGNALED(status) && w->writes >= 500, "a process is killed in mid-I/O"))
            return;
        if (!set_open(&set, specs, 1, (size_t)DEPTH_MAX * 16 * PAGE_BYTES))
            return;
        pending += judge_killed(&set, w);
        load = load_of(&set);
        begin = now_ns();
        report_load(&load, load_run(&load), begin, "another process goes on");
        set_close(&set);
    }
    report(pending > 0, "writes of %u sectors were under way in all", pending);
}

/* --- memory that was not granted -------------------------------------------------------------- */

static void noted(struct iohdesc *io, int error)
{
    int *result = io->arg;

    *result = error;
}

#define NOT_ENDED 1

/* One read into `buf`. Its error, or NOT_ENDED. */
static int read_once(struct disk *disk, void *buf, uint32_t bytes)
{
    int result = NOT_ENDED;
    struct iohdesc io = {.ioqp = disk->qp,
                         .ns_id = disk->ns->ns_id,
                         .lba_count = bytes / disk->ns->block_bytes,
                         .buf = buf,
                         .op_complete = noted,
                         .arg = &result};
    uint64_t begin = now_ns();
    int error = nvme_read(&io);

    if (error)
        return error;
    while (result == NOT_ENDED && now_ns() < begin + 10 * NS_PER_S &&
           disk_turn(disk) != NVME_DEAD) {
        nvme_sqsync(disk->qp);
        nvme_consume_completions(disk->qp, 1);
        nvme_cqsync(disk->qp);
    }
    return result;
}

/* Where a page really is, as a device without an IOMMU would have to address it. 0: not told. */
static uint64_t physical_address(const void *p)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)p / PAGE_BYTES * sizeof(entry))) !=
        sizeof(entry))
        entry = 0;
    close(fd);
    // Bit 63: present; 54:0 the number of the page's frame.
    return entry >> 63 ? (entry & ((1ull << 55) - 1)) * PAGE_BYTES : 0;
}

static bool is_filled(const uint8_t *p, size_t bytes, uint8_t with)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != with)
            return false;
    return true;
}

/* The driver is made to believe that `canary` were mapped at `bus`, which it is not. */
static void aim(struct disk *disk, uint8_t *canary, uint64_t bus, const char *name)
{
    struct nvme_region *region = &disk->access->regions[disk->access->region_count++];
    int error;

    memset(canary, 0x5a, PAGE_BYTES);
    *region = (struct nvme_region){.base = (char *)canary, .bytes = PAGE_BYTES, .bus = bus};
    printf("# aimed at 0x%llx\n", (unsigned long long)bus);
    error = read_once(disk, canary, PAGE_BYTES);
    disk->access->region_count--;
    report(error != NOT_ENDED, "a read aimed at %s ends (%s)", name,
           error ? strerror(error < 0 ? -error : 0) : "the disk did not notice");
    report(is_filled(canary, PAGE_BYTES, 0x5a), "and does not arrive there");
}

static void case_stray(char **specs, uint32_t count)
{
    uint8_t *canary = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
    uint64_t physical;
    struct set set;
    bool good;

    if (canary == MAP_FAILED || !set_open(&set, specs, 1, PAGE_BYTES))
        return;
    report(read_once(&set.disks[0], canary, PAGE_BYTES) == -EFAULT,
           "a read into memory that is not shared is refused before the disk hears of it");
    physical = physical_address(canary);
    report(physical != 0, "the canary has a physical address");
    aim(&set.disks[0], canary, physical, "the canary's own physical address");
    aim(&set.disks[0], canary, 1ull << 38, "nothing at all");
    memset(set.buffers, 0, PAGE_BYTES);
    good = read_once(&set.disks[0], set.buffers, PAGE_BYTES) == 0;
    report(good && image_check(&set.images[0], set.buffers, 0, PAGE_BYTES / SECTOR_BYTES,
                               (char[128]){0}, 128),
           "the disk goes on: the next read is right");
    set_close(&set);
    munmap(canary, PAGE_BYTES);
}

/* Somebody unbinds the disk, or takes it out, while it is in use: the caller does so when it sees
 * "# in use". */
static void case_given_back(char **specs, uint32_t count)
{
    struct set set;
    struct load load;
    uint32_t out;

    if (!set_open(&set, specs, 1, (size_t)DEPTH_MAX * 16 * PAGE_BYTES))
        return;
    load = load_of(&set);
    load.requests = UINT64_MAX;
    load.write = 0;
    printf("# in use\n");
    fflush(stdout);
    load_run(&load);
    report(load.bad == 0 && load.reads > 0, "a disk is wanted back after %llu good reads",
           (unsigned long long)load.reads);
    report(disk_turn(&set.disks[0]) == NVME_DEAD, "the driver gives it up: %s",
           nvme_ctrlr_why(set.disks[0].ctrlr));
    out = nvme_outstanding(set.disks[0].qp);
    nvme_consume_completions(set.disks[0].qp, nvme_peek_completions(set.disks[0].qp));
    report(nvme_outstanding(set.disks[0].qp) == 0 && load.errors == out,
           "and ends the %u requests that were out with errors", out);
    disk_drop(&set.disks[0]);
}

/* --- files ------------------------------------------------------------------------------------ */

static int make_image(const char *path, uint32_t number, uint32_t mib)
{
    static char buf[MIB];
    FILE *f = fopen(path, "we");

    for (uint32_t m = 0; f && m < mib; m++) {
        for (uint32_t i = 0; i < MIB / SECTOR_BYTES; i++)
            sector_fill(buf + (size_t)i * SECTOR_BYTES, number, m * (MIB / SECTOR_BYTES) + i, 0);
        if (fwrite(buf, sizeof(buf), 1, f) != 1)
            break;
    }
    return f && !ferror(f) && fclose(f) == 0 ? 0 : 1;
}

static int digest_file(const char *path)
{
    uint64_t sector[SECTOR_BYTES / sizeof(uint64_t)], sum = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return 1;
    while (fread(sector, sizeof(sector), 1, f) == 1)
        sum += sector_digest(sector);
    fclose(f);
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}

static const struct {
    const char *name;
    void (*run)(char **specs, uint32_t count);
} cases[] = {
    {"bringup", case_bringup},       {"sizes", case_sizes},           {"many", case_many},
    {"interrupts", case_interrupts}, {"reattach", case_reattach},     {"killed", case_killed},
    {"stray", case_stray},           {"given-back", case_given_back},
};

int main(int argc, char **argv)
{
    // A guest that dies takes nothing with it that was said before.
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 5 && strcmp(argv[1], "image") == 0)
        return make_image(argv[2], (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
    if (argc == 3 && strcmp(argv[1], "digest") == 0)
        return digest_file(argv[2]);
    for (size_t i = 0; argc > 2 && i < array_len(cases); i++) {
        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        cases[i].run(argv + 2, (uint32_t)argc - 2);
        return failures ? 1 : 0;
    }
    fprintf(stderr, "usage: device_test CASE DISK...; see the beginning of device_test.c\n");
    return 2;
}

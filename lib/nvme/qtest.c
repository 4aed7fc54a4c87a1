// SPDX-License-Identifier: BSD-2-Clause
/*
 * qtest.c - QEMU's model of a controller, with no guest in between.
 *
 * QEMU's qtest socket does in text what a processor would do: `outl` and `inl` reach configuration
 * space, `readl` and `writel` the registers. A line is a question, and a line answers it. What
 * firmware would have done is done when it is opened: the function is found on bus 0, and its base
 * address registers are given places.
 *
 * The guest's memory is a file that both of us have mapped. Mapping a region moves what is in it
 * into that file and puts the file's pages in its place, so that the driver's pointers stay what
 * they were and are the guest's memory from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "qtest.h"

#include "access.h"
#include "spec.h"

#define LINE_MAX_BYTES 128 /* "OK 0x" and 16 digits is the longest answer to what we ask */
#define ANSWER_S       20  /* QEMU stands still while it waits for a disk at a reset */
#define STALE_MAX      64  /* answers to a process that is dead; it had one question out */

/* Where a firmware would put things. */
#define MEMORY_FIRST       (1ull << 20)  /* below: the VGA's window and the BIOS */
#define BARS_FIRST         0xe0000000ull /* above the memory, below the IOAPIC */
#define BARS_END           0xfec00000ull
#define PCI_SLOTS          32
#define PCI_BARS           6
#define PCI_CONFIG_ADDR    0xcf8
#define PCI_CONFIG_DATA    0xcfc
#define PCI_ENABLE         (1u << 31)

#define PCI_ID             0x00
#define PCI_COMMAND        0x04
#define PCI_CLASS          0x08
#define PCI_BAR0           0x10
#define PCI_COMMAND_MEMORY 2u
#define PCI_COMMAND_MASTER 4u
#define PCI_BAR_IO         1u
#define PCI_BAR_64         4u
#define PCI_BAR_FLAGS      15u
#define PCI_CLASS_NVME     0x010802u /* mass storage, non-volatile memory, NVM Express */
#define PCI_NOBODY         UINT32_MAX

struct qtest {
    struct nvme_access access;
    struct nvme_qtest_config config;
    pthread_mutex_t lock; /* a question and its answer */
    uint32_t function;    /* in configuration space */
    uint64_t registers;   /* where BAR0 is */
    uint64_t memory_used;
    bool lost; /* QEMU does not answer any more */
};

static struct qtest *qtest_of(struct nvme_access *access)
{
    return container_of(access, struct qtest, access);
}

/* --- questions and answers -------------------------------------------------------------------- */

static bool say(struct qtest *qt, const char *line)
{
    size_t bytes = strlen(line);

    // In one piece or not at all: a process that is killed leaves no half of a question behind.
    return send(qt->config.fd, line, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static bool hear(struct qtest *qt, char line[static LINE_MAX_BYTES])
{
    for (uint32_t i = 0; i < LINE_MAX_BYTES; i++) {
        if (recv(qt->config.fd, &line[i], 1, 0) != 1)
            return false;
        if (line[i] == '\n') {
            line[i] = '\0';
            return true;
        }
    }
    return false;
}

/* False: QEMU is gone, stands still, or is not QEMU. */
static bool ask(struct qtest *qt, const char *question, uint64_t *value)
{
    char line[LINE_MAX_BYTES], *end;
    bool good;

    pthread_mutex_lock(&qt->lock);
    good = !qt->lost && say(qt, question) && hear(qt, line) && !strncmp(line, "OK", 2);
    if (good && value) {
        *value = strtoull(line + 2, &end, 0);
        good = end != line + 2 && !*end;
    }
    // Whose answer comes next would be anybody's guess.
    qt->lost |= !good;
    pthread_mutex_unlock(&qt->lock);
    return good;
}

static uint32_t get(struct qtest *qt, const char *verb, uint64_t address)
{
    char line[LINE_MAX_BYTES];
    uint64_t value;

    snprintf(line, sizeof(line), "%s 0x%" PRIx64 "\n", verb, address);
    return ask(qt, line, &value) ? (uint32_t)value : UINT32_MAX;
}

static void put(struct qtest *qt, const char *verb, uint64_t address, uint32_t value)
{
    char line[LINE_MAX_BYTES];

    snprintf(line, sizeof(line), "%s 0x%" PRIx64 " 0x%" PRIx32 "\n", verb, address, value);
    (void)ask(qt, line, NULL);
}

/* Whoever had the socket before may have been killed between question and answer. */
static bool greet(struct qtest *qt)
{
    char line[LINE_MAX_BYTES];

    if (!say(qt, "endianness\n"))
        return false;
    for (uint32_t i = 0; i < STALE_MAX && hear(qt, line); i++)
        if (!strcmp(line, "OK little"))
            return true;
    return false;
}

/* --- configuration space ---------------------------------------------------------------------- */

/* The address and the data register are one question each: configuration space is for the control
 * path, which one thread at a time is in. */
static uint32_t config_get(struct qtest *qt, uint32_t off)
{
    put(qt, "outl", PCI_CONFIG_ADDR, PCI_ENABLE | qt->function | off);
    return get(qt, "inl", PCI_CONFIG_DATA);
}

static void config_put(struct qtest *qt, uint32_t off, uint32_t value)
{
    put(qt, "outl", PCI_CONFIG_ADDR, PCI_ENABLE | qt->function | off);
    put(qt, "outl", PCI_CONFIG_DATA, value);
}

static bool function_find(struct qtest *qt)
{
    for (uint32_t slot = 0; slot < PCI_SLOTS && !qt->lost; slot++) {
        qt->function = slot << 11;
        if (config_get(qt, PCI_ID) != PCI_NOBODY &&
            config_get(qt, PCI_CLASS) >> 8 == PCI_CLASS_NVME)
            return true;
    }
    return false;
}

/* How many bytes it wants, a power of two; 0: it is none, or one of ports. */
static uint64_t bar_size(struct qtest *qt, uint32_t off, bool *wide)
{
    uint32_t low, high = UINT32_MAX;

    config_put(qt, off, UINT32_MAX);
    low = config_get(qt, off);
    *wide = (low & (PCI_BAR_IO | PCI_BAR_64)) == PCI_BAR_64;
    if (*wide) {
        config_put(qt, off + 4, UINT32_MAX);
        high = config_get(qt, off + 4);
    }
    if (!low || low & PCI_BAR_IO)
        return 0;
    return ~((uint64_t)high << 32 | (low & ~PCI_BAR_FLAGS)) + 1;
}

static bool bars_place(struct qtest *qt)
{
    uint64_t next = BARS_FIRST;
    bool wide;

    for (uint32_t i = 0; i < PCI_BARS; i += wide ? 2 : 1) {
        uint32_t off = PCI_BAR0 + 4 * i;
        uint64_t bytes = bar_size(qt, off, &wide);

        if (!bytes)
            continue;
        if (!is_pow2(bytes) || bytes > BARS_END - BARS_FIRST)
            return false;
        next = align_up(next, bytes);
        if (next + bytes > BARS_END)
            return false;
        config_put(qt, off, (uint32_t)next);
        if (wide)
            config_put(qt, off + 4, 0);
        if (i == 0)
            qt->registers = next;
        next += bytes;
    }
    return qt->registers != 0;
}

/* --- the way in ------------------------------------------------------------------------------- */

static uint32_t read32(struct nvme_access *access, uint32_t off)
{
    struct qtest *qt = qtest_of(access);
    uint32_t value = get(qt, "readl", qt->registers + off);

    // QEMU reads as zeros where a bus reads as ones, and zeros say something.
    if (!value && config_get(qt, PCI_ID) == PCI_NOBODY)
        return UINT32_MAX;
    return value;
}

static void write32(struct nvme_access *access, uint32_t off, uint32_t value)
{
    struct qtest *qt = qtest_of(access);

    put(qt, "writel", qt->registers + off, value);
}

/* A pool's free items are poisoned, and move with the rest. */
__attribute__((no_sanitize_address)) static void page_move(uint64_t *to, const uint64_t *from)
{
    const volatile uint64_t *words = from;

    // Pages that nobody has touched stay untouched on the other side.
    for (uint32_t i = 0; i < PAGE_BYTES / sizeof(*words); i++)
        if (words[i])
            *(volatile uint64_t *)&to[i] = words[i];
}

static int map(struct nvme_access *access, void *base, size_t bytes, uint64_t *bus)
{
    struct qtest *qt = qtest_of(access);
    uint64_t at = qt->memory_used;
    char *file;

    if ((uintptr_t)base % PAGE_BYTES || bytes % PAGE_BYTES)
        return -EINVAL;
    if (bytes > qt->config.memory_bytes - at)
        return -ENOSPC;
    // What a process before us left there.
    if (fallocate(qt->config.memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                  (off_t)bytes))
        return -errno;
    file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, qt->config.memory_fd, (off_t)at);
    if (file == MAP_FAILED)
        return -errno;
    for (size_t off = 0; off < bytes; off += PAGE_BYTES)
        page_move((uint64_t *)(void *)(file + off), (const uint64_t *)base + off / 8);
    if (mremap(file, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, base) == MAP_FAILED) {
        int error = -errno;

        munmap(file, bytes);
        return error;
    }
    qt->memory_used += bytes;
    *bus = at;
    return 0;
}

static void stop(struct nvme_access *access)
{
    struct qtest *qt = qtest_of(access);

    if (config_get(qt, PCI_ID) == PCI_NOBODY)
        return;
    // Reads that QEMU's threads have begun go on into memory, whatever the function may do by then.
    // Disabling the controller waits for them.
    put(qt, "writel", qt->registers + NVME_REG_CC, 0);
    config_put(qt, PCI_COMMAND, PCI_COMMAND_MEMORY);
}

static int fd(struct nvme_access *access, uint32_t vector)
{
    return -1;
}

static void qtest_close(struct nvme_access *access)
{
    struct qtest *qt = qtest_of(access);

    close(qt->config.fd);
    pthread_mutex_destroy(&qt->lock);
    free(qt);
}

static const struct nvme_access_ops ops = {
    .read32 = read32,
    .write32 = write32,
    .map = map,
    .stop = stop,
    .fd = fd,
    .close = qtest_close,
};

static const char *reach(struct qtest *qt)
{
    if (!greet(qt))
        return "nobody answers on the socket as QEMU does: start QEMU with -qtest";
    if (!function_find(qt))
        return "QEMU has no NVMe controller in a slot of bus 0: add -device nvme";
    // Places are given while it answers at none of them.
    config_put(qt, PCI_COMMAND, PCI_COMMAND_MASTER);
    if (!bars_place(qt))
        return "the controller's base address registers want more room than there is";
    config_put(qt, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    // Whoever had it before may have left it at work, in the memory that is ours now.
    stop(&qt->access);
    config_put(qt, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return qt->lost ? "QEMU stopped answering" : NULL;
}

int nvme_qtest_open(struct nvme_access **out, const struct nvme_qtest_config *config, char *why,
                    size_t why_bytes)
{
    const struct timeval limit = {.tv_sec = ANSWER_S};
    struct qtest *qt;
    const char *obstacle;

    if (config->memory_bytes <= MEMORY_FIRST || config->memory_bytes > BARS_FIRST) {
        snprintf(why, why_bytes, "the guest's memory has more than 1 MiB and less than 3.5 GiB");
        return -EINVAL;
    }
    if (setsockopt(config->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))) {
        int error = -errno;

        snprintf(why, why_bytes, "not a socket that can be listened to: %s", strerror(-error));
        return error;
    }
    qt = calloc(1, sizeof(*qt));
    if (!qt) {
        snprintf(why, why_bytes, "no memory");
        return -ENOMEM;
    }
    *qt = (struct qtest){.access.ops = &ops, .config = *config, .memory_used = MEMORY_FIRST};
    pthread_mutex_init(&qt->lock, NULL);
    obstacle = reach(qt);
    if (obstacle) {
        snprintf(why, why_bytes, "%s", obstacle);
        pthread_mutex_destroy(&qt->lock);
        free(qt);
        return -ENODEV;
    }
    *out = &qt->access;
    return 0;
}

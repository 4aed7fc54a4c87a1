// SPDX-License-Identifier: BSD-2-Clause
/*
 * qtest_test.c - somebody at the other end of the socket who is not QEMU, or not for long. With
 * QEMU itself, test/device has it.
 */
#include "qtest.h"

#include "access.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_BYTES (16u << 20)

/* What answers: one function in slot 3, as far as the questions go that the driver asks. */
struct peer {
    int fd;
    uint32_t address, bar_low;
    uint32_t command;        /* also looked at by the test */
    uint32_t bar_bytes;      /* what its BAR0 wants */
    uint32_t questions_left; /* then it says `last` and hangs up */
    const char *last;
    pthread_t thread;
};

static uint32_t peer_config(const struct peer *peer)
{
    if ((peer->address & 0xffff00) != 3 << 11)
        return UINT32_MAX;
    switch (peer->address & 0xff) {
    case 0x00:
        return 0x00101b36;
    case 0x04:
        return peer->command;
    case 0x08:
        return 0x01080202;
    case 0x10:
        return peer->bar_low & ~(peer->bar_bytes - 1);
    default:
        return 0;
    }
}

static void peer_answer(struct peer *peer, FILE *to, const char *line)
{
    unsigned long a = 0, b = 0;

    if (!strncmp(line, "endianness", 10)) {
        // An answer to a question of somebody else comes first.
        fprintf(to, "OK 0x1234\nOK little\n");
    } else if (sscanf(line, "outl 0xcf8 %lx", &a) == 1) {
        peer->address = (uint32_t)a;
        fprintf(to, "OK\n");
    } else if (sscanf(line, "outl 0xcfc %lx", &b) == 1) {
        if ((peer->address & 0xff) == 0x10)
            peer->bar_low = (uint32_t)b;
        if ((peer->address & 0xff) == 0x04)
            __atomic_store_n(&peer->command, (uint32_t)b, __ATOMIC_RELEASE);
        fprintf(to, "OK\n");
    } else if (!strncmp(line, "inl", 3)) {
        fprintf(to, "OK 0x%04x\n", peer_config(peer));
    } else if (sscanf(line, "readl %lx", &a) == 1) {
        fprintf(to, "OK 0x%016lx\n", a & 0xffff);
    } else {
        fprintf(to, "OK\n");
    }
    fflush(to);
}

static void *peer_run(void *arg)
{
    struct peer *peer = arg;
    FILE *from = fdopen(peer->fd, "r"), *to = fdopen(dup(peer->fd), "w");
    char line[256];

    while (peer->questions_left-- && fgets(line, sizeof(line), from))
        peer_answer(peer, to, line);
    if (peer->last)
        fputs(peer->last, to);
    fclose(to);
    fclose(from);
    return NULL;
}

static int open_with(struct peer *peer, struct nvme_access **access, int *memory, char why[200])
{
    struct nvme_qtest_config config = {.memory_bytes = MEMORY_BYTES};
    int fds[2], error;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *memory = memfd_create("memory", 0);
    assert_int_equal(ftruncate(*memory, MEMORY_BYTES), 0);
    peer->fd = fds[1];
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
    config.fd = fds[0];
    config.memory_fd = *memory;
    error = nvme_qtest_open(access, &config, why, 200);
    if (error) {
        close(fds[0]);
        close(*memory);
        pthread_join(peer->thread, NULL);
    }
    return error;
}

static void memory_becomes_the_guests(void **state)
{
    struct peer peer = {.bar_bytes = 0x4000, .questions_left = UINT32_MAX};
    struct nvme_access *access;
    struct mem_arena *arena;
    int memory;
    char why[200], *p, *file;

    assert_int_equal(open_with(&peer, &access, &memory, why), 0);
    assert_int_equal(access_read32(access, 0x8), 0x8);
    assert_int_equal(__atomic_load_n(&peer.command, __ATOMIC_ACQUIRE), 6);
    assert_int_equal(mem_arena_open(&arena, 4 << 20, 0), 0);
    p = mem_arena_alloc(arena, 64, 64);
    strcpy(p, "from before");
    assert_int_equal(access_map(access, mem_arena_base(arena), 4 << 20), 0);
    assert_string_equal(p, "from before");
    file = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    assert_ptr_not_equal(file, MAP_FAILED);
    assert_string_equal(file + access_bus(access, p, 64), "from before");
    strcpy(file + access_bus(access, p, 64), "by the guest");
    assert_string_equal(p, "by the guest");
    assert_int_equal(access->ops->map(access, p, 16 << 20, &(uint64_t){0}), -ENOSPC);
    assert_int_equal(access->ops->map(access, p + 4, 4096, &(uint64_t){0}), -EINVAL);
    access->ops->stop(access);
    assert_int_equal(__atomic_load_n(&peer.command, __ATOMIC_ACQUIRE), 2);
    access->ops->close(access);
    pthread_join(peer.thread, NULL);
    munmap(file, MEMORY_BYTES);
    mem_arena_close(arena);
    close(memory);
}

static void who_hangs_up_reads_as_ones(void **state)
{
    struct peer peer = {.bar_bytes = 0x4000, .questions_left = UINT32_MAX};
    struct nvme_access *access;
    int memory;
    char why[200];

    assert_int_equal(open_with(&peer, &access, &memory, why), 0);
    shutdown(peer.fd, SHUT_RDWR);
    pthread_join(peer.thread, NULL);
    assert_int_equal(access_read32(access, 0x1c), UINT32_MAX);
    access_write32(access, 0x14, 0);
    access->ops->stop(access);
    access->ops->close(access);
    close(memory);
}

static void nonsense_is_refused(void **state)
{
    static char endless[4096];
    static const char *const last[] = {NULL,           "\n",         "OK\n",       "OK 0x\n",
                                       "OK 0x12 34\n", "FAIL who\n", "OK little ", endless};

    memset(endless, '7', sizeof(endless) - 1);
    for (uint32_t i = 0; i < array_len(last); i++)
        for (uint32_t questions = 0; questions < 40; questions++) {
            struct peer peer = {.bar_bytes = 0x4000, .questions_left = questions, .last = last[i]};
            struct nvme_access *access;
            int memory;
            char why[200] = "";

            // A reply that happens to fit the question, at the last of them, is none of its tricks.
            if (open_with(&peer, &access, &memory, why) == 0)
                fail_msg("opened after %u questions and '%s'", questions, last[i]);
            assert_true(strlen(why) > 10);
        }
}

static void places_are_checked(void **state)
{
    struct peer huge = {.bar_bytes = 0x40000000, .questions_left = UINT32_MAX};
    struct nvme_access *access;
    struct nvme_qtest_config config = {.memory_bytes = 4096};
    int memory;
    char why[200];

    assert_int_equal(open_with(&huge, &access, &memory, why), -ENODEV);
    assert_non_null(strstr(why, "room"));
    assert_int_equal(nvme_qtest_open(&access, &config, why, sizeof(why)), -EINVAL);
    config.memory_bytes = MEMORY_BYTES;
    config.fd = -1;
    assert_int_equal(nvme_qtest_open(&access, &config, why, sizeof(why)), -EBADF);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_becomes_the_guests),
        cmocka_unit_test(who_hangs_up_reads_as_ones),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(places_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

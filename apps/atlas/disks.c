// SPDX-License-Identifier: BSD-2-Clause
#include "disks.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

static uint64_t disks_now_ns(void *arg)
{
    const uint64_t *start_ns = arg;
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec - *start_ns;
}

/* Whoever blocks these reads them later, from a descriptor. */
static bool is_told_to_end(void)
{
    sigset_t set;

    return !sigpending(&set) && (sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1);
}

/* A signal ends the wait, too: whoever waits looks again. */
static bool disks_wait(void *arg, int fd, uint64_t until_ns)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    uint64_t now_ns = disks_now_ns(arg);
    uint64_t ns = until_ns > now_ns ? min_u64(until_ns - now_ns, NS_PER_S) : 0;
    struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    (void)ppoll(&pollfd, 1, &ts, NULL);
    return !is_told_to_end();
}

int disks_open(struct diskmap_disks **out, const uint64_t *start_ns, uint32_t workers,
               uint32_t depth, size_t arena_bytes)
{
    struct diskmap_disks_config config = {.now_ns = disks_now_ns,
                                          .wait = disks_wait,
                                          .arg = (void *)(uintptr_t)start_ns,
                                          .workers = workers,
                                          .depth = depth,
                                          .arena_bytes = arena_bytes};

    return diskmap_disks_open(out, &config);
}

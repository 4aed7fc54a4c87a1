// SPDX-License-Identifier: BSD-2-Clause
/*
 * main.c - opens the ports, turns the box until a signal comes, and says what happened.
 *
 * One thread. It sleeps on the two ports, on the signals and until the next packet is due; while
 * there is work it looks at the signals once a millisecond.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "box.h"
#include "options.h"
#include "report.h"

/* A TAP's receive buffers, of which an arena holds those of two. */
#define PORT_ARENA_BYTES (8ull << 20)
#define SIGNALS_EVERY_NS NS_PER_MS
#define SLEEP_MAX_NS     NS_PER_S

struct program {
    struct options options;
    struct mem_arena *port_arena;
    struct mem_arena *arena;
    struct nmio_port *ports[DIRECTIONS];
    struct box *box;
    int signal_fd;
    uint64_t signals_ns; /* when they are looked at again */
    bool draining;       /* nothing is taken any more, what is under way arrives */
    bool ending;
};

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- starting --------------------------------------------------------------------------------- */

static int open_ports(struct program *program)
{
    static const char *const sides[DIRECTIONS] = {[TO_RIGHT] = "right", [TO_LEFT] = "left"};
    struct nmio_config config = {0};
    const char *why = "";
    int err = mem_arena_open(&program->port_arena, 2 * PORT_ARENA_BYTES, 0);

    if (err) {
        log_error("no memory for the ports' buffers: %s", strerror(-err));
        return err;
    }
    config.arena = program->port_arena;
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        err = nmio_open(&program->ports[d], program->options.specs[d], &config, &why);
        if (err) {
            log_error("--%s %s: %s", sides[d], program->options.specs[d], why);
            return err;
        }
    }
    return 0;
}

static int open_box(struct program *program)
{
    const struct options *o = &program->options;
    struct box_config config = {
        .left = program->ports[TO_LEFT],
        .right = program->ports[TO_RIGHT],
        .seed = o->seed,
        .flows_by_order = o->flows_by_order,
        .packets = o->packets,
        .mtu = max_u32(nmio_caps(program->ports[TO_LEFT])->mtu,
                       nmio_caps(program->ports[TO_RIGHT])->mtu),
    };
    int err;

    memcpy(config.settings, o->settings, sizeof(config.settings));
    err = mem_arena_open(&program->arena, box_arena_bytes(&config), MEM_ARENA_HUGE);
    config.arena = program->arena;
    if (!err)
        err = box_open(&program->box, &config, clock_ns());
    if (err)
        log_error("no memory for %u packets: lower --packets", o->packets);
    return err;
}

/* Signals come as bytes to read; nothing is ever interrupted. */
static int block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- running ---------------------------------------------------------------------------------- */

static void save_report(const struct program *program)
{
    int err = report_save(program->options.stats, program->box, program->options.seed);

    if (err)
        log_warn("cannot write the counters to %s: %s",
                 program->options.stats ? program->options.stats : "standard output",
                 strerror(-err));
}

static void take_signals(struct program *program, uint64_t now_ns)
{
    struct signalfd_siginfo info;

    program->signals_ns = now_ns + SIGNALS_EVERY_NS;
    while (read(program->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGUSR1) {
            save_report(program);
        } else if (program->draining) {
            log_info("a second signal: ending at once");
            program->ending = true;
        } else {
            program->draining = true;
        }
    }
}

/* Until a packet comes, one is due, or a signal. While draining, packets wake nobody. */
static void sleep_until(const struct program *program, uint64_t until_ns, uint64_t now_ns)
{
    struct pollfd fds[1 + DIRECTIONS] = {{.fd = program->signal_fd, .events = POLLIN}};
    uint64_t ns = min_u64(until_ns - now_ns, SLEEP_MAX_NS);
    struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    for (unsigned d = 0; d < DIRECTIONS; d++)
        fds[1 + d] = (struct pollfd){.fd = program->draining ? -1 : nmio_fd(program->ports[d]),
                                     .events = POLLIN};
    /* EINTR cannot be, and an early return costs a turn. */
    if (ppoll(fds, array_len(fds), &ts, NULL) < 0)
        return;
}

static bool finished(const struct program *program)
{
    return program->ending || (program->draining && !box_waiting(program->box));
}

static void run(struct program *program)
{
    struct box *box = program->box;

    while (!finished(program)) {
        uint64_t now_ns = clock_ns(), next_ns;
        bool more = false;

        if (now_ns >= program->signals_ns)
            take_signals(program, now_ns);
        if (!program->draining)
            more = box_receive(box, now_ns);
        box_send(box, clock_ns());
        if (more || program->options.busy_poll || finished(program))
            continue;
        next_ns = box_next_ns(box);
        now_ns = clock_ns();
        if (next_ns > now_ns) {
            sleep_until(program, next_ns, now_ns);
            program->signals_ns = 0;
        }
    }
}

static void close_all(struct program *program)
{
    if (program->box)
        box_close(program->box);
    else
        for (unsigned d = 0; d < DIRECTIONS; d++)
            nmio_close(program->ports[d]);
    if (program->arena)
        mem_arena_close(program->arena);
    if (program->port_arena)
        mem_arena_close(program->port_arena);
    if (program->signal_fd >= 0)
        close(program->signal_fd);
}

int main(int argc, char **argv)
{
    struct program program = {.signal_fd = -1};
    int status;

    log_program("middlebox");
    status = options_parse(&program.options, argc, argv);
    if (status >= 0)
        return status;
    status = 1;
    program.signal_fd = block_signals();
    if (program.signal_fd < 0) {
        log_error("cannot wait for signals: %s", strerror(errno));
        return 1;
    }
    /* A sleep ends when it should: by default Linux may add 50 us. */
    prctl(PR_SET_TIMERSLACK, 1ul);
    if (open_ports(&program) < 0 || open_box(&program) < 0)
        goto close;
    puts("ready");
    fflush(stdout);
    run(&program);
    save_report(&program);
    status = 0;
close:
    close_all(&program);
    return status;
}

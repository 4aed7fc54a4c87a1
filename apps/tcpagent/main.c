// SPDX-License-Identifier: BSD-2-Clause
/*
 * main.c - the command line, and the loop: packets, timers, one command at a time.
 */
#include "agent.h"

#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ARENA_BYTES     (48ull << 20) /* the port's buffers, neighbours, the text */
#define WAIT_MS_DEFAULT 500
#define WAIT_MS_MAX     3600000
#define SLEEP_MAX_NS    NS_PER_S
/* Packets that arrived before a command are understood before it: so many turns are taken at most,
 * each of NMIO_BATCH packets, lest a flood keep the command waiting. */
#define TURNS_BEFORE_COMMAND 64

static const char usage[] =
    "usage: tcpagent --port SPEC --addr ADDRESS/BITS --listen PORT --control PATH [option...]\n"
    "\n"
    "  --port SPEC              the network port, as in tap:agent0; made if it is not there\n"
    "  --addr ADDRESS/BITS      the address to answer for\n"
    "  --listen PORT            the TCP port\n"
    "  --control PATH           the Unix datagram socket that takes commands\n"
    "  --host-addr ADDRESS/BITS give this address to the host's side of a TAP\n"
    "  --gateway ADDRESS        the router to other networks (default: the host's side)\n"
    "  --wait MS                how long A and R wait for something to happen (500)\n"
    "  --pcap FILE              write every packet to a pcapng file\n"
    "  --help                   this\n"
    "\n"
    "Commands: A, R N FLAGS, W N, S HOW, C, Z; tcpagent(1) says what they do.\n";

struct options {
    const char *port, *control, *host_addr, *pcap;
    struct ip_prefix addr;
    struct ip_addr gateway;
    bool has_addr, has_gateway;
    uint16_t listen_port;
    uint64_t wait_ns;
};

/* A command that has not been answered. */
struct pending {
    char line[AGENT_LINE_MAX];
    struct sockaddr_un from;
    socklen_t from_len;
    uint64_t until_ns; /* 0: there is none */
};

struct program {
    struct options options;
    struct agent agent;
    struct mem_arena *arena;
    struct pending pending;
    int control_fd, signal_fd;
    uint64_t start_ns;
};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t program_now(const struct program *p)
{
    return clock_ns(CLOCK_MONOTONIC) - p->start_ns;
}

/* --- the command line ------------------------------------------------------------------------- */

static bool number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && text[0] != '-' && *out >= min && *out <= max)
        return true;
    log_error("--%s takes a number from %llu to %llu, not '%s'", name, (unsigned long long)min,
              (unsigned long long)max, text);
    return false;
}

static bool take_addr(struct options *o, const char *text)
{
    o->has_addr = strchr(text, '/') && ip_prefix_parse(text, &o->addr) == 0;
    if (!o->has_addr)
        log_error("--addr takes an address and the bits of its network, as in 192.0.2.2/24, not "
                  "'%s'",
                  text);
    return o->has_addr;
}

static bool take_gateway(struct options *o, const char *text)
{
    o->has_gateway = ip_addr_parse(text, &o->gateway) == 0;
    if (!o->has_gateway)
        log_error("--gateway takes an address, as in 192.0.2.1, not '%s'", text);
    return o->has_gateway;
}

static bool take_option(struct options *o, int id, const char *arg)
{
    uint64_t v;

    switch (id) {
    case 'p':
        o->port = arg;
        return true;
    case 'a':
        return take_addr(o, arg);
    case 'l':
        if (!number("listen", arg, 1, 65535, &v))
            return false;
        o->listen_port = (uint16_t)v;
        return true;
    case 'c':
        o->control = arg;
        return true;
    case 'h':
        o->host_addr = arg;
        return true;
    case 'g':
        return take_gateway(o, arg);
    case 'w':
        if (!number("wait", arg, 0, WAIT_MS_MAX, &v))
            return false;
        o->wait_ns = v * NS_PER_MS;
        return true;
    case 'd':
        o->pcap = arg;
        return true;
    default: /* getopt has said what is wrong */
        return false;
    }
}

static bool complete(struct options *o)
{
    struct ip_prefix host;

    if (!o->port)
        log_error("--port is missing: name a network port, for example --port tap:agent0");
    else if (!o->has_addr)
        log_error("--addr is missing: name the address to answer for, as in 192.0.2.2/24");
    else if (!o->listen_port)
        log_error("--listen is missing: name the TCP port");
    else if (!o->control)
        log_error("--control is missing: name the socket that takes commands");
    else if (strlen(o->control) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        log_error("--control: the path is too long for a Unix socket");
    else if (!o->has_gateway && o->host_addr && ip_prefix_parse(o->host_addr, &host) < 0)
        log_error("--host-addr takes an address and the bits of its network, not '%s'",
                  o->host_addr);
    else
        return true;
    return false;
}

/* -1: go on. Else the exit status. */
static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option long_options[] = {{"port", required_argument, NULL, 'p'},
                                                 {"addr", required_argument, NULL, 'a'},
                                                 {"listen", required_argument, NULL, 'l'},
                                                 {"control", required_argument, NULL, 'c'},
                                                 {"host-addr", required_argument, NULL, 'h'},
                                                 {"gateway", required_argument, NULL, 'g'},
                                                 {"wait", required_argument, NULL, 'w'},
                                                 {"pcap", required_argument, NULL, 'd'},
                                                 {"help", no_argument, NULL, 'H'},
                                                 {0}};
    struct ip_prefix host;
    int id;

    *o = (struct options){.wait_ns = WAIT_MS_DEFAULT * NS_PER_MS};
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == 'H') {
            fputs(usage, stdout);
            return 0;
        }
        if (!take_option(o, id, optarg))
            return 2;
    }
    if (optind < argc) {
        log_error("unexpected argument '%s': see tcpagent --help", argv[optind]);
        return 2;
    }
    if (!complete(o))
        return 2;
    if (!o->has_gateway && o->host_addr && ip_prefix_parse(o->host_addr, &host) == 0) {
        o->gateway = host.addr;
        o->has_gateway = true;
    }
    return -1;
}

/* --- starting --------------------------------------------------------------------------------- */

static int open_port(const struct program *p, struct nmio_port **port)
{
    const struct options *o = &p->options;
    struct nmio_config config = {.arena = p->arena, .queue_count = 1, .host_addr = o->host_addr};
    struct nmio_port *captured;
    const char *why = "";
    int rc = nmio_open(port, o->port, &config, &why);

    if (rc < 0) {
        log_error("--port %s: %s", o->port, why);
        return rc;
    }
    if (!o->pcap)
        return 0;
    rc = nmio_pcap_open(&captured, *port, o->pcap, clock_ns(CLOCK_REALTIME) - program_now(p));
    if (rc < 0) {
        log_error("--pcap %s: %s", o->pcap, strerror(-rc));
        nmio_close(*port);
        return rc;
    }
    *port = captured;
    return 0;
}

static int open_agent(struct program *p)
{
    const struct options *o = &p->options;
    struct agent_config config = {.addr = o->addr,
                                  .gateway = o->has_gateway ? &o->gateway : NULL,
                                  .listen_port = o->listen_port};
    int rc = mem_arena_open(&p->arena, ARENA_BYTES, 0);

    if (rc < 0) {
        log_error("no memory: %llu MiB are needed", ARENA_BYTES >> 20);
        return rc;
    }
    config.arena = p->arena;
    if (getrandom(config.secret, sizeof(config.secret), 0) != sizeof(config.secret)) {
        log_error("the kernel has no random numbers: %s", strerror(errno));
        rc = -EIO;
        goto close_arena;
    }
    rc = open_port(p, &config.port);
    if (rc < 0)
        goto close_arena;
    rc = agent_open(&p->agent, &config, program_now(p));
    if (rc == 0)
        return 0;
    log_error("the stack does not start: %s", strerror(-rc));
    nmio_close(config.port);
close_arena:
    mem_arena_close(p->arena);
    return rc;
}

/* What a predecessor left behind makes room; a file that is no socket does not. */
static int open_control(struct program *p)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = p->options.control;
    struct stat st;

    memcpy(addr.sun_path, path, strlen(path));
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    p->control_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->control_fd < 0 || bind(p->control_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        log_error("--control %s: %s", path, strerror(errno));
        if (p->control_fd >= 0)
            close(p->control_fd);
        return -1;
    }
    return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static void answer(struct program *p, int64_t result)
{
    struct pending *c = &p->pending;
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)result);

    c->until_ns = 0;
    /* A socket without a name cannot be answered; one that is gone or full does not want to be. */
    if (c->from_len > sizeof(sa_family_t) && sendto(p->control_fd, text, (size_t)len, MSG_DONTWAIT,
                                                    (struct sockaddr *)&c->from, c->from_len) < 0)
        log_warn("an answer could not be delivered: %s", strerror(errno));
}

/* Tries the command, lets leave what it made the stack send, and only then answers. */
static void try_command(struct program *p, uint64_t now_ns)
{
    int64_t result =
        agent_command(&p->agent, p->pending.line, now_ns >= p->pending.until_ns, now_ns);

    if (result == AGENT_WAITS)
        return;
    agent_turn(&p->agent, now_ns);
    answer(p, result);
}

static void take_command(struct program *p, uint64_t now_ns)
{
    struct pending *c = &p->pending;
    ssize_t len;

    c->from_len = sizeof(c->from);
    /* One byte more than fits shows that a line is too long; cut off, it is no command. */
    len = recvfrom(p->control_fd, c->line, sizeof(c->line), 0, (struct sockaddr *)&c->from,
                   &c->from_len);
    if (len < 0)
        return;
    if (len == sizeof(c->line) || memchr(c->line, '\0', (size_t)len)) {
        answer(p, -EINVAL);
        return;
    }
    c->line[len] = '\0';
    for (int i = 0; i < TURNS_BEFORE_COMMAND && agent_turn(&p->agent, now_ns); i++)
        ;
    c->until_ns = now_ns + p->options.wait_ns;
    try_command(p, now_ns);
}

/* Until there is something to do. While a command waits, the next ones wait in their socket. */
static void sleep_until(struct program *p, struct pollfd fds[3], uint64_t now_ns)
{
    uint64_t until_ns = agent_next_ns(&p->agent), ns;
    struct timespec ts;

    fds[0] = (struct pollfd){.fd = p->signal_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = nmio_fd(p->agent.config.port), .events = POLLIN};
    fds[2] = (struct pollfd){.fd = p->pending.until_ns ? -1 : p->control_fd, .events = POLLIN};
    if (p->pending.until_ns)
        until_ns = min_u64(until_ns, p->pending.until_ns);
    ns = until_ns > now_ns ? min_u64(until_ns - now_ns, SLEEP_MAX_NS) : 0;
    ts = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    if (ppoll(fds, 3, &ts, NULL) < 0)
        memset(fds, 0, 3 * sizeof(*fds));
}

static void run(struct program *p)
{
    struct pollfd fds[3];

    for (;;) {
        uint64_t now_ns = program_now(p);

        agent_turn(&p->agent, now_ns);
        if (p->pending.until_ns)
            try_command(p, now_ns);
        sleep_until(p, fds, now_ns);
        if (fds[0].revents)
            return;
        if (fds[2].revents & POLLIN)
            take_command(p, program_now(p));
    }
}

static void say_ready(const struct options *o)
{
    char text[IP_ADDR_TEXT];

    printf("ready %s:%u\n", ip_addr_format(&o->addr.addr, text), o->listen_port);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct program *p = calloc(1, sizeof(*p));
    sigset_t set;
    int status;

    log_program("tcpagent");
    if (!p)
        return 1;
    status = parse_options(&p->options, argc, argv);
    if (status >= 0) {
        free(p);
        return status;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    p->start_ns = clock_ns(CLOCK_MONOTONIC) - NS_PER_S; /* time 0 is nobody's deadline */
    status = 1;
    if (open_control(p) < 0)
        goto free_program;
    if (open_agent(p) < 0)
        goto close_control;
    say_ready(&p->options);
    run(p);
    status = 0;

    agent_close(&p->agent);
    mem_arena_close(p->arena);
close_control:
    close(p->control_fd);
    unlink(p->options.control);
free_program:
    close(p->signal_fd);
    free(p);
    return status;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "volume.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "volume_priv.h"

#define SHOW_NS       (200 * NS_PER_MS)
#define BAR_CELLS     24

#define VOLUME_OPTION "--volume"

static const char help_on_volumes[] =
    "\nVOLUME is a file, a block device, or an NVMe disk: vfio:BDF or diskmap:NAME (and ,ns=N).\n"
    "--volume SPEC, before everything else and several times, says it instead: several disks\n"
    "hold the objects between them, each object on one. See SPECS in atlas(8).\n";

const struct volume_command volume_commands[] = {
    {"pack", volume_pack, "make a volume of the files below a directory"},
    {"add", volume_add, "add files to a volume"},
    {"rm", volume_rm, "remove objects from a volume"},
    {"ls", volume_ls, "list a volume's objects"},
    {"verify", volume_verify, "compare everything in a volume with its checksums"},
    {"export", volume_export, "write a volume's objects as files"},
    {NULL, NULL, NULL},
};

/* --- arguments -------------------------------------------------------------------------------- */

static int misused(const struct volume_usage *usage, const char *what, const char *arg)
{
    log_error("%s%s: usage: atlas %s", what, arg, usage->synopsis);
    return EXIT_USAGE;
}

static bool is_flag(const struct volume_usage *usage, const char *arg)
{
    return arg[1] && !arg[2] && usage->flags && strchr(usage->flags, arg[1]);
}

/* "--volume SPEC" or "--volume=SPEC" at argv[*i]: false when it is something else. */
static bool take_volume(struct volume_args *args, int argc, char **argv, int *i)
{
    size_t len = strlen(VOLUME_OPTION);
    char *spec;

    if (strncmp(argv[*i], VOLUME_OPTION, len) || args->volume_count == VOLUMES_OF_SET_MAX)
        return false;
    if (argv[*i][len] == '=')
        spec = argv[*i] + len + 1;
    else if (argv[*i][len] == '\0' && *i + 1 < argc)
        spec = argv[++*i];
    else
        return false;
    args->volumes[args->volume_count++] = spec;
    return true;
}

/* Which of the operands are volumes. False: there are too few, or too many. */
static bool divide_operands(const struct volume_usage *usage, struct volume_args *args)
{
    int volumes = usage->behind < 0 ? 1 : args->count - usage->behind;

    if (args->volume_count)
        volumes = 0;
    else if (volumes < 1 || volumes > VOLUMES_OF_SET_MAX || volumes > args->count)
        return false;
    for (int i = 0; i < volumes; i++)
        args->volumes[args->volume_count++] = args->operands[i];
    args->operands += volumes;
    args->count -= volumes;
    return usage->behind < 0 ? args->count >= 1 : args->count == usage->behind;
}

bool volume_parse(const struct volume_usage *usage, int argc, char **argv, struct volume_args *args,
                  int *status)
{
    int i = 1;

    *args = (struct volume_args){0};
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            printf("usage: atlas %s\n\n%s%s", usage->synopsis, usage->text, help_on_volumes);
            *status = volume_flush_output();
            return false;
        }
        if (take_volume(args, argc, argv, &i))
            continue;
        if (!is_flag(usage, argv[i])) {
            *status = misused(usage, "unknown option ", argv[i]);
            return false;
        }
        args->flag = true;
    }
    args->operands = argv + i;
    args->count = argc - i;
    if (divide_operands(usage, args))
        return true;
    *status = misused(usage, "something is missing, or too much", "");
    return false;
}

/* --- what is said ----------------------------------------------------------------------------- */

void volume_complain(const struct volume *volume, const char *what, int rc)
{
    switch (rc) {
    case -ENOSPC:
        log_error("%s: no room for %s: remove objects, or enlarge the disk", volume->path, what);
        break;
    case -EBUSY:
        log_error("%s: it was damaged and a server has it open: stop the server first",
                  volume->path);
        break;
    case -EINTR:
        log_error("%s: interrupted: nothing was changed", volume->path);
        break;
    case -ENODATA:
        log_error("%s: %s became shorter while it was read: try again", volume->path, what);
        break;
    case -EINVAL:
    case -ENAMETOOLONG:
        log_error("%s: %s cannot be a name in a volume: at most %d bytes, and none of them zero",
                  volume->path, what, DISKMAP_PATH_MAX);
        break;
    default:
        log_error("%s: %s: %s", volume->path, what, strerror(-rc));
    }
}

const char *volume_printable(const char *path, char *buf, size_t bytes)
{
    size_t at = 0;

    for (; *path && at + 5 <= bytes; path++) {
        unsigned char c = (unsigned char)*path;

        if (c < 0x20 || c == 0x7f || c == '\\')
            at += (size_t)snprintf(buf + at, bytes - at, "\\%03o", c);
        else
            buf[at++] = *path;
    }
    buf[at] = 0;
    return buf;
}

int volume_flush_output(void)
{
    if (!fflush(stdout) && !ferror(stdout))
        return EXIT_DONE;
    log_error("cannot write to standard output: %s", strerror(errno));
    return EXIT_FAILED;
}

/* --- long work -------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void waiting_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void volume_work_begin(struct volume_work *work, uint64_t total_bytes)
{
    struct winsize size = {0};
    sigset_t set;

    *work = (struct volume_work){.total_bytes = total_bytes, .started_ns = now_ns()};
    work->shown_ns = work->started_ns;
    if (isatty(STDERR_FILENO))
        work->terminal = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
    waiting_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    work->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

const char *volume_bytes(uint64_t bytes, char buf[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 999.5 && unit + 1 < array_len(units); unit++)
        value /= 1000;
    snprintf(buf, 16, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}

static void work_show(const struct volume_work *work, uint64_t now)
{
    double seconds = (double)(now - work->started_ns) / 1e9;
    double rate = (double)work->done_bytes / seconds;
    double part = work->total_bytes ? (double)work->done_bytes / (double)work->total_bytes : 1;
    uint64_t left_s = 0;
    char bar[BAR_CELLS + 1], line[160], done[16], total[16], speed[16];

    if (part > 1)
        part = 1;
    if (rate > 0 && work->total_bytes > work->done_bytes)
        left_s = (uint64_t)((double)(work->total_bytes - work->done_bytes) / rate);
    for (int i = 0; i < BAR_CELLS; i++)
        bar[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = 0;
    snprintf(line, sizeof(line), "[%s] %3.0f %%  %s of %s  %s/s  %u:%02u:%02u left", bar,
             part * 100, volume_bytes(work->done_bytes, done),
             volume_bytes(work->total_bytes, total), volume_bytes((uint64_t)rate, speed),
             (unsigned)(left_s / 3600), (unsigned)(left_s / 60 % 60), (unsigned)(left_s % 60));
    fprintf(stderr, "\r%.*s\033[K", work->terminal - 1, line);
}

int volume_work_add(struct volume_work *work, uint64_t bytes)
{
    struct signalfd_siginfo info;
    uint64_t now;

    work->done_bytes += bytes;
    if (work->signals >= 0 && read(work->signals, &info, sizeof(info)) == sizeof(info))
        return -EINTR;
    now = work->terminal ? now_ns() : 0;
    if (work->terminal && now - work->shown_ns >= SHOW_NS) {
        work_show(work, now);
        work->shown_ns = now;
    }
    return 0;
}

void volume_work_clear(struct volume_work *work)
{
    if (work->shown_ns != work->started_ns)
        fputs("\r\033[K", stderr);
}

void volume_work_end(struct volume_work *work)
{
    sigset_t set;

    volume_work_clear(work);
    if (work->signals >= 0)
        close(work->signals);
    work->signals = -1;
    waiting_signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

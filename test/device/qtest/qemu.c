// SPDX-License-Identifier: BSD-2-Clause
#include "qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_S   20
#define LINE_BYTES 4096

const char *qemu_lacks(void)
{
    const char *path = getenv("PATH");
    char candidate[LINE_BYTES];

    for (const char *at = path; at && *at; at += strcspn(at, ":"), at += *at == ':') {
        snprintf(candidate, sizeof(candidate), "%.*s/" QEMU_PROGRAM, (int)strcspn(at, ":"), at);
        if (access(candidate, X_OK) == 0)
            return NULL;
    }
    return QEMU_PROGRAM " is not installed: tools/deps check";
}

static void option_add(struct qemu *qemu, char *word)
{
    assert(qemu->arg_count < QEMU_ARGS_MAX - 1 && word);
    qemu->args[qemu->arg_count++] = word;
}

void qemu_option(struct qemu *qemu, const char *name, const char *fmt, ...)
{
    char *value = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&value, fmt, args) < 0)
        value = NULL;
    va_end(args);
    option_add(qemu, strdup(name));
    option_add(qemu, value);
}

/* --- starting --------------------------------------------------------------------------------- */

static void become_qemu(struct qemu *qemu, pid_t parent)
{
    // It says "blkdebug: Suspended request" and the like, where only test results belong.
    dup2(STDERR_FILENO, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    execvp(QEMU_PROGRAM, qemu->args);
    _exit(127);
}

/* Ours is closed when QEMU is executed, its end is not. */
static bool pair(int *ours, int *its)
{
    const struct timeval limit = {.tv_sec = ANSWER_S};
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
        return false;
    *ours = fds[0];
    *its = fds[1];
    return fcntl(fds[0], F_SETFD, FD_CLOEXEC) == 0 &&
           setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0;
}

bool qemu_start(struct qemu *qemu, const char *machine)
{
    unsigned long long mib = QEMU_MEMORY_BYTES >> 20;
    int qtest, monitor;
    pid_t parent = getpid();

    qemu->memory_fd = memfd_create("memory", 0);
    qemu->trace_fd = memfd_create("trace", 0);
    if (qemu->memory_fd < 0 || ftruncate(qemu->memory_fd, QEMU_MEMORY_BYTES) ||
        qemu->trace_fd < 0 || !pair(&qemu->qtest_fd, &qtest) || !pair(&qemu->monitor_fd, &monitor))
        return false;
    qemu_option(qemu, "-M", "%s,memory-backend=memory", machine);
    qemu_option(qemu, "-m", "%lluM", mib);
    qemu_option(qemu, "-object",
                "memory-backend-file,id=memory,size=%lluM,mem-path=/proc/self/fd/%d,share=on", mib,
                qemu->memory_fd);
    qemu_option(qemu, "-accel", "tcg");
    qemu_option(qemu, "-display", "none");
    qemu_option(qemu, "-chardev", "socket,id=qtest,fd=%d", qtest);
    qemu_option(qemu, "-qtest", "chardev:qtest");
    qemu_option(qemu, "-qtest-log", "/dev/null");
    qemu_option(qemu, "-chardev", "socket,id=monitor,fd=%d", monitor);
    qemu_option(qemu, "-mon", "chardev=monitor,mode=control");
    qemu_option(qemu, "-trace", "pci_nvme_ub_*");
    qemu_option(qemu, "-trace", "pci_nvme_err_*");
    qemu_option(qemu, "-D", "/proc/self/fd/%d", qemu->trace_fd);
    option_add(qemu, strdup("-S"));
    option_add(qemu, strdup("-nodefaults"));
    option_add(qemu, strdup("-no-user-config"));
    memmove(qemu->args + 1, qemu->args, qemu->arg_count * sizeof(*qemu->args));
    qemu->args[0] = strdup(QEMU_PROGRAM);
    qemu->arg_count++;
    qemu->pid = fork();
    if (qemu->pid == 0)
        become_qemu(qemu, parent);
    close(qtest);
    close(monitor);
    return qemu->pid > 0 && qemu_ask(qemu, "{\"execute\":\"qmp_capabilities\"}");
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool hear(int fd, char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (recv(fd, &line[i], 1, 0) != 1)
            return false;
        if (line[i] == '\n') {
            line[i] = '\0';
            return true;
        }
    }
    return false;
}

static bool ask(struct qemu *qemu, const char *question)
{
    char line[LINE_BYTES];

    if (dprintf(qemu->monitor_fd, "%s\n", question) < 0)
        return false;
    // Its greeting and its events come in between.
    while (hear(qemu->monitor_fd, line, sizeof(line))) {
        if (!strncmp(line, "{\"return\"", 9)) {
            // Commands for people succeed whatever they say; good ones say nothing.
            if (!strstr(line, "rror") && !strstr(line, "ailed"))
                return true;
            fprintf(stderr, "# %s: %s\n", question, line);
            return false;
        }
        if (!strncmp(line, "{\"error\"", 8)) {
            fprintf(stderr, "# %s: %s\n", question, line);
            return false;
        }
    }
    // Who does not answer this will not answer anything: the rest need not wait for it.
    fprintf(stderr, "# QEMU does not answer: %s\n", question);
    kill(qemu->pid, SIGKILL);
    return false;
}

bool qemu_ask(struct qemu *qemu, const char *fmt, ...)
{
    char question[LINE_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(question, sizeof(question), fmt, args);
    va_end(args);
    return ask(qemu, question);
}

bool qemu_command(struct qemu *qemu, const char *line)
{
    char quoted[LINE_BYTES];
    size_t at = 0;

    for (; *line && at < sizeof(quoted) - 3; line++) {
        if (*line == '"')
            quoted[at++] = '\\';
        quoted[at++] = *line;
    }
    quoted[at] = '\0';
    return qemu_ask(
        qemu, "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s\"}}",
        quoted);
}

uint32_t qemu_question(struct qemu *qemu, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (dprintf(qemu->qtest_fd, "%s\n", line) < 0 || !hear(qemu->qtest_fd, line, sizeof(line)) ||
        strncmp(line, "OK", 2))
        return UINT32_MAX;
    return (uint32_t)strtoull(line + 2, NULL, 0);
}

bool qemu_trace(struct qemu *qemu, char *line, size_t bytes)
{
    ssize_t got = pread(qemu->trace_fd, line, bytes - 1, qemu->trace_read);
    char *end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;

    if (!end)
        return false;
    qemu->trace_read += end + 1 - line;
    *end = '\0';
    return true;
}

/* --- ending ----------------------------------------------------------------------------------- */

bool qemu_stop(struct qemu *qemu)
{
    int status = 1;

    if (qemu->pid > 0) {
        if (!qemu_ask(qemu, "{\"execute\":\"quit\"}"))
            kill(qemu->pid, SIGKILL);
        waitpid(qemu->pid, &status, 0);
    }
    close(qemu->qtest_fd);
    close(qemu->monitor_fd);
    close(qemu->memory_fd);
    close(qemu->trace_fd);
    for (uint32_t i = 0; i < qemu->arg_count; i++)
        free(qemu->args[i]);
    *qemu = (struct qemu){.pid = 0};
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

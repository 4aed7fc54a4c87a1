// SPDX-License-Identifier: BSD-2-Clause
/*
 * init.c - the first process of the virtual machine in which the device tests run.
 *
 * It needs nothing but the kernel: static, it loads the modules that /modules lists, mounts the
 * machine's own file system (9p, read-only) with a /tmp of its own over it, and there runs /job
 * with bash, whose output goes to the second serial port. The exit status is the last thing
 * printed. The first serial port is the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_BYTES 256
#define CHUNK_BYTES    65536
#define MOUNT_OPTIONS  "trans=virtio,version=9p2000.L,msize=262144,cache=loose"
#define STATUS_OF_INIT 125 /* when the job could not even be begun */

static void power_off(int status)
{
    printf("@exit %d\n", status);
    fflush(stdout);
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static void give_up(const char *what, const char *which)
{
    printf("# init: %s %s: %s\n", what, which, strerror(errno));
    power_off(STATUS_OF_INIT);
}

static void mount_or_give_up(const char *what, const char *where, const char *type,
                             unsigned long flags, const char *options)
{
    if (mount(what, where, type, flags, options))
        give_up("cannot mount", where);
}

/* The second serial port, raw: a line ends where the job ends it. */
static void open_output(void)
{
    int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
    struct termios tio;

    if (fd < 0)
        return;
    if (tcgetattr(fd, &tio) == 0) {
        cfmakeraw(&tio);
        cfsetspeed(&tio, B115200);
        tcsetattr(fd, TCSANOW, &tio);
    }
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    fd = open("/dev/null", O_RDONLY);
    if (fd >= 0)
        dup2(fd, STDIN_FILENO);
}

/* A line is the module's path, then its parameters, if any. */
static void load(char *line)
{
    char *params = strchr(line, ' ');
    int fd;

    if (params)
        *params++ = '\0';
    fd = open(line, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        give_up("cannot open", line);
    if (syscall(SYS_finit_module, fd, params ? params : "", 0) && errno != EEXIST)
        give_up("cannot load", line);
    close(fd);
}

static void load_modules(void)
{
    char line[LINE_MAX_BYTES];
    FILE *list = fopen("/modules", "re");

    if (!list)
        give_up("cannot open", "/modules");
    while (fgets(line, sizeof(line), list)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0])
            load(line);
    }
    fclose(list);
}

/* What the initial file system brought for the job (/files) is found under /tmp/files. */
static void enter_host(void)
{
    mount_or_give_up("host", "/host", "9p", MS_RDONLY, MOUNT_OPTIONS);
    mount_or_give_up("tmp", "/host/tmp", "tmpfs", 0, "mode=1777");
    mount_or_give_up("run", "/host/run", "tmpfs", 0, "mode=755");
    mount_or_give_up("proc", "/host/proc", "proc", 0, NULL);
    mount_or_give_up("sys", "/host/sys", "sysfs", 0, NULL);
    mount_or_give_up("dev", "/host/dev", "devtmpfs", 0, NULL);
    mkdir("/host/dev/shm", 01777);
    mkdir("/host/dev/pts", 0755);
    mkdir("/host/tmp/files", 0755);
    mount_or_give_up("/files", "/host/tmp/files", NULL, MS_BIND, NULL);
    // What devtmpfs leaves to udev; shells want it.
    if (symlink("/proc/self/fd", "/host/dev/fd") && errno != EEXIST)
        give_up("cannot link", "/dev/fd");
    if (chroot("/host") || chdir("/tmp"))
        give_up("cannot enter", "/host");
}

static char *read_job(void)
{
    size_t bytes = 0, room = CHUNK_BYTES;
    char *job = malloc(room);
    int fd = open("/job", O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0 || !job)
        give_up("cannot read", "/job");
    while (n > 0 && bytes + 1 < room) {
        n = read(fd, job + bytes, room - bytes - 1);
        bytes += n > 0 ? (size_t)n : 0;
    }
    job[bytes] = '\0';
    close(fd);
    return job;
}

static int run(const char *job)
{
    pid_t pid = fork(), gone;
    int status = 0;

    if (pid < 0)
        give_up("cannot start", "bash");
    if (pid == 0) {
        setsid();
        setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
        setenv("HOME", "/tmp", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        execl("/bin/bash", "bash", "-c", job, "job", NULL);
        give_up("cannot run", "/bin/bash");
    }
    // Orphans come to the first process: they are none of the job's status.
    do
        gone = wait(&status);
    while (gone != pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
    char *job;

    mount_or_give_up("dev", "/dev", "devtmpfs", 0, NULL);
    open_output();
    setvbuf(stdout, NULL, _IOLBF, 0);
    mount_or_give_up("proc", "/proc", "proc", 0, NULL);
    mount_or_give_up("sys", "/sys", "sysfs", 0, NULL);
    load_modules();
    job = read_job();
    enter_host();
    printf("@ready\n");
    fflush(stdout);
    power_off(run(job));
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * module_misuse.c - processes that ask diskmap.ko for what they must not have, that hold on to what
 * is not theirs any more, or that keep it waiting.
 */
#include "module_test.h"

#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- arguments ---------------------------------------------------------------------------------
 */

static int attach_error_as(const char *path, int flags, struct diskmap_attach at)
{
    int fd = open(path, flags | O_CLOEXEC), error;

    error = ioctl(fd, DISKMAP_IOC_ATTACH, &at) ? errno : 0;
    close(fd);
    return error;
}

static int attach_error(const char *path, struct diskmap_attach at)
{
    return attach_error_as(path, O_RDWR, at);
}

static bool map_fails(struct raw *raw, size_t bytes, uint64_t offset, int flags)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, raw->fd, (off_t)offset);

    if (p != MAP_FAILED)
        munmap(p, bytes);
    return p == MAP_FAILED;
}

static void refuse_attach(const char *path, const struct raw *raw)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct diskmap_attach at = {.buffers_fd = -1};

    at.queue_pair = raw->info.queue_pairs + 1;
    report(attach_error(path, at) == EINVAL, "a queue pair beyond the last is refused");
    at.queue_pair = raw->at.queue_pair;
    report(attach_error(path, at) == EBUSY, "a queue pair that is taken is refused");
    at = (struct diskmap_attach){.buffers_fd = -1, .flags = 1};
    report(attach_error(path, at) == EINVAL, "an unknown flag is refused");
    at = (struct diskmap_attach){.buffers = UINT32_MAX, .buffers_fd = -1};
    report(attach_error(path, at) == ENOMEM, "more buffers than there are are refused");
    at = (struct diskmap_attach){.buffers_fd = null};
    report(attach_error(path, at) == EINVAL, "buffers of /dev/null are refused");
    at.buffers_fd = 1000;
    report(attach_error(path, at) == EBADF, "buffers of no file are refused");
    at = (struct diskmap_attach){.buffers = 1, .buffers_fd = raw->fd};
    report(attach_error(path, at) == EINVAL, "buffers of its own and of another are refused");
    at = (struct diskmap_attach){.buffers_fd = -2};
    report(attach_error(path, at) == EINVAL, "a negative file is refused");
    at.buffers_fd = -1;
    report(attach_error_as(path, O_RDONLY, at) == EACCES &&
               attach_error_as(path, O_WRONLY, at) == EACCES && attach_error(path, at) == 0,
           "who may only read, or only write, attaches nothing");
    close(null);
}

static void refuse_rings(struct raw *raw)
{
    static const unsigned long bad[] = {256, 257, 65535, 65536, 1ul << 32, -1ul};
    bool good = true;

    for (size_t i = 0; i < array_len(bad); i++)
        good = good && ioctl(raw->fd, DISKMAP_IOC_RING_SQ, bad[i]) < 0 && errno == EINVAL &&
               ioctl(raw->fd, DISKMAP_IOC_RING_CQ, bad[i]) < 0 && errno == EINVAL;
    report(good, "what is no index of a queue is not rung");
    report(ioctl(raw->fd, DISKMAP_IOC_RESTART, 1) < 0 && errno == EINVAL,
           "an argument to RESTART is refused");
}

void case_refused(char **paths, int count)
{
    struct diskmap_namespace ns = {.index = 1000};
    struct raw raw;
    uint64_t end;
    int fd;

    open_or_exit(&raw, paths[0], BUFFERS);
    refuse_attach(paths[0], &raw);
    refuse_rings(&raw);
    raw.at.queue_pair = DISKMAP_ANY;
    report(ioctl(raw.fd, DISKMAP_IOC_ATTACH, &raw.at) < 0 && errno == EBUSY,
           "a file has one queue pair");
    report(ioctl(raw.fd, DISKMAP_IOC_NAMESPACE, &ns) < 0 && errno == EINVAL,
           "a namespace that is not there is refused");
    report(ioctl(raw.fd, DISKMAP_IOC_INFO, (void *)8) < 0 && errno == EFAULT &&
               ioctl(raw.fd, DISKMAP_IOC_HEALTH, (void *)-8) < 0 && errno == EFAULT,
           "a pointer to nothing is refused");
    end = raw.at.buffers_offset + raw.at.buffers_bytes;
    report(
        map_fails(&raw, 4096, end, MAP_SHARED) && map_fails(&raw, 8192, end - 4096, MAP_SHARED) &&
            map_fails(&raw, 8192, raw.at.queues_bytes - 4096, MAP_SHARED) &&
            map_fails(&raw, 4096, 1ull << 62, MAP_SHARED) && map_fails(&raw, 4096, 0, MAP_PRIVATE),
        "memory of others cannot be mapped, nor privately");
    fd = open(paths[0], O_RDWR | O_CLOEXEC);
    report(ioctl(fd, DISKMAP_IOC_RING_SQ, 1) < 0 && errno == ENXIO &&
               ioctl(fd, DISKMAP_IOC_RESTART, 0) < 0 && errno == ENXIO &&
               mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENXIO,
           "without a queue pair there is nothing to ring or to map");
    close(fd);
    exercise(&raw, paths[0], "after refusals");
    raw_close(&raw);
}

static unsigned long draw_command(struct rand *rand)
{
    static const unsigned long known[] = {
        DISKMAP_IOC_INFO,    DISKMAP_IOC_NAMESPACE, DISKMAP_IOC_HEALTH, DISKMAP_IOC_ATTACH,
        DISKMAP_IOC_RING_SQ, DISKMAP_IOC_RING_CQ,   DISKMAP_IOC_RESTART};
    unsigned long command = known[rand_below(rand, array_len(known))];

    // Now and then another size, direction or number.
    return rand_chance(rand, 0.1) ? command ^ 1ul << rand_below(rand, 32) : command;
}

/* An argument that may be a number, or point to something with edges in it. */
static unsigned long draw_argument(struct rand *rand, uint32_t *memory, size_t words, int fd)
{
    static const uint32_t edges[] = {0,           1,          2,          255,  256,   0x7fffffff,
                                     0x80000000u, UINT32_MAX, UINT32_MAX, 4096, 65536, 3};

    for (size_t i = 0; i < words; i++)
        memory[i] = rand_chance(rand, 0.3) ? (uint32_t)rand_below(rand, UINT32_MAX)
                                           : edges[rand_below(rand, array_len(edges))];
    if (rand_chance(rand, 0.3))
        memory[2] = (uint32_t)fd; // diskmap_attach.buffers_fd
    switch (rand_below(rand, 8)) {
    case 0:
        return edges[rand_below(rand, array_len(edges))];
    case 1:
        return rand_below(rand, 300);
    case 2:
        return (unsigned long)rand_below(rand, UINT64_MAX);
    case 3: // crosses into a page that is not there
        return (unsigned long)memory + PAGE_BYTES - rand_below(rand, 16) * 4;
    default:
        return (unsigned long)memory;
    }
}

/* Whatever is said in an ioctl: nothing but an errno comes of it, and others are not disturbed. */
void case_fuzz(char **paths, int count)
{
    uint32_t *memory =
        mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t deadline = raw_now_ns() + 4 * NS_PER_S, calls = 0, accepted = 0;
    struct rand rand;
    struct raw raw;
    int fd = -1;
    pid_t pid;

    mprotect((char *)memory + PAGE_BYTES, PAGE_BYTES, PROT_NONE);
    open_or_exit(&raw, paths[0], BUFFERS);
    pid = fork();
    if (pid == 0) {
        rand_seed(&rand, 1);
        for (; raw_now_ns() < deadline; calls++) {
            if (fd < 0 || rand_chance(&rand, 0.02)) {
                close(fd);
                fd = open(paths[0], O_RDWR | O_CLOEXEC);
            }
            accepted +=
                ioctl(fd, draw_command(&rand),
                      draw_argument(&rand, memory, 24, rand_chance(&rand, 0.5) ? raw.fd : fd)) == 0;
        }
        report(calls > 1000 && accepted > 100, "%llu ioctls were drawn, %llu of them accepted",
               (unsigned long long)calls, (unsigned long long)accepted);
        _exit(failures);
    }
    while (waitpid(pid, &failures, WNOHANG) == 0 &&
           exercise(&raw, paths[0], "beside others who say anything"))
        ;
    raw_close(&raw);
}

/* --- what outlives a file ----------------------------------------------------------------------
 */

/* Into a pipe, which takes references to pages instead of copies. */
static int pin_error(void *p)
{
    struct iovec iov = {.iov_base = p, .iov_len = PAGE_BYTES};
    int pipe_fds[2], error;

    if (pipe(pipe_fds))
        return errno;
    error = vmsplice(pipe_fds[1], &iov, 1, SPLICE_F_NONBLOCK) == PAGE_BYTES ? 0 : errno;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return error;
}

/* A reference to a page would be one to what the next process has there. */
void case_pinned(char **paths, int count)
{
    uint32_t off = 5 * PAGE_BYTES, bytes = 9 * PAGE_BYTES;
    uint8_t own[2 * PAGE_BYTES];
    struct raw raw;
    char *part;

    open_or_exit(&raw, paths[0], BUFFERS);
    memset(own, 1, sizeof(own));
    report(pin_error(own) == 0, "memory of its own can be pinned");
    report(pin_error(raw.buffers) == EFAULT && pin_error(raw.queues) == EFAULT &&
               pin_error(raw.buffers + raw.at.buffers_bytes - PAGE_BYTES) == EFAULT,
           "memory of the module cannot");
    for (size_t i = 0; i < raw.at.buffers_bytes / PAGE_BYTES; i++)
        memset(raw.buffers + i * PAGE_BYTES, (int)(i % 251), PAGE_BYTES);
    part = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, raw.fd,
                (off_t)(raw.at.buffers_offset + off));
    report(part != MAP_FAILED && memcmp(part, raw.buffers + off, bytes) == 0,
           "a part of it is mapped where it was asked for");
    if (part != MAP_FAILED)
        munmap(part, bytes);
    raw_close(&raw);
}

/* No bit of the specification's: whoever enables the controller anew clears it. */
#define CC_MARK (1u << 31)

/* Whatever a process had the controller do ends before the next one comes. */
void case_renewed(char **paths, int count)
{
    volatile uint32_t *cc;
    struct raw first, last;
    int watcher;

    open_or_exit(&first, paths[0], BUFFERS);
    open_or_exit(&last, paths[0], BUFFERS);
    cc = registers(&first);
    if (!report(cc, "its registers can be reached"))
        return;
    cc += REGISTER_CC / 4;
    *cc |= CC_MARK;
    raw_close(&first);
    watcher = open(paths[0], O_RDWR | O_CLOEXEC);
    report(*cc & CC_MARK, "a disk that somebody else has is not reset");
    report(run_one(&last, RAW_READ, 0, last.at.buffers_bus, PAGE_BYTES) == 0, "and works on");
    raw_close(&last);
    report(*cc & 1 && !(*cc & CC_MARK), "when its last queue pair goes, it is");
    *cc |= CC_MARK;
    close(watcher);
    report(*cc & CC_MARK, "when a file without one goes, it is not");
    open_or_exit(&first, paths[0], BUFFERS);
    exercise(&first, paths[0], "after others are gone");
    raw_close(&first);
}

/* --- who watches before he attaches ------------------------------------------------------------
 */

void case_watched(char **paths, int count)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = open(paths[0], O_RDWR | O_CLOEXEC), set = epoll_create1(EPOLL_CLOEXEC);
    struct raw_completion completion;
    struct raw raw;

    report(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0 && epoll_wait(set, &event, 1, 0) == 0,
           "a file without a queue pair has nothing to say");
    if (!report(raw_attach(&raw, fd, BUFFERS, -1) == 0, "it is attached"))
        return;
    report(epoll_wait(set, &event, 1, 0) == 0, "a queue pair without completions, neither");
    raw_post(&raw, 0, RAW_READ, 0, raw.at.buffers_bus, PAGE_BYTES);
    report(raw_ring_sq(&raw) == 0 && epoll_wait(set, &event, 1, 5000) == 1 &&
               event.events == EPOLLIN && raw_take(&raw, &completion),
           "whoever watched before is woken by a completion");
    raw_ring_cq(&raw);
    close(set);
    raw_close(&raw);
}

/* --- memory that is not there for a while ------------------------------------------------------
 */

struct question {
    int fd;
    unsigned long request;
    void *answer;
    int error;
};

static void *ask(void *arg)
{
    struct question *q = arg;

    q->error = ioctl(q->fd, q->request, q->answer) ? errno : 0;
    return NULL;
}

/* Whoever writes there waits until it is unprotected again. -1: this kernel cannot. */
static int guard(void *page)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    struct uffdio_register range = {.range = {(uintptr_t)page, PAGE_BYTES},
                                    .mode = UFFDIO_REGISTER_MODE_WP};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    return fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range) ? -1 : fd;
}

static bool protect(int guard_fd, void *page, bool on)
{
    struct uffdio_writeprotect range = {.range = {(uintptr_t)page, PAGE_BYTES},
                                        .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

    return ioctl(guard_fd, UFFDIO_WRITEPROTECT, &range) == 0;
}

/* With an answer on its way to memory that lets nobody write, the others go on. */
static void hold(struct raw *raw, struct question *q, int guard_fd, const char *name)
{
    struct pollfd fault = {.fd = guard_fd, .events = POLLIN};
    struct uffd_msg msg;
    pthread_t thread;

    *(struct diskmap_attach *)q->answer = (struct diskmap_attach){.buffers_fd = -1};
    if (!report(protect(guard_fd, q->answer, true) && !pthread_create(&thread, NULL, ask, q),
                "%s is asked for", name))
        return;
    report(poll(&fault, 1, 5000) == 1 && read(guard_fd, &msg, sizeof(msg)) == sizeof(msg),
           "and its answer is held up");
    alarm(10); // else this process would be what never ends
    report(ioctl(raw->fd, DISKMAP_IOC_INFO, &raw->info) == 0 &&
               ioctl(raw->fd, DISKMAP_IOC_RESTART, 0) == 0,
           "which holds up nobody else");
    alarm(0);
    protect(guard_fd, q->answer, false);
    pthread_join(thread, NULL);
    report(q->error == 0, "and it comes in the end");
}

void case_held(char **paths, int count)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct question q = {.fd = open(paths[0], O_RDWR | O_CLOEXEC), .answer = page};
    struct diskmap_attach again = {.buffers_fd = -1};
    int guard_fd = guard(page);
    struct raw raw;

    open_or_exit(&raw, paths[0], 0);
    if (!report(guard_fd >= 0, "a page can be guarded: %s", strerror(errno)))
        return;
    q.request = DISKMAP_IOC_HEALTH;
    hold(&raw, &q, guard_fd, "health");
    q.request = DISKMAP_IOC_ATTACH;
    hold(&raw, &q, guard_fd, "a queue pair");
    close(q.fd);
    close(guard_fd);

    *(struct diskmap_attach *)page = again;
    mprotect(page, PAGE_BYTES, PROT_READ);
    q.fd = open(paths[0], O_RDWR | O_CLOEXEC);
    ask(&q);
    report(q.error == EFAULT && ioctl(q.fd, DISKMAP_IOC_ATTACH, &again) < 0 && errno == EBUSY,
           "who cannot be told is attached all the same");
    close(q.fd);
    raw_rewind(&raw);
    report(ioctl(raw.fd, DISKMAP_IOC_INFO, &raw.info) == 0 &&
               raw.info.queue_pairs_free == raw.info.queue_pairs - 1,
           "and gives it back");
    raw_close(&raw);
}

/* --- a disk that nothing confines --------------------------------------------------------------
 */

void case_rawio(char **paths, int count)
{
    uint32_t header[2] = {_LINUX_CAPABILITY_VERSION_3, 0};
    uint32_t sets[2][3]; // effective, permitted, inheritable; and those from 32 on
    struct raw raw;

    open_or_exit(&raw, paths[0], BUFFERS);
    raw_close(&raw);
    if (syscall(SYS_capget, header, sets)) {
        report(false, "capabilities can be read");
        return;
    }
    sets[0][0] &= ~(1u << CAP_SYS_RAWIO);
    report(syscall(SYS_capset, header, sets) == 0 && raw_open(&raw, paths[0], 0, -1) == -EPERM,
           "without CAP_SYS_RAWIO it cannot be opened");
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * medium.c - a file or a block device as the medium of a volume.
 *
 * Two bytes of it are locked: byte 0 by the one who writes, byte 1 by everyone who reads. The locks
 * belong to the open file description, so that they also hold between threads of one process. They
 * exclude nobody from reading: a writer only asks whether byte 1 is locked, because then it must
 * not use old space again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "priv.h"

#define LOCK_WRITER     0
#define LOCK_READERS    1
#define MEDIUM_MODE     0666 /* less the umask, as for every file that is data */
#define WRITEBACK_BYTES (32u << 20)

struct medium {
    struct diskmap_medium pub;
    int fd;
    uint64_t written_from, written_to; /* not on its way to the disk yet */
    uint64_t flowing_from, flowing_to; /* on its way */
};

static struct medium *medium_of(struct diskmap_medium *medium)
{
    return container_of(medium, struct medium, pub);
}

/* An error that is reported here is not reported by the sync any more; where this is not possible,
 * it was only a hint. */
static int range_sync(struct medium *m, uint64_t from, uint64_t to, unsigned flags)
{
    if (from == to || !sync_file_range(m->fd, (off_t)from, (off_t)(to - from), flags))
        return 0;
    return errno == EIO || errno == ENOSPC || errno == EDQUOT ? -errno : 0;
}

/*
 * Writing as fast as the page cache takes it would fill the memory with dirty pages, throw out what
 * others cached, and then stand still in the sync. So the last window is set in motion while the
 * one before it is waited for and dropped.
 */
static int medium_write_back(struct medium *m, uint64_t from, uint64_t to)
{
    const unsigned wait =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    int rc, err;

    if (from == m->written_to && to - m->written_from <= WRITEBACK_BYTES) {
        m->written_to = to;
        return 0;
    }
    rc = range_sync(m, m->written_from, m->written_to, SYNC_FILE_RANGE_WRITE);
    err = range_sync(m, m->flowing_from, m->flowing_to, wait);
    posix_fadvise(m->fd, (off_t)m->flowing_from, (off_t)(m->flowing_to - m->flowing_from),
                  POSIX_FADV_DONTNEED);
    m->flowing_from = m->written_from;
    m->flowing_to = m->written_to;
    m->written_from = from;
    m->written_to = to;
    return rc ? rc : err;
}

static int medium_pwrite(struct diskmap_medium *medium, const void *data, size_t bytes,
                         uint64_t off)
{
    struct medium *m = medium_of(medium);
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = pwrite(m->fd, (const char *)data + done, bytes - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return medium_write_back(m, off, off + bytes);
}

static int medium_pread(struct diskmap_medium *medium, void *data, size_t bytes, uint64_t off)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t n =
            pread(medium_of(medium)->fd, (char *)data + done, bytes - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO; // shorter than it was when we asked for its size
        done += (size_t)n;
    }
    return 0;
}

static int medium_sync(struct diskmap_medium *medium)
{
    return fdatasync(medium_of(medium)->fd) ? -errno : 0;
}

static int medium_resize(struct diskmap_medium *medium, uint64_t bytes)
{
    struct medium *m = medium_of(medium);
    struct stat st;

    if (fstat(m->fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOSPC;
    if (ftruncate(m->fd, (off_t)bytes))
        return -errno;
    medium->bytes = bytes;
    return 0;
}

static int lock_byte(int fd, int command, int type, int byte)
{
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    if (fcntl(fd, command, &lock))
        return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
    return command == F_OFD_GETLK && lock.l_type != F_UNLCK ? -EBUSY : 0;
}

static int lock(int fd, bool writable)
{
    return lock_byte(fd, F_OFD_SETLK, writable ? F_WRLCK : F_RDLCK,
                     writable ? LOCK_WRITER : LOCK_READERS);
}

static bool medium_in_use(struct diskmap_medium *medium)
{
    return medium_file_is_read(medium_of(medium)->fd);
}

static int medium_size(int fd, uint64_t *bytes)
{
    struct stat st;

    if (fstat(fd, &st))
        return -errno;
    if (S_ISREG(st.st_mode)) {
        *bytes = (uint64_t)st.st_size;
        return 0;
    }
    if (!S_ISBLK(st.st_mode))
        return -EINVAL;
    return ioctl(fd, BLKGETSIZE64, bytes) ? -errno : 0;
}

static int medium_open_fd(const char *path, bool writable, bool create)
{
    int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct stat st;
    int fd;

    // On a block device, O_EXCL without O_CREAT asks for it exclusively: a mounted one is busy.
    if (writable && !stat(path, &st) && S_ISBLK(st.st_mode))
        fd = open(path, flags | O_EXCL);
    else
        fd = open(path, flags | (writable && create ? O_CREAT : 0), MEDIUM_MODE);
    return fd < 0 ? -errno : fd;
}

static int open_failed(int rc, const char *path, bool writable, bool create, char *why,
                       size_t why_bytes)
{
    const char *what = strerror(-rc);

    if (rc == -EBUSY)
        what = "it is mounted, or another process is changing it; try again when that has ended";
    else if (rc == -EINVAL)
        what = "it is neither a file nor a block device";
    else if (rc == -ENOENT)
        what = create ? "its directory does not exist: make it first"
                      : "it does not exist: make it with 'atlas pack'";
    else if (rc == -EACCES || rc == -EPERM || rc == -EROFS)
        what = writable ? "no permission to write to it" : "no permission to read it";
    snprintf(why, why_bytes, "%.160s: %s", path, what);
    return rc;
}

int medium_file_open(const char *path, bool writable, bool create, uint64_t *bytes, char *why,
                     size_t why_bytes)
{
    int fd = medium_open_fd(path, writable, create), rc;

    if (fd < 0)
        return open_failed(fd, path, writable, create, why, why_bytes);
    rc = medium_size(fd, bytes);
    if (!rc)
        rc = lock(fd, writable);
    if (!rc)
        return fd;
    close(fd);
    return open_failed(rc, path, writable, create, why, why_bytes);
}

int medium_node_open(const char *path, bool writable)
{
    int fd = medium_open_fd(path, writable, false);
    int rc = fd < 0 ? fd : lock(fd, writable);

    if (!rc)
        return fd;
    if (fd >= 0)
        close(fd);
    return rc;
}

bool medium_file_is_read(int fd)
{
    return lock_byte(fd, F_OFD_GETLK, F_WRLCK, LOCK_READERS) != 0;
}

static int file_open(struct diskmap_medium **out, const char *path, bool writable, bool create,
                     char *why, size_t why_bytes)
{
    struct medium *m = calloc(1, sizeof(*m));
    int rc = -ENOMEM;

    if (!m)
        return open_failed(rc, path, writable, create, why, why_bytes);
    m->pub = (struct diskmap_medium){.pwrite = medium_pwrite,
                                     .pread = medium_pread,
                                     .sync = medium_sync,
                                     .resize = medium_resize,
                                     .in_use = medium_in_use};
    rc = m->fd = medium_file_open(path, writable, create, &m->pub.bytes, why, why_bytes);
    if (rc < 0) {
        free(m);
        return rc;
    }
    *out = &m->pub;
    return 0;
}

int diskmap_medium_open(struct diskmap_medium **out, struct diskmap_disks *disks, const char *spec,
                        bool writable, bool create, char *why, size_t why_bytes)
{
    if (diskmap_spec_is_disk(spec))
        return medium_nvme_open(out, disks, spec, writable, create, why, why_bytes);
    return file_open(out, spec, writable, create, why, why_bytes);
}

void diskmap_medium_close(struct diskmap_medium *medium)
{
    if (medium_is_nvme(medium)) {
        medium_nvme_close(medium);
        return;
    }
    close(medium_of(medium)->fd);
    free(medium_of(medium));
}

int medium_fd(struct diskmap_medium *medium)
{
    return medium_of(medium)->fd;
}

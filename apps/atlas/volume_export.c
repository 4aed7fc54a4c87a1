// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_export.c - atlas export: objects become files again.
 *
 * Whoever packed the volume chose the names, and someone else may have put symbolic links where
 * they lead. So every directory is opened in the one above it and never through a link, and a file
 * is written under another name and takes its own only when its checksum was right.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "volume.h"
#include "volume_priv.h"

#define DIR_MODE  0777 /* less the umask */
#define FILE_MODE 0666

struct export
{
    struct volumes *set;
    struct volume_work work;
    int top;
    int dir; /* the directory of the last object, or -1 */
    char dir_path[DISKMAP_PATH_MAX + 1];
    char temporary[64];
    int file;
};

static int export_sink(void *arg, const void *data, size_t bytes)
{
    struct export *e = arg;

    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(e->file, (const char *)data + done, bytes - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            done += (size_t)n;
    }
    return volume_work_add(&e->work, bytes);
}

/* One step down, which is made if it is not there; closes `at` unless it is the top. -errno. */
static int step_down(struct export *e, int at, const char *name)
{
    int next = -1;

    if (!mkdirat(at, name, DIR_MODE) || errno == EEXIST)
        next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        next = -errno;
    if (at != e->top)
        close(at);
    return next;
}

/* Opens the directory of `path` as e->dir; the objects are sorted, so that it often is already. */
static int enter_directory_of(struct export *e, const char *path)
{
    size_t len = (size_t)(strrchr(path, '/') - path);
    char name[DISKMAP_PATH_MAX + 1];
    int at = e->top;

    if (e->dir >= 0 && strlen(e->dir_path) == len && !memcmp(e->dir_path, path, len))
        return 0;
    if (e->dir >= 0 && e->dir != e->top)
        close(e->dir);
    e->dir = -1;
    for (size_t from = 1; from < len && at >= 0;) {
        size_t n = strcspn(path + from, "/");

        memcpy(name, path + from, n);
        name[n] = 0;
        at = step_down(e, at, name);
        from += n + 1;
    }
    if (at < 0)
        return at;
    e->dir = at;
    memcpy(e->dir_path, path, len);
    e->dir_path[len] = 0;
    return 0;
}

static int write_object(struct export *e, struct volume *volume, const struct diskmap_entry *entry)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)entry->mtime_s}};
    int rc = diskmap_volume_verify(volume->diskmap, entry, export_sink, e);

    // Some file systems know no such time: the bytes are what matters.
    if (!rc)
        (void)futimens(e->file, times);
    if (close(e->file) && !rc)
        rc = -errno;
    return rc;
}

static int export_object(struct export *e, struct volume *volume, const struct diskmap_entry *entry)
{
    const char *name = strrchr(entry->path, '/') + 1;
    int rc = enter_directory_of(e, entry->path);

    if (rc)
        return rc;
    e->file = openat(e->dir, e->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (e->file < 0)
        return -errno;
    rc = write_object(e, volume, entry);
    if (!rc && renameat(e->dir, e->temporary, e->dir, name))
        rc = -errno;
    if (rc)
        unlinkat(e->dir, e->temporary, 0);
    return rc;
}

static const char *export_trouble(int rc)
{
    switch (rc) {
    case -EBADMSG:
        return "its bytes are not what was packed: it is not written";
    case -ELOOP:
    case -ENOTDIR:
        return "a symbolic link or a file is in the way of a directory: remove it";
    case -EISDIR:
        return "a directory is in its way: remove it";
    default:
        return strerror(-rc);
    }
}

/* The number of objects that could not be written, or -EINTR. */
static int64_t export_all(struct export *e)
{
    struct volumes_walk count = {.set = e->set}, walk = count;
    struct diskmap_entry entry;
    struct volume *volume;
    uint64_t bytes = 0;
    int64_t bad = 0;
    int rc = 0;

    while (volumes_next(&count, &entry, &volume))
        bytes += entry.bytes;
    volume_work_begin(&e->work, bytes);
    while (rc != -EINTR && volumes_next(&walk, &entry, &volume)) {
        rc = export_object(e, volume, &entry);
        if (!rc)
            rc = volume_work_add(&e->work, 0);
        if (!rc || rc == -EINTR)
            continue;
        volume_work_clear(&e->work);
        log_error("%s: %s", entry.path, export_trouble(rc));
        bad++;
        if (rc == -ENOSPC || rc == -EDQUOT || rc == -EROFS)
            break; // the others would fail as well
    }
    volume_work_end(&e->work);
    return rc == -EINTR ? rc : bad;
}

static int export_to(struct volumes *set, const char *dir)
{
    struct export e = {.set = set, .dir = -1};
    int64_t bad;

    if (mkdir(dir, DIR_MODE) && errno != EEXIST) {
        log_error("%s: cannot make the directory: %s", dir, strerror(errno));
        return EXIT_FAILED;
    }
    e.top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e.top < 0) {
        log_error("%s: %s: name a directory that can be written to", dir, strerror(errno));
        return EXIT_FAILED;
    }
    snprintf(e.temporary, sizeof(e.temporary), ".atlas-export-%ld", (long)getpid());
    bad = export_all(&e);
    if (e.dir >= 0 && e.dir != e.top)
        close(e.dir);
    close(e.top);
    if (bad == -EINTR)
        log_error("%s: interrupted: not everything was written", dir);
    return bad ? EXIT_FAILED : EXIT_DONE;
}

int volume_export(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "export VOLUME... DIR",
        .text =
            "Writes the objects as files below DIR, which is made if it is not there. Files that\n"
            "are there are replaced; nothing is ever written through a symbolic link.\n",
        .behind = 1,
    };
    struct volume_args args;
    struct volumes set;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volumes_open(&set, &args, false);
    if (status == EXIT_DONE)
        status = export_to(&set, args.operands[0]);
    volumes_close(&set);
    return status;
}

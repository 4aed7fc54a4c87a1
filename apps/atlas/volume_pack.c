// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_pack.c - atlas pack and atlas add: files become objects.
 *
 * A volume in a file is packed beside it and put in its place when it is whole, so that the old one
 * stays until the new one stands, and servers that have the old one open keep it. On a block device
 * there is only one place: the old volume is gone from the beginning.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "volume.h"
#include "volume_priv.h"

struct source {
    int fd;
    struct volume_work *work;
};

static int64_t source_read(void *arg, void *buf, size_t bytes)
{
    struct source *source = arg;
    ssize_t n;
    int rc;

    do
        n = read(source->fd, buf, bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    rc = volume_work_add(source->work, (uint64_t)n);
    return rc ? rc : n;
}

/* What is packed is the file that was opened, with the length that it had then. */
static int add_file(struct volume *volume, const struct volume_file *file, struct volume_work *work)
{
    struct source source = {.work = work};
    struct stat st;
    int rc;

    source.fd = open(file->source, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (source.fd < 0)
        return -errno;
    if (fstat(source.fd, &st))
        rc = -errno;
    else if (!S_ISREG(st.st_mode))
        rc = -ESTALE; // it was one when the directory was read
    else
        rc = diskmap_volume_add(volume->diskmap, file->path, st.st_mtim.tv_sec,
                                (uint64_t)st.st_size, source_read, &source);
    close(source.fd);
    return rc;
}

static int add_files(struct volume *volume, const struct volume_files *files,
                     struct volume_work *work)
{
    const char *what = NULL;
    int rc = 0;

    for (size_t i = 0; !rc && i < files->count; i++) {
        what = files->v[i].source;
        rc = add_file(volume, &files->v[i], work);
        if (!rc)
            rc = volume_work_add(work, 0);
    }
    if (!rc) {
        what = "the catalogue";
        rc = diskmap_volume_commit(volume->diskmap);
    }
    volume_work_clear(work);
    if (rc)
        volume_complain(volume, what, rc);
    return rc ? EXIT_FAILED : EXIT_DONE;
}

static int say_what_was_done(const char *verb, const struct volume_files *files, const char *path)
{
    char bytes[16];

    printf("%s %zu objects, %s, into %s\n", verb, files->count, volume_bytes(files->bytes, bytes),
           path);
    return volume_flush_output();
}

/* --- pack ------------------------------------------------------------------------------------- */

/* Opens `path`, which is new or may be overwritten, and fills it. */
static int pack_into(const char *path, const char *shown, const struct volume_files *files,
                     struct volume_work *work)
{
    struct volume volume = {.path = shown};
    char why[256];
    int status = EXIT_FAILED;

    if (diskmap_medium_open(&volume.medium, path, true, true, why, sizeof(why)))
        log_error("%s", why);
    else if (diskmap_volume_create(&volume.diskmap, volume.medium, why, sizeof(why)))
        log_error("%s: %s", shown, why);
    else
        status = add_files(&volume, files, work);
    volume_close(&volume);
    return status;
}

static int sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd < 0 || fsync(fd) ? -errno : 0;

    if (fd >= 0)
        close(fd);
    free(dir);
    return rc;
}

/* In a file of its own beside the target, then in its place. */
static int pack_file(const char *path, const struct stat *old, const struct volume_files *files,
                     struct volume_work *work)
{
    char *temporary;
    int status, rc = 0;

    if (asprintf(&temporary, "%s.new-%ld", path, (long)getpid()) < 0) {
        log_error("%s: not enough memory", path);
        return EXIT_FAILED;
    }
    unlink(temporary); // left by a process with the same number that was killed
    status = pack_into(temporary, path, files, work);
    if (status == EXIT_DONE) {
        if (old && chmod(temporary, old->st_mode & 07777))
            rc = -errno;
        if (!rc && rename(temporary, path))
            rc = -errno;
        if (!rc)
            rc = sync_directory_of(path);
        if (rc)
            log_error("%s: cannot put the new volume in its place: %s", path, strerror(-rc));
        status = rc ? EXIT_FAILED : EXIT_DONE;
    }
    if (status != EXIT_DONE)
        unlink(temporary);
    free(temporary);
    return status;
}

/* Whether what is there may go. The medium stays open, and so locked, until that is done. */
static int pack_may_replace(const char *path, struct diskmap_medium **old)
{
    char why[256];

    if (diskmap_medium_open(old, path, true, false, why, sizeof(why))) {
        log_error("%s", why);
        return EXIT_FAILED;
    }
    if (diskmap_medium_holds(*old) != DISKMAP_HOLDS_OTHER)
        return EXIT_DONE;
    log_error("%s holds something that is no volume: remove it, or erase it with wipefs(8)", path);
    diskmap_medium_close(*old);
    return EXIT_FAILED;
}

static int pack_files(const char *path, const struct volume_files *files, struct volume_work *work)
{
    struct diskmap_medium *old;
    struct stat st;
    int status;

    if (stat(path, &st))
        return pack_file(path, NULL, files, work);
    status = pack_may_replace(path, &old);
    if (status != EXIT_DONE)
        return status;
    if (S_ISREG(st.st_mode)) {
        status = pack_file(path, &st, files, work);
        diskmap_medium_close(old);
        return status;
    }
    diskmap_medium_close(old);
    return pack_into(path, path, files, work);
}

int volume_pack(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "pack VOLUME DIR",
        .text =
            "Makes a volume of all regular files below DIR. VOLUME is a file or a block device.\n"
            "A file that is there already must be a volume, which is replaced when the new one\n"
            "is whole. A block device is overwritten at once; it must not be mounted.\n",
        .least = 2,
        .most = 2,
    };
    struct volume_files files = {0};
    struct volume_work work;
    struct volume_args args;
    struct stat st;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    if (!stat(args.operands[0], &st)) {
        files.not_dev = st.st_dev;
        files.not_ino = st.st_ino;
    }
    if (!stat(args.operands[1], &st) && !S_ISDIR(st.st_mode)) {
        log_error("%s is no directory: use 'atlas add' for single files", args.operands[1]);
        return EXIT_FAILED;
    }
    status = volume_files_add(&files, args.operands[1]);
    if (status == EXIT_DONE)
        status = volume_files_sort(&files);
    // A signal must find nothing half done: from before the first file is made to the last rename.
    volume_work_begin(&work, files.bytes);
    if (status == EXIT_DONE)
        status = pack_files(args.operands[0], &files, &work);
    volume_work_end(&work);
    if (status == EXIT_DONE)
        status = say_what_was_done("packed", &files, args.operands[0]);
    volume_files_free(&files);
    return status;
}

/* --- add -------------------------------------------------------------------------------------- */

int volume_add(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "add VOLUME DIR|FILE...",
        .text =
            "Adds files to a volume: those below a directory under their paths in it, a single\n"
            "file as /NAME. An object that has the same path is replaced. All become visible\n"
            "together, to servers that are started afterwards.\n",
        .least = 2,
        .most = -1,
    };
    struct volume_files files = {0};
    struct volume_work work;
    struct volume_args args;
    struct volume volume;
    struct stat st;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volume_open(&volume, args.operands[0], true);
    if (status != EXIT_DONE)
        return status;
    if (!stat(args.operands[0], &st)) {
        files.not_dev = st.st_dev;
        files.not_ino = st.st_ino;
    }
    for (int i = 1; status == EXIT_DONE && i < args.count; i++)
        status = volume_files_add(&files, args.operands[i]);
    if (status == EXIT_DONE)
        status = volume_files_sort(&files);
    volume_work_begin(&work, files.bytes);
    if (status == EXIT_DONE)
        status = add_files(&volume, &files, &work);
    volume_work_end(&work);
    volume_close(&volume);
    if (status == EXIT_DONE)
        status = say_what_was_done("added", &files, args.operands[0]);
    volume_files_free(&files);
    return status;
}

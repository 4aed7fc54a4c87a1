// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_pack.c - atlas pack and atlas add: files become objects.
 *
 * A volume in a file is packed beside it and put in its place when it is whole, so that the old one
 * stays until the new one stands, and servers that have the old one open keep it. On a disk there
 * is only one place: the old volume is gone from the beginning.
 *
 * Several volumes get the files one by one, in the order of their paths, each on the volume that
 * has got the fewest bytes so far. So the disks fill evenly, and what is read one after the other,
 * the segments of a film, comes from all of them.
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

/* The volume that has the object already, or else of those that are not `full` the one with the
 * fewest bytes; NULL: all are full. */
static struct volume *choose(struct volumes *set, const char *path, const bool *full)
{
    struct volume *best = NULL;
    struct diskmap_entry entry;

    for (uint32_t i = 0; i < set->count; i++) {
        struct volume *v = &set->v[i];

        if (diskmap_volume_find(v->diskmap, path, &entry))
            return full[i] ? NULL : v;
        if (!full[i] && (!best || v->bytes < best->bytes))
            best = v;
    }
    return best;
}

/* Where there is room. */
static int add_somewhere(struct volumes *set, const struct volume_file *file,
                         struct volume_work *work, struct volume **where)
{
    bool full[VOLUMES_OF_SET_MAX] = {false};
    struct volume *volume;
    int rc = -ENOSPC;

    while (rc == -ENOSPC && (volume = choose(set, file->path, full)) != NULL) {
        *where = volume;
        rc = add_file(volume, file, work);
        full[volume - set->v] = rc == -ENOSPC;
        if (!rc)
            volume->bytes += file->bytes;
    }
    return rc;
}

static int add_files(struct volumes *set, const struct volume_files *files,
                     struct volume_work *work)
{
    struct volume *where = &set->v[0];
    const char *what = NULL;
    int rc = 0;

    for (size_t i = 0; !rc && i < files->count; i++) {
        what = files->v[i].source;
        rc = add_somewhere(set, &files->v[i], work, &where);
        if (!rc)
            rc = volume_work_add(work, 0);
    }
    volume_work_clear(work);
    if (!rc)
        return volumes_commit(set);
    volume_complain(where, what, rc);
    return EXIT_FAILED;
}

static int say_what_was_done(const char *verb, const struct volume_files *files,
                             const struct volume_args *args)
{
    char bytes[16];

    printf("%s %zu objects, %s, into %s", verb, files->count, volume_bytes(files->bytes, bytes),
           args->volumes[0]);
    for (uint32_t i = 1; i < args->volume_count; i++)
        printf("%s%s", i + 1 < args->volume_count ? ", " : " and ", args->volumes[i]);
    printf("\n");
    return volume_flush_output();
}

/* None of the volumes is packed into itself. */
static void leave_out_volumes(struct volume_files *files, const struct volume_args *args)
{
    struct stat st;

    for (uint32_t i = 0; i < args->volume_count; i++)
        if (!diskmap_spec_is_disk(args->volumes[i]) && !stat(args->volumes[i], &st))
            volume_files_not(files, &st);
}

/* --- pack ------------------------------------------------------------------------------------- */

/* Where a volume is made: in its place, or in a file beside it. */
struct target {
    const char *path;
    char *temporary;            /* NULL: in its place */
    mode_t mode;                /* of the file that it replaces; 0: there is none */
    struct diskmap_medium *old; /* what is replaced stays open, and so locked, to the end */
};

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

/* Whether what is there may go. */
static int may_replace(struct diskmap_medium *old, const char *path)
{
    if (diskmap_medium_holds(old) != DISKMAP_HOLDS_OTHER)
        return EXIT_DONE;
    log_error("%s holds something that is no volume: remove it, or erase it with wipefs(8)", path);
    return EXIT_FAILED;
}

static int medium_open(struct volumes *set, const char *path, bool create,
                       struct diskmap_medium **medium)
{
    char why[256];

    if (!diskmap_medium_open(medium, set->disks, path, true, create, why, sizeof(why)))
        return EXIT_DONE;
    log_error("%s", why);
    return EXIT_FAILED;
}

/* A disk or a block device: the medium that is looked at is the one that is written to. */
static int target_disk(struct volumes *set, struct target *t, struct diskmap_medium **medium)
{
    int status = medium_open(set, t->path, diskmap_spec_is_disk(t->path), medium);

    return status == EXIT_DONE ? may_replace(*medium, t->path) : status;
}

static int target_file(struct volumes *set, struct target *t, struct diskmap_medium **medium)
{
    if (asprintf(&t->temporary, "%s.new-%ld", t->path, (long)getpid()) < 0) {
        t->temporary = NULL;
        log_error("%s: not enough memory", t->path);
        return EXIT_FAILED;
    }
    unlink(t->temporary); // left by a process with the same number that was killed
    return medium_open(set, t->temporary, true, medium);
}

static int target_open(struct volumes *set, struct target *t, struct volume *volume)
{
    struct stat st;
    int status;

    if (diskmap_spec_is_disk(t->path))
        return target_disk(set, t, &volume->medium);
    if (stat(t->path, &st))
        return target_file(set, t, &volume->medium);
    if (!S_ISREG(st.st_mode))
        return target_disk(set, t, &volume->medium);
    t->mode = st.st_mode & 07777;
    status = medium_open(set, t->path, false, &t->old);
    if (status == EXIT_DONE)
        status = may_replace(t->old, t->path);
    return status == EXIT_DONE ? target_file(set, t, &volume->medium) : status;
}

static int target_begin(struct volumes *set, struct target *t, const char *path)
{
    struct volume *volume = &set->v[set->count++];
    char why[256];
    int status;

    t->path = volume->path = path;
    status = target_open(set, t, volume);
    if (status == EXIT_DONE &&
        diskmap_volume_create(&volume->diskmap, volume->medium, why, sizeof(why))) {
        log_error("%s: %s", path, why);
        status = EXIT_FAILED;
    }
    return status;
}

/* The new volume takes the place of the old one. */
static int target_install(struct target *t)
{
    int rc = 0;

    if (!t->temporary)
        return EXIT_DONE;
    if (t->mode && chmod(t->temporary, t->mode))
        rc = -errno;
    if (!rc && rename(t->temporary, t->path))
        rc = -errno;
    if (rc) {
        log_error("%s: cannot put the new volume in its place: %s", t->path, strerror(-rc));
        return EXIT_FAILED;
    }
    free(t->temporary);
    t->temporary = NULL;
    rc = sync_directory_of(t->path);
    if (rc)
        log_error("%s: its directory may not be on the disk: %s", t->path, strerror(-rc));
    return rc ? EXIT_FAILED : EXIT_DONE;
}

static void target_end(struct target *t)
{
    if (t->temporary)
        unlink(t->temporary);
    free(t->temporary);
    if (t->old)
        diskmap_medium_close(t->old);
}

static int pack_files(const struct volume_args *args, const struct volume_files *files,
                      struct volume_work *work)
{
    struct target targets[VOLUMES_OF_SET_MAX] = {{0}};
    struct volumes set;
    int status = volumes_begin(&set);

    for (uint32_t i = 0; status == EXIT_DONE && i < args->volume_count; i++)
        status = target_begin(&set, &targets[i], args->volumes[i]);
    if (status == EXIT_DONE)
        status = add_files(&set, files, work);
    for (uint32_t i = 0; status == EXIT_DONE && i < args->volume_count; i++)
        status = target_install(&targets[i]);
    for (uint32_t i = 0; i < args->volume_count; i++)
        target_end(&targets[i]);
    volumes_close(&set);
    return status;
}

static int files_below(struct volume_files *files, const char *dir)
{
    struct stat st;
    int status;

    if (!stat(dir, &st) && !S_ISDIR(st.st_mode)) {
        log_error("%s is no directory: use 'atlas add' for single files", dir);
        return EXIT_FAILED;
    }
    status = volume_files_add(files, dir);
    return status == EXIT_DONE ? volume_files_sort(files) : status;
}

int volume_pack(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "pack VOLUME... DIR",
        .text =
            "Makes a volume of all regular files below DIR. A file that is there already must be\n"
            "a volume, which is replaced when the new one is whole. A disk or block device is\n"
            "overwritten at once; it must not be mounted, nor hold anything but a volume.\n",
        .behind = 1,
    };
    struct volume_files files = {0};
    struct volume_work work;
    struct volume_args args;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    leave_out_volumes(&files, &args);
    status = files_below(&files, args.operands[0]);
    // A signal must find nothing half done: from before the first file is made to the last rename.
    volume_work_begin(&work, files.bytes);
    if (status == EXIT_DONE)
        status = pack_files(&args, &files, &work);
    volume_work_end(&work);
    if (status == EXIT_DONE)
        status = say_what_was_done("packed", &files, &args);
    volume_files_free(&files);
    return status;
}

/* --- add -------------------------------------------------------------------------------------- */

/* New objects even out what the volumes have by now. */
static void count_bytes(struct volumes *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct volume *v = &set->v[i];
        struct diskmap_entry entry;

        for (uint64_t n = 0; diskmap_volume_entry(v->diskmap, n, &entry); n++)
            v->bytes += entry.bytes;
    }
}

int volume_add(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "add VOLUME DIR|FILE...",
        .text =
            "Adds files to a volume: those below a directory under their paths in it, a single\n"
            "file as /NAME. An object that has the same path is replaced. All become visible\n"
            "together, to servers that are started afterwards.\n",
        .behind = -1,
    };
    struct volume_files files = {0};
    struct volume_work work;
    struct volume_args args;
    struct volumes set;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volumes_open(&set, &args, true);
    leave_out_volumes(&files, &args);
    for (int i = 0; status == EXIT_DONE && i < args.count; i++)
        status = volume_files_add(&files, args.operands[i]);
    if (status == EXIT_DONE)
        status = volume_files_sort(&files);
    volume_work_begin(&work, files.bytes);
    if (status == EXIT_DONE) {
        count_bytes(&set);
        status = add_files(&set, &files, &work);
    }
    volume_work_end(&work);
    volumes_close(&set);
    if (status == EXIT_DONE)
        status = say_what_was_done("added", &files, &args);
    volume_files_free(&files);
    return status;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_files.c - which files are packed, and what they are called in the volume.
 */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "volume_priv.h"

static int no_memory(void)
{
    log_error("not enough memory for the list of files");
    return EXIT_FAILED;
}

void volume_files_free(struct volume_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->v[i].source);
        free(files->v[i].path_own);
    }
    free(files->v);
    *files = (struct volume_files){0};
}

void volume_files_not(struct volume_files *files, const struct stat *st)
{
    uint32_t i = files->excluded_count++;

    assert(i < VOLUMES_OF_SET_MAX);
    files->excluded[i].dev = st->st_dev;
    files->excluded[i].ino = st->st_ino;
}

static struct volume_file *files_next(struct volume_files *files)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 64;
        struct volume_file *v = realloc(files->v, capacity * sizeof(*v));

        if (!v)
            return NULL;
        files->v = v;
        files->capacity = capacity;
    }
    files->v[files->count] = (struct volume_file){0};
    return &files->v[files->count];
}

static void leave_out(struct volume_files *files, const char *name)
{
    if (!files->left_out++)
        snprintf(files->first_left_out, sizeof(files->first_left_out), "%.255s", name);
}

/* The object's path begins at `base` of the source's. */
static int files_take(struct volume_files *files, const char *source, size_t base,
                      const struct stat *st)
{
    struct volume_file *file;

    for (uint32_t i = 0; i < files->excluded_count; i++)
        if (st->st_dev == files->excluded[i].dev && st->st_ino == files->excluded[i].ino)
            return EXIT_DONE;
    file = files_next(files);
    if (!file || !(file->source = strdup(source)))
        return no_memory();
    file->path = file->source + base;
    file->bytes = (uint64_t)st->st_size;
    files->bytes += file->bytes;
    files->count++;
    return EXIT_DONE;
}

static int take_entry(struct volume_files *files, const FTSENT *entry, size_t base)
{
    switch (entry->fts_info) {
    case FTS_F:
        return files_take(files, entry->fts_path, base, entry->fts_statp);
    case FTS_SL:
    case FTS_SLNONE:
    case FTS_DEFAULT:
        leave_out(files, entry->fts_path);
        return EXIT_DONE;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        log_error("%s: %s", entry->fts_path, strerror(entry->fts_errno));
        return EXIT_FAILED;
    default: // directories, on the way down and up
        return EXIT_DONE;
    }
}

static int take_tree(struct volume_files *files, const char *dir)
{
    size_t base = strlen(dir);
    char *roots[2] = {NULL, NULL};
    int status = EXIT_DONE;
    FTSENT *entry;
    FTS *tree;

    while (base > 1 && dir[base - 1] == '/')
        base--;
    roots[0] = strndup(dir, base);
    if (!roots[0])
        return no_memory();
    if (base == 1 && dir[0] == '/')
        base = 0; // below "/" the paths begin with it
    tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL);
    if (!tree)
        status = no_memory();
    errno = 0;
    while (status == EXIT_DONE && (entry = fts_read(tree)))
        status = take_entry(files, entry, base);
    if (status == EXIT_DONE && errno) {
        log_error("%s: %s", dir, strerror(errno));
        status = EXIT_FAILED;
    }
    if (tree)
        fts_close(tree);
    free(roots[0]);
    return status;
}

static int take_file(struct volume_files *files, const char *name, const struct stat *st)
{
    const char *slash = strrchr(name, '/');
    size_t before = files->count;
    struct volume_file *file;

    if (files_take(files, name, 0, st) != EXIT_DONE)
        return EXIT_FAILED;
    if (files->count == before)
        return EXIT_DONE;
    file = &files->v[before];
    if (asprintf(&file->path_own, "/%s", slash ? slash + 1 : name) < 0) {
        file->path_own = NULL;
        return no_memory();
    }
    file->path = file->path_own;
    return EXIT_DONE;
}

int volume_files_add(struct volume_files *files, const char *name)
{
    struct stat st;

    if (stat(name, &st)) {
        log_error("%s: %s: name a directory or a file", name, strerror(errno));
        return EXIT_FAILED;
    }
    if (S_ISDIR(st.st_mode))
        return take_tree(files, name);
    if (S_ISREG(st.st_mode))
        return take_file(files, name, &st);
    log_error("%s is neither a file nor a directory", name);
    return EXIT_FAILED;
}

static int file_compare(const void *a, const void *b)
{
    const struct volume_file *x = a, *y = b;

    return strcmp(x->path, y->path);
}

int volume_files_sort(struct volume_files *files)
{
    // In the order of their paths, so that files of one directory lie side by side on the disk.
    if (files->count)
        qsort(files->v, files->count, sizeof(*files->v), file_compare);
    for (size_t i = 1; i < files->count; i++) {
        if (!strcmp(files->v[i - 1].path, files->v[i].path)) {
            log_error("%s and %s would both be %s: add one of them", files->v[i - 1].source,
                      files->v[i].source, files->v[i].path);
            return EXIT_FAILED;
        }
    }
    if (files->left_out)
        log_warn("left out %llu symbolic links and special files, such as %s",
                 (unsigned long long)files->left_out, files->first_left_out);
    return EXIT_DONE;
}

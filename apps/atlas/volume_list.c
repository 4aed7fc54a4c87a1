// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_list.c - atlas ls, atlas rm and atlas verify: what goes through the list of objects.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "volume.h"
#include "volume_priv.h"

#define PRINTABLE_BYTES (4 * DISKMAP_PATH_MAX + 8)

/* --- ls --------------------------------------------------------------------------------------- */

static void print_entry(const struct diskmap_entry *entry, bool details)
{
    char path[PRINTABLE_BYTES], date[32] = "-";
    time_t mtime = (time_t)entry->mtime_s;
    struct tm tm;

    volume_printable(entry->path, path, sizeof(path));
    if (!details) {
        puts(path);
        return;
    }
    if (gmtime_r(&mtime, &tm))
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf("%15llu  %-20s  %s\n", (unsigned long long)entry->bytes, date, path);
}

int volume_ls(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "ls [-l] VOLUME",
        .text = "Lists the objects, sorted by path. With -l: size in bytes, time of last change\n"
                "(UTC), path. Control characters and backslashes are printed as \\ooo.\n",
        .least = 1,
        .most = 1,
        .flags = "l",
    };
    struct diskmap_entry entry;
    struct volume_args args;
    struct volume volume;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volume_open(&volume, args.operands[0], false);
    if (status != EXIT_DONE)
        return status;
    for (uint64_t i = 0; diskmap_volume_entry(volume.diskmap, i, &entry); i++)
        print_entry(&entry, args.flag);
    volume_close(&volume);
    return volume_flush_output();
}

/* --- rm --------------------------------------------------------------------------------------- */

struct names {
    char **v;
    size_t count, capacity;
};

static int names_push(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 64;
        char **v = realloc(names->v, capacity * sizeof(*v));

        if (!v)
            return -ENOMEM;
        names->v = v;
        names->capacity = capacity;
    }
    names->v[names->count] = strdup(name);
    return names->v[names->count] ? (names->count++, 0) : -ENOMEM;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->v[i]);
    free(names->v);
}

/* All objects that the argument means: one, or with '/' at the end all below it. */
static int names_meant(struct volume *volume, const char *arg, struct names *names)
{
    size_t len = strlen(arg), before = names->count;
    bool below = len && arg[len - 1] == '/';
    struct diskmap_entry entry;
    int rc = 0;

    for (uint64_t i = 0; !rc && diskmap_volume_entry(volume->diskmap, i, &entry); i++) {
        if (below ? !strncmp(entry.path, arg, len) : !strcmp(entry.path, arg))
            rc = names_push(names, entry.path);
    }
    return !rc && names->count == before ? -ENOENT : rc;
}

static int rm_all(struct volume *volume, const struct volume_args *args, struct names *names)
{
    // All of them are looked up before the first is removed: all or nothing.
    for (int i = 1; i < args->count; i++) {
        int rc = names_meant(volume, args->operands[i], names);

        if (rc) {
            log_error("%s: %s: %s; nothing was removed", volume->path, args->operands[i],
                      rc == -ENOENT ? "no such object: see 'atlas ls'" : strerror(-rc));
            return EXIT_FAILED;
        }
    }
    for (size_t i = 0; i < names->count; i++) {
        int rc = diskmap_volume_remove(volume->diskmap, names->v[i]);

        // Named twice is removed once.
        if (rc && rc != -ENOENT) {
            volume_complain(volume, names->v[i], rc);
            return EXIT_FAILED;
        }
    }
    return volume_commit(volume);
}

int volume_rm(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "rm VOLUME PATH...",
        .text =
            "Removes objects, or with a PATH that ends with / all objects below it. All of them\n"
            "or, if one does not exist, none. Their space is used again when no server has the\n"
            "volume open.\n",
        .least = 2,
        .most = -1,
    };
    struct names names = {0};
    struct volume_args args;
    struct volume volume;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volume_open(&volume, args.operands[0], true);
    if (status != EXIT_DONE)
        return status;
    status = rm_all(&volume, &args, &names);
    names_free(&names);
    volume_close(&volume);
    return status;
}

/* --- verify ----------------------------------------------------------------------------------- */

static int verify_sink(void *arg, const void *data, size_t bytes)
{
    return volume_work_add(arg, bytes);
}

struct verified {
    uint64_t objects, bytes, bad;
};

static int verify_all(struct volume *volume, struct verified *v)
{
    char path[PRINTABLE_BYTES];
    struct diskmap_entry entry;
    struct volume_work work;
    int rc = 0;

    for (uint64_t i = 0; diskmap_volume_entry(volume->diskmap, i, &entry); i++)
        v->bytes += entry.bytes;
    volume_work_begin(&work, v->bytes);
    for (; rc != -EINTR && diskmap_volume_entry(volume->diskmap, v->objects, &entry);
         v->objects++) {
        rc = diskmap_volume_verify(volume->diskmap, &entry, verify_sink, &work);
        if (!rc || rc == -EINTR)
            continue;
        v->bad++;
        volume_work_clear(&work);
        log_error("%s: %s: %s", volume->path, volume_printable(entry.path, path, sizeof(path)),
                  rc == -EBADMSG ? "its bytes are not what was packed: add it again"
                                 : strerror(-rc));
    }
    volume_work_end(&work);
    return rc == -EINTR ? rc : 0;
}

int volume_verify(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "verify VOLUME",
        .text =
            "Reads everything and compares it with its checksums. Each damaged object is named.\n"
            "Exits with 1 if anything is damaged.\n",
        .least = 1,
        .most = 1,
    };
    struct verified v = {0};
    struct volume_args args;
    struct volume volume;
    char bytes[16];
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volume_open(&volume, args.operands[0], false);
    if (status != EXIT_DONE)
        return status;
    if (verify_all(&volume, &v)) {
        log_error("%s: interrupted", volume.path);
        status = EXIT_FAILED;
    } else {
        printf("%llu objects, %s: %llu damaged\n", (unsigned long long)v.objects,
               volume_bytes(v.bytes, bytes), (unsigned long long)v.bad);
        status = volume_flush_output();
    }
    if (v.bad || volume.rolled_back)
        status = EXIT_FAILED;
    volume_close(&volume);
    return status;
}

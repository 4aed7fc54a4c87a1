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
        .synopsis = "ls [-l] VOLUME...",
        .text = "Lists the objects, sorted by path. With -l: size in bytes, time of last change\n"
                "(UTC), path. Control characters and backslashes are printed as \\ooo.\n",
        .behind = 0,
        .flags = "l",
    };
    struct diskmap_entry entry;
    struct volumes_walk walk;
    struct volume_args args;
    struct volumes set;
    struct volume *volume;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volumes_open(&set, &args, false);
    walk = (struct volumes_walk){.set = &set};
    while (status == EXIT_DONE && volumes_next(&walk, &entry, &volume))
        print_entry(&entry, args.flag);
    volumes_close(&set);
    return status == EXIT_DONE ? volume_flush_output() : status;
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
static int names_meant(struct volumes *set, const char *arg, struct names *names)
{
    size_t len = strlen(arg), before = names->count;
    bool below = len && arg[len - 1] == '/';
    struct volumes_walk walk = {.set = set};
    struct diskmap_entry entry;
    struct volume *volume;
    int rc = 0;

    while (!rc && volumes_next(&walk, &entry, &volume)) {
        if (below ? !strncmp(entry.path, arg, len) : !strcmp(entry.path, arg))
            rc = names_push(names, entry.path);
    }
    return !rc && names->count == before ? -ENOENT : rc;
}

/* From every volume that has it: what one of them hid from view is not to come to light. */
static int rm_name(struct volumes *set, const char *name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        int rc = diskmap_volume_remove(set->v[i].diskmap, name);

        // Named twice is removed once.
        if (rc && rc != -ENOENT) {
            volume_complain(&set->v[i], name, rc);
            return EXIT_FAILED;
        }
    }
    return EXIT_DONE;
}

static int rm_all(struct volumes *set, const struct volume_args *args, struct names *names)
{
    int status = EXIT_DONE;

    // All of them are looked up before the first is removed: all or nothing.
    for (int i = 0; i < args->count; i++) {
        int rc = names_meant(set, args->operands[i], names);

        if (rc) {
            log_error("%s: %s: %s; nothing was removed", args->volumes[0], args->operands[i],
                      rc == -ENOENT ? "no such object: see 'atlas ls'" : strerror(-rc));
            return EXIT_FAILED;
        }
    }
    for (size_t i = 0; status == EXIT_DONE && i < names->count; i++)
        status = rm_name(set, names->v[i]);
    return status == EXIT_DONE ? volumes_commit(set) : status;
}

int volume_rm(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "rm VOLUME PATH...",
        .text =
            "Removes objects, or with a PATH that ends with / all objects below it. All of them\n"
            "or, if one does not exist, none. Their space is used again when no server has the\n"
            "volume open.\n",
        .behind = -1,
    };
    struct names names = {0};
    struct volume_args args;
    struct volumes set;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volumes_open(&set, &args, true);
    if (status == EXIT_DONE)
        status = rm_all(&set, &args, &names);
    names_free(&names);
    volumes_close(&set);
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

static int verify_one(struct volume *volume, struct verified *v, struct volume_work *work)
{
    char path[PRINTABLE_BYTES];
    struct diskmap_entry entry;

    for (uint64_t i = 0; diskmap_volume_entry(volume->diskmap, i, &entry); i++) {
        int rc = diskmap_volume_verify(volume->diskmap, &entry, verify_sink, work);

        if (rc == -EINTR)
            return rc;
        v->objects++;
        if (!rc)
            continue;
        v->bad++;
        volume_work_clear(work);
        log_error("%s: %s: %s", volume->path, volume_printable(entry.path, path, sizeof(path)),
                  rc == -EBADMSG ? "its bytes are not what was packed: add it again"
                                 : strerror(-rc));
    }
    return 0;
}

/* Also what another volume hides: it lies there. */
static int verify_all(struct volumes *set, struct verified *v)
{
    struct diskmap_entry entry;
    struct volume_work work;
    int rc = 0;

    for (uint32_t i = 0; i < set->count; i++)
        for (uint64_t n = 0; diskmap_volume_entry(set->v[i].diskmap, n, &entry); n++)
            v->bytes += entry.bytes;
    volume_work_begin(&work, v->bytes);
    for (uint32_t i = 0; !rc && i < set->count; i++)
        rc = verify_one(&set->v[i], v, &work);
    volume_work_end(&work);
    return rc;
}

static int verify_say(struct volumes *set, struct verified *v)
{
    bool rolled_back = false;
    char bytes[16];
    int status;

    if (verify_all(set, v)) {
        log_error("%s: interrupted", set->v[0].path);
        return EXIT_FAILED;
    }
    printf("%llu objects, %s: %llu damaged\n", (unsigned long long)v->objects,
           volume_bytes(v->bytes, bytes), (unsigned long long)v->bad);
    status = volume_flush_output();
    for (uint32_t i = 0; i < set->count; i++)
        rolled_back |= set->v[i].rolled_back;
    return v->bad || rolled_back ? EXIT_FAILED : status;
}

int volume_verify(int argc, char **argv)
{
    static const struct volume_usage usage = {
        .synopsis = "verify VOLUME...",
        .text =
            "Reads everything and compares it with its checksums. Each damaged object is named.\n"
            "Exits with 1 if anything is damaged.\n",
        .behind = 0,
    };
    struct verified v = {0};
    struct volume_args args;
    struct volumes set;
    int status;

    if (!volume_parse(&usage, argc, argv, &args, &status))
        return status;
    status = volumes_open(&set, &args, false);
    if (status == EXIT_DONE)
        status = verify_say(&set, &v);
    volumes_close(&set);
    return status;
}

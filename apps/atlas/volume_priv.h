// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume_priv.h - what the volume commands share: the volume, arguments, progress, files to pack.
 */
#ifndef ATLAS_VOLUME_PRIV_H
#define ATLAS_VOLUME_PRIV_H

#include <stdio.h>

#include "base/log.h"
#include "diskmap/diskmap.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* --- arguments -------------------------------------------------------------------------------- */

#define VOLUMES_OF_SET_MAX 64

struct volume_usage {
    const char *synopsis; /* "pack VOLUME... DIR" */
    const char *text;     /* what --help says below it */
    /* Operands behind the volumes. -1: one or more, so that only --volume can name several. */
    int behind;
    const char *flags; /* letters of options without value, or NULL */
};

struct volume_args {
    char *volumes[VOLUMES_OF_SET_MAX]; /* named by --volume, or the first operands */
    uint32_t volume_count;
    char **operands; /* behind them */
    int count;
    bool flag; /* one of the flags was given */
};

/* True: go on. False: exit with *status, everything has been said. */
bool volume_parse(const struct volume_usage *usage, int argc, char **argv, struct volume_args *args,
                  int *status);

/* --- volumes ---------------------------------------------------------------------------------- */

/* One, or several disks that hold the objects of one server between them: each object lies wholly
 * on one of them, and each is a volume that could be served by itself. */
struct volume {
    const char *path; /* for what is said to the user */
    struct diskmap_medium *medium;
    struct diskmap_volume *diskmap;
    bool rolled_back; /* the newest catalogue is lost: the one before it stands */
    uint64_t bytes;   /* of objects, as far as volume_choose was told */
};

struct volumes {
    struct diskmap_disks *disks;
    struct volume v[VOLUMES_OF_SET_MAX];
    uint32_t count;
};

/* EXIT_DONE or EXIT_FAILED: it has been said. In both cases the set is to be closed. */
int volumes_begin(struct volumes *set);
int volumes_open(struct volumes *set, const struct volume_args *args, bool writable);
int volumes_commit(struct volumes *set);
void volumes_close(struct volumes *set);

/* All objects in the order of their paths. What several volumes hold is shown once, as the server
 * shows it: that of the volume named first. */
struct volumes_walk {
    struct volumes *set;
    uint64_t at[VOLUMES_OF_SET_MAX];
};
bool volumes_next(struct volumes_walk *walk, struct diskmap_entry *entry, struct volume **volume);

/* Says what went wrong with a file or an object, and what to do. */
void volume_complain(const struct volume *volume, const char *what, int rc);
/* A printable form of a path: control characters and backslashes in octal. */
const char *volume_printable(const char *path, char *buf, size_t bytes);
/* What has been printed has arrived; EXIT_DONE or EXIT_FAILED. */
int volume_flush_output(void);

/* --- long work -------------------------------------------------------------------------------- */

/* Shows on a terminal how far it is. While it goes on, SIGINT, SIGTERM and SIGHUP wait until they
 * are asked for, so that what was begun can be taken back. */
struct volume_work {
    uint64_t total_bytes, done_bytes;
    uint64_t started_ns, shown_ns;
    int signals;  /* signalfd, or -1 */
    int terminal; /* width of the line shown, 0: no terminal */
};

void volume_work_begin(struct volume_work *work, uint64_t total_bytes);
must_check int volume_work_add(struct volume_work *work, uint64_t bytes); /* -EINTR: stop */
void volume_work_clear(struct volume_work *work); /* before anything else is said */
void volume_work_end(struct volume_work *work);
/* "12.3 GB" */
const char *volume_bytes(uint64_t bytes, char buf[16]);

/* --- files to pack ---------------------------------------------------------------------------- */

struct volume_file {
    char *source;     /* where it lies */
    const char *path; /* what it is called in the volume; maybe a part of source */
    char *path_own;   /* or this */
    uint64_t bytes;
};

struct volume_files {
    struct volume_file *v;
    size_t count, capacity;
    uint64_t bytes;
    uint64_t left_out; /* neither files nor directories */
    char first_left_out[256];
    /* Files that are not to be packed: the volumes themselves. */
    struct {
        uint64_t dev, ino;
    } excluded[VOLUMES_OF_SET_MAX];
    uint32_t excluded_count;
};

struct stat;
void volume_files_not(struct volume_files *files, const struct stat *st);

/* A directory's files below it, or one file. 0, or EXIT_FAILED: it has been said. */
int volume_files_add(struct volume_files *files, const char *name);
/* Orders them by path. 0, or EXIT_FAILED when two of them would have the same. */
int volume_files_sort(struct volume_files *files);
void volume_files_free(struct volume_files *files);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * volume.h - the commands that make, change and look at volumes: atlas pack, add, rm, ls, verify,
 * export.
 *
 * Each is given the arguments from its own name on and returns the exit status: 0; 1 when it could
 * not be done, with one line that says what to do; 2 for wrong usage, with one line as well.
 */
#ifndef ATLAS_VOLUME_H
#define ATLAS_VOLUME_H

struct volume_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

extern const struct volume_command volume_commands[]; /* ends with a name that is NULL */

int volume_pack(int argc, char **argv);
int volume_add(int argc, char **argv);
int volume_rm(int argc, char **argv);
int volume_ls(int argc, char **argv);
int volume_verify(int argc, char **argv);
int volume_export(int argc, char **argv);

#endif

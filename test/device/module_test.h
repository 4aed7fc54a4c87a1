// SPDX-License-Identifier: BSD-2-Clause
/*
 * module_test.h - what the cases of module_test.c and module_misuse.c share.
 *
 * A case gets the devices that it was given, and reports what holds and what does not; it ends the
 * program where nothing else could be tried. It leaves the disk in a state in which the next one
 * can use it.
 */
#ifndef DEVICE_MODULE_TEST_H
#define DEVICE_MODULE_TEST_H

#include "raw.h"

#define BUFFERS     256u
#define REGISTER_CC 0x14

extern int failures;

/* One line of the result. Returns `good`. */
bool report(bool good, const char *fmt, ...) printf_like(2, 3);
void open_or_exit(struct raw *raw, const char *path, uint32_t buffers);
/* One command, asleep. Its status, or -1: it did not end. */
int run_one(struct raw *raw, uint8_t opcode, uint64_t lba, uint64_t bus, uint32_t bytes);
/* A queue pair that has just been attached, or that has been through something, does all this. */
bool exercise(struct raw *raw, const char *path, const char *name);
/* Its registers, behind the module's back; NULL: they cannot be had. */
volatile uint32_t *registers(const struct raw *raw);

void case_refused(char **paths, int count);
void case_fuzz(char **paths, int count);
void case_pinned(char **paths, int count);
void case_renewed(char **paths, int count);
void case_watched(char **paths, int count);
void case_held(char **paths, int count);
void case_rawio(char **paths, int count);

#endif

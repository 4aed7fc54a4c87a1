// SPDX-License-Identifier: BSD-2-Clause
/*
 * qemu.h - a QEMU without a guest, whose devices are driven from outside.
 *
 * Its memory is a file that we share (memory_fd), its qtest socket does what a processor would do,
 * its monitor (QMP) is asked for misfortunes, and its trace, a file as well, says what the
 * controller was told. It dies with us.
 */
#ifndef QTEST_QEMU_H
#define QTEST_QEMU_H

#include <sys/types.h>

#include "base/base.h"

#define QEMU_PROGRAM      "qemu-system-x86_64"
#define QEMU_MEMORY_BYTES (128ull << 20)
#define QEMU_ARGS_MAX     128

struct qemu {
    pid_t pid;
    int memory_fd, qtest_fd, monitor_fd, trace_fd;
    off_t trace_read; /* so far */
    char *args[QEMU_ARGS_MAX];
    uint32_t arg_count;
};

/* NULL: it is installed. */
const char *qemu_lacks(void);
/* Options are added before it starts. */
void qemu_option(struct qemu *qemu, const char *name, const char *fmt, ...) printf_like(3, 4);
/* False: it did not start, or does not answer. It has said why on standard error. */
must_check bool qemu_start(struct qemu *qemu, const char *machine);
/* Through the monitor, one line of JSON. False: it was refused. */
must_check bool qemu_ask(struct qemu *qemu, const char *fmt, ...) printf_like(2, 3);
/* One of the commands for people that have no counterpart in QMP. */
must_check bool qemu_command(struct qemu *qemu, const char *line);
/* The qtest socket, one question; what was answered, or UINT32_MAX. For what the driver's own way
 * in does not do: nobody may be using that at the time. */
uint32_t qemu_question(struct qemu *qemu, const char *fmt, ...) printf_like(2, 3);
/* The next line of the trace, without its newline; false: that was all. */
must_check bool qemu_trace(struct qemu *qemu, char *line, size_t bytes);
/* Ends it in order and waits. False: it did not end well. */
bool qemu_stop(struct qemu *qemu);

#endif

// SPDX-License-Identifier: BSD-2-Clause
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

/* The one thing a program says once, before its threads start. */
static const char *program = "?";

void log_program(const char *name)
{
    program = name;
}

/* What is logged may hold bytes of a peer or a file name: no control character may start a line
 * of its own or move the reader's cursor. */
static void hide_controls(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

/* One write(2) per line, so that lines of several threads do not mix. */
static void write_line(const char *kind, const char *fmt, va_list args)
{
    char line[LOG_LINE_MAX];
    int saved_errno = errno;
    size_t len;

    snprintf(line, sizeof(line), "%s: %s", program, kind);
    len = strlen(line);
    vsnprintf(line + len, sizeof(line) - len, fmt, args);
    hide_controls(line);
    len = min_u64(strlen(line), sizeof(line) - 2);
    line[len++] = '\n';
    /* Nobody is left to be told that standard error is gone. */
    if (write(STDERR_FILENO, line, len) < 0)
        len = 0;
    errno = saved_errno;
}

void log_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line("error: ", fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line("warning: ", fmt, args);
    va_end(args);
}

void log_info(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line("", fmt, args);
    va_end(args);
}

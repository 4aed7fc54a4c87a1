// SPDX-License-Identifier: BSD-2-Clause
/*
 * log.h - one line to standard error: "atlas: warning: ...". For programs; libraries return errors.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

void log_program(const char *name);
void log_error(const char *fmt, ...) printf_like(1, 2);
void log_warn(const char *fmt, ...) printf_like(1, 2);
void log_info(const char *fmt, ...) printf_like(1, 2);

#endif

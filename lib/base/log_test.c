// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What one call writes to standard error. */
static char captured[4096];

static void capture(void (*call)(void))
{
    int fds[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    call();
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    close(fds[1]);
    n = read(fds[0], captured, sizeof(captured) - 1);
    assert_true(n >= 0);
    captured[n] = 0;
    close(fds[0]);
}

static void say_all(void)
{
    log_error("no %s", "disk");
    log_warn("%d left", 3);
    log_info("up");
}

static void say_controls(void)
{
    log_info("a\nb\x1b[2Jc\td");
}

static void say_long(void)
{
    char text[3000];

    memset(text, 'x', sizeof(text));
    text[2999] = 0;
    log_info("%s", text);
}

static void keep_errno(void)
{
    errno = ENOSPC;
    log_info("x");
    assert_int_equal(errno, ENOSPC);
}

static void test_log(void **state)
{
    size_t len;

    log_program("atlas");
    capture(say_all);
    assert_string_equal(captured, "atlas: error: no disk\natlas: warning: 3 left\natlas: up\n");
    capture(say_controls);
    assert_string_equal(captured, "atlas: a?b?[2Jc?d\n");
    capture(say_long);
    len = strlen(captured);
    assert_in_range(len, 1000, 1024);
    assert_int_equal(captured[len - 1], '\n');
    assert_ptr_equal(strchr(captured, '\n'), captured + len - 1);
    capture(keep_errno);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_log)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "serve_test.h"

static int medium_open(struct worker *w, struct diskmap_medium **m, const char *name, bool writable,
                       bool create)
{
    return diskmap_medium_open(m, NULL, worker_path(w, name), writable, create, w->why,
                               sizeof(w->why));
}

static void one_process_writes_and_knows_of_readers(void **state)
{
    struct diskmap_medium *a, *b, *reader;
    struct worker w;

    worker_dir(&w);
    assert_int_equal(medium_open(&w, &a, "v", true, false), -ENOENT);
    assert_int_equal(medium_open(&w, &a, "v", true, true), 0);
    assert_int_equal(medium_open(&w, &b, "v", true, true), -EBUSY);
    assert_non_null(strstr(w.why, "another process"));
    assert_false(a->in_use(a));
    assert_int_equal(medium_open(&w, &reader, "v", false, false), 0);
    assert_true(a->in_use(a));
    diskmap_medium_close(reader);
    assert_false(a->in_use(a));
    diskmap_medium_close(a);
    assert_int_equal(medium_open(&w, &b, "v", true, false), 0);
    diskmap_medium_close(b);
    worker_end(&w);
}

static void what_is_no_medium_is_said(void **state)
{
    struct diskmap_medium *m;
    struct worker w;

    worker_dir(&w);
    assert_int_equal(medium_open(&w, &m, ".", false, false), -EINVAL);
    assert_int_equal(medium_open(&w, &m, ".", true, true), -EISDIR);
    assert_int_equal(mkfifo(worker_path(&w, "fifo"), 0666), 0);
    assert_int_equal(medium_open(&w, &m, "fifo", true, false), -EINVAL);
    assert_int_equal(medium_open(&w, &m, "none", false, true), -ENOENT);
    worker_end(&w);
}

/* More than the window of write-back, so that it moves; then reading the end and beyond. */
static void what_is_written_is_read(void **state)
{
    enum { PIECE = 1 << 20, PIECES = 80 };
    uint8_t *piece = malloc(PIECE);
    struct diskmap_medium *m;
    struct worker w;

    worker_dir(&w);
    assert_int_equal(medium_open(&w, &m, "v", true, true), 0);
    assert_int_equal(m->bytes, 0);
    assert_int_equal(m->resize(m, PIECES * PIECE), 0);
    assert_int_equal(m->bytes, PIECES * PIECE);
    for (uint64_t i = 0; i < PIECES; i++) {
        memset(piece, (int)i, PIECE);
        assert_int_equal(m->pwrite(m, piece, PIECE, (i * 7 % PIECES) * PIECE), 0);
    }
    assert_int_equal(m->sync(m), 0);
    for (uint64_t i = 0; i < PIECES; i++) {
        assert_int_equal(m->pread(m, piece, PIECE, (i * 7 % PIECES) * PIECE), 0);
        assert_true(piece[0] == i && piece[PIECE - 1] == i);
    }
    assert_int_equal(m->pread(m, piece, 2, PIECES * PIECE - 1), -EIO);
    diskmap_medium_close(m);
    free(piece);
    worker_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_writes_and_knows_of_readers),
        cmocka_unit_test(what_is_no_medium_is_said),
        cmocka_unit_test(what_is_written_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

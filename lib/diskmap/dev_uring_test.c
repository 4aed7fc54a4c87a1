// SPDX-License-Identifier: BSD-2-Clause
/*
 * dev_uring_test.c - what a healthy kernel seldom does: short results, no registration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev_uring.c"
#include "serve_test.h"

static void a_read_lies_in_one_registered_part_or_none(void **state)
{
    const uint8_t *base = (const uint8_t *)(uintptr_t)PART_BYTES; // addresses only
    struct uring u = {.buffers = base, .buffers_bytes = PART_STEP_BYTES * 2 + 100000};

    assert_int_equal(part_of(&u, base, 1), PART_NONE); // nothing is registered
    u.parts = 3;
    for (uint64_t off = 0; off < u.buffers_bytes; off += 4096 * 37) {
        uint32_t part = part_of(&u, base + off, 60000);
        uint64_t start = part * PART_STEP_BYTES;

        if (off + 60000 > u.buffers_bytes)
            continue;
        assert_int_not_equal(part, PART_NONE);
        assert_true(off >= start && off + 60000 <= start + PART_BYTES);
    }
    assert_int_equal(part_of(&u, base + PART_STEP_BYTES - 4096, PART_OVERLAP_BYTES + 8192),
                     PART_NONE);
}

static void short_results_are_completed_or_are_the_end(void **state)
{
    struct object o = {.pub = {.bytes = 100000, .align = 512}};
    struct diskmap_read read = {.object = &o.pub, .off = 700, .len = 9000};
    struct tracker t = {.read = &read};

    assert_false(read_is_over(&t, -EAGAIN));
    assert_false(read_is_over(&t, -EINTR));
    assert_false(read_is_over(&t, 4096));
    assert_int_equal(t.got, 4096);
    assert_true(read_is_over(&t, 188 + 9000 - 4096));
    assert_int_equal(read.result, 0);
    t.got = 0;
    assert_true(read_is_over(&t, 188 + 9000 - 1)); // one byte missing, in the middle of a block
    assert_int_equal(read.result, -EIO);
    t.got = 0;
    read.result = 0;
    assert_false(read_is_over(&t, 512));
    assert_true(read_is_over(&t, 0));
    assert_int_equal(read.result, -EIO);
    assert_true(read_is_over(&t, -ENXIO));
    assert_int_equal(read.result, -ENXIO);
}

/* Twice through the ring by hand: with what was registered, and as if nothing could be. */
static void everything_works_unregistered(void **state)
{
    struct diskmap_config config = {.depth = 4};
    struct object o = {.pub = {.bytes = 300000, .align = 4096}};
    struct diskmap_read read = {.object = &o.pub, .off = 5000, .len = 100000}, *done;
    struct worker w;

    worker_dir(&w);
    worker_file(&w, "file", 1, 300000);
    assert_int_equal(mem_arena_open(&config.arena, 4 << 20, 0), 0);
    config.buffers_bytes = 1 << 20;
    config.buffers = mem_arena_alloc(config.arena, config.buffers_bytes, PAGE_BYTES);
    for (int registered = 0; registered < 2; registered++) {
        struct device *dev = NULL;
        struct uring *u;
        int fds[1] = {-1}, fd = open(worker_path(&w, "file"), O_RDONLY);
        bool whole;

        assert_int_equal(uring_open(&dev, &config, 1, &whole), 0);
        assert_true(whole);
        u = uring_of(dev);
        if (!registered) {
            u->parts = 0;
            u->files_registered = false;
            u->fds = fds;
        }
        assert_int_equal(dev->ops->slot_set(dev, 0, fd), 0);
        read.buf = config.buffers;
        memset(read.buf, 0, 1 << 20);
        dev->ops->read(dev, &read, 0);
        assert_true(dev->ops->kick(dev, 0));
        assert_false(dev->ops->kick(dev, 0));
        for (int i = 0; i < 10000 && !dev->ops->reap(dev, &done, 1, 0); i++)
            usleep(100);
        assert_ptr_equal(done, &read);
        assert_int_equal(read.result, 0);
        assert_true(bytes_match(read.buf + 904, 1, 5000, 100000));
        dev->ops->close(dev);
    }
    mem_arena_close(config.arena);
    worker_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_lies_in_one_registered_part_or_none),
        cmocka_unit_test(short_results_are_completed_or_are_the_end),
        cmocka_unit_test(everything_works_unregistered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

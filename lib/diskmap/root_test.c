// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "serve_test.h"

static void worker_begin(struct worker *w)
{
    worker_dir(w);
    assert_int_equal(mkdir(worker_path(w, "tree"), 0777), 0);
    assert_int_equal(mkdir(worker_path(w, "tree/dir"), 0777), 0);
    worker_file(w, "tree/file", 1, 100000);
    worker_file(w, "tree/dir/inner", 2, 5000);
    worker_file(w, "secret", 3, 5000);
    assert_int_equal(diskmap_set_open_root(&w->set, worker_path(w, "tree"), w->why, 256), 0);
    worker_open(w, 8, NULL);
}

static int find(struct worker *w, const char *path, const struct diskmap_object **o)
{
    return diskmap_find(w->dm, path, strlen(path), o);
}

static void assert_reads(struct worker *w, const struct diskmap_object *o, uint64_t seed,
                         uint64_t off, uint32_t len)
{
    uint8_t *bytes;

    assert_int_equal(worker_read(w, o, off, len, &bytes), 0);
    assert_true(bytes_match(bytes, seed, off, len));
}

static void files_are_read_to_their_last_byte(void **state)
{
    const struct diskmap_object *o;
    struct worker w;

    worker_begin(&w);
    assert_int_equal(find(&w, "/file", &o), 0);
    assert_int_equal(o->bytes, 100000);
    assert_true(is_pow2(o->align) && o->align >= 512 && o->align <= 4096);
    assert_reads(&w, o, 1, 0, 1);
    assert_reads(&w, o, 1, 99999, 1);
    assert_reads(&w, o, 1, 12345, 87655);
    assert_reads(&w, o, 1, 0, 100000);
    diskmap_drop(w.dm, o);
    assert_int_equal(find(&w, "/dir/inner", &o), 0);
    assert_reads(&w, o, 2, 4000, 1000);
    diskmap_drop(w.dm, o);
    worker_file(&w, "tree/empty", 1, 0);
    assert_int_equal(find(&w, "/empty", &o), 0);
    assert_int_equal(o->bytes, 0);
    diskmap_drop(w.dm, o);
    worker_end(&w);
}

static void nothing_outside_the_tree_is_found(void **state)
{
    const struct diskmap_object *o;
    char path[DISKMAP_PATH_MAX + 2];
    struct worker w;

    worker_begin(&w);
    assert_int_equal(symlink("../secret", worker_path(&w, "tree/link")), 0);
    assert_int_equal(symlink("/etc", worker_path(&w, "tree/etc")), 0);
    assert_int_equal(symlink("dir", worker_path(&w, "tree/same")), 0);
    assert_int_equal(mkfifo(worker_path(&w, "tree/fifo"), 0666), 0);
    assert_int_equal(find(&w, "/link", &o), -ENOENT);
    assert_int_equal(find(&w, "/etc/passwd", &o), -ENOENT);
    assert_int_equal(find(&w, "/same/inner", &o), -ENOENT);
    assert_int_equal(find(&w, "/../secret", &o), -ENOENT);
    assert_int_equal(find(&w, "/dir/../../secret", &o), -ENOENT);
    assert_int_equal(find(&w, "/dir/../file", &o), -ENOENT);
    assert_int_equal(find(&w, "//etc/passwd", &o), -ENOENT);
    assert_int_equal(find(&w, "/fifo", &o), -EACCES);
    assert_int_equal(find(&w, "/file/x", &o), -ENOENT);
    assert_int_equal(diskmap_find(w.dm, "/file\0x", 7, &o), -ENOENT);
    assert_int_equal(find(&w, "file", &o), -ENOENT);
    assert_int_equal(find(&w, "", &o), -ENOENT);
    assert_int_equal(find(&w, "/", &o), -EISDIR);
    assert_int_equal(find(&w, "/dir", &o), -EISDIR);
    assert_int_equal(find(&w, "/dir/", &o), -EISDIR);
    assert_int_equal(find(&w, "/file/", &o), -ENOENT);
    assert_int_equal(find(&w, "/none/", &o), -ENOENT);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    assert_int_equal(diskmap_find(w.dm, path, DISKMAP_PATH_MAX + 1, &o), -ENAMETOOLONG);
    assert_int_equal(diskmap_find(w.dm, path, DISKMAP_PATH_MAX, &o), -ENAMETOOLONG);
    worker_end(&w);
}

/* The walk for old kernels refuses what openat2 refuses. */
static void the_walk_agrees_with_openat2(void **state)
{
    static const char *const paths[] = {"file",       "dir/inner", "link",   "etc/passwd",
                                        "same/inner", "../secret", "file/x", "dir/../file",
                                        "none",       "dir"};
    struct worker w;
    int dir;

    worker_begin(&w);
    assert_int_equal(symlink("../secret", worker_path(&w, "tree/link")), 0);
    assert_int_equal(symlink("/etc", worker_path(&w, "tree/etc")), 0);
    assert_int_equal(symlink("dir", worker_path(&w, "tree/same")), 0);
    dir = open(worker_path(&w, "tree"), O_PATH | O_DIRECTORY);
    for (size_t i = 0; i < array_len(paths); i++) {
        int a = root_open_beneath(dir, paths[i], O_RDONLY);
        int b = root_walk_beneath(dir, paths[i], O_RDONLY);

        if (!strcmp(paths[i], "dir/../file")) // beneath, but never normalised: we do not need it
            assert_true(a >= 0 && b == -ENOENT);
        else
            assert_int_equal(a >= 0, b >= 0);
        if (a >= 0)
            close(a);
        if (b >= 0)
            close(b);
    }
    close(dir);
    worker_end(&w);
}

static void the_same_file_is_the_same_object(void **state)
{
    const struct diskmap_object *a, *b, *c;
    struct worker w;

    worker_begin(&w);
    assert_int_equal(find(&w, "/file", &a), 0);
    assert_int_equal(find(&w, "/file", &b), 0);
    assert_ptr_equal(a, b);
    diskmap_drop(w.dm, a);
    diskmap_drop(w.dm, b);
    assert_int_equal(find(&w, "/file", &c), 0);
    assert_ptr_equal(a, c);
    diskmap_hold(w.dm, c);
    diskmap_drop(w.dm, c);
    diskmap_drop(w.dm, c);
    worker_end(&w);
}

static void a_replaced_file_is_a_new_object_and_the_old_one_stays_whole(void **state)
{
    const struct diskmap_object *old, *now;
    struct worker w;

    worker_begin(&w);
    assert_int_equal(find(&w, "/file", &old), 0);
    worker_file(&w, "tree/new", 7, 100000);
    assert_int_equal(rename(worker_path(&w, "tree/new"), worker_path(&w, "tree/file")), 0);
    assert_int_equal(find(&w, "/file", &now), 0);
    assert_ptr_not_equal(old, now);
    assert_memory_not_equal(old->etag, now->etag, sizeof(now->etag));
    assert_reads(&w, old, 1, 50000, 50000);
    assert_reads(&w, now, 7, 50000, 50000);
    diskmap_drop(w.dm, old);
    assert_int_equal(unlink(worker_path(&w, "tree/file")), 0);
    assert_int_equal(find(&w, "/file", &old), -ENOENT);
    assert_reads(&w, now, 7, 0, 100000);
    diskmap_drop(w.dm, now);
    worker_end(&w);
}

static void a_file_that_is_written_to_gets_another_etag(void **state)
{
    const struct diskmap_object *o;
    uint64_t etag[2];
    struct worker w;

    worker_begin(&w);
    assert_int_equal(find(&w, "/file", &o), 0);
    memcpy(etag, o->etag, sizeof(etag));
    diskmap_drop(w.dm, o);
    usleep(20000); // past the granularity of the file system's clock
    worker_file(&w, "tree/file", 8, 100000);
    assert_int_equal(find(&w, "/file", &o), 0);
    assert_memory_not_equal(etag, o->etag, sizeof(etag));
    assert_reads(&w, o, 8, 1, 99999);
    diskmap_drop(w.dm, o);
    worker_end(&w);
}

static void a_file_truncated_underneath_is_an_error(void **state)
{
    const struct diskmap_object *o;
    struct worker w;

    worker_begin(&w);
    assert_int_equal(find(&w, "/file", &o), 0);
    assert_int_equal(truncate(worker_path(&w, "tree/file"), 50000), 0);
    assert_reads(&w, o, 1, 0, 50000);
    assert_int_equal(worker_read(&w, o, 0, 50001, NULL), -EIO);
    assert_int_equal(worker_read(&w, o, 60000, 1000, NULL), -EIO);
    assert_int_equal(truncate(worker_path(&w, "tree/file"), 0), 0);
    assert_int_equal(worker_read(&w, o, 0, 1, NULL), -EIO);
    diskmap_drop(w.dm, o);
    worker_end(&w);
}

/* The kernel registers no more files than a process may open, so that a low limit makes the cache
 * small enough to fill. (liburing raises the soft limit as far as it can.) */
static void the_cache_is_bounded_and_pins_are_kept(void **state)
{
    enum { LIMIT = 128, SLOTS = 128 };
    const struct diskmap_object *held[SLOTS], *o;
    struct rlimit limit, low;
    struct worker w;
    char name[32];

    worker_dir(&w);
    assert_int_equal(mkdir(worker_path(&w, "tree"), 0777), 0);
    for (int i = 0; i <= SLOTS; i++) {
        snprintf(name, sizeof(name), "tree/%d", i);
        worker_file(&w, name, (uint64_t)i, 1000);
    }
    assert_int_equal(diskmap_set_open_root(&w.set, worker_path(&w, "tree"), w.why, 256), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = LIMIT, .rlim_max = LIMIT};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    worker_open(&w, 8, NULL);
    for (int i = 0; i < SLOTS; i++) {
        snprintf(name, sizeof(name), "/%d", i);
        assert_int_equal(find(&w, name, &held[i]), 0);
    }
    snprintf(name, sizeof(name), "/%d", SLOTS);
    assert_int_equal(find(&w, name, &o), -EMFILE);
    diskmap_drop(w.dm, held[3]);
    diskmap_drop(w.dm, held[5]);
    assert_int_equal(find(&w, name, &o), 0); // in place of /3, unused for longer than /5
    assert_reads(&w, o, SLOTS, 0, 1000);
    assert_int_equal(find(&w, "/5", &held[3]), 0);
    assert_ptr_equal(held[3], held[5]);
    assert_int_equal(find(&w, "/3", &held[3]), -EMFILE);
    for (int i = 0; i < SLOTS; i++) {
        if (i != 3)
            assert_reads(&w, held[i], (uint64_t)i, 100, 900);
    }
    (void)setrlimit(RLIMIT_NOFILE, &limit); // only root may: this is the last test that cares
    worker_end(&w);
}

static void what_is_no_directory_is_said(void **state)
{
    struct worker w;

    worker_dir(&w);
    worker_file(&w, "file", 1, 1);
    assert_int_equal(diskmap_set_open_root(&w.set, worker_path(&w, "file"), w.why, 256), -ENOTDIR);
    assert_int_equal(diskmap_set_open_root(&w.set, worker_path(&w, "none"), w.why, 256), -ENOENT);
    assert_non_null(strstr(w.why, "none"));
    worker_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_to_their_last_byte),
        cmocka_unit_test(nothing_outside_the_tree_is_found),
        cmocka_unit_test(the_walk_agrees_with_openat2),
        cmocka_unit_test(the_same_file_is_the_same_object),
        cmocka_unit_test(a_replaced_file_is_a_new_object_and_the_old_one_stays_whole),
        cmocka_unit_test(a_file_that_is_written_to_gets_another_etag),
        cmocka_unit_test(a_file_truncated_underneath_is_an_error),
        cmocka_unit_test(the_cache_is_bounded_and_pins_are_kept),
        cmocka_unit_test(what_is_no_directory_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

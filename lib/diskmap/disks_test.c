// SPDX-License-Identifier: BSD-2-Clause
/*
 * disks_test.c - specs, and controllers that are not as they should be: what is said about them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "disks.h"
#include "serve_test.h"

/* --- specs ------------------------------------------------------------------------------------ */

static void specs_are_values(void **state)
{
    struct disk_spec s;
    char why[200];

    assert_int_equal(disk_spec_parse(&s, "vfio:0000:01:00.0,ns=3", why, sizeof(why)), 0);
    assert_int_equal(s.kind, DISK_VFIO);
    assert_string_equal(s.name, "vfio:0000:01:00.0");
    assert_string_equal(s.where, "0000:01:00.0");
    assert_int_equal(s.ns_id, 3);
    assert_int_equal(disk_spec_parse(&s, "diskmap:diskmap0", why, sizeof(why)), 0);
    assert_int_equal(s.kind, DISK_KMOD);
    assert_int_equal(s.ns_id, 0);
    assert_int_equal(disk_spec_parse(&s, "diskmap:/dev/diskmap0,ns=2", why, sizeof(why)), 0);
    assert_string_equal(s.name, "diskmap:diskmap0");
    assert_string_equal(s.where, "diskmap0");
    assert_int_equal(s.ns_id, 2);
    assert_int_equal(disk_spec_parse(&s,
                                     "sim:/tmp/a b,seed=7,delay=50us-2ms,error=0.25,stuck=1,"
                                     "size=64M,block=512,queues=4,mdts=5,ready=20ms,remove=3s",
                                     why, sizeof(why)),
                     0);
    assert_int_equal(s.kind, DISK_SIM);
    assert_string_equal(s.where, "/tmp/a b");
    assert_int_equal(s.sim.seed, 7);
    assert_int_equal(s.sim.delay_min_ns, 50000);
    assert_int_equal(s.sim.delay_max_ns, 2000000);
    assert_true(s.sim.error > 0.24 && s.sim.error < 0.26);
    assert_int_equal(s.sim_bytes, 64 << 20);
    assert_int_equal(s.sim_block_bytes, 512);
    assert_int_equal(s.sim.queue_pairs, 4);
    assert_int_equal(s.sim.mdts, 5);
    assert_int_equal(s.sim.ready_ns, 20 * NS_PER_MS);
    assert_true(s.sim_remove_s > 2.9 && s.sim_remove_s < 3.1);
    assert_int_equal(disk_spec_parse(&s, "sim:x,ready=never", why, sizeof(why)), 0);
    assert_int_equal(s.sim.ready_ns, UINT64_MAX);
    assert_true(s.sim_remove_s < 0);
}

static void wrong_specs_are_refused(void **state)
{
    static const char *const wrong[] = {
        "vfio:",
        "sim:",
        "sim:,seed=1",
        "vfio:x,seed=1",
        "sim:x,",
        "sim:x,seed",
        "sim:x,seed=",
        "sim:x,seed=-1",
        "sim:x,seed=1x",
        "sim:x,what=1",
        "sim:x,delay=5",
        "sim:x,delay=5ms-1ms",
        "sim:x,error=1.1",
        "sim:x,error=nan",
        "sim:x,size=0",
        "sim:x,size=99999999999T",
        "sim:x,block=513",
        "sim:x,block=8192",
        "sim:x,queues=0",
        "sim:x,queues=65",
        "sim:x,mdts=256",
        "sim:x,ns=0",
        "sim:x,remove=1h",
        "sim:x,size=1MB",
        "sim:x,size=2000000M",
        "sim:x,delay=99999999999999999999s",
    };
    char long_spec[DISK_NAME_BYTES + 10] = "sim:", why[200];
    struct disk_spec s;

    for (size_t i = 0; i < array_len(wrong); i++) {
        why[0] = '\0';
        if (disk_spec_parse(&s, wrong[i], why, sizeof(why)) != -EINVAL || strlen(why) < 10)
            fail_msg("%s: %s", wrong[i], why);
    }
    memset(long_spec + 4, 'x', DISK_NAME_BYTES);
    assert_int_equal(disk_spec_parse(&s, long_spec, why, sizeof(why)), -EINVAL);
    assert_true(diskmap_spec_is_disk("vfio:x") && diskmap_spec_is_disk("diskmap:x"));
    assert_false(diskmap_spec_is_disk("./sim:x") || diskmap_spec_is_disk("ram:x"));
}

/* --- disks that are not as they should be ------------------------------------------------------
 */

static struct diskmap_medium *disk_medium(struct worker *w, const char *options)
{
    struct diskmap_medium *m;
    char spec[200];

    snprintf(spec, sizeof(spec), "sim:%s%s", worker_path(w, "disk"), options);
    w->why[0] = '\0';
    return diskmap_medium_open(&m, w->disks, spec, true, true, w->why, sizeof(w->why)) ? NULL : m;
}

static void bad_disks_are_told(void **state)
{
    static const struct {
        const char *options, *says;
    } bad[] = {
        {",size=4M,ready=never", "never became ready"},
        {",remove=0s", "no device answers"},
        {",ns=2", "no namespace 2 that we can read, but 1"},
        {",stuck=2", "probability"},
    };
    struct worker w;

    worker_dir(&w);
    assert_null(disk_medium(&w, ""));
    assert_non_null(strstr(w.why, "does not exist: say how large"));
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_null(disk_medium(&w, bad[i].options));
        if (!strstr(w.why, bad[i].says) || !strstr(w.why, "disk"))
            fail_msg("%s: %s", bad[i].options, w.why);
    }
    assert_int_equal(truncate(worker_path(&w, "disk"), 100), 0);
    assert_null(disk_medium(&w, ""));
    assert_non_null(strstr(w.why, "empty"));
    worker_end(&w);
}

static void who_is_told_to_end_does_not_wait(void **state)
{
    struct worker w;

    worker_dir(&w);
    w.told_to_end = true;
    assert_null(disk_medium(&w, ",size=4M,ready=never"));
    assert_non_null(strstr(w.why, "interrupted"));
    assert_true(worker_now(&w) < NS_PER_S + 10 * NS_PER_MS);
    worker_end(&w);
}

static void without_a_clock_there_are_no_disks(void **state)
{
    const char *specs[] = {"vfio:0000:01:00.0"};
    struct diskmap_medium *m;
    struct worker w;

    worker_dir(&w);
    assert_int_equal(diskmap_medium_open(&m, NULL, specs[0], true, true, w.why, 256), -ENOTSUP);
    assert_int_equal(diskmap_set_open_volumes(&w.set, NULL, specs, 1, w.why, 256), -ENOTSUP);
    assert_non_null(strstr(w.why, specs[0]));
    worker_end(&w);
}

static void what_is_foreign_is_no_volume(void **state)
{
    static const char text[] = "#EXTM3U\n";
    const char *spec;
    char path[160];
    struct worker w;
    FILE *f;

    worker_dir(&w);
    snprintf(path, sizeof(path), "sim:%s", worker_path(&w, "disk"));
    spec = path;
    f = fopen(worker_path(&w, "disk"), "w");
    for (int i = 0; i < 4096; i++)
        fputs(text, f);
    fclose(f);
    assert_int_equal(diskmap_set_open_volumes(&w.set, w.disks, &spec, 1, w.why, 256), -EBADMSG);
    assert_non_null(strstr(w.why, "not an atlas volume"));
    assert_non_null(strstr(w.why, "disk"));
    w.set = NULL;
    worker_end(&w);
}

/* --- the medium ------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
    enum { BYTES = 8 << 20, PIECE = 3 << 20 };
    uint8_t *piece = malloc(PIECE);
    struct diskmap_medium *m;
    struct worker w;

    worker_dir(&w);
    m = disk_medium(&w, *state);
    if (!m)
        fail_msg("%s", w.why);
    assert_int_equal(m->bytes, BYTES);
    assert_int_equal(m->resize(m, BYTES + 1), -ENOSPC);
    for (uint32_t i = 0; i < PIECE; i++)
        piece[i] = pattern_at(1, i);
    assert_int_equal(m->pwrite(m, piece, PIECE, 4096), 0);
    assert_int_equal(m->pwrite(m, piece, 4096, BYTES - 4096), 0);
    assert_int_equal(m->pwrite(m, piece, 8192, BYTES - 4096), -EIO);
    assert_int_equal(m->sync(m), 0);
    memset(piece, 0, PIECE);
    assert_int_equal(m->pread(m, piece, PIECE - 10, 4096 + 10), 0); // where no block begins
    for (uint32_t i = 0; i < PIECE - 10; i++)
        assert_int_equal(piece[i], pattern_at(1, i + 10));
    assert_int_equal(m->pread(m, piece, 8, BYTES - 8), 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(piece[i], pattern_at(1, 4088 + i));
    assert_int_equal(m->pread(m, piece, 8, BYTES - 7), -EIO);
    diskmap_medium_close(m);
    free(piece);
    worker_end(&w);
}

static void one_changes_a_disk(void **state)
{
    struct diskmap_medium *m, *file;
    struct worker w;

    worker_dir(&w);
    m = disk_medium(&w, ",size=8M");
    assert_non_null(m);
    assert_null(disk_medium(&w, ""));
    assert_non_null(strstr(w.why, "named twice"));
    // The file is locked as a volume in a file would be.
    assert_int_equal(
        diskmap_medium_open(&file, NULL, worker_path(&w, "disk"), true, false, w.why, 256), -EBUSY);
    assert_false(m->in_use(m));
    assert_int_equal(
        diskmap_medium_open(&file, NULL, worker_path(&w, "disk"), false, false, w.why, 256), 0);
    assert_true(m->in_use(m));
    diskmap_medium_close(file);
    diskmap_medium_close(m);
    worker_end(&w);
}

/* A disk of the module's is locked as a file is, by its node; that this one is none is found then.
 */
static void one_changes_a_disk_of_the_module(void **state)
{
    struct diskmap_medium *m, *writer;
    char spec[200], path[160];
    struct worker w;

    worker_dir(&w);
    worker_file(&w, "node", 1, 4096);
    snprintf(path, sizeof(path), "%s", worker_path(&w, "node"));
    snprintf(spec, sizeof(spec), "diskmap:%s", path);
    assert_int_equal(diskmap_medium_open(&writer, NULL, path, true, false, w.why, 256), 0);
    assert_int_equal(diskmap_medium_open(&m, w.disks, spec, true, false, w.why, 256), -EBUSY);
    assert_non_null(strstr(w.why, "another process is changing it"));
    // Who reads is let through to the device.
    assert_int_equal(diskmap_medium_open(&m, w.disks, spec, false, false, w.why, 256), -ENOTTY);
    diskmap_medium_close(writer);
    assert_int_equal(diskmap_medium_open(&m, w.disks, spec, true, false, w.why, 256), -ENOTTY);
    assert_int_equal(diskmap_medium_open(&m, w.disks, "diskmap:nosuch", true, false, w.why, 256),
                     -ENOENT);
    assert_non_null(strstr(w.why, "atlas disk list"));
    worker_end(&w);
}

static void errors_of_the_medium_are_errors(void **state)
{
    struct diskmap_medium *m;
    uint8_t block[4096] = {0};
    struct worker w;

    worker_dir(&w);
    m = disk_medium(&w, ",size=8M");
    assert_non_null(m);
    assert_int_equal(truncate(worker_path(&w, "disk"), 4096), 0);
    assert_int_equal(m->pread(m, block, 4096, 0), 0);
    assert_int_equal(m->pread(m, block, 4096, 8192), -EIO);
    diskmap_medium_close(m);
    m = disk_medium(&w, ",error=1");
    assert_non_null(m);
    assert_true(m->pread(m, block, 4096, 0) < 0);
    assert_true(m->pwrite(m, block, 4096, 0) < 0);
    diskmap_medium_close(m);
    // It never answers: the driver aborts, then resets, and it ends all the same.
    m = disk_medium(&w, ",stuck=1");
    assert_non_null(m);
    assert_true(m->pread(m, block, 4096, 0) < 0);
    diskmap_medium_close(m);
    worker_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_are_values),
        cmocka_unit_test(wrong_specs_are_refused),
        cmocka_unit_test(bad_disks_are_told),
        cmocka_unit_test(who_is_told_to_end_does_not_wait),
        cmocka_unit_test(without_a_clock_there_are_no_disks),
        cmocka_unit_test(what_is_foreign_is_no_volume),
        cmocka_unit_test_prestate(what_is_written_is_read, (void *)(uintptr_t) ",size=8M"),
        cmocka_unit_test_prestate(what_is_written_is_read,
                                  (void *)(uintptr_t) ",size=8M,block=512,delay=1us-1ms"),
        cmocka_unit_test(one_changes_a_disk),
        cmocka_unit_test(one_changes_a_disk_of_the_module),
        cmocka_unit_test(errors_of_the_medium_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

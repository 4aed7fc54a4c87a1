// SPDX-License-Identifier: BSD-2-Clause
/*
 * catalogue_size_test.c - what a catalogue costs: memory for each object and the time to load it.
 *
 * An argument sets the number of objects; ten million must be practical.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "serve_test.h"

#define OBJECTS           200000
#define OBJECT_MEMORY_MAX 128 /* bytes for each object besides its path */

static uint64_t objects = OBJECTS;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t object_path(char *path, size_t bytes, uint64_t i)
{
    return (size_t)snprintf(path, bytes, "/video/%08llx/segment-%05u.m4s",
                            (unsigned long long)(i * 2654435761u % objects), (unsigned)(i % 1000));
}

static void an_object_costs_at_most_its_share(void **state)
{
    const struct diskmap_object *o;
    struct diskmap_medium *m;
    struct diskmap_volume *v;
    double start = seconds();
    const char *spec;
    struct worker w;
    char path[64];

    worker_dir(&w);
    spec = worker_path(&w, "v");
    assert_int_equal(diskmap_medium_open(&m, NULL, spec, true, true, w.why, sizeof(w.why)), 0);
    assert_int_equal(diskmap_volume_create(&v, m, w.why, sizeof(w.why)), 0);
    for (uint64_t i = 0; i < objects; i++) {
        object_path(path, sizeof(path), i);
        assert_int_equal(pattern_add(v, path, i, i % 100 ? 0 : 1), 0);
    }
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    diskmap_medium_close(m);
    print_message("made %llu objects in %.2f s\n", (unsigned long long)objects, seconds() - start);

    start = seconds();
    assert_int_equal(diskmap_set_open_volumes(&w.set, NULL, &spec, 1, w.why, sizeof(w.why)), 0);
    print_message("loaded in %.2f s, %.1f bytes of memory for each besides its path\n",
                  seconds() - start, (double)set_bytes(w.set) / (double)objects);
    assert_int_equal(diskmap_set_objects(w.set), objects);
    assert_true(set_bytes(w.set) <= objects * OBJECT_MEMORY_MAX);
    worker_open(&w, 8, NULL);
    start = seconds();
    for (uint64_t i = 0; i < objects; i++) {
        size_t len = object_path(path, sizeof(path), i);

        assert_int_equal(diskmap_find(w.dm, path, len, &o), 0);
        assert_int_equal(o->mtime_s, (int64_t)i);
    }
    print_message("%.0f ns for each look-up\n", (seconds() - start) * 1e9 / (double)objects);
    worker_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_object_costs_at_most_its_share)};

    if (argc > 1)
        objects = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

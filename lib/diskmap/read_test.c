// SPDX-License-Identifier: BSD-2-Clause
/*
 * read_test.c - reading volumes: from a file, from NVMe disks, from memory, through faults.
 *
 * What holds for a file holds for an NVMe disk: these tests are run for both.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "serve_test.h"

static const uint64_t sizes[] = {1,     511,     512,       513,     4095, 4096, 4097,   60000,
                                 61440, 1048575, (1 << 20), 3000001, 0,    4096, 777777, 123456};

#define SEED 100

/* How a volume in a file is named. */
static const char from_file[] = "%s", from_ram[] = "ram:%s";
/* At once, and slowly and in another order. */
static const char from_sim[] = "sim:%s";
/* More commands than a queue takes, since none may be long. */
static const char from_slow_sim[] = "sim:%s,seed=5,delay=1us-90us,block=512,mdts=1";

static void set_open(struct worker *w, const char *spec)
{
    if (diskmap_set_open_volumes(&w->set, w->disks, &spec, 1, w->why, sizeof(w->why)))
        fail_msg("%s", w->why);
    assert_string_equal(w->why, "");
}

static const char *spec_of(const char *how, const char *path)
{
    static char spec[256];
    size_t len = strcspn(how, "%");

    snprintf(spec, sizeof(spec), "%.*s%s%s", (int)len, how, path, how + len + 2);
    return spec;
}

static void worker_begin(struct worker *w, const char *how)
{
    worker_dir(w);
    worker_volume(w, "volume", sizes, array_len(sizes), SEED);
    set_open(w, spec_of(how, worker_path(w, "volume")));
}

static const struct diskmap_object *find(struct worker *w, const char *path)
{
    const struct diskmap_object *o;

    assert_int_equal(diskmap_find(w->dm, path, strlen(path), &o), 0);
    return o;
}

/* Any part of any object that is not empty. */
static uint64_t draw(struct worker *w, struct diskmap_read *read, struct rand *rand)
{
    char path[32];
    uint64_t n;

    do
        n = rand_below(rand, array_len(sizes));
    while (!sizes[n]);
    snprintf(path, sizeof(path), "/%u", (unsigned)n);
    read->object = find(w, path);
    read->off = rand_below(rand, sizes[n]);
    if (rand_chance(rand, 0.3))
        read->off = sizes[n] - min_u64(sizes[n], 1 + rand_below(rand, 5000)); // near the end
    read->len = (uint32_t)min_u64(sizes[n] - read->off, 1 + rand_below(rand, 100000));
    return SEED + n;
}

/* `count` rounds in which up to TEST_BUFFERS reads are posted and all come back, once each. */
static void read_randomly(struct worker *w, int rounds, uint64_t seed)
{
    struct diskmap_read reads[TEST_BUFFERS], *done[TEST_BUFFERS];
    uint64_t seeds[TEST_BUFFERS];
    struct rand rand;

    rand_seed(&rand, seed);
    for (int round = 0; round < rounds; round++) {
        uint32_t count = 1 + (uint32_t)rand_below(&rand, TEST_BUFFERS);

        for (uint32_t i = 0; i < count; i++) {
            reads[i] = (struct diskmap_read){.buf = w->buffers + i * TEST_BUFFER_BYTES};
            seeds[i] = draw(w, &reads[i], &rand);
            diskmap_read(w->dm, &reads[i], worker_at(w, 10));
            if (rand_chance(&rand, 0.2))
                diskmap_kick(w->dm, worker_at(w, 10));
        }
        diskmap_kick(w->dm, worker_at(w, 10));
        assert_int_equal(worker_reap(w, done, count, 20), count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t n = (uint32_t)(done[i] - reads);
            const struct diskmap_read *r = &reads[n];

            assert_true(n < count && r->object);
            assert_int_equal(r->result, 0);
            assert_true(
                bytes_match(r->buf + diskmap_skew(r->object, r->off), seeds[n], r->off, r->len));
            reads[n].object = NULL; // it must not come twice
        }
        assert_int_equal(diskmap_reap(w->dm, done, 1, worker_at(w, 30)), 0);
    }
    assert_int_equal(diskmap_stats(w->dm)->inflight, 0);
    assert_int_equal(diskmap_stats(w->dm)->read_errors, 0);
    assert_int_equal(diskmap_latency(w->dm)->count, diskmap_stats(w->dm)->reads);
}

static void a_disk_gives_the_bytes(void **state)
{
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 64, NULL);
    assert_int_equal(diskmap_stats(w.dm)->registered, 1);
    assert_int_equal(diskmap_set_objects(w.set), array_len(sizes));
    read_randomly(&w, 60, 1);
    assert_int_equal(diskmap_stats(w.dm)->held_back, 0);
    assert_true(diskmap_stats(w.dm)->doorbells > 0);
    worker_end(&w);
}

static void a_short_queue_holds_reads_back_in_order(void **state)
{
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 4, NULL);
    read_randomly(&w, 60, 2);
    assert_true(diskmap_stats(w.dm)->held_back > 0);
    assert_true(diskmap_stats(w.dm)->inflight_high > 32);
    worker_end(&w);
}

static void memory_gives_the_bytes(void **state)
{
    const struct diskmap_object *o;
    struct worker w;

    worker_begin(&w, from_ram);
    worker_open(&w, 4, NULL);
    read_randomly(&w, 60, 3);
    assert_int_equal(diskmap_fd(w.dm), -1);
    for (size_t i = 0; i < array_len(sizes); i++) {
        char path[32];

        snprintf(path, sizeof(path), "/%zu", i);
        o = find(&w, path);
        assert_int_equal(o->bytes, sizes[i]);
        assert_non_null(o->mapped);
        assert_true(bytes_match(o->mapped, SEED + i, 0, sizes[i]));
    }
    worker_end(&w);
}

static void what_is_not_there_is_not_found(void **state)
{
    const struct diskmap_object *o;
    char path[DISKMAP_PATH_MAX + 1] = "/";
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 4, NULL);
    assert_int_equal(diskmap_find(w.dm, "/nothing", 8, &o), -ENOENT);
    assert_int_equal(diskmap_find(w.dm, "/", 1, &o), -ENOENT);
    assert_int_equal(diskmap_find(w.dm, "", 0, &o), -ENOENT);
    assert_int_equal(diskmap_find(w.dm, path, sizeof(path), &o), -ENAMETOOLONG);
    assert_int_equal(diskmap_find(w.dm, "/12 and more", 3, &o), 0);
    worker_end(&w);
}

static void the_descriptor_says_when_to_reap(void **state)
{
    struct diskmap_read read = {.len = 60000}, *done;
    uint64_t ns = 0;
    struct worker w;
    struct pollfd p;

    worker_begin(&w, *state);
    worker_open(&w, 4, NULL);
    // A controller makes the queues while it is turned.
    while (diskmap_next_ns(w.dm) <= worker_now(&w) + 10 * NS_PER_MS)
        assert_int_equal(diskmap_reap(w.dm, &done, 1, worker_at(&w, ns += NS_PER_MS)), 0);
    p = (struct pollfd){.fd = diskmap_fd(w.dm), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    read.object = find(&w, "/7");
    read.buf = w.buffers;
    diskmap_read(w.dm, &read, worker_at(&w, 0));
    diskmap_kick(w.dm, worker_at(&w, 0));
    // A controller in software does its work in turns.
    assert_int_equal(diskmap_reap(w.dm, &done, 0, worker_at(&w, 0)), 0);
    p.fd = diskmap_fd(w.dm);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(diskmap_reap(w.dm, &done, 1, worker_at(&w, 5)), 1);
    assert_int_equal(diskmap_reap(w.dm, &done, 1, worker_at(&w, 5)), 0);
    p.fd = diskmap_fd(w.dm);
    assert_int_equal(poll(&p, 1, 0), 0);
    worker_end(&w);
}

static void closing_waits_for_the_buffers(void **state)
{
    struct diskmap_read reads[TEST_BUFFERS];
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 16, NULL);
    for (int i = 0; i < TEST_BUFFERS; i++) {
        reads[i] = (struct diskmap_read){.object = find(&w, "/11"),
                                         .off = (uint64_t)i * 20000,
                                         .len = 100000,
                                         .buf = w.buffers + i * TEST_BUFFER_BYTES};
        diskmap_read(w.dm, &reads[i], worker_at(&w, 0));
        if (i == 10)
            diskmap_kick(w.dm, worker_at(&w, 0)); // some in flight, some posted, some held back
    }
    worker_close(&w);
    worker_end(&w);
}

static void *read_elsewhere(void *arg)
{
    read_randomly(arg, 10, 4);
    return NULL;
}

static void the_thread_that_opens_need_not_be_the_one_that_reads(void **state)
{
    pthread_t thread;
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 16, NULL);
    assert_int_equal(pthread_create(&thread, NULL, read_elsewhere, &w), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    worker_end(&w);
}

static void several_volumes_are_one_set(void **state)
{
    static const uint64_t few[] = {9000, 9001};
    const char *specs[3];
    char ram[160];
    struct worker w;
    uint8_t *bytes;

    worker_dir(&w);
    worker_volume(&w, "a", few, 2, 1);
    worker_volume(&w, "b", sizes, array_len(sizes), SEED);
    snprintf(ram, sizeof(ram), "ram:%s", worker_path(&w, "a"));
    specs[0] = ram;
    specs[1] = spec_of(*state, worker_path(&w, "b"));
    assert_int_equal(diskmap_set_open_volumes(&w.set, w.disks, specs, 2, w.why, 256), 0);
    assert_int_equal(diskmap_set_objects(w.set), array_len(sizes)); // the two of a hide two of b
    worker_open(&w, 8, NULL);
    assert_int_equal(find(&w, "/1")->bytes, 9001);
    assert_int_equal(worker_read(&w, find(&w, "/1"), 1000, 8001, &bytes), 0);
    assert_true(bytes_match(bytes, 2, 1000, 8001));
    assert_int_equal(worker_read(&w, find(&w, "/7"), 1000, 8001, &bytes), 0);
    assert_true(bytes_match(bytes, SEED + 7, 1000, 8001));
    specs[2] = "does/not/exist";
    worker_close(&w);
    diskmap_set_close(w.set);
    assert_int_equal(diskmap_set_open_volumes(&w.set, w.disks, specs, 3, w.why, 256), -ENOENT);
    assert_non_null(strstr(w.why, "does/not/exist"));
    w.set = NULL;
    worker_end(&w);
}

/* --- faults ----------------------------------------------------------------------------------- */

/* The order in which 64 reads come back in virtual time, each with its time and result. */
struct outcome {
    uint8_t read;
    uint8_t failed;
    uint64_t at_ns;
};

static void play(struct worker *w, struct diskmap_fault_config fault, struct outcome *outcomes)
{
    struct diskmap_read reads[64], *done;
    uint64_t now = 1000;
    uint32_t count = 0;

    worker_open(w, 16, &fault);
    for (uint32_t i = 0; i < 64; i++) {
        reads[i] = (struct diskmap_read){.object = find(w, "/11"),
                                         .off = i * 30000,
                                         .len = 30000,
                                         .buf = w->buffers + i * TEST_BUFFER_BYTES};
        assert_null(reads[i].object->mapped);
        diskmap_read(w->dm, &reads[i], now);
    }
    diskmap_kick(w->dm, now);
    while (count < 64) {
        assert_true(diskmap_next_ns(w->dm) >= now && diskmap_next_ns(w->dm) < UINT64_MAX);
        now = diskmap_next_ns(w->dm);
        while (diskmap_reap(w->dm, &done, 1, now)) {
            struct outcome *o = &outcomes[count++];

            *o = (struct outcome){0};
            o->read = (uint8_t)(done - reads);
            o->failed = done->result == -EIO;
            o->at_ns = now;
            assert_true(o->failed || bytes_match(done->buf + diskmap_skew(done->object, done->off),
                                                 SEED + 11, done->off, done->len));
        }
    }
    assert_int_equal(diskmap_next_ns(w->dm), UINT64_MAX);
    worker_close(w);
}

static void faults_follow_their_seed(void **state)
{
    struct diskmap_fault_config fault = {
        .seed = 1, .error = 0.2, .delay_min_ns = 500, .delay_max_ns = 9000};
    struct outcome first[64], again[64], other[64];
    uint32_t failed = 0, overtaken = 0;
    struct worker w;

    worker_begin(&w, from_ram);
    play(&w, fault, first);
    play(&w, fault, again);
    assert_memory_equal(first, again, sizeof(first));
    fault.seed = 2;
    play(&w, fault, other);
    assert_memory_not_equal(first, other, sizeof(first));
    for (int i = 0; i < 64; i++) {
        failed += first[i].failed;
        overtaken += i > 0 && first[i].read < first[i - 1].read;
        assert_true(first[i].at_ns >= 1500);
    }
    assert_in_range(failed, 4, 24);
    assert_true(overtaken > 10);
    worker_end(&w);
}

/* An object that may change says so, and does when it is told to: in reads posted from then on. */
static void faults_change_objects(void **state)
{
    struct diskmap_fault_config fault = {.seed = 1, .delay_min_ns = 5, .delay_max_ns = 5};
    struct diskmap_read reads[2], *done[2];
    struct worker w;

    worker_begin(&w, from_ram);
    worker_open(&w, 8, &fault);
    assert_true(find(&w, "/11")->immutable);
    worker_close(&w);
    fault.change_at_ns = 1000;
    worker_open(&w, 8, &fault);
    for (uint32_t i = 0; i < 2; i++) {
        reads[i] = (struct diskmap_read){.object = find(&w, "/11"),
                                         .off = 4096,
                                         .len = 5000,
                                         .buf = w.buffers + i * TEST_BUFFER_BYTES};
        assert_false(reads[i].object->immutable);
        diskmap_read(w.dm, &reads[i], 999 + i);
    }
    diskmap_kick(w.dm, 1000);
    assert_int_equal(diskmap_reap(w.dm, done, 2, 1005), 2);
    assert_true(bytes_match(reads[0].buf, SEED + 11, 4096, 5000));
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(reads[0].buf[i] ^ reads[1].buf[i], 0xff);
    worker_end(&w);
}

static void faults_work_over_a_disk(void **state)
{
    struct diskmap_fault_config fault = {.seed = 1, .delay_max_ns = 9};
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 8, &fault);
    read_randomly(&w, 30, 5);
    worker_close(&w);
    fault.error = 1;
    worker_open(&w, 8, &fault);
    assert_int_equal(worker_read(&w, find(&w, "/7"), 0, 100, NULL), -EIO);
    assert_int_equal(diskmap_stats(w.dm)->read_errors, 1);
    worker_end(&w);
}

static void a_volume_that_shrinks_gives_errors(void **state)
{
    struct worker w;

    worker_begin(&w, *state);
    worker_open(&w, 8, NULL);
    assert_int_equal(truncate(worker_path(&w, "volume"), 3 * DISKMAP_BLOCK_BYTES), 0);
    assert_int_equal(worker_read(&w, find(&w, "/11"), 0, 100000, NULL), -EIO);
    worker_end(&w);
}

#define from(how, test)                                                                            \
    {                                                                                              \
#test " " #how, test, NULL, NULL, (void *)(uintptr_t)how                                   \
    }
#define from_any_disk(test)   from(from_file, test), from(from_sim, test)
#define from_every_disk(test) from_any_disk(test), from(from_slow_sim, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        from_every_disk(a_disk_gives_the_bytes),
        from_every_disk(a_short_queue_holds_reads_back_in_order),
        cmocka_unit_test(memory_gives_the_bytes),
        from_any_disk(what_is_not_there_is_not_found),
        from_any_disk(the_descriptor_says_when_to_reap),
        from_every_disk(closing_waits_for_the_buffers),
        from_every_disk(the_thread_that_opens_need_not_be_the_one_that_reads),
        from_every_disk(several_volumes_are_one_set),
        cmocka_unit_test(faults_follow_their_seed),
        cmocka_unit_test(faults_change_objects),
        from_every_disk(faults_work_over_a_disk),
        from_every_disk(a_volume_that_shrinks_gives_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

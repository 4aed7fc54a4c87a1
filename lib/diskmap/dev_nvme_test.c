// SPDX-License-Identifier: BSD-2-Clause
/*
 * dev_nvme_test.c - volumes on several NVMe disks, some of which misbehave.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "disks.h"
#include "serve_test.h"

#define DISKS        4
#define OBJECTS      8 /* of each volume */
#define OBJECT_BYTES 300000
#define READS        32
#define READ_BYTES   60000
#define OUTCOMES     400

/* Objects /D/N of volume D, N below OBJECTS, with seed D * OBJECTS + N. */
static void disk_make(struct worker *w, uint32_t number)
{
    struct diskmap_medium *medium;
    struct diskmap_volume *v;
    char path[32];

    snprintf(path, sizeof(path), "disk%u", number);
    assert_int_equal(
        diskmap_medium_open(&medium, NULL, worker_path(w, path), true, true, w->why, 256), 0);
    assert_int_equal(diskmap_volume_create(&v, medium, w->why, 256), 0);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        snprintf(path, sizeof(path), "/%u/%u", number, i);
        assert_int_equal(pattern_add(v, path, number * OBJECTS + i, OBJECT_BYTES), 0);
    }
    assert_int_equal(diskmap_volume_commit(v), 0);
    diskmap_volume_close(v);
    diskmap_medium_close(medium);
}

/* `options[i]` of disk i; "file" is one without a controller. */
static int disks_begin(struct worker *w, const char *const options[DISKS])
{
    char specs[DISKS][200], name[16];
    const char *list[DISKS];

    worker_dir(w);
    for (uint32_t i = 0; i < DISKS; i++) {
        bool file = !strcmp(options[i], "file");

        disk_make(w, i);
        snprintf(name, sizeof(name), "disk%u", i);
        snprintf(specs[i], sizeof(specs[i]), "%s%s%s", file ? "" : "sim:", worker_path(w, name),
                 file ? "" : options[i]);
        list[i] = specs[i];
    }
    return diskmap_set_open_volumes(&w->set, w->disks, list, DISKS, w->why, sizeof(w->why));
}

static const struct diskmap_object *find(struct worker *w, uint32_t disk, uint32_t n)
{
    const struct diskmap_object *o;
    char path[16];

    snprintf(path, sizeof(path), "/%u/%u", disk, n);
    return diskmap_find(w->dm, path, strlen(path), &o) ? NULL : o;
}

static struct controller *controller_at(struct worker *w, uint32_t disk)
{
    return w->set->volumes[disk].disk->controller;
}

/* --- reading, and what became of it ------------------------------------------------------------
 */

struct outcomes {
    uint32_t good[DISKS], bad[DISKS], refused[DISKS];
    uint32_t overtaken;
};

struct load {
    struct worker *w;
    struct diskmap_read reads[READS];
    uint32_t disks[READS], objects[READS], orders[READS];
    bool busy[READS];
    uint32_t posted, last_order;
    struct rand rand;
    struct outcomes out;
};

static void post(struct load *l, uint32_t i)
{
    uint32_t disk = (uint32_t)rand_below(&l->rand, DISKS);
    uint32_t n = (uint32_t)rand_below(&l->rand, OBJECTS);
    const struct diskmap_object *o = find(l->w, disk, n);
    uint64_t off = rand_below(&l->rand, OBJECT_BYTES);

    l->orders[i] = l->posted++;
    if (!o) {
        l->out.refused[disk]++;
        return;
    }
    l->disks[i] = disk;
    l->objects[i] = n;
    l->busy[i] = true;
    l->reads[i] = (struct diskmap_read){
        .object = o,
        .off = off,
        .len = (uint32_t)min_u64(OBJECT_BYTES - off, 1 + rand_below(&l->rand, READ_BYTES)),
        .buf = l->w->buffers + i * TEST_BUFFER_BYTES};
    diskmap_read(l->w->dm, &l->reads[i], worker_now(l->w));
}

static void take(struct load *l, const struct diskmap_read *read)
{
    uint32_t i = (uint32_t)(read - l->reads), disk = l->disks[i];
    uint64_t seed = disk * OBJECTS + l->objects[i];

    assert_true(l->busy[i]);
    l->busy[i] = false;
    l->out.overtaken += l->orders[i] < l->last_order;
    l->last_order = l->orders[i];
    if (read->result) {
        l->out.bad[disk]++;
        return;
    }
    l->out.good[disk]++;
    assert_true(
        bytes_match(read->buf + diskmap_skew(read->object, read->off), seed, read->off, read->len));
}

/* `count` reads, READS at a time, in the time of the controllers. */
static struct outcomes read_all(struct worker *w, uint32_t count, uint64_t seed)
{
    struct load *l = calloc(1, sizeof(*l));
    struct diskmap_read *done[READS];
    struct outcomes out;
    uint32_t inflight;

    l->w = w;
    rand_seed(&l->rand, seed);
    do {
        uint32_t reaped;

        for (uint32_t i = 0; i < READS && l->posted < count; i++)
            if (!l->busy[i])
                post(l, i);
        diskmap_kick(w->dm, worker_now(w));
        reaped = diskmap_reap(w->dm, done, READS, worker_now(w));
        for (uint32_t i = 0; i < reaped; i++)
            take(l, done[i]);
        inflight = (uint32_t)diskmap_stats(w->dm)->inflight;
        if (!reaped && inflight) {
            uint64_t next_ns = diskmap_next_ns(w->dm);

            // Files have a time of their own.
            if (next_ns == UINT64_MAX)
                usleep(50);
            else
                worker_move(w, max_u64(worker_now(w) + 1, next_ns));
        }
    } while (inflight || l->posted < count);
    out = l->out;
    free(l);
    return out;
}

static uint32_t sum(const uint32_t counts[DISKS])
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < DISKS; i++)
        total += counts[i];
    return total;
}

static void several_disks_are_read_at_once(void **state)
{
    static const char *const options[DISKS] = {",seed=1,delay=90us", ",seed=2,delay=90us",
                                               ",seed=3,delay=90us,block=512",
                                               ",seed=4,delay=10us-90us,mdts=1"};
    struct outcomes out;
    uint64_t began_ns;
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    assert_int_equal(diskmap_set_objects(w.set), DISKS * OBJECTS);
    worker_open(&w, 64, NULL);
    began_ns = worker_now(&w);
    out = read_all(&w, OUTCOMES, 1);
    assert_int_equal(sum(out.good), OUTCOMES);
    for (uint32_t i = 0; i < DISKS; i++)
        assert_true(out.good[i] > OUTCOMES / DISKS / 2);
    // One after the other they would have taken the sum.
    assert_true(worker_now(&w) - began_ns < OUTCOMES * 90 * NS_PER_US / 8);
    assert_true(out.overtaken > 0);
    assert_int_equal(diskmap_stats(w.dm)->disks_lost, 0);
    assert_false(diskmap_news(w.dm, w.why, sizeof(w.why)));
    worker_end(&w);
}

static void disks_and_files_are_one_set(void **state)
{
    static const char *const options[DISKS] = {"", "file", ",delay=10us-1ms", "file"};
    struct outcomes out;
    struct pollfd p;
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    worker_open(&w, 64, NULL);
    out = read_all(&w, OUTCOMES, 2);
    assert_int_equal(sum(out.good), OUTCOMES);
    // Either of them wakes who waits for both.
    for (uint32_t disk = 0; disk < 2; disk++) {
        struct diskmap_read read = {.object = find(&w, disk, 0), .len = 5000, .buf = w.buffers};
        struct diskmap_read *done;

        p = (struct pollfd){.fd = diskmap_fd(w.dm), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 0), 0);
        diskmap_read(w.dm, &read, worker_now(&w));
        diskmap_kick(w.dm, worker_now(&w));
        p.fd = diskmap_fd(w.dm);
        assert_int_equal(poll(&p, 1, 5000), 1);
        assert_int_equal(diskmap_reap(w.dm, &done, 1, worker_now(&w)), 1);
    }
    worker_end(&w);
}

/* --- disks that are lost -----------------------------------------------------------------------
 */

static void the_others_go_on(void **state)
{
    static const char *const options[DISKS] = {"", "", ",delay=5ms,remove=200ms", ""};
    struct diskmap_disk disk;
    struct outcomes out;
    char news[512];
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    worker_open(&w, 64, NULL);
    assert_true(diskmap_set_disk(w.set, 2, &disk));
    assert_true(disk.ns_id == 1 && disk.model[0] && !disk.lost);
    assert_false(diskmap_set_disk(w.set, DISKS, &disk));
    out = read_all(&w, 20 * OUTCOMES, 3);
    assert_true(out.bad[2] > 0 && out.refused[2] > 0);
    for (uint32_t i = 0; i < DISKS; i++)
        assert_true(i == 2 || (out.good[i] && !out.bad[i] && !out.refused[i]));
    assert_true(diskmap_news(w.dm, news, sizeof(news)));
    assert_non_null(strstr(news, "disk2: no device answers"));
    assert_false(diskmap_news(w.dm, news, sizeof(news)));
    assert_int_equal(diskmap_stats(w.dm)->disks_lost, 1);
    assert_int_equal(diskmap_stats(w.dm)->read_errors, out.bad[2]);
    assert_null(find(&w, 2, 0));
    assert_true(diskmap_set_disk(w.set, 2, &disk) && disk.lost);
    assert_true(diskmap_set_disk(w.set, 1, &disk) && !disk.lost);
    worker_end(&w);
}

/* The descriptor of a disk that is gone is readable for good: nobody waits for it any more. */
static void a_lost_disk_wakes_nobody(void **state)
{
    static const char *const options[][DISKS] = {{"file", "file", ",remove=10s", "file"},
                                                 {"", "", ",remove=10s", ""}};

    for (size_t i = 0; i < array_len(options); i++) {
        struct controller *c;
        uint64_t one = 1;
        int lane_fd;
        struct worker w;
        struct pollfd p = {.events = POLLIN};

        assert_int_equal(disks_begin(&w, options[i]), 0);
        // Of the queue pair that is the worker's next.
        c = controller_at(&w, 2);
        assert_int_equal(controller_qpair_get(c), 0);
        lane_fd = nvme_fd(c->qpair);
        controller_qpair_put(c);
        worker_open(&w, 64, NULL);
        assert_int_equal(worker_read(&w, find(&w, 2, 0), 0, 5000, NULL), 0);
        p.fd = diskmap_fd(w.dm);
        assert_int_equal(write(lane_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(poll(&p, 1, 0), 1);
        worker_move(&w, worker_now(&w) + 20 * NS_PER_S);
        (void)read_all(&w, OUTCOMES, 9);
        assert_int_equal(diskmap_stats(w.dm)->disks_lost, 1);
        p.fd = diskmap_fd(w.dm);
        assert_int_equal(write(lane_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(poll(&p, 1, 0), 0);
        assert_true(p.fd >= 0); // for the others
        worker_end(&w);
    }
}

static void a_namespace_may_disappear(void **state)
{
    static const char *const options[DISKS] = {"", "", "", ""};
    struct outcomes out;
    char news[512];
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    worker_open(&w, 64, NULL);
    out = read_all(&w, OUTCOMES, 4);
    assert_int_equal(sum(out.good), OUTCOMES);
    nvme_sim_detach(controller_at(&w, 1)->access, 1);
    out = read_all(&w, OUTCOMES, 5);
    assert_int_equal(out.good[1], 0);
    assert_true(out.bad[1] > 0 && out.refused[1] > out.bad[1]);
    assert_int_equal(sum(out.good) + out.bad[1] + out.refused[1], OUTCOMES);
    assert_true(diskmap_news(w.dm, news, sizeof(news)));
    assert_non_null(strstr(news, "disk1: namespace 1 disappeared"));
    worker_end(&w);
}

/* Commands that never end are ended, with an error or, after another try, without. */
static void stuck_commands_end(void **state)
{
    static const char *const options[DISKS] = {",seed=1,stuck=0.02", ",seed=2,error=0.1",
                                               ",seed=3,stuck=0.01,error=0.01,delay=1us-9ms", ""};
    struct outcomes out;
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    worker_open(&w, 16, NULL);
    out = read_all(&w, OUTCOMES, 6);
    assert_int_equal(sum(out.good) + sum(out.bad), OUTCOMES);
    assert_true(out.bad[1] > 0 && out.good[0] > 0 && out.good[2] > 0);
    assert_int_equal(out.bad[3], 0);
    worker_end(&w);
}

static void a_worker_without_a_queue_pair_is_told(void **state)
{
    static const char *const options[DISKS] = {"", ",queues=1", "", ""};
    struct diskmap_config config = {.depth = 8};
    struct diskmap *second;
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    worker_open(&w, 8, NULL);
    config.arena = w.arena;
    assert_int_equal(diskmap_open(&second, w.set, &config, w.why, sizeof(w.why)), -EBUSY);
    assert_non_null(strstr(w.why, "--workers 1"));
    assert_int_equal(sum(read_all(&w, OUTCOMES, 7).good), OUTCOMES);
    worker_end(&w);
}

/* --- workers -----------------------------------------------------------------------------------
 */

struct share {
    struct worker worker;
    uint64_t seed;
    struct outcomes out;
};

static void *share_read(void *arg)
{
    struct share *s = arg;

    s->out = read_all(&s->worker, 4 * OUTCOMES, s->seed);
    diskmap_close(s->worker.dm);
    return NULL;
}

/* Each with queue pairs and memory of its own, and all turn the same controllers. */
static void workers_share_disks(void **state)
{
    static const char *const options[DISKS] = {",seed=1,delay=1us-90us", "", ",seed=2,stuck=0.002",
                                               ",seed=3,delay=1us-2ms,block=512"};
    static struct share shares[2];
    pthread_t threads[2];
    struct worker w;

    assert_int_equal(disks_begin(&w, options), 0);
    for (uint32_t i = 0; i < 2; i++) {
        shares[i] = (struct share){.worker = w, .seed = i};
        shares[i].worker.clock = &w.clock_ns;
        worker_open(&shares[i].worker, 64, NULL);
        w.arenas[w.arena_count++] = shares[i].worker.arena;
    }
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, share_read, &shares[i]), 0);
    for (uint32_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(sum(shares[i].out.good) + shares[i].out.bad[2], 4 * OUTCOMES);
        assert_true(shares[i].out.good[2] > shares[i].out.bad[2]);
    }
    worker_end(&w);
}

static void workers_open(struct worker *w, struct worker *both)
{
    for (uint32_t i = 0; i < 2; i++) {
        both[i] = *w;
        both[i].clock = &w->clock_ns;
        worker_open(&both[i], 64, NULL);
        w->arenas[w->arena_count++] = both[i].arena;
    }
}

/* Whatever one worker alone can bring about. */
static void worker_turns(struct worker *w)
{
    struct diskmap_read *done;

    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(diskmap_reap(w->dm, &done, 1, worker_now(w)), 0);
        worker_move(w, worker_now(w) + 100 * NS_PER_US);
    }
}

/* One worker's turn creates the queues for which another one's read waits, which looks once more
 * before it sleeps. */
static void what_others_turned_is_seen(void **state)
{
    static const char *const options[DISKS] = {",delay=10us", "file", "file", "file"};
    struct diskmap_read read = {.len = 5000};
    struct worker w, both[2];
    struct pollfd p = {.events = POLLIN};

    assert_int_equal(disks_begin(&w, options), 0);
    workers_open(&w, both);
    read.object = find(&both[0], 0, 0);
    read.buf = both[0].buffers;
    // Interrupts of whoever had the queue pair before are none for it.
    (void)diskmap_fd(both[0].dm);
    diskmap_read(both[0].dm, &read, worker_now(&w));
    diskmap_kick(both[0].dm, worker_now(&w));
    worker_turns(&both[1]);
    p.fd = diskmap_fd(both[0].dm);
    worker_turns(&both[1]);
    assert_int_equal(poll(&p, 1, 0), 1);
    for (uint32_t i = 0; i < 2; i++)
        diskmap_close(both[i].dm);
    worker_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_disks_are_read_at_once),
        cmocka_unit_test(disks_and_files_are_one_set),
        cmocka_unit_test(the_others_go_on),
        cmocka_unit_test(a_lost_disk_wakes_nobody),
        cmocka_unit_test(a_namespace_may_disappear),
        cmocka_unit_test(stuck_commands_end),
        cmocka_unit_test(a_worker_without_a_queue_pair_is_told),
        cmocka_unit_test(workers_share_disks),
        cmocka_unit_test(what_others_turned_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

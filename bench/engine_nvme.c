// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine_nvme.c - libnvme: a controller, and one queue pair on it, for each disk.
 *
 *     vfio:BDF[,ns=N]  diskmap:NAME[,ns=N]  sim:PATH[,block=BYTES][,delay=MICROSECONDS]
 *
 * All memory is one arena, which the module of `diskmap:` insists on bringing along. A controller
 * in software moves the bytes within the doorbell, in this thread, unless it is told of a delay.
 */
#include "engine.h"
#include "nvme/nvme.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES     200
#define TRANSFER_BYTES (128u << 10) /* a command: libnvme's default */
/* Queue entries, a tracker and its list of pages for each command; the admin queue and what it
 * reads into for each controller. */
#define COMMAND_BYTES    1024
#define CONTROLLER_BYTES (2u << 20)
#define NAP_NS           NS_PER_MS /* what a controller does by itself wakes nobody */
#define SIM_BLOCK_BYTES  4096

struct disk_spec {
    char where[NAME_BYTES];
    uint64_t ns_id; /* 0: the first that there is */
    uint64_t block_bytes, delay_us;
};

struct nvme_disk {
    struct nvme_access *access; /* the controller's, when there is one */
    struct nvme_ctrlr *ctrlr;
    struct nvme_qpair *qpair;
    uint32_t ns_id, block_shift;
    int file; /* sim:'s medium, or -1 */
};

struct nvme_engine {
    struct engine pub;
    struct nvme_disk disks[ENGINE_DISKS_MAX];
    struct iohdesc *ios; /* by slot */
    struct engine_io **done;
    uint32_t done_count, out;
};

static struct nvme_engine *nvme_of(struct engine *e)
{
    return container_of(e, struct nvme_engine, pub);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_done(struct iohdesc *io, int error)
{
    struct engine_io *done = io->arg;
    struct nvme_engine *n = nvme_of(done->engine);

    done->error = error;
    n->done[n->done_count++] = done;
}

static void nvme_submit(struct engine *e, struct engine_io *io)
{
    struct nvme_engine *n = nvme_of(e);
    struct nvme_disk *d = &n->disks[io->disk];
    struct iohdesc *request = &n->ios[io->slot];
    int rc;

    io->engine = e;
    *request = (struct iohdesc){.ioqp = d->qpair,
                                .ns_id = d->ns_id,
                                .lba = io->off >> d->block_shift,
                                .lba_count = e->config.bytes >> d->block_shift,
                                .buf = io->buf,
                                .op_complete = read_done,
                                .arg = io};
    n->out++;
    rc = nvme_read(request);
    if (rc)
        read_done(request, rc); // it comes back like the others
}

static void turn(struct nvme_engine *n, uint64_t now_ns)
{
    for (uint32_t i = 0; i < n->pub.config.disk_count; i++) {
        struct nvme_disk *d = &n->disks[i];

        (void)nvme_ctrlr_turn(d->ctrlr, now_ns); // of one that is lost, requests end with an error
        if (nvme_consume_completions(d->qpair, NVME_DEPTH_MAX))
            nvme_cqsync(d->qpair);
        nvme_sqsync(d->qpair); // what had found no room
    }
}

/* Sleeps until a controller interrupts, or has something to do at a known time. */
static void nap(struct nvme_engine *n, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + NAP_NS, count;
    struct pollfd fds[ENGINE_DISKS_MAX];
    struct timespec ts = {0};

    for (uint32_t i = 0; i < n->pub.config.disk_count; i++) {
        fds[i] = (struct pollfd){.fd = nvme_fd(n->disks[i].qpair), .events = POLLIN};
        // What interrupted so far is forgotten first and looked for then.
        if (fds[i].fd >= 0 && read(fds[i].fd, &count, sizeof(count)) < 0)
            count = 0;
        if (fds[i].fd < 0 || nvme_peek_completions(n->disks[i].qpair))
            return;
        until_ns = min_u64(until_ns, nvme_ctrlr_next_ns(n->disks[i].ctrlr));
    }
    if (until_ns <= now_ns)
        return;
    ts.tv_nsec = (long)(until_ns - now_ns);
    (void)ppoll(fds, n->pub.config.disk_count, &ts, NULL);
}

static uint32_t nvme_reap(struct engine *e, struct engine_io **done, uint64_t now_ns)
{
    struct nvme_engine *n = nvme_of(e);
    uint32_t count;

    for (uint32_t i = 0; i < e->config.disk_count; i++)
        nvme_sqsync(n->disks[i].qpair);
    turn(n, now_ns);
    while (e->config.sleep && n->out && !n->done_count) {
        nap(n, now_ns);
        now_ns = clock_ns(CLOCK_MONOTONIC);
        turn(n, now_ns);
    }
    count = n->done_count;
    memcpy(done, n->done, count * sizeof(struct engine_io *));
    n->done_count = 0;
    n->out -= count;
    return count;
}

/* --- specs ------------------------------------------------------------------------------------ */

static bool take_option(const char *text, const char *name, uint64_t *out)
{
    size_t len = strlen(name);
    char *end;

    if (strncmp(text, name, len) || text[len] != '=')
        return false;
    *out = strtoull(text + len + 1, &end, 10);
    return end > text + len + 1 && (*end == '\0' || *end == ',');
}

static bool spec_parse(struct disk_spec *out, const char *text)
{
    const char *colon = strchr(text, ':');
    size_t len = strcspn(text, ",");
    bool sim;

    if (!colon || colon >= text + len - 1 || len - (size_t)(colon + 1 - text) >= NAME_BYTES)
        return false;
    sim = !strncmp(text, "sim:", 4);
    *out = (struct disk_spec){.block_bytes = SIM_BLOCK_BYTES};
    memcpy(out->where, colon + 1, len - (size_t)(colon + 1 - text));
    for (text += len; *text == ','; text += strcspn(text, ",")) {
        text++;
        if (!(sim ? take_option(text, "block", &out->block_bytes) ||
                        take_option(text, "delay", &out->delay_us)
                  : take_option(text, "ns", &out->ns_id)))
            return false;
    }
    return is_pow2(out->block_bytes) && out->block_bytes >= 512 && out->block_bytes <= 4096;
}

static int sim_move(void *media, void *host, size_t bytes, uint64_t off, bool write)
{
    struct nvme_disk *d = media;

    if (write)
        return -EROFS;
    for (size_t at = 0; at < bytes;) {
        ssize_t got = pread(d->file, (char *)host + at, bytes - at, (off_t)(off + at));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -EIO;
        at += (size_t)got;
    }
    return 0;
}

static int sim_open(struct nvme_disk *d, const struct disk_spec *spec, char *why, size_t why_bytes)
{
    uint32_t log = (uint32_t)__builtin_ctzll(spec->block_bytes);
    struct nvme_sim_config config = {.delay_min_ns = spec->delay_us * NS_PER_US,
                                     .delay_max_ns = spec->delay_us * NS_PER_US,
                                     .interrupts = true};
    off_t bytes;
    int rc;

    d->file = open(spec->where, O_RDONLY | O_CLOEXEC);
    bytes = d->file < 0 ? -1 : lseek(d->file, 0, SEEK_END); // of a block device too
    if (bytes < 0) {
        rc = -errno;
        snprintf(why, why_bytes, "%.150s: %s", spec->where, strerror(-rc));
        return rc;
    }
    config.namespaces[0] = (struct nvme_sim_namespace){
        .media = d, .blocks = (uint64_t)bytes >> log, .block_log = (uint8_t)log, .move = sim_move};
    rc = nvme_sim_open(&d->access, &config);
    if (rc)
        snprintf(why, why_bytes, "%.150s: no controller in software: %s", spec->where,
                 strerror(-rc));
    return rc;
}

static size_t arena_bytes(const struct engine_config *config, uint32_t depth)
{
    return config->buffers_bytes +
           config->disk_count * ((size_t)depth * COMMAND_BYTES + CONTROLLER_BYTES) +
           config->window * (sizeof(struct iohdesc) + sizeof(void *)) + 4 * PAGE_BYTES;
}

static int access_open(struct nvme_engine *n, uint32_t i, size_t memory_bytes, uint32_t *ns_id,
                       char *why, size_t why_bytes)
{
    const char *text = n->pub.config.disks[i];
    struct nvme_disk *d = &n->disks[i];
    struct disk_spec spec;

    if (spec_parse(&spec, text)) {
        *ns_id = (uint32_t)spec.ns_id;
        if (!strncmp(text, "sim:", 4))
            return sim_open(d, &spec, why, why_bytes);
        if (!strncmp(text, "vfio:", 5))
            return nvme_vfio_open(&d->access, spec.where, why, why_bytes);
        if (!strncmp(text, "diskmap:", 8)) {
            struct nvme_kmod_config config = {.name = spec.where};

            if (i)
                config.sharing = n->disks[0].access;
            else
                config.memory_bytes = memory_bytes;
            return nvme_kmod_open(&d->access, &config, why, why_bytes);
        }
    }
    snprintf(why, why_bytes,
             "%.100s: libnvme reads vfio:BDF[,ns=N], diskmap:NAME[,ns=N] or "
             "sim:PATH[,block=512-4096][,delay=MICROSECONDS]",
             text);
    return -EINVAL;
}

/* --- opening and closing ---------------------------------------------------------------------- */

/* Goes on until the controller is there, or it is known that it never will be. */
static enum nvme_state turn_until(struct nvme_ctrlr *ctrlr, enum nvme_state wanted)
{
    enum nvme_state state;

    do
        state = nvme_ctrlr_turn(ctrlr, clock_ns(CLOCK_MONOTONIC));
    while (state != wanted && state != NVME_DEAD && state != NVME_CLOSED);
    return state;
}

static void nvme_engine_close(struct engine *e)
{
    struct nvme_engine *n = nvme_of(e);

    for (uint32_t i = e->config.disk_count; i-- > 0;) {
        struct nvme_disk *d = &n->disks[i];

        if (d->ctrlr) {
            nvme_ctrlr_stop(d->ctrlr);
            turn_until(d->ctrlr, NVME_CLOSED);
            nvme_ctrlr_close(d->ctrlr);
        } else if (d->access) {
            nvme_access_close(d->access);
        }
        if (d->file >= 0)
            close(d->file);
    }
    if (e->arena)
        mem_arena_close(e->arena);
    free(n);
}

/* The first controller's access decides where the arena lies. */
static int arena_open(struct nvme_engine *n, size_t bytes)
{
    size_t memory_bytes;
    void *memory;

    if (!nvme_access_memory(n->disks[0].access, &memory, &memory_bytes))
        return mem_arena_open(&n->pub.arena, bytes, MEM_ARENA_HUGE);
    memset(memory, 0, memory_bytes); // whoever had it before may have left something
    return mem_arena_open_in(&n->pub.arena, memory, memory_bytes);
}

static int namespace_find(struct nvme_disk *d, uint32_t ns_id, struct engine_disk *out)
{
    const struct nvme_namespace *ns;

    for (uint32_t i = 0; (ns = nvme_ctrlr_namespace(d->ctrlr, i)) != NULL; i++) {
        if (!ns->blocks || (ns_id && ns->ns_id != ns_id))
            continue;
        d->ns_id = ns->ns_id;
        d->block_shift = (uint32_t)__builtin_ctz(ns->block_bytes);
        *out = (struct engine_disk){ns->blocks << d->block_shift, ns->block_bytes};
        return 0;
    }
    return -ENXIO;
}

static int disk_open(struct nvme_engine *n, uint32_t i, uint32_t depth, char *why, size_t why_bytes)
{
    struct nvme_disk *d = &n->disks[i];
    struct nvme_config config = {.qpairs = 1, .depth = depth};
    uint32_t ns_id = 0;
    int rc = access_open(n, i, arena_bytes(&n->pub.config, depth), &ns_id, why, why_bytes);

    if (rc)
        return rc;
    if (!n->pub.arena)
        rc = arena_open(n, arena_bytes(&n->pub.config, depth));
    if (rc) {
        snprintf(why, why_bytes, "no memory for the buffers: %s", strerror(-rc));
        return rc;
    }
    config.access = d->access;
    config.arena = n->pub.arena;
    rc = nvme_ctrlr_open(&d->ctrlr, &config, why, why_bytes);
    if (rc)
        return rc;
    rc = turn_until(d->ctrlr, NVME_READY) == NVME_READY ? 0 : -EIO;
    if (!rc)
        rc = namespace_find(d, ns_id, &n->pub.disks[i]);
    if (!rc)
        rc = nvme_open(&d->qpair, d->ctrlr, 1, n->pub.arena);
    if (rc)
        snprintf(why, why_bytes, "%.100s: %s", n->pub.config.disks[i],
                 *nvme_ctrlr_why(d->ctrlr) ? nvme_ctrlr_why(d->ctrlr) : strerror(-rc));
    return rc;
}

static int nvme_engine_open(struct engine **out, const struct engine_config *config, char *why,
                            size_t why_bytes)
{
    struct nvme_engine *n = calloc(1, sizeof(*n));
    uint32_t reads = (config->window + config->disk_count - 1) / config->disk_count;
    uint32_t commands = (config->bytes + TRANSFER_BYTES - 1) / TRANSFER_BYTES;
    uint32_t depth = min_u32(reads * commands, NVME_DEPTH_MAX);
    int rc = 0;

    if (!n)
        return -ENOMEM;
    n->pub = (struct engine){.ops = &engine_nvme_ops, .config = *config};
    for (uint32_t i = 0; i < config->disk_count; i++)
        n->disks[i].file = -1;
    for (uint32_t i = 0; !rc && i < config->disk_count; i++)
        rc = disk_open(n, i, depth, why, why_bytes);
    if (!rc) {
        n->ios = mem_arena_alloc(n->pub.arena, config->window * sizeof(*n->ios), CACHE_LINE);
        n->done =
            mem_arena_alloc(n->pub.arena, config->window * sizeof(struct engine_io *), CACHE_LINE);
        if (!n->ios || !n->done) {
            snprintf(why, why_bytes, "not enough memory for the queues of so many reads");
            rc = -ENOMEM;
        }
    }
    if (rc) {
        nvme_engine_close(&n->pub);
        return rc;
    }
    *out = &n->pub;
    return 0;
}

/* The arena was mapped with the queue pair. */
static int nvme_start(struct engine *e, void *buffers, size_t bytes)
{
    return 0;
}

const struct engine_ops engine_nvme_ops = {
    .name = "libnvme",
    .window_max = ENGINE_WINDOW_MAX,
    .open = nvme_engine_open,
    .start = nvme_start,
    .submit = nvme_submit,
    .reap = nvme_reap,
    .close = nvme_engine_close,
};

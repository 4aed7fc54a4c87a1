// SPDX-License-Identifier: BSD-2-Clause
/*
 * root.c - a directory tree as it lies.
 *
 * Every find asks the file system anew, beneath the directory and never through a symbolic link,
 * and looks at what it finds there before it opens it. A file that is the same as last time
 * (device, inode, size, times) is the object that is known already, with its open file. Anything
 * else is a new object with a new ETag; streams that still hold the old one read the old file to
 * its end, even when its name is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/list.h"
#include "base/siphash.h"
#include "catalogue.h"
#include "priv.h"

#define ROOT_BUCKETS  (2 * ROOT_OBJECTS_MAX)
#define ROOT_NONE     UINT32_MAX
#define OPEN_ATTEMPTS 4 /* openat2 may be disturbed by a rename and says -EAGAIN */

/* What tells one state of a file from another. */
struct identity {
    uint64_t dev, ino, bytes;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
};
_Static_assert(sizeof(struct identity) == 48, "no padding: it is compared and hashed as bytes");

struct root_object {
    struct object o;
    struct list unpinned; /* linked while nobody holds it */
    uint32_t pins;
    uint32_t bucket;
    uint32_t next; /* in the bucket */
    bool findable; /* in its bucket; otherwise it goes with its last pin */
    struct identity identity;
    char path[DISKMAP_PATH_MAX];
};

struct root {
    int dir;
    struct device *device;
    uint64_t key[2];
    struct mem_pool pool; /* an object's number is its slot at the device */
    struct list unpinned; /* the longest unused first */
    uint32_t *buckets;
};

/* --- the file system -------------------------------------------------------------------------- */

/* One component at a time, each opened in the directory before it: what openat2 does, for kernels
 * and containers that do not have it. */
int root_walk_beneath(int dir, const char *path, int flags)
{
    int at = dir, next;
    char name[DISKMAP_PATH_MAX + 1];

    for (;;) {
        size_t len = strcspn(path, "/");
        bool last = path[len] == 0;

        if (len == 0 || (len == 1 && path[0] == '.') || (len == 2 && !memcmp(path, "..", 2)) ||
            len >= sizeof(name)) {
            next = -ENOENT;
        } else {
            memcpy(name, path, len);
            name[len] = 0;
            next = openat(at, name, O_NOFOLLOW | O_CLOEXEC | (last ? flags : O_PATH | O_DIRECTORY));
            next = next < 0 ? -errno : next;
        }
        if (at != dir)
            close(at);
        if (next < 0 || last)
            return next;
        at = next;
        path += len + 1;
    }
}

int root_open_beneath(int dir, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd = -1;

    for (int i = 0; i < OPEN_ATTEMPTS && fd < 0; i++) {
        fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
        if (fd < 0 && errno == ENOSYS)
            return root_walk_beneath(dir, path, flags);
        if (fd < 0 && errno != EAGAIN && errno != EINTR)
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

/* The few answers that a caller can act on. */
static int root_error(int rc)
{
    switch (rc) {
    case -ENOENT:
    case -ENOTDIR:
    case -ELOOP: /* a symbolic link */
    case -EXDEV: /* out of the tree */
        return -ENOENT;
    case -EPERM:
    case -EACCES:
    case -ENXIO:
    case -ENODEV:
        return -EACCES;
    case -EMFILE:
    case -ENFILE:
        return -EMFILE;
    case -ENAMETOOLONG:
    case -ENOMEM:
    case -EISDIR:
        return rc;
    default:
        return -EIO;
    }
}

/* What is open as `fd`: 0 when it is a regular file. */
static int file_identify(int fd, struct identity *id)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st))
        return -errno;
    if (S_ISDIR(st.stx_mode))
        return -EISDIR;
    if (!S_ISREG(st.stx_mode))
        return -EACCES;
    *id = (struct identity){.dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor,
                            .ino = st.stx_ino,
                            .bytes = st.stx_size,
                            .mtime_s = st.stx_mtime.tv_sec,
                            .ctime_s = st.stx_ctime.tv_sec,
                            .mtime_ns = st.stx_mtime.tv_nsec,
                            .ctime_ns = st.stx_ctime.tv_nsec};
    return 0;
}

/* Looks without opening: an open may block on a FIFO, or set a device in motion. */
static int path_identify(const struct root *root, const char *path, struct identity *id)
{
    int rc, fd = root_open_beneath(root->dir, path, O_PATH);

    if (fd < 0)
        return fd;
    rc = file_identify(fd, id);
    close(fd);
    return rc;
}

/* --- objects ---------------------------------------------------------------------------------- */

static struct root_object *root_object_of(const struct diskmap_object *object)
{
    return container_of(object, struct root_object, o.pub);
}

static struct root_object *root_lookup(const struct root *root, uint32_t bucket, const char *path,
                                       size_t len)
{
    for (uint32_t i = root->buckets[bucket]; i != ROOT_NONE;) {
        struct root_object *ro = mem_pool_at(&root->pool, i);

        if (ro->o.path_bytes == len && !memcmp(ro->path, path, len))
            return ro;
        i = ro->next;
    }
    return NULL;
}

static void root_hide(struct root *root, struct root_object *ro)
{
    uint32_t *at = &root->buckets[ro->bucket];

    while (*at != ro->o.slot)
        at = &((struct root_object *)mem_pool_at(&root->pool, *at))->next;
    *at = ro->next;
    ro->findable = false;
}

/* Nobody holds it and nobody can find it: the file is closed. */
static void root_release(struct root *root, struct root_object *ro)
{
    int rc;

    list_remove(&ro->unpinned);
    rc = root->device->ops->slot_set(root->device, ro->o.slot, -1);
    // Taking a file out of a table that exists does not fail; were it to, the slot's next file
    // replaces it.
    (void)rc;
    mem_pool_put(&root->pool, ro);
}

/* Its name means something else now. */
static void root_forget(struct root *root, struct root_object *ro)
{
    root_hide(root, ro);
    if (!ro->pins)
        root_release(root, ro);
}

static struct root_object *root_take(struct root *root)
{
    struct root_object *oldest = list_first(&root->unpinned, struct root_object, unpinned);
    struct root_object *ro = mem_pool_get(&root->pool);

    if (ro || !oldest)
        return ro;
    root_forget(root, oldest);
    return mem_pool_get(&root->pool);
}

static void root_fill(struct root *root, struct root_object *ro, const struct identity *id,
                      uint32_t align)
{
    static const uint64_t etag_key[2] = {0x61746c6173206574, 0x6167206120747265};

    ro->identity = *id;
    ro->pins = 0;
    ro->findable = false;
    list_init(&ro->unpinned);
    ro->o = (struct object){
        .pub = {.bytes = id->bytes, .mtime_s = id->mtime_s, .align = align},
        .slot = mem_pool_index(&root->pool, ro),
    };
    // Two hashes of different length: 128 bits that tell nothing about the inode.
    ro->o.pub.etag[0] = siphash13(etag_key, id, sizeof(*id));
    ro->o.pub.etag[1] = siphash24(etag_key, id, sizeof(*id));
}

/* Opens the file, which may have been replaced since it was looked at: what counts is what is open.
 */
static int root_open_object(struct root *root, const char *path, struct root_object **out)
{
    struct identity id;
    struct root_object *ro;
    int fd = root_open_beneath(root->dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    int rc = fd < 0 ? fd : file_identify(fd, &id);

    if (rc < 0)
        goto close_fd;
    rc = -EMFILE;
    ro = root_take(root);
    if (!ro)
        goto close_fd;
    root_fill(root, ro, &id, direct_enable(fd));
    rc = root->device->ops->slot_set(root->device, ro->o.slot, fd);
    if (rc) {
        mem_pool_put(&root->pool, ro);
        return rc;
    }
    *out = ro;
    return 0;

close_fd:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* `name` is below the directory, without the leading '/', and ends with NUL. */
static int root_find_file(struct root *root, const char *name, size_t len, struct root_object **out)
{
    uint32_t bucket = (uint32_t)(siphash13(root->key, name, len) % ROOT_BUCKETS);
    struct root_object *ro = root_lookup(root, bucket, name, len);
    struct identity id;
    int rc = path_identify(root, name, &id);

    if (!rc && ro && !memcmp(&id, &ro->identity, sizeof(id))) {
        *out = ro;
        return 0;
    }
    if (ro)
        root_forget(root, ro);
    if (rc)
        return rc;
    rc = root_open_object(root, name, &ro);
    if (rc)
        return rc;
    memcpy(ro->path, name, len);
    ro->o.path_bytes = (uint16_t)len;
    ro->bucket = bucket;
    ro->next = root->buckets[bucket];
    root->buckets[bucket] = ro->o.slot;
    ro->findable = true;
    *out = ro;
    return 0;
}

int root_find(struct root *root, const char *path, size_t len, const struct diskmap_object **object)
{
    bool directory = len && path[len - 1] == '/';
    char name[DISKMAP_PATH_MAX + 1];
    struct root_object *ro;
    struct identity id;
    int rc;

    if (len == 1 && directory)
        return -EISDIR;
    if (len < 2 || !path_is_valid(path, len - directory))
        return -ENOENT;
    memcpy(name, path + 1, len - 1 - directory);
    name[len - 1 - directory] = 0;
    if (directory) {
        rc = path_identify(root, name, &id);
        return root_error(rc ? rc : -ENOTDIR);
    }
    rc = root_find_file(root, name, len - 1, &ro);
    if (rc)
        return root_error(rc);
    root_hold(root, &ro->o.pub);
    *object = &ro->o.pub;
    return 0;
}

void root_hold(struct root *root, const struct diskmap_object *object)
{
    struct root_object *ro = root_object_of(object);

    list_remove(&ro->unpinned);
    ro->pins++;
}

void root_drop(struct root *root, const struct diskmap_object *object)
{
    struct root_object *ro = root_object_of(object);

    assert(ro->pins > 0);
    if (--ro->pins)
        return;
    if (ro->findable)
        list_push_tail(&root->unpinned, &ro->unpinned);
    else
        root_release(root, ro);
}

int root_open(struct root **out, const struct diskmap_set *set, const struct diskmap_config *config,
              struct device *device)
{
    struct root *root = mem_arena_alloc(config->arena, sizeof(*root), CACHE_LINE);
    int rc;

    if (!root)
        return -ENOMEM;
    root->dir = set->root_fd;
    root->device = device;
    memcpy(root->key, set->map.key, sizeof(root->key));
    list_init(&root->unpinned);
    root->buckets =
        mem_arena_alloc(config->arena, ROOT_BUCKETS * sizeof(*root->buckets), CACHE_LINE);
    if (!root->buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < ROOT_BUCKETS; i++)
        root->buckets[i] = ROOT_NONE;
    rc = mem_pool_init(&root->pool, config->arena, sizeof(struct root_object),
                       min_u32(ROOT_OBJECTS_MAX, device->slots));
    if (rc)
        return rc;
    *out = root;
    return 0;
}

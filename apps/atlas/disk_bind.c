// SPDX-License-Identifier: BSD-2-Clause
/*
 * disk_bind.c - gives a disk to another driver.
 *
 * The kernel is asked by driver_override, which names the only driver that may have the function,
 * so that nothing else of the same kind changes hands. While a disk is taken from the kernel's own
 * driver its namespaces are held, so that nobody can mount what is about to vanish.
 */
#include "disk_priv.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_USAGE 2

/* driver_override that is set to this is unset. */
#define NO_OVERRIDE "\n"

static int sysfs_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int error = n < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    return error;
}

static int function_write(const char *bdf, const char *file, const char *text)
{
    char path[DISK_PATH_BYTES];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
    return sysfs_write(path, text);
}

static bool driver_is_there(const char *driver)
{
    char path[DISK_PATH_BYTES];

    snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s", driver);
    return access(path, F_OK) == 0;
}

static void driver_of(const char *bdf, char *out, size_t bytes)
{
    char path[DISK_PATH_BYTES];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
    disk_link(path, out, bytes);
}

static void say_use(void *arg, const char *use)
{
    const struct disk_function *disk = arg;

    log_error("%s is in use: %s", disk->bdf, use);
}

/* --- holding ---------------------------------------------------------------------------------- */

struct held {
    int fds[DISK_NAMESPACES_MAX];
    uint32_t count;
};

static void release(struct held *held)
{
    while (held->count)
        close(held->fds[--held->count]);
}

/* False: somebody was faster, or it may not be opened; it has been said. */
static bool hold(const struct disk_function *disk, struct held *held)
{
    *held = (struct held){0};
    for (uint32_t i = 0; i < disk->block_count; i++) {
        char path[DISK_PATH_BYTES];
        int fd;

        snprintf(path, sizeof(path), "/dev/%s", disk->blocks[i]);
        fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
        if (fd < 0) {
            log_error("cannot take %s for ourselves: %s", path, strerror(errno));
            release(held);
            return false;
        }
        held->fds[held->count++] = fd;
    }
    return true;
}

/* --- changing hands --------------------------------------------------------------------------- */

/* To the driver, or, with "", to whichever the kernel finds. */
static int hand_over(const struct disk_function *disk, const char *driver)
{
    char text[DISK_NAME_BYTES + 1];
    int error;

    snprintf(text, sizeof(text), "%s" NO_OVERRIDE, driver);
    error = function_write(disk->bdf, "driver_override", text);
    if (!error && disk->driver[0])
        error = function_write(disk->bdf, "driver/unbind", disk->bdf);
    // It is no error of the call if no driver wants it.
    return error ? error : sysfs_write("/sys/bus/pci/drivers_probe", disk->bdf);
}

/* As it is to be written to restore it. */
static void override_read(const char *bdf, char *out, size_t bytes)
{
    char path[DISK_PATH_BYTES], driver[DISK_NAME_BYTES];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
    // What the kernel says of one that is not set.
    if (!disk_read(path, driver, sizeof(driver)) || strcmp(driver, "(null)") == 0)
        driver[0] = '\0';
    snprintf(out, bytes, "%.30s" NO_OVERRIDE, driver);
}

/* `driver`: "" for the kernel's own. True: it has it now. */
static bool change(const struct disk_function *disk, const char *driver)
{
    const char *wanted = driver[0] ? driver : DISK_DRIVER_KERNEL;
    char now[DISK_NAME_BYTES], before[DISK_NAME_BYTES];
    struct held held;
    int error;

    if (disk_uses(disk, say_use, (void *)disk) || !hold(disk, &held))
        return false;
    override_read(disk->bdf, before, sizeof(before));
    error = hand_over(disk, driver);
    release(&held);
    driver_of(disk->bdf, now, sizeof(now));
    if (!error && strcmp(now, wanted) == 0)
        return true;
    if (error)
        log_error("%s does not change hands: %s%s", disk->bdf, strerror(-error),
                  error == -EACCES || error == -EPERM ? " (are you root?)" : "");
    else
        log_error("%s did not take %s: dmesg says why", wanted, disk->bdf);
    // Where nobody has it, whoever had it gets it back.
    if (!now[0] && disk->driver[0]) {
        struct disk_function nobodys = *disk;

        nobodys.driver[0] = '\0';
        if (hand_over(&nobodys, strcmp(disk->driver, DISK_DRIVER_KERNEL) ? disk->driver : ""))
            log_error("%s belongs to no driver now", disk->bdf);
    }
    // Otherwise the next who looks for its driver would meet the one that it was not to have.
    (void)function_write(disk->bdf, "driver_override", before);
    return false;
}

static bool may_bind(const struct disk_function *disk, const char *driver)
{
    if (!driver_is_there(driver)) {
        log_error("the driver %s is not loaded: modprobe %s", driver, driver);
        return false;
    }
    // The module decides by itself what it takes without one.
    if (!disk->group[0] && strcmp(driver, DISK_DRIVER_VFIO) == 0) {
        log_error("no IOMMU guards %s: enable it in the firmware (VT-d, AMD-Vi) and boot with "
                  "intel_iommu=on",
                  disk->bdf);
        return false;
    }
    return true;
}

/* The file by which the disk is had, to its new owner. */
static bool give_to(const char *bdf, uid_t owner)
{
    struct disk_function disk;
    char path[DISK_PATH_BYTES];
    bool is_vfio;

    if (!disk_find(bdf, &disk))
        return false;
    is_vfio = strcmp(disk.driver, DISK_DRIVER_VFIO) == 0;
    snprintf(path, sizeof(path), "/dev/%s%s", is_vfio ? "vfio/" : "",
             is_vfio ? disk.group : disk.name);
    if (chown(path, owner, (gid_t)-1)) {
        log_error("cannot give %s to user %u: %s", path, owner, strerror(errno));
        return false;
    }
    // Where the kernel has them: the disk's own file.
    snprintf(path, sizeof(path), "/dev/vfio/devices/%s", disk.name);
    if (is_vfio && disk.name[0] && chown(path, owner, (gid_t)-1) && errno != ENOENT) {
        log_error("cannot give %s to user %u: %s", path, owner, strerror(errno));
        return false;
    }
    return true;
}

/* --- commands --------------------------------------------------------------------------------- */

static const char bind_usage[] =
    "usage: atlas disk bind [--driver vfio-pci|diskmap] [--owner USER] DISK...\n"
    "\n"
    "Takes disks from the kernel's NVMe driver, for servers to use them as vfio:ADDRESS "
    "(vfio-pci,\n"
    "which is the default) or as diskmap:NAME (our kernel module). A disk that is mounted, or in\n"
    "use in any other way, is refused.\n"
    "\n"
    "  --driver NAME  vfio-pci or diskmap\n"
    "  --owner USER   who may use the disk besides root\n";

static const char unbind_usage[] =
    "usage: atlas disk unbind DISK...\n"
    "\n"
    "Gives disks back to the kernel's NVMe driver. A disk that a process has is refused.\n";

struct bind_options {
    const char *driver;
    const char *owner;
    uid_t uid;
};

static bool owner_known(struct bind_options *options)
{
    const struct passwd *user = getpwnam(options->owner);
    char *end;

    if (user) {
        options->uid = user->pw_uid;
        return true;
    }
    options->uid = (uid_t)strtoul(options->owner, &end, 10);
    return end != options->owner && !*end;
}

/* True: go on. False: exit with *status. */
static bool bind_parse(int argc, char **argv, struct bind_options *options, int *status)
{
    static const struct option longs[] = {{"driver", required_argument, NULL, 'd'},
                                          {"owner", required_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int c;

    *options = (struct bind_options){.driver = DISK_DRIVER_VFIO};
    *status = EXIT_USAGE;
    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'd') {
            options->driver = optarg;
        } else if (c == 'o') {
            options->owner = optarg;
        } else if (c == 'h') {
            fputs(bind_usage, stdout);
            *status = EXIT_SUCCESS;
            return false;
        } else {
            log_error("what is '%s'? See atlas disk bind --help", argv[optind - 1]);
            return false;
        }
    }
    if (strcmp(options->driver, DISK_DRIVER_VFIO) && strcmp(options->driver, DISK_DRIVER_DISKMAP))
        log_error("--driver is vfio-pci or diskmap, not '%s'", options->driver);
    else if (options->owner && !owner_known(options))
        log_error("there is no user '%s'", options->owner);
    else if (optind == argc)
        log_error("which disk? See atlas disk list, and atlas disk bind --help");
    else
        return true;
    return false;
}

int disk_bind(int argc, char **argv)
{
    struct bind_options options;
    int status;

    if (!bind_parse(argc, argv, &options, &status))
        return status;
    for (int i = optind; i < argc; i++) {
        struct disk_function disk;

        if (!disk_find(argv[i], &disk))
            return EXIT_FAILURE;
        if (strcmp(disk.driver, options.driver) &&
            (!may_bind(&disk, options.driver) || !change(&disk, options.driver)))
            return EXIT_FAILURE;
        if (options.owner && !give_to(disk.bdf, options.uid))
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int disk_unbind(int argc, char **argv)
{
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(unbind_usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc < 2 || argv[1][0] == '-') {
        log_error("which disk? See atlas disk list, and atlas disk unbind --help");
        return EXIT_USAGE;
    }
    for (int i = 1; i < argc; i++) {
        struct disk_function disk;

        if (!disk_find(argv[i], &disk))
            return EXIT_FAILURE;
        if (!driver_is_there(DISK_DRIVER_KERNEL)) {
            log_error("the kernel's own driver is not loaded: modprobe nvme");
            return EXIT_FAILURE;
        }
        if (strcmp(disk.driver, DISK_DRIVER_KERNEL) && !change(&disk, ""))
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

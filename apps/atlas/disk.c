// SPDX-License-Identifier: BSD-2-Clause
#include "disk.h"

#include "base/log.h"
#include "disk_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define EXIT_USAGE 2

static int disk_list(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"list", disk_list, "show the NVMe disks of this machine, and who has them"},
    {"info", disk_info, "say more of some, their health above all"},
    {"bind", disk_bind, "take disks from the kernel, for servers to use"},
    {"unbind", disk_unbind, "give disks back to the kernel"},
};

static void print_usage(FILE *out)
{
    fputs("usage: atlas disk COMMAND ...\n\n", out);
    for (size_t i = 0; i < array_len(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\nA disk is named by its PCI address (0000:01:00.0) or as the kernel does (nvme0).\n"
          "atlas disk COMMAND --help says more; so does atlas(8).\n",
          out);
}

/* Further uses stand below the first, in its column. */
struct column {
    int width;
    bool begun;
};

static void print_use(void *arg, const char *use)
{
    struct column *column = arg;

    if (column->begun)
        printf("%*s", column->width, "");
    puts(use);
    column->begun = true;
}

static const char *or_dash(const char *text)
{
    return text[0] ? text : "-";
}

static int disk_list(int argc, char **argv)
{
    struct disk_function *disks;
    int count;

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        puts("usage: atlas disk list\n\nShows every NVMe disk: its PCI address, the driver that "
             "has it and what that\ncalls it, its IOMMU group, its size and model as far as the "
             "driver says, and\nwho uses it.");
        return EXIT_SUCCESS;
    }
    if (argc > 1) {
        log_error("atlas disk list takes no '%s'", argv[1]);
        return EXIT_USAGE;
    }
    count = disk_scan(&disks);
    if (count < 0) {
        log_error("cannot look for disks: %s", strerror(-count));
        return EXIT_FAILURE;
    }
    printf("%-12s  %-8s  %-9s  %-5s  %8s  %-24s  %s\n", "DISK", "DRIVER", "NAME", "GROUP", "GB",
           "MODEL", "USED BY");
    for (int i = 0; i < count; i++) {
        const struct disk_function *d = &disks[i];
        struct column column = {0};
        char size[24] = "-";

        if (d->bytes)
            snprintf(size, sizeof(size), "%.1f", (double)d->bytes / 1e9);
        column.width = printf("%-12s  %-8s  %-9s  %-5s  %8s  %-24s  ", d->bdf, or_dash(d->driver),
                              or_dash(d->name), or_dash(d->group), size, or_dash(d->model));
        if (!disk_uses(d, print_use, &column))
            puts("-");
    }
    free(disks);
    return EXIT_SUCCESS;
}

int disk(int argc, char **argv)
{
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < array_len(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    log_error("'%s' is nothing to do with disks: see atlas disk --help", argv[1]);
    return EXIT_USAGE;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * main.c - one program, several commands.
 */
#include "disk.h"
#include "serve.h"
#include "volume.h"

#include "base/log.h"

#include <stdio.h>

static void print_usage(FILE *out)
{
    fputs("usage: atlas COMMAND ...\n"
          "\n"
          "  serve    serve volumes or a directory over HTTP and HTTPS\n",
          out);
    for (const struct volume_command *c = volume_commands; c->name; c++)
        fprintf(out, "  %-8s %s\n", c->name, c->summary);
    fputs("  disk     show NVMe disks, and take them from the kernel or give them back\n", out);
    fputs("\natlas COMMAND --help says more; so does atlas(8).\n", out);
}

int main(int argc, char **argv)
{
    log_program("atlas");
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("atlas " ATLAS_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "serve") == 0)
        return serve(argc - 1, argv + 1);
    if (strcmp(argv[1], "disk") == 0)
        return disk(argc - 1, argv + 1);
    for (const struct volume_command *c = volume_commands; c->name; c++)
        if (strcmp(argv[1], c->name) == 0)
            return c->run(argc - 1, argv + 1);
    log_error("'%s' is no command: see atlas --help", argv[1]);
    return 2;
}

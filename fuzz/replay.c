// SPDX-License-Identifier: BSD-2-Clause
/*
 * Gives every file that is named, or that lies in a directory that is named, to a fuzz target. This
 * is how a corpus is replayed without a fuzzer, and a crash found by one is looked at.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX_BYTES (1 << 20)
#define PATH_BYTES      4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path)
{
    static uint8_t buffer[INPUT_MAX_BYTES];
    FILE *file = fopen(path, "rb");
    uint8_t *exact;
    size_t size;

    if (!file) {
        perror(path);
        return false;
    }
    size = fread(buffer, 1, sizeof(buffer), file);
    fclose(file);
    exact = malloc(size + !size); /* so that a sanitizer sees a step too far */
    if (!exact)
        return false;
    memcpy(exact, buffer, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return true;
}

static bool replay_dir(DIR *dir, const char *path, unsigned *count)
{
    struct dirent *entry;
    char inner[PATH_BYTES];

    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >= (int)sizeof(inner))
            return false;
        if (!replay_file(inner))
            return false;
        ++*count;
    }
    return true;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        bool ok = dir ? replay_dir(dir, argv[i], &count) : replay_file(argv[i]);

        if (dir)
            closedir(dir);
        else
            count++;
        if (!ok)
            return 1;
    }
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}

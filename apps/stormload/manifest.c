// SPDX-License-Identifier: BSD-2-Clause
#include "manifest.h"

#include "hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGEST_DIGITS (2 * TARGET_DIGEST_BYTES)

static bool parse_digest(const char *s, uint8_t *digest)
{
    for (int i = 0; i < TARGET_DIGEST_BYTES; i++) {
        int high = hex_digit(s[2 * i]), low = high < 0 ? -1 : hex_digit(s[2 * i + 1]);

        if (low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* coreutils begins a line with a backslash when the name has escapes: \\ and \n. In place. */
static void unescape(char *name)
{
    char *out = name;

    for (; *name; name++) {
        if (*name == '\\' && (name[1] == '\\' || name[1] == 'n'))
            *out++ = *++name == 'n' ? '\n' : '\\';
        else
            *out++ = *name;
    }
    *out = '\0';
}

/* Cuts a line into digest and name; false: it is neither that nor empty. */
static bool parse_line(char *line, uint8_t *digest, char **name)
{
    bool escaped = *line == '\\';

    line += escaped;
    if (!parse_digest(line, digest))
        return false;
    line += DIGEST_DIGITS;
    if (line[0] != ' ' || (line[1] != ' ' && line[1] != '*') || line[2] == '\0')
        return false;
    *name = line + 2;
    if (escaped)
        unescape(*name);
    if (strncmp(*name, "./", 2) == 0)
        *name += 1;
    *name += **name == '/';
    return true;
}

static int by_path(const void *a, const void *b)
{
    const struct target *const *left = a, *const *right = b;

    return strcmp((*left)->path, (*right)->path);
}

/* The first of the sorted targets whose path is not before `name`. */
static uint32_t lower_bound(struct target *const *sorted, uint32_t count, const char *name)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (strcmp(sorted[mid]->path, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int read_lines(FILE *in, const char *file, struct target **sorted, uint32_t count, char *why,
                      size_t why_bytes)
{
    char *line = NULL, *name;
    size_t capacity = 0;
    unsigned long number = 0;
    uint8_t digest[TARGET_DIGEST_BYTES];
    int rc = 0;

    while (rc == 0 && getline(&line, &capacity, in) >= 0) {
        number++;
        line[strcspn(line, "\r\n")] = '\0';
        if (*line == '\0')
            continue;
        if (!parse_line(line, digest, &name)) {
            snprintf(why, why_bytes, "%s, line %lu is not a line of sha256sum", file, number);
            rc = -EINVAL;
            continue;
        }
        for (uint32_t i = lower_bound(sorted, count, name);
             i < count && strcmp(sorted[i]->path, name) == 0; i++) {
            memcpy(sorted[i]->digest, digest, sizeof(digest));
            sorted[i]->has_digest = true;
        }
    }
    free(line);
    return rc;
}

int manifest_apply(struct targets *targets, const char *file, char *why, size_t why_bytes)
{
    struct target **sorted = calloc(targets->count, sizeof(struct target *));
    FILE *in = fopen(file, "re");
    int rc = 0;

    if (!in || !sorted) {
        rc = sorted ? -errno : -ENOMEM;
        snprintf(why, why_bytes, "cannot read %s: %s", file, strerror(-rc));
        goto free_sorted;
    }
    for (uint32_t i = 0; i < targets->count; i++)
        sorted[i] = &targets->list[i];
    qsort(sorted, targets->count, sizeof(struct target *), by_path);
    rc = read_lines(in, file, sorted, targets->count, why, why_bytes);
    for (uint32_t i = 0; rc == 0 && i < targets->count; i++)
        if (!targets->list[i].has_digest) {
            snprintf(why, why_bytes, "%s has no digest of '%s'", file, targets->list[i].path);
            rc = -ENOENT;
        }

free_sorted:
    if (in)
        fclose(in);
    free(sorted);
    return rc;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "report.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

static const char *const towards[DIRECTIONS] = {[TO_RIGHT] = "to_right", [TO_LEFT] = "to_left"};
static const char *const sides[DIRECTIONS] = {[TO_RIGHT] = "right", [TO_LEFT] = "left"};

static void write_stats(FILE *out, const struct stat_desc *descs, const void *stats)
{
    for (const struct stat_desc *d = descs; d->name; d++)
        fprintf(out, "%s\"%s\": %llu", d == descs ? "" : ", ", d->name,
                (unsigned long long)stat_get(
                    (const uint64_t *)(const void *)((const char *)stats + d->offset)));
}

static void write_path(FILE *out, const struct path *path)
{
    write_stats(out, path_stat_descs, &path->stats);
    fputs(", \"delays_ms\": [", out);
    for (uint32_t i = 0; i < path->settings.bands; i++)
        fprintf(out, "%s%.6g", i ? ", " : "", (double)path->delays_ns[i] / (double)NS_PER_MS);
    fputs("]", out);
}

void report_write(FILE *out, const struct box *box, uint64_t seed)
{
    static const double quantiles[] = {0.5, 0.99, 0.999, 1};
    const struct flow_table *flows = box_flows(box);
    const struct hist *lateness = box_lateness(box);

    fprintf(out, "{\"seed\": %llu, \"under_way\": %llu", (unsigned long long)seed,
            (unsigned long long)box_waiting(box));
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        fprintf(out, ", \"%s\": {", towards[d]);
        write_path(out, box_path(box, d));
        fprintf(out, "}, \"%s\": {", sides[d]);
        write_stats(out, nmio_stat_descs, nmio_stats(box_port(box, d)));
        fputs("}", out);
    }
    fprintf(out,
            ", \"flows\": {\"seen\": %llu, \"forgotten\": %llu}, \"packets_peak\": %llu"
            ", \"late_us\": {",
            (unsigned long long)stat_get(&flows->seen),
            (unsigned long long)stat_get(&flows->forgotten),
            (unsigned long long)stat_get(&box_pool(box)->high_water));
    for (unsigned i = 0; i < array_len(quantiles); i++)
        fprintf(out, "%s\"p%g\": %.1f", i ? ", " : "", quantiles[i] * 100,
                (double)hist_quantile(lateness, quantiles[i]) / (double)NS_PER_US);
    fputs("}}\n", out);
}

int report_save(const char *path, const struct box *box, uint64_t seed)
{
    char temporary[PATH_MAX];
    FILE *out;
    int err = 0, len;

    if (!path) {
        report_write(stdout, box, seed);
        return fflush(stdout) ? -errno : 0;
    }
    len = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof(temporary))
        return -ENAMETOOLONG;
    out = fopen(temporary, "we");
    if (!out)
        return -errno;
    report_write(out, box, seed);
    if (fclose(out))
        err = -errno;
    if (!err && rename(temporary, path))
        err = -errno;
    if (err)
        unlink(temporary);
    return err;
}

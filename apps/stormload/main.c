// SPDX-License-Identifier: BSD-2-Clause
#include "run.h"

#include "base/log.h"

#include <errno.h>

static bool write_json(const char *file, const struct report *report)
{
    FILE *out = strcmp(file, "-") == 0 ? stdout : fopen(file, "we");

    if (out) {
        report_json(out, report);
        if ((out == stdout ? fflush(out) : fclose(out)) == 0)
            return true;
    }
    log_error("cannot write %s: %s", file, strerror(errno));
    return false;
}

int main(int argc, char **argv)
{
    struct options options;
    struct report report;
    bool good;
    int rc;

    log_program("stormload");
    rc = options_parse(&options, argc, argv);
    if (rc >= 0)
        return rc;
    rc = run(&options, &report);
    if (rc != 0) {
        options_free(&options);
        return rc;
    }
    good = report_good(&report);
    if (!options.json || strcmp(options.json, "-") != 0)
        report_text(stdout, &report);
    if (options.json && !write_json(options.json, &report))
        good = false;
    options_free(&options);
    return good ? 0 : 1;
}

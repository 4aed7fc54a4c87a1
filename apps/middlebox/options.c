// SPDX-License-Identifier: BSD-2-Clause
#include "options.h"

#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "units.h"

#define PACKETS_DEFAULT  65536 /* 31 Gbit/s for 25 ms, or 160 Mbit/s of ACKs */
#define PACKETS_MAX      (1 << 22)
#define SEED_DEFAULT     1
#define NAME_MAX_BYTES   40
#define PATH_OPTIONS_MAX 16
#define USAGE_COLUMN     26

static const char usage_head[] =
    "usage: middlebox --left PORT --right PORT [option...]\n"
    "\n"
    "Joins two ports to one link, and is a wide-area network to what crosses it.\n"
    "\n";

static const char usage_middle[] =
    "\n"
    "Each of these is for both directions; --to-right-... and --to-left-... are for one:\n"
    "\n";

static const char usage_foot[] = "\nmiddlebox(8) says more.\n";

/* --- options of the program ------------------------------------------------------------------- */

static bool parse_left(struct options *options, const char *text)
{
    options->specs[TO_LEFT] = text;
    return true;
}

static bool parse_right(struct options *options, const char *text)
{
    options->specs[TO_RIGHT] = text;
    return true;
}

static bool parse_seed(struct options *options, const char *text)
{
    return parse_count(&options->seed, text, 0, UINT64_MAX);
}

static bool parse_flows_by(struct options *options, const char *text)
{
    options->flows_by_order = strcmp(text, "order") == 0;
    return options->flows_by_order || strcmp(text, "address") == 0;
}

static bool parse_packets(struct options *options, const char *text)
{
    uint64_t v;

    if (!parse_count(&v, text, 1, PACKETS_MAX))
        return false;
    options->packets = (uint32_t)v;
    return true;
}

static bool parse_stats(struct options *options, const char *text)
{
    options->stats = text;
    return true;
}

static bool parse_poll(struct options *options, const char *text)
{
    options->busy_poll = strcmp(text, "busy") == 0;
    return options->busy_poll || strcmp(text, "adaptive") == 0;
}

static const struct program_option {
    const char *name, *value, *help, *takes;
    bool (*parse)(struct options *options, const char *text);
} program_options[] = {
    {"left", "PORT", "the port on one side: tap:NAME; made if it is not there", "", parse_left},
    {"right", "PORT", "the port on the other side", "", parse_right},
    {"seed", "N", "where chance begins (1)", "a number", parse_seed},
    {"flows-by", "address|order", "what a flow's fate is drawn from (address)", "address or order",
     parse_flows_by},
    {"packets", "N", "memory for so many packets under way (65536)", "a number from 1 to 4194304",
     parse_packets},
    {"stats", "FILE", "counters go there instead of to standard output", "", parse_stats},
    {"poll", "adaptive|busy", "sleep when idle, or never (adaptive)", "adaptive or busy",
     parse_poll},
};

/* --- options of the stages -------------------------------------------------------------------- */

static const char *const prefixes[] = {"", "to-right-", "to-left-"};

/* The n-th option of all stages, or NULL. */
static const struct path_option *path_option(unsigned n)
{
    for (const struct stage *const *stage = path_stages; *stage; stage++)
        for (const struct path_option *o = (*stage)->options; o->name; o++)
            if (n-- == 0)
                return o;
    return NULL;
}

static bool take_path_option(struct options *options, unsigned prefix, unsigned n, const char *text)
{
    const struct path_option *option = path_option(n);

    for (unsigned d = 0; d < DIRECTIONS; d++) {
        if (prefix && prefix != d + 1)
            continue;
        if (option->parse(&options->settings[d], text))
            continue;
        log_error("--%s%s takes %s, not '%s'", prefixes[prefix], option->name, option->takes, text);
        return false;
    }
    return true;
}

static bool take_program_option(struct options *options, const struct program_option *option,
                                const char *text)
{
    if (option->parse(options, text))
        return true;
    log_error("--%s takes %s, not '%s'", option->name, option->takes, text);
    return false;
}

/* --- what getopt wants ------------------------------------------------------------------------ */

/* An option's number says what it is: help, an option of the program, or the prefix and the number
 * of a path's option. getopt keeps '?' for itself. */
#define ID_HELP    1000
#define ID_PROGRAM 2000
#define ID_PATH    3000

struct table {
    struct option
        options[1 + array_len(program_options) + array_len(prefixes) * PATH_OPTIONS_MAX + 1];
    char names[array_len(prefixes) * PATH_OPTIONS_MAX][NAME_MAX_BYTES];
};

static void table_fill(struct table *table)
{
    struct option *to = table->options;
    char(*name)[NAME_MAX_BYTES] = table->names;

    memset(table, 0, sizeof(*table));
    *to++ = (struct option){"help", no_argument, NULL, ID_HELP};
    for (unsigned i = 0; i < array_len(program_options); i++)
        *to++ = (struct option){program_options[i].name, required_argument, NULL,
                                (int)(ID_PROGRAM + i)};
    for (unsigned p = 0; p < array_len(prefixes); p++)
        for (unsigned n = 0; path_option(n); n++) {
            assert(n < PATH_OPTIONS_MAX);
            snprintf(*name, sizeof(*name), "%s%s", prefixes[p], path_option(n)->name);
            *to++ = (struct option){*name++, required_argument, NULL,
                                    (int)(ID_PATH + p * PATH_OPTIONS_MAX + n)};
        }
}

static void print_option(const char *name, const char *value, const char *help)
{
    int width = printf("  --%s %s", name, value);

    if (width < USAGE_COLUMN)
        printf("%*s%s\n", USAGE_COLUMN - width, "", help);
    else
        printf("\n%*s%s\n", USAGE_COLUMN, "", help);
}

static void print_usage(void)
{
    fputs(usage_head, stdout);
    for (unsigned i = 0; i < array_len(program_options); i++)
        print_option(program_options[i].name, program_options[i].value, program_options[i].help);
    print_option("help", "", "this");
    fputs(usage_middle, stdout);
    for (unsigned n = 0; path_option(n); n++)
        print_option(path_option(n)->name, path_option(n)->value, path_option(n)->help);
    fputs(usage_foot, stdout);
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool complete(const struct options *options)
{
    static const char *const names[DIRECTIONS] = {[TO_RIGHT] = "right", [TO_LEFT] = "left"};

    for (unsigned d = 0; d < DIRECTIONS; d++) {
        const char *why = path_settings_check(&options->settings[d]);

        if (!options->specs[d]) {
            log_error("--%s is missing: name a port, for example --%s tap:%s0", names[d], names[d],
                      names[d]);
            return false;
        }
        if (why) {
            log_error("%s (towards the %s)", why, names[d]);
            return false;
        }
    }
    if (strcmp(options->specs[TO_LEFT], options->specs[TO_RIGHT]) != 0)
        return true;
    log_error("--left and --right are the same port: name two");
    return false;
}

int options_parse(struct options *options, int argc, char **argv)
{
    struct table table;
    int id;

    *options = (struct options){.seed = SEED_DEFAULT, .packets = PACKETS_DEFAULT};
    for (unsigned d = 0; d < DIRECTIONS; d++)
        path_settings_default(&options->settings[d]);
    table_fill(&table);
    while ((id = getopt_long(argc, argv, "", table.options, NULL)) != -1) {
        bool taken = false; /* '?': getopt has said what is wrong */

        if (id == ID_HELP) {
            print_usage();
            return 0;
        }
        if (id >= ID_PATH)
            taken = take_path_option(options, (unsigned)(id - ID_PATH) / PATH_OPTIONS_MAX,
                                     (unsigned)(id - ID_PATH) % PATH_OPTIONS_MAX, optarg);
        else if (id >= ID_PROGRAM)
            taken = take_program_option(options, &program_options[id - ID_PROGRAM], optarg);
        if (!taken)
            return 2;
    }
    if (optind < argc) {
        log_error("unexpected argument '%s': see middlebox --help", argv[optind]);
        return 2;
    }
    return complete(options) ? -1 : 2;
}

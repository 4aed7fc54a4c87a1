// SPDX-License-Identifier: BSD-2-Clause
#include "runner.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct board { /* shared between parent and child */
    uint64_t seed;
    char params[WORLD_TEXT_BYTES];
    char failure[WORLD_TEXT_BYTES];
};

struct options {
    uint64_t from, to;
    bool verbose;
    const char *pcap_path;
    const void *shared;
};

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seed N | --seeds FROM:TO] [--verbose] [--pcap FILE]\n", program);
    return 2;
}

static bool options_parse(struct options *options, int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'S'},
        {"verbose", no_argument, NULL, 'v'},
        {"pcap", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *options = (struct options){.from = 1, .to = RUNNER_BATCH};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        char *end = NULL;

        if (c == 's' || c == 'S')
            options->from = options->to = strtoull(optarg, &end, 10);
        if (c == 'S' && end && *end == ':')
            options->to = strtoull(end + 1, &end, 10);
        if (c == 'v')
            options->verbose = true;
        if (c == 'p')
            options->pcap_path = optarg;
        if (c == '?' || (end && *end))
            return false;
    }
    return optind == argc && options->from <= options->to;
}

static bool seed_run(uint64_t seed, const struct options *options, struct board *board,
                     runner_run *run)
{
    struct world world;
    bool good;

    board->seed = seed;
    world_open(&world, seed, board->params, board->failure);
    world.verbose = options->verbose;
    world.pcap_path = options->pcap_path;
    world.shared = options->shared;
    run(&world);
    good = !world_failed(&world);
    world_close(&world);
    return good;
}

static void batch_child(uint64_t from, uint64_t to, const struct options *options,
                        struct board *board, runner_run *run)
{
    for (uint64_t seed = from; seed <= to; seed++) {
        alarm(RUNNER_SEED_SECONDS_MAX);
        if (!seed_run(seed, options, board, run))
            exit(1);
    }
    exit(0);
}

static bool batch_run(uint64_t from, uint64_t to, const struct options *options,
                      struct board *board, runner_run *run)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        batch_child(from, to, options, board, run);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        snprintf(board->failure, sizeof(board->failure), "cannot fork: %s", strerror(errno));
    else if (WIFSIGNALED(status))
        snprintf(board->failure, sizeof(board->failure), "the run ended with signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) && !board->failure[0])
        snprintf(board->failure, sizeof(board->failure), "the run ended with status %d",
                 WEXITSTATUS(status));
    return child > 0 && status == 0;
}

static void report(const struct board *board)
{
    printf("# seed %llu: %s\n# parameters: %s\n# replay with --seed %llu --verbose\n",
           (unsigned long long)board->seed, board->failure, board->params,
           (unsigned long long)board->seed);
}

int runner_main(int argc, char **argv, runner_run *run, const void *shared)
{
    return runner_main_ending(argc, argv, run, shared, NULL);
}

int runner_main_ending(int argc, char **argv, runner_run *run, const void *shared,
                       const struct runner_end *end)
{
    struct options options;
    struct board *board;
    uint64_t number = 0, batches;
    bool good = true;

    if (!options_parse(&options, argc, argv))
        return usage(argv[0]);
    options.shared = shared;
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        fprintf(stderr, "%s: no memory\n", argv[0]);
        return 1;
    }
    if (options.from == options.to)
        end = NULL;
    batches = (options.to - options.from) / RUNNER_BATCH + 1;
    printf("1..%llu\n", (unsigned long long)(batches + (end != NULL)));
    for (uint64_t from = options.from; good && from <= options.to; from += RUNNER_BATCH) {
        uint64_t to = min_u64(from + RUNNER_BATCH - 1, options.to);

        good = options.from == options.to ? seed_run(from, &options, board, run)
                                          : batch_run(from, to, &options, board, run);
        printf("%s %llu - seeds %llu-%llu\n", good ? "ok" : "not ok", (unsigned long long)++number,
               (unsigned long long)from, (unsigned long long)to);
        if (options.from == options.to && good)
            printf("# parameters: %s\n", board->params);
    }
    if (!good) {
        report(board);
    } else if (end) {
        good = end->conclude(shared, options.to - options.from + 1);
        printf("%s %llu - %s\n", good ? "ok" : "not ok", (unsigned long long)++number, end->name);
    }
    munmap(board, sizeof(*board));
    return good ? 0 : 1;
}

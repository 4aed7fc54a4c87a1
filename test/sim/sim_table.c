// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim_table.c - how fast one download is: a table over loss, delay and queue for each congestion
 * control, so that what makes a sender slower is seen as a difference of two texts.
 *
 *     sim_table                     the table
 *     sim_table --compare FILE      TAP: it is as in FILE, or these lines differ
 *     sim_table --cell CC,PPM,RTT,QUEUE [--verbose] [--pcap FILE]
 *                                   one run, as in bbr,1000,40,100: loss in millionths, the round
 *                                   trip in milliseconds, the queue in percent of their product
 *
 * Client and server are our stacks, between them stands the middlebox: a bottleneck with a
 * drop-tail queue on the way to the client, half of the round trip in each direction, and random
 * loss of data. Acknowledgments are not lost. The server has all bytes in memory, and the client
 * keeps whatever arrives out of order. A result is a function of the cell: no clock is read, and
 * the few fractions are made of operations that IEEE 754 rounds the same way everywhere.
 */
#include "cc/cc.h"
#include "net.h"
#include "pattern.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>

#define RATE_BPS      (100 * 1000 * 1000ull)
#define FRAME_BYTES   1514ull /* as the bottleneck counts */
#define PAYLOAD_BYTES 1448ull /* in such a frame, with timestamps */
#define MTU           1500
#define ARENA_BYTES   (1ull << 30) /* address space */
#define GSO_BYTES     65535
#define PIPE_DEPTH    1024
#define CLIENT_PORT   1024
#define SERVER_PORT   80
/* More than the longest path and its queue hold, so that it is never the limit. */
#define WINDOW_BYTES  (32u << 20)
#define REASM_BUFFERS 32768
/* A run is long enough for so many round trips and losses, and for short paths to become steady. */
#define RUN_NS_MIN     (5 * NS_PER_S)
#define RUN_RTTS       100
#define RUN_LOSSES     200
#define RUN_PACKETS    50000 /* but no more of them for that */
#define RUN_LIMIT_NS   (3600 * NS_PER_S)
#define SEED           20
#define LINE_BYTES_MAX 160

static const char *const algorithms[] = {"newreno", "cubic", "bbr"};
static const uint32_t losses_ppm[] = {0, 1000, 10000, 30000};
static const uint32_t rtts_ms[] = {10, 40, 100, 200};
static const uint32_t queues_percent[] = {25, 100, 400};

struct cell {
    const char *algorithm;
    uint32_t loss_ppm, rtt_ms;
    uint32_t queue_percent; /* of the bandwidth-delay product */
};

struct result {
    /* Received in order: in the first 50 round trips, and from there to the end. */
    uint64_t early_ns, early_bytes;
    uint64_t steady_ns, steady_bytes;
    uint64_t packets, lost_packets; /* to the client, and of these by chance */
    uint64_t sent_bytes, again_bytes;
    uint64_t timeouts, recoveries;
};

struct download {
    struct world *world;
    struct pattern pattern;
    struct net_link link;
    struct net_host hosts[NET_HOSTS]; /* client, server */
    struct tcp_conn *conn;            /* the client's */
    struct tcp_conn *server_conn;
    struct world_event early, end, look;
    uint64_t start_ns, look_ns;
    uint64_t part_ns; /* half of the shortest run */
    uint64_t packets; /* to be received at least */
    uint64_t received, received_early;
    bool over;
};

/* --- the two applications --------------------------------------------------------------------- */

static void *server_accept(void *app, struct tcp_conn *conn, uint64_t now_ns)
{
    struct download *d = app;

    d->server_conn = conn;
    tcp_write(conn, 1ull << 40); /* more than a run can carry */
    return app;
}

static uint32_t server_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                            uint64_t now_ns)
{
    struct download *d = user;
    struct nmio_slice slice = {.data = pattern_at(&d->pattern, 0, offset),
                               .len = min_u32(len, PATTERN_RUN)};

    tcp_send(conn, offset, &slice, 1, now_ns);
    return slice.len;
}

static void client_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                        uint64_t now_ns)
{
    struct download *d = user;

    if (pattern_match(&d->pattern, 0, d->received, data, len) < len)
        world_fail(d->world, "a wrong byte behind offset %llu", (unsigned long long)d->received);
    d->received += len;
    tcp_recved(conn, len);
}

static void connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
}

static void recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
}

static void sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
}

static void closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct download *d = user;

    world_fail(d->world, "the connection ended");
}

static const struct tcp_ops ops = {
    .accept = server_accept,
    .connected = connected,
    .recv = client_recv,
    .recv_end = recv_end,
    .fill = server_fill,
    .sent = sent,
    .closed = closed,
};

/* --- a run ------------------------------------------------------------------------------------ */

static struct net_params network(const struct cell *cell)
{
    struct net_params params = {.pipe = {.caps = {.mtu = MTU,
                                                  .gso_bytes = GSO_BYTES,
                                                  .tx_csum = true,
                                                  .slices_max = NMIO_SLICES_MAX,
                                                  .mac = {0x02, 0, 0, 0, 0, 0x10}},
                                         .depth = PIPE_DEPTH},
                                .far = true,
                                .seed = SEED};
    uint64_t rtt_ns = cell->rtt_ms * NS_PER_MS;

    for (unsigned way = 0; way < DIRECTIONS; way++) {
        path_settings_default(&params.ways[way]);
        params.ways[way].delay_min_ns = params.ways[way].delay_max_ns = rtt_ns / 2;
    }
    params.ways[TO_LEFT].loss = cell->loss_ppm / 1e6;
    params.ways[TO_LEFT].rate_bps = RATE_BPS;
    params.ways[TO_LEFT].queue = (struct amount){AMOUNT_NS, rtt_ns * cell->queue_percent / 100};
    return params;
}

static int open_host(struct download *d, uint32_t number, const char *algorithm)
{
    struct tcp_config config = tcp_config_default();

    config.conns_max = config.half_open_max = 4;
    config.rcv_wnd_bytes = WINDOW_BYTES;
    config.reasm_max = REASM_BUFFERS;
    config.reasm_ranges_max = REASM_BUFFERS;
    config.cc = algorithm;
    return net_host_open(&d->hosts[number], &d->link, number, &config);
}

static int connect_both(struct download *d)
{
    struct ip_prefix local = net_prefix(0), remote = net_prefix(1);
    int err = tcp_listen(d->hosts[1].tcp, NULL, SERVER_PORT, &ops, d);

    if (err)
        return err;
    return tcp_connect(d->hosts[0].tcp, &d->conn, &local.addr, CLIENT_PORT, &remote.addr,
                       SERVER_PORT, &ops, d, d->world->now_ns);
}

static int open_download(struct download *d, struct world *world, const struct cell *cell)
{
    struct net_params params = network(cell);
    int err = pattern_open(&d->pattern, world->arena);

    d->world = world;
    d->start_ns = world->now_ns;
    d->part_ns = max_u64(RUN_NS_MIN, RUN_RTTS * cell->rtt_ms * NS_PER_MS) / 2;
    if (cell->loss_ppm)
        d->packets = min_u64(RUN_PACKETS, RUN_LOSSES * 1000000ull / cell->loss_ppm);
    d->look_ns = cell->rtt_ms * NS_PER_MS / 10;
    if (!err)
        err = net_link_open(&d->link, &params, world);
    for (uint32_t i = 0; i < NET_HOSTS && !err; i++)
        err = open_host(d, i, cell->algorithm);
    return err ? err : connect_both(d);
}

static enum world_verdict host_turn(void *arg)
{
    return net_host_turn(arg) ? WORLD_BUSY : WORLD_IDLE;
}

static uint64_t host_next_ns(void *arg)
{
    return net_host_next_ns(arg);
}

static bool finished(void *arg)
{
    const struct download *d = arg;

    return d->over;
}

static void inspect(void *arg)
{
}

static void describe(void *arg, char *text, size_t bytes)
{
    const struct download *d = arg;

    snprintf(text, bytes, "%llu bytes were received", (unsigned long long)d->received);
}

static void early_part_over(struct world_event *event)
{
    struct download *d = container_of(event, struct download, early);

    d->received_early = d->received;
    world_at(d->world, &d->end, d->world->now_ns + d->part_ns);
}

static void maybe_over(struct world_event *event)
{
    struct download *d = container_of(event, struct download, end);

    d->over = d->received >= d->packets * PAYLOAD_BYTES;
    if (!d->over)
        world_at(d->world, &d->end, d->world->now_ns + d->part_ns);
}

/* With --verbose: the sender's state, ten times in a round trip. */
static void look(struct world_event *event)
{
    struct download *d = container_of(event, struct download, look);
    struct tcp_info info;

    if (d->server_conn) {
        tcp_conn_info(d->server_conn, &info);
        world_trace(d->world,
                    "sender: cwnd %u ssthresh %u flight %u sacked %u lost %u srtt %u us rto %u us"
                    " pacing %llu B/s %s",
                    info.cwnd / info.mss, info.ssthresh / info.mss, info.in_flight / info.mss,
                    info.sacked / info.mss, info.lost / info.mss, info.srtt_us, info.rto_us,
                    (unsigned long long)info.pacing_bps, info.recovery);
    }
    world_at(d->world, &d->look, d->world->now_ns + d->look_ns);
}

static void play(struct download *d)
{
    struct world_actor actors[NET_HOSTS + 1] = {
        {"client", host_turn, host_next_ns, &d->hosts[0]},
        {"server", host_turn, host_next_ns, &d->hosts[1]},
    };
    bool boxed = net_link_actor(&d->link, &actors[NET_HOSTS]);
    struct world_plan plan = {.actors = actors,
                              .actor_count = NET_HOSTS + boxed,
                              .finished = finished,
                              .inspect = inspect,
                              .describe = describe,
                              .arg = d,
                              .limit_ns = RUN_LIMIT_NS};

    world_event_init(&d->early, early_part_over);
    world_event_init(&d->end, maybe_over);
    world_event_init(&d->look, look);
    if (d->world->verbose)
        world_at(d->world, &d->look, d->world->now_ns);
    world_at(d->world, &d->early, d->start_ns + d->part_ns);
    world_run(d->world, &plan);
    for (uint32_t i = 0; i < NET_HOSTS; i++)
        net_host_trace(&d->hosts[i]);
    net_link_trace(&d->link);
}

static void close_download(struct download *d)
{
    for (uint32_t i = 0; i < NET_HOSTS; i++)
        if (d->hosts[i].port)
            net_host_close(&d->hosts[i]);
    net_link_close(&d->link);
}

/* False: it broke; why stands in world->failure. */
static bool measure(struct world *world, const struct cell *cell, struct result *result)
{
    struct download *d;

    if (mem_arena_open(&world->arena, ARENA_BYTES, 0) < 0)
        return world_fail(world, "no memory for the arena");
    d = mem_arena_alloc(world->arena, sizeof(*d), CACHE_LINE);
    if (open_download(d, world, cell) < 0) {
        world_fail(world, "the run does not fit into the arena");
    } else {
        const struct tcp_stats *stats = tcp_stats(d->hosts[1].tcp);
        const struct path_stats *path = &box_path(d->link.box, TO_LEFT)->stats;

        play(d);
        *result = (struct result){.early_ns = d->part_ns,
                                  .early_bytes = d->received_early,
                                  .steady_ns = world->now_ns - d->start_ns - d->part_ns,
                                  .steady_bytes = d->received - d->received_early,
                                  .packets = stat_get(&path->packets),
                                  .lost_packets = stat_get(&path->drop_loss),
                                  .sent_bytes = stat_get(&stats->bytes_out),
                                  .again_bytes = stat_get(&stats->retrans_bytes),
                                  .timeouts = stat_get(&stats->rto_fired),
                                  .recoveries = stat_get(&stats->fast_recoveries)};
    }
    close_download(d);
    mem_arena_close(world->arena);
    return !world_failed(world);
}

static bool run_cell(const struct cell *cell, struct result *result, bool verbose,
                     const char *pcap_path)
{
    static char params[WORLD_TEXT_BYTES], failure[WORLD_TEXT_BYTES];
    struct world world;
    bool good;

    params[0] = failure[0] = '\0';
    world_open(&world, SEED, params, failure);
    world.verbose = verbose;
    world.pcap_path = pcap_path;
    good = measure(&world, cell, result);
    world_close(&world);
    if (!good)
        fprintf(stderr, "%s, %u ppm, %u ms, %u %%: %s\n", cell->algorithm, cell->loss_ppm,
                cell->rtt_ms, cell->queue_percent, failure);
    return good;
}

/* --- the table -------------------------------------------------------------------------------- */

/* Kilobits per second, rounded. */
static uint64_t kbps(uint64_t bytes, uint64_t ns)
{
    return (bytes * 8 * (NS_PER_S / 1000) + ns / 2) / ns;
}

static uint64_t percent_tenths(uint64_t part, uint64_t whole)
{
    return (part * 1000 + whole / 2) / max_u64(whole, 1);
}

/*
 * Segments in the window, on average, that theory promises under random loss p: Mathis et al., CCR
 * 27(3), 1997, and RFC 9438 5.2 (equation 6, with C = 0.4 and beta = 0.7), of whose windows the
 * larger one holds (4.3). 0: the algorithm has no such law.
 */
static double theory_window(const char *algorithm, double p, double rtt_s)
{
    double reno = sqrt(1.5 / p), x = rtt_s / p, cubic = 1.054 * sqrt(x) * sqrt(sqrt(x));

    if (!strcmp(algorithm, "newreno"))
        return reno;
    return strcmp(algorithm, "cubic") ? 0 : reno > cubic ? reno : cubic;
}

static uint64_t theory_kbps(const struct cell *c, const struct result *r)
{
    uint64_t most = RATE_BPS / 1000 * PAYLOAD_BYTES / FRAME_BYTES;
    double rtt_s = c->rtt_ms / 1e3, window;

    if (!r->lost_packets)
        return most;
    window = theory_window(c->algorithm, (double)r->lost_packets / (double)r->packets, rtt_s);
    return window > 0 ? min_u64(most, (uint64_t)(window * PAYLOAD_BYTES * 8 / 1000 / rtt_s)) : most;
}

static void print_head(FILE *out)
{
    fprintf(
        out,
        "# One download through a bottleneck of %llu Mbit/s, as test/sim/sim_table computes it;\n"
        "# \"make snapshot\" writes this file again. Goodput in kbit/s during the first 50 round\n"
        "# trips (2.5 s at least) and from there to the end, of which %% is that of the link.\n"
        "# \"theory\": the mean rate of the algorithm's window under the losses that happened, or\n"
        "# the link's. The queue is in %% of the bandwidth-delay product. \"again\": of the bytes\n"
        "# sent. What arrives late, behind a hole, counts where the hole is closed: hence > 100 "
        "%%.\n",
        (unsigned long long)(RATE_BPS / 1000000));
}

static void print_columns(FILE *out, const char *algorithm)
{
    fprintf(out,
            "\n%-8s RTT queue |  first   then      %% | theory      %% | again  RTOs recoveries\n",
            algorithm);
    fprintf(out, "loss %%    ms     %% |\n");
}

static void print_result(FILE *out, const struct cell *c, const struct result *r)
{
    uint64_t most = RATE_BPS / 1000 * PAYLOAD_BYTES / FRAME_BYTES;
    uint64_t early = kbps(r->early_bytes, r->early_ns);
    uint64_t steady = kbps(r->steady_bytes, r->steady_ns), theory = theory_kbps(c, r);
    uint64_t percent = percent_tenths(steady, most);
    uint64_t again = percent_tenths(r->again_bytes, r->sent_bytes);

    fprintf(out,
            "  %u.%u %7u %5u | %6llu %6llu %4llu.%llu | %6llu %6llu | %3llu.%llu %5llu %10llu\n",
            c->loss_ppm / 10000, c->loss_ppm / 1000 % 10, c->rtt_ms, c->queue_percent,
            (unsigned long long)early, (unsigned long long)steady, (unsigned long long)percent / 10,
            (unsigned long long)percent % 10, (unsigned long long)theory,
            (unsigned long long)(steady * 100 / theory), (unsigned long long)again / 10,
            (unsigned long long)again % 10, (unsigned long long)r->timeouts,
            (unsigned long long)r->recoveries);
}

static bool print_algorithm(FILE *out, const char *algorithm)
{
    print_columns(out, algorithm);
    for (size_t l = 0; l < array_len(losses_ppm); l++)
        for (size_t t = 0; t < array_len(rtts_ms); t++)
            for (size_t q = 0; q < array_len(queues_percent); q++) {
                struct cell cell = {algorithm, losses_ppm[l], rtts_ms[t], queues_percent[q]};
                struct result result = {0};

                if (!run_cell(&cell, &result, false, NULL))
                    return false;
                print_result(out, &cell, &result);
            }
    return true;
}

static bool print_table(FILE *out)
{
    print_head(out);
    for (size_t a = 0; a < array_len(algorithms); a++)
        if (!print_algorithm(out, algorithms[a]))
            return false;
    return fflush(out) == 0;
}

/* --- the comparison --------------------------------------------------------------------------- */

/* Prints what differs, line by line: a table has the same rows whatever stands in them. */
static bool same(FILE *old, FILE *new)
{
    char old_line[LINE_BYTES_MAX], new_line[LINE_BYTES_MAX];
    bool equal = true;

    for (;;) {
        const char *o = fgets(old_line, sizeof(old_line), old);
        const char *n = fgets(new_line, sizeof(new_line), new);

        if (!o && !n)
            return equal;
        if (o && n && !strcmp(o, n))
            continue;
        equal = false;
        printf("%s%s%s%s", o ? "# - " : "", o ? o : "", n ? "# + " : "", n ? n : "");
    }
}

static int compare(const char *path)
{
    FILE *old = fopen(path, "r"), *new = tmpfile();
    bool good = old && new &&print_table(new);

    if (good) {
        rewind(new);
        good = same(old, new);
    } else {
        fprintf(stderr, "cannot compare with %s\n", path);
    }
    printf("1..1\n%s 1 - every throughput is as in %s\n", good ? "ok" : "not ok", path);
    if (!good)
        printf("# if the change is wanted: make snapshot\n");
    if (old)
        fclose(old);
    if (new)
        fclose(new);
    return good ? 0 : 1;
}

/* --- the program ------------------------------------------------------------------------------ */

struct options {
    struct cell cell;
    bool one, verbose;
    const char *pcap_path, *compare_path;
};

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--compare FILE | --cell CC,PPM,RTT,QUEUE [--verbose] [--pcap FILE]]\n",
            program);
    return 2;
}

/* "cubic,1000,40,100" */
static bool parse_cell(struct cell *cell, char *text)
{
    uint32_t *numbers[] = {&cell->loss_ppm, &cell->rtt_ms, &cell->queue_percent};
    char *rest = text, *part = strsep(&rest, ","), *end;
    const struct cc_algorithm *algorithm = cc_find(part);

    if (!algorithm)
        return false;
    cell->algorithm = algorithm->name;
    for (size_t i = 0; i < array_len(numbers); i++) {
        part = strsep(&rest, ",");
        if (!part || !*part)
            return false;
        *numbers[i] = (uint32_t)strtoul(part, &end, 10);
        if (*end)
            return false;
    }
    return !rest && cell->loss_ppm < 1000000 && cell->rtt_ms && cell->queue_percent;
}

static bool options_parse(struct options *options, int argc, char **argv)
{
    static const struct option longs[] = {
        {"cell", required_argument, NULL, 'c'},
        {"compare", required_argument, NULL, 'd'},
        {"verbose", no_argument, NULL, 'v'},
        {"pcap", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *options = (struct options){0};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == '?' || (c == 'c' && !parse_cell(&options->cell, optarg)))
            return false;
        options->one |= c == 'c';
        options->verbose |= c == 'v';
        if (c == 'p')
            options->pcap_path = optarg;
        if (c == 'd')
            options->compare_path = optarg;
    }
    return optind == argc && !(options->one && options->compare_path) &&
           (options->one || (!options->verbose && !options->pcap_path));
}

int main(int argc, char **argv)
{
    struct options options;
    struct result result = {0};

    if (!options_parse(&options, argc, argv))
        return usage(argv[0]);
    if (options.compare_path)
        return compare(options.compare_path);
    if (!options.one)
        return print_table(stdout) ? 0 : 1;
    if (!run_cell(&options.cell, &result, options.verbose, options.pcap_path))
        return 1;
    print_columns(stdout, options.cell.algorithm);
    print_result(stdout, &options.cell, &result);
    return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "options.h"

#include "base/log.h"
#include "engine.h"
#include "manifest.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS_MAX    4000000
#define DURATION_S_DEFAULT 10
#define TIMEOUT_S_DEFAULT  10
#define WINDOW_KIB_DEFAULT 256
#define SECONDS_MAX        86400
#define WHY_BYTES          512

static const char usage[] =
    "usage: stormload [option...] URL\n"
    "\n"
    "  --connections N          at once (1)\n"
    "  --duration S             stop after so many seconds (10, or with --requests none)\n"
    "  --requests N             stop after so many requests\n"
    "  --close                  a connection for each request\n"
    "  --urls FILE              ask for these paths or URLs, one a line, not for that of URL\n"
    "  --seed N                 in random order, the same for the same N (else in theirs)\n"
    "  --verify MANIFEST        check bodies against the output of sha256sum\n"
    "  --header 'NAME: VALUE'   add a field to requests; several times\n"
    "  --rate N                 open at most so many connections a second\n"
    "  --opening N              have at most so many half open (64)\n"
    "  --think MS               pause between a response and the next request\n"
    "  --timeout S              for a connection to open, and without a byte of a response (10)\n"
    "  --idle                   open all, then let only some of them ask\n"
    "  --active N               so many of them, with --idle (0)\n"
    "  --workers N, --threads N threads on the kernel's TCP (1)\n"
    "  --addr RANGE             connect from these addresses: A/BITS, NET/BITS, A-B/BITS\n"
    "  --port tap:NAME          use our own TCP on this port; several: a worker and --addr each\n"
    "  --host-addr ADDRESS/BITS give this address to the host's side of the TAP\n"
    "  --gateway ADDRESS        the router to other networks\n"
    "  --mtu BYTES              largest IP packet (the port's)\n"
    "  --window KIB             receive window of our own TCP (256)\n"
    "  --json FILE              write the figures there as JSON; -: to standard output\n"
    "  --version, --help        this\n";

enum option_id {
    OPT_CONNECTIONS = 256,
    OPT_DURATION,
    OPT_REQUESTS,
    OPT_CLOSE,
    OPT_URLS,
    OPT_SEED,
    OPT_VERIFY,
    OPT_HEADER,
    OPT_RATE,
    OPT_OPENING,
    OPT_THINK,
    OPT_TIMEOUT,
    OPT_IDLE,
    OPT_ACTIVE,
    OPT_WORKERS,
    OPT_ADDR,
    OPT_PORT,
    OPT_HOST_ADDR,
    OPT_GATEWAY,
    OPT_MTU,
    OPT_WINDOW,
    OPT_JSON,
    OPT_VERSION,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"requests", required_argument, NULL, OPT_REQUESTS},
    {"close", no_argument, NULL, OPT_CLOSE},
    {"urls", required_argument, NULL, OPT_URLS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"verify", required_argument, NULL, OPT_VERIFY},
    {"header", required_argument, NULL, OPT_HEADER},
    {"rate", required_argument, NULL, OPT_RATE},
    {"opening", required_argument, NULL, OPT_OPENING},
    {"think", required_argument, NULL, OPT_THINK},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"idle", no_argument, NULL, OPT_IDLE},
    {"active", required_argument, NULL, OPT_ACTIVE},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"threads", required_argument, NULL, OPT_WORKERS},
    {"addr", required_argument, NULL, OPT_ADDR},
    {"port", required_argument, NULL, OPT_PORT},
    {"host-addr", required_argument, NULL, OPT_HOST_ADDR},
    {"gateway", required_argument, NULL, OPT_GATEWAY},
    {"mtu", required_argument, NULL, OPT_MTU},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"json", required_argument, NULL, OPT_JSON},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

/* --- values ----------------------------------------------------------------------------------- */

static bool number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out >= min && *out <= max)
        return true;
    log_error("--%s takes a number from %llu to %llu, not '%s'", name, (unsigned long long)min,
              (unsigned long long)max, text);
    return false;
}

static bool number_u32(const char *name, const char *text, uint32_t min, uint32_t max,
                       uint32_t *out)
{
    uint64_t v;

    if (!number(name, text, min, max, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

/* Seconds, also in parts: "0.5". */
static bool seconds(const char *name, const char *text, uint64_t *out_ns)
{
    char *end;
    double s = strtod(text, &end);

    if (end != text && *end == '\0' && s >= 0.001 && s <= SECONDS_MAX) {
        *out_ns = (uint64_t)(s * (double)NS_PER_S);
        return true;
    }
    log_error("--%s takes seconds from 0.001 to %d, not '%s'", name, SECONDS_MAX, text);
    return false;
}

static bool take_think(struct options *o, const char *text)
{
    if (!number("think", text, 0, SECONDS_MAX * 1000ull, &o->think_ns))
        return false;
    o->think_ns *= NS_PER_MS;
    return true;
}

static bool take_addr(struct options *o, const char *text)
{
    if (o->sources.range_count == SOURCE_RANGES_MAX) {
        log_error("--addr can be given %d times at most", SOURCE_RANGES_MAX);
        return false;
    }
    if (source_range_parse(text, &o->sources.ranges[o->sources.range_count])) {
        o->sources.range_count++;
        return true;
    }
    log_error("--addr takes an address, a network or a range, as in 10.0.0.2/8, 10.1.0.0/16 or "
              "10.0.0.2-10.0.0.9/8, not '%s'",
              text);
    return false;
}

static bool take_port(struct options *o, const char *text)
{
    if (o->port_count == WORKERS_MAX) {
        log_error("--port can be given %d times at most", WORKERS_MAX);
        return false;
    }
    o->ports[o->port_count++] = text;
    return true;
}

static bool take_gateway(struct options *o, const char *text)
{
    o->has_gateway = ip_addr_parse(text, &o->gateway) == 0;
    if (!o->has_gateway)
        log_error("--gateway takes an address, as in 192.0.2.1, not '%s'", text);
    return o->has_gateway;
}

static bool take_header(struct options *o, const char *text)
{
    if (o->header_count == HEADERS_MAX) {
        log_error("--header can be given %d times at most", HEADERS_MAX);
        return false;
    }
    if (!target_header_ok(text)) {
        log_error("--header takes 'Name: value', not '%s'", text);
        return false;
    }
    o->headers[o->header_count++] = text;
    return true;
}

static bool take_option(struct options *o, int id, char *arg)
{
    switch (id) {
    case OPT_CONNECTIONS:
        return number_u32("connections", arg, 1, CONNECTIONS_MAX, &o->connections);
    case OPT_DURATION:
        return seconds("duration", arg, &o->duration_ns);
    case OPT_REQUESTS:
        return number("requests", arg, 1, UINT64_MAX - 1, &o->requests);
    case OPT_CLOSE:
        o->close = true;
        return true;
    case OPT_URLS:
        o->urls = arg;
        return true;
    case OPT_SEED:
        o->has_seed = true;
        return number("seed", arg, 0, UINT64_MAX, &o->seed);
    case OPT_VERIFY:
        o->manifest = arg;
        return true;
    case OPT_HEADER:
        return take_header(o, arg);
    case OPT_RATE:
        return number("rate", arg, 1, NS_PER_S, &o->rate);
    case OPT_OPENING:
        return number_u32("opening", arg, 1, CONNECTIONS_MAX, &o->opening);
    case OPT_THINK:
        return take_think(o, arg);
    case OPT_TIMEOUT:
        return seconds("timeout", arg, &o->timeout_ns);
    case OPT_IDLE:
        o->idle = true;
        return true;
    case OPT_ACTIVE:
        return number_u32("active", arg, 0, CONNECTIONS_MAX, &o->active);
    case OPT_WORKERS:
        return number_u32("workers", arg, 1, WORKERS_MAX, &o->workers);
    case OPT_ADDR:
        return take_addr(o, arg);
    case OPT_PORT:
        return take_port(o, arg);
    case OPT_HOST_ADDR:
        o->host_addr = arg;
        return true;
    case OPT_GATEWAY:
        return take_gateway(o, arg);
    case OPT_MTU:
        return number_u32("mtu", arg, 576, 65535, &o->mtu);
    case OPT_WINDOW:
        return number_u32("window", arg, 4, 1u << 20, &o->window_kib);
    case OPT_JSON:
        o->json = arg;
        return true;
    default: /* getopt has said what is wrong */
        return false;
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool complete_ports(const struct options *o)
{
    if (o->port_count == 0 && (o->host_addr || o->has_gateway || o->mtu))
        log_error("--host-addr, --gateway and --mtu go with --port");
    else if (o->port_count > 0 && o->workers > 1)
        log_error("--workers is for the kernel's TCP: give several --port instead");
    else if (o->port_count > 0 && o->sources.range_count == 0)
        log_error("--addr is missing: name the addresses to connect from, for example --addr "
                  "192.0.2.3/24");
    else if (o->port_count > 1 && o->sources.range_count != o->port_count)
        log_error("with several --port, each has its own --addr: %u ports, %u ranges",
                  o->port_count, o->sources.range_count);
    else
        return true;
    return false;
}

static bool complete(struct options *o)
{
    uint32_t workers = o->port_count ? o->port_count : o->workers;

    if (o->active > o->connections)
        log_error("--active %u is more than --connections %u", o->active, o->connections);
    else if (o->connections < workers)
        log_error("%u workers need at least as many --connections", workers);
    else if (o->idle && o->requests != UINT64_MAX && o->active == 0)
        log_error("--requests needs somebody who asks: give --active");
    else if (o->requests != UINT64_MAX && o->requests < workers)
        log_error("%u workers need at least as many --requests", workers);
    else if (o->host_addr && o->port_count > 1)
        log_error("--host-addr goes with one --port");
    else
        return complete_ports(o);
    return false;
}

static bool make_targets(struct options *o)
{
    char why[WHY_BYTES];
    struct target_form form = {.authority = o->url.authority,
                               .authority_len = o->url.authority_len,
                               .headers = o->headers,
                               .header_count = o->header_count,
                               .user_agent = "stormload/" ATLAS_VERSION,
                               .close = o->close};
    int rc;

    if (o->urls) {
        rc = targets_read(&o->targets, &form, o->urls, why, sizeof(why));
    } else {
        rc = targets_add(&o->targets, &form, o->url.path, o->url.path_len);
        snprintf(why, sizeof(why), "'%s' has a character that has to be written as %%XX",
                 o->url_text);
    }
    if (rc == 0 && o->manifest)
        rc = manifest_apply(&o->targets, o->manifest, why, sizeof(why));
    if (rc < 0)
        log_error("%s", why);
    return rc == 0;
}

static bool resolve(struct options *o)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    char port[8];
    int rc;

    snprintf(port, sizeof(port), "%u", o->url.port);
    /* From an address of ours, only a server of the same kind can be reached. */
    if (o->sources.range_count)
        hints.ai_family = ip_addr_is_v4(&o->sources.ranges[0].first) ? AF_INET : AF_INET6;
    rc = getaddrinfo(o->url.host, port, &hints, &found);
    if (rc != 0) {
        log_error("cannot find %s: %s", o->url.host, gai_strerror(rc));
        return false;
    }
    memcpy(&o->server, found->ai_addr, found->ai_addrlen);
    o->server_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool take_url(struct options *o, int argc, char **argv)
{
    const char *why;

    if (optind + 1 != argc) {
        log_error(optind == argc ? "the URL is missing: see stormload --help"
                                 : "one URL only: more of them go into a file, see --urls");
        return false;
    }
    o->url_text = argv[optind];
    if (url_parse(&o->url, o->url_text, &why))
        return true;
    log_error("'%s' is no URL of a server: %s", o->url_text, why);
    return false;
}

int options_parse(struct options *o, int argc, char **argv)
{
    int id;

    *o = (struct options){.connections = 1,
                          .workers = 1,
                          .requests = UINT64_MAX,
                          .opening = OPENING_DEFAULT,
                          .timeout_ns = TIMEOUT_S_DEFAULT * NS_PER_S,
                          .window_kib = WINDOW_KIB_DEFAULT};
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == OPT_HELP || id == OPT_VERSION) {
            fputs(id == OPT_HELP ? usage : "stormload " ATLAS_VERSION "\n", stdout);
            return 0;
        }
        if (!take_option(o, id, optarg))
            return 2;
    }
    if (o->duration_ns == 0 && o->requests == UINT64_MAX)
        o->duration_ns = DURATION_S_DEFAULT * NS_PER_S;
    if (!o->idle && o->active) {
        log_error("--active goes with --idle");
        return 2;
    }
    if (!o->idle)
        o->active = o->connections;
    if (!take_url(o, argc, argv) || !complete(o) || !make_targets(o) || !resolve(o)) {
        options_free(o);
        return 2;
    }
    return -1;
}

void options_free(struct options *o)
{
    targets_free(&o->targets);
}

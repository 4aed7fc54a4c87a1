// SPDX-License-Identifier: BSD-2-Clause
/*
 * options.h - the command line, as values that have been checked.
 */
#ifndef STORMLOAD_OPTIONS_H
#define STORMLOAD_OPTIONS_H

#include "source.h"
#include "target.h"

#include <sys/socket.h>

#define WORKERS_MAX 64
#define HEADERS_MAX 64

struct options {
    const char *url_text;
    struct url url;
    struct sockaddr_storage server;
    socklen_t server_len;
    struct targets targets;

    const char *ports[WORKERS_MAX]; /* our own TCP, one worker each; none: the kernel's */
    uint32_t port_count;
    struct sources sources;
    const char *host_addr;
    struct ip_addr gateway;
    bool has_gateway;
    uint32_t mtu;
    uint32_t window_kib;

    uint32_t connections;
    uint32_t workers;
    uint64_t duration_ns; /* 0: until the requests are done */
    uint64_t requests;    /* UINT64_MAX: until the time is over */
    bool close;
    bool idle;
    uint32_t active;
    uint64_t rate;
    uint32_t opening;
    uint64_t think_ns;
    uint64_t timeout_ns;
    bool has_seed;
    uint64_t seed;
    const char *urls, *manifest, *json;
    const char *headers[HEADERS_MAX];
    uint32_t header_count;
};

/* -1: go on. Else the exit status: help was asked for (0), or the usage is wrong (2). */
int options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * options.h - the command line of `atlas serve`, as values that have been checked.
 */
#ifndef ATLAS_OPTIONS_H
#define ATLAS_OPTIONS_H

#include "worker.h"

#define VOLUMES_MAX      64
#define WORKERS_MAX      64
#define HOST_ADDR_MAX    1024 /* addresses of the TAP's other side, with commas between */

#define TLS_THREADS_AUTO UINT32_MAX /* as the keys need them */

struct serve_options {
    const char *port;
    struct ip_prefix addrs[WORKER_ADDRS_MAX];
    uint32_t addr_count;
    char host_addr[HOST_ADDR_MAX]; /* "": none */
    struct ip_addr gateway, gateway6;
    bool has_gateway, has_gateway6;
    uint16_t vlan; /* 0: none */
    const char *volumes[VOLUMES_MAX];
    uint32_t volume_count;
    const char *root;
    uint16_t listen_port; /* 0: none, which there is only beside tls_port */
    uint16_t tls_port;    /* 0: none */
    struct tls_identity identities[TLS_IDENTITIES_MAX];
    uint32_t identity_count;
    bool tls_wanted; /* by an option that means nothing without tls_port */
    enum tlsrec_version tls_min;
    const char *tls_suites; /* NULL: all */
    uint32_t tls_threads;   /* of each worker, or TLS_THREADS_AUTO */
    bool hsts;
    uint32_t hsts_s;
    bool redirect_https;
    uint32_t workers;
    bool busy_poll;
    const char *cc;
    const char *pcap;
    const char *admin_addr; /* "127.0.0.1" */
    uint16_t admin_port;    /* 0: none */
    uint32_t arena_mib;     /* of chunks, all workers together */
    uint32_t read_kib;
    uint32_t mtu; /* 0: the port's own */
    uint32_t mss; /* 0: what the MTU allows */
    enum tcp_mtu_probing mtu_probing;
    enum tcp_ecn ecn;
    struct rate_rules rates;
    struct worker_limits limits; /* conns: all workers together */
    uint64_t drain_ns;
    bool cors;
    const char *cache_control;
};

/* -1: go on. Else the exit status: help was asked for (0), or the usage is wrong (2). */
int serve_options_parse(struct serve_options *options, int argc, char **argv);

#endif

// SPDX-License-Identifier: BSD-2-Clause
#include "options.h"

#include "base/log.h"
#include "cc/cc.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define HTTP_PORT        80
#define READ_KIB_DEFAULT 60 /* one chunk fills one GSO frame of 64 KB, headers included */
#define READ_KIB_MAX     60
#define DRAIN_S_DEFAULT  30
#define CONNS_MAX        4000000
#define SECONDS_MAX      86400
#define IP6_MTU_MIN      1280 /* RFC 8200 5 */
#define ARENA_MIB_MAX    65536
#define MSS_MIN          536   /* RFC 9293 MUST-15: what every path takes */
#define MSS_MAX          65495 /* an IPv4 packet without its headers */
#define TLS_THREADS_MAX  16
#define HSTS_S_MAX       315360000 /* ten years: browsers keep it for one or two */

static const char usage[] =
    "usage: atlas serve --port tap:NAME --addr ADDRESS/BITS (--volume SPEC... | --root DIR) "
    "[option...]\n"
    "\n"
    "  --port tap:NAME          the network port; made if it is not there\n"
    "  --addr ADDRESS/BITS      an address to answer for, IPv4 or IPv6; several times\n"
    "  --host-addr ADDRESS/BITS give this address to the host's side of the TAP; several times\n"
    "  --gateway ADDRESS        the router to other networks, one for IPv4 and one for IPv6\n"
    "                           (default: the host's side; for IPv6 also who advertises itself)\n"
    "  --vlan ID                frames bear the tag of this VLAN, 1 to 4094\n"
    "  --volume SPEC            a volume: a file, a block device, an NVMe disk (vfio:BDF[,ns=N] "
    "or\n"
    "                           diskmap:NAME[,ns=N]), or ram: and one of these; several times\n"
    "  --root DIR               or a directory tree as it lies\n"
    "  --listen PORT            TCP port for HTTP (80; with --tls-listen: none)\n"
    "  --tls-listen PORT        TCP port for HTTPS\n"
    "  --tls-cert FILE          a certificate with its chain, in PEM; several times: the client's\n"
    "                           word for the host chooses, the first is for all others\n"
    "  --tls-key FILE           the key of the certificate named before, in PEM\n"
    "  --tls-ocsp FILE          its OCSP response, in DER, to be stapled\n"
    "  --tls-min 1.2|1.3        the lowest version of TLS (1.2)\n"
    "  --tls-suites LIST        cipher suites, with : between, the best first (all six)\n"
    "  --tls-threads N          threads of each worker that compute handshakes (0; 1 if\n"
    "                           a key is RSA or on P-384)\n"
    "  --hsts SECONDS           tell browsers to use nothing but HTTPS for so long\n"
    "  --redirect-https         answer plain HTTP with the way to HTTPS only\n"
    "  --workers N              threads, each with a queue of the port (1)\n"
    "  --poll adaptive|busy     sleep when idle, or never (adaptive)\n"
    "  --cc NAME                congestion control: cubic, newreno or bbr (cubic)\n"
    "  --ecn on|off             explicit congestion notification, if the client asks (on)\n"
    "  --mtu BYTES              largest IP packet (the port's)\n"
    "  --mss BYTES              largest TCP segment, 536 or more (what the MTU allows)\n"
    "  --mtu-probing WHEN       find out what the path takes: off, black-hole or always "
    "(black-hole)\n"
    "  --rate [PATTERN=]BITS    most bits per second of an object (k, M, G); several times\n"
    "  --pcap FILE              write every packet to a pcapng file\n"
    "  --admin ADDRESS:PORT     /metrics, /status and /healthz on a socket of the kernel\n"
    "  --arena MIB              memory for data in flight, all workers together\n"
    "  --read-size KIB          largest read, 4 to 60, a multiple of 4 (60)\n"
    "  --conns N                connections at once, all workers together (16384)\n"
    "  --peer-conns N           of them from one address, or IPv6 /64, to a worker (no limit)\n"
    "  --header-timeout S       for a request's head to arrive (60)\n"
    "  --idle-timeout S         between requests (75)\n"
    "  --send-timeout S         without the client taking anything (60)\n"
    "  --linger-timeout S       for the client to close after us (30)\n"
    "  --user-timeout S         without an answer from the client's machine (100)\n"
    "  --keepalive S            of silence before a client is asked whether it is there (never)\n"
    "  --time-wait S            for which a closed connection's numbers are kept apart (60)\n"
    "  --drain-timeout S        for responses to end after SIGTERM (30)\n"
    "  --cors                   let pages of any origin read what is served\n"
    "  --cache-control VALUE    the Cache-Control field of responses\n"
    "  --help                   this\n";

enum option_id {
    OPT_PORT = 256,
    OPT_ADDR,
    OPT_HOST_ADDR,
    OPT_GATEWAY,
    OPT_VLAN,
    OPT_VOLUME,
    OPT_ROOT,
    OPT_LISTEN,
    OPT_TLS_LISTEN, /* to OPT_REDIRECT_HTTPS: for take_tls */
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_TLS_OCSP,
    OPT_TLS_MIN,
    OPT_TLS_SUITES,
    OPT_TLS_THREADS,
    OPT_HSTS,
    OPT_REDIRECT_HTTPS,
    OPT_WORKERS,
    OPT_POLL,
    OPT_CC,
    OPT_MTU,
    OPT_MSS,
    OPT_MTU_PROBING,
    OPT_ECN,
    OPT_RATE,
    OPT_PCAP,
    OPT_ADMIN,
    OPT_ARENA,
    OPT_READ_SIZE,
    OPT_CONNS,
    OPT_PEER_CONNS,
    OPT_HEADER_TIMEOUT,
    OPT_IDLE_TIMEOUT,
    OPT_SEND_TIMEOUT,
    OPT_LINGER_TIMEOUT,
    OPT_USER_TIMEOUT,
    OPT_KEEPALIVE,
    OPT_TIME_WAIT,
    OPT_DRAIN_TIMEOUT,
    OPT_CORS,
    OPT_CACHE_CONTROL,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"addr", required_argument, NULL, OPT_ADDR},
    {"host-addr", required_argument, NULL, OPT_HOST_ADDR},
    {"gateway", required_argument, NULL, OPT_GATEWAY},
    {"vlan", required_argument, NULL, OPT_VLAN},
    {"volume", required_argument, NULL, OPT_VOLUME},
    {"root", required_argument, NULL, OPT_ROOT},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"tls-listen", required_argument, NULL, OPT_TLS_LISTEN},
    {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
    {"tls-key", required_argument, NULL, OPT_TLS_KEY},
    {"tls-ocsp", required_argument, NULL, OPT_TLS_OCSP},
    {"tls-min", required_argument, NULL, OPT_TLS_MIN},
    {"tls-suites", required_argument, NULL, OPT_TLS_SUITES},
    {"tls-threads", required_argument, NULL, OPT_TLS_THREADS},
    {"hsts", required_argument, NULL, OPT_HSTS},
    {"redirect-https", no_argument, NULL, OPT_REDIRECT_HTTPS},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"poll", required_argument, NULL, OPT_POLL},
    {"cc", required_argument, NULL, OPT_CC},
    {"mtu", required_argument, NULL, OPT_MTU},
    {"mss", required_argument, NULL, OPT_MSS},
    {"mtu-probing", required_argument, NULL, OPT_MTU_PROBING},
    {"ecn", required_argument, NULL, OPT_ECN},
    {"rate", required_argument, NULL, OPT_RATE},
    {"pcap", required_argument, NULL, OPT_PCAP},
    {"admin", required_argument, NULL, OPT_ADMIN},
    {"arena", required_argument, NULL, OPT_ARENA},
    {"read-size", required_argument, NULL, OPT_READ_SIZE},
    {"conns", required_argument, NULL, OPT_CONNS},
    {"peer-conns", required_argument, NULL, OPT_PEER_CONNS},
    {"header-timeout", required_argument, NULL, OPT_HEADER_TIMEOUT},
    {"idle-timeout", required_argument, NULL, OPT_IDLE_TIMEOUT},
    {"send-timeout", required_argument, NULL, OPT_SEND_TIMEOUT},
    {"linger-timeout", required_argument, NULL, OPT_LINGER_TIMEOUT},
    {"user-timeout", required_argument, NULL, OPT_USER_TIMEOUT},
    {"keepalive", required_argument, NULL, OPT_KEEPALIVE},
    {"time-wait", required_argument, NULL, OPT_TIME_WAIT},
    {"drain-timeout", required_argument, NULL, OPT_DRAIN_TIMEOUT},
    {"cors", no_argument, NULL, OPT_CORS},
    {"cache-control", required_argument, NULL, OPT_CACHE_CONTROL},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

/* --- values ----------------------------------------------------------------------------------- */

static bool number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && text[0] != '-' && *out >= min && *out <= max)
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

static bool seconds(const char *name, const char *text, uint64_t *out_ns)
{
    uint64_t v;

    if (!number(name, text, 1, SECONDS_MAX, &v))
        return false;
    *out_ns = v * NS_PER_S;
    return true;
}

static bool port_number(const char *name, const char *text, uint16_t *out)
{
    uint64_t v;

    if (!number(name, text, 1, 65535, &v))
        return false;
    *out = (uint16_t)v;
    return true;
}

static bool take_addr(struct serve_options *o, const char *text)
{
    if (o->addr_count == WORKER_ADDRS_MAX) {
        log_error("--addr can be given %d times at most", WORKER_ADDRS_MAX);
        return false;
    }
    if (!strchr(text, '/') || ip_prefix_parse(text, &o->addrs[o->addr_count]) < 0) {
        log_error("--addr takes an address and the bits of its network, as in 192.0.2.2/24, not "
                  "'%s'",
                  text);
        return false;
    }
    o->addr_count++;
    return true;
}

/* The port takes them in one text, and says what is wrong with it. */
static bool take_host_addr(struct serve_options *o, const char *text)
{
    size_t used = strlen(o->host_addr);

    if (used + strlen(text) + 2 > sizeof(o->host_addr)) {
        log_error("--host-addr is given too often");
        return false;
    }
    snprintf(o->host_addr + used, sizeof(o->host_addr) - used, "%s%s", used ? "," : "", text);
    return true;
}

static void set_gateway(struct serve_options *o, const struct ip_addr *addr)
{
    if (ip_addr_is_v4(addr)) {
        o->gateway = *addr;
        o->has_gateway = true;
    } else {
        o->gateway6 = *addr;
        o->has_gateway6 = true;
    }
}

static bool take_gateway(struct serve_options *o, const char *text)
{
    struct ip_addr addr;

    if (ip_addr_parse(text, &addr) < 0) {
        log_error("--gateway takes an address, as in 192.0.2.1 or fe80::1, not '%s'", text);
        return false;
    }
    if (ip_addr_is_v4(&addr) ? o->has_gateway : o->has_gateway6) {
        log_error("--gateway can be given once for IPv4 and once for IPv6");
        return false;
    }
    set_gateway(o, &addr);
    return true;
}

static bool take_vlan(struct serve_options *o, const char *text)
{
    uint32_t vlan;

    if (!number_u32("vlan", text, 1, ETH_VLAN_MAX, &vlan))
        return false;
    o->vlan = (uint16_t)vlan;
    return true;
}

static bool take_volume(struct serve_options *o, const char *text)
{
    if (o->volume_count == VOLUMES_MAX) {
        log_error("--volume can be given %d times at most", VOLUMES_MAX);
        return false;
    }
    o->volumes[o->volume_count++] = text;
    return true;
}

static bool take_poll(struct serve_options *o, const char *text)
{
    o->busy_poll = strcmp(text, "busy") == 0;
    if (o->busy_poll || strcmp(text, "adaptive") == 0)
        return true;
    log_error("--poll takes adaptive or busy, not '%s'", text);
    return false;
}

static bool take_cc(struct serve_options *o, const char *text)
{
    o->cc = text;
    if (cc_find(text))
        return true;
    log_error("--cc takes cubic, newreno or bbr, not '%s'", text);
    return false;
}

static bool take_ecn(struct serve_options *o, const char *text)
{
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0) {
        log_error("--ecn takes on or off, not '%s'", text);
        return false;
    }
    o->ecn = strcmp(text, "on") == 0 ? TCP_ECN_ANSWER : TCP_ECN_NEVER;
    return true;
}

static bool take_mtu_probing(struct serve_options *o, const char *text)
{
    static const char *const names[] = {[TCP_MTU_PROBING_OFF] = "off",
                                        [TCP_MTU_PROBING_BLACK_HOLE] = "black-hole",
                                        [TCP_MTU_PROBING_ALWAYS] = "always"};

    for (size_t i = 0; i < array_len(names); i++)
        if (strcmp(text, names[i]) == 0) {
            o->mtu_probing = (enum tcp_mtu_probing)i;
            return true;
        }
    log_error("--mtu-probing takes off, black-hole or always, not '%s'", text);
    return false;
}

/* "127.0.0.1:9090": cut at the last colon, in place. */
static bool take_admin(struct serve_options *o, char *text)
{
    char *colon = strrchr(text, ':');

    if (!colon) {
        log_error("--admin takes ADDRESS:PORT, as in 127.0.0.1:9090, not '%s'", text);
        return false;
    }
    *colon = '\0';
    o->admin_addr = text;
    return port_number("admin", colon + 1, &o->admin_port);
}

static bool take_read_size(struct serve_options *o, const char *text)
{
    if (!number_u32("read-size", text, 4, READ_KIB_MAX, &o->read_kib))
        return false;
    if (o->read_kib % 4 == 0)
        return true;
    log_error("--read-size takes a multiple of 4, not '%s': disks read whole blocks", text);
    return false;
}

static bool take_rate(struct serve_options *o, const char *text)
{
    switch (rate_rules_add(&o->rates, text)) {
    case 0:
        return true;
    case -ENOSPC:
        log_error("--rate can be given %d times at most", RATE_RULES_MAX);
        return false;
    case -EINVAL:
        log_error("--rate takes a path with one * at most before the =, as in *.m4s=8M, not '%s'",
                  text);
        return false;
    default:
        log_error("--rate takes whole bits per second from 8k to 1000G, as in 25M, not '%s'", text);
        return false;
    }
}

/* --- TLS ---------------------------------------------------------------------------------------
 */

static bool take_cert(struct serve_options *o, const char *path)
{
    if (o->identity_count == TLS_IDENTITIES_MAX) {
        log_error("--tls-cert can be given %d times at most", TLS_IDENTITIES_MAX);
        return false;
    }
    o->identities[o->identity_count++].cert_path = path;
    return true;
}

/* A key and an OCSP response belong to the certificate that was named last. */
static bool take_beside_cert(struct serve_options *o, int id, const char *path)
{
    const char *name = id == OPT_TLS_KEY ? "tls-key" : "tls-ocsp";
    struct tls_identity *identity;
    const char **slot;

    if (o->identity_count == 0) {
        log_error("--%s belongs to a certificate: name that before it, with --tls-cert FILE", name);
        return false;
    }
    identity = &o->identities[o->identity_count - 1];
    slot = id == OPT_TLS_KEY ? &identity->key_path : &identity->ocsp_path;
    if (*slot) {
        log_error("--%s is given twice for --tls-cert %s", name, identity->cert_path);
        return false;
    }
    *slot = path;
    return true;
}

static bool take_tls_min(struct serve_options *o, const char *text)
{
    o->tls_min = strcmp(text, "1.3") == 0 ? TLSREC_TLS13 : TLSREC_TLS12;
    if (o->tls_min == TLSREC_TLS13 || strcmp(text, "1.2") == 0)
        return true;
    log_error("--tls-min takes 1.2 or 1.3, not '%s'", text);
    return false;
}

static bool take_tls(struct serve_options *o, int id, const char *arg)
{
    o->tls_wanted = true;
    switch (id) {
    case OPT_TLS_LISTEN:
        return port_number("tls-listen", arg, &o->tls_port);
    case OPT_TLS_CERT:
        return take_cert(o, arg);
    case OPT_TLS_KEY:
    case OPT_TLS_OCSP:
        return take_beside_cert(o, id, arg);
    case OPT_TLS_MIN:
        return take_tls_min(o, arg);
    case OPT_TLS_SUITES:
        o->tls_suites = arg; /* lib/tls knows them, and says what is wrong */
        return true;
    case OPT_TLS_THREADS:
        return number_u32("tls-threads", arg, 0, TLS_THREADS_MAX, &o->tls_threads);
    case OPT_HSTS:
        o->hsts = true;
        return number_u32("hsts", arg, 0, HSTS_S_MAX, &o->hsts_s);
    default:
        o->redirect_https = true;
        return true;
    }
}

static const struct tls_identity *cert_without_key(const struct serve_options *o)
{
    for (uint32_t i = 0; i < o->identity_count; i++)
        if (!o->identities[i].key_path)
            return &o->identities[i];
    return NULL;
}

static bool complete_tls(const struct serve_options *o)
{
    const struct tls_identity *keyless = cert_without_key(o);

    if (o->tls_wanted && !o->tls_port)
        log_error("there is no port for HTTPS: name one, for example --tls-listen 443");
    else if (o->tls_port && o->identity_count == 0)
        log_error("--tls-listen needs a certificate and its key: name them with --tls-cert FILE "
                  "--tls-key FILE");
    else if (keyless)
        log_error("--tls-cert %s has no key: name it behind the certificate, with --tls-key FILE",
                  keyless->cert_path);
    else if (o->tls_port && o->tls_port == o->listen_port)
        log_error("--listen and --tls-listen name the same port: choose another for one of them");
    else if (o->tls_port && o->read_kib * 1024 < TLS_READ_BYTES_MIN)
        log_error("--read-size %u is less than a record of TLS takes: give it %u or more",
                  o->read_kib, TLS_READ_BYTES_MIN / 1024);
    else if (o->redirect_https && !o->listen_port)
        log_error("--redirect-https needs a port for plain HTTP: name one, for example --listen "
                  "80");
    else
        return true;
    return false;
}

/* --- timeouts and limits of TCP and HTTP ------------------------------------------------------ */

static bool take_limit(struct worker_limits *limits, int id, const char *arg)
{
    uint64_t *phase_ns = limits->phase_ns;

    switch (id) {
    case OPT_CONNS:
        return number_u32("conns", arg, 1, CONNS_MAX, &limits->conns);
    case OPT_PEER_CONNS:
        return number_u32("peer-conns", arg, 1, CONNS_MAX, &limits->peer_conns);
    case OPT_HEADER_TIMEOUT:
        return seconds("header-timeout", arg, &phase_ns[PHASE_HEAD]);
    case OPT_IDLE_TIMEOUT:
        return seconds("idle-timeout", arg, &phase_ns[PHASE_IDLE]);
    case OPT_SEND_TIMEOUT:
        return seconds("send-timeout", arg, &phase_ns[PHASE_SEND]);
    case OPT_LINGER_TIMEOUT:
        return seconds("linger-timeout", arg, &phase_ns[PHASE_LINGER]);
    case OPT_USER_TIMEOUT:
        return seconds("user-timeout", arg, &limits->user_timeout_ns);
    case OPT_KEEPALIVE:
        return seconds("keepalive", arg, &limits->keepalive_ns);
    case OPT_TIME_WAIT:
        return seconds("time-wait", arg, &limits->time_wait_ns);
    default: /* getopt has said what is wrong */
        return false;
    }
}

static bool take_option(struct serve_options *o, int id, char *arg)
{
    switch (id) {
    case OPT_PORT:
        o->port = arg;
        return true;
    case OPT_ADDR:
        return take_addr(o, arg);
    case OPT_HOST_ADDR:
        return take_host_addr(o, arg);
    case OPT_GATEWAY:
        return take_gateway(o, arg);
    case OPT_VLAN:
        return take_vlan(o, arg);
    case OPT_VOLUME:
        return take_volume(o, arg);
    case OPT_ROOT:
        o->root = arg;
        return true;
    case OPT_LISTEN:
        return port_number("listen", arg, &o->listen_port);
    case OPT_WORKERS:
        return number_u32("workers", arg, 1, WORKERS_MAX, &o->workers);
    case OPT_POLL:
        return take_poll(o, arg);
    case OPT_CC:
        return take_cc(o, arg);
    case OPT_MTU:
        return number_u32("mtu", arg, 576, 65535, &o->mtu);
    case OPT_MSS:
        return number_u32("mss", arg, MSS_MIN, MSS_MAX, &o->mss);
    case OPT_MTU_PROBING:
        return take_mtu_probing(o, arg);
    case OPT_ECN:
        return take_ecn(o, arg);
    case OPT_RATE:
        return take_rate(o, arg);
    case OPT_PCAP:
        o->pcap = arg;
        return true;
    case OPT_ADMIN:
        return take_admin(o, arg);
    case OPT_ARENA:
        return number_u32("arena", arg, 1, ARENA_MIB_MAX, &o->arena_mib);
    case OPT_READ_SIZE:
        return take_read_size(o, arg);
    case OPT_DRAIN_TIMEOUT:
        return seconds("drain-timeout", arg, &o->drain_ns);
    case OPT_CORS:
        o->cors = true;
        return true;
    case OPT_CACHE_CONTROL:
        o->cache_control = arg;
        return true;
    default:
        return id >= OPT_TLS_LISTEN && id <= OPT_REDIRECT_HTTPS ? take_tls(o, id, arg)
                                                                : take_limit(&o->limits, id, arg);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool has_addr(const struct serve_options *o, bool v4)
{
    for (uint32_t i = 0; i < o->addr_count; i++)
        if (ip_addr_is_v4(&o->addrs[i].addr) == v4)
            return true;
    return false;
}

static bool complete(struct serve_options *o)
{
    struct http1_options http = {.cache_control = o->cache_control};

    if (!o->port)
        log_error("--port is missing: name a network port, for example --port tap:atlas0");
    else if (o->addr_count == 0)
        log_error("--addr is missing: name the address to answer for, for example --addr "
                  "192.0.2.2/24");
    else if ((o->has_gateway && !has_addr(o, true)) || (o->has_gateway6 && !has_addr(o, false)))
        log_error("--gateway: name an address of the same family with --addr");
    else if (o->mtu && o->mtu < IP6_MTU_MIN && has_addr(o, false))
        log_error("--mtu: IPv6 needs %d at least", IP6_MTU_MIN);
    else if (o->vlan && o->host_addr[0])
        log_error("--host-addr and --vlan exclude each other: the host's side has no tags");
    else if (o->volume_count == 0 && !o->root)
        log_error("nothing to serve: name a volume (--volume PATH) or a directory (--root DIR)");
    else if (o->volume_count > 0 && o->root)
        log_error("--volume and --root exclude each other");
    else if (http1_options_check(&http) < 0)
        log_error("--cache-control: '%s' must not stand in a header field", o->cache_control);
    else
        return complete_tls(o);
    return false;
}

/* The host's side of a TAP is the way out, unless said otherwise: its first address of each family
 * that we have. Where it is wrong the port says so. */
static void default_gateways(struct serve_options *o)
{
    char copy[HOST_ADDR_MAX], *rest = copy, *text;
    struct ip_prefix host;

    memcpy(copy, o->host_addr, sizeof(copy));
    while ((text = strsep(&rest, ",")))
        if (ip_prefix_parse(text, &host) == 0) {
            bool v4 = ip_addr_is_v4(&host.addr);

            if (has_addr(o, v4) && !(v4 ? o->has_gateway : o->has_gateway6))
                set_gateway(o, &host.addr);
        }
}

int serve_options_parse(struct serve_options *o, int argc, char **argv)
{
    int id;

    *o = (struct serve_options){
        .workers = 1,
        .tls_threads = TLS_THREADS_AUTO,
        .cc = "cubic",
        .mtu_probing = TCP_MTU_PROBING_BLACK_HOLE,
        .ecn = TCP_ECN_ANSWER,
        .read_kib = READ_KIB_DEFAULT,
        .limits = worker_limits_default(),
        .drain_ns = DRAIN_S_DEFAULT * NS_PER_S,
    };
    optind = 1;
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == OPT_HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (!take_option(o, id, optarg))
            return 2;
    }
    if (optind < argc) {
        log_error("unexpected argument '%s': see atlas serve --help", argv[optind]);
        return 2;
    }
    if (!o->listen_port && !o->tls_port)
        o->listen_port = HTTP_PORT;
    if (!complete(o))
        return 2;
    default_gateways(o);
    return -1;
}

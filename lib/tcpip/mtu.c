// SPDX-License-Identifier: BSD-2-Clause
/*
 * mtu.c - path MTU discovery: what routers say, what timeouts mean, and what probes find out.
 */
#include "mtu.h"

#include "base/siphash.h"
#include "priv.h"

#include <errno.h>

/* BASE_PLPMTU of RFC 8899 5.1.2: 1200 bytes and an IPv4 header. IPv6 promises 1280. */
#define BASE_IP4 1220
#define BASE_IP6 1280
/* Less is an attack (RFC 5927 7); what Linux takes. */
#define FLOOR_IP4 552

/* MAX_PROBES of RFC 8899 5.1.2 is 3; but the stream waits a round trip for each that is lost. */
#define PROBES_MAX 2
/* Segments that follow a probe at once, so that SACKs tell of its loss (RFC 4821 7.4). */
#define PROBE_FOLLOWERS 4
/* The search ends here: eight bytes in 1500 are half a percent, as in Linux. */
#define SEARCH_STEP 8
#define HIGH_OPEN   UINT16_MAX /* nothing larger was ever lost */
/* The size that most links have whose neighbours take larger packets. */
#define ETHERNET_MTU 1500

#define RAISE_NS     (600 * NS_PER_S)
#define FORGET_NS    (3600 * NS_PER_S) /* of paths that can be probed; others: RAISE_NS */

/*
 * Timeouts in a row of one full-sized segment until the path is taken for a black hole. RFC 4821
 * 7.7 waits for R1, three of them. A connection that has never got a window through does not wait
 * so long: since the first probe has the old size, a mistake costs a few round trips of segments
 * that are a little shorter.
 */
#define TIMEOUTS_NEW    2
#define TIMEOUTS_PROVEN 3
#define TIMEOUTS_BASE   2 /* so many more, and the base is too much, too */

/* --- sizes ------------------------------------------------------------------------------------ */

static bool is_ip4(const struct tcp_conn *conn)
{
    return ip_addr_is_v4(&conn->flow.remote);
}

static uint32_t base_mtu(const struct tcp_conn *conn)
{
    return is_ip4(conn) ? BASE_IP4 : BASE_IP6;
}

static uint32_t floor_mtu(const struct tcp_conn *conn)
{
    return is_ip4(conn) ? FLOOR_IP4 : BASE_IP6;
}

static uint32_t headers(const struct tcp_conn *conn)
{
    return ip_header_bytes(&conn->flow) + (uint32_t)sizeof(struct tcp_header) +
           (conn->flags & CONN_TS ? TCP_OPT_TIMESTAMPS_SPACE : 0);
}

uint32_t tcp_mtu(const struct tcp_conn *conn)
{
    return conn->mss + headers(conn);
}

static uint32_t mtu_max(const struct tcp_conn *conn)
{
    return conn->mss_max + headers(conn);
}

/* Packets have `mtu` bytes from now on, or as many as both ends take. */
static void resize(struct tcp_conn *conn, uint32_t mtu)
{
    conn->mss = (uint16_t)(min_u32(mtu, mtu_max(conn)) - headers(conn));
    if (conn->sender)
        cc_set_mss(&conn->sender->cc, conn->mss);
}

/* What is in the air in packets that were too big goes again in smaller ones. It is not lost to
 * congestion: the window stays (RFC 1191 6.4). */
static void send_smaller(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_ack unused = {.now_ns = now_ns};

    for (struct tcp_sent *range = tcp_sent_first(s), *next; range; range = next) {
        next = tcp_sent_next(s, range);
        if (range->state == SENT_IN_AIR && range->end - range->seq > conn->mss)
            tcp_sent_lost(conn, range, &unused);
    }
    tcp_conn_ready(conn);
}

/* --- paths ------------------------------------------------------------------------------------ */

int tcp_mtu_init(struct tcp *tcp)
{
    tcp->paths.places =
        mem_arena_alloc(tcp->config.arena, TCP_PATHS * sizeof(struct tcp_path), CACHE_LINE);
    return tcp->paths.places ? 0 : -ENOMEM;
}

static bool may_probe(const struct tcp_conn *conn)
{
    return conn->tcp->config.mtu_probing != TCP_MTU_PROBING_OFF && (conn->flags & CONN_SACK);
}

static struct tcp_path *path_set(const struct tcp_conn *conn)
{
    const struct tcp *tcp = conn->tcp;
    uint64_t hash = siphash13(tcp->config.secret, &conn->flow.remote, sizeof(conn->flow.remote));

    return &tcp->paths.places[hash % (TCP_PATHS / TCP_PATH_WAYS) * TCP_PATH_WAYS];
}

/* NULL: nothing is known of the connection's path. */
static struct tcp_path *path_find(const struct tcp_conn *conn, uint64_t now_ns)
{
    uint64_t keep_ns = may_probe(conn) ? FORGET_NS : RAISE_NS;
    struct tcp_path *path;

    if (!conn->tcp->paths.any)
        return NULL;
    path = path_set(conn);
    for (int i = 0; i < TCP_PATH_WAYS; i++, path++)
        if (path->since_ns && ip_addr_equal(&path->remote, &conn->flow.remote))
            return now_ns - path->since_ns < keep_ns ? path : NULL;
    return NULL;
}

/* The path, known from now on as one that takes what the connection sends. */
static struct tcp_path *path_of(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_path *path = path_find(conn, now_ns), *set;

    if (path)
        return path;
    set = path = path_set(conn);
    for (int i = 0; i < TCP_PATH_WAYS; i++) {
        if (ip_addr_equal(&set[i].remote, &conn->flow.remote)) {
            path = &set[i];
            break;
        }
        if (set[i].since_ns < path->since_ns)
            path = &set[i];
    }
    *path = (struct tcp_path){.remote = conn->flow.remote,
                              .since_ns = now_ns,
                              .mtu = (uint16_t)tcp_mtu(conn),
                              .high = HIGH_OPEN};
    conn->tcp->paths.any = true;
    return path;
}

/* The size to be probed next; 0: the search is complete. */
static uint32_t next_size(const struct tcp_conn *conn, const struct tcp_path *path)
{
    uint32_t low = tcp_mtu(conn), high = min_u32(path->high, mtu_max(conn));

    if (path->high == HIGH_OPEN || path->told)
        return high > low ? high : 0;
    if (high < low + SEARCH_STEP)
        return 0;
    if (low < ETHERNET_MTU && ETHERNET_MTU < high)
        return ETHERNET_MTU;
    return low + (high - low + 1) / 2;
}

/* When the next probe may go. */
static uint64_t probe_at(const struct tcp_conn *conn, const struct tcp_path *path)
{
    if (!may_probe(conn) || conn->mss >= conn->mss_max)
        return UINT64_MAX;
    return next_size(conn, path) ? path->since_ns : path->since_ns + RAISE_NS;
}

void tcp_mtu_start(struct tcp_conn *conn, struct tcp_sender *s, uint64_t now_ns)
{
    const struct tcp_path *path = path_find(conn, now_ns);

    s->mtu.probe_at_ns = UINT64_MAX;
    if (path) {
        resize(conn, path->mtu);
        s->mtu.probe_at_ns = probe_at(conn, path);
        return;
    }
    if (conn->tcp->config.mtu_probing == TCP_MTU_PROBING_ALWAYS && conn->mss == conn->mss_max)
        resize(conn, base_mtu(conn));
    if (conn->mss < conn->mss_max && may_probe(conn))
        s->mtu.probe_at_ns = now_ns;
}

/* --- smaller ---------------------------------------------------------------------------------- */

/* The path takes smaller packets than were sent. */
static void adopt(struct tcp_conn *conn, const struct tcp_path *path, uint64_t now_ns)
{
    struct tcp_mtu *m = &conn->sender->mtu;

    resize(conn, path->mtu);
    m->claim = 0;
    m->probe_end = 0;
    m->probe_at_ns = probe_at(conn, path);
    send_smaller(conn, now_ns);
}

/* The same, found out by this connection. `high`: see struct tcp_path. */
static void shrink(struct tcp_conn *conn, uint32_t mtu, uint32_t high, uint64_t now_ns)
{
    struct tcp_path *path = path_of(conn, now_ns);

    path->mtu = (uint16_t)mtu;
    path->high = (uint16_t)high;
    path->lost = 0;
    path->told = false;
    path->since_ns = now_ns;
    adopt(conn, path, now_ns);
}

/* More than a first window has arrived, so at least once the path took what was sent. */
static bool is_proven(const struct tcp_conn *conn)
{
    return tcp_offset(conn, conn->snd_una) > cc_initial_window(conn->mss_max);
}

/* A segment that makes packets of `stuck` bytes times out, and times out. */
static void black_hole(struct tcp_conn *conn, uint32_t stuck, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    uint32_t patience = is_proven(conn) ? TIMEOUTS_PROVEN : TIMEOUTS_NEW;
    uint32_t fits = base_mtu(conn);
    struct tcp_path *path;

    if (s->mtu.timeouts >= patience + TIMEOUTS_BASE)
        fits = floor_mtu(conn);
    if (s->mtu.timeouts < patience || stuck <= fits)
        return;
    stat_inc(&conn->tcp->stats.black_holes);
    shrink(conn, fits, HIGH_OPEN, now_ns);
    path = path_of(conn, now_ns);
    path->probe = (uint16_t)stuck; /* as good as one lost probe of that size */
    path->lost = PROBES_MAX - 1;
    /* Where nothing has got through yet, the timeouts say nothing of congestion: the slow start
     * that begins now is that of a new connection. */
    if (!is_proven(conn))
        s->cc.ssthresh = CC_WINDOW_MAX;
}

void tcp_mtu_timeout(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_mtu *m = &s->mtu;
    const struct tcp_sent *first = tcp_sent_first(s);
    const struct tcp_path *path = path_find(conn, now_ns);
    uint32_t stuck;

    if (!first || conn->state < TCP_ESTABLISHED)
        return;
    if (m->stuck_at != conn->snd_una) {
        m->stuck_at = conn->snd_una;
        m->timeouts = 0;
    }
    m->timeouts += m->timeouts < UINT8_MAX;
    stuck = (uint32_t)min_u64(first->end - first->seq, conn->mss) + headers(conn);
    if (m->claim && m->claim_seq >= conn->snd_una && m->claim < tcp_mtu(conn)) {
        stat_inc(&conn->tcp->stats.mtu_claims);
        shrink(conn, m->claim, m->claim, now_ns);
    } else if (path && path->mtu < stuck) { /* another connection has found out */
        adopt(conn, path, now_ns);
    } else if (conn->tcp->config.mtu_probing != TCP_MTU_PROBING_OFF) {
        black_hole(conn, stuck, now_ns);
    }
    /* The loss window is one segment (RFC 5681 3.1), of those that are sent now. */
    s->cc.cwnd = min_u32(s->cc.cwnd, conn->mss);
}

/*
 * RFC 5927 7.2: whoever guesses a sequence number in the window could have us send crumbs. So once
 * the path is known to take what we send, a claim waits for the timeout that would follow if it
 * were true, and is forgotten when the segment is acknowledged that it is about.
 */
void tcp_mtu_claimed(struct tcp_conn *conn, uint64_t seq, uint32_t mtu, uint64_t now_ns)
{
    struct tcp_stats *stats = &conn->tcp->stats;
    uint32_t now = tcp_mtu(conn);
    struct tcp_mtu *m;

    if (mtu == 0) /* RFC 1191 5 */
        mtu = now > base_mtu(conn) ? base_mtu(conn) : floor_mtu(conn);
    mtu = max_u32(mtu, floor_mtu(conn));
    if (conn->state < TCP_ESTABLISHED || !conn->sender || seq >= conn->snd_nxt) {
        stat_inc(&stats->mtu_claims_ignored);
        return;
    }
    m = &conn->sender->mtu;
    if (m->probe_end && mtu >= now && mtu < m->probe) { /* RFC 8899 4.6.2: about the probe */
        struct tcp_path *path = path_of(conn, now_ns);

        path->high = (uint16_t)mtu;
        path->told = true;
        path->lost = 0;
    } else if (mtu >= now) {
        stat_inc(&stats->mtu_claims_ignored);
    } else if (!is_proven(conn)) {
        stat_inc(&stats->mtu_claims);
        shrink(conn, mtu, mtu, now_ns);
    } else if (!m->claim || m->claim_seq < conn->snd_una) {
        m->claim = (uint16_t)mtu;
        m->claim_seq = seq;
    }
}

/* --- larger ----------------------------------------------------------------------------------- */

static void probe_arrived(struct tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_mtu *m = &conn->sender->mtu;
    struct tcp_path *path = path_of(conn, now_ns);

    m->probe_end = 0;
    path->mtu = (uint16_t)max_u32(path->mtu, m->probe);
    path->high = (uint16_t)max_u32(path->high, path->mtu);
    path->told &= path->mtu < path->high;
    path->lost = 0;
    path->since_ns = now_ns;
}

/* RFC 4821 7.4: a probe goes when nothing is known to be lost, and when so much follows it that
 * its loss will be told by SACKs. A quarter of the ranges is kept for better uses. */
static bool probe_fits(const struct tcp_conn *conn, uint32_t len, uint64_t bytes)
{
    const struct tcp_sender *s = conn->sender;
    const struct mem_pool *ranges = &conn->tcp->ranges;
    uint64_t least = len + PROBE_FOLLOWERS * (uint64_t)conn->mss;

    return s->recovery == RECOVERY_NONE && !s->sacked_bytes && !s->lost_bytes && !s->asked_bytes &&
           bytes > len && conn->snd_end - conn->snd_nxt >= least && s->cc.cwnd >= least &&
           conn->snd_wnd >= least && ranges->in_use < ranges->capacity - ranges->capacity / 4;
}

uint32_t tcp_mtu_probe_due(struct tcp_conn *conn, uint64_t bytes, uint64_t now_ns)
{
    struct tcp_mtu *m = &conn->sender->mtu;
    struct tcp_path *path;
    uint32_t size, len;

    if (m->probe_end > conn->snd_una)
        return 0; /* one is under way */
    if (m->probe_end)
        probe_arrived(conn, now_ns);
    path = path_of(conn, now_ns);
    if (path->mtu > tcp_mtu(conn)) { /* by this connection's probe, or by another's */
        stat_inc(&conn->tcp->stats.mtu_raised);
        resize(conn, path->mtu);
    }
    if (!next_size(conn, path) && now_ns - path->since_ns >= RAISE_NS) {
        path->high = HIGH_OPEN;
        path->told = false;
    }
    m->probe_at_ns = probe_at(conn, path);
    size = next_size(conn, path);
    len = size - headers(conn);
    if (m->probe_at_ns > now_ns || !size || !probe_fits(conn, len, bytes))
        return 0;
    return len;
}

void tcp_mtu_probe_sent(struct tcp_conn *conn, uint64_t end, uint32_t len)
{
    struct tcp_mtu *m = &conn->sender->mtu;

    stat_inc(&conn->tcp->stats.mtu_probes);
    m->probe_end = end;
    m->probe = (uint16_t)(len + headers(conn));
}

/*
 * RFC 4821 7.6.2: when nothing but the probe was lost, it was too big, and that is no sign of
 * congestion. When more was lost it counts all the same, or a path on which only timeouts tell of
 * losses would be probed for ever; chance is what PROBES_MAX is for.
 */
bool tcp_mtu_probe_lost(struct tcp_conn *conn, struct tcp_sent *range, const struct tcp_ack *a)
{
    struct tcp_sender *s = conn->sender;
    struct tcp_mtu *m = &s->mtu;
    struct tcp_path *path;

    range->flags &= (uint8_t)~SENT_MTU_PROBE;
    if (!m->probe_end)
        return false;
    m->probe_end = 0;
    stat_inc(&conn->tcp->stats.mtu_probe_failures);
    path = path_of(conn, a->now_ns);
    if (path->probe != m->probe)
        path->lost = 0;
    path->probe = m->probe;
    if (m->probe <= path->high && ++path->lost == PROBES_MAX) {
        path->high = (uint16_t)(m->probe - 1);
        path->told = false;
        path->lost = 0;
        path->since_ns = a->now_ns;
    }
    m->probe_at_ns = probe_at(conn, path);
    tcp_conn_ready(conn);
    return s->recovery == RECOVERY_NONE && a->lost == 0;
}

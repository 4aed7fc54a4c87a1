// SPDX-License-Identifier: BSD-2-Clause
#include "gate.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "nmio/priv.h"
#include "nmio/wire.h"

#include <errno.h>
#include <stdlib.h>

#define ADDR_BYTES      6
#define ARP_TYPE        0x0806
#define ARP_SENDER_AT   (ETH_HEADER_BYTES + 8)
#define ARP_TARGET_AT   (ETH_HEADER_BYTES + 18)
#define ARP_BYTES       (ETH_HEADER_BYTES + 28)
#define IP_AT           ETH_HEADER_BYTES
#define FLOWS_MAX       128
#define ACK_BYTES_MAX   128 /* Ethernet, IP, TCP with 40 bytes of options, and padding */
#define TCP_ACK_FLAG    0x10
#define TCP_SYN_FLAG    0x02
#define TCP_PORTS_BYTES 4
/* All flags that make an ACK more than an ACK. ECE is none: it is repeated until it was heard. */
#define TCP_MORE_FLAGS (0x01 | 0x02 | 0x04 | 0x20)
/* Thinning is for ACKs that are many: after so long one passes whatever the count. */
#define THIN_NS (100 * NS_PER_MS)
/* RFC 792: header and 64 bits of the packet; TCP stacks like to see more. */
#define ICMP_QUOTE_BYTES 40
#define ICMP_BYTES       8

const struct stat_desc gate_stat_descs[] = {GATE_STATS(STAT_DESC, struct gate_stats){0}};

struct gate_flow {
    uint8_t ports[TCP_PORTS_BYTES];
    uint32_t acks; /* dropped since the last one that passed */
    uint64_t passed_ns;
    uint32_t kept_count;
    uint64_t due_ns; /* of the one that is kept */
    struct nmio_pkt kept;
    uint8_t data[ACK_BYTES_MAX];
};

struct gate {
    struct nmio_port port;
    struct nmio_port *under;
    struct gate_config config;
    struct gate_stats stats;
    struct rand rand;
    uint64_t now_ns;
    uint8_t real[ADDR_BYTES];  /* what the host believes its address is */
    uint8_t alias[ADDR_BYTES]; /* what everybody else does */
    bool moved;
    struct gate_flow *flows;
    uint32_t flow_count;
};

/* A TCP segment in an IPv4 packet without options. */
struct segment {
    uint8_t *tcp;
    uint32_t len; /* of the TCP header and what follows it */
    uint32_t header_len;
    uint8_t flags;
};

static struct gate *gate_of(const struct nmio_port *port)
{
    return container_of(port, struct gate, port);
}

/* Whatever is not understood passes. */
static bool segment_parse(struct segment *seg, const struct nmio_pkt *pkt)
{
    uint8_t *ip = pkt->data + IP_AT;
    uint32_t ip_len;

    if (pkt->len < IP_AT + IP4_HEADER_BYTES + TCP_HEADER_BYTES ||
        get_be16(pkt->data + ETH_TYPE_AT) != ETH_TYPE_IP4 || ip[0] != 0x45 ||
        ip[IP4_PROTO_AT] != IP_PROTO_TCP)
        return false;
    ip_len = get_be16(ip + IP4_LENGTH_AT);
    if (ip_len > pkt->len - IP_AT || ip_len < IP4_HEADER_BYTES + TCP_HEADER_BYTES)
        return false;
    seg->tcp = ip + IP4_HEADER_BYTES;
    seg->len = ip_len - IP4_HEADER_BYTES;
    seg->header_len = (seg->tcp[TCP_DATA_OFFSET_AT] >> 4) * 4u;
    seg->flags = seg->tcp[TCP_FLAGS_AT];
    return seg->header_len >= TCP_HEADER_BYTES && seg->header_len <= seg->len;
}

static bool is_ack(const struct segment *seg)
{
    return (seg->flags & (TCP_ACK_FLAG | TCP_MORE_FLAGS)) == TCP_ACK_FLAG &&
           seg->len == seg->header_len;
}

/* --- options ---------------------------------------------------------------------------------- */

static bool unwanted(const struct gate *gate, uint8_t kind)
{
    switch (kind) {
    case 3:
        return gate->config.strip & GATE_STRIP_WSCALE;
    case 4:
        return gate->config.strip & GATE_STRIP_SACK;
    case 8:
        return gate->config.strip & GATE_STRIP_TIMESTAMPS;
    default:
        return false;
    }
}

/* RFC 1624, 3: HC' = ~(~HC + ~m + m'). A checksum that was wrong remains as wrong as it was. */
static void change_word(uint8_t *csum, uint16_t old, uint16_t new)
{
    uint32_t sum = (uint16_t)~get_be16(csum) + (uint32_t)(uint16_t)~old + new;

    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(csum, (uint16_t)~sum);
}

static void strip(struct gate *gate, struct segment *seg, const struct nmio_pkt *pkt)
{
    uint8_t old[60];
    uint32_t at = TCP_HEADER_BYTES;
    bool changed = false;

    memcpy(old, seg->tcp, seg->header_len);
    while (at < seg->header_len && seg->tcp[at] != 0) {
        uint32_t len = seg->tcp[at] == 1 ? 1 : at + 1 < seg->header_len ? seg->tcp[at + 1] : 0;

        if (len == 0 || at + len > seg->header_len)
            return; /* corrupted: the stack drops it */
        if (len > 1 && unwanted(gate, seg->tcp[at])) {
            memset(seg->tcp + at, 1, len);
            changed = true;
        }
        at += len;
    }
    if (!changed)
        return;
    stat_inc(&gate->stats.stripped);
    for (at = TCP_HEADER_BYTES; !(pkt->flags & NMIO_PKT_CSUM_OK) && at < seg->header_len; at += 2)
        change_word(seg->tcp + TCP_CSUM_AT, get_be16(old + at), get_be16(seg->tcp + at));
}

/* --- acknowledgments -------------------------------------------------------------------------- */

static struct gate_flow *flow_of(struct gate *gate, const struct segment *seg)
{
    struct gate_flow *flow = gate->flows;

    for (uint32_t i = 0; i < gate->flow_count; i++, flow++)
        if (!memcmp(flow->ports, seg->tcp, TCP_PORTS_BYTES))
            return flow;
    if (gate->flow_count == FLOWS_MAX)
        return NULL;
    gate->flow_count++;
    *flow = (struct gate_flow){0};
    memcpy(flow->ports, seg->tcp, TCP_PORTS_BYTES);
    return flow;
}

/* Until then, or until one that is kept already would have been due. */
static void keep(struct gate *gate, struct gate_flow *flow, const struct nmio_pkt *pkt,
                 uint64_t until_ns)
{
    if (flow->kept_count++)
        stat_inc(&gate->stats.acks_merged);
    else
        flow->due_ns = UINT64_MAX;
    flow->due_ns = min_u64(flow->due_ns, until_ns);
    memcpy(flow->data, pkt->data, pkt->len);
    flow->kept = *pkt;
    flow->kept.data = flow->data;
}

/* What was kept is older than what passes now. */
static void drop_kept(struct gate *gate, struct gate_flow *flow)
{
    if (flow->kept_count)
        stat_inc(&gate->stats.acks_merged);
    flow->kept_count = 0;
}

/*
 * True: it passes now. The last ACK of all is only late: a sender with one segment in flight would
 * otherwise never see an ACK of its first transmission, and wait a minute for each (RFC 6298 5.5).
 */
static bool admit_ack(struct gate *gate, const struct segment *seg, const struct nmio_pkt *pkt)
{
    struct gate_flow *flow = flow_of(gate, seg);

    if (rand_chance(&gate->rand, gate->config.ack_loss)) {
        stat_inc(&gate->stats.acks_lost);
        return false;
    }
    if (!flow || pkt->len > ACK_BYTES_MAX)
        return true;
    if (gate->config.thin && ++flow->acks < gate->config.thin &&
        gate->now_ns < flow->passed_ns + THIN_NS) {
        stat_inc(&gate->stats.acks_thinned);
        keep(gate, flow, pkt, flow->passed_ns + THIN_NS);
        return false;
    }
    flow->acks = 0;
    flow->passed_ns = gate->now_ns;
    if (!gate->config.stretch) {
        drop_kept(gate, flow);
        return true;
    }
    keep(gate, flow, pkt,
         gate->now_ns +
             (flow->kept_count + 1 < gate->config.stretch ? gate->config.stretch_ns : 0));
    return false;
}

static uint32_t release_acks(struct gate *gate, struct nmio_pkt *pkts, uint32_t max)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < gate->flow_count && n < max; i++) {
        struct gate_flow *flow = &gate->flows[i];

        if (!flow->kept_count || flow->due_ns > gate->now_ns)
            continue;
        flow->kept_count = 0;
        flow->acks = 0;
        flow->passed_ns = gate->now_ns;
        pkts[n++] = flow->kept;
    }
    return n;
}

/* --- size ------------------------------------------------------------------------------------- */

/* Destination unreachable, fragmentation needed (RFC 792, 1191), from a router that nobody knows.
 */
static void send_icmp(struct gate *gate, const struct nmio_pkt *pkt)
{
    static const uint8_t router[] = {203, 0, 113, 1};
    const uint8_t *ip = pkt->data + IP_AT;
    struct nmio_frame *frame = nmio_frame(gate->under);
    uint32_t quote = min_u32(ICMP_QUOTE_BYTES, pkt->len - IP_AT);
    uint32_t len = IP4_HEADER_BYTES + ICMP_BYTES + quote;
    uint8_t *out, *icmp;
    uint16_t sum;

    if (!frame)
        return;
    out = frame->header;
    frame->header_len = (uint16_t)(IP_AT + len);
    memset(out, 0, frame->header_len);
    memcpy(out, pkt->data + ADDR_BYTES, ADDR_BYTES);
    memcpy(out + ADDR_BYTES, gate->alias, ADDR_BYTES);
    put_be16(out + ETH_TYPE_AT, ETH_TYPE_IP4);
    out += IP_AT;
    out[0] = 0x45;
    put_be16(out + IP4_LENGTH_AT, (uint16_t)len);
    out[8] = 64; /* time to live */
    out[IP4_PROTO_AT] = IP_PROTO_ICMP;
    memcpy(out + IP4_SOURCE_AT, router, sizeof(router));
    memcpy(out + IP4_SOURCE_AT + 4, ip + IP4_SOURCE_AT, 4);
    sum = (uint16_t)~ip_sum_fold(ip_sum(0, out, IP4_HEADER_BYTES));
    memcpy(out + IP4_CSUM_AT, &sum, sizeof(sum));
    icmp = out + IP4_HEADER_BYTES;
    icmp[0] = 3;
    icmp[1] = 4;
    put_be16(icmp + 6, (uint16_t)(gate->config.mtu_unsaid ? 0 : gate->config.mtu));
    memcpy(icmp + ICMP_BYTES, ip, quote);
    sum = (uint16_t)~ip_sum_fold(ip_sum(0, icmp, ICMP_BYTES + quote));
    memcpy(icmp + 2, &sum, sizeof(sum));
    nmio_tx(gate->under, frame, gate->now_ns);
    stat_inc(&gate->stats.icmp_sent);
}

/* A GSO frame stands for segments of which the last one may be smaller: it is dropped with them. */
static bool fits(struct gate *gate, const struct segment *seg, const struct nmio_pkt *pkt)
{
    const struct gate_config *c = &gate->config;
    uint32_t bytes =
        IP4_HEADER_BYTES + (pkt->gso_size ? seg->header_len + pkt->gso_size : seg->len);

    if (!c->mtu || bytes <= c->mtu || gate->now_ns < c->mtu_from_ns ||
        gate->now_ns >= c->mtu_until_ns)
        return true;
    stat_inc(&gate->stats.too_big);
    if (!c->mtu_silent)
        send_icmp(gate, pkt);
    return false;
}

/* --- addresses -------------------------------------------------------------------------------- */

static bool is_arp(const uint8_t *frame, uint32_t len)
{
    return len >= ARP_BYTES && get_be16(frame + ETH_TYPE_AT) == ARP_TYPE;
}

static void replace(uint8_t *at, const uint8_t *from, const uint8_t *to)
{
    if (!memcmp(at, from, ADDR_BYTES))
        memcpy(at, to, ADDR_BYTES);
}

/* False: the frame is for an address that the host has no longer. */
static bool address_in(struct gate *gate, const struct nmio_pkt *pkt)
{
    bool group = pkt->data[0] & 1;

    if (!gate->moved || pkt->len < ETH_HEADER_BYTES)
        return true;
    if (!group && memcmp(pkt->data, gate->alias, ADDR_BYTES)) {
        stat_inc(&gate->stats.old_address);
        return false;
    }
    replace(pkt->data, gate->alias, gate->real);
    if (is_arp(pkt->data, pkt->len))
        replace(pkt->data + ARP_TARGET_AT, gate->alias, gate->real);
    return true;
}

/* RFC 5227 3: an ARP announcement. */
static void announce(struct gate *gate)
{
    struct nmio_frame *frame = nmio_frame(gate->under);
    static const uint8_t ether_ip4_request[] = {0, 1, 8, 0, ADDR_BYTES, 4, 0, 1};
    uint8_t *out;

    if (!frame)
        return;
    out = frame->header;
    frame->header_len = ARP_BYTES;
    memset(out, 0, ARP_BYTES);
    memset(out, 0xff, ADDR_BYTES);
    memcpy(out + ADDR_BYTES, gate->alias, ADDR_BYTES);
    put_be16(out + ETH_TYPE_AT, ARP_TYPE);
    memcpy(out + ETH_HEADER_BYTES, ether_ip4_request, sizeof(ether_ip4_request));
    memcpy(out + ARP_SENDER_AT, gate->alias, ADDR_BYTES);
    memcpy(out + ARP_SENDER_AT + ADDR_BYTES, gate->config.addr.b + 12, 4);
    memcpy(out + ARP_TARGET_AT + ADDR_BYTES, gate->config.addr.b + 12, 4);
    nmio_tx(gate->under, frame, gate->now_ns);
}

static void maybe_move(struct gate *gate)
{
    if (gate->moved || gate->now_ns < gate->config.moves_at_ns)
        return;
    gate->moved = true;
    gate->alias[ADDR_BYTES - 2] ^= 0x80;
    if (gate->config.move_announced)
        announce(gate);
}

/* --- the port --------------------------------------------------------------------------------- */

static bool admit(struct gate *gate, const struct nmio_pkt *pkt)
{
    struct segment seg;
    struct gate_flow *flow;

    if (!address_in(gate, pkt))
        return false;
    if (!segment_parse(&seg, pkt))
        return true;
    if (!fits(gate, &seg, pkt))
        return false;
    if (is_ack(&seg))
        return admit_ack(gate, &seg, pkt);
    if (seg.flags & TCP_SYN_FLAG)
        strip(gate, &seg, pkt);
    flow = gate->config.stretch || gate->config.thin ? flow_of(gate, &seg) : NULL;
    if (flow)
        drop_kept(gate, flow);
    return true;
}

static uint32_t gate_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max,
                        uint64_t now_ns)
{
    struct gate *gate = gate_of(port);
    uint32_t n = nmio_rx(gate->under, pkts, max, now_ns), kept = 0;

    gate->now_ns = now_ns;
    maybe_move(gate);
    for (uint32_t i = 0; i < n; i++)
        if (admit(gate, &pkts[i]))
            pkts[kept++] = pkts[i];
    return kept + release_acks(gate, pkts + kept, max - kept);
}

static void gate_rx_done(struct nmio_port *port)
{
    nmio_rx_done(gate_of(port)->under);
}

static struct nmio_frame *gate_frame(struct nmio_port *port)
{
    return nmio_frame(gate_of(port)->under);
}

static void gate_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    struct gate *gate = gate_of(port);

    count_sent(port, frame_len(frame));
    if (gate->moved) {
        replace(frame->header + ADDR_BYTES, gate->real, gate->alias);
        if (is_arp(frame->header, frame->header_len))
            replace(frame->header + ARP_SENDER_AT, gate->real, gate->alias);
    }
    nmio_tx(gate->under, frame, now_ns);
}

static void gate_flush(struct nmio_port *port, uint64_t now_ns)
{
    nmio_flush(gate_of(port)->under, now_ns);
}

static void gate_reap(struct nmio_port *port)
{
    nmio_reap(gate_of(port)->under);
}

static uint64_t gate_next_ns(const struct nmio_port *port)
{
    const struct gate *gate = gate_of(port);
    uint64_t next_ns = nmio_next_ns(gate->under);

    if (!gate->moved)
        next_ns = min_u64(next_ns, gate->config.moves_at_ns);
    for (uint32_t i = 0; i < gate->flow_count; i++)
        if (gate->flows[i].kept_count)
            next_ns = min_u64(next_ns, gate->flows[i].due_ns);
    return next_ns;
}

static void gate_close(struct nmio_port *port)
{
    struct gate *gate = gate_of(port);

    nmio_close(gate->under);
    free(gate->flows);
    free(gate);
}

static const struct nmio_ops gate_ops = {
    .rx = gate_rx,
    .rx_done = gate_rx_done,
    .frame = gate_frame,
    .tx = gate_tx,
    .flush = gate_flush,
    .reap = gate_reap,
    .next_ns = gate_next_ns,
    .close = gate_close,
};

int gate_open(struct nmio_port **out, struct nmio_port *under, const struct gate_config *config)
{
    struct gate *gate = calloc(1, sizeof(*gate));

    if (!gate)
        return -ENOMEM;
    gate->flows = calloc(FLOWS_MAX, sizeof(*gate->flows));
    if (!gate->flows) {
        free(gate);
        return -ENOMEM;
    }
    gate->port = (struct nmio_port){.ops = &gate_ops, .caps = *nmio_caps(under), .fd = -1};
    gate->under = under;
    gate->config = *config;
    memcpy(gate->real, gate->port.caps.mac, ADDR_BYTES);
    memcpy(gate->alias, gate->port.caps.mac, ADDR_BYTES);
    rand_seed(&gate->rand, config->seed);
    *out = &gate->port;
    return 0;
}

const struct gate_stats *gate_stats(const struct nmio_port *port)
{
    assert(port->ops == &gate_ops);
    return &gate_of(port)->stats;
}

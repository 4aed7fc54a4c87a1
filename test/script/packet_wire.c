// SPDX-License-Identifier: BSD-2-Clause
/*
 * packet_wire.c - packets as bytes, written and read with no help from the code under test.
 */
#include "packet.h"

#define TCP_HEADER_BYTES  20
#define ICMP_HEADER_BYTES 8
#define ICMP_QUOTED_BYTES 8 /* of the datagram behind its IP header: RFC 792 */

/* --- decode ----------------------------------------------------------------------------------- */

static void decode_ts(struct packet_option *o, struct packet_base *base, const uint8_t *data)
{
    uint32_t val = get_be32(data), ecr = get_be32(data + 4);

    if (!base->has_ts) {
        base->has_ts = true;
        base->ts = val;
    }
    o->value[0] = span_of((int32_t)(val - base->ts));
    o->value[1] = span_of(ecr);
}

static void decode_sack(struct packet_option *o, const struct packet_base *base,
                        const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i + 8 <= len && o->block_count < PACKET_BLOCKS_MAX; i += 8, data += 8) {
        o->blocks[o->block_count][0] = span_of((int32_t)(get_be32(data) - base->peer_iss));
        o->blocks[o->block_count++][1] = span_of((int32_t)(get_be32(data + 4) - base->peer_iss));
    }
}

/* One option with a length, which has been checked. */
static void decode_option(struct packet_option *o, struct packet_base *base, const uint8_t *opt)
{
    uint32_t len = opt[1] - 2u;
    const uint8_t *data = opt + 2;

    o->kind = opt[0];
    o->value[0] = o->value[1] = span_of(0);
    if (o->kind == TCP_OPT_MSS && len == 2) {
        o->value[0] = span_of(get_be16(data));
    } else if (o->kind == TCP_OPT_WSCALE && len == 1) {
        o->value[0] = span_of(data[0]);
    } else if (o->kind == TCP_OPT_TIMESTAMPS && len == 8) {
        decode_ts(o, base, data);
    } else if (o->kind == OPTION_SACK && len % 8 == 0) {
        decode_sack(o, base, data, len);
    } else if (len > 0) {
        o->len = len;
        memcpy(o->bytes, data, len);
    }
}

static void decode_options(struct packet *p, struct packet_base *base, const uint8_t *opt,
                           uint32_t len)
{
    for (uint32_t i = 0; i < len;) {
        if (opt[i] == TCP_OPT_NOP) {
            i++;
            continue;
        }
        if (opt[i] == TCP_OPT_END) {
            while (++i < len)
                if (opt[i] != 0)
                    p->wrong = "padding that is not zero (MUST-69)";
            return;
        }
        if (i + 1 >= len || opt[i + 1] < 2 || i + opt[i + 1] > len) {
            p->wrong = "an option without a proper length (MUST-68)";
            return;
        }
        if (p->option_count < PACKET_OPTIONS_MAX)
            decode_option(&p->options[p->option_count++], base, opt + i);
        i += opt[i + 1];
    }
}

void packet_decode(struct packet *p, struct packet_base *base, const uint8_t *ip, uint32_t ip_len)
{
    const uint8_t *tcp = ip + IP4_HEADER_BYTES;
    uint32_t header = (tcp[12] >> 4) * 4u, iss = get_be32(tcp + 4);

    *p = (struct packet){.flags = tcp[13], .ecn = ip[1] & 3};
    if ((p->flags & SYN) && iss != base->iss) {
        base->iss = iss;
        base->has_ts = false;
    }
    p->our_port = get_be16(tcp) == TRACE_PORT ? 0 : get_be16(tcp);
    p->port = (uint16_t)(get_be16(tcp + 2) - TRACE_PEER_PORT);
    p->seq = span_of((int32_t)(iss - base->iss));
    p->ack = p->flags & ACK ? span_of((int32_t)(get_be32(tcp + 8) - base->peer_iss)) : SPAN_ANY;
    p->win = span_of(get_be16(tcp + 14));
    p->urg = span_of(get_be16(tcp + 18));
    p->len = ip_len - IP4_HEADER_BYTES - header;
    if (tcp[12] & 0x0f)
        p->wrong = "reserved bits that are not zero";
    if (!(p->flags & ACK) && get_be32(tcp + 8) != 0)
        p->wrong = "an acknowledgment number without ACK";
    decode_options(p, base, tcp + TCP_HEADER_BYTES, header - TCP_HEADER_BYTES);
    for (uint32_t i = 0; i < p->len; i++)
        if (tcp[header + i] != trace_byte((uint64_t)(p->seq.lo - 1 + i)))
            p->wrong = "payload that is not the stream's";
}

/* --- encode ----------------------------------------------------------------------------------- */

static uint8_t *encode_option(const struct packet_option *o, const struct packet_base *base,
                              uint8_t *opt)
{
    uint8_t *data = opt + 2;

    if (o->kind == OPTION_RAW) {
        memcpy(opt, o->bytes, o->len);
        return opt + o->len;
    }
    opt[0] = (uint8_t)o->kind;
    switch (o->kind) {
    case TCP_OPT_END:
    case TCP_OPT_NOP:
        return opt + 1;
    case TCP_OPT_MSS:
        put_be16(data, (uint16_t)o->value[0].lo);
        data += 2;
        break;
    case TCP_OPT_WSCALE:
        *data++ = (uint8_t)o->value[0].lo;
        break;
    case TCP_OPT_TIMESTAMPS:
        put_be32(data, (uint32_t)o->value[0].lo);
        put_be32(data + 4, base->ts + (uint32_t)o->value[1].lo);
        data += 8;
        break;
    case OPTION_SACK:
        for (uint32_t i = 0; i < o->block_count; i++, data += 8) {
            put_be32(data, base->iss + (uint32_t)o->blocks[i][0].lo);
            put_be32(data + 4, base->iss + (uint32_t)o->blocks[i][1].lo);
        }
        break;
    default:
        memcpy(data, o->bytes, o->len);
        data += o->len;
    }
    opt[1] = (uint8_t)(data - opt);
    return data;
}

static uint32_t encode_options(const struct packet *p, const struct packet_base *base, uint8_t *opt)
{
    uint8_t *end = opt;

    for (uint32_t i = 0; i < p->option_count; i++) {
        assert_true(end - opt + PACKET_BLOCKS_MAX * 8 + 2 <= 128);
        end = encode_option(&p->options[i], base, end);
    }
    assert_true(end - opt <= OPTION_BYTES_MAX); /* no header has room for more */
    return (uint32_t)(end - opt);
}

/* Moves what lies behind the IP header to make room for its options. */
static uint32_t insert_ip_options(const struct packet *p, uint8_t *frame, uint32_t len)
{
    uint8_t *ip = frame + ETH_HEADER_BYTES, *tcp = ip + IP4_HEADER_BYTES;
    uint32_t room = (uint32_t)align_up(p->ip_options_len, 4);

    memmove(tcp + room, tcp, len - TRACE_IP_HEADER);
    memset(tcp, 0, room);
    memcpy(tcp, p->ip_options, p->ip_options_len);
    ip[0] = (uint8_t)(ip[0] + room / 4);
    put_be16(ip + 2, (uint16_t)(get_be16(ip + 2) + room));
    return len + room;
}

uint32_t packet_encode(const struct packet *p, const struct packet_base *base, struct trace *t,
                       uint8_t frame[PACKET_FRAME_MAX])
{
    uint8_t options[128] = {0};
    struct trace_seg seg = {
        .flags = p->flags,
        .seq = (uint32_t)p->seq.lo,
        .ack = span_is_any(p->ack) ? 0 : (uint32_t)p->ack.lo,
        .len = p->len,
        .win = span_is_any(p->win) ? 0 : (uint32_t)p->win.lo,
        .zero_win = p->win.lo == 0,
        .port = p->port,
        .our_port = p->our_port,
        .opts = options,
        .opts_len = encode_options(p, base, options),
    };
    uint8_t *ip = frame + ETH_HEADER_BYTES, *tcp = ip + IP4_HEADER_BYTES;
    uint32_t len = trace_frame(t, &seg, frame);

    ip[1] = p->ecn;
    if (p->has_src)
        memcpy(ip + 12, p->src, 4);
    if (p->has_dst)
        memcpy(ip + 16, p->dst, 4);
    if (!span_is_any(p->urg))
        put_be16(tcp + 18, (uint16_t)p->urg.lo);
    if (p->data_off)
        tcp[12] = (uint8_t)(p->data_off << 4);
    if (p->cut) {
        len = TRACE_IP_HEADER + p->cut;
        put_be16(ip + 2, (uint16_t)(IP4_HEADER_BYTES + p->cut));
    }
    if (p->ip_options_len) {
        len = insert_ip_options(p, frame, len);
        tcp += align_up(p->ip_options_len, 4);
    }
    trace_seal_frame(frame);
    if (p->bad_sum)
        tcp[16] ^= 1;
    return len;
}

/* --- ICMP ------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint8_t type, code;
} icmp_errors[] = {{"net-unreachable", 3, 0},      {"host-unreachable", 3, 1},
                   {"protocol-unreachable", 3, 2}, {"port-unreachable", 3, 3},
                   {"frag-needed", 3, 4},          {"source-route-failed", 3, 5},
                   {"admin-prohibited", 3, 13},    {"source-quench", 4, 0},
                   {"ttl-exceeded", 11, 0},        {"parameter-problem", 12, 0}};

void packet_icmp_parse(struct scan *s, struct packet_icmp *icmp)
{
    size_t i = 0;

    *icmp = (struct packet_icmp){0};
    while (i < array_len(icmp_errors) && !scan_word(s, icmp_errors[i].name))
        i++;
    if (i == array_len(icmp_errors)) {
        scan_fail(s, "an ICMP error: net-unreachable, frag-needed, source-quench, ...");
        return;
    }
    icmp->type = icmp_errors[i].type;
    icmp->code = icmp_errors[i].code;
    while (!scan_at_end(s)) {
        if (scan_word(s, "mtu"))
            icmp->mtu = (uint16_t)scan_number(s);
        else if (scan_word(s, "seq"))
            icmp->seq = scan_number(s);
        else if (scan_word(s, "port"))
            icmp->port = (uint16_t)scan_number(s);
        else if (scan_word(s, "badsum"))
            icmp->bad_sum = true;
        else if (scan_word(s, "quoted-dst"))
            scan_ip4(s, icmp->quoted_dst);
        else
            scan_fail(s, "mtu, seq, port, badsum or quoted-dst");
    }
}

static uint16_t icmp_sum(const uint8_t *p, uint32_t len)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A TCP frame of the peer's lends its headers: turned round, the IP header is the quoted one. */
uint32_t packet_icmp_encode(const struct packet_icmp *icmp, const struct packet_base *base,
                            struct trace *t, uint8_t frame[PACKET_FRAME_MAX])
{
    static const uint8_t none[4];
    struct trace_seg about = {.flags = ACK, .port = icmp->port};
    uint8_t *ip = frame + ETH_HEADER_BYTES, *message = ip + IP4_HEADER_BYTES;
    uint8_t *quoted = message + ICMP_HEADER_BYTES, *ports = quoted + IP4_HEADER_BYTES;
    uint32_t message_len = ICMP_HEADER_BYTES + IP4_HEADER_BYTES + ICMP_QUOTED_BYTES;

    trace_frame(t, &about, frame);
    memmove(quoted, ip, IP4_HEADER_BYTES);
    memcpy(quoted + 12, ip + 16, 4);
    memcpy(quoted + 16, memcmp(icmp->quoted_dst, none, 4) ? icmp->quoted_dst : ip + 12, 4);
    put_be16(ports, TRACE_PORT);
    put_be16(ports + 2, (uint16_t)(TRACE_PEER_PORT + icmp->port));
    put_be32(ports + 4, base->iss + (uint32_t)icmp->seq);
    memset(message, 0, ICMP_HEADER_BYTES);
    message[0] = icmp->type;
    message[1] = icmp->code;
    put_be16(message + 6, icmp->mtu);
    put_be16(message + 2, (uint16_t)(icmp_sum(message, message_len) ^ icmp->bad_sum));
    ip[9] = IP_PROTO_ICMP;
    put_be16(ip + 2, (uint16_t)(IP4_HEADER_BYTES + message_len));
    put_be16(ip + 10, 0);
    put_be16(ip + 10, icmp_sum(ip, IP4_HEADER_BYTES));
    return TRACE_IP_HEADER + message_len;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "segment.h"

#include "base/bytes.h"

#include <stdio.h>

#define ETH_BYTES   14
#define IP_BYTES    20
#define TCP_BYTES   20
#define ARP_BYTES   28
#define ETHER_IP4   0x0800
#define ETHER_ARP   0x0806
#define VERSION_IHL 0x45
#define DONT_FRAG   0x4000
#define PROTO_TCP   6

enum option_kind {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_SCALE = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_SACK = 5,
    OPTION_TS = 8,
};

static void take_option(struct segment *seg, const uint8_t *opt)
{
    uint8_t size = opt[1];

    if (opt[0] == OPTION_MSS && size == 4) {
        seg->has_mss = true;
        seg->mss = get_be16(opt + 2);
    } else if (opt[0] == OPTION_SCALE && size == 3) {
        seg->has_scale = true;
        seg->scale = opt[2] < 14 ? opt[2] : 14; /* RFC 7323 2.3 */
    } else if (opt[0] == OPTION_SACK_PERMITTED && size == 2) {
        seg->sack_permitted = true;
    } else if (opt[0] == OPTION_TS && size == 10) {
        seg->has_ts = true;
        seg->tsval = get_be32(opt + 2);
        seg->tsecr = get_be32(opt + 6);
    } else if (opt[0] == OPTION_SACK && size >= 10 && (size - 2) % 8 == 0) {
        seg->sack_count = min_u32((size - 2u) / 8, SEGMENT_SACKS_MAX);
        for (uint32_t i = 0; i < seg->sack_count; i++) {
            seg->sacks[i][0] = get_be32(opt + 2 + 8 * i);
            seg->sacks[i][1] = get_be32(opt + 6 + 8 * i);
        }
    }
}

void segment_parse_options(struct segment *seg)
{
    uint32_t at = 0, n = seg->option_bytes;

    seg->has_mss = seg->has_scale = seg->has_ts = seg->sack_permitted = false;
    seg->sack_count = 0;
    while (at < n && seg->options[at] != OPTION_END) {
        if (seg->options[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (at + 1 == n || seg->options[at + 1] < 2 || at + seg->options[at + 1] > n)
            return;
        take_option(seg, seg->options + at);
        at += seg->options[at + 1];
    }
}

/* --- frames ----------------------------------------------------------------------------------- */

/* RFC 1071, one 16-bit word after the other. */
static uint32_t sum_words(uint32_t sum, const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static uint32_t sum_tcp(const uint8_t *ip, uint32_t tcp_bytes)
{
    uint8_t pseudo[12] = {[9] = PROTO_TCP};

    memcpy(pseudo, ip + 12, 8);
    put_be16(pseudo + 10, (uint16_t)tcp_bytes);
    return sum_words(sum_words(0, pseudo, sizeof(pseudo)), ip + IP_BYTES, tcp_bytes);
}

static void write_ip(uint8_t *ip, uint32_t payload, const struct segment_ends *ends)
{
    memset(ip, 0, IP_BYTES);
    ip[0] = VERSION_IHL;
    put_be16(ip + 2, (uint16_t)(IP_BYTES + payload));
    put_be16(ip + 6, DONT_FRAG);
    ip[8] = 64;
    ip[9] = PROTO_TCP;
    memcpy(ip + 12, ends->ip[1], 4);
    memcpy(ip + 16, ends->ip[0], 4);
    put_be16(ip + 10, (uint16_t)~sum_words(0, ip, IP_BYTES));
}

uint32_t segment_write(uint8_t *frame, const struct segment *seg, const uint8_t *text,
                       const struct segment_ends *ends)
{
    uint8_t *ip = frame + ETH_BYTES, *tcp = ip + IP_BYTES;
    uint32_t header = TCP_BYTES + seg->option_bytes;

    memcpy(frame, ends->mac[0], 6);
    memcpy(frame + 6, ends->mac[1], 6);
    put_be16(frame + 12, ETHER_IP4);
    write_ip(ip, header + seg->len, ends);
    memset(tcp, 0, TCP_BYTES);
    put_be16(tcp, ends->port[1]);
    put_be16(tcp + 2, ends->port[0]);
    put_be32(tcp + 4, seg->seq);
    put_be32(tcp + 8, seg->ack);
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = seg->flags;
    put_be16(tcp + 14, (uint16_t)seg->wnd);
    memcpy(tcp + TCP_BYTES, seg->options, seg->option_bytes);
    memcpy(tcp + header, text, seg->len);
    put_be16(tcp + 16, (uint16_t)~sum_tcp(ip, header + seg->len));
    return ETH_BYTES + IP_BYTES + header + seg->len;
}

uint32_t segment_write_arp(uint8_t *frame, bool answer, const struct segment_ends *ends)
{
    static const uint8_t ether_ip4[] = {0, 1, 8, 0, 6, 4, 0}; /* RFC 826 */

    memset(frame, 0, ETH_BYTES + ARP_BYTES);
    memcpy(frame, ends->mac[0], 6);
    memcpy(frame + 6, ends->mac[1], 6);
    put_be16(frame + 12, ETHER_ARP);
    memcpy(frame + 14, ether_ip4, sizeof(ether_ip4));
    frame[21] = answer ? 2 : 1;
    memcpy(frame + 22, ends->mac[1], 6);
    memcpy(frame + 28, ends->ip[1], 4);
    memcpy(frame + 32, ends->mac[0], 6);
    memcpy(frame + 38, ends->ip[0], 4);
    return ETH_BYTES + ARP_BYTES;
}

bool segment_is_arp(const uint8_t *frame, uint32_t len)
{
    return len >= ETH_BYTES + ARP_BYTES && get_be16(frame + 12) == ETHER_ARP;
}

/* What of the frame is not a TCP segment from end 0 to end 1. */
static const char *check_frame(const uint8_t *frame, uint32_t len, const struct segment_ends *ends)
{
    const uint8_t *ip = frame + ETH_BYTES, *tcp = ip + IP_BYTES;
    uint32_t header;

    if (len < ETH_BYTES + IP_BYTES + TCP_BYTES || get_be16(frame + 12) != ETHER_IP4)
        return "a frame that is no TCP segment";
    if (memcmp(frame, ends->mac[1], 6) || memcmp(ip + 12, ends->ip[0], 4) ||
        memcmp(ip + 16, ends->ip[1], 4))
        return "a frame with wrong addresses";
    if (ip[0] != VERSION_IHL || sum_words(0, ip, IP_BYTES) != 0xffff ||
        get_be16(ip + 2) != len - ETH_BYTES || len - ETH_BYTES > SEGMENT_MTU)
        return "a wrong IP header";
    if (get_be16(tcp) != ends->port[0] || get_be16(tcp + 2) != ends->port[1])
        return "wrong ports";
    header = (tcp[12] >> 4) * 4u;
    if (header < TCP_BYTES || ETH_BYTES + IP_BYTES + header > len)
        return "a wrong data offset";
    if (sum_tcp(ip, len - ETH_BYTES - IP_BYTES) != 0xffff)
        return "a wrong checksum";
    return NULL;
}

const char *segment_read(const uint8_t *frame, uint32_t len, struct segment *seg,
                         const uint8_t **text, const struct segment_ends *ends)
{
    const uint8_t *tcp = frame + ETH_BYTES + IP_BYTES;
    const char *wrong = check_frame(frame, len, ends);
    uint32_t header;

    if (wrong)
        return wrong;
    header = (tcp[12] >> 4) * 4u;
    *seg = (struct segment){
        .flags = tcp[13],
        .seq = get_be32(tcp + 4),
        .ack = get_be32(tcp + 8),
        .wnd = get_be16(tcp + 14),
        .len = len - ETH_BYTES - IP_BYTES - header,
        .option_bytes = header - TCP_BYTES,
    };
    memcpy(seg->options, tcp + TCP_BYTES, seg->option_bytes);
    segment_parse_options(seg);
    *text = tcp + header;
    return NULL;
}

void segment_print(const struct segment *seg, char *text, size_t bytes)
{
    static const char letters[] = "FSRPAUEC";
    char flags[sizeof(letters)];
    size_t n = 0, used;

    for (uint32_t bit = 0; letters[bit]; bit++)
        if (seg->flags & (1u << bit))
            flags[n++] = letters[bit];
    flags[n] = '\0';
    used = (size_t)snprintf(text, bytes, "%-4s seq %u len %u ack %u wnd %u", flags, seg->seq,
                            seg->len, seg->ack, seg->wnd);
    if (seg->has_ts && used < bytes)
        used += (size_t)snprintf(text + used, bytes - used, " ts %u/%u", seg->tsval, seg->tsecr);
    if (seg->has_mss && used < bytes)
        used += (size_t)snprintf(text + used, bytes - used, " mss %u", seg->mss);
    if (seg->has_scale && used < bytes)
        used += (size_t)snprintf(text + used, bytes - used, " scale %u", seg->scale);
    if (seg->sack_permitted && used < bytes)
        used += (size_t)snprintf(text + used, bytes - used, " sack-ok");
    for (uint32_t i = 0; i < seg->sack_count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, " sack %u-%u", seg->sacks[i][0],
                                 seg->sacks[i][1]);
}

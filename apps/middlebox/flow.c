// SPDX-License-Identifier: BSD-2-Clause
#include "flow.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/rand.h"

#define ETH_TYPE_AT       12
#define ETH_TYPE_IP4      0x0800
#define ETH_TYPE_IP6      0x86dd
#define ETH_TYPE_VLAN     0x8100 /* IEEE 802.1Q, and the outer tag of 802.1ad */
#define ETH_TYPE_VLAN_AD  0x88a8
#define VLAN_TAG_BYTES    4
#define VLAN_TAGS_MAX     2

#define IP4_HEADER_BYTES  20
#define IP4_FRAGMENT_MASK 0x3fff /* more fragments, offset */
#define IP6_HEADER_BYTES  40

/* RFC 8200, 4; a packet with more extension headers than this goes by its addresses. */
#define IP6_EXTENSIONS_MAX 8
#define IP6_HOP_BY_HOP     0
#define IP6_ROUTING        43
#define IP6_FRAGMENT       44
#define IP6_DESTINATION    60

#define PROTO_TCP          6
#define PROTO_UDP          17
#define PROTO_ICMP6        58

/* RFC 4861, 4: router solicitation to redirect. */
#define NDP_TYPE_FIRST 133
#define NDP_TYPE_LAST  137

uint64_t flow_mix(uint64_t a, uint64_t b)
{
    struct rand r;

    rand_seed(&r, a);
    rand_seed(&r, rand_u64(&r) ^ b);
    return rand_u64(&r);
}

/* --- reading a frame -------------------------------------------------------------------------- */

/* The transport header if there are ports in it, else NULL. */
static const uint8_t *with_ports(uint8_t proto, const uint8_t *transport, const uint8_t *end)
{
    bool has_ports = proto == PROTO_TCP || proto == PROTO_UDP;

    return has_ports && end - transport >= 4 ? transport : NULL;
}

/* Ends of the flow are added up, so that it does not matter which is the source. */
static uint64_t key_of(uint64_t source, uint64_t target, uint8_t proto)
{
    return flow_mix(source + target, proto) | 1;
}

static bool parse_ip4(struct frame_info *info, const uint8_t *ip, const uint8_t *end, uint64_t seed)
{
    uint32_t header = (ip[0] & 15u) * 4;
    const uint8_t *ports = NULL;

    if (end - ip < IP4_HEADER_BYTES || ip[0] >> 4 != 4 || header < IP4_HEADER_BYTES ||
        end - ip < header)
        return false;
    if (!(get_be16(ip + 6) & IP4_FRAGMENT_MASK))
        ports = with_ports(ip[9], ip + header, end);
    info->kind = FRAME_IP4;
    info->flow_key = key_of(
        flow_mix(seed, (uint64_t)get_be32(ip + 12) << 16 | (ports ? get_be16(ports) : 0)),
        flow_mix(seed, (uint64_t)get_be32(ip + 16) << 16 | (ports ? get_be16(ports + 2) : 0)),
        ip[9]);
    return true;
}

/* Moves `at` behind the extension headers and says what follows them; IP6_FRAGMENT for a fragment,
 * whatever it is one of. */
static uint8_t skip_extensions(uint8_t next, const uint8_t **at, const uint8_t *end)
{
    for (unsigned i = 0; i < IP6_EXTENSIONS_MAX; i++) {
        uint32_t bytes;

        if (next != IP6_HOP_BY_HOP && next != IP6_ROUTING && next != IP6_DESTINATION)
            return next;
        if (end - *at < 8)
            return next;
        bytes = ((*at)[1] + 1u) * 8;
        if (end - *at < bytes)
            return next;
        next = (*at)[0];
        *at += bytes;
    }
    return next;
}

static uint64_t end_of_ip6(uint64_t seed, const uint8_t *addr, const uint8_t *port)
{
    uint64_t high = flow_mix(seed, get_be64(addr));

    return flow_mix(flow_mix(high, get_be64(addr + 8)), port ? get_be16(port) : 0);
}

static bool parse_ip6(struct frame_info *info, const uint8_t *ip, const uint8_t *end, uint64_t seed)
{
    const uint8_t *at = ip + IP6_HEADER_BYTES, *ports;
    uint8_t proto;

    if (end - ip < IP6_HEADER_BYTES || ip[0] >> 4 != 6)
        return false;
    proto = skip_extensions(ip[6], &at, end);
    if (proto == PROTO_ICMP6 && end - at >= 1 && *at >= NDP_TYPE_FIRST && *at <= NDP_TYPE_LAST)
        return false;
    ports = with_ports(proto, at, end);
    info->kind = FRAME_IP6;
    info->flow_key = key_of(end_of_ip6(seed, ip + 8, ports),
                            end_of_ip6(seed, ip + 24, ports ? ports + 2 : NULL), proto);
    return true;
}

void frame_parse(struct frame_info *info, const uint8_t *frame, uint32_t len, uint64_t seed)
{
    uint32_t at = ETH_TYPE_AT;
    const uint8_t *end = frame + len;
    bool is_ip = false;
    uint16_t type;

    info->kind = FRAME_LINK;
    for (unsigned tags = 0; tags < VLAN_TAGS_MAX && len >= at + 2 + VLAN_TAG_BYTES; tags++) {
        type = get_be16(frame + at);
        if (type != ETH_TYPE_VLAN && type != ETH_TYPE_VLAN_AD)
            break;
        at += VLAN_TAG_BYTES;
    }
    if (len <= at + 2)
        return;
    type = get_be16(frame + at);
    at += 2;
    if (type == ETH_TYPE_IP4)
        is_ip = parse_ip4(info, frame + at, end, seed);
    else if (type == ETH_TYPE_IP6)
        is_ip = parse_ip6(info, frame + at, end, seed);
    if (is_ip)
        info->ip_at = at;
}

/* --- the table -------------------------------------------------------------------------------- */

size_t flow_table_arena_bytes(void)
{
    return FLOW_SETS * sizeof(struct flow[FLOW_WAYS]) + CACHE_LINE;
}

int flow_table_init(struct flow_table *table, struct mem_arena *arena, bool by_order)
{
    *table = (struct flow_table){.by_order = by_order};
    table->sets = mem_arena_alloc(arena, FLOW_SETS * sizeof(*table->sets), CACHE_LINE);
    return table->sets ? 0 : -ENOMEM;
}

static struct flow flow_new(struct flow_table *table, uint64_t key)
{
    uint64_t order = table->seen;

    stat_inc(&table->seen);
    return (struct flow){.key = key, .fate = table->by_order ? flow_mix(order, 0) : key};
}

struct flow *flow_find(struct flow_table *table, uint64_t key)
{
    struct flow *set = table->sets[(key >> 32) & (FLOW_SETS - 1)];
    struct flow found;
    unsigned i = 0;

    if (likely(set[0].key == key))
        return &set[0];
    while (i < FLOW_WAYS && set[i].key && set[i].key != key)
        i++;
    if (i < FLOW_WAYS && set[i].key) {
        found = set[i];
    } else {
        if (i == FLOW_WAYS) {
            stat_inc(&table->forgotten);
            i--;
        }
        found = flow_new(table, key);
    }
    memmove(&set[1], &set[0], i * sizeof(set[0]));
    set[0] = found;
    return &set[0];
}

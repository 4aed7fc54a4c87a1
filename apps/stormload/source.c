// SPDX-License-Identifier: BSD-2-Clause
#include "source.h"

#define TEXT_BYTES (2 * IP_ADDR_TEXT + 8)

static struct ip_addr plus(const struct ip_addr *addr, uint32_t n)
{
    struct ip_addr sum = *addr;

    put_be32(sum.b + 12, get_be32(addr->b + 12) + n);
    return sum;
}

/* "10.1.0.0/16": the network itself and its broadcast address are no host's. */
static void take_network(struct source_range *r)
{
    unsigned host_bits = (ip_addr_is_v4(&r->first) ? 32u : 128u) - r->bits;

    if (host_bits < 2 || host_bits > 31 ||
        (get_be32(r->first.b + 12) & ((1u << host_bits) - 1)) != 0)
        return;
    r->first = plus(&r->first, 1);
    r->count = (1u << host_bits) - 2;
}

bool source_range_parse(const char *text, struct source_range *r)
{
    char copy[TEXT_BYTES], *dash, *slash;
    struct ip_prefix last;

    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    dash = strchr(copy, '-');
    if (!dash) {
        if (ip_prefix_parse(copy, &last) < 0)
            return false;
        *r = (struct source_range){.first = last.addr, .count = 1, .bits = last.bits};
        take_network(r);
        return true;
    }
    *dash = '\0';
    slash = strchr(dash + 1, '/');
    if (!slash || ip_addr_parse(copy, &r->first) < 0 || ip_prefix_parse(dash + 1, &last) < 0)
        return false;
    if (memcmp(r->first.b, last.addr.b, 12) != 0 ||
        get_be32(last.addr.b + 12) < get_be32(r->first.b + 12))
        return false;
    r->count = get_be32(last.addr.b + 12) - get_be32(r->first.b + 12) + 1;
    r->bits = last.bits;
    return r->count > 0;
}

uint64_t sources_addrs(const struct sources *s)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->range_count; i++)
        sum += s->ranges[i].count;
    return sum;
}

struct ip_addr sources_addr(const struct sources *s, uint64_t index)
{
    uint32_t i = 0;

    index %= sources_addrs(s);
    while (index >= s->ranges[i].count)
        index -= s->ranges[i++].count;
    return plus(&s->ranges[i].first, (uint32_t)index);
}

void sources_next_pair(struct sources *s, struct ip_addr *addr, uint16_t *port)
{
    uint64_t at = s->next++;

    *addr = sources_addr(s, at / SOURCE_PORTS);
    *port = (uint16_t)(SOURCE_PORT_FIRST + at % SOURCE_PORTS);
}

struct ip_addr sources_next_addr(struct sources *s)
{
    return sources_addr(s, s->next++);
}

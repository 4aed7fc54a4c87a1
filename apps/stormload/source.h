// SPDX-License-Identifier: BSD-2-Clause
/*
 * source.h - the addresses that connections come from: ranges, and the next pair of address and
 * port.
 *
 *     10.0.0.2/8             one address, on a link whose prefix has 8 bits
 *     10.1.0.0/16            every address that a host of this network can have
 *     10.0.1.1-10.0.4.255/8  from one to another, on a link whose prefix has 8 bits
 */
#ifndef STORMLOAD_SOURCE_H
#define STORMLOAD_SOURCE_H

#include "ip/ip.h"

#define SOURCE_RANGES_MAX 16
#define SOURCE_PORT_FIRST 1024
#define SOURCE_PORTS      (65536 - SOURCE_PORT_FIRST)

struct source_range {
    struct ip_addr first;
    uint32_t count;
    uint8_t bits; /* of the link's prefix */
};
must_check bool source_range_parse(const char *text, struct source_range *range);

struct sources {
    struct source_range ranges[SOURCE_RANGES_MAX];
    uint32_t range_count;
    uint64_t next; /* private: the pair to be given next */
};
uint64_t sources_addrs(const struct sources *sources);
struct ip_addr sources_addr(const struct sources *sources, uint64_t index);
/* The next pair, beginning anew after the last: all ports of an address, then the next address, so
 * that a link's neighbours have to learn as few addresses as possible at a time. */
void sources_next_pair(struct sources *sources, struct ip_addr *addr, uint16_t *port);
/* The next address. */
struct ip_addr sources_next_addr(struct sources *sources);

#endif

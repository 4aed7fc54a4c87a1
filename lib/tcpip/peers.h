// SPDX-License-Identifier: BSD-2-Clause
/*
 * peers.h - how many connections each remote address has, for those who limit it.
 *
 * Of an IPv6 address the first 64 bits count: the rest is its owner's to choose (RFC 4291 2.5.1).
 * An address is known while it has connections; the table has as many places as there can be
 * connections, so that there is always one.
 */
#ifndef TCPIP_PEERS_H
#define TCPIP_PEERS_H

#include "ip/ip.h"
#include "mem/mem.h"

struct peers {
    struct mem_pool pool; /* private: */
    uint32_t *buckets;    /* index + 1 of the first */
    uint32_t bucket_mask;
    const uint64_t *key;
};

/* `key`: two random words that outlive the table. -ENOMEM when the arena is too small. */
must_check int peers_init(struct peers *peers, struct mem_arena *arena, uint32_t max,
                          const uint64_t key[2]);
/* What that takes from the arena. */
size_t peers_bytes(uint32_t max);
uint32_t peers_count(const struct peers *peers, const struct ip_addr *addr);
void peers_enter(struct peers *peers, const struct ip_addr *addr);
void peers_leave(struct peers *peers, const struct ip_addr *addr);

#endif

// SPDX-License-Identifier: BSD-2-Clause
#include "peers.h"

#include <errno.h>

#include "base/siphash.h"

struct peer {
    struct ip_addr addr; /* as peer_key makes it */
    uint32_t conns;
    uint32_t next; /* index + 1 in the bucket */
};

static uint32_t buckets_for(uint32_t max)
{
    uint32_t buckets = 64;

    while (buckets < max)
        buckets *= 2;
    return buckets;
}

size_t peers_bytes(uint32_t max)
{
    return max * (sizeof(struct peer) + sizeof(void *)) + buckets_for(max) * sizeof(uint32_t);
}

int peers_init(struct peers *peers, struct mem_arena *arena, uint32_t max, const uint64_t key[2])
{
    uint32_t buckets = buckets_for(max);

    peers->buckets = mem_arena_alloc(arena, buckets * sizeof(uint32_t), CACHE_LINE);
    if (!peers->buckets)
        return -ENOMEM;
    peers->bucket_mask = buckets - 1;
    peers->key = key;
    return mem_pool_init(&peers->pool, arena, sizeof(struct peer), max);
}

static struct ip_addr peer_key(const struct ip_addr *addr)
{
    struct ip_addr key = *addr;

    if (!ip_addr_is_v4(addr))
        memset(key.b + 8, 0, 8);
    return key;
}

/* The link to the peer, or the one at the end of its bucket, which is 0. */
static uint32_t *link_find(const struct peers *peers, const struct ip_addr *key)
{
    uint64_t hash = siphash13(peers->key, key, sizeof(*key));
    uint32_t *link = &peers->buckets[hash & peers->bucket_mask];

    while (*link) {
        struct peer *peer = mem_pool_at(&peers->pool, *link - 1);

        if (ip_addr_equal(&peer->addr, key))
            break;
        link = &peer->next;
    }
    return link;
}

uint32_t peers_count(const struct peers *peers, const struct ip_addr *addr)
{
    struct ip_addr key = peer_key(addr);
    uint32_t at = *link_find(peers, &key);

    return at ? ((struct peer *)mem_pool_at(&peers->pool, at - 1))->conns : 0;
}

void peers_enter(struct peers *peers, const struct ip_addr *addr)
{
    struct ip_addr key = peer_key(addr);
    uint32_t *link = link_find(peers, &key);
    struct peer *peer;

    if (*link) {
        peer = mem_pool_at(&peers->pool, *link - 1);
    } else {
        peer = mem_pool_get(&peers->pool);
        assert(peer); /* there are as many as connections */
        *peer = (struct peer){.addr = key};
        *link = mem_pool_index(&peers->pool, peer) + 1;
    }
    peer->conns++;
}

void peers_leave(struct peers *peers, const struct ip_addr *addr)
{
    struct ip_addr key = peer_key(addr);
    uint32_t *link = link_find(peers, &key);
    struct peer *peer = mem_pool_at(&peers->pool, *link - 1);

    if (--peer->conns > 0)
        return;
    *link = peer->next;
    mem_pool_put(&peers->pool, peer);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "base/siphash.h"
#include "eth/priv.h"

/* --- the table ------------------------------------------------------------------------------ */

int neigh_open(struct eth *eth, const struct eth_config *config)
{
    uint32_t max = config->neigh_max ? config->neigh_max : ETH_NEIGH_DEFAULT;
    uint32_t bucket_count = 1;

    while (bucket_count < max)
        bucket_count *= 2;
    eth->hash_key[0] = config->hash_key[0];
    eth->hash_key[1] = config->hash_key[1];
    eth->neigh_max = max;
    eth->bucket_mask = bucket_count - 1;
    eth->neighs = mem_arena_alloc(config->arena, max * sizeof(*eth->neighs), CACHE_LINE);
    eth->buckets = mem_arena_alloc(config->arena, bucket_count * sizeof(*eth->buckets), CACHE_LINE);
    if (!eth->neighs || !eth->buckets)
        return -ENOMEM;
    memset(eth->buckets, 0xff, bucket_count * sizeof(*eth->buckets));
    list_init(&eth->idle);
    list_init(&eth->asked);
    for (uint32_t i = 0; i < max; i++) {
        timer_init(&eth->neighs[i].timer);
        list_init(&eth->neighs[i].waiting);
        list_push_tail(&eth->idle, &eth->neighs[i].idle);
    }
    if (mem_pool_init(&eth->waiting, config->arena, sizeof(struct eth_waiting), WAITING_MAX) != 0)
        return -ENOMEM;
    return mem_chunks_init(&eth->payloads, config->arena,
                           (uint32_t)align_up(eth->caps->mtu, PAGE_BYTES), WAITING_CHUNKS);
}

static uint32_t bucket_of(const struct eth *eth, const struct ip_addr *addr)
{
    return (uint32_t)siphash13(eth->hash_key, addr->b, sizeof(addr->b)) & eth->bucket_mask;
}

struct eth_neigh *neigh_find(const struct eth *eth, const struct ip_addr *addr)
{
    uint32_t i = eth->buckets[bucket_of(eth, addr)];

    while (i != NEIGH_NONE && !ip_addr_equal(&eth->neighs[i].addr, addr))
        i = eth->neighs[i].hash_next;
    return i == NEIGH_NONE ? NULL : &eth->neighs[i];
}

static void table_insert(struct eth *eth, struct eth_neigh *neigh)
{
    neigh->bucket = bucket_of(eth, &neigh->addr);
    neigh->hash_next = eth->buckets[neigh->bucket];
    eth->buckets[neigh->bucket] = (uint32_t)(neigh - eth->neighs);
}

static void table_remove(struct eth *eth, struct eth_neigh *neigh)
{
    uint32_t self = (uint32_t)(neigh - eth->neighs);
    uint32_t *link = &eth->buckets[neigh->bucket];

    while (*link != self)
        link = &eth->neighs[*link].hash_next;
    *link = neigh->hash_next;
}

static void neigh_free(struct eth *eth, struct eth_neigh *neigh);

/* --- frames that wait ----------------------------------------------------------------------- */

static void waiting_free(struct eth *eth, struct eth_waiting *waiting)
{
    if (waiting->payload)
        mem_chunk_put(waiting->payload);
    mem_pool_put(&eth->waiting, waiting);
}

static struct eth_waiting *waiting_pop(struct eth_neigh *neigh)
{
    struct list *node = list_pop_head(&neigh->waiting);

    if (!node)
        return NULL;
    neigh->waiting_count--;
    return list_entry(node, struct eth_waiting, node);
}

static void waiting_drop_all(struct eth *eth, struct eth_neigh *neigh)
{
    struct eth_waiting *waiting;

    while ((waiting = waiting_pop(neigh))) {
        stat_inc(&eth->stats.drop_unresolved);
        waiting_free(eth, waiting);
    }
}

void neigh_close(struct eth *eth)
{
    for (uint32_t i = 0; i < eth->neigh_max; i++)
        waiting_drop_all(eth, &eth->neighs[i]);
}

static void waiting_send_all(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns)
{
    struct eth_waiting *waiting;

    while ((waiting = waiting_pop(neigh))) {
        struct nmio_frame *frame = eth_frame(eth);

        if (frame) {
            memcpy(frame->header, waiting->header, waiting->header_len);
            frame->header_len = waiting->header_len;
            frame->csum_start = waiting->csum_start;
            frame->csum_offset = waiting->csum_offset;
            if (waiting->payload) {
                frame->slices[0] = (struct nmio_slice){.data = waiting->payload->data,
                                                       .len = waiting->payload_len,
                                                       .owner = waiting->payload};
                frame->slice_count = 1;
                waiting->payload = NULL; /* the reference is the port's now */
            }
            eth_transmit(eth, neigh, waiting->ethertype, frame, now_ns);
        } /* else the port has counted it */
        waiting_free(eth, waiting);
    }
}

/* The address that has been asked for longest in vain, for nobody's connection, is forgotten with
 * the frames that wait for it. */
static bool give_up_oldest(struct eth *eth)
{
    struct eth_neigh *oldest = list_first(&eth->asked, struct eth_neigh, idle);

    if (!oldest)
        return false;
    stat_inc(&eth->stats.neigh_given_up);
    neigh_free(eth, oldest);
    return true;
}

/* A place for one more frame. RFC 4861 7.2.2: a new frame takes the place of the oldest one. */
static struct eth_waiting *waiting_place(struct eth *eth, struct eth_neigh *neigh)
{
    struct eth_waiting *waiting = NULL;

    if (neigh->waiting_count < WAITING_PER_NEIGH) {
        waiting = mem_pool_get(&eth->waiting);
        if (!waiting && give_up_oldest(eth))
            waiting = mem_pool_get(&eth->waiting);
    }
    if (!waiting) {
        stat_inc(&eth->stats.drop_queue_full); /* the oldest one, or else the new one */
        waiting = waiting_pop(neigh);
        if (waiting && waiting->payload)
            mem_chunk_put(waiting->payload);
    }
    if (waiting)
        waiting->payload = NULL;
    return waiting;
}

static bool waiting_copy_payload(struct eth *eth, struct eth_waiting *waiting,
                                 const struct nmio_frame *frame, uint32_t len)
{
    uint8_t *to;

    waiting->payload_len = len;
    if (len == 0)
        return true;
    waiting->payload = mem_chunk_get(&eth->payloads);
    if (!waiting->payload)
        return false;
    to = waiting->payload->data;
    for (unsigned i = 0; i < frame->slice_count; i++) {
        memcpy(to, frame->slices[i].data, frame->slices[i].len);
        to += frame->slices[i].len;
    }
    return true;
}

static void waiting_push(struct eth *eth, struct eth_neigh *neigh, uint16_t ethertype,
                         const struct nmio_frame *frame)
{
    struct eth_waiting *waiting;
    uint32_t len = 0;

    for (unsigned i = 0; i < frame->slice_count; i++)
        len += frame->slices[i].len;
    if (frame->gso_size > 0 || len > eth->payloads.data_bytes) {
        stat_inc(&eth->stats.drop_queue_big);
        return;
    }
    waiting = waiting_place(eth, neigh);
    if (!waiting)
        return;
    if (!waiting_copy_payload(eth, waiting, frame, len)) {
        stat_inc(&eth->stats.drop_queue_full);
        waiting_free(eth, waiting);
        return;
    }
    waiting->ethertype = ethertype;
    waiting->header_len = frame->header_len;
    waiting->csum_start = frame->csum_start;
    waiting->csum_offset = frame->csum_offset;
    memcpy(waiting->header, frame->header, frame->header_len);
    list_push_tail(&neigh->waiting, &waiting->node);
    neigh->waiting_count++;
}

static void frame_release(struct nmio_frame *frame)
{
    for (unsigned i = 0; i < frame->slice_count; i++)
        if (frame->slices[i].owner)
            mem_chunk_put(frame->slices[i].owner);
    frame->slice_count = 0;
}

/* --- states --------------------------------------------------------------------------------- */

static bool mac_known(const struct eth_neigh *neigh)
{
    return neigh->state >= NEIGH_REACHABLE && neigh->state <= NEIGH_PROBE;
}

/* Those that nobody holds are in one of two lists. What is known of a neighbour is worth keeping
 * for the next time, and no flood of unknown ones pushes it out. */
static void enter_list(struct eth *eth, struct eth_neigh *neigh)
{
    list_push_tail(mac_known(neigh) ? &eth->idle : &eth->asked, &neigh->idle);
}

/* The only place where a state changes: each state brings its timer. */
static void set_state(struct eth *eth, struct eth_neigh *neigh, enum neigh_state state,
                      uint64_t now_ns)
{
    bool was_known = mac_known(neigh);

    neigh->state = (uint8_t)state;
    neigh->tries = 0;
    if (neigh->refs == 0 && list_linked(&neigh->idle) && mac_known(neigh) != was_known) {
        list_remove(&neigh->idle);
        enter_list(eth, neigh);
    }
    if (unlikely(neigh->router) && (mac_known(neigh) != was_known || state == NEIGH_UNREACHABLE))
        router_choose(eth);
    switch (state) {
    case NEIGH_REACHABLE:
        timer_disarm(&eth->timers, &neigh->timer);
        break;
    case NEIGH_DELAY:
        timer_arm(&eth->timers, &neigh->timer, now_ns + NEIGH_DELAY_NS);
        break;
    case NEIGH_INCOMPLETE: /* their requests arm the timer */
    case NEIGH_PROBE:
        neigh->fresh_until_ns = 0;
        break;
    case NEIGH_FREE:
    case NEIGH_STALE:
    case NEIGH_UNREACHABLE:
        neigh->fresh_until_ns = 0;
        timer_disarm(&eth->timers, &neigh->timer);
        break;
    }
}

/* Time and the transport's confirmations only leave a mark; here it is taken notice of. */
static void settle(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns)
{
    bool fresh = now_ns < neigh->fresh_until_ns;

    if (neigh->state == NEIGH_REACHABLE && !fresh)
        set_state(eth, neigh, NEIGH_STALE, now_ns);
    else if (mac_known(neigh) && neigh->state != NEIGH_REACHABLE && fresh)
        set_state(eth, neigh, NEIGH_REACHABLE, now_ns);
}

/* Nobody holds it, and nobody will miss it. */
static void neigh_free(struct eth *eth, struct eth_neigh *neigh)
{
    waiting_drop_all(eth, neigh);
    table_remove(eth, neigh);
    list_remove(&neigh->idle);
    set_state(eth, neigh, NEIGH_FREE, 0);
    list_push_head(&eth->idle, &neigh->idle);
}

static void ask(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns)
{
    const uint8_t *whom = neigh->state == NEIGH_PROBE ? neigh->macs : NULL;

    neigh->tries++;
    neigh->asked_ns = now_ns;
    timer_arm(&eth->timers, &neigh->timer, now_ns + NEIGH_RETRANS_NS);
    if (ip_addr_is_v4(&neigh->addr))
        arp_ask(eth, &neigh->addr, whom, now_ns);
    else
        ndp_ask(eth, &neigh->addr, whom, now_ns);
}

/* A second's worth at once. Not now: it is as if the question had been lost, and the timer asks
 * again. */
static bool question_admitted(struct eth *eth, uint64_t now_ns)
{
    uint64_t paid_ns = max_u64(eth->questions_paid_ns, now_ns) + NS_PER_S / NEIGH_QUESTIONS_PER_S;

    if (paid_ns > now_ns + NS_PER_S) {
        stat_inc(&eth->stats.questions_limited);
        return false;
    }
    eth->questions_paid_ns = paid_ns;
    return true;
}

static void ask_everybody(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns)
{
    set_state(eth, neigh, NEIGH_INCOMPLETE, now_ns);
    ask(eth, neigh, now_ns);
}

void neigh_timer(struct eth *eth, struct eth_neigh *neigh, uint64_t now_ns)
{
    settle(eth, neigh, now_ns);
    switch ((enum neigh_state)neigh->state) {
    case NEIGH_DELAY:
        set_state(eth, neigh, NEIGH_PROBE, now_ns);
        ask(eth, neigh, now_ns);
        break;
    case NEIGH_PROBE:
        if (neigh->tries < NEIGH_UNICAST_MAX)
            ask(eth, neigh, now_ns);
        else if (neigh->refs > 0)
            ask_everybody(eth, neigh, now_ns); /* it may live at another address by now */
        else
            neigh_free(eth, neigh);
        break;
    case NEIGH_INCOMPLETE:
        if (neigh->tries < NEIGH_MULTICAST_MAX) {
            ask(eth, neigh, now_ns);
        } else if (neigh->refs == 0) {
            neigh_free(eth, neigh);
        } else {
            waiting_drop_all(eth, neigh);
            set_state(eth, neigh, NEIGH_UNREACHABLE, now_ns);
        }
        break;
    case NEIGH_FREE:
    case NEIGH_REACHABLE:
    case NEIGH_STALE:
    case NEIGH_UNREACHABLE:
        break;
    }
}

static void set_mac(struct eth *eth, struct eth_neigh *neigh, const uint8_t *mac)
{
    memcpy(neigh->macs, mac, ETH_MAC_BYTES);
    memcpy(neigh->macs + ETH_MAC_BYTES, eth->caps->mac, ETH_MAC_BYTES);
    neigh->fresh_until_ns = 0; /* what was confirmed before is not this one */
}

bool neigh_answered(struct eth *eth, struct eth_neigh *neigh, const uint8_t *mac, uint64_t now_ns)
{
    /* Whoever else answers a question that was put to the holder alone was not asked. */
    if (neigh->state != NEIGH_INCOMPLETE &&
        !(neigh->state == NEIGH_PROBE && eth_mac_equal(neigh->macs, mac)))
        return false;
    set_mac(eth, neigh, mac);
    neigh->fresh_until_ns = now_ns + NEIGH_REACHABLE_NS;
    set_state(eth, neigh, NEIGH_REACHABLE, now_ns);
    waiting_send_all(eth, neigh, now_ns);
    return true;
}

void neigh_claimed(struct eth *eth, struct eth_neigh *neigh, const uint8_t *mac,
                   enum neigh_claim claim, uint64_t now_ns)
{
    settle(eth, neigh, now_ns);
    switch ((enum neigh_state)neigh->state) {
    case NEIGH_FREE:
    case NEIGH_INCOMPLETE:
    case NEIGH_UNREACHABLE:
        if (claim != CLAIM_TO_US)
            return;
        set_mac(eth, neigh, mac);
        if (neigh->waiting_count == 0) {
            set_state(eth, neigh, NEIGH_STALE, now_ns); /* RFC 4861 7.2.3 */
        } else {
            set_state(eth, neigh, NEIGH_DELAY, now_ns);
            waiting_send_all(eth, neigh, now_ns);
        }
        return;
    case NEIGH_STALE:
        if (claim != CLAIM_WORTHLESS)
            set_mac(eth, neigh, mac);
        return;
    case NEIGH_REACHABLE:
    case NEIGH_DELAY:
        /* The holder is asked, once; if it does not answer within a second, everybody is. Claims
         * can make us ask no more than once a second. */
        if (eth_mac_equal(neigh->macs, mac) || now_ns < neigh->asked_ns + NEIGH_RETRANS_NS)
            return;
        set_state(eth, neigh, NEIGH_PROBE, now_ns);
        neigh->tries = NEIGH_UNICAST_MAX - 1;
        ask(eth, neigh, now_ns);
        return;
    case NEIGH_PROBE:
        return; /* it is being asked already */
    }
}

/* --- holding and sending -------------------------------------------------------------------- */

struct eth_neigh *neigh_create(struct eth *eth, const struct ip_addr *addr)
{
    struct eth_neigh *neigh;

    if (list_empty(&eth->idle) && !give_up_oldest(eth))
        return NULL;
    neigh = list_first(&eth->idle, struct eth_neigh, idle);
    if (neigh->state != NEIGH_FREE)
        neigh_free(eth, neigh);
    neigh->addr = *addr;
    neigh->asked_ns = 0;
    table_insert(eth, neigh);
    list_remove(&neigh->idle);
    list_push_tail(&eth->idle, &neigh->idle);
    return neigh;
}

struct eth_neigh *eth_neigh_get(struct eth *eth, const struct ip_addr *addr, uint64_t now_ns)
{
    struct eth_neigh *neigh = neigh_find(eth, addr);

    if (!neigh)
        neigh = neigh_create(eth, addr);
    if (!neigh) {
        stat_inc(&eth->stats.drop_neigh_full);
        return NULL;
    }
    if (neigh->refs++ == 0)
        list_remove(&neigh->idle);
    if (neigh->state == NEIGH_FREE) {
        set_state(eth, neigh, NEIGH_INCOMPLETE, now_ns);
        if (question_admitted(eth, now_ns))
            ask(eth, neigh, now_ns);
        else
            timer_arm(&eth->timers, &neigh->timer, now_ns + NEIGH_RETRANS_NS);
    }
    return neigh;
}

void eth_neigh_put(struct eth *eth, struct eth_neigh *neigh)
{
    assert(neigh->refs > 0);
    if (--neigh->refs > 0)
        return;
    if (mac_known(neigh) || neigh->waiting_count > 0)
        enter_list(eth, neigh);
    else
        neigh_free(eth, neigh);
}

/* Only a mark, since it is made for every ACK; settle reads it. A neighbour whose address is not
 * known ignores it. */
void eth_neigh_confirm(struct eth_neigh *neigh, uint64_t now_ns)
{
    neigh->fresh_until_ns = now_ns + NEIGH_REACHABLE_NS;
}

void neigh_send_slow(struct eth *eth, struct eth_neigh *neigh, uint16_t ethertype,
                     struct nmio_frame *frame, uint64_t now_ns)
{
    settle(eth, neigh, now_ns);
    switch ((enum neigh_state)neigh->state) {
    case NEIGH_STALE:
        set_state(eth, neigh, NEIGH_DELAY, now_ns);
        eth_transmit(eth, neigh, ethertype, frame, now_ns);
        return;
    case NEIGH_REACHABLE:
    case NEIGH_DELAY:
    case NEIGH_PROBE:
        eth_transmit(eth, neigh, ethertype, frame, now_ns);
        return;
    case NEIGH_FREE:        /* nobody holds those */
    case NEIGH_UNREACHABLE: /* the last question is a second old: it was waited for */
    case NEIGH_INCOMPLETE:
        waiting_push(eth, neigh, ethertype, frame);
        frame_release(frame);
        break;
    }
    if (neigh->state == NEIGH_UNREACHABLE) /* only now: the port gives the same frame out again */
        ask_everybody(eth, neigh, now_ns);
}

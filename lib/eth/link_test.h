// SPDX-License-Identifier: BSD-2-Clause
/*
 * link_test.h - the world of this folder's tests: we have one end of a pipe, and the test, at its
 * other end, is everybody else on the link. Tests read as traces: link_* is what the link does,
 * we_* what we do, expect_* what the link must then hear.
 */
#ifndef ETH_LINK_TEST_H
#define ETH_LINK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eth/priv.h"

#define ARP_FRAME_BYTES (sizeof(struct eth_header) + sizeof(struct arp_packet))
#define S               NS_PER_S
#define MTU             1500

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 0x10};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0xaa};
static const uint8_t evil_mac[6] = {2, 0, 0, 0, 0, 0xee};
static const uint8_t unknown_mac[6];
static const char us[] = "\300\0\2\1";    /* 192.0.2.1/24 */
static const char us_too[] = "\12\0\0\1"; /* 10.0.0.1/8 */
static const char peer[] = "\300\0\2\2";  /* 192.0.2.2 */
static const char other[] = "\300\0\2\3"; /* 192.0.2.3 */
static const char nobody[] = "\0\0\0\0";
static const char stranger[] = "\306\63\144\1"; /* 198.51.100.1 */

struct world {
    struct mem_arena *arena;
    struct nmio_port *ends[2]; /* ours, the link's */
    struct eth *eth;
    uint64_t now_ns;
    uint32_t shown;                  /* frames that on_arp was called with */
    struct nmio_pkt got[NMIO_BATCH]; /* what we sent and nobody has looked at yet */
    uint32_t got_count, got_next;
};

static inline void shown(void *arg, const uint8_t *frame, uint32_t len)
{
    struct world *w = arg;

    assert_true(len >= ARP_FRAME_BYTES);
    w->shown++;
}

static inline void world_open(struct world *w, uint32_t neigh_max)
{
    struct nmio_pipe_config pipe = {
        .caps = {.mtu = MTU, .tx_csum = true, .slices_max = NMIO_SLICES_MAX},
        .depth = NMIO_BATCH,
    };
    struct ip_addr addrs[] = {ip_addr_v4(us), ip_addr_v4(us_too)};
    uint8_t bits[] = {24, 8};
    struct eth_config config = {.addrs = addrs,
                                .addr_count = 2,
                                .prefix_bits = bits,
                                .neigh_max = neigh_max,
                                .hash_key = {1, 2},
                                .on_arp = shown,
                                .on_arp_arg = w};

    *w = (struct world){.now_ns = 1000 * S};
    memcpy(pipe.caps.mac, our_mac, 6);
    assert_int_equal(mem_arena_open(&w->arena, 8u << 20, 0), 0);
    assert_int_equal(nmio_pipe_open(w->ends, w->arena, &pipe), 0);
    config.arena = w->arena;
    config.port = w->ends[0];
    assert_int_equal(eth_open(&w->eth, &config, w->now_ns), 0);
    w->eth->announce_left = 0; /* only one test wants to hear them */
    timer_disarm(&w->eth->timers, &w->eth->announce);
}

static inline void link_done(struct world *w)
{
    if (w->got_count)
        nmio_rx_done(w->ends[1]);
    w->got_count = w->got_next = 0;
}

static inline void world_close(struct world *w)
{
    eth_close(w->eth);
    link_done(w);
    assert_int_equal(stat_get(&w->eth->waiting.in_use), 0);
    assert_int_equal(stat_get(&w->eth->payloads.in_use), 0);
    nmio_close(w->ends[0]);
    nmio_close(w->ends[1]);
    mem_arena_close(w->arena);
}

/* --- what the link does --------------------------------------------------------------------- */

static inline void arp_make(uint8_t *frame, const uint8_t *dst, uint16_t op, const uint8_t *sha,
                            const char *spa, const uint8_t *tha, const char *tpa)
{
    struct eth_header *h = (struct eth_header *)frame;
    struct arp_packet *p = (struct arp_packet *)(h + 1);

    memcpy(h->dst, dst, 6);
    memcpy(h->src, sha, 6);
    put_be16(h->type, ETH_TYPE_ARP);
    put_be16(p->htype, 1);
    put_be16(p->ptype, ETH_TYPE_IP4);
    p->hlen = 6;
    p->plen = 4;
    put_be16(p->op, op);
    memcpy(p->sha, sha, 6);
    memcpy(p->spa, spa, 4);
    memcpy(p->tha, tha, 6);
    memcpy(p->tpa, tpa, 4);
}

static inline enum eth_verdict link_says(struct world *w, const void *bytes, uint32_t len)
{
    struct nmio_frame *frame = nmio_frame(w->ends[1]);
    struct nmio_pkt pkt;
    enum eth_verdict verdict;

    frame->slices[0] = (struct nmio_slice){.data = bytes, .len = len};
    frame->slice_count = 1;
    nmio_tx(w->ends[1], frame, w->now_ns);
    assert_int_equal(nmio_rx(w->ends[0], &pkt, 1, w->now_ns), 1);
    verdict = eth_input(w->eth, &pkt, w->now_ns);
    nmio_rx_done(w->ends[0]);
    return verdict;
}

static inline void link_asks(struct world *w, const uint8_t *sha, const char *spa, const char *tpa)
{
    uint8_t frame[ARP_FRAME_BYTES];

    arp_make(frame, eth_broadcast, ARP_OP_REQUEST, sha, spa, unknown_mac, tpa);
    assert_int_equal(link_says(w, frame, sizeof(frame)), ETH_DONE);
}

static inline void link_answers(struct world *w, const uint8_t *sha, const char *spa)
{
    uint8_t frame[ARP_FRAME_BYTES];

    arp_make(frame, our_mac, ARP_OP_REPLY, sha, spa, our_mac, us);
    assert_int_equal(link_says(w, frame, sizeof(frame)), ETH_DONE);
}

/* --- what we must do ------------------------------------------------------------------------ */

static inline const struct nmio_pkt *link_hears(struct world *w)
{
    if (w->got_next == w->got_count) {
        link_done(w);
        w->got_count = nmio_rx(w->ends[1], w->got, NMIO_BATCH, w->now_ns);
    }
    return w->got_next < w->got_count ? &w->got[w->got_next++] : NULL;
}

static inline void expect_silence(struct world *w)
{
    assert_null(link_hears(w));
}

static inline void expect_arp(struct world *w, const uint8_t *dst, uint16_t op, const uint8_t *tha,
                              const char *tpa)
{
    const struct nmio_pkt *pkt = link_hears(w);
    uint8_t frame[ARP_FRAME_BYTES];

    arp_make(frame, dst, op, our_mac, tpa[0] == us_too[0] ? us_too : us, tha, tpa);
    assert_non_null(pkt);
    assert_int_equal(pkt->len, sizeof(frame));
    assert_memory_equal(pkt->data, frame, sizeof(frame));
}

static inline void expect_question(struct world *w, const uint8_t *dst, const char *tpa)
{
    expect_arp(w, dst, ARP_OP_REQUEST, unknown_mac, tpa);
}

static inline void we_send(struct world *w, struct eth_neigh *neigh, const char *text)
{
    struct nmio_frame *frame = eth_frame(w->eth);

    memcpy(frame->header + frame->header_len, "head", 4);
    frame->header_len += 4;
    if (*text) {
        frame->slices[0] =
            (struct nmio_slice){.data = (const uint8_t *)text, .len = (uint32_t)strlen(text)};
        frame->slice_count = 1;
    }
    eth_send(w->eth, neigh, ETH_TYPE_IP4, frame, w->now_ns);
}

static inline void expect_frame(struct world *w, const uint8_t *dst, const char *text)
{
    const struct nmio_pkt *pkt = link_hears(w);
    const struct eth_header *h;

    assert_non_null(pkt);
    h = (const struct eth_header *)pkt->data;
    assert_int_equal(pkt->len, sizeof(*h) + 4 + strlen(text));
    assert_memory_equal(h->dst, dst, 6);
    assert_memory_equal(h->src, our_mac, 6);
    assert_int_equal(get_be16(h->type), ETH_TYPE_IP4);
    assert_memory_equal(pkt->data + sizeof(*h), "head", 4);
    assert_memory_equal(pkt->data + sizeof(*h) + 4, text, strlen(text));
}

/* Time passes, and every timer goes off when it is due. */
static inline void wait_until(struct world *w, uint64_t ns)
{
    while (eth_next_ns(w->eth) <= ns) {
        w->now_ns = max_u64(w->now_ns, eth_next_ns(w->eth));
        eth_timers(w->eth, w->now_ns);
    }
    w->now_ns = ns;
}

static inline void wait_for(struct world *w, uint64_t ns)
{
    wait_until(w, w->now_ns + ns);
}

static inline struct eth_neigh *hold(struct world *w, const char *ip4)
{
    struct ip_addr addr = ip_addr_v4(ip4);

    return eth_neigh_get(w->eth, &addr, w->now_ns);
}

/* Held, asked for and answered. */
static inline struct eth_neigh *reachable(struct world *w, const char *ip4)
{
    struct eth_neigh *neigh = hold(w, ip4);

    expect_question(w, eth_broadcast, ip4);
    link_answers(w, peer_mac, ip4);
    expect_silence(w);
    assert_int_equal(neigh->state, NEIGH_REACHABLE);
    return neigh;
}

static inline const struct eth_neigh *look_up(struct world *w, const char *ip4)
{
    struct ip_addr addr = ip_addr_v4(ip4);

    return neigh_find(w->eth, &addr);
}

#endif

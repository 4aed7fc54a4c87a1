// SPDX-License-Identifier: BSD-2-Clause
/*
 * Traces: what the link says to us, what we must say to the link. The test is everybody else on the
 * link: it has the other end of the pipe.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

static void shown(void *arg, const uint8_t *frame, uint32_t len)
{
    struct world *w = arg;

    assert_true(len >= ARP_FRAME_BYTES);
    w->shown++;
}

static void world_open(struct world *w, uint32_t neigh_max)
{
    struct nmio_pipe_config pipe = {
        .caps = {.mtu = MTU, .tx_csum = true, .slices_max = NMIO_SLICES_MAX},
        .depth = NMIO_BATCH,
    };
    struct ip_addr addr = ip_addr_v4(us);
    uint8_t bits = 24;
    struct eth_config config = {.addrs = &addr,
                                .addr_count = 1,
                                .prefix_bits = &bits,
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

static void link_done(struct world *w)
{
    if (w->got_count)
        nmio_rx_done(w->ends[1]);
    w->got_count = w->got_next = 0;
}

static void world_close(struct world *w)
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

static void arp_make(uint8_t *frame, const uint8_t *dst, uint16_t op, const uint8_t *sha,
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

static enum eth_verdict link_says(struct world *w, const void *bytes, uint32_t len)
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

static void link_asks(struct world *w, const uint8_t *sha, const char *spa, const char *tpa)
{
    uint8_t frame[ARP_FRAME_BYTES];

    arp_make(frame, eth_broadcast, ARP_OP_REQUEST, sha, spa, unknown_mac, tpa);
    assert_int_equal(link_says(w, frame, sizeof(frame)), ETH_DONE);
}

static void link_answers(struct world *w, const uint8_t *sha, const char *spa)
{
    uint8_t frame[ARP_FRAME_BYTES];

    arp_make(frame, our_mac, ARP_OP_REPLY, sha, spa, our_mac, us);
    assert_int_equal(link_says(w, frame, sizeof(frame)), ETH_DONE);
}

/* --- what we must do ------------------------------------------------------------------------ */

static const struct nmio_pkt *link_hears(struct world *w)
{
    if (w->got_next == w->got_count) {
        link_done(w);
        w->got_count = nmio_rx(w->ends[1], w->got, NMIO_BATCH, w->now_ns);
    }
    return w->got_next < w->got_count ? &w->got[w->got_next++] : NULL;
}

static void expect_silence(struct world *w)
{
    assert_null(link_hears(w));
}

static void expect_arp(struct world *w, const uint8_t *dst, uint16_t op, const uint8_t *tha,
                       const char *tpa)
{
    const struct nmio_pkt *pkt = link_hears(w);
    uint8_t frame[ARP_FRAME_BYTES];

    arp_make(frame, dst, op, our_mac, us, tha, tpa);
    assert_non_null(pkt);
    assert_int_equal(pkt->len, sizeof(frame));
    assert_memory_equal(pkt->data, frame, sizeof(frame));
}

static void expect_question(struct world *w, const uint8_t *dst, const char *tpa)
{
    expect_arp(w, dst, ARP_OP_REQUEST, unknown_mac, tpa);
}

static void we_send(struct world *w, struct eth_neigh *neigh, const char *text)
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

static void expect_frame(struct world *w, const uint8_t *dst, const char *text)
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
static void wait_until(struct world *w, uint64_t ns)
{
    while (eth_next_ns(w->eth) <= ns) {
        w->now_ns = max_u64(w->now_ns, eth_next_ns(w->eth));
        eth_timers(w->eth, w->now_ns);
    }
    w->now_ns = ns;
}

static void wait_for(struct world *w, uint64_t ns)
{
    wait_until(w, w->now_ns + ns);
}

static struct eth_neigh *hold(struct world *w, const char *ip4)
{
    struct ip_addr addr = ip_addr_v4(ip4);

    return eth_neigh_get(w->eth, &addr, w->now_ns);
}

/* Held, asked for and answered. */
static struct eth_neigh *reachable(struct world *w, const char *ip4)
{
    struct eth_neigh *neigh = hold(w, ip4);

    expect_question(w, eth_broadcast, ip4);
    link_answers(w, peer_mac, ip4);
    expect_silence(w);
    assert_int_equal(neigh->state, NEIGH_REACHABLE);
    return neigh;
}

static const struct eth_neigh *look_up(struct world *w, const char *ip4)
{
    struct ip_addr addr = ip_addr_v4(ip4);

    return neigh_find(w->eth, &addr);
}

/* --- traces --------------------------------------------------------------------------------- */

static void test_announces_itself_twice(void **state)
{
    struct world w;

    world_open(&w, 0);
    w.eth->announce_left = ARP_ANNOUNCE_COUNT;
    timer_arm(&w.eth->timers, &w.eth->announce, w.now_ns);
    wait_for(&w, NS_PER_MS);
    expect_question(&w, eth_broadcast, us);
    wait_for(&w, 2 * S);
    expect_question(&w, eth_broadcast, us);
    wait_for(&w, 60 * S);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->arp_announced, 2);
    assert_int_equal(eth_next_ns(w.eth), UINT64_MAX);
    world_close(&w);
}

static void test_frames_wait_for_the_answer_in_order(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    we_send(&w, neigh, "one");
    we_send(&w, neigh, "");
    we_send(&w, neigh, "three");
    expect_silence(&w);
    link_answers(&w, peer_mac, peer);
    expect_frame(&w, peer_mac, "one");
    expect_frame(&w, peer_mac, "");
    expect_frame(&w, peer_mac, "three");
    we_send(&w, neigh, "four");
    expect_frame(&w, peer_mac, "four");
    assert_int_equal(eth_stats(w.eth)->arp_replies_in, 1);
    assert_int_equal(w.shown, 1);
    world_close(&w);
}

static void test_silence_is_asked_three_times(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    we_send(&w, neigh, "lost");
    for (int i = 0; i < 3; i++) {
        expect_question(&w, eth_broadcast, peer);
        expect_silence(&w);
        wait_for(&w, 1 * S);
    }
    expect_silence(&w);
    assert_int_equal(neigh->state, NEIGH_UNREACHABLE);
    assert_int_equal(eth_stats(w.eth)->drop_unresolved, 1);

    /* The next frame asks again and is not lost to the question. */
    we_send(&w, neigh, "again");
    we_send(&w, neigh, "and again");
    expect_question(&w, eth_broadcast, peer);
    expect_silence(&w);
    link_answers(&w, peer_mac, peer);
    expect_frame(&w, peer_mac, "again");
    expect_frame(&w, peer_mac, "and again");
    world_close(&w);
}

static void test_waiting_frames_are_bounded(void **state)
{
    struct world w;
    struct eth_neigh *neigh;
    char text[16];

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    for (int i = 0; i < WAITING_PER_NEIGH + 3; i++) {
        snprintf(text, sizeof(text), "%d", i);
        we_send(&w, neigh, text);
    }
    assert_int_equal(eth_stats(w.eth)->drop_queue_full, 3);
    link_answers(&w, peer_mac, peer);
    for (int i = 3; i < WAITING_PER_NEIGH + 3; i++) { /* the oldest gave way */
        snprintf(text, sizeof(text), "%d", i);
        expect_frame(&w, peer_mac, text);
    }
    expect_silence(&w);
    world_close(&w);
}

static void test_waiting_frames_are_bounded_over_all(void **state)
{
    struct world w;
    char ip4[4];

    world_open(&w, 0);
    memcpy(ip4, us, 4);
    for (int i = 0; i < 4; i++) {
        struct eth_neigh *neigh;

        ip4[3] = (char)(10 + i);
        neigh = hold(&w, ip4);
        for (int k = 0; k < WAITING_PER_NEIGH; k++)
            we_send(&w, neigh, i < 1 ? "payload" : "");
    }
    assert_int_equal(stat_get(&w.eth->waiting.in_use), WAITING_MAX);
    assert_int_equal(eth_stats(w.eth)->drop_queue_full, 4 * WAITING_PER_NEIGH - WAITING_MAX);
    world_close(&w);
}

static void test_gso_and_chunks_do_not_wait(void **state)
{
    struct world w;
    struct eth_neigh *neigh;
    struct mem_chunks chunks;
    struct mem_chunk *chunk;
    struct nmio_frame *frame;

    world_open(&w, 0);
    assert_int_equal(mem_chunks_init(&chunks, w.arena, PAGE_BYTES, 1), 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    for (int gso = 0; gso < 2; gso++) {
        chunk = mem_chunk_get(&chunks);
        memcpy(chunk->data, "data", 4);
        frame = eth_frame(w.eth);
        memcpy(frame->header + 14, "head", 4);
        frame->header_len += 4;
        frame->gso_size = gso ? 2 : 0;
        frame->slices[0] = (struct nmio_slice){.data = chunk->data, .len = 4, .owner = chunk};
        frame->slice_count = 1;
        eth_send(w.eth, neigh, ETH_TYPE_IP4, frame, w.now_ns);
        assert_int_equal(stat_get(&chunks.in_use), 0); /* its owner has it back at once */
    }
    assert_int_equal(eth_stats(w.eth)->drop_queue_big, 1);
    link_answers(&w, peer_mac, peer);
    expect_frame(&w, peer_mac, "data");
    expect_silence(&w);
    world_close(&w);
}

static void test_answers_who_asks_for_us_and_remembers(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    link_asks(&w, peer_mac, peer, us);
    expect_arp(&w, peer_mac, ARP_OP_REPLY, peer_mac, peer);
    neigh = hold(&w, peer);
    assert_int_equal(neigh->state, NEIGH_STALE);
    we_send(&w, neigh, "no question");
    expect_frame(&w, peer_mac, "no question");
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->arp_requests_in, 1);
    assert_int_equal(eth_stats(w.eth)->arp_replies_out, 1);
    world_close(&w);
}

static void test_request_answers_our_own_question(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    we_send(&w, neigh, "waits");
    link_asks(&w, peer_mac, peer, us);
    expect_frame(&w, peer_mac, "waits");
    expect_arp(&w, peer_mac, ARP_OP_REPLY, peer_mac, peer);
    assert_int_equal(neigh->state, NEIGH_DELAY);
    world_close(&w);
}

static void test_probes_what_nobody_confirms(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = reachable(&w, peer);
    wait_for(&w, 30 * S);
    we_send(&w, neigh, "stale");
    expect_frame(&w, peer_mac, "stale");
    assert_int_equal(neigh->state, NEIGH_DELAY);
    wait_for(&w, 5 * S);
    expect_question(&w, peer_mac, peer);
    we_send(&w, neigh, "still sent");
    expect_frame(&w, peer_mac, "still sent");
    link_answers(&w, peer_mac, peer);
    assert_int_equal(neigh->state, NEIGH_REACHABLE);

    /* This time it has moved: three questions to it, then everybody is asked. */
    wait_for(&w, 30 * S);
    we_send(&w, neigh, "stale");
    expect_frame(&w, peer_mac, "stale");
    wait_for(&w, 5 * S);
    for (int i = 0; i < 3; i++) {
        expect_question(&w, peer_mac, peer);
        expect_silence(&w);
        wait_for(&w, 1 * S);
    }
    expect_question(&w, eth_broadcast, peer);
    we_send(&w, neigh, "waits");
    expect_silence(&w);
    link_answers(&w, evil_mac, peer);
    expect_frame(&w, evil_mac, "waits");
    world_close(&w);
}

static void test_confirmed_is_not_asked(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = reachable(&w, peer);
    for (int i = 0; i < 10; i++) {
        wait_for(&w, 29 * S);
        we_send(&w, neigh, "data");
        expect_frame(&w, peer_mac, "data");
        eth_neigh_confirm(neigh, w.now_ns);
    }
    wait_for(&w, 40 * S); /* a pause; the confirmation comes while it is delayed */
    we_send(&w, neigh, "data");
    expect_frame(&w, peer_mac, "data");
    assert_int_equal(neigh->state, NEIGH_DELAY);
    eth_neigh_confirm(neigh, w.now_ns);
    wait_for(&w, 10 * S);
    expect_silence(&w);
    assert_int_equal(neigh->state, NEIGH_REACHABLE);
    world_close(&w);
}

static void test_confirming_an_unknown_address_sends_nothing(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    eth_neigh_confirm(neigh, w.now_ns);
    we_send(&w, neigh, "waits");
    expect_silence(&w);
    world_close(&w);
}

/* --- impostors ------------------------------------------------------------------------------ */

static void test_unasked_answers_set_nothing(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    link_answers(&w, evil_mac, peer);
    assert_null(look_up(&w, peer));

    link_asks(&w, peer_mac, peer, us);
    expect_arp(&w, peer_mac, ARP_OP_REPLY, peer_mac, peer);
    link_answers(&w, evil_mac, peer); /* not even when it is stale */
    neigh = hold(&w, peer);
    we_send(&w, neigh, "to the peer");
    expect_frame(&w, peer_mac, "to the peer");
    assert_int_equal(eth_stats(w.eth)->drop_arp_unasked, 2);
    assert_int_equal(eth_stats(w.eth)->arp_replies_in, 0);
    world_close(&w);
}

static void test_the_first_answer_counts(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = reachable(&w, peer);
    link_answers(&w, evil_mac, peer);
    expect_silence(&w); /* too soon to ask again */
    we_send(&w, neigh, "data");
    expect_frame(&w, peer_mac, "data");
    assert_int_equal(eth_stats(w.eth)->drop_arp_unasked, 1);
    world_close(&w);
}

static void test_live_neighbour_is_not_taken_over(void **state)
{
    static const char *const targets[] = {us, peer}; /* a request to us; an announcement */
    struct world w;
    struct eth_neigh *neigh;

    for (int i = 0; i < 2; i++) {
        world_open(&w, 0);
        neigh = reachable(&w, peer);
        wait_for(&w, 2 * S);
        link_asks(&w, evil_mac, peer, targets[i]);
        expect_question(&w, peer_mac, peer); /* its holder is asked */
        if (i == 0)
            expect_arp(&w, evil_mac, ARP_OP_REPLY, evil_mac, peer);
        we_send(&w, neigh, "to the peer");
        expect_frame(&w, peer_mac, "to the peer");
        link_answers(&w, evil_mac, peer); /* who was not asked */
        we_send(&w, neigh, "to the peer");
        expect_frame(&w, peer_mac, "to the peer");
        assert_int_equal(eth_stats(w.eth)->drop_arp_unasked, 1);
        link_answers(&w, peer_mac, peer);
        assert_int_equal(neigh->state, NEIGH_REACHABLE);
        link_asks(&w, evil_mac, peer, peer); /* at most one question a second */
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_live_neighbour_that_moved_is_found(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = reachable(&w, peer);
    wait_for(&w, 2 * S);
    link_asks(&w, evil_mac, peer, peer); /* a fail-over announces itself */
    expect_question(&w, peer_mac, peer);
    wait_for(&w, 1 * S);
    expect_question(&w, eth_broadcast, peer);
    link_answers(&w, evil_mac, peer);
    we_send(&w, neigh, "moved");
    expect_frame(&w, evil_mac, "moved");
    world_close(&w);
}

static void test_announcement_sets_what_is_stale_only(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    link_asks(&w, evil_mac, other, other); /* nobody we know */
    assert_null(look_up(&w, other));
    neigh = hold(&w, other);
    expect_question(&w, eth_broadcast, other);
    link_asks(&w, evil_mac, other, other); /* no answer to our question */
    assert_int_equal(neigh->state, NEIGH_INCOMPLETE);

    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    link_answers(&w, evil_mac, peer);
    wait_for(&w, 31 * S);
    while (link_hears(&w))
        ;
    link_asks(&w, peer_mac, peer, peer);
    we_send(&w, neigh, "new");
    expect_frame(&w, peer_mac, "new");
    assert_int_equal(eth_stats(w.eth)->arp_others_in, 3);
    world_close(&w);
}

static void test_conflict_is_defended_once_in_ten_seconds(void **state)
{
    struct world w;

    world_open(&w, 0);
    link_asks(&w, evil_mac, us, us);
    expect_question(&w, eth_broadcast, us);
    link_answers(&w, evil_mac, us);
    link_asks(&w, evil_mac, us, peer);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->arp_conflicts, 3);
    assert_null(look_up(&w, us));
    wait_for(&w, 10 * S);
    link_asks(&w, evil_mac, us, peer);
    expect_question(&w, eth_broadcast, us);
    world_close(&w);
}

static void test_probe_is_answered_and_not_learnt(void **state)
{
    struct world w;

    world_open(&w, 0);
    link_asks(&w, peer_mac, nobody, us); /* RFC 5227 2.1.1 */
    expect_arp(&w, peer_mac, ARP_OP_REPLY, peer_mac, nobody);
    assert_null(look_up(&w, nobody));
    world_close(&w);
}

static void test_stranger_is_answered_and_not_learnt(void **state)
{
    struct world w;

    world_open(&w, 0);
    link_asks(&w, peer_mac, stranger, us);
    expect_arp(&w, peer_mac, ARP_OP_REPLY, peer_mac, stranger);
    assert_null(look_up(&w, stranger));
    world_close(&w);
}

static void test_talk_of_others_is_not_learnt(void **state)
{
    struct world w;

    world_open(&w, 0);
    link_asks(&w, peer_mac, peer, other);
    expect_silence(&w);
    assert_null(look_up(&w, peer));
    assert_int_equal(eth_stats(w.eth)->arp_others_in, 1);
    world_close(&w);
}

/* --- the table ------------------------------------------------------------------------------ */

static void test_longest_unused_gives_way(void **state)
{
    struct world w;
    struct eth_neigh *a, *b;
    struct ip_addr addr;
    char ip4[4];

    world_open(&w, 4);
    memcpy(ip4, us, 4);
    a = hold(&w, peer);
    b = hold(&w, other);
    we_send(&w, b, "given up");
    for (int i = 0; i < 2; i++) {
        ip4[3] = (char)(10 + i);
        assert_non_null(hold(&w, ip4));
    }
    ip4[3] = 20;
    assert_null(hold(&w, ip4)); /* all are held */
    assert_int_equal(eth_stats(w.eth)->drop_neigh_full, 1);
    eth_neigh_put(w.eth, b);
    eth_neigh_put(w.eth, a);
    assert_ptr_equal(hold(&w, other), b); /* still there */
    eth_neigh_put(w.eth, b);
    assert_ptr_equal(hold(&w, ip4), a);
    assert_null(look_up(&w, peer));
    ip4[3] = 21;
    assert_ptr_equal(hold(&w, ip4), b);
    assert_int_equal(eth_stats(w.eth)->drop_unresolved, 1);
    addr = ip_addr_v4(ip4);
    assert_true(ip_addr_equal(&b->addr, &addr));
    link_asks(&w, peer_mac, peer, us); /* answered though there is no place for it */
    while (link_hears(&w))
        ;
    assert_int_equal(eth_stats(w.eth)->arp_replies_out, 1);
    assert_int_equal(eth_stats(w.eth)->drop_neigh_full, 1);
    world_close(&w);
}

/* Requests from every address of the link: nothing that is held suffers. */
static void test_flood_of_askers(void **state)
{
    struct world w;
    struct eth_neigh *neigh;
    char ip4[4];

    world_open(&w, 16);
    neigh = reachable(&w, peer);
    memcpy(ip4, us, 4);
    for (int i = 0; i < 2000; i++) {
        ip4[3] = (char)(3 + i % 250);
        link_asks(&w, evil_mac, ip4, us);
        assert_non_null(link_hears(&w));
        assert_non_null(look_up(&w, ip4));
    }
    we_send(&w, neigh, "data");
    expect_frame(&w, peer_mac, "data");
    world_close(&w);
}

/* --- several workers ------------------------------------------------------------------------ */

static void test_relayed_packets_teach_and_are_not_answered(void **state)
{
    uint8_t frame[ARP_FRAME_BYTES];
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    we_send(&w, neigh, "waits");
    arp_make(frame, our_mac, ARP_OP_REPLY, peer_mac, peer, our_mac, us);
    eth_input_relayed(w.eth, frame, sizeof(frame), w.now_ns);
    expect_frame(&w, peer_mac, "waits");

    arp_make(frame, eth_broadcast, ARP_OP_REQUEST, evil_mac, other, unknown_mac, us);
    eth_input_relayed(w.eth, frame, sizeof(frame), w.now_ns);
    assert_int_equal(look_up(&w, other)->state, NEIGH_STALE);

    arp_make(frame, eth_broadcast, ARP_OP_REQUEST, evil_mac, us, unknown_mac, us);
    eth_input_relayed(w.eth, frame, sizeof(frame), w.now_ns); /* whoever received it defends */
    expect_silence(&w);
    assert_int_equal(w.shown, 0);
    assert_int_equal(eth_stats(w.eth)->arp_relayed_in, 3);
    assert_int_equal(eth_stats(w.eth)->rx_frames, 0);
    assert_int_equal(eth_stats(w.eth)->arp_replies_in, 0);
    for (uint32_t len = 0; len < sizeof(frame); len++)
        eth_input_relayed(w.eth, frame, len, w.now_ns);
    assert_int_equal(eth_stats(w.eth)->drop_short, 0);
    world_close(&w);
}

/* --- hostile bytes -------------------------------------------------------------------------- */

static uint64_t accounted_for(const struct eth_stats *s)
{
    return s->arp_requests_in + s->arp_replies_in + s->arp_conflicts + s->arp_others_in +
           s->drop_short + s->drop_not_ours + s->drop_source + s->drop_type +
           s->drop_arp_malformed + s->drop_arp_unasked;
}

static bool inside(size_t byte, size_t from, size_t bytes)
{
    return byte >= from && byte < from + bytes;
}

#define ARP_AT(field) (sizeof(struct eth_header) + offsetof(struct arp_packet, field))

/* A request is answered as long as nothing that matters to the answer is damaged; the answer then
 * goes to whom the damaged packet names. */
static void test_request_with_any_bit_flipped(void **state)
{
    for (size_t bit = 0; bit < ARP_FRAME_BYTES * 8; bit++) {
        uint8_t frame[ARP_FRAME_BYTES];
        const struct arp_packet *p = (const struct arp_packet *)(frame + 14);
        size_t byte = bit / 8;
        struct world w;
        enum eth_verdict verdict;
        bool group, answered;

        world_open(&w, 16);
        arp_make(frame, eth_broadcast, ARP_OP_REQUEST, peer_mac, peer, unknown_mac, us);
        frame[byte] ^= (uint8_t)(1 << bit % 8);
        group = (byte == 6 || byte == ARP_AT(sha)) && bit % 8 == 0;
        answered = (inside(byte, 6, 6) && !group) || (inside(byte, ARP_AT(sha), 6) && !group) ||
                   inside(byte, ARP_AT(tha), 6) ||
                   (inside(byte, ARP_AT(spa), 4) && p->spa[0] < 224 && memcmp(p->spa, us, 4) != 0);
        verdict = link_says(&w, frame, sizeof(frame));
        assert_int_equal(verdict, ETH_DONE);
        assert_int_equal(accounted_for(eth_stats(w.eth)), 1);
        if (answered)
            expect_arp(&w, p->sha, ARP_OP_REPLY, p->sha, (const char *)p->spa);
        expect_silence(&w);
        assert_int_equal(eth_stats(w.eth)->arp_requests_in, answered);
        world_close(&w);
    }
}

static void test_answer_with_any_bit_flipped(void **state)
{
    for (size_t bit = 0; bit < ARP_FRAME_BYTES * 8; bit++) {
        uint8_t frame[ARP_FRAME_BYTES];
        const struct arp_packet *p = (const struct arp_packet *)(frame + 14);
        size_t byte = bit / 8;
        struct world w;
        struct eth_neigh *neigh;
        bool group, learnt;

        world_open(&w, 16);
        neigh = hold(&w, peer);
        expect_question(&w, eth_broadcast, peer);
        arp_make(frame, our_mac, ARP_OP_REPLY, peer_mac, peer, our_mac, us);
        frame[byte] ^= (uint8_t)(1 << bit % 8);
        group = (byte == 6 || byte == ARP_AT(sha)) && bit % 8 == 0;
        learnt = (inside(byte, 6, 6) || inside(byte, ARP_AT(sha), 6)) && !group;
        assert_int_equal(link_says(&w, frame, sizeof(frame)), ETH_DONE);
        assert_int_equal(accounted_for(eth_stats(w.eth)), 1);
        assert_int_equal(eth_stats(w.eth)->arp_replies_in, learnt);
        assert_int_equal(neigh->state, learnt ? NEIGH_REACHABLE : NEIGH_INCOMPLETE);
        if (learnt)
            assert_memory_equal(neigh->macs, p->sha, 6);
        world_close(&w);
    }
}

static void test_frames_of_any_length(void **state)
{
    uint8_t frame[ARP_FRAME_BYTES];
    struct world w;

    world_open(&w, 16);
    arp_make(frame, eth_broadcast, ARP_OP_REQUEST, peer_mac, peer, unknown_mac, us);
    for (uint32_t len = 1; len < sizeof(frame); len++) {
        link_says(&w, frame, len);
        assert_int_equal(eth_stats(w.eth)->drop_short, len);
    }
    expect_silence(&w);
    world_close(&w);
}

static void test_what_is_handed_on(void **state)
{
    static const struct {
        const char *bytes;
        enum eth_verdict verdict;
    } cases[] = {
        {"\2\0\0\0\0\x10\2\0\0\0\0\xaa\x08\0rest", ETH_IP4},
        {"\2\0\0\0\0\x10\2\0\0\0\0\xaa\x86\xddrest", ETH_IP6},
        {"\2\0\0\0\0\x10\2\0\0\0\0\xaa\x81\0rest", ETH_DONE},           /* drop_type */
        {"\2\0\0\0\0\x10\2\0\0\0\0\xaa\0\x40rest", ETH_DONE},           /* drop_type */
        {"\2\0\0\0\0\x11\2\0\0\0\0\xaa\x08\0rest", ETH_DONE},           /* drop_not_ours */
        {"\xff\xff\xff\xff\xff\xff\2\0\0\0\0\xaa\x08\0rest", ETH_DONE}, /* drop_not_ours */
        {"\2\0\0\0\0\x10\3\0\0\0\0\xaa\x08\0rest", ETH_DONE},           /* drop_source: a group */
        {"\2\0\0\0\0\x10\0\0\0\0\0\0\x08\0rest", ETH_DONE},             /* drop_source: zero */
        {"\2\0\0\0\0\x10\2\0\0\0\0\x10\x08\0rest", ETH_DONE},           /* drop_source: ours */
    };
    struct world w;

    world_open(&w, 16);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t bytes[18];
        struct nmio_pkt pkt = {.data = bytes, .len = sizeof(bytes)};

        memcpy(bytes, cases[i].bytes, sizeof(bytes));
        assert_int_equal(eth_input(w.eth, &pkt, w.now_ns), cases[i].verdict);
        if (cases[i].verdict != ETH_DONE) {
            assert_int_equal(pkt.len, 4);
            assert_memory_equal(pkt.data, "rest", 4);
        }
    }
    assert_int_equal(eth_stats(w.eth)->drop_type, 2);
    assert_int_equal(eth_stats(w.eth)->drop_not_ours, 2);
    assert_int_equal(eth_stats(w.eth)->drop_source, 3);
    world_close(&w);
}

static void test_open_refuses(void **state)
{
    struct nmio_pipe_config pipe = {.caps = {.mtu = MTU, .slices_max = 1, .mac = {1}}, .depth = 1};
    struct ip_addr addr = ip_addr_v4(us);
    struct eth_config config = {.addrs = &addr, .addr_count = 1};
    struct nmio_port *ends[2];
    struct eth *eth;

    assert_int_equal(mem_arena_open(&config.arena, 2u << 20, 0), 0);
    assert_int_equal(nmio_pipe_open(ends, config.arena, &pipe), 0);
    config.port = ends[0];
    assert_int_equal(eth_open(&eth, &config, 0), -EINVAL); /* a group's address */
    nmio_close(ends[0]);
    nmio_close(ends[1]);
    pipe.caps.mac[0] = 2;
    assert_int_equal(nmio_pipe_open(ends, config.arena, &pipe), 0);
    config.port = ends[0];
    config.addr_count = 0;
    assert_int_equal(eth_open(&eth, &config, 0), -EINVAL);
    config.addr_count = 1;
    config.neigh_max = NEIGH_LIMIT + 1;
    assert_int_equal(eth_open(&eth, &config, 0), -EINVAL);
    config.neigh_max = NEIGH_LIMIT;
    assert_int_equal(eth_open(&eth, &config, 0), -ENOMEM);
    nmio_close(ends[0]);
    nmio_close(ends[1]);
    mem_arena_close(config.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announces_itself_twice),
        cmocka_unit_test(test_frames_wait_for_the_answer_in_order),
        cmocka_unit_test(test_silence_is_asked_three_times),
        cmocka_unit_test(test_waiting_frames_are_bounded),
        cmocka_unit_test(test_waiting_frames_are_bounded_over_all),
        cmocka_unit_test(test_gso_and_chunks_do_not_wait),
        cmocka_unit_test(test_answers_who_asks_for_us_and_remembers),
        cmocka_unit_test(test_request_answers_our_own_question),
        cmocka_unit_test(test_probes_what_nobody_confirms),
        cmocka_unit_test(test_confirmed_is_not_asked),
        cmocka_unit_test(test_confirming_an_unknown_address_sends_nothing),
        cmocka_unit_test(test_unasked_answers_set_nothing),
        cmocka_unit_test(test_the_first_answer_counts),
        cmocka_unit_test(test_live_neighbour_is_not_taken_over),
        cmocka_unit_test(test_live_neighbour_that_moved_is_found),
        cmocka_unit_test(test_announcement_sets_what_is_stale_only),
        cmocka_unit_test(test_conflict_is_defended_once_in_ten_seconds),
        cmocka_unit_test(test_probe_is_answered_and_not_learnt),
        cmocka_unit_test(test_stranger_is_answered_and_not_learnt),
        cmocka_unit_test(test_talk_of_others_is_not_learnt),
        cmocka_unit_test(test_longest_unused_gives_way),
        cmocka_unit_test(test_flood_of_askers),
        cmocka_unit_test(test_relayed_packets_teach_and_are_not_answered),
        cmocka_unit_test(test_request_with_any_bit_flipped),
        cmocka_unit_test(test_answer_with_any_bit_flipped),
        cmocka_unit_test(test_frames_of_any_length),
        cmocka_unit_test(test_what_is_handed_on),
        cmocka_unit_test(test_open_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

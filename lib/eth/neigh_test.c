// SPDX-License-Identifier: BSD-2-Clause
/* What becomes of a neighbour, of the frames that wait for it, and of its place in the table. */
#include <stdio.h>

#include "eth/link_test.h"

/* --- traces --------------------------------------------------------------------------------- */

static void test_announces_itself_twice(void **state)
{
    struct world w;

    world_open(&w, 0);
    w.eth->announce_left = ARP_ANNOUNCE_COUNT;
    timer_arm(&w.eth->timers, &w.eth->announce, w.now_ns);
    wait_for(&w, NS_PER_MS);
    expect_question(&w, eth_broadcast, us);
    expect_question(&w, eth_broadcast, us_too);
    wait_for(&w, 2 * S);
    expect_question(&w, eth_broadcast, us);
    expect_question(&w, eth_broadcast, us_too);
    wait_for(&w, 60 * S);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->arp_announced, 4);
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

static void test_asks_with_the_address_on_the_same_link(void **state)
{
    struct world w;

    world_open(&w, 0);
    assert_non_null(hold(&w, "\12\1\2\3"));
    expect_question(&w, eth_broadcast, "\12\1\2\3");
    world_close(&w);
}

static void test_waiting_keeps_the_checksum_request(void **state)
{
    const struct nmio_pkt *pkt;
    struct nmio_frame *frame;
    struct eth_neigh *neigh;
    struct world w;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    frame = eth_frame(w.eth);
    frame->header_len = 54;
    frame->csum_start = 34;
    frame->csum_offset = 16;
    eth_send(w.eth, neigh, ETH_TYPE_IP4, frame, w.now_ns);
    link_answers(&w, peer_mac, peer);
    pkt = link_hears(&w);
    assert_non_null(pkt);
    assert_int_equal(pkt->len, 54);
    assert_int_equal(pkt->flags, NMIO_PKT_CSUM_OK); /* as a port says of a partial checksum */
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
    for (int i = 0; i < WAITING_MAX / WAITING_PER_NEIGH + 2; i++) {
        struct eth_neigh *neigh;

        ip4[3] = (char)(10 + i);
        neigh = hold(&w, ip4);
        for (int k = 0; k < WAITING_PER_NEIGH; k++)
            we_send(&w, neigh, i < 1 ? "payload" : "");
    }
    assert_int_equal(stat_get(&w.eth->waiting.in_use), WAITING_MAX);
    assert_int_equal(eth_stats(w.eth)->drop_queue_full, 2 * WAITING_PER_NEIGH);
    world_close(&w);
}

/* As when SYNs come from addresses that nobody has: an answer to each, held by nobody. */
static void test_flood_of_unknown(void **state)
{
    struct world w;
    struct eth_neigh *neigh, *held;
    char ip4[4];

    world_open(&w, 2 * WAITING_MAX);
    link_asks(&w, peer_mac, peer, us);
    assert_non_null(link_hears(&w));
    held = hold(&w, other);
    we_send(&w, held, "held");
    memcpy(ip4, us, 4);
    for (int i = 0; i < 3 * WAITING_MAX; i++) {
        ip4[1] = (char)(1 + i / 250);
        ip4[3] = (char)(3 + i % 250);
        neigh = hold(&w, ip4);
        we_send(&w, neigh, "");
        eth_neigh_put(w.eth, neigh);
        while (link_hears(&w))
            ;
    }
    /* Each has pushed out the oldest of its kind, and nobody else. */
    assert_int_equal(eth_stats(w.eth)->neigh_given_up, 2 * WAITING_MAX + 1);
    assert_int_equal(eth_stats(w.eth)->drop_unresolved, 2 * WAITING_MAX + 1);
    assert_int_equal(eth_stats(w.eth)->drop_queue_full, 0);
    assert_int_equal(look_up(&w, peer)->state, NEIGH_STALE);
    assert_int_equal(held->waiting_count, 1);
    link_answers(&w, peer_mac, ip4); /* the last one exists after all */
    expect_frame(&w, peer_mac, "");
    assert_int_equal(look_up(&w, ip4)->state, NEIGH_REACHABLE);
    /* Those that never answer leave nothing behind. */
    for (int i = 0; i < 5; i++) { /* some were not asked for at once, there being so many */
        wait_for(&w, 1 * S);
        while (link_hears(&w))
            ;
    }
    ip4[3]--;
    assert_null(look_up(&w, ip4));
    assert_int_equal(stat_get(&w.eth->waiting.in_use), 0);
    assert_int_equal(held->state, NEIGH_UNREACHABLE);
    world_close(&w);
}

/* Asked for, but nothing waits any more, and nobody holds it. */
static void test_unknown_and_unused_is_forgotten(void **state)
{
    struct world w;

    world_open(&w, 0);
    eth_neigh_put(w.eth, hold(&w, peer));
    expect_question(&w, eth_broadcast, peer);
    assert_null(look_up(&w, peer));
    wait_for(&w, 10 * S);
    expect_silence(&w);
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

/* Whatever addresses of the link strangers connect from, the link is not flooded with questions;
 * and whom we know is still found. */
static void test_questions_about_strangers_are_limited(void **state)
{
    uint8_t ip4[4] = {10, 9};
    uint32_t asked = 0;
    struct eth_neigh *known, *neigh;
    struct world w;

    world_open(&w, 16);
    known = reachable(&w, peer);
    for (uint16_t i = 0; i < 3 * NEIGH_QUESTIONS_PER_S; i++) {
        put_be16(ip4 + 2, i);
        neigh = hold(&w, (const char *)ip4);
        we_send(&w, neigh, "");
        eth_neigh_put(w.eth, neigh);
        while (link_hears(&w))
            asked++;
    }
    assert_int_equal(asked, NEIGH_QUESTIONS_PER_S - 1); /* one for the peer */
    assert_int_equal(eth_stats(w.eth)->questions_limited, 2 * NEIGH_QUESTIONS_PER_S + 1);

    /* The last ones are asked for a second later, and new ones at the rate. */
    wait_for(&w, S + NS_PER_MS);
    for (asked = 0; link_hears(&w); asked++)
        ;
    assert_in_range(asked, 1, 16);
    for (uint16_t i = 0; i < 3 * NEIGH_QUESTIONS_PER_S; i++) {
        put_be16(ip4 + 2, (uint16_t)(0x4000 + i));
        neigh = hold(&w, (const char *)ip4);
        we_send(&w, neigh, "");
        eth_neigh_put(w.eth, neigh);
        while (link_hears(&w))
            asked++;
    }
    assert_in_range(asked, NEIGH_QUESTIONS_PER_S, NEIGH_QUESTIONS_PER_S + 32);

    wait_for(&w, 60 * S);
    while (link_hears(&w))
        ;
    we_send(&w, known, "still here");
    expect_frame(&w, peer_mac, "still here");
    wait_for(&w, NEIGH_DELAY_NS + NS_PER_MS);
    expect_question(&w, peer_mac, peer);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announces_itself_twice),
        cmocka_unit_test(test_frames_wait_for_the_answer_in_order),
        cmocka_unit_test(test_asks_with_the_address_on_the_same_link),
        cmocka_unit_test(test_waiting_keeps_the_checksum_request),
        cmocka_unit_test(test_silence_is_asked_three_times),
        cmocka_unit_test(test_waiting_frames_are_bounded),
        cmocka_unit_test(test_waiting_frames_are_bounded_over_all),
        cmocka_unit_test(test_flood_of_unknown),
        cmocka_unit_test(test_unknown_and_unused_is_forgotten),
        cmocka_unit_test(test_gso_and_chunks_do_not_wait),
        cmocka_unit_test(test_answers_who_asks_for_us_and_remembers),
        cmocka_unit_test(test_request_answers_our_own_question),
        cmocka_unit_test(test_probes_what_nobody_confirms),
        cmocka_unit_test(test_confirmed_is_not_asked),
        cmocka_unit_test(test_confirming_an_unknown_address_sends_nothing),
        cmocka_unit_test(test_longest_unused_gives_way),
        cmocka_unit_test(test_flood_of_askers),
        cmocka_unit_test(test_questions_about_strangers_are_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

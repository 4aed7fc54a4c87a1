// SPDX-License-Identifier: BSD-2-Clause
/* Who is believed: impostors, other workers, damaged packets. */
#include <errno.h>

#include "eth/link_test.h"

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

/* Routers that take over an address announce it with a request or with a reply, as they like. */
static void test_announcement_in_a_reply(void **state)
{
    uint8_t frame[ARP_FRAME_BYTES];
    struct eth_neigh *neigh;
    struct world w;

    world_open(&w, 0);
    neigh = reachable(&w, peer);
    arp_make(frame, eth_broadcast, ARP_OP_REPLY, evil_mac, peer, eth_broadcast, peer);
    link_says(&w, frame, sizeof(frame));
    assert_memory_equal(neigh->macs, peer_mac, 6); /* not while it is fresh */
    wait_for(&w, NEIGH_REACHABLE_NS + S);
    while (link_hears(&w))
        ;
    arp_make(frame, eth_broadcast, ARP_OP_REPLY, evil_mac, peer, eth_broadcast, other);
    link_says(&w, frame, sizeof(frame)); /* an answer to somebody else */
    we_send(&w, neigh, "data");
    expect_frame(&w, peer_mac, "data");
    wait_for(&w, NEIGH_DELAY_NS + NS_PER_MS);
    expect_question(&w, peer_mac, peer);
    link_answers(&w, peer_mac, peer);
    wait_for(&w, NEIGH_REACHABLE_NS + S);
    arp_make(frame, eth_broadcast, ARP_OP_REPLY, evil_mac, peer, eth_broadcast, peer);
    link_says(&w, frame, sizeof(frame));
    we_send(&w, neigh, "data");
    expect_frame(&w, evil_mac, "data");
    assert_int_equal(eth_stats(w.eth)->arp_others_in, 2);
    assert_int_equal(eth_stats(w.eth)->drop_arp_unasked, 1);
    world_close(&w);
}

/* What the transport confirmed was the address before: a claim that came later has yet to show that
 * it leads to the neighbour. */
static void test_a_claim_is_not_confirmed_beforehand(void **state)
{
    struct world w;
    struct eth_neigh *neigh;

    world_open(&w, 0);
    neigh = hold(&w, peer);
    expect_question(&w, eth_broadcast, peer);
    we_send(&w, neigh, "waits");
    eth_neigh_confirm(neigh, w.now_ns);
    link_asks(&w, evil_mac, peer, us);
    expect_frame(&w, evil_mac, "waits");
    expect_arp(&w, evil_mac, ARP_OP_REPLY, evil_mac, peer);
    we_send(&w, neigh, "data");
    assert_int_equal(neigh->state, NEIGH_DELAY);
    expect_frame(&w, evil_mac, "data");
    wait_for(&w, NEIGH_DELAY_NS + NS_PER_MS);
    expect_question(&w, evil_mac, peer);
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

static void test_nobody_else_has_our_ethernet_address(void **state)
{
    uint8_t frame[ARP_FRAME_BYTES];
    struct world w;

    world_open(&w, 0);
    arp_make(frame, eth_broadcast, ARP_OP_REQUEST, our_mac, peer, unknown_mac, us);
    link_says(&w, frame, sizeof(frame));
    assert_int_equal(eth_stats(w.eth)->drop_source, 1);
    memcpy(frame + ETH_MAC_BYTES, evil_mac, ETH_MAC_BYTES); /* sent by one, speaking of another */
    link_says(&w, frame, sizeof(frame));
    assert_int_equal(eth_stats(w.eth)->drop_arp_malformed, 1);
    expect_silence(&w);
    assert_null(look_up(&w, peer));
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
    assert_int_equal(eth_stats(w.eth)->relayed_in, 3);
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
        {"\2\0\0\0\0\x10\2\0\0\0\0\xaa\x88\xa8rest", ETH_DONE},         /* drop_type */
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

/* Each address of a range is answered for, and only these. */
static void test_range_of_addresses(void **state)
{
    static const char *const ours[] = {"\300\0\2\376", "\300\0\3\1"};
    static const char *const others[] = {"\300\0\2\375", "\300\0\3\2"};
    struct ip_addr first = ip_addr_v4(ours[0]);
    uint32_t count = 4;
    struct eth_config config = {.addrs = &first, .addr_count = 1, .addr_counts = &count};
    struct world w;

    world_open(&w, 0);
    eth_close(w.eth);
    config.arena = w.arena;
    config.port = w.ends[0];
    assert_int_equal(eth_open(&w.eth, &config, w.now_ns), 0);
    for (size_t i = 0; i < array_len(ours); i++) {
        const struct arp_packet *p;
        const struct nmio_pkt *pkt;

        link_asks(&w, peer_mac, peer, ours[i]);
        pkt = link_hears(&w);
        assert_non_null(pkt);
        p = (const struct arp_packet *)(pkt->data + sizeof(struct eth_header));
        assert_int_equal(get_be16(p->op), ARP_OP_REPLY);
        assert_memory_equal(p->spa, ours[i], 4);
        link_asks(&w, peer_mac, peer, others[i]);
        expect_silence(&w);
    }
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
        cmocka_unit_test(test_unasked_answers_set_nothing),
        cmocka_unit_test(test_the_first_answer_counts),
        cmocka_unit_test(test_announcement_in_a_reply),
        cmocka_unit_test(test_a_claim_is_not_confirmed_beforehand),
        cmocka_unit_test(test_live_neighbour_is_not_taken_over),
        cmocka_unit_test(test_live_neighbour_that_moved_is_found),
        cmocka_unit_test(test_announcement_sets_what_is_stale_only),
        cmocka_unit_test(test_conflict_is_defended_once_in_ten_seconds),
        cmocka_unit_test(test_probe_is_answered_and_not_learnt),
        cmocka_unit_test(test_stranger_is_answered_and_not_learnt),
        cmocka_unit_test(test_nobody_else_has_our_ethernet_address),
        cmocka_unit_test(test_talk_of_others_is_not_learnt),
        cmocka_unit_test(test_relayed_packets_teach_and_are_not_answered),
        cmocka_unit_test(test_request_with_any_bit_flipped),
        cmocka_unit_test(test_answer_with_any_bit_flipped),
        cmocka_unit_test(test_frames_of_any_length),
        cmocka_unit_test(test_what_is_handed_on),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_range_of_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/* Neighbor Discovery: the start, questions and answers, who is believed, MLD. */
#include "eth/link6_test.h"

/* --- the start ------------------------------------------------------------------------------ */

#define MLD_AT 48 /* behind the hop-by-hop header */

/* A report with these groups, in the order of our addresses. */
static void expect_report(struct world *w, const struct ip_addr *src, uint8_t record)
{
    const uint8_t *m = expect_icmp6(w, NULL, src, &all_mld2, MLD_AT, 8 + 2 * 20, 1);

    assert_memory_equal(m - 8, "\x3a\0\5\2\0\0\1\0", 8);
    assert_memory_equal(m, "\x8f\0", 2);
    assert_memory_equal(m + 4, "\0\0\0\2", 4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m[8 + 20 * i], record);
        assert_memory_equal(m + 9 + 20 * i, "\0\0\0", 3);
        assert_memory_equal(m + 12 + 20 * i, (i ? &local_group : &us6_group)->b, 16);
    }
}

static void test_start(void **state)
{
    struct world w;

    world6_start(&w, false);
    w.eth->announce_left = 1; /* IPv4 is not what we look at */
    assert_true(eth_is_ours(w.eth, &us6));
    assert_true(eth_is_ours(w.eth, &us_local));
    wait_for(&w, NS_PER_MS);
    expect_question(&w, eth_broadcast, us);
    expect_report(&w, &icmp6_unspecified, MLD2_CHANGE_TO_EXCLUDE);
    expect_solicit(&w, NULL, &icmp6_unspecified, &us6, false);
    expect_solicit(&w, NULL, &icmp6_unspecified, &us_local, false);
    expect_silence(&w);
    wait_for(&w, S - 2 * NS_PER_MS);
    expect_silence(&w);
    wait_for(&w, 3 * NS_PER_MS);
    expect_advert(&w, NULL, &us6, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    expect_advert(&w, NULL, &us_local, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    expect_report(&w, &us_local, MLD2_CHANGE_TO_EXCLUDE);
    wait_for(&w, S);
    expect_advert(&w, NULL, &us6, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    expect_advert(&w, NULL, &us_local, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    wait_for(&w, 60 * S);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->ndp_probes_out, 2);
    assert_int_equal(eth_stats(w.eth)->ndp_announced, 4);
    assert_int_equal(eth_stats(w.eth)->mld_reports_out, 2);
    assert_int_equal(eth_next_ns(w.eth), UINT64_MAX);
    world_close(&w);
}

static void start_quietly(struct world *w)
{
    world6_start(w, false);
    wait_for(w, 500 * NS_PER_MS);
    while (link_hears(w))
        ;
}

/* RFC 4429: in use at once, but nobody's knowledge is overridden, and our questions do not teach.
 */
static void test_optimistic(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    start_quietly(&w);
    link_solicits(&w, peer_mac, &peer6, &us6);
    expect_advert(&w, peer_mac, &us6, &peer6, NDP_FLAG_SOLICITED);
    neigh = eth_neigh_get(w.eth, &other6, w.now_ns);
    expect_solicit(&w, NULL, &us6, &other6, false);
    link_answers6(&w, other_mac, &other6);
    we_send6(&w, neigh);
    expect_frame6(&w, other_mac);
    world_close(&w);
}

/* RFC 4862 5.4.3, 5.4.4: an answer, or somebody else's probe. Then the address is as any other's.
 */
static void test_duplicate_is_given_up(void **state)
{
    for (int by_probe = 0; by_probe < 2; by_probe++) {
        struct world w;

        start_quietly(&w);
        if (by_probe)
            link_solicits(&w, NULL, &icmp6_unspecified, &us6);
        else
            link_announces(&w, evil_mac, &us6);
        expect_silence(&w);
        assert_false(eth_is_ours(w.eth, &us6));
        assert_true(eth_is_ours(w.eth, &us_local));
        assert_int_equal(eth_stats(w.eth)->ndp_duplicates, 1);
        assert_int_equal(eth_stats(w.eth)->ndp_conflicts, 1);
        link_solicits(&w, peer_mac, &peer6, &us6);
        expect_silence(&w);
        wait_for(&w, S);
        expect_advert(&w, NULL, &us_local, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
        assert_false(eth_is_our_group(w.eth, &us6_group));
        assert_true(eth_is_our_group(w.eth, &local_group));
        assert_int_equal(eth_stats(w.eth)->ndp_duplicates, 1);
        world_close(&w);
    }
}

static void test_duplicate_that_another_worker_saw(void **state)
{
    uint8_t frame[54 + 32] = {[12] = 0x86, 0xdd, 0x60, [19] = 32, [20] = 58, [21] = 255};
    struct world w;

    start_quietly(&w);
    memcpy(frame + 22, us6.b, 16);
    memcpy(frame + 38, icmp6_all_nodes.b, 16);
    make_neighbor(frame + 54, ICMP6_NEIGHBOR_ADVERT, NDP_FLAG_OVERRIDE, &us6, evil_mac);
    eth_input_relayed(w.eth, frame, sizeof(frame), w.now_ns);
    assert_false(eth_is_ours(w.eth, &us6));
    assert_int_equal(eth_stats(w.eth)->ndp_duplicates, 1);
    assert_int_equal(eth_stats(w.eth)->ndp_conflicts, 0);
    world_close(&w);
}

static void test_conflict_is_defended_once_in_ten_seconds(void **state)
{
    struct world w;

    world6_open(&w, false);
    link_announces(&w, evil_mac, &us6);
    expect_advert(&w, NULL, &us6, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    link_answers6(&w, evil_mac, &us6);
    link_solicits(&w, evil_mac, &us6, &peer6);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->ndp_conflicts, 3);
    assert_true(eth_is_ours(w.eth, &us6));
    assert_null(neigh_find(w.eth, &us6));
    wait_for(&w, 10 * S);
    link_solicits(&w, evil_mac, &us6, &peer6);
    expect_advert(&w, NULL, &us6, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    world_close(&w);
}

/* --- questions and answers ------------------------------------------------------------------ */

static void test_frames_wait_for_the_answer(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, false);
    neigh = eth_neigh_get(w.eth, &peer6, w.now_ns);
    expect_question6(&w, NULL, &peer6);
    we_send6(&w, neigh);
    we_send6(&w, neigh);
    expect_silence(&w);
    link_answers6(&w, peer_mac, &peer6);
    expect_frame6(&w, peer_mac);
    expect_frame6(&w, peer_mac);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->ndp_adverts_in, 1);
    world_close(&w);
}

static void test_stale_neighbour_is_asked_alone(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, false);
    neigh = reachable6(&w, &peer6);
    wait_for(&w, 31 * S);
    we_send6(&w, neigh);
    expect_frame6(&w, peer_mac);
    wait_for(&w, 5 * S + NS_PER_MS);
    expect_question6(&w, peer_mac, &peer6);
    link_advertises(&w, NULL, &peer6, &us6, NDP_FLAG_SOLICITED); /* it need not say its address */
    assert_int_equal(neigh->state, NEIGH_REACHABLE);
    expect_silence(&w);
    world_close(&w);
}

static void test_answers_who_asks(void **state)
{
    struct world w;

    world6_open(&w, false);
    link_solicits(&w, peer_mac, &peer6, &us6);
    expect_advert(&w, peer_mac, &us6, &peer6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    assert_int_equal(neigh_find(w.eth, &peer6)->state, NEIGH_STALE);
    link_solicits(&w, router_mac, &router_local, &us_local);
    expect_advert(&w, router_mac, &us_local, &router_local, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    link_solicits(&w, evil_mac, &stranger6, &us6); /* answered, not learnt */
    expect_advert(&w, evil_mac, &us6, &stranger6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    assert_null(neigh_find(w.eth, &stranger6));
    link_solicits(&w, peer_mac, &peer6, &other6);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->ndp_solicits_in, 3);
    assert_int_equal(eth_stats(w.eth)->ndp_adverts_out, 3);
    assert_int_equal(eth_stats(w.eth)->ndp_others_in, 1);
    world_close(&w);
}

/* RFC 4861 7.2.4: a probe for an address of ours. */
static void test_probe_is_answered_before_everybody(void **state)
{
    struct world w;

    world6_open(&w, false);
    link_solicits(&w, NULL, &icmp6_unspecified, &us6);
    expect_advert(&w, NULL, &us6, &icmp6_all_nodes, NDP_FLAG_OVERRIDE);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->ndp_solicits_in, 1);
    world_close(&w);
}

/* RFC 4861 7.2.4, RFC 4429 3.2: who does not say its Ethernet address is asked for it first. */
static void test_asker_without_ethernet_address(void **state)
{
    struct world w;

    world6_open(&w, false);
    link_solicits(&w, NULL, &peer6, &us6);
    expect_question6(&w, NULL, &peer6);
    expect_silence(&w);
    link_answers6(&w, peer_mac, &peer6);
    expect_advert(&w, peer_mac, &us6, &peer6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    link_solicits(&w, NULL, &stranger6, &us6); /* who is not on the link */
    expect_silence(&w);
    world_close(&w);
}

/* --- who is believed ------------------------------------------------------------------------ */

static void test_unasked_answers_set_nothing(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, false);
    link_answers6(&w, evil_mac, &peer6);
    assert_null(neigh_find(w.eth, &peer6));
    link_solicits(&w, peer_mac, &peer6, &us6);
    assert_non_null(link_hears(&w));
    link_answers6(&w, evil_mac, &peer6); /* not even when it is stale */
    link_advertises(&w, evil_mac, &peer6, &us6, 0);
    link_advertises(&w, evil_mac, &peer6, &icmp6_all_nodes, 0); /* nor without override */
    neigh = eth_neigh_get(w.eth, &peer6, w.now_ns);
    we_send6(&w, neigh);
    expect_frame6(&w, peer_mac);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_unasked, 2);
    assert_int_equal(eth_stats(w.eth)->ndp_adverts_in, 0);
    world_close(&w);
}

static void test_live_neighbour_is_not_taken_over(void **state)
{
    for (int by_question = 0; by_question < 2; by_question++) {
        struct eth_neigh *neigh;
        struct world w;

        world6_open(&w, false);
        neigh = reachable6(&w, &peer6);
        link_answers6(&w, evil_mac, &peer6); /* too soon to ask again */
        expect_silence(&w);
        wait_for(&w, 2 * S);
        if (by_question)
            link_solicits(&w, evil_mac, &peer6, &us6);
        else
            link_announces(&w, evil_mac, &peer6);
        expect_question6(&w, peer_mac, &peer6); /* its holder is asked */
        if (by_question)
            expect_advert(&w, evil_mac, &us6, &peer6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
        link_answers6(&w, evil_mac, &peer6); /* who was not asked */
        we_send6(&w, neigh);
        expect_frame6(&w, peer_mac);
        link_answers6(&w, peer_mac, &peer6);
        assert_int_equal(neigh->state, NEIGH_REACHABLE);
        world_close(&w);
    }
}

static void test_neighbour_that_moved_is_found(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, false);
    neigh = reachable6(&w, &peer6);
    wait_for(&w, 2 * S);
    link_announces(&w, other_mac, &peer6);
    expect_question6(&w, peer_mac, &peer6);
    wait_for(&w, S + NS_PER_MS);
    expect_question6(&w, NULL, &peer6);
    link_answers6(&w, other_mac, &peer6);
    we_send6(&w, neigh);
    expect_frame6(&w, other_mac);
    world_close(&w);
}

static void test_announcement_sets_what_is_stale_only(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, false);
    link_announces(&w, evil_mac, &other6); /* nobody we know */
    assert_null(neigh_find(w.eth, &other6));
    neigh = reachable6(&w, &peer6);
    wait_for(&w, 31 * S);
    link_announces(&w, other_mac, &peer6);
    we_send6(&w, neigh);
    expect_frame6(&w, other_mac);
    world_close(&w);
}

/* IPv4's neighbours are in the same table, under addresses that no IPv6 packet may speak of. */
static void test_mapped_addresses_are_refused(void **state)
{
    struct ip_addr mapped = ip_addr_v4(peer);
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, false);
    neigh = hold(&w, peer);
    assert_non_null(link_hears(&w));
    link_answers6(&w, evil_mac, &mapped);
    link_advertises(&w, evil_mac, &mapped, &us6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    link_solicits(&w, evil_mac, &mapped, &us6);
    assert_int_equal(neigh->state, NEIGH_INCOMPLETE);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 3);
    expect_silence(&w);
    world_close(&w);
}

/* --- several workers ------------------------------------------------------------------------ */

static uint8_t relayed_frame[ETH_RELAY_MAX];
static uint32_t relayed_len;

static void keep(void *arg, const uint8_t *frame, uint32_t len)
{
    memcpy(relayed_frame, frame, len);
    relayed_len = len;
}

static void test_relayed_messages_teach_and_are_not_answered(void **state)
{
    struct eth_neigh *neigh;
    struct world a, b;

    world6_open(&a, false);
    world6_open(&b, false);
    a.eth->on_arp = keep;
    neigh = eth_neigh_get(b.eth, &peer6, b.now_ns);
    expect_question6(&b, NULL, &peer6);
    we_send6(&b, neigh);
    link_answers6(&a, peer_mac, &peer6); /* reaches a, which had not asked */
    assert_int_equal(eth_stats(a.eth)->drop_ndp_unasked, 1);
    eth_input_relayed(b.eth, relayed_frame, relayed_len, b.now_ns);
    expect_frame6(&b, peer_mac);
    link_solicits(&a, other_mac, &other6, &us6);
    expect_advert(&a, other_mac, &us6, &other6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    eth_input_relayed(b.eth, relayed_frame, relayed_len, b.now_ns);
    expect_silence(&b);
    assert_int_equal(neigh_find(b.eth, &other6)->state, NEIGH_STALE);
    assert_int_equal(eth_stats(b.eth)->relayed_in, 2);
    assert_int_equal(eth_stats(b.eth)->ndp_adverts_in, 0);
    assert_int_equal(eth_stats(b.eth)->ndp_solicits_in, 0);
    for (uint32_t len = 0; len < relayed_len; len++) {
        uint8_t *exact = malloc(len + !len);

        memcpy(exact, relayed_frame, len);
        eth_input_relayed(b.eth, exact, len, b.now_ns);
        free(exact);
    }
    assert_int_equal(eth_stats(b.eth)->drop_ndp_malformed, 0); /* whoever received it counts */
    world_close(&a);
    world_close(&b);
}

/* --- hostile bytes -------------------------------------------------------------------------- */

static uint64_t accounted_for(const struct eth_stats *s)
{
    return s->ndp_solicits_in + s->ndp_adverts_in + s->ndp_conflicts + s->ndp_others_in +
           s->ndp_routers_in + s->ndp_routers_ignored + s->mld_queries_in + s->drop_ndp_malformed +
           s->drop_ndp_unasked;
}

/* RFC 4861 7.1.1 and 7.1.2, each check on its own: what is right but for one thing. */
static void test_validity(void **state)
{
    static const struct {
        const char *what;
        size_t at;
        const char *value;
        size_t bytes;
        uint32_t len;
        uint8_t hop_limit;
    } cases[] = {
        {"hop limit", 0, "", 0, 32, 254},
        {"code", 1, "\1", 1, 32, 255},
        {"too short", 0, "", 0, 23, 255},
        {"half an option", 0, "", 0, 28, 255},
        {"an option without a length", 25, "\0", 1, 32, 255},
        {"an option that is too long", 25, "\2", 1, 32, 255},
        {"a group's Ethernet address", 26, "\1", 1, 32, 255},
        {"no Ethernet address", 26, "\0\0\0\0\0\0", 6, 32, 255},
        {"our Ethernet address", 26, "\2\0\0\0\0\x10", 6, 32, 255},
        {"a group as target", 8, "\xff\2\0\0\0\0\0\0\0\0\0\1\xff\0\0\1", 16, 32, 255},
        {"nobody as target", 8, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 32, 255},
        {"type", 0, "\x89", 1, 32, 255},
    };
    uint8_t message[NEIGHBOR_BYTES];

    for (size_t i = 0; i < 2 * array_len(cases); i++) {
        bool solicit = i % 2;
        size_t c = i / 2;
        struct eth_neigh *neigh;
        struct world w;

        world6_open(&w, false);
        neigh = eth_neigh_get(w.eth, &peer6, w.now_ns);
        expect_question6(&w, NULL, &peer6);
        make_neighbor(message, solicit ? ICMP6_NEIGHBOR_SOLICIT : ICMP6_NEIGHBOR_ADVERT,
                      solicit ? 0 : NDP_FLAG_SOLICITED, solicit ? &us6 : &peer6, peer_mac);
        memcpy(message + cases[c].at, cases[c].value, cases[c].bytes);
        hand(&w, &peer6, &us6, message, cases[c].len, cases[c].hop_limit);
        if (eth_stats(w.eth)->drop_ndp_malformed != 1)
            fail_msg("%s is accepted", cases[c].what);
        assert_int_equal(neigh->state, NEIGH_INCOMPLETE);
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_validity_of_addresses(void **state)
{
    uint8_t message[NEIGHBOR_BYTES];
    struct world w;

    world6_open(&w, false);
    /* a probe that says an Ethernet address, one to a single station, one to another group */
    make_neighbor(message, ICMP6_NEIGHBOR_SOLICIT, 0, &us6, peer_mac);
    hand(&w, &icmp6_unspecified, &us6_group, message, 32, 255);
    hand(&w, &icmp6_unspecified, &us6, message, 24, 255);
    hand(&w, &icmp6_unspecified, &icmp6_all_nodes, message, 24, 255);
    /* an answer to everybody, an advertisement from nobody, and one from a group */
    make_neighbor(message, ICMP6_NEIGHBOR_ADVERT, NDP_FLAG_SOLICITED, &peer6, peer_mac);
    hand(&w, &peer6, &icmp6_all_nodes, message, 32, 255);
    message[4] = 0;
    hand(&w, &icmp6_unspecified, &icmp6_all_nodes, message, 32, 255);
    hand(&w, &icmp6_all_nodes, &icmp6_all_nodes, message, 32, 255);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 6);
    hand(&w, &peer6, &icmp6_all_nodes, message, 32, 255);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 6);
    expect_silence(&w);
    world_close(&w);
}

/* Options that are not known are passed over, wherever they stand (4.6). */
static void test_unknown_options_are_skipped(void **state)
{
    uint8_t message[24 + 16 + 8 + 8];
    struct world w;

    world6_open(&w, false);
    make_neighbor(message, ICMP6_NEIGHBOR_SOLICIT, 0, &us6, NULL);
    memset(message + 24, 0, 32);
    memcpy(message + 24, "\x0e\2", 2);
    memcpy(message + 40, "\1\1\2\0\0\0\0\xaa", 8);
    memcpy(message + 48, "\xfe\1", 2);
    hand(&w, &peer6, &us6_group, message, sizeof(message), 255);
    expect_advert(&w, peer_mac, &us6, &peer6, NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE);
    world_close(&w);
}

/* Any bit flipped: counted once; an answer is learnt from only as far as it names its sender. */
static void test_messages_with_any_bit_flipped(void **state)
{
    uint8_t message[NEIGHBOR_BYTES];

    for (size_t bit = 0; bit < 2 * 8 * sizeof(message); bit++) {
        bool solicit = bit % 2;
        size_t byte = bit / 16;
        struct eth_neigh *neigh;
        struct world w;

        world6_open(&w, false);
        neigh = eth_neigh_get(w.eth, &peer6, w.now_ns);
        expect_question6(&w, NULL, &peer6);
        make_neighbor(message, solicit ? ICMP6_NEIGHBOR_SOLICIT : ICMP6_NEIGHBOR_ADVERT,
                      NDP_FLAG_SOLICITED, solicit ? &us6 : &peer6, peer_mac);
        message[byte] ^= (uint8_t)(1 << (bit / 2) % 8);
        hand(&w, &peer6, &us6, message, sizeof(message), 255);
        assert_int_equal(accounted_for(eth_stats(w.eth)), 1);
        if (byte >= 26 && message[26] % 2 == 0) { /* only the Ethernet address is another one */
            assert_int_equal(neigh->state, solicit ? NEIGH_STALE : NEIGH_REACHABLE);
            assert_memory_equal(neigh->macs, message + 26, 6);
        } else if (byte >= 8 && byte < 24) {
            assert_int_equal(neigh->state, NEIGH_INCOMPLETE);
        }
        world_close(&w);
    }
}

static void test_messages_of_any_length(void **state)
{
    uint8_t message[NDP_MESSAGE_MAX + 9];
    struct world w;
    uint64_t n = 0;

    world6_open(&w, false);
    for (uint32_t len = 0; len <= sizeof(message); len += len < 60 ? 1 : 7) {
        memset(message, 1, sizeof(message));
        make_neighbor(message, ICMP6_NEIGHBOR_SOLICIT, 0, &us6, peer_mac);
        hand(&w, &peer6, &us6, message, len, 255);
        assert_int_equal(accounted_for(eth_stats(w.eth)), ++n);
        while (link_hears(&w))
            ;
    }
    world_close(&w);
}

/* A group's frame brings IPv6 or nothing, whatever its type says: IPv4 would be answered, though it
 * went to many (RFC 1122 3.3.6). */
static void test_group_frames_bring_ipv6_only(void **state)
{
    static const struct {
        uint8_t first;
        uint32_t len;
        enum eth_verdict verdict;
    } cases[] = {{0x60, 15, ETH_IP6},
                 {0x6f, 60, ETH_IP6},
                 {0x45, 60, ETH_DONE},
                 {0x45, 14, ETH_DONE},
                 {0x00, 60, ETH_DONE}};
    struct world w;

    world6_open(&w, false);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t *frame = calloc(1, cases[i].len);
        struct nmio_pkt pkt = {.data = frame, .len = cases[i].len};

        icmp6_group_mac(frame, &icmp6_all_nodes);
        memcpy(frame + 6, peer_mac, 6);
        put_be16(frame + 12, ETH_TYPE_IP6);
        if (cases[i].len > 14)
            frame[14] = cases[i].first;
        assert_int_equal(eth_input(w.eth, &pkt, w.now_ns), cases[i].verdict);
        free(frame);
    }
    assert_int_equal(eth_stats(w.eth)->drop_not_ours, 3);
    world_close(&w);
}

/* --- MLD ------------------------------------------------------------------------------------ */

static void query(struct world *w, const struct ip_addr *group, uint16_t code, uint32_t len,
                  uint8_t hop_limit)
{
    uint8_t message[28] = {ICMP6_MLD_QUERY};

    put_be16(message + 4, code);
    memcpy(message + 8, group->b, 16);
    hand(w, &router_local, &icmp6_all_nodes, message, len, hop_limit);
}

static void test_query_is_answered_within_its_time(void **state)
{
    static const struct {
        uint16_t code;
        uint64_t ms;
    } cases[] = {{1000, 1000}, {0, 0}, {32767, 32767}, {0x8000, 32768}, {0xffff, 8387584}};

    for (size_t i = 0; i < array_len(cases); i++) {
        struct world w;

        world6_open(&w, false);
        query(&w, &icmp6_unspecified, cases[i].code, 28, 1);
        expect_silence(&w);
        wait_for(&w, cases[i].ms * NS_PER_MS + 2 * NS_PER_MS);
        expect_report(&w, &us_local, MLD2_MODE_IS_EXCLUDE);
        wait_for(&w, cases[i].ms * NS_PER_MS + S);
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_query_for_a_group(void **state)
{
    struct world w;

    world6_open(&w, false);
    query(&w, &peer6_group, 100, 28, 1); /* not one of ours */
    wait_for(&w, S);
    expect_silence(&w);
    query(&w, &us6_group, 100, 28, 1);
    query(&w, &us6_group, 0, 28, 1); /* sooner */
    wait_for(&w, 2 * NS_PER_MS);
    expect_report(&w, &us_local, MLD2_MODE_IS_EXCLUDE);
    wait_for(&w, S);
    expect_silence(&w);
    query(&w, &us6_group, 0, 23, 1);
    query(&w, &us6_group, 0, 28, 2);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 2);
    world_close(&w);
}

/* RFC 3810 8.1: neither version has queries of these lengths. */
static void test_query_of_no_version(void **state)
{
    struct world w;

    world6_open(&w, false);
    for (uint32_t len = 25; len < 28; len++)
        query(&w, &icmp6_unspecified, 0, len, 1);
    wait_for(&w, S);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 3);
    query(&w, &icmp6_unspecified, 0, 28, 1);
    wait_for(&w, 2 * NS_PER_MS);
    expect_report(&w, &us_local, MLD2_MODE_IS_EXCLUDE);
    world_close(&w);
}

/* RFC 3810 6.2 */
static void test_query_without_router_alert(void **state)
{
    const uint8_t message[28] = {ICMP6_MLD_QUERY};
    const struct eth_icmp6 in = {.src = router_local,
                                 .dst = icmp6_all_nodes,
                                 .message = message,
                                 .len = sizeof(message),
                                 .hop_limit = 1};
    struct world w;

    world6_open(&w, false);
    eth_icmp6_input(w.eth, &in, w.now_ns);
    wait_for(&w, S);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 1);
    world_close(&w);
}

/* RFC 2710: a report for each group, for as long as the querier is thought to be there. */
static void test_old_querier(void **state)
{
    struct world w;

    world6_open(&w, false);
    query(&w, &icmp6_unspecified, 10, 24, 1);
    wait_for(&w, 20 * NS_PER_MS);
    for (int i = 0; i < 2; i++) {
        const struct ip_addr *group = i ? &local_group : &us6_group;
        const uint8_t *m = expect_icmp6(&w, NULL, &us_local, group, MLD_AT, 24, 1);

        assert_memory_equal(m - 8, "\x3a\0\5\2\0\0\1\0", 8);
        assert_int_equal(m[0], 131);
        assert_memory_equal(m + 8, group->b, 16);
    }
    wait_for(&w, 261 * S);
    query(&w, &icmp6_unspecified, 0, 28, 1);
    wait_for(&w, 2 * NS_PER_MS);
    expect_report(&w, &us_local, MLD2_MODE_IS_EXCLUDE);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_optimistic),
        cmocka_unit_test(test_duplicate_is_given_up),
        cmocka_unit_test(test_duplicate_that_another_worker_saw),
        cmocka_unit_test(test_conflict_is_defended_once_in_ten_seconds),
        cmocka_unit_test(test_frames_wait_for_the_answer),
        cmocka_unit_test(test_stale_neighbour_is_asked_alone),
        cmocka_unit_test(test_answers_who_asks),
        cmocka_unit_test(test_probe_is_answered_before_everybody),
        cmocka_unit_test(test_asker_without_ethernet_address),
        cmocka_unit_test(test_unasked_answers_set_nothing),
        cmocka_unit_test(test_live_neighbour_is_not_taken_over),
        cmocka_unit_test(test_neighbour_that_moved_is_found),
        cmocka_unit_test(test_announcement_sets_what_is_stale_only),
        cmocka_unit_test(test_mapped_addresses_are_refused),
        cmocka_unit_test(test_relayed_messages_teach_and_are_not_answered),
        cmocka_unit_test(test_validity),
        cmocka_unit_test(test_validity_of_addresses),
        cmocka_unit_test(test_unknown_options_are_skipped),
        cmocka_unit_test(test_messages_with_any_bit_flipped),
        cmocka_unit_test(test_messages_of_any_length),
        cmocka_unit_test(test_group_frames_bring_ipv6_only),
        cmocka_unit_test(test_query_is_answered_within_its_time),
        cmocka_unit_test(test_query_for_a_group),
        cmocka_unit_test(test_query_of_no_version),
        cmocka_unit_test(test_query_without_router_alert),
        cmocka_unit_test(test_old_querier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/* Router Advertisements: which router is chosen, for how long, and what else they say. */
#include "eth/link6_test.h"

#define HIGH 0x08
#define LOW  0x18

static uint32_t make_advert(uint8_t *message, uint16_t lifetime_s, uint8_t flags,
                            const uint8_t *mac)
{
    memset(message, 0, 24);
    message[0] = ICMP6_ROUTER_ADVERT;
    message[4] = 64;
    message[5] = flags;
    put_be16(message + 6, lifetime_s);
    if (!mac)
        return 16;
    message[16] = message[17] = 1;
    memcpy(message + 18, mac, 6);
    return 24;
}

static void advertise(struct world *w, const struct ip_addr *router, const uint8_t *mac,
                      uint16_t lifetime_s, uint8_t flags)
{
    uint8_t message[24];
    uint32_t len = make_advert(message, lifetime_s, flags, mac);

    hand(w, router, &icmp6_all_nodes, message, len, 255);
}

static void expect_router(struct world *w, const struct ip_addr *router)
{
    const struct ip_addr *chosen = eth_router(w->eth);

    if (!router) {
        assert_null(chosen);
        return;
    }
    assert_non_null(chosen);
    assert_memory_equal(chosen->b, router->b, 16);
}

/* --- the start ------------------------------------------------------------------------------ */

static void expect_router_solicit(struct world *w, bool local)
{
    const uint8_t *m = expect_icmp6(w, NULL, local ? &us_local : &icmp6_unspecified,
                                    &icmp6_all_routers, 40, local ? 16 : 8, 255);

    assert_memory_equal(m, "\x85\0", 2);
    assert_memory_equal(m + 4, "\0\0\0\0", 4);
    if (local)
        assert_memory_equal(m + 8, "\1\1\2\0\0\0\0\x10", 8);
}

/* What else is said at the start is the business of ndp_test.c. */
static void skip_to_router_solicit(struct world *w)
{
    const struct nmio_pkt *pkt;

    while ((pkt = link_hears(w)))
        if (get_be16(pkt->data + 12) == ETH_TYPE_IP6 && pkt->data[54] == ICMP6_ROUTER_SOLICIT) {
            w->got_next--; /* it is looked at again */
            return;
        }
}

static void test_solicits_three_times(void **state)
{
    struct world w;

    world6_start(&w, true);
    wait_for(&w, NS_PER_MS);
    skip_to_router_solicit(&w);
    expect_router_solicit(&w, false);
    wait_for(&w, 4 * S);
    skip_to_router_solicit(&w);
    expect_router_solicit(&w, true);
    wait_for(&w, 4 * S);
    expect_router_solicit(&w, true);
    wait_for(&w, 60 * S);
    expect_silence(&w);
    assert_int_equal(eth_stats(w.eth)->ndp_router_solicits_out, 3);
    world_close(&w);
}

static void test_an_answer_is_enough(void **state)
{
    struct world w;

    world6_start(&w, true);
    wait_for(&w, NS_PER_MS);
    advertise(&w, &router_local, router_mac, 1800, 0);
    wait_for(&w, 60 * S);
    assert_int_equal(eth_stats(w.eth)->ndp_router_solicits_out, 1);
    world_close(&w);
}

static void test_ignored_when_not_wanted(void **state)
{
    struct world w;

    world6_open(&w, false);
    advertise(&w, &router_local, router_mac, 1800, 0);
    expect_router(&w, NULL);
    assert_null(neigh_find(w.eth, &router_local));
    assert_int_equal(eth_stats(w.eth)->ndp_routers_ignored, 1);
    assert_int_equal(eth_stats(w.eth)->ndp_router_solicits_out, 0);
    world_close(&w);
}

/* Who has no IPv6 address has no use for a router, and says nothing over IPv6. */
static void test_without_ipv6(void **state)
{
    struct ip_addr addr = ip_addr_v4(us);
    struct eth_config config = {.addrs = &addr, .addr_count = 1, .take_routers = true};
    struct eth *eth;
    struct world w;

    world6_open(&w, false);
    config.arena = w.arena;
    config.port = w.ends[0];
    assert_int_equal(eth_open(&eth, &config, w.now_ns), 0);
    for (int second = 0; second < 20; second++)
        eth_timers(eth, w.now_ns + (uint64_t)second * S);
    assert_int_equal(eth_stats(eth)->arp_announced, 2);
    assert_int_equal(eth_stats(eth)->ndp_router_solicits_out, 0);
    eth_close(eth);
    world_close(&w);
}

/* --- lifetimes ------------------------------------------------------------------------------ */

static void test_lifetime(void **state)
{
    struct world w;

    world6_open(&w, true);
    expect_router(&w, NULL);
    advertise(&w, &router_local, router_mac, 60, 0);
    expect_router(&w, &router_local);
    wait_for(&w, 59 * S);
    expect_router(&w, &router_local);
    advertise(&w, &router_local, router_mac, 60, 0);
    wait_for(&w, 59 * S);
    expect_router(&w, &router_local);
    wait_for(&w, 2 * S);
    expect_router(&w, NULL);
    advertise(&w, &router_local, router_mac, 65535, 0);
    expect_router(&w, &router_local);
    advertise(&w, &router_local, router_mac, 0, 0);
    expect_router(&w, NULL);
    assert_int_equal(neigh_find(w.eth, &router_local)->refs, 0);
    assert_int_equal(eth_stats(w.eth)->ndp_router_changes, 4);
    world_close(&w);
}

/* --- which one ------------------------------------------------------------------------------ */

static void test_the_first_stays(void **state)
{
    uint32_t epoch;
    struct world w;

    world6_open(&w, true);
    epoch = eth_route_epoch(w.eth);
    advertise(&w, &router_local, router_mac, 1800, 0);
    assert_int_not_equal(eth_route_epoch(w.eth), epoch);
    epoch = eth_route_epoch(w.eth);
    advertise(&w, &other_local, other_mac, 1800, 0);
    advertise(&w, &router_local, router_mac, 1800, 0);
    expect_router(&w, &router_local);
    assert_int_equal(eth_route_epoch(w.eth), epoch);
    world_close(&w);
}

/* Others come and go, in front of it and behind it in the list. */
static void test_the_chosen_one_stays_when_another_goes(void **state)
{
    static const struct ip_addr third_local = {{0xfe, 0x80, [15] = 0xdd}};
    static const uint8_t third_mac[6] = {2, 0, 0, 0, 0, 0xdd};
    uint32_t epoch;
    struct world w;

    world6_open(&w, true);
    advertise(&w, &router_local, router_mac, 1800, LOW);
    advertise(&w, &other_local, other_mac, 1800, 0);
    advertise(&w, &third_local, third_mac, 1800, 0);
    expect_router(&w, &other_local);
    epoch = eth_route_epoch(w.eth);
    advertise(&w, &router_local, router_mac, 0, 0);
    expect_router(&w, &other_local);
    advertise(&w, &third_local, third_mac, 0, 0);
    expect_router(&w, &other_local);
    assert_int_equal(eth_route_epoch(w.eth), epoch);
    world_close(&w);
}

/* RFC 4191 2.1; a reserved preference is a medium one. */
static void test_preference(void **state)
{
    struct world w;

    world6_open(&w, true);
    advertise(&w, &router_local, router_mac, 1800, LOW);
    expect_router(&w, &router_local);
    advertise(&w, &other_local, other_mac, 1800, 0x10);
    expect_router(&w, &other_local);
    advertise(&w, &router_local, router_mac, 1800, 0);
    expect_router(&w, &other_local);
    advertise(&w, &router_local, router_mac, 1800, HIGH);
    expect_router(&w, &router_local);
    advertise(&w, &router_local, router_mac, 1800, LOW);
    expect_router(&w, &other_local);
    world_close(&w);
}

/* Silence for as long as the questions to an unreachable neighbour take. */
static void fall_silent(struct world *w, const struct ip_addr *router)
{
    struct eth_neigh *neigh = eth_neigh_get(w->eth, router, w->now_ns);

    wait_for(w, 31 * S);
    we_send6(w, neigh);
    wait_for(w, 9 * S);
    eth_neigh_put(w->eth, neigh);
}

static void test_router_that_falls_silent(void **state)
{
    struct world w;

    world6_open(&w, true);
    advertise(&w, &router_local, router_mac, 1800, 0);
    advertise(&w, &other_local, other_mac, 1800, LOW);
    expect_router(&w, &router_local);
    fall_silent(&w, &router_local);
    expect_router(&w, &other_local);
    wait_for(&w, 60 * S);
    expect_router(&w, &other_local);
    advertise(&w, &router_local, router_mac, 1800, 0); /* it is back, and preferred */
    expect_router(&w, &router_local);
    world_close(&w);
}

/* RFC 4861 6.3.6: if none can be found each is tried in its turn. */
static void test_all_fall_silent(void **state)
{
    struct world w;

    world6_open(&w, true);
    advertise(&w, &router_local, router_mac, 1800, 0);
    advertise(&w, &other_local, other_mac, 1800, 0);
    fall_silent(&w, &router_local);
    expect_router(&w, &other_local);
    fall_silent(&w, &other_local);
    wait_for(&w, 10 * S);
    expect_router(&w, &router_local);
    advertise(&w, &other_local, other_mac, 1800, 0);
    expect_router(&w, &other_local);
    world_close(&w);
}

static void test_router_without_ethernet_address_is_asked(void **state)
{
    struct world w;

    world6_open(&w, true);
    advertise(&w, &router_local, NULL, 1800, 0);
    expect_question6(&w, NULL, &router_local);
    expect_router(&w, &router_local);
    link_advertises(&w, router_mac, &router_local, &us_local,
                    NDP_FLAG_SOLICITED | NDP_FLAG_OVERRIDE | NDP_FLAG_ROUTER);
    expect_router(&w, &router_local);
    assert_int_equal(neigh_find(w.eth, &router_local)->state, NEIGH_REACHABLE);
    world_close(&w);
}

/* RFC 4861 7.2.5: its own answer may say so, nobody else. */
static void test_router_that_is_none_any_more(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, true);
    advertise(&w, &router_local, router_mac, 1800, 0);
    link_announces(&w, router_mac, &router_local);
    link_advertises(&w, evil_mac, &router_local, &us_local, NDP_FLAG_SOLICITED);
    expect_router(&w, &router_local);
    neigh = eth_neigh_get(w.eth, &router_local, w.now_ns);
    we_send6(&w, neigh); /* it was stale */
    wait_for(&w, 5 * S + NS_PER_MS);
    link_advertises(&w, router_mac, &router_local, &us_local, NDP_FLAG_SOLICITED);
    expect_router(&w, NULL);
    eth_neigh_put(w.eth, neigh);
    world_close(&w);
}

/* A live router's Ethernet address is not taken over by an advertisement. */
static void test_router_is_not_taken_over(void **state)
{
    struct eth_neigh *neigh;
    struct world w;

    world6_open(&w, true);
    neigh = eth_neigh_get(w.eth, &router_local, w.now_ns);
    expect_question6(&w, NULL, &router_local);
    link_advertises(&w, router_mac, &router_local, &us_local, NDP_FLAG_SOLICITED | NDP_FLAG_ROUTER);
    wait_for(&w, 2 * S);
    advertise(&w, &router_local, evil_mac, 1800, 0);
    expect_question6(&w, router_mac, &router_local);
    we_send6(&w, neigh);
    expect_frame6(&w, router_mac);
    world_close(&w);
}

static void test_list_is_bounded(void **state)
{
    struct ip_addr router = router_local;
    struct world w;

    world6_open(&w, true);
    for (int i = 0; i < 20; i++) {
        uint8_t mac[6] = {2, 1, 0, 0, 0, (uint8_t)i};

        router.b[15] = (uint8_t)(0x40 + i);
        advertise(&w, &router, mac, 1800, 0);
    }
    assert_int_equal(w.eth->routers.count, ROUTERS_MAX);
    assert_int_equal(eth_stats(w.eth)->drop_router_full, 20 - ROUTERS_MAX);
    for (int i = 0; i < 20; i++) {
        router.b[15] = (uint8_t)(0x40 + i);
        expect_router(&w, i < ROUTERS_MAX ? &router : NULL);
        advertise(&w, &router, NULL, 0, 0);
    }
    expect_router(&w, NULL);
    world_close(&w);
}

/* --- prefixes and the MTU ------------------------------------------------------------------- */

static void advertise_prefix(struct world *w, const struct ip_addr *prefix, uint8_t bits,
                             uint8_t flags, uint32_t valid_s)
{
    uint8_t message[48];

    make_advert(message, 0, 0, NULL);
    memset(message + 16, 0, 32);
    message[16] = NDP_OPTION_PREFIX;
    message[17] = 4;
    message[18] = bits;
    message[19] = flags;
    put_be32(message + 20, valid_s);
    memcpy(message + 32, prefix->b, 16);
    hand(w, &router_local, &icmp6_all_nodes, message, sizeof(message), 255);
}

static void test_prefixes(void **state)
{
    struct world w;

    world6_open(&w, true);
    advertise_prefix(&w, &stranger6, 64, 0x40, 60); /* not said to be on the link */
    assert_false(eth_advertised_on_link(w.eth, &stranger6));
    advertise_prefix(&w, &stranger6, 64, 0xc0, 60);
    assert_true(eth_advertised_on_link(w.eth, &stranger6));
    assert_false(eth_advertised_on_link(w.eth, &peer6));
    assert_true(eth_on_link(w.eth, &stranger6));
    wait_for(&w, 61 * S);
    assert_false(eth_advertised_on_link(w.eth, &stranger6));
    advertise_prefix(&w, &stranger6, 64, 0x80, UINT32_MAX);
    wait_for(&w, 86400 * S);
    assert_true(eth_advertised_on_link(w.eth, &stranger6));
    advertise_prefix(&w, &stranger6, 64, 0x80, 0);
    assert_false(eth_advertised_on_link(w.eth, &stranger6));
    advertise_prefix(&w, &us_local, 64, 0x80, 60);
    advertise_prefix(&w, &stranger6, 129, 0x80, 60);
    advertise_prefix(&w, &stranger6, 31, 0x80, 60);
    advertise_prefix(&w, &icmp6_unspecified, 0, 0x80, 60);
    advertise_prefix(&w, &icmp6_all_nodes, 64, 0x80, 60);
    assert_int_equal(w.eth->routers.prefix_count, 0);
    for (uint8_t i = 0; i < 30; i++) {
        struct ip_addr prefix = stranger6;

        prefix.b[6] = i;
        advertise_prefix(&w, &prefix, 64, 0x80, 60);
    }
    assert_int_equal(w.eth->routers.prefix_count, ROUTER_PREFIXES_MAX);
    assert_int_equal(eth_stats(w.eth)->drop_router_full, 30 - ROUTER_PREFIXES_MAX);
    wait_for(&w, 61 * S);
    assert_int_equal(w.eth->routers.prefix_count, 0);
    world_close(&w);
}

static void test_mtu(void **state)
{
    static const struct {
        uint32_t said, used;
    } cases[] = {{1400, 1400}, {1279, 1400}, {0, 1400},         {1280, 1280},
                 {1501, 1280}, {1500, 1500}, {UINT32_MAX, 1500}};
    struct world w;

    world6_open(&w, true);
    assert_int_equal(eth_ip6_mtu(w.eth), MTU);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t message[24];

        make_advert(message, 1800, 0, NULL);
        memcpy(message + 16, "\5\1\0\0", 4);
        put_be32(message + 20, cases[i].said);
        hand(&w, &router_local, &icmp6_all_nodes, message, sizeof(message), 255);
        assert_int_equal(eth_ip6_mtu(w.eth), cases[i].used);
    }
    world_close(&w);
}

/* --- hostile bytes -------------------------------------------------------------------------- */

/* RFC 4861 6.1.2 */
static void test_validity(void **state)
{
    uint8_t message[24];
    struct world w;

    world6_open(&w, true);
    make_advert(message, 1800, 0, router_mac);
    hand(&w, &router_local, &icmp6_all_nodes, message, 24, 254);
    hand(&w, &peer6, &icmp6_all_nodes, message, 24, 255);
    hand(&w, &icmp6_unspecified, &icmp6_all_nodes, message, 24, 255);
    for (uint32_t len = 0; len < 24; len++)
        if (len != 16)
            hand(&w, &router_local, &icmp6_all_nodes, message, len, 255);
    message[1] = 1;
    hand(&w, &router_local, &icmp6_all_nodes, message, 24, 255);
    message[1] = 0;
    message[17] = 0;
    hand(&w, &router_local, &icmp6_all_nodes, message, 24, 255);
    message[17] = 1;
    message[18] = 1;
    hand(&w, &router_local, &icmp6_all_nodes, message, 24, 255);
    expect_router(&w, NULL);
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 3 + 23 + 3);
    hand(&w, &us_local, &icmp6_all_nodes, message, 16, 255); /* us, from somewhere else */
    assert_int_equal(eth_stats(w.eth)->ndp_routers_ignored, 1);
    assert_int_equal(eth_stats(w.eth)->ndp_routers_in, 0);
    world_close(&w);
}

/* Prefix and MTU options of every length that fits, at the very end. */
static void test_options_of_every_length(void **state)
{
    uint8_t message[16 + 8 * 8];
    struct world w;

    world6_open(&w, true);
    for (uint8_t type = 1; type < 8; type++)
        for (uint8_t units = 1; units <= 8; units++) {
            make_advert(message, 1800, 0, NULL);
            memset(message + 16, 2, 64);
            message[16] = type;
            message[17] = units;
            hand(&w, &router_local, &icmp6_all_nodes, message, 16 + 8u * units, 255);
        }
    assert_int_equal(eth_stats(w.eth)->drop_ndp_malformed, 7); /* an Ethernet address is short */
    assert_int_equal(eth_stats(w.eth)->ndp_routers_in, 7 * 8 - 7);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_solicits_three_times),
        cmocka_unit_test(test_an_answer_is_enough),
        cmocka_unit_test(test_ignored_when_not_wanted),
        cmocka_unit_test(test_without_ipv6),
        cmocka_unit_test(test_lifetime),
        cmocka_unit_test(test_the_first_stays),
        cmocka_unit_test(test_the_chosen_one_stays_when_another_goes),
        cmocka_unit_test(test_preference),
        cmocka_unit_test(test_router_that_falls_silent),
        cmocka_unit_test(test_all_fall_silent),
        cmocka_unit_test(test_router_without_ethernet_address_is_asked),
        cmocka_unit_test(test_router_that_is_none_any_more),
        cmocka_unit_test(test_router_is_not_taken_over),
        cmocka_unit_test(test_list_is_bounded),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_mtu),
        cmocka_unit_test(test_validity),
        cmocka_unit_test(test_options_of_every_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/* Frames with and without a VLAN's tag. */
#include <errno.h>

#include "eth/link_test.h"

#define OURS 7

static void world_open_vlan(struct world *w, uint16_t vlan)
{
    world_open(w, 0);
    w->eth->vlan = vlan;
    w->eth->header_len = vlan ? 18 : 14;
}

/* An Ethernet frame of the peer's to us, "rest" behind the type. */
static uint32_t make(uint8_t *frame, bool tagged, uint16_t tci, uint16_t type)
{
    uint32_t at = 12;

    memcpy(frame, our_mac, 6);
    memcpy(frame + 6, peer_mac, 6);
    if (tagged) {
        put_be16(frame + 12, ETH_TYPE_VLAN);
        put_be16(frame + 14, tci);
        at += 4;
    }
    put_be16(frame + at, type);
    memcpy(frame + at + 2, "rest", 4);
    return at + 6;
}

/* Every priority, every VLAN that may be mistaken for ours, with and without one of our own. */
static void test_what_is_taken(void **state)
{
    static const struct {
        uint16_t vlan; /* ours */
        bool tagged;
        uint16_t tci;
        bool taken;
    } cases[] = {
        {0, false, 0, true},
        {0, true, 0, true}, /* a priority and no VLAN */
        {0, true, 0xf000, true},
        {0, true, OURS, false},
        {OURS, true, OURS, true},
        {OURS, true, 0xe000 | OURS, true},
        {OURS, true, 0x1000 | OURS, true}, /* may be dropped first */
        {OURS, false, 0, false},
        {OURS, true, 0, false},
        {OURS, true, OURS + 1, false},
        {OURS, true, 0x0f00 | OURS, false},
        {4094, true, 4094, true},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t frame[32];
        struct nmio_pkt pkt = {.data = frame};
        struct world w;

        world_open_vlan(&w, cases[i].vlan);
        pkt.len = make(frame, cases[i].tagged, cases[i].tci, ETH_TYPE_IP4);
        assert_int_equal(eth_input(w.eth, &pkt, w.now_ns), cases[i].taken ? ETH_IP4 : ETH_DONE);
        assert_int_equal(eth_stats(w.eth)->drop_vlan, !cases[i].taken);
        if (cases[i].taken) {
            assert_int_equal(pkt.len, 4);
            assert_memory_equal(pkt.data, "rest", 4);
            assert_memory_equal(pkt.data - 14, our_mac, 6); /* an untagged header lies in front */
            assert_memory_equal(pkt.data - 8, peer_mac, 6);
            assert_int_equal(get_be16(pkt.data - 2), ETH_TYPE_IP4);
        }
        world_close(&w);
    }
}

static void test_tagged_twice(void **state)
{
    uint8_t frame[40];
    struct nmio_pkt pkt = {.data = frame};
    struct world w;

    world_open_vlan(&w, OURS);
    pkt.len = make(frame, true, OURS, ETH_TYPE_VLAN);
    assert_int_equal(eth_input(w.eth, &pkt, w.now_ns), ETH_DONE);
    assert_int_equal(eth_stats(w.eth)->drop_type, 1);
    world_close(&w);
}

static void test_frames_of_any_length(void **state)
{
    uint8_t frame[32];
    struct world w;

    world_open_vlan(&w, OURS);
    make(frame, true, OURS, ETH_TYPE_IP4);
    for (uint32_t len = 0; len < 18; len++) {
        uint8_t *exact = malloc(len + !len);
        struct nmio_pkt pkt = {.data = exact, .len = len};

        memcpy(exact, frame, len);
        assert_int_equal(eth_input(w.eth, &pkt, w.now_ns), ETH_DONE);
        assert_int_equal(eth_stats(w.eth)->drop_short, len + 1);
        free(exact);
    }
    world_close(&w);
}

/* ARP both ways, a frame that waits with its checksum's place, and one that does not. */
static void test_all_we_send_is_tagged(void **state)
{
    uint8_t frame[18 + sizeof(struct arp_packet)], arp[ARP_FRAME_BYTES];
    const struct nmio_pkt *pkt;
    struct nmio_frame *out;
    struct eth_neigh *neigh;
    struct world w;

    world_open_vlan(&w, OURS);
    neigh = hold(&w, peer);
    pkt = link_hears(&w);
    assert_non_null(pkt);
    assert_int_equal(pkt->len, sizeof(frame));
    assert_memory_equal(pkt->data, "\377\377\377\377\377\377\2\0\0\0\0\x10\x81\0\0\7\x08\6", 18);
    out = eth_frame(w.eth);
    assert_int_equal(out->header_len, 18);
    out->header_len = 18 + 40;
    out->csum_start = 38;
    out->csum_offset = 16;
    eth_send(w.eth, neigh, ETH_TYPE_IP4, out, w.now_ns);

    arp_make(arp, our_mac, ARP_OP_REPLY, peer_mac, peer, our_mac, us);
    memcpy(frame, arp, 12);
    memcpy(frame + 12, "\x81\0\0\7", 4);
    memcpy(frame + 16, arp + 12, sizeof(arp) - 12);
    link_says(&w, frame, sizeof(frame));
    assert_int_equal(neigh->state, NEIGH_REACHABLE);
    for (int i = 0; i < 2; i++) {
        pkt = link_hears(&w);
        assert_non_null(pkt);
        assert_int_equal(pkt->len, 58);
        assert_memory_equal(pkt->data, peer_mac, 6);
        assert_memory_equal(pkt->data + 6, "\2\0\0\0\0\x10\x81\0\0\7\x08\0", 12);
        assert_int_equal(pkt->flags, NMIO_PKT_CSUM_OK);
        out = eth_frame(w.eth);
        out->header_len = 58;
        out->csum_start = 38;
        out->csum_offset = 16;
        if (i == 0)
            eth_send(w.eth, neigh, ETH_TYPE_IP4, out, w.now_ns);
    }
    assert_int_equal(w.shown, 1);
    world_close(&w);
}

static void test_open_refuses(void **state)
{
    struct ip_addr addr = ip_addr_v4(us);
    struct eth_config config = {.addrs = &addr, .addr_count = 1, .vlan = 4095};
    struct eth *eth;
    struct world w;

    world_open(&w, 0);
    config.arena = w.arena;
    config.port = w.ends[0];
    assert_int_equal(eth_open(&eth, &config, 0), -EINVAL);
    config.vlan = 4094;
    assert_int_equal(eth_open(&eth, &config, 0), 0);
    assert_int_equal(eth_header_bytes(eth), 18);
    assert_int_equal(eth_header_bytes(w.eth), 14);
    eth_close(eth);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken),        cmocka_unit_test(test_tagged_twice),
        cmocka_unit_test(test_frames_of_any_length), cmocka_unit_test(test_all_we_send_is_tagged),
        cmocka_unit_test(test_open_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

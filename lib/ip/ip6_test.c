// SPDX-License-Identifier: BSD-2-Clause
/* IPv6: packets that arrive, their extension headers, and where ours go. */
#include <errno.h>

#include "ip/link6_test.h"

/* --- in --------------------------------------------------------------------------------------- */

static void test_hands_datagrams_on(void **state)
{
    uint8_t bytes[100] = {0};
    struct nmio_pkt pkt = {
        .data = bytes, .len = 60, .flags = NMIO_PKT_CSUM_OK, .gso_size = 1440}; /* padded */
    struct world w;

    world_open(&w);
    make6(bytes, IP_PROTO_TCP, "transport", 9);
    assert_int_equal(arrives(&w, bytes, 60), IP_TCP);
    assert_true(ip_addr_equal(&w.dgram.src, &peer6));
    assert_true(ip_addr_equal(&w.dgram.dst, &us6));
    assert_ptr_equal(w.dgram.payload, bytes + 40);
    assert_int_equal(w.dgram.len, 9);
    assert_int_equal(w.dgram.header_len, 40);
    assert_int_equal(w.dgram.proto, IP_PROTO_TCP);
    assert_int_equal(w.dgram.ttl, 57);
    assert_int_equal(w.dgram.tos, 0x2a);
    assert_int_equal(w.dgram.gso_size, 0);
    assert_false(w.dgram.csum_ok);
    assert_int_equal(ip_input(w.ip, &pkt, &w.dgram, &w.error, w.now_ns), IP_TCP);
    w.handed_on++;
    assert_int_equal(w.dgram.gso_size, 1440);
    assert_true(w.dgram.csum_ok);
    make6(bytes, IP_PROTO_UDP, "", 0);
    assert_int_equal(arrives(&w, bytes, 40), IP_UDP);
    assert_int_equal(w.dgram.len, 0);
    expect_silence(&w);
    world_close(&w);
}

static void test_big_received_frame(void **state)
{
    uint8_t *bytes = malloc(40 + 65535), *payload = calloc(1, 65535);
    struct world w;

    world_open(&w);
    make6(bytes, IP_PROTO_TCP, payload, 65535);
    assert_int_equal(arrives(&w, bytes, 40 + 65535), IP_TCP);
    assert_int_equal(w.dgram.len, 65535);
    assert_int_equal(arrives(&w, bytes, 40 + 65534), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_short, 1);
    world_close(&w);
    free(bytes);
    free(payload);
}

static void test_refuses(void **state)
{
    static const struct {
        size_t at, bytes;
        const char *value;
        size_t counter;
    } cases[] = {
        {0, 1, "\x50", COUNTER(drop_version)},
        {0, 1, "\x70", COUNTER(drop_version)},
        {0, 1, "\0", COUNTER(drop_version)},
        {4, 2, "\0\x0a", COUNTER(drop_short)},
        {4, 2, "\xff\xff", COUNTER(drop_short)},
        {6, 1, "\x3b", COUNTER(drop_proto)}, /* nothing follows */
        {6, 1, "\x84", COUNTER(drop_proto)},
        {6, 1, "\x32", COUNTER(drop_proto)}, /* ESP */
        {6, 1, "\x33", COUNTER(drop_proto)}, /* AH */
        {6, 1, "\x01", COUNTER(drop_proto)}, /* ICMP of IPv4 */
        {8, 16, "2001:db8::1", COUNTER(drop_source)},
        {8, 16, "::", COUNTER(drop_source)},
        {8, 16, "::1", COUNTER(drop_source)},
        {8, 16, "ff02::1", COUNTER(drop_source)},
        {8, 16, "::ffff:192.0.2.2", COUNTER(drop_source)},
        {8, 16, "::ffff:8.8.8.8", COUNTER(drop_source)},
        {8, 16, "::8.8.8.8", COUNTER(drop_source)},
        {24, 16, "2001:db8::2", COUNTER(drop_not_ours)},
        {24, 16, "::ffff:192.0.2.1", COUNTER(drop_not_ours)},
        {24, 16, "::", COUNTER(drop_not_ours)},
        {24, 16, "::1", COUNTER(drop_not_ours)},
        {24, 16, "ff02::2", COUNTER(drop_not_ours)}, /* all routers */
        {24, 16, "ff01::1", COUNTER(drop_not_ours)},
        {24, 16, "ff02::1:ff00:2", COUNTER(drop_not_ours)},
        {24, 16, "ff02::1", COUNTER(drop_not_ours)}, /* no TCP to a group */
        {24, 16, "ff02::1:ff00:1", COUNTER(drop_not_ours)},
    };
    uint8_t bytes[49];

    for (size_t i = 0; i < array_len(cases); i++) {
        const uint64_t *counter;
        struct world w;
        uint64_t before;

        world_open(&w);
        counter = counter_at(&w, cases[i].counter);
        before = *counter;
        make6(bytes, IP_PROTO_TCP, "transport", 9);
        change(bytes, cases[i].at, cases[i].bytes, cases[i].value);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(*counter, before + 1);
        if (cases[i].counter == COUNTER(drop_proto) && bytes[6] != 0x3b)
            expect_error6(&w, ICMP6_PARAMETER_PROBLEM, 1, 6, bytes, sizeof(bytes));
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_accepts_what_only_looks_odd(void **state)
{
    static const struct {
        size_t at, bytes;
        const char *value;
    } cases[] = {
        {0, 4, "\x6f\xff\xff\xff"}, /* class and label mean nothing here */
        {7, 1, "\0"},               /* no hops left: that is for routers */
        {8, 16, "fe80::9"},         /* link-local */
        {8, 16, "fc00::9"},         /* unique local */
        {8, 16, "64:ff9b::9"}       /* by way of a translator (RFC 6052) */
    };
    uint8_t bytes[49];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        make6(bytes, IP_PROTO_TCP, "transport", 9);
        change(bytes, cases[i].at, cases[i].bytes, cases[i].value);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_TCP);
    }
    world_close(&w);
}

/* A frame to a group must not bring what is for one (RFC 1122 3.3.6). */
static void test_group_frame_with_unicast_packet(void **state)
{
    uint8_t bytes[49];
    struct nmio_pkt pkt = {.data = bytes, .len = sizeof(bytes), .flags = ETH_PKT_GROUP};
    struct world w;

    world_open(&w);
    make6(bytes, IP_PROTO_TCP, "transport", 9);
    assert_int_equal(ip_input(w.ip, &pkt, &w.dgram, &w.error, w.now_ns), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_not_ours, 1);
    world_close(&w);
}

static void test_udp_needs_a_checksum(void **state)
{
    uint8_t bytes[52];
    struct world w;

    world_open(&w);
    make6(bytes, IP_PROTO_UDP, "sodele\0\0data", 12);
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_udp_no_checksum, 1);
    make6(bytes, IP_PROTO_UDP, "sodele\0\1data", 12);
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_UDP);
    expect_silence(&w);
    world_close(&w);
}

/* --- extension headers ------------------------------------------------------------------------ */

#define HBH  0
#define TCP  6
#define RH   43
#define FH   44
#define NONE 59
#define DO   60
#define NOPE -1

/* `first`, then headers of 8 bytes each, then "transport". */
struct chain {
    const char *what;
    const char *headers;
    size_t counter; /* of what is wrong; 0: it is a TCP segment */
    int code;       /* of the parameter problem, or NOPE */
    uint32_t pointer;
    uint8_t count;
    uint8_t first;
};

static const struct chain chains[] = {
    {"padding", "\6\0\1\4\0\0\0\0", 0, NOPE, 0, 1, DO},
    {"one byte of padding each", "\6\0\0\0\0\0\0\0", 0, NOPE, 0, 1, HBH},
    {"router alert", "\6\0\5\2\0\0\1\0", 0, NOPE, 0, 1, HBH},
    {"an option to be skipped", "\6\0\x1e\4....", 0, NOPE, 0, 1, DO},
    {"to be skipped, may change", "\6\0\x3e\4....", 0, NOPE, 0, 1, DO},
    {"to be discarded", "\6\0\x5e\4....", COUNTER(drop_options), NOPE, 0, 1, DO},
    {"to be told of", "\6\0\x9e\4....", COUNTER(drop_options), 2, 42, 1, DO},
    {"to be told of to one", "\6\0\xde\4....", COUNTER(drop_options), 2, 42, 1, DO},
    {"the same, hop by hop", "\6\0\xde\4....", COUNTER(drop_options), 2, 42, 1, HBH},
    {"behind padding", "\6\0\0\0\x9e\2..", COUNTER(drop_options), 2, 44, 1, DO},
    {"jumbo payload, which we know not", "\6\0\xc2\4....", COUNTER(drop_options), 2, 42, 1, HBH},
    {"an option longer than its header", "\6\0\1\5\0\0\0\0", COUNTER(drop_options), NOPE, 0, 1, DO},
    {"an option without a length", "\6\0\0\0\0\0\0\1", COUNTER(drop_options), NOPE, 0, 1, DO},
    {"a header longer than the packet", "\6\2\1\4\0\0\0\0", COUNTER(drop_short), NOPE, 0, 1, DO},
    {"nothing behind it", "\x3b\0\1\4\0\0\0\0", COUNTER(drop_proto), NOPE, 0, 1, DO},
    {"nobody's protocol behind it", "\x84\0\1\4\0\0\0\0", COUNTER(drop_proto), 1, 40, 1, DO},
    {"hop by hop, not first", "\0\0\1\4\0\0\0\0\6\0\1\4\0\0\0\0", COUNTER(drop_extension), 1, 40, 2,
     DO},
    {"hop by hop twice", "\0\0\1\4\0\0\0\0\6\0\1\4\0\0\0\0", COUNTER(drop_extension), 1, 40, 2,
     HBH},
    {"a route of type 0 that is at its end", "\6\0\0\0\0\0\0\0", 0, NOPE, 0, 1, RH},
    {"a route of type 0 that goes on", "\6\0\0\1\0\0\0\0", COUNTER(drop_extension), 0, 42, 1, RH},
    {"a route of type 2 that goes on", "\6\0\2\1\0\0\0\0", COUNTER(drop_extension), 0, 42, 1, RH},
    {"a route of type 4 that is at its end", "\6\0\4\0\0\0\0\0", 0, NOPE, 0, 1, RH},
    {"all of it in one fragment", "\6\0\0\0\1\2\3\4", 0, NOPE, 0, 1, FH},
    {"the same with reserved bits", "\6\xff\0\6\1\2\3\4", 0, NOPE, 0, 1, FH},
    {"a first fragment", "\6\0\0\1\1\2\3\4", COUNTER(drop_fragment), NOPE, 0, 1, FH},
    {"a last fragment", "\6\0\0\x08\1\2\3\4", COUNTER(drop_fragment), NOPE, 0, 1, FH},
    {"the last fragment there can be", "\6\0\xff\xf8\1\2\3\4", COUNTER(drop_fragment), NOPE, 0, 1,
     FH},
    {"all kinds in their order",
     "\x3c\0\1\4\0\0\0\0\x2b\0\1\4\0\0\0\0\x2c\0\0\0\0\0\0\0\x3c\0\0\0\1\2\3\4\6\0\1\4\0\0\0\0", 0,
     NOPE, 0, 5, HBH},
    {"as many as we have patience for",
     "\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0"
     "\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x06\0\1\4\0\0\0\0",
     0, NOPE, 0, 8, DO},
    {"one more",
     "\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0"
     "\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0\x3c\0\1\4\0\0\0\0"
     "\x06\0\1\4\0\0\0\0",
     COUNTER(drop_extension), NOPE, 0, 9, DO},
};

static uint32_t make_chain(uint8_t *bytes, const struct chain *chain)
{
    uint8_t payload[100];

    memcpy(payload, chain->headers, 8 * chain->count);
    memcpy(payload + 8 * chain->count, "transport", 9);
    return make6(bytes, chain->first, payload, 8u * chain->count + 9);
}

static void test_extension_headers(void **state)
{
    for (size_t i = 0; i < array_len(chains); i++) {
        const struct chain *chain = &chains[i];
        uint8_t bytes[150];
        uint32_t len = make_chain(bytes, chain);
        enum ip_verdict verdict;
        struct world w;

        world_open(&w);
        verdict = arrives(&w, bytes, len);
        if (verdict != (chain->counter ? IP_DONE : IP_TCP))
            fail_msg("%s: verdict %d", chain->what, verdict);
        if (verdict == IP_TCP) {
            assert_int_equal(w.dgram.header_len, 40 + 8 * chain->count);
            assert_int_equal(w.dgram.len, 9);
            assert_int_equal(w.dgram.proto, IP_PROTO_TCP);
            assert_memory_equal(w.dgram.payload, "transport", 9);
        } else if (*counter_at(&w, chain->counter) != 1) {
            fail_msg("%s: not counted", chain->what);
        }
        if (chain->code != NOPE)
            expect_error6(&w, ICMP6_PARAMETER_PROBLEM, (uint8_t)chain->code, chain->pointer, bytes,
                          len);
        expect_silence(&w);
        world_close(&w);
    }
}

/* RFC 4443 2.4 (e): whoever sent it, to whomever, and whatever it carries. */
static void test_problems_that_nobody_is_told_of(void **state)
{
    static const char told[] = "\6\0\x9e\4....";
    static const struct {
        size_t at, bytes;
        const char *value;
    } cases[] = {
        {24, 16, "ff02::1"},
        {24, 16, "ff02::1:ff00:1"},
        {40, 1, "\x3a"}, /* an ICMPv6 error: "t" is a type that asks for no answer */
    };
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t payload[17], bytes[57];

        memcpy(payload, told, 8);
        memcpy(payload + 8, "\1\0......", 9);
        make6(bytes, DO, payload, sizeof(payload));
        change(bytes, cases[i].at, cases[i].bytes, cases[i].value);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        expect_silence(&w);
    }
    assert_int_equal(ip_stats(w.ip)->drop_options, array_len(cases));
    assert_int_equal(ip_stats(w.ip)->drop_no_route, 0); /* it is not even tried */
    {
        uint8_t payload[17], bytes[57]; /* but of an echo request */

        memcpy(payload, "\x3a\0\x9e\4....\x80\0.......", 17);
        make6(bytes, DO, payload, sizeof(payload));
        arrives(&w, bytes, sizeof(bytes));
        expect_error6(&w, ICMP6_PARAMETER_PROBLEM, 2, 42, bytes, sizeof(bytes));
    }
    world_close(&w);
}

static void test_jumbogram(void **state)
{
    uint8_t bytes[57];
    struct world w;

    world_open(&w);
    make6(bytes, HBH, "\6\0\xc2\4\0\1\0\0transport", 17);
    put_be16(bytes + 4, 0);
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_jumbo, 1);
    expect_silence(&w);
    world_close(&w);
}

/* Cut off anywhere, with lengths that say so or not: no step beyond the end, nothing uncounted. */
static void test_chains_of_every_length(void **state)
{
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(chains); i++) {
        uint8_t bytes[150];
        uint32_t full = make_chain(bytes, &chains[i]);

        for (uint32_t len = 1; len < 2 * full; len++) {
            uint32_t cut = (len + 1) / 2;
            uint8_t *exact = malloc(cut);
            uint64_t before = accounted_for(&w);

            make_chain(bytes, &chains[i]);
            if (cut >= 40 && len % 2)
                put_be16(bytes + 4, (uint16_t)(cut - 40));
            memcpy(exact, bytes, cut);
            arrives(&w, exact, cut);
            assert_int_equal(accounted_for(&w), before + 1);
            free(exact);
            while (link_hears(&w))
                ;
        }
    }
    world_close(&w);
}

/* Whatever is changed, an answer goes to a possible sender and comes from us. */
static void test_chains_with_any_bit_changed(void **state)
{
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(chains); i++) {
        uint8_t bytes[150];
        uint32_t len = make_chain(bytes, &chains[i]);

        for (size_t bit = 0; bit < len * 8u; bit++) {
            uint8_t *exact = malloc(len);
            uint64_t before = accounted_for(&w);
            const struct nmio_pkt *pkt;

            memcpy(exact, bytes, len);
            exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
            w.now_ns += NS_PER_S;
            arrives(&w, exact, len);
            assert_int_equal(accounted_for(&w), before + 1);
            while ((pkt = link_hears(&w))) {
                assert_memory_equal(pkt->data + 22, us6.b, 16);
                if (pkt->data[20] == IP_PROTO_ICMP6 && pkt->data[54] < 128)
                    assert_memory_equal(pkt->data + 38, exact + 8, 16);
            }
            free(exact);
        }
    }
    world_close(&w);
}

/* --- flows ------------------------------------------------------------------------------------ */

static int flow_open(struct world *w, struct ip_flow *flow, const struct ip_addr *remote)
{
    *flow = (struct ip_flow){.local = us6, .remote = *remote};
    return ip_flow_open(w->ip, flow, w->now_ns);
}

static void we_send(struct world *w, struct ip_flow *flow, const char *text)
{
    struct nmio_frame *frame = ip_frame(w->ip, flow, IP_PROTO_TCP, 2);

    assert_int_equal(frame->gso_ip6, 1);
    memcpy(frame->header + frame->header_len, "head", 4);
    frame->header_len += 4;
    frame->slices[0] =
        (struct nmio_slice){.data = (const uint8_t *)text, .len = (uint32_t)strlen(text)};
    frame->slice_count = 1;
    ip_send(w->ip, flow, frame, w->now_ns);
}

static void expect_sent(struct world *w, const uint8_t *mac, const struct ip_addr *remote)
{
    uint32_t len;
    const uint8_t *payload = expect_dgram6(w, mac, IP_PROTO_TCP, remote, &len);

    assert_int_equal(len, 11);
    assert_memory_equal(payload, "headpayload", 11);
    assert_int_equal(get_be16(w->got.data + 14) >> 4 & 0xff, 2); /* the traffic class */
}

static void test_flow_goes_where_its_remote_is(void **state)
{
    static const struct {
        const struct ip_addr *remote;
        const uint8_t *mac;
    } cases[] = {{&peer6, peer_mac}, {&stranger6, gateway_mac}, {&gateway6, gateway_mac}};
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        struct ip_flow flow;

        assert_int_equal(flow_open(&w, &flow, cases[i].remote), 0);
        we_send(&w, &flow, "payload");
        expect_sent(&w, cases[i].mac, cases[i].remote);
        assert_int_equal(ip_payload_max(w.ip, &flow), MTU - 40);
        assert_int_equal(ip_gso_payload_max(w.ip, &flow), 65535 - 40);
        assert_int_equal(ip_header_bytes(&flow), 40);
        ip_flow_close(w.ip, &flow);
    }
    world_close(&w);
}

static uint32_t label_of(const struct ip_flow *flow)
{
    return get_be32(flow->header) & IP6_LABEL_MAX;
}

/* RFC 6437 2: the same for every packet of a flow, and different flows rarely share one. */
static void test_flow_label(void **state)
{
    struct ip_flow flow, again, other;
    uint32_t hosts, ports;
    struct world w;

    world_open(&w);
    assert_int_equal(flow_open(&w, &flow, &peer6), 0);
    assert_int_equal(flow_open(&w, &again, &peer6), 0);
    assert_int_equal(flow_open(&w, &other, &stranger6), 0);
    hosts = label_of(&flow);
    assert_int_equal(hosts, label_of(&again));
    assert_int_not_equal(hosts, label_of(&other));
    ip_flow_ports(w.ip, &flow, 80, 40000);
    ports = label_of(&flow);
    assert_int_not_equal(ports, hosts);
    ip_flow_ports(w.ip, &again, 80, 40000);
    assert_int_equal(label_of(&again), ports);
    ip_flow_ports(w.ip, &again, 80, 40001);
    assert_int_not_equal(label_of(&again), ports);
    we_send(&w, &flow, "payload");
    expect_sent(&w, peer_mac, &peer6);
    assert_int_equal(get_be32(w.got.data + 14) & IP6_LABEL_MAX, ports);
    ip_flow_close(w.ip, &flow);
    ip_flow_close(w.ip, &again);
    ip_flow_close(w.ip, &other);
    world_close(&w);
}

static void test_flows_that_lead_nowhere(void **state)
{
    static const char *const remotes[] = {
        "2001:db8::1", "::", "::1", "ff02::1", "ff0e::", "ff02::1:ff00:1", "::ffff:192.0.2.2",
    };
    struct ip_addr v4 = ip_addr_v4(peer);
    struct ip_flow flow;
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(remotes); i++) {
        struct ip_addr remote;

        change(remote.b, 0, 16, remotes[i]);
        assert_int_equal(flow_open(&w, &flow, &remote), -ENETUNREACH);
    }
    flow = (struct ip_flow){.local = v4, .remote = peer6};
    assert_int_equal(ip_flow_open(w.ip, &flow, w.now_ns), -EADDRNOTAVAIL);
    flow = (struct ip_flow){.local = ip_addr_v4(us), .remote = peer6};
    assert_int_equal(ip_flow_open(w.ip, &flow, w.now_ns), -ENETUNREACH);
    flow = (struct ip_flow){.local = stranger6, .remote = peer6};
    assert_int_equal(ip_flow_open(w.ip, &flow, w.now_ns), -EADDRNOTAVAIL);
    world_close(&w);
}

static void test_flow_follows_the_router(void **state)
{
    static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 0xcc};
    static const struct ip_addr other = {{0xfe, 0x80, [15] = 0xbb}};
    struct ip_flow flow, near;
    struct world w;

    world_open_with(&w, true, 0);
    assert_int_equal(flow_open(&w, &flow, &stranger6), -ENETUNREACH); /* nobody has said anything */
    advertise(&w, &router6, gateway_mac, 1800);
    assert_int_equal(flow_open(&w, &flow, &stranger6), 0);
    assert_int_equal(flow_open(&w, &near, &peer6), 0);
    we_send(&w, &flow, "payload");
    expect_sent(&w, gateway_mac, &stranger6);
    advertise(&w, &other, other_mac, 1800);
    we_send(&w, &flow, "payload"); /* the second one is no better */
    expect_sent(&w, gateway_mac, &stranger6);
    advertise(&w, &router6, gateway_mac, 0);
    we_send(&w, &flow, "payload");
    expect_sent(&w, other_mac, &stranger6);
    we_send(&w, &near, "payload");
    expect_sent(&w, peer_mac, &peer6);
    advertise(&w, &other, other_mac, 0); /* none is left: it goes on as it is */
    we_send(&w, &flow, "payload");
    expect_sent(&w, other_mac, &stranger6);
    ip_flow_close(w.ip, &flow);
    ip_flow_close(w.ip, &near);
    world_close(&w);
}

static void test_vlan_header_is_accounted_for(void **state)
{
    struct ip_flow flow = {.local = us6, .remote = peer6};
    struct ip_flow flow4 = {.local = ip_addr_v4(us), .remote = ip_addr_v4(peer)};
    struct nmio_frame *frame;
    struct world w;

    world_open_with(&w, false, 7);
    introduce6(&w, peer_mac, &peer6); /* whose frame eth has untagged */
    assert_memory_equal(w.got.data + 12, "\x81\0\0\7\x86\xdd", 6);
    assert_int_equal(ip_flow_open(w.ip, &flow, w.now_ns), 0);
    frame = ip_frame(w.ip, &flow, IP_PROTO_TCP, 0);
    assert_int_equal(frame->header_len, 18 + 40);
    ip_send(w.ip, &flow, frame, w.now_ns);
    assert_non_null(link_hears(&w));
    assert_int_equal(w.got.len, 58);
    assert_memory_equal(w.got.data, peer_mac, 6);
    assert_memory_equal(w.got.data + 12, "\x81\0\0\7\x86\xdd\x60", 7);
    assert_int_equal(get_be16(w.got.data + 22), 0);
    ip_flow_close(w.ip, &flow);
    assert_int_equal(ip_flow_open(w.ip, &flow4, w.now_ns), 0);
    frame = ip_frame(w.ip, &flow4, IP_PROTO_TCP, 0);
    assert_int_equal(frame->header_len, 18 + 20);
    ip_flow_close(w.ip, &flow4);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_datagrams_on),
        cmocka_unit_test(test_big_received_frame),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_accepts_what_only_looks_odd),
        cmocka_unit_test(test_group_frame_with_unicast_packet),
        cmocka_unit_test(test_udp_needs_a_checksum),
        cmocka_unit_test(test_extension_headers),
        cmocka_unit_test(test_problems_that_nobody_is_told_of),
        cmocka_unit_test(test_jumbogram),
        cmocka_unit_test(test_chains_of_every_length),
        cmocka_unit_test(test_chains_with_any_bit_changed),
        cmocka_unit_test(test_flow_goes_where_its_remote_is),
        cmocka_unit_test(test_flow_label),
        cmocka_unit_test(test_flows_that_lead_nowhere),
        cmocka_unit_test(test_flow_follows_the_router),
        cmocka_unit_test(test_vlan_header_is_accounted_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/* Datagrams that arrive and what becomes of them, and where ours go. */
#include <errno.h>

#include "ip/link6_test.h"

/* --- in --------------------------------------------------------------------------------------- */

static void test_hands_datagrams_on(void **state)
{
    uint8_t bytes[100] = {0};
    struct ip_addr src = ip_addr_v4(peer), dst = ip_addr_v4(us);
    struct nmio_pkt pkt = {
        .data = bytes, .len = 60, .flags = NMIO_PKT_CSUM_OK, .gso_size = 1448}; /* padded */
    struct world w;

    world_open(&w);
    make(bytes, IP_PROTO_TCP, "transport", 9);
    assert_int_equal(arrives(&w, bytes, 60), IP_TCP);
    assert_true(ip_addr_equal(&w.dgram.src, &src));
    assert_true(ip_addr_equal(&w.dgram.dst, &dst));
    assert_ptr_equal(w.dgram.payload, bytes + 20);
    assert_int_equal(w.dgram.len, 9);
    assert_int_equal(w.dgram.header_len, 20);
    assert_int_equal(w.dgram.proto, IP_PROTO_TCP);
    assert_int_equal(w.dgram.ttl, 57);
    assert_int_equal(w.dgram.tos, 0x2a);
    assert_int_equal(w.dgram.gso_size, 0);
    assert_false(w.dgram.csum_ok);
    assert_int_equal(ip_input(w.ip, &pkt, &w.dgram, &w.error, w.now_ns), IP_TCP);
    w.handed_on++;
    assert_int_equal(w.dgram.gso_size, 1448);
    assert_true(w.dgram.csum_ok);
    make(bytes, IP_PROTO_UDP, "", 0);
    assert_int_equal(arrives(&w, bytes, 20), IP_UDP);
    assert_int_equal(w.dgram.len, 0);
    expect_silence(&w);
    world_close(&w);
}

static void test_big_received_frame(void **state)
{
    uint8_t *bytes = malloc(65535), *payload = calloc(1, 65515);
    struct world w;

    world_open(&w);
    make(bytes, IP_PROTO_TCP, payload, 65515);
    assert_int_equal(arrives(&w, bytes, 65535), IP_TCP);
    assert_int_equal(w.dgram.len, 65515);
    assert_int_equal(arrives(&w, bytes, 65534), IP_DONE);
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
        {0, 1, "\x65", COUNTER(drop_short)}, /* IPv6, and longer than it is */
        {0, 1, "\x55", COUNTER(drop_version)},
        {0, 1, "\x05", COUNTER(drop_version)},
        {0, 1, "\x44", COUNTER(drop_version)},
        {0, 1, "\x40", COUNTER(drop_version)},
        {0, 1, "\x4f", COUNTER(drop_short)},
        {2, 2, "\0\x13", COUNTER(drop_short)},
        {2, 2, "\0\0", COUNTER(drop_short)},
        {2, 2, "\0\x1e", COUNTER(drop_short)},
        {2, 2, "\xff\xff", COUNTER(drop_short)},
        {6, 2, "\x20\0", COUNTER(drop_fragment)},
        {6, 2, "\0\1", COUNTER(drop_fragment)},
        {6, 2, "\x1f\xff", COUNTER(drop_fragment)},
        {6, 2, "\x60\0", COUNTER(drop_fragment)},
        {9, 1, "\x84", COUNTER(drop_proto)},
        {9, 1, "\0", COUNTER(drop_proto)},
        {12, 4, us, COUNTER(drop_source)},
        {12, 4, us_too, COUNTER(drop_source)},
        {12, 4, "\0\0\0\0", COUNTER(drop_source)},
        {12, 4, "\0\1\2\3", COUNTER(drop_source)},
        {12, 4, "\177\0\0\1", COUNTER(drop_source)},
        {12, 4, "\340\0\0\1", COUNTER(drop_source)},
        {12, 4, "\360\0\0\1", COUNTER(drop_source)},
        {12, 4, "\377\377\377\377", COUNTER(drop_source)},
        {12, 4, "\300\0\2\377", COUNTER(drop_source)}, /* the link's broadcast address */
        {16, 4, peer, COUNTER(drop_not_ours)},
        {16, 4, "\300\0\2\377", COUNTER(drop_not_ours)},
        {16, 4, "\340\0\0\1", COUNTER(drop_not_ours)},
        {16, 4, "\377\377\377\377", COUNTER(drop_not_ours)},
        {16, 4, "\177\0\0\1", COUNTER(drop_not_ours)},
    };
    uint8_t bytes[29];
    struct world w;

    for (size_t i = 0; i < array_len(cases); i++) {
        const uint64_t *counter;

        world_open(&w);
        counter = counter_at(&w, cases[i].counter);
        make(bytes, IP_PROTO_TCP, "transport", 9);
        memcpy(bytes + cases[i].at, cases[i].value, cases[i].bytes);
        if ((bytes[0] & 15) == 5)
            seal(bytes);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(*counter, 1);
        if (cases[i].counter != COUNTER(drop_proto)) /* who is told so */
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
        {8, 1, "\0"},            /* TTL 0 is for routers to drop (RFC 1122 3.2.1.7) */
        {6, 2, "\x80\0"},        /* a reserved bit */
        {6, 2, "\0\0"},          /* without DF */
        {12, 4, "\12\0\0\0"},    /* in a /31 both addresses are hosts (RFC 3021) */
        {12, 4, "\300\0\3\377"}, /* nobody's broadcast address that we know of */
        {16, 4, us_too},
    };
    uint8_t bytes[29];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        make(bytes, IP_PROTO_TCP, "transport", 9);
        memcpy(bytes + cases[i].at, cases[i].value, cases[i].bytes);
        seal(bytes);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_TCP);
    }
    world_close(&w);
}

static void test_options(void **state)
{
    static const struct {
        const char *options; /* 8 bytes */
        bool good;
    } cases[] = {
        {"\1\1\1\1\1\1\1\1", true},    {"\0\203\1\1\1\1\1\1", true},  /* nothing follows the end */
        {"\224\4\0\0\0\0\0\0", true},                                 /* router alert */
        {"\7\7\4\0\0\0\0\0", true},                                   /* record route, full */
        {"\1\1\1\1\1\1\7\2", true},    {"\203\7\4\0\0\0\0\0", false}, /* loose source route */
        {"\211\7\4\0\0\0\0\0", false},                                /* strict source route */
        {"\1\1\1\211\3\4\0\0", false}, {"\7\1\0\0\0\0\0\0", false},   /* shorter than itself */
        {"\7\0\0\0\0\0\0\0", false},   {"\7\11\4\0\0\0\0\0", false},  /* longer than the header */
        {"\1\1\1\1\1\1\1\7", false},                                  /* no length */
    };
    uint8_t bytes[28 + 9];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint8_t payload[17];

        memcpy(payload, cases[i].options, 8);
        memcpy(payload + 8, "transport", 9);
        make(bytes, IP_PROTO_TCP, payload, sizeof(payload));
        bytes[0] = 0x47;
        seal(bytes);
        if (cases[i].good) {
            assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_TCP);
            assert_int_equal(w.dgram.header_len, 28);
            assert_int_equal(w.dgram.len, 9);
            assert_memory_equal(w.dgram.payload, "transport", 9);
        } else {
            assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        }
    }
    for (size_t i = 0; i < array_len(cases); i++) { /* with nothing behind them */
        uint8_t *exact = malloc(28);

        make(bytes, IP_PROTO_TCP, cases[i].options, 8);
        bytes[0] = 0x47;
        seal(bytes);
        memcpy(exact, bytes, 28);
        assert_int_equal(arrives(&w, exact, 28), cases[i].good ? IP_TCP : IP_DONE);
        free(exact);
    }
    assert_int_equal(ip_stats(w.ip)->drop_options, 14);
    world_close(&w);
}

/* --- flows ------------------------------------------------------------------------------------ */

static int flow_open(struct world *w, struct ip_flow *flow, const char *local, const char *remote)
{
    flow->local = ip_addr_v4(local);
    flow->remote = ip_addr_v4(remote);
    return ip_flow_open(w->ip, flow, w->now_ns);
}

static void test_flow_goes_where_its_remote_is(void **state)
{
    static const struct {
        const char *remote;
        const uint8_t *mac;
    } cases[] = {{peer, peer_mac}, {stranger, gateway_mac}, {gateway, gateway_mac}};
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        struct nmio_frame *frame;
        struct ip_flow flow;
        const uint8_t *payload;
        uint32_t len;

        assert_int_equal(flow_open(&w, &flow, us, cases[i].remote), 0);
        frame = ip_frame(w.ip, &flow, IP_PROTO_TCP, 2);
        memcpy(frame->header + frame->header_len, "head", 4);
        frame->header_len += 4;
        frame->slices[0] = (struct nmio_slice){.data = (const uint8_t *)"payload", .len = 7};
        frame->slice_count = 1;
        ip_send(w.ip, &flow, frame, w.now_ns);
        payload = expect_dgram(&w, cases[i].mac, IP_PROTO_TCP, us, cases[i].remote, &len);
        assert_int_equal(w.got.data[15], 2);
        assert_int_equal(len, 11);
        assert_memory_equal(payload, "headpayload", 11);
        ip_flow_close(w.ip, &flow);
    }
    world_close(&w);
}

static void test_checksums_of_all_lengths_hold(void **state)
{
    uint8_t *data = calloc(1, 65535);
    struct ip_flow flow;
    struct world w;

    world_open(&w);
    assert_int_equal(flow_open(&w, &flow, us, peer), 0);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t payload_len = i < 1480 ? i : (uint32_t)(i * 21), len;
        uint8_t tos = (uint8_t)(i * 37);
        struct nmio_frame *frame = ip_frame(w.ip, &flow, (uint8_t)(i * 101), tos);

        if (payload_len > 1480) {
            frame->gso_size = 1460;
            frame->csum_start = frame->header_len;
            frame->csum_offset = 16;
        }
        frame->slices[0] = (struct nmio_slice){.data = data, .len = payload_len};
        frame->slice_count = 1;
        ip_send(w.ip, &flow, frame, w.now_ns);
        expect_dgram(&w, peer_mac, (uint8_t)(i * 101), us, peer, &len);
        assert_int_equal(w.got.data[15], tos);
        assert_int_equal(len, payload_len);
    }
    ip_flow_close(w.ip, &flow);
    assert_int_equal(ip_payload_max(w.ip, &flow), MTU - 20);
    assert_int_equal(ip_gso_payload_max(w.ip, &flow), 65535 - 20);
    world_close(&w);
    free(data);
}

static void test_flows_that_lead_nowhere(void **state)
{
    static const struct {
        const char *local, *remote;
        int rc;
    } cases[] = {
        {peer, stranger, -EADDRNOTAVAIL},
        {us, us, -ENETUNREACH},
        {us, us_too, -ENETUNREACH},
        {us, "\300\0\2\377", -ENETUNREACH},
        {us, "\377\377\377\377", -ENETUNREACH},
        {us, "\340\0\0\1", -ENETUNREACH},
        {us, "\177\0\0\1", -ENETUNREACH},
        {us, "\0\0\0\0", -ENETUNREACH},
    };
    struct ip_flow flow;
    struct world w;
    char remote[4];

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(flow_open(&w, &flow, cases[i].local, cases[i].remote), cases[i].rc);
    w.ip->has_gateway = false;
    assert_int_equal(flow_open(&w, &flow, us, stranger), -ENETUNREACH);
    memcpy(remote, us, 4);
    for (int i = 0; i < 14; i++) { /* as many neighbours as the gateways leave places */
        remote[3] = (char)(100 + i);
        assert_int_equal(flow_open(&w, &flow, us, remote), 0);
    }
    remote[3] = 99;
    assert_int_equal(flow_open(&w, &flow, us, remote), -ENOBUFS);
    world_close(&w);
}

static void test_open_refuses(void **state)
{
    struct ip_addr ok = ip_addr_v4(us), loopback = ip_addr_v4("\177\0\0\1"), v6 = {{0x20, 1}},
                   link_broadcast = ip_addr_v4("\300\0\2\377"), far = ip_addr_v4(stranger);
    struct ip_prefix prefix;
    struct ip_config config = {.prefixes = &prefix, .prefix_count = 1};
    struct ip *ip;
    struct world w;

    world_open(&w);
    config.arena = w.arena;
    config.eth = w.eth;
    prefix = (struct ip_prefix){v6, 64}; /* eth does not know it */
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    prefix = (struct ip_prefix){us6, 129};
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    prefix = (struct ip_prefix){ok, 33};
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    prefix = (struct ip_prefix){loopback, 8};
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    prefix = (struct ip_prefix){link_broadcast, 24};
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    prefix = (struct ip_prefix){ok, 24};
    config.gateway = &far;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    config.gateway = &ok;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    config.gateway = &v6;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    config.gateway = NULL;
    config.gateway6 = &ok;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    config.gateway6 = &stranger6;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    prefix = (struct ip_prefix){us6, 64};
    config.gateway6 = &us6;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    config.gateway6 = &router6; /* link-local is on the link */
    assert_int_equal(ip_open(&ip, &config, 0), 0);
    config.gateway6 = NULL;
    config.prefix_count = 0;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    world_close(&w);
}

static void test_range_of_addresses(void **state)
{
    static const struct {
        const char *addr;
        bool ours;
    } cases[] = {{"10.0.0.255", false}, {"10.0.1.0", true},   {"10.0.1.255", true},
                 {"10.0.2.43", true},   {"10.0.2.44", false}, {"192.0.2.2", true},
                 {"192.0.2.3", false},  {"::a00:100", false}};
    struct ip_prefix prefixes[2];
    uint32_t counts[] = {300, 0};
    struct ip_config config = {.prefixes = prefixes, .prefix_count = 2, .counts = counts};
    struct ip_flow flow;
    struct ip *ip;
    struct world w;

    world_open(&w);
    config.arena = w.arena;
    config.eth = w.eth;
    assert_int_equal(ip_prefix_parse("10.0.1.0/8", &prefixes[0]), 0);
    assert_int_equal(ip_prefix_parse("192.0.2.2/24", &prefixes[1]), 0);
    assert_int_equal(ip_open(&ip, &config, 0), 0);
    for (size_t i = 0; i < array_len(cases); i++) {
        struct ip_addr addr;

        assert_int_equal(ip_addr_parse(cases[i].addr, &addr), 0);
        assert_int_equal(ip_addr_is_ours(ip, &addr), cases[i].ours);
    }
    assert_int_equal(ip_addr_parse("10.0.2.43", &flow.local), 0);
    assert_int_equal(ip_addr_parse("10.0.2.44", &flow.remote), 0);
    assert_int_equal(ip_flow_open(ip, &flow, w.now_ns), 0);
    flow.remote = prefixes[0].addr; /* nobody talks to himself */
    assert_int_equal(ip_flow_open(ip, &flow, w.now_ns), -ENETUNREACH);
    counts[0] = UINT32_MAX; /* into addresses that no host can have */
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
    world_close(&w);
}

/* Strangers who claim to be on the link can fill the table of neighbours: everybody behind the
 * gateways is served all the same. */
static void test_gateways_keep_their_places(void **state)
{
    struct ip_flow flow = {.local = ip_addr_v4(us)}, far = {.local = ip_addr_v4(us)};
    struct ip_flow far6 = {.local = us6, .remote = {{0x20, 1, 0x0d, 0xb8, 0xff, 0xff, [15] = 1}}};
    uint8_t host[4];
    struct world w;
    int held = 0;

    world_open(&w);
    memcpy(host, us, 4);
    for (host[3] = 100; host[3] < 200; host[3]++) {
        flow.remote = ip_addr_v4(host);
        held += ip_flow_open(w.ip, &flow, w.now_ns) == 0;
    }
    assert_in_range(held, 1, 99);
    while (link_hears(&w))
        ;
    far.remote = ip_addr_v4(stranger);
    assert_int_equal(ip_flow_open(w.ip, &far, w.now_ns), 0);
    assert_int_equal(ip_flow_open(w.ip, &far6, w.now_ns), 0);
    ip_send(w.ip, &far, ip_frame(w.ip, &far, IP_PROTO_TCP, 0), w.now_ns);
    ip_send(w.ip, &far6, ip_frame(w.ip, &far6, IP_PROTO_TCP, 0), w.now_ns);
    for (int i = 0; i < 2; i++) {
        assert_non_null(link_hears(&w));
        assert_memory_equal(w.got.data, gateway_mac, 6);
    }
    ip_flow_close(w.ip, &far);
    ip_flow_close(w.ip, &far6);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_datagrams_on),
        cmocka_unit_test(test_big_received_frame),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_accepts_what_only_looks_odd),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_flow_goes_where_its_remote_is),
        cmocka_unit_test(test_checksums_of_all_lengths_hold),
        cmocka_unit_test(test_flows_that_lead_nowhere),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_range_of_addresses),
        cmocka_unit_test(test_gateways_keep_their_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

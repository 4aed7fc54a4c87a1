// SPDX-License-Identifier: BSD-2-Clause
/*
 * Traces: datagrams that arrive and what becomes of them. The test is everybody else on the link:
 * it has the other end of the pipe.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ip/priv.h"

#define MTU       1500
#define GSO_BYTES 65535

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 0x10};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0xaa};
static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 0xbb};
static const char us[] = "\300\0\2\1";          /* 192.0.2.1/24 */
static const char us_too[] = "\12\0\0\1";       /* 10.0.0.1/31: has no broadcast address */
static const char peer[] = "\300\0\2\2";        /* 192.0.2.2 */
static const char gateway[] = "\300\0\2\376";   /* 192.0.2.254 */
static const char stranger[] = "\306\63\144\1"; /* 198.51.100.1 */

struct world {
    struct mem_arena *arena;
    struct nmio_port *ends[2]; /* ours, the link's */
    struct eth *eth;
    struct ip *ip;
    uint64_t now_ns;
    struct nmio_pkt got; /* what we sent last */
    bool lent;
    struct ip_dgram dgram;
    struct ip_error error;
    uint64_t handed_on;
};

static const struct nmio_pkt *link_hears(struct world *w)
{
    if (w->lent)
        nmio_rx_done(w->ends[1]);
    w->lent = nmio_rx(w->ends[1], &w->got, 1, w->now_ns) == 1;
    return w->lent ? &w->got : NULL;
}

/* The neighbour asks for us, so that we know it. */
static void introduce(struct world *w, const uint8_t *mac, const char *ip4)
{
    uint8_t frame[42] = "\377\377\377\377\377\377......\x08\x06\0\1\x08\0\6\4\0\1";
    struct nmio_pkt pkt = {.data = frame, .len = sizeof(frame)};

    memcpy(frame + 6, mac, 6);
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, ip4, 4);
    memset(frame + 32, 0, 6);
    memcpy(frame + 38, us, 4);
    assert_int_equal(eth_input(w->eth, &pkt, w->now_ns), ETH_DONE);
    assert_non_null(link_hears(w));
}

static void world_open(struct world *w)
{
    struct nmio_pipe_config pipe = {.caps = {.mtu = MTU,
                                             .gso_bytes = GSO_BYTES,
                                             .tx_csum = true,
                                             .slices_max = NMIO_SLICES_MAX},
                                    .depth = 64};
    struct ip_addr addrs[] = {ip_addr_v4(us), ip_addr_v4(us_too)};
    struct ip_prefix prefixes[] = {{addrs[0], 24}, {addrs[1], 31}};
    struct ip_addr via = ip_addr_v4(gateway);
    struct eth_config eth = {.addrs = addrs, .addr_count = 2, .neigh_max = 16};
    struct ip_config ip = {.prefixes = prefixes, .prefix_count = 2, .gateway = &via};

    *w = (struct world){.now_ns = 1000 * NS_PER_S};
    memcpy(pipe.caps.mac, our_mac, 6);
    assert_int_equal(mem_arena_open(&w->arena, 64u << 20, 0), 0);
    assert_int_equal(nmio_pipe_open(w->ends, w->arena, &pipe), 0);
    eth.arena = ip.arena = w->arena;
    eth.port = w->ends[0];
    assert_int_equal(eth_open(&w->eth, &eth, w->now_ns), 0);
    ip.eth = w->eth;
    assert_int_equal(ip_open(&w->ip, &ip, w->now_ns), 0);
    introduce(w, peer_mac, peer);
    introduce(w, gateway_mac, gateway);
}

static uint64_t accounted_for(const struct world *w)
{
    const struct ip_stats *s = ip_stats(w->ip);

    return w->handed_on + s->icmp_echo_in + s->icmp_errors_in + s->icmp_ignored + s->drop_ip6 +
           s->drop_short + s->drop_version + s->drop_checksum + s->drop_fragment +
           s->drop_not_ours + s->drop_source + s->drop_options + s->drop_proto +
           s->drop_icmp_checksum + s->drop_icmp_malformed + s->drop_icmp_stray + s->drop_icmp_big;
}

static void world_close(struct world *w)
{
    assert_int_equal(accounted_for(w), ip_stats(w->ip)->rx_packets);
    assert_int_equal(stat_get(&w->ip->echo_chunks.in_use), 0);
    if (w->lent)
        nmio_rx_done(w->ends[1]);
    ip_close(w->ip);
    eth_close(w->eth);
    nmio_close(w->ends[0]);
    nmio_close(w->ends[1]);
    mem_arena_close(w->arena);
}

/* --- datagrams made by hand ------------------------------------------------------------------ */

static uint16_t checksum(const void *data, size_t len)
{
    return (uint16_t)~ip_sum_fold(ip_sum(0, data, len));
}

static void seal(uint8_t *bytes)
{
    struct ip4_header *h = (struct ip4_header *)bytes;
    size_t len = (h->version_ihl & 15) * 4u;
    uint16_t sum;

    memset(h->checksum, 0, 2);
    sum = checksum(h, max_u64(len, sizeof(*h)));
    memcpy(h->checksum, &sum, 2);
}

static void seal_icmp(uint8_t *bytes)
{
    const struct ip4_header *h = (const struct ip4_header *)bytes;
    uint32_t header_len = (h->version_ihl & 15) * 4u;
    struct icmp_header *icmp = (struct icmp_header *)(bytes + header_len);
    uint16_t sum;

    memset(icmp->checksum, 0, 2);
    sum = checksum(icmp, get_be16(h->total_len) - header_len);
    memcpy(icmp->checksum, &sum, 2);
}

/* From the peer to us. */
static uint32_t make(uint8_t *bytes, uint8_t proto, const void *payload, uint32_t len)
{
    struct ip4_header *h = (struct ip4_header *)bytes;

    *h = (struct ip4_header){.version_ihl = 0x45, .tos = 0x2a, .ttl = 57, .proto = proto};
    put_be16(h->total_len, (uint16_t)(sizeof(*h) + len));
    put_be16(h->id, 0x1234);
    put_be16(h->frag, IP4_FRAG_DF);
    memcpy(h->src, peer, 4);
    memcpy(h->dst, us, 4);
    memcpy(h + 1, payload, len);
    seal(bytes);
    return (uint32_t)sizeof(*h) + len;
}

static uint32_t make_echo(uint8_t *bytes, uint32_t data_len)
{
    uint8_t *icmp = malloc(8 + data_len);
    uint32_t len;

    memcpy(icmp, "\x08\0\0\0\x12\x34\0\1", 8);
    for (uint32_t i = 0; i < data_len; i++)
        icmp[8 + i] = (uint8_t)(i * 7 + 1);
    len = make(bytes, IP_PROTO_ICMP, icmp, 8 + data_len);
    seal_icmp(bytes);
    free(icmp);
    return len;
}

static enum ip_verdict arrives(struct world *w, uint8_t *bytes, uint32_t len)
{
    struct nmio_pkt pkt = {.data = bytes, .len = len};
    enum ip_verdict verdict = ip_input(w->ip, &pkt, &w->dgram, &w->error, w->now_ns);

    if (verdict == IP_TCP || verdict == IP_UDP)
        w->handed_on++;
    return verdict;
}

/* A datagram of ours that is in order: Ethernet and IP header checked. Returns its payload. */
static const uint8_t *expect_dgram(struct world *w, const uint8_t *mac, uint8_t proto,
                                   const char *src, const char *dst, uint32_t *len)
{
    const struct nmio_pkt *pkt = link_hears(w);
    const struct ip4_header *h;

    assert_non_null(pkt);
    assert_memory_equal(pkt->data, mac, 6);
    assert_memory_equal(pkt->data + 6, our_mac, 6);
    assert_int_equal(get_be16(pkt->data + 12), ETH_TYPE_IP4);
    h = (const struct ip4_header *)(pkt->data + 14);
    assert_int_equal(h->version_ihl, 0x45);
    assert_int_equal(get_be16(h->total_len), pkt->len - 14);
    assert_int_equal(get_be16(h->id), 0);
    assert_int_equal(get_be16(h->frag), IP4_FRAG_DF);
    assert_int_equal(h->ttl, 64);
    assert_int_equal(h->proto, proto);
    assert_int_equal(checksum(h, sizeof(*h)), 0);
    assert_memory_equal(h->src, src, 4);
    assert_memory_equal(h->dst, dst, 4);
    *len = pkt->len - 14 - (uint32_t)sizeof(*h);
    return (const uint8_t *)(h + 1);
}

static void expect_silence(struct world *w)
{
    assert_null(link_hears(w));
}

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

#define COUNTER(name) offsetof(struct ip_stats, name)

static const uint64_t *counter_at(const struct world *w, size_t offset)
{
    return (const uint64_t *)ip_stats(w->ip) + offset / sizeof(uint64_t);
}

static void test_refuses(void **state)
{
    static const struct {
        size_t at, bytes;
        const char *value;
        size_t counter;
    } cases[] = {
        {0, 1, "\x65", COUNTER(drop_ip6)},
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
    assert_int_equal(ip_stats(w.ip)->drop_options, 7);
    world_close(&w);
}

/* --- echo ---------------------------------------------------------------------------------------
 */

static void test_answers_echoes_of_every_size(void **state)
{
    uint8_t bytes[MTU];
    struct world w;

    world_open(&w);
    for (uint32_t data_len = 0; data_len <= MTU - 28; data_len += data_len < 100 ? 1 : 97) {
        const uint8_t *icmp;
        uint32_t len;

        w.now_ns += NS_PER_S;
        make_echo(bytes, data_len);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
        assert_int_equal(w.got.data[15], 0x28); /* type of service without ECN */
        assert_int_equal(len, 8 + data_len);
        assert_int_equal(icmp[0], ICMP_ECHO_REPLY);
        assert_int_equal(checksum(icmp, len), 0);
        assert_memory_equal(icmp + 4, bytes + 24, len - 4);
        expect_silence(&w);
    }
    world_close(&w);
}

static void test_echo_too_big(void **state)
{
    uint8_t bytes[MTU + 1];
    struct world w;

    world_open(&w);
    make_echo(bytes, MTU + 1 - 28);
    assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
    assert_int_equal(ip_stats(w.ip)->drop_icmp_big, 1);
    expect_silence(&w);
    world_close(&w);
}

static void test_echo_through_the_gateway(void **state)
{
    uint8_t bytes[64];
    uint32_t len;
    struct world w;

    world_open(&w);
    make_echo(bytes, 36);
    memcpy(bytes + 12, stranger, 4);
    seal(bytes);
    arrives(&w, bytes, sizeof(bytes));
    expect_dgram(&w, gateway_mac, IP_PROTO_ICMP, us, stranger, &len);
    world_close(&w);
}

static void test_echo_rate_is_limited(void **state)
{
    uint8_t bytes[64];
    uint32_t answered = 0;
    struct world w;

    world_open(&w);
    for (int i = 0; i < 200; i++) {
        make_echo(bytes, 36);
        arrives(&w, bytes, sizeof(bytes));
        answered += link_hears(&w) != NULL;
    }
    assert_int_equal(answered, ICMP_BURST);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_limited, 200 - ICMP_BURST);
    w.now_ns += 10 * NS_PER_MS; /* earns ten */
    for (int i = 0; i < 200; i++) {
        make_echo(bytes, 36);
        arrives(&w, bytes, sizeof(bytes));
        answered += link_hears(&w) != NULL;
    }
    assert_int_equal(answered, ICMP_BURST + 10);
    world_close(&w);
}

/* Damage is seen by a checksum or by a check before it; nothing is answered. */
static void test_echo_with_any_bit_flipped(void **state)
{
    uint8_t bytes[64];
    struct world w;

    world_open(&w);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        make_echo(bytes, 36);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(arrives(&w, bytes, sizeof(bytes)), IP_DONE);
        assert_int_equal(accounted_for(&w), bit + 1);
        expect_silence(&w);
    }
    assert_int_equal(ip_stats(w.ip)->icmp_echo_in, 0);
    world_close(&w);
}

/* The same with checksums that hold: whatever is answered is answered to a possible sender. */
static void test_echo_with_any_bit_changed(void **state)
{
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        uint8_t bytes[64];
        struct ip4_header *h = (struct ip4_header *)bytes;
        size_t byte = bit / 8;
        const struct nmio_pkt *pkt;
        struct world w;

        world_open(&w);
        make_echo(bytes, 36);
        bytes[byte] ^= (uint8_t)(1 << bit % 8);
        if (byte < 20 && byte != 0)
            seal(bytes);
        else if (byte >= 20)
            seal_icmp(bytes);
        arrives(&w, bytes, sizeof(bytes));
        assert_int_equal(accounted_for(&w), 1);
        pkt = link_hears(&w);
        if (pkt && get_be16(pkt->data + 12) == ETH_TYPE_IP4) {
            assert_memory_equal(pkt->data + 30, h->src, 4);
            assert_memory_equal(pkt->data + 26, us, 4);
            expect_silence(&w);
        }
        world_close(&w);
    }
}

/* --- errors in ----------------------------------------------------------------------------------
 */

/* An error about a TCP segment from us to the stranger, 8 bytes of it quoted. */
static uint32_t make_error(uint8_t *bytes, uint8_t type, uint8_t code, uint16_t mtu)
{
    uint8_t icmp[8 + 20 + 8] = {type, code};
    uint8_t sent[28];
    uint32_t len;

    put_be16(icmp + 6, mtu);
    make(sent, IP_PROTO_TCP, "\0\120\1\2seq.", 8);
    memcpy(sent + 12, us, 4);
    memcpy(sent + 16, stranger, 4);
    put_be16(sent + 2, 1500); /* what was sent was longer */
    memcpy(icmp + 8, sent, sizeof(sent));
    len = make(bytes, IP_PROTO_ICMP, icmp, sizeof(icmp));
    seal_icmp(bytes);
    return len;
}

static void test_errors_are_handed_on(void **state)
{
    static const struct {
        uint8_t type, code;
        uint16_t mtu_in, mtu_out;
    } cases[] = {{3, 1, 1400, 0}, {3, 3, 0, 0},  {3, 4, 1400, 1400},
                 {3, 4, 0, 0},    {11, 0, 7, 0}, {12, 0, 0, 0}};
    struct ip_addr src = ip_addr_v4(us), dst = ip_addr_v4(stranger);
    uint8_t bytes[100];
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < array_len(cases); i++) {
        uint32_t len = make_error(bytes, cases[i].type, cases[i].code, cases[i].mtu_in);

        assert_int_equal(arrives(&w, bytes, len), IP_ERROR);
        assert_int_equal(w.error.type, cases[i].type);
        assert_int_equal(w.error.code, cases[i].code);
        assert_int_equal(w.error.mtu, cases[i].mtu_out);
        assert_int_equal(w.error.proto, IP_PROTO_TCP);
        assert_true(ip_addr_equal(&w.error.src, &src));
        assert_true(ip_addr_equal(&w.error.dst, &dst));
        assert_int_equal(w.error.len, 8);
        assert_memory_equal(w.error.payload, "\0\120\1\2seq.", 8);
    }
    expect_silence(&w);
    world_close(&w);
}

static void test_errors_that_make_no_sense(void **state)
{
    static const struct {
        size_t at, bytes;
        const char *value;
        size_t counter;
    } cases[] = {
        {28, 1, "\x65", COUNTER(drop_icmp_malformed)},
        {28, 1, "\x44", COUNTER(drop_icmp_malformed)},
        {28, 1, "\x46", COUNTER(drop_icmp_malformed)},   /* less than 8 bytes are left */
        {30, 2, "\0\x1b", COUNTER(drop_icmp_malformed)}, /* shorter than what is quoted */
        {40, 4, peer, COUNTER(drop_icmp_stray)},         /* not from us */
        {40, 4, us_too, COUNTER(drop_icmp_stray)},       /* the error came to another address */
        {44, 4, us, COUNTER(drop_icmp_stray)},           /* to ourselves */
        {44, 4, "\340\0\0\1", COUNTER(drop_icmp_stray)}, /* to a group */
        {34, 2, "\0\1", COUNTER(drop_icmp_stray)},       /* not its first fragment */
        {37, 1, "\1", COUNTER(drop_icmp_stray)},         /* we do not ping */
        {20, 1, "\5", COUNTER(icmp_ignored)},            /* redirect */
        {20, 1, "\4", COUNTER(icmp_ignored)},            /* source quench */
        {20, 1, "\15", COUNTER(icmp_ignored)},           /* timestamp */
        {20, 1, "\0", COUNTER(icmp_ignored)},            /* echo reply */
        {20, 2, "\x08\1", COUNTER(drop_icmp_malformed)}, /* echo with a code */
        {26, 2, "\0\1", COUNTER(icmp_errors_in)},        /* unused field: none of these */
    };
    uint8_t bytes[100];

    for (size_t i = 0; i < array_len(cases); i++) {
        const uint64_t *counter;
        uint32_t len;
        struct world w;

        world_open(&w);
        counter = counter_at(&w, cases[i].counter);
        len = make_error(bytes, 3, 3, 0);
        memcpy(bytes + cases[i].at, cases[i].value, cases[i].bytes);
        seal_icmp(bytes);
        arrives(&w, bytes, len);
        assert_int_equal(*counter, 1);
        expect_silence(&w);
        world_close(&w);
    }
}

static void test_messages_of_every_length(void **state)
{
    uint8_t bytes[100];
    uint32_t full = make_error(bytes, 3, 3, 0);
    struct world w;

    world_open(&w);
    for (uint32_t len = 1; len < full; len++) {
        uint8_t *exact = malloc(len); /* so that a sanitizer sees a step too far */

        make_error(bytes, 3, 3, 0);
        if (len >= 20) {
            put_be16(bytes + 2, (uint16_t)len);
            seal(bytes);
        }
        if (len >= 28)
            seal_icmp(bytes);
        memcpy(exact, bytes, len);
        assert_int_equal(arrives(&w, exact, len), IP_DONE);
        assert_int_equal(accounted_for(&w), len);
        free(exact);
    }
    assert_int_equal(ip_stats(w.ip)->drop_icmp_malformed, full - 20);
    world_close(&w);
}

/* --- errors out ---------------------------------------------------------------------------------
 */

static void test_unreachable_quotes_the_datagram(void **state)
{
    uint8_t bytes[100];
    const uint8_t *icmp;
    uint32_t len;
    struct world w;

    world_open(&w);
    make(bytes, IP_PROTO_UDP, "sourdestlen.rest", 16);
    assert_int_equal(arrives(&w, bytes, 36), IP_UDP);
    ip_unreachable(w.ip, &w.dgram, 3, w.now_ns);
    icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
    assert_int_equal(len, 8 + 20 + 8);
    assert_memory_equal(icmp, "\3\3", 2);
    assert_memory_equal(icmp + 4, "\0\0\0\0", 4);
    assert_memory_equal(icmp + 8, bytes, 28);
    assert_int_equal(checksum(icmp, len), 0);

    make(bytes, 132, "sctp", 4); /* by itself, with what there is of it */
    assert_int_equal(arrives(&w, bytes, 24), IP_DONE);
    icmp = expect_dgram(&w, peer_mac, IP_PROTO_ICMP, us, peer, &len);
    assert_int_equal(len, 8 + 20 + 4);
    assert_memory_equal(icmp, "\3\2", 2);
    assert_memory_equal(icmp + 8, bytes, 24);
    world_close(&w);
}

static void test_errors_are_limited(void **state)
{
    uint8_t bytes[100];
    uint32_t sent = 0;
    struct world w;

    world_open(&w);
    for (int i = 0; i < 1000; i++) {
        make(bytes, IP_PROTO_UDP, "sourdestlen.rest", 16);
        assert_int_equal(arrives(&w, bytes, 36), IP_UDP);
        ip_unreachable(w.ip, &w.dgram, 3, w.now_ns);
        sent += link_hears(&w) != NULL;
    }
    assert_in_range(sent, ICMP_BURST / ICMP_ERROR_PRICE_MAX, ICMP_BURST - 1);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_out, sent);
    assert_int_equal(ip_stats(w.ip)->icmp_errors_limited, 1000 - sent);
    world_close(&w);
}

/* --- flows --------------------------------------------------------------------------------------
 */

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
    for (int i = 0; i < 16; i++) { /* as many as there are neighbours */
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
    prefix = (struct ip_prefix){v6, 64};
    assert_int_equal(ip_open(&ip, &config, 0), -EAFNOSUPPORT);
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
    assert_int_equal(ip_open(&ip, &config, 0), -EAFNOSUPPORT);
    config.gateway = NULL;
    config.prefix_count = 0;
    assert_int_equal(ip_open(&ip, &config, 0), -EINVAL);
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
        cmocka_unit_test(test_answers_echoes_of_every_size),
        cmocka_unit_test(test_echo_too_big),
        cmocka_unit_test(test_echo_through_the_gateway),
        cmocka_unit_test(test_echo_rate_is_limited),
        cmocka_unit_test(test_echo_with_any_bit_flipped),
        cmocka_unit_test(test_echo_with_any_bit_changed),
        cmocka_unit_test(test_errors_are_handed_on),
        cmocka_unit_test(test_errors_that_make_no_sense),
        cmocka_unit_test(test_messages_of_every_length),
        cmocka_unit_test(test_unreachable_quotes_the_datagram),
        cmocka_unit_test(test_errors_are_limited),
        cmocka_unit_test(test_flow_goes_where_its_remote_is),
        cmocka_unit_test(test_checksums_of_all_lengths_hold),
        cmocka_unit_test(test_flows_that_lead_nowhere),
        cmocka_unit_test(test_open_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

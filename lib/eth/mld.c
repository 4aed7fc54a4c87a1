// SPDX-License-Identifier: BSD-2-Clause
/*
 * mld.c - Multicast Listener Discovery (RFC 3810): switches that snoop on it (RFC 4541) send us the
 * frames of our solicited-node groups only if we say that we are in them.
 *
 * We are in a few groups for as long as we run, so a query of any kind is answered with all of
 * them. A querier of version 1 (RFC 2710) is answered in its own language.
 */
#include "eth/priv.h"

/* Frames of a report's records; also how many of them fit the smallest link. */
#define RECORDS_MAX                                                                                \
    ((IP6_MTU_MIN - sizeof(struct ip6_header) - sizeof(struct mld_hop_by_hop) -                    \
      sizeof(struct mld2_report)) /                                                                \
     sizeof(struct mld2_record))
#define HOP_LIMIT      1
#define MLD_REPORT     131
#define FLOAT_CODE_MIN 32768 /* RFC 3810 5.1.3 */

static const struct ip_addr all_mld2_routers = {{0xff, 2, [15] = 0x16}};

static bool in_use(const struct eth *eth, uint32_t i)
{
    return !ip_addr_is_v4(&eth->addrs[i]) && eth->addr_states[i] != ADDR_DUPLICATE;
}

/* The IPv6 header, and the hop-by-hop header that makes routers look. */
static struct nmio_frame *start(struct eth *eth, const struct ip_addr *dst)
{
    struct nmio_frame *frame = icmp6_frame(eth, ndp_link_local(eth), dst);
    struct ip6_header *h;
    struct mld_hop_by_hop *ext;

    if (!frame)
        return NULL;
    h = (struct ip6_header *)(frame->header + eth->header_len);
    h->next = IP6_NEXT_HOP_BY_HOP;
    h->hop_limit = HOP_LIMIT;
    ext = (struct mld_hop_by_hop *)(frame->header + frame->header_len);
    *ext = (struct mld_hop_by_hop){
        .next = IP6_NEXT_ICMP, .alert = {5, 2, 0, 0} /* RFC 2711 2.1: MLD */, .pad = {1, 0}};
    frame->header_len += sizeof(*ext);
    return frame;
}

static void send(struct eth *eth, struct nmio_frame *frame, const struct ip_addr *dst,
                 uint32_t message_at, uint64_t now_ns)
{
    uint8_t mac[ETH_MAC_BYTES];

    icmp6_group_mac(mac, dst);
    icmp6_send(eth, frame, mac, message_at, now_ns);
    stat_inc(&eth->stats.mld_reports_out);
}

/* RFC 2710 3 and 4: a report for each group, sent to it. */
static void report_old(struct eth *eth, const struct ip_addr *group, uint64_t now_ns)
{
    struct nmio_frame *frame = start(eth, group);
    struct mld_message *m;
    uint32_t message_at;

    if (!frame)
        return;
    message_at = frame->header_len;
    m = (struct mld_message *)(frame->header + message_at);
    memset(m, 0, sizeof(*m));
    m->icmp.type = MLD_REPORT;
    memcpy(m->group, group->b, sizeof(m->group));
    frame->header_len += sizeof(*m);
    send(eth, frame, group, message_at, now_ns);
}

/* RFC 3810 5.2: the groups of the addresses from *at on, as many as fit. */
static void report_some(struct eth *eth, uint32_t *at, uint8_t type, uint64_t now_ns)
{
    struct mem_chunk *chunk = mem_chunk_get(&eth->payloads);
    struct nmio_frame *frame = chunk ? start(eth, &all_mld2_routers) : NULL;
    struct mld2_record *record;
    struct mld2_report *report;
    uint32_t count = 0, message_at;

    if (!frame) {
        if (chunk)
            mem_chunk_put(chunk);
        *at = eth->addr_count; /* the next query brings us here again */
        return;
    }
    record = (struct mld2_record *)chunk->data;
    for (; *at < eth->addr_count && count < RECORDS_MAX; (*at)++) {
        struct ip_addr group = icmp6_solicited_group(&eth->addrs[*at]);

        if (!in_use(eth, *at))
            continue;
        *record = (struct mld2_record){.type = type};
        memcpy(record->group, group.b, sizeof(record->group));
        record++;
        count++;
    }
    if (count == 0) {
        mem_chunk_put(chunk);
        return;
    }
    message_at = frame->header_len;
    report = (struct mld2_report *)(frame->header + message_at);
    memset(report, 0, sizeof(*report));
    report->icmp.type = ICMP6_MLD2_REPORT;
    put_be16(report->record_count, (uint16_t)count);
    frame->header_len += sizeof(*report);
    frame->slices[0] = (struct nmio_slice){
        .data = chunk->data, .len = count * (uint32_t)sizeof(*record), .owner = chunk};
    frame->slice_count = 1;
    send(eth, frame, &all_mld2_routers, message_at, now_ns);
}

void mld_report(struct eth *eth, uint8_t record, uint64_t now_ns)
{
    uint32_t at = 0;

    if (now_ns < eth->mld_old_until_ns) {
        for (; at < eth->addr_count; at++) {
            struct ip_addr group = icmp6_solicited_group(&eth->addrs[at]);

            if (in_use(eth, at))
                report_old(eth, &group, now_ns);
        }
        return;
    }
    while (at < eth->addr_count)
        report_some(eth, &at, record, now_ns);
}

void mld_timer(struct eth *eth, uint64_t now_ns)
{
    mld_report(eth, MLD2_MODE_IS_EXCLUDE, now_ns);
}

/* RFC 3810 5.1.3: from 32768 on the code is a floating-point number. */
static uint64_t max_delay_ms(uint32_t code, bool old)
{
    if (old || code < FLOAT_CODE_MIN)
        return code;
    return (uint64_t)((code & 0xfff) | 0x1000) << (((code >> 12) & 7) + 3);
}

void mld_input(struct eth *eth, const struct eth_icmp6 *in, enum eth_origin origin, uint64_t now_ns)
{
    const struct mld_message *m = (const struct mld_message *)in->message;
    struct ip_addr group;
    uint64_t due_ns;
    bool old;

    if (origin == RELAYED)
        return;
    old = in->len == sizeof(*m);
    if (in->len < sizeof(*m) || (!old && in->len < MLD2_QUERY_BYTES) ||
        in->hop_limit != HOP_LIMIT || !in->router_alert || !ip_addr_is_link_local(&in->src)) {
        stat_inc(&eth->stats.drop_ndp_malformed);
        return;
    }
    memcpy(group.b, m->group, sizeof(group.b));
    if (!ip6_is_unspecified(&group) && !eth_is_our_group(eth, &group)) {
        stat_inc(&eth->stats.ndp_others_in);
        return;
    }
    stat_inc(&eth->stats.mld_queries_in);
    if (old)
        eth->mld_old_until_ns = now_ns + MLD_OLD_QUERIER_NS;
    due_ns = now_ns +
             rand_below(&eth->mld_delay, max_delay_ms(get_be16(m->max_delay), old) * NS_PER_MS + 1);
    if (!timer_armed(&eth->mld_timer) || due_ns < eth->mld_timer.due_ns)
        timer_arm(&eth->timers, &eth->mld_timer, due_ns);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "base/siphash.h"
#include "ip/priv.h"

/* --- the rate limit ------------------------------------------------------------------------- */

static void bucket_init(struct icmp_bucket *bucket, uint64_t per_s, uint64_t now_ns)
{
    bucket->last_ns = now_ns;
    bucket->token_ns = NS_PER_S / per_s;
    bucket->credit_ns = ICMP_BURST * bucket->token_ns;
}

bool icmp_bucket_take(struct icmp_bucket *bucket, uint64_t tokens, uint64_t now_ns)
{
    bucket->credit_ns =
        min_u64(bucket->credit_ns + (now_ns - bucket->last_ns), ICMP_BURST * bucket->token_ns);
    bucket->last_ns = now_ns;
    if (bucket->credit_ns < tokens * bucket->token_ns)
        return false;
    bucket->credit_ns -= tokens * bucket->token_ns;
    return true;
}

bool icmp_error_admitted(struct ip *ip, uint64_t now_ns)
{
    uint64_t price = 1 + rand_below(&ip->price, ICMP_ERROR_PRICE_MAX);

    if (icmp_bucket_take(&ip->errors, price, now_ns))
        return true;
    stat_inc(&ip->stats.icmp_errors_limited);
    return false;
}

int icmp_open(struct ip *ip, const struct ip_config *config, uint64_t now_ns)
{
    bucket_init(&ip->echo, ICMP_ECHO_PER_S, now_ns);
    bucket_init(&ip->errors, ICMP_ERRORS_PER_S, now_ns);
    rand_seed(&ip->price, siphash13(config->secret, "price", 5)); /* shows nothing of the secret */
    return mem_chunks_init(&ip->echo_chunks, config->arena,
                           (uint32_t)align_up(ip->caps->mtu, PAGE_BYTES), ICMP_ECHO_CHUNKS);
}

/* --- in ------------------------------------------------------------------------------------- */

/* The checksum of a message whose type word changes from `from` to `to` (RFC 1624 3, equation 3).
 * Of the two zeros of ones' complement it is the one that is never wrong: a message of nothing but
 * zeros does not add up with the other. */
static void checksum_adjust(uint8_t *checksum, uint16_t from, uint16_t to)
{
    uint32_t sum = (uint16_t)~get_be16(checksum);

    sum += (uint16_t)~from;
    sum += to;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(checksum, sum == 0xffff ? 0xffff : (uint16_t)~sum);
}

/* RFC 1122 3.2.2.6, RFC 4443 4.2. The answer has the request's type of service, but for its ECN
 * bits. The addresses change places, which a checksum does not see. */
void icmp_echo(struct ip *ip, const struct ip_dgram *request, uint64_t now_ns)
{
    bool v4 = ip_addr_is_v4(&request->dst);
    uint8_t reply = v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;
    struct ip_flow flow = {.local = request->dst, .remote = request->src};
    uint32_t data_len = request->len - sizeof(struct icmp_header);
    struct mem_chunk *data = NULL;
    struct icmp_header *h;
    struct nmio_frame *frame;

    if (request->len + (v4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES) >
        (v4 ? ip->caps->mtu : eth_ip6_mtu(ip->eth))) {
        stat_inc(&ip->stats.drop_icmp_big);
        return;
    }
    stat_inc(&ip->stats.icmp_echo_in);
    if (!icmp_bucket_take(&ip->echo, 1, now_ns)) {
        stat_inc(&ip->stats.icmp_errors_limited);
        return;
    }
    if (ip_flow_open(ip, &flow, now_ns) != 0) {
        stat_inc(&ip->stats.drop_no_route);
        return;
    }
    frame = ip_frame(ip, &flow, request->proto, request->tos & 0xfc);
    if (frame && data_len > 0)
        data = mem_chunk_get(&ip->echo_chunks);
    if (frame && data_len > 0 && !data)
        stat_inc(&ip->stats.icmp_errors_limited);
    if (frame && (data || data_len == 0)) {
        h = (struct icmp_header *)(frame->header + frame->header_len);
        memcpy(h, request->payload, sizeof(*h));
        checksum_adjust(h->checksum, (uint16_t)(h->type << 8), (uint16_t)(reply << 8));
        h->type = reply;
        frame->header_len += sizeof(*h);
        if (data) {
            memcpy(data->data, request->payload + sizeof(*h), data_len);
            frame->slices[0] =
                (struct nmio_slice){.data = data->data, .len = data_len, .owner = data};
            frame->slice_count = 1;
        }
        stat_inc(&ip->stats.icmp_echo_out);
        ip_send(ip, &flow, frame, now_ns);
    }
    ip_flow_close(ip, &flow);
}

static enum ip_error_kind error_kind(const struct icmp_header *icmp)
{
    switch (icmp->type) {
    case ICMP_TIME_EXCEEDED:
        return IP_ERROR_TIME_EXCEEDED;
    case ICMP_PARAMETER_PROBLEM:
        return IP_ERROR_PARAMETER;
    default:
        return icmp->code == ICMP_CODE_FRAG_NEEDED ? IP_ERROR_TOO_BIG : IP_ERROR_UNREACHABLE;
    }
}

/*
 * RFC 1122 3.2.2.1: an error carries the header and 8 bytes of the datagram that it is about. That
 * datagram must be one that we can have sent: from the address that the error came to, not a
 * fragment, of a transport. The transport checks the rest against its connections (RFC 5927 4).
 */
static enum ip_verdict error_input(struct ip *ip, const struct ip_dgram *dgram,
                                   struct ip_error *error)
{
    const struct icmp_header *icmp = (const struct icmp_header *)dgram->payload;
    const struct ip4_header *sent = (const struct ip4_header *)(icmp + 1);
    uint32_t sent_len = dgram->len - sizeof(*icmp);
    uint32_t header_len;

    if (sent_len < sizeof(*sent) + 8 || sent->version_ihl >> 4 != 4) {
        stat_inc(&ip->stats.drop_icmp_malformed);
        return IP_DONE;
    }
    header_len = (sent->version_ihl & 15u) * 4;
    if (header_len < sizeof(*sent) || sent_len < header_len + 8 ||
        get_be16(sent->total_len) < header_len + 8) {
        stat_inc(&ip->stats.drop_icmp_malformed);
        return IP_DONE;
    }
    error->src = ip_addr_v4(sent->src);
    error->dst = ip_addr_v4(sent->dst);
    if (!ip_addr_equal(&error->src, &dgram->dst) || !ip4_is_peer(ip, get_be32(sent->dst)) ||
        (get_be16(sent->frag) & IP4_FRAG_OFFSET) != 0 ||
        (sent->proto != IP_PROTO_TCP && sent->proto != IP_PROTO_UDP)) {
        stat_inc(&ip->stats.drop_icmp_stray);
        return IP_DONE;
    }
    error->payload = (const uint8_t *)sent + header_len;
    error->len = sent_len - header_len;
    error->proto = sent->proto;
    error->kind = error_kind(icmp);
    error->mtu = 0;
    if (error->kind == IP_ERROR_TOO_BIG)
        error->mtu = get_be16(icmp->rest + 2); /* RFC 1191 4 */
    stat_inc(&ip->stats.icmp_errors_in);
    return IP_ERROR;
}

/* Ignored on purpose: redirects (RFC 1122 3.2.2.2 asks to follow them, which lets anybody on the
 * link steer our traffic), source quench (RFC 6633), timestamps and masks, which only tell. */
enum ip_verdict icmp_input(struct ip *ip, const struct ip_dgram *dgram, struct ip_error *error,
                           uint64_t now_ns)
{
    const struct icmp_header *h = (const struct icmp_header *)dgram->payload;

    if (dgram->len < sizeof(*h)) {
        stat_inc(&ip->stats.drop_icmp_malformed);
        return IP_DONE;
    }
    if (ip_sum_fold(ip_sum(0, dgram->payload, dgram->len)) != 0xffff) {
        stat_inc(&ip->stats.drop_icmp_checksum);
        return IP_DONE;
    }
    switch (h->type) {
    case ICMP_ECHO:
        if (h->code == 0)
            icmp_echo(ip, dgram, now_ns);
        else
            stat_inc(&ip->stats.drop_icmp_malformed);
        return IP_DONE;
    case ICMP_UNREACHABLE:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETER_PROBLEM:
        return error_input(ip, dgram, error);
    default:
        stat_inc(&ip->stats.icmp_ignored);
        return IP_DONE;
    }
}

/* --- out ------------------------------------------------------------------------------------ */

void ip_unreachable(struct ip *ip, const struct ip_dgram *dgram, uint8_t code, uint64_t now_ns)
{
    struct ip_flow flow = {.local = dgram->dst, .remote = dgram->src};
    uint32_t quote = dgram->header_len + min_u32(dgram->len, 8); /* RFC 792 */
    struct nmio_frame *frame;
    struct icmp_header *h;
    uint16_t checksum;

    static_assert(ETH_HEADER_BYTES + 4 + IP4_HEADER_BYTES + sizeof(*h) + IP4_HEADER_MAX + 8 <=
                      NMIO_HEADER_MAX,
                  "an error needs no slice, not even behind a VLAN's tag");
    if (!ip_addr_is_v4(&dgram->dst)) {
        if (code == IP_UNREACHABLE_PORT)
            icmp6_error(ip, dgram, ICMP6_UNREACHABLE, ICMP6_CODE_PORT, 0, now_ns);
        else
            icmp6_error(ip, dgram, ICMP6_PARAMETER_PROBLEM, ICMP6_CODE_NEXT_HEADER,
                        offsetof(struct ip6_header, next), now_ns);
        return;
    }
    if (!icmp_error_admitted(ip, now_ns))
        return;
    if (ip_flow_open(ip, &flow, now_ns) != 0) {
        stat_inc(&ip->stats.drop_no_route);
        return;
    }
    frame = ip_frame(ip, &flow, IP_PROTO_ICMP, 0);
    if (frame) {
        h = (struct icmp_header *)(frame->header + frame->header_len);
        memset(h, 0, sizeof(*h));
        h->type = ICMP_UNREACHABLE;
        h->code = code;
        memcpy(h + 1, dgram->payload - dgram->header_len, quote);
        checksum = (uint16_t)~ip_sum_fold(ip_sum(0, h, sizeof(*h) + quote));
        memcpy(h->checksum, &checksum, sizeof(checksum));
        frame->header_len += (uint16_t)(sizeof(*h) + quote);
        stat_inc(&ip->stats.icmp_errors_out);
        ip_send(ip, &flow, frame, now_ns);
    }
    ip_flow_close(ip, &flow);
}

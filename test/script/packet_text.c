// SPDX-License-Identifier: BSD-2-Clause
/*
 * packet_text.c - packets as text, and whether one is what another asked for.
 */
#include "packet.h"

static const struct {
    char letter;
    uint8_t flag;
} flag_letters[] = {{'S', SYN}, {'F', FIN},        {'R', RST},        {'P', PSH},
                    {'U', URG}, {'E', PACKET_ECE}, {'W', PACKET_CWR}, {'.', ACK}};

static const char *const ecn_names[] = {"not-ect", "ect1", "ect0", "ce", NULL};

/* --- parse ------------------------------------------------------------------------------------ */

static void parse_flags(struct scan *s, struct packet *p)
{
    char word[16];

    scan_token(s, word, sizeof(word));
    if (strcmp(word, "-") == 0)
        return;
    for (const char *c = word; *c; c++) {
        size_t i = 0;

        while (i < array_len(flag_letters) && flag_letters[i].letter != *c)
            i++;
        if (i == array_len(flag_letters)) {
            scan_fail(s, "flags: letters of S F R P U E W and ., or -");
            return;
        }
        p->flags |= flag_letters[i].flag;
    }
}

/* "1", "1:1461", "*", "*:1460" (so many bytes, wherever). */
static void parse_seq(struct scan *s, struct packet *p)
{
    int64_t end;

    p->seq = scan_span(s);
    if (!scan_text(s, ":"))
        return;
    end = scan_number(s);
    if (!span_is_any(p->seq))
        end -= p->seq.lo;
    if (end < 0 || end > 1500)
        scan_fail(s, "an end of the payload, at most 1500 bytes behind its beginning");
    p->len = (uint32_t)end;
}

static void parse_block(struct scan *s, struct packet_option *o)
{
    if (o->block_count == PACKET_BLOCKS_MAX) {
        scan_fail(s, "at most four blocks");
        return;
    }
    o->blocks[o->block_count][0] = scan_span(s);
    if (!scan_text(s, ":"))
        scan_fail(s, "a block: LEFT:RIGHT");
    o->blocks[o->block_count++][1] = scan_span(s);
}

static void parse_option(struct scan *s, struct packet_option *o)
{
    o->value[0] = o->value[1] = SPAN_ANY;
    if (scan_word(s, "mss")) {
        o->kind = TCP_OPT_MSS;
        o->value[0] = scan_span(s);
    } else if (scan_word(s, "nop")) {
        o->kind = TCP_OPT_NOP;
    } else if (scan_word(s, "eol")) {
        o->kind = TCP_OPT_END;
    } else if (scan_word(s, "wscale")) {
        o->kind = TCP_OPT_WSCALE;
        o->value[0] = scan_span(s);
    } else if (scan_word(s, "sackOK")) {
        o->kind = OPTION_SACK_OK;
    } else if (scan_word(s, "sack")) {
        o->kind = OPTION_SACK;
        do
            parse_block(s, o);
        while (!s->error && *s->at == ' ');
    } else if (scan_word(s, "TS")) {
        o->kind = TCP_OPT_TIMESTAMPS;
        if (scan_word(s, "val"))
            o->value[0] = scan_span(s);
        if (scan_word(s, "ecr"))
            o->value[1] = scan_span(s);
    } else if (scan_word(s, "opt")) {
        o->kind = (uint8_t)scan_number(s);
        o->len = scan_hex(s, o->bytes, sizeof(o->bytes) - 2);
    } else if (scan_word(s, "raw")) {
        o->kind = OPTION_RAW;
        o->len = scan_hex(s, o->bytes, sizeof(o->bytes));
    } else {
        scan_fail(s, "an option: mss wscale sackOK sack TS nop eol opt raw");
    }
}

static void parse_options(struct scan *s, struct packet *p)
{
    do {
        if (scan_text(s, "...")) {
            p->more_options = true;
        } else if (p->option_count == PACKET_OPTIONS_MAX) {
            scan_fail(s, "fewer options");
        } else {
            parse_option(s, &p->options[p->option_count++]);
        }
    } while (scan_text(s, ","));
    if (!scan_text(s, ">"))
        scan_fail(s, "',' or '>'");
}

static bool parse_ecn(struct scan *s, struct packet *p)
{
    for (uint8_t i = 0; ecn_names[i]; i++)
        if (scan_word(s, ecn_names[i])) {
            p->ecn = i;
            return true;
        }
    return false;
}

static void parse_addr(struct scan *s, bool *has, uint8_t addr[4])
{
    *has = true;
    scan_ip4(s, addr);
}

static void parse_more(struct scan *s, struct packet *p)
{
    if (parse_ecn(s, p))
        return;
    if (scan_word(s, "port"))
        p->port = (uint16_t)scan_number(s);
    else if (scan_word(s, "our"))
        p->our_port = (uint16_t)scan_number(s);
    else if (scan_word(s, "times"))
        p->times = (uint32_t)scan_number(s);
    else if (scan_word(s, "badsum"))
        p->bad_sum = true;
    else if (scan_word(s, "doff"))
        p->data_off = (uint8_t)scan_number(s);
    else if (scan_word(s, "cut"))
        p->cut = (uint16_t)scan_number(s);
    else if (scan_word(s, "src"))
        parse_addr(s, &p->has_src, p->src);
    else if (scan_word(s, "dst"))
        parse_addr(s, &p->has_dst, p->dst);
    else if (scan_word(s, "ipopt"))
        p->ip_options_len = scan_hex(s, p->ip_options, sizeof(p->ip_options));
    else
        scan_fail(s, "ack, win, urg, <options>, port, our, an ECN codepoint, times, badsum, "
                     "doff, cut, src, dst or ipopt");
}

void packet_parse(struct scan *s, struct packet *p)
{
    *p = (struct packet){.ack = SPAN_ANY, .win = SPAN_ANY, .urg = SPAN_ANY, .times = 1};
    parse_flags(s, p);
    parse_seq(s, p);
    while (!scan_at_end(s)) {
        if (scan_word(s, "ack"))
            p->ack = scan_span(s);
        else if (scan_word(s, "win"))
            p->win = scan_span(s);
        else if (scan_word(s, "urg"))
            p->urg = scan_span(s);
        else if (scan_text(s, "<"))
            parse_options(s, p);
        else
            parse_more(s, p);
    }
}

/* --- format ----------------------------------------------------------------------------------- */

struct text {
    char *out;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->out + t->len, PACKET_TEXT_MAX - t->len, format, args);
    va_end(args);
    if (n > 0)
        t->len = min_u64(t->len + (size_t)n, PACKET_TEXT_MAX - 1);
}

static void put_span(struct text *t, struct span v)
{
    if (span_is_any(v))
        put(t, "*");
    else if (v.lo == v.hi)
        put(t, "%lld", (long long)v.lo);
    else if (v.hi == INT64_MAX)
        put(t, ">=%lld", (long long)v.lo);
    else if (v.lo == INT64_MIN)
        put(t, "<=%lld", (long long)v.hi);
    else
        put(t, "%lld..%lld", (long long)v.lo, (long long)v.hi);
}

static void put_named(struct text *t, const char *name, struct span v)
{
    if (span_is_any(v))
        return;
    put(t, " %s ", name);
    put_span(t, v);
}

static void put_option(struct text *t, const struct packet_option *o)
{
    switch (o->kind) {
    case TCP_OPT_END:
        put(t, "eol");
        return;
    case TCP_OPT_NOP:
        put(t, "nop");
        return;
    case TCP_OPT_MSS:
        put(t, "mss ");
        put_span(t, o->value[0]);
        return;
    case TCP_OPT_WSCALE:
        put(t, "wscale ");
        put_span(t, o->value[0]);
        return;
    case OPTION_SACK_OK:
        put(t, "sackOK");
        return;
    case OPTION_SACK:
        put(t, "sack");
        for (uint32_t i = 0; i < o->block_count; i++) {
            put(t, " ");
            put_span(t, o->blocks[i][0]);
            put(t, ":");
            put_span(t, o->blocks[i][1]);
        }
        return;
    case TCP_OPT_TIMESTAMPS:
        put(t, "TS");
        put_named(t, "val", o->value[0]);
        put_named(t, "ecr", o->value[1]);
        return;
    default:
        if (o->kind == OPTION_RAW)
            put(t, "raw ");
        else
            put(t, "opt %u ", o->kind);
        for (uint32_t i = 0; i < o->len; i++)
            put(t, "%02x", o->bytes[i]);
    }
}

const char *packet_format(const struct packet *p, char *out)
{
    struct text t = {.out = out};

    out[0] = '\0';
    if (p->flags == 0)
        put(&t, "-");
    for (size_t i = 0; i < array_len(flag_letters); i++)
        if (p->flags & flag_letters[i].flag)
            put(&t, "%c", flag_letters[i].letter);
    put(&t, " ");
    put_span(&t, p->seq);
    if (p->len && span_is_any(p->seq))
        put(&t, ":%u", p->len);
    else if (p->len)
        put(&t, ":%lld", (long long)p->seq.lo + p->len);
    put_named(&t, "ack", p->ack);
    put_named(&t, "win", p->win);
    if (p->flags & URG)
        put_named(&t, "urg", p->urg);
    if (p->option_count || p->more_options) {
        put(&t, " <");
        for (uint32_t i = 0; i < p->option_count; i++) {
            put(&t, "%s", i ? "," : "");
            put_option(&t, &p->options[i]);
        }
        put(&t, "%s>", !p->more_options ? "" : p->option_count ? ",..." : "...");
    }
    if (p->ecn)
        put(&t, " %s", ecn_names[p->ecn]);
    if (p->port)
        put(&t, " port %u", p->port);
    if (p->our_port)
        put(&t, " our %u", p->our_port);
    if (p->wrong)
        put(&t, " (%s)", p->wrong);
    return out;
}

/* --- match ------------------------------------------------------------------------------------ */

static bool option_matches(const struct packet_option *want, const struct packet_option *got)
{
    if (want->kind != got->kind || want->block_count != got->block_count)
        return false;
    for (int i = 0; i < 2; i++)
        if (!span_has(want->value[i], got->value[i].lo))
            return false;
    for (uint32_t i = 0; i < want->block_count; i++)
        if (!span_has(want->blocks[i][0], got->blocks[i][0].lo) ||
            !span_has(want->blocks[i][1], got->blocks[i][1].lo))
            return false;
    return want->len == got->len && memcmp(want->bytes, got->bytes, want->len) == 0;
}

static bool options_match(const struct packet *want, const struct packet *got)
{
    for (uint32_t i = 0; i < want->option_count; i++) {
        uint32_t j = 0;

        while (j < got->option_count && !option_matches(&want->options[i], &got->options[j]))
            j++;
        if (j == got->option_count)
            return false;
    }
    return want->more_options || want->option_count == got->option_count;
}

const char *packet_match(const struct packet *want, const struct packet *got)
{
    if (got->wrong)
        return got->wrong;
    if ((want->flags ^ got->flags) & ~PSH || (want->flags & PSH & ~got->flags))
        return "flags";
    if (!span_has(want->seq, got->seq.lo))
        return "seq";
    if (want->len != got->len)
        return "length";
    if ((got->flags & ACK) && !span_has(want->ack, got->ack.lo))
        return "ack";
    if (!span_has(want->win, got->win.lo))
        return "win";
    if ((got->flags & URG) && !span_has(want->urg, got->urg.lo))
        return "urg";
    if (!options_match(want, got))
        return "options";
    if (want->ecn != got->ecn)
        return "the ECN codepoint";
    if (want->port != got->port || want->our_port != got->our_port)
        return "port";
    return NULL;
}

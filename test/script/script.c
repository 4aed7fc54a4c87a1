// SPDX-License-Identifier: BSD-2-Clause
#include "script.h"

#define CASES_MAX      512
#define CASE_STEPS_MAX 256
#define DEFINES_MAX    32
#define WORD_MAX       32
#define FILE_MAX       (1u << 20)
#define PEER_MSS       1460 /* a larger frame does not fit the pipe */

#define TCP_FIELD(name, field, type)                                                               \
    {                                                                                              \
        name, type, offsetof(struct tcp_config, field)                                             \
    }
const struct config_desc config_descs[] = {
    TCP_FIELD("rcv_wnd", rcv_wnd_bytes, CONFIG_U32),
    TCP_FIELD("mss_max", mss_max, CONFIG_U16),
    TCP_FIELD("watermark_mss", watermark_mss, CONFIG_U32),
    TCP_FIELD("asked_max", asked_max_bytes, CONFIG_U32),
    TCP_FIELD("conns_max", conns_max, CONFIG_U32),
    TCP_FIELD("half_open_max", half_open_max, CONFIG_U32),
    TCP_FIELD("peer_conns_max", peer_conns_max, CONFIG_U32),
    TCP_FIELD("time_wait_max", time_wait_max, CONFIG_U32),
    TCP_FIELD("ecn", ecn, CONFIG_U32),
    TCP_FIELD("keepalive", keepalive_ns, CONFIG_NS),
    TCP_FIELD("user_timeout", user_timeout_ns, CONFIG_NS),
    TCP_FIELD("time_wait", time_wait_ns, CONFIG_NS),
    TCP_FIELD("fin_wait_2", fin_wait_2_ns, CONFIG_NS),
    TCP_FIELD("cc", cc, CONFIG_WORD),
    TCP_FIELD("pacing", pacing, CONFIG_FLAG),
    TCP_FIELD("mtu_probing", mtu_probing, CONFIG_U32),
    {"peer_iss", CONFIG_U32, CONFIG_HARNESS_PEER_ISS},
    {"mtu", CONFIG_U32, CONFIG_HARNESS_MTU},
    {"gso", CONFIG_U32, CONFIG_HARNESS_GSO},
    {0},
};

#define INFO_FIELD(name, field, unit_ns)                                                           \
    {                                                                                              \
        name, offsetof(struct tcp_info, field), sizeof(((struct tcp_info *)NULL)->field), unit_ns  \
    }
const struct info_desc info_descs[] = {
    INFO_FIELD("cwnd", cwnd, 0),
    INFO_FIELD("ssthresh", ssthresh, 0),
    INFO_FIELD("snd_wnd", snd_wnd, 0),
    INFO_FIELD("rcv_wnd", rcv_wnd, 0),
    INFO_FIELD("mss", mss, 0),
    INFO_FIELD("path_mtu", path_mtu, 0),
    INFO_FIELD("srtt", srtt_us, NS_PER_US),
    INFO_FIELD("rttvar", rttvar_us, NS_PER_US),
    INFO_FIELD("rto", rto_us, NS_PER_US),
    INFO_FIELD("sent", sent, 0),
    INFO_FIELD("acked", acked, 0),
    {0},
};

/* --- one line --------------------------------------------------------------------------------- */

static const char *const app_verbs[] = {"write",  "close",    "abort",     "keep",     "recved",
                                        "refuse", "fill",     "answer",    "promise",  "received",
                                        "acked",  "accepted", "connected", "recv-end", "fills",
                                        "closed", "open",     NULL};
static const char *const app_whens[] = {"",         "accept", "connected", "recv",
                                        "recv-end", "fill",   "sent",      NULL};
static const char *const app_fills[] = {"now", "later", "refuse", NULL};
static const char *const app_ends[] = {"done", "reset", "refused", "timeout", "aborted", NULL};

static void parse_app(struct scan *s, struct step *step)
{
    step->kind = STEP_APP;
    if (scan_word(s, "on"))
        step->app.when = scan_name(s, app_whens, "accept, connected, recv, recv-end, fill or sent");
    step->app.verb = scan_name(s, app_verbs, "what the application does, or has seen");
    switch (step->app.verb) {
    case APP_WRITE:
    case APP_RECVED:
    case APP_PROMISE:
        step->value = span_of(scan_number(s));
        break;
    case APP_RECEIVED:
    case APP_ACKED:
    case APP_ACCEPTED:
    case APP_CONNECTED:
    case APP_RECV_END:
    case APP_FILLS:
        step->value = scan_span(s);
        break;
    case APP_FILL:
        step->value = span_of(scan_name(s, app_fills, "now, later or refuse"));
        break;
    case APP_CLOSED:
        step->value = span_of(
            scan_name(s, app_ends, "why it ended: done, reset, refused, timeout or aborted"));
        break;
    default:
        break;
    }
    if (step->app.when != NEVER && step->app.verb > APP_ABORT)
        scan_fail(s, "write, close or abort");
}

static void parse_config(struct scan *s, struct step *step)
{
    const struct config_desc *d;

    step->kind = STEP_CONFIG;
    while ((d = &config_descs[step->name.index])->name && !scan_word(s, d->name))
        step->name.index++;
    if (!d->name)
        scan_fail(s, "something that can be configured: see config_descs in script.c");
    else if (d->type == CONFIG_NS)
        step->value = span_of(scan_time_ns(s));
    else if (d->type == CONFIG_WORD)
        scan_token(s, step->name.word, sizeof(step->name.word));
    else
        step->value = span_of(scan_number(s));
}

static void parse_info(struct scan *s, struct step *step)
{
    const struct info_desc *d;

    step->kind = STEP_INFO;
    while ((d = &info_descs[step->name.index])->name && !scan_word(s, d->name))
        step->name.index++;
    if (!d->name)
        scan_fail(s, "a field of tcp_info: see info_descs in script.c");
    else
        step->value = d->unit_ns ? scan_time_span(s) : scan_span(s);
    if (scan_word(s, "port"))
        step->name.port = (uint16_t)scan_number(s);
}

static void parse_counter(struct scan *s, struct step *step)
{
    char word[WORD_MAX];

    step->kind = STEP_COUNTER;
    scan_token(s, word, sizeof(word));
    while (tcp_stat_descs[step->name.index].name &&
           strcmp(tcp_stat_descs[step->name.index].name, word) != 0)
        step->name.index++;
    if (!tcp_stat_descs[step->name.index].name)
        scan_fail(s, "a counter of struct tcp_stats before this");
    step->value = scan_span(s);
}

static void parse_state(struct scan *s, struct step *step)
{
    char word[WORD_MAX];

    step->kind = STEP_STATE;
    scan_token(s, word, sizeof(word));
    while (step->name.index < TCP_STATES && strcmp(tcp_state_name(step->name.index), word) != 0)
        step->name.index++;
    if (step->name.index == TCP_STATES)
        scan_fail(s, "a state before this");
    if (scan_word(s, "port"))
        step->name.port = (uint16_t)scan_number(s);
}

static void parse_connect(struct scan *s, struct step *step)
{
    step->kind = STEP_CONNECT;
    if (scan_word(s, "port")) {
        step->name.port = (uint16_t)scan_number(s);
    } else if (scan_word(s, "fails")) {
        step->kind = STEP_CONNECT_FAILS;
        if (scan_word(s, "to"))
            scan_ip4(s, step->name.addr);
    }
}

static void parse_isn(struct scan *s, struct step *step)
{
    if (scan_word(s, "remember")) {
        step->kind = STEP_ISN_REMEMBER;
    } else if (scan_word(s, "advanced")) {
        step->kind = STEP_ISN_ADVANCED;
        step->value = scan_span(s);
    } else if (scan_word(s, "apart")) {
        step->kind = STEP_ISN_APART;
        step->value = (struct span){scan_number(s), INT64_MAX};
    } else {
        scan_fail(s, "remember, advanced or apart");
    }
    if (scan_word(s, "port"))
        step->name.port = (uint16_t)scan_number(s);
}

/* "app" is the first connection's application, "app2" the second's. */
static bool scan_app(struct scan *s, struct step *step)
{
    static const char *const names[] = {"app", "app2", "app3", "app4", NULL};

    for (uint32_t i = 0; names[i]; i++)
        if (scan_word(s, names[i])) {
            step->app.index = i;
            return true;
        }
    return false;
}

static void parse_action(struct scan *s, struct step *step)
{
    if (scan_word(s, "< icmp")) {
        step->kind = STEP_SEND_ICMP;
        packet_icmp_parse(s, &step->icmp);
    } else if (scan_word(s, "<")) {
        step->kind = STEP_SEND;
        packet_parse(s, &step->packet);
        if (step->packet.len > PEER_MSS)
            scan_fail(s, "at most 1460 bytes of payload before this");
    } else if (scan_word(s, "> ...")) {
        step->kind = STEP_EXPECT_ANYTHING;
    } else if (scan_text(s, "> ")) {
        step->kind = STEP_EXPECT;
        packet_parse(s, &step->packet);
    } else if (scan_app(s, step)) {
        parse_app(s, step);
    } else if (scan_word(s, "config")) {
        parse_config(s, step);
    } else if (scan_word(s, "connect")) {
        parse_connect(s, step);
    } else if (scan_word(s, "state")) {
        parse_state(s, step);
    } else if (scan_word(s, "counter")) {
        parse_counter(s, step);
    } else if (scan_word(s, "info")) {
        parse_info(s, step);
    } else if (scan_word(s, "isn")) {
        parse_isn(s, step);
    } else if (scan_word(s, "hold")) {
        step->kind = STEP_HOLD;
    } else if (scan_word(s, "turn")) {
        step->kind = STEP_TURN;
    } else {
        scan_fail(s, "a step: < > app config connect state counter info isn hold turn, or a name "
                     "that was defined");
    }
}

static void parse_step(struct scan *s, struct step *step)
{
    if (scan_text(s, "+")) {
        step->timed = true;
        step->after_ns = scan_time_span(s);
        if (scan_at_end(s))
            return; /* STEP_WAIT */
    }
    parse_action(s, step);
    if (step->kind != STEP_EXPECT && step->after_ns.lo != step->after_ns.hi)
        scan_fail(s, "a time, not a range of times, before this");
}

/* --- a file ----------------------------------------------------------------------------------- */

struct steps {
    struct step *at;
    uint32_t count;
};

/* Steps that are taken wherever the name stands. */
struct define {
    char name[WORD_MAX];
    struct steps steps;
};

struct loader {
    const char *path;
    uint32_t line;
    struct script *script;
    struct define defines[DEFINES_MAX];
    uint32_t define_count;
    struct step **steps; /* of the case or definition that is being read; NULL: of none */
    uint32_t *step_count;
    bool defining;
};

static void add_steps(struct loader *l, struct scan *s, const struct step *steps, uint32_t count)
{
    if (!l->steps)
        scan_fail(s, "'case' or 'define' before the first step");
    else if (*l->step_count + count > CASE_STEPS_MAX)
        scan_fail(s, "fewer steps in a case");
    if (s->error || count == 0)
        return;
    *l->steps = realloc(*l->steps, (*l->step_count + count) * sizeof(*steps));
    memcpy(*l->steps + *l->step_count, steps, count * sizeof(*steps));
    *l->step_count += count;
}

static bool use_define(struct loader *l, struct scan *s)
{
    for (uint32_t i = 0; i < l->define_count; i++)
        if (scan_word(s, l->defines[i].name)) {
            add_steps(l, s, l->defines[i].steps.at, l->defines[i].steps.count);
            return true;
        }
    return false;
}

static void begin_case(struct loader *l, struct scan *s, const char *title)
{
    struct script_case *c;

    if (l->script->case_count == CASES_MAX || l->defining) {
        scan_fail(s, "the end of the definition, or fewer cases");
        return;
    }
    c = &l->script->cases[l->script->case_count++];
    *c = (struct script_case){.title = title, .path = l->path, .line = l->line};
    l->steps = &c->steps;
    l->step_count = &c->step_count;
}

static void begin_define(struct loader *l, struct scan *s)
{
    struct define *d = &l->defines[l->define_count];

    if (l->define_count == DEFINES_MAX || l->defining) {
        scan_fail(s, "the end of the definition, or fewer definitions");
        return;
    }
    scan_token(s, d->name, sizeof(d->name));
    l->steps = &d->steps.at;
    l->step_count = &d->steps.count;
    l->defining = true;
}

static void load_line(struct loader *l, struct scan *s)
{
    if (scan_at_end(s))
        return;
    if (scan_text(s, "case ")) {
        begin_case(l, s, s->at);
        return;
    }
    if (scan_word(s, "define")) {
        begin_define(l, s);
    } else if (l->defining && scan_word(s, "end")) {
        l->defining = false;
        l->define_count++;
        l->steps = NULL;
    } else if (!use_define(l, s)) {
        struct step step = {.line = l->line, .text = s->at};

        parse_step(s, &step);
        add_steps(l, s, &step, 1);
    }
    if (!scan_at_end(s))
        scan_fail(s, "the end of the line");
}

/* The whole file; its lines are what steps and titles point into. */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, FILE_MAX + 1);

    if (!f || fread(text, 1, FILE_MAX, f) == FILE_MAX || ferror(f)) {
        fprintf(stderr, "%s: cannot be read, or is larger than a script may be\n", path);
        free(text);
        text = NULL;
    }
    if (f)
        fclose(f);
    return text;
}

bool script_load(struct script *script, const char *path)
{
    struct loader l = {.path = path, .script = script};
    bool good = true;
    char *line, *next;

    script->text = next = read_file(path);
    if (!next)
        return false;
    script->cases = calloc(CASES_MAX, sizeof(*script->cases));
    while ((line = strsep(&next, "\n"))) {
        struct scan s = {.at = line};

        l.line++;
        load_line(&l, &s);
        if (s.error) {
            fprintf(stderr, "%s:%u: expected %s, at '%s'\n", path, l.line, s.error, s.at);
            good = false;
        }
    }
    for (uint32_t i = 0; i < DEFINES_MAX; i++)
        free(l.defines[i].steps.at);
    return good;
}

void script_unload(struct script *script)
{
    for (uint32_t i = 0; i < script->case_count; i++)
        free(script->cases[i].steps);
    free(script->cases);
    free(script->text);
}

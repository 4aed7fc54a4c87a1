// SPDX-License-Identifier: BSD-2-Clause
/*
 * run.c - takes the steps of every case, with the real stack on one end of a pipe.
 *
 * Each case has a stack of its own. Time is virtual: it passes only where a script says so, from
 * one deadline of the stack to the next, so that every packet's time is exact. Whatever the stack
 * sends must be asked for, in order, before the script goes on.
 */
#include "script.h"

#include <getopt.h>

#define QUEUE_MAX 2048
#define LOG_BYTES (256 * 1024)
/* The wheel's tick, and a turn that begins at the end of one. */
#define TOLERANCE_NS (2 * (int64_t)NS_PER_MS)

static const uint8_t our_ip[4] = {192, 0, 2, 1};
static const uint8_t peer_ip[4] = {192, 0, 2, 2};

struct sent {
    struct packet packet;
    uint64_t at_ns;
};

struct run {
    const struct script_case *c;
    const struct step *step; /* the one that is being taken */
    struct trace trace;
    struct packet_base bases[TRACE_APPS];
    struct sent queue[QUEUE_MAX];
    uint32_t head, tail;
    uint32_t isn; /* remembered */
    uint64_t start_ns;
    char *log; /* what happened so far, as a script */
    size_t log_len;
};

static bool verbose;

/* --- telling ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void note(struct run *r, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(r->log + r->log_len, LOG_BYTES - r->log_len, format, args);
    va_end(args);
    if (n > 0)
        r->log_len = min_u64(r->log_len + (size_t)n, LOG_BYTES - 1);
}

static double seconds(const struct run *r, uint64_t at_ns)
{
    return (double)(at_ns - r->start_ns) / 1e9;
}

static void note_packet(struct run *r, char direction, const struct packet *p, uint64_t at_ns)
{
    char text[PACKET_TEXT_MAX];

    note(r, "    %10.6f %c %s\n", seconds(r, at_ns), direction, packet_format(p, text));
}

static void note_step(struct run *r)
{
    note(r, "    %10.6f   %s\n", seconds(r, r->trace.now_ns), r->step->text);
}

/* As comments of TAP. */
static void print_lines(const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");

        printf("# %.*s\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

/* Ends the case. */
__attribute__((format(printf, 2, 3), noreturn)) static void fail_case(struct run *r,
                                                                      const char *format, ...)
{
    char what[4 * PACKET_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    printf("# %s: the trace so far:\n", r->c->title);
    print_lines(r->log);
    printf("# %s:%u: %s\n", r->c->path, r->step->line, r->step->text);
    print_lines(what);
    _fail(r->c->path, (int)r->step->line);
    abort(); /* _fail has jumped out of the case */
}

static void check(struct run *r, const char *what, struct span want, int64_t got)
{
    if (!span_has(want, got))
        fail_case(r, "%s is %lld", what, (long long)got);
}

/* --- packets and time ------------------------------------------------------------------------- */

static void on_packet(struct trace *t, const uint8_t *ip, uint32_t ip_len)
{
    struct run *r = container_of(t, struct run, trace);
    uint32_t port = (uint32_t)get_be16(ip + IP4_HEADER_BYTES + 2) - TRACE_PEER_PORT;
    struct packet_base stranger = {.peer_iss = t->peer_iss};
    struct packet_base *base = port < TRACE_APPS ? &r->bases[port] : &stranger;
    struct sent *s = &r->queue[r->tail % QUEUE_MAX];

    assert_true(r->tail - r->head < QUEUE_MAX);
    r->tail++;
    base->peer_iss = t->peer_iss;
    packet_decode(&s->packet, base, ip, ip_len);
    if (port < TRACE_APPS)
        t->iss[port] = base->iss;
    s->at_ns = t->now_ns;
    note_packet(r, '>', &s->packet, s->at_ns);
}

/* Until something was sent, or `until_ns`. */
static void wait_for_packet(struct run *r, uint64_t until_ns)
{
    struct trace *t = &r->trace;

    while (r->head == r->tail && t->now_ns < until_ns) {
        uint64_t next_ns = max_u64(tcp_next_ns(t->tcp), t->now_ns);

        trace_advance_ns(t, min_u64(next_ns, until_ns) - t->now_ns);
    }
}

static void nothing_was_sent(struct run *r)
{
    char text[PACKET_TEXT_MAX];

    if (r->head != r->tail)
        fail_case(r, "not expected at %.6f: > %s", seconds(r, r->queue[r->head % QUEUE_MAX].at_ns),
                  packet_format(&r->queue[r->head % QUEUE_MAX].packet, text));
}

static void wait_in_silence(struct run *r)
{
    uint64_t until_ns = r->trace.now_ns + (uint64_t)r->step->after_ns.lo;

    nothing_was_sent(r);
    wait_for_packet(r, until_ns);
    nothing_was_sent(r);
}

static void expect(struct run *r)
{
    const struct step *step = r->step;
    uint64_t from_ns = r->trace.now_ns;
    int64_t latest_ns = min_u64((uint64_t)step->after_ns.hi, 100ull * 86400 * NS_PER_S) +
                        (step->timed ? TOLERANCE_NS : 0);
    char text[PACKET_TEXT_MAX];
    const struct sent *got;
    const char *differs;
    int64_t after_ns;

    if (step->timed)
        wait_for_packet(r, from_ns + (uint64_t)latest_ns);
    if (r->head == r->tail)
        fail_case(r, "expected > %s\ngot nothing until %.6f", packet_format(&step->packet, text),
                  seconds(r, r->trace.now_ns));
    got = &r->queue[r->head++ % QUEUE_MAX];
    differs = packet_match(&step->packet, &got->packet);
    if (differs) {
        char got_text[PACKET_TEXT_MAX];

        fail_case(r, "wrong: %s\nexpected > %s\ngot      > %s", differs,
                  packet_format(&step->packet, text), packet_format(&got->packet, got_text));
    }
    after_ns = (int64_t)(got->at_ns - from_ns);
    if (after_ns < step->after_ns.lo || after_ns > latest_ns)
        fail_case(r, "as expected, but after %.6f s", (double)after_ns / 1e9);
}

static void send_frame(struct run *r, const uint8_t *frame, uint32_t len)
{
    trace_send_frame(&r->trace, frame, len);
}

static void send_packet(struct run *r)
{
    const struct packet *p = &r->step->packet;
    uint8_t frame[PACKET_FRAME_MAX];
    struct packet_base stranger = {0};
    const struct packet_base *base = p->port < TRACE_APPS ? &r->bases[p->port] : &stranger;

    if (p->port >= TRACE_APPS)
        fail_case(r, "ports are 0 to %d", TRACE_APPS - 1);
    note_packet(r, '<', p, r->trace.now_ns);
    for (uint32_t i = 0; i < p->times; i++)
        send_frame(r, frame, packet_encode(p, base, &r->trace, frame));
}

static void send_icmp(struct run *r)
{
    const struct packet_icmp *icmp = &r->step->icmp;
    uint8_t frame[PACKET_FRAME_MAX];

    note_step(r);
    send_frame(r, frame,
               packet_icmp_encode(icmp, &r->bases[icmp->port % TRACE_APPS], &r->trace, frame));
}

/* --- the application -------------------------------------------------------------------------- */

static void app_later(struct run *r, struct trace_app *app)
{
    enum trace_when when = r->step->app.when;

    switch (r->step->app.verb) {
    case APP_WRITE:
        app->write_when = when;
        app->write_bytes = (uint64_t)r->step->value.lo;
        return;
    case APP_CLOSE:
        app->close_when = when;
        return;
    default:
        app->abort_when = when;
    }
}

/* What needs a connection. */
static void app_acts(struct run *r, struct trace_app *app)
{
    struct trace *t = &r->trace;
    uint64_t n = (uint64_t)r->step->value.lo;

    if (!app->conn)
        fail_case(r, "there is no connection");
    switch (r->step->app.verb) {
    case APP_WRITE:
        tcp_write(app->conn, n);
        break;
    case APP_CLOSE:
        tcp_close(app->conn);
        break;
    case APP_ABORT:
        tcp_abort(app->conn, t->now_ns);
        break;
    case APP_RECVED:
        tcp_recved(app->conn, (uint32_t)n);
        break;
    default:
        if (app->promise_count == 0)
            fail_case(r, "nothing was promised");
        trace_answer(t, app);
    }
    trace_turn(t);
}

static void app_has_seen(struct run *r, const struct trace_app *app)
{
    struct span want = r->step->value;

    switch (r->step->app.verb) {
    case APP_RECEIVED:
        check(r, "received", want, (int64_t)app->received);
        return;
    case APP_ACKED:
        check(r, "acked", want, (int64_t)app->acked);
        return;
    case APP_ACCEPTED:
        check(r, "accepted", want, app->accepted);
        return;
    case APP_CONNECTED:
        check(r, "connected", want, app->connected);
        return;
    case APP_RECV_END:
        check(r, "recv-end", want, app->recv_ends);
        return;
    case APP_FILLS:
        check(r, "fills", want, app->fills);
        return;
    case APP_CLOSED:
        check(r, "closed", span_of(1), app->closed);
        check(r, "the reason", want, app->why);
        return;
    default:
        check(r, "closed", span_of(0), app->closed);
        if (!app->conn)
            fail_case(r, "there is no connection");
    }
}

static void take_app(struct run *r)
{
    struct trace_app *app = &r->trace.apps[r->step->app.index];

    note_step(r);
    if (r->step->app.when != NEVER) {
        app_later(r, app);
        return;
    }
    switch (r->step->app.verb) {
    case APP_KEEP:
        app->keep = true;
        return;
    case APP_REFUSE:
        app->refuse = true;
        return;
    case APP_FILL:
        app->fill = (enum trace_fill)r->step->value.lo;
        return;
    case APP_PROMISE:
        app->promise_max = (uint32_t)r->step->value.lo;
        return;
    case APP_WRITE:
    case APP_CLOSE:
    case APP_ABORT:
    case APP_RECVED:
    case APP_ANSWER:
        app_acts(r, app);
        return;
    default:
        app_has_seen(r, app);
    }
}

/* --- the stack -------------------------------------------------------------------------------- */

static struct tcp_conn *find_conn(struct run *r, uint16_t port)
{
    struct ip_addr local = ip_addr_v4(our_ip), remote = ip_addr_v4(peer_ip);

    return tcp_conn_find(r->trace.tcp, &local, TRACE_PORT, &remote,
                         (uint16_t)(TRACE_PEER_PORT + port));
}

static void connect_out(struct run *r)
{
    static const uint8_t none[4];
    const uint8_t *to = memcmp(r->step->name.addr, none, 4) ? r->step->name.addr : peer_ip;
    struct trace *t = &r->trace;
    struct ip_addr local = ip_addr_v4(our_ip), remote = ip_addr_v4(to);
    struct trace_app *app = &t->apps[t->app_count % TRACE_APPS];
    int rc;

    note_step(r);
    rc = tcp_connect(t->tcp, &app->conn, &local, TRACE_PORT, &remote,
                     (uint16_t)(TRACE_PEER_PORT + r->step->name.port), &trace_ops, app, t->now_ns);
    if ((rc == 0) != (r->step->kind == STEP_CONNECT))
        fail_case(r, "tcp_connect returned %d", rc);
    t->app_count += rc == 0;
    trace_turn(t);
}

static void check_state(struct run *r)
{
    const struct tcp_conn *conn = find_conn(r, r->step->name.port);
    enum tcp_state state = conn ? tcp_conn_state(conn) : TCP_CLOSED;

    if (state != r->step->name.index)
        fail_case(r, "the state is %s", tcp_state_name(state));
}

static void check_counter(struct run *r)
{
    const struct stat_desc *d = &tcp_stat_descs[r->step->name.index];
    const uint64_t *counter = (const void *)((const char *)tcp_stats(r->trace.tcp) + d->offset);

    check(r, d->name, r->step->value, (int64_t)stat_get(counter));
}

static void check_info(struct run *r)
{
    const struct info_desc *d = &info_descs[r->step->name.index];
    const struct tcp_conn *conn = find_conn(r, r->step->name.port);
    struct tcp_info info;
    uint64_t value = 0;

    if (!conn)
        fail_case(r, "there is no connection");
    tcp_conn_info(conn, &info);
    memcpy(&value, (const char *)&info + d->offset, d->bytes); /* little-endian: see bytes.h */
    check(r, d->name, r->step->value, (int64_t)(d->unit_ns ? value * d->unit_ns : value));
}

static void check_isn(struct run *r)
{
    uint32_t now = r->bases[r->step->name.port % TRACE_APPS].iss;
    int32_t advance = (int32_t)(now - r->isn);

    if (r->step->kind == STEP_ISN_REMEMBER)
        r->isn = now;
    else if (r->step->kind == STEP_ISN_ADVANCED)
        check(r, "the advance of the ISN", r->step->value, advance);
    else
        check(r, "the distance of the ISNs", r->step->value, llabs(advance));
}

/* --- a case ----------------------------------------------------------------------------------- */

static void take_step(struct run *r)
{
    const struct step *step = r->step;

    if (step->timed && step->kind != STEP_EXPECT && step->kind != STEP_EXPECT_ANYTHING)
        wait_in_silence(r);
    switch (step->kind) {
    case STEP_WAIT:
    case STEP_CONFIG:
        return;
    case STEP_EXPECT:
        expect(r);
        return;
    case STEP_EXPECT_ANYTHING:
        trace_advance_ns(&r->trace, (uint64_t)step->after_ns.lo);
        r->head = r->tail;
        return;
    case STEP_STATE:
        check_state(r);
        return;
    case STEP_COUNTER:
        check_counter(r);
        return;
    case STEP_INFO:
        check_info(r);
        return;
    case STEP_ISN_REMEMBER:
    case STEP_ISN_ADVANCED:
    case STEP_ISN_APART:
        check_isn(r);
        return;
    default:
        break;
    }
    nothing_was_sent(r);
    switch (step->kind) {
    case STEP_SEND:
        send_packet(r);
        return;
    case STEP_SEND_ICMP:
        send_icmp(r);
        return;
    case STEP_APP:
        take_app(r);
        return;
    case STEP_CONNECT:
    case STEP_CONNECT_FAILS:
        connect_out(r);
        return;
    case STEP_HOLD:
        r->trace.hold = true;
        return;
    default: /* STEP_TURN */
        r->trace.hold = false;
        trace_turn(&r->trace);
    }
}

static void configure_field(struct trace *t, struct tcp_config *config, const struct step *step)
{
    const struct config_desc *d = &config_descs[step->name.index];
    void *field = (char *)config + d->offset;

    if (d->offset == CONFIG_HARNESS_PEER_ISS)
        t->peer_iss = (uint32_t)step->value.lo;
    if (d->offset >= CONFIG_HARNESS_PEER_ISS)
        return;
    switch (d->type) {
    case CONFIG_U16:
        *(uint16_t *)field = (uint16_t)step->value.lo;
        return;
    case CONFIG_U32:
        *(uint32_t *)field = (uint32_t)step->value.lo;
        return;
    case CONFIG_NS:
        *(uint64_t *)field = (uint64_t)step->value.lo;
        return;
    case CONFIG_FLAG:
        *(bool *)field = step->value.lo != 0;
        return;
    case CONFIG_WORD:
        *(const char **)field = step->name.word;
    }
}

/* trace_setup.configure: the case's `config` steps, wherever they stand. */
static void configure(struct trace *t, struct tcp_config *config)
{
    const struct script_case *c = container_of(t, struct run, trace)->c;

    for (uint32_t i = 0; i < c->step_count; i++)
        if (c->steps[i].kind == STEP_CONFIG)
            configure_field(t, config, &c->steps[i]);
}

/* The part of the configuration that the harness itself wants to know. */
static struct trace_setup setup_of(const struct script_case *c)
{
    struct trace_setup setup = {.configure = configure};

    for (uint32_t i = 0; i < c->step_count; i++) {
        const struct step *step = &c->steps[i];

        if (step->kind != STEP_CONFIG)
            continue;
        if (config_descs[step->name.index].offset == CONFIG_HARNESS_MTU)
            setup.mtu = (uint32_t)step->value.lo;
        if (config_descs[step->name.index].offset == CONFIG_HARNESS_GSO)
            setup.gso_bytes = (uint32_t)step->value.lo;
    }
    return setup;
}

static int begin_case(void **state)
{
    struct run *r = calloc(1, sizeof(*r));

    r->c = *state;
    r->log = calloc(1, LOG_BYTES);
    r->trace.on_packet = on_packet;
    *state = r;
    return 0;
}

static int end_case(void **state)
{
    struct run *r = *state;

    free(r->log);
    free(r);
    return 0;
}

static void run_case(void **state)
{
    struct run *r = *state;
    const struct trace_setup setup = setup_of(r->c);
    struct step at_the_end = {.line = r->c->line, .text = "(the end)"};

    trace_open(&r->trace, &setup);
    r->start_ns = r->trace.now_ns;
    for (uint32_t i = 0; i < r->c->step_count; i++) {
        r->step = &r->c->steps[i];
        take_step(r);
    }
    at_the_end.line = r->step ? r->step->line : r->c->line;
    r->step = &at_the_end;
    nothing_was_sent(r);
    if (verbose)
        print_lines(r->log);
    trace_close(&r->trace);
}

/* --- main ------------------------------------------------------------------------------------- */

static int usage(int status)
{
    fputs("usage: script [--check] [--only TEXT] [--verbose] FILE\n"
          "\n"
          "  --check      read the file, run nothing\n"
          "  --only TEXT  run the cases whose titles contain TEXT\n"
          "  --verbose    print the trace of every case\n",
          status ? stderr : stdout);
    return status;
}

static int run_all(const struct script *script, const char *only)
{
    struct CMUnitTest *tests = calloc(script->case_count + 1, sizeof(*tests));
    uint32_t count = 0;
    int failed;

    for (uint32_t i = 0; i < script->case_count; i++) {
        if (only && !strstr(script->cases[i].title, only))
            continue;
        tests[count++] = (struct CMUnitTest){.name = script->cases[i].title,
                                             .test_func = run_case,
                                             .setup_func = begin_case,
                                             .teardown_func = end_case,
                                             .initial_state = &script->cases[i]};
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    failed = _cmocka_run_group_tests("script", tests, count, NULL, NULL);
    free(tests);
    return failed || count == 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"check", no_argument, NULL, 'c'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct script script = {0};
    const char *only = NULL;
    bool check_only = false;
    int id, status;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'h')
            return usage(0);
        if (id == '?')
            return usage(2);
        check_only |= id == 'c';
        verbose |= id == 'v';
        only = id == 'o' ? optarg : only;
    }
    if (optind + 1 != argc)
        return usage(2);
    if (!script_load(&script, argv[optind]))
        status = 2;
    else
        status = check_only ? 0 : run_all(&script, only);
    script_unload(&script);
    return status;
}

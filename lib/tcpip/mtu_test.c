// SPDX-License-Identifier: BSD-2-Clause
/*
 * Path MTU discovery, end to end: a stream goes to a receiver behind a path that takes packets up
 * to some size, and is silent about the others. The receiver is as simple as one can be that sends
 * SACKs; the trace compares every byte of what it is sent.
 */
#include "base/rand.h"
#include "trace.h"

#define RTT_NS  (20 * NS_PER_MS)
#define HEADERS 52 /* IPv4, TCP, timestamps */
#define MSS     1448
#define BASE    (1220 - HEADERS)
#define BYTES   1000000u
#define WINDOW  300 /* 38 KB, scaled: a stream takes as many round trips as a search */
#define AIR_MAX 4096

/* A path, and who is at its end. */
struct far {
    struct trace *t;
    struct trace_app *app;
    uint16_t port;
    uint32_t mtu;   /* larger packets vanish; 0: all do */
    uint32_t drops; /* so many of those that would fit vanish, too */
    uint32_t next;  /* RCV.NXT */
    uint32_t top;   /* the highest that has arrived */
    bool has[4 * BYTES];
    struct trace_seg air[AIR_MAX];
    uint32_t head, count;
    uint32_t largest;  /* packet that arrived */
    uint32_t vanished; /* packets */
    uint64_t quiet_ns; /* longest time without anything new */
    uint64_t last_ns;
};

static struct tcp_info info(const struct trace_app *app)
{
    struct tcp_info i;

    tcp_conn_info(app->conn, &i);
    return i;
}

static struct far *far_open(struct trace *t, uint16_t port, uint32_t mtu)
{
    struct far *f = calloc(1, sizeof(*f));

    f->t = t;
    f->port = port;
    f->mtu = mtu;
    f->next = 1;
    f->app = trace_establish(t, port);
    f->last_ns = t->now_ns;
    return f;
}

/* What is above the gap, as far as there is room for it. */
static uint8_t sacks(const struct far *f, struct tcp_sack *out)
{
    uint32_t end = f->top;
    uint8_t n = 0;

    for (uint32_t at = f->next + 1; at < end && n < 3; at++) {
        if (!f->has[at])
            continue;
        out[n].start = at;
        while (at < end && f->has[at])
            at++;
        out[n++].end = at;
    }
    return n;
}

static void arrive(struct far *f, uint32_t seq, uint32_t len, uint32_t tsval)
{
    struct trace_seg ack = {.flags = ACK,
                            .seq = 1,
                            .port = f->port,
                            .has_ts = f->t->ts,
                            .tsval = ++f->t->ts_base,
                            .tsecr = tsval};
    bool news = f->next < seq + len;

    memset(f->has + seq, true, len);
    f->top = max_u32(f->top, seq + len);
    while (f->has[f->next])
        f->next++;
    if (news) {
        f->quiet_ns = max_u64(f->quiet_ns, f->t->now_ns - f->last_ns);
        f->last_ns = f->t->now_ns;
    }
    f->largest = max_u32(f->largest, len + HEADERS);
    ack.ack = f->next;
    if (f->t->sack)
        ack.sack_count = sacks(f, ack.sacks);
    trace_send(f->t, &ack);
}

/* A frame at the end of its way: each of its segments for itself. */
static void frame_arrives(struct far *f, const struct trace_seg *frame)
{
    uint32_t mss = frame->gso_size ? frame->gso_size : frame->len;

    for (uint32_t at = 0; at < frame->len; at += mss) {
        uint32_t len = min_u32(mss, frame->len - at);

        if (len + HEADERS > f->mtu || f->drops) {
            f->drops -= len + HEADERS <= f->mtu;
            f->vanished++;
        } else {
            arrive(f, frame->seq + at, len, frame->tsval);
        }
    }
}

/* Time passes. What others are sent vanishes. */
static void pass(struct far *f, uint64_t ns)
{
    struct trace *t = f->t;

    for (uint64_t end = t->now_ns + ns; t->now_ns < end;) {
        trace_advance_ns(t, NS_PER_MS);
        for (; t->queue_count; t->queue_count--) {
            assert_true(f->count < AIR_MAX);
            f->air[(f->head + f->count) % AIR_MAX] = t->queue[t->queue_head];
            f->count += t->queue[t->queue_head].port == f->port;
            t->queue_head = (t->queue_head + 1) % TRACE_QUEUE;
        }
        t->hold = true;
        for (; f->count && f->air[f->head].at_ns + RTT_NS <= t->now_ns; f->count--) {
            frame_arrives(f, &f->air[f->head]);
            f->head = (f->head + 1) % AIR_MAX;
        }
        t->hold = false;
    }
}

/* The stream grows by `bytes`, and all of it arrives within so many seconds. */
static void fetch(struct far *f, uint32_t bytes, uint64_t seconds)
{
    uint64_t end_ns = f->t->now_ns + seconds * NS_PER_S;

    f->last_ns = f->t->now_ns;
    trace_write(f->t, f->app, bytes);
    while (f->app->acked < info(f->app).written && f->t->now_ns < end_ns)
        pass(f, NS_PER_MS);
    assert_int_equal(f->app->acked, info(f->app).written);
    assert_int_equal(f->next, info(f->app).written + 1);
}

static struct far *modern(struct trace *t, uint32_t mtu)
{
    t->sack = t->ts = t->wscale = true;
    t->win = WINDOW;
    return far_open(t, 0, mtu);
}

static void probing_off(struct trace *t, struct tcp_config *config)
{
    config->mtu_probing = TCP_MTU_PROBING_OFF;
}

static void probing_always(struct trace *t, struct tcp_config *config)
{
    config->mtu_probing = TCP_MTU_PROBING_ALWAYS;
}

/* RFC 4821 7.7, RFC 8899 4.3: two timeouts, the base, and upwards to what the path takes. */
TRACE_TEST(black_hole)
{
    struct far *f = modern(t, 1400);

    fetch(f, BYTES, 3);
    assert_int_equal(STATS(t)->black_holes, 1);
    assert_true(f->quiet_ns < 800 * NS_PER_MS);
    assert_in_range(info(f->app).path_mtu, 1400 - 7, 1400);
    assert_int_equal(info(f->app).mss, info(f->app).path_mtu - HEADERS);
    assert_int_equal(f->largest, info(f->app).path_mtu);
    assert_true(STATS(t)->mtu_probes >= 5);
    /* One of the old size, which had its chance, and two of each of the others. */
    assert_true(STATS(t)->mtu_probe_failures > 1);
    assert_int_equal(STATS(t)->mtu_probe_failures % 2, 1);
    assert_int_equal(STATS(t)->rto_fired, 2);               /* the probes cost none */
    assert_int_equal(info(f->app).ssthresh, CC_WINDOW_MAX); /* and nobody spoke of congestion */
    free(f);
}

/* Nothing of what was lost in the search made the window smaller (RFC 4821 7.6.2). */
TRACE_TEST(lost_probe_is_no_congestion)
{
    struct far *f = modern(t, 1300);
    uint32_t ssthresh;

    trace_write(t, f->app, BYTES);
    while (!STATS(t)->mtu_probes)
        pass(f, NS_PER_MS);
    assert_int_equal(STATS(t)->mtu_probe_failures, 0);
    ssthresh = info(f->app).ssthresh;
    fetch(f, 0, 3);
    assert_true(STATS(t)->mtu_probe_failures >= 4);
    assert_int_equal(info(f->app).ssthresh, ssthresh);
    assert_int_equal(STATS(t)->fast_recoveries, 0);
    assert_int_equal(STATS(t)->spurious_rtos, 0);
    free(f);
}

/* A probe that is lost together with others is lost like any other (RFC 4821 7.6.3). */
TRACE_TEST(loss_with_a_probe_is_congestion)
{
    struct far *f = modern(t, 1300);

    trace_write(t, f->app, BYTES);
    while (STATS(t)->mtu_probes < 2)
        pass(f, NS_PER_MS);
    f->drops = 3;
    fetch(f, 0, 5);
    assert_true(STATS(t)->fast_recoveries + STATS(t)->rto_fired - 2 > 0);
    assert_in_range(info(f->app).path_mtu, 1300 - 7, 1300);
    free(f);
}

/* The path was away for a second, and is as it was: one probe says so. */
TRACE_TEST(false_alarm)
{
    struct far *f = modern(t, 0);

    trace_write(t, f->app, BYTES);
    pass(f, NS_PER_S);
    assert_int_equal(STATS(t)->black_holes, 1);
    assert_int_equal(info(f->app).mss, BASE);
    f->mtu = 1500;
    fetch(f, 0, 5);
    assert_int_equal(info(f->app).mss, MSS);
    assert_int_equal(STATS(t)->mtu_probes, 1);
    assert_int_equal(STATS(t)->mtu_probe_failures, 0);
    assert_int_equal(STATS(t)->mtu_raised, 1);
    free(f);
}

/* Large segments were acknowledged before: a third timeout is waited for. */
TRACE_TEST(path_that_was_proven)
{
    struct far *f = modern(t, 1500);

    fetch(f, BYTES / 2, 3);
    f->mtu = 1400;
    trace_write(t, f->app, 2 * BYTES);
    while (STATS(t)->rto_fired < 2)
        pass(f, NS_PER_MS);
    assert_int_equal(info(f->app).mss, MSS);
    while (STATS(t)->rto_fired < 3)
        pass(f, NS_PER_MS);
    assert_int_equal(info(f->app).mss, BASE);
    assert_true(info(f->app).ssthresh < CC_WINDOW_MAX);
    fetch(f, 0, 3);
    assert_in_range(info(f->app).path_mtu, 1400 - 7, 1400);
    free(f);
}

/* Timeouts again and again, but each of another segment: the path loses much, and takes all. */
TRACE_TEST(timeouts_with_progress)
{
    struct far *f = modern(t, 1500);

    for (uint32_t i = 1; i <= 4; i++) {
        f->mtu = 0;
        trace_write(t, f->app, 2 * MSS);
        while (STATS(t)->rto_fired < i)
            pass(f, NS_PER_MS);
        f->mtu = 1500;
        fetch(f, 0, 3);
    }
    assert_int_equal(STATS(t)->black_holes, 0);
    assert_int_equal(info(f->app).mss, MSS);
    free(f);
}

/* Small segments that time out do so for another reason. */
TRACE_TEST(small_segments)
{
    struct far *f = modern(t, 0);

    trace_write(t, f->app, 1000);
    pass(f, 30 * NS_PER_S);
    assert_true(STATS(t)->rto_fired > 5);
    assert_int_equal(STATS(t)->black_holes, 1); /* not before the floor, which 1,000 bytes exceed */
    assert_int_equal(info(f->app).path_mtu, 552);
    f->mtu = 1500;
    fetch(f, 0, 60);
    free(f);
}

TRACE_TEST(crumbs)
{
    struct far *f = modern(t, 0);

    trace_write(t, f->app, 400);
    pass(f, 30 * NS_PER_S);
    assert_int_equal(STATS(t)->black_holes, 0);
    assert_int_equal(info(f->app).mss, MSS);
    f->mtu = 1500;
    fetch(f, 0, 60);
    free(f);
}

/* The base is too much: the floor (RFC 4821 7.7). From there upwards, as far as it goes. */
TRACE_TEST(below_the_base)
{
    struct far *f = modern(t, 700);

    fetch(f, BYTES, 10);
    assert_int_equal(STATS(t)->black_holes, 2);
    assert_in_range(info(f->app).path_mtu, 700 - 7, 700);
    free(f);
}

/* RFC 4821 5.2: the next connection to that address begins with what the last one found. */
TRACE_TEST(path_is_remembered)
{
    struct far *f = modern(t, 1400), *g;
    uint32_t mss, probes;

    fetch(f, BYTES, 3);
    mss = info(f->app).mss;
    probes = (uint32_t)STATS(t)->mtu_probes;
    g = far_open(t, 1, 1400);
    fetch(g, BYTES, 3);
    assert_int_equal(info(g->app).mss, mss);
    assert_int_equal(g->vanished, 0);
    assert_int_equal(STATS(t)->rto_fired, 2);
    assert_int_equal(STATS(t)->mtu_probes, probes);
    free(f);
    free(g);
}

/* Two at once: what one has found out, the other uses with its first timeout. */
TRACE_TEST(path_is_shared)
{
    struct far *f = modern(t, 1400), *g = far_open(t, 1, 1400);

    g->app->conn->rto_us = 5000000;
    trace_write(t, g->app, BYTES);
    fetch(f, BYTES, 3);
    assert_int_equal(STATS(t)->rto_fired, 2);
    fetch(g, 0, 10);
    assert_int_equal(STATS(t)->black_holes, 1);
    assert_int_equal(STATS(t)->rto_fired, 3);
    assert_int_equal(info(g->app).mss, info(f->app).mss);
    free(f);
    free(g);
}

/* RFC 8899 5.1.1, PMTU_RAISE_TIMER: after ten minutes larger packets are tried again. */
TRACE_TEST(larger_after_ten_minutes)
{
    struct far *f = modern(t, 1400);
    uint64_t probes;

    fetch(f, BYTES, 3);
    f->mtu = 1500;
    probes = STATS(t)->mtu_probes;
    pass(f, 590 * NS_PER_S);
    fetch(f, BYTES / 4, 3);
    assert_int_equal(STATS(t)->mtu_probes, probes);
    pass(f, 20 * NS_PER_S);
    fetch(f, BYTES / 4, 3);
    assert_int_equal(STATS(t)->mtu_probes, probes + 1);
    assert_int_equal(info(f->app).mss, MSS);
    free(f);
}

/* A sender that never pauses looks again, too. */
TRACE_TEST(larger_while_sending)
{
    struct far *f = modern(t, 1400);

    fetch(f, BYTES, 3);
    f->mtu = 1500;
    for (int i = 0; i < 130; i++) {
        fetch(f, 2000, 3);
        pass(f, 5 * NS_PER_S);
    }
    fetch(f, BYTES / 4, 3);
    assert_int_equal(info(f->app).mss, MSS);
    free(f);
}

TRACE_TEST_WITH(off, .configure = probing_off)
{
    struct far *f = modern(t, 1400);

    trace_write(t, f->app, BYTES);
    pass(f, 20 * NS_PER_S);
    assert_int_equal(f->next, 1);
    assert_int_equal(STATS(t)->black_holes + STATS(t)->mtu_probes, 0);
    assert_int_equal(info(f->app).mss, MSS);
    tcp_abort(f->app->conn, t->now_ns);
    trace_turn(t);
    trace_take_all(t, NULL);
    free(f);
}

/* As Linux with tcp_mtu_probing=2: nothing vanishes but probes. */
TRACE_TEST_WITH(always, .configure = probing_always)
{
    struct far *f = modern(t, 1400), *g;

    fetch(f, 3 * BYTES, 3);
    assert_int_equal(STATS(t)->rto_fired, 0);
    assert_in_range(info(f->app).path_mtu, 1400 - 7, 1400);
    assert_int_equal(f->vanished, STATS(t)->mtu_probe_failures);
    g = far_open(t, 1, 1400);
    trace_write(t, g->app, MSS);
    assert_in_range(info(g->app).path_mtu, 1400 - 7, 1400);
    fetch(g, 0, 1);
    free(f);
    free(g);
}

TRACE_TEST_WITH(always_with_nothing_in_the_way, .configure = probing_always)
{
    struct far *f = modern(t, 1500);

    trace_write(t, f->app, BYTES);
    assert_int_equal(info(f->app).mss, BASE);
    fetch(f, 0, 3);
    assert_int_equal(info(f->app).mss, MSS);
    assert_int_equal(STATS(t)->mtu_probes, 1);
    assert_int_equal(f->vanished, 0);
    free(f);
}

/* A peer without SACK cannot tell of a lost probe: the base it stays. */
TRACE_TEST(without_sack)
{
    struct far *f;

    t->ts = t->wscale = true;
    f = far_open(t, 0, 1400);
    fetch(f, BYTES, 10);
    assert_int_equal(STATS(t)->mtu_probes, 0);
    assert_int_equal(info(f->app).mss, BASE);
    free(f);
}

/* Frames that a port cuts are cut at the new size; a probe is not cut at all. */
TRACE_TEST_WITH(segmentation, .gso_bytes = 65536, .tx_csum = true)
{
    struct far *f = modern(t, 1400);
    bool probe = false;

    trace_write(t, f->app, BYTES);
    assert_int_equal(t->queue[t->queue_head].gso_size, MSS);
    while (!STATS(t)->black_holes)
        pass(f, NS_PER_MS);
    while (f->next < BYTES && !probe) {
        for (uint32_t i = 0; i < f->count; i++) {
            const struct trace_seg *seg = &f->air[(f->head + i) % AIR_MAX];

            probe |= seg->at_ns == t->now_ns && !seg->gso_size && seg->len == MSS;
        }
        pass(f, NS_PER_MS);
    }
    assert_true(probe);
    fetch(f, 0, 3);
    assert_in_range(info(f->app).path_mtu, 1400 - 7, 1400);
    trace_write(t, f->app, 20000);
    assert_int_equal(t->queue[t->queue_head].gso_size, info(f->app).mss);
    fetch(f, 0, 1);
    free(f);
}

/* The disk takes its time: a probe is made of an answer that comes later. */
TRACE_TEST(answers_come_later)
{
    struct far *f = modern(t, 1400);
    uint64_t end_ns = t->now_ns + 20 * NS_PER_S;

    f->app->fill = FILL_LATER;
    trace_write(t, f->app, BYTES);
    while (f->app->acked < BYTES && t->now_ns < end_ns) {
        pass(f, 2 * NS_PER_MS);
        while (f->app->promise_count) {
            trace_answer(t, f->app);
            trace_turn(t);
        }
    }
    assert_int_equal(f->app->acked, BYTES);
    assert_int_equal(f->next, BYTES + 1);
    assert_in_range(info(f->app).path_mtu, 1400 - 7, 1400);
    free(f);
}

/* --mss is a bound for probes, too. */
TRACE_TEST_WITH(configured_mss, .mss_max = 1200)
{
    struct far *f = modern(t, 1230);

    fetch(f, BYTES, 5);
    assert_int_equal(STATS(t)->black_holes, 1);
    assert_in_range(info(f->app).path_mtu, 1230 - 7, 1230);
    free(f);
}

/* Jumbo frames at both ends and Ethernet between them: its size is tried before the middle. */
TRACE_TEST_WITH(jumbo_ends, .mtu = 9000)
{
    struct far *f = calloc(1, sizeof(*f));

    *f = (struct far){.t = t, .app = t->app, .mtu = 1500, .next = 1, .last_ns = t->now_ns};
    t->ts = t->sack = true;
    SEND(t, .flags = SYN, .mss = 8960, .has_ts = true, .has_wscale = true, .wscale = 7,
         .sack_permitted = true);
    EXPECT(t, .flags = SYN | ACK, .ack = 1);
    SEND(t, .flags = ACK, .seq = 1, .ack = 1, .has_ts = true);
    fetch(f, 3 * BYTES, 5);
    assert_in_range(info(f->app).path_mtu, 1500, 1507);
    assert_int_equal(f->largest, 1500);
    free(f);
}

/* --- what routers say ------------------------------------------------------------------------- */

static void too_big(struct far *f, uint32_t seq, uint16_t mtu)
{
    tcp_mtu_claimed(f->app->conn, tcp_iss64(f->app->conn) + seq, mtu, f->t->now_ns);
}

/* RFC 5927 7.2: the path has taken large packets, so a claim waits for a timeout. */
TRACE_TEST(claim_waits_for_a_timeout)
{
    struct far *f = modern(t, 1500);

    fetch(f, BYTES / 2, 3);
    f->mtu = 1400;
    trace_write(t, f->app, BYTES / 2);
    too_big(f, BYTES / 2 + 1, 1400);
    assert_int_equal(info(f->app).mss, MSS);
    while (!STATS(t)->rto_fired)
        pass(f, NS_PER_MS);
    assert_int_equal(info(f->app).path_mtu, 1400);
    assert_int_equal(STATS(t)->mtu_claims, 1);
    fetch(f, 0, 2);
    assert_int_equal(STATS(t)->black_holes, 0);
    assert_int_equal(STATS(t)->mtu_probes, 0); /* routers know */
    free(f);
}

/* The same, forged: what it is about is acknowledged, and a timeout later means nothing. */
TRACE_TEST(forged_claim)
{
    struct far *f = modern(t, 1500);

    fetch(f, BYTES / 2, 3);
    trace_write(t, f->app, BYTES / 4);
    too_big(f, BYTES / 2 + 1, 600);
    too_big(f, BYTES / 2 + 1 + MSS, 700);
    fetch(f, 0, 1);
    f->mtu = 0;
    trace_write(t, f->app, BYTES / 4);
    while (!STATS(t)->rto_fired)
        pass(f, NS_PER_MS);
    f->mtu = 1500;
    fetch(f, 0, 5);
    assert_int_equal(info(f->app).mss, MSS);
    assert_int_equal(STATS(t)->mtu_claims, 0);
    free(f);
}

/* Nothing in flight has that number (RFC 5927 4.1), or nothing is in flight at all. */
TRACE_TEST(claim_about_nothing)
{
    struct far *f = modern(t, 1500);

    too_big(f, 1, 600);
    trace_write(t, f->app, 5000);
    too_big(f, 5001, 600);
    assert_int_equal(info(f->app).mss, MSS);
    assert_int_equal(STATS(t)->mtu_claims_ignored, 2);
    fetch(f, 0, 1);
    free(f);
}

/* RFC 8899 4.6.2: a router knows better than the middle of the range. */
TRACE_TEST(claim_about_a_probe)
{
    struct far *f = modern(t, 1400);

    trace_write(t, f->app, BYTES);
    while (!STATS(t)->mtu_probes)
        pass(f, NS_PER_MS);
    too_big(f, (uint32_t)(f->app->conn->sender->mtu.probe_end - tcp_iss64(f->app->conn)) - MSS,
            1400);
    fetch(f, 0, 3);
    assert_int_equal(info(f->app).path_mtu, 1400);
    assert_int_equal(STATS(t)->mtu_probes, 2);
    assert_int_equal(STATS(t)->mtu_probe_failures, 1);
    free(f);
}

/* RFC 1191 5: routers that do not say how much would fit. */
TRACE_TEST(claim_without_a_size)
{
    struct far *f = modern(t, 600);

    trace_write(t, f->app, BYTES / 4);
    too_big(f, 1, 0);
    assert_int_equal(info(f->app).path_mtu, 1220);
    too_big(f, 1, 0);
    assert_int_equal(info(f->app).path_mtu, 552);
    too_big(f, 1, 0);
    assert_int_equal(info(f->app).path_mtu, 552);
    fetch(f, 0, 3);
    free(f);
}

/* RFC 1191 6.3: without probes, what a router said is believed for ten minutes. */
TRACE_TEST_WITH(claim_is_forgotten, .configure = probing_off)
{
    struct far *f = modern(t, 1400), *g;

    trace_write(t, f->app, 20000);
    too_big(f, 1, 1400);
    fetch(f, 0, 3);
    g = far_open(t, 1, 1400);
    fetch(g, 20000, 3);
    assert_int_equal(info(g->app).path_mtu, 1400);
    assert_int_equal(g->vanished, 0);
    pass(f, 601 * NS_PER_S);
    free(g);
    g = far_open(t, 2, 1500);
    fetch(g, 20000, 3);
    assert_int_equal(info(g->app).mss, MSS);
    free(f);
    free(g);
}

/* What a router says anew counts from then on. */
TRACE_TEST(claim_is_renewed)
{
    struct far *f = modern(t, 1400), *g;

    trace_write(t, f->app, 20000);
    too_big(f, 1, 1400);
    fetch(f, 0, 3);
    pass(f, 500 * NS_PER_S);
    g = far_open(t, 1, 1300);
    trace_write(t, g->app, 20000);
    assert_int_equal(info(g->app).path_mtu, 1400);
    too_big(g, 1, 1300);
    fetch(g, 0, 3);
    pass(g, 200 * NS_PER_S);
    fetch(g, BYTES, 3);
    assert_int_equal(STATS(t)->mtu_claims, 2);
    assert_int_equal(STATS(t)->mtu_probes, 0);
    free(f);
    free(g);
}

/* More paths than places: the table stays as large as it is, and the newest are in it. */
TRACE_TEST(more_paths_than_places)
{
    struct far *f = modern(t, 1500);
    struct ip_addr remote = f->app->conn->flow.remote;
    struct tcp_path *places = t->tcp->paths.places;
    uint32_t used = 0;
    bool newest = false;

    trace_write(t, f->app, 5000);
    for (uint32_t i = 0; i < 5 * TCP_PATHS; i++) {
        uint8_t ip[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};

        t->now_ns += 1000;
        f->app->conn->flow.remote = ip_addr_v4(ip);
        f->app->conn->mss = MSS;
        too_big(f, 1, (uint16_t)(600 + i % 800));
    }
    for (uint32_t i = 0; i < TCP_PATHS; i++) {
        used += places[i].since_ns != 0;
        newest |= places[i].since_ns == t->now_ns &&
                  ip_addr_equal(&places[i].remote, &f->app->conn->flow.remote);
    }
    assert_true(newest);
    assert_int_equal(used, TCP_PATHS);
    f->app->conn->flow.remote = remote;
    trace_turn(t);
    trace_take_all(t, NULL);
    tcp_abort(f->app->conn, t->now_ns);
    trace_turn(t);
    trace_take_all(t, NULL);
    free(f);
}

/* What is sent after a long backoff may meet a moment without a path, and again. */
static void patient(struct trace *t, struct tcp_config *config)
{
    config->user_timeout_ns = 3600 * NS_PER_S;
}

static void patient_always(struct trace *t, struct tcp_config *config)
{
    patient(t, config);
    probing_always(t, config);
}

/* Paths that change, lose, and go away for a while: everything arrives in the end, in packets that
 * are never larger than both ends take. */
static void any_path(struct trace *t, uint64_t seed)
{
    static const uint32_t sizes[] = {0, 560, 700, 1220, 1280, 1400, 1492, 1500, 1500};
    struct far *f = modern(t, 1500);
    struct rand rand;

    rand_seed(&rand, seed);
    f->app->fill = rand_below(&rand, 2) ? FILL_NOW : FILL_LATER;
    trace_write(t, f->app, BYTES / 4);
    for (uint32_t i = 0; i < 100 && f->app->acked < BYTES / 4; i++) {
        f->mtu = sizes[rand_below(&rand, array_len(sizes))];
        f->drops = rand_below(&rand, 4) ? 0 : rand_below(&rand, 20);
        if (rand_below(&rand, 8) == 0)
            tcp_mtu_claimed(f->app->conn, f->app->conn->snd_una + rand_below(&rand, 3000),
                            rand_below(&rand, 1600), t->now_ns);
        for (uint32_t ms = rand_below(&rand, 3000); ms > 0; ms--) {
            while (f->app->promise_count && rand_below(&rand, 3))
                trace_answer(t, f->app);
            pass(f, NS_PER_MS);
        }
    }
    f->mtu = 1500;
    f->drops = 0;
    f->app->fill = FILL_NOW;
    while (f->app->promise_count)
        trace_answer(t, f->app);
    fetch(f, 1000, 100);
    assert_true(tcp_mtu(f->app->conn) <= 1500);
    free(f);
}

static void random_paths(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct trace *t = calloc(1, sizeof(*t));

        trace_open(t, &(struct trace_setup){.gso_bytes = seed % 3 ? 0 : 65536,
                                            .tx_csum = seed % 3 == 0,
                                            .cc = seed % 2 ? "cubic" : "bbr",
                                            .pacing = seed % 5 == 0,
                                            .configure = seed % 4 ? patient : patient_always});
        print_message("seed %llu\n", (unsigned long long)seed);
        any_path(t, seed);
        trace_close(t);
        free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(black_hole),
        cmocka_unit_test(lost_probe_is_no_congestion),
        cmocka_unit_test(loss_with_a_probe_is_congestion),
        cmocka_unit_test(false_alarm),
        cmocka_unit_test(path_that_was_proven),
        cmocka_unit_test(timeouts_with_progress),
        cmocka_unit_test(small_segments),
        cmocka_unit_test(crumbs),
        cmocka_unit_test(below_the_base),
        cmocka_unit_test(path_is_remembered),
        cmocka_unit_test(path_is_shared),
        cmocka_unit_test(larger_after_ten_minutes),
        cmocka_unit_test(larger_while_sending),
        cmocka_unit_test(off),
        cmocka_unit_test(always),
        cmocka_unit_test(always_with_nothing_in_the_way),
        cmocka_unit_test(without_sack),
        cmocka_unit_test(segmentation),
        cmocka_unit_test(answers_come_later),
        cmocka_unit_test(configured_mss),
        cmocka_unit_test(jumbo_ends),
        cmocka_unit_test(claim_waits_for_a_timeout),
        cmocka_unit_test(forged_claim),
        cmocka_unit_test(claim_about_nothing),
        cmocka_unit_test(claim_about_a_probe),
        cmocka_unit_test(claim_without_a_size),
        cmocka_unit_test(claim_is_forgotten),
        cmocka_unit_test(claim_is_renewed),
        cmocka_unit_test(more_paths_than_places),
        cmocka_unit_test(random_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

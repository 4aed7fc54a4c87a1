// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/rand.h"
#include "base/timer.h"

#define TICK TIMER_TICK_NS

static void test_order_and_lateness(void **state)
{
    struct timer_wheel wheel;
    struct timer a, b, c;

    timer_wheel_init(&wheel, 0);
    timer_init(&a);
    timer_init(&b);
    timer_init(&c);
    assert_true(timer_next_ns(&wheel) == UINT64_MAX);
    timer_arm(&wheel, &a, 5 * TICK);
    timer_arm(&wheel, &b, 3 * TICK + 1);
    timer_arm(&wheel, &c, 3 * TICK);
    assert_int_equal(timer_next_ns(&wheel), 3 * TICK);
    assert_null(timer_pop(&wheel, 3 * TICK - 1));
    assert_ptr_equal(timer_pop(&wheel, 3 * TICK), &c);
    assert_false(timer_armed(&c));
    assert_null(timer_pop(&wheel, 4 * TICK - 1));
    assert_ptr_equal(timer_pop(&wheel, 9 * TICK), &b);
    assert_ptr_equal(timer_pop(&wheel, 9 * TICK), &a);
    assert_null(timer_pop(&wheel, 9 * TICK));
    assert_int_equal(wheel.count, 0);
    assert_true(timer_next_ns(&wheel) == UINT64_MAX);
}

/* A popped timer that is armed for the past comes back, but not within the same loop. */
static void test_armed_for_the_past(void **state)
{
    struct timer_wheel wheel;
    struct timer a;

    timer_wheel_init(&wheel, 1000 * TICK);
    timer_init(&a);
    timer_arm(&wheel, &a, 0);
    assert_ptr_equal(timer_pop(&wheel, 2000 * TICK), &a);
    timer_arm(&wheel, &a, 10);
    assert_null(timer_pop(&wheel, 2000 * TICK));
    assert_null(timer_pop(&wheel, 2001 * TICK - 1));
    assert_true(timer_next_ns(&wheel) <= 2001 * TICK);
    assert_ptr_equal(timer_pop(&wheel, 2001 * TICK), &a);
}

/* Disarmed and moved while it waits to be popped. */
static void test_disarm_when_due(void **state)
{
    struct timer_wheel wheel;
    struct timer t[3];

    timer_wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++) {
        timer_init(&t[i]);
        timer_arm(&wheel, &t[i], TICK);
    }
    assert_ptr_equal(timer_pop(&wheel, TICK), &t[0]);
    timer_disarm(&wheel, &t[1]);
    timer_disarm(&wheel, &t[1]);
    timer_arm(&wheel, &t[2], 100 * TICK);
    assert_null(timer_pop(&wheel, TICK));
    assert_int_equal(wheel.count, 1);
    assert_ptr_equal(timer_pop(&wheel, 100 * TICK), &t[2]);
}

/* Two years and more: what is beyond the wheel waits in it and is neither early nor lost. */
static void test_beyond_the_wheel(void **state)
{
    const uint64_t turn_ns = (1ull << 36) * TICK;
    struct timer_wheel wheel;
    struct timer far, never;
    uint64_t now_ns = 63 * (turn_ns / 64) + 12345;
    const uint64_t due_ns = now_ns + 3 * turn_ns + 77 * TICK;
    unsigned wakes = 0;

    timer_wheel_init(&wheel, now_ns);
    timer_init(&far);
    timer_init(&never);
    timer_arm(&wheel, &far, due_ns);
    timer_arm(&wheel, &never, UINT64_MAX);
    for (;;) {
        struct timer *t;

        now_ns = timer_next_ns(&wheel);
        assert_true(now_ns < due_ns + TICK);
        t = timer_pop(&wheel, now_ns);
        if (t) {
            assert_ptr_equal(t, &far);
            break;
        }
        assert_true(wakes++ < 100);
    }
    assert_true(now_ns >= due_ns);
    assert_true(timer_armed(&never));
}

/* A timer that is moved away again and again leaves nothing behind to wake up for. */
static void test_moved_timer_leaves_no_trail(void **state)
{
    struct timer_wheel wheel;
    struct timer a;

    timer_wheel_init(&wheel, 0);
    timer_init(&a);
    for (uint64_t tick = 10; tick < 5000; tick += 7)
        timer_arm(&wheel, &a, tick * TICK);
    assert_true(timer_next_ns(&wheel) >= 4096 * TICK);
    timer_disarm(&wheel, &a);
    assert_true(timer_next_ns(&wheel) == UINT64_MAX);
}

#define TIMERS     64
#define OPERATIONS 100000

struct reference {
    struct timer timer;
    uint64_t due_tick; /* at which it must be popped; 0: not armed */
};

static uint64_t reference_next(const struct reference *refs)
{
    uint64_t next = UINT64_MAX;

    for (int i = 0; i < TIMERS; i++)
        if (refs[i].due_tick)
            next = min_u64(next, refs[i].due_tick);
    return next;
}

static void pop_and_compare(struct timer_wheel *wheel, struct reference *refs, uint64_t now_ns,
                            struct rand *r)
{
    uint64_t last_tick = 0;
    struct timer *t;
    int budget = rand_chance(r, 0.1) ? 1 : TIMERS + 1; /* an owner may stop in the middle */

    while (budget-- && (t = timer_pop(wheel, now_ns))) {
        struct reference *ref = container_of(t, struct reference, timer);

        assert_int_not_equal(ref->due_tick, 0);
        assert_true(ref->due_tick <= now_ns / TICK);
        assert_true(ref->due_tick >= last_tick);
        assert_int_equal(ref->due_tick, reference_next(refs));
        last_tick = ref->due_tick;
        ref->due_tick = 0;
    }
    if (budget >= 0)
        assert_true(reference_next(refs) > now_ns / TICK);
}

/* Steps and deadlines of every magnitude, from within a tick to years. */
static uint64_t random_span(struct rand *r)
{
    return rand_u64(r) >> (8 + rand_below(r, 50));
}

static void run_against_reference(uint64_t seed, uint64_t now_ns)
{
    static struct reference refs[TIMERS];
    struct timer_wheel wheel;
    uint64_t popped_tick = now_ns / TICK; /* armed for less: due at this tick */
    struct rand r;

    memset(refs, 0, sizeof(refs));
    rand_seed(&r, seed);
    timer_wheel_init(&wheel, now_ns);
    for (int i = 0; i < TIMERS; i++)
        timer_init(&refs[i].timer);
    for (int op = 0; op < OPERATIONS; op++) {
        struct reference *ref = &refs[rand_below(&r, TIMERS)];
        uint64_t due_ns, next;

        switch (rand_below(&r, 8)) {
        case 0:
            timer_disarm(&wheel, &ref->timer);
            ref->due_tick = 0;
            break;
        case 1:
            now_ns += random_span(&r) >> 3;
            pop_and_compare(&wheel, refs, now_ns, &r);
            popped_tick = now_ns / TICK + 1;
            break;
        case 2:
            /* Sleep exactly as long as the wheel allows. */
            next = timer_next_ns(&wheel);
            if (next != UINT64_MAX)
                now_ns = max_u64(now_ns, next);
            pop_and_compare(&wheel, refs, now_ns, &r);
            popped_tick = now_ns / TICK + 1;
            break;
        default:
            due_ns = now_ns + random_span(&r);
            due_ns -= rand_chance(&r, 0.1) ? min_u64(due_ns, 5 * TICK) : 0;
            timer_arm(&wheel, &ref->timer, due_ns);
            ref->due_tick = max_u64((due_ns + TICK - 1) / TICK, popped_tick);
        }
        next = reference_next(refs);
        if (next == UINT64_MAX)
            assert_true(timer_next_ns(&wheel) == UINT64_MAX);
        else
            assert_true(timer_next_ns(&wheel) <= next * TICK);
        assert_true(now_ns < UINT64_MAX / 2); /* or the reference would overflow */
    }
}

static void test_reference(void **state)
{
    run_against_reference(1, 1);
    run_against_reference(2, 4095 * TICK + 5);
    run_against_reference(3, ((1ull << 36) - 70) * TICK);
    run_against_reference(4, 1700000000 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_lateness),
        cmocka_unit_test(test_armed_for_the_past),
        cmocka_unit_test(test_disarm_when_due),
        cmocka_unit_test(test_beyond_the_wheel),
        cmocka_unit_test(test_moved_timer_leaves_no_trail),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

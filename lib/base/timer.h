// SPDX-License-Identifier: BSD-2-Clause
/*
 * timer.h - a hierarchical timing wheel (Varghese and Lauck, 1987).
 *
 * Arming, disarming and moving a timer cost O(1) whatever their number. The wheel has no clock and
 * calls nobody: the owner pops what is due, in order of ticks, and knows what its timers mean:
 *
 *     while ((t = timer_pop(&wheel, now_ns)))
 *         conn_timer(container_of(t, struct tcp_conn, timer), now_ns);
 *
 * A timer is due at the first tick (TIMER_TICK_NS) at or after due_ns: it may be late by one tick,
 * it is never early. A popped timer is disarmed and may be armed again at once; armed for a time
 * that has passed, it is popped by the next timer_pop of a later tick, so that a loop always ends.
 * The owner keeps the memory of armed timers in place.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/list.h"

#define TIMER_TICK_NS (1000 * NS_PER_US) /* 1 ms: RFC 6298's granularity needs no finer */
#define TIMER_SLOTS   64
#define TIMER_LEVELS  6 /* 64^6 ms: two years; what is farther waits in the last slot */

struct timer {
    struct list node;
    uint64_t due_ns;
};

struct timer_wheel {
    uint64_t tick;               /* every timer due before this tick has been popped */
    uint64_t count;              /* armed timers */
    uint64_t used[TIMER_LEVELS]; /* bit s: slot s of the level may hold timers */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
    struct list due; /* moved out of their slots, to be popped at this tick */
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);
void timer_init(struct timer *timer);
/* Arms, or moves an armed timer. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ns);
void timer_disarm(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
    return list_linked(&timer->node);
}

/* The next timer that is due at now_ns, disarmed, or NULL. */
struct timer *timer_pop(struct timer_wheel *wheel, uint64_t now_ns);

/*
 * A time until which nothing is due: how long the owner may sleep. It is exact within a level's
 * slot and early otherwise (the owner wakes, pops nothing, asks again). UINT64_MAX: none armed.
 */
uint64_t timer_next_ns(const struct timer_wheel *wheel);

#endif

// SPDX-License-Identifier: BSD-2-Clause
/*
 * wheel.h - a timing wheel for packets (Varghese and Lauck, 1987, scheme 6).
 *
 * A packet under way is only ever put in and, once, taken out: it is never disarmed. So a slot is a
 * queue with single links, one for each tick of the time ahead, and both operations are O(1) for
 * any delay. Three levels of bitmaps find the next slot in use, so that an empty stretch costs
 * nothing and the owner knows how long it may sleep.
 *
 * An item is due at the first tick at or after due_ns: late by less than a tick, never early. Items
 * of one tick come out in the order in which they were put in; since an earlier tick comes first,
 * items that were put in before they were due, with due times in order, come out in that order.
 *
 * This is not base/timer.h, whose ticks are those of TCP's timers, thirty times as long, and whose
 * timers must be able to leave: six levels with moves between them, where this has one.
 */
#ifndef MIDDLEBOX_WHEEL_H
#define MIDDLEBOX_WHEEL_H

#include "mem/mem.h"

#define WHEEL_TICK_SHIFT 15 /* 32.768 us: a packet of 1,500 bytes at 366 Mbit/s */
#define WHEEL_TICK_NS    (1ull << WHEEL_TICK_SHIFT)
#define WHEEL_SLOTS      (64u * 64u * 64u)
/* How far ahead an item may be due: 8.58 s. */
#define WHEEL_HORIZON_NS ((WHEEL_SLOTS - 1) * WHEEL_TICK_NS)

struct wheel_item {
    struct wheel_item *next;
    uint64_t due_ns;
};

struct wheel_slot {
    struct wheel_item *head, *tail;
};

struct wheel {
    struct wheel_slot *slots; /* private: */
    uint64_t tick;            /* all that was due before it has been taken */
    uint64_t used;
    uint64_t used_64[64];     /* a bit for 64 slots */
    uint64_t used_1[64 * 64]; /* a bit for each slot */
    uint64_t count;           /* public: items in the wheel */
};

/* -ENOMEM when the arena is too small. */
must_check int wheel_init(struct wheel *wheel, struct mem_arena *arena, uint64_t now_ns);
size_t wheel_arena_bytes(void);
/* What is due already (due_ns <= now_ns) waits for no tick: the next wheel_take has it. False: the
 * item is due beyond the horizon. */
must_check bool wheel_put(struct wheel *wheel, struct wheel_item *item, uint64_t due_ns,
                          uint64_t now_ns);
/* The next item that is due at now_ns, or NULL. */
struct wheel_item *wheel_take(struct wheel *wheel, uint64_t now_ns);
/* When the next item is due; UINT64_MAX: there is none. */
uint64_t wheel_next_ns(const struct wheel *wheel);

#endif

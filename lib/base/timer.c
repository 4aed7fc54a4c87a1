// SPDX-License-Identifier: BSD-2-Clause
/*
 * timer.c - the hierarchical timing wheel.
 *
 * A tick is read as TIMER_LEVELS digits of SLOT_BITS bits. A timer lies on the level of the highest
 * digit in which its tick differs from the wheel's, in the slot of its own digit there. So every
 * slot of a level comes before every slot of the next level, and whatever is due next is in the
 * first used slot of the lowest level that has one. Only the top level wraps around.
 *
 * When the wheel's tick enters a slot of an upper level, that slot's timers are placed again and
 * fall to lower levels: each timer moves at most TIMER_LEVELS times in its life.
 */
#include "base/timer.h"

#define SLOT_BITS 6
#define TOP       (TIMER_LEVELS - 1)

_Static_assert(TIMER_SLOTS == 1 << SLOT_BITS, "a slot is a digit");
_Static_assert(TIMER_SLOTS == 64, "the used slots of a level are the bits of one word");

static unsigned level_shift(unsigned level)
{
    return level * SLOT_BITS;
}

static unsigned digit(uint64_t tick, unsigned level)
{
    return (tick >> level_shift(level)) & (TIMER_SLOTS - 1);
}

/* The level of the highest digit in which two ticks differ; 0 if they do not. What is above the top
 * level's digit belongs to it: that level is a circle. */
static unsigned differing_level(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b;
    unsigned level = differ ? (63 - (unsigned)__builtin_clzll(differ)) / SLOT_BITS : 0;

    return level < TOP ? level : TOP;
}

static uint64_t due_tick(uint64_t due_ns)
{
    return due_ns / TIMER_TICK_NS + (due_ns % TIMER_TICK_NS != 0);
}

static void put_slot(struct timer_wheel *wheel, struct timer *timer, unsigned level, unsigned slot)
{
    list_push_tail(&wheel->slots[level][slot], &timer->node);
    wheel->used[level] |= 1ull << slot;
}

static void place(struct timer_wheel *wheel, struct timer *timer)
{
    uint64_t tick = max_u64(due_tick(timer->due_ns), wheel->tick);
    unsigned level = differing_level(tick, wheel->tick);
    uint64_t top, ahead;

    if (level < TOP) {
        put_slot(wheel, timer, level, digit(tick, level));
        return;
    }
    /* The top level is a circle, of which the wheel's own slot is the one place not to be used:
     * it has been emptied and will be looked at next after a whole turn. */
    top = wheel->tick >> level_shift(TOP);
    ahead = (tick >> level_shift(TOP)) - top;
    put_slot(wheel, timer, TOP, (unsigned)((top + min_u64(ahead, TIMER_SLOTS - 1)) % TIMER_SLOTS));
}

/* The tick at which the first used slot begins; UINT64_MAX: there is none. */
static uint64_t first_tick(const struct timer_wheel *wheel)
{
    unsigned level = 0, turn;
    uint64_t top, used;

    while (level < TOP && !wheel->used[level])
        level++;
    used = wheel->used[level];
    if (!used)
        return UINT64_MAX;
    if (level < TOP) {
        unsigned above = level_shift(level + 1);

        return (wheel->tick >> above << above) |
               ((uint64_t)__builtin_ctzll(used) << level_shift(level));
    }
    top = wheel->tick >> level_shift(TOP);
    turn = top % TIMER_SLOTS;
    used = turn ? used >> turn | used << (TIMER_SLOTS - turn) : used;
    return (top + (uint64_t)__builtin_ctzll(used)) << level_shift(TOP);
}

static void cascade(struct timer_wheel *wheel, unsigned level)
{
    unsigned slot = digit(wheel->tick, level);
    struct list *head = &wheel->slots[level][slot];
    struct list *node;

    if (!(wheel->used[level] & 1ull << slot))
        return;
    wheel->used[level] &= ~(1ull << slot);
    while ((node = list_pop_head(head)))
        place(wheel, list_entry(node, struct timer, node));
}

/* Moves the wheel to a tick that no used slot begins before. Slots are entered on the level of the
 * highest digit that changes, and on those below. */
static void set_tick(struct timer_wheel *wheel, uint64_t tick)
{
    unsigned level = differing_level(tick, wheel->tick);

    wheel->tick = tick;
    for (; level > 0; level--)
        cascade(wheel, level);
}

static void collect_due(struct timer_wheel *wheel)
{
    unsigned slot = digit(wheel->tick, 0);
    struct list *node;

    while ((node = list_pop_head(&wheel->slots[0][slot])))
        list_push_tail(&wheel->due, node);
    wheel->used[0] &= ~(1ull << slot);
}

static void advance(struct timer_wheel *wheel, uint64_t now_tick)
{
    uint64_t tick;

    while ((tick = first_tick(wheel)) <= now_tick) {
        set_tick(wheel, tick);
        collect_due(wheel);
    }
    set_tick(wheel, now_tick + 1);
}

/* A slot that loses its last timer is not used any more: a timer that is moved with every ACK
 * would otherwise leave a trail of slots for each of which the owner wakes up. */
static void forget_slot_if_last(struct timer_wheel *wheel, const struct list *node)
{
    const struct list *head = node->next;
    size_t index;

    if (head != node->prev || head == &wheel->due)
        return;
    index = (size_t)(head - &wheel->slots[0][0]);
    wheel->used[index / TIMER_SLOTS] &= ~(1ull << index % TIMER_SLOTS);
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ns / TIMER_TICK_NS;
    for (unsigned level = 0; level < TIMER_LEVELS; level++)
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    list_init(&wheel->due);
}

void timer_init(struct timer *timer)
{
    list_init(&timer->node);
    timer->due_ns = 0;
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ns)
{
    timer_disarm(wheel, timer);
    timer->due_ns = due_ns;
    place(wheel, timer);
    wheel->count++;
}

void timer_disarm(struct timer_wheel *wheel, struct timer *timer)
{
    if (!timer_armed(timer))
        return;
    assert(wheel->count > 0);
    /* With two timers in a slot each one's neighbours differ: one is the head, one the other
     * timer. With one, both neighbours are the head. */
    forget_slot_if_last(wheel, &timer->node);
    list_remove(&timer->node);
    wheel->count--;
}

struct timer *timer_pop(struct timer_wheel *wheel, uint64_t now_ns)
{
    uint64_t now_tick = now_ns / TIMER_TICK_NS;
    struct list *node;

    if (now_tick >= wheel->tick)
        advance(wheel, now_tick);
    node = list_pop_head(&wheel->due);
    if (!node)
        return NULL;
    wheel->count--;
    return list_entry(node, struct timer, node);
}

uint64_t timer_next_ns(const struct timer_wheel *wheel)
{
    uint64_t tick;

    if (!list_empty(&wheel->due))
        return list_first(&wheel->due, struct timer, node)->due_ns;
    tick = first_tick(wheel);
    if (tick == UINT64_MAX)
        return UINT64_MAX;
    return tick > UINT64_MAX / TIMER_TICK_NS ? UINT64_MAX - 1 : tick * TIMER_TICK_NS;
}

// SPDX-License-Identifier: BSD-2-Clause
#include "wheel.h"

#include <errno.h>

#define SLOT_MASK (WHEEL_SLOTS - 1)

size_t wheel_arena_bytes(void)
{
    return WHEEL_SLOTS * sizeof(struct wheel_slot) + CACHE_LINE;
}

int wheel_init(struct wheel *wheel, struct mem_arena *arena, uint64_t now_ns)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ns >> WHEEL_TICK_SHIFT;
    wheel->slots = mem_arena_alloc(arena, WHEEL_SLOTS * sizeof(*wheel->slots), CACHE_LINE);
    return wheel->slots ? 0 : -ENOMEM;
}

/* --- which slots are in use ------------------------------------------------------------------- */

static void mark_used(struct wheel *wheel, uint32_t slot)
{
    wheel->used_1[slot / 64] |= 1ull << slot % 64;
    wheel->used_64[slot / 4096] |= 1ull << slot / 64 % 64;
    wheel->used |= 1ull << slot / 4096;
}

static void mark_empty(struct wheel *wheel, uint32_t slot)
{
    wheel->used_1[slot / 64] &= ~(1ull << slot % 64);
    if (wheel->used_1[slot / 64])
        return;
    wheel->used_64[slot / 4096] &= ~(1ull << slot / 64 % 64);
    if (!wheel->used_64[slot / 4096])
        wheel->used &= ~(1ull << slot / 4096);
}

static uint64_t bits_from(uint64_t bits, uint32_t first)
{
    return first < 64 ? bits & ~0ull << first : 0;
}

static uint32_t lowest(uint64_t bits)
{
    return (uint32_t)__builtin_ctzll(bits);
}

/* The first slot in use from `slot` to the last one; WHEEL_SLOTS: none. */
static uint32_t used_from(const struct wheel *wheel, uint32_t slot)
{
    uint64_t bits = bits_from(wheel->used_1[slot / 64], slot % 64);
    uint32_t at;

    if (bits)
        return slot / 64 * 64 + lowest(bits);
    bits = bits_from(wheel->used_64[slot / 4096], slot / 64 % 64 + 1);
    if (bits) {
        at = slot / 4096 * 64 + lowest(bits);
        return at * 64 + lowest(wheel->used_1[at]);
    }
    bits = bits_from(wheel->used, slot / 4096 + 1);
    if (!bits)
        return WHEEL_SLOTS;
    at = lowest(bits);
    at = at * 64 + lowest(wheel->used_64[at]);
    return at * 64 + lowest(wheel->used_1[at]);
}

/* The tick of the first slot in use, which may lie behind the end of the array. There is one. */
static uint64_t first_tick(const struct wheel *wheel)
{
    uint32_t start = (uint32_t)wheel->tick & SLOT_MASK;
    uint32_t slot = used_from(wheel, start);

    if (slot == WHEEL_SLOTS)
        slot = used_from(wheel, 0);
    return wheel->tick + ((slot - start) & SLOT_MASK);
}

/* --- in and out ------------------------------------------------------------------------------- */

bool wheel_put(struct wheel *wheel, struct wheel_item *item, uint64_t due_ns, uint64_t now_ns)
{
    uint64_t tick = (due_ns + WHEEL_TICK_NS - 1) >> WHEEL_TICK_SHIFT;
    struct wheel_slot *slot;

    /* An empty wheel may have stood still for longer than its horizon. */
    if (!wheel->count)
        wheel->tick = max_u64(wheel->tick, now_ns >> WHEEL_TICK_SHIFT);
    tick = due_ns > now_ns ? max_u64(tick, wheel->tick) : wheel->tick;
    if (tick - wheel->tick >= WHEEL_SLOTS)
        return false;
    item->due_ns = due_ns;
    item->next = NULL;
    slot = &wheel->slots[tick & SLOT_MASK];
    if (slot->head) {
        slot->tail->next = item;
    } else {
        slot->head = item;
        mark_used(wheel, (uint32_t)tick & SLOT_MASK);
    }
    slot->tail = item;
    wheel->count++;
    return true;
}

struct wheel_item *wheel_take(struct wheel *wheel, uint64_t now_ns)
{
    uint64_t now_tick = now_ns >> WHEEL_TICK_SHIFT;
    uint64_t tick = wheel->count ? first_tick(wheel) : UINT64_MAX;
    struct wheel_slot *slot = &wheel->slots[tick & SLOT_MASK];
    struct wheel_item *item;

    if (tick > now_tick) { /* so it is when the wheel is empty */
        wheel->tick = max_u64(wheel->tick, now_tick);
        return NULL;
    }
    wheel->tick = tick;
    item = slot->head;
    slot->head = item->next;
    if (slot->head)
        __builtin_prefetch(slot->head->next);
    else
        mark_empty(wheel, (uint32_t)tick & SLOT_MASK);
    wheel->count--;
    return item;
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
    return wheel->count ? first_tick(wheel) << WHEEL_TICK_SHIFT : UINT64_MAX;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * path_test.h - a path, a flow and packets for the tests of the stages.
 */
#ifndef MIDDLEBOX_PATH_TEST_H
#define MIDDLEBOX_PATH_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "path.h"

#define PATH_TEST_SEED 7

struct path_test {
    struct mem_arena *arena;
    struct path path;
    struct flow flow;
    uint8_t ip[40];
};

static inline void path_test_open(struct path_test *t, const struct path_settings *settings,
                                  uint64_t seed)
{
    struct path_config config = {.settings = *settings, .direction = TO_RIGHT, .seed = seed};

    memset(t, 0, sizeof(*t));
    assert_null(path_settings_check(settings));
    assert_int_equal(mem_arena_open(&t->arena, path_arena_bytes(settings) + PAGE_BYTES, 0), 0);
    config.arena = t->arena;
    assert_int_equal(path_init(&t->path, &config), 0);
    t->flow = (struct flow){.key = 1, .fate = 1};
    t->ip[0] = 0x45;
}

static inline void path_test_close(struct path_test *t)
{
    mem_arena_close(t->arena);
}

/* One packet of the flow; `transit` shows what was decided. */
static inline bool path_test_packet(struct path_test *t, struct transit *transit, uint32_t len,
                                    uint64_t now_ns)
{
    *transit = (struct transit){.ip = t->ip,
                                .ip6 = t->ip[0] >> 4 == 6,
                                .len = len,
                                .ip_len = len - 14,
                                .flow = &t->flow,
                                .now_ns = now_ns};
    return path_apply(&t->path, transit);
}

/* The settings that an option makes of the default ones; fails the test when it is refused. */
static inline const struct path_option *path_test_option(const struct stage *stage,
                                                         const char *name)
{
    const struct path_option *o = stage->options;

    while (o->name && strcmp(o->name, name) != 0)
        o++;
    assert_non_null(o->name);
    return o;
}

static inline struct path_settings path_test_settings(const struct stage *stage, const char *name,
                                                      const char *value)
{
    struct path_settings settings;

    path_settings_default(&settings);
    assert_true(path_test_option(stage, name)->parse(&settings, value));
    return settings;
}

static inline bool path_test_refused(const struct stage *stage, const char *name, const char *value)
{
    struct path_settings settings;

    path_settings_default(&settings);
    return !path_test_option(stage, name)->parse(&settings, value);
}

#endif

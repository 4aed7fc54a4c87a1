// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "nmio/priv.h"

static struct mem_arena *arena;
static const char *why;

static int open_spec(const char *spec, uint32_t queue, uint32_t queue_count)
{
    struct nmio_config config = {.arena = arena, .queue = queue, .queue_count = queue_count};
    struct nmio_port *port;
    int err;

    why = NULL;
    err = nmio_open(&port, spec, &config, &why);
    if (!err)
        nmio_close(port);
    return err;
}

static void refused(const char *spec, int err, const char *says)
{
    assert_int_equal(open_spec(spec, 0, 1), err);
    assert_non_null(why);
    assert_non_null(strstr(why, says));
}

static void test_refused(void **state)
{
    assert_int_equal(mem_arena_open(&arena, 1, 0), 0);
    refused("", -EINVAL, "tap:NAME");
    refused("xdp:eth0", -EINVAL, "no such port: xdp:eth0");
    refused("tap", -EINVAL, "no such port");
    refused("tap:", -EINVAL, "name");
    refused("tap:abcdefghijklmnop", -ENAMETOOLONG, "15 characters");
    refused("tap:a/b", -EINVAL, "a/b");
    refused("tap:a%d", -EINVAL, "a%d");
    refused("fault:loss=0.1", -EINVAL, "port below");
    refused("fault:loss=2/tap:x", -EINVAL, "loss=2");
    refused("fault:loss=0.5,,/tap:x", -EINVAL, "options are");
    refused("fault:,loss=0.5/tap:x", -EINVAL, "options are");
    refused("fault:seed=7/nothing", -EINVAL, "nothing");
    assert_int_equal(open_spec("tap:x", 2, 2), -EINVAL);
    assert_non_null(strstr(why, "queue 2 of 2"));
    mem_arena_close(arena);
}

static int parse(struct nmio_fault_config *config, const char *options)
{
    return nmio_fault_parse(config, options, strlen(options), &why);
}

static void test_fault_options(void **state)
{
    struct nmio_fault_config config;

    assert_int_equal(parse(&config, ""), 0);
    assert_true(config.loss == 0 && config.seed == 0 && !config.rx_only);
    assert_int_equal(parse(&config, "loss=0.01,seed=7,duplicate=.5,reorder=1,corrupt=1e-3"), 0);
    assert_true(config.loss == 0.01 && config.duplicate == 0.5 && config.reorder == 1);
    assert_true(config.corrupt == 0.001);
    assert_int_equal(config.seed, 7);
    assert_int_equal(config.reorder_ns, NS_PER_MS);
    assert_int_equal(parse(&config, "delay=10ms,reorder_by=250us,rx_only,seed=0xff"), 0);
    assert_int_equal(config.delay_ns, 10 * NS_PER_MS);
    assert_int_equal(config.reorder_ns, 250 * NS_PER_US);
    assert_int_equal(config.seed, 255);
    assert_true(config.rx_only);
}

static void test_fault_options_refused(void **state)
{
    static const char *const wrong[] = {
        "loss",
        "loss=",
        "loss=x",
        "loss=-0.1",
        "loss=1.1",
        "loss=nan",
        "loss=0.1x",
        "delay=10",
        "delay=ms",
        "delay=-1s",
        "delay=99999s",
        "seed=-1",
        "seed=",
        "rx_only=1",
        "speed=3",
        "loss=0.1,",
        "seed=1 ",
        "=",
        "delay=99999999999999999999ns",
    };
    struct nmio_fault_config config;

    for (size_t i = 0; i < array_len(wrong); i++)
        assert_int_equal(parse(&config, wrong[i]), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_fault_options),
        cmocka_unit_test(test_fault_options_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "source.h"

static const char *text_of(struct ip_addr addr)
{
    static char text[IP_ADDR_TEXT];

    return ip_addr_format(&addr, text);
}

static void test_ranges(void **state)
{
    static const struct {
        const char *text, *first;
        uint32_t count;
        uint8_t bits;
    } good[] = {
        {"10.0.0.2/8", "10.0.0.2", 1, 8},
        {"10.1.0.0/16", "10.1.0.1", 65534, 16},
        {"10.0.0.0/8", "10.0.0.1", (1u << 24) - 2, 8},
        {"10.0.0.4/31", "10.0.0.4", 1, 31},
        {"10.0.0.4", "10.0.0.4", 1, 32},
        {"10.0.1.1-10.0.4.255/8", "10.0.1.1", 1023, 8},
        {"10.0.1.1-10.0.1.1/8", "10.0.1.1", 1, 8},
        {"2001:db8::/112", "2001:db8::1", 65534, 112},
        {"2001:db8::5-2001:db8::9/64", "2001:db8::5", 5, 64},
    };
    static const char *const bad[] = {"",
                                      "x",
                                      "10.0.0.1/33",
                                      "10.0.0.2-10.0.0.1/8",
                                      "10.0.0.1-10.0.0.2",
                                      "10.0.0.1-::2/64",
                                      "-/8",
                                      "10.0.0.1-/8"};
    struct source_range r;

    for (size_t i = 0; i < array_len(good); i++) {
        assert_true(source_range_parse(good[i].text, &r));
        assert_string_equal(text_of(r.first), good[i].first);
        assert_int_equal(r.count, good[i].count);
        assert_int_equal(r.bits, good[i].bits);
    }
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(source_range_parse(bad[i], &r));
}

static void test_pairs(void **state)
{
    struct sources s = {.range_count = 2};
    struct ip_addr addr;
    uint16_t port;

    assert_true(source_range_parse("10.0.0.254-10.0.1.1/8", &s.ranges[0]));
    assert_true(source_range_parse("192.0.2.7/24", &s.ranges[1]));
    assert_int_equal(sources_addrs(&s), 5);
    sources_next_pair(&s, &addr, &port);
    assert_string_equal(text_of(addr), "10.0.0.254");
    assert_int_equal(port, SOURCE_PORT_FIRST);
    for (uint32_t i = 1; i < SOURCE_PORTS; i++)
        sources_next_pair(&s, &addr, &port);
    assert_string_equal(text_of(addr), "10.0.0.254");
    assert_int_equal(port, 65535);
    sources_next_pair(&s, &addr, &port);
    assert_string_equal(text_of(addr), "10.0.0.255");
    assert_int_equal(port, SOURCE_PORT_FIRST);
    assert_string_equal(text_of(sources_addr(&s, 2)), "10.0.1.0");
    assert_string_equal(text_of(sources_addr(&s, 4)), "192.0.2.7");
    assert_string_equal(text_of(sources_addr(&s, 5)), "10.0.0.254");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_pairs)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

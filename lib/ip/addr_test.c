// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ip/ip.h"

static void test_there_and_back(void **state)
{
    static const char *const texts[] = {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1",
                                        "::1"};
    char out[IP_ADDR_TEXT];
    struct ip_addr addr;

    for (size_t i = 0; i < array_len(texts); i++) {
        assert_int_equal(ip_addr_parse(texts[i], &addr), 0);
        assert_string_equal(ip_addr_format(&addr, out), texts[i]);
    }
    assert_int_equal(ip_addr_parse("::ffff:192.0.2.1", &addr), 0);
    assert_true(ip_addr_is_v4(&addr));
    assert_string_equal(ip_addr_format(&addr, out), "192.0.2.1");
}

static void test_prefixes(void **state)
{
    struct ip_prefix prefix;

    assert_int_equal(ip_prefix_parse("192.0.2.1/24", &prefix), 0);
    assert_int_equal(prefix.bits, 24);
    assert_int_equal(prefix.addr.b[15], 1);
    assert_int_equal(ip_prefix_parse("192.0.2.1", &prefix), 0);
    assert_int_equal(prefix.bits, 32);
    assert_int_equal(ip_prefix_parse("0.0.0.0/0", &prefix), 0);
    assert_int_equal(prefix.bits, 0);
    assert_int_equal(ip_prefix_parse("2001:db8::1/64", &prefix), 0);
    assert_int_equal(prefix.bits, 64);
}

static void test_nonsense(void **state)
{
    static const char *const texts[] = {
        "",
        "/",
        "/24",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1/",
        "192.0.2.1x",
        "192.0.2.1/33",
        "192.0.2.1/-1",
        "192.0.2.1/24x",
        "192.0.2.1/ 24",
        "::1/129",
        "192.0.2.1/024000",
        " 192.0.2.1",
        "192.0.2.1/24/8",
        "11111111111111111111111111111111111111111111111111111111111111/8"};
    struct ip_prefix prefix;

    for (size_t i = 0; i < array_len(texts); i++)
        assert_int_equal(ip_prefix_parse(texts[i], &prefix), -EINVAL);
}

static void test_common_bits(void **state)
{
    struct ip_addr a = ip_addr_v4("\300\0\2\1"), b = a;

    assert_int_equal(ip_addr_common_bits(&a, &b), 128);
    b.b[15] ^= 1;
    assert_int_equal(ip_addr_common_bits(&a, &b), 127);
    b.b[12] ^= 0x40;
    assert_int_equal(ip_addr_common_bits(&a, &b), 97);
    b.b[7] ^= 1;
    assert_int_equal(ip_addr_common_bits(&a, &b), 63);
    b.b[0] ^= 0x80;
    assert_int_equal(ip_addr_common_bits(&a, &b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_common_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

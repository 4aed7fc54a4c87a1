// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/siphash.h"

/* The example of the paper's appendix A: key 00..0f, message 00..0e. */
static void test_paper(void **state)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t message[15];

    for (uint8_t i = 0; i < 15; i++)
        message[i] = i;
    assert_true(siphash24(key, message, 15) == 0xa129ca6149be45e5);
    /* The first of the reference implementation's vectors: the empty message. */
    assert_true(siphash24(key, message, 0) == 0x726fdb47dd0e0e31);
    assert_true(siphash13(key, message, 0) == 0xabac0158050fc4dc);
}

/* CPython 3.11 hashes strings with SipHash-1-3; PYTHONHASHSEED=0 makes its key zero. */
static void test_python(void **state)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } cases[] = {
        {"a", 0x407448d2b89b1813},
        {"abc", 0xc03bc3a0042630f2},
        {"0123456", 0x810aaf7acf670379},
        {"01234567", 0xda3dcedf84ea6cc6},
        {"0123456789abcdef", 0x1d42b30f7e060c24},
        {"The quick brown fox jumps over the lazy dog", 0x8df676d3d00c451e},
    };
    const uint64_t key[2] = {0, 0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(siphash13(key, cases[i].text, strlen(cases[i].text)) == cases[i].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper),
        cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

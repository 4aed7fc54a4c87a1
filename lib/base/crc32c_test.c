// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/crc32c_priv.h"
#include "base/rand.h"

typedef uint32_t (*crc_fn)(uint32_t crc, const void *p, size_t n);

static const crc_fn variants[] = {crc32c, crc32c_table};

/* RFC 3720, appendix B.4, and the check value of the CRC catalogues. */
static void test_vectors(void **state)
{
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

    memset(ones, 0xff, sizeof(ones));
    for (uint8_t i = 0; i < 32; i++) {
        up[i] = i;
        down[i] = 31 - i;
    }
    for (size_t v = 0; v < 2; v++) {
        assert_int_equal(variants[v](0, zeros, 32), 0x8a9136aa);
        assert_int_equal(variants[v](0, ones, 32), 0x62a8ab43);
        assert_int_equal(variants[v](0, up, 32), 0x46dd794e);
        assert_int_equal(variants[v](0, down, 32), 0x113fdb5c);
        assert_int_equal(variants[v](0, "123456789", 9), 0xe3069283);
        assert_int_equal(variants[v](0, "", 0), 0);
    }
}

/* Every length around the lanes' limits, every alignment: the fast variant against the table. */
static void test_fast_is_table(void **state)
{
    enum { BYTES = 3 * 4080 + 64 };
    uint8_t *p = malloc(BYTES + 8);
    struct rand r;

    rand_seed(&r, 1);
    for (size_t i = 0; i < BYTES + 8; i++)
        p[i] = (uint8_t)rand_u64(&r);
    for (size_t n = 0; n < 1200; n++)
        assert_int_equal(crc32c(7, p + n % 8, n), crc32c_table(7, p + n % 8, n));
    for (size_t n = 4070; n < 4100; n++)
        assert_int_equal(crc32c(0, p + n % 8, n), crc32c_table(0, p + n % 8, n));
    for (size_t n = BYTES - 16; n <= BYTES; n++)
        assert_int_equal(crc32c(0, p, n), crc32c_table(0, p, n));
    free(p);
}

static void test_in_parts(void **state)
{
    uint8_t p[5000];
    uint32_t whole;

    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (uint8_t)(i * 7);
    whole = crc32c(0, p, sizeof(p));
    for (size_t cut = 0; cut <= sizeof(p); cut += 37)
        assert_int_equal(crc32c(crc32c(0, p, cut), p + cut, sizeof(p) - cut), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_fast_is_table),
        cmocka_unit_test(test_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"

static void test_orders(void **state)
{
    uint8_t b[9] = {0};

    put_be16(b + 1, 0x0102);
    assert_memory_equal(b, "\0\1\2", 3);
    assert_int_equal(get_be16(b + 1), 0x0102);
    put_be32(b + 1, 0x01020304);
    assert_memory_equal(b, "\0\1\2\3\4", 5);
    assert_int_equal(get_be32(b + 1), 0x01020304);
    put_be64(b + 1, 0x0102030405060708);
    assert_memory_equal(b, "\0\1\2\3\4\5\6\7\10", 9);
    assert_true(get_be64(b + 1) == 0x0102030405060708);
    assert_true(get_le64(b + 1) == 0x0807060504030201);
    put_le16(b + 1, 0x0102);
    assert_memory_equal(b, "\0\2\1", 3);
    assert_int_equal(get_le16(b + 1), 0x0102);
    put_le32(b + 1, 0x01020304);
    assert_memory_equal(b, "\0\4\3\2\1", 5);
    assert_int_equal(get_le32(b + 1), 0x01020304);
    put_le64(b + 1, 0x0102030405060708);
    assert_memory_equal(b, "\0\10\7\6\5\4\3\2\1", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

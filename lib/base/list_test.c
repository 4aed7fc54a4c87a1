// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct list node;
};

static void test_order(void **state)
{
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    struct list head;

    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_pop_head(&head));
    assert_null(list_first(&head, struct item, node));
    list_push_tail(&head, &b.node);
    list_push_tail(&head, &c.node);
    list_push_head(&head, &a.node);
    assert_int_equal(list_first(&head, struct item, node)->value, 1);
    for (int want = 1; want <= 3; want++) {
        struct list *node = list_pop_head(&head);

        assert_int_equal(list_entry(node, struct item, node)->value, want);
        assert_false(list_linked(node));
    }
    assert_true(list_empty(&head));
}

static void test_remove_twice(void **state)
{
    struct item a = {.value = 1}, b = {.value = 2};
    struct list head;

    list_init(&head);
    list_push_tail(&head, &a.node);
    list_push_tail(&head, &b.node);
    list_remove(&a.node);
    list_remove(&a.node);
    assert_false(list_linked(&a.node));
    assert_true(list_linked(&b.node));
    assert_int_equal(list_first(&head, struct item, node)->value, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

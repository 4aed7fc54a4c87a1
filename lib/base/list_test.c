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

/* Values of the list in order, as the digits of a number. */
static int digits(struct list *head)
{
    int n = 0;

    for (struct list *node = head->next; node != head; node = node->next) {
        assert_ptr_equal(node->next->prev, node);
        n = n * 10 + list_entry(node, struct item, node)->value;
    }
    assert_ptr_equal(head->next->prev, head);
    return n;
}

static void fill(struct list *head, struct item *items, int first, int count)
{
    list_init(head);
    for (int i = 0; i < count; i++) {
        items[i].value = first + i;
        list_push_tail(head, &items[i].node);
    }
}

static void test_splice(void **state)
{
    struct item a[3], b[3];
    struct list to, from;

    for (int na = 0; na <= 3; na++) {
        for (int nb = 0; nb <= 3; nb++) {
            static const int low[] = {0, 1, 12, 123}, high[] = {0, 4, 45, 456};
            static const int shift[] = {1, 10, 100, 1000};

            fill(&to, a, 1, na);
            fill(&from, b, 4, nb);
            list_splice_head(&to, &from);
            assert_int_equal(digits(&to), high[nb] * shift[na] + low[na]);
            assert_true(list_empty(&from));
            fill(&to, a, 1, na);
            fill(&from, b, 4, nb);
            list_splice_tail(&to, &from);
            assert_int_equal(digits(&to), low[na] * shift[nb] + high[nb]);
            assert_true(list_empty(&from));
        }
    }
}

/* What was spliced can be taken off, and the emptied list be used again. */
static void test_splice_then_use(void **state)
{
    struct item a[2], b[2];
    struct list to, from;

    fill(&to, a, 1, 2);
    fill(&from, b, 4, 2);
    list_splice_tail(&to, &from);
    list_remove(&b[0].node);
    list_push_tail(&from, &b[0].node);
    assert_int_equal(digits(&to), 125);
    assert_int_equal(digits(&from), 4);
    while (list_pop_head(&to))
        ;
    assert_true(list_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove_twice),
        cmocka_unit_test(test_splice),
        cmocka_unit_test(test_splice_then_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * list.h - a circular doubly linked list whose links live in the listed objects.
 *
 * A node that is on no list points at itself, so list_remove is idempotent and list_linked is a
 * question that can always be asked.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push_tail(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_push_head(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* For what is not looked at again: only its neighbours forget it. */
static inline void list_unlink(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline struct list *list_pop_head(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

/* All of `from`, in order, in front of what `to` holds. `from` is empty afterwards. */
static inline void list_splice_head(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    list_init(from);
}

/* The same behind what `to` holds. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
    list_splice_head(to->prev, from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(head, type, member)                                                             \
    (list_empty(head) ? NULL : list_entry((head)->next, type, member))

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Intrusive doubly linked list: order of insertion, O(1) removal, no memory of its own. */
#ifndef KITH_BASE_LIST_H
#define KITH_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kith_link {
    struct kith_link *next, *prev; /* both NULL: in no list */
} kith_link;

typedef struct kith_list {
    kith_link head; /* a ring through the head */
} kith_list;

/* The struct that a link lies in. */
#define KITH_OF(ptr, type, member) ((type *)(void *)(((char *)(ptr)) - offsetof(type, member)))

static inline void kith_list_init(kith_list *l)
{
    l->head.next = l->head.prev = &l->head;
}

static inline bool kith_list_empty(const kith_list *l)
{
    return l->head.next == &l->head;
}

static inline bool kith_link_in(const kith_link *k)
{
    return k->next != NULL;
}

static inline void kith_list_push(kith_list *l, kith_link *k)
{
    k->prev = l->head.prev;
    k->next = &l->head;
    l->head.prev->next = k;
    l->head.prev = k;
}

/* Behind another link; behind the list's head: to the front. */
static inline void kith_link_insert(kith_link *at, kith_link *k)
{
    k->next = at->next;
    k->prev = at;
    at->next->prev = k;
    at->next = k;
}

static inline void kith_list_push_front(kith_list *l, kith_link *k)
{
    kith_link_insert(&l->head, k);
}

/* Does nothing for a link in no list. */
static inline void kith_link_remove(kith_link *k)
{
    if (!k->next)
        return;
    k->prev->next = k->next;
    k->next->prev = k->prev;
    k->next = k->prev = NULL;
}

static inline kith_link *kith_list_first(const kith_list *l)
{
    return kith_list_empty(l) ? NULL : l->head.next;
}

static inline kith_link *kith_list_last(const kith_list *l)
{
    return kith_list_empty(l) ? NULL : l->head.prev;
}

static inline kith_link *kith_list_pop(kith_list *l)
{
    kith_link *k = kith_list_first(l);
    if (k)
        kith_link_remove(k);
    return k;
}

static inline kith_link *kith_list_next(const kith_list *l, const kith_link *k)
{
    return k->next == &l->head ? NULL : k->next;
}

/* Walks l with k; the body may remove k itself, nothing else. */
#define KITH_EACH(l, k)                                                       \
    for (kith_link *k = (l)->head.next, *k##_next = k->next; k != &(l)->head; \
         k = k##_next, k##_next = k->next)

#endif

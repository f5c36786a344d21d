/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The intrusive list. */
#include "base/list.h"

#include "support.h"

typedef struct item {
    int n;
    kith_link link;
} item;

static item *item_of(kith_link *k)
{
    return KITH_OF(k, item, link);
}

/* The list's items as digits, forwards; checks that the way back is the same. */
static void assert_items(const kith_list *l, const char *want)
{
    size_t n = strlen(want), i = 0;
    const kith_link *back = &l->head;
    KITH_EACH (l, k) {
        assert_true(i < n);
        assert_int_equal(item_of(k)->n, want[i++] - '0');
        assert_ptr_equal(k->prev, back);
        back = k;
    }
    assert_ptr_equal(l->head.prev, back);
    assert_ptr_equal(kith_list_last(l), n > 0 ? back : NULL);
    assert_int_equal(i, n);
    assert_int_equal(kith_list_empty(l), n == 0);
    i = 0;
    for (kith_link *k = kith_list_first(l); k; k = kith_list_next(l, k))
        assert_int_equal(item_of(k)->n, want[i++] - '0');
    assert_int_equal(i, n);
}

static void items_stand_in_the_order_they_were_pushed(void **state)
{
    (void)state;
    kith_list l;
    item it[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
    kith_list_init(&l);
    assert_items(&l, "");
    assert_null(kith_list_first(&l));
    assert_null(kith_list_pop(&l));
    kith_list_push(&l, &it[1].link);
    assert_items(&l, "1");
    kith_list_push(&l, &it[2].link);
    kith_list_push_front(&l, &it[0].link);
    kith_list_push(&l, &it[3].link);
    assert_items(&l, "0123");
    assert_ptr_equal(kith_list_pop(&l), &it[0].link);
    assert_items(&l, "123");
}

static void a_removed_item_is_in_no_list_and_may_be_removed_again(void **state)
{
    (void)state;
    kith_list l, other;
    item it[3] = {{.n = 0}, {.n = 1}, {.n = 2}};
    kith_list_init(&l);
    kith_list_init(&other);
    for (int i = 0; i < 3; i++) {
        assert_false(kith_link_in(&it[i].link));
        kith_list_push(&l, &it[i].link);
        assert_true(kith_link_in(&it[i].link));
    }
    kith_link_remove(&it[1].link);
    assert_false(kith_link_in(&it[1].link));
    kith_link_remove(&it[1].link);
    assert_items(&l, "02");
    kith_list_push(&other, &it[1].link);
    assert_items(&other, "1");
    kith_link_remove(&it[2].link);
    kith_link_remove(&it[0].link);
    assert_items(&l, "");
    assert_items(&other, "1");
}

static void a_walk_may_remove_the_item_it_stands_on(void **state)
{
    (void)state;
    kith_list l;
    item it[6] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}, {.n = 5}};
    kith_list_init(&l);
    for (int i = 0; i < 6; i++)
        kith_list_push(&l, &it[i].link);
    KITH_EACH (&l, k) {
        if (item_of(k)->n % 2 == 0)
            kith_link_remove(k);
    }
    assert_items(&l, "135");
    KITH_EACH (&l, k)
        kith_link_remove(k);
    assert_items(&l, "");
    KITH_EACH (&l, k)
        fail_msg("an empty list was walked at %p", (void *)k);
}

static void random_operations_agree_with_a_string(void **state)
{
    (void)state;
    uint64_t rnd = 3;
    kith_list l;
    item it[10];
    char model[11] = "";
    kith_list_init(&l);
    for (int i = 0; i < 10; i++)
        it[i] = (item){.n = i};
    for (size_t op = 0; op < 20000; op++) {
        size_t i = support_below(&rnd, 10), n = strlen(model);
        char *at = strchr(model, (int)('0' + i));
        if (at) {
            kith_link_remove(&it[i].link);
            memmove(at, at + 1, strlen(at));
        } else if (support_below(&rnd, 2)) {
            kith_list_push(&l, &it[i].link);
            model[n] = (char)('0' + i);
            model[n + 1] = '\0';
        } else {
            kith_list_push_front(&l, &it[i].link);
            memmove(model + 1, model, n + 1);
            model[0] = (char)('0' + i);
        }
        assert_items(&l, model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_stand_in_the_order_they_were_pushed),
        cmocka_unit_test(a_removed_item_is_in_no_list_and_may_be_removed_again),
        cmocka_unit_test(a_walk_may_remove_the_item_it_stands_on),
        cmocka_unit_test(random_operations_agree_with_a_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sets of leaves, against the plainest set there is: an array of bools. */
#include "support.h"

#include "apps/share_leaves.h"

#define LEAVES 64

typedef struct both {
    support_heap heap;
    const kith_env *env;
    kith_leaves s;
    bool plain[LEAVES];
} both;

static void begin(both *b)
{
    memset(b, 0, sizeof *b);
    b->env = support_env(&b->heap);
}

static void finish(both *b)
{
    kith_leaves_fini(&b->s, b->env);
    support_heap_check(&b->heap);
}

static void change(both *b, bool add, uint32_t first, uint32_t end)
{
    assert_int_equal(add ? kith_leaves_add(&b->s, b->env, first, end)
                         : kith_leaves_remove(&b->s, b->env, first, end),
                     KITH_OK);
    for (uint32_t i = first; i < end; i++)
        b->plain[i] = add;
    kith_leaves_check(&b->s);
}

static void compare(const both *b, uint32_t first, uint32_t end)
{
    uint32_t n = 0, runs[2][2];
    bool found[2] = {false, false};
    for (uint32_t i = first; i < end; i++) {
        bool in = b->plain[i];
        n += in;
        if (!found[in]) {
            found[in] = true;
            runs[in][0] = i;
            for (runs[in][1] = i; runs[in][1] < end && b->plain[runs[in][1]] == in; runs[in][1]++)
                ;
        }
    }
    assert_int_equal(kith_leaves_count(&b->s, first, end), n);
    assert_int_equal(kith_leaves_has(&b->s, first, end), n == end - first);
    for (int in = 0; in < 2; in++) {
        kith_leaf_range r = {0};
        assert_int_equal(kith_leaves_next(&b->s, in, first, end, &r), found[in]);
        if (found[in])
            assert_true(r.first == runs[in][0] && r.end == runs[in][1]);
    }
}

static void a_thousand_changes_leave_what_a_plain_set_holds(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 30; round++) {
        both b;
        begin(&b);
        for (int k = 0; k < 100; k++) {
            uint32_t x = (uint32_t)support_below(&seed, LEAVES + 1),
                     y = (uint32_t)support_below(&seed, LEAVES + 1);
            change(&b, support_below(&seed, 3) > 0, x < y ? x : y, x < y ? y : x);
            x = (uint32_t)support_below(&seed, LEAVES + 1);
            compare(&b, 0, LEAVES);
            compare(&b, x, LEAVES);
            compare(&b, 0, x);
        }
        finish(&b);
    }
}

static void neighbours_are_joined(void **state)
{
    (void)state;
    both b;
    begin(&b);
    change(&b, true, 0, 1);
    change(&b, true, 2, 3);
    assert_int_equal(b.s.count, 2);
    change(&b, true, 1, 2);
    assert_int_equal(b.s.count, 1);
    assert_int_equal(b.s.total, 3);
    finish(&b);
}

static void the_last_leaf_of_all_has_a_place(void **state)
{
    (void)state;
    both b;
    begin(&b);
    assert_int_equal(kith_leaves_add(&b.s, b.env, UINT32_MAX - 1, UINT32_MAX), KITH_OK);
    assert_int_equal(kith_leaves_add(&b.s, b.env, 0, UINT32_MAX - 1), KITH_OK);
    kith_leaves_check(&b.s);
    assert_int_equal(b.s.count, 1);
    assert_int_equal(b.s.total, UINT32_MAX);
    finish(&b);
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    for (size_t n = 1; n < 8; n++) {
        both b;
        begin(&b);
        b.heap.fail_at = n;
        for (uint32_t i = 0; i < 40; i += 2) {
            uint64_t total = b.s.total;
            if (kith_leaves_add(&b.s, b.env, i, i + 1) == KITH_ENOMEM)
                assert_int_equal(b.s.total, total);
            kith_leaves_check(&b.s);
        }
        finish(&b);
    }
    both b;
    begin(&b);
    for (uint32_t i = 0; i < 16; i += 2)
        change(&b, true, 4 * i, 4 * i + 4);
    assert_int_equal(b.s.count, b.s.cap);
    b.heap.fail_at = b.heap.calls + 1;
    assert_int_equal(kith_leaves_remove(&b.s, b.env, 1, 2), KITH_ENOMEM); /* it would be one range more */
    compare(&b, 0, LEAVES);
    b.heap.fail_at = 0;
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_changes_leave_what_a_plain_set_holds),
        cmocka_unit_test(neighbours_are_joined),
        cmocka_unit_test(the_last_leaf_of_all_has_a_place),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

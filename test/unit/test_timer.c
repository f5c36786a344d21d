/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The timer heap against a list that is searched. */
#include "base/timer.h"

#include "support.h"

/* What must hold of a heap after every call. */
static void check(const kith_timers *h)
{
    assert_true(h->len <= h->cap);
    for (size_t i = 0; i < h->len; i++) {
        const kith_timer_place *t = &h->heap[i], *up = &h->heap[i ? (i - 1) / 2 : 0];
        assert_true(t->t->pos == i + 1 && t->t->at == t->at);
        assert_true(up->at < t->at || (up->at == t->at && up->seq <= t->seq));
    }
}

static void an_empty_heap_has_no_deadline(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_timers h = {0};
    assert_true(kith_timers_next(&h) == KITH_NEVER);
    assert_null(kith_timers_pop(&h, KITH_NEVER));
    assert_int_equal(kith_timers_reserve(&h, env, 0), KITH_OK);
    kith_timers_fini(&h, env);
    support_heap_check(&heap);
}

static void a_timer_comes_out_when_due_and_not_before(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_timers h = {0};
    kith_timer t = {0};
    assert_int_equal(kith_timers_reserve(&h, env, 1), KITH_OK);
    kith_timers_set(&h, &t, 100);
    assert_true(kith_timers_next(&h) == 100);
    assert_null(kith_timers_pop(&h, 99));
    assert_ptr_equal(kith_timers_pop(&h, 100), &t);
    assert_null(kith_timers_pop(&h, 100));
    kith_timers_set(&h, &t, 100); /* the same deadline again is a new start */
    assert_ptr_equal(kith_timers_pop(&h, 101), &t);
    kith_timers_set(&h, &t, 0);
    assert_ptr_equal(kith_timers_pop(&h, 0), &t);
    kith_timers_fini(&h, env);
    support_heap_check(&heap);
}

static void room_that_is_not_needed_goes_back(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_timers h = {0};
    static kith_timer t[1000];
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(kith_timers_reserve(&h, env, i + 1), KITH_OK);
        kith_timers_set(&h, &t[i], 1000 - i);
    }
    assert_int_equal(h.cap, 1024);
    for (size_t i = 1000; i-- > 1;) {
        kith_timers_set(&h, &t[i], KITH_NEVER);
        kith_timers_release(&h, env, i);
        check(&h);
        assert_true(h.cap >= i && (h.cap <= 16 || h.cap < 4 * i));
    }
    assert_ptr_equal(kith_timers_pop(&h, 1000), &t[0]);
    kith_timers_fini(&h, env);
    support_heap_check(&heap);
}

static void a_timer_set_to_never_is_stopped(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_timers h = {0};
    kith_timer t[3] = {0};
    assert_int_equal(kith_timers_reserve(&h, env, 3), KITH_OK);
    kith_timers_set(&h, &t[0], KITH_NEVER); /* was not running */
    for (size_t i = 0; i < 3; i++)
        kith_timers_set(&h, &t[i], 10 + i);
    kith_timers_set(&h, &t[0], KITH_NEVER);
    check(&h);
    assert_true(kith_timers_next(&h) == 11);
    kith_timers_set(&h, &t[2], KITH_NEVER);
    kith_timers_set(&h, &t[2], KITH_NEVER);
    assert_ptr_equal(kith_timers_pop(&h, KITH_NEVER), &t[1]);
    assert_null(kith_timers_pop(&h, KITH_NEVER));
    kith_timers_fini(&h, env);
    support_heap_check(&heap);
}

static void equal_deadlines_come_out_in_the_order_they_were_set(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_timers h = {0};
    kith_timer t[50] = {0};
    assert_int_equal(kith_timers_reserve(&h, env, 50), KITH_OK);
    for (size_t i = 0; i < 50; i++)
        kith_timers_set(&h, &t[i], 5);
    kith_timers_set(&h, &t[3], 4);
    kith_timers_set(&h, &t[3], 5); /* moved away and back: now the last */
    kith_timers_set(&h, &t[7], 5); /* not moved: keeps its place */
    for (size_t i = 0; i < 50; i++) {
        if (i != 3)
            assert_ptr_equal(kith_timers_pop(&h, 5), &t[i]);
    }
    assert_ptr_equal(kith_timers_pop(&h, 5), &t[3]);
    kith_timers_fini(&h, env);
    support_heap_check(&heap);
}

static void no_memory_leaves_the_heap_as_it_was(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_timers h = {0};
    kith_timer t = {0};
    heap.fail_at = 1;
    assert_int_equal(kith_timers_reserve(&h, env, 1), KITH_ENOMEM);
    heap.fail_at = 0;
    assert_int_equal(kith_timers_reserve(&h, env, 1), KITH_OK);
    kith_timers_set(&h, &t, 9);
    heap.fail_at = heap.calls + 1;
    assert_int_equal(kith_timers_reserve(&h, env, 1000), KITH_ENOMEM);
    assert_int_equal(kith_timers_reserve(&h, env, SIZE_MAX), KITH_ENOMEM);
    assert_int_equal(kith_timers_reserve(&h, env, SIZE_MAX / sizeof(kith_timer_place)), KITH_ENOMEM);
    assert_ptr_equal(kith_timers_pop(&h, 9), &t);
    kith_timers_fini(&h, env);
    support_heap_check(&heap);
}

static void random_operations_agree_with_a_search(void **state)
{
    (void)state;
    enum { N = 60 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_timers h = {0};
        kith_timer t[N] = {0};
        struct {
            kith_time at;
            uint64_t order;
        } model[N];
        uint64_t rnd = seed, order = 0;
        kith_time now = 0;
        for (size_t i = 0; i < N; i++)
            model[i].at = KITH_NEVER;
        assert_int_equal(kith_timers_reserve(&h, env, N), KITH_OK);
        for (size_t op = 0; op < 5000; op++) {
            size_t i = support_below(&rnd, N), best = N;
            switch (support_below(&rnd, 4)) {
            case 0:
            case 1: {
                kith_time at = now + support_below(&rnd, 40);
                kith_timers_set(&h, &t[i], at);
                if (model[i].at != at)
                    model[i].order = order++;
                model[i].at = at;
                break;
            }
            case 2:
                kith_timers_set(&h, &t[i], KITH_NEVER);
                model[i].at = KITH_NEVER;
                break;
            case 3: {
                now += support_below(&rnd, 5);
                for (size_t j = 0; j < N; j++) {
                    if (model[j].at <= now && model[j].at != KITH_NEVER &&
                        (best == N || model[j].at < model[best].at ||
                         (model[j].at == model[best].at && model[j].order < model[best].order)))
                        best = j;
                }
                assert_ptr_equal(kith_timers_pop(&h, now), best == N ? NULL : &t[best]);
                if (best != N)
                    model[best].at = KITH_NEVER;
                break;
            }
            }
            check(&h);
            kith_time least = KITH_NEVER;
            for (size_t j = 0; j < N; j++)
                least = kith_time_min(least, model[j].at);
            assert_true(kith_timers_next(&h) == least);
        }
        kith_timers_fini(&h, env);
        support_heap_check(&heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_no_deadline),
        cmocka_unit_test(a_timer_comes_out_when_due_and_not_before),
        cmocka_unit_test(room_that_is_not_needed_goes_back),
        cmocka_unit_test(a_timer_set_to_never_is_stopped),
        cmocka_unit_test(equal_deadlines_come_out_in_the_order_they_were_set),
        cmocka_unit_test(no_memory_leaves_the_heap_as_it_was),
        cmocka_unit_test(random_operations_agree_with_a_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The injected leaves. */
#include "base/env.h"

#include "support.h"

static void new_memory_is_zero_and_sizes_are_told_truly(void **state)
{
    (void)state;
    support_heap heap; /* checks the sizes */
    const kith_env *env = support_env(&heap);
    uint8_t *p = kith_mem_new(env, 100);
    assert_non_null(p);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    memset(p, 7, 100);
    p = kith_mem_resize(env, p, 100, 300);
    assert_non_null(p);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 7);
    p = kith_mem_resize(env, p, 300, 10);
    assert_int_equal(heap.bytes, 10);
    kith_mem_free(env, p, 10);
    kith_mem_free(env, NULL, 10);
    uint64_t *n = KITH_NEW(env, uint64_t);
    assert_true(n && *n == 0);
    KITH_FREE(env, n);
    p = kith_mem_resize(env, NULL, 0, 5); /* as an allocation */
    assert_non_null(p);
    kith_mem_free(env, p, 5);
    support_heap_check(&heap);
}

static void no_memory_is_null_and_the_old_block_stays(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t *p = kith_mem_new(env, 4);
    p[0] = 9;
    heap.fail_at = heap.calls + 1;
    assert_null(kith_mem_new(env, 4));
    assert_null(kith_mem_resize(env, p, 4, 8));
    assert_int_equal(p[0], 9);
    kith_mem_free(env, p, 4);
    support_heap_check(&heap);
}

/* A source that gives what it is told, least byte first. */
typedef struct script {
    const uint64_t *values;
    size_t at;
} script;

static void script_fn(void *ctx, kith_span out)
{
    script *s = ctx;
    uint8_t b[8];
    kith_store_le64(b, s->values[s->at++]);
    assert_int_equal(out.len, 8);
    memcpy(out.p, b, 8);
}

static void a_bounded_number_is_drawn_without_bias(void **state)
{
    (void)state;
    /* 2^64 - 1 = 3 * 0x5555555555555555 exactly, so at n = 3 only 2^64 - 1 itself must be drawn again. */
    static const uint64_t values[] = {UINT64_MAX, UINT64_MAX - 1, 0, UINT64_MAX, UINT64_MAX, 5, 42};
    script s = {.values = values};
    kith_env env = {.rand = {.ctx = &s, .fn = script_fn}};
    assert_int_equal(kith_rand_below(&env, 3), (UINT64_MAX - 1) % 3);
    assert_int_equal(s.at, 2);
    assert_int_equal(kith_rand_below(&env, 3), 0);
    assert_int_equal(kith_rand_below(&env, 3), 2);
    assert_int_equal(s.at, 6);
    assert_int_equal(kith_rand_u64(&env), 42);
}

static void a_bounded_number_stays_below_its_bound_and_reaches_all_of_it(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    size_t seen[10] = {0};
    for (size_t i = 0; i < 20000; i++) {
        uint64_t v = kith_rand_below(env, 10);
        assert_true(v < 10);
        seen[v]++;
        assert_int_equal(kith_rand_below(env, 1), 0);
        assert_true(kith_rand_below(env, UINT64_MAX) < UINT64_MAX);
    }
    for (size_t i = 0; i < 10; i++)
        assert_true(seen[i] > 1700 && seen[i] < 2300);
}

static void trace_fn(void *ctx, const char *area, const char *text)
{
    assert_string_equal(area, "here");
    assert_string_equal(text, "this");
    ++*(int *)ctx;
}

static void trace_goes_to_the_leaf_or_nowhere(void **state)
{
    (void)state;
    int lines = 0;
    kith_env env = {.trace = {.ctx = &lines, .fn = trace_fn}};
    kith_trace_line(&env, "here", "this");
    assert_int_equal(lines, 1);
    env.trace.fn = NULL;
    kith_trace_line(&env, "here", "this");
    assert_int_equal(lines, 1);
}

static void units_of_time_are_nanoseconds(void **state)
{
    (void)state;
    assert_true(KITH_US(1) == 1000 && KITH_MS(1) == 1000 * KITH_US(1) && KITH_SEC(1) == 1000 * KITH_MS(1));
    assert_true(KITH_SEC(5000000) == 5000000000000000u); /* beyond 32 bits */
    assert_true(kith_time_min(KITH_NEVER, 3) == 3 && kith_time_min(2, 3) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_memory_is_zero_and_sizes_are_told_truly),
        cmocka_unit_test(no_memory_is_null_and_the_old_block_stays),
        cmocka_unit_test(a_bounded_number_is_drawn_without_bias),
        cmocka_unit_test(a_bounded_number_stays_below_its_bound_and_reaches_all_of_it),
        cmocka_unit_test(trace_goes_to_the_leaf_or_nowhere),
        cmocka_unit_test(units_of_time_are_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

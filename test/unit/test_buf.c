/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The capped byte queue, against an array that only grows. */
#include "base/buf.h"

#include "support.h"

static void what_is_put_comes_out_in_order(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_buf b;
    uint8_t out[4];
    kith_buf_init(&b, 100);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_str("hello ")), KITH_OK);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_str("world")), KITH_OK);
    support_assert_str(kith_buf_view(&b), "hello world");
    assert_int_equal(kith_buf_take(&b, env, kith_span_of(out, 4)), 4);
    assert_memory_equal(out, "hell", 4);
    kith_buf_drop(&b, env, 2);
    support_assert_str(kith_buf_view(&b), "world");
    kith_span s = kith_buf_span(&b);
    s.p[0] = 'W';
    support_assert_str(kith_buf_view(&b), "World");
    kith_buf_fini(&b, env);
    support_heap_check(&heap);
}

static void the_cap_holds_to_the_byte_and_a_refused_put_changes_nothing(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static const uint8_t bytes[200] = {0};
    kith_buf b;
    kith_span room;
    kith_buf_init(&b, 150);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 151)), KITH_ELIMIT);
    assert_int_equal(heap.blocks, 0);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 149)), KITH_OK);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 2)), KITH_ELIMIT);
    assert_int_equal(kith_buf_room(&b, env, SIZE_MAX, &room), KITH_ELIMIT);
    assert_int_equal(b.len, 149);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 1)), KITH_OK);
    assert_true(heap.bytes <= 150 + 150 / 4); /* doubling stops soon after the cap */
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 1)), KITH_ELIMIT);
    assert_int_equal(kith_buf_put(&b, env, (kith_bytes){0}), KITH_OK);
    kith_buf_fini(&b, env);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 150)),
                     KITH_OK); /* usable afterwards, with its cap */
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 1)), KITH_ELIMIT);
    kith_buf_fini(&b, env);
    support_heap_check(&heap);
}

static void an_unlimited_queue_takes_what_memory_takes(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_buf b;
    kith_span room;
    kith_buf_init(&b, SIZE_MAX);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_str("x")), KITH_OK);
    heap.fail_at = heap.calls + 1;
    assert_int_equal(kith_buf_room(&b, env, SIZE_MAX / 2 + 2, &room),
                     KITH_ENOMEM); /* and no endless doubling */
    assert_int_equal(kith_buf_room(&b, env, SIZE_MAX - 1, &room), KITH_ENOMEM);
    support_assert_str(kith_buf_view(&b), "x");
    kith_buf_fini(&b, env);
    support_heap_check(&heap);
}

static void an_empty_queue_holds_no_memory(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_buf b;
    uint8_t out[8];
    kith_buf_init(&b, 10);
    assert_int_equal(kith_buf_take(&b, env, kith_span_of(out, sizeof out)), 0);
    assert_int_equal(kith_buf_view(&b).len, 0);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_str("abc")), KITH_OK);
    assert_int_equal(kith_buf_take(&b, env, (kith_span){0}), 0);
    assert_int_equal(kith_buf_take(&b, env, kith_span_of(out, sizeof out)), 3);
    support_heap_check(&heap);
    kith_buf_drop(&b, env, 0);
    kith_buf_fini(&b, env);
    support_heap_check(&heap);
}

static void no_memory_changes_nothing(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static const uint8_t bytes[100] = {0};
    kith_buf b;
    kith_buf_init(&b, 1000);
    heap.fail_at = 1;
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_str("a")), KITH_ENOMEM);
    heap.fail_at = 0;
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_str("a")), KITH_OK);
    heap.fail_at = heap.calls + 1;
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 100)), KITH_ENOMEM);
    support_assert_str(kith_buf_view(&b), "a");
    kith_buf_fini(&b, env);
    support_heap_check(&heap);
}

static void a_queue_that_is_nearly_full_moves_each_byte_a_bounded_number_of_times(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    enum { SIZE = 1 << 18, ROUNDS = 100000 };
    uint8_t *bytes = calloc(1, SIZE), c;
    kith_buf b;
    assert_non_null(bytes);
    kith_buf_init(&b, SIZE);
    assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, SIZE)), KITH_OK);
    size_t moves = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        assert_int_equal(kith_buf_take(&b, env, kith_span_of(&c, 1)), 1);
        size_t before = b.off;
        assert_int_equal(kith_buf_put(&b, env, kith_bytes_of(bytes, 1)), KITH_OK);
        moves += b.off < before;
    }
    /* One byte in and out must not cost a move of all of them each time. */
    assert_true(moves <= ROUNDS / (SIZE / 16) + 1);
    assert_true(heap.peak <= 4 * (size_t)SIZE);
    kith_buf_fini(&b, env);
    support_heap_check(&heap);
    free(bytes);
}

static void random_operations_agree_with_a_plain_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        uint64_t rnd = seed;
        enum { MAX = 3000 };
        static uint8_t model[1 << 20];
        size_t from = 0, to = 0; /* model[from..to) is queued */
        kith_buf b;
        kith_buf_init(&b, MAX);
        while (to < sizeof model - MAX) {
            size_t n = support_below(&rnd, support_below(&rnd, 10) ? 200 : 4000);
            uint8_t chunk[4000];
            kith_span room;
            switch (support_below(&rnd, 4)) {
            case 0:
                for (size_t i = 0; i < n; i++)
                    chunk[i] = (uint8_t)support_next(&rnd);
                if (kith_buf_put(&b, env, kith_bytes_of(chunk, n)) == KITH_OK) {
                    assert_true(n <= MAX - (to - from));
                    memcpy(model + to, chunk, n);
                    to += n;
                } else {
                    assert_true(n > MAX - (to - from));
                }
                break;
            case 1:
                if (kith_buf_room(&b, env, n, &room) == KITH_OK) {
                    assert_int_equal(room.len, n);
                    size_t used = n ? support_below(&rnd, n + 1) : 0;
                    if (n)
                        memset(room.p, (int)(n & 0xff), n);
                    kith_buf_add(&b, used);
                    memset(model + to, (int)(n & 0xff), used);
                    to += used;
                } else {
                    assert_true(n > MAX - (to - from));
                }
                break;
            case 2: {
                size_t got = kith_buf_take(&b, env, kith_span_of(chunk, n));
                assert_int_equal(got, n < to - from ? n : to - from);
                if (got)
                    assert_memory_equal(chunk, model + from, got);
                from += got;
                break;
            }
            case 3:
                n = n < to - from ? n : to - from;
                kith_buf_drop(&b, env, n);
                from += n;
                break;
            }
            support_assert_bytes(kith_buf_view(&b), kith_bytes_of(model + from, to - from));
            assert_true(b.off <= b.cap && b.len <= b.cap - b.off);
        }
        kith_buf_fini(&b, env);
        support_heap_check(&heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_comes_out_in_order),
        cmocka_unit_test(the_cap_holds_to_the_byte_and_a_refused_put_changes_nothing),
        cmocka_unit_test(an_unlimited_queue_takes_what_memory_takes),
        cmocka_unit_test(an_empty_queue_holds_no_memory),
        cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(a_queue_that_is_nearly_full_moves_each_byte_a_bounded_number_of_times),
        cmocka_unit_test(random_operations_agree_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

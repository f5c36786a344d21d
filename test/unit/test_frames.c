/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Varint-framed messages come out as they went in, whatever the pieces, and within their caps. */
#include "proto/frames.h"
#include "support.h"

static support_heap heap;

static void put(kith_frames *f, const kith_env *env, const char *hex)
{
    kith_span s = support_hex(hex);
    assert_int_equal(kith_frames_put(f, env, kith_span_bytes(s)), KITH_OK);
    free(s.p);
}

static void messages_come_out_whole_from_single_bytes(void **state)
{
    (void)state;
    const kith_env *env = support_env(&heap);
    const uint8_t in[] = {3, 'a', 'b', 'c', 0, 2, 'd', 'e'};
    const char *want[] = {"abc", "", "de"};
    kith_frames f;
    size_t got = 0;
    kith_frames_init(&f, 100, 100);
    for (size_t i = 0; i < sizeof in; i++) {
        kith_bytes msg;
        assert_int_equal(kith_frames_put(&f, env, kith_bytes_of(in + i, 1)), KITH_OK);
        kith_err e = kith_frames_first(&f, &msg);
        if (e == KITH_ESHORT)
            continue;
        assert_int_equal(e, KITH_OK);
        support_assert_str(msg, want[got++]);
        kith_frames_drop(&f, env);
    }
    assert_int_equal(got, 3);
    assert_int_equal(kith_frames_held(&f), 0);
    kith_frames_fini(&f, env);
    support_heap_check(&heap);
}

static kith_err first_of(size_t max, const char *hex)
{
    const kith_env *env = support_env(&heap);
    kith_frames f;
    kith_bytes msg;
    kith_frames_init(&f, max, 100);
    put(&f, env, hex);
    kith_err e = kith_frames_first(&f, &msg);
    kith_frames_fini(&f, env);
    support_heap_check(&heap);
    return e;
}

static void a_length_beyond_the_cap_is_refused_as_soon_as_it_shows(void **state)
{
    (void)state;
    assert_int_equal(first_of(200, "c801"), KITH_ESHORT); /* 200 */
    assert_int_equal(first_of(200, "c901"), KITH_ELIMIT); /* 201 */
    assert_int_equal(first_of(200, "80"), KITH_ESHORT);
    assert_int_equal(first_of(200, "8080"), KITH_ELIMIT); /* three bytes of length are beyond 200 */
    assert_int_equal(first_of(200, "8000"), KITH_EPROTO); /* not minimal */
    assert_int_equal(first_of(200, "ffffffffffffffffffff01"), KITH_ELIMIT);
    assert_int_equal(first_of(200, "ff"), KITH_ESHORT);
}

static void what_waits_behind_has_its_cap(void **state)
{
    (void)state;
    const kith_env *env = support_env(&heap);
    kith_frames f;
    uint8_t bytes[64] = {1};
    kith_frames_init(&f, 10, 20); /* and 9 for the length */
    assert_int_equal(kith_frames_put(&f, env, kith_bytes_of(bytes, 39)), KITH_OK);
    assert_int_equal(kith_frames_put(&f, env, kith_bytes_of(bytes, 1)), KITH_ELIMIT);
    assert_int_equal(kith_frames_held(&f), 39);
    kith_frames_fini(&f, env);
    support_heap_check(&heap);
}

static void memory_that_runs_out_changes_nothing(void **state)
{
    (void)state;
    const kith_env *env = support_env(&heap);
    kith_frames f;
    kith_frames_init(&f, 10, 20);
    heap.fail_at = 1;
    assert_int_equal(kith_frames_put(&f, env, kith_bytes_of("\x01x", 2)), KITH_ENOMEM);
    assert_int_equal(kith_frames_held(&f), 0);
    heap.fail_at = 0;
    kith_frames_fini(&f, env);
    support_heap_check(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_whole_from_single_bytes),
        cmocka_unit_test(a_length_beyond_the_cap_is_refused_as_soon_as_it_shows),
        cmocka_unit_test(what_waits_behind_has_its_cap),
        cmocka_unit_test(memory_that_runs_out_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

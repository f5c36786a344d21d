/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The pipe machine: two queues, two half-closes, two holders. */
#include "apps/pipe.h"
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t held;
static int64_t fail_after = -1;

static void *count_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    if (size > old && fail_after >= 0 && fail_after-- == 0)
        return NULL;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static const kith_env env = {.alloc = {.fn = count_alloc}};
static const kith_stream_ops *const ops = &kith_pipe_ops;

static size_t drain(kith_pipe *p, size_t step)
{
    uint8_t out[4096];
    size_t total = 0, n;
    while ((n = ops->send(p, 0, kith_span_of(out, step))) > 0)
        total += n;
    return total;
}

static void over(kith_pipe *p)
{
    ops->free(p);
    kith_pipe_free(p);
    assert_int_equal(held, 0);
}

static void bytes_go_both_ways_in_order(void **state)
{
    (void)state;
    kith_pipe *p = kith_pipe_new(&env);
    uint8_t out[8];
    assert_int_equal(kith_pipe_put(p, kith_bytes_str("hello")), KITH_OK);
    assert_int_equal(ops->send(p, 0, kith_span_of(out, 3)), 3);
    assert_memory_equal(out, "hel", 3);
    assert_int_equal(ops->send(p, 0, kith_span_of(out, 8)), 2);
    assert_memory_equal(out, "lo", 2);
    assert_int_equal(ops->recv(p, 0, kith_bytes_str("wor")), KITH_OK);
    assert_int_equal(ops->recv(p, 0, kith_bytes_str("ld")), KITH_OK);
    assert_true(kith_bytes_eq_str(kith_pipe_view(p), "world"));
    assert_int_equal(ops->held(p), 5);
    kith_pipe_used(p, 2);
    assert_int_equal(ops->held(p), 3);
    assert_true(kith_bytes_eq_str(kith_pipe_view(p), "rld"));
    over(p);
}

static void what_the_owner_may_put_is_bounded_at_the_cap(void **state)
{
    (void)state;
    static uint8_t much[KITH_PIPE_OUT_MAX];
    kith_pipe *p = kith_pipe_new(&env);
    assert_int_equal(kith_pipe_room(p), KITH_PIPE_OUT_MAX);
    assert_int_equal(kith_pipe_put(p, kith_bytes_of(much, sizeof much)), KITH_OK);
    assert_int_equal(kith_pipe_room(p), 0);
    assert_false(ops->pending(p));
    assert_int_equal(ops->send(p, 0, kith_span_of(much, 1000)), 1000);
    assert_true(ops->pending(p)); /* there is room again */
    assert_int_equal(kith_pipe_room(p), 1000);
    kith_pipe_seen(p);
    assert_false(ops->pending(p));
    assert_int_equal(drain(p, 4096), KITH_PIPE_OUT_MAX - 1000);
    over(p);
}

static void a_half_close_waits_for_what_is_queued(void **state)
{
    (void)state;
    kith_pipe *p = kith_pipe_new(&env);
    assert_int_equal(kith_pipe_put(p, kith_bytes_str("last words")), KITH_OK);
    kith_pipe_finish(p);
    assert_int_equal(kith_pipe_room(p), 0);
    assert_int_equal(ops->want(p), KITH_STREAM_OPEN);
    assert_int_equal(drain(p, 4), 10);
    assert_int_equal(ops->want(p), KITH_STREAM_FIN);
    /* and the other direction goes on */
    assert_int_equal(ops->recv(p, 0, kith_bytes_str("still here")), KITH_OK);
    ops->eof(p, 0);
    assert_false(kith_pipe_ended(p));
    kith_pipe_used(p, 10);
    assert_true(kith_pipe_ended(p));
    over(p);
}

static void bytes_outlive_their_stream(void **state)
{
    (void)state;
    kith_pipe *p = kith_pipe_new(&env);
    kith_err err;
    assert_int_equal(ops->recv(p, 0, kith_bytes_str("late")), KITH_OK);
    assert_false(kith_pipe_gone(p, &err));
    ops->gone(p, 0, KITH_OK);
    ops->free(p); /* the stream lets go */
    assert_true(kith_pipe_gone(p, &err));
    assert_int_equal(err, KITH_OK);
    assert_true(kith_bytes_eq_str(kith_pipe_view(p), "late"));
    kith_pipe_used(p, 4);
    assert_true(kith_pipe_ended(p));
    kith_pipe_free(p);
    assert_int_equal(held, 0);
}

static void a_reset_is_not_an_end_of_data(void **state)
{
    (void)state;
    kith_pipe *p = kith_pipe_new(&env);
    kith_err err;
    ops->gone(p, 0, KITH_ERESET);
    assert_true(kith_pipe_gone(p, &err));
    assert_int_equal(err, KITH_ERESET);
    assert_false(kith_pipe_ended(p));
    assert_int_equal(kith_pipe_room(p), 0);
    over(p);
}

static void no_memory_takes_nothing(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 3; n++) {
        fail_after = n;
        kith_pipe *p = kith_pipe_new(&env);
        if (p) {
            kith_err e = kith_pipe_put(p, kith_bytes_str("abc"));
            assert_true(e == KITH_OK || kith_pipe_room(p) == KITH_PIPE_OUT_MAX);
            e = ops->recv(p, 0, kith_bytes_str("abc"));
            assert_true(e == KITH_OK || (e == KITH_ENOMEM && ops->held(p) == 0));
        }
        fail_after = -1;
        if (p)
            over(p);
        assert_int_equal(held, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_in_order),
        cmocka_unit_test(what_the_owner_may_put_is_bounded_at_the_cap),
        cmocka_unit_test(a_half_close_waits_for_what_is_queued),
        cmocka_unit_test(bytes_outlive_their_stream),
        cmocka_unit_test(a_reset_is_not_an_end_of_data),
        cmocka_unit_test(no_memory_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

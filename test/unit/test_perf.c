/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* perf: client and server joined by hand, in virtual time, in pieces of every size. */
#include "proto/perf.h"

#include "support.h"

static const kith_stream_ops *const ops = &kith_perf_ops;

/* Moves all that `from` has to `to`, one nanosecond per piece, and its half-close when it wants one. */
static kith_err move(void *from, void *to, kith_time *now, size_t piece)
{
    static uint8_t buf[70000];
    for (;;) {
        memset(buf, 0xaa, sizeof buf);
        ++*now;
        size_t n = ops->send(from, *now, kith_span_of(buf, piece));
        if (n == 0)
            break;
        for (size_t i = n; i < piece; i++)
            assert_int_equal(buf[i], 0xaa);
        kith_err e = ops->recv(to, *now, kith_bytes_of(buf, n));
        if (e)
            return e;
    }
    if (ops->want(from) == KITH_STREAM_FIN)
        ops->eof(to, *now);
    return KITH_OK;
}

static void upload_and_download_are_counted_and_timed(void **state)
{
    (void)state;
    static const uint64_t sizes[][2] = {{0, 0},       {1, 0},       {0, 1},      {1, 1},
                                        {7, 9},       {8, 8},       {100, 1000}, {65519, 131071},
                                        {1000000, 3}, {5, 1000000}, {0, 70000}};
    static const size_t pieces[] = {1, 2, 7, 8, 9, 1000, 65507, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            support_heap heap;
            const kith_env *env = support_env(&heap);
            uint64_t up = sizes[i][0], down = sizes[i][1], sent, received;
            kith_perf *c = kith_perf_client(env, up, down), *s = kith_perf_server(env);
            kith_perf_result r;
            kith_time now = 1000;
            assert_int_equal(kith_perf_result_get(c, &r), KITH_ESTATE);
            assert_int_equal(ops->want(c), KITH_STREAM_OPEN);
            assert_int_equal(move(c, s, &now, pieces[k]), KITH_OK);
            kith_time half = now;
            assert_int_equal(ops->want(c), KITH_STREAM_FIN);
            assert_int_equal(kith_perf_result_get(c, &r), KITH_ESTATE);
            now += 50;
            assert_int_equal(move(s, c, &now, pieces[k]), KITH_OK);
            assert_int_equal(ops->want(s), KITH_STREAM_FIN);
            assert_true(ops->pending(c));
            assert_int_equal(kith_perf_result_get(c, &r), KITH_OK);
            assert_int_equal(r.upload_bytes, up);
            assert_int_equal(r.download_bytes, down);
            assert_int_equal(r.upload_time, half + 51 - 1001);
            assert_int_equal(r.download_time, down == 0 ? 0 : (down - 1) / pieces[k]);
            kith_perf_progress(c, &sent, &received);
            assert_int_equal(sent, up);
            assert_int_equal(received, down);
            assert_int_equal(kith_perf_result_get(s, &r), KITH_OK);
            assert_int_equal(r.upload_bytes, up);
            assert_int_equal(r.download_bytes, down);
            kith_perf_progress(s, &sent, &received);
            assert_int_equal(sent, down);
            assert_int_equal(received, up);
            ops->gone(c, now, KITH_OK);
            ops->gone(s, now, KITH_OK);
            assert_int_equal(kith_perf_result_get(c, &r), KITH_OK);
            ops->free(c);
            ops->free(s);
            support_heap_check(&heap);
        }
    }
}

static void the_wire_is_eight_bytes_then_zeros(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_perf *c = kith_perf_client(env, 4, 0x0102030405060708u);
    uint8_t buf[32];
    memset(buf, 0xaa, sizeof buf);
    assert_int_equal(ops->send(c, 0, kith_span_of(buf, sizeof buf)), 12);
    support_assert_hex(kith_bytes_of(buf, 13), "010203040506070800000000aa");
    ops->free(c);
    support_heap_check(&heap);
}

static void nothing_of_an_old_buffer_leaks(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_perf *s = kith_perf_server(env);
    uint8_t buf[100];
    memset(buf, 0xaa, sizeof buf);
    assert_int_equal(ops->recv(s, 0, kith_bytes_of("\0\0\0\0\0\0\0\x64", 8)), KITH_OK);
    ops->eof(s, 0);
    assert_int_equal(ops->send(s, 0, kith_span_of(buf, sizeof buf)), 100);
    for (size_t i = 0; i < sizeof buf; i++)
        assert_int_equal(buf[i], 0);
    ops->free(s);
    support_heap_check(&heap);
}

static void a_server_says_nothing_before_the_half_close(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_perf *s = kith_perf_server(env);
    uint8_t buf[100];
    assert_int_equal(ops->recv(s, 0, kith_bytes_of("\0\0\0\0\0\0\0\x64zzzzz", 13)), KITH_OK);
    assert_int_equal(ops->send(s, 0, kith_span_of(buf, sizeof buf)), 0);
    assert_int_equal(ops->want(s), KITH_STREAM_OPEN);
    ops->eof(s, 0);
    assert_int_equal(ops->send(s, 0, kith_span_of(buf, sizeof buf)), 100);
    ops->free(s);
    support_heap_check(&heap);
}

static void a_truncated_head_resets(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_perf *s = kith_perf_server(env);
        kith_perf_result r;
        assert_int_equal(ops->recv(s, 0, kith_bytes_of("\0\0\0\0\0\0\0\0", n)), KITH_OK);
        ops->eof(s, 0);
        assert_int_equal(ops->want(s), KITH_STREAM_RESET);
        assert_int_equal(kith_perf_result_get(s, &r), KITH_EPROTO);
        ops->free(s);
        support_heap_check(&heap);
    }
}

static void sizes_go_to_the_end_of_64_bits(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static uint8_t buf[65507];
    static const uint64_t sizes[] = {(uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        kith_perf *c = kith_perf_client(env, sizes[i], sizes[i]), *s = kith_perf_server(env);
        uint64_t sent, received;
        assert_int_equal(ops->send(c, 0, kith_span_of(buf, sizeof buf)), sizeof buf);
        assert_int_equal(ops->recv(s, 0, kith_bytes_of(buf, sizeof buf)), KITH_OK);
        assert_int_equal(ops->want(c), KITH_STREAM_OPEN);
        ops->eof(s, 0);
        assert_int_equal(ops->send(s, 0, kith_span_of(buf, sizeof buf)), sizeof buf);
        assert_int_equal(ops->want(s), KITH_STREAM_OPEN);
        kith_perf_progress(s, &sent, &received);
        assert_int_equal(sent, sizeof buf);
        assert_int_equal(received, sizeof buf - 8);
        ops->free(c);
        ops->free(s);
    }
    support_heap_check(&heap);
}

static void an_answer_that_is_early_long_or_short_fails(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_perf_result r;
    uint8_t buf[100] = {0};
    for (int i = 0; i < 5; i++) {
        kith_perf *c = kith_perf_client(env, 10, 20);
        switch (i) {
        case 0: /* before anything was sent */
            assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 1)), KITH_EPROTO);
            break;
        case 1: /* before everything was */
            assert_int_equal(ops->send(c, 0, kith_span_of(buf, 17)), 17);
            assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 1)), KITH_EPROTO);
            break;
        case 2: /* a byte too many at once */
            assert_int_equal(ops->send(c, 0, kith_span_of(buf, 100)), 18);
            assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 21)), KITH_EPROTO);
            break;
        case 3: /* and later */
            assert_int_equal(ops->send(c, 0, kith_span_of(buf, 100)), 18);
            assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 20)), KITH_OK);
            assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 1)), KITH_EPROTO);
            break;
        default: /* a byte too few */
            assert_int_equal(ops->send(c, 0, kith_span_of(buf, 100)), 18);
            assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 19)), KITH_OK);
            ops->eof(c, 0);
        }
        assert_int_equal(ops->want(c), KITH_STREAM_RESET);
        assert_true(ops->pending(c));
        assert_int_equal(kith_perf_result_get(c, &r), KITH_EPROTO);
        assert_int_equal(ops->recv(c, 0, kith_bytes_of(buf, 1)), KITH_ESTATE);
        assert_int_equal(ops->send(c, 0, kith_span_of(buf, 100)), 0);
        ops->free(c);
    }
    support_heap_check(&heap);
}

static void an_early_end_of_the_stream_is_the_result(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_perf_result r;
    kith_perf *c = kith_perf_client(env, 10, 20);
    ops->gone(c, 0, KITH_ETIMEOUT);
    assert_int_equal(kith_perf_result_get(c, &r), KITH_ETIMEOUT);
    ops->free(c);
    c = kith_perf_client(env, 10, 20);
    ops->gone(c, 0, KITH_OK);
    assert_int_equal(kith_perf_result_get(c, &r), KITH_ECLOSED);
    ops->free(c);
    support_heap_check(&heap);
}

static void the_only_allocation_may_fail(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    heap.fail_at = 1;
    assert_null(kith_perf_client(env, 1, 1));
    assert_null(kith_perf_server(env));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upload_and_download_are_counted_and_timed),
        cmocka_unit_test(the_wire_is_eight_bytes_then_zeros),
        cmocka_unit_test(nothing_of_an_old_buffer_leaks),
        cmocka_unit_test(a_server_says_nothing_before_the_half_close),
        cmocka_unit_test(a_truncated_head_resets),
        cmocka_unit_test(sizes_go_to_the_end_of_64_bits),
        cmocka_unit_test(an_answer_that_is_early_long_or_short_fails),
        cmocka_unit_test(an_early_end_of_the_stream_is_the_result),
        cmocka_unit_test(the_only_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

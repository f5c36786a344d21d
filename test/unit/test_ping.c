/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ping: asker and responder joined by hand, cut at every byte, in virtual time. */
#include "proto/ping.h"

#include "support.h"

static const kith_stream_ops *const ops = &kith_ping_ops;

/* Moves everything that `from` has to `to`, read and written in pieces. */
static kith_err move(void *from, void *to, kith_time now, size_t piece, size_t *total)
{
    uint8_t buf[64];
    *total = 0;
    for (;;) {
        size_t n = ops->send(from, now, kith_span_of(buf, piece < sizeof buf ? piece : sizeof buf));
        if (n == 0)
            return KITH_OK;
        *total += n;
        kith_span c = support_copy(kith_bytes_of(buf, n));
        kith_err e = ops->recv(to, now, kith_span_bytes(c));
        free(c.p);
        if (e)
            return e;
    }
}

static void expect_rtt(kith_ping *p, kith_time rtt)
{
    kith_ping_event ev;
    assert_true(ops->pending(p));
    assert_true(kith_ping_next(p, &ev));
    assert_int_equal(ev.kind, KITH_PING_RTT);
    assert_int_equal(ev.rtt, rtt);
    assert_false(ops->pending(p));
    assert_false(kith_ping_next(p, &ev));
}

static void expect_failed(kith_ping *p, kith_err err, const char *why)
{
    kith_ping_event ev;
    assert_true(kith_ping_next(p, &ev));
    assert_int_equal(ev.kind, KITH_PING_FAILED);
    assert_int_equal(ev.err, err);
    assert_string_equal(ev.why, why);
    assert_false(kith_ping_next(p, &ev));
    assert_int_equal(ops->want(p), KITH_STREAM_RESET);
    assert_int_equal(ops->deadline(p), KITH_NEVER);
    assert_int_equal(kith_ping_start(p, 0), KITH_ESTATE);
}

static void pings_come_back_and_are_timed_whatever_the_pieces(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 33; piece++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_ping *a = kith_ping_new(env), *r = kith_ping_new_responder(env);
        size_t n;
        for (kith_time i = 0; i < 5; i++) {
            kith_time t = KITH_SEC(i);
            assert_int_equal(ops->deadline(a), KITH_NEVER);
            assert_int_equal(kith_ping_start(a, t), KITH_OK);
            assert_int_equal(kith_ping_start(a, t), KITH_ESTATE);
            assert_int_equal(ops->deadline(a), t + KITH_PING_TIMEOUT);
            assert_int_equal(move(a, r, t + KITH_MS(1), piece, &n), KITH_OK);
            assert_int_equal(n, 32);
            assert_int_equal(move(r, a, t + KITH_MS(21), piece, &n), KITH_OK);
            assert_int_equal(n, 32);
            expect_rtt(a, KITH_MS(20));
        }
        kith_ping_close(a);
        assert_int_equal(ops->want(a), KITH_STREAM_FIN);
        ops->eof(r, KITH_SEC(6));
        assert_int_equal(ops->want(r), KITH_STREAM_FIN);
        assert_int_equal(kith_ping_start(a, KITH_SEC(6)), KITH_ESTATE);
        ops->gone(a, 0, KITH_OK);
        ops->gone(r, 0, KITH_OK);
        assert_false(ops->pending(a));
        ops->free(a);
        ops->free(r);
        support_heap_check(&heap);
    }
}

static void every_ping_carries_other_bytes(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *a = kith_ping_new(env);
    uint8_t one[32], two[32];
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    assert_int_equal(ops->send(a, 0, kith_span_of(one, 32)), 32);
    assert_int_equal(ops->recv(a, 0, kith_bytes_of(one, 32)), KITH_OK);
    expect_rtt(a, 0);
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    assert_int_equal(ops->send(a, 0, kith_span_of(two, 32)), 32);
    assert_memory_not_equal(one, two, 32);
    ops->free(a);
    support_heap_check(&heap);
}

static void a_responder_echoes_whole_pings_only(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *r = kith_ping_new_responder(env);
    uint8_t in[80], out[80];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < 31; i++) {
        assert_int_equal(ops->recv(r, 0, kith_bytes_of(in + i, 1)), KITH_OK);
        assert_int_equal(ops->send(r, 0, kith_span_of(out, sizeof out)), 0);
        assert_int_equal(ops->held(r), i + 1);
    }
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(in + 31, 49)), KITH_OK); /* two and a half */
    assert_int_equal(ops->send(r, 0, kith_span_of(out, 7)), 7);
    assert_int_equal(ops->send(r, 0, kith_span_of(out + 7, 73)), 57);
    assert_memory_equal(in, out, 64);
    assert_int_equal(ops->held(r), 16);
    assert_int_equal(ops->want(r), KITH_STREAM_OPEN);
    ops->eof(r, 0);
    assert_int_equal(ops->want(r), KITH_STREAM_FIN); /* half a ping is nobody's */
    ops->free(r);
    support_heap_check(&heap);
}

static void pings_that_come_while_one_is_echoed_in_parts_are_echoed_too(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *r = kith_ping_new_responder(env);
    uint8_t in[96], out[96];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(in, 40)), KITH_OK);
    assert_int_equal(ops->send(r, 0, kith_span_of(out, 10)), 10); /* a record had room for so much */
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(in + 40, 56)), KITH_OK);
    assert_int_equal(ops->send(r, 0, kith_span_of(out + 10, sizeof out - 10)), 86);
    assert_memory_equal(out, in, sizeof in);
    assert_int_equal(ops->held(r), 0);
    ops->free(r);
    support_heap_check(&heap);
}

static void a_half_closed_peer_still_gets_its_echo(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *r = kith_ping_new_responder(env);
    uint8_t b[64] = {1};
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(b, 32)), KITH_OK);
    ops->eof(r, 0);
    assert_int_equal(ops->want(r), KITH_STREAM_OPEN);
    assert_int_equal(ops->send(r, 0, kith_span_of(b, 64)), 32);
    assert_int_equal(ops->want(r), KITH_STREAM_FIN);
    ops->free(r);
    support_heap_check(&heap);
}

static void a_responder_holds_64_pings_and_not_one_byte_more(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static uint8_t b[KITH_PING_LEN * KITH_PING_QUEUE + 1];
    kith_ping *r = kith_ping_new_responder(env);
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(b, sizeof b - 1)), KITH_OK);
    assert_int_equal(ops->held(r), sizeof b - 1);
    assert_true(heap.bytes < 4096);
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(b, 1)), KITH_ELIMIT);
    assert_int_equal(ops->want(r), KITH_STREAM_RESET);
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(b, 1)), KITH_ESTATE);
    assert_int_equal(heap.blocks, 1);
    ops->free(r);
    r = kith_ping_new_responder(env);
    assert_int_equal(ops->recv(r, 0, kith_bytes_of(b, sizeof b)), KITH_ELIMIT);
    ops->free(r);
    support_heap_check(&heap);
}

static void a_silent_asker_is_reset_after_a_minute(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *r = kith_ping_new_responder(env);
    uint8_t b[32] = {0};
    assert_int_equal(ops->recv(r, KITH_SEC(5), kith_bytes_of(b, 32)), KITH_OK);
    assert_int_equal(ops->deadline(r), KITH_SEC(5) + KITH_PING_IDLE);
    ops->tick(r, KITH_SEC(5) + KITH_PING_IDLE - 1);
    assert_int_equal(ops->want(r), KITH_STREAM_OPEN);
    ops->tick(r, KITH_SEC(5) + KITH_PING_IDLE);
    assert_int_equal(ops->want(r), KITH_STREAM_RESET);
    assert_false(ops->pending(r));
    ops->free(r);
    support_heap_check(&heap);
}

static void any_wrong_bit_in_the_echo_fails(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 256; bit++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        kith_ping *a = kith_ping_new(env);
        uint8_t b[32];
        assert_int_equal(kith_ping_start(a, 0), KITH_OK);
        assert_int_equal(ops->send(a, 0, kith_span_of(b, 32)), 32);
        b[bit / 8] = (uint8_t)(b[bit / 8] ^ 1u << bit % 8);
        assert_int_equal(ops->recv(a, 0, kith_bytes_of(b, 32)), KITH_EPROTO);
        expect_failed(a, KITH_EPROTO, "the echo differs from the ping");
        ops->free(a);
        support_heap_check(&heap);
    }
}

static void an_answer_to_nothing_fails(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t b[40];
    /* before any ping */
    kith_ping *a = kith_ping_new(env);
    assert_int_equal(ops->recv(a, 0, kith_bytes_of("x", 1)), KITH_EPROTO);
    expect_failed(a, KITH_EPROTO, "an answer to nothing that was asked");
    ops->free(a);
    /* more than was sent so far, though the bytes are right */
    a = kith_ping_new(env);
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    assert_int_equal(ops->send(a, 0, kith_span_of(b, 10)), 10);
    assert_int_equal(ops->recv(a, 0, kith_bytes_of(b, 10)), KITH_OK);
    assert_int_equal(ops->recv(a, 0, kith_bytes_of(b, 1)), KITH_EPROTO);
    expect_failed(a, KITH_EPROTO, "an answer to nothing that was asked");
    ops->free(a);
    /* a byte too many */
    a = kith_ping_new(env);
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    assert_int_equal(ops->send(a, 0, kith_span_of(b, 40)), 32);
    assert_int_equal(ops->recv(a, 0, kith_bytes_of(b, 33)), KITH_EPROTO);
    expect_failed(a, KITH_EPROTO, "an answer to nothing that was asked");
    ops->free(a);
    support_heap_check(&heap);
}

static void silence_fails_at_the_deadline(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *a = kith_ping_new(env);
    uint8_t b[32];
    assert_int_equal(kith_ping_start(a, KITH_SEC(1)), KITH_OK);
    assert_int_equal(ops->send(a, KITH_SEC(2), kith_span_of(b, 32)), 32);
    assert_int_equal(ops->recv(a, KITH_SEC(10), kith_bytes_of(b, 31)), KITH_OK);
    ops->tick(a, KITH_SEC(11) - 1);
    assert_int_equal(ops->want(a), KITH_STREAM_OPEN);
    ops->tick(a, KITH_SEC(11));
    expect_failed(a, KITH_ETIMEOUT, "no answer in time");
    ops->gone(a, KITH_SEC(11), KITH_ERESET);
    assert_false(ops->pending(a));
    ops->free(a);
    support_heap_check(&heap);
}

static void a_stream_that_ends_during_a_ping_fails_it_once(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *a = kith_ping_new(env);
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    ops->eof(a, 0);
    expect_failed(a, KITH_ECLOSED, "the peer closed the stream before it answered");
    ops->gone(a, 0, KITH_ERESET);
    assert_false(ops->pending(a));
    ops->free(a);
    a = kith_ping_new(env);
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    ops->gone(a, 0, KITH_ERESET);
    expect_failed(a, KITH_ERESET, "the stream ended before the answer");
    ops->free(a);
    support_heap_check(&heap);
}

static void close_waits_for_the_ping_under_way(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *a = kith_ping_new(env), *r = kith_ping_new_responder(env);
    size_t n;
    assert_int_equal(kith_ping_start(a, 0), KITH_OK);
    kith_ping_close(a);
    assert_int_equal(ops->want(a), KITH_STREAM_OPEN);
    assert_int_equal(move(a, r, 0, 64, &n), KITH_OK);
    assert_int_equal(move(r, a, 5, 64, &n), KITH_OK);
    assert_int_equal(ops->want(a), KITH_STREAM_FIN);
    expect_rtt(a, 5);
    ops->free(a);
    ops->free(r);
    support_heap_check(&heap);
}

static void a_peer_that_closes_an_idle_stream_gets_our_fin(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_ping *a = kith_ping_new(env);
    ops->eof(a, 0);
    assert_int_equal(ops->want(a), KITH_STREAM_FIN);
    assert_int_equal(kith_ping_start(a, 0), KITH_ESTATE);
    assert_false(ops->pending(a));
    ops->free(a);
    support_heap_check(&heap);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        heap.fail_at = fail_at;
        size_t n;
        kith_ping *a = kith_ping_new(env), *r = a ? kith_ping_new_responder(env) : NULL;
        if (r) {
            assert_int_equal(kith_ping_start(a, 0), KITH_OK);
            assert_int_equal(move(a, r, 0, 32, &n), KITH_ENOMEM);
            assert_int_equal(ops->want(r), KITH_STREAM_RESET);
        }
        assert_int_equal(r != NULL, fail_at == 3);
        if (a)
            ops->free(a);
        if (r)
            ops->free(r);
        support_heap_check(&heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pings_come_back_and_are_timed_whatever_the_pieces),
        cmocka_unit_test(every_ping_carries_other_bytes),
        cmocka_unit_test(a_responder_echoes_whole_pings_only),
        cmocka_unit_test(pings_that_come_while_one_is_echoed_in_parts_are_echoed_too),
        cmocka_unit_test(a_half_closed_peer_still_gets_its_echo),
        cmocka_unit_test(a_responder_holds_64_pings_and_not_one_byte_more),
        cmocka_unit_test(a_silent_asker_is_reset_after_a_minute),
        cmocka_unit_test(any_wrong_bit_in_the_echo_fails),
        cmocka_unit_test(an_answer_to_nothing_fails),
        cmocka_unit_test(silence_fails_at_the_deadline),
        cmocka_unit_test(a_stream_that_ends_during_a_ping_fails_it_once),
        cmocka_unit_test(close_waits_for_the_ping_under_way),
        cmocka_unit_test(a_peer_that_closes_an_idle_stream_gets_our_fin),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

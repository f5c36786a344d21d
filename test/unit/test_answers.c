/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Streams that peers ask on: answers in order, when there is room, and nothing beyond the caps. */
#include "mesh/answers.h"
#include "support.h"

static support_heap heap;
static unsigned made;

/* "?x" is answered by "x" and a colon, "!" has no answer, all else is refused. */
static kith_err answer(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes q, kith_wr *w)
{
    (void)ctx, (void)now, (void)from;
    made++;
    if (q.len == 2 && q.p[0] == '?') {
        kith_put_u8(w, q.p[1]);
        kith_put_u8(w, ':');
        return KITH_OK;
    }
    return q.len == 1 && q.p[0] == '!' ? KITH_OK : KITH_EPROTO;
}

static kith_answers *answers(void)
{
    const kith_env *env = support_env(&heap);
    kith_answers_config cfg = {.env = *env,
                               .stream_env = env,
                               .question_max = 10,
                               .answer_max = 10,
                               .streams_max = 2,
                               .answer = answer};
    made = 0;
    kith_answers *a = kith_answers_new(&cfg);
    assert_non_null(a);
    return a;
}

static const kith_stream_info info = {.inbound = true};
static const kith_stream_ops *const ops = &kith_answers_ops;

static kith_err put(void *m, kith_time now, const char *in, size_t len)
{
    return ops->recv(m, now, kith_bytes_of(in, len));
}

static void done(kith_answers *a, void *m)
{
    if (m) {
        ops->gone(m, 0, KITH_OK);
        ops->free(m);
    }
    assert_int_equal(kith_answers_count(a), 0);
    kith_answers_free(a);
    support_heap_check(&heap);
}

static void questions_are_answered_in_order(void **state)
{
    (void)state;
    kith_answers *a = answers();
    void *m = kith_answers_accept(a, &info);
    uint8_t out[32];
    assert_int_equal(put(m, 0, "\x02?a\x01!\x02?b\x02?", 10), KITH_OK);
    assert_int_equal(made, 0);
    size_t n = 0, k;
    while ((k = ops->send(m, 0, kith_span_of(out + n, sizeof out - n))) > 0)
        n += k;
    support_assert_str(kith_bytes_of(out, n), "\x02"
                                              "a:\x02"
                                              "b:");
    assert_int_equal(made, 3);
    ops->eof(m, 0);
    assert_int_equal(ops->want(m), KITH_STREAM_FIN); /* what was cut off has no answer */
    done(a, m);
}

static void who_does_not_read_gets_no_further_answer_made(void **state)
{
    (void)state;
    kith_answers *a = answers();
    void *m = kith_answers_accept(a, &info);
    uint8_t out[2];
    assert_int_equal(put(m, 0, "\x02?a\x02?b\x02?c", 9), KITH_OK);
    assert_int_equal(ops->send(m, 0, kith_span_of(out, 2)), 2);
    assert_int_equal(made, 1);
    assert_int_equal(ops->held(m), 6);
    ops->eof(m, 0);
    assert_int_equal(ops->want(m), KITH_STREAM_OPEN);
    done(a, m);
}

static void what_waits_has_its_cap(void **state)
{
    (void)state;
    kith_answers *a = answers();
    void *m = kith_answers_accept(a, &info);
    size_t max = 10 + KITH_ANSWERS_AHEAD + 9;
    char *many = calloc(1, max + 1);
    many[0] = 1;
    assert_int_equal(put(m, 0, many, max), KITH_OK);
    assert_int_equal(put(m, 0, many, 1), KITH_ELIMIT);
    assert_int_equal(ops->want(m), KITH_STREAM_RESET);
    free(many);
    done(a, m);
}

static void a_question_too_long_or_bad_resets_its_stream(void **state)
{
    (void)state;
    kith_answers *a = answers();
    uint8_t out[8];
    void *m = kith_answers_accept(a, &info);
    assert_int_equal(put(m, 0, "\x0a", 1), KITH_OK);
    ops->gone(m, 0, KITH_ERESET);
    ops->free(m);
    m = kith_answers_accept(a, &info);
    assert_int_equal(put(m, 0, "\x0b", 1), KITH_ELIMIT);
    assert_int_equal(ops->want(m), KITH_STREAM_RESET);
    assert_int_equal(put(m, 0, "x", 1), KITH_ESTATE);
    ops->gone(m, 0, KITH_ERESET);
    ops->free(m);
    m = kith_answers_accept(a, &info);
    assert_int_equal(put(m, 0, "\x01x", 2), KITH_OK);
    assert_int_equal(ops->send(m, 0, kith_span_of(out, sizeof out)), 0);
    assert_int_equal(ops->want(m), KITH_STREAM_RESET);
    done(a, m);
}

static void silence_resets_and_streams_have_their_cap(void **state)
{
    (void)state;
    kith_answers *a = answers();
    void *m = kith_answers_accept(a, &info), *n = kith_answers_accept(a, &info);
    assert_non_null(n);
    assert_null(kith_answers_accept(a, &info));
    assert_int_equal(put(m, KITH_SEC(5), "\x02", 1), KITH_OK);
    assert_int_equal(ops->deadline(m), KITH_SEC(65));
    ops->tick(m, KITH_SEC(65));
    assert_int_equal(ops->want(m), KITH_STREAM_RESET);
    ops->free(n);
    n = kith_answers_accept(a, &info);
    assert_non_null(n);
    ops->free(n);
    done(a, m);
}

static void without_memory_the_stream_is_reset(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < 5; nth++) {
        kith_answers *a = answers();
        uint8_t out[8];
        heap.calls = 0;
        heap.fail_at = nth;
        void *m = kith_answers_accept(a, &info);
        if (m && put(m, 0, "\x02?a", 3) == KITH_OK)
            assert_int_equal(ops->send(m, 0, kith_span_of(out, sizeof out)), 0);
        assert_true(!m || ops->want(m) == KITH_STREAM_RESET);
        heap.fail_at = 0;
        done(a, m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_answered_in_order),
        cmocka_unit_test(who_does_not_read_gets_no_further_answer_made),
        cmocka_unit_test(what_waits_has_its_cap),
        cmocka_unit_test(a_question_too_long_or_bad_resets_its_stream),
        cmocka_unit_test(silence_resets_and_streams_have_their_cap),
        cmocka_unit_test(without_memory_the_stream_is_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

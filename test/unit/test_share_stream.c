/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The machine of a shared stream: admission, frames around a pipe, and what tells whether all of it has come. */
#include "support.h"

#include "apps/share_stream.h"
#include "crypto/crypto.h"

static const kith_stream_ops *const ops = &kith_share_stream_ops;

/* One end, and what it has told. */
typedef struct side {
    kith_share_stream *m;
    kith_pipe *pipe; /* once it is open */
    bool asked, opened, failed, both, fin, reset, gone;
    size_t pakes;
    kith_err err;
    kith_share_code code;
    uint64_t took;
    uint8_t sum; /* of all bytes that it took */
} side;

static support_heap heap;
static side sharer, receiver;
static kith_time now;
static size_t step; /* bytes moved at a time */
static int64_t flip_at,
    cut_at; /* of what the sharer sends: a byte that is changed, or that the stream ends before; -1: none */
static int64_t sent;
static uint8_t want_sum; /* of all that was last sent */

static const char cap[] = "a capability";

static kith_bytes str(const char *s)
{
    return kith_bytes_str(s);
}

static void begin(bool by_code)
{
    const kith_env *env = support_env(&heap);
    now = KITH_SEC(1);
    sharer = receiver = (side){0};
    step = 1000;
    flip_at = cut_at = -1;
    sent = 0;
    sharer.m = kith_share_stream_new_sharer(env, now);
    receiver.m =
        kith_share_stream_new_receiver(env, now, str(by_code ? "" : cap), str(by_code ? "a tag" : ""));
    assert_true(sharer.m && receiver.m);
}

static void listen(side *s)
{
    kith_share_stream_event e;
    while (kith_share_stream_next(s->m, &e)) {
        switch (e.kind) {
        case KITH_SHARE_STREAM_ASKED:
            s->asked = true;
            assert_true(e.code_tag.len ? kith_bytes_eq_str(e.code_tag, "a tag")
                                       : kith_bytes_eq_str(e.capability, cap));
            break;
        case KITH_SHARE_STREAM_PAKE:
            s->pakes++;
            assert_true(kith_bytes_eq_str(e.data, "proof"));
            break;
        case KITH_SHARE_STREAM_OPENED:
            s->opened = true;
            s->both = e.both;
            s->pipe = kith_share_stream_pipe(s->m);
            break;
        case KITH_SHARE_STREAM_FAILED:
            s->failed = true;
            s->err = e.err;
            s->code = e.code;
            break;
        }
    }
    kith_share_stream_check(s->m);
}

static void over(side *a, side *b, kith_err err)
{
    if (!a->gone)
        ops->gone(a->m, now, err);
    if (!b->gone)
        ops->gone(b->m, now, err);
    a->gone = b->gone = true;
}

/* Moves bytes from one to the other. True: something has happened. */
static bool move(side *from, side *to)
{
    uint8_t buf[4096];
    if (from->gone || to->gone || from->fin)
        return false;
    size_t n = ops->send(from->m, now, kith_span_of(buf, step));
    if (from == &sharer) {
        if (flip_at >= sent && flip_at < sent + (int64_t)n)
            buf[flip_at - sent] ^= 1;
        sent += (int64_t)n;
        if (cut_at >= 0 && sent >= cut_at) {
            if (ops->recv(to->m, now, kith_bytes_of(buf, n - (size_t)(sent - cut_at))) == KITH_OK)
                ops->eof(to->m, now);
            from->fin = true;
            return true;
        }
    }
    if (n > 0 && ops->recv(to->m, now, kith_bytes_of(buf, n)))
        over(from, to, KITH_ERESET);
    kith_stream_want want = n == 0 && !from->gone ? ops->want(from->m) : KITH_STREAM_OPEN;
    if (want == KITH_STREAM_RESET) {
        over(from, to, KITH_ERESET);
    } else if (want == KITH_STREAM_FIN) {
        from->fin = true;
        ops->eof(to->m, now);
        if (to->fin)
            over(from, to, KITH_OK);
    }
    return n > 0 || want != KITH_STREAM_OPEN;
}

static void run(void)
{
    for (bool more = true; more;) {
        listen(&sharer);
        listen(&receiver);
        more = move(&sharer, &receiver);
        more |= move(&receiver, &sharer);
    }
    listen(&sharer);
    listen(&receiver);
}

static void admit(bool both)
{
    run();
    assert_true(sharer.asked);
    kith_share_stream_admit(sharer.m, now, both);
    sharer.pipe = kith_share_stream_pipe(sharer.m);
    run();
}

static void take(side *s)
{
    for (kith_bytes v; (v = kith_pipe_view(s->pipe)).len > 0;) {
        for (size_t i = 0; i < v.len; i++)
            s->sum = (uint8_t)(s->sum * 31 + v.p[i]);
        s->took += v.len;
        kith_pipe_used(s->pipe, v.len);
    }
}

/* Has one side send n bytes and the other take them; what came is what was sent. */
static void stream(side *from, side *to, size_t n)
{
    uint8_t sum = to->sum;
    uint64_t before = to->took;
    for (size_t i = 0; i < n && !from->gone;) {
        uint8_t piece[700];
        size_t k = n - i < sizeof piece ? n - i : sizeof piece;
        for (size_t j = 0; j < k; j++) {
            piece[j] = (uint8_t)((i + j) * 7);
            sum = (uint8_t)(sum * 31 + piece[j]);
        }
        assert_int_equal(kith_pipe_put(from->pipe, kith_bytes_of(piece, k)), KITH_OK);
        i += k;
        run();
        take(to);
    }
    want_sum = sum;
    if (flip_at >= 0 || cut_at >= 0)
        return;
    assert_int_equal(to->took - before, n);
    assert_int_equal(to->sum, sum);
}

static kith_err how(const side *s)
{
    kith_err err;
    assert_true(kith_pipe_gone(s->pipe, &err));
    return err;
}

static void end(void)
{
    over(&sharer, &receiver, KITH_ERESET);
    ops->free(sharer.m);
    ops->free(receiver.m);
    kith_pipe_free(sharer.pipe);
    kith_pipe_free(receiver.pipe);
    support_heap_check(&heap);
}

static void all_of_it_comes_whatever_the_steps(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 7, 1000, 4096};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        begin(false);
        step = steps[i];
        admit(true);
        assert_true(receiver.opened && receiver.both);
        stream(&sharer, &receiver, 5000);
        stream(&receiver, &sharer, 3000);
        kith_pipe_finish(sharer.pipe);
        run();
        assert_true(kith_pipe_ended(receiver.pipe) && !kith_pipe_ended(sharer.pipe)); /* half of it is over */
        stream(&receiver, &sharer, 1000);
        kith_pipe_finish(receiver.pipe);
        run();
        assert_true(kith_pipe_ended(sharer.pipe) && sharer.gone);
        assert_int_equal(how(&sharer), KITH_OK);
        assert_int_equal(how(&receiver), KITH_OK);
        end();
    }
}

static void a_receiver_that_is_silent_says_when_it_has_all(void **state)
{
    (void)state;
    begin(false);
    admit(false);
    assert_false(receiver.both);
    kith_share_stream_silent(receiver.m);
    kith_pipe_finish(receiver.pipe);
    const uint8_t x = 'x';
    assert_int_equal(kith_pipe_put(sharer.pipe, kith_bytes_of(&x, 1)), KITH_OK);
    kith_pipe_finish(sharer.pipe);
    run();
    assert_false(sharer.gone); /* a byte lies in its pipe */
    take(&receiver);
    run();
    assert_true(sharer.gone);
    assert_int_equal(how(&sharer), KITH_OK);
    end();
}

/* The stream ends early, or has another byte: at each of the first places, and the receiver never takes it for whole. */
static void damage_and_early_ends_are_seen(void **state)
{
    (void)state;
    size_t shorts = 0, others = 0, harmless = 0;
    for (int64_t at = 0; at < 400; at++) {
        for (int cut = 0; cut < 2; cut++) {
            begin(false);
            *(cut ? &cut_at : &flip_at) = at;
            step = 16;
            admit(false);
            if (receiver.pipe)
                kith_share_stream_silent(receiver.m);
            stream(&sharer, &receiver, 300);
            kith_pipe_finish(sharer.pipe);
            if (receiver.pipe)
                kith_pipe_finish(receiver.pipe);
            run();
            if (receiver.pipe)
                take(&receiver);
            run();
            if (at >= sent) { /* behind the end */
                end();
                continue;
            }
            over(&sharer, &receiver, KITH_ERESET);
            if (receiver.pipe) {
                if (kith_pipe_ended(
                        receiver
                            .pipe)) { /* a byte that says nothing, such as one of a field that is not known */
                    assert_int_equal(receiver.took, 300);
                    assert_int_equal(receiver.sum, want_sum);
                    harmless++;
                }
                shorts += how(&receiver) == KITH_ESHORT;
                others += how(&receiver) == KITH_ECRYPTO;
            }
            end();
        }
    }
    assert_true(shorts > 250 && others > 250 && harmless < 5);
}

static void a_code_is_proved_before_anything_is_offered(void **state)
{
    (void)state;
    begin(true);
    kith_share_stream_pake(receiver.m, now, str("proof"));
    run();
    assert_true(sharer.asked && sharer.pakes == 1);
    kith_share_stream_pake(sharer.m, now, str("proof"));
    run();
    assert_int_equal(receiver.pakes, 1);
    kith_share_stream_pake(receiver.m, now, str("proof"));
    admit(false);
    assert_int_equal(sharer.pakes, 2);
    assert_true(receiver.opened);
    end();
    for (size_t said = 0; said < 2;
         said++) { /* a sharer that offers at once, and one that has not been answered */
        begin(true);
        kith_share_stream_pake(receiver.m, now, str("proof"));
        run();
        if (said > 0)
            kith_share_stream_pake(sharer.m, now, str("proof"));
        admit(false);
        assert_true(receiver.failed && !receiver.opened);
        assert_int_equal(receiver.err, KITH_EPROTO);
        end();
    }
}

static void put_frame(const kith_share_msg *msg, side *to)
{
    uint8_t buf[KITH_SHARE_HEAD_MAX + 2];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_msg_put(&w, msg);
    assert_int_equal(ops->recv(to->m, now, kith_wr_bytes(&w)), KITH_OK);
    listen(to);
}

static void what_is_out_of_turn_is_a_breach(void **state)
{
    (void)state;
    static const uint8_t hash[KITH_BLAKE3_LEN], too_long[] = {0xff, 0xff, 0x7f};
    const kith_share_msg hello = {.kind = KITH_SHARE_HELLO, .version = 1, .capability = str(cap)},
                         later = {.kind = KITH_SHARE_HELLO, .version = 2, .capability = str(cap)},
                         data = {.kind = KITH_SHARE_DATA, .body = 10}, offer = {.kind = KITH_SHARE_STREAM},
                         last = {.kind = KITH_SHARE_END, .root = kith_bytes_of(hash, sizeof hash)},
                         pake = {.kind = KITH_SHARE_PAKE, .step = 1, .data = str("proof")},
                         files = {.kind = KITH_SHARE_GET_LIST};
    const kith_share_msg *first[] = {&later, &data, &offer, &last, &pake, &files};
    const kith_share_msg *second[] = {&hello, &data, &last, &offer, &pake, &files};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        begin(false);
        put_frame(first[i], &sharer);
        assert_true(sharer.failed && sharer.err == KITH_EPROTO);
        end();
        begin(false);
        put_frame(&hello, &sharer);
        assert_true(sharer.asked);
        put_frame(second[i], &sharer);
        assert_true(sharer.failed && sharer.err == KITH_EPROTO);
        end();
    }
    begin(false);
    put_frame(&hello, &receiver);
    assert_true(receiver.failed && receiver.err == KITH_EPROTO);
    end();
    begin(false); /* a head that cannot be */
    assert_int_equal(ops->recv(sharer.m, now, kith_bytes_of(too_long, sizeof too_long)), KITH_OK);
    listen(&sharer);
    assert_true(sharer.failed && sharer.err == KITH_EPROTO && !sharer.asked);
    end();
    begin(false); /* nobody asked for it */
    admit(false);
    put_frame(&data, &sharer);
    over(&sharer, &receiver, KITH_ERESET);
    assert_int_equal(how(&sharer), KITH_EPROTO);
    end();
    begin(false); /* more after the end */
    admit(true);
    kith_pipe_finish(receiver.pipe);
    run();
    assert_true(kith_pipe_ended(sharer.pipe));
    end();
}

/* A message of a kind that a later version may have, in the middle of it all. */
static void what_is_not_known_is_passed_over(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {5, 0x08, 2, 0x9a, 0x06, 0, 'x', 'y'}; /* field 99, empty, with a body */
    const kith_bytes later = kith_bytes_of(unknown, sizeof unknown);
    begin(false);
    assert_int_equal(ops->recv(sharer.m, now, later), KITH_OK);
    assert_int_equal(ops->recv(receiver.m, now, later), KITH_OK);
    admit(true);
    stream(&sharer, &receiver, 100);
    assert_int_equal(ops->recv(sharer.m, now, later), KITH_OK);
    assert_int_equal(ops->recv(receiver.m, now, later), KITH_OK);
    stream(&sharer, &receiver, 100);
    stream(&receiver, &sharer, 100);
    end();
}

static void who_says_nothing_is_dropped(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        begin(false);
        side *s = i ? &receiver : &sharer;
        kith_time at = ops->deadline(s->m);
        assert_int_equal(at - now, i ? KITH_SEC(60) : KITH_SEC(15));
        ops->tick(s->m, at - 1);
        listen(s);
        assert_false(s->failed);
        ops->tick(s->m, at);
        listen(s);
        assert_true(s->failed && s->err == KITH_ETIMEOUT);
        assert_int_equal(ops->want(s->m), KITH_STREAM_RESET);
        end();
    }
    begin(false);
    admit(false);
    assert_true(ops->deadline(sharer.m) == KITH_NEVER && ops->deadline(receiver.m) == KITH_NEVER);
    end();
}

static void a_refusal_is_told(void **state)
{
    (void)state;
    begin(false);
    run();
    kith_share_stream_stop(sharer.m, now, KITH_SHARE_USED_UP);
    run();
    assert_true(receiver.failed && receiver.err == KITH_EREFUSED && receiver.code == KITH_SHARE_USED_UP);
    assert_false(sharer.failed);
    end();
    begin(false); /* in the middle of a frame it cannot be: the stream is reset */
    admit(false);
    assert_int_equal(kith_pipe_put(sharer.pipe, str("of which a part is on its way")), KITH_OK);
    step = 10;
    assert_true(move(&sharer, &receiver));
    kith_share_stream_stop(sharer.m, now, KITH_SHARE_STOPPED);
    run();
    assert_true(sharer.gone && how(&receiver) == KITH_ERESET);
    kith_share_stream_stop(sharer.m, now, KITH_SHARE_STOPPED); /* it is over already */
    run();
    end();
}

static void memory_that_runs_out_ends_it(void **state)
{
    (void)state;
    bool through = false;
    for (size_t at = 1; !through; at++) {
        const kith_env *env = support_env(&heap);
        sharer = receiver = (side){0};
        heap.fail_at = at;
        step = 1000;
        sharer.m = kith_share_stream_new_sharer(env, now);
        receiver.m = sharer.m ? kith_share_stream_new_receiver(env, now, str(cap), str("")) : NULL;
        if (receiver.m) {
            run();
            if (sharer.asked) {
                kith_share_stream_admit(sharer.m, now, false);
                sharer.pipe = kith_share_stream_pipe(sharer.m);
                run();
                if (!sharer.gone && kith_pipe_put(sharer.pipe, str("x")) == KITH_OK)
                    run();
            }
            over(&sharer, &receiver, KITH_ERESET);
            ops->free(receiver.m);
        }
        if (sharer.m)
            ops->free(sharer.m);
        kith_pipe_free(sharer.pipe);
        kith_pipe_free(receiver.pipe);
        through = heap.calls < at;
        assert_true(!through || (at > 3 && sharer.asked));
        support_heap_check(&heap);
    }
}

static int group_setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_comes_whatever_the_steps),
        cmocka_unit_test(a_receiver_that_is_silent_says_when_it_has_all),
        cmocka_unit_test(damage_and_early_ends_are_seen),
        cmocka_unit_test(a_code_is_proved_before_anything_is_offered),
        cmocka_unit_test(what_is_out_of_turn_is_a_breach),
        cmocka_unit_test(what_is_not_known_is_passed_over),
        cmocka_unit_test(who_says_nothing_is_dropped),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(memory_that_runs_out_ends_it),
    };
    return cmocka_run_group_tests_name("share_stream", tests, group_setup, NULL);
}

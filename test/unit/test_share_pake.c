/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two ends that have a code, or have not; and how often one may try. */
#include "unit/support.h"

#include "apps/share_pake.h"
#include "crypto/crypto.h"

typedef struct end {
    kith_pake_bond bond;
    uint8_t secret[KITH_PAKE_SECRET_LEN];
} end;

static end make_end(void)
{
    return (end){.bond = {.receiver = support_peer(1), .sharer = support_peer(2), .channel = {3}, .tag = {4}},
                 .secret = {5}};
}

typedef struct messages {
    uint8_t first[KITH_PAKE_FIRST_LEN], answer[KITH_PAKE_ANSWER_LEN], confirm[KITH_PAKE_CONFIRM_LEN];
} messages;

/* An exchange as far as it gets: what the receiver, and if it confirmed the sharer, came to. */
static void exchange(const kith_env *env, const end *receiver, const end *sharer, kith_code_guard *g,
                     kith_err *first, kith_err *second)
{
    messages m;
    kith_pake *a = kith_pake_ask(env, &receiver->bond, receiver->secret, m.first), *b = NULL;
    assert_non_null(a);
    assert_int_equal(kith_pake_answer(env, &sharer->bond, sharer->secret, g,
                                      kith_bytes_of(m.first, sizeof m.first), &b, m.answer),
                     KITH_OK);
    assert_int_equal(g->open, 1);
    *first = kith_pake_confirm(a, kith_bytes_of(m.answer, sizeof m.answer), m.confirm);
    assert_int_equal(kith_pake_confirm(a, kith_bytes_of(m.answer, sizeof m.answer), m.confirm), KITH_ESTATE);
    assert_int_equal(kith_pake_check(a, kith_bytes_of(m.confirm, sizeof m.confirm)), KITH_ESTATE);
    assert_int_equal(kith_pake_confirm(b, kith_bytes_of(m.answer, sizeof m.answer), m.confirm), KITH_ESTATE);
    *second = KITH_ECLOSED;
    if (!*first) {
        *second = kith_pake_check(b, kith_bytes_of(m.confirm, sizeof m.confirm));
        assert_int_equal(kith_pake_check(b, kith_bytes_of(m.confirm, sizeof m.confirm)), KITH_ESTATE);
    }
    kith_pake_free(a), kith_pake_free(b);
    assert_int_equal(g->open, 0);
}

static void both_know_that_the_other_has_the_code(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    kith_code_guard g = {0};
    end e = make_end();
    kith_err first, second;
    for (int i = 0; i < 2 * KITH_CODE_GUESSES; i++) { /* right ones are not counted */
        exchange(env, &e, &e, &g, &first, &second);
        assert_int_equal(first, KITH_OK);
        assert_int_equal(second, KITH_OK);
    }
    assert_int_equal(g.wrong, 0);
    kith_pake_free(NULL);
    support_heap_check(&heap);
}

static void anything_different_and_the_receiver_says_no(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    end e = make_end(), others[5] = {e, e, e, e, e};
    others[0].secret[47] ^= 1;
    others[1].bond.receiver = support_peer(9);
    others[2].bond.sharer = support_peer(9);
    others[3].bond.channel[31] ^= 1; /* somebody sits between two connections */
    others[4].bond.tag[15] ^= 1;
    for (size_t i = 0; i < 5; i++) {
        kith_code_guard g = {0};
        kith_err first, second;
        exchange(env, &e, &others[i], &g, &first, &second);
        assert_int_equal(first, KITH_EAUTH);
        assert_int_equal(g.wrong, 1); /* it went without a word */
    }
    support_heap_check(&heap);
}

static void three_wrong_guesses_burn_the_code_and_two_do_not(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    end e = make_end(), other = e;
    other.secret[0]++;
    messages m;
    kith_code_guard g = {0};
    for (unsigned n = 0; n < KITH_CODE_GUESSES; n++) {
        kith_err first, second;
        assert_false(kith_code_burnt(&g));
        exchange(env, &e, &e, &g, &first, &second);
        assert_int_equal(second, KITH_OK);
        kith_pake *a = kith_pake_ask(env, &other.bond, other.secret, m.first), *b = NULL;
        assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, kith_bytes_of(m.first, sizeof m.first),
                                          &b, m.answer),
                         KITH_OK);
        memset(m.confirm, 0, sizeof m.confirm);
        assert_int_equal(kith_pake_check(b, kith_bytes_of(m.confirm, n == 1 ? 0 : sizeof m.confirm)),
                         KITH_EAUTH);
        assert_int_equal(g.wrong, n + 1);
        kith_pake_free(a), kith_pake_free(b);
        assert_int_equal(g.wrong, n + 1);
    }
    assert_true(kith_code_burnt(&g));
    kith_pake *a = kith_pake_ask(env, &e.bond, e.secret, m.first), *b = NULL; /* the right one too */
    assert_int_equal(
        kith_pake_answer(env, &e.bond, e.secret, &g, kith_bytes_of(m.first, sizeof m.first), &b, m.answer),
        KITH_EPOLICY);
    assert_null(b);
    kith_pake_free(a);
    support_heap_check(&heap);
}

static void guesses_under_way_are_counted_before_they_are_answered(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    end e = make_end();
    messages m;
    kith_code_guard g = {0};
    kith_pake *a = kith_pake_ask(env, &e.bond, e.secret, m.first), *b[KITH_CODE_GUESSES + 1] = {0};
    kith_bytes first = kith_bytes_of(m.first, sizeof m.first);
    for (unsigned n = 0; n < KITH_CODE_GUESSES; n++)
        assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, first, &b[n], m.answer), KITH_OK);
    assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, first, &b[KITH_CODE_GUESSES], m.answer),
                     KITH_ELIMIT);
    assert_false(kith_code_burnt(&g));
    kith_pake_free(b[0]); /* hangs up */
    assert_int_equal(g.wrong, 1);
    assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, first, &b[KITH_CODE_GUESSES], m.answer),
                     KITH_ELIMIT);
    assert_int_equal(kith_pake_confirm(a, kith_bytes_of(m.answer, sizeof m.answer), m.confirm), KITH_OK);
    assert_int_equal(kith_pake_check(b[2], kith_bytes_of(m.confirm, sizeof m.confirm)),
                     KITH_OK); /* makes room */
    assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, first, &b[KITH_CODE_GUESSES], m.answer),
                     KITH_OK);
    kith_pake_free(b[1]), kith_pake_free(b[2]), kith_pake_free(b[3]), kith_pake_free(a);
    assert_true(kith_code_burnt(&g));
    support_heap_check(&heap);
}

/* Whoever sends w*M sees by the refusal that w is right: it must have cost what any guess costs. */
static void a_message_that_is_refused_is_a_guess(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    end e = make_end();
    uint8_t zero[KITH_SPAKE2_SECRET_LEN] = {0}, answer[KITH_PAKE_ANSWER_LEN];
    kith_code_guard g = {0};
    kith_spake2 *s = kith_spake2_new(KITH_SPAKE2_A, e.secret, zero);
    kith_pake *b = NULL;
    kith_bytes first = kith_bytes_of(kith_spake2_share(s), KITH_PAKE_FIRST_LEN);
    for (unsigned n = 0; n < KITH_CODE_GUESSES; n++) {
        assert_int_equal(
            kith_pake_answer(env, &e.bond, e.secret, &g, n ? first : kith_bytes_of(NULL, 0), &b, answer),
            KITH_EPROTO);
        assert_int_equal(g.wrong, n + 1);
    }
    assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, first, &b, answer), KITH_EPOLICY);
    assert_null(b);
    kith_spake2_free(s);
    support_heap_check(&heap);
}

static void every_answer_of_another_length_or_with_a_wrong_bit_is_refused(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    end e = make_end();
    messages m;
    for (size_t i = 0; i <= KITH_PAKE_ANSWER_LEN; i++) {
        kith_code_guard g = {0};
        kith_pake *a = kith_pake_ask(env, &e.bond, e.secret, m.first), *b = NULL;
        assert_int_equal(kith_pake_answer(env, &e.bond, e.secret, &g, kith_bytes_of(m.first, sizeof m.first),
                                          &b, m.answer),
                         KITH_OK);
        if (i < KITH_PAKE_ANSWER_LEN) {
            kith_span part = support_copy(kith_bytes_of(m.answer, i));
            assert_int_equal(kith_pake_confirm(a, kith_span_bytes(part), m.confirm), KITH_EPROTO);
            free(part.p);
            m.answer[i] ^= 0x10;
        }
        kith_err want = i < KITH_SPAKE2_SHARE_LEN  ? KITH_EPROTO
                        : i < KITH_PAKE_ANSWER_LEN ? KITH_EAUTH
                                                   : KITH_OK;
        assert_int_equal(kith_pake_confirm(a, kith_bytes_of(m.answer, sizeof m.answer), m.confirm), want);
        kith_pake_free(a), kith_pake_free(b);
    }
    support_heap_check(&heap);
}

static void no_memory_is_no_guess(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    end e = make_end();
    messages m;
    kith_code_guard g = {0};
    kith_pake *a = kith_pake_ask(env, &e.bond, e.secret, m.first), *b = NULL;
    heap.fail_at = heap.calls + 1;
    assert_null(kith_pake_ask(env, &e.bond, e.secret, m.first));
    assert_int_equal(
        kith_pake_answer(env, &e.bond, e.secret, &g, kith_bytes_of(m.first, sizeof m.first), &b, m.answer),
        KITH_ENOMEM);
    assert_int_equal(g.open + g.wrong, 0);
    heap.fail_at = 0;
    kith_pake_free(a);
    support_heap_check(&heap);
}

static int set_up(void **state)
{
    (void)state;
    return (int)kith_crypto_init();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_know_that_the_other_has_the_code),
        cmocka_unit_test(anything_different_and_the_receiver_says_no),
        cmocka_unit_test(three_wrong_guesses_burn_the_code_and_two_do_not),
        cmocka_unit_test(guesses_under_way_are_counted_before_they_are_answered),
        cmocka_unit_test(a_message_that_is_refused_is_a_guess),
        cmocka_unit_test(every_answer_of_another_length_or_with_a_wrong_bit_is_refused),
        cmocka_unit_test(no_memory_is_no_guess),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* rekey: asker and answerer joined by hand, cut at every byte, tampered with at every byte. */
#include "proto/rekey.h"

#include "crypto/crypto.h"
#include "support.h"

static const kith_stream_ops *const ops = &kith_rekey_ops;

static const kith_kem_alg kems[] = {KITH_KEM_NONE, KITH_KEM_MLKEM512, KITH_KEM_MLKEM768, KITH_KEM_MLKEM1024};
#define KEMS (sizeof kems / sizeof *kems)
#define MESSAGE_MAX 2048

static const uint8_t hash[32] = {1, 2, 3}, chain[32] = {4, 5, 6};

typedef struct pair {
    support_heap heap;
    kith_rekey_config cfg;
    kith_rekey *a, *b; /* asks, answers */
} pair;

static void pair_init(pair *p, kith_kem_alg kem)
{
    assert_int_equal(kith_crypto_init(), KITH_OK);
    p->cfg = (kith_rekey_config){.env = support_env(&p->heap), .kem = kem, .hash = hash, .chain = chain};
    p->a = kith_rekey_new(&p->cfg, 0);
    p->b = kith_rekey_new_answerer(&p->cfg, 0);
    assert_non_null(p->a);
    assert_non_null(p->b);
}

static void pair_fini(pair *p)
{
    ops->free(p->a);
    ops->free(p->b);
    support_heap_check(&p->heap);
}

static size_t say(kith_rekey *from, uint8_t out[MESSAGE_MAX])
{
    size_t len = ops->send(from, 0, kith_span_of(out, MESSAGE_MAX));
    assert_int_equal(ops->send(from, 0, kith_span_of(out + len, 1)), 0);
    return len;
}

/* In a block of its exact size. */
static kith_err hear(kith_rekey *to, const uint8_t *p, size_t len)
{
    kith_span c = support_copy(kith_bytes_of(p, len));
    kith_err e = ops->recv(to, 0, kith_span_bytes(c));
    free(c.p);
    return e;
}

static void expect_failed(kith_rekey *r)
{
    kith_noise_keys k;
    uint8_t out[1];
    assert_int_equal(ops->want(r), KITH_STREAM_RESET);
    assert_int_equal(ops->deadline(r), KITH_NEVER);
    assert_int_equal(ops->send(r, 0, kith_span_of(out, 1)), 0);
    assert_int_equal(ops->recv(r, 0, kith_bytes_str("x")), KITH_ESTATE);
    assert_false(kith_rekey_take(r, &k));
}

/* Moves a message in pieces; how long it was. */
static size_t move(kith_rekey *from, kith_rekey *to, size_t piece)
{
    uint8_t buf[MESSAGE_MAX];
    size_t total = 0;
    for (size_t n; (n = ops->send(from, 0, kith_span_of(buf, piece))) > 0; total += n)
        assert_int_equal(hear(to, buf, n), KITH_OK);
    return total;
}

static void both_sides_agree_whatever_the_pieces(void **state)
{
    (void)state;
    static const size_t ask[KEMS] = {32, 832, 1216, 1600}, answer[KEMS] = {64, 832, 1152, 1632};
    for (size_t k = 0; k < KEMS; k++) {
        for (size_t piece = 1; piece <= MESSAGE_MAX; piece *= 2) {
            pair p;
            kith_noise_keys ka, kb;
            pair_init(&p, kems[k]);
            assert_int_equal(ops->deadline(p.a), KITH_REKEY_TIMEOUT);
            assert_int_equal(ops->deadline(p.b), KITH_REKEY_TIMEOUT);
            assert_int_equal(move(p.a, p.b, piece), ask[k]);
            assert_false(kith_rekey_take(p.a, &ka));
            assert_true(kith_rekey_take(p.b, &kb));
            assert_int_equal(ops->want(p.b), KITH_STREAM_OPEN); /* its answer is still here */
            assert_int_equal(move(p.b, p.a, piece), answer[k]);
            assert_int_equal(ops->want(p.b), KITH_STREAM_FIN);
            assert_int_equal(ops->want(p.a), KITH_STREAM_OPEN); /* nobody has the keys yet */
            assert_true(kith_rekey_take(p.a, &ka));
            assert_memory_equal(&ka, &kb, sizeof ka);
            assert_memory_not_equal(ka.i2r, ka.r2i, 32);
            assert_memory_not_equal(ka.chain, chain, 32);
            assert_false(kith_rekey_take(p.a, &ka));
            assert_false(kith_rekey_take(p.b, &kb));
            assert_int_equal(ops->want(p.a), KITH_STREAM_FIN);
            assert_int_equal(ops->deadline(p.a), KITH_NEVER);
            assert_int_equal(ops->deadline(p.b), KITH_NEVER);
            ops->eof(p.a, 0);
            ops->eof(p.b, 0);
            ops->gone(p.a, 0, KITH_OK);
            ops->gone(p.b, 0, KITH_OK);
            pair_fini(&p);
        }
    }
}

/* The two shared secrets are known to whoever breaks X25519 and ML-KEM; the chain and the channel are not. */
static void nobody_agrees_without_the_chain_or_on_another_channel(void **state)
{
    (void)state;
    uint8_t other[32] = {9}, m[MESSAGE_MAX];
    for (int which = 0; which < 3; which++) {
        pair p;
        pair_init(&p, KITH_KEM_MLKEM768);
        ops->free(p.b);
        kith_rekey_config cfg = p.cfg;
        cfg.chain = which == 0 ? other : chain;
        cfg.hash = which == 1 ? other : hash;
        p.b = kith_rekey_new_answerer(&cfg, 0);
        (void)move(p.a, p.b, MESSAGE_MAX);
        size_t len = say(p.b, m);
        assert_int_equal(hear(p.a, m, len), which == 2 ? KITH_OK : KITH_ECRYPTO);
        if (which != 2)
            expect_failed(p.a);
        pair_fini(&p);
    }
}

/* With the same randomness on both sides the chain alone makes other keys: it is really in the derivation. */
static void every_input_changes_every_key(void **state)
{
    (void)state;
    kith_noise_keys keys[4];
    for (int which = 0; which < 4; which++) {
        pair p;
        uint8_t h[32], c[32];
        memcpy(h, hash, 32);
        memcpy(c, chain, 32);
        h[31] ^= which == 1;
        c[31] ^= which == 2;
        pair_init(&p, KITH_KEM_MLKEM512);
        ops->free(p.a);
        ops->free(p.b);
        p.cfg.env = support_env(&p.heap); /* its stream of random numbers from the start */
        p.cfg.hash = h;
        p.cfg.chain = c;
        if (which == 3)
            (void)kith_rand_u64(p.cfg.env);
        p.a = kith_rekey_new(&p.cfg, 0);
        p.b = kith_rekey_new_answerer(&p.cfg, 0);
        (void)move(p.a, p.b, MESSAGE_MAX);
        assert_true(kith_rekey_take(p.b, &keys[which]));
        for (int i = 0; i < which; i++) {
            assert_memory_not_equal(keys[i].chain, keys[which].chain, 32);
            assert_memory_not_equal(keys[i].i2r, keys[which].i2r, 32);
            assert_memory_not_equal(keys[i].r2i, keys[which].r2i, 32);
        }
        pair_fini(&p);
    }
}

static void a_message_that_ends_early_fails_at_every_byte(void **state)
{
    (void)state;
    uint8_t m[MESSAGE_MAX];
    size_t len = kith_rekey_answer_len(KITH_KEM_MLKEM768);
    for (size_t cut = 0; cut < len; cut++) {
        pair p;
        pair_init(&p, KITH_KEM_MLKEM768);
        size_t asked = say(p.a, m);
        assert_int_equal(hear(p.b, m, cut), KITH_OK);
        ops->eof(p.b, 0);
        expect_failed(p.b);
        ops->free(p.b);
        p.b = kith_rekey_new_answerer(&p.cfg, 0);
        assert_int_equal(hear(p.b, m, asked), KITH_OK);
        assert_int_equal(say(p.b, m), len);
        assert_int_equal(hear(p.a, m, cut), KITH_OK);
        ops->eof(p.a, 0);
        expect_failed(p.a);
        pair_fini(&p);
    }
}

/* Changes one bit of one message; what the asker says to the answer. */
static kith_err tampered(kith_kem_alg kem, bool ask, size_t at, uint8_t bit)
{
    pair p;
    uint8_t m[MESSAGE_MAX];
    kith_noise_keys keys;
    pair_init(&p, kem);
    size_t len = say(p.a, m);
    if (ask)
        m[at] ^= bit;
    kith_err e = hear(p.b, m, len);
    if (!e) {
        len = say(p.b, m);
        if (!ask)
            m[at] ^= bit;
        e = hear(p.a, m, len);
        assert_int_equal(kith_rekey_take(p.a, &keys), e == KITH_OK);
        if (e)
            expect_failed(p.a);
    } else {
        expect_failed(p.b);
    }
    pair_fini(&p);
    return e;
}

static void any_changed_bit_of_either_message_is_refused(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * 64; bit++)
        assert_int_equal(
            tampered(KITH_KEM_NONE, bit < 256, bit % (bit < 256 ? 256 : 512) / 8, (uint8_t)(1u << bit % 8)),
            KITH_ECRYPTO);
    for (int ask = 0; ask < 2; ask++) {
        size_t len = ask ? kith_rekey_ask_len(KITH_KEM_MLKEM768) : kith_rekey_answer_len(KITH_KEM_MLKEM768);
        for (size_t at = 0; at < len; at++)
            assert_int_equal(tampered(KITH_KEM_MLKEM768, ask, at, (uint8_t)(1u << at % 8)), KITH_ECRYPTO);
    }
    assert_int_equal(tampered(KITH_KEM_MLKEM768, true, 0, 0), KITH_OK); /* and it is the bit that does it */
}

static void bad_keys_are_refused(void **state)
{
    (void)state;
    uint8_t m[MESSAGE_MAX] = {0};
    pair p;
    pair_init(&p, KITH_KEM_NONE);
    assert_int_equal(hear(p.b, m, 32), KITH_ECRYPTO); /* a point of low order */
    expect_failed(p.b);
    (void)say(p.a, m);
    memset(m, 0, sizeof m);
    assert_int_equal(hear(p.a, m, 64), KITH_ECRYPTO);
    expect_failed(p.a);
    pair_fini(&p);
    pair_init(&p, KITH_KEM_MLKEM768);
    size_t len = say(p.a, m);
    memset(m + 32, 0xff, len - 32); /* coefficients beyond q */
    assert_int_equal(hear(p.b, m, len), KITH_ECRYPTO);
    expect_failed(p.b);
    pair_fini(&p);
}

static void a_question_said_again_gives_other_keys_and_never_twice_on_one_stream(void **state)
{
    (void)state;
    pair p;
    uint8_t ask[MESSAGE_MAX], answer[MESSAGE_MAX];
    kith_noise_keys one, two;
    pair_init(&p, KITH_KEM_MLKEM768);
    size_t len = say(p.a, ask);
    assert_int_equal(hear(p.b, ask, len), KITH_OK);
    assert_true(kith_rekey_take(p.b, &one));
    size_t answered = say(p.b, answer);
    assert_int_equal(hear(p.b, ask, len), KITH_EPROTO);
    expect_failed(p.b);
    ops->free(p.b);

    p.b = kith_rekey_new_answerer(&p.cfg, 0);
    assert_int_equal(hear(p.b, ask, len), KITH_OK);
    assert_true(kith_rekey_take(p.b, &two));
    assert_memory_not_equal(&one, &two, sizeof one);
    assert_memory_not_equal(one.i2r, two.i2r, 32);

    /* an old answer to a new question */
    kith_rekey *a = kith_rekey_new(&p.cfg, 0);
    (void)say(a, ask);
    assert_int_equal(hear(a, answer, answered), KITH_ECRYPTO);
    expect_failed(a);
    ops->free(a);
    pair_fini(&p);
}

static void what_comes_out_of_turn_is_refused(void **state)
{
    (void)state;
    pair p;
    uint8_t ask[MESSAGE_MAX], m[MESSAGE_MAX];
    /* an answer before the question is out */
    pair_init(&p, KITH_KEM_MLKEM768);
    assert_int_equal(ops->send(p.a, 0, kith_span_of(ask, 1215)), 1215);
    assert_int_equal(hear(p.a, m, 1), KITH_EPROTO);
    expect_failed(p.a);
    pair_fini(&p);
    /* a byte too many, with the message and after it */
    for (int later = 0; later < 2; later++) {
        pair_init(&p, KITH_KEM_MLKEM768);
        size_t len = say(p.a, ask);
        assert_int_equal(hear(p.b, ask, later ? len : len + 1), later ? KITH_OK : KITH_EPROTO);
        if (later) {
            len = say(p.b, m);
            assert_int_equal(hear(p.a, m, len), KITH_OK);
            assert_int_equal(hear(p.a, m, 1), KITH_EPROTO);
            assert_int_equal(hear(p.b, m, 1), KITH_EPROTO);
            expect_failed(p.a);
        } else {
            assert_int_equal(hear(p.a, m, kith_rekey_answer_len(KITH_KEM_MLKEM768) + 1), KITH_EPROTO);
            expect_failed(p.a);
        }
        expect_failed(p.b);
        pair_fini(&p);
    }
    /* two who both ask: each takes the other's question for a wrong answer */
    pair_init(&p, KITH_KEM_MLKEM512);
    kith_rekey *other = kith_rekey_new(&p.cfg, 0);
    size_t len = say(other, m);
    (void)say(p.a, ask);
    assert_int_equal(hear(p.a, m, len), KITH_ECRYPTO); /* of the same length, with ML-KEM-512 */
    assert_int_equal(hear(other, ask, len), KITH_ECRYPTO);
    expect_failed(p.a);
    expect_failed(other);
    ops->free(other);
    pair_fini(&p);
}

static void silence_fails_at_the_deadline(void **state)
{
    (void)state;
    pair p;
    uint8_t m[MESSAGE_MAX];
    pair_init(&p, KITH_KEM_MLKEM768);
    size_t len = say(p.a, m);
    assert_int_equal(hear(p.b, m, len - 1), KITH_OK);
    ops->tick(p.a, KITH_REKEY_TIMEOUT - 1);
    ops->tick(p.b, KITH_REKEY_TIMEOUT - 1);
    assert_int_equal(ops->want(p.a), KITH_STREAM_OPEN);
    assert_int_equal(ops->want(p.b), KITH_STREAM_OPEN);
    ops->tick(p.a, KITH_REKEY_TIMEOUT);
    ops->tick(p.b, KITH_REKEY_TIMEOUT);
    expect_failed(p.a);
    expect_failed(p.b);
    pair_fini(&p);
}

static void a_stream_that_is_gone_takes_its_keys_along(void **state)
{
    (void)state;
    pair p;
    kith_noise_keys keys;
    pair_init(&p, KITH_KEM_MLKEM768);
    (void)move(p.a, p.b, MESSAGE_MAX);
    (void)move(p.b, p.a, MESSAGE_MAX);
    ops->gone(p.a, 0, KITH_ERESET);
    ops->gone(p.b, 0, KITH_ERESET);
    assert_false(kith_rekey_take(p.a, &keys));
    assert_false(kith_rekey_take(p.b, &keys));
    pair_fini(&p);
}

static void without_memory_there_is_no_machine(void **state)
{
    (void)state;
    support_heap heap;
    assert_int_equal(kith_crypto_init(), KITH_OK);
    kith_rekey_config cfg = {.env = support_env(&heap), .kem = KITH_KEM_NONE, .hash = hash, .chain = chain};
    heap.fail_at = 1;
    assert_null(kith_rekey_new(&cfg, 0));
    assert_null(kith_rekey_new_answerer(&cfg, 0));
    support_heap_check(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_agree_whatever_the_pieces),
        cmocka_unit_test(nobody_agrees_without_the_chain_or_on_another_channel),
        cmocka_unit_test(every_input_changes_every_key),
        cmocka_unit_test(a_message_that_ends_early_fails_at_every_byte),
        cmocka_unit_test(any_changed_bit_of_either_message_is_refused),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(a_question_said_again_gives_other_keys_and_never_twice_on_one_stream),
        cmocka_unit_test(what_comes_out_of_turn_is_refused),
        cmocka_unit_test(silence_fails_at_the_deadline),
        cmocka_unit_test(a_stream_that_is_gone_takes_its_keys_along),
        cmocka_unit_test(without_memory_there_is_no_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

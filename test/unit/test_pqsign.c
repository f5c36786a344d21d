/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ML-DSA and SLH-DSA: round trips, NIST ACVP, Wycheproof, one key used by several threads, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "crypto/crypto.h"
#include "crypto/pqsign.h"
#include "crypto/pqsign_vectors.h"
#include "unit/vectors.h"

static const char message[] = "kith signs this";

static kith_pq_signer *signer(kith_sig_alg alg, uint8_t first)
{
    uint8_t seed[KITH_SIG_SEED_MAX];
    kith_pq_signer *s = NULL;
    memset(seed, first, sizeof seed);
    if (alg == KITH_SIG_FALCON512) /* of which not every seed is one */
        assert_int_equal(kith_pq_seed_new(alg, kith_random_os(), seed), KITH_OK);
    assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, kith_sig_info_of(alg)->seed_len), &s),
                     KITH_OK);
    return s;
}

/* The next algorithm that this build has, KITH_SIG_COUNT at the end. */
static int next(int alg)
{
    do
        alg++;
    while (alg < KITH_SIG_COUNT && !kith_sig_available((kith_sig_alg)alg));
    return alg;
}

static void algorithms_have_the_names_and_sizes_of_their_standards(void **state)
{
    (void)state;
    assert_int_equal(kith_sig_named(kith_bytes_str("ML-DSA-65")), KITH_SIG_MLDSA65);
    assert_int_equal(kith_sig_named(kith_bytes_str("slh-dsa-sha2-128S")), KITH_SIG_SLHDSA128S);
    static const char *const none[] = {"", "ML-DSA", "ML-DSA-6", "ML-DSA-655", "ML-DSA-65 ", "RSA"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kith_sig_named(kith_bytes_str(none[i])), KITH_SIG_NONE);
    for (int a = KITH_SIG_NONE + 1; a < KITH_SIG_COUNT; a++) {
        const kith_sig_info *info = kith_sig_info_of((kith_sig_alg)a);
        assert_int_equal(kith_sig_named(kith_bytes_str(info->name)), a);
        assert_true(info->category >= 1 && info->category <= 5);
        assert_true(info->seed_len <= KITH_SIG_SEED_MAX && info->pub_len <= KITH_SIG_PUB_MAX);
        assert_true(info->sig_len <= KITH_SIG_MAX);
    }
}

static void what_is_signed_verifies_and_hedging_changes_the_signature_only(void **state)
{
    (void)state;
    for (int a = next(KITH_SIG_NONE); a < KITH_SIG_COUNT; a = next(a)) {
        static uint8_t sigs[4][KITH_SIG_MAX];
        kith_sig_alg alg = (kith_sig_alg)a;
        const kith_sig_info *info = kith_sig_info_of(alg);
        uint8_t rnd[2][KITH_SIG_RND_LEN] = {{1}, {2}};
        kith_pq_signer *s = signer(alg, 7), *other = signer(alg, 8);
        kith_bytes key = kith_pq_signer_public(s), text = kith_bytes_str(message);
        assert_int_equal(kith_pq_signer_alg(s), alg);
        assert_int_equal(key.len, info->pub_len);
        assert_int_equal(kith_pq_sign(s, text, NULL, sigs[0]), KITH_OK);
        assert_int_equal(kith_pq_sign(s, text, rnd[0], sigs[1]), KITH_OK);
        assert_int_equal(kith_pq_sign(s, text, rnd[1], sigs[2]), KITH_OK);
        assert_int_equal(kith_pq_sign(s, text, rnd[0], sigs[3]), KITH_OK);
        for (int i = 0; i < 4; i++) {
            kith_bytes sig = kith_bytes_of(sigs[i], info->sig_len);
            assert_int_equal(kith_pq_verify(alg, key, text, sig), KITH_OK);
            assert_int_equal(kith_pq_verify(alg, key, kith_bytes_str("kith signs that"), sig), KITH_ECRYPTO);
            assert_int_equal(kith_pq_verify(alg, key, (kith_bytes){0}, sig), KITH_ECRYPTO);
            assert_int_equal(kith_pq_verify(alg, kith_pq_signer_public(other), text, sig), KITH_ECRYPTO);
        }
        if (alg != KITH_SIG_FALCON512)
            assert_memory_equal(sigs[1], sigs[3], info->sig_len);
        assert_memory_not_equal(sigs[1], sigs[2], info->sig_len);
        assert_memory_not_equal(sigs[0], sigs[1], info->sig_len);
        kith_pq_signer_free(s);
        kith_pq_signer_free(other);
    }
    kith_pq_signer_free(NULL);
}

static void without_liboqs_falcon_says_so(void **state)
{
    (void)state;
    static uint8_t buf[KITH_SIG_SEED_MAX];
    const kith_sig_info *info = kith_sig_info_of(KITH_SIG_FALCON512);
    kith_pq_signer *s = NULL;
    kith_bytes seed = kith_bytes_of(buf, info->seed_len), key = kith_bytes_of(buf, info->pub_len),
               sig = kith_bytes_of(buf, info->sig_len);
    assert_int_equal(info->seed_len, KITH_SIG_SEED_MAX);
    if (kith_sig_available(KITH_SIG_FALCON512)) {
        assert_int_equal(kith_pq_signer_new(KITH_SIG_FALCON512, seed, &s), KITH_EFORMAT); /* zeros */
        assert_int_equal(kith_pq_verify(KITH_SIG_FALCON512, key, seed, sig), KITH_ECRYPTO);
        uint8_t other[KITH_SIG_SEED_MAX];
        assert_int_equal(kith_pq_seed_new(KITH_SIG_FALCON512, kith_random_os(), buf), KITH_OK);
        assert_int_equal(kith_pq_seed_new(KITH_SIG_FALCON512, kith_random_os(), other), KITH_OK);
        memcpy(buf + KITH_SIG_SEED_MAX - info->pub_len, other + KITH_SIG_SEED_MAX - info->pub_len,
               info->pub_len);
        assert_int_equal(kith_pq_signer_new(KITH_SIG_FALCON512, seed, &s),
                         KITH_EFORMAT); /* two that do not fit */
    } else {
        print_message("without liboqs: Falcon-512 is only refused\n");
        assert_int_equal(kith_pq_seed_new(KITH_SIG_FALCON512, kith_random_os(), buf), KITH_EUNSUPPORTED);
        assert_int_equal(kith_pq_signer_new(KITH_SIG_FALCON512, seed, &s), KITH_EUNSUPPORTED);
        assert_int_equal(kith_pq_verify(KITH_SIG_FALCON512, key, seed, sig), KITH_EUNSUPPORTED);
    }
    assert_null(s);
}

static void every_wrong_length_is_refused(void **state)
{
    (void)state;
    static uint8_t buf[KITH_SIG_MAX + 64];
    for (int a = next(KITH_SIG_NONE); a < KITH_SIG_COUNT; a = next(a)) {
        kith_sig_alg alg = (kith_sig_alg)a;
        const kith_sig_info *info = kith_sig_info_of(alg);
        kith_pq_signer *s = signer(alg, 7), *none = NULL;
        kith_bytes key = kith_pq_signer_public(s), text = kith_bytes_str(message);
        assert_int_equal(kith_pq_sign(s, text, NULL, buf), KITH_OK);
        for (size_t n = 0; n < sizeof buf; n++) {
            kith_err want = n == info->sig_len ? KITH_OK : KITH_ECRYPTO;
            assert_int_equal(kith_pq_verify(alg, key, text, kith_bytes_of(buf, n)), want);
        }
        uint8_t *longer = malloc(KITH_SIG_PUB_MAX + 64);
        memset(longer, 0, KITH_SIG_PUB_MAX + 64);
        memcpy(longer, key.p, key.len);
        kith_bytes sig = kith_bytes_of(buf, info->sig_len);
        for (size_t n = 0; n < KITH_SIG_PUB_MAX + 64; n++) {
            kith_err want = n == info->pub_len ? KITH_OK : KITH_ECRYPTO;
            assert_int_equal(kith_pq_verify(alg, kith_bytes_of(longer, n), text, sig), want);
        }
        free(longer);
        for (size_t n = 0; n < 100; n++) {
            if (n == info->seed_len)
                continue;
            assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(buf, n), &none), KITH_EFORMAT);
            assert_null(none);
        }
        kith_pq_signer_free(s);
    }
}

static void every_changed_byte_is_refused(void **state)
{
    (void)state;
    for (int a = next(KITH_SIG_NONE); a < KITH_SIG_COUNT; a = next(a)) {
        static uint8_t sig[KITH_SIG_MAX], key[KITH_SIG_PUB_MAX];
        kith_sig_alg alg = (kith_sig_alg)a;
        const kith_sig_info *info = kith_sig_info_of(alg);
        kith_pq_signer *s = signer(alg, 7);
        kith_bytes text = kith_bytes_str(message), k = kith_bytes_of(key, info->pub_len),
                   v = kith_bytes_of(sig, info->sig_len);
        memcpy(key, kith_pq_signer_public(s).p, info->pub_len);
        assert_int_equal(kith_pq_sign(s, text, NULL, sig), KITH_OK);
        kith_pq_signer_free(s);
        for (size_t i = 0; i < info->sig_len; i += 1 + info->sig_len / 60) {
            sig[i] ^= 0x55;
            assert_int_equal(kith_pq_verify(alg, k, text, v), KITH_ECRYPTO);
            sig[i] ^= 0x55;
        }
        for (size_t i = 0; i < info->pub_len; i += 1 + info->pub_len / 40) {
            key[i] ^= 0x55;
            assert_int_equal(kith_pq_verify(alg, k, text, v), KITH_ECRYPTO);
            key[i] ^= 0x55;
        }
        assert_int_equal(kith_pq_verify(alg, k, text, v), KITH_OK);
        for (uint8_t fill = 0; fill < 2; fill++) {
            memset(sig, fill ? 0xff : 0, sizeof sig);
            assert_int_equal(kith_pq_verify(alg, k, text, v), KITH_ECRYPTO);
        }
    }
}

/* ---- one key, several threads ---- */

typedef struct work {
    const kith_pq_signer *signer;
    int failed;
} work;

static void *sign_and_verify(void *arg)
{
    work *w = arg;
    kith_sig_alg alg = kith_pq_signer_alg(w->signer);
    const kith_sig_info *info = kith_sig_info_of(alg);
    uint8_t *sig = malloc(info->sig_len);
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t rnd[KITH_SIG_RND_LEN] = {i};
        w->failed += kith_pq_sign(w->signer, kith_bytes_of(&i, 1), rnd, sig) != KITH_OK;
        w->failed += kith_pq_verify(alg, kith_pq_signer_public(w->signer), kith_bytes_of(&i, 1),
                                    kith_bytes_of(sig, info->sig_len)) != KITH_OK;
    }
    free(sig);
    return NULL;
}

static void several_threads_sign_with_one_key(void **state)
{
    (void)state;
    static const kith_sig_alg algs[] = {KITH_SIG_MLDSA65, KITH_SIG_SLHDSA128F, KITH_SIG_FALCON512};
    for (size_t a = 0; a < 3 && kith_sig_available(algs[a]); a++) {
        kith_pq_signer *s = signer(algs[a], 9);
        pthread_t threads[4];
        work works[4];
        for (int i = 0; i < 4; i++) {
            works[i] = (work){.signer = s};
            assert_int_equal(pthread_create(&threads[i], NULL, sign_and_verify, &works[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(works[i].failed, 0);
        }
        kith_pq_signer_free(s);
    }
}

/* ---- published vectors ---- */

/* Runs fn over every test of a file and wants `count` of them; fn says whether it ran. */
static void acvp(const char *name, size_t count, void (*fn)(const json_t *group, const json_t *test))
{
    json_t *root = vectors_load(name), *group, *test;
    if (!root) {
        skip();
        return;
    }
    size_t ran = 0, g, t;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            fn(group, test);
            ran++;
        }
    }
    assert_int_equal(ran, count);
    json_decref(root);
}

/* The public key that a seed gives is the published one; through kith's own door too where kith has the algorithm. */
static void check_keygen(const char *set, kith_bytes seed, kith_bytes want)
{
    uint8_t got[KITH_SIG_PUB_MAX];
    size_t len;
    assert_int_equal(kith_pq_vector_public(set, seed, kith_span_of(got, sizeof got), &len), KITH_OK);
    assert_int_equal(len, want.len);
    assert_memory_equal(got, want.p, want.len);
    kith_sig_alg alg = kith_sig_named(kith_bytes_str(set));
    kith_pq_signer *s = NULL;
    if (alg == KITH_SIG_NONE)
        return;
    assert_int_equal(kith_pq_signer_new(alg, seed, &s), KITH_OK);
    assert_true(kith_bytes_eq(kith_pq_signer_public(s), want));
    kith_pq_signer_free(s);
}

static void mldsa_keygen(const json_t *group, const json_t *test)
{
    kith_span seed = vectors_hex(test, "seed"), pk = vectors_hex(test, "pk");
    check_keygen(vectors_str(group, "parameterSet"), kith_span_bytes(seed), kith_span_bytes(pk));
    free(seed.p), free(pk.p);
}

static void slhdsa_keygen(const json_t *group, const json_t *test)
{
    kith_span parts[] = {vectors_hex(test, "skSeed"), vectors_hex(test, "skPrf"),
                         vectors_hex(test, "pkSeed")};
    kith_span pk = vectors_hex(test, "pk");
    uint8_t seed[96];
    kith_wr w = kith_wr_of(kith_span_of(seed, sizeof seed));
    for (int i = 0; i < 3; i++) {
        kith_put_bytes(&w, kith_span_bytes(parts[i]));
        free(parts[i].p);
    }
    assert_false(w.bad);
    check_keygen(vectors_str(group, "parameterSet"), kith_wr_bytes(&w), kith_span_bytes(pk));
    free(pk.p);
}

static void check_sign(const kith_pq_how *how, const json_t *test, kith_bytes sk, kith_bytes want)
{
    kith_span msg = vectors_hex(test, "message"), sig = kith_span_of(malloc(want.len), want.len);
    assert_int_equal(kith_pq_vector_sign(how, sk, kith_span_bytes(msg), &sig), KITH_OK);
    assert_int_equal(sig.len, want.len);
    assert_memory_equal(sig.p, want.p, want.len);
    free(msg.p), free(sig.p);
}

static void mldsa_siggen(const json_t *group, const json_t *test)
{
    kith_span sk = vectors_hex(test, "sk"), want = vectors_hex(test, "signature"), rnd = {0};
    if (json_is_false(json_object_get(group, "deterministic")))
        rnd = vectors_hex(test, "rnd");
    kith_pq_how how = {
        .set = vectors_str(group, "parameterSet"), .internal = true, .rnd = rnd.p, .rnd_len = rnd.len};
    check_sign(&how, test, kith_span_bytes(sk), kith_span_bytes(want));
    kith_span room = kith_span_of(malloc(want.len), want.len);
    for (size_t n = 0; n < sk.len; n += 1 + sk.len / 60) /* a key that was cut */
        assert_int_equal(kith_pq_vector_sign(&how, kith_bytes_of(sk.p, n), (kith_bytes){0}, &room),
                         KITH_ECRYPTO);
    free(room.p), free(sk.p), free(want.p), free(rnd.p);
}

static void mldsa_sigver(const json_t *group, const json_t *test)
{
    kith_span pk = vectors_hex(group, "pk"), msg = vectors_hex(test, "message"),
              sig = vectors_hex(test, "signature");
    kith_pq_how how = {.set = vectors_str(group, "parameterSet"), .internal = true};
    bool good = json_is_true(json_object_get(test, "testPassed"));
    kith_err e = kith_pq_vector_verify(&how, kith_span_bytes(pk), kith_span_bytes(msg), kith_span_bytes(sig));
    assert_int_equal(e, good ? KITH_OK : KITH_ECRYPTO);
    /* The pure mode never takes a signature of the internal function. */
    kith_sig_alg alg = kith_sig_named(kith_bytes_str(how.set));
    assert_int_equal(kith_pq_verify(alg, kith_span_bytes(pk), kith_span_bytes(msg), kith_span_bytes(sig)),
                     KITH_ECRYPTO);
    free(pk.p), free(msg.p), free(sig.p);
}

static void slhdsa_sigver(const json_t *group, const json_t *test)
{
    kith_span pk = vectors_hex(test, "pk"), msg = vectors_hex(test, "message"),
              sig = vectors_hex(test, "signature");
    kith_span sk = vectors_hex(test, "sk"), rnd = vectors_hex(test, "additionalRandomness");
    kith_pq_how how = {.set = vectors_str(group, "parameterSet"), .internal = true};
    bool good = json_is_true(json_object_get(test, "testPassed"));
    kith_err e = kith_pq_vector_verify(&how, kith_span_bytes(pk), kith_span_bytes(msg), kith_span_bytes(sig));
    assert_int_equal(e, good ? KITH_OK : KITH_ECRYPTO);
    how.internal = false;
    assert_int_equal(
        kith_pq_vector_verify(&how, kith_span_bytes(pk), kith_span_bytes(msg), kith_span_bytes(sig)),
        KITH_ECRYPTO);
    if (good && how.set[strlen(how.set) - 1] == 'f') { /* the fast sets sign in the time of a test */
        how = (kith_pq_how){.set = how.set, .internal = true, .rnd = rnd.p, .rnd_len = rnd.len};
        check_sign(&how, test, kith_span_bytes(sk), kith_span_bytes(sig));
    }
    free(pk.p), free(msg.p), free(sig.p), free(sk.p), free(rnd.p);
}

static void acvp_mldsa_keygen_agrees(void **state)
{
    (void)state;
    acvp("acvp/ML-DSA-keyGen-FIPS204.json", 75, mldsa_keygen);
}

static void acvp_mldsa_siggen_agrees(void **state)
{
    (void)state;
    acvp("acvp/ML-DSA-sigGen-FIPS204.json", 60, mldsa_siggen);
}

static void acvp_mldsa_sigver_agrees(void **state)
{
    (void)state;
    acvp("acvp/ML-DSA-sigVer-FIPS204.json", 45, mldsa_sigver);
}

static void acvp_slhdsa_keygen_agrees(void **state)
{
    (void)state;
    acvp("acvp/SLH-DSA-keyGen-FIPS205.json", 40, slhdsa_keygen);
}

static void acvp_slhdsa_sigver_agrees(void **state)
{
    (void)state;
    acvp("acvp/SLH-DSA-sigVer-FIPS205.json", 45, slhdsa_sigver);
}

static void wycheproof_case(const json_t *group, const json_t *test)
{
    kith_span pk = vectors_hex(group, "publicKey"), msg = vectors_hex(test, "msg"),
              sig = vectors_hex(test, "sig");
    bool good = strcmp(vectors_str(test, "result"), "valid") == 0;
    if (json_object_get(test, "ctx")) {
        kith_span ctx = vectors_hex(test, "ctx");
        kith_pq_how how = {.set = "ML-DSA-65", .context = kith_span_bytes(ctx)};
        kith_err e =
            kith_pq_vector_verify(&how, kith_span_bytes(pk), kith_span_bytes(msg), kith_span_bytes(sig));
        assert_int_equal(e, good ? KITH_OK : KITH_ECRYPTO);
        good = good && ctx.len == 0; /* kith's context is empty */
        free(ctx.p);
    }
    kith_err e =
        kith_pq_verify(KITH_SIG_MLDSA65, kith_span_bytes(pk), kith_span_bytes(msg), kith_span_bytes(sig));
    assert_int_equal(e, good ? KITH_OK : KITH_ECRYPTO);
    free(pk.p), free(msg.p), free(sig.p);
}

static void wycheproof_mldsa_65_agrees(void **state)
{
    (void)state;
    acvp("wycheproof/mldsa_65_verify_test.json", 210, wycheproof_case);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algorithms_have_the_names_and_sizes_of_their_standards),
        cmocka_unit_test(what_is_signed_verifies_and_hedging_changes_the_signature_only),
        cmocka_unit_test(without_liboqs_falcon_says_so),
        cmocka_unit_test(every_wrong_length_is_refused),
        cmocka_unit_test(every_changed_byte_is_refused),
        cmocka_unit_test(several_threads_sign_with_one_key),
        cmocka_unit_test(acvp_mldsa_keygen_agrees),
        cmocka_unit_test(acvp_mldsa_siggen_agrees),
        cmocka_unit_test(acvp_mldsa_sigver_agrees),
        cmocka_unit_test(acvp_slhdsa_keygen_agrees),
        cmocka_unit_test(acvp_slhdsa_sigver_agrees),
        cmocka_unit_test(wycheproof_mldsa_65_agrees),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

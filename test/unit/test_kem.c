/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ML-KEM: known answers, Wycheproof, NIST ACVP, and what a broken key or ciphertext gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/kem.h"
#include "unit/vectors.h"

static const kith_kem_alg algs[] = {KITH_KEM_MLKEM512, KITH_KEM_MLKEM768, KITH_KEM_MLKEM1024};

/* Seeds d and z of NIST's ACVP keyGen (FIPS 203) tests 1, 26 and 51, and the SHA-256 of the encapsulation
 * key. */
static const struct {
    kith_kem_alg alg;
    const char *seed, *ek;
} keygen[] = {
    {KITH_KEM_MLKEM512,
     "2cb843a02ef02ee109305f39119fabf49ab90a57ffecb3a0e75e179450f52761"
     "84cc9121ae56fbf39e67adbd83ad2d3e3bb80843645206bdd9f2f629e3cc49b7",
     "f96920dc6766df52dca2428e7e751c0c27d537424c0a3f5c89153c2d5d28f898"},
    {KITH_KEM_MLKEM768,
     "e34a701c4c87582f42264ee422d3c684d97611f2523efe0c998af05056d693dc"
     "a85768f3486bd32a01bf9a8f21ea938e648eae4e5448c34c3eb88820b159eedd",
     "7799c9d8eef172aa78c073514f2f039c240de8c5cb61bca82ba0bc46041ce279"},
    {KITH_KEM_MLKEM1024,
     "49ac8b99bb1e6a8ea818261f8be68bdeaa52897e7ec6c40b530bc760ab77dce3"
     "99e3246884181f8e1dd44e0c7629093330221fd67d9b7d6e1510b2dbad8762f7",
     "62fccf5fdf805b110670b39cd5e25b1811172961ea4047bfbd589e323ce7cfbc"},
};

/* Key from the seed 64 x 0x15, coin 32 x 0x16: SHA-256 of the ciphertext, and the secret, by two
 * implementations. */
static const struct {
    kith_kem_alg alg;
    const char *ct, *ss;
} encaps[] = {
    {KITH_KEM_MLKEM512, "52899bb45e06a7bd750e24be351105b5090a51d145605262df4b3c820ca77791",
     "6a0e0292c0e5a0a5c30a3cc1f18889c758250ee1fff2d7e84656640b4046ac37"},
    {KITH_KEM_MLKEM768, "84f230492ef88cebc8e5feef6225a77377ec4910ec29edb485b3c7b6adf0bd8d",
     "e88984b057af7556c0de6d9c56db9b99cc8a551ea0e3f32b34adf4e8de3520c9"},
    {KITH_KEM_MLKEM1024, "76d0b6523a78377c2628abbac65a9751b1cac3e62ee75c87d9fcc2638de1e987",
     "6b91c4102fe79edabd4271b0ecbba19a52949d9df4950ff751253b3c34377e33"},
};

static void the_published_seeds_give_the_published_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof keygen / sizeof keygen[0]; i++) {
        uint8_t seed[64], ek[KITH_KEM_EK_MAX], hash[32], want[32];
        unhex(keygen[i].seed, seed, 64);
        kith_kem *k = kith_kem_new(keygen[i].alg, seed);
        assert_non_null(k);
        kith_kem_ek(k, ek);
        kith_sha256(kith_bytes_of(ek, kith_kem_ek_len(keygen[i].alg)), hash);
        unhex(keygen[i].ek, want, 32);
        assert_memory_equal(hash, want, 32);
        kith_kem_free(k);
    }
    kith_kem_free(NULL);
}

static void the_same_coin_gives_the_same_ciphertext(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof encaps / sizeof encaps[0]; i++) {
        kith_kem_alg alg = encaps[i].alg;
        uint8_t seed[64], coin[32], ek[KITH_KEM_EK_MAX], ct[KITH_KEM_CT_MAX], s1[32], s2[32], hash[32],
            want[32];
        memset(seed, 0x15, sizeof seed);
        memset(coin, 0x16, sizeof coin);
        kith_kem *k = kith_kem_new(alg, seed);
        kith_kem_ek(k, ek);
        assert_int_equal(kith_kem_encaps(alg, kith_bytes_of(ek, kith_kem_ek_len(alg)), coin, ct, s1),
                         KITH_OK);
        kith_sha256(kith_bytes_of(ct, kith_kem_ct_len(alg)), hash);
        unhex(encaps[i].ct, want, 32);
        assert_memory_equal(hash, want, 32);
        unhex(encaps[i].ss, want, 32);
        assert_memory_equal(s1, want, 32);
        assert_int_equal(kith_kem_decaps(k, kith_bytes_of(ct, kith_kem_ct_len(alg)), s2), KITH_OK);
        assert_memory_equal(s2, want, 32);
        kith_kem_free(k);
    }
}

static void a_forged_ciphertext_gives_another_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t seed[64] = {1}, coin[32] = {2}, ek[KITH_KEM_EK_MAX], ct[KITH_KEM_CT_MAX], s1[32], s2[32];
        kith_kem *k = kith_kem_new(algs[i], seed);
        size_t len = kith_kem_ct_len(algs[i]);
        kith_kem_ek(k, ek);
        assert_int_equal(kith_kem_encaps(algs[i], kith_bytes_of(ek, kith_kem_ek_len(algs[i])), coin, ct, s1),
                         KITH_OK);
        for (size_t at = 0; at < len; at += 97) {
            ct[at] ^= 1;
            assert_int_equal(kith_kem_decaps(k, kith_bytes_of(ct, len), s2), KITH_OK);
            assert_memory_not_equal(s1, s2, 32);
            ct[at] ^= 1;
        }
        assert_int_equal(kith_kem_decaps(k, kith_bytes_of(ct, len - 1), s2), KITH_ECRYPTO);
        assert_int_equal(kith_kem_decaps(k, (kith_bytes){0}, s2), KITH_ECRYPTO);
        kith_kem_free(k);
    }
}

static void a_key_with_a_coefficient_beyond_q_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t seed[64] = {1}, coin[32] = {2}, ek[KITH_KEM_EK_MAX], ct[KITH_KEM_CT_MAX], ss[32];
        kith_kem *k = kith_kem_new(algs[i], seed);
        size_t len = kith_kem_ek_len(algs[i]);
        kith_kem_ek(k, ek);
        kith_kem_free(k);
        assert_int_equal(kith_kem_encaps(algs[i], kith_bytes_of(ek, len - 1), coin, ct, ss), KITH_ECRYPTO);
        assert_int_equal(kith_kem_encaps(algs[i], (kith_bytes){0}, coin, ct, ss), KITH_ECRYPTO);
        ek[0] = 0xff; /* the first coefficient is 4095 > 3328 */
        ek[1] |= 0x0f;
        assert_int_equal(kith_kem_encaps(algs[i], kith_bytes_of(ek, len), coin, ct, ss), KITH_ECRYPTO);
    }
}

static void every_wrong_length_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t seed[64] = {1}, coin[32] = {2}, ct[KITH_KEM_CT_MAX], ss[32];
        size_t ek_len = kith_kem_ek_len(algs[i]), ct_len = kith_kem_ct_len(algs[i]);
        kith_kem *k = kith_kem_new(algs[i], seed);
        uint8_t whole_ek[KITH_KEM_EK_MAX] = {0};
        kith_kem_ek(k, whole_ek);
        assert_int_equal(kith_kem_encaps(algs[i], kith_bytes_of(whole_ek, ek_len), coin, ct, ss), KITH_OK);
        for (size_t n = 0; n < KITH_KEM_EK_MAX + 64; n++) {
            uint8_t *p = calloc(1, n + 1); /* a block of its own: a sanitizer sees what is read beyond it */
            memcpy(p, whole_ek, n < ek_len ? n : ek_len);
            uint8_t out[KITH_KEM_CT_MAX];
            kith_err e = kith_kem_encaps(algs[i], kith_bytes_of(p, n), coin, out, ss);
            assert_int_equal(e, n == ek_len ? KITH_OK : KITH_ECRYPTO);
            memset(p, 0, n);
            memcpy(p, ct, n < ct_len ? n : ct_len);
            assert_int_equal(kith_kem_decaps(k, kith_bytes_of(p, n), ss),
                             n == ct_len ? KITH_OK : KITH_ECRYPTO);
            free(p);
        }
        for (size_t n = 0; n < 3300; n++) { /* zeros are no decapsulation key of any length */
            uint8_t *p = calloc(1, n + 1);
            assert_null(kith_kem_of_dk(algs[i], kith_bytes_of(p, n)));
            free(p);
        }
        kith_kem_free(k);
    }
}

static kith_kem_alg alg_named(const char *name)
{
    return strcmp(name, "ML-KEM-512") == 0   ? KITH_KEM_MLKEM512
           : strcmp(name, "ML-KEM-768") == 0 ? KITH_KEM_MLKEM768
                                             : KITH_KEM_MLKEM1024;
}

/* One Wycheproof case; the seed has the right length. */
static bool wycheproof_case(kith_kem_alg alg, const json_t *test, const uint8_t *seed)
{
    uint8_t got[KITH_KEM_EK_MAX], ss[32];
    kith_kem *k = kith_kem_new(alg, seed);
    kith_span ct = vectors_hex(test, "c");
    kith_span ek = vectors_hex(test, "ek"), want = vectors_hex(test, "K");
    kith_kem_ek(k, got);
    bool ok = ek.len == kith_kem_ek_len(alg) && memcmp(ek.p, got, ek.len) == 0 &&
              !kith_kem_decaps(k, kith_span_bytes(ct), ss) && want.len == 32 && memcmp(ss, want.p, 32) == 0;
    kith_kem_free(k);
    free(ct.p), free(ek.p), free(want.p);
    return ok;
}

static void wycheproof(const char *name)
{
    json_t *root = vectors_load(name);
    if (!root) {
        skip();
        return;
    }
    size_t ran = 0, other = 0, g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        kith_kem_alg alg = alg_named(vectors_str(group, "parameterSet"));
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            bool valid = strcmp(vectors_str(test, "result"), "valid") == 0;
            kith_span seed = vectors_hex(test, "seed");
            if (seed.len != KITH_KEM_SEED_LEN) { /* not askable: the type says 64 */
                assert_false(valid);
                other++;
            } else {
                assert_int_equal(wycheproof_case(alg, test, seed.p), valid);
                ran++;
            }
            free(seed.p);
        }
    }
    print_message("%s: %zu agree, %zu with a seed of a length that kith cannot be given\n", name, ran, other);
    assert_int_equal(ran + other, 193);
    json_decref(root);
}

static void wycheproof_mlkem_512_agrees(void **state)
{
    (void)state;
    wycheproof("wycheproof/mlkem_512_test.json");
}

static void wycheproof_mlkem_768_agrees(void **state)
{
    (void)state;
    wycheproof("wycheproof/mlkem_768_test.json");
}

static void wycheproof_mlkem_1024_agrees(void **state)
{
    (void)state;
    wycheproof("wycheproof/mlkem_1024_test.json");
}

static void acvp_keygen_agrees(void **state)
{
    (void)state;
    VECTORS_OR_SKIP(root, "acvp/ML-KEM-keyGen-FIPS203.json")
    size_t ran = 0, g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        kith_kem_alg alg = alg_named(vectors_str(group, "parameterSet"));
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            uint8_t seed[64], got[KITH_KEM_EK_MAX];
            unhex(vectors_str(test, "d"), seed, 32);
            unhex(vectors_str(test, "z"), seed + 32, 32);
            kith_span ek = vectors_hex(test, "ek"), dk = vectors_hex(test, "dk");
            kith_kem *k = kith_kem_new(alg, seed);
            kith_kem_ek(k, got);
            assert_int_equal(ek.len, kith_kem_ek_len(alg));
            assert_memory_equal(got, ek.p, ek.len);
            kith_kem_free(k);
            k = kith_kem_of_dk(alg, kith_span_bytes(dk));
            assert_non_null(k);
            kith_kem_ek(k, got);
            assert_memory_equal(got, ek.p, ek.len);
            kith_kem_free(k);
            free(ek.p), free(dk.p);
            ran++;
        }
    }
    assert_int_equal(ran, 75);
    json_decref(root);
}

static void acvp_encaps_case(kith_kem_alg alg, const json_t *test)
{
    uint8_t ct[KITH_KEM_CT_MAX], ss[32];
    kith_span ek = vectors_hex(test, "ek"), m = vectors_hex(test, "m"), c = vectors_hex(test, "c"),
              key = vectors_hex(test, "k");
    assert_int_equal(kith_kem_encaps(alg, kith_span_bytes(ek), m.p, ct, ss), KITH_OK);
    assert_int_equal(c.len, kith_kem_ct_len(alg));
    assert_memory_equal(ct, c.p, c.len);
    assert_memory_equal(ss, key.p, 32);
    free(ek.p), free(m.p), free(c.p), free(key.p);
}

static void acvp_decaps_case(kith_kem_alg alg, const json_t *group, const json_t *test)
{
    uint8_t ss[32];
    kith_span dk = vectors_hex(group, "dk"), c = vectors_hex(test, "c"), key = vectors_hex(test, "k");
    kith_kem *k = kith_kem_of_dk(alg, kith_span_bytes(dk));
    assert_non_null(k);
    assert_int_equal(kith_kem_decaps(k, kith_span_bytes(c), ss), KITH_OK);
    assert_memory_equal(ss, key.p, 32); /* half of them: the implicit rejection's */
    kith_kem_free(k);
    dk.p[dk.len - 64] ^= 1; /* H(ek) no longer matches */
    assert_null(kith_kem_of_dk(alg, kith_span_bytes(dk)));
    assert_null(kith_kem_of_dk(alg, kith_bytes_of(dk.p, dk.len - 1)));
    free(dk.p), free(c.p), free(key.p);
}

static void acvp_encapsulation_and_decapsulation_agree(void **state)
{
    (void)state;
    VECTORS_OR_SKIP(root, "acvp/ML-KEM-encapDecap-FIPS203.json")
    size_t ran = 0, g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        kith_kem_alg alg = alg_named(vectors_str(group, "parameterSet"));
        bool enc = strcmp(vectors_str(group, "function"), "encapsulation") == 0;
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            if (enc)
                acvp_encaps_case(alg, test);
            else
                acvp_decaps_case(alg, group, test);
            ran++;
        }
    }
    assert_int_equal(ran, 105);
    json_decref(root);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_seeds_give_the_published_keys),
        cmocka_unit_test(the_same_coin_gives_the_same_ciphertext),
        cmocka_unit_test(a_forged_ciphertext_gives_another_secret),
        cmocka_unit_test(a_key_with_a_coefficient_beyond_q_is_refused),
        cmocka_unit_test(every_wrong_length_is_refused),
        cmocka_unit_test(wycheproof_mlkem_512_agrees),
        cmocka_unit_test(wycheproof_mlkem_768_agrees),
        cmocka_unit_test(wycheproof_mlkem_1024_agrees),
        cmocka_unit_test(acvp_keygen_agrees),
        cmocka_unit_test(acvp_encapsulation_and_decapsulation_agree),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

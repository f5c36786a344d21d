/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* OpenSSL running out of memory, at every one of its allocations, below everything of the crypto floor that
 * can say so and below a whole Noise conversation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "crypto/blake3.h"
#include "crypto/hash.h"
#include "crypto/pqsign.h"
#include "crypto/spake2.h"
#include "unit/noise_pair.h"
#include "unit/vectors.h"

static size_t calls, fail_at; /* the allocation that fails, from 1; 0: none */

static void *om_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return ++calls == fail_at || n == 0 ? NULL : malloc(n);
}

static void *om_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return ++calls == fail_at ? NULL : realloc(p, n);
}

static void om_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* Runs `what` with the nth allocation failing, for all n, until it gets through; it says whether it did. */
static void fail_all(const char *name, bool (*what)(void))
{
    fail_at = 0;
    assert_true(what()); /* warms what OpenSSL makes once */
    size_t at = 1;
    for (;; at++) {
        calls = 0;
        fail_at = at;
        bool ok = what();
        fail_at = 0;
        if (calls < at) {
            assert_true(ok);
            break;
        }
    }
    print_message("%s: %zu allocations, each failed once\n", name, at - 1);
    assert_true(what());
}

static bool hashes(void)
{
    kith_sha256_ctx *c = kith_sha256_new();
    kith_blake3 *b = kith_blake3_new(), *k = kith_blake3_new_derive("test");
    bool ok = c && b && k;
    kith_sha256_free(c), kith_blake3_free(b), kith_blake3_free(k);
    return ok;
}

static bool keys(void)
{
    uint8_t seed[64] = {1}, out[32];
    kith_aead *a = kith_aead_new(KITH_AEAD_AES_256_GCM, seed, true);
    kith_dh *d = kith_dh_new(seed);
    kith_kem *k = kith_kem_new(KITH_KEM_MLKEM768, seed);
    kith_signer *s = kith_signer_new(seed);
    bool ok = a && d && k && s;
    if (d) {
        uint8_t peer[32] = {9};
        kith_err e = kith_dh_shared(d, peer, out);
        ok = ok && !e;
        assert_true(!e || e == KITH_ENOMEM || e == KITH_ECRYPTO);
    }
    if (k) {
        uint8_t ek[KITH_KEM_EK_MAX], ct[KITH_KEM_CT_MAX];
        kith_kem_ek(k, ek);
        kith_err e = kith_kem_encaps(KITH_KEM_MLKEM768, kith_bytes_of(ek, 1184), seed, ct, out);
        ok = ok && !e;
        if (!e)
            ok = !kith_kem_decaps(k, kith_bytes_of(ct, 1088), out) && ok;
    }
    if (s) {
        uint8_t sig[64], pub[32];
        kith_signer_public(s, pub);
        kith_err e = kith_signer_sign(s, kith_bytes_str("x"), sig);
        ok = ok && !e;
        if (!e)
            ok = !kith_verify(KITH_KEY_ED25519, kith_bytes_of(pub, 32), kith_bytes_str("x"),
                              kith_bytes_of(sig, 64)) &&
                 ok;
    }
    kith_aead_free(a), kith_dh_free(d), kith_kem_free(k), kith_signer_free(s);
    return ok;
}

static bool pq_keys(void)
{
    uint8_t seed[KITH_SIG_SEED_MAX] = {1}, sig[3309];
    kith_pq_signer *s = NULL;
    kith_err e = kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, 32), &s);
    if (!e) {
        e = kith_pq_sign(s, kith_bytes_str("x"), seed, sig);
        if (!e)
            e = kith_pq_verify(KITH_SIG_MLDSA65, kith_pq_signer_public(s), kith_bytes_str("x"),
                               kith_bytes_of(sig, sizeof sig));
    }
    kith_pq_signer_free(s);
    assert_true(!e || e == KITH_ENOMEM || e == KITH_ECRYPTO);
    return !e;
}

static bool secp256k1(void)
{
    uint8_t key[33];
    unhex("032b230f5c8e862720434610b43edd9ba72ba397518d9408cd604cc7be4b10294e", key, 33);
    return !kith_key_check(KITH_KEY_SECP256K1, kith_bytes_of(key, 33));
}

static bool pake(void)
{
    uint8_t secret[KITH_SPAKE2_SECRET_LEN] = {1}, x[KITH_SPAKE2_SECRET_LEN] = {2},
            y[KITH_SPAKE2_SECRET_LEN] = {3};
    kith_spake2 *a = kith_spake2_new(KITH_SPAKE2_A, secret, x),
                *b = kith_spake2_new(KITH_SPAKE2_B, secret, y);
    kith_spake2_result r;
    kith_err e = KITH_ENOMEM;
    if (a && b)
        e = kith_spake2_finish(a, kith_bytes_of(kith_spake2_share(b), KITH_SPAKE2_SHARE_LEN),
                               kith_bytes_str("a"), kith_bytes_str("b"), kith_bytes_str("c"), &r);
    kith_spake2_free(a), kith_spake2_free(b);
    assert_true(!e || e == KITH_ENOMEM ||
                e == KITH_EPROTO); /* that a point could not be read is all that OpenSSL says */
    return !e;
}

static const kith_noise_suite *suite;

static bool conversation(void)
{
    side us[2];
    memset(us, 0, sizeof us);
    uint8_t seed[32] = {5}, msg[8192];
    bool ok = false;
    kith_signer *signer = kith_signer_new(seed);
    kith_pq_signer *pq = NULL;
    if (!signer || kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &pq)) {
        kith_signer_free(signer);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        us[i].dice.seed = 7;
        us[i].env = (kith_env){.alloc = {&us[i].heap, heap_fn}, .rand = {&us[i].dice, dice_fn}};
        us[i].identity = kith_noise_identity_new(&us[i].env, signer, pq);
        if (!us[i].identity)
            continue;
        kith_noise_config cfg = side_config(&us[i], suite, i == 0);
        cfg.aes = true; /* where the suite has it */
        us[i].noise = kith_noise_new(&cfg);
    }
    if (us[0].noise && us[1].noise) {
        pair_shake(&us[0], &us[1]);
        if (us[0].ready && us[1].ready)
            side_feed(&us[1], kith_bytes_of(msg, side_seal(&us[0], "hello", 5, msg)));
        ok = us[1].got_len == 5;
        assert_int_equal(us[0].failed + us[1].failed, !ok);
    }
    for (int i = 0; i < 2; i++) {
        side_reset(&us[i]);
        kith_noise_identity_free(us[i].identity);
        assert_int_equal(us[i].heap.live, 0);
    }
    kith_signer_free(signer);
    kith_pq_signer_free(pq);
    return ok;
}

static void hashes_say_when_memory_is_out(void **state)
{
    (void)state;
    fail_all("hashes", hashes);
}

static void keys_say_when_memory_is_out(void **state)
{
    (void)state;
    fail_all("keys", keys);
    fail_all("post-quantum keys", pq_keys);
    fail_all("secp256k1", secp256k1);
    fail_all("SPAKE2", pake);
}

static void a_conversation_fails_cleanly_when_memory_is_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < kith_noise_suite_count; i++) {
        suite = &kith_noise_suites[i];
        fail_all(suite->id, conversation);
    }
}

static void records_and_digests_allocate_nothing(void **state)
{
    (void)state;
    static side a, b;
    uint8_t s1[32] = {1}, s2[32] = {2}, out[64], wire[200 * 64];
    side_init(&a, s1, 1, (kith_bytes){0});
    side_init(&b, s2, 2, (kith_bytes){0});
    kith_noise_config ca = side_config(&a, kith_noise_suites, true),
                      cb = side_config(&b, kith_noise_suites, false);
    ca.aes = cb.aes = true;
    a.noise = kith_noise_new(&ca);
    b.noise = kith_noise_new(&cb);
    pair_shake(&a, &b);
    for (int round = 0; round < 3; round++) {
        size_t before = calls, ours = a.heap.calls + b.heap.calls, len = 0;
        for (int i = 0; i < 100; i++)
            len += side_seal(&a, "text of a record", 16, wire + len);
        side_feed(&b, kith_bytes_of(wire, len));
        kith_sha256(kith_bytes_of(wire, len), out);
        kith_sha512(kith_bytes_of(wire, len), out);
        kith_hmac_sha256(kith_bytes_of(wire, 100), kith_bytes_of(wire, len), out);
        kith_hkdf_sha256(kith_bytes_of(wire, 32), kith_bytes_of(wire, len), (kith_bytes){0},
                         kith_span_of(out, 64));
        assert_int_equal(calls, before);
        assert_int_equal(a.heap.calls + b.heap.calls, ours);
    }
    assert_int_equal(b.datas, 300);
    side_fini(&a);
    side_fini(&b);
}

static int setup(void **state)
{
    (void)state;
    if (!CRYPTO_set_mem_functions(om_malloc, om_realloc, om_free) || kith_crypto_init())
        return -1;
    uint8_t out[32];
    kith_sha256((kith_bytes){0}, out); /* this thread's contexts */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_say_when_memory_is_out),
        cmocka_unit_test(keys_say_when_memory_is_out),
        cmocka_unit_test(a_conversation_fails_cleanly_when_memory_is_out),
        cmocka_unit_test(records_and_digests_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The toy cryptography agrees where the real one agrees and refuses where the real one refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "crypto/kem.h"
#include "crypto/pqsign.h"
#include "crypto/sign.h"
#include "toy_crypto.h"
#include "unit/noise_pair.h"

static void fill(uint8_t *p, size_t n, uint8_t first)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(first + i * 7);
}

static void this_program_has_the_toy(void **state)
{
    (void)state;
    assert_string_equal(kith_toy_crypto, "toy cryptography");
}

static void two_agree_on_a_secret_and_a_third_does_not(void **state)
{
    (void)state;
    uint8_t secret[3][32], pub[3][32], ab[32], ba[32], cb[32];
    kith_dh *k[3];
    for (uint8_t i = 0; i < 3; i++) {
        fill(secret[i], 32, (uint8_t)(10 * i + 1));
        k[i] = kith_dh_new(secret[i]);
        kith_dh_public(k[i], pub[i]);
    }
    assert_int_equal(kith_dh_shared(k[0], pub[1], ab), KITH_OK);
    assert_int_equal(kith_dh_shared(k[1], pub[0], ba), KITH_OK);
    assert_int_equal(kith_dh_shared(k[2], pub[1], cb), KITH_OK);
    assert_memory_equal(ab, ba, 32);
    assert_memory_not_equal(ab, cb, 32);
    for (size_t i = 0; i < 32 * 8; i++) {
        pub[1][i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(kith_dh_shared(k[0], pub[1], cb), KITH_OK);
        assert_memory_not_equal(ab, cb, 32);
        pub[1][i / 8] ^= (uint8_t)(1u << i % 8);
    }
    memset(pub[1], 0, 32);
    assert_int_equal(kith_dh_shared(k[0], pub[1], ab), KITH_ECRYPTO);
    for (int i = 0; i < 3; i++)
        kith_dh_free(k[i]);
}

static void a_kem_agrees_and_no_changed_byte_does(void **state)
{
    (void)state;
    static const kith_kem_alg algs[] = {KITH_KEM_MLKEM512, KITH_KEM_MLKEM768, KITH_KEM_MLKEM1024};
    for (size_t a = 0; a < 3; a++) {
        uint8_t seed[KITH_KEM_SEED_LEN], coin[KITH_KEM_COIN_LEN], ek[KITH_KEM_EK_MAX], ct[KITH_KEM_CT_MAX];
        uint8_t ours[32], theirs[32], other[32];
        size_t ek_len = kith_kem_ek_len(algs[a]), ct_len = kith_kem_ct_len(algs[a]);
        fill(seed, sizeof seed, 3);
        fill(coin, sizeof coin, 9);
        kith_kem *k = kith_kem_new(algs[a], seed);
        seed[0] ^= 1;
        kith_kem *stranger = kith_kem_new(algs[a], seed);
        kith_kem_ek(k, ek);
        assert_int_equal(kith_kem_encaps(algs[a], kith_bytes_of(ek, ek_len), coin, ct, ours), KITH_OK);
        assert_int_equal(kith_kem_decaps(k, kith_bytes_of(ct, ct_len), theirs), KITH_OK);
        assert_memory_equal(ours, theirs, 32);
        assert_int_equal(kith_kem_decaps(stranger, kith_bytes_of(ct, ct_len), other), KITH_OK);
        assert_memory_not_equal(ours, other, 32);
        assert_int_equal(kith_kem_decaps(k, kith_bytes_of(ct, ct_len - 1), other), KITH_ECRYPTO);
        for (size_t i = 0; i < ct_len; i++) {
            ct[i] ^= 0x40;
            assert_int_equal(kith_kem_decaps(k, kith_bytes_of(ct, ct_len), other), KITH_OK);
            assert_memory_not_equal(ours, other, 32);
            ct[i] ^= 0x40;
        }
        assert_int_equal(kith_kem_encaps(algs[a], kith_bytes_of(ek, ek_len - 1), coin, ct, other),
                         KITH_ECRYPTO);
        for (size_t i = 0; i < ek_len; i++) {
            ek[i] ^= 0x40;
            assert_int_equal(kith_kem_encaps(algs[a], kith_bytes_of(ek, ek_len), coin, ct, other),
                             KITH_ECRYPTO);
            ek[i] ^= 0x40;
        }
        kith_kem_free(k);
        kith_kem_free(stranger);
    }
}

static void an_aead_opens_what_it_sealed_and_nothing_else(void **state)
{
    (void)state;
    for (size_t len = 0; len < 40; len++) {
        uint8_t key[32], nonce[12], ad[5], text[40], sealed[40], tag[16];
        fill(key, 32, 1);
        fill(nonce, 12, 2);
        fill(ad, 5, 3);
        fill(text, 40, 4);
        memcpy(sealed, text, sizeof sealed);
        kith_aead *seal = kith_aead_new(KITH_AEAD_CHACHA20_POLY1305, key, true);
        kith_aead *open = kith_aead_new(KITH_AEAD_CHACHA20_POLY1305, key, false);
        kith_aead_seal(seal, nonce, kith_bytes_of(ad, 5), kith_span_of(sealed, len), tag);
        assert_true(len < 8 || memcmp(sealed, text, len) != 0);

        struct {
            uint8_t *p;
            size_t len;
        } parts[] = {{sealed, len}, {tag, 16}, {ad, 5}, {nonce, 12}};
        for (size_t i = 0; i < 4; i++) {
            for (size_t k = 0; k < parts[i].len; k++) {
                uint8_t copy[40];
                parts[i].p[k] ^= 0x10;
                memcpy(copy, sealed, sizeof copy);
                assert_int_equal(
                    kith_aead_open(open, nonce, kith_bytes_of(ad, 5), kith_span_of(copy, len), tag),
                    KITH_ECRYPTO);
                parts[i].p[k] ^= 0x10;
            }
        }
        key[31] ^= 0x80;
        kith_aead_rekey(open, key);
        uint8_t copy[40];
        memcpy(copy, sealed, sizeof copy);
        assert_int_equal(kith_aead_open(open, nonce, kith_bytes_of(ad, 5), kith_span_of(copy, len), tag),
                         KITH_ECRYPTO);
        key[31] ^= 0x80;
        kith_aead_rekey(open, key);
        assert_int_equal(kith_aead_open(open, nonce, kith_bytes_of(ad, 5), kith_span_of(sealed, len), tag),
                         KITH_OK);
        assert_memory_equal(sealed, text, sizeof text);
        kith_aead_free(seal);
        kith_aead_free(open);
    }
}

static void a_signature_is_good_for_one_key_and_one_text(void **state)
{
    (void)state;
    uint8_t seed[32], pub[32], sig[64], msg[50];
    fill(seed, 32, 5);
    fill(msg, 50, 6);
    kith_signer *s = kith_signer_new(seed);
    kith_signer_public(s, pub);
    kith_bytes key = kith_bytes_of(pub, 32), text = kith_bytes_of(msg, 50), sign = kith_bytes_of(sig, 64);
    assert_int_equal(kith_signer_sign(s, text, sig), KITH_OK);
    assert_int_equal(kith_verify(KITH_KEY_ED25519, key, text, sign), KITH_OK);
    uint8_t *parts[] = {pub, msg, sig};
    size_t lens[] = {32, 50, 64};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < lens[i]; k++) {
            parts[i][k] ^= 0x20;
            assert_int_equal(kith_verify(KITH_KEY_ED25519, key, text, sign), KITH_ECRYPTO);
            parts[i][k] ^= 0x20;
        }
    }
    assert_int_equal(kith_verify(KITH_KEY_ED25519, key, text, kith_bytes_of(sig, 63)), KITH_ECRYPTO);
    assert_int_equal(kith_verify(KITH_KEY_RSA, key, text, sign), KITH_EUNSUPPORTED);
    kith_signer_free(s);
}

static void a_post_quantum_signature_too_and_of_its_real_length(void **state)
{
    (void)state;
    for (int a = KITH_SIG_NONE + 1; a < KITH_SIG_COUNT; a++) {
        kith_sig_alg alg = (kith_sig_alg)a;
        const kith_sig_info *info = kith_sig_info_of(alg);
        static uint8_t seed[KITH_SIG_SEED_MAX], rnd[KITH_SIG_RND_LEN], pub[KITH_SIG_PUB_MAX], msg[50];
        static uint8_t sig[KITH_SIG_MAX + 1];
        fill(seed, sizeof seed, 5);
        fill(msg, sizeof msg, 6);
        sig[info->sig_len] = 0xa5;
        kith_pq_signer *s = NULL;
        assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, info->seed_len - 1), &s), KITH_EFORMAT);
        assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, info->seed_len), &s), KITH_OK);
        assert_int_equal(kith_pq_signer_public(s).len, info->pub_len);
        memcpy(pub, kith_pq_signer_public(s).p, info->pub_len);
        kith_bytes key = kith_bytes_of(pub, info->pub_len), text = kith_bytes_of(msg, sizeof msg);
        kith_bytes sign = kith_bytes_of(sig, info->sig_len);
        assert_int_equal(kith_pq_sign(s, text, rnd, sig), KITH_OK);
        assert_int_equal(sig[info->sig_len], 0xa5);
        assert_int_equal(kith_pq_verify(alg, key, text, sign), KITH_OK);
        uint8_t *parts[] = {pub, msg, sig};
        size_t lens[] = {info->pub_len, sizeof msg, info->sig_len};
        for (size_t i = 0; i < 3; i++) {
            for (size_t k = 0; k < lens[i]; k++) {
                parts[i][k] ^= 0x20;
                assert_int_equal(kith_pq_verify(alg, key, text, sign), KITH_ECRYPTO);
                parts[i][k] ^= 0x20;
            }
        }
        sign.len--;
        assert_int_equal(kith_pq_verify(alg, key, text, sign), KITH_ECRYPTO);
        kith_pq_signer_free(s);
    }
}

static void every_byte_counts_in_a_hash(void **state)
{
    (void)state;
    uint8_t in[43], was[32], is[32], key[32], was_key[64], is_key[64];
    fill(in, sizeof in, 7);
    fill(key, 32, 8);
    kith_sha256(kith_bytes_of(in, sizeof in), was);
    kith_hkdf_sha256(kith_bytes_of(key, 32), kith_bytes_of(in, sizeof in), (kith_bytes){0},
                     kith_span_of(was_key, 64));
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] ^= 1;
        kith_sha256(kith_bytes_of(in, sizeof in), is);
        assert_memory_not_equal(was, is, 32);
        kith_hkdf_sha256(kith_bytes_of(key, 32), kith_bytes_of(in, sizeof in), (kith_bytes){0},
                         kith_span_of(is_key, 64));
        assert_memory_not_equal(was_key, is_key, 32);
        in[i] ^= 1;
        kith_sha256(kith_bytes_of(in, i), is);
        assert_memory_not_equal(was, is, 32);
    }
}

/* Flips one byte of one message of a handshake and says whether both sides still came through. */
static bool shake(side *i, side *r, const kith_noise_suite *suite, int message, size_t at, size_t *len)
{
    uint8_t msg[8192];
    bool both;
    kith_noise_config ci = side_config(i, suite, true), cr = side_config(r, suite, false);
    i->noise = kith_noise_new(&ci);
    r->noise = kith_noise_new(&cr);
    for (int turn = 0; turn < 3; turn++) {
        side *from = turn % 2 ? r : i, *to = turn % 2 ? i : r;
        size_t n = side_send(from, msg);
        if (turn == message) {
            *len = n;
            if (at < n)
                msg[at] ^= 0x04;
        }
        if (n > 0)
            side_feed(to, kith_bytes_of(msg, n));
    }
    both = i->ready && r->ready;
    side_reset(i);
    side_reset(r);
    return both;
}

/* Behind the 2 bytes of length, which are nobody's to authenticate: a handshake with a wrong one waits for more. */
static void no_changed_byte_of_a_handshake_goes_unnoticed(void **state)
{
    (void)state;
    uint8_t seed[32];
    side i, r;
    fill(seed, 32, 1);
    side_init(&i, seed, 1, (kith_bytes){0});
    fill(seed, 32, 2);
    side_init(&r, seed, 2, (kith_bytes){0});
    for (size_t s = 0; s < kith_noise_suite_count; s++) {
        size_t len = 0;
        for (int message = 0; message < 3; message++) {
            assert_true(shake(&i, &r, &kith_noise_suites[s], message, SIZE_MAX, &len));
            size_t whole = len;
            for (size_t at = 0; at < whole; at++)
                assert_false(shake(&i, &r, &kith_noise_suites[s], message, at, &len));
        }
    }
    side_fini(&i);
    side_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_program_has_the_toy),
        cmocka_unit_test(two_agree_on_a_secret_and_a_third_does_not),
        cmocka_unit_test(a_kem_agrees_and_no_changed_byte_does),
        cmocka_unit_test(an_aead_opens_what_it_sealed_and_nothing_else),
        cmocka_unit_test(a_signature_is_good_for_one_key_and_one_text),
        cmocka_unit_test(a_post_quantum_signature_too_and_of_its_real_length),
        cmocka_unit_test(every_byte_counts_in_a_hash),
        cmocka_unit_test(no_changed_byte_of_a_handshake_goes_unnoticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AEADs: known answers, Wycheproof, every flipped bit, reuse of a keyed context. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "unit/vectors.h"

typedef struct answer {
    kith_aead_alg alg;
    const char *key, *nonce, *ad, *text, *sealed; /* sealed: ciphertext and tag */
} answer;

static const answer answers[] = {
    /* RFC 8439, 2.8.2 */
    {KITH_AEAD_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666657220796f75"
     "206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd"
     "3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116"
     "1ae10b594f09e26a7e902ecbd0600691"},
    /* McGrew and Viega, The Galois/Counter Mode of Operation, test cases 13 and 16 */
    {KITH_AEAD_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {KITH_AEAD_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void both_ciphers_give_the_published_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const answer *a = &answers[i];
        uint8_t key[32], nonce[12], ad[64], text[256], want[256], buf[256], tag[16];
        size_t len = strlen(a->text) / 2, ad_len = strlen(a->ad) / 2;
        unhex(a->key, key, 32), unhex(a->nonce, nonce, 12), unhex(a->ad, ad, ad_len),
            unhex(a->text, text, len);
        unhex(a->sealed, want, len + 16);
        kith_aead *seal = kith_aead_new(a->alg, key, true), *open = kith_aead_new(a->alg, key, false);
        for (int again = 0; again < 3; again++) {
            memcpy(buf, text, len);
            kith_aead_seal(seal, nonce, kith_bytes_of(ad, ad_len), kith_span_of(buf, len), tag);
            assert_memory_equal(buf, want, len);
            assert_memory_equal(tag, want + len, 16);
            assert_int_equal(
                kith_aead_open(open, nonce, kith_bytes_of(ad, ad_len), kith_span_of(buf, len), tag), KITH_OK);
            assert_memory_equal(buf, text, len);
        }
        kith_aead_free(seal), kith_aead_free(open);
    }
    kith_aead_free(NULL);
}

/* Longer than one pass of ours over the text. Digests of ciphertext and tag by Node 20's crypto module. */
static void long_texts_come_out_as_elsewhere(void **state)
{
    (void)state;
    static const struct {
        kith_aead_alg alg;
        size_t len;
        const char *sha256;
    } known[] = {
        {KITH_AEAD_CHACHA20_POLY1305, 8191,
         "3f29cd53da55adfaeac74e5c9d99747faf21daf4c6b36df98033c4fd18b3c3fa"},
        {KITH_AEAD_CHACHA20_POLY1305, 8192,
         "68d7acc75c1f9ba0b71050e2e6b28a855f3cf95e1790228553d14364b95d42af"},
        {KITH_AEAD_CHACHA20_POLY1305, 8193,
         "f7d2482367a2400f8146ad84d2f847213d84ada0d495a149fc5269e6831478bc"},
        {KITH_AEAD_CHACHA20_POLY1305, 65519,
         "b27f14fb5875196d70ea11b55faeeb76a9c6ed461321ec6a149b9dfab8a90e3d"},
        {KITH_AEAD_AES_256_GCM, 8191, "4d2cb13b785dd11e987b89a3f904a5ef2379fd4eb71a8ad92e928cb64a8cbab0"},
        {KITH_AEAD_AES_256_GCM, 8192, "8d721e093bb06a63d388da8a091157b55b5fc61aaae78a608ffdb0d773443545"},
        {KITH_AEAD_AES_256_GCM, 8193, "581d22d74e0ce180967dd9cee4ffd347abe13a767f4c2cf876fdedafc8a92342"},
        {KITH_AEAD_AES_256_GCM, 65519, "14a1d35a10737a51f9301326537c5ca28c7b5128cb9628c5a691228231778fa6"},
    };
    uint8_t key[32], nonce[12], want[32], got[32], *buf = malloc(65519 + 16);
    assert_non_null(buf);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    memcpy(nonce, key, sizeof nonce);
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        size_t len = known[k].len;
        kith_aead *seal = kith_aead_new(known[k].alg, key, true),
                  *open = kith_aead_new(known[k].alg, key, false);
        for (size_t i = 0; i < len; i++)
            buf[i] = (uint8_t)(i * 7 + (i >> 8));
        kith_aead_seal(seal, nonce, kith_bytes_str("ad"), kith_span_of(buf, len), buf + len);
        kith_sha256(kith_bytes_of(buf, len + 16), got);
        unhex(known[k].sha256, want, sizeof want);
        assert_memory_equal(got, want, sizeof want);
        assert_int_equal(kith_aead_open(open, nonce, kith_bytes_str("ad"), kith_span_of(buf, len), buf + len),
                         KITH_OK);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(buf[i], (uint8_t)(i * 7 + (i >> 8)));
        kith_aead_free(seal), kith_aead_free(open);
    }
    free(buf);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    static const kith_aead_alg algs[] = {KITH_AEAD_CHACHA20_POLY1305, KITH_AEAD_AES_256_GCM};
    for (size_t a = 0; a < 2; a++) {
        /* One row: nonce 12, ad 5, text 37, tag 16. */
        uint8_t key[32] = {9}, row[12 + 5 + 37 + 16] = {1, 2, 3}, bad[sizeof row];
        kith_aead *seal = kith_aead_new(algs[a], key, true), *open = kith_aead_new(algs[a], key, false);
        kith_aead_seal(seal, row, kith_bytes_of(row + 12, 5), kith_span_of(row + 17, 37), row + 54);
        for (size_t bit = 0; bit <= 8 * sizeof row; bit++) {
            memcpy(bad, row, sizeof row);
            if (bit < 8 * sizeof row)
                bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            kith_err e =
                kith_aead_open(open, bad, kith_bytes_of(bad + 12, 5), kith_span_of(bad + 17, 37), bad + 54);
            assert_int_equal(e, bit < 8 * sizeof row ? KITH_ECRYPTO : KITH_OK);
        }
        kith_aead_free(seal), kith_aead_free(open);
    }
}

static void a_new_key_takes_the_place_of_the_old(void **state)
{
    (void)state;
    uint8_t k1[32] = {1}, k2[32] = {2}, nonce[12] = {0}, text[4] = "abc", tag[16];
    for (int alg = 0; alg < 2; alg++) {
        kith_aead *seal = kith_aead_new((kith_aead_alg)alg, k1, true),
                  *open = kith_aead_new((kith_aead_alg)alg, k2, false);
        kith_aead_seal(seal, nonce, (kith_bytes){0}, kith_span_of(text, 4), tag);
        assert_int_equal(kith_aead_open(open, nonce, (kith_bytes){0}, kith_span_of(text, 4), tag),
                         KITH_ECRYPTO);
        kith_aead_rekey(seal, k2);
        memcpy(text, "abc", 4);
        kith_aead_seal(seal, nonce, (kith_bytes){0}, kith_span_of(text, 4), tag);
        assert_int_equal(kith_aead_open(open, nonce, (kith_bytes){0}, kith_span_of(text, 4), tag), KITH_OK);
        assert_string_equal((char *)text, "abc");
        kith_aead_free(seal), kith_aead_free(open);
    }
}

static void wycheproof(const char *name, kith_aead_alg alg, size_t total)
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
        bool ours = json_integer_value(json_object_get(group, "keySize")) == 256 &&
                    json_integer_value(json_object_get(group, "ivSize")) == 96 &&
                    json_integer_value(json_object_get(group, "tagSize")) == 128;
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            if (!ours) {
                other++;
                continue;
            }
            kith_span key = vectors_hex(test, "key"), iv = vectors_hex(test, "iv"),
                      aad = vectors_hex(test, "aad");
            kith_span msg = vectors_hex(test, "msg"), ct = vectors_hex(test, "ct"),
                      tag = vectors_hex(test, "tag");
            bool valid = strcmp(vectors_str(test, "result"), "valid") == 0;
            kith_aead *open = kith_aead_new(alg, key.p, false);
            if (valid) {
                kith_aead *seal = kith_aead_new(alg, key.p, true);
                uint8_t made[16], *text = malloc(msg.len + 1);
                memcpy(text, msg.p, msg.len);
                kith_aead_seal(seal, iv.p, kith_span_bytes(aad), kith_span_of(text, msg.len), made);
                assert_memory_equal(text, ct.p, ct.len);
                assert_memory_equal(made, tag.p, 16);
                free(text);
                kith_aead_free(seal);
            }
            kith_err e = kith_aead_open(open, iv.p, kith_span_bytes(aad), ct, tag.p);
            assert_int_equal(e, valid ? KITH_OK : KITH_ECRYPTO);
            if (valid)
                assert_memory_equal(ct.p, msg.p, msg.len);
            kith_aead_free(open);
            free(key.p), free(iv.p), free(aad.p), free(msg.p), free(ct.p), free(tag.p);
            ran++;
        }
    }
    print_message("%s: %zu agree, %zu of key, nonce or tag lengths that kith does not have\n", name, ran,
                  other);
    assert_int_equal(ran + other, total);
    assert_true(ran > 60);
    json_decref(root);
}

static void wycheproof_chacha20_poly1305_agrees(void **state)
{
    (void)state;
    wycheproof("wycheproof/chacha20_poly1305_test.json", KITH_AEAD_CHACHA20_POLY1305, 325);
}

static void wycheproof_aes_256_gcm_agrees(void **state)
{
    (void)state;
    wycheproof("wycheproof/aes_gcm_test.json", KITH_AEAD_AES_256_GCM, 316);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ciphers_give_the_published_texts),
        cmocka_unit_test(long_texts_come_out_as_elsewhere),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_new_key_takes_the_place_of_the_old),
        cmocka_unit_test(wycheproof_chacha20_poly1305_agrees),
        cmocka_unit_test(wycheproof_aes_256_gcm_agrees),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

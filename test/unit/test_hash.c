/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SHA-2, HMAC and HKDF: known answers and Wycheproof. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "unit/vectors.h"

static void assert_hash(const uint8_t *got, const char *want, size_t len)
{
    uint8_t w[64];
    unhex(want, w, len);
    assert_memory_equal(got, w, len);
}

/* FIPS 180-4 examples. */
static const char abc256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void sha256_gives_the_published_digests(void **state)
{
    (void)state;
    uint8_t out[32];
    kith_sha256(kith_bytes_str("abc"), out);
    assert_hash(out, abc256, 32);
    kith_sha256((kith_bytes){0}, out);
    assert_hash(out, empty256, 32);
    kith_sha256(kith_bytes_str("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out);
    assert_hash(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", 32);
}

static void sha512_gives_the_published_digests(void **state)
{
    (void)state;
    uint8_t out[64];
    kith_sha512(kith_bytes_str("abc"), out);
    assert_hash(out,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                64);
    kith_sha512((kith_bytes){0}, out);
    assert_hash(out,
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
                "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
                64);
}

static void the_digest_of_two_parts_is_that_of_the_whole(void **state)
{
    (void)state;
    uint8_t out[32] = "abc";
    kith_sha256_2(kith_bytes_str("a"), kith_bytes_str("bc"), out);
    assert_hash(out, abc256, 32);
    kith_sha256_2((kith_bytes){0}, (kith_bytes){0}, out);
    assert_hash(out, empty256, 32);
    memcpy(out, "ab", 2); /* out may be the first part */
    kith_sha256_2(kith_bytes_of(out, 2), kith_bytes_str("c"), out);
    assert_hash(out, abc256, 32);
}

static void an_incremental_digest_does_not_care_about_the_pieces(void **state)
{
    (void)state;
    uint8_t in[300], want[32], got[32];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    kith_sha256_ctx *c = kith_sha256_new();
    assert_non_null(c);
    for (size_t cut = 0; cut <= sizeof in; cut++) {
        kith_sha256(kith_bytes_of(in, sizeof in), want);
        kith_sha256_update(c, kith_bytes_of(in, cut));
        kith_sha256_update(c, kith_bytes_of(in + cut, sizeof in - cut));
        kith_sha256_final(c, got); /* and starts afresh */
        assert_memory_equal(got, want, 32);
    }
    kith_sha256_free(c);
    kith_sha256_free(NULL);
}

/* RFC 4231: cases 1, 2 and 6 (a key longer than the block). */
static void hmac_gives_the_published_codes(void **state)
{
    (void)state;
    uint8_t key[131], out[32];
    memset(key, 0x0b, 20);
    kith_hmac_sha256(kith_bytes_of(key, 20), kith_bytes_str("Hi There"), out);
    assert_hash(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", 32);
    kith_hmac_sha256(kith_bytes_str("Jefe"), kith_bytes_str("what do ya want for nothing?"), out);
    assert_hash(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 32);
    memset(key, 0xaa, sizeof key);
    kith_hmac_sha256(kith_bytes_of(key, sizeof key),
                     kith_bytes_str("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    assert_hash(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", 32);
    /* An empty key is a key, not "the one before". */
    kith_hmac_sha256((kith_bytes){0}, (kith_bytes){0}, out);
    assert_hash(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", 32);
}

/* RFC 5869, A.1 and A.3. */
static void hkdf_gives_the_published_keys(void **state)
{
    (void)state;
    uint8_t ikm[22], salt[13], info[10], out[42];
    memset(ikm, 0x0b, sizeof ikm);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t)(0xf0 + i);
    kith_hkdf_sha256(kith_bytes_of(salt, 13), kith_bytes_of(ikm, 22), kith_bytes_of(info, 10),
                     kith_span_of(out, 42));
    assert_hash(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
                42);
    kith_hkdf_sha256((kith_bytes){0}, kith_bytes_of(ikm, 22), (kith_bytes){0}, kith_span_of(out, 42));
    assert_hash(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
                42);
}

static void wycheproof_hkdf_agrees(void **state)
{
    (void)state;
    VECTORS_OR_SKIP(root, "wycheproof/hkdf_sha256_test.json")
    size_t ran = 0, over = 0, g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            size_t size = (size_t)json_integer_value(json_object_get(test, "size"));
            bool valid = strcmp(vectors_str(test, "result"), "valid") == 0;
            if (size > 255 * 32) { /* a mistake of the caller: not askable */
                assert_false(valid);
                over++;
                continue;
            }
            assert_true(valid);
            kith_span ikm = vectors_hex(test, "ikm"), salt = vectors_hex(test, "salt"),
                      info = vectors_hex(test, "info");
            kith_span want = vectors_hex(test, "okm");
            uint8_t *got = malloc(size + 1);
            kith_hkdf_sha256(kith_span_bytes(salt), kith_span_bytes(ikm), kith_span_bytes(info),
                             kith_span_of(got, size));
            assert_int_equal(want.len, size);
            assert_memory_equal(got, want.p, size);
            free(got), free(ikm.p), free(salt.p), free(info.p), free(want.p);
            ran++;
        }
    }
    print_message("%zu agree, %zu longer than HKDF gives\n", ran, over);
    assert_int_equal(ran + over, 86);
    json_decref(root);
}

static void shake128_gives_the_published_output(void **state)
{
    (void)state;
    uint8_t out[32]; /* NIST's example values, empty message */
    assert_int_equal(kith_shake128((kith_bytes){0}, kith_span_of(out, sizeof out)), KITH_OK);
    assert_hash(out, "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26", 32);
}

static void *hash_once(void *out)
{
    kith_hmac_sha256(kith_bytes_str("Jefe"), kith_bytes_str("what do ya want for nothing?"), out);
    return NULL;
}

static void every_thread_has_contexts_of_its_own(void **state)
{
    (void)state;
    pthread_t t[4];
    uint8_t out[4][32];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hash_once, out[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_hash(out[i], "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 32);
    }
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(sha512_gives_the_published_digests),
        cmocka_unit_test(the_digest_of_two_parts_is_that_of_the_whole),
        cmocka_unit_test(an_incremental_digest_does_not_care_about_the_pieces),
        cmocka_unit_test(hmac_gives_the_published_codes),
        cmocka_unit_test(hkdf_gives_the_published_keys),
        cmocka_unit_test(wycheproof_hkdf_agrees),
        cmocka_unit_test(shake128_gives_the_published_output),
        cmocka_unit_test(every_thread_has_contexts_of_its_own),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signatures: Ed25519 made and verified, the other key types of libp2p verified, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/sign.h"
#include "unit/vectors.h"

/* Keys and signatures over "kith signs this" made with the openssl program. */
static const char message[] = "kith signs this";

static const char rsa_key[] =
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100a3bac8e0ae69e59da6491d0d8bdb971db51117a5a249"
    "d772e87e099c5c426bb1e0285298e03216b9ca1935a070eeb1f5d3cfbcd8ab574c2b69dad356386ff3ad543dd262d90e9e17b526500742"
    "0cfdbd994e0aa80ace3d6b3c280905704f10812e34178ef9e22d0050ddddaf54f34b0b0b1361929c9d7783aaa728525c86e36c8a73fc22"
    "00c7be06466c1717d25905492d2b4b24bc3246bd3d1c4d4c30470c5a4400de0b3392991e7936ea8b3e46a6349bf004997fcad4ab7b33a8"
    "b75a59db61302ea264c78e0aefe61a596a067be26352f373bd1bfe44fb525c43621c266fda0d72e5ea15d2457eddae2797aec13e43b9e9"
    "5e8047c4206cfd6cc5980356ece50203010001";
static const char rsa_sig[] =
    "7cad475e2b6b9f3eed992a594702a24b410e3acd6cfb2e65928c7cd5c2d602ed167f1d06e4231e67a910424f86e8e79a424a96af096b98"
    "c1c99e6a37d2ca422a4c0afde1b38b5f8ace5051f40e0297b6d3c6491ff09a17c7e32f69b7ea532fde837b5bad346c05e78808ef5d2499"
    "94d25d4fcd9ad6d1c99b15207d7e21ac23e508bce71d493b2997549855409dce74a842bbe32bc7936c54d9838e92c1f5e1ea3328f2a1c5"
    "48915a93ac2528fe4f10bb64d167d18d27dad9fe5cd537dacf6bdc2dd5180267b7ba485b89ba225a858a86c95785b12f4e7c2cfdae11f7"
    "d950b1da2cd91e3027069a7ebbf58fd58a2c9a8a2c47d4221ac8a842128c26a8cb95ca3b";
static const char secp256k1_key[] = "032b230f5c8e862720434610b43edd9ba72ba397518d9408cd604cc7be4b10294e";
static const char secp256k1_sig[] =
    "304502205a8c1ddb0386954e4e45eea747759b484dbc36ecb8cdf5451b33f27162b8aebe022100fa8976fcf3552f1e7e103ff22cde60f5"
    "ecaa438bb1ed33f554917c599072cd95";
static const char p256_key[] =
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004ec54f4dc17cb009616207c670c62acb2b0d32dbdbbc4e29f7760c8d1"
    "c939ffef6685cba0034587afce456fa843652a6fa78527b72071040df7626223ec88d674";
static const char p256_sig[] =
    "304502200378d30a82086f75bbb8c23037d3635327cdb8fa18463fc9461df8b1f08a20c7022100f6f8326080ff86ca014ecc20728debd6"
    "0b349131d9703a850cc85042de721833";
static const char rsa_1024_key[] =
    "30819f300d06092a864886f70d010101050003818d0030818902818100be1bc996ec6ed6438e3559fc56011ce07147f8804357202c07a6"
    "92e01f3e4f2da3e584c7efc70f7705904a0e428de7f0e30342fbbcb4f07c93a5d27794064431f5036ba2e28ca7020c7c0bd14c69e073b0"
    "197294b3b8d974c07e73003ba0cf86bb341876b566860cbf4bd6acb34e8bd1cb2a026d865e0b916a8a67671e87ae250203010001";
static const char rsa_key_with_a_33_bit_exponent[] =
    "30820124300d06092a864886f70d010101050003820111003082010c0282010100bd86e191370c4e3a1fdb1bbb4d25642420a2d0f14ec5"
    "b7230b816cb729d5d3ce3124ed06b836027b1597a7896d5df0cc0aff519b991c3375c43788ee8e0064b9151738dc3cc5be9e6c3388f8d0"
    "130606f3f40817a6adadc3a70b7deb5f0c70ddb715b20d83d4467a5c523982d1d5efad4b0f1cbef3f85178c8aad3f6b3c9582cea7d7aec"
    "5341577f5c67233adca10f6d6a70332dcadd154e0ffc81fa08284fd1e93271c8fcf79a8eb202e9add4c73323ce508a35dd0c77951a3910"
    "ac9c07a90d6bd3e04c3ed37dd3a5e7f85ea928830eaa2d40213781b683286cd9754fbc72299e9aa339d8b9f92ebf82e91d85c897f2729e"
    "39b5f194be41432c99a975d4398d02050100000001";

typedef struct hexed {
    uint8_t b[1200];
    size_t len;
} hexed;

static hexed of(const char *hex)
{
    hexed h = {.len = strlen(hex) / 2};
    unhex(hex, h.b, h.len);
    return h;
}

static kith_bytes bytes(const hexed *h)
{
    return kith_bytes_of(h->b, h->len);
}

/* RFC 8032, 7.1, tests 1 to 3. */
static void ed25519_signs_as_published(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *pub, *msg, *sig;
    } known[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    for (size_t i = 0; i < 3; i++) {
        hexed seed = of(known[i].seed), pub = of(known[i].pub), msg = of(known[i].msg),
              sig = of(known[i].sig);
        uint8_t got[64];
        kith_signer *s = kith_signer_new(seed.b);
        assert_non_null(s);
        kith_signer_public(s, got);
        assert_memory_equal(got, pub.b, 32);
        assert_int_equal(kith_signer_sign(s, bytes(&msg), got), KITH_OK);
        assert_memory_equal(got, sig.b, 64);
        assert_int_equal(kith_verify(KITH_KEY_ED25519, bytes(&pub), bytes(&msg), bytes(&sig)), KITH_OK);
        kith_signer_free(s);
    }
    kith_signer_free(NULL);
}

static void wycheproof_ed25519_agrees(void **state)
{
    (void)state;
    VECTORS_OR_SKIP(root, "wycheproof/ed25519_test.json")
    size_t ran = 0, g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        kith_span pk = vectors_hex(json_object_get(group, "publicKey"), "pk");
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            kith_span msg = vectors_hex(test, "msg"), sig = vectors_hex(test, "sig");
            bool valid = strcmp(vectors_str(test, "result"), "valid") == 0;
            kith_err e = kith_verify(KITH_KEY_ED25519, kith_span_bytes(pk), kith_span_bytes(msg),
                                     kith_span_bytes(sig));
            assert_int_equal(e, valid ? KITH_OK : KITH_ECRYPTO);
            free(msg.p), free(sig.p);
            ran++;
        }
        free(pk.p);
    }
    assert_int_equal(ran, 151);
    json_decref(root);
}

/* The right signature; the signature with any byte changed, cut or prolonged; the key with any byte changed
 * or cut. */
static void torture(kith_key_type type, const char *key_hex, const char *sig_hex, size_t step)
{
    hexed key = of(key_hex), sig = of(sig_hex);
    kith_bytes msg = kith_bytes_str(message);
    assert_int_equal(kith_key_check(type, bytes(&key)), KITH_OK);
    assert_int_equal(kith_verify(type, bytes(&key), msg, bytes(&sig)), KITH_OK);
    assert_int_equal(kith_verify(type, bytes(&key), kith_bytes_str("kith signs that"), bytes(&sig)),
                     KITH_ECRYPTO);
    assert_int_equal(kith_verify(type, bytes(&key), (kith_bytes){0}, bytes(&sig)), KITH_ECRYPTO);
    for (size_t i = 0; i < sig.len; i += step) {
        hexed bad = sig;
        bad.b[i] ^= 0x55;
        assert_int_equal(kith_verify(type, bytes(&key), msg, bytes(&bad)), KITH_ECRYPTO);
        bad = sig;
        bad.len = i;
        assert_int_equal(kith_verify(type, bytes(&key), msg, bytes(&bad)), KITH_ECRYPTO);
    }
    hexed longer = sig;
    longer.b[longer.len++] = 0;
    assert_int_equal(kith_verify(type, bytes(&key), msg, bytes(&longer)), KITH_ECRYPTO);
    for (size_t i = 0; i < key.len; i += step) {
        hexed bad = key;
        bad.b[i] ^= 0x55;
        assert_int_equal(kith_verify(type, bytes(&bad), msg, bytes(&sig)), KITH_ECRYPTO);
        bad = key;
        bad.len = i;
        assert_int_equal(kith_verify(type, bytes(&bad), msg, bytes(&sig)), KITH_ECRYPTO);
        assert_int_equal(kith_key_check(type, bytes(&bad)), KITH_ECRYPTO);
    }
    longer = key;
    longer.b[longer.len++] = 0;
    assert_int_equal(kith_verify(type, bytes(&longer), msg, bytes(&sig)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check(type, bytes(&longer)), KITH_ECRYPTO);
}

static void rsa_verifies_and_refuses_every_change(void **state)
{
    (void)state;
    torture(KITH_KEY_RSA, rsa_key, rsa_sig, 7);
}

static void secp256k1_verifies_and_refuses_every_change(void **state)
{
    (void)state;
    torture(KITH_KEY_SECP256K1, secp256k1_key, secp256k1_sig, 1);
}

static void p256_verifies_and_refuses_every_change(void **state)
{
    (void)state;
    torture(KITH_KEY_ECDSA, p256_key, p256_sig, 1);
}

static void ed25519_refuses_every_change(void **state)
{
    (void)state;
    uint8_t seed[32] = {3}, pub[32], sig[64];
    char pub_hex[65] = "", sig_hex[129] = "";
    kith_signer *s = kith_signer_new(seed);
    kith_signer_public(s, pub);
    assert_int_equal(kith_signer_sign(s, kith_bytes_str(message), sig), KITH_OK);
    kith_signer_free(s);
    for (int i = 0; i < 32; i++)
        (void)snprintf(pub_hex + 2 * i, 3, "%02x", pub[i]);
    for (int i = 0; i < 64; i++)
        (void)snprintf(sig_hex + 2 * i, 3, "%02x", sig[i]);
    torture(KITH_KEY_ED25519, pub_hex, sig_hex, 1);
}

static void keys_of_the_wrong_size_or_type_are_refused(void **state)
{
    (void)state;
    hexed small = of(rsa_1024_key), exponent = of(rsa_key_with_a_33_bit_exponent), p256 = of(p256_key),
          rsa = of(rsa_key);
    assert_int_equal(kith_key_check(KITH_KEY_RSA, bytes(&small)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check(KITH_KEY_RSA, bytes(&exponent)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check(KITH_KEY_RSA, bytes(&p256)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check(KITH_KEY_ECDSA, bytes(&rsa)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check(KITH_KEY_SECP256K1, bytes(&p256)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check(KITH_KEY_ED25519, bytes(&p256)), KITH_ECRYPTO);
    assert_int_equal(kith_key_check((kith_key_type)4, bytes(&p256)), KITH_EUNSUPPORTED);
    assert_int_equal(kith_verify((kith_key_type)4, bytes(&p256), bytes(&p256), bytes(&p256)),
                     KITH_EUNSUPPORTED);
    for (int type = 0; type < 4; type++) {
        assert_int_equal(kith_key_check((kith_key_type)type, (kith_bytes){0}), KITH_ECRYPTO);
        assert_int_equal(kith_verify((kith_key_type)type, (kith_bytes){0}, (kith_bytes){0}, (kith_bytes){0}),
                         KITH_ECRYPTO);
    }
    hexed huge = {.len = sizeof huge.b};
    assert_int_equal(kith_key_check(KITH_KEY_RSA, bytes(&huge)), KITH_ECRYPTO);
}

static void a_point_off_the_curve_is_refused(void **state)
{
    (void)state;
    hexed k1 = of(secp256k1_key);
    memset(k1.b + 1, 0, 32);
    k1.b[32] = 5; /* x = 5 is on no point of secp256k1 */
    assert_int_equal(kith_key_check(KITH_KEY_SECP256K1, bytes(&k1)), KITH_ECRYPTO);
    memset(k1.b + 1, 0xff, 32); /* beyond the field */
    assert_int_equal(kith_key_check(KITH_KEY_SECP256K1, bytes(&k1)), KITH_ECRYPTO);
    hexed p = of(p256_key);
    p.b[p.len - 1] ^= 1;
    assert_int_equal(kith_key_check(KITH_KEY_ECDSA, bytes(&p)), KITH_ECRYPTO);
    p.b[26] = 0x06; /* hybrid form */
    assert_int_equal(kith_key_check(KITH_KEY_ECDSA, bytes(&p)), KITH_ECRYPTO);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519_signs_as_published),
        cmocka_unit_test(wycheproof_ed25519_agrees),
        cmocka_unit_test(rsa_verifies_and_refuses_every_change),
        cmocka_unit_test(secp256k1_verifies_and_refuses_every_change),
        cmocka_unit_test(p256_verifies_and_refuses_every_change),
        cmocka_unit_test(ed25519_refuses_every_change),
        cmocka_unit_test(keys_of_the_wrong_size_or_type_are_refused),
        cmocka_unit_test(a_point_off_the_curve_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

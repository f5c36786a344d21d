/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AEADs with the cipher fetched once and the key kept; a message sets a nonce and nothing else. */
#include "crypto/aead.h"

#include <assert.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/internal.h"

/* OpenSSL's ChaCha20-Poly1305 encrypts what it is given and then authenticates it, two walks over the text: the
 * second should find it in the first-level cache. */
#define PASS (8u * 1024)

struct kith_aead {
    EVP_CIPHER_CTX *c;
    bool seal;
};

static void must(int ok)
{
    assert(ok == 1);
    (void)ok;
}

static const EVP_CIPHER *cipher_of(kith_aead_alg alg)
{
    switch (alg) {
    case KITH_AEAD_CHACHA20_POLY1305:
        return kith_crypto_algs.chacha20_poly1305;
    case KITH_AEAD_AES_256_GCM:
        return kith_crypto_algs.aes_256_gcm;
    }
    assert(0);
    return NULL;
}

/* As OpenSSL sees the processor, which is what counts: what its assembly goes by is a mask, x86's CPUID leaf 1 (edx, ecx) or one of its
 * own for ARM. Other processors are not asked for here. */
bool kith_aead_is_fast(kith_aead_alg alg)
{
    static const struct {
        const char *name;
        uint64_t needs;
    } masks[] = {
        {"OPENSSL_ia32cap=", UINT64_C(1) << (32 + 25) | UINT64_C(1) << (32 + 1)}, /* AES-NI, PCLMULQDQ */
        {"OPENSSL_armcap=", UINT64_C(1) << 2 | UINT64_C(1) << 5}};                /* AES, PMULL */
    const char *settings = OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS);
    if (alg == KITH_AEAD_CHACHA20_POLY1305)
        return true; /* everywhere the fastest that needs no instructions of its own */
    for (size_t i = 0; settings && i < sizeof masks / sizeof *masks; i++) {
        const char *at = strstr(settings, masks[i].name);
        if (at)
            return (strtoull(at + strlen(masks[i].name), NULL, 0) & masks[i].needs) == masks[i].needs;
    }
    return false;
}

const char *kith_aead_name(kith_aead_alg alg)
{
    return alg == KITH_AEAD_AES_256_GCM ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

kith_aead *kith_aead_new(kith_aead_alg alg, const uint8_t key[KITH_AEAD_KEY_LEN], bool seal)
{
    kith_aead *a = OPENSSL_zalloc(sizeof *a);
    if (!a)
        return NULL;
    a->seal = seal;
    a->c = EVP_CIPHER_CTX_new();
    /* Both ciphers default to 12-byte nonces and 16-byte tags. */
    if (!a->c || EVP_CipherInit_ex2(a->c, cipher_of(alg), key, NULL, seal, NULL) != 1) {
        kith_aead_free(a);
        (void)kith_crypto_err(KITH_ENOMEM);
        return NULL;
    }
    return a;
}

void kith_aead_rekey(kith_aead *a, const uint8_t key[KITH_AEAD_KEY_LEN])
{
    must(EVP_CipherInit_ex2(a->c, NULL, key, NULL, a->seal, NULL));
}

void kith_aead_free(kith_aead *a)
{
    if (!a)
        return;
    EVP_CIPHER_CTX_free(a->c); /* clears the key */
    OPENSSL_free(a);
}

/* Nonce, associated data and text. OpenSSL counts in int; nothing here comes near that. */
static int run(kith_aead *a, const uint8_t *nonce, kith_bytes ad, kith_span text)
{
    assert(ad.len <= INT_MAX);
    int n = 0;
    if (EVP_CipherInit_ex2(a->c, NULL, NULL, nonce, a->seal, NULL) != 1)
        return 0;
    if (ad.len > 0 && EVP_CipherUpdate(a->c, NULL, &n, ad.p, (int)ad.len) != 1)
        return 0;
    for (size_t at = 0; at < text.len; at += PASS) {
        size_t len = text.len - at < PASS ? text.len - at : PASS;
        if (EVP_CipherUpdate(a->c, text.p + at, &n, text.p + at, (int)len) != 1)
            return 0;
    }
    return 1;
}

void kith_aead_seal(kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN], kith_bytes ad, kith_span text,
                    uint8_t tag[KITH_AEAD_TAG_LEN])
{
    assert(a->seal);
    int n = 0;
    uint8_t none[16];
    must(run(a, nonce, ad, text));
    must(EVP_CipherFinal_ex(a->c, none, &n));
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, KITH_AEAD_TAG_LEN),
        OSSL_PARAM_construct_end()};
    must(EVP_CIPHER_CTX_get_params(a->c, params));
}

kith_err kith_aead_open(kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN], kith_bytes ad, kith_span text,
                        const uint8_t tag[KITH_AEAD_TAG_LEN])
{
    assert(!a->seal);
    int n = 0;
    uint8_t none[16];
    uint8_t want[KITH_AEAD_TAG_LEN]; /* the parameter list is not const */
    memcpy(want, tag, sizeof want);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, want, sizeof want),
                           OSSL_PARAM_construct_end()};
    must(EVP_CIPHER_CTX_set_params(a->c, params));
    must(run(a, nonce, ad, text));
    if (EVP_CipherFinal_ex(a->c, none, &n) != 1)
        return kith_crypto_err(KITH_ECRYPTO);
    return KITH_OK;
}

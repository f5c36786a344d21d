/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ML-KEM with the caller's randomness. */
#include "crypto/kem.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

struct kith_kem {
    EVP_PKEY *key;
    kith_kem_alg alg;
    uint8_t ek[KITH_KEM_EK_MAX]; /* asking OpenSSL again could fail for want of memory */
};

typedef struct lens {
    const char *name; /* OpenSSL's */
    size_t ek, ct, dk;
} lens;

/* FIPS 203, table 3. */
static const lens table[] = {
    [KITH_KEM_NONE] = {"", 0, 0, 0},
    [KITH_KEM_MLKEM512] = {"ML-KEM-512", 800, 768, 1632},
    [KITH_KEM_MLKEM768] = {"ML-KEM-768", 1184, 1088, 2400},
    [KITH_KEM_MLKEM1024] = {"ML-KEM-1024", 1568, 1568, 3168},
};

size_t kith_kem_ek_len(kith_kem_alg alg)
{
    return table[alg].ek;
}

size_t kith_kem_ct_len(kith_kem_alg alg)
{
    return table[alg].ct;
}

static kith_kem *wrap(kith_kem_alg alg, EVP_PKEY *key)
{
    kith_kem *k = key ? OPENSSL_zalloc(sizeof *k) : NULL;
    size_t n = sizeof k->ek;
    if (!k || EVP_PKEY_get_raw_public_key(key, k->ek, &n) != 1 || n != table[alg].ek) {
        OPENSSL_free(k);
        EVP_PKEY_free(key);
        (void)kith_crypto_err(KITH_ENOMEM);
        return NULL;
    }
    k->alg = alg;
    k->key = key;
    return k;
}

kith_kem *kith_kem_new(kith_kem_alg alg, const uint8_t seed[KITH_KEM_SEED_LEN])
{
    assert(alg != KITH_KEM_NONE);
    uint8_t copy[KITH_KEM_SEED_LEN]; /* the parameter list is not const */
    memcpy(copy, seed, sizeof copy);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, copy, sizeof copy),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, table[alg].name, NULL);
    if (c && EVP_PKEY_keygen_init(c) == 1 && EVP_PKEY_CTX_set_params(c, params) == 1 &&
        EVP_PKEY_generate(c, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    kith_wipe(copy, sizeof copy);
    kith_stack_wipe();
    return wrap(alg, key);
}

kith_kem *kith_kem_of_dk(kith_kem_alg alg, kith_bytes dk)
{
    assert(alg != KITH_KEM_NONE);
    return wrap(alg, EVP_PKEY_new_raw_private_key_ex(NULL, table[alg].name, NULL, dk.p, dk.len));
}

void kith_kem_free(kith_kem *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key); /* clears the secret */
    OPENSSL_free(k);
}

void kith_kem_ek(const kith_kem *k, uint8_t *out)
{
    memcpy(out, k->ek, table[k->alg].ek);
}

kith_err kith_kem_encaps(kith_kem_alg alg, kith_bytes ek, const uint8_t coin[KITH_KEM_COIN_LEN], uint8_t *ct,
                         uint8_t shared[KITH_KEM_SHARED_LEN])
{
    assert(alg != KITH_KEM_NONE);
    if (ek.len != table[alg].ek)
        return KITH_ECRYPTO;
    /* The import checks that every coefficient is below q: FIPS 203, 7.2. */
    EVP_PKEY *pub = EVP_PKEY_new_raw_public_key_ex(NULL, table[alg].name, NULL, ek.p, ek.len);
    if (!pub)
        return kith_crypto_err(KITH_ECRYPTO);
    kith_err e = KITH_ENOMEM;
    uint8_t copy[KITH_KEM_COIN_LEN]; /* the parameter list is not const */
    memcpy(copy, coin, sizeof copy);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_KEM_PARAM_IKME, copy, sizeof copy),
                           OSSL_PARAM_construct_end()};
    size_t ct_len = table[alg].ct;
    size_t ss_len = KITH_KEM_SHARED_LEN;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, pub, NULL);
    if (c && EVP_PKEY_encapsulate_init(c, params) == 1 &&
        EVP_PKEY_encapsulate(c, ct, &ct_len, shared, &ss_len) == 1)
        e = KITH_OK;
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pub);
    kith_wipe(copy, sizeof copy);
    kith_stack_wipe();
    return e ? kith_crypto_err(e) : KITH_OK;
}

kith_err kith_kem_decaps(const kith_kem *k, kith_bytes ct, uint8_t shared[KITH_KEM_SHARED_LEN])
{
    if (ct.len != table[k->alg].ct)
        return KITH_ECRYPTO;
    kith_err e = KITH_ENOMEM;
    size_t n = KITH_KEM_SHARED_LEN;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, k->key, NULL);
    if (c && EVP_PKEY_decapsulate_init(c, NULL) == 1 &&
        EVP_PKEY_decapsulate(c, shared, &n, ct.p, ct.len) == 1)
        e = KITH_OK;
    EVP_PKEY_CTX_free(c);
    kith_stack_wipe();
    return e ? kith_crypto_err(e) : KITH_OK;
}

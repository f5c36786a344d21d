/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* X25519. */
#include "crypto/dh.h"

#include <openssl/crypto.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

struct kith_dh {
    EVP_PKEY *key;
    uint8_t pub[KITH_X25519_LEN];
};

kith_dh *kith_dh_new(const uint8_t secret[KITH_X25519_LEN])
{
    kith_dh *k = OPENSSL_zalloc(sizeof *k);
    if (!k)
        return NULL;
    size_t n = sizeof k->pub;
    k->key = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, secret, KITH_X25519_LEN);
    if (!k->key || EVP_PKEY_get_raw_public_key(k->key, k->pub, &n) != 1) {
        kith_dh_free(k);
        (void)kith_crypto_err(KITH_ENOMEM);
        k = NULL;
    }
    kith_stack_wipe();
    return k;
}

void kith_dh_free(kith_dh *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key); /* clears the secret */
    OPENSSL_free(k);
}

void kith_dh_public(const kith_dh *k, uint8_t out[KITH_X25519_LEN])
{
    memcpy(out, k->pub, sizeof k->pub);
}

kith_err kith_dh_shared(const kith_dh *k, const uint8_t peer[KITH_X25519_LEN], uint8_t out[KITH_X25519_LEN])
{
    kith_err e = KITH_ENOMEM;
    uint8_t secret[KITH_X25519_LEN];
    size_t n = sizeof secret;
    EVP_PKEY *pub = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer, KITH_X25519_LEN);
    EVP_PKEY_CTX *c = pub ? EVP_PKEY_CTX_new_from_pkey(NULL, k->key, NULL) : NULL;
    if (!c || EVP_PKEY_derive_init_ex(c, NULL) != 1 || EVP_PKEY_derive_set_peer_ex(c, pub, 0) != 1)
        goto out;
    /* Fails exactly when the result is all zeros: RFC 7748, section 6.1. */
    e = KITH_ECRYPTO;
    if (EVP_PKEY_derive(c, secret, &n) != 1 || n != sizeof secret)
        goto out;
    memcpy(out, secret, sizeof secret);
    e = KITH_OK;
out:
    kith_wipe(secret, sizeof secret);
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pub);
    kith_stack_wipe();
    return e ? kith_crypto_err(e) : KITH_OK;
}

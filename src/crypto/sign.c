/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signatures of libp2p's four key types: keys come in as the Data field of a PublicKey. */
#include "crypto/sign.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include "crypto/internal.h"

#define RSA_BITS_MIN 2048   /* libp2p peer-ids spec, "RSA"; go-libp2p refuses the same */
#define RSA_BITS_MAX 8192   /* go-libp2p core/crypto, maxRsaKeyBits */
#define RSA_DER_MAX 1100    /* an 8192-bit modulus, a 31-bit exponent and DER around them take 1064 */
#define RSA_EXP_BITS_MAX 31 /* Go's crypto/rsa takes no larger one; a huge exponent makes verifying slow */

struct kith_signer {
    EVP_PKEY *key;
    uint8_t pub[KITH_ED25519_PUB_LEN];
};

kith_signer *kith_signer_new(const uint8_t seed[KITH_ED25519_SEED_LEN])
{
    kith_signer *s = OPENSSL_zalloc(sizeof *s);
    if (!s)
        return NULL;
    size_t n = sizeof s->pub;
    s->key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, KITH_ED25519_SEED_LEN);
    if (!s->key || EVP_PKEY_get_raw_public_key(s->key, s->pub, &n) != 1) {
        kith_signer_free(s);
        (void)kith_crypto_err(KITH_ENOMEM);
        return NULL;
    }
    return s;
}

void kith_signer_free(kith_signer *s)
{
    if (!s)
        return;
    EVP_PKEY_free(s->key); /* clears the secret */
    OPENSSL_free(s);
}

void kith_signer_public(const kith_signer *s, uint8_t out[KITH_ED25519_PUB_LEN])
{
    memcpy(out, s->pub, sizeof s->pub);
}

kith_err kith_signer_sign(const kith_signer *s, kith_bytes msg, uint8_t sig[KITH_ED25519_SIG_LEN])
{
    kith_err e = KITH_ENOMEM;
    size_t n = KITH_ED25519_SIG_LEN;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c && EVP_DigestSignInit_ex(c, NULL, NULL, NULL, NULL, s->key, NULL) == 1 &&
        EVP_DigestSign(c, sig, &n, msg.p, msg.len) == 1)
        e = KITH_OK;
    EVP_MD_CTX_free(c);
    return e ? kith_crypto_err(e) : KITH_OK;
}

/* ---- other people's keys ---- */

/* A point on a named curve; OpenSSL checks that it lies on it. NULL: it does not, or no memory. */
static EVP_PKEY *ec_key(const char *curve, kith_bytes point)
{
    char group[16];
    uint8_t copy[65]; /* the parameter list is not const */
    if (point.len > sizeof copy)
        return NULL;
    memcpy(group, curve, strlen(curve) + 1);
    memcpy(copy, point.p, point.len);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, point.len),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (c && EVP_PKEY_fromdata_init(c) == 1 && EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    return key;
}

static EVP_PKEY *secp256k1_key(kith_bytes data)
{
    if (data.len != 33 || (data.p[0] != 2 && data.p[0] != 3))
        return NULL;
    return ec_key("secp256k1", data);
}

static EVP_PKEY *p256_key(kith_bytes data)
{
    /* SubjectPublicKeyInfo of id-ecPublicKey with prime256v1 has one DER form up to its uncompressed point:
     * RFC 5480. */
    static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
    if (data.len != sizeof head + 64 || memcmp(data.p, head, sizeof head) != 0)
        return NULL;
    return ec_key("prime256v1", kith_bytes_skip(data, sizeof head - 1));
}

static bool rsa_sane(EVP_PKEY *key)
{
    if (!EVP_PKEY_is_a(key, "RSA")) /* not RSA-PSS, not anything else */
        return false;
    int bits = EVP_PKEY_get_bits(key);
    BIGNUM *e = NULL;
    bool ok = bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
              BN_num_bits(e) >= 2 && BN_num_bits(e) <= RSA_EXP_BITS_MAX;
    BN_free(e);
    return ok;
}

static EVP_PKEY *rsa_key(kith_bytes data)
{
    if (data.len == 0 || data.len > RSA_DER_MAX)
        return NULL;
    const unsigned char *p = data.p;
    EVP_PKEY *key = d2i_PUBKEY_ex(NULL, &p, (long)data.len, NULL, NULL);
    if (key && (p != data.p + data.len || !rsa_sane(key))) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

/* NULL: not a key of the type, or no memory. */
static EVP_PKEY *key_of(kith_key_type type, kith_bytes data)
{
    switch (type) {
    case KITH_KEY_RSA:
        return rsa_key(data);
    case KITH_KEY_ED25519:
        return data.len != KITH_ED25519_PUB_LEN
                   ? NULL
                   : EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, data.p, data.len);
    case KITH_KEY_SECP256K1:
        return secp256k1_key(data);
    case KITH_KEY_ECDSA:
        return p256_key(data);
    }
    return NULL;
}

static bool known(kith_key_type type)
{
    switch (type) {
    case KITH_KEY_RSA:
    case KITH_KEY_ED25519:
    case KITH_KEY_SECP256K1:
    case KITH_KEY_ECDSA:
        return true;
    }
    return false;
}

kith_err kith_verify(kith_key_type type, kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    if (!known(type))
        return KITH_EUNSUPPORTED;
    EVP_PKEY *k = key_of(type, key);
    if (!k)
        return kith_crypto_err(KITH_ECRYPTO);
    /* Ed25519 hashes for itself; RSA's default padding is PKCS#1 v1.5. */
    const char *md = type == KITH_KEY_ED25519 ? NULL : "SHA256";
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    kith_err e = KITH_ENOMEM;
    if (c && EVP_DigestVerifyInit_ex(c, NULL, md, NULL, NULL, k, NULL) == 1)
        e = EVP_DigestVerify(c, sig.p, sig.len, msg.p, msg.len) == 1 ? KITH_OK : KITH_ECRYPTO;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
    return e ? kith_crypto_err(e) : KITH_OK;
}

kith_err kith_key_check(kith_key_type type, kith_bytes key)
{
    if (!known(type))
        return KITH_EUNSUPPORTED;
    EVP_PKEY *k = key_of(type, key);
    if (!k)
        return kith_crypto_err(KITH_ECRYPTO);
    EVP_PKEY_free(k);
    return KITH_OK;
}

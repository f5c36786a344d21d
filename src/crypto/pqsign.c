/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ML-DSA and SLH-DSA over OpenSSL's one-shot signatures, and the way to Falcon. */
#include "crypto/pqsign.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "crypto/crypto.h"
#include "crypto/falcon.h"
#include "crypto/internal.h"
#include "crypto/pqsign_vectors.h"

struct kith_pq_signer {
    EVP_PKEY *key; /* NULL for Falcon */
    uint8_t *pair; /* of Falcon, else NULL */
    kith_sig_alg alg;
    uint8_t pub[KITH_SIG_PUB_MAX]; /* asking OpenSSL again could fail for want of memory */
};

static const kith_sig_info infos[] = {
#define ROW(id, name, category, seed, pub, sig) [KITH_SIG_##id] = {name, category, seed, pub, sig},
    KITH_SIG_TABLE(ROW)
#undef ROW
};

const kith_sig_info *kith_sig_info_of(kith_sig_alg alg)
{
    assert(alg > KITH_SIG_NONE && alg < KITH_SIG_COUNT);
    return &infos[alg];
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool same_name(const char *a, kith_bytes b)
{
    size_t i = 0;
    while (i < b.len && a[i] && lower((uint8_t)a[i]) == lower(b.p[i]))
        i++;
    return i == b.len && !a[i];
}

kith_sig_alg kith_sig_named(kith_bytes name)
{
    for (int alg = KITH_SIG_NONE + 1; alg < KITH_SIG_COUNT; alg++) {
        if (same_name(infos[alg].name, name))
            return (kith_sig_alg)alg;
    }
    return KITH_SIG_NONE;
}

bool kith_sig_available(kith_sig_alg alg)
{
    return alg == KITH_SIG_FALCON512 ? kith_falcon_available() : alg > KITH_SIG_NONE && alg < KITH_SIG_COUNT;
}

kith_err kith_pq_seed_new(kith_sig_alg alg, kith_rand rand, uint8_t *seed)
{
    if (alg == KITH_SIG_FALCON512)
        return kith_falcon_make(seed);
    rand.fn(rand.ctx, kith_span_of(seed, kith_sig_info_of(alg)->seed_len));
    return KITH_OK;
}

/* ---- the three calls of OpenSSL ---- */

/* NULL: refused, or no memory. */
static EVP_PKEY *key_of_seed(const char *set, kith_bytes seed)
{
    uint8_t copy[128]; /* the parameter list is not const; the longest seed of a parameter set has 96 bytes */
    if (seed.len > sizeof copy)
        return NULL;
    memcpy(copy, seed.p, seed.len);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_DSA_SEED, copy, seed.len),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, set, NULL);
    if (c && EVP_PKEY_keygen_init(c) == 1 && EVP_PKEY_CTX_set_params(c, params) == 1 &&
        EVP_PKEY_generate(c, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    kith_wipe(copy, sizeof copy);
    return key;
}

/* How a signature is made or checked, as OpenSSL wants to be told: the list and what it points to are not const. */
#define PARAMS_MAX 4
typedef struct params {
    OSSL_PARAM list[PARAMS_MAX];
    uint8_t context[255];
    uint8_t rnd[KITH_SIG_RND_LEN];
    int raw, deterministic;
} params;

static bool fill_params(params *p, const kith_pq_how *how, bool sign)
{
    OSSL_PARAM *at = p->list;
    if (how->context.len > sizeof p->context || how->rnd_len > sizeof p->rnd)
        return false;
    if (how->internal) {
        p->raw = 0; /* "message encoding": none */
        *at++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_MESSAGE_ENCODING, &p->raw);
    }
    if (how->context.len > 0) {
        memcpy(p->context, how->context.p, how->context.len);
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_CONTEXT_STRING, p->context,
                                                  how->context.len);
    }
    if (sign && how->rnd) {
        memcpy(p->rnd, how->rnd, how->rnd_len);
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_TEST_ENTROPY, p->rnd, how->rnd_len);
    } else if (sign) {
        p->deterministic = 1;
        *at++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_DETERMINISTIC, &p->deterministic);
    }
    *at = OSSL_PARAM_construct_end();
    return true;
}

static bool sign_with(EVP_PKEY *key, EVP_SIGNATURE *method, const kith_pq_how *how, kith_bytes msg,
                      kith_span *sig)
{
    params p;
    bool ok = false;
    size_t len = sig->len;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (c && fill_params(&p, how, true) && EVP_PKEY_sign_message_init(c, method, p.list) == 1 &&
        EVP_PKEY_sign(c, sig->p, &len, msg.p, msg.len) == 1)
        ok = true;
    EVP_PKEY_CTX_free(c);
    kith_wipe(&p, sizeof p);
    if (ok)
        sig->len = len;
    return ok;
}

static bool verify_with(const char *set, EVP_SIGNATURE *method, const kith_pq_how *how, kith_bytes key,
                        kith_bytes msg, kith_bytes sig)
{
    params p;
    bool ok = false;
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key_ex(NULL, set, NULL, key.p, key.len);
    EVP_PKEY_CTX *c = k ? EVP_PKEY_CTX_new_from_pkey(NULL, k, NULL) : NULL;
    if (c && fill_params(&p, how, false) && EVP_PKEY_verify_message_init(c, method, p.list) == 1 &&
        EVP_PKEY_verify(c, sig.p, sig.len, msg.p, msg.len) == 1)
        ok = true;
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(k);
    return ok;
}

/* ---- what kith uses ---- */

static kith_err take_seed(kith_pq_signer *s, kith_bytes seed)
{
    size_t n = sizeof s->pub;
    s->key = key_of_seed(infos[s->alg].name, seed);
    bool ok = s->key && EVP_PKEY_get_raw_public_key(s->key, s->pub, &n) == 1 && n == infos[s->alg].pub_len;
    return ok ? KITH_OK : KITH_ENOMEM;
}

/* Nothing makes the public key from the private one: a signature shows that they belong together. */
static kith_err take_pair(kith_pq_signer *s, kith_bytes pair)
{
    uint8_t sig[KITH_FALCON_SIG_LEN];
    s->pair = OPENSSL_memdup(pair.p, pair.len);
    if (!s->pair)
        return KITH_ENOMEM;
    memcpy(s->pub, pair.p + KITH_FALCON_PRIVATE_LEN, KITH_FALCON_PUB_LEN);
    kith_err e = kith_falcon_sign(s->pair, kith_bytes_str("kith"), sig);
    if (!e)
        e = kith_falcon_verify(kith_pq_signer_public(s), kith_bytes_str("kith"),
                               kith_bytes_of(sig, sizeof sig));
    return e ? KITH_EFORMAT : KITH_OK;
}

kith_err kith_pq_signer_new(kith_sig_alg alg, kith_bytes seed, kith_pq_signer **out)
{
    const kith_sig_info *info = kith_sig_info_of(alg);
    if (!kith_sig_available(alg))
        return KITH_EUNSUPPORTED;
    if (seed.len != info->seed_len)
        return KITH_EFORMAT;
    kith_pq_signer *s = OPENSSL_zalloc(sizeof *s);
    if (!s)
        return kith_crypto_err(KITH_ENOMEM);
    s->alg = alg;
    kith_err e = alg == KITH_SIG_FALCON512 ? take_pair(s, seed) : take_seed(s, seed);
    if (e) {
        kith_pq_signer_free(s);
        return kith_crypto_err(e);
    }
    *out = s;
    return KITH_OK;
}

void kith_pq_signer_free(kith_pq_signer *s)
{
    if (!s)
        return;
    EVP_PKEY_free(s->key); /* clears the secret */
    if (s->pair)
        kith_wipe(s->pair, KITH_FALCON_PAIR_LEN);
    OPENSSL_free(s->pair);
    OPENSSL_free(s);
}

kith_sig_alg kith_pq_signer_alg(const kith_pq_signer *s)
{
    return s->alg;
}

kith_bytes kith_pq_signer_public(const kith_pq_signer *s)
{
    return kith_bytes_of(s->pub, infos[s->alg].pub_len);
}

/* OpenSSL calls a caller's randomness "test-entropy". One that would not know the name draws its own, so a signature is hedged in any case. */
kith_err kith_pq_sign(const kith_pq_signer *s, kith_bytes msg, const uint8_t rnd[KITH_SIG_RND_LEN],
                      uint8_t *sig)
{
    if (s->alg == KITH_SIG_FALCON512)
        return kith_falcon_sign(s->pair, msg, sig);
    bool slh = s->alg == KITH_SIG_SLHDSA128S || s->alg == KITH_SIG_SLHDSA128F;
    kith_pq_how how = {.rnd = rnd, .rnd_len = slh ? KITH_SIG_RND_LEN / 2 : KITH_SIG_RND_LEN};
    kith_span out = kith_span_of(sig, infos[s->alg].sig_len);
    bool ok = sign_with(s->key, kith_crypto_algs.sig[s->alg], &how, msg, &out);
    return ok ? KITH_OK : kith_crypto_err(KITH_ENOMEM);
}

kith_err kith_pq_verify(kith_sig_alg alg, kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    const kith_sig_info *info = kith_sig_info_of(alg);
    kith_pq_how how = {0};
    if (key.len != info->pub_len || sig.len != info->sig_len)
        return KITH_ECRYPTO;
    if (alg == KITH_SIG_FALCON512)
        return kith_falcon_verify(key, msg, sig);
    bool ok = verify_with(info->name, kith_crypto_algs.sig[alg], &how, key, msg, sig);
    return ok ? KITH_OK : kith_crypto_err(KITH_ECRYPTO);
}

/* ---- what vectors ask ---- */

kith_err kith_pq_vector_public(const char *set, kith_bytes seed, kith_span pub, size_t *len)
{
    EVP_PKEY *key = key_of_seed(set, seed);
    *len = pub.len;
    bool ok = key && EVP_PKEY_get_raw_public_key(key, pub.p, len) == 1;
    EVP_PKEY_free(key);
    return ok ? KITH_OK : kith_crypto_err(KITH_ECRYPTO);
}

kith_err kith_pq_vector_sign(const kith_pq_how *how, kith_bytes sk, kith_bytes msg, kith_span *sig)
{
    EVP_SIGNATURE *method = EVP_SIGNATURE_fetch(NULL, how->set, NULL);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, how->set, NULL, sk.p, sk.len);
    bool ok = method && key && sign_with(key, method, how, msg, sig);
    EVP_PKEY_free(key);
    EVP_SIGNATURE_free(method);
    return ok ? KITH_OK : kith_crypto_err(KITH_ECRYPTO);
}

kith_err kith_pq_vector_verify(const kith_pq_how *how, kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    EVP_SIGNATURE *method = EVP_SIGNATURE_fetch(NULL, how->set, NULL);
    bool ok = method && verify_with(how->set, method, how, key, msg, sig);
    EVP_SIGNATURE_free(method);
    return ok ? KITH_OK : kith_crypto_err(KITH_ECRYPTO);
}

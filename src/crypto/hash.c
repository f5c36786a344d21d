/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SHA-2, HMAC and HKDF over contexts that are kept; SHAKE128, which is seldom wanted, over one of its own. */
#include "crypto/hash.h"

#include <assert.h>
#include <openssl/crypto.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

/* With a context that has its digest nothing below allocates, so nothing can fail but by our own mistake. */
static void must(int ok)
{
    assert(ok == 1);
    (void)ok;
}

static void restart(EVP_MD_CTX *c)
{
    must(EVP_DigestInit_ex2(c, NULL, NULL));
}

static void digest(EVP_MD_CTX *c, kith_bytes a, kith_bytes b, uint8_t *out)
{
    restart(c);
    must(EVP_DigestUpdate(c, a.p, a.len));
    must(EVP_DigestUpdate(c, b.p, b.len));
    must(EVP_DigestFinal_ex(c, out, NULL));
}

void kith_sha256(kith_bytes in, uint8_t out[KITH_SHA256_LEN])
{
    digest(kith_crypto_thread()->sha256, in, (kith_bytes){0}, out);
}

void kith_sha256_2(kith_bytes a, kith_bytes b, uint8_t out[KITH_SHA256_LEN])
{
    digest(kith_crypto_thread()->sha256, a, b, out);
}

void kith_sha512(kith_bytes in, uint8_t out[KITH_SHA512_LEN])
{
    digest(kith_crypto_thread()->sha512, in, (kith_bytes){0}, out);
}

kith_err kith_shake128(kith_bytes in, kith_span out)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestInit_ex2(c, kith_crypto_algs.shake128, NULL) == 1 &&
              EVP_DigestUpdate(c, in.p, in.len) == 1 && EVP_DigestFinalXOF(c, out.p, out.len) == 1;
    EVP_MD_CTX_free(c);
    return ok ? KITH_OK : kith_crypto_err(KITH_ENOMEM);
}

/* ---- incremental ---- */

struct kith_sha256_ctx {
    EVP_MD_CTX *md;
};

kith_sha256_ctx *kith_sha256_new(void)
{
    kith_sha256_ctx *c = OPENSSL_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->md = EVP_MD_CTX_new();
    if (!c->md || EVP_DigestInit_ex2(c->md, kith_crypto_algs.sha256, NULL) != 1) {
        kith_sha256_free(c);
        (void)kith_crypto_err(KITH_ENOMEM);
        return NULL;
    }
    return c;
}

void kith_sha256_update(kith_sha256_ctx *c, kith_bytes in)
{
    must(EVP_DigestUpdate(c->md, in.p, in.len));
}

void kith_sha256_final(kith_sha256_ctx *c, uint8_t out[KITH_SHA256_LEN])
{
    must(EVP_DigestFinal_ex(c->md, out, NULL));
    restart(c->md);
}

void kith_sha256_free(kith_sha256_ctx *c)
{
    if (!c)
        return;
    EVP_MD_CTX_free(c->md);
    OPENSSL_free(c);
}

/* ---- HMAC, HKDF ----
 * RFC 2104 spelled out over the kept digest context: EVP_MAC copies every key to the heap and so may fail,
 * which Noise's key schedule has no way to say. */

#define BLOCK_LEN 64

typedef struct hmac_key {
    uint8_t inner[BLOCK_LEN]; /* the padded key xor 0x36.. */
    uint8_t outer[BLOCK_LEN]; /* xor 0x5c.. */
} hmac_key;

static void hmac_set(hmac_key *k, kith_bytes key)
{
    uint8_t block[BLOCK_LEN] = {0};
    if (key.len > sizeof block)
        kith_sha256(key, block);
    else if (key.len > 0)
        memcpy(block, key.p, key.len);
    for (size_t i = 0; i < sizeof block; i++) {
        k->inner[i] = block[i] ^ 0x36;
        k->outer[i] = block[i] ^ 0x5c;
    }
    kith_wipe(block, sizeof block);
}

/* Of the three parts in a row; out may alias them. */
static void hmac(const hmac_key *k, kith_bytes a, kith_bytes b, kith_bytes c, uint8_t out[KITH_SHA256_LEN])
{
    EVP_MD_CTX *md = kith_crypto_thread()->sha256;
    restart(md);
    must(EVP_DigestUpdate(md, k->inner, sizeof k->inner));
    must(EVP_DigestUpdate(md, a.p, a.len));
    must(EVP_DigestUpdate(md, b.p, b.len));
    must(EVP_DigestUpdate(md, c.p, c.len));
    must(EVP_DigestFinal_ex(md, out, NULL));
    digest(md, kith_bytes_of(k->outer, sizeof k->outer), kith_bytes_of(out, KITH_SHA256_LEN), out);
    restart(md); /* the context outlives the call: leave nothing of the result in it */
}

void kith_hmac_sha256(kith_bytes key, kith_bytes in, uint8_t out[KITH_SHA256_LEN])
{
    hmac_key k;
    hmac_set(&k, key);
    hmac(&k, in, (kith_bytes){0}, (kith_bytes){0}, out);
    kith_wipe(&k, sizeof k);
}

void kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out)
{
    assert(out.len <= 255 * KITH_SHA256_LEN);
    hmac_key k;
    uint8_t prk[KITH_SHA256_LEN];
    uint8_t t[KITH_SHA256_LEN];

    /* Extract. An absent salt is HashLen zeros, which HMAC's padding makes the same as an empty one. */
    hmac_set(&k, salt);
    hmac(&k, ikm, (kith_bytes){0}, (kith_bytes){0}, prk);

    /* Expand: T(i) = HMAC(PRK, T(i-1) || info || i), T(0) empty. */
    hmac_set(&k, kith_bytes_of(prk, sizeof prk));
    for (uint8_t i = 1; out.len > 0; i++) {
        hmac(&k, kith_bytes_of(t, i == 1 ? 0 : sizeof t), info, kith_bytes_of(&i, 1), t);
        size_t n = out.len < sizeof t ? out.len : sizeof t;
        memcpy(out.p, t, n);
        out = kith_span_skip(out, n);
    }
    kith_wipe(&k, sizeof k);
    kith_wipe(prk, sizeof prk);
    kith_wipe(t, sizeof t);
    kith_stack_wipe();
}

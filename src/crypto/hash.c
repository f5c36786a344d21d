/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SHA-2, HMAC and HKDF over contexts that are kept. */
#include "crypto/hash.h"

#include <assert.h>
#include <openssl/crypto.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

/* With a fetched digest and a context in hand nothing below allocates, so nothing can fail but by our own
 * mistake. */
static void must(int ok)
{
    assert(ok == 1);
    (void)ok;
}

static void digest(const EVP_MD *md, kith_bytes a, kith_bytes b, uint8_t *out)
{
    EVP_MD_CTX *c = kith_crypto_thread()->md;
    must(EVP_DigestInit_ex2(c, md, NULL));
    must(EVP_DigestUpdate(c, a.p, a.len));
    must(EVP_DigestUpdate(c, b.p, b.len));
    must(EVP_DigestFinal_ex(c, out, NULL));
}

void kith_sha256(kith_bytes in, uint8_t out[KITH_SHA256_LEN])
{
    digest(kith_crypto_algs.sha256, in, (kith_bytes){0}, out);
}

void kith_sha256_2(kith_bytes a, kith_bytes b, uint8_t out[KITH_SHA256_LEN])
{
    digest(kith_crypto_algs.sha256, a, b, out);
}

void kith_sha512(kith_bytes in, uint8_t out[KITH_SHA512_LEN])
{
    digest(kith_crypto_algs.sha512, in, (kith_bytes){0}, out);
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
    must(EVP_DigestInit_ex2(c->md, NULL, NULL));
}

void kith_sha256_free(kith_sha256_ctx *c)
{
    if (!c)
        return;
    EVP_MD_CTX_free(c->md);
    OPENSSL_free(c);
}

/* ---- HMAC, HKDF ---- */

static const uint8_t zeros[KITH_SHA256_LEN];

/* EVP takes a NULL key for "the one you have". */
static void hmac_key(EVP_MAC_CTX *c, kith_bytes key)
{
    must(EVP_MAC_init(c, key.len > 0 ? key.p : zeros, key.len, NULL));
}

static void hmac_final(EVP_MAC_CTX *c, uint8_t out[KITH_SHA256_LEN])
{
    size_t n = 0;
    must(EVP_MAC_final(c, out, &n, KITH_SHA256_LEN));
    assert(n == KITH_SHA256_LEN);
}

/* The context outlives the call: leave no key in it. */
static void hmac_forget(EVP_MAC_CTX *c)
{
    hmac_key(c, kith_bytes_of(zeros, sizeof zeros));
}

void kith_hmac_sha256(kith_bytes key, kith_bytes in, uint8_t out[KITH_SHA256_LEN])
{
    EVP_MAC_CTX *c = kith_crypto_thread()->hmac;
    hmac_key(c, key);
    must(EVP_MAC_update(c, in.p, in.len));
    hmac_final(c, out);
    hmac_forget(c);
}

void kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out)
{
    assert(out.len <= 255 * KITH_SHA256_LEN);
    EVP_MAC_CTX *c = kith_crypto_thread()->hmac;
    uint8_t prk[KITH_SHA256_LEN];
    uint8_t t[KITH_SHA256_LEN];

    /* Extract. An absent salt is HashLen zeros, which HMAC's padding makes the same as an empty one. */
    hmac_key(c, salt);
    must(EVP_MAC_update(c, ikm.p, ikm.len));
    hmac_final(c, prk);

    /* Expand: T(i) = HMAC(PRK, T(i-1) || info || i). */
    hmac_key(c, kith_bytes_of(prk, sizeof prk));
    for (uint8_t i = 1; out.len > 0; i++) {
        if (i > 1) {
            must(EVP_MAC_init(c, NULL, 0, NULL));
            must(EVP_MAC_update(c, t, sizeof t));
        }
        must(EVP_MAC_update(c, info.p, info.len));
        must(EVP_MAC_update(c, &i, 1));
        hmac_final(c, t);
        size_t n = out.len < sizeof t ? out.len : sizeof t;
        memcpy(out.p, t, n);
        out = kith_span_skip(out, n);
    }
    hmac_forget(c);
    kith_wipe(prk, sizeof prk);
    kith_wipe(t, sizeof t);
}

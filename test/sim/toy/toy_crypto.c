/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Toy cryptography. What the node's machines need of src/crypto is here; a program that needs more does not link.
 *
 *   hash     64 bits of state, each step a bijection of the word that goes in, so that one changed byte always shows; stretched to
 *            the length that is asked for
 *   xsalsa20 xor with a stream of which any byte can be had at once
 *   aead     xor with a stream; the tag is the hash of key, nonce, associated data and ciphertext
 *   dh       multiplication of odd numbers modulo 2^64, which commutes
 *   kem      the encapsulation key is a 64-bit name, stretched; the secret is the hash of that name and the ciphertext
 *   sign     the hash of public key and message; the post-quantum ones too */
#include "toy_crypto.h"

#include <assert.h>
#include <stdlib.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "crypto/kem.h"
#include "crypto/pqsign.h"
#include "crypto/sign.h"
#include "crypto/xsalsa20.h"

const char kith_toy_crypto[] = "toy cryptography";

enum {
    OF_HASH = 1,
    OF_HKDF,
    OF_CIPHER,
    OF_TAG,
    OF_KEM,
    OF_CT,
    OF_SECRET,
    OF_KEY,
    OF_SIG,
    OF_PQ_KEY,
    OF_PQ_SIG,
    OF_NETWORK
}; /* hashes of what */

#define ODD 0x9e3779b97f4a7c15u

/* ---- hashing and stretching ---- */

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static uint64_t absorb(uint64_t h, uint64_t word)
{
    return rotl((h ^ word) * ODD, 29);
}

/* Eight bytes, or the last few with zeros behind; in the machine's own order, since nothing of this leaves the process. */
static uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n < sizeof v ? n : sizeof v);
    return v;
}

static uint64_t absorb_bytes(uint64_t h, kith_bytes in)
{
    const uint8_t *p = in.p;
    size_t left = in.len;
    h = absorb(h, in.len);
    for (; left >= 8; p += 8, left -= 8)
        h = absorb(h, load(p, 8));
    return left ? absorb(h, load(p, left)) : h;
}

static uint64_t next_word(uint64_t *h) /* SplitMix64 */
{
    uint64_t z = (*h += ODD);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void stretch(uint64_t h, uint8_t *out, size_t len)
{
    for (size_t n; len > 0; out += n, len -= n) {
        uint64_t word = next_word(&h);
        n = len < sizeof word ? len : sizeof word;
        memcpy(out, &word, n);
    }
}

static bool is_stretched(uint64_t h, const uint8_t *p, size_t len)
{
    uint64_t word;
    for (size_t n; len > 0; p += n, len -= n) {
        word = next_word(&h);
        n = len < sizeof word ? len : sizeof word;
        if (memcmp(&word, p, n) != 0)
            return false;
    }
    return true;
}

void kith_sha256(kith_bytes in, uint8_t out[KITH_SHA256_LEN])
{
    kith_sha256_2(in, (kith_bytes){0}, out);
}

void kith_sha256_2(kith_bytes a, kith_bytes b, uint8_t out[KITH_SHA256_LEN])
{
    stretch(absorb_bytes(absorb_bytes(OF_HASH, a), b), out, KITH_SHA256_LEN);
}

void kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out)
{
    stretch(absorb_bytes(absorb_bytes(absorb_bytes(OF_HKDF, salt), ikm), info), out.p, out.len);
}

/* ---- crypto.h ---- */

kith_err kith_crypto_init(void)
{
    return KITH_OK;
}

void kith_wipe(void *p, size_t n)
{
    memset(p, 0, n);
}

/* As with the real one, whoever watches comparisons, as libFuzzer watches memcmp, does not learn what would have been right: it would forge
 * tags with it. */
bool kith_ct_eq(kith_bytes a, kith_bytes b)
{
    uint8_t differ = 0;
    for (size_t i = 0; a.len == b.len && i < a.len; i++)
        differ |= a.p[i] ^ b.p[i];
    return a.len == b.len && differ == 0;
}

/* ---- xsalsa20.h ---- */

void kith_xsalsa20_init(kith_xsalsa20 *x, const uint8_t key[KITH_XSALSA20_KEY_LEN],
                        const uint8_t nonce[KITH_XSALSA20_NONCE_LEN])
{
    *x = (kith_xsalsa20){0};
    memcpy(x->key, key, sizeof x->key);
    memcpy(x->nonce, nonce, sizeof x->nonce);
}

void kith_xsalsa20_xor(kith_xsalsa20 *x, kith_span text)
{
    uint64_t h = absorb_bytes(absorb_bytes(OF_NETWORK, kith_bytes_of(x->key, sizeof x->key)),
                              kith_bytes_of(x->nonce, sizeof x->nonce));
    for (size_t i = 0; i < text.len; i++, x->block++) { /* here it counts bytes */
        uint64_t at = h + x->block / 8 * ODD, word = next_word(&at);
        text.p[i] ^= (uint8_t)(word >> x->block % 8 * 8);
    }
}

void kith_xsalsa20_fini(kith_xsalsa20 *x)
{
    memset(x, 0, sizeof *x);
}

/* ---- aead.h ---- */

struct kith_aead {
    uint64_t key;
    bool seal;
};

kith_aead *kith_aead_new(kith_aead_alg alg, const uint8_t key[KITH_AEAD_KEY_LEN], bool seal)
{
    (void)alg;
    kith_aead *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->seal = seal;
    kith_aead_rekey(a, key);
    return a;
}

void kith_aead_rekey(kith_aead *a, const uint8_t key[KITH_AEAD_KEY_LEN])
{
    a->key = absorb_bytes(OF_CIPHER, kith_bytes_of(key, KITH_AEAD_KEY_LEN));
}

void kith_aead_free(kith_aead *a)
{
    free(a);
}

static uint64_t nonced(const kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN])
{
    return absorb_bytes(a->key, kith_bytes_of(nonce, KITH_AEAD_NONCE_LEN));
}

/* All bytes of a simulation pass here, twice: a weaker stream than next_word's is good enough. */
static void crypt(uint64_t h, kith_span text)
{
    uint8_t *p = text.p;
    uint64_t word;
    for (; text.len >= 8; p += 8, text.len -= 8, h += ODD) {
        word = load(p, 8) ^ h ^ h >> 32;
        memcpy(p, &word, 8);
    }
    word = load(p, text.len) ^ h ^ h >> 32;
    memcpy(p, &word, text.len);
}

static void tag_of(uint64_t h, kith_bytes ad, kith_bytes text, uint8_t tag[KITH_AEAD_TAG_LEN])
{
    stretch(absorb_bytes(absorb_bytes(absorb(h, OF_TAG), ad), text), tag, KITH_AEAD_TAG_LEN);
}

void kith_aead_seal(kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN], kith_bytes ad, kith_span text,
                    uint8_t tag[KITH_AEAD_TAG_LEN])
{
    assert(a->seal);
    uint64_t h = nonced(a, nonce);
    crypt(h, text);
    tag_of(h, ad, kith_span_bytes(text), tag);
}

kith_err kith_aead_open(kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN], kith_bytes ad, kith_span text,
                        const uint8_t tag[KITH_AEAD_TAG_LEN])
{
    assert(!a->seal);
    uint64_t h = nonced(a, nonce);
    uint8_t want[KITH_AEAD_TAG_LEN];
    tag_of(h, ad, kith_span_bytes(text), want);
    if (!kith_ct_eq(kith_bytes_of(want, sizeof want), kith_bytes_of(tag, sizeof want)))
        return KITH_ECRYPTO;
    crypt(h, text);
    return KITH_OK;
}

/* ---- dh.h ---- */

#define LANES (KITH_X25519_LEN / 8)

struct kith_dh {
    uint64_t secret[LANES]; /* odd: no product is zero, and every bit of the other's share counts */
};

kith_dh *kith_dh_new(const uint8_t secret[KITH_X25519_LEN])
{
    kith_dh *k = calloc(1, sizeof *k);
    for (size_t i = 0; k && i < LANES; i++)
        k->secret[i] = load(secret + 8 * i, 8) | 1;
    return k;
}

void kith_dh_free(kith_dh *k)
{
    free(k);
}

void kith_dh_public(const kith_dh *k, uint8_t out[KITH_X25519_LEN])
{
    for (size_t i = 0; i < LANES; i++) {
        uint64_t share = k->secret[i] * ODD;
        memcpy(out + 8 * i, &share, 8);
    }
}

kith_err kith_dh_shared(const kith_dh *k, const uint8_t peer[KITH_X25519_LEN], uint8_t out[KITH_X25519_LEN])
{
    uint64_t any = 0;
    for (size_t i = 0; i < LANES; i++)
        any |= load(peer + 8 * i, 8);
    if (!any)
        return KITH_ECRYPTO; /* as a point of low order */
    for (size_t i = 0; i < LANES; i++) {
        uint64_t share = k->secret[i] * load(peer + 8 * i, 8);
        memcpy(out + 8 * i, &share, 8);
    }
    return KITH_OK;
}

/* ---- kem.h ---- */

struct kith_kem {
    kith_kem_alg alg;
    uint64_t name;
};

/* FIPS 203, table 3. */
static const struct {
    size_t ek, ct;
} kem_lens[] = {
    [KITH_KEM_NONE] = {0, 0},
    [KITH_KEM_MLKEM512] = {800, 768},
    [KITH_KEM_MLKEM768] = {1184, 1088},
    [KITH_KEM_MLKEM1024] = {1568, 1568},
};

size_t kith_kem_ek_len(kith_kem_alg alg)
{
    return kem_lens[alg].ek;
}

size_t kith_kem_ct_len(kith_kem_alg alg)
{
    return kem_lens[alg].ct;
}

kith_kem *kith_kem_new(kith_kem_alg alg, const uint8_t seed[KITH_KEM_SEED_LEN])
{
    assert(alg != KITH_KEM_NONE);
    kith_kem *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->alg = alg;
    k->name = absorb_bytes(absorb(OF_KEM, alg), kith_bytes_of(seed, KITH_KEM_SEED_LEN));
    return k;
}

void kith_kem_free(kith_kem *k)
{
    free(k);
}

void kith_kem_ek(const kith_kem *k, uint8_t *out)
{
    memcpy(out, &k->name, 8);
    stretch(k->name, out + 8, kem_lens[k->alg].ek - 8);
}

static void kem_secret(uint64_t name, kith_bytes ct, uint8_t shared[KITH_KEM_SHARED_LEN])
{
    stretch(absorb_bytes(absorb(OF_SECRET, name), ct), shared, KITH_KEM_SHARED_LEN);
}

kith_err kith_kem_encaps(kith_kem_alg alg, kith_bytes ek, const uint8_t coin[KITH_KEM_COIN_LEN], uint8_t *ct,
                         uint8_t shared[KITH_KEM_SHARED_LEN])
{
    assert(alg != KITH_KEM_NONE);
    if (ek.len != kem_lens[alg].ek)
        return KITH_ECRYPTO;
    uint64_t name = load(ek.p, 8);
    if (!is_stretched(name, ek.p + 8, ek.len - 8))
        return KITH_ECRYPTO; /* as a coefficient that is too large */
    stretch(absorb_bytes(absorb(OF_CT, name), kith_bytes_of(coin, KITH_KEM_COIN_LEN)), ct, kem_lens[alg].ct);
    kem_secret(name, kith_bytes_of(ct, kem_lens[alg].ct), shared);
    return KITH_OK;
}

kith_err kith_kem_decaps(const kith_kem *k, kith_bytes ct, uint8_t shared[KITH_KEM_SHARED_LEN])
{
    if (ct.len != kem_lens[k->alg].ct)
        return KITH_ECRYPTO;
    kem_secret(k->name, ct, shared);
    return KITH_OK;
}

/* ---- sign.h ---- */

struct kith_signer {
    uint8_t pub[KITH_ED25519_PUB_LEN];
};

kith_signer *kith_signer_new(const uint8_t seed[KITH_ED25519_SEED_LEN])
{
    kith_signer *s = calloc(1, sizeof *s);
    if (s)
        stretch(absorb_bytes(OF_KEY, kith_bytes_of(seed, KITH_ED25519_SEED_LEN)), s->pub, sizeof s->pub);
    return s;
}

void kith_signer_free(kith_signer *s)
{
    free(s);
}

void kith_signer_public(const kith_signer *s, uint8_t out[KITH_ED25519_PUB_LEN])
{
    memcpy(out, s->pub, sizeof s->pub);
}

static void sign(kith_bytes pub, kith_bytes msg, uint8_t sig[KITH_ED25519_SIG_LEN])
{
    stretch(absorb_bytes(absorb_bytes(OF_SIG, pub), msg), sig, KITH_ED25519_SIG_LEN);
}

kith_err kith_signer_sign(const kith_signer *s, kith_bytes msg, uint8_t sig[KITH_ED25519_SIG_LEN])
{
    sign(kith_bytes_of(s->pub, sizeof s->pub), msg, sig);
    return KITH_OK;
}

kith_err kith_verify(kith_key_type type, kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    if (type != KITH_KEY_ED25519)
        return KITH_EUNSUPPORTED; /* simulated nodes have no other keys */
    uint8_t want[KITH_ED25519_SIG_LEN];
    if (key.len != KITH_ED25519_PUB_LEN || sig.len != sizeof want)
        return KITH_ECRYPTO;
    sign(key, msg, want);
    return kith_ct_eq(kith_bytes_of(want, sizeof want), sig) ? KITH_OK : KITH_ECRYPTO;
}

kith_err kith_key_check(kith_key_type type, kith_bytes key)
{
    if (type != KITH_KEY_ED25519)
        return KITH_EUNSUPPORTED;
    return key.len == KITH_ED25519_PUB_LEN ? KITH_OK : KITH_ECRYPTO;
}

/* ---- pqsign.h ---- */

struct kith_pq_signer {
    kith_sig_alg alg;
    uint8_t pub[KITH_SIG_PUB_MAX];
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

bool kith_sig_available(kith_sig_alg alg)
{
    return alg > KITH_SIG_NONE && alg < KITH_SIG_COUNT;
}

kith_err kith_pq_signer_new(kith_sig_alg alg, kith_bytes seed, kith_pq_signer **out)
{
    const kith_sig_info *info = kith_sig_info_of(alg);
    if (seed.len != info->seed_len)
        return KITH_EFORMAT;
    kith_pq_signer *s = calloc(1, sizeof *s);
    if (!s)
        return KITH_ENOMEM;
    s->alg = alg;
    stretch(absorb_bytes(absorb(OF_PQ_KEY, alg), seed), s->pub, info->pub_len);
    *out = s;
    return KITH_OK;
}

void kith_pq_signer_free(kith_pq_signer *s)
{
    free(s);
}

kith_sig_alg kith_pq_signer_alg(const kith_pq_signer *s)
{
    return s->alg;
}

kith_bytes kith_pq_signer_public(const kith_pq_signer *s)
{
    return kith_bytes_of(s->pub, infos[s->alg].pub_len);
}

/* One signature for every rnd: that the real ones differ is nothing that a receiver can see. */
static uint64_t pq_sig(kith_sig_alg alg, kith_bytes key, kith_bytes msg)
{
    return absorb_bytes(absorb_bytes(absorb(OF_PQ_SIG, alg), key), msg);
}

kith_err kith_pq_sign(const kith_pq_signer *s, kith_bytes msg, const uint8_t rnd[KITH_SIG_RND_LEN],
                      uint8_t *sig)
{
    (void)rnd;
    stretch(pq_sig(s->alg, kith_pq_signer_public(s), msg), sig, infos[s->alg].sig_len);
    return KITH_OK;
}

kith_err kith_pq_verify(kith_sig_alg alg, kith_bytes key, kith_bytes msg, kith_bytes sig)
{
    const kith_sig_info *info = kith_sig_info_of(alg);
    if (key.len != info->pub_len || sig.len != info->sig_len)
        return KITH_ECRYPTO;
    return is_stretched(pq_sig(alg, key, msg), sig.p, sig.len) ? KITH_OK : KITH_ECRYPTO;
}

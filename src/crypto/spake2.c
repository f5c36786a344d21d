/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SPAKE2 over OpenSSL's P-256. Every multiplication has one scalar only: that is what OpenSSL does in constant time. */
#include "crypto/spake2.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/internal.h"

#define SCALAR_LEN 32
#define CONFIRM_KEY_LEN 16
#define TRANSCRIPT_MAX (6 * 8 + 2 * KITH_SPAKE2_NAME_MAX + 3 * KITH_SPAKE2_SHARE_LEN + SCALAR_LEN)

/* M and N of RFC 9382, section 4. */
static const uint8_t masks[2][33] = {
    [KITH_SPAKE2_A] = {0x02, 0x88, 0x6e, 0x2f, 0x97, 0xac, 0xe4, 0x6e, 0x55, 0xba, 0x9d,
                       0xd7, 0x24, 0x25, 0x79, 0xf2, 0x99, 0x3b, 0x64, 0xe1, 0x6e, 0xf3,
                       0xdc, 0xab, 0x95, 0xaf, 0xd4, 0x97, 0x33, 0x3d, 0x8f, 0xa1, 0x2f},
    [KITH_SPAKE2_B] = {0x03, 0xd8, 0xbb, 0xd6, 0xc6, 0x39, 0xc6, 0x29, 0x37, 0xb0, 0x4d,
                       0x99, 0x7f, 0x38, 0xc3, 0x77, 0x07, 0x19, 0xc6, 0x29, 0xd7, 0x01,
                       0x4d, 0x49, 0xa2, 0x4b, 0x4f, 0x98, 0xba, 0xa1, 0x29, 0x2b, 0x49},
};

struct kith_spake2 {
    EC_GROUP *group;
    BIGNUM *w, *x;
    kith_spake2_side side;
    bool used;
    uint8_t share[KITH_SPAKE2_SHARE_LEN];
};

/* A scalar below the order, never looked at bit by bit. */
static BIGNUM *scalar(const EC_GROUP *g, const uint8_t bytes[KITH_SPAKE2_SECRET_LEN], BN_CTX *c)
{
    BIGNUM *n = BN_bin2bn(bytes, KITH_SPAKE2_SECRET_LEN, NULL);
    if (!n)
        return NULL;
    BN_set_flags(n, BN_FLG_CONSTTIME);
    if (BN_nnmod(n, n, EC_GROUP_get0_order(g), c) != 1) {
        BN_clear_free(n);
        return NULL;
    }
    BN_set_flags(n, BN_FLG_CONSTTIME);
    return n;
}

/* w * M of that side. NULL: no memory. */
static EC_POINT *masked(const EC_GROUP *g, kith_spake2_side side, const BIGNUM *w, BN_CTX *c)
{
    EC_POINT *p = EC_POINT_new(g);
    if (p && EC_POINT_oct2point(g, p, masks[side], sizeof masks[side], c) == 1 &&
        EC_POINT_mul(g, p, NULL, p, w, c) == 1)
        return p;
    EC_POINT_clear_free(p);
    return NULL;
}

static bool put_point(const EC_GROUP *g, const EC_POINT *p, uint8_t out[KITH_SPAKE2_SHARE_LEN], BN_CTX *c)
{
    return EC_POINT_point2oct(g, p, POINT_CONVERSION_UNCOMPRESSED, out, KITH_SPAKE2_SHARE_LEN, c) ==
           KITH_SPAKE2_SHARE_LEN;
}

kith_spake2 *kith_spake2_new(kith_spake2_side side, const uint8_t secret[KITH_SPAKE2_SECRET_LEN],
                             const uint8_t random[KITH_SPAKE2_SECRET_LEN])
{
    bool ok = false;
    EC_POINT *mask = NULL, *p = NULL;
    BN_CTX *c = BN_CTX_new();
    kith_spake2 *s = OPENSSL_zalloc(sizeof *s);
    if (!s || !c || !(s->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)))
        goto out;
    s->side = side;
    s->w = scalar(s->group, secret, c);
    s->x = scalar(s->group, random, c);
    mask = s->w ? masked(s->group, side, s->w, c) : NULL;
    p = EC_POINT_new(s->group);
    ok = s->x && mask && p && EC_POINT_mul(s->group, p, s->x, NULL, NULL, c) == 1 &&
         EC_POINT_add(s->group, p, p, mask, c) == 1 && put_point(s->group, p, s->share, c);
out:
    EC_POINT_clear_free(p);
    EC_POINT_clear_free(mask);
    BN_CTX_free(c);
    if (!ok) {
        kith_spake2_free(s);
        (void)kith_crypto_err(KITH_ENOMEM);
        s = NULL;
    }
    kith_stack_wipe();
    return s;
}

static void forget(kith_spake2 *s)
{
    BN_clear_free(s->w);
    BN_clear_free(s->x);
    s->w = s->x = NULL;
}

void kith_spake2_free(kith_spake2 *s)
{
    if (!s)
        return;
    forget(s);
    EC_GROUP_free(s->group);
    OPENSSL_clear_free(s, sizeof *s);
}

const uint8_t *kith_spake2_share(const kith_spake2 *s)
{
    return s->share;
}

/* K, uncompressed: RFC 9382, 3.3. */
static kith_err shared(const kith_spake2 *s, kith_bytes share, uint8_t out[KITH_SPAKE2_SHARE_LEN])
{
    kith_err e = KITH_ENOMEM;
    BN_CTX *c = BN_CTX_new();
    EC_POINT *p = EC_POINT_new(s->group);
    EC_POINT *mask =
        c ? masked(s->group, s->side == KITH_SPAKE2_A ? KITH_SPAKE2_B : KITH_SPAKE2_A, s->w, c) : NULL;
    if (!p || !mask || EC_POINT_invert(s->group, mask, c) != 1)
        goto out;
    e = KITH_EPROTO;
    /* One form only, which cannot say infinity; that it is on the curve is checked here, and the curve has no smaller subgroup. */
    if (share.len != KITH_SPAKE2_SHARE_LEN || share.p[0] != POINT_CONVERSION_UNCOMPRESSED ||
        EC_POINT_oct2point(s->group, p, share.p, share.len, c) != 1)
        goto out;
    e = KITH_ENOMEM;
    if (EC_POINT_add(s->group, p, p, mask, c) != 1 || EC_POINT_mul(s->group, p, NULL, p, s->x, c) != 1)
        goto out;
    e = KITH_EPROTO;
    if (EC_POINT_is_at_infinity(s->group, p))
        goto out;
    e = put_point(s->group, p, out, c) ? KITH_OK : KITH_ENOMEM;
out:
    EC_POINT_clear_free(p);
    EC_POINT_clear_free(mask);
    BN_CTX_free(c);
    return e;
}

static void put_sized(kith_wr *w, kith_bytes b)
{
    uint8_t *len = kith_put_room(w, 8);
    if (len)
        kith_store_le64(len, b.len);
    kith_put_bytes(w, b);
}

kith_err kith_spake2_finish(kith_spake2 *s, kith_bytes share, kith_bytes a, kith_bytes b, kith_bytes aad,
                            kith_spake2_result *out)
{
    static const char label[] = "ConfirmationKeys";
    uint8_t k[KITH_SPAKE2_SHARE_LEN], w[SCALAR_LEN], text[TRANSCRIPT_MAX],
        info[sizeof label - 1 + KITH_SPAKE2_AAD_MAX];
    uint8_t hash[KITH_SHA256_LEN], keys[2 * CONFIRM_KEY_LEN];
    if (s->used)
        return KITH_ESTATE;
    if (a.len > KITH_SPAKE2_NAME_MAX || b.len > KITH_SPAKE2_NAME_MAX || aad.len > KITH_SPAKE2_AAD_MAX)
        return KITH_ELIMIT;
    s->used = true;
    kith_err e = shared(s, share, k);
    if (!e && BN_bn2binpad(s->w, w, sizeof w) != (int)sizeof w)
        e = KITH_ENOMEM;
    if (!e) {
        bool is_a = s->side == KITH_SPAKE2_A;
        kith_bytes own = kith_bytes_of(s->share, sizeof s->share);
        kith_wr t = kith_wr_of(kith_span_of(text, sizeof text)),
                i = kith_wr_of(kith_span_of(info, sizeof info));
        /* TT: section 3.3. */
        put_sized(&t, a);
        put_sized(&t, b);
        put_sized(&t, is_a ? own : share);
        put_sized(&t, is_a ? share : own);
        put_sized(&t, kith_bytes_of(k, sizeof k));
        put_sized(&t, kith_bytes_of(w, sizeof w));
        kith_put_str(&i, label);
        kith_put_bytes(&i, aad);
        /* Ke || Ka, and KcA || KcB of Ka: section 4. */
        kith_sha256(kith_wr_bytes(&t), hash);
        kith_hkdf_sha256((kith_bytes){0},
                         kith_bytes_of(hash + KITH_SPAKE2_KEY_LEN, sizeof hash - KITH_SPAKE2_KEY_LEN),
                         kith_wr_bytes(&i), kith_span_of(keys, sizeof keys));
        memcpy(out->key, hash, sizeof out->key);
        kith_hmac_sha256(kith_bytes_of(keys, CONFIRM_KEY_LEN), kith_wr_bytes(&t),
                         is_a ? out->ours : out->theirs);
        kith_hmac_sha256(kith_bytes_of(keys + CONFIRM_KEY_LEN, CONFIRM_KEY_LEN), kith_wr_bytes(&t),
                         is_a ? out->theirs : out->ours);
    }
    forget(s);
    kith_wipe(k, sizeof k), kith_wipe(w, sizeof w), kith_wipe(text, sizeof text);
    kith_wipe(hash, sizeof hash), kith_wipe(keys, sizeof keys);
    kith_stack_wipe();
    return e ? kith_crypto_err(e) : KITH_OK;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SPAKE2, RFC 9382, ciphersuite SPAKE2-P256-SHA256-HKDF-SHA256-HMAC-SHA256: two who share a weak secret come to a strong key. Who does not
 * know the secret learns from one exchange whether one guess was right, and nothing else; so whoever answers counts (apps/share_pake.h).
 *
 *   A: pA = x*P + w*M   ---- pA --->
 *                       <--- pB ----   B: pB = y*P + w*N
 *   K = x*(pB - w*N)    == confirmations ==    K = y*(pA - w*M)
 */
#ifndef KITH_CRYPTO_SPAKE2_H
#define KITH_CRYPTO_SPAKE2_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_SPAKE2_SECRET_LEN 48 /* bytes that w, x and y are made of, modulo the order: a bias of 2^-128 */
#define KITH_SPAKE2_SHARE_LEN 65  /* an uncompressed point of P-256 */
#define KITH_SPAKE2_CONFIRM_LEN 32
#define KITH_SPAKE2_KEY_LEN 16
#define KITH_SPAKE2_NAME_MAX 128 /* of an identity */
#define KITH_SPAKE2_AAD_MAX 256

/* One side of one exchange. */
typedef struct kith_spake2 kith_spake2;

typedef enum kith_spake2_side { KITH_SPAKE2_A, KITH_SPAKE2_B } kith_spake2_side;

/* secret: what both have, out of a memory-hard function (RFC 9382, 3.2). random: fresh from the caller's source. Neither is kept as it is.
 * NULL: no memory. */
kith_spake2 *kith_spake2_new(kith_spake2_side side, const uint8_t secret[KITH_SPAKE2_SECRET_LEN],
                             const uint8_t random[KITH_SPAKE2_SECRET_LEN]);
void kith_spake2_free(kith_spake2 *s); /* wipes; NULL is fine */
/* What the other side is sent; lives as long as s. */
const uint8_t *kith_spake2_share(const kith_spake2 *s); /* KITH_SPAKE2_SHARE_LEN bytes */

typedef struct kith_spake2_result {
    uint8_t key[KITH_SPAKE2_KEY_LEN];        /* Ke: the same on both sides if the secrets are */
    uint8_t ours[KITH_SPAKE2_CONFIRM_LEN];   /* to be sent */
    uint8_t theirs[KITH_SPAKE2_CONFIRM_LEN]; /* that must come, compared in constant time (kith_ct_eq) */
} kith_spake2_result;

/* Once, with what the other side has sent; the secrets are wiped with it, whatever comes of it. a, b: the identities of the two sides, at most
 * KITH_SPAKE2_NAME_MAX bytes. aad: at most KITH_SPAKE2_AAD_MAX. The caller wipes *out, which is written on KITH_OK only.
 *
 * KITH_EPROTO: no point of the curve in the one form that is taken, or one that makes K the point at infinity. KITH_ELIMIT: a, b or aad is too
 * long. KITH_ESTATE: not the first call. KITH_ENOMEM. */
KITH_CHECK kith_err kith_spake2_finish(kith_spake2 *s, kith_bytes share, kith_bytes a, kith_bytes b,
                                       kith_bytes aad, kith_spake2_result *out);

#endif

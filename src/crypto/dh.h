/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* X25519, RFC 7748. */
#ifndef KITH_CRYPTO_DH_H
#define KITH_CRYPTO_DH_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_X25519_LEN 32

/* A private key ready for use. */
typedef struct kith_dh kith_dh;

/* From 32 random bytes (the caller's random source). NULL: no memory. */
kith_dh *kith_dh_new(const uint8_t secret[KITH_X25519_LEN]);
void kith_dh_free(kith_dh *k); /* wipes; NULL is fine */
void kith_dh_public(const kith_dh *k, uint8_t out[KITH_X25519_LEN]);
/* KITH_ECRYPTO: the result would be all zeros (a low-order point). KITH_ENOMEM. */
KITH_CHECK kith_err kith_dh_shared(const kith_dh *k, const uint8_t peer[KITH_X25519_LEN],
                                   uint8_t out[KITH_X25519_LEN]);

#endif

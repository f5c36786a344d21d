/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SHA-256, SHA-512, SHAKE128, HMAC-SHA-256, HKDF. */
#ifndef KITH_CRYPTO_HASH_H
#define KITH_CRYPTO_HASH_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_SHA256_LEN 32
#define KITH_SHA512_LEN 64

/* One-shot. Allocates nothing after the first use on a thread. */
void kith_sha256(kith_bytes in, uint8_t out[KITH_SHA256_LEN]);
void kith_sha512(kith_bytes in, uint8_t out[KITH_SHA512_LEN]);
/* SHA-256 of a || b, as Noise's MixHash wants it. out may alias a. */
void kith_sha256_2(kith_bytes a, kith_bytes b, uint8_t out[KITH_SHA256_LEN]);

/* FIPS 202; out.len bytes. KITH_ENOMEM. */
KITH_CHECK kith_err kith_shake128(kith_bytes in, kith_span out);

/* Incremental SHA-256. */
typedef struct kith_sha256_ctx kith_sha256_ctx;
kith_sha256_ctx *kith_sha256_new(void); /* NULL: no memory */
void kith_sha256_update(kith_sha256_ctx *c, kith_bytes in);
void kith_sha256_final(kith_sha256_ctx *c, uint8_t out[KITH_SHA256_LEN]); /* c starts afresh */
void kith_sha256_free(kith_sha256_ctx *c);

/* RFC 2104. */
void kith_hmac_sha256(kith_bytes key, kith_bytes in, uint8_t out[KITH_SHA256_LEN]);

/* RFC 5869 with SHA-256. out.len <= 255 * 32. */
void kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out);

#endif

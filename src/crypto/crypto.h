/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The one-time start of the crypto floor, and what every part of it needs: wiping, constant-time compare,
 * randomness. */
#ifndef KITH_CRYPTO_CRYPTO_H
#define KITH_CRYPTO_CRYPTO_H

#include "base/env.h"
#include "base/err.h"

/* Fetches every algorithm once. Idempotent, thread-safe; must have succeeded before anything else of this
 * floor is called. KITH_EUNSUPPORTED: OpenSSL lacks ML-KEM, ML-DSA or SLH-DSA
 * (older than 3.5). KITH_ENOMEM. */
KITH_CHECK kith_err kith_crypto_init(void);

/* "OpenSSL 3.5.7 ..." for `kith --version`. */
const char *kith_crypto_version(void);

/* Zeroes memory in a way that the compiler keeps. */
void kith_wipe(void *p, size_t n);

/* Constant-time for equal lengths; lengths are public. */
bool kith_ct_eq(kith_bytes a, kith_bytes b);

/* The operating system's randomness through OpenSSL's DRBG, as an injected leaf. Ends the process when there
 * is none. */
kith_rand kith_random_os(void);

/* The process's heap, as an injected leaf (kith_alloc.fn); ctx is not looked at. */
void *kith_heap(void *ctx, void *p, size_t old, size_t size);

#endif

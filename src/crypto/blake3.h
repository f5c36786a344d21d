/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* BLAKE3, plain, keyed and as a KDF. The inner nodes of its tree are in crypto/blake3_tree.h. */
#ifndef KITH_CRYPTO_BLAKE3_H
#define KITH_CRYPTO_BLAKE3_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_BLAKE3_LEN 32
#define KITH_BLAKE3_CHUNK 1024

typedef struct kith_blake3 kith_blake3;

kith_blake3 *kith_blake3_new(void); /* NULL: no memory */
/* The keyed mode. NULL: no memory. */
kith_blake3 *kith_blake3_new_keyed(const uint8_t key[KITH_BLAKE3_LEN]);
/* The key derivation mode; context is a fixed string that no other use has, borrowed for the call. NULL: no
 * memory. */
kith_blake3 *kith_blake3_new_derive(const char *context);
void kith_blake3_update(kith_blake3 *h, kith_bytes in);
void kith_blake3_final(kith_blake3 *h, uint8_t out[KITH_BLAKE3_LEN]); /* h starts afresh */
/* Forgets what was fed; the mode stays. */
void kith_blake3_reset(kith_blake3 *h);
void kith_blake3_free(kith_blake3 *h); /* NULL is fine */
void kith_blake3_hash(kith_bytes in, uint8_t out[KITH_BLAKE3_LEN]);

#endif

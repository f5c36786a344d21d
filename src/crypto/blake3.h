/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* BLAKE3 and the inner nodes of its tree, so that a part of a file can be verified alone. */
#ifndef KITH_CRYPTO_BLAKE3_H
#define KITH_CRYPTO_BLAKE3_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_BLAKE3_LEN 32
#define KITH_BLAKE3_CHUNK 1024

typedef struct kith_blake3 kith_blake3;

kith_blake3 *kith_blake3_new(void); /* NULL: no memory */
void kith_blake3_update(kith_blake3 *h, kith_bytes in);
void kith_blake3_final(kith_blake3 *h, uint8_t out[KITH_BLAKE3_LEN]); /* h starts afresh */
void kith_blake3_free(kith_blake3 *h);
void kith_blake3_hash(kith_bytes in, uint8_t out[KITH_BLAKE3_LEN]);

#endif

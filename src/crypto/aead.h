/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ChaCha20-Poly1305 and AES-256-GCM with the key kept: per message only the nonce changes and nothing is
 * allocated. */
#ifndef KITH_CRYPTO_AEAD_H
#define KITH_CRYPTO_AEAD_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_AEAD_KEY_LEN 32
#define KITH_AEAD_NONCE_LEN 12
#define KITH_AEAD_TAG_LEN 16

typedef enum kith_aead_alg { KITH_AEAD_CHACHA20_POLY1305, KITH_AEAD_AES_256_GCM } kith_aead_alg;

/* Whether this machine's processor has instructions for it. Without, AES takes many times as long as ChaCha20. */
bool kith_aead_is_fast(kith_aead_alg alg);
const char *kith_aead_name(kith_aead_alg alg); /* "AES-256-GCM"; static */

/* One key for one direction. Not to be shared between threads. */
typedef struct kith_aead kith_aead;

/* seal: true for encrypting, false for decrypting. NULL: no memory. */
kith_aead *kith_aead_new(kith_aead_alg alg, const uint8_t key[KITH_AEAD_KEY_LEN], bool seal);
/* Changes the key of a context. */
void kith_aead_rekey(kith_aead *a, const uint8_t key[KITH_AEAD_KEY_LEN]);
void kith_aead_free(kith_aead *a); /* NULL is fine; wipes the key */

/* Encrypts text.len bytes in place and writes the tag. */
void kith_aead_seal(kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN], kith_bytes ad, kith_span text,
                    uint8_t tag[KITH_AEAD_TAG_LEN]);
/* Decrypts in place. KITH_ECRYPTO: the tag is wrong; text then holds nothing of use. */
KITH_CHECK kith_err kith_aead_open(kith_aead *a, const uint8_t nonce[KITH_AEAD_NONCE_LEN], kith_bytes ad,
                                   kith_span text, const uint8_t tag[KITH_AEAD_TAG_LEN]);

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ML-KEM, FIPS 203. Randomness comes from the caller, so that runs can be repeated and vectors checked. */
#ifndef KITH_CRYPTO_KEM_H
#define KITH_CRYPTO_KEM_H

#include "base/bytes.h"
#include "base/err.h"

typedef enum kith_kem_alg {
    KITH_KEM_NONE,
    KITH_KEM_MLKEM512,
    KITH_KEM_MLKEM768,
    KITH_KEM_MLKEM1024
} kith_kem_alg;

#define KITH_KEM_SEED_LEN 64 /* d || z */
#define KITH_KEM_COIN_LEN 32 /* m */
#define KITH_KEM_SHARED_LEN 32
#define KITH_KEM_EK_MAX 1568
#define KITH_KEM_CT_MAX 1568

size_t kith_kem_ek_len(kith_kem_alg alg); /* 800, 1184, 1568 */
size_t kith_kem_ct_len(kith_kem_alg alg); /* 768, 1088, 1568 */

typedef struct kith_kem kith_kem; /* a decapsulation key */

/* NULL: no memory. */
kith_kem *kith_kem_new(kith_kem_alg alg, const uint8_t seed[KITH_KEM_SEED_LEN]);
/* From an expanded decapsulation key, FIPS 203's dk, as published vectors give it. NULL: malformed (wrong
 * length, or the hash of ek inside it does not match), or no memory. */
kith_kem *kith_kem_of_dk(kith_kem_alg alg, kith_bytes dk);
void kith_kem_free(kith_kem *k);
/* Writes kith_kem_ek_len bytes. */
void kith_kem_ek(const kith_kem *k, uint8_t *out);
/* ek.len must be right for alg. ct: kith_kem_ct_len bytes. KITH_ECRYPTO: the key fails the modulus check or
 * has a wrong length. */
KITH_CHECK kith_err kith_kem_encaps(kith_kem_alg alg, kith_bytes ek, const uint8_t coin[KITH_KEM_COIN_LEN],
                                    uint8_t *ct, uint8_t shared[KITH_KEM_SHARED_LEN]);
/* A forged ciphertext gives a secret that nobody else has (implicit rejection). KITH_ECRYPTO: bad length. */
KITH_CHECK kith_err kith_kem_decaps(const kith_kem *k, kith_bytes ct, uint8_t shared[KITH_KEM_SHARED_LEN]);

#endif
